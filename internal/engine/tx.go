// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Why a flow must stop at once without committing. They come from Tx.Guard, which every commit of the engine passes.
var (
	ErrFenced  = errors.New("engine: another worker carries the service now")
	ErrRevised = errors.New("engine: the service has a new revision")
	ErrPaused  = errors.New("engine: the service is not active")
)

// ErrLinkTaken is SaveSettling's answer when a record that a new link names is another entity's already. Nothing can be done in that
// transaction any more.
var ErrLinkTaken = errors.New("engine: the record is linked to another entity")

// Guard is what must still be true for a flow to write.
type Guard struct {
	Service  service.ID
	Fence    int64
	Revision int
}

// Position is where reading an object stands.
type Position struct {
	System    record.System
	Object    record.Object
	Cursor    record.Cursor
	Phase     connector.Phase
	Done      int64
	Total     int64
	Detection string
	Why       string
}

// Move is a cursor's step: written only with what it covers (invariant 1).
type Move struct {
	Position
	Changed  bool // the page held changes
	Complete bool // it ends the snapshot
}

// Intake is what the commit of a page writes.
type Intake struct {
	Seat     *Seat
	Outcome  Outcome
	Move     *Move // nil when records were read by key
	Run      service.RunID
	Attempts []Attempt                           // duties that this process carries out right away
	Owed     map[record.System][]record.EntityID // duties for later
	Parked   map[record.System][]Parked          // duties that wait for more than their turn
	Settle   bool                                // there may be open inward dead letters to settle
	Usage    []billing.UsageEvent
	Bytes    int64
	Braked   *Braked      // what the brake holds of the page; nil for nothing
	Found    bool         // refusals to make the records of new links are settled where these are as they should be
	Unheld   []record.Key // what was held of these keys is so no longer: the page says more lately, or a person decided; deliveries that waited for it are due
	Beside   *Beside      // the run beside the stream that read it, and where that stands; nil for none
	// Complete is set by the commit that ends the object's snapshot: from now on the system can be owed the entities that it
	// has no record of, also those that were there before it joined the service.
	Complete bool
	Inquire  []Inquiry // lookup services that are to be asked about what is new or changed
}

// Inquiry is what a source is to be asked about.
type Inquiry struct {
	Source     record.System
	Collection string
	Entities   []record.EntityID
	Questions  []string // one for each: its key; "" while it is not known
}

// Inquired is a record that a source is to be asked about, and what it was asked and said last.
type Inquired struct {
	Entity   record.EntityID
	Question string // the key of the question that was answered last
	Outcome  LookupOutcome
	AskedAt  *time.Time
}

// LookupOutcome is what came of asking about a record.
type LookupOutcome string

// The outcomes.
const (
	LookupFilled   LookupOutcome = "filled"   // the answer filled fields
	LookupNothing  LookupOutcome = "nothing"  // there was an answer with nothing new
	LookupUnknown  LookupOutcome = "unknown"  // the source does not know the record, or several that could be it
	LookupRefused  LookupOutcome = "refused"  // the source will not take the question
	LookupComplete LookupOutcome = "complete" // nothing was empty: it was not asked
	LookupUnasked  LookupOutcome = "unasked"  // the record lacks what the question is made of, or is gone
)

// LookupRow is what came of asking about a record, as it is kept.
type LookupRow struct {
	Entity   record.EntityID
	Question string
	Outcome  LookupOutcome
	Asked    bool       // just now
	Due      *time.Time // when it is due again; nil for when the record changes
}

// LookupCount is what a source did in a period.
type LookupCount struct{ Asked, Known, Filled int64 }

// Pending is what a source is to be asked now.
type Pending struct {
	List  []Inquired
	Asked int64      // lookups in the period
	Next  *time.Time // when the next one is due that is not yet
}

// Braked is what the brake counts and holds of a page.
type Braked struct {
	Tally  Tally
	Held   []Held
	Opened []Hold // for each kind held, and for limits of which the document only wants to be told; stored unless one is open

	weighed []record.EntityID // whose deletion was weighed together with what follows from it
}

// Braking is what the store knows of a seat's brake.
type Braking struct {
	Tally Tally
	Open  map[HoldKind]bool      // kinds that wait for a person
	Told  map[HoldKind]time.Time // when a passed limit was last told of
}

// Settling is what the commit of an attempt's receipts writes.
type Settling struct {
	Seat       *Seat
	Attempt    Attempt
	Settlement Settlement
	Run        service.RunID
	Next       *Attempt  // duties still owed that this process carries out right away
	RetryAt    time.Time // when waiting duties are due again
	Usage      []billing.UsageEvent
}

// Tx is the transaction as the engine needs it.
type Tx interface {
	Now() time.Time

	// Guard locks the lease and says whether the flow may still write: nil, ErrFenced, ErrRevised or ErrPaused.
	Guard(ctx context.Context, g Guard) error
	// Load passes the guard and loads and locks, in id order, the entities that the changes may belong to: by link, else by
	// match key. matchKeys are those of the keys' records, "" for one that has none.
	Load(ctx context.Context, g Guard, seat *Seat, keys []record.Key, matchKeys []string) (Loaded, error)
	// Alike finds the collection's living entities that belong to the blocks, of a block with many the first ones. They are not
	// locked: they are compared, not changed.
	Alike(ctx context.Context, s service.ID, collection string, blocks []string) ([]Alike, error)
	// Acting lists what business rules did with the entities that meet them still; duplicate checks are not among it.
	Acting(ctx context.Context, s service.ID, ids []record.EntityID) ([]Acting, error)
	// Overtaken lists what rules did that still stands and is of none of these pairs of a rule and its action; not what waits for approval.
	Overtaken(ctx context.Context, s service.ID, rules, actions []string, limit int) ([]Acting, error)
	// SaveActs writes what business rules do apart from a page: acts, lapses and journal.
	SaveActs(ctx context.Context, s service.ID, o Outcome) error
	// Repeated finds the living records that said what the keys say, for checks that keep repeated records out.
	Repeated(ctx context.Context, s service.ID, keys []RepeatKey) ([]Repeated, error)
	// LoadEntities passes the guard and loads the entities with their links, locked in id order when lock is set.
	LoadEntities(ctx context.Context, g Guard, ids []record.EntityID, lock bool) ([]*record.Entity, error)
	// Moved passes the guard, locks the entities in id order, and returns those that are not as they were loaded or saved
	// by their Row, or whose link of the seat is not.
	Moved(ctx context.Context, g Guard, seat *Seat, entities []*record.Entity) ([]record.EntityID, error)
	// Frozen passes the guard and says whether any of the entities is frozen.
	Frozen(ctx context.Context, g Guard, ids []record.EntityID) (bool, error)
	// SaveIntake writes what a page means, cursor included. It notes the commit in the Row of what it wrote.
	SaveIntake(ctx context.Context, g Guard, in Intake) error
	// SaveSettling writes what receipts mean and removes the attempt. It may end in ErrLinkTaken, as the commit may.
	SaveSettling(ctx context.Context, g Guard, s Settling) error

	// Recover marks the attempts that a lost process left behind, and says which seats have such.
	Recover(ctx context.Context, g Guard) ([]SeatID, error)
	// Doubt returns the oldest attempt of the seat that was cut short between being sent and being settled, if there is one.
	Doubt(ctx context.Context, g Guard, seat *Seat) (Attempt, bool, error)
	// Past returns how the entities changed since the time and by whom, from the journal, the oldest change first.
	Past(ctx context.Context, s service.ID, ids []record.EntityID, since time.Time) (map[record.EntityID][]record.Entry, error)
	// Claim takes up to limit due deliveries of the seat and makes them an attempt with that id.
	Claim(ctx context.Context, g Guard, seat *Seat, id uuid.UUID, limit int) (Attempt, error)
	// Postpone gives an attempt's duties back as deliveries due at that time, or, when what it did is unknown, marks it as cut
	// short.
	Postpone(ctx context.Context, g Guard, a Attempt, due time.Time, unknown bool) error
	// Owing counts the duties per seat, and says when the earliest is due.
	Owing(ctx context.Context, s service.ID) (map[SeatID]Owing, error)

	// Oldest says since when, and to what system, something has been owed the longest that waits for no person, or since when a system
	// cannot be read or written; a zero time when nothing is late.
	Oldest(ctx context.Context, s service.ID) (since time.Time, system record.System, err error)
	// MarkLate notes whether the service is later than its document allows, for whoever carries it next; false when that is known.
	MarkLate(ctx context.Context, s service.ID, late bool) (changed bool, err error)
	// Refusals lists the open outward dead letters, at most limit, the oldest first, but for those of what waits for another record.
	Refusals(ctx context.Context, s service.ID, limit int) ([]Refusal, error)
	// LockEntity loads an entity with its links, and its open conflicts, for changing them.
	LockEntity(ctx context.Context, s service.ID, id record.EntityID) (*record.Entity, []*Conflict, error)
	// SaveCompensated writes the entity that a refusal set back, its links, the conflicts that are thereby moot and its history, makes
	// deliveries to the systems, and settles the dead letter.
	SaveCompensated(ctx context.Context, s service.ID, e *record.Entity, moot []*Conflict, entry record.Entry, dead uuid.UUID, systems []string) error
	// SettleDead settles an open dead letter, and says why.
	SettleDead(ctx context.Context, s service.ID, dead uuid.UUID, why string) error
	AddUsage(ctx context.Context, events []billing.UsageEvent) error
	Audit(ctx context.Context, e audit.Entry) error

	// Braking reads the seat's tally and open holds.
	Braking(ctx context.Context, g Guard, seat *Seat) (Braking, error)
	// CountLinks counts the seat's links that are not frozen, up to a number.
	CountLinks(ctx context.Context, s service.ID, seat *Seat, upTo int64) (int64, error)
	followTx
	// Holds lists the service's holds that are not settled. Held is exact for one that is gathering; for the others it tells
	// something from nothing.
	Holds(ctx context.Context, s service.ID) ([]Hold, error)
	// HeldChanges returns the next changes of a hold, in the order of their keys.
	HeldChanges(ctx context.Context, hold uuid.UUID, limit int) ([]record.Change, error)
	// HeldOf says of which of the entities a change in the seat's system is held.
	HeldOf(ctx context.Context, s service.ID, seat *Seat, ids []record.EntityID) (map[record.EntityID]bool, error)
	// SaveHold writes a hold's state and reason and, unless nil, the seat's tally.
	SaveHold(ctx context.Context, g Guard, h Hold, t *Tally) error

	// LinkKeys lists keys of the seat's links that were last in step before the time, in order, those after the one given.
	LinkKeys(ctx context.Context, s service.ID, seat *Seat, before time.Time, after record.Key, limit int) ([]record.Key, error)

	// Linked says which entities have these keys in the object.
	Linked(ctx context.Context, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error)
	namingTx
	// Referring names, for each of the entities that the system has other records of referring to it, one of those.
	Referring(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.EntityID, error)
	// ReleaseWaiting passes the guard and makes deliveries due whose wait for another record is over: it came, or where one is to
	// be deleted, it went, or nothing of it refers to that record any more. It says how many.
	ReleaseWaiting(ctx context.Context, g Guard) (int64, error)
	// FoundReferences lists records whose entity names one as unknown that is known meanwhile.
	FoundReferences(ctx context.Context, s service.ID, limit int) ([]RecordIn, error)
	// Quarantined lists records that wait in quarantine because one that they refer to is not known, with what they refer to.
	Quarantined(ctx context.Context, s service.ID, limit int) ([]RecordIn, []record.Reference, error)
	// Orphans lists records, each in the first of its systems, that refer to a deleted one: those that follow it, and those that were not
	// weighed, of which nothing is held.
	Orphans(ctx context.Context, s service.ID, limit int) (follow, unasked []RecordIn, err error)
	// Unasked lists the seat's orphans that were not weighed: those that Orphans lists there, all of them.
	Unasked(ctx context.Context, s service.ID, seat *Seat) ([]record.EntityID, error)
	// SaveFate writes what becomes of orphans that were not weighed.
	SaveFate(ctx context.Context, s service.ID, orphans []record.EntityID, fate Fate) error
	// StayOrphan says that the record stays as it is although what these fields of it refer to is deleted, whatever was decided before.
	StayOrphan(ctx context.Context, s service.ID, id record.EntityID, fields []string) error
	// FollowDeleted says that what refers to these entities is weighed with their deletion; unless direct is set, also what refers to that,
	// and so on.
	FollowDeleted(ctx context.Context, s service.ID, deleted []record.EntityID, direct bool) error
	// TidyOrphans forgets what was decided of references to records that are alive again and, with held, lets go what is held of
	// records that are no orphans any more; unless ruled, of all.
	TidyOrphans(ctx context.Context, s service.ID, held, ruled bool) error
	// Follows says which fields of the orphans refer to a deleted record that they follow.
	Follows(ctx context.Context, s service.ID, orphans []record.EntityID) (map[record.EntityID][]string, error)

	// PendingLookups lists what the source is to be asked about the collection, the longest due first; what one of the sources
	// before has yet to answer waits.
	PendingLookups(ctx context.Context, s service.ID, l *Lookup, before []record.System, limit int) (Pending, error)
	// LockLookups says which of the records the source is still to be asked about; they stay so until the
	// commit.
	LockLookups(ctx context.Context, g Guard, l *Lookup, ids []record.EntityID) (map[record.EntityID]bool, error)
	// SaveLookups writes what came of lookups, and adds to the period's count.
	SaveLookups(ctx context.Context, g Guard, source *Source, rows []LookupRow, count LookupCount) error
	// NoteSource writes that asking the source fails; an empty code, that it does not any more.
	NoteSource(ctx context.Context, g Guard, source *Source, count LookupCount, code, message string) error

	// Empty says whether the service has no entity.
	Empty(ctx context.Context, s service.ID) (bool, error)
	// Positions reads the cursors of the service.
	Positions(ctx context.Context, s service.ID) ([]Position, error)
	// SavePosition writes what is known of a cursor apart from its move: detection and why.
	SavePosition(ctx context.Context, g Guard, p Position) error
	// NoteTrouble writes that reading or writing the system fails. object is the one to note it with when nothing is known of
	// the system yet.
	NoteTrouble(ctx context.Context, s service.ID, system record.System, object record.Object, code, message string) error
	// NoteRead says that the object was read to its end, and clears trouble.
	NoteRead(ctx context.Context, s service.ID, system record.System, object record.Object) error

	// NoteLook says for how long reading the object waits until it looks again by itself.
	NoteLook(ctx context.Context, s service.ID, system record.System, object record.Object, wait time.Duration) error

	// Shapes reads the shapes that the service goes by, and the schema changes that are not settled.
	Shapes(ctx context.Context, s service.ID) ([]Shape, []ShapeChange, error)
	// SaveShapes passes the guard and writes what became of them.
	SaveShapes(ctx context.Context, g Guard, r Reshaping) error

	// Loadable reads the service and its live revision's document.
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	// NextRun returns the service's oldest run that is not over.
	NextRun(ctx context.Context, s service.ID) (service.Run, bool, error)
	// NextBeside returns the most urgent run beside the stream that is not over, with its selection and where it stands.
	NextBeside(ctx context.Context, s service.ID) (r service.Run, place []byte, found bool, err error)
	// SavePlace writes where such a run stands.
	SavePlace(ctx context.Context, r service.RunID, place []byte) error
	// OwedBy counts what is still owed of what was owed at a time: what is due or, unless clear is zero, taken on before clear and
	// not settled, and what is due later.
	OwedBy(ctx context.Context, s service.ID, at, clear time.Time) (due, later int64, err error)
	// MoveRun writes a run's new state.
	MoveRun(ctx context.Context, r service.Run) error
	// HasDeadLetters says whether there are open inward dead letters, and open outward ones.
	HasDeadLetters(ctx context.Context, s service.ID) (in, out bool, err error)
	// Redriven lists inward dead letters that a person wants read again.
	Redriven(ctx context.Context, s service.ID) ([]Redrive, error)
	// SettleRedriven closes those that were read again; what failed again is open once more and stays so.
	SettleRedriven(ctx context.Context, ids []uuid.UUID) error
	// RaiseAlerts stores those of the alerts whose rule is met by the conflicts that are there, and was not within its time
	// before. It returns them as they were stored.
	RaiseAlerts(ctx context.Context, list []ConflictAlert) ([]ConflictAlert, error)
	// Emit tells browsers and programs at commit.
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
	// EmitAll tells them of many things of the same type, in their order.
	EmitAll(ctx context.Context, typ string, service uuid.UUID, data []any) error
}

// SeatID names a seat: a system takes part in a collection with one object at most.
type SeatID struct {
	System     record.System
	Collection string
}

// Redrive is an inward dead letter that is to be read again.
type Redrive struct {
	ID      uuid.UUID
	System  record.System
	Object  record.Object
	Key     record.Key
	Op      record.Op
	Payload record.Fields // the record as the dead letter has it: when it was corrected, or else when it was rejected
	Edit    record.Fields // its corrected fields
	By      string        // who corrected it
}

// Owing is how much a seat is owed.
type Owing struct {
	Count int64
	DueAt time.Time
}
