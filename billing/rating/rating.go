// SPDX-License-Identifier: Apache-2.0

// Package rating turns the usage of a period and a rate card into explained invoice lines; it is a pure function.
package rating

import (
	"fmt"
	"math"
	"sort"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
)

// Result is what a period's usage costs.
type Result struct {
	Lines []billing.Line // one for each price of the card, in its order, also when there was no usage
	Total billing.Money  // the sum of the lines
}

// Rate prices the usage by the card. The lines have no ids yet. The order of the cells, and how usage is spread over
// cells of the same kind, make no difference. It fails when the card is faulty or the usage of a price adds up to less
// than nothing or more than fits: the ledger is then wrong, and no invoice may follow from it.
func Rate(card billing.RateCard, usage []billing.Quantity) (Result, error) {
	if err := card.Check(); err != nil {
		return Result{}, err
	}
	result := Result{Lines: make([]billing.Line, 0, len(card.Prices)), Total: billing.Zero(card.Currency)}
	for i, price := range card.Prices {
		line, err := rateOne(card.Currency, price, usage)
		if err != nil {
			return Result{}, fmt.Errorf("rate card %q: price %q: %w", card.Name, price.ID, err)
		}
		line.Position = i + 1
		result.Lines = append(result.Lines, line)
		result.Total = result.Total.Add(line.Amount)
	}
	return result, nil
}

func rateOne(currency billing.Currency, price billing.Price, usage []billing.Quantity) (billing.Line, error) {
	covered := cover(price, usage)
	quantity, err := sum(covered)
	if err != nil {
		return billing.Line{}, err
	}
	line := billing.Line{
		Price:    price.ID,
		Title:    price.Title,
		Meter:    price.Meter,
		Match:    price.Match,
		Quantity: quantity,
		Amount:   billing.Zero(currency),
		Charged:  price.Scheme != billing.Included,
	}
	s := steps{currency: currency, meter: price.Meter}
	switch price.Scheme {
	case billing.Graduated:
		s.graduated(price.Tiers, quantity)
	case billing.Volume:
		s.volume(price.Tiers, quantity)
	case billing.PerUnit:
		s.perUnit(price.Rate, quantity)
	case billing.Included:
		s.included(covered, quantity)
	}
	line.Amount = s.finish()
	line.Explanation = s.list
	return line, nil
}

// cover is the usage that the price applies to.
func cover(price billing.Price, usage []billing.Quantity) []billing.Quantity {
	var covered []billing.Quantity
	for _, q := range usage {
		if q.Meter == price.Meter && price.Match.Covers(q) {
			covered = append(covered, q)
		}
	}
	return covered
}

// sum adds up exactly, so that neither the order of the cells nor an overflow on the way can change the outcome.
func sum(cells []billing.Quantity) (int64, error) {
	total := decimal.Zero
	for _, q := range cells {
		total = total.Add(decimal.NewFromInt(q.Units))
	}
	if total.IsNegative() || total.GreaterThan(decimal.NewFromInt(math.MaxInt64)) {
		return 0, fmt.Errorf("the usage adds up to %s, which is not a possible quantity", total)
	}
	return total.IntPart(), nil
}

// steps collects the explanation of a line while its amount is computed, so that the two cannot differ.
type steps struct {
	currency billing.Currency
	meter    billing.Meter
	list     []billing.Step
}

// charge adds a step of units at a rate; text says which units.
func (s *steps) charge(name billing.StepName, which string, units int64, rate decimal.Decimal) {
	amount := rate.Mul(decimal.NewFromInt(units))
	s.list = append(s.list, billing.Step{
		Name:     name,
		Text:     fmt.Sprintf("%s: %s at %s each = %s", which, s.count(units), s.money(rate), s.money(amount)),
		Quantity: units,
		Rate:     rate,
		Amount:   amount,
	})
}

func (s *steps) graduated(tiers []billing.Tier, quantity int64) {
	var from int64
	for i, t := range tiers {
		units := quantity - from
		if t.UpTo > 0 {
			units = min(units, t.UpTo-from)
		}
		if units <= 0 && i > 0 {
			break
		}
		s.charge(billing.StepTier, fmt.Sprintf("Tier %d, %s", i+1, span(from, t.UpTo)), units, t.Rate)
		from = t.UpTo
	}
}

func (s *steps) volume(tiers []billing.Tier, quantity int64) {
	var from int64
	for i, t := range tiers {
		if t.UpTo == 0 || quantity <= t.UpTo {
			s.charge(billing.StepTier, fmt.Sprintf("All at the rate of tier %d, %s", i+1, span(from, t.UpTo)), quantity, t.Rate)
			return
		}
		from = t.UpTo
	}
}

func (s *steps) perUnit(rate decimal.Decimal, quantity int64) {
	s.charge(billing.StepRate, "All", quantity, rate)
}

// included lists the units by kind, in a fixed order.
func (s *steps) included(cells []billing.Quantity, quantity int64) {
	kinds := map[string]int64{}
	for _, q := range cells {
		kinds[kind(q)] += q.Units
	}
	names := make([]string, 0, len(kinds))
	for name, units := range kinds {
		if name != "" && units != 0 {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		s.list = append(s.list, billing.Step{
			Name:     billing.StepIncluded,
			Text:     fmt.Sprintf("%s: %s", name, s.count(kinds[name])),
			Quantity: kinds[name],
		})
	}
	s.list = append(s.list, billing.Step{
		Name:     billing.StepIncluded,
		Text:     fmt.Sprintf("%s in all, included in the plan at no charge", s.count(quantity)),
		Quantity: quantity,
	})
}

// kind names a cell among those of its meter: integrations by class, everything else by data class.
func kind(q billing.Quantity) string {
	switch {
	case q.Meter != billing.Integrations:
		return q.DataClass
	case q.Premium:
		return "premium"
	}
	return "standard"
}

// finish adds the steps up and rounds; a step says so when rounding changed the amount.
func (s *steps) finish() billing.Money {
	exact := billing.Zero(s.currency)
	for _, step := range s.list {
		exact.Amount = exact.Amount.Add(step.Amount)
	}
	rounded := billing.RoundLine(exact)
	if !rounded.Equal(exact) {
		s.list = append(s.list, billing.Step{
			Name:   billing.StepRound,
			Text:   fmt.Sprintf("%s rounded to whole cents, half to even = %s", exact, rounded),
			Amount: rounded.Amount,
		})
	}
	return rounded
}

func (s *steps) count(n int64) string { return billing.Count(n) + " " + s.meter.Unit(n) }

func (s *steps) money(d decimal.Decimal) string {
	return billing.Money{Amount: d, Currency: s.currency}.String()
}

// span names a tier by its first and last unit.
func span(from, upTo int64) string {
	if upTo == 0 {
		return "from " + billing.Count(from+1)
	}
	return billing.Count(from+1) + " to " + billing.Count(upTo)
}
