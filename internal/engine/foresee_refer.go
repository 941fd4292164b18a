// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"

	"github.com/syncline-dev/syncline/internal/record"
)

// What a plan foresees of references: which records would wait for another one that nothing creates, or for each other.

// mostEdges bounds how many records that refer to others of their own kind a plan remembers, to find circles among them.
const mostEdges = 500_000

// upwards lists collections with those that others refer to before those, as far as there is such an order.
func upwards(list []*Collection) (out []*Collection) {
	var visit func(*Collection)
	seen := make(map[*Collection]bool)
	visit = func(c *Collection) {
		if seen[c] {
			return
		}
		seen[c] = true
		for _, s := range c.Seats {
			for i := range s.Refs {
				if p := s.Refs[i].Parent; p != nil {
					visit(p.Collection)
				}
			}
		}
		out = append(out, c)
	}
	for _, c := range list {
		visit(c)
	}
	return out
}

// Linked is the plan as the directory of its seats: what it kept aside, else what the service knows.
func (f *foreseeing) Linked(ctx context.Context, system record.System, object record.Object, keys []record.Key) (known map[record.Key]record.EntityID, err error) {
	return known, f.inTx(ctx, func(tx AsideTx) error {
		known, err = tx.LinkedAside(ctx, f.Plan, f.Service, system, object, keys)
		return err
	})
}

// naming tells by which keys the seat's system names entities by the plan: of what the plan lets go, the key that the service knows is the
// former one.
func (f *foreseeing) naming(ctx context.Context, tx AsideTx, seat *Seat) naming {
	return func(ids []record.EntityID) (keys map[record.EntityID]record.Key, former map[record.EntityID][]record.Key, err error) {
		now, err := tx.AsideByID(ctx, f.Plan, f.Service, ids)
		if err != nil {
			return nil, nil, err
		}
		known, former, err := namesIn(ctx, tx, f.Service, seat.System, ids)
		if err != nil {
			return nil, nil, err
		}
		keys = make(map[record.EntityID]record.Key, len(now))
		for _, e := range now {
			was, had := known[e.ID]
			if l := e.Links[seat.System]; l != nil {
				keys[e.ID] = l.Key
			} else if had {
				former[e.ID] = append(former[e.ID], was)
			}
		}
		return keys, former, nil
	}
}

// lineage is what is known of the records that a system would get.
type lineage struct {
	blocked map[record.EntityID]bool // they would wait
	nodes   map[record.EntityID]node // they refer to records that may come later
	edges   int
}

type node struct {
	seat    *Seat
	title   string
	parents []record.EntityID
}

func (f *foreseeing) lineageOf(system record.System) *lineage {
	if f.lines == nil {
		f.lines = make(map[record.System]*lineage)
	}
	if f.lines[system] == nil {
		f.lines[system] = &lineage{blocked: make(map[record.EntityID]bool), nodes: make(map[record.EntityID]node)}
	}
	return f.lines[system]
}

// await counts what of the writes would wait for a record that they refer to.
func (f *foreseeing) await(ctx context.Context, seat *Seat, sent []Sent, byID map[record.EntityID]*record.Entity) error {
	if len(seat.Refs) == 0 {
		return nil
	}
	// References to what was read later than the record itself are told apart from those to nothing.
	later := make(map[RecordIn]record.EntityID)
	var ids []record.EntityID
	each := func(fn func(w *Sent, r *Reference, ref record.Reference)) {
		for i := range sent {
			for j := range seat.Refs {
				if ref, ok := record.ReferenceOf(sent[i].Fields[seat.Refs[j].Native]); ok {
					if ref.Entity.IsZero() {
						ref.Entity = later[RecordIn{ref.System, ref.Object, ref.Key}]
					}
					fn(&sent[i], &seat.Refs[j], ref)
				}
			}
		}
	}
	type place struct {
		system record.System
		object record.Object
	}
	unknown := make(map[place][]record.Key)
	each(func(_ *Sent, _ *Reference, ref record.Reference) {
		if ref.Entity.IsZero() {
			p := place{ref.System, ref.Object}
			unknown[p] = append(unknown[p], ref.Key)
		}
	})
	for p, keys := range unknown {
		known, err := f.Linked(ctx, p.system, p.object, keys)
		if err != nil {
			return err
		}
		for k, id := range known {
			later[RecordIn{p.system, p.object, k}] = id
		}
	}
	each(func(_ *Sent, _ *Reference, ref record.Reference) {
		if !ref.Entity.IsZero() {
			ids = append(ids, ref.Entity)
		}
	})
	parents := make(map[record.EntityID]*record.Entity)
	if len(ids) > 0 {
		slices.SortFunc(ids, compareIDs)
		err := f.inTx(ctx, func(tx AsideTx) error {
			list, err := tx.AsideByID(ctx, f.Plan, f.Service, slices.Compact(ids))
			for _, e := range list {
				parents[e.ID] = e
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	line, rules := f.lineageOf(seat.System), f.plan.References
	waits := make(map[record.EntityID]bool)
	each(func(w *Sent, r *Reference, ref record.Reference) {
		held := w.Create && !(rules.TwoPass && r.Nullable && r.Circle) // all of it waits, not only the reference
		p := parents[ref.Entity]
		there, comes := false, false
		if p != nil && p.DeletedAt == nil {
			there = p.Links[seat.System] != nil
			if !there && r.Parent.Writes {
				made, _ := Writes(r.Parent, f.Plan, []*record.Entity{p}, nil)
				comes = len(made) == 1
			}
		}
		switch {
		case there, comes && !held, comes && !r.Circle && !line.blocked[ref.Entity]:
		case comes && r.Circle:
			if line.edges++; line.edges <= mostEdges {
				n := line.nodes[w.ID]
				n.seat, n.title, n.parents = seat, byID[w.ID].MatchKey, append(n.parents, ref.Entity)
				line.nodes[w.ID] = n
			}
		default:
			if held {
				line.blocked[w.ID] = true
			}
			if !waits[w.ID] {
				waits[w.ID] = true
				f.of(seat).Unfound++
				f.sample(Sample{Kind: SampleUnfound, System: seat.System, Object: seat.Object, Key: w.Key, Title: byID[w.ID].MatchKey, After: byID[w.ID].Fields, Why: whyWaits(seat, r, ref)})
			}
		}
	})
	return nil
}

// untangle follows the references among records that a system is still to get: what refers to one that waits, waits; what is left
// when all are taken away that can be written one after the other goes around in circles.
func (f *foreseeing) untangle() {
	for _, system := range sortedKeys(f.lines) {
		line := f.lines[system]
		children, left := make(map[record.EntityID][]record.EntityID), make(map[record.EntityID]int)
		var free, stuck []record.EntityID
		for id, n := range line.nodes {
			if line.blocked[id] {
				stuck = append(stuck, id)
			}
			for _, p := range n.parents {
				children[p] = append(children[p], id)
				switch _, later := line.nodes[p]; {
				case line.blocked[p] && !line.blocked[id]:
					stuck = append(stuck, id)
				case later:
					left[id]++
				}
			}
		}
		wait := func(id record.EntityID, circle bool) {
			n := line.nodes[id]
			why := "It refers to a record that waits itself."
			count := f.of(n.seat)
			count.Unfound++
			if circle {
				count.Circles++
				why = "It belongs to records that refer to each other in a circle, so that none can be written first. syncConfig.references.cycles: two-pass would."
			}
			line.blocked[id] = true
			f.sample(Sample{Kind: SampleUnfound, System: system, Object: n.seat.Object, Title: n.title, Why: why})
		}
		spread := func(list []record.EntityID) {
			slices.SortFunc(list, compareIDs)
			for len(list) > 0 {
				id := list[0]
				list = list[1:]
				if _, here := line.nodes[id]; here && !line.blocked[id] {
					wait(id, false)
				}
				for _, c := range children[id] {
					if !line.blocked[c] {
						list = append(list, c)
					}
				}
			}
		}
		spread(stuck)
		for id := range line.nodes {
			if left[id] == 0 && !line.blocked[id] {
				free = append(free, id)
			}
		}
		for len(free) > 0 {
			id := free[0]
			free = free[1:]
			for _, c := range children[id] {
				if left[c]--; left[c] == 0 && !line.blocked[c] {
					free = append(free, c)
				}
			}
		}
		var around []record.EntityID
		for id := range line.nodes {
			if left[id] > 0 && !line.blocked[id] {
				around = append(around, id)
			}
		}
		slices.SortFunc(around, compareIDs)
		for _, id := range around {
			wait(id, true)
		}
		clear(line.nodes)
	}
}
