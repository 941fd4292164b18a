// SPDX-License-Identifier: Apache-2.0

package conflict_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/record"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	order = []record.System{"crm", "shop", "erp"}
)

func rank(s record.System) int { return slices.Index(order, s) }

// at is a claim that the system says it made so many seconds after noon; we learnt of it a minute later.
func at(system record.System, seconds int, v record.Value) conflict.Side {
	when := noon.Add(time.Duration(seconds) * time.Second)
	return conflict.Side{System: system, Value: v, At: when, SeenAt: when.Add(time.Minute)}
}

func TestDecide(t *testing.T) {
	unclocked := func(s conflict.Side, seen int) conflict.Side {
		s.At, s.SeenAt = time.Time{}, noon.Add(time.Duration(seen)*time.Second)
		return s
	}
	object := func(pairs ...any) record.Value {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	list := func(items ...any) record.Value { return append([]any{}, items...) }
	joined := func(c conflict.Claims) (record.Value, error) {
		if c.Last.Value == nil {
			return nil, errors.New("nothing to join")
		}
		return record.Text(c.First.Value) + "+" + record.Text(c.Last.Value), nil
	}
	tests := []struct {
		name           string
		rule           conflict.Rule
		base           record.Value
		held, incoming conflict.Side
		want           record.Value
		open           bool
	}{
		{name: "the later write wins", rule: conflict.Rule{Strategy: conflict.LastWriteWins}, held: at("crm", 1, "old"), incoming: at("shop", 2, "new"), want: "new"},
		{name: "though it arrived first", rule: conflict.Rule{Strategy: conflict.LastWriteWins}, held: at("crm", 2, "new"), incoming: at("shop", 1, "old"), want: "new"},
		{name: "at the same time the first of the document", rule: conflict.Rule{Strategy: conflict.LastWriteWins, Rank: rank}, held: at("shop", 1, "shop's"), incoming: at("crm", 1, "crm's"), want: "crm's"},
		{name: "at the same time and without an order the entity keeps its value", rule: conflict.Rule{Strategy: conflict.LastWriteWins}, held: at("shop", 1, "kept"), incoming: at("crm", 1, "other"), want: "kept"},
		{name: "a person's value at the same time wins", rule: conflict.Rule{Strategy: conflict.LastWriteWins, Rank: rank}, held: at("crm", 1, "crm's"), incoming: at(record.Person, 1, "theirs"), want: "theirs"},
		{name: "without a clock, when we learnt of it counts", rule: conflict.Rule{Strategy: conflict.LastWriteWins}, held: unclocked(at("crm", 0, "a"), 10), incoming: unclocked(at("shop", 0, "b"), 20), want: "b"},
		{name: "a clock that is ahead by hours does not win for ever", rule: conflict.Rule{Strategy: conflict.LastWriteWins},
			held:     conflict.Side{System: "crm", Value: "ahead", At: noon.Add(9 * time.Hour), SeenAt: noon},
			incoming: conflict.Side{System: "shop", Value: "later", At: noon.Add(time.Minute), SeenAt: noon.Add(time.Minute)}, want: "later"},
		{name: "a clock ahead by a few seconds is believed", rule: conflict.Rule{Strategy: conflict.LastWriteWins},
			held:     conflict.Side{System: "crm", Value: "ahead", At: noon.Add(4 * time.Second), SeenAt: noon},
			incoming: conflict.Side{System: "shop", Value: "earlier", At: noon.Add(3 * time.Second), SeenAt: noon.Add(3 * time.Second)}, want: "ahead"},
		{name: "the first write wins", rule: conflict.Rule{Strategy: conflict.FirstWriteWins}, held: at("crm", 2, "second"), incoming: at("shop", 1, "first"), want: "first"},
		{name: "the source wins though older", rule: conflict.Rule{Strategy: conflict.SourceWins, Source: "crm"}, held: at("crm", 1, "source's"), incoming: at("shop", 9, "newer"), want: "source's"},
		{name: "the source wins when it comes second", rule: conflict.Rule{Strategy: conflict.SourceWins, Source: "crm"}, held: at("shop", 9, "newer"), incoming: at("crm", 1, "source's"), want: "source's"},
		{name: "between two targets the later", rule: conflict.Rule{Strategy: conflict.SourceWins, Source: "crm"}, held: at("shop", 1, "old"), incoming: at("erp", 2, "new"), want: "new"},
		{name: "a target wins", rule: conflict.Rule{Strategy: conflict.TargetWins, Source: "crm"}, held: at("crm", 9, "source's"), incoming: at("shop", 1, "target's"), want: "target's"},
		{name: "a target wins when it is held", rule: conflict.Rule{Strategy: conflict.TargetWins, Source: "crm"}, held: at("shop", 1, "target's"), incoming: at("crm", 9, "source's"), want: "target's"},
		{name: "among targets the later", rule: conflict.Rule{Strategy: conflict.TargetWins, Source: "crm"}, held: at("shop", 1, "old"), incoming: at("erp", 2, "new"), want: "new"},
		{name: "the named system wins", rule: conflict.Rule{Strategy: conflict.SystemWins, System: "erp"}, held: at("erp", 1, "erp's"), incoming: at("crm", 9, "newer"), want: "erp's"},
		{name: "the named system is not part of it", rule: conflict.Rule{Strategy: conflict.SystemWins, System: "erp"}, held: at("crm", 1, "old"), incoming: at("shop", 2, "new"), want: "new"},
		{name: "the higher weight wins", rule: conflict.Rule{Strategy: conflict.Weighted, Weights: map[record.System]int{"crm": 10, "shop": 90}}, held: at("crm", 9, "light"), incoming: at("shop", 1, "heavy"), want: "heavy"},
		{name: "no weight is none", rule: conflict.Rule{Strategy: conflict.Weighted, Weights: map[record.System]int{"shop": 1}}, held: at("shop", 1, "some"), incoming: at("crm", 9, "none"), want: "some"},
		{name: "equal weights go to the last write", rule: conflict.Rule{Strategy: conflict.Weighted, Weights: map[record.System]int{"crm": 5, "shop": 5}}, held: at("crm", 2, "new"), incoming: at("shop", 1, "old"), want: "new"},
		{name: "the first of the priority that has a value", rule: conflict.Rule{Strategy: conflict.FieldPriority, Priority: []record.System{"erp", "shop", "crm"}}, held: at("crm", 9, "third"), incoming: at("shop", 1, "second"), want: "second"},
		{name: "one without a value is passed over", rule: conflict.Rule{Strategy: conflict.FieldPriority, Priority: []record.System{"shop", "crm"}}, held: at("crm", 1, "there"), incoming: at("shop", 9, nil), want: "there"},
		{name: "a priority that names neither", rule: conflict.Rule{Strategy: conflict.FieldPriority, Priority: []record.System{"erp"}}, held: at("crm", 1, "old"), incoming: at("shop", 2, "new"), want: "new"},
		{name: "a person decides", rule: conflict.Rule{Strategy: conflict.Manual}, held: at("crm", 1, "a"), incoming: at("shop", 2, "b"), open: true},
		{name: "different parts are both kept", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("city", "Ulm", "zip", "1"),
			held: at("crm", 1, object("city", "Bonn", "zip", "1")), incoming: at("shop", 2, object("city", "Ulm", "zip", "2")), want: object("city", "Bonn", "zip", "2")},
		{name: "what one side took away stays away", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("a", "1", "b", "1"),
			held: at("crm", 1, object("b", "1")), incoming: at("shop", 2, object("a", "1", "b", "2")), want: object("b", "2")},
		{name: "parts of parts", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("home", object("city", "Ulm", "zip", "1")),
			held: at("crm", 1, object("home", object("city", "Bonn", "zip", "1"))), incoming: at("shop", 2, object("home", object("city", "Ulm", "zip", "2"))),
			want: object("home", object("city", "Bonn", "zip", "2"))},
		{name: "the same part: the last write", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("city", "Ulm"),
			held: at("crm", 2, object("city", "Bonn")), incoming: at("shop", 1, object("city", "Köln")), want: object("city", "Bonn")},
		{name: "taken away here, changed there: the last write", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("city", "Ulm"),
			held: at("crm", 1, object()), incoming: at("shop", 2, object("city", "Köln")), want: object("city", "Köln")},
		{name: "of parts that both changed the last write, of others each side's own", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("city", "Ulm", "zip", "1", "street", "A"),
			held: at("crm", 2, object("city", "Bonn", "zip", "2", "street", "A")), incoming: at("shop", 1, object("city", "Köln", "zip", "1", "street", "B")), want: object("city", "Bonn", "zip", "2", "street", "B")},
		{name: "lists: what either added, once", rule: conflict.Rule{Strategy: conflict.Merge}, base: list("a", "b"),
			held: at("crm", 1, list("a", "b", "c", "x")), incoming: at("shop", 2, list("a", "d", "x")), want: list("a", "c", "x", "d")},
		{name: "lists appended: the first to write comes first", rule: conflict.Rule{Strategy: conflict.Merge, Arrays: conflict.Append}, base: list("a"),
			held: at("crm", 2, list("a", "x", "y")), incoming: at("shop", 1, list("a", "x")), want: list("a", "x", "x", "y")},
		{name: "lists replaced: the last write", rule: conflict.Rule{Strategy: conflict.Merge, Arrays: conflict.Replace}, base: list("a"),
			held: at("crm", 2, list("b")), incoming: at("shop", 1, list("c")), want: list("b")},
		{name: "lists by key: items are merged like objects", rule: conflict.Rule{Strategy: conflict.Merge, Arrays: conflict.Keyed, Key: "sku"},
			base: list(object("sku", "A", "n", "1", "p", "1"), object("sku", "B", "n", "1")),
			held: at("crm", 1, list(object("sku", "A", "n", "2", "p", "1"), object("sku", "C", "n", "1"))), incoming: at("shop", 2, list(object("sku", "A", "n", "1", "p", "9"), object("sku", "B", "n", "1"))),
			want: list(object("sku", "A", "n", "2", "p", "9"), object("sku", "C", "n", "1"))},
		{name: "lists by key without keys: what either added", rule: conflict.Rule{Strategy: conflict.Merge, Arrays: conflict.Keyed}, base: list(),
			held: at("crm", 1, list("a")), incoming: at("shop", 2, list("b")), want: list("a", "b")},
		{name: "lists within objects", rule: conflict.Rule{Strategy: conflict.Merge}, base: object("tags", list("a")),
			held: at("crm", 1, object("tags", list("a", "b"))), incoming: at("shop", 2, object("tags", list("a", "c"))), want: object("tags", list("a", "b", "c"))},
		{name: "the mean", rule: conflict.Rule{Strategy: conflict.Average}, held: at("crm", 1, record.Number("1.5")), incoming: at("shop", 2, record.Number("2")), want: record.Number("1.8")},
		{name: "the mean of whole numbers is whole, a half goes to the even", rule: conflict.Rule{Strategy: conflict.Average}, held: at("crm", 1, record.Number("7")), incoming: at("shop", 2, record.Number("8")), want: record.Number("8")},
		{name: "the mean of negative numbers", rule: conflict.Rule{Strategy: conflict.Average}, held: at("crm", 1, record.Number("-7")), incoming: at("shop", 2, record.Number("-8")), want: record.Number("-8")},
		{name: "what is no number has no mean: the last write", rule: conflict.Rule{Strategy: conflict.Average}, held: at("crm", 1, record.Number("7")), incoming: at("shop", 2, nil), want: nil},
		{name: "an expression gives the value", rule: conflict.Rule{Strategy: conflict.Custom, Custom: joined}, held: at("shop", 2, "new"), incoming: at("crm", 1, "old"), want: "old+new"},
		{name: "an expression that fails is for a person", rule: conflict.Rule{Strategy: conflict.Custom, Custom: joined}, held: at("shop", 2, nil), incoming: at("crm", 1, "old"), open: true},
		{name: "plain values cannot be merged", rule: conflict.Rule{Strategy: conflict.Merge}, base: "x", held: at("crm", 1, "y"), incoming: at("shop", 2, "z"), want: "z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := test.rule.Decide(test.base, test.held, test.incoming)
			if d.Open != test.open {
				t.Fatalf("open %v, want %v", d.Open, test.open)
			}
			if d.Reason == "" || !strings.HasSuffix(d.Reason, ".") {
				t.Errorf("the reason is %q, want a sentence", d.Reason)
			}
			if test.open {
				if d.Winner != "" || d.Value != nil {
					t.Errorf("nobody decided, and %s won with %v", d.Winner, d.Value)
				}
				return
			}
			if !record.Equal(d.Value, test.want) {
				t.Errorf("%v won (%s), want %v", d.Value, d.Reason, test.want)
			}
			if d.Winner != test.held.System && d.Winner != test.incoming.System {
				t.Errorf("%s won, which takes no part", d.Winner)
			}
		})
	}
}

func TestWithoutTimes(t *testing.T) {
	for strategy, want := range map[conflict.Strategy]conflict.Strategy{
		conflict.LastWriteWins: conflict.SourceWins, conflict.FirstWriteWins: conflict.SourceWins, conflict.Merge: conflict.SourceWins,
		conflict.Manual: conflict.Manual, conflict.TargetWins: conflict.TargetWins, conflict.Weighted: conflict.Weighted, conflict.SystemWins: conflict.SystemWins,
	} {
		if got := (conflict.Rule{Strategy: strategy}).WithoutTimes().Strategy; got != want {
			t.Errorf("%s becomes %s, want %s", strategy, got, want)
		}
	}
}

// A merge keeps each side's own changes: no edit of a part that only one side touched is lost.
func TestMergeLosesNoEdit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := []string{"u", "v", "w", "x", "y", "z"}
		base, am, bm, want := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
		for _, p := range parts {
			base[p], am[p], bm[p], want[p] = "old", "old", "old", "old"
			switch rapid.IntRange(0, 2).Draw(t, p) {
			case 0:
				am[p] = "a's"
				want[p] = "a's"
			case 1:
				bm[p] = "b's"
				want[p] = "b's"
			}
		}
		d := conflict.Rule{Strategy: conflict.Merge}.Decide(base, at("crm", 1, am), at("shop", 2, bm))
		if !record.Equal(d.Value, want) {
			t.Fatalf("%v and %v became %v", am, bm, d.Value)
		}
		if fmt.Sprint(base) != "map[u:old v:old w:old x:old y:old z:old]" {
			t.Fatal("merging changed the base in place")
		}
	})
}
