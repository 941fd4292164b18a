// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// Gate lets the goroutines of a run go on one at a time: whoever was let through works until it stops at the gate again,
// waits, or ends. Only the one that works may draw from the seed.
type Gate struct {
	mu      sync.Mutex
	rng     *rand.Rand
	parked  []*parked
	arrived chan struct{}
	trace   uint64
	steps   int
	recent  []string // the last ones let through, for a failure's message
	keep    bool     // the lines themselves
	open    bool     // the run is over: everybody passes
	began   time.Time
	instant time.Time // of the last that was let through
	passed  int       // how many in that instant
}

// mostAtOnce is how many are let through in one instant before that is taken for work which never ends. All of a run are a tenth of it.
const mostAtOnce = 200_000

type parked struct {
	who, point string
	pass       chan struct{}
}

func newGate(seed uint64) *Gate {
	return &Gate{rng: rand.New(rand.NewPCG(seed, 0x5eed)), arrived: make(chan struct{}, 1), began: time.Now()}
}

// Park stops the caller until it is let through. who must be one of its own among all who may arrive at the same time.
func (g *Gate) Park(who, point string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return
	}
	p := &parked{who: who, point: point, pass: make(chan struct{})}
	g.parked = append(g.parked, p)
	g.mu.Unlock()
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	<-p.pass
}

// Step is a place between two steps of whoever works: now and then it stops there, and others go on first.
func (g *Gate) Step(who, point string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.note(who, point)
	stop := !g.open && g.rng.IntN(3) == 0
	g.mu.Unlock()
	if stop {
		g.Park(who, point)
	}
}

// note adds to the trace; mu is held.
func (g *Gate) note(who, point string) {
	at := time.Since(g.began)
	h := g.trace ^ uint64(at)
	for _, s := range [2]string{who, point} {
		for i := range len(s) { // FNV-1a
			h = (h ^ uint64(s[i])) * 0x100000001b3
		}
	}
	g.trace = h*0x100000001b3 + 1
	g.steps++
	if g.keep {
		g.recent = append(g.recent, fmt.Sprintf("%9.3f %s: %s", at.Seconds(), who, point))
	}
}

// Note writes into the trace what whoever works has done.
func (g *Gate) Note(format string, args ...any) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note("·", fmt.Sprintf(format, args...))
}

// next lets one through, false when nobody stands there. All others wait when it is called.
func (g *Gate) next() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.parked) == 0 {
		return false
	}
	if len(g.parked) > 1 {
		// Stable: two at one seam of one process have one name, and only the order in which they came tells them apart. When a
		// process ends, many come at once between them, in any order.
		slices.SortStableFunc(g.parked, func(a, b *parked) int { return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.point, b.point)) })
	}
	i := g.rng.IntN(len(g.parked))
	p := g.parked[i]
	g.parked = slices.Delete(g.parked, i, i+1)
	g.note(p.who, p.point)
	if now := time.Now(); now.Equal(g.instant) {
		g.passed++
	} else {
		g.instant, g.passed = now, 1
	}
	close(p.pass)
	return true
}

// circles says whether somebody works on and on without a pause.
func (g *Gate) circles() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed >= mostAtOnce
}

// until lets everybody go on, one at a time, until the time has come. between is called when somebody is about to be let
// through. It returns early when somebody works without end.
func (g *Gate) until(at time.Time, between func()) {
	for {
		synctest.Wait()
		if g.circles() {
			return
		}
		if between != nil && g.waiting() {
			between()
			synctest.Wait()
		}
		if g.next() {
			continue
		}
		left := time.Until(at)
		if left <= 0 {
			return
		}
		select {
		case <-g.arrived:
			continue
		default:
		}
		timer := time.NewTimer(left)
		select {
		case <-g.arrived:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (g *Gate) waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.parked) > 0
}

// finish lets everybody pass from now on.
func (g *Gate) finish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, p := range g.parked {
		close(p.pass)
	}
	g.parked = nil
}

// chance is true in n of thousand cases; only whoever works may ask.
func (g *Gate) chance(perMille int) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.open && g.rng.IntN(1000) < perMille
}

func (g *Gate) intN(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rng.IntN(n)
}

// sleep lets time pass for the caller, who then stops at the gate.
func (g *Gate) sleep(ctx context.Context, who string, d time.Duration) {
	t := time.NewTimer(d)
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	t.Stop()
	g.Park(who, "slept")
}
