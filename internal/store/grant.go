// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
)

// InsertQuestion notes that a person was sent to a vendor. What is a day old goes.
func (t *Tx) InsertQuestion(ctx context.Context, q connection.Question) error {
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM connection_authorizations WHERE tenant_id = current_tenant() AND connection_id = $1 AND expires_at < $2`, uuid.UUID(q.Connection), t.now.Add(-24*time.Hour))
	b.Queue(`INSERT INTO connection_authorizations (tenant_id, state, connection_id, session, redirect, sealed, created_at, expires_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7)`, q.State, uuid.UUID(q.Connection), q.Session, q.Redirect, q.Sealed, t.now, q.ExpiresAt)
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// TakeQuestion takes the question that this session asked and nobody took yet.
func (t *Tx) TakeQuestion(ctx context.Context, state []byte, session string) (q connection.Question, found bool, err error) {
	var id uuid.UUID
	err = t.tx.QueryRow(ctx, `UPDATE connection_authorizations SET used_at = $3 WHERE tenant_id = current_tenant() AND state = $1 AND session = $2 AND used_at IS NULL
RETURNING connection_id, redirect, sealed, expires_at`, state, session, t.now).Scan(&id, &q.Redirect, &q.Sealed, &q.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return q, false, nil
	}
	q.State, q.Session, q.Connection = state, session, connection.ID(id)
	return q, err == nil, unavailable(err)
}

// RefuseQuestion notes why there was no access.
func (t *Tx) RefuseQuestion(ctx context.Context, state []byte, refusal string) error {
	_, err := t.tx.Exec(ctx, `UPDATE connection_authorizations SET refusal = $2 WHERE tenant_id = current_tenant() AND state = $1`, state, clean(refusal))
	return unavailable(err)
}

// SaveGrant keeps the tokens that a person's permission brought, in place of what was there. A renewal under way is of no use any
// more: it loses its claim.
func (t *Tx) SaveGrant(ctx context.Context, id connection.ID, sealed []byte, by, scopes string) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO connection_tokens (tenant_id, connection_id, sealed, renewed_at, granted_at, granted_by, scopes) VALUES (current_tenant(), $1, $2, $3, $3, $4, $5)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET sealed = excluded.sealed, renewed_at = excluded.renewed_at, granted_at = excluded.granted_at, granted_by = excluded.granted_by,
    scopes = excluded.scopes, claim = NULL, claimed_until = NULL`, uuid.UUID(id), sealed, t.now, clean(by), clean(scopes))
	return unavailable(err)
}

// Grant is what a person gave, and why the last try since then failed.
func (t *Tx) Grant(ctx context.Context, id connection.ID) (g connection.Grant, err error) {
	err = t.tx.QueryRow(ctx, `SELECT k.granted_at, coalesce(k.granted_by, ''), coalesce(k.scopes, ''), coalesce(a.refusal, ''), a.used_at
FROM (VALUES (1)) AS one LEFT JOIN connection_tokens k ON k.tenant_id = current_tenant() AND k.connection_id = $1
LEFT JOIN LATERAL (SELECT refusal, used_at FROM connection_authorizations WHERE tenant_id = current_tenant() AND connection_id = $1 AND used_at IS NOT NULL
    ORDER BY used_at DESC LIMIT 1) a ON true`, uuid.UUID(id)).Scan(&g.At, &g.By, &g.Scopes, &g.Refusal, &g.RefusedAt)
	if g.Refusal == "" {
		g.RefusedAt = nil
	}
	return g, unavailable(err)
}
