// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// leaver is a connector that leaves something behind in its system.
type leaver struct {
	connector.Connector
	typ string

	mu      sync.Mutex
	cleaned []string // "consumer: object"
	fails   error
}

func (l *leaver) Spec() connector.Spec {
	s := l.Connector.Spec()
	s.Type = l.typ
	return s
}

func (l *leaver) Open(ctx context.Context, s connector.Settings, env connector.Env) (connector.System, error) {
	system, err := l.Connector.Open(ctx, s, env)
	return &left{system, l, env.Consumer}, err
}

type left struct {
	connector.System
	l        *leaver
	consumer string
}

func (s *left) Clean(_ context.Context, objects []record.Object) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.l.fails != nil {
		return s.l.fails
	}
	for _, o := range objects {
		s.l.cleaned = append(s.l.cleaned, s.consumer+": "+string(o))
	}
	return nil
}

// clock is a time that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at
}

type bench struct {
	*service.Manager
	t           *testing.T
	db          *store.DB
	url         string
	id          tenant.ID
	who         auth.Principal
	clock       *clock
	leaver      *leaver
	connections *connection.Manager
	secrets     *vault.Secrets
}

var monday = time.Date(2026, 11, 23, 9, 7, 0, 0, time.UTC)

func setUp(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, url: storetest.URL(t), clock: &clock{now: monday}, leaver: &leaver{Connector: connectortest.NewMemory(), typ: "leaves"}}
	b.db = storetest.Open(t, b.url, b.clock.Now)
	b.id = storetest.Tenant(t, b.db)
	b.who = auth.Principal{Kind: auth.KindMember, ID: "usr_1", Name: "Ada", Tenant: b.id, Role: auth.Owner, RequestID: "req_1"}
	v := storetest.Vault(t)
	b.secrets = vault.NewSecrets(v, b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) vault.Tx { return tx }))
	guard, err := connection.NewGuard(connection.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	registry := connector.NewRegistry(connectortest.NewMemory(), b.leaver)
	b.connections = connection.NewManager(store.InTx(b.db, func(tx *store.Tx) connection.Tx { return tx }), registry, v, b.secrets, service.Expand, guard)
	b.Manager = service.NewManager(store.InTx(b.db, func(tx *store.Tx) service.Tx { return tx }), b.connections)
	if _, err := b.secrets.Set(t.Context(), b.who, "TOKEN", "t0ken", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.connections.Create(t.Context(), b.who, connection.New{Name: "warehouse-db", Connector: "memory"}); err != nil {
		t.Fatal(err)
	}
	return b
}

// stock is a document; replace changes pieces of it: old, new, old, new ...
func stock(replace ...string) []byte {
	return []byte(strings.NewReplacer(replace...).Replace(`# Products are the same in shop and warehouse.
service: stock
systems:
  - id: shop
    type: leaves
    connection:
      token: ${TOKEN}
    objects: [products]
  - id: warehouse
    type: memory
    connection: warehouse-db
    objects: [products]
syncConfig:
  frequency: 15m
fieldMapping:
  sku: sku
  quantity: quantity
`))
}

func (b *bench) apply(source []byte) service.Applied {
	b.t.Helper()
	out, err := b.Apply(b.t.Context(), b.who, service.Application{Name: "stock", Source: source, Format: service.YAML})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) stock() service.Service {
	b.t.Helper()
	s, _, err := b.Get(b.t.Context(), b.who, "stock")
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// tx runs fn in a transaction of the tenant.
func (b *bench) tx(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.db.InTenant(b.t.Context(), b.id, fn); err != nil {
		b.t.Fatal(err)
	}
}

// owner reads with the rights of the tables' owner.
func (b *bench) owner(sql string, args ...any) (out []string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) audited(action string) []audit.Entry {
	b.t.Helper()
	var entries []audit.Entry
	b.tx(func(tx *store.Tx) (err error) {
		entries, err = tx.AuditEntries(b.t.Context(), audit.Filter{Action: action})
		return err
	})
	return entries
}

func TestApplyMakesAService(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock())
	s := out.Service
	if !out.Created || !out.Revised || s.Name != "stock" || s.State != service.Active || s.Revision != 1 || s.Version != 1 || s.Realtime || s.Priority != service.PriorityStandard {
		t.Errorf("made %+v", s)
	}
	if s.NextRunAt == nil || !s.NextRunAt.Equal(monday.Add(15*time.Minute)) {
		t.Errorf("the next run is at %v", s.NextRunAt)
	}
	if out.Run == nil || out.Run.Kind != service.FirstRun || out.Run.State != service.RunQueued || out.Run.Actor != "Ada" || out.Run.Revision != 1 {
		t.Errorf("the first run is %+v", out.Run)
	}
	got, rev, err := b.Get(t.Context(), b.who, s.ID.Public())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(s) && (got.Name != s.Name || got.Version != s.Version || !got.NextRunAt.Equal(*s.NextRunAt)) {
		t.Errorf("read back as %+v, want %+v", got, s)
	}
	if rev.Source != string(stock()) || rev.Format != service.YAML || rev.Author != "Ada" || rev.Number != 1 || len(service.Diff(rev.Document, out.Revision.Document)) > 0 {
		t.Errorf("revision %+v", rev)
	}
	// The inline connection is the service's own; its reference stays text.
	c, err := b.connections.Get(t.Context(), b.who, "stock/shop")
	if err != nil || c.Owner == nil || *c.Owner != uuid.UUID(s.ID) || c.Settings["token"] != "${TOKEN}" {
		t.Errorf("its connection is %+v, %v", c, err)
	}
	runs, err := b.Runs(t.Context(), b.who, service.RunFilter{Service: s.ID})
	if err != nil || len(runs) != 1 || runs[0].ID != out.Run.ID {
		t.Errorf("runs %+v, %v", runs, err)
	}
	entries := b.audited("service.created")
	if len(entries) != 1 || entries[0].Subject != s.ID.Public() || entries[0].ActorID != "usr_1" || !strings.Contains(string(entries[0].Detail), `"differences"`) {
		t.Errorf("audited %+v", entries)
	}
	if types := b.owner(`SELECT type FROM events WHERE service_id = $1 ORDER BY id`, uuid.UUID(s.ID)); !slices.Equal(types, []string{"connection.changed", "run.queued", "service.changed"}) {
		t.Errorf("told of %v", types)
	}
}

func TestApplyRevises(t *testing.T) {
	b := setUp(t)
	first := b.apply(stock())

	// The same in other words is the same.
	same := b.apply([]byte(strings.ReplaceAll(string(stock()), "# Products are the same in shop and warehouse.", "# Another remark.")))
	if same.Created || same.Revised || len(same.Differences) > 0 || same.Service.Version != 1 || same.Revision.Number != 1 || same.Run != nil {
		t.Errorf("the same document made %+v", same)
	}
	if n := len(b.audited("service.")); n != 1 {
		t.Errorf("%d audit entries for one change", n)
	}

	// Another frequency: a revision, another next run, no run of its own.
	b.clock.set(monday.Add(time.Minute))
	out := b.apply(stock("frequency: 15m", "frequency: 1h"))
	if !out.Revised || out.Service.Revision != 2 || out.Service.Version != 2 || out.Run != nil {
		t.Errorf("revised to %+v with run %+v", out.Service, out.Run)
	}
	if want := monday.Add(time.Minute + time.Hour); !out.Service.NextRunAt.Equal(want) {
		t.Errorf("the next run is at %s, want %s", out.Service.NextRunAt, want)
	}
	if len(out.Differences) != 1 || out.Differences[0].Kind != service.Changed || !strings.HasPrefix(out.Differences[0].Path, "syncConfig.frequency") {
		t.Errorf("differences %+v", out.Differences)
	}

	// Something else: the next run stays where it was.
	b.clock.set(monday.Add(2 * time.Minute))
	if again := b.apply(stock("frequency: 15m", "frequency: 1h", "quantity: quantity", "quantity: amount")); !again.Service.NextRunAt.Equal(*out.Service.NextRunAt) {
		t.Errorf("the next run moved to %s", again.Service.NextRunAt)
	}

	// Realtime: no next run, always carried.
	if live := b.apply(stock("frequency: 15m", "frequency: realtime")); live.Service.NextRunAt != nil || !live.Service.Realtime || live.Service.Priority != service.PriorityRealtime {
		t.Errorf("realtime made %+v", live.Service)
	}
	if crit := b.apply(stock("frequency: 15m", "frequency: realtime\n  priority: critical")); crit.Service.Priority != service.PriorityCritical {
		t.Errorf("critical made %+v", crit.Service)
	}

	// A new object needs a first run; while one waits there is no second.
	b.tx(func(tx *store.Tx) error {
		r, err := tx.LockRun(t.Context(), first.Run.ID)
		if err != nil {
			return err
		}
		if r, err = r.To(service.RunRunning, tx.Now()); err != nil {
			return err
		}
		return tx.SaveRun(t.Context(), r)
	})
	more := b.apply(stock("[products]", "[products, prices]"))
	if more.Run == nil || more.Run.Kind != service.FirstRun || more.Run.ID == first.Run.ID {
		t.Errorf("new objects made run %+v", more.Run)
	}
	evenMore := b.apply(stock("[products]", "[products, prices, places]"))
	if evenMore.Run == nil || evenMore.Run.ID != more.Run.ID {
		t.Errorf("more new objects made run %+v, want the one that waits", evenMore.Run)
	}

	revisions, err := b.Revisions(t.Context(), b.who, "stock", 0, 3)
	if err != nil || len(revisions) != 3 || revisions[0].Number != 7 || revisions[2].Number != 5 {
		t.Errorf("revisions %+v, %v", revisions, err)
	}
	older, err := b.Revisions(t.Context(), b.who, "stock", 5, 100)
	if err != nil || len(older) != 4 || older[3].Number != 1 {
		t.Errorf("older revisions %+v, %v", older, err)
	}
}

func TestRollback(t *testing.T) {
	b := setUp(t)
	b.apply(stock())
	b.apply(stock("frequency: 15m", "frequency: 1h"))
	out, err := b.Rollback(t.Context(), b.who, "stock", 1, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Service.Revision != 3 || !out.Revised || out.Revision.Note != "Back to revision 1" || out.Revision.Source != string(stock()) {
		t.Errorf("rolled back to %+v", out)
	}
	first, err := b.Revision(t.Context(), b.who, "stock", 1)
	if err != nil || len(service.Diff(first.Document, out.Revision.Document)) > 0 {
		t.Errorf("it differs from revision 1: %v, %v", service.Diff(first.Document, out.Revision.Document), err)
	}
	if e := b.audited("service.rolled_back"); len(e) != 1 {
		t.Errorf("audited %+v", e)
	}
	if again, err := b.Rollback(t.Context(), b.who, "stock", 1, "", nil); err != nil || again.Revised {
		t.Errorf("to what is in force already: %+v, %v", again, err)
	}
	if _, err := b.Rollback(t.Context(), b.who, "stock", 9, "", nil); !fault.IsCode(err, "service.revision_not_found") {
		t.Errorf("to a revision that is not there: %v", err)
	}
	one := int64(1)
	if _, err := b.Rollback(t.Context(), b.who, "stock", 2, "", &one); fault.KindOf(err) != fault.Stale {
		t.Errorf("with an old version: %v", err)
	}
}

func TestApplyRefuses(t *testing.T) {
	b := setUp(t)
	b.apply(stock())
	one, two := int64(1), int64(2)
	viewer := b.who
	viewer.Role = auth.Viewer
	tests := []struct {
		name  string
		who   auth.Principal
		apply service.Application
		code  string
		field string
		line  int
	}{
		{"without the right", viewer, service.Application{Source: stock()}, "auth.forbidden", "", 0},
		{"what cannot be read", b.who, service.Application{Source: []byte("service: [")}, "service.document_invalid", "service.document_syntax", 1},
		{"another name than the address", b.who, service.Application{Name: "store", Source: stock()}, "service.name_mismatch", "service.name_mismatch", 2},
		{"an old version", b.who, service.Application{Name: "stock", Source: stock(), IfMatch: &two}, "service.version_stale", "", 0},
		{"one that is there", b.who, service.Application{Name: "stock", Source: stock(), IfNew: true}, "service.exists", "", 0},
		{"a version of one that is not there", b.who, service.Application{Source: stock("service: stock", "service: new"), IfMatch: &one}, "service.version_stale", "", 0},
		{"an unknown connection", b.who, service.Application{Source: stock("warehouse-db", "nowhere")}, "service.document_invalid", "service.connection_unknown", 11},
		{"another service's connection", b.who, service.Application{Source: stock("service: stock", "service: new", "connection: warehouse-db", "connection: stock/shop")}, "service.document_invalid", "", 0},
		{"an unknown secret", b.who, service.Application{Source: stock("${TOKEN}", "${TOKE}")}, "service.document_invalid", "service.secret_unknown", 7},
		{"a secret in clear", b.who, service.Application{Source: stock("${TOKEN}", "hunter2")}, "service.document_invalid", "service.secret_in_clear", 7},
		{"an unknown connector", b.who, service.Application{Source: stock("type: memory", "type: memroy")}, "service.document_invalid", "service.connector_unknown", 10},
		{"a connector that this build lacks", b.who, service.Application{Source: stock("type: memory", "type: salesforce")}, "service.connector_unavailable", "service.connector_unavailable", 10},
		{"that and another fault", b.who, service.Application{Source: stock("type: memory", "type: salesforce", "${TOKEN}", "${TOKE}")}, "service.document_invalid", "service.secret_unknown", 7},
		{"a draft of one that is active", b.who, service.Application{Source: stock("15m", "16m"), Draft: true}, "service.not_a_draft", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.apply.Format = service.YAML
			_, err := b.Apply(t.Context(), tt.who, tt.apply)
			f := fault.As(err)
			if f == nil || f.Code != tt.code {
				t.Fatalf("got %v, want %s", err, tt.code)
			}
			if tt.field != "" && !slices.ContainsFunc(f.Fields, func(f fault.Field) bool { return f.Code == tt.field && f.Line == tt.line }) {
				t.Errorf("fields %+v, want %s at line %d", f.Fields, tt.field, tt.line)
			}
		})
	}
	if s := b.stock(); s.Revision != 1 || s.Version != 1 {
		t.Errorf("it became %+v", s)
	}
	if names := b.owner(`SELECT name FROM services`); len(names) != 1 {
		t.Errorf("services %v", names)
	}
}

func TestDrafts(t *testing.T) {
	b := setUp(t)
	waiting := stock("type: memory", "type: salesforce", "connection: warehouse-db", "connection: {clientId: x}")
	draft, err := b.Apply(t.Context(), b.who, service.Application{Source: waiting, Format: service.YAML, Draft: true})
	if err != nil {
		t.Fatal(err)
	}
	if draft.Service.State != service.Draft || draft.Run != nil || draft.Service.NextRunAt != nil {
		t.Errorf("saved %+v", draft.Service)
	}
	if _, _, err := b.RunNow(t.Context(), b.who, "stock"); !fault.IsCode(err, "service.not_active") {
		t.Errorf("running a draft: %v", err)
	}
	if _, err := b.Pause(t.Context(), b.who, "stock", nil); !fault.IsCode(err, "service.state") {
		t.Errorf("pausing a draft: %v", err)
	}
	if _, err := b.Resume(t.Context(), b.who, "stock", nil); !fault.IsCode(err, "service.is_draft") {
		t.Errorf("resuming a draft: %v", err)
	}
	if _, err := b.Apply(t.Context(), b.who, service.Application{Source: waiting, Format: service.YAML}); !fault.IsCode(err, "service.connector_unavailable") {
		t.Errorf("putting it into force: %v", err)
	}
	out, err := b.Apply(t.Context(), b.who, service.Application{Source: stock(), Format: service.YAML, Draft: true})
	if err != nil || out.Service.State != service.Draft || out.Service.Revision != 2 {
		t.Fatalf("saved again as %+v, %v", out.Service, err)
	}
	live := b.apply(stock())
	if live.Service.State != service.Active || live.Revised || live.Service.Revision != 2 || live.Run == nil || live.Service.NextRunAt == nil {
		t.Errorf("in force as %+v", live)
	}
	if e := b.audited("service.activated"); len(e) != 1 {
		t.Errorf("audited %+v", e)
	}
}

func TestValidateAndPreviewKeepNothing(t *testing.T) {
	b := setUp(t)
	if doc, found, err := b.Validate(t.Context(), b.who, stock(), service.YAML); err != nil || doc == nil || len(found.Errors)+len(found.Notices) > 0 {
		t.Errorf("valid: %v, %+v, %v", doc, found, err)
	}
	if doc, found, err := b.Validate(t.Context(), b.who, stock("warehouse-db", "x", "${TOKEN}", "${X}", "15m", "never"), service.YAML); err != nil || doc != nil || len(found.Errors) != 3 {
		t.Errorf("invalid: %v, %+v, %v", doc, found, err)
	}
	p, err := b.DiffAgainst(t.Context(), b.who, stock(), service.YAML)
	if err != nil || p.Service != nil || len(p.Differences) == 0 {
		t.Errorf("a new one: %+v, %v", p, err)
	}
	b.apply(stock())
	p, err = b.DiffAgainst(t.Context(), b.who, stock("15m", "1h"), service.YAML)
	if err != nil || p.Service == nil || p.Service.Revision != 1 || len(p.Differences) != 1 {
		t.Errorf("another frequency: %+v, %v", p, err)
	}
	p, err = b.DiffAgainst(t.Context(), b.who, stock("15m", "never"), service.YAML)
	if err != nil || len(p.Findings.Errors) != 1 || p.Differences != nil {
		t.Errorf("with an error: %+v, %v", p, err)
	}
	if s := b.stock(); s.Revision != 1 {
		t.Errorf("it became %+v", s)
	}
}

// The six configurations of the founding text: each is refused for the connectors that are not there and for nothing else,
// and kept as a draft when asked.
func TestFoundingDocuments(t *testing.T) {
	b := setUp(t)
	files, err := os.ReadDir("testdata/mission")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		source, err := os.ReadFile("testdata/mission/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		format := service.YAML
		if strings.HasSuffix(file.Name(), ".json") {
			format = service.JSON
		}
		doc, err := service.Parse(source, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range doc.SecretNames() {
			if _, err := b.secrets.Set(t.Context(), b.who, name, "x", 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range doc.Systems {
			if s.Connection.Settings == nil {
				if _, err := b.connections.Create(t.Context(), b.who, connection.New{Name: doc.ConnectionName(s.ID), Connector: "memory"}); err != nil && !fault.IsCode(err, "connection.name_taken") {
					t.Fatal(err)
				}
			}
		}
		_, err = b.Apply(t.Context(), b.who, service.Application{Source: source, Format: format})
		if !fault.IsCode(err, "service.connector_unavailable") {
			t.Errorf("%s: %v", file.Name(), err)
			continue
		}
		out, err := b.Apply(t.Context(), b.who, service.Application{Source: source, Format: format, Draft: true})
		if err != nil || out.Service.State != service.Draft {
			t.Errorf("%s as a draft: %+v, %v", file.Name(), out.Service, err)
		}
	}
}

func TestMoves(t *testing.T) {
	for from := range 5 {
		for to := range 5 {
			a, b := service.States[from], service.States[to]
			s := service.Service{Name: "x", State: a, NextRunAt: &monday}
			moved, err := s.To(b, "because", monday)
			allowed := map[string]bool{
				"draft active": true, "draft archived": true, "active paused": true, "active action_required": true, "active archived": true, "paused active": true,
				"paused archived": true, "action_required active": true, "action_required paused": true, "action_required archived": true, "archived active": true,
			}[string(a)+" "+string(b)]
			if allowed != (err == nil) || allowed != a.May(b) {
				t.Errorf("%s to %s: %v", a, b, err)
			}
			if err != nil && !fault.IsCode(err, "service.state") {
				t.Errorf("%s to %s: %v", a, b, err)
			}
			if err == nil && (moved.State != b || (moved.Reason != "") != (b == service.ActionRequired) || (moved.NextRunAt != nil) != (b == service.Active)) {
				t.Errorf("%s to %s: %+v", a, b, moved)
			}
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	b := setUp(t)
	b.apply(stock())
	nine := int64(9)
	if _, err := b.Pause(t.Context(), b.who, "stock", &nine); fault.KindOf(err) != fault.Stale {
		t.Errorf("with an old version: %v", err)
	}
	for range 2 {
		s, err := b.Pause(t.Context(), b.who, "stock", nil)
		if err != nil || s.State != service.Paused || s.NextRunAt != nil || s.Version != 2 {
			t.Errorf("paused: %+v, %v", s, err)
		}
	}
	if _, _, err := b.RunNow(t.Context(), b.who, "stock"); !fault.IsCode(err, "service.not_active") {
		t.Errorf("running it: %v", err)
	}
	// A document applied meanwhile counts when it is resumed.
	if out := b.apply(stock("15m", "1h")); out.Service.State != service.Paused || out.Service.NextRunAt != nil {
		t.Errorf("applied while paused: %+v", out.Service)
	}
	b.clock.set(monday.Add(24 * time.Hour))
	s, err := b.Resume(t.Context(), b.who, "stock", nil)
	if err != nil || s.State != service.Active || s.NextRunAt == nil || !s.NextRunAt.Equal(monday.Add(25*time.Hour)) {
		t.Errorf("resumed: %+v, %v", s, err)
	}
	if n := len(b.audited("service.paused")) + len(b.audited("service.resumed")); n != 2 {
		t.Errorf("%d audit entries", n)
	}

	b.tx(func(tx *store.Tx) error {
		return service.RequireAction(t.Context(), tx, s.ID, "The password is wrong.")
	})
	if s := b.stock(); s.State != service.ActionRequired || s.Reason != "The password is wrong." {
		t.Errorf("waiting for a person: %+v", s)
	}
	if _, _, err := b.RunNow(t.Context(), b.who, "stock"); err == nil || !strings.Contains(fault.As(err).Message, "The password is wrong.") {
		t.Errorf("running it: %v", err)
	}
	if out := b.apply(stock("15m", "2h")); out.Service.State != service.Active || out.Service.Reason != "" {
		t.Errorf("a document that mends it: %+v", out.Service)
	}
}

func TestRunNowAndCancel(t *testing.T) {
	b := setUp(t)
	first := b.apply(stock())
	r, queued, err := b.RunNow(t.Context(), b.who, "stock")
	if err != nil || queued || r.ID != first.Run.ID {
		t.Errorf("beside a first run that waits: %+v, %v, %v", r, queued, err)
	}
	move := func(to service.RunState) {
		t.Helper()
		b.tx(func(tx *store.Tx) error {
			r, err := tx.LockRun(t.Context(), r.ID)
			if err != nil {
				return err
			}
			if r, err = r.To(to, tx.Now()); err != nil {
				return err
			}
			return tx.SaveRun(t.Context(), r)
		})
	}
	move(service.RunRunning)
	manual, queued, err := b.RunNow(t.Context(), b.who, "stock")
	if err != nil || !queued || manual.Kind != service.ManualRun || manual.Actor != "Ada" {
		t.Errorf("beside a run under way: %+v, %v, %v", manual, queued, err)
	}
	if again, queued, err := b.RunNow(t.Context(), b.who, "stock"); err != nil || queued || again.ID != manual.ID {
		t.Errorf("twice: %+v, %v, %v", again, queued, err)
	}

	for range 2 {
		if got, err := b.CancelRun(t.Context(), b.who, manual.ID); err != nil || got.State != service.RunCancelled || got.CancelAt == nil || got.FinishedAt == nil {
			t.Errorf("cancelled while queued: %+v, %v", got, err)
		}
	}
	for range 2 {
		if got, err := b.CancelRun(t.Context(), b.who, r.ID); err != nil || got.State != service.RunRunning || got.CancelAt == nil {
			t.Errorf("cancelled under way: %+v, %v", got, err)
		}
	}
	if n := len(b.audited("run.cancelled")); n != 2 {
		t.Errorf("%d audit entries", n)
	}
	move(service.RunCancelled)
	if got, err := b.CancelRun(t.Context(), b.who, r.ID); err != nil || got.State != service.RunCancelled {
		t.Errorf("cancelled when over: %+v, %v", got, err)
	}
	if _, err := b.CancelRun(t.Context(), b.who, service.NewRunID()); !fault.IsCode(err, "run.not_found") {
		t.Errorf("cancelling nothing: %v", err)
	}
	list, err := b.Runs(t.Context(), b.who, service.RunFilter{States: []service.RunState{service.RunCancelled}, Before: manual.ID})
	if err != nil || len(list) != 1 || list[0].ID != r.ID {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestArchive(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock())
	s, err := b.Archive(t.Context(), b.who, "stock", nil)
	if err != nil || s.State != service.Archived || s.NextRunAt != nil {
		t.Fatalf("archived: %+v, %v", s, err)
	}
	if r, err := b.Run(t.Context(), b.who, out.Run.ID); err != nil || r.State != service.RunCancelled {
		t.Errorf("its run is %+v, %v", r, err)
	}
	// The connection is free, and what was left in the systems is cleaned up.
	if err := b.connections.Delete(t.Context(), b.who, "warehouse-db", nil); err != nil {
		t.Errorf("deleting a connection that only an archived service names: %v", err)
	}
	for _, a := range b.chores() {
		if later, err := b.Clean(t.Context(), a, false); later || err != nil {
			t.Errorf("cleaning %s: %v, %v", a.System, later, err)
		}
	}
	if want := []string{s.ID.Consumer("shop") + ": products"}; !slices.Equal(b.leaver.cleaned, want) {
		t.Errorf("cleaned %v, want %v", b.leaver.cleaned, want)
	}
	if _, err := b.connections.Get(t.Context(), b.who, "stock/shop"); err != nil {
		t.Errorf("the settings that its document holds are gone: %v", err)
	}
	if _, err := b.connections.Create(t.Context(), b.who, connection.New{Name: "warehouse-db", Connector: "memory"}); err != nil {
		t.Fatal(err)
	}
	back := b.apply(stock())
	if back.Service.ID != s.ID || back.Service.State != service.Active || back.Run == nil || back.Revised {
		t.Errorf("applied again: %+v", back)
	}
}

// chores returns the clean-up jobs that were queued.
func (b *bench) chores() (out []service.CleanArgs) {
	b.t.Helper()
	for _, s := range b.owner(`SELECT args::text FROM river.river_job WHERE kind = 'clean' AND queue = 'chores' AND max_attempts > 10 ORDER BY id`) {
		var a service.CleanArgs
		if err := json.Unmarshal([]byte(s), &a); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func TestRemovedSystemsAreCleanedUp(t *testing.T) {
	b := setUp(t)
	two := stock("    objects: [products]\n  - id: warehouse", "    objects: [products, prices]\n  - id: warehouse")
	s := b.apply(two).Service
	b.apply(stock())
	third := stock("id: shop", "id: boutique", "type: leaves", "type: memory")
	b.apply(third)
	jobs := b.chores()
	if len(jobs) != 2 || jobs[0].System != "shop" || jobs[0].Revision != 1 || jobs[1].System != "shop" || jobs[1].Revision != 2 {
		t.Fatalf("queued %+v", jobs)
	}

	// A worker that still has to stop is waited for.
	b.tx(func(tx *store.Tx) error { return nil })
	b.owner(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at, yield) VALUES ($1, $2, $3, 1, now() + interval '1 hour', true) RETURNING 'x'`,
		uuid.UUID(b.id), uuid.UUID(s.ID), uuid.New())
	if later, err := b.Clean(t.Context(), jobs[0], false); !later || err != nil {
		t.Errorf("while a worker stops: %v, %v", later, err)
	}
	b.owner(`UPDATE leases SET expires_at = now() RETURNING 'x'`)

	b.leaver.fails = &connector.Error{Class: connector.Retry, Code: "x", Message: "Away."}
	if later, err := b.Clean(t.Context(), jobs[0], false); later || err == nil {
		t.Errorf("a system that is away: %v, %v", later, err)
	}
	if _, err := b.connections.Get(t.Context(), b.who, "stock/shop"); err != nil {
		t.Errorf("the connection is gone before it was cleaned: %v", err)
	}
	b.leaver.fails = nil
	for _, a := range jobs {
		if later, err := b.Clean(t.Context(), a, false); later || err != nil {
			t.Errorf("cleaning revision %d: %v, %v", a.Revision, later, err)
		}
	}
	if want := []string{s.ID.Consumer("shop") + ": prices", s.ID.Consumer("shop") + ": products"}; !slices.Equal(b.leaver.cleaned, want) {
		t.Errorf("cleaned %v, want %v", b.leaver.cleaned, want)
	}
	if _, err := b.connections.Get(t.Context(), b.who, "stock/shop"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the connection that no document holds is still there: %v", err)
	}
	// It came back: nothing is cleaned that is in use.
	b.leaver.cleaned = nil
	b.apply(two)
	for _, a := range jobs {
		if later, err := b.Clean(t.Context(), a, false); later || err != nil {
			t.Errorf("cleaning revision %d: %v, %v", a.Revision, later, err)
		}
	}
	if len(b.leaver.cleaned) > 0 {
		t.Errorf("cleaned %v, which is in use", b.leaver.cleaned)
	}
}

func TestConnectionInUse(t *testing.T) {
	b := setUp(t)
	b.apply(stock())
	name := "other"
	for what, err := range map[string]error{
		"deleting": b.connections.Delete(t.Context(), b.who, "warehouse-db", nil),
		"renaming": func() error {
			_, err := b.connections.Update(t.Context(), b.who, "warehouse-db", connection.Change{Name: &name})
			return err
		}(),
	} {
		if f := fault.As(err); f == nil || f.Code != "connection.in_use" || !strings.Contains(f.Message, "stock") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if used, err := b.connections.UsedBy(t.Context(), b.who, "warehouse-db"); err != nil || !slices.Equal(used, []string{"stock"}) {
		t.Errorf("used by %v, %v", used, err)
	}
	// By the system's id, where the document names none.
	b.apply(stock("    connection: warehouse-db\n", "", "id: warehouse", "id: warehouse-db"))
	if used, err := b.connections.UsedBy(t.Context(), b.who, "warehouse-db"); err != nil || !slices.Equal(used, []string{"stock"}) {
		t.Errorf("used by its id: %v, %v", used, err)
	}
}

func TestQueueDue(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock())
	id := out.Service.ID
	due := func(at time.Time) (scheduled int, next time.Time) {
		t.Helper()
		b.clock.set(at)
		if err := b.QueueDue(t.Context(), b.id, []service.ID{id, service.NewID()}); err != nil {
			t.Fatal(err)
		}
		runs, err := b.Runs(t.Context(), b.who, service.RunFilter{Service: id, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			if r.Kind == service.ScheduledRun {
				scheduled++
			}
		}
		return scheduled, *b.stock().NextRunAt
	}
	finish := func() {
		t.Helper()
		b.owner(`UPDATE runs SET state = 'succeeded', finished_at = now() WHERE state = 'queued' RETURNING 'x'`)
	}
	at := func(minutes int) time.Time { return monday.Add(time.Duration(minutes) * time.Minute) }
	steps := []struct {
		name  string
		at    time.Time
		ended bool // the runs so far have ended
		runs  int
		next  time.Time
	}{
		{"not yet due", at(14), false, 0, at(15)},
		{"due, but the first run still waits", at(15), false, 0, at(30)},
		{"due", at(31), true, 1, at(45)},
		{"due, but the last run still waits", at(46), false, 1, at(60)},
		{"missed many: one run makes up for them, and the beat begins anew", at(60*5 + 1), true, 2, at(60*5 + 16)},
		{"twice at the same time", at(60*5 + 1), true, 2, at(60*5 + 16)},
	}
	for _, step := range steps {
		if step.ended {
			finish()
		}
		if runs, next := due(step.at); runs != step.runs || !next.Equal(step.next) {
			t.Errorf("%s: %d runs, next %s, want %d, %s", step.name, runs, next, step.runs, step.next)
		}
	}
	if s := b.stock(); s.Version != 1 {
		t.Errorf("the schedule going on made version %d", s.Version)
	}
	finish()
	if _, err := b.Pause(t.Context(), b.who, "stock", nil); err != nil {
		t.Fatal(err)
	}
	b.clock.set(at(60 * 10))
	if err := b.QueueDue(t.Context(), b.id, []service.ID{id}); err != nil {
		t.Fatal(err)
	}
	if runs := b.owner(`SELECT kind FROM runs WHERE state = 'queued'`); len(runs) > 0 {
		t.Errorf("a paused service got a run")
	}
}

// Two processes find the same service due at once: one run comes of it.
func TestQueueDueOnce(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock())
	b.owner(`UPDATE runs SET state = 'succeeded', finished_at = now() RETURNING 'x'`)
	b.clock.set(monday.Add(time.Hour))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := b.QueueDue(t.Context(), b.id, []service.ID{out.Service.ID}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if runs := b.owner(`SELECT kind FROM runs WHERE state = 'queued'`); len(runs) != 1 {
		t.Errorf("%d runs", len(runs))
	}
}

// Cron follows the tenant's zone where the document names none.
func TestScheduleInTheTenantsZone(t *testing.T) {
	b := setUp(t)
	b.owner(`UPDATE tenants SET time_zone = 'Europe/Berlin' RETURNING 'x'`)
	if s := b.apply(stock("15m", "\"0 12 * * *\"")).Service; !s.NextRunAt.Equal(time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)) {
		t.Errorf("noon in Berlin is %s", s.NextRunAt)
	}
}

func TestServicesOfOthersDoNotExist(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock())
	stranger := auth.System(storetest.Tenant(t, b.db), "test")
	ctx := t.Context()
	ref := out.Service.ID.Public()
	for what, err := range map[string]error{
		"get":       func() error { _, _, err := b.Get(ctx, stranger, ref); return err }(),
		"by name":   func() error { _, _, err := b.Get(ctx, stranger, "stock"); return err }(),
		"revisions": func() error { _, err := b.Revisions(ctx, stranger, ref, 0, 10); return err }(),
		"roll back": func() error { _, err := b.Rollback(ctx, stranger, ref, 1, "", nil); return err }(),
		"pause":     func() error { _, err := b.Pause(ctx, stranger, ref, nil); return err }(),
		"archive":   func() error { _, err := b.Archive(ctx, stranger, ref, nil); return err }(),
		"run":       func() error { _, _, err := b.RunNow(ctx, stranger, ref); return err }(),
	} {
		if !fault.IsCode(err, "service.not_found") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := b.CancelRun(ctx, stranger, out.Run.ID); !fault.IsCode(err, "run.not_found") {
		t.Errorf("cancel: %v", err)
	}
	if err := b.QueueDue(ctx, stranger.Tenant, []service.ID{out.Service.ID}); err != nil {
		t.Error(err)
	}
	if list, err := b.List(ctx, stranger, service.Filter{}); err != nil || len(list) > 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	if list, err := b.List(ctx, b.who, service.Filter{Containing: "toc", States: []service.State{service.Active}}); err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
}

func TestOpenSystem(t *testing.T) {
	b := setUp(t)
	out := b.apply(stock("15m", "15m\n  changeDetection: polling"))
	doc := out.Revision.Document
	for system, name := range map[string]string{"shop": "stock/shop", "warehouse": "warehouse-db"} {
		open, spec, err := b.OpenSystem(t.Context(), b.id, out.Service.ID, doc, system, out.Service.ID.Consumer(system))
		if err != nil {
			t.Fatal(err)
		}
		if err := open.Close(); err != nil {
			t.Error(err)
		}
		if spec.Title == "" {
			t.Error("no spec")
		}
		if c, err := b.connections.Get(t.Context(), b.who, name); err != nil || c.State != connection.Healthy {
			t.Errorf("%s is %s, %v", name, c.State, err)
		}
	}
	if _, _, err := b.OpenSystem(t.Context(), b.id, out.Service.ID, doc, "nowhere", "x"); err == nil {
		t.Error("a system that is not there was opened")
	}
	if err := b.secrets.Delete(t.Context(), b.who, "TOKEN", 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.OpenSystem(t.Context(), b.id, out.Service.ID, doc, "shop", "x"); !fault.IsCode(err, "vault.secret_unknown") {
		t.Errorf("without its secret: %v", err)
	}
	if c, err := b.connections.Get(t.Context(), b.who, "stock/shop"); err != nil || c.State != connection.Expired || !strings.Contains(c.Reason, "TOKEN") {
		t.Errorf("it is %s (%s), %v", c.State, c.Reason, err)
	}
}

// A lookup service is opened like a system, through a connection of the tenant's or one that stands in the document and goes with
// it.
func TestOpenSource(t *testing.T) {
	b := setUp(t)
	const sources = "15m\n  enrichment:\n    sources: [%s{type: memory, id: table, connection: warehouse-db}]"
	inline := `{type: leaves, id: register, connection: {token: "${TOKEN}"}}, `
	out := b.apply(stock("15m", fmt.Sprintf(sources, inline)))
	for _, source := range []string{"register", "table"} {
		open, _, err := b.OpenSystem(t.Context(), b.id, out.Service.ID, out.Revision.Document, source, out.Service.ID.Consumer(source))
		if err != nil {
			t.Fatal(err)
		}
		_ = open.Close()
	}
	if _, err := b.connections.Get(t.Context(), b.who, "stock/register"); err != nil {
		t.Error(err)
	}
	b.apply(stock("15m", fmt.Sprintf(sources, "")))
	if _, err := b.connections.Get(t.Context(), b.who, "stock/register"); !fault.IsCode(err, "connection.not_found") {
		t.Errorf("the connection of a source that was taken out: %v", err)
	}
}
