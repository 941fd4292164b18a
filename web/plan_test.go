// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The pages of plan and cost as people use them without scripts: look at the price, agree, set a budget, take things back.
func TestPlanAndCostPages(t *testing.T) {
	h := newHouse(t)
	c := h.signedIn(ownerEmail)
	page := func(path string, want ...string) string {
		t.Helper()
		r, body := h.do(c, "GET", path)
		if r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, r.Status)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not say %q", path, w)
			}
		}
		return body
	}
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		r, err := c.PostForm(h.url+path, form)
		h.must(err)
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		h.must(err)
		return r.StatusCode, string(body)
	}
	page("/settings/plan", "Per sync", "Choose a plan", "platform-starter")
	body := page("/settings/plan?plan=platform-starter&addOn=real-time-sync&when=next-period", "Agree to Platform Starter", "A whole month", "$750.00")
	if strings.Contains(body, "begins with the next period") {
		t.Error("looking at a price agreed to it")
	}
	page("/settings/plan?plan=gold", "There is no plan")
	if status, _ := post("/settings/plan", url.Values{"plan": {"platform-starter"}, "addOn": {"real-time-sync", "white-label"}, "when": {"next-period"}}); status != http.StatusSeeOther {
		t.Errorf("agreeing is answered %d", status)
	}
	page("/settings/plan", "Platform Starter begins with the next period", "Take back")
	if status, _ := post("/settings/plan:withdraw", nil); status != http.StatusSeeOther {
		t.Errorf("taking back is answered %d", status)
	}
	if body := page("/settings/plan"); strings.Contains(body, "begins with the next period") {
		t.Error("it was not taken back")
	}

	page("/usage/cost", "Month to date", "Forecast", "No budget", "Why did it rise or fall?")
	if status, body := post("/usage/budgets", url.Values{"name": {"Everything"}, "amount": {"none"}}); status != http.StatusUnprocessableEntity || !strings.Contains(body, "Write an amount above 0") {
		t.Errorf("a budget of no amount is answered %d", status)
	}
	if status, _ := post("/usage/budgets", url.Values{"name": {"Everything"}, "amount": {"1,000.50"}, "pause": {"1"}}); status != http.StatusSeeOther {
		t.Errorf("a budget is answered %d", status)
	}
	body = page("/usage/cost", "Everything", "$1,000.50", "services are paused at the whole amount")
	_, rest, _ := strings.Cut(body, `action="/usage/budgets/`)
	id, _, found := strings.Cut(rest, ":remove")
	if !found {
		t.Fatal("the budget cannot be removed")
	}
	if status, _ := post("/usage/budgets/"+id+":remove", nil); status != http.StatusSeeOther {
		t.Errorf("removing is answered %d", status)
	}
	page("/usage/cost", "No budget")
	page("/usage/cost?plan=platform-starter", "Months under the other plan", "$500.00")
	page("/usage", "Cost and budgets")
	if r, body := h.do(c, "GET", "/usage/export?format=csv"); r.StatusCode != http.StatusOK || !strings.HasPrefix(body, "at,meter,quantity") || !strings.Contains(r.Header.Get("Content-Disposition"), ".csv") {
		t.Errorf("the export is answered %s, %.60q", r.Status, body)
	}
}
