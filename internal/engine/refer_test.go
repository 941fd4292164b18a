// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/syncline-dev/syncline/internal/connector"
	mariadb "github.com/syncline-dev/syncline/internal/connector/mysql"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// family is a service between a PostgreSQL and a MariaDB database whose tables refer to each other by foreign keys, with other
// keys on each side.
type family struct {
	*bench
	urls map[string]string
	dbs  map[string]*sql.DB
}

func newFamily(t *testing.T, document string) *family {
	f := &family{bench: &bench{t: t, url: storetest.URL(t), fence: 1}, urls: map[string]string{"crm": testdb.Postgres(t), "shop": testdb.MySQL(t)}, dbs: map[string]*sql.DB{}}
	f.db = storetest.Open(t, f.url, nil)
	f.tenant = storetest.Tenant(t, f.db)
	ctx := context.Background()
	var err error
	if f.owner, err = pgx.Connect(ctx, f.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.owner.Close(ctx) })
	config, err := pgx.ParseConfig(f.urls["crm"])
	if err != nil {
		t.Fatal(err)
	}
	f.dbs["crm"] = stdlib.OpenDB(*config)
	my, err := mysql.ParseDSN(testdb.DSN(f.urls["shop"]))
	if err != nil {
		t.Fatal(err)
	}
	at, err := mysql.NewConnector(my)
	if err != nil {
		t.Fatal(err)
	}
	f.dbs["shop"] = sql.OpenDB(at)
	for _, db := range f.dbs {
		t.Cleanup(func() { _ = db.Close() })
	}
	f.do("crm", `CREATE TABLE accounts (id serial PRIMARY KEY, number text UNIQUE NOT NULL, name text, parent_id integer REFERENCES accounts)`)
	f.do("crm", `CREATE TABLE orders (id bigserial PRIMARY KEY, number text UNIQUE NOT NULL, account_id integer NOT NULL REFERENCES accounts, total numeric(10,2))`)
	f.do("shop", `CREATE TABLE accounts (id bigint PRIMARY KEY AUTO_INCREMENT, number varchar(40) UNIQUE NOT NULL, name text, parent_id bigint, FOREIGN KEY (parent_id) REFERENCES accounts (id)) AUTO_INCREMENT = 5001`)
	f.do("shop", `CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, number varchar(40) UNIQUE NOT NULL, account_id bigint NOT NULL, total decimal(10,2), FOREIGN KEY (account_id) REFERENCES accounts (id)) AUTO_INCREMENT = 7001`)
	f.opener = f
	f.service = service.ID(uuid.Must(uuid.NewV7()))
	f.apply(document, 1)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	f.engine = engine.New(store.InTx(f.db, func(tx *store.Tx) engine.Tx { return tx }), f, log)
	return f
}

// OpenSystem makes family the engine's Opener.
func (f *family) OpenSystem(ctx context.Context, _ tenant.ID, _ service.ID, _ *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	u, err := url.Parse(f.urls[system])
	if err != nil {
		return nil, connector.Spec{}, err
	}
	password, _ := u.User.Password()
	settings := connector.Settings{"host": u.Hostname(), "port": u.Port(), "database": u.Path[1:], "user": u.User.Username(), "password": password}
	c := mariadb.New()
	if system == "crm" {
		c, settings["sslmode"] = postgres.New(), "disable"
	}
	if settings, err = c.Spec().Check(settings); err != nil {
		return nil, connector.Spec{}, err
	}
	var d net.Dialer
	s, err := c.Open(ctx, settings, connector.Env{Consumer: consumer, Dial: d.DialContext})
	return s, c.Spec(), err
}

func (f *family) do(system, statement string, args ...any) {
	f.t.Helper()
	if _, err := f.dbs[system].ExecContext(context.Background(), statement, args...); err != nil {
		f.t.Fatalf("%s: %v\n%s", system, err, statement)
	}
}

// tree is what a system holds, with numbers in place of keys.
func (f *family) tree(system string) string {
	f.t.Helper()
	var b strings.Builder
	for _, q := range []string{
		`SELECT a.number, coalesce(a.name, '-'), coalesce(p.number, '-') FROM accounts a LEFT JOIN accounts p ON p.id = a.parent_id ORDER BY 1`,
		`SELECT o.number, cast(coalesce(o.total, 0) AS char(20)), a.number FROM orders o JOIN accounts a ON a.id = o.account_id ORDER BY 1`,
	} {
		func() {
			rows, err := f.dbs[system].QueryContext(context.Background(), q)
			if err != nil {
				f.t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var number, what, of string
				if err := rows.Scan(&number, &what, &of); err != nil {
					f.t.Fatal(err)
				}
				fmt.Fprintf(&b, "%s %s of %s\n", number, strings.TrimSpace(what), of)
			}
			if err := rows.Err(); err != nil {
				f.t.Fatal(err)
			}
		}()
	}
	return b.String()
}

func (f *family) both(what, want string) {
	f.t.Helper()
	got := map[string]string{}
	f.eventually(what+":\n"+want, func() bool {
		got["crm"], got["shop"] = f.tree("crm"), f.tree("shop")
		return got["crm"] == want && got["shop"] == want
	})
}

func (f *family) one(what, query string, want int64) {
	f.t.Helper()
	f.eventually(what, func() bool { return f.number(query) == want })
}

// relatives are those of the record with the number.
func (f *family) relatives(number string) engine.Relatives {
	f.t.Helper()
	r := engine.NewReader(store.InTx(f.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	d, err := r.Record(context.Background(), f.person(), f.service, number)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := r.Relatives(context.Background(), f.person(), f.service, d.Entity)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// The worked example of docs/hierarchies.md, and what follows. Each database enforces its foreign keys, so a child that came too early, or a parent that went too early, would be refused.
func TestHierarchy(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0])
	for _, statement := range strings.Split(blocks(t, "hierarchies", "sql")[0], ";") {
		f.do("crm", statement)
	}
	f.do("crm", `SELECT setval('accounts_id_seq', 100)`)
	f.do("shop", `INSERT INTO accounts (number, name) VALUES ('A2', 'Bolt')`)
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT 'O3', id, 30 FROM accounts WHERE number = 'A2'`)
	f.start()
	f.both("the first sync", "A1 Acme of A3\nA2 Bolt of -\nA3 Acme Group of -\nO1 10.00 of A1\nO2 20.00 of A2\nO3 30.00 of A2\n")
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)

	// A parent with its child in one transaction, and a child that moves to another parent, each way.
	f.do("shop", `INSERT INTO accounts (number, name) VALUES ('A4', 'Cord')`)
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT 'O4', id, 40 FROM accounts WHERE number = 'A4'`)
	f.do("crm", `UPDATE orders SET account_id = 3 WHERE number = 'O2'`)
	f.do("shop", `UPDATE accounts a JOIN accounts p ON p.number = 'A1' SET a.parent_id = p.id WHERE a.number = 'A2'`)
	f.both("changes both ways", "A1 Acme of A3\nA2 Bolt of A1\nA3 Acme Group of -\nA4 Cord of -\nO1 10.00 of A1\nO2 20.00 of A3\nO3 30.00 of A2\nO4 40.00 of A4\n")

	// The child first: what is owed for the parent waits until the child is gone there.
	f.do("crm", `DELETE FROM orders WHERE number = 'O4'`)
	f.do("crm", `DELETE FROM accounts WHERE number = 'A4'`)
	f.both("a parent and its child go", "A1 Acme of A3\nA2 Bolt of A1\nA3 Acme Group of -\nO1 10.00 of A1\nO2 20.00 of A3\nO3 30.00 of A2\n")
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	if n := f.number(`SELECT count(*) FROM dead_letters`) + f.number(`SELECT count(*) FROM conflicts`); n != 0 {
		t.Errorf("%d dead letters and conflicts\n%s", n, f.state())
	}
	if n := f.number(`SELECT count(*) FROM entity_references WHERE parent_id IS NULL`); n != 0 {
		t.Errorf("%d references are not known", n)
	}
}

// A tree that is read from its leaves upwards, deeper than a page.
func TestTreeInOneTable(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  batchSize: 7\n")
	f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) SELECT i, 'A' || lpad(i::text, 3, '0'), 'n', CASE WHEN i < 60 THEN i + 1 END FROM generate_series(60, 1, -1) i`)
	f.start()
	want := ""
	for i := 1; i < 60; i++ {
		want += fmt.Sprintf("A%03d n of A%03d\n", i, i+1)
	}
	f.both("a chain of sixty", want+"A060 n of -\n")
	if n := f.number(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("%d dead letters\n%s", n, f.state())
	}
}

// What becomes of orders whose account is deleted, in databases that delete and empty nothing by themselves.
func TestOrphans(t *testing.T) {
	for policy, want := range map[string]string{"delete": "A2 Bolt of -\n", "detach": "A1 Acme of -\nA2 Bolt of -\n"} {
		t.Run(policy, func(t *testing.T) {
			f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {orphans: "+policy+"}\n")
			f.do("crm", `ALTER TABLE accounts DROP CONSTRAINT accounts_parent_id_fkey`) // the CRM lets children lose their parent
			f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) VALUES (1, 'A1', 'Acme', 3), (2, 'A2', 'Bolt', NULL), (3, 'A3', 'Acme Group', NULL)`)
			f.start()
			f.both("the first sync", "A1 Acme of A3\nA2 Bolt of -\nA3 Acme Group of -\n")
			f.do("crm", `DELETE FROM accounts WHERE number = 'A3'`)
			f.both("the group is gone", want)
			f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
			if n := f.number(`SELECT count(*) FROM dead_letters`); n != 0 {
				t.Errorf("%d dead letters\n%s", n, f.state())
			}
			if n := f.number(`SELECT count(*) FROM journal WHERE actor = 'references' AND coalesce(after ->> 'parent', '') NOT LIKE 'record:%'`); n != 1 {
				t.Errorf("%d entries in the history say that the document's rule did it", n)
			}
		})
	}
}

// Orphans are weighed with the deletion that they follow from, before anything of it happens: whether the system tells of the deletion, or
// a reading does not show the record any more.
func TestBrakeWeighsOrphans(t *testing.T) {
	for name, missing := range map[string]bool{"told": false, "missing": true} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {orphans: delete}\n  safetyThreshold: {maxDeletes: 2}\n")
			f.do("crm", `ALTER TABLE accounts DROP CONSTRAINT accounts_parent_id_fkey`)
			f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
			f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) VALUES (1, 'A1', 'Acme', 3), (2, 'A2', 'Bolt', NULL), (3, 'A3', 'Acme Group', NULL), (4, 'A4', 'Cord', NULL)`)
			f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O1', 1, 10), ('O2', 2, 20), ('O4', 4, 40)`)
			f.start()
			all := "A1 Acme of A3\nA2 Bolt of -\nA3 Acme Group of -\nA4 Cord of -\nO1 10.00 of A1\nO2 20.00 of A2\nO4 40.00 of A4\n"
			f.both("the first sync", all)
			kind := engine.HoldDeletes
			if missing {
				kind = engine.HoldAbsent
				f.halt()
				// The place in the stream is lost, so the table is read anew.
				f.exec(`UPDATE cursors SET cursor = '', phase = 'snapshot' WHERE object = 'accounts' AND system = 'crm'`)
			}
			f.do("crm", `DELETE FROM accounts WHERE number = 'A3'`) // with it would go A1 and O1
			if missing {
				f.start()
			}
			h := f.held(kind, 1)
			if !strings.Contains(h.Reason, "2 records that refer to deleted ones would be deleted, which makes 3, and 2 are allowed") {
				t.Errorf("it is held because: %s", h.Reason)
			}
			if got := f.tree("shop"); got != all {
				t.Errorf("the shop has\n%s", got)
			}
			_, err := f.holds().Release(context.Background(), f.person(), h.ID, "", 0)
			f.decided(h, err)
			f.both("all that belongs to the group is gone", "A2 Bolt of -\nA4 Cord of -\nO2 20.00 of A2\nO4 40.00 of A4\n")
			f.do("crm", `DELETE FROM accounts WHERE number = 'A4'`)
			f.both("few enough go by themselves", "A2 Bolt of -\nO2 20.00 of A2\n")
			f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
			if n := f.number(`SELECT count(*) FROM holds WHERE state = 'open'`) + f.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`); n != 0 {
				t.Errorf("%d holds and dead letters are open\n%s", n, f.state())
			}
		})
	}
}

// What refers to a record that never comes is reported, by name, and follows when it comes all the same.
func TestMissingParent(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {wait: 1s}\n  filterConditions: [{field: name, operator: notEquals, value: Secret}]\n")
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Secret')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("the dead letter", `SELECT count(*) FROM dead_letters WHERE code = 'reference.missing' AND direction = 'out' AND state = 'open' AND message LIKE '%account refers to a record of accounts that shop does not have yet%'`, 1)
	if got := f.tree("shop"); got != "" {
		t.Fatalf("the shop has\n%s", got)
	}
	order, account := f.relatives("O7"), f.relatives("A7")
	if p := order.Parents; len(p) != 1 || p[0].Field != "account" || p[0].Record == nil || p[0].Record.MatchKey != "A7" {
		t.Errorf("O7 refers to %+v", p)
	}
	if c := account.Children; !account.Counted || len(c) != 1 || c[0] != (engine.ChildrenOf{Collection: "orders", Field: "account", Count: 1, Waiting: 1}) {
		t.Errorf("what refers to A7: %+v", c)
	}
	f.do("crm", `UPDATE accounts SET name = 'Known' WHERE id = 7`)
	f.both("the account with its order", "A7 Known of -\nO7 70.00 of A7\n")
	f.eventually("nothing waits for it", func() bool {
		c := f.relatives("A7").Children
		return len(c) == 1 && c[0].Count == 1 && c[0].Waiting == 0
	})
	f.one("the dead letter is settled", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)

	// A parent whose child stays: the deletion waits, and is reported.
	f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
	f.do("crm", `DELETE FROM accounts WHERE id = 7`)
	f.one("the deletion waits", `SELECT count(*) FROM dead_letters WHERE code = 'reference.children' AND state = 'open'`, 1)
	f.do("crm", `DELETE FROM orders WHERE number = 'O7'`)
	f.both("both are gone", "")
	f.one("nothing is open", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)

	// One that nobody knows yet is named as its system names it.
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O8', 8, 80)`)
	f.one("it is known", `SELECT count(*) FROM entities WHERE match_key = 'O8'`, 1)
	if p := f.relatives("O8").Parents; len(p) != 1 || p[0].Record != nil || !p[0].Entity.IsZero() || p[0].System != "crm" || p[0].Key != "8" {
		t.Errorf("O8 refers to %+v", p)
	}
}

// Two accounts that belong to each other can only be written in two passes.
func TestCircleInTwoPasses(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {cycles: two-pass}\n")
	f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) VALUES (1, 'A1', 'Acme', 2), (2, 'A2', 'Bolt', 1)`)
	f.start()
	f.both("the circle", "A1 Acme of A2\nA2 Bolt of A1\n")
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
}

// A record that waits, and refers to one that is there before the wait is over, is sent at once; of the wait nothing is left.
func TestWaitIsOverByAnEdit(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  filterConditions: [{field: name, operator: notEquals, value: Secret}]\n")
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Secret'), (8, 'A8', 'Bolt')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("it waits", `SELECT count(*) FROM deliveries WHERE waits = 'reference' AND system = 'shop'`, 1)
	f.do("crm", `UPDATE orders SET account_id = 8 WHERE number = 'O7'`)
	f.eventually("the order with the other account", func() bool { return f.tree("shop") == "A8 Bolt of -\nO7 70.00 of A8\n" })
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
}

// A record that waits for another in a system, and that somebody makes there so that it refers to a third, waits for nothing: when all agree on
// that one the system is owed nothing, and no duty comes by.
func TestWaitIsOverInTheSystem(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {wait: 1s}\n  filterConditions: [{field: name, operator: notEquals, value: Secret}]\n")
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Secret'), (8, 'A8', 'Bolt')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("the dead letter", `SELECT count(*) FROM dead_letters WHERE code = 'reference.missing' AND state = 'open'`, 1)
	f.one("the other account", `SELECT count(*) FROM links WHERE system = 'shop'`, 1)
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT 'O7', id, 70 FROM accounts`)
	f.one("the order is known", `SELECT count(*) FROM links WHERE system = 'shop'`, 2)
	f.do("crm", `UPDATE orders SET account_id = 8 WHERE number = 'O7'`)
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	f.one("the dead letter is settled", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)
	if got := f.tree("shop"); got != "A8 Bolt of -\nO7 70.00 of A8\n" {
		t.Errorf("the shop has\n%s", got)
	}
}

// A record that was deleted in the system that named an unknown one, and lives on elsewhere, refers to that when it comes. Its own
// system has nothing more to say of it, and is not asked again and again.
func TestNamedByADeletedRecord(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  deletes: ignore\n")
	f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("it is known", `SELECT count(*) FROM entities WHERE match_key = 'O7'`, 1)
	f.do("crm", `DELETE FROM orders`)
	f.one("it is deleted there", `SELECT count(*) FROM journal WHERE op = 'unlink'`, 1)
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Acme')`)
	f.eventually("the account with its order", func() bool { return f.tree("shop") == "A7 Acme of -\nO7 70.00 of A7\n" })
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	if n := f.number(`SELECT count(*) FROM entity_references WHERE parent_id IS NULL`); n != 0 {
		t.Errorf("%d references are not known", n)
	}
	if n := f.number(`SELECT count(*) FROM journal WHERE actor = 'references'`); n != 1 {
		t.Errorf("%d entries in the history say that the reference was found", n)
	}
	if n := f.number(`SELECT count(*) FROM journal WHERE op = 'unlink'`); n != 1 {
		t.Errorf("its deletion was read %d times", n)
	}
}

// A record that waits for one that nobody knows, and is deleted meanwhile, is owed nothing any more, and its dead letter is over.
func TestDeletedWhileItWaits(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  references: {wait: 1s}\n")
	f.do("crm", `ALTER TABLE orders DROP CONSTRAINT orders_account_id_fkey`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("it waits", `SELECT count(*) FROM deliveries WHERE waits = 'reference' AND waits_for IS NULL AND due_at > now() + interval '1 day'`, 1)
	f.one("the dead letter", `SELECT count(*) FROM dead_letters WHERE code = 'reference.missing' AND direction = 'out' AND state = 'open'`, 1)
	f.do("crm", `DELETE FROM orders WHERE number = 'O7'`)
	f.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	f.one("the dead letter is settled", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)
}

// Where what one system refuses none keeps, waiting for another record is no refusal, however long it lasts.
func TestWaitingIsNoRefusal(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  consistency: transactional\n  references: {wait: 1s}\n  filterConditions: [{field: name, operator: notEquals, value: Secret}]\n")
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Secret')`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O7', 7, 70)`)
	f.start()
	f.one("the dead letter", `SELECT count(*) FROM dead_letters WHERE code = 'reference.missing' AND state = 'open'`, 1)
	// What is refused after it is taken back, so the one before was passed over.
	f.do("shop", `ALTER TABLE accounts ADD CHECK (name <> 'bad')`)
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (8, 'A8', 'bad')`)
	f.one("a refusal is taken back", `SELECT count(*) FROM journal WHERE actor = '@compensation'`, 1)
	if got := f.tree("crm"); got != "A7 Secret of -\nA8 bad of -\nO7 70.00 of A7\n" {
		t.Errorf("the CRM has\n%s", got)
	}
	f.do("crm", `UPDATE accounts SET name = 'Known' WHERE id = 7`)
	f.eventually("the account with its order", func() bool { return f.tree("shop") == "A7 Known of -\nO7 70.00 of A7\n" })
	f.one("the dead letter is settled", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)
	if n := f.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`); n != 1 {
		t.Errorf("%d records were set back", n)
	}
}

// A reference that one system refuses is set back in the others: the refused key stands for a record, which has another key there.
func TestRefusedReferenceIsSetBack(t *testing.T) {
	f := newFamily(t, blocks(t, "hierarchies", "yaml")[0]+"  consistency: transactional\n")
	f.do("crm", `INSERT INTO accounts (id, number, name) VALUES (7, 'A7', 'Acme'), (8, 'A8', 'Bell')`)
	f.start()
	f.both("the accounts", "A7 Acme of -\nA8 Bell of -\n")
	f.do("shop", `ALTER TABLE accounts ADD CHECK (parent_id IS NULL)`)
	f.do("crm", `UPDATE accounts SET parent_id = 7 WHERE id = 8`)
	f.one("the refusal is taken back", `SELECT count(*) FROM journal WHERE actor = '@compensation'`, 1)
	f.both("no parent", "A7 Acme of -\nA8 Bell of -\n")
	f.one("the dead letter is settled", `SELECT count(*) FROM dead_letters WHERE state = 'open'`, 0)
}
