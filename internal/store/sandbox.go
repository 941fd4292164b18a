// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// LockSandbox returns the state of a connection's simulated account, nil when there is none yet, and keeps others from it until
// the commit.
func (t *Tx) LockSandbox(ctx context.Context, connection uuid.UUID) (state []byte, err error) {
	// One at a time also while there is no row to lock.
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 35))`, connection.String()); err != nil {
		return nil, unavailable(err)
	}
	err = t.tx.QueryRow(ctx, `SELECT state FROM sandboxes WHERE tenant_id = current_tenant() AND connection_id = $1`, connection).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return state, unavailable(err)
}

// SaveSandbox keeps the state.
func (t *Tx) SaveSandbox(ctx context.Context, connection uuid.UUID, vendor string, state []byte) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO sandboxes (tenant_id, connection_id, vendor, state, updated_at) VALUES (current_tenant(), $1, $2, $3, $4)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET vendor = excluded.vendor, state = excluded.state, updated_at = excluded.updated_at`, connection, vendor, state, t.now)
	return unavailable(err)
}

// ClearSandbox removes the account, so that a new one is made with the next call.
func (t *Tx) ClearSandbox(ctx context.Context, connection uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM sandboxes WHERE tenant_id = current_tenant() AND connection_id = $1`, connection)
	return unavailable(err)
}
