// SPDX-License-Identifier: Apache-2.0

// Package safety is what people do about changes before and after they happen: decide about what the brake holds, look at a
// plan before it is applied, take back what was done, freeze a record. What a change means is decided by package engine.
package safety

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Hold is a question of the brake to a person, with where it stands.
type Hold struct {
	engine.Hold
	ServiceName string
	Total       int64 // how many changes were held at most, or when it was decided
}

// HeldChange is one change that is held.
type HeldChange struct {
	Key    record.Key
	Op     record.Op
	Absent bool            // nobody told of the deletion: the record was missing when all were read
	Entity record.EntityID // zero for a record that is new
	Title  string          // what people call the record
	Fields record.Fields   // the record as it was read, in its system's field names; nil for a deletion
	Before record.Fields   // by entity field: what would change, as it is
	After  record.Fields   // as it would become
	Why    string          // which number moved too far
	At     *time.Time      // when it happened by the system's clock; nil when the system cannot tell
	HeldAt time.Time
}

// HoldQuery selects holds, the newest first.
type HoldQuery struct {
	Service service.ID       // zero for all
	State   engine.HoldState // "" for all
	Before  uuid.UUID        // go on after this one
	Limit   int              // 1 to 100
}

// HoldTx is the transaction as deciding about holds needs it.
type HoldTx interface {
	Now() time.Time
	HoldList(ctx context.Context, q HoldQuery) ([]Hold, error)
	LockHold(ctx context.Context, id uuid.UUID) (Hold, error)
	HeldList(ctx context.Context, hold uuid.UUID, after record.Key, limit int) ([]HeldChange, error)
	// DecideHold writes what a person decided, and counts the object's changes anew from now on.
	DecideHold(ctx context.Context, h Hold) error
	// Wake tells the worker that carries the service at commit.
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Holds carries out what people decide about held changes.
type Holds struct {
	inTx func(context.Context, tenant.ID, func(HoldTx) error) error
}

// NewHolds makes Holds.
func NewHolds(inTx func(context.Context, tenant.ID, func(HoldTx) error) error) *Holds {
	return &Holds{inTx}
}

// List returns holds.
func (m *Holds) List(ctx context.Context, who auth.Principal, q HoldQuery) (list []Hold, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx HoldTx) (err error) {
		list, err = tx.HoldList(ctx, q)
		return err
	})
	return list, err
}

// Get returns one hold, or the fault hold.not_found.
func (m *Holds) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (h Hold, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return h, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx HoldTx) (err error) {
		h, err = tx.LockHold(ctx, id)
		return err
	})
	return h, err
}

// Changes lists what is held, in the order of the keys, those after the one given.
func (m *Holds) Changes(ctx context.Context, who auth.Principal, id uuid.UUID, after record.Key, limit int) (list []HeldChange, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx HoldTx) error {
		if _, err := tx.LockHold(ctx, id); err != nil {
			return err
		}
		list, err = tx.HeldList(ctx, id, after, limit)
		return err
	})
	return list, err
}

// Release lets what is held go on: the records are read again and taken in as they are then. Faults: hold.not_found,
// hold.not_open, hold.version_stale.
func (m *Holds) Release(ctx context.Context, who auth.Principal, id uuid.UUID, note string, version int64) (Hold, error) {
	return m.decide(ctx, who, id, version, "hold.released", func(h *Hold) error {
		h.State, h.Note = engine.HoldReleased, note
		return nil
	})
}

// Reject says that what is held shall not be. With restore the system is brought back to what the others hold, where it
// takes changes; without, it keeps what it has. A reason is required. Faults: those of Release, and hold.reason_missing.
func (m *Holds) Reject(ctx context.Context, who auth.Principal, id uuid.UUID, reason string, restore bool, version int64) (Hold, error) {
	return m.decide(ctx, who, id, version, "hold.rejected", func(h *Hold) error {
		if reason == "" {
			return fault.New(fault.Invalid, "hold.reason_missing", "Say why these changes shall not be; the reason is kept.").
				At(fault.Field{Pointer: "/reason", Message: "A reason is required."})
		}
		h.State, h.Note, h.Restore = engine.HoldRejected, reason, restore
		return nil
	})
}

func (m *Holds) decide(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, action string, set func(*Hold) error) (h Hold, err error) {
	if err := who.May(auth.EditRecords); err != nil {
		return h, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx HoldTx) error {
		if h, err = tx.LockHold(ctx, id); err != nil {
			return err
		}
		if h.State != engine.HoldOpen {
			return fault.New(fault.Conflict, "hold.not_open", "Nothing waits for a decision here any more: the hold is %s.", h.State)
		}
		if version != 0 && version != h.Version {
			return fault.New(fault.Stale, "hold.version_stale", "The hold changed since you looked at it. Look again; your decision was not carried out.")
		}
		if err := set(&h); err != nil {
			return err
		}
		now := tx.Now()
		h.DecidedAt, h.DecidedBy = &now, who.Name
		if err := tx.DecideHold(ctx, h); err != nil {
			return err
		}
		h.Version++
		h.Total = h.Held
		public := ident.Format(ident.Hold, h.ID)
		if err := tx.Wake(ctx, h.Service); err != nil {
			return err
		}
		if err := tx.Emit(ctx, action, uuid.UUID(h.Service), map[string]any{"hold": public, "system": h.System, "object": h.Object, "kind": h.Kind, "state": h.State}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did(action, public, map[string]any{"service": h.Service.Public(), "name": h.ServiceName, "system": h.System, "object": h.Object,
			"kind": h.Kind, "held": h.Held, "reason": h.Reason, "note": h.Note, "restore": h.Restore}))
	})
	return h, err
}
