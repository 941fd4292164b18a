// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"

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
	Before  uuid.UUID  // go on after this one
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
		if c.State != ActOpen && !(yes && c.State == ActRejected) {
			return fault.New(fault.Conflict, "rule_action.not_open", "This is %s already; it waits for nobody.", c.State)
		}
		now := tx.Now()
		c.State, c.DecidedAt, c.DecidedBy, c.Reason = ActRejected, &now, who.Name, reason
		if yes {
			c.State = ActApproved
		}
		waiting, err := tx.SaveAct(ctx, c)
		if err != nil {
			return err
		}
		c.Version++
		if yes && waiting == 0 && c.Action == ActRequireApproval {
			if err := d.letGo(ctx, tx, who, c); err != nil {
				return err
			}
		}
		public := ident.Format(ident.RuleAction, c.ID)
		if err := tx.Emit(ctx, "rule.answered", uuid.UUID(c.Service), map[string]any{"action": public, "rule": c.Rule, "state": c.State, "record": c.Entity.String()}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("rule_action."+string(c.State), public, map[string]any{"rule": c.Rule, "record": c.Entity.String(), "reason": reason}))
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
