// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// The operations of those who run the installation. Each is refused to everybody else before anything is looked at, so that nobody
// learns from the answer which tenants there are.

// operating is whoever asks, at work for the tenant that the address names.
func (s *server) operating(ctx context.Context, id string) (auth.Principal, plans.Customer, error) {
	if err := who(ctx).May(auth.Operate); err != nil {
		return auth.Principal{}, plans.Customer{}, err
	}
	t, err := named(ident.Tenant, id)
	if err != nil {
		return auth.Principal{}, plans.Customer{}, err
	}
	c, err := s.Plans.Customer(ctx, who(ctx), tenant.ID(t))
	if err != nil {
		return auth.Principal{}, c, err
	}
	p, err := who(ctx).Operating(c.ID)
	return p, c, err
}

func showCustomer(c plans.Customer) spec.OperatorTenant {
	return spec.OperatorTenant{
		ID: public(ident.Tenant, c.ID), Name: c.Name, Slug: c.Slug, State: string(c.State), Demo: c.Demo, CreatedAt: c.CreatedAt.UTC(),
		Plan: c.Plan, PlanTitle: c.PlanTitle, PlanVersion: c.PlanVersion, AgreedFrom: someTime(c.From), TrialUntil: someTime(c.TrialUntil),
		Next: someText(c.Next), NextFrom: someTime(c.NextFrom), Credit: shown(c.Credit, showMoney), Open: shown(c.Open, showMoney),
	}
}

func (s *server) ListOperatorTenants(ctx context.Context, req spec.ListOperatorTenantsRequestObject) (spec.ListOperatorTenantsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := plans.CustomerQuery{Search: word(req.Params.Search), Limit: limit + 1}
	var after uuid.UUID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	q.After = tenant.ID(after)
	list, err := s.Plans.Customers(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showCustomer, func(c plans.Customer) any { return uuid.UUID(c.ID) })
	return spec.ListOperatorTenants200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetOperatorTenant(ctx context.Context, req spec.GetOperatorTenantRequestObject) (spec.GetOperatorTenantResponseObject, error) {
	p, c, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	present, err := s.Plans.Present(ctx, p)
	if err != nil {
		return nil, err
	}
	credits, err := s.Plans.Credits(ctx, p)
	if err != nil {
		return nil, err
	}
	own, err := s.Plans.CustomPlans(ctx, p)
	if err != nil {
		return nil, err
	}
	out := spec.GetOperatorTenant200JSONResponse{Tenant: showCustomer(c), Subscription: showSubscription(present), Credits: shown(credits, showCredit)}
	for _, v := range own {
		out.Plans = append(out.Plans, showVersion(plans.PlanVersion{Plan: v, Present: offered(present.Plans, v)}))
	}
	if out.Plans == nil {
		out.Plans = []spec.OperatorPlanVersion{}
	}
	return out, nil
}

// offered says whether the version is among those that can be chosen.
func offered(list []billing.Plan, p billing.Plan) bool {
	for _, q := range list {
		if q.Name() == p.Name() && q.Card.Version == p.Card.Version {
			return true
		}
	}
	return false
}

func showVersion(v plans.PlanVersion) spec.OperatorPlanVersion {
	return spec.OperatorPlanVersion{Plan: showPlan(v.Plan), From: v.From.UTC(), Present: v.Present, BuiltIn: v.BuiltIn, Document: planDocument(v.Plan)}
}

// planDocument is the form in which a plan is written. Number and time are given when it is published.
func planDocument(p billing.Plan) spec.OperatorPlanDocument {
	p.From, p.Card.Version = time.Time{}, 0
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and numbers
	}
	d := spec.OperatorPlanDocument{}
	if err := json.Unmarshal(b, &d); err != nil {
		panic(err)
	}
	if card, ok := d["card"].(map[string]any); ok {
		delete(card, "version")
	}
	return d
}

// plan reads what an operator wrote.
func plan(d spec.OperatorPlanDocument, from *time.Time) (p billing.Plan, err error) {
	b, err := json.Marshal(d)
	if err != nil {
		return p, err
	}
	if p, err = plans.ReadPlan(bytes.NewReader(b)); err != nil {
		return p, err
	}
	if from != nil {
		p.From = *from
	}
	return p, nil
}

func (s *server) PreviewOperatorSubscription(ctx context.Context, req spec.PreviewOperatorSubscriptionRequestObject) (spec.PreviewOperatorSubscriptionResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	out, err := s.Plans.Preview(ctx, p, wish(*req.Body))
	if err != nil {
		return nil, err
	}
	return spec.PreviewOperatorSubscription200JSONResponse(showPreview(out)), nil
}

func (s *server) subscriptionAnswer(p plans.Present, err error) (spec.OperatorSubscriptionJSONResponse, error) {
	if err != nil {
		return spec.OperatorSubscriptionJSONResponse{}, err
	}
	return spec.OperatorSubscriptionJSONResponse(showSubscription(p)), nil
}

func (s *server) GiveOperatorPlan(ctx context.Context, req spec.GiveOperatorPlanRequestObject) (spec.GiveOperatorPlanResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	b := *req.Body
	w := plans.Wish{Plan: b.Plan, Later: b.When != nil && *b.When == spec.OperatorPlanGrantWhenNextPeriod}
	if b.AddOns != nil {
		w.AddOns = *b.AddOns
	}
	out, err := s.subscriptionAnswer(s.Plans.Give(ctx, p, w, b.Reason))
	return spec.GiveOperatorPlan200JSONResponse{OperatorSubscriptionJSONResponse: out}, err
}

func (s *server) GrantOperatorTrial(ctx context.Context, req spec.GrantOperatorTrialRequestObject) (spec.GrantOperatorTrialResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	out, err := s.subscriptionAnswer(s.Plans.GrantTrial(ctx, p, req.Body.Until, req.Body.Reason))
	return spec.GrantOperatorTrial200JSONResponse{OperatorSubscriptionJSONResponse: out}, err
}

func (s *server) GrantOperatorCoupon(ctx context.Context, req spec.GrantOperatorCouponRequestObject) (spec.GrantOperatorCouponResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	b := *req.Body
	c := billing.Coupon{ID: b.ID, Title: b.Title}
	if c.Percent, err = decimalOf(b.Percent, "/percent"); err != nil {
		return nil, err
	}
	if c.Amount, err = decimalOf(b.Amount, "/amount"); err != nil {
		return nil, err
	}
	out, err := s.subscriptionAnswer(s.Plans.GrantCoupon(ctx, p, c, b.Months, b.Reason))
	return spec.GrantOperatorCoupon200JSONResponse{OperatorSubscriptionJSONResponse: out}, err
}

// decimalOf reads what openapi.yaml's pattern let through; absent is zero.
func decimalOf(text *string, pointer string) (decimal.Decimal, error) {
	if text == nil {
		return decimal.Zero, nil
	}
	d, err := decimal.NewFromString(*text)
	if err != nil {
		return d, fault.Wrap(err, fault.Invalid, "billing.amount_invalid", "%q is not a number.", *text).At(fault.Field{Pointer: pointer, Code: "billing.amount_invalid", Message: "Not a number."})
	}
	return d, nil
}

func (s *server) EndOperatorCoupon(ctx context.Context, req spec.EndOperatorCouponRequestObject) (spec.EndOperatorCouponResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	out, err := s.subscriptionAnswer(s.Plans.EndCoupon(ctx, p, req.Coupon, req.Body.Reason))
	return spec.EndOperatorCoupon200JSONResponse{OperatorSubscriptionJSONResponse: out}, err
}

func (s *server) GrantOperatorCredit(ctx context.Context, req spec.GrantOperatorCreditRequestObject) (spec.GrantOperatorCreditResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	sum, err := amount(req.Body.Amount)
	if err != nil {
		return nil, err
	}
	c := billing.Credit{Amount: billing.Money{Amount: sum, Currency: billing.Currency(req.Body.Currency)}}
	if at, err := req.Body.ExpiresAt.Get(); err == nil {
		c.ExpiresAt = at
	}
	if c, err = s.Plans.GrantCredit(ctx, p, c, req.Body.Reason); err != nil {
		return nil, err
	}
	return spec.GrantOperatorCredit200JSONResponse(showCredit(c)), nil
}

func (s *server) WithdrawOperatorCredit(ctx context.Context, req spec.WithdrawOperatorCreditRequestObject) (spec.WithdrawOperatorCreditResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	id, err := named(ident.Credit, req.Credit)
	if err != nil {
		return nil, err
	}
	if err := s.Plans.WithdrawCredit(ctx, p, id, req.Body.Reason); err != nil {
		return nil, err
	}
	return spec.WithdrawOperatorCredit204Response{}, nil
}

func (s *server) PublishOperatorCustomPlan(ctx context.Context, req spec.PublishOperatorCustomPlanRequestObject) (spec.PublishOperatorCustomPlanResponseObject, error) {
	p, _, err := s.operating(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	v, err := plan(req.Body.Plan, req.Body.From)
	if err != nil {
		return nil, err
	}
	if v, err = s.Plans.Publish(ctx, p, v, req.Body.Reason); err != nil {
		return nil, err
	}
	return spec.PublishOperatorCustomPlan200JSONResponse{OperatorPlanVersionJSONResponse: spec.OperatorPlanVersionJSONResponse(showVersion(plans.PlanVersion{Plan: v}))}, nil
}

func (s *server) ListOperatorPlans(ctx context.Context, _ spec.ListOperatorPlansRequestObject) (spec.ListOperatorPlansResponseObject, error) {
	list, err := s.Plans.PlanVersions(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.ListOperatorPlans200JSONResponse{Data: shown(list, showVersion)}, nil
}

func (s *server) PublishOperatorPlan(ctx context.Context, req spec.PublishOperatorPlanRequestObject) (spec.PublishOperatorPlanResponseObject, error) {
	if err := who(ctx).May(auth.Operate); err != nil {
		return nil, err
	}
	v, err := plan(req.Body.Plan, req.Body.From)
	if err != nil {
		return nil, err
	}
	if v, err = s.Plans.PublishForAll(ctx, who(ctx), v, req.Body.Reason); err != nil {
		return nil, err
	}
	return spec.PublishOperatorPlan200JSONResponse{OperatorPlanVersionJSONResponse: spec.OperatorPlanVersionJSONResponse(showVersion(plans.PlanVersion{Plan: v}))}, nil
}

func (s *server) PreviewOperatorPlan(ctx context.Context, req spec.PreviewOperatorPlanRequestObject) (spec.PreviewOperatorPlanResponseObject, error) {
	if err := who(ctx).May(auth.Operate); err != nil {
		return nil, err
	}
	v, err := plan(req.Body.Plan, req.Body.From)
	if err != nil {
		return nil, err
	}
	var usage plans.Assumed
	if req.Body.Usage != nil {
		usage = assumed(*req.Body.Usage)
	}
	var added []string
	if req.Body.AddOns != nil {
		added = *req.Body.AddOns
	}
	p, err := s.Plans.PreviewPlan(ctx, who(ctx), v, added, usage)
	if err != nil {
		return nil, err
	}
	out := spec.PreviewOperatorPlan200JSONResponse{Plan: showPlan(p.Plan), From: p.Plan.From.UTC(), Then: showAnswer(p.Then), Now: nullable.NewNullNullable[spec.PriceAnswer]()}
	if p.Now != nil {
		out.Now.Set(showAnswer(*p.Now))
	}
	return out, nil
}

func (s *server) ListInstallationLog(ctx context.Context, req spec.ListInstallationLogRequestObject) (spec.ListInstallationLogResponseObject, error) {
	limit, before := limitOf(req.Params.Limit), int64(0)
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &before); err != nil {
		return nil, err
	}
	list, err := s.Plans.Notes(ctx, who(ctx), before, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showEntry, func(e audit.Entry) any { return e.Seq })
	return spec.ListInstallationLog200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}
