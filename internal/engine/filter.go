// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/syncline-dev/syncline/internal/expression"
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
			if expression.Same(v, w.Value) {
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
			cmp, ok := expression.Compare(v, want)
			return ok && holds(cmp)
		}
	}
	onText := func(holds func(string) bool) func(record.Value) bool {
		return func(v record.Value) bool { return v != nil && holds(record.Text(v)) }
	}
	switch service.Operator(c.Operator) {
	case service.Equals:
		return func(v record.Value) bool { return v != nil && expression.Same(v, want) }, nil
	case service.NotEquals:
		return func(v record.Value) bool { return !expression.Same(v, want) }, nil
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
			low, ok1 := expression.Compare(v, values[0].Value)
			high, ok2 := expression.Compare(v, values[1].Value)
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
				if expression.Same(item, want) {
					return true
				}
			}
			return false
		}
		return v != nil && strings.Contains(record.Text(v), text)
	}
}
