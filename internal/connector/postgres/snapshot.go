// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// snapshotPage reads the next rows in the order of the key: an index range, however deep into the table.
func (s *system) snapshotPage(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	r := t.reader(columns)
	page := connector.Page{Phase: connector.Snapshot, More: true, Total: p.Total}
	page.Changes = make([]record.Change, 0, min(req.Limit, 1024))
	where, params := t.beyond("t", p.After)
	err = statement{
		sql:    fmt.Sprintf("SELECT %s FROM %s t %s ORDER BY %s LIMIT %d", r.list("t"), t.from(), where, t.keyList("t"), req.Limit),
		params: params,
		row: func(v [][]byte) error {
			if len(page.Changes) == req.Limit-1 { // may be the last one: remember its key as texts
				p.After = p.After[:0:0]
				for _, at := range r.keyAt {
					p.After = append(p.After, string(v[at]))
				}
			}
			f := r.fields(v)
			page.Changes = append(page.Changes, record.Change{Key: r.key(f), Op: record.Upsert, Fields: f})
			return nil
		},
	}.run(ctx, c)
	if err != nil {
		return page, err
	}
	if len(page.Changes) < req.Limit {
		p = streamFrom(p)
		page.Phase = connector.Stream // More: what happened meanwhile
	}
	page.Cursor = p.cursor()
	return page, nil
}

// streamFrom drops what belongs to the snapshot.
func streamFrom(p place) place {
	p.Snapshot, p.After, p.Total = false, nil, 0
	return p
}

// beyond is the condition for rows behind a key (given in the server's own text form), "" at the beginning.
func (t *table) beyond(alias string, after []string) (where string, params []param) {
	if after == nil {
		return "", nil
	}
	var marks []string
	for i, k := range t.key {
		marks = append(marks, fmt.Sprintf("$%d::%s", i+1, t.columns[k].base))
		params = append(params, text(after[i]))
	}
	return fmt.Sprintf("WHERE (%s) > (%s)", t.keyList(alias), strings.Join(marks, ", ")), params
}

// keyList is the key's columns for SQL.
func (t *table) keyList(alias string) string {
	list := make([]string, len(t.key))
	for i, k := range t.key {
		list[i] = alias + "." + quote(t.columns[k].name)
	}
	return strings.Join(list, ", ")
}

// countable is the size in blocks up to which counting rows is cheap.
const countable = 2000

// total estimates the number of rows, exactly where that is cheap.
func (s *system) total(ctx context.Context, c *pgconn.PgConn, t *table) (int64, error) {
	if t.rows > 0 && (t.pages > countable || t.partitioned) {
		return t.rows, nil
	}
	var size, total int64
	err := statement{sql: "SELECT pg_relation_size($1::oid)::bigint / 8192", params: []param{t.id()}, row: func(v [][]byte) error {
		_, err := fmt.Sscan(string(v[0]), &size)
		return err
	}}.run(ctx, c)
	if err != nil || size > countable*5 {
		return max(t.rows, 0), err
	}
	err = statement{sql: "SELECT count(*) FROM " + t.from(), row: func(v [][]byte) error {
		_, err := fmt.Sscan(string(v[0]), &total)
		return err
	}}.run(ctx, c)
	return total, err
}

// ReadsOnce says whether a snapshot goes through the table in the order of the key.
func (s *system) ReadsOnce(object record.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, chosen := s.chosen[object]
	return chosen && ch.by != byHash
}
