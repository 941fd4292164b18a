// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/syncline-dev/syncline/internal/service"
)

// cleanJob removes what a connector left in a system that a service does not use any more. River tries it again.
type cleanJob struct {
	river.WorkerDefaults[service.CleanArgs]
	worker *Worker
}

// Timeout is generous: removing triggers waits for locks in the customer's database.
func (*cleanJob) Timeout(*river.Job[service.CleanArgs]) time.Duration { return 2 * time.Minute }

// stoppingPause is how long a worker that still has to stop is waited for.
const stoppingPause = 2 * time.Second

// Work calls the operation.
func (j *cleanJob) Work(ctx context.Context, job *river.Job[service.CleanArgs]) error {
	later, err := j.worker.cleaner.Clean(ctx, job.Args, job.Attempt >= job.MaxAttempts)
	if err == nil && later {
		return river.JobSnooze(stoppingPause)
	}
	return err
}
