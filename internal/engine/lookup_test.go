// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// register is what a lookup service knows of products.
var register = connector.ObjectInfo{
	Name: "register",
	Fields: []connector.FieldInfo{
		{Name: "code", Type: connector.TypeText},
		{Name: "name", Type: connector.TypeText, Nullable: true},
		{Name: "price", Type: connector.TypeNumber, Nullable: true, Scale: -1},
	},
	Key: []string{"code"},
}

// oracle counts what a lookup service is asked, and lets tests act in the middle of it.
type oracle struct {
	connector.System
	mu        sync.Mutex
	asked     map[string]int
	calls     int
	meanwhile func()
	fails     error
	refuses   string
	stumbles  string         // asked about this and nothing that it refuses, it says once that it has too much to do
	answered  map[string]int // how often it really answered
}

func (o *oracle) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	o.mu.Lock()
	o.calls++
	meanwhile, fails := o.meanwhile, o.fails
	o.meanwhile = nil
	for _, q := range queries {
		if fails == nil {
			o.asked[record.Text(q["code"])]++
		}
		if o.refuses != "" && record.Text(q["code"]) == o.refuses {
			fails = &connector.Error{Class: connector.Reject, Code: "test.refused", Message: "No."}
		}
	}
	for _, q := range queries {
		if fails == nil && o.stumbles != "" && record.Text(q["code"]) == o.stumbles {
			fails, o.stumbles = &connector.Error{Class: connector.SlowDown, Code: "test.busy", Message: "Not so fast.", After: time.Millisecond}, ""
		}
	}
	for _, q := range queries {
		if fails == nil {
			o.answered[record.Text(q["code"])]++
		}
	}
	o.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	if fails != nil {
		return nil, fails
	}
	return o.System.(connector.Finder).Find(ctx, object, fields, queries)
}

func (o *oracle) Objects(ctx context.Context) ([]record.Object, error) {
	return o.System.(connector.Discoverer).Objects(ctx)
}

func (o *oracle) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	return o.System.(connector.Discoverer).Describe(ctx, objects...)
}

func (o *oracle) times(code string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[code]
}

func lookupDocument(rest string) string {
	return twoWay + "  enrichment:\n" + rest
}

const askRegister = "    sources: [{id: register, type: memory, object: register, ask: {code: sku}%s}]\n"

// newLookupBench is a bench with a lookup service named register.
func newLookupBench(t *testing.T, document string) (*bench, *oracle) {
	t.Helper()
	b := newBench(t, document, "warehouse", "shop")
	b.systems["register"] = connectortest.NewMemory(register, products)
	o := &oracle{asked: make(map[string]int), answered: make(map[string]int)}
	b.opened = func(system string, s connector.System) connector.System {
		if system != "register" {
			return s
		}
		o.System = s
		return o
	}
	return b, o
}

func (b *bench) knows(code, name, price string) {
	f := record.Fields{"code": code}
	if name != "" {
		f["name"] = name
	}
	if price != "" {
		f["price"] = record.Number(price)
	}
	b.systems["register"].User("register").Put(record.Key(code), f)
}

func bare(sku string) record.Fields { return record.Fields{"sku": sku, "quantity": record.Int(1)} }

// lookups counts rows by outcome.
func (b *bench) lookups(outcome string) int64 {
	return b.number(`SELECT count(*) FROM lookups WHERE outcome = $1`, outcome)
}

func (b *bench) enriched() int64 {
	return b.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'enrichments'`)
}

// Answers fill what is empty in all systems, what a system says stays, each record is asked about once, and what is charged is
// what was filled.
func TestLookupFillsWhatIsEmpty(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	b.knows("A", "Anvil", "12.5")
	b.knows("B", "Bell", "3")
	b.knows("D", "Product D", "9.99")
	b.user("warehouse").Put("A", bare("A"))
	named := bare("B")
	named["name"] = "Our bell"
	b.user("warehouse").Put("B", named)
	b.user("warehouse").Put("C", bare("C"))       // not known
	b.user("warehouse").Put("D", product("D", 1)) // nothing is empty
	b.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.user("shop").All(), b.user("warehouse").All())
		}
	})
	b.eventually("the answers in both systems", func() bool {
		shop, warehouse := b.user("shop"), b.user("warehouse")
		return shop.Get("A")["name"] == "Anvil" && warehouse.Get("A")["name"] == "Anvil" && record.Equal(shop.Get("A")["price"], record.Number("12.5")) &&
			record.Equal(shop.Get("B")["price"], record.Number("3")) && record.Equal(warehouse.Get("B")["price"], record.Number("3")) && shop.Get("D") != nil
	})
	b.eventually("all lookups are done", func() bool {
		return b.lookups("filled") == 2 && b.lookups("unknown") == 1 && b.lookups("complete") == 1 && b.settledDown()
	})
	if got := b.user("shop").Get("B")["name"]; got != "Our bell" {
		t.Errorf("the name that was there became %v", got)
	}
	for code, want := range map[string]int{"A": 1, "B": 1, "C": 1, "D": 0} {
		if n := o.times(code); n != want {
			t.Errorf("%s was asked about %d times, want %d", code, n, want)
		}
	}
	if n := b.enriched(); n != 2 {
		t.Errorf("%d lookups are charged, 2 filled something", n)
	}
	if n := b.number(`SELECT asked FROM lookup_counts`); n != 3 {
		t.Errorf("%d lookups are counted, 3 were made", n)
	}
	if n := b.number(`SELECT count(*) FROM journal WHERE system = 'register' AND kind = 'change'`); n != 2 {
		t.Errorf("the history has %d entries of the register, want 2", n)
	}
	if n := b.number(`SELECT count(*) FROM conflicts`); n != 0 {
		t.Errorf("there are %d conflicts", n)
	}
	// A change of what it is not asked by asks nothing, nor does a restart.
	b.halt()
	b.start()
	b.user("warehouse").Put("C", record.Fields{"quantity": record.Int(7)})
	b.eventually("the change", func() bool { return record.Equal(b.user("shop").Get("C")["quantity"], record.Int(7)) })
	if n := o.times("C"); n != 1 {
		t.Errorf("C was asked about %d times", n)
	}
}

// What is edited between question and answer stays, and what a system says later goes before an answer, without a conflict.
func TestLookupLosesNoEdit(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, ", overwrite: true")))
	b.knows("A", "Anvil", "12.5")
	b.user("warehouse").Put("A", bare("A"))
	asked, edited := make(chan struct{}), make(chan struct{})
	o.meanwhile = func() {
		close(asked)
		<-edited
	}
	b.start()
	<-asked
	b.eventually("the record in the shop", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.user("shop").Put("A", record.Fields{"name": "Edited"})
	b.eventually("the edit is known", func() bool { return b.number(`SELECT count(*) FROM entities WHERE fields->>'name' = 'Edited'`) == 1 })
	close(edited)
	b.eventually("the answer beside the edit", func() bool {
		return record.Equal(b.user("warehouse").Get("A")["price"], record.Number("12.5")) && b.user("warehouse").Get("A")["name"] == "Edited" && b.settledDown()
	})
	b.user("shop").Put("A", record.Fields{"price": record.Number("13")})
	b.eventually("the later word", func() bool {
		return record.Equal(b.user("warehouse").Get("A")["price"], record.Number("13")) && b.settledDown()
	})
	if n := b.number(`SELECT count(*) FROM conflicts`); n != 0 {
		t.Errorf("there are %d conflicts", n)
	}
	if n := b.enriched(); n != 1 {
		t.Errorf("%d lookups are charged", n)
	}
}

// A deletion goes before an answer that its system has not got yet: what a source says is no edit that would keep the record.
func TestDeletionGoesBeforeAnAnswer(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	b.knows("A", "Anvil", "12.5")
	b.user("warehouse").Put("A", bare("A"))
	asked, answer := make(chan struct{}), make(chan struct{})
	o.meanwhile = func() {
		close(asked)
		<-answer
	}
	b.start()
	<-asked
	b.eventually("the record in the shop", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	for range 2000 { // more than there is time for
		b.systems["shop"].Plant(connectortest.Fault{On: connectortest.OnWrite, Class: connector.SlowDown, After: 50 * time.Millisecond})
	}
	close(answer)
	b.eventually("the answer in the warehouse", func() bool { return record.Equal(b.user("warehouse").Get("A")["price"], record.Number("12.5")) })
	b.user("shop").Delete("A")
	b.eventually("the deletion", func() bool { return b.user("warehouse").Get("A") == nil })
	if n := b.number(`SELECT count(*) FROM conflicts`); n != 0 {
		t.Errorf("there are %d conflicts", n)
	}
	if b.systems["shop"].Planted() == 0 {
		t.Error("the shop got the answer before")
	}
}

// A crash at any point between question and commit asks again at worst, and charges once.
func TestLookupCrashes(t *testing.T) {
	for _, seam := range []string{"lookups counted", "lookups answered", "lookups saved", "lookups committed"} {
		t.Run(seam, func(t *testing.T) {
			t.Parallel()
			b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
			for i := range 5 {
				sku := fmt.Sprint("P", i)
				b.knows(sku, "Name of "+sku, "")
				b.user("warehouse").Put(record.Key(sku), bare(sku))
			}
			crash := newCrash(seam)
			b.engine.Seam = crash.at
			crash.arm(1)
			b.startCrashing()
			b.eventually("the crash at "+seam, crash.happened)
			b.crash()
			b.start()
			b.eventually("all answers", func() bool { return b.lookups("filled") == 5 && b.settledDown() && b.converged("warehouse", "shop") })
			if n := b.enriched(); n != 5 {
				t.Errorf("%d lookups are charged, 5 records were filled", n)
			}
			if n := b.number(`SELECT count(*) FROM journal WHERE system = 'register'`); n != 5 {
				t.Errorf("the history has %d entries", n)
			}
			for i := range 5 {
				if n := o.times(fmt.Sprint("P", i)); n > 2 {
					t.Errorf("P%d was asked about %d times", i, n)
				}
			}
			if n := b.number(`SELECT sum(asked) FROM lookup_counts`); n < 5 {
				t.Errorf("only %d lookups are counted", n)
			}
		})
	}
}

// What a source answered before it failed is kept and charged, and not asked again: here it refuses one question of a batch, so that
// the others are asked in parts, and stumbles over a later part.
func TestLookupsAnsweredBeforeAFailureAreKept(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	skus := []string{"A", "B", "C", "D"}
	o.refuses, o.stumbles = "B", "C"
	for _, sku := range skus {
		b.knows(sku, "Name of "+sku, "")
		b.user("warehouse").Put(record.Key(sku), bare(sku))
	}
	b.start()
	b.eventually("the answers", func() bool { return b.lookups("filled") == 3 && b.lookups("refused") == 1 && b.settledDown() })
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sku := range []string{"A", "C", "D"} {
		if n := o.answered[sku]; n != 1 {
			t.Errorf("%s was answered %d times", sku, n)
		}
	}
	if o.stumbles != "" {
		t.Error("it never failed in between")
	}
	if n := b.enriched(); n != 3 {
		t.Errorf("%d lookups are charged, 3 records were filled", n)
	}
	if n := b.number(`SELECT sum(asked) FROM lookup_counts`); n != 4 {
		t.Errorf("%d lookups are counted, 4 questions got an answer or a refusal", n)
	}
}

// Sources are asked in their order, the next only about what is still empty; one whose limit is reached keeps the next from nothing.
func TestLookupsInOrder(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(`    sources:
      - {id: register, type: memory, object: register, ask: {code: sku}, limit: 2}
      - {id: second, type: memory, object: register, ask: {code: sku}, fill: {price: price}}
`))
	b.systems["second"] = connectortest.NewMemory(register, products)
	for _, sku := range []string{"A", "B", "C"} {
		b.systems["second"].User("register").Put(record.Key(sku), record.Fields{"code": sku, "name": "not this", "price": record.Number("2")})
		b.user("warehouse").Put(record.Key(sku), bare(sku))
	}
	b.knows("A", "Anvil", "1")
	b.knows("B", "Bell", "")
	b.knows("C", "Chair", "1")
	b.start()
	prices := func(sku string) record.Value { return b.user("shop").Get(record.Key(sku))["price"] }
	b.eventually("all that may be asked", func() bool {
		return b.user("shop").Get("C") != nil && b.number(`SELECT count(*) FROM lookups WHERE due_at <= now()`) == 1 && b.settledDown()
	})
	asked, filled := b.number(`SELECT sum(asked) FROM lookup_counts WHERE source = 'second'`), b.number(`SELECT sum(filled) FROM lookup_counts WHERE source = 'second'`)
	// The register was asked about two of the three. It left the price of B, and of what it was not asked about.
	var open int64
	for _, sku := range []string{"A", "B", "C"} {
		if o.times(sku) == 0 || sku == "B" {
			open++
			if !record.Equal(prices(sku), record.Number("2")) {
				t.Errorf("the price of %s is %v", sku, prices(sku))
			}
		} else if !record.Equal(prices(sku), record.Number("1")) {
			t.Errorf("the price of %s is %v", sku, prices(sku))
		}
	}
	if asked != open || filled != open {
		t.Errorf("the second was asked %d times and filled %d, %d were open", asked, filled, open)
	}
	if n := b.enriched(); n != 2+open {
		t.Errorf("%d lookups are charged, want %d", n, 2+open)
	}
	if n := b.number(`SELECT count(DISTINCT system) FROM usage_events WHERE meter = 'enrichments'`); n != 2 {
		t.Errorf("usage names %d sources", n)
	}
}

// A limit holds: what is over it waits for the next period. An answer that is too old is asked for again, and refreshes what the
// source itself said.
func TestLookupLimitAndAge(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, ", limit: 3, per: hour, maxAge: 7d")))
	for i := range 5 {
		sku := fmt.Sprint("P", i)
		b.knows(sku, "Name of "+sku, "")
		b.user("warehouse").Put(record.Key(sku), bare(sku))
	}
	b.start()
	b.eventually("three answers", func() bool { return b.lookups("filled") == 3 && b.settledDown() })
	b.eventually("two that wait", func() bool { return b.number(`SELECT count(*) FROM lookups WHERE due_at <= now()`) == 2 })
	if n := b.number(`SELECT asked FROM lookup_counts`); n != 3 {
		t.Errorf("%d lookups were made", n)
	}
	b.halt()
	b.exec(`UPDATE lookup_counts SET since = since - interval '1 hour'`)
	b.start()
	b.eventually("the rest in the next period", func() bool { return b.lookups("filled") == 5 && b.settledDown() })
	b.halt()
	b.knows("P0", "Another name", "")
	b.exec(`UPDATE lookups SET asked_at = asked_at - interval '8 days', due_at = due_at - interval '8 days' WHERE entity_id IN (SELECT id FROM entities WHERE match_key LIKE '%P0%')`)
	b.exec(`DELETE FROM lookup_counts`)
	b.start()
	b.eventually("the fresh answer", func() bool { return b.user("shop").Get("P0")["name"] == "Another name" && b.settledDown() })
	if n := o.times("P0"); n != 2 {
		t.Errorf("P0 was asked about %d times", n)
	}
	if n := o.times("P1"); n != 1 {
		t.Errorf("P1 was asked about %d times", n)
	}
}

// A source that fails keeps nobody from syncing, and is asked again; a question that it will not take does not spoil the others.
func TestLookupTrouble(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	o.fails = &connector.Error{Class: connector.Retry, Code: "test.down", Message: "The register is down."}
	o.refuses = "bad"
	b.knows("A", "Anvil", "")
	b.user("warehouse").Put("A", bare("A"))
	b.user("warehouse").Put("bad", bare("bad"))
	b.start()
	b.eventually("the sync all the same", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.eventually("the trouble to be seen", func() bool {
		return b.number(`SELECT count(*) FROM lookup_counts WHERE error_code = 'test.down' AND failing_since IS NOT NULL AND asked = 0`) == 1
	})
	o.mu.Lock()
	o.fails = nil
	o.mu.Unlock()
	b.eventually("the answer", func() bool { return b.user("shop").Get("A")["name"] == "Anvil" && b.lookups("refused") == 1 })
	if n := b.number(`SELECT count(*) FROM lookup_counts WHERE failing_since IS NOT NULL`); n != 0 {
		t.Error("the trouble is over and still shown")
	}
}

// onUpdate: a record that comes to be another question is asked about again; onNewContact alone asks about new ones.
func TestLookupOfChanges(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument("    onUpdate: true\n"+fmt.Sprintf(askRegister, "")))
	b.user("warehouse").Put("A", bare("A"))
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	if n := b.number(`SELECT count(*) FROM lookups`); n != 0 {
		t.Errorf("a new record is asked about with onUpdate alone: %d", n)
	}
	b.knows("A", "Anvil", "")
	b.user("warehouse").Put("A", record.Fields{"quantity": record.Int(2)})
	b.eventually("the answer", func() bool { return b.user("shop").Get("A")["name"] == "Anvil" && b.settledDown() })
	b.user("warehouse").Put("A", record.Fields{"quantity": record.Int(3)})
	b.eventually("another change", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(3)) && b.settledDown()
	})
	if n := o.times("A"); n != 1 {
		t.Errorf("A was asked about %d times", n)
	}
}

// What a person edits in Syncline is asked about as what a system changes, and paid for as that: with onUpdate, and once.
func TestLookupOfEdits(t *testing.T) {
	for word, asked := range map[string]int{"onUpdate": 1, "onNewContact": 0} {
		t.Run(word, func(t *testing.T) {
			b, o := newLookupBench(t, lookupDocument("    "+word+": true\n"+fmt.Sprintf(askRegister, "")))
			b.user("warehouse").Put("A", record.Fields{"sku": "A", "name": "Anvil", "quantity": record.Int(1)})
			b.start()
			asking := func() bool { return b.number(`SELECT count(*) FROM lookups WHERE due_at <= now()`) > 0 }
			b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() && !asking() })
			before := o.times("A")
			b.knows("A", "Anvil of iron", "12.5")
			editor := safety.NewEditor(store.InTx(b.db, func(tx *store.Tx) safety.EditTx { return tx }))
			for n := int64(2); n < 4; n++ {
				if _, err := editor.Change(t.Context(), b.person(), safety.Edit{Service: b.service.Public(), System: "shop", Record: "A", Fields: record.Fields{"quantity": record.Int(n)}}); err != nil {
					t.Fatal(err)
				}
				b.engine.Nudge(b.service)
				b.eventually("the edit, and what is asked because of it", func() bool {
					f := b.user("shop").Get("A")
					return record.Equal(f["quantity"], record.Int(n)) && record.Equal(f["price"], record.Number("12.5")) == (asked > 0) && b.settledDown() && !asking()
				})
			}
			if n := o.times("A") - before; n != asked {
				t.Errorf("it was asked about %d times because of two edits, want %d", n, asked)
			}
			if n := b.enriched(); n != int64(asked) {
				t.Errorf("%d lookups are charged, want %d", n, asked)
			}
		})
	}
}

// Questions, answers and what is charged for them go in batches.
func TestLookupsGoInBatches(t *testing.T) {
	b, o := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	for i := range 120 { // several batches
		sku := fmt.Sprintf("P%03d", i)
		b.knows(sku, "Name of "+sku, "")
		b.user("warehouse").Put(record.Key(sku), bare(sku))
	}
	b.start()
	b.eventually("all answers", func() bool { return b.lookups("filled") == 120 && b.converged("warehouse", "shop") && b.settledDown() })
	if n := b.enriched(); n != 120 {
		t.Errorf("%d are charged", n)
	}
	if n := b.number(`SELECT count(*) FROM usage_events WHERE meter = 'enrichments'`); n > 20 {
		t.Errorf("%d events for 120 records", n)
	}
	if o.calls > 20 {
		t.Errorf("%d calls for 120 records", o.calls)
	}
}

// A run of a service on a schedule ends when the answers are in and delivered.
func TestLookupsBelongToTheRun(t *testing.T) {
	b, _ := newLookupBench(t, strings.Replace(lookupDocument(fmt.Sprintf(askRegister, "")), "frequency: realtime", "frequency: 15m", 1))
	b.knows("A", "Anvil", "1")
	b.user("warehouse").Put("A", bare("A"))
	b.exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, gen_random_uuid(), $2, 'scheduled', 'queued', 'schedule', 1, now())`,
		[16]byte(b.tenant), [16]byte(b.service))
	b.start()
	if err := <-b.done; err != nil {
		t.Fatal(err)
	}
	b.done <- nil
	if b.user("shop").Get("A")["name"] != "Anvil" || b.user("warehouse").Get("A")["name"] != "Anvil" || b.lookups("filled") != 1 {
		t.Errorf("the run ended with %v and %v", b.user("shop").All(), b.user("warehouse").All())
	}
}

// Another tenant sees nothing of what is looked up.
func TestLookupsAreApart(t *testing.T) {
	b, _ := newLookupBench(t, lookupDocument(fmt.Sprintf(askRegister, "")))
	b.knows("A", "Anvil", "")
	b.user("warehouse").Put("A", bare("A"))
	b.start()
	b.eventually("the answer", func() bool { return b.lookups("filled") == 1 })
	other := storetest.Tenant(t, b.db)
	own, err := b.figures(b.tenant)
	if err != nil || own.Asked != 1 || own.Filled != 1 {
		t.Errorf("the tenant sees %+v, %v", own, err)
	}
	foreign, err := b.figures(other)
	if err != nil || foreign.Asked != 0 || foreign.Waiting != 0 {
		t.Errorf("another tenant sees %+v, %v", foreign, err)
	}
}

// figures are what a tenant sees of the register.
func (b *bench) figures(who tenant.ID) (f engine.LookupFigures, err error) {
	now := time.Now().UTC()
	err = store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx })(context.Background(), who, func(tx engine.ReadTx) error {
		f, err = tx.Lookups(context.Background(), b.service, "register", time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC))
		return err
	})
	return f, err
}
