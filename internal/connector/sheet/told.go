// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// ByStream is the detection of a place that tells of its changes itself.
const ByStream = "stream"

// Keyed is a Source whose rows can be read by their keys, so that no table has to be read whole for a few of its rows.
type Keyed interface {
	Source
	// Shape is the table without its rows: fields as some of them show it.
	Shape(ctx context.Context, object record.Object) (*Table, error)
	// Rows reads the rows of these keys. What is not there is left out; what else is there does no harm.
	Rows(ctx context.Context, object record.Object, keys []record.Key) (*Table, error)
	// Where reads rows that hold what one of the queries asks for: of each query two, where there are two. What else is there
	// does no harm.
	Where(ctx context.Context, object record.Object, queries []record.Fields) (*Table, error)
}

// Told is a Keyed whose place tells of changes: a change stream.
type Told interface {
	Keyed
	// Tells says whether the place tells of the object's changes, and why, or why not, in one sentence for people.
	Tells(ctx context.Context, object record.Object) (bool, string, error)
	// Now is the place in the object's changes behind which everything comes that is changed from now on.
	Now(ctx context.Context, object record.Object) (json.RawMessage, error)
	// Since tells which keys may have changed behind a place, of about limit changes. An error of class LostPlace says that
	// changes behind the place are not known any more.
	Since(ctx context.Context, object record.Object, place json.RawMessage, limit int) (News, error)
	// Span reads about limit rows behind that place in the table, in an order of its own; nil is the beginning. next is nil at
	// the end.
	Span(ctx context.Context, object record.Object, after json.RawMessage, limit int) (t *Table, next json.RawMessage, err error)
}

// News is what a place tells.
type News struct {
	Keys []record.Key
	Next json.RawMessage
	More bool // there is more to tell now
}

// Listener is a Told that can wait for changes.
type Listener interface {
	Told
	// Listen calls heard once it listens and then for each change, until ctx ends (nil) or it fails.
	Listen(ctx context.Context, object record.Object, heard func()) error
}

// fresh is how long a cursor stands still while nothing is told. After that it moves up all the same, so that the place of a table
// in which nothing happens does not become older than what the other side keeps.
const fresh = time.Minute

// choice is how an object's changes are seen.
type choice struct {
	told bool
	why  string
}

// choose decides it once, as long as the system is open.
func (s *System) choose(ctx context.Context, object record.Object) (choice, error) {
	if s.told == nil {
		return choice{why: s.why}, nil
	}
	s.mu.Lock()
	c, known := s.chosen[object]
	s.mu.Unlock()
	if known {
		return c, nil
	}
	told, why, err := s.told.Tells(ctx, object)
	if err != nil {
		return choice{}, err
	}
	if !told {
		if s.asked == ByStream {
			return choice{}, &connector.Error{Class: connector.Reject, Code: "sheet.no_stream", Message: fmt.Sprintf("Changes of %s cannot be streamed. %s Or choose auto, which reads it whole and compares.", object, why)}
		}
		why += " So it is read whole and compared with what was there before."
	}
	c = choice{told, why}
	s.mu.Lock()
	s.chosen[object] = c
	s.mu.Unlock()
	return c, nil
}

// readTold reads a page of an object whose place tells of changes. The stream's place is taken before the first row is read, and
// what it tells is read anew by key, so that there is no gap and no step back in time.
func (s *System) readTold(ctx context.Context, req connector.ReadRequest, p place) (connector.Page, error) {
	switch {
	case p.Told == nil && !p.Snap: // it was compared so far; once more, and then the stream goes on from before that
		now, err := s.told.Now(ctx, req.Object)
		if err != nil {
			return connector.Page{}, err
		}
		page, err := s.compare(ctx, req, p)
		if err != nil || page.More {
			return page, err
		}
		page.More = true
		page.Cursor, err = json.Marshal(place{Told: now, At: s.now().Unix()})
		return page, err
	case p.Told == nil:
		now, err := s.told.Now(ctx, req.Object)
		if err != nil {
			return connector.Page{}, err
		}
		p = place{Snap: true, Told: now, At: s.now().Unix()}
	}
	if p.Snap {
		return s.span(ctx, req, p)
	}
	keys := p.Keys
	var err error
	next, more := p.Told, false
	if len(keys) < req.Limit {
		news, err := s.told.Since(ctx, req.Object, p.Told, req.Limit-len(keys))
		if err != nil {
			return connector.Page{}, err
		}
		next, more = news.Next, news.More
		keys = unique(slices.Concat(keys, news.Keys))
	}
	page := connector.Page{Phase: connector.Stream}
	if len(keys) == 0 && !more && (bytes.Equal(next, p.Told) || s.now().Sub(time.Unix(p.At, 0)) < fresh) {
		page.Cursor = slices.Clone(req.Cursor)
		return page, nil
	}
	now := keys[:min(len(keys), req.Limit)]
	p.Told, p.Keys, p.At = next, keys[len(now):], s.now().Unix()
	page.More = more || len(p.Keys) > 0
	if page.Changes, err = s.present(ctx, req.Object, req.Fields, now); err != nil {
		return page, err
	}
	page.Cursor, err = json.Marshal(p)
	return page, err
}

// unique leaves each key once, where it is first.
func unique(keys []record.Key) []record.Key {
	seen := make(map[record.Key]bool, len(keys))
	out := keys[:0:0]
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

// span reads a page of the snapshot.
func (s *System) span(ctx context.Context, req connector.ReadRequest, p place) (connector.Page, error) {
	t, next, err := s.told.Span(ctx, req.Object, p.Span, req.Limit)
	if err != nil {
		return connector.Page{}, err
	}
	if err := s.index(req.Object, t); err != nil {
		return connector.Page{}, err
	}
	page := connector.Page{Phase: connector.Snapshot, More: true, Total: t.Estimate}
	for _, r := range t.Rows {
		page.Changes = append(page.Changes, t.change(r, req.Fields))
	}
	if p.Span = next; next == nil { // what the stream tells since the beginning is there to be read
		p.Snap, page.Phase = false, connector.Stream
	}
	page.Cursor, err = json.Marshal(p)
	return page, err
}

// present are the rows of these keys as they are.
func (s *System) present(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	t, err := s.rows(ctx, object, keys)
	if err != nil {
		return nil, err
	}
	out := make([]record.Change, 0, len(keys))
	for _, k := range unique(keys) {
		if r := t.byKey[k]; r != nil {
			out = append(out, t.change(r, fields))
		} else {
			out = append(out, record.Change{Key: k, Op: record.Delete})
		}
	}
	return out, nil
}

// rows reads the rows of keys, where the source can, else all.
func (s *System) rows(ctx context.Context, object record.Object, keys []record.Key) (*Table, error) {
	if s.keyed == nil {
		return s.load(ctx, object)
	}
	t, err := s.keyed.Rows(ctx, object, keys)
	if err != nil {
		return nil, err
	}
	return t, s.index(object, t)
}

// concerned reads what the writes are to be decided against.
func (s *System) concerned(ctx context.Context, object record.Object, writes []connector.Write) (*Table, error) {
	if s.keyed == nil {
		return s.load(ctx, object)
	}
	t, err := s.keyed.Shape(ctx, object)
	if err != nil {
		return nil, err
	}
	d := decision{System: s, t: t}
	var keys []record.Key
	for i := range writes {
		w := &writes[i]
		if w.Key != "" {
			keys = append(keys, w.Key)
		}
		kept, refusal := d.accepted(w.Fields)
		if refusal != nil {
			continue
		}
		key := kept // also the key that it is to have
		if parts, err := w.Key.Parts(len(t.Key)); err == nil && w.Key != "" {
			key = kept.Clone()
			for i, k := range t.Key {
				if key[k] == nil {
					key[k] = parts[i]
				}
			}
		}
		if k := keyOf(t.Key, key); k != "" {
			keys = append(keys, k)
		}
	}
	return s.rows(ctx, object, unique(keys))
}

// Following is an open place that can be listened to.
type Following struct {
	*System
	listener Listener
}

// Watch implements connector.Watcher. Of objects whose changes are found by comparing it says nothing: they are polled.
func (f *Following) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	heard, ended := make(chan record.Object), make(chan error, len(objects))
	for _, o := range objects {
		c, err := f.choose(ctx, o)
		if err != nil {
			return err
		}
		if !c.told {
			continue
		}
		go func() {
			ended <- f.listener.Listen(ctx, o, func() {
				select {
				case heard <- o:
				case <-ctx.Done():
				}
			})
		}()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-heard:
			wake(o)
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

var _ connector.Watcher = (*Following)(nil)

// Shapes remembers what tables looked like by example, for a short while: looking costs the other side.
type Shapes struct {
	mu    sync.Mutex
	known map[record.Object]shape
}

type shape struct {
	t    Table
	seen time.Time
}

// remembered is for how long.
const remembered = time.Minute

// Get returns the table without rows, as it was lately or as look finds it. Only what is settled is remembered: a table with few
// rows looks otherwise after the next one.
func (s *Shapes) Get(object record.Object, look func() (t *Table, settled bool, err error)) (*Table, error) {
	s.mu.Lock()
	k, there := s.known[object]
	s.mu.Unlock()
	if !there || time.Since(k.seen) > remembered {
		t, settled, err := look()
		if err != nil {
			return nil, err
		}
		k = shape{*t, time.Now()}
		k.t.Rows = nil
		if settled {
			s.mu.Lock()
			if s.known == nil {
				s.known = map[record.Object]shape{}
			}
			s.known[object] = k
			s.mu.Unlock()
		}
	}
	t := k.t
	t.Key, t.Fields = slices.Clone(t.Key), slices.Clone(t.Fields)
	return &t, nil
}
