// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// Form is how usage is written out.
type Form string

// The forms.
const (
	CSV   Form = "csv"   // a row for each counted fact
	JSONL Form = "jsonl" // the same, an object for each line
	FOCUS Form = "focus" // costs, a row for each invoice line, with the columns of the FinOps Open Cost and Usage Specification
)

// Counted is one fact of the ledger with the name of its service.
type Counted struct {
	billing.UsageEvent
	ServiceName string
}

// exportPage is how many facts are read at once; the whole ledger is never in memory.
const exportPage = 5_000

// Export writes the usage of a month to w, a part at a time. The zero month is the present one. Nothing is written when it
// fails before the first row.
func (m *Manager) Export(ctx context.Context, who auth.Principal, month billing.Month, form Form, w io.Writer) error {
	need := auth.ViewUsage
	if form == FOCUS {
		need = auth.ViewInvoices
	}
	if err := who.May(need); err != nil {
		return err
	}
	var p billing.Period
	var rated rating.Result
	var name string
	err := m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		if p, err = periodNow(ctx, tx); err != nil {
			return err
		}
		if !month.IsZero() {
			if asked := month.In(p.Zone); asked.Start().After(p.Start()) {
				return fault.New(fault.Invalid, "invoicing.period_future", "The period %s has not begun; ask for %s or an earlier one.", month, p.Month)
			}
			p = month.In(p.Zone)
		}
		if form != FOCUS {
			return nil
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		if name, err = tx.TenantName(ctx); err != nil {
			return err
		}
		rated, err = rate(ctx, tx, p, list)
		return err
	})
	if err != nil {
		return err
	}
	if form == FOCUS {
		return focus(w, who, name, p, rated)
	}
	write, flush := rows(form, w)
	for _, meter := range billing.Meters {
		after := Counted{}
		for {
			var page []Counted
			err := m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
				page, err = tx.UsageEvents(ctx, meter, p.Start(), p.End(), after.At, after.Key, exportPage)
				return err
			})
			if err != nil {
				return err
			}
			for _, c := range page {
				if err := write(c); err != nil {
					return err
				}
			}
			if len(page) < exportPage {
				break
			}
			after = page[len(page)-1]
		}
	}
	return flush()
}

var usageColumns = []string{"at", "meter", "quantity", "service", "serviceName", "system", "object", "dataClass", "realtime", "complex", "premium", "key"}

func rows(form Form, w io.Writer) (write func(Counted) error, flush func() error) {
	if form == JSONL {
		e := json.NewEncoder(w)
		return func(c Counted) error {
			return e.Encode(map[string]any{
				"at": c.At.UTC().Format(time.RFC3339Nano), "meter": c.Meter, "quantity": c.Quantity, "service": public(c.Service), "serviceName": c.ServiceName,
				"system": c.System, "object": c.Object, "dataClass": c.DataClass, "realtime": c.Realtime, "complex": c.Complex, "premium": c.Premium, "key": c.Key,
			})
		}, func() error { return nil }
	}
	out := csv.NewWriter(w)
	headed := false
	head := func() error {
		if headed {
			return nil
		}
		headed = true
		return out.Write(usageColumns)
	}
	return func(c Counted) error {
			if err := head(); err != nil {
				return err
			}
			return out.Write([]string{
				c.At.UTC().Format(time.RFC3339Nano), string(c.Meter), strconv.FormatInt(c.Quantity, 10), public(c.Service), cell(c.ServiceName), cell(string(c.System)), cell(string(c.Object)),
				cell(c.DataClass), strconv.FormatBool(c.Realtime), strconv.FormatBool(c.Complex), strconv.FormatBool(c.Premium), c.Key,
			})
		}, func() error {
			if err := head(); err != nil {
				return err
			}
			out.Flush()
			return out.Error()
		}
}

func public(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return ident.Format(ident.Service, id)
}

// cell keeps a spreadsheet from taking text for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// focusColumns are those that FOCUS 1.0 makes mandatory, and of the others those that say something here.
var focusColumns = []string{
	"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
	"ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ContractedCost", "PricingCategory",
	"PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId",
}

func focus(w io.Writer, who auth.Principal, name string, p billing.Period, r rating.Result) error {
	out := csv.NewWriter(w)
	if err := out.Write(focusColumns); err != nil {
		return err
	}
	when := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	for _, l := range r.Lines {
		from, to := p.Start(), p.End()
		if !l.From.IsZero() {
			from, to = l.From, l.To
		}
		category, frequency := "Usage", "Usage-Based"
		switch l.Kind {
		case billing.FeeLine, billing.AddOnLine:
			category, frequency = "Purchase", "Recurring"
		case billing.MinimumLine, billing.CapLine:
			category, frequency = "Adjustment", "One-Time"
		case billing.DiscountLine, billing.CreditLine:
			category, frequency = "Credit", "One-Time"
		}
		quantity, unit := strconv.FormatInt(l.Quantity, 10), l.Meter.Unit(2)
		if l.Meter == billing.Amounts {
			quantity, unit = "", ""
		}
		consumed, of := quantity, unit
		if category != "Usage" { // nothing else is consumed
			consumed, of = "", ""
		}
		cost := l.Amount.Fixed()
		price, _, _ := strings.Cut(l.Price, billing.PartMark)
		if err := out.Write([]string{
			cost, ident.Format(ident.Tenant, who.Tenant), cell(name), strings.ToUpper(string(l.Amount.Currency)), when(p.End()), when(p.Start()), category, "", cell(l.Title), frequency,
			when(to), when(from), consumed, of, cost, "Syncline", cost, cost, "Standard", quantity, unit, "Syncline", "Syncline", "Integration", "Data synchronization", price, l.Price,
		}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
