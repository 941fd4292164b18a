// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
)

// Review through HTTP: adjusted by one, approved by another, issued, credited; documents; what is refused, and how.
func TestReviewOfInvoices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	owner := func(method, path, body string, header ...string) call {
		return call{method: method, path: path, body: body, session: p.sessions[auth.Owner], header: header}
	}
	finance := func(method, path, body string, header ...string) call {
		return call{method: method, path: path, body: body, session: p.sessions[auth.Finance], header: header}
	}
	key := func() []string { return []string{"Idempotency-Key", uuid.NewString()} }
	issued := "/v1/invoices/" + p.ids["issued"]

	got := w.want(200, finance("GET", issued, "")).json(t)
	if got["number"] != "INV-000001" || got["state"] != "open" || got["settledAt"] != nil || got["approval"].(map[string]any)["by"] != p.members[auth.Finance].String() {
		t.Errorf("the issued invoice is %v", got)
	}
	if list := w.want(200, finance("GET", "/v1/invoices?filter[state]=open", "")).json(t)["data"].([]any); len(list) != 1 {
		t.Errorf("%d invoices are open", len(list))
	}
	if list := w.want(200, finance("GET", "/v1/invoices?filter[review]=true", "")).json(t)["data"].([]any); len(list) != 0 {
		t.Errorf("%d invoices wait for review", len(list))
	}
	w.refused(409, "billing.invoice_state", finance("POST", issued+"/adjustments", `{"amount": "-1", "title": "Late", "reason": "too late"}`, key()...))

	draft := "/v1/invoices/" + p.ids["invoice"]
	a := w.want(201, owner("POST", draft+"/adjustments", `{"amount": "-1.50", "title": "Gift", "reason": "to try it"}`, key()...))
	if !strings.HasPrefix(a.header.Get("Location"), draft+"/adjustments/adj_") {
		t.Errorf("the adjustment is at %s", a.header.Get("Location"))
	}
	w.refused(422, "invoicing.total_negative", owner("POST", draft+"/adjustments", `{"amount": "-1000", "title": "Gift", "reason": "to try it"}`, key()...))
	w.refused(422, "request.invalid", owner("POST", draft+"/adjustments", `{"amount": "1.234", "title": "Gift", "reason": "to try it"}`, key()...))
	w.refused(412, "invoicing.version_stale", owner("DELETE", a.header.Get("Location"), "", "If-Match", `"9999"`))
	w.want(200, owner("DELETE", a.header.Get("Location"), "", "If-Match", a.header.Get("ETag")))
	w.refused(428, "request.if_match_missing", finance("POST", draft+":approve", ""))
	w.refused(409, "invoicing.period_open", finance("POST", draft+":approve", "", "If-Match", "*"))
	w.exec(`UPDATE invoices SET closed_at = now() WHERE tenant_id = $1 AND state = 'draft'`, uuid.UUID(p.tenant))
	w.refused(403, "invoicing.second_person", owner("POST", draft+":approve", "", "If-Match", "*"))
	// The keys of the party were made by the owner, who adjusted.
	w.refused(403, "invoicing.second_person", p.as("POST", draft+":approve", "", "If-Match", "*"))
	version := w.want(200, finance("GET", draft, "")).json(t)["version"].(float64)
	bulk := func(preview bool) string {
		return fmt.Sprintf(`{"preview": %v, "invoices": [{"id": %q, "version": %d}, {"id": "bil_06f3k8t2v0h7x1m9q4r5s6t7w8", "version": 1}]}`, preview, p.ids["invoice"], int64(version))
	}
	for _, preview := range []bool{true, false} {
		out := w.want(200, finance("POST", "/v1/invoices:approve", bulk(preview))).json(t)
		outcomes := out["outcomes"].([]any)
		if first := outcomes[0].(map[string]any); first["approved"] != true || outcomes[1].(map[string]any)["code"] != "invoicing.invoice_not_found" {
			t.Errorf("preview %v: %v", preview, out)
		}
		want := "draft"
		if !preview {
			want = "open"
		}
		if state := w.want(200, finance("GET", draft, "")).json(t)["state"]; state != want {
			t.Errorf("after preview %v the invoice is %s", preview, state)
		}
	}
	w.want(200, finance("POST", draft+":giveUp", `{"reason": "Insolvent"}`, "If-Match", "*"))
	w.want(200, finance("POST", draft+":pay", `{"reference": "Transfer 4711"}`, "If-Match", "*"))
	w.refused(409, "billing.invoice_state", finance("POST", draft+":void", `{"reason": "too late", "replace": false}`, "If-Match", "*"))

	note := "/v1/credit-notes/" + p.ids["creditNote"]
	w.refused(403, "invoicing.second_person", owner("POST", note+":issue", "", "If-Match", "*"))
	if got := w.want(200, finance("POST", note+":issue", "", "If-Match", `"1"`)).json(t); got["number"] != "CN-000001" {
		t.Errorf("issued: %v", got)
	}
	w.refused(409, "billing.credit_state", finance("POST", note+":discard", "", "If-Match", "*"))
	w.refused(422, "billing.credit_invalid", finance("POST", issued+"/credit-notes", `{"amount": "1000000", "reason": "too much"}`, key()...))
	if due := w.want(200, finance("GET", issued, "")).json(t)["due"].(map[string]any)["amount"]; due != "90.00" {
		t.Errorf("of the issued invoice %s are due", due)
	}

	pdf := w.want(200, finance("GET", issued+"/document", ""))
	if !bytes.HasPrefix(pdf.body, []byte("%PDF-")) || pdf.header.Get("Content-Disposition") != `attachment; filename="inv-000001.pdf"` {
		t.Errorf("the PDF is %.20q, %s", pdf.body, pdf.header.Get("Content-Disposition"))
	}
	csv := w.want(200, finance("GET", issued+"/document?format=csv", ""))
	if !strings.Contains(string(csv.body), "INV-000001,") || !strings.Contains(string(csv.body), ",100.00,usd") {
		t.Errorf("the CSV is %s", csv.body)
	}
	// With a key of another tenant in the body nothing is found.
	q := w.newParty("q")
	out := w.want(200, call{method: http.MethodPost, path: "/v1/invoices:approve", body: bulk(true), key: q.key}).json(t)
	if first := out["outcomes"].([]any)[0].(map[string]any); first["code"] != "invoicing.invoice_not_found" || first["total"] != nil {
		t.Errorf("another tenant is told %v", first)
	}
}
