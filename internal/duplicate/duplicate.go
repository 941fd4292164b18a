// SPDX-License-Identifier: Apache-2.0

// Package duplicate makes one record of two that are the same thing: what was found alike is merged by rule, or waits for a
// person, and every merge can be undone.
//
//	open ─┬─► merged ──► dismissed: the merge was undone
//	  ▲   ├─► dismissed: they are two things, which is remembered
//	  │   └─► gone: one of them is not there any more
//	  └── later: somebody put it off
package duplicate

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// State is where a pair stands.
type State string

// The states.
const (
	Open      State = "open"
	Later     State = "later"
	Merged    State = "merged"
	Dismissed State = "dismissed"
	Gone      State = "gone"
)

// waits says whether a decision about the pair is still to come.
func (s State) waits() bool { return s == Open || s == Later }

// Pair is two records that are, or may be, one thing.
type Pair struct {
	ID          uuid.UUID
	Service     service.ID
	ServiceName string
	Collection  string
	A, B        record.EntityID
	Verdict     match.Verdict
	State       State
	FoundAt     time.Time
	DecidedAt   *time.Time
	DecidedBy   string
	Reason      string
	Version     int64
	Act         uuid.UUID   // the pair whose merge decided this one, too; itself for the one the act was done by
	Merge       *Merge      // of a merged one: what the act did
	Wrote       record.Span // of the history, by what was just done

	Records [2]*record.Entity // A and B as they are; nil where one is gone for good. Only of Get and List.
}

// Query selects pairs, the most alike first found first.
type Query struct {
	Service service.ID
	State   State // "" for all
	Before  uuid.UUID
	Limit   int
}

// Scan is how far all records were compared.
type Scan struct {
	Collection string
	Rules      string // what they were compared by
	After      record.EntityID
	Compared   int64
	Found      int64
	StartedAt  time.Time
	FinishedAt *time.Time
}

// Tx is the transaction as duplicates need it.
type Tx interface {
	Now() time.Time
	Loadable(ctx context.Context, s service.ID) (service.Service, *service.Document, error)
	Duplicates(ctx context.Context, q Query) ([]Pair, error)
	// LockDuplicate returns a pair, locked, with its records as they are, locked in id order.
	LockDuplicate(ctx context.Context, id uuid.UUID) (Pair, error)
	// SaveDuplicate writes what was decided about a pair; what a merge did stays where the pair has none.
	SaveDuplicate(ctx context.Context, p Pair) error
	// DuplicateGroup returns the group that the pair is in, locked if wished: its records in id order, then its pairs. It is larger than
	// MostInGroup where there are more records than that.
	DuplicateGroup(ctx context.Context, id uuid.UUID, lock bool) (Group, error)
	// HandOver closes the pairs that wait of records that were merged into the survivor, and lets the survivor wait with the others
	// instead. It returns these others.
	HandOver(ctx context.Context, s service.ID, act uuid.UUID, survivor record.EntityID, losers []record.EntityID) (others []record.EntityID, err error)
	// TakeBack undoes the HandOver of the act, as far as nobody has decided since.
	TakeBack(ctx context.Context, s service.ID, act uuid.UUID) error
	// OpenDuplicates counts the other pairs of the entity that wait for a decision.
	OpenDuplicates(ctx context.Context, s service.ID, id record.EntityID, but uuid.UUID) (int64, error)
	CountDuplicates(ctx context.Context, s service.ID) (int64, error)
	// Quiesce takes back what is owed to systems of the entities. It says whether something of them is being sent right now.
	Quiesce(ctx context.Context, s service.ID, ids []record.EntityID) (busy bool, err error)
	// SaveMerged writes entities with all their links, which may have moved between them, and history, and owes the entities to
	// the systems.
	SaveMerged(ctx context.Context, s service.ID, list []*record.Entity, entries []record.Entry, systems []string) error

	EntitiesAfter(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) ([]*record.Entity, error)
	// Compare files the entities under their blocks and returns, of each, the living entities that share one; a block with many
	// gives the first ones.
	Compare(ctx context.Context, s service.ID, collection string, blocks map[record.EntityID][]string) (map[record.EntityID][]Candidate, error)
	// AddDuplicates stores pairs that were found. A pair that is known keeps its decision.
	AddDuplicates(ctx context.Context, s service.ID, list []Pair) (added int64, err error)
	Scans(ctx context.Context, s service.ID) ([]Scan, error)
	SaveScan(ctx context.Context, s service.ID, scan Scan) error
	// DropDuplicates forgets blocks and scans of a service that does not look for duplicates any more, and lists the entities
	// that are held back because of them.
	DropDuplicates(ctx context.Context, s service.ID) (held []record.EntityID, err error)
	LockEntities(ctx context.Context, s service.ID, ids []record.EntityID) ([]*record.Entity, error)

	AddUsage(ctx context.Context, events []billing.UsageEvent) error
	Wake(ctx context.Context, s service.ID) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Candidate is an entity that another one is compared with.
type Candidate struct {
	ID     record.EntityID
	Fields record.Fields
}

// Manager finds duplicates, and carries out what people and rules decide about them.
type Manager struct {
	inTx func(context.Context, tenant.ID, func(Tx) error) error
}

// NewManager makes a Manager.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Manager {
	return &Manager{inTx}
}

// List lists pairs, the newest first.
func (m *Manager) List(ctx context.Context, who auth.Principal, q Query) (list []Pair, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.Duplicates(ctx, q)
		return err
	})
}

// Count counts the pairs that wait for a person; of all services for the zero id.
func (m *Manager) Count(ctx context.Context, who auth.Principal, s service.ID) (n int64, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return 0, err
	}
	return n, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		n, err = tx.CountDuplicates(ctx, s)
		return err
	})
}

// Get returns one pair with its records. Faults: duplicate.not_found.
func (m *Manager) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (p Pair, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return p, err
	}
	return p, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		p, err = tx.LockDuplicate(ctx, id)
		return err
	})
}

// Dismiss notes that the two are two things. What was held back because of it goes on. Faults: duplicate.not_found,
// duplicate.not_open.
func (m *Manager) Dismiss(ctx context.Context, who auth.Principal, id uuid.UUID, reason string) (Pair, error) {
	return m.decide(ctx, who, id, "dismissed", func(tx Tx, p *Pair, doc *service.Document) error {
		if !p.State.waits() {
			return notOpen(*p)
		}
		p.State, p.Reason = Dismissed, reason
		var err error
		p.Wrote, err = m.release(ctx, tx, p.Service, doc, p.Records[:], p.ID, who.Name)
		return err
	})
}

// Later puts the decision off. Faults: duplicate.not_found, duplicate.not_open.
func (m *Manager) Later(ctx context.Context, who auth.Principal, id uuid.UUID, reason string) (Pair, error) {
	return m.decide(ctx, who, id, "put_off", func(_ Tx, p *Pair, _ *service.Document) error {
		if p.State != Open {
			return notOpen(*p)
		}
		p.State, p.Reason = Later, reason
		return nil
	})
}

func notOpen(p Pair) error {
	return fault.New(fault.Conflict, "duplicate.not_open", "This pair is %s already; it waits for no decision.", p.State)
}

// decide carries out what a person says about a pair.
func (m *Manager) decide(ctx context.Context, who auth.Principal, id uuid.UUID, what string, act func(Tx, *Pair, *service.Document) error) (p Pair, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return p, err
	}
	return p, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		p, err = m.decided(ctx, tx, who, id, what, act)
		return err
	})
}

func (m *Manager) decided(ctx context.Context, tx Tx, who auth.Principal, id uuid.UUID, what string, act func(Tx, *Pair, *service.Document) error) (p Pair, err error) {
	if p, err = tx.LockDuplicate(ctx, id); err != nil {
		return p, err
	}
	_, doc, err := tx.Loadable(ctx, p.Service)
	if err != nil {
		return p, err
	}
	now := tx.Now()
	if err := act(tx, &p, doc); err != nil {
		return p, err
	}
	p.DecidedAt, p.DecidedBy = &now, who.Name
	if err := tx.SaveDuplicate(ctx, p); err != nil {
		return p, err
	}
	p.Version++
	return p, m.tell(ctx, tx, who, what, p, []record.EntityID{p.A, p.B})
}

// tell says to programs, the service's worker and the audit log what was decided about the records.
func (m *Manager) tell(ctx context.Context, tx Tx, who auth.Principal, what string, p Pair, records []record.EntityID) error {
	public := p.Public()
	names := make([]string, len(records))
	for i, id := range records {
		names[i] = ident.Format(ident.Entity, id)
	}
	data := map[string]any{"duplicate": public, "state": p.State, "records": names}
	if p.Merge != nil {
		data["survivor"] = ident.Format(ident.Entity, p.Merge.Survivor)
	}
	if err := tx.Emit(ctx, "duplicate."+what, uuid.UUID(p.Service), data); err != nil {
		return err
	}
	if err := tx.Wake(ctx, p.Service); err != nil {
		return err
	}
	data["reason"] = p.Reason
	return tx.Audit(ctx, who.Did("duplicate."+what, public, data))
}

// release lets entities go on that were held back because of the pair, when no other pair holds them, and says what it wrote.
func (m *Manager) release(ctx context.Context, tx Tx, s service.ID, doc *service.Document, list []*record.Entity, but uuid.UUID, by string) (record.Span, error) {
	var entries []record.Entry
	for _, e := range list {
		if e == nil || !holds(e, record.Twin) {
			continue
		}
		others, err := tx.OpenDuplicates(ctx, s, e.ID, but)
		if err != nil {
			return record.Span{}, err
		}
		if others > 0 {
			continue
		}
		letGo(e, record.Twin)
		e.Version++
		if e.MatchKey == "" {
			e.MatchKey = match.Key(e.Fields, doc.MatchFields())
		}
		entry := record.Entry{ID: newID(), Entity: e.ID, At: tx.Now(), Kind: record.Decided, Op: record.Updated, System: record.Person, Actor: by, Cause: but}
		if err := tx.SaveMerged(ctx, s, []*record.Entity{e}, []record.Entry{entry}, doc.SystemIDs()); err != nil {
			return record.Span{}, err
		}
		entries = append(entries, entry)
	}
	return record.SpanOf(entries), nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Decision is what a person says about several pairs.
type Decision string

// The decisions.
const (
	DecideMerge   Decision = "merge"
	DecideDismiss Decision = "dismiss"
	DecideLater   Decision = "later"
)

// Failed is a pair about which a decision could not be carried out.
type Failed struct {
	ID    uuid.UUID
	Fault *fault.Error
}

// DecidedAll is what came of a decision about several pairs.
type DecidedAll struct {
	Decided int64
	Failed  []Failed
	Wrote   record.Span // of the history
}

// DecideAll decides about several pairs of a service, each in a commit of its own.
func (m *Manager) DecideAll(ctx context.Context, who auth.Principal, s service.ID, ids []uuid.UUID, d Decision, reason string) (out DecidedAll, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return out, err
	}
	for _, id := range ids {
		p, err := m.Get(ctx, who, id)
		if err == nil && p.Service != s {
			err = fault.New(fault.NotFound, "duplicate.not_found", "There is no such pair of records.")
		}
		if err == nil {
			switch d {
			case DecideMerge:
				p, err = m.Join(ctx, who, id, Wish{Reason: reason})
			case DecideDismiss:
				p, err = m.Dismiss(ctx, who, id, reason)
			default:
				p, err = m.Later(ctx, who, id, reason)
			}
		}
		switch f := fault.As(err); {
		case err == nil:
			out.Decided++
			out.Wrote = out.Wrote.And(p.Wrote)
		case f != nil && f.Kind != fault.Unavailable:
			out.Failed = append(out.Failed, Failed{id, f})
		default:
			return out, err
		}
	}
	return out, nil
}
