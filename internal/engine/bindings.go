// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/service"
)

// withBindings puts what an object's model says in front of the names that the document gives (DESIGN.md section 3): the
// binding of the entity's field, else of its alias. A document without a mapping takes the model's fields as the entity's.
// Fields that only conditions name are looked at where a system has them, and never written.
func withBindings(info connector.ObjectInfo, named []mapping.Field, conditions []service.FilterCondition) []mapping.Field {
	bound := make(map[string]string, len(info.Bindings))
	fields := make([]string, 0, len(info.Bindings))
	for field, native := range info.Bindings {
		bound[plainName(field)] = native
		fields = append(fields, field)
	}
	slices.Sort(fields)
	if named == nil {
		if len(bound) == 0 {
			return nil
		}
		for _, f := range fields {
			named = append(named, mapping.Field{Entity: f, Names: []string{f}})
		}
	}
	out := make([]mapping.Field, 0, len(named))
	for _, f := range named {
		if !f.Must {
			var first []string
			for _, name := range f.Names {
				if native, ok := bound[plainName(name)]; ok {
					first = append(first, native)
				}
			}
			f.Names = append(first, f.Names...)
		}
		out = append(out, f)
	}
	for _, name := range conditionFields(conditions) {
		if slices.ContainsFunc(out, func(f mapping.Field) bool { return f.Entity == name }) {
			continue
		}
		f := mapping.Field{Entity: name, Names: []string{name}, Look: true}
		if native, ok := bound[plainName(name)]; ok {
			f.Names = []string{native, name}
		}
		if !slices.ContainsFunc(out, func(other mapping.Field) bool {
			return slices.ContainsFunc(other.Names, func(n string) bool { return n == f.Names[0] })
		}) {
			out = append(out, f)
		}
	}
	return out
}

// conditionFields are the fields that the conditions name, each once.
func conditionFields(conditions []service.FilterCondition) (out []string) {
	for _, c := range conditions {
		names := append(conditionFields(c.All), conditionFields(c.Any)...)
		if c.Field != "" {
			names = append(names, c.Field)
		}
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// plainName ignores case and underscores.
func plainName(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }

// identities are the fields by which records of a model are the same, where the document names none and no system's key is
// a field of the others.
var identities = map[string][]string{
	"contacts": {"email"}, "employees": {"email"}, "profiles": {"email"}, "groups": {"email"}, "products": {"sku"}, "inventory": {"sku"},
}

// modelIdentity are the entity's fields that identify records of the collection's model, if all its systems have them.
func modelIdentity(coll *Collection) []string {
	var out []string
	for _, wanted := range identities[coll.Class] {
		found := ""
		for _, s := range coll.Seats {
			for _, f := range s.Map.Fields() {
				if plainName(f) == plainName(wanted) {
					found = f
				}
			}
		}
		for _, s := range coll.Seats {
			if found == "" || !s.Map.Has(found) {
				return nil
			}
		}
		out = append(out, found)
	}
	return out
}
