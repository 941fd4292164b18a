// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// loadActing adds what rules did with the entities of a page that meet them still.
func (l *lane) loadActing(ctx context.Context, tx Tx, loaded *Loaded) (err error) {
	waits := func(e *record.Entity) bool { return slices.Contains(e.Held, record.Approval) }
	if !l.Collection.acts() && !slices.ContainsFunc(loaded.Entities, waits) || len(loaded.Entities) == 0 {
		return nil
	}
	loaded.Acting, err = tx.Acting(ctx, l.flow.guard.Service, entityIDs(loaded.Entities))
	return err
}

func entityIDs(list []*record.Entity) []record.EntityID {
	ids := make([]record.EntityID, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	return ids
}

// actOnSettled lets rules act on what a system was written, in the commit that settles it: two statements more for the whole
// batch, and only where the document has such rules.
func (l *lane) actOnSettled(ctx context.Context, tx Tx, settled []*record.Entity) error {
	if !l.Collection.acts() || len(settled) == 0 {
		return nil
	}
	sid, ids := l.flow.guard.Service, entityIDs(settled)
	acting, err := tx.Acting(ctx, sid, ids)
	if err != nil {
		return err
	}
	entities, err := tx.LoadEntities(ctx, l.flow.guard, ids, false) // locked already; with all links, as they are now
	if err != nil {
		return err
	}
	o := ActsOnSettled(l.Seat, entities, acting, tx.Now())
	if len(o.Acts)+len(o.Lapsed) == 0 {
		return nil
	}
	if err := tx.SaveActs(ctx, sid, o); err != nil {
		return err
	}
	return l.flow.tellActs(ctx, tx, o)
}

// overtaken ends, before anything is read, what rules did that the revision has no more, or that do something else now. What waits for
// approval is left until its record changes, because ending it sends the record.
func (f *flow) overtaken(ctx context.Context) error {
	var rules, actions []string
	for _, c := range f.plan.Collections {
		for i := range c.Actions {
			if a := &c.Actions[i]; a.Window == 0 {
				rules, actions = append(rules, a.Rule), append(actions, a.Do)
			}
		}
	}
	for more := true; more; {
		err := f.inTx(ctx, func(tx Tx) error {
			if err := tx.Guard(ctx, f.guard); err != nil {
				return err
			}
			list, err := tx.Overtaken(ctx, f.guard.Service, rules, actions, snapshotBatch)
			if more = len(list) > 0; err != nil || !more {
				return err
			}
			var o Outcome
			for _, x := range list {
				o.Lapsed = append(o.Lapsed, Lapse{x})
				if x.Action == ActReconciled {
					o.Journal = append(o.Journal, record.Entry{ID: newID(), Entity: x.Entity, Kind: record.Decided, Op: record.Unreconciled, System: record.Person, Actor: ByRule(x.Rule), Cause: x.ID})
				}
			}
			if err := tx.SaveActs(ctx, f.guard.Service, o); err != nil {
				return err
			}
			return f.tellActs(ctx, tx, o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tellActs tells of every action of a rule, and of every one that lapsed: who takes them up must miss none.
func (f *flow) tellActs(ctx context.Context, tx Tx, o Outcome) error {
	var met, wanted, lapsed []any
	for i := range o.Acts {
		a := &o.Acts[i]
		switch {
		case a.Action == ActInvoice && a.LapsedAt == nil:
			wanted = append(wanted, a.Told())
		case a.Action != ActInvoice:
			met = append(met, a.Told())
		}
	}
	for _, x := range o.Lapsed {
		lapsed = append(lapsed, map[string]any{"action": ident.Format(ident.RuleAction, x.ID), "rule": x.Rule, "does": x.Action, "record": ident.Format(ident.Entity, x.Entity)})
	}
	sid := uuid.UUID(f.guard.Service)
	for _, told := range []struct {
		typ  string
		data []any
	}{{"rule.met", met}, {"rule." + ActInvoice, wanted}, {"rule.lapsed", lapsed}} {
		if len(told.data) == 0 {
			continue
		}
		if err := tx.EmitAll(ctx, told.typ, sid, told.data); err != nil {
			return err
		}
	}
	return nil
}

// Told is the action as events tell of it. Its id is the key by which who takes it up does it once: it is the same however
// often the event comes.
func (a *Act) Told() map[string]any {
	id := ident.Format(ident.RuleAction, a.ID)
	return map[string]any{"action": id, "idempotencyKey": id, "rule": a.Rule, "does": a.Action, "record": ident.Format(ident.Entity, a.Entity), "title": a.Title, "collection": a.Collection,
		"system": a.System, "targets": a.Targets, "fields": a.Fields, "options": a.Options}
}
