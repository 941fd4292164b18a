// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// owner connects as the owner of the database, who can do what the program cannot.
func owner(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func appendEntries(t *testing.T, db *store.DB, id tenant.ID, n int) {
	t.Helper()
	for i := range n {
		err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
			return tx.Audit(t.Context(), audit.Entry{
				ActorKind: "member", ActorID: "usr_1", ActorName: "Ada", Action: "service.revised", Subject: fmt.Sprintf("svc_%d", i),
				Detail: json.RawMessage(fmt.Sprintf(`{"before": %d,  "after": %d}`, i, i+1)), RequestID: "req_1", IP: "192.0.2.1",
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, db *store.DB, id tenant.ID) (r audit.Report) {
	t.Helper()
	err := db.InTenant(t.Context(), id, func(tx *store.Tx) (err error) {
		r, err = tx.VerifyAudit(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAuditLogIsAChain(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id, other := storetest.Tenant(t, db), storetest.Tenant(t, db)
	if r := verify(t, db, id); !r.Whole() || r.Entries != 0 {
		t.Errorf("an empty log is reported as %+v", r)
	}
	appendEntries(t, db, id, 3)
	appendEntries(t, db, other, 1)
	failed := errors.New("no")
	err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
		if err := tx.Audit(t.Context(), audit.Entry{Action: "never"}); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	// Text from outside that PostgreSQL cannot hold.
	err = db.InTenant(t.Context(), id, func(tx *store.Tx) error {
		return tx.Audit(t.Context(), audit.Entry{ActorName: "A\x00da\xff", Action: "odd"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, db, id); !r.Whole() || r.Entries != 4 || r.Head.Seq != 4 {
		t.Errorf("four entries are reported as %+v", r)
	}
	if r := verify(t, db, other); !r.Whole() || r.Entries != 1 {
		t.Errorf("the other tenant's one entry is reported as %+v", r)
	}
}

func TestAuditEntriesAtOnce(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { appendEntries(t, db, id, 10) })
	}
	all.Wait()
	if r := verify(t, db, id); !r.Whole() || r.Entries != 80 {
		t.Errorf("80 entries written at once are reported as %+v", r)
	}
}

// Whoever can write to the database directly changes one row in every way there is; each is noticed, and where.
func TestTamperingWithTheAuditLogIsNoticed(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db, conn := storetest.Open(t, url, nil), owner(t, url)
	id, other := storetest.Tenant(t, db), storetest.Tenant(t, db)
	const n = 5
	appendEntries(t, db, id, n)
	appendEntries(t, db, other, n)

	type attempt struct {
		name, statement string
		at              int64
	}
	var attempts []attempt
	for seq := int64(1); seq <= n; seq++ {
		for column, value := range map[string]string{
			"at": "at + interval '1 microsecond'", "actor_kind": "'system'", "actor_id": "'usr_2'", "actor_name": "'Eve'",
			"action": "'service.archived'", "subject": "'svc_x'", "detail": `'{"before":0,"after":9}'`, "request_id": "''",
			"ip": "'192.0.2.2'", "prev_hash": `'\x00'`, "hash": `'\x00'`,
		} {
			attempts = append(attempts, attempt{
				fmt.Sprintf("%s of %d changed", column, seq),
				fmt.Sprintf("UPDATE audit_log SET %s = %s WHERE tenant_id = $1 AND seq = %d", column, value, seq), seq,
			})
		}
		attempts = append(attempts, attempt{fmt.Sprintf("%d dropped", seq), fmt.Sprintf("DELETE FROM audit_log WHERE tenant_id = $1 AND seq = %d", seq), seq})
		for with := seq + 1; with <= n; with++ {
			attempts = append(attempts, attempt{
				fmt.Sprintf("%d and %d exchanged", seq, with),
				fmt.Sprintf("UPDATE audit_log SET seq = CASE seq WHEN %[1]d THEN %[2]d ELSE %[1]d END WHERE tenant_id = $1 AND seq IN (%[1]d, %[2]d)", seq, with), seq,
			})
		}
	}
	attempts = append(attempts,
		attempt{"one dropped and the rest moved up", "WITH gone AS (DELETE FROM audit_log WHERE tenant_id = $1 AND seq = 5) UPDATE audit_heads SET seq = 4 WHERE tenant_id = $1", 4},
		attempt{"all dropped", "DELETE FROM audit_log WHERE tenant_id = $1", 1},
		attempt{"all dropped with the end", "WITH gone AS (DELETE FROM audit_log WHERE tenant_id = $1 AND seq > 1), moved AS (UPDATE audit_log SET seq = 2 WHERE tenant_id = $1 AND seq = 1) DELETE FROM audit_heads WHERE tenant_id = $1", 1},
		attempt{"one added behind", "INSERT INTO audit_log SELECT tenant_id, 6, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, hash, hash FROM audit_log WHERE tenant_id = $1 AND seq = 5", 6},
		attempt{"one added before", "INSERT INTO audit_log SELECT tenant_id, 0, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, '', hash FROM audit_log WHERE tenant_id = $1 AND seq = 5", 6},
		attempt{"one taken from another tenant", "UPDATE audit_log a SET subject = 'svc_9', hash = b.hash FROM audit_log b WHERE a.tenant_id = $1 AND b.tenant_id <> $1 AND a.seq = 3 AND b.seq = 3", 3},
	)
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			// The owner deletes and exchanges rows; a table kept aside puts them back.
			exec := func(statement string, args ...any) {
				t.Helper()
				if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			exec("CREATE TEMP TABLE kept AS SELECT * FROM audit_log")
			exec("CREATE TEMP TABLE kept_heads AS SELECT * FROM audit_heads")
			defer func() {
				exec("DELETE FROM audit_log")
				exec("DELETE FROM audit_heads")
				exec("INSERT INTO audit_log SELECT * FROM kept")
				exec("INSERT INTO audit_heads SELECT * FROM kept_heads")
				exec("DROP TABLE kept, kept_heads")
			}()
			// Exchanging two keys needs the check put off.
			exec("ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey")
			exec("ALTER TABLE audit_log ADD CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, seq) DEFERRABLE INITIALLY DEFERRED")
			exec(a.statement, id.String())
			r := verify(t, db, id)
			if r.Whole() || r.BrokenAt != a.at {
				t.Errorf("reported as broken at %d, want %d", r.BrokenAt, a.at)
			}
			if r := verify(t, db, other); !r.Whole() {
				t.Errorf("the other tenant's log is reported as broken at %d", r.BrokenAt)
			}
		})
	}
	if r := verify(t, db, id); !r.Whole() {
		t.Fatalf("put back as it was, the log is reported as broken at %d", r.BrokenAt)
	}
}

func TestAuditEntriesAreChosen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	db := storetest.NewAt(t, func() time.Time { now = now.Add(time.Minute); return now })
	id := storetest.Tenant(t, db)
	start := now
	err := error(nil)
	for _, e := range []audit.Entry{
		{ActorID: "usr_1", Action: "service.created", Subject: "svc_1"},
		{ActorID: "usr_2", Action: "service.revised", Subject: "svc_1"},
		{ActorID: "key_1", Action: "secret.set", Subject: "CRM_TOKEN"},
		{ActorID: "usr_1", Action: "service.revised", Subject: "svc_2"},
		{ActorID: "usr_1", Action: "services", Subject: "svc_2"},
	} {
		err = errors.Join(err, db.InTenant(t.Context(), id, func(tx *store.Tx) error { return tx.Audit(t.Context(), e) }))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		filter audit.Filter
		want   []int64
	}{
		{"all, newest first", audit.Filter{}, []int64{5, 4, 3, 2, 1}},
		{"an actor", audit.Filter{Actor: "usr_1"}, []int64{5, 4, 1}},
		{"an action", audit.Filter{Action: "service.revised"}, []int64{4, 2}},
		{"a kind of action", audit.Filter{Action: "service."}, []int64{4, 2, 1}},
		{"a subject", audit.Filter{Subject: "svc_1"}, []int64{2, 1}},
		{"a page", audit.Filter{Limit: 2}, []int64{5, 4}},
		{"the next page", audit.Filter{Limit: 2, Before: 4}, []int64{3, 2}},
		{"a span", audit.Filter{Since: start.Add(2 * time.Minute), Until: start.Add(4 * time.Minute)}, []int64{3, 2}},
		{"together", audit.Filter{Actor: "usr_1", Action: "service.", Before: 4}, []int64{1}},
		{"nothing", audit.Filter{Actor: "usr_9"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int64
			err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
				entries, err := tx.AuditEntries(t.Context(), tt.filter)
				for _, e := range entries {
					got = append(got, e.Seq)
				}
				return err
			})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}
