// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
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

func withSerial(t *testing.T) *world {
	d := "service: stock\ndirection: multi-directional\nsystems:\n" +
		"  - {id: crm, type: memory, objects: [{name: products, mapping: product}]}\n" +
		"  - {id: shop, type: memory, objects: [{name: items, mapping: product}]}\n" +
		"syncConfig: {matchFields: [sku]}\n"
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
