// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// keyColumns encodes keys for unnest: one text array for each key column. A key that no row can have is left out; kept
// are the positions of the others.
func (t *table) keyColumns(keys []record.Key) (arrays []textArray, kept []int) {
	arrays = make([]textArray, len(t.key))
	for i := range arrays {
		arrays[i].begin(len(keys))
	}
	for n, k := range keys {
		parts, ok := t.keyTexts(k)
		if !ok {
			continue
		}
		for i, p := range parts {
			arrays[i].add(p)
		}
		kept = append(kept, n)
	}
	return arrays, kept
}

// keyTexts are the key's parts as texts for column.cast; ok is false when no row can have such a key.
func (t *table) keyTexts(key record.Key) (texts []string, ok bool) {
	parts, err := key.Parts(len(t.key))
	if err != nil {
		return nil, false
	}
	for i, k := range t.key {
		col := &t.columns[k]
		var v record.Value = parts[i]
		switch col.typ {
		case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
			n, err := record.ParseNumber(parts[i])
			if err != nil {
				if notFinite(v) {
					continue
				}
				return nil, false
			}
			v = n
		case connector.TypeBoolean:
			v = parts[i] == "true"
		}
		if parts[i], ok, err = col.encode(v); err != nil || !ok {
			return nil, false
		}
	}
	return parts, true
}

// unnest makes the arrays, whose parameters begin at number first, rows with the columns named, and nr from 1 on.
func unnest(first int, columns []string) string {
	marks := make([]string, len(columns))
	for i := range columns {
		marks[i] = "$" + strconv.Itoa(first+i)
	}
	return fmt.Sprintf("unnest(%s) WITH ORDINALITY AS v (%s, nr)", strings.Join(marks, ", "), strings.Join(columns, ", "))
}

func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i+1)
	}
	return list
}

// keyMatch is the condition that a row of the table has the key given as texts in v.k1, v.k2, ...
func (t *table) keyMatch(alias string) string {
	list := make([]string, len(t.key))
	for i, k := range t.key {
		list[i] = fmt.Sprintf("%s = %s", t.columns[k].under(alias+"."+quote(t.columns[k].name)), t.columns[k].cast(fmt.Sprintf("v.k%d", i+1)))
	}
	return strings.Join(list, " AND ")
}

// ReadKeys reads single rows as they are now.
func (s *system) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) (changes []record.Change, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = s.on(ctx, "reading rows", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		columns, err := t.wanted(fields)
		if err != nil {
			return err
		}
		changes, _, err = s.readKeys(ctx, c, t, t.reader(columns), keys)
		return err
	})
	if connector.Classify(err).Class == connector.Drift {
		s.forget(object)
	}
	return changes, err
}

// readKeys returns a change for each key in its order, and the transactions that were visible.
func (s *system) readKeys(ctx context.Context, c *pgconn.PgConn, t *table, r *rowReader, keys []record.Key) (changes []record.Change, seen string, err error) {
	changes = make([]record.Change, len(keys))
	for i, k := range keys {
		changes[i] = record.Change{Key: k, Op: record.Delete}
	}
	arrays, kept := t.keyColumns(keys)
	params := make([]param, len(arrays))
	for i := range arrays {
		params[i] = arrays[i].param()
	}
	err = statement{
		sql: fmt.Sprintf("SELECT h.now, v.nr, %s FROM (SELECT pg_current_snapshot()::text AS now) h LEFT JOIN (%s JOIN %s t ON %s) ON true",
			r.list("t"), unnest(1, numbered("k", len(t.key))), t.from(), t.keyMatch("t")),
		params: params,
		row: func(v [][]byte) error {
			seen = string(v[0])
			if v[1] == nil {
				return nil
			}
			nr, err := strconv.Atoi(string(v[1]))
			if err != nil {
				return err
			}
			at := kept[nr-1]
			changes[at].Op, changes[at].Fields = record.Upsert, r.fields(v[2:])
			return nil
		},
	}.run(ctx, c)
	if err == nil || !ofInput(classify("", err)) {
		return changes, seen, err
	}
	if len(keys) == 1 { // not even a key of that type
		return changes, seen, nil
	}
	half := len(keys) / 2
	first, seen, err := s.readKeys(ctx, c, t, r, keys[:half])
	if err != nil {
		return nil, seen, err
	}
	second, _, err := s.readKeys(ctx, c, t, r, keys[half:])
	return append(first, second...), seen, err
}

// Find looks records up by the values of fields. Queries over the same fields go in one statement.
func (s *system) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) (found [][]record.Change, err error) {
	found = make([][]record.Change, len(queries))
	err = s.on(ctx, "looking for rows", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		columns, err := t.wanted(fields)
		if err != nil {
			return err
		}
		groups, err := t.findGroups(queries)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := s.findGroup(ctx, c, t, t.reader(columns), g, found); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// findGroup is queries with the same fields, of which the same are null.
type findGroup struct {
	columns []int
	null    []bool
	texts   [][]string // by query; nulls are ""
	queries []int
}

func (t *table) findGroups(queries []record.Fields) ([]*findGroup, error) {
	var groups []*findGroup
	byShape := map[string]*findGroup{}
next:
	for i, q := range queries {
		names := make([]string, 0, len(q))
		for name := range q {
			names = append(names, name)
		}
		slices.Sort(names)
		g := &findGroup{}
		var list []string
		shape := ""
		for _, name := range names {
			at, there := t.byName[name]
			if !there {
				return nil, &connector.Error{Class: connector.Drift, Code: "postgresql.shape_changed", Message: fmt.Sprintf("The table %s has no column %q; it has %s.", t.sql(), name, strings.Join(t.columnNames(), ", "))}
			}
			s, ok, err := t.columns[at].encode(q[name])
			if err != nil {
				continue next // no row can hold it
			}
			g.columns, g.null, list = append(g.columns, at), append(g.null, !ok), append(list, s)
			shape += fmt.Sprint(at, ok, ",")
		}
		if len(names) == 0 {
			continue
		}
		if same, there := byShape[shape]; there {
			g = same
		} else {
			byShape[shape] = g
			groups = append(groups, g)
		}
		g.texts, g.queries = append(g.texts, list), append(g.queries, i)
	}
	return groups, nil
}

func (s *system) findGroup(ctx context.Context, c *pgconn.PgConn, t *table, r *rowReader, g *findGroup, found [][]record.Change) error {
	arrays := make([]textArray, len(g.columns))
	var where []string
	for i, at := range g.columns {
		col := &t.columns[at]
		arrays[i].begin(len(g.texts))
		for _, list := range g.texts {
			arrays[i].add(list[i])
		}
		stored, asked := "t."+quote(col.name), col.cast(fmt.Sprintf("v.f%d", i+1))
		switch {
		case g.null[i]:
			where = append(where, stored+" IS NULL")
		case col.typ == connector.TypeJSON || !col.equality:
			where = append(where, col.comparable(stored)+" = "+col.comparable(asked))
		default: // as the column compares, so that its index serves
			where = append(where, stored+" = "+asked)
		}
	}
	params := make([]param, len(arrays))
	for i := range arrays {
		params[i] = arrays[i].param()
	}
	err := statement{
		sql: fmt.Sprintf("SELECT v.nr, t.* FROM %s CROSS JOIN LATERAL (SELECT %s FROM %s t WHERE %s LIMIT 2) t",
			unnest(1, numbered("f", len(g.columns))), r.list("t"), t.from(), strings.Join(where, " AND ")),
		params: params,
		row: func(v [][]byte) error {
			nr, err := strconv.Atoi(string(v[0]))
			if err != nil {
				return err
			}
			f := r.fields(v[1:])
			at := g.queries[nr-1]
			found[at] = append(found[at], record.Change{Key: r.key(f), Op: record.Upsert, Fields: f})
			return nil
		},
	}.run(ctx, c)
	if err == nil || !ofInput(classify("", err)) {
		return err
	}
	if len(g.queries) == 1 {
		return nil // a value that the column cannot hold
	}
	for i := range g.queries {
		one := &findGroup{columns: g.columns, null: g.null, texts: g.texts[i : i+1], queries: g.queries[i : i+1]}
		if err := s.findGroup(ctx, c, t, r, one, found); err != nil {
			return err
		}
	}
	return nil
}
