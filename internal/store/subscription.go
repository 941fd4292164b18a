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

// Subscription returns the connection's request to its vendor; false when there is none.
func (t *Tx) Subscription(ctx context.Context, id connection.ID) (s connection.Listening, there bool, err error) {
	err = t.tx.QueryRow(ctx, `SELECT callback, consumers, sealed, offered, renew_at, coalesce(claimed_until > $2, false), since, ends_at, reason, paused_at FROM connection_subscriptions WHERE tenant_id = current_tenant() AND connection_id = $1`,
		uuid.UUID(id), t.now).Scan(&s.Callback, &s.Consumers, &s.Sealed, &s.Offered, &s.RenewAt, &s.Claimed, &s.Since, &s.EndsAt, &s.Reason, &s.PausedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, unavailable(err)
}

// ClaimSubscription claims asking the vendor, when nobody else does.
func (t *Tx) ClaimSubscription(ctx context.Context, id connection.ID, until time.Time) (bool, error) {
	tag, err := t.tx.Exec(ctx, `INSERT INTO connection_subscriptions AS s (tenant_id, connection_id, claimed_until) VALUES (current_tenant(), $1, $2)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET claimed_until = excluded.claimed_until, offered = NULL WHERE s.claimed_until IS NULL OR s.claimed_until < $3`, uuid.UUID(id), until, t.now)
	return tag.RowsAffected() == 1, unavailable(err)
}

// SaveSubscription keeps what came of it and ends the claim.
func (t *Tx) SaveSubscription(ctx context.Context, id connection.ID, s connection.Listening) error {
	_, err := t.tx.Exec(ctx, `UPDATE connection_subscriptions SET callback = $2, consumers = $3, sealed = $4, offered = NULL, renew_at = $5, since = $6, ends_at = $7, reason = $8, paused_at = $9, claimed_until = NULL WHERE tenant_id = current_tenant() AND connection_id = $1`,
		uuid.UUID(id), s.Callback, s.Consumers, s.Sealed, s.RenewAt, s.Since, s.EndsAt, s.Reason, s.PausedAt)
	return unavailable(err)
}

// OfferSecret keeps a secret that came to the address, while somebody waits for it and none came before.
func (t *Tx) OfferSecret(ctx context.Context, id connection.ID, sealed []byte) error {
	_, err := t.tx.Exec(ctx, `UPDATE connection_subscriptions SET offered = $2 WHERE tenant_id = current_tenant() AND connection_id = $1 AND claimed_until > $3 AND offered IS NULL`, uuid.UUID(id), sealed, t.now)
	return unavailable(err)
}

// DropSubscription forgets it.
func (t *Tx) DropSubscription(ctx context.Context, id connection.ID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM connection_subscriptions WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id))
	return unavailable(err)
}
