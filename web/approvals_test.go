// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
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
