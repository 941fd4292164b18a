// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/record"
)

// machine is one evaluation.
type machine struct {
	env    Env
	steps  int
	locals []local
	item   record.Value // of the predicate being evaluated
	index  int
	acc    record.Value
}

type local struct {
	name  string
	value record.Value
}

func at(n ast.Node, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Column: n.Location().From + 1}
}

func (m *machine) eval(n ast.Node) (record.Value, error) {
	if m.steps--; m.steps < 0 {
		return nil, at(n, "The expression takes too long on this record.")
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return nil, nil
	case *ast.IntegerNode:
		return record.Int(int64(n.Value)), nil
	case *ast.FloatNode:
		return record.ParseNumber(strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IdentifierNode:
		for i := len(m.locals) - 1; i >= 0; i-- {
			if m.locals[i].name == n.Value {
				return m.locals[i].value, nil
			}
		}
		v, _ := m.env(n.Value)
		return v, m.small(n, v)
	case *ast.PointerNode:
		switch n.Name {
		case "index":
			return record.Int(int64(m.index)), nil
		case "acc":
			return m.acc, nil
		}
		return m.item, nil
	case *ast.UnaryNode:
		v, err := m.eval(n.Node)
		if err != nil {
			return nil, err
		}
		switch n.Operator {
		case "!", "not":
			return !truth(v), nil
		case "-":
			return m.arithmetic(n, record.Int(0), v, decimal.Decimal.Sub)
		}
		return v, nil
	case *ast.BinaryNode:
		return m.binary(n)
	case *ast.ChainNode:
		return m.eval(n.Node)
	case *ast.MemberNode:
		of, err := m.eval(n.Node)
		if err != nil {
			return nil, err
		}
		key, err := m.eval(n.Property)
		if err != nil {
			return nil, err
		}
		return member(of, key), nil
	case *ast.SliceNode:
		return m.slice(n)
	case *ast.CallNode:
		return m.call(n, n.Callee.(*ast.IdentifierNode).Value, n.Arguments)
	case *ast.BuiltinNode:
		if p := predicates[n.Name]; p != nil {
			if _, is := lastOf(n.Arguments).(*ast.PredicateNode); is || p.must {
				return m.predicate(n, p)
			}
		}
		if functions[n.Name] == nil {
			return nil, at(n, "The function %s needs a predicate.", n.Name)
		}
		return m.call(n, n.Name, n.Arguments)
	case *ast.ConditionalNode:
		c, err := m.eval(n.Cond)
		if err != nil {
			return nil, err
		}
		if truth(c) {
			return m.eval(n.Exp1)
		}
		return m.eval(n.Exp2)
	case *ast.VariableDeclaratorNode:
		v, err := m.eval(n.Value)
		if err != nil {
			return nil, err
		}
		m.locals = append(m.locals, local{n.Name, v})
		defer func() { m.locals = m.locals[:len(m.locals)-1] }()
		return m.eval(n.Expr)
	case *ast.SequenceNode:
		var v record.Value
		for _, part := range n.Nodes {
			var err error
			if v, err = m.eval(part); err != nil {
				return nil, err
			}
		}
		return v, nil
	case *ast.ArrayNode:
		out, err := m.all(n.Nodes)
		if err != nil {
			return nil, err
		}
		return out, m.small(n, out)
	case *ast.MapNode:
		out := make(map[string]any, len(n.Pairs))
		for _, pair := range n.Pairs {
			p := pair.(*ast.PairNode)
			k, err := m.eval(p.Key)
			if err != nil {
				return nil, err
			}
			if out[record.Text(k)], err = m.eval(p.Value); err != nil {
				return nil, err
			}
		}
		return out, m.small(n, out)
	}
	return nil, at(n, "This cannot be evaluated.")
}

func lastOf(list []ast.Node) ast.Node {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

func (m *machine) all(nodes []ast.Node) ([]any, error) {
	out := make([]any, len(nodes))
	for i, part := range nodes {
		v, err := m.eval(part)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// maxWeight bounds the values within a value: a list of lists of one list is small in memory and endless as text.
const maxWeight = 20_000

// small refuses values that are too large to look at, and counts looking at them.
func (m *machine) small(n ast.Node, v record.Value) error {
	switch v := v.(type) {
	case []any:
		if len(v) > MaxList {
			return at(n, "A list has %d items; expressions look at %d at most.", len(v), MaxList)
		}
	case map[string]any:
		if len(v) > MaxList {
			return at(n, "An object has %d fields; expressions look at %d at most.", len(v), MaxList)
		}
	case string:
		if len(v) > MaxText {
			return at(n, "A text has more than %d KiB.", MaxText/1024)
		}
		return nil
	default:
		return nil
	}
	left := maxWeight
	if weigh(v, &left); left < 0 {
		return at(n, "A value is too large to look at.")
	}
	m.steps -= (maxWeight - left) / 16
	return nil
}

// weigh takes the number of values within a value off left, and gives up below zero.
func weigh(v record.Value, left *int) {
	if *left--; *left < 0 {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if weigh(item, left); *left < 0 {
				return
			}
		}
	case map[string]any:
		for _, item := range v {
			if weigh(item, left); *left < 0 {
				return
			}
		}
	case string:
		*left -= len(v) / 1024
	}
}

// member is a field of an object or an item of a list; null where there is none.
func member(of, key record.Value) record.Value {
	switch of := of.(type) {
	case map[string]any:
		return of[record.Text(key)]
	case []any:
		i, ok := whole(key)
		if i < 0 {
			i += len(of)
		}
		if ok && i >= 0 && i < len(of) {
			return of[i]
		}
	}
	return nil
}

func whole(v record.Value) (int, bool) {
	n, ok := v.(record.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

func (m *machine) slice(n *ast.SliceNode) (record.Value, error) {
	v, err := m.eval(n.Node)
	if err != nil {
		return nil, err
	}
	length := 0
	runes := []rune(nil)
	list, isList := v.([]any)
	if isList {
		length = len(list)
	} else {
		runes = []rune(record.Text(v))
		length = len(runes)
	}
	bound := func(node ast.Node, otherwise int) (int, error) {
		if node == nil {
			return otherwise, nil
		}
		b, err := m.eval(node)
		if err != nil {
			return 0, err
		}
		i, ok := whole(b)
		if !ok {
			return 0, at(node, "A place in a list must be a whole number.")
		}
		if i < 0 {
			i += length
		}
		return max(0, min(i, length)), nil
	}
	from, err := bound(n.From, 0)
	if err != nil {
		return nil, err
	}
	to, err := bound(n.To, length)
	if err != nil {
		return nil, err
	}
	if to = max(from, to); isList {
		return list[from:to], nil
	}
	if v == nil {
		return nil, nil
	}
	return string(runes[from:to]), nil
}

var shortCircuit = map[string]bool{"&&": true, "and": true, "||": true, "or": true, "??": true}

type operator func(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error)

// binary are the operators whose both sides are evaluated.
var binary map[string]operator

func init() {
	order := func(holds func(int) bool) operator {
		return func(_ *machine, _ *ast.BinaryNode, a, b record.Value) (record.Value, error) {
			if a == nil || b == nil {
				return false, nil
			}
			n, ok := Compare(a, b)
			return ok && holds(n), nil
		}
	}
	number := func(do func(a, b decimal.Decimal) decimal.Decimal) operator {
		return func(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
			return m.arithmetic(n, a, b, do)
		}
	}
	onText := func(holds func(a, b string) bool) operator {
		return func(_ *machine, _ *ast.BinaryNode, a, b record.Value) (record.Value, error) {
			return a != nil && b != nil && holds(record.Text(a), record.Text(b)), nil
		}
	}
	binary = map[string]operator{
		"==": func(_ *machine, _ *ast.BinaryNode, a, b record.Value) (record.Value, error) { return Same(a, b), nil },
		"!=": func(_ *machine, _ *ast.BinaryNode, a, b record.Value) (record.Value, error) { return !Same(a, b), nil },
		"<":  order(func(n int) bool { return n < 0 }),
		"<=": order(func(n int) bool { return n <= 0 }),
		">":  order(func(n int) bool { return n > 0 }),
		">=": order(func(n int) bool { return n >= 0 }),
		"-":  number(decimal.Decimal.Sub),
		"*":  number(decimal.Decimal.Mul),
		"/":  divide, "%": divide, "+": plus, "**": power, "^": power,
		"in": func(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) { return m.within(a, b) },
		"contains": func(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
			return m.within(b, a)
		},
		"startsWith": onText(strings.HasPrefix),
		"endsWith":   onText(strings.HasSuffix),
		"matches": func(_ *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
			re, err := pattern(record.Text(b))
			if err != nil {
				return nil, at(n, "The regular expression is not valid.")
			}
			return a != nil && re.MatchString(record.Text(a)), nil
		},
	}
}

// pattern compiles a regular expression of bounded size; RE2's time is linear in text and pattern.
func pattern(s string) (*regexp.Regexp, error) {
	if len(s) > 1000 {
		return nil, fmt.Errorf("too long")
	}
	return regexp.Compile(s)
}

func (m *machine) binary(n *ast.BinaryNode) (record.Value, error) {
	a, err := m.eval(n.Left)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "&&", "and":
		if !truth(a) {
			return false, nil
		}
		b, err := m.eval(n.Right)
		return truth(b), err
	case "||", "or":
		if truth(a) {
			return true, nil
		}
		b, err := m.eval(n.Right)
		return truth(b), err
	case "??":
		if a != nil {
			return a, nil
		}
		return m.eval(n.Right)
	}
	b, err := m.eval(n.Right)
	if err != nil {
		return nil, err
	}
	return binary[n.Operator](m, n, a, b)
}

// within says whether a list has the item, a text the part, or an object the field.
func (m *machine) within(item, of record.Value) (record.Value, error) {
	switch of := of.(type) {
	case nil:
		return false, nil
	case []any:
		m.steps -= len(of)
		return slices.ContainsFunc(of, func(v any) bool { return Same(v, item) }), nil
	case map[string]any:
		_, has := of[record.Text(item)]
		return has, nil
	}
	return item != nil && strings.Contains(record.Text(of), record.Text(item)), nil
}

func toDecimal(v record.Value) (decimal.Decimal, bool) {
	var s string
	switch v := v.(type) {
	case record.Number:
		s = string(v)
	case string:
		n, err := record.ParseNumber(strings.TrimSpace(v))
		if err != nil {
			return decimal.Decimal{}, false
		}
		s = string(n)
	default:
		return decimal.Decimal{}, false
	}
	if s == "" {
		s = "0"
	}
	if len(s) > maxDigit {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(s)
	return d, err == nil
}

// fromDecimal refuses numbers that grow without end.
func fromDecimal(n ast.Node, d decimal.Decimal) (record.Value, error) {
	if d.NumDigits() > maxDigit || d.Exponent() > maxDigit || d.Exponent() < -maxDigit {
		return nil, at(n, "A number has more than %d digits.", maxDigit)
	}
	return record.ParseNumber(d.String())
}

// arithmetic is exact. What has no value gives none; what is no number is an error.
func (m *machine) arithmetic(n ast.Node, a, b record.Value, do func(a, b decimal.Decimal) decimal.Decimal) (record.Value, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	x, ok := toDecimal(a)
	if !ok {
		return nil, notNumber(n, a)
	}
	y, ok := toDecimal(b)
	if !ok {
		return nil, notNumber(n, b)
	}
	return fromDecimal(n, do(x, y))
}

func notNumber(n ast.Node, v record.Value) error {
	return at(n, "%q is not a number.", shorten(record.Text(v)))
}

// divisionDigits are the digits after the point of a quotient that does not end.
const divisionDigits = 18

func divide(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
	if y, ok := toDecimal(b); ok && y.IsZero() && a != nil {
		return nil, at(n, "Division by zero.")
	}
	return m.arithmetic(n, a, b, func(x, y decimal.Decimal) decimal.Decimal {
		if n.Operator == "%" {
			return x.Mod(y)
		}
		return x.DivRound(y, divisionDigits)
	})
}

// plus adds numbers, joins texts and lists.
func plus(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
	if list, ok := a.([]any); ok {
		more, ok := b.([]any)
		if !ok {
			more = []any{b}
		}
		out := slices.Concat(list, more)
		m.steps -= len(out)
		return out, m.small(n, out)
	}
	_, atext := a.(string)
	_, btext := b.(string)
	if atext || btext {
		s := record.Text(a) + record.Text(b)
		return s, m.small(n, s)
	}
	return m.arithmetic(n, a, b, decimal.Decimal.Add)
}

func power(m *machine, n *ast.BinaryNode, a, b record.Value) (record.Value, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	x, ok := toDecimal(a)
	if !ok {
		return nil, notNumber(n, a)
	}
	e, ok := whole(b)
	if !ok || e < 0 || e > 100 {
		return nil, at(n, "An exponent must be a whole number from 0 to 100.")
	}
	out := decimal.NewFromInt(1)
	for range e {
		out = out.Mul(x)
		if out.NumDigits() > maxDigit {
			return nil, at(n, "A number has more than %d digits.", maxDigit)
		}
	}
	return fromDecimal(n, out)
}
