// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Vendor is what differs between simulators.
type Vendor interface {
	// Type is the connector's type.
	Type() string
	// Tables are what a person sees and edits in the playground.
	Tables() []TableInfo
	// Seed fills a new account.
	Seed(w *World)
	// Serve answers a call. The world is locked.
	Serve(x *Exchange)
	// Message makes the webhook message for a change, nil for none.
	Message(w *World, hook Hook, e Event) *http.Request
}

// TableInfo describes a table to people.
type TableInfo struct {
	Name    string   // as in the world
	Title   string   // "Contacts"
	Object  string   // the connector's name of it
	Columns []string // fields to show and edit, in order
}

// Event is a change that vendors tell of.
type Event struct {
	Table  string
	Op     string // created, updated, deleted, restored
	ID     string
	Fields []string // that changed
	At     time.Time
	Number int64
}

// Exchange is a call being answered.
type Exchange struct {
	W      *World
	Method string
	Path   string
	Steps  []string // the path's
	Query  url.Values
	Header http.Header
	Raw    []byte
	Body   any // the JSON, nil when it is none
	Form   url.Values
	Base   string // scheme and host as the caller has it

	Status int
	Answer any // marshalled as JSON; nil is an empty body
	Reply  http.Header
	Events []Event
}

// Say answers.
func (x *Exchange) Say(status int, answer any) {
	x.Status, x.Answer = status, answer
}

// Tell notes a change for webhooks.
func (x *Exchange) Tell(table, op, id string, fields ...string) {
	x.Events = append(x.Events, Event{Table: table, Op: op, ID: id, Fields: fields, At: x.W.Now(), Number: x.W.Seq})
}

// Bearer is the token in Authorization.
func (x *Exchange) Bearer() string {
	t, _ := strings.CutPrefix(x.Header.Get("Authorization"), "Bearer ")
	return t
}

// Allowed says whether an access token is good: it was given out and has not ended, or it is one of a sandbox.
func (x *Exchange) Allowed(token string) bool {
	if t, known := x.W.Tokens[token]; known {
		return t.Expires.IsZero() || x.W.Now().Before(t.Expires)
	}
	return strings.HasPrefix(token, "sandbox_")
}

// Grant gives out a new access token.
func (x *Exchange) Grant(lives time.Duration) string {
	x.W.Seq++
	token := fmt.Sprintf("sandboxtoken-%d-%d", x.W.Seq, x.W.Now().UnixNano())
	x.W.Tokens[token] = Token{Expires: x.W.Now().Add(lives)}
	return token
}

// Fault is trouble by script.
type Fault struct {
	Name    string            `json:"name,omitempty"`   // whatever planted it calls it
	Method  string            `json:"method,omitempty"` // "": any
	Path    string            `json:"path,omitempty"`   // regular expression; "": any
	Chance  float64           `json:"chance,omitempty"` // 0: always
	Times   int               `json:"times,omitempty"`  // how often; 0: without end
	Status  int               `json:"status,omitempty"`
	Header  map[string]string `json:"header,omitempty"`
	Body    string            `json:"body,omitempty"`
	Applied bool              `json:"applied,omitempty"` // the call is carried out all the same, and its answer lost
	Drop    bool              `json:"drop,omitempty"`    // no answer: the connection breaks
	Delay   time.Duration     `json:"delay,omitempty"`
	Expire  bool              `json:"expire,omitempty"` // all tokens end first
	Lost    bool              `json:"lost,omitempty"`   // webhooks: the message is not sent
	Double  bool              `json:"double,omitempty"` // webhooks: it is sent twice
}

func (f *Fault) webhook() bool { return f.Lost || f.Double }

// Server is one account at a vendor.
type Server struct {
	vendor Vendor
	// Send carries a webhook message out; nil drops them. It is called without the lock, in order.
	Send func(ctx context.Context, r *http.Request)
	// Judge sees every call before it is answered, for tests that hold it against the vendor's description.
	Judge func(r *http.Request, body []byte)
	// Sleep waits for a fault's delay; nil is a timer.
	Sleep func(ctx context.Context, d time.Duration)

	mu sync.Mutex
	w  *World

	sending sync.Mutex
	calls   map[string]int
}

// NewServer serves a world. An empty one is seeded when seed is set.
func NewServer(v Vendor, w *World, seed bool) *Server {
	if seed {
		v.Seed(w)
	}
	return &Server{vendor: v, w: w, calls: make(map[string]int)}
}

// Vendor is whose account it is.
func (s *Server) Vendor() Vendor { return s.vendor }

// Do runs f with the world locked, then sends what it told of: this is how people and tests edit.
func (s *Server) Do(ctx context.Context, f func(x *Exchange)) {
	s.mu.Lock()
	x := &Exchange{W: s.w, Reply: http.Header{}}
	f(x)
	messages := s.messages(x)
	s.mu.Unlock()
	s.post(ctx, messages)
}

// Plant adds faults.
func (s *Server) Plant(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.Faults = append(s.w.Faults, faults...)
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.Faults = nil
}

// Calls counts what was called, by method and path with ids replaced.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

var idStep = regexp.MustCompile(`/(\d+|[A-Za-z0-9]{15,18})(/|$)`)

// errDropped is a connection that broke.
var errDropped = errors.New("the connection was closed")

// RoundTrip answers in process.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	if s.Judge != nil {
		s.Judge(r, body)
	}
	x, err := s.answer(r, body)
	if err != nil {
		return nil, err
	}
	var out []byte
	if x.Answer != nil {
		if out, err = json.Marshal(x.Answer); err != nil {
			return nil, err
		}
		if text, ok := x.Answer.(string); ok {
			out = []byte(text)
		}
	}
	if x.Reply.Get("Content-Type") == "" && out != nil {
		x.Reply.Set("Content-Type", "application/json")
	}
	return &http.Response{StatusCode: x.Status, Status: http.StatusText(x.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: x.Reply, Body: io.NopCloser(bytes.NewReader(out)), ContentLength: int64(len(out)), Request: r}, nil
}

// ServeHTTP answers over HTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Host == "" {
		r.URL.Host, r.URL.Scheme = r.Host, "http"
	}
	res, err := s.RoundTrip(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	defer res.Body.Close()
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

func (s *Server) answer(r *http.Request, body []byte) (*Exchange, error) {
	s.mu.Lock()
	x := &Exchange{W: s.w, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header, Raw: body, Reply: http.Header{}, Base: r.URL.Scheme + "://" + r.URL.Host}
	x.Steps = strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		x.Form, _ = url.ParseQuery(string(body))
	} else if len(body) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		_ = d.Decode(&x.Body)
	}
	s.calls[x.Method+" "+idStep.ReplaceAllString(x.Path, "/{id}$2")]++
	fault := s.fault(x)
	if fault != nil {
		if fault.Expire {
			for name, t := range s.w.Tokens {
				t.Expires = s.w.Now().Add(-time.Second)
				s.w.Tokens[name] = t
			}
			fault = nil
		}
	}
	if fault == nil || fault.Applied || fault.Status == 0 && !fault.Drop {
		s.vendor.Serve(x)
		if x.Status == 0 {
			x.Say(http.StatusNotFound, map[string]any{"message": "no such address"})
		}
	}
	messages := s.messages(x)
	s.mu.Unlock()
	if fault != nil && fault.Delay > 0 {
		s.sleep(r.Context(), fault.Delay)
	}
	s.post(r.Context(), messages)
	x.Reply.Set("Date", s.w.Now().Format(http.TimeFormat))
	if fault == nil {
		return x, nil
	}
	if fault.Drop {
		return nil, errDropped
	}
	if fault.Status != 0 {
		x.Say(fault.Status, fault.Body)
		for k, v := range fault.Header {
			x.Reply.Set(k, v)
		}
	}
	return x, nil
}

func (s *Server) sleep(ctx context.Context, d time.Duration) {
	if s.Sleep != nil {
		s.Sleep(ctx, d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// fault takes the fault that meets the call; the lock is held.
func (s *Server) fault(x *Exchange) *Fault {
	for i := range s.w.Faults {
		f := s.w.Faults[i]
		if f.webhook() || f.Method != "" && f.Method != x.Method || f.Chance > 0 && !s.w.Chance(f.Chance) {
			continue
		}
		if f.Path != "" {
			if ok, _ := regexp.MatchString(f.Path, x.Path); !ok {
				continue
			}
		}
		s.used(i)
		return &f
	}
	return nil
}

func (s *Server) used(i int) {
	if s.w.Faults[i].Times == 1 {
		s.w.Faults = append(s.w.Faults[:i:i], s.w.Faults[i+1:]...)
	} else if s.w.Faults[i].Times > 1 {
		s.w.Faults[i].Times--
	}
}

// messages makes the webhook messages of what was told; the lock is held.
func (s *Server) messages(x *Exchange) []*http.Request {
	var out []*http.Request
	for _, e := range x.Events {
		for _, h := range s.w.Hooks {
			times := 1
			for i := range s.w.Faults {
				f := s.w.Faults[i]
				if !f.webhook() || f.Chance > 0 && !s.w.Chance(f.Chance) {
					continue
				}
				if times = 2; f.Lost {
					times = 0
				}
				s.used(i)
				break
			}
			for range times {
				if r := s.vendor.Message(s.w, h, e); r != nil {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

func (s *Server) post(ctx context.Context, messages []*http.Request) {
	if s.Send == nil || len(messages) == 0 {
		return
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	for _, m := range messages {
		s.Send(ctx, m)
	}
}
