// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/webtest"
)

// What a business rule wrote is looked at and taken back; a value that somebody changed since is kept.
func TestUndoOfARule(t *testing.T) {
	h := newHouse(t)
	h.connect()
	left := h.left.User("products")
	left.Put(sku(0), record.Fields{"name": "Ridge Vest", "quantity": record.Int(4)})
	left.Put(sku(1), record.Fields{"name": "Trail Cap", "quantity": record.Int(5)})
	plain := document(stock)
	h.apply(plain + "businessRules:\n  - {name: stock-up, rule: \"quantity = quantity < 100 ? quantity + 100 : quantity\"}\n")
	sides := map[string]connectortest.User{"left": left, "right": h.right.User("products")}
	quantity := func(system string, n int) string { return record.Text(sides[system].All()[sku(n)]["quantity"]) }
	h.eventually("the rule", func() bool {
		return len(h.right.User("products").All()) == 2 && quantity("left", 0) == "104" && quantity("right", 1) == "105" && h.quiet(stock)
	})
	h.apply(plain) // the rule is taken out, so that it does not write again
	sides["right"].Put(sku(1), record.Fields{"name": "Trail Cap", "quantity": record.Int(300)})
	h.eventually("somebody's edit", func() bool { return quantity("left", 1) == "300" && h.quiet(stock) })

	p := h.open(ownerEmail, "/services/"+stock+"/undo?rule=stock-up", webtest.Options{Expect: []string{"422"}})
	p.WaitText("#undo-records", string(sku(0)))
	p.WaitText("#undo-kept", "It was changed again since.")
	look(p, "undo-rule")
	p.Click(`[commandfor="undo-dialog"]`)
	p.Wait(`document.querySelector("dialog#undo-dialog").open`)
	p.Axe()
	p.Click(`dialog[open] .btn-danger-fill`)
	p.WaitText("#undo-now", "Every system was told")
	look(p, "undo-progress")
	h.eventually("the former values", func() bool { return quantity("left", 0) == "4" && quantity("right", 0) == "4" })
	if got := quantity("left", 1); got != "300" {
		t.Errorf("the edit that came later was taken back: %s", got)
	}

	// What is not a time is said beside its field, and nothing asked for is a form.
	p.Goto(h.url + "/services/" + stock + "/undo?since=yesterday")
	p.WaitText("#since-error", "not a time")
	p.Goto(h.url + "/services/" + stock + "/undo")
	p.Wait(`document.querySelector("#undo-ask") && !document.querySelector("#undo")`)
	look(p, "undo-ask")
}
