// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// listed is where a listing stands.
type listed struct {
	Relation uint32   `json:"rel"`
	After    []string `json:"after"` // the last key, as texts
	Total    int64    `json:"total,omitempty"`
}

// List reads rows in the order of the key. No trigger, slot or table is made for it.
func (s *system) List(ctx context.Context, req connector.ListRequest) (page connector.Page, err error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return page, &connector.Error{Class: connector.Reject, Code: "postgresql.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	err = s.on(ctx, "listing rows", func(c *pgconn.PgConn) error {
		page, err = s.list(ctx, c, req)
		return err
	})
	if connector.Classify(err).Class == connector.Drift {
		s.forget(req.Object)
	}
	if err != nil {
		return connector.Page{}, err
	}
	return page, nil
}

func (s *system) list(ctx context.Context, c *pgconn.PgConn, req connector.ListRequest) (page connector.Page, err error) {
	t, err := s.table(ctx, c, req.Object)
	if err != nil {
		return page, err
	}
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return page, err
	}
	var at listed
	switch {
	case req.Cursor == nil:
		at.Relation = t.oid
		if req.From == "" && req.To == "" && req.Since.IsZero() {
			if at.Total, err = s.total(ctx, c, t); err != nil {
				return page, err
			}
		}
	case json.Unmarshal(req.Cursor, &at) != nil || at.Relation != t.oid:
		return page, lostPlace("table_replaced", "The table %s was made anew since it was last read; it is read from its beginning.", t.sql())
	}
	var where []string
	var params []param
	bound := func(op string, texts []string) {
		var marks []string
		for i, k := range t.key {
			params = append(params, text(texts[i]))
			marks = append(marks, fmt.Sprintf("$%d::%s", len(params), t.columns[k].base))
		}
		where = append(where, fmt.Sprintf("(%s) %s (%s)", t.keyList("t"), op, strings.Join(marks, ", ")))
	}
	if at.After != nil {
		bound(">", at.After)
	}
	for op, key := range map[string]record.Key{">=": req.From, "<=": req.To} {
		if key == "" {
			continue
		}
		parts, ok := t.keyTexts(key)
		if !ok {
			return page, &connector.Error{Class: connector.Reject, Code: "list.key", Message: fmt.Sprintf("No row of %s can have the key %q.", t.sql(), key)}
		}
		bound(op, parts)
	}
	if !req.Since.IsZero() {
		name, none := s.timestampColumn(t)
		if none != "" {
			return page, connector.CannotTell(req.Object, none)
		}
		col := &t.columns[t.byName[name]]
		params = append(params, text(req.Since.UTC().Format(time.RFC3339Nano)))
		since := fmt.Sprintf("$%d::timestamptz", len(params))
		if col.typ == connector.TypeDateTime {
			since = fmt.Sprintf("(%s AT TIME ZONE %s)", since, literal(s.settings["timestampZone"]))
		}
		where = append(where, "t."+quote(name)+" >= "+since)
	}
	r := t.reader(columns)
	page = connector.Page{Phase: connector.Snapshot, Total: at.Total}
	page.Changes = make([]record.Change, 0, min(req.Limit, 1024))
	condition := ""
	if len(where) > 0 {
		condition = "WHERE " + strings.Join(where, " AND ")
	}
	err = statement{
		sql:    fmt.Sprintf("SELECT %s FROM %s t %s ORDER BY %s LIMIT %d", r.list("t"), t.from(), condition, t.keyList("t"), req.Limit),
		params: params,
		row: func(v [][]byte) error {
			if len(page.Changes) == req.Limit-1 {
				at.After = at.After[:0:0]
				for _, i := range r.keyAt {
					at.After = append(at.After, string(v[i]))
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
	page.More = len(page.Changes) == req.Limit
	page.Cursor, err = json.Marshal(at)
	return page, err
}
