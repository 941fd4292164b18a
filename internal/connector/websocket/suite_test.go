// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/websocket"
	"github.com/syncline-dev/syncline/internal/record"
)

// server keeps a log of messages for each channel and tells it from any place, and takes records.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	logs  map[string][]string
	more  chan struct{}
	lost  map[string]chan struct{} // by channel; closed to cut the connections that listen to it
	made  int
	pongs int
	taken []string // what was written, as it came
	mute  int      // so many messages are taken and not acknowledged; the connection is then cut
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

func (s *server) cut(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lost[channel]) // whoever cuts was connected
	s.lost[channel] = make(chan struct{})
}

func (s *server) add(channel, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[channel] = append(s.logs[channel], message)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer good-token" {
		http.Error(w, "not with "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	if r.URL.Path != "/feed" {
		http.NotFound(w, r)
		return
	}
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	say := func(format string, args ...any) { _ = c.Write(ctx, ws.MessageText, fmt.Appendf(nil, format, args...)) }
	say(`{"type": "ping"}`)
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			Type, Channel string
			After         int
			Op, ID, Key   string
			Record        map[string]any
		}
		if json.Unmarshal(b, &m) != nil {
			return
		}
		switch {
		case m.Type == "pong":
			s.mu.Lock()
			s.pongs++
			s.mu.Unlock()
		case m.Type == "subscribe" && m.Channel == "secret":
			say(`{"type": "error", "message": "not for you"}`)
		case m.Type == "subscribe":
			s.mu.Lock()
			lost := s.lost[m.Channel]
			if lost == nil {
				lost = make(chan struct{})
				s.lost[m.Channel] = lost
			}
			s.mu.Unlock()
			go func() {
				for at := m.After; ; {
					s.mu.Lock()
					log, more := s.logs[m.Channel], s.more
					s.mu.Unlock()
					for ; at < len(log); at++ {
						say(log[at], at+1)
					}
					select {
					case <-more:
					case <-lost:
						_ = c.CloseNow()
						return
					case <-ctx.Done():
						return
					}
				}
			}()
		case m.Op != "":
			s.mu.Lock()
			s.taken = append(s.taken, string(b))
			mute := s.mute > 0
			if mute {
				s.mute--
			}
			last := mute && s.mute == 0
			s.mu.Unlock()
			switch {
			case last:
				return
			case mute:
			case m.Record["name"] == "nobody":
				say(`{"ack": %q, "error": {"message": "no such name"}}`, m.ID)
			default:
				say(`{"ack": %q}`, m.ID)
			}
		}
	}
}

func settings(s *server, objects string) connector.Settings {
	return connector.Settings{"url": "ws" + strings.TrimPrefix(s.URL, "http") + "/feed", "objects": objects, "accessToken": "good-token",
		"subscribe": `{"type": "subscribe", "channel": "{object}"}`, "resume": `{"type": "subscribe", "channel": "{object}", "after": "{token}"}`, "token": "seq",
		"type": "type", "types": "changed", "deleteTypes": "gone", "errorTypes": "error", "record": "data.record", "pingType": "ping", "pong": `{"type": "pong"}`, "ack": "ack", "ackError": "error.message"}
}

func with(s connector.Settings, name, value string) connector.Settings {
	out := connector.Settings{}
	for k, v := range s {
		out[k] = v
	}
	out[name] = value
	return out
}

func TestSuite(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("s%d", i))
	}
	good := settings(s, strings.Join(names, ","))
	say := func(object record.Object, typ string, fields record.Fields) {
		body := strings.ReplaceAll(string(record.AppendJSON(nil, map[string]any(fields))), "%", "%%")
		s.add(string(object), `{"type": "`+typ+`", "seq": %d, "data": {"record": `+body+`}}`)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pongs == 0 {
			t.Error("no ping was answered")
		}
	})
	connectortest.RunStreamed(t, connectortest.Streamed{
		Connector: websocket.New(), Settings: good, Judge: "a server of the test, made with coder/websocket", Appends: true, Env: connector.Env{Dial: (&net.Dialer{}).DialContext},
		Bad: []connector.Settings{with(good, "accessToken", "wrong-token"), with(good, "url", strings.Replace(good["url"], "/feed", "/elsewhere", 1)), with(good, "url", "https://elsewhere"), with(good, "resume", "{"), with(good, "token", ""), with(good, "type", "")},
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
		Raw: func(_ testing.TB, o record.Object) {
			s.add(string(o), `{"type": "changed", "seq": %d, "data": {"record": {"name": "who?"}}}`)
		},
		Cut: func(o record.Object) { s.cut(string(o)) },
		Not: map[card.Line]string{card.Limit: "one connection stays open, and no calls are made", card.Expired: "the token comes with the settings; one that ended is refused as bad credentials"},
	})
}

func open(t *testing.T, settings connector.Settings) connector.System {
	t.Helper()
	checked, err := websocket.New().Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := websocket.New().Open(t.Context(), checked, connector.Env{Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys
}

func write(id int, name string) connector.Write {
	return connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(int64(id)), "name": name}}
}

// Each write is a message in the form of the settings; what is acknowledged is delivered, what is refused is told with its reason.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "websocket", card.Partial)
	s := newServer(t)
	sys := open(t, settings(s, "contacts"))
	gone := connector.Write{ID: record.NewEntityID(), Op: record.Delete, Key: "2"}
	got, err := sys.(connector.Writer).Write(t.Context(), "contacts", []connector.Write{write(1, "Ada"), write(2, "nobody"), gone})
	if err != nil || got[0].Outcome != connector.Applied || got[1].Outcome != connector.Refused || !strings.Contains(got[1].Err.Error(), "no such name") || got[2].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var first, last map[string]any
	if json.Unmarshal([]byte(s.taken[0]), &first) != nil || json.Unmarshal([]byte(s.taken[2]), &last) != nil {
		t.Fatalf("it took %v", s.taken)
	}
	if first["op"] != "upsert" || first["object"] != "contacts" || first["key"] != "1" || first["record"].(map[string]any)["name"] != "Ada" || last["op"] != "delete" || last["record"] != nil || last["key"] != "2" {
		t.Errorf("it took %v", s.taken)
	}
}

// What was not acknowledged when the connection broke is not said to be delivered; sent again it has the same id.
func TestUnacknowledged(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "websocket", card.Unknown, card.Twice)
	s := newServer(t)
	sys := open(t, settings(s, "contacts"))
	s.mu.Lock()
	s.mute = 2
	s.mu.Unlock()
	batch := []connector.Write{write(1, "Ada"), write(2, "Bob")}
	if got, err := sys.(connector.Writer).Write(t.Context(), "contacts", batch); err == nil || connector.Classify(err).Class != connector.Retry {
		t.Fatalf("what was not acknowledged gave %+v, %v", got, err)
	}
	got, err := sys.(connector.Writer).Write(t.Context(), "contacts", batch)
	if err != nil || got[0].Outcome != connector.Applied || got[1].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]int{}
	for _, text := range s.taken {
		var m struct{ ID string }
		_ = json.Unmarshal([]byte(text), &m)
		ids[m.ID]++
	}
	if len(ids) != 2 || len(s.taken) != 4 {
		t.Errorf("it took %v", s.taken)
	}
}

// Without acknowledgements a message counts when it was sent, and the setting's own form is kept.
func TestWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	plain := with(with(settings(s, "contacts"), "ack", ""), "send", `{"op": "set", "record": "{record}", "note": "for {key} of {object}"}`)
	sys := open(t, plain)
	got, err := sys.(connector.Writer).Write(t.Context(), "contacts", []connector.Write{write(1, "Ada")})
	if err != nil || got[0].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		s.mu.Lock()
		taken := strings.Join(s.taken, "")
		s.mu.Unlock()
		if strings.Contains(taken, `"note":"for 1 of contacts"`) && strings.Contains(taken, `"name":"Ada"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it took %s", taken)
		}
	}
}

// A subscription that is refused stops the reading with the server's words.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	sys := open(t, settings(s, "secret"))
	page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "secret", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = sys.(connector.Watcher).Watch(ctx, []record.Object{"secret"}, func(o record.Object) {
		_, _ = sys.(connector.Reader).Read(ctx, connector.ReadRequest{Object: o, Cursor: page.Cursor, Limit: 10})
	})
	var e *connector.Error
	if !errors.As(err, &e) || e.Code != "websocket.refused" || e.Class != connector.Reconnect || !strings.Contains(e.Message, "not for you") {
		t.Errorf("a refused subscription gave %v", err)
	}
}
