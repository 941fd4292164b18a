// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// table is what the catalogs say of an object's table.
type table struct {
	object      record.Object
	oid         uint32
	qualified          // as it is called now
	partitioned bool   // relkind p
	rows        int64  // estimate
	pages       int64  // size on disk in blocks, without partitions
	parts       string // the leaf partitions, to notice that one came or went
	identity    string // what logical replication tells of old rows: d, n, f, i
	columns     []column
	key         []int // positions in columns
	primary     bool  // the key is the primary key
	byName      map[string]int
	loaded      time.Time
}

// from is the table in a FROM clause: without tables that inherit from it, but with partitions.
func (t *table) from() string {
	if t.partitioned {
		return t.sql()
	}
	return "ONLY " + t.sql()
}

func (t *table) info() connector.ObjectInfo {
	info := connector.ObjectInfo{Name: t.object, Rows: t.rows}
	for i := range t.columns {
		info.Fields = append(info.Fields, t.columns[i].info())
	}
	for _, k := range t.key {
		info.Key = append(info.Key, t.columns[k].name)
	}
	return info
}

// staleAfter bounds how long a change of a table's shape can go unnoticed when it breaks no statement.
const staleAfter = time.Minute

// table looks an object up, from memory where that is fresh.
func (s *system) table(ctx context.Context, c *pgconn.PgConn, object record.Object) (*table, error) {
	s.mu.Lock()
	t := s.tables[object]
	s.mu.Unlock()
	if t != nil && time.Since(t.loaded) < staleAfter {
		return t, nil
	}
	return s.load(ctx, c, object)
}

// forget makes the next use look at the catalogs again.
func (s *system) forget(object record.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tables, object)
}

const findTable = `
SELECT c.oid, c.relkind, c.relreplident, n.nspname, c.relname,
       CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(p.reltuples, 0)) FROM pg_partition_tree(c.oid) x JOIN pg_class p ON p.oid = x.relid WHERE x.isleaf)
            ELSE c.reltuples END::bigint,
       c.relpages,
       CASE WHEN c.relkind = 'p' THEN (SELECT string_agg(x.relid::oid::text, ',' ORDER BY x.relid::oid) FROM pg_partition_tree(c.oid) x WHERE x.isleaf) END,
       has_table_privilege(c.oid, 'SELECT')
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (schema, name, nr)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.nr LIMIT 1`

// A domain is described by the type it stands on; its constraints are the server's matter.
const findColumns = `
WITH RECURSIVE base AS (
  SELECT a.attnum, a.atttypid AS typ, a.atttypmod AS mod, false AS notnull FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, t.typtypmod, b.notnull OR t.typnotnull FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd'
)
SELECT a.attname, format_type(a.atttypid, a.atttypmod), b.mod, format_type(b.typ, -1), format_type(b.typ, b.mod), b.typ, t.typtype, t.typcategory,
       coalesce(e.oid, 0), coalesce(e.typtype::text, ''), a.attnotnull OR b.notnull, a.attidentity, a.attgenerated, coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
       a.attcollation <> 0 OR t.typcollation <> 0,
       EXISTS (SELECT 1 FROM pg_opclass o WHERE o.opcmethod = 403 AND o.opcdefault AND o.opcintype = t.oid) OR t.typcategory IN ('A', 'E', 'R') OR b.typ = 1043,
       (SELECT string_agg(l.enumlabel, E'\n' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = b.typ)
FROM pg_attribute a
JOIN base b ON b.attnum = a.attnum
JOIN pg_type t ON t.oid = b.typ AND t.typtype <> 'd'
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`

// The primary key, else the shortest unique index over columns that are never null.
const findKey = `
SELECT i.indisprimary, (SELECT string_agg(a.attname, E'\n' ORDER BY x.nr) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS x (attnum, nr)
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum WHERE x.nr <= i.indnkeyatts)
FROM pg_index i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey::int2[])
  AND NOT EXISTS (SELECT 1 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS x (attnum, nr)
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum WHERE x.nr <= i.indnkeyatts AND NOT a.attnotnull)
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1`

// load reads the table from the catalogs.
func (s *system) load(ctx context.Context, c *pgconn.PgConn, object record.Object) (*table, error) {
	name := object
	if name == "" {
		name = record.Object(s.settings["table"])
	}
	t := &table{object: object, loaded: time.Now(), byName: map[string]int{}}
	var schemas, names []string
	for _, q := range candidates(name, s.schema) {
		schemas, names = append(schemas, q.schema), append(names, q.name)
	}
	var kind string
	readable := false
	found := statement{sql: findTable, params: []param{texts(schemas), texts(names)}, row: func(v [][]byte) error {
		oid, err := strconv.ParseUint(string(v[0]), 10, 32)
		if err != nil {
			return err
		}
		t.oid, kind, t.identity = uint32(oid), string(v[1]), string(v[2])
		t.schema, t.name = string(v[3]), string(v[4])
		t.rows, _ = strconv.ParseInt(string(v[5]), 10, 64)
		t.pages, _ = strconv.ParseInt(string(v[6]), 10, 64)
		t.parts, readable = string(v[7]), string(v[8]) == "t"
		t.partitioned = kind == "p"
		return nil
	}}
	if err := found.run(ctx, c); err != nil {
		return nil, classify("looking for the table", err)
	}
	switch {
	case t.oid == 0:
		return nil, s.noSuchTable(ctx, c, name)
	case kind != "r" && kind != "p":
		return nil, &connector.Error{Class: connector.Reject, Code: "postgresql.not_a_table",
			Message: fmt.Sprintf("%s is a %s, which has no primary key; sync the tables it is made of.", t.sql(), map[string]string{"v": "view", "m": "materialized view", "f": "foreign table"}[kind])}
	case !readable:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "postgresql.no_permission",
			Message: fmt.Sprintf("The role %s may not read %s; run GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %s.", s.user(), t.sql(), t.sql(), quote(s.user()))}
	}
	var keyNames []string
	id := param{value: strconv.AppendUint(nil, uint64(t.oid), 10), oid: 26}
	err := pipeline(ctx, c,
		statement{sql: findColumns, params: []param{id}, row: func(v [][]byte) error {
			col := readColumn(v)
			t.byName[col.name] = len(t.columns)
			t.columns = append(t.columns, col)
			return nil
		}},
		statement{sql: findKey, params: []param{id}, row: func(v [][]byte) error {
			t.primary = string(v[0]) == "t"
			keyNames = strings.Split(string(v[1]), "\n")
			return nil
		}})
	if err != nil {
		return nil, classify("reading the table's columns", err)
	}
	for _, k := range keyNames {
		t.key = append(t.key, t.byName[k])
	}
	if len(t.key) == 0 {
		return nil, &connector.Error{Class: connector.Reject, Code: "postgresql.no_primary_key",
			Message: fmt.Sprintf("The table %s has neither a primary key nor a unique index over columns that are NOT NULL, so its rows cannot be told apart. Add one: ALTER TABLE %s ADD PRIMARY KEY (...).", t.sql(), t.sql())}
	}
	s.mu.Lock()
	s.tables[object] = t
	s.mu.Unlock()
	return t, nil
}

func (s *system) user() string {
	if u := s.settings["user"]; u != "" {
		return u
	}
	return "syncline"
}

func (s *system) noSuchTable(ctx context.Context, c *pgconn.PgConn, object record.Object) error {
	names, err := s.objects(ctx, c)
	if err != nil {
		return err
	}
	hint := "The role sees no table at all; grant it USAGE on the schema and SELECT on the tables."
	if len(names) > 0 {
		list := make([]string, 0, 8)
		for _, n := range names {
			if strings.EqualFold(string(n), string(object)) {
				list = []string{string(n)}
				break
			}
			if len(list) < 8 {
				list = append(list, string(n))
			}
		}
		hint = "Tables here are " + strings.Join(list, ", ")
		if len(list) == 8 && len(names) > 8 {
			hint += fmt.Sprintf(" and %d more", len(names)-8)
		}
		hint += "."
	}
	return &connector.Error{Class: connector.Reject, Code: "postgresql.no_such_table", Message: fmt.Sprintf("There is no table %q in the database %s. %s", object, s.settings["database"], hint)}
}

const listTables = `
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'syncline') AND n.nspname !~ '^pg_t'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY n.nspname <> $1, n.nspname, c.relname`

func (s *system) objects(ctx context.Context, c *pgconn.PgConn) ([]record.Object, error) {
	var names []record.Object
	err := statement{sql: listTables, params: []param{text(s.schema)}, row: func(v [][]byte) error {
		names = append(names, objectName(qualified{string(v[0]), string(v[1])}, s.schema))
		return nil
	}}.run(ctx, c)
	return names, classify("listing the tables", err)
}

// Objects lists the tables that the role can read.
func (s *system) Objects(ctx context.Context) (names []record.Object, err error) {
	err = s.on(ctx, "listing the tables", func(c *pgconn.PgConn) error {
		names, err = s.objects(ctx, c)
		return err
	})
	return names, err
}

// Describe reads the objects' columns and keys from the catalogs.
func (s *system) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	infos := make([]connector.ObjectInfo, 0, len(objects))
	err := s.on(ctx, "describing the tables", func(c *pgconn.PgConn) error {
		for _, o := range objects {
			t, err := s.load(ctx, c, o)
			if err != nil {
				return err
			}
			infos = append(infos, t.info())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// wanted are the positions of the columns to read: those asked for and the key, or all. A column that is not there is
// drift: somebody dropped or renamed it.
func (t *table) wanted(fields []string) ([]int, error) {
	if len(fields) == 0 {
		all := make([]int, len(t.columns))
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	list := slices.Clone(t.key)
	for _, f := range fields {
		i, there := t.byName[f]
		if !there {
			return nil, &connector.Error{Class: connector.Drift, Code: "postgresql.shape_changed", Message: fmt.Sprintf("The table %s has no column %q any more; it has %s.", t.sql(), f, strings.Join(t.columnNames(), ", "))}
		}
		if !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	return list, nil
}

func (t *table) columnNames() []string {
	names := make([]string, len(t.columns))
	for i := range t.columns {
		names[i] = t.columns[i].name
	}
	return names
}
