// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/tenant"
)

// How long a lease is left in peace before it is asked to yield. Stopping and starting costs a moment (connections are
// opened anew), so it is not done more often than fairness needs.
const (
	// ShortTurn is for a slot that changes hands to even things out: its tenant holds at least two more than the one that
	// waits, or it is of a lower priority class of the same tenant, or one of the same tenant nears its maximum delay.
	ShortTurn = 10 * time.Second
	// LongTurn is for taking turns: more services want to be carried all the time than there are slots.
	LongTurn = 60 * time.Second
)

// Pick hands the free slots to waiting services: to the tenant with the fewest slots for its weight first, then the higher
// priority class, then whoever waits longest. Waiting raises the class, one for each LongTurn, so that no class waits for
// ever; a service that nears its maximum delay is of the highest class, which changes nothing about its tenant's share. Where no slot is free it asks leases of tenants with more than their share to yield, and lets services take turns.
// Each pool is shared out by itself.
func Pick(l Load) Plan {
	p := newPicker(l)
	var plan Plan
	for _, c := range l.Waiting {
		pool, ok := p.poolFor(c.Pool)
		if !ok {
			plan.Stranded = append(plan.Stranded, c)
			continue
		}
		p.enter(c, pool, l.Now)
	}
	p.ready()
	for p.queue.Len() > 0 {
		q := p.queue[0]
		if !p.place(q.pool) {
			p.full = append(p.full, q)
			heap.Pop(&p.queue)
			continue
		}
		plan.Grants = append(plan.Grants, Grant{Candidate: q.waiting[0].Candidate, On: q.pool})
		q.waiting = q.waiting[1:]
		q.held++
		if len(q.waiting) == 0 {
			heap.Pop(&p.queue)
		} else {
			heap.Fix(&p.queue, 0)
		}
	}
	plan.Yields = p.yields(l)
	return plan
}

// entry is a candidate with its class in this round.
type entry struct {
	Candidate
	class int
	nears bool // its maximum delay
}

func (a entry) compare(b entry) int {
	return cmp.Or(cmp.Compare(a.class, b.class), a.Since.Compare(b.Since), bytes.Compare(a.Service[:], b.Service[:]))
}

type queueKey struct {
	pool   string
	tenant tenant.ID
}

// tenantQueue is one tenant's place in one pool.
type tenantQueue struct {
	queueKey
	weight  int
	held    int     // slots it has now, those granted in this round included
	waiting []entry // the most urgent first
}

// share compares how much of the pool two tenants have for their weight, without a division.
func (q *tenantQueue) share(o *tenantQueue) int { return cmp.Compare(q.held*o.weight, o.held*q.weight) }

// before is the order in which tenants are served.
func (q *tenantQueue) before(o *tenantQueue) int {
	return cmp.Or(
		q.share(o),
		cmp.Compare(q.waiting[0].class, o.waiting[0].class),
		q.waiting[0].Since.Compare(o.waiting[0].Since),
		bytes.Compare(q.tenant[:], o.tenant[:]), // any order that is always the same
		cmp.Compare(q.pool, o.pool),
	)
}

type queueHeap []*tenantQueue

func (h queueHeap) Len() int           { return len(h) }
func (h queueHeap) Less(i, j int) bool { return h[i].before(h[j]) < 0 }
func (h queueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *queueHeap) Push(x any)        { *h = append(*h, x.(*tenantQueue)) }
func (h *queueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// capacity is what a worker has left.
type capacity struct {
	Worker
	free int
}

type picker struct {
	weights map[tenant.ID]int
	workers []*capacity
	served  map[string]bool
	queues  map[queueKey]*tenantQueue
	queue   queueHeap
	full    []*tenantQueue // tenants that wait for a pool without a free slot, in the order they would be served
}

func newPicker(l Load) *picker {
	p := &picker{weights: l.Weights, served: map[string]bool{}, queues: map[queueKey]*tenantQueue{}}
	byID := map[uuid.UUID]*capacity{}
	for _, w := range l.Workers {
		c := &capacity{Worker: w, free: w.Slots}
		p.workers = append(p.workers, c)
		byID[w.ID] = c
		for _, pool := range w.Pools {
			p.served[pool] = true
		}
	}
	for _, h := range l.Held {
		p.at(h.Pool, h.Tenant).held++
		if w := byID[h.Worker]; w != nil {
			w.free--
		}
	}
	// Which worker a job reaches is the queue's matter; the order here only has to be always the same.
	slices.SortFunc(p.workers, func(a, b *capacity) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	var pending []string
	for _, h := range l.Held {
		if h.Worker == uuid.Nil {
			pending = append(pending, h.Pool)
		}
	}
	slices.Sort(pending)
	for _, pool := range pending {
		p.place(pool)
	}
	return p
}

func (p *picker) poolFor(pool string) (string, bool) {
	if p.served[pool] {
		return pool, true
	}
	return DefaultPool, p.served[DefaultPool]
}

func (p *picker) at(pool string, id tenant.ID) *tenantQueue {
	k := queueKey{pool, id}
	q := p.queues[k]
	if q == nil {
		q = &tenantQueue{queueKey: k, weight: max(p.weights[id], 1)}
		p.queues[k] = q
	}
	return q
}

func (p *picker) enter(c Candidate, pool string, now time.Time) {
	e := entry{Candidate: c, nears: c.nears(now)}
	if !e.nears {
		raised := int(max(now.Sub(c.Since), 0) / LongTurn)
		e.class = max(c.Priority-raised, 0)
	}
	q := p.at(pool, c.Tenant)
	q.waiting = append(q.waiting, e)
}

func (p *picker) ready() {
	for _, q := range p.queues {
		if len(q.waiting) == 0 {
			continue
		}
		slices.SortFunc(q.waiting, entry.compare)
		p.queue = append(p.queue, q)
	}
	heap.Init(&p.queue)
}

// place takes a free slot of the pool: from the worker that serves the fewest pools, so that those who serve several keep
// room for the others, then from the emptiest.
func (p *picker) place(pool string) bool {
	var best *capacity
	for _, w := range p.workers {
		if w.free <= 0 || !w.Serves(pool) {
			continue
		}
		if best == nil || len(w.Pools) < len(best.Pools) || len(w.Pools) == len(best.Pools) && w.free > best.free {
			best = w
		}
	}
	if best == nil {
		return false
	}
	best.free--
	return true
}

// yields chooses whom to ask for a slot, at most one for each tenant that waits in this round: the next round sees what
// became of it.
func (p *picker) yields(l Load) []Held {
	taken := map[string][]Held{}
	coming := map[string]int{} // slots that are about to become free
	for _, h := range l.Held {
		switch {
		case h.Yield:
			coming[h.Pool]++
		case h.Worker != uuid.Nil:
			taken[h.Pool] = append(taken[h.Pool], h)
		}
	}
	for _, leases := range taken {
		// Those held longest first.
		slices.SortFunc(leases, func(a, b Held) int {
			return cmp.Or(a.Since.Compare(b.Since), bytes.Compare(a.Service[:], b.Service[:]))
		})
	}
	var out []Held
	for _, q := range p.full {
		if coming[q.pool] > 0 {
			coming[q.pool]--
			continue
		}
		i := p.victim(q, taken[q.pool], l.Now)
		if i < 0 {
			continue
		}
		h := taken[q.pool][i]
		taken[q.pool] = slices.Delete(taken[q.pool], i, i+1)
		p.at(q.pool, h.Tenant).held--
		q.held++
		out = append(out, h)
	}
	return out
}

// victim returns which of the leases gives its slot to the tenant that waits, -1 for none: one of the tenant furthest
// above its share, and of that tenant's the one of the lowest class, then the one held longest.
func (p *picker) victim(waits *tenantQueue, leases []Held, now time.Time) int {
	best := -1
	for i, h := range leases {
		if now.Sub(h.Since) < p.turn(waits, h) {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		b := leases[best]
		if c := p.at(waits.pool, h.Tenant).share(p.at(waits.pool, b.Tenant)); c > 0 || c == 0 && h.Priority > b.Priority {
			best = i
		}
	}
	return best
}

const never = time.Duration(1<<63 - 1)

// turn is how long the lease may be kept while that tenant waits. A lease is asked to yield only when the one that waits
// would then be served before it.
func (p *picker) turn(waits *tenantQueue, h Held) time.Duration {
	first := waits.waiting[0]
	if h.Tenant == waits.tenant {
		switch {
		case first.Priority < h.Priority, first.nears && h.Priority > 0:
			return ShortTurn
		case first.class <= h.Priority:
			return LongTurn
		}
		return never // it is of a lower class
	}
	has := p.at(waits.pool, h.Tenant)
	less := &tenantQueue{held: has.held - 1, weight: has.weight}
	more := &tenantQueue{held: waits.held + 1, weight: waits.weight}
	switch c := less.share(waits); {
	case has.held < 1:
		return never
	case less.share(more) >= 0: // it still has no less than the other
		return ShortTurn
	case c > 0, c == 0 && first.class <= h.Priority: // they only change places
		return LongTurn
	}
	return never
}
