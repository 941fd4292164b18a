// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
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

// UsageEvents is the ledger of a span of time, a part at a time.
func (t *Tx) UsageEvents(ctx context.Context, m billing.Meter, from, to, afterAt time.Time, afterKey string, limit int) ([]plans.Counted, error) {
	rows, err := t.q.UsageEvents(ctx, db.UsageEventsParams{Meter: string(m), PeriodStart: from, PeriodEnd: to, AfterAt: afterAt, AfterKey: afterKey, Page: int32(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]plans.Counted, len(rows))
	for i, r := range rows {
		out[i] = plans.Counted{ServiceName: r.ServiceName, UsageEvent: billing.UsageEvent{
			Key: r.Key, Meter: billing.Meter(r.Meter), At: r.At.UTC(), Service: r.ServiceID, System: record.System(r.System), Object: record.Object(r.Object), DataClass: r.DataClass,
			Quantity: r.Quantity, Realtime: r.Realtime, Complex: r.Complex, Premium: r.Premium,
		}}
	}
	return out, nil
}

// Budgets are the tenant's, by name, with what was reached in the month.
func (t *Tx) Budgets(ctx context.Context, m billing.Month) ([]billing.Budget, error) {
	rows, err := t.q.Budgets(ctx, m.String())
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]billing.Budget, len(rows))
	for i, r := range rows {
		out[i] = billing.Budget{ID: r.ID, Name: r.Name, Amount: r.Amount, Pause: r.Pause, CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy, Version: r.Version, Reached: int(r.Reached)}
	}
	return out, nil
}

// AddBudget says whether the name was free.
func (t *Tx) AddBudget(ctx context.Context, b billing.Budget) (bool, error) {
	n, err := t.q.AddBudget(ctx, db.AddBudgetParams{ID: b.ID, Name: b.Name, Amount: b.Amount, Pause: b.Pause, CreatedAt: b.CreatedAt, CreatedBy: b.CreatedBy})
	return n > 0, unavailable(err)
}

// SaveBudget says whether the version was still there.
func (t *Tx) SaveBudget(ctx context.Context, b billing.Budget) (bool, error) {
	n, err := t.q.SaveBudget(ctx, db.SaveBudgetParams{ID: b.ID, Name: b.Name, Amount: b.Amount, Pause: b.Pause, Version: b.Version})
	return n > 0, unavailable(err)
}

// DropBudget says whether the version was still there.
func (t *Tx) DropBudget(ctx context.Context, b billing.Budget) (bool, error) {
	n, err := t.q.DropBudget(ctx, db.DropBudgetParams{ID: b.ID, Version: b.Version})
	return n > 0, unavailable(err)
}

// AddBudgetNotice says whether it had not been given yet.
func (t *Tx) AddBudgetNotice(ctx context.Context, budget uuid.UUID, m billing.Month, percent int, spent decimal.Decimal) (bool, error) {
	n, err := t.q.AddBudgetNotice(ctx, db.AddBudgetNoticeParams{BudgetID: budget, Period: m.String(), Percent: int32(percent), At: t.now, Spent: spent})
	return n > 0, unavailable(err)
}

// TenantsWithBudgets are those to be looked after. Named operator statement: budgets are watched for all tenants.
func (o *Operator) TenantsWithBudgets(ctx context.Context) ([]tenant.ID, error) {
	rows, err := db.New(o.d.operator).TenantsWithBudgets(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]tenant.ID, len(rows))
	for i, id := range rows {
		out[i] = tenant.ID(id)
	}
	return out, nil
}

// UsedSince says whether anything was counted since about a time.
func (t *Tx) UsedSince(ctx context.Context, since time.Time) (bool, error) {
	used, err := t.q.UsedSince(ctx, since)
	return used, unavailable(err)
}

// AddUsageNotice says whether people had not been told yet.
func (t *Tx) AddUsageNotice(ctx context.Context, m billing.Month, about string, percent int) (bool, error) {
	n, err := t.q.AddUsageNotice(ctx, db.AddUsageNoticeParams{Period: m.String(), About: about, Percent: int32(percent), At: t.now})
	return n > 0, unavailable(err)
}

// UsageNoticed says whether people were told in the month.
func (t *Tx) UsageNoticed(ctx context.Context, m billing.Month, about string) (bool, error) {
	told, err := t.q.UsageNoticed(ctx, db.UsageNoticedParams{Period: m.String(), About: about})
	return told, unavailable(err)
}
