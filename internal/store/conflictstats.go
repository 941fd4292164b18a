// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// mostConflicts bounds what statistics are made of; beyond it they are of the newest.
const mostConflicts = 200_000

// ConflictStatistics counts the conflicts opened in the span. A decision counts as overturned when the record came to hold,
// by a change or another decision within 30 days, what a side that lost had said.
func (t *Tx) ConflictStatistics(ctx context.Context, span engine.ConflictSpan) (st engine.ConflictStatistics, err error) {
	rows, err := t.tx.Query(ctx, `SELECT c.id, c.service_id, s.name, c.collection, c.field, ARRAY(SELECT side ->> 'system' FROM jsonb_array_elements(c.sides) side),
  c.state = 'open', c.strategy, c.winner, c.decided_by, c.opened_at, c.resolved_at,
  c.state = 'resolved' AND c.field <> '' AND EXISTS (
    SELECT FROM journal j
    WHERE j.tenant_id = c.tenant_id AND j.service_id = c.service_id AND j.entity_id = c.entity_id AND j.id > c.id
      AND j.at > c.resolved_at AND j.at <= c.resolved_at + interval '30 days' AND j.kind <> 'delivery' AND j.after ? c.field
      AND j.after -> c.field IS DISTINCT FROM coalesce(c.result, 'null')
      AND j.after -> c.field IN (SELECT side -> 'value' FROM jsonb_array_elements(c.sides) side))
FROM conflicts c JOIN services s ON s.tenant_id = c.tenant_id AND s.id = c.service_id
WHERE c.tenant_id = current_tenant() AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR c.service_id = $1)
  AND c.opened_at >= $2 AND c.opened_at < $3
ORDER BY c.opened_at DESC LIMIT $4`, uuid.UUID(span.Service), span.Since, span.Until, mostConflicts)
	if err != nil {
		return st, unavailable(err)
	}
	facts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f engine.ConflictFact, err error) {
		var sid uuid.UUID
		var systems []string
		var strategy, winner string
		err = row.Scan(&f.ID, &sid, &f.ServiceName, &f.Collection, &f.Field, &systems, &f.Open, &strategy, &winner, &f.DecidedBy, &f.OpenedAt, &f.ResolvedAt, &f.Overturned)
		f.Service, f.Strategy, f.Winner = service.ID(sid), conflict.Strategy(strategy), record.System(winner)
		for _, s := range systems {
			f.Systems = append(f.Systems, record.System(s))
		}
		return f, err
	})
	if err != nil {
		return st, unavailable(err)
	}
	return engine.SumConflicts(span, facts), nil
}
