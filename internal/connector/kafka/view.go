// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// The headers of our own messages.
const (
	headerConsumer = "syncline-consumer"
	headerAttempt  = "syncline-attempt"
	headerEntity   = "syncline-entity"
	headerOver     = "syncline-over" // what it was to replace: partition:offset, or none
	headerBack     = "syncline-back" // it says again what another of ours had hidden
)

// none is a headerOver of a record that was not there.
const none = "-"

// view is a topic as a table: the last message of each key, as far as it was followed.
type view struct {
	topic string
	key   []string
	parts map[int32]*partition
	rows  map[record.Key]*entry
	live  int
	// attempts are the last batches by consumer and partition, for Recall. Partitions are read in any order among each other, so which
	// batch is the last of all cannot be told; but the last of all is the last in each partition that it reached.
	attempts map[sender]attempt
	hiding   map[record.Key]*entry // last messages that hide another
}

// sender is a consumer in one partition.
type sender struct {
	consumer  string
	partition int32
}

type attempt struct {
	id   uuid.UUID
	keys map[record.EntityID]record.Key
	gone map[record.EntityID]record.Key // of tombstones: a record that was deleted, or that has another key now
}

// partition is how far a partition was followed.
type partition struct {
	start, next int64
	log         []*entry // in order of offsets; those that a later message has replaced are dropped now and then
	stale       int
	hole        bool      // messages before the next one that is read are not there any more
	holeAt      time.Time // when the message behind the last hole was made
}

// entry is the last message of a key.
type entry struct {
	key       record.Key
	partition int32
	offset    int64
	at        time.Time
	fields    record.Fields
	deleted   bool
	replaced  bool
	consumer  string // of one of ours
	over      string
	back      bool
	hidden    *entry // somebody else's, written between our look and our message, of which nobody would hear
}

// follow brings the view up to what the topic holds now.
func (s *system) follow(ctx context.Context, topic string) (*view, error) {
	bounds, err := s.log.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	v := s.views[topic]
	if v != nil && v.beyond(bounds) { // by what others polled while we waited, or the topic is another: what is asked now tells
		if bounds, err = s.log.Bounds(ctx, topic); err != nil {
			return nil, err
		}
	}
	if v == nil {
		v = &view{topic: topic, key: s.key(topic), parts: map[int32]*partition{}, rows: map[record.Key]*entry{}, attempts: map[sender]attempt{}, hiding: map[record.Key]*entry{}}
		s.views[topic] = v
	}
	if v.beyond(bounds) { // made anew under the same name
		s.log.Leave(topic, partitionsOf(v))
		delete(s.views, topic)
		return nil, &connector.Error{Class: connector.LostPlace, Code: "kafka.lost_place", Message: fmt.Sprintf("The topic %s was made anew; it is read from its beginning.", topic)}
	}
	add := map[int32]int64{}
	for p, b := range bounds {
		part := v.parts[p]
		if part == nil {
			part = &partition{next: b.Start, hole: b.Start > 0}
			v.parts[p] = part
			add[p] = b.Start
		}
		if part.start = b.Start; part.next < b.Start {
			part.next, part.hole = b.Start, true
		}
	}
	if len(add) > 0 {
		s.log.Follow(topic, add)
	}
	behind := func() bool {
		for p, b := range bounds {
			if v.parts[p].next < b.End {
				return true
			}
		}
		return false
	}
	for behind() {
		messages, err := s.log.Poll(ctx, topic)
		if err != nil {
			return nil, err
		}
		var bad error
		for i := range messages {
			m := &messages[i]
			of := s.views[m.Topic]
			if of == nil {
				continue
			}
			if err := of.take(m); err != nil && bad == nil {
				bad = err
			}
			if of.live > s.maxRecords && bad == nil {
				bad = &connector.Error{Class: connector.Reject, Code: "kafka.too_many_records",
					Message: fmt.Sprintf("The topic %s has more than %d keys. Raise the connection's setting maxRecords where there is memory for them.", m.Topic, s.maxRecords)}
			}
		}
		if bad != nil {
			return nil, bad
		}
	}
	return v, nil
}

// beyond says whether more was read of a partition than there is within these bounds.
func (v *view) beyond(bounds map[int32]Bounds) bool {
	for p, b := range bounds {
		if part := v.parts[p]; part != nil && b.End < part.next {
			return true
		}
	}
	return false
}

func partitionsOf(v *view) (list []int32) {
	for p := range v.parts {
		list = append(list, p)
	}
	return list
}

// take notes a message.
func (v *view) take(r *Message) error {
	p := v.parts[r.Partition]
	if p == nil || r.Offset < p.next {
		return nil
	}
	if p.hole || r.Offset > p.next { // compacted, run out, or of a transaction that was given up
		p.hole, p.holeAt = false, r.At
	}
	p.next = r.Offset + 1
	if r.Control {
		return nil
	}
	key, fields, err := v.decode(r)
	if err != nil {
		return err
	}
	if old := v.rows[key]; old != nil {
		old.replaced = true
		if !old.deleted {
			v.live--
		}
		from := v.parts[old.partition]
		if from.stale++; from.stale > 1000 && from.stale > len(from.log)/2 {
			from.log = slices.DeleteFunc(from.log, func(e *entry) bool { return e.replaced })
			from.stale = 0
		}
	}
	e := &entry{key: key, partition: r.Partition, offset: r.Offset, fields: fields, deleted: fields == nil}
	e.at = r.At
	if !e.deleted {
		v.live++
	}
	for _, h := range r.Headers {
		switch h.Key {
		case headerConsumer:
			e.consumer = string(h.Value)
		case headerOver:
			e.over = string(h.Value)
		case headerBack:
			e.back = true
		}
	}
	v.hide(v.rows[key], e)
	v.rows[key] = e
	p.log = append(p.log, e)
	v.remember(r, key)
	return nil
}

func (v *view) remember(r *Message, key record.Key) {
	var consumer string
	var id uuid.UUID
	var entity record.EntityID
	for _, h := range r.Headers {
		switch h.Key {
		case headerConsumer:
			consumer = string(h.Value)
		case headerAttempt:
			id, _ = uuid.ParseBytes(h.Value) // zero for what is not ours
		case headerEntity:
			u, _ := uuid.ParseBytes(h.Value)
			entity = record.EntityID(u)
		}
	}
	if v.rows[key].back {
		v.attempts[sender{consumer, r.Partition}].forget(key)
	}
	if consumer == "" || id == uuid.Nil {
		return
	}
	who := sender{consumer, r.Partition}
	a := v.attempts[who]
	if a.id != id {
		a = attempt{id: id, keys: map[record.EntityID]record.Key{}, gone: map[record.EntityID]record.Key{}}
	}
	if r.Value == nil {
		a.gone[entity] = key
	} else {
		a.keys[entity] = key
	}
	v.attempts[who] = a
}

// forget takes back that a record was written: what our message hid was put in its place.
func (a attempt) forget(key record.Key) {
	for _, keys := range []map[record.EntityID]record.Key{a.keys, a.gone} {
		maps.DeleteFunc(keys, func(_ record.EntityID, k record.Key) bool { return k == key })
	}
}

// hide notes whether one of our messages came after one that it was not made for. Kafka has no condition for writing: between our look
// and our message somebody else may have written, and what they said would be nobody's last word.
func (v *view) hide(old, e *entry) {
	delete(v.hiding, e.key)
	if old == nil || e.consumer == "" || e.over == "" || old.partition != e.partition {
		return
	}
	switch {
	case old.consumer == e.consumer && !e.back:
		e.hidden = old.hidden // of the same batch
	case old.consumer == e.consumer, e.over == none && old.deleted, old.deleted == e.deleted && len(old.fields) == len(e.fields) && holds(old.fields, e.fields):
	case e.over == none:
		e.hidden = old
	default:
		var partition int32
		var offset int64
		if n, _ := fmt.Sscanf(e.over, "%d:%d", &partition, &offset); n == 2 && partition == e.partition && offset < old.offset {
			e.hidden = old
		}
	}
	if old.hidden = nil; e.hidden != nil {
		v.hiding[e.key] = e
	}
}

// mayForget says whether messages of a batch that was begun then may have been removed since.
func (v *view) mayForget(begun time.Time) bool {
	const apart = 10 * time.Minute // clocks
	for _, p := range v.parts {
		if p.hole || p.holeAt.After(begun.Add(-apart)) {
			return true
		}
	}
	return false
}

// decode makes a record of a message. A value that is no JSON object is kept in the field value.
func (v *view) decode(r *Message) (record.Key, record.Fields, error) {
	var fields record.Fields
	if r.Value != nil {
		x, err := record.ParseJSON(r.Value)
		m, isObject := x.(map[string]any)
		switch {
		case err == nil && isObject:
			fields = m
		case err == nil:
			fields = record.Fields{"value": x}
		default:
			fields = record.Fields{"value": plainText(r.Value)}
		}
	}
	key := record.Key(plainText(r.Key))
	if r.Key == nil {
		for _, k := range v.key {
			if fields[k] == nil {
				return "", nil, &connector.Error{Class: connector.Retry, Code: "kafka.key_missing",
					Message: fmt.Sprintf("In the topic %s, partition %d, the message at offset %d has neither a key nor a value in the field %s, so it cannot be told which record it is of. Name other key fields, or write messages with keys.", v.topic, r.Partition, r.Offset, k)}
			}
		}
		return v.keyOf(fields), fields, nil
	}
	if fields != nil {
		if parts, err := key.Parts(len(v.key)); err == nil {
			for i, k := range v.key {
				if fields[k] == nil {
					fields[k] = parts[i]
				}
			}
		}
	}
	return key, fields, nil
}

func (v *view) keyOf(fields record.Fields) record.Key {
	values := make([]record.Value, len(v.key))
	for i, k := range v.key {
		values[i] = fields[k]
	}
	return record.MakeKey(values...)
}

func plainText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// since returns the entries at or behind the offsets, in a fixed order of partitions, with the offsets behind each. Deletes
// before the offsets in quiet are left out: there a snapshot has not told of the record.
func (v *view) since(offsets, quiet map[int32]int64, limit int) (found []*entry, next map[int32]int64, more bool) {
	next = map[int32]int64{}
	ids := partitionsOf(v)
	slices.Sort(ids)
	for _, id := range ids {
		p := v.parts[id]
		from := max(offsets[id], p.start)
		i := sort.Search(len(p.log), func(i int) bool { return p.log[i].offset >= from })
		for ; i < len(p.log); i++ {
			e := p.log[i]
			if e.replaced || e.deleted && e.offset < quiet[id] {
				continue
			}
			if len(found) == limit {
				more = true
				break
			}
			found = append(found, e)
			from = e.offset + 1
		}
		if !more {
			from = max(from, p.next)
		}
		next[id] = from
	}
	return found, next, more
}

func (e *entry) version() string { return fmt.Sprintf("%d:%d", e.partition, e.offset) }

func (v *view) change(e *entry, fields []string) record.Change {
	c := record.Change{Key: e.key, Op: record.Delete, Version: e.version(), At: e.at}
	if e.deleted {
		return c
	}
	c.Op = record.Upsert
	if len(fields) == 0 {
		c.Fields = e.fields.Clone()
		for _, d := range v.columns() {
			if _, there := c.Fields[d.Name]; !there {
				c.Fields[d.Name] = nil
			}
		}
		return c
	}
	c.Fields = make(record.Fields, len(fields)+len(v.key))
	for _, f := range append(slices.Clone(v.key), fields...) {
		c.Fields[f] = e.fields[f]
	}
	return c
}

// examples is how many records are looked at to learn fields and types.
const examples = 1000

// columns are the fields of the newest records, with the types of their values.
func (v *view) columns() []connector.FieldInfo {
	kinds := map[string]map[connector.Type]bool{}
	n := 0
	for _, p := range v.parts {
		for i := len(p.log) - 1; i >= 0 && n < examples; i-- {
			e := p.log[i]
			if e.replaced || e.deleted {
				continue
			}
			n++
			for name, x := range e.fields {
				if kinds[name] == nil {
					kinds[name] = map[connector.Type]bool{}
				}
				if t := typeOf(x); t != "" {
					kinds[name][t] = true
				}
			}
		}
	}
	var out []connector.FieldInfo
	for name, k := range kinds {
		typ := merge(k)
		out = append(out, connector.FieldInfo{Name: name, Type: typ, Native: string(typ) + ", by example", Nullable: !slices.Contains(v.key, name), Scale: -1})
	}
	slices.SortFunc(out, func(a, b connector.FieldInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func typeOf(x record.Value) connector.Type {
	switch x := x.(type) {
	case bool:
		return connector.TypeBoolean
	case record.Number:
		if strings.IndexByte(string(x), '.') >= 0 {
			return connector.TypeNumber
		}
		return connector.TypeInteger
	case string:
		return connector.TypeText
	case []any:
		return connector.TypeArray
	case map[string]any:
		return connector.TypeJSON
	}
	return ""
}

func merge(kinds map[connector.Type]bool) connector.Type {
	switch {
	case len(kinds) == 2 && kinds[connector.TypeInteger] && kinds[connector.TypeNumber]:
		return connector.TypeNumber
	case len(kinds) == 1:
		for k := range kinds {
			return k
		}
	}
	return connector.TypeJSON
}
