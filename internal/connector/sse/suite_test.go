// SPDX-License-Identifier: Apache-2.0

package sse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sse"
	"github.com/syncline-dev/syncline/internal/record"
)

// server keeps a log of events for each stream and tells it from any place.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	logs  map[string][]string      // type, a blank, data
	more  chan struct{}            // closed when something is added
	lost  map[string]chan struct{} // by stream; closed to cut its connections
	made  int
	asked []string // Last-Event-ID of each request
}

func newServer(t *testing.T) *server {
	s := &server{logs: map[string][]string{}, more: make(chan struct{}), lost: map[string]chan struct{}{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.mu.Lock()
		for _, lost := range s.lost {
			close(lost)
		}
		clear(s.lost)
		s.mu.Unlock()
		s.Close()
	})
	return s
}

func (s *server) cut(object string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lost[object]) // whoever cuts was connected
	s.lost[object] = make(chan struct{})
}

func (s *server) add(object, typ, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[object] = append(s.logs[object], typ+" "+data)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer good-token" {
		http.Error(w, "not with "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	object, ok := strings.CutPrefix(r.URL.Path, "/streams/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Get("Last-Event-ID"))
	lost := s.lost[object]
	if lost == nil {
		lost = make(chan struct{})
		s.lost[object] = lost
	}
	s.mu.Unlock()
	at, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, "retry: 5\n: welcome\n\n")
	flush := http.NewResponseController(w)
	for {
		_ = flush.Flush()
		s.mu.Lock()
		log, more, gone := s.logs[object], s.more, s.lost[object] != lost
		s.mu.Unlock()
		if gone { // what was added behind the cut is not told on this connection, though more is closed as well
			panic(http.ErrAbortHandler)
		}
		for ; at < len(log); at++ {
			typ, data, _ := strings.Cut(log[at], " ")
			_, _ = fmt.Fprintf(w, "event: %s\nid: %d\ndata: %s\n\n: beat\n\n", typ, at+1, data)
		}
		_ = flush.Flush()
		select {
		case <-more:
		case <-lost:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}

func settings(s *server, objects string) connector.Settings {
	return connector.Settings{"url": s.URL + "/streams/{object}", "objects": objects, "accessToken": "good-token", "types": "changed", "deleteTypes": "gone", "record": "payload.after"}
}

const (
	tokenGiven = "the token comes with the settings; one that ended is refused as bad credentials"
	readOnly   = "nothing is written there"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("s%d", i))
	}
	good := settings(s, strings.Join(names, ","))
	with := func(name, value string) connector.Settings {
		out := settings(s, good["objects"])
		out[name] = value
		return out
	}
	say := func(object record.Object, typ string, fields record.Fields) {
		s.add(string(object), typ, fmt.Sprintf(`{"payload": {"after": %s}}`, record.AppendJSON(nil, map[string]any(fields))))
	}
	connectortest.RunStreamed(t, connectortest.Streamed{
		Connector: sse.New(), Settings: good, Judge: "a server of the test, by the WHATWG standard", Env: connector.Env{Dial: (&net.Dialer{}).DialContext},
		Bad: []connector.Settings{with("accessToken", "wrong-token"), with("url", s.URL+"/elsewhere/{object}"), with("url", "ftp://elsewhere"), with("url", s.URL+"/streams/one")},
		Create: func(*testing.T) record.Object {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.made++
			return record.Object(names[s.made])
		},
		Say: func(_ testing.TB, o record.Object, f record.Fields) { say(o, "changed", f) },
		Drop: func(_ testing.TB, o record.Object, id int) {
			say(o, "gone", record.Fields{"id": record.Int(int64(id))})
		},
		Raw: func(_ testing.TB, o record.Object) { s.add(string(o), "changed", "just text") },
		Cut: func(o record.Object) { s.cut(string(o)) },
		Not: map[card.Line]string{card.Limit: "one connection stays open, and no calls are made", card.Expired: tokenGiven, card.Partial: readOnly, card.Unknown: readOnly},
	})
}

// After an interruption the server is asked for what came behind the last event, and events of other types move the place, too.
func TestLastEventID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	spec := sse.New().Spec()
	checked, err := spec.Check(settings(s, "contacts"))
	if err != nil {
		t.Fatal(err)
	}
	sys, err := sse.New().Open(t.Context(), checked, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sys.Close() }()
	s.add("contacts", "changed", `{"payload": {"after": {"id": 1}}}`)
	s.add("contacts", "noise", `whatever`)
	s.add("contacts", "changed", `{"payload": {"after": {"id": 2}}}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wakes := make(chan record.Object, 100)
	go func() {
		_ = sys.(connector.Watcher).Watch(ctx, []record.Object{"contacts"}, func(o record.Object) { wakes <- o })
	}()
	var cursor record.Cursor
	seen := map[record.Key]int{}
	until := func(n int) {
		for len(seen) < n {
			page, err := sys.(connector.Reader).Read(ctx, connector.ReadRequest{Object: "contacts", Cursor: cursor, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			cursor = page.Cursor
			for _, c := range page.Changes {
				seen[c.Key]++
			}
			if !page.More && len(seen) < n {
				select {
				case <-wakes:
				case <-ctx.Done():
					t.Fatalf("only %v came", seen)
				}
			}
		}
	}
	until(2)
	s.cut("contacts")
	s.add("contacts", "changed", `{"payload": {"after": {"id": 3}}}`)
	until(3)
	if seen["1"] != 1 || seen["2"] != 1 || seen["3"] != 1 {
		t.Errorf("events came so often: %v", seen)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.asked); n < 2 || s.asked[0] != "" || s.asked[n-1] != "3" {
		t.Errorf("asked for what came behind %q", s.asked)
	}
	if _, writes := sys.(connector.Writer); writes {
		t.Error("a source can be written to")
	}
}
