// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxRedrive is how many dead letters are tried again by one request.
const maxRedrive = 500

func showDeadLetter(d delivery.DeadLetter) spec.DeadLetter {
	entity := nullable.NewNullNullable[string]()
	if !d.Entity.IsZero() {
		entity.Set(public(ident.Entity, d.Entity))
	}
	return spec.DeadLetter{
		ID: public(ident.DeadLetter, d.ID), Service: d.Service.Public(), ServiceName: d.ServiceName, Direction: spec.DeadLetterDirection(d.Direction),
		System: string(d.System), Object: string(d.Object), Key: string(d.Key), Record: entity, Op: spec.DeadLetterOp(d.Op), Code: d.Code, Message: d.Message,
		Payload: values(d.Payload), Tries: d.Tries, State: spec.DeadLetterState(d.State), FirstAt: d.FirstAt.UTC(), LastAt: d.LastAt.UTC(),
		DecidedBy: d.DecidedBy, Reason: d.Reason, Version: d.Version,
		Field: someText(d.Field), Rule: someText(d.Rule), Edit: values(d.Edit), EditedBy: d.EditedBy,
	}
}

func (s *server) ListDeadLetters(ctx context.Context, req spec.ListDeadLettersRequestObject) (spec.ListDeadLettersResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := delivery.Query{
		State: delivery.State(word(req.Params.FilterState)), System: record.System(word(req.Params.FilterSystem)), Code: word(req.Params.FilterCode), Limit: limit + 1,
	}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.DeadLetters.List(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showDeadLetter, func(d delivery.DeadLetter) any { return d.ID })
	return spec.ListDeadLetters200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) ListDeadLetterGroups(ctx context.Context, req spec.ListDeadLetterGroupsRequestObject) (spec.ListDeadLetterGroupsResponseObject, error) {
	id, err := s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	list, err := s.DeadLetters.Groups(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	show := func(g delivery.Group) spec.DeadLetterGroup {
		return spec.DeadLetterGroup{
			Service: g.Service.Public(), ServiceName: g.ServiceName, Direction: spec.DeadLetterGroupDirection(g.Direction), System: string(g.System),
			Code: g.Code, Count: g.Count, FirstAt: g.FirstAt.UTC(), LastAt: g.LastAt.UTC(), Message: g.Message,
		}
	}
	return spec.ListDeadLetterGroups200JSONResponse{Data: shown(list, show), NextCursor: noCursor()}, nil
}

func (s *server) GetDeadLetter(ctx context.Context, req spec.GetDeadLetterRequestObject) (spec.GetDeadLetterResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	d, err := s.DeadLetters.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetDeadLetter200JSONResponse{DeadLetterJSONResponse: spec.DeadLetterJSONResponse(showDeadLetter(d))}, nil
}

func (s *server) EditDeadLetter(ctx context.Context, req spec.EditDeadLetterRequestObject) (spec.EditDeadLetterResponseObject, error) {
	if err := who(ctx).May(auth.RedriveDeadLetters); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	var version int64
	if req.Params.IfMatch != nil {
		if version, err = wantedOrAny(*req.Params.IfMatch); err != nil {
			return nil, err
		}
	}
	fields, err := correctionsOf(req.Body.Fields)
	if err != nil {
		return nil, err
	}
	d, err := s.DeadLetters.Edit(ctx, who(ctx), id, fields, version)
	if err != nil {
		return nil, err
	}
	return spec.EditDeadLetter200JSONResponse{DeadLetterJSONResponse: spec.DeadLetterJSONResponse(showDeadLetter(d))}, nil
}

func (s *server) RedriveDeadLetter(ctx context.Context, req spec.RedriveDeadLetterRequestObject) (spec.RedriveDeadLetterResponseObject, error) {
	if err := who(ctx).May(auth.RedriveDeadLetters); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	d, err := s.DeadLetters.Redrive(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.RedriveDeadLetter202JSONResponse{DeadLetterJSONResponse: spec.DeadLetterJSONResponse(showDeadLetter(d))}, nil
}

func (s *server) RedriveAlike(ctx context.Context, req spec.RedriveAlikeRequestObject) (spec.RedriveAlikeResponseObject, error) {
	if err := who(ctx).May(auth.RedriveDeadLetters); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	n, err := s.DeadLetters.RedriveLike(ctx, who(ctx), id, maxRedrive)
	if err != nil {
		return nil, err
	}
	return spec.RedriveAlike202JSONResponse{Redriven: n}, nil
}

func (s *server) DiscardDeadLetter(ctx context.Context, req spec.DiscardDeadLetterRequestObject) (spec.DiscardDeadLetterResponseObject, error) {
	if err := who(ctx).May(auth.RedriveDeadLetters); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	d, err := s.DeadLetters.Discard(ctx, who(ctx), id, req.Body.Reason)
	if err != nil {
		return nil, err
	}
	return spec.DiscardDeadLetter200JSONResponse{DeadLetterJSONResponse: spec.DeadLetterJSONResponse(showDeadLetter(d))}, nil
}

func (s *server) RedriveDeadLetters(ctx context.Context, req spec.RedriveDeadLettersRequestObject) (spec.RedriveDeadLettersResponseObject, error) {
	b := req.Body
	sel, err := s.selection(ctx, b.Service, b.System, b.Code, (*string)(b.Direction))
	if err != nil {
		return nil, err
	}
	out, err := s.decideMany(ctx, sel, b.DryRun, func() (int, error) { return s.DeadLetters.RedriveAll(ctx, who(ctx), sel, maxRedrive) })
	return spec.RedriveDeadLetters200JSONResponse(out), err
}

func (s *server) DiscardDeadLetters(ctx context.Context, req spec.DiscardDeadLettersRequestObject) (spec.DiscardDeadLettersResponseObject, error) {
	b := req.Body
	sel, err := s.selection(ctx, b.Service, b.System, b.Code, (*string)(b.Direction))
	if err != nil {
		return nil, err
	}
	out, err := s.decideMany(ctx, sel, b.DryRun, func() (int, error) { return s.DeadLetters.DiscardAll(ctx, who(ctx), sel, b.Reason, maxRedrive) })
	return spec.DiscardDeadLetters200JSONResponse(out), err
}

// selection is what an act on many dead letters names; naming nothing is refused, also where they are only counted.
func (s *server) selection(ctx context.Context, serviceRef, system, code, direction *string) (sel delivery.Selection, err error) {
	if sel.Service, err = s.serviceNamed(ctx, serviceRef, auth.RedriveDeadLetters); err != nil {
		return sel, err
	}
	sel.System, sel.Code, sel.Direction = record.System(word(system)), word(code), word(direction)
	return sel, sel.Check()
}

// decideMany counts the dead letters selected, and decides them unless it is only a look.
func (s *server) decideMany(ctx context.Context, sel delivery.Selection, dryRun *bool, decide func() (int, error)) (out spec.DeadLettersDecided, err error) {
	if out.Selected, err = s.DeadLetters.Count(ctx, who(ctx), sel); err != nil {
		return out, err
	}
	if dryRun == nil || !*dryRun {
		if out.Done, err = decide(); err != nil {
			return out, err
		}
	}
	out.Remaining = max(0, out.Selected-int64(out.Done))
	return out, nil
}

func (s *server) CheckDeadLetter(ctx context.Context, req spec.CheckDeadLetterRequestObject) (spec.CheckDeadLetterResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.DeadLetter, req.DeadLetter)
	if err != nil {
		return nil, err
	}
	fields, err := correctionsOf(req.Body.Fields)
	if err != nil {
		return nil, err
	}
	d, err := s.DeadLetters.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	list, err := s.Records.Flaws(ctx, who(ctx), d.Service, d.System, d.Object, d.Corrected(fields))
	if err != nil {
		return nil, err
	}
	show := func(f engine.Flaw) spec.DeadLetterFlaw {
		return spec.DeadLetterFlaw{Field: f.Field, Rule: f.Rule, Message: f.Reason}
	}
	return spec.CheckDeadLetter200JSONResponse{Data: shown(list, show), NextCursor: noCursor()}, nil
}

func correctionsOf(raw []byte) (fields record.Fields, err error) {
	if err := fields.UnmarshalJSON(raw); err != nil {
		return nil, fault.Wrap(err, fault.Malformed, "request.malformed", "The fields cannot be read.").At(fault.Field{Pointer: "/fields", Message: "The fields cannot be read."})
	}
	return fields, nil
}
