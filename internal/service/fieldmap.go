// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"sort"
)

// MappedField says what the document knows of one entity field in one system. Which of the system's fields that is, package
// mapping finds out with the discovered schema, in the order of DESIGN.md section 3: the per-system entry, the model's
// binding of Field, else of Alias, a column called Field, else Alias, then ignoring case and underscores.
type MappedField struct {
	Field     string // the entity's field
	Alias     string // flat form: its name on the wire; per-system form: the system's own field, dotted for nested values
	PerSystem bool   // Alias is the system's own field, nothing is to be searched
	External  string // the system whose key the field shows, "" for ordinary fields; such a field is read-only
}

// FieldMap lists what the document says of the entity's fields in a system, by field name; nil when it has no mapping, and
// fields of equal name are one.
func (d *Document) FieldMap(systemID string) []MappedField {
	if d.FieldMapping.IsZero() && len(d.UnifiedSchema) == 0 {
		return nil
	}
	return d.fieldMap(systemID, nil)
}

// FieldMapOf is FieldMap for one object, with its own fieldMapping and fields taken into account; nil when neither it nor
// the document says anything.
func (d *Document) FieldMapOf(systemID, object string) []MappedField {
	var own Object
	for _, o := range d.ObjectsOf(systemID) {
		if o.Name == object {
			own = o
		}
	}
	fields := d.FieldMap(systemID)
	if own.FieldMapping != nil {
		fields = d.fieldMap(systemID, own.FieldMapping)
	}
	if len(own.Fields) > 0 {
		if fields == nil {
			for _, field := range own.Fields {
				fields = append(fields, MappedField{Field: field, Alias: field})
			}
			sort.Slice(fields, func(i, j int) bool { return fields[i].Field < fields[j].Field })
		}
		fields = slices.DeleteFunc(fields, func(m MappedField) bool { return m.External == "" && !slices.Contains(own.Fields, m.Field) })
	}
	return fields
}

func (d *Document) fieldMap(systemID string, object map[string]string) []MappedField {
	found := map[string]MappedField{}
	note := func(m MappedField) {
		if old, there := found[m.Field]; !there || (m.PerSystem && !old.PerSystem) {
			found[m.Field] = m
		}
	}
	for _, native := range sortedKeys(object) {
		note(MappedField{Field: object[native], Alias: native, PerSystem: true})
	}
	own := d.FieldMapping.BySystem[systemID]
	for _, native := range sortedKeys(own) {
		note(MappedField{Field: own[native], Alias: native, PerSystem: true})
	}
	for _, flat := range []map[string]string{d.FieldMapping.Flat, d.UnifiedSchema} {
		for field, alias := range flat {
			m := MappedField{Field: field, Alias: alias}
			if system, ok := externalSystem(alias); ok {
				m.External = system
			}
			note(m)
		}
	}
	for _, other := range d.FieldMapping.BySystem { // fields that only other systems name: looked up by the entity's name
		for _, field := range other {
			note(MappedField{Field: field, Alias: field})
		}
	}
	out := make([]MappedField, 0, len(found))
	for _, field := range sortedKeys(found) {
		out = append(out, found[field])
	}
	return out
}

// EntityFields lists the entity's fields that the document names in mappings, sorted, each once.
func (d *Document) EntityFields() []string {
	found := map[string]bool{}
	for _, flat := range []map[string]string{d.FieldMapping.Flat, d.UnifiedSchema} {
		for field := range flat {
			found[field] = true
		}
	}
	for _, system := range d.FieldMapping.BySystem {
		for _, field := range system {
			found[field] = true
		}
	}
	for _, s := range d.Systems {
		for _, o := range s.Objects {
			for _, field := range o.FieldMapping {
				found[field] = true
			}
			for _, field := range o.Fields {
				found[field] = true
			}
		}
	}
	return sortedKeys(found)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
