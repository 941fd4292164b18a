// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

const stockLevels = `CREATE TABLE stock_levels (sku text PRIMARY KEY, name text, quantity int, price numeric(12,2), updated_at timestamptz)`

func benchmarkSystem(b *testing.B, raw, detection string) connector.System {
	b.Helper()
	e := env
	e.Consumer, e.Detection = "svc_bench", detection
	sys, err := postgres.New().Open(b.Context(), settings(b, raw), e)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sys.Close() })
	return sys
}

// cpu is what this process has used so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perRow reports time and our processor time for each of n rows.
func perRow(b *testing.B, n int, wall, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(n)/wall.Seconds(), "rows/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/row")
	b.ReportMetric(0, "ns/op")
}

func drain(b *testing.B, sys connector.System, object record.Object, cursor record.Cursor, limit int) (n int, at record.Cursor) {
	b.Helper()
	for {
		page, err := sys.(connector.Reader).Read(b.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: limit})
		if err != nil {
			b.Fatal(err)
		}
		n += len(page.Changes)
		cursor = page.Cursor
		if !page.More {
			return n, cursor
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	raw := testdb.Postgres(b)
	db := openDB(b, raw)
	mustExec(b, db, stockLevels, `INSERT INTO stock_levels SELECT 'SKU-' || i, 'Product number ' || i, i % 500, i / 100.0, now() FROM generate_series(1, 100000) i`)
	sys := benchmarkSystem(b, raw, "database-trigger")
	drain(b, sys, "stock_levels", nil, 2000)
	b.ResetTimer()
	start, used, rows := time.Now(), cpu(), 0
	for b.Loop() {
		n, _ := drain(b, sys, "stock_levels", nil, 2000)
		rows += n
	}
	perRow(b, rows, time.Since(start), cpu()-used)
}

func BenchmarkStream(b *testing.B) {
	for _, detection := range []string{"database-trigger", "cdc"} {
		b.Run(detection, func(b *testing.B) {
			raw := testdb.Postgres(b)
			db := openDB(b, raw)
			mustExec(b, db, stockLevels, `INSERT INTO stock_levels SELECT 'SKU-' || i, 'Product number ' || i, i % 500, i / 100.0, now() FROM generate_series(1, 20000) i`)
			sys := benchmarkSystem(b, raw, detection)
			_, cursor := drain(b, sys, "stock_levels", nil, 2000)
			var wall, used time.Duration
			rows := 0
			for b.Loop() {
				b.StopTimer()
				mustExec(b, db, `UPDATE stock_levels SET quantity = quantity + 1`)
				b.StartTimer()
				start, before := time.Now(), cpu()
				for n := 0; n < 20000; {
					var m int
					m, cursor = drain(b, sys, "stock_levels", cursor, 2000)
					n += m
					rows += m
				}
				wall, used = wall+time.Since(start), used+cpu()-before
				if err := sys.(connector.Acknowledger).Acknowledge(b.Context(), "stock_levels", cursor); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, rows, wall, used)
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("create-%d", size), func(b *testing.B) {
			raw := testdb.Postgres(b)
			mustExec(b, openDB(b, raw), stockLevels)
			sys := benchmarkSystem(b, raw, "database-trigger")
			i := 0
			benchmarkWrites(b, sys, size, func() connector.Write {
				i++
				return connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: row(i, 1)}
			})
		})
		b.Run(fmt.Sprintf("update-%d", size), func(b *testing.B) {
			raw := testdb.Postgres(b)
			mustExec(b, openDB(b, raw), stockLevels)
			sys := benchmarkSystem(b, raw, "database-trigger")
			var creates []connector.Write
			for i := range 5000 {
				creates = append(creates, connector.Write{Op: record.Upsert, Create: true, Fields: row(i, 1)})
			}
			if _, err := sys.(connector.Writer).Write(b.Context(), "stock_levels", creates); err != nil {
				b.Fatal(err)
			}
			i := 0
			benchmarkWrites(b, sys, size, func() connector.Write {
				n, round := i%5000, int64(i/5000)
				i++
				return connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Key: record.Key(fmt.Sprintf("SKU-%d", n)),
					Fields: record.Fields{"quantity": record.Int(round + 2)}, Expect: record.Fields{"quantity": record.Int(round + 1)}}
			})
		})
	}
}

func row(i int, quantity int64) record.Fields {
	return record.Fields{"sku": fmt.Sprintf("SKU-%d", i), "name": fmt.Sprintf("Product number %d", i), "quantity": record.Int(quantity),
		"price": record.Number("12.5"), "updated_at": "2026-11-23T12:00:00.5Z"}
}

func benchmarkWrites(b *testing.B, sys connector.System, size int, next func() connector.Write) {
	b.Helper()
	var wall, used time.Duration
	rows := 0
	for b.Loop() {
		b.StopTimer()
		writes := make([]connector.Write, size)
		for i := range writes {
			writes[i] = next()
		}
		b.StartTimer()
		start, before := time.Now(), cpu()
		receipts, err := sys.(connector.Writer).Write(b.Context(), "stock_levels", writes)
		wall, used = wall+time.Since(start), used+cpu()-before
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range receipts {
			if r.Outcome != connector.Applied {
				b.Fatalf("write %d is %s: %v", i, r.Outcome, r.Err)
			}
		}
		rows += size
	}
	perRow(b, rows, wall, used)
}

// BenchmarkWriterBesideTriggers is what triggers cost those who write to the table: transactions of 500 updates of single
// rows, with and without, in turns, as a ratio of their speeds.
func BenchmarkWriterBesideTriggers(b *testing.B) {
	raw := testdb.Postgres(b)
	db := openDB(b, raw)
	mustExec(b, db, stockLevels, `INSERT INTO stock_levels SELECT 'SKU-' || i, 'Product number ' || i, 0, 1, now() FROM generate_series(1, 5000) i`,
		`CREATE TABLE bare (LIKE stock_levels INCLUDING ALL)`, `INSERT INTO bare SELECT * FROM stock_levels`)
	sys := benchmarkSystem(b, raw, "database-trigger")
	_, cursor := drain(b, sys, "stock_levels", nil, 2000)
	watched, stop := context.WithCancel(b.Context())
	defer stop()
	woken := make(chan record.Object, 1000)
	go sys.(connector.Watcher).Watch(watched, []record.Object{"stock_levels"}, func(o record.Object) {
		select {
		case woken <- o:
		default:
		}
	})
	<-woken
	c := connect(b, raw)
	transaction := func(table string) time.Duration {
		start := time.Now()
		tx, err := c.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for i := range 500 {
			if _, err := tx.Exec(b.Context(), `UPDATE `+table+` SET quantity = quantity + 1, updated_at = now() WHERE sku = $1`, fmt.Sprintf("SKU-%d", i*7%5000+1)); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	transaction("bare")
	transaction("stock_levels")
	var with, without []time.Duration
	for b.Loop() {
		without = append(without, transaction("bare"))
		with = append(with, transaction("stock_levels"))
		_, cursor = drain(b, sys, "stock_levels", cursor, 2000)
	}
	b.ReportMetric(float64(median(without))/float64(median(with)), "speed-ratio")
	b.ReportMetric(float64(median(with).Microseconds())/500, "us/update")
	b.ReportMetric(0, "ns/op")
}

func median(list []time.Duration) time.Duration {
	sorted := append([]time.Duration(nil), list...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}

// BenchmarkLatency is the time from a user's commit until a reader that waits has the row, at rest.
func BenchmarkLatency(b *testing.B) {
	for _, detection := range []string{"database-trigger", "cdc"} {
		b.Run(detection, func(b *testing.B) {
			raw := testdb.Postgres(b)
			mustExec(b, openDB(b, raw), stockLevels, `INSERT INTO stock_levels VALUES ('A', 'a', 0, 0, now())`)
			sys := benchmarkSystem(b, raw, detection)
			_, cursor := drain(b, sys, "stock_levels", nil, 100)
			woken := make(chan record.Object, 1000)
			go sys.(connector.Watcher).Watch(b.Context(), []record.Object{"stock_levels"}, func(o record.Object) { woken <- o })
			<-woken
			c := connect(b, raw)
			var all []time.Duration
			for b.Loop() {
				rest, done := context.WithTimeout(b.Context(), 60*time.Millisecond) // at rest
				<-rest.Done()
				done()
				for len(woken) > 0 {
					<-woken
				}
				_, cursor = drain(b, sys, "stock_levels", cursor, 100)
				if _, err := c.Exec(b.Context(), `UPDATE stock_levels SET quantity = quantity + 1`, pgx.QueryExecModeExec); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				for n := 0; n == 0; {
					<-woken
					n, cursor = drain(b, sys, "stock_levels", cursor, 100)
				}
				all = append(all, time.Since(start))
			}
			b.ReportMetric(float64(median(all).Microseconds())/1000, "p50-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
