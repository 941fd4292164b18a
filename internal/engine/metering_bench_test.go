// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/store"
)

// unmetered is a transaction that leaves the ledger alone; for comparison only.
type unmetered struct{ engine.Tx }

func (u unmetered) SaveIntake(ctx context.Context, g engine.Guard, in engine.Intake) error {
	in.Usage = nil
	return u.Tx.SaveIntake(ctx, g, in)
}

func (u unmetered) SaveSettling(ctx context.Context, g engine.Guard, s engine.Settling) error {
	s.Usage = nil
	return u.Tx.SaveSettling(ctx, g, s)
}

// BenchmarkMetering measures a first sync of SYNCLINE_BENCH_SYNC (20,000) rows, PostgreSQL to PostgreSQL, and then as many updates, with
// metering and without, in turns. With metering it must be at least 0.95 times as fast.
func BenchmarkMetering(b *testing.B) {
	rows := 20_000
	if text := os.Getenv("SYNCLINE_BENCH_SYNC"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 {
			b.Fatalf("SYNCLINE_BENCH_SYNC is %q, not a number of 100 or more", text)
		}
		rows = n
	}
	took := map[bool][]time.Duration{}
	run := func(metered bool) {
		p := newPGBench(b)
		if !metered {
			p.engine = engine.New(store.InTx(p.db, func(tx *store.Tx) engine.Tx { return unmetered{tx} }), p, slog.New(slog.DiscardHandler))
		}
		p.do("warehouse", fmt.Sprintf(`INSERT INTO products SELECT 'SKU-' || i, 'Product ' || i, i %% 1000, (i %% 10000) / 100.0 FROM generate_series(1, %d) i`, rows))
		began := time.Now()
		p.start()
		wait := func(query string) {
			for n := 0; n < rows; {
				p.scan("shop", query, &n)
				if time.Since(began) > 10*time.Minute {
					b.Fatal("it does not end")
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		wait(`SELECT count(*) FROM products`)
		p.do("warehouse", `UPDATE products SET quantity = quantity + 1000`)
		wait(`SELECT count(*) FROM products WHERE quantity >= 1000`)
		took[metered] = append(took[metered], time.Since(began))
		p.halt()
		if n := p.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'sync_operations'`); metered && n < int64(rows) || !metered && n != 0 {
			b.Fatalf("metered %v, and %d are in the ledger", metered, n)
		}
	}
	const rounds = 9
	for b.Loop() {
		for round := range rounds {
			run(round%2 == 0)
			run(round%2 != 0)
		}
	}
	// The two of a round ran under the same conditions.
	ratios := make([]float64, len(took[true]))
	for i := range ratios {
		ratios[i] = took[false][i].Seconds() / took[true][i].Seconds()
	}
	slices.Sort(ratios)
	middle := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(2*rows) / d[len(d)/2].Seconds()
	}
	b.ReportMetric(middle(took[true]), "rows/s")
	b.ReportMetric(middle(took[false]), "unmetered-rows/s")
	b.ReportMetric(ratios[len(ratios)/2], "x-of-unmetered")
}
