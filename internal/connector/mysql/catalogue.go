// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// helperPrefix begins the names of the tables that the connector makes for itself.
const helperPrefix = "syncline_"

// Objects lists the tables of the database that have a usable key.
func (s *system) Objects(ctx context.Context) ([]record.Object, error) {
	rows, err := s.reads.words(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = "+text(s.access.database)+
		" AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name")
	if err != nil {
		return nil, classify(err, "listing tables")
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		if !strings.HasPrefix(r[0], helperPrefix) {
			names = append(names, r[0])
		}
	}
	keys, err := s.keysOf(ctx, s.access.database, "")
	if err != nil {
		return nil, classify(err, "listing tables")
	}
	objects := make([]record.Object, 0, len(names))
	for _, n := range names {
		if len(keys[n]) > 0 {
			objects = append(objects, record.Object(n))
		}
	}
	// The table of the connection comes first: it is the object when the document names none.
	sort.SliceStable(objects, func(i, j int) bool {
		return string(objects[i]) == s.defaultTable && string(objects[j]) != s.defaultTable
	})
	return objects, nil
}

// Describe returns what is known of the tables, read afresh.
func (s *system) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	infos := make([]connector.ObjectInfo, len(objects))
	for i, o := range objects {
		s.forget(o)
		t, err := s.table(ctx, o)
		if err != nil {
			return nil, err
		}
		infos[i] = t.describe()
	}
	return infos, nil
}

// table returns what is known of the object's table, reading it the first time.
func (s *system) table(ctx context.Context, object record.Object) (*table, error) {
	s.mu.Lock()
	t := s.tables[object]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := s.load(ctx, object)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.tables[object] = t
	s.mu.Unlock()
	return t, nil
}

// forget makes the next use of the table read its description again.
func (s *system) forget(object record.Object) {
	s.mu.Lock()
	delete(s.tables, object)
	s.mu.Unlock()
}

// locate splits an object's name: "orders" is in the database of the connection, "shop.orders" in another one.
func (s *system) locate(object record.Object) (schema, name string) {
	if schema, name, ok := strings.Cut(string(object), "."); ok {
		return schema, name
	}
	return s.access.database, string(object)
}

func (s *system) load(ctx context.Context, object record.Object) (*table, error) {
	schema, name := s.locate(object)
	doing := "looking at the table " + string(object)
	where := " WHERE table_schema = " + text(schema) + " AND table_name = " + text(name)
	rows, err := s.reads.words(ctx, "SELECT table_name, table_type, COALESCE(engine, ''), COALESCE(table_rows, -1) FROM information_schema.tables"+where)
	if err != nil {
		return nil, classify(err, doing)
	}
	if len(rows) == 0 {
		return nil, &connector.Error{Class: connector.Reject, Code: "mysql.no_such_table",
			Message: fmt.Sprintf("There is no table %s in the database %s, or the account %s may not see it. Correct the name, or grant SELECT on it.", name, schema, s.access.user)}
	}
	if kind := rows[0][1]; kind != "BASE TABLE" && kind != "SYSTEM VERSIONED" {
		return nil, &connector.Error{Class: connector.Reject, Code: "mysql.not_a_table",
			Message: fmt.Sprintf("%s is a %s and has no key of its own. Sync the tables it is made from.", name, strings.ToLower(kind))}
	}
	t := &table{object: object, schema: schema, name: rows[0][0], engine: rows[0][2], mariadb: s.server.mariadb, byName: make(map[string]*column)}
	t.rows, _ = strconv.ParseInt(rows[0][3], 10, 64)
	where = " WHERE table_schema = " + text(schema) + " AND table_name = " + text(t.name)
	engines, err := s.reads.words(ctx, "SELECT transactions FROM information_schema.engines WHERE engine = "+text(t.engine))
	if err != nil {
		return nil, classify(err, doing)
	}
	t.transactional = len(engines) > 0 && engines[0][0] == "YES"
	if err := s.loadColumns(ctx, t, where); err != nil {
		return nil, classify(err, doing)
	}
	keys, err := s.keysOf(ctx, schema, t.name)
	if err != nil {
		return nil, classify(err, doing)
	}
	if err := t.chooseKey(keys[t.name]); err != nil {
		return nil, err
	}
	triggers, err := s.reads.words(ctx, "SELECT 1 FROM information_schema.triggers WHERE event_object_schema = "+text(schema)+" AND event_object_table = "+text(t.name)+" LIMIT 1")
	if err != nil {
		return nil, classify(err, doing)
	}
	t.triggers = len(triggers) > 0
	return t, nil
}

func (s *system) loadColumns(ctx context.Context, t *table, where string) error {
	rows, err := s.reads.words(ctx, `SELECT column_name, data_type, column_type, is_nullable, COALESCE(column_default, '<none>'), extra,
		COALESCE(character_maximum_length, 0), COALESCE(character_octet_length, 0), COALESCE(numeric_precision, 0), COALESCE(numeric_scale, 0),
		COALESCE(datetime_precision, 0), COALESCE(character_set_name, ''), COALESCE(collation_name, ''), COALESCE(generation_expression, '')
		FROM information_schema.columns`+where+` ORDER BY ordinal_position`)
	if err != nil {
		return err
	}
	documents, err := s.documents(ctx, t)
	if err != nil {
		return err
	}
	for i, r := range rows {
		c := &column{name: r[0], native: strings.ToLower(r[1]), position: i, charset: r[11], collation: r[12]}
		typ, extra, fallback := strings.ToLower(r[2]), strings.ToLower(r[5]), r[4]
		c.unsigned = strings.Contains(typ, "unsigned")
		c.length, _ = strconv.Atoi(r[6]) // LONGTEXT's limit does not fit everywhere; then it is 0, unlimited
		c.octets, _ = strconv.Atoi(r[7])
		c.precision, _ = strconv.Atoi(r[8])
		c.scale, _ = strconv.Atoi(r[9])
		fraction, _ := strconv.Atoi(r[10])
		c.computed = r[13] != "" || strings.Contains(extra, " generated") && !strings.Contains(extra, "default_generated")
		c.onUpdate = strings.Contains(extra, "on update")
		c.increments = strings.Contains(extra, "auto_increment")
		c.info = connector.FieldInfo{Name: c.name, Native: r[2], Nullable: r[3] == "YES", ReadOnly: c.computed,
			Generated: c.increments || fallback != "<none>" && !strings.EqualFold(fallback, "NULL")}
		c.classify(typ, fraction, documents[c.name])
		t.columns = append(t.columns, c)
		t.byName[c.name] = c
	}
	return nil
}

// classify decides from the declared type how the column's values are read, written and described.
func (c *column) classify(declared string, fraction int, document bool) {
	info := &c.info
	set := func(k kind, typ connector.Type) { c.kind, info.Type = k, typ }
	switch c.native {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint":
		set(kindInteger, connector.TypeInteger)
		if strings.HasPrefix(declared, "tinyint(1)") && !c.unsigned {
			set(kindBoolean, connector.TypeBoolean)
		}
		c.scale = 0
	case "decimal", "numeric":
		set(kindDecimal, connector.TypeNumber)
		info.Scale = c.scale
	case "float":
		set(kindFloat, connector.TypeFloat)
		info.Scale = -1
	case "double":
		set(kindDouble, connector.TypeFloat)
		info.Scale = -1
	case "bit":
		c.length = c.precision
		set(kindBit, connector.TypeInteger)
		if c.length == 1 {
			info.Type = connector.TypeBoolean
		}
	case "year":
		set(kindYear, connector.TypeInteger)
	case "date":
		set(kindDate, connector.TypeDate)
	case "datetime":
		set(kindDateTime, connector.TypeDateTime)
		c.scale, info.Scale = fraction, fraction
	case "timestamp":
		set(kindTimestamp, connector.TypeTimestamp)
		c.scale, info.Scale = fraction, fraction
	case "time":
		set(kindTime, connector.TypeTime)
		c.scale, info.Scale = fraction, fraction
	case "char":
		set(kindChar, connector.TypeText)
		info.MaxLength = c.length
	case "varchar":
		set(kindText, connector.TypeText)
		info.MaxLength = c.length
	case "tinytext", "text", "mediumtext", "longtext":
		set(kindText, connector.TypeText)
		c.length = 0 // the limit is in bytes
		if document {
			set(kindJSON, connector.TypeJSON)
		}
	case "json":
		set(kindJSON, connector.TypeJSON)
	case "enum":
		set(kindEnum, connector.TypeText)
		c.labels = labels(info.Native)
		info.Enum = c.labels
	case "set":
		set(kindSet, connector.TypeArray)
		c.labels = labels(info.Native)
		info.Enum = c.labels
	case "binary":
		set(kindFixedBytes, connector.TypeBytes)
	case "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		set(kindBytes, connector.TypeBytes)
	case "uuid":
		set(kindUUID, connector.TypeUUID)
	case "inet4", "inet6":
		set(kindAddress, connector.TypeText)
	default: // geometry and what servers to come may have
		set(kindOther, connector.TypeBytes)
		info.ReadOnly = true
	}
}

// labels reads the texts of a declaration such as enum('a','it”s').
func labels(declared string) []string {
	open, end := strings.IndexByte(declared, '('), strings.LastIndexByte(declared, ')')
	if open < 0 || end < open {
		return nil
	}
	var (
		out    []string
		one    strings.Builder
		inside bool
	)
	body := declared[open+1 : end]
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case b == '\'' && inside && i+1 < len(body) && body[i+1] == '\'':
			one.WriteByte('\'')
			i++
		case b == '\'' && inside:
			out, inside = append(out, one.String()), false
		case b == '\'':
			one.Reset()
			inside = true
		case inside:
			one.WriteByte(b)
		}
	}
	return out
}

// documents are the JSON columns of MariaDB, where JSON is a text that a constraint checks.
func (s *system) documents(ctx context.Context, t *table) (map[string]bool, error) {
	if !s.server.mariadb {
		return nil, nil
	}
	rows, err := s.reads.words(ctx, "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = "+text(t.schema)+
		" AND table_name = "+text(t.name)+" AND check_clause LIKE 'json_valid(`%'")
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(rows))
	for _, r := range rows {
		name := strings.TrimSuffix(strings.TrimPrefix(r[0], "json_valid(`"), "`)")
		out[strings.ReplaceAll(name, "``", "`")] = true
	}
	return out, nil
}

// candidate is a unique index.
type candidate struct {
	name    string
	columns []string
}

// keysOf returns the indexes that can serve as key by table, best first: the primary key, then unique indexes without
// null, the shortest first.
func (s *system) keysOf(ctx context.Context, schema, only string) (map[string][]candidate, error) {
	where := " WHERE s.table_schema = " + text(schema) + " AND s.non_unique = 0"
	if only != "" {
		where += " AND s.table_name = " + text(only)
	}
	rows, err := s.reads.words(ctx, `SELECT s.table_name, s.index_name, COALESCE(s.column_name, ''), COALESCE(s.nullable, ''), COALESCE(s.sub_part, '')
		FROM information_schema.statistics s`+where+` ORDER BY s.table_name, s.index_name, s.seq_in_index`)
	if err != nil {
		return nil, err
	}
	type at struct{ table, index string }
	found, unfit := make(map[at]*candidate), make(map[at]bool)
	var order []at
	for _, r := range rows {
		p := at{r[0], r[1]}
		if found[p] == nil {
			found[p] = &candidate{name: r[1]}
			order = append(order, p)
		}
		found[p].columns = append(found[p].columns, r[2])
		if r[2] == "" || r[3] == "YES" || r[4] != "" { // an expression, null, a part of the text
			unfit[p] = true
		}
	}
	out := make(map[string][]candidate)
	for _, p := range order {
		if !unfit[p] {
			out[p.table] = append(out[p.table], *found[p])
		}
	}
	for _, list := range out {
		sort.SliceStable(list, func(i, j int) bool {
			if a, b := list[i].name == "PRIMARY", list[j].name == "PRIMARY"; a != b {
				return a
			}
			return len(list[i].columns) < len(list[j].columns)
		})
	}
	return out, nil
}

// chooseKey takes the first index whose columns can name records.
func (t *table) chooseKey(candidates []candidate) error {
	unfit := ""
next:
	for _, k := range candidates {
		columns := make([]*column, len(k.columns))
		for i, name := range k.columns {
			c := t.column(name)
			if c == nil {
				continue next
			}
			switch c.kind {
			case kindFloat, kindDouble, kindJSON, kindSet, kindAddress, kindOther:
				unfit = c.name + " " + c.info.Native
				continue next
			}
			columns[i] = c
		}
		t.key, t.keyIndex = columns, k.name
		return nil
	}
	if unfit != "" {
		return &connector.Error{Class: connector.Reject, Code: "mysql.key_type",
			Message: fmt.Sprintf("The key of the table %s holds the column %s, which cannot name a record exactly. Add a unique index on columns of another type that are NOT NULL.", t.name, unfit)}
	}
	return &connector.Error{Class: connector.Reject, Code: "mysql.no_primary_key",
		Message: fmt.Sprintf("The table %s has neither a primary key nor a unique index on columns that are NOT NULL, so its rows cannot be told apart. Add one: ALTER TABLE %s ADD PRIMARY KEY (...).", t.name, quote(t.name))}
}
