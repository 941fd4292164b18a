// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ruleCondition compiles the condition of a business rule; without one it always holds. A record for which it cannot be
// evaluated does not meet it.
func ruleCondition(r service.BusinessRule) (func(record.Fields) bool, error) {
	if r.Condition == "" {
		return func(record.Fields) bool { return true }, nil
	}
	p, err := expression.Compile(r.Condition)
	if err != nil {
		return nil, fault.New(fault.Invalid, "service.expression_invalid", "The condition of the rule %s cannot be used: %v", r.Name, err)
	}
	return func(fields record.Fields) bool {
		ok, err := p.True(expression.Of(fields))
		return ok && err == nil
	}, nil
}

// compileRoutes gives the collection the rules that choose where changes go, and those that copy fields for a target.
func compileRoutes(doc *service.Document, coll *Collection) error {
	type route struct {
		source record.System
		target []string
		holds  func(record.Fields) bool
	}
	var routes []route
	for _, r := range doc.Routes() {
		holds, err := ruleCondition(r)
		if err != nil {
			return err
		}
		routes = append(routes, route{record.System(r.Source), r.Target, holds})
	}
	if doc.EffectiveDirection() == service.Conditional {
		coll.Routed = func(from, to record.System, fields record.Fields) bool {
			if from == record.Person {
				return true
			}
			for _, r := range routes {
				if (r.source == "" || r.source == from) && slices.Contains(r.target, string(to)) && r.holds(fields) {
					return true
				}
			}
			return false
		}
	}
	for _, r := range doc.BusinessRules {
		if !r.On() || len(r.Mapping) == 0 {
			continue
		}
		holds, err := ruleCondition(r)
		if err != nil {
			return err
		}
		for _, from := range sortedKeys(r.Mapping) {
			for _, target := range r.Target {
				source, seat := coll.Seats[record.System(r.Source)], coll.Seats[record.System(target)]
				if seat == nil || r.Source != "" && source == nil {
					continue // the rule is about records of another collection
				}
				a := Assign{Rule: r.Name, Source: record.System(r.Source), Holds: holds, From: entityField(doc, r.Source, from), To: entityField(doc, target, r.Mapping[from])}
				if a.From != a.To && seat.Map.Has(a.To) && (source == nil || source.Map.Has(a.From)) && !slices.ContainsFunc(coll.Assigns, func(b Assign) bool { return a.Rule == b.Rule && a.From == b.From && a.To == b.To }) {
					coll.Assigns = append(coll.Assigns, a)
				}
			}
		}
	}
	return nil
}

// entityField is the entity's name of what a rule calls a system's field: the system's own name, else the entity's already.
func entityField(doc *service.Document, system, name string) string {
	if system != "" {
		for _, m := range doc.FieldMap(system) {
			if m.PerSystem && m.Alias == name {
				return m.Field
			}
		}
	}
	return name
}

// withRuleFields adds the fields that a rule reads from a source and that no mapping names.
func withRuleFields(doc *service.Document, system string, fields []mapping.Field) []mapping.Field {
	if fields == nil {
		return nil // every column is read
	}
	for _, r := range doc.BusinessRules {
		if !r.On() || r.Source != system {
			continue
		}
		for _, from := range sortedKeys(r.Mapping) {
			name := entityField(doc, system, from)
			if !slices.ContainsFunc(fields, func(f mapping.Field) bool { return f.Entity == name || slices.Contains(f.Names, from) }) {
				fields = append(fields, mapping.Field{Entity: name, Names: []string{from}})
			}
		}
	}
	return fields
}
