// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing/synctest"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/worker"
)

// process is a `syncline` process: a scheduler and a worker with its engine.
type process struct {
	run    *Run
	line   *line
	engine *engine.Engine
	worker *worker.Worker
	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	live   bool
	jobs   sync.WaitGroup
}

// Times are a little off, so that no two things of one goroutine happen at the same instant: which one it then saw first would be
// left to chance.
const (
	beat = 3*time.Second + 11*time.Nanosecond
	ttl  = 10*time.Second + 17*time.Nanosecond
)

func (r *Run) start() *process {
	r.started++
	l := newLine(fmt.Sprintf("p%d", r.started))
	if r.rng.IntN(2) == 0 {
		l.skew = time.Duration(r.rng.Int64N(int64(2*r.skew)+1)) - r.skew
	}
	l.failing, l.unheard = r.dbFailing, r.dbUnheard
	p := &process{run: r, line: l, wake: make(chan struct{}, 1), live: true}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	if r.log != nil {
		log = r.log.With("process", l.name)
	}
	p.engine = engine.New(func(ctx context.Context, t tenant.ID, fn func(engine.Tx) error) error {
		return r.store.In(ctx, l, t, "engine", func(tx *Tx) error {
			if r.spoil != nil {
				return fn(r.spoil(tx))
			}
			return fn(tx)
		})
	}, p, log)
	p.engine.Proving(func(ctx context.Context, t tenant.ID, fn func(engine.ProofTx) error) error {
		return r.store.In(ctx, l, t, "proof", func(tx *Tx) error { return fn(tx) })
	})
	p.engine.Seam = func(point string) { r.gate.Step(l.name, point) }
	p.engine.Woke = func(who string) { r.gate.Park(l.name+" "+who, "woken") }
	var err error
	p.worker, err = worker.Over(func(*worker.Worker) worker.Client { return p }, leases{r.store, l}, p.engine, nil,
		worker.Options{Beat: beat, TTL: ttl, Turn: r.turn, Log: log})
	if err != nil {
		panic(err)
	}
	r.processes = append(r.processes, p)
	r.all.Add(2)
	go func() {
		defer r.all.Done()
		if err := p.worker.Run(p.ctx); err != nil && p.ctx.Err() == nil {
			p.kill() // it could not even begin; whoever watches over processes starts another
		}
	}()
	go func() {
		defer r.all.Done()
		p.schedule(log)
	}()
	synctest.Wait() // it listens: who tells it something now is heard, always
	return p
}

// OpenSystem makes the process the engine's Opener.
func (p *process) OpenSystem(ctx context.Context, t tenant.ID, s service.ID, _ *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	for _, c := range p.run.customers {
		if c.tenant != t || c.service != s {
			continue
		}
		for _, o := range c.systems {
			if string(o.id) == system {
				return o.open(ctx, p.line, consumer)
			}
		}
		if c.register != nil && system == registerName {
			return c.register.open(ctx, p.line, consumer)
		}
	}
	return nil, connector.Spec{}, fmt.Errorf("there is no system %s", system)
}

// Start and StopAndCancel make it the worker's queue.
func (p *process) Start(context.Context) error { return nil }

// StopAndCancel waits for the jobs, which have ended or are about to.
func (p *process) StopAndCancel(context.Context) error {
	p.cancel()
	p.jobs.Wait()
	return nil
}

// do brings a job.
func (p *process) do(a service.SyncArgs, after time.Duration) {
	p.jobs.Add(1)
	p.run.all.Add(1)
	go func() {
		defer p.run.all.Done()
		defer p.jobs.Done()
		p.run.gate.sleep(p.ctx, fmt.Sprintf("%s job %s/%d", p.line.name, a.ServiceID, a.Fence), after)
		if p.ctx.Err() == nil {
			p.worker.Sync(p.ctx, a)
		}
	}()
}

// schedule is scheduler.Run, but for waiting: a tick every second, and admission when woken.
func (p *process) schedule(log *slog.Logger) {
	s := scheduler.New(func(ctx context.Context, fn func(scheduler.Tx) error) error {
		return p.run.store.In(ctx, p.line, tenant.ID{}, "scheduler", func(tx *Tx) error { return fn(tx) })
	}, p, log)
	tick := time.NewTicker(time.Second + 7*time.Nanosecond)
	defer tick.Stop()
	for {
		select {
		case <-p.wake:
			p.run.gate.Park(p.line.name+" scheduler", "woken")
			_ = s.Admit(p.ctx)
			continue
		default:
		}
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			p.run.gate.Park(p.line.name+" scheduler", "tick")
			_ = s.Tick(p.ctx)
		case <-p.wake:
			p.run.gate.Park(p.line.name+" scheduler", "woken")
			_ = s.Admit(p.ctx)
		}
		if p.ctx.Err() != nil {
			return
		}
	}
}

// QueueDue and NotePool are the scheduler's Services.
func (p *process) QueueDue(ctx context.Context, id tenant.ID, services []service.ID) error {
	return p.run.store.In(ctx, p.line, id, "queue due", func(tx *Tx) error { return tx.queueDue(ctx, services) })
}

// NotePool has nobody to tell.
func (p *process) NotePool(context.Context, tenant.ID, service.ID, string, string) error { return nil }

// kill ends the process from one instruction to the next.
func (p *process) kill() {
	p.live = false
	p.run.gate.Note("kill %s", p.line.name)
	p.run.store.kill(p.line)
	p.cancel()
}

// stop asks the process to end.
func (p *process) stop() {
	p.live = false
	p.run.gate.Note("stop %s", p.line.name)
	p.cancel()
}
