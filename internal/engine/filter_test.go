// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// admits compiles a document with the conditions, written as YAML, and asks it about a record with the field f.
func admits(t *testing.T, conditions string, fields record.Fields) bool {
	t.Helper()
	info := connector.ObjectInfo{Name: "things", Key: []string{"id"}, Fields: []connector.FieldInfo{{Name: "id", Type: connector.TypeText}, {Name: "f", Type: connector.TypeJSON}, {Name: "g", Type: connector.TypeJSON}}}
	w := newWorld(t, `
service: filtered
systems:
  - {id: crm, type: memory, objects: [things]}
  - {id: shop, type: memory, objects: [things]}
syncConfig:
  filterConditions: `+conditions+"\n", map[record.System]connector.ObjectInfo{"crm": info, "shop": info})
	return w.plan.Collections[0].Admit(fields)
}

func TestConditions(t *testing.T) {
	num := func(s string) record.Value { return record.Number(s) }
	tests := []struct {
		condition string // of the field f
		passes    []record.Value
		fails     []record.Value
	}{
		{`operator: equals, value: 5`, []record.Value{num("5"), "5", "5.0"}, []record.Value{num("6"), "", nil, true, []any{num("5")}}},
		{`operator: equals, value: active`, []record.Value{"active"}, []record.Value{"Active", "active ", nil}},
		{`operator: equals, value: true`, []record.Value{true, "true"}, []record.Value{false, num("1"), nil}},
		{`operator: notEquals, value: active`, []record.Value{"closed", nil, num("1")}, []record.Value{"active"}},
		{`operator: greaterThan, value: 10`, []record.Value{num("10.1"), "11", num("100")}, []record.Value{num("10"), num("9"), "9", nil, []any{}}},
		{`operator: greaterThanOrEqual, value: 10`, []record.Value{num("10"), "10.0"}, []record.Value{num("9.99"), nil}},
		{`operator: lessThan, value: 10`, []record.Value{num("9"), "-1"}, []record.Value{num("10"), nil}},
		{`operator: lessThanOrEqual, value: 10`, []record.Value{num("10")}, []record.Value{num("10.01"), nil}},
		{`operator: greaterThan, value: "b"`, []record.Value{"c", "ba"}, []record.Value{"b", "a", nil}},
		{`operator: between, values: [1, 5]`, []record.Value{num("1"), num("5"), "3"}, []record.Value{num("0.9"), num("5.1"), nil}},
		{`operator: in, values: [DE, AT, 7]`, []record.Value{"DE", "AT", num("7"), "7"}, []record.Value{"CH", nil}},
		{`operator: notIn, values: [DE, AT]`, []record.Value{"CH", nil}, []record.Value{"DE"}},
		{`operator: isNull`, []record.Value{nil}, []record.Value{"", num("0"), false}},
		{`operator: notNull`, []record.Value{"", num("0"), false}, []record.Value{nil}},
		{`operator: isEmpty`, []record.Value{nil, ""}, []record.Value{" ", num("0")}},
		{`operator: notEmpty`, []record.Value{" ", num("0")}, []record.Value{nil, ""}},
		{`operator: contains, value: oak`, []record.Value{"an oak desk", []any{"pine", "oak"}}, []record.Value{"Oak", []any{"oaks"}, nil}},
		{`operator: notContains, value: oak`, []record.Value{"pine", nil, []any{"pine"}}, []record.Value{"oak", []any{"oak"}}},
		{`operator: startsWith, value: A-`, []record.Value{"A-1"}, []record.Value{"BA-1", nil}},
		{`operator: endsWith, value: "@example.com"`, []record.Value{"ada@example.com"}, []record.Value{"ada@example.com.evil", nil}},
		{`operator: matches, value: "^[A-Z]{2}-\\d+$"`, []record.Value{"AB-12"}, []record.Value{"ab-12", nil}},
		{`operator: notMatches, value: "^test"`, []record.Value{"real", nil}, []record.Value{"testing"}},
	}
	for _, test := range tests {
		t.Run(test.condition, func(t *testing.T) {
			for _, v := range test.passes {
				if !admits(t, `[{field: f, `+test.condition+`}]`, record.Fields{"f": v}) {
					t.Errorf("%#v does not pass", v)
				}
			}
			for _, v := range test.fails {
				if admits(t, `[{field: f, `+test.condition+`}]`, record.Fields{"f": v}) {
					t.Errorf("%#v passes", v)
				}
			}
		})
	}
}

// Times are compared as times, however they are written: with and without a fraction, in any zone, as a date.
func TestConditionsOnTimes(t *testing.T) {
	tests := []struct {
		after string
		v     string
		want  bool
	}{
		{"2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5Z", true},
		{"2026-11-23T10:00:00.5Z", "2026-11-23T10:00:00Z", false},
		{"2026-11-23T10:00:00+02:00", "2026-11-23T09:00:00Z", true},
		{"2026-11-23", "2026-11-23T00:00:01Z", true},
		{"2026-11-23", "2026-11-22T23:59:59Z", false},
		{"2026-11-23", "2026-11-24", true},
		{"2026-11-23T10:00:00", "2026-11-23T10:00:00.25", true},
		{"2026-11-23 10:00:00", "2026-11-23T10:00:00Z", false},
	}
	for _, test := range tests {
		if got := admits(t, `[{field: f, operator: after, value: "`+test.after+`"}]`, record.Fields{"f": test.v}); got != test.want {
			t.Errorf("%s after %s: %v", test.v, test.after, got)
		}
	}
	if !admits(t, `[{field: f, operator: equals, value: "2026-11-23T10:00:00+02:00"}]`, record.Fields{"f": "2026-11-23T08:00:00Z"}) {
		t.Error("the same instant in another zone is not equal")
	}
	if admits(t, `[{field: f, operator: equals, value: "2026"}]`, record.Fields{"f": "2026-01-01"}) {
		t.Error("a number was taken for a date")
	}
}

func TestGroupsOfConditions(t *testing.T) {
	const conditions = `
    - {field: f, operator: notNull}
    - any:
        - {field: g, operator: equals, value: DE}
        - all:
            - {field: g, operator: equals, value: CH}
            - {field: f, operator: greaterThan, value: 100}`
	for _, test := range []struct {
		f, g record.Value
		want bool
	}{
		{record.Int(1), "DE", true}, {nil, "DE", false}, {record.Int(1), "CH", false}, {record.Int(101), "CH", true}, {record.Int(101), "FR", false},
	} {
		if got := admits(t, conditions, record.Fields{"f": test.f, "g": test.g}); got != test.want {
			t.Errorf("f = %v, g = %v: %v", test.f, test.g, got)
		}
	}
	if !admits(t, "[]", record.Fields{}) {
		t.Error("without conditions nothing passes")
	}
}
