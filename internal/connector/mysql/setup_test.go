// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"testing"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// within bounds every wait of a test; far above what is normal.
const within = 30 * time.Second

// database is a database of the test's own and a way to it behind the connector's back.
type database struct {
	t        testing.TB
	db       *sql.DB
	settings connector.Settings
}

func newDatabase(t testing.TB, statements ...string) *database {
	t.Helper()
	return databaseAt(t, testdb.MySQL(t), statements...)
}

func databaseAt(t testing.TB, address string, statements ...string) *database {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	config, err := driverpkg.ParseDSN(testdb.DSN(address))
	if err != nil {
		t.Fatal(err)
	}
	config.MultiStatements, config.Logger = true, quiet{}
	dialer, err := driverpkg.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(dialer)
	t.Cleanup(func() { db.Close() })
	password, _ := u.User.Password()
	settings, err := New().Spec().Check(connector.Settings{"host": u.Hostname(), "port": u.Port(), "database": u.Path[1:], "user": u.User.Username(), "password": password})
	if err != nil {
		t.Fatal(err)
	}
	d := &database{t: t, db: db, settings: settings}
	d.exec(statements...)
	return d
}

func (d *database) exec(statements ...string) {
	d.t.Helper()
	for _, s := range statements {
		if _, err := d.db.Exec(s); err != nil {
			d.t.Fatalf("%.200s: %v", s, err)
		}
	}
}

func (d *database) value(query string) string {
	d.t.Helper()
	var s sql.NullString
	if err := d.db.QueryRow(query).Scan(&s); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return s.String
}

// open opens the connector for the consumer "svc_test", or as change says.
func (d *database) open(change ...func(*connector.Env)) *system {
	d.t.Helper()
	env := connector.Env{Consumer: "svc_test"}
	for _, f := range change {
		f(&env)
	}
	s, err := New().Open(context.Background(), d.settings, env)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { s.Close() })
	return base(s)
}

// base is the system itself, without the capabilities that it has here.
func base(s connector.System) *system { return s.(interface{ self() *system }).self() }

func (s *system) self() *system { return s }

func detecting(detection string) func(*connector.Env) {
	return func(e *connector.Env) { e.Detection = detection }
}

func consumer(name string) func(*connector.Env) {
	return func(e *connector.Env) { e.Consumer = name }
}

// replica is what a reader of pages knows of an object: the contract says that it becomes equal to the table.
type replica struct {
	t      testing.TB
	s      *system
	object record.Object
	limit  int
	cursor record.Cursor
	rows   map[record.Key]record.Fields
	seen   int // changes so far
}

func (d *database) replica(s *system, object record.Object, limit int) *replica {
	return &replica{t: d.t, s: s, object: object, limit: limit, rows: make(map[record.Key]record.Fields)}
}

// page reads one page and applies it.
func (r *replica) page() connector.Page {
	r.t.Helper()
	p, err := r.tryPage()
	if err != nil {
		r.t.Fatalf("reading %s at %s: %v", r.object, r.cursor, err)
	}
	return p
}

// some reads on until a page has changes or there are no more. A log that is read late, as on a busy machine, gives pages without changes
// before.
func (r *replica) some() connector.Page {
	r.t.Helper()
	for deadline := time.Now().Add(within); ; {
		p := r.page()
		if len(p.Changes) > 0 || !p.More {
			return p
		}
		if time.Now().After(deadline) {
			r.t.Fatal("there is always more, and nothing comes")
		}
	}
}

func (r *replica) tryPage() (connector.Page, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	p, err := r.s.Read(ctx, connector.ReadRequest{Object: r.object, Cursor: r.cursor, Limit: r.limit})
	if err != nil {
		return p, err
	}
	if len(p.Changes) > r.limit {
		r.t.Fatalf("a page has %d changes, the limit is %d", len(p.Changes), r.limit)
	}
	once := make(map[record.Key]bool)
	for _, c := range p.Changes {
		if once[c.Key] {
			r.t.Fatalf("the key %s occurs twice in a page", c.Key)
		}
		once[c.Key] = true
		if c.Op == record.Delete {
			delete(r.rows, c.Key)
		} else {
			r.rows[c.Key] = c.Fields
		}
	}
	r.seen += len(p.Changes)
	r.cursor = p.Cursor
	return p, nil
}

// drain reads until nothing more is to be had now.
func (r *replica) drain() {
	r.t.Helper()
	for i := 0; ; i++ {
		if p := r.page(); !p.More {
			return
		}
		if i > 100_000 {
			r.t.Fatal("there is always more")
		}
	}
}

// equal fails unless the replica holds what the table holds.
func (r *replica) equal() {
	r.t.Helper()
	if problem := r.difference(); problem != "" {
		r.t.Fatal(problem)
	}
}

func (r *replica) difference() string {
	r.t.Helper()
	fresh := &replica{rows: make(map[record.Key]record.Fields)}
	ctx := context.Background()
	tb, err := r.s.load(ctx, r.object)
	if err != nil {
		r.t.Fatal(err)
	}
	var after []string
	for done := false; !done; {
		var changes []record.Change
		changes, after, done, err = r.s.inKeyOrder(ctx, tb, connector.ReadRequest{Object: r.object, Limit: 10_000}, after)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, c := range changes {
			fresh.rows[c.Key] = c.Fields
		}
	}
	for k, want := range fresh.rows {
		have, there := r.rows[k]
		if !there {
			return fmt.Sprintf("the record %s is missing", k)
		}
		for n, v := range want {
			if _, read := have[n]; read && !record.Equal(have[n], v) {
				return fmt.Sprintf("the record %s holds %s = %v, the table %v", k, n, have[n], v)
			}
		}
	}
	for k := range r.rows {
		if _, there := fresh.rows[k]; !there {
			return fmt.Sprintf("the record %s should be gone", k)
		}
	}
	return ""
}

// until reads until the replica is equal to the table.
func (r *replica) until() {
	r.t.Helper()
	deadline := time.Now().Add(within)
	for {
		r.drain()
		problem := r.difference()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal(problem)
		}
	}
}

func class(err error) connector.Class {
	if err == nil {
		return ""
	}
	return connector.Classify(err).Class
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return connector.Classify(err).Code
}
