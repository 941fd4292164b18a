// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// originTable holds a row per service and table that it writes to. Each of our transactions changes that row first:
// whoever reads the log finds there who wrote the rest of the transaction, and the service that did drops it as an echo.
// The row also says what the last batch wrote, for a caller that was cut off before it learnt the outcome.
const originTable = helperPrefix + "origin"

const originColumns = `
	consumer VARCHAR(190) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'the service that writes',
	object VARCHAR(130) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'the table it writes to',
	n BIGINT NOT NULL COMMENT 'transactions so far',
	attempt BINARY(16) NULL COMMENT 'the last batch',
	written MEDIUMBLOB NULL COMMENT 'what it wrote: 16 bytes that name the entity, the length of the key, the key',
	PRIMARY KEY (consumer, object)`

// helpers is what is known of the tables that the connector makes for itself. Guarded by system.mu.
type helpers struct {
	origin        bool // the table is there and may be written
	originRefused bool // it may not; echoes come back and the engine drops them
	seenRefused   bool // tables of seen keys may not be made; a sweep sees no deletes
	lookedFor     time.Time
}

// lookAgainAfter is how long a table that was not there is not looked for.
const lookAgainAfter = time.Minute

func (s *system) originName() string { return quote(s.access.database) + "." + quote(originTable) }

// mayMark says whether writes can be marked. Who reads the log makes the table of origins for that; who only writes
// marks when it is there.
func (s *system) mayMark(ctx context.Context, create bool) (bool, error) {
	s.mu.Lock()
	known := s.helpers
	s.mu.Unlock()
	if known.origin || known.originRefused || !s.server.logBin && !s.remembers || s.env.Consumer == "" || len(s.env.Consumer) > 190 ||
		!create && time.Since(known.lookedFor) < lookAgainAfter {
		return known.origin, nil
	}
	err := s.makeOrigin(ctx, create)
	for attempt := 1; number(err) == 1146 && create && attempt < tries; attempt++ {
		err = s.makeOrigin(ctx, create) // another service removed the table between its making and our first mark
	}
	if n := number(err); err != nil && (n == 0 || !helperRefused(n)) {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.helpers.origin, s.helpers.originRefused, s.helpers.lookedFor = err == nil, create && err != nil, time.Now()
	return err == nil, nil
}

// makeOrigin makes the table of origins where it is not there and may be made, and marks, which shows that it can be written.
func (s *system) makeOrigin(ctx context.Context, create bool) error {
	return s.writes.on(ctx, func(conn *sql.Conn) error {
		_, _, err := exec(ctx, conn, "SELECT consumer FROM "+s.originName()+" LIMIT 0")
		if n := number(err); create && (n == 1146 || n == 1142) {
			_, _, err = exec(ctx, conn, "CREATE TABLE IF NOT EXISTS "+s.originName()+" ("+originColumns+") ENGINE=InnoDB ROW_FORMAT=DYNAMIC COMMENT='Syncline marks its own writes here, so that they are not taken for changes'")
		}
		if err != nil {
			return err
		}
		_, _, err = exec(ctx, conn, s.markStatement("", uuid.Nil))
		return err
	})
}

// helperRefused says whether the server will not let us have a table of our own.
func helperRefused(n uint16) bool {
	v, known := verdicts[n]
	return !known || v.class != connector.Retry && v.class != connector.SlowDown || n == 1290 || n == 1792 || n == 1836
}

// markStatement makes the running transaction one of ours that writes to the table "schema.name".
func (s *system) markStatement(object string, attempt uuid.UUID) string {
	return fmt.Sprintf("INSERT INTO %s (consumer, object, n, attempt) VALUES (%s, %s, 1, %s) ON DUPLICATE KEY UPDATE n = n + 1, attempt = VALUES(attempt), written = NULL",
		s.originName(), text(s.env.Consumer), text(object), appendBytes(nil, attempt[:]))
}

// mark commits a transaction of ours that does nothing else.
func (s *system) mark(ctx context.Context) error {
	may, err := s.mayMark(ctx, true)
	if err != nil {
		return err
	}
	if !may {
		return fmt.Errorf("there is no table to write to")
	}
	return s.writes.on(ctx, func(conn *sql.Conn) error {
		_, _, err := exec(ctx, conn, s.markStatement("", uuid.Nil))
		return err
	})
}

// originShape is the table of origins as its rows stand in the log.
func originShape() *table {
	t := &table{name: originTable}
	for i, c := range []column{{name: "consumer", kind: kindText, charset: "ascii"}, {name: "object", kind: kindText, charset: "utf8mb4"}} {
		c.position = i
		t.columns = append(t.columns, &c)
	}
	t.key = t.columns // the first two of its columns; the others are stepped over
	return t
}

// Clean removes what this service left in the database: its marks, and the tables themselves when no other service
// uses them.
func (s *system) Clean(ctx context.Context, _ []record.Object) error {
	doing := "removing what the service left"
	names, err := s.reads.words(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = "+text(s.access.database)+" AND table_name LIKE '"+strings.ReplaceAll(helperPrefix, "_", "\\\\_")+"%'")
	if err != nil {
		return classify(err, doing)
	}
	for _, n := range names {
		name := n[0]
		switch {
		case name == originTable:
			err = s.cleanOrigin(ctx)
		case strings.HasPrefix(name, seenPrefix+s.consumerMark()):
			err = s.writes.on(ctx, func(conn *sql.Conn) error {
				_, _, err := exec(ctx, conn, "DROP TABLE IF EXISTS "+quote(s.access.database)+"."+quote(name))
				return err
			})
		}
		if err != nil {
			return classify(err, doing)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.helpers = helpers{}
	return nil
}

func (s *system) cleanOrigin(ctx context.Context) error {
	return s.writes.on(ctx, func(conn *sql.Conn) error {
		_, _, err := exec(ctx, conn, "DELETE FROM "+s.originName()+" WHERE consumer = "+text(s.env.Consumer))
		if number(err) == 1146 {
			return nil
		}
		if err != nil {
			return err
		}
		// Under a lock, so that nobody else's mark goes with the table. Without the right to lock, it stays, empty.
		if _, _, err := exec(ctx, conn, "LOCK TABLES "+s.originName()+" WRITE"); err != nil {
			return nil
		}
		defer exec(context.WithoutCancel(ctx), conn, "UNLOCK TABLES") //nolint:errcheck // a connection that fails here is thrown away
		used := false
		if err := query(ctx, conn, "SELECT 1 FROM "+s.originName()+" LIMIT 1", func([]driver.Value) error { used = true; return nil }); err != nil || used {
			return err
		}
		_, _, err = exec(ctx, conn, "DROP TABLE "+s.originName())
		return err
	})
}

// helperMissing is said when writes should be remembered and cannot be.
func (s *system) helperMissing(err error) *connector.Error {
	return &connector.Error{Class: connector.Retry, Code: "mysql.helper_missing", Err: err, Message: fmt.Sprintf(
		"The table %s, in which writes are remembered, is gone or may not be written. Grant the account %s CREATE, SELECT, INSERT, UPDATE and DELETE on the database %s; the table is then made again.", originTable, s.access.user, s.access.database)}
}
