// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/webtest"
)

// A person looks at what a new document would do, and does exactly that.
func TestPlanToApply(t *testing.T) {
	h := newHouse(t)
	h.connect()
	left, right := h.left.User("products"), h.right.User("products")
	left.Put(sku(0), record.Fields{"name": "Ridge Vest", "quantity": record.Int(4)})
	left.Put(sku(1), record.Fields{"name": "Trail Cap", "quantity": record.Int(5)})
	right.Put(sku(1), record.Fields{"name": "Trail Hat", "quantity": record.Int(5)})
	p := h.open(ownerEmail, "/services/new", webtest.Options{Expect: []string{"422"}})
	const editor = `document.querySelector("yaml-editor#document")`
	p.Wait(editor + `.view`)
	webtest.Eval[bool](p, editor+`.value = "service: x\ndirection: sideways\n", true`)
	p.Click(`button[name="plan"]`)
	p.WaitText("#refusal", "need") // a document with errors has no plan, and says where
	webtest.Eval[bool](p, editor+`.value = `+"`"+document(stock)+"`"+`, true`)
	p.Click(`button[name="plan"]`)
	p.Wait(`location.pathname.startsWith("/plans/")`)
	p.WaitText("#plan .page-head", "Ready")
	for _, want := range []string{"First sync of " + stock, "Ridge Vest", "Trail Cap", "Trail Hat", "More this month"} {
		p.WaitText("#plan", want)
	}
	p.WaitText("#seat-right-products", "right")
	look(p, "plan")
	if runs := len(right.All()); runs != 1 {
		t.Fatalf("the right side holds %d records before anything was applied", runs)
	}
	p.Click(`[commandfor="apply-plan"]`)
	p.Wait(`document.querySelector("dialog#apply-plan").open`)
	p.Axe()
	p.Fill("#plan-note", "As it was planned")
	p.Click(`dialog[open] .btn-primary`)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
	h.eventually("what was planned", func() bool {
		return len(h.right.User("products").All()) == 2 && h.waiting(stock) == 1 && h.quiet(stock)
	})
	_, r, err := h.deps.Services.Get(context.Background(), h.owner, stock)
	h.must(err)
	if r.Note != "As it was planned" {
		t.Errorf("the revision's note is %q", r.Note)
	}
}

// A plan whose service has another revision by now is refused with a way on, and the new plan can be applied.
func TestStalePlanIsRefused(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	p := h.open(ownerEmail, "/services/"+stock+"/edit", webtest.Options{Expect: []string{"412"}})
	const editor = `document.querySelector("yaml-editor#document")`
	p.Wait(editor + `.view`)
	webtest.Eval[bool](p, editor+`.value = `+editor+`.value.replace("lastWriteWins", "left-wins"), true`)
	p.Click(`button[name="plan"]`)
	p.Wait(`location.pathname.startsWith("/plans/")`)
	p.WaitText("#plan .page-head", "Ready")
	p.WaitText("#plan", "counts for each record from its next change on")
	p.WaitText("#plan-changes", "left-wins")
	first := webtest.Eval[string](p, `location.pathname`)
	h.apply(strings.Replace(document(stock), "realtime", "15m", 1))
	p.Click(`[commandfor="apply-plan"]`)
	p.Click(`dialog[open] .btn-primary`)
	p.WaitText("#plan [role=alert]", "The world moved on")
	look(p, "plan-stale")
	if s := h.service(stock); s.Revision != 2 {
		t.Fatalf("the plan that was refused made revision %d", s.Revision)
	}
	p.Click(`#plan [role=alert] button`)
	p.Wait(`location.pathname.startsWith("/plans/") && location.pathname !== "` + first + `" && !location.pathname.includes(":")`)
	p.WaitText("#plan .page-head", "Ready")
	p.Click(`[commandfor="apply-plan"]`)
	p.Click(`dialog[open] .btn-primary`)
	p.Wait(`location.pathname === "/services/` + stock + `"`)
	if s := h.service(stock); s.Revision != 3 {
		t.Fatalf("revision %d is in force", s.Revision)
	}
	p.Goto(h.url + "/services/" + stock + "/plans")
	p.WaitText("#plans", "against revision 2")
	look(p, "plans")
}

// The making of a plan is seen while it lasts, and can be cancelled. A viewer may look and do nothing.
func TestPlanIsMade(t *testing.T) {
	h := newHouse(t)
	h.furnish(3)
	h.member(viewerEmail, auth.Viewer)
	reading, release := h.readsWait(h.left)
	_, err := h.deps.Planner.PlanRun(context.Background(), h.owner, stock, service.Selection{})
	h.must(err)
	p := h.open(ownerEmail, "/services/"+stock+"/plans", webtest.Options{})
	p.Click("#plans .row-link")
	p.Wait(`document.querySelector("#plan progress")`)
	<-reading
	p.WaitText("#plan", "Backfill of "+stock)
	look(p, "plan-running")
	p.Click(`[hx-post$=":cancel"]`)
	p.WaitText("#plan", "Stopping")
	release()
	p.WaitText("#plan .page-head", "Cancelled")
	if p.Has("#apply-plan") {
		t.Error("a plan that was cancelled can be carried out")
	}
	v := h.open(viewerEmail, webtest.Eval[string](p, `location.pathname`), webtest.Options{})
	v.WaitText("#plan", "Backfill of "+stock)
	for _, css := range []string{"#apply-plan", `form[action$=":again"]`, `[hx-post$=":cancel"]`} {
		if v.Has(css) {
			t.Errorf("a viewer is shown %s", css)
		}
	}
}
