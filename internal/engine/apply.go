// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
)

// Loaded is what the commit's transaction read and locked for a batch: the entities that the batch's records may belong
// to, with all their links, and their open conflicts.
type Loaded struct {
	Entities  []*record.Entity
	Conflicts []*Conflict // open ones of these entities
	Alike     []Alike     // entities that may be the same as records of the batch, where likeness is looked for
	Acting    []Acting    // what business rules did with these entities that meet them still
	Repeated  []Repeated  // records that say what records of the batch say, where a check compares
}

// Conflict is two systems' claim to one field, open or settled.
type Conflict struct {
	ID         uuid.UUID
	Entity     record.EntityID
	Collection string
	Field      string // record.WholeRecord: deleted by one side, changed by the other
	Base       record.Value
	Sides      []conflict.Side // the entity's side first
	Open       bool
	Strategy   conflict.Strategy
	Winner     record.System
	Result     record.Value
	Reason     string
	DecidedBy  string // a person's or key's name; empty when a rule decided
	OpenedAt   time.Time
	ResolvedAt *time.Time
	Version    int64

	isNew bool
}

// IsNew says whether the conflict is not stored yet.
func (c *Conflict) IsNew() bool { return c.isNew }

// DeadLetter is a change that could not be taken in or sent out (invariant 2).
type DeadLetter struct {
	ID        uuid.UUID
	Inward    bool
	System    record.System
	Object    record.Object
	Key       record.Key
	Entity    record.EntityID // zero for one that did not get in
	Op        record.Op
	Code      string
	Message   string
	Payload   record.Fields // the record as the system gave it, or as it was sent
	Field     string        // what is wrong, where one field is: the entity's, or the system's where the mapping failed
	Rule      string        // the rule it breaks, in the document's word
	SettleKey bool
}

// OwedSince is since when the oldest of the duties is owed. One that was taken on by the commit that causes it is owed from then on:
// what OwedAt has of it is the origin's time, which may be years ago.
func (a Attempt) OwedSince(now time.Time) time.Time {
	since := now
	if a.Backlog || a.Lost {
		for _, id := range a.Entities {
			if at := a.OwedAt[id]; !at.IsZero() && at.Before(since) {
				since = at
			}
		}
	}
	return since
}

// Outcome is what a batch means: everything that one commit writes. Slices are in the order things happened.
type Outcome struct {
	New       []*record.Entity
	Changed   []*record.Entity
	NewLinks  []LinkRow
	Links     []LinkRow // changed
	Unlinked  []LinkRow
	Journal   []record.Entry
	Conflicts []*Conflict
	Dead      []DeadLetter
	Settled   []record.Key                        // keys whose open inward dead letters are thereby settled
	Owed      map[record.System][]record.EntityID // who is owed what, without doubles
	OwedAt    map[record.EntityID]time.Time       // when the change happened at its origin, for the lag
	Owners    map[record.EntityID]*record.Entity  // the entities that anybody is owed
	Counts    Counts
	Born      int64                         // entities made
	Died      int64                         // entities deleted
	Revived   map[record.EntityID]time.Time // entities that came back, and when they had been deleted
	Acts      []Act                         // business rules that records came to meet
	Lapsed    []Lapse                       // and those that they no longer meet
	Seen      []Seen                        // what duplicate checks compare
	Pairs     []Pair                        // entities that are, or may be, one thing
	Blocks    map[record.EntityID][]string  // of entities that are new or changed, where likeness is looked for
	Compared  int64                         // how many pairs were compared
}

// LinkRow is a link of an entity.
type LinkRow struct {
	Entity record.EntityID
	*record.Link
}

// Counts are a batch's figures.
type Counts struct{ Read, Equal, Conflicts, Rejected, Held int64 }

// batch applies the changes of one page, one after the other.
type batch struct {
	seat    *Seat
	now     time.Time
	cause   uuid.UUID // the run
	byKey   map[record.Key]*record.Entity
	byMatch map[string][]*record.Entity
	open    map[record.EntityID][]*Conflict
	said    map[RepeatKey][]Repeated
	acting  map[record.EntityID][]Acting
	alike   map[record.EntityID]*Alike
	byBlock map[string][]record.EntityID
	prior   record.Fields // the entity as it was before the change; nil for a new one, and where no rule wants to know
	out     Outcome

	isNew   map[*record.Entity]bool
	touched map[*record.Entity]bool
	links   map[*record.Link]linkFate
	owed    map[record.System]map[record.EntityID]bool
}

type linkFate struct {
	entity record.EntityID
	added  bool
}

// Mapped is a change with what its record means in the entity's terms, or why it means nothing.
type Mapped struct {
	*record.Change
	In       record.Fields
	Own      record.Fields   // fields that the system itself holds otherwise than In has them: they were tidied, or corrected by a person
	Fixed    map[string]bool // fields that a person corrected in quarantine
	FixedBy  string
	MatchKey string
	Blocks   []string    // where likeness is looked for
	Repeats  []RepeatKey // by the collection's checks, in their order; an empty key repeats nothing
	Err      error
	Again    bool // it is looked at again on somebody's wish: rules and targets are gone through also where nothing changed
}

// own is what the system itself holds in the field.
func (m *Mapped) own(field string) record.Value {
	if v, other := m.Own[field]; other {
		return v
	}
	return m.In[field]
}

// MapAll maps a page of changes, before the commit's transaction opens.
func MapAll(seat *Seat, changes []record.Change) []Mapped {
	out := make([]Mapped, len(changes))
	for i := range changes {
		m := &out[i]
		m.Change = &changes[i]
		if m.Op == record.Delete {
			continue
		}
		m.In, m.Err = seat.Map.In(m.Fields)
		m.check(seat)
	}
	return out
}

// Correct takes what a person wrote in quarantine instead of what the system says, field by field: only as long as the
// system still says what the person saw.
func (m *Mapped) Correct(seat *Seat, r Redrive) {
	if m.Op == record.Delete {
		return
	}
	fixed, any := m.Fields.Clone(), false
	for f, v := range r.Edit {
		if record.Equal(m.Fields[f], r.Payload[f]) {
			fixed[f], any = v, true
		}
	}
	if !any {
		return
	}
	m.Own = nil
	m.In, m.Err = seat.Map.In(fixed)
	if m.check(seat); m.Err != nil {
		return
	}
	held := seat.Map.InLoose(m.Fields)
	m.Own, m.Fixed, m.FixedBy = nil, make(map[string]bool), r.By
	for f, v := range m.In {
		if record.Equal(held[f], v) {
			continue
		}
		if m.Own == nil {
			m.Own = record.Fields{}
		}
		m.Own[f] = held[f]
		if clean := seat.Collection.CleanField; clean == nil || !record.Equal(clean(f, held[f]), v) {
			m.Fixed[f] = true
		}
	}
}

// check tidies and validates what was mapped, in this order.
func (m *Mapped) check(seat *Seat) {
	if m.Err == nil && seat.Collection.Clean != nil {
		m.In, m.Own = seat.Collection.Clean(m.In)
	}
	if m.Err == nil && seat.Collection.Check != nil {
		m.Err = seat.Collection.Check(seat, m.In)
	}
	if m.Err == nil {
		m.recognise(seat)
	}
	if m.Err == nil && seat.Collection.Likeness != nil {
		m.Blocks = seat.Collection.Likeness.Keys(m.In)
	}
	if m.Repeats = nil; m.Err == nil {
		for i := range seat.Collection.Repeats {
			r := &seat.Collection.Repeats[i]
			m.Repeats = append(m.Repeats, RepeatKey{Rule: r.Rule, Key: r.key(seat, m.In)})
		}
	}
}

// recognise makes the key by which the record is found. One that is recognised by a record which is not known itself cannot be.
func (m *Mapped) recognise(seat *Seat) {
	m.MatchKey = match.Key(m.In, seat.Collection.MatchFields)
	for i := range seat.Refs {
		r := &seat.Refs[i]
		if !slices.Contains(seat.Collection.MatchFields, r.Field) {
			continue
		}
		if ref, ok := record.ReferenceOf(m.In[r.Field]); ok && ref.Entity.IsZero() {
			m.Err = &unknownParent{Native: r.Native, why: whyWaits(seat, r, ref)}
		}
	}
}

// unknownParent is why a record cannot be recognised: it is, among others, by one that it refers to.
type unknownParent struct{ Native, why string }

func (u *unknownParent) Error() string { return u.why }

// Apply decides what a page of changes from the seat means for the entities loaded. It is a function of its arguments:
// no clock, no context, no I/O; ids of new things come from newID alone.
//
// Deletions go first, so that a record that got another key in the same page keeps its entity.
func Apply(seat *Seat, changes []Mapped, loaded Loaded, now time.Time, cause uuid.UUID) Outcome {
	b := newBatch(seat, loaded, now, cause)
	for i := range changes {
		if changes[i].Op == record.Delete {
			b.delete(changes[i].Change)
		}
	}
	for i := range changes {
		if changes[i].Op == record.Upsert {
			b.upsert(&changes[i])
		}
	}
	b.out.Counts.Read = int64(len(changes))
	b.collect()
	return b.out
}

// newBatch is a page about to be applied to what was loaded for it.
func newBatch(seat *Seat, loaded Loaded, now time.Time, cause uuid.UUID) *batch {
	b := &batch{
		seat: seat, now: now, cause: cause,
		byKey:   make(map[record.Key]*record.Entity, len(loaded.Entities)),
		byMatch: make(map[string][]*record.Entity),
		open:    make(map[record.EntityID][]*Conflict),
		isNew:   make(map[*record.Entity]bool),
		touched: make(map[*record.Entity]bool),
		links:   make(map[*record.Link]linkFate),
		owed:    make(map[record.System]map[record.EntityID]bool),
	}
	b.out.Owed = make(map[record.System][]record.EntityID)
	b.out.OwedAt = make(map[record.EntityID]time.Time)
	b.out.Owners = make(map[record.EntityID]*record.Entity)
	for _, e := range loaded.Entities {
		if l := e.Links[seat.System]; l != nil && l.Object == seat.Object {
			b.byKey[l.Key] = e
		}
		if e.MatchKey != "" {
			b.byMatch[e.MatchKey] = append(b.byMatch[e.MatchKey], e)
		}
	}
	for _, a := range loaded.Alike {
		b.meet(a)
	}
	for _, a := range loaded.Acting {
		if b.acting == nil {
			b.acting = make(map[record.EntityID][]Acting)
		}
		b.acting[a.Entity] = append(b.acting[a.Entity], a)
	}
	for _, r := range loaded.Repeated {
		if b.said == nil {
			b.said = make(map[RepeatKey][]Repeated)
		}
		b.said[r.RepeatKey] = append(b.said[r.RepeatKey], r)
	}
	for _, c := range loaded.Conflicts {
		b.open[c.Entity] = append(b.open[c.Entity], c)
	}
	return b
}

func (b *batch) collect() {
	for e := range b.touched {
		if rule := b.seat.Collection.Likeness; rule != nil {
			if b.out.Blocks == nil {
				b.out.Blocks = make(map[record.EntityID][]string)
			}
			b.out.Blocks[e.ID] = nil
			if e.DeletedAt == nil {
				b.out.Blocks[e.ID] = rule.Keys(e.Fields)
			}
		}
		if b.isNew[e] {
			b.out.New = append(b.out.New, e)
		} else {
			e.Version++
			b.out.Changed = append(b.out.Changed, e)
		}
	}
	byID := func(x, y *record.Entity) int { return compareIDs(x.ID, y.ID) }
	slices.SortFunc(b.out.New, byID)
	slices.SortFunc(b.out.Changed, byID)
	for l, fate := range b.links {
		row := LinkRow{fate.entity, l}
		if fate.added {
			b.out.NewLinks = append(b.out.NewLinks, row)
		} else {
			b.out.Links = append(b.out.Links, row)
		}
	}
	sortLinks(b.out.NewLinks)
	sortLinks(b.out.Links)
}

func sortLinks(rows []LinkRow) {
	slices.SortFunc(rows, func(x, y LinkRow) int {
		if c := compareIDs(x.Entity, y.Entity); c != 0 {
			return c
		}
		switch {
		case x.System < y.System:
			return -1
		case x.System > y.System:
			return 1
		}
		return 0
	})
}

func compareIDs(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) }

// at is when the change happened, for comparing and for the lag.
func (b *batch) at(c *record.Change) time.Time {
	if c.At.IsZero() {
		return b.now
	}
	return c.At
}

func (b *batch) side(c *record.Change, v record.Value) conflict.Side {
	return conflict.Side{System: b.seat.System, Value: v, At: c.At, SeenAt: b.now}
}

func heldSide(e *record.Entity, field string) conflict.Side {
	st := e.StampOf(field)
	return conflict.Side{System: st.System, Value: e.Fields[field], At: st.At, SeenAt: e.ChangedAt}
}

func (b *batch) upsert(m *Mapped) {
	c, in, key := m.Change, m.In, m.MatchKey
	known := b.byKey[c.Key]
	if known != nil && known.IsMerged() && m.Err == nil {
		b.settleKey(c)
		b.aside(known, m)
		return
	}
	if m.Err != nil {
		var broken *quality.Failure
		if !errors.As(m.Err, &broken) || known == nil || !b.echoes(known, m) {
			b.reject(c, m.Err)
			return
		}
		// What was taken in before is not refused because it is seen again.
	}
	b.nearby(m)
	if broken := b.repeats(m, known); broken != nil && (known == nil || !b.echoes(known, m)) {
		if key == "" || known != nil || !b.linkable(key) {
			b.reject(c, broken)
			return
		}
		// It is the copy of a record that is known: the same thing said by another system.
	}
	b.before(known)
	if known != nil {
		b.settleKey(c)
		if heir := b.heir(known, m); heir != nil {
			b.detach(known, c.Key)
			b.before(heir)
			b.link(heir, m)
			b.says(m, heir)
			return
		}
		b.update(known, known.Links[b.seat.System], m)
		b.says(m, known)
		return
	}
	outcome, e := match.New, (*record.Entity)(nil)
	if key != "" {
		outcome, e = match.Decide(b.seat.System, b.byMatch[key])
	}
	switch outcome {
	case match.New:
		b.settleKey(c)
		if !b.seat.Reads {
			b.out.Counts.Equal++ // a target's own record that nothing matches is none of the service's business
			return
		}
		b.says(m, b.create(m))
	case match.Found:
		b.settleKey(c)
		b.before(e)
		b.link(e, m)
		b.says(m, e)
	case match.Duplicate:
		if b.seat.Collection.Likeness != nil && b.seat.Reads {
			b.settleKey(c)
			twin := *m
			twin.MatchKey = "" // or what comes from other systems could belong to either
			b.says(m, b.create(&twin))
			return
		}
		b.rejectAs(c, "match.duplicate", fmt.Sprintf("Another record of %s is already the one with %s; delete or change one of the two.", b.seat.System, describe(b.seat.Collection.MatchFields, in)))
	case match.Ambiguous:
		b.rejectAs(c, "match.ambiguous", fmt.Sprintf("Several records could be the one with %s; merge them first, then redrive this one.", describe(b.seat.Collection.MatchFields, in)))
	}
}

// linkable says whether a record with the match key belongs to an entity that is there.
func (b *batch) linkable(key string) bool {
	outcome, _ := match.Decide(b.seat.System, b.byMatch[key])
	return outcome == match.Found
}

func describe(fields []string, in record.Fields) string {
	s := ""
	for i, f := range fields {
		if i > 0 {
			s += ", "
		}
		s += f + " = " + record.Text(in[f])
	}
	return s
}

// before keeps the entity as it is, for duplicate checks, which look at what changed.
func (b *batch) before(e *record.Entity) {
	b.prior = nil
	if e != nil && len(b.seat.Collection.Actions) > 0 {
		b.prior = e.Fields.Clone()
	}
}

// echoes says whether the system holds what it held before.
func (b *batch) echoes(e *record.Entity, m *Mapped) bool {
	l := e.Links[b.seat.System]
	for f := range m.In {
		if !b.seat.Map.Same(f, m.own(f), l.Shadow(e, f)) {
			return false
		}
	}
	return true
}

func (b *batch) reject(c *record.Change, err error) {
	d := b.rejectAs(c, "record.invalid", fmt.Sprintf("The record cannot be taken in: %v.", err))
	var unfit *mapping.Error
	var broken *quality.Failure
	var parent *unknownParent
	switch {
	case errors.As(err, &unfit):
		d.Code, d.Field = "mapping.not_convertible", unfit.Field
	case errors.As(err, &broken):
		d.Field, d.Rule = broken.Field, broken.Rule
	case errors.As(err, &parent):
		d.Code, d.Field = "reference.missing", parent.Native
		d.Message = fmt.Sprintf("The record cannot be recognised yet: %v It is looked at again when that record comes.", err)
	}
}

func (b *batch) rejectAs(c *record.Change, code, message string) *DeadLetter {
	b.out.Counts.Rejected++
	b.out.Dead = append(b.out.Dead, DeadLetter{ID: newID(), Inward: true, System: b.seat.System, Object: b.seat.Object, Key: c.Key,
		Op: c.Op, Code: code, Message: message, Payload: c.Fields})
	return &b.out.Dead[len(b.out.Dead)-1]
}

func (b *batch) settleKey(c *record.Change) { b.out.Settled = append(b.out.Settled, c.Key) }

// create makes a new entity of a record that nothing matches.
func (b *batch) create(m *Mapped) *record.Entity {
	c, in, key := m.Change, m.In, m.MatchKey
	e := &record.Entity{
		ID: record.NewEntityID(), Collection: b.seat.Collection.Name, MatchKey: key, Fields: in,
		Origin: b.seat.System, Version: 1, CreatedAt: b.at(c), ChangedAt: b.now,
		Links: make(map[record.System]*record.Link, 2),
	}
	if e.CreatedAt.After(b.now) {
		e.CreatedAt = b.now
	}
	b.isNew[e] = true
	b.touched[e] = true
	b.out.Born++
	l := b.addLink(e, c)
	for f, v := range m.Own {
		l.Holds(f, v, in[f], !b.corrects(f))
	}
	if key != "" {
		b.byMatch[key] = append(b.byMatch[key], e)
	}
	born := in
	if len(b.seat.Collection.Computed) > 0 {
		born = in.Clone() // the entity's own go on
	}
	b.journal(e, record.Created, nil, born)
	b.corrected(e, m)
	b.twin(e)
	b.oweAll(e, c)
	return e
}

func (b *batch) addLink(e *record.Entity, c *record.Change) *record.Link {
	l := &record.Link{System: b.seat.System, Object: b.seat.Object, Key: c.Key, State: record.Synced, Version: c.Version, SyncedAt: b.now}
	e.Links[b.seat.System] = l
	b.byKey[c.Key] = e
	b.links[l] = linkFate{entity: e.ID, added: true}
	return l
}

func (b *batch) touch(e *record.Entity) {
	b.touched[e] = true
	e.ChangedAt = b.now
}

func (b *batch) touchLink(e *record.Entity, l *record.Link) {
	if _, there := b.links[l]; !there {
		b.links[l] = linkFate{entity: e.ID}
	}
}

func (b *batch) journal(e *record.Entity, op record.JournalOp, before, after record.Fields) {
	b.out.Journal = append(b.out.Journal, record.Entry{ID: newID(), Entity: e.ID, At: b.now, Kind: record.Changed, Op: op,
		System: b.seat.System, Cause: b.cause, Before: before, After: after})
}

// link makes a record the entity's copy in this system. They never agreed before, so where they differ there is no base:
// the strategy decides.
func (b *batch) link(e *record.Entity, m *Mapped) {
	c, in := m.Change, m.In
	l := b.addLink(e, c)
	if e.DeletedAt != nil {
		// It came back before its deletion reached every system.
		b.raise(e)
		for f := range in {
			l.Holds(f, m.own(f), e.Fields[f], false)
		}
		// The returning record is the newer fact: what it says goes to all.
		before, after := record.Fields{}, record.Fields{}
		for f, v := range in {
			if !record.Equal(v, e.Fields[f]) {
				before[f], after[f] = e.Fields[f], v
				b.setField(e, l, f, v, b.stamp(m, f))
				b.holdsOwn(l, m, f)
			}
		}
		b.journal(e, record.Created, before, after)
		b.oweAll(e, c)
		return
	}
	b.seat.unread(e, l)
	before, after := record.Fields{}, record.Fields{}
	for _, f := range sortedKeys(in) {
		v := in[f]
		present, has := e.Fields[f]
		switch {
		case b.seat.Collection.computes(f):
			l.Holds(f, m.own(f), present, !b.corrects(f))
		case b.seat.Map.Same(f, v, present) && has:
			l.Holds(f, m.own(f), present, !b.corrects(f))
		case e.IsHeld(f):
			// A person decides already: one more claim.
			l.Holds(f, m.own(f), present, false)
			b.moreClaims(e, l, f, m, v, before, after)
		case !has:
			before[f], after[f] = present, v
			b.setField(e, l, f, v, b.stamp(m, f))
			b.holdsOwn(l, m, f)
		case record.Equal(v, b.seat.Map.Form(f, present)):
			l.Holds(f, m.own(f), present, true)
		case !b.elsewhere(f):
			// The field exists in this system alone, as a key that it makes: the new record's own is what counts.
			before[f], after[f] = present, v
			b.setField(e, l, f, v, b.stamp(m, f))
			b.holdsOwn(l, m, f)
		case !b.goesAnywhere(f):
			// Nobody takes the field from this system: it is brought up to date, or it keeps its own.
			l.Holds(f, m.own(f), present, !b.seat.takes(e, f))
		case b.yields(e, f) && blank(v):
			l.Holds(f, m.own(f), present, false)
		case b.yields(e, f):
			before[f], after[f] = present, v
			b.setField(e, l, f, v, b.stamp(m, f))
			b.holdsOwn(l, m, f)
		default:
			l.Holds(f, m.own(f), present, false)
			b.decide(e, l, f, nil, m, v, before, after, true)
		}
	}
	if len(after) > 0 {
		b.touch(e)
	}
	b.journal(e, record.Linked, before, after)
	b.oweAll(e, c)
}

// heir is the living entity whose copy the record of a deleted one becomes: somebody changed it before the deletion arrived, and meanwhile
// the same thing was made again elsewhere. Revived, it would be there twice. nil where there is none.
func (b *batch) heir(e *record.Entity, m *Mapped) *record.Entity {
	if !b.seat.revives(e, m) {
		return nil
	}
	if outcome, heir := match.Decide(b.seat.System, b.byMatch[m.MatchKey]); outcome == match.Found && heir.DeletedAt == nil {
		return heir
	}
	return nil
}

// revives says whether the change is one to a record whose entity is deleted, and that can be recognised.
func (s *Seat) revives(e *record.Entity, m *Mapped) bool {
	l := e.Links[s.System]
	return e.DeletedAt != nil && !e.IsMerged() && m.Op == record.Upsert && m.Err == nil && m.MatchKey != "" && l.State != record.Frozen && len(s.changed(e, l, m)) > 0
}

// revived are the match keys of records that a page's changes may bring back to life. What else has such a key is not loaded with them,
// because records that are known are found by their links.
func (s *Seat) revived(mapped []Mapped, loaded Loaded) (matchKeys []string) {
	var dead map[record.Key]*record.Entity
	for _, e := range loaded.Entities {
		if l := e.Links[s.System]; e.DeletedAt != nil && l != nil && l.Object == s.Object {
			if dead == nil {
				dead = make(map[record.Key]*record.Entity)
			}
			dead[l.Key] = e
		}
	}
	if dead == nil {
		return nil
	}
	for i := range mapped {
		if e := dead[mapped[i].Key]; e != nil && s.revives(e, &mapped[i]) {
			matchKeys = append(matchKeys, mapped[i].MatchKey)
		}
	}
	return matchKeys
}

// detach takes the system's record away from a deleted entity; what was open about it is moot.
func (b *batch) detach(e *record.Entity, key record.Key) {
	l := e.Links[b.seat.System]
	delete(e.Links, b.seat.System)
	delete(b.links, l)
	delete(b.byKey, key)
	b.out.Unlinked = append(b.out.Unlinked, LinkRow{e.ID, l})
	b.journal(e, record.Unlinked, nil, nil)
	b.moot(e, "Its record belongs to the one that was made in its place.")
	b.touch(e)
}

// changed are the fields that the system holds otherwise than it did.
func (s *Seat) changed(e *record.Entity, l *record.Link, m *Mapped) (changed []string) {
	for f, v := range m.In {
		if e.DeletedAt != nil && !knows(e, l, f) {
			continue // to learn what the system made by itself revives nothing
		}
		if !s.Map.Same(f, m.own(f), l.Shadow(e, f)) || m.Fixed[f] && !record.Equal(v, e.Fields[f]) {
			changed = append(changed, f)
		}
	}
	slices.Sort(changed)
	return changed
}

// update meets a linked entity: the shadow tells what the system really changed (invariant 5: nothing means an echo).
func (b *batch) update(e *record.Entity, l *record.Link, m *Mapped) {
	c := m.Change
	changed := b.seat.changed(e, l, m)
	thawed := l.State == record.Frozen && e.DeletedAt == nil
	if len(changed) == 0 && !thawed {
		b.out.Counts.Equal++
		if c.Version != "" && c.Version != l.Version {
			l.Version = c.Version
			b.touchLink(e, l)
		}
		if m.Again {
			l.SyncedAt = b.now
			b.touchLink(e, l)
			b.oweAll(e, c)
		}
		return
	}
	was := *l
	was.Behind, was.OwnForm = maps.Clone(l.Behind), maps.Clone(l.OwnForm)
	_, written := b.links[l]
	if c.Version != "" {
		l.Version = c.Version
	}
	l.SyncedAt = b.now
	b.touchLink(e, l)
	if thawed {
		l.State = record.Synced
	}
	if e.DeletedAt == nil || b.revive(e, l, m, changed) {
		b.take(e, l, m, changed)
	}
	if !written && b.touched[e] && l.Says(&was) {
		delete(b.links, l) // the entity tells when, see Entity.SyncedAt
	}
}

// take gives the entity the fields that the system changed, or opens a conflict about them.
func (b *batch) take(e *record.Entity, l *record.Link, m *Mapped, changed []string) {
	before, after := record.Fields{}, record.Fields{}
	for _, f := range changed {
		v, present := m.In[f], e.Fields[f]
		base, behind := l.Behind[f]
		switch {
		case b.seat.Collection.computes(f):
			// The rule says what it is; the system is told so.
			l.Holds(f, m.own(f), present, !b.corrects(f))
		case b.seat.Map.Same(f, v, present), record.Equal(v, b.seat.Map.Form(f, present)):
			// Both came to the same value on their own: agreed. A form of its own is left as it is, or a system that keeps to
			// its form would be written to without end.
			l.Holds(f, m.own(f), present, true)
			b.closeConflict(e, f, "Both systems came to the same value.")
		case e.IsHeld(f):
			b.moreClaims(e, l, f, m, v, before, after)
		case !m.Fixed[f] && !b.goesAnywhere(f):
			// Nobody wants this system's changes. It keeps its own until the field changes at its source, and then loses it.
			l.Holds(f, m.own(f), present, !behind)
		case !behind, m.Fixed[f], b.awaitsTidying(e, f, base), b.yields(e, f):
			before[f], after[f] = present, v
			b.setField(e, l, f, v, b.stamp(m, f))
			b.holdsOwn(l, m, f)
		default:
			l.Holds(f, m.own(f), present, false)
			b.decide(e, l, f, base, m, v, before, after, false)
		}
	}
	if len(after) > 0 {
		b.touch(e)
		b.journal(e, record.Updated, before, after)
		b.compare(e)
	}
	b.corrected(e, m)
	b.oweAll(e, m.Change)
}

// stamp says who gives the field of the change its value: the system, or the person who corrected it.
func (b *batch) stamp(m *Mapped, field string) record.Stamp {
	if m.Fixed[field] {
		return record.Stamp{System: record.Person, At: b.now}
	}
	return record.Stamp{System: b.seat.System, At: b.at(m.Change)}
}

// corrects says whether this system is sent the field when it holds it otherwise than the service wants it.
func (b *batch) corrects(field string) bool {
	return b.seat.Writes && b.seat.Map.Writable(field)
}

// holdsOwn notes, after the entity took the field from the system, that the system itself holds it untidied.
func (b *batch) holdsOwn(l *record.Link, m *Mapped, field string) {
	if own, other := m.Own[field]; other {
		l.Holds(field, own, m.In[field], !b.corrects(field))
	}
}

// awaitsTidying says whether the system is behind only because its own value was tidied and is not yet sent back.
func (b *batch) awaitsTidying(e *record.Entity, field string, held record.Value) bool {
	clean := b.seat.Collection.CleanField
	return clean != nil && e.StampOf(field).System == b.seat.System && record.Equal(clean(field, held), e.Fields[field])
}

// corrected notes in the journal what a person corrected in quarantine, apart from what the system says.
func (b *batch) corrected(e *record.Entity, m *Mapped) {
	if len(m.Fixed) == 0 {
		return
	}
	fields := sortedKeys(m.Fixed)
	b.journal(e, record.Updated, pick(m.Own, fields), pick(m.In, fields))
	entry := &b.out.Journal[len(b.out.Journal)-1]
	entry.Kind, entry.Actor, entry.System = record.Decided, m.FixedBy, record.Person
}

// assign carries out the rules that copy a field of the changed system's record to another.
func (b *batch) assign(e *record.Entity, c *record.Change) {
	if e.DeletedAt != nil {
		return
	}
	for i := range b.seat.Collection.Assigns {
		a := &b.seat.Collection.Assigns[i]
		v, has := e.Fields[a.From]
		if a.Source != "" && a.Source != b.seat.System || !has || record.Equal(v, e.Fields[a.To]) || e.IsHeld(a.To) || !a.Holds(e.Fields) {
			continue
		}
		b.byRule(e, c, a.Rule, a.To, v)
	}
}

// byRule gives the entity's field the value that a rule says, with its entry in the history.
func (b *batch) byRule(e *record.Entity, c *record.Change, rule, field string, v record.Value) {
	present := e.Fields[field]
	own, mapped := record.Value(nil), false
	l := e.Links[b.seat.System]
	if l != nil && b.seat.Map.Has(field) {
		own, mapped = l.Shadow(e, field), true
	}
	b.setField(e, nil, field, v, record.Stamp{System: b.seat.System, At: b.at(c)})
	if mapped {
		l.Holds(field, own, v, !b.corrects(field))
	}
	b.journal(e, record.Updated, record.Fields{field: present}, record.Fields{field: v})
	entry := &b.out.Journal[len(b.out.Journal)-1]
	entry.Kind, entry.Actor = record.Decided, ByRule(rule)
}

// ByRule is how the history names a business rule that wrote.
func ByRule(name string) string { return "rule " + name }

// compute brings the fields that rules compute up to date with those they are computed from.
func (b *batch) compute(e *record.Entity, c *record.Change) {
	if e.DeletedAt != nil {
		return
	}
	for _, rule := range b.seat.Collection.Computed {
		v, present := rule.Value(e.Fields), e.Fields[rule.Field]
		if _, has := e.Fields[rule.Field]; has && record.Equal(v, present) || !has && v == nil {
			continue
		}
		b.byRule(e, c, rule.Rule, rule.Field, v)
	}
}

// goesAnywhere says whether this system's changes to the field are wanted by any other.
func (b *batch) goesAnywhere(field string) bool {
	for _, s := range b.seat.Collection.Seats {
		if s.System != b.seat.System && b.seat.Collection.Flows(b.seat.System, s.System, field) {
			return true
		}
	}
	return false
}

// elsewhere says whether any other system has the field.
func (b *batch) elsewhere(field string) bool { return b.seat.elsewhere(field) }

func (s *Seat) elsewhere(field string) bool {
	for _, o := range s.Collection.Seats {
		if o.System != s.System && o.Map.Has(field) {
			return true
		}
	}
	return false
}

// setField gives the entity's field a new value that came from l's system; the other systems fall behind.
func (b *batch) setField(e *record.Entity, l *record.Link, field string, v record.Value, stamp record.Stamp) {
	for _, other := range e.Links {
		seat := b.seat.Collection.Seats[other.System]
		if other == l || seat == nil || !seat.Map.Has(field) && !slices.Contains(seat.Withheld, field) {
			continue
		}
		holds := other.Shadow(e, field)
		delete(other.OwnForm, field)
		delete(other.Behind, field)
		if !record.Equal(holds, v) {
			other.SetBehind(field, holds)
		}
		b.touchLink(e, other)
	}
	e.Fields[field] = v
	if e.Stamps == nil {
		e.Stamps = make(map[string]record.Stamp)
	}
	e.Stamps[field] = stamp
	if l != nil {
		l.Holds(field, v, v, false)
	}
	if slices.Contains(b.seat.Collection.MatchFields, field) {
		e.MatchKey = match.Key(e.Fields, b.seat.Collection.MatchFields)
	}
	b.touch(e)
}

// decide settles, or leaves to a person, that this system and another changed the field since they agreed on base.
func (b *batch) decide(e *record.Entity, l *record.Link, field string, base record.Value, m *Mapped, v record.Value, before, after record.Fields, first bool) {
	c := m.Change
	held, incoming := heldSide(e, field), b.side(c, v)
	rule := b.seat.Collection.Rule(field)
	rule.Record = e.Fields
	if first && c.At.IsZero() && rule.Strategy != conflict.Manual {
		// They never agreed, and no clock says who wrote last: the order of reading must not decide.
		rule = rule.WithoutTimes()
	}
	d := rule.Decide(base, held, incoming)
	if check := b.seat.Collection.CheckField; check != nil && !d.Open {
		// What a rule made of two good values can be a bad one. It is not taken; both sides keep theirs.
		if err := check(field, d.Value); err != nil {
			d = conflict.Decision{Open: true, Reason: fmt.Sprintf("The outcome would not be valid, so somebody decides: %v.", err)}
		}
	}
	cf := &Conflict{ID: newID(), Entity: e.ID, Collection: e.Collection, Field: field, Base: base, Sides: []conflict.Side{held, incoming},
		Open: d.Open, Strategy: rule.Strategy, Winner: d.Winner, Result: d.Value, Reason: d.Reason, OpenedAt: b.now, Version: 1, isNew: true}
	b.out.Counts.Conflicts++
	b.out.Conflicts = append(b.out.Conflicts, cf)
	if d.Open {
		b.hold(e, field)
		b.open[e.ID] = append(b.open[e.ID], cf)
		return
	}
	cf.ResolvedAt = &b.now
	if record.Equal(d.Value, e.Fields[field]) {
		return // the entity keeps its value; the system is behind and will be sent it
	}
	before[field], after[field] = e.Fields[field], d.Value
	stamp := record.Stamp{System: d.Winner, At: incoming.At}
	if stamp.At.IsZero() {
		stamp.At = b.now
	}
	b.setField(e, l, field, d.Value, stamp)
	if record.Equal(v, d.Value) {
		b.holdsOwn(l, m, field)
		return
	}
	l.Holds(field, m.own(field), d.Value, false) // a merged value is neither side's
}

func (b *batch) hold(e *record.Entity, field string) {
	if !slices.Contains(e.Held, field) {
		e.Held = append(slices.Clone(e.Held), field)
		slices.Sort(e.Held)
	}
	b.touched[e] = true
	for _, l := range e.Links {
		if l.State != record.Frozen {
			l.State = record.InDoubt
			b.touchLink(e, l)
		}
	}
}

// moreClaims notes that a field in an open conflict changed again: the sides are brought up to date, nothing is sent.
func (b *batch) moreClaims(e *record.Entity, l *record.Link, field string, m *Mapped, v record.Value, before, after record.Fields) {
	c := m.Change
	if _, behind := l.Behind[field]; behind {
		l.Behind[field] = m.own(field)
	} else {
		before[field], after[field] = e.Fields[field], v
		b.setField(e, l, field, v, b.stamp(m, field))
		b.holdsOwn(l, m, field)
	}
	for _, cf := range b.open[e.ID] {
		if cf.Field != field && cf.Field != record.WholeRecord {
			continue
		}
		sides := slices.DeleteFunc(slices.Clone(cf.Sides), func(s conflict.Side) bool { return s.System == b.seat.System })
		claim := b.side(c, v)
		if cf.Field == record.WholeRecord {
			claim.Value = nil
		}
		cf.Sides = append(sides, claim)
		b.change(cf)
	}
	b.closeConflict(e, field, "Both systems came to the same value.") // unless one is still behind
}

func (b *batch) change(cf *Conflict) {
	if !cf.isNew && !slices.Contains(b.out.Conflicts, cf) {
		cf.Version++
		b.out.Conflicts = append(b.out.Conflicts, cf)
	}
}

// closeConflict settles open conflicts about the field because the sides agree now.
func (b *batch) closeConflict(e *record.Entity, field, reason string) {
	if !slices.Contains(e.Held, field) {
		return
	}
	for _, cf := range b.open[e.ID] {
		if cf.Field != field || !cf.Open {
			continue
		}
		for _, s := range cf.Sides {
			if l := e.Links[s.System]; l != nil && l.State != record.Frozen {
				if _, behind := l.Behind[field]; behind {
					return // another side still holds something else
				}
			}
		}
		cf.Open, cf.Result, cf.Reason, cf.ResolvedAt = false, e.Fields[field], reason, &b.now
		b.change(cf)
	}
	b.release(e, field)
}

func (b *batch) release(e *record.Entity, field string) {
	e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == field })
	b.touched[e] = true
	if e.Waits() {
		return
	}
	for _, l := range e.Links {
		if l.State == record.InDoubt {
			l.State = record.Synced
			b.touchLink(e, l)
		}
	}
}

// revive settles that a system changed a record which another deleted. It returns true when the entity lives on and the
// changes are to be applied.
func (b *batch) revive(e *record.Entity, l *record.Link, m *Mapped, changed []string) bool {
	c := m.Change
	deleter := e.StampOf(record.WholeRecord)
	held := conflict.Side{System: deleter.System, At: deleter.At, SeenAt: e.ChangedAt, Deleted: true}
	incoming := b.side(c, nil)
	d := b.decideRecord(e, held, incoming)
	if d.Open {
		for _, f := range changed {
			l.Holds(f, m.own(f), e.Fields[f], false)
		}
		return false
	}
	if d.Winner != incoming.System {
		for _, f := range changed {
			l.Holds(f, m.own(f), e.Fields[f], false)
		}
		if b.seat.Writes { // what is only read stays as it is, behind an edit that a person made elsewhere
			b.owe(e, l.System, c)
		}
		return false
	}
	b.raise(e)
	return true
}

// decideRecord applies the service's strategy to "deleted here, changed there".
func (b *batch) decideRecord(e *record.Entity, held, incoming conflict.Side) conflict.Decision {
	for _, cf := range b.open[e.ID] {
		if cf.Open && cf.Field == record.WholeRecord { // a person decides already: one more claim
			cf.Sides = append(slices.DeleteFunc(slices.Clone(cf.Sides), func(s conflict.Side) bool { return s.System == incoming.System }), incoming)
			b.change(cf)
			return conflict.Decision{Open: true}
		}
	}
	rule := b.seat.Collection.Rule(record.WholeRecord)
	d := rule.Decide(nil, held, incoming)
	cf := &Conflict{ID: newID(), Entity: e.ID, Collection: e.Collection, Field: record.WholeRecord, Sides: []conflict.Side{held, incoming},
		Open: d.Open, Strategy: rule.Strategy, Winner: d.Winner, Reason: d.Reason, OpenedAt: b.now, Version: 1, isNew: true}
	b.out.Counts.Conflicts++
	b.out.Conflicts = append(b.out.Conflicts, cf)
	if d.Open {
		b.hold(e, record.WholeRecord)
		b.open[e.ID] = append(b.open[e.ID], cf)
		return d
	}
	cf.ResolvedAt = &b.now
	return d
}

func (b *batch) delete(c *record.Change) {
	e := b.byKey[c.Key]
	b.settleKey(c)
	if e == nil {
		b.out.Counts.Equal++ // never known, or our own deletion coming back
		return
	}
	l := e.Links[b.seat.System]
	delete(b.byKey, c.Key)
	unlink := func() {
		delete(e.Links, b.seat.System)
		delete(b.links, l)
		b.out.Unlinked = append(b.out.Unlinked, LinkRow{e.ID, l})
	}
	if e.DeletedAt != nil {
		unlink()
		b.out.Counts.Equal++
		return
	}
	if l.State == record.Frozen { // it is left alone, whatever becomes of it; the brake does not weigh it, either
		b.byKey[c.Key] = e
		b.out.Counts.Equal++
		return
	}
	coll := b.seat.Collection
	policy := coll.Deletes
	if len(coll.targets(b.seat.System)) == 0 {
		// Nobody takes changes from this system: the record is made again when its entity changes next, or at once where nobody reads it,
		// because then somebody went and looked.
		unlink()
		b.journal(e, record.Unlinked, nil, nil)
		if !b.seat.Reads && Owes(e, b.seat) {
			b.owe(e, b.seat.System, c)
		}
		return
	}
	if policy == DeleteIgnore || policy == DeleteArchive {
		l.State, l.SyncedAt = record.Frozen, b.now
		b.byKey[c.Key] = e
		b.touchLink(e, l)
		b.journal(e, record.Unlinked, nil, nil)
		if policy == DeleteArchive && coll.ArchiveField != "" {
			f := coll.ArchiveField
			before := record.Fields{f: e.Fields[f]}
			b.setField(e, l, f, coll.ArchiveValue, record.Stamp{System: b.seat.System, At: b.at(c)})
			b.journal(e, record.Updated, before, record.Fields{f: coll.ArchiveValue})
			b.oweAll(e, c)
		}
		return
	}
	if latest := b.latestField(e, l); latest != record.WholeRecord || e.IsHeld(record.WholeRecord) {
		held := heldSide(e, latest)
		held.Value = nil
		incoming := b.side(c, nil)
		incoming.Deleted = true
		d := b.decideRecord(e, held, incoming)
		if d.Open || d.Winner != incoming.System {
			unlink()
			b.touch(e)
			b.journal(e, record.Unlinked, nil, nil)
			if !d.Open {
				b.oweAll(e, c)
				if b.seat.Writes {
					b.owe(e, b.seat.System, c)
				}
			}
			return
		}
	}
	unlink()
	b.kill(e, b.at(c))
	b.journal(e, record.Deleted, e.Fields, nil)
	b.oweAll(e, c)
}

// kill marks the entity as deleted by this system; open conflicts about it are moot.
func (b *batch) kill(e *record.Entity, at time.Time) {
	e.DeletedAt = &b.now
	if e.Stamps == nil {
		e.Stamps = make(map[string]record.Stamp)
	}
	e.Stamps[record.WholeRecord] = record.Stamp{System: b.seat.System, At: at}
	b.moot(e, "The record was deleted.")
	for _, l := range e.Links {
		if l.State == record.InDoubt {
			l.State = record.Synced
			b.touchLink(e, l)
		}
	}
	b.out.Died++
	b.touch(e)
}

// moot closes what is open about the entity.
func (b *batch) moot(e *record.Entity, reason string) {
	for _, cf := range b.open[e.ID] {
		if cf.Open {
			cf.Open, cf.Reason, cf.ResolvedAt = false, reason, &b.now
			b.change(cf)
		}
	}
	e.Settle()
}

// raise brings a deleted entity back to life.
func (b *batch) raise(e *record.Entity) {
	if b.out.Revived == nil {
		b.out.Revived = make(map[record.EntityID]time.Time)
	}
	b.out.Revived[e.ID] = *e.DeletedAt
	e.DeletedAt = nil
	delete(e.Stamps, record.WholeRecord)
	b.touch(e)
}

// latestField is the field of those the system is behind in that a system or a person changed last; record.WholeRecord for none.
func (b *batch) latestField(e *record.Entity, l *record.Link) string {
	best := record.WholeRecord
	var at time.Time
	for _, f := range sortedKeys(l.Behind) {
		if b.yields(e, f) {
			continue
		}
		if s := e.StampOf(f); best == record.WholeRecord || s.At.After(at) {
			best, at = f, s.At
		}
	}
	return best
}

// oweAll notes which systems are now owed the entity's state.
func (b *batch) oweAll(e *record.Entity, c *record.Change) {
	b.assign(e, c)
	b.compute(e, c)
	b.act(e, c)
	for _, s := range b.seat.Collection.Seats {
		if Owes(e, s) || righted(e, s) {
			b.owe(e, s.System, c)
		}
	}
}

// righted says whether the system, which refused the entity, holds it as it is now: there is nothing to send any more, and the delivery that
// finds that settles the dead letter.
func righted(e *record.Entity, s *Seat) bool {
	l := e.Links[s.System]
	return l != nil && l.State == record.Rejected && len(l.Behind) == 0 && s.Writes && len(e.Held) == 0
}

func (b *batch) owe(e *record.Entity, to record.System, c *record.Change) {
	set := b.owed[to]
	if set == nil {
		set = make(map[record.EntityID]bool)
		b.owed[to] = set
	}
	if !set[e.ID] {
		set[e.ID] = true
		b.out.Owed[to] = append(b.out.Owed[to], e.ID)
	}
	b.out.OwedAt[e.ID], b.out.Owners[e.ID] = b.at(c), e
	if l := e.Links[to]; l != nil && l.State == record.Synced {
		l.State = record.Pending
		b.touchLink(e, l)
	}
}

// Owes says whether the seat's system is to be brought up to date with the entity.
func Owes(e *record.Entity, s *Seat) bool {
	if !s.Writes || e.IsFrozen() || slices.Contains(e.Held, record.WholeRecord) || slices.Contains(e.Held, record.Approval) || slices.Contains(e.Held, record.Twin) {
		return false
	}
	l := e.Links[s.System]
	c := s.Collection
	switch {
	case l != nil && l.State == record.Frozen:
		return false
	case e.IsMerged():
		// What remains of it is deleted; or archived, where the system can be given the archive field. Else it is left alone.
		return l != nil && (len(l.Behind) == 0 || len(OwedFields(e, l, s)) > 0)
	case e.DeletedAt != nil:
		return l != nil && c.Deletes == DeletePropagate && c.flowsAny(e.StampOf(record.WholeRecord).System, s)
	case !c.Admit(e.Fields):
		return false
	case l == nil:
		// Its origin, too: it may have been deleted there and outlived that elsewhere.
		return e.Origin == s.System || c.flowsAny(e.Origin, s) && s.chosen(e, e.Origin) || anyStampFlows(e, s)
	}
	return len(OwedFields(e, l, s)) > 0
}

func anyStampFlows(e *record.Entity, s *Seat) bool {
	for f, st := range e.Stamps {
		if s.Collection.Flows(st.System, s.System, f) && s.chosen(e, st.System) {
			return true
		}
	}
	return false
}

// chosen says whether the routing rules choose the seat's system for what the system `from` changed.
func (s *Seat) chosen(e *record.Entity, from record.System) bool {
	return s.Collection.Routed == nil || s.Collection.Routed(from, s.System, e.Fields)
}

// OwedFields are the fields that the system is behind in and that may be sent to it now, sorted.
func OwedFields(e *record.Entity, l *record.Link, s *Seat) []string {
	var out []string
	for f := range l.Behind {
		if e.IsHeld(f) || !s.Map.Writable(f) {
			continue
		}
		if s.takes(e, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// takes says whether the field's present value may go to the seat's system.
func (s *Seat) takes(e *record.Entity, field string) bool {
	from := e.StampOf(field).System
	if s.Collection.sources[from] {
		from = e.Origin // an answer goes where the record goes
	}
	return from == record.Person || from == s.System || s.Collection.Flows(from, s.System, field) && s.chosen(e, from)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
