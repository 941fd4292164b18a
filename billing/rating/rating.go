// SPDX-License-Identifier: Apache-2.0

// Package rating turns the usage of a period and an agreement into explained invoice lines; it is a pure function.
//
// A line goes through named steps, always in this order: included units, the scheme (tier, rate, package, fee or percent), a factor,
// the minimum, the maximum, the share of the month, the trial, and last the rounding to whole cents. An invoice then takes the
// least and the most that a plan costs, coupons and credit, in this order; each is a line of its own.
package rating

import (
	"fmt"
	"math"
	"math/big"
	"sort"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
)

// Result is what a period's usage costs.
type Result struct {
	Lines []billing.Line // usage and fees in the order of the prices, also when there was no usage; then what changes their sum
	Total billing.Money  // the sum of the lines
	// Credit is how much of the tenant's credit was taken.
	Credit billing.Money
}

// Rate prices a whole month's usage by the card alone. The lines have no ids yet. The order of the cells, and how usage is spread
// over cells of the same kind, make no difference. It fails when the card is faulty or the usage of a price adds up to less
// than nothing or more than fits: the ledger is then wrong, and no invoice may follow from it.
func Rate(card billing.RateCard, usage []billing.Quantity) (Result, error) {
	r := rater{currency: card.Currency}
	if err := r.part(card, card.Prices, full, usage); err != nil {
		return Result{}, err
	}
	return r.result(), nil
}

// A rater collects the lines of an invoice.
type rater struct {
	currency billing.Currency
	lines    []billing.Line
}

func (r *rater) result() Result {
	out := Result{Lines: r.lines, Total: billing.Zero(r.currency), Credit: billing.Zero(r.currency)}
	for i := range out.Lines {
		out.Lines[i].Position = i + 1
		out.Total = out.Total.Add(out.Lines[i].Amount)
	}
	return out
}

// A stretch is the part of the month that is rated.
type stretch struct {
	share  *big.Rat // of the month
	text   string   // "for 12 days of 30"; only where the share is not 1
	trial  bool
	before []billing.Quantity // usage of earlier parts of the same month
}

var full = stretch{share: big.NewRat(1, 1)}

func (s stretch) partial() bool { return s.share.Cmp(full.share) != 0 }

// part rates prices of a card for one stretch.
func (r *rater) part(card billing.RateCard, prices []billing.Price, s stretch, usage []billing.Quantity) error {
	if err := card.Check(); err != nil {
		return err
	}
	first := len(r.lines)
	base := decimal.Zero
	for _, price := range prices {
		if price.Scheme == billing.PercentOf {
			continue // when the base price is known
		}
		line, err := rateOne(card.Currency, price, s, usage, decimal.Zero)
		if err != nil {
			return fmt.Errorf("rate card %q: price %q: %w", card.Name, price.ID, err)
		}
		if price.Base {
			base = base.Add(line.Amount.Amount)
		}
		r.lines = append(r.lines, line)
	}
	for i, price := range prices {
		if price.Scheme != billing.PercentOf {
			continue
		}
		line, err := rateOne(card.Currency, price, s, usage, base)
		if err != nil {
			return fmt.Errorf("rate card %q: price %q: %w", card.Name, price.ID, err)
		}
		at := first + i // the place of its price
		r.lines = append(r.lines[:at:at], append([]billing.Line{line}, r.lines[at:]...)...)
	}
	// Places are those of the prices until here; now unused optional ones go.
	kept := r.lines[:first]
	for i, price := range prices {
		if line := r.lines[first+i]; !price.Optional || line.Quantity != 0 {
			kept = append(kept, line)
		}
	}
	r.lines = kept
	return nil
}

func rateOne(currency billing.Currency, price billing.Price, at stretch, usage []billing.Quantity, base decimal.Decimal) (billing.Line, error) {
	covered := cover(price, usage)
	quantity, err := sum(covered)
	if err != nil {
		return billing.Line{}, err
	}
	line := billing.Line{
		Price:   price.ID,
		Title:   price.Title,
		Meter:   price.Meter,
		Match:   price.Match,
		Amount:  billing.Zero(currency),
		Charged: price.Scheme != billing.Included,
		Kind:    billing.UsageLine,
	}
	s := steps{currency: currency, meter: price.Meter}
	units := quantity
	if price.Included > 0 {
		if units, err = s.quota(price, at, covered, usage); err != nil {
			return billing.Line{}, err
		}
	}
	var before int64
	if !price.Recurring() { // a month's place in the tiers is kept when the plan changes; what is by the month is shared out instead
		if before, err = sum(cover(price, at.before)); err != nil {
			return billing.Line{}, err
		}
		before = max(0, before-price.Included)
	}
	switch price.Scheme {
	case billing.Graduated:
		s.graduated(price.Tiers, before, units)
	case billing.Volume:
		s.volume(price.Tiers, before, units)
	case billing.PerUnit:
		s.perUnit(price.Rate, units, price.Included > 0)
	case billing.Package:
		s.packages(price, before, units)
	case billing.Flat:
		quantity = 1
		s.fee(price.Rate)
	case billing.PercentOf:
		quantity = 1
		s.percent(price.Share, base)
	case billing.Included:
		s.included(covered, quantity)
		if price.ReviewAbove > 0 {
			line.Review = s.review(price.ReviewAbove, quantity)
		}
	}
	if line.Charged {
		switch {
		case price.AddOn:
			line.Kind = billing.AddOnLine
		case price.Scheme == billing.Flat:
			line.Kind = billing.FeeLine
		}
		s.bound(price, at, quantity)
	}
	line.Quantity = quantity
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
	total := new(big.Int)
	for _, q := range cells {
		total.Add(total, big.NewInt(q.Units))
	}
	if total.Sign() < 0 {
		return 0, fmt.Errorf("the usage adds up to %s, less than nothing", total)
	}
	if !total.IsInt64() {
		return 0, fmt.Errorf("the usage adds up to %s, more than %d", total, int64(math.MaxInt64))
	}
	return total.Int64(), nil
}

// steps collects the explanation of a line while its amount is computed, so that the two cannot differ.
type steps struct {
	currency billing.Currency
	meter    billing.Meter
	list     []billing.Step
	exact    big.Rat // the sum so far; a share of a month is a fraction that no decimal holds
}

// shownDigits is how exactly a step shows an amount that is a fraction.
const shownDigits = 12

// add adds a step with an exact amount.
func (s *steps) add(step billing.Step) {
	s.exact.Add(&s.exact, step.Amount.Rat())
	s.list = append(s.list, step)
}

// change adds a step whose amount may be a fraction; write gets the amount and the sum after it as money.
func (s *steps) change(name billing.StepName, by *big.Rat, write func(by, sum string) string) {
	s.exact.Add(&s.exact, by)
	s.list = append(s.list, billing.Step{
		Name:   name,
		Text:   write(s.fraction(by), s.fraction(&s.exact)),
		Amount: billing.Nearest(by, shownDigits),
	})
}

// charge adds a step of units at a rate; text says which units.
func (s *steps) charge(name billing.StepName, which string, units int64, rate decimal.Decimal) {
	amount := rate.Mul(decimal.NewFromInt(units))
	s.add(billing.Step{
		Name:     name,
		Text:     fmt.Sprintf("%s: %s at %s each = %s", which, s.count(units), s.money(rate), s.money(amount)),
		Quantity: units,
		Rate:     rate,
		Amount:   amount,
	})
}

// quota takes off the units that are free and returns those that are not. A part of a month has its part of the quota,
// rounded up to whole units.
func (s *steps) quota(price billing.Price, at stretch, covered, usage []billing.Quantity) (over int64, err error) {
	included := price.Included
	if at.partial() && !price.Recurring() {
		included = ceil(new(big.Rat).Mul(new(big.Rat).SetInt64(included), at.share))
	}
	free := func(who string, units, quota int64) {
		rest := max(0, units-quota)
		text := fmt.Sprintf("%s: %s of %s included", who, s.count(units-rest), billing.Count(quota))
		if at.partial() && included != price.Included {
			text += " (" + billing.Count(price.Included) + " a month, " + at.text + ")"
		}
		if rest > 0 {
			text += fmt.Sprintf(", %s above", billing.Count(rest))
		}
		s.list = append(s.list, billing.Step{Name: billing.StepIncluded, Text: text, Quantity: units - rest})
		over += rest
	}
	if !price.PerIntegration {
		units, err := sum(covered)
		if err != nil {
			return 0, err
		}
		free("All", units, included)
		return over, nil
	}
	// Each integration has a quota of its own. Usage that is not known by integration shares the quotas of those that are not known either.
	groups := map[string][]billing.Quantity{}
	for _, q := range covered {
		groups[q.Integration] = append(groups[q.Integration], q)
	}
	var unnamed int64
	for _, q := range usage {
		if q.Meter == billing.Integrations && q.Integration == "" && price.Match.Covers(billing.Quantity{Premium: q.Premium, Realtime: of(price.Match.Realtime), Complex: of(price.Match.Complex), DataClass: price.Match.DataClass}) {
			unnamed += q.Units
		}
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		units, err := sum(groups[name])
		if err != nil {
			return 0, err
		}
		if name == "" {
			quota := new(big.Int).Mul(big.NewInt(included), big.NewInt(unnamed))
			if !quota.IsInt64() {
				quota.SetInt64(math.MaxInt64)
			}
			free(billing.Count(unnamed)+" "+billing.Integrations.Unit(unnamed)+" with "+billing.Count(included)+" each", units, quota.Int64())
			continue
		}
		free(name, units, included)
	}
	if len(names) == 0 {
		free("All", 0, included)
	}
	return over, nil
}

func of(b *bool) bool { return b != nil && *b }

func ceil(r *big.Rat) int64 {
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}

// graduated charges units after those before them, each in its tier.
func (s *steps) graduated(tiers []billing.Tier, before, quantity int64) {
	var from int64
	charged := false
	for i, t := range tiers {
		start := max(from, before)
		units := quantity - (start - before)
		if t.UpTo > 0 {
			units = min(units, t.UpTo-start)
		}
		past := t.UpTo > 0 && before >= t.UpTo
		if units > 0 && !past || !charged && !past {
			s.charge(billing.StepTier, fmt.Sprintf("Tier %d, %s", i+1, span(start, t.UpTo)), max(0, units), t.Rate)
			charged = true
		}
		if t.UpTo == 0 || !past && quantity <= t.UpTo-before {
			break
		}
		from = t.UpTo
	}
}

// volume charges all units at the rate of the tier that they reach together with those before them.
func (s *steps) volume(tiers []billing.Tier, before, quantity int64) {
	var from int64
	for i, t := range tiers {
		if t.UpTo == 0 || quantity <= t.UpTo-before {
			s.charge(billing.StepTier, fmt.Sprintf("All at the rate of tier %d, %s", i+1, span(from, t.UpTo)), quantity, t.Rate)
			return
		}
		from = t.UpTo
	}
}

func (s *steps) perUnit(rate decimal.Decimal, units int64, above bool) {
	which := "All"
	if above {
		which = "Above the included"
	}
	s.charge(billing.StepRate, which, units, rate)
}

// packages charges each package that was begun after those before it.
func (s *steps) packages(price billing.Price, before, units int64) {
	begun := func(n int64) int64 { return n/price.Size + min(1, n%price.Size) }
	packs := begun(units)
	if before > 0 {
		packs = begun(before%price.Size+units) - begun(before%price.Size)
	}
	amount := price.Rate.Mul(decimal.NewFromInt(packs))
	unit := "packages"
	if packs == 1 {
		unit = "package"
	}
	s.add(billing.Step{
		Name: billing.StepPackage, Quantity: packs, Rate: price.Rate, Amount: amount,
		Text: fmt.Sprintf("%s in packages of %s: %s %s at %s each = %s", s.count(units), billing.Count(price.Size), billing.Count(packs), unit, s.money(price.Rate), s.money(amount)),
	})
}

func (s *steps) fee(rate decimal.Decimal) {
	s.add(billing.Step{Name: billing.StepFee, Quantity: 1, Rate: rate, Amount: rate, Text: s.money(rate) + " a month"})
}

func (s *steps) percent(share, base decimal.Decimal) {
	amount := share.Mul(base).Shift(-2)
	s.add(billing.Step{
		Name: billing.StepPercent, Quantity: 1, Rate: share.Shift(-2), Amount: amount,
		Text: fmt.Sprintf("%s%% of the base price of %s = %s", share, s.money(base), s.money(amount)),
	})
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

// review says what is above the plan; nothing is charged for it by rule.
func (s *steps) review(limit, quantity int64) string {
	if quantity <= limit {
		return ""
	}
	text := fmt.Sprintf("%s are above the %s of the plan; not charged by rule, for a person to look at", s.count(quantity-limit), billing.Count(limit))
	s.list = append(s.list, billing.Step{Name: billing.StepReview, Text: text, Quantity: quantity - limit})
	return text
}

// bound applies factor, minimum, maximum, share of the month and trial.
func (s *steps) bound(price billing.Price, at stretch, quantity int64) {
	if price.Multiply.IsPositive() {
		by := new(big.Rat).Mul(&s.exact, price.Multiply.Sub(decimal.NewFromInt(1)).Rat())
		s.change(billing.StepMultiply, by, func(_, sum string) string {
			return fmt.Sprintf("Times %s, %s = %s", price.Multiply, price.MultiplyWhy, sum)
		})
	}
	shared := at.partial() && price.Recurring()
	limit := func(d decimal.Decimal) *big.Rat {
		r := d.Rat()
		if at.partial() && !shared && price.Scheme != billing.PercentOf {
			r.Mul(r, at.share)
		}
		return r
	}
	if least := limit(price.Minimum); quantity > 0 && s.exact.Cmp(least) < 0 {
		s.change(billing.StepMinimum, new(big.Rat).Sub(least, &s.exact), func(by, sum string) string {
			return fmt.Sprintf("%s more to the minimum of %s a month", by, s.fraction(least))
		})
	}
	if most := limit(price.Maximum); most.Sign() > 0 && s.exact.Cmp(most) > 0 {
		s.change(billing.StepCap, new(big.Rat).Sub(most, &s.exact), func(by, sum string) string {
			return fmt.Sprintf("%s: never more than %s a month", by, s.fraction(most))
		})
	}
	if shared {
		by := new(big.Rat).Sub(at.share, full.share)
		s.change(billing.StepProrate, by.Mul(by, &s.exact), func(_, sum string) string { return "Only " + at.text + " = " + sum })
	}
	if at.trial && s.exact.Sign() != 0 {
		s.change(billing.StepTrial, new(big.Rat).Neg(&s.exact), func(by, _ string) string { return by + ": free in the trial" })
	}
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

// finish rounds; a step says so when rounding changed the amount.
func (s *steps) finish() billing.Money {
	rounded := billing.RoundExact(&s.exact, s.currency)
	if rounded.Amount.Rat().Cmp(&s.exact) != 0 {
		s.list = append(s.list, billing.Step{
			Name:   billing.StepRound,
			Text:   fmt.Sprintf("%s rounded to whole cents, half to even = %s", s.fraction(&s.exact), rounded),
			Amount: rounded.Amount,
		})
	}
	return rounded
}

func (s *steps) count(n int64) string { return billing.Count(n) + " " + s.meter.Unit(n) }

func (s *steps) money(d decimal.Decimal) string {
	return billing.Money{Amount: d, Currency: s.currency}.String()
}

// fraction writes an amount that may be a fraction.
func (s *steps) fraction(r *big.Rat) string {
	d := billing.Nearest(r, shownDigits)
	if d.Rat().Cmp(r) == 0 {
		return s.money(d)
	}
	return "about " + s.money(billing.Nearest(r, 6))
}

// span names a tier by its first and last unit.
func span(from, upTo int64) string {
	if upTo == 0 {
		return "from " + billing.Count(from+1)
	}
	return billing.Count(from+1) + " to " + billing.Count(upTo)
}
