// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ConflictSpan is what conflicts are counted: those opened in [Since, Until), of one service or, for the zero id, of all.
type ConflictSpan struct {
	Service      service.ID
	Since, Until time.Time
}

// mostDays bounds what statistics are made of.
const mostDays = 366

// ConflictStatistics tells how often systems disagreed, about what, who decided, and whether that held.
type ConflictStatistics struct {
	ConflictSpan
	Opened   int64 // in the span
	Open     int64 // of these, still waiting
	ByRule   int64 // of these, decided by a rule, or by the sides coming to the same value
	ByPerson int64
	// Waited is the mean time to a person's decision; 0 without one.
	Waited     time.Duration
	Overturned int64 // decisions after which the record came to hold what the loser had said
	Days       []ConflictDay
	Fields     []ConflictField    // the most frequent first
	Pairs      []ConflictPair     // the most frequent first
	People     []ConflictPerson   // who decided most first
	Strategies []ConflictStrategy // the most frequent first
}

// ConflictDay is one day, in UTC.
type ConflictDay struct {
	Day                      time.Time
	Waiting, Ruled, ByPerson int64
}

// ConflictField is a field that systems disagree about.
type ConflictField struct {
	Service     service.ID
	ServiceName string
	Collection  string
	Field       string // record.WholeRecord: deleted here, changed there
	Count, Open int64
}

// ConflictPair is two systems that disagree, and how often each won; the rest is open or neither's value.
type ConflictPair struct {
	A, B              record.System
	Count, WonA, WonB int64
}

// ConflictPerson is somebody who decides.
type ConflictPerson struct {
	Name       string
	Decided    int64
	Overturned int64
	Waited     time.Duration
}

// ConflictStrategy is a strategy with how often what it decided was overturned later.
type ConflictStrategy struct {
	Strategy   conflict.Strategy
	Decided    int64
	Overturned int64
}

// ConflictStatistics counts conflicts. Without Until the span ends now, without Since it begins 30 days before its end.
func (r *Reader) ConflictStatistics(ctx context.Context, who auth.Principal, span ConflictSpan) (st ConflictStatistics, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return st, err
	}
	return st, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		if span.Until.IsZero() {
			span.Until = tx.Now()
		}
		if span.Since.IsZero() {
			span.Since = span.Until.AddDate(0, 0, -30)
		}
		if !span.Since.Before(span.Until) || span.Until.Sub(span.Since) > mostDays*24*time.Hour {
			return fault.New(fault.Invalid, "conflict.span_invalid", "Statistics are of a span of at most %d days that ends after it begins.", mostDays)
		}
		st, err = tx.ConflictStatistics(ctx, span)
		return err
	})
}

// Replay is what another strategy would have made of past conflicts.
type Replay struct {
	Conflicts int64 // looked at, the newest first
	Same      int64 // the outcome would have been the same
	Different int64
	Left      int64 // would have been left to a person
	Decided   int64 // would have been decided where a person had to, or still has to
	Agreed    int64 // of these, as the person decided
	Changes   []ReplayChange
}

// ReplayChange is a conflict with another outcome.
type ReplayChange struct {
	Case
	Would  conflict.Decision
	Waited bool // a person decided, or still has to
}

// What a replay looks at and shows.
const (
	mostReplayed = 2000
	mostShown    = 50
)

// ReplayConflicts tries a strategy on the service's past conflicts of the field, "" for all fields, since the time. Nothing
// is changed. A custom expression sees the claims and the base, not the record's other fields as they were.
func (r *Reader) ReplayConflicts(ctx context.Context, who auth.Principal, s service.ID, resolution service.FieldResolution, field string, since time.Time) (out Replay, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return out, err
	}
	return out, r.inTx(ctx, who.Tenant, func(tx ReadTx) error {
		_, doc, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		if resolution.Strategy == "timestamp-based" { // its other name in documents
			resolution.Strategy = string(service.LastWriteWins)
		}
		tried := *doc
		tried.SyncConfig.ConflictResolution = &service.ConflictResolution{FieldResolution: resolution}
		if field != "" {
			tried.SyncConfig.ConflictResolution = &service.ConflictResolution{Fields: map[string]service.FieldResolution{field: resolution}}
		}
		if wrong := tried.CheckResolution(resolution); wrong != "" {
			return fault.New(fault.Invalid, "conflict.strategy_invalid", "%s", wrong)
		}
		of, err := rules(&tried)
		if err != nil {
			return err
		}
		cases, err := tx.Cases(ctx, CaseQuery{Service: s, Field: field, Since: since, Limit: mostReplayed})
		if err != nil {
			return err
		}
		for _, c := range cases {
			out.try(c, of(c.Field))
		}
		return nil
	})
}

// try replays one conflict.
func (r *Replay) try(c Case, rule conflict.Rule) {
	if len(c.Sides) < 2 || c.Field == record.WholeRecord {
		return
	}
	r.Conflicts++
	byPerson := c.DecidedBy != "" || c.Open
	best, d := c.Sides[0], conflict.Decision{}
	for _, other := range c.Sides[1:] {
		if d = rule.Decide(c.Base, best, other); d.Open {
			break
		}
		if d.Winner == other.System {
			best = other
		}
		best.Value = d.Value
	}
	same := !d.Open && !c.Open && record.Equal(d.Value, c.Result)
	switch {
	case d.Open:
		r.Left++
	case same:
		r.Same++
	default:
		r.Different++
	}
	if byPerson && !d.Open {
		r.Decided++
		if same {
			r.Agreed++
		}
	}
	if !same && !(d.Open && c.Open) && len(r.Changes) < mostShown {
		r.Changes = append(r.Changes, ReplayChange{Case: c, Would: d, Waited: byPerson})
	}
}

// ConflictFact is a conflict as statistics see it.
type ConflictFact struct {
	ID          uuid.UUID
	Service     service.ID
	ServiceName string
	Collection  string
	Field       string
	Systems     []record.System
	Open        bool
	Strategy    conflict.Strategy
	Winner      record.System
	DecidedBy   string
	OpenedAt    time.Time
	ResolvedAt  *time.Time
	Overturned  bool
}

// SumConflicts makes statistics of facts.
func SumConflicts(span ConflictSpan, facts []ConflictFact) ConflictStatistics {
	st := ConflictStatistics{ConflictSpan: span}
	type fieldKey struct {
		service           service.ID
		collection, field string
	}
	days := make(map[time.Time]*ConflictDay)
	fields := make(map[fieldKey]*ConflictField)
	pairs := make(map[[2]record.System]*ConflictPair)
	people := make(map[string]*ConflictPerson)
	strategies := make(map[conflict.Strategy]*ConflictStrategy)
	var waited time.Duration
	for i := range facts {
		f := &facts[i]
		st.Opened++
		day := f.OpenedAt.UTC().Truncate(24 * time.Hour)
		d := entryOf(days, day, func() *ConflictDay { return &ConflictDay{Day: day} })
		fl := entryOf(fields, fieldKey{f.Service, f.Collection, f.Field}, func() *ConflictField {
			return &ConflictField{Service: f.Service, ServiceName: f.ServiceName, Collection: f.Collection, Field: f.Field}
		})
		fl.Count++
		switch {
		case f.Open:
			st.Open++
			d.Waiting++
			fl.Open++
		case f.DecidedBy != "":
			st.ByPerson++
			d.ByPerson++
			p := entryOf(people, f.DecidedBy, func() *ConflictPerson { return &ConflictPerson{Name: f.DecidedBy} })
			p.Decided++
			if f.ResolvedAt != nil {
				p.Waited += f.ResolvedAt.Sub(f.OpenedAt)
				waited += f.ResolvedAt.Sub(f.OpenedAt)
			}
			if f.Overturned {
				p.Overturned++
			}
		default:
			st.ByRule++
			d.Ruled++
		}
		if !f.Open {
			name := f.Strategy
			if f.DecidedBy != "" {
				name = conflict.Manual
			}
			s := entryOf(strategies, name, func() *ConflictStrategy { return &ConflictStrategy{Strategy: name} })
			s.Decided++
			if f.Overturned {
				s.Overturned++
				st.Overturned++
			}
		}
		for i, a := range f.Systems {
			for _, b := range f.Systems[i+1:] {
				first, second := min(a, b), max(a, b)
				p := entryOf(pairs, [2]record.System{first, second}, func() *ConflictPair { return &ConflictPair{A: first, B: second} })
				p.Count++
				switch {
				case f.Open:
				case f.Winner == first:
					p.WonA++
				case f.Winner == second:
					p.WonB++
				}
			}
		}
	}
	if st.ByPerson > 0 {
		st.Waited = waited / time.Duration(st.ByPerson)
	}
	for _, p := range people {
		p.Waited /= time.Duration(p.Decided)
	}
	st.Days = sorted(days, func(a, b *ConflictDay) int { return a.Day.Compare(b.Day) })
	st.Fields = sorted(fields, func(a, b *ConflictField) int {
		return byCount(a.Count, b.Count, a.ServiceName+a.Collection+a.Field, b.ServiceName+b.Collection+b.Field)
	})
	st.Pairs = sorted(pairs, func(a, b *ConflictPair) int {
		return byCount(a.Count, b.Count, string(a.A+"/"+a.B), string(b.A+"/"+b.B))
	})
	st.People = sorted(people, func(a, b *ConflictPerson) int { return byCount(a.Decided, b.Decided, a.Name, b.Name) })
	st.Strategies = sorted(strategies, func(a, b *ConflictStrategy) int {
		return byCount(a.Decided, b.Decided, string(a.Strategy), string(b.Strategy))
	})
	return st
}

func entryOf[K comparable, V any](m map[K]*V, key K, make func() *V) *V {
	v := m[key]
	if v == nil {
		v = make()
		m[key] = v
	}
	return v
}

func sorted[K comparable, V any](m map[K]*V, order func(a, b *V) int) []V {
	list := slices.SortedFunc(maps.Values(m), order)
	out := make([]V, len(list))
	for i := range list {
		out[i] = *list[i]
	}
	return out
}

// byCount puts the larger count first; names decide where counts do not.
func byCount(a, b int64, x, y string) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
