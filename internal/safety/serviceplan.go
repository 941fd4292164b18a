// SPDX-License-Identifier: Apache-2.0

package safety

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// PlanKind says what a plan is about.
type PlanKind string

// The kinds of plans of a service.
const (
	FirstPlan    PlanKind = "first"    // a document whose service is not there yet, or is a draft
	RevisionPlan PlanKind = "revision" // a document in place of the live one
	BulkPlan     PlanKind = "bulk"     // a bulk run of the live document
)

// PlanState is where a plan stands. queued -> running -> ready | failed | cancelled; queued -> cancelled.
type PlanState string

// The states.
const (
	PlanQueued    PlanState = "queued"
	PlanRunning   PlanState = "running"
	PlanReady     PlanState = "ready"
	PlanFailed    PlanState = "failed"
	PlanCancelled PlanState = "cancelled"
)

// Over says whether nothing more comes of it.
func (s PlanState) Over() bool { return s != PlanQueued && s != PlanRunning }

// What a plan is about is taken to be the same world as long as no object has, and the service itself has seen, more changes
// than these; they are few enough to be what was looked at, and many enough for a system that people work with.
const (
	planTolerance        = 10 // records
	planTolerancePercent = 1
)

const (
	planKept    = 24 * time.Hour  // how long a plan can be looked at and carried out
	planSilence = 2 * time.Minute // whoever makes a plan and is not heard of for so long is lost
	planNotes   = time.Second / 2 // how often its progress is written
	planTimeout = 12 * time.Hour  // no plan takes so long
)

// ServicePlan is what a document, or a bulk run, would do.
type ServicePlan struct {
	ID          uuid.UUID
	Kind        PlanKind
	State       PlanState
	Service     service.ID // zero while there is none of the name
	Name        string
	Base        int // the live revision that it is about; 0 for none
	Document    *service.Document
	Source      string
	Format      service.Format
	Selection   *service.Selection // of a bulk plan
	Differences []service.Difference
	Notices     []fault.Field
	Actor       string
	CreatedAt   time.Time
	StartedAt   *time.Time
	SeenAt      *time.Time
	FinishedAt  *time.Time
	CancelAt    *time.Time
	ExpiresAt   time.Time
	Outcome     *engine.Foreseen
	Sizes       map[string]int64
	Hash        string
	ErrorCode   string
	Error       string
}

// Later says that the figures are of records being read again, which applying the document does not do by itself: it counts
// for each record from its next change on, or with a bulk run.
func (p *ServicePlan) Later() bool { return p.Kind == RevisionPlan && p.Selection != nil }

// Operations is how many writes all systems together would get.
func (p *ServicePlan) Operations() (n int64) {
	if p.Outcome == nil {
		return 0
	}
	for i := range p.Outcome.Seats {
		n += p.Outcome.Seats[i].Operations()
	}
	return n
}

// Totals adds up the figures of all systems.
func (p *ServicePlan) Totals() (t engine.ForeseenSeat) {
	if p.Outcome == nil {
		return t
	}
	for i := range p.Outcome.Seats {
		s := &p.Outcome.Seats[i]
		t.Records, t.Made, t.Matched, t.Equal = t.Records+s.Records, t.Made+s.Made, t.Matched+s.Matched, t.Equal+s.Equal
		t.Duplicates, t.Ambiguous, t.Invalid, t.Filtered = t.Duplicates+s.Duplicates, t.Ambiguous+s.Ambiguous, t.Invalid+s.Invalid, t.Filtered+s.Filtered
		t.Conflicts, t.Open, t.Held, t.Waiting = t.Conflicts+s.Conflicts, t.Open+s.Open, t.Held+s.Held, t.Waiting+s.Waiting
		t.Unfound, t.Circles, t.Orphans = t.Unfound+s.Unfound, t.Circles+s.Circles, t.Orphans+s.Orphans
		t.Creates, t.Updates, t.Deletes, t.Unsendable = t.Creates+s.Creates, t.Updates+s.Updates, t.Deletes+s.Deletes, t.Unsendable+s.Unsendable
	}
	return t
}

// PlannedUsage is what a plan would be charged for.
type PlannedUsage struct {
	Operations int64
	Complex    int64            // among Operations: a custom transformation runs
	Records    map[string]int64 // new ones, by class of price
	Standard   int64            // systems that join
	Premium    int64
	Lookups    int64 // the most that sources of enrichment are asked about
}

// Usage is what carrying the plan out would be charged for. Neither a first sync nor a bulk run is realtime.
func (p *ServicePlan) Usage() PlannedUsage {
	u := PlannedUsage{Records: make(map[string]int64)}
	if p.Outcome == nil {
		return u
	}
	joined := make(map[record.System]bool)
	for i := range p.Outcome.Seats {
		s := &p.Outcome.Seats[i]
		u.Operations += s.Operations()
		if s.Complex {
			u.Complex += s.Operations()
		}
		if joined[s.System] || p.Selection != nil || p.Kind == RevisionPlan && !s.Read {
			continue
		}
		if joined[s.System] = true; s.Premium {
			u.Premium++
		} else {
			u.Standard++
		}
	}
	born := int64(0)
	for model, n := range p.Outcome.Born {
		u.Records[billing.RecordClass(model)] += max(n, 0)
		born += max(n, 0)
	}
	if p.Document != nil {
		u.Lookups, _ = p.Document.Lookups("", born, 0)
	}
	return u
}

// PlanTx is the transaction as plans need it.
type PlanTx interface {
	engine.AsideTx
	Service(ctx context.Context, ref string) (service.Service, error)
	Revision(ctx context.Context, id service.ID, number int) (service.Revision, error)
	Positions(ctx context.Context, s service.ID) ([]engine.Position, error)

	InsertServicePlan(ctx context.Context, p ServicePlan) error
	// ServicePlan finds a plan that is not expired; the fault is plan.not_found.
	ServicePlan(ctx context.Context, id uuid.UUID) (ServicePlan, error)
	// ServicePlanOf finds the latest ready plan with that hash that is not expired; the fault is plan.not_found.
	ServicePlanOf(ctx context.Context, hash string) (ServicePlan, error)
	// ServicePlans lists those of a name, or of all names for "", the newest first, before one, without their outcome.
	ServicePlans(ctx context.Context, name string, before uuid.UUID, limit int) ([]ServicePlan, error)
	// BeginServicePlan moves it to running; false when it is over or gone.
	BeginServicePlan(ctx context.Context, id uuid.UUID) (bool, error)
	// NoteServicePlan writes what is known so far; false when it is to stop.
	NoteServicePlan(ctx context.Context, id uuid.UUID, outcome *engine.Foreseen) (bool, error)
	// EndServicePlan writes how it ended.
	EndServicePlan(ctx context.Context, p ServicePlan) error
	// CancelServicePlan asks to stop it; one that is queued stops at once.
	CancelServicePlan(ctx context.Context, id uuid.UUID) error
	// ExpireServicePlans removes those that are expired, and what they kept.
	ExpireServicePlans(ctx context.Context) error
	// ChangedSince counts the service's entities that changed since a time, up to a number.
	ChangedSince(ctx context.Context, s service.ID, since time.Time, upTo int64) (int64, error)

	Enqueue(ctx context.Context, args interface{ Kind() string }) error
	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// tell lets those who look at the plan know that it moved on.
func (p *ServicePlan) tell(ctx context.Context, tx PlanTx, typ string) error {
	data := map[string]any{"plan": ident.Format(ident.ServicePlan, p.ID), "name": p.Name, "kind": p.Kind, "state": p.State}
	if o := p.Outcome; o != nil {
		data["step"], data["done"], data["total"] = o.Step.Name, o.Step.Done, o.Step.Total
	}
	return tx.Emit(ctx, typ, uuid.UUID(p.Service), data)
}

// The events of a plan.
const (
	planMoved = "plan.progress"
	planEnded = "plan.completed"
)

// Documents reads and opens what documents say; *service.Manager is one.
type Documents interface {
	engine.Looker
	DiffAgainst(ctx context.Context, who auth.Principal, source []byte, format service.Format) (service.Preview, error)
	Get(ctx context.Context, who auth.Principal, ref string) (service.Service, service.Revision, error)
}

// Planner makes and keeps plans of services.
type Planner struct {
	inTx func(context.Context, tenant.ID, func(PlanTx) error) error
	docs Documents
	log  *slog.Logger
}

// NewPlanner makes a Planner.
func NewPlanner(inTx func(context.Context, tenant.ID, func(PlanTx) error) error, docs Documents, log *slog.Logger) *Planner {
	return &Planner{inTx, docs, log}
}

// PlanArgs asks a worker to make a plan.
type PlanArgs struct {
	TenantID tenant.ID `json:"tenantId"`
	PlanID   uuid.UUID `json:"planId"`
}

// Kind names the job.
func (PlanArgs) Kind() string { return "plan" }

// PlansPool is the queue of plans: they take long, and nothing else waits for them.
const PlansPool = "plans"

// Pool names the queue.
func (PlanArgs) Pool() string { return PlansPool }

// ExpireArgs asks a worker to remove plans that are old.
type ExpireArgs struct {
	TenantID tenant.ID `json:"tenantId"`
	At       time.Time `json:"at"`
}

// Kind names the job.
func (ExpireArgs) Kind() string { return "plan_expire" }

// Pool names the queue.
func (ExpireArgs) Pool() string { return service.ChoresPool }

// Due says when the job is to be done.
func (a ExpireArgs) Due() time.Time { return a.At }

// PlanDocument begins a plan of applying a document. A document with errors has none: the fault says what is wrong with it.
func (m *Planner) PlanDocument(ctx context.Context, who auth.Principal, name string, source []byte, format service.Format) (p ServicePlan, err error) {
	if err := who.May(auth.EditServices); err != nil {
		return p, err
	}
	preview, err := m.docs.DiffAgainst(ctx, who, source, format)
	if err != nil {
		return p, err
	}
	if err := preview.Findings.Err(); err != nil {
		return p, err
	}
	doc, err := service.Parse(source, format)
	if err != nil {
		return p, err
	}
	if name != "" && name != doc.Service && (preview.Service == nil || name != preview.Service.ID.Public()) {
		return p, fault.New(fault.Invalid, "service.name_mismatch", "The document describes the service %s, and the address names %s. Write the same name in both; a service is not renamed.", doc.Service, name)
	}
	p = ServicePlan{Kind: FirstPlan, Name: doc.Service, Document: doc, Source: string(source), Format: format, Differences: preview.Differences, Notices: preview.Findings.Notices}
	if s := preview.Service; s != nil {
		p.Service, p.Base = s.ID, s.Revision
		if s.State == service.Active || s.State == service.Paused || s.State == service.ActionRequired {
			p.Kind = RevisionPlan
		}
	}
	return m.begin(ctx, who, p)
}

// PlanRun begins a plan of a bulk run.
func (m *Planner) PlanRun(ctx context.Context, who auth.Principal, ref string, sel service.Selection) (p ServicePlan, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return p, err
	}
	s, r, err := m.docs.Get(ctx, who, ref)
	if err != nil {
		return p, err
	}
	if err := sel.Check(r.Document); err != nil {
		return p, err
	}
	return m.begin(ctx, who, ServicePlan{Kind: BulkPlan, Service: s.ID, Name: s.Name, Base: s.Revision, Document: r.Document, Source: r.Source, Format: r.Format, Selection: &sel})
}

func (m *Planner) begin(ctx context.Context, who auth.Principal, p ServicePlan) (ServicePlan, error) {
	err := m.inTx(ctx, who.Tenant, func(tx PlanTx) error {
		p.ID, p.State, p.Actor, p.CreatedAt = uuid.Must(uuid.NewV7()), PlanQueued, who.Name, tx.Now()
		p.ExpiresAt = tx.Now().Add(planKept)
		if err := tx.InsertServicePlan(ctx, p); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, PlanArgs{TenantID: who.Tenant, PlanID: p.ID}); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, ExpireArgs{TenantID: who.Tenant, At: p.ExpiresAt.Add(time.Minute)}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("plan.created", ident.Format(ident.ServicePlan, p.ID), map[string]any{"kind": p.Kind, "name": p.Name}))
	})
	return p, err
}

// Get returns a plan.
func (m *Planner) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (p ServicePlan, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return p, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx PlanTx) error {
		p, err = tx.ServicePlan(ctx, id)
		p.look(tx.Now())
		return err
	})
	return p, err
}

// look says that a plan is lost whose maker is not heard of any more.
func (p *ServicePlan) look(now time.Time) {
	if p.State == PlanRunning && p.SeenAt != nil && now.Sub(*p.SeenAt) > planSilence {
		lost := fault.New(fault.Unavailable, "plan.lost", "The process that made the plan was stopped. Make a new plan.")
		p.State, p.ErrorCode, p.Error = PlanFailed, lost.Code, lost.Message
	}
}

// List lists plans of a service, or of all, newest first, without their outcome.
func (m *Planner) List(ctx context.Context, who auth.Principal, name string, before uuid.UUID, limit int) (list []ServicePlan, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx PlanTx) error {
		list, err = tx.ServicePlans(ctx, name, before, limit)
		for i := range list {
			list[i].look(tx.Now())
		}
		return err
	})
	return list, err
}

// Cancel stops a plan; one that is over stays as it is.
func (m *Planner) Cancel(ctx context.Context, who auth.Principal, id uuid.UUID) (p ServicePlan, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return p, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx PlanTx) error {
		if p, err = tx.ServicePlan(ctx, id); err != nil || p.State.Over() {
			return err
		}
		if err := tx.CancelServicePlan(ctx, id); err != nil {
			return err
		}
		if err := tx.Audit(ctx, who.Did("plan.cancelled", ident.Format(ident.ServicePlan, id), map[string]any{"name": p.Name})); err != nil {
			return err
		}
		if p, err = tx.ServicePlan(ctx, id); err != nil {
			return err
		}
		if p.State.Over() {
			return p.tell(ctx, tx, planEnded)
		}
		return p.tell(ctx, tx, planMoved)
	})
	return p, err
}

// Expire removes what is old.
func (m *Planner) Expire(ctx context.Context, a ExpireArgs) error {
	return m.inTx(ctx, a.TenantID, func(tx PlanTx) error { return tx.ExpireServicePlans(ctx) })
}

var errStopPlan = errors.New("safety: the plan is not wanted any more")

// Carry makes a plan; a worker calls it. What is wrong with the plan itself ends it; the error is only for what trying again can
// mend.
func (m *Planner) Carry(ctx context.Context, a PlanArgs) error {
	var p ServicePlan
	var begun bool
	o := engine.Outlook{Plan: a.PlanID, Tenant: a.TenantID}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	err := m.inTx(ctx, a.TenantID, func(tx PlanTx) (err error) {
		if begun, err = tx.BeginServicePlan(ctx, a.PlanID); err != nil || !begun {
			return err
		}
		if err := tx.DropAside(ctx, a.PlanID); err != nil {
			return err
		}
		if p, err = tx.ServicePlan(ctx, a.PlanID); err != nil {
			return err
		}
		return outlook(ctx, tx, &p, &o)
	})
	if fault.KindOf(err) == fault.NotFound {
		return nil // it is expired
	}
	if err != nil || !begun {
		return err
	}
	var noted time.Time
	inTx := func(ctx context.Context, fn func(engine.AsideTx) error) error {
		return m.inTx(ctx, a.TenantID, func(tx PlanTx) error { return fn(tx) })
	}
	outcome, err := engine.Foresee(ctx, o, m.docs, inTx, func(ctx context.Context, f *engine.Foreseen) error {
		if time.Since(noted) < planNotes {
			return nil
		}
		noted = time.Now()
		wanted := true
		err := m.inTx(ctx, a.TenantID, func(tx PlanTx) (err error) {
			if wanted, err = tx.NoteServicePlan(ctx, a.PlanID, f); err != nil {
				return err
			}
			p.Outcome = f
			return p.tell(ctx, tx, planMoved)
		})
		if err == nil && !wanted {
			err = errStopPlan
		}
		return err
	})
	if err == nil {
		p.Sizes, err = engine.Sizes(ctx, o, m.docs)
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err() // this process stops; another one begins anew
	}
	p.Outcome = outcome
	switch ft := fault.As(err); {
	case err == nil:
		p.State = PlanReady
		p.Hash = p.digest()
	case errors.Is(err, errStopPlan):
		p.State = PlanCancelled
	case ft != nil && ft.Code == "store.unavailable":
		return err
	case ft != nil:
		p.State, p.ErrorCode, p.Error = PlanFailed, ft.Code, ft.Message
	default:
		c := connector.Classify(err)
		p.State, p.ErrorCode, p.Error = PlanFailed, c.Code, c.Message
		m.log.WarnContext(ctx, "making a plan", "plan", a.PlanID, "error", err)
	}
	return m.inTx(ctx, a.TenantID, func(tx PlanTx) error {
		now := tx.Now()
		p.FinishedAt = &now
		if err := tx.DropAside(ctx, a.PlanID); err != nil {
			return err
		}
		if err := tx.EndServicePlan(ctx, p); err != nil {
			return err
		}
		return p.tell(ctx, tx, planEnded)
	})
}

// outlook says what the plan reads.
func outlook(ctx context.Context, tx PlanTx, p *ServicePlan, o *engine.Outlook) error {
	o.Service, o.Document = p.Service, p.Document
	switch p.Kind {
	case BulkPlan:
		o.Bulk, o.Reads = p.Selection, p.Selection.Reads
		return nil
	case FirstPlan:
		o.Joins, o.Reads = true, func(record.System, record.Object) bool { return true }
		return nil
	}
	live, err := tx.Revision(ctx, p.Service, p.Base)
	if err != nil {
		return err
	}
	positions, err := tx.Positions(ctx, p.Service)
	if err != nil {
		return err
	}
	joins := service.Joining(live.Document, p.Document)
	reads := func(system record.System, object record.Object) bool {
		if joins(string(system), string(object)) {
			return true
		}
		return !slices.ContainsFunc(positions, func(at engine.Position) bool {
			return at.System == system && (object == "" || at.Object == object) && at.Phase == connector.Stream
		})
	}
	any := false
	for _, c := range p.Document.Collections() {
		for _, member := range c.Members {
			any = any || c.Shared() && reads(record.System(member.System), record.Object(member.Object))
		}
	}
	if any {
		o.Joins, o.Reads = true, reads
		return nil
	}
	// Nothing is read anew when it is applied. What the document means shows when records are read again.
	p.Selection = &service.Selection{}
	o.Bulk, o.Reads = p.Selection, p.Selection.Reads
	return nil
}

// digest names what would be done to what.
func (p *ServicePlan) digest() string {
	h := sha256.New()
	doc, _ := json.Marshal(p.Document)
	sel, _ := json.Marshal(p.Selection)
	fmt.Fprintf(h, "%s %s %d\n%s\n%s\n", p.Kind, p.Name, p.Base, doc, sel)
	for i := range p.Outcome.Seats {
		s := p.Outcome.Seats[i]
		s.Why = ""
		figures, _ := json.Marshal(s)
		fmt.Fprintf(h, "%s\n", figures)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Confirm says whether the plan of that hash may be carried out now: it is still there, it is about this document or this bulk
// run, and the world is as it was, within the tolerance. Faults: plan.not_found, plan.differs, plan.moved. The plan's base is what
// must still be live when it is carried out.
func (m *Planner) Confirm(ctx context.Context, who auth.Principal, hash string, doc *service.Document, sel *service.Selection) (p ServicePlan, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return p, err
	}
	o := engine.Outlook{Tenant: who.Tenant}
	err = m.inTx(ctx, who.Tenant, func(tx PlanTx) error {
		if p, err = tx.ServicePlanOf(ctx, hash); err != nil {
			return err
		}
		o.Plan = p.ID
		if err := p.isAbout(doc, sel); err != nil {
			return err
		}
		return m.unmoved(ctx, tx, &p, &o)
	})
	if err != nil {
		return p, err
	}
	now, err := engine.Sizes(ctx, o, m.docs)
	if err != nil {
		return p, err
	}
	for _, name := range sortedNames(p.Sizes) {
		then := p.Sizes[name]
		have, told := now[name]
		if moved := max(have-then, then-have); told && moved > tolerance(then) {
			return p, movedOn("%s had %d records when the plan was made and has %d now.", name, then, have)
		}
	}
	return p, nil
}

func (p *ServicePlan) isAbout(doc *service.Document, sel *service.Selection) error {
	differs := fault.New(fault.Conflict, "plan.differs", "The plan is about something else than this. Make a plan of exactly what you want to carry out.")
	if (p.Kind == BulkPlan) != (doc == nil) {
		return differs
	}
	if doc != nil {
		if doc.Service != p.Name || len(service.Diff(p.Document, doc)) > 0 {
			return differs
		}
		return nil
	}
	a, errA := json.Marshal(p.Selection)
	b, errB := json.Marshal(sel)
	if errA != nil || errB != nil || string(a) != string(b) {
		return differs
	}
	return nil
}

// unmoved says whether what the service itself knows is as it was.
func (m *Planner) unmoved(ctx context.Context, tx PlanTx, p *ServicePlan, o *engine.Outlook) error {
	s, err := tx.Service(ctx, p.Name)
	switch {
	case fault.KindOf(err) == fault.NotFound && p.Base == 0:
		return outlook(ctx, tx, p, o)
	case err != nil:
		return err
	case s.Revision != p.Base:
		return movedOn("The service %s has revision %d by now; the plan is about %d.", s.Name, s.Revision, p.Base)
	}
	if err := outlook(ctx, tx, p, o); err != nil || p.StartedAt == nil {
		return err
	}
	var records int64
	for i := range p.Outcome.Seats {
		records += p.Outcome.Seats[i].Records
	}
	changed, err := tx.ChangedSince(ctx, s.ID, *p.StartedAt, tolerance(records)+1)
	if err != nil {
		return err
	}
	if changed > tolerance(records) {
		return movedOn("More than %d records of the service changed since.", tolerance(records))
	}
	return nil
}

func tolerance(records int64) int64 { return max(planTolerance, records*planTolerancePercent/100) }

func movedOn(format string, args ...any) error {
	return fault.New(fault.Stale, "plan.moved", "%s Nothing was done. Make a new plan and look at it.", fmt.Sprintf(format, args...))
}

func sortedNames(m map[string]int64) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
