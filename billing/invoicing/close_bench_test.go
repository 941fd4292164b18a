// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// BenchmarkClose closes a month for a tenth of SYNCLINE_BENCH_TENANTS (1,000) tenants and for all of them, each with 100 events, while somebody
// meters for them. The time for a tenant must stay the same, and metering must not wait for closing: its latency is measured
// beforehand, beside another kind of work on the same database (rating, without closing), and while months are closed.
func BenchmarkClose(b *testing.B) {
	many := 1_000
	if text := os.Getenv("SYNCLINE_BENCH_TENANTS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 10 {
			b.Fatalf("SYNCLINE_BENCH_TENANTS is %q, not a number of 10 or more", text)
		}
		many = n
	}
	for b.Loop() {
		few := closing(b, many/10)
		all := closing(b, many)
		b.ReportMetric(float64(few.perTenant.Microseconds()), "µs/tenant-of-a-tenth")
		b.ReportMetric(float64(all.perTenant.Microseconds()), "µs/tenant-of-all")
		b.ReportMetric(all.perTenant.Seconds()/few.perTenant.Seconds(), "growth")
		b.ReportMetric(float64(all.before.Microseconds())/1000, "metering-p99-ms-beside-rating")
		b.ReportMetric(float64(all.meanwhile.Microseconds())/1000, "metering-p99-ms-beside-closing")
	}
}

type closed struct{ perTenant, before, meanwhile time.Duration }

func closing(b *testing.B, tenants int) closed {
	b.Helper()
	ctx := context.Background()
	url := storetest.URL(b)
	now := at("2026-11-23T12:00:00Z")
	db := storetest.Open(b, url, func() time.Time { return now })
	admin, err := pgxpool.New(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(admin.Close)
	must := func(_ any, err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	must(admin.Exec(ctx, `INSERT INTO tenants (id, name, slug, sealed_key, created_at) SELECT gen_random_uuid(), 'T' || n, 'many-' || n, 'x', '2026-10-01T00:00:00Z' FROM generate_series(1, $1) n`, tenants))
	must(admin.Exec(ctx, `INSERT INTO usage_events (tenant_id, key, kept, meter, at, service_id, system, quantity)
		SELECT t.id, 'op:' || n || ':0', '2026-11-01', 'sync_operations', '2026-10-05T10:00:00Z'::timestamptz + n * interval '1 minute', '00000000-0000-0000-0000-000000000000', 'shop', 100 FROM tenants t, generate_series(1, 100) n`))
	must(admin.Exec(ctx, `ANALYZE`))
	ids, err := db.Operator().Tenants(ctx, tenant.ID{}, tenants)
	must(nil, err)
	invoicer := invoicing.NewInvoicer(store.InTx(db, func(tx *store.Tx) invoicing.Tx { return tx }))
	closer := invoicing.NewCloser(store.InOperatorTx(db, func(tx *store.OperatorTx) invoicing.OperatorTx { return tx }), invoicer, slog.New(slog.DiscardHandler))

	// meter adds usage of every tenant in turn, of the month that is closed and of the present one, until told to stop.
	meter := func(work func()) time.Duration {
		stop := make(chan struct{})
		var metering sync.WaitGroup
		var took []time.Duration
		metering.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				events := []billing.UsageEvent{
					billing.Operations(uuid.Must(uuid.NewV7()), 0, at("2026-10-30T10:00:00Z"), uuid.Nil, "shop", "stock", "products", 1),
					billing.Operations(uuid.Must(uuid.NewV7()), 0, now, uuid.Nil, "shop", "stock", "products", 1),
				}
				began := time.Now()
				if err := db.InTenant(ctx, ids[n%len(ids)], func(tx *store.Tx) error { return tx.AddUsage(ctx, events) }); err != nil {
					b.Error(err)
					return
				}
				took = append(took, time.Since(began))
			}
		})
		work()
		close(stop)
		metering.Wait()
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	var c closed
	c.before = meter(func() {
		for _, id := range ids {
			_, err := invoicer.Usage(ctx, id, billing.Month{Year: 2026, Month: time.October})
			must(nil, err)
		}
	})
	c.meanwhile = meter(func() {
		began := time.Now()
		n, err := closer.Tick(ctx)
		if err != nil || n != tenants {
			b.Fatalf("%d months were closed, %v", n, err)
		}
		c.perTenant = time.Since(began) / time.Duration(tenants)
	})
	return c
}
