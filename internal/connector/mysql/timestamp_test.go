// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const timed = "CREATE TABLE timed (id INT AUTO_INCREMENT PRIMARY KEY, v INT, updated_at %s, INDEX (updated_at))"

// Rows of one moment, more than fit in a page, and rows whose transaction commits long after later ones.
func TestTimestampsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"} {
		for _, blind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s blind=%v", column[:9], blind), func(t *testing.T) {
				t.Parallel()
				d := newDatabase(t, fmt.Sprintf(timed, column), "INSERT INTO timed (v) SELECT seq FROM seq_1_to_20")
				reader := d
				if blind { // may not see how long transactions have been running
					reader = d.account(t, "SELECT ON %s.*")
				}
				r := d.replica(reader.open(detecting(byTimestamp)), "timed", 7)
				r.drain()
				r.equal()
				d.exec("UPDATE timed SET v = v + 100", "INSERT INTO timed (v) SELECT seq FROM seq_1_to_50")
				r.drain()
				r.equal()
				long, err := d.db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				defer long.Rollback()
				for _, q := range []string{"INSERT INTO timed (v) VALUES (-1)", "UPDATE timed SET v = -2 WHERE id = 3"} {
					if _, err := long.Exec(q); err != nil {
						t.Fatal(err)
					}
				}
				// The clock of the database goes on.
				for begin := d.value("SELECT NOW()"); d.value("SELECT NOW() <= '"+begin+"' + INTERVAL 1 SECOND") == "1"; {
					d.exec("UPDATE timed SET v = v + 1 WHERE id = 5")
					r.drain()
				}
				if err := long.Commit(); err != nil {
					t.Fatal(err)
				}
				r.drain()
				r.equal()
				if p := r.page(); p.Phase != connector.Stream {
					t.Error(p.Phase)
				}
			})
		}
	}
}

func TestTimestampColumns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE a (id INT PRIMARY KEY, modified DATETIME, updated_at DATETIME, other TIMESTAMP NULL)",
		"CREATE TABLE b (id INT PRIMARY KEY, updated_at DATETIME, touched TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
		"CREATE TABLE c (id INT PRIMARY KEY, created_at TIMESTAMP NULL, updated_at VARCHAR(30))")
	s := d.open(detecting(byTimestamp))
	for object, want := range map[record.Object]string{"a": "updated_at", "b": "touched", "c": ""} {
		tb, err := s.table(context.Background(), object)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if c := tb.changedAt(); c != nil {
			got = c.name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", object, got, want)
		}
	}
	// Moments that are far ahead ("never") do not carry the cursor away.
	d.exec("INSERT INTO a (id, updated_at) VALUES (1, NOW()), (2, '9999-12-31 00:00:00')")
	r := d.replica(s, "a", 10)
	r.drain()
	d.exec("INSERT INTO a (id, updated_at) VALUES (3, NOW())")
	r.drain()
	r.equal()
	// When it happened is told where the column says it in UTC.
	d.exec("INSERT INTO b (id, touched) VALUES (1, NOW(6))")
	b := d.replica(s, "b", 10)
	if p := b.page(); len(p.Changes) != 1 || time.Since(p.Changes[0].At).Abs() > time.Minute {
		t.Errorf("%v", p.Changes)
	}
}
