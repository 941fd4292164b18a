// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/webtest"
)

// A person sees that deletions are held, on the service's page and the overview, looks at them, and brings them back.
func TestHeldChanges(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.exec(warehouse, "INSERT INTO stock_levels SELECT 'MASS-' || n, 'Mass', n FROM generate_series(10, 40) n")
	h.eventually("all in the shop", func() bool {
		return h.text(shop, "SELECT count(*)::text FROM products") == "34" && h.quiet("harbours")
	})
	p := h.open(ownerEmail, "/services/harbours", webtest.Options{Expect: []string{"422"}})
	h.exec(warehouse, "DELETE FROM stock_levels WHERE sku LIKE 'MASS-%'")
	p.WaitText("#service-now", "Held: 31 deletions from warehouse") // without a reload
	p.Axe()
	p.Goto(h.url + "/")
	p.WaitText("#overview-now", "Held in harbours: 31 deletions from warehouse")
	p.Goto(h.url + "/holds")
	p.WaitText("#holds", "31 deletions from warehouse")
	p.Axe()
	p.Click("#holds .row-link")
	p.WaitText("#hold-now", "MASS-10")
	p.WaitText("#hold-now", "25")
	p.Axe()
	if got := h.text(shop, "SELECT count(*)::text FROM products"); got != "34" {
		t.Errorf("the shop holds %s records while the deletions wait", got)
	}
	p.Click(`#hold-now [commandfor="reject"]`)
	p.Wait(`document.querySelector("dialog#reject").open`)
	p.Axe()
	p.Fill("#reject-reason", "A wrong clean-up")
	p.Click(`dialog[open] .btn-danger-fill`)
	p.WaitText("#hold-now", "rejected and brought back by")
	h.eventually("the records to be back", func() bool {
		return h.text(warehouse, "SELECT count(*)::text FROM stock_levels") == "34" && h.quiet("harbours")
	})
	list, err := h.deps.Holds.List(context.Background(), h.owner, safety.HoldQuery{State: engine.HoldSettled, Limit: 10})
	h.must(err)
	if len(list) != 1 || list[0].Note != "A wrong clean-up" || !list[0].Restore || list[0].Total != 31 {
		t.Errorf("the settled holds are %+v", list)
	}
	p.Goto(h.url + "/holds?state=settled")
	p.WaitText("#holds", "A wrong clean-up")
}

// A person looks at what undoing the first sync would do, does it, and the copies are gone.
func TestUndoARun(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	runs, err := h.deps.Services.Runs(context.Background(), h.owner, service.RunFilter{Limit: 1})
	h.must(err)
	h.eventually("the first run to be over", func() bool {
		r, err := h.deps.Services.Run(context.Background(), h.owner, runs[0].ID)
		h.must(err)
		return r.Over()
	})
	p := h.open(ownerEmail, "/runs/"+runs[0].ID.Public(), webtest.Options{})
	p.Click(`a[href$="/undo"]`)
	p.WaitText("#undo", "Would be taken back")
	p.WaitText("#undo", "Ridge Vest")
	p.Axe()
	p.Click(`[commandfor="undo-dialog"]`)
	p.Wait(`document.querySelector("dialog#undo-dialog").open`)
	p.Click(`dialog[open] .btn-danger-fill`)
	p.WaitText(".toasts", "3 records are being brought back")
	h.eventually("the copies to be gone", func() bool { return h.text(shop, "SELECT count(*)::text FROM products") == "0" && h.quiet("harbours") })
	if n := h.text(warehouse, "SELECT count(*)::text FROM stock_levels"); n != "3" {
		t.Errorf("the warehouse holds %s records, want the 3 that people made", n)
	}
	p.Goto(h.url + "/runs/" + runs[0].ID.Public() + "/undo")
	p.WaitText("#undo", "Nothing to take back")
}
