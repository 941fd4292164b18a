// SPDX-License-Identifier: Apache-2.0

package rating

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
)

// Month is everything that an invoice follows from: a period in parts, each with its agreement and usage, and what is taken off.
type Month struct {
	From, To time.Time // the period; From is in it, To is not
	Parts    []Part    // in the order of time, without gaps inside the period
	Coupons  []billing.Coupon
	Credit   decimal.Decimal // what the tenant has left
}

// Part is a span of the period in which plan, add-ons and trial stay the same.
type Part struct {
	Plan     billing.Plan
	AddOns   []billing.Feature
	From, To time.Time
	Trial    bool
	Usage    []billing.Quantity // of the span
}

// RateMonth prices a period. What is by the month costs in each part its share of the month, to the nanosecond; a month in
// which clocks change is an hour shorter or longer, and its hours are shared out like any others. Quotas and the minimum and
// maximum of a plan are shared out in the same way. Places in the tiers of what happens once are kept over the parts.
func RateMonth(m Month) (Result, error) {
	if err := m.check(); err != nil {
		return Result{}, err
	}
	r := rater{currency: m.Parts[0].Plan.Card.Currency}
	var before []billing.Quantity
	for i, p := range m.Parts {
		first := len(r.lines)
		at := stretch{share: m.share(p), text: m.shareText(p), trial: p.Trial, before: before}
		prices, err := p.prices()
		if err != nil {
			return Result{}, err
		}
		if err := r.part(p.Plan.Card, prices, at, p.Usage); err != nil {
			return Result{}, err
		}
		r.covered(p)
		r.leastAndMost(p.Plan.Card, at, first)
		if len(m.Parts) > 1 {
			for n := first; n < len(r.lines); n++ {
				line := &r.lines[n]
				line.From, line.To = p.From, p.To
				if line.Title != p.Plan.Card.Title {
					line.Title += ", " + p.Plan.Card.Title
				}
				if i > 0 {
					line.Price += billing.PartMark + strconv.Itoa(i+1)
				}
			}
		}
		before = append(before, p.Usage...)
	}
	r.coupons(m.Coupons)
	credit := r.credit(m.Credit)
	out := r.result()
	out.Credit = credit
	return out, nil
}

func (m Month) check() error {
	if len(m.Parts) == 0 || !m.From.Before(m.To) {
		return fmt.Errorf("a month has a beginning, an end and at least one part")
	}
	last := m.From
	for i, p := range m.Parts {
		if p.From.Before(last) || !p.From.Before(p.To) || p.To.After(m.To) {
			return fmt.Errorf("part %d does not lie in the month after the part before it", i+1)
		}
		if i > 0 && !p.From.Equal(last) {
			return fmt.Errorf("there is a gap before part %d", i+1)
		}
		last = p.To
		if p.Plan.Card.Currency != m.Parts[0].Plan.Card.Currency {
			return fmt.Errorf("the parts are in two currencies")
		}
		if err := p.Plan.Check(); err != nil {
			return err
		}
	}
	if m.Credit.IsNegative() {
		return fmt.Errorf("the credit is negative")
	}
	seen := map[string]bool{}
	for _, c := range m.Coupons {
		if err := c.Check(); err != nil {
			return err
		}
		if seen[c.ID] {
			return fmt.Errorf("coupon %q is there twice", c.ID)
		}
		seen[c.ID] = true
	}
	return nil
}

// share is how much of the month the part is.
func (m Month) share(p Part) *big.Rat {
	return big.NewRat(int64(p.To.Sub(p.From)), int64(m.To.Sub(m.From)))
}

// shareText says it for people: "for 14 days of 30", "for 13 days 12:00 h of 30 days".
func (m Month) shareText(p Part) string {
	part, all := lasting(p.To.Sub(p.From)), lasting(m.To.Sub(m.From))
	return "for " + part + " of " + all
}

func lasting(d time.Duration) string {
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	unit := " days"
	if days == 1 {
		unit = " day"
	}
	text := strconv.Itoa(int(days)) + unit
	if rest == 0 {
		return text
	}
	clock := fmt.Sprintf("%d:%02d", int(rest/time.Hour), int(rest%time.Hour/time.Minute))
	if s := rest % time.Minute; s != 0 {
		clock += fmt.Sprintf(":%02d", int(s/time.Second))
	}
	return text + " " + clock + " h"
}

// prices are those of the plan with those of the chosen add-ons. A feature that the plan has in itself costs nothing.
func (p Part) prices() ([]billing.Price, error) {
	prices := p.Plan.Card.Prices
	for _, f := range p.AddOns {
		if slices.Contains(p.Plan.Allows.Features, f) {
			continue
		}
		a, ok := p.Plan.AddOn(f)
		if !ok {
			return nil, fmt.Errorf("the plan %q has no add-on %q", p.Plan.Name(), f)
		}
		prices = billing.Prices(prices, a.Prices)
	}
	return prices, nil
}

// covered adds a line of nothing for each chosen add-on that the plan has in itself, so that people see why it is not charged.
func (r *rater) covered(p Part) {
	for _, f := range p.AddOns {
		if !slices.Contains(p.Plan.Allows.Features, f) {
			continue
		}
		title := string(f)
		if a, ok := p.Plan.AddOn(f); ok {
			title = a.Title
		}
		r.lines = append(r.lines, billing.Line{
			Price: string(f), Title: title, Meter: billing.Months, Quantity: 1, Amount: billing.Zero(r.currency), Kind: billing.AddOnLine,
			Explanation: []billing.Step{{Name: billing.StepIncluded, Text: "Included in the plan " + p.Plan.Card.Title + " at no charge", Quantity: 1}},
		})
	}
}

// leastAndMost brings the sum of the part's lines to the least or the most that the plan costs.
func (r *rater) leastAndMost(card billing.RateCard, at stretch, first int) {
	total := decimal.Zero
	for _, l := range r.lines[first:] {
		total = total.Add(l.Amount.Amount)
	}
	s := steps{currency: r.currency, meter: billing.Amounts}
	line := billing.Line{Meter: billing.Amounts, Charged: true}
	month := func(d decimal.Decimal) *big.Rat { return new(big.Rat).Mul(d.Rat(), at.share) }
	share := ""
	if at.partial() {
		share = ", " + at.text
	}
	switch least, most := month(card.Minimum), month(card.Maximum); {
	case card.Minimum.IsPositive() && !at.trial && total.Rat().Cmp(least) < 0:
		line.Price, line.Title, line.Kind = "minimum", "Minimum", billing.MinimumLine
		s.change(billing.StepMinimum, new(big.Rat).Sub(least, total.Rat()), func(by, _ string) string {
			return fmt.Sprintf("The lines come to %s, the least is %s%s: %s more", s.money(total), s.fraction(least), share, by)
		})
	case card.Maximum.IsPositive() && total.Rat().Cmp(most) > 0:
		line.Price, line.Title, line.Kind = "maximum", "Maximum", billing.CapLine
		s.change(billing.StepCap, new(big.Rat).Sub(most, total.Rat()), func(by, _ string) string {
			return fmt.Sprintf("The lines come to %s, the most is %s%s: %s", s.money(total), s.fraction(most), share, by)
		})
	default:
		return
	}
	line.Amount = s.finish()
	line.Explanation = s.list
	r.lines = append(r.lines, line)
}

// coupons take something off, in their order, each from what the ones before it left of the lines it is for. The invoice never
// falls below nothing.
func (r *rater) coupons(list []billing.Coupon) {
	rest := make([]*big.Rat, len(r.lines)) // what each line costs after the coupons so far
	left := new(big.Rat)
	for i, l := range r.lines {
		rest[i] = l.Amount.Amount.Rat()
		left.Add(left, rest[i])
	}
	for _, c := range list {
		on := new(big.Rat)
		for i, l := range r.lines[:len(rest)] {
			if couponCovers(c, l) {
				on.Add(on, rest[i])
			}
		}
		limit := on
		if left.Cmp(on) < 0 {
			limit = left
		}
		s := steps{currency: r.currency, meter: billing.Amounts}
		off, text := c.Amount.Rat(), s.money(c.Amount)+" off, at most the "+s.fraction(limit)+" that are left"
		if c.Percent.IsPositive() {
			off = new(big.Rat).Mul(c.Percent.Shift(-2).Rat(), on)
			text = fmt.Sprintf("%s%% of %s", c.Percent, s.fraction(on))
		}
		if c.Code != "" {
			text = "Code " + c.Code + ": " + text
		}
		if off.Cmp(limit) > 0 {
			off = new(big.Rat).Set(limit)
		}
		if off.Sign() < 0 {
			off = new(big.Rat)
		}
		s.change(billing.StepDiscount, new(big.Rat).Neg(off), func(by, _ string) string { return text + ": " + by })
		line := billing.Line{Price: "coupon-" + c.ID, Title: c.Title, Meter: billing.Amounts, Charged: true, Kind: billing.DiscountLine, Amount: s.finish()}
		line.Explanation = s.list
		taken := line.Amount.Amount.Rat() // not positive
		left.Add(left, taken)
		if on.Sign() != 0 {
			part := new(big.Rat).Quo(taken, on)
			for i, l := range r.lines[:len(rest)] {
				if couponCovers(c, l) {
					rest[i] = new(big.Rat).Add(rest[i], new(big.Rat).Mul(rest[i], part))
				}
			}
		}
		r.lines = append(r.lines, line)
	}
}

// credit pays as much as it can of what is left.
func (r *rater) credit(has decimal.Decimal) billing.Money {
	left := decimal.Zero
	for _, l := range r.lines {
		left = left.Add(l.Amount.Amount)
	}
	has = has.RoundDown(2)
	used := decimal.Min(has, left)
	if !used.IsPositive() {
		return billing.Zero(r.currency)
	}
	s := steps{currency: r.currency, meter: billing.Amounts}
	s.add(billing.Step{
		Name: billing.StepCredit, Amount: used.Neg(),
		Text: fmt.Sprintf("%s of %s credit; %s stay", s.money(used), s.money(has), s.money(has.Sub(used))),
	})
	line := billing.Line{Price: "credit", Title: "Credit", Meter: billing.Amounts, Charged: true, Kind: billing.CreditLine, Amount: s.finish()}
	line.Explanation = s.list
	r.lines = append(r.lines, line)
	return billing.Money{Amount: used, Currency: r.currency}
}

// couponCovers says whether the coupon is for the line.
func couponCovers(c billing.Coupon, l billing.Line) bool {
	if len(c.Prices) == 0 {
		return true
	}
	price, _, _ := strings.Cut(l.Price, billing.PartMark)
	return slices.Contains(c.Prices, price)
}

// Agreed puts a month together from its agreements and the usage of each. The coupons are those of the last one that
// hold in the month.
func Agreed(from, to time.Time, agreements []billing.Agreement, usage [][]billing.Quantity, credit decimal.Decimal) Month {
	m := Month{From: from, To: to, Credit: credit}
	for i, a := range agreements {
		m.Parts = append(m.Parts, Part{Plan: a.Plan, AddOns: a.AddOns, From: a.Start, To: a.End, Trial: a.Trial, Usage: usage[i]})
		m.Coupons = a.Coupons
	}
	m.Coupons = slices.DeleteFunc(slices.Clone(m.Coupons), func(c billing.Coupon) bool { return !c.Holds(from) })
	return m
}
