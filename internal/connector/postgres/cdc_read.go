// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// streamLost says in which errors the slot has nothing more to give.
func (s *system) streamLost(t *table, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42704", "55000", "58P01": // no such slot; it was invalidated; the log it needs was removed
			return lostPlace("slot_lost", "The replication slot was removed, or the server could not keep its log any longer (max_slot_wal_keep_size); the table %s is read anew.", t.sql())
		}
	}
	return err
}

// readStream returns the rows whose keys came in the stream, as they are now.
//
// The stream runs ahead of what can be read: a commit is in the log a moment before its rows are visible. So a page ends
// before the first change whose transaction the reading statement could not see yet.
func (s *system) readStream(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	if p.LSN > p.Until {
		p.Seen, p.Until = "", 0
	}
	known := func(entry) bool { return false }
	if p.Seen != "" {
		seen, err := parseSnapshot(p.Seen)
		if err != nil {
			return connector.Page{}, lostPlace("cursor_unreadable", "The stored position is not readable; the table %s is read anew.", t.sql())
		}
		known = func(e entry) bool { return e.lsn < p.Until && seen.sees(seen.widen(e.xid)) }
	}
	var entries []entry
	var position uint64
	for attempt := 0; ; attempt++ {
		st, err := s.stream(ctx, c)
		if err != nil {
			return connector.Page{}, s.streamLost(t, err)
		}
		if st.made != p.Made {
			return connector.Page{}, lostPlace("slot_lost", "The replication slot was made anew since %s was last read; it is read from its beginning.", t.sql())
		}
		st.begin(t)
		var held bool
		if entries, position, held = st.next(t.oid, p, req.Limit, known); held {
			break
		}
		if attempt == 3 {
			return connector.Page{}, &connector.Error{Class: connector.Retry, Code: "postgresql.in_use", Message: "Too many changes are waiting to be read; it will be tried again."}
		}
		s.stopStream() // what was dropped from memory is sent again
	}
	page := connector.Page{Phase: connector.Stream}
	if len(entries) == 0 {
		p.LSN, p.Entry = max(p.LSN, position), 0
		page.Cursor = p.cursor()
		return page, nil
	}
	var keys []record.Key
	last := map[record.Key]int{} // where its latest change is in entries
	for i, e := range entries {
		if e.lost {
			if i == 0 {
				return page, lostPlace("table_emptied", "The table %s was emptied by TRUNCATE, or its key was changed; it is read anew.", t.sql())
			}
			entries = entries[:i]
			break
		}
		if _, again := last[e.key]; !again {
			keys = append(keys, e.key)
		}
		last[e.key] = i
	}
	changes, seen, err := s.readKeys(ctx, c, t, t.reader(columns), keys)
	if err != nil {
		return page, err
	}
	now, err := parseSnapshot(seen)
	if err != nil {
		return page, err
	}
	visible := len(entries)
	for i, e := range entries {
		if !now.sees(now.widen(e.xid)) {
			visible = i
			break
		}
	}
	page.More = true
	if visible == 0 {
		page.Cursor = p.cursor()
		return page, pause(ctx, 2*time.Millisecond)
	}
	first := map[record.Key]bool{}
	for _, e := range entries[:visible] {
		first[e.key] = true
	}
	for _, ch := range changes {
		if first[ch.Key] {
			ch.At = entries[last[ch.Key]].at
			page.Changes = append(page.Changes, ch)
		}
	}
	end := entries[visible-1]
	p.LSN, p.Entry = end.lsn, end.n+1
	page.Cursor = p.cursor()
	return page, nil
}

// widen makes a transaction id of 32 bits, as the log has it, one of 64 that is near the present.
func (s txSnapshot) widen(xid uint32) uint64 {
	wide := s.xmax&^0xffffffff | uint64(xid)
	switch {
	case wide > s.xmax && wide-s.xmax > 1<<31 && wide >= 1<<32:
		wide -= 1 << 32
	case wide < s.xmax && s.xmax-wide > 1<<31:
		wide += 1 << 32
	}
	return wide
}

// next copies the changes from the place on that are not known yet, of at most limit records. Without any, position is how
// far the stream has come. held is false when changes from the place on are no longer in memory.
func (st *logStream) next(oid uint32, p place, limit int, known func(entry) bool) (entries []entry, position uint64, held bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	q := st.queues[oid]
	q.asked, q.lastRead = p.LSN, time.Now()
	if p.LSN < q.floor {
		return nil, 0, false
	}
	from := sort.Search(len(q.entries), func(i int) bool {
		e := q.entries[i]
		return e.lsn > p.LSN || e.lsn == p.LSN && e.n >= p.Entry
	})
	keys := map[record.Key]struct{}{}
	for _, e := range q.entries[from:] {
		if known(e) {
			continue
		}
		if _, again := keys[e.key]; !again {
			if len(keys) == limit {
				break
			}
			keys[e.key] = struct{}{}
		}
		entries = append(entries, e)
	}
	return entries, st.position, true
}

// watchStream wakes when keys of the tables come in the stream.
func (s *system) watchStream(ctx context.Context, tables []*table, wake func(record.Object)) error {
	for _, t := range tables {
		wake(t.object) // whoever reads now starts the stream if need be, and before it there is nothing to miss
	}
	w := &streamWatcher{changed: map[uint32]bool{}, bell: make(chan struct{}, 1)}
	var st *logStream
	for st == nil {
		err := s.on(ctx, "watching for changes", func(c *pgconn.PgConn) (err error) {
			there := false // it is made by the first Read
			err = statement{sql: "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", params: []param{text(s.slotName())},
				row: func([][]byte) error { there = true; return nil }}.run(ctx, c)
			if err == nil && there {
				st, err = s.stream(ctx, c)
			}
			return err
		})
		if err != nil {
			return err
		}
		if st == nil {
			if err := pause(ctx, lookLatest); err != nil {
				return err
			}
		}
	}
	st.mu.Lock()
	for _, t := range tables {
		w.changed[t.oid] = true
	}
	st.watchers[w] = struct{}{}
	st.mu.Unlock()
	w.bell <- struct{}{}
	defer func() {
		st.mu.Lock()
		delete(st.watchers, w)
		st.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.done:
			return st.failure()
		case <-w.bell:
		}
		var changed []record.Object
		st.mu.Lock()
		for _, t := range tables {
			if w.changed[t.oid] {
				w.changed[t.oid] = false
				changed = append(changed, t.object)
			}
		}
		st.mu.Unlock()
		for _, o := range changed {
			wake(o)
		}
	}
}
