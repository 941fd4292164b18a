// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// What the last batch of each consumer wrote to a table is remembered in syncline.writes, in the commit that wrote it. Who was cut
// off between that commit and its answer learns from it what the row alone cannot tell, once somebody else changed the row.

// mayRemember says whether the table is there for us, or may be made.
const mayRemember = `
SELECT CASE
  WHEN pg_is_in_recovery() THEN false
  WHEN to_regclass('syncline.writes') IS NOT NULL THEN has_table_privilege('syncline.writes', 'SELECT') AND has_table_privilege('syncline.writes', 'INSERT') AND has_table_privilege('syncline.writes', 'UPDATE')
  WHEN to_regnamespace('syncline') IS NOT NULL THEN has_schema_privilege('syncline', 'CREATE')
  ELSE has_database_privilege(current_database(), 'CREATE') END, to_regclass('syncline.writes') IS NOT NULL`

const makeWrites = `
DO $syncline$ BEGIN` + ensureSchema + `
IF to_regclass('syncline.writes') IS NULL THEN
  CREATE TABLE syncline.writes (consumer text, relation oid, attempt uuid NOT NULL, written text NOT NULL, PRIMARY KEY (consumer, relation)) WITH (fillfactor = 50);
  COMMENT ON TABLE syncline.writes IS 'What the last batch of each consumer wrote to a table.';
END IF;
END $syncline$`

// remembering says whether writes are remembered in this database, and makes the table for them if need be.
func (s *system) remembering(ctx context.Context, c *pgconn.PgConn) (bool, error) {
	s.mu.Lock()
	known := s.remembers
	s.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	may, there := false, false
	err := statement{sql: mayRemember, row: func(v [][]byte) error {
		may, there = string(v[0]) == "t", string(v[1]) == "t"
		return nil
	}}.run(ctx, c)
	if err != nil {
		return false, err
	}
	if may && !there {
		err := inTransaction(ctx, c, func() error {
			return execute(ctx, c, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass), makeWrites)
		})
		if err != nil {
			return false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remembers = &may
	return may, nil
}

// written is one record as it is remembered.
type written struct {
	ID     uuid.UUID     `json:"id"`
	Key    record.Key    `json:"key"`
	Stored record.Fields `json:"stored,omitempty"`
}

// remember is the statement that notes, in the running transaction, what the batch wrote in it and before; none if that is nothing.
func (b *batch) remember(groups []*group, results [][]result) ([]statement, error) {
	if !b.remembers {
		return nil, nil
	}
	all := b.written[:len(b.written):len(b.written)]
	for i, g := range groups {
		for _, r := range results[i] {
			if receipt := b.receipt(g, r); receipt.Outcome == connector.Applied {
				all = append(all, written{uuid.UUID(b.writes[r.row.at].ID), receipt.Key, receipt.Stored})
			}
		}
	}
	if len(all) == len(b.written) {
		return nil, nil
	}
	list, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	b.noting = all
	return []statement{{
		sql: `INSERT INTO syncline.writes (consumer, relation, attempt, written) VALUES ($1, $2, $3::uuid, $4)
			ON CONFLICT (consumer, relation) DO UPDATE SET attempt = excluded.attempt, written = excluded.written`,
		params: []param{text(b.s.consumer()), b.t.id(), text(b.writes[0].Attempt.String()), text(string(list))},
	}}, nil
}

// Recall returns what the attempt wrote. It waits for a transaction that is still being committed.
func (s *system) Recall(ctx context.Context, object record.Object, attempt uuid.UUID) (out map[record.EntityID]connector.Receipt, err error) {
	known := false
	err = s.on(ctx, "recalling what was written", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		err = statement{
			sql:    "SELECT attempt, written FROM syncline.writes WHERE consumer = $1 AND relation = $2 FOR UPDATE",
			params: []param{text(s.consumer()), t.id()},
			row: func(v [][]byte) error {
				known = true
				if string(v[0]) != attempt.String() {
					return nil
				}
				var list []written
				if err := json.Unmarshal(v[1], &list); err != nil {
					return fmt.Errorf("what was remembered of %s is damaged: %w", t.sql(), err)
				}
				out = make(map[record.EntityID]connector.Receipt, len(list))
				for _, w := range list {
					out[record.EntityID(w.ID)] = connector.Receipt{Outcome: connector.Applied, Key: w.Key, Stored: w.Stored}
				}
				return nil
			},
		}.run(ctx, c)
		if missingRelation(err) || forbidden(err) {
			return nil
		}
		return err
	})
	if err == nil && !known { // nothing was written yet, or by an account that may not keep a table here
		return nil, connector.ErrNotRemembered
	}
	return out, err
}

// forgetWrites removes what was remembered for this consumer, and the table with the last of it.
func (s *system) forgetWrites(ctx context.Context, c *pgconn.PgConn, oids []uint32) error {
	var ids []string
	for _, oid := range oids {
		ids = append(ids, fmt.Sprint(oid))
	}
	err := inTransaction(ctx, c, func() error {
		if err := execute(ctx, c, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass), "SET LOCAL lock_timeout = '5s'"); err != nil {
			return err
		}
		err := statement{
			sql:    `DELETE FROM syncline.writes w WHERE consumer = $1 AND relation = ANY ($2::oid[]) OR NOT EXISTS (SELECT 1 FROM pg_class WHERE oid = w.relation)`,
			params: []param{text(s.consumer()), texts(ids)},
		}.run(ctx, c)
		if err != nil {
			return err
		}
		empty := func() (empty bool, err error) {
			err = statement{sql: "SELECT NOT EXISTS (SELECT 1 FROM syncline.writes)", row: func(v [][]byte) error {
				empty = string(v[0]) == "t"
				return nil
			}}.run(ctx, c)
			return empty, err
		}
		if last, err := empty(); err != nil || !last {
			return err
		}
		// Somebody may write just now: what they note is waited for, and stays.
		if err := execute(ctx, c, "LOCK TABLE syncline.writes IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if last, err := empty(); err != nil || !last {
			return err
		}
		return execute(ctx, c, "DROP TABLE syncline.writes")
	})
	s.mu.Lock()
	s.remembers = nil
	s.mu.Unlock()
	if missingRelation(err) || forbidden(err) {
		return nil
	}
	return err
}
