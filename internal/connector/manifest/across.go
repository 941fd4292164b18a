// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// acrossPlace is where a list stands that goes through the records of another object: it is the token of such a list.
type acrossPlace struct {
	Parents []record.Key `json:"p,omitempty"` // of the page that was read, those still to do
	Token   string       `json:"pt,omitempty"`
	Number  int          `json:"pn,omitempty"`
	Last    bool         `json:"pl,omitempty"` // there is no other page of parents
	Child   string       `json:"t,omitempty"`  // where the list of the first parent stands
	At      int          `json:"n,omitempty"`
}

// across reads the next page of a list that exists for each record of another object.
func (r *reader) across(ctx context.Context, op string, req Request, path string, pg Paging, token string, sc scope) (items []item, next string, nextNumber int, answer any, err error) {
	var p acrossPlace
	if token != "" {
		if err := json.Unmarshal([]byte(token), &p); err != nil {
			return nil, "", 0, nil, &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: "The position does not belong to this object; it is read anew.", Err: err}
		}
	}
	if len(p.Parents) == 0 && !p.Last {
		if err := r.parents(ctx, &p); err != nil {
			return nil, "", 0, nil, err
		}
	}
	if len(p.Parents) > 0 {
		child := sc.with(scope{"parent": string(p.Parents[0])})
		var more string
		at := p.Child
		if at == "+" {
			at = ""
		}
		items, more, p.At, answer, err = r.fetch(ctx, op, req, path, pg, at, p.At, child)
		if classOf(err) == "gone" { // the parent went meanwhile, and its children with it
			items, more, err = nil, "", nil
		}
		if err != nil {
			return nil, "", 0, nil, err
		}
		if p.Child = more; more == "" {
			p.Parents, p.At = p.Parents[1:], 0
		}
	}
	if len(p.Parents) == 0 && p.Last {
		return items, "", 0, answer, nil
	}
	b, err := json.Marshal(p)
	return items, string(b), 0, answer, err
}

// parents reads the next page of parents.
func (r *reader) parents(ctx context.Context, p *acrossPlace) error {
	o, err := r.s.object(ctx, record.Object(r.o.Parent.Object), false)
	if err != nil {
		return err
	}
	above := &reader{s: r.s, o: o, req: connector.ReadRequest{Object: o.name, Limit: r.req.Limit}, sc: r.s.scopeOf(o.Object).with(scope{"fields": o.wanted(o.Key)})}
	token := p.Token
	if token == "+" {
		token = ""
	}
	items, next, number, _, err := above.fetch(ctx, "list", o.List.Request, o.List.Records, o.List.Paging, token, p.Number, above.sc)
	if err != nil {
		return err
	}
	for _, it := range items {
		if !it.deleted {
			p.Parents = append(p.Parents, it.key)
		}
	}
	p.Token, p.Number, p.Last = next, number, next == ""
	return nil
}

// under puts the parent's key into a record that does not have it itself.
func (o *object) under(v any, parent any) any {
	m, ok := v.(map[string]any)
	if !ok || o.Parent == nil || o.Parent.Field == "" || parent == nil {
		return v
	}
	f := o.byName[o.Parent.Field]
	path := f.Path
	if o.FieldsAt != "" && !f.Outside {
		path = o.FieldsAt + "." + path
	}
	if dig(m, path) != nil {
		return v
	}
	m = clone(m)
	put(m, path, parent)
	return m
}

// parts are the values of a key's fields by name.
func (o *object) parts(key record.Key) map[string]any {
	out := make(map[string]any, len(o.Key))
	values, err := key.Parts(len(o.Key))
	if err != nil {
		return out
	}
	for i, name := range o.Key {
		out[name] = values[i]
	}
	return out
}

// read takes an answer apart: records, or what names them.
func (r *reader) read(ctx context.Context, op string, answer any, a *transport.Answer, path string, parent any) ([]item, error) {
	if ch := r.o.Changes; op == "changes" && ch.Ids != nil {
		return r.hydrated(ctx, answer, a, path)
	}
	if parent == nil {
		return r.o.readAll(answer, path)
	}
	found, ok := records(answer, path)
	if !ok {
		return r.o.readAll(answer, path)
	}
	list := make([]any, len(found))
	for i, v := range found {
		list[i] = r.o.under(v, parent)
	}
	return r.o.readAll(list, "")
}

// hydrated reads the records that a list names.
func (r *reader) hydrated(ctx context.Context, answer any, a *transport.Answer, path string) ([]item, error) {
	ids := r.o.Changes.Ids
	entries, ok := records(answer, path)
	if !ok {
		return r.o.readAll(answer, path) // says what is wrong
	}
	var keys, ask []record.Key
	at := make(map[record.Key]string, len(entries))
	for _, e := range entries {
		key := record.Key(digText(e, ids.Key))
		if key == "" {
			continue
		}
		when := record.Time(a.At.Add(-r.s.margin(r.o)))
		if ids.At != "" {
			t, err := parseTime(dig(e, ids.At), "")
			if err != nil {
				return nil, r.o.malformed(err)
			}
			when = record.Time(t)
		}
		keys = append(slices.DeleteFunc(keys, func(k record.Key) bool { return k == key }), key) // the last time counts
		at[key] = when
		if ids.Deleted == nil || !ids.Deleted.holds(e) {
			ask = append(ask, key)
		}
	}
	found, err := r.s.items(ctx, r.o, r.req.Fields, ask)
	if err != nil {
		return nil, err
	}
	out := make([]item, len(keys))
	for i, k := range keys {
		it, there := found[k]
		if !there {
			it = item{key: k, deleted: true}
		}
		it.told, it.state = at[k], strconv.FormatUint(digest(it.fields), 36)
		out[i] = it
	}
	slices.SortStableFunc(out, func(a, b item) int { return strings.Compare(a.told, b.told) })
	return out, nil
}
