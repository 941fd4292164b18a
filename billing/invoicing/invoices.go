// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Page asks for a part of a list.
type Page struct {
	After string // the Next of the part before, "" for the first
	Limit int    // at most maxPage; 0 means defaultPage
}

const (
	defaultPage = 25
	maxPage     = 100
)

func (p Page) limit() int {
	if p.Limit <= 0 {
		return defaultPage
	}
	return min(p.Limit, maxPage)
}

// Invoice returns an invoice with its lines, as last computed. Use Draft for the present state of the present month.
func (i *Invoicer) Invoice(ctx context.Context, id tenant.ID, invoice uuid.UUID) (billing.Invoice, error) {
	var found billing.Invoice
	err := i.inTx(ctx, id, func(tx Tx) (err error) {
		found, err = tx.Invoice(ctx, invoice)
		return err
	})
	return found, err
}

// Filter chooses invoices. The zero value chooses all.
type Filter struct {
	States []billing.InvoiceState // any of these
	Review bool                   // only drafts whose month is closed: those that wait for people
}

// Invoices lists the tenant's invoices without their lines, newest period first. next is "" at the end.
func (i *Invoicer) Invoices(ctx context.Context, id tenant.ID, page Page) (list []billing.Invoice, next string, err error) {
	return i.Find(ctx, id, Filter{}, page)
}

// Find lists the tenant's invoices that the filter chooses, as Invoices does.
func (i *Invoicer) Find(ctx context.Context, id tenant.ID, f Filter, page Page) (list []billing.Invoice, next string, err error) {
	after, err := parsePosition[InvoicePosition](page.After)
	if err != nil {
		return nil, "", err
	}
	err = i.inTx(ctx, id, func(tx Tx) (err error) {
		list, err = tx.Invoices(ctx, f, after, page.limit()+1)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	list, next = cut(list, page.limit(), func(v billing.Invoice) InvoicePosition {
		return InvoicePosition{Month: v.Period.Month.String(), ID: v.ID}
	})
	return list, next, nil
}

// Operation is a single billed operation: a journal entry of a delivery that a system took. It holds no values, so that
// people who see money but not records may see it.
type Operation struct {
	ID        uuid.UUID // of the journal entry
	At        time.Time
	Service   uuid.UUID
	System    record.System // which took the change
	Object    record.Object
	DataClass string
	Entity    record.EntityID
	Op        string   // create, update, delete
	Fields    []string // names of the fields sent, sorted
	Realtime  bool
	Complex   bool
	Event     string // key of the usage event that counts it
}

// LineOperations opens a line of an invoice into the operations it counts, newest first. next is "" at the end.
// Only lines that count sync operations open; on a draft the list may be ahead of the line, until it is computed again.
func (i *Invoicer) LineOperations(ctx context.Context, id tenant.ID, invoice, line uuid.UUID, page Page) (list []Operation, next string, err error) {
	after, err := parsePosition[OperationPosition](page.After)
	if err != nil {
		return nil, "", err
	}
	err = i.inTx(ctx, id, func(tx Tx) error {
		inv, err := tx.Invoice(ctx, invoice)
		if err != nil {
			return err
		}
		for _, l := range inv.Lines {
			if l.ID != line {
				continue
			}
			if l.Kind == billing.AdjustmentLine {
				return fault.New(fault.Invalid, "invoicing.line_without_operations",
					"The line %q is an adjustment by a person; its explanation says by whom and why.", l.Title)
			}
			if l.Meter != billing.SyncOperations {
				return fault.New(fault.Invalid, "invoicing.line_without_operations",
					"The line %q counts %s, not operations; its explanation says what it is made of.", l.Title, l.Meter.Unit(2))
			}
			from, to := inv.Period.Start(), inv.Period.End()
			var added *time.Time
			switch {
			case l.Kind == billing.LateLine: // those that became known when the month had been charged
				of := l.Of.In(inv.Period.Zone)
				from, to = of.Start(), of.End()
				if added, err = tx.BilledUntil(ctx, l.Of, inv); err != nil {
					return err
				}
			case !l.From.IsZero(): // the line is about a part of the period
				from, to = l.From, l.To
			}
			list, err = tx.Operations(ctx, from, to, l.Match, added, after, page.limit()+1)
			return err
		}
		return fault.New(fault.NotFound, "invoicing.line_not_found",
			"The invoice for %s has no such line; list its lines and use one of their ids.", inv.Period.Month)
	})
	if err != nil {
		return nil, "", err
	}
	list, next = cut(list, page.limit(), func(o Operation) OperationPosition {
		return OperationPosition{At: o.At, Event: o.Event, ID: o.ID}
	})
	return list, next, nil
}
