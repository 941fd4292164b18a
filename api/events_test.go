// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/store"
)

// event is one event as it came.
type event struct {
	id, typ string
	data    map[string]any
	comment string
	retry   string
}

// reader follows an event stream.
type reader struct {
	w      *world
	events chan event
	stop   context.CancelFunc
}

// follow opens a stream; it ends with the test.
func (w *world) follow(c call) *reader {
	w.Helper()
	ctx, stop := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+c.path, nil)
	w.must(err)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.session != "" {
		req.AddCookie(&http.Cookie{Name: api.DefaultSessionCookie, Value: c.session})
	}
	for i := 0; i+1 < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	w.must(err)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		w.Fatalf("the stream is answered %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	r := &reader{w: w, events: make(chan event, 1000), stop: stop}
	go func() {
		defer close(r.events)
		defer func() { _ = res.Body.Close() }() // it ended, or the test is over
		lines := bufio.NewScanner(res.Body)
		var e event
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case lines.Text() == "":
				r.events <- e
				e = event{}
			case name == "id":
				e.id = value
			case name == "event":
				e.typ = value
			case name == "retry":
				e.retry = value
			case name == "":
				e.comment = value
			case name == "data":
				if err := w.contract.CheckEvent([]byte(value)); err != nil {
					w.Error(err)
				}
				if err := json.Unmarshal([]byte(value), &e.data); err != nil {
					w.Error(err)
				}
			}
		}
	}()
	w.Cleanup(stop)
	return r
}

// patience bounds every wait for an event. It waits for transactions of all that use the server at the same time, of other packages
// too, which last for as long as the machine is slow.
const patience = 2 * time.Minute

// next is the next event of a type; others are passed over.
func (r *reader) next(typ string) event {
	r.w.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-r.events:
			if !ok {
				r.w.Fatalf("the stream ended, and %s had not come", typ)
			}
			if e.typ == typ {
				return e
			}
		case <-timeout:
			r.w.Fatalf("no %s within %s", typ, patience)
		}
	}
}

// began waits until the stream stands: from then on nothing is missed.
func (r *reader) began() event {
	r.w.Helper()
	for e := range r.events {
		if e.id != "" {
			return e
		}
	}
	r.w.Fatal("the stream ended before it began")
	return event{}
}

// ended waits for the end, and says how long that took.
func (r *reader) ended() time.Duration {
	r.w.Helper()
	since, timeout := time.Now(), time.After(patience)
	for {
		select {
		case _, ok := <-r.events:
			if !ok {
				return time.Since(since)
			}
		case <-timeout:
			r.w.Fatal("the stream does not end")
		}
	}
}

func (p *party) emit(typ string, data map[string]any) {
	p.Helper()
	p.must(p.db.InTenant(context.Background(), p.tenant, func(tx *store.Tx) error {
		return tx.Emit(context.Background(), typ, uuid.Nil, data)
	}))
}

func TestEventsArriveAndAreMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	p, other := w.newParty("a"), w.newParty("b")
	r := w.follow(p.as("GET", "/v1/events", ""))
	if e := <-r.events; e.retry == "" {
		t.Errorf("the stream does not say when to come back: %+v", e)
	}
	start := r.began()
	conn := w.want(201, p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a"}`).once()).json(t)
	e := r.next("connection.changed")
	data := e.data["data"].(map[string]any)
	if e.id != e.data["id"] || e.data["type"] != "dev.syncline.connection.changed.v1" || e.data["subject"] != conn["id"] || data["connection"] != conn["id"] || data["name"] != "shop" {
		t.Errorf("the event is %+v", e)
	}
	// Cut off, and back: what happened meanwhile comes, in order, once, and nothing of anybody else's.
	r.stop()
	other.emit("run.finished", map[string]any{"run": uuid.NewString(), "text": other.canary})
	for i := range 5 {
		p.emit("run.progress", map[string]any{"run": uuid.NewString(), "done": i})
	}
	back := w.follow(p.as("GET", "/v1/events", "", "Last-Event-ID", e.id))
	for i := range 5 {
		got := back.next("run.progress")
		if got.data["data"].(map[string]any)["done"] != float64(i) || !strings.HasPrefix(got.data["subject"].(string), "run_") {
			t.Errorf("event %d is %+v", i, got)
		}
	}
	p.emit("run.finished", map[string]any{"run": uuid.NewString()})
	back.next("run.finished")
	// From the very beginning, which was before any event.
	again := w.follow(p.as("GET", "/v1/events", "", "Last-Event-ID", start.id))
	if first := again.next("connection.changed"); first.id != e.id {
		t.Errorf("from the beginning the first is %+v", first)
	}
	for typ := range map[string]bool{"run.finished": true} {
		got := again.next(typ)
		if strings.Contains(got.data["subject"].(string), other.canary) || got.data["data"].(map[string]any)["text"] != nil {
			t.Errorf("somebody else's event came: %+v", got)
		}
	}
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/events", "", "Last-Event-ID", "yesterday"))
}

func TestEventsAreFilteredByTypeServiceAndPermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	all := w.follow(p.as("GET", "/v1/events", ""))
	runs := w.follow(p.as("GET", "/v1/events?filter[type]=run.*,service.changed", ""))
	spare := w.follow(p.as("GET", "/v1/events?filter[service]=spare-a", ""))
	finance := w.follow(call{path: "/v1/events", session: p.sessions[auth.Finance]})
	for _, r := range []*reader{all, runs, spare, finance} {
		r.began()
	}
	began := time.Now()
	p.emit("conflict", map[string]any{"conflict": uuid.NewString(), "field": p.canary})
	p.emit("dead_letter", map[string]any{"key": p.canary})
	p.emit("something.new", map[string]any{"text": p.canary}) // not known: only for those who may see records
	p.emit("connection.changed", map[string]any{"id": "con_1", "name": p.canary})
	p.emit("run.finished", map[string]any{"run": uuid.NewString()})
	w.want(200, p.as("POST", "/v1/services/spare-a:resume", ""))
	for _, typ := range []string{"conflict", "dead_letter", "something.new", "connection.changed", "run.finished", "service.changed"} {
		all.next(typ)
	}
	only := func(name string, r *reader, want ...string) {
		t.Helper()
		for len(want) > 0 {
			select {
			case e := <-r.events:
				if e.typ == "" { // it only shows that it lives
					continue
				}
				if at, err := time.Parse(time.RFC3339Nano, e.data["time"].(string)); err == nil && at.Before(began) { // of the furnishing: it may become visible only now
					continue
				}
				if e.typ != want[0] {
					t.Errorf("%s got %s, want %s", name, e.typ, want[0])
				}
				want = want[1:]
			case <-time.After(patience):
				t.Errorf("%s did not get %s", name, want[0])
				return
			}
		}
	}
	only("the filter by type", runs, "run.finished", "service.changed")
	only("the filter by service", spare, "service.changed")
	only("finance", finance, "run.finished", "service.changed")
	w.refused(404, "service.not_found", p.as("GET", "/v1/events?filter[service]=nothing", ""))
}

// Whoever loses access gets nothing more within 5 seconds.
func TestAStreamEndsWithTheAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	ctx := context.Background()
	text, k, err := w.deps.Auth.CreateKey(ctx, p.owner(), "robot", []auth.Scope{auth.ScopeRead}, timeZero)
	w.must(err)
	lose := map[string]func(){
		"a revoked key":    func() { _, err := w.deps.Auth.RevokeKey(ctx, p.owner(), k.ID, 0); w.must(err) },
		"an ended session": func() { w.exec(`DELETE FROM sessions WHERE user_id = $1`, uuid.UUID(p.members[auth.Viewer])) },
		"a removed member": func() { w.must(w.deps.Auth.Remove(ctx, p.owner(), p.members[auth.Editor], 0)) },
	}
	streams := map[string]*reader{
		"a revoked key":    w.follow(call{path: "/v1/events", key: text.Reveal()}),
		"an ended session": w.follow(call{path: "/v1/events", session: p.sessions[auth.Viewer]}),
		"a removed member": w.follow(call{path: "/v1/events", session: p.sessions[auth.Editor]}),
	}
	for name, r := range streams {
		r.began()
		lose[name]()
		if took := r.ended(); took > 5*time.Second {
			t.Errorf("%s read on for %s", name, took)
		}
	}
}

// A reader, and every proxy on the way, sees that the stream lives though nothing happens.
func TestAQuietStreamShowsThatItLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	r := w.follow(p.as("GET", "/v1/events", ""))
	r.began()
	select {
	case e := <-r.events:
		if e.comment == "" || e.typ != "" || e.id != "" {
			t.Errorf("instead of a comment came %+v", e)
		}
	case <-time.After(patience):
		t.Errorf("no sign of life within %s", patience)
	}
}
