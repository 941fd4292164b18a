// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestStreamOfSpecialTables(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db,
		`CREATE TABLE parted (region text, id int, v int, PRIMARY KEY (region, id)) PARTITION BY LIST (region)`,
		`CREATE TABLE parted_de PARTITION OF parted FOR VALUES IN ('de')`,
		`CREATE TABLE parted_fr PARTITION OF parted FOR VALUES IN ('fr')`,
		`CREATE TABLE "Whole's" ("The Key" timestamptz NOT NULL UNIQUE, v int)`,
		`CREATE TABLE bare (id int NOT NULL UNIQUE, v int)`)
	sys := open(t, raw, "Svc-Special'1", "cdc") // a name that no slot can have
	_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "bare", Limit: 1})
	if e := connector.Classify(err); err == nil || e.Code != "postgresql.cdc_not_possible" {
		t.Errorf("a table whose users' updates would fail once it is published gave %v", err)
	}
	parted := follow(t, sys, "parted")
	key := func(region string, id int64) record.Key { return record.MakeKey(region, record.Int(id)) }
	mustExec(t, db, `INSERT INTO parted VALUES ('de', 1, 1), ('fr', 1, 1)`, `INSERT INTO parted_fr VALUES ('fr', 2, 2)`)
	parted.sees(key("de", 1), key("fr", 1), key("fr", 2))
	mustExec(t, db, `UPDATE parted SET region = 'fr', id = 3 WHERE region = 'de'`, `DELETE FROM parted_fr WHERE id = 1`)
	parted.sees(key("fr", 2), key("fr", 3))

	mustExec(t, db, `ALTER TABLE "Whole's" REPLICA IDENTITY FULL`)
	whole := follow(t, open(t, raw, "svc_whole", "cdc"), "Whole's")
	mustExec(t, db, `INSERT INTO "Whole's" VALUES ('2026-11-23 10:00+02', 1), ('2026-11-23 11:00+02', 1)`)
	whole.sees("2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z")
	mustExec(t, db, `UPDATE "Whole's" SET "The Key" = '2026-11-23 12:00Z' WHERE "The Key" = '2026-11-23 08:00Z'`, `DELETE FROM "Whole's" WHERE "The Key" = '2026-11-23 09:00Z'`)
	whole.sees("2026-11-23T12:00:00Z")

	mustExec(t, db, `TRUNCATE "Whole's"`, `INSERT INTO "Whole's" VALUES ('2026-11-23 13:00Z', 1)`)
	for deadline := time.Now().Add(patience); ; {
		if _, err = whole.read(); err != nil || time.Now().After(deadline) {
			break
		}
	}
	if e := connector.Classify(err); err == nil || e.Class != connector.LostPlace || e.Code != "postgresql.table_emptied" {
		t.Fatalf("after a TRUNCATE reading gave %v", err)
	}
	whole.cursor, whole.rows = nil, map[record.Key]record.Fields{}
	whole.sees("2026-11-23T13:00:00Z")

	if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"parted"}); err != nil {
		t.Fatal(err)
	}
	if err := whole.sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"Whole's"}); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.QueryRow(`SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())`).Scan(&left); err != nil || left != 0 {
		t.Errorf("after cleaning up, %d slots and publications are left (%v)", left, err)
	}
}

// Another process takes the work over while the old one still holds the slot.
func TestStreamIsTakenOver(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`)
	old := follow(t, open(t, raw, "svc_takeover", "cdc"), "thing")
	mustExec(t, db, `INSERT INTO thing VALUES (1, 1)`)
	old.sees("1")
	r := &reader{t: t, sys: open(t, raw, "svc_takeover", "cdc"), object: "thing", cursor: slices.Clone(old.cursor), rows: map[record.Key]record.Fields{"1": nil}}
	mustExec(t, db, `INSERT INTO thing VALUES (2, 1)`)
	r.sees("1", "2")
	if err := old.sys.Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, `INSERT INTO thing VALUES (3, 1)`)
	r.sees("1", "2", "3")
}

// Several tables share one slot, and it moves only over what all of them have stored.
func TestTablesShareASlot(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE one (id int PRIMARY KEY)`, `CREATE TABLE two (id int PRIMARY KEY)`)
	sys := open(t, raw, "svc_shared", "cdc")
	one, two := follow(t, sys, "one"), follow(t, sys, "two")
	mustExec(t, db, `INSERT INTO one VALUES (1)`, `INSERT INTO two VALUES (1)`, `INSERT INTO one VALUES (2)`)
	one.sees("1", "2")
	if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), "one", one.cursor); err != nil {
		t.Fatal(err)
	}
	cursorOne, cursorTwo := one.cursor, two.cursor
	mustExec(t, db, `INSERT INTO one VALUES (3)`)
	if err := sys.Close(); err != nil { // which tells the server nothing more than it knows
		t.Fatal(err)
	}
	again := open(t, raw, "svc_shared", "cdc")
	one = &reader{t: t, sys: again, object: "one", cursor: cursorOne, rows: map[record.Key]record.Fields{"1": nil, "2": nil}}
	two = &reader{t: t, sys: again, object: "two", cursor: cursorTwo, rows: map[record.Key]record.Fields{}}
	one.sees("1", "2", "3")
	two.sees("1")
	for _, r := range []*reader{one, two} {
		if err := again.(connector.Acknowledger).Acknowledge(t.Context(), r.object, r.cursor); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(patience); ; { // the server hears of it within a second
		var done bool
		if err := db.QueryRow(`SELECT confirmed_flush_lsn - '0/0'::pg_lsn >= $1 FROM pg_replication_slots WHERE slot_name = 'syncline_svc_shared'`, lsnOf(t, two.cursor)).Scan(&done); err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the slot does not move although all is acknowledged")
		}
	}
}

// Tables that begin together make one publication and one slot.
func TestTablesBeginTogether(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE one (id int PRIMARY KEY)`)
	sys := open(t, raw, "svc_together", "cdc")
	maker, err := db.BeginTx(t.Context(), nil) // who is about to make it for another table
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = maker.Rollback() }()
	if _, err := maker.ExecContext(t.Context(), `SELECT pg_advisory_xact_lock(x'53594e44'::int, hashtext('syncline_svc_together')); CREATE PUBLICATION syncline_svc_together`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "one", Limit: 10})
		done <- err
	}()
	waits(t, db, done)
	if err := maker.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	one := follow(t, sys, "one")
	mustExec(t, db, `INSERT INTO one VALUES (1)`)
	one.sees("1")
}

func lsnOf(t *testing.T, c record.Cursor) (lsn int64) {
	t.Helper()
	var place struct{ LSN int64 }
	if err := json.Unmarshal(c, &place); err != nil || place.LSN == 0 {
		t.Fatalf("the cursor %s has no position (%v)", c, err)
	}
	return place.LSN
}
