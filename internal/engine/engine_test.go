// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// bench is one service between in-memory systems on a real database, carried in this process.
type bench struct {
	t       testing.TB
	db      *store.DB
	url     string
	owner   *pgx.Conn // sees all tenants: for looking, never for working
	tenant  tenant.ID
	service service.ID
	systems map[string]*connectortest.Memory
	opened  func(system string, s connector.System) connector.System // unless nil: what the engine gets of a system
	opener  engine.Opener                                            // unless nil: opens the systems in place of the bench, where a planner looks
	queues  map[string]*queue                                        // stand in for the system of that name
	engine  *engine.Engine
	fence   int64
	stop    func()
	done    chan error
}

var products = connector.ObjectInfo{
	Name: "products",
	Fields: []connector.FieldInfo{
		{Name: "sku", Type: connector.TypeText},
		{Name: "name", Type: connector.TypeText, Nullable: true},
		{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
		{Name: "price", Type: connector.TypeNumber, Nullable: true, Scale: -1},
	},
	Key: []string{"sku"},
}

func newBench(t testing.TB, document string, systems ...string) *bench {
	t.Helper()
	b := &bench{t: t, url: storetest.URL(t), systems: make(map[string]*connectortest.Memory), fence: 1}
	b.db = storetest.Open(t, b.url, nil)
	b.tenant = storetest.Tenant(t, b.db)
	var err error
	if b.owner, err = pgx.Connect(context.Background(), b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.owner.Close(context.Background()) })
	for _, s := range systems {
		b.systems[s] = connectortest.NewMemory(products)
	}
	b.service = service.ID(uuid.Must(uuid.NewV7()))
	b.apply(document, 1)
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	b.engine = engine.New(store.InTx(b.db, func(tx *store.Tx) engine.Tx { return tx }), b, log)
	return b
}

// apply stores a document as the service's live revision, the way the service manager does.
func (b *bench) apply(document string, revision int) {
	b.t.Helper()
	doc, err := service.Parse([]byte(document), service.YAML)
	if err != nil {
		b.t.Fatal(err)
	}
	canonical, err := json.Marshal(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	b.exec(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at)
VALUES ($1, $2, $3, 'active', $4, true, now(), now()) ON CONFLICT (tenant_id, id) DO UPDATE SET revision = excluded.revision`,
		uuid.UUID(b.tenant), uuid.UUID(b.service), doc.Service, revision)
	b.exec(`INSERT INTO revisions (tenant_id, service_id, number, document, source, format, author, created_at)
VALUES ($1, $2, $3, $4, $5, 'yaml', 'test', now())`, uuid.UUID(b.tenant), uuid.UUID(b.service), revision, canonical, document)
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.owner.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatalf("%v\n%s", err, sql)
	}
}

func (b *bench) number(sql string, args ...any) (n int64) {
	b.t.Helper()
	if err := b.owner.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		b.t.Fatalf("%v\n%s", err, sql)
	}
	return n
}

// OpenSystem makes bench the engine's Opener.
func (b *bench) OpenSystem(ctx context.Context, _ tenant.ID, _ service.ID, _ *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	if q := b.queues[system]; q != nil {
		return q, connectortest.NewMemory().Spec(), nil
	}
	m := b.systems[system]
	s, err := m.Open(ctx, connector.Settings{}, connector.Env{Consumer: consumer})
	if err == nil && b.opened != nil {
		s = b.opened(system, s)
	}
	return s, m.Spec(), err
}

// start carries the service until halt, with a lease of its own.
func (b *bench) start() {
	b.t.Helper()
	b.exec(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, $4, now() + interval '1 hour')
ON CONFLICT (tenant_id, service_id) DO UPDATE SET fence = excluded.fence`, uuid.UUID(b.tenant), uuid.UUID(b.service), uuid.New(), b.fence)
	ctx, cancel := context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	b.stop = cancel
	fence, done := b.fence, b.done
	go func() {
		_, err := b.engine.Carry(ctx, b.tenant, b.service, fence)
		done <- err
	}()
	b.t.Cleanup(b.halt)
}

func (b *bench) halt() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	if err := <-b.done; err != nil {
		b.t.Errorf("carrying ended: %v", err)
	}
	b.fence++
}

func (b *bench) user(system string) connectortest.User { return b.systems[system].User("products") }

// eventually waits for the condition; it is looked at often and fails after a generous time.
func (b *bench) eventually(what string, condition func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 60 s: %s\n%s", what, b.state())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// state describes what the database and the systems hold, for a failure's message.
func (b *bench) state() string {
	out := ""
	for name, m := range b.systems {
		out += fmt.Sprintf("%s: %d records\n", name, len(m.User("products").All()))
	}
	for _, q := range []string{
		`SELECT 'delivery ' || system || ' ' || entity_id || ' due ' || due_at || ' ' || waits || ' ' || coalesce(waits_for::text, '-') || ' ' || waits_why || ' tries ' || tries FROM deliveries LIMIT 10`,
		`SELECT 'attempt ' || id || ' ' || system || ' ' || cardinality(entity_ids) FROM attempts`,
		`SELECT 'dead letter ' || direction || ' ' || system || ' ' || key || ' ' || code || ' ' || message FROM dead_letters LIMIT 10`,
		`SELECT 'conflict ' || field || ' ' || state || ' ' || sides::text || ' ' || reason FROM conflicts LIMIT 10`,
		`SELECT 'link ' || system || ' ' || key || ' ' || state || ' ' || behind::text FROM links WHERE behind IS NOT NULL LIMIT 10`,
		`SELECT 'hold ' || h.system || ' ' || h.kind || ' ' || h.state || ' ' || h.reason || ' ' || (SELECT count(*) FROM held_changes c WHERE c.hold_id = h.id) FROM holds h`,
		`SELECT 'reference of ' || entity_id || ' ' || field || ' ' || coalesce(parent_id::text, system || ' ' || object || ' ' || key) FROM entity_references LIMIT 10`,
		`SELECT 'lookup ' || source || ' ' || entity_id || ' ' || outcome || ' due ' || coalesce(due_at::text, 'never') FROM lookups LIMIT 10`,
		`SELECT 'source ' || source || ' ' || since || ' asked ' || asked || ' ' || error_code || ' ' || error FROM lookup_counts`,
		`SELECT 'cursor ' || system || ' ' || phase || ' ' || error_code || ' ' || error FROM cursors`,
	} {
		rows, err := b.owner.Query(context.Background(), q)
		if err != nil {
			return out + err.Error()
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			return out + err.Error()
		}
		for _, l := range lines {
			if l != nil {
				out += *l + "\n"
			}
		}
	}
	return out
}

func (b *bench) converged(systems ...string) bool {
	first := b.user(systems[0]).All()
	for _, s := range systems[1:] {
		other := b.user(s).All()
		if len(other) != len(first) {
			return false
		}
		for k, f := range first {
			if !f.Equal(other[k]) {
				return false
			}
		}
	}
	return true
}

func product(sku string, quantity int64) record.Fields {
	return record.Fields{"sku": sku, "name": "Product " + sku, "quantity": record.Int(quantity), "price": record.Number("9.99")}
}

const twoWay = `
service: stock
direction: bi-directional
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution: lastWriteWins
`

func TestTwoWay(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	for i := range 5 {
		b.user("warehouse").Put(record.Key(fmt.Sprint("A", i)), product(fmt.Sprint("A", i), 10))
	}
	b.user("shop").Put("B0", product("B0", 3))
	b.user("shop").Put("A0", product("A0", 10)) // the same product, known to both before
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 6 && b.converged("warehouse", "shop") })

	b.user("warehouse").Put("A1", product("A1", 11))
	b.eventually("an update to the right", func() bool { return record.Equal(b.user("shop").Get("A1")["quantity"], record.Int(11)) })
	b.user("shop").Put("A1", product("A1", 12))
	b.eventually("an update to the left", func() bool { return record.Equal(b.user("warehouse").Get("A1")["quantity"], record.Int(12)) })
	b.user("shop").Delete("A2")
	b.eventually("a deletion to the left", func() bool { return b.user("warehouse").Get("A2") == nil })
	b.user("warehouse").Put("A2", product("A2", 5))
	b.eventually("the deleted one comes back", func() bool { return b.user("shop").Get("A2") != nil })
	b.eventually("quiet", b.settledDown)

	// Created: A1..A4 in the shop, B0 in the warehouse, A2 again in the shop. Updated: one each way. Deleted: one.
	if n := b.number(`SELECT sum(quantity) FROM usage_events WHERE meter = 'sync_operations'`); n != 9 {
		t.Errorf("%d operations were metered, 9 were made", n)
	}
	if n := b.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`); n != 9 {
		t.Errorf("the journal has %d deliveries, 9 were made", n)
	}
	if n := b.user("warehouse").Writes() + b.user("shop").Writes(); n != 9 {
		t.Errorf("the systems were written %d times, 9 were needed", n)
	}
}

// pages reads a system in pages of ten, and begins once told to.
type pages struct {
	connector.Reader
	begin <-chan struct{}
}

func (p pages) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	select {
	case <-p.begin:
	case <-ctx.Done():
		return connector.Page{}, ctx.Err()
	}
	req.Limit = min(req.Limit, 10)
	return p.Reader.Read(ctx, req)
}

// Two systems know some of the same records, and the second is read in several pages: each record is one entity, on whichever page it
// is. Pages after the first were once taken for those of a system that is alone.
func TestManyPagesMeet(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	for i := range 60 {
		sku := fmt.Sprintf("A%02d", i)
		b.user("warehouse").Put(record.Key(sku), product(sku, 10))
		if i%6 == 0 {
			b.user("shop").Put(record.Key(sku), product(sku, 10))
		}
	}
	read := make(chan struct{})
	b.opened = func(name string, s connector.System) connector.System {
		if name != "warehouse" {
			return s
		}
		return struct {
			connector.System
			connector.Discoverer
			connector.Reader
			connector.OnceReader
			connector.KeyReader
			connector.Finder
			connector.Writer
			connector.Watcher
			connector.Recaller
		}{s, s.(connector.Discoverer), pages{s.(connector.Reader), read}, s.(connector.OnceReader), s.(connector.KeyReader), s.(connector.Finder), s.(connector.Writer), s.(connector.Watcher), s.(connector.Recaller)}
	}
	b.start()
	b.eventually("the shop is read", func() bool { return b.number(`SELECT count(*) FROM entities`) == 10 })
	close(read)
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 60 && b.settledDown() })
	if n := b.number(`SELECT count(*) FROM entities`); n != 60 {
		t.Errorf("60 records are %d entities", n)
	}
	if n := b.number(`SELECT sum(quantity) FROM usage_events WHERE meter = 'records'`); n != 60 {
		t.Errorf("60 records are metered as %d", n)
	}
}

func TestConflictByRuleAndByHand(t *testing.T) {
	b := newBench(t, `
service: stock
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution:
    strategy: warehouse-wins
    fields:
      name: {strategy: manual}
`, "warehouse", "shop")
	b.user("warehouse").Put("A", product("A", 1))
	b.start()
	b.eventually("the first sync", func() bool { return b.converged("warehouse", "shop") })
	b.halt()

	left, right := product("A", 2), product("A", 3)
	left["name"], right["name"] = "Left", "Right"
	b.user("warehouse").Put("A", left)
	b.user("shop").Put("A", right)
	b.start()
	b.eventually("the rule decides the quantity", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(2)) && record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(2))
	})
	b.eventually("both conflicts are known", func() bool { return b.number(`SELECT count(*) FROM conflicts`) == 2 })
	if n := b.number(`SELECT count(*) FROM conflicts WHERE state = 'open' AND field = 'name'`); n != 1 {
		t.Errorf("%d open conflicts about the name, want 1", n)
	}
	if l, r := b.user("warehouse").Get("A")["name"], b.user("shop").Get("A")["name"]; l != "Left" || r != "Right" {
		t.Errorf("the names were touched before anybody decided: %v and %v", l, r)
	}
}

// TestLostPlace: the stream's position is gone, and meanwhile records were made, changed and deleted. A new snapshot finds
// all of it, the deletions too.
func TestLostPlace(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	for _, sku := range []string{"A", "B", "C"} {
		b.user("warehouse").Put(record.Key(sku), product(sku, 1))
	}
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	b.halt()
	b.user("warehouse").Delete("A")
	b.user("warehouse").Put("B", product("B", 2))
	b.user("warehouse").Put("D", product("D", 4))
	b.systems["warehouse"].LosePlaces("products")
	b.start()
	b.eventually("both sides to be equal again", func() bool {
		return b.converged("warehouse", "shop") && len(b.user("shop").All()) == 3 && b.user("shop").Get("A") == nil && b.settledDown()
	})
}

// TestSystemJoins: a system that joins a service gets what the others have, and they what it has.
func TestSystemJoins(t *testing.T) {
	const three = `
service: stock
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
  - {id: market, type: memory, objects: [products]}
syncConfig:
  frequency: realtime
`
	b := newBench(t, twoWay, "warehouse", "shop", "market")
	b.user("warehouse").Put("A", product("A", 1))
	b.user("market").Put("M", product("M", 9))
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.apply(three, 2)
	if err := <-b.done; err != nil {
		t.Fatalf("the flow of the old revision ended with %v", err)
	}
	b.done <- nil
	b.halt()
	b.start()
	b.eventually("three equal systems", func() bool {
		return b.converged("warehouse", "shop", "market") && len(b.user("market").All()) == 2 && b.settledDown()
	})
}

// TestRun: a service with an interval is carried only while a run is open, and the run says what it did.
func TestRun(t *testing.T) {
	b := newBench(t, `
service: stock
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig: {frequency: 15m}
`, "warehouse", "shop")
	for i := range 7 {
		sku := fmt.Sprint("A", i)
		b.user("warehouse").Put(record.Key(sku), product(sku, 1))
	}
	for round, want := range []string{"created", "updated"} {
		run := uuid.Must(uuid.NewV7())
		b.exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, $2, $3, 'scheduled', 'queued', 'schedule', 1, now())`,
			uuid.UUID(b.tenant), run, uuid.UUID(b.service))
		b.start()
		if err := <-b.done; err != nil {
			t.Fatalf("round %d ended with %v", round, err)
		}
		b.done <- nil
		b.halt()
		if n := b.number(`SELECT count(*) FROM runs WHERE id = $1 AND state = 'succeeded' AND (counts -> 'shop' ->> $2)::int = 7`, run, want); n != 1 {
			var state, counts string
			_ = b.owner.QueryRow(context.Background(), `SELECT state, counts::text FROM runs WHERE id = $1`, run).Scan(&state, &counts)
			t.Fatalf("the run is %s with %s, want 7 %s in the shop", state, counts, want)
		}
		for i := range 7 {
			sku := fmt.Sprint("A", i)
			b.user("warehouse").Put(record.Key(sku), product(sku, 2))
		}
	}
}

// TestOneWayService: what people change in a target of a one-way service goes nowhere, and the source's next change wins there.
func TestOneWayService(t *testing.T) {
	b := newBench(t, `
service: stock
direction: unidirectional
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig: {frequency: realtime}
`, "warehouse", "shop")
	b.user("warehouse").Put("A", product("A", 1))
	b.user("shop").Put("S", product("S", 7)) // the shop's own business
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil })
	b.user("shop").Put("A", product("A", 50))
	b.user("warehouse").Put("A", product("A", 2))
	b.eventually("the source wins", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(2)) && b.settledDown()
	})
	if b.user("warehouse").Get("S") != nil || !record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(2)) {
		t.Error("something went from the target to the source")
	}
	if n := b.number(`SELECT count(*) FROM entities`); n != 1 {
		t.Errorf("%d entities, want 1", n)
	}
}

// TestDeadLetter: what a system refuses waits for a person, the rest flows, and a change or a redrive settles it.
func TestDeadLetter(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	var refuse atomic.Bool
	refuse.Store(true)
	b.systems["shop"].Check("products", func(_ record.Key, f record.Fields) error {
		if n, _ := f["quantity"].(record.Number); refuse.Load() && n == "13" {
			return fmt.Errorf("thirteen brings bad luck")
		}
		return nil
	})
	b.user("warehouse").Put("A", product("A", 13))
	b.user("warehouse").Put("B", product("B", 1))
	b.start()
	b.eventually("the rest to flow", func() bool { return b.user("shop").Get("B") != nil })
	b.eventually("a dead letter", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND direction = 'out' AND message LIKE '%bad luck%'`) == 1
	})
	b.eventually("quiet", b.settledDown)
	if n := b.number(`SELECT sum(quantity) FROM usage_events WHERE meter = 'sync_operations'`); n != 1 {
		t.Errorf("%d operations were metered; what was refused is not billed", n)
	}
	refuse.Store(false)
	b.exec(`UPDATE dead_letters SET state = 'redriven'`)
	b.exec(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT tenant_id, service_id, system, 'stock', entity_id, now(), now() FROM dead_letters`)
	b.eventually("the redrive", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
}

// TestNormalisingSystem: a system that keeps values in a form of its own is no reason to write for ever.
func TestNormalisingSystem(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.systems["shop"].Normalise("products", "name", func(v record.Value) record.Value {
		if s, ok := v.(string); ok {
			return strings.ToUpper(s)
		}
		return v
	})
	b.user("warehouse").Put("A", product("A", 1))
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.user("warehouse").Put("A", record.Fields{"sku": "A", "name": "a new name", "quantity": record.Int(1), "price": record.Number("9.99")})
	b.eventually("the new name", func() bool { return b.user("shop").Get("A")["name"] == "A NEW NAME" && b.settledDown() })
	b.user("shop").Put("A", record.Fields{"sku": "A", "name": "A NEW NAME", "quantity": record.Int(5), "price": record.Number("9.99")})
	b.eventually("the quantity comes back", func() bool {
		return record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(5)) && b.settledDown()
	})
	if name := b.user("warehouse").Get("A")["name"]; name != "a new name" {
		t.Errorf("the warehouse's name became %v, though nobody changed it", name)
	}
	if n := b.user("warehouse").Writes() + b.user("shop").Writes(); n != 3 {
		t.Errorf("%d writes, 3 were needed", n)
	}
}
