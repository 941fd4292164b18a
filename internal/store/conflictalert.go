// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/service"
)

// RaiseAlerts stores the alerts of one service whose rule is met, unless the same rule was within its time before. Two commits
// that complete the same rule at once take turns, so that one of them raises it.
func (t *Tx) RaiseAlerts(ctx context.Context, list []engine.ConflictAlert) ([]engine.ConflictAlert, error) {
	s := uuid.UUID(list[0].Service)
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('conflict alerts ' || $1::text, 0))`, s); err != nil {
		return nil, unavailable(err)
	}
	byID := make(map[uuid.UUID]engine.ConflictAlert, len(list))
	var ids []uuid.UUID
	var fields []*string
	var counts, spans []int64
	for _, a := range list {
		byID[a.ID] = a
		ids, fields, counts, spans = append(ids, a.ID), append(fields, a.Field), append(counts, int64(a.Count)), append(spans, int64(a.Within/time.Second))
	}
	rows, err := t.tx.Query(ctx, `INSERT INTO conflict_alerts (tenant_id, id, service_id, field, threshold, within_seconds, conflicts, at)
SELECT current_tenant(), u.id, $1, u.field, u.threshold, u.span, n.conflicts, $6::timestamptz
FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[]) AS u (id, field, threshold, span),
LATERAL (SELECT count(*) AS conflicts FROM conflicts c WHERE c.tenant_id = current_tenant() AND c.service_id = $1
  AND c.opened_at > $6::timestamptz - make_interval(secs => u.span) AND (u.field IS NULL OR c.field = u.field)) n
WHERE n.conflicts >= u.threshold AND NOT EXISTS (SELECT FROM conflict_alerts a WHERE a.tenant_id = current_tenant() AND a.service_id = $1
  AND a.field IS NOT DISTINCT FROM u.field AND a.threshold = u.threshold AND a.within_seconds = u.span AND a.at > $6::timestamptz - make_interval(secs => u.span))
RETURNING id, conflicts, at`, s, ids, fields, counts, spans, t.now)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (engine.ConflictAlert, error) {
		var id uuid.UUID
		var a engine.ConflictAlert
		err := row.Scan(&id, &a.Conflicts, &a.At)
		out := byID[id]
		out.Conflicts, out.At = a.Conflicts, a.At
		return out, err
	})
}

// ConflictAlerts lists alerts, the newest first.
func (t *Tx) ConflictAlerts(ctx context.Context, q engine.AlertQuery) ([]engine.ConflictAlert, error) {
	rows, err := t.tx.Query(ctx, `SELECT a.id, a.service_id, s.name, a.field, a.threshold, a.within_seconds, a.conflicts, a.at
FROM conflict_alerts a JOIN services s ON s.tenant_id = a.tenant_id AND s.id = a.service_id
WHERE a.tenant_id = current_tenant() AND ($1 = $5::uuid OR a.service_id = $1) AND a.at >= $2 AND ($3 = $5::uuid OR a.id < $3) ORDER BY a.id DESC LIMIT $4`,
		uuid.UUID(q.Service), q.Since, q.Before, q.Limit, uuid.Nil)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a engine.ConflictAlert, err error) {
		var sid uuid.UUID
		var seconds int64
		err = row.Scan(&a.ID, &sid, &a.ServiceName, &a.Field, &a.Count, &seconds, &a.Conflicts, &a.At)
		a.Service, a.Within = service.ID(sid), time.Duration(seconds)*time.Second
		return a, err
	})
}
