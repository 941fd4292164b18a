// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/record"
)

// Watching tables with a change log rests on NOTIFY, but spares the writers most of it: a commit that notifies waits in
// line with all others that do, which would throttle a busy database.
//
// A watcher that has nothing to do arms the table: it holds an exclusive advisory lock. Triggers try to share that lock
// until their transaction ends; where they cannot, somebody waits, and they notify. Once woken, the watcher disarms, and
// the changes of a busy time cost their writers no more than the attempt. Meanwhile it looks into the log itself, in
// short intervals, and arms again as soon as no writer holds its share. Those that wrote unnoticed have then committed,
// so one look after arming misses none.

// How long a disarmed watcher waits between two looks at the log: after a single change, while each look finds more, and at most. A
// change that comes meanwhile is seen so much later.
const (
	lookSoonest = 2 * time.Millisecond
	lookBusy    = 10 * time.Millisecond
	lookLatest  = 250 * time.Millisecond
)

// pollEvery is how often a table without a log is asked for its statistics, and a table that another watcher armed is
// looked at.
const pollEvery = time.Second

// aliveEvery is how often a silent connection is tried, to notice that it is dead.
const aliveEvery = 30 * time.Second

// watched is a table under watch.
type watched struct {
	t      *table
	by     string
	armed  bool
	look   time.Time     // when to look next, unless armed
	after  time.Duration // the present interval of looking
	seen   string        // the transactions whose changes were told, as a pg_snapshot
	logged bool          // there was a log
	tells  bool          // its triggers notify, so that it can be armed
	counts string        // counters of the table, for those without a log
}

// Watch wakes whenever one of the objects may have changes.
func (s *system) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	tables, streamed, err := s.watched(ctx, objects)
	if err != nil {
		return ended(ctx, err)
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	woken, failed := make(chan record.Object), make(chan error, 2)
	tell := func(o record.Object) {
		select {
		case woken <- o:
		case <-inner.Done():
		}
	}
	running := 0
	if len(tables) > 0 {
		running++
		go func() { failed <- s.watchTables(inner, tables, tell) }()
	}
	if len(streamed) > 0 {
		running++
		go func() { failed <- s.watchStream(inner, streamed, tell) }()
	}
	err = nil
	for running > 0 {
		select {
		case o := <-woken:
			wake(o)
		case e := <-failed:
			running--
			if err == nil {
				err = e
			}
			stop()
		}
	}
	return ended(ctx, classify("watching for changes", err))
}

// ended drops the error when it is the caller who ended the work.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// watched looks the objects up and sorts them by how they are watched.
func (s *system) watched(ctx context.Context, objects []record.Object) (tables []*watched, streamed []*table, err error) {
	err = s.on(ctx, "watching for changes", func(c *pgconn.PgConn) error {
		for _, o := range objects {
			t, err := s.table(ctx, c, o)
			if err != nil {
				return err
			}
			ch, err := s.choose(ctx, c, t)
			if err != nil {
				return err
			}
			if ch.by == byLog {
				streamed = append(streamed, t)
			} else {
				tables = append(tables, &watched{t: t, by: ch.by, after: lookSoonest / 2})
			}
		}
		return nil
	})
	return tables, streamed, err
}

func (s *system) watchTables(ctx context.Context, tables []*watched, wake func(record.Object)) error {
	config, err := dialConfig(s.settings, s.env, s.second, "syncline watch "+s.consumer())
	if err != nil {
		return err
	}
	notified := map[uint32]bool{} // filled while the connection is in use, by the same goroutine
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		for _, w := range tables {
			if n.Payload == strconv.FormatUint(uint64(w.t.oid), 10) {
				notified[w.t.oid] = true
			}
		}
	}
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := execute(ctx, c, "LISTEN "+channel); err != nil {
		return err
	}
	for _, w := range tables {
		if _, err := s.lookAt(ctx, c, w, false); err != nil {
			return err
		}
		wake(w.t.object)
	}
	for {
		for _, w := range tables {
			told := notified[w.t.oid]
			delete(notified, w.t.oid)
			if !told && (w.armed || time.Now().Before(w.look)) {
				continue
			}
			found, err := s.lookAt(ctx, c, w, !told)
			if err != nil {
				return err
			}
			if found {
				wake(w.t.object)
			}
		}
		if len(notified) > 0 {
			continue // told again while we looked
		}
		if err := waitForNotification(ctx, c, tables); err != nil {
			return err
		}
	}
}

// waitForNotification waits until something was notified or a table is due.
func waitForNotification(ctx context.Context, c *pgconn.PgConn, tables []*watched) error {
	until := time.Now().Add(aliveEvery)
	for _, w := range tables {
		if !w.armed && w.look.Before(until) {
			until = w.look
		}
	}
	waiting, stop := context.WithDeadline(ctx, until)
	defer stop()
	err := c.WaitForNotification(waiting)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case waiting.Err() == nil || c.IsClosed():
		return err
	}
	for _, w := range tables {
		if !w.armed && !time.Now().Before(w.look) {
			return nil
		}
	}
	alive, stop := context.WithTimeout(ctx, aliveEvery/3)
	defer stop()
	return execute(alive, c, "SELECT 1")
}

// lookAt says whether the table has changes that were not told yet, and when to look next. With arm it tries to arm the
// table first; without, it disarms it.
func (s *system) lookAt(ctx context.Context, c *pgconn.PgConn, w *watched, arm bool) (found bool, err error) {
	if w.by != byTrigger {
		w.look = time.Now().Add(pollEvery)
		return s.countersMoved(ctx, c, w)
	}
	key := fmt.Sprintf("(%d, %d)", lockClass, w.t.lockKey())
	covered := false
	switch {
	case arm && !w.armed && w.tells:
		err = statement{
			sql: fmt.Sprintf(`SELECT pg_try_advisory_lock%s, EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
			  WHERE l.locktype = 'advisory' AND l.classid = %d AND l.objid = %d AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid())`, key, lockClass, w.t.oid),
			row: func(v [][]byte) error {
				w.armed, covered = string(v[0]) == "t", string(v[1]) == "t"
				return nil
			},
		}.run(ctx, c)
	case !arm && w.armed:
		err = execute(ctx, c, "SELECT pg_advisory_unlock"+key)
		w.armed = false
	}
	if err != nil {
		return false, err
	}
	seen := txSnapshot{xmax: math.MaxInt64} // the first look finds nothing: everything before it counts as told
	if w.seen != "" {
		if seen, err = parseSnapshot(w.seen); err != nil {
			return false, err
		}
	}
	err = statement{
		sql: fmt.Sprintf(`SELECT pg_current_snapshot()::text,
		  EXISTS (SELECT 1 FROM %[1]s WHERE xid = ANY ($1::xid8[]) AND origin IS DISTINCT FROM $3) OR
		  EXISTS (SELECT 1 FROM %[1]s WHERE xid >= $2 AND origin IS DISTINCT FROM $3),
		  (SELECT notifies FROM syncline.relations WHERE relation = $4)`, w.t.logName()),
		params: []param{texts(xids(seen.running)), xid(seen.xmax), text(s.consumer()), w.t.id()},
		row: func(v [][]byte) error {
			w.seen, found, w.tells = string(v[0]), string(v[1]) == "t", string(v[2]) == "t"
			return nil
		},
	}.run(ctx, c)
	w.logged = w.logged || err == nil
	if missingRelation(err) && !w.logged { // no log yet; whoever makes it takes its position first
		err = statement{sql: "SELECT pg_current_snapshot()::text", row: func(v [][]byte) error { w.seen = string(v[0]); return nil }}.run(ctx, c)
	}
	switch {
	case found:
		w.after = min(2*w.after, lookBusy)
	case covered:
		w.after = pollEvery
	case w.armed || !arm:
		w.after = lookSoonest / 2
	default:
		w.after = min(2*w.after, lookLatest)
	}
	w.look = time.Now().Add(w.after)
	return found, err
}

// countersMoved says whether the server counted changed rows of the table since the last look. The counters lag behind
// by some seconds, so this is a hint that comes on top of regular reading.
func (s *system) countersMoved(ctx context.Context, c *pgconn.PgConn, w *watched) (moved bool, err error) {
	before := w.counts
	err = statement{
		sql: `SELECT sum(n_tup_ins)::text || ' ' || sum(n_tup_upd)::text || ' ' || sum(n_tup_del)::text FROM pg_stat_all_tables
		  WHERE relid = $1 OR relid IN (SELECT x.relid FROM pg_partition_tree($1) x)`,
		params: []param{w.t.id()},
		row:    func(v [][]byte) error { w.counts = string(v[0]); return nil },
	}.run(ctx, c)
	moved = before != "" && before != w.counts
	if err != nil || w.by != byTimestamp {
		return moved, err
	}
	column, none := s.timestampColumn(w.t)
	if none != "" {
		return moved, nil
	}
	err = statement{
		sql: fmt.Sprintf("SELECT max(%s)::text FROM %s", quote(column), w.t.from()),
		row: func(v [][]byte) error {
			w.seen, moved = string(v[0]), moved || before != "" && string(v[0]) != w.seen
			return nil
		},
	}.run(ctx, c)
	return moved, err
}
