// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
)

// seams are the points between the engine's steps, in the order in which a change passes them.
var seams = []string{"recovered", "read", "intake saved", "intake committed", "before write", "after write", "settling saved", "settled"}

// TestCrashAtEverySeam stops the flow dead at each seam, several times, while people edit both sides, and goes on with a new
// flow each time. In the end nothing is lost, nothing was written twice, and what is metered is what was really written.
func TestCrashAtEverySeam(t *testing.T) {
	for _, seam := range seams {
		t.Run(seam, func(t *testing.T) {
			t.Parallel()
			crashAt(t, seam)
		})
	}
}

func crashAt(t *testing.T, seam string) {
	b := newBench(t, twoWay, "warehouse", "shop")
	r := rand.New(rand.NewPCG(7, uint64(len(seam))))
	for i := range 30 {
		sku := fmt.Sprintf("P%02d", i)
		b.user("warehouse").Put(record.Key(sku), product(sku, 1))
	}
	crash := newCrash(seam)
	b.engine.Seam = crash.at
	for round := range 6 {
		n := 1 + round%2
		if seam == "recovered" {
			n = 1 // passed once in a flow's life
		}
		crash.arm(n)
		// Each side edits products of its own, so that no conflict hides what happened to an edit.
		for range 10 {
			n := r.IntN(15)
			left, right := fmt.Sprintf("P%02d", n), fmt.Sprintf("P%02d", 15+n)
			b.user("warehouse").Put(record.Key(left), product(left, r.Int64N(1000)))
			if b.user("shop").Get(record.Key(right)) != nil {
				b.user("shop").Put(record.Key(right), product(right, r.Int64N(1000)))
			}
		}
		sku := fmt.Sprintf("N%d", round)
		b.user("shop").Put(record.Key(sku), product(sku, 5))
		b.startCrashing()
		b.eventually("the crash at "+seam, crash.happened)
		b.crash()
	}
	b.start()
	b.eventually("both sides to be equal", func() bool { return b.converged("warehouse", "shop") && b.settledDown() })
	b.halt()
	if n := len(b.user("shop").All()); n != 36 {
		t.Errorf("%d products, want 36", n)
	}
	written := b.user("warehouse").Writes() + b.user("shop").Writes()
	metered := b.number(`SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE meter = 'sync_operations'`)
	journal := b.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`)
	if written != metered || written != journal {
		t.Errorf("%d records were written, %d metered, %d are in the journal", written, metered, journal)
	}
	if n := b.number(`SELECT count(*) FROM entities`); n != 36 {
		t.Errorf("%d entities, want 36: one for each product", n)
	}
	if n := b.number(`SELECT count(*) FROM conflicts`); n != 0 {
		t.Errorf("%d conflicts, though nobody edited the same product on both sides\n%s", n, b.state())
	}
}

// settledDown says that nothing is owed or under way.
func (b *bench) settledDown() bool {
	// At one moment: a duty that is taken on moves from one to the other.
	return b.number(`SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM deliveries)`) == 0
}

// startCrashing carries like start, but expects the flow to end badly.
func (b *bench) startCrashing() {
	b.exec(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, $4, now() + interval '1 hour')
ON CONFLICT (tenant_id, service_id) DO UPDATE SET fence = excluded.fence`, uuid.UUID(b.tenant), uuid.UUID(b.service), uuid.New(), b.fence)
	ctx, cancel := context.WithCancel(context.Background())
	b.done, b.stop = make(chan error, 1), cancel
	fence, done := b.fence, b.done
	go func() {
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
			done <- err
		}()
		_, err = b.engine.Carry(ctx, b.tenant, b.service, fence)
	}()
}

// crash ends the flow if it still runs, and takes the lease away.
func (b *bench) crash() {
	b.stop()
	b.stop = nil
	<-b.done
	b.fence++
}

// crasher panics once at a seam, at its nth passing; the panic ends the flow without any of its tidying.
type crasher struct {
	mu    sync.Mutex
	point string
	left  int
	done  bool
}

func newCrash(point string) *crasher { return &crasher{point: point} }

func (c *crasher) arm(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.done = n, false
}

func (c *crasher) happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *crasher) at(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if point != c.point || c.left == 0 {
		return
	}
	if c.left--; c.left == 0 {
		c.done = true
		panic("crash at " + point)
	}
}
