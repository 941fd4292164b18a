// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/web/webtest"
)

// A person sees on the service's page, without a reload, that a column changed its type and that one is new, dismisses the one, accepts
// the other, and the records are read again.
func TestSchemaChangesAreShown(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	conn, err := pgx.Connect(context.Background(), h.database)
	h.must(err)
	h.Cleanup(func() { _ = conn.Close(context.Background()) })
	id := uuid.UUID(h.service("harbours").ID)
	found := func(n string) func() bool {
		return func() bool {
			h.exec(conn, `SELECT pg_notify('syncline_wake', $1)`, id.String()) // it looks now and then by itself
			return h.text(conn, `SELECT count(*)::text FROM schema_changes WHERE state = 'open'`) == n
		}
	}
	p := h.open(ownerEmail, "/services/harbours", webtest.Options{})
	p.WaitText("#service-now", "stock_levels")
	if text := p.Text("#service-now"); strings.Contains(text, "quarantine") || strings.Contains(text, "New field") {
		t.Errorf("before anything changed: %s", text)
	}
	h.exec(warehouse, `ALTER TABLE stock_levels ADD COLUMN color text, ALTER COLUMN quantity TYPE text`)
	h.eventually("both to be found", found("2"))
	p.WaitText("#service-now", "New field: color in")
	p.WaitText("#service-now", "The mapping does not name it")
	p.WaitText("#service-now", "Field in quarantine: quantity of")
	p.WaitText("#service-now", "was integer and is text")
	p.Axe()
	p.Shot("schema-changes")
	p.See(1280, 800, "dark")
	p.Shot("schema-changes")
	p.See(390, 844, "light")
	p.Reflows()
	p.See(1280, 800, "light")
	if n := p.Text("#service-now"); !strings.Contains(n, "Accept") || !strings.Contains(n, "Dismiss") {
		t.Errorf("nothing can be decided: %s", n)
	}
	// What the mapping does not name can only be dismissed.
	p.Wait(`document.querySelectorAll('#service-now form[action$=":accept"]').length === 1 && document.querySelectorAll('#service-now form[action$=":dismiss"]').length === 2`)

	// Meanwhile the other fields go on, and the quarantined one stays.
	h.exec(warehouse, `UPDATE stock_levels SET name = 'Ridge Vest II', quantity = '11' WHERE sku = 'SKU-1'`)
	h.eventually("the name", func() bool { return h.text(shop, `SELECT name FROM products WHERE sku = 'SKU-1'`) == "Ridge Vest II" })
	if got := h.text(shop, `SELECT quantity::text FROM products WHERE sku = 'SKU-1'`); got != "10" {
		t.Errorf("the shop has quantity %s, and the field is in quarantine", got)
	}

	p.Click(`#service-now form[action$=":accept"] button`)
	p.WaitText(".toasts", "Accepted: the records are read again for the field.")
	h.eventually("the quantity", func() bool {
		h.exec(conn, `SELECT pg_notify('syncline_wake', $1)`, id.String())
		return h.text(shop, `SELECT quantity::text FROM products WHERE sku = 'SKU-1'`) == "11"
	})
	p.Click(`#service-now form[action$=":dismiss"] button`)
	p.WaitText(".toasts", "Dismissed: the field is left alone.")
	p.Wait(`!document.querySelector("#service-now").innerText.includes("New field") && !document.querySelector("#service-now").innerText.includes("in quarantine")`)
	p.Axe()
}

// The alerts about systems that disagree often, as a table on the page of statistics.
func TestConflictAlertsAreShown(t *testing.T) {
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
  conflictAlerts:
    - {field: quantity, count: 2, within: 1h}
    - {count: 50, within: 1d}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	p := h.open(ownerEmail, "/conflicts/statistics", webtest.Options{})
	p.WaitText("#conflict-stats", "No conflict in this time")
	if p.Has("#conflict-alerts") {
		t.Error("there is an alert before anything happened")
	}
	h.apart("harbours", 2, func() {
		h.exec(warehouse, "UPDATE stock_levels SET quantity = 21 WHERE sku IN ('SKU-1', 'SKU-2')")
		h.exec(shop, "UPDATE products SET quantity = 22 WHERE sku IN ('SKU-1', 'SKU-2')")
	})
	p.Goto(h.url + "/conflicts/statistics")
	p.WaitText("#conflict-alerts", "times that systems disagreed as often as a document wants told")
	p.Wait(`document.querySelectorAll("#conflict-alerts tbody tr").length === 1`)
	p.Wait(`[...document.querySelectorAll("#conflict-alerts thead th")].map(h => h.textContent.trim()).join() === "When,Service,Field,Conflicts,Told from"`)
	p.Wait(`(c => /^\d+ \w+ \d\d:\d\d UTC$/.test(c[0]) && c.slice(1).join("|") === "harbours|quantity|2|2 within 1 h")([...document.querySelectorAll("#conflict-alerts tbody tr > *")].map(c => c.textContent.trim()))`)
	p.Axe()
	p.Shot("conflict-alerts")
	p.See(390, 844, "dark")
	p.Shot("conflict-alerts")
	p.Reflows()
	p.Goto(h.url + "/conflicts/statistics?service=harbours&days=7")
	p.WaitText("#conflict-alerts", "harbours")
}
