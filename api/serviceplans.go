// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
)

func servicePlanAt(p safety.ServicePlan) string {
	return "/v1/services/" + p.Name + "/plans/" + public(ident.ServicePlan, p.ID)
}

func showFigures(f *engine.ForeseenSeat) spec.ServicePlanFigures {
	return spec.ServicePlanFigures{
		Records: f.Records, Creates: f.Creates, Updates: f.Updates, Deletes: f.Deletes, Operations: f.Operations(), Equal: f.Equal, Matched: f.Matched,
		Duplicates: f.Duplicates, Ambiguous: f.Ambiguous, Conflicts: f.Conflicts, OpenConflicts: f.Open, Invalid: f.Invalid + f.Unsendable, Filtered: f.Filtered,
		Held: f.Held, AwaitingApproval: f.Waiting, AwaitingReference: f.Unfound, Circular: f.Circles, Orphans: f.Orphans,
	}
}

// showServicePlan shows what the caller may see: no contents of records to those who may not see such.
func (s *server) showServicePlan(ctx context.Context, p safety.ServicePlan) (spec.ServicePlan, error) {
	totals := p.Totals()
	out := spec.ServicePlan{
		ID: public(ident.ServicePlan, p.ID), Kind: spec.ServicePlanKind(p.Kind), State: spec.ServicePlanState(p.State), Service: p.Name, Revision: p.Base,
		TakesEffect: spec.ServicePlanTakesEffectApply, Differences: differences(p.Differences), Notices: fields(p.Notices), Actor: p.Actor,
		CreatedAt: p.CreatedAt.UTC(), StartedAt: maybeTime(p.StartedAt), FinishedAt: maybeTime(p.FinishedAt), ExpiresAt: p.ExpiresAt.UTC(),
		Totals: showFigures(&totals), Systems: []spec.ServicePlanSystem{}, Samples: []spec.ServicePlanSample{}, Warnings: []spec.ServicePlanWarning{},
		NewRecords: map[string]int64{}, Cost: nullable.NewNullNullable[spec.CostEstimate](), Hash: nullable.NewNullNullable[string](), Error: codedError(p.ErrorCode, p.Error),
	}
	switch {
	case p.Kind == safety.BulkPlan:
		out.TakesEffect = spec.ServicePlanTakesEffectRun
	case p.Later():
		out.TakesEffect = spec.ServicePlanTakesEffectNextChange
	}
	out.Progress.Step = spec.ServicePlanProgressStepQueued
	if p.Hash != "" {
		out.Hash.Set(p.Hash)
	}
	o := p.Outcome
	if o == nil {
		return out, nil
	}
	out.Progress.Step, out.Progress.System, out.Progress.Object = spec.ServicePlanProgressStep(o.Step.Name), string(o.Step.System), string(o.Step.Object)
	out.Progress.Done, out.Progress.Total = o.Step.Done, o.Step.Total
	for i := range o.Seats {
		f := &o.Seats[i]
		out.Systems = append(out.Systems, spec.ServicePlanSystem{
			System: string(f.System), Object: string(f.Object), Collection: f.Collection, Read: f.Read, Detection: f.Detection, Why: f.Why, Rows: f.Rows, Figures: showFigures(f),
		})
	}
	if who(ctx).Can(auth.ViewRecords) {
		out.Samples = shown(o.Samples, func(e engine.Sample) spec.ServicePlanSample {
			return spec.ServicePlanSample{
				Kind: spec.ServicePlanSampleKind(e.Kind), System: string(e.System), Object: string(e.Object), Key: string(e.Key), Title: e.Title, Before: values(e.Before),
				After: values(e.After), Why: e.Why,
			}
		})
	}
	out.Warnings = shown(o.Warnings, func(w engine.Warning) spec.ServicePlanWarning {
		return spec.ServicePlanWarning{Code: spec.ServicePlanWarningCode(w.Code), System: string(w.System), Object: string(w.Object), Message: w.Message}
	})
	u := p.Usage()
	out.NewRecords = u.Records
	if p.State != safety.PlanReady || !who(ctx).Can(auth.ViewUsage) {
		return out, nil
	}
	e, err := s.Plans.Estimate(ctx, who(ctx), plannedUsage(u))
	if err != nil {
		return out, err
	}
	out.Cost.Set(showEstimate(e))
	return out, nil
}

// plannedUsage is a plan's usage as prices ask for it.
func plannedUsage(u safety.PlannedUsage) plans.Assumed {
	return plans.Assumed{
		Syncs: u.Operations, ComplexSyncs: u.Complex, Contacts: u.Records["contacts"], Products: u.Records["products"], Transactions: u.Records["transactions"],
		Standard: u.Standard, Premium: u.Premium, Enrichments: u.Lookups,
	}
}

func (s *server) PlanService(ctx context.Context, req spec.PlanServiceRequestObject) (spec.PlanServiceResponseObject, error) {
	if err := who(ctx).May(auth.EditServices); err != nil {
		return nil, err
	}
	name, err := s.nameOf(ctx, req.Service)
	if err != nil {
		return nil, err
	}
	text, format := source(ctx, req.JSONBody != nil)
	p, err := s.Planner.PlanDocument(ctx, who(ctx), name, text, format)
	if err != nil {
		return nil, err
	}
	body, err := s.showServicePlan(ctx, p)
	return spec.PlanService202JSONResponse{Body: body, Headers: spec.PlanService202ResponseHeaders{Location: servicePlanAt(p)}}, err
}

func (s *server) ListServicePlans(ctx context.Context, req spec.ListServicePlansRequestObject) (spec.ListServicePlansResponseObject, error) {
	if err := who(ctx).May(auth.ViewServices); err != nil {
		return nil, err
	}
	name := req.Service
	if _, err := service.ParseID(name); err == nil {
		v, _, err := s.serviceOf(ctx, name, auth.ViewServices)
		if err != nil {
			return nil, err
		}
		name = v.Name
	}
	limit := limitOf(req.Params.Limit)
	var before uuid.UUID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &before); err != nil {
		return nil, err
	}
	list, err := s.Planner.List(ctx, who(ctx), name, before, limit+1)
	if err != nil {
		return nil, err
	}
	var failed error
	data, next, more := page(ctx, s, list, limit, func(p safety.ServicePlan) spec.ServicePlan {
		out, err := s.showServicePlan(ctx, p)
		if err != nil {
			failed = err
		}
		return out
	}, func(p safety.ServicePlan) any { return p.ID })
	return spec.ListServicePlans200JSONResponse{Data: data, NextCursor: next, HasMore: more}, failed
}

// servicePlan finds the plan that an address names below its service.
func (s *server) servicePlan(ctx context.Context, ref, id string) (safety.ServicePlan, error) {
	at, err := named(ident.ServicePlan, id)
	if err != nil {
		return safety.ServicePlan{}, err
	}
	p, err := s.Planner.Get(ctx, who(ctx), at)
	if err == nil && p.Name != ref && p.Service.Public() != ref {
		err = fault.New(fault.NotFound, "plan.not_found", "There is no such plan of %s.", ref)
	}
	return p, err
}

func (s *server) GetServicePlan(ctx context.Context, req spec.GetServicePlanRequestObject) (spec.GetServicePlanResponseObject, error) {
	if err := who(ctx).May(auth.ViewServices); err != nil {
		return nil, err
	}
	p, err := s.servicePlan(ctx, req.Service, req.ServicePlan)
	if err != nil {
		return nil, err
	}
	out, err := s.showServicePlan(ctx, p)
	return spec.GetServicePlan200JSONResponse{ServicePlanJSONResponse: spec.ServicePlanJSONResponse(out)}, err
}

func (s *server) CancelServicePlan(ctx context.Context, req spec.CancelServicePlanRequestObject) (spec.CancelServicePlanResponseObject, error) {
	if err := who(ctx).May(auth.RunServices); err != nil {
		return nil, err
	}
	p, err := s.servicePlan(ctx, req.Service, req.ServicePlan)
	if err != nil {
		return nil, err
	}
	if p, err = s.Planner.Cancel(ctx, who(ctx), p.ID); err != nil {
		return nil, err
	}
	out, err := s.showServicePlan(ctx, p)
	return spec.CancelServicePlan200JSONResponse{ServicePlanJSONResponse: spec.ServicePlanJSONResponse(out)}, err
}
