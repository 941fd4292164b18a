// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesOperators(r chi.Router) {
	r.Get("/operator", h.operators(h.operatorTenants))
	r.Get("/operator/tenants/{tenant}", h.operators(h.operatorTenant))
	r.Post("/operator/tenants/{tenant}:plan", h.operators(h.operatorAct("The plan is agreed.", func(v *visit, p auth.Principal) error {
		w := plans.Wish{Plan: v.form("plan"), AddOns: v.r.PostForm["addOn"], Later: v.form("when") == "next-period"}
		_, err := h.Plans.Give(v.ctx(), p, w, v.form("reason"))
		return err
	})))
	r.Post("/operator/tenants/{tenant}:trial", h.operators(h.operatorAct("The trial is given.", func(v *visit, p auth.Principal) error {
		until, err := v.date("until")
		if err != nil {
			return err
		}
		_, err = h.Plans.GrantTrial(v.ctx(), p, until, v.form("reason"))
		return err
	})))
	r.Post("/operator/tenants/{tenant}:credit", h.operators(h.operatorAct("The credit is given.", func(v *visit, p auth.Principal) error {
		sum, err := typedAmount(v.form("amount"))
		if err != nil {
			return err
		}
		c := billing.Credit{Amount: billing.Money{Amount: sum, Currency: billing.Currency(strings.ToLower(v.form("currency")))}}
		if v.form("expires") != "" {
			if c.ExpiresAt, err = v.date("expires"); err != nil {
				return err
			}
		}
		_, err = h.Plans.GrantCredit(v.ctx(), p, c, v.form("reason"))
		return err
	})))
	r.Post("/operator/tenants/{tenant}:withdraw", h.operators(h.operatorAct("The rest of the credit is taken back.", func(v *visit, p auth.Principal) error {
		id, err := ident.Parse(ident.Credit, v.form("id"))
		if err != nil {
			return err
		}
		return h.Plans.WithdrawCredit(v.ctx(), p, id, v.form("reason"))
	})))
	r.Post("/operator/tenants/{tenant}:coupon", h.operators(h.operatorAct("The coupon is given.", func(v *visit, p auth.Principal) error {
		off, err := typedAmount(strings.TrimSuffix(v.form("percent"), "%"))
		if err != nil {
			return err
		}
		months, err := typedCount("months", v.form("months"))
		if err != nil {
			return err
		}
		_, err = h.Plans.GrantCoupon(v.ctx(), p, billing.Coupon{ID: v.form("id"), Title: v.form("title"), Percent: off}, months, v.form("reason"))
		return err
	})))
	r.Post("/operator/tenants/{tenant}:end-coupon", h.operators(h.operatorAct("The coupon is ended.", func(v *visit, p auth.Principal) error {
		_, err := h.Plans.EndCoupon(v.ctx(), p, v.form("id"), v.form("reason"))
		return err
	})))
	r.Get("/operator/plans", h.operators(h.operatorPlans))
	r.Get("/operator/plans/new", h.operators(h.newPlanVersion))
	r.Post("/operator/plans/new", h.operators(h.publishPlan))
	r.Get("/operator/coupons", h.operators(func(v *visit) error { return v.codesPage(200, nil) }))
	r.Post("/operator/coupons", h.operators(h.makeCode))
	r.Post("/operator/coupons:end", h.operators(h.endCode))
	r.Get("/operator/revenue", h.operators(h.revenue))
	r.Get("/operator/revenue.csv", h.operators(h.revenueCSV))
}

// operators serves a page for people who run the installation. Everybody else is refused before anything is looked at.
func (h *Handler) operators(serve func(*visit) error) http.HandlerFunc {
	return h.page(func(v *visit) error {
		if err := v.who.May(auth.Operate); err != nil {
			return err
		}
		return serve(v)
	})
}

func operatorTabs(current string) ui.Tabs {
	t := ui.Tabs{Label: "Operators"}
	for _, i := range []ui.Tab{{Label: "Tenants", Href: "/operator"}, {Label: "Plans", Href: "/operator/plans"}, {Label: "Coupon codes", Href: "/operator/coupons"}, {Label: "Revenue", Href: "/operator/revenue"}} {
		i.Current = i.Href == current
		t.Items = append(t.Items, i)
	}
	return t
}

// date is a day that was typed, as its beginning in the time zone of the reader's tenant.
func (v *visit) date(name string) (time.Time, error) {
	at, err := time.ParseInLocation(time.DateOnly, v.form(name), v.zone)
	if err != nil {
		return at, fault.Wrap(err, fault.Invalid, "plans.trial_malformed", "%q is not a day; write it like 2027-01-31.", v.form(name)).
			At(fault.Field{Pointer: "/" + name, Code: "plans.trial_malformed", Message: "Not a day."})
	}
	return at, nil
}

func typedCount(name, s string) (int, error) {
	n, err := strconv.Atoi(strings.ReplaceAll(or(s, "0"), ",", ""))
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "plans.coupon_malformed", "%q is not a whole number.", s).At(fault.Field{Pointer: "/" + name, Code: "plans.coupon_malformed", Message: "Not a whole number."})
	}
	return n, nil
}

func amounts(list []billing.Money) string {
	var out []string
	for _, m := range list {
		out = append(out, m.String())
	}
	return or(strings.Join(out, ", "), "none")
}

func (h *Handler) operatorTenants(v *visit) error {
	const rows = 50
	q := plans.CustomerQuery{Search: v.query("search"), Limit: rows + 1}
	if after := v.query("after"); after != "" {
		id, err := ident.Parse(ident.Tenant, after)
		if err != nil {
			return err
		}
		q.After = tenant.ID(id)
	}
	list, err := h.Plans.Customers(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	view := OperatorTenantsView{Tabs: operatorTabs("/operator"), Search: ui.Field{Name: "search", Label: "Name", Type: "search", Value: q.Search, Autocomplete: "off"}}
	if len(list) > rows {
		list = list[:rows]
		view.Next = "/operator?" + url.Values{"search": {q.Search}, "after": {ident.Format(ident.Tenant, list[rows-1].ID)}}.Encode()
	}
	for _, c := range list {
		id := ident.Format(ident.Tenant, c.ID)
		note := "nothing was agreed"
		switch {
		case v.now.Before(c.TrialUntil):
			note = "trial until " + c.TrialUntil.In(v.zone).Format("2 January 2006")
		case c.Next != "":
			note = c.Next + " from " + c.NextFrom.In(v.zone).Format("2 January 2006")
		case !c.From.IsZero():
			note = "since " + c.From.In(v.zone).Format("2 January 2006")
		}
		view.Tenants = append(view.Tenants, OperatorTenantLine{
			ID: id, Name: c.Name, Sub: string(c.State) + ", since " + c.CreatedAt.In(v.zone).Format("2 January 2006"), Href: "/operator/tenants/" + id,
			Plan: c.PlanTitle, PlanNote: note, Credit: amounts(c.Credit), Open: amounts(c.Open),
		})
	}
	if view.Page, err = v.shell("Operators", "/operator", "Operators"); err != nil {
		return err
	}
	return v.render(OperatorTenantsPage(view))
}

// operating is the reader at work for the tenant that the address names.
func (v *visit) operating() (p auth.Principal, c plans.Customer, err error) {
	id, err := ident.Parse(ident.Tenant, v.param("tenant"))
	if err != nil {
		return p, c, err
	}
	if c, err = v.h.Plans.Customer(v.ctx(), v.who, tenant.ID(id)); err != nil {
		return p, c, err
	}
	p, err = v.who.Operating(c.ID)
	return p, c, err
}

// operatorAct does something for a tenant and shows the tenant again.
func (h *Handler) operatorAct(done string, act func(*visit, auth.Principal) error) func(*visit) error {
	return func(v *visit) error {
		p, _, err := v.operating()
		if err != nil {
			return err
		}
		if err := act(v, p); err != nil {
			if !refused(err) && fault.KindOf(err) != fault.NotFound {
				return err
			}
			return v.operatorTenantPage(statusOf(err), err)
		}
		v.flash(ui.OK, done)
		return v.redirect("/operator/tenants/" + v.param("tenant"))
	}
}

func (h *Handler) operatorTenant(v *visit) error { return v.operatorTenantPage(200, nil) }

func (v *visit) operatorTenantPage(status int, wrong error) error {
	p, c, err := v.operating()
	if err != nil {
		return err
	}
	present, err := v.h.Plans.Present(v.ctx(), p)
	if err != nil {
		return err
	}
	credits, err := v.h.Plans.Credits(v.ctx(), p)
	if err != nil {
		return err
	}
	held := present.Held
	view := OperatorTenantView{Tabs: operatorTabs("/operator"), Path: "/operator/tenants/" + ident.Format(ident.Tenant, c.ID), Title: c.Name, Reason: ui.Field{Name: "reason", Label: "Reason"}}
	if f := fault.As(wrong); f != nil {
		view.Problems = append(view.Problems, ui.ErrorItem{Text: f.Message})
	}
	view.Facts = []ui.KeyValue{
		{Key: "Plan", Text: held.Plan.Card.Title, Hint: held.Plan.Name() + ", version " + itoa(held.Plan.Card.Version)},
		{Key: "State", Text: string(c.State)}, {Key: "Tenant", Text: ident.Format(ident.Tenant, c.ID)},
		{Key: "Credit left", Text: amounts(c.Credit)}, {Key: "To be paid", Text: amounts(c.Open)},
	}
	if present.Trial {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Free until", Body: ui.Fragments{ui.Time{At: held.TrialUntil}}})
	}
	if s := present.Scheduled; s != nil {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Next", Text: s.Plan.Card.Title, Body: ui.Fragments{ui.Time{At: s.From, Date: true}}})
	}
	query := v.r.URL.Query()
	view.Plan = ui.Select{Name: "plan", Label: "Plan", Value: or(v.query("plan"), held.Plan.Name())}
	for _, o := range present.Plans {
		view.Plan.Options = append(view.Plan.Options, ui.Option{Value: o.Name(), Label: o.Card.Title})
	}
	for _, a := range billing.DefaultPlan().AddOns {
		on := slices.Contains(held.AddOns, a.Feature)
		if v.query("plan") != "" {
			on = slices.Contains(query["addOn"], string(a.Feature))
		}
		view.AddOns = append(view.AddOns, ui.Check{Name: "addOn", ID: "addon-" + string(a.Feature), Value: string(a.Feature), Label: a.Title, Checked: on})
	}
	view.When = ui.Radios{Name: "when", Legend: "From", Value: or(v.query("when"), "next-period"), Options: []ui.Option{
		{Value: "next-period", Label: "The next period", Hint: "On " + present.Period.End().In(present.Period.Zone).Format("2 January 2006") + "."},
		{Value: "now", Label: "Now", Hint: "The month is divided: each part by its own plan."},
	}}
	if name := v.query("plan"); name != "" && wrong == nil {
		w := plans.Wish{Plan: name, AddOns: query["addOn"], Later: v.query("when") == "next-period"}
		switch out, err := v.h.Plans.Preview(v.ctx(), p, w); {
		case err != nil && refused(err):
			view.Problems = append(view.Problems, ui.ErrorItem{Text: fault.As(err).Message})
		case err != nil:
			return err
		default:
			view.Preview = v.preview(out, w)
		}
	}
	for _, k := range credits {
		g := OperatorGrant{ID: ident.Format(ident.Credit, k.ID), Title: k.Reason, Sub: "of " + k.Amount.String() + ", by " + k.GrantedBy, Amount: k.Left().String(), Act: ":withdraw"}
		if !k.ExpiresAt.IsZero() {
			g.Sub += ", expires on " + k.ExpiresAt.In(v.zone).Format("2 January 2006")
		}
		if !k.WithdrawnAt.IsZero() || !k.Left().Amount.IsPositive() {
			g.Act = ""
		}
		view.Credits = append(view.Credits, g)
	}
	for _, k := range held.Coupons {
		if !k.Holds(present.Period.Start()) {
			continue
		}
		g := OperatorGrant{ID: k.ID, Title: k.Title, Sub: k.Reason, Amount: k.Percent.String() + "%", Act: ":end-coupon"}
		if k.Amount.IsPositive() {
			g.Amount = billing.Money{Amount: k.Amount, Currency: held.Plan.Card.Currency}.String()
		}
		view.Coupons = append(view.Coupons, g)
	}
	if view.Page, err = v.shell(c.Name, "/operator", "Operators", "/operator", c.Name); err != nil {
		return err
	}
	return v.renderAs(status, OperatorTenantPage(view))
}

func (h *Handler) operatorPlans(v *visit) error {
	list, err := h.Plans.PlanVersions(v.ctx(), v.who)
	if err != nil {
		return err
	}
	notes, err := h.Plans.Notes(v.ctx(), v.who, 0, 50)
	if err != nil {
		return err
	}
	view := OperatorPlansView{Tabs: operatorTabs("/operator/plans")}
	seen := map[string]bool{}
	for _, p := range list {
		line := OperatorPlanLine{Title: p.Card.Title, Sub: p.Name(), Version: itoa(p.Card.Version), State: "past", From: ui.Time{At: p.From, Date: true}}
		switch {
		case p.Present:
			line.State, line.Tone = "offered", ui.OK
		case p.From.After(v.now):
			line.State, line.Tone = "to come", ui.Info
		}
		if !seen[p.Name()] {
			line.Href = "/operator/plans/new?" + url.Values{"of": {p.Name()}}.Encode()
		}
		seen[p.Name()] = true
		var prices []string
		for _, q := range p.Card.Prices {
			if q.Scheme != billing.Included {
				prices = append(prices, q.Title+": "+q.Words(p.Card.Currency))
			}
		}
		line.Prices = strings.Join(prices, "; ")
		view.Plans = append(view.Plans, line)
	}
	for _, e := range notes {
		var detail struct{ Reason string }
		if err := json.Unmarshal(e.Detail, &detail); err != nil {
			return err
		}
		view.Log = append(view.Log, []string{e.At.In(v.zone).Format("2 January 2006, 15:04"), e.ActorName, e.Action, e.Subject, detail.Reason})
	}
	if view.Page, err = v.shell("Plans", "/operator", "Operators", "/operator", "Plans"); err != nil {
		return err
	}
	return v.render(OperatorPlansPage(view))
}

// newPlan is what a plan begins with that nobody wrote yet.
const newPlan = `{
  "model": "platform",
  "tier": "team",
  "text": "For whom it is, in a sentence.",
  "card": {
    "name": "platform-team",
    "title": "Platform Team",
    "currency": "usd",
    "prices": [
      {"id": "base", "title": "Platform Team", "meter": "months", "scheme": "flat", "base": true, "rate": "900"},
      {"id": "sync-operations", "title": "Sync operations", "meter": "sync_operations", "scheme": "per_unit", "included": 1000000, "rate": "0.002"}
    ]
  },
  "allows": {"integrations": 5, "features": []},
  "addOns": []
}`

func (v *visit) planForm(title, document string) (OperatorPlanView, error) {
	count := func(name, label, value string) ui.Field {
		return ui.Field{Name: name, Label: label, Value: or(v.form(name), value), Autocomplete: "off", Attrs: map[string]any{"inputmode": "numeric"}}
	}
	view := OperatorPlanView{
		Title: title, Tabs: operatorTabs("/operator/plans"),
		Document: ui.Area{Name: "document", Label: "Plan, in JSON", Value: document, Rows: 24, Mono: true},
		From:     ui.Field{Name: "from", Label: "From", Type: "date", Value: v.form("from"), Optional: true, Hint: "Now, when nothing is written"},
		Reason:   ui.Field{Name: "reason", Label: "Reason", Value: v.form("reason"), Hint: "Kept in the installation's log; needed to publish", Autocomplete: "off"},
		Syncs:    count("syncs", "Syncs", "1,000,000"), Records: count("contacts", "Contacts", "10,000"), Systems: count("systems", "Systems", "3"),
	}
	var err error
	view.Page, err = v.shell(title, "/operator", "Operators", "/operator", "Plans", "/operator/plans", title)
	return view, err
}

func (h *Handler) newPlanVersion(v *visit) error {
	document, title := newPlan, "New plan"
	if name := v.query("of"); name != "" {
		list, err := h.Plans.PlanVersions(v.ctx(), v.who)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(p plans.PlanVersion) bool { return p.Name() == name })
		if i < 0 {
			return errNoPage
		}
		p := list[i].Plan
		p.From, p.Card.Version = time.Time{}, 0
		b, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		document, title = string(b), "New version of "+p.Card.Title
	}
	view, err := v.planForm(title, document)
	if err != nil {
		return err
	}
	return v.render(OperatorPlanPage(view))
}

func (h *Handler) publishPlan(v *visit) error {
	document := v.form("document")
	p, err := plans.ReadPlan(strings.NewReader(document))
	if err == nil && v.form("from") != "" {
		p.From, err = v.date("from")
	}
	if err == nil && v.form("act") == "publish" {
		var out billing.Plan
		if out, err = h.Plans.PublishForAll(v.ctx(), v.who, p, v.form("reason")); err == nil {
			v.flash(ui.OK, out.Card.Title+", version "+itoa(out.Card.Version)+", is published.")
			return v.redirect("/operator/plans")
		}
	}
	var preview plans.PlanPreview
	if err == nil {
		usage := plans.Assumed{}
		for _, f := range []struct {
			name string
			to   *int64
		}{{"syncs", &usage.Syncs}, {"contacts", &usage.Contacts}, {"systems", &usage.Standard}} {
			if *f.to, err = strconv.ParseInt(strings.ReplaceAll(or(v.form(f.name), "0"), ",", ""), 10, 64); err != nil {
				err = fault.Wrap(err, fault.Invalid, "plans.usage_malformed", "%q is not a whole number.", v.form(f.name))
				break
			}
		}
		if err == nil {
			preview, err = h.Plans.PreviewPlan(v.ctx(), v.who, p, nil, usage)
		}
	}
	if err != nil && !refused(err) {
		return err
	}
	view, readErr := v.planForm("New version", document)
	if readErr != nil {
		return readErr
	}
	if err != nil {
		at, _ := errorsAt(err)
		view.Reason.Error, view.From.Error = at["/reason"], at["/from"]
		view.Problems = append(view.Problems, ui.ErrorItem{Field: "document", Text: fault.As(err).Message})
		return v.renderAs(statusOf(err), OperatorPlanPage(view))
	}
	view.Title = preview.Plan.Card.Title + ", version " + itoa(preview.Plan.Card.Version)
	view.Lines = pricingLines(preview.Then.Lines)
	view.Facts = []ui.KeyValue{{Key: "Begins", Body: ui.Fragments{ui.Time{At: preview.Plan.From}}}, {Key: "A month", Body: ui.Fragments{moneyOf(preview.Then.Total)}}}
	if preview.Now != nil {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Under the present version", Body: ui.Fragments{moneyOf(preview.Now.Total)}, Hint: "version " + itoa(preview.Now.Plan.Card.Version)})
	}
	return v.render(OperatorPlanPage(view))
}

func (v *visit) codesPage(status int, wrong error) error {
	list, err := v.h.Plans.Codes(v.ctx(), v.who)
	if err != nil {
		return err
	}
	view := OperatorCodesView{Tabs: operatorTabs("/operator/coupons")}
	day := func(t time.Time) string { return t.In(v.zone).Format("2 January 2006") }
	for _, c := range list {
		line := OperatorCodeLine{Code: c.Code, Title: c.Title, Off: c.Percent.String() + "%", Redeemed: itoa(c.Redeemed), Valid: "from " + day(c.From), State: "valid", Tone: ui.OK, MayEnd: c.EndedAt.IsZero()}
		if c.Amount.IsPositive() {
			line.Off = billing.Money{Amount: c.Amount, Currency: c.Currency}.String()
		}
		if c.Months == 0 {
			line.Off += " for ever"
		} else {
			line.Off += " for " + ui.Count(int64(c.Months), "month", "months")
		}
		if len(c.Plans) > 0 {
			line.Title += ", for " + strings.Join(c.Plans, ", ")
		}
		if c.Max > 0 {
			line.Redeemed += " of " + itoa(c.Max)
		}
		if !c.Until.IsZero() {
			line.Valid += " until " + day(c.Until)
		}
		switch {
		case !c.EndedAt.IsZero() || !c.Until.IsZero() && !v.now.Before(c.Until):
			line.State, line.Tone = "ended", ui.Idle
		case c.Max > 0 && c.Redeemed >= c.Max:
			line.State, line.Tone = "used up", ui.Idle
		case v.now.Before(c.From):
			line.State, line.Tone = "to come", ui.Info
		}
		view.Codes = append(view.Codes, line)
	}
	at, rest := errorsAt(wrong)
	field := func(f ui.Field) {
		if wrong != nil {
			f.Value = v.form(f.Name)
		}
		f.Error, f.Autocomplete = at["/"+f.Name], "off"
		view.Form = append(view.Form, f)
		if f.Error != "" {
			view.Problems = append(view.Problems, ui.ErrorItem{Field: or(f.ID, f.Name), Text: f.Error})
		}
	}
	field(ui.Field{Name: "code", Label: "Code", Hint: "4 to 40 letters, digits and hyphens", Required: true})
	field(ui.Field{Name: "title", Label: "Title", Hint: "Stands on the invoices", Required: true})
	field(ui.Field{Name: "percent", Label: "Percent off", Optional: true, After: "%"})
	field(ui.Field{Name: "amount", Label: "Or an amount", Optional: true})
	field(ui.Field{Name: "currency", Label: "Currency of the amount", Optional: true})
	field(ui.Field{Name: "months", Label: "Months", Value: "1", Hint: "That of the redemption first; 0 for ever", Required: true})
	field(ui.Field{Name: "plans", Label: "Plans", Hint: "Names, with commas between them; all when empty", Optional: true})
	field(ui.Field{Name: "maxRedemptions", Label: "Redemptions in all", Hint: "0 for any number", Value: "0"})
	field(ui.Field{Name: "maxPerTenant", Label: "By one tenant", Hint: "0 for any number", Value: "1"})
	field(ui.Field{Name: "validFrom", Label: "From", Type: "date", Optional: true})
	field(ui.Field{Name: "validUntil", Label: "Until", Type: "date", Optional: true})
	field(ui.Field{Name: "reason", Label: "Reason", Required: true})
	if f := fault.As(wrong); f != nil && len(view.Problems) == 0 {
		view.Problems = append(view.Problems, ui.ErrorItem{Text: or(rest, f.Message)})
	}
	if view.Page, err = v.shell("Coupon codes", "/operator", "Operators", "/operator", "Coupon codes"); err != nil {
		return err
	}
	return v.renderAs(status, OperatorCodesPage(view))
}

func (v *visit) typedCode() (c billing.CouponCode, err error) {
	c = billing.CouponCode{Code: v.form("code"), Title: v.form("title"), Currency: billing.Currency(strings.ToLower(v.form("currency")))}
	for name, to := range map[string]*decimal.Decimal{"percent": &c.Percent, "amount": &c.Amount} {
		if v.form(name) == "" {
			continue
		}
		if *to, err = typedAmount(strings.TrimSuffix(v.form(name), "%")); err != nil {
			return c, err
		}
	}
	for name, to := range map[string]*int{"months": &c.Months, "maxRedemptions": &c.Max, "maxPerTenant": &c.MaxPerTenant} {
		if *to, err = typedCount(name, v.form(name)); err != nil {
			return c, err
		}
	}
	for name, to := range map[string]*time.Time{"validFrom": &c.From, "validUntil": &c.Until} {
		if v.form(name) == "" {
			continue
		}
		if *to, err = v.date(name); err != nil {
			return c, err
		}
	}
	c.Plans = strings.FieldsFunc(v.form("plans"), func(r rune) bool { return r == ',' || r == ' ' })
	return c, nil
}

func (h *Handler) makeCode(v *visit) error {
	c, err := v.typedCode()
	if err == nil {
		c, err = h.Plans.AddCode(v.ctx(), v.who, c, v.form("reason"))
	}
	if err != nil {
		if !refused(err) {
			return err
		}
		return v.codesPage(statusOf(err), err)
	}
	v.flash(ui.OK, c.Code+" can be redeemed.")
	return v.redirect("/operator/coupons")
}

func (h *Handler) endCode(v *visit) error {
	c, err := h.Plans.EndCode(v.ctx(), v.who, v.form("code"), v.form("reason"))
	if err != nil {
		return v.backTo("/operator/coupons", err)
	}
	v.flash(ui.OK, c.Code+" is ended.")
	return v.redirect("/operator/coupons")
}

func (v *visit) monthCount() int {
	n, err := strconv.Atoi(v.query("months"))
	if err != nil {
		return 12
	}
	return n
}

func bookRow(b plans.Book, plan bool) []string {
	row := []string{monthName(b.Month)}
	if plan {
		row = append(row, b.Plan)
	}
	row = append(row, ui.Number(b.Agreements))
	for _, d := range []decimal.Decimal{b.Recurring, b.Invoiced, b.Collected, b.Outstanding, b.GivenUp, b.Credited, b.Refunded, b.FromCredit, b.Drafts} {
		row = append(row, billing.Money{Amount: d, Currency: b.Currency}.String())
	}
	return row
}

func (h *Handler) revenue(v *visit) error {
	months := v.monthCount()
	r, err := h.Plans.Revenue(v.ctx(), v.who, months)
	if err != nil {
		return err
	}
	view := RevenueView{Tabs: operatorTabs("/operator/revenue"), CSV: "/operator/revenue.csv?months=" + itoa(months), Months: ui.Select{Name: "months", Label: "Months", Value: itoa(months)}}
	for _, n := range []int{3, 6, 12, 24, 60} {
		view.Months.Options = append(view.Months.Options, ui.Option{Value: itoa(n), Label: "The last " + itoa(n)})
	}
	// Each figure by its own currency: a number of two would mean nothing.
	sums := map[billing.Currency]*plans.Book{}
	var order []billing.Currency
	now := billing.PeriodOf(v.now, time.UTC).Month
	for _, b := range r.ByMonth {
		s := sums[b.Currency]
		if s == nil {
			s = &plans.Book{Currency: b.Currency}
			sums[b.Currency], order = s, append(order, b.Currency)
		}
		if b.Month == now {
			s.Recurring = b.Recurring
		}
		s.Invoiced, s.Collected, s.Outstanding = s.Invoiced.Add(b.Invoiced), s.Collected.Add(b.Collected), s.Outstanding.Add(b.Outstanding)
		s.Credited, s.Refunded = s.Credited.Add(b.Credited), s.Refunded.Add(b.Refunded)
		view.ByMonth = append(view.ByMonth, bookRow(b, false))
	}
	for _, b := range r.ByPlan {
		view.ByPlan = append(view.ByPlan, bookRow(b, true))
	}
	each := func(of func(*plans.Book) decimal.Decimal) string {
		var list []billing.Money
		for _, c := range order {
			list = append(list, billing.Money{Amount: of(sums[c]), Currency: c})
		}
		return or(strings.TrimSuffix(amounts(list), "none"), "$0.00")
	}
	over := "over " + ui.Count(int64(months), "month", "months")
	view.Stats = []ui.Stat{
		{Label: "Recurring a month", Icon: "refresh-cw", Value: each(func(b *plans.Book) decimal.Decimal { return b.Recurring }), Note: "agreed now, before coupons"},
		{Label: "Invoiced", Icon: "receipt", Value: each(func(b *plans.Book) decimal.Decimal { return b.Invoiced }), Note: over},
		{Label: "Collected", Icon: "circle-check", Value: each(func(b *plans.Book) decimal.Decimal { return b.Collected }), Note: over},
		{Label: "Outstanding", Icon: "inbox", Value: each(func(b *plans.Book) decimal.Decimal { return b.Outstanding }), Note: "issued and not paid"},
		{Label: "Credited", Icon: "file-text", Value: each(func(b *plans.Book) decimal.Decimal { return b.Credited }), Note: each(func(b *plans.Book) decimal.Decimal { return b.Refunded }) + " refunded"},
	}
	view.Code = []ui.Code{{Title: "curl", Lang: "shell", Text: v.curl("GET", "/v1/operator/revenue?months="+itoa(months), "") + "\n\n# as CSV\n" + v.curl("GET", "/v1/operator/revenue/export?months="+itoa(months), "")}}
	if view.Page, err = v.shell("Revenue", "/operator", "Operators", "/operator", "Revenue"); err != nil {
		return err
	}
	return v.render(RevenuePage(view))
}

func (h *Handler) revenueCSV(v *visit) error {
	r, err := h.Plans.Revenue(v.ctx(), v.who, v.monthCount())
	if err != nil {
		return err
	}
	return r.CSV(&download{v: v, media: "text/csv; charset=utf-8", name: "revenue.csv"})
}

// redeem takes a coupon by its code.
func (h *Handler) redeem(v *visit) error {
	if _, err := h.Plans.Redeem(v.ctx(), v.who, v.form("code")); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			v.flash(ui.Bad, fault.As(err).Message)
			return v.redirect("/settings/plan")
		}
		return v.backTo("/settings/plan", err)
	}
	v.flash(ui.OK, "Redeemed. The draft of the present month shows it.")
	return v.redirect("/settings/plan")
}
