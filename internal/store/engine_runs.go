// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
WHERE tenant_id = current_tenant() AND service_id = $1 AND state IN ('queued', 'running') ORDER BY id LIMIT 1`, uuid.UUID(id)).
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
