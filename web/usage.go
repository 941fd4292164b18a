// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesUsage(r chi.Router) {
	r.Get("/usage", h.page(h.usage))
	r.Get("/invoices", h.page(func(v *visit) error { return v.redirect("/usage") }))
	r.Get("/invoices/{invoice}", h.page(h.invoice))
	r.Get("/invoices/{invoice}/lines.csv", h.page(h.invoiceLines))
}

func invoicePath(id uuid.UUID) string { return "/invoices/" + ident.Format(ident.Invoice, id) }

// monthName writes a month for people: "November 2026".
func monthName(m billing.Month) string { return m.Month.String() + " " + itoa(m.Year) }

// month reads which month the page is about; the zero month is the present one.
func (v *visit) month() (billing.Month, error) {
	text := v.query("period")
	if text == "" {
		return billing.Month{}, nil
	}
	return billing.ParseMonth(text)
}

// usage shows what was used in a month. Who may see invoices sees the amounts, too; the draft invoice is brought up to date
// by looking, so that page and invoice say the same.
func (h *Handler) usage(v *visit) error {
	if err := v.who.May(auth.ViewUsage); err != nil {
		return err
	}
	month, err := v.month()
	if err != nil {
		return err
	}
	u, err := h.Invoicer.Usage(v.ctx(), v.who.Tenant, month)
	if err != nil {
		return err
	}
	all, err := v.lineup()
	if err != nil {
		return err
	}
	view := UsageView{Period: monthName(u.Period.Month), Money: v.can(auth.ViewInvoices), Zone: u.Period.Zone.String(), Rule: "Counted from settled facts, each once: what a system really took. Echoes, retries, failures and equal values are free."}
	view.Months = v.months(u.Period.Month)
	var draft billing.Invoice
	if view.Money {
		if draft, err = v.ledger(&view, u.Period); err != nil {
			return err
		}
	}
	view.Daily = daily(u, v.now)
	view.Meters = meters(u, draft, view.Money)
	view.Stats = usageStats(u, draft, v.now, view.Money)
	if view.Services, err = servicesUsage(u, all); err != nil {
		return err
	}
	for _, r := range u.Records {
		view.Records = append(view.Records, []string{or(r.ServiceName, "a service that is gone"), or(r.DataClass, "any"), ui.Number(r.Records)})
	}
	if view.Page, err = v.shell("Usage & invoices", "/usage", "Usage & invoices"); err != nil {
		return err
	}
	return v.render(UsagePage(view))
}

// months are those since the tenant began, the present one first.
func (v *visit) months(shown billing.Month) ui.Select {
	s := ui.Select{Name: "period", Label: "Month", Value: shown.String()}
	m := billing.PeriodOf(v.now, v.zone).Month
	first := billing.PeriodOf(v.session.Tenant.CreatedAt, v.zone).Month
	for i := 0; i < 36; i++ {
		s.Options = append(s.Options, ui.Option{Value: m.String(), Label: monthName(m)})
		if m == first {
			break
		}
		m = m.Previous()
	}
	if !slices.ContainsFunc(s.Options, func(o ui.Option) bool { return o.Value == s.Value }) {
		s.Options = append(s.Options, ui.Option{Value: s.Value, Label: monthName(shown)})
	}
	return s
}

// ledger reads the invoices. The draft of the month shown is brought up to date first; a month before the tenant began gets
// none.
func (v *visit) ledger(view *UsageView, p billing.Period) (draft billing.Invoice, err error) {
	if !p.End().Before(v.session.Tenant.CreatedAt) {
		if draft, err = v.h.Invoicer.Draft(v.ctx(), v.who.Tenant, p.Month); err != nil {
			return draft, err
		}
	}
	list, _, err := v.h.Invoicer.Invoices(v.ctx(), v.who.Tenant, invoicing.Page{Limit: 36})
	for _, i := range list {
		view.Invoices = append(view.Invoices, InvoiceLine{
			ID: ident.Format(ident.Invoice, i.ID), Number: monthName(i.Period.Month), Href: invoicePath(i.ID), Period: v.span(i.Period), State: string(i.State), Total: moneyOf(i.Total),
		})
	}
	return draft, err
}

// span writes a period with its first and last day.
func (v *visit) span(p billing.Period) string {
	return p.Start().In(p.Zone).Format("2 Jan") + " to " + p.End().Add(-time.Second).In(p.Zone).Format("2 Jan 2006")
}

func daily(u invoicing.Usage, now time.Time) ui.BarChart {
	c := ui.BarChart{ID: "daily", Title: "Sync operations by day, " + monthName(u.Period.Month), Unit: "operations per day", Series: []ui.Series{{Name: "in real time", Tone: ui.Accent}, {Name: "by runs", Tone: ui.Info}}}
	for i, d := range u.Days {
		if d.Start.After(now) {
			break
		}
		day := d.Start.In(u.Period.Zone)
		c.Bars = append(c.Bars, ui.Bar{Label: day.Format("2 Jan"), Tick: i%7 == 0, Parts: []int64{d.Realtime, d.Operations - d.Realtime}})
	}
	return c
}

var meterTexts = map[billing.Meter][2]string{
	billing.SyncOperations: {"Sync operations", "one record created, changed or deleted in one system"},
	billing.Records:        {"Records under management", "distinct records that lived at any time in the month"},
	billing.Integrations:   {"Integrations", "systems of services that were in use"},
	billing.Enrichments:    {"Enrichment lookups", "records that an outside source knew more about"},
}

// meters lists what is counted. The amounts are those of the invoice's lines, surcharges apart.
func meters(u invoicing.Usage, draft billing.Invoice, money bool) (out []MeterLine) {
	for _, m := range u.Meters {
		text := meterTexts[m.Meter]
		line := MeterLine{ID: "meter-" + strings.ReplaceAll(string(m.Meter), "_", "-"), Name: or(text[0], string(m.Meter)), Text: text[1], Quantity: ui.Number(m.Quantity)}
		if money {
			line.Amount = moneyOf(billing.Zero(u.RateCard.Currency))
			line.Tier = "included"
		}
		for _, p := range u.RateCard.Prices {
			if p.Meter != m.Meter || p.Match != (billing.Match{}) || !money {
				continue
			}
			line.Tier, line.Next = reached(p, m.Quantity, u.RateCard.Currency)
			for _, l := range linesOf(u, draft) {
				if l.Price == p.ID {
					line.Amount = moneyOf(l.Amount)
					if m.Meter == billing.SyncOperations && draft.ID != uuid.Nil {
						line.Href = invoicePath(draft.ID) + "?line=" + ident.Format(ident.Line, l.ID) + "#operations"
					}
				}
			}
		}
		out = append(out, line)
		for _, l := range linesOf(u, draft) {
			if l.Meter != m.Meter || l.Match == (billing.Match{}) || !money || l.Quantity == 0 {
				continue
			}
			extra := MeterLine{ID: "price-" + idWord(l.Price), Name: l.Title, Text: "of these, on top", Quantity: ui.Number(l.Quantity), Amount: moneyOf(l.Amount)}
			for _, p := range u.RateCard.Prices {
				if p.ID == l.Price {
					extra.Tier, extra.Next = reached(p, l.Quantity, u.RateCard.Currency)
				}
			}
			if m.Meter == billing.SyncOperations && draft.ID != uuid.Nil {
				extra.Href = invoicePath(draft.ID) + "?line=" + ident.Format(ident.Line, l.ID) + "#operations"
			}
			out = append(out, extra)
		}
	}
	return out
}

// linesOf are the lines that the page shows amounts of: the invoice's, which are kept, else those computed for the page.
func linesOf(u invoicing.Usage, draft billing.Invoice) []billing.Line {
	if draft.ID != uuid.Nil {
		return draft.Lines
	}
	return u.Lines
}

// reached says which tier a quantity has reached, and how far the next one is.
func reached(p billing.Price, quantity int64, currency billing.Currency) (tier, next string) {
	rate := func(t billing.Tier) string {
		return billing.Money{Amount: t.Rate, Currency: currency}.String() + " each"
	}
	var from int64
	for i, t := range p.Tiers {
		if t.UpTo == 0 || quantity < t.UpTo || quantity == t.UpTo && i == len(p.Tiers)-1 {
			tier = "from " + ui.Number(from+1) + " at " + rate(t)
			if t.UpTo > 0 {
				tier = ui.Number(from+1) + " to " + ui.Number(t.UpTo) + " at " + rate(t)
				next = ui.Number(t.UpTo-quantity) + " more until " + rate(p.Tiers[i+1])
			}
			return tier, next
		}
		from = t.UpTo
	}
	switch p.Scheme {
	case billing.PerUnit:
		return billing.Money{Amount: p.Rate, Currency: currency}.String() + " each", ""
	case billing.Included:
		return "included in the plan", ""
	}
	return "", ""
}

func usageStats(u invoicing.Usage, draft billing.Invoice, now time.Time, money bool) (out []ui.Stat) {
	over := !now.Before(u.Period.End())
	if money {
		total := u.Total
		if draft.ID != uuid.Nil {
			total = draft.Total
		}
		s := ui.Stat{Label: "Month to date", Icon: "receipt", Value: moneyOf(total).String(), Note: "a draft until the month is closed"}
		if over {
			s.Label = "Total"
		}
		if draft.ID != uuid.Nil {
			s.Href = invoicePath(draft.ID)
			if draft.State != billing.Draft {
				s.Note = "the invoice is " + string(draft.State)
			}
		}
		out = append(out, s)
	}
	var ops, realtime, records, systems int64
	for _, m := range u.Meters {
		switch m.Meter {
		case billing.SyncOperations:
			ops, realtime = m.Quantity, m.Realtime
		case billing.Records:
			records = m.Quantity
		case billing.Integrations:
			systems = m.Quantity
		}
	}
	note := ui.Percent(realtime, ops) + " in real time"
	if ops == 0 {
		note = "none yet"
	}
	return append(out,
		ui.Stat{Label: "Sync operations", Icon: "refresh-cw", Value: ui.Number(ops), Note: note},
		ui.Stat{Label: "Records", Icon: "table-2", Value: ui.Number(records), Note: "under management"},
		ui.Stat{Label: "Integrations", Icon: "plug", Value: ui.Number(systems), Note: "systems in use"})
}

func servicesUsage(u invoicing.Usage, all *lineup) (out []UsageLine, err error) {
	var total int64
	for _, s := range u.Systems {
		total += s.Operations
		if len(out) == 0 || out[len(out)-1].Service != serviceUsed(s.ServiceName) {
			out = append(out, UsageLine{Service: serviceUsed(s.ServiceName)})
			if s.ServiceName != "" {
				out[len(out)-1].Href = servicePath(s.ServiceName)
			}
		}
		r, err := all.roster(service.ID(s.Service))
		if err != nil {
			return nil, err
		}
		line := &out[len(out)-1]
		line.Quantity += s.Operations
		line.Systems = append(line.Systems, SystemUse{System: r.ref(s.System), Operations: s.Operations, Realtime: s.Realtime, Premium: s.Premium})
	}
	for i := range out {
		if total > 0 {
			out[i].Share = float64(out[i].Quantity) / float64(total)
		}
	}
	slices.SortStableFunc(out, func(a, b UsageLine) int { return int(min(max(b.Quantity-a.Quantity, -1), 1)) })
	return out, nil
}

func serviceUsed(name string) string { return or(name, "a service that is gone") }

// invoiceOf is the invoice of the address, a draft as it is at this moment.
func (v *visit) invoiceOf() (billing.Invoice, error) {
	if err := v.who.May(auth.ViewInvoices); err != nil {
		return billing.Invoice{}, err
	}
	id, err := ident.Parse(ident.Invoice, v.param("invoice"))
	if err != nil {
		return billing.Invoice{}, err
	}
	i, err := v.h.Invoicer.Invoice(v.ctx(), v.who.Tenant, id)
	if err == nil && i.State == billing.Draft {
		i, err = v.h.Invoicer.Draft(v.ctx(), v.who.Tenant, i.Period.Month)
	}
	return i, err
}

func (h *Handler) invoice(v *visit) error {
	i, err := v.invoiceOf()
	if err != nil {
		return err
	}
	view := InvoiceView{
		ID: ident.Format(ident.Invoice, i.ID), Number: monthName(i.Period.Month), Path: invoicePath(i.ID), State: string(i.State), Period: v.span(i.Period), Customer: v.session.Tenant.Name, Total: moneyOf(i.Total),
	}
	if i.State == billing.Draft {
		text := "It follows from what was counted so far and changes with it until the month is over, on " + i.Period.End().In(i.Period.Zone).Format("2 January") + "."
		if !v.now.Before(i.Period.End()) {
			text = "The month is over; the invoice has not been finalized yet. Usage that arrives late still counts."
		}
		view.Notices = append(view.Notices, ui.Alert{Tone: ui.Info, Title: "A draft", Text: text})
	}
	view.Facts = []ui.KeyValue{
		{Key: "For", Text: v.session.Tenant.Name},
		{Key: "Period", Text: view.Period},
		{Key: "Time zone", Text: i.Period.Zone.String(), Hint: "in which the month begins and ends"},
		{Key: "Prices", Text: i.RateCard + ", version " + itoa(i.CardVersion)},
		{Key: "Currency", Text: strings.ToUpper(string(i.Currency))},
		{Key: "Rounding", Text: "each line to whole cents, half to even", Hint: "the total is the sum of the lines"},
		{Key: "Computed", Body: ui.Fragments{ui.Time{At: i.ComputedAt}}},
		{Key: "Invoice", Body: ui.Fragments{ui.ID{Value: view.ID, Short: true, Label: "invoice id"}}},
	}
	api := "/v1/invoices/" + view.ID
	view.Code = []ui.Code{{Title: "Invoice", Lang: "shell", Text: v.curl("GET", api, "")}}
	opened := v.query("line")
	for _, l := range i.Lines {
		item := invoiceItem(l, view.Path)
		item.Open = item.ID == opened
		view.Lines = append(view.Lines, item)
		if item.Open {
			if view.Opened, err = v.operations(i, l); err != nil {
				return err
			}
			view.Code = append(view.Code, ui.Code{Title: "Operations", Lang: "shell", Text: v.curl("GET", api+"/lines/"+item.ID+"/operations", "")})
		}
	}
	if view.Page, err = v.shell("Invoice "+view.Number, "/usage", "Usage & invoices", "/usage", view.Number); err != nil {
		return err
	}
	return v.render(InvoicePage(view))
}

func invoiceItem(l billing.Line, path string) InvoiceItem {
	item := InvoiceItem{
		ID: ident.Format(ident.Line, l.ID), Title: l.Title, Quantity: ui.Number(l.Quantity), Unit: l.Meter.Unit(l.Quantity), Amount: moneyOf(l.Amount), Free: !l.Charged,
	}
	if l.Meter == billing.SyncOperations && l.Quantity > 0 {
		item.Href = path + "?line=" + item.ID + "#operations"
	}
	for _, s := range l.Explanation {
		which, _, found := strings.Cut(s.Text, ": ")
		t := TierLine{Range: s.Text}
		if (s.Name == billing.StepTier || s.Name == billing.StepRate) && found {
			rate := billing.Money{Amount: s.Rate, Currency: l.Amount.Currency}
			t = TierLine{Range: which, Quantity: ui.Number(s.Quantity) + " × " + rate.String(), Amount: billing.Money{Amount: s.Amount, Currency: l.Amount.Currency}.String()}
		}
		item.Tiers = append(item.Tiers, t)
	}
	return item
}

// operations opens a line into what it counts.
func (v *visit) operations(i billing.Invoice, l billing.Line) (*OperationsView, error) {
	place := v.place()
	list, next, err := v.h.Invoicer.LineOperations(v.ctx(), v.who.Tenant, i.ID, l.ID, invoicing.Page{After: place.after(), Limit: pageSize})
	if fault.IsCode(err, "invoicing.line_without_operations") {
		return &OperationsView{Title: "Operations of " + l.Title, Note: fault.As(err).Message}, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := v.lineup()
	if err != nil {
		return nil, err
	}
	out := &OperationsView{Title: "Operations of " + l.Title, Total: l.Quantity, Pager: place.pager(len(list), next, "operation", "operations")}
	out.Note = "Each is one change that a system took, counted once. Together they are the " + ui.Count(l.Quantity, "operation", "operations") + " of the line."
	if i.State == billing.Draft {
		out.Note = "Each is one change that a system took, counted once, the newest first. The draft counted " + ui.Number(l.Quantity) + " at " + i.ComputedAt.In(i.Period.Zone).Format("15:04:05") + "; newer ones join when it is computed again."
	}
	for _, o := range list {
		name := all.name(service.ID(o.Service))
		r, err := all.roster(service.ID(o.Service))
		if err != nil {
			return nil, err
		}
		entity := ident.Format(ident.Entity, o.Entity)
		line := OperationLine{
			ID: ident.Format(ident.Journal, o.ID), At: o.At, Service: serviceUsed(name), Record: shortID(entity), System: r.ref(o.System), Kind: o.Op, Fields: strings.Join(o.Fields, ", "),
		}
		if name != "" && v.can(auth.ViewRecords) {
			line.Href = servicePath(name) + "/records/" + entity
		}
		var flags []string
		if o.Realtime {
			flags = append(flags, "real time")
		}
		if o.Complex {
			flags = append(flags, "complex")
		}
		line.Flags = strings.Join(flags, ", ")
		out.Lines = append(out.Lines, line)
	}
	return out, nil
}

// invoiceLines is the invoice as a table for a spreadsheet: each line, and under it the steps of its explanation.
func (h *Handler) invoiceLines(v *visit) error {
	i, err := v.invoiceOf()
	if err != nil {
		return err
	}
	head := v.w.Header()
	head.Set("Content-Type", "text/csv; charset=utf-8")
	head.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="invoice-%s-%s.csv"`, url.PathEscape(i.Period.Month.String()), i.State))
	w := csv.NewWriter(v.w)
	_ = w.Write([]string{"period", "line", "step", "quantity", "unit", "rate", "amount", "currency"}) // the reader may be gone; Flush tells nobody
	currency := strings.ToUpper(string(i.Currency))
	for _, l := range i.Lines {
		_ = w.Write([]string{i.Period.Month.String(), cellText(l.Title), "", fmt.Sprint(l.Quantity), l.Meter.Unit(2), "", l.Amount.Fixed(), currency})
		for _, s := range l.Explanation {
			_ = w.Write([]string{i.Period.Month.String(), cellText(l.Title), cellText(s.Text), fmt.Sprint(s.Quantity), l.Meter.Unit(2), s.Rate.String(), s.Amount.String(), currency})
		}
	}
	_ = w.Write([]string{i.Period.Month.String(), "Total", "", "", "", "", i.Total.Fixed(), currency})
	w.Flush()
	return nil
}

// cellText keeps a spreadsheet from taking text for a formula.
func cellText(s string) string {
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
