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

func showRuleAction(c engine.ActCase) spec.RuleAction {
	other := nullable.NewNullNullable[string]()
	if !c.Other.IsZero() {
		other.Set(public(ident.Entity, c.Other))
	}
	return spec.RuleAction{
		ID: public(ident.RuleAction, c.ID), Service: c.Service.Public(), ServiceName: c.ServiceName, Record: public(ident.Entity, c.Entity), RecordTitle: c.Title,
		Collection: c.Collection, Rule: c.Rule, Action: c.Action, System: string(c.System), State: spec.RuleActionState(c.State), Fields: values(c.Fields),
		Options: values(record.Fields(c.Options)), Other: other, At: c.At.UTC(), DecidedAt: maybeTime(c.DecidedAt), DecidedBy: c.DecidedBy, Reason: c.Reason, Version: c.Version,
	}
}

func (s *server) ListRuleActions(ctx context.Context, req spec.ListRuleActionsRequestObject) (spec.ListRuleActionsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.ActQuery{State: engine.ActState(word(req.Params.FilterState)), Limit: limit + 1}
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
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return engine.ActCase{}, err
	}
	id, err := named(ident.RuleAction, ref)
	if err != nil {
		return engine.ActCase{}, err
	}
	return s.Decider.Answer(ctx, who(ctx), id, yes, reason)
}
