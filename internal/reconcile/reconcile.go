// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"math/big"
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

// atOnce is how many records are compared while the caller waits; with more, the worker that carries the service does it.
const atOnce = 20_000

const pageSize = 2000

// State is where a reconciliation or a discrepancy stands.
type State string

// The states. A reconciliation: queued -> succeeded | failed. A discrepancy: open -> resolved | flagged; flagged -> resolved.
const (
	Queued    State = "queued"
	Succeeded State = "succeeded"
	Failed    State = "failed"

	Open     State = "open"
	Resolved State = "resolved"
	Flagged  State = "flagged"
)

// Reconciliation is one comparison over a span of time.
type Reconciliation struct {
	ID            uuid.UUID
	Service       service.ID
	State         State
	Scheduled     bool
	Since, Until  time.Time // records dated in [Since, Until)
	Systems       []string
	Tolerance     record.Number
	Actor         string
	AskedAt       time.Time
	FinishedAt    *time.Time
	Matched       int64
	Unmatched     int64
	Discrepancies int64
	Error         string
}

// Discrepancy is one finding, and what a person did about it.
type Discrepancy struct {
	Finding
	ID             uuid.UUID
	Reconciliation uuid.UUID
	Service        service.ID
	State          State
	Resolution     string
	Adjustment     record.Number
	Reason         string
	AssignedTo     string
	DecidedBy      string
	DecidedAt      *time.Time
	Version        int64
}

// Query selects discrepancies, in the order of their ids.
type Query struct {
	Service        service.ID // zero for all
	Reconciliation uuid.UUID  // zero for all
	State          State      // "" for all
	Unmatched      *bool      // nil for both kinds
	After          uuid.UUID
	Limit          int
}

// Tx is the transaction as reconciliation needs it.
type Tx interface {
	Now() time.Time
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	TenantZone(ctx context.Context) (string, error)
	CountEntities(ctx context.Context, s service.ID) (int64, error)
	// EntitiesAfter lists a collection's entities that live, with their links, in the order of their ids.
	EntitiesAfter(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) ([]*record.Entity, error)
	AddReconciliation(ctx context.Context, r Reconciliation) error
	// EndReconciliation stores what came out.
	EndReconciliation(ctx context.Context, r Reconciliation, found []Finding) error
	Reconciliation(ctx context.Context, id uuid.UUID) (Reconciliation, error)
	// Reconciliations lists those of a service, the newest first, those before the mark.
	Reconciliations(ctx context.Context, s service.ID, before uuid.UUID, limit int) ([]Reconciliation, error)
	QueuedReconciliations(ctx context.Context, s service.ID) ([]Reconciliation, error)
	// LastScheduled is the latest that the schedule brought about; false without one.
	LastScheduled(ctx context.Context, s service.ID) (Reconciliation, bool, error)
	Discrepancies(ctx context.Context, q Query) ([]Discrepancy, error)
	LockDiscrepancy(ctx context.Context, id uuid.UUID) (Discrepancy, error)
	DecideDiscrepancy(ctx context.Context, d Discrepancy) error
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Manager reconciles.
type Manager struct {
	inTx func(context.Context, tenant.ID, func(Tx) error) error
}

// NewManager makes a Manager.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Manager {
	return &Manager{inTx}
}

// Request is what to compare. Dates without a time are whole days; the end is included.
type Request struct {
	Since, Until time.Time // [Since, Until)
	Systems      []string  // none: those of the document
}

// Start compares now, or leaves it to the worker when there is much. Faults: reconciliation.span_invalid,
// reconciliation.systems_invalid.
func (m *Manager) Start(ctx context.Context, who auth.Principal, s service.ID, q Request) (r Reconciliation, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return r, err
	}
	if err := who.May(auth.ViewRecords); err != nil {
		return r, err
	}
	if !q.Since.Before(q.Until) {
		return r, fault.New(fault.Invalid, "reconciliation.span_invalid", "The span begins after it ends. Give a startDate and an endDate that is not before it.").
			At(fault.Field{Pointer: "/endDate", Message: "Not before startDate."})
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		svc, doc, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		if r, err = plan(doc, s, q, tx.Now()); err != nil {
			return err
		}
		r.Actor = who.Name
		if err := tx.AddReconciliation(ctx, r); err != nil {
			return err
		}
		if err := tx.Audit(ctx, who.Did("reconciliation.started", ident.Format(ident.Reconciliation, r.ID), map[string]any{"service": s.Public(), "name": svc.Name, "systems": r.Systems})); err != nil {
			return err
		}
		n, err := tx.CountEntities(ctx, s)
		if err != nil {
			return err
		}
		if n > atOnce {
			return tx.Wake(ctx, s)
		}
		r, err = carryOut(ctx, tx, doc, r)
		return err
	})
	return r, err
}

// plan is a reconciliation that begins.
func plan(doc *service.Document, s service.ID, q Request, now time.Time) (Reconciliation, error) {
	r := Reconciliation{ID: uuid.Must(uuid.NewV7()), Service: s, State: Queued, Since: q.Since, Until: q.Until, Systems: q.Systems, Tolerance: "0", AskedAt: now}
	ids := doc.SystemIDs()
	block := doc.SyncConfig.Reconciliation
	if block != nil {
		if block.Tolerance != "" {
			r.Tolerance = block.Tolerance
		}
		if len(r.Systems) == 0 {
			r.Systems = block.Systems
		}
	}
	if len(r.Systems) == 0 {
		r.Systems = ids
	}
	known := make(map[string]bool)
	for _, id := range ids {
		known[id] = true
	}
	seen := make(map[string]bool)
	for _, id := range r.Systems {
		if !known[id] || seen[id] {
			return r, fault.New(fault.Invalid, "reconciliation.systems_invalid", "%q is not a system of this service, or is named twice. Name at least two different ones of its systems.", id).
				At(fault.Field{Pointer: "/systems", Message: "Systems of the service, each once."})
		}
		seen[id] = true
	}
	if len(r.Systems) < 2 {
		return r, fault.New(fault.Invalid, "reconciliation.systems_invalid", "One system alone cannot be reconciled. Name at least two systems of this service.").
			At(fault.Field{Pointer: "/systems", Message: "At least two."})
	}
	return r, nil
}

// carryOut compares page by page.
func carryOut(ctx context.Context, tx Tx, doc *service.Document, r Reconciliation) (Reconciliation, error) {
	o := Options{Tolerance: new(big.Rat)}
	if t, ok := new(big.Rat).SetString(string(r.Tolerance)); ok {
		o.Tolerance = t
	}
	for _, id := range r.Systems {
		o.Systems = append(o.Systems, record.System(id))
	}
	if block := doc.SyncConfig.Reconciliation; block != nil {
		o.Fields = block.Fields
	}
	c := New(o, r.Since, r.Until)
	for _, coll := range doc.Collections() {
		if !coll.Shared() {
			continue
		}
		var takePart []record.System
		for _, m := range coll.Members {
			takePart = append(takePart, record.System(m.System))
		}
		after := record.EntityID{}
		for {
			page, err := tx.EntitiesAfter(ctx, r.Service, coll.Name, after, pageSize)
			if err != nil {
				return r, err
			}
			for _, e := range page {
				c.Add(e, takePart)
			}
			if len(page) < pageSize {
				break
			}
			after = page[len(page)-1].ID
		}
	}
	c.End()
	now := tx.Now()
	r.State, r.FinishedAt, r.Matched = Succeeded, &now, c.Matched
	for i := range c.Found {
		if c.Found[i].Unmatched {
			r.Unmatched++
		} else {
			r.Discrepancies++
		}
	}
	if err := tx.EndReconciliation(ctx, r, c.Found); err != nil {
		return r, err
	}
	return r, tx.Emit(ctx, "reconciliation", uuid.UUID(r.Service), map[string]any{"reconciliation": ident.Format(ident.Reconciliation, r.ID), "matched": r.Matched, "unmatched": r.Unmatched,
		"discrepancies": r.Discrepancies, "scheduled": r.Scheduled})
}

// Chore carries out what is queued for the service, and what its schedule says is due. A worker that carries the service calls
// it now and then. One that cannot be carried out has failed and says why; when only the database does not answer it stays
// queued for the next time.
func (m *Manager) Chore(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document) error {
	var queued []Reconciliation
	err := m.inTx(ctx, t, func(tx Tx) (err error) {
		if queued, err = tx.QueuedReconciliations(ctx, s); err != nil || !doc.SyncConfig.Reconciliation.On() {
			return err
		}
		r, due, err := m.due(ctx, tx, s, doc)
		if !due {
			return err
		}
		if adding := tx.AddReconciliation(ctx, r); adding != nil {
			return adding
		}
		if err != nil { // the document does not fit the systems any more
			return fail(ctx, tx, r, err)
		}
		queued = append(queued, r)
		return nil
	})
	var problems error
	for _, r := range queued {
		err := m.inTx(ctx, t, func(tx Tx) error {
			_, err := carryOut(ctx, tx, doc, r)
			return err
		})
		if err == nil {
			continue
		}
		if ft := fault.As(err); ctx.Err() != nil || ft != nil && ft.Kind == fault.Unavailable {
			return err
		}
		problems = errors.Join(problems, err, m.inTx(ctx, t, func(tx Tx) error { return fail(ctx, tx, r, err) }))
	}
	return errors.Join(err, problems)
}

// fail ends a reconciliation that could not be carried out.
func fail(ctx context.Context, tx Tx, r Reconciliation, why error) error {
	now := tx.Now()
	r.State, r.FinishedAt, r.Error = Failed, &now, "The comparison could not be carried out; the worker's log says more. Start it again."
	if ft := fault.As(why); ft != nil {
		r.Error = ft.Message
	}
	if err := tx.EndReconciliation(ctx, r, nil); err != nil {
		return err
	}
	return tx.Emit(ctx, "reconciliation", uuid.UUID(r.Service), map[string]any{"reconciliation": ident.Format(ident.Reconciliation, r.ID), "failed": r.Error, "scheduled": r.Scheduled})
}

// due is the reconciliation that the schedule wants now: of what came since the last one, or of the last 31 days. With an error
// it is due all the same, when it is the document that does not allow it.
func (m *Manager) due(ctx context.Context, tx Tx, s service.ID, doc *service.Document) (Reconciliation, bool, error) {
	svc, _, err := tx.Loadable(ctx, s)
	if err != nil {
		return Reconciliation{}, false, err
	}
	last, found, err := tx.LastScheduled(ctx, s)
	if err != nil {
		return Reconciliation{}, false, err
	}
	zone := time.UTC
	if name, err := tx.TenantZone(ctx); err == nil {
		if z, err := time.LoadLocation(name); err == nil {
			zone = z
		}
	}
	now := tx.Now()
	from, base := now.AddDate(0, 0, -31), svc.CreatedAt
	if found {
		from, base = last.Until, last.AskedAt
	}
	next := doc.SyncConfig.Reconciliation.When().Next(base, zone)
	if next.IsZero() || next.After(now) || !from.Before(now) {
		return Reconciliation{}, false, nil
	}
	r, err := plan(doc, s, Request{Since: from, Until: now}, now)
	r.Scheduled, r.Actor = true, "schedule"
	return r, true, err
}

// Get returns a reconciliation, or the fault reconciliation.not_found.
func (m *Manager) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (r Reconciliation, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return r, err
	}
	return r, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		r, err = tx.Reconciliation(ctx, id)
		return err
	})
}

// List lists a service's reconciliations, the newest first.
func (m *Manager) List(ctx context.Context, who auth.Principal, s service.ID, before uuid.UUID, limit int) (list []Reconciliation, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.Reconciliations(ctx, s, before, limit)
		return err
	})
}

// Discrepancies lists findings.
func (m *Manager) Discrepancies(ctx context.Context, who auth.Principal, q Query) (list []Discrepancy, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.Discrepancies(ctx, q)
		return err
	})
}

// Resolve says that a discrepancy is settled, and how. Faults: discrepancy.not_found, discrepancy.not_open,
// discrepancy.resolution_missing.
func (m *Manager) Resolve(ctx context.Context, who auth.Principal, id uuid.UUID, resolution string, adjustment record.Number) (Discrepancy, error) {
	return m.decide(ctx, who, id, "discrepancy.resolved", func(d *Discrepancy) error {
		if resolution == "" {
			return fault.New(fault.Invalid, "discrepancy.resolution_missing", "Say how it was settled, such as rounding-difference; it is kept.").
				At(fault.Field{Pointer: "/resolution", Message: "A resolution is required."})
		}
		d.State, d.Resolution, d.Adjustment = Resolved, resolution, adjustment
		return nil
	})
}

// Flag leaves a discrepancy to somebody. Faults: those of Resolve.
func (m *Manager) Flag(ctx context.Context, who auth.Principal, id uuid.UUID, reason, assignTo string) (Discrepancy, error) {
	return m.decide(ctx, who, id, "discrepancy.flagged", func(d *Discrepancy) error {
		if reason == "" {
			return fault.New(fault.Invalid, "discrepancy.resolution_missing", "Say why somebody should look at it, such as amount-mismatch; it is kept.").
				At(fault.Field{Pointer: "/reason", Message: "A reason is required."})
		}
		d.State, d.Reason, d.AssignedTo = Flagged, reason, assignTo
		return nil
	})
}

func (m *Manager) decide(ctx context.Context, who auth.Principal, id uuid.UUID, action string, set func(*Discrepancy) error) (d Discrepancy, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return d, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if d, err = tx.LockDiscrepancy(ctx, id); err != nil {
			return err
		}
		if d.State == Resolved {
			return fault.New(fault.Conflict, "discrepancy.not_open", "This discrepancy was resolved already, by %s.", d.DecidedBy)
		}
		if err := set(&d); err != nil {
			return err
		}
		now := tx.Now()
		d.DecidedBy, d.DecidedAt = who.Name, &now
		if err := tx.DecideDiscrepancy(ctx, d); err != nil {
			return err
		}
		d.Version++
		public := ident.Format(ident.Discrepancy, d.ID)
		if err := tx.Emit(ctx, action, uuid.UUID(d.Service), map[string]any{"discrepancy": public, "state": d.State}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did(action, public, map[string]any{"service": d.Service.Public(), "resolution": d.Resolution, "adjustment": d.Adjustment, "reason": d.Reason, "assignTo": d.AssignedTo}))
	})
	return d, err
}
