// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// halting is a system that carries the first half of its first batch out and says so.
type halting struct {
	connector.Writer
	mu     *sync.Mutex
	halted *bool
	wrote  map[record.EntityID]int
}

func (h halting) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(writes)
	if !*h.halted && n > 1 {
		*h.halted, n = true, n/2
	}
	got, err := h.Writer.Write(ctx, object, writes[:n])
	if err != nil {
		return nil, err
	}
	for _, w := range writes[:n] {
		h.wrote[w.ID]++
	}
	for range writes[n:] {
		got = append(got, connector.Receipt{Outcome: connector.Unsent, Err: &connector.Error{Class: connector.Retry, Code: "memory.planted", Message: "A planted fault."}})
	}
	return got, nil
}

// TestBatchHandedBackInParts: of a batch that stopped in the middle what was carried out is settled at once and not written again, and the
// rest is owed and arrives.
func TestBatchHandedBackInParts(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	h := halting{mu: &sync.Mutex{}, halted: new(bool), wrote: map[record.EntityID]int{}}
	b.opened = func(name string, s connector.System) connector.System {
		if name != "shop" {
			return s
		}
		h.Writer = s.(connector.Writer)
		return struct {
			connector.System
			connector.Discoverer
			connector.Reader
			connector.KeyReader
			connector.Finder
			connector.Writer
			connector.Watcher
		}{s, s.(connector.Discoverer), s.(connector.Reader), s.(connector.KeyReader), s.(connector.Finder), h, s.(connector.Watcher)}
	}
	keys := []record.Key{"A", "B", "C", "D", "E", "F"}
	for _, k := range keys {
		b.user("warehouse").Put(k, product(string(k), 1))
	}
	b.start()
	b.eventually("all records", func() bool {
		for _, k := range keys {
			if b.user("shop").Get(k) == nil {
				return false
			}
		}
		return b.settledDown()
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if !*h.halted || len(h.wrote) != len(keys) {
		t.Errorf("halted: %v; %d records were written", *h.halted, len(h.wrote))
	}
	for id, n := range h.wrote {
		if n != 1 {
			t.Errorf("%s was written %d times", id, n)
		}
	}
	if n := b.number(`SELECT count(*) FROM attempts WHERE lost`); n != 0 {
		t.Errorf("%d attempts are in doubt", n)
	}
	if n := b.number(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
