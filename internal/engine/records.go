// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// RecordQuery selects entities of a service, the last changed first.
type RecordQuery struct {
	Search     string           // part of any system's key or of the match key, or text in any field
	Collection string           // "" for all
	State      record.LinkState // entities with a link in this state; "" for all
	Deleted    bool             // include deleted ones
	Parent     record.EntityID  // those that refer to this one; zero for all
	Before     *RecordMark      // go on after this one
	Limit      int              // 1 to 100
}

// RecordMark is a place in the list of entities.
type RecordMark struct {
	ChangedAt time.Time
	ID        record.EntityID
}

// Detail is an entity with what people ask about it.
type Detail struct {
	*record.Entity
	Owed      map[record.System]time.Time // since when a delivery is due
	Waiting   map[record.System]Waiting   // why one that is due is not on its way
	Holds     map[record.System]uuid.UUID // the hold that a change of the record in that system waits in
	Conflicts []*Conflict                 // open ones
	Freeze    *Freeze                     // nil unless it is frozen

	Reconciled *Reconciled // nil unless a business rule marks it so
}

// Reconciled is that business rules mark a record as settled, for as long as it meets them.
type Reconciled struct {
	Since time.Time // since when at least one of them does
	Rules []string
}

// Settled says whether every system that takes the record holds it, and nothing about it waits.
func (d *Detail) Settled(doc *service.Document) bool {
	taking := doc.Receiving()[d.Collection]
	for _, l := range d.Links {
		if !slices.Contains(taking, string(l.System)) {
			continue // it is only read, and stays behind what others wrote
		}
		if l.State == record.Pending || l.State == record.Rejected || l.State == record.InDoubt {
			return false
		}
	}
	return len(d.Owed) == 0 && len(d.Conflicts) == 0 && !d.IsFrozen()
}

// Freeze says who froze a record, when and why.
type Freeze struct {
	At     time.Time
	By     string
	Reason string // "" when none was given
}

// Waiting says why a delivery waits for more than its turn.
type Waiting struct {
	Reason string          // "hold", "quiet" or "reference"; of all of a record "frozen" by a person, or "approval" where a rule left it to people
	Why    string          // one sentence for people
	For    record.EntityID // of a reference: the record that it waits for, where it is known
	Hold   uuid.UUID       // of a hold
	Until  time.Time       // when it is looked at again at the latest
}

// WaitsFor says why the system does not have the record as it is; false when nothing is in the way but its turn, or a conflict.
func (d *Detail) WaitsFor(system record.System) (Waiting, bool) {
	if d.IsFrozen() {
		w := Waiting{Reason: "frozen", Why: "Nothing of it is written until somebody thaws it."}
		if f := d.Freeze; f != nil && f.Reason != "" {
			w.Why = f.By + " froze it: “" + f.Reason + "”. " + w.Why
		}
		return w, true
	}
	if w, there := d.Waiting[system]; there {
		return w, true
	}
	if slices.Contains(d.Entity.Held, record.Approval) {
		if l := d.Links[system]; l == nil || l.State != record.Synced {
			return Waiting{Reason: "approval", Why: "A business rule left the record to people. Nothing of it is sent until somebody approves."}, true
		}
	}
	return Waiting{}, false
}

// Flow is how one object of a system does.
type Flow struct {
	Position
	ReadAt       *time.Time    // when it was last read to the end
	ChangedAt    *time.Time    // when it last had changes
	LookEvery    time.Duration // how long reading waits at present before it looks again by itself; 0 where it does not
	NextLookAt   *time.Time    // when that is; nil where it does not
	FailingSince *time.Time
	ErrorCode    string
	Error        string
}

// SystemStatus is how a system of a service does.
type SystemStatus struct {
	System  record.System
	Flows   []Flow
	Links   map[record.LinkState]int64 // records by state
	Owed    int64
	OwedAge time.Duration // of the oldest duty
}

// Minute is a system's work in one minute, as counted in the commits that did it.
type Minute struct {
	At                                                          time.Time
	System                                                      record.System
	Read, Equal, Created, Updated, Deleted, Conflicts, Rejected int64
	LagMs, LagMaxMs, LagCount, Bytes                            int64
}

// CaseQuery selects conflicts, the newest first.
type CaseQuery struct {
	Service service.ID // zero for all
	Entity  record.EntityID
	Open    *bool
	Field   string
	Since   time.Time // opened then or later; zero for all
	Until   time.Time // opened before; zero for all
	Before  uuid.UUID // go on after this one
	Limit   int       // 1 to 100
}

// ReadTx is the transaction as looking needs it.
type ReadTx interface {
	Now() time.Time
	Records(ctx context.Context, s service.ID, q RecordQuery) ([]*record.Entity, error)
	// FindRecord finds an entity by its id or by any system's key; record.not_found otherwise.
	FindRecord(ctx context.Context, s service.ID, idOrKey string) (Detail, error)
	// Relatives loads the entities with these ids, and counts the living ones that refer to the one by field, looking at most at that many.
	Relatives(ctx context.Context, s service.ID, of record.EntityID, ids []record.EntityID, upTo int) (map[record.EntityID]*record.Entity, []ChildrenOf, error)
	// History lists the journal of an entity, the newest first, those before the mark.
	History(ctx context.Context, s service.ID, id record.EntityID, before uuid.UUID, limit int) ([]record.Entry, error)
	// Outstanding says which systems lack what the lines of the history wrote.
	Outstanding(ctx context.Context, s service.ID, of record.Span) ([]Outstanding, error)
	Statuses(ctx context.Context, s service.ID) ([]SystemStatus, error)
	Oldest(ctx context.Context, s service.ID) (since time.Time, system record.System, err error)
	Minutes(ctx context.Context, s service.ID, from, to time.Time) ([]Minute, error)
	Cases(ctx context.Context, q CaseQuery) ([]Case, error)
	ShapeChanges(ctx context.Context, q ShapeQuery) ([]ShapeChange, error)
	Case(ctx context.Context, id uuid.UUID) (Case, error)
	CaseCounts(ctx context.Context) ([]CaseCount, error)
	ConflictStatistics(ctx context.Context, span ConflictSpan) (ConflictStatistics, error)
	ConflictAlerts(ctx context.Context, q AlertQuery) ([]ConflictAlert, error)
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	Acts(ctx context.Context, q ActQuery) ([]ActCase, error)
	CountOpen(ctx context.Context, s service.ID) (conflicts, deadLetters int64, err error)
	Overviews(ctx context.Context, s service.ID, over Span) (map[service.ID]Overview, error)
	// Lookups says how a lookup service does in the period that began then.
	Lookups(ctx context.Context, s service.ID, source record.System, period time.Time) (LookupFigures, error)
	Recents(ctx context.Context, s service.ID, before uuid.UUID, limit int) ([]Recent, error)
}

// Outstanding is what one system still lacks of several records of a collection.
type Outstanding struct {
	Collection string
	System     record.System
	Records    int64
	Blocked    string // why waiting does not help: "hold", "frozen", "approval", "rejected", "in-doubt"; "" while it does
}

// Outstanding says which systems lack what the lines of the history wrote. What was written since of the same records is counted with it.
func (r *Reader) Outstanding(ctx context.Context, who auth.Principal, s service.ID, of record.Span) (list []Outstanding, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	err = r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Outstanding(ctx, s, of)
		return err
	})
	return list, err
}

// Reader answers questions about records and how their sync does.
type Reader struct {
	inTx func(context.Context, tenant.ID, func(ReadTx) error) error
}

// NewReader makes a Reader.
func NewReader(inTx func(context.Context, tenant.ID, func(ReadTx) error) error) *Reader {
	return &Reader{inTx}
}

// Records lists entities of a service.
func (r *Reader) Records(ctx context.Context, who auth.Principal, s service.ID, q RecordQuery) (list []*record.Entity, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Records(ctx, s, q)
		return err
	})
}

// Record finds an entity by its public id or by any system's key.
func (r *Reader) Record(ctx context.Context, who auth.Principal, s service.ID, idOrKey string) (d Detail, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return d, err
	}
	return d, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		d, err = tx.FindRecord(ctx, s, idOrKey)
		return err
	})
}

// History lists an entity's journal, the newest first; before is the entry to go on after, or zero.
func (r *Reader) History(ctx context.Context, who auth.Principal, s service.ID, id record.EntityID, before uuid.UUID, limit int) (list []record.Entry, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.History(ctx, s, id, before, limit)
		return err
	})
}

// Delay says for how long a system has been owed a change that waits for no person, or has been failing, and which; 0 for none.
func (r *Reader) Delay(ctx context.Context, who auth.Principal, s service.ID) (delay time.Duration, system record.System, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return 0, "", err
	}
	return delay, system, r.inTx(ctx, who.Tenant, func(tx ReadTx) error {
		var since time.Time
		if since, system, err = tx.Oldest(ctx, s); err == nil && !since.IsZero() {
			delay = max(tx.Now().Sub(since), 0)
		}
		return err
	})
}

// Statuses tells how each system of a service does; it shows no contents.
func (r *Reader) Statuses(ctx context.Context, who auth.Principal, s service.ID) (list []SystemStatus, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Statuses(ctx, s)
		return err
	})
}

// Minutes returns the work per system and minute in [from, to); of all services for the zero id.
func (r *Reader) Minutes(ctx context.Context, who auth.Principal, s service.ID, from, to time.Time) (list []Minute, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Minutes(ctx, s, from, to)
		return err
	})
}

// Cases lists conflicts.
func (r *Reader) Cases(ctx context.Context, who auth.Principal, q CaseQuery) (list []Case, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Cases(ctx, q)
		return err
	})
}

// Case returns one conflict, or the fault conflict.not_found.
func (r *Reader) Case(ctx context.Context, who auth.Principal, id uuid.UUID) (c Case, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return c, err
	}
	return c, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		c, err = tx.Case(ctx, id)
		return err
	})
}

// CountOpen counts open conflicts and dead letters; of all services for the zero id.
func (r *Reader) CountOpen(ctx context.Context, who auth.Principal, s service.ID) (conflicts, deadLetters int64, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return 0, 0, err
	}
	return conflicts, deadLetters, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		conflicts, deadLetters, err = tx.CountOpen(ctx, s)
		return err
	})
}
