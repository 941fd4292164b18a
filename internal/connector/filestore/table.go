// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// table is a file's content as records.
type table struct {
	id      string // of the content and of what decides how it is read
	version string // of the file; "" when it does not exist yet
	format  string
	columns []*column
	key     []string
	open    bool   // the file names no fields yet, so any may be written
	rows    []*row // in the file's order
	byKey   map[record.Key]*row
	sorted  []*row // in the order of keys
	codec   codec
}

// row is one record. Its raw is the format's own form of it, which keeps what fields do not say; nil for a new one.
type row struct {
	key     record.Key
	fields  record.Fields
	raw     any
	changed bool   // fields are not what raw says
	where   string // for a person: "line 12"
	digest  digest
}

// codec writes a table in one format. It was made by reading the file and knows how it is laid out.
type codec interface {
	encode(t *table) ([]byte, error)
}

// layout is what a format's reader finds.
type layout struct {
	columns []*column // names in order; Type is what the format says, "" for text of unknown type
	rows    []*row    // fields hold texts or values, before types are applied
	codec   codec
	texts   bool // the format holds nothing but text
	cells   bool // the format holds single values, so that others stand there as JSON
}

// column returns the field's column.
func (t *table) column(name string) *column {
	for _, c := range t.columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (t *table) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// faulty is an error about the content of a file. The file may be in the middle of being written by somebody, or will be
// mended by somebody, so it is tried again.
func faulty(code, format string, args ...any) error {
	return &connector.Error{Class: connector.Retry, Code: code, Message: fmt.Sprintf(format, args...)}
}

// typed applies types to what a format's reader found, and finds the key.
func typed(object record.Object, l layout, s *schema, key []string) (*table, error) {
	t := &table{columns: l.columns, rows: l.rows, codec: l.codec}
	t.declare(l, s)
	if err := t.convert(object, l); err != nil {
		return nil, err
	}
	if err := t.findKey(object, s, key); err != nil {
		return nil, err
	}
	t.open = len(t.columns) == 0
	return t, t.index(object)
}

// declare completes the columns by the schema, or by what the values look like.
func (t *table) declare(l layout, s *schema) {
	for _, d := range s.declared() {
		c := t.column(d.Name)
		if c == nil {
			c = &column{FieldInfo: connector.FieldInfo{Name: d.Name, Nullable: true, Scale: -1}}
			t.columns = append(t.columns, c)
		}
		if c.ReadOnly || c.Native == nestedElements { // what is nested or computed is what it is
			continue
		}
		c.Type, c.Native, c.unique = d.typ, d.native, d.unique
		c.Nullable, c.MaxLength, c.Enum = d.nullable, d.maxLength, d.enum
	}
	for _, c := range t.columns {
		switch {
		case c.Type != "":
		case l.texts:
			c.Type, c.Native, c.Nullable = connector.TypeText, "text", true
		default:
			values := make([]record.Value, 0, len(t.rows))
			for _, r := range t.rows {
				values = append(values, r.fields[c.Name])
			}
			c.Type, c.Nullable = infer(values), true
			c.Native = string(c.Type) + ", by its values"
		}
		if c.Type == connector.TypeNumber || c.Type == connector.TypeFloat {
			if c.Scale == 0 {
				c.Scale = -1
			}
		}
	}
}

func (t *table) convert(object record.Object, l layout) error {
	for _, r := range t.rows {
		for _, c := range t.columns {
			v, there := r.fields[c.Name]
			if !there || v == nil {
				r.fields[c.Name] = nil
				continue
			}
			if c.Native == nestedElements {
				continue
			}
			var err error
			if s, isText := v.(string); isText && (l.texts || l.cells && c.Type == connector.TypeJSON) {
				r.fields[c.Name], err = fromText(c.Type, s)
			} else {
				r.fields[c.Name], err = fromValue(c.Type, v)
			}
			if err != nil {
				return faulty("files.value_malformed", "In %s, %s, the field %s: %v. Mend the value, or declare another type in %s.", object, r.where, c.Name, err, schemaName(object))
			}
		}
	}
	return nil
}

// findKey takes the key from the connection's settings, the schema, or a field named id.
func (t *table) findKey(object record.Object, s *schema, key []string) error {
	if len(key) == 0 && s != nil {
		key = s.Key
	}
	if len(key) == 0 {
		for _, c := range t.columns {
			if strings.EqualFold(c.Name, "id") {
				key = []string{c.Name}
				break
			}
		}
	}
	if len(key) == 0 && len(t.columns) == 0 {
		key = []string{"id"}
	}
	if len(key) == 0 {
		return &connector.Error{Class: connector.Reject, Code: "files.no_key",
			Message: fmt.Sprintf("The records of %s cannot be told apart: it has no field named id. Name its key in the connection's setting key (%s=FIELD) or in %s.", object, object, schemaName(object))}
	}
	for _, k := range key {
		if t.column(k) == nil && len(t.columns) > 0 {
			return &connector.Error{Class: connector.Reject, Code: "files.key_unknown",
				Message: fmt.Sprintf("The key of %s is %s, which it does not have; it has %s.", object, k, t.names())}
		}
	}
	t.key = key
	return nil
}

// index finds the rows by key.
func (t *table) index(object record.Object) error {
	t.byKey = make(map[record.Key]*row, len(t.rows))
	for _, r := range t.rows {
		if missing := t.keyless(r.fields); missing != "" {
			return faulty("files.key_missing", "In %s, %s has no value in the key field %s. Fill it in or take the record out.", object, r.where, missing)
		}
		r.key = t.keyOf(r.fields)
		if other := t.byKey[r.key]; other != nil {
			return faulty("files.key_not_unique", "In %s, %s and %s have the same key %s. Take one out, or name other key fields.", object, other.where, r.where, shorten(string(r.key)))
		}
		t.byKey[r.key] = r
		r.sum() // here, because later several read the row at once
	}
	t.sort()
	return nil
}

func (t *table) sort() {
	t.sorted = slices.Clone(t.rows)
	sort.Slice(t.sorted, func(i, j int) bool { return t.sorted[i].key < t.sorted[j].key })
}

func (t *table) keyless(fields record.Fields) string {
	for _, k := range t.key {
		if fields[k] == nil {
			return k
		}
	}
	return ""
}

func (t *table) keyOf(fields record.Fields) record.Key {
	values := make([]record.Value, len(t.key))
	for i, k := range t.key {
		values[i] = fields[k]
	}
	return record.MakeKey(values...)
}

// change is the row as a reader gets it.
func (t *table) change(r *row, fields []string) record.Change {
	c := record.Change{Key: r.key, Op: record.Upsert}
	if len(fields) == 0 {
		c.Fields = r.fields.Clone()
		return c
	}
	c.Fields = make(record.Fields, len(fields)+len(t.key))
	for _, f := range t.key {
		c.Fields[f] = r.fields[f]
	}
	for _, f := range fields {
		if v, there := r.fields[f]; there {
			c.Fields[f] = v
		}
	}
	return c
}

// copied is a table to change: rows are new ones, so that readers of this one are not disturbed.
func (t *table) copied() *table {
	c := *t
	c.rows = slices.Clone(t.rows)
	c.byKey = make(map[record.Key]*row, len(t.byKey))
	for _, r := range t.rows {
		c.byKey[r.key] = r
	}
	c.columns = slices.Clone(t.columns)
	return &c
}
