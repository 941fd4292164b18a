// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

// The log tells of a transaction as soon as it is written there, which is shortly before it becomes visible to others.
// Who reads a row on such a hint may still see the old state. So rows are read in a view of which it is known that it
// holds all transactions up to a place in the log:
//
//   - MariaDB tells up to which place transactions are visible; a snapshot taken afterwards holds them. (It also tells the exact
//     place of a snapshot, but through variables that all connections share: another one's place may be read instead.)
//   - MySQL with global transaction ids says when a transaction is visible.
//   - Otherwise the rows are read with a shared lock, for which the transaction that changed them must have ended.

// view reads rows as they are in one moment.
type view struct {
	conn   *sql.Conn
	at     place  // it holds all transactions of the log before this place
	ending string // of its SELECTs: a lock, or nothing
	open   bool   // in a transaction
}

// view opens a view of now.
func (s *system) view(ctx context.Context) (*view, error) {
	conn, err := s.reads.Conn(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{conn: conn}
	if !s.server.snapshotPlace {
		m, err := s.masterStatusOn(ctx, conn) // not on a second connection: readers would wait for each other's
		if err != nil {
			v.close()
			return nil, err
		}
		v.at = m.at
		return v, nil
	}
	at, sure, err := s.visible(ctx, conn)
	if v.at = at; err == nil && sure {
		_, _, err = exec(ctx, conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
		v.open = err == nil
	}
	if err == nil && v.at.File == "" {
		err = &connector.Error{Class: connector.Reject, Code: "mysql.log_off", Message: "The server keeps no binary log. Start it with log_bin and binlog_format=ROW, or choose another changeDetection."}
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// visible is the place in the log up to which MariaDB says that transactions are visible. That is not sure of the first place
// that is told of a file: when a file is full, the server tells the beginning of the next one while the last transactions of
// the full one are still being committed; and it tells file and position apart, so that the position may be of the file before.
func (s *system) visible(ctx context.Context, conn *sql.Conn) (at place, sure bool, err error) {
	err = query(ctx, conn, "SHOW STATUS LIKE 'binlog_snapshot_%'", func(row []driver.Value) error {
		switch strings.ToLower(word(row[0])) {
		case "binlog_snapshot_file":
			at.File = word(row[1])
		case "binlog_snapshot_position":
			at.Pos, _ = strconv.ParseUint(word(row[1]), 10, 64)
		}
		return nil
	})
	if err != nil {
		return at, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sure = at.File == s.told.File && at.Pos > s.told.Pos; !sure {
		s.told = at
	}
	return at, sure, nil
}

func (v *view) close() {
	if v.open {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		_, _, _ = exec(ctx, v.conn, "ROLLBACK") // when this fails the connection is broken, and the pool will notice
	}
	v.conn.Close()
}

// see makes sure that the view holds these transactions, which the log told of.
func (v *view) see(ctx context.Context, s *system, gtids []string) error {
	switch {
	case v.open:
		return nil
	case s.server.gtid:
		if len(gtids) > 0 {
			missing := false
			err := query(ctx, v.conn, "SELECT WAIT_FOR_EXECUTED_GTID_SET("+text(strings.Join(gtids, ","))+", "+readLockSecs+")", func(row []driver.Value) error {
				missing = word(row[0]) != "0"
				return nil
			})
			if err != nil {
				return err
			}
			if missing {
				return &connector.Error{Class: connector.Retry, Code: "mysql.lock", Message: "A transaction that the binary log tells of is still being committed; it will be read again."}
			}
		}
		_, _, err := exec(ctx, v.conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
		v.open = err == nil
		return err
	}
	v.ending = " LOCK IN SHARE MODE"
	return nil
}

// rows reads the rows with these keys. A lock that somebody holds for longer than any commit takes is not that of the
// transaction the log told of, which has then ended: the rows can be read without a lock.
func (v *view) rows(ctx context.Context, t *table, columns []*column, keys [][]string, each func(row) error) error {
	err := t.byKeys(ctx, v.conn, columns, keys, v.ending, each)
	if v.ending != "" && number(err) == 1205 {
		v.ending = ""
		return t.byKeys(ctx, v.conn, columns, keys, "", each)
	}
	return err
}

// master is what the server says of its log.
type master struct {
	at           place
	only, except string // databases that alone are logged, or are not
}

func (s *system) masterStatus(ctx context.Context) (m master, err error) {
	err = s.reads.on(ctx, func(conn *sql.Conn) error {
		m, err = s.masterStatusOn(ctx, conn)
		return err
	})
	return m, err
}

func (s *system) masterStatusOn(ctx context.Context, conn *sql.Conn) (master, error) {
	statement := "SHOW MASTER STATUS"
	if !s.server.mariadb && s.server.atLeast(8, 2) {
		statement = "SHOW BINARY LOG STATUS"
	}
	rows, err := words(ctx, conn, statement)
	if err != nil {
		return master{}, err
	}
	if len(rows) == 0 || len(rows[0]) < 4 {
		return master{}, &connector.Error{Class: connector.Reject, Code: "mysql.log_off", Message: "The server keeps no binary log. Start it with log_bin and binlog_format=ROW, or choose another changeDetection."}
	}
	m := master{at: place{File: rows[0][0]}, only: rows[0][2], except: rows[0][3]}
	m.at.Pos, err = strconv.ParseUint(rows[0][1], 10, 64)
	return m, err
}

// present is a place in the log such that whoever reads rows from now on sees all transactions before it. open is where
// reading must begin so that transactions are known that are prepared but not committed; usually nil.
func (s *system) present(ctx context.Context) (at place, open *place, err error) {
	doing := "looking at the binary log"
	if s.server.snapshotPlace {
		v, err := s.view(ctx)
		if err != nil {
			return at, nil, classify(err, doing)
		}
		at = v.at
		v.close()
		// A commit of ours makes it sure. Where we may not write, somebody else's does; and a server whose log has not moved for so
		// long is done with the last commits of the file before.
		sure := v.open || s.mark(ctx) == nil
		for attempt := 0; !sure && attempt < 50; attempt++ {
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return at, nil, err
			}
			if v, err = s.view(ctx); err != nil {
				return at, nil, classify(err, doing)
			}
			sure = v.open
			v.close()
		}
	} else {
		m, err := s.masterStatus(ctx)
		if err != nil {
			return at, nil, classify(err, doing)
		}
		at = m.at
		// Transactions before the place may not be visible yet. They are once a later one of ours is, as the server
		// commits them in order; where we may not write, reading begins with the file, which the server begins only when
		// no transaction is under way.
		if !s.server.ordered || s.mark(ctx) != nil {
			at.Pos = 4
		}
	}
	rows, err := s.reads.words(ctx, "SHOW GLOBAL STATUS LIKE 'Com_xa_prepare'")
	if err != nil {
		return at, nil, classify(err, doing)
	}
	if len(rows) == 1 && rows[0][1] != "0" && at.Pos > 4 {
		open = &place{File: at.File, Pos: 4}
	}
	return at, open, nil
}

// convert has the server turn key parts that are in other character sets into text.
func (v *view) convert(ctx context.Context, t *table, keys []logKey) (map[int]string, error) {
	out := make(map[int]string, len(keys))
	for begin := 0; begin < len(keys); begin += keysPerStatement {
		chunk := keys[begin:min(begin+keysPerStatement, len(keys))]
		var b strings.Builder
		for i, k := range chunk {
			for j, c := range t.key {
				if k.raw[j] != nil {
					if b.Len() > 0 {
						b.WriteString(" UNION ALL ")
					}
					fmt.Fprintf(&b, "SELECT %d, %d, CONVERT(_%s %s USING utf8mb4)", i, j, c.charset, appendBytes(nil, k.raw[j]))
				}
			}
		}
		texts := make(map[[2]int]string)
		err := query(ctx, v.conn, b.String(), func(row []driver.Value) error {
			i, _ := strconv.Atoi(word(row[0]))
			j, _ := strconv.Atoi(word(row[1]))
			texts[[2]int{i, j}] = word(row[2])
			return nil
		})
		if err != nil {
			return nil, err
		}
		for i, k := range chunk {
			out[begin+i] = t.substitute(k, func(j int) string { return texts[[2]int{i, j}] })
		}
	}
	return out, nil
}

// pause waits a moment that is short for people and long for servers.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
