// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/fault"
)

// The figures of DESIGN.md section 7, the unit on either side of each boundary, and combinations worked out by hand.
func TestCalculateGolden(t *testing.T) {
	const trillion = 1_000_000_000_000
	type u = plans.Assumed
	tests := []struct {
		name   string
		model  billing.Model
		plan   string
		addOns []string
		usage  plans.Assumed
		want   string
	}{
		{"per sync, 100K", "per-sync", "", nil, u{Syncs: 100_000}, "500.00"},
		{"per sync, 1M", "per-sync", "", nil, u{Syncs: 1_000_000}, "3200.00"},
		{"per sync, 10M", "per-sync", "", nil, u{Syncs: 10_000_000}, "12200.00"},
		{"per sync, nothing", "per-sync", "", nil, u{}, "0.00"},
		{"per sync, 10^12", "per-sync", "", nil, u{Syncs: trillion}, "500007200.00"},
		{"per sync with surcharges", "per-sync", "", nil, u{Syncs: 10_000_000, RealtimeSyncs: 500_000, ComplexSyncs: 2_500}, "13202.50"},
		{"surcharges of the same syncs", "per-sync", "", nil, u{Syncs: 1_000, RealtimeSyncs: 1_000, ComplexSyncs: 1_000}, "8.00"},
		{"per sync with features", "per-sync", "", []string{"Custom Transformations", "white-label"}, u{Syncs: 100_000}, "6500.00"},
		{"per sync, half of the base price", "per-sync", "", []string{"real-time-sync"}, u{Syncs: 100_000, RealtimeSyncs: 100_000}, "950.00"},

		{"contacts 10K", "per-record", "", nil, u{Contacts: 10_000}, "1000.00"},
		{"contacts 10K and 1", "per-record", "", nil, u{Contacts: 10_001}, "500.05"},
		{"contacts 100K", "per-record", "", nil, u{Contacts: 100_000}, "5000.00"},
		{"contacts 1M", "per-record", "", nil, u{Contacts: 1_000_000}, "10000.00"},
		{"contacts beyond", "per-record", "", nil, u{Contacts: 2_000_000}, "10000.00"},
		{"products 1K", "per-record", "", nil, u{Products: 1_000}, "1000.00"},
		{"products 10K", "per-record", "", nil, u{Products: 10_000}, "5000.00"},
		{"products 10K and 1", "per-record", "", nil, u{Products: 10_001}, "2500.25"},
		{"no transactions", "per-record", "", nil, u{Transactions: 0}, "0.00"},
		{"one transaction", "per-record", "", nil, u{Transactions: 1}, "100.00"},
		{"transactions to the minimum", "per-record", "", nil, u{Transactions: 10_000}, "100.00"},
		{"transactions above the minimum", "per-record", "", nil, u{Transactions: 10_001}, "100.01"},
		{"all classes", "per-record", "", nil, u{Contacts: 10_000, Products: 1_000, Transactions: 50_000}, "2500.00"},
		{"real time on records", "per-record", "", []string{"real-time-sync"}, u{Contacts: 10_000}, "1500.00"},

		{"a standard integration within its quota", "per-integration", "", nil, u{Standard: 1, Syncs: 100_000}, "199.00"},
		{"one above the quota", "per-integration", "standard", nil, u{Standard: 1, Syncs: 100_001}, "199.00"}, // $0.002 is less than half a cent
		{"five above the quota", "per-integration", "standard", nil, u{Standard: 1, Syncs: 100_005}, "199.01"},
		{"standard overage", "per-integration", "", nil, u{Standard: 2, Syncs: 300_000}, "598.00"},
		{"a premium integration within its quota", "per-integration", "", nil, u{Premium: 1, Syncs: 500_000}, "999.00"},
		{"premium overage", "per-integration", "", nil, u{Premium: 1, Syncs: 600_000}, "1099.00"},
		{"both within their quotas", "per-integration", "", nil, u{Standard: 2, Premium: 1, Syncs: 700_000}, "1397.00"},
		{"both, above", "per-integration", "", nil, u{Standard: 2, Premium: 1, Syncs: 800_000}, "1497.00"},
		{"bi-directional", "per-integration", "bi-directional", nil, u{Standard: 3, Syncs: 1}, "1194.00"},
		{"bi-directional has conflict resolution", "per-integration", "bi-directional", []string{"advanced-conflict-resolution"}, u{Standard: 1}, "398.00"},
		{"conflict resolution else", "per-integration", "", []string{"advanced-conflict-resolution"}, u{Standard: 1}, "699.00"},
		{"bi-directional as an add-on", "per-integration", "", []string{"bi-directional"}, u{Standard: 1}, "398.00"},
		{"syncs without an integration", "per-integration", "", nil, u{Syncs: 1_000}, "2.00"},

		{"starter", "platform", "starter", nil, u{Syncs: 500_000, Standard: 3, Contacts: 50_000}, "500.00"},
		{"starter, one more of each", "platform", "starter", nil, u{Syncs: 500_005, Standard: 2, Premium: 2}, "600.02"}, // $0.015, half to even
		{"starter with too many records", "platform", "starter", nil, u{Contacts: 60_000}, "500.00"},
		{"professional", "platform", "professional", nil, u{Syncs: 6_000_000, Standard: 12}, "3100.00"},
		{"enterprise", "platform", "enterprise", nil, u{Syncs: 51_000_000, Standard: 1_000, Premium: 50}, "10500.00"},
		{"enterprise, 10^12", "platform", "enterprise", nil, u{Syncs: trillion}, "499985000.00"},
		{"starter in real time", "platform", "starter", []string{"real-time-sync"}, u{Syncs: 1_000_000, RealtimeSyncs: 1_000_000, Standard: 5}, "2450.00"},
		{"every add-on", "platform", "professional", []string{
			"Real-time Sync", "Advanced Conflict Resolution", "Data Enrichment", "Custom Transformations", "Dedicated Support", "99.99% SLA", "HIPAA/SOC2 Compliance", "White-label",
		}, u{Enrichments: 12_345}, "16123.45"},
		{"enrichment without the add-on", "platform", "starter", nil, u{Enrichments: 1_000}, "510.00"},
		{"an add-on named twice", "platform", "starter", []string{"white-label", "White-Label"}, u{}, "5500.00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := plans.Calculate(billing.Catalog(), plans.Question{Model: tt.model, Plan: tt.plan, AddOns: tt.addOns, Usage: tt.usage})
			if err != nil {
				t.Fatal(err)
			}
			if a.Total.Fixed() != tt.want {
				t.Errorf("it costs %s, want %s", a.Total.Fixed(), tt.want)
				for _, l := range a.Lines {
					t.Logf("%s: %s", l.Title, l.Amount)
					for _, s := range l.Explanation {
						t.Logf("    %s", s.Text)
					}
				}
			}
			sum := billing.Zero(billing.USD)
			for _, l := range a.Lines {
				sum = sum.Add(l.Amount)
				if len(l.Explanation) == 0 {
					t.Errorf("line %s is not explained", l.Price)
				}
			}
			if !sum.Equal(a.Total) {
				t.Errorf("the lines add up to %s, the total is %s", sum, a.Total)
			}
		})
	}
}

func TestRecordsAboveThePlanAreForReview(t *testing.T) {
	a, err := plans.Calculate(billing.Catalog(), plans.Question{Model: "platform", Plan: "starter", Usage: plans.Assumed{Contacts: 50_000, Transactions: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var reviews []string
	for _, l := range a.Lines {
		if l.Review != "" {
			reviews = append(reviews, l.Price+": "+l.Review)
		}
	}
	if len(reviews) != 1 || !strings.HasPrefix(reviews[0], "records: 1 record") {
		t.Errorf("reviews: %q", reviews)
	}
}

func TestQuestionsThatHaveNoAnswer(t *testing.T) {
	tests := []struct {
		name     string
		question plans.Question
		code     string
		says     string
	}{
		{"no model", plans.Question{}, "plans.model_unknown", "per-integration"},
		{"unknown model", plans.Question{Model: "auction"}, "plans.model_unknown", "per-sync"},
		{"no plan of platform", plans.Question{Model: "platform"}, "plans.plan_unknown", "starter"},
		{"unknown plan", plans.Question{Model: "platform", Plan: "gold"}, "plans.plan_unknown", "enterprise"},
		{"unknown add-on", plans.Question{Model: "per-sync", AddOns: []string{"teleportation"}}, "plans.addon_unknown", "white-label"},
		{"negative", plans.Question{Model: "per-sync", Usage: plans.Assumed{Syncs: -1}}, "plans.usage_malformed", "whole number"},
		{"more in real time than at all", plans.Question{Model: "per-sync", Usage: plans.Assumed{Syncs: 1, RealtimeSyncs: 2}}, "plans.usage_malformed", "syncs counts"},
		{"more complex than at all", plans.Question{Model: "per-sync", Usage: plans.Assumed{ComplexSyncs: 2}}, "plans.usage_malformed", "syncs counts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plans.Calculate(billing.Catalog(), tt.question)
			if !fault.IsCode(err, tt.code) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %s with %q", err, tt.code, tt.says)
			}
		})
	}
}

// Each published plan is whole, names are used once, and its figures stand in the add-on's own price, too.
func TestCatalog(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range billing.Catalog() {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		if seen[p.Name()] {
			t.Errorf("the name %s is used twice", p.Name())
		}
		seen[p.Name()] = true
		if len(p.AddOns) != len(billing.Features) {
			t.Errorf("%s has %d add-ons, want %d", p.Name(), len(p.AddOns), len(billing.Features))
		}
	}
	if billing.DefaultPlan().Name() != "per-sync" || !billing.DefaultPlan().Allows.AllFeatures {
		t.Error("who has agreed to nothing pays per sync and may use everything")
	}
	fee, _ := billing.DefaultPlan().AddOn(billing.AdvancedConflicts)
	if !fee.Prices[0].Rate.Equal(decimal.NewFromInt(500)) {
		t.Errorf("advanced conflict resolution costs %s", fee.Prices[0].Rate)
	}
}
