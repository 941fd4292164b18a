// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/record"
)

// Invariant 8: when edits stop, all systems of a service agree within a bounded number of rounds, or an open conflict or
// dead letter says why not. Rapid makes up what people do in two or three systems, in which order they are read and written,
// and what happens between a write and its settlement.
func TestConvergence(t *testing.T) {
	strategies := []string{"lastWriteWins", "firstWriteWins", "sourceWins", "targetWins", "shop-wins", "weighted", "merge", "manual", "{strategy: fieldPriority, priority: [shop, crm]}"}
	for _, strategy := range strategies {
		for _, deletes := range []string{"propagate", "ignore"} {
			t.Run(strategy+" "+deletes, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { converge(t, strategy, deletes) })
			})
		}
	}
}

func converge(t *rapid.T, strategy, deletes string) {
	ids := []string{"crm", "shop", "erp"}[:rapid.IntRange(2, 3).Draw(t, "systems")]
	systems := make([]record.System, len(ids))
	for i, s := range ids {
		systems[i] = record.System(s)
	}
	w := twin(t, document("multi-directional", "syncConfig: {deletes: "+deletes+", conflictResolution: "+strategy+"}", ids...), systems...)
	if rapid.Bool().Draw(t, "the shop shouts") {
		w.memory["shop"].Normalise("products", "name", func(v record.Value) record.Value {
			if s, ok := v.(string); ok {
				return strings.ToUpper(s)
			}
			return v
		})
	}
	system := rapid.SampledFrom(systems)
	key := rapid.SampledFrom([]record.Key{"A", "B"})
	edit := func() {
		s, k := system.Draw(t, "system"), key.Draw(t, "key")
		switch rapid.IntRange(0, 5).Draw(t, "edit") {
		case 0:
			w.put(s, k, name(rapid.SampledFrom([]string{"oak", "Oak", "pine"}).Draw(t, "name")))
		case 1:
			w.remove(s, k)
		case 2:
			w.put(s, k, record.Fields{"price": nil})
		default:
			w.put(s, k, quantity(rapid.Int64Range(0, 3).Draw(t, "quantity")))
		}
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0, 1:
			edit()
		case 2:
			w.pull(system.Draw(t, "system"))
		default:
			s := system.Draw(t, "system")
			w.deliver(s, func() {
				switch rapid.IntRange(0, 3).Draw(t, "meanwhile") {
				case 0:
					edit()
				case 1:
					// A lane holds its own lock while it writes: only another system can be read meanwhile.
					if other := system.Draw(t, "other"); other != s {
						w.pull(other)
					}
				}
			})
		}
	}
	w.settle()
	w.agree(deletes == "ignore")
}

// agree expects all systems to hold the same, but for what is in an open conflict, a dead letter, or left alone on purpose.
func (w *world) agree(leaveDeleted bool) {
	w.t.Helper()
	open := make(map[record.EntityID]map[string]bool)
	for _, c := range w.conflicts {
		if open[c.Entity] == nil {
			open[c.Entity] = make(map[string]bool)
		}
		open[c.Entity][c.Field] = true
	}
	known := make(map[record.System]map[record.Key]bool)
	for _, s := range w.systems() {
		known[s] = make(map[record.Key]bool)
	}
	for _, e := range w.sorted() {
		whole := open[e.ID][record.WholeRecord]
		for _, f := range e.Held {
			if !open[e.ID][f] {
				w.t.Fatalf("%s is held, and no conflict says why\n%s", f, w.describe())
			}
		}
		for _, s := range w.systems() {
			l := e.Links[s]
			_, dead := w.deadOut[s][e.ID]
			if l == nil {
				if e.DeletedAt == nil && !whole && !dead {
					w.t.Fatalf("%s lacks %s, and nothing says why\n%s", s, e.MatchKey, w.describe())
				}
				continue
			}
			known[s][l.Key] = true
			if l.State == record.Frozen && leaveDeleted || whole || dead {
				continue
			}
			if e.DeletedAt != nil {
				w.t.Fatalf("%s still holds %s, which was deleted, and nothing says why\n%s", s, e.MatchKey, w.describe())
			}
			held := w.user(s).Get(l.Key)
			if held == nil {
				w.t.Fatalf("%s does not hold %s, which its link says it does\n%s", s, l.Key, w.describe())
			}
			for f, v := range held {
				if open[e.ID][f] {
					continue
				}
				if !record.Equal(v, e.Fields[f]) && !record.Equal(v, l.OwnForm[f]) {
					w.t.Fatalf("%s holds %s.%s = %v, and nothing says why\n%s", s, l.Key, f, v, w.describe())
				}
				if own, there := l.OwnForm[f]; there && !strings.EqualFold(fmt.Sprint(own), fmt.Sprint(e.Fields[f])) {
					w.t.Fatalf("%v passes for %s's form of %v\n%s", own, s, e.Fields[f], w.describe())
				}
			}
			if want := record.Synced; len(e.Held) == 0 && l.State != want {
				w.t.Fatalf("the link of %s to %s is %s, want %s\n%s", e.MatchKey, s, l.State, want, w.describe())
			}
		}
	}
	for _, s := range w.systems() {
		for _, k := range slices.Sorted(maps.Keys(w.user(s).All())) {
			if _, dead := w.deadIn[s][k]; !known[s][k] && !dead {
				w.t.Fatalf("%s holds %s, of which nothing is known\n%s", s, k, w.describe())
			}
		}
	}
}
