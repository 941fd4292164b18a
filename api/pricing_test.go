// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/auth"
)

// The calculator answers without an account, with amounts whose lines add up.
func TestPricing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(body string) call { return call{method: "POST", path: "/v1/pricing:calculate", body: body} }
	for body, want := range map[string]string{
		`{"model":"per-sync"}`: "0.00",
		`{"model":"per-sync","usage":{"syncs":10000000,"realtimeSyncs":500000,"complexSyncs":2500}}`:                                                       "13202.50",
		`{"model":"per-record","usage":{"records":{"contacts":10000,"products":1000,"transactions":1}}}`:                                                   "2100.00",
		`{"model":"per-integration","usage":{"syncs":150000,"integrations":{"standard":1}}}`:                                                               "299.00",
		`{"model":"platform","plan":"starter","addOns":["real-time-sync","custom-transformations"],"usage":{"syncs":600000,"integrations":{"premium":4}}}`: "2150.00",
	} {
		v := w.want(200, ask(body)).json(t)
		if v["total"] != want || v["currency"] != "usd" {
			t.Errorf("%s costs %v %v, want %s", body, v["total"], v["currency"], want)
		}
		sum := decimal.Zero
		lines, _ := v["lines"].([]any)
		for _, l := range lines {
			line := l.(map[string]any)
			sum = sum.Add(decimal.RequireFromString(line["amount"].(string)))
			if steps, _ := line["explanation"].([]any); len(steps) == 0 {
				t.Errorf("%s: the line %v is not explained", body, line["title"])
			}
		}
		if sum.StringFixed(2) != want {
			t.Errorf("%s: the lines add up to %s", body, sum)
		}
	}
	w.refused(422, "request.invalid", ask(`{"usage":{"syncs":1}}`))
	w.refused(422, "request.invalid", ask(`{"model":"auction"}`))
	w.refused(422, "request.invalid", ask(`{"model":"per-sync","usage":{"syncs":-1}}`))
	w.refused(422, "plans.plan_unknown", ask(`{"model":"platform"}`))
	w.refused(422, "plans.addon_unknown", ask(`{"model":"per-sync","addOns":["teleportation"]}`))
	if a := w.refused(422, "plans.usage_malformed", ask(`{"model":"per-sync","usage":{"syncs":1,"realtimeSyncs":2}}`)); a.json(t)["errors"].([]any)[0].(map[string]any)["pointer"] != "/usage/realtimeSyncs" {
		t.Errorf("the fault does not name the field: %s", a.body)
	}
	if list := w.want(200, call{method: "GET", path: "/v1/pricing"}).json(t)["plans"].([]any); len(list) != 7 {
		t.Errorf("%d plans in the price list, want 7", len(list))
	}
}

// The plan decides what documents may use, and the refusal names the place and the way up.
func TestSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	finance := func(method, path, body string) call { return p.as(method, path, body).by("", p.sessions[auth.Finance]) }

	v := w.want(200, finance("GET", "/v1/subscription", "")).json(t)
	if v["default"] != true || v["plan"].(map[string]any)["name"] != "per-sync" {
		t.Errorf("at first: %v", v["plan"])
	}
	if list := w.want(200, finance("GET", "/v1/plans", "")).json(t)["plans"].([]any); len(list) != 7 {
		t.Errorf("%d plans, want 7", len(list))
	}
	w.refused(403, "auth.forbidden", p.as("POST", "/v1/subscription:change", `{"plan":"per-record"}`).by("", p.sessions[auth.Admin]))
	w.refused(422, "plans.plan_unknown", finance("POST", "/v1/subscription:change", `{"plan":"gold"}`))
	preview := w.want(200, finance("POST", "/v1/subscription:preview", `{"plan":"platform-starter","addOns":["real-time-sync"],"when":"now"}`)).json(t)
	if preview["fullMonth"] != "750.00" {
		t.Errorf("the preview is %v", preview)
	}
	v = w.want(200, finance("POST", "/v1/subscription:change", `{"plan":"platform-starter","addOns":["real-time-sync"],"note":"as agreed"}`)).json(t)
	if v["default"] != false || v["plan"].(map[string]any)["name"] != "platform-starter" {
		t.Errorf("after the change: %v", v["plan"])
	}
	w.refused(409, "plans.nothing_scheduled", finance("POST", "/v1/subscription:withdraw", ""))

	document := strings.Replace(p.document("catalog-a"), "lastWriteWins", "merge", 1)
	put := p.as("PUT", "/v1/services/catalog-a", document, "If-Match", "*", "Content-Type", "application/yaml")
	a := w.refused(403, "plans.feature_missing", put)
	if text := string(a.body); !strings.Contains(text, "Advanced conflict resolution") || !strings.Contains(text, "$500.00 a month") || !strings.Contains(text, `"line"`) {
		t.Errorf("the refusal does not show the place and the way up: %s", text)
	}
	w.want(200, finance("POST", "/v1/subscription:change", `{"plan":"platform-starter","addOns":["real-time-sync","advanced-conflict-resolution"]}`))
	w.want(200, put)
	w.refused(409, "plans.in_use", finance("POST", "/v1/subscription:change", `{"plan":"platform-starter","addOns":["real-time-sync"]}`))
	w.want(200, finance("POST", "/v1/subscription:change", `{"plan":"per-sync","when":"next-period"}`))
	v = w.want(200, finance("POST", "/v1/subscription:withdraw", "")).json(t)
	if v["scheduled"] != nil {
		t.Errorf("after taking it back: %v", v["scheduled"])
	}
}
