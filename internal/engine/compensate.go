// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ByCompensation is the actor of changes that set a record back because a system refused it.
const ByCompensation = "@compensation"

// Refusal is an open outward dead letter.
type Refusal struct {
	DeadLetter
	Tries int // how often it was refused
}

// Compensate sets the entity back to what the refusing system holds, in a service where what one system refuses none keeps: the other
// systems, the one that the change came from too, are owed what they held before. It returns the line of the history, or false when
// there is nothing to set back: the record moved on since it was refused, and what it is now is sent. back are fields that were set back
// already, which stay. It is a function of its arguments, apart from the id.
func Compensate(e *record.Entity, seat *Seat, d *DeadLetter, back map[string]bool, now time.Time) (record.Entry, bool) {
	entry := record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Decided, Op: record.Updated, System: record.Person, Actor: ByCompensation,
		Cause: uuid.Nil, Before: record.Fields{}, After: record.Fields{}}
	l := e.Links[seat.System]
	stamp := func(field string) {
		if e.Stamps == nil {
			e.Stamps = make(map[string]record.Stamp)
		}
		e.Stamps[field] = record.Stamp{System: record.Person, At: now} // it goes to every system, whatever directions say
	}
	switch {
	case e.IsFrozen() || e.IsHeld(record.WholeRecord):
		return entry, false // what becomes of it is sent, and refused again or not
	case d.Op == record.Delete && e.DeletedAt != nil && l != nil:
		// It will not let it go: it lives on everywhere.
		entry.Op, entry.Before, entry.After = record.Created, nil, e.Fields.Clone()
		e.DeletedAt = nil
		delete(e.Stamps, record.WholeRecord)
		for f := range e.Fields {
			stamp(f)
		}
		l.State = record.Synced
	case d.Op == record.Delete || e.DeletedAt != nil:
		return entry, false
	case l == nil:
		// It will not have it: the copies go. Where people made it, it stays, and comes back when they change it.
		entry.Op, entry.Before, entry.After = record.Deleted, e.Fields, nil
		e.DeletedAt = &now
		stamp(record.WholeRecord)
		e.Settle()
		if made := e.Links[e.Origin]; made != nil {
			made.State = record.Frozen
		}
	default:
		refused := seat.Map.InLoose(d.Payload)
		if d.Code == "mapping.not_convertible" {
			refused = d.Payload // it never was in the system's own terms
		}
		for _, f := range sortedKeys(l.Behind) {
			sent, was := refused[f]
			if !was || back[f] || e.IsHeld(f) || slices.Contains(seat.Collection.MatchFields, f) || !record.Equal(seat.Map.Form(f, e.Fields[f]), sent) && !record.Equal(e.Fields[f], sent) {
				continue
			}
			v := l.Behind[f]
			entry.Before[f], entry.After[f] = e.Fields[f], v
			for _, other := range e.Links {
				other.Holds(f, other.Shadow(e, f), v, false)
			}
			e.Fields[f] = v
			stamp(f)
		}
		if len(entry.After) == 0 {
			return entry, false
		}
		if l.State = record.Synced; len(l.Behind) > 0 {
			l.State = record.Pending
		}
	}
	for _, other := range e.Links {
		if other.State == record.Synced && (len(other.Behind) > 0 || e.DeletedAt != nil) {
			other.State = record.Pending
		}
	}
	e.ChangedAt = now
	e.Version++
	return entry, true
}

// setBack are the fields that the system is behind in and that a compensation gave the value that they have. What was set back because one
// system refused it, and another refuses in turn, is not set forth again: each holds what the other will not have, without end. Such a
// refusal stays a dead letter for a person.
func (f *flow) setBack(ctx context.Context, tx Tx, e *record.Entity, l *record.Link) (map[string]bool, error) {
	since := make(map[string]time.Time)
	var first time.Time
	if l != nil {
		for name := range l.Behind {
			if s := e.Stamps[name]; s.System == record.Person { // as a compensation stamps
				since[name] = s.At
				if first.IsZero() || s.At.Before(first) {
					first = s.At
				}
			}
		}
	}
	if len(since) == 0 {
		return nil, nil
	}
	past, err := tx.Past(ctx, f.guard.Service, []record.EntityID{e.ID}, first)
	if err != nil {
		return nil, err
	}
	back := make(map[string]bool)
	for _, entry := range past[e.ID] {
		for name := range entry.After {
			if at, stamped := since[name]; stamped && !entry.At.Before(at) { // the one that gave it its value
				back[name] = entry.Actor == ByCompensation
			}
		}
	}
	return back, nil
}

// referringNow are the fields that refer to entities.
func referringNow(fields record.Fields) (names []string) {
	for _, f := range sortedKeys(fields) {
		if ref, ok := record.ReferenceOf(fields[f]); ok && !ref.Entity.IsZero() {
			names = append(names, f)
		}
	}
	return names
}

// compensatedAtOnce is how many refusals are compensated before the flow looks after other things.
const compensatedAtOnce = 100

// compensate sets back what systems refused, each in a commit of its own with history, audit and event. A crash before it finds the dead
// letter again.
func (f *flow) compensate(ctx context.Context) error {
	if !f.plan.Transactional {
		return nil
	}
	var list []Refusal
	if err := f.inTx(ctx, func(tx Tx) (err error) {
		list, err = tx.Refusals(ctx, f.guard.Service, compensatedAtOnce)
		return err
	}); err != nil {
		return err
	}
	for i := range list {
		d, tries := &list[i].DeadLetter, list[i].Tries
		var seat *Seat
		for _, l := range f.lanes {
			if l.System == d.System && l.Object == d.Object {
				seat = l.Seat
			}
		}
		if seat == nil || f.moved[d.ID] == tries {
			continue
		}
		var changed *record.Entity
		err := f.inTx(ctx, func(tx Tx) error {
			changed = nil
			if err := tx.Guard(ctx, f.guard); err != nil {
				return err
			}
			e, open, err := tx.LockEntity(ctx, f.guard.Service, d.Entity)
			if fault.KindOf(err) == fault.NotFound {
				return nil
			}
			if err != nil {
				return err
			}
			wasDeleted := e.DeletedAt
			back, err := f.setBack(ctx, tx, e, e.Links[seat.System])
			if err != nil {
				return err
			}
			entry, done := Compensate(e, seat, d, back, tx.Now())
			if !done {
				// What nothing more is sent for would never be settled: it was deleted meanwhile, or its record was found there and is as it
				// should be.
				l := e.Links[seat.System]
				deleted := e.DeletedAt != nil && (l == nil || l.State == record.Frozen)
				found := e.DeletedAt == nil && l != nil && l.State == record.Synced && len(l.Behind) == 0 && len(e.Held) == 0
				switch {
				case deleted:
					return tx.SettleDead(ctx, f.guard.Service, d.ID, "The record was deleted.")
				case found:
					return tx.SettleDead(ctx, f.guard.Service, d.ID, "The system holds the record as it is now.")
				}
				return nil
			}
			changed = e
			if e.DeletedAt == nil && entry.Op == record.Updated {
				if err := recompute(e, f.doc, &entry); err != nil {
					return err
				}
			}
			var moot []*Conflict
			if e.DeletedAt != nil {
				moot = open
				mootNow(moot, tx.Now())
			}
			if err := tx.SaveCompensated(ctx, f.guard.Service, e, moot, entry, d.ID, f.doc.Receiving()[e.Collection]); err != nil {
				return err
			}
			if fields := referringNow(entry.After); len(fields) > 0 && f.plan.References.Orphans != service.OrphansWait {
				// The document's rule for what refers to a deleted record would be carried out again, and refused, without end.
				if err := tx.StayOrphan(ctx, f.guard.Service, e.ID, fields); err != nil {
					return err
				}
			}
			if err := tx.AddUsage(ctx, lifeUsage(f.guard.Service, classOf(f.doc, e.Collection), e, wasDeleted, entry.ID, tx.Now())); err != nil {
				return err
			}
			public := ident.Format(ident.Entity, e.ID)
			detail := map[string]any{"record": public, "system": d.System, "code": d.Code, "message": d.Message, "fields": sortedKeys(entry.After)}
			text, err := json.Marshal(detail)
			if err != nil {
				return err
			}
			if err := tx.Emit(ctx, "record.compensated", uuid.UUID(f.guard.Service), detail); err != nil {
				return err
			}
			if err := tx.Audit(ctx, audit.Entry{ActorKind: "system", ActorName: "compensation", Action: "record.compensated", Subject: public, Detail: text}); err != nil {
				return err
			}
			f.engine.seam("compensation saved")
			return nil
		})
		switch {
		case err != nil:
			return err
		case changed == nil:
			f.moved[d.ID] = tries
		default:
			f.engine.seam("compensated")
			// Attempts that wait know it as it was.
			for _, l := range f.lanes {
				l.outdate(Outcome{Changed: []*record.Entity{changed}})
				signal(l.duty)
			}
		}
	}
	return nil
}
