// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"testing"

	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/web/webtest"
)

// A record that breaks a rule is corrected in quarantine.
func TestQuarantine(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig:
  frequency: realtime
  matchFields: [sku]
  conflictResolution: {strategy: manual}
  validation: {quantity: {min: 0}}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-4', 'Wool Sock', -40)")
	h.eventually("the dead letter", func() bool {
		list, err := h.deps.DeadLetters.List(context.Background(), h.owner, delivery.Query{State: delivery.Open, Limit: 100})
		h.must(err)
		return len(list) == 1 && list[0].Rule == "min"
	})
	p := h.open(ownerEmail, "/dead-letters", webtest.Options{Expect: []string{"422"}})
	p.Click("#dead-letters .row-link")
	p.WaitText("#letter-edit", "It breaks the rule min")
	p.WaitText("#letter-now", "quantity: min")
	p.Axe()
	p.Fill(`[name="f.quantity"]`, "-7")
	p.WaitText("#letter-checked", "quantity breaks the rule min")
	p.Fill(`[name="f.quantity"]`, "7")
	p.WaitText("#letter-checked", "No rule of the document is broken")
	p.Fill(`[name="f.quantity"]`, "many")
	p.WaitText("#letter-checked", "This field holds numbers")
	p.Click(`#letter-edit [value="keep"]`)
	p.Wait(`document.querySelector('[name="f.quantity"][aria-invalid="true"]')`) // the page that refuses it
	p.WaitText("#letter-edit", "This field holds numbers")
	p.Fill(`[name="f.quantity"]`, "40")
	p.Fill(`[name="f.name"]`, "Wool Socks")
	p.Click(`#letter-edit [value="keep"]`)
	p.WaitText(".toasts", "The correction is kept")
	p.WaitText("#letter-edit", "Its system holds -40")
	p.WaitText("#letter-edit", "Corrected by Ada Lindqvist")
	p.Axe()
	p.Click(`#letter-edit [value="redrive"]`)
	p.WaitText("#letter-now", "It went through")
	h.eventually("both hold the correction", func() bool {
		return h.text(warehouse, "SELECT name || quantity FROM stock_levels WHERE sku = 'SKU-4'") == "Wool Socks40" &&
			h.text(shop, "SELECT coalesce(string_agg(name || quantity, ''), '') FROM products WHERE sku = 'SKU-4'") == "Wool Socks40"
	})
}

// How often systems disagree, and what another strategy would have made of it.
func TestConflictStatistics(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apart("harbours", 1, func() {
		h.exec(warehouse, "UPDATE stock_levels SET quantity = 21 WHERE sku = 'SKU-2'")
		h.exec(shop, "UPDATE products SET quantity = 22 WHERE sku = 'SKU-2'")
	})
	p := h.open(ownerEmail, "/conflicts", webtest.Options{Expect: []string{"422"}})
	p.Click(`.tabs a[href="/conflicts/statistics"]`)
	p.WaitText("#conflict-stats", "shop and warehouse")
	p.WaitText("#conflict-stats", "quantity")
	p.Axe()
	p.Click(`#what-if a[href*="service=harbours"]`)
	p.Wait(`document.querySelector("#what-if [name=strategy]")`)
	p.Eval(`document.querySelector("#what-if [name=strategy]").value = "shop-wins"`)
	p.Click(`#what-if button`)
	p.WaitText("#replay", "shop wins")
	p.WaitText("#replay", "22")
	p.Axe()
	p.Eval(`document.querySelector("#what-if [name=strategy]").value = "custom"`)
	p.Click(`#what-if button`)
	p.WaitText("#what-if", "custom needs an expression")
}
