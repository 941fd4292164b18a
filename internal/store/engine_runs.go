// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/service"
)

// Loadable reads the service and its live revision's document.
func (t *Tx) Loadable(ctx context.Context, id service.ID) (service.Service, *service.Document, error) {
	var s service.Service
	var document []byte
	var state string
	err := t.tx.QueryRow(ctx, `SELECT s.name, s.state, s.revision, s.realtime, r.document FROM services s
JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
WHERE s.tenant_id = current_tenant() AND s.id = $1`, uuid.UUID(id)).Scan(&s.Name, &state, &s.Revision, &s.Realtime, &document)
	if err != nil {
		return s, nil, notFound(err, "service.not_found", "There is no service with that id.")
	}
	s.ID, s.State = id, service.State(state)
	doc := &service.Document{}
	if err := json.Unmarshal(document, doc); err != nil {
		return s, nil, fmt.Errorf("reading the stored document: %w", err)
	}
	return s, doc, nil
}

// NextRun returns the service's oldest run that is not over.
func (t *Tx) NextRun(ctx context.Context, id service.ID) (r service.Run, found bool, err error) {
	var run uuid.UUID
	var kind, state string
	var counts []byte
	err = t.tx.QueryRow(ctx, `SELECT id, kind, state, actor, revision, created_at, started_at, finished_at, cancel_at, counts, error_code, error, version FROM runs
WHERE tenant_id = current_tenant() AND service_id = $1 AND state IN ('queued', 'running') AND kind NOT IN ('bulk', 'records') ORDER BY id LIMIT 1`, uuid.UUID(id)).
		Scan(&run, &kind, &state, &r.Actor, &r.Revision, &r.CreatedAt, &r.StartedAt, &r.FinishedAt, &r.CancelAt, &counts, &r.ErrorCode, &r.Error, &r.Version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, false, nil
	case err != nil:
		return r, false, unavailable(err)
	}
	r.ID, r.Service, r.Kind, r.State = service.RunID(run), id, service.RunKind(kind), service.RunState(state)
	return r, true, json.Unmarshal(counts, &r.Counts)
}

// MoveRun writes a run's new state; its counts are written by the commits they count.
func (t *Tx) MoveRun(ctx context.Context, r service.Run) error {
	_, err := t.tx.Exec(ctx, `UPDATE runs SET state = $2, started_at = $3, finished_at = $4, error_code = $5, error = $6, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1`, uuid.UUID(r.ID), string(r.State), r.StartedAt, r.FinishedAt, r.ErrorCode, r.Error)
	return unavailable(err)
}

// NextBeside returns the most urgent run beside the stream that is not over: single records first, then the oldest.
func (t *Tx) NextBeside(ctx context.Context, id service.ID) (r service.Run, place []byte, found bool, err error) {
	var run uuid.UUID
	var kind, state string
	var counts, selection []byte
	err = t.tx.QueryRow(ctx, `SELECT r.id, r.kind, r.state, r.actor, r.revision, r.created_at, r.started_at, r.finished_at, r.cancel_at, r.counts, r.error_code, r.error, r.version, s.selection, s.place
FROM runs r JOIN run_selections s ON s.tenant_id = r.tenant_id AND s.run_id = r.id
WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.state IN ('queued', 'running') AND r.kind IN ('bulk', 'records') ORDER BY r.kind = 'records' DESC, r.id LIMIT 1`, uuid.UUID(id)).
		Scan(&run, &kind, &state, &r.Actor, &r.Revision, &r.CreatedAt, &r.StartedAt, &r.FinishedAt, &r.CancelAt, &counts, &r.ErrorCode, &r.Error, &r.Version, &selection, &place)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, nil, false, nil
	case err != nil:
		return r, nil, false, unavailable(err)
	}
	r.ID, r.Service, r.Kind, r.State, r.Selection = service.RunID(run), id, service.RunKind(kind), service.RunState(state), &service.Selection{}
	if err := json.Unmarshal(counts, &r.Counts); err != nil {
		return r, nil, false, err
	}
	if selection != nil {
		err = json.Unmarshal(selection, r.Selection)
	}
	return r, place, true, err
}

// SavePlace writes where a run beside the stream stands.
func (t *Tx) SavePlace(ctx context.Context, r service.RunID, place []byte) error {
	_, err := t.tx.Exec(ctx, `UPDATE run_selections SET place = $2 WHERE tenant_id = current_tenant() AND run_id = $1`, uuid.UUID(r), string(place))
	return unavailable(err)
}

// OwedBy counts what is still owed of what was owed at a time.
func (t *Tx) OwedBy(ctx context.Context, s service.ID, at, clear time.Time) (due, later int64, err error) {
	if clear.IsZero() {
		clear = time.Unix(0, 0)
	}
	err = t.tx.QueryRow(ctx, `SELECT
  (SELECT count(*) FROM (SELECT FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND since <= $2 AND due_at <= $4 LIMIT 1) d)
  + (SELECT count(*) FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 AND started_at <= $3),
  (SELECT count(*) FROM (SELECT FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND since <= $2 AND due_at > $4 LIMIT 1) d)`,
		uuid.UUID(s), at, clear, t.now).Scan(&due, &later)
	return due, later, unavailable(err)
}
