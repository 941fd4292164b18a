// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// DifferenceQuery selects differences of the last complete comparison, in the order in which it found them.
type DifferenceQuery struct {
	System record.System // "" for all
	Reason Reason        // "" for all
	After  uuid.UUID     // go on after this one
	Limit  int           // 1 to 100
}

// ProofAskTx is the transaction as asking for proof needs it.
type ProofAskTx interface {
	FindProof(ctx context.Context, s service.ID) (Proof, bool, error)
	FindProofs(ctx context.Context) (map[service.ID]Proof, error)
	AskProof(ctx context.Context, s service.ID, by string) error
	CancelProof(ctx context.Context, s service.ID) error
	Differences(ctx context.Context, s service.ID, pass uuid.UUID, q DifferenceQuery) ([]Difference, error)
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Proofs shows the proof of equality and asks for it.
type Proofs struct {
	inTx func(context.Context, tenant.ID, func(ProofAskTx) error) error
}

// NewProofs makes Proofs.
func NewProofs(inTx func(context.Context, tenant.ID, func(ProofAskTx) error) error) *Proofs {
	return &Proofs{inTx}
}

// Get returns where the service's proof stands. One that never began is empty.
func (m *Proofs) Get(ctx context.Context, who auth.Principal, s service.ID) (p Proof, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return p, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx ProofAskTx) (err error) {
		p, _, err = tx.FindProof(ctx, s)
		return err
	})
	p.Service = s
	return p, err
}

// All returns where the proofs of all services stand.
func (m *Proofs) All(ctx context.Context, who auth.Principal) (list map[service.ID]Proof, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx ProofAskTx) (err error) {
		list, err = tx.FindProofs(ctx)
		return err
	})
}

// Differences lists what the last complete comparison found.
func (m *Proofs) Differences(ctx context.Context, who auth.Principal, s service.ID, q DifferenceQuery) (list []Difference, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx ProofAskTx) error {
		p, _, err := tx.FindProof(ctx, s)
		if err != nil || p.Result == nil {
			return err
		}
		list, err = tx.Differences(ctx, s, p.Result.Pass, q)
		return err
	})
}

// Ask wants the service's records compared now. Fault: service.not_active.
func (m *Proofs) Ask(ctx context.Context, who auth.Principal, s service.ID) (Proof, error) {
	return m.change(ctx, who, s, "proof.asked", func(tx ProofAskTx, svc service.Service) error {
		if svc.State != service.Active {
			return fault.New(fault.Conflict, "service.not_active", "The service is %s, so its systems are not read. Resume it first.", svc.State)
		}
		return tx.AskProof(ctx, s, who.Name)
	})
}

// Cancel gives a comparison up that is asked for or under way; what it took in stays. Fault: proof.not_running.
func (m *Proofs) Cancel(ctx context.Context, who auth.Principal, s service.ID) (Proof, error) {
	return m.change(ctx, who, s, "proof.cancelled", func(tx ProofAskTx, _ service.Service) error {
		p, _, err := tx.FindProof(ctx, s)
		if err != nil {
			return err
		}
		if !p.Running() {
			return fault.New(fault.Conflict, "proof.not_running", "No comparison is under way, so there is nothing to cancel.")
		}
		return tx.CancelProof(ctx, s)
	})
}

func (m *Proofs) change(ctx context.Context, who auth.Principal, s service.ID, action string, do func(ProofAskTx, service.Service) error) (p Proof, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return p, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx ProofAskTx) error {
		svc, _, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		if err := do(tx, svc); err != nil {
			return err
		}
		if p, _, err = tx.FindProof(ctx, s); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "proof.progress", uuid.UUID(s), map[string]any{"asked": p.AskedAt != nil}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did(action, s.Public(), map[string]any{"name": svc.Name}))
	})
	p.Service = s
	return p, err
}
