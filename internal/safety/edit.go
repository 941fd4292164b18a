// SPDX-License-Identifier: Apache-2.0

package safety

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Edited is an entity that people changed, with the line of its history.
type Edited struct {
	*record.Entity
	Entry record.Entry
}

// EditTx is the transaction as changing records needs it.
type EditTx interface {
	Now() time.Time
	// Service finds a service by id or name.
	Service(ctx context.Context, ref string) (service.Service, error)
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	// FindRecord finds an entity by its id or by any system's key; record.not_found otherwise.
	FindRecord(ctx context.Context, s service.ID, idOrKey string) (engine.Detail, error)
	// UnderWay lists the systems that the entity may be on its way to at this moment.
	UnderWay(ctx context.Context, s service.ID, id record.EntityID) ([]string, error)
	// SaveFreeze notes that the entity is frozen.
	SaveFreeze(ctx context.Context, s service.ID, id record.EntityID, f engine.Freeze) error
	// DropFreeze forgets it.
	DropFreeze(ctx context.Context, s service.ID, id record.EntityID) error
	// FindCopy finds the entity of a system's record, by the record's key there or by the entity's id; the fault
	// record.not_found otherwise.
	FindCopy(ctx context.Context, s service.ID, system record.System, keyOrID string) (record.EntityID, error)
	// LockEntity loads an entity with its links, and its open conflicts, for changing them.
	LockEntity(ctx context.Context, s service.ID, id record.EntityID) (*record.Entity, []*engine.Conflict, error)
	// Entries lists the changes and decisions that the selection is about, the oldest first, at most limit.
	Entries(ctx context.Context, s service.ID, sel Selection, limit int) ([]record.Entry, error)
	// Since lists the changes and decisions of the entities from an entry on, the oldest first.
	Since(ctx context.Context, s service.ID, ids []record.EntityID, since uuid.UUID) ([]record.Entry, error)
	// LockEntities loads entities with their links, in id order, for changing them.
	LockEntities(ctx context.Context, s service.ID, ids []record.EntityID) ([]*record.Entity, error)
	// SaveEdited writes entities, links and history, and makes deliveries to the systems, by collection.
	SaveEdited(ctx context.Context, s service.ID, list []Edited, systems map[string][]string) error
	// Inquire notes what sources of enrichment are to be asked.
	Inquire(ctx context.Context, s service.ID, list []engine.Inquiry) error
	AddUsage(ctx context.Context, events []billing.UsageEvent) error
	// Wake tells the worker that carries the service at commit.
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Editor changes records as people and programs ask.
type Editor struct {
	inTx func(context.Context, tenant.ID, func(EditTx) error) error
}

// NewEditor makes an Editor.
func NewEditor(inTx func(context.Context, tenant.ID, func(EditTx) error) error) *Editor {
	return &Editor{inTx}
}

// Edit is a conditional change of one record.
type Edit struct {
	Service string        // id or name
	System  record.System // in whose terms the record is named
	Record  string        // its key there, or the entity's id
	Fields  record.Fields // entity fields and their new values; the others stay
	Version *int64        // the entity's version that was read; nil for whatever is there
	Expect  record.Fields // the values that these fields must have now; nil for whatever is there
}

// Change carries out an edit: the record's systems, the named one too, are owed the new values. Faults: record.not_found,
// record.version_stale and record.condition_failed with the present version, record.field_unknown, record.field_key,
// record.in_conflict, record.deleted, record.frozen.
func (m *Editor) Change(ctx context.Context, who auth.Principal, edit Edit) (e *record.Entity, err error) {
	if err := who.May(auth.EditRecords); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx EditTx) error {
		s, doc, err := writable(ctx, tx, edit.Service)
		if err != nil {
			return err
		}
		if _, known := doc.System(string(edit.System)); !known {
			return fault.New(fault.NotFound, "record.system_unknown", "The service %s has no system %s.", s.Name, edit.System)
		}
		id, err := tx.FindCopy(ctx, s.ID, edit.System, edit.Record)
		if err != nil {
			return err
		}
		if e, _, err = tx.LockEntity(ctx, s.ID, id); err != nil {
			return err
		}
		taking := doc.Receiving()
		if !slices.Contains(taking[e.Collection], string(edit.System)) {
			return fault.New(fault.Conflict, "record.system_not_written", "%s takes no changes in this service: it is only read. Write the record in a system that takes changes, or there.", edit.System)
		}
		if err := edit.holds(e, doc); err != nil {
			return err
		}
		entry := set(e, edit.Fields, matchFields(doc), tx.Now())
		if len(entry.After) == 0 {
			return nil // it is as wished
		}
		entry.Actor = who.Name
		if err := tx.SaveEdited(ctx, s.ID, []Edited{{e, entry}}, taking); err != nil {
			return err
		}
		if err := tx.Inquire(ctx, s.ID, engine.Inquire(doc, e)); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "activity", uuid.UUID(s.ID), map[string]any{"system": record.Person}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("record.edited", ident.Format(ident.Entity, e.ID), map[string]any{"service": s.ID.Public(), "name": s.Name, "system": edit.System,
			"fields": slices.Sorted(maps.Keys(entry.After)), "version": e.Version}))
	})
	return e, err
}

// writable is a service whose records may be written now.
func writable(ctx context.Context, tx EditTx, ref string) (service.Service, *service.Document, error) {
	s, err := tx.Service(ctx, ref)
	if err != nil {
		return s, nil, err
	}
	if s.State == service.Draft || s.State == service.Archived {
		return s, nil, fault.New(fault.Conflict, "service.not_active", "The service %s is %s, so its records cannot be written.", s.Name, s.State)
	}
	_, doc, err := tx.Loadable(ctx, s.ID)
	return s, doc, err
}

// holds says whether the record is as the edit wants it to be.
func (edit *Edit) holds(e *record.Entity, doc *service.Document) error {
	if edit.Version != nil && *edit.Version != e.Version {
		return fault.New(fault.Stale, "record.version_stale", "The record is at version %d by now, and you read version %d. Read it again; nothing was changed.", e.Version, *edit.Version)
	}
	for _, f := range slices.Sorted(maps.Keys(edit.Expect)) {
		if !record.Equal(e.Fields[f], edit.Expect[f]) {
			return fault.New(fault.Stale, "record.condition_failed", "%s is %s and not %s; the record is at version %d. Nothing was changed.", f, quoted(e.Fields[f]), quoted(edit.Expect[f]), e.Version).
				At(fault.Field{Pointer: "/expect/" + pointerPart(f), Message: "It is " + quoted(e.Fields[f]) + "."})
		}
	}
	if e.DeletedAt != nil {
		return fault.New(fault.Conflict, "record.deleted", "The record was deleted.")
	}
	if e.IsFrozen() {
		return fault.New(fault.Conflict, "record.frozen", "The record is frozen, so nothing is written to any system. Thaw it first.")
	}
	known := doc.EntityFields()
	for _, f := range slices.Sorted(maps.Keys(edit.Fields)) {
		_, has := e.Fields[f]
		switch {
		case !has && !slices.Contains(known, f):
			return fault.New(fault.Invalid, "record.field_unknown", "The record has no field %s; it has %s.", f, strings.Join(slices.Sorted(maps.Keys(e.Fields)), ", ")).
				At(fault.Field{Pointer: "/fields/" + pointerPart(f), Message: "There is no such field."})
		case e.IsHeld(f):
			return fault.New(fault.Conflict, "record.in_conflict", "%s waits for a decision about a conflict; decide that first.", f).
				At(fault.Field{Pointer: "/fields/" + pointerPart(f), Message: "It is in conflict."})
		case slices.Contains(matchFields(doc), f) && !record.Equal(e.Fields[f], edit.Fields[f]):
			return fault.New(fault.Invalid, "record.field_key", "%s tells which records are the same, so it cannot be changed here. Change it in the system it comes from.", f).
				At(fault.Field{Pointer: "/fields/" + pointerPart(f), Message: "It identifies the record."})
		}
	}
	return nil
}

func pointerPart(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

func quoted(v record.Value) string { return string(record.AppendJSON(nil, v)) }

func matchFields(doc *service.Document) []string { return doc.MatchFields() }

// set gives the entity new values that a person wants: they go to every system, whatever directions say. It returns the line of
// the history; without a difference that is empty. It is a function of its arguments, apart from the id.
func set(e *record.Entity, fields record.Fields, matchFields []string, now time.Time) record.Entry {
	entry := record.Entry{ID: uuid.Must(uuid.NewV7()), Entity: e.ID, At: now, Kind: record.Decided, Op: record.Updated, System: record.Person,
		Before: record.Fields{}, After: record.Fields{}}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		v, before := fields[f], e.Fields[f]
		if record.Equal(before, v) {
			continue
		}
		entry.Before[f], entry.After[f] = before, v
		for _, l := range e.Links {
			l.Holds(f, l.Shadow(e, f), v, false)
		}
		e.Fields[f] = v
		if e.Stamps == nil {
			e.Stamps = make(map[string]record.Stamp)
		}
		e.Stamps[f] = record.Stamp{System: record.Person, At: now}
	}
	if len(entry.After) == 0 {
		return entry
	}
	if len(matchFields) > 0 {
		e.MatchKey = match.Key(e.Fields, matchFields)
	}
	stir(e, now)
	return entry
}

// stir makes the entity's next version; its copies that are behind wait for a delivery.
func stir(e *record.Entity, now time.Time) {
	for _, l := range e.Links {
		if l.State == record.Synced && (len(l.Behind) > 0 || e.DeletedAt != nil) {
			l.State = record.Pending
		}
	}
	e.ChangedAt = now
	e.Version++
}

// usage counts that edits ended entities' lives or gave them back.
func usage(s service.ID, doc *service.Document, list []Edited, revived map[record.EntityID]time.Time, now time.Time) []billing.UsageEvent {
	died := make(map[string]int64)
	var out []billing.UsageEvent
	class := make(map[string]string)
	for _, c := range doc.Collections() {
		class[c.Name] = c.Model
	}
	for _, e := range list {
		object := record.Object(e.Collection)
		switch since, was := revived[e.ID]; {
		case was:
			out = append(out, billing.RecordRevived(e.Entry.ID.String(), now, uuid.UUID(s), object, class[e.Collection], e.ID, since))
		case e.Entry.Op == record.Deleted:
			died[e.Collection]++
		}
	}
	for collection, n := range died {
		out = append(out, billing.RecordsDeleted(fmt.Sprintf("%s %s", list[0].Entry.ID, collection), now, uuid.UUID(s), record.Object(collection), class[collection], n))
	}
	return out
}
