// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

func refused(code, format string, args ...any) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Write implements connector.Writer: each write is a message that says what the record is now, or that it is deleted.
func (s *System) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	receipts := make([]connector.Receipt, len(writes))
	var out []Outgoing
	var of []int
	for i := range writes {
		messages, refusal := s.messages(object, &writes[i])
		if refusal != nil {
			receipts[i] = *refusal
			continue
		}
		receipts[i] = connector.Receipt{Outcome: connector.Applied, Key: messages[len(messages)-1].Key}
		for range messages {
			of = append(of, i)
		}
		out = append(out, messages...)
	}
	if len(out) == 0 {
		return receipts, nil
	}
	answers, err := s.broker.Send(ctx, object, out)
	if err != nil {
		return nil, err
	}
	for j, err := range answers {
		if err != nil {
			receipts[of[j]] = connector.Receipt{Outcome: connector.Refused, Err: err}
		}
	}
	return receipts, nil
}

// messages are what carries out a write: one, or two when the record gets another key.
func (s *System) messages(object record.Object, w *connector.Write) ([]Outgoing, *connector.Receipt) {
	keys := s.options.key(object)
	fields := w.Fields.Clone()
	if w.Whole != nil {
		fields = w.Whole.Clone()
	}
	if fields == nil {
		fields = record.Fields{}
	}
	key := w.Key
	if key != "" {
		parts, err := key.Parts(len(keys))
		if err != nil {
			r := refused("queue.key_missing", "The key %s does not have the fields that records in this queue are told apart by: %v.", key, err)
			return nil, &r
		}
		for i, k := range keys {
			if fields[k] == nil {
				fields[k] = parts[i]
			}
		}
	}
	for _, k := range keys {
		if fields[k] == nil {
			r := refused("queue.key_missing", "A record in this queue needs a value in the key field %s.", k)
			return nil, &r
		}
	}
	message := func(key record.Key, fields record.Fields, deleted bool, part string) Outgoing {
		return Outgoing{ID: fmt.Sprintf("%s/%s%s", w.Attempt, w.ID, part), Key: key, Body: record.AppendJSON(nil, map[string]any(fields)), Deleted: deleted,
			By: s.env.Consumer, Attempt: w.Attempt.String(), Entity: uuid.UUID(w.ID).String()}
	}
	only := func(key record.Key) record.Fields {
		out := record.Fields{}
		if parts, err := key.Parts(len(keys)); err == nil {
			for i, k := range keys {
				out[k] = parts[i]
			}
		}
		return out
	}
	if w.Op == record.Delete {
		if key == "" {
			key = keyOf(keys, fields)
		}
		return []Outgoing{message(key, only(key), true, "")}, nil
	}
	var out []Outgoing
	now := keyOf(keys, fields)
	if key != "" && now != key {
		out = append(out, message(key, only(key), true, "/old"))
	}
	m := message(now, fields, false, "")
	if len(m.Body) > s.maxBytes {
		r := refused("queue.too_large", "The record has %d bytes as a message; a message of this queue has at most %d.", len(m.Body), s.maxBytes)
		return nil, &r
	}
	return append(out, m), nil
}
