// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

const (
	// WorkerSilence is how long a worker may be silent before nothing more is given to it. It beats every 3 s.
	WorkerSilence = 10 * time.Second
	// GrantTTL is how long a granted lease waits for a worker to take it up before it is granted anew.
	GrantTTL = 15 * time.Second

	interval   = time.Second
	wakeGap    = 20 * time.Millisecond // between two ticks, however often it is woken
	forgetting = time.Minute           // after this silence a worker's row goes
	cleaning   = 10 * time.Second      // how often that is looked for
	duePage    = 500
	maxEach    = 1000 // candidates looked at per tenant and pool
)

// Due is a service whose scheduled run is due.
type Due struct {
	Tenant  tenant.ID
	Service service.ID
}

// Tx is the operator's transaction as the scheduler needs it: each method is a named statement across tenants.
type Tx interface {
	DueServices(ctx context.Context, limit int) ([]Due, error)
	TryAdmission(ctx context.Context) (bool, error)
	LoadWorkers(ctx context.Context, within time.Duration) (Load, error)
	Waiting(ctx context.Context, each int) ([]Candidate, error)
	Grant(ctx context.Context, g Grant, ttl time.Duration) (fence int64, ok bool, err error)
	AskToYield(ctx context.Context, h Held) error
	Wake(ctx context.Context, s service.ID) error
	DropWorkers(ctx context.Context, silent time.Duration) (int64, error)
	Enqueue(ctx context.Context, args interface{ Kind() string }) error
}

// Services is what the scheduler does with a tenant's services, each call in a transaction of that tenant.
type Services interface {
	// QueueDue queues a run of each of the services that is still due, and sets when the next one is.
	QueueDue(ctx context.Context, id tenant.ID, services []service.ID) error
	// NotePool tells people that another pool stands in for a service's own.
	NotePool(ctx context.Context, id tenant.ID, s service.ID, own, used string) error
}

// Scheduler is the shell around Pick. Any number of processes run one.
type Scheduler struct {
	inTx     func(context.Context, func(Tx) error) error
	services Services
	log      *slog.Logger
	wake     chan struct{}

	mu       sync.Mutex // one tick of this process at a time
	cleanAt  time.Time
	moved    map[service.ID]string // which pool stands in for theirs, as far as people were told
	stranded bool
}

// New makes a scheduler that works in the operator's transactions.
func New(inTx func(context.Context, func(Tx) error) error, services Services, log *slog.Logger) *Scheduler {
	return &Scheduler{inTx: inTx, services: services, log: log, wake: make(chan struct{}, 1), moved: map[service.ID]string{}}
}

// Wake makes the scheduler look at once: a service was changed, a run asked for, a slot given back. It never blocks.
func (s *Scheduler) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to look
	}
}

// Run ticks every second, and hands out slots whenever woken, until ctx ends. It returns ctx's error.
func (s *Scheduler) Run(ctx context.Context) error {
	every := time.NewTicker(interval)
	defer every.Stop()
	failing := false
	did := func(what string, err error) {
		switch {
		case err == nil && failing:
			failing = false
			s.log.InfoContext(ctx, "the scheduler works again")
		case err != nil && !failing && ctx.Err() == nil:
			// Once, not every second: what it could not do it does as soon as it can.
			failing = true
			s.log.ErrorContext(ctx, "the scheduler cannot work at the moment", "doing", what, "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
			did("tick", s.Tick(ctx))
		case <-s.wake:
			did("admission", s.Admit(ctx))
		}
		gap := time.NewTimer(wakeGap)
		select {
		case <-ctx.Done():
			gap.Stop()
			return ctx.Err()
		case <-gap.C:
		}
	}
}

// Tick queues the runs that are due, hands out free slots, and forgets dead workers.
func (s *Scheduler) Tick(ctx context.Context) error {
	if err := s.queueDue(ctx); err != nil {
		return err
	}
	if err := s.Admit(ctx); err != nil {
		return err
	}
	return s.forget(ctx)
}

func (s *Scheduler) queueDue(ctx context.Context) error {
	var due []Due
	err := s.inTx(ctx, func(tx Tx) (err error) {
		due, err = tx.DueServices(ctx, duePage)
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for runs that are due: %w", err)
	}
	byTenant := map[tenant.ID][]service.ID{}
	var order []tenant.ID
	for _, d := range due {
		if byTenant[d.Tenant] == nil {
			order = append(order, d.Tenant)
		}
		byTenant[d.Tenant] = append(byTenant[d.Tenant], d.Service)
	}
	for _, id := range order {
		if err := s.services.QueueDue(ctx, id, byTenant[id]); err != nil {
			if ctx.Err() != nil {
				return err
			}
			// One tenant's trouble is not the others'.
			s.log.ErrorContext(ctx, "due runs could not be queued", "tenant", id, "services", len(byTenant[id]), "error", err)
		}
	}
	return nil
}

// Admit hands out free slots. It does nothing when another process is at it: that one was woken too, and looks again.
func (s *Scheduler) Admit(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var granted []Grant
	stranded := 0
	err := s.inTx(ctx, func(tx Tx) error {
		granted, stranded = nil, 0
		ok, err := tx.TryAdmission(ctx)
		if err != nil || !ok {
			return err
		}
		load, err := tx.LoadWorkers(ctx, WorkerSilence)
		if err != nil {
			return err
		}
		free := -len(load.Held)
		for _, w := range load.Workers {
			free += w.Slots
		}
		// Without a free slot one of each tenant is enough to see who should yield.
		load.Waiting, err = tx.Waiting(ctx, min(max(free, 1), maxEach))
		if err != nil {
			return err
		}
		plan := Pick(load)
		stranded = len(plan.Stranded)
		for _, g := range plan.Grants {
			fence, ok, err := tx.Grant(ctx, g, GrantTTL)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := tx.Enqueue(ctx, service.SyncArgs{TenantID: g.Tenant, ServiceID: g.Service, Fence: fence, Queue: g.On}); err != nil {
				return err
			}
			granted = append(granted, g)
		}
		for _, h := range plan.Yields {
			if err := tx.AskToYield(ctx, h); err != nil {
				return err
			}
			if err := tx.Wake(ctx, h.Service); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("handing out slots: %w", err)
	}
	s.tell(ctx, granted, stranded)
	return nil
}

// tell notes, once each, that a pool has no workers.
func (s *Scheduler) tell(ctx context.Context, granted []Grant, stranded int) {
	for _, g := range granted {
		if !g.Moved() {
			delete(s.moved, g.Service)
			continue
		}
		if s.moved[g.Service] == g.On {
			continue
		}
		s.moved[g.Service] = g.On
		s.log.WarnContext(ctx, "a pool has no live worker; another stands in for it", "tenant", g.Tenant, "service", g.Service, "pool", g.Pool, "used", g.On)
		if err := s.services.NotePool(ctx, g.Tenant, g.Service, g.Pool, g.On); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "the notice about a pool could not be written", "tenant", g.Tenant, "service", g.Service, "error", err)
		}
	}
	if was := s.stranded; was != (stranded > 0) {
		s.stranded = !was
		if s.stranded {
			s.log.WarnContext(ctx, "services wait, and no worker serves their pools; start one with `syncline worker`", "services", stranded)
		}
	}
}

func (s *Scheduler) forget(ctx context.Context) error {
	if now := time.Now(); now.Before(s.cleanAt) {
		return nil
	} else {
		s.cleanAt = now.Add(cleaning)
	}
	return s.inTx(ctx, func(tx Tx) error {
		n, err := tx.DropWorkers(ctx, forgetting)
		if err != nil {
			return fmt.Errorf("forgetting dead workers: %w", err)
		}
		if n > 0 {
			s.log.WarnContext(ctx, "workers were lost; their services went to others", "workers", n)
		}
		return nil
	})
}
