// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// What cdc leaves in the source database: for each consumer one publication with its tables and one replication slot,
// both called syncline_<consumer>. The publication's comment names the making of the slot, so that a position in a slot
// that was lost and made again is known to be none.

// originPrefix marks a transaction as a consumer's own, by a message in the log.
const originPrefix = "syncline.origin"

// slotName is the consumer's name as PostgreSQL allows it: 63 of a-z, 0-9 and _.
func (s *system) slotName() string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, s.consumer())
	if name != s.consumer() || len(name) > 50 { // keep different consumers apart
		h := fnv.New64a()
		h.Write([]byte(s.consumer()))
		name = name[:min(len(name), 33)] + "_" + hex.EncodeToString(h.Sum(nil))
	}
	return "syncline_" + name
}

// beginStream publishes the table and makes the slot where they are not there, and takes the position.
//
// Nothing that was written by a transaction which began before may be missed. Whoever has written to the table holds a
// lock on it until the change is visible; so once we have had a lock that conflicts with it, all earlier changes are
// visible to the snapshot that begins now, and all later ones are in the stream.
func (s *system) beginStream(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	err := s.oneStreamMaker(ctx, c, func() error {
		if err := s.publish(ctx, c, t); err != nil {
			return err
		}
		return s.makeSlot(ctx, c, t)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "57014") {
		return &connector.Error{Class: connector.Retry, Code: "postgresql.locked", Err: err,
			Message: fmt.Sprintf("Replication of %s cannot begin yet, because a transaction has been open for long; it will be tried again.", t.sql())}
	}
	if err != nil {
		return err
	}
	st, err := s.stream(ctx, c)
	if err != nil {
		return err
	}
	st.begin(t)
	p.Made = st.made
	if p.LSN, err = s.confirmedAt(ctx, c); err != nil {
		return err
	}
	// The stream may go back to what is visible already; so it is told what need not be told again.
	return statement{sql: "SELECT pg_current_snapshot()::text, (pg_current_wal_insert_lsn() - '0/0')::bigint", row: func(v [][]byte) error {
		p.Seen = string(v[0])
		p.Until, err = strconv.ParseUint(string(v[1]), 10, 64)
		return err
	}}.run(ctx, c)
}

// slotPatience is how long the making of a slot waits for the transactions that are open on the server, of other databases too.
const slotPatience = 10 * time.Second

// streamClass marks the locks of oneStreamMaker, beside lockClass.
const streamClass = lockClass + 1

// oneStreamMaker lets one at a time make or remove the consumer's publication and slot: its tables begin together. The lock is the
// session's, because a slot cannot be made in a transaction that wrote.
func (s *system) oneStreamMaker(ctx context.Context, c *pgconn.PgConn, f func() error) error {
	key := fmt.Sprintf("(%d, hashtext(%s))", streamClass, literal(s.slotName()))
	if err := execute(ctx, c, "SELECT pg_advisory_lock"+key); err != nil {
		return err
	}
	err := f()
	if c.IsClosed() {
		return err // and the lock is free
	}
	return errors.Join(err, execute(context.WithoutCancel(ctx), c, "SELECT pg_advisory_unlock"+key))
}

func (s *system) confirmedAt(ctx context.Context, c *pgconn.PgConn) (lsn uint64, err error) {
	err = statement{sql: "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1", params: []param{text(s.slotName())}, row: func(v [][]byte) error {
		lsn, err = strconv.ParseUint(string(v[0]), 10, 64)
		return err
	}}.run(ctx, c)
	return lsn, err
}

// publish adds the table to the consumer's publication.
func (s *system) publish(ctx context.Context, c *pgconn.PgConn, t *table) error {
	name := s.slotName()
	there, published := false, false
	err := statement{
		sql:    "SELECT EXISTS (SELECT 1 FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = $2) FROM pg_publication p WHERE p.pubname = $1",
		params: []param{text(name), t.id()},
		row:    func(v [][]byte) error { there, published = true, string(v[0]) == "t"; return nil },
	}.run(ctx, c)
	if err != nil || published {
		return err
	}
	return inTransaction(ctx, c, func() error {
		statements := []string{"SET LOCAL lock_timeout = '3s'"}
		if !there {
			statements = append(statements, "CREATE PUBLICATION "+quote(name)+" WITH (publish_via_partition_root = true)")
		}
		// Whoever has written to the table has finished before it is published, see beginStream.
		statements = append(statements, "LOCK TABLE "+t.sql()+" IN SHARE MODE", "ALTER PUBLICATION "+quote(name)+" ADD TABLE "+t.from())
		return execute(ctx, c, statements...)
	})
}

// makeSlot makes the slot when there is none, or none that is still good.
func (s *system) makeSlot(ctx context.Context, c *pgconn.PgConn, t *table) error {
	name := s.slotName()
	there, lost := false, false
	err := statement{
		sql:    "SELECT wal_status = 'lost' OR plugin <> 'pgoutput' OR database <> current_database() FROM pg_replication_slots WHERE slot_name = $1",
		params: []param{text(name)},
		row:    func(v [][]byte) error { there, lost = true, string(v[0]) == "t"; return nil },
	}.run(ctx, c)
	if err != nil || there && !lost {
		return err
	}
	if lost {
		if err := s.dropSlot(ctx, c); err != nil {
			return err
		}
	}
	s.stopStream() // of the slot that was
	// Named before it is there: were it the other way round and cut off in between, a new slot would go by the old one's name.
	if err := execute(ctx, c, "COMMENT ON PUBLICATION "+quote(name)+" IS "+literal(strconv.FormatInt(time.Now().UnixNano(), 36))); err != nil {
		return err
	}
	err = pipeline(ctx, c,
		statement{sql: fmt.Sprintf("SELECT set_config('statement_timeout', '%d', true)", s.patience.Milliseconds())},
		statement{sql: "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", params: []param{text(name)}})
	if err != nil {
		return err
	}
	return inTransaction(ctx, c, func() error {
		return execute(ctx, c, "SET LOCAL lock_timeout = '3s'", "LOCK TABLE "+t.sql()+" IN SHARE MODE") // see beginStream
	})
}

// dropSlot removes the slot, ending whoever still reads it.
func (s *system) dropSlot(ctx context.Context, c *pgconn.PgConn) error {
	name := text(s.slotName())
	for attempt := 0; ; attempt++ {
		err := pipeline(ctx, c,
			statement{sql: "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL", params: []param{name}})
		if err == nil {
			err = statement{sql: "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", params: []param{name}}.run(ctx, c)
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42704" {
			return nil // gone meanwhile
		}
		if err == nil || !errors.As(err, &pg) || pg.Code != "55006" || attempt == 50 {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, but not longer than the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// publication is what the catalogs say of the consumer's publication.
func (s *system) publication(ctx context.Context, c *pgconn.PgConn) (made string, tables []qualified, err error) {
	err = statement{
		sql: `SELECT coalesce(obj_description(p.oid, 'pg_publication'), ''), n.nspname, c.relname FROM pg_publication p
		  LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid LEFT JOIN pg_class c ON c.oid = r.prrelid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
		  WHERE p.pubname = $1`,
		params: []param{text(s.slotName())},
		row: func(v [][]byte) error {
			made = string(v[0])
			if v[1] != nil {
				tables = append(tables, qualified{string(v[1]), string(v[2])})
			}
			return nil
		},
	}.run(ctx, c)
	return made, tables, err
}

// writesAreSeenByLog says whether our own transactions must be marked in the log.
func (s *system) writesAreSeenByLog(ctx context.Context, c *pgconn.PgConn, t *table) (bool, error) {
	ch, err := s.choose(ctx, c, t)
	if err != nil {
		if connector.Classify(err).Class == connector.Reject { // not a matter of writing
			return false, nil
		}
		return false, err
	}
	return ch.by == byLog, nil
}

// confirm lets the server forget what all objects have stored.
func (s *system) confirm(_ context.Context, t *table, p place) error {
	s.mu.Lock()
	st := s.log
	s.mu.Unlock()
	if st != nil && st.made == p.Made && !p.Snapshot {
		st.acknowledge(t.oid, p.LSN)
	}
	return nil
}

// cleanStream takes the tables out of the publication, and removes it and the slot with the last of them.
func (s *system) cleanStream(ctx context.Context, c *pgconn.PgConn, objects []record.Object) error {
	name := s.slotName()
	there := false
	err := statement{sql: "SELECT 1 FROM pg_publication WHERE pubname = $1 UNION ALL SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", params: []param{text(name)},
		row: func([][]byte) error { there = true; return nil }}.run(ctx, c)
	if err != nil || !there {
		return err
	}
	return s.oneStreamMaker(ctx, c, func() error { return s.removeStream(ctx, c, objects) })
}

func (s *system) removeStream(ctx context.Context, c *pgconn.PgConn, objects []record.Object) error {
	name := s.slotName()
	_, tables, err := s.publication(ctx, c)
	if err != nil {
		return err
	}
	left := len(tables)
	for _, o := range objects {
		t, err := s.table(ctx, c, o)
		if err != nil {
			continue // dropped, and with it the publication's entry
		}
		for _, q := range tables {
			if q == t.qualified {
				if err := execute(ctx, c, "ALTER PUBLICATION "+quote(name)+" DROP TABLE "+t.sql()); err != nil {
					return err
				}
				left--
				s.mu.Lock()
				if s.log != nil {
					s.log.leave(t.oid)
				}
				s.mu.Unlock()
			}
		}
	}
	if left > 0 {
		return nil
	}
	s.stopStream()
	if err := s.dropSlot(ctx, c); err != nil {
		return err
	}
	return execute(ctx, c, "DROP PUBLICATION IF EXISTS "+quote(name))
}
