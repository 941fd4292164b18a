// SPDX-License-Identifier: Apache-2.0

package match_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
)

func people() *match.Likeness {
	return &match.Likeness{Auto: 0.95, Ask: 0.85, Fields: []match.Like{
		{Field: "email", Kind: match.KindEmail, Same: true},
		{Field: "name", Kind: match.KindName, Threshold: 0.88},
		{Field: "phone", Kind: match.KindPhone, Threshold: 0.9},
		{Field: "address", Kind: match.KindAddress, Threshold: 0.85},
	}}
}

func TestLikeness(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b record.Fields
		want match.Likely
	}{
		{"nothing in common", record.Fields{"name": "Ada Lovelace"}, record.Fields{"name": "Grace Hopper"}, match.Ignore},
		{"nothing to compare", record.Fields{"name": "Ada"}, record.Fields{"email": "ada@x.example"}, match.Ignore},
		{"equal", record.Fields{"name": "Ada Lovelace", "email": "ada@x.example"}, record.Fields{"name": "Ada Lovelace", "email": "ada@x.example"}, match.Auto},
		{"an address as it is delivered", record.Fields{"name": "Ada", "email": "A.Lovelace+news@GMail.com"}, record.Fields{"name": "Ada", "email": "alovelace@googlemail.com"}, match.Auto},
		{"a telephone number otherwise written", record.Fields{"name": "Ada L", "phone": "+49 (731) 123 45 67"}, record.Fields{"name": "ada l", "phone": "0731/1234567"}, match.Auto},
		{"names the other way round", record.Fields{"name": "Lovelace, Ada", "phone": "+497311234567"}, record.Fields{"name": "Ada Lovelace", "phone": "+497311234567"}, match.Auto},
		{"a slip of the pen", record.Fields{"name": "Jonathan Smith"}, record.Fields{"name": "Jonathon Smith"}, match.Auto},
		{"an initial", record.Fields{"name": "J. Smith"}, record.Fields{"name": "John Smith"}, match.Ask},
		{"marks", record.Fields{"name": "Jürgen Weiß"}, record.Fields{"name": "Jurgen Weiss"}, match.Auto},
		{"the neighbours", record.Fields{"address": "12 Main St"}, record.Fields{"address": "14 Main Street"}, match.Ignore},
		{"abbreviations", record.Fields{"address": "12 N. Main St."}, record.Fields{"address": "12 North Main Street"}, match.Auto},
		{"the same address, another person", record.Fields{"name": "Ada Lovelace", "email": "office@x.example"}, record.Fields{"name": "Grace Hopper", "email": "office@x.example"}, match.Ask},
		{"the same name, another telephone", record.Fields{"name": "Ada Lovelace", "phone": "+497311234567"}, record.Fields{"name": "Ada Lovelace", "phone": "+4930999999"}, match.Ignore},
	} {
		l := people()
		got := l.Compare(test.a, test.b)
		if got.Outcome != test.want {
			t.Errorf("%s: %+v, want %s", test.name, got, test.want)
		}
		if got.Outcome != match.Ignore && !shareBlock(l, test.a, test.b) {
			t.Errorf("%s: they would never be compared: %v, %v", test.name, l.Keys(test.a), l.Keys(test.b))
		}
	}
	manual := people()
	manual.Manual = true
	if got := manual.Compare(record.Fields{"name": "Ada"}, record.Fields{"name": "Ada"}); got.Outcome != match.Ask {
		t.Errorf("a person decides everything: %+v", got)
	}
}

func shareBlock(l *match.Likeness, a, b record.Fields) bool {
	keys := l.Keys(b)
	return slices.ContainsFunc(l.Keys(a), func(k string) bool { return slices.Contains(keys, k) })
}

// Whichever record comes first, the verdict is the same; it is between nothing and all; a record is like itself; keys and
// verdict depend on the record alone.
func TestLikenessLaws(t *testing.T) {
	for _, algorithm := range []match.Algorithm{match.JaroWinkler, match.Levenshtein} {
		l := people()
		for i := range l.Fields {
			l.Fields[i].Algorithm = algorithm
		}
		rapid.Check(t, func(t *rapid.T) {
			some := func(label string) record.Fields {
				f := record.Fields{}
				for _, name := range []string{"email", "name", "phone", "address"} {
					switch rapid.IntRange(0, 3).Draw(t, label+name) {
					case 1:
						f[name] = rapid.StringMatching(`[a-zA-ZäÖß0-9 .@+'-]{0,20}`).Draw(t, label+name+"v")
					case 2:
						f[name] = rapid.String().Draw(t, label+name+"v")
					case 3:
						f[name] = nil
					}
				}
				return f
			}
			a, b := some("a"), some("b")
			x, y := l.Compare(a, b), l.Compare(b, a)
			if x.Outcome != y.Outcome || abs(x.Score-y.Score) > 1e-12 {
				t.Fatalf("%+v one way, %+v the other", x, y)
			}
			if x.Score < 0 || x.Score > 1 {
				t.Fatalf("the score is %g", x.Score)
			}
			if self := l.Compare(a, a); len(self.Fields) > 0 && self.Score != 1 {
				t.Fatalf("a record is like itself by %+v", self)
			}
			if !slices.Equal(l.Keys(a), l.Keys(a.Clone())) {
				t.Fatal("the blocks of a record are not the same twice")
			}
			if self := l.Compare(a, a); self.Outcome == match.Auto && len(l.Keys(a)) == 0 {
				t.Fatalf("%v is in no block", a)
			}
		})
	}
}

func abs(x float64) float64 { return max(x, -x) }

// Comparisons grow as the records do, not as their square: blocks are small, and of one with many only some are compared. The worst
// case is everybody having one name.
func TestComparisonsGrowWithRecords(t *testing.T) {
	compared, found, made := comparisons(20000, false)
	t.Logf("20,000 people: %d comparisons (of %d pairs), %d of %d duplicates found", compared, 20000*19999/2, found, made)
	if compared > 20000*5 {
		t.Errorf("%d comparisons for 20,000 records", compared)
	}
	if found*100 < made*95 {
		t.Errorf("%d of %d duplicates were found", found, made)
	}
	small, _, _ := comparisons(1000, true)
	large, _, _ := comparisons(10000, true)
	t.Logf("namesakes: 1,000 records %d comparisons, 10,000 records %d", small, large)
	if large > 12*small {
		t.Errorf("ten times the records are %d times the comparisons", large/max(small, 1))
	}
}

const mostInBlock = 50 // as the store bounds it

// comparisons makes n people, or n of one name, every tenth twice with a slip of the pen, and counts what is compared and found.
func comparisons(n int, namesakes bool) (compared, found, made int) {
	r := rand.New(rand.NewPCG(1, 2))
	syllables := []string{"an", "ber", "cor", "dal", "el", "fin", "gor", "hal", "is", "jon", "ka", "lem", "mar", "nor", "ol", "per", "quin", "ros", "sel", "tor", "ul", "vin", "wil", "xan", "yor", "zed"}
	word := func(k int) (s string) {
		for range k {
			s += syllables[r.IntN(len(syllables))]
		}
		return s
	}
	l := people()
	blocks := make(map[string][]int)
	var list []record.Fields
	twin := make(map[int]int)
	for i := 0; i < n; i++ {
		var f record.Fields
		if i%10 == 9 {
			other := r.IntN(len(list))
			f = list[other].Clone()
			name := []rune(f["name"].(string))
			at := 1 + r.IntN(len(name)-2)
			name[at], name[at-1] = name[at-1], name[at]
			f["name"], f["email"] = string(name), nil
			twin[i] = other
			made++
		} else {
			f = record.Fields{"name": word(2) + " " + word(3), "email": fmt.Sprintf("%s%d@x.example", word(2), i), "phone": fmt.Sprintf("+49731%07d", r.IntN(10_000_000))}
		}
		if namesakes {
			f["name"] = "John Smith"
		}
		list = append(list, f)
		seen := map[int]bool{}
		for _, k := range l.Keys(f) {
			for _, j := range blocks[k][:min(mostInBlock, len(blocks[k]))] {
				if seen[j] {
					continue
				}
				seen[j] = true
				compared++
				if v := l.Compare(f, list[j]); v.Outcome != match.Ignore && twin[i] == j && i%10 == 9 {
					found++
				}
			}
			blocks[k] = append(blocks[k], i)
		}
	}
	return compared, found, made
}

func BenchmarkLikeness(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var compared int
			for b.Loop() {
				compared, _, _ = comparisons(n, false)
			}
			b.ReportMetric(float64(compared)/float64(n), "comparisons/record")
		})
	}
}

func TestMergeStrategies(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	id := func(n byte) record.EntityID { return record.EntityID{15: n} }
	old := &record.Entity{ID: id(1), Fields: record.Fields{"name": "J Smith", "phone": "1", "city": ""}, CreatedAt: day(1), ChangedAt: day(20), Origin: "shop",
		Stamps: map[string]record.Stamp{"phone": {System: "shop", At: day(20)}}, Links: map[record.System]*record.Link{"shop": {}}}
	full := &record.Entity{ID: id(2), Fields: record.Fields{"name": "John Smith", "phone": "2", "city": "Ulm", "note": "x"}, CreatedAt: day(2), ChangedAt: day(10), Origin: "crm",
		Links: map[record.System]*record.Link{"crm": {}}}
	rank := func(s record.System) int { return map[record.System]int{"crm": 0, "shop": 1}[s] }
	for _, test := range []struct {
		choice   match.Choice
		survivor byte
		name     string
		phone    string
	}{
		{match.Choice{Strategy: match.MostComplete}, 2, "John Smith", "2"},
		{match.Choice{Strategy: match.MostRecent}, 1, "John Smith", "1"},
		{match.Choice{Strategy: match.RecentComplete}, 2, "John Smith", "2"},
		{match.Choice{Strategy: match.Oldest}, 1, "J Smith", "1"},
		{match.Choice{Strategy: match.Primary, Rank: rank}, 2, "John Smith", "2"},
		{match.Choice{Strategy: match.ByHand}, 2, "John Smith", "2"},
		{match.Choice{Strategy: match.MostComplete, Survivor: id(1)}, 1, "J Smith", "1"},
		{match.Choice{Strategy: match.Oldest, Fields: map[string]match.Strategy{"name": match.MostComplete, "phone": match.MostRecent}}, 1, "John Smith", "1"},
	} {
		for _, list := range [][]*record.Entity{{old, full}, {full, old}} {
			m := match.Merge(list, test.choice)
			if m.Survivor.ID != id(test.survivor) || m.Fields["name"] != test.name || m.Fields["phone"] != test.phone || m.Fields["city"] != "Ulm" || m.Fields["note"] != "x" || len(m.Losers) != 1 {
				t.Errorf("%+v: %s stays with %v", test.choice, m.Survivor.ID, m.Fields)
			}
		}
	}
}

// A merge is the same in whichever order the records come, invents nothing, loses no field, and of one that is merged with itself
// again nothing changes.
func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []*record.Entity
		for i := range rapid.IntRange(2, 4).Draw(t, "records") {
			e := &record.Entity{ID: record.EntityID{15: byte(i + 1)}, Fields: record.Fields{}, Origin: "a", CreatedAt: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "created")), 0),
				ChangedAt: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "changed")), 0), Links: map[record.System]*record.Link{record.System(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "system")): {}}}
			for _, f := range []string{"x", "y", "z"} {
				if rapid.Bool().Draw(t, f) {
					e.Fields[f] = rapid.SampledFrom([]record.Value{nil, "", "p", "q", record.Number("1")}).Draw(t, f+"v")
				}
			}
			list = append(list, e)
		}
		c := match.Choice{Strategy: rapid.SampledFrom(match.Strategies).Draw(t, "strategy"), Rank: func(s record.System) int { return int(s[0]) }}
		m := match.Merge(list, c)
		other := slices.Clone(list)
		slices.Reverse(other)
		if n := match.Merge(other, c); n.Survivor != m.Survivor || string(record.AppendJSON(nil, map[string]any(n.Fields))) != string(record.AppendJSON(nil, map[string]any(m.Fields))) {
			t.Fatalf("%v in one order, %v in the other", m.Fields, n.Fields)
		}
		for _, e := range list {
			for f, v := range e.Fields {
				got, has := m.Fields[f]
				if !has || (got == nil || got == "") && v != nil && v != "" {
					t.Fatalf("%s was lost: %v", f, m.Fields)
				}
			}
		}
		for f, v := range m.Fields {
			if !slices.ContainsFunc(list, func(e *record.Entity) bool {
				own, has := e.Fields[f]
				return has && record.Equal(own, v) && e.ID == m.From[f]
			}) {
				t.Fatalf("%s = %v is nobody's", f, v)
			}
		}
		one := *m.Survivor
		one.Fields = m.Fields
		if again := match.Merge([]*record.Entity{&one}, c); string(record.AppendJSON(nil, map[string]any(again.Fields))) != string(record.AppendJSON(nil, map[string]any(m.Fields))) {
			t.Fatalf("merged once more, it is %v", again.Fields)
		}
	})
}
