// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/service"
)

func showRun(r service.Run) spec.Run {
	out := spec.Run{
		ID: r.ID.Public(), Service: r.Service.Public(), Kind: spec.RunKind(r.Kind), State: spec.RunState(r.State), Actor: r.Actor, Revision: r.Revision,
		CreatedAt: r.CreatedAt.UTC(), StartedAt: maybeTime(r.StartedAt), FinishedAt: maybeTime(r.FinishedAt), CancelRequestedAt: maybeTime(r.CancelAt),
		Counts: map[string]spec.RunCounts{}, Error: codedError(r.ErrorCode, r.Error),
	}
	out.Progress.Done, out.Progress.Total = r.Progress()
	for system, c := range r.Counts {
		out.Counts[string(system)] = spec.RunCounts{
			Read: c.Read, Equal: c.Equal, Created: c.Created, Updated: c.Updated, Deleted: c.Deleted,
			Conflicts: c.Conflicts, Rejected: c.Rejected, Held: c.Held, Done: c.Done, Total: c.Total, Owed: c.Owed,
		}
	}
	return out
}

func maybeRun(r *service.Run) nullable.Nullable[spec.Run] {
	if r == nil {
		return nullable.NewNullNullable[spec.Run]()
	}
	return nullable.NewNullableWithValue(showRun(*r))
}

func codedError(code, message string) nullable.Nullable[spec.CodedError] {
	if code == "" && message == "" {
		return nullable.NewNullNullable[spec.CodedError]()
	}
	return nullable.NewNullableWithValue(spec.CodedError{Code: code, Message: message})
}

// runs lists runs of a service, or of all for the zero id.
func (s *server) runs(ctx context.Context, id service.ID, limit *spec.Limit, cursor *string, states *[]spec.RunState) (spec.RunListJSONResponse, error) {
	f := service.RunFilter{Service: id, States: words[service.RunState](states), Limit: limitOf(limit) + 1}
	if err := s.cursors.read(of(ctx), cursor, &f.Before); err != nil {
		return spec.RunListJSONResponse{}, err
	}
	list, err := s.Services.Runs(ctx, who(ctx), f)
	if err != nil {
		return spec.RunListJSONResponse{}, err
	}
	data, next, more := page(ctx, s, list, limitOf(limit), showRun, func(r service.Run) any { return r.ID })
	return spec.RunListJSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) ListServiceRuns(ctx context.Context, req spec.ListServiceRunsRequestObject) (spec.ListServiceRunsResponseObject, error) {
	v, _, err := s.Services.Get(ctx, who(ctx), req.Service)
	if err != nil {
		return nil, err
	}
	out, err := s.runs(ctx, v.ID, req.Params.Limit, req.Params.Cursor, req.Params.FilterState)
	return spec.ListServiceRuns200JSONResponse{RunListJSONResponse: out}, err
}

func (s *server) ListRuns(ctx context.Context, req spec.ListRunsRequestObject) (spec.ListRunsResponseObject, error) {
	id, err := s.serviceNamed(ctx, req.Params.FilterService, auth.ViewServices)
	if err != nil {
		return nil, err
	}
	out, err := s.runs(ctx, id, req.Params.Limit, req.Params.Cursor, req.Params.FilterState)
	return spec.ListRuns200JSONResponse{RunListJSONResponse: out}, err
}

func (s *server) GetRun(ctx context.Context, req spec.GetRunRequestObject) (spec.GetRunResponseObject, error) {
	if err := who(ctx).May(auth.ViewServices); err != nil {
		return nil, err
	}
	id, err := service.ParseRunID(req.Run)
	if err != nil {
		return nil, err
	}
	r, err := s.Services.Run(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetRun200JSONResponse{RunJSONResponse: spec.RunJSONResponse(showRun(r))}, nil
}

func (s *server) CancelRun(ctx context.Context, req spec.CancelRunRequestObject) (spec.CancelRunResponseObject, error) {
	if err := who(ctx).May(auth.RunServices); err != nil {
		return nil, err
	}
	id, err := service.ParseRunID(req.Run)
	if err != nil {
		return nil, err
	}
	r, err := s.Services.CancelRun(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.CancelRun200JSONResponse{RunJSONResponse: spec.RunJSONResponse(showRun(r))}, nil
}

func (s *server) ResumeRun(ctx context.Context, req spec.ResumeRunRequestObject) (spec.ResumeRunResponseObject, error) {
	if err := who(ctx).May(auth.RunServices); err != nil {
		return nil, err
	}
	id, err := service.ParseRunID(req.Run)
	if err != nil {
		return nil, err
	}
	r, err := s.Services.ResumeRun(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.ResumeRun202JSONResponse{Body: showRun(r), Headers: spec.ResumeRun202ResponseHeaders{Location: "/v1/runs/" + r.ID.Public()}}, nil
}
