// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/billing/stripe"
	"github.com/syncline-dev/syncline/billing/stripe/stripetest"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/internal/worker"
	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

const (
	password    = "seven quiet harbours"
	ownerEmail  = "ada@harbour.example"
	viewerEmail = "vera@harbour.example"
	stock       = "stock-sync" // the service that most tests look at
)

// house is the whole program around the dashboard: a database of its own, the real managers, engine, scheduler and worker,
// and two systems in memory, "left" and "right", that hold products.
type house struct {
	*testing.T
	url         string
	deps        web.Deps
	owner       auth.Principal
	session     auth.Session
	left, right *connectortest.Memory
	log         *journal
	database    string // the address, to lay out what takes months to come about
	stripe      *stripetest.Server
}

// journal keeps what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, log: &journal{}}
	products := connector.ObjectInfo{Name: "products", Key: []string{"sku"}, Fields: []connector.FieldInfo{
		{Name: "sku", Type: connector.TypeText}, {Name: "name", Type: connector.TypeText, Nullable: true, MaxLength: 60}, {Name: "quantity", Type: connector.TypeInteger, Nullable: true},
	}}
	h.left, h.right = connectortest.NewMemory(products).Named("left"), connectortest.NewMemory(products).Named("right")
	h.left.SetClock(time.Now)
	h.right.SetClock(time.Now)

	h.database = storetest.URL(t)
	db := storetest.Open(t, h.database, nil)
	v, registry := storetest.Vault(t), connector.NewRegistry(h.left, h.right, postgres.New())
	guard, err := connection.NewGuard(connection.GuardOptions{AllowLoopback: true})
	h.must(err)
	log := slog.New(slog.NewTextHandler(h.log, nil))
	secrets := vault.NewSecrets(v, db.Operator(), store.InTx(db, func(tx *store.Tx) vault.Tx { return tx }))
	connections := connection.NewManager(store.InTx(db, func(tx *store.Tx) connection.Tx { return tx }), registry, v, secrets, service.Expand, guard).
		WithCatalog(catalog.New(registry).WithOwn(store.InTx(db, func(tx *store.Tx) catalog.Tx { return tx }), func(id tenant.ID, source []byte) (connector.Connector, error) {
			return manifest.NewOwn(source, id.String(), transport.NewPool())
		}))
	services := service.NewManager(store.InTx(db, func(tx *store.Tx) service.Tx { return tx }), connections)
	carrier := engine.New(store.InTx(db, func(tx *store.Tx) engine.Tx { return tx }), services, log)
	hub := live.NewHub(func(ctx context.Context, channels ...string) (live.Listener, error) {
		return db.Listen(ctx, channels...)
	}, store.LiveChannel, log)
	h.deps = web.Deps{
		Auth:    auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), v, auth.Options{Cost: auth.PasswordCost{Memory: 64, Iterations: 1}}),
		Secrets: secrets, Connections: connections, Services: services,
		Reader:      engine.NewReader(store.InTx(db, func(tx *store.Tx) engine.ReadTx { return tx })),
		Decider:     engine.NewDecider(store.InTx(db, func(tx *store.Tx) engine.DecideTx { return tx })),
		DeadLetters: delivery.NewManager(store.InTx(db, func(tx *store.Tx) delivery.Tx { return tx })),
		Duplicates:  duplicate.NewManager(store.InTx(db, func(tx *store.Tx) duplicate.Tx { return tx })),
		Reconciler:  reconcile.NewManager(store.InTx(db, func(tx *store.Tx) reconcile.Tx { return tx })),
		Proofs:      engine.NewProofs(store.InTx(db, func(tx *store.Tx) engine.ProofAskTx { return tx })),
		Planner:     safety.NewPlanner(store.InTx(db, func(tx *store.Tx) safety.PlanTx { return tx }), services, log),
		Holds:       safety.NewHolds(store.InTx(db, func(tx *store.Tx) safety.HoldTx { return tx })),
		Invoicer:    invoicing.NewInvoicer(store.InTx(db, func(tx *store.Tx) invoicing.Tx { return tx })).Collected(),
		Editor:      safety.NewEditor(store.InTx(db, func(tx *store.Tx) safety.EditTx { return tx })),
		Plans:       plans.NewManager(store.InTx(db, func(tx *store.Tx) plans.Tx { return tx }), store.InOperated(db, func(tx *store.OperatorTx) plans.OperatorTx { return tx })),
		Webhooks:    notify.NewManager(store.InTx(db, func(tx *store.Tx) notify.Tx { return tx }), v, true),
		Hub:         hub, SignUpOpen: true, Version: "test", Log: log, Demo: web.Demo{Email: "demo@syncline.test", Service: stock, Dir: "/srv/sync line/.syncline"},
		Events: func(ctx context.Context, id tenant.ID, last string, limit int) (events []web.Event, next string, err error) {
			err = store.InTx(db, func(tx *store.Tx) *store.Tx { return tx })(ctx, id, func(tx *store.Tx) error {
				var list []store.Event
				list, next, err = tx.EventsAfter(ctx, last, limit)
				for _, e := range list {
					events = append(events, web.Event{ID: e.ID, At: e.At, Type: e.Type, Service: service.ID(e.Service), Data: e.Data})
				}
				return err
			})
			return events, next, err
		},
	}
	h.stripe = stripetest.New(t)
	h.deps.Collector = invoicing.NewCollector(store.InTx(db, func(tx *store.Tx) invoicing.CollectTx { return tx }),
		store.InOperatorTx(db, func(tx *store.OperatorTx) invoicing.CollectOperatorTx { return tx }), h.deps.Invoicer,
		stripe.New(stripe.Options{Key: "sk_test_1", WebhookSecret: stripetest.WebhookSecret, URL: h.stripe.URL, Transport: &http.Transport{DisableKeepAlives: true}}), log)
	h.run(db, hub, carrier, services, log)

	_, h.session, err = h.deps.Auth.SignUp(context.Background(), auth.NewAccount{Email: ownerEmail, Name: "Ada Lindqvist", Password: password, TenantName: "Harbour Outdoor", TimeZone: "Europe/Stockholm", Demo: true}, auth.Caller{})
	h.must(err)
	h.owner = h.session.Principal(auth.Caller{})
	return h
}

// run lets the program work until the test ends.
func (h *house) run(db *store.DB, hub *live.Hub, carrier *engine.Engine, services *service.Manager, log *slog.Logger) {
	h.Helper()
	w, err := worker.New(riverpgxv5.New(db.Pool()), db.Leases(), carrier, services, worker.Options{
		Pools: []string{service.DefaultPool}, Slots: 8, Region: "default", Host: "test", Version: "test", Schema: store.JobSchema, Log: log,
		Collector: h.deps.Collector, Planner: h.deps.Planner,
	})
	h.must(err)
	plan := scheduler.New(store.InOperatorTx(db, func(tx *store.OperatorTx) scheduler.Tx { return tx }), services, log)
	hub.Handle(store.WakeChannel, func(payload string) {
		plan.Wake()
		var s service.ID
		_ = s.UnmarshalText([]byte(payload)) // zero means any
		w.Wake(s)
	})
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	for _, run := range []func(context.Context) error{hub.Run, plan.Run, w.Run} {
		working.Go(func() { _ = run(ctx) }) // they end with ctx, which is no failure
	}
	mux := http.NewServeMux() // as cmd joins them
	mux.Handle("/hooks/stripe", api.PaymentHook(h.deps.Collector.Hear, log))
	mux.Handle("/", web.New(h.deps))
	server := httptest.NewUnstartedServer(mux)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	h.url = server.URL
	h.Cleanup(func() {
		stop()
		server.Close()
		working.Wait()
		if h.Failed() {
			for line := range strings.Lines(h.log.String()) {
				if strings.Contains(line, "level=ERROR") {
					h.Log(line)
				}
			}
		}
	})
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// eventually waits for the condition.
func (h *house) eventually(what string, condition func() bool) {
	h.Helper()
	for deadline := time.Now().Add(webtest.Patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("not within %s: %s", webtest.Patience, what)
		}
	}
}

// readsWait lets readings of a system wait until they are let go, and tells of the first. It is two that wait: the one that is meant, and one
// that the service makes all the same now and then, which would otherwise take the place of it.
func (h *house) readsWait(of *connectortest.Memory) (reading <-chan struct{}, letGo func()) {
	first, going := make(chan struct{}), make(chan struct{})
	tell, letGo := sync.OnceFunc(func() { close(first) }), sync.OnceFunc(func() { close(going) })
	h.Cleanup(letGo)
	for range 2 {
		of.Plant(connectortest.Fault{On: connectortest.OnRead, Class: connectortest.Pass, Before: func() { tell(); <-going }})
	}
	return first, letGo
}

// document is a service between left and right where a person decides names.
func document(name string) string {
	return fmt.Sprintf(`# What the harbour sells.
service: %s
description: Keeps products equal on both sides
systems:
  - {id: left, type: left, connection: left, objects: [products], primary: true}
  - {id: right, type: right, connection: right, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution:
    strategy: lastWriteWins
    fields:
      name: {strategy: manual}
fieldMapping:
  sku: sku
  name: name
  quantity: quantity
`, name)
}

// connect makes the connections to left and right.
func (h *house) connect() {
	h.Helper()
	for _, name := range []string{"left", "right"} {
		_, err := h.deps.Connections.Create(context.Background(), h.owner, connectionOf(name))
		h.must(err)
		_, err = h.deps.Connections.Test(context.Background(), h.owner, name)
		h.must(err)
	}
}

// furnish fills left with n products and syncs them.
func (h *house) furnish(n int) {
	h.Helper()
	h.connect()
	left := h.left.User("products")
	for i := range n {
		left.Put(sku(i), record.Fields{"name": fmt.Sprintf("Trail Runner %d", i), "quantity": record.Int(int64(10 + i))})
	}
	h.apply(document(stock))
	h.eventually("the first sync", func() bool { return len(h.right.User("products").All()) == n && h.quiet(stock) })
}

func sku(i int) record.Key { return record.Key(fmt.Sprintf("SKU-%03d", i)) }

func (h *house) apply(text string) service.Applied {
	h.Helper()
	out, err := h.deps.Services.Apply(context.Background(), h.owner, service.Application{Source: []byte(text), Format: service.YAML, Note: "The beginning"})
	h.must(err)
	return out
}

// service reads a service as it is now.
func (h *house) service(name string) service.Service {
	h.Helper()
	s, _, err := h.deps.Services.Get(context.Background(), h.owner, name)
	h.must(err)
	return s
}

// quiet says whether no run of the service is open.
func (h *house) quiet(name string) bool {
	h.Helper()
	runs, err := h.deps.Services.Runs(context.Background(), h.owner, service.RunFilter{Service: h.service(name).ID, States: []service.RunState{service.RunQueued, service.RunRunning}})
	h.must(err)
	return len(runs) == 0
}

// member makes a member of the tenant in that role.
func (h *house) member(email string, role auth.Role) auth.Principal {
	h.Helper()
	link, _, err := h.deps.Auth.Invite(context.Background(), h.owner, email, role)
	h.must(err)
	_, s, err := h.deps.Auth.Accept(context.Background(), link, "Vera Holm", password, auth.Caller{})
	if fault.IsCode(err, "auth.already_member") {
		return auth.Principal{}
	}
	h.must(err)
	return s.Principal(auth.Caller{})
}

// open signs somebody in and shows a page.
func (h *house) open(email, path string, o webtest.Options) *webtest.Page {
	h.Helper()
	p := webtest.Open(h.T, h.url+"/sign-in", o)
	h.signIn(p, email, password)
	p.Wait(`location.pathname === "/"`)
	p.Goto(h.url + path)
	return p
}

func (h *house) signIn(p *webtest.Page, email, password string) {
	h.Helper()
	p.Fill("#email", email)
	p.Fill("#password", password)
	p.Click(`button[type="submit"]`)
}

// table makes a PostgreSQL database with a table of products and returns its address and a connection to it.
func (h *house) table(name string) (*pgx.Conn, connector.Settings) {
	h.Helper()
	ctx := context.Background()
	address := testdb.Postgres(h.T)
	conn, err := pgx.Connect(ctx, address)
	h.must(err)
	h.Cleanup(func() { _ = conn.Close(ctx) }) // the database goes with the test
	_, err = conn.Exec(ctx, "CREATE TABLE "+name+" (sku text PRIMARY KEY, name text, quantity integer)")
	h.must(err)
	c := conn.Config()
	return conn, connector.Settings{"host": c.Host, "port": fmt.Sprint(c.Port), "database": c.Database, "user": c.User, "password": c.Password, "sslmode": "disable"}
}

func connectionOf(name string) connection.New {
	return connection.New{Name: name, Connector: name, Settings: connector.Settings{"token": "t"}}
}
