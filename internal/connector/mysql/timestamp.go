// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Reading by timestamp: a column says when each row was changed. The moment is that of the statement, but the row shows
// only when its transaction commits, maybe minutes later and behind rows with later moments. So the cursor never
// advances past what a running transaction could still bring: reading begins again that much earlier each time, and
// rows that are read again without having changed are recognised by the engine.

const (
	// margin covers the time between a statement's moment and its transaction showing up as running.
	margin = 5 * time.Second
	// blindMargin is assumed for transactions where the account may not see how long they have been running (PROCESS).
	blindMargin = time.Minute
	// zonesApart is how far a DATETIME that was written by another clock can be ahead of UTC.
	zonesApart = 14*time.Hour + time.Minute
)

// changeColumns are the usual names of a column that says when a row was changed, best first.
var changeColumns = []string{"updated_at", "updatedat", "modified_at", "modifiedat", "last_modified", "lastmodified", "last_modified_at", "last_updated", "lastupdated", "last_updated_at",
	"update_time", "updatetime", "modify_time", "modification_time", "changed_at", "changedat", "last_changed", "date_modified", "date_updated", "modified_on", "updated_on", "modified", "updated", "changed", "last_update", "mtime"}

// changedAt is the column that says when a row was changed, or nil.
func (t *table) changedAt() *column {
	var best *column
	rank := len(changeColumns)
	for _, c := range t.columns {
		if c.kind != kindTimestamp && c.kind != kindDateTime || c.computed {
			continue
		}
		r := slices.Index(changeColumns, strings.ToLower(c.name))
		if r < 0 && !c.onUpdate {
			continue
		}
		if r < 0 {
			r = len(changeColumns)
		}
		if c.onUpdate { // the server itself keeps it
			r -= 2 * len(changeColumns)
		}
		if best == nil || r < rank {
			best, rank = c, r
		}
	}
	return best
}

// clock is a moment of the database as the column would hold it.
type clock struct {
	now     time.Time     // UTC
	running time.Duration // age of the oldest transaction that may still bring changed rows
}

// look reads the clock. Transactions count from when they began, when they have changed rows or a statement is running.
func (s *system) look(ctx context.Context) (clock, error) {
	var c clock
	rows, err := s.reads.words(ctx, "SELECT UTC_TIMESTAMP(6)")
	if err != nil {
		return c, err
	}
	if c.now, err = parseMoment(rows[0][0]); err != nil {
		return c, err
	}
	// The ages are taken against a transaction of our own: servers differ in the time zone of trx_started.
	seconds := 0.0
	err = s.reads.on(ctx, func(conn *sql.Conn) error {
		if _, _, err := exec(ctx, conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
			return err
		}
		defer exec(context.WithoutCancel(ctx), conn, "ROLLBACK") //nolint:errcheck // a connection that fails here is thrown away
		return query(ctx, conn, `SELECT COALESCE(MAX(TIMESTAMPDIFF(SECOND, other.trx_started, own.trx_started)), 0)
			FROM information_schema.innodb_trx other, (SELECT MAX(trx_started) AS trx_started FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()) own
			WHERE (other.trx_rows_modified > 0 OR other.trx_query IS NOT NULL) AND other.trx_mysql_thread_id <> CONNECTION_ID()`, func(row []driver.Value) error {
			seconds, _ = strconv.ParseFloat(word(row[0]), 64)
			return nil
		})
	})
	switch n := number(err); {
	case n == 1227 || n == 1142:
		c.running = blindMargin
	case err != nil:
		return c, err
	default:
		c.running = time.Duration(max(seconds, 0)+1)*time.Second + margin
	}
	return c, nil
}

// safe is the moment from which on rows may still appear: so long before the latest moment seen. Moments in the future
// of all clocks are not looked at; they are mistakes, or stand for "never".
func (s *system) safe(ctx context.Context, t *table, k clock) (string, error) {
	c := t.changedAt()
	limit := k.now.Add(margin)
	if c.kind == kindDateTime {
		limit = k.now.Add(zonesApart)
	}
	rows, err := s.reads.words(ctx, "SELECT MAX("+name(c)+") FROM "+t.from()+" WHERE "+name(c)+" <= "+text(limit.Format("2006-01-02 15:04:05.000000")))
	if err != nil {
		return "", err
	}
	latest, err := parseMoment(rows[0][0])
	if err != nil {
		return "", nil // no rows: everything is to come
	}
	return latest.Add(-k.running).Format("2006-01-02 15:04:05.000000"), nil
}

// beginSince is from when on changes must be read after a snapshot that begins now.
func (s *system) beginSince(ctx context.Context, t *table) (string, error) {
	k, err := s.look(ctx)
	if err != nil {
		return "", classify(err, "looking at the clock")
	}
	since, err := s.safe(ctx, t, k)
	return since, classify(err, "reading "+t.name)
}

// readSince reads rows changed since the cursor's moment, in order of moment and key. At the end the cursor goes back
// to the safe moment.
func (s *system) readSince(ctx context.Context, t *table, req connector.ReadRequest, c cursor) (connector.Page, error) {
	stamp := t.changedAt()
	columns, err := t.pick(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	doing := "reading changes of " + t.name
	k, err := s.look(ctx) // before the rows: what is running now is not in them
	if err != nil {
		return connector.Page{}, classify(err, doing)
	}
	next, err := s.safe(ctx, t, k)
	if err != nil {
		return connector.Page{}, classify(err, doing)
	}
	statement := "SELECT " + selectList(columns, "") + "," + name(stamp) + " FROM " + t.from() + " WHERE "
	if len(c.After) > 0 {
		after, err := t.afterKey(c.After[1:], "")
		if err != nil {
			return connector.Page{}, err
		}
		statement += name(stamp) + " >= " + text(c.After[0]) + " AND (" + name(stamp) + " > " + text(c.After[0]) + " OR (" + after + "))"
	} else if c.Since != "" {
		statement += name(stamp) + " >= " + text(c.Since)
	} else {
		statement += name(stamp) + " IS NOT NULL"
	}
	statement += " ORDER BY " + name(stamp) + "," + t.keyOrder("") + " LIMIT " + strconv.Itoa(req.Limit+1)
	page := connector.Page{Phase: connector.Stream}
	r, last := t.reader(columns), ""
	err = s.reads.query(ctx, statement, func(values []driver.Value) error {
		if len(page.Changes) == req.Limit {
			page.More = true
			return nil
		}
		one, err := r.row(values)
		if err != nil {
			return err
		}
		change := record.Change{Key: one.key, Op: record.Upsert, Fields: one.fields}
		last = word(values[len(columns)])
		if stamp.kind == kindTimestamp {
			change.At = moment(stamp, values[len(columns)])
		}
		page.Changes = append(page.Changes, change)
		return nil
	})
	if err != nil {
		return connector.Page{}, classify(err, doing)
	}
	if page.More {
		c.After = append([]string{last}, t.texts(page.Changes[len(page.Changes)-1].Key)...)
		// The moment to go back to is the one of the first page, as later pages may take long to come.
		if c.Until == "" {
			c.Until = next
		}
	} else {
		c.After = nil
		if c.Until != "" && c.Until < next {
			next = c.Until
		}
		c.Until = ""
		if next > c.Since { // never back behind where we were: those rows are known
			c.Since = next
		}
	}
	page.Cursor = c.encode()
	return page, nil
}
