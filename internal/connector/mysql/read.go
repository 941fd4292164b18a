// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Read returns the next page of the object.
func (s *system) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if err := checkLimit(req.Limit); err != nil {
		return connector.Page{}, err
	}
	t, err := s.table(ctx, req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	page, err := s.read(ctx, t, req)
	var e *connector.Error
	if errors.As(err, &e) && e.Class == connector.Drift {
		s.forget(req.Object) // it is not what we know
		if t, err = s.table(ctx, req.Object); err == nil {
			page, err = s.read(ctx, t, req)
		}
	}
	return page, err
}

func (s *system) read(ctx context.Context, t *table, req connector.ReadRequest) (connector.Page, error) {
	way, err := s.choose(ctx, t)
	if err != nil {
		return connector.Page{}, err
	}
	var c cursor
	if req.Cursor == nil {
		c, err = s.begin(ctx, t, way.detection)
	} else {
		c, err = decodeCursor(req.Cursor, t, way.detection)
	}
	if err != nil {
		return connector.Page{}, err
	}
	switch {
	case !c.Streaming:
		return s.snapshot(ctx, t, req, c)
	case c.Detection == byLog:
		return s.readLog(ctx, t, req, c)
	case c.Detection == byTimestamp:
		return s.readSince(ctx, t, req, c)
	}
	return s.sweep(ctx, t, req, c)
}

// begin is the cursor before the first page. It holds where the stream begins.
func (s *system) begin(ctx context.Context, t *table, detection string) (cursor, error) {
	c := cursor{Detection: detection, Key: t.keyNames(), Total: max(t.rows, 0)}
	var err error
	switch detection {
	case byLog:
		c.Log, err = s.beginLog(ctx, t)
	case byTimestamp:
		c.Since, err = s.beginSince(ctx, t)
	case bySweep:
		err = s.beginSweep(ctx, t)
	}
	return c, err
}

// snapshot reads a page in key order.
func (s *system) snapshot(ctx context.Context, t *table, req connector.ReadRequest, c cursor) (connector.Page, error) {
	changes, after, done, err := s.inKeyOrder(ctx, t, req, c.After)
	if err != nil {
		return connector.Page{}, err
	}
	if c.Detection == bySweep {
		if err := s.remember(ctx, t, changes); err != nil {
			return connector.Page{}, err
		}
	}
	page := connector.Page{Changes: changes, Phase: connector.Snapshot, More: true, Total: c.Total}
	c.After = after
	if done {
		c.Streaming, c.After, c.Total = true, nil, 0
		page.Phase = connector.Stream
		page.More = c.Detection == byLog // it has to be asked
	}
	page.Cursor = c.encode()
	return page, nil
}

// inKeyOrder reads up to req.Limit rows that come after a key and meet the conditions; done says that they are the last ones.
func (s *system) inKeyOrder(ctx context.Context, t *table, req connector.ReadRequest, after []string, only ...string) (changes []record.Change, last []string, done bool, err error) {
	columns, err := t.pick(req.Fields)
	if err != nil {
		return nil, nil, false, err
	}
	selected := selectList(columns, "")
	stamp := t.changedAt()
	if stamp != nil && stamp.kind == kindTimestamp {
		selected += "," + quote(stamp.name)
	} else {
		stamp = nil
	}
	statement := "SELECT " + selected + " FROM " + t.from()
	if len(after) > 0 {
		if len(after) != len(t.key) {
			return nil, nil, false, lost("mysql.cursor", "The position of %s does not fit its key; the table is read anew.", t.name)
		}
		condition, err := t.afterKey(after, "")
		if err != nil {
			return nil, nil, false, err
		}
		only = append([]string{"(" + condition + ")"}, only...)
	}
	if len(only) > 0 {
		statement += " WHERE " + strings.Join(only, " AND ")
	}
	statement += " ORDER BY " + t.keyOrder("") + " LIMIT " + strconv.Itoa(req.Limit+1)
	changes = make([]record.Change, 0, min(req.Limit, 1024))
	r, more := t.reader(columns), false
	err = s.reads.query(ctx, statement, func(values []driver.Value) error {
		if len(changes) == req.Limit {
			more = true
			return nil
		}
		one, err := r.row(values)
		if err != nil {
			return err
		}
		change := record.Change{Key: one.key, Op: record.Upsert, Fields: one.fields}
		if stamp != nil {
			change.At = moment(stamp, values[len(columns)])
		}
		changes = append(changes, change)
		return nil
	})
	if err != nil {
		return nil, nil, false, classify(err, "reading "+t.name)
	}
	last = after
	if n := len(changes); n > 0 {
		last = t.texts(changes[n-1].Key)
	}
	return changes, last, !more, nil
}

// moment is a TIMESTAMP as time; zero for null.
func moment(c *column, v driver.Value) time.Time {
	s, _ := c.decode(v)
	text, _ := s.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// ReadKeys reads single records. The answer to a key has that key, also where the row has it in another spelling that
// the column's collation takes for the same.
func (s *system) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return nil, err
	}
	columns, err := t.pick(fields)
	if err != nil {
		return nil, err
	}
	wanted := make(map[record.Key]record.Key, len(keys)) // in the database's spelling -> as asked
	var literals [][]string
	for _, k := range keys {
		l, canonical, err := t.keyLiterals(k)
		if err != nil {
			continue // no row can have this key
		}
		wanted[canonical] = k
		literals = append(literals, l)
	}
	changes := make([]record.Change, 0, len(keys))
	answered := make(map[record.Key]bool, len(keys))
	var others []row // that may have been asked for in another spelling
	conn, err := s.reads.Conn(ctx)
	if err != nil {
		return nil, classify(err, "reading "+t.name)
	}
	defer conn.Close()
	err = t.byKeys(ctx, conn, columns, literals, "", func(r row) error {
		if t.folds() {
			others = append(others, r)
		}
		k, ok := wanted[r.key]
		if !ok {
			return nil
		}
		answered[k] = true
		changes = append(changes, record.Change{Key: k, Op: record.Upsert, Fields: r.fields})
		return nil
	})
	if err == nil && len(others) > 0 && len(answered) < len(keys) {
		err = t.matchSpellings(ctx, conn, others, keys, answered, func(k record.Key, r row) {
			answered[k] = true
			changes = append(changes, record.Change{Key: k, Op: record.Upsert, Fields: r.fields})
		})
	}
	if err != nil {
		return nil, classify(err, "reading "+t.name)
	}
	for _, k := range keys {
		if !answered[k] {
			answered[k] = true
			changes = append(changes, record.Change{Key: k, Op: record.Delete})
		}
	}
	return changes, nil
}

// Find returns the records that match each query on all its fields, at most two each.
func (s *system) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return nil, err
	}
	columns, err := t.pick(fields)
	if err != nil {
		return nil, err
	}
	const perStatement = 100
	out := make([][]record.Change, len(queries))
	for begin := 0; begin < len(queries); begin += perStatement {
		var statement []byte
		for i := begin; i < min(begin+perStatement, len(queries)); i++ {
			condition, possible, err := t.condition(queries[i])
			if err != nil {
				return nil, err
			}
			if !possible {
				continue
			}
			if len(statement) > 0 {
				statement = append(statement, " UNION ALL "...)
			}
			statement = fmt.Appendf(statement, "(SELECT %s,%d FROM %s WHERE %s LIMIT 2)", selectList(columns, ""), i, t.from(), condition)
		}
		if len(statement) == 0 {
			continue
		}
		r := t.reader(columns)
		err := s.reads.query(ctx, string(statement), func(values []driver.Value) error {
			one, err := r.row(values)
			if err != nil {
				return err
			}
			i, _ := strconv.Atoi(word(values[len(columns)]))
			out[i] = append(out[i], record.Change{Key: one.key, Op: record.Upsert, Fields: one.fields})
			return nil
		})
		if err != nil {
			return nil, classify(err, "looking for records in "+t.name)
		}
	}
	return out, nil
}

// condition is that a row holds these values. It is not possible when the columns cannot hold them.
func (t *table) condition(wanted record.Fields) (condition string, possible bool, err error) {
	if len(wanted) == 0 {
		return "", false, nil
	}
	for _, name := range sortedNames(wanted) {
		c := t.byName[name]
		if c == nil {
			_, err := t.pick([]string{name})
			return "", false, err
		}
		if condition != "" {
			condition += " AND "
		}
		if wanted[name] == nil {
			condition += quote(name) + " IS NULL"
			continue
		}
		e, err := c.encode(wanted[name])
		if err != nil || e.sure && !record.Equal(e.kept, wanted[name]) && c.kind != kindChar {
			return "", false, nil
		}
		literal := e.literal
		if c.kind == kindJSON && c.native == "json" {
			literal = "CAST(" + literal + " AS JSON)"
		}
		condition += quote(name) + " = " + c.lookup(literal)
		if fits := c.fits(literal); fits != "" {
			condition += " AND " + fits
		}
	}
	return condition, true, nil
}
