// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

func showConflict(c engine.Case) spec.Conflict {
	state := spec.ConflictStateResolved
	if c.Open {
		state = spec.ConflictStateOpen
	}
	return spec.Conflict{
		ID: public(ident.Conflict, c.ID), Service: c.Service.Public(), ServiceName: c.ServiceName, Record: public(ident.Entity, c.Entity), RecordTitle: c.Title,
		Collection: c.Collection, Field: someText(c.Field), Base: c.Base, Sides: shown(c.Sides, showSide), State: state, Strategy: string(c.Strategy),
		Winner: someText(string(c.Winner)), Result: c.Result, Reason: c.Reason, DecidedBy: c.DecidedBy,
		OpenedAt: c.OpenedAt.UTC(), ResolvedAt: maybeTime(c.ResolvedAt), Version: c.Version,
	}
}

func showSide(side conflict.Side) spec.ConflictSide {
	return spec.ConflictSide{System: string(side.System), Value: side.Value, At: someTime(side.At), SeenAt: someTime(side.SeenAt), Deleted: side.Deleted}
}

func (s *server) ListConflicts(ctx context.Context, req spec.ListConflictsRequestObject) (spec.ListConflictsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.CaseQuery{Field: word(req.Params.FilterField), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if req.Params.FilterRecord != nil {
		id, err := named(ident.Entity, *req.Params.FilterRecord)
		if err != nil {
			return nil, err
		}
		q.Entity = record.EntityID(id)
	}
	if req.Params.FilterState != nil {
		open := *req.Params.FilterState == spec.ConflictStateOpen
		q.Open = &open
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Records.Cases(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showConflict, func(c engine.Case) any { return c.ID })
	return spec.ListConflicts200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func conflictAnswer(c engine.Case) spec.ConflictJSONResponse {
	return spec.ConflictJSONResponse{Body: showConflict(c), Headers: spec.ConflictResponseHeaders{ETag: etag(c.Version)}}
}

func (s *server) GetConflict(ctx context.Context, req spec.GetConflictRequestObject) (spec.GetConflictResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Conflict, req.Conflict)
	if err != nil {
		return nil, err
	}
	c, err := s.Records.Case(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	if tag := etag(c.Version); current(req.Params.IfNoneMatch, tag) {
		return spec.GetConflict304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetConflict200JSONResponse{ConflictJSONResponse: conflictAnswer(c)}, nil
}

func (s *server) ResolveConflict(ctx context.Context, req spec.ResolveConflictRequestObject) (spec.ResolveConflictResponseObject, error) {
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return nil, err
	}
	id, err := named(ident.Conflict, req.Conflict)
	if err != nil {
		return nil, err
	}
	decision, err := decisionOf(*req.Body)
	if err != nil {
		return nil, err
	}
	if req.Params.IfMatch != nil {
		if decision.Version, err = wantedOrAny(*req.Params.IfMatch); err != nil {
			return nil, err
		}
	}
	c, err := s.Decider.Resolve(ctx, who(ctx), id, decision)
	if err != nil {
		return nil, err
	}
	return spec.ResolveConflict200JSONResponse{ConflictJSONResponse: conflictAnswer(c)}, nil
}

// decisionOf reads a decision: exactly one of its three forms.
func decisionOf(body spec.Decision) (engine.Decision, error) {
	d := engine.Decision{Side: record.System(word(body.Side)), Strategy: conflict.Strategy(word(body.Strategy)), Reason: word(body.Reason)}
	given := 0
	for _, is := range []bool{body.Side != nil, body.Strategy != nil, body.Value.IsSpecified()} {
		if is {
			given++
		}
	}
	if given != 1 {
		return d, fault.New(fault.Invalid, "conflict.decision_invalid", "Give exactly one of side, value and strategy.").
			At(fault.Field{Message: "A decision names one side, gives one value, or lets a strategy decide.", Remedy: "Leave the others out."})
	}
	if body.Value.IsSpecified() {
		var v record.Value
		if raw, err := body.Value.Get(); err == nil {
			if v, err = record.ParseJSON(raw); err != nil {
				return d, fault.Wrap(err, fault.Invalid, "conflict.decision_invalid", "The value cannot be read.").At(fault.Field{Pointer: "/value", Message: "The value cannot be read."})
			}
		}
		d.Value = &v
	}
	return d, nil
}
