// SPDX-License-Identifier: Apache-2.0

// Package conflict decides which value wins when two systems changed the same field since they last agreed. Three
// questions stay apart: that there is a conflict is the engine's finding, who wins is decided here, what is then sent back
// follows from the links.
package conflict

import (
	"fmt"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// Strategy is a word of the document's conflictResolution.
type Strategy string

// The strategies. SystemWins is written "<systemId>-wins" in the document.
const (
	LastWriteWins  Strategy = "lastWriteWins" // alias timestamp-based
	FirstWriteWins Strategy = "firstWriteWins"
	SourceWins     Strategy = "sourceWins"
	TargetWins     Strategy = "targetWins"
	SystemWins     Strategy = "systemWins"
	Weighted       Strategy = "weighted"
	FieldPriority  Strategy = "fieldPriority"
	Merge          Strategy = "merge"
	Average        Strategy = "average" // of numbers; the document allows it for single fields alone
	Custom         Strategy = "custom"  // an expression
	Manual         Strategy = "manual"
)

// Arrays says what Merge does with lists.
type Arrays string

// The ways of merging lists. Each is told by what both sides did to the list they last agreed on: an item that either
// took out stays out, whatever way it is.
const (
	Union   Arrays = "union"   // what either added, each once; the usual one
	Append  Arrays = "append"  // what the first to write added, then what the other added
	Replace Arrays = "replace" // the list of the last to write
	Keyed   Arrays = "keyed"   // items are objects with a key: those of one key are merged like objects
)

// Rule is the strategy for a field with what it needs to know of the service.
type Rule struct {
	Strategy Strategy
	System   record.System                      // for SystemWins
	Source   record.System                      // the primary system, or the first
	Weights  map[record.System]int              // for Weighted; a missing weight is 0
	Priority []record.System                    // for FieldPriority: the first that holds a value wins
	Rank     func(record.System) (at int)       // the system's place in the document; decides what nothing else does. May be nil
	Arrays   Arrays                             // for Merge; "" is Union
	Key      string                             // for Keyed: the field of an item that is its key; "" is id
	Custom   func(Claims) (record.Value, error) // for Custom: evaluates the field's expression
	Record   record.Fields                      // for Custom: the record as it is held, for expressions that look at other fields
}

// Claims are what an expression decides about. First and Last are the two sides in the order in which they were written, so
// that the order of arrival can make no difference.
type Claims struct {
	Base        record.Value
	First, Last Side
	Record      record.Fields
}

// Side is one system's claim to a field.
type Side struct {
	System  record.System `json:"system"`
	Value   record.Value  `json:"value"`
	At      time.Time     `json:"at"`     // when it was written by that system's clock; zero when it cannot tell
	SeenAt  time.Time     `json:"seenAt"` // when we learnt of it
	Deleted bool          `json:"deleted,omitempty"`
}

// maxAhead bounds how far a system's clock is believed to be ahead of ours.
const maxAhead = 5 * time.Second

// when is the time used for comparing: the system's own, unless it has none or claims to be in our future.
func (s Side) when() time.Time {
	if s.At.IsZero() || s.At.After(s.SeenAt.Add(maxAhead)) {
		return s.SeenAt
	}
	return s.At
}

// Decision is the outcome. Open means that a person decides; Winner and Value are then unset.
type Decision struct {
	Open   bool
	Winner record.System
	Value  record.Value
	Reason string // one sentence for people
}

// WithoutTimes is the rule for two sides whose times say nothing: strategies that go by time become SourceWins.
func (r Rule) WithoutTimes() Rule {
	switch r.Strategy {
	case LastWriteWins, FirstWriteWins, Merge:
		r.Strategy = SourceWins
	}
	return r
}

// Decide applies the rule to a field: held is the side the entity holds now, incoming the one that just arrived, base the
// value they last agreed on. It depends on the two claims alone, not on the order in which they arrived, wherever the
// claims themselves can tell.
func (r Rule) Decide(base record.Value, held, incoming Side) Decision {
	switch r.Strategy {
	case Manual:
		return Decision{Open: true, Reason: "The field's strategy is manual: somebody decides."}
	case FirstWriteWins:
		return r.byTime(held, incoming, false)
	case SourceWins:
		return r.bySystem(r.Source, held, incoming, "it is the source")
	case TargetWins:
		return r.byOther(r.Source, held, incoming)
	case SystemWins:
		return r.bySystem(r.System, held, incoming, "the strategy names it")
	case Weighted:
		h, i := r.Weights[held.System], r.Weights[incoming.System]
		switch {
		case h > i:
			return won(held, fmt.Sprintf("%s has weight %d, %s has %d.", held.System, h, incoming.System, i))
		case i > h:
			return won(incoming, fmt.Sprintf("%s has weight %d, %s has %d.", incoming.System, i, held.System, h))
		}
	case FieldPriority:
		for _, system := range r.Priority {
			for _, s := range []Side{held, incoming} {
				if s.System == system && s.Value != nil {
					return won(s, fmt.Sprintf("%s is the first of the field's priority that holds a value.", system))
				}
			}
		}
	case Merge:
		first, last := r.inOrder(held, incoming)
		if v, ok := r.merge(base, first.Value, last.Value); ok {
			return named(held, incoming, last, v, "Both sides changed the value; what each changed is kept, and where both changed the same part the last to write won.")
		}
	case Average:
		if v, ok := average(held.Value, incoming.Value); ok {
			_, last := r.inOrder(held, incoming)
			return named(held, incoming, last, v, fmt.Sprintf("The mean of %s and %s.", record.Text(held.Value), record.Text(incoming.Value)))
		}
	case Custom:
		if r.Custom == nil || held.Deleted || incoming.Deleted {
			break // an expression gives values; what becomes of a record is no value
		}
		first, last := r.inOrder(held, incoming)
		v, err := r.Custom(Claims{Base: base, First: first, Last: last, Record: r.Record})
		if err != nil {
			return Decision{Open: true, Reason: fmt.Sprintf("The expression gave no value, so somebody decides: %s.", strings.TrimSuffix(err.Error(), "."))}
		}
		return named(held, incoming, last, v, "The field's expression gave the value.")
	}
	return r.byTime(held, incoming, true)
}

// inOrder is the two sides by the time they wrote; at equal times the one that comes first in the document is the last, as
// it is for byTime.
func (r Rule) inOrder(a, b Side) (first, last Side) {
	x, y := a.when(), b.when()
	switch {
	case x.Before(y):
		return a, b
	case y.Before(x):
		return b, a
	case r.rank(b.System) < r.rank(a.System), r.rank(a.System) == r.rank(b.System) && b.System < a.System:
		return a, b
	}
	return b, a
}

// named is the outcome v, won by the side that claimed it, else by the last.
func named(held, incoming, last Side, v record.Value, reason string) Decision {
	d := Decision{Winner: last.System, Value: v, Reason: reason}
	if !record.Equal(last.Value, v) {
		for _, s := range []Side{held, incoming} {
			if record.Equal(s.Value, v) {
				d.Winner = s.System
			}
		}
	}
	return d
}

func won(s Side, reason string) Decision {
	return Decision{Winner: s.System, Value: s.Value, Reason: reason}
}

func (r Rule) bySystem(system record.System, held, incoming Side, why string) Decision {
	switch {
	case held.System == system && incoming.System != system:
		return won(held, fmt.Sprintf("%s wins: %s.", system, why))
	case incoming.System == system && held.System != system:
		return won(incoming, fmt.Sprintf("%s wins: %s.", system, why))
	}
	return r.byTime(held, incoming, true)
}

func (r Rule) byOther(source record.System, held, incoming Side) Decision {
	switch {
	case held.System == source && incoming.System != source:
		return won(incoming, fmt.Sprintf("%s wins: it is a target of %s.", incoming.System, source))
	case incoming.System == source && held.System != source:
		return won(held, fmt.Sprintf("%s wins: it is a target of %s.", held.System, source))
	}
	return r.byTime(held, incoming, true)
}

func (r Rule) byTime(held, incoming Side, latest bool) Decision {
	word := "last"
	if !latest {
		word = "first"
	}
	h, i := held.when(), incoming.when()
	if h.Equal(i) {
		w := held
		if r.rank(incoming.System) < r.rank(held.System) {
			w = incoming
		}
		return won(w, fmt.Sprintf("Both wrote at the same time (%s); %s comes first in the document.", stamp(h), w.System))
	}
	w, l := held, incoming
	if i.After(h) == latest {
		w, l = incoming, held
	}
	return won(w, fmt.Sprintf("%s wrote %s: %s against %s of %s.", w.System, word, stamp(w.when()), stamp(l.when()), l.System))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 MST") }

func (r Rule) rank(s record.System) int {
	if r.Rank == nil {
		return 0
	}
	return r.Rank(s)
}
