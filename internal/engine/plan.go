// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// DeletePolicy says what a deletion in one system means for the others.
type DeletePolicy string

// The policies of the document's `deletes`.
const (
	DeletePropagate DeletePolicy = "propagate" // it is deleted everywhere
	DeleteIgnore    DeletePolicy = "ignore"    // the others keep it; where it was deleted it is left alone
	DeleteArchive   DeletePolicy = "archive"   // the others keep it with ArchiveField set
)

// Collection is a set of objects, one per system at most, whose records are copies of the same entities.
type Collection struct {
	Name         string
	Seats        map[record.System]*Seat
	MatchFields  []string
	Deletes      DeletePolicy
	ArchiveField string
	ArchiveValue record.Value
	Class        string // data class for metering: the model, "" without one
	Complex      bool   // a custom transformation runs: operations are metered as complex
	Rule         func(field string) conflict.Rule
	// Flows says whether a change that from makes to the field goes to the system to (direction, pairs, primary).
	Flows func(from, to record.System, field string) bool
	// Admit says whether an entity passes the filter conditions; one that does not is sent nowhere.
	Admit func(record.Fields) bool
	// Check validates an incoming record's entity fields; a failing one is quarantined as a dead letter. May be nil.
	Check func(record.Fields) error
	Brake *Brake // holds changes that are larger than anybody meant; nil is the one that is always on
}

// Seat is one object of one system in a collection, opened.
type Seat struct {
	System     record.System
	Object     record.Object
	Collection *Collection
	Info       connector.ObjectInfo
	Map        *mapping.Plan
	Open       connector.System
	Premium    bool // price class of the integration
	Reads      bool // its changes are wanted after the first sync
	Writes     bool // it receives changes
}

// Plan is a revision compiled against the systems as they are.
type Plan struct {
	Service     service.ID
	Name        string
	Revision    int
	Realtime    bool
	BatchSize   int
	Collections []*Collection
	Seats       []*Seat
}

// targets are the systems of the collection that receive anything from the system, in a stable order.
func (c *Collection) targets(from record.System) []*Seat {
	var out []*Seat
	for _, s := range c.Seats {
		if s.System != from && s.Writes && c.flowsAny(from, s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Seat) int {
		if a.System < b.System {
			return -1
		}
		return 1
	})
	return out
}

func (c *Collection) flowsAny(from record.System, to *Seat) bool {
	for _, f := range to.Map.Fields() {
		if c.Flows(from, to.System, f) {
			return true
		}
	}
	return false
}

// newID makes ids in the order of time; journal entries and conflicts are listed by it.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
