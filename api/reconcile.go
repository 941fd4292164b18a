// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
)

// shownFindings is how many of each kind are in a reconciliation's answer.
const shownFindings = 100

func maybeNumber(n record.Number) *json.Number {
	if n == "" {
		return nil
	}
	out := json.Number(n)
	return &out
}

func showDiscrepancy(d reconcile.Discrepancy) spec.Discrepancy {
	other := nullable.NewNullNullable[string]()
	if !d.Other.IsZero() {
		other.Set(public(ident.Entity, d.Other))
	}
	kind := spec.DiscrepancyKind("difference")
	if d.Unmatched {
		kind = "unmatched"
	}
	out := spec.Discrepancy{ID: public(ident.Discrepancy, d.ID), Reconciliation: public(ident.Reconciliation, d.Reconciliation), Service: d.Service.Public(), Kind: kind,
		Record: public(ident.Entity, d.Entity), Other: other, Collection: d.Collection, Title: d.Title, Field: d.Field, Sides: []spec.DiscrepancySide{}, MissingIn: []string{},
		Difference: maybeNumber(d.Difference), Amount: maybeNumber(d.Amount), Adjustment: maybeNumber(d.Adjustment), Date: d.Date.UTC(), State: spec.DiscrepancyState(d.State),
		Resolution: d.Resolution, Reason: d.Reason, AssignedTo: d.AssignedTo, DecidedBy: d.DecidedBy, DecidedAt: maybeTime(d.DecidedAt), Version: d.Version}
	for _, s := range d.Sides {
		out.Sides = append(out.Sides, spec.DiscrepancySide{System: string(s.System), Key: string(s.Key), Value: s.Value})
	}
	for _, s := range d.MissingIn {
		out.MissingIn = append(out.MissingIn, string(s))
	}
	return out
}

func showReconciliation(r reconcile.Reconciliation) spec.Reconciliation {
	return spec.Reconciliation{ID: public(ident.Reconciliation, r.ID), Service: r.Service.Public(), State: spec.ReconciliationState(r.State), Scheduled: r.Scheduled, StartDate: r.Since.UTC(),
		EndDate: r.Until.UTC(), Systems: r.Systems, Tolerance: json.Number(r.Tolerance), Actor: r.Actor, AskedAt: r.AskedAt.UTC(), FinishedAt: maybeTime(r.FinishedAt), Matched: r.Matched,
		UnmatchedCount: r.Unmatched, DiscrepancyCount: r.Discrepancies, Unmatched: []spec.Discrepancy{}, Discrepancies: []spec.Discrepancy{}}
}

// reconciliation shows one with its first findings.
func (s *server) reconciliation(ctx context.Context, r reconcile.Reconciliation) (spec.ReconciliationJSONResponse, error) {
	out := showReconciliation(r)
	for _, unmatched := range []bool{true, false} {
		list, err := s.Reconciler.Discrepancies(ctx, who(ctx), reconcile.Query{Reconciliation: r.ID, Unmatched: &unmatched, Limit: shownFindings})
		if err != nil {
			return spec.ReconciliationJSONResponse{}, err
		}
		into := &out.Discrepancies
		if unmatched {
			into = &out.Unmatched
		}
		for _, d := range list {
			*into = append(*into, showDiscrepancy(d))
		}
	}
	return spec.ReconciliationJSONResponse(out), nil
}

// dayOrTime reads a day or a time; a day that ends a span is included.
func dayOrTime(name, text string, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fault.New(fault.Invalid, "reconciliation.span_invalid", "%q is not a day or a time. Write a day such as 2024-10-31, or a time such as 2024-10-31T12:00:00Z.", text).
			At(fault.Field{Pointer: "/" + name, Message: "A day or a time."})
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

func (s *server) Reconcile(ctx context.Context, req spec.ReconcileRequestObject) (spec.ReconcileResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.RunServices)
	if err != nil {
		return nil, err
	}
	var q reconcile.Request
	if q.Since, err = dayOrTime("startDate", req.Body.StartDate, false); err != nil {
		return nil, err
	}
	if q.Until, err = dayOrTime("endDate", req.Body.EndDate, true); err != nil {
		return nil, err
	}
	if req.Body.Systems != nil {
		q.Systems = *req.Body.Systems
	}
	r, err := s.Reconciler.Start(ctx, who(ctx), id, q)
	if err != nil {
		return nil, err
	}
	out, err := s.reconciliation(ctx, r)
	return spec.Reconcile200JSONResponse{ReconciliationJSONResponse: out}, err
}

func (s *server) ListReconciliations(ctx context.Context, req spec.ListReconciliationsRequestObject) (spec.ListReconciliationsResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	var before uuid.UUID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &before); err != nil {
		return nil, err
	}
	list, err := s.Reconciler.List(ctx, who(ctx), id, before, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showReconciliation, func(r reconcile.Reconciliation) any { return r.ID })
	return spec.ListReconciliations200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetReconciliation(ctx context.Context, req spec.GetReconciliationRequestObject) (spec.GetReconciliationResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Reconciliation, req.Reconciliation)
	if err != nil {
		return nil, err
	}
	r, err := s.Reconciler.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	out, err := s.reconciliation(ctx, r)
	return spec.GetReconciliation200JSONResponse{ReconciliationJSONResponse: out}, err
}

func (s *server) ListDiscrepancies(ctx context.Context, req spec.ListDiscrepanciesRequestObject) (spec.ListDiscrepanciesResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := reconcile.Query{State: reconcile.State(word(req.Params.FilterState)), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if r := word(req.Params.FilterReconciliation); r != "" {
		if q.Reconciliation, err = named(ident.Reconciliation, r); err != nil {
			return nil, err
		}
		if _, err := s.Reconciler.Get(ctx, who(ctx), q.Reconciliation); err != nil {
			return nil, err
		}
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.After); err != nil {
		return nil, err
	}
	list, err := s.Reconciler.Discrepancies(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showDiscrepancy, func(d reconcile.Discrepancy) any { return d.ID })
	return spec.ListDiscrepancies200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) ResolveDiscrepancy(ctx context.Context, req spec.ResolveDiscrepancyRequestObject) (spec.ResolveDiscrepancyResponseObject, error) {
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return nil, err
	}
	id, err := named(ident.Discrepancy, req.Discrepancy)
	if err != nil {
		return nil, err
	}
	adjustment := record.Number("")
	if req.Body.Adjustment != nil {
		if adjustment, err = record.ParseNumber(req.Body.Adjustment.String()); err != nil {
			return nil, fault.New(fault.Invalid, "discrepancy.resolution_missing", "The adjustment is not a number.").At(fault.Field{Pointer: "/adjustment", Message: "A number."})
		}
	}
	d, err := s.Reconciler.Resolve(ctx, who(ctx), id, req.Body.Resolution, adjustment)
	if err != nil {
		return nil, err
	}
	return spec.ResolveDiscrepancy200JSONResponse{DiscrepancyJSONResponse: spec.DiscrepancyJSONResponse(showDiscrepancy(d))}, nil
}

func (s *server) FlagForReview(ctx context.Context, req spec.FlagForReviewRequestObject) (spec.FlagForReviewResponseObject, error) {
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return nil, err
	}
	id, err := named(ident.Discrepancy, req.Discrepancy)
	if err != nil {
		return nil, err
	}
	d, err := s.Reconciler.Flag(ctx, who(ctx), id, req.Body.Reason, word(req.Body.AssignTo))
	if err != nil {
		return nil, err
	}
	return spec.FlagForReview200JSONResponse{DiscrepancyJSONResponse: spec.DiscrepancyJSONResponse(showDiscrepancy(d))}, nil
}
