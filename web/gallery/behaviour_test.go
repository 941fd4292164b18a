// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/syncline-dev/syncline/web/static"
	"github.com/syncline-dev/syncline/web/ui"
	"github.com/syncline-dev/syncline/web/webtest"
)

func open(t *testing.T, path string, options webtest.Options) *webtest.Page {
	t.Helper()
	return webtest.Open(t, webtest.Serve(t, Handler())+path, options)
}

func TestThemeIsRememberedByTheServer(t *testing.T) {
	p := open(t, "/", webtest.Options{})
	p.Click(`[popovertarget="user-menu"]`)
	p.Wait(`document.querySelector("#user-menu").matches(":popover-open")`)
	p.Axe()
	p.Click(`[data-set-theme="dark"]`)
	p.Wait(`getComputedStyle(document.documentElement).colorScheme === "dark"`)
	p.Wait(`document.querySelector('[data-set-theme="dark"]').getAttribute("aria-pressed") === "true"`)
	p.Reload()
	p.Wait(`document.documentElement.dataset.theme === "dark"`)

	// The attribute comes from the server, before any script.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), `data-theme="dark"`) {
		t.Error("the page is not rendered in the remembered theme")
	}
}

func TestPalette(t *testing.T) {
	p := open(t, "/", webtest.Options{})
	p.Press("k", chromedp.ModifierCtrl)
	p.Wait(`document.querySelector("#palette").open && document.activeElement.id === "palette-field"`)
	p.Axe()
	p.Type("conf")
	p.Wait(`document.querySelector('#palette [aria-selected="true"]').textContent.includes("Conflicts")`)
	p.Type(kb.Escape)
	p.Wait(`!document.querySelector("#palette").open`)

	p.Press("k", chromedp.ModifierCtrl)
	p.Type("trail")
	p.WaitText("#palette-results", "Trail Runner 2, blue, 42")
	p.Wait(`document.querySelector('#palette [aria-selected="true"]').textContent.includes("inventory-sync")`)
	p.Type(kb.ArrowDown)
	p.Wait(`document.querySelector('#palette [aria-selected="true"]').textContent.includes("Trail Runner")`)
	p.Type(kb.Enter)
	p.WaitPath("/records/ent_01JDCV")

	p.Press("k", chromedp.ModifierCtrl)
	p.Type("zzzz")
	p.Wait(`!document.querySelector(".palette-empty").hidden`)
}

func TestJumpsAndShortcuts(t *testing.T) {
	p := open(t, "/", webtest.Options{})
	p.Type("?")
	p.Wait(`document.querySelector("#keys").open`)
	p.Axe()
	p.Type(kb.Escape)
	p.Type("gs")
	p.WaitPath("/services")
	p.Type("/")
	p.Wait(`document.activeElement.matches("[data-filter-search]")`)
	p.Type("gc") // typed into the field, not a jump
	p.Wait(`document.activeElement.value === "gc"`)

	// Switched off, letters do nothing, and the server remembers.
	p.Eval(`document.activeElement.blur()`)
	p.Type("?")
	p.Wait(`document.querySelector("#keys").open`)
	p.Click("#keys-on")
	p.Type(kb.Escape)
	p.Reload()
	p.Wait(`document.documentElement.dataset.keys === "off"`)
	p.Type("?")
	p.Press("k", chromedp.ModifierCtrl)
	p.Wait(`document.querySelector("#palette").open`)
	if webtest.Eval[bool](p, `document.querySelector("#keys").open`) {
		t.Error("? still opens the list although single letters are switched off")
	}
}

func TestPagesChangeWithMotionToo(t *testing.T) {
	p := open(t, "/", webtest.Options{Motion: true})
	p.Type("gc")
	p.WaitPath("/conflicts")
	p.WaitText("#live", "Live")
	p.Axe()
}

func TestListByKeyboardAndSelection(t *testing.T) {
	p := open(t, "/components/data", webtest.Options{})
	p.Type("j")
	p.Wait(`document.activeElement.textContent === "run_01JDCV9"`)
	p.Type("jj")
	p.Wait(`document.activeElement.textContent === "run_01JDCV7"`)
	p.Type("k")
	p.Wait(`document.activeElement.textContent === "run_01JDCV8"`)
	p.Type("x")
	p.WaitText("[data-bulk]", "1 selected")
	p.Axe()
	p.Click("[data-select-all]")
	p.WaitText("[data-bulk]", "3 selected")
	p.Click("[data-widen]")
	p.WaitText("[data-bulk]", "All 1,204 selected")
	p.Wait(`document.querySelector("[data-everything]").value === "1"`)
	p.Click("[data-unselect]")
	p.Wait(`document.querySelector("[data-bulk]").hidden`)

	// Shift and a click select the range.
	p.Click(`[value="run_01JDCV9"]`)
	p.Eval(`document.querySelector('[value="run_01JDCV7"]').dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: true }))`)
	p.WaitText("[data-bulk]", "3 selected")
	p.Eval(`document.querySelectorAll(".row-link")[1].focus()`)
	p.Type(kb.Enter)
	p.Wait(`location.hash === "#run_01JDCV8"`)
}

func TestCopy(t *testing.T) {
	p := open(t, "/components/data", webtest.Options{})
	// It is said for less than two seconds.
	p.Eval(`const copy = document.querySelector(".kv .copy");
		new MutationObserver(() => { if (copy.hasAttribute("data-copied")) window.said = document.querySelector(".kv [data-copy-note]").textContent; }).observe(copy, { attributes: true })`)
	p.Click(`.kv .copy`)
	p.Wait(`window.said === "Copied"`)
}

func TestConfirmByTyping(t *testing.T) {
	p := open(t, "/components/feedback", webtest.Options{})
	p.Click(`[commandfor="sample-confirm"]`)
	p.Wait(`document.querySelector("#sample-confirm").open`)
	p.Axe()
	p.Fill("#sample-confirm-text", "storefronts")
	p.Wait(`document.querySelector("#sample-confirm [data-confirm-button]").disabled`)
	p.Fill("#sample-confirm-text", "storefront")
	p.Wait(`!document.querySelector("#sample-confirm [data-confirm-button]").disabled`)
	p.Click(`#sample-confirm [command="close"]`)
	p.Wait(`!document.querySelector("#sample-confirm").open`)
	p.Wait(`document.activeElement.getAttribute("commandfor") === "sample-confirm"`)
}

func TestQuestionsAreAskedInOurOwnDialogAndUndoIsOffered(t *testing.T) {
	p := open(t, "/runs/run_01JDCV9", webtest.Options{})
	ask := func() {
		p.Click(`[hx-post$=":cancel"]`)
		p.Wait(`document.querySelector("#confirm").open`)
	}
	ask()
	p.WaitText("#confirm", "Cancel this run?")
	p.Axe()
	p.Click(`#confirm [value="no"]`)
	p.Wait(`!document.querySelector("#confirm").open && document.querySelector('[hx-post$=":cancel"]')`)
	ask()
	p.Click(`#confirm [value="yes"]`)
	p.WaitText("#toasts", "Cancelled")
	p.Eval(`document.querySelector(".toast").dispatchEvent(new PointerEvent("pointerenter"))`) // it stays for who points at it
	p.Axe()
	p.Click("[data-toast-undo]")
	p.Wait(`!document.querySelector(".toast")`)
}

func TestRefusalsKeepThePageAndAreSaid(t *testing.T) {
	p := open(t, "/services/inventory-sync", webtest.Options{Expect: []string{"403"}})
	p.Type("r")
	p.WaitText("#toasts", "Your role does not allow this")
	if !p.Has("#service-head h1") {
		t.Error("the refusal replaced the head of the page")
	}
	p.Click("[data-dismiss]")
	p.Wait(`!document.querySelector(".toast")`)
}

func TestConflictIsDecidedByKeyboard(t *testing.T) {
	p := open(t, "/conflicts", webtest.Options{})
	value := func(field string) string { return `document.querySelector('[name="value.` + field + `"]').value` }
	p.Type("2")
	p.Wait(value("price") + ` === "84.50" && ` + value("quantity") + ` === "41" && ` + value("location") + ` === ""`)
	p.Type("1")
	p.Wait(value("price") + ` === "79.00" && ` + value("location") + ` === "Aisle 7, shelf A"`)
	// With the focus inside a field, a digit picks for that field alone.
	p.Eval(`document.querySelector('[name="pick.price"]').focus()`)
	p.Type("2")
	p.Wait(value("price") + ` === "84.50" && ` + value("quantity") + ` === "40"`)
	p.Eval(`document.querySelector('[name="pick.quantity"]').focus()`)
	p.Type("e")
	p.Wait(`document.activeElement.name === "value.quantity" && !document.activeElement.readOnly`)
	p.Type("38")
	p.Type(kb.Enter)
	p.WaitText("#conflict", "pick.quantity=edit")
	for _, part := range []string{"value.quantity=38", "pick.price=storefront", "value.price=84.50", "pick.location=warehouse"} {
		if text := p.Text("#conflict"); !strings.Contains(text, part) {
			t.Errorf("the form lacks %s: %s", part, text)
		}
	}
}

func TestNextConflictByKey(t *testing.T) {
	p := open(t, "/conflicts", webtest.Options{Expect: []string{"404"}})
	p.Type("n")
	p.WaitPath("/conflicts/con_01JDCW")
}

func TestLiveStreamPausesResumesAndRefreshesParts(t *testing.T) {
	p := open(t, "/services/inventory-sync", webtest.Options{})
	p.WaitText("#live", "Live")
	p.Eval(`window.seen = []; document.body.addEventListener("live:service:svc_01JDCQ", (e) => seen.push(e.detail.after))`)
	p.Click("#live")
	p.WaitText("#live", "Paused")
	p.Reload()
	p.WaitText("#live", "Paused")
	p.Eval(`window.seen = []; document.body.addEventListener("live:service:svc_01JDCQ", (e) => seen.push(e.detail.after))`)
	p.Click("#live")
	p.Wait(`seen.length === 1`)
	p.WaitText("#live", "Live")
	p.Click("#live")
	p.WaitText("#live", "Paused")
	p.Click("#live")
	p.Wait(`seen.length === 2 && seen[1] === "1"`) // it went on after the last id it had seen
}

func TestLiveStreamComesBackAfterALostLine(t *testing.T) {
	lines := make(chan string, 10)
	inner := Handler()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live" {
			inner.ServeHTTP(w, r)
			return
		}
		lines <- r.Header.Get("Last-Event-ID")
		w.Header().Set("Content-Type", "text/event-stream")
		// Split in the middle of a line and with all three line ends, as a network may do it.
		for _, part := range []string{"retry: 30\r\n\r\nid: 7\reve", "nt: run\nda", "ta: {\"subject\"\ndata: : \"run_1\"}\n\n"} {
			_, _ = w.Write([]byte(part))
			_ = http.NewResponseController(w).Flush()
		}
		if len(lines) >= 2 {
			<-r.Context().Done()
		}
	})
	p := webtest.Open(t, webtest.Serve(t, h)+"/", webtest.Options{Expect: []string{"ERR_"}})
	p.WaitText("#live", "Live")
	if first, second := <-lines, <-lines; first != "" || second != "7" {
		t.Errorf("Last-Event-ID of the two connections: %q and %q, want none and 7", first, second)
	}
}

func TestEndedSessionIsToldApartFromALostLine(t *testing.T) {
	inner := Handler()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})
	server := webtest.Serve(t, h)
	// A page that only shows something leads to the sign-in and back.
	p := webtest.Open(t, server+"/services?state=active", webtest.Options{Expect: []string{"401"}})
	p.WaitPath("/sign-in")
	if got := webtest.Eval[string](p, `new URLSearchParams(location.search).get("next")`); got != "/services?state=active" {
		t.Errorf("after signing in it goes on to %q", got)
	}

	// One in which something was typed stays, and the dot says what happened.
	live := make(chan struct{})
	held := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			<-live
		}
		h.ServeHTTP(w, r)
	})
	p = webtest.Open(t, webtest.Serve(t, held)+"/components/controls", webtest.Options{Expect: []string{"401"}})
	p.Fill("#note", "not to be lost")
	close(live)
	p.WaitText("#live", "Signed out")
	p.Wait(`document.querySelector("#note").value === "not to be lost"`)
}

func TestEditorChecksCompletesAndPosts(t *testing.T) {
	p := open(t, "/services/inventory-sync/edit", webtest.Options{})
	p.WaitText("#problems", "1 error, 1 notice")
	p.WaitText("#problems", "Write bi-directional")
	p.Wait(`document.querySelector("yaml-diff").shadowRoot.querySelectorAll(".cm-changedLine, .cm-deletedChunk").length > 0`)

	// A problem leads to its place.
	p.Click("#problems li:first-child button")
	editor := `document.querySelector("yaml-editor")`
	p.Wait(editor + `.view.hasFocus && ` + editor + `.view.state.doc.lineAt(` + editor + `.view.state.selection.main.head).number === 2`)

	// Completion comes from the server.
	p.Eval(editor + `.goto(23, 23)`)
	p.Press(" ", chromedp.ModifierCtrl)
	p.Wait(editor + `.shadowRoot.querySelector(".cm-tooltip-autocomplete li")?.textContent.includes("lastWriteWins")`)
	p.Type(kb.Escape)

	p.Eval(editor + `.value = ` + editor + `.value.replace("bothways", "bi-directional").replace("${STOREFRONT_DSN}", "x")`)
	p.WaitText("#problems", "No problems found")

	// Tab leaves the editor, so the keyboard is not caught.
	p.Eval(editor + `.focus()`)
	p.Type(kb.Tab)
	p.Wait(`document.activeElement !== ` + editor)

	p.Eval(editor + `.focus()`)
	p.Press(kb.Enter, chromedp.ModifierCtrl)
	p.Wait(`!document.querySelector("#editor-form")`) // the answer takes the form's place
	if text := p.Text("body"); !strings.Contains(text, "direction: bi-directional") || strings.Contains(text, "bothways") {
		t.Errorf("the form did not carry the edited text: %.200s", text)
	}
}

func TestEditorSaysWhenChecksAreNotToBeHad(t *testing.T) {
	inner := Handler()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":lint") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	})
	p := webtest.Open(t, webtest.Serve(t, h)+"/services/inventory-sync/edit", webtest.Options{Expect: []string{"503"}})
	p.WaitText("#problems", "could not be checked")
}

func TestPanelsByArrowKeys(t *testing.T) {
	p := open(t, "/components/controls", webtest.Options{})
	p.Click("#sample-panels-tab-0")
	p.Type(kb.ArrowRight)
	p.Wait(`document.activeElement.id === "sample-panels-tab-1" && !document.querySelector("#sample-panels-panel-1").hidden && document.querySelector("#sample-panels-panel-0").hidden`)
}

func TestSkipLinkIsFirst(t *testing.T) {
	p := open(t, "/", webtest.Options{})
	p.Type(kb.Tab)
	p.Wait(`document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().top >= 0`)
	p.Type(kb.Enter)
	p.Wait(`document.activeElement.id === "main"`)
}

func TestDrawerOnAPhone(t *testing.T) {
	p := open(t, "/", webtest.Options{Width: 360, Height: 740})
	p.Click(`.tabbar [popovertarget="rail"]`)
	p.Wait(`document.querySelector("#rail").matches(":popover-open")`)
	p.Axe()
	p.Type(kb.Escape)
	p.Wait(`!document.querySelector("#rail").matches(":popover-open")`)
}

func TestPagesAreLight(t *testing.T) {
	for path, limit := range map[string]int{"/": 300_000, "/services/inventory-sync": 300_000, "/conflicts": 300_000, "/services/inventory-sync/edit": 450_000} {
		t.Run(name(path), func(t *testing.T) {
			p := open(t, path, webtest.Options{})
			p.Wait(`document.readyState === "complete"`)
			if got := p.Weight(); got > limit || got < 50_000 {
				t.Errorf("%s weighs %d bytes over the wire, limit %d", path, got, limit)
			} else {
				t.Logf("%s weighs %d bytes over the wire", path, got)
			}
		})
	}
}

// TestRelativeTimesAgree runs the steps of the page's script beside those of the server.
func TestRelativeTimesAgree(t *testing.T) {
	ago := regexp.MustCompile(`(?s)const ago = (\(then, now\) => \{.*?\n\});`).FindSubmatch(static.Content("app.js"))
	if ago == nil {
		t.Fatal("no function ago in app.js")
	}
	p := open(t, "/sign-in", webtest.Options{})
	for _, d := range []time.Duration{
		0, 4 * time.Second, 5 * time.Second, 59 * time.Second, time.Minute, 59 * time.Minute, time.Hour, 23*time.Hour + 59*time.Minute, 24 * time.Hour, 29 * 24 * time.Hour,
		-4 * time.Second, -6 * time.Second, -90 * time.Second, -3 * time.Hour, -48 * time.Hour,
	} {
		want := ui.Ago(now.Add(-d), now, time.UTC)
		got := webtest.Eval[string](p, `(`+string(ago[1])+`)(`+millis(now.Add(-d))+`, `+millis(now)+`)`)
		if got != want {
			t.Errorf("%v: the page says %q, the server %q", d, got, want)
		}
	}
}
