// SPDX-License-Identifier: Apache-2.0

package killtest

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/syncline-dev/syncline/internal/localdb/testdb"
)

var (
	kills = flag.Int("kills", 2, "how many processes to kill")
	seed  = flag.Uint64("seed", 0, "of the edits and kills; 0 takes one from the clock and prints it")
)

const document = `
service: stock
direction: bi-directional
systems:
  - {id: left, type: postgresql, connection: left, objects: [stock], primary: true}
  - {id: right, type: %s, connection: right, objects: [stock]}
syncConfig:
  frequency: realtime
  conflictResolution: lastWriteWins
  # Over minutes the editors delete each record many times, which would wait for a person.
  safetyThreshold: {maxDeletes: 1000000}
`

// side is one system: the table as people edit it, and a log of what Syncline wrote to it, kept by triggers that know
// Syncline by its database user.
type side struct {
	t     *testing.T
	db    *sql.DB
	mysql bool
}

const syncUser = "syncline_sync"

func newPostgresSide(t *testing.T) (*side, map[string]string) {
	t.Helper()
	address := testdb.Postgres(t)
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{t: t, db: stdlib.OpenDB(*config)}
	t.Cleanup(func() { _ = s.db.Close() })
	user := syncUser + "_" + config.Database // roles belong to the whole server
	s.exec(`CREATE ROLE "` + user + `" LOGIN PASSWORD 'sync'`)
	t.Cleanup(func() {
		_, _ = s.db.Exec(`DROP OWNED BY "` + user + `" CASCADE`)
		_, _ = s.db.Exec(`DROP ROLE "` + user + `"`)
	})
	s.exec(`CREATE TABLE stock (sku text PRIMARY KEY, name text, quantity integer, price numeric(10,2))`)
	s.exec(`CREATE TABLE written (op text NOT NULL)`)
	s.exec(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  IF session_user = '` + user + `' THEN INSERT INTO written VALUES (TG_OP); END IF; RETURN NULL; END $$`)
	s.exec(`CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION note()`)
	s.exec(`GRANT ALL ON ALL TABLES IN SCHEMA public TO "` + user + `"`)
	s.exec(`ALTER TABLE stock OWNER TO "` + user + `"`)
	s.exec(`GRANT CREATE ON DATABASE "` + config.Database + `" TO "` + user + `"`)
	out := settings(address)
	out["user"], out["password"] = user, "sync"
	return s, out
}

func newMySQLSide(t *testing.T) (*side, map[string]string) {
	t.Helper()
	address := testdb.MySQL(t)
	out := settings(address)
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.DBName = out["user"], out["password"], "tcp", out["host"]+":"+out["port"], out["database"]
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{t: t, db: sql.OpenDB(connector), mysql: true}
	t.Cleanup(func() { _ = s.db.Close() })
	user := "sync_" + out["database"]
	user = user[max(0, len(user)-30):]
	s.exec("CREATE USER '" + user + "'@'%' IDENTIFIED BY 'sync'")
	t.Cleanup(func() { _, _ = s.db.Exec("DROP USER '" + user + "'@'%'") })
	s.exec("GRANT ALL ON `" + out["database"] + "`.* TO '" + user + "'@'%'")
	s.exec("GRANT REPLICATION SLAVE, REPLICATION CLIENT, PROCESS ON *.* TO '" + user + "'@'%'")
	s.exec(`CREATE TABLE stock (sku varchar(40) PRIMARY KEY, name varchar(200), quantity integer, price decimal(10,2)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
	s.exec(`CREATE TABLE written (op varchar(10) NOT NULL)`)
	for _, op := range []string{"INSERT", "UPDATE", "DELETE"} {
		s.exec(`CREATE TRIGGER note_` + strings.ToLower(op) + ` AFTER ` + op + ` ON stock FOR EACH ROW BEGIN
  IF USER() LIKE '` + user + `@%' THEN INSERT INTO written VALUES ('` + op + `'); END IF; END`)
	}
	out["user"], out["password"] = user, "sync"
	return s, out
}

func (s *side) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(query, args...); err != nil {
		s.t.Fatalf("%v\n%s", err, query)
	}
}

func (s *side) number(query string) (n int64) {
	s.t.Helper()
	if err := s.db.QueryRow(query).Scan(&n); err != nil {
		s.t.Fatalf("%v\n%s", err, query)
	}
	return n
}

// rows returns the whole table as text, by key.
func (s *side) rows() map[string]string {
	s.t.Helper()
	rows, err := s.db.Query(`SELECT sku, coalesce(name, '-'), coalesce(quantity, -1), coalesce(price, -1) FROM stock`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	out := make(map[string]string)
	for rows.Next() {
		var sku, name, price string
		var quantity int64
		if err := rows.Scan(&sku, &name, &quantity, &price); err != nil {
			s.t.Fatal(err)
		}
		out[sku] = fmt.Sprintf("%s|%d|%s", name, quantity, price)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// edit makes one random edit of a product in [from, to), as a person would.
func (s *side) edit(r *rand.Rand, label string, from, to int) error {
	n := from + r.IntN(to-from)
	sku := fmt.Sprintf("P%03d", n)
	at := func(q string) string {
		if s.mysql {
			return q
		}
		for i := 1; strings.Contains(q, "?"); i++ {
			q = strings.Replace(q, "?", fmt.Sprintf("$%d", i), 1)
		}
		return q
	}
	var err error
	switch r.IntN(10) {
	case 0:
		_, err = s.db.Exec(at(`DELETE FROM stock WHERE sku = ?`), sku)
	case 1, 2:
		q := `INSERT INTO stock (sku, name, quantity, price) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
		if s.mysql {
			q = `INSERT IGNORE INTO stock (sku, name, quantity, price) VALUES (?, ?, ?, ?)`
		}
		_, err = s.db.Exec(at(q), sku, label+" new "+sku, r.IntN(1000), fmt.Sprintf("%d.%02d", r.IntN(500), r.IntN(100)))
	case 3, 4:
		_, err = s.db.Exec(at(`UPDATE stock SET name = ? WHERE sku = ?`), fmt.Sprintf("%s %d", label, r.IntN(1_000_000)), sku)
	default:
		_, err = s.db.Exec(at(`UPDATE stock SET quantity = ?, price = ? WHERE sku = ?`), r.IntN(100_000), fmt.Sprintf("%d.%02d", r.IntN(500), r.IntN(100)), sku)
	}
	return err
}

func TestKillsPostgresToPostgres(t *testing.T) {
	left, leftSettings := newPostgresSide(t)
	right, rightSettings := newPostgresSide(t)
	killAndCompare(t, left, right, "postgresql", leftSettings, rightSettings, false)
}

// TestKillsOnSameRows lets people edit the same products on both sides. The systems must agree in the end, and what is metered is what
// was written, also where somebody edited a row between the commit of a delivery that was cut off and Syncline's return.
func TestKillsOnSameRows(t *testing.T) {
	left, leftSettings := newPostgresSide(t)
	right, rightSettings := newMySQLSide(t)
	killAndCompare(t, left, right, "mysql", leftSettings, rightSettings, true)
}

func TestKillsPostgresToMariaDB(t *testing.T) {
	left, leftSettings := newPostgresSide(t)
	right, rightSettings := newMySQLSide(t)
	killAndCompare(t, left, right, "mysql", leftSettings, rightSettings, false)
}

func killAndCompare(t *testing.T, left, right *side, rightType string, leftSettings, rightSettings map[string]string, sameRows bool) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d kills", *seed, *kills)
	r := rand.New(rand.NewPCG(*seed, 1))
	for i := range 100 {
		left.exec(fmt.Sprintf(`INSERT INTO stock VALUES ('P%03d', 'Product %d', %d, 9.90)`, i, i, r.IntN(100)))
	}
	in := install(t)
	in.call("POST", "/v1/connections", map[string]any{"name": "left", "connector": "postgresql", "settings": leftSettings}, nil)
	in.call("POST", "/v1/connections", map[string]any{"name": "right", "connector": rightType, "settings": rightSettings}, nil)
	in.call("PUT", "/v1/services/stock", fmt.Sprintf(document, rightType), nil)
	waitFor(t, "the first sync", time.Minute, func() bool { return len(right.rows()) == 100 })

	ctx, stop := context.WithCancel(context.Background())
	var editors sync.WaitGroup
	var edits atomic.Int64
	for i, s := range []*side{left, right} {
		editors.Add(1)
		go func() {
			defer editors.Done()
			r := rand.New(rand.NewPCG(*seed, uint64(10+i)))
			for ctx.Err() == nil {
				from, to := 100*i, 100*i+100
				if sameRows {
					from, to = 0, 200
				}
				if s.edit(r, []string{"L", "R"}[i], from, to) == nil { // a deadlock with Syncline's own write is an edit that was not made
					edits.Add(1)
				}
				time.Sleep(time.Duration(2+r.IntN(15)) * time.Millisecond)
			}
		}()
	}
	killed := map[string]int{}
	for range *kills {
		seen := written(left, right)
		// Something must have been got done since the last kill, or nobody could finish anything; then any moment will do.
		waitFor(t, "Syncline to go on after a kill", 60*time.Second, func() bool { return written(left, right) > seen })
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		switch victim := r.IntN(10); {
		case victim < 6:
			// The worker that carries the service is one of the two; killing both makes sure that it dies in the act.
			both := r.IntN(2) == 0
			for i, w := range in.workers {
				if both || i == victim%2 {
					w.kill()
					w.start()
					killed[w.name]++
				}
			}
		case victim < 7:
			in.server.kill()
			in.server.start()
			killed["server"]++
		default:
			in.postgres.Kill()
			if err := in.postgres.Restart(context.Background()); err != nil {
				t.Fatalf("restarting PostgreSQL: %v", err)
			}
			killed["PostgreSQL"]++
		}
	}
	stop()
	editors.Wait()
	t.Logf("killed %v; %d edits", killed, edits.Load())
	var a, b map[string]string
	equal := func() bool {
		a, b = left.rows(), right.rows()
		if len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if b[k] != v {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(90 * time.Second)
	for !equal() || in.owed() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("the systems are not equal:\n%s%s", difference(a, b), in.state())
		}
		time.Sleep(50 * time.Millisecond)
	}
	really := written(left, right)
	metered := in.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'sync_operations'`)
	journal := in.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`)
	t.Logf("%d rows on each side; %d rows really written, %d metered, %d in the journal; %d conflicts settled", len(a), really, metered, journal, in.number(`SELECT count(*) FROM conflicts`))
	if really != metered || really != journal {
		t.Errorf("%d rows were really written, %d were metered, %d are in the journal", really, metered, journal)
	}
	if n := in.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`); n != 0 {
		t.Errorf("%d dead letters:\n%s", n, in.state())
	}
}

func written(sides ...*side) (n int64) {
	for _, s := range sides {
		n += s.number(`SELECT count(*) FROM written`)
	}
	return n
}

func difference(a, b map[string]string) string {
	out := ""
	for k, v := range a {
		if b[k] != v {
			out += fmt.Sprintf("%s: left %s, right %s\n", k, v, b[k])
		}
	}
	for k, v := range b {
		if _, ok := a[k]; !ok {
			out += fmt.Sprintf("%s: only right: %s\n", k, v)
		}
	}
	return out
}

func (in *installation) owed() int64 {
	return in.number(`SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM attempts)`)
}

func (in *installation) number(query string) (n int64) {
	in.t.Helper()
	conn, err := pgx.Connect(context.Background(), in.postgres.URL())
	if err != nil {
		in.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), query).Scan(&n); err != nil {
		in.t.Fatalf("%v\n%s", err, query)
	}
	return n
}

// state says what the control plane knows, for a failure's message.
func (in *installation) state() string {
	conn, err := pgx.Connect(context.Background(), in.postgres.URL())
	if err != nil {
		return err.Error()
	}
	defer conn.Close(context.Background())
	out := ""
	for _, q := range []string{
		`SELECT 'service ' || name || ' ' || state || ' ' || reason FROM services`,
		`SELECT 'cursor ' || system || ' ' || phase || ' ' || error_code || ' ' || error FROM cursors`,
		`SELECT 'delivery ' || system || ' due ' || due_at || ' tries ' || tries FROM deliveries LIMIT 10`,
		`SELECT 'attempt ' || system || ' ' || cardinality(entity_ids) || ' lost ' || lost FROM attempts`,
		`SELECT 'dead letter ' || direction || ' ' || system || ' ' || key || ' ' || code || ' ' || message FROM dead_letters LIMIT 10`,
		`SELECT 'conflict ' || field || ' ' || sides::text || ' ' || reason FROM conflicts WHERE state = 'open' LIMIT 10`,
		`SELECT 'link ' || system || ' ' || key || ' ' || state || ' ' || behind::text FROM links WHERE behind IS NOT NULL LIMIT 10`,
	} {
		rows, err := conn.Query(context.Background(), q)
		if err != nil {
			return out + err.Error()
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			return out + err.Error()
		}
		for _, l := range lines {
			if l != nil {
				out += *l + "\n"
			}
		}
	}
	return out
}
