// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// UnderWay lists the systems that the entity may be on its way to at this moment.
func (t *Tx) UnderWay(ctx context.Context, s service.ID, id record.EntityID) ([]string, error) {
	rows, err := t.tx.Query(ctx, `SELECT DISTINCT system FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_ids @> ARRAY[$2]::uuid[] ORDER BY system`,
		uuid.UUID(s), uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, unavailable(err)
}

// SaveFreeze notes that the entity is frozen.
func (t *Tx) SaveFreeze(ctx context.Context, s service.ID, id record.EntityID, f engine.Freeze) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO record_freezes (tenant_id, service_id, entity_id, frozen_at, frozen_by, reason) VALUES (current_tenant(), $1, $2, $3, $4, $5)`,
		uuid.UUID(s), uuid.UUID(id), f.At, f.By, f.Reason)
	return unavailable(err)
}

// DropFreeze forgets it.
func (t *Tx) DropFreeze(ctx context.Context, s service.ID, id record.EntityID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM record_freezes WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = $2`, uuid.UUID(s), uuid.UUID(id))
	return unavailable(err)
}

// freezeOf says who froze the entity; nil when nobody did.
func (t *Tx) freezeOf(ctx context.Context, s service.ID, id record.EntityID) (*engine.Freeze, error) {
	var f engine.Freeze
	err := t.tx.QueryRow(ctx, `SELECT frozen_at, frozen_by, reason FROM record_freezes WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = $2`,
		uuid.UUID(s), uuid.UUID(id)).Scan(&f.At, &f.By, &f.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &f, unavailable(err)
}
