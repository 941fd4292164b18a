// SPDX-License-Identifier: Apache-2.0

// Package demo is what a newcomer sees: a warehouse and a storefront, two real databases with the same few thousand
// products, and people who edit on both sides. It is the founding text's inventory example in small.
package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"time"

	_ "github.com/go-sql-driver/mysql" // the storefront
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the warehouse
)

// Names that the demo uses; the pages of the dashboard show them.
const (
	ServiceName = "inventory-sync"
	Warehouse   = "warehouse-db"
	Storefront  = "storefront"
	products    = 2400
	// conflictSKU is the product that both sides name differently, so that one conflict waits for the newcomer.
	conflictSKU = 41
)

// Databases are the demo's two systems.
type Databases struct {
	warehouse  *sql.DB
	storefront *sql.DB
	mysql      bool
	log        *slog.Logger
}

// Open connects to the warehouse (a PostgreSQL URL) and the storefront (a MariaDB DSN when mysql is set, else a PostgreSQL URL).
func Open(warehouse, storefront string, mysql bool, log *slog.Logger) (*Databases, error) {
	w, err := sql.Open("pgx", warehouse)
	if err != nil {
		return nil, err
	}
	driver := "pgx"
	if mysql {
		driver = "mysql"
	}
	s, err := sql.Open(driver, storefront)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	for _, db := range []*sql.DB{w, s} {
		db.SetMaxOpenConns(2)
		db.SetMaxIdleConns(1)
	}
	return &Databases{warehouse: w, storefront: s, mysql: mysql, log: log}, nil
}

// Close gives the connections back.
func (d *Databases) Close() error { return errors.Join(d.warehouse.Close(), d.storefront.Close()) }

// Seed makes the tables and their rows, unless they are there. The storefront begins with a tenth of the products; the
// first sync brings the rest.
func (d *Databases) Seed(ctx context.Context) error {
	const warehouseTable = `CREATE TABLE IF NOT EXISTS stock_levels (
  sku text PRIMARY KEY, name text NOT NULL, quantity integer NOT NULL, reserved integer NOT NULL DEFAULT 0,
  location text, price numeric(10,2), updated_at timestamptz NOT NULL DEFAULT now())`
	storefrontTable := `CREATE TABLE IF NOT EXISTS products (
  sku varchar(64) PRIMARY KEY, title varchar(200) NOT NULL, inventory_quantity integer NOT NULL, reserved_quantity integer NOT NULL DEFAULT 0,
  warehouse_location varchar(40), price numeric(10,2), updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)`
	if _, err := d.warehouse.ExecContext(ctx, warehouseTable); err != nil {
		return fmt.Errorf("making the warehouse: %w", err)
	}
	if _, err := d.storefront.ExecContext(ctx, storefrontTable); err != nil {
		return fmt.Errorf("making the storefront: %w", err)
	}
	list := catalogue(products)
	if err := fill(ctx, d.warehouse, "stock_levels (sku, name, quantity, reserved, location, price)", list, false); err != nil {
		return fmt.Errorf("filling the warehouse: %w", err)
	}
	if err := fill(ctx, d.storefront, "products (sku, title, inventory_quantity, reserved_quantity, warehouse_location, price)", list[:products/10], d.mysql); err != nil {
		return fmt.Errorf("filling the storefront: %w", err)
	}
	return nil
}

func fill(ctx context.Context, db *sql.DB, into string, list []product, mysql bool) error {
	table, _, _ := cutSpace(into)
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil || n > 0 {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for len(list) > 0 {
		page := list[:min(200, len(list))]
		list = list[len(page):]
		query, args := "INSERT INTO "+into+" VALUES ", []any{} //nolint:gosec // the table is one of our own; values go by placeholder
		for i, p := range page {
			if i > 0 {
				query += ", "
			}
			query += placeholders(mysql, len(args), 6)
			args = append(args, p.SKU, p.Name, p.Quantity, p.Reserved, p.Location, dollars(p.Cents))
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func cutSpace(s string) (before, after string, found bool) {
	for i := range s {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func placeholders(mysql bool, from, n int) string {
	s := "("
	for i := range n {
		if i > 0 {
			s += ", "
		}
		if mysql {
			s += "?"
		} else {
			s += fmt.Sprintf("$%d", from+i+1)
		}
	}
	return s + ")"
}

func dollars(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// Disagree edits the same product on both sides, as two people would who do not know of each other. The service must be
// paused meanwhile. The name is then a conflict for a person, the price one for the rule.
func (d *Databases) Disagree(ctx context.Context) error {
	p := catalogue(products)[conflictSKU]
	_, err := d.warehouse.ExecContext(ctx, "UPDATE stock_levels SET name = $1, price = $2, updated_at = now() WHERE sku = $3",
		p.Name+" (2nd edition)", dollars(p.Cents+500), p.SKU)
	if err != nil {
		return err
	}
	_, err = d.storefront.ExecContext(ctx, d.shopSQL("UPDATE products SET title = ?, price = ?, updated_at = CURRENT_TIMESTAMP WHERE sku = ?"),
		"New! "+p.Name, dollars(p.Cents-1000), p.SKU)
	return err
}

// shopSQL writes the storefront's placeholders as its driver wants them.
func (d *Databases) shopSQL(query string) string {
	if d.mysql {
		return query
	}
	out, n := "", 0
	for _, c := range query {
		if c == '?' {
			n++
			out += fmt.Sprintf("$%d", n)
			continue
		}
		out += string(c)
	}
	return out
}

// Edit lets people work on both sides until ctx ends: orders in the storefront, deliveries, price and shelf changes in the
// warehouse, now and then a product that comes or goes. About one edit every two seconds.
func (d *Databases) Edit(ctx context.Context) {
	list := catalogue(products)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for ctx.Err() == nil {
		wait := time.Duration(800+r.IntN(2400)) * time.Millisecond
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		p := list[r.IntN(len(list))]
		if p.SKU == list[conflictSKU].SKU {
			continue
		}
		if err := d.edit(ctx, r, p); err != nil && ctx.Err() == nil {
			d.log.Debug("a demo edit did not go through", "error", err)
		}
	}
}

func (d *Databases) edit(ctx context.Context, r *rand.Rand, p product) error {
	var err error
	switch n := r.IntN(100); {
	case n < 45: // an order in the storefront
		_, err = d.storefront.ExecContext(ctx, d.shopSQL("UPDATE products SET inventory_quantity = inventory_quantity - 1, reserved_quantity = reserved_quantity + 1, updated_at = CURRENT_TIMESTAMP WHERE sku = ? AND inventory_quantity > 0"), p.SKU)
	case n < 65: // goods arrive
		_, err = d.warehouse.ExecContext(ctx, "UPDATE stock_levels SET quantity = quantity + $1, updated_at = now() WHERE sku = $2", 5+r.IntN(60), p.SKU)
	case n < 80: // parcels leave
		_, err = d.warehouse.ExecContext(ctx, "UPDATE stock_levels SET reserved = 0, updated_at = now() WHERE sku = $1 AND reserved > 0", p.SKU)
	case n < 88: // another shelf
		_, err = d.warehouse.ExecContext(ctx, "UPDATE stock_levels SET location = $1, updated_at = now() WHERE sku = $2", fmt.Sprintf("%s%02d-%d", aisles[r.IntN(len(aisles))], 1+r.IntN(24), 1+r.IntN(5)), p.SKU)
	case n < 95: // another price
		_, err = d.storefront.ExecContext(ctx, d.shopSQL("UPDATE products SET price = ?, updated_at = CURRENT_TIMESTAMP WHERE sku = ?"), dollars(p.Cents+100*(r.IntN(9)-4)), p.SKU)
	case n < 98: // a new product
		sku := fmt.Sprintf("NEW-%06d", r.IntN(1_000_000))
		_, err = d.warehouse.ExecContext(ctx, "INSERT INTO stock_levels (sku, name, quantity, location, price) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING", sku, "Sample "+p.Name, 10+r.IntN(50), p.Location, dollars(p.Cents))
	default: // one of the new ones goes
		_, err = d.storefront.ExecContext(ctx, "DELETE FROM products WHERE sku = (SELECT sku FROM (SELECT sku FROM products WHERE sku LIKE 'NEW-%' ORDER BY updated_at LIMIT 1) AS oldest)")
	}
	return err
}

// Server says where one of the demo's databases is.
type Server struct {
	Type     string // the connector
	Host     string
	Port     string
	User     string
	Password string
	Database string
}

// ServerOf reads a PostgreSQL or mysql:// URL.
func ServerOf(typ, address string) (Server, error) {
	if typ == "postgresql" {
		c, err := pgx.ParseConfig(address)
		if err != nil {
			return Server{}, err
		}
		return Server{Type: typ, Host: c.Host, Port: fmt.Sprint(c.Port), User: c.User, Password: c.Password, Database: c.Database}, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return Server{}, err
	}
	s := Server{Type: typ, Host: u.Hostname(), Port: u.Port(), User: u.User.Username()}
	s.Password, _ = u.User.Password()
	if len(u.Path) > 1 {
		s.Database = u.Path[1:]
	}
	return s, nil
}

// Document is the demo's service document. Its connections are named; their passwords are sealed secrets.
const Document = `# The demo: one warehouse, one storefront, the same products in both.
# Change something here and look at the difference before you apply it.
apiVersion: syncline.dev/v1
service: inventory-sync
description: Keeps stock, prices and names equal in the warehouse and the storefront
direction: bi-directional

systems:
  - id: warehouse-db
    type: postgresql
    connection: warehouse
    objects: [stock_levels]
    primary: true
    weight: 100
  - id: storefront
    type: %s
    connection: storefront
    objects: [products]
    weight: 50

syncConfig:
  frequency: realtime
  batchSize: 500
  matchFields: [sku]
  conflictResolution:
    strategy: lastWriteWins
    fields:
      price: {strategy: warehouse-db-wins}   # the warehouse knows what things cost
      name: {strategy: manual}               # a person decides what things are called

fieldMapping:
  sku: sku
  name: title
  quantity: inventory_quantity
  reserved: reserved_quantity
  location: warehouse_location
  price: price
`
