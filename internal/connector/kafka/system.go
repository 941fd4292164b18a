// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// system is an open cluster.
type system struct {
	env        connector.Env
	log        Log
	keys       []keyRule
	maxRecords int

	polling sync.Mutex // guards views and reading on
	views   map[string]*view

	writing sync.Mutex // a write is compared and sent before the next
}

func (s *system) Check(ctx context.Context) error { return s.log.Check(ctx) }

func (s *system) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.log.Close()
	return nil
}

// Pace is only for a watcher that failed; a topic is watched.
func (s *system) Pace() connector.Pace {
	return connector.Pace{Min: 200 * time.Millisecond, Max: 10 * time.Second}
}

func (s *system) Objects(ctx context.Context) ([]record.Object, error) {
	topics, err := s.log.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var out []record.Object
	for _, t := range topics {
		if !strings.HasPrefix(t, "__") {
			out = append(out, record.Object(t))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *system) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	var out []connector.ObjectInfo
	for _, o := range objects {
		v, err := s.follow(ctx, string(o))
		if err != nil {
			return nil, err
		}
		s.polling.Lock()
		info := connector.ObjectInfo{Name: o, Key: v.key, Fields: v.columns(), Rows: int64(v.live), Open: true}
		s.polling.Unlock()
		out = append(out, info)
	}
	return out, nil
}

func (s *system) Detection(context.Context, record.Object) (detection, why string, err error) {
	return byStream, "A topic is a log: it is followed from offset to offset.", nil
}

// place is a cursor: the next offset of each partition.
type place struct {
	Offsets  map[int32]int64 `json:"offsets"`
	Snapshot bool            `json:"snapshot,omitempty"`
	Quiet    map[int32]int64 `json:"quiet,omitempty"` // in a snapshot: where the partitions ended when it began
}

func (s *system) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "kafka.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	p := place{Snapshot: true}
	if req.Cursor != nil {
		p.Snapshot = false
		if err := json.Unmarshal(req.Cursor, &p); err != nil {
			return connector.Page{}, lost(req.Object, err)
		}
	}
	v, err := s.settled(ctx, string(req.Object))
	if err != nil {
		return connector.Page{}, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	if req.Cursor != nil {
		for id, offset := range p.Offsets {
			part := v.parts[id]
			if part == nil || offset > part.next || offset < part.start && offset != 0 {
				return connector.Page{}, lost(req.Object, nil)
			}
			if offset == 0 && part.start > 0 && !p.Snapshot {
				return connector.Page{}, lost(req.Object, nil)
			}
		}
	}
	if req.Cursor == nil {
		p.Quiet = map[int32]int64{}
		for id, part := range v.parts {
			p.Quiet[id] = part.next
		}
	}
	found, next, more := v.since(p.Offsets, p.Quiet, req.Limit)
	page := connector.Page{Phase: connector.Stream, More: more}
	for _, e := range found {
		page.Changes = append(page.Changes, v.change(e, req.Fields))
	}
	if p.Snapshot {
		page.Total = int64(v.live)
		if more {
			page.Phase = connector.Snapshot
		}
	}
	to := place{Offsets: next}
	if p.Snapshot && more {
		to.Snapshot, to.Quiet = true, p.Quiet
	}
	b, err := json.Marshal(to)
	page.Cursor = b
	return page, err
}

func lost(object record.Object, err error) error {
	return &connector.Error{Class: connector.LostPlace, Code: "kafka.lost_place",
		Message: fmt.Sprintf("The messages of %s at the place where reading stood have run out or were removed; the topic is read anew.", object), Err: err}
}

func (s *system) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	v, err := s.follow(ctx, string(object))
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	out := make([]record.Change, 0, len(keys))
	for _, k := range keys {
		if e := v.rows[k]; e != nil && !e.deleted {
			out = append(out, v.change(e, fields))
		} else {
			out = append(out, record.Change{Key: k, Op: record.Delete})
		}
	}
	return out, nil
}

// Scan hands out the last message of each key, in the order of keys.
func (s *system) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	v, err := s.follow(ctx, string(req.Object))
	if err != nil {
		return out, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	for _, k := range slices.Sorted(maps.Keys(v.rows)) {
		if e := v.rows[k]; e.deleted || req.Place != nil && k <= record.Key(req.Place) {
			continue
		}
		if len(out.Records) == req.Limit {
			out.Next = record.Cursor(out.Records[req.Limit-1].Key)
			break
		}
		out.Records = append(out.Records, v.change(v.rows[k], req.Fields))
	}
	return out, nil
}

func (s *system) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	v, err := s.follow(ctx, string(object))
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	keys := slices.Sorted(maps.Keys(v.rows))
	found := make([][]record.Change, len(queries))
	for _, k := range keys {
		e := v.rows[k]
		if e.deleted {
			continue
		}
		for i, q := range queries {
			if len(found[i]) < 2 && holds(e.fields, q) {
				found[i] = append(found[i], v.change(e, fields))
			}
		}
	}
	return found, nil
}

func holds(all, some record.Fields) bool {
	for name, v := range some {
		if !record.Equal(all[name], v) {
			return false
		}
	}
	return true
}

// Recall implements connector.Recaller: the messages themselves say which batch they are of. Where some of that time were compacted
// or ran out, what is found was written, and of the rest nothing is known.
func (s *system) Recall(ctx context.Context, object record.Object, id uuid.UUID) (map[record.EntityID]connector.Receipt, error) {
	v, err := s.settled(ctx, string(object))
	if err != nil {
		return nil, err
	}
	s.polling.Lock()
	defer s.polling.Unlock()
	out := map[record.EntityID]connector.Receipt{}
	note := func(deleted bool, keys func(attempt) map[record.EntityID]record.Key) {
		for p := range v.parts {
			if a := v.attempts[sender{s.env.Consumer, p}]; a.id == id {
				for id, key := range keys(a) {
					out[id] = connector.Receipt{Outcome: connector.Applied, Key: key, Deleted: deleted} // a topic keeps what it is given
				}
			}
		}
	}
	note(true, func(a attempt) map[record.EntityID]record.Key { return a.gone })
	note(false, func(a attempt) map[record.EntityID]record.Key { return a.keys })
	if at, _ := id.Time().UnixTime(); v.mayForget(time.Unix(at, 0)) {
		return out, connector.ErrNotRemembered
	}
	return out, nil
}

// Watch implements connector.Watcher.
func (s *system) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	if len(objects) == 0 {
		<-ctx.Done()
		return nil
	}
	topics := make([]string, len(objects))
	for i, o := range objects {
		topics[i] = string(o)
	}
	return s.log.Watch(ctx, topics, func(topic string) { wake(record.Object(topic)) })
}

// group is the consumer group that shows in Kafka's own tools how far the service has read.
func (s *system) group() string { return "syncline-" + s.env.Consumer }

// Acknowledge implements connector.Acknowledger.
func (s *system) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	var p place
	if json.Unmarshal(cursor, &p) != nil || p.Snapshot {
		return nil // there is nothing to show
	}
	return s.log.Show(ctx, s.group(), string(object), p.Offsets)
}

// Clean implements connector.Cleaner.
func (s *system) Clean(ctx context.Context, _ []record.Object) error {
	return s.log.Forget(ctx, s.group())
}

var (
	_ connector.Discoverer   = (*system)(nil)
	_ connector.Reader       = (*system)(nil)
	_ connector.KeyReader    = (*system)(nil)
	_ connector.Finder       = (*system)(nil)
	_ connector.Writer       = (*system)(nil)
	_ connector.Recaller     = (*system)(nil)
	_ connector.Watcher      = (*system)(nil)
	_ connector.Acknowledger = (*system)(nil)
	_ connector.Cleaner      = (*system)(nil)
	_ connector.Chooser      = (*system)(nil)
	_ connector.Pacer        = (*system)(nil)
)
