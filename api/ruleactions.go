// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

func showRuleAction(c engine.ActCase) spec.RuleAction {
	other := nullable.NewNullNullable[string]()
	if !c.Other.IsZero() {
		other.Set(public(ident.Entity, c.Other))
	}
	return spec.RuleAction{
		ID: public(ident.RuleAction, c.ID), Service: c.Service.Public(), ServiceName: c.ServiceName, Record: public(ident.Entity, c.Entity), RecordTitle: c.Title,
		Collection: c.Collection, Rule: c.Rule, Action: c.Action, System: string(c.System), Targets: append([]string{}, c.Targets...), State: spec.RuleActionState(c.State), Fields: values(c.Fields),
		Options: values(record.Fields(c.Options)), Other: other, At: c.At.UTC(), TakenAt: maybeTime(c.TakenAt), TakenBy: c.TakenBy,
		DecidedAt: maybeTime(c.DecidedAt), DecidedBy: c.DecidedBy, Reason: c.Reason, Reference: c.Reference, LapsedAt: maybeTime(c.LapsedAt), Version: c.Version,
	}
}

func (s *server) ListRuleActions(ctx context.Context, req spec.ListRuleActionsRequestObject) (spec.ListRuleActionsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.ActQuery{State: engine.ActState(word(req.Params.FilterState)), Action: word(req.Params.FilterAction), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Records.Acts(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showRuleAction, func(c engine.ActCase) any { return c.ID })
	return spec.ListRuleActions200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) ApproveRuleAction(ctx context.Context, req spec.ApproveRuleActionRequestObject) (spec.ApproveRuleActionResponseObject, error) {
	c, err := s.answerRule(ctx, req.RuleAction, true, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.ApproveRuleAction200JSONResponse{RuleActionJSONResponse: spec.RuleActionJSONResponse(showRuleAction(c))}, nil
}

func (s *server) RejectRuleAction(ctx context.Context, req spec.RejectRuleActionRequestObject) (spec.RejectRuleActionResponseObject, error) {
	c, err := s.answerRule(ctx, req.RuleAction, false, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.RejectRuleAction200JSONResponse{RuleActionJSONResponse: spec.RuleActionJSONResponse(showRuleAction(c))}, nil
}

func (s *server) answerRule(ctx context.Context, ref string, yes bool, reason string) (engine.ActCase, error) {
	id, err := handled(ctx, ref)
	if err != nil {
		return engine.ActCase{}, err
	}
	return s.Decider.Answer(ctx, who(ctx), id, yes, reason)
}

func (s *server) TakeRuleAction(ctx context.Context, req spec.TakeRuleActionRequestObject) (spec.TakeRuleActionResponseObject, error) {
	id, err := handled(ctx, req.RuleAction)
	if err != nil {
		return nil, err
	}
	c, err := s.Decider.Take(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.TakeRuleAction200JSONResponse{RuleActionJSONResponse: spec.RuleActionJSONResponse(showRuleAction(c))}, nil
}

func (s *server) CompleteRuleAction(ctx context.Context, req spec.CompleteRuleActionRequestObject) (spec.CompleteRuleActionResponseObject, error) {
	id, err := handled(ctx, req.RuleAction)
	if err != nil {
		return nil, err
	}
	c, err := s.Decider.Complete(ctx, who(ctx), id, word(req.Body.Reference), word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.CompleteRuleAction200JSONResponse{RuleActionJSONResponse: spec.RuleActionJSONResponse(showRuleAction(c))}, nil
}

func (s *server) ReleaseRuleAction(ctx context.Context, req spec.ReleaseRuleActionRequestObject) (spec.ReleaseRuleActionResponseObject, error) {
	id, err := handled(ctx, req.RuleAction)
	if err != nil {
		return nil, err
	}
	c, err := s.Decider.Release(ctx, who(ctx), id, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.ReleaseRuleAction200JSONResponse{RuleActionJSONResponse: spec.RuleActionJSONResponse(showRuleAction(c))}, nil
}

// handled is the action that an address names, for those who may answer and take up.
func handled(ctx context.Context, ref string) (uuid.UUID, error) {
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return uuid.Nil, err
	}
	return named(ident.RuleAction, ref)
}
