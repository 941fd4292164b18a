// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// selectionOf reads what a bulk run is to read. Values of conditions are taken from the body itself, so that numbers stay exact.
func selectionOf(body []byte, r *spec.RunRequest) (sel service.Selection, err error) {
	sel = service.Selection{Source: word(r.SourceSystem), Object: word(r.Object)}
	if r.TargetSystems != nil {
		sel.Targets = *r.TargetSystems
	}
	if r.Range != nil {
		sel.From, sel.To = record.Key(word(r.Range.From)), record.Key(word(r.Range.To))
	}
	if r.Records != nil {
		for _, k := range *r.Records {
			sel.Records = append(sel.Records, record.Key(k))
		}
	}
	if r.Filter == nil {
		return sel, nil
	}
	sel.Expression = word(r.Filter.Expression)
	if r.Filter.UpdatedSince != nil {
		sel.Since = r.Filter.UpdatedSince.UTC()
	}
	var exact struct {
		Filter struct{ Conditions []service.FilterCondition }
	}
	if err := json.Unmarshal(body, &exact); err != nil {
		return sel, fault.Wrap(err, fault.Invalid, "run.filter_invalid", "A condition of the filter cannot be read: %v.", err).
			At(fault.Field{Pointer: "/filter/conditions", Message: "A condition cannot be read."})
	}
	sel.Conditions = exact.Filter.Conditions
	return sel, nil
}

func (s *server) CreateRun(ctx context.Context, req spec.CreateRunRequestObject) (spec.CreateRunResponseObject, error) {
	if err := who(ctx).May(auth.RunServices); err != nil {
		return nil, err
	}
	accepted := func(r service.Run, err error) (spec.CreateRunResponseObject, error) {
		if err != nil {
			return nil, err
		}
		return spec.CreateRun202JSONResponse{Body: showRun(r), Headers: spec.CreateRun202ResponseHeaders{Location: "/v1/runs/" + r.ID.Public()}}, nil
	}
	if req.Body == nil {
		r, _, err := s.Services.RunNow(ctx, who(ctx), req.Service)
		return accepted(r, err)
	}
	sel, err := selectionOf(of(ctx).body, req.Body)
	if err != nil {
		return nil, err
	}
	dry := req.Body.DryRun != nil && *req.Body.DryRun
	if all := req.Body.Everything != nil && *req.Body.Everything; sel.Everything() && !all && !dry && req.Body.Plan == nil {
		r, _, err := s.Services.RunNow(ctx, who(ctx), req.Service)
		return accepted(r, err)
	}
	if dry {
		p, err := s.Planner.PlanRun(ctx, who(ctx), req.Service, sel)
		if err != nil {
			return nil, err
		}
		body, err := s.showServicePlan(ctx, p)
		return spec.CreateRun201JSONResponse{Body: body, Headers: spec.CreateRun201ResponseHeaders{Location: servicePlanAt(p)}}, err
	}
	var base *int
	if req.Body.Plan != nil {
		if _, _, err := s.serviceOf(ctx, req.Service, auth.RunServices); err != nil {
			return nil, err
		}
		p, err := s.Planner.Confirm(ctx, who(ctx), *req.Body.Plan, nil, &sel)
		if err != nil {
			return nil, err
		}
		if p.Name != req.Service && p.Service.Public() != req.Service {
			return nil, fault.New(fault.Conflict, "plan.differs", "The plan is about another service, %s.", p.Name)
		}
		base = &p.Base
	}
	r, err := s.Services.ReadAgain(ctx, who(ctx), req.Service, sel, false, base)
	return accepted(r, err)
}

// How long the outcome of a record's sync is waited for when nothing is said, and how often it is looked for.
const (
	syncWait = 10 * time.Second
	syncLook = 50 * time.Millisecond
)

func (s *server) SyncRecord(ctx context.Context, req spec.SyncRecordRequestObject) (spec.SyncRecordResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	key := record.Key(req.Body.SourceID)
	sel := service.Selection{Source: req.Body.SourceSystem, Records: []record.Key{key}, Force: req.Body.Force != nil && *req.Body.Force}
	if req.Body.TargetSystems != nil {
		sel.Targets = *req.Body.TargetSystems
	}
	if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, nil); err != nil {
		return nil, err
	}
	r, err := s.Services.ReadAgain(ctx, who(ctx), req.Service, sel, true, nil)
	if err != nil {
		return nil, err
	}
	wait := syncWait
	if n := req.Body.TimeoutSeconds; n != nil {
		wait = time.Duration(*n) * time.Second
	}
	for until := time.Now().Add(wait); !r.Over() && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(syncLook):
		}
		if r, err = s.Services.Run(ctx, who(ctx), r.ID); err != nil {
			return nil, err
		}
	}
	out, err := s.showRecordSync(ctx, req, r, key)
	return spec.SyncRecord202JSONResponse{Body: out, Headers: spec.SyncRecord202ResponseHeaders{Location: "/v1/runs/" + r.ID.Public(), SynclineConsistencyToken: s.tokenOfRun(ctx, r, key)}}, err
}

// showRecordSync says what came of it: the run's end, and where the record stands in each system.
func (s *server) showRecordSync(ctx context.Context, req spec.SyncRecordRequestObject, r service.Run, key record.Key) (spec.RecordSync, error) {
	out := spec.RecordSync{Outcome: spec.RecordSyncOutcomeAbsent, Run: showRun(r), Record: nullable.NewNullNullable[string](), Systems: map[string]spec.SystemRecordStatus{}}
	source := record.System(req.Body.SourceSystem)
	_, doc, d, err := s.recordOf(ctx, req.Service, string(key))
	switch {
	case fault.KindOf(err) == fault.NotFound:
	case err != nil:
		return out, err
	case d.Links[source] != nil && d.Links[source].Key == key:
		out.Record.Set(public(ident.Entity, d.ID))
		systems := doc.SystemIDs()
		if req.Body.TargetSystems != nil {
			systems = append([]string{string(source)}, *req.Body.TargetSystems...)
		}
		out.Systems, out.Outcome = recordStatus(d, systems), spec.RecordSyncOutcomeSynced
		for _, status := range out.Systems {
			if status.Status != spec.SystemRecordStatusStatusSynced {
				out.Outcome = spec.RecordSyncOutcomePartial
			}
		}
	}
	switch {
	case !r.Over():
		out.Outcome = spec.RecordSyncOutcomePending
	case r.State == service.RunFailed || r.State == service.RunCancelled:
		out.Outcome = spec.RecordSyncOutcomeFailed
	}
	return out, nil
}
