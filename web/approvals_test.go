// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// The queue of approvals, as served: a record waits, is approved, and goes on.
func TestApprovals(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity}
businessRules:
  - {name: large-orders, condition: quantity > 1000, action: require_approval}
`)
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-9', 'Wool Sock', 5000)")
	var waiting []engine.ActCase
	h.eventually("the approval", func() bool {
		var err error
		waiting, err = h.deps.Reader.Acts(context.Background(), h.owner, engine.ActQuery{State: engine.ActOpen, Limit: 10})
		h.must(err)
		return len(waiting) == 1
	})
	c := h.signedIn(ownerEmail)
	if res, body := h.do(c, "GET", "/conflicts/approvals"); res.StatusCode != http.StatusOK || !strings.Contains(body, "large-orders") || !strings.Contains(body, "SKU-9") || !strings.Contains(body, "until somebody approves") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	path := "/conflicts/approvals/" + ident.Format(ident.RuleAction, waiting[0].ID) + ":approve"
	if res, _ := h.do(c, "POST", path, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusOK {
		t.Errorf("approving is answered %d", res.StatusCode)
	}
	h.eventually("what was approved", func() bool { return h.text(shop, "SELECT count(*)::text FROM products WHERE sku = 'SKU-9'") == "1" })
	if _, body := h.do(c, "GET", "/conflicts/approvals"); !strings.Contains(body, "Nothing waits") || !strings.Contains(body, "Approved") {
		t.Errorf("the page is %s", body)
	}
}

// What rules want done, as served: it is taken up and done; a record that meets a mark says so.
func TestWantedAndMarked(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity}
businessRules:
  - {name: bill-it, condition: quantity > 1000, action: generate_invoice}
  - {name: agreed, condition: quantity_match, action: mark_reconciled}
`)
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-9', 'Wool Sock', 5000)")
	h.eventually("the record", func() bool { return h.text(shop, "SELECT count(*)::text FROM products WHERE sku = 'SKU-9'") == "1" })
	acts := func(action string, state engine.ActState, of record.EntityID) []engine.ActCase {
		list, err := h.deps.Reader.Acts(context.Background(), h.owner, engine.ActQuery{Action: action, State: state, Entity: of, Limit: 10})
		h.must(err)
		return list
	}
	h.eventually("mark and invoice", func() bool {
		list := acts(engine.ActInvoice, engine.ActWanted, record.EntityID{})
		return len(list) == 1 && len(acts(engine.ActReconciled, engine.ActDone, list[0].Entity)) > 0 // the others agree, too
	})
	c := h.signedIn(ownerEmail)
	wanted := acts(engine.ActInvoice, engine.ActWanted, record.EntityID{})[0]
	path := "/conflicts/approvals/" + ident.Format(ident.RuleAction, wanted.ID)
	if res, body := h.do(c, "GET", "/conflicts/approvals"); res.StatusCode != http.StatusOK || !strings.Contains(body, "an invoice is wanted") || !strings.Contains(body, path+":take") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	post := func(verb string) {
		if res, _ := h.do(c, "POST", path+":"+verb, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %d", verb, res.StatusCode)
		}
	}
	post("take")
	if _, body := h.do(c, "GET", "/conflicts/approvals"); !strings.Contains(body, path+":complete") || !strings.Contains(body, path+":release") || strings.Contains(body, path+":take") {
		t.Errorf("taken up: %s", body)
	}
	post("release")
	post("take")
	post("complete")
	if _, body := h.do(c, "GET", "/conflicts/approvals"); !strings.Contains(body, "Nothing is wanted") {
		t.Errorf("done: %s", body)
	}
	if list := acts(engine.ActInvoice, engine.ActDone, wanted.Entity); len(list) != 1 || list[0].DecidedBy == "" {
		t.Errorf("done are %+v", list)
	}
	if _, body := h.do(c, "GET", "/services/harbours/records/"+ident.Format(ident.Entity, uuid.UUID(wanted.Entity))); !strings.Contains(body, "Reconciled by agreed") || !strings.Contains(body, "Reconciled by rule agreed") {
		t.Errorf("the record's page does not say that it is reconciled: %s", body)
	}
}
