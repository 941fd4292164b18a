// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Draft brings the draft invoice of the month up to date with the ledger and returns it. The zero month is the present
// one. There is one invoice per period that is not void; if it has left the draft state it is returned as it stands.
// The version changes only when something that the invoice shows did.
func (i *Invoicer) Draft(ctx context.Context, id tenant.ID, month billing.Month) (billing.Invoice, error) {
	var invoice billing.Invoice
	err := i.inTx(ctx, id, func(tx Tx) error {
		p, err := period(ctx, tx, month)
		if err != nil {
			return err
		}
		invoice, err = i.draft(ctx, tx, p)
		return err
	})
	return invoice, err
}

func (i *Invoicer) draft(ctx context.Context, tx Tx, p billing.Period) (billing.Invoice, error) {
	agreements, card, err := terms(ctx, tx, p)
	if err != nil {
		return billing.Invoice{}, err
	}
	next := billing.Invoice{
		ID:          uuid.Must(uuid.NewV7()),
		Period:      p,
		State:       billing.Draft,
		RateCard:    card.Name,
		CardVersion: card.Version,
		Currency:    card.Currency,
		Total:       billing.Zero(card.Currency),
		CreatedAt:   tx.Now(),
		Version:     1,
	}
	held, err := tx.LockInvoice(ctx, next)
	if err != nil {
		return billing.Invoice{}, err
	}
	if held.Lines, err = tx.InvoiceLines(ctx, held.ID); err != nil {
		return billing.Invoice{}, err
	}
	if held.State != billing.Draft {
		return held, nil
	}
	rated, err := rateTerms(ctx, tx, p, agreements)
	if err != nil {
		return billing.Invoice{}, err
	}
	next.ID, next.CreatedAt, next.Version = held.ID, held.CreatedAt, held.Version
	next.Total, next.Lines, next.ComputedAt = rated.Total, rated.Lines, tx.Now()
	for n := range next.Lines {
		next.Lines[n].ID = billing.LineID(next.ID, next.Lines[n].Price)
	}
	// A draft that was made just now has no lines yet and keeps its first version.
	if len(held.Lines) > 0 && !sameContent(held, next) {
		next.Version++
	}
	return next, tx.SaveDraft(ctx, next)
}

// sameContent says whether both invoices show the same, whenever they were computed.
func sameContent(a, b billing.Invoice) bool {
	return a.Period.Start().Equal(b.Period.Start()) && a.Period.End().Equal(b.Period.End()) &&
		a.RateCard == b.RateCard && a.CardVersion == b.CardVersion && a.Total.Equal(b.Total) &&
		slices.EqualFunc(a.Lines, b.Lines, sameLine)
}

func sameLine(a, b billing.Line) bool {
	return a.ID == b.ID && a.Position == b.Position && a.Title == b.Title && a.Quantity == b.Quantity &&
		a.Amount.Equal(b.Amount) && a.Charged == b.Charged &&
		slices.EqualFunc(a.Explanation, b.Explanation, func(s, t billing.Step) bool { return s.Text == t.Text })
}
