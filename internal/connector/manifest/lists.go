// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// What is compared with lies in the cursor, up to maxFull keys, and beyond that in lists that the cursor names: List has what was handed out,
// Next what the pass under way has found. List only grows while a cursor may name it, so it never lacks what such a cursor has handed out
// (invariant 1); what is in it beside that is a key that is looked at once more. When a pass ends Next takes its place, and the old one is
// dropped once the cursor that no longer names it is stored.

// putAtOnce is how many entries are sent to a list at once, which bounds memory.
const putAtOnce = 5_000

// mostOld bounds the lists that wait to be dropped; what is forgotten goes by age.
const mostOld = 20

func (r *reader) spilled() bool { return r.p.List != "" }

// spill moves what is compared with out of the cursor; passing says that a pass is under way. Without a place for it it is refused.
func (r *reader) spill(ctx context.Context, passing bool, refusal *connector.Error) error {
	if r.s.env.Lists == nil {
		return refusal
	}
	list := uuid.New()
	if err := r.putAll(ctx, list.String(), r.p.Known); err != nil {
		return err
	}
	r.p.List, r.p.Known = list.String(), nil
	if passing {
		r.p.Next = uuid.NewString()
		if err := r.putAll(ctx, r.p.Next, r.p.Fresh); err != nil {
			return err
		}
	}
	r.p.Fresh = nil
	return nil
}

func (r *reader) putAll(ctx context.Context, list string, all map[string]uint64) error {
	entries := make([]connector.Entry, 0, len(all))
	for k, digest := range all {
		entries = append(entries, connector.Entry{Key: k, Digest: digest})
	}
	return r.put(ctx, list, entries)
}

func (r *reader) put(ctx context.Context, list string, entries []connector.Entry) error {
	id, err := listID(list)
	if err != nil {
		return err
	}
	for {
		n := min(len(entries), putAtOnce)
		if err := r.s.env.Lists.Put(ctx, id, entries[:n]); err != nil {
			return err
		}
		if entries = entries[n:]; len(entries) == 0 {
			return nil
		}
	}
}

func listID(list string) (uuid.UUID, error) {
	id, err := uuid.Parse(list)
	if err != nil {
		return id, lostList(err)
	}
	return id, nil
}

func lostList(err error) error {
	return &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: "The list of what was read is gone; everything is read once more.", Err: err}
}

// remember keeps which keys the page told of, before the cursor that counts them is stored.
func (r *reader) remember(ctx context.Context) error {
	told := r.told
	if r.told = nil; len(told) == 0 {
		return nil
	}
	passing := r.p.Gone != nil && r.p.Gone.Busy
	if r.spilled() {
		var entries []connector.Entry
		for _, c := range told {
			if c.Op == record.Upsert { // one that is deleted stays, and is looked at once more
				entries = append(entries, connector.Entry{Key: string(c.Key), Digest: 1})
			}
		}
		if len(entries) == 0 {
			return nil
		}
		if err := r.put(ctx, r.p.List, entries); err != nil || r.p.Next == "" {
			return err
		}
		return r.put(ctx, r.p.Next, entries)
	}
	if r.p.Known == nil {
		r.p.Known = make(map[string]uint64)
	}
	for _, c := range told {
		if c.Op == record.Delete {
			delete(r.p.Known, string(c.Key))
		} else if r.s.env.Lists != nil || len(r.p.Known) <= maxFull {
			r.p.Known[string(c.Key)] = 1
			if passing && r.p.Fresh != nil { // it came while the list was read, perhaps before this page
				r.p.Fresh[string(c.Key)] = 1
			}
		}
	}
	if len(r.p.Known) > maxFull && r.s.env.Lists != nil {
		return r.spill(ctx, passing, nil)
	}
	return nil
}

// lacking are the next keys that were there and that the pass has not found.
func (r *reader) lacking(ctx context.Context, after string, limit int) ([]string, error) {
	list, err := listID(r.p.List)
	if err != nil {
		return nil, err
	}
	next, err := listID(r.p.Next)
	if err != nil {
		return nil, err
	}
	if r.s.env.Lists == nil {
		return nil, lostList(nil)
	}
	keys, there, err := r.s.env.Lists.Lacks(ctx, list, next, after, limit)
	if err == nil && !there {
		err = lostList(nil)
	}
	return keys, err
}

// swap ends a pass: what it found is what the next one compares with.
func (r *reader) swap() {
	r.drop(r.p.List)
	r.p.List, r.p.Next = r.p.Next, ""
}

// drop forgets a list once the cursor is stored.
func (r *reader) drop(list string) {
	if list == "" {
		return
	}
	if r.p.Old = append(r.p.Old, list); len(r.p.Old) > mostOld {
		r.p.Old = r.p.Old[1:]
	}
}

// Acknowledge drops the lists that no cursor names any more.
func (s *system) Acknowledge(ctx context.Context, _ record.Object, cursor record.Cursor) error {
	var p place
	if s.env.Lists == nil || !bytes.Contains(cursor, []byte(`"old":[`)) || json.Unmarshal(cursor, &p) != nil { // it may be long, and most have none
		return nil
	}
	for _, old := range p.Old {
		id, err := uuid.Parse(old)
		if err != nil || s.isDropped(old) {
			continue
		}
		if err := s.env.Lists.Drop(ctx, id); err != nil {
			return err
		}
		s.mu.Lock()
		s.dropped = append(s.dropped, old)
		s.mu.Unlock()
	}
	return nil
}

func (s *system) isDropped(list string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.dropped, list)
}
