// SPDX-License-Identifier: Apache-2.0

package service

import (
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// ID names a service.
type ID uuid.UUID

func (id ID) String() string { return uuid.UUID(id).String() }

// MarshalText writes the bare uuid; job arguments carry it.
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads a bare uuid.
func (id *ID) UnmarshalText(b []byte) error { return (*uuid.UUID)(id).UnmarshalText(b) }

// RunID names a run.
type RunID uuid.UUID

func (id RunID) String() string { return uuid.UUID(id).String() }

// SyncArgs asks a worker to carry a service's data: to execute its queued runs and, for a realtime service, to follow its
// systems until the lease ends. Fence must be the lease's present one; an older job does nothing.
type SyncArgs struct {
	TenantID  tenant.ID `json:"tenantId"`
	ServiceID ID        `json:"serviceId"`
	Fence     int64     `json:"fence"`
	Queue     string    `json:"pool"`
}

// Kind names the job.
func (SyncArgs) Kind() string { return "sync" }

// Pool is the worker pool that the service belongs to.
func (a SyncArgs) Pool() string { return a.Queue }

// RunKind says why a run was made.
type RunKind string

// The kinds of runs.
const (
	FirstRun     RunKind = "first"     // reads everything once, when a service or a system of it is new
	ScheduledRun RunKind = "scheduled" // the schedule said so
	ManualRun    RunKind = "manual"    // a person or program asked: read all objects from their cursors now
	BulkRun      RunKind = "bulk"      // reads records again that a selection names, beside the stream of changes
	RecordsRun   RunKind = "records"   // the same for a few records that somebody waits for
)

// Beside says whether runs of the kind read beside the stream of changes, and so beside other runs.
func (k RunKind) Beside() bool { return k == BulkRun || k == RecordsRun }

// Selection says which records a run reads again. All that is said must hold; nothing said is everything.
type Selection struct {
	Source     string            `json:"sourceSystem,omitempty"`  // the system that is read; "" for each that takes part as a source
	Targets    []string          `json:"targetSystems,omitempty"` // the systems that are brought up to date also where nothing changed; empty for all
	Object     string            `json:"object,omitempty"`        // of the source; "" for all of its objects
	From       record.Key        `json:"from,omitempty"`          // the first key, in the source's order of keys
	To         record.Key        `json:"to,omitempty"`            // the last one
	Records    []record.Key      `json:"records,omitempty"`       // these keys and no others
	Since      time.Time         `json:"updatedSince,omitzero"`   // changed since, by the source's own word
	Conditions []FilterCondition `json:"conditions,omitempty"`    // on entity fields
	Expression string            `json:"expression,omitempty"`    // on entity fields
	Force      bool              `json:"force,omitempty"`         // the targets' copies are read again as well
}

// Everything says whether the selection leaves nothing out.
func (s *Selection) Everything() bool {
	return s.Source == "" && len(s.Targets) == 0 && s.Object == "" && s.From == "" && s.To == "" && len(s.Records) == 0 && s.Since.IsZero() && len(s.Conditions) == 0 && s.Expression == ""
}

// Reads says whether records of the object are read.
func (s *Selection) Reads(system record.System, object record.Object) bool {
	return (s.Source == "" || s.Source == string(system)) && (s.Object == "" || s.Object == string(object))
}

// RunState is where a run stands.
type RunState string

// The states of a run. queued -> running -> succeeded | partial | failed | cancelled; queued -> cancelled.
const (
	RunQueued    RunState = "queued"
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded" // everything read is applied or equal
	RunPartial   RunState = "partial"   // finished, but some records are dead letters or in conflict
	RunFailed    RunState = "failed"    // stopped by an error that trying again did not mend
	RunCancelled RunState = "cancelled" // stopped by a person; what was committed stays, a later run goes on there
)

var runMoves = map[RunState][]RunState{
	RunQueued:  {RunRunning, RunCancelled},
	RunRunning: {RunSucceeded, RunPartial, RunFailed, RunCancelled},
}

// Counts are a run's figures for one system.
type Counts struct {
	Read      int64 `json:"read"`      // changes read from it
	Equal     int64 `json:"equal"`     // of those, echoes and records that were equal already
	Created   int64 `json:"created"`   // records created in it
	Updated   int64 `json:"updated"`   // records updated in it
	Deleted   int64 `json:"deleted"`   // records deleted in it
	Conflicts int64 `json:"conflicts"` // conflicts its changes were part of
	Rejected  int64 `json:"rejected"`  // dead letters, in and out
	Held      int64 `json:"held"`      // changes the brake held
	Done      int64 `json:"done"`      // snapshot: records read
	Total     int64 `json:"total"`     // snapshot: about how many there are; 0 when unknown
	Owed      int64 `json:"owed"`      // records still to be delivered to it
}

// Add adds d to c, field by field; Done, Total and Owed are levels, replaced where d has them.
func (c Counts) Add(d Counts) Counts {
	c.Read += d.Read
	c.Equal += d.Equal
	c.Created += d.Created
	c.Updated += d.Updated
	c.Deleted += d.Deleted
	c.Conflicts += d.Conflicts
	c.Rejected += d.Rejected
	c.Held += d.Held
	if d.Done > 0 {
		c.Done = d.Done
	}
	if d.Total > 0 {
		c.Total = d.Total
	}
	c.Owed = d.Owed
	return c
}

// Run is one execution of a service.
type Run struct {
	ID         RunID
	Service    ID
	Kind       RunKind
	State      RunState
	Actor      string // who asked: a member's or key's name, or "schedule"
	Revision   int
	CreatedAt  time.Time
	StartedAt  *time.Time
	FinishedAt *time.Time
	CancelAt   *time.Time // somebody asked to stop it
	Counts     map[record.System]Counts
	ErrorCode  string
	Error      string
	Version    int64
	Selection  *Selection // of runs beside the stream; read by those who carry them out
}

// To returns the run in its next state, or the fault run.state when that move is not allowed.
func (r Run) To(next RunState, now time.Time) (Run, error) {
	for _, s := range runMoves[r.State] {
		if s != next {
			continue
		}
		r.State = next
		switch next {
		case RunRunning:
			r.StartedAt = &now
		default:
			r.FinishedAt = &now
		}
		return r, nil
	}
	return r, fault.New(fault.Conflict, "run.state", "A run that is %s cannot become %s.", r.State, next)
}

// Over says whether the run has ended.
func (r Run) Over() bool { return r.FinishedAt != nil }

// Progress returns how many records of how many the run has handled in all systems; total 0 means unknown.
func (r Run) Progress() (done, total int64) {
	for _, c := range r.Counts {
		done += c.Done
		total += max(c.Total, c.Done)
	}
	return done, total
}
