// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
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
	var written []byte
	for _, j := range jobs {
		if j.receipt.Outcome == connector.Applied {
			written = append(written, j.w.ID[:]...)
			written = binary.AppendUvarint(written, uint64(len(j.receipt.Key)))
			written = append(written, j.receipt.Key...)
		}
	}
	_, _, err := exec(ctx, b.conn, "UPDATE "+b.s.originName()+" SET written = "+string(appendBytes(nil, written))+
		" WHERE consumer = "+text(b.s.env.Consumer)+" AND object = "+text(b.t.schema+"."+b.t.name))
	return err
}

// recall returns what the attempt wrote. It waits for a transaction that is still being committed.
func (s *system) recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]record.Key, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return nil, err
	}
	doing := "recalling what was written to " + t.name
	var out map[record.EntityID]record.Key
	err = s.writes.on(ctx, func(conn *sql.Conn) error {
		return query(ctx, conn, "SELECT attempt, written FROM "+s.originName()+" WHERE consumer = "+text(s.env.Consumer)+" AND object = "+text(t.schema+"."+t.name)+" FOR UPDATE",
			func(row []driver.Value) error {
				if id, err := uuid.FromBytes([]byte(word(row[0]))); err != nil || id != attempt {
					return nil
				}
				out = make(map[record.EntityID]record.Key)
				written := []byte(word(row[1]))
				for len(written) > 0 {
					length, n := binary.Uvarint(written[min(16, len(written)):])
					if end := 16 + n + int(length); n <= 0 || end > len(written) {
						return fmt.Errorf("what was remembered of %s is damaged", t.name)
					}
					out[record.EntityID(written[:16])] = record.Key(written[16+n : 16+n+int(length)])
					written = written[16+n+int(length):]
				}
				return nil
			})
	})
	if number(err) == 1146 { // nothing was ever written
		return nil, nil
	}
	return out, classify(err, doing)
}
