// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// queue takes the messages away that the cursor has, and gets the next. Only a cursor that was stored with what its messages say comes
// back here, so that a message is gone only when nothing is lost by it (invariant 1).
func (r *reader) queue(ctx context.Context) (connector.Page, error) {
	ch := r.o.Changes
	for _, handle := range r.p.Acks {
		if _, _, err := r.s.do(ctx, "changes", ch.Ack.Request, r.sc.with(scope{"token": handle})); err != nil && classOf(err) != "gone" {
			return connector.Page{}, err
		}
	}
	r.p.Acks = nil
	answer, a, err := r.s.do(ctx, "changes", ch.Request, r.sc.with(scope{"limit": r.limit(ch.Paging)}))
	if err != nil {
		return connector.Page{}, err
	}
	r.begun(a)
	items, err := r.read(ctx, "changes", answer, a, ch.Records, nil)
	if err != nil {
		return connector.Page{}, err
	}
	if ch.Ack.Each != "" {
		entries, _ := r.o.list(answer, ch.Records)
		for _, e := range entries {
			if handle := digText(e, ch.Ack.Each); handle != "" {
				r.p.Acks = append(r.p.Acks, handle)
			}
		}
	} else if handle := told(answer, a, ch.Ack.From); handle != "" {
		r.p.Acks = append(r.p.Acks, handle)
	}
	more := len(r.p.Acks) > 0
	if r.p.Snapshot && !more { // it is empty: all there was has been read
		r.endSnapshot()
	}
	page := r.page(items, more)
	page.More = more
	return page, nil
}

// missing says whether deletes are found by looking now and then which keys the list still has, beside changes of another style.
func (o *object) missing() bool {
	return o.Deletes.Mode == "diff" && o.Changes != nil && o.Changes.Style != "full"
}

// knows keeps which keys there are, for the next look.
func (r *reader) knows(c record.Change) { r.told = append(r.told, c) }

// lost looks which records the list has no more, when it is time: a page of it at a time, and at its end those that are missing by
// key, since a list may change while it is read.
func (r *reader) lost(ctx context.Context) (connector.Page, bool, error) {
	if !r.o.missing() || r.p.Passing {
		return connector.Page{}, false, nil
	}
	now := r.s.client.Now()
	g := r.p.Gone
	if g == nil {
		g = &gonePlace{At: record.Time(now)} // a cursor from before the manifest said so
		r.p.Gone = g
	}
	if !g.Busy && now.Sub(moment(g.At)) < duration(r.o.Deletes.Every, time.Hour) {
		return connector.Page{}, false, nil
	}
	if g.Ending {
		return r.lostOnes(ctx, g, now)
	}
	if !g.Busy {
		g.Busy, g.Token, g.Number = true, "", 0
		r.drop(r.p.Next) // of a pass that was given up
		r.p.Next, r.p.Fresh = "", nil
	}
	if r.spilled() && r.p.Next == "" {
		r.p.Next = uuid.NewString()
	}
	l := r.o.List
	token := g.Token
	if token == "+" {
		token = ""
	}
	items, next, number, _, err := r.fetch(ctx, "list", l.Request, l.Records, l.Paging, token, g.Number, r.sc.with(scope{"fields": r.o.wanted(r.o.Key)}))
	if classOf(err) == "restart" {
		g.Busy = false
	}
	if err != nil {
		return connector.Page{}, false, err
	}
	if err := r.found(ctx, items); err != nil {
		return connector.Page{}, false, err
	}
	page := connector.Page{Phase: r.phase(), More: true}
	if g.Token, g.Number = next, number; next != "" {
		return page, true, nil
	}
	if r.spilled() {
		g.Ending, g.After = true, ""
		return page, true, nil
	}
	var keys []record.Key
	for k := range r.p.Known {
		if _, there := r.p.Fresh[k]; !there {
			keys = append(keys, record.Key(k))
		}
	}
	if page.Changes, err = r.absent(ctx, keys); err != nil {
		return connector.Page{}, false, err
	}
	r.p.Known, r.p.Fresh = r.p.Fresh, nil
	for _, c := range page.Changes {
		if c.Op == record.Upsert {
			r.knows(c)
		}
	}
	g.Busy, g.At = false, record.Time(now)
	return page, true, nil
}

// found keeps which keys the list has.
func (r *reader) found(ctx context.Context, items []item) error {
	if r.p.Fresh == nil && !r.spilled() {
		r.p.Fresh = make(map[string]uint64)
	}
	var entries []connector.Entry
	for _, it := range items {
		switch {
		case it.deleted:
		case r.spilled():
			entries = append(entries, connector.Entry{Key: string(it.key), Digest: 1})
		default:
			r.p.Fresh[string(it.key)] = 1
		}
	}
	if r.spilled() {
		return r.put(ctx, r.p.Next, entries)
	}
	if len(r.p.Fresh) > maxFull || len(r.p.Known) > maxFull {
		return r.spill(ctx, true, tooMany("The object has more than 20,000 records, too many to look for those that are missing. Describe how the system tells of deletions in the manifest, or that it never does."))
	}
	return nil
}

// lostAtOnce is how many keys are looked at for a page.
const lostAtOnce = 500

// lostOnes looks, a page at a time, at the keys that the list has no more.
func (r *reader) lostOnes(ctx context.Context, g *gonePlace, now time.Time) (connector.Page, bool, error) {
	limit := min(r.req.Limit, lostAtOnce)
	lacking, err := r.lacking(ctx, g.After, limit)
	if err != nil {
		return connector.Page{}, false, err
	}
	keys := make([]record.Key, len(lacking))
	for i, k := range lacking {
		keys[i] = record.Key(k)
	}
	page := connector.Page{Phase: r.phase(), More: true}
	if page.Changes, err = r.absent(ctx, keys); err != nil {
		return connector.Page{}, false, err
	}
	for _, c := range page.Changes {
		if c.Op == record.Upsert {
			r.knows(c)
		}
	}
	if err := r.remember(ctx); err != nil { // into the next list, too, while there is one
		return connector.Page{}, false, err
	}
	if len(lacking) == limit {
		g.After = lacking[limit-1]
		return page, true, nil
	}
	r.swap()
	g.Ending, g.After, g.Busy, g.At = false, "", false, record.Time(now)
	return page, true, nil
}

// absent are the records of keys as they are now: changed, or gone.
func (r *reader) absent(ctx context.Context, keys []record.Key) ([]record.Change, error) {
	found, err := r.s.items(ctx, r.o, r.req.Fields, keys)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b record.Key) int { return strings.Compare(string(a), string(b)) })
	out := make([]record.Change, 0, len(keys))
	for _, k := range keys {
		if it, ok := found[k]; ok && !it.deleted {
			out = append(out, r.o.change(it, r.req.Fields))
		} else {
			out = append(out, record.Change{Key: k, Op: record.Delete})
		}
	}
	return out, nil
}

// vain reads by key what pages said that turned out not to count, and that did not come again.
func (r *reader) vain(ctx context.Context) (connector.Page, bool, error) {
	if len(r.p.Vain) == 0 || r.p.Passing || r.p.Snapshot {
		return connector.Page{}, false, nil
	}
	n := min(len(r.p.Vain), r.req.Limit, 100)
	keys := make([]record.Key, n)
	for i, k := range r.p.Vain[:n] {
		keys[i] = record.Key(k)
	}
	changes, err := r.absent(ctx, keys)
	if err != nil {
		return connector.Page{}, false, err
	}
	r.p.Vain = r.p.Vain[n:]
	return connector.Page{Phase: r.phase(), Changes: changes, More: true}, true, nil
}

// union is both, in order, without repeats.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
