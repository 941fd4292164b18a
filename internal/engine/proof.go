// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// The proof of equality compares every system of a service with the entities, and so with each other. A digest of a range of
// records stands for them; only the records of ranges that differ are read. What differs is explained, or it is drift: a
// change that nobody told of. Drift is taken in as if it had just arrived.
//
// This file is functions of their arguments; prove.go carries them out.

// Reason says why a system's record and its entity are not equal.
type Reason string

// The reasons. All but drift are known to the engine and wait for somebody or something else.
const (
	ByDrift      Reason = "drift"       // nobody told of it; it is taken in now
	ByConflict   Reason = "conflict"    // a person decides
	ByDeadLetter Reason = "dead-letter" // the system refused it, or it could not be sent
	ByQuarantine Reason = "quarantined" // the system's record could not be taken in
	ByHold       Reason = "held"        // the brake or a rule wants somebody's yes
	ByPending    Reason = "pending"     // a delivery is owed, or the record keeps changing
	ByFreeze     Reason = "frozen"      // it is left alone
	ByFilter     Reason = "filtered"    // filter conditions or rules keep it away from the system
	ByDirection  Reason = "one-way"     // the system keeps a value of its own that nobody takes from it
	ByUnknown    Reason = "unmatched"   // a record of a system that is only written to, which matches nothing
)

// Reasons are all of them, the most urgent first: of several that apply the first counts.
var Reasons = []Reason{ByDrift, ByConflict, ByDeadLetter, ByQuarantine, ByHold, ByPending, ByFreeze, ByFilter, ByDirection, ByUnknown}

// Difference is a record that was not equal when it was looked at.
type Difference struct {
	ID         uuid.UUID
	System     record.System
	Object     record.Object
	Collection string
	Key        record.Key      // "" where the system has no record
	Entity     record.EntityID // zero where there is none
	Title      string          // what people call the record
	Reason     Reason
	Fields     []string // of the entity, that differ; none where it is the whole record
	Healed     bool     // of drift: it was taken in
	FoundAt    time.Time
}

// Compared is what the store knows of some entities: all that explains a difference.
type Compared struct {
	Entities []*record.Entity
	Owed     map[record.System]map[record.EntityID]bool // a delivery or an attempt
	DeadOut  map[record.System]map[record.EntityID]bool // an outward dead letter that is not settled
	DeadIn   map[record.System]map[record.Key]bool      // an inward one
	Held     map[record.System]map[record.Key]bool      // a change that the brake holds
}

// Standing is how an entity stands towards one system. Zero is equal, or none of the system's business.
type Standing struct {
	Reason Reason
	Fields []string
	Lost   bool // of drift: the system is owed something that no delivery is there for
}

// Equal says whether there is nothing to tell.
func (s Standing) Equal() bool { return s.Reason == "" }

// Explain says how the entity stands towards the seat's system by what is known of both, as long as the system's record is
// what its shadow says.
func Explain(e *record.Entity, s *Seat, known *Compared) Standing {
	l := e.Links[s.System]
	dead, owed := known.DeadOut[s.System][e.ID], known.Owed[s.System][e.ID]
	due := func(fields []string) Standing {
		switch {
		case dead:
			return Standing{Reason: ByDeadLetter, Fields: fields}
		case owed:
			return Standing{Reason: ByPending, Fields: fields}
		}
		return Standing{Reason: ByDrift, Fields: fields, Lost: true}
	}
	if e.DeletedAt != nil {
		switch {
		case l != nil && Owes(e, s):
			return due(nil)
		case l != nil && e.IsFrozen():
			return Standing{Reason: ByFreeze}
		}
		return Standing{}
	}
	if l == nil {
		return absent(e, s, due)
	}
	switch {
	case known.DeadIn[s.System][l.Key]:
		return Standing{Reason: ByQuarantine}
	case known.Held[s.System][l.Key]:
		return Standing{Reason: ByHold}
	case l.State == record.Frozen:
		return Standing{Reason: ByFreeze}
	case slices.Contains(e.Held, record.WholeRecord):
		return Standing{Reason: ByConflict}
	}
	var conflict, frozen, approval, filtered, oneWay, open []string
	for _, f := range sortedKeys(l.Behind) {
		switch {
		case e.IsHeld(f):
			conflict = append(conflict, f)
		case e.IsFrozen():
			frozen = append(frozen, f)
		case slices.Contains(e.Held, record.Approval), slices.Contains(e.Held, record.Twin):
			approval = append(approval, f)
		case !s.Writes || !s.Map.Writable(f):
			oneWay = append(oneWay, f)
		case !s.Collection.Flows(e.StampOf(f).System, s.System, f) && e.StampOf(f).System != s.System:
			oneWay = append(oneWay, f)
		case !s.takes(e, f) || !s.Collection.Admit(e.Fields):
			filtered = append(filtered, f)
		default:
			open = append(open, f)
		}
	}
	for _, f := range sortedKeys(l.OwnForm) {
		if !s.Reads && s.compares(f) && !sameForm(l.OwnForm[f], e.Fields[f]) {
			oneWay = append(oneWay, f)
		}
	}
	switch {
	case len(conflict) > 0:
		return Standing{Reason: ByConflict, Fields: conflict}
	case len(open) > 0:
		return due(open)
	case len(frozen) > 0:
		return Standing{Reason: ByFreeze, Fields: frozen}
	case len(approval) > 0:
		return Standing{Reason: ByHold, Fields: approval}
	case len(filtered) > 0:
		return Standing{Reason: ByFilter, Fields: filtered}
	case len(oneWay) > 0:
		return Standing{Reason: ByDirection, Fields: oneWay}
	}
	return Standing{}
}

// absent explains that the system has no record of an entity that lives.
func absent(e *record.Entity, s *Seat, due func([]string) Standing) Standing {
	switch {
	case !s.Writes || !s.Collection.flowsAny(e.Origin, s) && !flowsByStamp(e, s):
		return Standing{}
	case slices.Contains(e.Held, record.WholeRecord):
		return Standing{Reason: ByConflict}
	case e.IsFrozen():
		return Standing{Reason: ByFreeze}
	case slices.Contains(e.Held, record.Approval), slices.Contains(e.Held, record.Twin):
		return Standing{Reason: ByHold}
	case !Owes(e, s):
		return Standing{Reason: ByFilter}
	}
	return due(nil)
}

func flowsByStamp(e *record.Entity, s *Seat) bool {
	for f, st := range e.Stamps {
		if s.Collection.Flows(st.System, s.System, f) {
			return true
		}
	}
	return e.Origin == s.System
}

// sameForm says whether a system's own form of a value is just another way to write it.
func sameForm(own, v record.Value) bool {
	if record.Equal(own, v) {
		return true
	}
	if x, ok := number(own); ok {
		if y, also := number(v); also { // rounded or cut off behind the point
			text := string(own.(record.Number))
			_, digits, _ := strings.Cut(text, ".")
			unit := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(digits))), nil))
			return y.Sub(x, y).Abs(y).Cmp(unit) < 0
		}
	}
	fold := func(v record.Value) string {
		return strings.Map(func(r rune) rune {
			switch {
			case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r > 127:
				return r
			case r >= 'A' && r <= 'Z':
				return r + 'a' - 'A'
			}
			return -1
		}, record.Text(v))
	}
	a, b := fold(own), fold(v)
	more, longer := strings.CutPrefix(a, b)
	return a == b || a != "" && strings.HasPrefix(b, a) || // rounded or cut off
		b != "" && longer && strings.Trim(more, "0tz") == "" // filled up with zeros, or a day with the time of its beginning
}

// differing are the fields in which a record that was read is not what its shadow says: none for an equal one. The record
// counts as a whole, with one name "", where it cannot be mapped.
func differing(seat *Seat, e *record.Entity, m *Mapped) []string {
	if m.Op == record.Delete {
		return []string{record.WholeRecord}
	}
	in, own := m.In, m.own
	if m.Err != nil {
		in = seat.Map.InLoose(m.Fields)
		own = func(f string) record.Value { return in[f] }
	}
	l := e.Links[seat.System]
	var out []string
	for f := range in {
		if seat.compares(f) && !seat.Map.Same(f, own(f), l.Shadow(e, f)) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// compares says whether the field is one that can differ: not one that the system alone has and that nobody reads, and not the key that it
// gives its records, by which they are found.
func (s *Seat) compares(field string) bool {
	return s.elsewhere(field) || s.Reads && !slices.Contains(s.Map.Key(), field)
}

// compared are the fields that can differ, and what of a record is read for them: a column of objects as a whole.
func (s *Seat) compared() (fields, native []string) {
	native = slices.Clone(s.Map.Natives())
	for _, f := range s.Map.Fields() {
		if i := slices.Index(native, s.Map.Native(f)); i < 0 || s.compares(f) {
			fields = append(fields, f)
		} else {
			native = slices.Delete(native, i, i+1)
		}
	}
	return fields, native
}

// rangeDigest is what the digest of the entities' records in the seat's system must be; rest are the entities of which it is
// not known what the system holds in every field, so that their records have to be read.
func rangeDigest(seat *Seat, entities []*record.Entity, fields, native []string) (d connector.Digest, keys []record.Key, rest []*record.Entity) {
	var text []byte
next:
	for _, e := range entities {
		l := e.Links[seat.System]
		for _, f := range fields {
			if !knows(e, l, f) {
				rest = append(rest, e)
				continue next
			}
		}
		parts, err := l.Key.Parts(len(seat.Info.Key))
		if err != nil {
			rest = append(rest, e)
			continue
		}
		held, err := seat.Map.Holding(shadow(seat, e, l, fields))
		if err != nil {
			rest = append(rest, e)
			continue
		}
		text = text[:0]
		for _, p := range parts {
			text = connector.AppendDigestText(text, p)
		}
		for _, n := range native {
			text = connector.AppendDigestText(text, held[n])
		}
		keys = append(keys, l.Key)
		d.Add(connector.Digest{Count: 1, Sum: connector.RowDigest(text)})
	}
	return d, keys, rest
}

// SeatProof is what a comparison found in one system's object.
type SeatProof struct {
	System     record.System    `json:"system"`
	Object     record.Object    `json:"object"`
	Collection string           `json:"collection"`
	How        string           `json:"how"` // digests: computed in the system; records: they were read; none
	Why        string           `json:"why,omitempty"`
	Records    int64            `json:"records"` // compared
	Equal      int64            `json:"equal"`   // entities that stand well towards the system
	Reasons    map[Reason]int64 `json:"reasons,omitempty"`
	Ranges     int64            `json:"ranges"`    // compared by digest
	Differing  int64            `json:"differing"` // of those, the ones whose records were read
	Read       int64            `json:"read"`      // records read one by one
	Healed     int64            `json:"healed"`
	Failed     string           `json:"failed,omitempty"` // why the system could not be read: nothing is said of it
	Seen       int64            `json:"seen,omitempty"`   // records known by a link that a scan showed

	samples map[Reason]int
}

func (p *SeatProof) count(r Reason) {
	if p.Reasons == nil {
		p.Reasons = make(map[Reason]int64)
	}
	p.Reasons[r]++
}

// ProofResult is what a complete comparison found.
type ProofResult struct {
	Pass        uuid.UUID   `json:"pass"`
	AsOf        time.Time   `json:"asOf"` // when it began; what changed since was looked at as it was then or later
	CompletedAt time.Time   `json:"completedAt"`
	Revision    int         `json:"revision"`
	Total       int64       `json:"total"` // entities that live
	Equal       int64       `json:"equal"` // of those, the ones that are equal in every system
	Drift       int64       `json:"drift"`
	Healed      int64       `json:"healed"`
	Seats       []SeatProof `json:"seats"`
}

// Proven says whether every system could be compared.
func (r *ProofResult) Proven() bool {
	for i := range r.Seats {
		if r.Seats[i].Failed != "" {
			return false
		}
	}
	return true
}

// AllEqual says whether every record is equal in every system, and nothing is in one that no other knows of.
func (r *ProofResult) AllEqual() bool {
	for i := range r.Seats {
		for reason, n := range r.Seats[i].Reasons {
			if n > 0 && reason != ByUnknown {
				return false
			}
		}
	}
	return r.Equal == r.Total
}

// ProofProgress is where a comparison under way stands.
type ProofProgress struct {
	Revision   int           `json:"revision"`
	Collection int           `json:"collection"` // of the plan
	Stage      string        `json:"stage"`      // scan, entities, rest
	Seat       int           `json:"seat"`       // of the plan, in scan and rest
	Place      record.Cursor `json:"place,omitempty"`
	After      *uuid.UUID    `json:"after,omitempty"` // the entity
	Done       int64         `json:"done"`
	Estimate   int64         `json:"estimate"`
	Total      int64         `json:"total"`
	Equal      int64         `json:"equal"`
	Seats      []SeatProof   `json:"seats"`
}

// Proof is a service's proof of equality as it stands.
type Proof struct {
	Service   service.ID
	DueAt     time.Time // when the next comparison begins by itself
	AskedAt   *time.Time
	AskedBy   string
	CancelAt  *time.Time
	Pass      uuid.UUID // under way; zero between two
	StartedAt *time.Time
	Progress  *ProofProgress
	Result    *ProofResult // of the last complete one
}

// Running says whether a comparison is under way or asked for.
func (p *Proof) Running() bool { return p.Pass != uuid.Nil || p.AskedAt != nil }
