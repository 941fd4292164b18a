// SPDX-License-Identifier: Apache-2.0

package conflict_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/record"
)

// The laws of deciding and merging, over generated cases. `make laws` runs them over a million cases each.

var strategies = []conflict.Strategy{conflict.LastWriteWins, conflict.FirstWriteWins, conflict.SourceWins, conflict.TargetWins, conflict.SystemWins,
	conflict.Weighted, conflict.FieldPriority, conflict.Merge, conflict.Average, conflict.Custom, conflict.Manual}

var arrays = []conflict.Arrays{"", conflict.Union, conflict.Append, conflict.Replace, conflict.Keyed}

var leaf = rapid.SampledFrom([]record.Value{nil, "a", "b", record.Number("1"), record.Number("-2.5"), true})

// anyValue is a value of any kind: plain, an object, a list, a list of objects with keys.
func anyValue(depth int) *rapid.Generator[record.Value] {
	return rapid.Custom(func(t *rapid.T) record.Value {
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 4).Draw(t, "kind")
		}
		switch kind {
		case 1, 2:
			return rapid.MapOfN(rapid.SampledFrom([]string{"x", "y", "z"}), anyValue(depth-1), 0, 3).Draw(t, "object")
		case 3:
			return rapid.SliceOfN(leaf, 0, 4).Draw(t, "list")
		case 4:
			out := []any{}
			for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 3, rapid.ID[string]).Draw(t, "ids") {
				out = append(out, map[string]any{"id": id, "n": leaf.Draw(t, "n"), "m": leaf.Draw(t, "m")})
			}
			return out
		}
		return leaf.Draw(t, "leaf")
	})
}

// claims are two systems' claims at different times, and the value they last agreed on. Often a side is an edit of the base,
// as it is in life.
func claims(t *rapid.T) (base record.Value, a, b conflict.Side) {
	systems := rapid.Permutation(order).Draw(t, "systems")
	seconds := rapid.SliceOfNDistinct(rapid.IntRange(0, 1000), 2, 2, rapid.ID[int]).Draw(t, "seconds")
	base = anyValue(2).Draw(t, "base")
	side := func(name string) record.Value {
		if rapid.Bool().Draw(t, name+" edits") {
			return edited(t, base)
		}
		return anyValue(2).Draw(t, name)
	}
	return base, at(systems[0], seconds[0], side("a")), at(systems[1], seconds[1], side("b"))
}

// edited is the value with some of its parts changed, added or taken out.
func edited(t *rapid.T, v record.Value) record.Value {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range []string{"id", "m", "n", "x", "y", "z"} {
			part, in := v[k]
			switch rapid.IntRange(0, 5).Draw(t, "what of "+k) {
			case 0:
				if k != "id" {
					continue // taken out
				}
			case 1:
				if k != "id" {
					part, in = leaf.Draw(t, k), true
				}
			case 2:
				if in && k != "id" {
					part = edited(t, part)
				}
			}
			if in {
				out[k] = part
			}
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			switch rapid.IntRange(0, 4).Draw(t, "what of an item") {
			case 0:
			case 1:
				out = append(out, edited(t, item))
			default:
				out = append(out, item)
			}
		}
		if rapid.Bool().Draw(t, "added") {
			if len(v) > 0 {
				if _, keyed := v[0].(map[string]any); keyed {
					return append(out, map[string]any{"id": rapid.SampledFrom([]string{"7", "8", "9"}).Draw(t, "new id"), "n": leaf.Draw(t, "n")})
				}
			}
			out = append(out, leaf.Draw(t, "item"))
		}
		return out
	}
	return leaf.Draw(t, "instead")
}

func rules() *rapid.Generator[conflict.Rule] {
	return rapid.Custom(func(t *rapid.T) conflict.Rule {
		return conflict.Rule{
			Strategy: rapid.SampledFrom(strategies).Draw(t, "strategy"), Rank: rank,
			Source: rapid.SampledFrom(order).Draw(t, "source"), System: rapid.SampledFrom(order).Draw(t, "system"),
			Priority: rapid.SliceOfDistinct(rapid.SampledFrom(order), rapid.ID[record.System]).Draw(t, "priority"),
			Weights:  rapid.MapOf(rapid.SampledFrom(order), rapid.IntRange(0, 3)).Draw(t, "weights"),
			Arrays:   rapid.SampledFrom(arrays).Draw(t, "arrays"),
			Custom:   func(c conflict.Claims) (record.Value, error) { return []any{c.First.Value, c.Last.Value}, nil },
		}
	})
}

// Which claim arrived first makes no difference, so systems that are read in another order, or again after a crash, end
// with the same.
func TestLawOrderOfArrival(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rules().Draw(t, "rule")
		base, a, b := claims(t)
		one, other := rule.Decide(base, a, b), rule.Decide(base, b, a)
		if one.Open != other.Open || !record.Equal(one.Value, other.Value) || one.Winner != other.Winner && !record.Equal(a.Value, b.Value) {
			t.Fatalf("%s %s: %s with %v (%s), or %s with %v (%s)", rule.Strategy, rule.Arrays, one.Winner, one.Value, one.Reason, other.Winner, other.Value, other.Reason)
		}
	})
}

// Deciding leaves the claims and the base as they are: they are kept as the conflict's evidence.
func TestLawNothingIsChangedInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rules().Draw(t, "rule")
		base, a, b := claims(t)
		before := string(record.AppendJSON(nil, []any{base, a.Value, b.Value}))
		rule.Decide(base, a, b)
		if after := string(record.AppendJSON(nil, []any{base, a.Value, b.Value})); after != before {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

// No value is invented: what wins is one side's, or its every part stands in the same place of one side. Only a mean and an
// expression make something new.
func TestLawNothingIsInvented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rules().Draw(t, "rule")
		base, a, b := claims(t)
		d := rule.Decide(base, a, b)
		switch {
		case d.Open:
			if rule.Strategy != conflict.Manual {
				t.Fatalf("%s left it to a person", rule.Strategy)
			}
			return
		case d.Winner != a.System && d.Winner != b.System:
			t.Fatalf("%s won, which takes no part", d.Winner)
		case rule.Strategy == conflict.Custom:
			return
		case rule.Strategy == conflict.Average:
			if _, ok := d.Value.(record.Number); ok {
				return
			}
		}
		if rule.Strategy == conflict.Merge {
			if !from(d.Value, a.Value, b.Value) {
				t.Fatalf("%v of %v and %v has what neither side has", d.Value, a.Value, b.Value)
			}
			return
		}
		if !record.Equal(d.Value, a.Value) && !record.Equal(d.Value, b.Value) {
			t.Fatalf("%s made %v of %v and %v", rule.Strategy, d.Value, a.Value, b.Value)
		}
	})
}

// from says whether each part of v stands in the same place of a or b. Items of lists have no fixed place: an item is from
// one of the lists, or joined of items of both.
func from(v, a, b record.Value) bool {
	if record.Equal(v, a) || record.Equal(v, b) {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		am, _ := a.(map[string]any)
		bm, _ := b.(map[string]any)
		for k, part := range v {
			ap, ain := am[k]
			bp, bin := bm[k]
			switch {
			case ain && bin:
				if !from(part, ap, bp) {
					return false
				}
			case ain && !record.Equal(part, ap), bin && !record.Equal(part, bp), !ain && !bin:
				return false
			}
		}
		return true
	case []any:
		al, aok := a.([]any)
		bl, bok := b.([]any)
		if !aok || !bok {
			return false
		}
		for _, item := range v {
			if !slices.ContainsFunc(slices.Concat(al, bl), func(o any) bool {
				return slices.ContainsFunc(slices.Concat(al, bl), func(p any) bool { return from(item, o, p) })
			}) {
				return false
			}
		}
		return true
	}
	return false
}

// Sides that say the same agree, whatever the strategy.
func TestLawAgreement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rules().Draw(t, "rule")
		base, a, b := claims(t)
		b.Value = a.Value
		if rule.Strategy == conflict.Custom || rule.Strategy == conflict.Manual {
			return
		}
		if d := rule.Decide(base, a, b); !record.Equal(d.Value, a.Value) {
			t.Fatalf("%s made %v of %v twice", rule.Strategy, d.Value, a.Value)
		}
	})
}

// Merging is idempotent: what was merged, merged again with either side, stays as it is. So a system that repeats its claim,
// late or twice, moves nothing. Appending is no set operation and is left out: it adds what it is given.
func TestLawMergingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := conflict.Rule{Strategy: conflict.Merge, Rank: rank, Arrays: rapid.SampledFrom([]conflict.Arrays{"", conflict.Union, conflict.Keyed, conflict.Replace}).Draw(t, "arrays")}
		base, a, b := claims(t)
		d := rule.Decide(base, a, b)
		merged := conflict.Side{System: record.Person, Value: d.Value, At: noon.Add(1e15), SeenAt: noon.Add(1e15)} // written after both
		for _, s := range []conflict.Side{a, b} {
			if again := rule.Decide(base, merged, s); !record.Equal(again.Value, d.Value) {
				t.Fatalf("%s: %v and %v became %v, and that with %v became %v", rule.Arrays, a.Value, b.Value, d.Value, s.Value, again.Value)
			}
		}
	})
}

// A merge keeps each side's own changes: an edit of a part that only one side touched is never lost, however deep it is.
func TestLawNoEditIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, a, b := claims(t)
		d := conflict.Rule{Strategy: conflict.Merge, Rank: rank}.Decide(base, a, b)
		am, aok := a.Value.(map[string]any)
		bm, bok := b.Value.(map[string]any)
		if !aok || !bok {
			return
		}
		bases, _ := base.(map[string]any)
		kept(t, bases, am, bm, d.Value.(map[string]any))
	})
}

func kept(t *rapid.T, base, a, b, merged map[string]any) {
	for _, k := range []string{"id", "m", "n", "x", "y", "z"} {
		av, ain := a[k]
		bv, bin := b[k]
		ov, oin := base[k]
		mv, min := merged[k]
		aTouched := ain != oin || !record.Equal(av, ov)
		bTouched := bin != oin || !record.Equal(bv, ov)
		switch {
		case aTouched && !bTouched && (min != ain || !record.Equal(mv, av)), bTouched && !aTouched && (min != bin || !record.Equal(mv, bv)),
			!aTouched && !bTouched && (min != oin || !record.Equal(mv, ov)):
			t.Fatalf("%s: %v was made %v and %v, and became %v", k, ov, av, bv, mv)
		}
		if aTouched && bTouched {
			o, _ := ov.(map[string]any)
			am, aok := av.(map[string]any)
			bm, bok := bv.(map[string]any)
			if aok && bok {
				kept(t, o, am, bm, mv.(map[string]any))
			}
		}
	}
}
