// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// A consumer that has not been heard of for so long no longer holds the log; it will have to read the table anew.
const forgetAfterDays = 7

// trimEvery bounds how often a log is trimmed.
const trimEvery = time.Second

// Acknowledge frees what no consumer needs any more.
func (s *system) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	return s.on(ctx, "acknowledging", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		p, err := placeOf(cursor, t)
		if err != nil {
			return err
		}
		switch p.By {
		case byTrigger:
			return s.trimLog(ctx, c, t, p)
		case byLog:
			return s.confirm(ctx, t, p)
		case byHash:
			return s.confirmHashes(ctx, c, t, p)
		}
		return nil
	})
}

// trimLog notes the consumer's place and removes what all have read.
func (s *system) trimLog(ctx context.Context, c *pgconn.PgConn, t *table, p place) error {
	s.mu.Lock()
	recently := time.Since(s.trimmed[t.oid]) < trimEvery
	if !recently {
		if s.trimmed == nil {
			s.trimmed = map[uint32]time.Time{}
		}
		s.trimmed[t.oid] = time.Now()
	}
	s.mu.Unlock()
	if recently {
		return nil
	}
	seen, err := parseSnapshot(p.Seen)
	if err != nil {
		return err
	}
	err = pipeline(ctx, c,
		statement{sql: "BEGIN"},
		statement{
			sql:    "UPDATE syncline.consumers SET acked = greatest(acked, $3), seen_at = now() WHERE consumer = $1 AND relation = $2",
			params: []param{text(s.consumer()), t.id(), xid(seen.xmin)},
		},
		statement{
			sql: fmt.Sprintf(`UPDATE syncline.relations SET floor = least.acked
			  FROM (SELECT acked FROM syncline.consumers WHERE relation = $1 AND seen_at > now() - interval '%d days' ORDER BY acked LIMIT 1) least
			  WHERE relation = $1 AND floor < least.acked`, forgetAfterDays),
			params: []param{t.id()},
		},
		statement{sql: fmt.Sprintf("DELETE FROM %s WHERE xid < (SELECT floor FROM syncline.relations WHERE relation = $1)", t.logName()), params: []param{t.id()}},
		statement{sql: "COMMIT"})
	if err == nil {
		return nil
	}
	if !c.IsClosed() && c.TxStatus() != 'I' {
		if err := execute(ctx, c, "ROLLBACK"); err != nil {
			return err
		}
	}
	if missingRelation(err) { // the next Read tells
		return nil
	}
	return err
}

// Clean removes what was left in the database for this consumer, and what no other needs.
func (s *system) Clean(ctx context.Context, objects []record.Object) error {
	err := s.on(ctx, "cleaning up", func(c *pgconn.PgConn) error {
		var oids []uint32
		for _, o := range objects {
			t, err := s.load(ctx, c, o)
			if connector.Classify(err).Class == connector.Reject {
				continue // the table is gone; what is left of it is found below
			}
			if err != nil {
				return err
			}
			oids = append(oids, t.oid)
		}
		if err := s.cleanLogs(ctx, c, oids); err != nil {
			return err
		}
		if err := s.cleanHashes(ctx, c, oids); err != nil {
			return err
		}
		if err := s.cleanStream(ctx, c, objects); err != nil {
			return err
		}
		if err := s.forgetWrites(ctx, c, oids); err != nil {
			return err
		}
		return s.cleanSchema(ctx, c)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		delete(s.chosen, o)
		delete(s.tables, o)
	}
	return err
}

// cleanLogs gives up the consumer's places and removes the logs that nobody reads any more, those of dropped tables
// included.
func (s *system) cleanLogs(ctx context.Context, c *pgconn.PgConn, oids []uint32) error {
	var ids []string
	for _, oid := range oids {
		ids = append(ids, fmt.Sprint(oid))
	}
	var unread []*table
	err := inTransaction(ctx, c, func() error {
		if err := execute(ctx, c, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass), "SET LOCAL lock_timeout = '5s'"); err != nil {
			return err
		}
		err := statement{sql: "DELETE FROM syncline.consumers WHERE consumer = $1 AND relation = ANY ($2::oid[])", params: []param{text(s.consumer()), texts(ids)}}.run(ctx, c)
		if err != nil {
			return err
		}
		err = statement{
			sql: `SELECT r.relation FROM syncline.relations r
			  WHERE NOT EXISTS (SELECT 1 FROM syncline.consumers c WHERE c.relation = r.relation) OR NOT EXISTS (SELECT 1 FROM pg_class WHERE oid = r.relation)`,
			row: func(v [][]byte) error {
				var oid uint32
				_, err := fmt.Sscan(string(v[0]), &oid)
				unread = append(unread, &table{oid: oid})
				return err
			},
		}.run(ctx, c)
		if err != nil {
			return err
		}
		for _, t := range unread {
			if err := execute(ctx, c, t.dropLog()...); err != nil {
				return err
			}
		}
		return nil
	})
	if missingRelation(err) {
		return nil // there never was a log
	}
	return err
}

// cleanSchema removes the schema syncline when nothing of anybody is left in it.
func (s *system) cleanSchema(ctx context.Context, c *pgconn.PgConn) error {
	err := inTransaction(ctx, c, func() error {
		if err := execute(ctx, c, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass)); err != nil {
			return err
		}
		empty := false
		err := statement{
			sql: `SELECT NOT EXISTS (SELECT 1 FROM syncline.relations) AND NOT EXISTS (
			  SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'syncline' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname NOT IN ('relations', 'consumers'))`,
			row: func(v [][]byte) error { empty = string(v[0]) == "t"; return nil },
		}.run(ctx, c)
		if err != nil || !empty {
			return err
		}
		return execute(ctx, c, "DROP TABLE syncline.consumers, syncline.relations", "DROP SCHEMA syncline")
	})
	if missingRelation(err) { // there never was a log, and so there is nothing but what we wrote
		return inTransaction(ctx, c, func() error {
			return execute(ctx, c, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass), `DO $syncline$ BEGIN
IF NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'syncline') AND pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'syncline'), 'USAGE') THEN
  DROP SCHEMA syncline;
END IF;
END $syncline$`)
		})
	}
	return err
}
