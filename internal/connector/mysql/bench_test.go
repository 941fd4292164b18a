// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const benchTable = "CREATE TABLE bench (id INT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(40), name VARCHAR(100), price DECIMAL(12,2), quantity INT, active BOOLEAN, created DATETIME(6), changed TIMESTAMP(6) NULL, note TEXT, doc JSON)"

func benchFill(n int) string {
	return fmt.Sprintf(`INSERT INTO bench (sku, name, price, quantity, active, created, changed, note, doc) SELECT CONCAT('SKU-', seq), CONCAT('A product with the number ', seq), seq / 100, seq %% 1000, seq %% 2, NOW(6), NOW(6),
		REPEAT('note ', seq %% 20), JSON_OBJECT('a', seq, 'b', 'text') FROM seq_1_to_%d`, n)
}

// rate reports records per second.
func rate(b *testing.B, records int) {
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkReadSnapshot(b *testing.B) {
	const rows = 50_000
	d := newDatabase(b, benchTable, benchFill(rows))
	s := d.open()
	b.ResetTimer()
	for b.Loop() {
		r := d.replica(s, "bench", 10_000)
		for r.page().Phase == connector.Snapshot {
		}
	}
	rate(b, rows*b.N)
}

// The statement alone, by the usual way through database/sql: what the server and the wire cost.
func BenchmarkReadPlain(b *testing.B) {
	const rows = 50_000
	d := newDatabase(b, benchTable, benchFill(rows))
	b.ResetTimer()
	for b.Loop() {
		readPlain(b, d)
	}
	rate(b, rows*b.N)
}

func readPlain(b *testing.B, d *database) {
	list, err := d.db.Query("SELECT * FROM bench ORDER BY id")
	if err != nil {
		b.Fatal(err)
	}
	defer list.Close()
	values := make([]any, 10)
	for i := range values {
		values[i] = new([]byte)
	}
	for list.Next() {
		if err := list.Scan(values...); err != nil {
			b.Fatal(err)
		}
	}
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadLog(b *testing.B) {
	const rows = 20_000
	d := newDatabase(b, benchTable, benchFill(rows))
	s := d.open()
	r := d.replica(s, "bench", 5_000)
	r.drain()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		d.exec("UPDATE bench SET quantity = quantity + 1")
		b.StartTimer()
		r.drain()
	}
	rate(b, rows*b.N)
}

// One change at a time: from the commit until the record is read.
func BenchmarkReadOneChange(b *testing.B) {
	d := newDatabase(b, benchTable, benchFill(1000))
	s := d.open()
	r := d.replica(s, "bench", 1000)
	r.drain()
	i := 0
	for b.Loop() {
		b.StopTimer()
		i++
		d.exec(fmt.Sprintf("UPDATE bench SET quantity = quantity + 1 WHERE id = %d", i%1000+1))
		b.StartTimer()
		if p := r.page(); len(p.Changes) != 1 {
			b.Fatalf("%d changes", len(p.Changes))
		}
	}
}

func benchFields(i, round int) record.Fields {
	return record.Fields{"sku": fmt.Sprintf("SKU-%d", i), "name": fmt.Sprintf("A product with the number %d, round %d", i, round), "price": record.Number(fmt.Sprintf("%d.25", i%1000+1)),
		"quantity": record.Int(int64(round)), "active": i%2 == 0, "created": "2026-01-02T03:04:05.123456", "changed": "2026-01-02T03:04:05.123456Z", "note": "some words of a note", "doc": map[string]any{"a": record.Int(int64(i))}}
}

func benchWrite(b *testing.B, s *system, writes []connector.Write) {
	receipts, err := s.Write(context.Background(), "bench", writes)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range receipts {
		if r.Outcome != connector.Applied {
			b.Fatalf("%s: %v", r.Outcome, r.Err)
		}
	}
}

const batchSize = 500

func BenchmarkWriteInsert(b *testing.B) {
	d := newDatabase(b, benchTable)
	s := d.open()
	next := 0
	for b.Loop() {
		b.StopTimer()
		writes := make([]connector.Write, batchSize)
		for i := range writes {
			next++
			writes[i] = upsert(benchFields(next, 0))
			writes[i].Fields["id"] = record.Int(int64(next))
		}
		b.StartTimer()
		benchWrite(b, s, writes)
	}
	rate(b, batchSize*b.N)
}

func BenchmarkWriteUpdate(b *testing.B) {
	d := newDatabase(b, benchTable, benchFill(batchSize))
	s := d.open()
	round := 0
	for b.Loop() {
		b.StopTimer()
		round++
		writes := make([]connector.Write, batchSize)
		for i := range writes {
			writes[i] = set(record.Key(record.Int(int64(i+1))), benchFields(i, round))
			if round > 1 {
				writes[i].Expect = record.Fields{"quantity": record.Int(int64(round - 1)), "sku": fmt.Sprintf("SKU-%d", i)}
			}
		}
		b.StartTimer()
		benchWrite(b, s, writes)
	}
	rate(b, batchSize*b.N)
}

// The same rows written one by one in one transaction: what batches save.
func BenchmarkWriteUpdatePlain(b *testing.B) {
	d := newDatabase(b, benchTable, benchFill(batchSize))
	round := 0
	for b.Loop() {
		round++
		tx, err := d.db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		statement, err := tx.Prepare("UPDATE bench SET sku = ?, name = ?, price = ?, quantity = ?, note = ? WHERE id = ?")
		if err != nil {
			b.Fatal(err)
		}
		defer statement.Close()
		for i := range batchSize {
			if _, err := statement.Exec(fmt.Sprintf("SKU-%d", i), fmt.Sprintf("A product with the number %d, round %d", i, round), "1.25", round, "some words of a note", i+1); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	rate(b, batchSize*b.N)
}
