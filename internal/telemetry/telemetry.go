// SPDX-License-Identifier: Apache-2.0

// Package telemetry is what the program says of itself: one wide log event per request, run and job, with every secret
// left out, and metrics.
//
// Success is a metric; a log line of its own is for someone to act on. What is learnt along the way is added to the event
// that the context carries (Add), and the whole is written once, at the end.
package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Event collects what is known about one request, run or job. It is safe for concurrent use.
type Event struct {
	kind  string
	began time.Time

	mu    sync.Mutex
	attrs []slog.Attr
	names map[string]int // where each attribute is; the last value counts
}

type eventKey struct{}

// Begin starts an event of that kind ("request", "run", "job") and puts it into the context.
func Begin(ctx context.Context, kind string, attrs ...slog.Attr) (context.Context, *Event) {
	e := &Event{kind: kind, began: time.Now(), names: map[string]int{}}
	e.Add(attrs...)
	return context.WithValue(ctx, eventKey{}, e), e
}

// Add notes something in the event of the context; without one it is dropped.
func Add(ctx context.Context, attrs ...slog.Attr) {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		e.Add(attrs...)
	}
}

// Add notes something. A later value of the same name replaces the earlier one.
func (e *Event) Add(attrs ...slog.Attr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range attrs {
		if at, there := e.names[a.Key]; there {
			e.attrs[at] = a
			continue
		}
		e.names[a.Key] = len(e.attrs)
		e.attrs = append(e.attrs, a)
	}
}

// Took is the time since the event began.
func (e *Event) Took() time.Duration { return time.Since(e.began) }

// End writes the event, with its duration in milliseconds.
func (e *Event) End(ctx context.Context, log *slog.Logger, level slog.Level) {
	e.mu.Lock()
	attrs := append([]slog.Attr(nil), e.attrs...)
	e.mu.Unlock()
	attrs = append(attrs, slog.Float64("ms", float64(e.Took().Microseconds())/1000))
	log.LogAttrs(ctx, level, e.kind, attrs...)
}
