// SPDX-License-Identifier: Apache-2.0

// Package record is the vocabulary of data: systems, objects, keys, records, changes, entities and links.
package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// System is a connection's seat in a service, by the id the document gives it ("warehouse-db").
type System string

// Object names a set of records in a system ("Contact", "public.stock_levels").
type Object string

// Key is a record's identity in its system and object. A key of several columns is their canonical JSON list
// (`["DE","WIDGET"]`), a key of one column is its plain text; see MakeKey.
type Key string

// MakeKey builds the key from the canonical values of the key columns, in the order of the object's key.
func MakeKey(values ...Value) Key {
	if len(values) == 1 {
		return Key(Text(values[0]))
	}
	return Key(AppendJSON(nil, values))
}

// Parts gives the key column texts back; n is the number of key columns of the object.
func (k Key) Parts(n int) ([]string, error) {
	if n == 1 {
		return []string{string(k)}, nil
	}
	v, err := ParseJSON([]byte(k))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", string(k), err)
	}
	list, ok := v.([]any)
	if !ok || len(list) != n {
		return nil, fmt.Errorf("key %q does not have %d parts", string(k), n)
	}
	parts := make([]string, n)
	for i := range list {
		parts[i] = Text(list[i])
	}
	return parts, nil
}

// Fields are a record's values by field name, in canonical form.
type Fields map[string]Value

// MarshalJSON writes the fields with sorted names; equal fields give equal bytes.
func (f Fields) MarshalJSON() ([]byte, error) {
	if f == nil {
		return []byte("{}"), nil
	}
	return appendObject(nil, f), nil
}

// UnmarshalJSON reads a JSON object into canonical values.
func (f *Fields) UnmarshalJSON(b []byte) error {
	v, err := ParseJSON(b)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		*f = nil
	case map[string]any:
		*f = v
	default:
		return fmt.Errorf("fields must be a JSON object")
	}
	return nil
}

var _ json.Marshaler = Fields(nil)

// Clone copies the map; the values are never changed in place, so they are shared.
func (f Fields) Clone() Fields {
	c := make(Fields, len(f))
	for k, v := range f {
		c[k] = v
	}
	return c
}

// Equal says whether both hold the same fields with the same values.
func (f Fields) Equal(g Fields) bool { return Equal(map[string]any(f), map[string]any(g)) }

// Op is what happened to a record.
type Op string

// The operations.
const (
	Upsert Op = "upsert" // it was created or changed; the change holds its present state
	Delete Op = "delete"
)

// Change says that a record became different: one item of what a system's reader returns.
type Change struct {
	Key     Key
	Op      Op
	Fields  Fields    // the record as it is now, in the system's own field names; nil for a delete
	Version string    // the system's own stamp of this state, "" where it has none
	At      time.Time // when it happened by the system's clock; zero when the system cannot tell
	Absent  bool      // a delete that nobody told of: the record was missing from a full reading
}

// Cursor is where reading a system's object stands, opaque to all but its connector; nil is the beginning.
type Cursor []byte

// EntityID names an entity. Ids are version 7 uuids, so their order is the order of creation.
type EntityID uuid.UUID

// NewEntityID makes an id that sorts after those made before it.
func NewEntityID() EntityID { return EntityID(uuid.Must(uuid.NewV7())) }

func (id EntityID) String() string { return uuid.UUID(id).String() }

// IsZero says whether no entity is named.
func (id EntityID) IsZero() bool { return id == EntityID{} }
