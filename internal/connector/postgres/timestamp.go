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

// Reading by timestamp goes in passes over the rows whose time is at or after a bound, in the order of (time, key).
//
// A row's time is when its transaction began, or when a program's clock said; the row is visible when the transaction
// commits. So a bound alone loses what commits late. A pass therefore notes, before it reads, which transactions are
// open (pg_stat_activity). When one of them is gone at the next pass, that one begins as early as the transaction did.
// Those that are younger than the margin need no note, since each pass overlaps the one before by that much; it also
// covers clocks that differ by less.
//
// A column without time zone is in a zone that only its writers know, so the connection has to name it.

// The overlap of passes in seconds: as a rule, and when other roles' transactions cannot be seen.
const (
	margin     = 5
	wideMargin = 300
)

// openTx is a transaction that was open when a pass began.
type openTx struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // by the server's clock
}

// moment is the state of the server just before a pass.
type moment struct {
	now      string
	bound    string // now less the overlap
	open     []openTx
	prepared bool // transactions are prepared for two-phase commit, and seen no more in pg_stat_activity
}

// Other roles' sessions show neither state nor kind to those who may not see them.
const findOpen = `
SELECT w.now::text, (w.now - CASE WHEN EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL AND state IS NULL AND pid <> pg_backend_pid())
                             THEN greatest($1::int, $2::int) ELSE $1::int END * interval '1 s')::text,
       EXISTS (SELECT 1 FROM pg_prepared_xacts WHERE database = current_database()), a.pid, a.xact_start::text
FROM (SELECT clock_timestamp() AS now) w
LEFT JOIN pg_stat_activity a ON a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.xact_start < w.now - $1::int * interval '0.5 s'`

func (s *system) lookAround(ctx context.Context, c *pgconn.PgConn) (m moment, err error) {
	seconds := func(n int) param { return param{value: []byte(strconv.Itoa(n)), oid: 23} }
	err = statement{sql: findOpen, params: []param{seconds(s.margin), seconds(wideMargin)}, row: func(v [][]byte) error {
		m.now, m.bound, m.prepared = string(v[0]), string(v[1]), string(v[2]) == "t"
		if v[3] == nil {
			return nil
		}
		pid, err := strconv.Atoi(string(v[3]))
		m.open = append(m.open, openTx{PID: pid, Start: string(v[4])})
		return err
	}}.run(ctx, c)
	return m, err
}

func (s *system) timeColumn(t *table) (*column, error) {
	name, none := s.timestampColumn(t)
	if none != "" {
		return nil, &connector.Error{Class: connector.Drift, Code: "postgresql.timestamp_not_possible", Message: "Changes cannot be detected by timestamp: " + none}
	}
	return &t.columns[t.byName[name]], nil
}

func (s *system) beginByTime(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	if _, err := s.timeColumn(t); err != nil {
		return err
	}
	m, err := s.lookAround(ctx, c)
	p.Time, p.Open = m.bound, m.open
	return err
}

// beginPass finds where the pass has to begin, and notes where the next one will.
func (s *system) beginPass(ctx context.Context, c *pgconn.PgConn, col *column, p *place) (from string, err error) {
	m, err := s.lookAround(ctx, c)
	if err != nil {
		return "", err
	}
	bounds := []string{p.Time}
	open := m.open
	for _, o := range p.Open {
		switch {
		case slices.Contains(m.open, o):
		case m.prepared: // a prepared one is no longer shown by its connection
			open = append(open, o)
		default:
			bounds = append(bounds, o.Start)
		}
	}
	back := 0
	if len(bounds) > 1 { // a transaction's rows may have times of a clock that is behind the server's
		back = s.margin
	}
	least := "min(b) - $2::int * interval '1 s'"
	params := []param{texts(bounds), {value: []byte(strconv.Itoa(back)), oid: 23}}
	if col.typ == connector.TypeDateTime {
		least = "(" + least + ") AT TIME ZONE $3"
		params = append(params, text(s.settings["timestampZone"]))
	}
	err = statement{sql: "SELECT (" + least + ")::text FROM unnest($1::text[]::timestamptz[]) b", params: params,
		row: func(v [][]byte) error { from = string(v[0]); return nil }}.run(ctx, c)
	p.Began, p.Time, p.Open = m.now, m.bound, open
	return from, err
}

func (s *system) readByTime(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	col, err := s.timeColumn(t)
	if err != nil {
		return connector.Page{}, err
	}
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	r := t.reader(columns)
	ts := "t." + quote(col.name)
	var where string
	var params []param
	if p.At == "" {
		from, err := s.beginPass(ctx, c, col, &p)
		if err != nil {
			return connector.Page{}, err
		}
		where, params = fmt.Sprintf("%s >= $1::%s", ts, col.base), []param{text(from)}
	} else {
		marks := []string{"$1::" + col.base}
		params = []param{text(p.At)}
		for i, k := range t.key {
			marks = append(marks, fmt.Sprintf("$%d::%s", i+2, t.columns[k].base))
			params = append(params, text(p.After[i]))
		}
		where = fmt.Sprintf("(%s, %s) > (%s)", ts, t.keyList("t"), strings.Join(marks, ", "))
	}
	page := connector.Page{Phase: connector.Stream}
	moment, late := ts, false
	if col.typ == connector.TypeDateTime {
		moment = ts + " AT TIME ZONE " + literal(s.settings["timestampZone"])
	}
	err = statement{
		sql: fmt.Sprintf("SELECT %[1]s::text, (%[2]s)::text, %[2]s > $%[3]d::timestamptz AND %[2]s <= clock_timestamp(), %[4]s FROM %[5]s t WHERE %[6]s ORDER BY %[1]s, %[7]s LIMIT %[8]d",
			ts, moment, len(params)+1, r.list("t"), t.from(), where, t.keyList("t"), req.Limit),
		params: append(params, text(p.Began)),
		row: func(v [][]byte) error {
			f := r.fields(v[3:])
			at, _ := readTime(v[1]) // zero for infinity and the like
			page.Changes = append(page.Changes, record.Change{Key: r.key(f), Op: record.Upsert, Fields: f, At: at})
			p.At, late = string(v[0]), string(v[2]) == "t"
			p.After = p.After[:0:0]
			for _, at := range r.keyAt {
				p.After = append(p.After, string(v[3+at]))
			}
			return nil
		},
	}.run(ctx, c)
	if err != nil {
		return page, err
	}
	page.More = len(page.Changes) == req.Limit
	if !page.More || late { // all read, or so far that the next pass covers the rest
		p.At, p.After, p.Began = "", nil, ""
	}
	page.Cursor = p.cursor()
	return page, nil
}
