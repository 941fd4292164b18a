// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The page of statistics and its what-if, as served.
func TestConflictStatisticsPage(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.apart("harbours", 1, func() {
		h.exec(warehouse, "UPDATE stock_levels SET quantity = 21 WHERE sku = 'SKU-2'")
		h.exec(shop, "UPDATE products SET quantity = 22 WHERE sku = 'SKU-2'")
	})
	c := h.signedIn(ownerEmail)
	for query, want := range map[string][]string{
		"": {"shop and warehouse", "quantity", "Try strategies for harbours"},
		"?days=90&service=harbours&strategy=shop-wins":                                        {"shop wins: the strategy names it.", "Another outcome"},
		"?service=harbours&strategy=custom":                                                   {"custom needs an expression."},
		"?service=harbours&strategy=custom&expression=" + url.QueryEscape("max(first, last)"): {"expression gave the value"},
		"?service=harbours&strategy=sourceWins&field=name":                                    {"No conflict to try it on"},
		"?service=nowhere&days=12":                                                            {"in 30 days"},
	} {
		res, body := h.do(c, "GET", "/conflicts/statistics"+query)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %d", query, res.StatusCode)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not say %q", query, w)
			}
		}
	}
}
