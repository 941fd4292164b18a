// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Harness says how to reach a system, and what the connector can do there. What it cannot is stated here, never found out
// by trying, so that a capability cannot be lost unnoticed.
type Harness struct {
	Connector connector.Connector
	Settings  connector.Settings   // that work, before Spec.Check
	Bad       []connector.Settings // with credentials or addresses that do not; Open or Check must say Reconnect
	Detection string               // the way of seeing changes under test
	// Env is what to open the system with; Consumer and Detection are filled in by the suite.
	Env connector.Env
	// Create makes an empty object of this shape, to be gone when the test ends, and returns its name. Columns beyond
	// the shape's are fine.
	Create func(t *testing.T, shape Shape) record.Object
	Users  Users
	Can    Can
	// Not are the lines of the suite that do not apply to the system, with the reason.
	Not map[card.Line]string
	// Judge says what it runs against, for the table of connectors: "MariaDB 11 (server)". Objects says what it syncs: "tables".
	Judge, Objects string
	// Types are those that the system has columns for; nil is all.
	Types []connector.Type
	// Unfit says that the system cannot hold this value in a column of the type.
	Unfit func(typ connector.Type, v record.Value) bool
	// Most is how many records a batch has in the case of many; 0 is 700. An emulator that looks at all records for each write
	// is spared.
	Most int
	// LosePlace makes the consumer's cursors for the object unreadable; nil when that cannot happen.
	LosePlace func(t *testing.T, object record.Object, consumer string)
	// Leftovers lists what the connector left in the system for the consumer or the object; nil when it never leaves
	// anything.
	Leftovers func(t *testing.T, object record.Object, consumer string) []string
}

// Can is what the connector can do with this detection.
type Can struct {
	Deletes      bool // the stream sees deletes
	Independent  bool // a long open transaction does not delay the changes of others
	Suppresses   bool // a consumer does not read its own writes
	Watches      bool // Watcher
	Finds        bool // Finder
	Transactions bool // users can keep a transaction open: Users.Begin
	Keyless      bool // objects without a key can be made (and must be refused)
	Composite    bool // keys of several fields
	Rekeys       bool // a user can change a record's key
	MakesKeys    bool // the system makes keys
	Unique       bool // unique constraints
	LimitsLength bool // text longer than MaxLength is refused
	NotNull      bool // null is refused where it is not allowed
	Schemaless   bool // fields are learnt from examples, and any value is taken in any of them
	Rounds       bool // numbers are rounded to the column's scale
}

// Shape is an object to make. Its Name is a hint.
type Shape struct {
	connector.ObjectInfo
	Unique []string // fields with a unique constraint of their own
}

// Edits are a user's, behind the connector's back. Rows and sets are canonical values by field name; a field not named is
// left alone, or null in an insert. Each call is one commit, unless it is part of a transaction.
type Edits interface {
	Insert(t testing.TB, object record.Object, rows ...record.Fields)
	// Update sets fields of one record; setting key fields gives it another key.
	Update(t testing.TB, object record.Object, key record.Key, set record.Fields)
	Delete(t testing.TB, object record.Object, keys ...record.Key)
}

// Users are those who work in the system directly.
type Users interface {
	Edits
	// Begin starts a transaction; it is called only where Can.Transactions.
	Begin(t testing.TB) Transaction
}

// Transaction is a user's edits that become visible together, or never.
type Transaction interface {
	Edits
	Commit(t testing.TB)
	Rollback(t testing.TB)
}

// The shapes that the suite works with.
var (
	items = Shape{
		ObjectInfo: connector.ObjectInfo{Name: "items", Key: []string{"id"}, Fields: []connector.FieldInfo{
			{Name: "id", Type: connector.TypeInteger},
			{Name: "name", Type: connector.TypeText, MaxLength: 20},
			{Name: "note", Type: connector.TypeText, Nullable: true},
			{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
			{Name: "price", Type: connector.TypeNumber, Nullable: true, Scale: 2},
			{Name: "code", Type: connector.TypeText, Nullable: true, MaxLength: 40},
		}},
		Unique: []string{"code"},
	}
	natural = Shape{ObjectInfo: connector.ObjectInfo{Name: "natural", Key: []string{"sku"}, Fields: []connector.FieldInfo{
		{Name: "sku", Type: connector.TypeText, MaxLength: 60},
		{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
	}}}
	regions = Shape{ObjectInfo: connector.ObjectInfo{Name: "regions", Key: []string{"country", "shelf"}, Fields: []connector.FieldInfo{
		{Name: "country", Type: connector.TypeText, MaxLength: 40},
		{Name: "shelf", Type: connector.TypeInteger},
		{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
	}}}
	serial = Shape{ObjectInfo: connector.ObjectInfo{Name: "serial", Key: []string{"id"}, Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeInteger, Generated: true},
		{Name: "name", Type: connector.TypeText, Nullable: true},
	}}}
	keyless = Shape{ObjectInfo: connector.ObjectInfo{Name: "keyless", Fields: []connector.FieldInfo{
		{Name: "name", Type: connector.TypeText, Nullable: true},
	}}}
)

// typed has a nullable column of each of the types.
func typed(types []connector.Type) Shape {
	s := Shape{ObjectInfo: connector.ObjectInfo{Name: "typed", Key: []string{"id"}, Fields: []connector.FieldInfo{{Name: "id", Type: connector.TypeInteger}}}}
	for _, typ := range types {
		s.Fields = append(s.Fields, connector.FieldInfo{Name: "a_" + string(typ), Type: typ, Nullable: true, Scale: -1})
	}
	return s
}

var allTypes = []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeFloat,
	connector.TypeBoolean, connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate, connector.TypeTime,
	connector.TypeBytes, connector.TypeJSON, connector.TypeArray, connector.TypeUUID}
