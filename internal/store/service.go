// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

var _ service.Tx = (*Tx)(nil)

// Service reads a service by its public id or its name. The fault is service.not_found.
func (t *Tx) Service(ctx context.Context, ref string) (service.Service, error) {
	return t.service(ctx, ref, t.q.ServiceByID, t.q.ServiceByName)
}

// LockService reads a service for changing it.
func (t *Tx) LockService(ctx context.Context, ref string) (service.Service, error) {
	return t.service(ctx, ref, t.q.LockServiceByID, t.q.LockServiceByName)
}

func (t *Tx) service(ctx context.Context, ref string, byID func(context.Context, uuid.UUID) (db.Service, error), byName func(context.Context, string) (db.Service, error)) (service.Service, error) {
	var row db.Service
	var err error
	if id, bad := ident.Parse(ident.Service, ref); bad == nil {
		row, err = byID(ctx, id)
	} else {
		row, err = byName(ctx, clean(ref))
	}
	if err != nil {
		return service.Service{}, notFound(err, "service.not_found", "There is no service %q.", ref)
	}
	return toService(row), nil
}

func toService(r db.Service) service.Service {
	return service.Service{
		ID: service.ID(r.ID), Name: r.Name, State: service.State(r.State), Reason: r.Reason, Revision: int(r.Revision), Realtime: r.Realtime,
		Pool: r.Pool, Priority: int(r.Priority), NextRunAt: r.NextRunAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version,
		MaxDelay: time.Duration(r.MaxDelayMs) * time.Millisecond,
	}
}

// Services lists services by name.
func (t *Tx) Services(ctx context.Context, f service.Filter) ([]service.Service, error) {
	rows, err := t.q.Services(ctx, db.ServicesParams{After: clean(f.After), States: texts(f.States), Containing: clean(f.Containing), Page: page(f.Limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]service.Service, len(rows))
	for i, r := range rows {
		out[i] = toService(r)
	}
	return out, nil
}

// InsertService writes a new service. The fault is service.name_taken.
func (t *Tx) InsertService(ctx context.Context, s service.Service) error {
	err := t.q.InsertService(ctx, db.InsertServiceParams{
		ID: uuid.UUID(s.ID), Name: s.Name, State: string(s.State), Reason: s.Reason, Revision: int32(s.Revision), Realtime: s.Realtime,
		Pool: s.Pool, Priority: int16(s.Priority), NextRunAt: s.NextRunAt, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, MaxDelayMs: s.MaxDelay.Milliseconds(),
	})
	if violates(err, "services_name") {
		// Somebody else made it at this very moment; the caller's next try finds it.
		return fault.New(fault.Conflict, "service.name_taken", "The service %s was made by somebody else just now. Look at it, and apply again.", s.Name)
	}
	return unavailable(err)
}

// SaveService writes what can change of a service and returns its new version.
func (t *Tx) SaveService(ctx context.Context, s service.Service) (version int64, err error) {
	version, err = t.q.SaveService(ctx, db.SaveServiceParams{
		ID: uuid.UUID(s.ID), State: string(s.State), Reason: s.Reason, Revision: int32(s.Revision), Realtime: s.Realtime,
		Pool: s.Pool, Priority: int16(s.Priority), NextRunAt: s.NextRunAt, UpdatedAt: s.UpdatedAt, MaxDelayMs: s.MaxDelay.Milliseconds(),
	})
	return version, notFound(err, "service.not_found", "There is no service %q.", s.Name)
}

// SetNextRun writes when the next scheduled run is due, nil for never.
func (t *Tx) SetNextRun(ctx context.Context, id service.ID, at *time.Time) error {
	return unavailable(t.q.SetNextRun(ctx, db.SetNextRunParams{ID: uuid.UUID(id), NextRunAt: at}))
}

// InsertRevision writes an accepted document.
func (t *Tx) InsertRevision(ctx context.Context, r service.Revision) error {
	document, err := json.Marshal(r.Document)
	if err != nil {
		return fmt.Errorf("writing revision %d: %w", r.Number, err)
	}
	return unavailable(t.q.InsertRevision(ctx, db.InsertRevisionParams{
		ServiceID: uuid.UUID(r.Service), Number: int32(r.Number), Document: document, Source: clean(r.Source), Format: string(r.Format),
		Author: clean(r.Author), Note: clean(r.Note), CreatedAt: r.CreatedAt,
	}))
}

// Revision reads one revision. The fault is service.revision_not_found.
func (t *Tx) Revision(ctx context.Context, id service.ID, number int) (service.Revision, error) {
	n := int32(0) // there is none of that number
	if number > 0 && number < 1<<31 {
		n = int32(number)
	}
	r, err := t.q.Revision(ctx, db.RevisionParams{ServiceID: uuid.UUID(id), Number: n})
	if err != nil {
		return service.Revision{}, notFound(err, "service.revision_not_found", "The service has no revision %d.", number)
	}
	return toRevision(r)
}

// Revisions lists a service's revisions, newest first, those older than `before` (0: from the newest).
func (t *Tx) Revisions(ctx context.Context, id service.ID, before, limit int) ([]service.Revision, error) {
	if before <= 0 || before > 1<<31-1 {
		before = 1<<31 - 1
	}
	rows, err := t.q.Revisions(ctx, db.RevisionsParams{ServiceID: uuid.UUID(id), Before: int32(before), Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]service.Revision, len(rows))
	for i, r := range rows {
		if out[i], err = toRevision(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func toRevision(r db.Revision) (service.Revision, error) {
	doc, err := toDocument(r.Document)
	return service.Revision{
		Service: service.ID(r.ServiceID), Number: int(r.Number), Document: doc, Source: r.Source, Format: service.Format(r.Format),
		Author: r.Author, Note: r.Note, CreatedAt: r.CreatedAt,
	}, err
}

func toDocument(b []byte) (*service.Document, error) {
	var doc service.Document
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("reading a stored document: %w", err)
	}
	return &doc, nil
}

// LiveDocument reads the document of the service's live revision.
func (t *Tx) LiveDocument(ctx context.Context, id service.ID) (*service.Document, error) {
	b, err := t.q.LiveDocument(ctx, uuid.UUID(id))
	if err != nil {
		return nil, notFound(err, "service.not_found", "There is no such service.")
	}
	return toDocument(b)
}

// TenantZone returns the tenant's time zone.
func (t *Tx) TenantZone(ctx context.Context) (string, error) {
	zone, err := t.q.TenantZone(ctx)
	return zone, notFound(err, "tenant.not_found", "The tenant does not exist any more.")
}

// SecretsAmong returns which of the names are secrets of the tenant.
func (t *Tx) SecretsAmong(ctx context.Context, names []string) ([]string, error) {
	known, err := t.q.SecretNamesAmong(ctx, names)
	return known, unavailable(err)
}

// InsertRun queues a run.
func (t *Tx) InsertRun(ctx context.Context, r service.Run) error {
	err := t.q.InsertRun(ctx, db.InsertRunParams{
		ID: uuid.UUID(r.ID), ServiceID: uuid.UUID(r.Service), Kind: string(r.Kind), State: string(r.State), Actor: clean(r.Actor),
		Revision: int32(r.Revision), CreatedAt: r.CreatedAt,
	})
	if err != nil || r.Selection == nil {
		return unavailable(err)
	}
	selection, err := json.Marshal(r.Selection)
	if err != nil {
		return fmt.Errorf("writing a selection: %w", err)
	}
	_, err = t.tx.Exec(ctx, `INSERT INTO run_selections (tenant_id, run_id, selection) VALUES (current_tenant(), $1, $2)`, uuid.UUID(r.ID), string(selection))
	return unavailable(err)
}

// CopySelection gives a run what another one reads, with where that one stood; false when there is nothing of it.
func (t *Tx) CopySelection(ctx context.Context, from, to service.RunID) (bool, error) {
	tag, err := t.tx.Exec(ctx, `INSERT INTO run_selections (tenant_id, run_id, selection, place)
SELECT tenant_id, $2, selection, place FROM run_selections WHERE tenant_id = current_tenant() AND run_id = $1`, uuid.UUID(from), uuid.UUID(to))
	return tag.RowsAffected() == 1, unavailable(err)
}

// Selections returns what runs read, of those that read records again.
func (t *Tx) Selections(ctx context.Context, ids []service.RunID) (map[service.RunID]*service.Selection, error) {
	list := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		list[i] = uuid.UUID(id)
	}
	rows, err := t.tx.Query(ctx, `SELECT run_id, selection FROM run_selections WHERE tenant_id = current_tenant() AND run_id = ANY($1)`, list)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[service.RunID]*service.Selection, len(ids))
	var id uuid.UUID
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		sel := &service.Selection{}
		out[service.RunID(id)] = sel
		return json.Unmarshal(text, sel)
	})
	return out, unavailable(err)
}

// Run reads a run. The fault is run.not_found.
func (t *Tx) Run(ctx context.Context, id service.RunID) (service.Run, error) {
	r, err := t.q.RunByID(ctx, uuid.UUID(id))
	if err != nil {
		return service.Run{}, notFound(err, "run.not_found", "There is no run %s.", id.Public())
	}
	return toRun(r)
}

// LockRun reads a run for changing it.
func (t *Tx) LockRun(ctx context.Context, id service.RunID) (service.Run, error) {
	r, err := t.q.LockRun(ctx, uuid.UUID(id))
	if err != nil {
		return service.Run{}, notFound(err, "run.not_found", "There is no run %s.", id.Public())
	}
	return toRun(r)
}

// OpenRuns returns the service's runs that are not over, the oldest first.
func (t *Tx) OpenRuns(ctx context.Context, id service.ID) ([]service.Run, error) {
	rows, err := t.q.OpenRuns(ctx, uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	return toRuns(rows)
}

// Runs lists runs, newest first.
func (t *Tx) Runs(ctx context.Context, f service.RunFilter) ([]service.Run, error) {
	before := uuid.UUID(f.Before)
	if before == uuid.Nil {
		before = uuid.Max
	}
	rows, err := t.q.Runs(ctx, db.RunsParams{ServiceID: uuid.UUID(f.Service), Before: before, States: texts(f.States), Kinds: texts(f.Kinds), Page: page(f.Limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	return toRuns(rows)
}

// SaveRun writes a run's state; its counts are written by the commits that they count.
func (t *Tx) SaveRun(ctx context.Context, r service.Run) error {
	_, err := t.q.SaveRun(ctx, db.SaveRunParams{
		ID: uuid.UUID(r.ID), State: string(r.State), Revision: int32(r.Revision), StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		CancelAt: r.CancelAt, ErrorCode: r.ErrorCode, Error: clean(r.Error),
	})
	return notFound(err, "run.not_found", "There is no run %s.", r.ID.Public())
}

func toRuns(rows []db.Run) ([]service.Run, error) {
	out := make([]service.Run, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = toRun(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func toRun(r db.Run) (service.Run, error) {
	run := service.Run{
		ID: service.RunID(r.ID), Service: service.ID(r.ServiceID), Kind: service.RunKind(r.Kind), State: service.RunState(r.State), Actor: r.Actor,
		Revision: int(r.Revision), CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, CancelAt: r.CancelAt,
		ErrorCode: r.ErrorCode, Error: r.Error, Version: r.Version,
	}
	if err := json.Unmarshal(r.Counts, &run.Counts); err != nil {
		return run, fmt.Errorf("reading a run's counts: %w", err)
	}
	return run, nil
}

// AskToStop asks the worker that carries the service to stop at its next commit; the service then waits for a worker
// again, if it is still to be carried.
func (t *Tx) AskToStop(ctx context.Context, id service.ID) error {
	return unavailable(t.q.AskToStop(ctx, uuid.UUID(id)))
}

// Stopping says whether a worker that was asked to stop may still be at the service's data.
func (t *Tx) Stopping(ctx context.Context, id service.ID) (bool, error) {
	stopping, err := t.q.Stopping(ctx, uuid.UUID(id))
	return stopping, unavailable(err)
}

// LetTryAgain ends the pause after a failure.
func (t *Tx) LetTryAgain(ctx context.Context, id service.ID) error {
	return unavailable(t.q.LetTryAgain(ctx, uuid.UUID(id)))
}

// LockDue locks those of the services that are active and whose run is due, leaving out those that somebody else has
// locked.
func (t *Tx) LockDue(ctx context.Context, services []service.ID) ([]service.Service, error) {
	ids := make([]uuid.UUID, len(services))
	for i, id := range services {
		ids[i] = uuid.UUID(id)
	}
	rows, err := t.q.LockDue(ctx, db.LockDueParams{Ids: ids, Now: t.now})
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]service.Service, len(rows))
	for i, r := range rows {
		out[i] = toService(r)
	}
	return out, nil
}
