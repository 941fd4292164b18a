// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// inputs makes the rows parameters for unnest: k1... for the key, f1... for what is set, e1... for what is expected.
func (b *batch) inputs(g *group, rows []row) (params []param, columns []string) {
	keys := len(b.t.key)
	if g.made {
		keys = 0
	}
	columns = append(columns, numbered("k", keys)...)
	columns = append(columns, numbered("f", len(g.set))...)
	columns = append(columns, numbered("e", len(g.expect))...)
	if len(columns) == 0 { // a create of nothing but defaults still has its rows
		columns = []string{"none"}
	}
	params = make([]param, len(columns))
	for i := range columns {
		var a textArray
		a.begin(len(rows))
		for n := range rows {
			switch {
			case i < keys:
				a.add(rows[n].keys[i])
			case i-keys < len(rows[n].cells):
				if cell := rows[n].cells[i-keys]; cell.null {
					a.addNull()
				} else {
					a.add(cell.text)
				}
			default:
				a.addNull()
			}
		}
		params[i] = a.param()
	}
	return params, columns
}

// statement writes rows of the group; results get those that it wrote.
func (b *batch) statement(g *group, rows []row, results *[]result) statement {
	params, columns := b.inputs(g, rows)
	st := statement{params: params}
	decoders := make([]decoder, len(g.set))
	for i, n := range g.set {
		decoders[i] = b.t.columns[n].decoder()
	}
	keys := b.t.logKeyReader()
	st.row = func(v [][]byte) error {
		nr, err := atoi(v[0])
		if err != nil {
			return err
		}
		r := result{row: &rows[nr-1]}
		if g.kind != deletes && string(v[1]) == "t" {
			r.stored = make(record.Fields, len(g.set))
			for i, n := range g.set {
				r.stored[b.t.columns[n].name] = decoded(decoders[i], v[2+i])
			}
		}
		if g.made {
			r.key = keys(v[2+len(g.set):])
		}
		*results = append(*results, r)
		return nil
	}
	switch g.kind {
	case deletes:
		st.sql = fmt.Sprintf("DELETE FROM %s t USING %s WHERE %s%s RETURNING v.nr", b.t.from(), unnest(1, columns), b.t.keyMatch("t"), b.asExpected(g))
	case updates:
		st.sql = b.updateSQL(g, columns)
	case creates:
		st.sql = b.createSQL(g, columns)
	}
	return st
}

func decoded(d decoder, v []byte) record.Value {
	if v == nil {
		return nil
	}
	return d(string(v))
}

// asExpected is the condition that the row holds what is expected, with a leading AND.
func (b *batch) asExpected(g *group) string {
	var sql strings.Builder
	for i, n := range g.expect {
		col := &b.t.columns[n]
		fmt.Fprintf(&sql, " AND %s IS NOT DISTINCT FROM %s", col.comparable("t."+quote(col.name)), col.comparable(col.castFull(fmt.Sprintf("v.e%d", i+1))))
	}
	return sql.String()
}

// asAsked is the condition that the row already holds what would be set, as the column would round it.
func (b *batch) asAsked(g *group) string {
	list := []string{"true"}
	for i, n := range g.set {
		col := &b.t.columns[n]
		list = append(list, fmt.Sprintf("%s IS NOT DISTINCT FROM %s", col.comparable("t."+quote(col.name)), col.comparable(col.castFull(fmt.Sprintf("v.f%d", i+1)))))
	}
	return strings.Join(list, " AND ")
}

// stored selects, from rows that have s1... as stored and f1... as asked for, whether they differ and, only then, what is
// stored.
func (b *batch) stored(g *group) (differs, columns string) {
	tests, list := []string{"false"}, ""
	for i, n := range g.set {
		tests = append(tests, b.t.columns[n].looksDifferent(fmt.Sprintf("s%d", i+1), fmt.Sprintf("f%d", i+1)))
		list += fmt.Sprintf(", CASE WHEN differs THEN s%d END", i+1)
	}
	return strings.Join(tests, " OR "), list
}

func (b *batch) updateSQL(g *group, columns []string) string {
	var sets, returning []string
	for i, n := range g.set {
		col := &b.t.columns[n]
		sets = append(sets, fmt.Sprintf("%s = %s", quote(col.name), col.cast(fmt.Sprintf("v.f%d", i+1))))
		returning = append(returning, fmt.Sprintf("t.%s AS s%d, v.f%d", quote(col.name), i+1, i+1))
	}
	differs, stored := b.stored(g)
	return fmt.Sprintf(`WITH w AS (UPDATE %s t SET %s FROM %s WHERE %s%s AND NOT (%s) RETURNING v.nr, %s)
SELECT nr, differs%s FROM (SELECT *, %s AS differs FROM w) x`,
		b.t.from(), strings.Join(sets, ", "), unnest(1, columns), b.t.keyMatch("t"), b.asExpected(g), b.asAsked(g), strings.Join(returning, ", "), stored, differs)
}

// createSQL inserts what is not there. Given keys tell which row became which; where the server makes the keys, the rows
// come back in the order they went in, and one too few is an error (a division by zero, see reason).
func (b *batch) createSQL(g *group, columns []string) string {
	var names, values, returning, keys []string
	overriding := ""
	for i, n := range g.set {
		col := &b.t.columns[n]
		names = append(names, quote(col.name))
		values = append(values, col.cast(fmt.Sprintf("v.f%d", i+1)))
		returning = append(returning, fmt.Sprintf("%s AS s%d", quote(col.name), i+1))
		if col.always == "identity" {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
	}
	for _, k := range b.t.key {
		keys = append(keys, quote(b.t.columns[k].name))
	}
	into := fmt.Sprintf("(%s)%s", strings.Join(names, ", "), overriding)
	if len(names) == 0 {
		// Nothing is given: name a key column and let its default make the value.
		into, values = fmt.Sprintf("(%s) OVERRIDING SYSTEM VALUE", keys[0]), []string{b.makeKey()}
	}
	differs, stored := b.stored(g)
	insert := fmt.Sprintf("INSERT INTO %s %s SELECT %s FROM v ORDER BY nr", b.t.sql(), into, strings.Join(values, ", "))
	rows := fmt.Sprintf("v AS MATERIALIZED (SELECT * FROM %s)", unnest(1, columns))
	if g.made {
		list := ""
		for i, k := range keys {
			returning = append(returning, fmt.Sprintf("%s AS m%d", k, i+1))
			list += fmt.Sprintf(", m%d", i+1)
		}
		return fmt.Sprintf(`WITH %s, w AS (%s RETURNING %s),
n AS (SELECT *, row_number() OVER () AS nr FROM w),
c AS (SELECT 1 / ((SELECT count(*) FROM w) = (SELECT count(*) FROM v))::int AS one)
SELECT nr, differs%s%s FROM (SELECT v.*, %s, %s AS differs FROM n JOIN v USING (nr)) x, c WHERE one = 1`,
			rows, insert, strings.Join(returning, ", "), stored, list, strings.Join(append(numbered("n.s", len(g.set)), numbered("n.m", len(keys))...), ", "),
			differs)
	}
	join := make([]string, len(b.t.key))
	for i, k := range b.t.key {
		for n, set := range g.set {
			if set == k {
				join[i] = fmt.Sprintf("%s = %s", b.t.columns[k].under(fmt.Sprintf("w.s%d", n+1)), b.t.columns[k].cast(fmt.Sprintf("v.f%d", n+1)))
			}
		}
	}
	return fmt.Sprintf(`WITH %s, w AS (%s ON CONFLICT (%s) DO NOTHING RETURNING %s)
SELECT nr, differs%s FROM (SELECT v.nr, w.*, %s AS differs FROM w JOIN v ON %s) x`,
		rows, insert, strings.Join(keys, ", "), strings.Join(returning, ", "), stored, differs, strings.Join(join, " AND "))
}

// makeKey is the expression of the first key column's default.
func (b *batch) makeKey() string {
	col := &b.t.columns[b.t.key[0]]
	if col.identity {
		return fmt.Sprintf("nextval(pg_get_serial_sequence(%s, %s))", literal(b.t.sql()), literal(col.name))
	}
	return col.def
}

// reason puts the error of a single row into words.
func (b *batch) reason(g *group, err error) error {
	var pg *pgconn.PgError
	if g.made && errors.As(err, &pg) && pg.Code == "22012" {
		return b.suppressed()
	}
	return err
}

func (b *batch) suppressed() error {
	return &connector.Error{Class: connector.Reject, Code: "postgresql.suppressed", Message: fmt.Sprintf("The row was not stored, and no error was given: a trigger or rule of the table %s suppresses it.", b.t.sql())}
}

// question asks how the rows stand to what was asked for, and gives the receipts.
func (b *batch) question(g *group, rows []row) statement {
	params, columns := b.inputs(g, rows)
	show := append([]int(nil), g.set...)
	for _, n := range g.expect {
		if !g.sets(n) {
			show = append(show, n)
		}
	}
	decoders := make([]decoder, len(show))
	list := ""
	for i, n := range show {
		decoders[i] = b.t.columns[n].decoder()
		list += ", t." + quote(b.t.columns[n].name)
	}
	first := "t." + quote(b.t.columns[b.t.key[0]].name)
	return statement{
		sql: fmt.Sprintf("SELECT v.nr, %s IS NOT NULL, %s%s FROM %s LEFT JOIN %s t ON %s",
			first, b.asAsked(g), list, unnest(1, columns), b.t.from(), b.t.keyMatch("t")),
		params: params,
		row: func(v [][]byte) error {
			nr, err := atoi(v[0])
			if err != nil {
				return err
			}
			r := &rows[nr-1]
			receipt := &b.receipts[r.at]
			receipt.Key = r.key
			if string(v[1]) != "t" {
				switch g.kind {
				case deletes:
					receipt.Outcome = connector.Already
				case updates:
					receipt.Outcome = connector.Gone
				default:
					receipt.Outcome, receipt.Err = connector.Refused, b.suppressed()
				}
				return nil
			}
			present := make(record.Fields, len(show))
			for i, n := range show {
				present[b.t.columns[n].name] = decoded(decoders[i], v[3+i])
			}
			if g.kind == deletes || string(v[2]) != "t" {
				receipt.Outcome, receipt.Stored = connector.Moved, present
				return nil
			}
			receipt.Outcome = connector.Already
			for _, n := range show[:len(g.set)] {
				name := b.t.columns[n].name
				if asked, given := b.writes[r.at].Fields[name]; given && !record.Equal(asked, present[name]) {
					receipt.Stored = make(record.Fields, len(g.set))
					for _, n := range show[:len(g.set)] {
						receipt.Stored[b.t.columns[n].name] = present[b.t.columns[n].name]
					}
					break
				}
			}
			return nil
		},
	}
}
