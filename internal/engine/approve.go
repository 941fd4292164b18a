// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ActCase is what a rule did, with the service it belongs to.
type ActCase struct {
	Act
	Service     service.ID
	ServiceName string
}

// ActQuery selects what rules did, the newest first.
type ActQuery struct {
	Service service.ID // zero for all
	State   ActState   // "" for all
	Action  string     // the document's word; "" for all
	Entity  record.EntityID
	Before  uuid.UUID // go on after this one
	Limit   int
}

// Acts lists what business rules did.
func (r *Reader) Acts(ctx context.Context, who auth.Principal, q ActQuery) (list []ActCase, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Acts(ctx, q)
		return err
	})
}

// Answer says yes or no to what a business rule left to a person. A record that waits for approval goes on when nothing else
// about it waits; after a no it stays where it is until it no longer meets the rule, or somebody says yes after all. Faults:
// rule_action.not_found, rule_action.not_open.
func (d *Decider) Answer(ctx context.Context, who auth.Principal, id uuid.UUID, yes bool, reason string) (c ActCase, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return c, err
	}
	return c, d.inTx(ctx, who.Tenant, func(tx DecideTx) error {
		var err error
		if c, err = tx.LockAct(ctx, id); err != nil {
			return err
		}
		if c.State != ActOpen && !(yes && c.State == ActRejected && c.LapsedAt == nil) {
			return fault.New(fault.Conflict, "rule_action.not_open", "This is %s already; it waits for nobody.", c.State)
		}
		now := tx.Now()
		c.State, c.DecidedAt, c.DecidedBy, c.Reason = ActRejected, &now, who.Name, reason
		if yes {
			c.State = ActApproved
		}
		waiting, err := saveAct(ctx, tx, who, &c)
		if err != nil {
			return err
		}
		if yes && waiting == 0 && c.Action == ActRequireApproval {
			if err := d.letGo(ctx, tx, who, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// saveAct writes what became of the action, tells of it, and leaves its trace in the audit log.
func saveAct(ctx context.Context, tx DecideTx, who auth.Principal, c *ActCase) (waiting int64, err error) {
	if waiting, err = tx.SaveAct(ctx, *c); err != nil {
		return 0, err
	}
	c.Version++
	public := ident.Format(ident.RuleAction, c.ID)
	if err := tx.Emit(ctx, "rule.answered", uuid.UUID(c.Service), map[string]any{"action": public, "rule": c.Rule, "does": c.Action, "state": c.State, "record": ident.Format(ident.Entity, c.Entity), "reference": c.Reference}); err != nil {
		return 0, err
	}
	return waiting, tx.Audit(ctx, who.Did("rule_action."+string(c.State), public, map[string]any{"rule": c.Rule, "record": ident.Format(ident.Entity, c.Entity), "reason": c.Reason, "reference": c.Reference}))
}

// handle changes an action that waits for who takes it up.
func (d *Decider) handle(ctx context.Context, who auth.Principal, id uuid.UUID, fn func(c *ActCase, now time.Time) error) (c ActCase, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return c, err
	}
	return c, d.inTx(ctx, who.Tenant, func(tx DecideTx) error {
		var err error
		if c, err = tx.LockAct(ctx, id); err != nil {
			return err
		}
		switch c.State {
		case ActWanted, ActTaken:
		case ActLapsed:
			return fault.New(fault.Conflict, "rule_action.lapsed", "The record no longer meets the rule %s since %s: this is not wanted any more.", c.Rule, c.LapsedAt.UTC().Format(time.RFC3339))
		default:
			return fault.New(fault.Conflict, "rule_action.not_wanted", "This is %s already; nobody needs to take it up.", c.State)
		}
		before := c.State
		if err := fn(&c, tx.Now()); err != nil {
			return err
		}
		if _, err := saveAct(ctx, tx, who, &c); err != nil {
			return err
		}
		if before == ActTaken && c.State == ActWanted {
			return tx.Emit(ctx, "rule."+c.Action, uuid.UUID(c.Service), c.Told()) // for the next one
		}
		return nil
	})
}

func takenAlready(c *ActCase) error {
	return fault.New(fault.Conflict, "rule_action.taken", "%s has been at this since %s. If they gave up, have it released first.", c.TakenBy, c.TakenAt.UTC().Format(time.RFC3339))
}

// Take lets one alone take an action up. Faults: rule_action.not_found, rule_action.taken, rule_action.lapsed,
// rule_action.not_wanted.
func (d *Decider) Take(ctx context.Context, who auth.Principal, id uuid.UUID) (ActCase, error) {
	return d.handle(ctx, who, id, func(c *ActCase, now time.Time) error {
		if c.State == ActTaken {
			return takenAlready(c)
		}
		c.State, c.TakenAt, c.TakenBy, c.Taker = ActTaken, &now, who.Name, who.ID
		return nil
	})
}

// Complete says that an action is done, with a reference to what came of it, such as an invoice's number. One that somebody else took
// up is theirs. Faults: those of Take.
func (d *Decider) Complete(ctx context.Context, who auth.Principal, id uuid.UUID, reference, note string) (ActCase, error) {
	return d.handle(ctx, who, id, func(c *ActCase, now time.Time) error {
		if c.State == ActTaken && c.Taker != who.ID {
			return takenAlready(c)
		}
		c.State, c.DecidedAt, c.DecidedBy, c.Reason, c.Reference = ActDone, &now, who.Name, note, reference
		return nil
	})
}

// Release gives back an action that was taken up, by whomever: it waits for the next one, and is told of again; one whose record
// no longer meets the rule is over. Faults: those of Take.
func (d *Decider) Release(ctx context.Context, who auth.Principal, id uuid.UUID, why string) (ActCase, error) {
	return d.handle(ctx, who, id, func(c *ActCase, now time.Time) error {
		if c.State != ActTaken {
			return fault.New(fault.Conflict, "rule_action.not_taken", "Nobody has taken this up, so there is nothing to give back.")
		}
		c.State, c.TakenAt, c.TakenBy, c.Taker, c.Reason = ActWanted, nil, "", "", why
		if c.LapsedAt != nil {
			c.State, c.DecidedAt, c.DecidedBy = ActLapsed, &now, who.Name
		}
		return nil
	})
}

// letGo sends a record that waited for approval.
func (d *Decider) letGo(ctx context.Context, tx DecideTx, who auth.Principal, c ActCase) error {
	_, doc, err := tx.Loadable(ctx, c.Service)
	if err != nil {
		return err
	}
	e, _, err := tx.LockEntity(ctx, c.Service, c.Entity)
	if fault.KindOf(err) == fault.NotFound {
		return nil // it is gone, and nothing is to be sent
	}
	if err != nil {
		return err
	}
	e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == record.Approval })
	for _, l := range e.Links {
		if l.State == record.InDoubt && !e.Waits() {
			l.State = record.Synced
			if len(l.Behind) > 0 {
				l.State = record.Pending
			}
		}
	}
	e.Version++
	entry := record.Entry{ID: newID(), Entity: e.ID, At: tx.Now(), Kind: record.Decided, Op: record.Updated, System: record.Person, Actor: who.Name, Cause: c.ID}
	if err := tx.SaveDecided(ctx, c.Service, e, nil, entry, doc.Receiving()[e.Collection]); err != nil {
		return err
	}
	return tx.Wake(ctx, c.Service)
}
