// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// What follows from deletions. Where the document has the records that refer to a deleted one deleted, or their reference
// emptied, the brake weighs them together with the deletions, before anything of it happens. What was not weighed so, because it came
// to refer to the deleted record later, or a person deleted that, or the document says so only now, is weighed when it is found: until
// then, and while a person is asked, it stays as it is.

// Fate is what becomes of a record that refers to a deleted one.
type Fate string

// The fates; "" when it was not weighed yet.
const (
	FateFollows Fate = "follows" // the document's rule for orphans is carried out
	FateStays   Fate = "stays"   // a person said that it is not, or a system refused it; the deletion waits in each system where the record is
)

// Following is what would become of records that refer to those that are deleted.
type Following struct {
	Detach bool  // their reference is emptied; else they are deleted
	Count  int64 // records
	Known  int64 // living records of their collections, as far as it matters
}

// followTx is what knows them.
type followTx interface {
	// Following counts the living records that refer to one of the entities, or to one that a change of the hold is about;
	// unless direct is set, also those that refer to these, and so on. The entities themselves are not counted.
	Following(ctx context.Context, s service.ID, ids []record.EntityID, hold uuid.UUID, direct bool) (int64, error)
	// CountLiving counts living entities of the collections, up to a number.
	CountLiving(ctx context.Context, s service.ID, collections []string, upTo int64) (int64, error)
}

// limit is what the document says about so many records at once.
func (f Following) limit(b *Brake) limit {
	if f.Detach {
		return b.changes
	}
	return b.deletes
}

// following finds out what follows when these entities, or what the hold is about, are deleted.
func (p *Plan) following(ctx context.Context, tx followTx, s service.ID, seat *Seat, t Tally, ids []record.EntityID, hold uuid.UUID) (f Following, err error) {
	if p.References.Orphans != service.OrphansDelete && p.References.Orphans != service.OrphansDetach || len(seat.Collection.Children) == 0 || len(ids) == 0 && hold == uuid.Nil {
		return f, nil
	}
	f.Detach = p.References.Orphans == service.OrphansDetach
	if f.Count, err = tx.Following(ctx, s, ids, hold, f.Detach); err != nil || f.Count == 0 {
		return f, err
	}
	if up := f.limit(seat.Collection.brake()).upTo(t.Followed + f.Count); up > 0 {
		f.Known, err = tx.CountLiving(ctx, s, descendants(seat.Collection, f.Detach), up)
	}
	return f, err
}

// descendants are the collections whose records refer to those of the collection; unless direct is set, over others too.
func descendants(c *Collection, direct bool) (names []string) {
	var visit func(*Collection)
	visit = func(c *Collection) {
		for _, child := range c.Children {
			if slices.Contains(names, child.Collection.Name) {
				continue
			}
			if names = append(names, child.Collection.Name); !direct {
				visit(child.Collection)
			}
		}
	}
	visit(c)
	return names
}

// passes says, in words, which limit is passed by what follows from n deletions; "" for none.
func (f Following) passes(b *Brake, t Tally, n int64) string {
	l, total, what := f.limit(b), t.Followed+f.Count, "would be deleted"
	with := t.Deletes + n + total
	if f.Detach {
		with, what = t.Changes+total, "would lose their reference"
	}
	switch {
	case f.Count == 0:
	case l.most >= 0 && with > l.most:
		return fmt.Sprintf("%d records that refer to deleted ones %s, which makes %d, and %d are allowed", total, what, with, l.most)
	case l.percent != nil:
		return limit{most: -1, percent: l.percent, floor: l.floor}.passed(total, f.Known, "records that refer to deleted ones "+what)
	}
	return ""
}

// Going are the entities whose deletion the page tells of.
func (w *Weighing) Going() (ids []record.EntityID) {
	for i := range w.sorted {
		if s := &w.sorted[i]; s.kind == HoldDeletes {
			ids = append(ids, s.entity.ID)
		}
	}
	return ids
}

// Follow adds what follows from the page's deletions to what is weighed.
func (w *Weighing) Follow(f Following) { w.following = f }

// brake is the collection's brake; without any, the one that is always on.
func (c *Collection) brake() *Brake {
	if c.Brake == nil {
		b, _ := NewBrake(nil)
		return b
	}
	return c.Brake
}

// follow notes that what refers to the seat's records, which are about to be deleted, is weighed with that: all that is deleted with them.
func (f *flow) follow(ctx context.Context, tx Tx, seat *Seat, going []record.EntityID) error {
	if len(going) == 0 || f.plan.References.Orphans == service.OrphansWait || len(seat.Collection.Children) == 0 {
		return nil
	}
	return tx.FollowDeleted(ctx, f.guard.Service, going, f.plan.References.Orphans == service.OrphansDetach)
}

// followed notes it in the commit that deletes records, of those that were not weighed in it: a person decided about them.
func (f *flow) followed(ctx context.Context, tx Tx, seat *Seat, out Outcome, braked *Braked) error {
	if out.Died == 0 {
		return nil
	}
	var deleted []record.EntityID
	for _, e := range out.Changed {
		if e.DeletedAt != nil && (braked == nil || !slices.Contains(braked.weighed, e.ID)) {
			deleted = append(deleted, e.ID)
		}
	}
	return f.follow(ctx, tx, seat, deleted)
}

// JudgeOrphans decides about so many of the seat's records that refer to deleted ones, and what follows from them: "" when the document's rule
// is carried out, else why a person is asked. known are the records of the object, as far as JudgeOrphansUpTo says.
func (b *Brake) JudgeOrphans(seat *Seat, t Tally, detach bool, orphans, known int64, f Following) string {
	l, before, what := b.deletes, t.Deletes, "records that refer to deleted ones would be deleted"
	if detach {
		l, before, what = b.changes, t.Changes, "records that refer to deleted ones would lose their reference"
	}
	name := fmt.Sprintf("%s in %s", seat.Object, seat.System)
	if p := l.passed(before+orphans, known, what); p != "" {
		return fmt.Sprintf("%s of %s.", p, name)
	}
	if p := f.passes(b, t, orphans); p != "" && !detach {
		return fmt.Sprintf("%s. It follows from records of %s that refer to deleted ones.", p, name)
	}
	return ""
}

// JudgeOrphansUpTo says how many records must be known to be there for JudgeOrphans.
func (b *Brake) JudgeOrphansUpTo(t Tally, detach bool, orphans int64) int64 {
	if detach {
		return b.changes.upTo(t.Changes + orphans)
	}
	return b.deletes.upTo(t.Deletes + orphans)
}

// weighOrphans has the brake weigh the seat's orphans that were not: all of them together, so that it is asked before anything happens. They
// follow, or wait for a person; of these the ones with the keys are held now, the others when they are come to. The lane's lock is held.
func (l *lane) weighOrphans(ctx context.Context, keys []record.Key) error {
	f := l.flow
	collection := f.commit[l.Collection.Name]
	collection.take(ctx)
	defer collection.release()
	detach, brake := f.plan.References.Orphans == service.OrphansDetach, l.Collection.brake()
	var braked *Braked
	err := f.inTx(ctx, func(tx Tx) error {
		loaded, err := tx.Load(ctx, f.guard, l.Seat, keys, make([]string, len(keys)))
		if err != nil {
			return err
		}
		orphans, err := tx.Unasked(ctx, f.guard.Service, l.Seat)
		if err != nil || len(orphans) == 0 {
			return err
		}
		b, err := tx.Braking(ctx, f.guard, l.Seat)
		if err != nil {
			return err
		}
		tally, n, known := b.Tally.at(tx.Now(), f.brakeRun()), int64(len(orphans)), int64(0)
		if up := brake.JudgeOrphansUpTo(tally, detach, n); up > 0 {
			if known, err = tx.CountLinks(ctx, f.guard.Service, l.Seat, up); err != nil {
				return err
			}
		}
		follows := Following{}
		if !detach { // what refers to a record that only loses its reference keeps its own
			if err := f.follow(ctx, tx, l.Seat, orphans); err != nil {
				return err
			}
			if follows, err = f.plan.following(ctx, tx, f.guard.Service, l.Seat, tally, orphans, uuid.Nil); err != nil {
				return err
			}
		}
		why := brake.JudgeOrphans(l.Seat, tally, detach, n, known, follows)
		if why == "" && b.Open[HoldOrphans] {
			why = "More such records while others wait."
		}
		hold := Hold{ID: newID(), Service: f.guard.Service, System: l.System, Object: l.Object, Collection: l.Collection.Name, Kind: HoldOrphans,
			State: HoldOpen, Reason: why, OpenedAt: tx.Now(), alert: brake.alert}
		braked = &Braked{}
		switch {
		case why != "" && !brake.tellOnly:
			if braked.Held, err = l.heldOrphans(ctx, tx, loaded, orphans, detach); err != nil {
				return err
			}
			if !b.Open[HoldOrphans] {
				braked.Opened = []Hold{hold}
			}
		default:
			if why != "" && b.Told[HoldOrphans].Before(tally.Since) {
				hold.State, hold.DecidedAt = HoldAlerted, &hold.OpenedAt
				braked.Opened = []Hold{hold}
			}
			if detach {
				tally.Changes += n
			} else {
				tally.Deletes, tally.Followed = tally.Deletes+n, tally.Followed+follows.Count
			}
			if err := tx.SaveFate(ctx, f.guard.Service, orphans, FateFollows); err != nil {
				return err
			}
		}
		braked.Tally = tally
		if err := tx.SaveIntake(ctx, f.guard, Intake{Seat: l.Seat, Braked: braked}); err != nil {
			return err
		}
		return f.tellHeld(ctx, tx, braked)
	})
	if err != nil {
		return err
	}
	l.noteHeld(braked)
	return nil
}

// heldOrphans are those of the loaded records that wait for a person, with what the document's rule would make of them.
func (l *lane) heldOrphans(ctx context.Context, tx Tx, loaded Loaded, orphans []record.EntityID, detach bool) (list []Held, err error) {
	var parents []record.EntityID
	for _, e := range loaded.Entities {
		for _, id := range parentsOf(l.Collection, e) {
			parents = append(parents, id)
		}
	}
	slices.SortFunc(parents, compareIDs)
	above, err := tx.LoadEntities(ctx, l.flow.guard, slices.Compact(parents), false)
	if err != nil {
		return nil, err
	}
	gone := make(map[record.EntityID]*record.Entity)
	for _, p := range above {
		if p.DeletedAt != nil {
			gone[p.ID] = p
		}
	}
	waits := make(map[record.EntityID]bool, len(orphans))
	for _, id := range orphans {
		waits[id] = true
	}
	for _, e := range loaded.Entities {
		link := e.Links[l.System]
		if !waits[e.ID] || link == nil || link.Object != l.Object {
			continue
		}
		h := Held{Change: record.Change{Key: link.Key, Op: record.Delete}, Kind: HoldOrphans, Entity: e.ID, Title: e.MatchKey}
		if detach {
			h.Op, h.Before, h.After = record.Upsert, record.Fields{}, record.Fields{}
		}
		parents := parentsOf(l.Collection, e)
		for _, f := range sortedKeys(parents) {
			p := gone[parents[f]]
			if p == nil {
				continue
			}
			if h.Why == "" {
				h.Why = fmt.Sprintf("%s refers to %s of %s, which is deleted.", f, p.MatchKey, p.Collection)
			}
			if detach {
				h.Before[f], h.After[f] = e.Fields[f], nil
			}
		}
		list = append(list, h)
	}
	return list, nil
}

// carryOrphans carries out the next batch of what a person decided about orphans, and says whether there may be more. The lane's lock is held.
func (l *lane) carryOrphans(ctx context.Context, h *Hold, held []record.Change) error {
	f, fate, keys := l.flow, FateFollows, keysOf(held)
	if h.State == HoldRejected {
		fate = FateStays
	}
	collection := f.commit[l.Collection.Name]
	collection.take(ctx)
	defer collection.release()
	err := f.inTx(ctx, func(tx Tx) error {
		loaded, err := tx.Load(ctx, f.guard, l.Seat, keys, make([]string, len(keys)))
		if err != nil {
			return err
		}
		if fate == FateFollows && f.plan.References.Orphans == service.OrphansDelete {
			if err := f.follow(ctx, tx, l.Seat, entityIDs(loaded.Entities)); err != nil {
				return err
			}
		}
		if err := tx.SaveFate(ctx, f.guard.Service, entityIDs(loaded.Entities), fate); err != nil {
			return err
		}
		return tx.SaveIntake(ctx, f.guard, Intake{Seat: l.Seat, Unheld: keys})
	})
	if err == nil {
		f.linkedNow()
	}
	return err
}
