// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"testing"

	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/webtest"
)

// A person names records, sees what reading them again would do, and does it; one that was cancelled is gone on with.
func TestBackfill(t *testing.T) {
	h := newHouse(t)
	h.furnish(5)
	p := h.open(ownerEmail, "/services/"+stock+"/backfills", webtest.Options{Expect: []string{"422"}})
	p.WaitText("#backfills", "None yet")
	look(p, "backfills-empty")
	// A list without keys, and keys of no system, are said beside their fields.
	p.Click(`input[name="by"][value="records"]`)
	p.Click(`button[name="act"][value="plan"]`)
	p.WaitText("#records-error", "at least one key")
	p.Fill("#records", string(sku(1))+"\n"+string(sku(3)))
	p.Click(`button[name="act"][value="plan"]`)
	p.WaitText("#source-error", "say which")
	if got := webtest.Eval[string](p, `document.querySelector("#records").value`); got != string(sku(1))+"\n"+string(sku(3)) {
		t.Errorf("the keys were not kept: %q", got)
	}
	look(p, "backfills-refused")
	webtest.Eval[bool](p, `(document.querySelector("#source").value = "left", true)`)
	p.Click(`button[name="act"][value="plan"]`)
	p.Wait(`location.pathname.startsWith("/plans/")`)
	p.WaitText("#plan .page-head", "Ready")
	p.WaitText("#plan", "2 named records in left")
	p.Click(`[commandfor="apply-plan"]`)
	p.Wait(`document.querySelector("dialog#apply-plan").open`)
	p.Click(`dialog[open] .btn-primary`)
	p.Wait(`location.pathname.startsWith("/runs/")`)
	p.WaitText("#run .page-head", "Succeeded")
	p.WaitText("#run", "Bulk, behind every change")
	runs := func() []service.Run {
		list, err := h.deps.Services.Runs(context.Background(), h.owner, service.RunFilter{Service: h.service(stock).ID, Kinds: []service.RunKind{service.BulkRun}})
		h.must(err)
		return list
	}
	if list := runs(); len(list) != 1 || list[0].Counts["left"].Read != 2 || list[0].Selection == nil || len(list[0].Selection.Records) != 2 {
		t.Fatalf("the backfills are %+v", list)
	}

	reading, release := h.readsWait(h.left)
	p.Goto(h.url + "/services/" + stock + "/backfills")
	p.Click(`button[name="act"][value="run"]`)
	p.Wait(`location.pathname.startsWith("/runs/")`)
	<-reading
	p.Goto(h.url + "/services/" + stock + "/backfills")
	p.Wait(`document.querySelector("#backfills progress")`)
	look(p, "backfills")
	p.Click(`#backfills form[action$=":cancel"] button`)
	h.eventually("the wish to cancel", func() bool { return runs()[0].CancelAt != nil })
	release()
	h.eventually("the cancellation", func() bool { return runs()[0].State == service.RunCancelled })
	p.Goto(h.url + "/services/" + stock + "/backfills")
	p.Click(`#backfills form[action$=":resume"] button`)
	p.Wait(`location.pathname.startsWith("/runs/")`)
	p.WaitText("#run .page-head", "Succeeded")
	if list := runs(); len(list) != 3 || list[0].State != service.RunSucceeded || !list[0].Selection.Everything() {
		t.Errorf("what was gone on with is %+v", list[0])
	}
}
