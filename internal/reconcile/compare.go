// SPDX-License-Identifier: Apache-2.0

// Package reconcile compares what systems hold over a span of time, as bookkeepers do: what matches, what one has and another
// has not, and where amounts differ.
//
// This file is functions of their arguments; reconcile.go carries them out.
package reconcile

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// Names under which entities have what reconciliation needs, the likeliest first, without case and underscores.
var (
	amountNames    = []string{"amount", "total", "totalamount", "amounttotal", "value", "price"}
	dateNames      = []string{"date", "transactiondate", "txndate", "invoicedate", "postedat", "paidat", "issuedat", "createdat", "created"}
	currencyNames  = []string{"currency", "currencycode"}
	referenceNames = []string{"invoiceid", "invoicenumber", "reference", "externalid", "paymentid", "transactionid"}
)

// window is how far apart the dates of two records may be that match by amount alone: banks post days later.
const window = 5 * 24 * time.Hour

// Options are what is compared, and how strictly.
type Options struct {
	Systems   []record.System // at least two
	Fields    []string        // of the entity; empty: all
	Tolerance *big.Rat        // numbers that differ by at most this are equal
}

// Side is a record of one system.
type Side struct {
	System record.System
	Key    record.Key
	Value  record.Value // of the field that differs
}

// Finding is one thing that does not add up.
type Finding struct {
	Unmatched  bool // a record that another system does not have; else a difference
	Entity     record.EntityID
	Other      record.EntityID // of a match by reference or amount; zero otherwise
	Collection string
	Title      string
	Field      string
	Sides      []Side          // who holds what
	MissingIn  []record.System // of an unmatched record
	Difference record.Number   // the first side's number less the second's; "" where they are no numbers
	Amount     record.Number   // of an unmatched record, where it has one
	Date       time.Time
}

// single is a record that only one of the systems has, or none that its collection should be in.
type single struct {
	entity    *record.Entity
	side      Side
	missing   []record.System
	amount    *big.Rat
	date      time.Time
	currency  string
	reference string
}

// Comparison goes on page by page; what is in step is only counted.
type Comparison struct {
	o       Options
	from    time.Time
	until   time.Time
	Matched int64
	Found   []Finding
	singles []single
}

// New begins a comparison of the records dated in [from, until).
func New(o Options, from, until time.Time) *Comparison {
	if o.Tolerance == nil {
		o.Tolerance = new(big.Rat)
	}
	return &Comparison{o: o, from: from, until: until}
}

// Add compares an entity's records. takePart are the systems that the entity's collection is in.
func (c *Comparison) Add(e *record.Entity, takePart []record.System) {
	at := dateOf(e)
	if at.Before(c.from) || !at.Before(c.until) || e.DeletedAt != nil {
		return
	}
	var have []*record.Link
	var missing []record.System
	for _, s := range c.o.Systems {
		if l := e.Links[s]; l != nil {
			have = append(have, l)
		} else if slices.Contains(takePart, s) {
			missing = append(missing, s)
		}
	}
	if len(have) == 0 {
		return
	}
	if len(have) == 1 {
		s := single{entity: e, side: Side{System: have[0].System, Key: have[0].Key}, missing: missing, date: at, currency: strings.ToLower(record.Text(valueOf(e, currencyNames))), reference: referenceOf(e)}
		s.amount, _ = rat(valueOf(e, amountNames))
		c.singles = append(c.singles, s)
		return
	}
	clean := len(missing) == 0
	if !clean {
		f := Finding{Unmatched: true, Entity: e.ID, Collection: e.Collection, Title: e.MatchKey, MissingIn: missing, Date: at}
		for _, l := range have {
			f.Sides = append(f.Sides, Side{System: l.System, Key: l.Key})
		}
		if a, ok := rat(valueOf(e, amountNames)); ok {
			f.Amount = number(a)
		}
		c.Found = append(c.Found, f)
	}
	for _, field := range c.fields(e, have) {
		for i := 1; i < len(have); i++ {
			if f, differs := c.differ(field, have[0].Shadow(e, field), have[i].Shadow(e, field)); differs {
				f.Entity, f.Collection, f.Title, f.Date = e.ID, e.Collection, e.MatchKey, at
				f.Sides = []Side{{have[0].System, have[0].Key, have[0].Shadow(e, field)}, {have[i].System, have[i].Key, have[i].Shadow(e, field)}}
				c.Found = append(c.Found, f)
				clean = false
			}
		}
	}
	if clean {
		c.Matched++
	}
}

// fields are those that could differ.
func (c *Comparison) fields(e *record.Entity, links []*record.Link) []string {
	set := make(map[string]bool)
	for _, l := range links {
		for f := range l.Behind {
			set[f] = true
		}
		for f := range l.OwnForm {
			set[f] = true
		}
	}
	var out []string
	for f := range set {
		if len(c.o.Fields) == 0 || slices.Contains(c.o.Fields, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

func (c *Comparison) differ(field string, a, b record.Value) (Finding, bool) {
	f := Finding{Field: field}
	if record.Equal(a, b) {
		return f, false
	}
	x, isNumber := rat(a)
	y, isToo := rat(b)
	if !isNumber || !isToo {
		return f, true
	}
	d := new(big.Rat).Sub(x, y)
	f.Difference = number(d)
	return f, new(big.Rat).Abs(d).Cmp(c.o.Tolerance) > 0
}

// End matches what is left over: records of different systems with the same reference, else with the same amount and currency
// within some days, the nearest in time first. Each is matched once.
func (c *Comparison) End() {
	used := make([]bool, len(c.singles))
	byReference := make(map[string][]int)
	for i := range c.singles {
		if r := c.singles[i].reference; r != "" {
			byReference[r] = append(byReference[r], i)
		}
	}
	for i := range c.singles {
		if used[i] {
			continue
		}
		for _, j := range byReference[c.singles[i].reference] {
			if j > i && !used[j] && c.pair(i, j) {
				used[i], used[j] = true, true
				c.join(i, j)
				break
			}
		}
	}
	c.byAmount(used)
	for i := range c.singles {
		if used[i] {
			continue
		}
		s := &c.singles[i]
		f := Finding{Unmatched: true, Entity: s.entity.ID, Collection: s.entity.Collection, Title: s.entity.MatchKey, Sides: []Side{s.side}, MissingIn: s.missing, Date: s.date}
		if s.amount != nil {
			f.Amount = number(s.amount)
		}
		if len(f.MissingIn) == 0 {
			for _, other := range c.o.Systems {
				if other != s.side.System {
					f.MissingIn = append(f.MissingIn, other)
				}
			}
		}
		c.Found = append(c.Found, f)
	}
}

// pair says whether two records can be one fact: they are in different systems.
func (c *Comparison) pair(i, j int) bool { return c.singles[i].side.System != c.singles[j].side.System }

func (c *Comparison) join(i, j int) {
	a, b := &c.singles[i], &c.singles[j]
	if a.amount != nil && b.amount != nil {
		d := new(big.Rat).Sub(a.amount, b.amount)
		if new(big.Rat).Abs(d).Cmp(c.o.Tolerance) > 0 {
			left, right := a.side, b.side
			left.Value, right.Value = number(a.amount), number(b.amount)
			c.Found = append(c.Found, Finding{Entity: a.entity.ID, Other: b.entity.ID, Collection: a.entity.Collection, Title: cmp.Or(a.reference, a.entity.MatchKey), Field: "amount",
				Sides: []Side{left, right}, Difference: number(d), Date: a.date})
			return
		}
	}
	c.Matched++
}

// byAmount goes along the records in the order of their amounts, so that the cost grows little faster than their number.
func (c *Comparison) byAmount(used []bool) {
	var order []int
	for i := range c.singles {
		if !used[i] && c.singles[i].amount != nil {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &c.singles[i], &c.singles[j]
		return cmp.Or(strings.Compare(a.currency, b.currency), a.amount.Cmp(b.amount), a.date.Compare(b.date), strings.Compare(string(a.entity.ID[:]), string(b.entity.ID[:])))
	})
	const near = 64 // candidates looked at for one record
	for at, i := range order {
		if used[i] {
			continue
		}
		best, apart := -1, window+1
		for n, k := 0, at+1; k < len(order) && n < near; k, n = k+1, n+1 {
			j := order[k]
			a, b := &c.singles[i], &c.singles[j]
			if a.currency != b.currency || new(big.Rat).Sub(b.amount, a.amount).Cmp(c.o.Tolerance) > 0 {
				break
			}
			if d := b.date.Sub(a.date).Abs(); !used[j] && c.pair(i, j) && d < apart {
				best, apart = j, d
			}
		}
		if best >= 0 {
			used[i], used[best] = true, true
			c.Matched++
		}
	}
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// valueOf is the entity's value under the likeliest of the names.
func valueOf(e *record.Entity, names []string) record.Value {
	best, rank := record.Value(nil), len(names)
	for f, v := range e.Fields {
		if i := slices.Index(names, fold(f)); i >= 0 && i < rank && v != nil {
			best, rank = v, i
		}
	}
	return best
}

func referenceOf(e *record.Entity) string {
	return strings.ToLower(strings.TrimSpace(record.Text(valueOf(e, referenceNames))))
}

// dateOf is when what the record tells of happened; when Syncline first saw it, where it has no date.
func dateOf(e *record.Entity) time.Time {
	text := record.Text(valueOf(e, dateNames))
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	return e.CreatedAt
}

func rat(v record.Value) (*big.Rat, bool) {
	var text string
	switch v := v.(type) {
	case record.Number:
		text = string(v)
	case string:
		n, err := record.ParseNumber(strings.TrimSpace(v))
		if err != nil {
			return nil, false
		}
		text = string(n)
	default:
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

func number(r *big.Rat) record.Number {
	n, err := record.ParseNumber(r.FloatString(12)) // numbers of systems are decimals, so their differences are
	if err != nil {
		return "0"
	}
	return n
}
