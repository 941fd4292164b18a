// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/telemetry"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

const (
	password = "correct horse battery"
	secret   = "s3cr3t-value-of-nobody"
)

// world is the API on a real database, with the real managers and engine, and systems in memory.
type world struct {
	testing.TB
	url      string // the server's address
	db       *store.DB
	admin    *pgxpool.Pool // sees all tenants: for looking and for what has no operation yet
	contract *api.Contract
	deps     api.Deps
	engine   *engine.Engine
	log      *logged
	systems  map[string]*connectortest.Memory // by connector type
}

// logged is everything that was logged.
type logged struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// newWorld starts the API. Parties named here get connectors of their own, "left-<name>" and "right-<name>".
func newWorld(t testing.TB, parties ...string) *world {
	t.Helper()
	var types []string
	for _, name := range parties {
		types = append(types, "left-"+name, "right-"+name)
	}
	return newWorldOf(t, types)
}

// newWorldOf starts the API with a system in memory of each of these types, and more connectors.
func newWorldOf(t testing.TB, types []string, connectors ...connector.Connector) *world {
	t.Helper()
	w := &world{TB: t, log: &logged{}, systems: map[string]*connectortest.Memory{}}
	address := storetest.URL(t)
	w.db = storetest.Open(t, address, nil)
	var err error
	if w.admin, err = pgxpool.New(context.Background(), address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.admin.Close)
	if w.contract, err = api.NewContract(); err != nil {
		t.Fatal(err)
	}
	for i, typ := range types {
		info := connector.ObjectInfo{Name: "products", Key: []string{"sku"}, Fields: []connector.FieldInfo{
			{Name: "sku", Type: connector.TypeText},
			{Name: "name", Type: connector.TypeText, Nullable: true},
			{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
		}}
		if i%2 == 1 {
			info.Fields[1].MaxLength = 60
		}
		m := connectortest.NewMemory(info).Named(typ)
		m.SetClock(time.Now)
		w.systems[typ] = m
		connectors = append(connectors, m)
	}
	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	v, registry := vault.New(master), connector.NewRegistry(connectors...)
	guard, err := connection.NewGuard(connection.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	db := w.db
	secrets := vault.NewSecrets(v, db.Operator(), store.InTx(db, func(tx *store.Tx) vault.Tx { return tx }))
	connections := connection.NewManager(store.InTx(db, func(tx *store.Tx) connection.Tx { return tx }), registry, v, secrets, service.Expand, guard).
		WithCatalog(catalog.New(registry).WithOwn(store.InTx(db, func(tx *store.Tx) catalog.Tx { return tx }), func(id tenant.ID, source []byte) (connector.Connector, error) {
			return manifest.NewOwn(source, id.String(), transport.NewPool())
		}))
	services := service.NewManager(store.InTx(db, func(tx *store.Tx) service.Tx { return tx }), connections)
	log := telemetry.NewLogger(w.log, "json", slog.LevelDebug)
	w.engine = engine.New(store.InTx(db, func(tx *store.Tx) engine.Tx { return tx }), services, log).
		Proving(store.InTx(db, func(tx *store.Tx) engine.ProofTx { return tx }))
	hub := live.NewHub(func(ctx context.Context, channels ...string) (live.Listener, error) {
		return db.Listen(ctx, channels...)
	}, store.LiveChannel, log)
	w.deps = api.Deps{
		Auth: auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), v,
			auth.Options{Cost: auth.PasswordCost{Memory: 64, Iterations: 1}}),
		Secrets: secrets, Connections: connections, Services: services,
		Records:     engine.NewReader(store.InTx(db, func(tx *store.Tx) engine.ReadTx { return tx })),
		Decider:     engine.NewDecider(store.InTx(db, func(tx *store.Tx) engine.DecideTx { return tx })),
		DeadLetters: delivery.NewManager(store.InTx(db, func(tx *store.Tx) delivery.Tx { return tx })),
		Duplicates:  duplicate.NewManager(store.InTx(db, func(tx *store.Tx) duplicate.Tx { return tx })),
		Reconciler:  reconcile.NewManager(store.InTx(db, func(tx *store.Tx) reconcile.Tx { return tx })),
		Proofs:      engine.NewProofs(store.InTx(db, func(tx *store.Tx) engine.ProofAskTx { return tx })),
		Holds:       safety.NewHolds(store.InTx(db, func(tx *store.Tx) safety.HoldTx { return tx })),
		Planner:     safety.NewPlanner(store.InTx(db, func(tx *store.Tx) safety.PlanTx { return tx }), services, slog.New(slog.DiscardHandler)),
		Editor:      safety.NewEditor(store.InTx(db, func(tx *store.Tx) safety.EditTx { return tx })),
		Invoicer:    invoicing.NewInvoicer(store.InTx(db, func(tx *store.Tx) invoicing.Tx { return tx })),
		Plans:       plans.NewManager(store.InTx(db, func(tx *store.Tx) plans.Tx { return tx }), store.InOperated(db, func(tx *store.OperatorTx) plans.OperatorTx { return tx })),
		Webhooks:    notify.NewManager(store.InTx(db, func(tx *store.Tx) notify.Tx { return tx }), v, false),
		Hub:         hub, InTx: store.InTx(db, func(tx *store.Tx) api.Tx { return tx }), Keys: db,
		Sealing: master.Derive("api"), Ready: []api.Check{{Name: "database", Ask: db.Ping}},
		Log: log, Metrics: telemetry.NewMetrics(), Version: "test", PublicURL: "https://sync.example.com",
		RateLimit: api.RateLimit{Requests: 1_000_000, Window: time.Second},
		ClientIP:  func(r *http.Request) string { return r.Header.Get("X-Test-Client") },
	}
	ctx, stop := context.WithCancel(context.Background())
	heard := make(chan struct{})
	go func() { defer close(heard); _ = hub.Run(ctx) }()
	t.Cleanup(func() { stop(); <-heard })
	w.serve()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, `"level":"ERROR"`) {
				t.Log(line)
			}
		}
	})
	return w
}

// serve starts a server with the present deps; another process of the same installation, so to say.
func (w *world) serve() {
	ctx, stop := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(api.New(w.deps))
	server.Config.BaseContext = func(netListener) context.Context { return ctx }
	server.Start()
	w.url = server.URL
	w.Cleanup(func() { stop(); server.Close() })
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.admin.Exec(context.Background(), sql, args...); err != nil {
		w.Fatalf("%v\n%s", err, sql)
	}
}

func (w *world) number(sql string, args ...any) (n int64) {
	w.Helper()
	if err := w.admin.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		w.Fatalf("%v\n%s", err, sql)
	}
	return n
}

// eventually waits for the condition.
func (w *world) eventually(what string, condition func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// party is a tenant with people, keys and data.
type party struct {
	*world
	name     string
	tenant   tenant.ID
	canary   string // stands in everything of the party's that nobody else may see
	sessions map[auth.Role]string
	members  map[auth.Role]auth.UserID
	keys     map[auth.Scope]string
	key      string // of scope admin and finance: may do everything that a key may
	ids      map[string]string
	ready    bool
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// newParty makes a tenant with a member of each role and a key of each scope.
func (w *world) newParty(name string) *party {
	w.Helper()
	ctx := context.Background()
	p := &party{
		world: w, name: name, canary: "canary-" + name + "-" + uuid.NewString()[:8],
		sessions: map[auth.Role]string{}, members: map[auth.Role]auth.UserID{}, keys: map[auth.Scope]string{}, ids: map[string]string{},
	}
	from := auth.Caller{IP: "192.0.2.7", UserAgent: "test"}
	token, session, err := w.deps.Auth.SignUp(ctx, auth.NewAccount{Email: "owner@" + name + ".example.com", Name: "Owner of " + p.canary, Password: password, TenantName: p.canary}, from)
	w.must(err)
	p.tenant, p.sessions[auth.Owner], p.members[auth.Owner] = session.Tenant.ID, token.Reveal(), session.Member.ID
	owner := session.Principal(from)
	for _, role := range auth.Roles[1:] {
		link, _, err := w.deps.Auth.Invite(ctx, owner, string(role)+"@"+name+".example.com", role)
		w.must(err)
		token, session, err := w.deps.Auth.Accept(ctx, link, string(role)+" of "+p.canary, password, from)
		w.must(err)
		p.sessions[role], p.members[role] = token.Reveal(), session.Member.ID
	}
	for _, scope := range auth.Scopes {
		text, _, err := w.deps.Auth.CreateKey(ctx, owner, string(scope)+" "+p.canary, []auth.Scope{scope}, time.Time{})
		w.must(err)
		p.keys[scope] = text.Reveal()
	}
	text, _, err := w.deps.Auth.CreateKey(ctx, owner, "all "+p.canary, []auth.Scope{auth.ScopeAdmin, auth.ScopeFinance}, time.Time{})
	w.must(err)
	p.key = text.Reveal()
	return p
}

func (p *party) owner() auth.Principal {
	return auth.Principal{Kind: auth.KindMember, ID: p.members[auth.Owner].String(), Name: "Owner of " + p.canary, Tenant: p.tenant, Role: auth.Owner}
}

// document is a two-way service between the party's two systems, where people decide about names.
func (p *party) document(name string) string {
	return fmt.Sprintf(`# %[3]s
service: %[1]s
description: %[3]s
systems:
  - {id: left, type: left-%[2]s, connection: left-db-%[2]s, objects: [products], primary: true}
  - {id: right, type: right-%[2]s, connection: right-db-%[2]s, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution:
    strategy: lastWriteWins
    fields:
      name: {strategy: manual}
  conflictAlerts: [{field: name, count: 1, within: 1d}, {count: 1, within: 1d}]
  safetyThreshold: {maxDecreasePercent: 50, fields: [quantity]}
businessRules:
  - {name: watch, condition: quantity >= 2, action: flag_for_review, with: {note: %[3]s}}
`, name, p.name, p.canary)
}

// furnish gives the party two of everything that can be listed: connections, services, revisions, runs, records with
// history, conflicts, dead letters, invoices with operations, and the ids of all that.
func (p *party) furnish() {
	p.Helper()
	ctx, d, owner := context.Background(), p.deps, p.owner()
	for _, name := range []string{"TOKEN_OF_" + strings.ToUpper(p.name), "SECOND_OF_" + strings.ToUpper(p.name)} {
		_, err := d.Secrets.Set(ctx, owner, name, p.canary, 0)
		p.must(err)
	}
	p.connect()
	for _, name := range []string{"one", "two"} {
		_, i, err := d.Auth.Invite(ctx, owner, name+"@"+p.canary+".example.com", auth.Viewer)
		p.must(err)
		p.ids["invitation"] = i.ID.String()
	}
	keys, err := d.Auth.Keys(ctx, owner, auth.KeyID{}, 0)
	p.must(err)
	p.ids["apiKey"] = keys[0].ID.String()
	p.ids["member"] = p.members[auth.Viewer].String()
	p.ids["secret"], p.ids["connector"], p.ids["system"] = "TOKEN_OF_"+strings.ToUpper(p.name), "own-"+p.name, "left"
	_, _, err = d.Connections.Catalog().Save(ctx, owner, catalog.Put{Source: ownManifest("own-"+p.name, p.canary)})
	p.must(err)

	applied := p.apply(p.document("catalog-" + p.name))
	p.ids["service"] = applied.Service.ID.Public()
	p.apply(p.document("spare-" + p.name))
	_, err = d.Services.Pause(ctx, owner, "spare-"+p.name, nil)
	p.must(err)
	p.ids["run"] = applied.Run.ID.Public()

	left, right := p.systems["left-"+p.name].User("products"), p.systems["right-"+p.name].User("products")
	for i := range 4 {
		left.Put(record.Key(fmt.Sprint("SKU-", i)), record.Fields{"name": p.canary, "quantity": record.Int(int64(i))})
	}
	for i := range 2 { // numbers that are to fall
		for _, side := range []connectortest.User{left, right} {
			side.Put(record.Key(fmt.Sprintf("STOCK-%d-%s", i, p.canary)), record.Fields{"name": p.canary, "quantity": record.Int(100)})
		}
	}
	id := applied.Service.ID
	p.carry(id, func() {
		p.eventually("the first sync", func() bool { return len(right.All()) == 6 && p.quiet(id) })
	})
	// Two edited on both sides while nobody looks: conflicts. Two with names that the right system does not take: dead letters.
	for i := range 2 {
		key := record.Key(fmt.Sprint("SKU-", i))
		left.Put(key, record.Fields{"name": "left " + p.canary})
		right.Put(key, record.Fields{"name": "right " + p.canary})
		left.Put(record.Key(fmt.Sprint("SKU-", i+2)), record.Fields{"name": strings.Repeat("long ", 12) + p.canary})
	}
	// Numbers that fall too far on either side: two holds, with two changes each.
	for i := range 2 {
		key := record.Key(fmt.Sprintf("STOCK-%d-%s", i, p.canary))
		left.Put(key, record.Fields{"quantity": record.Int(1)})
		right.Put(key, record.Fields{"quantity": record.Int(2)})
	}
	_, _, err = d.Services.RunNow(ctx, owner, applied.Service.Name)
	p.must(err)
	_, err = d.Proofs.Ask(ctx, owner, id)
	p.must(err)
	p.carry(id, func() {
		p.eventually("what differs", func() bool {
			return p.number(`SELECT count(*) FROM proofs WHERE tenant_id = $1 AND service_id = $2 AND result IS NOT NULL`, p.tenant, uuid.UUID(id)) == 1
		})
		p.eventually("conflicts and dead letters", func() bool {
			return p.number(`SELECT count(*) FROM conflicts WHERE tenant_id = $1 AND state = 'open'`, p.tenant) == 2 &&
				p.number(`SELECT count(*) FROM dead_letters WHERE tenant_id = $1 AND state = 'open'`, p.tenant) == 2 &&
				p.number(`SELECT count(*) FROM held_changes WHERE tenant_id = $1`, p.tenant) == 4 && p.quiet(id)
		})
	})
	p.apply(strings.Replace(p.document("catalog-"+p.name), "lastWriteWins", "sourceWins", 1))

	cases, err := d.Records.Cases(ctx, owner, engine.CaseQuery{Limit: 10})
	p.must(err)
	p.ids["conflict"], p.ids["record"] = ident.Format(ident.Conflict, cases[0].ID), ident.Format(ident.Entity, cases[0].Entity)
	letters, err := d.DeadLetters.List(ctx, owner, delivery.Query{Limit: 10})
	p.must(err)
	p.ids["deadLetter"] = ident.Format(ident.DeadLetter, letters[0].ID)
	for range 2 {
		plan, err := d.Planner.PlanDocument(ctx, owner, "", []byte(p.document("catalog-"+p.name)), service.YAML)
		p.must(err)
		p.must(d.Planner.Carry(ctx, safety.PlanArgs{TenantID: p.tenant, PlanID: plan.ID}))
		plan, err = d.Planner.Get(ctx, owner, plan.ID)
		p.must(err)
		if plan.State != safety.PlanReady || len(plan.Outcome.Samples) == 0 {
			p.Fatalf("the plan is %s: %s; samples %v", plan.State, plan.Error, plan.Outcome)
		}
		p.ids["servicePlan"], p.ids["planHash"] = ident.Format(ident.ServicePlan, plan.ID), plan.Hash
	}
	holds, err := d.Holds.List(ctx, owner, safety.HoldQuery{Limit: 10})
	p.must(err)
	p.ids["hold"] = ident.Format(ident.Hold, holds[0].ID)
	for range 2 {
		r, err := d.Reconciler.Start(ctx, owner, id, reconcile.Request{Since: time.Now().AddDate(0, -2, 0), Until: time.Now().AddDate(0, 1, 0)})
		p.must(err)
		p.ids["reconciliation"] = ident.Format(ident.Reconciliation, r.ID)
		found, err := d.Reconciler.Discrepancies(ctx, owner, reconcile.Query{Reconciliation: r.ID, Limit: 10})
		p.must(err)
		p.ids["discrepancy"] = ident.Format(ident.Discrepancy, found[0].ID)
	}
	// Pairs that may be one thing, of its own records.
	p.must(store.InTx(p.db, func(tx *store.Tx) duplicate.Tx { return tx })(ctx, p.tenant, func(tx duplicate.Tx) error {
		some, err := tx.EntitiesAfter(ctx, id, cases[0].Collection, record.EntityID{}, 3)
		if err == nil {
			likely := match.Verdict{Score: 0.9, Outcome: match.Ask}
			_, err = tx.AddDuplicates(ctx, id, []duplicate.Pair{{Collection: cases[0].Collection, A: some[0].ID, B: some[1].ID, Verdict: likely},
				{Collection: cases[0].Collection, A: some[1].ID, B: some[2].ID, Verdict: likely}})
		}
		return err
	}))
	pairs, err := d.Duplicates.List(ctx, owner, duplicate.Query{Service: id, Limit: 1})
	p.must(err)
	p.ids["duplicate"] = pairs[0].Public()
	acts, err := d.Records.Acts(ctx, owner, engine.ActQuery{State: engine.ActOpen, Limit: 10})
	p.must(err)
	p.ids["ruleAction"] = ident.Format(ident.RuleAction, acts[0].ID)
	for _, field := range []string{p.canary + "_older", p.canary} {
		change := engine.ShapeChange{ID: uuid.Must(uuid.NewV7()), Service: id, System: "left", Object: "products", Field: field, Name: field, Kind: engine.FieldRetyped,
			Was: engine.FieldShape{Native: "integer"}, Is: engine.FieldShape{Native: "text"}, State: engine.ShapeOpen, Quarantined: true, FoundAt: time.Now(), Version: 1}
		p.must(store.InTx(p.db, func(tx *store.Tx) engine.DecideTx { return tx })(ctx, p.tenant, func(tx engine.DecideTx) error { return tx.SaveShapeChange(ctx, change) }))
		p.ids["schemaChange"] = ident.Format(ident.SchemaChange, change.ID)
	}
	present, err := d.Invoicer.Draft(ctx, p.tenant, billing.Month{})
	p.must(err)
	_, adjustment, err := d.Invoicer.Adjust(ctx, owner, present.ID, 0, "Credit for "+p.canary, "because of "+p.canary, decimal.New(5, 0))
	p.must(err)
	present, err = d.Invoicer.Draft(ctx, p.tenant, billing.Month{})
	p.must(err)
	p.ids["adjustment"] = ident.Format(ident.Adjustment, adjustment.ID)
	// The month before is issued, with two credit notes.
	past, err := d.Invoicer.Draft(ctx, p.tenant, present.Period.Previous())
	p.must(err)
	_, _, err = d.Invoicer.Adjust(ctx, owner, past.ID, 0, "Set-up for "+p.canary, "because of "+p.canary, decimal.New(100, 0))
	p.must(err)
	p.exec(`UPDATE invoices SET closed_at = now() WHERE id = $1`, past.ID)
	finance := auth.Principal{Kind: auth.KindMember, ID: p.members[auth.Finance].String(), Name: "finance of " + p.canary, Tenant: p.tenant, Role: auth.Finance}
	_, err = d.Invoicer.Approve(ctx, finance, past.ID, 0)
	p.must(err)
	_, err = d.Invoicer.Finalize(ctx, finance, past.ID, 0)
	p.must(err)
	for range 2 {
		note, err := d.Invoicer.Credit(ctx, owner, past.ID, decimal.New(10, 0), "Outage of "+p.canary)
		p.must(err)
		p.ids["creditNote"], p.ids["issued"] = ident.Format(ident.CreditNote, note.ID), ident.Format(ident.Invoice, past.ID)
	}
	p.ids["invoice"], p.ids["line"], p.ids["revision"] = ident.Format(ident.Invoice, present.ID), ident.Format(ident.Line, present.Lines[0].ID), "1"
	budget, err := d.Plans.AddBudget(ctx, owner, billing.Budget{Name: p.canary, Amount: decimal.NewFromInt(1000)})
	p.must(err)
	p.ids["budget"] = ident.Format(ident.Budget, budget.ID)
	endpoint, _, err := d.Webhooks.Create(ctx, owner, "Back end of "+p.canary, "https://"+p.name+".example.com/"+p.canary, nil)
	p.must(err)
	p.ids["webhookEndpoint"] = ident.Format(ident.Webhook, endpoint.ID)
	for range 2 {
		sent, err := d.Webhooks.Test(ctx, owner, endpoint.ID)
		p.must(err)
		p.ids["webhookDelivery"] = ident.Format(ident.Delivery, sent.ID)
	}
	p.ids["tenant"], p.ids["coupon"], p.ids["couponCode"], p.ids["credit"] = ident.Format(ident.Tenant, p.tenant), "launch", "LAUNCH", "crd_06f3k8t2v0h7x1m9q4r5s6t7w8"
	p.ready = true
}

// connect makes the party's two connections.
func (p *party) connect() {
	p.Helper()
	for i, side := range []string{"left", "right"} {
		c, err := p.deps.Connections.Create(context.Background(), p.owner(), connection.New{Name: side + "-db-" + p.name, Connector: side + "-" + p.name, Settings: connector.Settings{"token": p.canary}})
		p.must(err)
		if i == 0 {
			p.ids["connection"] = c.ID.Public()
		}
	}
}

func (p *party) apply(document string) service.Applied {
	p.Helper()
	out, err := p.deps.Services.Apply(context.Background(), p.owner(), service.Application{Source: []byte(document), Format: service.YAML})
	p.must(err)
	return out
}

// quiet says whether nothing is owed or under way.
func (p *party) quiet(id service.ID) bool {
	return p.number(`SELECT (SELECT count(*) FROM deliveries WHERE service_id = $1) + (SELECT count(*) FROM attempts WHERE service_id = $1)
  + (SELECT count(*) FROM runs WHERE service_id = $1 AND state IN ('queued', 'running'))`, uuid.UUID(id)) == 0
}

// carry has the engine at work on a service while fn runs, under a lease of its own.
func (p *party) carry(id service.ID, fn func()) {
	p.Helper()
	var fence int64
	err := p.admin.QueryRow(context.Background(), `INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, 1, now() + interval '1 hour')
ON CONFLICT (tenant_id, service_id) DO UPDATE SET fence = leases.fence + 1, worker_id = excluded.worker_id RETURNING fence`, p.tenant, uuid.UUID(id), uuid.New()).Scan(&fence)
	p.must(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := p.engine.Carry(ctx, p.tenant, id, fence)
		done <- err
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			p.Errorf("carrying ended: %v", err)
		}
	}()
	fn()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// code is the problem's code, "" for an answer that is none.
func (a answer) code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &p)
	return p.Code
}

// call is a request to the API. Headers are pairs: name, value.
type call struct {
	method, path string
	body         string
	key          string // an API key
	session      string // a session's token
	header       []string
}

// do sends a request and holds the answer against openapi.yaml.
func (w *world) do(c call) answer {
	w.Helper()
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(context.Background(), c.method, w.url+c.path, body)
	w.must(err)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.session != "" {
		req.AddCookie(&http.Cookie{Name: api.DefaultSessionCookie, Value: c.session})
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
		if c.method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/merge-patch+json")
		}
	}
	req.Header.Set("X-Test-Client", uuid.NewString()) // failures are counted per address
	for i := 0; i+1 < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	// One answer and away: an event stream never ends by itself.
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	res, err := http.DefaultClient.Do(req.WithContext(ctx))
	w.must(err)
	defer func() { _ = res.Body.Close() }() // it was read
	op := w.contract.Of(req)
	a := answer{status: res.StatusCode, header: res.Header}
	if op != nil && op.Stream && res.StatusCode == http.StatusOK {
		return a
	}
	a.body, err = io.ReadAll(res.Body)
	w.must(err)
	if op == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			w.Errorf("%s %s is answered %d and not documented", c.method, c.path, a.status)
		}
		return a
	}
	if err := w.contract.CheckAnswer(op, a.status, a.header, a.body); err != nil {
		w.Error(err)
	}
	if a.header.Get("X-Request-Id") == "" {
		w.Errorf("%s %s: no request id", c.method, c.path)
	}
	return a
}

// want sends a request and requires a status.
func (w *world) want(status int, c call) answer {
	w.Helper()
	a := w.do(c)
	if a.status != status {
		w.Fatalf("%s %s: %d, want %d: %s", c.method, c.path, a.status, status, a.body)
	}
	return a
}

// refused sends a request and requires a problem with that status and code.
func (w *world) refused(status int, code string, c call) answer {
	w.Helper()
	a := w.do(c)
	if a.status != status || a.code() != code {
		w.Errorf("%s %s: %d %s, want %d %s: %s", c.method, c.path, a.status, a.code(), status, code, a.body)
	}
	return a
}

// as sends a request with the party's key.
func (p *party) as(method, path, body string, header ...string) call {
	return call{method: method, path: path, body: body, key: p.key, header: header}
}

func inAWeek() string { return time.Now().AddDate(0, 0, 7).UTC().Format(time.RFC3339) }

// timeZero is "never" where a time is asked for.
var timeZero time.Time

// otherKey has the form and the check of a key, as docs/api-keys.md describes them, and nobody has it.
func otherKey() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := "sl_live_" + strings.Repeat("0", 30)
	sum, check := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		check = string(digits[sum%62]) + check
		sum /= 62
	}
	return body + check
}

func parseService(id string) (service.ID, error) { return service.ParseID(id) }

// checkThatFails is a part that does not work, for a reason that is nobody's business.
var checkThatFails = api.Check{Name: "queue", Ask: func(context.Context) error { return errors.New("password=s3cr3t is wrong") }}

// forgetful keeps no answer, as a process that dies after the effect does.
type forgetful struct {
	api.Keys
	asked int
}

func (f *forgetful) FinishKey(context.Context, tenant.ID, idempotency.Claim, idempotency.Answer) error {
	f.asked++
	return errors.New("the process is gone")
}
