// SPDX-License-Identifier: Apache-2.0

// Package invoicing computes draft invoices from the ledger, shows usage, and opens invoice lines into their operations.
//
// A draft is always recomputed as a whole: the quantities of its period are read from the ledger in one statement, rated, and
// the lines replaced. So the order, repetition or lateness of usage events makes no difference, and computing twice
// changes nothing. An invoice that has left the draft state is never touched.
package invoicing

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tx is what invoicing needs of a transaction bound to one tenant.
type Tx interface {
	Now() time.Time // one time for all rows of the commit

	// BillingZone is the IANA time zone of the tenant.
	BillingZone(ctx context.Context) (string, error)

	// Subscriptions are what the tenant agreed to, in the order in which it holds.
	Subscriptions(ctx context.Context) ([]billing.Subscription, error)

	// QuantitiesIn sums the ledger of a span of time, of all meters, in one statement.
	QuantitiesIn(ctx context.Context, from, to time.Time) ([]billing.Quantity, error)

	// UsageCells sums the ledger of the period by service, system, day and flags, in one statement. days are the days of
	// the period in order.
	UsageCells(ctx context.Context, p billing.Period, days []billing.Day) ([]Cell, error)

	// LockInvoice returns the period's invoice that is not void, locked until the commit; without lines. If there is none it
	// makes an empty draft from the one given. Two at once get the same.
	LockInvoice(ctx context.Context, draft billing.Invoice) (billing.Invoice, error)

	// SaveDraft replaces head and lines of a draft.
	SaveDraft(ctx context.Context, i billing.Invoice) error

	// InvoiceLines are the lines in order.
	InvoiceLines(ctx context.Context, invoice uuid.UUID) ([]billing.Line, error)

	// Invoice is the invoice with its lines; the fault invoicing.invoice_not_found if the tenant has none of that id.
	Invoice(ctx context.Context, id uuid.UUID) (billing.Invoice, error)

	// Invoices are heads without lines, newest period first, after the given position.
	Invoices(ctx context.Context, after *InvoicePosition, limit int) ([]billing.Invoice, error)

	// Operations are the journal entries behind the usage events that match, newest first, after the given position.
	Operations(ctx context.Context, from, to time.Time, m billing.Match, after *OperationPosition, limit int) ([]Operation, error)
}

// Invoicer computes and shows what tenants owe.
type Invoicer struct {
	inTx func(context.Context, tenant.ID, func(Tx) error) error
}

// NewInvoicer makes an Invoicer that works in the given transactions.
func NewInvoicer(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Invoicer {
	return &Invoicer{inTx: inTx}
}

// period is the month in the tenant's zone; the zero month is the present one. A month that has not begun is refused.
func period(ctx context.Context, tx Tx, m billing.Month) (billing.Period, error) {
	name, err := tx.BillingZone(ctx)
	if err != nil {
		return billing.Period{}, err
	}
	zone, err := billing.Zone(name)
	if err != nil {
		return billing.Period{}, err
	}
	present := billing.PeriodOf(tx.Now(), zone)
	if m.IsZero() {
		return present, nil
	}
	p := m.In(zone)
	if p.Start().After(present.Start()) {
		return billing.Period{}, fault.New(fault.Invalid, "invoicing.period_future",
			"The period %s has not begun (it is %s now in %s); ask for %s or an earlier one.", m, present.Month, zone, present.Month)
	}
	return p, nil
}
