// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxTries bounds how often what others write at the same moment is put back.
const maxTries = 10

// Write implements connector.Writer: the batch is compared with the last message of each key, and what is to change goes
// out in one transaction. Where somebody wrote between the two, theirs is put back, and the write is compared with it.
func (s *system) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	receipts := make([]connector.Receipt, len(writes))
	pending := make([]int, len(writes))
	for i := range pending {
		pending[i] = i
	}
	for range maxTries {
		v, err := s.follow(ctx, string(object))
		if err != nil {
			return nil, err
		}
		s.polling.Lock()
		b := batch{view: v, now: map[record.Key]record.Fields{}}
		for _, i := range pending {
			receipts[i] = b.write(&writes[i])
		}
		s.polling.Unlock()
		if len(b.out) == 0 {
			return receipts, nil
		}
		if err := s.send(ctx, b.out); err != nil {
			return nil, err
		}
		hidden, err := s.putBack(ctx, string(object))
		if err != nil {
			return nil, err
		}
		pending = slices.DeleteFunc(pending, func(i int) bool {
			return receipts[i].Outcome != connector.Applied || !hidden[receipts[i].Key]
		})
		if len(pending) == 0 {
			return receipts, nil
		}
	}
	for _, i := range pending {
		receipts[i] = connector.Receipt{Outcome: connector.Moved, Key: receipts[i].Key} // and theirs stands
	}
	return receipts, nil
}

func (s *system) send(ctx context.Context, messages []Message) error {
	for i := range messages {
		messages[i].Headers = append(messages[i].Headers, Header{Key: headerConsumer, Value: []byte(s.env.Consumer)})
	}
	return s.log.Send(ctx, s.group(), messages)
}

// putBack says again what our messages hide, and returns the keys. The lock for writing is held.
func (s *system) putBack(ctx context.Context, topic string) (hidden map[record.Key]bool, err error) {
	hidden = map[record.Key]bool{}
	for range maxTries {
		v, err := s.follow(ctx, topic)
		if err != nil {
			return nil, err
		}
		var out []Message
		s.polling.Lock()
		for _, k := range slices.Sorted(maps.Keys(v.hiding)) {
			e := v.hiding[k]
			if e.consumer != s.env.Consumer {
				continue
			}
			m := Message{Topic: topic, Key: []byte(k), Headers: []Header{{Key: headerOver, Value: []byte(e.version())}, {Key: headerBack, Value: []byte("1")}}}
			if !e.hidden.deleted {
				m.Value = record.AppendJSON(nil, map[string]any(e.hidden.fields))
			}
			out, hidden[k] = append(out, m), true
		}
		s.polling.Unlock()
		if len(out) == 0 {
			return hidden, nil
		}
		if err := s.send(ctx, out); err != nil {
			return nil, err
		}
	}
	return nil, &connector.Error{Class: connector.Retry, Code: "kafka.unavailable", Message: fmt.Sprintf("Others write the same records of %s all the time; it will be tried again.", topic)}
}

// settled is follow, after which nothing is hidden by one of our messages, such as one of a process that died before it looked back.
func (s *system) settled(ctx context.Context, topic string) (*view, error) {
	v, err := s.follow(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	hides := false
	for _, e := range v.hiding {
		hides = hides || e.consumer == s.env.Consumer
	}
	s.polling.Unlock()
	if !hides {
		return v, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.putBack(ctx, topic); err != nil {
		return nil, err
	}
	return s.follow(ctx, topic)
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
	over := none
	if e := b.rows[key]; e != nil {
		over = e.version()
	}
	m := Message{Topic: b.topic, Key: []byte(key), Headers: []Header{{Key: headerOver, Value: []byte(over)},
		{Key: headerAttempt, Value: []byte(w.Attempt.String())}, {Key: headerEntity, Value: []byte(uuid.UUID(w.ID).String())}}}
	if fields != nil {
		m.Value = record.AppendJSON(nil, map[string]any(fields))
	}
	b.out = append(b.out, m)
}
