// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

func (s *server) GetCost(ctx context.Context, _ spec.GetCostRequestObject) (spec.GetCostResponseObject, error) {
	c, err := s.Plans.Cost(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	f := c.Forecast
	return spec.GetCost200JSONResponse{
		Period: showPeriod(c.Period), Currency: string(c.Total.Currency), Total: c.Total.Fixed(), Before: c.Before.Fixed(),
		Forecast: spec.CostForecast{Low: f.Low.Fixed(), Likely: f.Likely.Fixed(), High: f.High.Fixed(), Days: f.Days, Operations: f.Operations},
		Lines:    shown(c.Lines, showPricedLine),
		Next: shown(c.Next, func(d plans.Distance) spec.TierDistance {
			out := spec.TierDistance{Price: d.Price, Title: d.Title, Meter: spec.Meter(d.Meter), Quantity: d.Quantity, Rate: d.Rate.Amount.String()}
			if d.Left > 0 {
				rate := d.NextRate.Amount.String()
				out.Left, out.NextRate = &d.Left, &rate
			}
			return out
		}),
		Places: shown(c.Places, func(p plans.Place) spec.UsagePlace {
			return spec.UsagePlace{
				Meter: spec.Meter(p.Meter), Service: public(ident.Service, p.Service), ServiceName: p.ServiceName, System: string(p.System), Object: string(p.Object),
				DataClass: p.DataClass, Quantity: p.Units, Realtime: p.Realtime, Complex: p.Complex,
			}
		}),
		Changes: shown(c.Changes, func(d plans.Change) spec.UsageChange {
			return spec.UsageChange{
				Service: public(ident.Service, d.Service), ServiceName: d.ServiceName, System: string(d.System), Object: string(d.Object), DataClass: d.DataClass,
				Before: d.Before, Now: d.Now,
			}
		}),
		Budgets: shown(c.Budgets, showBudget),
	}, nil
}

// ExportUsage answers with the rows as they are read; only the first part is waited for, so that a failure before it is told
// as one.
func (s *server) ExportUsage(ctx context.Context, req spec.ExportUsageRequestObject) (spec.ExportUsageResponseObject, error) {
	var month billing.Month
	if req.Params.Period != nil {
		var err error
		if month, err = billing.ParseMonth(*req.Params.Period); err != nil {
			return nil, err
		}
	}
	form := plans.CSV
	if req.Params.Format != nil {
		form = plans.Form(*req.Params.Format)
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })         // the asker is gone: the writer must not wait for ever
	go func() { _ = w.CloseWithError(s.Plans.Export(ctx, who(ctx), month, form, w)) }() // the reader hears of it
	first := make([]byte, 4096)
	n, err := io.ReadFull(r, first)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	body := whole{io.MultiReader(bytes.NewReader(first[:n]), r)}
	if form == plans.JSONL {
		return spec.ExportUsage200ApplicationJsonlResponse{Body: body}, nil
	}
	return spec.ExportUsage200TextCsvResponse{Body: body}, nil
}

// whole cuts the connection when not everything could be read, so that nobody takes a part of a file for all of it.
type whole struct{ io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && err != io.EOF {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (s *server) EstimateCost(ctx context.Context, req spec.EstimateCostRequestObject) (spec.EstimateCostResponseObject, error) {
	e, err := s.Plans.Estimate(ctx, who(ctx), assumed(req.Body.Usage))
	if err != nil {
		return nil, err
	}
	return spec.EstimateCost200JSONResponse(showEstimate(e)), nil
}

func showEstimate(e plans.Estimate) spec.CostEstimate {
	out := spec.CostEstimate{
		Currency: string(e.Cost.Currency), Cost: e.Cost.Fixed(),
		Added: shown(e.Added, func(a plans.Added) spec.AddedCost {
			return spec.AddedCost{Price: a.Price, Title: a.Title, Meter: spec.Meter(a.Meter), Unit: a.Meter.Unit(a.More), More: a.More, Cost: a.Cost.Fixed(), Explanation: shown(a.Explanation, showStep)}
		}),
	}
	if e.After.Lines != nil {
		before, after, lines := e.Before.Total.Fixed(), e.After.Total.Fixed(), shown(e.After.Lines, showPricedLine)
		out.Before, out.After, out.Lines = &before, &after, &lines
	}
	return out
}

func (s *server) SimulatePlan(ctx context.Context, req spec.SimulatePlanRequestObject) (spec.SimulatePlanResponseObject, error) {
	w := plans.Wish{Plan: req.Body.Plan}
	if req.Body.AddOns != nil {
		w.AddOns = *req.Body.AddOns
	}
	n := 3
	if req.Body.Months != nil {
		n = *req.Body.Months
	}
	months, plan, err := s.Plans.Simulate(ctx, who(ctx), w, n)
	if err != nil {
		return nil, err
	}
	return spec.SimulatePlan200JSONResponse{
		Plan: plan.Name(), PlanTitle: plan.Card.Title,
		Months: shown(months, func(m plans.Simulated) spec.SimulatedMonth {
			return spec.SimulatedMonth{
				Month: m.Period.Month.String(), Currency: string(m.Then.Total.Currency), Actual: m.Actual.Total.Fixed(), Simulated: m.Then.Total.Fixed(),
				Difference: m.Then.Total.Amount.Sub(m.Actual.Total.Amount).StringFixed(2), Lines: shown(m.Then.Lines, showPricedLine),
			}
		}),
	}, nil
}

func showBudget(b billing.Budget) spec.Budget {
	return spec.Budget{ID: public(ident.Budget, b.ID), Name: b.Name, Amount: b.Amount.StringFixed(2), Pause: b.Pause, Reached: b.Reached, CreatedAt: b.CreatedAt.UTC(), Version: b.Version}
}

func (s *server) ListBudgets(ctx context.Context, _ spec.ListBudgetsRequestObject) (spec.ListBudgetsResponseObject, error) {
	list, err := s.Plans.Budgets(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.ListBudgets200JSONResponse{Data: shown(list, showBudget)}, nil
}

func (s *server) CreateBudget(ctx context.Context, req spec.CreateBudgetRequestObject) (spec.CreateBudgetResponseObject, error) {
	b := billing.Budget{Name: req.Body.Name, Pause: req.Body.Pause != nil && *req.Body.Pause}
	var err error
	if b.Amount, err = budgetAmount(req.Body.Amount); err != nil {
		return nil, err
	}
	if b, err = s.Plans.AddBudget(ctx, who(ctx), b); err != nil {
		return nil, err
	}
	return spec.CreateBudget201JSONResponse{Body: showBudget(b), Headers: spec.CreateBudget201ResponseHeaders{ETag: etag(b.Version), Location: "/v1/budgets/" + public(ident.Budget, b.ID)}}, nil
}

func budgetAmount(text string) (decimal.Decimal, error) {
	d, err := decimal.NewFromString(text)
	if err != nil {
		return d, fault.Wrap(err, fault.Invalid, "budget.malformed", "The amount of a budget is a number such as 500.00.")
	}
	return d, nil
}

func (s *server) GetBudget(ctx context.Context, req spec.GetBudgetRequestObject) (spec.GetBudgetResponseObject, error) {
	id, err := named(ident.Budget, req.Budget)
	if err != nil {
		return nil, err
	}
	b, err := s.Plans.Budget(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetBudget200JSONResponse{Body: showBudget(b), Headers: spec.GetBudget200ResponseHeaders{ETag: etag(b.Version)}}, nil
}

func (s *server) UpdateBudget(ctx context.Context, req spec.UpdateBudgetRequestObject) (spec.UpdateBudgetResponseObject, error) {
	id, version, err := budgetAt(req.Budget, req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	var amount *decimal.Decimal
	if req.Body.Amount != nil {
		d, err := budgetAmount(*req.Body.Amount)
		if err != nil {
			return nil, err
		}
		amount = &d
	}
	b, err := s.Plans.ChangeBudget(ctx, who(ctx), id, version, func(b *billing.Budget) {
		if amount != nil {
			b.Amount = *amount
		}
		if req.Body.Name != nil {
			b.Name = *req.Body.Name
		}
		if req.Body.Pause != nil {
			b.Pause = *req.Body.Pause
		}
	})
	if err != nil {
		return nil, err
	}
	return spec.UpdateBudget200JSONResponse{Body: showBudget(b), Headers: spec.UpdateBudget200ResponseHeaders{ETag: etag(b.Version)}}, nil
}

func (s *server) DeleteBudget(ctx context.Context, req spec.DeleteBudgetRequestObject) (spec.DeleteBudgetResponseObject, error) {
	id, version, err := budgetAt(req.Budget, req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Plans.RemoveBudget(ctx, who(ctx), id, version); err != nil {
		return nil, err
	}
	return spec.DeleteBudget204Response{}, nil
}

func budgetAt(text, ifMatch string) (uuid.UUID, int64, error) {
	version, err := wantedOrAny(ifMatch)
	if err != nil {
		return uuid.Nil, 0, err
	}
	id, err := named(ident.Budget, text)
	return id, version, err
}
