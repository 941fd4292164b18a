// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Without a log and without a column that tells, the whole table is read again and again; the engine drops what is
// equal. To see deletes, the keys that were handed over are kept in a table of our own beside the others: what stands
// there and no longer in the table was deleted. Nothing of this is held in memory, and a sweep goes on where it stopped.

// seenPrefix begins the names of the tables of keys handed over.
const seenPrefix = helperPrefix + "seen_"

// goneColumn says in which sweep a key was found to be missing; 0 is there.
const goneColumn = "syncline_gone"

// keptSweeps is for how many sweeps a missing key is kept. A reader may begin again from an older cursor, and then has to
// be told once more what was gone at that time or later.
const keptSweeps = 1000

func mark(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// consumerMark stands for the service in names of tables.
func (s *system) consumerMark() string { return mark(s.env.Consumer) }

// seenTable is the name of the table of keys of t. Another key means another table.
func (s *system) seenTable(t *table) string {
	definition := t.schema + "." + t.name
	for _, c := range t.key {
		definition += "\x00" + c.name + " " + c.info.Native + " " + c.collation
	}
	return quote(s.access.database) + "." + quote(seenPrefix+s.consumerMark()+"_"+mark(definition))
}

// beginSweep makes the table of keys. Where that is not allowed, deletes are not seen.
func (s *system) beginSweep(ctx context.Context, t *table) error {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + s.seenTable(t) + " (")
	for _, c := range t.key {
		b.WriteString(quote(c.name) + " " + c.info.Native)
		if c.charset != "" { // keys that the table's collation takes for the same are different records here
			b.WriteString(" CHARACTER SET " + c.charset + " COLLATE " + c.charset + "_bin")
		}
		b.WriteString(" NOT NULL, ")
	}
	b.WriteString(goneColumn + " BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (" + list(t.key, name) + ")) ENGINE=InnoDB ROW_FORMAT=DYNAMIC COMMENT='Syncline keeps the keys of " +
		strings.ReplaceAll(strings.ReplaceAll(t.name, "'", ""), "\\", "") + " here, to see deletes'")
	err := s.writes.on(ctx, func(conn *sql.Conn) error {
		if _, _, err := exec(ctx, conn, "SELECT 1 FROM "+s.seenTable(t)+" LIMIT 0"); err == nil {
			return nil
		}
		_, _, err := exec(ctx, conn, b.String())
		return err
	})
	n := number(err)
	if err != nil && (n == 0 || !helperRefused(n)) {
		return classify(err, "preparing to see deletes of "+t.name)
	}
	if err != nil {
		s.mu.Lock()
		s.helpers.seenRefused = true
		s.mu.Unlock()
	}
	return nil
}

func (s *system) seesDeletes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.helpers.seenRefused
}

// remember notes the keys that are about to be handed over.
func (s *system) remember(ctx context.Context, t *table, changes []record.Change) error {
	if !s.seesDeletes() || len(changes) == 0 {
		return nil
	}
	rows := make([]string, 0, len(changes))
	for _, c := range changes {
		literals, _, err := t.keyLiterals(c.Key)
		if err != nil {
			return err
		}
		rows = append(rows, "("+strings.Join(literals, ",")+")")
	}
	err := s.writes.on(ctx, func(conn *sql.Conn) error {
		for len(rows) > 0 {
			n := min(len(rows), keysPerStatement)
			if _, _, err := exec(ctx, conn, "INSERT INTO "+s.seenTable(t)+" ("+list(t.key, name)+") VALUES "+strings.Join(rows[:n], ",")+
				" ON DUPLICATE KEY UPDATE "+goneColumn+" = 0"); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
	switch number(err) {
	case 1146: // somebody removed it
		if err := s.beginSweep(ctx, t); err != nil {
			return err
		}
		return s.remember(ctx, t, changes)
	case 1142, 1044, 1290, 1836:
		s.mu.Lock()
		s.helpers.seenRefused = true
		s.mu.Unlock()
		return nil
	}
	return classify(err, "noting the keys of "+t.name)
}

// sweepTime is when the last sweep of an object ended and how long it took.
type sweepTime struct {
	began, ended time.Time
}

// resting says whether the last sweep ended so recently that reading the table again would keep the server busy with
// little else.
func (s *system) resting(object record.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.sweeps[object]
	if last.ended.After(last.began) && time.Since(last.ended) < last.ended.Sub(last.began) {
		return true
	}
	s.sweeps[object] = sweepTime{began: time.Now()}
	return false
}

func (s *system) rest(object record.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.sweeps[object]
	last.ended = time.Now()
	s.sweeps[object] = last
}

// sweep reads the next page of the running sweep: rows first, then the keys that are gone.
func (s *system) sweep(ctx context.Context, t *table, req connector.ReadRequest, c cursor) (connector.Page, error) {
	if c.Sweep == 0 {
		c.Sweep = 1
	}
	page := connector.Page{Phase: connector.Stream, More: true}
	if c.Gone == 0 && c.After == nil && s.resting(t.object) {
		page.More, page.Cursor = false, c.encode()
		return page, nil
	}
	if c.Gone == 0 {
		changes, after, done, err := s.inKeyOrder(ctx, t, req, c.After)
		if err != nil {
			return connector.Page{}, err
		}
		if err := s.remember(ctx, t, changes); err != nil {
			return connector.Page{}, err
		}
		page.Changes, c.After = changes, after
		switch {
		case done && s.seesDeletes():
			c.Gone, c.After = c.Sweep, nil
		case done:
			c.Sweep, c.After, page.More = c.Sweep+1, nil, false
			s.rest(t.object)
		}
		page.Cursor = c.encode()
		return page, nil
	}
	if c.After == nil {
		if err := s.markGone(ctx, t, c.Gone); err != nil {
			return connector.Page{}, classify(err, "looking for deletes in "+t.name)
		}
	}
	keys, last, more, err := s.gone(ctx, t, c, req.Limit)
	if err != nil {
		return connector.Page{}, classify(err, "looking for deletes in "+t.name)
	}
	for _, k := range keys {
		page.Changes = append(page.Changes, record.Change{Key: k, Op: record.Delete, Absent: true})
	}
	c.After = last
	if !more {
		c.Sweep, c.Gone, c.After, page.More = c.Sweep+1, 0, nil, false
		s.rest(t.object)
	}
	page.Cursor = c.encode()
	return page, nil
}

// markGone marks the keys that are no longer in the table with the number of the sweep, and forgets those that were told
// so long ago that no reader begins again from there.
func (s *system) markGone(ctx context.Context, t *table, sweep int64) error {
	n := strconv.FormatInt(sweep, 10)
	return s.writes.on(ctx, func(conn *sql.Conn) error {
		if _, _, err := exec(ctx, conn, "DELETE FROM "+s.seenTable(t)+" WHERE "+goneColumn+" > 0 AND "+goneColumn+" < "+strconv.FormatInt(sweep-keptSweeps, 10)); err != nil {
			return err
		}
		// Looked up without locks, so that nobody who writes to the table waits for us or we for them.
		missing := "SELECT " + selectList(t.key, "s") + " FROM " + s.seenTable(t) + " s LEFT JOIN " + t.from() + " t ON " + t.sameKey("t", "s") +
			" WHERE s." + goneColumn + " = 0 AND t." + name(t.key[0]) + " IS NULL LIMIT " + strconv.Itoa(keysPerStatement)
		for r := t.reader(t.key); ; {
			var keys [][]string
			err := query(ctx, conn, missing, func(values []driver.Value) error {
				one, err := r.row(values)
				if err != nil {
					return err
				}
				literals, _, err := t.keyLiterals(one.key)
				keys = append(keys, literals)
				return err
			})
			if err != nil || len(keys) == 0 {
				return err
			}
			if _, _, err := exec(ctx, conn, "UPDATE "+s.seenTable(t)+" SET "+goneColumn+" = "+n+" WHERE "+t.keyIn(keys)); err != nil {
				return err
			}
		}
	})
}

// sameKey joins the table and its table of keys, spelling included.
func (t *table) sameKey(table, seen string) string {
	var ands []string
	for _, c := range t.key {
		a, b := table+"."+name(c), seen+"."+name(c)
		if c.charset == "" {
			ands = append(ands, a+" = "+b)
			continue
		}
		ands = append(ands, a+" = "+b+" COLLATE "+c.collation, "CAST("+a+" AS BINARY) = CAST("+b+" AS BINARY)")
	}
	return strings.Join(ands, " AND ")
}

// gone returns the next keys that were marked in the cursor's sweep or, by a reader that was further and fell back, in a
// later one, and have not come back since. What was marked in earlier sweeps has arrived: the cursor says so.
func (s *system) gone(ctx context.Context, t *table, c cursor, limit int) (keys []record.Key, last []string, more bool, err error) {
	statement := "SELECT " + selectList(t.key, "s") + ", t." + name(t.key[0]) + " IS NULL FROM " + s.seenTable(t) + " s LEFT JOIN " + t.from() + " t ON " + t.sameKey("t", "s") +
		" WHERE s." + goneColumn + " >= " + strconv.FormatInt(c.Gone, 10)
	if len(c.After) > 0 {
		after, err := t.afterKey(c.After, "s")
		if err != nil {
			return nil, nil, false, err
		}
		statement += " AND " + after
	}
	statement += " ORDER BY " + t.keyOrder("s") + " LIMIT " + strconv.Itoa(limit+1)
	r, n := t.reader(t.key), 0
	last = c.After
	err = s.reads.query(ctx, statement, func(values []driver.Value) error {
		if n++; n > limit {
			more = true
			return nil
		}
		one, err := r.row(values)
		if err != nil {
			return err
		}
		last = t.texts(one.key)
		if word(values[len(t.key)]) == "1" {
			keys = append(keys, one.key)
		}
		return nil
	})
	return keys, last, more, err
}
