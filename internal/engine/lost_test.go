// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

const oneWayToPG = `
service: stock
direction: unidirectional
systems:
  - {id: warehouse, type: mysql, objects: [products], primary: true}
  - {id: shop, type: postgresql, objects: [products]}
syncConfig:
  frequency: realtime
  proof: {enabled: false}
`

// A record that is lost in a system which is only written to takes nothing with it. It is made again when it next changes, at once where a
// comparison finds it, and its history, the proof and the bill say so.
func TestLostInAWriteOnlySystem(t *testing.T) {
	m := newMixedBench(t, oneWayToPG, `CREATE TABLE products (sku text PRIMARY KEY, name text, quantity integer)`, `CREATE TABLE products (sku varchar(20) PRIMARY KEY, name varchar(100), quantity integer)`)
	proofs := m.proving()
	for i := range 30 {
		m.inMy(fmt.Sprintf(`INSERT INTO products VALUES ('A%02d', 'Product %d', %d)`, i, i, i))
	}
	m.start()
	there := func(n int) func() bool {
		return func() bool {
			return m.fromPG(`SELECT count(*)::text FROM products`) == fmt.Sprint(n) && m.settledDown()
		}
	}
	m.eventually("the first sync", there(30))
	operations := func() int64 {
		return m.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'sync_operations'`)
	}
	before := operations()

	m.inPG(`DELETE FROM products WHERE sku IN ('A01', 'A02')`)
	m.inMy(`UPDATE products SET quantity = 100 WHERE sku = 'A01'`)
	m.eventually("the changed one to be made again, whole", func() bool {
		return m.fromPG(`SELECT name || ' ' || quantity FROM products WHERE sku = 'A01'`) == "Product 1 100" && m.settledDown()
	})
	if n := operations() - before; n != 1 {
		t.Errorf("%d operations are metered, the record was made once", n)
	}
	told := func(sku string) (out []string) {
		rows, err := m.owner.Query(t.Context(), `SELECT op || ' in ' || system FROM journal j WHERE entity_id = (SELECT entity_id FROM links WHERE key = $1 AND system = 'warehouse') ORDER BY j.at, j.id`, sku)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			out = append(out, line)
		}
		return out
	}
	expect(t, "the history of the changed one", told("A01"), "[create in warehouse create in shop update in warehouse unlink in shop create in shop]")
	expect(t, "the other one is not looked for", m.fromPG(`SELECT count(*)::text FROM products WHERE sku = 'A02'`), "0")

	// Nothing changes the other one. Whoever compares finds it.
	r := m.prove(proofs)
	expect(t, "lost without a word", []int64{r.Drift, r.Healed}, []int64{1, 1})
	expect(t, "what is said", m.differences(proofs), []string{"shop A02 drift [] true"})
	m.eventually("it to be made again", there(30))
	expect(t, "its history", told("A02"), "[create in warehouse create in shop unlink in shop create in shop]")

	// All of them: what a system loses that nobody reads is no deletion, so there is nothing for the brake to hold.
	m.inPG(`DELETE FROM products`)
	r = m.prove(proofs)
	expect(t, "all lost", []int64{r.Drift, r.Healed, r.Equal, r.Total}, []int64{30, 30, 0, 30})
	m.eventually("all to be made again", there(30))
	expect(t, "nothing was deleted where they come from", m.fromMy(`SELECT count(*) FROM products`), "30")
	expect(t, "held and dead", m.number(`SELECT count(*) FROM holds`)+m.number(`SELECT count(*) FROM dead_letters`), 0)
	if n := operations() - before; n != 32 {
		t.Errorf("%d operations are metered, 32 records were made again", n)
	}
	r = m.prove(proofs)
	expect(t, "all equal again", []int64{r.Equal, r.Total, r.Drift}, []int64{30, 30, 0})
	m.inMy(`UPDATE products SET name = 'Other' WHERE sku = 'A07'`)
	m.eventually("an edit of one that was lost and made again", func() bool {
		return m.fromPG(`SELECT name FROM products WHERE sku = 'A07'`) == "Other" && m.settledDown()
	})
	if n := m.number(`SELECT count(*) FROM journal WHERE op = $1`, string(record.Deleted)); n != 0 {
		t.Errorf("the history tells of %d deletions", n)
	}
}
