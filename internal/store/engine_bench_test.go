// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// meters measure what a number of records cost our own database and this process.
type meters struct {
	b     *testing.B
	owner *pgx.Conn
	cpu   time.Duration // of the database's sessions of the program
	own   float64       // seconds of this process, garbage collection included
	log   int64         // bytes of write-ahead log
}

// sessions is the processor time of the database's sessions that work for the program, to the nanosecond.
func (m *meters) sessions() (sum time.Duration) {
	rows, err := m.owner.Query(context.Background(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'syncline'`)
	if err != nil {
		m.b.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		m.b.Fatal(err)
	}
	for _, pid := range pids {
		sum += m.spent(uint32(pid))
	}
	return sum
}

// spent is the processor time of a process, to the nanosecond.
func (m *meters) spent(pid uint32) time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "schedstat"))
	if err != nil {
		m.b.Fatal(err)
	}
	var ns int64
	if _, err := fmt.Sscan(string(text), &ns); err != nil {
		m.b.Fatal(err)
	}
	return time.Duration(ns)
}

// process is the processor time of this process in seconds, garbage collection included.
func process() float64 {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system float64
	_, _ = fmt.Sscan(f[11], &user)
	_, _ = fmt.Sscan(f[12], &system)
	return (user + system) / 100
}

func (m *meters) wal() (n int64) {
	if err := m.owner.QueryRow(context.Background(), `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&n); err != nil {
		m.b.Fatal(err)
	}
	return n
}

func (m *meters) begin() { m.cpu, m.own, m.log = m.sessions(), process(), m.wal() }

func (m *meters) end(what string, n int) {
	cpu, own, log := m.sessions()-m.cpu, process()-m.own, m.wal()-m.log
	fmt.Printf("%-44s %7.1f us database, %6.1f us program, %6d B of log\n", what, float64(cpu.Nanoseconds())/1e3/float64(n), own*1e6/float64(n), log/int64(n))
}

// floor says what the same rows cost when they are copied into tables like ours, with the same indexes and checks and nothing else: no
// row-level security, no lookup, no page, no cursor.
func (m *meters) floor(records int) {
	ctx := context.Background()
	var sum time.Duration
	for _, table := range []string{"entities", "links", "journal"} {
		var rows bytes.Buffer
		for _, sql := range []string{"CREATE TABLE floor (LIKE " + table + " INCLUDING ALL)", "ALTER TABLE " + table + " NO FORCE ROW LEVEL SECURITY"} {
			if _, err := m.owner.Exec(ctx, sql); err != nil {
				m.b.Fatal(err)
			}
		}
		if _, err := m.owner.PgConn().CopyTo(ctx, &rows, "COPY "+table+" TO STDOUT (FORMAT binary)"); err != nil {
			m.b.Fatal(err)
		}
		before := m.spent(m.owner.PgConn().PID())
		if _, err := m.owner.PgConn().CopyFrom(ctx, &rows, "COPY floor FROM STDIN (FORMAT binary)"); err != nil {
			m.b.Fatal(err)
		}
		sum += m.spent(m.owner.PgConn().PID()) - before
		if _, err := m.owner.Exec(ctx, "DROP TABLE floor; ALTER TABLE "+table+" FORCE ROW LEVEL SECURITY"); err != nil {
			m.b.Fatal(err)
		}
	}
	fmt.Printf("%-44s %7.1f us database\n", "its bare rows by COPY, the floor", float64(sum.Nanoseconds())/1e3/float64(records))
}

// carried makes a tenant's service that is carried with the guard. owner sees everything.
func carried(t testing.TB) (db *store.DB, id tenant.ID, owner *pgx.Conn, guard engine.Guard) {
	t.Helper()
	ctx := context.Background()
	url := storetest.URL(t)
	db = storetest.Open(t, url, nil)
	id = storetest.Tenant(t, db)
	owner, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(ctx) })
	sid := uuid.Must(uuid.NewV7())
	for _, sql := range []string{
		`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at) VALUES ($1, $2, 'bench', 'active', 1, true, now(), now())`,
		`INSERT INTO revisions (tenant_id, service_id, number, document, source, format, author, created_at) VALUES ($1, $2, 1, '{}', '', 'yaml', 'bench', now())`,
		`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $2, 1, now() + interval '1 day')`,
	} {
		if _, err := owner.Exec(ctx, sql, uuid.UUID(id), sid); err != nil {
			t.Fatal(err)
		}
	}
	return db, id, owner, engine.Guard{Service: service.ID(sid), Fence: 1, Revision: 1}
}

// BenchmarkPages says what a record of a page costs our own database, without any system: SYNCLINE_BENCH_RECORDS (100,000)
// records in a first sync of two systems, and a quarter of them changed in pages of SYNCLINE_BENCH_PAGE (500), by the engine's own steps.
// It counts processor time and bytes of the log, which say the same on a machine that does other work.
func BenchmarkPages(b *testing.B) {
	ctx := context.Background()
	records := benchSize(b, "SYNCLINE_BENCH_RECORDS", 100_000)
	db, id, owner, guard := carried(b)
	coll := &engine.Collection{Name: "products", MatchFields: []string{"sku"}}
	west := &engine.Seat{System: "west", Object: "public.products", Collection: coll, Reads: true, Writes: true}
	east := &engine.Seat{System: "east", Object: "public.products", Collection: coll, Reads: true, Writes: true}
	inTx := func(fn func(tx *store.Tx) error) {
		b.Helper()
		if err := db.InTenant(ctx, id, fn); err != nil {
			b.Fatal(err)
		}
	}
	m := &meters{b: b, owner: owner}
	newID := func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	fields := func(i, quantity int) record.Fields {
		return record.Fields{"sku": fmt.Sprintf("SKU-%08d", i), "name": fmt.Sprintf("Product %d", i), "quantity": record.Int(int64(quantity)),
			"price": record.Number("12.34"), "updatedAt": "2026-01-01T00:00:00Z"}
	}
	run := newID()
	position := func(seat *engine.Seat, n int) *engine.Move {
		return &engine.Move{Changed: true, Position: engine.Position{System: seat.System, Object: seat.Object, Cursor: record.Cursor("cursor"), Phase: connector.Snapshot, Done: int64(n)}}
	}
	const page = 2000
	m.begin()
	for from := 0; from < records; from += page {
		var o engine.Outcome
		attempt := engine.Attempt{ID: newID(), System: "east", Collection: coll.Name, OwedAt: map[record.EntityID]time.Time{}}
		now := time.Now().UTC().Truncate(time.Microsecond)
		for i := from; i < min(from+page, records); i++ {
			f := fields(i, 0)
			e := &record.Entity{ID: record.NewEntityID(), Collection: coll.Name, MatchKey: f["sku"].(string), Fields: f, Origin: "west", Version: 1, CreatedAt: now, ChangedAt: now}
			l := &record.Link{System: "west", Object: west.Object, Key: record.Key(e.MatchKey), State: record.Synced, SyncedAt: now}
			e.Links = map[record.System]*record.Link{"west": l}
			o.New, o.NewLinks = append(o.New, e), append(o.NewLinks, engine.LinkRow{Entity: e.ID, Link: l})
			o.Journal = append(o.Journal, record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Changed, Op: record.Created, System: "west", Cause: run, After: f})
			attempt.Entities = append(attempt.Entities, e.ID)
		}
		o.Counts.Read = page
		inTx(func(tx *store.Tx) error {
			if _, err := tx.Load(ctx, guard, west, nil, nil); err != nil {
				return err
			}
			return tx.SaveIntake(ctx, guard, engine.Intake{Seat: west, Outcome: o, Move: position(west, from), Attempts: []engine.Attempt{attempt}})
		})
		inTx(func(tx *store.Tx) error {
			moved, err := tx.Moved(ctx, guard, east, o.New)
			if err != nil || len(moved) > 0 {
				return fmt.Errorf("moved %d: %w", len(moved), err)
			}
			var st engine.Settlement
			for _, e := range o.New {
				l := &record.Link{System: "east", Object: east.Object, Key: record.Key(e.MatchKey), State: record.Synced, SyncedAt: now}
				e.Links["east"] = l
				st.NewLinks = append(st.NewLinks, engine.LinkRow{Entity: e.ID, Link: l})
				st.Journal = append(st.Journal, record.Entry{ID: newID(), Entity: e.ID, At: now, Kind: record.Delivered, Op: record.Created, System: "east", Cause: attempt.ID, After: e.Fields})
				st.Done = append(st.Done, e.ID)
			}
			return tx.SaveSettling(ctx, guard, engine.Settling{Seat: east, Attempt: attempt, Settlement: st})
		})
	}
	m.end("first sync, a record", records)
	m.floor(records)
	if _, err := owner.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		b.Fatal(err)
	}
	size := benchSize(b, "SYNCLINE_BENCH_PAGE", 500)
	n := records / 4 / size * size
	m.begin()
	for from := 0; from < n; from += size {
		keys, matches := make([]record.Key, size), make([]string, size)
		for i := range keys {
			matches[i] = fmt.Sprintf("SKU-%08d", (from+i)*7919%records)
			keys[i] = record.Key(matches[i])
		}
		var o engine.Outcome
		attempt := engine.Attempt{ID: newID(), System: "east", Collection: coll.Name, OwedAt: map[record.EntityID]time.Time{}}
		var list []*record.Entity
		inTx(func(tx *store.Tx) error {
			loaded, err := tx.Load(ctx, guard, west, keys, matches)
			if err != nil || len(loaded.Entities) != size {
				return fmt.Errorf("loaded %d: %w", len(loaded.Entities), err)
			}
			for _, e := range loaded.Entities {
				before := record.Fields{"quantity": e.Fields["quantity"]}
				after := record.Fields{"quantity": record.Int(7)}
				e.Fields["quantity"], e.Version, e.ChangedAt = after["quantity"], e.Version+1, tx.Now()
				e.Stamps = map[string]record.Stamp{"quantity": {System: "west", At: tx.Now()}}
				e.Links["east"].Behind, e.Links["east"].State = before, record.Pending
				o.Changed = append(o.Changed, e)
				o.Links = append(o.Links, engine.LinkRow{Entity: e.ID, Link: e.Links["east"]})
				o.Journal = append(o.Journal, record.Entry{ID: newID(), Entity: e.ID, At: tx.Now(), Kind: record.Changed, Op: record.Updated, System: "west", Before: before, After: after})
				attempt.Entities = append(attempt.Entities, e.ID)
			}
			list = loaded.Entities
			o.Counts.Read = int64(size)
			return tx.SaveIntake(ctx, guard, engine.Intake{Seat: west, Outcome: o, Move: position(west, from), Attempts: []engine.Attempt{attempt}})
		})
		inTx(func(tx *store.Tx) error {
			moved, err := tx.Moved(ctx, guard, east, list)
			if err != nil || len(moved) > 0 {
				return fmt.Errorf("moved %d: %w", len(moved), err)
			}
			var st engine.Settlement
			for _, e := range list {
				l := e.Links["east"]
				st.Journal = append(st.Journal, record.Entry{ID: newID(), Entity: e.ID, At: tx.Now(), Kind: record.Delivered, Op: record.Updated, System: "east", Cause: attempt.ID, Before: l.Behind, After: record.Fields{"quantity": record.Int(7)}})
				l.Behind, l.State, l.SyncedAt = nil, record.Synced, tx.Now()
				st.Links = append(st.Links, engine.LinkRow{Entity: e.ID, Link: l})
				st.Done = append(st.Done, e.ID)
			}
			return tx.SaveSettling(ctx, guard, engine.Settling{Seat: east, Attempt: attempt, Settlement: st})
		})
	}
	m.end("a change", n)
	b.ReportMetric(0, "ns/op")
}
