// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var _ invoicing.OperatorTx = (*OperatorTx)(nil)

// LockInvoiceByID returns the invoice locked until the commit, without lines.
func (t *Tx) LockInvoiceByID(ctx context.Context, id uuid.UUID) (billing.Invoice, error) {
	row, err := t.q.LockInvoiceByID(ctx, id)
	if err != nil {
		return billing.Invoice{}, notFound(err, "invoicing.invoice_not_found", "There is no invoice with this id; list the invoices and use one of their ids.")
	}
	return invoiceOf(db.InvoiceRow(row))
}

// SaveInvoiceHead saves everything of an invoice but what is computed.
func (t *Tx) SaveInvoiceHead(ctx context.Context, i billing.Invoice) error {
	p := db.SaveInvoiceHeadParams{
		ID: i.ID, State: string(i.State), ClosedAt: optional(i.ClosedAt), ApprovedAt: optional(i.ApprovedAt), ApprovedBy: i.ApprovedBy,
		ApprovedName: clean(i.ApprovedName), FinalizedAt: optional(i.FinalizedAt), SettledAt: optional(i.SettledAt), Settlement: clean(i.Settlement),
		Credited: i.Credited.Amount, Version: i.Version,
	}
	if i.Number > 0 {
		p.Number = &i.Number
	}
	_, err := t.q.SaveInvoiceHead(ctx, p)
	return unavailable(err)
}

// DropDraft removes a draft that nobody approved.
func (t *Tx) DropDraft(ctx context.Context, id uuid.UUID) error {
	return unavailable(t.q.DropDraft(ctx, id))
}

// LockAccount returns where the tenant's billing stands, locked until the commit.
func (t *Tx) LockAccount(ctx context.Context) (invoicing.Account, error) {
	if err := t.q.MakeBillingAccount(ctx); err != nil {
		return invoicing.Account{}, unavailable(err)
	}
	row, err := t.q.LockBillingAccount(ctx)
	if err != nil {
		return invoicing.Account{}, unavailable(err)
	}
	a := invoicing.Account{Since: row.CreatedAt.UTC()}
	if row.ClosedThrough != "" {
		a.ClosedThrough, err = billing.ParseMonth(row.ClosedThrough)
	}
	return a, err
}

// SetClosedThrough says up to which month the tenant's billing is closed.
func (t *Tx) SetClosedThrough(ctx context.Context, m billing.Month) error {
	return unavailable(t.q.SetClosedThrough(ctx, m.String()))
}

// NextInvoiceNumber is the tenant's next, without gaps: it is taken when, and only if, the transaction commits.
func (t *Tx) NextInvoiceNumber(ctx context.Context) (int64, error) {
	n, err := t.q.NextInvoiceNumber(ctx)
	return n, unavailable(err)
}

// NextCreditNoteNumber is the same for credit notes.
func (t *Tx) NextCreditNoteNumber(ctx context.Context) (int64, error) {
	n, err := t.q.NextCreditNoteNumber(ctx)
	return n, unavailable(err)
}

// FrozenPeriods are the months whose late usage belongs to the draft of the month before.
func (t *Tx) FrozenPeriods(ctx context.Context, since, before billing.Month) ([]billing.Period, error) {
	rows, err := t.q.FrozenPeriods(ctx, db.FrozenPeriodsParams{Since: since.String(), Before: before.String()})
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]billing.Period, len(rows))
	for i, r := range rows {
		month, err := billing.ParseMonth(r.Period)
		if err != nil {
			return nil, err
		}
		zone, err := billing.Zone(r.TimeZone)
		if err != nil {
			return nil, err
		}
		list[i] = month.In(zone)
	}
	return list, nil
}

// BilledFor says what was charged for the usage of a month, by the price's id.
func (t *Tx) BilledFor(ctx context.Context, m billing.Month) (map[string]invoicing.Billed, error) {
	rows, err := t.q.BilledFor(ctx, m.String())
	if err != nil {
		return nil, unavailable(err)
	}
	billed := make(map[string]invoicing.Billed, len(rows))
	for _, r := range rows {
		billed[r.Price] = invoicing.Billed{Units: r.Quantity, Amount: money(r.Amount, r.Currency)}
	}
	return billed, nil
}

// BilledUntil says when the last invoice before the given one was computed that charged for usage of the month and still holds;
// nil: none did.
func (t *Tx) BilledUntil(ctx context.Context, m billing.Month, before billing.Invoice) (*time.Time, error) {
	row, err := t.q.BilledUntil(ctx, db.BilledUntilParams{Invoice: before.ID, Before: before.Period.Month.String(), Month: m.String()})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &row.ComputedAt, unavailable(err)
}

// TotalsBefore are the totals of the invoices before the month, the latest first.
func (t *Tx) TotalsBefore(ctx context.Context, m billing.Month, n int) ([]billing.Money, error) {
	rows, err := t.q.TotalsBefore(ctx, db.TotalsBeforeParams{Before: m.String(), Page: int32(n)})
	if err != nil {
		return nil, unavailable(err)
	}
	totals := make([]billing.Money, len(rows))
	for i, r := range rows {
		totals[i] = money(r.Total, r.Currency)
	}
	return totals, nil
}

// AddAdjustment adds an adjustment to a draft.
func (t *Tx) AddAdjustment(ctx context.Context, a billing.Adjustment) error {
	return unavailable(t.q.AddAdjustment(ctx, db.AddAdjustmentParams{
		ID: a.ID, InvoiceID: a.Invoice, Title: clean(a.Title), Reason: clean(a.Reason), Amount: a.Amount.Amount,
		Actor: a.Actor, ActorName: clean(a.ActorName), Person: a.Person, CreatedAt: a.CreatedAt,
	}))
}

// RemoveAdjustment says that an adjustment does not count any more; false when there is none of that id that does.
func (t *Tx) RemoveAdjustment(ctx context.Context, invoice, id uuid.UUID, by string) (bool, error) {
	now := t.now
	n, err := t.q.RemoveAdjustment(ctx, db.RemoveAdjustmentParams{InvoiceID: invoice, ID: id, RemovedAt: &now, RemovedBy: by})
	return n == 1, unavailable(err)
}

// Adjustments are those of an invoice, removed ones too, in the order of their making.
func (t *Tx) Adjustments(ctx context.Context, invoice uuid.UUID) ([]billing.Adjustment, error) {
	rows, err := t.q.Adjustments(ctx, invoice)
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]billing.Adjustment, len(rows))
	for i, r := range rows {
		list[i] = billing.Adjustment{
			ID: r.ID, Invoice: r.InvoiceID, Title: r.Title, Reason: r.Reason, Amount: money(r.Amount, r.Currency),
			Actor: r.Actor, ActorName: r.ActorName, Person: r.Person, CreatedAt: r.CreatedAt.UTC(), RemovedAt: value(r.RemovedAt).UTC(),
		}
	}
	return list, nil
}

// TenantName is how the tenant calls itself.
func (t *Tx) TenantName(ctx context.Context) (string, error) {
	name, err := t.q.TenantName(ctx)
	return name, unavailable(err)
}

// KeyMaker is the public id of who made the API key.
func (t *Tx) KeyMaker(ctx context.Context, key uuid.UUID) (string, error) {
	maker, err := t.q.PersonBehindKey(ctx, key)
	return maker, notFound(err, "auth.key_unknown", "There is no such API key. Make a new one under Settings, API keys.")
}

// AddCreditNote adds a draft.
func (t *Tx) AddCreditNote(ctx context.Context, c billing.CreditNote) error {
	return unavailable(t.q.AddCreditNote(ctx, db.AddCreditNoteParams{
		ID: c.ID, InvoiceID: c.Invoice, Amount: c.Amount.Amount, Currency: string(c.Amount.Currency), Reason: clean(c.Reason),
		Actor: c.Actor, ActorName: clean(c.ActorName), Person: c.Person, CreatedAt: c.CreatedAt,
	}))
}

// SaveCreditNote saves what was decided.
func (t *Tx) SaveCreditNote(ctx context.Context, c billing.CreditNote) error {
	p := db.SaveCreditNoteParams{
		ID: c.ID, State: string(c.State), DecidedAt: optional(c.DecidedAt), DecidedBy: c.DecidedBy, DecidedName: clean(c.DecidedName), Version: c.Version,
	}
	if c.Number > 0 {
		p.Number = &c.Number
	}
	return unavailable(t.q.SaveCreditNote(ctx, p))
}

// CreditNote returns one.
func (t *Tx) CreditNote(ctx context.Context, id uuid.UUID) (billing.CreditNote, error) {
	row, err := t.q.CreditNote(ctx, id)
	if err != nil {
		return billing.CreditNote{}, notFound(err, "invoicing.credit_note_not_found", "There is no credit note with this id; list the credit notes and use one of their ids.")
	}
	return creditNoteOf(row), nil
}

// CreditNotes lists them, newest first.
func (t *Tx) CreditNotes(ctx context.Context, invoice, after *uuid.UUID, limit int) ([]billing.CreditNote, error) {
	rows, err := t.q.CreditNotes(ctx, db.CreditNotesParams{Invoice: invoice, After: after, Page: int32(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]billing.CreditNote, len(rows))
	for i, r := range rows {
		list[i] = creditNoteOf(db.CreditNoteRow(r))
	}
	return list, nil
}

func creditNoteOf(r db.CreditNoteRow) billing.CreditNote {
	return billing.CreditNote{
		ID: r.ID, Invoice: r.InvoiceID, Number: value(r.Number), State: billing.CreditNoteState(r.State), Amount: money(r.Amount, r.Currency),
		Reason: r.Reason, Actor: r.Actor, ActorName: r.ActorName, Person: r.Person, CreatedAt: r.CreatedAt.UTC(),
		DecidedAt: value(r.DecidedAt).UTC(), DecidedBy: r.DecidedBy, DecidedName: r.DecidedName, Version: r.Version,
	}
}

// TenantsToClose are tenants that may have a month to close, in the order of their ids. All tenants' months end by one
// calendar.
func (t *OperatorTx) TenantsToClose(ctx context.Context, due billing.Month, after tenant.ID, limit int) ([]tenant.ID, error) {
	ids, err := t.q.TenantsToClose(ctx, db.TenantsToCloseParams{Due: due.String(), After: uuid.UUID(after), Page: int32(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]tenant.ID, len(ids))
	for i, id := range ids {
		list[i] = tenant.ID(id)
	}
	return list, nil
}

// value is what the pointer leads to, the zero value without one.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
