// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
)

func (s *server) GetPricing(ctx context.Context, _ spec.GetPricingRequestObject) (spec.GetPricingResponseObject, error) {
	list, err := s.Plans.PriceList(ctx)
	if err != nil {
		return nil, err
	}
	return spec.GetPricing200JSONResponse{Plans: shown(list, showPlan)}, nil
}

func (s *server) CalculatePrice(ctx context.Context, req spec.CalculatePriceRequestObject) (spec.CalculatePriceResponseObject, error) {
	a, err := s.Plans.Calculate(ctx, question(*req.Body))
	if err != nil {
		return nil, err
	}
	return spec.CalculatePrice200JSONResponse(showAnswer(a)), nil
}

func showAnswer(a plans.Answer) spec.PriceAnswer {
	return spec.PriceAnswer{
		Model: string(a.Plan.Model), Plan: a.Plan.Name(), PlanTitle: a.Plan.Card.Title, Version: a.Plan.Card.Version,
		AddOns: shown(a.AddOns, func(f billing.Feature) string { return string(f) }),
		Total:  a.Total.Fixed(), Currency: string(a.Total.Currency),
		Lines: shown(a.Lines, showPricedLine), Notes: texts(a.Notes),
	}
}

func question(b spec.PriceQuestion) plans.Question {
	q := plans.Question{Model: billing.Model(b.Model)}
	if b.Plan != nil {
		q.Plan = *b.Plan
	}
	if b.AddOns != nil {
		q.AddOns = *b.AddOns
	}
	if b.Usage != nil {
		q.Usage = assumed(*b.Usage)
	}
	return q
}

func assumed(u spec.AssumedUsage) plans.Assumed {
	n := func(c *spec.Count) int64 {
		if c == nil {
			return 0
		}
		return *c
	}
	out := plans.Assumed{Syncs: n(u.Syncs), RealtimeSyncs: n(u.RealtimeSyncs), ComplexSyncs: n(u.ComplexSyncs), Enrichments: n(u.Enrichments)}
	if r := u.Records; r != nil {
		out.Contacts, out.Products, out.Transactions = n(r.Contacts), n(r.Products), n(r.Transactions)
	}
	if i := u.Integrations; i != nil {
		out.Standard, out.Premium = n(i.Standard), n(i.Premium)
	}
	return out
}

func showPricedLine(l billing.Line) spec.PricedLine {
	return spec.PricedLine{
		Position: l.Position, Price: l.Price, Title: l.Title, Kind: spec.LineKind(l.Kind), Meter: spec.Meter(l.Meter), Unit: l.Meter.Unit(l.Quantity),
		Quantity: l.Quantity, Amount: l.Amount.Fixed(), Charged: l.Charged, Review: optional(l.Review), Explanation: shown(l.Explanation, showStep),
	}
}

func showStep(step billing.Step) spec.ExplanationStep {
	s := spec.ExplanationStep{Name: spec.ExplanationStepName(step.Name), Text: step.Text, Quantity: step.Quantity, Amount: step.Amount.String()}
	s.Rate = number(step.Rate)
	return s
}

// number shows a decimal; nil for 0.
func number(d decimal.Decimal) *string {
	if d.IsZero() {
		return nil
	}
	text := d.String()
	return &text
}

func count(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

func showPlan(p billing.Plan) spec.Plan {
	return spec.Plan{
		Name: p.Name(), Version: p.Card.Version, Model: string(p.Model), Tier: optional(p.Tier), Title: p.Card.Title, Text: p.Text, Currency: string(p.Card.Currency),
		Prices: shown(p.Card.Prices, func(q billing.Price) spec.PlanPrice {
			out := spec.PlanPrice{
				ID: q.ID, Title: q.Title, Meter: spec.Meter(q.Meter), Scheme: spec.PlanPriceScheme(q.Scheme), Text: q.Words(p.Card.Currency),
				Rate: number(q.Rate), Percent: number(q.Share), Size: count(q.Size), Included: count(q.Included), Minimum: number(q.Minimum), Maximum: number(q.Maximum),
			}
			if q.PerIntegration {
				out.PerIntegration = &q.PerIntegration
			}
			if len(q.Tiers) > 0 {
				tiers := shown(q.Tiers, func(t billing.Tier) spec.PriceTier {
					return spec.PriceTier{UpTo: count(t.UpTo), Rate: t.Rate.String()}
				})
				out.Tiers = &tiers
			}
			return out
		}),
		AddOns: shown(p.AddOns, func(a billing.AddOn) spec.PlanAddOn {
			return spec.PlanAddOn{Feature: string(a.Feature), Title: a.Title, Text: a.Text, Price: a.Prices[0].Words(p.Card.Currency)}
		}),
		Limits: spec.PlanLimits{
			Integrations: count(p.Allows.Integrations), Records: count(p.Allows.Records), AllFeatures: p.Allows.AllFeatures, Pool: optional(p.Allows.Pool),
			Features: shown(p.Allows.Features, func(f billing.Feature) string { return string(f) }),
		},
	}
}
