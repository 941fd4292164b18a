// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/kafka"
	"github.com/syncline-dev/syncline/internal/record"
)

// topic is one of Kafka with two partitions: a log of whole records by key, with tombstones. Nothing in it is ever changed; what a later
// message of the same key replaced is compacted away now and then.
type topic struct {
	o    *outside
	rng  *rand.Rand            // of who produces
	bell *connectortest.Memory // rings for those who wait for messages

	mu      sync.Mutex
	parts   [2]topicPart
	written int64
}

type topicPart struct {
	start, end int64
	log        []kafka.Message
}

func newTopic(gate *Gate, name, id string, own *rand.Rand) *outside {
	o := newOutside(gate, name, record.System(id), products)
	t := &topic{o: o, rng: own, bell: o.memory}
	o.memory = nil
	o.place, o.user = t, t
	o.kind = &kind{able: func(b base) connector.System {
		return struct {
			base
			scanning
			recalling
			watching
			acknowledging
			pacing
		}{b, scanning{b}, recalling{b}, watching{b}, acknowledging{b}, pacing{b}}
	}}
	return o
}

// Spec is the connector's.
func (*topic) Spec() connector.Spec { return kafka.New().Spec() }

func (t *topic) open(_ context.Context, l *line, consumer string) (connector.System, error) {
	return kafka.Over(&broker{seam: seam{t.o, l}, of: t, next: make(map[int32]int64)}, connector.Settings{"key": "sku"}, connector.Env{Consumer: consumer})
}

func (t *topic) ring() { t.bell.User(t.o.object).Put("bell", nil) }

// add appends messages, each to its key's partition.
func (t *topic) add(messages ...kafka.Message) {
	for _, m := range messages {
		h := fnv.New32a()
		_, _ = h.Write(m.Key) // a hash does not fail
		m.Partition = int32(h.Sum32() % 2)
		p := &t.parts[m.Partition]
		m.Topic, m.Offset, m.At = string(t.o.object), p.end, time.Now()
		p.log, p.end = append(p.log, m), p.end+1
	}
}

func (t *topic) message(key record.Key, fields record.Fields) kafka.Message {
	m := kafka.Message{Key: []byte(key)}
	if fields != nil {
		m.Value = record.AppendJSON(nil, map[string]any(fields))
	}
	return m
}

// records are the last messages of each key.
func (t *topic) records() map[record.Key]record.Fields {
	out := make(map[record.Key]record.Fields)
	for i := range t.parts {
		for _, m := range t.parts[i].log {
			switch {
			case m.Control:
			case m.Value == nil:
				delete(out, record.Key(m.Key))
			default:
				v, err := record.ParseJSON(m.Value)
				if err != nil {
					panic("a message cannot be read: " + string(m.Value))
				}
				out[record.Key(m.Key)] = v.(map[string]any)
			}
		}
	}
	return out
}

// Put produces the whole record; a producer that did not hear of it does so twice.
func (t *topic) Put(key record.Key, fields record.Fields) {
	t.mu.Lock()
	f := record.Fields{"sku": string(key), "name": nil, "quantity": nil, "price": nil}
	for name, v := range t.records()[key] {
		f[name] = v
	}
	for name, v := range fields {
		f[name] = v
	}
	t.add(t.message(key, f))
	if t.rng.IntN(8) == 0 {
		t.add(t.message(key, f))
	}
	t.mu.Unlock()
	t.ring()
}

// Delete produces a tombstone.
func (t *topic) Delete(key record.Key) {
	t.mu.Lock()
	t.add(t.message(key, nil))
	t.mu.Unlock()
	t.ring()
}

// Get returns the record.
func (t *topic) Get(key record.Key) record.Fields { return t.All()[key] }

// All returns the last message of each key.
func (t *topic) All() map[record.Key]record.Fields {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.records()
}

// Writes counts the connector's messages.
func (t *topic) Writes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.written
}

// Tamper is Put or Delete: nothing happens to a topic without a message.
func (t *topic) Tamper(key record.Key, fields record.Fields) { tamper(t, key, fields) }

// LosePlaces is somebody who fills the topic anew: all records are produced again, and what was before runs out.
func (t *topic) LosePlaces(record.Object) {
	t.mu.Lock()
	all := t.records()
	for i := range t.parts {
		t.parts[i].log, t.parts[i].start = nil, t.parts[i].end
	}
	for _, k := range sortedRecordKeys(all) {
		t.add(t.message(k, all[k]))
	}
	t.mu.Unlock()
	t.ring()
}

// Declare does nothing: a message says what it says.
func (*topic) Declare(connector.ObjectInfo) {}

// others is the broker, which compacts: of the messages of one key the last stays, and of a partition the newest message.
func (t *topic) others() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.parts {
		p := &t.parts[i]
		last := make(map[string]int64)
		for _, m := range p.log {
			last[string(m.Key)] = m.Offset
		}
		p.log = slices.DeleteFunc(p.log, func(m kafka.Message) bool { return !m.Control && m.Offset < p.end-1 && m.Offset < last[string(m.Key)] })
	}
	return "the topic is compacted"
}

// broker is the topic as an opened connector reaches it.
type broker struct {
	seam
	of   *topic
	next map[int32]int64 // of what is followed
}

func (b *broker) Check(ctx context.Context) error { return b.call(ctx, "check") }
func (b *broker) Close()                          {}

func (b *broker) Topics(ctx context.Context) ([]string, error) {
	return []string{string(b.of.o.object)}, ctx.Err()
}

func (b *broker) Bounds(ctx context.Context, _ string) (map[int32]kafka.Bounds, error) {
	if err := b.call(ctx, "list offsets"); err != nil {
		return nil, err
	}
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	out := make(map[int32]kafka.Bounds)
	for i := range b.of.parts {
		out[int32(i)] = kafka.Bounds{Start: b.of.parts[i].start, End: b.of.parts[i].end}
	}
	return out, nil
}

func (b *broker) Follow(_ string, from map[int32]int64) {
	for p, offset := range from {
		b.next[p] = offset
	}
}

func (b *broker) Leave(_ string, partitions []int32) {
	for _, p := range partitions {
		delete(b.next, p)
	}
}

// Poll has no stop of its own: the connector holds a lock while it calls.
func (b *broker) Poll(ctx context.Context, _ string) (out []kafka.Message, err error) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	for i := range b.of.parts {
		at, followed := b.next[int32(i)]
		if !followed {
			continue
		}
		for _, m := range b.of.parts[i].log {
			if m.Offset >= at {
				out = append(out, m)
				b.next[int32(i)] = m.Offset + 1
			}
		}
	}
	return out, ctx.Err()
}

func (b *broker) Send(ctx context.Context, _ string, messages []kafka.Message) error {
	if err := b.call(ctx, "send"); err != nil {
		return err
	}
	b.of.mu.Lock()
	b.of.add(messages...)
	b.of.written += stands(messages)
	for i := range b.of.parts { // the end of the transaction
		p := &b.of.parts[i]
		p.log = append(p.log, kafka.Message{Topic: string(b.of.o.object), Partition: int32(i), Offset: p.end, At: time.Now(), Control: true})
		p.end++
	}
	b.of.mu.Unlock()
	b.of.ring()
	return b.changed(ctx)
}

// stands counts the records that are written and not taken back: a message that says again what another had hidden takes one back.
func stands(messages []kafka.Message) (n int64) {
	for i := range messages {
		for _, h := range messages[i].Headers {
			switch h.Key {
			case "syncline-attempt":
				n++
			case "syncline-back":
				n--
			}
		}
	}
	return n
}

func (b *broker) Watch(ctx context.Context, _ []string, wake func(string)) error {
	s, err := b.of.bell.Open(ctx, connector.Settings{}, connector.Env{Consumer: "bell"})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it is in memory
	return s.(connector.Watcher).Watch(ctx, []record.Object{b.of.o.object}, func(o record.Object) { wake(string(o)) })
}

func (b *broker) Show(ctx context.Context, _, _ string, _ map[int32]int64) error {
	return b.call(ctx, "show the place")
}

func (b *broker) Forget(ctx context.Context, _ string) error { return ctx.Err() }

var (
	_ place     = (*topic)(nil)
	_ people    = (*topic)(nil)
	_ kafka.Log = (*broker)(nil)
)
