// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// User edits an object's records behind every connector's back.
type User struct {
	m      *Memory
	object record.Object
}

// User returns a user of the object, which must be declared.
func (m *Memory) User(object record.Object) User {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[object]; !there {
		panic(fmt.Sprintf("connectortest: no object %s was declared", object))
	}
	return User{m, object}
}

// Put creates the record, or sets these of its fields. The key's fields are filled in from the key.
func (u User) Put(key record.Key, fields record.Fields) {
	u.m.edit(u.object, func(t *table) {
		u.m.set(t, key, u.merged(t, key, fields), "")
	})
}

// PutAll is Put for many records in one step: readers see all or none.
func (u User) PutAll(records map[record.Key]record.Fields) {
	keys := make([]record.Key, 0, len(records))
	for k := range records {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	u.m.edit(u.object, func(t *table) {
		for _, k := range keys {
			u.m.set(t, k, u.merged(t, k, records[k]), "")
		}
	})
}

// Tamper sets fields of a record without a trace: no reader is told. Nil fields remove it, in the same way.
func (u User) Tamper(key record.Key, fields record.Fields) {
	u.m.edit(u.object, func(t *table) {
		r, there := t.rows[key]
		if !there {
			r = &row{key: key, deleted: true}
			t.rows[key] = r
			t.pending = append(t.pending, key)
		}
		if fields == nil {
			r.fields, r.deleted = nil, true
			return
		}
		r.fields, r.deleted = u.merged(t, key, fields), false
	})
}

// Delete removes the record; one that is not there stays so without a trace.
func (u User) Delete(key record.Key) {
	u.m.edit(u.object, func(t *table) {
		if r, there := t.rows[key]; there && !r.deleted {
			u.m.set(t, key, nil, "")
		}
	})
}

// Rekey gives the record another key: a delete and a create in one step.
func (u User) Rekey(from, to record.Key) {
	u.m.edit(u.object, func(t *table) {
		r, there := t.rows[from]
		if !there || r.deleted {
			return
		}
		fields := r.fields.Clone()
		for _, name := range t.info.Key {
			delete(fields, name)
		}
		u.m.set(t, from, nil, "")
		u.m.set(t, to, u.merged(t, to, fields), "")
	})
}

// Get returns the record's fields, or nil when there is none.
func (u User) Get(key record.Key) record.Fields {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	if r, there := u.m.objects[u.object].rows[key]; there && !r.deleted {
		return r.fields.Clone()
	}
	return nil
}

// All returns every record.
func (u User) All() map[record.Key]record.Fields {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	t := u.m.objects[u.object]
	all := make(map[record.Key]record.Fields, t.live)
	for k, r := range t.rows {
		if !r.deleted {
			all[k] = r.fields.Clone()
		}
	}
	return all
}

// Writes counts the changes that consumers made to the object by Write since the beginning. With it a test sees that a
// repeated delivery changed nothing.
func (u User) Writes() int64 {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	return u.m.objects[u.object].written
}

func (u User) merged(t *table, key record.Key, fields record.Fields) record.Fields {
	out := record.Fields{}
	if r, there := t.rows[key]; there && !r.deleted {
		out = r.fields.Clone()
	} else {
		for _, f := range t.info.Fields {
			out[f.Name] = nil
		}
		parts, err := key.Parts(len(t.info.Key))
		if err != nil {
			panic("connectortest: " + err.Error())
		}
		for i, name := range t.info.Key {
			f, _ := t.info.Field(name)
			out[name] = keyValue(f.Type, parts[i])
		}
	}
	for name, v := range fields {
		if _, known := t.info.Field(name); !known {
			panic(fmt.Sprintf("connectortest: %s has no field %s; it has %s", t.info.Name, name, strings.Join(fieldNames(t.info), ", ")))
		}
		out[name] = t.kept(name, v)
	}
	return out
}

// edit runs f with the system locked and then tells who watches.
func (m *Memory) edit(object record.Object, f func(*table)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.objects[object]
	before := m.seq
	f(t)
	if m.seq != before {
		m.wake(object)
	}
}

// KeyOf is the key that these fields make, "" when a key field is missing.
func (m *Memory) KeyOf(object record.Object, fields record.Fields) record.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.objects[object]
	for _, name := range t.info.Key {
		if fields[name] == nil {
			return ""
		}
	}
	return t.keyIn(fields)
}
