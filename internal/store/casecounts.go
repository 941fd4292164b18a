// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/service"
)

// CaseCounts counts the open conflicts by service and field, the most first.
func (t *Tx) CaseCounts(ctx context.Context) ([]engine.CaseCount, error) {
	rows, err := t.tx.Query(ctx, `SELECT c.service_id, s.name, c.field, count(*),
  count(*) FILTER (WHERE c.opened_at > $1::timestamptz - interval '1 hour'), count(*) FILTER (WHERE c.opened_at > $1::timestamptz - interval '1 day'), min(c.opened_at)
FROM conflicts c JOIN services s ON s.tenant_id = c.tenant_id AND s.id = c.service_id
WHERE c.tenant_id = current_tenant() AND c.state = 'open'
GROUP BY c.service_id, s.name, c.field ORDER BY count(*) DESC, s.name, c.field`, t.now)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c engine.CaseCount, err error) {
		var sid uuid.UUID
		err = row.Scan(&sid, &c.ServiceName, &c.Field, &c.Count, &c.LastHour, &c.LastDay, &c.Oldest)
		c.Service = service.ID(sid)
		return c, err
	})
}
