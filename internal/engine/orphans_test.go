// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

func (f *family) heldChanges(h safety.Hold) []safety.HeldChange {
	f.t.Helper()
	list, err := f.holds().Changes(context.Background(), f.person(), h.ID, "", 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// fates counts the references to deleted records by what was decided of them.
func (f *family) fates(fate engine.Fate) int64 {
	return f.number(`SELECT count(*) FROM entity_references r JOIN entities p ON p.id = r.parent_id AND p.deleted_at IS NOT NULL
JOIN entities c ON c.id = r.entity_id AND c.deleted_at IS NULL WHERE r.fate = $1`, string(fate))
}

// Records whose parent was deleted before the document, or they themselves, made orphans of them are weighed when they are found: a person is
// asked about many, the answer holds for as long as they refer to the same record, and a few go by themselves.
func TestBrakeWeighsLateOrphans(t *testing.T) {
	document := blocks(t, "hierarchies", "yaml")[0]
	f := newFamily(t, document+"  references: {orphans: wait}\n  safetyThreshold: {maxDeletes: 2}\n")
	f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (1, 'A1', 'Acme'), (2, 'A2', 'Bolt')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O1', 1, 10), ('O2', 1, 20), ('O3', 1, 30)`)
	f.start()
	all := "A1 Acme of -\nA2 Bolt of -\nO1 10.00 of A1\nO2 20.00 of A1\nO3 30.00 of A1\n"
	f.both("the first sync", all)
	f.do("crm", `DELETE FROM accounts WHERE number = 'A1'`)
	f.one("the deletion waits for the orders", `SELECT count(*) FROM deliveries WHERE waits = 'reference' AND system = 'shop'`, 1)
	f.halt()
	f.apply(document+"  references: {orphans: delete}\n  safetyThreshold: {maxDeletes: 2}\n", 2)
	f.start()
	h := f.held(engine.HoldOrphans, 3)
	if h.System != "crm" || h.Object != "orders" || !strings.Contains(h.Reason, "3 records that refer to deleted ones would be deleted, and 2 are allowed of orders in crm") {
		t.Errorf("held of %s in %s because: %s", h.Object, h.System, h.Reason)
	}
	for _, c := range f.heldChanges(h) {
		if c.Op != "delete" || c.Entity.IsZero() || c.Why != "account refers to A1 of accounts, which is deleted." {
			t.Errorf("held is %+v", c)
		}
	}
	// What is asked about flows all the same, and no other system waits for the answer.
	f.do("shop", `UPDATE orders SET total = 11 WHERE number = 'O1'`)
	f.eventually("the change of a held order", func() bool {
		return f.count("crm", `SELECT count(*) FROM orders WHERE number = 'O1' AND total = 11`) == 1
	})
	f.held(engine.HoldOrphans, 3)

	_, err := f.holds().Reject(context.Background(), f.person(), h.ID, "The orders are still being paid.", false, 0)
	f.decidedOrphans(h, err)
	if n := f.fates(engine.FateStays); n != 3 {
		t.Errorf("%d orders stay\n%s", n, f.state())
	}
	f.do("shop", `UPDATE orders SET total = 12 WHERE number = 'O1'`)
	f.eventually("an order that stays goes on being synced", func() bool {
		return f.count("crm", `SELECT count(*) FROM orders WHERE number = 'O1' AND total = 12`) == 1
	})

	// As long as the deletion waits, others can come to refer to the account.
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT n.number, a.id, 70 FROM accounts a, (SELECT 'O7' AS number UNION SELECT 'O8' UNION SELECT 'O9') n WHERE a.number = 'A1'`)
	h = f.held(engine.HoldOrphans, 3)
	if h.System != "shop" {
		t.Errorf("held of %s", h.System)
	}
	_, err = f.holds().Release(context.Background(), f.person(), h.ID, "", 0)
	f.decidedOrphans(h, err)
	f.eventually("the released orders to go, and the others to stay", func() bool {
		return f.tree("shop") == "A1 Acme of -\nA2 Bolt of -\nO1 12.00 of A1\nO2 20.00 of A1\nO3 30.00 of A1\n"
	})
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT 'O6', a.id, 60 FROM accounts a WHERE a.number = 'A1'`)
	f.one("one goes by itself", `SELECT count(*) FROM journal WHERE actor = 'references' AND op = 'delete' AND before ->> 'number' = 'O6'`, 1)
	f.eventually("it is gone there", func() bool { return f.count("shop", `SELECT count(*) FROM orders WHERE number = 'O6'`) == 0 })

	f.do("shop", `UPDATE orders SET account_id = (SELECT id FROM accounts WHERE number = 'A2')`)
	f.both("the deletion, when nothing refers to the account any more", "A2 Bolt of -\nO1 12.00 of A2\nO2 20.00 of A2\nO3 30.00 of A2\n")
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	if n := f.number(`SELECT count(*) FROM holds WHERE state = 'open'`) + f.fates(engine.FateStays) + f.fates(engine.FateFollows); n != 0 {
		t.Errorf("%d holds are open, or fates left\n%s", n, f.state())
	}
}

// counting is a transaction that tells when what follows from deletions was counted.
type counting struct {
	engine.Tx
	counted func()
}

func (c counting) Following(ctx context.Context, s service.ID, ids []record.EntityID, hold uuid.UUID, direct bool) (int64, error) {
	n, err := c.Tx.Following(ctx, s, ids, hold, direct)
	c.counted()
	return n, err
}

// Records that come to refer to one whose deletion has just been weighed, in the same instant, were not weighed with it: whatever becomes of
// those that were, a person is asked about them.
func TestOrphansOfTheInstantAreWeighed(t *testing.T) {
	document := blocks(t, "hierarchies", "yaml")[0]
	f := newFamily(t, document+"  references: {orphans: delete}\n  safetyThreshold: {maxDeletes: 2}\n")
	f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (1, 'A1', 'Acme'), (2, 'A2', 'Bolt')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O1', 1, 10)`)
	weighed, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	counted := func() { once.Do(func() { close(weighed); <-goOn }) }
	f.engine = engine.New(store.InTx(f.db, func(tx *store.Tx) engine.Tx { return counting{tx, counted} }), f, slog.New(slog.DiscardHandler))
	f.start()
	f.both("the first sync", "A1 Acme of -\nA2 Bolt of -\nO1 10.00 of A1\n")
	f.do("crm", `DELETE FROM accounts WHERE number = 'A1'`)
	select {
	case <-weighed:
	case <-time.After(time.Minute):
		t.Fatalf("the deletion is not weighed\n%s", f.state())
	}
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O2', 1, 20), ('O3', 1, 30), ('O4', 1, 40)`)
	f.one("the orders to be taken in while the deletion is", `SELECT count(*) FROM entities WHERE fields ->> 'number' IN ('O2', 'O3', 'O4')`, 3)
	close(goOn)
	h := f.held(engine.HoldOrphans, 3)
	if !strings.Contains(h.Reason, "3 records that refer to deleted ones would be deleted") {
		t.Errorf("held because: %s", h.Reason)
	}
	f.eventually("the order that was weighed to go", func() bool { return f.count("crm", `SELECT count(*) FROM orders WHERE number = 'O1'`) == 0 })
	if n := f.count("crm", `SELECT count(*) FROM orders`); n != 3 {
		t.Errorf("%d orders are left", n)
	}
}

// What becomes of an orphan by the document's rule is refused by a system, so that it is set back everywhere: it stays as it is, and the rule is
// not tried over and over. (Simulation seed 5768.)
func TestOrphansStayWhereASystemRefuses(t *testing.T) {
	b := newBench(t, "service: stock\ndirection: multi-directional\nsystems:\n"+
		"  - {id: warehouse, type: memory, objects: [{name: products, mapping: product, references: {parent: products}}]}\n"+
		"  - {id: shop, type: memory, objects: [{name: products, mapping: product, references: {parent: products}}]}\n"+
		"syncConfig: {frequency: realtime, deletes: propagate, matchFields: [sku], consistency: transactional, references: {wait: 1s, orphans: detach}}\n")
	below := products
	below.Fields = append(slices.Clone(below.Fields), connector.FieldInfo{Name: "parent", Type: connector.TypeText, Nullable: true})
	for _, system := range []string{"warehouse", "shop"} {
		b.systems[system] = connectortest.NewMemory(below)
	}
	var refused atomic.Int64
	b.systems["shop"].Check("products", func(key record.Key, f record.Fields) error {
		if key != "C" || f["parent"] != nil {
			return nil
		}
		refused.Add(1)
		return errors.New("C keeps its parent")
	})
	child := product("C", 2)
	child["parent"] = "P"
	b.user("warehouse").Put("P", product("P", 1))
	b.user("warehouse").Put("C", child)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 2 && b.settledDown() })
	b.user("warehouse").Delete("P")
	b.eventually("the child to stay", func() bool { // with its reference, which the warehouse cannot hold any more
		return b.number(`SELECT count(*) FROM entity_references WHERE fate = 'stays'`) == 1 && b.user("shop").Get("C")["parent"] == "P"
	})
	tried := refused.Load()
	b.user("warehouse").Put("C", record.Fields{"quantity": record.Int(7)})
	b.eventually("the child to be synced on", func() bool { return record.Equal(b.user("shop").Get("C")["quantity"], record.Int(7)) })
	if n := refused.Load(); n != tried || n == 0 {
		t.Errorf("it was refused %d times, and %d times more\n%s", tried, n-tried, b.state())
	}
}

// References that would be emptied are weighed as changes, and a question about records that are no orphans any more settles by itself.
func TestBrakeWeighsLateDetaching(t *testing.T) {
	document := blocks(t, "hierarchies", "yaml")[0]
	f := newFamily(t, document+"  references: {orphans: wait}\n  safetyThreshold: {maxChanges: 2}\n")
	f.do("crm", `ALTER TABLE accounts DROP CONSTRAINT accounts_parent_id_fkey`)
	f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) VALUES (1, 'A1', 'Acme', 4), (2, 'A2', 'Bolt', 4), (3, 'A3', 'Cord', 4), (4, 'A4', 'Group', NULL), (5, 'A5', 'Other', NULL)`)
	f.start()
	f.both("the first sync", "A1 Acme of A4\nA2 Bolt of A4\nA3 Cord of A4\nA4 Group of -\nA5 Other of -\n")
	f.do("crm", `DELETE FROM accounts WHERE number = 'A4'`)
	f.one("the deletion waits", `SELECT count(*) FROM deliveries WHERE waits = 'reference' AND system = 'shop'`, 1)
	f.halt()
	f.apply(document+"  references: {orphans: detach}\n  safetyThreshold: {maxChanges: 2}\n", 2)
	f.start()
	h := f.held(engine.HoldOrphans, 3)
	if !strings.Contains(h.Reason, "3 records that refer to deleted ones would lose their reference, and 2 are allowed") {
		t.Errorf("held because: %s", h.Reason)
	}
	for _, c := range f.heldChanges(h) {
		if v, there := c.After["parent"]; c.Op != "upsert" || c.Before["parent"] == nil || !there || v != nil {
			t.Errorf("held is %+v", c)
		}
	}
	f.do("shop", `UPDATE accounts SET parent_id = (SELECT id FROM (SELECT id FROM accounts WHERE number = 'A5') o) WHERE number = 'A1'`)
	f.held(engine.HoldOrphans, 2)
	_, err := f.holds().Release(context.Background(), f.person(), h.ID, "", 0)
	f.decidedOrphans(h, err)
	f.both("the references are empty, and the group is gone", "A1 Acme of A5\nA2 Bolt of -\nA3 Cord of -\nA5 Other of -\n")
}

func (f *family) count(system, query string) (n int) {
	f.t.Helper()
	if err := f.dbs[system].QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// decidedOrphans waits until the hold is settled; what the deletions wait for may go on waiting.
func (f *family) decidedOrphans(h safety.Hold, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	f.engine.Nudge(f.service)
	f.eventually("the decision to be carried out", func() bool {
		return f.number(`SELECT count(*) FROM held_changes WHERE hold_id = $1`, h.ID) == 0 && f.number(`SELECT count(*) FROM holds WHERE id = $1 AND state = 'settled'`, h.ID) == 1
	})
}
