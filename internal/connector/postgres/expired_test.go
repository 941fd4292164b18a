// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// A role whose password has an end cannot sign in behind it: the connection asks for a new one, and then reading goes on from where it stood.
func TestPasswordEnds(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "postgresql", card.Expired)
	address := testdb.Postgres(t)
	db := openDB(t, address)
	good := settings(t, address)
	role := fmt.Sprintf("expiring_%d", time.Now().UnixNano())
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY, name text)`, `INSERT INTO thing VALUES (1, 'a')`, `CREATE ROLE `+role+` LOGIN PASSWORD 'first'`, `GRANT ALL ON SCHEMA public TO `+role, `GRANT ALL ON thing TO `+role)
	t.Cleanup(func() { mustExec(t, db, `DROP OWNED BY `+role, `DROP ROLE `+role) })
	open := func(password string) (connector.System, error) {
		checked, err := postgres.New().Spec().Check(with(with(good, "user", role), "password", password))
		if err != nil {
			t.Fatal(err)
		}
		return postgres.New().Open(t.Context(), checked, connector.Env{Dial: env.Dial, Consumer: "svc_expired", Detection: "hash"})
	}
	// read opens the connection, reads on, and closes it.
	read := func(password string, cursor record.Cursor) (keys []record.Key, _ record.Cursor, err error) {
		sys, err := open(password)
		if err != nil {
			return nil, cursor, err
		}
		defer func() { _ = sys.Close() }()
		return connectortest.ReadKeys(t.Context(), sys, "thing", cursor)
	}
	keys, cursor, err := read("first", nil)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	mustExec(t, db, `INSERT INTO thing VALUES (2, 'b')`, `ALTER ROLE `+role+` VALID UNTIL 'yesterday'`)
	if _, _, err := read("first", cursor); connector.Classify(err).Class != connector.Reconnect {
		t.Errorf("with a password that ended: %v", err)
	}
	mustExec(t, db, `ALTER ROLE `+role+` PASSWORD 'second' VALID UNTIL 'infinity'`)
	if keys, _, err = read("second", cursor); err != nil || !slices.Contains(keys, "2") {
		t.Errorf("with a new one: %v, %v", keys, err)
	}
}
