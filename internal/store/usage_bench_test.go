// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// benchSize is how much a benchmark works on: a number from the environment, so that a short run is possible.
func benchSize(b *testing.B, name string, usual int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q, not a number of 1 or more", name, text)
	}
	return n
}

// rounds are how often the sides of a comparison take turns at least; the middle one is what counts.
const rounds = 5

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkRatePeriod rates a month of SYNCLINE_BENCH_EVENTS (10,000,000) usage events, from ledger to lines: by all events, against
// the bare aggregation of the same rows in the same database, and from the sums that are kept with them. By events it must not
// take more than twice as long as bare, from sums not more than a 30th of that, and all say the same.
func BenchmarkRatePeriod(b *testing.B) {
	ctx := context.Background()
	events := benchSize(b, "SYNCLINE_BENCH_EVENTS", 10_000_000)
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
	p := billing.PeriodOf(time.Now(), time.UTC) // which has a partition
	seconds := int(p.End().Sub(p.Start()) / time.Second)
	const batch = 500_000
	for from := 1; from <= events; from += batch {
		must(admin.Exec(ctx, `INSERT INTO usage_events (tenant_id, key, kept, meter, at, service_id, system, object, data_class, quantity, realtime, complex, ref)
			SELECT $1, 'op:019a0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') || ':0', $2, 'sync_operations', $2::timestamptz + i::bigint * $5 / $6 * interval '1 second', md5('s' || i % 5)::uuid, 'system-' || i % 4, 'products', 'products',
			       1 + i % 3, i % 2 = 0, i % 10 = 0, gen_random_uuid()
			FROM generate_series($3::int, $4::int) i`, uuid.UUID(id), p.Start(), from, min(from+batch-1, events), int64(seconds-1), int64(events)))
	}
	for moved := int64(1); moved > 0; {
		must(nil, db.InTenant(ctx, id, func(tx *store.Tx) (err error) {
			moved, err = tx.MoveUsage(ctx, 50_000)
			return err
		}))
	}
	must(admin.Exec(ctx, `VACUUM ANALYZE usage_events`))
	must(admin.Exec(ctx, `VACUUM ANALYZE usage_rollups, usage_deltas`))
	bare := func() (sum int64) {
		rows, err := admin.Query(ctx, `SELECT meter, service_id, system, data_class, realtime, complex, premium, sum(quantity)::bigint FROM usage_events
			WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY 1, 2, 3, 4, 5, 6, 7`, uuid.UUID(id), p.Start(), p.End())
		must(nil, err)
		for rows.Next() {
			v, err := rows.Values()
			must(nil, err)
			sum += v[7].(int64)
		}
		must(nil, rows.Err())
		return sum
	}
	rate := func(from func(*store.Tx) ([]billing.Quantity, error)) (sum int64) {
		must(nil, db.InTenant(ctx, id, func(tx *store.Tx) error {
			list, err := tx.Subscriptions(ctx)
			if err != nil {
				return err
			}
			agreements := billing.Agreements(list, p.Start(), p.End())
			used, err := from(tx)
			if err != nil {
				return err
			}
			r, err := rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, [][]billing.Quantity{used}, decimal.Zero))
			if err == nil {
				sum = r.Lines[0].Quantity
			}
			return err
		}))
		return sum
	}
	byEvents := func() int64 {
		return rate(func(tx *store.Tx) ([]billing.Quantity, error) { return tx.LedgerQuantities(ctx, p.Start(), p.End()) })
	}
	bySums := func() int64 {
		return rate(func(tx *store.Tx) ([]billing.Quantity, error) { return tx.QuantitiesIn(ctx, p.Start(), p.End()) })
	}
	if n, e, s := bare(), byEvents(), bySums(); n != e || n != s { // and all have seen the rows once
		b.Fatalf("bare it is %d, by events %d, from sums %d", n, e, s)
	}
	sides := []func() int64{bare, byEvents, bySums}
	took := make([][]time.Duration, len(sides))
	var before, after runtime.MemStats
	var heap uint64
	for b.Loop() {
		for range rounds {
			for n, side := range sides {
				if n == 1 {
					runtime.ReadMemStats(&before)
				}
				began := time.Now()
				side()
				took[n] = append(took[n], time.Since(began))
				if n == 1 {
					runtime.ReadMemStats(&after)
					heap = max(heap, after.TotalAlloc-before.TotalAlloc)
				}
			}
		}
	}
	n, e, s := middle(took[0]), middle(took[1]), middle(took[2])
	b.ReportMetric(n.Seconds(), "bare-s")
	b.ReportMetric(e.Seconds(), "by-events-s")
	b.ReportMetric(e.Seconds()/n.Seconds(), "by-events/bare")
	b.ReportMetric(s.Seconds()*1000, "from-sums-ms")
	b.ReportMetric(e.Seconds()/s.Seconds(), "by-events/from-sums")
	b.ReportMetric(float64(heap)/1024, "by-events-KiB") // all that was allocated for it
}

// BenchmarkAppendUsage adds events with their keys, 1,000 at a time, to a ledger that has SYNCLINE_BENCH_ROWS (300,000) already, against
// the bare INSERT .. ON CONFLICT DO NOTHING of the same columns, in a transaction too, into a plain table with its primary key
// and the index that a period is read by. It must be at least 0.65 times as fast.
func BenchmarkAppendUsage(b *testing.B) {
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
	must(admin.Exec(ctx, `CREATE TABLE bare (LIKE usage_events INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, key));
		CREATE INDEX ON bare (tenant_id, meter, at)`))
	const batch = 1_000
	p := billing.PeriodOf(time.Now(), time.UTC)
	service := uuid.New()
	at := p.Start()
	events := func() []billing.UsageEvent {
		out := make([]billing.UsageEvent, batch)
		for i := range out {
			at = at.Add(time.Millisecond)
			out[i] = billing.Operations(uuid.Must(uuid.NewV7()), 0, at, service, "shop", "stock", "products", 3)
		}
		return out
	}
	bare := func(list []billing.UsageEvent) time.Duration {
		keys, meters, ats, services := make([]string, batch), make([]string, batch), make([]time.Time, batch), make([][16]byte, batch)
		systems, objects, classes, quantities := make([]string, batch), make([]string, batch), make([]string, batch), make([]int64, batch)
		realtimes, complexes, premiums, refs, parts := make([]bool, batch), make([]bool, batch), make([]bool, batch), make([][16]byte, batch), make([]int16, batch)
		for i, e := range list {
			keys[i], meters[i], ats[i], services[i] = e.Key, string(e.Meter), e.At, e.Service
			systems[i], objects[i], classes[i], quantities[i] = string(e.System), string(e.Object), e.DataClass, e.Quantity
			realtimes[i], complexes[i], premiums[i], refs[i], parts[i] = e.Realtime, e.Complex, e.Premium, e.Ref, int16(e.Part)
		}
		began := time.Now()
		must(nil, pgx.BeginFunc(ctx, admin, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO bare (tenant_id, key, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part)
			SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[],
			       $9::bigint[], $10::boolean[], $11::boolean[], $12::boolean[], $13::uuid[], $14::smallint[]) u
			ON CONFLICT DO NOTHING`,
				uuid.UUID(id), keys, meters, ats, services, systems, objects, classes, quantities, realtimes, complexes, premiums, refs, parts)
			return err
		}))
		return time.Since(began)
	}
	ours := func(list []billing.UsageEvent) time.Duration {
		began := time.Now()
		must(nil, db.InTenant(ctx, id, func(tx *store.Tx) error { return tx.AddUsage(ctx, list) }))
		return time.Since(began)
	}
	for range benchSize(b, "SYNCLINE_BENCH_ROWS", 300_000) / batch {
		bare(events())
		ours(events())
	}
	must(admin.Exec(ctx, `VACUUM ANALYZE bare, usage_events`))
	var bareTook, ourTook []time.Duration
	var ratios []float64 // of neighbours, which ran under the same conditions
	for turn := 0; b.Loop(); turn++ {
		var n, o time.Duration
		if turn%2 == 0 {
			n = bare(events())
		}
		o = ours(events())
		if turn%2 != 0 {
			n = bare(events())
		}
		bareTook, ourTook, ratios = append(bareTook, n), append(ourTook, o), append(ratios, n.Seconds()/o.Seconds())
	}
	slices.Sort(ratios)
	n, o := middle(bareTook), middle(ourTook)
	b.ReportMetric(batch/n.Seconds(), "bare-events/s")
	b.ReportMetric(batch/o.Seconds(), "events/s")
	b.ReportMetric(ratios[len(ratios)/2], "x-of-bare")
}
