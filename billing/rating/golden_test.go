// SPDX-License-Identifier: Apache-2.0

package rating_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
)

func rate(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func mustRate(t interface {
	Helper()
	Fatalf(string, ...any)
}, card billing.RateCard, usage ...billing.Quantity) rating.Result {
	t.Helper()
	result, err := rating.Rate(card, usage)
	if err != nil {
		t.Fatalf("rating: %v", err)
	}
	return result
}

func operations(units int64) billing.Quantity {
	return billing.Quantity{Meter: billing.SyncOperations, Units: units}
}

// The figures of DESIGN.md section 7 for the per-sync plan, the unit on either side of each boundary, and extremes.
func TestPerSyncGolden(t *testing.T) {
	tests := []struct {
		units int64
		want  string
		tiers int
	}{
		{0, "0.00", 1},
		{1, "0.00", 1}, // $0.005, half to even
		{2, "0.01", 1},
		{3, "0.02", 1}, // $0.015, half to even
		{99_999, "500.00", 1},
		{100_000, "500.00", 1},
		{100_001, "500.00", 2},
		{100_002, "500.01", 2},
		{999_999, "3200.00", 2},
		{1_000_000, "3200.00", 2},
		{1_000_001, "3200.00", 3},
		{1_000_005, "3200.00", 3}, // $3,200.005, half to even
		{1_000_006, "3200.01", 3},
		{9_999_999, "12200.00", 3},
		{10_000_000, "12200.00", 3},
		{10_000_001, "12200.00", 4},
		{10_000_011, "12200.01", 4},
		{1_000_000_000_000, "500007200.00", 4},
	}
	for _, tt := range tests {
		t.Run(billing.Count(tt.units), func(t *testing.T) {
			result := mustRate(t, billing.PerSync(), operations(tt.units))
			if got := result.Total.Fixed(); got != tt.want {
				t.Errorf("%d operations cost %s, want %s", tt.units, got, tt.want)
			}
			line := result.Lines[0]
			if line.Quantity != tt.units || !line.Charged || line.Amount.Fixed() != tt.want {
				t.Errorf("the line says %d units for %s", line.Quantity, line.Amount)
			}
			tiers := 0
			for _, s := range line.Explanation {
				if s.Name == billing.StepTier {
					tiers++
				}
			}
			if tiers != tt.tiers {
				t.Errorf("%d tiers are explained, want %d: %v", tiers, tt.tiers, line.Explanation)
			}
		})
	}
}

func TestSurcharges(t *testing.T) {
	result := mustRate(t, billing.PerSync(),
		operations(70_000),
		billing.Quantity{Meter: billing.SyncOperations, Realtime: true, Units: 20_000},
		billing.Quantity{Meter: billing.SyncOperations, Complex: true, Units: 7_000},
		billing.Quantity{Meter: billing.SyncOperations, Realtime: true, Complex: true, Units: 3_000},
		billing.Quantity{Meter: billing.Records, DataClass: "products", Units: 4_000},
		billing.Quantity{Meter: billing.Records, DataClass: "contacts", Units: 1},
		billing.Quantity{Meter: billing.Integrations, Units: 2},
		billing.Quantity{Meter: billing.Integrations, Premium: true, Units: 1},
	)
	var got []string
	for n, l := range result.Lines {
		if l.Position != n+1 {
			t.Errorf("line %d has position %d", n+1, l.Position)
		}
		got = append(got, fmt.Sprintf("%s|%s|%d|%s|%v", l.Price, l.Meter, l.Quantity, l.Amount.Fixed(), l.Charged))
		for _, s := range l.Explanation {
			got = append(got, "  "+s.Text)
		}
	}
	want := []string{
		"sync-operations|sync_operations|100000|500.00|true",
		"  Tier 1, 1 to 100,000: 100,000 operations at $0.005 each = $500.00",
		"realtime|sync_operations|23000|46.00|true",
		"  All: 23,000 operations at $0.002 each = $46.00",
		"complex|sync_operations|10000|10.00|true",
		"  All: 10,000 operations at $0.001 each = $10.00",
		"records|records|4001|0.00|false",
		"  contacts: 1 record",
		"  products: 4,000 records",
		"  4,001 records in all, included in the plan at no charge",
		"integrations|integrations|3|0.00|false",
		"  premium: 1 integration",
		"  standard: 2 integrations",
		"  3 integrations in all, included in the plan at no charge",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if result.Total.Fixed() != "556.00" {
		t.Errorf("the total is %s, want 556.00", result.Total)
	}
}

func TestExplanationOfTiersAndRounding(t *testing.T) {
	line := mustRate(t, billing.PerSync(), operations(10_000_011)).Lines[0]
	var got []string
	for _, s := range line.Explanation {
		got = append(got, s.Text)
	}
	want := []string{
		"Tier 1, 1 to 100,000: 100,000 operations at $0.005 each = $500.00",
		"Tier 2, 100,001 to 1,000,000: 900,000 operations at $0.003 each = $2,700.00",
		"Tier 3, 1,000,001 to 10,000,000: 9,000,000 operations at $0.001 each = $9,000.00",
		"Tier 4, from 10,000,001: 11 operations at $0.0005 each = $0.0055",
		"$12,200.0055 rounded to whole cents, half to even = $12,200.01",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// perRecord is the per-record card of DESIGN.md section 7, as far as its figures go. It becomes a plan later; here it
// proves the volume scheme.
func perRecord() billing.RateCard {
	return billing.RateCard{Name: "per-record", Version: 1, Currency: billing.USD, Prices: []billing.Price{
		{ID: "contacts", Meter: billing.Records, Match: billing.Match{DataClass: "contacts"}, Scheme: billing.Volume, Tiers: []billing.Tier{
			{UpTo: 10_000, Rate: rate("0.10")}, {UpTo: 100_000, Rate: rate("0.05")}, {UpTo: 1_000_000, Rate: rate("0.01")}, {Rate: rate("0.005")}}},
		{ID: "products", Meter: billing.Records, Match: billing.Match{DataClass: "products"}, Scheme: billing.Volume, Tiers: []billing.Tier{
			{UpTo: 1_000, Rate: rate("1.00")}, {UpTo: 10_000, Rate: rate("0.50")}, {Rate: rate("0.25")}}},
		{ID: "transactions", Meter: billing.Records, Match: billing.Match{DataClass: "transactions"}, Scheme: billing.PerUnit, Rate: rate("0.01")},
	}}
}

func TestVolumeGolden(t *testing.T) {
	tests := []struct {
		class string
		units int64
		want  string
	}{
		{"contacts", 0, "0.00"},
		{"contacts", 1, "0.10"},
		{"contacts", 9_999, "999.90"},
		{"contacts", 10_000, "1000.00"},
		{"contacts", 10_001, "500.05"}, // the whole quantity at the lower rate: the cliff of volume prices
		{"contacts", 99_999, "4999.95"},
		{"contacts", 100_000, "5000.00"},
		{"contacts", 100_001, "1000.01"},
		{"contacts", 1_000_000, "10000.00"},
		{"contacts", 1_000_001, "5000.00"}, // $5,000.005, half to even
		{"contacts", 1_000_003, "5000.02"}, // $5,000.015, half to even
		{"contacts", 1_000_000_000_000, "5000000000.00"},
		{"products", 999, "999.00"},
		{"products", 1_000, "1000.00"},
		{"products", 1_001, "500.50"},
		{"products", 10_000, "5000.00"},
		{"products", 10_001, "2500.25"},
		{"transactions", 123, "1.23"},
	}
	for _, tt := range tests {
		t.Run(tt.class+" "+billing.Count(tt.units), func(t *testing.T) {
			result := mustRate(t, perRecord(), billing.Quantity{Meter: billing.Records, DataClass: tt.class, Units: tt.units})
			if got := result.Total.Fixed(); got != tt.want {
				t.Errorf("%d %s cost %s, want %s", tt.units, tt.class, got, tt.want)
			}
		})
	}
}

func TestNoUsageIsAnInvoiceOfNothing(t *testing.T) {
	result := mustRate(t, billing.PerSync())
	if len(result.Lines) != len(billing.PerSync().Prices)-1 || // enrichment only when there was any
		result.Total.Fixed() != "0.00" || result.Total.Currency != billing.USD {
		t.Errorf("%d lines, total %s", len(result.Lines), result.Total)
	}
	for _, l := range result.Lines {
		if len(l.Explanation) == 0 || l.Quantity != 0 || l.Amount.Fixed() != "0.00" {
			t.Errorf("line %s: quantity %d, amount %s, %d steps", l.Price, l.Quantity, l.Amount, len(l.Explanation))
		}
	}
}

func TestImpossibleUsageIsRefused(t *testing.T) {
	if _, err := rating.Rate(billing.PerSync(), []billing.Quantity{operations(1), operations(-2)}); err == nil {
		t.Error("less than no operations were rated")
	}
	const most = 1<<63 - 1
	if _, err := rating.Rate(billing.PerSync(), []billing.Quantity{operations(most), operations(1)}); err == nil {
		t.Error("an overflowing quantity was rated")
	}
	if got := mustRate(t, billing.PerSync(), operations(most), operations(1), operations(-1)).Lines[0].Quantity; got != most {
		t.Errorf("a sum that fits in the end is %d", got)
	}
	if _, err := rating.Rate(billing.RateCard{}, nil); err == nil {
		t.Error("an empty rate card was used")
	}
}
