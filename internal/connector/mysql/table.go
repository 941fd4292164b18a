// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// kind is how a column's values are read and written.
type kind uint8

const (
	kindText kind = iota
	kindInteger
	kindBoolean
	kindDecimal
	kindFloat // 4 bytes
	kindDouble
	kindChar // trailing spaces are not kept
	kindEnum
	kindSet
	kindJSON
	kindDate
	kindDateTime
	kindTimestamp
	kindTime
	kindYear
	kindBit
	kindBytes
	kindFixedBytes // BINARY(n): filled up with zero bytes
	kindUUID
	kindAddress // INET4, INET6
	kindOther   // read-only bytes: geometry, vectors
)

// column is one column of a table.
type column struct {
	name       string
	kind       kind
	info       connector.FieldInfo
	position   int    // from 0, as in the binary log
	native     string // the bare type: "int"
	unsigned   bool
	charset    string // of texts; "" for others
	collation  string
	labels     []string // of ENUM and SET, in their order
	length     int      // characters (texts), bytes (binary), bits (BIT)
	precision  int      // of decimals
	scale      int      // of decimals; digits of the fraction of a second
	octets     int      // the most bytes a text holds
	computed   bool     // GENERATED ALWAYS AS
	onUpdate   bool     // ON UPDATE CURRENT_TIMESTAMP
	increments bool     // AUTO_INCREMENT
}

// table is what is known of a table.
type table struct {
	object        record.Object
	schema, name  string
	columns       []*column
	key           []*column
	keyIndex      string // the name of the index that enforces the key
	rows          int64  // an estimate; -1 when unknown
	transactional bool
	engine        string
	triggers      bool
	mariadb       bool
	byName        map[string]*column
}

// column returns the column of that name; as in SQL, case does not matter when no name fits exactly.
func (t *table) column(name string) *column {
	if c, ok := t.byName[name]; ok {
		return c
	}
	for _, c := range t.columns {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// from is the table's full name.
func (t *table) from() string { return quote(t.schema) + "." + quote(t.name) }

// locked is the table's full name where rows are looked up by key, so that locks are taken on these rows alone.
func (t *table) locked() string { return t.from() + " FORCE INDEX (" + quote(t.keyIndex) + ")" }

// keyNames are the names of the key columns in order.
func (t *table) keyNames() []string {
	names := make([]string, len(t.key))
	for i, c := range t.key {
		names[i] = c.name
	}
	return names
}

func (t *table) isKey(c *column) bool {
	for _, k := range t.key {
		if k == c {
			return true
		}
	}
	return false
}

// pick returns the columns to read for the fields asked for: the key first, then the others in table order; none means all.
func (t *table) pick(fields []string) ([]*column, error) {
	out := append([]*column(nil), t.key...)
	if len(fields) == 0 {
		for _, c := range t.columns {
			if !t.isKey(c) {
				out = append(out, c)
			}
		}
		return out, nil
	}
	taken := make(map[*column]bool, len(fields)+len(out))
	for _, c := range out {
		taken[c] = true
	}
	for _, name := range fields {
		c := t.byName[name]
		if c == nil {
			return nil, &connector.Error{Class: connector.Drift, Code: "mysql.shape",
				Message: "The table " + t.name + " has no column " + name + " (any more). Look at what changed in the table and at the mapping."}
		}
		if !taken[c] {
			taken[c] = true
			out = append(out, c)
		}
	}
	return out, nil
}

// selected is the column as it stands in a SELECT.
func (c *column) selected(alias string) string {
	name := quote(c.name)
	if alias != "" {
		name = alias + "." + name
	}
	if c.kind == kindFloat {
		return "(" + name + " + 0e0)" // as text, a FLOAT shows 6 digits only; as DOUBLE it is exact
	}
	return name
}

// ordered is the column as it stands in an ORDER BY and in comparisons with keyLiteral: ENUMs sort by their number.
func (c *column) ordered(alias string) string {
	name := quote(c.name)
	if alias != "" {
		name = alias + "." + name
	}
	if c.kind == kindEnum {
		return "(" + name + " + 0)"
	}
	return name
}

func (t *table) describe() connector.ObjectInfo {
	info := connector.ObjectInfo{Name: t.object, Key: t.keyNames(), Rows: t.rows, Fields: make([]connector.FieldInfo, len(t.columns))}
	for i, c := range t.columns {
		info.Fields[i] = c.info
	}
	return info
}
