// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"math/big"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/billing"
)

func usd(s string) billing.Money {
	return billing.Money{Amount: decimal.RequireFromString(s), Currency: billing.USD}
}

func TestRoundLine(t *testing.T) {
	tests := []struct{ name, exact, want string }{
		{"nothing to round", "3200.00", "3200.00"},
		{"below half", "0.0049", "0.00"},
		{"half goes down to even", "0.005", "0.00"},
		{"half goes up to even", "0.015", "0.02"},
		{"half goes down to even again", "0.025", "0.02"},
		{"just above half", "0.0050000000000001", "0.01"},
		{"negative half", "-0.015", "-0.02"},
		{"large", "500004399.9995", "500004400.00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := billing.RoundLine(usd(tt.exact)).Fixed(); got != tt.want {
				t.Errorf("RoundLine(%s) = %s, want %s", tt.exact, got, tt.want)
			}
		})
	}
}

// Half to even over whole tenths of a cent is the same for the mean of many amounts: no drift upwards or downwards.
func TestRoundLineHasNoDrift(t *testing.T) {
	exact, rounded := billing.Zero(billing.USD), billing.Zero(billing.USD)
	for n := int64(0); n < 20_000; n++ {
		m := billing.Money{Amount: decimal.New(n, -3), Currency: billing.USD}
		exact, rounded = exact.Add(m), rounded.Add(billing.RoundLine(m))
	}
	if !exact.Equal(rounded) {
		t.Errorf("20,000 amounts add up to %s exactly but to %s rounded", exact, rounded)
	}
}

func TestRoundLineIsTheNearestCent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimal.New(rapid.Int64().Draw(t, "coefficient"), int32(rapid.IntRange(-12, 0).Draw(t, "exponent")))
		got := billing.RoundLine(billing.Money{Amount: d, Currency: billing.USD}).Amount
		cents := new(big.Rat).Mul(got.Rat(), big.NewRat(100, 1))
		if !cents.IsInt() {
			t.Fatalf("%s is rounded to %s, which is not whole cents", d, got)
		}
		off := new(big.Rat).Sub(got.Rat(), d.Rat())
		switch off.Abs(off).Cmp(big.NewRat(1, 200)) {
		case 1:
			t.Fatalf("%s is rounded to %s, which is not the nearest", d, got)
		case 0:
			if cents.Num().Bit(0) != 0 {
				t.Fatalf("%s is rounded to %s, which is not even", d, got)
			}
		}
	})
}

func TestMoneyIsWritten(t *testing.T) {
	tests := []struct {
		money             billing.Money
		forPeople, forAPI string
	}{
		{usd("0"), "$0.00", "0.00"},
		{usd("3200"), "$3,200.00", "3200.00"},
		{usd("12200.5"), "$12,200.50", "12200.50"},
		{usd("0.0005"), "$0.0005", "0.0005"},
		{usd("0.0050"), "$0.005", "0.005"},
		{usd("-1234567.1"), "-$1,234,567.10", "-1234567.10"},
		{usd("999"), "$999.00", "999.00"},
		{billing.Money{Amount: decimal.NewFromInt(1200), Currency: "eur"}, "1,200.00 EUR", "1200.00"},
	}
	for _, tt := range tests {
		if got := tt.money.String(); got != tt.forPeople {
			t.Errorf("String() = %q, want %q", got, tt.forPeople)
		}
		if got := tt.money.Fixed(); got != tt.forAPI {
			t.Errorf("Fixed() = %q, want %q", got, tt.forAPI)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1_000_000_000_000: "1,000,000,000,000"} {
		if got := billing.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMoneyOfTwoCurrenciesIsNotAdded(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("dollars and euros were added up")
		}
	}()
	usd("1").Add(billing.Zero("eur"))
}
