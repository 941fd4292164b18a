// SPDX-License-Identifier: Apache-2.0

package safety

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// longestReason bounds what people write about why they freeze a record.
const longestReason = 500

// Froze is what freezing or thawing a record came to.
type Froze struct {
	engine.Detail
	// UnderWay are the systems that were being written to when the record was frozen. Such a write may still have arrived; the
	// record's history tells. Nothing is begun after it.
	UnderWay []string
}

// Freeze leaves a record alone in all systems: what they change is taken in and journalled as ever, and nothing is written to any of
// them until it is thawed. Faults: record.not_found, record.deleted, record.frozen, record.reason_too_long.
func (m *Editor) Freeze(ctx context.Context, who auth.Principal, ref, idOrKey, reason string) (out Froze, err error) {
	if len([]rune(reason)) > longestReason {
		return out, fault.New(fault.Invalid, "record.reason_too_long", "The reason has more than %d characters.", longestReason).At(fault.Field{Pointer: "/reason", Message: "It is too long."})
	}
	return m.ice(ctx, who, ref, idOrKey, func(tx EditTx, out *Froze) (record.JournalOp, error) {
		e := out.Entity
		switch {
		case e.DeletedAt != nil:
			return "", fault.New(fault.Conflict, "record.deleted", "The record was deleted.")
		case e.IsFrozen():
			return "", fault.New(fault.Conflict, "record.frozen", "The record is frozen already.")
		}
		e.Held = append(slices.Clone(e.Held), record.Ice)
		slices.Sort(e.Held)
		out.Detail.Freeze = &engine.Freeze{At: tx.Now(), By: who.Name, Reason: reason}
		return record.Froze, nil
	})
}

// Thaw lets a frozen record go on: each system that it is not equal with is owed what came in meanwhile. Faults: record.not_found,
// record.not_frozen.
func (m *Editor) Thaw(ctx context.Context, who auth.Principal, ref, idOrKey string) (out Froze, err error) {
	return m.ice(ctx, who, ref, idOrKey, func(tx EditTx, out *Froze) (record.JournalOp, error) {
		e := out.Entity
		if !e.IsFrozen() {
			return "", fault.New(fault.Conflict, "record.not_frozen", "The record is not frozen.")
		}
		e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == record.Ice })
		for _, l := range e.Links {
			if l.State == record.Synced && (len(l.Behind) > 0 || e.DeletedAt != nil) {
				l.State = record.Pending
			}
		}
		out.Detail.Freeze = nil
		return record.Thawed, nil
	})
}

// ice carries out freezing or thawing, with its line in the history.
func (m *Editor) ice(ctx context.Context, who auth.Principal, ref, idOrKey string, do func(EditTx, *Froze) (record.JournalOp, error)) (out Froze, err error) {
	if err := who.May(auth.EditRecords); err != nil {
		return out, err
	}
	return out, m.inTx(ctx, who.Tenant, func(tx EditTx) error {
		s, doc, err := writable(ctx, tx, ref)
		if err != nil {
			return err
		}
		if out.Detail, err = tx.FindRecord(ctx, s.ID, idOrKey); err != nil {
			return err
		}
		if out.Entity, out.Conflicts, err = tx.LockEntity(ctx, s.ID, out.ID); err != nil {
			return err
		}
		op, err := do(tx, &out)
		if err != nil {
			return err
		}
		e := out.Entity
		e.Version++
		owed := doc.Receiving()
		event, reason := "record.thawed", ""
		if op == record.Froze {
			event, reason, owed = "record.frozen", out.Detail.Freeze.Reason, nil
			if err := tx.SaveFreeze(ctx, s.ID, e.ID, *out.Detail.Freeze); err != nil {
				return err
			}
			if out.UnderWay, err = tx.UnderWay(ctx, s.ID, e.ID); err != nil {
				return err
			}
		} else if err := tx.DropFreeze(ctx, s.ID, e.ID); err != nil {
			return err
		}
		entry := record.Entry{ID: uuid.Must(uuid.NewV7()), Entity: e.ID, At: tx.Now(), Kind: record.Decided, Op: op, System: record.Person, Actor: who.Name}
		if err := tx.SaveEdited(ctx, s.ID, []Edited{{e, entry}}, owed); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		public := ident.Format(ident.Entity, e.ID)
		if err := tx.Emit(ctx, event, uuid.UUID(s.ID), map[string]any{"record": public, "title": e.MatchKey, "by": who.Name, "reason": reason}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did(event, public, map[string]any{"service": s.ID.Public(), "name": s.Name, "reason": reason}))
	})
}
