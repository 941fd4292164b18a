// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/webtest"
)

// These tests use the dashboard as people do, in a real browser.

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	p := webtest.Open(t, h.url+"/services", webtest.Options{Expect: []string{"401"}})
	p.Wait(`location.pathname === "/sign-in" && new URLSearchParams(location.search).get("next") === "/services"`)

	h.signIn(p, ownerEmail, "seven loud harbours")
	p.Wait(`document.querySelector("[role=alert]")`)
	if text := p.Text("[role=alert]"); !strings.Contains(text, "password") {
		t.Errorf("the refusal says %q", text)
	}
	if got := webtest.Eval[string](p, `document.querySelector("#email").value`); got != ownerEmail {
		t.Errorf("the address was not kept: %q", got)
	}
	if got := webtest.Eval[string](p, `document.querySelector("#password").value`); got != "" {
		t.Error("the password came back")
	}

	h.signIn(p, ownerEmail, password)
	p.Wait(`location.pathname === "/services"`)
	p.WaitText(".rail", "Ada Lindqvist")
	if webtest.Eval[bool](p, `document.cookie.includes("syncline_session")`) {
		t.Error("scripts can read the session")
	}

	p.Click(`[popovertarget="user-menu"]`)
	p.Wait(`document.querySelector("#user-menu").style.top !== ""`) // it stands where it stays
	p.Click(`form[action="/sign-out"] button`)
	p.Wait(`location.pathname === "/sign-in"`)
	p.Goto(h.url + "/services")
	p.Wait(`location.pathname === "/sign-in"`)
}

func TestSignUpAndInvitation(t *testing.T) {
	h := newHouse(t)
	p := webtest.Open(t, h.url+"/sign-up", webtest.Options{Expect: []string{"422"}})
	p.Fill("#name", "Grace")
	p.Fill("#tenant", "Grace & Sons")
	p.Fill("#email", "grace@sons.example")
	p.Fill("#password", "aaaaaaaaaaaa")
	p.Click(`button[type="submit"]`)
	p.Wait(`document.querySelector("#password-error")`)
	if got := webtest.Eval[string](p, `document.querySelector("#tenant").value`); got != "Grace & Sons" {
		t.Errorf("the tenant's name was not kept: %q", got)
	}
	p.Fill("#password", password)
	p.Click(`button[type="submit"]`)
	p.Wait(`location.pathname === "/"`)
	p.WaitText(".rail", "Grace & Sons")
	p.WaitText("main", "No service yet")

	// Grace is asked into the other tenant and goes there as who she is.
	link, _, err := h.deps.Auth.Invite(context.Background(), h.owner, "grace@sons.example", auth.Editor)
	h.must(err)
	p.Goto(h.url + "/invitations/" + link.Reveal())
	p.WaitText("h1", "Harbour Outdoor")
	p.Click(`button[type="submit"]`)
	p.Wait(`location.pathname === "/"`)
	p.WaitText(".rail", "Harbour Outdoor")

	p.Click(`[popovertarget="tenant-menu"]`)
	p.Wait(`document.querySelector("#tenant-menu").style.top !== ""`) // it stands where it stays
	p.Click(`#tenant-menu button:not([aria-current])`)
	p.WaitText(".toasts", "You are now in Grace & Sons")
	p.WaitText(".rail", "Grace & Sons")
}

func TestEditor(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	p := h.open(ownerEmail, "/services/"+stock+"/edit", webtest.Options{Expect: []string{"422", "412"}})
	const editor = `document.querySelector("yaml-editor#document")`
	p.Wait(editor + `.view`)
	p.WaitText("#changes", "says the same")
	p.WaitText("#problems", "No problems found")

	// A word that is not one is marked in its line while typing, and refused with its line when applied all the same.
	write := func(from, to string) {
		webtest.Eval[bool](p, editor+`.value = `+editor+`.value.replace(`+quote(from)+`, `+quote(to)+`), true`)
	}
	write("lastWriteWins", "loudestWins")
	p.Wait(editor + `.shadowRoot.querySelector(".cm-lintRange-error")?.textContent.includes("loudestWins")`)
	p.WaitText("#problems", "10:")
	p.WaitText("#changes", "has errors")
	p.Click(`button[data-primary]`)
	p.WaitText("#refusal", "Line 10")
	if s := h.service(stock); s.Revision != 1 {
		t.Fatalf("a document with an error became revision %d", s.Revision)
	}
	p.Click(`#refusal [data-goto]`)
	if line := webtest.Eval[int](p, `(() => { const v = `+editor+`.view; return v.state.doc.lineAt(v.state.selection.main.head).number; })()`); line != 10 {
		t.Errorf("the button leads to line %d", line)
	}

	// Mended, it shows what it changes, and is applied with a note.
	write("loudestWins", "left-wins")
	p.WaitText("#problems", "No problems found")
	p.WaitText("#changes", "syncConfig.conflictResolution.strategy")
	p.WaitText("#changes", "left-wins")
	p.Wait(`document.querySelector("yaml-diff").shadowRoot.textContent.includes("left-wins")`)
	p.Fill("#note", "The left side counts")
	p.Click(`button[data-primary]`)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
	p.WaitText(".toasts", "Revision 2")
	if s := h.service(stock); s.Revision != 2 {
		t.Fatalf("revision %d is in force", s.Revision)
	}

	// Whoever edits an older version is told, keeps the text, and overwrites only knowingly.
	p.Goto(h.url + "/services/" + stock + "/edit")
	p.Wait(editor + `.view`)
	h.apply(strings.Replace(document(stock), "realtime", "15m", 1))
	write("left-wins", "right-wins")
	p.WaitText("#problems", "No problems found")
	p.Click(`button[data-primary]`)
	p.WaitText("main", "Somebody changed the service meanwhile")
	if s := h.service(stock); s.Revision != 3 {
		t.Fatalf("revision %d is in force", s.Revision)
	}
	if text := webtest.Eval[string](p, editor+`.value`); !strings.Contains(text, "right-wins") {
		t.Error("the text was lost")
	}

	// The history shows each, with its note, and the way back.
	p.Goto(h.url + "/services/" + stock + "/revisions/2")
	p.WaitText("main", "The left side counts")
	p.WaitText(".changes", "left-wins")
	p.Click(`[commandfor="rollback"]`)
	p.Click(`#rollback button[type="submit"]`)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
	p.WaitText("#service-head", "revision 4")
	_, r, err := h.deps.Services.Get(context.Background(), h.owner, stock)
	h.must(err)
	if !strings.Contains(r.Source, "left-wins") {
		t.Error("rolling back did not bring the text back")
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func TestCompletion(t *testing.T) {
	h := newHouse(t)
	h.connect()
	p := h.open(ownerEmail, "/services/new", webtest.Options{})
	const editor = `document.querySelector("yaml-editor#document")`
	p.Wait(editor + `.view`)
	webtest.Eval[bool](p, editor+`.value = "service: a\nsystems:\n  - id: left\n    type: left\n    connection: ", (`+editor+`.view.dispatch({selection: {anchor: `+editor+`.value.length}}), `+editor+`.focus(), true)`)
	p.Press(" ", chromedp.ModifierCtrl)
	p.Wait(editor + `.shadowRoot.querySelector(".cm-tooltip-autocomplete")?.textContent.includes("left")`)
	// The editor takes no choice in the first moments of its list, so that nobody takes one unseen.
	p.Wait(`(window.offered ??= performance.now()) < performance.now() - 150`)
	p.Type(kb.Enter)
	p.Wait(`/connection: (left|right)\b/.test(` + editor + `.value)`)
}

func TestRunShowsProgress(t *testing.T) {
	h := newHouse(t)
	h.furnish(5)
	p := h.open(ownerEmail, "/services/"+stock, webtest.Options{})
	p.WaitText("#service-state", "Active")

	// The next reading is held, so that the run is seen while it lasts.
	reading, going := make(chan struct{}), make(chan struct{})
	h.left.Plant(connectortest.Fault{On: connectortest.OnRead, Class: connectortest.Pass, Before: func() { close(reading); <-going }})
	p.Press("r") // the key of "Run now"
	p.Wait(`document.querySelector("#service-progress progress")`)
	p.WaitText("#service-runs", "Ada Lindqvist")
	<-reading
	p.WaitText("#service-progress", "Running")

	// Its own page counts along and survives a reload.
	p.Click(`#service-progress a[href^="/runs/"]`)
	p.Wait(`location.pathname.startsWith("/runs/")`)
	p.WaitText("#run", "A run of "+stock)
	p.Reload()
	p.Wait(`document.querySelector("#run progress")`)
	close(going)
	p.WaitText("#run .page-head", "Succeeded")
	p.Wait(`!document.querySelector("#run progress")`)

	// One that is cancelled says so.
	again := make(chan struct{})
	release := sync.OnceFunc(func() { close(again) })
	t.Cleanup(release)
	h.left.Plant(connectortest.Fault{On: connectortest.OnRead, Class: connectortest.Pass, Before: func() { <-again }})
	_, _, err := h.deps.Services.RunNow(context.Background(), h.owner, stock)
	h.must(err)
	p.Goto(h.url + "/services/" + stock + "/runs")
	p.Click(`#runs .row-link`)
	p.Wait(`location.pathname.startsWith("/runs/") && [...document.querySelectorAll("button")].some((b) => b.innerText.includes("Cancel run"))`)
	p.Click(`[hx-post$=":cancel"]`)
	p.Click(`#confirm button[value="yes"]`)
	p.WaitText("#run .page-head", "Cancelled") // while the reading is still held: let go earlier, the run might succeed first
	release()
}

func TestPauseAndResume(t *testing.T) {
	h := newHouse(t)
	h.furnish(2)
	p := h.open(ownerEmail, "/services/"+stock, webtest.Options{})
	p.Click(`[hx-post$=":pause"]`)
	p.WaitText("#service-state", "Paused")
	p.WaitText(".toasts", "paused")
	p.WaitText("#service-now", "Changes wait in the systems")
	if s := h.service(stock); s.State != service.Paused {
		t.Fatalf("the service is %s", s.State)
	}
	// What is changed meanwhile waits.
	h.left.User("products").Put(sku(0), record.Fields{"quantity": record.Int(77)})
	p.Click(`[hx-post$=":resume"]`)
	p.WaitText("#service-state", "Active")
	p.WaitText("#service-feed", "77")
	p.Wait(`!document.querySelector("#service-now").innerText.includes("Changes wait in the systems")`)

	// Somebody else's pause is seen without reloading.
	_, err := h.deps.Services.Pause(context.Background(), h.owner, stock, nil)
	h.must(err)
	p.WaitText("#service-state", "Paused")
}

func TestLiveFeed(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	here, hereSettings := h.table("stock_levels")
	there, thereSettings := h.table("products")
	_, err := h.deps.Connections.Create(ctx, h.owner, connection.New{Name: "warehouse", Connector: "postgresql", Settings: hereSettings})
	h.must(err)
	_, err = h.deps.Connections.Create(ctx, h.owner, connection.New{Name: "shop", Connector: "postgresql", Settings: thereSettings})
	h.must(err)
	_, err = here.Exec(ctx, "INSERT INTO stock_levels SELECT 'SKU-' || i, 'Ridge Vest ' || i, i FROM generate_series(1, 20) i")
	h.must(err)
	h.apply(`service: vests
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.eventually("the first sync", func() bool {
		var n int
		h.must(there.QueryRow(ctx, "SELECT count(*) FROM products").Scan(&n))
		return n == 20 && h.quiet("vests")
	})
	p := h.open(ownerEmail, "/services/vests", webtest.Options{})
	p.WaitText("#live", "Live")
	webtest.Eval[bool](p, `window.same = true`)
	_, err = here.Exec(ctx, "UPDATE stock_levels SET quantity = 4711 WHERE sku = 'SKU-7'")
	h.must(err)
	p.WaitText("#service-feed", "4711")
	p.WaitText("#service-feed", "Ridge Vest 7")
	p.WaitText("#service-feed li", "warehouse → shop")
	_, err = there.Exec(ctx, "UPDATE products SET name = 'Ridge Vest, red' WHERE sku = 'SKU-9'")
	h.must(err)
	p.WaitText("#service-feed li", "Ridge Vest, red")
	p.WaitText("#service-feed li", "shop → warehouse")
	p.WaitText("#service-fields", "quantity") // the systems were asked for their columns
	if !webtest.Eval[bool](p, `window.same === true`) {
		t.Error("the page was loaded again")
	}

	// What the reader opened stays open while the page keeps itself up to date.
	p.Click(`#topology summary`)
	for i := range 3 {
		_, err = here.Exec(ctx, "UPDATE stock_levels SET quantity = 9000 + $1::int WHERE sku = 'SKU-3'", i)
		h.must(err)
		p.WaitText("#service-feed", "900"+string(rune('0'+i)))
	}
	p.WaitText("#service-now .stats", "\n25\n") // 20 of the first sync, and these five
	if !webtest.Eval[bool](p, `document.querySelector("#topology details").open`) {
		t.Error("the table closed by itself")
	}
}

func TestViewer(t *testing.T) {
	h := newHouse(t)
	h.furnish(2)
	h.member(viewerEmail, auth.Viewer)
	p := h.open(viewerEmail, "/", webtest.Options{Expect: []string{"403"}})
	for _, path := range []string{"/", "/services", "/services/" + stock, "/services/" + stock + "/runs", "/services/" + stock + "/revisions", "/services/" + stock + "/revisions/1"} {
		p.Goto(h.url + path)
		p.WaitText("body", stock)
		for _, css := range []string{`a[href$="/edit"]`, `a[href="/services/new"]`, `[hx-post$=":run"]`, `[hx-post$=":pause"]`, `#archive-service`, `#rollback`} {
			if p.Has("main " + css) {
				t.Errorf("%s shows a viewer %s", path, css)
			}
		}
	}
	for _, path := range []string{"/services/new", "/services/" + stock + "/edit"} {
		p.Goto(h.url + path)
		p.WaitText("main", "You are signed in as viewer")
		p.WaitText("main", "Ask Ada Lindqvist")
	}
	// An act sent all the same is refused, said, and changes nothing.
	p.Goto(h.url + "/services/" + stock)
	p.Wait(`window.htmx`)
	webtest.Eval[bool](p, `(htmx.ajax("POST", "/services/`+stock+`:pause", {target: "#service-head", swap: "outerMorph"}), true)`)
	p.WaitText(".toasts", "role")
	if s := h.service(stock); s.State != service.Active {
		t.Errorf("a viewer made the service %s", s.State)
	}
}

func TestSessionEnds(t *testing.T) {
	h := newHouse(t)
	h.furnish(2)
	p := h.open(ownerEmail, "/services/"+stock, webtest.Options{Expect: []string{"401"}})
	p.WaitText("#live", "Live")
	_, err := h.deps.Auth.EndOtherSessions(context.Background(), h.session, auth.Caller{})
	h.must(err)
	// The next thing that moves makes the page look, and it is led to the sign-in and back.
	h.left.User("products").Put(sku(1), record.Fields{"quantity": record.Int(5)})
	p.Wait(`location.pathname === "/sign-in"`)
	p.WaitText("main", "Sign in to go on")
	h.signIn(p, ownerEmail, password)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
}

func TestPalette(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	p := h.open(ownerEmail, "/", webtest.Options{})
	p.Press("k", chromedp.ModifierCtrl)
	p.Wait(`document.querySelector("#palette").open`)
	p.Type("Runner 2")
	p.WaitText("#palette-results", "Trail Runner 2")
	p.Fill("#palette-field", "stock-s")
	p.Wait(`document.querySelector('#palette-results [aria-selected="true"]')?.getAttribute("href") === "/services/` + stock + `"`)
	p.Type(kb.Enter)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
}
