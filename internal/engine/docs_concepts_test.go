// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// The worked examples of pages about concepts, on PostgreSQL and MariaDB.

const docsProducts = `CREATE TABLE products (sku varchar(20) PRIMARY KEY, name varchar(100), quantity integer)`

func newDocsBench(t *testing.T, guide string) *mixedBench {
	t.Helper()
	return newMixedBench(t, blocks(t, guide, "yaml")[0], docsProducts, docsProducts)
}

func TestDocsBackfill(t *testing.T) {
	m := newDocsBench(t, "backfill")
	m.inPG(blocks(t, "backfill", "sql")[0])
	m.start()
	m.eventually("the first sync", func() bool { return m.fromMy(`SELECT count(*) FROM products`) == "3" && m.settledDown() })
	m.halt()
	m.apply(blocks(t, "backfill", "yaml")[1], 2)
	m.start()
	run := m.ask(service.BulkRun, service.Selection{Source: "warehouse", From: "A1", To: "A9", Targets: []string{"shop"}})
	m.ended(run, service.RunSucceeded)
	expect(t, "the shop", m.fromMy(`SELECT group_concat(name ORDER BY sku) FROM products`), "A1,A2,Cleat")
	expect(t, "the warehouse", m.fromPG(`SELECT string_agg(name, ',' ORDER BY sku) FROM products`), "Anchor,Buoy,Cleat")
}

func TestDocsQuietPeriod(t *testing.T) {
	m := newDocsBench(t, "quiet-period")
	m.inPG(`INSERT INTO products VALUES ('A', 'Elm', 1)`)
	m.start()
	m.eventually("the first sync", func() bool { return m.fromMy(`SELECT name FROM products`) == "Elm" && m.settledDown() })
	m.inPG(blocks(t, "quiet-period", "sql")[0])
	m.eventually("the record to rest", func() bool {
		return m.number(`SELECT count(*) FROM entities WHERE fields ->> 'name' = 'Oak'`) == 1 && m.number(`SELECT count(*) FROM deliveries WHERE waits = 'quiet'`) == 1
	})
	expect(t, "the shop meanwhile", m.fromMy(`SELECT name FROM products`), "Elm")
	reader := engine.NewReader(store.InTx(m.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	d, err := reader.Record(context.Background(), auth.System(m.tenant, "test"), m.service, "A")
	if err != nil {
		t.Fatal(err)
	}
	if w, waits := d.WaitsFor("shop"); !waits || w.Reason != "quiet" || w.Until.IsZero() {
		t.Errorf("the shop waits for %+v, %t", w, waits)
	}
	m.exec(`UPDATE deliveries SET due_at = now()`) // half a minute later
	m.eventually("the last of it", func() bool { return m.fromMy(`SELECT name FROM products`) == "Oak" && m.settledDown() })
	if n := m.number(`SELECT count(*) FROM journal WHERE kind = 'delivery' AND op = 'update' AND system = 'shop'`); n != 1 {
		t.Errorf("the shop was written to %d times", n)
	}
}

func TestDocsUndo(t *testing.T) {
	m := newDocsBench(t, "editing-and-undo")
	m.inPG(blocks(t, "editing-and-undo", "sql")[0])
	m.start()
	shop := func() string { return m.fromMy(`SELECT group_concat(quantity ORDER BY sku) FROM products`) }
	warehouse := func() string {
		return m.fromPG(`SELECT string_agg(quantity::text, ',' ORDER BY sku) FROM products`)
	}
	m.eventually("the rule", func() bool { return shop() == "104,102,70" && warehouse() == "104,102,70" && m.settledDown() })
	m.halt()
	without, _, ruled := strings.Cut(blocks(t, "editing-and-undo", "yaml")[0], "businessRules:")
	if !ruled {
		t.Fatal("the page's document has no rule to take out")
	}
	m.apply(without, 2)
	m.start()
	m.inMy(blocks(t, "editing-and-undo", "sql")[1])
	m.eventually("the count", func() bool { return warehouse() == "104,33,70" && m.settledDown() })
	editor := safety.NewEditor(store.InTx(m.db, func(tx *store.Tx) safety.EditTx { return tx }))
	who := auth.System(m.tenant, "test")
	look, err := editor.Undo(context.Background(), who, m.service.Public(), safety.Selection{Rule: "stock-up"}, true, "")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "what would be done and kept", []int{len(look.Reversals), len(look.Kept)}, []int{1, 1})
	if _, err := editor.Undo(context.Background(), who, m.service.Public(), safety.Selection{Rule: "stock-up"}, false, look.Hash); err != nil {
		t.Fatal(err)
	}
	m.engine.Nudge(m.service)
	m.eventually("both sides", func() bool { return shop() == "4,33,70" && warehouse() == "4,33,70" && m.settledDown() })
}

func TestDocsQuarantine(t *testing.T) {
	m := newDocsBench(t, "quarantine")
	m.inPG(blocks(t, "quarantine", "sql")[0])
	m.start()
	m.eventually("the first sync", func() bool {
		return m.fromMy(`SELECT group_concat(sku) FROM products`) == "A1" && m.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 1 && m.settledDown()
	})
	letters := delivery.NewManager(store.InTx(m.db, func(tx *store.Tx) delivery.Tx { return tx }))
	who, ctx := auth.System(m.tenant, "test"), context.Background()
	list, err := letters.List(ctx, who, delivery.Query{State: delivery.Open, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	d := list[0]
	expect(t, "what is wrong", []string{d.Field, d.Rule, string(d.Key)}, []string{"quantity", "min", "A2"})
	if _, err := letters.Edit(ctx, who, d.ID, record.Fields{"quantity": record.Int(2)}, d.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := letters.Redrive(ctx, who, d.ID); err != nil {
		t.Fatal(err)
	}
	m.engine.Nudge(m.service)
	m.eventually("the record on both sides", func() bool {
		return m.fromMy(`SELECT quantity FROM products WHERE sku = 'A2'`) == "2" && m.fromPG(`SELECT quantity::text FROM products WHERE sku = 'A2'`) == "2" && m.settledDown()
	})
	expect(t, "letters that wait", m.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`), int64(0))
}

// Marks and wanted invoices: each step of the page, then many at once, of which each is told of and taken up by one alone.
func TestDocsRuleActions(t *testing.T) {
	const table = `CREATE TABLE products (sku varchar(20) PRIMARY KEY, name varchar(100), price integer, quantity integer)`
	m := newMixedBench(t, blocks(t, "business-rules", "yaml")[1], table, table)
	steps := strings.Split(strings.TrimSpace(blocks(t, "business-rules", "sql")[0]), "\n")
	ctx, who := context.Background(), auth.System(m.tenant, "test")
	reader := engine.NewReader(store.InTx(m.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	decider := engine.NewDecider(store.InTx(m.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	marks := func() int64 {
		return m.number(`SELECT coalesce(sum(CASE op WHEN 'reconcile' THEN 10 ELSE 1 END), 0) FROM journal WHERE op IN ('reconcile', 'unreconcile') AND actor = 'rule auto-reconcile'`)
	}
	invoices := func() []engine.ActCase {
		list, err := reader.Acts(ctx, who, engine.ActQuery{Action: engine.ActInvoice, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	order := func() *engine.Reconciled {
		d, err := reader.Record(ctx, who, m.service, "O-1")
		if err != nil {
			t.Fatal(err)
		}
		return d.Reconciled
	}
	m.inPG(steps[0])
	m.start()
	m.eventually("the order in the books", func() bool {
		return m.fromMy(`SELECT name FROM products`) == "Desk, shipped" && m.settledDown() && marks() == 10
	})
	if r := order(); r == nil || len(r.Rules) != 1 || r.Rules[0] != "auto-reconcile" || r.Since.IsZero() {
		t.Errorf("reconciled is %+v", r)
	}
	first := invoices()
	if len(first) != 1 || first[0].State != engine.ActWanted || first[0].Title != "O-1" || first[0].Options["terms"] != "30 days" || !record.Equal(first[0].Fields["price"], record.Int(100)) {
		t.Fatalf("wanted is %+v", first)
	}
	m.inPG(steps[1])
	m.eventually("the new price in the books", func() bool {
		return m.fromMy(`SELECT price FROM products`) == "110" && m.settledDown() && marks() == 21
	})
	if list := invoices(); len(list) != 1 || list[0].ID != first[0].ID {
		t.Errorf("wanted are %+v", list)
	}
	m.inPG(steps[2])
	m.eventually("the return", func() bool { return invoices()[0].State == engine.ActLapsed && m.settledDown() })
	if _, err := decider.Take(ctx, who, first[0].ID); fault.As(err) == nil || fault.As(err).Code != "rule_action.lapsed" {
		t.Errorf("taking up what lapsed gives %v", err)
	}
	if order() == nil || marks() != 21 {
		t.Errorf("the mark is %+v, the history %d", order(), marks())
	}
	expect(t, "what is told of the order", m.number(`SELECT count(*) FROM events WHERE type = 'rule.lapsed' AND data ->> 'does' = 'generate_invoice'`), int64(1))

	// Many in one page.
	m.inPG(`INSERT INTO products SELECT 'P-' || n, 'Lamp, shipped', n, 1 FROM generate_series(1, 60) n`)
	m.eventually("all of them", func() bool { return len(invoices()) == 61 && m.settledDown() })
	expect(t, "events with their records", m.number(`SELECT count(DISTINCT data #>> '{fields,sku}') FROM events WHERE type = 'rule.generate_invoice' AND data ->> 'idempotencyKey' = data ->> 'action'`), int64(61))
	expect(t, "events", m.number(`SELECT count(*) FROM events WHERE type = 'rule.generate_invoice'`), int64(61))
	one := invoices()[0]
	var got, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			biller := who
			biller.ID, biller.Name = fmt.Sprint("key_", i), "biller"
			switch _, err := decider.Take(ctx, biller, one.ID); {
			case err == nil:
				got.Add(1)
			case fault.As(err) != nil && fault.As(err).Code == "rule_action.taken":
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	expect(t, "who got it and who not", []int64{got.Load(), refused.Load()}, []int64{1, 7})
	if _, err := decider.Complete(ctx, who, one.ID, "INV-1", ""); fault.As(err) == nil || fault.As(err).Code != "rule_action.taken" {
		t.Errorf("to say that another's is done gives %v", err)
	}
	if c, err := decider.Release(ctx, who, one.ID, "gone home"); err != nil || c.State != engine.ActWanted || c.TakenBy != "" {
		t.Errorf("%+v, %v", c, err)
	}
	expect(t, "events after it was given back", m.number(`SELECT count(*) FROM events WHERE type = 'rule.generate_invoice'`), int64(62))
	if _, err := decider.Release(ctx, who, one.ID, ""); fault.As(err) == nil || fault.As(err).Code != "rule_action.not_taken" {
		t.Errorf("to give back what nobody has gives %v", err)
	}
	if c, err := decider.Complete(ctx, who, one.ID, "INV-1", "by hand"); err != nil || c.State != engine.ActDone || c.Reference != "INV-1" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := decider.Take(ctx, who, one.ID); fault.As(err) == nil || fault.As(err).Code != "rule_action.not_wanted" {
		t.Errorf("taking up what is done gives %v", err)
	}
	expect(t, "the audit log", m.number(`SELECT count(*) FROM audit_log WHERE action LIKE 'rule_action.%'`), int64(3))
	// What is done stays done when the record ceases to meet the rule; met anew, it is wanted anew.
	sku := record.Text(one.Fields["sku"])
	m.inPG(`UPDATE products SET name = 'Lamp, returned' WHERE sku = '` + sku + `'`)
	m.eventually("the lapse", func() bool {
		return m.number(`SELECT count(*) FROM rule_actions WHERE state = 'done' AND reference = 'INV-1' AND lapsed_at IS NOT NULL`) == 1
	})
	m.inPG(`UPDATE products SET name = 'Lamp, shipped' WHERE sku = '` + sku + `'`)
	m.eventually("the new one", func() bool { return len(invoices()) == 62 && invoices()[0].State == engine.ActWanted })

	// A revision without the rules ends what they did, though no record changes; what was done stays done.
	m.halt()
	without, _, ruled := strings.Cut(blocks(t, "business-rules", "yaml")[1], "businessRules:")
	if !ruled {
		t.Fatal("the page's document has no rules to take out")
	}
	m.apply(without, 2)
	m.start()
	m.eventually("the end of all marks", func() bool { return m.number(`SELECT count(*) FROM rule_actions WHERE lapsed_at IS NULL`) == 0 })
	if order() != nil {
		t.Errorf("the order is still reconciled by %+v", order())
	}
	expect(t, "what is still wanted, and what was done", []int64{m.number(`SELECT count(*) FROM rule_actions WHERE state = 'wanted'`), m.number(`SELECT count(*) FROM rule_actions WHERE state = 'done' AND action = 'generate_invoice'`)}, []int64{0, 1})
	expect(t, "marks without an end", m.number(`SELECT count(*) FROM (SELECT entity_id FROM journal WHERE op IN ('reconcile', 'unreconcile') GROUP BY entity_id HAVING count(*) % 2 = 1) open`), int64(0))
}

// steps are the statements of a page's example.
func steps(t *testing.T, guide string) []string {
	t.Helper()
	return strings.Split(blocks(t, guide, "sql")[0], ";\n")
}

func TestDocsConflicts(t *testing.T) {
	const table = `CREATE TABLE products (sku varchar(20) PRIMARY KEY, name varchar(100), price integer, quantity integer)`
	m := newMixedBench(t, blocks(t, "conflicts", "yaml")[0], table, table)
	step := steps(t, "conflicts")
	m.inPG(step[0])
	m.start()
	m.eventually("the first sync", func() bool { return m.fromMy(`SELECT count(*) FROM products`) == "1" && m.settledDown() })
	m.halt()
	m.inPG(step[1])
	// The shop is later, by the clock that both read; its log tells of whole seconds.
	second := m.fromMy(`SELECT unix_timestamp()`)
	m.eventually("the next second", func() bool { return m.fromMy(`SELECT unix_timestamp()`) != second })
	m.inMy(step[2])
	m.start()
	m.eventually("the rules' decisions", func() bool {
		return m.fromPG(`SELECT price || ' ' || quantity FROM products`) == "104 8" && m.fromMy(`SELECT concat(price, ' ', quantity) FROM products`) == "104 8"
	})
	m.eventually("the name to wait", func() bool {
		return m.number(`SELECT count(*) FROM conflicts WHERE state = 'open' AND field = 'name'`) == 1 && m.settledDown()
	})
	expect(t, "the warehouse", m.fromPG(`SELECT name FROM products`), "Oak desk")
	expect(t, "the shop", m.fromMy(`SELECT name FROM products`), "New! Desk")
}

func TestDocsDeletes(t *testing.T) {
	const table = `CREATE TABLE products (sku varchar(20) PRIMARY KEY, name varchar(100), status varchar(20))`
	m := newMixedBench(t, blocks(t, "deletes", "yaml")[1], table, table)
	step := steps(t, "deletes")
	in := func() string { return m.fromMy(`SELECT group_concat(sku, ' ', status ORDER BY sku) FROM products`) }
	m.inPG(step[0])
	m.start()
	m.eventually("the first sync", func() bool { return in() == "A1 sold,A2 sold" && m.settledDown() })
	m.inPG(step[1])
	m.eventually("the mark", func() bool { return in() == "A1 sold,A2 discontinued" && m.settledDown() })
	expect(t, "the warehouse", m.fromPG(`SELECT string_agg(sku, ',') FROM products`), "A1")
	m.inPG(step[2])
	m.eventually("it to be back", func() bool { return in() == "A1 sold,A2 back" && m.settledDown() })
	if n := m.number(`SELECT count(*) FROM entities`); n != 2 {
		t.Errorf("%d records are known", n)
	}
}

func TestDocsSafetyBrake(t *testing.T) {
	m := newDocsBench(t, "safety-brake")
	step := steps(t, "safety-brake")
	in := func() string { return m.fromMy(`SELECT group_concat(sku, ' ', quantity ORDER BY sku) FROM products`) }
	m.inPG(step[0])
	m.start()
	m.eventually("the first sync", func() bool { return m.fromMy(`SELECT count(*) FROM products`) == "5" && m.settledDown() })
	m.inPG(step[1:]...)
	deletes, values := m.held(engine.HoldDeletes, 3), m.held(engine.HoldValues, 1)
	m.eventually("what goes through", func() bool { return in() == "A1 100,A2 50,A3 100,A4 100,A5 100" && m.settledDown() })
	_, err := m.holds().Release(t.Context(), m.person(), deletes.ID, "", 0)
	m.decided(deletes, err)
	m.eventually("the deletions", func() bool { return in() == "A1 100,A2 50" })
	_, err = m.holds().Reject(t.Context(), m.person(), values.ID, "Counted", true, 0)
	m.decided(values, err)
	m.eventually("the warehouse to be set back", func() bool {
		return m.fromPG(`SELECT string_agg(sku || ' ' || quantity, ',' ORDER BY sku) FROM products`) == "A1 100,A2 50"
	})
}
