// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Reshaping is what a service's schema changes came to, as one commit writes it.
type Reshaping struct {
	Shapes  []Shape       // those that are not what they were
	Changes []ShapeChange // those that are new or moved on
	Empty   []Emptied     // what counts as empty in a system until it is read
	Texts   []Retyped     // fields that are texts from now on
	Runs    []service.Run // that read records again
}

// Retyped is a field that a system has as text from now on: what it is taken to hold is compared as text.
type Retyped Emptied

// Emptied is a field that a system has from now on. Nothing is known of what it holds there, and what was made empty is not to
// empty the others: it counts as empty, so that only a value that is found there says something.
type Emptied struct {
	System record.System
	Object record.Object
	Field  string // the entity's
}

// unread notes of a record that becomes a copy of the entity that nothing is known of the fields withheld: as in Emptied.
func (s *Seat) unread(e *record.Entity, l *record.Link) {
	for _, f := range s.Withheld {
		if v := e.Fields[f]; v != nil {
			l.Holds(f, nil, v, false)
		}
	}
}

// reshape compares the objects with the shapes that the service goes by, writes what is new about them, and says which fields
// are left alone.
func (f *flow) reshape(ctx context.Context, doc *service.Document, opened map[record.System]Opened) error {
	return f.inTx(ctx, func(tx Tx) error {
		shapes, live, err := tx.Shapes(ctx, f.guard.Service)
		if err != nil {
			return err
		}
		r, held := reshaping(f.guard, doc, opened, shapes, live, tx.Now())
		for system, o := range opened {
			o.Held = held[system]
			opened[system] = o
		}
		if len(r.Shapes) == 0 && len(r.Changes) == 0 {
			return nil
		}
		for i := range r.Changes {
			c := &r.Changes[i]
			if c.State != ShapeOpen {
				continue
			}
			data := map[string]any{"change": ident.Format(ident.SchemaChange, c.ID), "system": c.System, "object": c.Object, "field": c.Field, "kind": c.Kind, "quarantined": c.Quarantined}
			if err := tx.Emit(ctx, "schema.changed", uuid.UUID(f.guard.Service), data); err != nil {
				return err
			}
		}
		for i := range r.Runs {
			if err := tx.Emit(ctx, "run.queued", uuid.UUID(f.guard.Service), map[string]any{"id": r.Runs[i].ID.Public(), "kind": r.Runs[i].Kind, "state": r.Runs[i].State, "actor": r.Runs[i].Actor}); err != nil {
				return err
			}
		}
		return tx.SaveShapes(ctx, f.guard, r)
	})
}

// reshaping goes through the objects of all systems that were opened. It is a function of its arguments; the guard says for what
// service and revision.
func reshaping(g Guard, doc *service.Document, opened map[record.System]Opened, shapes []Shape, live []ShapeChange, now time.Time) (out Reshaping, held map[record.System]map[record.Object]map[string]bool) {
	held = make(map[record.System]map[record.Object]map[string]bool)
	for _, c := range doc.Collections() {
		if !c.Shared() {
			continue
		}
		needed := slices.Clone(doc.MatchFieldsOf(c))
		for _, m := range c.Members {
			if info, ok := described(opened, c, m); ok {
				fields := fieldsIn(doc, m, info.Name, info)
				for _, k := range info.Key {
					needed = append(needed, named(fields, k))
				}
			}
		}
		for _, m := range c.Members {
			info, ok := described(opened, c, m)
			if !ok || info.Open || len(info.Fields) == 0 {
				continue
			}
			system, fields := record.System(m.System), fieldsIn(doc, m, info.Name, info)
			see := look{byName: fields == nil, name: func(n string) string { return named(fields, n) }}
			see.needed = func(n string) bool { return slices.Contains(info.Key, n) || slices.Contains(needed, see.name(n)) }
			shape := Shape{System: system, Object: info.Name}
			if i := slices.IndexFunc(shapes, func(s Shape) bool { return s.System == system && s.Object == info.Name }); i >= 0 {
				shape = shapes[i]
			}
			mine := slices.DeleteFunc(slices.Clone(live), func(c ShapeChange) bool { return c.System != system || c.Object != info.Name })
			r := reshape(shape, mine, info, see, now)
			if r.Moved {
				out.Shapes = append(out.Shapes, r.Shape)
			}
			out.Changes = append(out.Changes, r.Changes...)
			if held[system] == nil {
				held[system] = make(map[record.Object]map[string]bool)
			}
			held[system][info.Name] = r.Held
			for _, c := range r.Caught {
				_, _, names := withhold(info, fields, map[string]bool{c.Field: true})
				for _, n := range names {
					switch {
					case c.Kind == FieldAdded:
						out.Empty = append(out.Empty, Emptied{system, info.Name, n})
					case r.Shape.Fields[c.Field].Type == connector.TypeText:
						out.Texts = append(out.Texts, Retyped{system, info.Name, n})
					}
				}
			}
			if len(r.Caught) > 0 {
				selection := service.Selection{Source: m.System, Object: string(info.Name)}
				if len(doc.SystemsReceiving(m.System, "")) == 0 { // it is only written to
					selection = service.Selection{Targets: []string{m.System}}
				}
				out.Runs = append(out.Runs, service.Run{ID: service.NewRunID(), Service: g.Service, Kind: service.BulkRun, State: service.RunQueued,
					Actor: r.Caught[0].DecidedBy, Revision: g.Revision, CreatedAt: now, Version: 1, Selection: &selection})
			}
		}
	}
	return out, held
}

// described is the member's object as it was discovered.
func described(opened map[record.System]Opened, c service.Collection, m service.Member) (connector.ObjectInfo, bool) {
	objects := opened[record.System(m.System)].Objects
	i := slices.IndexFunc(objects, func(o connector.ObjectInfo) bool { return o.Name == memberObject(c, m) })
	if i < 0 {
		return connector.ObjectInfo{}, false
	}
	return objects[i], true
}

// watchShapes looks now and then whether objects are still what the flow was begun with. When they are not, or when somebody
// decided about a schema change, the flow begins anew with what is so now; nothing is read from the beginning for it.
func (f *flow) watchShapes(ctx context.Context, doc *service.Document) error {
	for sleep(ctx, shapeEvery, f.shapes) {
		opened := make(map[record.System]Opened)
		for _, l := range f.lanes {
			d, ok := l.Open.(connector.Discoverer)
			if _, done := opened[l.System]; done || !ok {
				continue
			}
			objects, err := d.Describe(ctx, f.objects[l.System]...)
			if err != nil {
				continue // it tells of itself when it is read
			}
			opened[l.System] = Opened{Objects: objects}
		}
		var r Reshaping
		err := f.inTx(ctx, func(tx Tx) error {
			shapes, live, err := tx.Shapes(ctx, f.guard.Service)
			if err == nil {
				r, _ = reshaping(f.guard, doc, opened, shapes, live, tx.Now())
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			f.log.Warn("looking for schema changes; it is tried again", "error", err)
		}
		if len(r.Changes) > 0 {
			return ErrRevised
		}
	}
	return nil
}

// ShapeQuery selects schema changes of a service, the newest first.
type ShapeQuery struct {
	Service service.ID
	State   ShapeState // "" for all
	Before  uuid.UUID  // go on after this one
	Limit   int
}

// ShapeChanges lists schema changes.
func (r *Reader) ShapeChanges(ctx context.Context, who auth.Principal, q ShapeQuery) (list []ShapeChange, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.ShapeChanges(ctx, q)
		return err
	})
}

// DecideShape accepts a schema change, so that the service goes by it and records are read again for it, or dismisses it, so that
// the field stays left alone. What was dismissed can be accepted after all. Faults: schema_change.not_found,
// schema_change.not_open, schema_change.unmapped.
func (d *Decider) DecideShape(ctx context.Context, who auth.Principal, id uuid.UUID, accept bool) (c ShapeChange, err error) {
	if err := who.May(auth.EditServices); err != nil {
		return c, err
	}
	return c, d.inTx(ctx, who.Tenant, func(tx DecideTx) error {
		if c, err = tx.LockShapeChange(ctx, id); err != nil {
			return err
		}
		if c.State != ShapeOpen && !(accept && c.State == ShapeDismissed) {
			return fault.New(fault.Conflict, "schema_change.not_open", "This schema change is %s already.", c.State)
		}
		if accept && c.Kind == FieldAdded && c.Name == "" {
			return fault.New(fault.Conflict, "schema_change.unmapped", "The mapping of %s names its fields, and %s is not one of them. Add it to the mapping; that accepts it.", c.Object, c.Field)
		}
		now := tx.Now()
		c.State, c.DecidedAt, c.DecidedBy = ShapeDismissed, &now, who.Name
		if accept {
			c.State = ShapeAccepted
		}
		c.Version++
		if err := tx.SaveShapeChange(ctx, c); err != nil {
			return err
		}
		public := ident.Format(ident.SchemaChange, c.ID)
		data := map[string]any{"change": public, "system": c.System, "object": c.Object, "field": c.Field, "kind": c.Kind, "state": c.State}
		if err := tx.Emit(ctx, "schema.decided", uuid.UUID(c.Service), data); err != nil {
			return err
		}
		if err := tx.Wake(ctx, c.Service); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("schema_change."+string(c.State), public, map[string]any{"service": c.Service.Public(), "system": c.System, "object": c.Object, "field": c.Field, "kind": c.Kind}))
	})
}
