// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"net/http"
	"strings"
	"testing"
)

// A record is frozen and thawed on its page, between two databases.
func TestFreezePage(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apply(`service: harbours
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: shop, type: postgresql, connection: shop, objects: [products]}
syncConfig: {frequency: realtime, matchFields: [sku]}
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-9', 'Wool Sock', 5)")
	held := func() string {
		return h.text(shop, "SELECT coalesce((SELECT quantity::text FROM products WHERE sku = 'SKU-9'), '')")
	}
	h.eventually("the first sync", func() bool { return held() == "5" })
	c := h.signedIn(ownerEmail)
	at := "/services/harbours/records/SKU-9"
	post := func(path string) {
		t.Helper()
		if res, body := h.do(c, "POST", path, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %d %s", path, res.StatusCode, body)
		}
	}
	if _, body := h.do(c, "GET", at); !strings.Contains(body, `action="`+at) && !strings.Contains(body, ":freeze") || strings.Contains(body, "Frozen by") {
		t.Errorf("the page is %s", body)
	}
	post(at + ":freeze")
	h.exec(warehouse, "UPDATE stock_levels SET quantity = 6 WHERE sku = 'SKU-9'")
	h.eventually("the edit to be seen", func() bool {
		_, body := h.do(c, "GET", at)
		return strings.Contains(body, "Frozen by") && strings.Contains(body, "still holds 5, left alone")
	})
	if got := held(); got != "5" {
		t.Errorf("the frozen record was written: %s", got)
	}
	if _, body := h.do(c, "GET", "/records?state=frozen"); !strings.Contains(body, "SKU-9") {
		t.Errorf("the list does not have it: %s", body)
	}
	post(at + ":thaw")
	h.eventually("what came in meanwhile", func() bool { return held() == "6" })
	if _, body := h.do(c, "GET", at); !strings.Contains(body, "Thawed by") || strings.Contains(body, "left alone") {
		t.Errorf("the page is %s", body)
	}
}
