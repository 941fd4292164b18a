// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// What the simulation found (internal/simulation), each as the shortest story that shows it.

// A third system that joins while a person decides is one more side of the same conflict: two open ones about one field
// could not be stored, and the page that brings the second could never be committed.
func TestThirdClaim(t *testing.T) {
	w := twin(t, document("multi-directional", "syncConfig: {conflictResolution: manual}", "crm", "shop", "erp"), "crm", "shop", "erp")
	w.put("crm", "A", name("oak"))
	w.put("shop", "A", name("pine"))
	w.put("erp", "A", name("elm"))
	for _, s := range []record.System{"crm", "shop", "erp"} {
		w.pull(s)
	}
	if c := w.open(); len(c.Sides) != 3 {
		t.Errorf("the conflict has the sides %v, want three", c.Sides)
	}
}

// serial is products with keys that the system makes.
var serial = connector.ObjectInfo{
	Name:   "items",
	Fields: append([]connector.FieldInfo{{Name: "item_id", Type: connector.TypeInteger, Generated: true}}, products.Fields...),
	Key:    []string{"item_id"},
}

func withSerial(t *testing.T, more ...string) *world {
	d := "service: stock\ndirection: multi-directional\nsystems:\n" +
		"  - {id: crm, type: memory, objects: [{name: products, mapping: product}]}\n" +
		"  - {id: shop, type: memory, objects: [{name: items, mapping: product}]}\n" +
		"syncConfig: {matchFields: [sku]" + strings.Join(more, "") + "}\n"
	w := newWorld(t, d, map[record.System]connector.ObjectInfo{"crm": products, "shop": serial})
	w.put("crm", "A", name("oak"))
	w.pull("crm")
	w.pull("shop")
	return w
}

// What a system made by itself and never told is not expected of a record that is to be deleted.
func TestDeleteWhatWasNeverTold(t *testing.T) {
	w := withSerial(t)
	w.memory["shop"].SuppressEchoes(true)
	w.deliver("shop")
	w.remove("crm", "A")
	w.settle()
	w.quiet()
	if all := w.user("shop").All(); len(all) != 0 {
		t.Errorf("the shop still has %v", all)
	}
}

// To learn, after a record was deleted elsewhere, which key a system had given it is no change that revives it.
func TestLearningRevivesNothing(t *testing.T) {
	w := withSerial(t)
	w.deliver("shop")
	w.remove("crm", "A")
	w.pull("crm")
	w.pull("shop")
	w.quiet()
	w.settle()
	w.quiet()
	for _, s := range w.systems() {
		if all := w.user(s).All(); len(all) != 0 {
			t.Errorf("%s has %v", s, all)
		}
	}
}

// The key that a system made for a record which is gone is not written into the one that takes its place. (Simulation seed
// 4699.)
func TestKeyOfTheOneBefore(t *testing.T) {
	w := withSerial(t, ", conflictResolution: {strategy: lastWriteWins, fields: {item_id: firstWriteWins}}")
	w.deliver("shop")
	w.pull("shop")
	w.remove("shop", "1")
	w.put("crm", "A", record.Fields{"quantity": record.Int(3)})
	w.pull("crm")
	w.pull("shop") // deleted there, changed later elsewhere: the record lives on
	w.put("shop", "1024", record.Fields{"sku": "A", "name": "oak", "quantity": record.Int(3)})
	w.settle()
	if all := w.user("shop").All(); len(all) != 1 || all["1024"] == nil {
		t.Errorf("the shop holds %v, want the record 1024", all)
	}
	if l := w.one().Links["shop"]; l == nil || l.Key != "1024" {
		t.Errorf("the link is %+v", l)
	}
}

// A write that gives a record another key moves the link, also where a system leaves our own writes out of what we read.
func TestRecordGetsAnotherKey(t *testing.T) {
	d := "service: stock\ndirection: multi-directional\nsystems:\n" +
		"  - {id: crm, type: memory, objects: [{name: items, mapping: product}]}\n" +
		"  - {id: shop, type: memory, objects: [{name: products, mapping: product}]}\n" +
		"syncConfig: {matchFields: [name]}\n"
	w := newWorld(t, d, map[record.System]connector.ObjectInfo{"crm": serial, "shop": products})
	w.memory["shop"].SuppressEchoes(true)
	w.put("crm", "1", product("A", 1))
	w.settle()
	w.put("crm", "1", record.Fields{"sku": "B"})
	w.settle()
	if l := w.one().Links["shop"]; l.Key != "B" || w.user("shop").Get("B") == nil || w.user("shop").Get("A") != nil {
		t.Fatalf("the link is %+v, the shop holds %v", l, w.user("shop").All())
	}
	w.put("shop", "B", record.Fields{"quantity": record.Int(7)})
	w.settle()
	w.holds("crm", "1", "quantity", record.Int(7))
	w.quiet()
}

// Whichever side of an open conflict gives in, both hold the same then, and nobody need decide.
func TestEitherSideGivesIn(t *testing.T) {
	for _, side := range []record.System{"crm", "shop"} {
		w := twin(t, document("multi-directional", "syncConfig: {conflictResolution: manual}", "crm", "shop"), "crm", "shop")
		w.put("crm", "A", name("oak"))
		w.put("shop", "A", name("pine"))
		w.pull("crm")
		w.pull("shop")
		if c := w.open(); c.Field != "name" {
			t.Fatalf("the conflict is %+v", c)
		}
		w.put(side, "A", name(map[record.System]string{"crm": "pine", "shop": "oak"}[side]))
		w.settle()
		if len(w.conflicts) != 0 || len(w.one().Held) != 0 {
			t.Errorf("%s gave in, and the conflict is open\n%s", side, w.describe())
		}
	}
}
