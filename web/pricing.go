// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesPricing(r chi.Router) {
	r.Get("/pricing", h.anybody(h.pricing))
}

// pricingFields are the quantities that the form asks for; pointer is where a fault of the calculator names it.
var pricingFields = []struct {
	group, name, label, hint, pointer string
	at                                func(*plans.Assumed) *int64
}{
	{"Sync operations", "syncs", "All", "one record changed in one system", "/usage/syncs", func(u *plans.Assumed) *int64 { return &u.Syncs }},
	{"Sync operations", "realtimeSyncs", "In real time", "of these", "/usage/realtimeSyncs", func(u *plans.Assumed) *int64 { return &u.RealtimeSyncs }},
	{"Sync operations", "complexSyncs", "With a complex transformation", "of these", "/usage/complexSyncs", func(u *plans.Assumed) *int64 { return &u.ComplexSyncs }},
	{"Records under management", "contacts", "Contacts", "people and companies", "/usage/records/contacts", func(u *plans.Assumed) *int64 { return &u.Contacts }},
	{"Records under management", "products", "Products", "and their stock", "/usage/records/products", func(u *plans.Assumed) *int64 { return &u.Products }},
	{"Records under management", "transactions", "Transactions", "orders, payments, everything else", "/usage/records/transactions", func(u *plans.Assumed) *int64 { return &u.Transactions }},
	{"Integrations", "standard", "Standard systems", "", "/usage/integrations/standard", func(u *plans.Assumed) *int64 { return &u.Standard }},
	{"Integrations", "premium", "Premium systems", "SAP, Oracle, ...", "/usage/integrations/premium", func(u *plans.Assumed) *int64 { return &u.Premium }},
	{"Integrations", "enrichments", "Enrichment lookups", "", "/usage/enrichments", func(u *plans.Assumed) *int64 { return &u.Enrichments }},
}

var pricingModels = []struct {
	model billing.Model
	label string
}{
	{billing.PerSyncModel, "Per sync"},
	{billing.PerRecordModel, "Per record"},
	{billing.PerIntegrationModel, "Per integration"},
	{billing.PlatformModel, "Platform"},
}

// pricing is the calculator. Everything stands in the address, so that an answer can be sent to somebody.
func (h *Handler) pricing(v *visit) error {
	list, err := h.Plans.PriceList(v.ctx())
	if err != nil {
		return err
	}
	view, err := Calculator(list, v.r, v.base())
	if err != nil {
		return err
	}
	if v.in {
		page, err := v.shell("Pricing", "/pricing", "Pricing")
		if err != nil {
			return err
		}
		page.Live = ""
		view.Page = &page
	}
	return v.render(PricingPage(view))
}

// Calculator answers the question in the address by a price list. The installation's own address is where programs ask the same.
func Calculator(list []billing.Plan, r *http.Request, base string) (PricingView, error) {
	query := r.URL.Query()
	q := plans.Question{Model: billing.Model(or(query.Get("model"), string(billing.PerSyncModel))), Plan: query.Get("plan"), AddOns: query["addOn"]}
	if q.Model == billing.PlatformModel && q.Plan == "" {
		q.Plan = "starter"
	}
	view := PricingView{Prefs: PrefsFrom(r), Crumbs: []ui.Crumb{{Label: "Pricing"}}}
	values := map[string]string{}
	wrong := map[string]string{}
	asked := false
	for _, f := range pricingFields {
		text := strings.NewReplacer(",", "", " ", "", "_", "").Replace(query.Get(f.name))
		values[f.name] = query.Get(f.name)
		if text == "" {
			continue
		}
		asked = true
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			wrong[f.name] = "Write a whole number."
			continue
		}
		*f.at(&q.Usage) = n
	}
	if !asked {
		// A first look shows figures to play with.
		q.Usage = plans.Assumed{Syncs: 1_000_000, Contacts: 10_000, Standard: 3}
		values["syncs"], values["contacts"], values["standard"] = "1,000,000", "10,000", "3"
	}
	if len(wrong) == 0 {
		a, err := plans.Calculate(list, q)
		if f := fault.As(err); f != nil {
			for _, field := range pricingFields {
				for _, at := range f.Fields {
					if at.Pointer == field.pointer {
						wrong[field.name] = at.Message
					}
				}
			}
			if len(wrong) == 0 {
				view.Errors = append(view.Errors, ui.ErrorItem{Text: f.Message})
			}
		} else if err != nil {
			return view, err
		} else {
			view.answer(base, q, a)
		}
	}
	view.form(list, query, q, values, wrong)
	return view, nil
}

// form shows what was asked.
func (view *PricingView) form(list []billing.Plan, query url.Values, q plans.Question, values, wrong map[string]string) {
	view.Model, view.Models.Label = string(q.Model), "Pricing model"
	for _, m := range pricingModels {
		with := url.Values{}
		for key, list := range query {
			with[key] = list
		}
		with.Set("model", string(m.model))
		with.Del("plan")
		view.Models.Items = append(view.Models.Items, ui.Tab{Label: m.label, Href: "/pricing?" + with.Encode(), Current: m.model == q.Model})
	}
	view.Plans = ui.Radios{Name: "plan", Legend: "Plan", Value: or(q.Plan, "standard")}
	var addOns []billing.AddOn
	for _, p := range list {
		if p.Model != q.Model {
			continue
		}
		addOns = p.AddOns
		if p.Tier != "" {
			view.Plans.Options = append(view.Plans.Options, ui.Option{Value: p.Tier, Label: strings.TrimPrefix(p.Card.Title, "Platform "), Hint: p.Text})
		}
	}
	var chosen []billing.Feature
	for _, name := range q.AddOns {
		if f, ok := billing.ParseFeature(name); ok {
			chosen = append(chosen, f)
		}
	}
	for _, a := range addOns {
		view.AddOns = append(view.AddOns, ui.Check{
			Name: "addOn", ID: "addon-" + string(a.Feature), Value: string(a.Feature), Label: a.Title, Hint: a.Prices[0].Words(billing.USD), Checked: slices.Contains(chosen, a.Feature),
		})
	}
	for _, f := range pricingFields {
		if len(view.Fields) == 0 || view.Fields[len(view.Fields)-1].Title != f.group {
			view.Fields = append(view.Fields, PricingGroup{Title: f.group})
		}
		g := &view.Fields[len(view.Fields)-1]
		g.Fields = append(g.Fields, ui.Field{Name: f.name, Label: f.label, Hint: f.hint, Value: values[f.name], Error: wrong[f.name], Placeholder: "0", Autocomplete: "off", Attrs: map[string]any{"inputmode": "numeric"}})
		if wrong[f.name] != "" {
			view.Errors = append(view.Errors, ui.ErrorItem{Field: f.name, Text: f.label + ": " + wrong[f.name]})
		}
	}
}

func (view *PricingView) answer(base string, q plans.Question, a plans.Answer) {
	view.Answer, view.Plan, view.Total, view.Notes = true, a.Plan.Card.Title, moneyOf(a.Total), a.Notes
	view.Lines, view.Prices = pricingLines(a.Lines), priceRows(a.Plan, a.AddOns)
	u := q.Usage
	body, _ := json.Marshal(map[string]any{
		"model": a.Plan.Model, "plan": or(a.Plan.Tier, a.Plan.Name()), "addOns": slices.Concat([]billing.Feature{}, a.AddOns),
		"usage": map[string]any{
			"syncs": u.Syncs, "realtimeSyncs": u.RealtimeSyncs, "complexSyncs": u.ComplexSyncs, "enrichments": u.Enrichments,
			"records":      map[string]any{"contacts": u.Contacts, "products": u.Products, "transactions": u.Transactions},
			"integrations": map[string]any{"standard": u.Standard, "premium": u.Premium},
		},
	})
	view.Code = []ui.Code{{Title: "curl", Lang: "shell", Text: "curl -s \"" + base + "/v1/pricing:calculate\" -H 'Content-Type: application/json' \\\n  -d '" + string(body) + "'"}}
}

// pricingLines are lines with the steps to their amounts.
func pricingLines(lines []billing.Line) (out []PricingLine) {
	for _, l := range lines {
		line := PricingLine{ID: "line-" + idWord(l.Price), Title: l.Title, Amount: moneyOf(l.Amount), Free: !l.Charged}
		for _, s := range l.Explanation {
			line.Steps = append(line.Steps, s.Text)
		}
		out = append(out, line)
	}
	return out
}

// priceRows say what a plan charges: what is counted, and the price.
func priceRows(plan billing.Plan, addOns []billing.Feature) (rows [][]string) {
	currency := plan.Card.Currency
	for _, p := range plan.Card.Prices {
		for i, t := range p.Tiers {
			var from int64
			if i > 0 {
				from = p.Tiers[i-1].UpTo
			}
			upTo := "from " + ui.Number(from+1)
			if t.UpTo > 0 {
				upTo = ui.Number(from+1) + " to " + ui.Number(t.UpTo)
			}
			how := "each of these"
			if p.Scheme == billing.Volume {
				how = "each, all of them"
			}
			rows = append(rows, []string{p.Title + ", " + upTo, billing.Money{Amount: t.Rate, Currency: currency}.String() + " " + how})
		}
		if len(p.Tiers) == 0 {
			rows = append(rows, []string{p.Title, p.Words(currency)})
		}
	}
	for _, f := range addOns {
		if add, ok := plan.AddOn(f); ok {
			rows = append(rows, []string{add.Title, add.Prices[0].Words(currency)})
		}
	}
	return rows
}
