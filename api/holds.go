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
	"github.com/syncline-dev/syncline/internal/safety"
)

func showHold(h safety.Hold) spec.Hold {
	return spec.Hold{
		ID: public(ident.Hold, h.ID), Service: h.Service.Public(), ServiceName: h.ServiceName, System: string(h.System), Object: string(h.Object),
		Kind: spec.HoldKind(h.Kind), State: spec.HoldState(h.State), Reason: h.Reason, Held: h.Held, Total: h.Total, OpenedAt: h.OpenedAt.UTC(),
		DecidedAt: maybeTime(h.DecidedAt), DecidedBy: h.DecidedBy, Note: h.Note, Restore: h.Restore, Version: h.Version,
	}
}

func showHeldChange(c safety.HeldChange) spec.HeldChange {
	entity := nullable.NewNullNullable[string]()
	if !c.Entity.IsZero() {
		entity.Set(public(ident.Entity, c.Entity))
	}
	return spec.HeldChange{
		Key: string(c.Key), Op: spec.HeldChangeOp(c.Op), Absent: c.Absent, Record: entity, Title: c.Title, Fields: values(c.Fields), Before: values(c.Before),
		After: values(c.After), Why: c.Why, At: maybeTime(c.At), HeldAt: c.HeldAt.UTC(),
	}
}

func (s *server) ListHolds(ctx context.Context, req spec.ListHoldsRequestObject) (spec.ListHoldsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := safety.HoldQuery{State: engine.HoldState(word(req.Params.FilterState)), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewServices); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Holds.List(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showHold, func(h safety.Hold) any { return h.ID })
	return spec.ListHolds200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetHold(ctx context.Context, req spec.GetHoldRequestObject) (spec.GetHoldResponseObject, error) {
	if err := who(ctx).May(auth.ViewServices); err != nil {
		return nil, err
	}
	id, err := named(ident.Hold, req.Hold)
	if err != nil {
		return nil, err
	}
	h, err := s.Holds.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetHold200JSONResponse{HoldJSONResponse: spec.HoldJSONResponse(showHold(h))}, nil
}

func (s *server) ListHeldChanges(ctx context.Context, req spec.ListHeldChangesRequestObject) (spec.ListHeldChangesResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Hold, req.Hold)
	if err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	var after record.Key
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	list, err := s.Holds.Changes(ctx, who(ctx), id, after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showHeldChange, func(c safety.HeldChange) any { return c.Key })
	return spec.ListHeldChanges200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) ReleaseHold(ctx context.Context, req spec.ReleaseHoldRequestObject) (spec.ReleaseHoldResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Hold, req.Hold)
	if err != nil {
		return nil, err
	}
	note := ""
	if req.Body != nil {
		note = word(req.Body.Note)
	}
	h, err := s.Holds.Release(ctx, who(ctx), id, note, 0)
	if err != nil {
		return nil, err
	}
	return spec.ReleaseHold202JSONResponse{HoldJSONResponse: spec.HoldJSONResponse(showHold(h))}, nil
}

func (s *server) RejectHold(ctx context.Context, req spec.RejectHoldRequestObject) (spec.RejectHoldResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Hold, req.Hold)
	if err != nil {
		return nil, err
	}
	restore := req.Body.Restore != nil && *req.Body.Restore
	h, err := s.Holds.Reject(ctx, who(ctx), id, req.Body.Reason, restore, 0)
	if err != nil {
		return nil, err
	}
	return spec.RejectHold202JSONResponse{HoldJSONResponse: spec.HoldJSONResponse(showHold(h))}, nil
}
