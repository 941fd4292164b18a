// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

var _ plans.Tx = (*Tx)(nil)

// Subscriptions are what the tenant agreed to, in the order in which they hold, also those that have not begun.
func (t *Tx) Subscriptions(ctx context.Context) ([]billing.Subscription, error) {
	rows, err := t.q.Subscriptions(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]billing.Subscription, len(rows))
	for i, r := range rows {
		s := billing.Subscription{ID: r.ID, From: r.FromAt.UTC(), CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy, Note: r.Note}
		if r.TrialUntil != nil {
			s.TrialUntil = r.TrialUntil.UTC()
		}
		for _, f := range r.AddOns {
			s.AddOns = append(s.AddOns, billing.Feature(f))
		}
		if err := json.Unmarshal(r.Plan, &s.Plan); err != nil {
			return nil, fmt.Errorf("reading the plan of subscription %s: %w", r.ID, err)
		}
		if err := json.Unmarshal(r.Coupons, &s.Coupons); err != nil {
			return nil, fmt.Errorf("reading the coupons of subscription %s: %w", r.ID, err)
		}
		out[i] = s
	}
	return out, nil
}

// SubscriptionNow is the one that holds at the commit's time.
func (t *Tx) SubscriptionNow(ctx context.Context) (billing.Subscription, error) {
	list, err := t.Subscriptions(ctx)
	return billing.SubscriptionAt(list, t.now), err
}

// AddSubscription writes an agreement.
func (t *Tx) AddSubscription(ctx context.Context, s billing.Subscription) error {
	plan, err := json.Marshal(s.Plan)
	if err != nil {
		return err
	}
	coupons, err := json.Marshal(append([]billing.Coupon{}, s.Coupons...))
	if err != nil {
		return err
	}
	p := db.AddSubscriptionParams{
		ID: s.ID, PlanName: s.Plan.Name(), PlanVersion: int32(s.Plan.Card.Version), Plan: plan, AddOns: texts(s.AddOns), Coupons: coupons,
		FromAt: s.From, CreatedAt: s.CreatedAt, CreatedBy: s.CreatedBy, Note: s.Note,
	}
	if !s.TrialUntil.IsZero() {
		p.TrialUntil = &s.TrialUntil
	}
	return unavailable(t.q.AddSubscription(ctx, p))
}

// WithdrawSubscription takes an agreement back that has not begun; it says whether there was one.
func (t *Tx) WithdrawSubscription(ctx context.Context, id uuid.UUID) (bool, error) {
	n, err := t.q.WithdrawSubscription(ctx, db.WithdrawSubscriptionParams{ID: id, At: t.now})
	return n > 0, unavailable(err)
}

// LockSubscriptions lets changes of one tenant's subscription go one after the other.
func (t *Tx) LockSubscriptions(ctx context.Context) error {
	return unavailable(t.q.LockSubscriptions(ctx))
}

// CustomPlans are the plans made for the tenant: all versions, the latest of each first.
func (t *Tx) CustomPlans(ctx context.Context) ([]billing.Plan, error) {
	rows, err := t.q.CustomPlans(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]billing.Plan, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(r.Plan, &out[i]); err != nil {
			return nil, fmt.Errorf("reading a custom plan: %w", err)
		}
		out[i].From = r.FromAt.UTC()
	}
	return out, nil
}

// AddCustomPlan writes a version of a plan made for the tenant.
func (t *Tx) AddCustomPlan(ctx context.Context, p billing.Plan, by string) error {
	plan, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return unavailable(t.q.AddCustomPlan(ctx, db.AddCustomPlanParams{Name: p.Name(), Version: int32(p.Card.Version), Plan: plan, FromAt: p.From, CreatedAt: t.now, CreatedBy: by}))
}

// IntegrationsBeside is how many systems the tenant's other services have.
func (t *Tx) IntegrationsBeside(ctx context.Context, id service.ID) (int64, error) {
	n, err := t.q.IntegrationsBeside(ctx, uuid.UUID(id))
	return n, unavailable(err)
}

// LiveDocuments are the documents of services that are not archived or drafts, by the service's name.
func (t *Tx) LiveDocuments(ctx context.Context) (map[string]*service.Document, error) {
	rows, err := t.q.LiveDocuments(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := map[string]*service.Document{}
	for _, r := range rows {
		var d service.Document
		if err := json.Unmarshal(r.Document, &d); err != nil {
			return nil, fmt.Errorf("reading the document of %s: %w", r.Name, err)
		}
		out[r.Name] = &d
	}
	return out, nil
}
