// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"context"
	"fmt"
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

// BenchmarkClose closes a month for SYNCLINE_BENCH_TENANTS (1,000) tenants in one database and a tenth as many in another, in turns, each with 100
// events. The middle time for a tenant must not grow with their number. Meanwhile somebody meters for all of them, and must not
// wait for closing: its latency is measured beside closing and, before, beside reading the same months' usage.
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
		few, all := newClosing(b, many/10), newClosing(b, many)
		inTurns := func(act func(*closing, tenant.ID) time.Duration) (ofFew, ofAll time.Duration) {
			var a, z []time.Duration
			for n, id := range all.ids {
				z = append(z, act(all, id))
				if n%10 == 9 && n/10 < len(few.ids) {
					a = append(a, act(few, few.ids[n/10]))
				}
			}
			slices.Sort(a)
			slices.Sort(z)
			return a[len(a)/2], z[len(z)/2]
		}
		var beside, meanwhile, ofFew, ofAll time.Duration
		beside = all.metering(func() {
			inTurns(func(c *closing, id tenant.ID) time.Duration {
				if _, err := c.invoicer.Usage(context.Background(), id, billing.Month{Year: 2026, Month: time.October}); err != nil {
					b.Fatal(err)
				}
				return 0
			})
		})
		meanwhile = all.metering(func() {
			ofFew, ofAll = inTurns(func(c *closing, id tenant.ID) time.Duration {
				began := time.Now()
				if n, err := c.invoicer.Close(context.Background(), id); err != nil || n != 1 {
					b.Fatalf("%d months were closed, %v", n, err)
				}
				return time.Since(began)
			})
		})
		// Nothing is left for whoever looks for months to close.
		began := time.Now()
		closer := invoicing.NewCloser(store.InOperatorTx(all.db, func(tx *store.OperatorTx) invoicing.OperatorTx { return tx }), all.invoicer, slog.New(slog.DiscardHandler))
		if n, err := closer.Tick(context.Background()); err != nil || n != 0 {
			b.Fatalf("%d months were left, %v", n, err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "finding-none-ms")
		b.ReportMetric(float64(ofFew.Microseconds())/1000, "ms/tenant-of-a-tenth")
		b.ReportMetric(float64(ofAll.Microseconds())/1000, "ms/tenant-of-all")
		b.ReportMetric(ofAll.Seconds()/ofFew.Seconds(), "growth")
		b.ReportMetric(float64(beside.Microseconds())/1000, "metering-p99-ms-beside-reading")
		b.ReportMetric(float64(meanwhile.Microseconds())/1000, "metering-p99-ms-beside-closing")
	}
}

// closing is a database with tenants whose October can be closed.
type closing struct {
	b        *testing.B
	db       *store.DB
	invoicer *invoicing.Invoicer
	ids      []tenant.ID
}

const closingNow = "2026-11-23T12:00:00Z"

func newClosing(b *testing.B, tenants int) *closing {
	b.Helper()
	ctx := context.Background()
	url := storetest.URL(b)
	c := &closing{b: b, db: storetest.Open(b, url, func() time.Time { return at(closingNow) })}
	c.invoicer = invoicing.NewInvoicer(store.InTx(c.db, func(tx *store.Tx) invoicing.Tx { return tx }))
	admin, err := pgxpool.New(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close()
	for _, do := range []string{
		fmt.Sprintf(`INSERT INTO tenants (id, name, slug, sealed_key, created_at) SELECT gen_random_uuid(), 'T' || n, 'many-' || n, 'x', '2026-10-01T00:00:00Z' FROM generate_series(1, %d) n`, tenants),
		`INSERT INTO usage_events (tenant_id, key, kept, meter, at, service_id, system, quantity)
			SELECT t.id, 'op:' || n || ':0', '2026-11-01', 'sync_operations', '2026-10-05T10:00:00Z'::timestamptz + n * interval '1 minute', '00000000-0000-0000-0000-000000000000', 'shop', 100 FROM tenants t, generate_series(1, 100) n`,
		`ANALYZE`,
	} {
		if _, err := admin.Exec(ctx, do); err != nil {
			b.Fatal(err)
		}
	}
	if c.ids, err = c.db.Operator().Tenants(ctx, tenant.ID{}, tenants); err != nil {
		b.Fatal(err)
	}
	return c
}

// metering adds usage of every tenant in turn, of the month to be closed and of the present one, while work is done, and returns
// the 99th percentile of how long that took.
func (c *closing) metering(work func()) time.Duration {
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
				billing.Operations(uuid.Must(uuid.NewV7()), 0, at(closingNow), uuid.Nil, "shop", "stock", "products", 1),
			}
			began := time.Now()
			if err := c.db.InTenant(context.Background(), c.ids[n%len(c.ids)], func(tx *store.Tx) error { return tx.AddUsage(context.Background(), events) }); err != nil {
				c.b.Error(err)
				return
			}
			took = append(took, time.Since(began))
			time.Sleep(2 * time.Millisecond) // a few hundred a second
		}
	})
	work()
	close(stop)
	metering.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
