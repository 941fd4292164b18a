// SPDX-License-Identifier: Apache-2.0

package conflict

import (
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// merge joins what two sides made of base, first and last by the time they wrote. It gives up (false) when there is nothing
// to join: the two are not both objects or both lists.
func (r Rule) merge(base, first, last record.Value) (record.Value, bool) {
	if record.Equal(first, last) {
		return last, true
	}
	switch f := first.(type) {
	case map[string]any:
		if l, ok := last.(map[string]any); ok {
			b, _ := base.(map[string]any)
			return r.mergeObjects(b, f, l), true
		}
	case []any:
		if l, ok := last.([]any); ok {
			b, _ := base.([]any)
			return r.mergeLists(b, f, l), true
		}
	}
	return nil, false
}

// mergeObjects joins two objects part by part: a part that one side left as it was is the other's; one that both changed
// is joined in turn, or else the last to write wins.
func (r Rule) mergeObjects(base, first, last map[string]any) map[string]any {
	out := make(map[string]any, len(first)+len(last))
	for _, k := range keysOf(first, last) {
		f, fin := first[k]
		l, lin := last[k]
		b, bin := base[k]
		if v, in := r.part(b, bin, f, fin, l, lin); in {
			out[k] = v
		}
	}
	return out
}

// part joins one part, which may be missing on any side.
func (r Rule) part(b record.Value, bin bool, f record.Value, fin bool, l record.Value, lin bool) (record.Value, bool) {
	same := func(x record.Value, xin bool, y record.Value, yin bool) bool { return xin == yin && record.Equal(x, y) }
	switch {
	case same(f, fin, l, lin), same(f, fin, b, bin): // agreed, or only the last changed it
		return l, lin
	case same(l, lin, b, bin): // only the first changed it
		return f, fin
	}
	if fin && lin {
		if v, ok := r.merge(b, f, l); ok {
			return v, true
		}
	}
	return l, lin
}

func keysOf(a, b map[string]any) []string {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (r Rule) mergeLists(base, first, last []any) record.Value {
	switch r.Arrays {
	case Replace:
		return last
	case Append:
		return appended(base, first, last)
	case Keyed:
		if v, ok := r.keyed(base, first, last); ok {
			return v
		}
	}
	return union(base, first, last)
}

// text is an item's identity among equals.
func text(v record.Value) string { return string(record.AppendJSON(nil, v)) }

func countOf(list []any) map[string]int {
	out := make(map[string]int, len(list))
	for _, v := range list {
		out[text(v)]++
	}
	return out
}

// union has the items of base that both kept, then what the first added, then what the last added: each once. When one side
// has just these items its order is kept, so that a union joined once more with one of its parts stays as it is.
func union(base, first, last []any) []any {
	f, l, b := countOf(first), countOf(last), countOf(base)
	out := []any{}
	seen := make(map[string]bool)
	add := func(v any) {
		if t := text(v); !seen[t] {
			seen[t] = true
			out = append(out, v)
		}
	}
	for _, v := range base {
		if t := text(v); f[t] > 0 && l[t] > 0 {
			add(v)
		}
	}
	for _, list := range [][]any{first, last} {
		for _, v := range list {
			if b[text(v)] == 0 {
				add(v)
			}
		}
	}
	for _, list := range [][]any{last, first} {
		if len(list) == len(out) && !slices.ContainsFunc(list, func(v any) bool { return !seen[text(v)] }) && len(countOf(list)) == len(list) {
			return list
		}
	}
	return out
}

// appended has the items of base that both kept, then all that the first added, then all that the last added; equal items
// may stand there more than once.
func appended(base, first, last []any) []any {
	f, l := countOf(first), countOf(last)
	kept := make(map[string]int)
	out := []any{}
	for _, v := range base {
		if t := text(v); kept[t] < min(f[t], l[t]) {
			kept[t]++
			out = append(out, v)
		}
	}
	b := countOf(base)
	for _, list := range [][]any{first, last} {
		left := maps.Clone(b)
		for _, v := range list {
			t := text(v)
			if left[t] > 0 {
				left[t]--
				continue
			}
			out = append(out, v)
		}
	}
	return out
}

// keyed joins lists of objects by their keys, in the order of base, first and last; false when an item has no key or two
// have the same.
func (r Rule) keyed(base, first, last []any) ([]any, bool) {
	field := r.Key
	if field == "" {
		field = "id"
	}
	type side struct {
		order []string
		items map[string]map[string]any
	}
	index := func(list []any) (s side, ok bool) {
		s.items = make(map[string]map[string]any, len(list))
		for _, v := range list {
			item, is := v.(map[string]any)
			key := item[field]
			if !is || key == nil {
				return s, false
			}
			t := text(key)
			if _, twice := s.items[t]; twice {
				return s, false
			}
			s.items[t] = item
			s.order = append(s.order, t)
		}
		return s, true
	}
	f, ok1 := index(first)
	l, ok2 := index(last)
	b, ok3 := index(base)
	if !ok1 || !ok2 {
		return nil, false
	}
	if !ok3 {
		b = side{}
	}
	var order []string
	joined := make(map[string]any)
	done := make(map[string]bool)
	for _, key := range slices.Concat(b.order, f.order, l.order) {
		if done[key] {
			continue
		}
		done[key] = true
		bv, bin := b.items[key]
		fv, fin := f.items[key]
		lv, lin := l.items[key]
		if v, in := r.part(bv, bin, fv, fin, lv, lin); in {
			order = append(order, key)
			joined[key] = v
		}
	}
	for _, s := range []side{l, f} { // as for union
		if len(s.order) == len(order) && !slices.ContainsFunc(s.order, func(key string) bool { _, in := joined[key]; return !in }) {
			order = s.order
			break
		}
	}
	out := make([]any, len(order))
	for i, key := range order {
		out[i] = joined[key]
	}
	return out, true
}

// average is the mean of two numbers with as many digits after the point as the one that has more; a half goes to the even
// digit. False when either is no number.
func average(a, b record.Value) (record.Value, bool) {
	x, ok := a.(record.Number)
	y, ok2 := b.(record.Number)
	if !ok || !ok2 {
		return nil, false
	}
	p, ok := new(big.Rat).SetString(string(x))
	q, ok2 := new(big.Rat).SetString(string(y))
	if !ok || !ok2 {
		return nil, false
	}
	digits := max(places(x), places(y))
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	sum := new(big.Rat).Add(p, q)
	sum.Mul(sum, new(big.Rat).SetInt(scale))
	total := new(big.Int).Quo(sum.Num(), sum.Denom()) // the sum in units of the last digit; whole
	half, odd := new(big.Int).DivMod(total, big.NewInt(2), new(big.Int))
	if odd.Sign() != 0 && half.Bit(0) == 1 {
		half.Add(half, big.NewInt(1))
	}
	n, err := record.ParseNumber(new(big.Rat).SetFrac(half, scale).FloatString(digits))
	return n, err == nil
}

func places(n record.Number) int {
	_, frac, _ := strings.Cut(string(n), ".")
	return len(frac)
}
