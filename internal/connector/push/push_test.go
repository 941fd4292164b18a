// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"

	"github.com/syncline-dev/syncline/internal/connector"
)

// What a stream says is what the standard says it says, however it is cut into pieces.
func TestEvents(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, stream, want string }{
		{"one", "data: a\n\n", "message//a"},
		{"lines", "data: a\ndata:b\ndata\n\n", "message//a|b|"},
		{"all line ends", "data: a\r\ndata: b\rdata: c\n\r\n", "message//a|b|c"},
		{"comments are none", ": beat\n\n:\ndata: a\n\n", "message//a"},
		{"types and ids", "event: add\nid: 7\ndata: a\n\ndata: b\n\n", "add/7/a message/7/b"},
		{"an id alone counts", "id: 8\n\ndata: a\n\n", "message/8/a"},
		{"an id is taken back", "id: 8\ndata: a\n\nid\ndata: b\n\n", "message/8/a message//b"},
		{"an id with a zero is none", "id: 8\ndata: a\n\nid: 9\x00\ndata: b\n\n", "message/8/a message/8/b"},
		{"no data is no event", "event: add\n\ndata: a\n\n", "message//a"},
		{"one space", "data:  a\n\n", "message// a"},
		{"a mark at the beginning", "\ufeffdata: a\n\n", "message//a"},
		{"unknown names", "datum: x\ndata: a\n\n", "message//a"},
		{"cut off", "data: a\n\ndata: b\n", "message//a"},
		{"empty data", "data\n\n", "message//"},
	}
	for _, test := range tests {
		for way, piece := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader} {
			e := &Events{c: &Client{}, ctx: t.Context(), lines: &lines{r: piece(strings.NewReader(test.stream))}}
			var got []string
			for {
				ev, err := e.Next()
				if err != nil {
					if connector.Classify(err).Class != connector.Retry {
						t.Errorf("%s: the end gave %v", test.name, err)
					}
					break
				}
				got = append(got, fmt.Sprintf("%s/%s/%s", ev.Type, ev.ID, strings.ReplaceAll(string(ev.Data), "\n", "|")))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s, %s: got %q, want %q", test.name, way, got, test.want)
			}
		}
	}
	endless := &Events{c: &Client{}, ctx: t.Context(), lines: &lines{r: iotest.DataErrReader(strings.NewReader("data: " + strings.Repeat("x", MaxMessage+100_000)))}}
	if _, err := endless.Next(); connector.Classify(err).Code != "push.too_large" {
		t.Errorf("an endless line gave %v", err)
	}
}

// Streams go on where they are asked to, what is no stream is said, and silence ends one.
func TestStreams(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "retry: 1500\nid: 2\ndata: behind %s\n\n", r.Header.Get("Last-Event-ID"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/silence":
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/elsewhere":
			http.Redirect(w, r, "/stream", http.StatusFound)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/closed":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "not with secret-word")
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	}))
	t.Cleanup(s.Close)
	c := New(connector.Env{}, "secret-word")
	e, err := c.Events(t.Context(), http.MethodGet, s.URL+"/stream", nil, "", "1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := e.Next(); err != nil || string(ev.Data) != "behind 1" || ev.ID != "2" || e.Retry != 1500*time.Millisecond {
		t.Errorf("got %+v, %v, retry %s", ev, err, e.Retry)
	}
	e.Close()
	silent, err := c.Events(t.Context(), http.MethodGet, s.URL+"/silence", nil, "", "", 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Next(); !errors.Is(err, ErrIdle) && !strings.Contains(fmt.Sprint(err), ErrIdle.Error()) || connector.Classify(err).Class != connector.Retry {
		t.Errorf("silence gave %v", err)
	}
	for path, want := range map[string]connector.Class{"/elsewhere": connector.Reconnect, "/nothing": connector.Retry, "/busy": connector.SlowDown, "/closed": connector.Reconnect, "/page": connector.Reconnect} {
		_, err := c.Events(t.Context(), http.MethodGet, s.URL+path, nil, "", "", 0)
		k := connector.Classify(err)
		if err == nil || k.Class != want || strings.Contains(err.Error(), "secret-word") || path == "/busy" && k.After != 7*time.Second {
			t.Errorf("%s gave %v", path, err)
		}
	}
	refused := New(connector.Env{Dial: nil})
	s.Close()
	if _, err := refused.Events(t.Context(), http.MethodGet, s.URL, nil, "", "", 0); connector.Classify(err).Class != connector.Retry {
		t.Errorf("nobody there gave %v", err)
	}
}

// A peer that is gone without a word is noticed, and a close says why.
func TestSockets(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			_, _ = io.WriteString(w, "<html>")
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"known"}})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		switch r.URL.Path {
		case "/echo":
			_, b, _ := conn.Read(r.Context())
			_ = conn.Write(r.Context(), websocket.MessageText, b)
			_ = conn.Close(4401, "who are you?")
		case "/mute": // reads nothing, so answers no ping
			<-r.Context().Done()
		}
	}))
	t.Cleanup(s.Close)
	at := "ws" + strings.TrimPrefix(s.URL, "http")
	c := New(connector.Env{})
	socket, err := c.Dial(t.Context(), at+"/echo", nil, "known")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Write(t.Context(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if b, err := socket.Read(t.Context()); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := socket.Read(t.Context()); Code(err) != 4401 || connector.Classify(err).Class != connector.Reconnect {
		t.Errorf("a close gave %v", err)
	}
	if socket, err = c.Dial(t.Context(), at+"/mute", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go socket.Beat(ctx, 20*time.Millisecond)
	if _, err := socket.Read(t.Context()); connector.Classify(err).Class != connector.Retry {
		t.Errorf("a mute peer gave %v", err)
	}
	if _, err := c.Dial(t.Context(), at+"/mute", nil, "unknown"); connector.Classify(err).Code != "push.no_protocol" {
		t.Errorf("another protocol gave %v", err)
	}
	if _, err := c.Dial(t.Context(), at+"/page", nil); connector.Classify(err).Code != "push.no_stream" {
		t.Errorf("a page gave %v", err)
	}
}
