// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/worker"
)

// The scheduler's and the workers' side. Their times are the database's clock, which is the run's.

// each visits all services in a stable order; mu is held.
func (s *Store) each(fn func(tenant.ID, *serviceRow)) {
	for _, t := range s.order {
		services := s.tenants[t].services
		for _, id := range slices.SortedFunc(maps.Keys(services), func(a, b service.ID) int { return bytes.Compare(a[:], b[:]) }) {
			fn(t, services[id])
		}
	}
}

// DueServices returns services whose scheduled run is due.
func (t *Tx) DueServices(ctx context.Context, limit int) (due []scheduler.Due, err error) {
	if err := t.step(ctx, "due services"); err != nil {
		return nil, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.each(func(id tenant.ID, row *serviceRow) {
		if row.State == service.Active && !row.nextAt.IsZero() && !row.nextAt.After(t.now) && len(due) < limit {
			due = append(due, scheduler.Due{Tenant: id, Service: row.ID})
		}
	})
	return due, nil
}

// queueDue queues the scheduled runs of those that are still due. A service that has a scheduled run waiting gets no further one.
func (t *Tx) queueDue(ctx context.Context, services []service.ID) error {
	for _, id := range services {
		if err := t.lock(ctx, "service "+id.String(), true); err != nil {
			return err
		}
		row, err := t.lockedService(id)
		if err != nil {
			return err
		}
		if row.nextAt.IsZero() || row.nextAt.After(t.now) {
			continue
		}
		now := t.now
		t.write(func() {
			row.nextAt = now.Add(row.every)
			if !slices.ContainsFunc(row.runs, func(r *service.Run) bool { return r.State == service.RunQueued }) {
				row.runs = append(row.runs, newRun(row, service.ScheduledRun, now))
			}
		})
		if err := t.Wake(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// TryAdmission takes the right to decide until the transaction ends.
func (t *Tx) TryAdmission(ctx context.Context) (bool, error) {
	if err := t.step(ctx, "try admission"); err != nil {
		return false, err
	}
	t.s.mu.Lock()
	l := t.s.locks["admission"]
	busy := l != nil && !l.free(t, true)
	t.s.mu.Unlock()
	if busy {
		return false, nil
	}
	return true, t.lock(ctx, "admission", true)
}

// LoadWorkers returns the workers heard of, and the leases in force.
func (t *Tx) LoadWorkers(ctx context.Context, within time.Duration) (scheduler.Load, error) {
	if err := t.step(ctx, "load workers"); err != nil {
		return scheduler.Load{}, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	now := time.Now()
	load := scheduler.Load{Now: now}
	for _, id := range slices.SortedFunc(maps.Keys(t.s.workers), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		if w := t.s.workers[id]; w.seen.After(now.Add(-within)) {
			load.Workers = append(load.Workers, w.Worker)
		}
	}
	t.s.each(func(id tenant.ID, row *serviceRow) {
		if l := row.lease; l != nil && l.expires.After(now) {
			load.Held = append(load.Held, scheduler.Held{Tenant: id, Service: row.ID, Fence: l.fence, Pool: l.pool, Worker: l.worker, Since: l.since, Yield: l.yield})
		}
	})
	return load, nil
}

// Waiting returns the services that need a worker and have none.
func (t *Tx) Waiting(ctx context.Context, each int) (list []scheduler.Candidate, err error) {
	if err := t.step(ctx, "waiting"); err != nil {
		return nil, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	now := time.Now()
	of := make(map[tenant.ID]int)
	t.s.each(func(id tenant.ID, row *serviceRow) {
		since := row.UpdatedAt
		i := slices.IndexFunc(row.runs, func(r *service.Run) bool { return r.State == service.RunQueued || r.State == service.RunRunning })
		if i >= 0 {
			since = row.runs[i].CreatedAt
		}
		if row.State != service.Active || i < 0 && !row.Realtime {
			return
		}
		if l := row.lease; l != nil {
			if l.expires.After(now) || l.notBefore.After(now) {
				return
			}
			if l.expires.After(since) {
				since = l.expires
			}
			if l.notBefore.After(since) {
				since = l.notBefore
			}
		}
		if of[id] < each {
			of[id]++
			list = append(list, scheduler.Candidate{Tenant: id, Service: row.ID, Pool: scheduler.DefaultPool, Since: since})
		}
	})
	return list, nil
}

// Grant makes the lease that a worker can take up.
func (t *Tx) Grant(ctx context.Context, g scheduler.Grant, ttl time.Duration) (fence int64, ok bool, err error) {
	if err := t.step(ctx, "grant"); err != nil {
		return 0, false, err
	}
	if err := t.lock(ctx, "lease "+g.Service.String(), true); err != nil {
		return 0, false, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	now := time.Now()
	row := t.s.tenants[g.Tenant].services[g.Service]
	l := row.lease
	if row.State != service.Active || l != nil && l.expires.After(now) {
		return 0, false, nil
	}
	fence = 1
	if l != nil {
		fence = l.fence + 1
	}
	t.write(func() {
		next := leaseRow{fence: fence, expires: now.Add(ttl), pool: g.On, since: now}
		if row.lease != nil {
			next.failures, next.notBefore = row.lease.failures, row.lease.notBefore
		}
		row.lease = &next
	})
	return fence, true, nil
}

// AskToYield asks the worker that holds the lease to stop.
func (t *Tx) AskToYield(ctx context.Context, h scheduler.Held) error {
	if err := t.lock(ctx, "lease "+h.Service.String(), true); err != nil {
		return err
	}
	t.s.mu.Lock()
	row := t.s.tenants[h.Tenant].services[h.Service]
	t.s.mu.Unlock()
	t.write(func() {
		if row.lease != nil && row.lease.fence == h.Fence {
			row.lease.yield = true
		}
	})
	return nil
}

// Wake tells all processes at commit; a notification may be lost.
func (t *Tx) Wake(_ context.Context, id service.ID) error {
	if wake := t.s.onWake; wake != nil {
		t.after = append(t.after, func() { wake(id) })
	}
	return nil
}

// DropWorkers forgets workers that were silent for that long.
func (t *Tx) DropWorkers(ctx context.Context, silent time.Duration) (n int64, err error) {
	if err := t.step(ctx, "drop workers"); err != nil {
		return 0, err
	}
	before := time.Now().Add(-silent)
	t.write(func() {
		maps.DeleteFunc(t.s.workers, func(_ uuid.UUID, w *workerRow) bool { return w.seen.Before(before) })
	})
	return n, nil
}

// Enqueue hands a job to the workers at commit.
func (t *Tx) Enqueue(_ context.Context, args interface{ Kind() string }) error {
	if job := t.s.onJob; job != nil {
		a := args.(service.SyncArgs)
		t.after = append(t.after, func() { job(a) })
	}
	return nil
}

// leases is the database as one worker process sees it.
type leases struct {
	s    *Store
	line *line
}

var _ worker.Leases = leases{}

// in is a transaction of whoever was just woken, who therefore stops at the gate first.
func (l leases) in(ctx context.Context, t tenant.ID, who, what string, fn func(*Tx) error) error {
	l.s.gate.Park(l.line.name+" "+who, what)
	return l.s.In(ctx, l.line, t, what, fn)
}

func (l leases) Beat(ctx context.Context, w scheduler.Worker) error {
	return l.in(ctx, tenant.ID{}, "self", "beat", func(tx *Tx) error {
		tx.write(func() { l.s.workers[w.ID] = &workerRow{Worker: w, seen: time.Now()} })
		return nil
	})
}

func (l leases) Leave(ctx context.Context, id uuid.UUID) error {
	return l.in(ctx, tenant.ID{}, "self", "leave", func(tx *Tx) error {
		tx.write(func() { delete(l.s.workers, id) })
		return nil
	})
}

func (l leases) Yielding(ctx context.Context, id uuid.UUID) (list []scheduler.Held, err error) {
	return list, l.in(ctx, tenant.ID{}, "self", "yielding", func(*Tx) error {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		l.s.each(func(t tenant.ID, row *serviceRow) {
			if x := row.lease; x != nil && x.worker == id && x.yield && x.expires.After(time.Now()) {
				list = append(list, scheduler.Held{Tenant: t, Service: row.ID, Fence: x.fence, Worker: id, Yield: true})
			}
		})
		return nil
	})
}

// mine runs fn on the lease, locked, when it is the worker's with that fence.
func (l leases) mine(ctx context.Context, h scheduler.Held, what string, holder uuid.UUID, fn func(*Tx, *serviceRow, *leaseRow)) error {
	return l.in(ctx, h.Tenant, fmt.Sprintf("%s/%d", h.Service, h.Fence), what, func(tx *Tx) error {
		if err := tx.lock(ctx, "lease "+h.Service.String(), true); err != nil {
			return err
		}
		row, err := tx.lockedService(h.Service)
		if err != nil {
			return err
		}
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		if x := row.lease; x != nil && x.fence == h.Fence && x.worker == holder {
			fn(tx, row, x)
		}
		return nil
	})
}

func (l leases) Take(ctx context.Context, h scheduler.Held, ttl time.Duration) (taken bool, err error) {
	err = l.mine(ctx, h, "take", uuid.Nil, func(tx *Tx, _ *serviceRow, x *leaseRow) {
		taken = true
		now := time.Now()
		tx.write(func() { x.worker, x.expires, x.since = h.Worker, now.Add(ttl), now })
	})
	return taken && err == nil, err
}

func (l leases) Keep(ctx context.Context, h scheduler.Held, ttl time.Duration) (held, yield bool, err error) {
	err = l.mine(ctx, h, "keep", h.Worker, func(tx *Tx, _ *serviceRow, x *leaseRow) {
		held, yield = true, x.yield
		now := time.Now()
		tx.write(func() { x.expires = now.Add(ttl) })
	})
	return held && err == nil, yield, err
}

const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

func (l leases) Release(ctx context.Context, h scheduler.Held, failed bool) error {
	return l.mine(ctx, h, "release", h.Worker, func(tx *Tx, _ *serviceRow, x *leaseRow) {
		now := time.Now()
		tx.write(func() {
			x.expires = now
			if !failed {
				x.failures, x.notBefore = 0, time.Time{}
				return
			}
			x.notBefore = now.Add(min(firstPause<<min(x.failures, 20), lastPause))
			x.failures++
		})
		_ = tx.Wake(ctx, h.Service)
	})
}

func (l leases) HandOver(ctx context.Context, h scheduler.Held, ttl time.Duration) (done bool, err error) {
	err = l.mine(ctx, h, "hand over", h.Worker, func(tx *Tx, _ *serviceRow, x *leaseRow) {
		if x.yield {
			return
		}
		done = true
		now := time.Now()
		fence := x.fence + 1
		tx.write(func() {
			x.worker, x.fence, x.since, x.failures, x.notBefore, x.expires = uuid.Nil, fence, now, 0, time.Time{}, now.Add(ttl)
		})
		_ = tx.Enqueue(ctx, service.SyncArgs{TenantID: h.Tenant, ServiceID: h.Service, Fence: fence, Queue: x.pool})
	})
	return done && err == nil, err
}
