// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"maps"
	"testing"
)

// A reader that begins again from a cursor of some sweeps ago, as after a crash, is told once more what has gone since.
func TestSweepFromAnOlderCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(9))
	r := d.replica(d.open(detecting(bySweep)), "orders", 2)
	r.drain()
	cursor, rows := r.cursor, maps.Clone(r.rows)
	for _, id := range []string{"2", "7", "4"} {
		d.exec("DELETE FROM orders WHERE id = " + id)
		r.until()
	}
	r.cursor, r.rows = cursor, rows
	r.until()
	// And on from there: what goes now is seen as well, and what came back is there.
	d.exec("DELETE FROM orders WHERE id = 9", "INSERT INTO orders (id, note) VALUES (4, 'back')")
	r.until()
}
