// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

var _ invoicing.Tx = (*Tx)(nil)

// BillingZone is the IANA time zone of the tenant.
func (t *Tx) BillingZone(ctx context.Context) (string, error) {
	zone, err := t.q.BillingZone(ctx)
	return zone, unavailable(err)
}

// LockInvoice returns the period's invoice that is not void, locked until the commit and without lines; if there is none
// it makes an empty draft from the one given.
func (t *Tx) LockInvoice(ctx context.Context, draft billing.Invoice) (billing.Invoice, error) {
	err := t.q.MakeInvoice(ctx, db.MakeInvoiceParams{
		ID: draft.ID, Period: draft.Period.Month.String(), PeriodStart: draft.Period.Start(), PeriodEnd: draft.Period.End(),
		TimeZone: draft.Period.Zone.String(), Plan: draft.RateCard, PlanVersion: int32(draft.CardVersion),
		Currency: string(draft.Currency), ComputedAt: draft.CreatedAt,
	})
	if err != nil {
		return billing.Invoice{}, unavailable(err)
	}
	row, err := t.q.LockInvoice(ctx, draft.Period.Month.String())
	if err != nil {
		return billing.Invoice{}, unavailable(err)
	}
	return invoiceOf(db.InvoiceRow(row))
}

// SaveDraft replaces head and lines of a draft. An invoice that is no draft is not touched: that is the fault
// billing.invoice_state.
func (t *Tx) SaveDraft(ctx context.Context, i billing.Invoice) error {
	if i.Flags == nil {
		i.Flags = []billing.Flag{}
	}
	flags, err := json.Marshal(i.Flags)
	if err != nil {
		return err
	}
	n, err := t.q.SaveDraft(ctx, db.SaveDraftParams{
		ID: i.ID, PeriodStart: i.Period.Start(), PeriodEnd: i.Period.End(), TimeZone: i.Period.Zone.String(),
		Plan: i.RateCard, PlanVersion: int32(i.CardVersion), Currency: string(i.Currency), Total: i.Total.Amount,
		ComputedAt: i.ComputedAt, Version: i.Version, Flags: flags,
	})
	if err != nil {
		return unavailable(err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "billing.invoice_state", "The invoice for %s is approved or no draft any more, so its lines cannot change.", i.Period.Month)
	}
	if err := t.q.DropInvoiceLines(ctx, i.ID); err != nil {
		return unavailable(err)
	}
	p := db.AddInvoiceLinesParams{InvoiceID: i.ID}
	for _, l := range i.Lines {
		explanation, err := json.Marshal(l.Explanation)
		if err != nil {
			return err
		}
		selector, err := json.Marshal(selectorOf(l))
		if err != nil {
			return err
		}
		p.Numbers = append(p.Numbers, int32(l.Position))
		p.Prices = append(p.Prices, l.Price)
		p.Meters = append(p.Meters, string(l.Meter))
		p.Descriptions = append(p.Descriptions, l.Title)
		p.Quantities = append(p.Quantities, l.Quantity)
		p.Amounts = append(p.Amounts, l.Amount.Amount)
		p.Charged = append(p.Charged, l.Charged)
		p.Explanations = append(p.Explanations, string(explanation))
		p.Selectors = append(p.Selectors, string(selector))
		p.Kinds = append(p.Kinds, string(cmp.Or(l.Kind, billing.UsageLine)))
		p.Periods = append(p.Periods, cmp.Or(l.Of, i.Period.Month).String())
		p.Reasons = append(p.Reasons, clean(l.Reason))
		p.Authors = append(p.Authors, l.Author)
		p.PartFroms = append(p.PartFroms, l.From)
		p.PartTos = append(p.PartTos, l.To)
		p.Reviews = append(p.Reviews, l.Review)
	}
	return unavailable(t.q.AddInvoiceLines(ctx, p))
}

// Invoice is the invoice with its lines.
func (t *Tx) Invoice(ctx context.Context, id uuid.UUID) (billing.Invoice, error) {
	row, err := t.q.Invoice(ctx, id)
	if err != nil {
		return billing.Invoice{}, notFound(err, "invoicing.invoice_not_found", "There is no invoice with this id; list the invoices and use one of their ids.")
	}
	invoice, err := invoiceOf(row)
	if err != nil {
		return billing.Invoice{}, err
	}
	invoice.Lines, err = t.InvoiceLines(ctx, id)
	return invoice, err
}

// Invoices are heads without lines, newest period first.
func (t *Tx) Invoices(ctx context.Context, f invoicing.Filter, after *invoicing.InvoicePosition, limit int) ([]billing.Invoice, error) {
	p := db.InvoicesParams{Page: int32(limit), States: texts(f.States), Review: f.Review}
	if after != nil {
		p.AfterPeriod, p.AfterID = &after.Month, after.ID
	}
	rows, err := t.q.Invoices(ctx, p)
	if err != nil {
		return nil, unavailable(err)
	}
	invoices := make([]billing.Invoice, len(rows))
	for i, r := range rows {
		if invoices[i], err = invoiceOf(db.InvoiceRow(r)); err != nil {
			return nil, err
		}
	}
	return invoices, nil
}

// InvoiceLines are the lines of an invoice in order.
func (t *Tx) InvoiceLines(ctx context.Context, invoice uuid.UUID) ([]billing.Line, error) {
	rows, err := t.q.InvoiceLines(ctx, invoice)
	if err != nil {
		return nil, unavailable(err)
	}
	lines := make([]billing.Line, len(rows))
	for i, r := range rows {
		l := billing.Line{
			Position: int(r.Number), Price: r.Price, Title: r.Description, Kind: billing.LineKind(r.Kind), Reason: r.Reason, Author: r.Author,
			From: value(r.PartFrom).UTC(), To: value(r.PartTo).UTC(), Review: r.Review,
			Meter: billing.Meter(r.Meter), Quantity: r.Quantity, Amount: money(r.Amount, r.Currency), Charged: r.Charged,
		}
		if l.Of, err = billing.ParseMonth(r.Period); err != nil {
			return nil, fmt.Errorf("reading line %d of invoice %s: %w", r.Number, invoice, err)
		}
		l.ID = billing.LineID(invoice, l.Key())
		if err := json.Unmarshal(r.Explanation, &l.Explanation); err != nil {
			return nil, fmt.Errorf("reading the explanation of line %d of invoice %s: %w", r.Number, invoice, err)
		}
		var selector lineSelector
		if err := json.Unmarshal(r.Selector, &selector); err != nil {
			return nil, fmt.Errorf("reading the selector of line %d of invoice %s: %w", r.Number, invoice, err)
		}
		l.Match, l.From, l.To, l.Kind, l.Review = selector.Match, selector.From, selector.To, selector.Kind, selector.Review
		lines[i] = l
	}
	return lines, nil
}

// lineSelector is what is kept of a line beside its columns: which usage it counts, and where it comes from.
type lineSelector struct {
	billing.Match
	From   time.Time        `json:"from,omitzero"`
	To     time.Time        `json:"to,omitzero"`
	Kind   billing.LineKind `json:"kind,omitempty"`
	Review string           `json:"review,omitempty"`
}

func selectorOf(l billing.Line) lineSelector {
	return lineSelector{Match: l.Match, From: l.From, To: l.To, Kind: l.Kind, Review: l.Review}
}

func invoiceOf(r db.InvoiceRow) (billing.Invoice, error) {
	month, err := billing.ParseMonth(r.Period)
	if err != nil {
		return billing.Invoice{}, fmt.Errorf("reading invoice %s: %w", r.ID, err)
	}
	zone, err := billing.Zone(r.TimeZone)
	if err != nil {
		return billing.Invoice{}, fmt.Errorf("reading invoice %s: %w", r.ID, err)
	}
	var flags []billing.Flag
	if err := json.Unmarshal(r.Flags, &flags); err != nil {
		return billing.Invoice{}, fmt.Errorf("reading the flags of invoice %s: %w", r.ID, err)
	}
	if len(flags) == 0 {
		flags = nil
	}
	return billing.Invoice{
		Number: value(r.Number), Flags: flags, ClosedAt: value(r.ClosedAt).UTC(), ApprovedAt: value(r.ApprovedAt).UTC(), ApprovedBy: r.ApprovedBy,
		ApprovedName: r.ApprovedName, FinalizedAt: value(r.FinalizedAt).UTC(), SettledAt: value(r.SettledAt).UTC(), Settlement: r.Settlement,
		Credited: money(r.Credited, r.Currency),
		ID:       r.ID, Period: month.In(zone), State: billing.InvoiceState(r.State), RateCard: r.Plan, CardVersion: int(r.PlanVersion),
		Currency: billing.Currency(r.Currency), Total: money(r.Total, r.Currency),
		CreatedAt: r.CreatedAt.UTC(), ComputedAt: r.ComputedAt.UTC(), Version: r.Version,
	}, nil
}

func money(amount decimal.Decimal, currency string) billing.Money {
	return billing.Money{Amount: amount, Currency: billing.Currency(currency)}
}
