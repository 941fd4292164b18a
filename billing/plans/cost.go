// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// Place is the usage of one object of one system of a service.
type Place struct {
	Meter       billing.Meter
	Service     uuid.UUID
	ServiceName string // "" when the service is gone
	System      record.System
	Object      record.Object
	DataClass   string
	Units       int64
	Realtime    int64
	Complex     int64
}

// Cost is what the present month costs so far, where it comes from, and where it goes.
type Cost struct {
	Period     billing.Period
	Total      billing.Money
	Lines      []billing.Line
	Agreements []billing.Agreement
	Next       []Distance
	Forecast   Forecast
	Places     []Place
	Changes    []Change      // against the same part of the month before, the largest first
	Before     billing.Money // what the month before came to at this point
	Budgets    []billing.Budget
}

// Distance says which tier a line has reached and how far the next one is.
type Distance struct {
	Price, Title string
	Meter        billing.Meter
	Quantity     int64
	Rate         billing.Money // of the tier reached
	Left         int64         // units until the next; 0 where there is none
	NextRate     billing.Money
}

// Change is how much more, or less, one place took than in the same part of the month before.
type Change struct {
	Place
	Before, Now int64
}

// lookback is from how many full days a forecast is made.
const lookback = 28

// Cost looks at the present month.
func (m *Manager) Cost(ctx context.Context, who auth.Principal) (c Cost, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return c, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err = cost(ctx, tx)
		return err
	})
	return c, err
}

func cost(ctx context.Context, tx Tx) (Cost, error) {
	p, err := periodNow(ctx, tx)
	if err != nil {
		return Cost{}, err
	}
	list, err := tx.Subscriptions(ctx)
	if err != nil {
		return Cost{}, err
	}
	c := Cost{Period: p, Agreements: billing.Agreements(list, p.Start(), p.End())}
	usage := make([][]billing.Quantity, len(c.Agreements))
	for i, a := range c.Agreements {
		if usage[i], err = tx.QuantitiesIn(ctx, a.Start, a.End); err != nil {
			return Cost{}, err
		}
	}
	rated, err := rating.RateMonth(rating.Agreed(p.Start(), p.End(), c.Agreements, usage, zero))
	if err != nil {
		return Cost{}, err
	}
	c.Total, c.Lines = rated.Total, rated.Lines
	c.Next = distances(c.Agreements, usage)

	days := daysBefore(p, tx.Now(), lookback)
	counts, err := tx.UsageByDay(ctx, days)
	if err != nil {
		return Cost{}, err
	}
	if c.Forecast, err = forecast(p, tx.Now(), c.Agreements, usage, sinceFirst(counts)); err != nil {
		return Cost{}, err
	}

	if c.Places, err = tx.UsageByPlace(ctx, p.Start(), p.End()); err != nil {
		return Cost{}, err
	}
	before := p.Previous().In(p.Zone)
	until := before.Start().Add(tx.Now().Sub(p.Start()))
	if until.After(before.End()) {
		until = before.End()
	}
	past, err := tx.UsageByPlace(ctx, before.Start(), until)
	if err != nil {
		return Cost{}, err
	}
	c.Changes = changes(past, c.Places)
	if c.Before, err = soFar(ctx, tx, list, before, until); err != nil {
		return Cost{}, err
	}
	c.Budgets, err = tx.Budgets(ctx, p.Month)
	return c, err
}

// soFar is what a past period came to with its usage up to a time.
func soFar(ctx context.Context, tx Tx, list []billing.Subscription, p billing.Period, until time.Time) (billing.Money, error) {
	agreements := billing.Agreements(list, p.Start(), p.End())
	usage := make([][]billing.Quantity, len(agreements))
	for i, a := range agreements {
		end := a.End
		if end.After(until) {
			end = until
		}
		if !a.Start.Before(end) {
			continue
		}
		var err error
		if usage[i], err = tx.QuantitiesIn(ctx, a.Start, end); err != nil {
			return billing.Money{}, err
		}
	}
	r, err := rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, usage, zero))
	return r.Total, err
}

// daysBefore are up to n full days before now, the oldest first, in the tenant's zone.
func daysBefore(p billing.Period, now time.Time, n int) []billing.Day {
	var days []billing.Day
	for m := p; len(days) < n+31; m = m.Previous().In(p.Zone) {
		days = append(m.Days(), days...)
	}
	full := slices.IndexFunc(days, func(d billing.Day) bool { return d.End.After(now) })
	if full < 0 {
		full = len(days)
	}
	return days[max(0, full-n):full]
}

// sinceFirst leaves out the days before anything was counted at all: a tenant who began last week has one week to go by.
func sinceFirst(counts []int64) []int64 {
	first := slices.IndexFunc(counts, func(n int64) bool { return n > 0 })
	if first < 0 {
		return nil
	}
	return counts[first:]
}

func changes(past, now []Place) []Change {
	key := func(p Place) Place { p.Units, p.Realtime, p.Complex = 0, 0, 0; return p }
	all := map[Place]*Change{}
	at := func(p Place) *Change {
		if all[key(p)] == nil {
			all[key(p)] = &Change{Place: key(p)}
		}
		return all[key(p)]
	}
	for _, p := range past {
		at(p).Before += p.Units
	}
	for _, p := range now {
		at(p).Now += p.Units
	}
	var out []Change
	for _, c := range all {
		if c.Now != c.Before {
			out = append(out, *c)
		}
	}
	size := func(c Change) int64 { return max(c.Now-c.Before, c.Before-c.Now) }
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(cmp.Compare(size(b), size(a)), cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.System, b.System), cmp.Compare(a.Object, b.Object), cmp.Compare(a.DataClass, b.DataClass), cmp.Compare(a.Meter, b.Meter))
	})
	return out
}

// distances looks at the prices of the last part: what came before still counts for the place in the tiers.
func distances(agreements []billing.Agreement, usage [][]billing.Quantity) (out []Distance) {
	last := agreements[len(agreements)-1]
	currency := last.Plan.Card.Currency
	for _, p := range last.Plan.Card.Prices {
		var n int64
		for i, part := range usage {
			if i < len(usage)-1 && p.Recurring() {
				continue
			}
			for _, q := range part {
				if q.Meter == p.Meter && p.Match.Covers(q) {
					n += q.Units
				}
			}
		}
		d := Distance{Price: p.ID, Title: p.Title, Meter: p.Meter, Quantity: n, Rate: billing.Money{Amount: p.Rate, Currency: currency}}
		switch {
		case len(p.Tiers) > 0:
			for i, t := range p.Tiers {
				if t.UpTo != 0 && n >= t.UpTo {
					continue
				}
				d.Rate.Amount = t.Rate
				if t.UpTo != 0 {
					d.Left, d.NextRate = t.UpTo-n, billing.Money{Amount: p.Tiers[i+1].Rate, Currency: currency}
				}
				break
			}
		case p.Included > 0 && !p.PerIntegration && n < p.Included:
			d.Rate, d.Left, d.NextRate = billing.Zero(currency), p.Included-n, billing.Money{Amount: p.Rate, Currency: currency}
		case p.Scheme == billing.PerUnit && n > 0, p.Included > 0:
		default:
			continue
		}
		out = append(out, d)
	}
	return out
}

// Estimate is what some more usage would add to the present month.
type Estimate struct {
	Cost  billing.Money // the difference
	Added []Added       // the lines that change, in the order of the invoice; their costs add up to Cost

	// Before and After are the whole month. They are empty for those who may not see invoices.
	Before, After rating.Result
}

// Added is a line of the month that more usage changes.
type Added struct {
	billing.Line               // as it would become, with the steps of its amount
	More         int64         // units
	Cost         billing.Money // what it adds to the line; less than nothing where a rate falls for all units
}

// Estimate says what more usage would cost in the present month, on top of what is there. A plan and a service that is about to be
// enabled ask it. Whoever may see the usage may ask; the month as a whole is only for those who may see invoices.
func (m *Manager) Estimate(ctx context.Context, who auth.Principal, more Assumed) (out Estimate, err error) {
	if err := who.May(auth.ViewUsage); err != nil {
		return out, err
	}
	if err := more.check(); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		out, err = estimate(ctx, tx, more)
		return err
	})
	if !who.Can(auth.ViewInvoices) {
		out.hide()
	}
	return out, err
}

func estimate(ctx context.Context, tx Tx, more Assumed) (out Estimate, err error) {
	p, err := periodNow(ctx, tx)
	if err != nil {
		return out, err
	}
	list, err := tx.Subscriptions(ctx)
	if err != nil {
		return out, err
	}
	agreements := billing.Agreements(list, p.Start(), p.End())
	usage := make([][]billing.Quantity, len(agreements))
	present := 0
	for i, a := range agreements {
		if usage[i], err = tx.QuantitiesIn(ctx, a.Start, a.End); err != nil {
			return out, err
		}
		if !a.Start.After(tx.Now()) {
			present = i
		}
	}
	if out.Before, err = rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, usage, zero)); err != nil {
		return out, err
	}
	cells, _ := more.cells(agreements[present].Plan)
	usage[present] = append(slices.Clone(usage[present]), cells...)
	if out.After, err = rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, usage, zero)); err != nil {
		return out, err
	}
	out.compare()
	return out, nil
}

// compare says what lies between Before and After.
func (e *Estimate) compare() {
	e.Cost = billing.Money{Amount: e.After.Total.Amount.Sub(e.Before.Total.Amount), Currency: e.After.Total.Currency}
	e.Added = added(e.Before.Lines, e.After.Lines)
}

// hide leaves out what only those see who may see invoices.
func (e *Estimate) hide() { e.Before, e.After = rating.Result{}, rating.Result{} }

// added compares two ratings line by line. A line that is not needed any more, such as what was missing to a minimum, becomes one
// of nothing.
func added(before, after []billing.Line) (out []Added) {
	was := map[string]billing.Line{}
	for _, l := range before {
		was[l.Price] = l
	}
	add := func(now, was billing.Line) {
		cost := billing.Money{Amount: now.Amount.Amount.Sub(was.Amount.Amount), Currency: now.Amount.Currency}
		if now.Quantity != was.Quantity || !cost.Amount.IsZero() {
			out = append(out, Added{Line: now, More: now.Quantity - was.Quantity, Cost: cost})
		}
	}
	for _, l := range after {
		add(l, was[l.Price])
		delete(was, l.Price)
	}
	for _, l := range before {
		if gone, left := was[l.Price]; left {
			l.Quantity, l.Amount, l.Explanation = 0, billing.Zero(l.Amount.Currency), []billing.Step{{Name: billing.StepFee, Text: "Not needed any more"}}
			add(l, gone)
		}
	}
	return out
}

// Simulated is a past month as it was, and as it would have been under another plan.
type Simulated struct {
	Period       billing.Period
	Actual, Then rating.Result
}

// Simulate rates the usage of the last months, the present one included, under a plan as if it had always held.
func (m *Manager) Simulate(ctx context.Context, who auth.Principal, w Wish, n int) (out []Simulated, plan billing.Plan, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, plan, err
	}
	if n < 1 || n > 24 {
		return nil, plan, fault.New(fault.Invalid, "plans.months_malformed", "A simulation looks at 1 to 24 months.")
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		all, err := choices(ctx, tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(p billing.Plan) bool { return p.Name() == w.Plan })
		if i < 0 {
			return fault.New(fault.Invalid, "plans.plan_unknown", "There is no plan %q to simulate; list those that can be chosen.", w.Plan)
		}
		features, p, err := addOns(all[i], w.AddOns)
		if err != nil {
			return err
		}
		plan = p
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		period, err := periodNow(ctx, tx)
		if err != nil {
			return err
		}
		for range n {
			s := Simulated{Period: period}
			if s.Actual, err = rate(ctx, tx, period, list); err != nil {
				return err
			}
			usage, err := tx.QuantitiesIn(ctx, period.Start(), period.End())
			if err != nil {
				return err
			}
			if s.Then, err = rating.RateMonth(rating.Month{From: period.Start(), To: period.End(), Parts: []rating.Part{{Plan: plan, AddOns: features, From: period.Start(), To: period.End(), Usage: usage}}}); err != nil {
				return err
			}
			out = append(out, s)
			period = period.Previous().In(period.Zone)
		}
		return nil
	})
	return out, plan, err
}
