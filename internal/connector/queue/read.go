// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	maxHeld = 2000          // messages that are under way at most
	maxOld  = 5000          // names of earlier messages that a cursor carries at most
	carried = 2 * time.Hour // how long they are carried: by then a broker has handed out again what it will
)

// place is a cursor: how far one consumption was read, and the names of the messages that were read and may be handed out
// again because they were not yet acknowledged.
type place struct {
	Session string    `json:"session,omitempty"`
	Seq     int64     `json:"seq,omitempty"`
	Unsure  []string  `json:"unsure,omitempty"` // of this consumption
	Old     []string  `json:"old,omitempty"`    // of earlier ones
	Until   time.Time `json:"until,omitzero"`   // when Old is forgotten
	At      string    `json:"at,omitempty"`     // a Resumer's place behind what was read
}

// held is a message that is not yet acknowledged.
type held struct {
	Message
	name string
	seq  int64
}

// feed is a consumption of one queue.
type feed struct {
	object record.Object

	mu      sync.Mutex
	session string
	held    []*held
	last    int64
	room    *sync.Cond
	err     error // why the last consumption ended
	ended   bool
	done    map[string]bool // acknowledged in this consumption; what comes again all the same is acknowledged again
	again   []any
	bells   map[chan struct{}]bool
	types   map[string]map[connector.Type]bool
	began   time.Time
	from    string             // a Resumer's place where this consumption began
	stop    context.CancelFunc // ends this consumption
	over    chan struct{}      // closed when it has ended
}

// idle returns the consumption of the queue as it is; it need not have begun.
func (s *System) idle(object record.Object) (*feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &connector.Error{Class: connector.Retry, Code: "queue.closed", Message: "The connection was closed; it will be opened again."}
	}
	f := s.feeds[object]
	if f == nil {
		f = &feed{object: object, bells: map[chan struct{}]bool{}, types: map[string]map[connector.Type]bool{}, ended: true}
		f.room = sync.NewCond(&f.mu)
		s.feeds[object] = f
	}
	return f, nil
}

// feed returns the consumption of the queue, and begins one, at the place where a Resumer stands, when there is none.
func (s *System) feed(object record.Object, at string) (*feed, error) {
	f, err := s.idle(object)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.err; err != nil {
		f.err = nil
		return nil, err
	}
	if f.ended {
		f.ended, f.held, f.last, f.again, f.done = false, nil, 0, nil, map[string]bool{}
		f.session, f.began, f.from, f.over = uuid.NewString(), time.Now(), at, make(chan struct{})
		var ctx context.Context
		ctx, f.stop = context.WithCancel(s.ctx)
		over := f.over
		s.wait.Go(func() { s.consume(ctx, f, at, over) })
	}
	return f, nil
}

func (s *System) consume(ctx context.Context, f *feed, at string, over chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer close(over)
	defer cancel()
	unblock := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.room.Broadcast()
	})
	defer unblock()
	sink := func(m Message) { f.take(ctx, m) }
	var err error
	if r, ok := s.broker.(Resumer); ok {
		err = r.ConsumeFrom(ctx, f.object, at, sink)
	} else {
		err = s.broker.Consume(ctx, f.object, sink)
	}
	stopped := ctx.Err() != nil
	f.mu.Lock()
	rest := f.held
	f.ended, f.held = true, nil
	f.mu.Unlock()
	if r, ok := s.broker.(Returner); ok && len(rest) > 0 {
		handles := make([]any, len(rest))
		for i, h := range rest {
			handles[i] = h.Handle
		}
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		_ = r.Return(after, f.object, handles) // else it takes until their time ends
		cancel()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !stopped {
		if err == nil {
			err = &connector.Error{Class: connector.Retry, Code: "queue.ended", Message: "The broker stopped handing out messages; it will be asked again."}
		}
		f.err = err
	}
	f.ring()
}

func (f *feed) ring() {
	for b := range f.bells {
		select {
		case b <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// take keeps a message until it is acknowledged.
func (f *feed) take(ctx context.Context, m Message) {
	name := nameOf(m)
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.held) >= maxHeld && ctx.Err() == nil {
		f.room.Wait()
	}
	if ctx.Err() != nil {
		return
	}
	if m.ID != "" { // else equal messages are two
		if f.done[name] {
			f.again = append(f.again, m.Handle)
			return
		}
		for _, h := range f.held {
			if h.name == name {
				h.Handle = m.Handle
				return
			}
		}
	}
	f.last++
	f.held = append(f.held, &held{Message: m, name: name, seq: f.last})
	f.ring()
}

func nameOf(m Message) string {
	text := "id\x00" + m.ID
	if m.ID == "" {
		text = "body\x00" + m.Key + "\x00" + string(m.Body)
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// Read implements connector.Reader. The first page is empty and begins nothing, so that a queue that is only written to is not
// emptied.
func (s *System) Read(_ context.Context, req connector.ReadRequest) (connector.Page, error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "queue.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	page := connector.Page{Phase: connector.Stream}
	if req.Cursor == nil {
		page.Cursor, page.More = record.Cursor("{}"), true
		return page, nil
	}
	var p place
	if err := json.Unmarshal(req.Cursor, &p); err != nil {
		return page, &connector.Error{Class: connector.LostPlace, Code: "queue.lost_place", Message: "The place in the queue cannot be read; reading goes on with the messages that are there.", Err: err}
	}
	f, err := s.feed(req.Object, p.At)
	if err != nil {
		return page, err
	}
	_, resumes := s.broker.(Resumer)
	f.mu.Lock()
	if resumes && p.Session != f.session && p.At != f.from { // it began elsewhere: what lies between would be passed over
		stop, over := f.stop, f.over
		f.mu.Unlock()
		stop()
		<-over
		if f, err = s.feed(req.Object, p.At); err != nil {
			return page, err
		}
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	if resumes && p.Session != f.session {
		p = place{Session: f.session, At: p.At}
	} else if p.Session != f.session {
		old := slices.Concat(p.Old, p.Unsure)
		p = place{Session: f.session, Old: old[max(0, len(old)-maxOld):], Until: f.began.Add(carried)}
	}
	if !p.Until.IsZero() && time.Now().After(p.Until) {
		p.Old, p.Until = nil, time.Time{}
	}
	known := make(map[string]int, len(p.Old))
	for _, n := range p.Old {
		known[n]++
	}
	at := map[record.Key]int{}
	var unsure []string
	for _, h := range f.held {
		if h.seq <= p.Seq {
			if !resumes {
				unsure = append(unsure, h.name)
			}
			continue
		}
		if len(page.Changes) == req.Limit {
			page.More = true
			break
		}
		if known[h.name] > 0 { // it was read before, and acknowledging it failed
			known[h.name]--
		} else if h.By == "" || h.By != s.env.Consumer { // ours is no news
			c, err := s.change(f, &h.Message, req.Fields)
			if err != nil {
				if len(page.Changes) > 0 { // what comes before it goes its way first
					page.More = true
					break
				}
				return connector.Page{}, err
			}
			if i, there := at[c.Key]; there {
				page.Changes[i] = c
			} else {
				at[c.Key] = len(page.Changes)
				page.Changes = append(page.Changes, c)
			}
		}
		if !resumes {
			unsure = append(unsure, h.name)
		}
		p.Seq = h.seq
		if h.Place != "" {
			p.At = h.Place
		}
	}
	p.Unsure = unsure
	b, err := json.Marshal(p)
	page.Cursor = b
	return page, err
}

// Acknowledge implements connector.Acknowledger.
func (s *System) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	var p place
	s.mu.Lock()
	f := s.feeds[object]
	s.mu.Unlock()
	if f == nil || json.Unmarshal(cursor, &p) != nil {
		return nil // nothing is under way
	}
	f.mu.Lock()
	if p.Session != f.session {
		f.mu.Unlock()
		return nil // of a consumption that has ended: all of it is handed out again
	}
	handles := f.again
	f.again = nil
	n := 0
	for n < len(f.held) && f.held[n].seq <= p.Seq {
		handles = append(handles, f.held[n].Handle)
		n++
	}
	covered := f.held[:n:n]
	f.mu.Unlock()
	if len(handles) == 0 {
		return nil
	}
	if err := s.broker.Done(ctx, object, handles); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Session != f.session {
		return nil
	}
	if len(f.done) > 2*maxOld {
		clear(f.done)
	}
	for _, h := range covered {
		if h.ID != "" {
			f.done[h.name] = true
		}
	}
	f.held = slices.Clone(f.held[min(n, len(f.held)):])
	f.room.Broadcast()
	return nil
}

// Watch implements connector.Watcher.
func (s *System) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer wait.Wait()
	defer cancel()
	woken := make(chan record.Object)
	failed := make(chan error, len(objects))
	_, resumes := s.broker.(Resumer)
	for _, o := range objects {
		begin := func(o record.Object) (*feed, error) { return s.feed(o, "") }
		if resumes { // where it begins only its reader knows
			begin = s.idle
		}
		f, err := begin(o)
		if err != nil {
			return err
		}
		bell := make(chan struct{}, 1)
		bell <- struct{}{}
		f.mu.Lock()
		f.bells[bell] = true
		f.mu.Unlock()
		wait.Go(func() {
			defer func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.bells, bell)
			}()
			for {
				select {
				case <-ctx.Done():
					return
				case <-bell:
				}
				f.mu.Lock()
				ended, err := f.ended, f.err
				f.mu.Unlock()
				if ended && err != nil {
					failed <- err
					return
				}
				select {
				case <-ctx.Done():
					return
				case woken <- o:
				}
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case o := <-woken:
			wake(o)
		}
	}
}

// change makes a record of a message. Content that is no JSON object is kept in the field value.
func (s *System) change(f *feed, m *Message, wanted []string) (record.Change, error) {
	keys := s.options.key(f.object)
	fields, key, deleted := s.decode(m, keys)
	for _, k := range keys {
		if fields[k] == nil && key == "" {
			return record.Change{}, &connector.Error{Class: connector.Retry, Code: "queue.key_missing",
				Message: fmt.Sprintf("A message in %s has neither the header %s nor a value in the field %s, so it cannot be told which record it is of: %.100s. %s", f.object, HeaderKey, k, plain(m.Body), s.options.Remedy)}
		}
	}
	if key == "" {
		key = keyOf(keys, fields)
	}
	c := record.Change{Key: key, Op: record.Upsert, At: m.At}
	if deleted {
		c.Op = record.Delete
		return c, nil
	}
	for name, x := range fields {
		if t := typeOf(x); t != "" {
			if f.types[name] == nil {
				f.types[name] = map[connector.Type]bool{}
			}
			f.types[name][t] = true
		}
	}
	if len(wanted) == 0 {
		c.Fields = fields
		return c, nil
	}
	c.Fields = record.Fields{}
	for _, name := range slices.Concat(keys, wanted) {
		if v, there := fields[name]; there { // what a message does not say stays as it is
			c.Fields[name] = v
		}
	}
	return c, nil
}

func (s *System) decode(m *Message, keys []string) (fields record.Fields, key record.Key, deleted bool) {
	x, err := record.ParseJSON(m.Body)
	object, isObject := x.(map[string]any)
	switch {
	case err == nil && isObject:
		fields = object
	case len(m.Body) == 0:
		fields = record.Fields{}
	case err == nil:
		fields = record.Fields{"value": x}
	default:
		fields = record.Fields{"value": plain(m.Body)}
	}
	deleted = m.Deleted
	if s.options.deleted != "" && record.Equal(fields[s.options.deleted], true) {
		deleted = true
	}
	if m.Key != "" {
		key = record.Key(m.Key)
		if parts, err := key.Parts(len(keys)); err == nil {
			for i, k := range keys {
				if fields[k] == nil {
					fields[k] = parts[i]
				}
			}
		} else {
			key = ""
		}
	}
	return fields, key, deleted
}

func keyOf(keys []string, fields record.Fields) record.Key {
	values := make([]record.Value, len(keys))
	for i, k := range keys {
		values[i] = fields[k]
	}
	return record.MakeKey(values...)
}

func plain(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
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

// columns are the types of the fields seen so far.
func (f *feed) columns() map[string]connector.Type {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]connector.Type, len(f.types))
	for name, kinds := range f.types {
		switch {
		case len(kinds) == 1:
			for t := range kinds {
				out[name] = t
			}
		case len(kinds) == 2 && kinds[connector.TypeInteger] && kinds[connector.TypeNumber]:
			out[name] = connector.TypeNumber
		default:
			out[name] = connector.TypeJSON
		}
	}
	return out
}

func fieldsOf(types map[string]connector.Type, key []string) []connector.FieldInfo {
	var out []connector.FieldInfo
	for name, t := range types {
		out = append(out, connector.FieldInfo{Name: name, Type: t, Native: string(t) + ", by example", Nullable: !slices.Contains(key, name), Scale: -1})
	}
	slices.SortFunc(out, func(a, b connector.FieldInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}
