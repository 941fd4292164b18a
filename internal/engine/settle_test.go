// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// What receipts mean, played out between in-memory systems.

// changed is a world in which crm changed product A's quantity to 7, and shop is owed that.
func changed(t *testing.T) *world {
	t.Helper()
	w := agreed(t, twoWays, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	w.owes("shop")
	return w
}

func TestApplied(t *testing.T) {
	w := changed(t)
	w.deliver("shop")
	st := w.settled
	if st.Updated != 1 || st.Operations() != 1 || st.Already != 0 || len(st.Done) != 1 || len(st.Again)+len(st.Waiting)+len(st.Dead) != 0 {
		t.Errorf("the settlement is %+v", st)
	}
	if j := st.Journal; len(j) != 1 || j[0].Kind != record.Delivered || j[0].Op != record.Updated || j[0].System != "shop" || !j[0].Before.Equal(quantity(1)) || !j[0].After.Equal(quantity(7)) {
		t.Errorf("the journal is %+v", j)
	}
	if st.Lags != 1 || st.LagSum != time.Second || st.LagMax != time.Second {
		t.Errorf("the lag is %v of %d", st.LagSum, st.Lags)
	}
	if l := w.one().Links["shop"]; l.State != record.Synced || len(l.Behind) != 0 || l.Version == "" || !l.SyncedAt.Equal(w.now) {
		t.Errorf("the link is %+v", l)
	}
}

// A record that was as wanted already is settled, and counts as no operation: it is never billed.
func TestAlready(t *testing.T) {
	w := changed(t)
	w.put("shop", "A", quantity(7))
	w.deliver("shop")
	if st := w.settled; st.Operations() != 0 || st.Already != 1 || len(st.Journal) != 0 || len(st.Done) != 1 {
		t.Errorf("the settlement is %+v", st)
	}
	w.settle()
	w.quiet()
}

// Invariant 4: what was sent twice was written once.
func TestSentTwice(t *testing.T) {
	w := changed(t)
	seat, e := w.seats["shop"], w.one()
	writes, before := w.writes(), *e.Links["shop"]
	before.Behind = e.Links["shop"].Behind.Clone()
	w.deliver("shop")
	e.Links["shop"] = &before // the settlement was lost
	w.owed["shop"][e.ID] = true
	w.deliver("shop")
	if n := w.writes() - writes; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if w.settled.Already != 1 || len(engine.OwedFields(e, e.Links["shop"], seat)) != 0 {
		t.Errorf("the settlement is %+v", w.settled)
	}
}

// A record that moved on unread is not written over: it is read again, and the two changes are merged.
func TestMoved(t *testing.T) {
	w := agreed(t, byHand, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	w.put("shop", "A", quantity(9))
	w.deliver("shop")
	if st := w.settled; len(st.Reread) != 1 || st.Reread[0] != "A" || len(st.Waiting) != 1 || st.Operations() != 0 || len(st.Done) != 0 {
		t.Errorf("the settlement is %+v", st)
	}
	w.holds("shop", "A", "quantity", record.Int(9))
	if c := w.open(); !record.Equal(c.Base, record.Int(1)) {
		t.Errorf("the conflict is %+v", c)
	}
}

// Another field than the one that is sent may have moved on; the write concerns its own fields only.
func TestMovedElsewhere(t *testing.T) {
	w := changed(t)
	w.put("shop", "A", name("Desk"))
	w.deliver("shop")
	if w.settled.Updated != 1 {
		t.Errorf("the settlement is %+v", w.settled)
	}
	w.settle()
	w.holds("crm", "A", "name", "Desk")
	w.holds("shop", "A", "quantity", record.Int(7))
	w.quiet()
}

func TestGone(t *testing.T) {
	w := agreed(t, document("bi-directional", "syncConfig: {conflictResolution: shop-wins}", "crm", "shop"), "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	w.remove("shop", "A")
	w.deliver("shop")
	if st := w.settled; len(st.Reread) != 1 || len(st.Waiting) != 1 {
		t.Errorf("the settlement is %+v", st)
	}
	w.settle()
	if w.user("crm").Get("A") != nil || w.user("shop").Get("A") != nil {
		t.Errorf("the deletion won, and the record is there\n%s", w.describe())
	}
}

// What the system will not take is a dead letter with its reason and what was sent. It blocks nothing, and settles when the
// record changes to something that goes through.
func TestRefused(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	w.memory["shop"].Check("products", func(_ record.Key, f record.Fields) error {
		if strings.HasPrefix(string(f["quantity"].(record.Number)), "-") {
			return errors.New("The quantity must not be negative.")
		}
		return nil
	})
	w.put("crm", "A", quantity(-1))
	w.put("crm", "B", product("B", 2))
	w.settle()
	w.holds("shop", "B", "quantity", record.Int(2))
	w.holds("shop", "A", "quantity", record.Int(1))
	var e *record.Entity
	for _, e = range w.sorted() {
		if e.MatchKey == "A" {
			break
		}
	}
	d, there := w.deadOut["shop"][e.ID]
	if !there || d.Inward || d.Code != "memory.constraint" || !strings.Contains(d.Message, "negative") || !d.Payload.Equal(quantity(-1)) || d.Key != "A" {
		t.Fatalf("the dead letter is %+v\n%s", d, w.describe())
	}
	if l := e.Links["shop"]; l.State != record.Rejected {
		t.Errorf("the link is %s", l.State)
	}
	w.put("crm", "A", quantity(4))
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(4))
	w.quiet()
	if l := e.Links["shop"]; l.State != record.Synced {
		t.Errorf("the link is %s", l.State)
	}

	// So it does when the change that was refused is taken back and the dead letter redriven.
	w.put("crm", "A", quantity(-2))
	w.settle()
	w.put("crm", "A", quantity(4))
	w.settle()
	w.owed["shop"][e.ID] = true // redriven
	w.settle()
	w.quiet()
	if l := e.Links["shop"]; l.State != record.Synced {
		t.Errorf("the link is %s", l.State)
	}
}

// The entity moved on while it was being sent: what was sent is what the system holds, and the rest is owed again.
func TestMovedOnMeanwhile(t *testing.T) {
	w := changed(t)
	w.deliver("shop", func() {
		w.put("crm", "A", quantity(8))
		w.pull("crm")
	})
	if st := w.settled; st.Updated != 1 || len(st.Again) != 1 || len(st.Done) != 0 {
		t.Errorf("the settlement is %+v", st)
	}
	if l := w.one().Links["shop"]; l.State != record.Pending || !record.Equal(l.Shadow(w.one(), "quantity"), record.Int(7)) {
		t.Errorf("the link is %+v", l)
	}
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(8))
	w.quiet()
}

func TestDeletedMeanwhile(t *testing.T) {
	w := changed(t)
	w.deliver("shop", func() {
		w.remove("crm", "A")
		w.pull("crm")
	})
	w.settle()
	if w.user("shop").Get("A") != nil {
		t.Errorf("it is still there\n%s", w.describe())
	}
	w.quiet()
}

// An entity that was erased meanwhile settles nothing.
func TestErasedMeanwhile(t *testing.T) {
	w := changed(t)
	seat, e := w.seats["shop"], w.one()
	sent, _ := engine.Writes(seat, uuid.New(), []*record.Entity{e}, nil)
	sent[0].Receipt = connector.Receipt{Outcome: connector.Applied, Key: "A"}
	st := engine.Settle(seat, engine.Attempt{Entities: []record.EntityID{e.ID}}, nil, sent, w.now)
	if st.Operations() != 0 || len(st.Done)+len(st.Links)+len(st.Journal) != 0 {
		t.Errorf("the settlement is %+v", st)
	}
}

// A system that makes its own keys tells them in the receipt.
func TestKeysOfTheSystem(t *testing.T) {
	serial := connector.ObjectInfo{Name: "products", Key: []string{"id"}, Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeInteger, Generated: true}, {Name: "sku", Type: connector.TypeText}, {Name: "quantity", Type: connector.TypeInteger, Nullable: true}}}
	w := newWorld(t, document("bi-directional", "syncConfig: {matchFields: [sku]}\nfieldMapping: {sku: sku, quantity: quantity}", "crm", "shop"), map[record.System]connector.ObjectInfo{"crm": products, "shop": serial})
	w.put("crm", "A", product("A", 5))
	w.settle()
	if l := w.one().Links["shop"]; l.Key != "1" {
		t.Errorf("the link's key is %q", l.Key)
	}
	w.put("shop", "1", quantity(6))
	w.settle()
	w.holds("crm", "A", "quantity", record.Int(6))
	w.quiet()
}

// A field that waits for a decision is left out of a record that is made meanwhile, and follows the decision.
func TestHeldFieldsAreNotCreated(t *testing.T) {
	w := twin(t, document("multi-directional", "syncConfig: {conflictResolution: {strategy: manual}}", "crm", "erp", "shop"), "crm", "erp", "shop")
	w.put("crm", "A", product("A", 1))
	w.put("erp", "A", product("A", 2))
	w.settle()
	if c := w.open(); c.Field != "quantity" {
		t.Fatalf("the conflict is %+v", c)
	}
	w.holds("shop", "A", "name", "Product A")
	w.holds("shop", "A", "quantity", nil)
	w.put("erp", "A", quantity(1))
	w.settle()
	if len(w.conflicts) != 0 {
		t.Errorf("still open\n%s", w.describe())
	}
	w.holds("shop", "A", "quantity", record.Int(1))
}

// What cannot be mapped on the way out is a dead letter, too.
func TestNotMappable(t *testing.T) {
	narrow := connector.ObjectInfo{Name: "products", Key: []string{"sku"}, Fields: []connector.FieldInfo{{Name: "sku", Type: connector.TypeText}, {Name: "name", Type: connector.TypeInteger, Nullable: true}}}
	w := newWorld(t, twoWays, map[record.System]connector.ObjectInfo{"crm": products, "shop": narrow})
	w.put("crm", "A", name("seven"))
	w.put("crm", "B", name("8"))
	w.settle()
	w.holds("shop", "B", "name", record.Int(8))
	var d engine.DeadLetter
	for _, d = range w.deadOut["shop"] {
	}
	if d.Code != "mapping.not_convertible" || !strings.Contains(d.Message, "seven") {
		t.Errorf("the dead letter is %+v", d)
	}
	w.put("crm", "A", name("7"))
	w.settle()
	w.holds("shop", "A", "name", record.Int(7))
	w.quiet()
}
