// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/webtest"
)

// These tests use the pages about data, connections, money and settings as people do, in a real browser.

// harbours makes a service between two PostgreSQL databases with three products in which a person decides everything.
func (h *house) harbours() (warehouse, shop *pgx.Conn) {
	h.Helper()
	ctx := context.Background()
	warehouse, here := h.table("stock_levels")
	shop, there := h.table("products")
	for name, settings := range map[string]connector.Settings{"warehouse": here, "shop": there} {
		_, err := h.deps.Connections.Create(ctx, h.owner, connection.New{Name: name, Connector: "postgresql", Settings: settings})
		h.must(err)
	}
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-1', 'Ridge Vest', 10), ('SKU-2', 'Trail Cap', 20), ('SKU-3', 'Rain Shell', 30)")
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig:
  frequency: realtime
  matchFields: [sku]
  conflictResolution: {strategy: manual}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.eventually("the first sync", func() bool {
		return h.text(shop, "SELECT count(*)::text FROM products") == "3" && h.quiet("harbours")
	})
	return warehouse, shop
}

func (h *house) exec(conn *pgx.Conn, sql string, args ...any) {
	h.Helper()
	_, err := conn.Exec(context.Background(), sql, args...)
	h.must(err)
}

func (h *house) text(conn *pgx.Conn, sql string, args ...any) (s string) {
	h.Helper()
	h.must(conn.QueryRow(context.Background(), sql, args...).Scan(&s))
	return s
}

// apart lets both sides change while the service is paused, and waits for so many conflicts.
func (h *house) apart(name string, conflicts int64, change func()) {
	h.Helper()
	ctx := context.Background()
	_, err := h.deps.Services.Pause(ctx, h.owner, name, nil)
	h.must(err)
	change()
	_, err = h.deps.Services.Resume(ctx, h.owner, name, nil)
	h.must(err)
	h.eventually("the conflicts", func() bool { return h.waiting(name) == conflicts })
}

// waiting counts a service's open conflicts.
func (h *house) waiting(name string) int64 {
	h.Helper()
	n, _, err := h.deps.Reader.CountOpen(context.Background(), h.owner, h.service(name).ID)
	h.must(err)
	return n
}

func TestConflictsAreDecidedByKeyboard(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apart("harbours", 2, func() {
		h.exec(warehouse, "UPDATE stock_levels SET name = 'Ridge Vest, warm' WHERE sku = 'SKU-1'")
		h.exec(shop, "UPDATE products SET name = 'Ridge Vest!' WHERE sku = 'SKU-1'")
		h.exec(warehouse, "UPDATE stock_levels SET quantity = 21 WHERE sku = 'SKU-2'")
		h.exec(shop, "UPDATE products SET quantity = 22 WHERE sku = 'SKU-2'")
	})
	both := func(sku, column, want string) {
		t.Helper()
		h.eventually(column+" of "+sku+" is "+want+" on both sides", func() bool {
			return h.text(warehouse, "SELECT "+column+"::text FROM stock_levels WHERE sku = $1", sku) == want && h.text(shop, "SELECT "+column+"::text FROM products WHERE sku = $1", sku) == want
		})
	}
	p := h.open(ownerEmail, "/conflicts", webtest.Options{Expect: []string{"422"}})
	p.WaitText("#conflict-list", "SKU-1")
	p.WaitText("#conflict-list", "SKU-2")
	p.WaitText(".rail", "2")

	// j and k walk the list, Enter opens; the newest stands first.
	p.Type("j")
	p.Wait(`document.activeElement.textContent === "SKU-2"`)
	p.Type("j")
	p.Type("k")
	p.Type(kb.Enter)
	p.Wait(`location.pathname.startsWith("/conflicts/") && document.querySelector("#conflict-form")`)
	p.WaitText("#conflict", "Trail Cap")
	p.WaitText("#conflict", "Suggested")
	p.Wait(`document.querySelector('[data-list] [aria-current="true"]').textContent === "SKU-2"`)

	// Nothing picked is refused beside the field, and so is what is no number; what was typed stays.
	p.Type("a")
	p.WaitText("#conflict", "Pick a side, or type a value")
	p.Type("e")
	p.Wait(`document.activeElement.name === "value.quantity" && !document.activeElement.readOnly`)
	p.Type("many")
	p.Type(kb.Enter)
	p.WaitText("#conflict", "This field holds numbers")
	if got := webtest.Eval[string](p, `document.querySelector('[name="value.quantity"]').value`); got != "many" {
		t.Errorf("what was typed became %q", got)
	}
	p.Axe()
	p.Fill(`[name="value.quantity"]`, "25")
	p.Fill(`[name="reason"]`, "counted by hand")
	p.Type(kb.Enter)

	// The next one is there already. 1 and 2 pick a side, a applies.
	p.WaitText(".toasts", "quantity is \"25\"") // it goes after some seconds
	p.WaitText("#conflict", "SKU-1")
	both("SKU-2", "quantity", "25")
	p.Wait(`window.htmx && document.querySelector("#conflict-form")`)
	p.Type("1")
	first := webtest.Eval[string](p, `document.querySelector('[name="value.name"]').value`)
	p.Type("2")
	p.Wait(`document.querySelector('[name="value.name"]').value !== ` + quote(first))
	want := webtest.Eval[string](p, `document.querySelector('[name="value.name"]').value`)
	p.Type("a")
	both("SKU-1", "name", want)
	p.WaitText("main", "No conflict waits")

	// The decided ones say who and why.
	p.Goto(h.url + "/conflicts?state=resolved")
	p.WaitText("#decided", "Ada Lindqvist")
	p.WaitText("#decided", "counted by hand")
	p.Click("#decided .row-link")
	p.WaitText("#conflict", "Decided by Ada Lindqvist")
	if p.Has(`#conflict [type="radio"]`) {
		t.Error("a decided conflict can be decided again")
	}
}

func TestConflictThatMovedOnIsNotDecided(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apart("harbours", 1, func() {
		h.exec(warehouse, "UPDATE stock_levels SET name = 'Ridge Vest, warm' WHERE sku = 'SKU-1'")
		h.exec(shop, "UPDATE products SET name = 'Ridge Vest!' WHERE sku = 'SKU-1'")
	})
	p := h.open(ownerEmail, "/conflicts", webtest.Options{Expect: []string{"412", "409"}})
	p.Click("#conflict-list .row-link-text")
	p.Wait(`document.querySelector("#conflict-form")`)
	version := webtest.Eval[string](p, `document.querySelector('[name="version"]').value`)
	h.exec(shop, "UPDATE products SET name = 'Ridge Vest, red' WHERE sku = 'SKU-1'")
	h.eventually("the conflict moves on", func() bool {
		list, err := h.deps.Reader.Cases(context.Background(), h.owner, engine.CaseQuery{Open: new(true), Limit: 1})
		h.must(err)
		return fmt.Sprint(list[0].Version) != version
	})
	p.Fill(`[name="reason"]`, "as agreed")
	p.Click(`[data-pick="1"]`)
	p.Click(`#conflict-form [data-primary]`)
	p.WaitText("#conflict", "moved on while you were deciding")
	p.WaitText("#conflict", "Ridge Vest, red")
	p.WaitText("#conflict", "changed again")
	p.Axe()
	if got := webtest.Eval[string](p, `document.querySelector('[name="reason"]').value`); got != "as agreed" {
		t.Errorf("the reason became %q", got)
	}
	if p.Has(`[data-pick]:checked`) {
		t.Error("a side stays picked although it says something else now")
	}
	if h.waiting("harbours") != 1 {
		t.Fatal("it was decided all the same")
	}

	// Whoever is later is told by whom it was decided.
	list, err := h.deps.Reader.Cases(context.Background(), h.owner, engine.CaseQuery{Open: new(true), Limit: 1})
	h.must(err)
	_, err = h.deps.Decider.Resolve(context.Background(), h.owner, list[0].ID, engine.Decision{Side: "warehouse", Reason: "the warehouse knows"})
	h.must(err)
	p.Click(`[data-pick="2"]`)
	p.Click(`#conflict-form [data-primary]`)
	p.WaitText("#conflict", "Somebody was faster")
	p.WaitText("#conflict", "the warehouse knows")
	h.eventually("both sides agree", func() bool {
		return h.text(shop, "SELECT name FROM products WHERE sku = 'SKU-1'") == "Ridge Vest, warm"
	})
}

func TestDeletedHereChangedThere(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apart("harbours", 1, func() {
		h.exec(warehouse, "DELETE FROM stock_levels WHERE sku = 'SKU-3'")
		h.exec(shop, "UPDATE products SET quantity = 31 WHERE sku = 'SKU-3'")
	})
	p := h.open(ownerEmail, "/conflicts", webtest.Options{})
	p.Click("#conflict-list .row-link-text")
	p.WaitText("#conflict", "deleted")
	p.WaitText("#conflict", "kept, with its changes")
	if p.Has(`[data-pick="edit"]`) {
		t.Error("a value can be typed for a record as a whole")
	}
	p.Axe()
	p.Click(`[data-pick][aria-label*="deleted"]`)
	p.Click(`#conflict-form [data-primary]`)
	p.WaitText(".toasts", "Decided")
	h.eventually("the record is gone on both sides", func() bool { return h.text(shop, "SELECT count(*)::text FROM products") == "2" })
}

func TestRecords(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	p := h.open(ownerEmail, "/records", webtest.Options{})
	p.WaitText("#records", "Trail Cap")
	p.Type("/")
	p.Type("rain")
	p.Wait(`location.search.includes("q=rain") && document.querySelectorAll("#records .row-link").length === 1`)
	p.Click("#records .row-link")
	p.WaitText("h1", "Rain Shell")
	p.WaitText("#history", "Appeared in warehouse")
	p.WaitText("#history", "Created in shop")
	p.WaitText("#history", "run_") // the first sync caused it
	p.Wait(`document.querySelector('#history a[href^="/runs/"]')`)

	// A change is seen while the page is open, with its way; the field's own history has it alone.
	h.exec(shop, "UPDATE products SET quantity = 33 WHERE sku = 'SKU-3'")
	p.WaitText("#record-now", "33")
	p.WaitText("#history", "Changed in shop")
	p.WaitText("#history", "Written to warehouse")
	p.WaitText("#record-now", "by attempt")
	p.Click("#field-quantity .row-link")
	p.WaitText("#history", "History of quantity")
	if text := p.Text("#history"); strings.Contains(text, "Rain Shell") || !strings.Contains(text, "33") {
		t.Errorf("the history of quantity shows %s", text)
	}
	h.eventually("it arrives", func() bool {
		return h.text(warehouse, "SELECT quantity::text FROM stock_levels WHERE sku = 'SKU-3'") == "33"
	})

	// Any system's key leads there.
	p.Goto(h.url + "/records/SKU-3")
	p.WaitText("h1", "Rain Shell")

	// An open conflict is said on the record, and leads to the decision.
	h.apart("harbours", 1, func() {
		h.exec(warehouse, "UPDATE stock_levels SET name = 'Rain Shell, blue' WHERE sku = 'SKU-3'")
		h.exec(shop, "UPDATE products SET name = 'Rain Shell, red' WHERE sku = 'SKU-3'")
	})
	p.WaitText("#record-now", "name waits for a decision")
	p.Click(`#record-now a[href^="/conflicts/"]`)
	p.WaitText("#conflict", "Rain Shell, blue")
	p.Goto(h.url + "/records?state=conflict")
	p.WaitText("#records", "SKU-3")
	if n := webtest.Eval[int](p, `document.querySelectorAll("#records .row-link").length`); n != 1 {
		t.Errorf("%d records are in conflict", n)
	}
}

// What a record refers to leads there, and a parent leads to the list of what refers to it.
func TestRecordReferences(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	warehouse, here := h.table("stock_levels")
	shop, there := h.table("products")
	for name, settings := range map[string]connector.Settings{"warehouse": here, "shop": there} {
		_, err := h.deps.Connections.Create(ctx, h.owner, connection.New{Name: name, Connector: "postgresql", Settings: settings})
		h.must(err)
	}
	h.exec(warehouse, "ALTER TABLE stock_levels ADD COLUMN part_of text")
	h.exec(shop, "ALTER TABLE products ADD COLUMN part_of text")
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-1', 'Camp Kit', 1, NULL), ('SKU-2', 'Camp Stove', 2, 'SKU-1'), ('SKU-3', 'Camp Lamp', 3, 'SKU-1'), ('SKU-4', 'Rope', 4, 'SKU-9')")
	h.apply(`service: kits
direction: hierarchical
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [{name: stock_levels, references: {part_of: stock_levels}}], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity, part_of: part_of}
`)
	h.eventually("the first sync", func() bool { return h.text(shop, "SELECT count(*)::text FROM products") == "3" })
	p := h.open(ownerEmail, "/records/SKU-2", webtest.Options{})
	p.WaitText("#references", "Camp Kit")
	p.WaitText("#field-part_of", "Camp Kit")
	p.Click(`#references a[href*="/records/rec_"]`)
	p.WaitText("h1", "Camp Kit")
	p.WaitText("#references", "refer to it by part_of")
	p.Shot("references")
	p.Click(`#references a[href^="/records?"]`)
	p.WaitText("#records", "Camp Lamp")
	if n := webtest.Eval[int](p, `document.querySelectorAll("#records .row-link").length`); n != 2 {
		t.Errorf("%d records refer to the kit", n)
	}
	p.Goto(h.url + "/records/SKU-4")
	p.WaitText("#references", "SKU-9 of warehouse")
	p.WaitText("#record-now", "Waits for another record")
}

func TestDeadLetters(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-4', 'Wool Sock', 40), ('SKU-5', 'Head Torch', 50)")
	h.exec(shop, "ALTER TABLE products ADD CONSTRAINT small CHECK (quantity < 600)")
	h.exec(warehouse, "UPDATE stock_levels SET quantity = 660 + quantity / 10 WHERE sku < 'SKU-5'") // 661 to 664
	open := func(want int) {
		t.Helper()
		h.eventually(fmt.Sprint(want, " dead letters"), func() bool {
			list, err := h.deps.DeadLetters.List(context.Background(), h.owner, delivery.Query{State: delivery.Open, Limit: 100})
			h.must(err)
			return len(list) == want
		})
	}
	open(4)
	p := h.open(ownerEmail, "/dead-letters", webtest.Options{Expect: []string{"422"}})
	p.WaitText("#dead-letters", "small")
	p.WaitText("#dead-letters", "What to do") // the remedy of the code's page
	p.Wait(`document.querySelector('#dead-letters .alert a[href^="/docs/errors/postgresql."]')`)
	p.Axe()

	// One is tried again before anything was mended, and waits again. Then the column takes all but one.
	p.Click("#dead-letters .row-link")
	p.WaitText("#letter-now", "did not take this change")
	path := webtest.Eval[string](p, `location.pathname`)
	p.Click(`form[action$=":redrive"] button`)
	p.WaitText("#letter-now", "2 tries")
	p.WaitText("#letter-now .state", "Open")
	h.exec(shop, "ALTER TABLE products DROP CONSTRAINT small, ADD CONSTRAINT small CHECK (quantity <> 661)")
	p.Click(`form[action$=":redrive"] button`)
	p.WaitText("#letter-now", "It went through")
	if got := webtest.Eval[string](p, `location.pathname`); got != path {
		t.Errorf("the page became %s", got)
	}
	open(3)

	// All alike: what is refused still waits, the others arrive.
	p.Goto(h.url + "/dead-letters")
	p.Click(`#dead-letters form[action$=":redriveAlike"] button`)
	p.WaitText(".toasts", "3 dead letters are being tried again")
	open(1)
	h.eventually("the others arrive", func() bool {
		return h.text(shop, "SELECT string_agg(quantity::text, ' ' ORDER BY sku) FROM products") == "10 662 663 664 50"
	})

	// The last one is given up, with a reason.
	p.WaitText("#dead-letters", "SKU-1")
	p.Click(`#dead-letters [commandfor$="-discard"]`)
	p.Wait(`document.querySelector("dialog[id$='-discard']").open`)
	p.Axe()
	p.Fill(`dialog[open] [name="reason"]`, "sold out for good")
	p.Click(`dialog[open] .btn-danger-fill`)
	p.WaitText("main", "No dead letters")
	p.Goto(h.url + "/dead-letters?state=discarded")
	p.WaitText("#dead-letters", "sold out for good")
	p.WaitText("#dead-letters", "Ada Lindqvist")

	// All that a filter shows are decided at once; how many these are is said first.
	h.exec(warehouse, "UPDATE stock_levels SET quantity = 661 WHERE sku IN ('SKU-3', 'SKU-4')")
	open(2)
	p.Goto(h.url + "/dead-letters")
	p.WaitText("#dead-letters", "small")
	code := webtest.Eval[string](p, `document.querySelector('#dead-letters .alert a[href^="/docs/errors/postgresql."]').href.split("/").pop()`)
	p.Goto(h.url + "/dead-letters?code=" + code)
	p.Wait(`document.querySelector("main form[action^='/dead-letters:redrive'] button").textContent.includes("Try all 2 again")`)
	p.Click(`main [commandfor="selection-discard"]`)
	p.Wait(`document.querySelector("#selection-discard").open`)
	p.Axe()
	p.Fill(`dialog[open] [name="reason"]`, "counted anew")
	p.Click(`dialog[open] .btn-danger-fill`)
	p.WaitText(".toasts", "2 dead letters given up")
	open(0)

	// A reason is asked for on the server, too.
	h.exec(warehouse, "UPDATE stock_levels SET quantity = 661 WHERE sku = 'SKU-5'")
	open(1)
	p.Goto(h.url + "/dead-letters")
	p.Click("#dead-letters .row-link")
	p.Click(`[commandfor="discard"]`)
	p.Wait(`document.querySelector("#discard").open`)
	p.Eval(`document.querySelector("#discard-reason").required = false`)
	p.Click(`#discard .btn-danger-fill`)
	p.WaitText("#letter-now", "A reason is required")
}

func TestConnections(t *testing.T) {
	h := newHouse(t)
	_, settings := h.table("products")
	p := h.open(ownerEmail, "/connections", webtest.Options{Expect: []string{"422", "409", "412"}})
	p.Click(`main a[href="/connections/new"]`)
	p.Click(`a[href$="connector=postgresql"]`)
	p.WaitText("h1", "Connect PostgreSQL")

	// Wrong settings are told beside their fields, and what was typed stays.
	p.Fill("#name", "shop db")
	for name, value := range settings {
		if name != "sslmode" {
			p.Fill(`[name="settings.`+name+`"]`, value)
		}
	}
	p.Eval(`document.querySelector('[name="settings.sslmode"]').value = "disable"`)
	p.Fill(`[name="settings.port"]`, "fivefourthreetwo")
	p.Click(`main form [data-primary]`)
	p.WaitText("main", "must be a whole number")
	p.Wait(`document.querySelector('[name="settings.port"]').getAttribute("aria-invalid") === "true"`)
	p.Axe()
	// A wrong database is only found by trying.
	p.Fill(`[name="settings.port"]`, settings["port"])
	p.Fill(`[name="settings.database"]`, "nowhere")
	p.Click(`[formaction="/connections:try"]`)
	p.WaitText("main", "It does not work yet")
	p.Wait(`document.querySelector('main a[href="/docs/errors/postgresql.no_such_database"]')`)
	p.Fill(`[name="settings.database"]`, settings["database"])
	p.Click(`[formaction="/connections:try"]`)
	p.WaitText("main", "It answers")
	p.Click(`main form [data-primary]`)
	p.WaitText("h1", "shop db")
	p.WaitText("#health", "not tried")
	p.WaitText("#objects", "products") // asked for by the page itself

	// The test says what it found; the password is shown nowhere.
	p.Type("t")
	p.WaitText("#health", "Healthy")
	p.WaitText(".toasts", "answers")
	p.WaitText("main", "sealed")
	if strings.Contains(webtest.Eval[string](p, `document.documentElement.outerHTML`), settings["password"]) {
		t.Error("the page holds the password")
	}

	// Edited to something wrong it is ill, and mended again; an empty password keeps the one there is.
	p.Click(`a[href$="/edit"]`)
	p.Fill(`[name="settings.database"]`, "nowhere")
	if got := webtest.Eval[string](p, `document.querySelector('[name="settings.password"]').value`); got != "" {
		t.Errorf("the form holds the password %q", got)
	}
	p.Click(`main form [data-primary]`)
	p.WaitPath("/connections/shop%20db")
	p.WaitText("#health", "not tried")
	p.Type("t")
	p.WaitText("#health", "Expired")
	p.WaitText("#health", "database")
	p.Click(`a[href$="/edit"]`)
	p.Fill(`[name="settings.database"]`, settings["database"])
	p.Click(`main form [data-primary]`)
	p.WaitPath("/connections/shop%20db")
	p.WaitText("#health", "not tried")
	p.Type("t")
	p.WaitText("#health", "Healthy")

	// While a service uses it, it is not deleted, not even by a request that the page does not offer.
	_, err := h.deps.Connections.Create(context.Background(), h.owner, connection.New{Name: "left", Connector: "left", Settings: connector.Settings{"token": "t"}})
	h.must(err)
	h.apply(`service: shop-sync
systems:
  - {id: left, type: left, connection: left, objects: [products], primary: true}
  - {id: shop, type: postgresql, connection: shop db, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	p.Reload()
	p.WaitText("main", "shop-sync")
	p.Wait(`document.querySelector('.page-actions [commandfor="delete-connection"], .page-actions [disabled]').disabled`)
	p.Eval(`const f = document.createElement("form"); f.method = "post"; f.action = location.pathname + ":delete"; document.body.append(f); f.submit()`)
	p.WaitText("main", "It was not deleted")
	p.WaitText("main", "shop-sync")

	// Unused, it goes when its name is typed.
	p.Goto(h.url + "/connections")
	p.WaitText("#connections", "shop-sync")
	_, err = h.deps.Connections.Create(context.Background(), h.owner, connection.New{Name: "old", Connector: "left", Settings: connector.Settings{"token": "t"}})
	h.must(err)
	p.WaitText("#connections", "old") // it appears by itself
	p.Goto(h.url + "/connections/old")
	p.Click(`[commandfor="delete-connection"]`)
	p.Wait(`document.querySelector("#delete-connection").open`)
	p.Axe()
	p.Fill("#delete-connection-text", "old")
	p.Click("#delete-connection [data-confirm-button]")
	p.WaitText(".toasts", "old was deleted")
	p.Wait(`location.pathname === "/connections" && !document.querySelector("#connections").innerText.includes("old")`)
}

func TestInvoiceOpensIntoItsOperations(t *testing.T) {
	h := newHouse(t)
	h.furnish(30)
	p := h.open(ownerEmail, "/usage", webtest.Options{Expect: []string{"422"}})
	p.WaitText("#meters", "Sync operations")
	p.WaitText("main .stats", "$0.15") // 30 at $0.005
	p.Click(`#meters .row-link`)
	p.Wait(`location.pathname.startsWith("/invoices/") && location.search.includes("line=")`)
	p.WaitText("main", "30 × $0.005")
	p.WaitText("main", "$0.15")
	p.WaitText("#operations", "Operations of Sync operations")
	p.Wait(`document.querySelectorAll("#operations .row-link").length === 25`)
	p.Click(`#operations .table-foot a`)
	p.Wait(`location.search.includes("after=") && document.querySelectorAll("#operations .row-link").length === 5`)
	p.Click("#operations .row-link")
	p.Wait(`location.pathname.includes("/records/")`)
	p.WaitText("#history", "Created in right")

	// The table twin has the chart's numbers, and the month stands in the address.
	p.Goto(h.url + "/usage")
	p.Click(`#usage .chart summary, #usage details summary`)
	p.WaitText("#usage .chart table, #usage details table", "30")
	zone, err := billing.Zone(h.session.Tenant.TimeZone)
	h.must(err)
	month := billing.PeriodOf(h.session.CreatedAt, zone).Month.String()
	p.Goto(h.url + "/usage?period=" + month)
	p.WaitText("main .stats", "$0.15")
	p.Goto(h.url + "/usage?period=soon")
	p.WaitText("main", "not a billing period")
}

func TestFinanceSeesMoneyAndNoContents(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	h.member("fia@harbour.example", auth.Finance)
	p := h.open("fia@harbour.example", "/usage", webtest.Options{Expect: []string{"403"}})
	p.WaitText("main .stats", "$0.0")
	p.Click(`#meters .row-link`)
	p.WaitText("#operations", "Operations of")
	if p.Has("#operations a[href*='/records/']") {
		t.Error("finance is led to records")
	}
	for _, contents := range []string{"Trail Runner", "SKU-00"} {
		if strings.Contains(webtest.Eval[string](p, `document.documentElement.outerHTML`), contents) {
			t.Errorf("the invoice shows finance %s", contents)
		}
	}
	list, err := h.deps.Reader.Records(context.Background(), h.owner, h.service(stock).ID, engine.RecordQuery{Limit: 1})
	h.must(err)
	for _, path := range []string{"/records", "/conflicts", "/dead-letters", "/connections", "/settings/keys", "/settings/secrets", "/settings/audit", "/services/" + stock + "/records/" + list[0].MatchKey} {
		p.Goto(h.url + path)
		p.WaitText("main", "You are signed in as finance")
		if p.Has("main table") {
			t.Errorf("%s shows finance a table", path)
		}
	}
	// What the palette finds has no contents either.
	p.Goto(h.url + "/search?q=Trail")
	if strings.Contains(webtest.Eval[string](p, `document.documentElement.outerHTML`), "Trail Runner") {
		t.Error("the palette shows finance a record")
	}
}

func TestSettings(t *testing.T) {
	h := newHouse(t)
	p := h.open(ownerEmail, "/settings/keys", webtest.Options{Expect: []string{"422", "409", "401"}})

	// A key without a scope is refused, with what was typed kept; with one it is shown, once.
	p.Click(`[commandfor="new-key"]`)
	p.Wait(`document.querySelector("#new-key").open`)
	p.Axe()
	p.Fill("#key-name", "warehouse import")
	p.Click(`#new-key [data-primary]`)
	p.WaitText("main", "No scope is given")
	if got := webtest.Eval[string](p, `document.querySelector("#key-name").value`); got != "warehouse import" {
		t.Errorf("the name became %q", got)
	}
	p.Axe()
	p.Click("#scope-read")
	p.Click(`#new-key [data-primary]`)
	p.Wait(`document.querySelector("#new-key-text")`)
	key := p.Text("#new-key-text")
	who, err := h.deps.Auth.ByKey(context.Background(), key, auth.Caller{})
	h.must(err)
	if !who.Can(auth.ViewRecords) || who.Can(auth.ResolveConflicts) {
		t.Errorf("the key may do other things than its scope says: %v", who.Scopes)
	}
	p.Goto(h.url + "/settings/keys")
	p.WaitText("#api-keys", "warehouse import")
	if strings.Contains(webtest.Eval[string](p, `document.documentElement.outerHTML`), key) {
		t.Error("the key is shown again")
	}
	p.Click(`[aria-label="Revoke warehouse import"]`)
	p.Wait(`document.querySelector("dialog[open] [data-confirm-button]")`)
	p.Click(`dialog[open] [data-confirm-button]`)
	p.WaitText("#api-keys", "Revoked")
	if _, err := h.deps.Auth.ByKey(context.Background(), key, auth.Caller{}); err == nil {
		t.Error("the key works although it was revoked")
	}

	// A secret is set, replaced and deleted, and its value comes back nowhere.
	p.Goto(h.url + "/settings/secrets")
	p.Click(`[commandfor="new-secret"]`)
	p.Fill("#secret-name", "shop token")
	p.Fill("#secret-value", "canary-one")
	p.Click(`#new-secret [data-primary]`)
	p.WaitText("main", "This cannot be the name of a secret")
	if strings.Contains(webtest.Eval[string](p, `document.documentElement.outerHTML`), "canary-one") {
		t.Error("the refused form holds the value")
	}
	p.Fill("#secret-name", "SHOP_TOKEN")
	p.Fill("#secret-value", "canary-two")
	p.Click(`#new-secret [data-primary]`)
	p.WaitText("#secrets", "SHOP_TOKEN")
	h.is("SHOP_TOKEN", "canary-two")
	p.Click("#secrets .row-link")
	p.Wait(`location.pathname.startsWith("/settings/secrets/")`)
	p.Fill("#secret-value", "canary-three")
	p.Click(`main form [data-primary]`)
	p.WaitText(".toasts", "replaced")
	h.is("SHOP_TOKEN", "canary-three")
	p.Click("#secrets .row-link")
	p.Click(`[commandfor="delete-secret"]`)
	p.Fill("#delete-secret-text", "SHOP_TOKEN")
	p.Click("#delete-secret [data-confirm-button]")
	p.WaitText("#secrets", "No secret yet")

	// Somebody is invited by a link, joins, gets another role, and is removed.
	p.Goto(h.url + "/settings")
	p.Click(`[commandfor="invite"]`)
	p.Fill("#email", "nobody")
	p.Eval(`document.querySelector("#email").type = "text"`)
	p.Click(`#invite [data-primary]`)
	p.WaitText("main", "This is not an e-mail address")
	p.Fill("#email", "vera@harbour.example")
	p.Eval(`document.querySelector("#role").value = "viewer"`)
	p.Click(`#invite [data-primary]`)
	p.Wait(`document.querySelector("#invitation-link")`)
	p.WaitText("#invitations", "vera@harbour.example")
	link := p.Text("#invitation-link")
	vera := webtest.Open(t, link, webtest.Options{})
	vera.Fill("#name", "Vera Holm")
	vera.Fill("#password", password)
	vera.Click(`button[type="submit"]`)
	vera.Wait(`location.pathname === "/"`)
	p.Goto(h.url + "/settings")
	p.WaitText("#members", "Vera Holm")
	p.Click(`[aria-label^="Change the role of Vera Holm"]`)
	p.Click(`[name="role"][value="editor"]`)
	p.Click(`main form [data-primary]`)
	p.WaitText(".toasts", "Vera Holm is now editor")
	p.Click(`[aria-label^="Change the role of Ada"]`)
	p.Click(`[name="role"][value="viewer"]`)
	p.Click(`main form [data-primary]`)
	p.WaitText("main", "This is the only owner")
	p.Goto(h.url + "/settings")
	p.Click(`[aria-label^="Change the role of Vera Holm"]`)
	p.Click(`[commandfor="remove-member"]`)
	p.Click(`#remove-member [data-confirm-button]`)
	p.WaitText(".toasts", "Vera Holm was removed")
	vera.Goto(h.url + "/services")
	vera.Wait(`location.pathname === "/sign-in"`)

	// The tenant's name and zone; a zone that is none is told beside the field.
	p.Goto(h.url + "/settings/tenant")
	p.Fill("#timeZone", "Harbour/Pier")
	p.Click(`main form [data-primary]`)
	p.WaitText("#timeZone-error", "There is no such time zone")
	p.Fill("#timeZone", "Europe/Oslo")
	p.Fill("#name", "Harbour Outdoor AS")
	p.Click(`main form [data-primary]`)
	p.WaitText(".rail", "Harbour Outdoor AS")

	// All of it stands in the audit log, whose chain holds; after somebody tampered with it, it says where.
	p.Goto(h.url + "/settings/audit")
	for _, action := range []string{"key.created", "key.revoked", "secret.set", "secret.deleted", "member.role_changed", "member.removed", "tenant.revised"} {
		p.WaitText("#audit", action)
	}
	p.Click(`form[action$=":check"] button`)
	p.WaitText("main", "The log is whole")
	p.Goto(h.url + "/settings/audit?act=secret")
	if text := p.Text("#audit"); strings.Contains(text, "key.created") || !strings.Contains(text, "secret.set") {
		t.Errorf("narrowed to secrets the log shows %s", text)
	}

	// The password is changed, which ends the other sessions.
	other := h.open(ownerEmail, "/services", webtest.Options{Expect: []string{"401"}})
	p.Goto(h.url + "/settings/account")
	p.Wait(`document.querySelectorAll("#sessions tbody tr").length >= 2`)
	p.Fill("#password", "not this one at all")
	p.Fill("#newPassword", "eight calm harbours")
	p.Click(`main form[action$="/password"] [data-primary]`)
	p.WaitText("#password-error", "not your present password")
	p.Fill("#password", password)
	p.Fill("#newPassword", "eight calm harbours")
	p.Click(`main form[action$="/password"] [data-primary]`)
	p.WaitText(".toasts", "Your password was changed")
	p.Wait(`document.querySelectorAll("#sessions tbody tr").length === 1`)
	other.Goto(h.url + "/services")
	other.Wait(`location.pathname === "/sign-in"`)
}

// is checks the value of a secret.
func (h *house) is(name, want string) {
	h.Helper()
	values, err := h.deps.Secrets.Resolve(context.Background(), h.session.Tenant.ID, []string{name})
	h.must(err)
	if values[name] != want {
		h.Errorf("%s is %q", name, values[name])
	}
}

// TestViewerActsNowhere looks at each page of data as somebody who may only look.
func TestViewerActsNowhere(t *testing.T) {
	h := newHouse(t)
	h.furnish(5)
	h.trouble()
	h.member(viewerEmail, auth.Viewer)
	p := h.open(viewerEmail, "/conflicts", webtest.Options{Expect: []string{"403"}})
	p.Click("#conflict-list .row-link-text")
	p.Wait(`document.querySelector("#conflict")`)
	conflict := webtest.Eval[string](p, `location.pathname`)
	p.Goto(h.url + "/dead-letters")
	p.Click("#dead-letters .row-link")
	p.Wait(`document.querySelector("#letter-now")`)
	letter := webtest.Eval[string](p, `location.pathname`)
	for _, path := range []string{conflict, letter, "/dead-letters", "/connections", "/connections/left", "/settings", "/settings/tenant", "/usage", "/records"} {
		p.Goto(h.url + path)
		p.Wait(`document.querySelector("main h1")`)
		if acts := webtest.Eval[string](p, `[...document.querySelectorAll("main form[method=post] [type=submit], main [hx-post], main [data-pick], main dialog form:not([method=dialog])")].map((e) => e.outerHTML.slice(0, 120)).join("\n")`); acts != "" {
			t.Errorf("%s offers a viewer\n%s", path, acts)
		}
	}
	if text := p.Text("main"); strings.Contains(text, "$") {
		t.Error("a viewer sees money")
	}
	for _, path := range []string{"/connections/new", "/connections/left/edit", "/settings/keys", "/settings/secrets", "/settings/audit", "/invoices/bil_00000000000000000000000000"} {
		p.Goto(h.url + path)
		p.WaitText("main", "You are signed in as viewer")
	}
	// Acts sent all the same are refused and change nothing.
	for _, act := range []string{conflict + ":resolve", letter + ":redrive", letter + ":discard", letter + ":redriveAlike", "/connections/left:test", "/connections/left:delete", "/settings/keys", "/settings/secrets", "/settings/invitations", "/settings/tenant"} {
		status := webtest.Eval[int](p, `fetch(`+quote(act)+`, {method: "POST", body: new URLSearchParams({"pick.name": "left", reason: "x", name: "X", scope: "read", email: "a@b.example", role: "viewer", value: "v"})}).then((r) => r.status)`)
		if status != http.StatusForbidden {
			t.Errorf("%s is answered %d to a viewer", act, status)
		}
	}
	if h.waiting(stock) != 1 {
		t.Error("a viewer decided a conflict")
	}
}

// TestOtherTenantsThingsAreNotFound asks for one tenant's things as the other's owner.
func TestOtherTenantsThingsAreNotFound(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	h.trouble()
	ctx := context.Background()
	cases, err := h.deps.Reader.Cases(ctx, h.owner, engine.CaseQuery{Open: new(true), Limit: 1})
	h.must(err)
	letters, err := h.deps.DeadLetters.List(ctx, h.owner, delivery.Query{Limit: 1})
	h.must(err)
	draft, err := h.deps.Invoicer.Draft(ctx, h.owner.Tenant, billing.Month{})
	h.must(err)
	token, _, err := h.deps.Auth.SignUp(ctx, auth.NewAccount{Email: "mallory@pier.example", Name: "Mallory", Password: password, TenantName: "Pier"}, auth.Caller{})
	h.must(err)
	get := func(path string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, h.url+path, nil)
		h.must(err)
		r.AddCookie(&http.Cookie{Name: "syncline_session", Value: token.Reveal()})
		answer, err := http.DefaultClient.Do(r)
		h.must(err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		h.must(err)
		return answer.StatusCode, string(body)
	}
	for _, path := range []string{
		"/conflicts/" + ident.Format(ident.Conflict, cases[0].ID), "/dead-letters/" + ident.Format(ident.DeadLetter, letters[0].ID), "/invoices/" + ident.Format(ident.Invoice, draft.ID), "/invoices/" + ident.Format(ident.Invoice, draft.ID) + "/lines.csv",
		"/services/" + stock + "/records/SKU-001", "/records/SKU-001", "/connections/left", "/connections/left/edit", "/connections/left/parts/objects", "/settings/members/" + h.session.Member.ID.String(),
	} {
		if status, body := get(path); status != http.StatusNotFound || strings.Contains(body, "Trail Runner") {
			t.Errorf("%s is answered %d to another tenant", path, status)
		}
	}
	for _, path := range []string{"/records", "/conflicts", "/dead-letters", "/connections", "/usage", "/settings", "/settings/keys", "/settings/audit", "/search?q=SKU", "/records?service=" + stock} {
		if status, body := get(path); status != http.StatusOK || strings.Contains(body, "Trail Runner") || strings.Contains(body, "SKU-0") || strings.Contains(body, "Ada Lindqvist") {
			t.Errorf("%s is answered %d to another tenant, with our things", path, status)
		}
	}
}
