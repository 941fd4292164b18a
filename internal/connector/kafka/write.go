// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Write implements connector.Writer: the batch is compared with the last message of each key, and what is to change goes
// out in one transaction.
func (s *system) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	v, err := s.follow(ctx, string(object))
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	b := batch{view: v, now: map[record.Key]record.Fields{}}
	receipts := make([]connector.Receipt, len(writes))
	for i := range writes {
		receipts[i] = b.write(&writes[i])
	}
	s.polling.Unlock()
	for i := range b.out {
		b.out[i].Headers = append(b.out[i].Headers, Header{Key: headerConsumer, Value: []byte(s.env.Consumer)})
	}
	if len(b.out) == 0 {
		return receipts, nil
	}
	return receipts, s.log.Send(ctx, s.group(), b.out)
}

// batch decides what messages the writes need.
type batch struct {
	*view
	now map[record.Key]record.Fields // what this batch made of records; nil for a deleted one
	out []Message
}

func refused(code, format string, args ...any) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
}

func (b *batch) present(key record.Key) record.Fields {
	if f, here := b.now[key]; here {
		return f
	}
	if e := b.rows[key]; e != nil && !e.deleted {
		return e.fields
	}
	return nil
}

func (b *batch) write(w *connector.Write) connector.Receipt {
	key := w.Key
	if key == "" {
		for _, k := range b.key {
			if w.Fields[k] == nil {
				return refused("kafka.key_missing", "A record of this topic needs a value in the key field %s.", k)
			}
		}
		key = b.keyOf(w.Fields)
	}
	is := b.present(key)
	if w.Op == record.Delete {
		switch {
		case is == nil:
			return connector.Receipt{Outcome: connector.Already, Key: key}
		case !holds(is, w.Expect):
			return connector.Receipt{Outcome: connector.Moved, Key: key, Stored: is.Clone()}
		}
		b.put(w, key, nil)
		return connector.Receipt{Outcome: connector.Applied, Key: key}
	}
	var next record.Fields
	switch {
	case is == nil && !w.Create:
		return connector.Receipt{Outcome: connector.Gone, Key: key}
	case is == nil:
		parts, err := key.Parts(len(b.key))
		if err != nil {
			return refused("kafka.key_missing", "The key does not have the fields of this topic's key: %v.", err)
		}
		next = record.Fields{}
		for i, k := range b.key {
			next[k] = parts[i]
		}
	case holds(is, w.Fields):
		return connector.Receipt{Outcome: connector.Already, Key: key}
	case w.Create || !holds(is, w.Expect):
		return connector.Receipt{Outcome: connector.Moved, Key: key, Stored: is.Clone()}
	default:
		next = is.Clone()
	}
	for name, x := range w.Fields {
		next[name] = x
	}
	if moved := b.keyOf(next); moved != key && is != nil && keysGiven(b.key, w.Fields) {
		if b.present(moved) != nil {
			return refused("kafka.key_taken", "There is another record with the key %s.", moved)
		}
		b.put(w, key, nil)
		key = moved
	}
	b.put(w, key, next)
	return connector.Receipt{Outcome: connector.Applied, Key: key}
}

func keysGiven(key []string, fields record.Fields) bool {
	return slices.ContainsFunc(key, func(k string) bool { _, given := fields[k]; return given })
}

func (b *batch) put(w *connector.Write, key record.Key, fields record.Fields) {
	b.now[key] = fields
	m := Message{Topic: b.topic, Key: []byte(key), Headers: []Header{
		{Key: headerAttempt, Value: []byte(w.Attempt.String())}, {Key: headerEntity, Value: []byte(uuid.UUID(w.ID).String())}}}
	if fields != nil {
		m.Value = record.AppendJSON(nil, map[string]any(fields))
	}
	b.out = append(b.out, m)
}
