// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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
// A record that is not known yet is named as its system names it; what refers to it waits, see wait.go.

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
	found, err := mapping.Compile(info, fields, make(map[string]mapping.Kind), nil)
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

// said is what was to be written, with entities in place of the keys of other records: so it is compared with what an entity says.
func (s *Seat) said(w *Sent) record.Fields {
	out := w.Fields
	for i := range s.Refs {
		r := &s.Refs[i]
		if v := w.Values[r.Field]; v != nil && w.Fields[r.Native] != nil {
			out = out.Clone()
			out[r.Native] = v
		}
	}
	return out
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
	plain := func(e *record.Entity, field string) record.Value { return l.Map.Wire(field, e.Fields[field]) }
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
		return plain(e, field)
	}, nil
}

// sameNames gives back what the entities' records were known to refer to, where reading them by name tells nothing else: the record that is
// named is gone and left its key behind, or it was named before it was known. Either would be taken for a change that nobody made.
func (l *lane) sameNames(ctx context.Context, known []*record.Entity, changes []record.Change) error {
	read := make([]*record.Change, len(changes))
	for i := range changes {
		read[i] = &changes[i]
	}
	names := l.names(known, read)
	if len(names) == 0 {
		return nil
	}
	return l.flow.inTx(ctx, func(tx Tx) error {
		return resolve(names, l.naming(ctx, tx), func(n *name, ref record.Value) {
			n.change.Fields = n.change.Fields.Clone()
			n.change.Fields[n.ref.Native] = ref
		})
	})
}

// naming tells by which keys the system names entities, and named them.
type naming func(ids []record.EntityID) (keys map[record.EntityID]record.Key, former map[record.EntityID][]record.Key, err error)

func (l *lane) naming(ctx context.Context, tx Tx) naming {
	return func(ids []record.EntityID) (keys map[record.EntityID]record.Key, former map[record.EntityID][]record.Key, err error) {
		return namesIn(ctx, tx, l.flow.guard.Service, l.System, ids)
	}
}

// namingTx is what knows them.
type namingTx interface {
	// KeysIn says which keys the entities have in the system.
	KeysIn(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.Key, error)
	// FormerKeysIn says which keys the entities had in the system of records that are theirs no more. They are kept of what others may
	// refer to.
	FormerKeysIn(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID][]record.Key, error)
}

// namesIn are the keys that the service knows of the entities in the system, and those of records there that were theirs before.
func namesIn(ctx context.Context, tx namingTx, s service.ID, system record.System, ids []record.EntityID) (keys map[record.EntityID]record.Key, former map[record.EntityID][]record.Key, err error) {
	if keys, err = tx.KeysIn(ctx, s, system, ids); err != nil {
		return nil, nil, err
	}
	former, err = tx.FormerKeysIn(ctx, s, system, ids)
	return keys, former, err
}

// sameNames is what a lane's is, for a page that is about to be committed or, by a plan, kept aside.
func (s *Seat) sameNames(known []*record.Entity, mapped []Mapped, by naming) error {
	if len(s.Refs) == 0 {
		return nil
	}
	read, of := make([]*record.Change, len(mapped)), make(map[*record.Change]*Mapped, len(mapped))
	for i := range mapped {
		read[i], of[mapped[i].Change] = mapped[i].Change, &mapped[i]
	}
	return resolve(s.names(known, read), by, func(n *name, ref record.Value) { of[n.change].refers(s, n.ref, ref) })
}

// name is what a record was read to refer to, where that is not what it was known to refer to.
type name struct {
	change *record.Change
	ref    *Reference
	is     record.Reference
	was    []record.Value // what the system was known to hold, and what the entity says
}

// names lists those by which the changes refer to other records than the system was known to.
func (s *Seat) names(known []*record.Entity, changes []*record.Change) (names []name) {
	if len(s.Refs) == 0 {
		return nil
	}
	byKey := make(map[record.Key]*record.Entity, len(known))
	for _, e := range known {
		if l := e.Links[s.System]; l != nil && l.Object == s.Object {
			byKey[l.Key] = e
		}
	}
	for _, c := range changes {
		e := byKey[c.Key]
		if e == nil || c.Op == record.Delete {
			continue
		}
		for i := range s.Refs {
			r := &s.Refs[i]
			n := name{change: c, ref: r}
			var named bool
			if n.is, named = record.ReferenceOf(c.Fields[r.Native]); !named {
				continue
			}
			held := e.Links[s.System].Shadow(e, r.Field)
			if record.Equal(held, c.Fields[r.Native]) {
				continue
			}
			for _, v := range []record.Value{held, e.Fields[r.Field]} {
				if _, ok := record.ReferenceOf(v); ok && (len(n.was) == 0 || !record.Equal(v, n.was[0])) {
					n.was = append(n.was, v)
				}
			}
			if len(n.was) > 0 {
				names = append(names, n)
			}
		}
	}
	return names
}

// resolve calls same for each of the names that stands for what was known.
func resolve(names []name, by naming, same func(*name, record.Value)) error {
	var ids []record.EntityID
	for i := range names {
		ids = append(ids, names[i].is.Entity)
		for _, v := range names[i].was {
			ref, _ := record.ReferenceOf(v)
			ids = append(ids, ref.Entity)
		}
	}
	slices.SortFunc(ids, compareIDs)
	if ids = slices.DeleteFunc(slices.Compact(ids), record.EntityID.IsZero); len(ids) == 0 {
		return nil
	}
	keys, former, err := by(ids)
	if err != nil {
		return err
	}
	for i := range names {
		n := &names[i]
		for _, v := range n.was {
			if was, _ := record.ReferenceOf(v); n.ref.sameName(was, n.is, keys, former) {
				same(n, v)
				break
			}
		}
	}
	return nil
}

// sameName says whether the key that was read stands for what the record was known to refer to; keys are those of entities in the
// system, former those of records that were theirs before.
func (r *Reference) sameName(was, is record.Reference, keys map[record.EntityID]record.Key, former map[record.EntityID][]record.Key) bool {
	key := func(ref record.Reference) (record.Key, bool) {
		if ref.Entity.IsZero() {
			return ref.Key, ref.System == r.Parent.System && ref.Object == r.Parent.Object
		}
		k, known := keys[ref.Entity]
		return k, known
	}
	now, there := key(is)
	if !there {
		return false
	}
	if before, known := key(was); known && before == now {
		return true
	}
	// Nobody has the key any more: it still names the record that had it.
	return is.Entity.IsZero() && slices.Contains(former[was.Entity], now)
}

// refers puts what the record was known to refer to in place of the name by which it was read.
func (m *Mapped) refers(seat *Seat, r *Reference, v record.Value) {
	m.Fields = m.Fields.Clone()
	m.Fields[r.Native] = v
	var unknown *unknownParent
	switch _, there := m.In[r.Field]; {
	case errors.As(m.Err, &unknown):
		m.In, m.Err = seat.Map.In(m.Fields)
		m.check(seat)
	case there:
		m.In = m.In.Clone()
		m.In[r.Field] = v
		if m.Err == nil {
			m.recognise(seat)
		}
	}
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
