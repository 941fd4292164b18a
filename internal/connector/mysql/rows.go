// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// keysPerStatement bounds the keys of one look-up: MariaDB turns longer IN lists into joins, and MySQL gives up on
// ranges when their description needs too much memory.
const keysPerStatement = 900

// row is one row as read: its key and its fields in canonical form.
type row struct {
	key    record.Key
	fields record.Fields
}

// reader turns rows of a SELECT of columns into rows; the key columns come first, as pick returns them.
type reader struct {
	t       *table
	columns []*column
	buffer  []record.Value
}

func (t *table) reader(columns []*column) *reader {
	return &reader{t: t, columns: columns, buffer: make([]record.Value, len(t.key))}
}

func (r *reader) row(values []driver.Value) (row, error) {
	out := row{fields: make(record.Fields, len(r.columns))}
	n := len(r.t.key)
	for i, c := range r.columns {
		v, err := c.decode(values[i])
		if err != nil {
			return out, fmt.Errorf("column %s: %w", c.name, err)
		}
		out.fields[c.name] = v
		if i < n {
			r.buffer[i] = v
		}
	}
	out.key = record.MakeKey(r.buffer...)
	return out, nil
}

// selectList is the columns as they stand in a SELECT.
func selectList(columns []*column, alias string) string {
	return list(columns, func(c *column) string { return c.selected(alias) })
}

// keyLiterals are the literals of a key's parts and the key in the spelling the database would give it.
func (t *table) keyLiterals(k record.Key) ([]string, record.Key, error) {
	parts, err := k.Parts(len(t.key))
	if err != nil {
		return nil, "", fmt.Errorf("key %s: %w", shorten(string(k)), err)
	}
	literals, values := make([]string, len(parts)), make([]record.Value, len(parts))
	for i, c := range t.key {
		if literals[i], values[i], err = c.keyLiteral(parts[i]); err != nil {
			return nil, "", err
		}
	}
	return literals, record.MakeKey(values...), nil
}

// keyIn is the condition that the key is one of those; each has one literal per key column.
func (t *table) keyIn(keys [][]string) string {
	var b strings.Builder
	if len(t.key) == 1 {
		b.WriteString(quote(t.key[0].name))
	} else {
		b.WriteString("(" + list(t.key, name) + ")")
	}
	b.WriteString(" IN (")
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if len(k) == 1 {
			b.WriteString(k[0])
		} else {
			b.WriteString("(" + strings.Join(k, ",") + ")")
		}
	}
	b.WriteString(")")
	return b.String()
}

// byKeys reads the rows with these keys, in chunks, with the statement's ending ("FOR UPDATE").
func (t *table) byKeys(ctx context.Context, conn *sql.Conn, columns []*column, keys [][]string, ending string, each func(row) error) error {
	r := t.reader(columns)
	for len(keys) > 0 {
		chunk := keys[:min(len(keys), keysPerStatement)]
		keys = keys[len(chunk):]
		statement := "SELECT " + selectList(columns, "") + " FROM " + t.locked() + " WHERE " + t.keyIn(chunk) + ending
		err := query(ctx, conn, statement, func(values []driver.Value) error {
			one, err := r.row(values)
			if err != nil {
				return err
			}
			return each(one)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// afterKey is the condition that a row comes after these key parts in key order.
func (t *table) afterKey(after []string, alias string) (string, error) {
	literals := make([]string, len(after))
	for i, p := range after {
		l, err := t.key[i].orderLiteral(p)
		if err != nil {
			return "", lost("mysql.key_changed", "The key of %s no longer holds values like those read before; the table is read anew.", t.name)
		}
		literals[i] = l
	}
	// a > 1 OR (a = 1 AND b > 2), with a bound that an index can use in front.
	var ors []string
	for i := range literals {
		var ands []string
		for j := range i {
			ands = append(ands, t.key[j].ordered(alias)+" = "+literals[j])
		}
		ands = append(ands, t.key[i].ordered(alias)+" > "+literals[i])
		ors = append(ors, "("+strings.Join(ands, " AND ")+")")
	}
	condition := strings.Join(ors, " OR ")
	if len(literals) > 1 {
		condition = t.key[0].ordered(alias) + " >= " + literals[0] + " AND (" + condition + ")"
	}
	return condition, nil
}

// keyOrder is the ORDER BY of key order.
func (t *table) keyOrder(alias string) string {
	return list(t.key, func(c *column) string { return c.ordered(alias) })
}

// texts are the key's parts as a cursor keeps them.
func (t *table) texts(k record.Key) []string {
	parts, err := k.Parts(len(t.key))
	if err != nil {
		panic("mysql: " + err.Error()) // the key was made of that many parts
	}
	return parts
}
