// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/syncline-dev/syncline/internal/safety"
)

// planJob makes a plan of a service. River tries it again when the process that made it stopped.
type planJob struct {
	river.WorkerDefaults[safety.PlanArgs]
	planner Planner
}

// Timeout switches River's own time limit off; a plan says itself when it is lost.
func (*planJob) Timeout(*river.Job[safety.PlanArgs]) time.Duration { return -1 }

// Work calls the operation.
func (j *planJob) Work(ctx context.Context, job *river.Job[safety.PlanArgs]) error {
	return j.planner.Carry(ctx, job.Args)
}

// planExpireJob removes plans that are old.
type planExpireJob struct {
	river.WorkerDefaults[safety.ExpireArgs]
	planner Planner
}

// Timeout is generous: what a plan kept may be millions of rows.
func (*planExpireJob) Timeout(*river.Job[safety.ExpireArgs]) time.Duration { return 10 * time.Minute }

// Work calls the operation.
func (j *planExpireJob) Work(ctx context.Context, job *river.Job[safety.ExpireArgs]) error {
	return j.planner.Expire(ctx, job.Args)
}
