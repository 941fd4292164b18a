// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// filter compiles filter conditions, all of which must hold. service.Operator says what each operator means.
func filter(conditions []service.FilterCondition) (func(record.Fields) bool, error) {
	var tests []func(record.Fields) bool
	for _, c := range conditions {
		t, err := condition(c)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return all(tests), nil
}

func all(tests []func(record.Fields) bool) func(record.Fields) bool {
	return func(f record.Fields) bool {
		for _, t := range tests {
			if !t(f) {
				return false
			}
		}
		return true
	}
}

func condition(c service.FilterCondition) (func(record.Fields) bool, error) {
	if len(c.All) > 0 {
		return filter(c.All)
	}
	if len(c.Any) > 0 {
		var tests []func(record.Fields) bool
		for _, sub := range c.Any {
			t, err := condition(sub)
			if err != nil {
				return nil, err
			}
			tests = append(tests, t)
		}
		return func(f record.Fields) bool {
			for _, t := range tests {
				if t(f) {
					return true
				}
			}
			return false
		}, nil
	}
	test, err := operator(c)
	if err != nil {
		return nil, err
	}
	return func(f record.Fields) bool { return test(f[c.Field]) }, nil
}

func operator(c service.FilterCondition) (func(record.Value) bool, error) {
	want := c.Value.Value
	text := record.Text(want)
	values := c.Values
	in := func(v record.Value) bool {
		for _, w := range values {
			if same(v, w.Value) {
				return true
			}
		}
		return false
	}
	order := func(holds func(int) bool) func(record.Value) bool {
		return func(v record.Value) bool {
			if v == nil {
				return false
			}
			cmp, ok := compare(v, want)
			return ok && holds(cmp)
		}
	}
	onText := func(holds func(string) bool) func(record.Value) bool {
		return func(v record.Value) bool { return v != nil && holds(record.Text(v)) }
	}
	switch service.Operator(c.Operator) {
	case service.Equals:
		return func(v record.Value) bool { return v != nil && same(v, want) }, nil
	case service.NotEquals:
		return func(v record.Value) bool { return !same(v, want) }, nil
	case service.GreaterThan:
		return order(func(n int) bool { return n > 0 }), nil
	case service.GreaterOrEqual:
		return order(func(n int) bool { return n >= 0 }), nil
	case service.LessThan:
		return order(func(n int) bool { return n < 0 }), nil
	case service.LessOrEqual:
		return order(func(n int) bool { return n <= 0 }), nil
	case service.Between:
		if len(values) != 2 {
			return nil, fmt.Errorf("between needs two values")
		}
		return func(v record.Value) bool {
			if v == nil {
				return false
			}
			low, ok1 := compare(v, values[0].Value)
			high, ok2 := compare(v, values[1].Value)
			return ok1 && ok2 && low >= 0 && high <= 0
		}, nil
	case service.In:
		return func(v record.Value) bool { return v != nil && in(v) }, nil
	case service.NotIn:
		return func(v record.Value) bool { return !in(v) }, nil
	case service.IsNull:
		return func(v record.Value) bool { return v == nil }, nil
	case service.NotNull:
		return func(v record.Value) bool { return v != nil }, nil
	case service.IsEmpty:
		return func(v record.Value) bool { return v == nil || v == "" }, nil
	case service.NotEmpty:
		return func(v record.Value) bool { return v != nil && v != "" }, nil
	case service.Contains:
		return contains(want), nil
	case service.NotContains:
		has := contains(want)
		return func(v record.Value) bool { return !has(v) }, nil
	case service.StartsWith:
		return onText(func(s string) bool { return strings.HasPrefix(s, text) }), nil
	case service.EndsWith:
		return onText(func(s string) bool { return strings.HasSuffix(s, text) }), nil
	case service.Matches, service.NotMatches:
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, err
		}
		if service.Operator(c.Operator) == service.NotMatches {
			return func(v record.Value) bool { return v == nil || !re.MatchString(record.Text(v)) }, nil
		}
		return onText(re.MatchString), nil
	}
	return nil, fmt.Errorf("operator %q is not known", c.Operator)
}

func contains(want record.Value) func(record.Value) bool {
	text := record.Text(want)
	return func(v record.Value) bool {
		if list, ok := v.([]any); ok {
			for _, item := range list {
				if same(item, want) {
					return true
				}
			}
			return false
		}
		return v != nil && strings.Contains(record.Text(v), text)
	}
}

// same compares as the document's author sees values: the number 5 and the text "5" are the same.
func same(a, b record.Value) bool {
	if record.Equal(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	n, ok := compare(a, b)
	return ok && n == 0
}

// compare orders two values as numbers or points in time when both are, else as text.
func compare(a, b record.Value) (int, bool) {
	x, aok := rational(a)
	y, bok := rational(b)
	if aok && bok {
		return x.Cmp(y), true
	}
	s, aok := instant(a)
	t, bok := instant(b)
	if aok && bok {
		return s.Compare(t), true
	}
	switch a.(type) {
	case []any, map[string]any:
		return 0, false
	}
	return strings.Compare(record.Text(a), record.Text(b)), true
}

var instantLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly}

// instant reads a date, or a date with a time; without a zone it is taken as UTC, as in package mapping.
func instant(v record.Value) (t time.Time, ok bool) {
	s, isText := v.(string)
	if !isText || len(s) < len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return t, false
}

func rational(v record.Value) (*big.Rat, bool) {
	s, ok := v.(string)
	if n, isNumber := v.(record.Number); isNumber {
		s, ok = string(n), true
	}
	if !ok {
		return nil, false
	}
	n, err := record.ParseNumber(s)
	if err != nil {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}
