// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// What the brake keeps.

type heldKey struct {
	system record.System
	object record.Object
	key    record.Key
}

type heldRow struct {
	engine.Held
	hold uuid.UUID
}

func (h *heldRow) compare(o *heldRow) int { return cmp.Compare(h.Key, o.Key) }

// Braking reads the seat's tally and open holds; these are locked against a decision.
func (t *Tx) Braking(ctx context.Context, g engine.Guard, seat *engine.Seat) (engine.Braking, error) {
	out := engine.Braking{Open: make(map[engine.HoldKind]bool), Told: make(map[engine.HoldKind]time.Time)}
	if err := t.step(ctx, "braking"); err != nil {
		return out, err
	}
	return out, t.read(g.Service, func(row *serviceRow) error {
		out.Tally = row.tallies[cursorKey{seat.System, seat.Object}]
		for _, h := range row.holds {
			if h.System != seat.System || h.Object != seat.Object {
				continue
			}
			switch h.State {
			case engine.HoldOpen:
				out.Open[h.Kind] = true
			case engine.HoldAlerted:
				if h.OpenedAt.After(out.Told[h.Kind]) {
					out.Told[h.Kind] = h.OpenedAt
				}
			}
		}
		return nil
	})
}

// CountLinks counts the seat's links that are not frozen, up to a number.
func (t *Tx) CountLinks(ctx context.Context, s service.ID, seat *engine.Seat, upTo int64) (n int64, err error) {
	if err := t.step(ctx, "count links"); err != nil {
		return 0, err
	}
	return n, t.read(s, func(row *serviceRow) error {
		for _, e := range row.entities {
			if l := e.Links[seat.System]; l != nil && l.Object == seat.Object && l.State != record.Frozen && n < upTo {
				n++
			}
		}
		return nil
	})
}

// Holds lists the service's holds that are not settled.
func (t *Tx) Holds(ctx context.Context, s service.ID) (list []engine.Hold, err error) {
	if err := t.step(ctx, "holds"); err != nil {
		return nil, err
	}
	return list, t.read(s, func(row *serviceRow) error {
		for _, h := range row.holds {
			switch h.State {
			case engine.HoldGathering, engine.HoldOpen, engine.HoldReleased, engine.HoldRejected:
			default:
				continue
			}
			c := *h
			c.Held = int64(len(row.heldBy(h.ID)))
			if h.State != engine.HoldGathering {
				c.Held = min(c.Held, 1)
			}
			list = append(list, c)
		}
		slices.SortFunc(list, func(a, b engine.Hold) int { return slices.Compare(a.ID[:], b.ID[:]) })
		return nil
	})
}

func (row *serviceRow) heldBy(hold uuid.UUID) []*heldRow {
	var list []*heldRow
	for _, h := range row.held {
		if h.hold == hold {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, (*heldRow).compare)
	return list
}

// HeldChanges returns the next changes of a hold.
func (t *Tx) HeldChanges(ctx context.Context, hold uuid.UUID, limit int) (list []record.Change, err error) {
	if err := t.step(ctx, "held changes"); err != nil {
		return nil, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, row := range t.rows().services {
		held := row.heldBy(hold)
		for _, h := range held[:min(len(held), limit)] {
			list = append(list, h.Change)
		}
	}
	return list, nil
}

// HeldOf says of which of the entities a change in the seat's system is held.
func (t *Tx) HeldOf(ctx context.Context, s service.ID, seat *engine.Seat, ids []record.EntityID) (map[record.EntityID]bool, error) {
	if err := t.step(ctx, "held of"); err != nil {
		return nil, err
	}
	out := make(map[record.EntityID]bool)
	return out, t.read(s, func(row *serviceRow) error {
		for k, h := range row.held {
			if k.system == seat.System && k.object == seat.Object && h.Kind != engine.HoldOrphans && slices.Contains(ids, h.Entity) {
				out[h.Entity] = true
			}
		}
		return nil
	})
}

// SaveHold writes a hold's state and reason and, unless nil, the seat's tally.
func (t *Tx) SaveHold(_ context.Context, g engine.Guard, h engine.Hold, tally *engine.Tally) error {
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	t.write(func() {
		for _, old := range row.holds {
			if old.ID == h.ID {
				old.State, old.Reason, old.OpenedAt, old.DecidedAt, old.Note = h.State, h.Reason, h.OpenedAt, h.DecidedAt, h.Note
				old.Version++
			}
		}
		if tally != nil {
			row.tallies[cursorKey{h.System, h.Object}] = *tally
		}
	})
	return nil
}

// saveBraked writes what the brake counts and holds of a page, and lets go what is held no more.
func (t *Tx) saveBraked(row *serviceRow, in engine.Intake) {
	seat, unheld := in.Seat, slices.Clone(in.Unheld)
	t.write(func() {
		for _, k := range unheld {
			hk := heldKey{seat.System, seat.Object, k}
			if h := row.held[hk]; h != nil {
				if d := row.deliveries[deliveryKey{seat.System, h.Entity}]; d != nil && d.waits == engine.WaitsHold {
					d.due, d.waits = t.now, ""
				}
			}
			delete(row.held, hk)
		}
	})
	b := in.Braked
	if b == nil {
		return
	}
	waits := func(h *engine.Hold, system record.System, object record.Object, kind engine.HoldKind) bool {
		return h.System == system && h.Object == object && h.Kind == kind && (h.State == engine.HoldGathering || h.State == engine.HoldOpen)
	}
	t.write(func() {
		row.tallies[cursorKey{seat.System, seat.Object}] = b.Tally
		for _, h := range b.Opened {
			if !slices.ContainsFunc(row.holds, func(old *engine.Hold) bool { return waits(old, h.System, h.Object, h.Kind) }) {
				row.holds = append(row.holds, &h)
			}
		}
		for _, h := range b.Held {
			for _, hold := range row.holds {
				if waits(hold, seat.System, seat.Object, h.Kind) {
					row.held[heldKey{seat.System, seat.Object, h.Key}] = &heldRow{Held: h, hold: hold.ID}
				}
			}
		}
	})
	t.checks = append(t.checks, func() error {
		for _, h := range b.Held {
			there := func(old *engine.Hold) bool { return waits(old, seat.System, seat.Object, h.Kind) }
			opened := slices.ContainsFunc(b.Opened, func(o engine.Hold) bool { return there(&o) })
			if !opened && !slices.ContainsFunc(row.holds, there) {
				return fmt.Errorf("simulation: %s is to be held, and no hold is open", h.Key)
			}
		}
		return nil
	})
}
