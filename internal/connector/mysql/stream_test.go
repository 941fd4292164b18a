// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

const orders = "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(100), total DECIMAL(10,2), note TEXT)"

func fill(n int) string {
	return fmt.Sprintf("INSERT INTO orders (customer, total, note) SELECT CONCAT('customer ', seq), seq / 100, REPEAT('n', seq %% 50) FROM seq_1_to_%d", n)
}

func TestSnapshotHandsOverToTheStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(1000))
	s := d.open()
	if way, why, err := s.Detection(context.Background(), "orders"); err != nil || way != "cdc" {
		t.Fatalf("detection is %q, %q, %v", way, why, err)
	}
	r := d.replica(s, "orders", 100)
	first := r.page()
	if first.Phase != connector.Snapshot || !first.More || first.Total == 0 || len(first.Changes) != 100 {
		t.Fatalf("first page: %d changes, phase %s, more %v, total %d", len(first.Changes), first.Phase, first.More, first.Total)
	}
	// Behind the snapshot and before it.
	d.exec("UPDATE orders SET note = 'early' WHERE id = 5", "DELETE FROM orders WHERE id = 6", "UPDATE orders SET note = 'late' WHERE id = 900", "DELETE FROM orders WHERE id = 901", "INSERT INTO orders (customer) VALUES ('new')")
	r.drain()
	r.equal()
	d.exec("UPDATE orders SET total = total + 1", "DELETE FROM orders WHERE id % 7 = 0")
	r.drain()
	r.equal()
	if p := r.some(); len(p.Changes) != 0 || p.More || p.Phase != connector.Stream {
		t.Fatalf("a quiet table has %d changes, more %v", len(p.Changes), p.More)
	}
}

func TestEveryReadSeesWhatWasCommittedBeforeIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(10))
	r := d.replica(d.open(), "orders", 100)
	r.drain()
	for i := range 300 {
		d.exec(fmt.Sprintf("UPDATE orders SET note = 'round %d' WHERE id = %d", i, i%10+1))
		if p := r.some(); len(p.Changes) != 1 || p.Changes[0].Fields["note"] != fmt.Sprintf("round %d", i) {
			t.Fatalf("round %d: %d changes: %v", i, len(p.Changes), p.Changes)
		}
	}
}

// Rows are read again when a hint is taken, so several changes of a row are one, and no state goes back.
func TestChangesOfARowCoalesce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(3))
	r := d.replica(d.open(), "orders", 100)
	r.drain()
	for i := range 50 {
		d.exec(fmt.Sprintf("UPDATE orders SET note = '%d' WHERE id <= 2", i))
	}
	p := r.some()
	if len(p.Changes) != 2 || p.Changes[0].Fields["note"] != "49" {
		t.Fatalf("%d changes: %v", len(p.Changes), p.Changes)
	}
	if p.Changes[0].At.Before(time.Now().Add(-within)) || p.Changes[0].At.After(time.Now().Add(time.Second)) {
		t.Errorf("changed at %v", p.Changes[0].At)
	}
	r.drain() // what came of the log behind that page
	d.exec("INSERT INTO orders (id) VALUES (50)", "DELETE FROM orders WHERE id = 50")
	if p := r.some(); len(p.Changes) != 1 || p.Changes[0].Op != record.Delete || p.Changes[0].Key != "50" {
		t.Fatalf("%v", p.Changes)
	}
}

func TestCursorsCanBeReadAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(20))
	s := d.open()
	r := d.replica(s, "orders", 7)
	r.drain()
	d.exec("UPDATE orders SET total = 1")
	start, runs := r.cursor, [][]record.Key(nil)
	// From the same place over and over: a reader that crashed before it could store the page.
	for range 3 {
		r.cursor = start
		var keys []record.Key
		for {
			p := r.page()
			for _, c := range p.Changes {
				keys = append(keys, c.Key)
			}
			if !p.More {
				break
			}
		}
		slices.Sort(keys)
		runs = append(runs, keys)
	}
	if len(runs[0]) != 20 || !slices.Equal(runs[0], runs[1]) || !slices.Equal(runs[0], runs[2]) {
		t.Fatalf("read %v", runs)
	}
	// And by another process.
	other := d.replica(d.open(), "orders", 7)
	other.cursor = start
	other.drain()
	if len(other.rows) != 20 {
		t.Fatalf("another process read %d", len(other.rows))
	}
}

// A transaction larger than a page and larger than the queue is read in parts; the cursor stands inside it.
func TestBigTransaction(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, "CREATE TABLE other (id INT PRIMARY KEY)")
	s := d.open()
	r := d.replica(s, "orders", 9_000)
	o := d.replica(s, "other", 100)
	r.drain()
	o.drain()
	d.exec("BEGIN; " + fill(queueLength*3/2) + "; INSERT INTO other VALUES (1); UPDATE orders SET total = 7 WHERE id < 30000; COMMIT")
	for range 3 {
		r.page()
	}
	// A reader that starts again inside the transaction.
	late := d.replica(d.open(), "orders", 10_000)
	late.cursor, late.rows = r.cursor, r.rows
	late.until()
	o.until()
	if len(late.rows) != queueLength*3/2 {
		t.Fatalf("%d rows", len(late.rows))
	}
}

func TestSeveralObjectsShareTheLog(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(10), "CREATE TABLE other LIKE orders", "INSERT INTO other SELECT * FROM orders")
	s := d.open()
	a, b := d.replica(s, "orders", 5), d.replica(s, "other", 5)
	a.drain()
	for i := range 30 {
		d.exec(fmt.Sprintf("UPDATE orders SET note = 'a%d'", i), fmt.Sprintf("UPDATE other SET note = 'b%d' WHERE id = %d", i, i%10+1))
		if i == 10 {
			b.drain() // begins its snapshot while the other streams
		}
		if i > 10 && i%3 == 0 {
			b.drain()
		}
		if i%4 == 0 {
			a.drain()
		}
	}
	a.until()
	b.until()
}

func TestWatchWakesAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(3), "CREATE TABLE other (id INT PRIMARY KEY)")
	s := d.open()
	r := d.replica(s, "orders", 100)
	r.drain()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	woken, ended := make(chan record.Object, 100), make(chan error, 1)
	go func() {
		ended <- s.watch(ctx, []record.Object{"orders", "other"}, func(o record.Object) { woken <- o })
	}()
	next := func() record.Object {
		t.Helper()
		select {
		case o := <-woken:
			return o
		case err := <-ended:
			t.Fatalf("watching ended: %v", err)
		case <-time.After(within):
			t.Fatal("nothing woke the reader")
		}
		return ""
	}
	if first := []record.Object{next(), next()}; !slices.Contains(first, "orders") || !slices.Contains(first, "other") {
		t.Fatalf("listening was told for %v", first)
	}
	var slowest time.Duration
	for i := range 100 {
		d.exec(fmt.Sprintf("UPDATE orders SET note = 'watched %d' WHERE id = 1", i))
		begin := time.Now()
		if o := next(); o != "orders" {
			t.Fatalf("woken for %s", o)
		}
		if p := r.some(); len(p.Changes) != 1 {
			t.Fatalf("round %d: woken for %d changes", i, len(p.Changes))
		}
		slowest = max(slowest, time.Since(begin))
	}
	t.Logf("slowest wake and read after a commit: %v", slowest)
	d.exec("INSERT INTO other VALUES (1)")
	if o := next(); o != "other" {
		t.Fatalf("woken for %s", o)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("watching ended with %v", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	server := testdb.OwnMySQL(t)
	d := ownDatabase(t, server, orders, fill(100))
	r := d.replica(d.open(), "orders", 30)
	r.page() // inside the snapshot
	for i := range 6 {
		d.exec("FLUSH BINARY LOGS", fmt.Sprintf("UPDATE orders SET total = %d", i), "DELETE FROM orders ORDER BY id LIMIT 1", "FLUSH BINARY LOGS")
		r.page()
	}
	r.drain()
	r.equal()
	if p := r.page(); len(p.Changes) != 0 {
		t.Errorf("%d changes of a quiet table", len(p.Changes))
	}
	start := r.cursor
	d.exec("FLUSH BINARY LOGS", "UPDATE orders SET total = 99", "FLUSH BINARY LOGS")
	other := d.replica(d.open(), "orders", 1000)
	other.cursor, other.rows = start, r.rows
	other.drain()
	other.equal()
}

// ownDatabase makes a database on a server of the test's own.
func ownDatabase(t *testing.T, server *localdb.MySQL, statements ...string) *database {
	t.Helper()
	d := databaseAt(t, server.URL("mysql"))
	d.exec("CREATE DATABASE shop")
	return databaseAt(t, server.URL("shop"), statements...)
}

func TestServerRestartsWhileStreaming(t *testing.T) {
	t.Parallel()
	server := testdb.OwnMySQL(t)
	d := ownDatabase(t, server, orders, fill(100))
	s := d.open()
	r := d.replica(s, "orders", 30)
	r.drain()
	ended := make(chan error, 1)
	listening := make(chan struct{}, 100)
	go func() {
		ended <- s.watch(context.Background(), []record.Object{"orders"}, func(record.Object) { listening <- struct{}{} })
	}()
	<-listening
	d.exec("UPDATE orders SET total = 1 WHERE id < 50")
	for _, how := range []func(){server.Kill, func() {}} {
		how()
		if err := server.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		if how != nil && ended != nil {
			select {
			case err := <-ended:
				if class(err) != connector.Retry {
					t.Fatalf("watching ended with %v", err)
				}
				ended = nil
			case <-time.After(within):
				t.Fatal("watching did not end with the server")
			}
		}
		d.exec("UPDATE orders SET note = 'after' WHERE id > 50", "DELETE FROM orders WHERE id % 10 = 3")
		deadline := time.Now().Add(within)
		for {
			page, err := r.tryPage()
			if err == nil && !page.More { // a page of a log that is late says nothing of the connection
				break
			}
			if err != nil && class(err) != connector.Retry || time.Now().After(deadline) {
				t.Fatalf("reading after the restart: %v", err)
			}
		}
		r.until()
	}
}

func TestPurgedLogIsALostPlace(t *testing.T) {
	t.Parallel()
	server := testdb.OwnMySQL(t)
	d := ownDatabase(t, server, orders, fill(10))
	s := d.open()
	r := d.replica(s, "orders", 100)
	r.drain()
	s.Close()
	d.exec("UPDATE orders SET total = 1", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
	// The server does not purge what it still sends to somebody.
	deadline := time.Now().Add(within)
	for last := d.lastLog(); d.firstLog() != last; d.exec("PURGE BINARY LOGS TO '" + last + "'") {
		if time.Now().After(deadline) {
			t.Fatal("the log is not purged")
		}
	}
	r.s = d.open()
	if _, err := r.tryPage(); class(err) != connector.LostPlace {
		t.Fatalf("reading a purged place: %v", err)
	}
	r.cursor = nil // as the engine does
	r.until()
	// Now another life of the log: the same name of the file, the same position or less, but not the same file.
	d.exec("UPDATE orders SET total = 2")
	r.drain()
	r.s.Close()
	d.exec("RESET MASTER")
	d.exec(strings.Repeat("UPDATE orders SET total = total + 1;", 100))
	r.s = d.open()
	if _, err := r.tryPage(); class(err) != connector.LostPlace {
		t.Fatalf("reading another log: %v", err)
	}
}

func (d *database) logs() (names []string) {
	d.t.Helper()
	rows, err := d.db.Query("SHOW BINARY LOGS")
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, size string
		if err := rows.Scan(&name, &size); err != nil {
			d.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return names
}

func (d *database) firstLog() string { return d.logs()[0] }

func (d *database) lastLog() string { return d.logs()[len(d.logs())-1] }

func TestAlterationsWhileStreaming(t *testing.T) {
	t.Parallel()
	// The usual server does not name columns in its log, the test server does: both.
	for _, metadata := range []string{"NO_LOG", "FULL"} {
		t.Run(metadata, func(t *testing.T) {
			t.Parallel()
			d := ownDatabase(t, ownServer(t, "binlog_row_metadata", metadata), orders, fill(20))
			s := d.open()
			r := d.replica(s, "orders", 1000)
			r.drain()
			steps := []string{
				"ALTER TABLE orders ADD COLUMN colour VARCHAR(10) DEFAULT 'red'",
				"ALTER TABLE orders ADD COLUMN first INT FIRST",
				"ALTER TABLE orders MODIFY id INT AUTO_INCREMENT AFTER total",
				"ALTER TABLE orders DROP COLUMN note",
				"ALTER TABLE orders ADD INDEX IF NOT EXISTS (customer), ALGORITHM=INPLACE, LOCK=NONE", // MariaDB's own words
				"ALTER ONLINE TABLE orders COMMENT = 'x'",
				"CREATE OR REPLACE SEQUENCE numbers START WITH 100 INCREMENT BY 10", // MariaDB alone
				"ALTER TABLE orders ADD PERIOD FOR validity(a, b), ADD COLUMN a DATE NOT NULL DEFAULT '2020-01-01', ADD COLUMN b DATE NOT NULL DEFAULT '2030-01-01'",
				"CREATE PACKAGE IF NOT EXISTS nothing AS END", // not even valid without sql_mode=ORACLE: ignored when it fails
				"ALTER TABLE orders ADD COLUMN doubled INT GENERATED ALWAYS AS (id * 2) VIRTUAL INVISIBLE",
				"ANALYZE TABLE orders PERSISTENT FOR ALL",
			}
			for i, step := range steps {
				if _, err := d.db.Exec(step); err != nil && !strings.HasPrefix(step, "CREATE PACKAGE") {
					t.Fatalf("%s: %v", step, err)
				}
				d.exec(fmt.Sprintf("UPDATE orders SET total = %d WHERE id %% 3 = %d", i, i%3), fmt.Sprintf("INSERT INTO orders (customer) VALUES ('%d')", i), "DELETE FROM orders ORDER BY id LIMIT 1")
				r.drain()
				if problem := r.stale("customer", "total"); problem != "" {
					t.Fatalf("after %s: %s", step, problem)
				}
			}
		})
	}
}

// stale compares these columns with the table: rows that an alteration changed without a trace are not of interest.
func (r *replica) stale(columns ...string) string {
	for k, row := range r.rows {
		for n := range row {
			if !slices.Contains(columns, n) {
				delete(r.rows[k], n)
			}
		}
	}
	return r.difference()
}

func ownServer(t *testing.T, settings ...string) *localdb.MySQL {
	t.Helper()
	o, err := testdb.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.Settings = map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		o.Settings[settings[i]] = settings[i+1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	server, err := localdb.StartMySQL(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
	return server
}

// Alterations that piled up while nobody read.
func TestAlterationsInTheBacklog(t *testing.T) {
	t.Parallel()
	d := ownDatabase(t, ownServer(t, "binlog_row_metadata", "NO_LOG"), orders, fill(20))
	s := d.open()
	r := d.replica(s, "orders", 1000)
	r.drain()
	s.Close()
	d.exec("UPDATE orders SET total = 5 WHERE id = 1", "ALTER TABLE orders ADD COLUMN extra INT FIRST", "UPDATE orders SET total = 6 WHERE id = 2", "DELETE FROM orders WHERE id = 3")
	r.s = d.open()
	r.drain()
	if problem := r.stale("customer", "total"); problem != "" {
		t.Fatal(problem)
	}
	r.s.Close()
	// Between two alterations the rows cannot be read: the place is lost, and the reader is told before it is misled.
	d.exec("ALTER TABLE orders ADD COLUMN more INT FIRST", "UPDATE orders SET total = 7 WHERE id = 4", "ALTER TABLE orders DROP COLUMN extra, DROP COLUMN more", "UPDATE orders SET total = 8 WHERE id = 5")
	r.s = d.open()
	for {
		p, err := r.tryPage()
		if err != nil {
			if class(err) != connector.LostPlace || code(err) != "mysql.shape_unknown" {
				t.Fatalf("reading rows of an unknown shape: %v", err)
			}
			break
		}
		if !p.More {
			t.Fatal("rows of an unknown shape were read")
		}
	}
}

func TestRowsThatComeAndGoWithoutATraceAreALostPlace(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, statement, code string }{
		{"truncate", "TRUNCATE TABLE orders", "mysql.table_replaced"},
		{"rename", "CREATE TABLE fresh LIKE orders; RENAME TABLE orders TO old, fresh TO orders", "mysql.table_replaced"},
		{"replace", "CREATE OR REPLACE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(100))", "mysql.table_replaced"},
		{"partition", "ALTER TABLE orders PARTITION BY HASH (id) PARTITIONS 4; ALTER TABLE orders TRUNCATE PARTITION p0", "mysql.table_replaced"},
		{"statement", "SET SESSION binlog_format = STATEMENT; UPDATE orders SET total = 3; SET SESSION binlog_format = ROW", "mysql.statement_logged"},
		{"other key", "ALTER TABLE orders DROP PRIMARY KEY, MODIFY id INT, ADD PRIMARY KEY (id, customer)", "mysql.key_changed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, orders, fill(20))
			r := d.replica(d.open(), "orders", 100)
			r.drain()
			d.exec("UPDATE orders SET total = 1 WHERE id = 1")
			d.exec(tt.statement)
			for {
				_, err := r.tryPage()
				if err != nil {
					if class(err) != connector.LostPlace || code(err) != tt.code {
						t.Fatalf("%v", err)
					}
					break
				}
			}
			r.cursor, r.rows = nil, map[record.Key]record.Fields{}
			r.until()
		})
	}
	t.Run("but not for others", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t, orders, fill(20), "CREATE TABLE other LIKE orders", fmt.Sprintf("CREATE DATABASE `elsewhere_%d`", time.Now().UnixNano()))
		elsewhere := d.value("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'elsewhere%' ORDER BY schema_name DESC LIMIT 1")
		defer d.exec("DROP DATABASE `" + elsewhere + "`")
		r := d.replica(d.open(), "orders", 100)
		r.drain()
		d.exec("TRUNCATE TABLE other", "CREATE TABLE `"+elsewhere+"`.orders LIKE orders", "TRUNCATE TABLE `"+elsewhere+"`.orders",
			"CREATE TEMPORARY TABLE orders2 LIKE orders", "DROP TEMPORARY TABLE orders2", "UPDATE orders SET note = 'TRUNCATE TABLE orders'")
		r.drain()
		r.equal()
	})
}

func TestTwoPhaseTransactions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(20))
	s := d.open()
	r := d.replica(s, "orders", 100)
	r.drain()
	conn, err := d.db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	run := func(statements ...string) {
		t.Helper()
		for _, q := range statements {
			if _, err := conn.ExecContext(context.Background(), q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	name := t.Name()
	run("XA START '"+name+"'", "UPDATE orders SET note = 'prepared' WHERE id = 3", "INSERT INTO orders (id) VALUES (77)", "XA END '"+name+"'", "XA PREPARE '"+name+"'")
	d.exec("UPDATE orders SET note = 'meanwhile' WHERE id = 4")
	r.drain()
	if r.rows["4"]["note"] != "meanwhile" || r.rows["3"]["note"] == "prepared" {
		t.Fatalf("%v", r.rows["3"])
	}
	s.Close() // the cursor alone remembers the open transaction
	r.s = d.open()
	r.drain()
	run("XA COMMIT '" + name + "'")
	r.drain()
	r.equal()
	if r.rows["3"]["note"] != "prepared" || r.rows["77"] == nil {
		t.Fatal("the commit was not seen")
	}
	run("XA START '"+name+"'", "UPDATE orders SET note = 'never' WHERE id = 3", "XA END '"+name+"'", "XA PREPARE '"+name+"'", "XA ROLLBACK '"+name+"'",
		"XA START '"+name+"'", "UPDATE orders SET note = 'one phase' WHERE id = 5", "XA END '"+name+"'", "XA COMMIT '"+name+"' ONE PHASE")
	r.drain()
	r.equal()
}

// Without knowledge of where a snapshot stands in the log, as with MySQL, rows are read under a shared lock.
func TestReadingUnderLocks(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(50))
	s := d.open()
	s.server.snapshotPlace = false
	r := d.replica(s, "orders", 20)
	r.page()
	d.exec("UPDATE orders SET total = 1 WHERE id < 30", "DELETE FROM orders WHERE id = 3")
	r.until()
	// Somebody holds a row for long: the others, and its last committed state, are still to be had.
	tx, err := d.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	d.exec("UPDATE orders SET note = 'committed' WHERE id IN (10, 11)")
	if _, err := tx.Exec("UPDATE orders SET note = 'held' WHERE id = 10"); err != nil {
		t.Fatal(err)
	}
	s.reads.SetMaxIdleConns(0)
	s.reads.Close()
	if s.reads, err = s.access.newPool(map[string]string{"innodb_lock_wait_timeout": "1"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	if r.rows["10"]["note"] != "committed" || r.rows["11"]["note"] != "committed" {
		t.Fatalf("%v %v", r.rows["10"], r.rows["11"])
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	r.until()
}
