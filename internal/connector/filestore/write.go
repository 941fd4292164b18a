// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxTries bounds how often a batch begins anew because somebody else changed the file meanwhile.
const maxTries = 20

// Write implements connector.Writer: the file is read, the batch is carried out in memory, and the file is replaced if
// nobody changed it meanwhile; else all of it begins anew.
func (s *System) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	name, _ := sheetOf(object)
	for range maxTries {
		before, err := s.load(ctx, object)
		if err != nil {
			return nil, err
		}
		t := before.copied()
		receipts := make([]connector.Receipt, len(writes))
		b := batch{table: t, removed: map[*row]bool{}}
		for i := range writes {
			receipts[i] = b.write(&writes[i])
		}
		if !b.changed {
			return receipts, nil
		}
		b.finish()
		data, err := t.codec.encode(t)
		if err != nil {
			return nil, &connector.Error{Class: connector.Reject, Code: "files.not_writable", Message: fmt.Sprintf("%s cannot be written: %v.", object, err), Err: err}
		}
		if int64(len(data)) > s.options.MaxBytes {
			return nil, s.tooLarge(object, int64(len(data)))
		}
		_, err = s.store.Put(ctx, name, data, before.version)
		switch {
		case errors.Is(err, ErrMoved), errors.Is(err, ErrNotFound):
			s.forget(object)
			continue
		case errors.Is(err, ErrReadOnly):
			return nil, &connector.Error{Class: connector.Reconnect, Code: "files.read_only", Message: fmt.Sprintf("%s may not be written in %s. Allow writing, or take the object out of what this system receives.", object, s.title), Err: err}
		case err != nil:
			s.forget(object)
			return nil, err
		}
		s.written.NoteApplied(object, writes, receipts)
		s.forget(object) // what was written is read back, so that what counts as known is what stands there
		return receipts, nil
	}
	return nil, &connector.Error{Class: connector.Retry, Code: "files.busy", Message: fmt.Sprintf("%s is changed by others all the time; it will be tried again.", object)}
}

func (s *System) forget(object record.Object) {
	name, _ := sheetOf(object)
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := range s.tables { // other sheets of the workbook, too
		if n, _ := sheetOf(o); n == name {
			delete(s.tables, o)
		}
	}
}

// batch carries out writes on a table in memory.
type batch struct {
	*table
	changed bool
	removed map[*row]bool
	follow  map[*row]*row
	taken   map[string]map[string]*row // unique columns: the rows by value
}

func refused(code, format string, args ...any) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
}

func (b *batch) write(w *connector.Write) connector.Receipt {
	key := w.Key
	if key == "" {
		if missing := b.keyless(w.Fields); missing != "" {
			return refused("files.key_missing", "A record of this file needs a value in the key field %s.", missing)
		}
		typed := make(record.Fields, len(b.key))
		for _, k := range b.key {
			typed[k] = w.Fields[k]
			if c := b.column(k); c != nil {
				if v, err := fromValue(c.Type, w.Fields[k]); err == nil {
					typed[k] = v
				}
			}
		}
		key = b.keyOf(typed)
	}
	r := b.byKey[key]
	if w.Op == record.Delete {
		switch {
		case r == nil:
			return connector.Receipt{Outcome: connector.Already, Key: key}
		case !holds(r.fields, w.Expect):
			return connector.Receipt{Outcome: connector.Moved, Key: key, Stored: r.fields.Clone()}
		}
		b.set(r, nil)
		return connector.Receipt{Outcome: connector.Applied, Key: key}
	}
	asked, problem := b.accepted(w.Fields)
	if problem != nil {
		return *problem
	}
	var next record.Fields
	switch {
	case r == nil && !w.Create:
		return connector.Receipt{Outcome: connector.Gone, Key: key}
	case r == nil:
		fields, err := b.blank(key)
		if err != nil {
			return refused("files.value_refused", "The key %s cannot be that of a record in this file: %v.", shorten(string(key)), err)
		}
		next = fields
	case holds(r.fields, asked):
		return connector.Receipt{Outcome: connector.Already, Key: key, Stored: differing(w.Fields, r.fields)}
	case w.Create || !holds(r.fields, w.Expect):
		return connector.Receipt{Outcome: connector.Moved, Key: key, Stored: r.fields.Clone()}
	default:
		next = r.fields.Clone()
	}
	for name, v := range asked {
		next[name] = v
	}
	for _, c := range b.columns {
		if next[c.Name] == nil && !c.Nullable && !c.ReadOnly {
			return refused("files.value_refused", "The field %s must have a value.", c.Name)
		}
		if c.unique && next[c.Name] != nil {
			if other := b.holder(c.Name, next[c.Name]); other != nil && other != r {
				return refused("files.not_unique", "Another record has this value in the field %s.", c.Name)
			}
		}
	}
	if moved := b.keyOf(next); moved != key {
		if b.byKey[moved] != nil {
			return refused("files.not_unique", "There is another record with the key %s.", shorten(string(moved)))
		}
		key = moved
	}
	b.set(r, &row{key: key, fields: next, changed: true})
	return connector.Receipt{Outcome: connector.Applied, Key: key, Stored: differing(w.Fields, next)}
}

// accepted are the fields as the file will hold them.
func (b *batch) accepted(fields record.Fields) (record.Fields, *connector.Receipt) {
	out := make(record.Fields, len(fields))
	for name, v := range fields {
		c := b.column(name)
		if c == nil {
			if !b.open {
				r := refused("files.field_unknown", "The file has no field %s; it has %s. Add it to the file or to its schema.", name, b.names())
				return nil, &r
			}
			out[name] = v
			continue
		}
		kept, err := c.accept(v)
		if err != nil {
			r := refused("files.value_refused", "The field %s %v.", name, err)
			return nil, &r
		}
		out[name] = kept
	}
	if b.open {
		b.learn(out)
	}
	return out, nil
}

// learn gives a file that had no fields yet those of the first record.
func (b *batch) learn(fields record.Fields) {
	texts := false
	switch b.codec.(type) {
	case *csvCodec, *xmlCodec:
		texts = true
	}
	for _, name := range sortedNames(fields, b.key) {
		if b.column(name) == nil {
			typ := infer([]record.Value{fields[name]})
			if texts {
				typ = connector.TypeText
			}
			b.columns = append(b.columns, &column{FieldInfo: connector.FieldInfo{Name: name, Type: typ, Nullable: true, Scale: -1}})
		}
		if texts && fields[name] != nil {
			fields[name] = record.Text(fields[name])
		}
	}
}

// blank is a new record with nothing but its key.
func (b *batch) blank(key record.Key) (record.Fields, error) {
	f := make(record.Fields, len(b.columns))
	for _, c := range b.columns {
		f[c.Name] = nil
	}
	parts, err := key.Parts(len(b.key))
	if err != nil {
		return nil, err
	}
	for i, k := range b.key {
		f[k] = parts[i]
		if c := b.column(k); c != nil {
			if f[k], err = fromText(c.Type, parts[i]); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// holder is the row that has the value in a unique column.
func (b *batch) holder(name string, v record.Value) *row {
	if b.taken == nil {
		b.taken = map[string]map[string]*row{}
	}
	if b.taken[name] == nil {
		b.taken[name] = map[string]*row{}
		for _, r := range b.byKey {
			if r.fields[name] != nil {
				b.taken[name][record.Text(r.fields[name])] = r
			}
		}
	}
	return b.taken[name][record.Text(v)]
}

// set puts a record in the place of another; nil for none.
func (b *batch) set(old, next *row) {
	b.changed = true
	if old != nil {
		delete(b.byKey, old.key)
		for name, values := range b.taken {
			if v := old.fields[name]; v != nil {
				delete(values, record.Text(v))
			}
		}
	}
	if next == nil {
		b.removed[old] = true
		return
	}
	for name, values := range b.taken {
		if v := next.fields[name]; v != nil {
			values[record.Text(v)] = next
		}
	}
	b.byKey[next.key] = next
	if old == nil {
		b.rows = append(b.rows, next)
		return
	}
	next.raw, next.where = old.raw, old.where
	b.removed[old] = true
	b.replaced(old, next)
}

// replaced notes what stands where old stood, until finish.
func (b *batch) replaced(old, next *row) {
	if b.follow == nil {
		b.follow = map[*row]*row{}
	}
	b.follow[old] = next
}

// finish brings the list of rows in step.
func (b *batch) finish() {
	rows := b.rows[:0:0]
	for _, r := range b.rows {
		for b.follow[r] != nil {
			r = b.follow[r]
		}
		if !b.removed[r] {
			rows = append(rows, r)
		}
	}
	b.rows = rows
}

func differing(asked, held record.Fields) record.Fields {
	same := true
	stored := make(record.Fields, len(asked))
	for name, v := range asked {
		stored[name] = held[name]
		same = same && record.Equal(v, held[name])
	}
	if same {
		return nil
	}
	return stored
}

// sortedNames are the key's fields, then the others by name.
func sortedNames(fields record.Fields, key []string) []string {
	names := append([]string(nil), key...)
	var rest []string
	for name := range fields {
		if !contains(names, name) {
			rest = append(rest, name)
		}
	}
	sort.Strings(rest)
	return append(names, rest...)
}
