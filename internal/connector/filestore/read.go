// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Reading compares the file with a list of what the consumer knows: the key and a digest of each record. A list is a file
// of its own in .syncline/<consumer>/<object>/, never changed once it is written, and a cursor names the one that it begins with.
// So a cursor is small, an older one can be read again, and what a consumer knows does not depend on what others do.
//
// The first reading writes the list of the file as it is, hands out the records in the order of their keys, and then goes on as a
// stream from that list: whatever changed meanwhile is found by comparing. A round of the stream compares one list with
// one content; when the content changes in the middle of a round, the round goes on with the newer records and the next one
// begins with the list of the content that the round began with. Nothing is lost that way, and no record goes back in time,
// since records are always handed out as they are at that moment.

// place is a cursor.
type place struct {
	Base  string     `json:"base,omitempty"`  // the list that is compared with
	Next  string     `json:"next,omitempty"`  // the list that the next round compares with; set inside a round
	After record.Key `json:"after,omitempty"` // the last key handed out
	Begun bool       `json:"begun,omitempty"` // After counts
	Snap  bool       `json:"snap,omitempty"`
	Bare  string     `json:"bare,omitempty"` // without lists: the content that was handed out last
	// Whole is set while a content is handed out without comparing, because no lists can be kept.
	Whole bool `json:"whole,omitempty"`
}

func (p place) cursor() record.Cursor {
	b, _ := json.Marshal(p) // texts and truth values
	return b
}

// Read implements connector.Reader.
func (s *System) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "files.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	var p place
	if req.Cursor != nil {
		if err := json.Unmarshal(req.Cursor, &p); err != nil {
			return connector.Page{}, lost(req.Object, err)
		}
	}
	ours := s.written.Since(req.Object, req.Cursor)
	t, err := s.load(ctx, req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	for _, f := range req.Fields {
		if t.column(f) == nil && !t.open {
			return connector.Page{}, &connector.Error{Class: connector.Drift, Code: "files.field_unknown", Message: fmt.Sprintf("%s has no field %s any more; it has %s.", req.Object, f, t.names())}
		}
	}
	if req.Cursor == nil {
		p.Snap = true
		p.Base, err = s.keep(ctx, req.Object, t)
		if errors.Is(err, ErrReadOnly) {
			s.mu.Lock()
			s.bare = true
			s.mu.Unlock()
			p, err = place{Snap: true, Whole: true, Bare: t.id}, nil
		}
		if err != nil {
			return connector.Page{}, err
		}
	}
	if p.Snap || p.Whole || p.Bare != "" {
		return s.whole(t, p, req), nil
	}
	return s.compare(ctx, t, p, req, ours)
}

// whole hands out all records in the order of keys: the snapshot, or without lists also what comes after it.
func (s *System) whole(t *table, p place, req connector.ReadRequest) connector.Page {
	page := connector.Page{Phase: connector.Stream, More: true}
	if p.Snap {
		page.Phase, page.Total = connector.Snapshot, int64(len(t.rows))
	}
	if !p.Snap && !p.Whole {
		if p.Bare == t.id {
			page.More, page.Cursor = false, p.cursor()
			return page
		}
		p = place{Bare: t.id, Whole: true}
	}
	i := 0
	if p.Begun {
		i = sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].key > p.After })
	}
	for ; i < len(t.sorted) && len(page.Changes) < req.Limit; i++ {
		page.Changes = append(page.Changes, t.change(t.sorted[i], req.Fields))
		p.After, p.Begun = t.sorted[i].key, true
	}
	if i == len(t.sorted) {
		bare := p.Bare != ""
		p = place{Base: p.Base, Bare: p.Bare}
		page.Phase = connector.Stream
		page.More = bare && p.Bare != t.id || !bare && idOf(p.Base) != t.id
	}
	page.Cursor = p.cursor()
	return page
}

// compare hands out what differs from the list.
func (s *System) compare(ctx context.Context, t *table, p place, req connector.ReadRequest, ours map[record.Key]int) (connector.Page, error) {
	page := connector.Page{Phase: connector.Stream}
	if p.Next == "" && idOf(p.Base) == t.id && len(ours) == 0 {
		page.Cursor = p.cursor()
		return page, nil
	}
	known, err := s.list(ctx, req.Object, p.Base)
	if err != nil {
		return page, err
	}
	known = unknown(known, ours)
	i, j := 0, 0
	if p.Begun {
		i = sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].key > p.After })
		j = sort.Search(len(known), func(j int) bool { return known[j].key > p.After })
	}
	last := p.After
	full := func() bool { return len(page.Changes) == req.Limit }
	for i < len(t.sorted) || j < len(known) {
		if full() {
			page.More = true
			break
		}
		switch {
		case j == len(known) || i < len(t.sorted) && t.sorted[i].key < known[j].key:
			page.Changes = append(page.Changes, t.change(t.sorted[i], req.Fields))
			last = t.sorted[i].key
			i++
		case i == len(t.sorted) || known[j].key < t.sorted[i].key:
			page.Changes = append(page.Changes, record.Change{Key: known[j].key, Op: record.Delete})
			last = known[j].key
			j++
		default:
			if t.sorted[i].sum() != known[j].digest {
				page.Changes = append(page.Changes, t.change(t.sorted[i], req.Fields))
			}
			last = t.sorted[i].key
			i, j = i+1, j+1
		}
	}
	next := p.Next
	if next == "" { // the round begins here
		if next, err = s.keep(ctx, req.Object, t); err != nil {
			return connector.Page{}, err
		}
	}
	to := place{Base: next}
	if page.More {
		to = place{Base: p.Base, Next: next, After: last, Begun: true}
	} else {
		page.More = idOf(next) != t.id
	}
	s.handed(req.Object, ours, p, to)
	page.Cursor = to.cursor()
	return page, nil
}

func lost(object record.Object, err error) error {
	return &connector.Error{Class: connector.LostPlace, Code: "files.lost_place",
		Message: fmt.Sprintf("The list of what was last read of %s is no longer in the folder .syncline; the file is read anew.", object), Err: err}
}

// digest stands for a record's content.
type digest [16]byte

func (r *row) sum() digest {
	if r.digest == (digest{}) {
		b, _ := r.fields.MarshalJSON() // canonical values have a form
		sum := sha256.Sum256(b)
		r.digest = digest(sum[:16])
	}
	return r.digest
}

// listed is a record in a list.
type listed struct {
	key    record.Key
	digest digest
}

func (s *System) folder(object record.Object) string {
	return ours + safe(s.env.Consumer) + "/" + short(string(object)) + "/"
}

// safe makes a part of a file's name of a consumer's.
func safe(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// A list is named <time>-<id of the content>, so that their names are in order.
func idOf(list string) string {
	_, id, _ := strings.Cut(list, "-")
	return id
}

// keep writes the list of the content and returns its name.
func (s *System) keep(ctx context.Context, object record.Object, t *table) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	var size [binary.MaxVarintLen64]byte
	for _, r := range t.sorted {
		sum := r.sum()
		// A buffer does not fail.
		_, _ = z.Write(size[:binary.PutUvarint(size[:], uint64(len(r.key)))])
		_, _ = io.WriteString(z, string(r.key))
		_, _ = z.Write(sum[:])
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	for {
		name := fmt.Sprintf("%016x-%s", time.Now().UnixNano(), t.id)
		_, err := s.store.Put(ctx, s.folder(object)+name, b.Bytes(), "")
		if errors.Is(err, ErrMoved) {
			continue // written at the very same time
		}
		return name, err
	}
}

// list reads a list.
func (s *System) list(ctx context.Context, object record.Object, name string) ([]listed, error) {
	data, _, err := s.store.Get(ctx, s.folder(object)+name, 1<<40)
	if errors.Is(err, ErrNotFound) {
		return nil, lost(object, err)
	}
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, lost(object, err)
	}
	const most = 4 << 30
	plain, err := io.ReadAll(io.LimitReader(z, most))
	if err != nil {
		return nil, lost(object, err)
	}
	var out []listed
	for len(plain) > 0 {
		n, used := binary.Uvarint(plain)
		if used <= 0 || n > uint64(len(plain)) || used+int(n)+len(digest{}) > len(plain) {
			return nil, lost(object, errors.New("the list is cut off"))
		}
		end := used + int(n)
		out = append(out, listed{record.Key(plain[used:end]), digest(plain[end : end+len(digest{})])})
		plain = plain[end+len(digest{}):]
	}
	return out, nil
}

// Acknowledge implements connector.Acknowledger: lists older than the cursor's are removed.
func (s *System) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	var p place
	if err := json.Unmarshal(cursor, &p); err != nil || p.Base == "" {
		return nil //nolint:nilerr // a cursor of another kind keeps nothing here
	}
	s.mu.Lock()
	known := s.kept[object] == p.Base
	s.kept[object] = p.Base
	s.mu.Unlock()
	if known {
		return nil
	}
	files, err := s.store.List(ctx, s.folder(object), maxListed)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.TrimPrefix(f.Name, s.folder(object)) < p.Base {
			if err := s.store.Remove(ctx, f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Clean implements connector.Cleaner.
func (s *System) Clean(ctx context.Context, objects []record.Object) error {
	for _, o := range objects {
		files, err := s.store.List(ctx, s.folder(o), maxListed)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := s.store.Remove(ctx, f.Name); err != nil && !errors.Is(err, ErrReadOnly) {
				return err
			}
		}
		s.mu.Lock()
		delete(s.kept, o)
		s.mu.Unlock()
	}
	return nil
}
