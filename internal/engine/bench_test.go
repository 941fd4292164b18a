// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

const twoPostgres = `
service: stock
direction: bi-directional
systems:
  - {id: warehouse, type: postgresql, objects: [products], primary: true}
  - {id: shop, type: postgresql, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution: lastWriteWins
`

// pgBench is a service between two PostgreSQL databases, everything switched on: both directions, conflict detection,
// journal, metering, row-level security.
type pgBench struct {
	*bench
	conns map[string]*pgx.Conn
	urls  map[string]string

	detection string // the connector's own choice when empty
}

func newPGBench(t testing.TB) *pgBench {
	b := &bench{t: t, url: storetest.URL(t), fence: 1}
	p := &pgBench{bench: b, conns: map[string]*pgx.Conn{}, urls: map[string]string{}}
	b.db = storetest.Open(t, b.url, nil)
	b.tenant = storetest.Tenant(t, b.db)
	ctx := context.Background()
	connect := func(u string) *pgx.Conn {
		c, err := pgx.Connect(ctx, u)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(ctx) })
		return c
	}
	b.owner = connect(b.url)
	for _, s := range []string{"warehouse", "shop"} {
		p.urls[s] = testdb.Postgres(t)
		p.conns[s] = connect(p.urls[s])
		if _, err := p.conns[s].Exec(ctx, `CREATE TABLE products (sku text PRIMARY KEY, name text, quantity integer, price numeric(10,2), updated_at timestamptz DEFAULT now())`); err != nil {
			t.Fatal(err)
		}
	}
	b.service = service.ID(uuid.Must(uuid.NewV7()))
	b.apply(twoPostgres, 1)
	b.engine = engine.New(store.InTx(b.db, func(tx *store.Tx) engine.Tx { return tx }), p, slog.New(slog.DiscardHandler))
	return p
}

// OpenSystem makes pgBench the engine's Opener.
func (p *pgBench) OpenSystem(ctx context.Context, _ tenant.ID, _ service.ID, _ *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	u, err := url.Parse(p.urls[system])
	if err != nil {
		return nil, connector.Spec{}, err
	}
	password, _ := u.User.Password()
	c := postgres.New()
	settings, err := c.Spec().Check(connector.Settings{"host": u.Hostname(), "port": u.Port(), "database": u.Path[1:], "user": u.User.Username(), "password": password, "sslmode": "disable"})
	if err != nil {
		return nil, connector.Spec{}, err
	}
	var d net.Dialer
	s, err := c.Open(ctx, settings, connector.Env{Consumer: consumer, Dial: d.DialContext, Detection: p.detection})
	return s, c.Spec(), err
}

func (p *pgBench) count(system string) (n int64) {
	if err := p.conns[system].QueryRow(context.Background(), `SELECT count(*) FROM products`).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *pgBench) scan(system, sql string, to any) {
	if err := p.conns[system].QueryRow(context.Background(), sql).Scan(to); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pgBench) do(system, sql string, args ...any) {
	if _, err := p.conns[system].Exec(context.Background(), sql, args...); err != nil {
		p.t.Fatal(err)
	}
}

// BenchmarkFirstSync measures the first sync of a table into an empty side: rows per second from the start of the flow to
// the last row.
func BenchmarkFirstSync(b *testing.B) {
	const rows = 100_000
	for range b.N {
		p := newPGBench(b)
		p.do("warehouse", fmt.Sprintf(`INSERT INTO products SELECT 'SKU-' || i, 'Product ' || i, i %% 1000, (i %% 10000) / 100.0 FROM generate_series(1, %d) i`, rows))
		began := time.Now()
		p.start()
		for p.count("shop") < rows {
			if time.Since(began) > 5*time.Minute {
				b.Fatal("the first sync does not end")
			}
			time.Sleep(20 * time.Millisecond)
		}
		b.ReportMetric(rows/time.Since(began).Seconds(), "rows/s")
		p.halt()
	}
}

// BenchmarkLatency measures from the commit of an update in one database until it can be seen in the other, at rest.
func BenchmarkLatency(b *testing.B) {
	p := newPGBench(b)
	p.do("warehouse", `INSERT INTO products SELECT 'SKU-' || i, 'Product ' || i, 0, 1 FROM generate_series(1, 1000) i`)
	p.start()
	for p.count("shop") < 1000 {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond) // at rest
	var seen []time.Duration
	for n := range 500 {
		sku := fmt.Sprintf("SKU-%d", 1+n%1000)
		p.do("warehouse", `UPDATE products SET quantity = $1 WHERE sku = $2`, n+1, sku)
		began := time.Now()
		for q := -1; q != n+1; {
			if err := p.conns["shop"].QueryRow(context.Background(), `SELECT quantity FROM products WHERE sku = $1`, sku).Scan(&q); err != nil {
				b.Fatal(err)
			}
		}
		seen = append(seen, time.Since(began))
	}
	slices.Sort(seen)
	b.ReportMetric(float64(seen[len(seen)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(seen[len(seen)*95/100].Microseconds())/1000, "p95-ms")
	b.ReportMetric(float64(seen[len(seen)*99/100].Microseconds())/1000, "p99-ms")
}
