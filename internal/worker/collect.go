// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/syncline-dev/syncline/billing/invoicing"
)

// collectJob brings an invoice to the payment provider and takes back what became of it. River tries it again.
type collectJob struct {
	river.WorkerDefaults[invoicing.CollectArgs]
	collector Collector
}

// Timeout is generous: an invoice of hundreds of lines is as many requests.
func (*collectJob) Timeout(*river.Job[invoicing.CollectArgs]) time.Duration { return 10 * time.Minute }

// NextRetry is when people are told that it is tried again.
func (*collectJob) NextRetry(job *river.Job[invoicing.CollectArgs]) time.Time {
	return invoicing.NextTry(job.Attempt, time.Now())
}

// Work calls the operation. Without a provider there is nothing to be done: once there is one, open invoices are found again.
func (j *collectJob) Work(ctx context.Context, job *river.Job[invoicing.CollectArgs]) error {
	if j.collector == nil {
		return nil
	}
	args := job.Args
	args.Attempt = job.Attempt
	return j.collector.Collect(ctx, args)
}
