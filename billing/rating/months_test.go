// SPDX-License-Identifier: Apache-2.0

package rating_test

import (
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
)

// months is how many months TestMonths makes up; `make months` asks for a million.
var months = flag.Int("months", 4_000, "generated months for TestMonths")

// A fact is one counted unit: one operation, one record, one integration, one lookup. The oracle knows nothing else of usage.
type fact struct {
	key         string
	hour        int // of the month, in which it happened
	meter       billing.Meter
	class       string
	integration string
	realtime    bool
	complex     bool
	premium     bool
}

// A story is a generated month: hours, the terms that held in which of them, and what happened.
type story struct {
	hours   int
	parts   []storyPart
	facts   []fact
	coupons []billing.Coupon
	credit  decimal.Decimal
}

type storyPart struct {
	plan     billing.Plan
	addOns   []billing.Feature
	from, to int
	trial    bool
}

func someRate(r *rand.Rand) decimal.Decimal {
	return decimal.New(r.Int64N(20_000), int32(-r.IntN(6)))
}

func somePrice(r *rand.Rand, id string) billing.Price {
	p := billing.Price{ID: id, Title: id, Base: r.IntN(3) == 0}
	p.Scheme = []billing.Scheme{billing.Graduated, billing.Volume, billing.PerUnit, billing.Package, billing.Flat, billing.PercentOf, billing.Included}[r.IntN(7)]
	p.Meter = billing.Meters[r.IntN(len(billing.Meters))]
	flagged := func() *bool {
		switch r.IntN(4) {
		case 0:
			b := true
			return &b
		case 1:
			return new(bool)
		}
		return nil
	}
	p.Match = billing.Match{Realtime: flagged(), Complex: flagged()}
	if r.IntN(4) == 0 {
		p.Match.Premium = flagged()
	}
	if p.Meter == billing.Records && r.IntN(2) == 0 {
		p.Match.DataClass = []string{"contacts", "products", "transactions"}[r.IntN(3)]
	}
	counted := true
	switch p.Scheme {
	case billing.Graduated, billing.Volume:
		end := int64(0)
		for range r.IntN(4) {
			end += 1 + r.Int64N(8)
			p.Tiers = append(p.Tiers, billing.Tier{UpTo: end, Rate: someRate(r)})
		}
		p.Tiers = append(p.Tiers, billing.Tier{Rate: someRate(r)})
	case billing.PerUnit:
		p.Rate = someRate(r)
	case billing.Package:
		p.Rate, p.Size = someRate(r), 1+r.Int64N(6)
	case billing.Flat:
		counted = false
		p.Meter, p.Match, p.Rate = billing.Months, billing.Match{}, someRate(r)
	case billing.PercentOf:
		counted = false
		p.Meter, p.Match, p.Base, p.Share = billing.Months, billing.Match{}, false, decimal.New(1+r.Int64N(20_000), -2)
	case billing.Included:
		return p
	}
	if counted && r.IntN(2) == 0 {
		p.Included = r.Int64N(9)
		p.PerIntegration = p.Included > 0 && p.Meter == billing.SyncOperations && r.IntN(2) == 0
	}
	if r.IntN(5) == 0 {
		p.Multiply = decimal.New(1+r.Int64N(50), -1)
	}
	if r.IntN(5) == 0 {
		p.Minimum = decimal.New(r.Int64N(10_000), -2)
	}
	if r.IntN(5) == 0 {
		p.Maximum = p.Minimum.Add(decimal.New(1+r.Int64N(30_000), -2))
	}
	return p
}

func somePlan(r *rand.Rand, n int) billing.Plan {
	p := billing.Plan{Model: billing.CustomModel, Card: billing.RateCard{Name: fmt.Sprintf("plan-%d", n), Version: 1, Title: "Plan", Currency: billing.USD}}
	for i := range 1 + r.IntN(5) {
		p.Card.Prices = append(p.Card.Prices, somePrice(r, fmt.Sprintf("p%d", i)))
	}
	if r.IntN(4) == 0 {
		p.Card.Minimum = decimal.New(r.Int64N(50_000), -2)
	}
	if r.IntN(4) == 0 {
		p.Card.Maximum = p.Card.Minimum.Add(decimal.New(1+r.Int64N(50_000), -2))
	}
	for _, f := range []billing.Feature{billing.WhiteLabel, billing.RealtimeSync} {
		switch r.IntN(4) {
		case 0:
			p.Allows.Features = append(p.Allows.Features, f)
			fallthrough
		default:
			price := billing.Price{ID: string(f), Title: string(f), Meter: billing.Months, Scheme: billing.Flat, Rate: someRate(r)}
			if f == billing.RealtimeSync {
				price = billing.Price{ID: string(f), Title: string(f), Meter: billing.Months, Scheme: billing.PercentOf, Share: decimal.NewFromInt(50)}
			}
			p.AddOns = append(p.AddOns, billing.AddOn{Feature: f, Title: string(f), Prices: []billing.Price{price}})
		}
	}
	return p
}

func someStory(r *rand.Rand) story {
	s := story{hours: []int{672, 696, 719, 720, 721, 743, 744, 745}[r.IntN(8)]}
	cuts := []int{0}
	for range []int{0, 0, 1, 2}[r.IntN(4)] {
		cuts = append(cuts, 1+r.IntN(s.hours-1))
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i, from := range cuts {
		to := s.hours
		if i+1 < len(cuts) {
			to = cuts[i+1]
		}
		p := storyPart{plan: somePlan(r, i), from: from, to: to, trial: r.IntN(6) == 0}
		for _, a := range p.plan.AddOns {
			if r.IntN(2) == 0 {
				p.addOns = append(p.addOns, a.Feature)
			}
		}
		s.parts = append(s.parts, p)
	}
	for i := range r.IntN(30) {
		s.facts = append(s.facts, fact{
			key: fmt.Sprint(i), hour: r.IntN(s.hours), meter: billing.Meters[r.IntN(len(billing.Meters))],
			class:       []string{"contacts", "companies", "products", "inventory", "orders", ""}[r.IntN(6)],
			integration: []string{"a", "b", "c"}[r.IntN(3)],
			realtime:    r.IntN(2) == 0, complex: r.IntN(3) == 0, premium: r.IntN(4) == 0,
		})
	}
	for i := range []int{0, 0, 1, 2}[r.IntN(4)] {
		c := billing.Coupon{ID: fmt.Sprint(i), Title: "Coupon"}
		if r.IntN(2) == 0 {
			c.Percent = decimal.New(1+r.Int64N(10_000), -2)
		} else {
			c.Amount = decimal.New(1+r.Int64N(20_000), -2)
		}
		if r.IntN(2) == 0 {
			c.Prices = []string{"p0", "p1", "minimum"}
		}
		s.coupons = append(s.coupons, c)
	}
	if r.IntN(3) == 0 {
		s.credit = decimal.New(r.Int64N(40_000), -2)
	}
	return s
}

// asked puts the story to the code, as the ledger tells it: facts come late, in any order and more than once, count once by their
// keys, and are summed up in cells that may be split.
func (s story) asked(r *rand.Rand, from time.Time) rating.Month {
	at := func(hour int) time.Time { return from.Add(time.Duration(hour) * time.Hour) }
	m := rating.Month{From: from, To: at(s.hours), Coupons: s.coupons, Credit: s.credit}
	seen := map[string]bool{}
	for _, p := range s.parts {
		m.Parts = append(m.Parts, rating.Part{Plan: p.plan, AddOns: p.addOns, From: at(p.from), To: at(p.to), Trial: p.trial})
	}
	arrivals := slices.Concat(s.facts, s.facts[:len(s.facts)/2])
	r.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
	for _, f := range arrivals {
		if seen[f.key] {
			continue
		}
		seen[f.key] = true
		for i, p := range s.parts {
			if f.hour < p.from || f.hour >= p.to {
				continue
			}
			q := billing.Quantity{Meter: f.meter, DataClass: f.class, Integration: f.integration, Realtime: f.realtime, Complex: f.complex, Premium: f.premium}
			cells := m.Parts[i].Usage
			at := slices.IndexFunc(cells, func(c billing.Quantity) bool { u := c; u.Units = 0; return u == q })
			if at < 0 || r.IntN(5) == 0 {
				q.Units = 1
				m.Parts[i].Usage = append(cells, q)
			} else {
				cells[at].Units++
			}
		}
	}
	return m
}

// The oracle, from the rules alone.

type oracleLine struct {
	price string
	cents *big.Int
}

func ratOf(d decimal.Decimal) *big.Rat { return d.Rat() }

// signedCents rounds half to even, for amounts of either sign.
func signedCents(r *big.Rat) *big.Int {
	if r.Sign() < 0 {
		return new(big.Int).Neg(halfEvenCents(new(big.Rat).Neg(r)))
	}
	return halfEvenCents(r)
}

func dollars(cents *big.Int) *big.Rat { return new(big.Rat).SetFrac(cents, big.NewInt(100)) }

func (f fact) counts(p billing.Price) bool {
	if f.meter != p.Meter {
		return false
	}
	for want, is := range map[*bool]bool{p.Match.Realtime: f.realtime, p.Match.Complex: f.complex, p.Match.Premium: f.premium} {
		if want != nil && *want != is {
			return false
		}
	}
	if p.Match.DataClass == "" {
		return true
	}
	class := "transactions"
	switch f.class {
	case "contacts", "companies":
		class = "contacts"
	case "products", "inventory":
		class = "products"
	}
	return class == p.Match.DataClass
}

// priced is what a price comes to in a part of the month, before the rounding; base is the base price of the part.
func (s story) priced(n int, p billing.Price, base *big.Rat) *big.Rat {
	part := s.parts[n]
	share := big.NewRat(int64(part.to-part.from), int64(s.hours))
	monthly := p.Scheme == billing.Flat || p.Scheme != billing.PercentOf && (p.Meter == billing.Records || p.Meter == billing.Integrations)
	var units []fact
	earlier := int64(0)
	for _, f := range s.facts {
		if !f.counts(p) {
			continue
		}
		switch {
		case f.hour >= part.from && f.hour < part.to:
			units = append(units, f)
		case f.hour < part.from && !monthly:
			earlier++
		}
	}
	if earlier -= p.Included; earlier < 0 {
		earlier = 0
	}
	quota := int64(0) // the least whole number that is not below the share
	whole := new(big.Rat).SetInt64(p.Included)
	if !monthly {
		whole.Mul(whole, share)
	}
	for new(big.Rat).SetInt64(quota).Cmp(whole) < 0 {
		quota++
	}
	used := map[string]int64{}
	paid := int64(0)
	for _, f := range units {
		owner := ""
		if p.PerIntegration {
			owner = f.integration
		}
		if used[owner]++; used[owner] > quota {
			paid++
		}
	}
	sum := new(big.Rat)
	switch p.Scheme {
	case billing.Included:
		return sum
	case billing.Flat:
		sum.Set(ratOf(p.Rate))
	case billing.PercentOf:
		sum.Mul(base, ratOf(p.Share)).Quo(sum, big.NewRat(100, 1))
	default:
		for k := int64(1); k <= paid; k++ {
			place := earlier + k
			switch p.Scheme {
			case billing.Graduated:
				sum.Add(sum, unitRate(p.Tiers, place))
			case billing.Volume:
				sum.Add(sum, unitRate(p.Tiers, earlier+paid))
			case billing.PerUnit:
				sum.Add(sum, ratOf(p.Rate))
			case billing.Package:
				if (place-1)%p.Size == 0 {
					sum.Add(sum, ratOf(p.Rate))
				}
			}
		}
	}
	if p.Multiply.IsPositive() {
		sum.Mul(sum, ratOf(p.Multiply))
	}
	least, most := ratOf(p.Minimum), ratOf(p.Maximum)
	if !monthly && p.Scheme != billing.PercentOf {
		least.Mul(least, share)
		most.Mul(most, share)
	}
	anything := len(units) > 0 || p.Scheme == billing.Flat || p.Scheme == billing.PercentOf
	if anything && sum.Cmp(least) < 0 {
		sum.Set(least)
	}
	if p.Maximum.IsPositive() && sum.Cmp(most) > 0 {
		sum.Set(most)
	}
	if monthly {
		sum.Mul(sum, share)
	}
	if part.trial {
		sum.SetInt64(0)
	}
	return sum
}

func (s story) oracle() (lines []oracleLine, total *big.Int) {
	total = new(big.Int)
	add := func(price string, cents *big.Int) {
		lines = append(lines, oracleLine{price, cents})
		total.Add(total, cents)
	}
	for n, part := range s.parts {
		name := func(id string) string {
			if n > 0 {
				return fmt.Sprintf("%s@%d", id, n+1)
			}
			return id
		}
		prices := slices.Clone(part.plan.Card.Prices)
		for _, f := range part.addOns {
			if slices.Contains(part.plan.Allows.Features, f) {
				continue
			}
			for _, a := range part.plan.AddOns {
				if a.Feature == f {
					prices = append(prices, a.Prices...)
				}
			}
		}
		base := new(big.Rat)
		for _, p := range prices {
			if p.Base {
				base.Add(base, dollars(signedCents(s.priced(n, p, nil))))
			}
		}
		sum := new(big.Int)
		for _, p := range prices {
			cents := signedCents(s.priced(n, p, base))
			add(name(p.ID), cents)
			sum.Add(sum, cents)
		}
		for _, f := range part.addOns {
			if slices.Contains(part.plan.Allows.Features, f) {
				add(name(string(f)), new(big.Int))
			}
		}
		share := big.NewRat(int64(part.to-part.from), int64(s.hours))
		least := new(big.Rat).Mul(ratOf(part.plan.Card.Minimum), share)
		most := new(big.Rat).Mul(ratOf(part.plan.Card.Maximum), share)
		switch have := dollars(sum); {
		case part.plan.Card.Minimum.IsPositive() && !part.trial && have.Cmp(least) < 0:
			add(name("minimum"), signedCents(new(big.Rat).Sub(least, have)))
		case part.plan.Card.Maximum.IsPositive() && have.Cmp(most) > 0:
			add(name("maximum"), signedCents(new(big.Rat).Sub(most, have)))
		}
	}
	// Coupons: what each line still costs goes down line by line.
	left := make([]*big.Rat, len(lines))
	for i, l := range lines {
		left[i] = dollars(l.cents)
	}
	plain := len(lines)
	for _, c := range s.coupons {
		var mine []int
		on := new(big.Rat)
		for i := range plain {
			id := lines[i].price
			if at := slices.Index([]byte(id), '@'); at >= 0 {
				id = id[:at]
			}
			if len(c.Prices) == 0 || slices.Contains(c.Prices, id) {
				mine = append(mine, i)
				on.Add(on, left[i])
			}
		}
		off := ratOf(c.Amount)
		if c.Percent.IsPositive() {
			off = new(big.Rat).Mul(on, ratOf(c.Percent))
			off.Quo(off, big.NewRat(100, 1))
		}
		for _, limit := range []*big.Rat{on, dollars(total)} {
			if off.Cmp(limit) > 0 {
				off = new(big.Rat).Set(limit)
			}
		}
		if off.Sign() < 0 {
			off = new(big.Rat)
		}
		cents := signedCents(off.Neg(off))
		if on.Sign() != 0 {
			for _, i := range mine {
				part := new(big.Rat).Quo(left[i], on)
				left[i] = new(big.Rat).Add(left[i], part.Mul(part, dollars(cents)))
			}
		}
		add("coupon-"+c.ID, cents)
	}
	if pay := signedCents(ratOf(s.credit)); pay.Sign() > 0 && total.Sign() > 0 {
		if pay.Cmp(total) > 0 {
			pay.Set(total)
		}
		add("credit", new(big.Int).Neg(pay))
	}
	return lines, total
}

// TestMonths compares made-up months with the oracle, line by line and to the cent. A fault is repeated by its seed.
func TestMonths(t *testing.T) {
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for seed := w; seed < *months && !t.Failed(); seed += workers {
				if err := oneMonth(uint64(seed)); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		}()
	}
	wg.Wait()
	t.Logf("%s months in %s", billing.Count(int64(*months)), time.Since(began).Round(time.Millisecond))
}

func oneMonth(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 5))
	s := someStory(r)
	from := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	got, err := rating.RateMonth(s.asked(r, from))
	if err != nil {
		return err
	}
	lines, total := s.oracle()
	if len(lines) != len(got.Lines) {
		return fmt.Errorf("%d lines, the oracle has %d", len(got.Lines), len(lines))
	}
	sum := new(big.Rat)
	for i, l := range got.Lines {
		want := lines[i]
		if l.Price != want.price || l.Amount.Amount.Rat().Cmp(dollars(want.cents)) != 0 {
			return fmt.Errorf("line %d is %s for %s, the oracle has %s cents for %s: %+v", i+1, l.Amount, l.Price, want.cents, want.price, l.Explanation)
		}
		if len(l.Explanation) == 0 {
			return fmt.Errorf("line %d is not explained", i+1)
		}
		// The steps but the rounding lead to the amount, to the digits in which a fraction is shown.
		steps := new(big.Rat)
		for _, step := range l.Explanation {
			if step.Name != billing.StepRound {
				steps.Add(steps, step.Amount.Rat())
			}
		}
		if off := steps.Sub(steps, l.Amount.Amount.Rat()); off.Abs(off).Cmp(big.NewRat(5_000_001, 1_000_000_000)) > 0 {
			return fmt.Errorf("line %d: the steps miss the amount by %s", i+1, off.FloatString(12))
		}
		sum.Add(sum, l.Amount.Amount.Rat())
	}
	if sum.Cmp(got.Total.Amount.Rat()) != 0 || sum.Cmp(dollars(total)) != 0 || sum.Sign() < 0 {
		return fmt.Errorf("the lines add up to %s, the total is %s, the oracle's %s cents", sum.FloatString(4), got.Total, total)
	}
	return nil
}
