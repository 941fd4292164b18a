// SPDX-License-Identifier: Apache-2.0

// Package delivery is what people do about changes that could not be taken in or sent out: dead letters, looked at,
// redriven and discarded. Sending itself is part of the engine's flow, because it shares the locks and the compiled plan
// with reading.
package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// State is where a dead letter stands.
type State string

// The states. open -> redriven | discarded | settled; redriven -> settled, or open again as a new try fails.
const (
	Open      State = "open"      // waits for a person
	Redriven  State = "redriven"  // is being tried again
	Discarded State = "discarded" // a person said that it need not be
	Settled   State = "settled"   // went through later, by a redrive or because the record changed
)

// DeadLetter is a change that could not be taken in from a system ("in") or sent to it ("out").
type DeadLetter struct {
	ID          uuid.UUID
	Service     service.ID
	ServiceName string
	Direction   string // "in" or "out"
	System      record.System
	Object      record.Object
	Key         record.Key
	Entity      record.EntityID // zero for one that did not get in
	Op          record.Op
	Code        string // its page in docs/errors tells cause and remedy
	Message     string
	Payload     record.Fields // the record as the system gave it, or what was sent
	Field       string        // the field that is wrong, where one is known
	Rule        string        // the rule it breaks, in the document's word
	Edit        record.Fields // fields as a person corrected them; they count when it is redriven
	EditedBy    string
	Tries       int
	State       State
	FirstAt     time.Time
	LastAt      time.Time
	DecidedBy   string
	Reason      string
	Version     int64
}

// Corrected is the record with what was corrected before and these corrections, of fields that it has.
func (d DeadLetter) Corrected(corrections record.Fields) record.Fields {
	fields := d.Payload.Clone()
	for _, more := range []record.Fields{d.Edit, corrections} {
		for f, v := range more {
			if _, there := fields[f]; there {
				fields[f] = v
			}
		}
	}
	return fields
}

// Query selects dead letters, the newest first.
type Query struct {
	Service   service.ID // zero for all
	State     State      // "" for all
	System    record.System
	Code      string
	Direction string          // "in", "out" or "" for both
	Entity    record.EntityID // zero for all
	Before    uuid.UUID       // go on after this one
	Limit     int             // 1 to 100
}

// Selection names the open dead letters that an act on many is about. What is empty leaves none out.
type Selection struct {
	Service   service.ID
	System    record.System
	Code      string
	Direction string // "in" or "out"
}

// Check refuses a selection of everything with the fault dead_letter.selection_empty.
func (s Selection) Check() error {
	if s == (Selection{}) {
		return fault.New(fault.Invalid, "dead_letter.selection_empty", "Name a service, system, code or direction: all dead letters there are cannot be decided at once.")
	}
	return nil
}

// like selects what has the cause of the letter.
func like(d DeadLetter) Selection {
	return Selection{Service: d.Service, System: d.System, Code: d.Code, Direction: d.Direction}
}

// Group is dead letters of one cause.
type Group struct {
	Service     service.ID
	ServiceName string
	Direction   string
	System      record.System
	Code        string
	Count       int64
	FirstAt     time.Time
	LastAt      time.Time
	Message     string // of the latest
}

// Tx is the transaction as this package needs it.
type Tx interface {
	Now() time.Time
	DeadLetters(ctx context.Context, q Query) ([]DeadLetter, error)
	DeadLetterGroups(ctx context.Context, s service.ID) ([]Group, error)
	LockDeadLetter(ctx context.Context, id uuid.UUID) (DeadLetter, error)
	// SaveDeadLetter writes state, decidedBy and reason.
	SaveDeadLetter(ctx context.Context, d DeadLetter) error
	// SaveEdit writes edit and editedBy.
	SaveEdit(ctx context.Context, d DeadLetter) error
	// OweAgain makes the delivery that an outward dead letter stands for.
	OweAgain(ctx context.Context, d DeadLetter) error
	// OpenOf lists the ids of the open dead letters selected, the oldest first, at most limit.
	OpenOf(ctx context.Context, s Selection, limit int) ([]uuid.UUID, error)
	// CountOpenOf counts them.
	CountOpenOf(ctx context.Context, s Selection) (int64, error)
	// Wake tells the worker that carries the service at commit.
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Manager carries out what people decide about dead letters.
type Manager struct {
	inTx func(context.Context, tenant.ID, func(Tx) error) error
}

// NewManager makes a Manager.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Manager {
	return &Manager{inTx}
}

// List returns dead letters.
func (m *Manager) List(ctx context.Context, who auth.Principal, q Query) (list []DeadLetter, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.DeadLetters(ctx, q)
		return err
	})
}

// Groups returns open dead letters by cause; of all services for the zero id.
func (m *Manager) Groups(ctx context.Context, who auth.Principal, s service.ID) (list []Group, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.DeadLetterGroups(ctx, s)
		return err
	})
}

// Get returns one dead letter, or the fault dead_letter.not_found.
func (m *Manager) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (d DeadLetter, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return d, err
	}
	return d, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		d, err = tx.LockDeadLetter(ctx, id)
		return err
	})
}

// Redrive tries a dead letter again: an outward one becomes a delivery of the entity as it is now, an inward one makes the
// engine read the record again. It is settled when that goes through and open again when it does not.
func (m *Manager) Redrive(ctx context.Context, who auth.Principal, id uuid.UUID) (d DeadLetter, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return d, err
	}
	return d, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		if d, err = tx.LockDeadLetter(ctx, id); err != nil {
			return err
		}
		return m.redrive(ctx, tx, who, &d)
	})
}

func (m *Manager) redrive(ctx context.Context, tx Tx, who auth.Principal, d *DeadLetter) error {
	if d.State != Open && d.State != Discarded {
		return fault.New(fault.Conflict, "dead_letter.not_open", "This dead letter is %s; there is nothing to try again.", d.State)
	}
	d.State, d.DecidedBy, d.LastAt = Redriven, who.Name, tx.Now()
	if err := tx.SaveDeadLetter(ctx, *d); err != nil {
		return err
	}
	if d.Direction == "out" {
		if err := tx.OweAgain(ctx, *d); err != nil {
			return err
		}
	}
	d.Version++
	return m.record(ctx, tx, who, "dead_letter.redriven", *d)
}

// Edit corrects fields of an inward dead letter; a field that is given the value it had is no longer corrected. When the
// letter is redriven they count instead of what the system holds, and the system is sent them if it takes changes.
// Faults: dead_letter.not_open, dead_letter.not_editable, dead_letter.version_stale, dead_letter.field_unknown.
func (m *Manager) Edit(ctx context.Context, who auth.Principal, id uuid.UUID, fields record.Fields, version int64) (d DeadLetter, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return d, err
	}
	return d, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		if d, err = tx.LockDeadLetter(ctx, id); err != nil {
			return err
		}
		switch {
		case d.State != Open:
			return fault.New(fault.Conflict, "dead_letter.not_open", "This dead letter is %s; there is nothing to correct.", d.State)
		case d.Direction != "in" || d.Op != record.Upsert:
			return fault.New(fault.Conflict, "dead_letter.not_editable", "Only records that could not be taken in are corrected here. Correct this one in a system, and it is sent again by itself.")
		case version != 0 && version != d.Version:
			return fault.New(fault.Stale, "dead_letter.version_stale", "The record or its correction changed since you looked at it. Look again; yours was not kept.")
		}
		edit := d.Edit.Clone()
		if edit == nil {
			edit = record.Fields{}
		}
		var changed []string
		for f, v := range fields {
			was, known := d.Payload[f]
			if !known {
				return fault.New(fault.Invalid, "dead_letter.field_unknown", "The record has no field %s.", f).
					At(fault.Field{Pointer: "/fields/" + f, Message: "The record has no such field.", Remedy: "Use the system's own names, as in the payload."})
			}
			changed = append(changed, f)
			if record.Equal(was, v) {
				delete(edit, f)
			} else {
				edit[f] = v
			}
		}
		slices.Sort(changed)
		d.Edit, d.EditedBy = edit, who.Name
		if len(edit) == 0 {
			d.Edit, d.EditedBy = nil, ""
		}
		if err := tx.SaveEdit(ctx, d); err != nil {
			return err
		}
		d.Version++
		out := ident.Format(ident.DeadLetter, d.ID)
		if err := tx.Emit(ctx, "dead_letter.edited", uuid.UUID(d.Service), map[string]any{"deadLetter": out, "system": d.System}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("dead_letter.edited", out, map[string]any{"system": d.System, "key": d.Key, "fields": changed}))
	})
}

// Count says how many open dead letters an act on many would take.
func (m *Manager) Count(ctx context.Context, who auth.Principal, sel Selection) (n int64, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return 0, err
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		n, err = tx.CountOpenOf(ctx, sel)
		return err
	})
}

// RedriveLike tries all open dead letters with the cause of this one again, at most limit, and says how many there were.
func (m *Manager) RedriveLike(ctx context.Context, who auth.Principal, id uuid.UUID, limit int) (n int, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return 0, err
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) error {
		d, err := tx.LockDeadLetter(ctx, id)
		if err != nil {
			return err
		}
		n, err = m.each(ctx, tx, like(d), limit, func(d *DeadLetter) error { return m.redrive(ctx, tx, who, d) })
		return err
	})
}

// RedriveAll tries the open dead letters selected again, the oldest first and at most limit, and says how many these were.
func (m *Manager) RedriveAll(ctx context.Context, who auth.Principal, sel Selection, limit int) (n int, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return 0, err
	}
	if err := sel.Check(); err != nil {
		return 0, err
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		n, err = m.each(ctx, tx, sel, limit, func(d *DeadLetter) error { return m.redrive(ctx, tx, who, d) })
		return err
	})
}

// each does something with the open dead letters selected, and says with how many.
func (m *Manager) each(ctx context.Context, tx Tx, sel Selection, limit int, do func(*DeadLetter) error) (int, error) {
	ids, err := tx.OpenOf(ctx, sel, limit)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, id := range ids {
		d, err := tx.LockDeadLetter(ctx, id)
		if err != nil {
			return n, err
		}
		if d.State != Open {
			continue // somebody was faster
		}
		if err := do(&d); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Discard says that a dead letter need not be: the systems stay different, on purpose. A reason is required.
func (m *Manager) Discard(ctx context.Context, who auth.Principal, id uuid.UUID, reason string) (d DeadLetter, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return d, err
	}
	if reason == "" {
		return d, reasonMissing()
	}
	return d, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		if d, err = tx.LockDeadLetter(ctx, id); err != nil {
			return err
		}
		return m.discard(ctx, tx, who, &d, reason)
	})
}

func (m *Manager) discard(ctx context.Context, tx Tx, who auth.Principal, d *DeadLetter, reason string) error {
	if d.State != Open {
		return fault.New(fault.Conflict, "dead_letter.not_open", "This dead letter is %s already.", d.State)
	}
	d.State, d.DecidedBy, d.Reason, d.LastAt = Discarded, who.Name, reason, tx.Now()
	if err := tx.SaveDeadLetter(ctx, *d); err != nil {
		return err
	}
	d.Version++
	return m.record(ctx, tx, who, "dead_letter.discarded", *d)
}

// DiscardLike discards all open dead letters with the cause of this one, at most limit, for one reason, and says how many
// there were.
func (m *Manager) DiscardLike(ctx context.Context, who auth.Principal, id uuid.UUID, reason string, limit int) (n int, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return 0, err
	}
	if reason == "" {
		return 0, reasonMissing()
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) error {
		d, err := tx.LockDeadLetter(ctx, id)
		if err != nil {
			return err
		}
		n, err = m.each(ctx, tx, like(d), limit, func(d *DeadLetter) error { return m.discard(ctx, tx, who, d, reason) })
		return err
	})
}

// DiscardAll discards the open dead letters selected, the oldest first and at most limit, for one reason, and says how many
// these were.
func (m *Manager) DiscardAll(ctx context.Context, who auth.Principal, sel Selection, reason string, limit int) (n int, err error) {
	if err := who.May(auth.RedriveDeadLetters); err != nil {
		return 0, err
	}
	if err := sel.Check(); err != nil {
		return 0, err
	}
	if reason == "" {
		return 0, reasonMissing()
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		n, err = m.each(ctx, tx, sel, limit, func(d *DeadLetter) error { return m.discard(ctx, tx, who, d, reason) })
		return err
	})
}

func reasonMissing() error {
	return fault.New(fault.Invalid, "dead_letter.reason_missing", "Say why this change is given up; the reason is kept.").
		At(fault.Field{Pointer: "/reason", Message: "A reason is required."})
}

func (m *Manager) record(ctx context.Context, tx Tx, who auth.Principal, action string, d DeadLetter) error {
	id := ident.Format(ident.DeadLetter, d.ID)
	if err := tx.Wake(ctx, d.Service); err != nil {
		return err
	}
	if err := tx.Emit(ctx, action, uuid.UUID(d.Service), map[string]any{"deadLetter": id, "system": d.System}); err != nil {
		return err
	}
	return tx.Audit(ctx, who.Did(action, id, map[string]any{"system": d.System, "key": d.Key, "code": d.Code, "reason": d.Reason}))
}
