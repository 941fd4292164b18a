// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// References as internal/store/refer.go keeps them; here they are read from the entities' fields.

// references calls fn for each reference of each entity, in their order.
func (row *serviceRow) references(fn func(e *record.Entity, field string, r record.Reference)) {
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		for _, f := range slices.Sorted(maps.Keys(e.Fields)) {
			if r, ok := record.ReferenceOf(e.Fields[f]); ok {
				fn(e, f, r)
			}
		}
	}
}

// Linked says which entities have these keys in the object.
func (t *Tx) Linked(_ context.Context, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error) {
	out := make(map[record.Key]record.EntityID)
	return out, t.read(s, func(row *serviceRow) error {
		for _, k := range keys {
			if id, ok := row.keys[linkKey{system, object, k}]; ok {
				out[k] = id
			}
		}
		return nil
	})
}

// KeysIn says which keys the entities have in the system.
func (t *Tx) KeysIn(_ context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.Key, error) {
	out := make(map[record.EntityID]record.Key)
	return out, t.read(s, func(row *serviceRow) error {
		for _, id := range ids {
			if e := row.entities[id]; e != nil && e.Links[system] != nil {
				out[id] = e.Links[system].Key
			}
		}
		return nil
	})
}

// FormerKeysIn says which keys the entities had in the system of records that are theirs no more.
func (t *Tx) FormerKeysIn(_ context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID][]record.Key, error) {
	out := make(map[record.EntityID][]record.Key)
	return out, t.read(s, func(row *serviceRow) error {
		for _, id := range ids {
			if keys := row.former[deliveryKey{system, id}]; len(keys) > 0 {
				out[id] = slices.Clone(keys)
			}
		}
		return nil
	})
}

// Referring names one of the records that refer to each of the entities in the system.
func (t *Tx) Referring(_ context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.EntityID, error) {
	out := make(map[record.EntityID]record.EntityID)
	return out, t.read(s, func(row *serviceRow) error {
		row.references(func(e *record.Entity, _ string, r record.Reference) {
			if _, known := out[r.Entity]; !known && slices.Contains(ids, r.Entity) && e.ID != r.Entity && e.Links[system] != nil {
				out[r.Entity] = e.ID
			}
		})
		return nil
	})
}

// ReleaseWaiting makes deliveries due whose wait for another record is over.
func (t *Tx) ReleaseWaiting(ctx context.Context, g engine.Guard) (n int64, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return 0, err
	}
	over := func(row *serviceRow) (list []deliveryKey) {
		for k, d := range row.deliveries {
			e := row.entities[k.entity]
			if d.waits != engine.WaitsReference || e == nil {
				continue
			}
			if e.DeletedAt == nil && !needs(e, k.system, d.waitsFor) {
				list = append(list, k)
				continue
			}
			if d.waitsFor.IsZero() {
				if l := e.Links[k.system]; e.DeletedAt != nil && (l == nil || l.State == record.Frozen) {
					list = append(list, k)
				}
				continue
			}
			parent := row.entities[d.waitsFor]
			there := parent != nil && parent.Links[k.system] != nil
			if e.DeletedAt != nil && there {
				there = refersToEntity(parent, k.entity)
			}
			if there == (e.DeletedAt == nil) {
				list = append(list, k)
			}
		}
		slices.SortFunc(list, func(a, b deliveryKey) int {
			return cmp.Or(bytes.Compare(a.entity[:], b.entity[:]), cmp.Compare(a.system, b.system))
		})
		return list
	}
	var list []deliveryKey
	if err := t.read(g.Service, func(row *serviceRow) error { list = over(row); return nil }); err != nil {
		return 0, err
	}
	for _, k := range list {
		if err := t.lock(ctx, "delivery "+string(k.system)+" "+k.entity.String(), true); err != nil {
			return 0, err
		}
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return 0, err
	}
	t.write(func() {
		still := over(row)
		for _, k := range list {
			if slices.Contains(still, k) {
				d := row.deliveries[k]
				d.due, d.waits, d.waitsFor = t.now, "", record.EntityID{}
			}
		}
	})
	return int64(len(list)), nil
}

// needs says whether the entity refers to the other one, or for zero to any that is not known, by a name that the system has no key for.
func needs(e *record.Entity, in record.System, to record.EntityID) bool {
	for _, v := range e.Fields {
		if r, ok := record.ReferenceOf(v); ok && r.Entity == to && r.System != in {
			return true
		}
	}
	return false
}

func refersToEntity(e *record.Entity, to record.EntityID) bool {
	for _, v := range e.Fields {
		if r, ok := record.ReferenceOf(v); ok && r.Entity == to {
			return true
		}
	}
	return false
}

// Following counts the living records that refer to the entities, or to what the hold is about, and unless direct is set on and on.
func (t *Tx) Following(ctx context.Context, s service.ID, ids []record.EntityID, hold uuid.UUID, direct bool) (n int64, err error) {
	if err := t.step(ctx, "following"); err != nil {
		return 0, err
	}
	return n, t.read(s, func(row *serviceRow) error {
		gone := make(map[record.EntityID]bool)
		for _, id := range ids {
			gone[id] = true
		}
		for _, h := range row.heldBy(hold) {
			gone[h.Entity] = true
		}
		parents, follows := maps.Clone(gone), make(map[record.EntityID]bool)
		for more := true; more; more = more && !direct {
			more = false
			next := make(map[record.EntityID]bool)
			row.references(func(e *record.Entity, _ string, r record.Reference) {
				if e.DeletedAt == nil && parents[r.Entity] && !follows[e.ID] {
					follows[e.ID], next[e.ID], more = true, true, true
				}
			})
			parents = next
		}
		for id := range follows {
			if !gone[id] {
				n++
			}
		}
		return nil
	})
}

// CountLiving counts living entities of the collections, up to a number.
func (t *Tx) CountLiving(_ context.Context, s service.ID, collections []string, upTo int64) (n int64, err error) {
	return n, t.read(s, func(row *serviceRow) error {
		for _, e := range row.entities {
			if e.DeletedAt == nil && slices.Contains(collections, e.Collection) && n < upTo {
				n++
			}
		}
		return nil
	})
}

func sortedRecords(list []engine.RecordIn, limit int) []engine.RecordIn {
	slices.SortFunc(list, func(a, b engine.RecordIn) int {
		return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Key, b.Key))
	})
	list = slices.Compact(list)
	return list[:min(len(list), limit)]
}

// FoundReferences lists records whose entity names one as unknown that is known meanwhile.
func (t *Tx) FoundReferences(_ context.Context, s service.ID, limit int) (list []engine.RecordIn, err error) {
	err = t.read(s, func(row *serviceRow) error {
		row.references(func(e *record.Entity, _ string, r record.Reference) {
			if !r.Entity.IsZero() {
				return
			}
			if _, known := row.keys[linkKey{r.System, r.Object, r.Key}]; known && e.Links[r.System] != nil {
				list = append(list, engine.RecordIn{System: r.System, Object: e.Links[r.System].Object, Key: e.Links[r.System].Key})
			}
		})
		return nil
	})
	return sortedRecords(list, limit), err
}

// Quarantined lists records that wait in quarantine because one that they refer to is not known.
func (t *Tx) Quarantined(_ context.Context, s service.ID, limit int) (list []engine.RecordIn, names []record.Reference, err error) {
	err = t.read(s, func(row *serviceRow) error {
		for _, d := range row.dead {
			if r, ok := record.ReferenceOf(d.Payload[d.Field]); ok && d.Inward && d.state == "open" && d.Code == "reference.missing" && len(list) < limit {
				list, names = append(list, engine.RecordIn{System: d.System, Object: d.Object, Key: d.Key}), append(names, r)
			}
		}
		return nil
	})
	return list, names, err
}

// fated is what was decided of a reference; it is forgotten when the field refers to another record.
type fated struct {
	parent record.EntityID
	fate   engine.Fate
}

type referenceKey struct {
	entity record.EntityID
	field  string
}

func (row *serviceRow) fate(e *record.Entity, field string, parent record.EntityID) engine.Fate {
	if f := row.fates[referenceKey{e.ID, field}]; f.parent == parent {
		return f.fate
	}
	return ""
}

// orphans calls fn for each reference of a living record to a deleted one, with the link by which the record is named.
func (row *serviceRow) orphans(fn func(e *record.Entity, l *record.Link, field string, parent record.EntityID)) {
	row.references(func(e *record.Entity, field string, r record.Reference) {
		parent := row.entities[r.Entity]
		if e.DeletedAt == nil && parent != nil && parent.DeletedAt != nil && len(e.Links) > 0 {
			fn(e, e.Links[slices.Min(slices.Collect(maps.Keys(e.Links)))], field, parent.ID)
		}
	})
}

// Orphans lists records, each in one of its systems, that refer to a deleted one and follow it; and those that were not weighed.
func (t *Tx) Orphans(_ context.Context, s service.ID, limit int) (follow, unasked []engine.RecordIn, err error) {
	err = t.read(s, func(row *serviceRow) error {
		row.orphans(func(e *record.Entity, l *record.Link, field string, parent record.EntityID) {
			switch r := (engine.RecordIn{System: l.System, Object: l.Object, Key: l.Key}); row.fate(e, field, parent) {
			case engine.FateFollows:
				follow = append(follow, r)
			case "":
				if row.held[heldKey{l.System, l.Object, l.Key}] == nil {
					unasked = append(unasked, r)
				}
			}
		})
		return nil
	})
	return sortedRecords(follow, limit), sortedRecords(unasked, limit), err
}

// Unasked lists the seat's orphans that were not weighed.
func (t *Tx) Unasked(ctx context.Context, s service.ID, seat *engine.Seat) (list []record.EntityID, err error) {
	if err := t.step(ctx, "unasked"); err != nil {
		return nil, err
	}
	return list, t.read(s, func(row *serviceRow) error {
		row.orphans(func(e *record.Entity, l *record.Link, field string, parent record.EntityID) {
			if l.System == seat.System && l.Object == seat.Object && row.fate(e, field, parent) == "" && row.held[heldKey{l.System, l.Object, l.Key}] == nil && !slices.Contains(list, e.ID) {
				list = append(list, e.ID)
			}
		})
		return nil
	})
}

// SaveFate writes what becomes of orphans that were not weighed.
func (t *Tx) SaveFate(_ context.Context, s service.ID, orphans []record.EntityID, fate engine.Fate) error {
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	orphans = slices.Clone(orphans)
	t.write(func() {
		row.orphans(func(e *record.Entity, _ *record.Link, field string, parent record.EntityID) {
			if slices.Contains(orphans, e.ID) && row.fate(e, field, parent) == "" {
				row.fates[referenceKey{e.ID, field}] = fated{parent, fate}
			}
		})
	})
	return nil
}

// StayOrphan says that the record stays as it is although what these fields of it refer to is deleted, whatever was decided before.
func (t *Tx) StayOrphan(_ context.Context, s service.ID, id record.EntityID, fields []string) error {
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	t.write(func() {
		row.orphans(func(e *record.Entity, _ *record.Link, field string, parent record.EntityID) {
			if e.ID == id && slices.Contains(fields, field) {
				row.fates[referenceKey{e.ID, field}] = fated{parent, engine.FateStays}
			}
		})
	})
	return nil
}

// FollowDeleted says that what refers to these entities is weighed with their deletion; unless direct is set, also what refers to that, and
// so on.
func (t *Tx) FollowDeleted(_ context.Context, s service.ID, deleted []record.EntityID, direct bool) error {
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	deleted = slices.Clone(deleted)
	t.write(func() {
		going := make(map[record.EntityID]bool)
		for _, id := range deleted {
			going[id] = true
		}
		for more := !direct; more; {
			more = false
			row.references(func(e *record.Entity, field string, r record.Reference) {
				if e.DeletedAt == nil && going[r.Entity] && !going[e.ID] && row.fate(e, field, r.Entity) != engine.FateStays {
					going[e.ID], more = true, true
				}
			})
		}
		row.references(func(e *record.Entity, field string, r record.Reference) {
			if going[r.Entity] && row.fate(e, field, r.Entity) == "" {
				row.fates[referenceKey{e.ID, field}] = fated{r.Entity, engine.FateFollows}
			}
		})
	})
	return nil
}

// TidyOrphans forgets what was decided of references to records that live, or live again, and do not follow another; and lets go what is held
// of no orphans.
func (t *Tx) TidyOrphans(_ context.Context, s service.ID, held, ruled bool) error {
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	t.write(func() {
		follows := make(map[record.EntityID]bool)
		row.references(func(e *record.Entity, field string, r record.Reference) {
			follows[e.ID] = follows[e.ID] || r.Entity != e.ID && row.fate(e, field, r.Entity) == engine.FateFollows
		})
		for k, f := range row.fates {
			if p := row.entities[f.parent]; p == nil || p.DeletedAt == nil && (f.fate == engine.FateStays || !follows[p.ID]) {
				delete(row.fates, k)
			}
		}
		still := make(map[record.EntityID]bool)
		row.orphans(func(e *record.Entity, _ *record.Link, field string, parent record.EntityID) {
			still[e.ID] = still[e.ID] || row.fate(e, field, parent) == ""
		})
		for k, h := range row.held {
			open := slices.ContainsFunc(row.holds, func(o *engine.Hold) bool { return o.ID == h.hold && o.State == engine.HoldOpen })
			if held && h.Kind == engine.HoldOrphans && open && (!ruled || !still[h.Entity]) {
				delete(row.held, k)
			}
		}
	})
	return nil
}

// Follows says which fields of the orphans refer to a deleted record that they follow.
func (t *Tx) Follows(_ context.Context, s service.ID, orphans []record.EntityID) (map[record.EntityID][]string, error) {
	out := make(map[record.EntityID][]string)
	return out, t.read(s, func(row *serviceRow) error {
		row.orphans(func(e *record.Entity, _ *record.Link, field string, parent record.EntityID) {
			if slices.Contains(orphans, e.ID) && row.fate(e, field, parent) == engine.FateFollows {
				out[e.ID] = append(out[e.ID], field)
			}
		})
		return nil
	})
}
