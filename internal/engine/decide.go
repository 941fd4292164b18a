// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Decision is what a person or program says about an open conflict: exactly one of Side, Value and Strategy.
type Decision struct {
	Side     record.System     // this system's value; for a deleted record the side that shall win
	Value    *record.Value     // a value of one's own; not for a deleted record
	Strategy conflict.Strategy // let this rule decide, with the service's weights and primary
	Reason   string            // for the journal; may be empty
	Version  int64             // the conflict's version that was looked at; 0 to take it as it is
}

// Case is a conflict with the service it belongs to.
type Case struct {
	*Conflict
	Service     service.ID
	ServiceName string
	Title       string // what people call the record: its match key
	Wrote       int64  // the record's version that a decision wrote; 0 unless one was just made
}

// DecideTx is the transaction as deciding needs it.
type DecideTx interface {
	Now() time.Time
	Case(ctx context.Context, id uuid.UUID) (Case, error)
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	// LockEntity loads an entity with its links, and its open conflicts, for changing them.
	LockEntity(ctx context.Context, s service.ID, id record.EntityID) (*record.Entity, []*Conflict, error)
	// SaveDecided writes the entity, its links, the conflicts and the journal entry, and makes deliveries to all systems of
	// the document.
	SaveDecided(ctx context.Context, s service.ID, e *record.Entity, conflicts []*Conflict, entry record.Entry, systems []string) error
	AddUsage(ctx context.Context, events []billing.UsageEvent) error
	LockAct(ctx context.Context, id uuid.UUID) (ActCase, error)
	// SaveAct writes what a person decided; waiting counts the other approvals that the record still waits for.
	SaveAct(ctx context.Context, c ActCase) (waiting int64, err error)
	LockShapeChange(ctx context.Context, id uuid.UUID) (ShapeChange, error)
	SaveShapeChange(ctx context.Context, c ShapeChange) error
	// Wake tells the worker that carries the service at commit.
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Decider carries out decisions about conflicts.
type Decider struct {
	inTx func(context.Context, tenant.ID, func(DecideTx) error) error
}

// NewDecider makes a Decider.
func NewDecider(inTx func(context.Context, tenant.ID, func(DecideTx) error) error) *Decider {
	return &Decider{inTx}
}

// Resolve settles an open conflict. The systems that hold something else are owed the outcome. Faults: conflict.not_found,
// conflict.not_open, conflict.version_stale, conflict.decision_invalid.
func (d *Decider) Resolve(ctx context.Context, who auth.Principal, id uuid.UUID, decision Decision) (Case, error) {
	var out Case
	if err := who.May(auth.ResolveConflicts); err != nil {
		return out, err
	}
	return out, d.inTx(ctx, who.Tenant, func(tx DecideTx) error {
		c, err := tx.Case(ctx, id)
		if err != nil {
			return err
		}
		if !c.Open {
			return fault.New(fault.Conflict, "conflict.not_open", "This conflict was settled already: %s", c.Reason)
		}
		if decision.Version != 0 && decision.Version != c.Version {
			return fault.New(fault.Stale, "conflict.version_stale", "A system changed the record since you looked at this conflict. Look again; your decision was not carried out.")
		}
		e, open, err := tx.LockEntity(ctx, c.Service, c.Entity)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(open, func(o *Conflict) bool { return o.ID == id })
		if i < 0 {
			return fault.New(fault.Conflict, "conflict.not_open", "This conflict was settled meanwhile.")
		}
		c.Conflict = open[i]
		if decision.Strategy != "" {
			if decision, err = d.byRule(ctx, tx, c, decision); err != nil {
				return err
			}
		}
		_, doc, err := tx.Loadable(ctx, c.Service)
		if err != nil {
			return err
		}
		wasDeleted := e.DeletedAt
		entry, err := settle(e, c.Conflict, decision, who.Name, tx.Now())
		if err != nil {
			return err
		}
		if err := recompute(e, doc, &entry); err != nil {
			return err
		}
		changed := []*Conflict{c.Conflict}
		if e.DeletedAt != nil {
			// The record goes: what else was open about it is moot.
			others := slices.DeleteFunc(open, func(other *Conflict) bool { return other == c.Conflict })
			mootNow(others, tx.Now())
			changed = append(changed, others...)
			e.Settle()
		}
		if err := tx.SaveDecided(ctx, c.Service, e, changed, entry, doc.Receiving()[e.Collection]); err != nil {
			return err
		}
		if err := tx.AddUsage(ctx, lifeUsage(c.Service, classOf(doc, e.Collection), e, wasDeleted, entry.ID, tx.Now())); err != nil {
			return err
		}
		c.Version++
		c.Wrote = e.Version
		out = c
		if err := tx.Wake(ctx, c.Service); err != nil {
			return err
		}
		detail := map[string]any{"record": ident.Format(ident.Entity, c.Entity), "field": c.Field, "winner": c.Winner, "reason": c.Reason}
		if err := tx.Emit(ctx, "conflict.resolved", uuid.UUID(c.Service), map[string]any{"conflict": ident.Format(ident.Conflict, id), "record": ident.Format(ident.Entity, c.Entity)}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("conflict.resolved", ident.Format(ident.Conflict, id), detail))
	})
}

// recompute brings the fields that rules compute up to date after a decision; the entry tells of them, too.
func recompute(e *record.Entity, doc *service.Document, entry *record.Entry) error {
	rules, err := computedFields(doc)
	if err != nil || e.DeletedAt != nil {
		return err
	}
	for _, rule := range rules {
		present, has := e.Fields[rule.Field]
		v := rule.Value(e.Fields)
		if !has || record.Equal(v, present) {
			continue
		}
		entry.Before[rule.Field], entry.After[rule.Field] = present, v
		for _, l := range e.Links {
			l.Holds(rule.Field, l.Shadow(e, rule.Field), v, false)
		}
		e.Fields[rule.Field] = v
		if e.Stamps == nil {
			e.Stamps = make(map[string]record.Stamp)
		}
		e.Stamps[rule.Field] = record.Stamp{System: record.Person, At: entry.At}
	}
	return nil
}

// lifeUsage counts that a decision ended an entity's life or gave it back.
func lifeUsage(s service.ID, class string, e *record.Entity, wasDeleted *time.Time, commit uuid.UUID, now time.Time) []billing.UsageEvent {
	object := record.Object(e.Collection)
	switch {
	case e.DeletedAt != nil && wasDeleted == nil:
		return []billing.UsageEvent{billing.RecordsDeleted(commit.String(), now, uuid.UUID(s), object, class, 1)}
	case e.DeletedAt == nil && wasDeleted != nil:
		return []billing.UsageEvent{billing.RecordRevived(commit.String(), now, uuid.UUID(s), object, class, e.ID, *wasDeleted)}
	}
	return nil
}

// classOf is the collection's data class: its model.
func classOf(doc *service.Document, collection string) string {
	for _, c := range doc.Collections() {
		if c.Name == collection {
			return c.Model
		}
	}
	return ""
}

// byRule lets a strategy choose the side.
func (d *Decider) byRule(ctx context.Context, tx DecideTx, c Case, decision Decision) (Decision, error) {
	_, doc, err := tx.Loadable(ctx, c.Service)
	if err != nil {
		return decision, err
	}
	known := false
	for _, s := range strategies {
		known = known || s == decision.Strategy
	}
	if !known || decision.Strategy == conflict.Manual {
		return decision, invalidDecision("/strategy", "The strategy %q cannot decide a conflict here.", decision.Strategy)
	}
	if len(c.Sides) < 2 {
		return decision, invalidDecision("/strategy", "Only one side is left; choose it or give a value.")
	}
	of, err := rules(doc)
	if err != nil {
		return decision, err
	}
	rule := of(c.Field)
	if decision.Strategy == conflict.Custom && rule.Strategy != conflict.Custom {
		return decision, invalidDecision("/strategy", "The field has no expression that could decide.")
	}
	rule.Strategy, rule.Source, rule.Weights = decision.Strategy, record.System(doc.Primary().ID), make(map[record.System]int)
	ids := doc.SystemIDs()
	rule.Rank = service.Rank(ids)
	for _, id := range ids {
		if s, ok := doc.System(id); ok {
			rule.Weights[record.System(id)] = s.Weight
		}
	}
	best := c.Sides[0]
	var outcome conflict.Decision
	for _, other := range c.Sides[1:] {
		outcome = rule.Decide(c.Base, best, other)
		if outcome.Open {
			return decision, invalidDecision("/strategy", "%s", outcome.Reason)
		}
		if outcome.Winner == other.System {
			best = other
		}
	}
	if decision.Reason == "" {
		decision.Reason = outcome.Reason
	}
	if c.Field == record.WholeRecord {
		decision.Side = best.System
	} else {
		decision.Value = &outcome.Value
	}
	return decision, nil
}

func invalidDecision(pointer, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return fault.New(fault.Invalid, "conflict.decision_invalid", "%s", message).At(fault.Field{Pointer: pointer, Message: message, Remedy: "Give one of side, value and strategy."})
}

// settle applies a decision to the entity. It decides nothing itself and is a function of its arguments.
func settle(e *record.Entity, c *Conflict, decision Decision, by string, now time.Time) (record.Entry, error) {
	entry := record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Decided, Op: record.Updated, System: record.Person, Actor: by, Cause: c.ID,
		Before: record.Fields{}, After: record.Fields{}}
	side := func() (conflict.Side, bool) {
		for _, s := range c.Sides {
			if s.System == decision.Side {
				return s, true
			}
		}
		return conflict.Side{}, false
	}
	chosen, found := side()
	if decision.Side != "" && !found {
		return entry, invalidDecision("/side", "%s is not a side of this conflict.", decision.Side)
	}
	if c.Field == record.WholeRecord {
		if !found {
			return entry, invalidDecision("/side", "One side deleted the record and another changed it; choose a side.")
		}
		settleRecord(e, chosen, now, &entry)
	} else {
		if found == (decision.Value != nil) {
			return entry, invalidDecision("", "A decision names one side or gives one value.")
		}
		v := chosen.Value
		stamp := record.Stamp{System: chosen.System, At: chosen.At}
		if decision.Value != nil {
			v = *decision.Value
			stamp = record.Stamp{System: record.Person, At: now}
		}
		if stamp.At.IsZero() {
			stamp.At = now
		}
		c.Result = v
		if before := e.Fields[c.Field]; !record.Equal(before, v) {
			entry.Before[c.Field], entry.After[c.Field] = before, v
			for _, l := range e.Links {
				l.Holds(c.Field, l.Shadow(e, c.Field), v, false)
			}
			e.Fields[c.Field] = v
		}
		if e.Stamps == nil {
			e.Stamps = make(map[string]record.Stamp)
		}
		// A person decided: it goes to every system, whatever directions say.
		e.Stamps[c.Field] = record.Stamp{System: record.Person, At: stamp.At}
	}
	c.Open, c.DecidedBy, c.ResolvedAt, c.Winner = false, by, &now, decision.Side
	c.Reason = decision.Reason
	if c.Reason == "" {
		c.Reason = "Decided by " + by + "."
	}
	e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == c.Field })
	for _, l := range e.Links {
		switch {
		case l.State == record.Frozen:
		case e.Waits():
			l.State = record.InDoubt
		case len(l.Behind) > 0 || e.DeletedAt != nil:
			l.State = record.Pending
		default:
			l.State = record.Synced
		}
	}
	e.ChangedAt = now
	e.Version++
	return entry, nil
}

// settleRecord settles "deleted here, changed there": the record goes everywhere, or lives on everywhere.
func settleRecord(e *record.Entity, chosen conflict.Side, now time.Time, entry *record.Entry) {
	switch {
	case chosen.Deleted && e.DeletedAt == nil:
		entry.Op, entry.Before, entry.After = record.Deleted, e.Fields, nil
		e.DeletedAt = &now
		if e.Stamps == nil {
			e.Stamps = make(map[string]record.Stamp)
		}
		e.Stamps[record.WholeRecord] = record.Stamp{System: record.Person, At: now}
	case !chosen.Deleted:
		entry.Op = record.Created
		// What the system changed meanwhile is in its shadow; the winner's values are the record's.
		if l := e.Links[chosen.System]; l != nil {
			for f, v := range l.Behind {
				entry.Before[f], entry.After[f] = e.Fields[f], v
				for _, other := range e.Links {
					if other != l {
						other.Holds(f, other.Shadow(e, f), v, false)
					}
				}
				e.Fields[f] = v
				if e.Stamps == nil {
					e.Stamps = make(map[string]record.Stamp)
				}
				e.Stamps[f] = record.Stamp{System: record.Person, At: now}
			}
			l.Behind = nil
		}
		e.DeletedAt = nil
		delete(e.Stamps, record.WholeRecord)
	}
}

// mootNow closes conflicts about a record that is no more.
func mootNow(open []*Conflict, now time.Time) {
	for _, c := range open {
		c.Open, c.Reason, c.ResolvedAt = false, "The record was deleted.", &now
	}
}
