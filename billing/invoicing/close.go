// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"
	"log/slog"
	"time"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// OperatorTx is what closing needs of a transaction across tenants.
type OperatorTx interface {
	Now() time.Time

	// TenantsToClose are tenants, after the given one in the order of their ids, that may not have closed the month due yet.
	TenantsToClose(ctx context.Context, due billing.Month, after tenant.ID, limit int) ([]tenant.ID, error)
}

// Closer closes the months of all tenants. Any number of processes run one: each month of a tenant is closed in one
// transaction of that tenant, and whoever comes second finds it done.
type Closer struct {
	inTx     func(context.Context, func(OperatorTx) error) error
	invoicer *Invoicer
	log      *slog.Logger
}

// NewCloser makes a closer that looks for tenants in the operator's transactions.
func NewCloser(inTx func(context.Context, func(OperatorTx) error) error, invoicer *Invoicer, log *slog.Logger) *Closer {
	return &Closer{inTx: inTx, invoicer: invoicer, log: log}
}

const (
	closeEvery = time.Minute
	closePage  = 200

	// In the zone furthest east months end this much earlier than in UTC.
	furthestEast = 14 * time.Hour
)

// Run closes what is due, every minute, until ctx ends. It returns ctx's error.
func (c *Closer) Run(ctx context.Context) error {
	every := time.NewTicker(closeEvery)
	defer every.Stop()
	for {
		if _, err := c.Tick(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "months could not be closed", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// Tick closes every month that is due, tenant by tenant, and says how many. The work is linear in the tenants that have one:
// they are found by the order of their ids, a page at a time, and each is closed on its own. One tenant's trouble is not
// the others'.
func (c *Closer) Tick(ctx context.Context) (closed int, err error) {
	var after tenant.ID
	for {
		var page []tenant.ID
		err := c.inTx(ctx, func(tx OperatorTx) (err error) {
			latest := tx.Now().UTC().Add(furthestEast - c.invoicer.grace)
			due := billing.PeriodOf(latest, time.UTC).Previous()
			page, err = tx.TenantsToClose(ctx, due, after, closePage)
			return err
		})
		if err != nil {
			return closed, err
		}
		for _, id := range page {
			n, err := c.invoicer.Close(ctx, id)
			closed += n
			if err != nil {
				if ctx.Err() != nil {
					return closed, err
				}
				c.log.ErrorContext(ctx, "a tenant's month could not be closed", "tenant", id, "error", err)
			}
		}
		if len(page) < closePage {
			return closed, nil
		}
		after = page[len(page)-1]
	}
}

// Close closes the tenant's months that are due, each in one transaction, and says how many those were.
func (i *Invoicer) Close(ctx context.Context, id tenant.ID) (closed int, err error) {
	for {
		var done bool
		err := i.inTx(ctx, id, func(tx Tx) (err error) {
			done, err = i.closeNext(ctx, tx, id)
			return err
		})
		if err != nil || !done {
			return closed, err
		}
		closed++
	}
}

// closeNext closes the tenant's first month that is not closed yet, if it is due.
func (i *Invoicer) closeNext(ctx context.Context, tx Tx, id tenant.ID) (bool, error) {
	account, err := tx.LockAccount(ctx)
	if err != nil {
		return false, err
	}
	name, err := tx.BillingZone(ctx)
	if err != nil {
		return false, err
	}
	zone, err := billing.Zone(name)
	if err != nil {
		return false, err
	}
	month := account.ClosedThrough.Next()
	if account.ClosedThrough.IsZero() {
		month = billing.PeriodOf(account.Since, zone).Month
	}
	p := month.In(zone)
	if tx.Now().Before(p.End().Add(i.grace)) {
		return false, nil
	}
	if err := recount(ctx, tx, auth.System(id, "invoicing"), p); err != nil {
		return false, err
	}
	draft, err := i.draft(ctx, tx, p)
	if err != nil {
		return false, err
	}
	if err := tx.SetClosedThrough(ctx, month); err != nil {
		return false, err
	}
	if draft.Frozen() {
		return true, nil
	}
	if saysNothing(draft) {
		return true, tx.DropDraft(ctx, draft.ID)
	}
	return true, i.closed(ctx, tx, auth.System(id, "invoicing"), draft)
}

// recount adds up every event of a month that is about to be closed. The sums that drafts are rated from must say the same; if
// somebody changed them by hand they are mended first, and the audit log says so. The events are the truth.
func recount(ctx context.Context, tx Tx, who auth.Principal, p billing.Period) error {
	sums, err := tx.QuantitiesIn(ctx, p.Start(), p.End())
	if err != nil {
		return err
	}
	events, err := tx.LedgerQuantities(ctx, p.Start(), p.End())
	if err != nil || billing.SameQuantities(sums, events) {
		return err
	}
	mended, err := tx.MendUsage(ctx)
	if err != nil {
		return err
	}
	return tx.Audit(ctx, who.Did("usage.mended", p.Month.String(), map[string]any{"sums": mended}))
}

// closed hands a draft to the people who review.
func (i *Invoicer) closed(ctx context.Context, tx Tx, who auth.Principal, draft billing.Invoice) error {
	draft.ClosedAt = tx.Now()
	draft.Version++
	return i.save(ctx, tx, who, draft, "closed", map[string]any{"total": draft.Total.Fixed(), "flags": len(draft.Flags)})
}

// saysNothing says whether nothing that costs was used and nothing is to be paid: such a month has no invoice.
func saysNothing(i billing.Invoice) bool {
	for _, l := range i.Lines {
		if l.Charged && l.Quantity != 0 || !l.Amount.Amount.IsZero() {
			return false
		}
	}
	return true
}
