// SPDX-License-Identifier: Apache-2.0

package engine_test

import "testing"

// Two systems of a service are two databases of one server, which knows the names of replication slots only once.
func TestTwoDatabasesOfOneServer(t *testing.T) {
	t.Parallel()
	p := newPGBench(t)
	p.detection = "cdc"
	p.do("warehouse", `INSERT INTO products (sku, name) VALUES ('A', 'Desk')`)
	p.do("shop", `INSERT INTO products (sku, name) VALUES ('B', 'Lamp')`)
	named := func(system, sku, name string) func() bool {
		return func() bool {
			found := false
			p.scan(system, `SELECT EXISTS (SELECT FROM products WHERE sku = '`+sku+`' AND name = '`+name+`')`, &found)
			return found
		}
	}
	p.start()
	p.eventually("each has the other's", func() bool { return p.count("warehouse") == 2 && p.count("shop") == 2 })
	for _, c := range []struct{ from, to, sku, name string }{{"warehouse", "shop", "A", "Oak desk"}, {"shop", "warehouse", "B", "Reading lamp"}, {"warehouse", "shop", "B", "Floor lamp"}, {"shop", "warehouse", "A", "Standing desk"}} {
		p.do(c.from, `UPDATE products SET name = $2 WHERE sku = $1`, c.sku, c.name)
		p.eventually(c.name+" comes from the "+c.from, named(c.to, c.sku, c.name))
	}
	for _, system := range []string{"warehouse", "shop"} {
		var slots int
		p.scan(system, `SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`, &slots)
		if slots != 1 {
			t.Errorf("the %s has %d slots", system, slots)
		}
	}
}
