// SPDX-License-Identifier: Apache-2.0

package safety

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Selection says which changes are to be taken back: those of a run, of a person or key, of a business rule, of a system, within
// a span of time. All that is said must hold; at least one of Run, Actor, Rule and Since must be.
type Selection struct {
	Run    service.RunID // zero for any
	Actor  string        // a person's or key's name; "" for any
	Rule   string        // what the business rule of that name wrote; "" for any
	System record.System // where the change came from; "" for any
	Since  time.Time     // zero for any
	Until  time.Time     // zero for any
}

// undoAtOnce is how many journal entries one undo takes: it is one commit, so that nobody sees half of it.
const undoAtOnce = 20_000

// Kept is what an undo leaves as it is, and why.
type Kept struct {
	Entity record.EntityID
	Title  string
	Field  string // record.WholeRecord for the record itself
	Why    string
}

// Reversal is what an undo does to one record.
type Reversal struct {
	Entity record.EntityID
	Title  string
	Op     record.JournalOp // update: values are set back; delete: it goes; create: it lives again
	Before record.Fields    // as it is
	After  record.Fields    // as it becomes
}

// Undo is a preview of an undo, or what it did.
type Undo struct {
	Selected  int        // changes that were looked at
	Reversals []Reversal // by record, in the order of their ids
	Kept      []Kept
	Hash      string // of what would be done: apply takes it, and refuses when the records moved on
	Applied   bool
	Service   service.ID
	Wrote     record.Span // of the history, once it is applied
}

// Undo previews or carries out that changes are taken back. Later edits by others stay: a field that changed again since is
// kept, and said so. With dryRun nothing is written. hash, where it is given, must be the preview's. Faults: undo.selection_empty,
// undo.too_much, undo.moved.
func (m *Editor) Undo(ctx context.Context, who auth.Principal, ref string, sel Selection, dryRun bool, hash string) (out Undo, err error) {
	if err := who.May(auth.EditRecords); err != nil {
		return out, err
	}
	if sel.Run == (service.RunID{}) && sel.Actor == "" && sel.Rule == "" && sel.Since.IsZero() {
		return out, fault.New(fault.Invalid, "undo.selection_empty", "Say what to take back: a run, a person's or key's name, a business rule, or a span of time.")
	}
	err = m.inTx(ctx, who.Tenant, func(tx EditTx) error {
		out = Undo{}
		s, doc, err := writable(ctx, tx, ref)
		if err != nil {
			return err
		}
		chosen, err := tx.Entries(ctx, s.ID, sel, undoAtOnce+1)
		if err != nil {
			return err
		}
		if len(chosen) > undoAtOnce {
			return fault.New(fault.Invalid, "undo.too_much", "More than %d changes are meant; narrow the span of time, or name a system.", undoAtOnce)
		}
		if out.Selected = len(chosen); len(chosen) == 0 {
			out.Hash = out.digest(nil)
			return nil
		}
		ids := entitiesOf(chosen)
		entities, err := tx.LockEntities(ctx, s.ID, ids)
		if err != nil {
			return err
		}
		all, err := tx.Since(ctx, s.ID, ids, chosen[0].ID)
		if err != nil {
			return err
		}
		versions := make(map[record.EntityID]int64, len(entities))
		for _, e := range entities {
			versions[e.ID] = e.Version
		}
		edits, revived := out.reverse(entities, chosen, all, doc, tx.Now())
		out.Hash = out.digest(versions)
		if hash != "" && hash != out.Hash {
			return fault.New(fault.Stale, "undo.moved", "The records changed since you looked at the preview. Look again; nothing was taken back.")
		}
		if dryRun || len(edits) == 0 {
			return nil
		}
		for i := range edits {
			edits[i].Entry.Actor = who.Name
		}
		if err := tx.SaveEdited(ctx, s.ID, edits, doc.Receiving()); err != nil {
			return err
		}
		if err := tx.AddUsage(ctx, usage(s.ID, doc, edits, revived, tx.Now())); err != nil {
			return err
		}
		lines := make([]record.Entry, len(edits))
		for i := range edits {
			lines[i] = edits[i].Entry
		}
		out.Applied, out.Service, out.Wrote = true, s.ID, record.SpanOf(lines)
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "activity", uuid.UUID(s.ID), map[string]any{"system": record.Person}); err != nil {
			return err
		}
		detail := map[string]any{"service": s.ID.Public(), "name": s.Name, "records": len(edits), "kept": len(out.Kept)}
		if sel.Run != (service.RunID{}) {
			detail["run"] = sel.Run.Public()
		}
		if sel.Actor != "" {
			detail["actor"] = sel.Actor
		}
		if sel.Rule != "" {
			detail["rule"] = sel.Rule
		}
		if sel.System != "" {
			detail["system"] = sel.System
		}
		if !sel.Since.IsZero() {
			detail["since"] = sel.Since
		}
		if !sel.Until.IsZero() {
			detail["until"] = sel.Until
		}
		return tx.Audit(ctx, who.Did("records.undone", s.ID.Public(), detail))
	})
	return out, err
}

func entitiesOf(entries []record.Entry) []record.EntityID {
	seen := make(map[record.EntityID]bool)
	for i := range entries {
		seen[entries[i].Entity] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b record.EntityID) int { return slices.Compare(a[:], b[:]) })
}

// reverse decides what taking back the chosen changes means for the entities, all whose later changes are known. It changes
// the entities; apart from ids of history lines it is a function of its arguments.
func (u *Undo) reverse(entities []*record.Entity, chosen, all []record.Entry, doc *service.Document, now time.Time) (edits []Edited, revived map[record.EntityID]time.Time) {
	revived = make(map[record.EntityID]time.Time)
	isChosen := make(map[uuid.UUID]bool, len(chosen))
	for i := range chosen {
		isChosen[chosen[i].ID] = true
	}
	byEntity := make(map[record.EntityID][]record.Entry)
	for i := range all {
		byEntity[all[i].Entity] = append(byEntity[all[i].Entity], all[i])
	}
	for _, e := range entities {
		if e.IsMerged() {
			u.Kept = append(u.Kept, Kept{Entity: e.ID, Title: e.MatchKey, Field: record.WholeRecord, Why: "It was merged into another record; undo the merge under Duplicates."})
			continue
		}
		wasDeleted := e.DeletedAt
		r, entry := u.reverseOne(e, byEntity[e.ID], isChosen, doc, now)
		if entry.Op == "" {
			continue
		}
		u.Reversals = append(u.Reversals, r)
		edits = append(edits, Edited{e, entry})
		if wasDeleted != nil && e.DeletedAt == nil {
			revived[e.ID] = *wasDeleted
		}
	}
	return edits, revived
}

func (u *Undo) reverseOne(e *record.Entity, entries []record.Entry, chosen map[uuid.UUID]bool, doc *service.Document, now time.Time) (r Reversal, entry record.Entry) {
	keep := func(field, why string) {
		u.Kept = append(u.Kept, Kept{Entity: e.ID, Title: e.MatchKey, Field: field, Why: why})
	}
	// Per field: the value before the first chosen change, and whether somebody else changed it after the last.
	first := make(map[string]record.Value)
	later := make(map[string]bool)
	var made, died, lived, other bool
	var maker record.System
	for _, x := range entries {
		mine := chosen[x.ID]
		switch {
		case x.Op == record.Created && mine && len(x.Before) == 0:
			made, maker = true, x.System
			continue
		case x.Op == record.Deleted:
			if died = mine; !mine {
				lived = false
			}
			continue
		case x.Op == record.Created && !mine:
			died, lived = false, true // it came back by itself
		}
		for f := range x.After {
			if mine {
				if _, known := first[f]; !known {
					first[f] = x.Before[f]
				}
				later[f] = false
			} else {
				later[f] = true
				other = true
			}
		}
	}
	r = Reversal{Entity: e.ID, Title: e.MatchKey}
	switch {
	case e.IsFrozen() && (made || died || len(first) > 0):
		keep(record.WholeRecord, "The record is frozen.")
		return r, entry
	case made && e.DeletedAt != nil, died && e.DeletedAt == nil, lived && e.DeletedAt != nil:
		return r, entry // it is so already
	case made && other:
		keep(record.WholeRecord, "Others changed the record since it was made.")
		return r, entry
	case made && e.Waits():
		keep(record.WholeRecord, "The record is in conflict.")
		return r, entry
	case made && doc.DeletePolicy() != service.Propagate:
		keep(record.WholeRecord, "The service deletes nothing, so a record that was made stays.")
		return r, entry
	case made:
		r.Op, r.Before = record.Deleted, e.Fields
		entry = record.Entry{ID: uuid.Must(uuid.NewV7()), Entity: e.ID, At: now, Kind: record.Decided, Op: record.Deleted, System: record.Person, Before: e.Fields}
		e.DeletedAt = &now
		mark(e, record.WholeRecord, now)
		if l := e.Links[maker]; l != nil {
			// Where people made it, it stays; only what was made of it elsewhere goes. Changed there again, it comes back.
			l.State = record.Frozen
		}
		stir(e, now)
		return r, entry
	}
	back := make(record.Fields)
	for _, f := range slices.Sorted(maps.Keys(first)) {
		switch {
		case record.Equal(e.Fields[f], first[f]): // it is as it was
		case later[f]:
			keep(f, "It was changed again since.")
		case e.IsHeld(f):
			keep(f, "It is in conflict.")
		case slices.Contains(matchFields(doc), f):
			keep(f, "It tells which records are the same.")
		default:
			back[f] = first[f]
		}
	}
	if died && e.DeletedAt != nil {
		r.Op, r.After = record.Created, e.Fields.Clone()
		maps.Copy(r.After, back)
		entry = set(e, back, matchFields(doc), now)
		entry.Op, entry.Before, entry.After = record.Created, record.Fields{}, r.After
		e.DeletedAt = nil
		delete(e.Stamps, record.WholeRecord)
		for f := range e.Fields {
			mark(e, f, now) // a person's wish: it goes to every system, whatever directions say
		}
		stir(e, now)
		return r, entry
	}
	if len(back) == 0 || e.DeletedAt != nil {
		return r, entry
	}
	entry = set(e, back, matchFields(doc), now)
	r.Op, r.Before, r.After = record.Updated, entry.Before, entry.After
	return r, entry
}

func mark(e *record.Entity, field string, now time.Time) {
	if e.Stamps == nil {
		e.Stamps = make(map[string]record.Stamp)
	}
	e.Stamps[field] = record.Stamp{System: record.Person, At: now}
}

// digest names what would be done to which versions.
func (u *Undo) digest(versions map[record.EntityID]int64) string {
	h := sha256.New()
	for _, r := range u.Reversals {
		fmt.Fprintf(h, "%s %d %s %s\n", r.Entity, versions[r.Entity], r.Op, record.AppendJSON(nil, map[string]any(r.After)))
	}
	for _, k := range u.Kept {
		fmt.Fprintf(h, "kept %s %q\n", k.Entity, k.Field)
	}
	return hex.EncodeToString(h.Sum(nil))
}
