// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// An account that the server grants so many statements an hour uses them up, and one whose password the server lets end cannot sign in: the first waits,
// the second asks for a new one, and with more statements, or a new password, reading goes on from where it stood.
func TestAccountsWithLimits(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "mysql", card.Limit, card.Expired)
	d := newDatabase(t, `CREATE TABLE thing (id int PRIMARY KEY, name varchar(20))`, `INSERT INTO thing VALUES (1, 'a')`)
	user := "u" + strings.ReplaceAll(d.settings["database"], "-", "_")
	user = user[len(user)-min(len(user), 30):]
	d.exec(fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'first-Word-1'", user), fmt.Sprintf("GRANT ALL ON `%s`.* TO '%s'@'%%'", d.settings["database"], user))
	t.Cleanup(func() { d.exec(fmt.Sprintf("DROP USER '%s'@'%%'", user)) })
	open := func(password string) (connector.System, error) {
		s := maps.Clone(d.settings)
		s["user"], s["password"] = user, password
		sys, err := New().Open(t.Context(), s, connector.Env{Consumer: "svc_limit", Detection: bySweep})
		if err == nil {
			t.Cleanup(func() { _ = sys.Close() })
		}
		return sys, err
	}
	read := func(sys connector.System, cursor record.Cursor) ([]record.Key, record.Cursor, error) {
		return connectortest.ReadKeys(t.Context(), sys, "thing", cursor)
	}
	sys, err := open("first-Word-1")
	if err != nil {
		t.Fatal(err)
	}
	keys, cursor, err := read(sys, nil)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	d.exec(`INSERT INTO thing VALUES (2, 'b')`, fmt.Sprintf("ALTER USER '%s'@'%%' WITH MAX_QUERIES_PER_HOUR 1", user), "FLUSH USER_RESOURCES")
	if sys, err = open("first-Word-1"); err == nil { // it counts for connections made from now on
		_, _, err = read(sys, cursor)
	}
	if e := connector.Classify(err); e.Class != connector.SlowDown || e.Code != "mysql.budget" {
		t.Errorf("with nothing left: %v", err)
	}
	d.exec(fmt.Sprintf("ALTER USER '%s'@'%%' WITH MAX_QUERIES_PER_HOUR 0", user), "FLUSH USER_RESOURCES")
	if sys, err = open("first-Word-1"); err != nil {
		t.Fatal(err)
	}
	if keys, cursor, err = read(sys, cursor); err != nil || !slices.Contains(keys, "2") {
		t.Errorf("with more: %v, %v", keys, err)
	}
	d.exec(`INSERT INTO thing VALUES (3, 'c')`, fmt.Sprintf("ALTER USER '%s'@'%%' PASSWORD EXPIRE", user))
	if sys, err = open("first-Word-1"); err == nil {
		_, _, err = read(sys, cursor)
	}
	if e := connector.Classify(err); e.Class != connector.Reconnect || e.Code != "mysql.login" {
		t.Errorf("with a password that ended: %v", err)
	}
	d.exec(fmt.Sprintf("ALTER USER '%s'@'%%' IDENTIFIED BY 'second-Word-2'", user))
	if sys, err = open("second-Word-2"); err != nil {
		t.Fatal(err)
	}
	if keys, _, err = read(sys, cursor); err != nil || !slices.Contains(keys, "3") {
		t.Errorf("with a new one: %v, %v", keys, err)
	}
}
