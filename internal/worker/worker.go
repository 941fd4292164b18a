// SPDX-License-Identifier: Apache-2.0

// Package worker is the process that carries services: River brings the jobs in, each kind calls one operation.
//
// A sync job holds a service's lease while the engine carries it. The lease is what counts, not the job: it is renewed
// while the service is carried, and who cannot renew it in time stops by itself, because another worker may have it. Every
// commit of the engine checks the lease's fence, so a worker that was cut off and comes back can write nothing.
//
//	granted by the scheduler ─► taken ─► kept every 3 s ─► handed over (its turn is over, the service goes on)
//	                              │                    ├─► released (done, failed, asked to yield, worker stops)
//	                              └─ not ours any more └─► lost (not renewed in time): stop, write nothing
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"

	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Carrier carries a service's data; *engine.Engine is one.
type Carrier interface {
	// Carry executes the service's queued runs and, when it is realtime, follows its systems until ctx ends; it then stops
	// at the next commit. The caller holds the lease with that fence. again asks to be called anew at once.
	Carry(ctx context.Context, t tenant.ID, s service.ID, fence int64) (again bool, err error)
}

// Nudger is a Carrier that wants to know when something was asked of a service that it carries: a run, an end to one.
type Nudger interface {
	Nudge(s service.ID)
}

// Cleaner removes what connectors left in systems; *service.Manager is one.
type Cleaner interface {
	Clean(ctx context.Context, a service.CleanArgs, last bool) (later bool, err error)
}

// Collector brings invoices to the payment provider; *invoicing.Collector is one.
type Collector interface {
	Collect(ctx context.Context, a invoicing.CollectArgs) error
}

// Planner makes plans of services; *safety.Planner is one.
type Planner interface {
	Carry(ctx context.Context, a safety.PlanArgs) error
	Expire(ctx context.Context, a safety.ExpireArgs) error
}

// Leases is the worker's view of the database; *store.Leases is it.
type Leases interface {
	Beat(ctx context.Context, w scheduler.Worker) error
	Leave(ctx context.Context, id uuid.UUID) error
	Yielding(ctx context.Context, id uuid.UUID) ([]scheduler.Held, error)
	Take(ctx context.Context, h scheduler.Held, ttl time.Duration) (taken bool, err error)
	Keep(ctx context.Context, h scheduler.Held, ttl time.Duration) (held, yield bool, err error)
	Release(ctx context.Context, h scheduler.Held, failed bool) error
	HandOver(ctx context.Context, h scheduler.Held, ttl time.Duration) (done bool, err error)
}

// Options say what the process is. Zero values have defaults.
type Options struct {
	Pools   []string // the pools it serves; empty: the default pool
	Slots   int      // how many services it carries at once; 0: DefaultSlots
	Region  string   // for people
	Host    string   // for people
	Version string   // for people
	Schema  string   // the database schema of River's tables
	Log     *slog.Logger

	// Collector brings invoices to the payment provider; nil where nobody collects.
	Collector Collector

	// Planner makes plans of services; nil where none are made.
	Planner Planner

	// Beat is how often leases are kept and the worker says that it lives; TTL how long a lease lasts without; Turn how long
	// a service is carried before its next lease. 0: 3 s, 10 s, 30 min. Tests shorten them.
	Beat, TTL, Turn time.Duration

	// StopWithin is how long a worker that stops waits for its services to reach the next commit; 0: 20 s. The leases of
	// those that do not make it run out.
	StopWithin time.Duration
}

// DefaultSlots is how many services a worker carries at once that is not told otherwise. One that waits for changes costs a
// few connections and goroutines.
const DefaultSlots = 64

// River's own time limits do not end a sync job: it ends itself after its turn. A job whose process died is marked as
// lost after this time; the service went to another worker long before.
const rescueAfter = time.Hour

// settleWithin is how long giving a lease back may take.
const settleWithin = 5 * time.Second

// Worker is one such process.
type Worker struct {
	self    scheduler.Worker
	options Options
	log     *slog.Logger
	leases  Leases
	carrier Carrier
	cleaner Cleaner
	client  Client
	look    chan struct{}

	mu      sync.Mutex
	carried map[service.ID]*carriage
}

var poolName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// prepare makes a worker without a queue, and fills in the defaults of its options.
func prepare(leases Leases, carrier Carrier, cleaner Cleaner, o Options) (*Worker, Options, error) {
	if len(o.Pools) == 0 {
		o.Pools = []string{scheduler.DefaultPool}
	}
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	if o.Slots < 1 || o.Slots > 10_000 {
		return nil, o, fmt.Errorf("a worker has 1 to 10,000 slots, not %d", o.Slots)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.Beat, 3 * time.Second}, {&o.TTL, 10 * time.Second}, {&o.Turn, 30 * time.Minute}, {&o.StopWithin, 20 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if o.TTL < 2*o.Beat {
		return nil, o, fmt.Errorf("leases of %s cannot be kept by renewing them every %s", o.TTL, o.Beat)
	}
	w := &Worker{
		self: scheduler.Worker{
			ID: uuid.Must(uuid.NewV7()), Pools: o.Pools, Region: o.Region, Slots: o.Slots, Host: o.Host, Version: o.Version, StartedAt: time.Now().UTC(),
		},
		options: o, leases: leases, carrier: carrier, cleaner: cleaner, look: make(chan struct{}, 1), carried: map[service.ID]*carriage{},
	}
	w.log = o.Log.With("worker", ident.Format(ident.Worker, w.self.ID))

	for _, pool := range o.Pools {
		if !poolName.MatchString(pool) || pool == service.ChoresPool || pool == safety.PlansPool {
			return nil, o, fmt.Errorf("%q cannot be the name of a pool; it is made of small letters, digits, hyphens and underscores, and is neither %s nor %s", pool, service.ChoresPool, safety.PlansPool)
		}
	}
	return w, o, nil
}

// Client is a queue that brings jobs; River's client is one.
type Client interface {
	Start(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// Over makes a worker whose jobs the client brings to Sync: for a queue that is not River's.
func Over(client func(*Worker) Client, leases Leases, carrier Carrier, cleaner Cleaner, o Options) (*Worker, error) {
	w, _, err := prepare(leases, carrier, cleaner, o)
	if err != nil {
		return nil, err
	}
	w.client = client(w)
	return w, nil
}

// Sync does a sync job.
func (w *Worker) Sync(ctx context.Context, a service.SyncArgs) { w.sync(ctx, a) }

// New makes a worker that gets its jobs through the driver. Nothing starts before Run.
func New[T any](driver riverdriver.Driver[T], leases Leases, carrier Carrier, cleaner Cleaner, o Options) (*Worker, error) {
	w, o, err := prepare(leases, carrier, cleaner, o)
	if err != nil {
		return nil, err
	}
	queues := map[string]river.QueueConfig{service.ChoresPool: {MaxWorkers: 2}}
	for _, pool := range o.Pools {
		queues[pool] = river.QueueConfig{MaxWorkers: o.Slots}
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &syncJob{worker: w})
	river.AddWorker(workers, &cleanJob{worker: w})
	river.AddWorker(workers, &collectJob{collector: o.Collector})
	if o.Planner != nil {
		queues[safety.PlansPool] = river.QueueConfig{MaxWorkers: 2}
		river.AddWorker(workers, &planJob{planner: o.Planner})
		river.AddWorker(workers, &planExpireJob{planner: o.Planner})
	}
	c, err := river.NewClient(driver, &river.Config{
		ID:                   ident.Format(ident.Worker, w.self.ID),
		Schema:               o.Schema,
		Queues:               queues,
		Workers:              workers,
		Logger:               slog.New(atLeast{o.Log.Handler(), slog.LevelWarn}),
		FetchCooldown:        10 * time.Millisecond,
		FetchPollInterval:    time.Second,
		JobTimeout:           -1,
		RescueStuckJobsAfter: rescueAfter,
		// Jobs that were done are of no interest for long: what happened to a service is in its runs and its journal.
		CompletedJobRetentionPeriod: 10 * time.Minute,
		// Rebuilding indexes is for the tables' owner, and the program works as a role that owns nothing.
		ReindexerIndexNames: []string{},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the job queue: %w", err)
	}
	w.client = c
	return w, nil
}

// ID names the worker.
func (w *Worker) ID() uuid.UUID { return w.self.ID }

// Run works until ctx ends. It then takes up nothing more, stops its services at their next commit, gives their leases
// back so that others carry on at once, and returns nil when all of it has stopped.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.leases.Beat(ctx, w.self); err != nil {
		return fmt.Errorf("registering the worker: %w", err)
	}
	// River is stopped by StopAndCancel, after the worker has left, and not by ctx.
	if err := w.client.Start(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(fmt.Errorf("starting to work: %w", err), w.leave(ctx))
	}
	w.log.InfoContext(ctx, "the worker is ready", "pools", w.self.Pools, "slots", w.self.Slots)
	w.live(ctx)
	err := w.leave(ctx)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.options.StopWithin)
	defer cancel()
	if stop := w.client.StopAndCancel(stopping); stop != nil {
		err = errors.Join(err, fmt.Errorf("stopping: %w", stop))
	}
	return err
}

func (w *Worker) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	if err := w.leases.Leave(ctx, w.self.ID); err != nil {
		return fmt.Errorf("signing the worker off: %w", err)
	}
	return nil
}

// live says that the worker lives, and looks for leases to give up, until ctx ends.
func (w *Worker) live(ctx context.Context) {
	beat := time.NewTicker(w.options.Beat)
	defer beat.Stop()
	failing := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			within, cancel := context.WithTimeout(ctx, w.options.TTL)
			err = w.leases.Beat(within, w.self)
			cancel()
		case <-w.look:
			err = w.giveWay(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				w.log.ErrorContext(ctx, "the worker does not reach the database", "error", err)
			} else {
				w.log.InfoContext(ctx, "the worker reaches the database again")
			}
		}
	}
}

// Wake makes the worker look at once whether it is to give something up, and hands the word on to the service's carrier. s
// is the service concerned, zero for any. It never blocks.
func (w *Worker) Wake(s service.ID) {
	if n, ok := w.carrier.(Nudger); ok {
		for _, id := range w.carrying() {
			if s == id || s == (service.ID{}) {
				n.Nudge(id)
			}
		}
	}
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// carrying lists the services that the worker carries now.
func (w *Worker) carrying() []service.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]service.ID, 0, len(w.carried))
	for id := range w.carried {
		ids = append(ids, id)
	}
	return ids
}

// Carrying says how many services the worker carries now.
func (w *Worker) Carrying() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.carried)
}

// giveWay stops what is asked to yield, without waiting for the next beat.
func (w *Worker) giveWay(ctx context.Context) error {
	if w.Carrying() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.options.TTL)
	defer cancel()
	asked, err := w.leases.Yielding(ctx, w.self.ID)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range asked {
		if c := w.carried[h.Service]; c != nil && c.held.Fence == h.Fence {
			c.stop(errYield)
		}
	}
	return nil
}

// atLeast passes on what is at least of a level; River says much that is of no concern.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
