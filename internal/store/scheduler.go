// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var _ scheduler.Tx = (*OperatorTx)(nil)

// InOperatorTx makes the function with which the scheduler runs its transactions across tenants. What it may do there are
// the methods of its own Tx interface and no others.
func InOperatorTx[T any](d *DB, as func(*OperatorTx) T) func(context.Context, func(T) error) error {
	return func(ctx context.Context, fn func(T) error) error {
		return d.Operator().inTx(ctx, func(tx *OperatorTx) error { return fn(as(tx)) })
	}
}

// DueServices returns services whose scheduled run is due, those due longest first. Schedules of all tenants run out by
// one clock.
func (t *OperatorTx) DueServices(ctx context.Context, limit int) ([]scheduler.Due, error) {
	rows, err := t.q.DueServices(ctx, db.DueServicesParams{Now: t.now, Page: int32(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	due := make([]scheduler.Due, len(rows))
	for i, r := range rows {
		due[i] = scheduler.Due{Tenant: tenant.ID(r.TenantID), Service: service.ID(r.ID)}
	}
	return due, nil
}

// TryAdmission takes the right to decide who gets a slot until the transaction ends; false when another process has it.
func (t *OperatorTx) TryAdmission(ctx context.Context) (bool, error) {
	ok, err := t.q.TryAdmission(ctx)
	return ok, unavailable(err)
}

// LoadWorkers returns the time of the database, the workers heard of within that time, and the leases in force. Fair shares
// are between tenants, so all of theirs are looked at.
func (t *OperatorTx) LoadWorkers(ctx context.Context, within time.Duration) (scheduler.Load, error) {
	now, err := t.q.DatabaseTime(ctx)
	if err != nil {
		return scheduler.Load{}, unavailable(err)
	}
	workers, err := t.q.LiveWorkers(ctx, within.Seconds())
	if err != nil {
		return scheduler.Load{}, unavailable(err)
	}
	leases, err := t.q.LiveLeases(ctx)
	if err != nil {
		return scheduler.Load{}, unavailable(err)
	}
	load := scheduler.Load{Now: now, Workers: schedulerWorkers(workers), Held: make([]scheduler.Held, len(leases))}
	for i, l := range leases {
		load.Held[i] = scheduler.Held{
			Tenant: tenant.ID(l.TenantID), Service: service.ID(l.ServiceID), Fence: l.Fence, Pool: l.Pool, Worker: l.WorkerID,
			Priority: int(l.Priority), Since: l.Since, Yield: l.Yield,
		}
	}
	return load, nil
}

// Waiting returns the services that need a worker and have none, of each tenant and pool at most `each`.
func (t *OperatorTx) Waiting(ctx context.Context, each int) ([]scheduler.Candidate, error) {
	rows, err := t.q.WaitingServices(ctx, db.WaitingServicesParams{Each: int32(each), Turn: scheduler.LongTurn.Seconds()})
	if err != nil {
		return nil, unavailable(err)
	}
	waiting := make([]scheduler.Candidate, len(rows))
	for i, r := range rows {
		waiting[i] = scheduler.Candidate{
			Tenant: tenant.ID(r.TenantID), Service: service.ID(r.ID), Pool: r.Pool, Priority: int(r.Priority), Since: r.Since,
			MaxDelay: time.Duration(r.MaxDelayMs) * time.Millisecond,
		}
	}
	return waiting, nil
}

// Grant makes the lease that a worker of the pool can take up until the time to live is over. It returns false when the
// service is not to be carried any more, or somebody is changing it at this moment.
func (t *OperatorTx) Grant(ctx context.Context, g scheduler.Grant, ttl time.Duration) (fence int64, ok bool, err error) {
	fence, err = t.q.GrantLease(ctx, db.GrantLeaseParams{
		TenantID: uuid.UUID(g.Tenant), ServiceID: uuid.UUID(g.Service), Pool: g.On, Ttl: ttl.Seconds(),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return fence, err == nil, unavailable(err)
}

// AskToYield asks the worker that holds the lease to stop at its next commit.
func (t *OperatorTx) AskToYield(ctx context.Context, h scheduler.Held) error {
	return unavailable(t.q.AskLeaseToYield(ctx, db.AskLeaseToYieldParams{TenantID: uuid.UUID(h.Tenant), ServiceID: uuid.UUID(h.Service), Fence: h.Fence}))
}

// Wake tells all processes at commit that a service may need attention.
func (t *OperatorTx) Wake(ctx context.Context, s service.ID) error {
	return unavailable(t.q.NotifyWake(ctx, s.String()))
}

// DropWorkers forgets workers that were silent for that long. They belong to no tenant.
func (t *OperatorTx) DropWorkers(ctx context.Context, silent time.Duration) (int64, error) {
	n, err := t.q.DropWorkers(ctx, silent.Seconds())
	return n, unavailable(err)
}

// Workers lists the worker processes, live and lost ones, for the operator's page. They belong to no tenant.
func (o *Operator) Workers(ctx context.Context) ([]scheduler.Worker, error) {
	rows, err := db.New(o.d.operator).AllWorkers(ctx)
	return schedulerWorkers(rows), unavailable(err)
}

func schedulerWorkers(rows []db.Worker) []scheduler.Worker {
	workers := make([]scheduler.Worker, len(rows))
	for i, r := range rows {
		workers[i] = scheduler.Worker{
			ID: r.ID, Pools: r.Pools, Region: r.Region, Slots: int(r.Slots), Host: r.Host, Version: r.Version,
			StartedAt: r.StartedAt, SeenAt: r.SeenAt,
		}
	}
	return workers
}

// Wake tells all processes at commit that the service may need a worker, or its worker something to do.
func (t *Tx) Wake(ctx context.Context, s service.ID) error {
	return unavailable(t.q.NotifyWake(ctx, s.String()))
}

// How long the next try waits after carrying a service failed: doubled from the first to the last.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// Leases is the worker's view of the database: its own row, and the leases it holds.
type Leases struct{ d *DB }

// Leases returns what a worker works with.
func (d *DB) Leases() *Leases { return &Leases{d} }

// Beat says that the worker lives, and makes it known when it is new. Workers belong to no tenant.
func (l *Leases) Beat(ctx context.Context, w scheduler.Worker) error {
	return unavailable(db.New(l.d.operator).BeatWorker(ctx, db.BeatWorkerParams{
		ID: w.ID, Pools: w.Pools, Region: w.Region, Slots: int32(w.Slots), Host: w.Host, Version: w.Version, StartedAt: w.StartedAt,
	}))
}

// Leave says that the worker takes up nothing more. Workers belong to no tenant.
func (l *Leases) Leave(ctx context.Context, id uuid.UUID) error {
	return unavailable(db.New(l.d.operator).RemoveWorker(ctx, id))
}

// Yielding returns which of the worker's leases are asked to yield. A worker carries services of many tenants.
func (l *Leases) Yielding(ctx context.Context, id uuid.UUID) ([]scheduler.Held, error) {
	rows, err := db.New(l.d.operator).YieldingLeases(ctx, id)
	held := make([]scheduler.Held, len(rows))
	for i, r := range rows {
		held[i] = scheduler.Held{Tenant: tenant.ID(r.TenantID), Service: service.ID(r.ServiceID), Fence: r.Fence, Worker: id, Yield: true}
	}
	return held, unavailable(err)
}

// Take takes up a lease that was granted; false when it went to somebody else since.
func (l *Leases) Take(ctx context.Context, h scheduler.Held, ttl time.Duration) (taken bool, err error) {
	err = l.d.InTenant(ctx, h.Tenant, func(tx *Tx) error {
		n, err := tx.q.TakeLease(ctx, db.TakeLeaseParams{ServiceID: uuid.UUID(h.Service), Fence: h.Fence, WorkerID: h.Worker, Ttl: ttl.Seconds()})
		taken = n == 1
		return unavailable(err)
	})
	return taken && err == nil, err
}

// Keep holds the lease for another while. held is false when it is lost; yield says that the worker is asked to stop.
func (l *Leases) Keep(ctx context.Context, h scheduler.Held, ttl time.Duration) (held, yield bool, err error) {
	err = l.d.InTenant(ctx, h.Tenant, func(tx *Tx) error {
		yield, err = tx.q.KeepLease(ctx, db.KeepLeaseParams{ServiceID: uuid.UUID(h.Service), Fence: h.Fence, WorkerID: h.Worker, Ttl: ttl.Seconds()})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		held = err == nil
		return unavailable(err)
	})
	return held && err == nil, yield, err
}

// Release gives the lease back at once and wakes the scheduler. After a failure the service's next try waits, the longer
// the more failed in a row.
func (l *Leases) Release(ctx context.Context, h scheduler.Held, failed bool) error {
	return l.d.InTenant(ctx, h.Tenant, func(tx *Tx) error {
		n, err := tx.q.ReleaseLease(ctx, db.ReleaseLeaseParams{
			ServiceID: uuid.UUID(h.Service), Fence: h.Fence, WorkerID: h.Worker, Failed: failed,
			FirstPause: firstPause.Seconds(), LastPause: lastPause.Seconds(),
		})
		if err != nil || n == 0 {
			return unavailable(err)
		}
		return tx.Wake(ctx, h.Service)
	})
}

// HandOver grants the service's next lease in the commit that gives this one back, so that no time is lost. It does
// nothing, and returns false, when somebody else is to have the slot.
func (l *Leases) HandOver(ctx context.Context, h scheduler.Held, ttl time.Duration) (done bool, err error) {
	err = l.d.InTenant(ctx, h.Tenant, func(tx *Tx) error {
		next, err := tx.q.HandOverLease(ctx, db.HandOverLeaseParams{ServiceID: uuid.UUID(h.Service), Fence: h.Fence, WorkerID: h.Worker, Ttl: ttl.Seconds()})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return unavailable(err)
		}
		done = true
		return tx.Enqueue(ctx, service.SyncArgs{TenantID: h.Tenant, ServiceID: h.Service, Fence: next.Fence, Queue: next.Pool})
	})
	return done && err == nil, err
}
