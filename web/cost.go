// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesCost(r chi.Router) {
	r.Get("/usage/cost", h.page(h.costPage))
	r.Post("/usage/budgets", h.page(h.addBudget))
	r.Post("/usage/budgets/{budget}:remove", h.page(h.removeBudget))
	r.Get("/usage/export", h.page(h.exportUsage))
}

func (h *Handler) costPage(v *visit) error {
	view, err := v.costView()
	if err != nil {
		return err
	}
	return v.render(CostPage(view))
}

func (v *visit) costView() (view CostView, err error) {
	c, err := v.h.Plans.Cost(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	present, err := v.h.Plans.Present(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	view = costOf(c)
	view.MayEdit = v.can(auth.EditSubscription)
	draft, err := v.h.Invoicer.Draft(v.ctx(), v.who.Tenant, billing.Month{})
	if err != nil {
		return view, err
	}
	view.Invoice = invoicePath(draft.ID)
	view.Simulate = ui.Select{Name: "plan", Label: "Plan", Value: v.query("plan")}
	for _, p := range present.Plans {
		view.Simulate.Options = append(view.Simulate.Options, ui.Option{Value: p.Name(), Label: p.Card.Title})
	}
	if name := v.query("plan"); name != "" {
		var addOns []string // as now, so that only the plan differs
		for _, f := range present.Held.AddOns {
			addOns = append(addOns, string(f))
		}
		months, _, err := v.h.Plans.Simulate(v.ctx(), v.who, plans.Wish{Plan: name, AddOns: addOns}, 3)
		switch f := fault.As(err); {
		case f != nil && refused(err):
			view.Problems = append(view.Problems, ui.ErrorItem{Text: f.Message})
		case err != nil:
			return view, err
		}
		for _, m := range months {
			view.Simulated = append(view.Simulated, simulatedRow(m))
		}
	}
	for _, e := range []struct{ label, form string }{{"CSV", "csv"}, {"JSONL", "jsonl"}, {"FOCUS", "focus"}} {
		view.Exports = append(view.Exports, ui.Button{Label: e.label, Icon: "download", Size: "sm", Href: "/usage/export?format=" + e.form})
	}
	view.Code = []ui.Code{{Title: "curl", Lang: "shell", Text: "# what the month costs, with a forecast\n" + v.curl("GET", "/v1/usage/cost", "") + "\n\n# every counted fact\n" + v.curl("GET", "/v1/usage/export?format=csv", "") +
		"\n\n# what more usage would add\n" + v.curl("POST", "/v1/usage:estimate", `-H 'Content-Type: application/json' -d '{"usage":{"syncs":100000}}'`)}}
	view.Page, err = v.shell("Cost", "/usage", "Usage & invoices", "/usage", "Cost")
	return view, err
}

func simulatedRow(m plans.Simulated) []string {
	difference := billing.Money{Amount: m.Then.Total.Amount.Sub(m.Actual.Total.Amount), Currency: m.Then.Total.Currency}
	return []string{monthName(m.Period.Month), m.Actual.Total.String(), m.Then.Total.String(), difference.String()}
}

// usageTabs lead between the pages about usage; cost is for those who may see amounts.
func usageTabs(current string, money bool) ui.Tabs {
	t := ui.Tabs{Label: "Usage", Items: []ui.Tab{{Label: "Usage and invoices", Href: "/usage", Current: current == "/usage"}}}
	if money {
		t.Items = append(t.Items, ui.Tab{Label: "Cost and budgets", Href: "/usage/cost", Current: current == "/usage/cost"})
	}
	return t
}

// costOf shows what is known of the month's cost, without what the page needs of its visitor.
func costOf(c plans.Cost) CostView {
	view := CostView{Period: monthName(c.Period.Month), Tabs: usageTabs("/usage/cost", true)}
	f := c.Forecast
	view.Stats = []ui.Stat{
		{Label: "Month to date", Icon: "receipt", Value: c.Total.String(), Note: "a draft until the month is closed"},
		{Label: "Forecast", Icon: "refresh-cw", Value: f.Likely.String(), Note: f.Low.String() + " to " + f.High.String() + ", from " + ui.Count(int64(f.Days), "full day", "full days")},
		{Label: "Month before, at this point", Icon: "receipt", Value: c.Before.String(), Note: riseText(c.Before, c.Total)},
	}
	for _, d := range c.Next {
		next := "the last one"
		if d.Left > 0 {
			next = ui.Number(d.Left) + " more until " + d.NextRate.String()
		}
		rate := d.Rate.String()
		if d.Rate.Amount.IsZero() {
			rate = "included"
		}
		view.Tiers = append(view.Tiers, []string{d.Title, ui.Number(d.Quantity), rate, next})
	}
	place := func(p plans.Place) (service, where string) {
		where = string(p.System)
		if p.Object != "" {
			where += ", " + string(p.Object)
		}
		if p.Meter == billing.Enrichments {
			where = or(where, "lookups")
		}
		return serviceUsed(p.ServiceName), where
	}
	for i, p := range c.Places {
		if i == 50 { // the rest is in the export
			break
		}
		service, where := place(p)
		view.Places = append(view.Places, []string{service, where, ui.Number(p.Units), ui.Number(p.Realtime), ui.Number(p.Complex)})
	}
	for i, d := range c.Changes {
		if i == 10 {
			break
		}
		service, where := place(d.Place)
		sign := "+"
		if d.Now < d.Before {
			sign = ""
		}
		view.Changes = append(view.Changes, []string{service, where, ui.Number(d.Before), ui.Number(d.Now), sign + ui.Number(d.Now-d.Before)})
	}
	for _, b := range c.Budgets {
		spent, _ := c.Total.Amount.Float64() // only the length of a bar
		limit, _ := b.Amount.Float64()
		line := BudgetLine{ID: ident.Format(ident.Budget, b.ID), Name: b.Name, Version: strconv.FormatInt(b.Version, 10), Bar: ui.Budget{
			Label: b.Name, Used: spent, Limit: limit, Text: c.Total.String() + " of " + billing.Money{Amount: b.Amount, Currency: c.Total.Currency}.String(),
		}}
		if b.Reached > 0 {
			line.Bar.Note = itoa(b.Reached) + " percent was told"
		}
		if b.Pause {
			line.Bar.Note = strings.TrimPrefix(line.Bar.Note+"; services are paused at the whole amount", "; ")
		}
		view.Budgets = append(view.Budgets, line)
	}
	view.Name = ui.Field{Name: "name", Label: "Name", Required: true, Autocomplete: "off"}
	view.Amount = ui.Field{Name: "amount", Label: "A month", Required: true, Autocomplete: "off", After: strings.ToUpper(string(c.Total.Currency)), Attrs: map[string]any{"inputmode": "decimal"}}
	view.Pause = ui.Check{Name: "pause", Label: "Pause services at the whole amount", Hint: "What they owe waits until somebody resumes them."}
	return view
}

func riseText(before, now billing.Money) string {
	if before.Amount.IsZero() || before.Currency != now.Currency {
		return "nothing to compare with"
	}
	share := now.Amount.Sub(before.Amount).Mul(decimal.NewFromInt(100)).Div(before.Amount).Round(0)
	switch {
	case share.IsPositive():
		return share.String() + "% more now"
	case share.IsNegative():
		return share.Neg().String() + "% less now"
	}
	return "the same now"
}

func (h *Handler) addBudget(v *visit) error {
	name, amount := v.form("name"), strings.ReplaceAll(v.form("amount"), ",", "")
	d, err := decimal.NewFromString(amount)
	if err != nil {
		d = decimal.Zero // refused with the reason
	}
	if _, err = h.Plans.AddBudget(v.ctx(), v.who, billing.Budget{Name: name, Amount: d, Pause: v.form("pause") != ""}); err == nil {
		v.flash(ui.OK, "The budget is set.")
		return v.redirect("/usage/cost")
	}
	if !refused(err) {
		return err
	}
	view, readErr := v.costView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Name.Value, view.Name.Error = name, at["/name"]
	view.Amount.Value, view.Amount.Error = v.form("amount"), at["/amount"]
	for _, item := range []ui.ErrorItem{{Field: "name", Text: at["/name"]}, {Field: "amount", Text: at["/amount"]}, {Text: rest}} {
		if item.Text != "" {
			view.Problems = append(view.Problems, item)
		}
	}
	return v.renderAs(statusOf(err), CostPage(view))
}

func (h *Handler) removeBudget(v *visit) error {
	id, err := ident.Parse(ident.Budget, v.param("budget"))
	if err != nil {
		return err
	}
	if err := h.Plans.RemoveBudget(v.ctx(), v.who, id, 0); err != nil {
		return v.backTo("/usage/cost", err)
	}
	v.flash(ui.OK, "The budget is removed.")
	return v.redirect("/usage/cost")
}

func (h *Handler) exportUsage(v *visit) error {
	month, err := v.month()
	if err != nil {
		return err
	}
	form, media, suffix := plans.CSV, "text/csv; charset=utf-8", "csv"
	switch v.query("format") {
	case "jsonl":
		form, media, suffix = plans.JSONL, "application/jsonl", "jsonl"
	case "focus":
		form, suffix = plans.FOCUS, "focus.csv"
	}
	if err := v.who.May(auth.ViewUsage); err != nil {
		return err
	}
	out := &download{v: v, media: media, name: "usage-" + or(v.query("period"), billing.PeriodOf(v.now, v.zone).String()) + "." + suffix}
	if err := h.Plans.Export(v.ctx(), v.who, month, form, out); err != nil {
		if out.begun {
			panic(http.ErrAbortHandler) // a part of a file must not be taken for all of it
		}
		return err
	}
	return nil
}

// download begins its answer with the first byte, so that what fails before it is told as a page.
type download struct {
	v           *visit
	media, name string
	begun       bool
}

func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		h := d.v.w.Header()
		h.Set("Content-Type", d.media)
		h.Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.v.w.Write(b)
}
