// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// usageEvents is the size of the ledger in BenchmarkRatePeriod; the table of issue 5 asks for ten million.
var usageEvents = flag.Int("usage-events", 1_000_000, "usage events of the period that BenchmarkRatePeriod rates")

// BenchmarkRatePeriod rates a month from the ledger, without rollups, against the bare aggregation of the same rows in the same
// database. It reports both and their ratio, which must not be above 2.
func BenchmarkRatePeriod(b *testing.B) {
	ctx := context.Background()
	url := storetest.URL(b)
	db := storetest.Open(b, url, nil)
	id := storetest.Tenant(b, db)
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
	p := usageNovember
	must(admin.Exec(ctx, `INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, object, data_class, quantity, realtime, complex)
		SELECT $1, 'op:' || i, 'sync_operations', $2::timestamptz + (i % 2591999) * interval '1 second', md5('s' || i % 5)::uuid, 'system-' || i % 4, 'products', 'products', 1 + i % 3, i % 2 = 0, i % 10 = 0
		FROM generate_series(1, $3::int) i`, uuid.UUID(id), p.Start(), *usageEvents))
	must(admin.Exec(ctx, `VACUUM ANALYZE usage_events`))
	bare := func() int64 {
		rows, err := admin.Query(ctx, `SELECT meter, service_id, system, data_class, realtime, complex, premium, sum(quantity)::bigint FROM usage_events
			WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY 1, 2, 3, 4, 5, 6, 7`, uuid.UUID(id), p.Start(), p.End())
		must(nil, err)
		var sum int64
		for rows.Next() {
			v, err := rows.Values()
			must(nil, err)
			sum += v[7].(int64)
		}
		must(nil, rows.Err())
		return sum
	}
	rate := func() (sum int64) {
		must(nil, db.InTenant(ctx, id, func(tx *store.Tx) error {
			list, err := tx.Subscriptions(ctx)
			if err != nil {
				return err
			}
			agreements := billing.Agreements(list, p.Start(), p.End())
			cells, err := tx.QuantitiesIn(ctx, p.Start(), p.End())
			if err != nil {
				return err
			}
			r, err := rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, [][]billing.Quantity{cells}, decimal.Zero))
			if err == nil {
				sum = r.Lines[0].Quantity
			}
			return err
		}))
		return sum
	}
	if a, c := bare(), rate(); a != c { // and both have seen the rows once
		b.Fatalf("the bare sum is %d, the rated quantity %d", a, c)
	}
	var bareTook, rateTook time.Duration
	for b.Loop() {
		began := time.Now()
		bare()
		bareTook += time.Since(began)
		began = time.Now()
		rate()
		rateTook += time.Since(began)
	}
	n := float64(b.N)
	b.ReportMetric(bareTook.Seconds()/n, "bare-s")
	b.ReportMetric(rateTook.Seconds()/n, "rated-s")
	b.ReportMetric(rateTook.Seconds()/bareTook.Seconds(), "x-of-bare")
}

// BenchmarkAppendUsage adds events with their keys, 1,000 at a time, against the bare insert of the same columns. The ratio must
// be at least 0.65.
func BenchmarkAppendUsage(b *testing.B) {
	ctx := context.Background()
	url := storetest.URL(b)
	db := storetest.Open(b, url, nil)
	id, other := storetest.Tenant(b, db), storetest.Tenant(b, db)
	admin, err := pgxpool.New(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(admin.Close)
	const batch = 1_000
	service := uuid.New()
	events := func() []billing.UsageEvent {
		out := make([]billing.UsageEvent, batch)
		for i := range out {
			out[i] = billing.Operations(uuid.New(), 0, usageNovember.Start().Add(time.Duration(i)*time.Second), service, "shop", "stock", "products", 3)
		}
		return out
	}
	var bareTook, ourTook time.Duration
	for b.Loop() {
		list := events()
		keys, ats, refs := make([]string, batch), make([]time.Time, batch), make([]uuid.UUID, batch)
		for i, e := range list {
			keys[i], ats[i], refs[i] = e.Key, e.At, e.Ref
		}
		began := time.Now()
		if _, err := admin.Exec(ctx, `INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, object, data_class, quantity, ref)
			SELECT $1, unnest($2::text[]), 'sync_operations', unnest($3::timestamptz[]), $4, 'shop', 'stock', 'products', 3, unnest($5::uuid[]) ON CONFLICT DO NOTHING`,
			uuid.UUID(other), keys, ats, service, refs); err != nil {
			b.Fatal(err)
		}
		bareTook += time.Since(began)
		began = time.Now()
		if err := db.InTenant(ctx, id, func(tx *store.Tx) error { return tx.AddUsage(ctx, list) }); err != nil {
			b.Fatal(err)
		}
		ourTook += time.Since(began)
	}
	rows := float64(b.N * batch)
	b.ReportMetric(rows/bareTook.Seconds(), "bare-events/s")
	b.ReportMetric(rows/ourTook.Seconds(), "events/s")
	b.ReportMetric(bareTook.Seconds()/ourTook.Seconds(), "x-of-bare")
}
