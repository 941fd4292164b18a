// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"

	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
)

// Why a service is put down before it is done.
var (
	errYield = errors.New("worker: others wait for the slot, or the service was changed")
	errTurn  = errors.New("worker: the turn is over")
	errLost  = errors.New("worker: the lease could not be kept")
)

// syncJob carries one service.
type syncJob struct {
	river.WorkerDefaults[service.SyncArgs]
	worker *Worker
}

// Timeout switches River's own time limit off; the job ends itself after its turn.
func (*syncJob) Timeout(*river.Job[service.SyncArgs]) time.Duration { return -1 }

// Work never fails: what becomes of the service is decided by its lease, not by the queue.
func (j *syncJob) Work(ctx context.Context, job *river.Job[service.SyncArgs]) error {
	j.worker.sync(ctx, job.Args)
	return nil
}

// carriage is one service in the worker's hands.
type carriage struct {
	held scheduler.Held
	stop context.CancelCauseFunc
}

// sync takes the lease up, carries the service while it can be kept, and gives it back.
func (w *Worker) sync(ctx context.Context, a service.SyncArgs) {
	held := scheduler.Held{Tenant: a.TenantID, Service: a.ServiceID, Fence: a.Fence, Pool: a.Queue, Worker: w.self.ID}
	log := w.log.With("tenant", a.TenantID.String(), "service", a.ServiceID.String(), "fence", a.Fence)

	// Taking and giving back happen also when the worker is about to stop, or the lease would lie idle until it runs out.
	since := time.Now()
	taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	taken, err := w.leases.Take(taking, held, w.options.TTL)
	cancel()
	if err != nil {
		log.ErrorContext(ctx, "a lease could not be taken up; it will be granted anew", "error", err)
		return
	}
	if !taken {
		return // an older job: somebody else carries the service, or nobody is to
	}

	carrying, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w.begin(held, stop)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		w.keep(carrying, held, since, stop)
	}()
	turn := time.AfterFunc(w.options.Turn, func() { stop(errTurn) })
	again, err := w.carry(carrying, held)
	turn.Stop()
	cause := context.Cause(carrying) // why it was stopped; nil when it ended by itself
	stop(nil)
	<-kept
	w.end(held)
	w.giveBack(ctx, log, held, ending{again: again, err: err, cause: cause})
}

func (w *Worker) begin(h scheduler.Held, stop context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carried[h.Service] = &carriage{held: h, stop: stop}
}

func (w *Worker) end(h scheduler.Held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.carried[h.Service]; c != nil && c.held.Fence == h.Fence {
		delete(w.carried, h.Service)
	}
}

// carry calls the carrier; a panic is an error like any other.
func (w *Worker) carry(ctx context.Context, h scheduler.Held) (again bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			again, err = false, &panicked{p, debug.Stack()}
		}
	}()
	return w.carrier.Carry(ctx, h.Tenant, h.Service, h.Fence)
}

type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// keep renews the lease until ctx ends. When it cannot for so long that the lease may have run out, or it went to another
// worker, the service is stopped: since is when the last renewal that worked was begun.
func (w *Worker) keep(ctx context.Context, h scheduler.Held, since time.Time, stop context.CancelCauseFunc) {
	beat := time.NewTicker(w.options.Beat)
	defer beat.Stop()
	for {
		// Stop a little before the end, so that the engine's next commit is not begun in vain.
		left := time.Until(since.Add(w.options.TTL - w.options.TTL/10))
		expiry := time.NewTimer(left)
		select {
		case <-ctx.Done():
			expiry.Stop()
			return
		case <-expiry.C:
			stop(errLost)
			return
		case <-beat.C:
		}
		expiry.Stop()
		began := time.Now()
		within, cancel := context.WithDeadline(ctx, since.Add(w.options.TTL-w.options.TTL/10))
		held, yield, err := w.leases.Keep(within, h, w.options.TTL)
		cancel()
		switch {
		case err != nil:
			// The next beat tries again, while there is time.
		case !held:
			stop(errLost)
			return
		case yield:
			stop(errYield)
			return
		default:
			since = began
		}
	}
}

// ending is how carrying a service came to an end.
type ending struct {
	again bool
	err   error
	cause error
}

// failed says whether the service itself could not be carried. What happens to one that was told to stop is no failure,
// but for a panic.
func (e ending) failed() bool {
	var p *panicked
	return e.err != nil && (e.cause == nil || errors.As(e.err, &p))
}

// goesOn says whether the service's next lease follows at once.
func (e ending) goesOn() bool {
	if e.cause == nil {
		return e.again && e.err == nil
	}
	return errors.Is(e.cause, errTurn)
}

func (w *Worker) giveBack(ctx context.Context, log *slog.Logger, h scheduler.Held, e ending) {
	steady, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	if e.failed() {
		log.ErrorContext(ctx, "a service could not be carried", "error", e.err)
	}
	if errors.Is(e.cause, errLost) {
		log.WarnContext(ctx, "a lease could not be kept; another worker may have the service")
	}
	if e.goesOn() && ctx.Err() == nil {
		done, err := w.leases.HandOver(steady, h, scheduler.GrantTTL)
		if err != nil {
			log.ErrorContext(ctx, "a lease could not be handed over; it runs out by itself", "error", err)
			return
		}
		if done {
			return
		}
	}
	// A lost lease too: if it is still ours after all, others need not wait until it runs out.
	if err := w.leases.Release(steady, h, e.failed()); err != nil {
		log.WarnContext(ctx, "a lease could not be given back; it runs out by itself", "error", err)
	}
}
