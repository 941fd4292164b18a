// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showSchemaChange(c engine.ShapeChange) spec.SchemaChange {
	return spec.SchemaChange{
		ID: public(ident.SchemaChange, c.ID), Service: c.Service.Public(), ServiceName: c.ServiceName, System: string(c.System), Object: string(c.Object), Field: c.Field, Name: c.Name,
		Kind: spec.SchemaChangeKind(c.Kind), Was: c.Was.Native, Is: c.Is.Native, State: spec.SchemaChangeState(c.State), Quarantined: c.Quarantined, Settled: c.Settled,
		FoundAt: c.FoundAt.UTC(), DecidedAt: maybeTime(c.DecidedAt), DecidedBy: c.DecidedBy, Version: c.Version,
	}
}

func (s *server) ListSchemaChanges(ctx context.Context, req spec.ListSchemaChangesRequestObject) (spec.ListSchemaChangesResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.ShapeQuery{State: engine.ShapeState(word(req.Params.FilterState)), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, &req.Service, auth.ViewServices); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Records.ShapeChanges(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showSchemaChange, func(c engine.ShapeChange) any { return c.ID })
	return spec.ListSchemaChanges200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) AcceptSchemaChange(ctx context.Context, req spec.AcceptSchemaChangeRequestObject) (spec.AcceptSchemaChangeResponseObject, error) {
	c, err := s.decideSchema(ctx, req.SchemaChange, true)
	if err != nil {
		return nil, err
	}
	return spec.AcceptSchemaChange200JSONResponse{SchemaChangeJSONResponse: spec.SchemaChangeJSONResponse(showSchemaChange(c))}, nil
}

func (s *server) DismissSchemaChange(ctx context.Context, req spec.DismissSchemaChangeRequestObject) (spec.DismissSchemaChangeResponseObject, error) {
	c, err := s.decideSchema(ctx, req.SchemaChange, false)
	if err != nil {
		return nil, err
	}
	return spec.DismissSchemaChange200JSONResponse{SchemaChangeJSONResponse: spec.SchemaChangeJSONResponse(showSchemaChange(c))}, nil
}

func (s *server) decideSchema(ctx context.Context, ref string, accept bool) (engine.ShapeChange, error) {
	if err := who(ctx).May(auth.EditServices); err != nil {
		return engine.ShapeChange{}, err
	}
	id, err := named(ident.SchemaChange, ref)
	if err != nil {
		return engine.ShapeChange{}, err
	}
	return s.Decider.DecideShape(ctx, who(ctx), id, accept)
}
