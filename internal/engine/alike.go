// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
)

// Alike is an entity that shares a block with records of a page, as far as comparing needs it.
type Alike struct {
	ID       record.EntityID
	MatchKey string
	Fields   record.Fields
	Blocks   []string // those asked for that it belongs to
}

// Pair is two entities that are, or may be, one thing.
type Pair struct {
	ID         uuid.UUID
	Collection string
	A, B       record.EntityID // in the order of their ids
	Verdict    match.Verdict
}

// NewPair puts two entities that are alike in order.
func NewPair(collection string, a, b record.EntityID, v match.Verdict) Pair {
	if slices.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return Pair{ID: newID(), Collection: collection, A: a, B: b, Verdict: v}
}

// blocksOf are the blocks of the mapped records, without doubles.
func blocksOf(mapped []Mapped) (blocks []string) {
	for i := range mapped {
		blocks = append(blocks, mapped[i].Blocks...)
	}
	slices.Sort(blocks)
	return slices.Compact(blocks)
}

// meet files an entity under its blocks, for the records of the page that come after it.
func (b *batch) meet(a Alike) {
	if b.alike == nil {
		b.alike, b.byBlock = make(map[record.EntityID]*Alike), make(map[string][]record.EntityID)
	}
	b.alike[a.ID] = &a
	for _, block := range a.Blocks {
		b.byBlock[block] = append(b.byBlock[block], a.ID)
	}
}

// compare finds the entities that are alike. It says whether there is one that the entity may be.
func (b *batch) compare(e *record.Entity) (found bool) {
	rule := b.seat.Collection.Likeness
	if rule == nil || e.DeletedAt != nil {
		return false
	}
	blocks := rule.Keys(e.Fields)
	seen := map[record.EntityID]bool{e.ID: true}
	for _, block := range blocks {
		for _, id := range b.byBlock[block] {
			if seen[id] {
				continue
			}
			seen[id] = true
			b.out.Compared++
			other := b.alike[id].Fields
			if v := rule.Compare(e.Fields, other); v.Outcome != match.Ignore {
				b.out.Pairs = append(b.out.Pairs, NewPair(e.Collection, e.ID, id, v))
				found = true
			}
		}
	}
	b.meet(Alike{ID: e.ID, MatchKey: e.MatchKey, Fields: e.Fields, Blocks: blocks})
	return found
}

// twin holds back a new entity that may be one that is there already, until that is decided: else its other systems would get
// the duplicate, too.
func (b *batch) twin(e *record.Entity) {
	if !b.compare(e) {
		return
	}
	b.hold(e, record.Twin)
}

// aside meets a record whose entity was merged into another one: it is noted what it holds, and nothing comes of it.
func (b *batch) aside(e *record.Entity, m *Mapped) {
	l := e.Links[b.seat.System]
	b.out.Counts.Equal++
	for f := range m.In {
		if knows(e, l, f) && !record.Equal(m.own(f), l.Shadow(e, f)) && l.State == record.Frozen {
			l.Holds(f, m.own(f), e.Fields[f], true)
			b.touchLink(e, l)
		}
	}
	if m.Version != "" && m.Version != l.Version {
		l.Version = m.Version
		b.touchLink(e, l)
	}
}
