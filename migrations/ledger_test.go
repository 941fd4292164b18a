// SPDX-License-Identifier: Apache-2.0

package migrations_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/migrations"
)

// Partitioning a ledger that has rows keeps every row and every key, puts each into its month, and sums them up; going back gives
// the rows back. The owner need not be a superuser.
func TestLedgerIsPartitionedWithItsRows(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	if err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	// What owns the tables is a role without any power.
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	owner := pgx.Identifier{"owner_" + config.Database}.Sanitize()
	exec(`CREATE ROLE ` + owner)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		for _, statement := range []string{`REASSIGN OWNED BY ` + owner + ` TO CURRENT_USER`, `DROP OWNED BY ` + owner, `DROP ROLE ` + owner} {
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
	exec(`GRANT ALL ON SCHEMA public TO ` + owner)
	for _, table := range texts(t, conn, `SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
		UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r'`) {
		exec(`ALTER TABLE ` + table + ` OWNER TO ` + owner)
	}
	for _, function := range texts(t, conn, `SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace`) {
		exec(`ALTER FUNCTION ` + function + ` OWNER TO ` + owner)
	}
	file := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	exec(`SET ROLE ` + owner)
	exec(file("000042_late_usage.down.sql"))
	exec(file("000041_ledger_keys.down.sql"))
	exec(file("000040_ledger.down.sql"))
	exec(`RESET ROLE`)
	const tenant = `'00000000-0000-7000-8000-000000000001'`
	exec(`INSERT INTO tenants (id, name, slug, sealed_key, created_at) VALUES (` + tenant + `, 'x', 'x', '', now())`)
	exec(`INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, quantity, since) VALUES
		(` + tenant + `, 'int:a:20250131T2345', 'sync_operations', '2025-01-31 23:59:59.999999Z', gen_random_uuid(), 'crm', 3, NULL),
		(` + tenant + `, 'int:b:20250201T0000', 'sync_operations', '2025-02-01 00:00:00Z', gen_random_uuid(), 'crm', 4, NULL),
		(` + tenant + `, 'op:0194bdf4-8c00-7000-8000-000000000000:0', 'records', '2025-02-01 00:00:00Z', gen_random_uuid(), '', -2, NULL),
		(` + tenant + `, 'rec', 'records', '2025-02-01 00:00:01Z', gen_random_uuid(), '', 1, '2025-02-01 00:00:00.5Z')`)
	exec(`SET ROLE ` + owner)
	exec(file("000040_ledger.up.sql"))
	exec(file("000041_ledger_keys.up.sql"))
	exec(`RESET ROLE`)
	rows := func() []string {
		return texts(t, conn, `SELECT tableoid::regclass || ' ' || key || ' ' || quantity FROM usage_events ORDER BY key`)
	}
	parted := []string{
		"usage_events_202501 int:a:20250131T2345 3", "usage_events_202502 int:b:20250201T0000 4",
		"usage_events_202501 op:0194bdf4-8c00-7000-8000-000000000000:0 -2", "usage_events_rest rec 1",
	}
	if got := rows(); !slices.Equal(got, parted) {
		t.Errorf("the ledger is %v, want %v", got, parted)
	}
	sums := texts(t, conn, `SELECT format('%s %s %s %s', meter, slot AT TIME ZONE 'UTC', since AT TIME ZONE 'UTC', units) FROM usage_rollups ORDER BY 1`)
	want := []string{
		"records 2025-01-31 23:45:00.000001 infinity -2", "records 2025-02-01 00:00:00 2025-02-01 00:00:00.000001 1",
		"sync_operations 2025-01-31 23:45:00 -infinity 3", "sync_operations 2025-02-01 00:00:00 -infinity 4",
	}
	if !slices.Equal(sums, want) {
		t.Errorf("the sums are %v, want %v", sums, want)
	}
	exec(`SET ROLE ` + owner)
	exec(file("000041_ledger_keys.down.sql"))
	exec(`RESET ROLE`)
	if got := texts(t, conn, `SELECT key FROM usage_keys ORDER BY key`); len(got) != 4 || got[3] != "rec" {
		t.Errorf("the keys are %v", got)
	}
	exec(`SET ROLE ` + owner)
	exec(file("000040_ledger.down.sql"))
	exec(`RESET ROLE`)
	if got := texts(t, conn, `SELECT left(key, 5) || quantity FROM usage_events ORDER BY 1`); !slices.Equal(got, []string{"int:a3", "int:b4", "op:01-2", "rec1"}) {
		t.Errorf("the ledger before partitions is %v", got)
	}
}

// The time in a key is the same in the program and in the schema.
func TestKeyTimes(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	at := time.Date(2026, 2, 28, 23, 59, 59, 999_000_000, time.UTC)
	id := uuid.Must(uuid.NewV7())
	copy(id[:6], binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))[2:])
	slot := billing.IntegrationUsed(at, uuid.New(), "crm:a:20250101T0000", false)
	for key, want := range map[string]time.Time{
		billing.OperationKey(id, 3):      at,
		"rec:" + id.String() + ":people": at,
		"rec:" + id.String() + " " + uuid.Must(uuid.NewV7()).String() + ":people:deleted": at,
		"rec:" + uuid.New().String() + ":" + id.String() + ":revived":                     at,
		slot.Key:                              time.Date(2026, 2, 28, 23, 45, 0, 0, time.UTC),
		billing.OperationKey(uuid.New(), 0):   time.Unix(0, 0),
		"":                                    time.Unix(0, 0),
		"int:x":                               time.Unix(0, 0),
		"op:20250101T0000":                    time.Unix(0, 0),
		"enr:" + strings.ToUpper(id.String()): time.Unix(0, 0),
	} {
		var kept time.Time
		if err := conn.QueryRow(t.Context(), `SELECT usage_kept($1)`, key).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if got := billing.KeyTime(key); !got.Equal(want) || !kept.Equal(want) {
			t.Errorf("%s: %s in the program, %s in the schema, want %s", key, got, kept, want)
		}
	}
}

// Partitions are made ahead, by several at once, while somebody meters in an open transaction; again there is nothing to do; and who
// does not own the tables is told so.
func TestPartitionsAhead(t *testing.T) {
	t.Parallel()
	url := testdb.Template(t, fmt.Sprintf("catalogue %d", migrations.Latest), migrations.Up)
	conn := connect(t, url)
	now := time.Now().UTC()
	in := func(months int) time.Time {
		return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, months, 0)
	}
	// Ten months later, with nobody having looked meanwhile, events are in the rest.
	later := in(10).Add(36 * time.Hour)
	metering, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const event = `INSERT INTO usage_events (tenant_id, key, kept, meter, at, service_id, system, quantity) VALUES (gen_random_uuid(), $1, $2, 'sync_operations', $2, gen_random_uuid(), 'crm', 1)`
	if _, err := metering.Exec(t.Context(), event, "now", now); err != nil {
		t.Fatal(err)
	}
	other := connect(t, url)
	for _, at := range []time.Time{later, in(11).Add(-time.Microsecond), in(11), in(14)} {
		if _, err := other.Exec(t.Context(), event, at.String(), at); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	var made atomic.Int64
	for range 4 {
		all.Go(func() {
			n, err := migrations.Partition(t.Context(), url, later)
			if err != nil {
				t.Error(err)
			}
			made.Add(int64(n))
		})
	}
	all.Wait()
	if made.Load() != 4 {
		t.Errorf("%d partitions were made, want 4", made.Load())
	}
	if _, err := metering.Exec(t.Context(), event, "still", now); err != nil {
		t.Error(err)
	}
	if err := metering.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := migrations.Partition(t.Context(), url, later); n != 0 || err != nil {
		t.Errorf("again %d were made, %v", n, err)
	}
	where := texts(t, conn, `SELECT tableoid::regclass::text FROM usage_events ORDER BY at`)
	name := func(months int) string { return "usage_events_" + in(months).Format("200601") }
	if want := []string{name(0), name(0), name(10), name(10), name(11), "usage_events_rest"}; !slices.Equal(where, want) {
		t.Errorf("the events are in %v, want %v", where, want)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	guest := "guest_" + config.Database
	if _, err := conn.Exec(t.Context(), `CREATE ROLE `+pgx.Identifier{guest}.Sanitize()+` LOGIN PASSWORD 'x'`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), `DROP ROLE `+pgx.Identifier{guest}.Sanitize()); err != nil {
			t.Error(err)
		}
	})
	address := fmt.Sprintf("postgres://%s:x@%s:%d/%s?sslmode=disable", guest, config.Host, config.Port, config.Database)
	if _, err := migrations.Partition(t.Context(), address, later); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
	if _, err := migrations.Partition(t.Context(), address, in(14)); !errors.Is(err, migrations.ErrNotOwner) {
		t.Errorf("a guest: %v", err)
	}
}
