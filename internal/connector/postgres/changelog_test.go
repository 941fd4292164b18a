// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// Whoever needs the schema while another makes it waits and takes what the other made, whatever its session knew before: sessions
// that ran such a block already look nothing up anew on their way to it.
func TestSchemaMadeByTwo(t *testing.T) {
	t.Parallel()
	readOf := func(sys connector.System, o record.Object) error {
		_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Limit: 10})
		return err
	}
	read := func(sys connector.System) error { return readOf(sys, "thing") }
	write := func(sys connector.System) error {
		_, err := sys.(connector.Writer).Write(t.Context(), "thing", []connector.Write{{ID: record.NewEntityID(), Attempt: uuid.New(), Op: record.Upsert, Create: true, Key: "1", Fields: record.Fields{"id": record.Int(1)}}})
		return err
	}
	for _, c := range []struct {
		name, detection string
		needs           func(connector.System) error
	}{{"a log of changes", "database-trigger", read}, {"a list of hashes", "hash", read}, {"what was written", "hash", write}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			raw := testdb.Postgres(t)
			db := openDB(t, raw)
			mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY)`, `CREATE TABLE other (id int PRIMARY KEY)`)
			sys := open(t, raw, "svc", c.detection)
			if err := readOf(sys, "other"); err != nil {
				t.Fatal(err)
			}
			if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"other"}); err != nil {
				t.Fatal(err)
			}
			maker, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = maker.Rollback() }()
			if _, err := maker.ExecContext(t.Context(), `SELECT pg_advisory_xact_lock(x'53594e43'::int, 0); CREATE SCHEMA syncline`); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.needs(sys) }()
			waits(t, db, done)
			if err := maker.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// waits returns once somebody in the database waits for a lock that another holds.
func waits(t *testing.T, db *sql.DB, done <-chan error) {
	t.Helper()
	for deadline, waiting := time.Now().Add(patience), false; !waiting; {
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		if err := db.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting); err != nil || time.Now().After(deadline) {
			t.Fatalf("nobody waits: %v", err)
		}
	}
}
