// SPDX-License-Identifier: Apache-2.0

// Package scheduler decides which service gets a worker's slot when, on which pool, fairly between tenants.
//
// Pick is the decision, a function of the load alone. Scheduler is the shell around it: every process runs one, and in a
// tick only one of them decides (it holds a lock of the database for that transaction). What it decides is written as
// leases and jobs in the same commit, so a process may end at any moment.
//
//	service due ──────────► a run is queued                     (each second)
//	service needs a worker ► Pick ► lease granted, job enqueued (each second, and at once when woken)
//	                          └───► a lease asked to yield, when others wait for its slot
package scheduler

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// DefaultPool stands in for a pool that has no live worker.
const DefaultPool = "default"

// Worker is a process that carries services.
type Worker struct {
	ID        uuid.UUID
	Pools     []string
	Region    string
	Slots     int // how many services it carries at once
	Host      string
	Version   string
	StartedAt time.Time
	SeenAt    time.Time
}

// Serves says whether the worker belongs to the pool.
func (w Worker) Serves(pool string) bool { return slices.Contains(w.Pools, pool) }

// Held is a lease in force: a slot in use.
type Held struct {
	Tenant   tenant.ID
	Service  service.ID
	Fence    int64
	Pool     string    // the pool it was granted on
	Worker   uuid.UUID // zero: granted, no worker has taken it up yet
	Priority int       // of the service: 0 critical to 3 bulk
	Since    time.Time // when the worker took it up, or when it was granted
	Yield    bool      // it is asked to stop already
}

// Candidate is a service that needs a worker and has none.
type Candidate struct {
	Tenant   tenant.ID
	Service  service.ID
	Pool     string        // the pool that the service belongs to
	Priority int           // 0 critical to 3 bulk
	Since    time.Time     // waiting since
	MaxDelay time.Duration // how long a change may be owed by its document; 0 for no limit
}

// nears says whether the service, which nobody has read for since it waits, has used up half of its maximum delay: the other half
// is for getting a slot and for the work.
func (c Candidate) nears(now time.Time) bool {
	return c.MaxDelay > 0 && now.Sub(c.Since) >= c.MaxDelay/2
}

// Load is the state of affairs that Pick decides on.
type Load struct {
	Now     time.Time
	Workers []Worker // the live ones
	Held    []Held
	Waiting []Candidate       // in any order; not necessarily all of a tenant's, but its most urgent ones
	Weights map[tenant.ID]int // a tenant's share of the slots relative to others'; absent means 1
}

// Grant hands a slot to a service. Pool is where the job goes: the service's own pool, or DefaultPool in its stead.
type Grant struct {
	Candidate
	On string
}

// Moved says whether another pool stands in for the service's own.
func (g Grant) Moved() bool { return g.On != g.Pool }

// Plan is what Pick decides.
type Plan struct {
	Grants   []Grant
	Yields   []Held      // leases that are asked to stop at the next commit
	Stranded []Candidate // no live worker serves their pool, nor DefaultPool
}
