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
// emptied, the brake weighs them together with the deletions, before anything of it happens: once a parent is gone, there is
// nothing to ask about its children any more.

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
