// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

func openSystem(t *testing.T, raw string, detection string) *system {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	opened, err := Patient().Open(t.Context(), connector.Settings{"host": u.Hostname(), "port": u.Port(), "database": strings.TrimPrefix(u.Path, "/"),
		"user": u.User.Username(), "password": password, "sslmode": "disable"},
		connector.Env{Dial: (&net.Dialer{}).DialContext, Consumer: "svc_internal", Detection: detection})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened.(*system)
}

func connect(t *testing.T, raw string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// More changes than may be held in memory: of a table that is read slowly, of one that is not read at all, and none of
// either may be lost, nor may the one that is not read hold up the other.
func TestStreamHoldsOnlySoMuch(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	sys := openSystem(t, raw, "cdc")
	sys.mostHeld = 20
	db := connect(t, raw)
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE read (id int PRIMARY KEY); CREATE TABLE unread (id int PRIMARY KEY)`)
	cursors := map[record.Object]record.Cursor{}
	have := map[record.Object]map[record.Key]bool{"read": {}, "unread": {}}
	pull := func(o record.Object) {
		t.Helper()
		for {
			page, err := sys.Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursors[o], Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Changes {
				have[o][c.Key] = true
			}
			cursors[o] = page.Cursor
			if !page.More {
				return
			}
		}
	}
	pull("read")
	pull("unread")
	sys.mu.Lock()
	st := sys.log
	sys.mu.Unlock()
	st.mu.Lock()
	for _, q := range st.queues {
		q.lastRead = time.Now().Add(-2 * idleAfter) // as if some time had passed
	}
	st.mu.Unlock()
	until := func(o record.Object, n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); len(have[o]) < n; {
			pull(o)
			if time.Now().After(deadline) {
				t.Fatalf("of %d changes of the table %s, %d came", n, o, len(have[o]))
			}
		}
	}
	for i := range 100 {
		exec(fmt.Sprintf("INSERT INTO unread VALUES (%d)", i))
		exec(fmt.Sprintf("INSERT INTO read VALUES (%d)", i))
	}
	until("read", 100)
	if err := sys.Acknowledge(t.Context(), "read", cursors["read"]); err != nil {
		t.Fatal(err)
	}
	if n := st.confirmed(); n > 0 { // the unread changes hold the slot
		var behind bool
		if err := db.QueryRow(t.Context(), `SELECT pg_current_wal_lsn() - '0/0'::pg_lsn > $1`, n).Scan(&behind); err != nil || !behind {
			t.Errorf("the slot would be moved over changes that were not read (%v)", err)
		}
	}
	until("unread", 100)
	if err := sys.Acknowledge(t.Context(), "unread", cursors["unread"]); err != nil {
		t.Fatal(err)
	}
}

func TestTransactionIDsWiden(t *testing.T) {
	t.Parallel()
	const epoch = 1 << 32
	for _, c := range []struct {
		xmax uint64
		xid  uint32
		want uint64
	}{
		{1000, 990, 990},
		{epoch + 10, 5, epoch + 5},
		{epoch + 10, 0xfffffff0, 0xfffffff0},
		{2*epoch - 10, 3, 2*epoch + 3},
		{1000, 1001, 1001},
	} {
		if got := (txSnapshot{xmax: c.xmax}).widen(c.xid); got != c.want {
			t.Errorf("%d near %d is %d, want %d", c.xid, c.xmax, got, c.want)
		}
	}
}
