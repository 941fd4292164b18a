// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
)

// shelves is a service of some level of consistency between a PostgreSQL and a MariaDB, which refuses quantities below zero.
type shelves struct {
	*testing.T
	base, key string
	service   string
	warehouse *sql.DB
	shop      *sql.DB
	own       *sql.DB // Syncline's own database
}

func newShelves(t *testing.T, level string) *shelves {
	t.Helper()
	s := &shelves{T: t, service: "stock-" + level}
	own := storetest.URL(t)
	here, there := testdb.Postgres(t), testdb.MySQL(t)
	open := func(address string) *sql.DB {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			t.Fatal(err)
		}
		db := stdlib.OpenDB(*config)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	s.own, s.warehouse = open(own), open(here)
	dsn, err := mysql.ParseDSN(testdb.DSN(there))
	if err != nil {
		t.Fatal(err)
	}
	to, err := mysql.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	s.shop = sql.OpenDB(to)
	t.Cleanup(func() { _ = s.shop.Close() })
	s.do(s.warehouse, `CREATE TABLE products (sku varchar(40) PRIMARY KEY, name varchar(100), quantity integer)`)
	s.do(s.shop, `CREATE TABLE products (sku varchar(40) PRIMARY KEY, name varchar(100), quantity int, CONSTRAINT in_stock CHECK (quantity >= 0))`)
	s.do(s.warehouse, `INSERT INTO products VALUES ('SKU-1', 'Desk', 7)`)

	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL, c.FilesDir = own, t.TempDir()
	a, err := newApp(t.Context(), c, master, connection.GuardOptions{AllowLoopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	_, session, err := a.auth.SignUp(t.Context(), auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: "correct horse battery", TenantName: "Ada Ltd"}, auth.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	who := session.Principal(auth.Caller{})
	key, _, err := a.auth.CreateKey(t.Context(), who, "test", auth.Scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var systems []string
	for _, side := range []struct{ id, typ, address, more string }{{"warehouse", "postgresql", here, ", sslmode: disable"}, {"shop", "mysql", there, ""}} {
		u, err := url.Parse(side.address)
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		name := strings.ToUpper(side.id) + "_PASSWORD"
		if _, err := a.secrets.Set(t.Context(), who, name, password, 0); err != nil {
			t.Fatal(err)
		}
		systems = append(systems, fmt.Sprintf(`  - {id: %s, type: %s, connection: {host: %q, port: %q, database: %q, user: %q, password: "${%s}"%s}, objects: [products]}`,
			side.id, side.typ, u.Hostname(), u.Port(), u.Path[1:], u.User.Username(), name, side.more))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w, err := a.newWorker()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.serve(ctx, listener, w) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	s.base, s.key = "http://"+listener.Addr().String(), key.Reveal()
	t.Setenv("SYNCLINE_URL", s.base)
	t.Setenv("SYNCLINE_API_KEY", s.key)
	t.Setenv("SYNCLINE_API_KEY_FILE", "")
	b := &bench{T: t, dir: t.TempDir(), key: s.key}
	document := fmt.Sprintf("service: %s\ndirection: bi-directional\nsystems:\n%s\nsyncConfig: {frequency: realtime, consistency: %s, conflictResolution: lastWriteWins, matchFields: [sku]}\n",
		s.service, strings.Join(systems, "\n"), level)
	if out, talk, code := b.syncline("apply", "-f", b.file("stock.yaml", document)); code != 0 {
		t.Fatalf("applying: %d %s %s", code, out, talk)
	}
	s.eventually("the first sync", func() bool { return s.holds("Desk", 7) && s.idle() })
	return s
}

func (s *shelves) do(db *sql.DB, statement string) {
	s.Helper()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		s.Fatalf("%s: %v", statement, err)
	}
}

// row is what a database holds of the one product; empty where it has none.
func (s *shelves) row(db *sql.DB) string {
	s.Helper()
	var name string
	var quantity int
	err := db.QueryRowContext(context.Background(), `SELECT name, quantity FROM products WHERE sku = 'SKU-1'`).Scan(&name, &quantity)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.Fatal(err)
	}
	return fmt.Sprintf("%s %d", name, quantity)
}

func (s *shelves) holds(name string, quantity int) bool {
	want := fmt.Sprintf("%s %d", name, quantity)
	return s.row(s.warehouse) == want && s.row(s.shop) == want
}

func (s *shelves) count(query string) (n int) {
	s.Helper()
	if err := s.own.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// idle says whether nothing is owed or under way.
func (s *shelves) idle() bool {
	return s.count(`SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM attempts) + (SELECT count(*) FROM runs WHERE state IN ('queued', 'running'))`) == 0
}

func (s *shelves) compensated() int {
	return s.count(`SELECT count(*) FROM audit_log WHERE action = 'record.compensated' AND detail ->> 'system' = 'shop'`)
}

func (s *shelves) eventually(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("not within 30 s: %s; the warehouse holds %s, the shop %s", what, s.row(s.warehouse), s.row(s.shop))
		}
	}
}

// edit changes the product in the warehouse through the API.
func (s *shelves) edit(fields string) (status int, answer map[string]any) {
	s.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPatch, s.base+"/v1/services/"+s.service+"/systems/warehouse/records/SKU-1", strings.NewReader(`{"fields": `+fields+`}`))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/merge-patch+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		s.Fatalf("%d %s", res.StatusCode, body)
	}
	return res.StatusCode, answer
}

// What MariaDB refuses PostgreSQL does not keep, whoever wrote it.
func TestTransactionalDatabases(t *testing.T) {
	s := newShelves(t, "transactional")
	s.do(s.warehouse, `UPDATE products SET name = 'Table', quantity = -1 WHERE sku = 'SKU-1'`)
	s.eventually("the warehouse to be set back", func() bool { return s.compensated() == 1 && s.holds("Desk", 7) && s.idle() })
	if status, answer := s.edit(`{"name": "Chair", "quantity": -2}`); status != http.StatusConflict || answer["code"] != "record.compensated" {
		t.Errorf("a refused edit is answered %d %v", status, answer)
	}
	s.eventually("both to hold what they held", func() bool { return s.compensated() == 2 && s.holds("Desk", 7) && s.idle() })
	// What both take stays.
	s.do(s.warehouse, `UPDATE products SET name = 'Table', quantity = 5 WHERE sku = 'SKU-1'`)
	s.eventually("both to take it", func() bool { return s.holds("Table", 5) && s.idle() })
	if status, answer := s.edit(`{"name": "Bench"}`); status != http.StatusOK || !s.holds("Bench", 5) {
		t.Errorf("it is answered %d %v, and the warehouse holds %s, the shop %s", status, answer, s.row(s.warehouse), s.row(s.shop))
	}
	if n := s.compensated(); n != 2 {
		t.Errorf("%d changes were set back, want 2", n)
	}
	if n := s.count(`SELECT count(*) FROM dead_letters WHERE state = 'open'`); n != 0 {
		t.Errorf("%d dead letters are open", n)
	}
}

// An edit through the API is answered 200 when both databases have it, and otherwise with who has not.
func TestStrongDatabases(t *testing.T) {
	s := newShelves(t, "strong")
	for i := range 5 {
		name := fmt.Sprintf("Table %d", i)
		if status, answer := s.edit(fmt.Sprintf(`{"name": %q, "quantity": %d}`, name, i)); status != http.StatusOK || answer["settled"] != true || !s.holds(name, i) {
			t.Fatalf("it is answered %d %v, and the warehouse holds %s, the shop %s", status, answer, s.row(s.warehouse), s.row(s.shop))
		}
	}
	status, answer := s.edit(`{"quantity": -1}`)
	if status != http.StatusAccepted || answer["settled"] != false {
		t.Errorf("an edit that the shop refuses is answered %d %v", status, answer)
	}
	if row := s.row(s.shop); row != "Table 4 4" {
		t.Errorf("the shop holds %s", row)
	}
	if status, _ := s.edit(`{"quantity": 9}`); status != http.StatusOK || !s.holds("Table 4", 9) {
		t.Errorf("it is answered %d, and the warehouse holds %s, the shop %s", status, s.row(s.warehouse), s.row(s.shop))
	}
}
