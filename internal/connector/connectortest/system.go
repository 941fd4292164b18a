// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// system is one open connection to a Memory.
type system struct {
	m         *Memory
	token     string
	consumer  string
	detection string
	closed    bool // guarded by m.mu
}

var (
	_ connector.Connector  = (*Memory)(nil)
	_ connector.Discoverer = (*system)(nil)
	_ connector.Reader     = (*system)(nil)
	_ connector.KeyReader  = (*system)(nil)
	_ connector.Finder     = (*system)(nil)
	_ connector.Writer     = (*system)(nil)
	_ connector.Watcher    = (*system)(nil)
	_ connector.Chooser    = (*system)(nil)
	_ connector.Scanner    = (*system)(nil)
)

func (s *system) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err, _ := s.m.trouble(OnCheck, ""); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.allowed()
}

// allowed says why the connection may not be used; m.mu is held.
func (s *system) allowed() error {
	if s.closed {
		return &connector.Error{Class: connector.Retry, Code: "memory.closed", Message: "The connection was closed."}
	}
	if s.m.token != "" && s.token != s.m.token {
		return &connector.Error{Class: connector.Reconnect, Code: "memory.token", Message: "The token is not valid; enter the one the system asks for."}
	}
	return nil
}

func (s *system) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.m.opened--
	}
	return nil
}

func (s *system) Detection(context.Context, record.Object) (string, string, error) {
	if s.detection == "polling" {
		return "polling", "It was asked for.", nil
	}
	return "stream", "The system tells of each change.", nil
}

func (s *system) Objects(ctx context.Context) ([]record.Object, error) {
	if err, _ := s.m.trouble(OnDescribe, ""); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.allowed(); err != nil {
		return nil, err
	}
	names := make([]record.Object, 0, len(s.m.objects))
	for n := range s.m.objects {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, ctx.Err()
}

func (s *system) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	if err, _ := s.m.trouble(OnDescribe, ""); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.allowed(); err != nil {
		return nil, err
	}
	infos := make([]connector.ObjectInfo, 0, len(objects))
	for _, o := range objects {
		t, there := s.m.objects[o]
		if !there {
			return nil, &connector.Error{Class: connector.Reject, Code: "memory.no_such_object", Message: fmt.Sprintf("There is no object %q in this system; it has %s.", o, s.m.names())}
		}
		if len(t.info.Key) == 0 {
			return nil, &connector.Error{Class: connector.Reject, Code: "memory.no_key", Message: fmt.Sprintf("The object %q has no key; declare one.", o)}
		}
		info := t.info
		info.Rows = int64(t.live)
		infos = append(infos, info)
	}
	return infos, ctx.Err()
}

// place is what a cursor of a Memory says.
type place struct {
	Seq   uint64     `json:"seq"`             // the stream's position; during a snapshot where the stream will begin
	After record.Key `json:"after,omitempty"` // the last key of the snapshot
	Phase string     `json:"phase"`           // "snapshot" or "stream"
	Begun bool       `json:"begun,omitempty"` // After counts, even when it is ""
}

func (p place) cursor() record.Cursor {
	b, _ := json.Marshal(p)
	return b
}

func (s *system) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if err, _ := s.m.trouble(OnRead, req.Object); err != nil {
		return connector.Page{}, err
	}
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "memory.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.allowed(); err != nil {
		return connector.Page{}, err
	}
	t, err := s.m.lookup(req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	p := place{Seq: s.m.seq, Phase: string(connector.Snapshot)}
	if req.Cursor != nil {
		if err := json.Unmarshal(req.Cursor, &p); err != nil {
			return connector.Page{}, &connector.Error{Class: connector.LostPlace, Code: "memory.cursor", Message: "The position does not belong to this system; it is read anew.", Err: err}
		}
		if p.Seq < t.floor {
			return connector.Page{}, &connector.Error{Class: connector.LostPlace, Code: "memory.lost_place", Message: "The position is no longer known; the object is read anew."}
		}
	}
	if p.Phase == string(connector.Snapshot) {
		return t.snapshot(p, req), ctx.Err()
	}
	reader := ""
	if s.m.suppress {
		reader = s.consumer
	}
	return t.stream(p, req, reader, s.m.seq), ctx.Err()
}

// ReadsOnce implements connector.OnceReader: a snapshot goes in the order of the keys.
func (s *system) ReadsOnce(record.Object) bool { return true }

func (t *table) snapshot(p place, req connector.ReadRequest) connector.Page {
	keys := t.keys()
	i := 0
	if p.Begun {
		i = sort.Search(len(keys), func(i int) bool { return keys[i] > p.After })
	}
	page := connector.Page{Phase: connector.Snapshot, Total: int64(t.live), More: true}
	for ; i < len(keys) && len(page.Changes) < req.Limit; i++ {
		if r := t.rows[keys[i]]; !r.deleted {
			page.Changes = append(page.Changes, t.change(r, req.Fields))
			p.After, p.Begun = keys[i], true
		}
	}
	for ; i < len(keys) && t.rows[keys[i]].deleted; i++ {
	}
	if i == len(keys) {
		p = place{Seq: p.Seq, Phase: string(connector.Stream)}
		page.Phase = connector.Stream
		page.More = t.changedSince(p.Seq)
	}
	page.Cursor = p.cursor()
	return page
}

func (t *table) changedSince(seq uint64) bool { return len(t.log) > 0 && t.log[len(t.log)-1].seq > seq }

func (t *table) stream(p place, req connector.ReadRequest, reader string, now uint64) connector.Page {
	page := connector.Page{Phase: connector.Stream}
	i := sort.Search(len(t.log), func(i int) bool { return t.log[i].seq > p.Seq })
	for ; i < len(t.log); i++ {
		e := t.log[i]
		// A record appears where it was last changed by somebody whom this reader is to hear of; earlier changes coalesce
		// into that one.
		if e.row.lastBySomeoneElse(reader) == e.seq {
			if len(page.Changes) == req.Limit {
				page.More = true
				break
			}
			page.Changes = append(page.Changes, t.change(e.row, req.Fields))
		}
		p.Seq = e.seq
	}
	if !page.More {
		p.Seq = max(p.Seq, now)
	}
	page.Cursor = p.cursor()
	return page
}

func (s *system) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	if err, _ := s.m.trouble(OnRead, object); err != nil {
		return nil, err
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
	changes := make([]record.Change, 0, len(keys))
	for _, k := range keys {
		if r, there := t.rows[k]; there {
			changes = append(changes, t.change(r, fields))
		} else {
			changes = append(changes, record.Change{Key: k, Op: record.Delete})
		}
	}
	return changes, ctx.Err()
}

// Scan reads records in the order of their keys; its place is the last one.
func (s *system) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	if err, _ := s.m.trouble(OnRead, req.Object); err != nil {
		return out, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.allowed(); err != nil {
		return out, err
	}
	t, err := s.m.lookup(req.Object)
	if err != nil {
		return out, err
	}
	for _, k := range t.keys() {
		if r := t.rows[k]; r.deleted || req.Place != nil && k <= record.Key(req.Place) {
			continue
		}
		if len(out.Records) == req.Limit {
			out.Next = record.Cursor(out.Records[req.Limit-1].Key)
			break
		}
		out.Records = append(out.Records, t.change(t.rows[k], req.Fields))
	}
	return out, ctx.Err()
}

func (s *system) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	if err, _ := s.m.trouble(OnRead, object); err != nil {
		return nil, err
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
	found := make([][]record.Change, len(queries))
	for i, q := range queries {
		for _, k := range t.keys() {
			if r := t.rows[k]; !r.deleted && holds(r.fields, q) {
				if found[i] = append(found[i], t.change(r, fields)); len(found[i]) == 2 {
					break
				}
			}
		}
	}
	return found, ctx.Err()
}

// holds says whether the record has these values.
func holds(all, some record.Fields) bool {
	for name, v := range some {
		if !record.Equal(all[name], v) {
			return false
		}
	}
	return true
}
