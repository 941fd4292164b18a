// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
)

func TestRateCardCheck(t *testing.T) {
	one := decimal.NewFromInt(1)
	tests := []struct {
		name  string
		price billing.Price
		want  string // part of the error, "" for none
	}{
		{"graduated", billing.Price{ID: "p", Scheme: billing.Graduated, Tiers: []billing.Tier{{UpTo: 10, Rate: one}, {Rate: one}}}, ""},
		{"one tier without end", billing.Price{ID: "p", Scheme: billing.Volume, Tiers: []billing.Tier{{Rate: one}}}, ""},
		{"no id", billing.Price{Scheme: billing.Included}, "empty or used twice"},
		{"unknown scheme", billing.Price{ID: "p", Scheme: "auction"}, "unknown scheme"},
		{"no scheme", billing.Price{ID: "p"}, "unknown scheme"},
		{"tiers missing", billing.Price{ID: "p", Scheme: billing.Volume}, "tiers belong"},
		{"tiers too many", billing.Price{ID: "p", Scheme: billing.PerUnit, Tiers: []billing.Tier{{Rate: one}}}, "tiers belong"},
		{"last tier ends", billing.Price{ID: "p", Scheme: billing.Graduated, Tiers: []billing.Tier{{UpTo: 10, Rate: one}}}, "without end"},
		{"tiers out of order", billing.Price{ID: "p", Scheme: billing.Graduated, Tiers: []billing.Tier{{UpTo: 10, Rate: one}, {UpTo: 10, Rate: one}, {Rate: one}}}, "not above 10"},
		{"endless tier in the middle", billing.Price{ID: "p", Scheme: billing.Graduated, Tiers: []billing.Tier{{Rate: one}, {Rate: one}}}, "not above 0"},
		{"negative tier", billing.Price{ID: "p", Scheme: billing.Graduated, Tiers: []billing.Tier{{Rate: one.Neg()}}}, "negative"},
		{"negative rate", billing.Price{ID: "p", Scheme: billing.PerUnit, Rate: one.Neg()}, "negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := billing.RateCard{Name: "c", Version: 1, Currency: billing.USD, Prices: []billing.Price{tt.price}}.Check()
			if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check() = %v, want %q", err, tt.want)
			}
		})
	}
	twice := billing.Price{ID: "p", Scheme: billing.Included}
	if err := (billing.RateCard{Name: "c", Version: 1, Currency: billing.USD, Prices: []billing.Price{twice, twice}}).Check(); err == nil {
		t.Error("a price id used twice is accepted")
	}
	if err := (billing.RateCard{Name: "c", Currency: billing.USD, Prices: []billing.Price{twice}}).Check(); err == nil {
		t.Error("a card without version is accepted")
	}
	if err := billing.PerSync().Check(); err != nil {
		t.Error(err)
	}
}

// Cards will be stored: what is written must come back the same.
func TestRateCardSurvivesJSON(t *testing.T) {
	card := billing.PerSync()
	raw, err := json.Marshal(card)
	if err != nil {
		t.Fatal(err)
	}
	var back billing.RateCard
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(back); err != nil || string(again) != string(raw) {
		t.Errorf("written again it is %s, was %s (%v)", again, raw, err)
	}
	if !reflect.DeepEqual(back.Prices[1].Match, card.Prices[1].Match) {
		t.Errorf("the match of the realtime price came back as %+v", back.Prices[1].Match)
	}
}

func TestMatchCovers(t *testing.T) {
	yes, no := true, false
	cell := billing.Quantity{Meter: billing.Records, DataClass: "contacts", Realtime: true, Premium: true}
	tests := []struct {
		name  string
		match billing.Match
		want  bool
	}{
		{"anything", billing.Match{}, true},
		{"realtime", billing.Match{Realtime: &yes}, true},
		{"not realtime", billing.Match{Realtime: &no}, false},
		{"complex", billing.Match{Complex: &yes}, false},
		{"premium and not complex", billing.Match{Premium: &yes, Complex: &no}, true},
		{"standard class", billing.Match{Premium: &no}, false},
		{"its data class", billing.Match{DataClass: "contacts"}, true},
		{"another data class", billing.Match{DataClass: "products"}, false},
	}
	for _, tt := range tests {
		if got := tt.match.Covers(cell); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
