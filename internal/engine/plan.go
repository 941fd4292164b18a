// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/match"
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
	// Routed says whether the rules choose the system `to` for an entity with these fields, for what the system `from` changed.
	// Nil when they choose nothing: where Flows lets a change pass, it passes.
	Routed func(from, to record.System, fields record.Fields) bool
	// Assigns are the rules that copy a source's field to another field of the entity.
	Assigns []Assign
	// Actions are the rules that do something when a record comes to meet them.
	Actions []Action
	// Likeness tells records that are the same without being equal; nil where nobody asks for it.
	Likeness *match.Likeness
	// Repeats are the checks that keep out records which say the same as another one.
	Repeats []Repeat
	// Matches are the fields that names such as amounts_match in conditions ask about.
	Matches map[string]string
	// Admit says whether an entity passes the filter conditions; one that does not is sent nowhere.
	Admit func(record.Fields) bool
	// Check validates a record that came in from a system; a failing one is quarantined as a dead letter. May be nil.
	Check func(from *Seat, fields record.Fields) error
	// CheckField validates what a rule made of two claims: a result that breaks the field's rule is not taken. May be nil.
	CheckField func(field string, v record.Value) error
	// Clean tidies a record that came in; own holds the fields that came out other than they went in, as they were. Tidying
	// twice changes nothing more. May be nil.
	Clean func(record.Fields) (clean, own record.Fields)
	// CleanField is Clean for one field. Nil when Clean is.
	CleanField func(field string, v record.Value) record.Value
	// Computed are the fields that business rules compute, in the order in which they are computed.
	Computed []Computed
	// Children are the fields of collections whose values name records of this one.
	Children []Child
	// sources are the lookup services that the document names: whose values are theirs yields to what systems say.
	sources map[record.System]bool
	types   map[string]mapping.Kind // of the entity's fields
	Brake   *Brake                  // holds changes that are larger than anybody meant; nil is the one that is always on
}

// Computed is a field that a rule computes from the record's others. What a system says of it does not count.
type Computed struct {
	Field string
	Rule  string // the business rule's name
	// Value computes it. A record for which it cannot be computed, because a field it needs has no value or one of another
	// kind, has none.
	Value func(record.Fields) record.Value
}

// Action is a rule with a condition and an action. It acts when a record comes to meet the condition, once, and again only
// after it had ceased to.
type Action struct {
	Rule    string
	Do      string        // the document's word
	Source  record.System // only when this system changed the record; "" is any
	Targets []string      // the systems that the rule names, for who takes the action up
	Holds   func(record.Fields) bool
	Options map[string]any // the rule's `with`
	Window  time.Duration  // a duplicate check: how far apart duplicates may be; 0 for other rules
	Fields  []string       // a duplicate check: what is equal in duplicates
}

// Approves says whether the record waits for a person while it meets the rule.
func (a *Action) Approves() bool { return a.Do == ActRequireApproval }

// Actions of business rules that the engine itself knows. All others are noted and told, for people and for what takes them
// up.
const (
	ActRequireApproval = "require_approval"
	ActReview          = "flag_for_review"  // also what a duplicate check does when nothing is said
	ActReconciled      = "mark_reconciled"  // the record is settled for as long as it meets the rule
	ActInvoice         = "generate_invoice" // waits for who takes it up, once
	ActQuarantine      = "quarantine"
	ActSkip            = "skip"
)

// Assign is a rule in source, target and mapping form: when the source changes the record and the condition holds, its field
// From is also the value of the entity's field To, which the target has.
type Assign struct {
	Rule   string
	Source record.System // "" is any
	Holds  func(record.Fields) bool
	From   string
	To     string
}

// computes returns the rule that computes the field.
func (c *Collection) computes(field string) bool {
	return slices.ContainsFunc(c.Computed, func(p Computed) bool { return p.Field == field })
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
	// Refs are the fields whose values name other records of the system.
	Refs []Reference
	// Withheld are the entity's fields that the system has, or had, and that are left alone there because of a schema change.
	Withheld []string

	links directory // of which the references are translated; nil leaves them as they are
}

// Plan is a revision compiled against the systems as they are.
type Plan struct {
	Quiet         time.Duration // how long a record that people changed rests before it is carried
	Service       service.ID
	Name          string
	Revision      int
	Realtime      bool
	BatchSize     int
	Transactional bool          // what one system refuses none keeps
	MaxDelay      time.Duration // how long a change may be owed; 0 for no limit
	Proof         time.Duration // how long after a comparison the next begins by itself; 0 for none unasked, negative for as often as it is cheap
	Collections   []*Collection
	Seats         []*Seat
	References    ReferenceRules
	Sources       []*Source // lookup services, in the order in which they are asked
	Alerts        []AlertRule
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
