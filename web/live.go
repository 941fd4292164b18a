// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
)

func (h *Handler) routesLive(r chi.Router) { r.Get("/live", h.anybody(h.live)) }

// live is the stream of server-sent events that every open page reads (js/85-live.js). It says only that something moved
// and where; the page asks for its parts again, with its reader's own permissions. An event carries the id of the last of
// our events that it stands for, so a browser that was away goes on from there. It ends with the session.
func (h *Handler) live(v *visit) error {
	if !v.in {
		v.w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	if err := v.who.May(auth.ViewServices); err != nil {
		v.w.WriteHeader(http.StatusForbidden)
		return nil
	}
	news := h.Hub.Subscribe(v.who.Tenant) // before the present end is read, or something falls between
	defer news.Close()
	last := v.r.Header.Get("Last-Event-ID")
	if last == "" {
		var err error
		if _, last, err = h.Events(v.ctx(), v.who.Tenant, "", 0); err != nil {
			return err
		}
	}
	s := &stream{w: v.w, flush: http.NewResponseController(v.w).Flush}
	head := v.w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no") // proxies of the nginx family
	s.write("retry: 1000\nid: " + last + "\nevent: hello\ndata: {}\n\n")
	beat := time.NewTicker(h.heartbeats)
	defer beat.Stop()
	late := time.NewTimer(time.Hour)
	late.Stop()
	defer late.Stop()
	token := h.token(v.r)
	expected, tries := false, 0 // there were news, but their event cannot be seen yet
	for {
		for {
			list, next, err := h.Events(v.ctx(), v.who.Tenant, last, 500)
			if err != nil {
				return h.streamEnd(v.ctx(), err)
			}
			last = next
			if len(list) > 0 {
				expected = false
			}
			for _, t := range tell(list) {
				s.say(last, t)
			}
			if len(list) < 500 {
				break
			}
		}
		// Events are told in the order of commits, so one waits for transactions that began before it, and its news may
		// come before it can be seen.
		if expected && tries < 8 {
			late.Reset(20 * time.Millisecond << tries)
			tries++
		}
		if s.err != nil {
			return nil // nobody reads any more
		}
		select {
		case <-v.ctx().Done():
			return nil
		case <-news.News():
			expected, tries = true, 0
		case <-late.C:
		case <-beat.C:
			// Whoever was signed out, removed or moved to another tenant hears nothing more.
			now, err := h.Auth.BySession(v.ctx(), token)
			switch {
			case fault.KindOf(err) == fault.Unauthenticated, err == nil && now.Tenant.ID != v.who.Tenant:
				s.write("event: ended\ndata: {}\n\n")
				return nil
			case err != nil:
				return h.streamEnd(v.ctx(), err)
			}
			s.write(": still here\n\n")
		}
	}
}

// streamEnd ends a stream that has begun: there is no answer left to give, and the browser comes back by itself.
func (h *Handler) streamEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		h.Log.WarnContext(ctx, "a live stream ended", "request", requestID(ctx), "error", err)
	}
	return nil
}

// stream writes server-sent events.
type stream struct {
	w     http.ResponseWriter
	flush func() error
	err   error
}

func (s *stream) write(text string) {
	if s.err != nil {
		return
	}
	if _, s.err = s.w.Write([]byte(text)); s.err == nil {
		s.err = s.flush()
	}
}

func (s *stream) say(id string, t told) {
	data, err := json.Marshal(map[string]string{"subject": t.subject})
	if err != nil {
		s.err = err
		return
	}
	s.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", id, t.kind, data))
}

// told is one word to the browsers: what kind of thing moved, and of which service ("" for none).
type told struct {
	kind    string
	subject string
}

// kinds says which parts of pages look again when an event is told:
//
//	state       the state, revision and name of a service
//	service     lag, what is owed, what is wrong
//	journal     what the engine has just done with records
//	run         runs and their progress
//	conflict    the inbox
//	deadletter  the list of dead letters
//	hold        what the brake holds
//	plan        plans that are being made
//	proof       the proof of equality
//	connection  health of connections
//	summary     the overview; said with each of the others
func kinds(event string) []string {
	switch first, _, _ := strings.Cut(event, "."); first {
	case "activity":
		return []string{"journal", "service"}
	case "run":
		return []string{"run", "service"}
	case "conflict":
		return []string{"conflict", "journal", "service"}
	case "hold":
		return []string{"hold", "service"}
	case "plan":
		return []string{"plan"}
	case "proof":
		if event == "proof.progress" {
			return []string{"proof"}
		}
		return []string{"proof", "service"}
	case "dead_letter":
		return []string{"deadletter", "service"}
	case "invoice":
		return []string{"invoice"}
	case "connection":
		return []string{"connection", "service"}
	case "service":
		return []string{"state", "service"}
	}
	return []string{"service"}
}

// tell sums events up: each kind once per service, in the order of their first occurrence.
func tell(list []Event) (out []told) {
	seen := map[told]bool{}
	add := func(t told) {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	for _, e := range list {
		subject := ""
		if e.Service != (service.ID{}) {
			subject = e.Service.Public()
		}
		for _, k := range kinds(e.Type) {
			add(told{k, subject})
		}
		add(told{"summary", ""})
	}
	return out
}
