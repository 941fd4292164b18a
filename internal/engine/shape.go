// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Schema changes. Systems gain, lose and retype fields while they are synced. A service goes by the shape that each object had
// when it was first opened and by what a person accepted since. Where an object is otherwise, the fields concerned are left
// alone: everything else syncs on, and their values stay in all other systems. A person accepts the change, and the records are
// read again for it, or dismisses it.

// Shape is what an object's fields are taken to be.
type Shape struct {
	System record.System
	Object record.Object
	Fields map[string]FieldShape
}

// FieldShape is a field's type: the one that values convert by, and the system's own word for it.
type FieldShape struct {
	Type   connector.Type `json:"type"`
	Native string         `json:"native"`
}

// ShapeKind is what happened to a field.
type ShapeKind string

// The kinds.
const (
	FieldAdded   ShapeKind = "added"
	FieldRemoved ShapeKind = "removed"
	FieldRetyped ShapeKind = "retyped"
)

// ShapeState is where a schema change stands.
type ShapeState string

// The states.
const (
	ShapeOpen      ShapeState = "open"      // it waits for a person
	ShapeAccepted  ShapeState = "accepted"  // it is, or will be at the next start of the flow, what the service goes by
	ShapeDismissed ShapeState = "dismissed" // the field stays left alone, and nobody is asked again
	ShapeOver      ShapeState = "over"      // the system is again as it was before
)

// ShapeChange is a field that is not what it was.
type ShapeChange struct {
	ID          uuid.UUID
	Service     service.ID
	ServiceName string
	System      record.System
	Object      record.Object
	Field       string // the system's name of it
	Name        string // the entity's; "" when no mapping names it
	Kind        ShapeKind
	Was         FieldShape // empty for an added one
	Is          FieldShape // empty for a removed one
	State       ShapeState
	Settled     bool // the service goes by it, or it is over
	Quarantined bool // the field is left alone because of it
	FoundAt     time.Time
	DecidedAt   *time.Time
	DecidedBy   string
	Version     int64
}

// Reshaped is what an object as found means for the shape that the service goes by.
type Reshaped struct {
	Shape   Shape
	Moved   bool            // the shape is not what it was
	Changes []ShapeChange   // those that are new or moved on
	Held    map[string]bool // fields of the system that are left alone
	Caught  []ShapeChange   // those for which records have to be read again: their fields are synced from now on
}

// look is how a document sees an object.
type look struct {
	byName bool                       // it names no fields: those of equal name are one
	name   func(native string) string // the entity's name of a field, "" for one that is not mapped
	needed func(native string) bool   // records cannot be told apart without it
}

// reshape compares an object with the shape that the service goes by. live are its changes that are not settled. It is a
// function of its arguments; ids of new things come from newID alone.
func reshape(shape Shape, live []ShapeChange, info connector.ObjectInfo, see look, now time.Time) Reshaped {
	out := Reshaped{Shape: Shape{System: shape.System, Object: shape.Object, Fields: maps.Clone(shape.Fields)}, Held: make(map[string]bool)}
	found := make(map[string]FieldShape, len(info.Fields))
	for _, f := range info.Fields {
		found[f.Name] = FieldShape{Type: f.Type, Native: f.Native}
	}
	if shape.Fields == nil { // it is seen for the first time
		out.Shape.Fields, out.Moved = found, true
		return out
	}
	pending := make(map[string]*ShapeChange, len(live))
	names := make(map[string]bool)
	for i := range live {
		pending[live[i].Field] = &live[i]
		names[live[i].Field] = true
	}
	for _, m := range []map[string]FieldShape{found, shape.Fields} {
		for n := range m {
			names[n] = true
		}
	}
	for _, n := range sortedKeys(names) {
		out.field(n, pending[n], found, see, now)
	}
	out.Moved = !maps.Equal(out.Shape.Fields, shape.Fields)
	return out
}

// field goes through one field; c is its change that is not settled, nil for none.
func (r *Reshaped) field(n string, c *ShapeChange, found map[string]FieldShape, see look, now time.Time) {
	is, there := found[n]
	was, known := r.Shape.Fields[n]
	settle := func(state ShapeState) {
		c.State, c.Settled, c.Quarantined = state, true, false
		c.Version++
		r.Changes = append(r.Changes, *c)
		c = nil
	}
	if c != nil && c.State == ShapeAccepted && there == (c.Kind != FieldRemoved) {
		if there {
			r.Shape.Fields[n] = is
			r.Caught = append(r.Caught, *c)
		} else {
			delete(r.Shape.Fields, n)
		}
		settle(ShapeAccepted)
		return
	}
	if c != nil && c.Kind == FieldRemoved && there {
		// A column that is made anew is empty, so its coming back is offered like any other new field.
		settle(ShapeOver)
		delete(r.Shape.Fields, n)
		known, was = false, FieldShape{}
	}
	kind := ShapeKind("")
	switch {
	case !known && there && !see.byName && see.name(n) != "":
		// A document that names the field was written by somebody who wants it.
		r.Shape.Fields[n] = is
		if c != nil {
			c.Name = see.name(n)
			r.Caught = append(r.Caught, *c)
			settle(ShapeAccepted)
		}
		return
	case !known && there:
		kind = FieldAdded
	case known && there && was.Type != is.Type && see.name(n) != "" && !see.needed(n):
		kind = FieldRetyped
	case known && !there && see.name(n) != "":
		kind = FieldRemoved
	case known && there:
		r.Shape.Fields[n] = is
	case known:
		delete(r.Shape.Fields, n)
	}
	if kind == "" {
		if c != nil {
			if c.Kind == FieldRetyped && there {
				r.Caught = append(r.Caught, *c) // what changed there meanwhile was not read
			}
			settle(ShapeOver)
		}
		return
	}
	quarantined := kind != FieldAdded || see.byName
	r.Held[n] = quarantined
	switch {
	case c == nil:
		r.Changes = append(r.Changes, ShapeChange{ID: newID(), System: r.Shape.System, Object: r.Shape.Object, Field: n, Name: see.name(n), Kind: kind, Was: was, Is: is,
			State: ShapeOpen, Quarantined: quarantined, FoundAt: now, Version: 1})
	case c.Kind != kind || c.Is != is:
		// Not what somebody decided about.
		c.Kind, c.Is, c.State, c.DecidedAt, c.DecidedBy = kind, is, ShapeOpen, nil, ""
		c.Version++
		r.Changes = append(r.Changes, *c)
	}
}

// named is the entity's field that a document calls a system's field, "" for none.
func named(fields []mapping.Field, native string) string {
	if fields == nil {
		return native
	}
	for _, f := range fields {
		if reaches := func(name string) bool {
			return plainName(name) == plainName(native) || plainName(mapping.Column(name)) == plainName(native)
		}; slices.ContainsFunc(f.Names, reaches) {
			return f.Entity
		}
	}
	return ""
}

// withhold takes fields that are left alone out of what a mapping is compiled from. It returns the entity's names of them.
func withhold(info connector.ObjectInfo, fields []mapping.Field, held map[string]bool) (connector.ObjectInfo, []mapping.Field, []string) {
	var names []string
	for _, native := range sortedKeys(held) {
		if !held[native] {
			continue
		}
		info.Fields = slices.DeleteFunc(slices.Clone(info.Fields), func(f connector.FieldInfo) bool { return f.Name == native })
		for n := named(fields, native); n != ""; n = named(fields, native) {
			if names = append(names, n); fields == nil {
				break
			}
			fields = slices.DeleteFunc(slices.Clone(fields), func(f mapping.Field) bool { return f.Entity == n })
		}
	}
	return info, fields, names
}
