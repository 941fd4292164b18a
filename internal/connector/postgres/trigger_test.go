// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

const patience = time.Minute

// reader follows one object.
type reader struct {
	t      *testing.T
	sys    connector.System
	object record.Object
	cursor record.Cursor
	rows   map[record.Key]record.Fields
}

func open(t *testing.T, raw, consumer, detection string) connector.System {
	t.Helper()
	checked, err := postgres.New().Spec().Check(settings(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	e := env
	e.Consumer, e.Detection = consumer, detection
	sys, err := postgres.Patient().Open(t.Context(), checked, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close() })
	return sys
}

func follow(t *testing.T, sys connector.System, object record.Object) *reader {
	t.Helper()
	r := &reader{t: t, sys: sys, object: object, rows: map[record.Key]record.Fields{}}
	r.drain()
	return r
}

func (r *reader) read() (connector.Page, error) {
	page, err := r.sys.(connector.Reader).Read(r.t.Context(), connector.ReadRequest{Object: r.object, Cursor: r.cursor, Limit: 100})
	if err != nil {
		return page, err
	}
	for _, c := range page.Changes {
		if c.Op == record.Delete {
			delete(r.rows, c.Key)
		} else {
			r.rows[c.Key] = c.Fields
		}
	}
	r.cursor = page.Cursor
	return page, nil
}

func (r *reader) drain() {
	r.t.Helper()
	for {
		page, err := r.read()
		if err != nil {
			r.t.Fatal(err)
		}
		if !page.More {
			return
		}
	}
}

// sees reads on until the keys are those wanted.
func (r *reader) sees(keys ...record.Key) {
	r.t.Helper()
	slices.Sort(keys)
	for deadline := time.Now().Add(patience); ; {
		r.drain()
		got := make([]record.Key, 0, len(r.rows))
		for k := range r.rows {
			got = append(got, k)
		}
		slices.Sort(got)
		if slices.Equal(got, keys) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the reader sees %q, want %q", got, keys)
		}
	}
}

// lost reads until the place is lost, and begins anew.
func (r *reader) lost(code string) {
	r.t.Helper()
	_, err := r.read()
	if e := connector.Classify(err); err == nil || e.Class != connector.LostPlace || e.Code != code {
		r.t.Fatalf("reading gave %v, want %s", err, code)
	}
	r.cursor, r.rows = nil, map[record.Key]record.Fields{}
	r.drain()
}

func TestTruncateIsSeen(t *testing.T) {
	t.Parallel()
	for _, detection := range []string{"database-trigger"} {
		t.Run(detection, func(t *testing.T) {
			t.Parallel()
			raw := testdb.Postgres(t)
			db := openDB(t, raw)
			mustExec(t, db, `CREATE TABLE "it's 100%" ("the key's %" int PRIMARY KEY, v int)`, `INSERT INTO "it's 100%" SELECT i, i FROM generate_series(1, 5) i`)
			r := follow(t, open(t, raw, "svc_truncate", detection), "it's 100%")
			r.sees("1", "2", "3", "4", "5")
			mustExec(t, db, `TRUNCATE "it's 100%"`, `INSERT INTO "it's 100%" VALUES (3, 33)`)
			r.sees("3")
			if !record.Equal(r.rows["3"]["v"], record.Int(33)) {
				t.Errorf("after the truncate 3 is %v", r.rows["3"])
			}
		})
	}
}

func TestPartitionedTable(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db,
		`CREATE TABLE orders (region text, id int, v int, PRIMARY KEY (region, id)) PARTITION BY LIST (region)`,
		`CREATE TABLE orders_de PARTITION OF orders FOR VALUES IN ('de')`,
		`CREATE TABLE orders_fr PARTITION OF orders FOR VALUES IN ('fr')`,
		`INSERT INTO orders VALUES ('de', 1, 1), ('fr', 1, 1)`)
	sys := open(t, raw, "svc_parts", "database-trigger")
	names, err := sys.(connector.Discoverer).Objects(t.Context())
	if err != nil || !slices.Equal(names, []record.Object{"orders"}) {
		t.Errorf("the objects are %q (%v), want orders without its partitions", names, err)
	}
	r := follow(t, sys, "orders")
	key := func(region string, id int64) record.Key { return record.MakeKey(region, record.Int(id)) }
	r.sees(key("de", 1), key("fr", 1))
	mustExec(t, db, `INSERT INTO orders VALUES ('de', 2, 1)`, `INSERT INTO orders_fr VALUES ('fr', 2, 1)`) // through the table, and past it
	r.sees(key("de", 1), key("fr", 1), key("de", 2), key("fr", 2))
	mustExec(t, db, `UPDATE orders SET region = 'fr', id = 3 WHERE region = 'de' AND id = 2`, `DELETE FROM orders_fr WHERE id = 1`)
	r.sees(key("de", 1), key("fr", 3), key("fr", 2))
	mustExec(t, db, `TRUNCATE orders_fr`)
	r.sees(key("de", 1))
	// Our writes go through the table.
	receipts, err := sys.(connector.Writer).Write(t.Context(), "orders", []connector.Write{
		{Op: record.Upsert, Create: true, Fields: record.Fields{"region": "fr", "id": record.Int(9), "v": record.Int(1)}},
		{Op: record.Upsert, Key: key("de", 1), Fields: record.Fields{"v": record.Int(5)}, Expect: record.Fields{"v": record.Int(1)}},
	})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied {
		t.Errorf("writing gave %v, %v", receipts, err)
	}
	// Partitions that come and go take rows with them without any change of a row.
	mustExec(t, db, `CREATE TABLE orders_it (region text, id int, v int, PRIMARY KEY (region, id))`, `INSERT INTO orders_it VALUES ('it', 1, 1)`,
		`ALTER TABLE orders ATTACH PARTITION orders_it FOR VALUES IN ('it')`)
	again := open(t, raw, "svc_parts", "database-trigger") // which does not remember the table's shape
	r.sys = again
	r.lost("postgresql.log_changed")
	r.sees(key("de", 1), key("fr", 9), key("it", 1))
	mustExec(t, db, `TRUNCATE orders_it`, `INSERT INTO orders_it VALUES ('it', 2, 1)`)
	r.sees(key("de", 1), key("fr", 9), key("it", 2))
}

func TestNamesAreQuoted(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db,
		`CREATE SCHEMA "My.Schema"`,
		`CREATE TABLE "My.Schema"."The ""Table""" ("Key" int PRIMARY KEY, "select" text, "a""b" text)`,
		`CREATE TABLE "dotted.name" ("Key" int PRIMARY KEY)`,
		`INSERT INTO "My.Schema"."The ""Table""" VALUES (1, 'one', 'x')`)
	sys := open(t, raw, "svc_names", "database-trigger")
	names, err := sys.(connector.Discoverer).Objects(t.Context())
	if err != nil || len(names) != 2 {
		t.Fatalf("the objects are %q, %v", names, err)
	}
	for _, o := range append(names, `dotted.name`, `public.dotted.name`) { // each name that is listed leads back to its table
		if _, err := sys.(connector.Discoverer).Describe(t.Context(), o); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
	o := names[1]
	r := follow(t, sys, o)
	r.sees("1")
	receipts, err := sys.(connector.Writer).Write(t.Context(), o, []connector.Write{
		{Op: record.Upsert, Create: true, Fields: record.Fields{"Key": record.Int(2), "select": "two", `a"b`: "y"}},
		{Op: record.Upsert, Key: "1", Fields: record.Fields{`a"b`: "z"}, Expect: record.Fields{"select": "one"}}})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied {
		t.Errorf("writing gave %v, %v", receipts, err)
	}
	mustExec(t, db, `UPDATE "My.Schema"."The ""Table""" SET "Key" = 3 WHERE "Key" = 1`)
	mustExec(t, db, `UPDATE "My.Schema"."The ""Table""" SET "select" = 'user' WHERE "Key" = 2`)
	r.sees("2", "3")
}

// A trigger of somebody else may change the key in an update that does not name it.
func TestKeyChangedByAnotherTrigger(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`, `INSERT INTO thing VALUES (1, 1)`,
		`CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := NEW.v; RETURN NEW; END'`,
		`CREATE TRIGGER move BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION move()`)
	r := follow(t, open(t, raw, "svc_move", "database-trigger"), "thing")
	r.sees("1")
	mustExec(t, db, `UPDATE thing SET v = 7`)
	r.sees("7")
}

func TestLogIsTrimmedToWhatConsumersNeed(t *testing.T) {
	t.Parallel()
	raw := testdb.OwnPostgres(t).URL() // transactions of other tests would hold the log
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`)
	one, two := follow(t, open(t, raw, "svc_one", "database-trigger"), "thing"), follow(t, open(t, raw, "svc_two", "database-trigger"), "thing")
	logged := func() (n int) {
		var log string
		if err := db.QueryRow(`SELECT 'syncline.changes_' || 'thing'::regclass::oid`).Scan(&log); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(`SELECT count(*) FROM ` + log).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	mustExec(t, db, `INSERT INTO thing SELECT i, i FROM generate_series(1, 50) i`)
	one.drain()
	old := two.cursor
	if err := one.sys.(connector.Acknowledger).Acknowledge(t.Context(), "thing", one.cursor); err != nil {
		t.Fatal(err)
	}
	if n := logged(); n != 50 {
		t.Errorf("the log has %d rows while one consumer still needs 50", n)
	}
	two.drain()
	if err := two.sys.(connector.Acknowledger).Acknowledge(t.Context(), "thing", two.cursor); err != nil {
		t.Fatal(err)
	}
	if n := logged(); n != 0 {
		t.Errorf("the log has %d rows when all have been read", n)
	}
	two.cursor = old
	two.lost("postgresql.log_trimmed")

	// Who is away for long no longer holds the log.
	mustExec(t, db, `UPDATE thing SET v = 0`, `UPDATE syncline.consumers SET seen_at = now() - interval '8 days' WHERE consumer = 'svc_two'`)
	one.sys = open(t, raw, "svc_one", "database-trigger") // which has not trimmed a moment ago
	one.drain()
	if err := one.sys.(connector.Acknowledger).Acknowledge(t.Context(), "thing", one.cursor); err != nil {
		t.Fatal(err)
	}
	if n := logged(); n != 0 {
		t.Errorf("the log has %d rows, held by a consumer that has not been heard of for 8 days", n)
	}
	two.lost("postgresql.log_trimmed")
}

func TestTableMadeAnewIsReadAnew(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`, `INSERT INTO thing VALUES (1, 1)`)
	r := follow(t, open(t, raw, "svc_anew", "database-trigger"), "thing")
	mustExec(t, db, `DROP TABLE thing`, `CREATE TABLE thing (id int PRIMARY KEY, w text)`, `INSERT INTO thing VALUES (2, 'x')`)
	r.sys = open(t, raw, "svc_anew", "database-trigger")
	r.lost("postgresql.table_replaced")
	r.sees("2")
	mustExec(t, db, `DROP TABLE thing`)
	if err := r.sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"thing"}); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.QueryRow(`SELECT count(*) FROM pg_namespace WHERE nspname = 'syncline'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("after cleaning up behind dropped tables the schema is still there (%v)", err)
	}
}

// A role with nothing but its own tables and a schema made for it.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	var name string
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	role := "role_" + name[max(0, len(name)-40):]
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`, `INSERT INTO thing VALUES (1, 1)`, `CREATE ROLE `+role+` LOGIN PASSWORD 'secret-word'`)
	t.Cleanup(func() { mustExec(t, db, `DROP OWNED BY `+role+` CASCADE`, `DROP ROLE `+role) })
	s := with(with(settings(t, raw), "user", role), "password", "secret-word")
	opened := func(detection string) connector.System {
		e := env
		e.Consumer, e.Detection = "svc_role", detection
		sys, err := postgres.Patient().Open(t.Context(), s, e)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sys.Close() })
		return sys
	}
	detected := func(want string) {
		t.Helper()
		got, why, err := opened("auto").(connector.Chooser).Detection(t.Context(), "thing")
		if err != nil || got != want {
			t.Errorf("the detection is %q because %q (%v), want %s", got, why, err, want)
		}
	}
	fails := func(err error, code string, class connector.Class) {
		t.Helper()
		if e := connector.Classify(err); err == nil || e.Code != code || e.Class != class {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	_, err := opened("auto").(connector.Discoverer).Describe(t.Context(), "thing")
	fails(err, "postgresql.no_permission", connector.Reconnect)
	mustExec(t, db, `GRANT SELECT ON thing TO `+role)
	detected("hash")
	_, err = opened("database-trigger").(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "thing", Limit: 1})
	fails(err, "postgresql.trigger_not_possible", connector.Reject)
	_, err = opened("auto").(connector.Writer).Write(t.Context(), "thing", []connector.Write{{Op: record.Delete, Key: "1"}})
	fails(err, "postgresql.no_permission", connector.Reconnect)
	mustExec(t, db, `ALTER TABLE thing ADD updated_at timestamptz`)
	detected("timestamp")
	mustExec(t, db, `GRANT INSERT, UPDATE, DELETE, TRIGGER ON thing TO `+role, `CREATE SCHEMA syncline AUTHORIZATION `+role)
	detected("database-trigger")
	r := follow(t, opened("auto"), "thing")
	r.sees("1")
	// Others write to the table who know nothing of the log.
	other := role + "_2"
	mustExec(t, db, `CREATE ROLE `+other, `GRANT INSERT ON thing TO `+other)
	t.Cleanup(func() { mustExec(t, db, `DROP OWNED BY `+other+` CASCADE`, `DROP ROLE `+other) })
	c := connect(t, raw)
	for _, st := range []string{`SET ROLE ` + other, `INSERT INTO thing VALUES (2, 2)`} {
		if _, err := c.Exec(context.Background(), st); err != nil {
			t.Fatal(err)
		}
	}
	r.sees("1", "2")
}

// Two-phase commit and NOTIFY do not go together; where the server allows the former, triggers do without the latter.
func TestPreparedTransactions(t *testing.T) {
	t.Parallel()
	server := testdb.OwnPostgres(t)
	db := openDB(t, server.URL())
	mustExec(t, db, `ALTER SYSTEM SET max_prepared_transactions = 5`, `CREATE TABLE thing (id int PRIMARY KEY)`)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, server.URL())
	sys := open(t, server.URL(), "svc_2pc", "database-trigger")
	r := follow(t, sys, "thing")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	woken := make(chan record.Object, 100)
	go sys.(connector.Watcher).Watch(ctx, []record.Object{"thing"}, func(o record.Object) { woken <- o })
	await(t, woken)
	mustExec(t, db, `BEGIN; INSERT INTO thing VALUES (1); PREPARE TRANSACTION 'one'`)
	mustExec(t, db, `INSERT INTO thing VALUES (2)`)
	r.sees("2")
	mustExec(t, db, `COMMIT PREPARED 'one'`)
	for r.rows["1"] == nil {
		await(t, woken)
		r.drain()
	}
}

func await(t *testing.T, woken <-chan record.Object) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(patience):
		t.Fatal("the watcher does not wake")
	}
}

// The connection breaks while watching and reading; both say so and work again once the server is back.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	server := testdb.OwnPostgres(t)
	db := openDB(t, server.URL())
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY)`)
	sys := open(t, server.URL(), "svc_restart", "database-trigger")
	r := follow(t, sys, "thing")
	watch := func() (chan record.Object, chan error) {
		woken, ended := make(chan record.Object, 100), make(chan error, 1)
		go func() {
			ended <- sys.(connector.Watcher).Watch(t.Context(), []record.Object{"thing"}, func(o record.Object) { woken <- o })
		}()
		await(t, woken)
		return woken, ended
	}
	_, ended := watch()
	mustExec(t, db, `INSERT INTO thing VALUES (1)`)
	server.Kill()
	select {
	case err := <-ended:
		if e := connector.Classify(err); err == nil || e.Class != connector.Retry {
			t.Errorf("watching a server that was killed ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("watching goes on without a server")
	}
	for deadline := time.Now().Add(patience); ; { // its processes outlive it for a moment
		if _, err := r.read(); err != nil {
			if connector.Classify(err).Class != connector.Retry {
				t.Errorf("reading without a server gave %v", err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("reading goes on without a server")
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; { // the pool needs a moment to notice
		if _, err := r.read(); err == nil {
			break
		} else if time.Now().After(deadline) || connector.Classify(err).Class != connector.Retry {
			t.Fatal(err)
		}
	}
	r.sees("1")
	woken, _ := watch()
	db = openDB(t, server.URL())
	mustExec(t, db, `INSERT INTO thing VALUES (2)`)
	await(t, woken)
	r.sees("1", "2")
}

// Watching a quiet table must wake at once; watching a busy one must not make writers notify.
func TestWatchIsPrompt(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v int)`)
	sys := open(t, raw, "svc_prompt", "database-trigger")
	r := follow(t, sys, "thing")
	woken := make(chan record.Object, 1000)
	for range 2 { // a second watcher is woken by the same notification
		go sys.(connector.Watcher).Watch(t.Context(), []record.Object{"thing"}, func(o record.Object) { woken <- o })
	}
	await(t, woken)
	await(t, woken)
	armed(t, db)
	for i := range 3 {
		mustExec(t, db, fmt.Sprintf(`INSERT INTO thing VALUES (%d, 0)`, i))
		await(t, woken)
		await(t, woken)
		armed(t, db)
	}
	r.sees("0", "1", "2")
	// A long transaction that began while the table was not armed keeps it from being armed; others' changes are told all
	// the same, and its own when it commits.
	mustExec(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'syncline watch%' AND datname = current_database()`)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`INSERT INTO thing VALUES (100, 0)`); err != nil {
		t.Fatal(err)
	}
	go sys.(connector.Watcher).Watch(t.Context(), []record.Object{"thing"}, func(o record.Object) { woken <- o })
	await(t, woken)
	mustExec(t, db, `INSERT INTO thing VALUES (101, 0)`)
	await(t, woken)
	r.sees("0", "1", "2", "101")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for r.rows["100"] == nil {
		await(t, woken)
		r.drain()
	}
}

// armed waits until somebody holds the table's lock exclusively.
func armed(t *testing.T, db *sql.DB) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND objid = 'thing'::regclass::oid
		  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody arms the table")
		}
	}
}
