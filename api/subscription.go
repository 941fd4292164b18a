// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/ident"
)

func (s *server) ListPlans(ctx context.Context, _ spec.ListPlansRequestObject) (spec.ListPlansResponseObject, error) {
	p, err := s.Plans.Present(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.ListPlans200JSONResponse{Plans: shown(p.Plans, showPlan)}, nil
}

func (s *server) GetSubscription(ctx context.Context, _ spec.GetSubscriptionRequestObject) (spec.GetSubscriptionResponseObject, error) {
	p, err := s.Plans.Present(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.GetSubscription200JSONResponse(showSubscription(p)), nil
}

func (s *server) PreviewSubscription(ctx context.Context, req spec.PreviewSubscriptionRequestObject) (spec.PreviewSubscriptionResponseObject, error) {
	p, err := s.Plans.Preview(ctx, who(ctx), wish(*req.Body))
	if err != nil {
		return nil, err
	}
	return spec.PreviewSubscription200JSONResponse(showPreview(p)), nil
}

func showPreview(p plans.Preview) spec.SubscriptionPreview {
	return spec.SubscriptionPreview{
		From: p.Subscription.From.UTC(), Currency: string(p.Month.Total.Currency), MonthNow: p.Now.Total.Fixed(), MonthThen: p.Month.Total.Fixed(),
		FullMonth: p.Full.Total.Fixed(), Lines: shown(p.Month.Lines, showPricedLine),
	}
}

func (s *server) ChangeSubscription(ctx context.Context, req spec.ChangeSubscriptionRequestObject) (spec.ChangeSubscriptionResponseObject, error) {
	p, err := s.Plans.Subscribe(ctx, who(ctx), wish(*req.Body))
	if err != nil {
		return nil, err
	}
	return spec.ChangeSubscription200JSONResponse(showSubscription(p)), nil
}

func (s *server) WithdrawSubscription(ctx context.Context, _ spec.WithdrawSubscriptionRequestObject) (spec.WithdrawSubscriptionResponseObject, error) {
	p, err := s.Plans.Withdraw(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.WithdrawSubscription200JSONResponse(showSubscription(p)), nil
}

func wish(b spec.SubscriptionChange) plans.Wish {
	w := plans.Wish{Plan: b.Plan, Later: b.When != nil && *b.When == spec.SubscriptionChangeWhenNextPeriod}
	if b.AddOns != nil {
		w.AddOns = *b.AddOns
	}
	if b.Note != nil {
		w.Note = *b.Note
	}
	return w
}

func showFeature(f billing.Feature) string { return string(f) }

func showSubscription(p plans.Present) spec.Subscription {
	out := spec.Subscription{
		Plan: showPlan(p.Held.Plan), AddOns: shown(p.Held.AddOns, showFeature), Default: p.Held.ID == uuid.Nil, From: since(p.Held.From),
		Trial: p.Trial, TrialUntil: since(p.Held.TrialUntil), Period: showPeriod(p.Period),
		Coupons: shown(p.Held.Coupons, func(c billing.Coupon) string { return c.Title }),
		Lacking: shown(p.Lacking, func(l plans.Lack) spec.LackingFeature {
			return spec.LackingFeature{Service: l.Service, Feature: string(l.Feature), Why: l.Why}
		}),
	}
	if n := p.Scheduled; n != nil {
		out.Scheduled = &spec.ScheduledSubscription{Plan: n.Plan.Name(), Title: n.Plan.Card.Title, AddOns: shown(n.AddOns, showFeature), From: n.From.UTC()}
	}
	return out
}

// since is a time that may be missing.
func since(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (s *server) ListCredits(ctx context.Context, _ spec.ListCreditsRequestObject) (spec.ListCreditsResponseObject, error) {
	list, err := s.Plans.Credits(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.ListCredits200JSONResponse{Data: shown(list, showCredit)}, nil
}

func showCredit(c billing.Credit) spec.Credit {
	return spec.Credit{
		ID: public(ident.Credit, c.ID), Amount: c.Amount.Fixed(), Left: c.Left().Fixed(), Currency: string(c.Amount.Currency), Reason: c.Reason, GrantedAt: c.GrantedAt.UTC(),
		ExpiresAt: someTime(c.ExpiresAt), WithdrawnAt: someTime(c.WithdrawnAt),
	}
}
