// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Pause stops a service until Resume. What it owes waits; a run under way goes on then. Vendors need not tell of changes meanwhile:
// when it works again they are asked again.
func (m *Manager) Pause(ctx context.Context, who auth.Principal, ref string, ifMatch *int64) (Service, error) {
	return m.move(ctx, who, auth.RunServices, ref, ifMatch, Paused, "service.paused", func(ctx context.Context, tx Tx, s Service, was State) (Service, error) {
		if was == Draft {
			return s, nil
		}
		r, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return s, err
		}
		for _, system := range r.Document.Systems {
			if err := tx.Enqueue(ctx, CleanArgs{TenantID: tx.Tenant(), ServiceID: s.ID, Revision: r.Number, System: record.System(system.ID), Paused: true}); err != nil {
				return s, err
			}
		}
		return s, nil
	})
}

// Resume lets a paused or archived service, or one that waits for a person, work again.
func (m *Manager) Resume(ctx context.Context, who auth.Principal, ref string, ifMatch *int64) (Service, error) {
	return m.move(ctx, who, auth.RunServices, ref, ifMatch, Active, "service.resumed", func(ctx context.Context, tx Tx, s Service, was State) (Service, error) {
		if was == Draft {
			return s, fault.New(fault.Conflict, "service.is_draft", "The service %s is a draft. Apply its document to put it into force.", s.Name)
		}
		r, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return s, err
		}
		zone, err := tenantZone(ctx, tx)
		if err != nil {
			return s, err
		}
		s = s.planned(r.Document, r.Document, zone, tx.Now())
		if was == Archived {
			_, err = firstRun(ctx, tx, s, who)
		}
		return s, err
	})
}

// Archive puts a service away: open runs are cancelled, and what its connectors left in the systems is removed. Its history
// stays, and the name stays taken.
func (m *Manager) Archive(ctx context.Context, who auth.Principal, ref string, ifMatch *int64) (Service, error) {
	return m.move(ctx, who, auth.EditServices, ref, ifMatch, Archived, "service.archived", func(ctx context.Context, tx Tx, s Service, was State) (Service, error) {
		// Before the runs: the engine's commits take the lease and then the run.
		if err := tx.AskToStop(ctx, s.ID); err != nil {
			return s, err
		}
		open, err := tx.OpenRuns(ctx, s.ID)
		if err != nil {
			return s, err
		}
		for _, r := range open {
			if err := cancel(ctx, tx, r.ID); err != nil {
				return s, err
			}
		}
		if was == Draft {
			return s, nil // it never touched a system
		}
		r, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return s, err
		}
		return s, m.cleanUp(ctx, tx, s, r.Document, nil, r.Number)
	})
}

// RequireAction stops a service until a person does what reason says, in the transaction of whoever found out. It does
// nothing when the service is not active.
func RequireAction(ctx context.Context, tx Tx, id ID, reason string) error {
	s, err := tx.LockService(ctx, id.Public())
	if err != nil {
		return err
	}
	if s.State != Active {
		return nil
	}
	if s, err = s.To(ActionRequired, reason, tx.Now()); err != nil {
		return err
	}
	if s.Version, err = tx.SaveService(ctx, s); err != nil {
		return err
	}
	return emit(ctx, tx, s)
}

func (m *Manager) move(ctx context.Context, who auth.Principal, may auth.Permission, ref string, ifMatch *int64, to State, action string, with func(context.Context, Tx, Service, State) (Service, error)) (s Service, err error) {
	if err := who.May(may); err != nil {
		return Service{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if s, err = tx.LockService(ctx, ref); err != nil {
			return err
		}
		if err := stale(s, ifMatch); err != nil {
			return err
		}
		if s.State == to {
			return nil // it is as wished
		}
		was := s.State
		if s, err = s.To(to, "", tx.Now()); err != nil {
			return err
		}
		if with != nil {
			if s, err = with(ctx, tx, s, was); err != nil {
				return err
			}
		}
		if s.Version, err = tx.SaveService(ctx, s); err != nil {
			return err
		}
		if err := moved(ctx, tx, s); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did(action, s.ID.Public(), map[string]any{"name": s.Name, "before": map[string]any{"state": was}, "after": map[string]any{"state": s.State}}))
	})
	return s, err
}

func tenantZone(ctx context.Context, tx Tx) (*time.Location, error) {
	name, err := tx.TenantZone(ctx)
	if err != nil {
		return nil, err
	}
	return ParseZone(name)
}

// RunNow queues a run of an active service: all objects are read from their cursors now. When one is queued already, that
// one is returned, and queued is false.
func (m *Manager) RunNow(ctx context.Context, who auth.Principal, ref string) (r Run, queued bool, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return Run{}, false, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		s, err := tx.LockService(ctx, ref)
		if err != nil {
			return err
		}
		if s.State != Active {
			return fault.New(fault.Conflict, "service.not_active", "The service %s is %s, so nothing can run. %s", s.Name, s.State, remedyFor(s))
		}
		if err := tx.LetTryAgain(ctx, s.ID); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		open, err := tx.OpenRuns(ctx, s.ID)
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.State == RunQueued && !o.Kind.Beside() {
				r = o
				return nil
			}
		}
		made, err := queueRun(ctx, tx, s, ManualRun, who.Name)
		if err != nil {
			return err
		}
		r, queued = *made, true
		return tx.Audit(ctx, who.Did("run.requested", r.ID.Public(), map[string]any{"service": s.ID.Public(), "name": s.Name}))
	})
	return r, queued, err
}

// ReadAgain queues a run that reads the selected records again, beside the stream of changes. waited says that somebody waits for
// it: it goes before others. base, where it is given, is the revision that must be live: the plan that is carried out is about it.
func (m *Manager) ReadAgain(ctx context.Context, who auth.Principal, ref string, sel Selection, waited bool, base *int) (r Run, err error) {
	may := auth.RunServices
	kind := BulkRun
	if waited {
		may, kind = auth.EditRecords, RecordsRun
	}
	if err := who.May(may); err != nil {
		return Run{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		s, err := tx.LockService(ctx, ref)
		if err != nil {
			return err
		}
		if s.State != Active {
			return fault.New(fault.Conflict, "service.not_active", "The service %s is %s, so nothing can run. %s", s.Name, s.State, remedyFor(s))
		}
		if base != nil && *base != s.Revision {
			return fault.New(fault.Stale, "plan.moved", "The service %s has revision %d by now; the plan is about %d. Nothing was done. Make a new plan and look at it.", s.Name, s.Revision, *base)
		}
		live, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return err
		}
		if err := sel.Check(live.Document); err != nil {
			return err
		}
		r = Run{ID: NewRunID(), Service: s.ID, Kind: kind, State: RunQueued, Actor: who.Name, Revision: s.Revision, CreatedAt: tx.Now(), Version: 1, Selection: &sel}
		if err := tx.InsertRun(ctx, r); err != nil {
			return err
		}
		if err := emitRun(ctx, tx, r); err != nil {
			return err
		}
		if err := tx.LetTryAgain(ctx, s.ID); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("run.requested", r.ID.Public(), map[string]any{"service": s.ID.Public(), "name": s.Name, "kind": r.Kind, "selection": sel}))
	})
	return r, err
}

// ResumeRun goes on with a backfill that was cancelled or failed: a new run reads on where that one stood. Faults: run.not_resumable.
func (m *Manager) ResumeRun(ctx context.Context, who auth.Principal, id RunID) (r Run, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return Run{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		old, err := tx.LockRun(ctx, id)
		if err != nil {
			return err
		}
		s, err := tx.LockService(ctx, old.Service.Public())
		if err != nil {
			return err
		}
		cannot := func(format string, args ...any) error {
			return fault.New(fault.Conflict, "run.not_resumable", format, args...)
		}
		switch {
		case old.Kind != BulkRun:
			return cannot("Only a backfill can be gone on with. Another run begins where reading stands by itself.")
		case old.State != RunCancelled && old.State != RunFailed:
			return cannot("The backfill is %s, so there is nothing to go on with.", old.State)
		case s.State != Active:
			return fault.New(fault.Conflict, "service.not_active", "The service %s is %s, so nothing can run. %s", s.Name, s.State, remedyFor(s))
		case s.Revision != old.Revision:
			return cannot("The service %s has revision %d by now, and the backfill was of %d. Begin a new one.", s.Name, s.Revision, old.Revision)
		}
		r = Run{ID: NewRunID(), Service: s.ID, Kind: BulkRun, State: RunQueued, Actor: who.Name, Revision: s.Revision, CreatedAt: tx.Now(), Version: 1}
		if err := tx.InsertRun(ctx, r); err != nil {
			return err
		}
		if there, err := tx.CopySelection(ctx, old.ID, r.ID); err != nil || !there {
			if err == nil {
				err = cannot("What the backfill read is not known any more. Begin a new one.")
			}
			return err
		}
		if err := emitRun(ctx, tx, r); err != nil {
			return err
		}
		if err := tx.LetTryAgain(ctx, s.ID); err != nil {
			return err
		}
		if err := tx.Wake(ctx, s.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("run.resumed", r.ID.Public(), map[string]any{"service": s.ID.Public(), "name": s.Name, "from": old.ID.Public()}))
	})
	return r, err
}

// chosen fills in what runs beside the stream read.
func chosen(ctx context.Context, tx Tx, list []Run) error {
	var ids []RunID
	for _, r := range list {
		if r.Kind.Beside() {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := tx.Selections(ctx, ids)
	for i := range list {
		list[i].Selection = found[list[i].ID]
	}
	return err
}

func remedyFor(s Service) string {
	switch s.State {
	case Draft:
		return "Apply its document first."
	case ActionRequired:
		return "It waits for a person: " + s.Reason
	}
	return "Resume it first."
}

// CancelRun stops a run. One that is queued is cancelled at once, one under way at the engine's next commit; what was
// committed stays. A run that is over stays as it is.
func (m *Manager) CancelRun(ctx context.Context, who auth.Principal, id RunID) (r Run, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return Run{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		before, err := tx.LockRun(ctx, id)
		if err != nil {
			return err
		}
		if r = before; r.Over() || r.CancelAt != nil {
			return nil
		}
		s, err := tx.Service(ctx, r.Service.Public())
		if err != nil {
			return err
		}
		if r.State == RunQueued || s.State != Active { // nobody is at it
			if err := cancel(ctx, tx, id); err != nil {
				return err
			}
		} else {
			now := tx.Now()
			r.CancelAt = &now
			if err := tx.SaveRun(ctx, r); err != nil {
				return err
			}
			if err := tx.Wake(ctx, s.ID); err != nil {
				return err
			}
		}
		if r, err = tx.Run(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("run.cancelled", id.Public(), map[string]any{"service": s.ID.Public(), "name": s.Name}))
	})
	return r, err
}

// cancel ends a run that nobody is at.
func cancel(ctx context.Context, tx Tx, id RunID) error {
	r, err := tx.LockRun(ctx, id)
	if err != nil || r.Over() {
		return err
	}
	now := tx.Now()
	if r.CancelAt == nil {
		r.CancelAt = &now
	}
	if r, err = r.To(RunCancelled, now); err != nil {
		return err
	}
	if err := tx.SaveRun(ctx, r); err != nil {
		return err
	}
	return emitRun(ctx, tx, r)
}

// Runs lists runs, newest first.
func (m *Manager) Runs(ctx context.Context, who auth.Principal, f RunFilter) (list []Run, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if list, err = tx.Runs(ctx, f); err != nil {
			return err
		}
		return chosen(ctx, tx, list)
	})
	return list, err
}

// Run returns a run.
func (m *Manager) Run(ctx context.Context, who auth.Principal, id RunID) (r Run, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return Run{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if r, err = tx.Run(ctx, id); err != nil {
			return err
		}
		one := []Run{r}
		err = chosen(ctx, tx, one)
		r = one[0]
		return err
	})
	return r, err
}

// scheduleActor is whom a scheduled run names.
const scheduleActor = "schedule"

// QueueDue queues a run of each of the services whose schedule is due by now, and sets when the next one is. A service
// whose last run still waits gets no second one: it would find nothing that the first does not. For the scheduler.
func (m *Manager) QueueDue(ctx context.Context, id tenant.ID, services []ID) error {
	return m.inTx(ctx, id, func(tx Tx) error {
		due, err := tx.LockDue(ctx, services)
		if err != nil || len(due) == 0 {
			return err
		}
		zone, err := tenantZone(ctx, tx)
		if err != nil {
			return err
		}
		for _, s := range due {
			schedule, err := m.scheduleOf(ctx, tx, s)
			if err != nil {
				return err
			}
			if err := tx.SetNextRun(ctx, s.ID, followingRun(schedule, *s.NextRunAt, tx.Now(), zone)); err != nil {
				return err
			}
			open, err := tx.OpenRuns(ctx, s.ID)
			if err != nil {
				return err
			}
			waits := false
			for _, r := range open {
				waits = waits || r.State == RunQueued
			}
			if waits {
				continue
			}
			if _, err := queueRun(ctx, tx, s, ScheduledRun, scheduleActor); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Manager) scheduleOf(ctx context.Context, tx Tx, s Service) (Schedule, error) {
	key := revisionKey{s.ID, s.Revision}
	m.mu.Lock()
	schedule, known := m.schedules[key]
	m.mu.Unlock()
	if known {
		return schedule, nil
	}
	r, err := tx.Revision(ctx, s.ID, s.Revision)
	if err != nil {
		return Schedule{}, err
	}
	schedule = r.Document.Schedule()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.schedules) >= schedulesKept { // mostly of revisions that are not live any more
		clear(m.schedules)
	}
	m.schedules[key] = schedule
	return schedule, nil
}

// NotePool tells people that the service is carried on another pool than its own, which has no workers. For the scheduler.
func (m *Manager) NotePool(ctx context.Context, id tenant.ID, service ID, own, used string) error {
	return m.inTx(ctx, id, func(tx Tx) error {
		return tx.Emit(ctx, "service.pool_moved", uuid.UUID(service), map[string]any{"id": service.Public(), "pool": own, "used": used})
	})
}

// PauseAll pauses every active service in the transaction of whoever found that nothing more may be done, and says how many there
// were. The services are locked in the order of their names, so two who do this wait for each other.
func PauseAll(ctx context.Context, tx Tx, who auth.Principal, why string) (paused int, err error) {
	var after string
	for {
		list, err := tx.Services(ctx, Filter{States: []State{Active}, After: after, Limit: 100})
		if err != nil {
			return paused, err
		}
		for _, s := range list {
			if s, err = tx.LockService(ctx, s.ID.Public()); err != nil {
				return paused, err
			}
			if s.State != Active {
				continue // somebody was faster
			}
			if s, err = s.To(Paused, "", tx.Now()); err != nil {
				return paused, err
			}
			if s.Version, err = tx.SaveService(ctx, s); err != nil {
				return paused, err
			}
			if err := moved(ctx, tx, s); err != nil {
				return paused, err
			}
			if err := tx.Audit(ctx, who.Did("service.paused", s.ID.Public(), map[string]any{"name": s.Name, "why": why, "before": map[string]any{"state": Active}, "after": map[string]any{"state": s.State}})); err != nil {
				return paused, err
			}
			paused++
		}
		if len(list) < 100 {
			return paused, nil
		}
		after = list[len(list)-1].Name
	}
}
