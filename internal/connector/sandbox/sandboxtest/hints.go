// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/record"
)

// Hints keep what webhooks tell, as the program does in its database.
type Hints struct {
	// Sweep is how often a reader is woken although nothing was told.
	Sweep time.Duration

	mu      sync.Mutex
	list    []connector.Hint
	seen    map[string]bool
	waiting []chan struct{}
	refused int
	doubled int
}

var _ connector.Hints = (*Hints)(nil)

// Receive is what the address of a connection does with a message.
func (h *Hints) Receive(c *manifest.Connector, settings connector.Settings, now func() time.Time, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	verdict, err := c.Inbound(r.Context(), settings, connector.Env{}, manifest.Inbound{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body, Now: now()})
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.refused++
		return
	}
	for i, hint := range verdict.Hints {
		if id := verdict.IDs[i]; id != "" {
			if h.seen[id] {
				h.doubled++
				continue
			}
			if h.seen == nil {
				h.seen = map[string]bool{}
			}
			h.seen[id] = true
		}
		hint.Seq = int64(len(h.list) + 1)
		h.list = append(h.list, hint)
	}
	for _, w := range h.waiting {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Counts are the messages whose signature did not fit, and those that came before.
func (h *Hints) Counts() (refused, doubled int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused, h.doubled
}

// Last is the highest number.
func (h *Hints) Last(context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.list)), nil
}

// After returns hints in order.
func (h *Hints) After(_ context.Context, object record.Object, seq int64, limit int) ([]connector.Hint, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []connector.Hint
	for _, x := range h.list {
		if x.Seq > seq && x.Object == object && len(out) < limit {
			out = append(out, x)
		}
	}
	return out, nil
}

// Wait wakes on each message.
func (h *Hints) Wait(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	h.waiting = append(h.waiting, c)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting = slices.DeleteFunc(h.waiting, func(o chan struct{}) bool { return o == c })
	}()
	sweep := h.Sweep
	if sweep == 0 {
		sweep = time.Hour
	}
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		for _, o := range objects {
			wake(o)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c:
		case <-tick.C:
		}
	}
}
