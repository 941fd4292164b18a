// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

func showProof(p engine.Proof) spec.Proof {
	out := spec.Proof{Service: p.Service.Public(), State: spec.Never, Systems: []spec.ProofSystem{}, AsOf: maybeTime(nil), CompletedAt: maybeTime(nil), DueAt: maybeTime(nil),
		Running: nullable.NewNullNullable[spec.ProofRun]()}
	if !p.DueAt.IsZero() {
		out.DueAt = maybeTime(&p.DueAt)
	}
	if p.Running() {
		run := spec.ProofRun{AskedBy: p.AskedBy, StartedAt: maybeTime(nil), Stage: spec.ProofRunStageWaiting}
		if p.Progress != nil {
			run.StartedAt, run.Done, run.Total, run.Stage = maybeTime(p.StartedAt), p.Progress.Done, p.Progress.Estimate, spec.ProofRunStage(p.Progress.Stage)
		}
		out.Running.Set(run)
	}
	r := p.Result
	if r == nil {
		return out
	}
	switch {
	case !r.Proven():
		out.State = spec.Incomplete
	case r.AllEqual():
		out.State = spec.Equal
	default:
		out.State = spec.Differs
	}
	out.Equal, out.Total, out.Drift, out.Healed, out.Revision = r.Equal, r.Total, r.Drift, r.Healed, r.Revision
	out.AsOf, out.CompletedAt = maybeTime(&r.AsOf), maybeTime(&r.CompletedAt)
	for _, s := range r.Seats {
		one := spec.ProofSystem{System: string(s.System), Object: string(s.Object), Collection: s.Collection, How: spec.ProofSystemHow(s.How), Why: s.Why, Records: s.Records, Equal: s.Equal,
			Reasons: map[string]int64{}, Ranges: s.Ranges, Differing: s.Differing, Read: s.Read, Healed: s.Healed, Failed: s.Failed}
		for reason, n := range s.Reasons {
			one.Reasons[string(reason)] = n
		}
		out.Systems = append(out.Systems, one)
	}
	return out
}

func showDifference(d engine.Difference) spec.ProofDifference {
	entity := nullable.NewNullNullable[string]()
	if !d.Entity.IsZero() {
		entity.Set(public(ident.Entity, d.Entity))
	}
	return spec.ProofDifference{System: string(d.System), Object: string(d.Object), Collection: d.Collection, Key: string(d.Key), Record: entity, Title: d.Title,
		Reason: spec.ProofReason(d.Reason), Fields: append([]string{}, d.Fields...), Healed: d.Healed, FoundAt: d.FoundAt.UTC()}
}

func (s *server) GetProof(ctx context.Context, req spec.GetProofRequestObject) (spec.GetProofResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.ViewServices)
	if err != nil {
		return nil, err
	}
	p, err := s.Proofs.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetProof200JSONResponse{ProofJSONResponse: spec.ProofJSONResponse(showProof(p))}, nil
}

func (s *server) Prove(ctx context.Context, req spec.ProveRequestObject) (spec.ProveResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.RunServices)
	if err != nil {
		return nil, err
	}
	p, err := s.Proofs.Ask(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.Prove202JSONResponse{ProofJSONResponse: spec.ProofJSONResponse(showProof(p))}, nil
}

func (s *server) CancelProof(ctx context.Context, req spec.CancelProofRequestObject) (spec.CancelProofResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.RunServices)
	if err != nil {
		return nil, err
	}
	p, err := s.Proofs.Cancel(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.CancelProof200JSONResponse{ProofJSONResponse: spec.ProofJSONResponse(showProof(p))}, nil
}

func (s *server) ListDifferences(ctx context.Context, req spec.ListDifferencesRequestObject) (spec.ListDifferencesResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	q := engine.DifferenceQuery{System: record.System(word(req.Params.FilterSystem)), Reason: engine.Reason(word(req.Params.FilterReason)), Limit: limit + 1}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.After); err != nil {
		return nil, err
	}
	list, err := s.Proofs.Differences(ctx, who(ctx), id, q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showDifference, func(d engine.Difference) any { return d.ID })
	return spec.ListDifferences200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}
