// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// The brake holds changes that are larger than anybody meant, and asks a person. It stands where changes come in: what it
// holds is kept as it was read (table held_changes), the entity and the other systems stay as they are, and the cursor
// moves on. So nothing of it is lost and nothing of it is sent.
//
// This file is functions of their arguments; hold.go carries them out.

// HoldKind says what was too large. A system's object has at most one open hold of each kind.
type HoldKind string

// The kinds of holds.
const (
	HoldDeletes HoldKind = "deletes" // more deletions than allowed
	HoldAbsent  HoldKind = "absent"  // records were missing from a full reading: nobody said that they were deleted
	HoldChanges HoldKind = "changes" // more records changed than allowed
	HoldValues  HoldKind = "values"  // a number rose or fell further than allowed
	HoldOrphans HoldKind = "orphans" // more records than allowed refer to deleted ones, and would follow them
)

// HoldState is where a hold stands.
type HoldState string

// The states. gathering -> open | released; open -> released | rejected | settled; released, rejected -> settled.
const (
	HoldGathering HoldState = "gathering" // the reading that shows what is missing is not at its end
	HoldOpen      HoldState = "open"      // waits for a person
	HoldReleased  HoldState = "released"  // may go on; the engine is at it
	HoldRejected  HoldState = "rejected"  // shall not be; the engine is at it
	HoldSettled   HoldState = "settled"   // nothing is held any more
	HoldAlerted   HoldState = "alerted"   // the limit was passed and the document only wants to be told
)

// Hold is one question to a person: may these changes of one object go on?
type Hold struct {
	ID         uuid.UUID
	Service    service.ID
	System     record.System
	Object     record.Object
	Collection string
	Kind       HoldKind
	State      HoldState
	Reason     string // what was too large, one sentence
	OpenedAt   time.Time
	DecidedAt  *time.Time
	DecidedBy  string // "" while open, and when no person was needed
	Note       string // why, as the person said
	Restore    bool   // of a rejected one: the system is brought back to what the others hold
	Held       int64  // how many changes are held now
	Version    int64

	alert bool // the document wants an alert
}

// Held is a change that the brake holds.
type Held struct {
	record.Change
	Kind   HoldKind
	Why    string          // of HoldValues: which number, by how much
	Entity record.EntityID // zero for a record that is new
	Title  string          // what people call the record
	Before record.Fields   // by entity field, of an update: what would change, as the system held it last
	After  record.Fields   // as it would become; nil for a deletion
}

// Tally is how much one object changed since Since: in this run, or, for a realtime service, in this window.
type Tally struct {
	Since   time.Time
	Run     uuid.UUID
	Deletes int64
	Changes int64 // of records that were known
	Created int64
	// Followed is of how many other records the references led to what was deleted: they were deleted with it, or lost their reference.
	Followed int64
}

// BrakeWindow is what "in one run" means for a service that never ends one.
const BrakeWindow = 15 * time.Minute

// at is the tally that counts now.
func (t Tally) at(now time.Time, run uuid.UUID) Tally {
	if t.Since.IsZero() || t.Run != run || run == uuid.Nil && now.Sub(t.Since) >= BrakeWindow {
		return Tally{Since: now, Run: run}
	}
	return t
}

// Without any safetyThreshold. Missing records are what a reading concludes, so little is needed to ask; a deletion that a
// system tells of is a fact, so only a sweep of the table is asked about.
const (
	absentPercent, absentFloor = 10, 10
	toldPercent, toldFloor     = 50, 20
)

// limit is a number of records, a share of them, or both; the first that is passed counts.
type limit struct {
	most    int64    // -1: none
	percent *big.Rat // nil: none
	floor   int64    // so many are never too many, whatever their share
}

// upTo says how many records must be known to be there to tell whether n are too many; 0 when it does not matter.
func (l limit) upTo(n int64) int64 {
	if l.percent == nil || n <= l.floor || l.percent.Sign() == 0 {
		return 0
	}
	need := new(big.Rat).Quo(new(big.Rat).SetInt64(n*100), l.percent)
	up := new(big.Int).Quo(need.Num(), need.Denom())
	return up.Int64() + 1
}

// passed says, in words, which limit n of known records pass; "" for none.
func (l limit) passed(n, known int64, what string) string {
	switch {
	case n == 0:
	case l.most >= 0 && n > l.most:
		return fmt.Sprintf("%d %s, and %d are allowed", n, what, l.most)
	case l.percent != nil && n > l.floor && new(big.Rat).SetInt64(n*100).Cmp(new(big.Rat).Mul(l.percent, new(big.Rat).SetInt64(known))) > 0:
		return fmt.Sprintf("%d %s, which is more than %s%% of the records", n, what, percentText(l.percent))
	}
	return ""
}

func percentText(r *big.Rat) string {
	if !strings.Contains(r.FloatString(4), ".") {
		return r.FloatString(0)
	}
	return strings.TrimRight(strings.TrimRight(r.FloatString(4), "0"), ".")
}

// Brake is a document's safetyThreshold, compiled.
type Brake struct {
	deletes  limit
	absent   limit
	changes  limit
	fall     *big.Rat // percent; nil: no limit
	rise     *big.Rat
	fields   []string // nil: all numeric ones
	tellOnly bool
	alert    bool
}

// NewBrake compiles a document's threshold; nil is the brake that is always on.
func NewBrake(t *service.SafetyThreshold) (*Brake, error) {
	b := &Brake{
		deletes: limit{most: -1, percent: big.NewRat(toldPercent, 1), floor: toldFloor},
		absent:  limit{most: -1, percent: big.NewRat(absentPercent, 1), floor: absentFloor},
		changes: limit{most: -1},
	}
	if t == nil {
		return b, nil
	}
	rat := func(n record.Number, name string) (*big.Rat, error) {
		if n == "" {
			return nil, nil
		}
		r, ok := new(big.Rat).SetString(string(n))
		if !ok {
			return nil, fault.New(fault.Invalid, "service.threshold_invalid", "%s of the safetyThreshold is no number.", name)
		}
		return r, nil
	}
	var err error
	var deletePercent *big.Rat
	for _, p := range []struct {
		n    record.Number
		name string
		to   **big.Rat
	}{
		{t.MaxDeletePercent, "maxDeletePercent", &deletePercent}, {t.MaxChangePercent, "maxChangePercent", &b.changes.percent},
		{t.MaxDecreasePercent, "maxDecreasePercent", &b.fall}, {t.MaxIncreasePercent, "maxIncreasePercent", &b.rise},
	} {
		if *p.to, err = rat(p.n, p.name); err != nil {
			return nil, err
		}
	}
	if deletePercent != nil || t.MaxDeletes != nil {
		b.deletes = limit{most: -1, percent: deletePercent}
		if t.MaxDeletes != nil {
			b.deletes.most = int64(*t.MaxDeletes)
		}
		b.absent = b.deletes
	}
	if t.MaxChanges != nil {
		b.changes.most = int64(*t.MaxChanges)
	}
	b.fields = t.Fields
	b.tellOnly = t.OnExceed == "alert"
	b.alert = t.AlertOnLargeChanges || b.tellOnly
	return b, nil
}

// counts says whether the brake looks at changes that are not deletions at all.
func (b *Brake) counts() bool { return b.changes.most >= 0 || b.changes.percent != nil }

// Weighing is a page of changes being weighed by the brake: first sorted, then, with what the store knows, decided.
type Weighing struct {
	brake   *Brake
	seat    *Seat
	sorted  []weighed
	deletes int64 // told ones
	absent  int64
	changed int64 // of records that were known
	created int64
	values  int64
	// what follows from the told deletions
	following Following
}

type weighed struct {
	Mapped
	entity *record.Entity
	kind   HoldKind // "": nothing to weigh
	fresh  bool     // of HoldChanges: a record that is new
	why    string   // the number moved too far
}

// Weigh sorts a page by what the brake has to say of each change. snapshot says that the object is being read for the first
// time or anew: records that are new there were not made just now.
func Weigh(seat *Seat, mapped []Mapped, loaded Loaded, snapshot bool) *Weighing {
	w := &Weighing{brake: seat.Collection.brake(), seat: seat, sorted: make([]weighed, len(mapped))}
	byKey := make(map[record.Key]*record.Entity, len(loaded.Entities))
	for _, e := range loaded.Entities {
		if l := e.Links[seat.System]; l != nil && l.Object == seat.Object {
			byKey[l.Key] = e
		}
	}
	deletesCount := seat.Collection.Deletes != DeleteIgnore && len(seat.Collection.targets(seat.System)) > 0
	for i := range mapped {
		s := &w.sorted[i]
		s.Mapped, s.entity = mapped[i], byKey[mapped[i].Key]
		e := s.entity
		switch {
		case s.Err != nil:
		case s.Op == record.Delete:
			if e == nil || e.DeletedAt != nil || !deletesCount || e.Links[seat.System].State == record.Frozen {
				continue
			}
			if s.kind = HoldDeletes; s.Absent {
				s.kind = HoldAbsent
				w.absent++
			} else {
				w.deletes++
			}
		case e == nil:
			if !snapshot && seat.Reads && w.brake.counts() {
				s.kind, s.fresh = HoldChanges, true
				w.created++
			}
		default:
			w.weighChange(s)
		}
	}
	return w
}

func (w *Weighing) weighChange(s *weighed) {
	if !w.brake.counts() && w.brake.fall == nil && w.brake.rise == nil {
		return
	}
	l := s.entity.Links[w.seat.System]
	moved := false
	for _, f := range sortedKeys(s.In) {
		held := l.Shadow(s.entity, f)
		if record.Equal(s.In[f], held) || !w.seat.wanted(f) {
			continue
		}
		moved = true
		if s.why == "" && (w.brake.fields == nil || slices.Contains(w.brake.fields, f)) {
			s.why = w.brake.tooFar(f, held, s.In[f])
		}
	}
	switch {
	case s.why != "":
		s.kind = HoldValues
		w.values++
	case moved && w.brake.counts():
		s.kind = HoldChanges
		w.changed++
	}
}

// wanted says whether any other system takes the field's changes from the seat.
func (s *Seat) wanted(field string) bool {
	for _, o := range s.Collection.Seats {
		if o.System != s.System && s.Collection.Flows(s.System, o.System, field) {
			return true
		}
	}
	return false
}

// tooFar says, in words, how a number moved further than allowed; "" when it did not. From nothing or zero there is no share.
func (b *Brake) tooFar(field string, from, to record.Value) string {
	if b.fall == nil && b.rise == nil {
		return ""
	}
	x, ok1 := number(from)
	y, ok2 := number(to)
	if !ok1 || !ok2 || x.Sign() == 0 {
		return ""
	}
	move := new(big.Rat).Sub(y, x)
	move.Quo(move.Mul(move, big.NewRat(100, 1)), new(big.Rat).Abs(x))
	word, most := "rose", b.rise
	if move.Sign() < 0 {
		word, most = "fell", b.fall
		move.Neg(move)
	}
	if most == nil || move.Cmp(most) <= 0 {
		return ""
	}
	return fmt.Sprintf("%s %s from %s to %s, by %s%%; %s%% is allowed", field, word, record.Text(from), record.Text(to), move.FloatString(0), percentText(most))
}

func number(v record.Value) (*big.Rat, bool) {
	n, ok := v.(record.Number)
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}

// Matters says whether anything has to be asked about or counted; without it all may go in.
func (w *Weighing) Matters() bool { return w.deletes+w.absent+w.changed+w.created+w.values > 0 }

// UpTo says how many of the object's records must be known to be there to decide; 0 when it does not matter.
func (w *Weighing) UpTo(t Tally) int64 {
	up := int64(0)
	if w.deletes > 0 {
		up = w.brake.deletes.upTo(t.Deletes + w.deletes)
	}
	if w.changed > 0 {
		up = max(up, w.brake.changes.upTo(t.Changes+w.changed))
	}
	return up
}

// Weighed is what the brake says to a page.
type Weighed struct {
	Pass   []Mapped
	Held   []Held
	Tally  Tally
	Reason map[HoldKind]string // what was too large, of the kinds that are held or, where the document only wants to be told, would be
	Tell   bool                // only tell: nothing is held but what is missing from a reading
	Alert  bool
}

// Decide splits the page. open are the kinds that wait for a person already: what adds to them waits with them.
func (w *Weighing) Decide(t Tally, known int64, open map[HoldKind]bool) Weighed {
	out := Weighed{Tally: t, Reason: make(map[HoldKind]string), Tell: w.brake.tellOnly, Alert: w.brake.alert}
	name := fmt.Sprintf("%s in %s", w.seat.Object, w.seat.System)
	if w.deletes > 0 {
		if p := w.brake.deletes.passed(t.Deletes+w.deletes, known, "deletions"); p != "" {
			out.Reason[HoldDeletes] = fmt.Sprintf("%s of %s.", p, name)
		} else if p := w.following.passes(w.brake, t, w.deletes); p != "" {
			out.Reason[HoldDeletes] = fmt.Sprintf("%s. It follows from deletions of %s.", p, name)
		} else if open[HoldDeletes] {
			out.Reason[HoldDeletes] = "More deletions while others wait."
		}
	}
	if n := w.changed + w.created; n > 0 {
		p := limit{most: w.brake.changes.most}.passed(t.Changes+t.Created+n, known, "changes")
		if p == "" && w.changed > 0 {
			p = limit{most: -1, percent: w.brake.changes.percent}.passed(t.Changes+w.changed, known, "changes")
		}
		if p != "" {
			out.Reason[HoldChanges] = fmt.Sprintf("%s of %s.", p, name)
		} else if open[HoldChanges] {
			out.Reason[HoldChanges] = "More changes while others wait."
		}
	}
	if w.values > 0 {
		out.Reason[HoldValues] = fmt.Sprintf("A number in %s moved further than allowed.", name)
	}
	if w.absent > 0 {
		out.Reason[HoldAbsent] = fmt.Sprintf("Records of %s are missing, and nobody said that they were deleted.", name)
	}
	if out.Reason[HoldDeletes] == "" || out.Tell {
		out.Tally.Followed += w.following.Count
	}
	for i := range w.sorted {
		s := &w.sorted[i]
		if s.kind == "" || out.Reason[s.kind] == "" || out.Tell && s.kind != HoldAbsent {
			out.Pass = append(out.Pass, s.Mapped)
			switch {
			case s.kind == HoldDeletes:
				out.Tally.Deletes++
			case s.fresh:
				out.Tally.Created++
			case s.kind == HoldChanges, s.kind == HoldValues:
				out.Tally.Changes++
			}
			continue
		}
		h := Held{Change: *s.Change, Kind: s.kind, Why: s.why}
		h.describe(w.seat, s)
		out.Held = append(out.Held, h)
	}
	return out
}

// describe says what the change is about in the entity's terms.
func (h *Held) describe(seat *Seat, s *weighed) {
	if s.entity == nil {
		h.Title, h.After = s.MatchKey, s.In
		return
	}
	h.Entity, h.Title = s.entity.ID, s.entity.MatchKey
	if s.Op == record.Delete {
		return
	}
	h.Before, h.After = record.Fields{}, record.Fields{}
	l := s.entity.Links[seat.System]
	for f, v := range s.In {
		if held := l.Shadow(s.entity, f); !record.Equal(v, held) {
			h.Before[f], h.After[f] = held, v
		}
	}
}

// Judge decides about records that a whole reading did not show, and about what follows from that: "" when they may go, else why a person is asked. left is
// how many of the object's records were there besides, as far as it matters (see JudgeUpTo).
func (b *Brake) Judge(seat *Seat, t Tally, gone, known int64, f Following) string {
	name := fmt.Sprintf("%s in %s", seat.Object, seat.System)
	switch {
	case gone == 0:
		return ""
	case known <= gone:
		return fmt.Sprintf("%s turned empty: none of its %d records was there when it was read.", name, gone)
	case b.tellOnly:
		return ""
	}
	if p := b.absent.passed(t.Deletes+gone, known, "records are missing"); p != "" {
		return fmt.Sprintf("%s of %s; nobody said that they were deleted.", p, name)
	}
	if p := f.passes(b, t, gone); p != "" {
		return fmt.Sprintf("%s. It follows from records of %s that are missing; nobody said that they were deleted.", p, name)
	}
	return ""
}

// JudgeUpTo says how many records must be known to be there for Judge.
func (b *Brake) JudgeUpTo(t Tally, gone int64) int64 {
	return max(gone+1, b.absent.upTo(t.Deletes+gone))
}

// Refuse decides what it means that a person rejected changes of the seat: the entity stays as it is. With restore the
// system is brought back to what the entity says, where it takes anything; without, it keeps what it has and is left alone.
// Like Apply it is a function of its arguments.
func Refuse(seat *Seat, changes []Mapped, loaded Loaded, now time.Time, cause uuid.UUID, restore bool) Outcome {
	b := newBatch(seat, loaded, now, cause)
	restore = restore && seat.Writes
	for i := range changes {
		c := changes[i].Change
		e := b.byKey[c.Key]
		if e == nil || changes[i].Err != nil {
			continue // never known here, or not to be understood: there is nothing to bring back
		}
		b.settleKey(c)
		l := e.Links[seat.System]
		if c.Op == record.Delete {
			if e.DeletedAt != nil {
				continue
			}
			if restore {
				delete(e.Links, seat.System)
				delete(b.byKey, c.Key)
				delete(b.links, l)
				b.out.Unlinked = append(b.out.Unlinked, LinkRow{e.ID, l})
				b.journal(e, record.Unlinked, nil, nil)
				b.touch(e)
				if Owes(e, seat) {
					b.owe(e, seat.System, c)
				}
				continue
			}
			l.State, l.SyncedAt = record.Frozen, now
			b.touchLink(e, l)
			b.journal(e, record.Unlinked, nil, nil)
			continue
		}
		if c.Version != "" {
			l.Version = c.Version
		}
		for _, f := range sortedKeys(changes[i].In) {
			v := changes[i].In[f]
			if record.Equal(v, l.Shadow(e, f)) {
				continue
			}
			if !b.elsewhere(f) {
				b.setField(e, l, f, v, record.Stamp{System: seat.System, At: b.at(c)}) // a key that it made: nobody else's business
				continue
			}
			_, behind := l.Behind[f]
			l.Holds(f, v, e.Fields[f], !restore && !behind)
			b.touchLink(e, l)
		}
		if Owes(e, seat) {
			b.owe(e, seat.System, c)
		}
	}
	b.out.Counts.Read = int64(len(changes))
	b.collect()
	return b.out
}
