// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
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
// A column without time zone is in a zone that only its writers know. There the bound comes from the latest time in the
// table instead of the clock.

// The overlap of passes in seconds: as a rule, and when other roles' transactions cannot be seen.
const (
	margin      = 5
	wideMargin  = 300
	everyMoment = "-infinity"
)

// openTx is a transaction that was open when a pass began.
type openTx struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // by the server's clock
	From  string `json:"from"`  // the earliest time that its rows can have, as the column has it
}

// moment is the state of the server just before a pass.
type moment struct {
	now      string
	open     []openTx
	margin   int
	prepared bool // transactions are prepared for two-phase commit, and seen no more in pg_stat_activity
	high     string
	bound    string // now or the latest time, less the margin, as the column has it
	settled  bool   // the latest time is older than the margin, and nobody is at work who began before
}

const findOpen = `
SELECT clock_timestamp()::text, EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND state IS NULL AND pid <> pg_backend_pid()),
       EXISTS (SELECT 1 FROM pg_prepared_xacts WHERE database = current_database()),
       a.pid, a.xact_start::text, (a.xact_start - interval '5 s')::text
FROM (SELECT 1) one LEFT JOIN pg_stat_activity a ON a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '1 s'`

func (s *system) lookAround(ctx context.Context, c *pgconn.PgConn, t *table, col *column, p *place) (m moment, err error) {
	m.margin = margin
	zoned := col.typ == connector.TypeTimestamp
	err = statement{sql: findOpen, row: func(v [][]byte) error {
		m.now, m.prepared = string(v[0]), string(v[2]) == "t"
		if string(v[1]) == "t" {
			m.margin = wideMargin
		}
		if v[3] == nil || v[4] == nil {
			return nil
		}
		pid, err := strconv.Atoi(string(v[3]))
		o := openTx{PID: pid, Start: string(v[4]), From: string(v[5])}
		if !zoned { // it was not open at the pass before, so it began after that one
			o.From = p.Time
		}
		m.open = append(m.open, o)
		return err
	}}.run(ctx, c)
	if err != nil {
		return m, err
	}
	bound := "$1::timestamptz"
	if !zoned {
		bound = "max(" + quote(col.name) + ")"
	}
	err = statement{
		sql: fmt.Sprintf(`SELECT max(%[1]s)::text, (%[2]s - $2::int * interval '1 s')::text, $3 <> '' AND max(%[1]s)::text = $3 AND nullif($4, '')::timestamptz < $1::timestamptz - $2::int * interval '1 s' FROM %[3]s`,
			quote(col.name), bound, t.from()),
		params: []param{text(m.now), {value: []byte(strconv.Itoa(m.margin)), oid: 23}, text(p.High), text(p.Since)},
		row: func(v [][]byte) error {
			m.high, m.bound, m.settled = string(v[0]), string(v[1]), string(v[2]) == "t" && len(m.open) == 0 && !m.prepared
			if m.bound == "" { // the table is empty
				m.bound = everyMoment
			}
			return nil
		},
	}.run(ctx, c)
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
	col, err := s.timeColumn(t)
	if err != nil {
		return err
	}
	p.Time = everyMoment
	m, err := s.lookAround(ctx, c, t, col, p)
	if err != nil {
		return err
	}
	p.Time, p.Open, p.High, p.Since = m.bound, m.open, m.high, m.now
	return nil
}

// beginPass finds where the pass has to begin, and notes where the next one will.
func (s *system) beginPass(ctx context.Context, c *pgconn.PgConn, t *table, col *column, p *place) (from string, above bool, err error) {
	m, err := s.lookAround(ctx, c, t, col, p)
	if err != nil {
		return "", false, err
	}
	still := map[openTx]bool{}
	for _, o := range m.open {
		still[openTx{PID: o.PID, Start: o.Start}] = true
	}
	bounds := []string{p.Time}
	var open []openTx
	noted := map[openTx]bool{}
	for _, o := range p.Open {
		id := openTx{PID: o.PID, Start: o.Start}
		if still[id] || m.prepared { // a prepared one is no longer shown by its connection
			open, noted[id] = append(open, o), true
			continue
		}
		bounds = append(bounds, o.From)
	}
	for _, o := range m.open {
		if !noted[openTx{PID: o.PID, Start: o.Start}] {
			open = append(open, o)
		}
	}
	if col.typ == connector.TypeDateTime && m.settled && len(bounds) == 1 && len(open) == 0 {
		from, above = p.High, true // nothing that is not later than the latest can come any more
	} else {
		err = statement{
			sql:    fmt.Sprintf("SELECT min(b)::text FROM unnest($1::text[]::%s[]) b", col.base),
			params: []param{texts(bounds)},
			row:    func(v [][]byte) error { from = string(v[0]); return nil },
		}.run(ctx, c)
	}
	if m.high != p.High {
		p.High, p.Since = m.high, m.now
	}
	p.Began, p.Time, p.Open = m.now, m.bound, open
	return from, above, err
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
		from, above, err := s.beginPass(ctx, c, t, col, &p)
		if err != nil {
			return connector.Page{}, err
		}
		compare := ">="
		if above {
			compare = ">"
		}
		where, params = fmt.Sprintf("%s %s $1::%s", ts, compare, col.base), []param{text(from)}
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
	began, late := p.Began, false
	err = statement{
		sql: fmt.Sprintf("SELECT %s::text, %s::timestamptz > $%d::timestamptz AND %s::timestamptz <= clock_timestamp(), %s FROM %s t WHERE %s ORDER BY %s, %s LIMIT %d",
			ts, ts, len(params)+1, ts, r.list("t"), t.from(), where, ts, t.keyList("t"), req.Limit),
		params: append(params, text(began)),
		row: func(v [][]byte) error {
			f := r.fields(v[2:])
			ch := record.Change{Key: r.key(f), Op: record.Upsert, Fields: f}
			if col.typ == connector.TypeTimestamp {
				ch.At, _ = readTime(v[0]) // zero for infinity and the like
			}
			page.Changes = append(page.Changes, ch)
			p.At, late = string(v[0]), string(v[1]) == "t"
			p.After = p.After[:0:0]
			for _, at := range r.keyAt {
				p.After = append(p.After, string(v[2+at]))
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
