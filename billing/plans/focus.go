// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"encoding/csv"
	"io"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
)

// FOCUSVersion is the version of the FinOps Open Cost and Usage Specification that the export follows.
const FOCUSVersion = "1.2"

// focusColumns are those that FOCUS 1.2 makes mandatory; of the conditional ones those whose condition holds here (usage is
// measured, there are unit prices and a price list, some plans are negotiated); and those it recommends that say something.
var focusColumns = []string{
	"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
	"ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId",
	"InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
	"ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId",
}

// A focusRow is one charge. FOCUS wants quantity times price to be the cost, so a line that reaches over tiers is a row for each, and
// what rounding the line to whole cents gives or takes is one of its own.
type focusRow struct {
	category, class, frequency string
	text                       string
	cost                       decimal.Decimal
	quantity, price            *decimal.Decimal // nil: neither
	unit                       string
	consumed                   *decimal.Decimal
	consumedUnit               string
	sku, meter                 string
}

// focusRows are the rows of a line; their costs add up to its amount. period is the month that they are in: what is charged for
// an earlier one corrects it.
func focusRows(l billing.Line, period billing.Month) []focusRow {
	sku, _, _ := strings.Cut(l.Price, billing.PartMark)
	base := focusRow{category: "Usage", frequency: "Usage-Based", text: l.Title, sku: sku, meter: skuMeters[l.Meter]}
	if l.Kind == billing.LateLine || !l.Of.IsZero() && l.Of != period {
		base.class = "Correction"
	}
	switch l.Kind {
	case billing.FeeLine, billing.AddOnLine:
		base.category, base.frequency = "Purchase", "Recurring"
	case billing.MinimumLine, billing.CapLine, billing.AdjustmentLine:
		base.category, base.frequency, base.sku, base.meter = "Adjustment", "One-Time", "", ""
	case billing.DiscountLine, billing.CreditLine:
		base.category, base.frequency, base.sku, base.meter = "Credit", "One-Time", "", ""
	}
	whole := func(v decimal.Decimal) *decimal.Decimal { return &v }
	amount := l.Amount.Amount
	if base.category == "Adjustment" || base.category == "Credit" {
		base.cost = amount
		return []focusRow{base}
	}
	unit := unitOf(l.Meter)
	var rows []focusRow
	sum := decimal.Zero
	for _, s := range l.Explanation {
		if s.Name == billing.StepRound {
			continue
		}
		row := base
		row.text = l.Title + ": " + s.Text
		quantity := decimal.NewFromInt(s.Quantity)
		perUnit := s.Name == billing.StepTier || s.Name == billing.StepRate || s.Name == billing.StepIncluded && s.Amount.IsZero()
		if base.category != "Usage" || !perUnit || s.Quantity <= 0 || s.Rate.IsNegative() || !quantity.Mul(s.Rate).Equal(s.Amount) {
			rows = nil
			break
		}
		row.cost, row.quantity, row.price, row.unit = s.Amount, &quantity, whole(s.Rate), unit
		row.consumed, row.consumedUnit = &quantity, unit
		rows = append(rows, row)
		sum = sum.Add(s.Amount)
	}
	if len(rows) > 0 {
		if rest := amount.Sub(sum); !rest.IsZero() {
			rows = append(rows, focusRow{category: "Adjustment", class: base.class, frequency: "One-Time", text: l.Title + ": rounded to whole cents", cost: rest})
		}
		return rows
	}
	// A price that is not a unit's, such as a fee, a share or packages, is that of the one month. A late line can be below nothing, and
	// has no price then.
	row := base
	row.cost = amount
	if !amount.IsNegative() {
		row.quantity, row.price, row.unit = whole(decimal.NewFromInt(1)), &amount, "Months"
	} else if row.class == "" {
		row.category, row.frequency, row.sku, row.meter = "Adjustment", "One-Time", "", ""
	}
	if row.category == "Usage" {
		row.consumed, row.consumedUnit = whole(decimal.NewFromInt(l.Quantity)), unit
	}
	return []focusRow{row}
}

// skuMeters says what a price meters.
var skuMeters = map[billing.Meter]string{
	billing.SyncOperations: "Sync Operations", billing.Records: "Records Under Management", billing.Integrations: "Connected Integrations", billing.Enrichments: "Enrichment Lookups",
	billing.Months: "Subscription Months", billing.Amounts: "Charges",
}

func unitOf(m billing.Meter) string {
	name := m.Unit(2)
	if name == "" {
		return "Units"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// A focusDocument is lines with the number of what they stand on: an invoice, a credit note, "" for the draft of a month.
type focusDocument struct {
	number string
	lines  []billing.Line
	class  string // of all its rows; "" for what each line says
}

// credited is an issued credit note as a document: it takes back what an invoice asked for.
func credited(c billing.CreditNote) focusDocument {
	amount := c.Amount
	amount.Amount = amount.Amount.Neg()
	return focusDocument{number: c.Name(), class: "Correction", lines: []billing.Line{{Title: c.Name() + ": " + c.Reason, Meter: billing.Amounts, Kind: billing.CreditLine, Amount: amount, Charged: true}}}
}

// focus writes documents as rows of FOCUS.
func focus(w io.Writer, who auth.Principal, name string, p billing.Period, documents []focusDocument) error {
	out := csv.NewWriter(w)
	if err := out.Write(focusColumns); err != nil {
		return err
	}
	when := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	number := func(d *decimal.Decimal) string {
		if d == nil {
			return ""
		}
		return d.String()
	}
	write := func(d focusDocument, l billing.Line) error {
		if !l.Charged {
			return nil // shown for information only
		}
		from, to := p.Start(), p.End()
		if !l.From.IsZero() {
			from, to = l.From, l.To
		} else if !l.Of.IsZero() && l.Of != p.Month {
			of := l.Of.In(p.Zone)
			from, to = of.Start(), of.End()
		}
		for _, r := range focusRows(l, p.Month) {
			if d.class != "" {
				r.class = d.class
			}
			price, pricing := "", ""
			if r.sku != "" {
				pricing = "Standard"
				if r.price != nil {
					price = r.sku + "@" + number(r.price) // the same wherever the price is the same
				}
			}
			err := out.Write([]string{
				r.cost.String(), ident.Format(ident.Tenant, who.Tenant), cell(name), strings.ToUpper(string(l.Amount.Currency)), when(p.End()), when(p.Start()), r.category, r.class, cell(r.text),
				r.frequency, when(to), when(from), number(r.consumed), r.consumedUnit, r.cost.String(), number(r.price), r.cost.String(), d.number,
				"Syncline", r.cost.String(), number(r.price), pricing, number(r.quantity), r.unit, "Syncline", "Syncline", "Integration", "Data synchronization",
				"Other (Integration)", r.sku, r.meter, price,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, d := range documents {
		for _, l := range d.lines {
			if err := write(d, l); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
