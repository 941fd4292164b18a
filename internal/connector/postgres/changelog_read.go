// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// readChangeLog returns the records whose keys were logged by transactions that the cursor has not seen.
//
// A cursor holds the transactions seen, as a snapshot. What is new are the log's rows of the others that are visible now:
// those that were running then (seldom any), and those that began since, which is a range of the index. Neither the
// order of sequence numbers nor clocks matter, and a transaction that is still open is simply not visible yet; it is
// among the running ones of the next cursor. When not all fits in a page, the cursor keeps the present snapshot as its
// window and goes on inside it in the order of (xid, seq).
//
// Only keys come from the log, the rows from the table as it is now.
func (s *system) readChangeLog(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	seen, err := parseSnapshot(p.Seen)
	if err != nil {
		return connector.Page{}, lostPlace("cursor_unreadable", "The stored position is not readable; the table %s is read anew.", t.sql())
	}
	window := txSnapshot{xmax: math.MaxInt64}
	if p.Window != "" {
		if window, err = parseSnapshot(p.Window); err != nil {
			return connector.Page{}, lostPlace("cursor_unreadable", "The stored position is not readable; the table %s is read anew.", t.sql())
		}
	}
	r := t.reader(columns)
	page := connector.Page{Phase: connector.Stream}
	keys := t.logKeyReader()
	var now, made, shape string
	var floor uint64
	healthy := false
	rows := 0
	fixed := 6 + 4                          // values before the keys
	fromXid, fromSeq := seen.xmax, int64(0) // sequences begin at 1
	if p.Xid >= fromXid {
		fromXid, fromSeq = p.Xid, p.Seq
	}
	err = statement{
		sql: t.changeLogQuery(r, req.Limit),
		params: []param{texts(xids(seen.running)), xid(p.Xid), number(p.Seq), xid(fromXid), number(fromSeq),
			xid(window.xmax), texts(xids(window.running)), text(s.consumer()), t.id()},
		row: func(v [][]byte) error {
			now, made, shape, healthy = string(v[0]), string(v[1]), string(v[2]), string(v[4]) == "t"
			floor, _ = strconv.ParseUint(string(v[3]), 10, 64)
			if v[6] == nil {
				return nil // nothing new
			}
			rows++
			p.Xid, _ = strconv.ParseUint(string(v[6]), 10, 64)
			p.Seq, _ = strconv.ParseInt(string(v[7]), 10, 64)
			if string(v[9]) != "1" {
				return nil // the same record comes once more, later in this page
			}
			at, err := readTime(v[8])
			if err != nil {
				return err
			}
			values := v[fixed+len(t.key):]
			if values[r.keyAt[0]] == nil {
				page.Changes = append(page.Changes, record.Change{Key: keys(v[fixed : fixed+len(t.key)]), Op: record.Delete, At: at})
				return nil
			}
			f := r.fields(values)
			page.Changes = append(page.Changes, record.Change{Key: r.key(f), Op: record.Upsert, Fields: f, At: at})
			return nil
		},
	}.run(ctx, c)
	switch {
	case missingRelation(err):
		s.forget(t.object)
		return page, lostPlace("log_missing", "The log of changes of %s was removed; the table is read anew.", t.sql())
	case err != nil:
		return page, err
	case made != p.Made || shape != t.shape() || !healthy:
		s.forget(t.object)
		return page, lostPlace("log_changed", "The triggers that tell of changes of %s, or its key or partitions, are not what they were; the table is read anew.", t.sql())
	case seen.xmin < floor:
		return page, lostPlace("log_trimmed", "Changes of %s that were not read yet have been removed, because nobody read them for %d days; the table is read anew.", t.sql(), forgetAfterDays)
	}
	switch {
	case rows == req.Limit:
		if p.Window == "" {
			p.Window = now
		}
		page.More = true
	case p.Window != "":
		p.Seen, p.Window, p.Xid, p.Seq = p.Window, "", 0, 0
		page.More = true // what came after the window
	default:
		p.Seen, p.Xid, p.Seq = now, 0, 0
	}
	page.Cursor = p.cursor()
	return page, nil
}

// changeLogQuery has one row at least, with the state of the log. Parameters: 1 the transactions that were running when
// the cursor was made, 2 and 3 where among them the window stands; 4 and 5 where it stands among those that had not begun;
// 6 and 7 the window's end and running transactions; 8 the consumer, whose own writes are left out; 9 the table.
func (t *table) changeLogQuery(r *rowReader, limit int) string {
	part := func(which string) string {
		return fmt.Sprintf("(SELECT xid, seq, at, %s FROM %s WHERE %s AND xid < $6 AND xid <> ALL ($7::xid8[]) AND origin IS DISTINCT FROM $8 ORDER BY xid, seq LIMIT %d)",
			t.logKeys(""), t.logName(), which, limit)
	}
	return fmt.Sprintf(`
WITH h AS MATERIALIZED (
  SELECT pg_current_snapshot()::text, r.made::text, r.shape, r.floor::text,
         r.triggers = (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = r.relation AND g.tgname ~ '^syncline_' AND g.tgenabled <> 'D'), 0
  FROM (SELECT 1) one LEFT JOIN syncline.relations r ON r.relation = $9),
l AS (SELECT * FROM (%s UNION ALL %s) u ORDER BY xid, seq LIMIT %d),
n AS (SELECT *, row_number() OVER (PARTITION BY %s ORDER BY xid DESC, seq DESC) AS nth FROM l)
SELECT h.*, n.xid, n.seq, n.at, n.nth, %s, %s
FROM h
LEFT JOIN n ON true
LEFT JOIN LATERAL (SELECT * FROM %s t WHERE %s OFFSET 0) t ON n.nth = 1
ORDER BY n.xid, n.seq`,
		part("xid = ANY ($1::xid8[]) AND (xid, seq) > ($2, $3)"), part("(xid, seq) > ($4, $5)"), limit, t.logKeys(""), t.logKeys("n."), r.list("t"), t.from(), t.sameKey("t", "n"))
}

func xid(n uint64) param { return param{value: strconv.AppendUint(nil, n, 10), oid: 5069} }

func xids(list []uint64) []string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.FormatUint(n, 10)
	}
	return texts
}

// logKeyReader makes record keys of the key columns' texts.
func (t *table) logKeyReader() func(values [][]byte) record.Key {
	decoders := make([]decoder, len(t.key))
	for i, k := range t.key {
		decoders[i] = t.columns[k].decoder()
	}
	return func(values [][]byte) record.Key {
		parts := make([]record.Value, len(values))
		for i, v := range values {
			parts[i] = decoders[i](string(v))
		}
		return record.MakeKey(parts...)
	}
}

// readTime reads a timestamptz as our session prints it.
func readTime(b []byte) (time.Time, error) {
	return time.Parse("2006-01-02 15:04:05.999999Z07", string(b))
}
