// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/record"
)

// function is one that takes values.
type function struct {
	least, most int // arguments; most is -1 for any number
	do          func(m *machine, n ast.Node, args []any) (record.Value, error)
}

// Functions lists the names of the functions, sorted.
func Functions() []string {
	names := slices.Collect(maps.Keys(functions))
	for name := range predicates {
		if functions[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *machine) call(n ast.Node, name string, nodes []ast.Node) (record.Value, error) {
	args, err := m.all(nodes)
	if err != nil {
		return nil, err
	}
	m.steps -= len(args)
	v, err := functions[name].do(m, n, args)
	if err != nil {
		return nil, err
	}
	return v, m.small(n, v)
}

var functions map[string]*function

func init() {
	text := func(do func(string) record.Value) func(*machine, ast.Node, []any) (record.Value, error) {
		return func(_ *machine, _ ast.Node, args []any) (record.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			return do(record.Text(args[0])), nil
		}
	}
	texts := func(do func(n ast.Node, args []string) (record.Value, error)) func(*machine, ast.Node, []any) (record.Value, error) {
		return func(m *machine, n ast.Node, args []any) (record.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			list := make([]string, len(args))
			for i, a := range args {
				list[i] = record.Text(a)
				m.steps -= len(list[i]) / 256
			}
			return do(n, list)
		}
	}
	number := func(do func(d decimal.Decimal) decimal.Decimal) func(*machine, ast.Node, []any) (record.Value, error) {
		return func(_ *machine, n ast.Node, args []any) (record.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			d, ok := toDecimal(args[0])
			if !ok {
				return nil, notNumber(n, args[0])
			}
			return fromDecimal(n, do(d))
		}
	}
	functions = map[string]*function{
		"abs":   {1, 1, number(decimal.Decimal.Abs)},
		"ceil":  {1, 1, number(decimal.Decimal.Ceil)},
		"floor": {1, 1, number(decimal.Decimal.Floor)},
		"int":   {1, 1, number(func(d decimal.Decimal) decimal.Decimal { return d.Truncate(0) })},
		"float": {1, 1, number(func(d decimal.Decimal) decimal.Decimal { return d })},
		"number": {1, 1, func(_ *machine, _ ast.Node, args []any) (record.Value, error) {
			if d, ok := toDecimal(args[0]); ok {
				return record.ParseNumber(d.String())
			}
			return nil, nil
		}},
		"round": {1, 2, round},
		"min":   {1, -1, extreme(func(n int) bool { return n < 0 })},
		"max":   {1, -1, extreme(func(n int) bool { return n > 0 })},
		"sum":   {1, -1, sum(false)},
		"mean":  {1, -1, sum(true)},
		"len": {1, 1, func(_ *machine, _ ast.Node, args []any) (record.Value, error) {
			switch v := args[0].(type) {
			case nil:
				return record.Int(0), nil
			case []any:
				return record.Int(int64(len(v))), nil
			case map[string]any:
				return record.Int(int64(len(v))), nil
			}
			return record.Int(int64(utf8.RuneCountInString(record.Text(args[0])))), nil
		}},
		"string": {1, 1, text(func(s string) record.Value { return s })},
		"lower":  {1, 1, text(func(s string) record.Value { return strings.ToLower(s) })},
		"upper":  {1, 1, text(func(s string) record.Value { return strings.ToUpper(s) })},
		"trim":   {1, 1, text(func(s string) record.Value { return strings.TrimSpace(s) })},
		"trimPrefix": {2, 2, texts(func(_ ast.Node, a []string) (record.Value, error) {
			return strings.TrimPrefix(a[0], a[1]), nil
		})},
		"trimSuffix": {2, 2, texts(func(_ ast.Node, a []string) (record.Value, error) {
			return strings.TrimSuffix(a[0], a[1]), nil
		})},
		"hasPrefix": {2, 2, texts(func(_ ast.Node, a []string) (record.Value, error) { return strings.HasPrefix(a[0], a[1]), nil })},
		"hasSuffix": {2, 2, texts(func(_ ast.Node, a []string) (record.Value, error) { return strings.HasSuffix(a[0], a[1]), nil })},
		"indexOf": {2, 2, texts(func(_ ast.Node, a []string) (record.Value, error) {
			i := strings.Index(a[0], a[1])
			if i > 0 {
				i = utf8.RuneCountInString(a[0][:i])
			}
			return record.Int(int64(i)), nil
		})},
		"replace": {3, 3, texts(func(n ast.Node, a []string) (record.Value, error) {
			if len(a[0])+strings.Count(a[0], a[1])*max(0, len(a[2])-len(a[1])) > MaxText {
				return nil, at(n, "A text has more than %d KiB.", MaxText/1024)
			}
			return strings.ReplaceAll(a[0], a[1], a[2]), nil
		})},
		"split": {2, 2, func(m *machine, n ast.Node, args []any) (record.Value, error) {
			if args[0] == nil {
				return []any{}, nil
			}
			parts := strings.SplitN(record.Text(args[0]), record.Text(args[1]), MaxList+2)
			m.steps -= len(parts)
			out := make([]any, len(parts))
			for i, p := range parts {
				out[i] = p
			}
			return out, nil
		}},
		"join": {1, 2, func(m *machine, n ast.Node, args []any) (record.Value, error) {
			between := ""
			if len(args) == 2 {
				between = record.Text(args[1])
			}
			list, ok := args[0].([]any)
			if !ok {
				return args[0], nil
			}
			m.steps -= len(list)
			var b strings.Builder
			for i, v := range list {
				if i > 0 {
					b.WriteString(between)
				}
				b.WriteString(record.Text(v))
				if b.Len() > MaxText {
					return nil, at(n, "A text has more than %d KiB.", MaxText/1024)
				}
			}
			return b.String(), nil
		}},
		"first": {1, 1, func(_ *machine, _ ast.Node, args []any) (record.Value, error) {
			return member(args[0], record.Int(0)), nil
		}},
		"last": {1, 1, func(_ *machine, _ ast.Node, args []any) (record.Value, error) {
			return member(args[0], record.Int(-1)), nil
		}},
		"get": {2, 2, func(_ *machine, _ ast.Node, args []any) (record.Value, error) { return member(args[0], args[1]), nil }},
		"keys": {1, 1, func(m *machine, _ ast.Node, args []any) (record.Value, error) {
			o, _ := args[0].(map[string]any)
			m.steps -= len(o)
			out := []any{}
			for _, k := range slices.Sorted(maps.Keys(o)) {
				out = append(out, k)
			}
			return out, nil
		}},
		"values": {1, 1, func(m *machine, _ ast.Node, args []any) (record.Value, error) {
			o, _ := args[0].(map[string]any)
			m.steps -= len(o)
			out := []any{}
			for _, k := range slices.Sorted(maps.Keys(o)) {
				out = append(out, o[k])
			}
			return out, nil
		}},
		"uniq": {1, 1, func(m *machine, _ ast.Node, args []any) (record.Value, error) {
			list, _ := args[0].([]any)
			m.steps -= len(list)
			seen := make(map[string]bool, len(list))
			out := []any{}
			for _, v := range list {
				if k := string(record.AppendJSON(nil, v)); !seen[k] {
					seen[k] = true
					out = append(out, v)
				}
			}
			return out, nil
		}},
		"reverse": {1, 1, func(m *machine, _ ast.Node, args []any) (record.Value, error) {
			list, _ := args[0].([]any)
			m.steps -= len(list)
			out := slices.Clone(list)
			slices.Reverse(out)
			return out, nil
		}},
		"sort": {1, 1, func(m *machine, _ ast.Node, args []any) (record.Value, error) {
			list, _ := args[0].([]any)
			m.steps -= 10 * len(list)
			out := slices.Clone(list)
			slices.SortStableFunc(out, func(a, b any) int {
				n, ok := Compare(a, b)
				if !ok {
					return cmp.Compare(record.Text(a), record.Text(b))
				}
				return n
			})
			return out, nil
		}},
		// The date of a point in time, without the time of day.
		"date": {1, 1, func(_ *machine, n ast.Node, args []any) (record.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			t, ok := instant(args[0])
			if !ok {
				return nil, at(n, "%q is not a date.", shorten(record.Text(args[0])))
			}
			return t.UTC().Format("2006-01-02"), nil
		}},
		// The days from one point in time to another, with a fraction.
		"days": {2, 2, func(_ *machine, n ast.Node, args []any) (record.Value, error) {
			if args[0] == nil || args[1] == nil {
				return nil, nil
			}
			from, ok := instant(args[0])
			to, ok2 := instant(args[1])
			if !ok || !ok2 {
				return nil, at(n, "days needs two dates.")
			}
			return fromDecimal(n, decimal.NewFromInt(to.Sub(from).Microseconds()).DivRound(decimal.NewFromInt(86_400_000_000), 6))
		}},
	}
}

func round(_ *machine, n ast.Node, args []any) (record.Value, error) {
	places := 0
	if len(args) == 2 {
		p, ok := whole(args[1])
		if !ok || p < 0 || p > 30 {
			return nil, at(n, "round takes from 0 to 30 places.")
		}
		places = p
	}
	if args[0] == nil {
		return nil, nil
	}
	d, ok := toDecimal(args[0])
	if !ok {
		return nil, notNumber(n, args[0])
	}
	return fromDecimal(n, d.Round(int32(places)))
}

// spread is the arguments, or the items of the one list given.
func spread(args []any) []any {
	if len(args) == 1 {
		if list, ok := args[0].([]any); ok {
			return list
		}
	}
	return args
}

// extreme finds the least or greatest of the values that are there.
func extreme(better func(int) bool) func(*machine, ast.Node, []any) (record.Value, error) {
	return func(m *machine, _ ast.Node, args []any) (record.Value, error) {
		list := spread(args)
		m.steps -= len(list)
		var best record.Value
		for _, v := range list {
			if v == nil {
				continue
			}
			if best == nil {
				best = v
			} else if c, ok := Compare(v, best); ok && better(c) {
				best = v
			}
		}
		return best, nil
	}
}

func sum(mean bool) func(*machine, ast.Node, []any) (record.Value, error) {
	return func(m *machine, n ast.Node, args []any) (record.Value, error) {
		list := spread(args)
		m.steps -= len(list)
		total, count := decimal.Zero, int64(0)
		for _, v := range list {
			if v == nil {
				continue
			}
			d, ok := toDecimal(v)
			if !ok {
				return nil, notNumber(n, v)
			}
			total, count = total.Add(d), count+1
		}
		if mean {
			if count == 0 {
				return nil, nil
			}
			total = total.DivRound(decimal.NewFromInt(count), divisionDigits)
		}
		return fromDecimal(n, total)
	}
}

// predicate is a function that asks something of each item of a list.
type predicate struct {
	must bool // it has no meaning without
	do   func(items []any, ask func(i int) (record.Value, error)) (record.Value, error)
}

func (m *machine) predicate(n *ast.BuiltinNode, p *predicate) (record.Value, error) {
	if len(n.Arguments) < 2 {
		return nil, at(n, "The function %s needs a list and a predicate.", n.Name)
	}
	of, err := m.eval(n.Arguments[0])
	if err != nil {
		return nil, err
	}
	body, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		return nil, at(n, "The function %s needs a predicate.", n.Name)
	}
	items, ok := of.([]any)
	if !ok && of != nil {
		return nil, at(n, "%s needs a list.", n.Name)
	}
	item, index, acc := m.item, m.index, m.acc
	defer func() { m.item, m.index, m.acc = item, index, acc }()
	if n.Name == "reduce" {
		return m.reduce(n, items, body)
	}
	v, err := p.do(items, func(i int) (record.Value, error) {
		m.item, m.index = items[i], i
		return m.eval(body.Node)
	})
	if err != nil {
		return nil, err
	}
	return v, m.small(n, v)
}

func (m *machine) reduce(n *ast.BuiltinNode, items []any, body *ast.PredicateNode) (record.Value, error) {
	start := 0
	m.acc = nil
	if len(n.Arguments) > 2 {
		var err error
		if m.acc, err = m.eval(n.Arguments[2]); err != nil {
			return nil, err
		}
	} else if len(items) > 0 {
		m.acc, start = items[0], 1
	}
	for i := start; i < len(items); i++ {
		m.item, m.index = items[i], i
		v, err := m.eval(body.Node)
		if err != nil {
			return nil, err
		}
		m.acc = v
	}
	return m.acc, nil
}

var predicates = map[string]*predicate{
	"all":    {true, counting(func(yes, of int) record.Value { return yes == of })},
	"none":   {true, counting(func(yes, _ int) record.Value { return yes == 0 })},
	"any":    {true, counting(func(yes, _ int) record.Value { return yes > 0 })},
	"one":    {true, counting(func(yes, _ int) record.Value { return yes == 1 })},
	"count":  {true, counting(func(yes, _ int) record.Value { return record.Int(int64(yes)) })},
	"reduce": {true, nil},
	"filter": {true, func(items []any, ask func(int) (record.Value, error)) (record.Value, error) {
		out := []any{}
		for i := range items {
			v, err := ask(i)
			if err != nil {
				return nil, err
			}
			if truth(v) {
				out = append(out, items[i])
			}
		}
		return out, nil
	}},
	"map": {true, func(items []any, ask func(int) (record.Value, error)) (record.Value, error) {
		out := make([]any, len(items))
		for i := range items {
			v, err := ask(i)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}},
	"find": {true, func(items []any, ask func(int) (record.Value, error)) (record.Value, error) {
		for i := range items {
			v, err := ask(i)
			if err != nil {
				return nil, err
			}
			if truth(v) {
				return items[i], nil
			}
		}
		return nil, nil
	}},
	"sum": {false, func(items []any, ask func(int) (record.Value, error)) (record.Value, error) {
		total := decimal.Zero
		for i := range items {
			v, err := ask(i)
			if err != nil {
				return nil, err
			}
			if v == nil {
				continue
			}
			d, ok := toDecimal(v)
			if !ok {
				return nil, &Error{Message: "sum needs numbers."}
			}
			total = total.Add(d)
		}
		return record.ParseNumber(total.String())
	}},
}

func counting(answer func(yes, of int) record.Value) func([]any, func(int) (record.Value, error)) (record.Value, error) {
	return func(items []any, ask func(int) (record.Value, error)) (record.Value, error) {
		yes := 0
		for i := range items {
			v, err := ask(i)
			if err != nil {
				return nil, err
			}
			if truth(v) {
				yes++
			}
		}
		return answer(yes, len(items)), nil
	}
}
