// SPDX-License-Identifier: Apache-2.0

// Package testdb gives a test a real, empty database of its own on a private server.
//
//	url := testdb.Postgres(t)                                  // an empty PostgreSQL database
//	url := testdb.Template(t, "store", migrations.Up)          // a clone of a migrated one, made once and copied
//	url := testdb.MySQL(t)                                     // an empty MariaDB database: mysql://root:...@127.0.0.1:3307/name
//	server := testdb.OwnPostgres(t)                            // a whole server, for tests that kill it
//
// Everything is gone when the test ends. Tests may run in parallel; nothing is shared between two calls but the server.
//
// # Which server
//
// `make test` starts one PostgreSQL and one MariaDB around the whole run and names them in SYNCLINE_TEST_POSTGRES_URL and
// SYNCLINE_TEST_MYSQL_URL. Without these (`go test ./internal/x`) the first call starts a server for this test process,
// which costs under a second; it ends with the process, even when that is killed. A server that happens to run on the
// machine is never used. When no binaries are installed the test fails and says what to install; it never skips.
//
// # What the servers are like
//
// PostgreSQL: wal_level=logical, 64 slots and senders, 300 connections, the URL is the superuser's. MariaDB: binary log
// with full row images and metadata, the URL is root's. Commits survive kill -9 of the server but not a crash of the
// machine. Roles and replication slots belong to the whole server: give them names of your own (the database's name is
// unique) and drop roles in a cleanup; slots of a test's database go with it.
package testdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/localdb"
)

// How long any single act on the server may take; far above what is normal, so that only a hang meets it.
const patience = time.Minute

// Postgres returns the URL (superuser, sslmode=disable) of a fresh empty PostgreSQL database, dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	return fresh(t, "template0")
}

// Template returns the URL of a fresh clone of a database that migrate filled once. The first caller with a name, of all
// test processes that share the server, runs migrate on an empty database; everybody else gets copies, which take some
// tens of milliseconds. migrate must close its connections before it returns, and does not run beside another one, so
// it may create roles if they are absent.
func Template(t testing.TB, name string, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	admin := postgresURL(t)
	template := "template_" + tidy(name)
	if err := ensureTemplate(admin, template, migrate); err != nil {
		t.Fatalf("testdb: template %s: %v", name, err)
	}
	return fresh(t, template)
}

// OwnPostgres starts a PostgreSQL server for this test alone, to be killed and restarted at will.
func OwnPostgres(t testing.TB) *localdb.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := localdb.StartPostgres(ctx, options(t))
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

// fresh makes a database from the template and drops it when the test ends.
func fresh(t testing.TB, template string) string {
	t.Helper()
	admin, name := postgresURL(t), databaseName(t)
	if err := run(admin, fmt.Sprintf(`CREATE DATABASE "%s" TEMPLATE "%s"`, name, template)); err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(admin, name); err != nil {
			t.Errorf("testdb: dropping %s: %v", name, err)
		}
	})
	return withDatabase(admin, name)
}

// drop ends whoever still uses the database, streams first: an active slot would hold it even against FORCE.
func drop(admin, name string) error {
	return run(admin,
		fmt.Sprintf(`SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE database = '%s' AND active`, name),
		fmt.Sprintf(`DROP DATABASE IF EXISTS "%s" WITH (FORCE)`, name))
}

// Any number that others on the server are unlikely to take; it keeps two migrations apart.
const templateLock = 7_305_501

// ensureTemplate makes the template unless a finished one is there. datistemplate is set last and so says "finished".
func ensureTemplate(admin, template string, migrate func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it the lock
	finished := func() (bool, error) {
		r := conn.ExecParams(ctx, "SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate", [][]byte{[]byte(template)}, nil, nil, nil).Read()
		return len(r.Rows) > 0, r.Err
	}
	if ok, err := finished(); ok || err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", templateLock)).ReadAll(); err != nil {
		return err
	}
	if ok, err := finished(); ok || err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf(`DROP DATABASE IF EXISTS "%s" WITH (FORCE)`, template), // half made by a process that died
		fmt.Sprintf(`CREATE DATABASE "%s" TEMPLATE template0`, template),
	} {
		if _, err := conn.Exec(ctx, statement).ReadAll(); err != nil {
			return err
		}
	}
	if err := migrate(ctx, withDatabase(admin, template)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`ALTER DATABASE "%s" WITH IS_TEMPLATE true`, template)).ReadAll()
	return err
}

// run executes statements one by one on a connection of their own.
func run(admin string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func withDatabase(admin, name string) string {
	u, err := url.Parse(admin)
	if err != nil {
		panic("testdb: the server's URL does not parse: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}

var untidy = regexp.MustCompile(`[^a-z0-9]+`)

func tidy(name string) string {
	return strings.Trim(untidy.ReplaceAllString(strings.ToLower(name), "_"), "_")
}

// databaseName is unique, fits the 63 bytes of PostgreSQL, and tells a person which test it belongs to.
func databaseName(t testing.TB) string {
	b := make([]byte, 5)
	rand.Read(b)
	name := tidy(t.Name())
	return "t_" + name[:min(len(name), 40)] + "_" + hex.EncodeToString(b)
}
