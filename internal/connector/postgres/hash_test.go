// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// sweep reads until there is no more, and returns what came as "+key" and "-key".
func (r *reader) sweep() string {
	r.t.Helper()
	var all []string
	for {
		page, err := r.read()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, c := range page.Changes {
			sign := "+"
			if c.Op == record.Delete {
				sign = "-"
			}
			all = append(all, sign+string(c.Key))
		}
		if !page.More {
			return strings.Join(all, " ")
		}
	}
}

func TestHashListFollowsAcknowledgements(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v text)`, `INSERT INTO thing SELECT i, 'x' FROM generate_series(1, 4) i`)
	sys := open(t, raw, "svc_hash", "hash")
	r := &reader{t: t, sys: sys, object: "thing", rows: map[record.Key]record.Fields{}}
	expect := func(want string) {
		t.Helper()
		if got := r.sweep(); got != want {
			t.Errorf("the sweep gave %q, want %q", got, want)
		}
	}
	acknowledge := func() {
		t.Helper()
		if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), "thing", r.cursor); err != nil {
			t.Fatal(err)
		}
	}
	expect("+1 +2 +3 +4")
	expect("+1 +2 +3 +4") // nobody said that it was stored
	acknowledge()
	expect("")
	mustExec(t, db, `UPDATE thing SET v = 'y' WHERE id = 2`, `DELETE FROM thing WHERE id = 3`, `INSERT INTO thing VALUES (0, 'z'), (9, 'z')`)
	before := r.cursor
	expect("+0 +2 -3 +9")
	r.cursor = before // as after a crash
	mustExec(t, db, `DELETE FROM thing WHERE id = 9`, `UPDATE thing SET v = 'x' WHERE id = 2`)
	expect("+0 -3 -9")
	acknowledge()
	expect("")
	// What was pending in the page that was lost must not pass for known.
	mustExec(t, db, `UPDATE thing SET v = 'y' WHERE id = 2`)
	expect("+2")
}

// More rows than one statement compares, and pages that are cut short.
func TestHashOfManyRows(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (a text, b int, v int, PRIMARY KEY (a, b))`, `INSERT INTO thing SELECT 'k' || i % 7, i, 0 FROM generate_series(1, 12000) i`)
	sys := open(t, raw, "svc_many", "hash")
	r := &reader{t: t, sys: sys, object: "thing", rows: map[record.Key]record.Fields{}}
	ack := func() {
		t.Helper()
		if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), "thing", r.cursor); err != nil {
			t.Fatal(err)
		}
	}
	all := func() (n int) {
		t.Helper()
		for {
			page, err := r.read()
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Changes)
			ack()
			if !page.More {
				return n
			}
		}
	}
	if n := all(); n != 12000 {
		t.Errorf("the snapshot has %d rows", n)
	}
	if n := all(); n != 0 {
		t.Errorf("without changes there are %d", n)
	}
	mustExec(t, db, `UPDATE thing SET v = 1 WHERE b % 40 = 0`, `DELETE FROM thing WHERE b % 40 = 1`)
	if n := all(); n != 600 {
		t.Errorf("of 600 changes %d came", n)
	}
	if len(r.rows) != 11700 {
		t.Errorf("the reader knows %d rows, want 11700", len(r.rows))
	}
	mustExec(t, db, `DELETE FROM thing`)
	if n := all(); n != 11700 || len(r.rows) != 0 {
		t.Errorf("of 11700 deletes %d came", n)
	}
}

// A role that may do nothing but read sees all rows in each sweep.
func TestHashWithoutList(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	var name string
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	role := "bare_" + name[max(0, len(name)-40):]
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, v text)`, `INSERT INTO thing SELECT i, 'x' FROM generate_series(1, 250) i`,
		`CREATE ROLE `+role+` LOGIN PASSWORD 'word'`, `GRANT SELECT ON thing TO `+role)
	t.Cleanup(func() { mustExec(t, db, `DROP OWNED BY `+role, `DROP ROLE `+role) })
	e := env
	e.Consumer = "svc_bare"
	sys, err := postgres.New().Open(t.Context(), with(with(settings(t, raw), "user", role), "password", "word"), e)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	r := &reader{t: t, sys: sys, object: "thing", rows: map[record.Key]record.Fields{}}
	for sweep := range 3 {
		if n := len(strings.Fields(r.sweep())); n != 250 {
			t.Errorf("sweep %d gave %d rows, want all 250", sweep, n)
		}
		mustExec(t, db, fmt.Sprintf(`UPDATE thing SET v = '%d' WHERE id = 7`, sweep))
	}
	if !record.Equal(r.rows["7"]["v"], "1") {
		t.Errorf("row 7 is %v", r.rows["7"])
	}
	if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"thing"}); err != nil {
		t.Errorf("cleaning up where nothing could be left: %v", err)
	}
}
