// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/web"
)

func TestCalculatorPage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, query string
		plan, total string
		wrong       string // part of an error; then there is no answer
	}{
		{"a first look", "", "Per sync", "$3,200.00", ""},
		{"per record", "?model=per-record&contacts=100,000", "Per record", "$5,000.00", ""},
		{"per integration", "?model=per-integration&plan=bi-directional&standard=2", "Per integration, bi-directional", "$796.00", ""},
		{"platform without a plan", "?model=platform&syncs=0", "Platform Starter", "$500.00", ""},
		{"with features", "?model=platform&plan=enterprise&addOn=white-label&addOn=real-time-sync&syncs=1", "Platform Enterprise", "$20,000.00", ""},
		{"no number", "?syncs=many", "", "", "All: Write a whole number."},
		{"more in real time than at all", "?syncs=5&realtimeSyncs=6", "", "", "syncs counts"},
		{"a model that there is not", "?model=auction", "", "", "no pricing model"},
		{"an add-on that there is not", "?addOn=teleportation&syncs=1", "", "", "no add-on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			view, err := web.Calculator(billing.Catalog(), httptest.NewRequest(http.MethodGet, "/pricing"+tt.query, nil), "https://sync.example.com")
			if err != nil {
				t.Fatal(err)
			}
			if tt.wrong != "" {
				if view.Answer || len(view.Errors) != 1 || !strings.Contains(view.Errors[0].Text, tt.wrong) {
					t.Errorf("errors %v, answer %v; want %q", view.Errors, view.Answer, tt.wrong)
				}
				return
			}
			var page strings.Builder
			if err := web.PricingPage(view).Render(t.Context(), &page); err != nil {
				t.Fatal(err)
			}
			if view.Plan != tt.plan || view.Total.String() != tt.total || len(view.Prices) == 0 || !strings.Contains(page.String(), tt.total[:strings.IndexByte(tt.total, '.')]) {
				t.Errorf("%s: %s, want %s: %s; errors %v", view.Plan, view.Total, tt.plan, tt.total, view.Errors)
			}
		})
	}
}
