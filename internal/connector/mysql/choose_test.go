// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// account makes an account with these grants; %s in them is the test's database.
func (d *database) account(t *testing.T, grants ...string) *database {
	t.Helper()
	b := make([]byte, 6)
	rand.Read(b)
	user := "u_" + hex.EncodeToString(b)
	d.exec("CREATE USER `" + user + "`@`%` IDENTIFIED BY 'secret''s'")
	t.Cleanup(func() { d.exec("DROP USER `" + user + "`@`%`") })
	for _, g := range grants {
		d.exec("GRANT " + strings.ReplaceAll(g, "%s", "`"+d.settings["database"]+"`") + " TO `" + user + "`@`%`")
	}
	out := *d
	out.t = t
	out.settings = connector.Settings{}
	for k, v := range d.settings {
		out.settings[k] = v
	}
	out.settings["user"], out.settings["password"] = user, "secret's"
	return &out
}

func TestDetectionByPrivileges(t *testing.T) {
	t.Parallel()
	const timed = "CREATE TABLE timed (id INT PRIMARY KEY, updated_at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), v INT)"
	tests := []struct {
		name              string
		grants            []string
		plain, timed, why string
		watches, recalls  bool
	}{
		{"everything", []string{"ALL ON *.*"}, byLog, byLog, "may read it", true, true},
		{"its database", []string{"ALL ON %s.*"}, bySweep, byTimestamp, "REPLICATION SLAVE", false, true},
		{"reading", []string{"SELECT ON %s.*"}, bySweep, byTimestamp, "REPLICATION SLAVE", false, false},
		{"reading and the log", []string{"SELECT ON %s.*", "REPLICATION SLAVE ON *.*"}, byLog, byLog, "may read it", true, false},
		{"writing and the log", []string{"SELECT, INSERT, UPDATE, DELETE ON %s.*", "REPLICATION SLAVE, BINLOG MONITOR ON *.*"}, byLog, byLog, "may read it", true, false},
		{"writing and helpers", []string{"SELECT, INSERT, UPDATE, DELETE, CREATE ON %s.*", "REPLICATION SLAVE, BINLOG MONITOR ON *.*"}, byLog, byLog, "may read it", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			d := newDatabase(t, "CREATE TABLE plain (id INT PRIMARY KEY, v INT)", timed, "INSERT INTO plain VALUES (1, 1), (2, 2)", "INSERT INTO timed (id, v) VALUES (1, 1), (2, 2)").account(t, tt.grants...)
			sys, err := New().Open(ctx, d.settings, connector.Env{Consumer: "svc_test"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sys.Close() })
			if err := sys.Check(ctx); err != nil {
				t.Error(err)
			}
			if _, ok := sys.(connector.Watcher); ok != tt.watches {
				t.Errorf("Watcher: %v", ok)
			}
			if _, ok := sys.(connector.Recaller); ok != tt.recalls {
				t.Errorf("Recaller: %v", ok)
			}
			s := base(sys)
			for object, want := range map[record.Object]string{"plain": tt.plain, "timed": tt.timed} {
				way, why, err := s.Detection(ctx, object)
				if err != nil || way != want || !strings.Contains(why, tt.why) {
					t.Errorf("%s: %s because %q, %v; want %s because of %s", object, way, why, err, want, tt.why)
				}
				r := d.replica(s, object, 10)
				r.drain()
				d.exec("UPDATE "+string(object)+" SET v = 5 WHERE id = 1", "INSERT INTO "+string(object)+" (id, v) VALUES (3, 3)")
				if way == byLog || way == bySweep && tt.recalls { // where deletes are seen
					d.exec("DELETE FROM " + string(object) + " WHERE id = 2")
				}
				r.until()
				if strings.Contains(strings.Join(tt.grants, " "), "INSERT") || tt.name == "everything" || tt.name == "its database" {
					expect(t, mustWrite(t, s, object, set("1", record.Fields{"v": n("6")}), upsert(record.Fields{"id": n("7"), "v": n("7")})), connector.Applied, connector.Applied)
				} else if _, err := s.Write(ctx, object, []connector.Write{set("1", record.Fields{"v": n("6")})}); class(err) != connector.Reconnect || code(err) != "mysql.permission" {
					t.Errorf("writing without permission: %v", err)
				}
			}
		})
	}
}

func TestDetectionAskedFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDatabase(t, "CREATE TABLE plain (id INT PRIMARY KEY, v INT)")
	if _, _, err := d.open(detecting(byTimestamp)).Detection(ctx, "plain"); code(err) != "mysql.no_timestamp_column" || class(err) != connector.Reject {
		t.Error(err)
	}
	small := d.account(t, "SELECT ON %s.*")
	s, err := New().Open(ctx, small.settings, connector.Env{Consumer: "svc_test", Detection: byLog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Check(ctx); code(err) != "mysql.log_permission" {
		t.Error(err)
	}
	if _, err := base(s).Read(ctx, connector.ReadRequest{Object: "plain", Limit: 1}); code(err) != "mysql.log_permission" {
		t.Error(err)
	}
	none := d.account(t, "SELECT (id) ON %s.plain")
	d.exec("CREATE TABLE hidden (id INT PRIMARY KEY)")
	other, err := New().Open(ctx, none.settings, connector.Env{Consumer: "svc_test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	if _, err := base(other).Describe(ctx, "hidden"); code(err) != "mysql.no_such_table" {
		t.Error(err)
	}
	// A cursor of another detection: the object is read anew.
	a := d.replica(d.open(detecting(bySweep)), "plain", 10)
	a.drain()
	a.s = d.open(detecting(byLog))
	if _, err := a.tryPage(); class(err) != connector.LostPlace || code(err) != "mysql.detection_changed" {
		t.Error(err)
	}
	for _, bad := range []record.Cursor{record.Cursor("x"), record.Cursor("{}"), record.Cursor(`{"d":"cdc","k":["id"],"c":true}`)} {
		a.cursor = bad
		if _, err := a.tryPage(); class(err) != connector.LostPlace {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestServersWithoutAUsableLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ setting, value, code string }{
		{"binlog_format", "MIXED", "mysql.log_format"}, {"binlog_ignore_db", "shop", "mysql.log_filtered"}, {"skip_log_bin", "ON", "mysql.log_off"}, {"binlog_format", "STATEMENT", "mysql.log_format"},
	} {
		t.Run(tt.value, func(t *testing.T) {
			t.Parallel()
			d := ownDatabase(t, ownServer(t, tt.setting, tt.value), orders, fill(5))
			s := d.open()
			way, why, err := s.Detection(context.Background(), "orders")
			if err != nil || way != bySweep || code(s.logErr) != tt.code {
				t.Fatalf("%s because %q, %v, %v", way, why, err, s.logErr)
			}
			r := d.replica(s, "orders", 10)
			r.drain()
			d.exec("DELETE FROM orders WHERE id = 3", "UPDATE orders SET note = 'x' WHERE id = 4")
			expect(t, mustWrite(t, s, "orders", upsert(record.Fields{"customer": "new"}), set("5", record.Fields{"note": "y"})), connector.Applied, connector.Applied)
			r.until()
		})
	}
}
