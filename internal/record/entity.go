// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Stamp says who gave a field its present value, and when by that system's clock.
type Stamp struct {
	System System    `json:"s"` // or Person
	At     time.Time `json:"t"`
}

// Person stands for a system where a person decided a value in the dashboard or through the API.
const Person System = "@person"

// Approval stands among an entity's held fields where a business rule wants somebody's yes before anything of it is sent.
const Approval = "@approval"

// Twin stands among an entity's held fields where it may be a record that is there already: nothing of it is sent before
// that is decided.
const Twin = "@duplicate"

// Merged stands among a dead entity's held fields where it was merged into another: its records that remain in their systems
// are left alone, or are being deleted or archived.
const Merged = "@merged"

// Ice stands among an entity's held fields while a person keeps the record frozen: what systems change is taken in, and nothing is
// sent.
const Ice = "@frozen"

// WholeRecord stands for a field name where the matter is the record itself: deleted here, changed there.
const WholeRecord = ""

// Entity is the one thing that records in several systems are copies of.
type Entity struct {
	ID         EntityID
	Collection string
	MatchKey   string // see match.Key; "" when the match fields are not all filled
	Fields     Fields
	Stamps     map[string]Stamp // for fields changed since the entity was made; others are Origin at CreatedAt
	Held       []string         // fields with an open conflict: sent nowhere until somebody decides
	Origin     System           // where it was first seen
	Version    int64
	CreatedAt  time.Time
	ChangedAt  time.Time  // when a field last changed, by our clock
	DeletedAt  *time.Time // nil while it lives
	Row        uint64     // which commit wrote the row that was loaded, in the store's own terms
	Place      uint64     // where that row lies, in the store's own terms; 0 where that is not known
	Links      map[System]*Link
}

// StampOf tells who gave the field its value, and when.
func (e *Entity) StampOf(field string) Stamp {
	if s, ok := e.Stamps[field]; ok {
		return s
	}
	return Stamp{System: e.Origin, At: e.CreatedAt}
}

// IsMerged says whether it was merged into another entity.
func (e *Entity) IsMerged() bool { return slices.Contains(e.Held, Merged) }

// IsHeld says whether the field, or the whole record, waits for a decision.
func (e *Entity) IsHeld(field string) bool {
	return slices.Contains(e.Held, field) || slices.Contains(e.Held, WholeRecord)
}

// IsFrozen says whether a person wants nothing of the record to be sent.
func (e *Entity) IsFrozen() bool { return slices.Contains(e.Held, Ice) }

// Waits says whether anything about the entity waits for a decision. That it is frozen is none.
func (e *Entity) Waits() bool {
	return slices.ContainsFunc(e.Held, func(f string) bool { return f != Ice })
}

// Settle takes back all that waits for a decision; a frozen entity stays frozen.
func (e *Entity) Settle() {
	if e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f != Ice }); len(e.Held) == 0 {
		e.Held = nil
	}
}

// LinkState is where a record stands; the words are the API's.
type LinkState string

// The states of a link.
const (
	Synced   LinkState = "synced"   // it holds what the entity holds
	Pending  LinkState = "pending"  // a delivery is owed
	InDoubt  LinkState = "conflict" // a field waits for a decision
	Rejected LinkState = "rejected" // the system refused it: there is a dead letter
	Frozen   LinkState = "frozen"   // left alone: deleted under the policy `ignore`, or by a person's wish
)

// Link says that a record of a system is a copy of an entity. A link moves from one entity to another only when the two are
// merged, or their merge is undone.
type Link struct {
	System  System
	Object  Object
	Key     Key
	State   LinkState
	Version string // the system's stamp when we last read or wrote it
	// Behind is where the shadow differs because the entity moved on: field -> the value the system still holds. A change
	// the system makes to such a field is a conflict: both sides changed it since they agreed.
	Behind Fields
	// OwnForm are fields that the system holds in its own form of the entity's value (rounded, trimmed, normalised) and that
	// count as equal.
	OwnForm  Fields
	SyncedAt time.Time
	Row      uint64 // see Entity
	Place    uint64 // see Entity
}

// Shadow is what the system last held in the field.
func (l *Link) Shadow(e *Entity, field string) Value {
	if v, ok := l.Behind[field]; ok {
		return v
	}
	if v, ok := l.OwnForm[field]; ok {
		return v
	}
	return e.Fields[field]
}

// Says is whether the link says what another does of the same record, apart from when.
func (l *Link) Says(other *Link) bool {
	return l.Key == other.Key && l.State == other.State && l.Version == other.Version && sameFields(l.Behind, other.Behind) && sameFields(l.OwnForm, other.OwnForm)
}

func sameFields(a, b Fields) bool {
	return maps.EqualFunc(a, b, func(x, y Value) bool { return Equal(x, y) })
}

// SyncedAt is when the link's system last told of the record, or was told: the link's own time or, since a change that the entity took
// over may leave the link as it was, that of the newest value that is the system's.
func (e *Entity) SyncedAt(l *Link) time.Time {
	at := l.SyncedAt
	for _, s := range e.Stamps {
		// What a system says of its own time may be ahead of ours.
		if s.System == l.System && s.At.After(at) && e.ChangedAt.After(at) {
			at = s.At
			if e.ChangedAt.Before(at) {
				at = e.ChangedAt
			}
		}
	}
	return at
}

// SetBehind notes that the system still holds v while the entity moved on. Of several moves the first counts: it is what
// the system really holds.
func (l *Link) SetBehind(field string, v Value) {
	if _, already := l.Behind[field]; already {
		return
	}
	if l.Behind == nil {
		l.Behind = Fields{}
	}
	l.Behind[field] = v
}

// Holds notes that the system now holds v, while the entity holds present: equal, or the system's own form of it when
// accepted is true, or behind.
func (l *Link) Holds(field string, v, present Value, accepted bool) {
	delete(l.Behind, field)
	delete(l.OwnForm, field)
	switch {
	case Equal(v, present):
	case accepted:
		if l.OwnForm == nil {
			l.OwnForm = Fields{}
		}
		l.OwnForm[field] = v
	default:
		if l.Behind == nil {
			l.Behind = Fields{}
		}
		l.Behind[field] = v
	}
}

// JournalKind says what a journal entry tells of.
type JournalKind string

// ByProof is the actor of changes that no system told of: the comparison of all records found them, and is their cause.
const ByProof = "@proof"

// The kinds of journal entries.
const (
	Changed   JournalKind = "change"   // a change came in from a system
	Delivered JournalKind = "delivery" // a change was applied to a system
	Decided   JournalKind = "decision" // a person or rule settled a conflict
)

// Span is what one act of a person wrote into the history, of however many records: the lines from the first to the last that have its
// actor. An act of several commits has other people's lines between its own.
type Span struct {
	First, Last uuid.UUID
	Actor       string // "" for whoever
}

// SpanOf finds the span of an actor's lines, which are in no order; their ids are in the order of time.
func SpanOf(lines []Entry) (s Span) {
	for i := range lines {
		s = s.And(Span{lines[i].ID, lines[i].ID, lines[i].Actor})
	}
	return s
}

// IsZero says whether nothing was written.
func (s Span) IsZero() bool { return s.First == uuid.Nil }

// And is the span of both, which one actor wrote.
func (s Span) And(o Span) Span {
	switch {
	case s.IsZero():
		return o
	case o.IsZero():
		return s
	}
	if bytes.Compare(o.First[:], s.First[:]) < 0 {
		s.First = o.First
	}
	if bytes.Compare(o.Last[:], s.Last[:]) > 0 {
		s.Last = o.Last
	}
	return s
}

// JournalOp says what happened to the entity or record.
type JournalOp string

// The journal's operations.
const (
	Created  JournalOp = "create"
	Updated  JournalOp = "update"
	Deleted  JournalOp = "delete"
	Linked   JournalOp = "link"
	Unlinked JournalOp = "unlink"
	Froze    JournalOp = "freeze"
	Thawed   JournalOp = "thaw"

	// A business rule marked the record as reconciled, and took that back when it no longer met the rule.
	Reconciled   JournalOp = "reconcile"
	Unreconciled JournalOp = "unreconcile"
)

// Entry is one line of an entity's history.
type Entry struct {
	ID     uuid.UUID
	Entity EntityID
	At     time.Time
	Kind   JournalKind
	Op     JournalOp
	System System
	Actor  string    // the person's or key's name for a decision
	Cause  uuid.UUID // the run, attempt or conflict; zero when none
	Before Fields    // the changed fields as they were; nil for a creation
	After  Fields    // as they became; nil for a deletion
}
