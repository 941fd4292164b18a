// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestDocsDirections(t *testing.T) {
	pages := blocks(t, "directions", "yaml")
	w := newWorld(t, pages[0], map[record.System]connector.ObjectInfo{"head-office": products, "berlin": products, "outlet": products})
	w.putAll("head-office", "sku", recordsOf(t, blocks(t, "directions", "json")[0]))
	w.settle()
	for s, want := range map[record.System]string{"berlin": "A B", "outlet": "B"} {
		got := ""
		for _, k := range []record.Key{"A", "B", "C"} {
			if w.user(s).Get(k) != nil {
				got += " " + string(k)
			}
		}
		if got != " "+want {
			t.Errorf("%s holds%s, want %s\n%s", s, got, want, w.describe())
		}
	}
	// It becomes one that a rule chooses, and is one no more; then its copy stays as it is.
	w.put("head-office", "A", record.Fields{"price": record.Int(5)})
	w.settle()
	w.holds("outlet", "A", "price", record.Int(5))
	w.put("head-office", "A", record.Fields{"price": record.Int(50), "name": "Oak desk"})
	w.settle()
	w.holds("outlet", "A", "price", record.Int(5))
	w.holds("outlet", "A", "name", "Desk")
	w.holds("berlin", "A", "price", record.Int(50))
	w.put("head-office", "A", record.Fields{"price": record.Int(6)})
	w.settle()
	w.holds("outlet", "A", "price", record.Int(6))
	w.holds("outlet", "A", "name", "Oak desk")
	// The way back is Berlin's alone.
	w.put("berlin", "B", record.Fields{"quantity": record.Int(1)})
	w.put("outlet", "B", record.Fields{"name": "Outlet pen"})
	w.settle()
	w.holds("head-office", "B", "quantity", record.Int(1))
	w.holds("head-office", "B", "name", "Pen")
	// A deletion reaches every copy.
	w.remove("head-office", "A")
	w.settle()
	if w.user("outlet").Get("A") != nil || w.user("berlin").Get("A") != nil {
		t.Errorf("a copy outlived its original\n%s", w.describe())
	}
	w.quiet()

	// The other form.
	w = newWorld(t, pages[1], map[record.System]connector.ObjectInfo{"crm": contacts, "shop": contacts})
	w.put("crm", "1", record.Fields{"id": "1", "name": "Ada", "phone": "123", "score": record.Int(49)})
	w.settle()
	w.holds("shop", "1", "name", "Ada")
	w.put("crm", "1", record.Fields{"score": record.Int(50)})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "name", "123")
	}
	w.put("shop", "1", record.Fields{"name": "Ada again"}) // not the rule's source
	w.settle()
	w.holds("crm", "1", "name", "Ada again")
	w.quiet()
}
