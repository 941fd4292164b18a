// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// What lookup services are to be asked and have said, as internal/store/lookup.go keeps it.

type lookupKey struct {
	source record.System
	entity record.EntityID
}

type lookupRow struct {
	collection, question string
	outcome              engine.LookupOutcome
	askedAt, due         *time.Time
}

type periodKey struct {
	source record.System
	since  time.Time
}

// periodRow is what a source did in a period.
type periodRow struct {
	engine.LookupCount
	failing bool
}

// inquire makes lookups due, unless the same question was answered.
func (t *Tx) inquire(ctx context.Context, row *serviceRow, list []engine.Inquiry) error {
	for _, q := range list {
		questions := make(map[record.EntityID]string, len(q.Entities))
		for i, id := range q.Entities {
			questions[id] = q.Questions[i]
		}
		ids := sortedIDs(questions)
		if err := t.lockAll(ctx, "lookup "+string(q.Source)+" ", ids); err != nil {
			return err
		}
		due := t.now
		t.write(func() {
			for _, id := range ids {
				k := lookupKey{q.Source, id}
				l := row.lookups[k]
				switch {
				case l == nil:
					row.lookups[k] = &lookupRow{collection: q.Collection, due: &due}
				case (l.due == nil || l.due.After(due)) && (questions[id] == "" || l.question != questions[id]):
					l.due = &due
				}
			}
		})
	}
	return nil
}

// PendingLookups lists what the source is to be asked about the collection.
func (t *Tx) PendingLookups(ctx context.Context, s service.ID, l *engine.Lookup, before []record.System, limit int) (p engine.Pending, err error) {
	if err := t.step(ctx, "pending lookups"); err != nil {
		return p, err
	}
	return p, t.read(s, func(row *serviceRow) error {
		if c := row.periods[periodKey{l.Name, l.Period(t.now)}]; c != nil {
			p.Asked = c.Asked
		}
		type due struct {
			engine.Inquired
			at time.Time
		}
		var list []due
		for k, q := range row.lookups {
			switch {
			case k.source != l.Name || q.collection != l.Seat.Collection.Name || q.due == nil:
			case q.due.After(t.now):
				if p.Next == nil || q.due.Before(*p.Next) {
					p.Next = q.due
				}
			case !slices.ContainsFunc(before, func(b record.System) bool {
				other := row.lookups[lookupKey{b, k.entity}]
				return other != nil && other.due != nil && !other.due.After(t.now)
			}):
				list = append(list, due{engine.Inquired{Entity: k.entity, Question: q.question, Outcome: q.outcome, AskedAt: q.askedAt}, *q.due})
			}
		}
		slices.SortFunc(list, func(a, b due) int { return cmp.Or(a.at.Compare(b.at), compareIDs(a.Entity, b.Entity)) })
		for _, d := range list[:min(len(list), limit)] {
			p.List = append(p.List, d.Inquired)
		}
		return nil
	})
}

// LockLookups says which of the records the source is still to be asked about.
func (t *Tx) LockLookups(ctx context.Context, g engine.Guard, l *engine.Lookup, ids []record.EntityID) (map[record.EntityID]bool, error) {
	wanted, due := make(map[record.EntityID]bool, len(ids)), make(map[record.EntityID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	if err := t.lockAll(ctx, "lookup "+string(l.Name)+" ", sortedIDs(wanted)); err != nil {
		return nil, err
	}
	return due, t.read(g.Service, func(row *serviceRow) error {
		for id := range wanted {
			if q := row.lookups[lookupKey{l.Name, id}]; q != nil && q.due != nil && !q.due.After(t.now) {
				due[id] = true
			}
		}
		return nil
	})
}

// SaveLookups writes what came of lookups, and adds to the period's count.
func (t *Tx) SaveLookups(ctx context.Context, g engine.Guard, source *engine.Source, list []engine.LookupRow, count engine.LookupCount) error {
	wanted := make(map[record.EntityID]bool, len(list))
	for _, r := range list {
		wanted[r.Entity] = true
	}
	if err := t.lockAll(ctx, "lookup "+string(source.Name)+" ", sortedIDs(wanted)); err != nil {
		return err
	}
	rows := slices.Clone(list)
	now := t.now
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	t.write(func() {
		for _, r := range rows {
			q := row.lookups[lookupKey{source.Name, r.Entity}]
			if q == nil {
				continue
			}
			if r.Asked && row.onAnswer != nil {
				row.onAnswer(r, q, now)
			}
			q.question, q.outcome, q.due = r.Question, r.Outcome, r.Due
			if r.Asked {
				q.askedAt = &now
			}
		}
	})
	if len(list) == 0 && count == (engine.LookupCount{}) {
		return nil
	}
	return t.countLookups(ctx, row, source, count, "")
}

func (t *Tx) countLookups(ctx context.Context, row *serviceRow, source *engine.Source, count engine.LookupCount, code string) error {
	if err := t.lock(ctx, "period "+string(source.Name)+" "+row.ID.String(), true); err != nil {
		return err
	}
	k := periodKey{source.Name, source.Period(t.now)}
	t.write(func() {
		c := row.periods[k]
		if c == nil {
			c = &periodRow{}
			row.periods[k] = c
		}
		c.Asked, c.Known, c.Filled, c.failing = max(c.Asked+count.Asked, 0), c.Known+count.Known, c.Filled+count.Filled, code != ""
	})
	return nil
}

// NoteSource writes that asking the source fails, or gives back what was counted.
func (t *Tx) NoteSource(ctx context.Context, g engine.Guard, source *engine.Source, count engine.LookupCount, code, _ string) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	return t.countLookups(ctx, row, source, count, code)
}

// Shapes finds none: the simulated systems keep their fields.
func (t *Tx) Shapes(context.Context, service.ID) ([]engine.Shape, []engine.ShapeChange, error) {
	return nil, nil, nil
}

// SaveShapes keeps none.
func (t *Tx) SaveShapes(context.Context, engine.Guard, engine.Reshaping) error { return nil }
