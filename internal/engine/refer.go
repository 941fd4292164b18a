// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// References between records. Each system names another record by its own key. So the values of such fields are translated at
// the edge: what is read has the entity in place of the key, what is written the key that the entity has in that system. Inside,
// a reference is the same in all systems, and is compared, matched and decided about like any other value.
//
// A record that is not known yet is named as its system names it. References of that kind, and records that are written to a
// system where the one that they refer to is not yet, wait; they are looked at again when links come in, all at once
// (references), and each second besides, so that a notification that nobody sees loses nothing.

// Reference is a field of a seat whose values name records of another object of the same system.
type Reference struct {
	Field    string
	Native   string         // the column
	Type     connector.Type // of the column
	Nullable bool
	Parent   *Seat // whose records are named
	Circle   bool  // the parent's records may refer to this one's, directly or not
}

// Child is a field whose values name records of a collection.
type Child struct {
	Collection *Collection
	Field      string
}

// ReferenceRules are what the document says about references.
type ReferenceRules struct {
	Wait    time.Duration // how long a record waits before that is reported
	Orphans string        // service.OrphansWait, ...
	TwoPass bool
}

// directory knows which record is which.
type directory interface {
	// Linked says which entities have these keys in the object.
	Linked(ctx context.Context, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error)
}

// referring are the fields of a collection that refer to others.
type referring []string

func referringFields(doc *service.Document, collection string) (fields referring) {
	for _, r := range doc.References(doc.Collections()) {
		if r.Collection == collection {
			fields = append(fields, r.Field)
		}
	}
	return fields
}

// of finds the columns of the fields in an object. They are texts from now on: what the translation puts there.
func (f referring) of(info connector.ObjectInfo, fields []mapping.Field) (connector.ObjectInfo, []Reference, error) {
	if len(f) == 0 {
		return info, nil, nil
	}
	found, err := mapping.Compile(info, fields, make(map[string]connector.Type))
	if err != nil {
		return info, nil, err
	}
	var refs []Reference
	info.Fields = slices.Clone(info.Fields)
	for _, name := range f {
		if !found.Has(name) {
			continue
		}
		r := Reference{Field: name, Native: found.Native(name), Type: connector.TypeText, Nullable: true}
		i := slices.IndexFunc(info.Fields, func(c connector.FieldInfo) bool { return c.Name == r.Native })
		switch {
		case i >= 0:
			r.Type, r.Nullable = info.Fields[i].Type, info.Fields[i].Nullable
			info.Fields[i].Type = connector.TypeText
		case len(info.Fields) > 0 && !info.Open:
			return info, nil, &mapping.Error{Field: name, Reason: "it lies inside another field, so it cannot refer to a record"}
		}
		refs = append(refs, r)
	}
	return info, refs, nil
}

// refer joins the references with the seats that they lead to.
func (p *Plan) refer(doc *service.Document) error {
	refs := doc.References(doc.Collections())
	if len(refs) == 0 {
		return nil
	}
	p.References = ReferenceRules{Wait: doc.ReferenceWait(), Orphans: doc.Orphans(), TwoPass: doc.TwoPass()}
	byName := make(map[string]*Collection)
	for _, c := range p.Collections {
		byName[c.Name] = c
	}
	for _, r := range refs {
		child, parent := byName[r.Collection], byName[r.To]
		if child == nil {
			continue
		}
		if parent == nil {
			return fault.New(fault.Invalid, "service.reference_unshared", "%s of %s refers to %s, which only one system of this service has. Let the other systems take part in it, or leave the reference out.", r.Field, r.Collection, r.To)
		}
		parent.Children = append(parent.Children, Child{child, r.Field})
		for _, s := range child.Seats {
			i := slices.IndexFunc(s.Refs, func(x Reference) bool { return x.Field == r.Field })
			if i < 0 {
				continue
			}
			to := parent.Seats[s.System]
			switch {
			case to == nil:
				return fault.New(fault.Invalid, "service.reference_unshared", "%s of %s refers to %s, which %s does not take part with. Add its object to the system, or leave the field out there.", r.Field, s.Object, parent.Name, s.System)
			case len(to.Info.Key) > 1:
				return fault.New(fault.Invalid, "service.reference_composite", "%s of %s in %s refers to %s, whose key has %d fields; a reference needs a key of one.", r.Field, s.Object, s.System, to.Object, len(to.Info.Key))
			}
			s.Refs[i].Parent = to
		}
	}
	for _, c := range p.Collections {
		for _, s := range c.Seats {
			for i := range s.Refs {
				s.Refs[i].Circle = reaches(s.Refs[i].Parent.Collection, c, nil)
			}
		}
	}
	return p.breakable(refs)
}

// reaches says whether records of one collection refer to those of the other, directly or over others.
func reaches(from, to *Collection, seen []*Collection) bool {
	if from == to {
		return true
	}
	if slices.Contains(seen, from) {
		return false
	}
	seen = append(seen, from)
	for _, s := range from.Seats {
		for _, r := range s.Refs {
			if r.Parent != nil && reaches(r.Parent.Collection, to, seen) {
				return true
			}
		}
	}
	return false
}

// breakable refuses a circle of references in which a system allows none of them to be empty: no record could be written first.
func (p *Plan) breakable(refs []service.Refers) error {
	for _, c := range p.Collections {
		for _, s := range c.Seats {
			if !s.Writes {
				continue
			}
			// What is left when references that may be empty are taken out must be no circle.
			var firm []service.Refers
			for _, other := range p.Seats {
				if other.System != s.System {
					continue
				}
				for _, r := range other.Refs {
					if !r.Nullable {
						firm = append(firm, service.Refers{Collection: other.Collection.Name, Field: r.Field, To: r.Parent.Collection.Name})
					}
				}
			}
			if cycle := service.Cycle(firm); cycle != nil {
				return fault.New(fault.Invalid, "service.reference_cycle", "In %s these references go around in a circle, and none of them may be empty: %s. Allow one of these columns to be null, or leave the reference out.", s.System, service.Around(cycle))
			}
		}
	}
	return nil
}

// Inward puts the entities in place of the keys by which records that were read refer to others.
func (s *Seat) Inward(ctx context.Context, changes []record.Change) error {
	if s.links == nil {
		return nil
	}
	for i := range s.Refs {
		r := &s.Refs[i]
		var keys []record.Key
		for j := range changes {
			if k, ok := refersTo(&changes[j], r); ok {
				keys = append(keys, k)
			}
		}
		if len(keys) == 0 {
			continue
		}
		slices.Sort(keys)
		known, err := s.links.Linked(ctx, s.System, r.Parent.Object, slices.Compact(keys))
		if err != nil {
			return err
		}
		for j := range changes {
			c := &changes[j]
			k, ok := refersTo(c, r)
			if !ok {
				continue
			}
			ref := record.Reference{System: s.System, Object: r.Parent.Object, Key: k}
			ref.Entity = known[k]
			if i == 0 || len(c.Fields) > 0 {
				c.Fields = c.Fields.Clone()
			}
			c.Fields[r.Native] = ref.Text()
		}
	}
	return nil
}

// refersTo is the key that the record refers to, as it came from the system.
func refersTo(c *record.Change, r *Reference) (record.Key, bool) {
	v, there := c.Fields[r.Native]
	if c.Op == record.Delete || !there || v == nil || v == "" {
		return "", false
	}
	if _, done := record.ReferenceOf(v); done {
		return "", false
	}
	return record.MakeKey(v), true
}

// native is a reference as the system writes it; false when the record has no key there.
func (r *Reference) native(v record.Value, keys map[record.EntityID]record.Key) (record.Value, record.Reference, bool, error) {
	ref, ok := record.ReferenceOf(v)
	if !ok { // empty, or a person wrote the system's key
		out, err := mapping.Convert(v, r.Type)
		return out, ref, true, err
	}
	key, known := keys[ref.Entity]
	if ref.Entity.IsZero() {
		key, known = ref.Key, ref.System == r.Parent.System && ref.Object == r.Parent.Object
	}
	if !known {
		return nil, ref, false, nil
	}
	out, err := mapping.Convert(string(key), r.Type)
	return out, ref, true, err
}

// wanted are the entities that the writes refer to.
func wantedBy(s *Seat, sent []Sent) (ids []record.EntityID) {
	add := func(f record.Fields) {
		for i := range s.Refs {
			if ref, ok := record.ReferenceOf(f[s.Refs[i].Native]); ok && !ref.Entity.IsZero() {
				ids = append(ids, ref.Entity)
			}
		}
	}
	for i := range sent {
		add(sent[i].Fields)
		add(sent[i].Expect)
		add(sent[i].Whole)
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

// Outward puts the system's keys in place of the entities that the writes refer to. Writes whose records refer to one that is
// not there yet are parked: a new record as a whole, unless it may be written without the reference first; of one that is
// there only the reference waits. It is a function of its arguments.
func Outward(s *Seat, rules ReferenceRules, sent []Sent, keys map[record.EntityID]record.Key) (ready []Sent, parked []Parked, dead []DeadLetter) {
	if len(s.Refs) == 0 {
		return sent, nil, nil
	}
	for i := range sent {
		w := sent[i]
		var wait *Parked
		var broken error
		held := false // all of it waits
		for j := range s.Refs {
			r := &s.Refs[j]
			if v, there := w.Fields[r.Native]; there {
				native, ref, ok, err := r.native(v, keys)
				switch {
				case err != nil:
					broken = &mapping.Error{Field: r.Field, Reason: err.Error()}
				case ok:
					w.Fields[r.Native] = native
				default:
					if wait == nil {
						wait = &Parked{Entity: w.ID, Waits: WaitsReference, For: ref.Entity, version: w.Version, Why: whyWaits(s, r, ref)}
					}
					held = held || w.Create && !(rules.TwoPass && r.Nullable && r.Circle)
					delete(w.Fields, r.Native)
					delete(w.Values, r.Field)
					delete(w.Expect, r.Native)
				}
			}
			for _, f := range []record.Fields{w.Expect, w.Whole} {
				if v, there := f[r.Native]; there {
					if native, _, ok, err := r.native(v, keys); ok && err == nil {
						f[r.Native] = native
					} else {
						delete(f, r.Native) // the record is not there any more that it referred to
					}
				}
			}
		}
		switch {
		case broken != nil:
			dead = append(dead, DeadLetter{ID: newID(), System: s.System, Object: s.Object, Key: w.Key, Entity: w.ID, Op: w.Op, Code: "mapping.not_convertible",
				Message: fmt.Sprintf("The record cannot be sent to %s: %v.", s.System, broken), Payload: w.Values})
		case wait != nil && (held || len(w.Fields) == 0):
			parked = append(parked, *wait)
		default:
			ready = append(ready, w)
		}
	}
	return ready, parked, dead
}

// whyWaits says what is waited for, in a sentence for people.
func whyWaits(s *Seat, r *Reference, ref record.Reference) string {
	if ref.Entity.IsZero() {
		return fmt.Sprintf("%s refers to %s %s of %s, which is not known yet.", r.Field, ref.Object, ref.Key, ref.System)
	}
	return fmt.Sprintf("%s refers to a record of %s that %s does not have yet.", r.Field, r.Parent.Collection.Name, s.System)
}

// overdue is the dead letter of a record that waited too long for another.
func overdue(s *Seat, p *Parked, op record.Op, after time.Duration) DeadLetter {
	code, remedy := "reference.missing", "Sync or create that record, or correct the reference; this one then follows by itself."
	if p.deletes {
		code, remedy = "reference.children", "Delete those records, let them refer to another one, or set syncConfig.references.orphans; the deletion then follows by itself."
	}
	return DeadLetter{ID: newID(), System: s.System, Object: s.Object, Entity: p.Entity, Op: op, Code: code,
		Message: fmt.Sprintf("The record waits for another since %s: %s %s", after.Round(time.Second), p.Why, remedy)}
}

// RecordIn is a record as its system names it.
type RecordIn struct {
	System record.System
	Object record.Object
	Key    record.Key
}

// Refers says whether records of the collection refer to others.
func (c *Collection) Refers() bool {
	for _, s := range c.Seats {
		if len(s.Refs) > 0 {
			return true
		}
	}
	return false
}

func (p *Plan) refers() bool { return p.References.Wait > 0 }

// name tells the lane from the others of its flow.
func (l *lane) name() string {
	for _, other := range l.flow.lanes {
		if other != l && other.System == l.System {
			return string(l.System) + " " + string(l.Object)
		}
	}
	return string(l.System)
}

// Linked is the flow as the directory of its seats.
func (f *flow) Linked(ctx context.Context, system record.System, object record.Object, keys []record.Key) (known map[record.Key]record.EntityID, err error) {
	err = f.inTx(ctx, func(tx Tx) error {
		known, err = tx.Linked(ctx, f.guard.Service, system, object, keys)
		return err
	})
	return known, err
}

// nearby names records of the same page: one that refers to another of its own object is often read together with it.
func (b *batch) nearby(m *Mapped) {
	for i := range b.seat.Refs {
		r := &b.seat.Refs[i]
		if r.Parent != b.seat {
			continue
		}
		ref, ok := record.ReferenceOf(m.In[r.Field])
		if !ok || !ref.Entity.IsZero() || ref.System != b.seat.System || ref.Object != b.seat.Object {
			continue
		}
		if e := b.byKey[ref.Key]; e != nil {
			m.In = m.In.Clone()
			m.In[r.Field] = record.Reference{Entity: e.ID}.Text()
		}
	}
}

// restore puts entities in place of the keys in what the system says it stored.
func (s *Seat) restore(w *Sent) {
	for i := range s.Refs {
		r := &s.Refs[i]
		v, there := w.Receipt.Stored[r.Native]
		if !there || v == nil {
			continue
		}
		ref := record.Reference{System: s.System, Object: r.Parent.Object, Key: record.MakeKey(v)}.Text()
		if sent, ok := w.Fields[r.Native]; ok && record.Equal(sent, v) && w.Values[r.Field] != nil {
			ref = record.Text(w.Values[r.Field])
		}
		w.Receipt.Stored = w.Receipt.Stored.Clone()
		w.Receipt.Stored[r.Native] = ref
	}
}

// recalledInward is restore for what a system remembers to have stored.
func (l *lane) recalledInward(ctx context.Context, recalled map[record.EntityID]connector.Receipt) error {
	if len(l.Refs) == 0 {
		return nil
	}
	ids := slices.SortedFunc(maps.Keys(recalled), compareIDs)
	changes := make([]record.Change, len(ids))
	for i, id := range ids {
		changes[i] = record.Change{Key: recalled[id].Key, Op: record.Upsert, Fields: recalled[id].Stored}
	}
	if err := l.Inward(ctx, changes); err != nil {
		return err
	}
	for i, id := range ids {
		r := recalled[id]
		r.Stored = changes[i].Fields
		recalled[id] = r
	}
	return nil
}

// native gives the entities' fields with the system's keys in place of the records that they refer to.
func (l *lane) native(ctx context.Context, entities []*record.Entity) (func(e *record.Entity, field string) record.Value, error) {
	plain := func(e *record.Entity, field string) record.Value { return e.Fields[field] }
	if len(l.Refs) == 0 {
		return plain, nil
	}
	var ids []record.EntityID
	for _, e := range entities {
		for i := range l.Refs {
			if ref, ok := record.ReferenceOf(e.Fields[l.Refs[i].Field]); ok && !ref.Entity.IsZero() {
				ids = append(ids, ref.Entity)
			}
		}
	}
	keys, err := l.keysIn(ctx, ids)
	if err != nil {
		return nil, err
	}
	return func(e *record.Entity, field string) record.Value {
		for i := range l.Refs {
			if r := &l.Refs[i]; r.Field == field {
				v, _, _, _ := r.native(e.Fields[field], keys) // where there is no key, no record can have it
				return v
			}
		}
		return e.Fields[field]
	}, nil
}

func (l *lane) keysIn(ctx context.Context, ids []record.EntityID) (keys map[record.EntityID]record.Key, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	slices.SortFunc(ids, compareIDs)
	err = l.flow.inTx(ctx, func(tx Tx) error {
		keys, err = tx.KeysIn(ctx, l.flow.guard.Service, l.System, slices.Compact(ids))
		return err
	})
	return keys, err
}

// outward makes what is about to be written fit the system: keys in place of entities. What has to wait for another record is
// parked: children for their parents, and a deletion for the children that are still there.
func (l *lane) outward(ctx context.Context, a Attempt, sent []Sent) (ready []Sent, parked []Parked, dead []DeadLetter, err error) {
	rules := l.flow.plan.References
	if len(sent) == 0 || len(l.Refs) == 0 && len(l.Collection.Children) == 0 {
		return sent, nil, nil, nil
	}
	keys, err := l.keysIn(ctx, wantedBy(l.Seat, sent))
	if err != nil {
		return nil, nil, nil, err
	}
	ready, parked, dead = Outward(l.Seat, rules, sent, keys)
	if len(l.Collection.Children) == 0 {
		return ready, parked, dead, nil
	}
	var going []record.EntityID
	for i := range ready {
		if ready[i].Op == record.Delete {
			going = append(going, ready[i].ID)
		}
	}
	if len(going) == 0 {
		return ready, parked, dead, nil
	}
	var children map[record.EntityID]record.EntityID
	now := time.Now()
	err = l.flow.inTx(ctx, func(tx Tx) (err error) {
		now = tx.Now()
		children, err = tx.Referring(ctx, l.flow.guard.Service, l.System, going)
		return err
	})
	ready = slices.DeleteFunc(ready, func(w Sent) bool {
		child, has := children[w.ID]
		// What waited long enough is tried: records that refer to each other all wait.
		if !has || w.Op != record.Delete || now.Sub(l.waitsSince(a, w.ID, now)) >= 2*rules.Wait {
			return false
		}
		parked = append(parked, Parked{Entity: w.ID, Waits: WaitsReference, For: child, version: w.Version, deletes: true,
			Why: fmt.Sprintf("Other records of %s refer to it.", l.System)})
		return true
	})
	return ready, parked, dead, err
}

// waitsSince says since when the delivery is owed.
func (l *lane) waitsSince(a Attempt, id record.EntityID, now time.Time) time.Time {
	if at, ok := a.OwedAt[id]; ok && a.Backlog {
		return at
	}
	return now
}

// lookLater parks what waits for other records, and reports what has waited too long. A deletion that the system itself refuses
// while it may still hold records that refer to what is deleted is tried again until then.
func (l *lane) lookLater(st *Settlement, a Attempt, entities []*record.Entity, sent []Sent, rest remaining, now time.Time) {
	rules := l.flow.plan.References
	if !l.flow.plan.refers() {
		return
	}
	versions := make(map[record.EntityID]int64)
	if len(rest.parked) > 0 {
		for _, e := range entities {
			versions[e.ID] = e.Version
		}
	}
	for _, p := range rest.parked {
		if versions[p.Entity] != p.version {
			// It was changed meanwhile; perhaps it refers to another record now.
			st.Parked = append(st.Parked, Parked{Entity: p.Entity, Until: now})
			continue
		}
		p.Since = l.waitsSince(a, p.Entity, now)
		waited := now.Sub(p.Since)
		p.Until = p.Since.Add(rules.Wait)
		if waited >= rules.Wait {
			op := record.Upsert
			p.Until = now.Add(longestWait)
			if p.deletes {
				op, p.Until = record.Delete, p.Since.Add(2*rules.Wait)
				if !p.Until.After(now) {
					p.Until = now.Add(rules.Wait)
				}
			}
			st.Dead = append(st.Dead, overdue(l.Seat, &p, op, waited))
			st.Rejected++
		}
		st.Parked = append(st.Parked, p)
	}
	if len(l.Collection.Children) == 0 {
		return
	}
	kept := st.Dead[:0]
	for _, d := range st.Dead {
		since := l.waitsSince(a, d.Entity, now)
		waited := now.Sub(since)
		if d.Op != record.Delete || d.Code == "reference.children" || waited >= rules.Wait || !slices.ContainsFunc(sent, func(w Sent) bool { return w.ID == d.Entity }) {
			kept = append(kept, d)
			continue
		}
		st.Rejected--
		st.Parked = append(st.Parked, Parked{Entity: d.Entity, Waits: WaitsReference, Since: since, Until: now.Add(min(max(waited, time.Second), 30*time.Second)),
			deletes: true, Why: fmt.Sprintf("%s does not delete it yet: %s", l.System, d.Message)})
		for i := range st.Links {
			if st.Links[i].Entity == d.Entity && st.Links[i].State == record.Rejected {
				st.Links[i].State = record.Pending
			}
		}
	}
	st.Dead = kept
}

// parentsFirst lets a first reading wait until the records that this one's may refer to are there, in all systems.
func (l *lane) parentsFirst(ctx context.Context) {
	l.mu.Lock()
	first := l.pos.Phase == connector.Snapshot
	l.mu.Unlock()
	if !first {
		return
	}
	var parents []*lane
	for _, other := range l.flow.lanes {
		for _, s := range l.Collection.Seats {
			for i := range s.Refs {
				if r := &s.Refs[i]; !r.Circle && r.Parent.Collection == other.Collection && !slices.Contains(parents, other) {
					parents = append(parents, other)
				}
			}
		}
	}
	for _, p := range parents {
		select {
		case <-p.complete:
		default:
			select {
			case <-p.complete:
			case <-ctx.Done():
			}
			woke(ctx)
		}
	}
	// And delivered, as far as the systems take them now.
	for wait := 10 * time.Millisecond; ctx.Err() == nil && len(parents) > 0; wait = min(2*wait, time.Second) {
		var owing map[SeatID]Owing
		now := time.Now()
		err := l.flow.inTx(ctx, func(tx Tx) (err error) {
			now = tx.Now()
			owing, err = tx.Owing(ctx, l.flow.guard.Service)
			return err
		})
		if err != nil {
			return
		}
		busy := false
		for _, p := range parents {
			o := owing[SeatID{p.System, p.Collection.Name}]
			p.mu.Lock()
			busy = busy || p.sending > 0 || p.Writes && o.Count > 0 && !o.DueAt.After(now) && now.After(p.failing)
			p.mu.Unlock()
		}
		if !busy || !sleep(ctx, wait, nil) {
			return
		}
	}
}

// linkedNow says that links came or went, or that records began to wait for some.
func (f *flow) linkedNow() {
	if !f.plan.refers() {
		return
	}
	f.mu.Lock()
	f.links++
	f.mu.Unlock()
	signal(f.linked)
}

// tangleBatch is how many records are looked at again at once.
const tangleBatch = 500

// references lets records go on that waited for others.
func (f *flow) references(ctx context.Context) error {
	var before []RecordIn
	for {
		f.mu.Lock()
		links := f.links
		f.mu.Unlock()
		found, err := f.untangle(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil:
			f.log.Warn("looking for records that waited for others; it is tried again", "error", err)
		case len(found) == 0 || slices.Equal(found, before):
			f.mu.Lock()
			f.untied = links
			f.mu.Unlock()
		default:
			signal(f.linked)
		}
		before = found
		if !sleep(ctx, controlEvery, f.linked) {
			return nil
		}
	}
}

// untangle makes due what waited for a record that is there now, reads those again that name one which is known now, and carries
// out what the document says of records whose parent was deleted. It returns what it found.
func (f *flow) untangle(ctx context.Context) (found []RecordIn, err error) {
	var released int64
	var orphans, quarantined []RecordIn
	var names []record.Reference
	err = f.inTx(ctx, func(tx Tx) (err error) {
		if released, err = tx.ReleaseWaiting(ctx, f.guard); err != nil {
			return err
		}
		if found, err = tx.FoundReferences(ctx, f.guard.Service, tangleBatch); err != nil {
			return err
		}
		if quarantined, names, err = tx.Quarantined(ctx, f.guard.Service, tangleBatch); err != nil || len(quarantined) == 0 {
			return err
		}
		for i, r := range quarantined {
			known, err := tx.Linked(ctx, f.guard.Service, names[i].System, names[i].Object, []record.Key{names[i].Key})
			if err != nil {
				return err
			}
			if len(known) > 0 && !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
		return nil
	})
	if err == nil && f.plan.References.Orphans != service.OrphansWait {
		err = f.inTx(ctx, func(tx Tx) (err error) {
			orphans, err = tx.Orphans(ctx, f.guard.Service, tangleBatch)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	for _, l := range f.lanes {
		if released > 0 {
			signal(l.duty)
		}
		var keys, alone []record.Key
		for _, r := range found {
			if r.System == l.System && r.Object == l.Object {
				keys = append(keys, r.Key)
			}
		}
		for _, r := range orphans {
			if r.System == l.System && r.Object == l.Object {
				alone = append(alone, r.Key)
			}
		}
		if len(keys) == 0 && len(alone) == 0 {
			continue
		}
		if err := l.again(ctx, keys, alone); err != nil {
			return nil, err
		}
	}
	if released > 0 {
		found = append(found, RecordIn{Key: record.Key(fmt.Sprint(released))})
	}
	return append(found, orphans...), nil
}

func (l *lane) again(ctx context.Context, keys, alone []record.Key) error {
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		if isStop(err) {
			return err
		}
		return nil // it fails; later
	}
	if len(keys) > 0 {
		if err := l.reread(ctx, keys); err != nil {
			return err
		}
	}
	if len(alone) > 0 {
		return l.orphaned(ctx, alone)
	}
	return nil
}

// orphaned deletes the records, or empties their reference, because the one that they refer to was deleted. The lane's lock is
// held.
func (l *lane) orphaned(ctx context.Context, keys []record.Key) error {
	f := l.flow
	collection := f.commit[l.Collection.Name]
	collection.take(ctx)
	defer collection.release()
	var out Outcome
	err := f.inTx(ctx, func(tx Tx) error {
		loaded, err := tx.Load(ctx, f.guard, l.Seat, keys, make([]string, len(keys)))
		if err != nil {
			return err
		}
		var parents []record.EntityID
		for _, e := range loaded.Entities {
			for _, p := range parentsOf(l.Collection, e) {
				parents = append(parents, p)
			}
		}
		gone, err := tx.DeletedOf(ctx, f.guard.Service, parents)
		if err != nil {
			return err
		}
		out = Orphaned(l.Seat, loaded, gone, f.plan.References.Orphans, tx.Now())
		in := Intake{Seat: l.Seat, Outcome: out, Owed: out.Owed, Usage: l.usageOf(out, tx.Now())}
		return tx.SaveIntake(ctx, f.guard, in)
	})
	if err != nil {
		return err
	}
	l.outdate(out)
	for system := range out.Owed {
		if target := f.laneOf(system, l.Collection); target != nil {
			signal(target.duty)
		}
	}
	f.linkedNow()
	return nil
}

// parentsOf are the records that the entity refers to, by field.
func parentsOf(c *Collection, e *record.Entity) map[string]record.EntityID {
	out := make(map[string]record.EntityID)
	for _, s := range c.Seats {
		for i := range s.Refs {
			if ref, ok := record.ReferenceOf(e.Fields[s.Refs[i].Field]); ok && !ref.Entity.IsZero() {
				out[s.Refs[i].Field] = ref.Entity
			}
		}
	}
	return out
}

// byReferences is how the history names what the document's rule for orphans did.
const byReferences = "references"

// Orphaned decides what becomes of entities that refer to deleted ones. It is a function of its arguments.
func Orphaned(seat *Seat, loaded Loaded, gone map[record.EntityID]bool, policy string, now time.Time) Outcome {
	b := newBatch(seat, loaded, now, uuid.Nil)
	for _, e := range loaded.Entities {
		if e.DeletedAt != nil {
			continue
		}
		parents := parentsOf(seat.Collection, e)
		for _, f := range sortedKeys(parents) {
			if !gone[parents[f]] || e.DeletedAt != nil {
				continue
			}
			if policy == service.OrphansDelete {
				b.kill(e, now)
				e.Stamps[record.WholeRecord] = record.Stamp{System: record.Person, At: now}
				b.journal(e, record.Deleted, e.Fields, nil)
			} else {
				before := record.Fields{f: e.Fields[f]}
				b.setField(e, nil, f, nil, record.Stamp{System: record.Person, At: now})
				b.journal(e, record.Updated, before, record.Fields{f: nil})
			}
			entry := &b.out.Journal[len(b.out.Journal)-1]
			entry.Kind, entry.Actor, entry.System = record.Decided, byReferences, record.Person
		}
		for _, s := range seat.Collection.Seats {
			if Owes(e, s) {
				b.owe(e, s.System, &record.Change{At: now})
			}
		}
	}
	b.collect()
	for _, ids := range b.out.Owed {
		slices.SortFunc(ids, compareIDs)
	}
	return b.out
}
