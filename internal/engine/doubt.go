// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// clearDoubts finds out what became of attempts that were cut short between writing and settling, before the system is
// read or written again: otherwise their writes would look like somebody else's changes, or be made twice (invariants 4
// and 5), and would be missing from journal and usage. The lane's lock is held.
func (l *lane) clearDoubts(ctx context.Context) error {
	if l.unsettled {
		return errUnsettled
	}
	for l.doubt {
		var a Attempt
		err := l.flow.inTx(ctx, func(tx Tx) (err error) {
			a, l.doubt, err = tx.Doubt(ctx, l.flow.guard, l.Seat)
			return err
		})
		if err != nil {
			l.doubt = true
			return err
		}
		if !l.doubt {
			signal(l.duty)
			return nil
		}
		// When the system cannot be asked now the doubt stays, and everything waits that has to do with this object.
		if err := l.clearDoubt(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// longestCommit bounds how long a commit of a page takes. A change's time is when its transaction began, so one that became
// visible after an attempt was begun may bear an earlier time.
const longestCommit = 10 * time.Minute

func (l *lane) clearDoubt(ctx context.Context, a Attempt) error {
	f := l.flow
	var entities []*record.Entity
	var past map[record.EntityID][]record.Entry
	err := f.inTx(ctx, func(tx Tx) (err error) {
		if entities, err = tx.LoadEntities(ctx, f.guard, a.Entities, false); err != nil {
			return err
		}
		past, err = tx.Past(ctx, f.guard.Service, a.Entities, a.StartedAt.Add(-longestCommit))
		return err
	})
	if err != nil {
		return err
	}
	if _, appends := l.Open.(connector.Appender); appends {
		return l.sendAgain(ctx, a, entities, past)
	}
	var recalled map[record.EntityID]connector.Receipt
	recaller, exact := l.Open.(connector.Recaller)
	if exact {
		recalled, err = recaller.Recall(ctx, l.Object, a.ID)
		if exact = !errors.Is(err, connector.ErrNotRemembered); exact && err != nil {
			return err
		}
		if err := l.recalledInward(ctx, recalled); err != nil {
			return err
		}
	}
	present, err := l.present(ctx, entities, recalled, past, a.StartedAt)
	if err != nil {
		return err
	}
	var sent []Sent
	var rest []record.EntityID
	var found []record.Key
	ours := make(map[record.Key]bool)
	for _, e := range entities {
		receipt, wrote := recalled[e.ID]
		if exact && !wrote {
			rest = append(rest, e.ID)
			continue
		}
		list := slices.DeleteFunc(present[e.ID], func(c *record.Change) bool { return ours[c.Key] })
		w, arrived := l.recognised(e, list, past[e.ID], receipt, wrote, a.StartedAt)
		if arrived {
			sent = append(sent, w)
			ours[w.Receipt.Key] = true
			continue
		}
		rest = append(rest, e.ID)
		if len(list) == 1 && e.Links[l.System] == nil {
			found = append(found, list[0].Key)
		}
	}
	if _, _, err = l.settle(ctx, a, entities, sent, nil, remaining{due: rest}); err != nil || len(found) == 0 {
		return err
	}
	// A record that is the entity's by its match fields and holds something else is not to be made a second time: it is
	// taken in now, and what is owed then changes it.
	return l.reread(ctx, found)
}

// sendAgain leaves what an interrupted attempt was to say owed, because a queue cannot be asked whether it was said. A record
// that it was told of for the first time counts as known there, though with nothing of what it holds: whatever becomes of the
// record, the queue hears of it, also that it is gone. Only where it is gone already does the creation count as made.
func (l *lane) sendAgain(ctx context.Context, a Attempt, entities []*record.Entity, past map[record.EntityID][]record.Entry) error {
	var sent []Sent
	var rest []record.EntityID
	for _, e := range entities {
		if e.Links[l.System] != nil || e.DeletedAt == nil && len(l.Map.Key()) == 0 {
			rest = append(rest, e.ID)
			continue
		}
		values := make([]record.Value, 0, len(l.Map.Key()))
		for _, f := range l.Map.Key() {
			values = append(values, valueAt(e, past[e.ID], f, a.StartedAt))
		}
		key := record.MakeKey(values...)
		if e.DeletedAt != nil {
			w, _ := l.arrived(e, nil, past[e.ID], connector.Receipt{Key: key}, true, a.StartedAt)
			sent = append(sent, w)
			continue
		}
		sent = append(sent, Sent{Write: connector.Write{ID: e.ID, Op: record.Upsert, Create: true}, Version: e.Version, Values: record.Fields{},
			Receipt: connector.Receipt{Outcome: connector.Already, Key: key}})
	}
	_, _, err := l.settle(ctx, a, entities, sent, nil, remaining{due: rest})
	return err
}

// recognised is arrived for whichever of the records is the entity's: people may have made others with the same match fields,
// and one that is linked to nothing in a system that is only written to stays there. The one that holds most of what was sent is it.
func (l *lane) recognised(e *record.Entity, list []*record.Change, past []record.Entry, receipt connector.Receipt, wrote bool, started time.Time) (w Sent, arrived bool) {
	if len(list) == 0 {
		return l.arrived(e, nil, past, receipt, wrote, started)
	}
	for _, c := range list {
		if one, is := l.arrived(e, c, past, receipt, wrote, started); is && (!arrived || len(one.Values) > len(w.Values)) {
			w, arrived = one, true
		}
	}
	return w, arrived
}

// present reads the records as they are now: by key where one is known, else by the key that the entity's fields make, else
// by the match fields. Of the latter there may be several; those that are linked to other entities are not among them.
func (l *lane) present(ctx context.Context, entities []*record.Entity, recalled map[record.EntityID]connector.Receipt, past map[record.EntityID][]record.Entry, started time.Time) (map[record.EntityID][]*record.Change, error) {
	byKey := make(map[record.Key]record.EntityID)
	var keys []record.Key
	var searched []*record.Entity
	var queries []record.Fields
	native, err := l.native(ctx, entities)
	if err != nil {
		return nil, err
	}
	for _, e := range entities {
		key := recalled[e.ID].Key
		if link := e.Links[l.System]; key == "" && link != nil {
			key = link.Key
		}
		if key == "" && len(l.Map.Key()) > 0 {
			values := make([]record.Value, 0, len(l.Map.Key()))
			for _, f := range l.Map.Key() {
				values = append(values, native(e, f))
			}
			key = record.MakeKey(values...)
		}
		if key != "" {
			byKey[key] = e.ID
			keys = append(keys, key)
			continue
		}
		query, err := l.Map.Out(e.Fields, l.Collection.MatchFields)
		if err != nil {
			continue // it cannot have been written either
		}
		for i := range l.Refs {
			if r := &l.Refs[i]; query[r.Native] != nil {
				query[r.Native] = native(e, r.Field)
			}
		}
		searched, queries = append(searched, e), append(queries, query)
	}
	out := make(map[record.EntityID][]*record.Change, len(entities))
	if len(keys) > 0 {
		reader, ok := l.Open.(connector.KeyReader)
		if !ok {
			return nil, fmt.Errorf("connector of %s cannot read by key, so an interrupted delivery cannot be found out", l.System)
		}
		changes, err := reader.ReadKeys(ctx, l.Object, l.Map.Natives(), keys)
		if err == nil {
			err = l.Inward(ctx, changes)
		}
		if err == nil {
			err = l.sameNames(ctx, entities, changes)
		}
		if err != nil {
			return nil, err
		}
		for i := range changes {
			if changes[i].Op == record.Upsert {
				id := byKey[changes[i].Key]
				out[id] = append(out[id], &changes[i])
			}
		}
	}
	if len(queries) > 0 {
		finder, ok := l.Open.(connector.Finder)
		if !ok {
			return nil, fmt.Errorf("connector of %s cannot search, so an interrupted creation cannot be found out", l.System)
		}
		found, err := finder.Find(ctx, l.Object, l.Map.Natives(), queries)
		if err != nil {
			return nil, err
		}
		for i := range found {
			if len(found[i]) < 2 {
				continue
			}
			// There may be more than are told of, so ours is looked for by all that was sent.
			all := l.sentOf(searched[i], past[searched[i].ID], queries[i], started)
			exact, err := finder.Find(ctx, l.Object, l.Map.Natives(), []record.Fields{all})
			if err != nil {
				return nil, err
			}
			if len(exact) == 1 && len(exact[0]) > 0 {
				found[i], queries[i] = exact[0], all
			}
		}
		hidden, err := l.others(ctx, searched, found, out)
		if err != nil {
			return nil, err
		}
		if err := l.beyond(ctx, searched, queries, hidden, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// beyond looks through the whole object for what searches did not tell of, because they tell of two records at most and those were
// others'. Where the object cannot be gone through, that stays unseen.
func (l *lane) beyond(ctx context.Context, searched []*record.Entity, queries []record.Fields, hidden []int, out map[record.EntityID][]*record.Change) error {
	scanner, ok := l.Open.(connector.Scanner)
	if !ok || len(hidden) == 0 {
		return nil
	}
	for place := record.Cursor(nil); ; {
		page, err := scanner.Scan(ctx, connector.ScanRequest{Object: l.Object, Fields: l.Map.Natives(), Place: place, Limit: snapshotBatch})
		if err != nil {
			return err
		}
		found := make([][]record.Change, len(searched))
		for _, c := range page.Records {
			for _, i := range hidden {
				if holds(c.Fields, queries[i]) {
					found[i] = append(found[i], c)
				}
			}
		}
		if _, err := l.others(ctx, searched, found, out); err != nil {
			return err
		}
		if place = page.Next; place == nil {
			return nil
		}
	}
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

// sentOf is the query with all else that was to be sent of the entity and that a system holds as it was sent, unless it has forms of
// its own.
func (l *lane) sentOf(e *record.Entity, past []record.Entry, query record.Fields, started time.Time) record.Fields {
	all := query.Clone()
	for _, f := range l.Map.Fields() {
		v, native := valueAt(e, past, f, started), l.Map.Native(f)
		info, there := l.Info.Field(native)
		refers := slices.ContainsFunc(l.Refs, func(r Reference) bool { return r.Field == f })
		if !there || refers || !l.tells(f, v) || !l.takes(e, f) || e.IsHeld(f) {
			continue
		}
		if out, err := l.Map.Out(record.Fields{f: v}, []string{f}); err == nil && (info.Type == connector.TypeText || info.Type == connector.TypeInteger || info.Type == connector.TypeNumber) {
			maps.Copy(all, out)
		}
	}
	return all
}

// others adds what was found to out, without what is linked. hidden are those of which two records were found, both linked: there may
// be more.
func (l *lane) others(ctx context.Context, searched []*record.Entity, found [][]record.Change, out map[record.EntityID][]*record.Change) (hidden []int, err error) {
	var keys []record.Key
	for i := range found {
		if err := l.Inward(ctx, found[i]); err != nil {
			return nil, err
		}
		for j := range found[i] {
			keys = append(keys, found[i][j].Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	var owners map[record.Key]record.EntityID
	err = l.flow.inTx(ctx, func(tx Tx) (err error) {
		owners, err = tx.Linked(ctx, l.flow.guard.Service, l.System, l.Object, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range found {
		before := len(out[searched[i].ID])
		for j := range found[i] {
			if _, taken := owners[found[i][j].Key]; !taken {
				out[searched[i].ID] = append(out[searched[i].ID], &found[i][j])
			}
		}
		if len(found[i]) > 1 && len(out[searched[i].ID]) == before {
			hidden = append(hidden, i)
		}
	}
	return hidden, nil
}

// arrived says whether the system holds what an interrupted attempt would have written, and if so as which write it is to
// be settled. wrote is set when the system itself remembers having written it; otherwise its values tell: each is one that
// the entity's field has, or had since the system was last in step. What the system remembers to have stored in a form of
// its own is that, and no edit.
func (l *lane) arrived(e *record.Entity, c *record.Change, past []record.Entry, receipt connector.Receipt, wrote bool, started time.Time) (Sent, bool) {
	link := e.Links[l.System]
	w := Sent{Write: connector.Write{ID: e.ID, Op: record.Upsert, Create: link == nil}, Version: e.Version}
	w.Receipt = connector.Receipt{Outcome: connector.Applied, Key: receipt.Key, Version: receipt.Version, Stored: receipt.Stored}
	if link != nil {
		w.Key, w.Receipt.Key = link.Key, link.Key
	}
	if c == nil {
		// Gone: deleted by us when that was the duty. What we wrote and somebody deleted since was written all the same; the
		// next read tells that it is gone. Times alone do not always tell the two apart: an entity that came back in a commit
		// which began before the attempt's has its times in the wrong order.
		switch {
		case link != nil && (e.DeletedAt != nil || receipt.Deleted || diedBy(past, started) || !wrote && diedOnce(past)):
			// The entity may have come back since; then it is made there again.
			w.Op = record.Delete
			return w, true
		case !wrote:
			return w, false
		}
		w.Values = make(record.Fields)
		for _, f := range l.Map.Fields() {
			if _, behind := linkBehind(link, f); l.Map.Writable(f) && (link == nil || behind) {
				w.Values[f] = valueAt(e, past, f, started)
			}
		}
		return w, true
	}
	if w.Receipt.Key == "" {
		w.Receipt.Key = c.Key
	}
	if w.Receipt.Version == "" {
		w.Receipt.Version = c.Version
	}
	stored, _ := l.Map.InSome(receipt.Stored) // what cannot be mapped back, the next read will tell
	in, err := l.Map.In(c.Fields)
	if err != nil {
		return w, wrote
	}
	fields := l.Map.Fields()
	w.Values = make(record.Fields, len(fields))
	ours, strange := false, false
	for _, f := range fields {
		v, known := in[f]
		present, has := e.Fields[f]
		if !known || !l.Map.Writable(f) {
			continue
		}
		own, told := stored[f]
		switch {
		case told && (record.Equal(own, present) || wasOnce(past, f, own)):
			w.Values[f] = own
		case told:
			w.Values[f] = firstOf(e, past, f)
		case link != nil && l.Map.Same(f, v, link.Shadow(e, f)):
			continue // as it was before
		case record.Equal(v, present) || wasOnce(past, f, v):
			w.Values[f] = v
			ours = ours || link != nil || l.tells(f, v)
		case !wrote && mayHaveSent(link, past, f) && formOf(e, past, f, v):
			// A form of what was sent, as systems make it. Somebody who changed no more than that in this moment is not seen
			// until the field changes next.
			w.Values[f] = firstOf(e, past, f)
			if w.Receipt.Stored == nil {
				w.Receipt.Stored = record.Fields{}
			}
			native := l.Map.Native(f)
			w.Receipt.Stored[native] = c.Fields[native]
			ours = ours || link != nil || l.tells(f, v)
		case wrote && link == nil && (v == nil || e.IsHeld(f) || !l.takes(e, f)):
			continue // left out, because somebody has to decide about it or it is none of the system's business
		case wrote && link == nil:
			// Somebody changed it after us: what we wrote was the entity's value.
			w.Values[f] = valueAt(e, past, f, started)
		case wrote:
			// Somebody changed it after us, or it is none of what we wrote: the next read tells, against what we wrote or
			// left.
			if _, behind := link.Behind[f]; behind {
				w.Values[f] = valueAt(e, past, f, started)
			}
		case link == nil && !has:
			continue // made by the system: a key, a default
		case link == nil:
			strange = true
		}
	}
	if wrote || link != nil {
		w.guessed = !wrote
		return w, wrote || ours
	}
	// A record that was not there before and holds what we sent is ours, also when it holds some of it otherwise: in a form
	// of its own, or because somebody edited it since. Those fields were never agreed on. One that shares nothing with what
	// was sent but what it was found by is somebody else's.
	w.guessed = true
	return w, ours || !strange && len(w.Values) > 0
}

// tells says whether a value that a new record holds is one by which ours is recognised: not the key nor the match fields,
// by which it was found, and not one that any record might have.
func (l *lane) tells(field string, v record.Value) bool {
	if l.identifies(field) {
		return false
	}
	switch v := v.(type) {
	case string:
		return v != ""
	case record.Number:
		return len(v) > 1 // not a digit
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

// mayHaveSent says whether the interrupted attempt may have sent the field: the system was behind in it, or it changed since.
func mayHaveSent(link *record.Link, past []record.Entry, field string) bool {
	if link == nil {
		return true
	}
	if _, behind := link.Behind[field]; behind {
		return true
	}
	for _, p := range past {
		if _, changed := p.After[field]; changed {
			return true
		}
	}
	return false
}

// formOf says whether v is a form of a value that the entity's field has or had since the attempt was begun.
func formOf(e *record.Entity, past []record.Entry, field string, v record.Value) bool {
	if record.FormOf(v, e.Fields[field]) {
		return true
	}
	for _, p := range past {
		for _, fields := range []record.Fields{p.Before, p.After} {
			if was, ok := fields[field]; ok && record.FormOf(v, was) {
				return true
			}
		}
	}
	return false
}

// firstOf is the oldest value that the attempt may have sent. When it is not the one, the field is sent once more; the
// other way round a form of an older value would pass for one of the present value, and that would never be sent.
func firstOf(e *record.Entity, past []record.Entry, field string) record.Value {
	for _, p := range past {
		if v, ok := p.Before[field]; ok {
			return v
		}
	}
	return e.Fields[field]
}

func linkBehind(link *record.Link, field string) (v record.Value, behind bool) {
	if link == nil {
		return nil, false
	}
	v, behind = link.Behind[field]
	return v, behind
}

// wasOnce says whether the entity's field had the value at some time since the attempt was begun.
func wasOnce(past []record.Entry, field string, v record.Value) bool {
	for _, p := range past {
		for _, fields := range []record.Fields{p.Before, p.After} {
			if was, ok := fields[field]; ok && record.Equal(was, v) {
				return true
			}
		}
	}
	return false
}

// diedOnce says whether the entity was deleted at some time since the attempt was begun.
func diedOnce(past []record.Entry) bool {
	for _, p := range past {
		if p.After == nil && p.Before != nil {
			return true
		}
	}
	return false
}

// diedBy says whether the entity was deleted when the attempt was begun, so that a deletion was what it was to write.
func diedBy(past []record.Entry, started time.Time) bool {
	dead := false
	for _, p := range past {
		if p.At.After(started) {
			break
		}
		dead = p.After == nil && p.Before != nil
	}
	return dead
}

// valueAt is the value that the entity's field had when the attempt was begun.
func valueAt(e *record.Entity, past []record.Entry, field string, started time.Time) record.Value {
	for i := len(past) - 1; i >= 0; i-- {
		if v, ok := past[i].After[field]; ok && !past[i].At.After(started) {
			return v
		}
	}
	for _, p := range past {
		if v, ok := p.Before[field]; ok && p.At.After(started) {
			return v
		}
	}
	return e.Fields[field]
}
