// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// HintTx is what keeping hints needs of a transaction.
type HintTx interface {
	// Told says whether the connection's vendor has ever told of changes.
	Told(ctx context.Context, id ID) (bool, error)
	// AddHints keeps those whose event (the message of the same index, "" for none) did not come before.
	AddHints(ctx context.Context, id ID, hints []connector.Hint, messages []string) (added int, err error)
	LastHint(ctx context.Context, id ID) (int64, error)
	HintsAfter(ctx context.Context, id ID, object record.Object, seq int64, limit int) ([]connector.Hint, error)
	// WakeHints wakes those who wait for hints of the connection, at the commit.
	WakeHints(ctx context.Context, id ID) error
}

// hints are what a connection's vendor told.
type hints struct {
	m      *Manager
	tenant tenant.ID
	id     ID
}

var _ connector.Hints = hints{}

func (h hints) Last(ctx context.Context) (seq int64, err error) {
	err = h.m.inTx(ctx, h.tenant, func(tx Tx) error {
		seq, err = tx.LastHint(ctx, h.id)
		return err
	})
	return seq, err
}

func (h hints) After(ctx context.Context, object record.Object, seq int64, limit int) (list []connector.Hint, err error) {
	err = h.m.inTx(ctx, h.tenant, func(tx Tx) error {
		list, err = tx.HintsAfter(ctx, h.id, object, seq, limit)
		return err
	})
	return list, err
}

// hintSweep is how often a reader looks although nothing was told: messages get lost.
const hintSweep = time.Minute

// Wait ends with an error when a person lets the telling rest: who waits then looks at once, and goes on looking.
func (h hints) Wait(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	heard, forget := h.m.ears.listen(h.id.String())
	defer forget()
	tick := time.NewTicker(hintSweep)
	defer tick.Stop()
	for {
		resting, err := h.resting(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if resting {
			return &connector.Error{Class: connector.Retry, Code: "connection.subscription_paused", Message: "What the vendor tells was paused by a person; changes are looked for."}
		}
		for _, o := range objects {
			wake(o)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-heard:
		case <-tick.C:
		}
	}
}

func (h hints) resting(ctx context.Context) (resting bool, err error) {
	err = h.m.inTx(ctx, h.tenant, func(tx Tx) error {
		l, _, err := tx.Subscription(ctx, h.id)
		resting = l.PausedAt != nil
		return err
	})
	return resting, err
}

// ears are those of this process that wait for hints, by connection.
type ears struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool
}

func (e *ears) listen(id string) (heard <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting == nil {
		e.waiting = map[string]map[chan struct{}]bool{}
	}
	if e.waiting[id] == nil {
		e.waiting[id] = map[chan struct{}]bool{}
	}
	e.waiting[id][c] = true
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.waiting[id], c)
		if len(e.waiting[id]) == 0 {
			delete(e.waiting, id)
		}
	}
}

// Heard wakes those who wait for hints of the connection with that bare id, or all when it is empty: some notifications may have
// been missed.
func (m *Manager) Heard(id string) {
	m.ears.mu.Lock()
	defer m.ears.mu.Unlock()
	for name, list := range m.ears.waiting {
		if id != "" && id != name {
			continue
		}
		for c := range list {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
