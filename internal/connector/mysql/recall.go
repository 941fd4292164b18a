// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// mayRemember says whether the connector has or may make the table in which writes are remembered. It looks at the
// account's privileges, so as not to leave anything behind in a database that is only read.
func (s *system) mayRemember(ctx context.Context) (bool, error) {
	if s.env.Consumer == "" || len(s.env.Consumer) > 190 {
		return false, nil
	}
	if _, err := s.reads.words(ctx, "SELECT attempt, written FROM "+s.originName()+" LIMIT 0"); err == nil {
		return true, nil
	} else if number(err) == 0 {
		return false, err
	}
	const wanted = "('CREATE', 'SELECT', 'INSERT', 'UPDATE', 'DELETE')"
	rows, err := s.reads.words(ctx, `SELECT COUNT(DISTINCT privilege_type) FROM (
		SELECT privilege_type FROM information_schema.user_privileges WHERE privilege_type IN `+wanted+` AND grantee = CONCAT('\'', REPLACE(CURRENT_USER(), '@', '\'@\''), '\'')
		UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE privilege_type IN `+wanted+` AND grantee = CONCAT('\'', REPLACE(CURRENT_USER(), '@', '\'@\''), '\'')
			AND `+text(s.access.database)+` LIKE table_schema) p`)
	if err != nil {
		return false, err
	}
	return rows[0][0] == "5", nil
}

// remember notes in the running transaction what it wrote.
func (b *batch) remember(ctx context.Context, attempt uuid.UUID, jobs []*job) error {
	if !b.changed || !b.noted || attempt == uuid.Nil {
		return nil
	}
	var none record.EntityID // where older versions have an entity
	written := append([]byte(nil), none[:]...)
	for _, j := range jobs {
		if j.receipt.Outcome == connector.Applied {
			written = append(written, j.w.ID[:]...)
			written = appendPart(written, []byte(j.receipt.Key))
			var stored []byte
			if j.receipt.Stored != nil {
				stored = record.AppendJSON(nil, map[string]any(j.receipt.Stored))
			}
			written = appendPart(written, stored)
		}
	}
	_, _, err := exec(ctx, b.conn, "UPDATE "+b.s.originName()+" SET written = "+string(appendBytes(nil, written))+
		" WHERE consumer = "+text(b.s.env.Consumer)+" AND object = "+text(b.t.schema+"."+b.t.name))
	return err
}

// recall returns what the attempt wrote. It waits for a transaction that is still being committed.
func (s *system) recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]connector.Receipt, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return nil, err
	}
	doing := "recalling what was written to " + t.name
	var out map[record.EntityID]connector.Receipt
	err = s.writes.on(ctx, func(conn *sql.Conn) error {
		return query(ctx, conn, "SELECT attempt, written FROM "+s.originName()+" WHERE consumer = "+text(s.env.Consumer)+" AND object = "+text(t.schema+"."+t.name)+" FOR UPDATE",
			func(row []driver.Value) error {
				if id, err := uuid.FromBytes([]byte(word(row[0]))); err != nil || id != attempt {
					return nil
				}
				var err error
				if out, err = recalled([]byte(word(row[1]))); err != nil {
					err = fmt.Errorf("what was remembered of %s is damaged: %w", t.name, err)
				}
				return err
			})
	})
	if number(err) == 1146 { // nothing was ever written
		return nil, nil
	}
	return out, classify(err, doing)
}

func appendPart(dst, part []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(part))), part...)
}

func cutPart(b []byte) (part, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, nil, false
	}
	b = b[n:]
	return b[:length], b[length:], true
}

// recalled reads what remember wrote: for each record entity, key, and what was stored where that is not what was asked for.
// Earlier versions kept no more than entity and key.
func recalled(b []byte) (map[record.EntityID]connector.Receipt, error) {
	out := make(map[record.EntityID]connector.Receipt)
	const id = len(record.EntityID{})
	whole := len(b) >= id && record.EntityID(b[:id]).IsZero()
	if whole {
		b = b[id:]
	}
	for len(b) > 0 {
		if len(b) < id {
			return nil, errors.New("it ends in the middle of an entity")
		}
		entity := record.EntityID(b[:id])
		key, rest, ok := cutPart(b[id:])
		if !ok {
			return nil, errors.New("it ends in the middle of a key")
		}
		r := connector.Receipt{Outcome: connector.Applied, Key: record.Key(key)}
		if whole {
			var stored []byte
			if stored, rest, ok = cutPart(rest); !ok {
				return nil, errors.New("it ends in the middle of a record")
			}
			if len(stored) > 0 {
				if err := r.Stored.UnmarshalJSON(stored); err != nil {
					return nil, err
				}
			}
		}
		out[entity], b = r, rest
	}
	return out, nil
}
