// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

const headed = `manifest: 1
type: shop
title: Shop
summary: Shop.
baseUrl: https://shop.example
settings: [{name: token, secret: true}, {name: zone, default: UTC}]
auth: [{kind: bearer, token: "{settings.token}"}]
`

// timed opens a manifest whose calls handler answers, on a clock that moves when somebody waits.
func timed(t *testing.T, source string, handler func(r *http.Request) (status int, body string, header http.Header)) (connector.System, *sandbox.Clock) {
	t.Helper()
	m, err := manifest.Parse([]byte(source))
	if err != nil {
		t.Fatalf("%+v", err)
	}
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 0)
	c, err := manifest.New(m, manifest.Hooks{}, &transport.Pool{Now: clock.Now, Wait: clock.Wait})
	if err != nil {
		t.Fatal(err)
	}
	var turn sync.Mutex // calls come side by side, and handlers keep what they saw
	trip := manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		turn.Lock()
		status, body, header := handler(r)
		turn.Unlock()
		if status == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	sys, err := c.Open(t.Context(), connector.Settings{"token": "sandbox_1", "zone": "UTC"}, connector.Env{Sandbox: trip})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys, clock
}

// Each way of asking to slow down is understood, also on a page that is no JSON and with status 200.
func TestWaysToSlowDown(t *testing.T) {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	unix := strconv.FormatInt(start.Add(7*time.Second).Unix(), 10)
	tests := []struct {
		name, rule, body string
		status           int
		header           http.Header
		waits            time.Duration
	}{
		{"a pattern in the text of a page", `text: "come back in [0-9]+ s", afterMatch: "come back in ([0-9]+) s"`, "<html>Please come back in 4 s</html>", 503, nil, 4 * time.Second},
		{"a pattern in a message", `match: "quota", after: 3s`, `{"message": "the quota is used up"}`, 403, nil, 3 * time.Second},
		{"a header with a Unix time", `status: [429], afterFrom: "header:X-Reset"`, `{}`, 429, http.Header{"X-Reset": {unix}}, 7 * time.Second},
		{"a place in the body, in milliseconds", `code: [busy], afterFrom: wait, afterUnit: ms`, `{"code": "busy", "wait": 1500}`, 200, nil, 1500 * time.Millisecond},
		{"a length", `code: [busy], afterFrom: wait`, `{"code": "busy", "wait": "2s"}`, 200, nil, 2 * time.Second},
		{"nothing said: longer each time", `status: [430]`, `{}`, 430, nil, (1 + 2 + 4 + 8) * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			times := 1
			if test.waits == 15*time.Second {
				times = 4
			}
			sys, clock := timed(t, headed+`check: {path: /ping}
errors: {code: [code], message: [message], rules: [{`+test.rule+`, class: slow_down}]}
objects:
  things: {key: [id], fields: [{name: id}], list: {request: {path: /things}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/things/{key}"}}}
`, func(*http.Request) (int, string, http.Header) {
				if times--; times >= 0 {
					return test.status, test.body, test.header
				}
				return 200, "{}", nil
			})
			before := clock.Now()
			if err := sys.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := clock.Now().Sub(before); got < test.waits || got > test.waits+time.Second/2 {
				t.Errorf("it waited %s, not %s", got, test.waits)
			}
		})
	}
}

// A billed lookup is made once, whatever becomes of its answer; one that was not carried out is made again.
func TestOnlyOnce(t *testing.T) {
	source := func(once string) string {
		return headed + `objects:
  people:
    key: [id]
    lookup: true
    fields: [{name: id}, {name: email}]
    deletes: {mode: never}
    find: {one: true, fields: [email], request: {path: /find, query: {email: "{value}"}` + once + `}, record: "."}
`
	}
	for _, once := range []bool{false, true} {
		for _, lost := range []int{0, 500, 429} {
			calls := 0
			text := ""
			if once {
				text = ", once: true"
			}
			sys, _ := timed(t, source(text), func(*http.Request) (int, string, http.Header) {
				if calls++; calls == 1 {
					return lost, `{}`, nil
				}
				return 200, `{"id": "1", "email": "a@example.com"}`, nil
			})
			_, err := sys.(connector.Finder).Find(t.Context(), "people", nil, []record.Fields{{"email": "a@example.com"}})
			switch again := !once || lost == 429; {
			case again && (err != nil || calls != 2):
				t.Errorf("once %v, lost %d: %d calls, %v", once, lost, calls, err)
			case !again && (calls != 1 || connector.Classify(err).Code != "http.not_repeated" || connector.Classify(err).Class != connector.Reject):
				t.Errorf("once %v, lost %d: %d calls, %v", once, lost, calls, err)
			}
		}
	}
}

// A refusal names the field and the vendor's id of the request; what a body says is left is known.
func TestErrorsNameFieldAndRequest(t *testing.T) {
	sys, _ := timed(t, headed+`errors: {message: [error.text], field: [error.field], requestId: [error.trace, "header:X-Request-Id"]}
quota: [{body: true, remaining: left.now, of: left.all}]
objects:
  things:
    key: [id]
    fields: [{name: id, readOnly: true}, {name: name}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id}
`, func(*http.Request) (int, string, http.Header) {
		return 422, `{"error": {"text": "too short", "field": "name"}, "left": {"now": 3, "all": 60}}`, http.Header{"X-Request-Id": {"req_77"}}
	})
	got, err := sys.(connector.Writer).Write(t.Context(), "things", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"name": "x"}}})
	if err != nil || got[0].Outcome != connector.Refused {
		t.Fatalf("%+v, %v", got, err)
	}
	if says := connector.Classify(got[0].Err).Message; !strings.Contains(says, "too short (the field name) (its request req_77)") {
		t.Errorf("it says %s", says)
	}
	if q := sys.(connector.Gauged).Gauges().Quota; q == nil || q.Left != 3 || q.Of != 60 {
		t.Errorf("the quota is %+v", q)
	}
}

// However many records are asked for at once, an account that allows two calls at a time gets two.
func TestAtOnce(t *testing.T) {
	var running, most atomic.Int64
	second := make(chan struct{})
	sys := small(t, `manifest: 1
type: shop
title: Shop
summary: Shop.
baseUrl: BASE
limits: [{atOnce: 2}]
objects:
  things: {key: [id], fields: [{name: id}], list: {request: {path: /things}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/things/{key}"}}}
`, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for most.Load() < n && !most.CompareAndSwap(most.Load(), n) {
			continue
		}
		if n == 2 {
			select {
			case <-second:
			default:
				close(second)
			}
		}
		<-second // the first waits until another is under way beside it
		fmt.Fprintf(w, `{"id": %q}`, strings.TrimPrefix(r.URL.Path, "/things/"))
	})
	keys := []record.Key{"a", "b", "c", "d", "e", "f", "g"}
	got, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "things", nil, keys)
	if err != nil || len(got) != len(keys) || most.Load() != 2 {
		t.Errorf("%d records, %d at once, %v", len(got), most.Load(), err)
	}
}
