// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// What operators do for a tenant: plans, coupons, trials, credit. Each says why, and the reason is kept.

func allowed(operator auth.Principal, reason string) (string, error) {
	if err := operator.May(auth.Operate); err != nil {
		return "", err
	}
	reason = strings.TrimSpace(reason)
	if n := len([]rune(reason)); n < 3 || n > 1000 {
		return "", fault.New(fault.Invalid, "plans.reason_missing", "Say why, in 3 to 1,000 characters: the audit log of the tenant keeps it.").
			At(fault.Field{Pointer: "/reason", Code: "plans.reason_missing", Message: "A reason is needed.", Remedy: "3 to 1,000 characters."})
	}
	return reason, nil
}

// Publish makes a plan for one tenant, or a new version of one. It is for operators: who writes it is not a member.
func (m *Manager) Publish(ctx context.Context, operator auth.Principal, p billing.Plan, reason string) (out billing.Plan, err error) {
	reason, err = allowed(operator, reason)
	if err != nil {
		return out, err
	}
	p.Model = billing.CustomModel
	err = m.inTx(ctx, operator.Tenant, func(tx Tx) error {
		if err := tx.LockSubscriptions(ctx); err != nil {
			return err
		}
		published, err := tx.PublishedPlans(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(append(billing.Catalog(), published...), func(q billing.Plan) bool { return q.Name() == p.Name() }) {
			return fault.New(fault.Invalid, "plans.name_taken", "The name %s belongs to a plan of the price list; give the custom plan another.", p.Name())
		}
		custom, err := tx.CustomPlans(ctx)
		if err != nil {
			return err
		}
		p.Card.Version = 1
		for _, q := range custom {
			if q.Name() == p.Name() {
				p.Card.Version = max(p.Card.Version, q.Card.Version+1)
			}
		}
		if p.From.Before(tx.Now()) {
			p.From = tx.Now()
		}
		if err := p.Check(); err != nil {
			return fault.Wrap(err, fault.Invalid, "plans.plan_malformed", "The plan cannot be used: %v.", err)
		}
		if err := tx.AddCustomPlan(ctx, p, operator.ID); err != nil {
			return err
		}
		out = p
		return tx.Audit(ctx, operator.Did("plan.published", p.Name(), map[string]any{"plan": p.Name(), "version": p.Card.Version, "from": p.From, "reason": reason}))
	})
	return out, err
}

// Give agrees to a plan on behalf of the tenant, by the same rules as if one of its members had: what was agreed for a time that has
// begun stays as it is.
func (m *Manager) Give(ctx context.Context, operator auth.Principal, w Wish, reason string) (Present, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return Present{}, err
	}
	w.Note = reason
	return m.subscribe(ctx, operator, w)
}

// CustomPlans are the plans that were made for the tenant: all versions, the latest of each first.
func (m *Manager) CustomPlans(ctx context.Context, who auth.Principal) (list []billing.Plan, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.CustomPlans(ctx)
		return err
	})
	return list, err
}

// restate makes the present terms anew, and those that wait, each changed by fn. Agreements are never changed, so that what a past
// month costs stays known.
func (m *Manager) restate(ctx context.Context, operator auth.Principal, action string, detail map[string]any, fn func(tx Tx, p billing.Period, s *billing.Subscription, now bool) error) (out Present, err error) {
	err = m.inTx(ctx, operator.Tenant, func(tx Tx) error {
		if err := tx.LockSubscriptions(ctx); err != nil {
			return err
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		p, err := periodNow(ctx, tx)
		if err != nil {
			return err
		}
		held := billing.SubscriptionAt(list, tx.Now())
		held.From = tx.Now()
		terms := []billing.Subscription{held}
		for _, s := range list {
			if s.From.After(tx.Now()) {
				if _, err := tx.WithdrawSubscription(ctx, s.ID); err != nil {
					return err
				}
				terms = append(terms, s)
			}
		}
		for i, s := range terms {
			s.ID, s.CreatedAt, s.CreatedBy, s.Coupons = uuid.Must(uuid.NewV7()), tx.Now(), operator.ID, slices.Clone(s.Coupons)
			if err := fn(tx, p, &s, i == 0); err != nil {
				return err
			}
			if err := tx.AddSubscription(ctx, s); err != nil {
				return err
			}
		}
		if err := tx.Audit(ctx, operator.Did(action, held.Plan.Name(), detail)); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "subscription.changed", uuid.Nil, map[string]any{"plan": held.Plan.Name(), "version": held.Plan.Card.Version, "addOns": held.AddOns, "from": tx.Now()}); err != nil {
			return err
		}
		out, err = present(ctx, tx)
		return err
	})
	return out, err
}

// GrantCoupon gives a coupon from the present month on, for so many months; 0 is for ever.
func (m *Manager) GrantCoupon(ctx context.Context, operator auth.Principal, c billing.Coupon, months int, reason string) (Present, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return Present{}, err
	}
	if months < 0 || months > 120 {
		return Present{}, fault.New(fault.Invalid, "plans.coupon_malformed", "A coupon is for 1 to 120 months, or 0 for ever.")
	}
	c.Reason = reason
	detail := map[string]any{"coupon": c.ID, "title": c.Title, "percent": c.Percent, "amount": c.Amount, "months": months, "reason": reason}
	return m.restate(ctx, operator, "coupon.granted", detail, func(_ Tx, p billing.Period, s *billing.Subscription, _ bool) error {
		c.From, c.To = p.Start(), time.Time{}
		if months > 0 {
			c.To = p.Month.Plus(months).In(p.Zone).Start()
		}
		if err := c.Check(); err != nil || strings.TrimSpace(c.Title) == "" {
			return fault.Wrap(err, fault.Invalid, "plans.coupon_malformed", "The coupon cannot be used. It has an id, a title, and either a percentage up to 100 or an amount.")
		}
		if slices.ContainsFunc(s.Coupons, func(d billing.Coupon) bool { return d.ID == c.ID }) {
			return fault.New(fault.Conflict, "plans.coupon_taken", "The tenant has a coupon %q already, or had it. Give this one another id.", c.ID)
		}
		s.Coupons = append(s.Coupons, c)
		return nil
	})
}

// EndCoupon ends a coupon with the month before the present one: the present month is charged without it.
func (m *Manager) EndCoupon(ctx context.Context, operator auth.Principal, id, reason string) (Present, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return Present{}, err
	}
	return m.restate(ctx, operator, "coupon.ended", map[string]any{"coupon": id, "reason": reason}, func(_ Tx, p billing.Period, s *billing.Subscription, _ bool) error {
		i := slices.IndexFunc(s.Coupons, func(c billing.Coupon) bool { return c.ID == id && c.Holds(p.Start()) })
		switch {
		case i < 0:
			return fault.New(fault.NotFound, "plans.coupon_not_found", "The tenant has no coupon %q that holds now.", id)
		case s.Coupons[i].From.Before(p.Start()):
			s.Coupons[i].To = p.Start()
		default: // given this month: it was never for anything
			s.Coupons = slices.Delete(s.Coupons, i, i+1)
		}
		return nil
	})
}

// GrantTrial makes everything free until a time, under the plan that holds.
func (m *Manager) GrantTrial(ctx context.Context, operator auth.Principal, until time.Time, reason string) (Present, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return Present{}, err
	}
	return m.restate(ctx, operator, "trial.granted", map[string]any{"until": until, "reason": reason}, func(tx Tx, _ billing.Period, s *billing.Subscription, now bool) error {
		if !until.After(tx.Now()) || until.After(tx.Now().AddDate(2, 0, 0)) {
			return fault.New(fault.Invalid, "plans.trial_malformed", "A trial ends within the next two years.").At(fault.Field{Pointer: "/until", Code: "plans.trial_malformed", Message: "Not within the next two years."})
		}
		if now || until.After(s.From) {
			s.TrialUntil = until
		}
		return nil
	})
}

// GrantCredit gives the tenant credit, which pays its invoices before anybody is asked for payment.
func (m *Manager) GrantCredit(ctx context.Context, operator auth.Principal, c billing.Credit, reason string) (billing.Credit, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return c, err
	}
	err = m.inTx(ctx, operator.Tenant, func(tx Tx) error {
		c.ID, c.Reason, c.GrantedAt, c.GrantedBy, c.Used = uuid.Must(uuid.NewV7()), strings.Join(strings.Fields(reason), " "), tx.Now(), operator.Name, billing.Zero(c.Amount.Currency)
		if err := c.Check(tx.Now()); err != nil {
			return err
		}
		if err := tx.AddCredit(ctx, c); err != nil {
			return err
		}
		id := ident.Format(ident.Credit, c.ID)
		detail := map[string]any{"credit": id, "amount": c.Amount.Fixed(), "currency": string(c.Amount.Currency), "reason": c.Reason}
		if !c.ExpiresAt.IsZero() {
			detail["expires"] = c.ExpiresAt
		}
		if err := tx.Emit(ctx, "credit.granted", uuid.Nil, detail); err != nil {
			return err
		}
		return tx.Audit(ctx, operator.Did("credit.granted", id, detail))
	})
	return c, err
}

// WithdrawCredit takes back what a credit has not paid yet.
func (m *Manager) WithdrawCredit(ctx context.Context, operator auth.Principal, id uuid.UUID, reason string) error {
	reason, err := allowed(operator, reason)
	if err != nil {
		return err
	}
	return m.inTx(ctx, operator.Tenant, func(tx Tx) error {
		there, err := tx.WithdrawCredit(ctx, id, reason)
		if err != nil {
			return err
		}
		public := ident.Format(ident.Credit, id)
		if !there {
			return fault.New(fault.NotFound, "plans.credit_not_found", "There is no such credit, or it was withdrawn before.")
		}
		detail := map[string]any{"credit": public, "reason": reason}
		if err := tx.Emit(ctx, "credit.withdrawn", uuid.Nil, detail); err != nil {
			return err
		}
		return tx.Audit(ctx, operator.Did("credit.withdrawn", public, detail))
	})
}

// Credits are what the tenant was granted, the latest first.
func (m *Manager) Credits(ctx context.Context, who auth.Principal) (list []billing.Credit, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.Credits(ctx)
		return err
	})
	return list, err
}
