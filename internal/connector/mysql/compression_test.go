// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"strings"
	"testing"
)

// Compressed or not, the same rows are read and written; the server says whether it is.
func TestCompression(t *testing.T) {
	t.Parallel()
	for setting, status := range map[string]string{"": "OFF", "false": "OFF", "true": "ON"} {
		t.Run("compression "+setting, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, orders, fill(500))
			d.settings["compression"] = setting
			s := d.open()
			for name, p := range map[string]*pool{"reading": s.reads, "writing": s.writes} {
				var variable, is string
				if err := p.QueryRowContext(t.Context(), `SHOW SESSION STATUS LIKE 'Compression'`).Scan(&variable, &is); err != nil || is != status {
					t.Errorf("%s is compressed: %s, %v", name, is, err)
				}
			}
			r := d.replica(s, "orders", 100)
			r.drain()
			d.exec("UPDATE orders SET total = total + 1", "UPDATE orders SET customer = '"+strings.Repeat("same ", 10)+"' WHERE id < 400")
			r.drain()
			r.equal()
		})
	}
}
