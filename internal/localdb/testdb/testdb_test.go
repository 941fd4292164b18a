// SPDX-License-Identifier: Apache-2.0

package testdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	neturl "net/url"
	"runtime"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/syncline-dev/syncline/internal/localdb/testdb"
)

func query(t *testing.T, url, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var got string
	if err := conn.QueryRow(t.Context(), statement).Scan(&got); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return got
}

func TestPostgresDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	one, two := testdb.Postgres(t), testdb.Postgres(t)
	if one == two {
		t.Fatalf("both databases are %s", one)
	}
	const tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"
	execute(t, one, "CREATE TABLE stock (sku text)")
	if got := query(t, one, tables); got != "1" {
		t.Errorf("the first database has %s tables, want its own 1", got)
	}
	if got := query(t, two, tables); got != "0" {
		t.Errorf("the second database has %s tables, want none", got)
	}
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestTemplateIsMigratedOnce(t *testing.T) {
	t.Parallel()
	runs := 0
	migrate := func(ctx context.Context, url string) error {
		runs++
		execute(t, url, "CREATE TABLE stock (sku text)")
		execute(t, url, "INSERT INTO stock VALUES ('A-1')")
		return nil
	}
	name := "once " + t.Name()
	one := testdb.Template(t, name, migrate)
	execute(t, one, "DELETE FROM stock")
	two := testdb.Template(t, name, migrate)
	if got := query(t, two, "SELECT count(*)::text FROM stock"); got != "1" {
		t.Errorf("the second clone has %s rows, want the template's 1", got)
	}
	if runs != 1 {
		t.Errorf("migrated %d times, want once", runs)
	}
}

// A failed migration must not be taken for a finished template by the next caller.
func TestTemplateStartsAgainAfterFailure(t *testing.T) {
	t.Parallel()
	name := "again " + t.Name()
	failing := failureOf(t, func(t testing.TB) {
		testdb.Template(t, name, func(ctx context.Context, url string) error {
			return errors.New("no such column")
		})
	})
	if !strings.Contains(failing, "no such column") {
		t.Errorf("the failure says %q, want the migration's own words", failing)
	}
	url := testdb.Template(t, name, func(ctx context.Context, url string) error {
		execute(t, url, "CREATE TABLE stock (sku text)")
		return nil
	})
	if got := query(t, url, "SELECT count(*)::text FROM stock"); got != "0" {
		t.Errorf("the table has %s rows, want 0", got)
	}
}

// An abandoned replication slot and a stream still open must not keep the database, or every later run of it.
func TestPostgresGoesAwayWithSlotAndClients(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("uses it", func(t *testing.T) {
		url = testdb.Postgres(t)
		execute(t, url, "CREATE TABLE stock (sku text)")
		if got := query(t, url, "SELECT slot_name::text FROM pg_create_logical_replication_slot(current_database(), 'pgoutput')"); got == "" {
			t.Fatal("no slot was made")
		}
		execute(t, url, "CREATE PUBLICATION everything FOR ALL TABLES")
		conn, err := pgconn.Connect(t.Context(), url+"&replication=database")
		if err != nil {
			t.Fatal(err)
		}
		// Left open on purpose: the cleanup of the database comes first.
		name := strings.TrimPrefix(must(neturl.Parse(url)).Path, "/")
		conn.Frontend().Send(&pgproto3.Query{String: fmt.Sprintf(
			"START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names 'everything')", name)})
		if err := conn.Frontend().Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			message, err := conn.ReceiveMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := message.(*pgproto3.CopyBothResponse); ok {
				break
			}
		}
	})
	conn, err := pgconn.Connect(t.Context(), url)
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("the database is still there")
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "3D000" {
		t.Errorf("got %v, want that the database does not exist", err)
	}
}

func TestOwnPostgresSurvivesKill(t *testing.T) {
	t.Parallel()
	server := testdb.OwnPostgres(t)
	execute(t, server.URL(), "CREATE TABLE stock (sku text)")
	server.Kill()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, server.URL(), "SELECT count(*)::text FROM stock"); got != "0" {
		t.Errorf("the table has %s rows, want 0", got)
	}
}

func TestMySQLDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	one, two := open(t, testdb.MySQL(t)), open(t, testdb.MySQL(t))
	for _, db := range []*sql.DB{one, two} { // the second would fail were it the same database
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE stock (sku varchar(20) PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"binlog_format": "ROW", "binlog_row_image": "FULL", "log_bin": "ON"} {
		var got string
		if err := one.QueryRowContext(t.Context(), "SELECT variable_value FROM information_schema.global_variables WHERE variable_name = ?", name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestOwnMySQLSurvivesKill(t *testing.T) {
	t.Parallel()
	server := testdb.OwnMySQL(t)
	db := open(t, server.URL(""))
	for _, statement := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.stock (sku varchar(20) PRIMARY KEY)", "INSERT INTO shop.stock VALUES ('A-1')"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	server.Kill()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := open(t, server.URL("shop")).QueryRowContext(t.Context(), "SELECT count(*) FROM stock").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 1 {
		t.Errorf("the table has %d rows, want the 1 that was committed", rows)
	}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", testdb.DSN(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// failureOf runs f as a test that fails, and returns what it said.
func failureOf(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	failed := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(failed)
	}()
	<-done
	return failed.said
}

// failing is a test that keeps its failure to itself.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func must(u *neturl.URL, err error) *neturl.URL {
	if err != nil {
		panic(err)
	}
	return u
}
