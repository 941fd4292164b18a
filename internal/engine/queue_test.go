// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// queue is a system that takes messages and hands them out, and can be asked nothing.
type queue struct {
	mu       sync.Mutex
	incoming []record.Change
	wakes    []func(record.Object)
	last     map[record.Key]record.Fields // what the last message of a record says it is; nil for deleted
	messages int
}

var _ connector.Appender = (*queue)(nil)

func (q *queue) Check(context.Context) error { return nil }
func (q *queue) Close() error                { return nil }
func (q *queue) Appends()                    {}

func (q *queue) Objects(context.Context) ([]record.Object, error) {
	return []record.Object{"products"}, nil
}

func (q *queue) Describe(context.Context, ...record.Object) ([]connector.ObjectInfo, error) {
	return []connector.ObjectInfo{products}, nil
}

func (q *queue) Read(_ context.Context, req connector.ReadRequest) (connector.Page, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var at int
	if req.Cursor != nil {
		if err := json.Unmarshal(req.Cursor, &at); err != nil {
			return connector.Page{}, err
		}
	}
	end := min(len(q.incoming), at+req.Limit)
	cursor, err := json.Marshal(end)
	return connector.Page{Changes: q.incoming[at:end], Cursor: cursor, Phase: connector.Stream, More: end < len(q.incoming)}, err
}

func (q *queue) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	q.mu.Lock()
	q.wakes = append(q.wakes, wake)
	q.mu.Unlock()
	wake(objects[0])
	<-ctx.Done()
	return nil
}

// say puts a message of somebody else into the queue.
func (q *queue) say(key record.Key, fields record.Fields) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.incoming = append(q.incoming, record.Change{Key: key, Op: record.Upsert, Fields: fields})
	for _, wake := range q.wakes {
		wake("products")
	}
}

func (q *queue) Write(_ context.Context, _ record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	receipts := make([]connector.Receipt, len(writes))
	for i, w := range writes {
		key, fields := w.Key, w.Fields
		if w.Whole != nil {
			fields = w.Whole
		}
		if key == "" {
			key = record.MakeKey(w.Fields["sku"])
		}
		if w.Op == record.Delete {
			fields = nil
		}
		q.last[key] = fields
		q.messages++
		receipts[i] = connector.Receipt{Outcome: connector.Applied, Key: key}
	}
	return receipts, nil
}

func (q *queue) said(key record.Key) (fields record.Fields, ever bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fields, ever = q.last[key]
	return fields, ever
}

const intoQueue = `
service: stock
direction: unidirectional
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig: {frequency: realtime, deletes: propagate}
`

// What was cut off while it was written to a queue is sent again, whole; what is gone is said to be gone, also when the
// message that told of its making was never heard of.
func TestQueueIsToldAgain(t *testing.T) {
	for _, seam := range []string{"before write", "after write", "settling saved"} {
		t.Run(seam, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, intoQueue, "warehouse")
			q := &queue{last: map[record.Key]record.Fields{}}
			b.queues = map[string]*queue{"shop": q}
			crash := newCrash(seam)
			b.engine.Seam = crash.at
			for round := range 4 {
				crash.arm(1)
				b.user("warehouse").Put("A", product("A", int64(round)))
				b.user("warehouse").Put(record.Key(fmt.Sprintf("R%d", round)), product(fmt.Sprintf("R%d", round), 1))
				b.startCrashing()
				b.eventually("the crash at "+seam, crash.happened)
				b.crash()
				b.user("warehouse").Delete(record.Key(fmt.Sprintf("R%d", round)))
			}
			b.start()
			b.eventually("quiet", func() bool {
				last, _ := q.said("A")
				return record.Equal(last["quantity"], record.Int(3)) && b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`) == 1 && b.settledDown()
			})
			b.halt()
			if last, _ := q.said("A"); !last.Equal(product("A", 3)) {
				t.Errorf("the last message of A is %v, want the whole record", last)
			}
			for round := range 4 {
				if last, ever := q.said(record.Key(fmt.Sprintf("R%d", round))); ever && last != nil {
					t.Errorf("R%d is deleted, and its last message says %v", round, last)
				}
			}
		})
	}
}

// A message that was rejected is taken in from the dead letter, since a queue does not say it a second time.
func TestQueueRedrive(t *testing.T) {
	b := newBench(t, `
service: stock
direction: unidirectional
systems:
  - {id: shop, type: memory, objects: [products], primary: true}
  - {id: warehouse, type: memory, objects: [products]}
syncConfig: {frequency: realtime}
validation: {quantity: {max: 10}}
`, "warehouse")
	q := &queue{last: map[record.Key]record.Fields{}}
	b.queues = map[string]*queue{"shop": q}
	b.start()
	q.say("A", product("A", 13))
	q.say("B", product("B", 1))
	b.eventually("B", func() bool { return b.user("warehouse").Get("B") != nil })
	b.eventually("the dead letter", func() bool { return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 1 })
	b.exec(`UPDATE dead_letters SET state = 'redriven', edit = '{"quantity": 9}', edited_by = 'Ada'`)
	b.eventually("the corrected message", func() bool {
		return b.user("warehouse").Get("A") != nil && record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(9))
	})
}
