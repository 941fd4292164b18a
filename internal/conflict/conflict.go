// SPDX-License-Identifier: Apache-2.0

// Package conflict decides which value wins when two systems changed the same field since they last agreed. Three
// questions stay apart: that there is a conflict is the engine's finding, who wins is decided here, what is then sent back
// follows from the links.
package conflict

import (
	"fmt"
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
	Manual         Strategy = "manual"
)

// Rule is the strategy for a field with what it needs to know of the service.
type Rule struct {
	Strategy Strategy
	System   record.System                // for SystemWins
	Source   record.System                // the primary system, or the first
	Weights  map[record.System]int        // for Weighted; a missing weight is 0
	Priority []record.System              // for FieldPriority: the first that holds a value wins
	Rank     func(record.System) (at int) // the system's place in the document; decides what nothing else does. May be nil
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
		if v, ok := mergeObjects(base, held.Value, incoming.Value); ok {
			return Decision{Winner: incoming.System, Value: v, Reason: "Both sides changed different parts of the value; both changes are kept."}
		}
	}
	return r.byTime(held, incoming, true)
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

// mergeObjects merges two objects that grew from base key by key; it gives up (false) when a value is not an object or
// both sides changed the same key differently.
func mergeObjects(base, a, b record.Value) (record.Value, bool) {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !aok || !bok {
		return nil, false
	}
	basem, _ := base.(map[string]any)
	out := make(map[string]any, len(am)+len(bm))
	keys := make(map[string]bool, len(am)+len(bm))
	for k := range am {
		keys[k] = true
	}
	for k := range bm {
		keys[k] = true
	}
	for k := range keys {
		av, ain := am[k]
		bv, bin := bm[k]
		ov, oin := basem[k]
		same := func(x any, xin bool, y any, yin bool) bool { return xin == yin && record.Equal(x, y) }
		switch {
		case same(av, ain, bv, bin):
		case same(bv, bin, ov, oin): // only a changed it
		case same(av, ain, ov, oin): // only b changed it
			av, ain = bv, bin
		default:
			m, ok := mergeObjects(ov, av, bv)
			if !ok {
				return nil, false
			}
			av, ain = m, true
		}
		if ain {
			out[k] = av
		}
	}
	return out, true
}
