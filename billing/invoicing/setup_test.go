// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// bundle is a database of its own with one tenant and one service, and a clock that the test sets.
type bundle struct {
	*testing.T
	ctx      context.Context
	db       *store.DB
	admin    *pgxpool.Pool // past row-level security, to lay out what other packages write
	invoicer *invoicing.Invoicer
	tenant   tenant.ID
	service  uuid.UUID
	clock    *atomic.Pointer[time.Time]
}

func setup(t *testing.T, zone string) *bundle {
	t.Helper()
	url := storetest.URL(t)
	b := &bundle{T: t, ctx: t.Context(), clock: new(atomic.Pointer[time.Time])}
	b.setNow("2026-11-23T12:00:00Z")
	b.db = storetest.Open(t, url, func() time.Time { return *b.clock.Load() })
	var err error
	if b.admin, err = pgxpool.New(b.ctx, url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.admin.Close)
	b.invoicer = invoicing.NewInvoicer(store.InTx(b.db, func(tx *store.Tx) invoicing.Tx { return tx }))
	b.tenant = b.newTenant(zone)
	b.service = b.newService(b.tenant, "stock")
	return b
}

func (b *bundle) setNow(s string) {
	now := at(s)
	b.clock.Store(&now)
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.admin.Exec(b.ctx, sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) newTenant(zone string) tenant.ID {
	b.Helper()
	id := storetest.Tenant(b, b.db)
	b.exec(`UPDATE tenants SET time_zone = $2 WHERE id = $1`, uuid.UUID(id), zone)
	return id
}

func (b *bundle) newService(t tenant.ID, name string) uuid.UUID {
	b.Helper()
	id := uuid.Must(uuid.NewV7())
	b.exec(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at) VALUES ($1, $2, $3, 'active', 1, true, now(), now())`,
		uuid.UUID(t), id, name)
	return id
}

func (b *bundle) add(events ...billing.UsageEvent) {
	b.Helper()
	if err := b.db.InTenant(b.ctx, b.tenant, func(tx *store.Tx) error { return tx.AddUsage(b.ctx, events) }); err != nil {
		b.Fatal(err)
	}
}

// operations is an event of n operations of a fresh attempt.
func (b *bundle) operations(when string, system record.System, n int64) billing.UsageEvent {
	return billing.Operations(uuid.Must(uuid.NewV7()), 0, at(when), b.service, system, "stock_levels", "products", n)
}

func (b *bundle) save(i billing.Invoice) error {
	return b.db.InTenant(b.ctx, b.tenant, func(tx *store.Tx) error { return tx.SaveDraft(b.ctx, i) })
}

func (b *bundle) draft(month billing.Month) billing.Invoice {
	b.Helper()
	invoice, err := b.invoicer.Draft(b.ctx, b.tenant, month)
	if err != nil {
		b.Fatal(err)
	}
	return invoice
}

var november = billing.Month{Year: 2026, Month: time.November}
