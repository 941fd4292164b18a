// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/webtest"
)

// The inbox of duplicates, as served: a pair waits, is merged, and the merge is undone; several are decided at once.
func TestDuplicatesPage(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig:
  frequency: realtime
  matchFields: [sku]
  deduplication: {fuzzyMatch: {name: {threshold: 0.9}}, mergeStrategy: manual, review: 0.3}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-9', 'Merino Wool Sock', 5)")
	h.eventually("the first", func() bool { return h.text(shop, "SELECT count(*)::text FROM products WHERE sku = 'SKU-9'") == "1" })
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('X-7', 'Merino Wool Socks', 7)")
	var waiting []duplicate.Pair
	list := func(state duplicate.State) []duplicate.Pair {
		pairs, err := h.deps.Duplicates.List(context.Background(), h.owner, duplicate.Query{State: state, Limit: 10})
		h.must(err)
		return pairs
	}
	h.eventually("the pair", func() bool { waiting = list(duplicate.Open); return len(waiting) == 1 })
	c := h.signedIn(ownerEmail)
	page := func(path string, wants ...string) {
		t.Helper()
		res, body := h.do(c, "GET", path)
		for _, want := range wants {
			if res.StatusCode != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s is answered %d and does not say %q:\n%s", path, res.StatusCode, want, body)
			}
		}
	}
	path := "/conflicts/duplicates/" + ident.Format(ident.Duplicate, waiting[0].ID)
	page("/conflicts/duplicates", "Merino Wool Sock", "in harbours", "Not duplicates")
	page(path, "Field by field", "SKU-9", "X-7", "left alone in its system", "Not a duplicate", `data-key="m"`)
	// A third of the same: the group is shown side by side, previewed as wished, and merged and taken back in one act.
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('X-8', 'Merino Wool Socks', 3)")
	h.eventually("three pairs", func() bool { return len(list(duplicate.Open)) == 3 })
	page("/conflicts/duplicates", "one of a group of 3 records")
	page(path, "A group of 3")
	g, _, err := h.deps.Duplicates.Group(context.Background(), h.owner, waiting[0].ID, duplicate.Wish{})
	h.must(err)
	last := ident.Format(ident.Entity, g.Records[2].ID)
	page(path+"/group", "3 records of one thing?", "Merge these 3", "X-8", g.Stamp())
	page(path+"/group?survivor="+last+"&record="+last+"&record="+ident.Format(ident.Entity, g.Records[0].ID), "Merge these 2", "left out", `value="`+last+`" selected`)
	page(path+"/group?survivor="+last+"&record="+ident.Format(ident.Entity, g.Records[0].ID), "It cannot be merged so", "two records at least")
	for _, scheme := range []string{"light", "dark"} {
		p := h.open(ownerEmail, path+"/group", webtest.Options{Scheme: scheme})
		p.WaitText("main", "3 records of one thing?")
		p.Axe()
		p.Shot("duplicates-group")
	}
	// Finance sees nothing of them (TestFinanceSeesNoRecords, whose house has no pairs).
	h.member("grace@harbour.example", auth.Finance)
	grace := h.signedIn("grace@harbour.example")
	for _, at := range []string{"/conflicts/duplicates", path, path + "/group"} {
		if res, body := h.do(grace, "GET", at); res.StatusCode != http.StatusForbidden || strings.Contains(body, "Merino") || strings.Contains(body, "X-8") {
			t.Errorf("%s answers finance %d:\n%s", at, res.StatusCode, body)
		}
	}
	h.eventually("the group merged", func() bool {
		_, err := h.deps.Duplicates.JoinGroup(context.Background(), h.owner, waiting[0].ID, duplicate.Wish{Survivor: g.Records[0].ID})
		return err == nil
	})
	page(path, "A group of 3", "in one act", "Undo the merge")
	page(path+"/group", "3 records, merged", "stays")
	h.eventually("the merge undone", func() bool {
		_, err := h.deps.Duplicates.Undo(context.Background(), h.owner, waiting[0].ID, "")
		return err == nil
	})
	page("/conflicts/duplicates?state=later", "one of a group of 3 records")
	h.eventually("the pair merged", func() bool {
		_, err := h.deps.Duplicates.Join(context.Background(), h.owner, waiting[0].ID, duplicate.Wish{})
		return err == nil
	})
	page(path, "Undo the merge", "stays")
	page("/conflicts/duplicates?state=merged", "Merino Wool Sock", "Merged by")
	if n := h.text(shop, "SELECT count(*)::text FROM products WHERE sku = 'X-7'"); n != "0" {
		t.Error("the duplicate was sent")
	}
}
