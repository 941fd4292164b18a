// SPDX-License-Identifier: Apache-2.0

// Package invoicing computes draft invoices from the ledger, shows usage, and opens invoice lines into their operations.
//
// A draft is always recomputed as a whole: the quantities of its period are read from the ledger in one statement, rated, and
// the lines replaced. So the order, repetition or lateness of usage events makes no difference, and computing twice
// changes nothing. Once somebody approved what a draft shows, its lines are never touched again.
//
//	draft ── its month ends, and the grace window ── closed ── reviewed, adjusted ── approved ── finalized: open
//
// Usage that becomes known later is not lost and changes nothing that was approved: it is the difference between what the
// month comes to now and what was charged for it, and is a line of the next draft (late.go).
package invoicing

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
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

	// LedgerQuantities is the same from every single event, and slow. MendUsage makes what QuantitiesIn says agree with it, and
	// says how many sums did not.
	LedgerQuantities(ctx context.Context, from, to time.Time) ([]billing.Quantity, error)
	MendUsage(ctx context.Context) (int64, error)

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
	Invoices(ctx context.Context, f Filter, after *InvoicePosition, limit int) ([]billing.Invoice, error)

	// Collection is what the payment provider has of an invoice, nil for nothing; Collections of several.
	Collection(ctx context.Context, invoice uuid.UUID) (*Collection, error)
	Collections(ctx context.Context, invoices []uuid.UUID) ([]Collection, error)

	// LockInvoiceByID returns the invoice locked until the commit, without lines.
	LockInvoiceByID(ctx context.Context, id uuid.UUID) (billing.Invoice, error)

	// SaveInvoiceHead saves everything but what is computed.
	SaveInvoiceHead(ctx context.Context, i billing.Invoice) error

	// DropDraft removes a draft that says nothing.
	DropDraft(ctx context.Context, id uuid.UUID) error

	// LockAccount returns where the tenant's billing stands, locked until the commit: closing, approving, numbering, voiding
	// and crediting of one tenant go one after the other. Nothing that meters waits for it.
	LockAccount(ctx context.Context) (Account, error)
	SetClosedThrough(ctx context.Context, m billing.Month) error
	NextInvoiceNumber(ctx context.Context) (int64, error)
	NextCreditNoteNumber(ctx context.Context) (int64, error)

	// FrozenPeriods are the months from since up to, but not including, before, whose invoice is not computed any more, and
	// whose late usage belongs to the draft of before: no draft of a month between them is.
	FrozenPeriods(ctx context.Context, since, before billing.Month) ([]billing.Period, error)

	// BilledFor says what invoices that are not computed any more charged for the usage of a month, by the price's id.
	BilledFor(ctx context.Context, m billing.Month) (map[string]Billed, error)

	// TotalsBefore are the totals of up to n invoices before the month, the latest first.
	TotalsBefore(ctx context.Context, m billing.Month, n int) ([]billing.Money, error)

	AddAdjustment(ctx context.Context, a billing.Adjustment) error
	RemoveAdjustment(ctx context.Context, invoice, id uuid.UUID, by string) (bool, error)
	Adjustments(ctx context.Context, invoice uuid.UUID) ([]billing.Adjustment, error) // removed ones, too, in the order of their making

	// CreditsBeside are the tenant's credits, with what other invoices use of them: those that are issued or approved, and drafts
	// of earlier months. SetCreditUses replaces what an invoice uses.
	CreditsBeside(ctx context.Context, invoice uuid.UUID, m billing.Month) ([]billing.Credit, error)
	SetCreditUses(ctx context.Context, invoice uuid.UUID, uses []billing.CreditUse) error

	AddCreditNote(ctx context.Context, c billing.CreditNote) error
	SaveCreditNote(ctx context.Context, c billing.CreditNote) error
	CreditNote(ctx context.Context, id uuid.UUID) (billing.CreditNote, error)
	CreditNotes(ctx context.Context, invoice *uuid.UUID, after *uuid.UUID, limit int) ([]billing.CreditNote, error) // newest first

	// TenantName is how the tenant calls itself.
	TenantName(ctx context.Context) (string, error)

	// KeyMaker is the public id of who made the API key.
	KeyMaker(ctx context.Context, key uuid.UUID) (string, error)

	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
	Enqueue(ctx context.Context, args interface{ Kind() string }) error

	// BilledUntil says when the last invoice before the given one was computed that charged for usage of the month and still holds;
	// nil: none did.
	BilledUntil(ctx context.Context, m billing.Month, before billing.Invoice) (*time.Time, error)

	// Operations are the journal entries behind the usage events that match, newest first, after the given position; with added
	// only those of events that were added later.
	Operations(ctx context.Context, from, to time.Time, m billing.Match, added *time.Time, after *OperationPosition, limit int) ([]Operation, error)
}

// Account is where a tenant's billing stands.
type Account struct {
	ClosedThrough billing.Month // the last month that was closed; zero: none yet
	Since         time.Time     // when the tenant came
}

// Billed is what was charged for a price.
type Billed struct {
	Units  int64
	Amount billing.Money
}

// DefaultGrace is how long after its end a month waits for late usage before it is closed.
const DefaultGrace = 24 * time.Hour

// Invoicer computes and shows what tenants owe.
type Invoicer struct {
	inTx   func(context.Context, tenant.ID, func(Tx) error) error
	grace  time.Duration
	issuer string // who stands on the documents

	collects bool // somebody collects: jobs bring them what is issued
}

// WithIssuer returns an Invoicer whose documents are from there: a name and an address, in lines.
func (i *Invoicer) WithIssuer(issuer string) *Invoicer {
	with := *i
	with.issuer = issuer
	return &with
}

// Collected returns an Invoicer whose invoices are brought to whoever collects the money.
func (i *Invoicer) Collected() *Invoicer {
	with := *i
	with.collects = true
	return &with
}

// WithGrace returns an Invoicer that closes months so long after their end; zero means DefaultGrace.
func (i *Invoicer) WithGrace(grace time.Duration) *Invoicer {
	with := *i
	if grace > 0 {
		with.grace = grace
	}
	return &with
}

// NewInvoicer makes an Invoicer that works in the given transactions.
func NewInvoicer(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Invoicer {
	return &Invoicer{inTx: inTx, grace: DefaultGrace}
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
