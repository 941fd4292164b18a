// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"
)

// A write to PostgreSQL is cut off between its commit and its answer, and before anybody looks, a person overwrites or deletes the same
// row: nothing in the row tells any more that it was written. It is in the journal and metered all the same.
func TestInterruptedWriteUnderAnEdit(t *testing.T) {
	p := newPGBench(t)
	for _, s := range []string{"warehouse", "shop"} {
		p.do(s, `CREATE TABLE written (op text NOT NULL)`)
		p.do(s, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF current_setting('application_name') LIKE 'syncline%' THEN INSERT INTO written VALUES (TG_OP); END IF; RETURN NULL; END $$`)
		p.do(s, `CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON products FOR EACH ROW EXECUTE FUNCTION note()`)
	}
	p.do("warehouse", `INSERT INTO products SELECT 'SKU-' || i, 'Product ' || i, 0, 1 FROM generate_series(1, 5) i`)
	same := func() bool {
		var left, right string
		const all = `SELECT coalesce(string_agg(sku || ' ' || quantity, ', ' ORDER BY sku), '') FROM products`
		p.scan("warehouse", all, &left)
		p.scan("shop", all, &right)
		return left == right && p.settledDown()
	}
	p.start()
	p.eventually("the first sync", func() bool { return p.count("shop") == 5 && same() })
	p.halt()
	for n, edit := range []string{
		`UPDATE products SET quantity = 777, updated_at = now() WHERE sku = 'SKU-1'`,
		`DELETE FROM products WHERE sku = 'SKU-2'`,
		`UPDATE products SET quantity = 0, updated_at = now() WHERE sku = 'SKU-3'`, // as it was before
	} {
		crash := newCrash("after write")
		p.engine.Seam = crash.at
		crash.arm(1)
		p.do("warehouse", `UPDATE products SET quantity = 10 + $1, updated_at = now() WHERE sku = 'SKU-' || $1::int`, n+1)
		p.startCrashing()
		p.eventually("the crash", crash.happened)
		p.crash()
		p.do("shop", edit)
		p.start()
		p.eventually("both sides to be equal", same)
		p.halt()
	}
	var written, there int64
	p.scan("warehouse", `SELECT count(*) FROM written`, &written)
	p.scan("shop", `SELECT count(*) FROM written`, &there)
	written += there
	metered := p.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'sync_operations'`)
	journal := p.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`)
	if written != metered || written != journal {
		t.Errorf("%d rows were written, %d were metered, %d are in the journal", written, metered, journal)
	}
}
