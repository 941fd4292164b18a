// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// JobSchema is the database schema of River's tables.
const JobSchema = "river"

// River's client for inserting has nothing to say that the error does not.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// JobArgs are a job's arguments; they carry ids only. Packages declare them without importing River. It is an alias, so
// that their Tx interfaces can write the type out.
type JobArgs = interface{ Kind() string }

// Pooled job arguments name the pool, which is River's queue; others go to River's default queue.
type Pooled interface{ Pool() string }

// jobOptions is the one table of how kinds are queued.
var jobOptions = map[string]river.InsertOpts{
	// A service is handed to a worker again by the scheduler when its lease ends, so the queue must not try on its own.
	"sync": {MaxAttempts: 1},
	// A system that is away for a while comes back, mostly; with River's pauses these tries span half a day.
	"clean": {MaxAttempts: 14},
	// Whoever collects may be away for a day; what is given up here is taken up again by the next look at open invoices.
	"collect": {MaxAttempts: 16},
	// What is wrong with a plan ends it; this is for a process that stopped or a database that was away.
	"plan":        {MaxAttempts: 5},
	"plan_expire": {MaxAttempts: 14},
}

// Timed job arguments say when the job is to be done; others are done at once.
type Timed interface{ Due() time.Time }

func optionsFor(args JobArgs) *river.InsertOpts {
	o := jobOptions[args.Kind()]
	if p, ok := args.(Pooled); ok {
		o.Queue = p.Pool()
	}
	if d, ok := args.(Timed); ok {
		o.ScheduledAt = d.Due()
	}
	return &o
}

// Enqueue inserts a job that runs when, and only if, the transaction commits.
func (t *Tx) Enqueue(ctx context.Context, args JobArgs) error {
	_, err := t.jobs.InsertTx(ctx, t.tx, args, optionsFor(args))
	return enqueued(args, err)
}

// Enqueue inserts a job that runs when, and only if, the transaction commits.
func (t *OperatorTx) Enqueue(ctx context.Context, args JobArgs) error {
	_, err := t.jobs.InsertTx(ctx, t.tx, args, optionsFor(args))
	return enqueued(args, err)
}

func enqueued(args JobArgs, err error) error {
	if err != nil {
		return fmt.Errorf("enqueueing %s: %w", args.Kind(), err)
	}
	return nil
}

var _ rivertype.JobArgs = JobArgs(nil)
