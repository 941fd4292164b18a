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
		if err := r.parents(ctx, op, &p); err != nil {
			return nil, "", 0, nil, err
		}
	}
	if len(p.Parents) > 0 {
		child := sc.with(scope{"parent": string(p.Parents[0]), "part": r.partsOf(p.Parents[0])})
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

// partsOf are the values of a parent's key by the names of its fields; nil for a value.
func (r *reader) partsOf(parent record.Key) map[string]any {
	if r.o.Parent.Object == "" {
		return nil
	}
	r.s.mu.Lock()
	o := r.s.objects[record.Object(r.o.Parent.Object)]
	r.s.mu.Unlock()
	if o == nil { // the place was read in a process that is gone
		o = &object{Object: r.s.m.Objects[r.o.Parent.Object]}
	}
	return o.parts(parent)
}

// parents reads the next page of parents, or the values that stand for them.
func (r *reader) parents(ctx context.Context, op string, p *acrossPlace) error {
	if values := r.o.Parent.Values; len(values) > 0 {
		for _, v := range values {
			for _, one := range strings.FieldsFunc(r.s.text(v, nil), func(c rune) bool { return c == ',' || c == '\n' }) {
				if one = strings.TrimSpace(one); one != "" && !slices.Contains(p.Parents, record.Key(one)) {
					p.Parents = append(p.Parents, record.Key(one))
				}
			}
		}
		if len(p.Parents) == 0 { // nothing to list would look as if all had been deleted
			return &connector.Error{Class: connector.Reconnect, Code: "connection.setting_malformed", Message: "The connection's settings do not say which parts of " + r.o.Title + " are meant. Enter at least one."}
		}
		p.Last = true
		return nil
	}
	o, err := r.s.object(ctx, record.Object(r.o.Parent.Object), false)
	if err != nil {
		return err
	}
	above := &reader{s: r.s, o: o, req: connector.ReadRequest{Object: o.name, Limit: r.req.Limit}, sc: r.s.scopeOf(o.Object).with(scope{"fields": o.wanted(o.Key)})}
	token := p.Token
	if token == "+" {
		token = ""
	}
	var l List
	if o.List != nil {
		l = *o.List
	}
	how := "list"
	if ch := o.Changes; op == "changes" && r.o.Parent.Changed && ch != nil { // as far back as the children are asked for
		how, l = "changes", List{Request: ch.Request, Records: ch.Records, Paging: ch.Paging}
		above.sc["since"], above.sc["until"] = r.s.written(ch, moment(r.p.From)), r.s.written(ch, r.until())
	}
	items, next, number, _, err := above.fetch(ctx, how, l.Request, l.Records, l.Paging, token, p.Number, above.sc)
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

// above are the fields of a record that its parent gives it.
func (r *reader) above(sc scope) map[string]any {
	p := r.o.Parent
	if p == nil || sc["parent"] == nil {
		return nil
	}
	out := make(map[string]any, 1)
	if p.Field != "" {
		out[p.Field] = sc["parent"]
	}
	parts, _ := sc["part"].(map[string]any)
	for name, of := range p.Fields {
		out[name] = parts[of]
	}
	return out
}

// under puts what its parent gives it into a record that does not have it itself.
func (o *object) under(v any, above map[string]any) any {
	m, ok := v.(map[string]any)
	if !ok || o.Parent == nil {
		return v
	}
	copied := false
	for name, value := range above {
		if name != o.Parent.Field && o.Parent.Fields[name] == "" || value == nil {
			continue
		}
		f := o.byName[name]
		path := f.Path
		if o.FieldsAt != "" && !f.Outside {
			path = o.FieldsAt + "." + path
		}
		if dig(m, path) != nil {
			continue
		}
		if !copied {
			m, copied = clone(m), true
		}
		put(m, path, value)
	}
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
func (r *reader) read(ctx context.Context, op string, answer any, a *transport.Answer, path string, above map[string]any) ([]item, error) {
	if ch := r.o.Changes; op == "changes" && ch.Ids != nil {
		return r.hydrated(ctx, answer, a, path)
	}
	if above == nil {
		return r.o.readAll(answer, path)
	}
	found, ok := r.o.list(answer, path)
	if !ok {
		return r.o.readAll(answer, path)
	}
	list := make([]any, len(found))
	for i, v := range found {
		list[i] = r.o.under(v, above)
	}
	return r.o.readAll(list, "")
}

// hydrated reads the records that a list names.
func (r *reader) hydrated(ctx context.Context, answer any, a *transport.Answer, path string) ([]item, error) {
	ids := r.o.Changes.Ids
	entries, ok := r.o.list(answer, path)
	if !ok {
		return r.o.readAll(answer, path) // says what is wrong
	}
	var keys, ask []record.Key
	at := make(map[record.Key]string, len(entries))
	for _, e := range entries {
		if ids.Only != nil && !ids.Only.holds(e) {
			continue
		}
		named := texts(dig(e, ids.Key))
		if len(named) == 0 {
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
		gone := ids.Deleted != nil && ids.Deleted.holds(e)
		for _, name := range named {
			key := record.Key(name)
			if moment(at[key]).After(moment(when)) { // the last time counts, and lists come in either order
				continue
			}
			keys = append(slices.DeleteFunc(keys, func(k record.Key) bool { return k == key }), key)
			ask = slices.DeleteFunc(ask, func(k record.Key) bool { return k == key })
			if at[key] = when; !gone {
				ask = append(ask, key)
			}
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

// texts are the texts at a place that has one or several.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	default:
		if s := record.Text(v); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// mostParts bounds the parents that have a place of their own in a cursor.
const mostParts = 2_000

// each goes on behind a place. Where records have parents each parent has a place of its own, and is asked in its turn until it has no more.
func (r *reader) each(ctx context.Context) (connector.Page, error) {
	if r.o.Parent == nil {
		if r.o.Changes.Style == "keyset" {
			return r.keyset(ctx)
		}
		return r.feed(ctx)
	}
	if len(r.p.Todo) == 0 {
		if err := r.round(ctx); err != nil {
			return connector.Page{}, err
		}
	}
	page := connector.Page{Phase: r.phase()}
	if len(r.p.Todo) > 0 {
		parent := r.p.Todo[0]
		child := *r
		child.sc = r.sc.with(scope{"parent": parent, "part": r.partsOf(record.Key(parent))})
		var known bool
		if child.p, known = r.p.Parts[parent]; !known { // with snapshot everything of a new one is read
			child.p = place{Snapshot: r.o.Changes.Snapshot, Since: r.p.Since}
			if child.p.Snapshot {
				child.p.Since = epoch
			}
		}
		var err error
		if r.o.Changes.Style == "keyset" {
			page, err = child.keyset(ctx)
		} else {
			page, err = child.feed(ctx)
		}
		gone := classOf(err) == "gone" // the parent went meanwhile, and its children with it
		if err != nil && !gone {
			return connector.Page{}, err
		}
		if r.p.Start == "" {
			r.p.Start = child.p.Start
		}
		if gone || !page.More {
			r.p.Todo = r.p.Todo[1:]
		}
		if r.p.Parts == nil {
			r.p.Parts = map[string]place{}
		}
		if child.p.Known = nil; r.o.missing() { // which keys there are is asked for all parents together
			for _, c := range page.Changes {
				r.knows(c)
			}
		}
		if r.p.Parts[parent] = child.p; gone {
			delete(r.p.Parts, parent)
			page = connector.Page{}
		}
	}
	more := len(r.p.Todo) > 0
	if r.p.Passing = more; !more {
		r.endSnapshot()
	}
	page.Phase, page.More = r.phase(), more
	return page, nil
}

// behind is what a query goes on behind: the key, or of one with several fields the last, which is the record's own.
func (o *object) behind(key record.Key) string {
	if len(o.Key) == 1 {
		return string(key)
	}
	v, _ := o.parts(key)[o.Key[len(o.Key)-1]].(string)
	return v
}

// round begins a pass: all parents there are now, and no place of one that is not.
func (r *reader) round(ctx context.Context) error {
	var p acrossPlace
	for !p.Last {
		if err := r.parents(ctx, "list", &p); err != nil {
			return err
		}
		if len(p.Parents) > mostParts {
			return &connector.Error{Class: connector.Reject, Code: "http.too_many_to_compare", Message: "The records of " + r.o.Title + " have more than 2,000 parents, too many to keep a place of each. Use changes of style since or full."}
		}
	}
	there := make(map[string]bool, len(p.Parents))
	for _, parent := range p.Parents {
		there[string(parent)] = true
		r.p.Todo = append(r.p.Todo, string(parent))
	}
	for parent := range r.p.Parts {
		if !there[parent] {
			delete(r.p.Parts, parent)
		}
	}
	return nil
}
