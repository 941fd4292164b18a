// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/store"
)

// freeze and thaw are what safety.Editor does, without a database.
func (w *world) freeze() {
	e := w.one()
	e.Held = append(slices.Clone(e.Held), record.Ice)
}

func (w *world) thaw() {
	for _, e := range w.entities {
		e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == record.Ice })
		for _, s := range w.systems() {
			w.owed[s][e.ID] = true
		}
	}
	w.settle()
}

const merging = "syncConfig: {conflictResolution: manual, matchFields: [sku]}\n"

// What happens to a frozen record is known, and nothing of it is sent: edits, conflicts and their outcomes, deletions, copies that appear.
func TestFrozen(t *testing.T) {
	begin := func(rest string) *world {
		w := twin(t, document("multi-directional", rest, "crm", "shop"), "crm", "shop")
		w.put("crm", "A", product("A", 5))
		w.settle()
		w.freeze()
		return w
	}
	t.Run("conflict", func(t *testing.T) {
		w := begin(merging)
		w.put("crm", "A", quantity(6))
		w.put("shop", "A", quantity(7))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(6))
		w.holds("shop", "A", "quantity", record.Int(7))
		if w.open() == nil || !w.one().IsFrozen() {
			t.Fatal("the conflict is not seen")
		}
		// The sides come to agree: that is no decision about freezing.
		w.put("shop", "A", quantity(6))
		w.settle()
		if e := w.one(); !e.IsFrozen() || e.Waits() {
			t.Errorf("held are %q", e.Held)
		}
		w.put("crm", "A", quantity(8))
		w.settle()
		w.holds("shop", "A", "quantity", record.Int(6))
		w.thaw()
		w.holds("shop", "A", "quantity", record.Int(8))
		w.quiet()
	})
	t.Run("deletion", func(t *testing.T) {
		w := begin("syncConfig: {conflictResolution: lastWriteWins, matchFields: [sku]}\n")
		w.remove("crm", "A")
		w.settle()
		if e := w.one(); e.DeletedAt == nil || !e.IsFrozen() || w.user("shop").Get("A") == nil {
			t.Fatalf("deleted %v, held %q", e.DeletedAt, e.Held)
		}
		if got := engine.Explain(w.one(), w.seats["shop"], &engine.Compared{}); got.Reason != engine.ByFreeze {
			t.Errorf("the copy that stays is explained as %q", got.Reason)
		}
		w.thaw()
		if w.user("shop").Get("A") != nil {
			t.Error("the thaw does not delete it")
		}
	})
	t.Run("deletion taken back", func(t *testing.T) {
		w := begin("syncConfig: {conflictResolution: lastWriteWins, matchFields: [sku]}\n")
		w.remove("crm", "A")
		w.settle()
		w.put("crm", "A", product("A", 9))
		w.settle()
		w.holds("shop", "A", "quantity", record.Int(5))
		w.thaw()
		w.holds("shop", "A", "quantity", record.Int(9))
		w.quiet()
	})
	t.Run("explained", func(t *testing.T) {
		w := begin(merging)
		w.put("crm", "A", quantity(6))
		w.settle()
		if got := engine.Explain(w.one(), w.seats["shop"], &engine.Compared{}); got.Reason != engine.ByFreeze || fmt.Sprint(got.Fields) != "[quantity]" {
			t.Errorf("explained as %+v", got)
		}
		w.thaw()
		w.holds("shop", "A", "quantity", record.Int(6))
	})
}

// By way of the database, while the service is being carried: who has lined a record up for sending looks again, a program's edit and an
// undo leave it alone, and the thaw carries all over at once.
func TestFreezeWhileCarried(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(3)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	editor := safety.NewEditor(store.InTx(b.db, func(tx *store.Tx) safety.EditTx { return tx }))
	who, ref, ctx := b.person(), b.service.Public(), context.Background()
	refused := func(code string, err error) {
		t.Helper()
		if f := fault.As(err); f == nil || f.Code != code {
			t.Errorf("answered %v, want %s", err, code)
		}
	}
	frozen, err := editor.Freeze(ctx, who, ref, "A000", "Being counted")
	if err != nil || !frozen.IsFrozen() || frozen.Detail.Freeze.Reason != "Being counted" {
		t.Fatalf("%+v %v", frozen, err)
	}
	_, err = editor.Freeze(ctx, who, ref, "A000", "")
	refused("record.frozen", err)
	_, err = editor.Thaw(ctx, who, ref, "A001")
	refused("record.not_frozen", err)
	_, err = editor.Change(ctx, who, safety.Edit{Service: ref, System: "shop", Record: "A000", Fields: record.Fields{"name": "Oak"}})
	refused("record.frozen", err)
	writes := b.user("shop").Writes()
	for i := range 5 {
		b.user("warehouse").Put("A000", record.Fields{"quantity": record.Int(int64(100 + i))})
		b.user("warehouse").Put("A001", record.Fields{"quantity": record.Int(int64(100 + i))})
	}
	b.eventually("the other to go on", func() bool {
		return record.Equal(b.user("shop").Get("A001")["quantity"], record.Int(104)) && b.settledDown() &&
			b.number(`SELECT (fields ->> 'quantity')::bigint FROM entities WHERE match_key = 'A000'`) == 104
	})
	for _, e := range b.user("shop").All() {
		if e["sku"] == "A000" && record.Equal(e["quantity"], record.Int(104)) {
			t.Error("the frozen record was written")
		}
	}
	if n := b.number(`SELECT count(*) FROM journal j JOIN entities e ON e.id = j.entity_id WHERE e.match_key = 'A000' AND j.kind = 'delivery' AND j.op = 'update'`); n != 0 {
		t.Errorf("%d deliveries of the frozen record", n)
	}
	if b.user("shop").Writes() == writes {
		t.Error("nothing of the others was written")
	}
	u, err := editor.Undo(ctx, who, ref, safety.Selection{System: "warehouse", Since: frozen.Detail.Freeze.At}, true, "")
	if err != nil || len(u.Kept) == 0 || !slices.ContainsFunc(u.Kept, func(k safety.Kept) bool { return k.Title == "A000" && k.Why == "The record is frozen." }) {
		t.Errorf("undo keeps %+v, %v", u.Kept, err)
	}
	if _, err := editor.Thaw(ctx, who, ref, "A000"); err != nil {
		t.Fatal(err)
	}
	b.eventually("what came in meanwhile", func() bool {
		return record.Equal(b.user("shop").Get("A000")["quantity"], record.Int(104)) && b.settledDown()
	})
	if n := b.number(`SELECT count(*) FROM journal j JOIN entities e ON e.id = j.entity_id WHERE e.match_key = 'A000' AND j.kind = 'delivery' AND j.op = 'update'`); n != 1 {
		t.Errorf("%d deliveries, want one of all that came in", n)
	}
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action IN ('record.frozen', 'record.thawed')`); n != 2 {
		t.Errorf("%d audit entries", n)
	}
	if n := b.number(`SELECT count(*) FROM record_freezes`); n != 0 {
		t.Errorf("%d freezes are left", n)
	}
}
