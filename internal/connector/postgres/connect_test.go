// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// The founding text writes a connection as host, database and table.
func TestInlineConnection(t *testing.T) {
	t.Parallel()
	s, err := postgres.New().Spec().Check(connector.Settings{"host": "warehouse-db.internal", "database": "inventory", "table": "stock_levels"})
	if err != nil {
		t.Fatal(err)
	}
	if s["port"] != "5432" || s["schema"] != "public" || s["sslmode"] != "prefer" {
		t.Errorf("the defaults are %v", s)
	}
}

// The table of the settings is the object that has no name.
func TestTableOfTheSettings(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE SCHEMA depot`, `CREATE TABLE depot.stock_levels (sku text PRIMARY KEY)`, `INSERT INTO depot.stock_levels VALUES ('A')`)
	for _, s := range []connector.Settings{with(settings(t, raw), "table", "depot.stock_levels"), with(with(settings(t, raw), "schema", "depot"), "table", "stock_levels")} {
		sys, err := postgres.New().Open(t.Context(), s, env)
		if err != nil {
			t.Fatal(err)
		}
		defer sys.Close()
		changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "", nil, []record.Key{"A"})
		if err != nil || changes[0].Op != record.Upsert {
			t.Errorf("reading the table of the settings gave %v, %v", changes, err)
		}
	}
}

func TestConnecting(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	good := settings(t, raw)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, freePort, _ := net.SplitHostPort(closed.Addr().String())
	closed.Close()
	guard := func(context.Context, string, string) (net.Conn, error) {
		return nil, fault.New(fault.Forbidden, "connection.address_private", "The address is private.")
	}
	for _, c := range []struct {
		name     string
		settings connector.Settings
		dial     func(context.Context, string, string) (net.Conn, error)
		code     string // "" is success
		class    connector.Class
	}{
		{name: "prefer falls back to no encryption", settings: with(good, "sslmode", "prefer")},
		{name: "require does not", settings: with(good, "sslmode", "require"), code: "postgresql.tls", class: connector.Reconnect},
		{name: "verify-full does not", settings: with(good, "sslmode", "verify-full"), code: "postgresql.tls", class: connector.Reconnect},
		{name: "nobody listens", settings: with(good, "port", freePort), code: "postgresql.unreachable", class: connector.Retry},
		{name: "a socket's path", settings: with(good, "host", "/var/run/postgresql"), code: "postgresql.host_invalid", class: connector.Reconnect},
		{name: "no port", settings: with(good, "port", "70000"), code: "postgresql.port_invalid", class: connector.Reconnect},
		{name: "the guard refuses", settings: good, dial: guard, code: "connection.address_private", class: connector.Reconnect},
		{name: "an unknown host", settings: good, dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere.invalid", IsNotFound: true}}
		}, code: "postgresql.host_unknown", class: connector.Reconnect},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := env
			if c.dial != nil {
				e.Dial = c.dial
			}
			sys, err := postgres.New().Open(t.Context(), c.settings, e)
			if err == nil {
				defer sys.Close()
				err = sys.Check(t.Context())
			}
			got := connector.Classify(err)
			if c.code == "" && err != nil || c.code != "" && (err == nil || got.Code != c.code || got.Class != c.class) {
				t.Errorf("connecting gave %v (%s), want %q", err, got.Class, c.code)
			}
			if err != nil && strings.Contains(err.Error(), good["password"]) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// Every connection goes through Env.Dial, with the host's name as it was given, and nothing is taken from the environment
// of the process.
func TestDialIsTheOnlyWay(t *testing.T) {
	raw := testdb.Postgres(t)
	c := connect(t, raw)
	exec := func(sql string) {
		t.Helper()
		if _, err := c.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "somebody", "PGPASSWORD": "else", "PGDATABASE": "elsewhere",
		"PGSSLMODE": "verify-full", "PGOPTIONS": "-c search_path=nowhere", "PGAPPNAME": "intruder", "PGTARGETSESSIONATTRS": "standby"} {
		t.Setenv(name, value)
	}
	exec(`CREATE TABLE thing (id int PRIMARY KEY)`)
	var mu sync.Mutex
	var dialed []string
	s := with(settings(t, raw), "host", "localhost.test")
	e := connector.Env{Consumer: "svc_dial", Detection: "cdc", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		dialed = append(dialed, address)
		mu.Unlock()
		host, port, err := net.SplitHostPort(address)
		if err != nil || network != "tcp" || host != "localhost.test" {
			return nil, errors.New("dialed " + network + " " + address)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	}}
	sys, err := postgres.New().Open(t.Context(), s, e)
	if err != nil {
		t.Fatal(err)
	}
	r := follow(t, sys, "thing")
	ctx, stop := context.WithCancel(t.Context())
	woken, ended := make(chan record.Object, 10), make(chan error, 1)
	go func() {
		ended <- sys.(connector.Watcher).Watch(ctx, []record.Object{"thing"}, func(o record.Object) { woken <- o })
	}()
	await(t, woken)
	exec(`INSERT INTO thing VALUES (1)`)
	r.sees("1")
	var names []string
	rows, err := c.Query(context.Background(), `SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'syncline%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"syncline stream svc_dial", "syncline svc_dial"}) {
		t.Errorf("the server's connections are called %q", names)
	}
	if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{"thing"}); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if err := sys.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(dialed) < 2 || len(dialed) > 4 {
		t.Errorf("%d connections were made: %q", len(dialed), dialed)
	}
}
