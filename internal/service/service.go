// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// Public returns the id as people and programs see it: "svc_...".
func (id ID) Public() string { return ident.Format(ident.Service, id) }

// Consumer names the service to one of its systems, see connector.Env.Consumer. The system is part of it: two systems of a service
// may be two databases of one server, which knows the names of replication slots only once.
func (id ID) Consumer(system string) string { return ident.Service + "_" + id.String() + "." + system }

// ParseID reads the public form.
func ParseID(s string) (ID, error) {
	id, err := ident.Parse(ident.Service, s)
	return ID(id), err
}

// Public returns the id as people and programs see it: "run_...".
func (id RunID) Public() string { return ident.Format(ident.Run, id) }

// ParseRunID reads the public form.
func ParseRunID(s string) (RunID, error) {
	id, err := ident.Parse(ident.Run, s)
	return RunID(id), err
}

// NewID makes an id that sorts after those made before it.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// NewRunID makes an id that sorts after those made before it.
func NewRunID() RunID { return RunID(uuid.Must(uuid.NewV7())) }

// State says whether a service works.
type State string

// The states of a service.
const (
	Draft          State = "draft"           // saved, never carried: not complete yet, or not wanted yet
	Active         State = "active"          // it is carried
	Paused         State = "paused"          // stopped by a person; what it owes waits
	ActionRequired State = "action_required" // stopped by Syncline until a person does what Reason says
	Archived       State = "archived"        // put away for good; its records' history is kept
)

// moves are the legal moves between states, with what leads to each.
var moves = map[State][]State{
	Draft: {
		Active,   // a complete document is applied
		Archived, // archived
	},
	Active: {
		Paused,         // paused
		ActionRequired, // something only a person can mend came up
		Archived,       // archived
	},
	Paused: {
		Active,   // resumed
		Archived, // archived
	},
	ActionRequired: {
		Active,   // resumed, or a document is applied that mends it
		Paused,   // paused
		Archived, // archived
	},
	Archived: {
		Active, // a document of its name is applied again, or resumed
	},
}

// States lists the states in the order of a service's life.
var States = []State{Draft, Active, Paused, ActionRequired, Archived}

// May says whether a service in state s can move to next.
func (s State) May(next State) bool { return slices.Contains(moves[s], next) }

// The classes of priority; lower goes first. They are the words of the document's syncConfig.priority, and what a realtime
// service has that does not say.
const (
	PriorityCritical = 0
	PriorityRealtime = 1
	PriorityStandard = 2
	PriorityBulk     = 3
)

// DefaultPool is the pool of services that belong to no other.
const DefaultPool = "default"

// Service is what a customer configures and pays for: the same records kept equal in several systems.
type Service struct {
	ID        ID
	Name      string // unique in the tenant, as in the document
	State     State
	Reason    string // why it needs a person, for ActionRequired; "" otherwise
	Revision  int    // the live one
	Realtime  bool   // carried all the time; otherwise only while a run is open
	Pool      string
	Priority  int
	MaxDelay  time.Duration // how long a change may be owed; 0 for no limit
	NextRunAt *time.Time    // nil when no run is scheduled: realtime, or not active
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64
}

// To returns the service in another state, or the fault service.state when that move is not allowed. reason is for people
// and kept for ActionRequired alone. Who moves it to Active also sets NextRunAt.
func (s Service) To(next State, reason string, now time.Time) (Service, error) {
	if !s.State.May(next) {
		return s, fault.New(fault.Conflict, "service.state", "The service %s is %s and cannot become %s.", s.Name, s.State, next)
	}
	s.State, s.Reason, s.UpdatedAt = next, "", now
	if next == ActionRequired {
		s.Reason = reason
	}
	if next != Active {
		s.NextRunAt = nil
	}
	return s, nil
}

// planned sets what the scheduler goes by from the document. A schedule that did not change keeps its next run.
func (s Service) planned(doc, before *Document, zone *time.Location, now time.Time) Service {
	schedule := doc.Schedule()
	s.Realtime = schedule.Kind == Realtime
	s.Pool = poolOf(doc)
	s.Priority = priorityOf(doc)
	s.MaxDelay = doc.MaxDelay()
	switch {
	case s.State != Active:
		s.NextRunAt = nil
	case s.NextRunAt == nil || before == nil || !before.Schedule().equal(schedule):
		s.NextRunAt = nextRun(schedule, now, zone)
	}
	return s
}

// equal says whether both come due at the same times. The zones are compared by name, because each reading of a document
// makes its own.
func (s Schedule) equal(o Schedule) bool {
	a, b := s, o
	a.Zone, b.Zone = nil, nil
	return a == b && (s.Zone == nil) == (o.Zone == nil) && (s.Zone == nil || s.Zone.String() == o.Zone.String())
}

// poolOf is the pool of the class that the document chooses: the class's own name, and the default pool for what is shared.
func poolOf(doc *Document) string {
	if doc.SyncConfig.Pool == billing.DedicatedPool {
		return billing.DedicatedPool
	}
	return DefaultPool
}

func priorityOf(doc *Document) int {
	switch doc.SyncConfig.Priority {
	case "critical":
		return PriorityCritical
	case "standard":
		return PriorityStandard
	case "bulk":
		return PriorityBulk
	}
	if doc.Schedule().Kind == Realtime {
		return PriorityRealtime
	}
	return PriorityStandard
}

// nextRun returns when the next scheduled run is due after a time; nil for never.
func nextRun(s Schedule, after time.Time, zone *time.Location) *time.Time {
	next := s.Next(after, zone)
	if next.IsZero() {
		return nil
	}
	next = next.UTC().Truncate(time.Microsecond)
	return &next
}

// followingRun returns when the run after the one due at `due` is due: an interval keeps its beat, and what was missed
// meanwhile is made up for by one run, not by many.
func followingRun(s Schedule, due, now time.Time, zone *time.Location) *time.Time {
	next := nextRun(s, due, zone)
	if next == nil || next.After(now) {
		return next
	}
	return nextRun(s, now, zone)
}

// Revision is one accepted document of a service. It never changes.
type Revision struct {
	Service   ID
	Number    int // 1, 2, 3 ...
	Document  *Document
	Source    string // as it was written
	Format    Format // of Source
	Author    string
	Note      string
	CreatedAt time.Time
}

// InlineConnection names the connection whose settings stand in the document of a service.
func InlineConnection(service, systemID string) string { return service + "/" + systemID }

// ConnectionName returns the name of the connection that a system or lookup service of the document uses; "" for one it does not
// have.
func (d *Document) ConnectionName(systemID string) string {
	s, ok := d.connectable(systemID)
	switch {
	case !ok:
		return ""
	case s.Connection.Settings != nil:
		return InlineConnection(d.Service, s.ID)
	case s.Connection.Name != "":
		return s.Connection.Name
	}
	return s.ID
}
