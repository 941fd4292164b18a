// SPDX-License-Identifier: Apache-2.0

// Package mapping compiles the document's field mapping against what a system really has, and applies it both ways.
package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Field says how an entity's field may be found in one system (DESIGN.md section 3, `fieldMapping`).
type Field struct {
	Entity string   // the entity's field
	Names  []string // the system's names for it in the order of preference; dots reach nested values, numbers items of lists
	Must   bool     // the document names it for this very system: a missing one is an error, not an absence
	Look   bool     // it is only looked at, by conditions: never written
}

// Error is a value that cannot be mapped; the record becomes a dead letter.
type Error struct {
	Field  string // the field in the terms of the side it came from
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("field %s: %s", e.Field, e.Reason) }

// Kind is what an entity's field holds. Zone is the time zone of the system that its type is from, nil for none: dates, and texts that
// are times, are of that zone. Times themselves are canonical: points in time where that system has a zone, else UTC.
type Kind struct {
	Type connector.Type
	Zone *time.Location
}

type pair struct {
	entity  string
	native  string
	spelled string // as the document names it
	inside  []step // the way from the column to a value inside it; nil for the column's own
	in, out connector.Type
	write   bool
	same    bool           // the system's value is the entity's
	zone    *time.Location // of the system's times without a zone; nil for UTC
	canon   *time.Location // of the entity's
}

// Plan is a compiled mapping between one object of one system and the entity. It is constant and safe to share.
type Plan struct {
	pairs    []pair
	nested   []*pair // those inside columns, items of a list in its order
	byEntity map[string]*pair
	natives  []string
	key      []string // entity fields of the object's key columns, in order; nil when one is not mapped
}

// Compile resolves fields against the object. A nil fields means: every column under its own name. types are the
// entity's field types so far; Compile adds those of fields it is the first to see. Columns are found by exact name, then
// ignoring case and underscores. A system without a schema (no fields) takes the first name as it is.
//
// zone is the time zone of the system's times that have none, nil where it has none: these are UTC. Where the entity's field is
// first seen in a system with a zone it holds points in time, so that one moment is one value in all zones.
func Compile(object connector.ObjectInfo, fields []Field, types map[string]Kind, zone *time.Location) (*Plan, error) {
	if fields == nil {
		for _, c := range object.Fields {
			fields = append(fields, Field{Entity: c.Name, Names: []string{c.Name}})
		}
	}
	p := &Plan{byEntity: make(map[string]*pair, len(fields))}
	for _, f := range fields {
		info, at := resolve(object, f)
		if at.name == "" {
			if f.Must {
				return nil, &Error{Field: f.Names[0], Reason: fmt.Sprintf("%s has no such field; it has %s", object.Name, columns(object))}
			}
			continue
		}
		if f.Look && slices.ContainsFunc(p.pairs, func(other pair) bool { return other.native == info.Name }) {
			continue // it is mapped under another name already
		}
		for i := range p.pairs {
			if other := &p.pairs[i]; other.native == info.Name && overlap(other.inside, at.inside) {
				return nil, &Error{Field: info.Name, Reason: fmt.Sprintf("both %s and %s are mapped to it", other.entity, f.Entity)}
			}
		}
		native := info.Type
		if at.inside != nil {
			native = connector.TypeJSON
		}
		if _, known := types[f.Entity]; !known && native != "" {
			kind := Kind{Type: native, Zone: zone}
			if native == connector.TypeDateTime && zone != nil {
				kind.Type = connector.TypeTimestamp
			}
			types[f.Entity] = kind
		}
		pr := pair{entity: f.Entity, native: info.Name, spelled: at.name, inside: at.inside, out: native, write: !info.ReadOnly && !f.Look}
		pr.convertBy(types[f.Entity], zone)
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
		if p.pairs[i].inside != nil {
			p.nested = append(p.nested, &p.pairs[i])
		}
	}
	slices.SortStableFunc(p.nested, func(a, b *pair) int { return comparePaths(a.inside, b.inside) })
	for _, k := range object.Key {
		i := slices.IndexFunc(p.pairs, func(q pair) bool { return q.native == k && q.inside == nil })
		if i < 0 {
			p.key = nil
			break
		}
		p.key = append(p.key, p.pairs[i].entity)
	}
	return p, nil
}

// convertBy settles how values pass between the system and the entity's field.
func (q *pair) convertBy(kind Kind, zone *time.Location) {
	q.in, q.zone = kind.Type, zone
	switch kind.Type {
	case connector.TypeDate, connector.TypeTime:
		if q.out == connector.TypeTimestamp {
			q.zone = kind.Zone // a day is one of the system that holds days, whoever tells the moment
		}
		q.canon = q.zone
	case connector.TypeTimestamp, connector.TypeDateTime:
	default:
		q.canon = kind.Zone
	}
	q.same = q.in == q.out && q.inside == nil && (q.in != connector.TypeDateTime || zone == nil)
}

// toEntity and toSystem say what times without a zone mean on the way.
func (q *pair) toEntity() zones { return zones{from: q.zone, to: q.canon} }
func (q *pair) toSystem() zones { return zones{from: q.canon, to: q.zone} }

// fromSystem brings a system's value to the entity's type.
func (q *pair) fromSystem(v record.Value) (record.Value, error) {
	if q.same {
		return v, nil
	}
	if q.zone != nil && q.out == connector.TypeDateTime && holdsText(q.in) && v != nil {
		return moment(v, connector.TypeTimestamp, q.toEntity()) // text of a time says which moment it is
	}
	return convert(v, q.in, q.toEntity())
}

// fromEntity brings the entity's value to the system's type.
func (q *pair) fromEntity(v record.Value) (record.Value, error) {
	if q.same || q.in == q.out && q.inside != nil {
		return v, nil
	}
	if q.zone != nil && (q.in == connector.TypeTimestamp || q.in == connector.TypeDateTime) && holdsText(q.out) && v != nil {
		return moment(v, connector.TypeDateTime, q.toSystem()) // where there is no type for it, people read the clock of their zone
	}
	return convert(v, q.out, q.toSystem())
}

// holdsText says whether a field of the type takes times as text.
func holdsText(t connector.Type) bool {
	return t == connector.TypeText || t == connector.TypeJSON || t == ""
}

// overlap says whether one of two paths into a column is the other, or a part of it: writing one would write over the other.
func overlap(a, b []step) bool {
	n := min(len(a), len(b))
	return slices.EqualFunc(a[:n], b[:n], func(x, y step) bool { return x.name == y.name })
}

func columns(o connector.ObjectInfo) string {
	names := make([]string, len(o.Fields))
	for i, f := range o.Fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// place is where a field was found: the name that led there, and the way into the column. No name means nowhere.
type place struct {
	name   string
	inside []step
}

func resolve(object connector.ObjectInfo, f Field) (info connector.FieldInfo, at place) {
	if len(object.Fields) == 0 {
		return unknown(f)
	}
	for _, name := range f.Names {
		if info, ok := object.Field(name); ok {
			return info, place{name: name}
		}
	}
	for _, name := range f.Names {
		for _, c := range object.Fields {
			if fold(c.Name) == fold(name) {
				return c, place{name: c.Name}
			}
		}
	}
	for _, name := range f.Names {
		path := parsePath(name)
		if len(path) < 2 {
			continue
		}
		if info, ok := object.Field(path[0].name); ok && (info.Type == connector.TypeJSON || info.Type == connector.TypeArray && path[1].item >= 0) {
			return info, place{name, path[1:]}
		}
	}
	if object.Open {
		return unknown(f)
	}
	return info, at
}

// unknown is a field of an object that takes any.
func unknown(f Field) (info connector.FieldInfo, at place) {
	if len(f.Names) == 0 {
		return info, at
	}
	at.name = f.Names[0]
	path := parsePath(at.name)
	if info.Name = path[0].name; len(path) > 1 {
		at.inside = path[1:]
	}
	return info, at
}

// Column is the field of the system that the name is, or leads into.
func Column(name string) string { return parsePath(name)[0].name }

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
	q := p.byEntity[field]
	switch {
	case q == nil:
		return ""
	case q.inside != nil:
		return q.spelled
	}
	return q.native
}

// Wire is the entity's value of the field as the system has it; v itself where it has no such form.
func (p *Plan) Wire(field string, v record.Value) record.Value {
	if q := p.byEntity[field]; q != nil {
		if out, err := q.fromEntity(v); err == nil {
			return out
		}
	}
	return v
}

// Nests says whether one of the fields, any when they are nil, lives inside a column, beside what nobody may have mapped.
func (p *Plan) Nests(fields []string) bool {
	return slices.ContainsFunc(p.nested, func(q *pair) bool { return fields == nil || slices.Contains(fields, q.entity) })
}

// Same says whether two values of the entity's field are one. Beside equal ones these are, where the field holds points in time, one
// that was stored before a system of the service got its zone, which is UTC without saying so, and the same with its zone.
func (p *Plan) Same(field string, a, b record.Value) bool {
	if record.Equal(a, b) {
		return true
	}
	q := p.byEntity[field]
	if q == nil || q.in != connector.TypeTimestamp {
		return false
	}
	x, ok1 := a.(string)
	y, ok2 := b.(string)
	return ok1 && ok2 && (x+"Z" == y || y+"Z" == x)
}

// Together are the fields and those that live in the same column as one of them: a column of objects is written as a whole.
func (p *Plan) Together(fields []string) []string {
	all := fields
	for _, f := range fields {
		q := p.byEntity[f]
		if q == nil || q.inside == nil {
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
			v = q.raw(native)
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
	if q == nil || q.same || !q.write {
		return v
	}
	out, err := q.fromEntity(v)
	if err != nil {
		return v // it cannot be written
	}
	if back, err := q.fromSystem(out); err == nil {
		return back
	}
	return v
}

// raw is the system's value of the field.
func (q *pair) raw(native record.Fields) record.Value {
	v := native[q.native]
	for _, s := range q.inside {
		v = s.of(v)
	}
	return v
}

func (q *pair) inward(native record.Fields) (record.Value, error) {
	v, err := q.fromSystem(q.raw(native))
	if err != nil {
		return nil, &Error{Field: q.native, Reason: err.Error()}
	}
	return v, nil
}

// Out maps entity fields to the record's. only limits it to those fields; nil means all. Fields that the system does not
// have or that cannot be written are left out.
func (p *Plan) Out(entity record.Fields, only []string) (record.Fields, error) {
	return p.outward(nil, entity, only, false, placing{})
}

// Onto is Out for a record of which it is known what it has at present: what a column of objects or lists holds beside the fields
// stays as it is.
func (p *Plan) Onto(present, entity record.Fields, only []string) (record.Fields, error) {
	return p.outward(present, entity, only, false, placing{shared: present != nil})
}

// Expect is what a record is to have in the columns of the fields while it holds what the entity's fields say: as far as the record at
// present (nil when it was not read) means just that, what it has, in whatever form.
func (p *Plan) Expect(present, held record.Fields, only []string) (record.Fields, error) {
	out, err := p.outward(nil, held, only, false, placing{loose: true})
	if err != nil || present == nil {
		return out, err
	}
	for native := range out {
		if p.stands(present, held, native) {
			out[native] = present[native]
		}
	}
	return out, nil
}

// stands says whether the record's column means what is held.
func (p *Plan) stands(present, held record.Fields, native string) bool {
	if _, there := present[native]; !there {
		return false
	}
	for i := range p.pairs {
		q := &p.pairs[i]
		if q.native != native {
			continue
		}
		if v, err := q.inward(present); err != nil || !p.Same(q.entity, v, held[q.entity]) {
			return false
		}
	}
	return true
}

// Holding maps entity fields to the record's as the system holds them, those that cannot be written included; all of Fields
// must be given.
func (p *Plan) Holding(entity record.Fields) (record.Fields, error) {
	return p.outward(nil, entity, nil, true, placing{loose: true})
}

// outward maps onto the record at present, nil for none. all includes what cannot be written.
func (p *Plan) outward(present, entity record.Fields, only []string, all bool, by placing) (record.Fields, error) {
	out := make(record.Fields, len(p.pairs))
	takes := func(q *pair) bool {
		return (q.write || all) && (only == nil || slices.Contains(only, q.entity))
	}
	for i := range p.pairs {
		q := &p.pairs[i]
		if q.inside != nil || !takes(q) {
			continue
		}
		v, err := q.fromEntity(entity[q.entity])
		if err != nil {
			return nil, &Error{Field: q.entity, Reason: err.Error()}
		}
		out[q.native] = v
	}
	for _, q := range p.nested {
		if !takes(q) {
			continue
		}
		column, begun := out[q.native]
		if !begun {
			column = present[q.native]
		}
		v, err := q.fromEntity(entity[q.entity])
		if err == nil {
			if column, err = by.put(column, q.inside, v); err != nil {
				err = fmt.Errorf("as %s %w", q.spelled, err)
			}
		}
		if err != nil {
			return nil, &Error{Field: q.entity, Reason: err.Error()}
		}
		out[q.native] = column
	}
	return out, nil
}
