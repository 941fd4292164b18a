// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// place is what a cursor says. A cursor is more than a time: it has the key that breaks ties, what lies in the overlap, and
// where a pass over several pages stands.
type place struct {
	V        int               `json:"v"`
	Snapshot bool              `json:"snapshot,omitempty"`
	Start    string            `json:"start,omitempty"` // snapshot by list: when it began, by the vendor's clock
	Since    string            `json:"since,omitempty"` // canonical time; all before it is read
	After    string            `json:"after,omitempty"` // keyset: the last key at Since
	From     string            `json:"from,omitempty"`  // since: where the pass under way began
	High     string            `json:"high,omitempty"`  // since: the latest time seen in the pass
	Token    string            `json:"token,omitempty"` // the page, or the feed's place
	Number   int               `json:"n,omitempty"`     // offset or page number; in a since pass the records so far
	Ties     bool              `json:"ties,omitempty"`  // reading the records of exactly Since by key
	Passing  bool              `json:"pass,omitempty"`  // a pass is under way
	Seen     map[string]string `json:"seen,omitempty"`  // key -> version, inside the overlap
	Gone     *gonePlace        `json:"gone,omitempty"`
	Hint     int64             `json:"hint,omitempty"`
	Got      string            `json:"got,omitempty"`    // when Token was got, our clock
	Base     string            `json:"base,omitempty"`   // feed, whole: the token that the pass under way began at
	Open     []string          `json:"open,omitempty"`   // feed, whole: keys of the pass under way
	Vain     []string          `json:"vain,omitempty"`   // feed, whole: keys of passes that were begun again
	Again    int               `json:"again,omitempty"`  // how often the pass under way was begun again
	Looked   string            `json:"seenAt,omitempty"` // keeps: when the last pass ended, our clock
	Until    string            `json:"until,omitempty"`  // lag: what the pass under way reads up to
	Acks     []string          `json:"acks,omitempty"`   // queue: handles of messages to take away, since the cursor has what they say
	Known    map[string]uint64 `json:"known,omitempty"`  // full: key -> hash of what was read; diff: the keys that there are
	Fresh    map[string]uint64 `json:"fresh,omitempty"`  // full: the same, of the pass under way
	List     string            `json:"list,omitempty"`   // what Known is, where that is too long for a cursor
	Next     string            `json:"next,omitempty"`   // what Fresh is, likewise
	Old      []string          `json:"old,omitempty"`    // lists that go when this cursor is stored
	Ending   bool              `json:"ending,omitempty"` // full: the list is read, and what it lacks is being told; After is the last such key
	Parts    map[string]place  `json:"parts,omitempty"`  // keyset, feed: of each parent
	Todo     []string          `json:"todo,omitempty"`   // keyset, feed: parents that the pass under way has still to ask
}

// gonePlace is where the list of the deleted stands.
type gonePlace struct {
	At     string `json:"at"`              // when it was last read to its end, our clock
	Since  string `json:"since"`           // deleted since
	Token  string `json:"token,omitempty"` // its page
	Number int    `json:"n,omitempty"`
	High   string `json:"high,omitempty"`
	Busy   bool   `json:"busy,omitempty"`
	Ending bool   `json:"ending,omitempty"` // diff: the list is read, and what it lacks is looked at by key
	After  string `json:"after,omitempty"`  // the last such key
}

func (p place) cursor() record.Cursor {
	p.V = 1
	b, _ := json.Marshal(p)
	return b
}

// maxFull bounds what a cursor keeps to compare with; more is kept in lists, where there is a place for them.
const maxFull = 20_000

// maxSeen bounds what is remembered of the overlap; what is forgotten is read twice, which does no harm.
const maxSeen = 2_000

const epoch = "1970-01-01T00:00:00Z"

// Read returns the next page.
func (s *system) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "manifest.request", Message: "A page has 1 to 10,000 records."}
	}
	o, err := s.object(ctx, req.Object, false)
	if err != nil {
		return connector.Page{}, err
	}
	if o.Lookup {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "manifest.lookup_only", Message: "The records of " + string(o.name) + " cannot be listed, only asked for one by one. Name the system under syncConfig.enrichment.sources instead of systems."}
	}
	var p place
	if req.Cursor == nil {
		if p, err = s.beginning(ctx, o); err != nil {
			return connector.Page{}, err
		}
	} else if err := json.Unmarshal(req.Cursor, &p); err != nil || p.V != 1 {
		return connector.Page{}, &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: "The position does not belong to this object; it is read anew.", Err: err}
	}
	p.Old = slices.DeleteFunc(p.Old, s.isDropped)
	r := &reader{s: s, o: o, req: req, p: p, sc: s.scopeOf(o.Object).with(scope{"fields": o.wanted(req.Fields)})}
	page, err := r.next(ctx)
	if err == nil {
		err = r.remember(ctx)
	}
	if err != nil {
		if classOf(err) == "drift" {
			s.mu.Lock()
			delete(s.objects, req.Object)
			s.mu.Unlock()
		}
		return connector.Page{}, err
	}
	page.Cursor = r.p.cursor()
	return page, nil
}

// Scan reads an object's list, apart from what the stream knows of it.
func (s *system) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	o, err := s.object(ctx, req.Object, false)
	if err != nil {
		return out, err
	}
	p := place{Snapshot: true, Since: epoch}
	if req.Place != nil {
		if err := json.Unmarshal(req.Place, &p); err != nil || p.V != 1 {
			return out, &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: "The position does not belong to this object; it is read anew.", Err: err}
		}
	}
	read := connector.ReadRequest{Object: req.Object, Fields: req.Fields, Limit: req.Limit}
	r := &reader{s: s, o: o, req: read, p: p, sc: s.scopeOf(o.Object).with(scope{"fields": o.wanted(req.Fields)})}
	var page connector.Page
	switch {
	case o.Changes == nil || !o.Changes.Snapshot:
		page, err = r.listing(ctx)
	case o.Changes.Style == "keyset", o.Changes.Style == "feed":
		page, err = r.each(ctx)
	default:
		page, err = r.since(ctx)
	}
	if err != nil {
		return out, err
	}
	for _, c := range page.Changes {
		if c.Op == record.Upsert {
			out.Records = append(out.Records, c)
		}
	}
	if r.p.Snapshot {
		out.Next = r.p.cursor()
	}
	return out, nil
}

// beginning is the cursor of a snapshot: the stream's position is taken before its first page.
func (s *system) beginning(ctx context.Context, o *object) (place, error) {
	p := place{Snapshot: true, Since: epoch}
	if s.env.Hints != nil {
		n, err := s.env.Hints.Last(ctx)
		if err != nil {
			return p, err
		}
		p.Hint = n
	}
	if o.Deletes.Mode == "archived" || o.missing() {
		p.Gone = &gonePlace{At: record.Time(s.client.Now())}
	}
	return p, nil
}

// margin is how far before a snapshot's first answer the stream begins: a look too far back costs little.
func (s *system) margin(o *object) time.Duration {
	d := 2 * time.Minute
	if o.Changes != nil {
		d += duration(o.Changes.Overlap, 0)
	}
	return d
}

type reader struct {
	s   *system
	o   *object
	req connector.ReadRequest
	p   place
	sc  scope

	told []record.Change // whose keys are to be remembered
}

// begun notes when a snapshot's first answer came, by the vendor's clock, which may differ from ours.
func (r *reader) begun(a *transport.Answer) {
	if r.p.Snapshot && r.p.Start == "" {
		r.p.Start = record.Time(a.At.Add(-r.s.margin(r.o)))
	}
}

// maxAgain is how often a list is begun again before reading waits.
const maxAgain = 5

// next reads the next page. A list whose place the vendor keeps no more, or that changed while it was read, is begun again.
func (r *reader) next(ctx context.Context) (connector.Page, error) {
	now := r.s.client.Now()
	if ch := r.o.Changes; ch != nil && ch.Keeps != "" && !r.p.Snapshot && !r.p.Passing && r.p.Looked != "" && now.Sub(moment(r.p.Looked)) > duration(ch.Keeps, 0) {
		return connector.Page{}, &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: fmt.Sprintf("Nothing was read for longer than %s keeps what changed; everything is read once more.", r.s.m.Title)}
	}
	if lasts := r.paging().Lasts; lasts != "" && (!r.feeding() || r.o.Changes.Whole) && r.p.Token != "" && r.p.Token != r.p.Base && r.p.Got != "" && now.Sub(moment(r.p.Got)) > duration(lasts, 0) {
		if err := r.restart(); err != nil {
			return connector.Page{}, err
		}
	}
	for {
		before, passing := r.p.Token, r.p.Passing
		page, err := r.turn(ctx)
		if classOf(err) == "restart" && r.p.Again < maxAgain {
			r.p.Again++
			if err := r.restart(); err != nil {
				return connector.Page{}, err
			}
			continue
		}
		if err != nil {
			return page, err
		}
		if r.p.Token != before {
			r.p.Got = ""
			if r.p.Token != "" && r.paging().Lasts != "" {
				r.p.Got = record.Time(now)
			}
		}
		if !page.More || passing && !r.p.Passing {
			r.p.Again = 0
			if r.o.Changes != nil && r.o.Changes.Keeps != "" && !r.p.Snapshot {
				r.p.Looked = record.Time(now)
			}
		}
		return page, nil
	}
}

// paging is how the list goes on that is being read.
func (r *reader) paging() Paging {
	ch, l := r.o.Changes, r.o.List
	if l != nil && (ch == nil || ch.Style == "full" || r.p.Snapshot && !ch.Snapshot) {
		return l.Paging
	}
	if ch != nil {
		return ch.Paging
	}
	return Paging{}
}

// feeding says whether a feed is being read.
func (r *reader) feeding() bool {
	ch := r.o.Changes
	return ch != nil && ch.Style == "feed" && (!r.p.Snapshot || ch.Snapshot)
}

// restart forgets where the list stands, so that it is read from its beginning.
func (r *reader) restart() error {
	r.p.Got, r.p.Until = "", ""
	if r.feeding() {
		if !r.o.Changes.Whole {
			return nil // each of its pages is a place of its own
		}
		r.p.Token = r.p.Base
		if r.p.Vain, r.p.Open = union(r.p.Vain, r.p.Open), nil; len(r.p.Vain) > maxFull {
			return &connector.Error{Class: connector.LostPlace, Code: "http.lost_place", Message: fmt.Sprintf("%s changed while a long list was read; everything is read once more.", r.s.m.Title)}
		}
		return nil
	}
	r.p.Token, r.p.Number, r.p.Fresh = "", 0, nil
	r.drop(r.p.Next)
	r.p.Next, r.p.Ending = "", false
	r.p.Passing, r.p.Ties, r.p.After = false, false, ""
	return nil
}

func (r *reader) turn(ctx context.Context) (connector.Page, error) {
	style := "full"
	if r.o.Changes != nil {
		style = r.o.Changes.Style
	}
	if r.p.Snapshot {
		if r.o.Changes == nil || !r.o.Changes.Snapshot {
			if style == "full" {
				return r.full(ctx)
			}
			return r.listing(ctx)
		}
	} else {
		if page, told, err := r.hinted(ctx); told || err != nil {
			return page, err
		}
		if page, due, err := r.gone(ctx); due || err != nil {
			return page, err
		}
		if page, due, err := r.lost(ctx); due || err != nil {
			return page, err
		}
		if page, due, err := r.vain(ctx); due || err != nil {
			return page, err
		}
	}
	switch style {
	case "queue":
		return r.queue(ctx)
	case "since":
		return r.since(ctx)
	case "keyset", "feed":
		return r.each(ctx)
	}
	return r.full(ctx)
}

func (r *reader) phase() connector.Phase {
	if r.p.Snapshot {
		return connector.Snapshot
	}
	return connector.Stream
}

// page makes a page of items, the last of a key counting.
func (r *reader) page(items []item, more bool) connector.Page {
	page := connector.Page{Phase: r.phase(), More: more || r.p.Snapshot}
	at := make(map[record.Key]int, len(items))
	for _, it := range items {
		c := r.o.change(it, r.req.Fields)
		if i, twice := at[it.key]; twice {
			page.Changes[i] = c
			continue
		}
		at[it.key] = len(page.Changes)
		page.Changes = append(page.Changes, c)
	}
	if r.o.missing() {
		for _, c := range page.Changes {
			r.knows(c)
		}
	}
	return page
}

// endSnapshot hands over to the stream.
func (r *reader) endSnapshot() {
	if r.p.Snapshot {
		r.p.Snapshot = false
		if r.o.Changes == nil || !r.o.Changes.Snapshot {
			r.p.Since = r.p.Start
		}
		if r.p.Gone != nil {
			r.p.Gone.Since = r.p.Start
		}
		r.p.Start = ""
	}
}

func (r *reader) limit(p Paging) int {
	n := r.req.Limit
	if p.Size > 0 {
		n = min(n, p.Size)
	}
	return n
}

// fetch asks for a page of a list at token, and says where it goes on; "" at the end.
func (r *reader) fetch(ctx context.Context, op string, req Request, path string, pg Paging, token string, number int, sc scope) (items []item, next string, nextNumber int, answer any, err error) {
	limit := r.limit(pg)
	sc = sc.with(scope{"limit": limit, "offset": number + pg.FirstItem, "page": number + pg.FirstPage})
	if token != "" {
		sc["token"] = token
	}
	if r.o.Parent != nil && sc["parent"] == nil && (op == "list" || op == "changes" || op == "find") {
		return r.across(ctx, op, req, path, pg, token, sc)
	}
	if token != "" && pg.addressed() {
		u, err := r.s.joined(token, pg.Style)
		if err != nil {
			return nil, "", 0, nil, err
		}
		req = req.at(u)
	}
	answer, a, err := r.s.ask(ctx, r.o, op, req, sc, path, false)
	if err != nil {
		return nil, "", 0, nil, err
	}
	r.begun(a)
	if items, err = r.read(ctx, op, answer, a, path, r.above(sc)); err != nil {
		return nil, "", 0, nil, err
	}
	next, nextNumber = following(pg, answer, a, items, number, limit)
	return items, next, nextNumber, answer, nil
}

// addressed says whether the list goes on at an address that the answer has.
func (p Paging) addressed() bool {
	return p.Style == "nextUrl" || p.Style == "nextPath" || p.Style == "link"
}

// at is the same request at an address that an answer gave.
func (r Request) at(u string) Request {
	return Request{Method: r.Method, Path: escapeBraces(u), Headers: r.Headers, Answer: r.Answer, Lists: r.Lists, Cost: r.Cost, Once: r.Once}
}

func escapeBraces(s string) string {
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(s)
}

// joined makes a URL of what an answer says comes next. It must lead to the same place, or credentials would follow it elsewhere.
func (s *system) joined(next, style string) (string, error) {
	if !strings.Contains(next, "://") {
		base := s.base
		if style == "nextPath" {
			base = s.root
		}
		return base + "/" + strings.TrimLeft(next, "/"), nil
	}
	origin := func(u string) string {
		scheme, rest, _ := strings.Cut(u, "://")
		host, _, _ := strings.Cut(rest, "/")
		return strings.ToLower(scheme + "://" + host)
	}
	if origin(next) != origin(s.base) && origin(next) != origin(s.root) && (s.second == "" || origin(next) != origin(s.second)) {
		return "", &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: "The system's next page is at another address than the connection's; it is not followed."}
	}
	return next, nil
}

var linkNext = regexp.MustCompile(`<([^>]+)>\s*;[^,]*\brel="?next"?`)

// following is where a list goes on after this answer: a token, or a number for styles that count.
func following(pg Paging, answer any, a *transport.Answer, items []item, number, limit int) (next string, nextNumber int) {
	if pg.ShortEnds && len(items) < limit {
		return "", 0
	}
	switch pg.Style {
	case "cursor", "nextUrl", "nextPath":
		next = told(answer, a, pg.Next)
	case "link":
		for _, h := range a.Header.Values("Link") {
			if m := linkNext.FindStringSubmatch(h); m != nil {
				next = m[1]
			}
		}
	case "lastId":
		if len(items) > 0 && (pg.More != "" || pg.UntilNone || len(items) >= limit) {
			next = string(items[len(items)-1].key)
		}
	case "offset":
		if len(items) >= limit || (pg.More != "" || pg.UntilNone) && len(items) > 0 {
			next, nextNumber = "+", number+len(items)
		}
	case "page":
		if len(items) >= limit || (pg.More != "" || pg.UntilNone) && len(items) > 0 {
			next, nextNumber = "+", number+1
		}
	}
	if pg.More != "" && !flagAt(answer, pg.More) {
		return "", 0
	}
	return next, nextNumber
}

// listing is a snapshot by list.
func (r *reader) listing(ctx context.Context) (connector.Page, error) {
	l := r.o.List
	token := r.p.Token
	if token == "+" {
		token = ""
	}
	items, next, number, _, err := r.fetch(ctx, "list", l.Request, l.Records, l.Paging, token, r.p.Number, r.sc)
	if err != nil {
		return connector.Page{}, err
	}
	items = slices.DeleteFunc(items, func(it item) bool { return it.deleted })
	r.p.Token, r.p.Number = next, number
	if next == "" {
		r.p.Token, r.p.Number = "", 0
		r.endSnapshot()
	}
	page := r.page(items, true)
	return page, nil
}

// unseen leaves out what was returned already in this state, and remembers the rest.
func (r *reader) unseen(items []item) []item {
	out := items[:0:0]
	for _, it := range items {
		if v, ok := r.p.Seen[string(it.key)]; ok && v == it.mark() {
			continue
		}
		if r.p.Seen == nil {
			r.p.Seen = make(map[string]string)
		}
		r.p.Seen[string(it.key)] = it.mark()
		out = append(out, it)
	}
	return out
}

func (it *item) mark() string {
	mark := it.when()
	if it.state != "" {
		mark += " " + it.state
	}
	if it.deleted {
		mark += " gone"
	}
	return mark
}

// when is the time by which reading goes on.
func (it *item) when() string {
	if it.told != "" {
		return it.told
	}
	return it.version
}

// prune forgets what lies before the overlap.
func (r *reader) prune(overlap time.Duration) {
	since := moment(r.p.Since).Add(-overlap)
	for k, v := range r.p.Seen {
		if t := moment(firstWord(v)); len(r.p.Seen) > maxSeen || t.Before(since) {
			delete(r.p.Seen, k)
		}
	}
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func moment(canonical string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, canonical)
	return t
}

// keyset asks for what lies behind the last record, by time and key, each page anew.
func (r *reader) keyset(ctx context.Context) (connector.Page, error) {
	ch := r.o.Changes
	overlap := duration(ch.Overlap, 0)
	if !r.p.Passing && !r.p.Snapshot {
		r.p.High = r.p.Since
		if back := moment(r.p.Since).Add(-overlap); overlap > 0 {
			r.p.Since, r.p.After = record.Time(back), ch.FirstKey
		}
	}
	limit := r.limit(ch.Paging)
	after := r.p.After
	if after == "" {
		after = ch.FirstKey
	}
	until := r.until()
	sc := r.sc.with(scope{"since": r.s.written(ch, moment(r.p.Since)), "until": r.s.written(ch, until), "after": after, "limit": limit})
	answer, a, err := r.s.ask(ctx, r.o, "changes", ch.Request, sc, ch.Records, false)
	if err != nil {
		return connector.Page{}, err
	}
	r.begun(a)
	items, err := r.read(ctx, "changes", answer, a, ch.Records, r.above(r.sc))
	if err != nil {
		return connector.Page{}, err
	}
	more := len(items) >= limit
	if n := len(items); n > 0 {
		last := items[n-1]
		r.p.Since, r.p.After = last.when(), r.o.behind(last.key)
	}
	if r.p.Snapshot {
		if overlap > 0 || ch.Lag != "" {
			r.unseen(items)
		}
		items = slices.DeleteFunc(items, func(it item) bool { return it.deleted })
	} else {
		items = r.unseen(items)
	}
	r.p.Passing = more
	if !more {
		if !r.p.Snapshot && moment(r.p.High).After(moment(r.p.Since)) {
			r.p.Since = r.p.High
		}
		if ch.Lag != "" && moment(r.p.Since).After(until) { // what is newer may not be all there is
			r.p.Since, r.p.After = record.Time(until), ch.FirstKey
		}
		r.p.High, r.p.Until = "", ""
		r.endSnapshot()
	}
	r.prune(overlap)
	page := r.page(items, more)
	page.More = more
	return page, nil
}

// since asks for what changed since a time, page by page, and begins a new window where a query has a cap.
func (r *reader) since(ctx context.Context) (connector.Page, error) {
	ch := r.o.Changes
	overlap := duration(ch.Overlap, 0)
	if !r.p.Passing {
		r.p.From, r.p.High, r.p.Number, r.p.Token = record.Time(moment(r.p.Since).Add(-overlap)), r.p.Since, 0, ""
		r.p.Passing = true
	}
	list := List{Request: ch.Request, Records: ch.Records, Paging: ch.Paging}
	until := r.until()
	sc := r.sc.with(scope{"since": r.s.written(ch, moment(r.p.From)), "until": r.s.written(ch, until)})
	if r.p.Ties {
		list = *ch.Ties
		sc["after"] = r.p.After
		if r.p.After == "" {
			sc["after"] = ch.FirstKey
		}
	}
	token := r.p.Token
	if token == "+" {
		token = ""
	}
	counted := r.p.Number
	offset := 0
	if s := list.Paging.Style; s == "offset" || s == "page" {
		offset = counted
	}
	items, next, number, _, err := r.fetch(ctx, "changes", list.Request, list.Records, list.Paging, token, offset, sc)
	if err != nil {
		return connector.Page{}, err
	}
	for _, it := range items {
		if at := it.when(); at != "" && moment(at).After(moment(r.p.High)) {
			r.p.High = record.Time(moment(at))
		}
	}
	capped := ch.Paging.Cap
	switch {
	case r.p.Ties: // one query after the other, each behind the last key
		if n := len(items); n >= r.limit(list.Paging) {
			r.p.After = string(items[n-1].key)
		} else {
			r.p.Ties, r.p.After, r.p.Token, r.p.Number = false, "", "", 0
			r.p.From = record.Time(moment(r.p.From).Add(ch.step()))
		}
	case next == "":
		r.p.Passing, r.p.Token, r.p.Number = false, "", 0
	default:
		r.p.Token = next
		if s := list.Paging.Style; s == "offset" || s == "page" {
			r.p.Number = number
		} else {
			r.p.Number += len(items)
		}
		if capped > 0 && r.p.Number+r.limit(list.Paging) > capped {
			last := r.p.From
			if n := len(items); n > 0 && items[n-1].when() != "" {
				last = items[n-1].when()
			}
			r.p.Token, r.p.Number = "", 0
			if record.Equal(r.s.written(ch, moment(last)), r.s.written(ch, moment(r.p.From))) && ch.Ties != nil {
				r.p.Ties, r.p.After = true, ""
			}
			r.p.From = last
		}
	}
	more := r.p.Passing
	items = r.unseen(items)
	if r.p.Snapshot {
		items = slices.DeleteFunc(items, func(it item) bool { return it.deleted })
	}
	if !more {
		if ch.Lag != "" && moment(r.p.High).After(until) {
			r.p.High = record.Time(until)
			if moment(r.p.Since).After(until) { // it never goes back
				r.p.High = r.p.Since
			}
		}
		r.p.Since, r.p.High, r.p.From, r.p.Until = r.p.High, "", "", ""
		r.endSnapshot()
		r.prune(overlap)
	} else if len(r.p.Seen) > 10*maxSeen {
		r.prune(overlap)
	}
	page := r.page(items, more)
	page.More = more
	return page, nil
}

// until is what the pass under way reads up to: the same on all its pages.
func (r *reader) until() time.Time {
	if r.p.Until == "" {
		r.p.Until = record.Time(r.s.client.Now().Add(-duration(r.o.Changes.Lag, 0)))
	}
	return moment(r.p.Until)
}

// written is a time as the query has it.
func (s *system) written(ch *Changes, t time.Time) any {
	if ch.Format == "" {
		return written(t, ch.Time)
	}
	p, err := patternOf(ch.Format)
	if err != nil { // checked by Parse
		return nil
	}
	l, err := zone(s.text(ch.Zone, nil))
	if err != nil {
		l = time.UTC
	}
	return inZone(t, p, l)
}

// step is the smallest difference that the query's times can say.
func (ch *Changes) step() time.Duration {
	if p, err := patternOf(ch.Format); err == nil && ch.Format != "" {
		return p.step
	}
	switch ch.Time {
	case "millis", "epochMillis":
		return time.Millisecond
	case "date":
		return 24 * time.Hour
	}
	return time.Second
}

// feed goes on in a feed whose token is the place.
func (r *reader) feed(ctx context.Context) (connector.Page, error) {
	ch := r.o.Changes
	req, sc := ch.Request, r.sc.with(scope{"since": r.s.written(ch, moment(r.p.Since)), "limit": r.limit(ch.Paging)})
	if r.p.Token != "" {
		sc["token"] = r.p.Token
		if ch.Next.Path != "" {
			req = ch.Next
		}
		if ch.Paging.addressed() {
			u, err := r.s.joined(r.p.Token, ch.Paging.Style)
			if err != nil {
				return connector.Page{}, err
			}
			req = req.at(u)
		}
	}
	answer, a, err := r.s.ask(ctx, r.o, "changes", req, sc, ch.Records, false)
	if err != nil {
		return connector.Page{}, err
	}
	r.begun(a)
	items, err := r.read(ctx, "changes", answer, a, ch.Records, r.above(r.sc))
	if err != nil {
		return connector.Page{}, err
	}
	if next := told(answer, a, ch.Paging.Next); next != "" {
		r.p.Token = next
	}
	more := len(items) > 0
	switch final := told(answer, a, ch.Final); {
	case ch.EndFlag != "":
		more = !flagAt(answer, ch.EndFlag)
	case ch.Paging.More != "":
		more = flagAt(answer, ch.Paging.More)
	case ch.Final != "":
		if more = final == ""; !more {
			r.p.Token = final
		}
	}
	if ch.Whole {
		keys := make([]string, len(items))
		for i := range items {
			keys[i] = string(items[i].key)
		}
		if len(r.p.Open) <= maxFull { // past it a pass that was in vain is not compared, but everything read anew
			r.p.Open = union(r.p.Open, keys)
		}
		if r.p.Passing = more; !more { // what was read in vain and did not come again is looked at by key
			r.p.Base = r.p.Token
			r.p.Vain = slices.DeleteFunc(r.p.Vain, func(k string) bool { return slices.Contains(r.p.Open, k) })
			r.p.Open = nil
		}
	}
	items = r.unseen(items)
	if len(r.p.Seen) > maxSeen {
		clear(r.p.Seen)
	}
	if r.p.Snapshot {
		items = slices.DeleteFunc(items, func(it item) bool { return it.deleted })
		if !more {
			r.endSnapshot()
		}
	}
	page := r.page(items, more)
	page.More = more || len(r.p.Vain) > 0 && !r.p.Snapshot
	return page, nil
}

// full reads everything and returns what differs from the last time.
func (r *reader) full(ctx context.Context) (connector.Page, error) {
	if r.p.Ending {
		return r.ending(ctx)
	}
	l := r.o.List
	token := r.p.Token
	if token == "+" {
		token = ""
	}
	items, next, number, _, err := r.fetch(ctx, "list", l.Request, l.Records, l.Paging, token, r.p.Number, r.sc)
	if err != nil {
		return connector.Page{}, err
	}
	known := r.p.Known
	if r.spilled() {
		if known, err = r.digests(ctx, items); err != nil {
			return connector.Page{}, err
		}
		if r.p.Next == "" {
			r.p.Next = uuid.NewString()
		}
	} else if r.p.Fresh == nil {
		r.p.Fresh = make(map[string]uint64)
	}
	var entries []connector.Entry
	changed := items[:0:0]
	for _, it := range items {
		if it.deleted {
			continue
		}
		h := digest(it.fields)
		if r.spilled() {
			entries = append(entries, connector.Entry{Key: string(it.key), Digest: h})
		} else {
			r.p.Fresh[string(it.key)] = h
		}
		if old, there := known[string(it.key)]; !there || old != h {
			changed = append(changed, it)
		}
	}
	switch {
	case r.spilled():
		if err := r.put(ctx, r.p.Next, entries); err != nil {
			return connector.Page{}, err
		}
	case len(r.p.Fresh) > maxFull:
		if err := r.spill(ctx, true, tooMany("The object has more than 20,000 records, too many to compare each time. Describe how the system is asked for changes in the manifest.")); err != nil {
			return connector.Page{}, err
		}
	}
	r.p.Token, r.p.Number = next, number
	page := r.page(changed, next != "")
	if next != "" {
		return page, nil
	}
	r.p.Token, r.p.Number = "", 0
	diff := !r.p.Snapshot && r.o.Deletes.Mode == "diff"
	if r.spilled() && diff {
		r.p.Ending, r.p.After, page.More = true, "", true
		return page, nil
	}
	if r.spilled() {
		r.swap()
	} else {
		if diff {
			for k := range r.p.Known {
				if _, there := r.p.Fresh[k]; !there {
					page.Changes = append(page.Changes, record.Change{Key: record.Key(k), Op: record.Delete})
				}
			}
			slices.SortFunc(page.Changes, func(a, b record.Change) int { return strings.Compare(string(a.Key), string(b.Key)) })
		}
		r.p.Known, r.p.Fresh = r.p.Fresh, nil
	}
	r.endSnapshot()
	page.Phase, page.More = r.phase(), false
	return page, nil
}

func tooMany(message string) *connector.Error {
	return &connector.Error{Class: connector.Reject, Code: "http.too_many_to_compare", Message: message}
}

// digests are those of what was handed out before.
func (r *reader) digests(ctx context.Context, items []item) (map[string]uint64, error) {
	list, err := listID(r.p.List)
	if err != nil {
		return nil, err
	}
	if r.s.env.Lists == nil {
		return nil, lostList(nil)
	}
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = string(items[i].key)
	}
	return r.s.env.Lists.Digests(ctx, list, keys)
}

// ending tells, a page at a time, of the keys that the list has no more.
func (r *reader) ending(ctx context.Context) (connector.Page, error) {
	keys, err := r.lacking(ctx, r.p.After, r.req.Limit)
	if err != nil {
		return connector.Page{}, err
	}
	page := connector.Page{Phase: r.phase(), More: len(keys) == r.req.Limit}
	for _, k := range keys {
		page.Changes = append(page.Changes, record.Change{Key: record.Key(k), Op: record.Delete})
	}
	if page.More {
		r.p.After = keys[len(keys)-1]
		return page, nil
	}
	r.p.Ending, r.p.After = false, ""
	r.swap()
	return page, nil
}

func digest(f record.Fields) uint64 {
	h := fnv.New64a()
	b, _ := f.MarshalJSON()
	_, _ = h.Write(b)
	return h.Sum64()
}

// hinted reads the records that the vendor told of.
func (r *reader) hinted(ctx context.Context) (connector.Page, bool, error) {
	h := r.s.env.Hints
	if h == nil || r.s.m.Webhook == nil {
		return connector.Page{}, false, nil
	}
	hints, err := h.After(ctx, r.req.Object, r.p.Hint, min(r.req.Limit, 100))
	if err != nil || len(hints) == 0 {
		return connector.Page{}, false, err
	}
	var keys []record.Key
	for _, x := range hints {
		if !slices.Contains(keys, x.Key) {
			keys = append(keys, x.Key)
		}
		r.p.Hint = max(r.p.Hint, x.Seq)
	}
	found, err := r.s.items(ctx, r.o, r.req.Fields, keys)
	if err != nil {
		return connector.Page{}, false, err
	}
	page := connector.Page{Phase: r.phase(), More: true}
	for _, k := range keys {
		if it, ok := found[k]; ok && !it.deleted {
			page.Changes = append(page.Changes, r.o.change(it, r.req.Fields))
		} else {
			page.Changes = append(page.Changes, record.Change{Key: k, Op: record.Delete})
		}
	}
	if r.o.missing() {
		for _, c := range page.Changes {
			r.knows(c)
		}
	}
	return page, true, nil
}

// gone looks at the list of the deleted, when it is time.
func (r *reader) gone(ctx context.Context) (connector.Page, bool, error) {
	d, g := r.o.Deletes, r.p.Gone
	if d.Mode != "archived" || r.p.Passing {
		return connector.Page{}, false, nil
	}
	now := r.s.client.Now()
	if g == nil {
		g = &gonePlace{At: epoch, Since: r.p.Since} // a cursor from before the manifest said so
		r.p.Gone = g
	}
	if !g.Busy && now.Sub(moment(g.At)) < duration(d.Every, time.Minute) {
		return connector.Page{}, false, nil
	}
	if !g.Busy {
		g.Busy, g.Token, g.High = true, "", g.Since
	}
	items, next, _, _, err := r.fetch(ctx, "archived", d.Archived.Request, d.Archived.Records, d.Archived.Paging, g.Token, 0, r.sc)
	if err != nil {
		return connector.Page{}, false, err
	}
	page := connector.Page{Phase: r.phase(), More: true}
	floor := moment(g.Since).Add(-time.Minute) // clocks, and deletions that show late
	for _, it := range items {
		at, err := parseTime(dig(it.raw, d.At), "")
		if err != nil || at.Before(floor) {
			continue
		}
		if at.After(moment(g.High)) {
			g.High = record.Time(at)
		}
		mark := record.Time(at) + " gone"
		if r.p.Seen[string(it.key)] == mark {
			continue
		}
		if r.p.Seen == nil {
			r.p.Seen = make(map[string]string)
		}
		r.p.Seen[string(it.key)] = mark
		page.Changes = append(page.Changes, record.Change{Key: it.key, Op: record.Delete, At: at})
	}
	if g.Token = next; next == "" {
		g.Busy, g.At, g.Since, g.High = false, record.Time(now), g.High, ""
	}
	return page, true, nil
}

// ReadKeys reads single records.
func (s *system) ReadKeys(ctx context.Context, name record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	o, err := s.object(ctx, name, false)
	if err != nil {
		return nil, err
	}
	found, err := s.items(ctx, o, fields, keys)
	if err != nil {
		return nil, err
	}
	out := make([]record.Change, 0, len(keys))
	for _, k := range keys {
		if it, ok := found[k]; ok && !it.deleted {
			out = append(out, o.change(it, fields))
		} else {
			out = append(out, record.Change{Key: k, Op: record.Delete})
		}
	}
	return out, nil
}

// possible says whether a record can have such a key at all.
func (o *object) possible(k record.Key) bool {
	parts, err := k.Parts(len(o.Key))
	if err != nil {
		return false
	}
	for i, name := range o.Key {
		switch connector.Type(o.byName[name].Type) {
		case connector.TypeInteger, connector.TypeNumber:
			if n, err := record.ParseNumber(parts[i]); err != nil || string(n) != parts[i] {
				return false
			}
		}
		if parts[i] == "" {
			return false
		}
	}
	return true
}

// items reads records by key: in batches where the system can, else one by one, a few at once.
func (s *system) items(ctx context.Context, o *object, fields []string, keys []record.Key) (map[record.Key]item, error) {
	out := make(map[record.Key]item, len(keys))
	keys = slices.DeleteFunc(slices.Clone(keys), func(k record.Key) bool { return !o.possible(k) })
	slices.Sort(keys)
	keys = slices.Compact(keys)
	sc := s.scopeOf(o.Object).with(scope{"fields": o.wanted(fields)})
	if o.GetMany != nil && (len(keys) > 1 || o.Get == nil) && !o.locked() {
		for part := range slices.Chunk(keys, max(1, o.GetMany.Size)) {
			answer, _, err := s.ask(ctx, o, "get", o.GetMany.Request, sc.with(scope{"keys": part, "limit": len(part)}), o.GetMany.Records, false)
			if err != nil {
				if classOf(err) == "gone" {
					continue
				}
				return nil, err
			}
			items, err := o.readAll(answer, o.GetMany.Records)
			if err != nil {
				return nil, err
			}
			for _, it := range items {
				out[it.key] = it
			}
		}
		return out, nil
	}
	var mu sync.Mutex
	err := aFew(ctx, len(keys), func(ctx context.Context, i int) error {
		it, ok, err := s.one(ctx, o, sc, keys[i])
		if err != nil || !ok {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		out[keys[i]] = it
		return nil
	})
	return out, err
}

// locked says whether writes need what only the answer to one record has in its headers.
func (o *object) locked() bool {
	for _, w := range []*Write{o.Update, o.Delete} {
		if w != nil && w.Lock != nil && strings.HasPrefix(w.Lock.From, "header:") && o.Get != nil {
			return true
		}
	}
	return false
}

// one reads a single record.
func (s *system) one(ctx context.Context, o *object, sc scope, key record.Key) (item, bool, error) {
	answer, a, err := s.ask(ctx, o, "get", o.Get.Request, sc.with(scope{"key": keyText(key), "keys": []record.Key{key}, "part": o.parts(key)}), o.Get.Record, true)
	if err != nil {
		if classOf(err) == "gone" {
			return item{}, false, nil
		}
		return item{}, false, err
	}
	v := dig(answer, o.Get.Record)
	if v == nil {
		return item{}, false, nil
	}
	if o.Parent != nil {
		v = o.under(v, o.parts(key))
	}
	it, err := o.read(v)
	if err != nil {
		return item{}, false, o.malformed(err)
	}
	it.answer = a.Header
	return it, it.key == key, nil
}

// aFew calls f for 0 to n-1, four at a time, and returns the first error.
func aFew(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan int)
	errs := make(chan error, 4)
	for range min(4, n) {
		go func() {
			var failed error
			for i := range next {
				if failed == nil {
					if failed = f(ctx, i); failed != nil {
						cancel()
					}
				}
			}
			errs <- failed
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var first error
	for range min(4, n) {
		if err := <-errs; err != nil && (first == nil || connector.Classify(first).Class == connector.Retry) {
			first = err
		}
	}
	return first
}

// aFewWhole is aFew for calls that change something: what is under way when one fails is let finish, and nothing new is begun.
func aFewWhole(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	var first error
	_ = aFew(ctx, n, func(ctx context.Context, i int) error {
		mu.Lock()
		stop := first != nil
		mu.Unlock()
		if stop {
			return nil
		}
		err := f(ctx, i)
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		return nil
	})
	if first == nil {
		return ctx.Err()
	}
	return first
}

// Find looks records up by values.
func (s *system) Find(ctx context.Context, name record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	o, err := s.object(ctx, name, false)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx, o, queries)
	if err != nil {
		return nil, err
	}
	out := make([][]record.Change, len(queries))
	for i := range queries {
		for _, it := range found[i] {
			if len(out[i]) < 2 {
				out[i] = append(out[i], o.change(it, fields))
			}
		}
	}
	return out, nil
}

// find asks the system for what it can search by and compares the rest.
func (s *system) find(ctx context.Context, o *object, queries []record.Fields) ([][]item, error) {
	out := make([][]item, len(queries))
	if len(queries) == 0 {
		return out, nil
	}
	f := o.Find
	var searchable []string
	if f != nil {
		for name := range queries[0] {
			if d := o.byName[name]; d != nil && (len(f.Fields) == 0 || slices.Contains(f.Fields, name)) {
				searchable = append(searchable, name)
			}
		}
		slices.Sort(searchable)
	}
	if f == nil || len(searchable) == 0 {
		return out, s.scan(ctx, o, queries, out)
	}
	field := o.telling(searchable)
	if f.Many > 0 {
		return out, s.findMany(ctx, o, field, queries, out)
	}
	if f.One {
		return out, s.findEach(ctx, o, field, queries, out)
	}
	answer, _, err := s.ask(ctx, o, "find", f.Request, s.scopeOf(o.Object).with(scope{"fields": o.wanted(nil), "limit": 100}), f.Records, false)
	if err != nil {
		return nil, err
	}
	items, err := o.readAll(answer, f.Records)
	for i := range queries {
		out[i] = matching(items, queries[i])
	}
	return out, err
}

// telling is the field to ask by: the first that the manifest lists, else the first text.
func (o *object) telling(searchable []string) *Field {
	for _, n := range o.Find.Fields {
		if slices.Contains(searchable, n) {
			return o.byName[n]
		}
	}
	for _, n := range searchable {
		if t := o.byName[n].Type; t == "" || connector.Type(t) == connector.TypeText {
			return o.byName[n]
		}
	}
	return o.byName[searchable[0]]
}

// findEach asks for one value at a time.
func (s *system) findEach(ctx context.Context, o *object, field *Field, queries []record.Fields, out [][]item) error {
	f := o.Find
	sc := s.scopeOf(o.Object).with(scope{"fields": o.wanted(nil), "limit": 100, "field": field.Path})
	var mu sync.Mutex
	return aFew(ctx, len(queries), func(ctx context.Context, i int) error {
		v := queries[i][field.Name]
		if v == nil {
			one := make([][]item, 1)
			if err := s.scan(ctx, o, queries[i:i+1], one); err != nil {
				return err
			}
			mu.Lock()
			out[i] = one[0]
			mu.Unlock()
			return nil
		}
		answer, _, err := s.ask(ctx, o, "find", f.Request, sc.with(scope{"value": field.encode(v, &o.Object)}), f.Records+f.Record, f.Record != "")
		if f.Record != "" && err != nil && connector.Classify(err).Class == connector.Missing {
			return nil
		}
		if err != nil {
			return err
		}
		items, err := o.answered(answer, f)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		out[i] = matching(items, queries[i])
		return nil
	})
}

// findMany asks for many values at once.
func (s *system) findMany(ctx context.Context, o *object, field *Field, queries []record.Fields, out [][]item) error {
	f := o.Find
	var asked []int
	for i, q := range queries {
		if q[field.Name] != nil {
			asked = append(asked, i)
			continue
		}
		if err := s.scan(ctx, o, queries[i:i+1], out[i:i+1]); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(asked, f.Many) {
		var values []any
		seen := map[string]bool{}
		for _, i := range part {
			v := queries[i][field.Name]
			if text := record.Text(v); !seen[text] {
				seen[text] = true
				values = append(values, field.sought(v, &o.Object))
			}
		}
		answer, _, err := s.ask(ctx, o, "find", f.Request, s.scopeOf(o.Object).with(scope{"fields": o.wanted(nil), "field": field.Path, "values": values, "limit": 2 * len(values)}), f.Records, false)
		if err != nil {
			return err
		}
		items, err := o.readAll(answer, f.Records)
		if err != nil {
			return err
		}
		for _, i := range part {
			out[i] = matching(items, queries[i])
		}
	}
	return nil
}

// sought is a value as a query has it.
func (f *Field) sought(v record.Value, o *Object) any {
	x := f.encode(v, o)
	switch connector.Type(f.Type) {
	case connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate, connector.TypeTime:
		if text, ok := x.(string); ok {
			return atTime(text)
		}
	}
	return x
}

// answered reads what a search found.
func (o *object) answered(answer any, f *Find) ([]item, error) {
	if f.Record == "" {
		return o.readAll(answer, f.Records)
	}
	if f.Record != "." {
		answer = dig(answer, f.Record)
	}
	if answer == nil {
		return nil, nil
	}
	it, err := o.read(answer)
	if err != nil {
		return nil, o.malformed(err)
	}
	return []item{it}, nil
}

func matching(items []item, query record.Fields) []item {
	var out []item
	for _, it := range items {
		if !it.deleted && has(it.fields, query) {
			out = append(out, it)
		}
	}
	return out
}

func has(all, some record.Fields) bool {
	for name, v := range some {
		if !alike(all[name], v) {
			return false
		}
	}
	return true
}

// alike compares as most vendors store texts that identify people: they keep addresses in lower case.
func alike(a, b record.Value) bool {
	if record.Equal(a, b) {
		return true
	}
	x, ok1 := a.(string)
	y, ok2 := b.(string)
	return ok1 && ok2 && strings.Contains(x, "@") && strings.EqualFold(x, y)
}

// scan reads the whole list to find records, where the system cannot search.
func (s *system) scan(ctx context.Context, o *object, queries []record.Fields, out [][]item) error {
	if o.List == nil {
		return &connector.Error{Class: connector.Reject, Code: "manifest.request", Message: "The records of " + string(o.name) + " cannot be searched: its manifest has neither find nor list."}
	}
	r := &reader{s: s, o: o, req: connector.ReadRequest{Object: o.name, Limit: 1000}, sc: s.scopeOf(o.Object).with(scope{"fields": o.wanted(nil)})}
	token, number := "", 0
	for pages := 0; pages < 500; pages++ {
		items, next, n, _, err := r.fetch(ctx, "find", o.List.Request, o.List.Records, o.List.Paging, token, number, r.sc)
		if err != nil {
			return err
		}
		for i := range queries {
			if len(out[i]) < 2 {
				out[i] = append(out[i], matching(items, queries[i])...)
			}
		}
		if next == "" {
			return nil
		}
		if token, number = next, n; token == "+" {
			token = ""
		}
	}
	return &connector.Error{Class: connector.Reject, Code: "http.too_many_to_compare", Message: "The object has too many records to look through; give find in its manifest."}
}
