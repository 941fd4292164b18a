// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// Texts that differ may be one key to the database: with the usual collations 'abc' and 'ABC' are, and 'é' and 'e', and
// 'a' with spaces behind. Only the server knows its collations, so it is asked which row a key means.

// folds says whether a key of the table can have several spellings.
func (t *table) folds() bool {
	for _, c := range t.key {
		if c.collation != "" && !strings.HasSuffix(c.collation, "_nopad_bin") && c.collation != "utf8mb4_0900_bin" {
			return true // also with other binary collations: spaces at the end do not count
		}
	}
	return false
}

// matchSpellings calls each for the keys not answered yet that name one of the rows in another spelling.
func (t *table) matchSpellings(ctx context.Context, conn *sql.Conn, rows []row, keys []record.Key, answered map[record.Key]bool, each func(record.Key, row)) error {
	byKey := make(map[record.Key]row, len(rows))
	for _, r := range rows {
		byKey[r.key] = r
	}
	var asked []record.Key
	for _, k := range keys {
		if !answered[k] && !slices.Contains(asked, k) {
			asked = append(asked, k)
		}
	}
	const perStatement = 100
	for chunk := range slices.Chunk(asked, perStatement) {
		var statement []byte
		for i, k := range chunk {
			literals, _, err := t.keyLiterals(k)
			if err != nil {
				continue
			}
			fits := ""
			parts := t.texts(k)
			for i, c := range t.key {
				if condition := c.fits(text(parts[i])); condition != "" {
					fits += " AND " + condition
				}
			}
			if len(statement) > 0 {
				statement = append(statement, " UNION ALL "...)
			}
			statement = fmt.Appendf(statement, "SELECT %s,%d FROM %s WHERE %s%s", selectList(t.key, ""), i, t.locked(), t.keyIn([][]string{literals}), fits)
		}
		if len(statement) == 0 {
			continue
		}
		r := t.reader(t.key)
		err := query(ctx, conn, string(statement), func(values []driver.Value) error {
			one, err := r.row(values)
			if err != nil {
				return err
			}
			i, _ := strconv.Atoi(word(values[len(t.key)]))
			if found, ok := byKey[one.key]; ok {
				each(chunk[i], found)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sortedNames(f record.Fields) []string {
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
