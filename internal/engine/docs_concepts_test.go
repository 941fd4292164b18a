// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
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
