// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
)

// Finance sees money and nothing of the records: each operation that reads is asked with a key of the scope, which may what the role may, for
// things full of records. What shows records is refused, and nothing that is answered holds a value of one.
func TestFinanceSeesNoRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	money := 0
	for _, o := range w.contract.Operations {
		if o.Public || o.Method != http.MethodGet || strings.Contains(o.Path, "/events") {
			continue
		}
		got := w.do(request(t, w.contract, o, p.ids).by(p.keys[auth.ScopeFinance], ""))
		records := strings.HasPrefix(o.Permission, "records.") || strings.HasPrefix(o.Permission, "conflicts.") || strings.HasPrefix(o.Permission, "deadletters.")
		if records && got.status != http.StatusForbidden {
			t.Errorf("%s is answered %d", o.ID, got.status)
		}
		if o.Permission == "invoices.view" {
			money++
			if got.status == http.StatusForbidden {
				t.Errorf("%s is refused", o.ID)
			}
		}
		for _, value := range []string{"left " + p.canary, "right " + p.canary, "long " + p.canary} {
			if strings.Contains(string(got.body), value) {
				t.Errorf("%s shows a value of a record: %s", o.ID, got.body)
			}
		}
	}
	if money < 8 {
		t.Errorf("only %d operations show money", money)
	}
}
