// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Sent is one write of an attempt with what is needed to settle it.
type Sent struct {
	connector.Write
	Version int64         // the entity's version that was mapped
	Values  record.Fields // the entity's values that were sent, by entity field; nil for a delete
	Receipt connector.Receipt
	guessed bool // only the record's values tell that it was written
}

// Attempt is a batch of duties being carried out for one system.
type Attempt struct {
	ID         uuid.UUID
	System     record.System
	Collection string
	Entities   []record.EntityID
	Lost       bool      // it was cut short, and what it did is to be found out
	StartedAt  time.Time // for a lost one: when its duties were taken on
	Backlog    bool      // claimed from the deliveries
	OwedAt     map[record.EntityID]time.Time

	ready *ready // nil when the entities are to be loaded
}

// ready is what an attempt needs to begin without loading: its entities as the commit left them that took the duties on.
type ready struct {
	entities []*record.Entity // each with its link of the system alone
	turn     int64            // see lane.turns
	stale    bool             // something else of these entities was under way: load them after all
}

// Writes maps the entities, as they are now, to what the seat's system must be sent. Bursts coalesce and retries never send
// stale state, because nothing was prepared earlier. Entities that are owed nothing (any more) have no write. What cannot
// be mapped is a dead letter. present is what records hold that were looked at before; it may be nil.
func Writes(seat *Seat, attempt uuid.UUID, entities []*record.Entity, present map[record.EntityID]record.Fields) (writes []Sent, dead []DeadLetter) {
	for _, e := range entities {
		if !Owes(e, seat) {
			continue
		}
		w, err := writeFor(seat, e, present[e.ID])
		if err != nil {
			dead = append(dead, DeadLetter{ID: newID(), System: seat.System, Object: seat.Object, Key: w.Key, Entity: e.ID, Op: w.Op,
				Code: "mapping.not_convertible", Message: fmt.Sprintf("The record cannot be sent to %s: %v.", seat.System, err), Payload: e.Fields})
			continue
		}
		w.Attempt = attempt
		writes = append(writes, w)
	}
	return writes, dead
}

// ToLookAt are the records that are read before they are written: those with owed fields inside columns, where what nobody mapped
// stands beside them, and those that a write found otherwise than expected, as moved counts, although reading them told of no change.
// They hold what they hold in a form that our value alone does not give.
func ToLookAt(seat *Seat, entities []*record.Entity, moved map[record.EntityID]int) map[record.Key]record.EntityID {
	nests := seat.Map.Nests(nil)
	if !nests && len(moved) == 0 {
		return nil
	}
	byKey := make(map[record.Key]record.EntityID)
	for _, e := range entities {
		l := e.Links[seat.System]
		if l == nil || moved[e.ID] == 0 && !nests || !Owes(e, seat) {
			continue
		}
		var touched []string // all of a record that is deleted
		if e.DeletedAt == nil {
			touched = OwedFields(e, l, seat)
		}
		if moved[e.ID] > 0 || seat.Map.Nests(touched) {
			byKey[l.Key] = e.ID
		}
	}
	return byKey
}

func writeFor(seat *Seat, e *record.Entity, present record.Fields) (w Sent, err error) {
	l := e.Links[seat.System]
	w = Sent{Write: connector.Write{ID: e.ID, Op: record.Upsert}, Version: e.Version}
	if l != nil {
		w.Key = l.Key
	}
	switch {
	case e.DeletedAt != nil && !(e.IsMerged() && len(OwedFields(e, l, seat)) > 0):
		w.Op = record.Delete
		only := known(seat, e, l)
		w.Expect, err = seat.Map.Expect(present, shadow(seat, e, l, only), only)
	case l == nil:
		w.Create = true
		w.Values = pick(e.Fields, seat.Map.Fields())
		for f := range w.Values {
			if e.IsHeld(f) || !seat.Map.Writable(f) || !seat.takes(e, f) && !seat.identifies(f) {
				delete(w.Values, f)
			}
		}
		w.Fields, err = seat.Map.Out(w.Values, sortedKeys(w.Values))
	default:
		owed := OwedFields(e, l, seat)
		w.Values = pick(e.Fields, owed)
		all := seat.Map.Together(owed)
		before := shadow(seat, e, l, all)
		after := before.Clone() // what shares a column with an owed field stays as it is
		for _, f := range owed {
			after[f] = e.Fields[f]
		}
		if w.Fields, err = seat.Map.Onto(present, after, all); err == nil {
			w.Expect, err = seat.Map.Expect(present, before, all)
		}
		if _, appends := seat.Open.(connector.Appender); appends && err == nil {
			whole := shadow(seat, e, l, known(seat, e, l))
			maps.Copy(whole, w.Values)
			w.Whole, err = seat.Map.Out(whole, sortedKeys(whole))
		}
	}
	return w, err
}

// known are the fields of which we know what the system holds.
func known(seat *Seat, e *record.Entity, l *record.Link) []string {
	fields := []string{}
	for _, f := range seat.Map.Fields() {
		if knows(e, l, f) {
			fields = append(fields, f)
		}
	}
	return fields
}

// knows says whether we know what the system holds in the field. What it made by itself (keys, defaults) it may not have
// told yet.
func knows(e *record.Entity, l *record.Link, field string) bool {
	_, has := e.Fields[field]
	_, behind := l.Behind[field]
	_, own := l.OwnForm[field]
	return has || behind || own
}

// identifies says whether the field is needed to make a record that can be recognised again.
func (s *Seat) identifies(field string) bool {
	return slices.Contains(s.Collection.MatchFields, field) || slices.Contains(s.Map.Key(), field)
}

func pick(fields record.Fields, names []string) record.Fields {
	out := make(record.Fields, len(names))
	for _, f := range names {
		if v, ok := fields[f]; ok {
			out[f] = v
		}
	}
	return out
}

// shadow is what the system last held, by entity field.
func shadow(seat *Seat, e *record.Entity, l *record.Link, only []string) record.Fields {
	if only == nil {
		only = seat.Map.Fields()
	}
	out := make(record.Fields, len(only))
	for _, f := range only {
		out[f] = l.Shadow(e, f)
	}
	return out
}

// Settlement is what an attempt's receipts mean: everything that the settling commit writes.
type Settlement struct {
	NewLinks []LinkRow
	Links    []LinkRow
	Unlinked []LinkRow
	Journal  []record.Entry
	Dead     []DeadLetter
	Done     []record.EntityID // nothing more is owed; open outward dead letters of these are settled
	Again    []record.EntityID // the entity moved on while it was sent: still owed
	Reread   []record.Key      // the record moved on in its system: read it again and merge
	Waiting  []record.EntityID // owed until the reread is through
	Parked   []Parked          // owed, and waiting for more than their turn
	Loosed   []record.EntityID // of Done: deliveries that waited for another record are due, as the record may refer to one that is there by now
	Created  int64
	Updated  int64
	Deleted  int64
	Already  int64 // records that were as wanted: never billed
	Rejected int64
	LagSum   time.Duration
	LagMax   time.Duration
	Lags     int64
}

// Waits says what a delivery waits for, other than its turn.
type Waits string

// What deliveries wait for.
const (
	WaitsHold      Waits = "hold"      // a change of the record in that system waits for a person
	WaitsQuiet     Waits = "quiet"     // people may still be typing
	WaitsReference Waits = "reference" // a record that it refers to is not there yet
)

// Parked is a delivery that waits.
type Parked struct {
	Entity record.EntityID
	Waits  Waits
	For    record.EntityID // of WaitsReference: whose link in the system makes it due; zero when unknown
	Why    string          // for people; "" where Waits says all
	Until  time.Time       // when it is looked at again at the latest
	Since  time.Time       // since when it waits; zero is now

	version int64 // of the entity that was to be written
	deletes bool  // a deletion that waits for records that refer to what is deleted
}

// longestWait is when a delivery is looked at again that something else makes due.
const longestWait = 10 * 365 * 24 * time.Hour

// Operations is how many record changes were successfully applied: the metered quantity.
func (s *Settlement) Operations() int64 { return s.Created + s.Updated + s.Deleted }

// Settle decides what the receipts mean for the entities, loaded and locked again: they may have moved on since they were
// sent. It is a function of its arguments.
func Settle(seat *Seat, attempt Attempt, entities []*record.Entity, sent []Sent, now time.Time) Settlement {
	var s Settlement
	byID := make(map[record.EntityID]*record.Entity, len(entities))
	for _, e := range entities {
		byID[e.ID] = e
	}
	for i := range sent {
		w := &sent[i]
		e := byID[w.ID]
		if e == nil {
			continue // erased meanwhile
		}
		switch w.Receipt.Outcome {
		case connector.Applied, connector.Already:
			s.accept(seat, attempt, e, w, now)
		case connector.Unsent:
			s.Waiting = append(s.Waiting, e.ID)
		case connector.Moved, connector.Gone:
			key := w.Receipt.Key
			if key == "" {
				key = w.Key
			}
			s.Waiting = append(s.Waiting, e.ID)
			if key != "" {
				s.Reread = append(s.Reread, key)
			}
		default:
			s.refuse(seat, e, w)
		}
	}
	if !attempt.Lost {
		s.dropped(seat, entities, sent)
	}
	sortLinks(s.NewLinks)
	sortLinks(s.Links)
	return s
}

// dropped settles duties that had ceased to be any before they were carried out: the change was taken back.
func (s *Settlement) dropped(seat *Seat, entities []*record.Entity, sent []Sent) {
	wasSent := make(map[record.EntityID]bool, len(sent))
	for i := range sent {
		wasSent[sent[i].ID] = true
	}
	for _, e := range entities {
		if wasSent[e.ID] || Owes(e, seat) {
			continue
		}
		l := e.Links[seat.System]
		if l != nil && e.IsMerged() && l.State != record.Frozen { // nothing can be archived there, so it is kept
			l.State = record.Frozen
			s.Links, s.Done = append(s.Links, LinkRow{e.ID, l}), append(s.Done, e.ID)
			continue
		}
		if l == nil || !slices.ContainsFunc(sortedKeys(l.Behind), func(f string) bool { return !slices.Contains(seat.Withheld, f) }) {
			s.Done = append(s.Done, e.ID)
		}
		if l != nil && (l.State == record.Pending || l.State == record.Rejected && len(l.Behind) == 0) {
			l.State = record.Synced
			s.Links = append(s.Links, LinkRow{e.ID, l})
		}
	}
}

// replaced settles that the record by which the system held the entity is gone: another was made with its key.
func (s *Settlement) replaced(seat *Seat, attempt Attempt, e *record.Entity, now time.Time) {
	l := e.Links[seat.System]
	delete(e.Links, seat.System)
	s.Unlinked = append(s.Unlinked, LinkRow{e.ID, l})
	s.Journal = append(s.Journal, record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Changed, Op: record.Unlinked, System: seat.System, Cause: attempt.ID})
	if Owes(e, seat) {
		s.Waiting = append(s.Waiting, e.ID)
	}
}

func (s *Settlement) refuse(seat *Seat, e *record.Entity, w *Sent) {
	err := connector.Classify(w.Receipt.Err)
	s.Rejected++
	s.Dead = append(s.Dead, DeadLetter{ID: newID(), System: seat.System, Object: seat.Object, Key: w.Key, Entity: e.ID, Op: w.Op,
		Code: err.Code, Message: err.Message, Payload: seat.said(w)})
	if l := e.Links[seat.System]; l != nil {
		l.State = record.Rejected
		s.Links = append(s.Links, LinkRow{e.ID, l})
	}
}

func (s *Settlement) accept(seat *Seat, attempt Attempt, e *record.Entity, w *Sent, now time.Time) {
	l := e.Links[seat.System]
	applied := w.Receipt.Outcome == connector.Applied
	entry := record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Delivered, System: seat.System, Cause: attempt.ID, After: w.Values}
	switch {
	case w.Op == record.Delete:
		entry.Op = record.Deleted
		entry.After = nil
		if l != nil && l.Key == w.Key {
			delete(e.Links, seat.System)
			s.Unlinked = append(s.Unlinked, LinkRow{e.ID, l})
		}
		s.count(applied, &s.Deleted)
	case w.Create && l == nil:
		entry.Op = record.Created
		l = &record.Link{System: seat.System, Object: seat.Object, Key: w.Receipt.Key, State: record.Synced, Version: w.Receipt.Version, SyncedAt: now}
		for _, f := range seat.Map.Fields() {
			if _, sent := w.Values[f]; sent {
				continue
			}
			if v, has := e.Fields[f]; has && v != nil && seat.Map.Writable(f) {
				l.Holds(f, nil, v, !seat.takes(e, f)) // held back, changed from nothing since, or none of its business
			}
		}
		seat.unread(e, l)
		s.holds(seat, e, l, w)
		e.Links[seat.System] = l
		s.NewLinks = append(s.NewLinks, LinkRow{e.ID, l})
		s.count(applied, &s.Created)
	case l != nil:
		entry.Op = record.Updated
		entry.Before = pickBehind(l, w.Values)
		s.holds(seat, e, l, w)
		l.SyncedAt = now
		if w.Receipt.Version != "" {
			l.Version = w.Receipt.Version
		}
		if key := w.Receipt.Key; key != "" && key != l.Key && l.Key == w.Key {
			// What was written gave the record another key. Who leaves our own writes out of what we read never tells us so.
			was := *l
			s.Unlinked, s.NewLinks = append(s.Unlinked, LinkRow{e.ID, &was}), append(s.NewLinks, LinkRow{e.ID, l})
			l.Key = key
		} else {
			s.Links = append(s.Links, LinkRow{e.ID, l})
		}
		if w.Create {
			entry.Op = record.Created
			s.count(applied, &s.Created)
		} else {
			s.count(applied, &s.Updated)
		}
	default:
		// Updated there, but unlinked here meanwhile (its deletion was seen): nothing to keep.
		entry.Op = record.Updated
		s.count(applied, &s.Updated)
	}
	if applied {
		s.Journal = append(s.Journal, entry)
		if at, known := attempt.OwedAt[e.ID]; known && now.After(at) {
			lag := now.Sub(at)
			s.LagSum += lag
			s.LagMax = max(s.LagMax, lag)
			s.Lags++
		}
	}
	if l != nil && e.IsMerged() && w.Op == record.Upsert {
		l.State = record.Frozen // archived: it is left alone from now on
	}
	if Owes(e, seat) {
		s.Again = append(s.Again, e.ID)
		if l != nil {
			l.State = record.Pending
		}
		return
	}
	if l != nil && (l.State == record.Pending || l.State == record.Rejected) {
		l.State = record.Synced
	}
	s.Done = append(s.Done, e.ID)
}

func (s *Settlement) count(applied bool, n *int64) {
	if applied {
		*n++
	} else {
		s.Already++
	}
}

func pickBehind(l *record.Link, values record.Fields) record.Fields {
	out := make(record.Fields, len(values))
	for f := range values {
		if v, ok := l.Behind[f]; ok {
			out[f] = v
		}
	}
	return out
}

// holds notes what the system holds now: what was sent, or its own form of it as the receipt says.
func (s *Settlement) holds(seat *Seat, e *record.Entity, l *record.Link, w *Sent) {
	var stored record.Fields
	if w.Receipt.Stored != nil {
		// A form that cannot be mapped back is no reason to fail: the next read will tell.
		stored, _ = seat.Map.InSome(w.Receipt.Stored)
	}
	for f, v := range w.Values {
		present := e.Fields[f]
		unmoved := record.Equal(present, v)
		own, told := stored[f]
		if !told {
			own = seat.Map.Form(f, v)
		}
		l.Holds(f, own, present, unmoved)
	}
}
