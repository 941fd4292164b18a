// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// Without any overlap of passes, what a long transaction commits late must be seen all the same, because it was noted as
// open; and when transactions cannot be seen, because the overlap is wide.
func TestLateCommitsByTimestamp(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"timestamptz", "timestamp"} {
		for _, hidden := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s hidden=%v", typ, hidden), func(t *testing.T) {
				t.Parallel()
				raw := testdb.Postgres(t)
				db, long := connect(t, raw), connect(t, raw)
				run := func(sql string) {
					t.Helper()
					if _, err := db.Exec(t.Context(), sql); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
				}
				run(`CREATE TABLE thing (id int PRIMARY KEY, updated_at ` + typ + ` DEFAULT now())`)
				run(`INSERT INTO thing (id) SELECT generate_series(1, 5)`)
				from := raw
				if hidden {
					u, err := url.Parse(raw)
					if err != nil {
						t.Fatal(err)
					}
					role := "late_" + strings.TrimPrefix(u.Path, "/")[max(0, len(u.Path)-30):]
					run(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'word'`)
					run(`GRANT SELECT ON thing TO ` + role)
					t.Cleanup(func() {
						c, err := pgx.Connect(context.Background(), raw)
						if err != nil {
							t.Fatal(err)
						}
						defer c.Close(context.Background())
						if _, err := c.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
							t.Error(err)
						}
					})
					u.User = url.UserPassword(role, "word")
					from = u.String()
				}
				sys := openSystem(t, from, "timestamp")
				sys.margin = 0
				if typ == "timestamp" {
					sys.settings["timestampZone"] = "UTC"
				}
				var cursor record.Cursor
				seen := map[record.Key]bool{}
				pull := func() {
					t.Helper()
					for more := true; more; {
						page, err := sys.Read(t.Context(), connector.ReadRequest{Object: "thing", Cursor: cursor, Limit: 2})
						if err != nil {
							t.Fatal(err)
						}
						for _, c := range page.Changes {
							seen[c.Key] = true
						}
						cursor, more = page.Cursor, page.More
					}
				}
				until := func(keys ...record.Key) {
					t.Helper()
					for deadline := time.Now().Add(time.Minute); ; {
						pull()
						missing := 0
						for _, k := range keys {
							if !seen[k] {
								missing++
							}
						}
						if missing == 0 {
							return
						}
						if time.Now().After(deadline) {
							t.Fatalf("of %v only %v were seen", keys, seen)
						}
					}
				}
				pull()
				begin := func(id int) {
					t.Helper()
					if _, err := long.Exec(t.Context(), fmt.Sprintf(`BEGIN; INSERT INTO thing (id) VALUES (%d)`, id)); err != nil {
						t.Fatal(err)
					}
				}
				begin(100)
				for i := 10; i < 20; i++ {
					run(fmt.Sprintf(`INSERT INTO thing (id) VALUES (%d)`, i))
					pull()
				}
				until("10", "19")
				if _, err := long.Exec(t.Context(), `COMMIT`); err != nil {
					t.Fatal(err)
				}
				until("100")
				// Equal times that come one after the other.
				run(`INSERT INTO thing VALUES (30, '2030-01-01'), (31, '2030-01-01'), (32, '2030-01-01')`)
				until("30", "31", "32")
				run(`INSERT INTO thing VALUES (33, '2030-01-01'), (29, '2030-01-01')`)
				until("33", "29")
			})
		}
	}
}
