// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

func (s *system) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	trouble, applied := s.m.trouble(OnWrite, object)
	if trouble != nil && !applied {
		return nil, trouble
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.allowed(); err != nil {
		return nil, err
	}
	t, err := s.m.lookup(object)
	if err != nil {
		return nil, err
	}
	before := s.m.seq
	receipts := make([]connector.Receipt, len(writes))
	for i := range writes {
		receipts[i] = s.m.write(t, &writes[i], s.consumer)
	}
	t.remember(s.consumer, writes, receipts)
	if s.m.seq != before {
		s.m.wake(object)
	}
	if trouble != nil {
		if s.m.renewal != "" {
			s.m.token, s.m.renewal = s.m.renewal, ""
		}
		return nil, trouble
	}
	return receipts, nil
}

func refused(code, format string, args ...any) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
}

func (m *Memory) write(t *table, w *connector.Write, consumer string) connector.Receipt {
	key, err := t.keyOf(w)
	if err != nil {
		return refused("memory.key", "%v", err)
	}
	r := t.rows[key]
	if r != nil && r.deleted {
		r = nil
	}
	done := func(o connector.Outcome, r *row, stored record.Fields) connector.Receipt {
		return connector.Receipt{Outcome: o, Key: r.key, Version: strconv.FormatUint(r.version, 10), Stored: stored}
	}
	if w.Op == record.Delete {
		switch {
		case r == nil:
			return connector.Receipt{Outcome: connector.Already, Key: key}
		case !holds(r.fields, w.Expect):
			return done(connector.Moved, r, r.fields.Clone())
		}
		t.written++
		return done(connector.Applied, m.set(t, key, nil, consumer), nil)
	}
	asked, problem := t.accept(w.Fields)
	if problem != "" {
		return refused("memory.value", "%s", problem)
	}
	var next record.Fields
	switch {
	case r == nil && !w.Create:
		return connector.Receipt{Outcome: connector.Gone, Key: key}
	case r == nil:
		if key == "" {
			key = t.nextKey()
		}
		next = t.blank(key)
	case holds(r.fields, asked):
		return done(connector.Already, r, differing(w.Fields, r.fields))
	case w.Create || !holds(r.fields, w.Expect):
		return done(connector.Moved, r, r.fields.Clone())
	default:
		next = r.fields.Clone()
	}
	for name, v := range asked {
		next[name] = v
	}
	if missing := t.missing(next); missing != "" {
		return refused("memory.not_null", "The field %s must have a value.", missing)
	}
	if taken := t.taken(key, next); taken != "" {
		return refused("memory.constraint", "Another record has this value in the field %s.", taken)
	}
	if t.check != nil {
		if err := t.check(key, next); err != nil {
			return refused("memory.constraint", "%v", err)
		}
	}
	if moved := t.keyIn(next); moved != key { // the write gives the record another key
		if other, there := t.rows[moved]; there && !other.deleted {
			return refused("memory.constraint", "There is another record with the key %s.", moved)
		}
		m.set(t, key, nil, consumer)
		key = moved
	}
	t.written++
	r = m.set(t, key, next, consumer)
	return done(connector.Applied, r, differing(w.Fields, r.fields))
}

// keyOf is the key that the write names, in Key or in Fields; "" for a create whose key the system makes.
func (t *table) keyOf(w *connector.Write) (record.Key, error) {
	if w.Key != "" {
		if _, err := w.Key.Parts(len(t.info.Key)); err != nil {
			return "", err
		}
		return w.Key, nil
	}
	var absent []string
	for _, name := range t.info.Key {
		if v, given := w.Fields[name]; !given || v == nil {
			absent = append(absent, name)
		}
	}
	if len(absent) == 0 {
		return t.keyIn(w.Fields), nil
	}
	if f, _ := t.info.Field(absent[0]); len(t.info.Key) == 1 && f.Generated && w.Create && w.Op == record.Upsert {
		return "", nil
	}
	return "", fmt.Errorf("the key field %s has no value", strings.Join(absent, ", "))
}

func (t *table) keyIn(fields record.Fields) record.Key {
	values := make([]record.Value, len(t.info.Key))
	for i, name := range t.info.Key {
		values[i] = fields[name]
	}
	return record.MakeKey(values...)
}

func (t *table) nextKey() record.Key {
	for {
		t.serial++
		k := record.Key(strconv.FormatInt(t.serial, 10))
		if _, taken := t.rows[k]; !taken {
			return k
		}
	}
}

// blank is a new record of that key with nothing else in it.
func (t *table) blank(key record.Key) record.Fields {
	f := make(record.Fields, len(t.info.Fields))
	for _, d := range t.info.Fields {
		f[d.Name] = nil
	}
	parts, _ := key.Parts(len(t.info.Key))
	for i, name := range t.info.Key {
		d, _ := t.info.Field(name)
		f[name] = keyValue(d.Type, parts[i])
	}
	return f
}

func keyValue(typ connector.Type, text string) record.Value {
	switch typ {
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
		if n, err := record.ParseNumber(text); err == nil {
			return n
		}
	case connector.TypeBoolean:
		return text == "true"
	}
	return text
}

// accept turns what is asked for into what the system would keep, or says in a sentence what is wrong.
func (t *table) accept(fields record.Fields) (record.Fields, string) {
	kept := make(record.Fields, len(fields))
	for name, v := range fields {
		d, known := t.info.Field(name)
		switch {
		case !known:
			return nil, fmt.Sprintf("There is no field %s; there are %s.", name, strings.Join(fieldNames(t.info), ", "))
		case d.ReadOnly:
			return nil, fmt.Sprintf("The field %s cannot be written.", name)
		}
		if problem := unfit(d, v); problem != "" {
			return nil, fmt.Sprintf("The field %s %s.", name, problem)
		}
		kept[name] = t.kept(name, v)
	}
	return kept, ""
}

// kept is the form in which the system keeps a value.
func (t *table) kept(name string, v record.Value) record.Value {
	d, _ := t.info.Field(name)
	if n, ok := v.(record.Number); ok && d.Type == connector.TypeNumber && d.Scale > 0 { // 0: not declared
		v = round(n, d.Scale)
	}
	if f, there := t.normalise[name]; there {
		v = f(v)
	}
	return v
}

// round is half away from zero, as databases do.
func round(n record.Number, scale int) record.Value {
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return n
	}
	out, err := record.ParseNumber(r.FloatString(scale))
	if err != nil {
		return n
	}
	return out
}

// unfit says what is wrong with the value, "" when nothing is.
func unfit(d connector.FieldInfo, v record.Value) string {
	if v == nil {
		return ""
	}
	bad := "does not take this value; it is of type " + string(d.Type)
	switch d.Type {
	case connector.TypeInteger:
		if n, ok := v.(record.Number); !ok || strings.Contains(string(n), ".") {
			return bad
		}
	case connector.TypeNumber, connector.TypeFloat:
		if _, ok := v.(record.Number); !ok {
			return bad
		}
	case connector.TypeBoolean:
		if _, ok := v.(bool); !ok {
			return bad
		}
	case connector.TypeArray:
		if _, ok := v.([]any); !ok {
			return bad
		}
	case connector.TypeJSON:
	default:
		s, ok := v.(string)
		switch {
		case !ok:
			return bad
		case d.MaxLength > 0 && utf8.RuneCountInString(s) > d.MaxLength:
			return fmt.Sprintf("takes at most %d characters", d.MaxLength)
		case len(d.Enum) > 0 && !slices.Contains(d.Enum, s):
			return "takes only " + strings.Join(d.Enum, ", ")
		}
	}
	return ""
}

// missing is a field that may not be null but is.
func (t *table) missing(fields record.Fields) string {
	for _, d := range t.info.Fields {
		if fields[d.Name] == nil && !d.Nullable && !d.Generated && !d.ReadOnly {
			return d.Name
		}
	}
	return ""
}

// taken is a unique field whose value another record has.
func (t *table) taken(key record.Key, fields record.Fields) string {
	for _, name := range t.unique {
		if fields[name] == nil {
			continue
		}
		for k, r := range t.rows {
			if k != key && !r.deleted && record.Equal(r.fields[name], fields[name]) {
				return name
			}
		}
	}
	return ""
}

// differing are the fields asked for as the record holds them, or nil when all are as asked for.
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

func fieldNames(info connector.ObjectInfo) []string {
	names := make([]string, len(info.Fields))
	for i, f := range info.Fields {
		names[i] = f.Name
	}
	return names
}
