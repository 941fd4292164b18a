// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Oldest finds what has been owed the longest and waits for no person.
func (t *Tx) Oldest(ctx context.Context, s service.ID) (since time.Time, system record.System, err error) {
	if err := t.step(ctx, "oldest"); err != nil {
		return since, "", err
	}
	err = t.read(s, func(row *serviceRow) error {
		older := func(at time.Time, in record.System) {
			if since.IsZero() || at.Before(since) || at.Equal(since) && in < system {
				since, system = at, in
			}
		}
		for k, d := range row.deliveries {
			if d.waits != engine.WaitsHold {
				older(d.since, k.system)
			}
		}
		for _, a := range row.attempts {
			older(a.since, a.System)
		}
		return nil
	})
	return since, system, err
}

// MarkLate notes whether the service is late.
func (t *Tx) MarkLate(ctx context.Context, s service.ID, late bool) (changed bool, err error) {
	if err := t.step(ctx, "mark late"); err != nil {
		return false, err
	}
	err = t.read(s, func(row *serviceRow) error {
		changed = row.late != late
		t.write(func() { row.late = late })
		return nil
	})
	return changed, err
}

// Refusals lists the open outward dead letters.
func (t *Tx) Refusals(ctx context.Context, s service.ID, limit int) (list []engine.Refusal, err error) {
	if err := t.step(ctx, "refusals"); err != nil {
		return nil, err
	}
	err = t.read(s, func(row *serviceRow) error {
		for _, d := range row.dead {
			if !d.Inward && d.state == "open" && !d.waits() {
				list = append(list, engine.Refusal{DeadLetter: d.DeadLetter, Tries: d.tries})
			}
		}
		return nil
	})
	return list[:min(len(list), limit)], err
}

// waits says whether it only tells of waiting for another record.
func (d *deadRow) waits() bool {
	return d.Code == "reference.missing" || d.Code == "reference.children"
}

// LockEntity loads an entity and its open conflicts for changing them.
func (t *Tx) LockEntity(ctx context.Context, s service.ID, id record.EntityID) (e *record.Entity, open []*engine.Conflict, err error) {
	if err := t.lock(ctx, "entity "+id.String(), true); err != nil {
		return nil, nil, err
	}
	err = t.read(s, func(row *serviceRow) error {
		there := row.entities[id]
		if there == nil {
			return fault.New(fault.NotFound, "record.not_found", "The record does not exist any more.")
		}
		e = cloneEntity(there)
		for _, c := range row.sortedConflicts() {
			if c.Open && c.Entity == id {
				open = append(open, cloneConflict(c))
			}
		}
		return nil
	})
	return e, open, err
}

// SaveCompensated writes the entity that a refusal set back, and notes that it is compensated.
func (t *Tx) SaveCompensated(ctx context.Context, s service.ID, e *record.Entity, moot []*engine.Conflict, entry record.Entry, dead uuid.UUID, systems []string) error {
	if err := t.step(ctx, "save compensated"); err != nil {
		return err
	}
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	v := saved{changed: []*record.Entity{e}, journal: []record.Entry{entry}, conflicts: moot}
	for _, system := range slices.Sorted(maps.Keys(e.Links)) {
		v.linksC = append(v.linksC, engine.LinkRow{Entity: e.ID, Link: e.Links[system]})
	}
	if err := t.save(ctx, s, v); err != nil {
		return err
	}
	t.write(func() {
		row.settleDead([]string{"open"}, func(d *deadRow) bool { return d.ID == dead })
	})
	for _, system := range systems {
		if err := t.owe(ctx, row, record.System(system), e.Collection, []record.EntityID{e.ID}, t.now, t.now); err != nil {
			return err
		}
	}
	return nil
}

// SettleDead settles an open dead letter.
func (t *Tx) SettleDead(ctx context.Context, s service.ID, dead uuid.UUID, _ string) error {
	if err := t.step(ctx, "settle dead"); err != nil {
		return err
	}
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	t.write(func() {
		row.settleDead([]string{"open"}, func(d *deadRow) bool { return d.ID == dead })
	})
	return nil
}

// AddUsage meters.
func (t *Tx) AddUsage(ctx context.Context, events []billing.UsageEvent) error {
	t.addUsage(events)
	return t.step(ctx, "usage")
}

// Audit notes for the checks what was compensated: the entry stands in the commit that set the record back, or in none.
func (t *Tx) Audit(ctx context.Context, e audit.Entry) error {
	r := t.rows()
	t.write(func() { r.audited = append(r.audited, e.Subject) })
	return t.step(ctx, "audit")
}
