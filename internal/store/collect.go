// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

var (
	_ invoicing.CollectTx         = (*Tx)(nil)
	_ invoicing.CollectOperatorTx = (*OperatorTx)(nil)
)

// Collection says what the payment provider has of an invoice, nil for nothing.
func (t *Tx) Collection(ctx context.Context, invoice uuid.UUID) (*invoicing.Collection, error) {
	list, err := t.Collections(ctx, []uuid.UUID{invoice})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Collections says what the payment provider has of invoices; those that it has nothing of are not among them.
func (t *Tx) Collections(ctx context.Context, invoices []uuid.UUID) ([]invoicing.Collection, error) {
	rows, err := t.q.CollectionsOf(ctx, invoices)
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]invoicing.Collection, len(rows))
	for i, r := range rows {
		list[i] = invoicing.Collection{
			Invoice: r.InvoiceID, External: r.ExternalID, State: invoicing.CollectionState(r.State), URL: r.Url, Problem: r.Problem,
			Refunded: money(r.Refunded, r.Currency), Dispute: r.Dispute, UpdatedAt: r.UpdatedAt.UTC(), Tries: int(r.Tries), FailedAt: orZero(r.FailedAt),
			NextAt: orZero(r.NextAt), SentAt: orZero(r.SentAt), Payments: int(r.Payments), Failure: r.Failure, NextPaymentAt: orZero(r.NextPaymentAt),
		}
	}
	return list, nil
}

// SaveCollection saves it.
func (t *Tx) SaveCollection(ctx context.Context, c invoicing.Collection) error {
	return unavailable(t.q.SaveCollection(ctx, db.SaveCollectionParams{
		InvoiceID: c.Invoice, ExternalID: clean(c.External), State: string(c.State), Url: clean(c.URL), Problem: clean(c.Problem),
		Refunded: c.Refunded.Amount, Dispute: clean(c.Dispute), UpdatedAt: c.UpdatedAt, Tries: int32(c.Tries), FailedAt: nullTime(c.FailedAt), NextAt: nullTime(c.NextAt),
		SentAt: nullTime(c.SentAt), Payments: int32(c.Payments), Failure: clean(c.Failure), NextPaymentAt: nullTime(c.NextPaymentAt),
	}))
}

// Customer is the tenant as the payment provider knows it.
func (t *Tx) Customer(ctx context.Context) (invoicing.Customer, error) {
	r, err := t.q.Customer(ctx)
	return invoicing.Customer{Tenant: t.tenant, ID: r.Customer, Name: r.Name, Email: r.Email}, unavailable(err)
}

// SaveCustomer stores the tenant's id at the payment provider.
func (t *Tx) SaveCustomer(ctx context.Context, id string) error {
	return unavailable(t.q.SaveCustomer(ctx, clean(id)))
}

// CreditsToSend are issued credit notes of an invoice that the payment provider does not have yet.
func (t *Tx) CreditsToSend(ctx context.Context, invoice uuid.UUID) ([]billing.CreditNote, error) {
	rows, err := t.q.CreditsToSend(ctx, invoice)
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]billing.CreditNote, len(rows))
	for i, r := range rows {
		list[i] = creditNoteOf(db.CreditNoteRow(r))
	}
	return list, nil
}

// SaveCreditSent stores a credit note's id at the payment provider.
func (t *Tx) SaveCreditSent(ctx context.Context, note uuid.UUID, external string) error {
	return unavailable(t.q.SaveCreditSent(ctx, db.SaveCreditSentParams{ID: note, ExternalID: clean(external)}))
}

// HearCollection notes a message of the payment provider; false when it was noted before.
func (t *Tx) HearCollection(ctx context.Context, id, typ string) (bool, error) {
	n, err := t.q.HearCollection(ctx, db.HearCollectionParams{ID: clean(id), Type: clean(typ), HeardAt: t.now})
	return n == 1, unavailable(err)
}

// InvoicesToCollect are open invoices that nobody asked the payment provider about since. One job looks after all tenants'.
func (t *OperatorTx) InvoicesToCollect(ctx context.Context, before time.Time, after invoicing.CollectArgs, limit int) ([]invoicing.CollectArgs, error) {
	rows, err := t.q.InvoicesToCollect(ctx, db.InvoicesToCollectParams{Before: before, AfterTenant: after.TenantID, AfterID: after.InvoiceID, Page: int32(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]invoicing.CollectArgs, len(rows))
	for i, r := range rows {
		list[i] = invoicing.CollectArgs{TenantID: r.TenantID, InvoiceID: r.ID}
	}
	return list, nil
}

// DropCollectionEvents drops messages of the payment provider that are too old to come again, of all tenants.
func (t *OperatorTx) DropCollectionEvents(ctx context.Context, before time.Time) (int64, error) {
	n, err := t.q.DropCollectionEvents(ctx, before)
	return n, unavailable(err)
}
