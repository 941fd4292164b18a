// SPDX-License-Identifier: Apache-2.0

package rating_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/billing"
)

// The oracle is written from the rules of DESIGN.md section 7 alone and computes another way: with fractions, one unit
// after the other, and rounding by whole-number division. Quantities too large for that are computed from the top tier
// down, by what each tier below costs more.

// unitRate is the rate of the n-th unit (from 1).
func unitRate(tiers []billing.Tier, n int64) *big.Rat {
	for _, t := range tiers {
		if t.UpTo == 0 || n <= t.UpTo {
			return t.Rate.Rat()
		}
	}
	panic("no tier holds the unit")
}

func unitByUnit(p billing.Price, units int64) *big.Rat {
	sum := new(big.Rat)
	for n := int64(1); n <= units; n++ {
		switch p.Scheme {
		case billing.Graduated:
			sum.Add(sum, unitRate(p.Tiers, n))
		case billing.Volume:
			sum.Add(sum, unitRate(p.Tiers, units))
		case billing.PerUnit:
			sum.Add(sum, p.Rate.Rat())
		}
	}
	return sum
}

func fromTheTop(p billing.Price, units int64) *big.Rat {
	u := new(big.Rat).SetInt64(units)
	switch p.Scheme {
	case billing.PerUnit:
		return u.Mul(u, p.Rate.Rat())
	case billing.Included:
		return new(big.Rat)
	}
	reached := 0
	for p.Tiers[reached].UpTo != 0 && units > p.Tiers[reached].UpTo {
		reached++
	}
	sum := u.Mul(u, p.Tiers[reached].Rate.Rat())
	if p.Scheme == billing.Volume {
		return sum
	}
	// Each unit up to a lower tier's end costs that tier's rate instead of the next one's.
	for i := reached - 1; i >= 0; i-- {
		more := new(big.Rat).Sub(p.Tiers[i].Rate.Rat(), p.Tiers[i+1].Rate.Rat())
		sum.Add(sum, more.Mul(more, new(big.Rat).SetInt64(p.Tiers[i].UpTo)))
	}
	return sum
}

// halfEvenCents rounds a fraction that is not negative by whole-number division.
func halfEvenCents(r *big.Rat) *big.Int {
	cents := new(big.Rat).Mul(r, big.NewRat(100, 1))
	q, rest := new(big.Int).QuoRem(cents.Num(), cents.Denom(), new(big.Int))
	switch rest.Lsh(rest, 1).Cmp(cents.Denom()) {
	case 1:
		q.Add(q, big.NewInt(1))
	case 0:
		q.Add(q, new(big.Int).And(q, big.NewInt(1)))
	}
	return q
}

func drawRate(t *rapid.T, label string) decimal.Decimal {
	return decimal.New(rapid.Int64Range(0, 20_000).Draw(t, label), int32(rapid.IntRange(-7, 0).Draw(t, label+" exponent")))
}

// drawPrice draws any price; upTo bounds how far its tiers reach.
func drawPrice(t *rapid.T, id string, upTo int64) billing.Price {
	flag := func(label string) *bool {
		switch rapid.IntRange(0, 2).Draw(t, label) {
		case 0:
			return nil
		case 1:
			return new(bool)
		}
		yes := true
		return &yes
	}
	p := billing.Price{
		ID:     id,
		Meter:  rapid.SampledFrom(billing.Meters).Draw(t, "meter"),
		Match:  billing.Match{Realtime: flag("realtime"), Complex: flag("complex"), DataClass: rapid.SampledFrom([]string{"", "", "contacts"}).Draw(t, "class")},
		Scheme: rapid.SampledFrom([]billing.Scheme{billing.Graduated, billing.Volume, billing.PerUnit, billing.Included}).Draw(t, "scheme"),
	}
	switch p.Scheme {
	case billing.PerUnit:
		p.Rate = drawRate(t, "rate")
	case billing.Graduated, billing.Volume:
		var end int64
		for range rapid.IntRange(0, 5).Draw(t, "tiers") {
			end += rapid.Int64Range(1, upTo).Draw(t, "width")
			p.Tiers = append(p.Tiers, billing.Tier{UpTo: end, Rate: drawRate(t, "tier rate")})
		}
		p.Tiers = append(p.Tiers, billing.Tier{Rate: drawRate(t, "last rate")})
	}
	return p
}

func drawCard(t *rapid.T, upTo int64) billing.RateCard {
	card := billing.RateCard{Name: "drawn", Version: 1, Currency: billing.USD}
	for _, id := range []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "prices")] {
		card.Prices = append(card.Prices, drawPrice(t, id, upTo))
	}
	return card
}

func drawUsage(t *rapid.T, most int64) []billing.Quantity {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) billing.Quantity {
		return billing.Quantity{
			Meter:     rapid.SampledFrom(billing.Meters).Draw(t, "meter"),
			DataClass: rapid.SampledFrom([]string{"", "contacts", "products"}).Draw(t, "class"),
			Realtime:  rapid.Bool().Draw(t, "realtime"),
			Complex:   rapid.Bool().Draw(t, "complex"),
			Premium:   rapid.Bool().Draw(t, "premium"),
			Units:     rapid.Int64Range(0, most).Draw(t, "units"),
		}
	}), 0, 10).Draw(t, "usage")
}

// covered selects by the words of the match, apart from Match.Covers.
func covered(p billing.Price, usage []billing.Quantity) (units int64) {
	for _, q := range usage {
		switch {
		case q.Meter != p.Meter:
		case p.Match.Realtime != nil && *p.Match.Realtime != q.Realtime:
		case p.Match.Complex != nil && *p.Match.Complex != q.Complex:
		case p.Match.DataClass != "" && p.Match.DataClass != q.DataClass:
		default:
			units += q.Units
		}
	}
	return units
}

// agree compares every line and the total with the oracle, and the explanations with the amounts.
func agree(t *rapid.T, card billing.RateCard, usage []billing.Quantity, oracle func(billing.Price, int64) *big.Rat) {
	t.Helper()
	result := mustRate(t, card, usage...)
	var prices []billing.Price
	for _, p := range card.Prices {
		if !p.Optional || covered(p, usage) > 0 {
			prices = append(prices, p)
		}
	}
	if len(result.Lines) != len(prices) {
		t.Fatalf("%d lines for %d prices", len(result.Lines), len(prices))
	}
	total := new(big.Int)
	for n, line := range result.Lines {
		price := prices[n]
		units := covered(price, usage)
		exact := oracle(price, units)
		cents := halfEvenCents(exact)
		total.Add(total, cents)
		if line.Quantity != units {
			t.Fatalf("price %s counts %d units, want %d", price.ID, line.Quantity, units)
		}
		if line.Amount.Amount.Rat().Cmp(new(big.Rat).SetFrac(cents, big.NewInt(100))) != 0 {
			t.Fatalf("price %+v, %d units: %s, want %s cents (exactly %s)", price, units, line.Amount, cents, exact.FloatString(12))
		}
		explained, counted := new(big.Rat), int64(0)
		for _, s := range line.Explanation {
			if s.Name == billing.StepRound {
				continue
			}
			explained.Add(explained, s.Amount.Rat())
			counted += s.Quantity
		}
		if explained.Cmp(exact) != 0 {
			t.Fatalf("price %s: the steps add up to %s, exactly it is %s", price.ID, explained.FloatString(12), exact.FloatString(12))
		}
		if line.Charged && counted != units {
			t.Fatalf("price %s: the steps explain %d of %d units", price.ID, counted, units)
		}
	}
	if result.Total.Amount.Rat().Cmp(new(big.Rat).SetFrac(total, big.NewInt(100))) != 0 {
		t.Fatalf("the total is %s, the lines add up to %s cents", result.Total, total)
	}
}

func TestAgreesUnitByUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agree(t, drawCard(t, 60), drawUsage(t, 80), func(p billing.Price, units int64) *big.Rat {
			if p.Scheme == billing.Included {
				return new(big.Rat)
			}
			return unitByUnit(p, units)
		})
	})
}

func TestAgreesForLargeQuantities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agree(t, drawCard(t, 1_000_000_000), drawUsage(t, 1_000_000_000_000), fromTheTop)
	})
}

func TestAgreesOnThePerSyncPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { agree(t, billing.PerSync(), drawUsage(t, 12_000_000), fromTheTop) })
}

// The two ways of the oracle are checked against each other, so that a slip in one cannot hide a slip in the code.
func TestOracleAgreesWithItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrice(t, "p", 60)
		units := rapid.Int64Range(0, 400).Draw(t, "units")
		if a, b := unitByUnit(p, units), fromTheTop(p, units); p.Scheme != billing.Included && a.Cmp(b) != 0 {
			t.Fatalf("%+v, %d units: %s one by one, %s from the top", p, units, a.FloatString(12), b.FloatString(12))
		}
	})
}

func TestOrderAndSplitMakeNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		card, usage := drawCard(t, 1_000), drawUsage(t, 5_000)
		var split []billing.Quantity
		for _, q := range usage {
			part := rapid.Int64Range(0, q.Units).Draw(t, "part")
			a, b := q, q
			a.Units, b.Units = part, q.Units-part
			split = append(split, a, b)
		}
		rand.Shuffle(len(split), func(i, j int) { split[i], split[j] = split[j], split[i] })
		whole, parts := mustRate(t, card, usage...), mustRate(t, card, split...)
		for n := range whole.Lines {
			a, b := whole.Lines[n], parts.Lines[n]
			if a.Quantity != b.Quantity || !a.Amount.Equal(b.Amount) || len(a.Explanation) != len(b.Explanation) {
				t.Fatalf("line %d: %d for %s, split %d for %s", n, a.Quantity, a.Amount, b.Quantity, b.Amount)
			}
			for s := range a.Explanation {
				if a.Explanation[s].Text != b.Explanation[s].Text {
					t.Fatalf("line %d: %q, split %q", n, a.Explanation[s].Text, b.Explanation[s].Text)
				}
			}
		}
	})
}

// More operations never cost less under graduated prices (under volume prices they may).
func TestGraduatedNeverFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 20_000_000).Draw(t, "operations")
		more := n + rapid.Int64Range(0, 1_000_000).Draw(t, "more")
		if a, b := mustRate(t, billing.PerSync(), operations(n)).Total, mustRate(t, billing.PerSync(), operations(more)).Total; b.Amount.LessThan(a.Amount) {
			t.Fatalf("%d operations cost %s but %d cost %s", n, a, more, b)
		}
	})
}
