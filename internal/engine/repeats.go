// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Repeat is a check that keeps out records which say the same as another one that was written shortly before or after.
type Repeat struct {
	Rule   string        // the business rule's name, or checkDuplicates
	Source record.System // only what this system changed; "" is any
	Holds  func(record.Fields) bool
	Fields []string // what is compared; nil: all fields of the system but those that tell its records apart
	Window time.Duration
}

// repeatsWithin is the window of checkDuplicates, for which the document says none.
const repeatsWithin = 24 * time.Hour

// leastCompared is how many fields must have a value for checkDuplicates to call two records the same.
const leastCompared = 2

// RepeatKey is what a record says in the fields that a check compares.
type RepeatKey struct {
	Rule string
	Key  string
}

// Repeated is a record that said the same.
type Repeated struct {
	RepeatKey
	Entity record.EntityID
	Title  string
	At     time.Time
}

// compileRepeats gives the collection the checks that keep repeated records out.
func compileRepeats(doc *service.Document, coll *Collection) {
	if v := doc.SyncConfig.Validation; v != nil && v.CheckDuplicates {
		coll.Repeats = append(coll.Repeats, Repeat{Rule: quality.CheckDuplicates, Window: repeatsWithin})
	}
}

// key is what the record says, for the check; "" when it says too little to repeat anything.
func (r *Repeat) key(seat *Seat, fields record.Fields) string {
	if r.Source != "" && r.Source != seat.System || r.Holds != nil && !r.Holds(fields) {
		return ""
	}
	compared, parts := r.Fields, []string(nil)
	if compared == nil {
		// Systems know different fields, so records of different systems are not compared as a whole.
		parts = append(parts, string(seat.System))
		filled := 0
		for _, f := range seat.Map.Fields() {
			if slices.Contains(seat.Map.Key(), f) || slices.Contains(seat.Collection.MatchFields, f) || seat.Collection.computes(f) {
				continue
			}
			compared = append(compared, f)
			if v := fields[f]; v != nil && v != "" {
				filled++
			}
		}
		if filled < leastCompared {
			return ""
		}
	} else {
		for _, f := range compared {
			if v := fields[f]; v == nil || v == "" {
				return "" // what is not there repeats nothing
			}
		}
	}
	slices.Sort(compared)
	for _, f := range compared {
		parts = append(parts, string(record.AppendJSON(nil, fields[f])))
	}
	return shortKey(strings.Join(parts, "\x1f"))
}

// shortKey is the key, or its digest where an index would not hold it.
func shortKey(key string) string {
	if len(key) <= 200 {
		return key
	}
	h := fnv.New128a()
	_, _ = h.Write([]byte(key))
	return hex.EncodeToString(h.Sum(nil))
}

// repeatKeys are what the mapped records say in the fields that are compared, without doubles.
func repeatKeys(mapped []Mapped) (keys []RepeatKey) {
	seen := make(map[RepeatKey]bool)
	for i := range mapped {
		for _, k := range mapped[i].Repeats {
			if k.Key != "" && !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// repeats says which check keeps the record out, because it says the same as another one. known is its entity, nil for a new one;
// a record that said so before is not kept out because it is seen again.
func (b *batch) repeats(m *Mapped, known *record.Entity) *quality.Failure {
	for i, k := range m.Repeats {
		if k.Key == "" {
			continue
		}
		check := &b.seat.Collection.Repeats[i]
		if known != nil {
			l := known.Links[b.seat.System]
			held := make(record.Fields, len(m.In))
			for f := range m.In {
				held[f] = l.Shadow(known, f)
			}
			if check.key(b.seat, held) == k.Key {
				continue
			}
		}
		at := b.at(m.Change)
		for _, r := range b.said[k] {
			if known != nil && r.Entity == known.ID || at.Sub(r.At).Abs() > check.Window {
				continue
			}
			return &quality.Failure{Rule: check.Rule, Reason: fmt.Sprintf("it says the same as the record %s%s, written at %s", ident.Format(ident.Entity, r.Entity), titled(r.Title), r.At.UTC().Format(time.RFC3339))}
		}
	}
	return nil
}

func titled(title string) string {
	if title == "" {
		return ""
	}
	return " (" + title + ")"
}

// says remembers what the record said, for those that come later.
func (b *batch) says(m *Mapped, e *record.Entity) {
	for i, k := range m.Repeats {
		if k.Key == "" {
			continue
		}
		if b.said == nil {
			b.said = make(map[RepeatKey][]Repeated)
		}
		at := b.at(m.Change)
		b.said[k] = append(b.said[k], Repeated{RepeatKey: k, Entity: e.ID, Title: e.MatchKey, At: at})
		b.out.Seen = append(b.out.Seen, Seen{Act: Act{Entity: e.ID, Rule: k.Rule}, Key: k.Key, At: at, Window: b.seat.Collection.Repeats[i].Window})
	}
}
