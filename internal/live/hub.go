// SPDX-License-Identifier: Apache-2.0

// Package live brings PostgreSQL's notifications to every open browser: "your tenant has news", no data, so that a reader
// who missed ten of them looks once.
package live

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/tenant"
)

// Listener is an open connection that waits for notifications.
type Listener interface {
	// Wait returns the next notification; after an error the listener is only closed.
	Wait(ctx context.Context) (channel, payload string, err error)
	Close()
}

// Listen opens a connection that hears these channels from the moment it returns.
type Listen func(ctx context.Context, channels ...string) (Listener, error)

// How long the hub waits before it connects again: doubled from the first to the last, each time shortened by chance.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Hub listens on one connection and tells subscribers and handlers.
type Hub struct {
	listen   Listen
	news     string
	log      *slog.Logger
	handlers map[string]func(payload string)
	anyNews  []func()

	mu        sync.Mutex
	listening bool
	tenants   map[tenant.ID]map[*Subscription]struct{}
}

// NewHub makes a hub; news is the channel whose payload is the bare id of a tenant with something new.
func NewHub(listen Listen, news string, log *slog.Logger) *Hub {
	return &Hub{listen: listen, news: news, log: log, handlers: map[string]func(string){}, tenants: map[tenant.ID]map[*Subscription]struct{}{}}
}

// Handle calls wake for each notification on the channel, and with an empty payload whenever some may have been missed. To
// be called before Run; wake must not block.
func (h *Hub) Handle(channel string, wake func(payload string)) { h.handlers[channel] = wake }

// HandleNews calls wake whenever any tenant has news, and whenever some may have been missed. To be called before Run; wake must
// not block.
func (h *Hub) HandleNews(wake func()) { h.anyNews = append(h.anyNews, wake) }

// Run listens until ctx ends, connecting again whenever the connection is lost. It returns ctx's error.
func (h *Hub) Run(ctx context.Context) error {
	pause := firstPause
	for {
		heard, err := h.once(ctx)
		h.setListening(false)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			pause = firstPause
		}
		h.log.WarnContext(ctx, "live updates are interrupted; connecting again", "error", err, "pause", pause)
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// once listens on one connection until it fails; heard says whether it ever listened.
func (h *Hub) once(ctx context.Context) (heard bool, err error) {
	channels := []string{h.news}
	for c := range h.handlers {
		channels = append(channels, c)
	}
	l, err := h.listen(ctx, channels...)
	if err != nil {
		return false, err
	}
	defer l.Close()
	h.setListening(true)
	// Whatever was sent while nobody listened is lost, so everybody looks.
	h.tellAll()
	for {
		channel, payload, err := l.Wait(ctx)
		if err != nil {
			return true, err
		}
		if wake := h.handlers[channel]; wake != nil {
			wake(payload)
			continue
		}
		if id, err := tenant.ParseID(payload); err == nil {
			for _, wake := range h.anyNews {
				wake()
			}
			h.tell(id)
		}
	}
}

func (h *Hub) setListening(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = on
}

// Listening says whether news arrive at the moment; when not, they come late, not never.
func (h *Hub) Listening() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listening
}

func (h *Hub) tell(id tenant.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.tenants[id] {
		s.nudge()
	}
}

func (h *Hub) tellAll() {
	for _, wake := range h.handlers {
		wake("")
	}
	for _, wake := range h.anyNews {
		wake()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, subs := range h.tenants {
		for s := range subs {
			s.nudge()
		}
	}
}

// Subscription is one reader's place at the hub.
type Subscription struct {
	hub    *Hub
	tenant tenant.ID
	news   chan struct{}
}

// Subscribe tells of the tenant's news until Close. Subscribe first and read the present state then, or something falls
// between.
func (h *Hub) Subscribe(id tenant.ID) *Subscription {
	s := &Subscription{hub: h, tenant: id, news: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tenants[id] == nil {
		h.tenants[id] = map[*Subscription]struct{}{}
	}
	h.tenants[id][s] = struct{}{}
	return s
}

// News receives once for any number of notifications since the last receive: a slow reader delays nobody.
func (s *Subscription) News() <-chan struct{} { return s.news }

// Close ends the subscription; it may be called more than once.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.tenants[s.tenant], s)
	if len(s.hub.tenants[s.tenant]) == 0 {
		delete(s.hub.tenants, s.tenant)
	}
}

func (s *Subscription) nudge() {
	select {
	case s.news <- struct{}{}:
	default: // it has not looked since the last one
	}
}
