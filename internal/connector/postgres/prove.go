// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var (
	_ connector.Scanner  = (*system)(nil)
	_ connector.Digester = (*system)(nil)
)

// Scan reads rows in the order of the key; its place is the last key in the server's own text form.
func (s *system) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	var after []string
	if req.Place != nil {
		if err := json.Unmarshal(req.Place, &after); err != nil {
			return out, lostPlace("cursor_unreadable", "The place in the table %s cannot be read; it is read from its beginning.", string(req.Object))
		}
	}
	err = s.on(ctx, "reading rows", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, req.Object)
		if err != nil {
			return err
		}
		page, err := s.snapshotPage(ctx, c, t, place{Snapshot: true, After: after}, connector.ReadRequest{Object: req.Object, Fields: req.Fields, Limit: req.Limit})
		if err != nil {
			return err
		}
		out.Records = page.Changes
		if page.Phase == connector.Snapshot {
			var p place
			if err := json.Unmarshal(page.Cursor, &p); err != nil {
				return err
			}
			out.Next, err = json.Marshal(p.After)
			return err
		}
		return nil
	})
	if connector.Classify(err).Class == connector.Drift {
		s.forget(req.Object)
	}
	return out, err
}

// canonicalText is a SQL expression for the canonical text of the column's values, "" where the server cannot make it. What
// canonical form cannot say (infinity, years before Christ) comes out as another text, so that the row counts as different
// and is read.
func (c *column) canonicalText(expr string) string {
	switch c.typ {
	case connector.TypeInteger, connector.TypeUUID, connector.TypeDate, connector.TypeTime:
		return expr + "::text"
	case connector.TypeText:
		return expr + "::text"
	case connector.TypeBoolean:
		return "CASE WHEN " + expr + " THEN 'true' ELSE 'false' END"
	case connector.TypeNumber:
		return "trim_scale(" + expr + ")::text"
	case connector.TypeTimestamp:
		return "replace(replace(" + expr + "::text, ' ', 'T'), '+00', 'Z')"
	case connector.TypeDateTime:
		return "replace(" + expr + "::text, ' ', 'T')"
	}
	return ""
}

// Digest computes the digest of rows in SQL.
func (s *system) Digest(ctx context.Context, object record.Object, fields []string, keys []record.Key) (d connector.Digest, exact bool, err error) {
	err = s.on(ctx, "comparing rows", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		var parts []string
		add := func(at int) bool {
			col := &t.columns[at]
			text := col.canonicalText("t." + quote(col.name))
			null := ""
			if text == "" {
				return false
			}
			if col.typ == connector.TypeBoolean { // CASE makes false of null
				null = "t." + quote(col.name) + " IS NULL OR "
			}
			parts = append(parts, fmt.Sprintf("CASE WHEN %s%s IS NULL THEN '-' ELSE length(%[2]s)::text || ':' || (%[2]s) END", null, text))
			return true
		}
		for _, k := range t.key {
			if !add(k) || t.columns[k].oid == pgtype.BPCharOID {
				return nil
			}
		}
		for _, f := range fields {
			at, there := t.byName[f]
			if !there {
				return &connector.Error{Class: connector.Drift, Code: "postgresql.shape_changed", Message: fmt.Sprintf("The table %s has no column %q any more; it has %s.", t.sql(), f, strings.Join(t.columnNames(), ", "))}
			}
			if !add(at) {
				return nil
			}
		}
		arrays, _ := t.keyColumns(keys)
		params := make([]param, len(arrays))
		for i := range arrays {
			params[i] = arrays[i].param()
		}
		sum := new(big.Int)
		err = statement{
			sql: fmt.Sprintf("SELECT count(*), coalesce(sum(('x' || left(md5(convert_to(%s, 'UTF8')), 16))::bit(64)::bigint::numeric), 0) FROM %s JOIN %s t ON %s",
				strings.Join(parts, " || "), unnest(1, numbered("k", len(t.key))), t.from(), t.keyMatch("t")),
			params: params,
			row: func(v [][]byte) error {
				if _, ok := sum.SetString(string(v[1]), 10); !ok {
					return fmt.Errorf("the sum %q is no number", v[1])
				}
				d.Count, err = strconv.ParseInt(string(v[0]), 10, 64)
				return err
			},
		}.run(ctx, c)
		if err != nil && ofInput(classify("", err)) {
			return nil // keys that no row can have, or a server that knows no MD5: the rows are read
		}
		if err != nil {
			return err
		}
		exact = true
		d.Sum = sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 64)).Uint64()
		return nil
	})
	if connector.Classify(err).Class == connector.Drift {
		s.forget(object)
	}
	return d, exact, err
}

// Count counts the table's rows.
func (s *system) Count(ctx context.Context, object record.Object) (n int64, err error) {
	err = s.on(ctx, "counting rows", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		return statement{sql: "SELECT count(*) FROM " + t.from(), row: func(v [][]byte) (err error) {
			n, err = strconv.ParseInt(string(v[0]), 10, 64)
			return err
		}}.run(ctx, c)
	})
	return n, err
}
