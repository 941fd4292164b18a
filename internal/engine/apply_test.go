// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// Each test of this file plays a little story between systems that hold products, and looks at what it means.

func name(s string) record.Fields { return record.Fields{"name": s} }

func quantity(n int64) record.Fields { return record.Fields{"quantity": record.Int(n)} }

// agreed is a world in which both systems hold product A and know of each other.
func agreed(t *testing.T, doc string, systems ...record.System) *world {
	t.Helper()
	w := twin(t, doc, systems...)
	w.put(systems[0], "A", product("A", 1))
	w.settle()
	for _, s := range systems {
		if w.user(s).Get("A") == nil {
			t.Fatalf("%s did not get the product\n%s", s, w.describe())
		}
	}
	w.last, w.journal = engine.Outcome{}, nil
	return w
}

var (
	twoWays = document("bi-directional", "", "crm", "shop")
	byHand  = document("bi-directional", "syncConfig: {conflictResolution: {strategy: manual}}", "crm", "shop")
)

func TestNewRecord(t *testing.T) {
	w := twin(t, twoWays, "crm", "shop")
	w.put("crm", "A", product("A", 5))
	w.pull("crm")
	e := w.one()
	if e.Origin != "crm" || e.MatchKey != "A" || e.Version != 1 || !e.Fields.Equal(product("A", 5)) {
		t.Errorf("the entity is %+v", e)
	}
	if l := e.Links["crm"]; l == nil || l.Key != "A" || l.State != record.Synced {
		t.Errorf("the link is %+v", l)
	}
	if w.last.Born != 1 || len(w.journal) != 1 || w.journal[0].Op != record.Created || w.journal[0].System != "crm" {
		t.Errorf("born %d, journal %+v", w.last.Born, w.journal)
	}
	w.owes("shop")
	w.deliver("shop") // whose own records are not known yet
	w.holds("shop", "A", "quantity", nil)
	w.pull("shop")
	w.deliver("shop")
	w.holds("shop", "A", "quantity", record.Int(5))
}

// Invariant 5: our own write coming back is no change.
func TestEcho(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	w.deliver("shop")
	version, writes := w.one().Version, w.writes()
	w.pull("shop")
	if w.last.Counts.Equal != 1 || len(w.last.Changed) != 0 || len(w.last.Journal) != 0 || w.one().Version != version {
		t.Errorf("the echo was taken for a change: %+v", w.last)
	}
	w.owes("")
	w.settle()
	if w.writes() != writes {
		t.Error("the echo was written back")
	}
}

// Touching a record without changing it is no change either.
func TestTouched(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	w.put("crm", "A", product("A", 1))
	w.pull("crm")
	if w.last.Counts.Equal != 1 || len(w.journal) != 0 {
		t.Errorf("equal %d, journal %v", w.last.Counts.Equal, w.journal)
	}
	w.owes("")
}

func TestOneFieldChanges(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	if owed := engine.OwedFields(w.one(), w.one().Links["shop"], w.seats["shop"]); !slices.Equal(owed, []string{"quantity"}) {
		t.Errorf("owed are %v", owed)
	}
	if j := w.journal[0]; !j.Before.Equal(quantity(1)) || !j.After.Equal(quantity(7)) {
		t.Errorf("the journal says %v became %v", j.Before, j.After)
	}
	if l := w.one().Links["shop"]; l.State != record.Pending || !record.Equal(l.Shadow(w.one(), "quantity"), record.Int(1)) {
		t.Errorf("the shop's link is %+v", l)
	}
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(7))
	w.quiet()
}

// A change that the entity takes over leaves its system's link as it was, which is a row less to write; the entity tells when it came.
func TestLinkOfTheChangedSystem(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	w.unstamped = true
	linked := w.one().Links["crm"].SyncedAt
	w.now = w.now.Add(time.Minute)
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	written := make([]record.System, len(w.last.Links))
	for i, r := range w.last.Links {
		written[i] = r.System
	}
	if !slices.Equal(written, []record.System{"shop"}) {
		t.Errorf("the links of %v are written", written)
	}
	e := w.one()
	if at := e.SyncedAt(e.Links["crm"]); !at.After(linked) || at.After(w.now) {
		t.Errorf("crm was last synced at %v, linked at %v; it is %v", at, linked, w.now)
	}
	if at := e.SyncedAt(e.Links["shop"]); !at.Equal(e.Links["shop"].SyncedAt) {
		t.Errorf("shop was last synced at %v", at)
	}
	w.deliver("shop")
	w.put("shop", "A", quantity(8))
	w.put("crm", "A", name("Bolt")) // what crm holds of the quantity is old by then
	w.pull("shop")
	w.pull("crm")
	if len(w.last.Links) == 0 {
		t.Error("a link that says something new is not written")
	}
	w.settle()
}

// Several changes before a delivery make one write of the last state.
func TestBurstsCoalesce(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	writes := w.writes()
	for n := range int64(5) {
		w.put("crm", "A", quantity(10+n))
		w.pull("crm")
	}
	w.deliver("shop")
	w.holds("shop", "A", "quantity", record.Int(14))
	if n := w.writes() - writes; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if n := len(w.settled.Journal); n != 1 || !w.settled.Journal[0].Before.Equal(quantity(1)) {
		t.Errorf("the delivery's journal is %+v", w.settled.Journal)
	}
}

// A change that is taken back before it was delivered is owed to nobody.
func TestThereAndBack(t *testing.T) {
	w := agreed(t, twoWays, "crm", "shop")
	writes := w.writes()
	w.put("crm", "A", quantity(7))
	w.pull("crm")
	w.put("crm", "A", quantity(1))
	w.pull("crm")
	w.settle()
	if w.writes() != writes {
		t.Error("something was written")
	}
	if l := w.one().Links["shop"]; l.State != record.Synced || len(l.Behind) > 0 {
		t.Errorf("the shop's link is %+v", l)
	}
}

func TestDifferentFieldsAreNoConflict(t *testing.T) {
	w := agreed(t, byHand, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.put("shop", "A", name("Desk"))
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "quantity", record.Int(7))
		w.holds(s, "A", "name", "Desk")
	}
	w.quiet()
}

func TestTheSameValueOnBothSidesIsNoConflict(t *testing.T) {
	w := agreed(t, byHand, "crm", "shop")
	writes := w.writes()
	w.put("crm", "A", quantity(7))
	w.put("shop", "A", quantity(7))
	w.settle()
	w.quiet()
	if w.writes() != writes {
		t.Error("something was written")
	}
}

func TestConflictByRule(t *testing.T) {
	for _, test := range []struct {
		strategy string
		want     int64
	}{{"lastWriteWins", 8}, {"firstWriteWins", 7}, {"sourceWins", 7}, {"targetWins", 8}, {"crm-wins", 7}, {"shop-wins", 8}} {
		for _, order := range [][]record.System{{"crm", "shop"}, {"shop", "crm"}} {
			t.Run(test.strategy+" reading "+string(order[0])+" first", func(t *testing.T) {
				w := agreed(t, document("bi-directional", "syncConfig: {conflictResolution: {strategy: "+test.strategy+"}}", "crm", "shop"), "crm", "shop")
				w.put("crm", "A", quantity(7)) // the source, and the first
				w.put("shop", "A", quantity(8))
				w.pull(order[0])
				w.pull(order[1])
				c := w.last.Conflicts
				if len(c) != 1 || c[0].Open || c[0].Field != "quantity" || !record.Equal(c[0].Base, record.Int(1)) || !record.Equal(c[0].Result, record.Int(test.want)) || c[0].Reason == "" {
					t.Fatalf("the conflict is %+v", c)
				}
				w.settle()
				for _, s := range w.systems() {
					w.holds(s, "A", "quantity", record.Int(test.want))
				}
			})
		}
	}
}

func TestConflictByHand(t *testing.T) {
	w := agreed(t, byHand, "crm", "shop")
	w.put("crm", "A", quantity(7))
	w.put("shop", "A", quantity(8))
	w.settle()
	c := w.open()
	if len(c.Sides) != 2 || !record.Equal(c.Base, record.Int(1)) {
		t.Errorf("the conflict is %+v", c)
	}
	w.holds("crm", "A", "quantity", record.Int(7))
	w.holds("shop", "A", "quantity", record.Int(8))
	for s, l := range w.one().Links {
		if l.State != record.InDoubt {
			t.Errorf("%s's link is %s", s, l.State)
		}
	}

	// Another field goes on meanwhile.
	w.put("shop", "A", name("Desk"))
	w.settle()
	w.holds("crm", "A", "name", "Desk")

	// A side that changes again is a new claim, not a second conflict.
	w.put("shop", "A", quantity(9))
	w.settle()
	w.put("crm", "A", quantity(6))
	w.settle()
	c = w.open()
	claims := map[record.System]record.Value{}
	for _, s := range c.Sides {
		claims[s.System] = s.Value
	}
	if len(claims) != 2 || !record.Equal(claims["crm"], record.Int(6)) || !record.Equal(claims["shop"], record.Int(9)) || c.Version < 3 {
		t.Errorf("the sides are %+v, version %d", c.Sides, c.Version)
	}
	w.holds("crm", "A", "quantity", record.Int(6))

	// Both sides agreeing by themselves settles it.
	w.put("shop", "A", quantity(6))
	w.settle()
	if len(w.conflicts) != 0 || len(w.one().Held) != 0 {
		t.Errorf("still open\n%s", w.describe())
	}
	for s, l := range w.one().Links {
		if l.State != record.Synced {
			t.Errorf("%s's link is %s", s, l.State)
		}
	}
}

// Records that are there before the first sync are found by the match fields; where they differ the strategy decides.
func TestFirstSync(t *testing.T) {
	w := twin(t, document("bi-directional", "syncConfig: {conflictResolution: crm-wins}", "crm", "shop"), "crm", "shop")
	w.put("crm", "A", product("A", 1))
	w.put("shop", "A", product("A", 2))
	w.put("shop", "B", product("B", 3))
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "quantity", record.Int(1))
		w.holds(s, "B", "quantity", record.Int(3))
	}
	if len(w.entities) != 2 {
		t.Errorf("%d entities\n%s", len(w.entities), w.describe())
	}
}

func TestOneWay(t *testing.T) {
	doc := document("unidirectional", "", "crm", "shop")
	t.Run("the target's own records are none of our business", func(t *testing.T) {
		w := agreed(t, doc, "crm", "shop")
		w.put("shop", "B", product("B", 3))
		w.settle()
		if w.user("crm").Get("B") != nil || len(w.entities) != 1 {
			t.Errorf("it was taken in\n%s", w.describe())
		}
	})
	t.Run("the target's own edits stay until the source changes the field", func(t *testing.T) {
		w := agreed(t, doc, "crm", "shop")
		w.put("shop", "A", quantity(9))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(1))
		w.holds("shop", "A", "quantity", record.Int(9))
		w.put("crm", "A", quantity(2))
		w.settle()
		w.holds("shop", "A", "quantity", record.Int(2))
		w.quiet()
	})
	t.Run("records that are there already take the source's values", func(t *testing.T) {
		w := twin(t, doc, "crm", "shop")
		w.put("crm", "A", product("A", 1))
		w.put("shop", "A", product("A", 2)) // later, and still not the source
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(1))
		w.holds("shop", "A", "quantity", record.Int(1))
		w.quiet()
	})
}

// Pairs restrict which fields pass, also when a record is made.
func TestFieldsThatDoNotPass(t *testing.T) {
	doc := document("bi-directional", "syncConfig: {bidirectional: [{systems: [crm, shop], syncFields: [sku, quantity]}]}", "crm", "shop")
	t.Run("a new record", func(t *testing.T) {
		w := twin(t, doc, "crm", "shop")
		w.put("crm", "A", product("A", 1))
		w.settle()
		w.holds("shop", "A", "quantity", record.Int(1))
		w.holds("shop", "A", "price", nil)
		w.holds("shop", "A", "name", nil)
		w.put("shop", "A", name("The shop's"))
		w.put("crm", "A", name("The crm's"))
		w.put("crm", "A", quantity(2))
		w.settle()
		w.holds("shop", "A", "name", "The shop's")
		w.holds("crm", "A", "name", "The crm's")
		w.holds("shop", "A", "quantity", record.Int(2))
		w.quiet()
	})
	t.Run("records that are there already", func(t *testing.T) {
		w := twin(t, doc, "crm", "shop")
		w.put("crm", "A", record.Fields{"sku": "A", "name": "The crm's", "quantity": record.Int(1)})
		w.put("shop", "A", record.Fields{"sku": "A", "name": "The shop's", "quantity": record.Int(1)})
		w.settle()
		w.holds("shop", "A", "name", "The shop's")
		w.holds("crm", "A", "name", "The crm's")
		w.quiet()
	})
}

func TestFilter(t *testing.T) {
	w := twin(t, document("bi-directional", "syncConfig: {filterConditions: [{field: quantity, operator: greaterThan, value: 0}]}", "crm", "shop"), "crm", "shop")
	w.put("crm", "A", product("A", 0))
	w.settle()
	if w.user("shop").Get("A") != nil {
		t.Error("a record that does not pass was sent")
	}
	w.put("crm", "A", quantity(3))
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(3))
	w.put("crm", "A", quantity(0))
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(3))
	w.quiet()
}

func TestDeletes(t *testing.T) {
	three := []record.System{"crm", "erp", "shop"}
	t.Run("propagated", func(t *testing.T) {
		w := agreed(t, document("multi-directional", "", "crm", "erp", "shop"), three...)
		w.remove("shop", "A")
		w.pull("shop")
		w.owes("crm erp")
		if w.last.Died != 1 || w.journal[0].Op != record.Deleted || !w.journal[0].Before.Equal(product("A", 1)) {
			t.Errorf("died %d, journal %+v", w.last.Died, w.journal)
		}
		w.settle()
		for _, s := range three {
			if w.user(s).Get("A") != nil {
				t.Errorf("%s still holds it", s)
			}
		}
		w.quiet()
	})
	t.Run("and made again", func(t *testing.T) {
		w := agreed(t, twoWays, "crm", "shop")
		w.remove("shop", "A")
		w.settle()
		w.put("shop", "A", product("A", 2))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(2))
		w.quiet()
	})
	t.Run("and made again before the deletion arrived", func(t *testing.T) {
		w := agreed(t, twoWays, "crm", "shop")
		w.remove("shop", "A")
		w.pull("shop")
		w.put("shop", "A", product("A", 2))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(2))
		if len(w.entities) != 1 || w.one().DeletedAt != nil {
			t.Errorf("it is not the same entity\n%s", w.describe())
		}
		w.quiet()
	})
	t.Run("ignored", func(t *testing.T) {
		w := agreed(t, document("bi-directional", "syncConfig: {deletes: ignore}", "crm", "shop"), "crm", "shop")
		w.remove("shop", "A")
		w.put("crm", "A", quantity(5))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(5))
		if w.user("shop").Get("A") != nil {
			t.Error("it was made again where it was deleted")
		}
		if l := w.one().Links["shop"]; l.State != record.Frozen {
			t.Errorf("the link is %s, want frozen", l.State)
		}
		w.put("shop", "A", product("A", 9))
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(9))
	})
	t.Run("archived", func(t *testing.T) {
		w := agreed(t, document("bi-directional", "syncConfig: {deletes: {policy: archive, archiveField: name, archiveValue: gone}}", "crm", "shop"), "crm", "shop")
		w.remove("shop", "A")
		w.settle()
		w.holds("crm", "A", "name", "gone")
	})
	t.Run("of our own delivery", func(t *testing.T) {
		w := agreed(t, twoWays, "crm", "shop")
		w.remove("shop", "A")
		w.pull("shop")
		w.deliver("crm")
		w.pull("crm")
		if w.last.Counts.Equal != 1 || len(w.last.Journal) != 0 {
			t.Errorf("our own deletion was taken for a change: %+v", w.last)
		}
	})
	t.Run("in a source that nobody takes changes from", func(t *testing.T) {
		w := agreed(t, document("unidirectional", "", "crm", "shop"), "crm", "shop")
		w.remove("shop", "A")
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(1))
		w.put("crm", "A", quantity(2))
		w.settle()
		w.holds("shop", "A", "quantity", record.Int(2))
		w.quiet()
	})
}

// Deleted here, changed there: the strategy decides about the record as a whole, whichever side is read first.
func TestDeletedAndChanged(t *testing.T) {
	for _, order := range [][]record.System{{"crm", "shop"}, {"shop", "crm"}} {
		t.Run("reading "+string(order[0])+" first", func(t *testing.T) {
			play := func(strategy string) *world {
				w := agreed(t, document("bi-directional", "syncConfig: {conflictResolution: "+strategy+"}", "crm", "shop"), "crm", "shop")
				w.remove("crm", "A")
				w.put("shop", "A", quantity(8))
				w.pull(order[0])
				w.pull(order[1])
				w.settle()
				return w
			}
			w := play("shop-wins")
			w.holds("crm", "A", "quantity", record.Int(8))
			w.holds("shop", "A", "quantity", record.Int(8))
			w = play("crm-wins")
			if w.user("crm").Get("A") != nil || w.user("shop").Get("A") != nil {
				t.Errorf("it lives on\n%s", w.describe())
			}
			w = play("lastWriteWins")
			w.holds("crm", "A", "quantity", record.Int(8))
			w = play("manual")
			if c := w.open(); c.Field != record.WholeRecord || len(c.Sides) != 2 {
				t.Errorf("the conflict is %+v", c)
			}
			w.holds("shop", "A", "quantity", record.Int(8))
			if w.user("crm").Get("A") != nil {
				t.Error("it was made again before anybody decided")
			}
		})
	}
}

// A record that gets another key keeps its entity when the match fields stay.
func TestRekeyed(t *testing.T) {
	info := connector.ObjectInfo{Name: "products", Key: []string{"id"}, Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeText}, {Name: "sku", Type: connector.TypeText, Nullable: true}, {Name: "name", Type: connector.TypeText, Nullable: true}}}
	w := newWorld(t, document("bi-directional", "syncConfig: {matchFields: [sku]}\nfieldMapping: {sku: sku, name: name, id: id}", "crm", "shop"), map[record.System]connector.ObjectInfo{"crm": info, "shop": info})
	w.put("crm", "1", record.Fields{"sku": "A", "name": "Desk"})
	w.settle()
	id := w.one().ID
	w.tick()
	w.user("crm").Rekey("1", "2")
	w.settle()
	if w.one().ID != id || w.one().DeletedAt != nil || w.one().Links["crm"].Key != "2" {
		t.Errorf("the entity did not stay\n%s", w.describe())
	}
	w.quiet()
}

// Invariant 2: what cannot be taken in is a dead letter with the record, and the rest of the page goes on.
func TestDeadLetters(t *testing.T) {
	other := products
	other.Fields = slices.Clone(products.Fields)
	other.Fields[2].Type = connector.TypeText // quantity
	play := func(t *testing.T) *world {
		w := newWorld(t, twoWays, map[record.System]connector.ObjectInfo{"crm": products, "shop": other})
		w.put("shop", "A", record.Fields{"quantity": "a few"})
		w.put("shop", "B", record.Fields{"quantity": "12"})
		w.settle()
		return w
	}
	t.Run("not convertible", func(t *testing.T) {
		w := play(t)
		w.holds("crm", "B", "quantity", record.Int(12))
		d := w.deadIn["shop"]["A"]
		if !d.Inward || d.Code != "mapping.not_convertible" || !strings.Contains(d.Message, "a few") || d.Payload["quantity"] != "a few" {
			t.Errorf("the dead letter is %+v", d)
		}
	})
	t.Run("settled by a correction", func(t *testing.T) {
		w := play(t)
		w.put("shop", "A", record.Fields{"quantity": "3"})
		w.settle()
		w.holds("crm", "A", "quantity", record.Int(3))
		w.quiet()
	})
	t.Run("two records for one thing", func(t *testing.T) {
		byName := document("bi-directional", "syncConfig: {matchFields: [name]}", "crm", "shop")
		w := twin(t, byName, "crm", "shop")
		w.put("crm", "A", record.Fields{"sku": "A", "name": "Desk"})
		w.put("crm", "B", record.Fields{"sku": "B", "name": "Desk"})
		w.settle()
		d, there := w.deadIn["crm"]["B"]
		if !there || d.Code != "match.duplicate" || !strings.Contains(d.Message, "name = Desk") {
			t.Errorf("the dead letter is %+v\n%s", d, w.describe())
		}
		w.put("crm", "B", name("Chair"))
		w.settle()
		w.holds("shop", "B", "name", "Chair")
		w.quiet()
	})
}

// A system that rounds or trims holds its own form of the value: it is not written again, and not taken for an edit.
func TestOwnForm(t *testing.T) {
	for _, told := range []bool{true, false} {
		w := twin(t, twoWays, "crm", "shop")
		w.memory["shop"].Normalise("products", "name", func(v record.Value) record.Value {
			if s, ok := v.(string); ok {
				return strings.ToUpper(s)
			}
			return v
		})
		w.put("crm", "A", record.Fields{"sku": "A", "name": "Desk", "quantity": record.Int(1)})
		if told {
			w.settle()
		} else {
			// The settlement is lost on the way; the next read tells.
			w.pull("crm")
			w.deliver("shop")
			w.pull("shop")
			w.settle()
		}
		w.holds("crm", "A", "name", "Desk")
		w.holds("shop", "A", "name", "DESK")
		writes := w.writes()
		w.put("shop", "A", quantity(2))
		w.settle()
		w.holds("crm", "A", "name", "Desk")
		w.holds("crm", "A", "quantity", record.Int(2))
		if n := w.writes() - writes; n != 1 {
			t.Errorf("%d writes for one change", n)
		}
		w.put("shop", "A", name("chair"))
		w.settle()
		w.holds("crm", "A", "name", "CHAIR")
		w.quiet()
	}
}

// So does a system whose type cannot hold all of it: a date of a time, text of an object.
func TestOwnTypes(t *testing.T) {
	fine, coarse := products, products
	fine.Fields = append(slices.Clone(products.Fields), connector.FieldInfo{Name: "due", Type: connector.TypeTimestamp, Nullable: true},
		connector.FieldInfo{Name: "tags", Type: connector.TypeJSON, Nullable: true}, connector.FieldInfo{Name: "flag", Type: connector.TypeText, Nullable: true})
	coarse.Fields = append(slices.Clone(products.Fields), connector.FieldInfo{Name: "due", Type: connector.TypeDate, Nullable: true},
		connector.FieldInfo{Name: "tags", Type: connector.TypeText, Nullable: true}, connector.FieldInfo{Name: "flag", Type: connector.TypeBoolean, Nullable: true})
	w := newWorld(t, twoWays, map[record.System]connector.ObjectInfo{"crm": fine, "shop": coarse})
	tags := map[string]any{"colour": "red"}
	w.put("crm", "A", record.Fields{"due": "2026-11-23T10:30:00Z", "tags": tags, "flag": "yes", "quantity": record.Int(1)})
	w.settle()
	w.holds("shop", "A", "due", "2026-11-23")
	w.put("shop", "A", quantity(2))
	w.settle()
	w.holds("crm", "A", "quantity", record.Int(2))
	w.holds("crm", "A", "due", "2026-11-23T10:30:00Z")
	w.holds("crm", "A", "tags", tags)
	w.holds("crm", "A", "flag", "yes")
	w.put("shop", "A", record.Fields{"due": "2026-12-24"})
	w.settle()
	w.holds("crm", "A", "due", "2026-12-24T00:00:00Z")
	w.holds("crm", "A", "flag", "yes")
	w.quiet()
}

// Fields that are parts of one column are written together; the parts that did not change stay.
func TestNestedFields(t *testing.T) {
	nested := connector.ObjectInfo{Name: "products", Key: []string{"sku"}, Fields: []connector.FieldInfo{{Name: "sku", Type: connector.TypeText}, {Name: "props", Type: connector.TypeJSON, Nullable: true}}}
	w := newWorld(t, document("bi-directional", "fieldMapping: {sku: sku, name: props.name, quantity: props.quantity}", "crm", "shop"), map[record.System]connector.ObjectInfo{"crm": products, "shop": nested})
	w.put("crm", "A", product("A", 1))
	w.settle()
	w.put("crm", "A", quantity(2))
	w.settle()
	w.holds("shop", "A", "props", map[string]any{"name": "Product A", "quantity": record.Int(2)})
	w.put("shop", "A", record.Fields{"props": map[string]any{"name": "Desk", "quantity": record.Int(2)}})
	w.settle()
	w.holds("crm", "A", "name", "Desk")
	w.quiet()
}

// A record that was deleted in one system under `ignore` is left alone there whatever happens elsewhere.
func TestFrozenStaysFrozen(t *testing.T) {
	w := agreed(t, document("multi-directional", "syncConfig: {deletes: ignore, conflictResolution: {strategy: manual}}", "crm", "erp", "shop"), "crm", "erp", "shop")
	w.remove("shop", "A")
	w.settle()
	w.put("crm", "A", quantity(7))
	w.put("erp", "A", quantity(8))
	w.settle()
	w.open()
	w.put("erp", "A", quantity(7))
	w.settle()
	if len(w.conflicts) > 0 {
		t.Errorf("still open\n%s", w.describe())
	}
	if l := w.one().Links["shop"]; l.State != record.Frozen {
		t.Errorf("the shop's link is %s, want frozen", l.State)
	}
	if w.user("shop").Get("A") != nil {
		t.Error("it was made again where it was deleted")
	}
}

// Manual conflicts are about single fields; a strategy per field goes before the general one.
func TestStrategyPerField(t *testing.T) {
	w := agreed(t, document("bi-directional", "syncConfig: {conflictResolution: {strategy: crm-wins, fields: {name: {strategy: manual}}}}", "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"name": "Left", "quantity": record.Int(7)})
	w.put("shop", "A", record.Fields{"name": "Right", "quantity": record.Int(8)})
	w.settle()
	w.holds("shop", "A", "quantity", record.Int(7))
	w.holds("shop", "A", "name", "Right")
	if c := w.open(); c.Field != "name" || c.Strategy != conflict.Manual {
		t.Errorf("the conflict is %+v", c)
	}
}

// Objects are merged part by part.
func TestMerge(t *testing.T) {
	info := products
	info.Fields = append(slices.Clone(products.Fields), connector.FieldInfo{Name: "props", Type: connector.TypeJSON, Nullable: true})
	w := newWorld(t, document("bi-directional", "syncConfig: {conflictResolution: {strategy: merge}}", "crm", "shop"), map[record.System]connector.ObjectInfo{"crm": info, "shop": info})
	w.put("crm", "A", record.Fields{"props": map[string]any{"colour": "red", "size": "S"}})
	w.settle()
	w.put("crm", "A", record.Fields{"props": map[string]any{"colour": "blue", "size": "S"}})
	w.put("shop", "A", record.Fields{"props": map[string]any{"colour": "red", "size": "L"}})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "props", map[string]any{"colour": "blue", "size": "L"})
	}
}
