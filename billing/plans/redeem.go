// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
)

// AddCode makes a coupon code that customers can redeem.
func (m *Manager) AddCode(ctx context.Context, operator auth.Principal, c billing.CouponCode, reason string) (billing.CouponCode, error) {
	reason, err := allowed(operator, reason)
	if err != nil {
		return c, err
	}
	c.Code, c.Title, c.Reason = billing.TidyCode(c.Code), strings.TrimSpace(c.Title), reason
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		c.CreatedAt, c.CreatedBy, c.Redeemed = tx.Now(), operator.ID, 0
		if c.From.Before(tx.Now()) {
			c.From = tx.Now()
		}
		if err := c.Check(tx.Now()); err != nil {
			return err
		}
		added, err := tx.AddCode(ctx, c)
		if err != nil {
			return err
		}
		if !added {
			return fault.New(fault.Conflict, "plans.coupon_taken", "There is a coupon code %s already, or was. Give this one another code.", c.Code)
		}
		return tx.Note(ctx, operator.Did("coupon_code.created", c.Code, map[string]any{
			"code": c.Code, "percent": c.Percent, "amount": c.Amount, "months": c.Months, "plans": c.Plans, "maxRedemptions": c.Max, "maxPerTenant": c.MaxPerTenant,
			"validFrom": c.From, "validUntil": c.Until, "reason": reason}))
	})
	return c, err
}

// EndCode lets nobody redeem the code any more. Coupons that were redeemed stay.
func (m *Manager) EndCode(ctx context.Context, operator auth.Principal, code, reason string) (c billing.CouponCode, err error) {
	if reason, err = allowed(operator, reason); err != nil {
		return c, err
	}
	code = billing.TidyCode(code)
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		var ended bool
		if c, ended, err = tx.EndCode(ctx, code); err != nil {
			return err
		}
		if !ended {
			return fault.New(fault.NotFound, "plans.coupon_not_found", "There is no coupon code %s, or it was ended before.", code)
		}
		return tx.Note(ctx, operator.Did("coupon_code.ended", code, map[string]any{"code": code, "redeemed": c.Redeemed, "reason": reason}))
	})
	return c, err
}

// Codes are all coupon codes, the latest first.
func (m *Manager) Codes(ctx context.Context, operator auth.Principal) (list []billing.CouponCode, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return nil, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		list, err = tx.Codes(ctx)
		return err
	})
	return list, err
}

// Redeem takes a coupon by its code, from the present month's invoice on. The code's row stays locked until the commit that has the
// tenant's coupon, so that of two who want the last one, one gets it.
func (m *Manager) Redeem(ctx context.Context, who auth.Principal, code string) (out Present, err error) {
	if err := who.May(auth.EditSubscription); err != nil {
		return out, err
	}
	code = billing.TidyCode(code)
	err = m.inOperated(ctx, func(op OperatorTx) error {
		c, found, err := op.TakeCode(ctx, code)
		if err != nil {
			return err
		}
		if !found {
			return fault.New(fault.NotFound, "plans.coupon_unknown", "There is no coupon %q. Look at the code again.", code).
				At(fault.Field{Pointer: "/code", Code: "plans.coupon_unknown", Message: "There is no such coupon."})
		}
		tx, err := op.Enter(ctx, who.Tenant)
		if err != nil {
			return err
		}
		detail := map[string]any{"code": code, "title": c.Title, "months": c.Months}
		out, err = restateIn(ctx, tx, who, "coupon.redeemed", detail, func(tx Tx, p billing.Period, s *billing.Subscription, now bool) error {
			before, err := tx.Redemptions(ctx, code)
			if err != nil {
				return err
			}
			if !now { // terms that wait for the next period: it holds there, if it fits
				before--
				if len(c.Plans) > 0 && !slices.Contains(c.Plans, s.Plan.Name()) || c.Currency != "" && c.Currency != s.Plan.Card.Currency {
					return nil
				}
			} else if err := c.Redeemable(tx.Now(), s.Plan, before); err != nil {
				return err
			}
			coupon := c.Coupon(p, before)
			if slices.ContainsFunc(s.Coupons, func(d billing.Coupon) bool { return d.ID == coupon.ID }) {
				return fault.New(fault.Conflict, "plans.coupon_taken", "The tenant has a coupon %q already, or had it. Ask whoever gave you the code.", coupon.ID)
			}
			s.Coupons = append(s.Coupons, coupon)
			if now {
				return tx.AddRedemption(ctx, code, coupon.ID, who.ID)
			}
			return nil
		})
		return err
	})
	return out, err
}
