// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// suiteTypes are the types of the suite's columns. Lists are left out: MySQL has them only as SET, of declared texts.
var suiteTypes = map[connector.Type]string{
	connector.TypeText: "LONGTEXT", connector.TypeInteger: "BIGINT", connector.TypeNumber: "DECIMAL(65,20)", connector.TypeFloat: "DOUBLE",
	connector.TypeBoolean: "BOOLEAN", connector.TypeTimestamp: "TIMESTAMP(6) NULL", connector.TypeDateTime: "DATETIME(6)", connector.TypeDate: "DATE", connector.TypeTime: "TIME(6)",
	connector.TypeBytes: "LONGBLOB", connector.TypeJSON: "JSON", connector.TypeUUID: "UUID",
}

func createTable(name string, shape connectortest.Shape, more ...string) string {
	var parts []string
	for _, f := range shape.Fields {
		typ := suiteTypes[f.Type]
		switch {
		case f.MaxLength > 0:
			// Accents and case tell keys apart here; what they do under other collations has a test of its own.
			typ = fmt.Sprintf("VARCHAR(%d) COLLATE utf8mb4_bin", f.MaxLength)
		case f.Type == connector.TypeNumber && f.Scale > 0:
			typ = fmt.Sprintf("DECIMAL(14,%d)", f.Scale)
		}
		column := quote(f.Name) + " " + typ
		if !f.Nullable {
			column += " NOT NULL"
		}
		if f.Generated {
			column += " AUTO_INCREMENT"
		}
		parts = append(parts, column)
	}
	for _, u := range shape.Unique {
		parts = append(parts, "UNIQUE ("+quote(u)+")")
	}
	if len(shape.Key) > 0 {
		keys := make([]string, len(shape.Key))
		for i, k := range shape.Key {
			keys[i] = quote(k)
		}
		parts = append(parts, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	}
	return "CREATE TABLE " + quote(name) + " (" + strings.Join(append(parts, more...), ", ") + ")"
}

// suiteValue gives MySQL the forms that it reads.
func suiteValue(f connector.FieldInfo, v record.Value) any {
	if s, ok := v.(string); ok && f.Type == connector.TypeTimestamp {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			panic(err)
		}
		return at
	}
	return connectortest.Argument(f, v)
}

func harness(t *testing.T, detection string) connectortest.Harness {
	d := newDatabase(t)
	d.db.SetMaxOpenConns(40)
	users := &connectortest.SQLUsers{DB: d.db, Quote: quote, Mark: func(int) string { return "?" }, Value: suiteValue}
	var more []string
	if detection == byTimestamp {
		more = append(more, "updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), INDEX (updated_at)")
	}
	change := func(name, value string) connector.Settings {
		c := connector.Settings{}
		for k, v := range d.settings {
			c[k] = v
		}
		c[name] = value
		return c
	}
	var made atomic.Int64
	return connectortest.Harness{
		Connector: New(), Settings: d.settings, Detection: detection, Users: users, Judge: "MariaDB (server)", Objects: "tables",
		Bad: []connector.Settings{change("password", "not-the-password"), change("database", "no_such_database"), change("user", "nobody_here")},
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			name := fmt.Sprintf("%s_%d", shape.Name, made.Add(1))
			d.exec(createTable(name, shape, more...))
			users.Know(record.Object(name), shape)
			return record.Object(name)
		},
		Can: connectortest.Can{
			Deletes: detection != byTimestamp, Independent: true, Suppresses: detection == byLog, Watches: detection == byLog,
			Finds: true, Transactions: true, Keyless: true, Composite: true, Rekeys: true, MakesKeys: true, Unique: true, LimitsLength: true, NotNull: true, Rounds: true,
		},
		Types: []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeFloat, connector.TypeBoolean, connector.TypeTimestamp,
			connector.TypeDateTime, connector.TypeDate, connector.TypeTime, connector.TypeBytes, connector.TypeJSON, connector.TypeUUID},
		Unfit: func(typ connector.Type, v record.Value) bool {
			s, _ := v.(string)
			return typ == connector.TypeTimestamp && strings.HasPrefix(s, "1969") // before the first moment of TIMESTAMP
		},
		Leftovers: func(t *testing.T, _ record.Object, consumer string) []string { return d.leftovers(consumer) },
		Not:       map[card.Line]string{card.Webhook: connectortest.NoHooks},
	}
}

// leftovers are the tables and rows that the consumer left.
func (d *database) leftovers(consumer string) (left []string) {
	d.t.Helper()
	for _, q := range []string{
		"SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '" + seenPrefix + mark(consumer) + "%'",
		"SELECT CONCAT('mark for ', object) FROM " + originTable + " WHERE consumer = '" + consumer + "'",
	} {
		rows, err := d.db.Query(q)
		if number(err) == 1146 {
			continue
		}
		if err != nil {
			d.t.Fatal(err)
		}
		left = append(left, texts(d.t, rows)...)
	}
	return left
}

func texts(t testing.TB, rows *sql.Rows) (out []string) {
	t.Helper()
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestSuite(t *testing.T) {
	for _, detection := range []string{byLog, byTimestamp, bySweep} {
		t.Run(detection, func(t *testing.T) {
			t.Parallel()
			testdb.MySQL(t) // the server starts before the clock of any case does
			connectortest.Run(t, harness(t, detection))
		})
	}
}
