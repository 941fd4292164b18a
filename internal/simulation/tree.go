// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"maps"
	"slices"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Customers whose records refer to each other: parents that come later than their children or never, circles, and parents that
// are deleted while they have children. Each system names the parent by a key of its own.

// withParent is the object with a field that names another record of it.
func withParent(info connector.ObjectInfo) connector.ObjectInfo {
	key, _ := info.Field(info.Key[0])
	info.Fields = append(slices.Clone(info.Fields), connector.FieldInfo{Name: "parent", Type: key.Type, Nullable: true})
	return info
}

// parent is what somebody takes for a record's parent: none, one that is there, perhaps the record itself or one below it, or
// one that comes later, or never.
func (r *Run) parent(c *customer, o *outside, keys []record.Key) record.Value {
	g := r.rng
	n := g.IntN(8)
	if n == 0 {
		return nil
	}
	if n == 1 || len(keys) == 0 {
		later := c.made + 1 + g.IntN(4)
		if o.object == "items" {
			return record.Int(int64(1000 + later))
		}
		return fmt.Sprintf("%sP%d", c.name, later)
	}
	key := pick(g, keys...)
	if o.object == "items" {
		return number(string(key))
	}
	return string(key)
}

// formerKey is a key that an entity's record had.
type formerKey struct {
	linkKey
	entity record.EntityID
}

// wasKey says whether the entity's record had the key when the journal had so many entries, or before.
func (row *serviceRow) wasKey(k formerKey, then int) bool {
	since, ever := row.once[k]
	return ever && since <= then
}

// reference is what the system's value stands for, as the store knows it. A key that its record lost, as it was deleted and perhaps made
// again, stands for that record still: nothing tells of those that keep it.
func (row *serviceRow) reference(o *outside, v, taken record.Value) record.Value {
	if v == nil {
		return nil
	}
	ref := record.Reference{System: o.id, Object: o.object, Key: record.MakeKey(v)}
	k := linkKey{o.id, o.object, ref.Key}
	ref.Entity = row.keys[k]
	was, ok := record.ReferenceOf(taken)
	switch {
	case !ok:
	case !was.Entity.IsZero() && row.wasKey(formerKey{k, was.Entity}, len(row.journal)):
		return taken
	case was.Entity.IsZero() && was.System == o.id && was.Object == o.object && was.Key == ref.Key:
		return taken // a value that others changed since: it keeps the name that it had
	}
	return ref.Text()
}

// checkParents: what is written refers to records that were there before, or that the system named itself.
func (r *Run) checkParents(o *outside, writes []connector.Write) {
	for k := range o.user.All() {
		o.existed[k] = true
	}
	for i := range writes {
		v, there := writes[i].Fields["parent"]
		if !there || v == nil || writes[i].Op == record.Delete {
			continue
		}
		if k := record.MakeKey(v); !o.existed[k] && !o.named[k] && k != writes[i].Key {
			o.broken = fmt.Errorf("%s is sent %s, which refers to %s, and that was never there", o.name, show(writes[i].Fields), k)
		}
	}
}

// checkTree: what waits for another record waits for one that is not there, and somebody was told; references to what is known
// name it; and of what the document says about orphans nothing is left to do.
func (c *customer) checkTree(row *serviceRow, dead map[deliveryKey]bool, open map[record.EntityID]map[string]bool, fault func(string, ...any)) {
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		for _, o := range c.systems {
			k := deliveryKey{o.id, id}
			d := row.deliveries[k]
			if d == nil || d.waits != engine.WaitsReference {
				continue
			}
			if !dead[k] {
				fault("invariant 8: %s %s waits in %s for another record, and nobody was told: %+v", e.MatchKey, show(e.Fields), o.name, *d)
			}
			if p := row.entities[d.waitsFor]; p != nil && e.DeletedAt == nil && p.Links[o.id] != nil {
				fault("invariant 8: %s waits in %s for %s, which is there", e.MatchKey, o.name, p.MatchKey)
			}
		}
		if e.DeletedAt != nil {
			continue
		}
		ref, ok := record.ReferenceOf(e.Fields["parent"])
		if !ok {
			continue
		}
		if _, known := row.keys[linkKey{ref.System, ref.Object, ref.Key}]; known && ref.Entity.IsZero() && e.Links[ref.System] != nil && !row.isHeldIn(e, ref.System) {
			fault("%s refers to %s, which is known", e.MatchKey, ref.Text())
		}
		p := row.entities[ref.Entity]
		orphan := p != nil && p.DeletedAt != nil && len(e.Links) > 0
		if orphan && row.fate(e, "parent", p.ID) == engine.FateStays || orphan && row.isHeldIn(e, slices.Min(slices.Collect(maps.Keys(e.Links)))) {
			continue // somebody said so, or is asked
		}
		if policy := c.doc.Orphans(); orphan && policy != service.OrphansWait && open[id] == nil {
			fault("%s refers to %s, which is deleted, and orphans are to %s", e.MatchKey, p.MatchKey, policy)
		}
	}
}

// checkNames: that a record was deleted changes no reference to it (invariant 5). The key that is left of it in a system is no other record's name.
// A key that the record got only later does not tell: whoever wrote it before wrote something new.
func (c *customer) checkNames(row *serviceRow, fault func(string, ...any)) {
	for i, e := range row.journal {
		if e.Kind != record.Changed || e.Op != record.Updated {
			continue
		}
		was, before := record.ReferenceOf(e.Before["parent"])
		is, after := record.ReferenceOf(e.After["parent"])
		if before && after && is.Entity.IsZero() && row.wasKey(formerKey{linkKey{is.System, is.Object, is.Key}, was.Entity}, i) {
			fault("invariant 5: %s is said by %s to refer to %s now, by which it named %s before", row.entities[e.Entity].MatchKey, e.System, is.Text(), was.Text())
		}
	}
}

func (row *serviceRow) isHeldIn(e *record.Entity, system record.System) bool {
	l := e.Links[system]
	return l != nil && row.held[heldKey{system, l.Object, l.Key}] != nil
}

// told says whether there is an open dead letter of what is owed.
func (row *serviceRow) told(k deliveryKey) bool {
	return slices.ContainsFunc(row.dead, func(d *deadRow) bool {
		return !d.Inward && d.state == "open" && d.System == k.system && d.Entity == k.entity
	})
}
