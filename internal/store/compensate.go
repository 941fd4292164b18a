// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Oldest says since when, and to what system, something has been owed the longest that waits for no person, or since when a system
// fails.
func (t *Tx) Oldest(ctx context.Context, s service.ID) (since time.Time, system record.System, err error) {
	var name string
	err = t.tx.QueryRow(ctx, `SELECT since, system FROM (
  (SELECT since, system FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND waits <> 'hold' ORDER BY since LIMIT 1)
  UNION ALL (SELECT since, system FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 ORDER BY since LIMIT 1)
  UNION ALL (SELECT failing_since, system FROM cursors WHERE tenant_id = current_tenant() AND service_id = $1 AND failing_since IS NOT NULL ORDER BY failing_since LIMIT 1)
) late ORDER BY since LIMIT 1`, uuid.UUID(s)).Scan(&since, &name)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, "", nil
	}
	return since, record.System(name), unavailable(err)
}

// MarkLate notes whether the service is later than its document allows; false when that is known.
func (t *Tx) MarkLate(ctx context.Context, s service.ID, late bool) (changed bool, err error) {
	query, args := `DELETE FROM lags WHERE tenant_id = current_tenant() AND service_id = $1`, []any{uuid.UUID(s)}
	if late {
		query = `INSERT INTO lags (tenant_id, service_id, since) VALUES (current_tenant(), $1, $2) ON CONFLICT DO NOTHING`
		args = append(args, t.now)
	}
	tag, err := t.tx.Exec(ctx, query, args...)
	return tag.RowsAffected() > 0, unavailable(err)
}

// Refusals lists the open outward dead letters, the oldest first; what waits for another record is not refused.
func (t *Tx) Refusals(ctx context.Context, s service.ID, limit int) ([]engine.Refusal, error) {
	rows, err := t.tx.Query(ctx, `SELECT id, system, object, key, entity_id, op, code, message, payload, tries FROM dead_letters
WHERE tenant_id = current_tenant() AND service_id = $1 AND state = 'open' AND direction = 'out' AND entity_id IS NOT NULL AND code NOT IN ('reference.missing', 'reference.children') ORDER BY id LIMIT $2`, uuid.UUID(s), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d engine.Refusal, err error) {
		var system, object, key, op string
		var entity [16]byte
		var payload []byte
		if err = row.Scan(&d.ID, &system, &object, &key, &entity, &op, &d.Code, &d.Message, &payload, &d.Tries); err != nil {
			return d, err
		}
		d.System, d.Object, d.Key, d.Entity, d.Op = record.System(system), record.Object(object), record.Key(key), record.EntityID(entity), record.Op(op)
		if payload != nil {
			err = d.Payload.UnmarshalJSON(payload)
		}
		return d, err
	})
}

// SaveCompensated writes the entity that a refusal set back, makes deliveries, and settles the dead letter.
func (t *Tx) SaveCompensated(ctx context.Context, s service.ID, e *record.Entity, moot []*engine.Conflict, entry record.Entry, dead uuid.UUID, systems []string) error {
	if err := t.SettleDead(ctx, s, dead, "What one system refuses none keeps: the record was set back."); err != nil {
		return err
	}
	return t.SaveDecided(ctx, s, e, moot, entry, systems)
}

// SettleDead settles an open dead letter, and says why.
func (t *Tx) SettleDead(ctx context.Context, s service.ID, dead uuid.UUID, why string) error {
	_, err := t.tx.Exec(ctx, `UPDATE dead_letters SET state = 'settled', reason = $4, last_at = $1, version = version + 1
WHERE tenant_id = current_tenant() AND service_id = $2 AND id = $3 AND state = 'open'`, t.now, uuid.UUID(s), dead, why)
	return unavailable(err)
}
