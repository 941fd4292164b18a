// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"context"
	"errors"
	"fmt"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxTries bounds how often writes are decided anew because somebody changed their rows meanwhile.
const maxTries = 5

func refused(code, format string, args ...any) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Write implements connector.Writer: the table is read, the batch decided against it and carried out; what turned out to have
// moved meanwhile is decided again.
func (s *System) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	receipts := make([]connector.Receipt, len(writes))
	left := make([]int, 0, len(writes))
	for i := range writes {
		left = append(left, i)
	}
	for try := 0; len(left) > 0; try++ {
		t, err := s.concerned(ctx, object, among(writes, left))
		if err != nil {
			return nil, err
		}
		d := decision{System: s, t: t, now: map[record.Key]*Row{}}
		var edits []*Edit
		var of []int
		for _, i := range left {
			e, r := d.write(&writes[i])
			receipts[i] = r
			if e != nil {
				edits, of = append(edits, e), append(of, i)
			}
		}
		left = nil
		if len(edits) == 0 {
			break
		}
		answers, err := s.source.Apply(ctx, object, t, edits)
		if err != nil {
			return nil, err
		}
		var written []record.Key
		for j, err := range answers {
			switch i := of[j]; {
			case err == nil:
				receipts[i].Key = edits[j].Key
				written = append(written, edits[j].Key)
				if row := edits[j].Row; row != nil && row.Key != edits[j].Key {
					written = append(written, row.Key)
				}
			case errors.Is(err, ErrMoved) && try < maxTries:
				left = append(left, i)
			case errors.Is(err, ErrMoved):
				receipts[i] = connector.Receipt{Outcome: connector.Moved, Key: edits[j].Key}
			default:
				receipts[i] = connector.Receipt{Outcome: connector.Refused, Err: err}
			}
		}
		s.note(object, written)
	}
	return receipts, nil
}

// among are those writes.
func among(writes []connector.Write, which []int) []connector.Write {
	out := make([]connector.Write, len(which))
	for i, w := range which {
		out[i] = writes[w]
	}
	return out
}

// decision decides writes against a table and what the batch has already made of it.
type decision struct {
	*System
	t   *Table
	now map[record.Key]*Row // rows that the batch changed; a nil one is deleted
}

func (d *decision) present(key record.Key) *Row {
	if r, here := d.now[key]; here {
		return r
	}
	return d.t.byKey[key]
}

func (d *decision) write(w *connector.Write) (*Edit, connector.Receipt) {
	kept, refusal := d.accepted(w.Fields)
	if refusal != nil && w.Op == record.Upsert {
		return nil, *refusal
	}
	key := w.Key
	if key == "" {
		if key = keyOf(d.t.Key, kept); key == "" && !d.t.Made {
			return nil, refused("sheet.key_missing", "A row of this table needs a value in the key column %s.", d.t.Key[0])
		}
	}
	var is *Row
	if key != "" {
		is = d.present(key)
	}
	if w.Op == record.Delete {
		switch {
		case is == nil:
			return nil, connector.Receipt{Outcome: connector.Already, Key: key}
		case !d.holds(is, w.Expect):
			return nil, connector.Receipt{Outcome: connector.Moved, Key: key, Stored: is.Fields.Clone()}
		}
		d.now[key] = nil
		return &Edit{Row: is, Delete: true, Key: key}, connector.Receipt{Outcome: connector.Applied, Key: key}
	}
	switch {
	case is == nil && !w.Create:
		return nil, connector.Receipt{Outcome: connector.Gone, Key: key}
	case is != nil && holds(is.Fields, kept):
		return nil, connector.Receipt{Outcome: connector.Already, Key: key, Stored: differing(w.Fields, kept)}
	case is != nil && (w.Create || !d.holds(is, w.Expect)):
		return nil, connector.Receipt{Outcome: connector.Moved, Key: key, Stored: is.Fields.Clone()}
	}
	next := record.Fields{}
	if is != nil {
		next = is.Fields.Clone()
	} else if !d.t.Made {
		if parts, err := key.Parts(len(d.t.Key)); err == nil {
			for i, k := range d.t.Key {
				if kept[k] == nil {
					kept[k] = parts[i]
				}
			}
		}
	}
	for name, v := range kept {
		next[name] = v
	}
	after := key
	if !d.t.Made {
		if after = keyOf(d.t.Key, next); after == "" {
			return nil, refused("sheet.key_missing", "A row of this table needs a value in the key column %s.", d.t.Key[0])
		}
	}
	if after != key && d.present(after) != nil {
		return nil, refused("sheet.key_taken", "There is another row with the key %s.", after)
	}
	set := record.Fields{}
	for name, v := range kept {
		if is == nil || !record.Equal(is.Fields[name], v) {
			set[name] = v
		}
	}
	e := &Edit{Row: is, Set: set, Key: after}
	if is != nil {
		if d.now[key] = nil; after == key {
			d.now[key] = &Row{Key: key, Fields: next, Handle: is.Handle}
		}
	}
	if after != "" {
		row := &Row{Key: after, Fields: next}
		if is != nil {
			row.Handle = is.Handle
		}
		d.now[after] = row
	}
	return e, connector.Receipt{Outcome: connector.Applied, Key: after, Stored: differing(w.Fields, kept)}
}

// holds compares with what is expected in the form in which it is kept.
func (d *decision) holds(r *Row, expect record.Fields) bool {
	for name, v := range expect {
		if record.Equal(r.Fields[name], v) {
			continue
		}
		f, _ := d.t.field(name)
		if kept, err := d.source.Keep(f, v); err != nil || !record.Equal(r.Fields[name], kept) {
			return false
		}
	}
	return true
}

// accepted are the fields as the table will hold them.
func (d *decision) accepted(fields record.Fields) (record.Fields, *connector.Receipt) {
	out := make(record.Fields, len(fields))
	for name, v := range fields {
		f, there := d.t.field(name)
		switch {
		case !there && d.t.Open:
			f = connector.FieldInfo{Name: name, Type: connector.TypeJSON}
		case !there:
			r := refused("sheet.column_unknown", "The table has no column %s; it has %s. Add the column, or take it out of the mapping.", name, d.t.names())
			return nil, &r
		case f.ReadOnly:
			r := refused("sheet.column_computed", "The column %s is computed by the table and cannot be written.", name)
			return nil, &r
		}
		kept, err := d.source.Keep(f, v)
		if err != nil {
			r := refused("sheet.value_refused", "The column %s %v.", name, err)
			return nil, &r
		}
		out[name] = kept
	}
	return out, nil
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
