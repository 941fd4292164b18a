// SPDX-License-Identifier: Apache-2.0

// Package mapping compiles the document's field mapping against what a system really has, and applies it both ways.
package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Field says how an entity's field may be found in one system (DESIGN.md section 3, `fieldMapping`).
type Field struct {
	Entity string   // the entity's field
	Names  []string // the system's names for it in the order of preference; dots reach nested values
	Must   bool     // the document names it for this very system: a missing one is an error, not an absence
	Look   bool     // it is only looked at, by conditions: never written
}

// Error is a value that cannot be mapped; the record becomes a dead letter.
type Error struct {
	Field  string // the field in the terms of the side it came from
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("field %s: %s", e.Field, e.Reason) }

type pair struct {
	entity  string
	native  string
	path    []string // native, split at dots when the system nests; nil for a plain field
	in, out connector.Type
	write   bool
}

// Plan is a compiled mapping between one object of one system and the entity. It is constant and safe to share.
type Plan struct {
	pairs    []pair
	byEntity map[string]*pair
	natives  []string
	key      []string // entity fields of the object's key columns, in order; nil when one is not mapped
}

// Compile resolves fields against the object. A nil fields means: every column under its own name. types are the
// entity's field types so far; Compile adds those of fields it is the first to see. Columns are found by exact name, then
// ignoring case and underscores. A system without a schema (no fields) takes the first name as it is.
func Compile(object connector.ObjectInfo, fields []Field, types map[string]connector.Type) (*Plan, error) {
	if fields == nil {
		for _, c := range object.Fields {
			fields = append(fields, Field{Entity: c.Name, Names: []string{c.Name}})
		}
	}
	p := &Plan{byEntity: make(map[string]*pair, len(fields))}
	for _, f := range fields {
		info, path, found := resolve(object, f)
		if !found {
			if f.Must {
				return nil, &Error{Field: f.Names[0], Reason: fmt.Sprintf("%s has no such field; it has %s", object.Name, columns(object))}
			}
			continue
		}
		if f.Look && slices.ContainsFunc(p.pairs, func(other pair) bool { return other.native == info.Name }) {
			continue // it is mapped under another name already
		}
		for i := range p.pairs {
			if other := &p.pairs[i]; other.native == info.Name && overlap(other.steps(), steps(path)) {
				return nil, &Error{Field: info.Name, Reason: fmt.Sprintf("both %s and %s are mapped to it", other.entity, f.Entity)}
			}
		}
		native := info.Type
		if path != nil {
			native = connector.TypeJSON
		}
		if _, known := types[f.Entity]; !known && native != "" {
			types[f.Entity] = native
		}
		to := types[f.Entity]
		pr := pair{entity: f.Entity, native: info.Name, path: path, in: to, out: native, write: !info.ReadOnly && !f.Look}
		p.pairs = append(p.pairs, pr)
		if !slices.Contains(p.natives, info.Name) {
			p.natives = append(p.natives, info.Name)
		}
	}
	if len(p.pairs) == 0 {
		return nil, &Error{Field: string(object.Name), Reason: "none of its fields is mapped; it has " + columns(object)}
	}
	for i := range p.pairs {
		p.byEntity[p.pairs[i].entity] = &p.pairs[i]
	}
	for _, k := range object.Key {
		i := slices.IndexFunc(p.pairs, func(q pair) bool { return q.native == k && q.path == nil })
		if i < 0 {
			p.key = nil
			break
		}
		p.key = append(p.key, p.pairs[i].entity)
	}
	return p, nil
}

// overlap says whether one of two paths into a column is the other, or a part of it: writing one would write over the other.
func overlap(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

func columns(o connector.ObjectInfo) string {
	names := make([]string, len(o.Fields))
	for i, f := range o.Fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

func resolve(object connector.ObjectInfo, f Field) (info connector.FieldInfo, path []string, found bool) {
	if len(object.Fields) == 0 {
		return unknown(f)
	}
	for _, name := range f.Names {
		if info, ok := object.Field(name); ok {
			return info, nil, true
		}
	}
	for _, name := range f.Names {
		for _, c := range object.Fields {
			if fold(c.Name) == fold(name) {
				return c, nil, true
			}
		}
	}
	for _, name := range f.Names {
		parts := strings.Split(name, ".")
		if len(parts) < 2 {
			continue
		}
		if info, ok := object.Field(parts[0]); ok && info.Type == connector.TypeJSON {
			return info, parts, true
		}
	}
	if object.Open {
		return unknown(f)
	}
	return info, nil, false
}

// unknown is a field of an object that takes any.
func unknown(f Field) (info connector.FieldInfo, path []string, found bool) {
	if len(f.Names) == 0 {
		return info, nil, false
	}
	parts := strings.Split(f.Names[0], ".")
	info.Name = parts[0]
	if len(parts) > 1 {
		path = parts
	}
	return info, path, true
}

func fold(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }

// Natives are the system's fields to read.
func (p *Plan) Natives() []string { return p.natives }

// Key are the entity's fields that hold the object's key, in its order; nil when the key is not mapped, so that the
// system must make it.
func (p *Plan) Key() []string { return p.key }

// Has says whether the entity's field exists in the system.
func (p *Plan) Has(field string) bool { return p.byEntity[field] != nil }

// Writable says whether the entity's field exists in the system and can be written.
func (p *Plan) Writable(field string) bool {
	q := p.byEntity[field]
	return q != nil && q.write
}

// Fields are the entity's fields that exist in the system, in the document's order.
func (p *Plan) Fields() []string {
	out := make([]string, len(p.pairs))
	for i := range p.pairs {
		out[i] = p.pairs[i].entity
	}
	return out
}

// Native is the system's name of the entity's field.
func (p *Plan) Native(field string) string {
	if q := p.byEntity[field]; q != nil {
		if q.path != nil {
			return strings.Join(q.path, ".")
		}
		return q.native
	}
	return ""
}

// Together are the fields and those that live in the same column as one of them: a column of objects is written as a whole.
func (p *Plan) Together(fields []string) []string {
	all := fields
	for _, f := range fields {
		q := p.byEntity[f]
		if q == nil || q.path == nil {
			continue
		}
		for i := range p.pairs {
			if other := &p.pairs[i]; other.native == q.native && !slices.Contains(all, other.entity) {
				all = append(slices.Clip(all), other.entity)
			}
		}
	}
	return all
}

// In maps a record's fields to the entity's.
func (p *Plan) In(native record.Fields) (record.Fields, error) {
	out := make(record.Fields, len(p.pairs))
	for i := range p.pairs {
		q := &p.pairs[i]
		v, err := q.inward(native)
		if err != nil {
			return nil, err
		}
		out[q.entity] = v
	}
	return out, nil
}

// InLoose maps a record's fields to the entity's; a value that cannot be mapped stays as the system has it.
func (p *Plan) InLoose(native record.Fields) record.Fields {
	out := make(record.Fields, len(p.pairs))
	for i := range p.pairs {
		q := &p.pairs[i]
		v, err := q.inward(native)
		if err != nil {
			v = native[q.native]
			for _, step := range q.steps() {
				m, _ := v.(map[string]any)
				v = m[step]
			}
		}
		out[q.entity] = v
	}
	return out
}

// InSome maps those of the record's fields that are there; used for what a system says it stored.
func (p *Plan) InSome(native record.Fields) (record.Fields, error) {
	out := make(record.Fields, len(native))
	for i := range p.pairs {
		q := &p.pairs[i]
		if _, there := native[q.native]; !there {
			continue
		}
		v, err := q.inward(native)
		if err != nil {
			return nil, err
		}
		out[q.entity] = v
	}
	return out, nil
}

// Form is how the system's record is read after the value was written to the field: v itself, or what is left of it where the
// system's type holds less (the date of a time) or another form (true of "yes").
func (p *Plan) Form(field string, v record.Value) record.Value {
	q := p.byEntity[field]
	if q == nil || q.in == q.out || !q.write {
		return v
	}
	out, err := Convert(v, q.out)
	if err != nil {
		return v // it cannot be written
	}
	if back, err := Convert(out, q.in); err == nil {
		return back
	}
	return v
}

func (q *pair) inward(native record.Fields) (record.Value, error) {
	v := native[q.native]
	for _, step := range q.steps() {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	if q.in == q.out && q.path == nil {
		return v, nil
	}
	c, err := Convert(v, q.in)
	if err != nil {
		return nil, &Error{Field: q.native, Reason: err.Error()}
	}
	return c, nil
}

func (q *pair) steps() []string { return steps(q.path) }

// steps lead from a column to the value inside it.
func steps(path []string) []string {
	if path == nil {
		return nil
	}
	return path[1:]
}

// Out maps entity fields to the record's. only limits it to those fields; nil means all. Fields that the system does not
// have or that cannot be written are left out.
func (p *Plan) Out(entity record.Fields, only []string) (record.Fields, error) {
	out := make(record.Fields, len(p.pairs))
	for i := range p.pairs {
		q := &p.pairs[i]
		if !q.write || (only != nil && !slices.Contains(only, q.entity)) {
			continue
		}
		v := entity[q.entity]
		if q.in != q.out {
			c, err := Convert(v, q.out)
			if err != nil {
				return nil, &Error{Field: q.entity, Reason: err.Error()}
			}
			v = c
		}
		if q.path != nil {
			nest(out, q.path, v)
			continue
		}
		out[q.native] = v
	}
	return out, nil
}

// Holding maps entity fields to the record's as the system holds them, those that cannot be written included; all of Fields
// must be given.
func (p *Plan) Holding(entity record.Fields) (record.Fields, error) {
	out := make(record.Fields, len(p.pairs))
	for i := range p.pairs {
		q := &p.pairs[i]
		v := entity[q.entity]
		if q.in != q.out {
			c, err := Convert(v, q.out)
			if err != nil {
				return nil, &Error{Field: q.entity, Reason: err.Error()}
			}
			v = c
		}
		if q.path != nil {
			nest(out, q.path, v)
			continue
		}
		out[q.native] = v
	}
	return out, nil
}

// nest puts v at path, making objects on the way; several paths share the object at their head.
func nest(out record.Fields, path []string, v record.Value) {
	m, ok := out[path[0]].(map[string]any)
	if !ok {
		m = map[string]any{}
		out[path[0]] = m
	}
	for _, step := range path[1 : len(path)-1] {
		next, ok := m[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[step] = next
		}
		m = next
	}
	m[path[len(path)-1]] = v
}
