// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesPlan(r chi.Router) {
	r.Get("/settings/plan", h.page(h.plan))
	r.Post("/settings/plan", h.page(h.choosePlan))
	r.Post("/settings/plan:redeem", h.page(h.redeem))
	r.Post("/settings/plan:withdraw", h.page(h.withdrawPlan))
}

// plan shows the plan; with a choice in the address it also shows what the choice would cost.
func (h *Handler) plan(v *visit) error {
	view, err := v.planView()
	if err != nil {
		return err
	}
	if name := v.query("plan"); name != "" {
		q := v.r.URL.Query()
		w := plans.Wish{Plan: name, AddOns: q["addOn"], Later: v.query("when") == "next-period"}
		p, err := h.Plans.Preview(v.ctx(), v.who, w)
		switch f := fault.As(err); {
		case f != nil && refused(err):
			view.Problems = append(view.Problems, ui.ErrorItem{Text: f.Message})
		case err != nil:
			return err
		default:
			view.Preview = v.preview(p, w)
		}
	}
	return v.render(PlanPage(view))
}

func (v *visit) preview(p plans.Preview, w plans.Wish) *PlanPreview {
	out := &PlanPreview{Title: p.Subscription.Plan.Card.Title, Total: moneyOf(p.Month.Total), Lines: pricingLines(p.Month.Lines)}
	out.Hidden = map[string][]string{"plan": {w.Plan}, "addOn": w.AddOns, "when": {"now"}}
	if w.Later {
		out.Hidden["when"] = []string{"next-period"}
	}
	out.Facts = []ui.KeyValue{
		{Key: "Begins", Body: ui.Fragments{ui.Time{At: p.Subscription.From}}},
		{Key: "This month, without it", Body: ui.Fragments{moneyOf(p.Now.Total)}},
		{Key: "A whole month", Body: ui.Fragments{moneyOf(p.Full.Total)}, Hint: "with the usage so far"},
	}
	return out
}

func (v *visit) planView() (view PlanView, err error) {
	p, err := v.h.Plans.Present(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/plan", auth.EditSubscription); err != nil {
		return view, err
	}
	held := p.Held
	view.Title, view.Text = held.Plan.Card.Title, held.Plan.Text
	view.Prices = priceRows(held.Plan, held.AddOns)
	for _, l := range p.Lacking {
		view.Lacking = append(view.Lacking, l.Service+" "+l.Why+": "+featureTitle(held.Plan, l.Feature))
	}
	if s := p.Scheduled; s != nil {
		view.Scheduled, view.From = s.Plan.Card.Title, s.From
	}
	since := ui.KeyValue{Key: "Since", Text: "the beginning", Hint: "nothing was agreed yet: this is what holds then"}
	if held.ID != uuid.Nil {
		since = ui.KeyValue{Key: "Since", Body: ui.Fragments{ui.Time{At: held.From, Date: true}}}
	}
	view.Facts = []ui.KeyValue{since, {Key: "Version", Text: held.Plan.Name() + ", version " + itoa(held.Plan.Card.Version)}}
	if p.Trial {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Free until", Body: ui.Fragments{ui.Time{At: held.TrialUntil}}})
	}
	limit := func(key string, n int64, none string) {
		text := none
		if n > 0 {
			text = ui.Number(n)
		}
		view.Facts = append(view.Facts, ui.KeyValue{Key: key, Text: text})
	}
	limit("Connected systems", held.Plan.Allows.Integrations, "any number")
	limit("Records", held.Plan.Allows.Records, "any number")
	view.Facts = append(view.Facts, ui.KeyValue{Key: "Workers", Text: or(held.Plan.Allows.Pool, "shared")})
	for _, c := range held.Coupons {
		if !c.Holds(p.Period.Start()) {
			continue
		}
		hint := ""
		if !c.To.IsZero() {
			hint = "the last month is " + monthName(billing.PeriodOf(c.To.Add(-1), p.Period.Zone).Month)
		}
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Coupon", Text: c.Title, Hint: hint})
	}
	credits, err := v.h.Plans.Credits(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	for _, c := range credits {
		if left := c.Left(); left.Amount.IsPositive() {
			hint := "of " + c.Amount.String() + ", " + c.Reason
			if !c.ExpiresAt.IsZero() {
				hint += "; expires on " + c.ExpiresAt.In(p.Period.Zone).Format("2 January 2006")
			}
			view.Facts = append(view.Facts, ui.KeyValue{Key: "Credit left", Body: ui.Fragments{moneyOf(left)}, Hint: hint})
		}
	}

	chosen := or(v.query("plan"), held.Plan.Name())
	view.Plan = ui.Radios{Name: "plan", Legend: "Plan", Value: chosen}
	for _, o := range p.Plans {
		view.Plan.Options = append(view.Plan.Options, ui.Option{Value: o.Name(), Label: o.Card.Title, Hint: o.Text})
	}
	asked := v.r.URL.Query()["addOn"]
	for _, a := range billing.DefaultPlan().AddOns {
		on := slices.Contains(held.AddOns, a.Feature)
		if v.query("plan") != "" {
			on = slices.Contains(asked, string(a.Feature))
		}
		view.AddOns = append(view.AddOns, ui.Check{Name: "addOn", ID: "addon-" + string(a.Feature), Value: string(a.Feature), Label: a.Title, Hint: a.Prices[0].Words(held.Plan.Card.Currency), Checked: on})
	}
	view.When = ui.Radios{Name: "when", Legend: "From", Value: or(v.query("when"), "now"), Options: []ui.Option{
		{Value: "now", Label: "Now", Hint: "The month is divided: each part by its own plan."},
		{Value: "next-period", Label: "The next period", Hint: "On " + p.Period.End().In(p.Period.Zone).Format("2 January 2006") + "."},
	}}
	return view, nil
}

func featureTitle(p billing.Plan, f billing.Feature) string {
	if a, ok := p.AddOn(f); ok {
		return a.Title
	}
	return string(f)
}

func (h *Handler) choosePlan(v *visit) error {
	name := v.form("plan")
	_, err := h.Plans.Subscribe(v.ctx(), v.who, plans.Wish{Plan: name, AddOns: v.r.PostForm["addOn"], Later: v.form("when") == "next-period"})
	if err != nil {
		return v.backTo("/settings/plan", err)
	}
	v.flash(ui.OK, "Agreed.")
	return v.redirect("/settings/plan")
}

func (h *Handler) withdrawPlan(v *visit) error {
	if _, err := h.Plans.Withdraw(v.ctx(), v.who); err != nil {
		return v.backTo("/settings/plan", err)
	}
	v.flash(ui.OK, "Taken back.")
	return v.redirect("/settings/plan")
}
