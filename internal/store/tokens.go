// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// ConnectionTokens returns what is kept sealed, nil for nothing.
func (t *Tx) ConnectionTokens(ctx context.Context, id connection.ID) (sealed []byte, err error) {
	err = t.tx.QueryRow(ctx, `SELECT sealed FROM connection_tokens WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id)).Scan(&sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return sealed, unavailable(err)
}

// ClaimTokens claims the renewal, when nobody else has it.
func (t *Tx) ClaimTokens(ctx context.Context, id connection.ID, claim uuid.UUID, until time.Time) (claimed, cutOff bool, err error) {
	if _, err := t.tx.Exec(ctx, `INSERT INTO connection_tokens (tenant_id, connection_id) VALUES (current_tenant(), $1) ON CONFLICT DO NOTHING`, uuid.UUID(id)); err != nil {
		return false, false, unavailable(err)
	}
	err = t.tx.QueryRow(ctx, `WITH before AS (SELECT claim FROM connection_tokens WHERE tenant_id = current_tenant() AND connection_id = $1 FOR UPDATE)
UPDATE connection_tokens k SET claim = $2, claimed_until = $3 FROM before
WHERE k.tenant_id = current_tenant() AND k.connection_id = $1 AND (k.claimed_until IS NULL OR k.claimed_until < $4)
RETURNING before.claim IS NOT NULL`, uuid.UUID(id), claim, until, t.now).Scan(&cutOff)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	return err == nil, cutOff, unavailable(err)
}

// SaveTokens keeps them and ends the claim, if it still is the caller's.
func (t *Tx) SaveTokens(ctx context.Context, id connection.ID, claim uuid.UUID, sealed []byte) (bool, error) {
	tag, err := t.tx.Exec(ctx, `UPDATE connection_tokens SET sealed = coalesce($3, sealed), renewed_at = CASE WHEN $3::bytea IS NULL THEN renewed_at ELSE $4 END, claim = NULL, claimed_until = NULL
WHERE tenant_id = current_tenant() AND connection_id = $1 AND claim = $2`, uuid.UUID(id), claim, sealed, t.now)
	return tag.RowsAffected() == 1, unavailable(err)
}

// PutTokens replaces what is kept; a renewal under way loses its claim.
func (t *Tx) PutTokens(ctx context.Context, id connection.ID, sealed []byte) error {
	_, err := t.tx.Exec(ctx, `UPDATE connection_tokens SET sealed = $2, claim = NULL, claimed_until = NULL WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id), sealed)
	return unavailable(err)
}

// DropTokens forgets them.
func (t *Tx) DropTokens(ctx context.Context, id connection.ID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM connection_tokens WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id))
	return unavailable(err)
}

// HintChannel is the PostgreSQL channel that says "a vendor told of changes"; the payload is the bare id of the connection.
const HintChannel = "syncline_hint"

// Told says whether the connection's vendor has ever told of changes.
func (t *Tx) Told(ctx context.Context, id connection.ID) (told bool, err error) {
	err = t.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM connection_hooks WHERE tenant_id = current_tenant() AND connection_id = $1)`, uuid.UUID(id)).Scan(&told)
	return told, unavailable(err)
}

// AddHints keeps those whose event did not come before, and wakes whoever waits for them at the commit.
func (t *Tx) AddHints(ctx context.Context, id connection.ID, hints []connector.Hint, messages []string) (added int, err error) {
	var seq int64
	// The row stays locked until the commit: numbers become visible in order.
	err = t.tx.QueryRow(ctx, `INSERT INTO connection_hooks (tenant_id, connection_id, received_at) VALUES (current_tenant(), $1, $2)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET received_at = excluded.received_at RETURNING seq`, uuid.UUID(id), t.now).Scan(&seq)
	if err != nil {
		return 0, unavailable(err)
	}
	var objects, keys, ids []string
	for i, h := range hints {
		objects, keys, ids = append(objects, string(h.Object)), append(keys, clean(string(h.Key))), append(ids, clean(messages[i]))
	}
	tag, err := t.tx.Exec(ctx, `WITH came AS (
    SELECT object, key, id, n FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS x (object, key, id, n)
), noted AS (
    INSERT INTO connection_messages (tenant_id, connection_id, id, at) SELECT DISTINCT current_tenant(), $1::uuid, id, $5::timestamptz FROM came WHERE id <> ''
    ON CONFLICT DO NOTHING RETURNING id
), fresh AS (
    SELECT object, key, row_number() OVER (ORDER BY n) AS n FROM (SELECT DISTINCT ON (CASE WHEN id = '' THEN n::text ELSE id END) object, key, id, n FROM came ORDER BY CASE WHEN id = '' THEN n::text ELSE id END, n) AS one
    WHERE id = '' OR id IN (SELECT id FROM noted)
)
INSERT INTO connection_hints (tenant_id, connection_id, seq, object, key, at) SELECT current_tenant(), $1, $6 + n, object, key, $5 FROM fresh`,
		uuid.UUID(id), objects, keys, ids, t.now, seq)
	if err != nil {
		return 0, unavailable(err)
	}
	added = int(tag.RowsAffected())
	b := &pgx.Batch{}
	b.Queue(`UPDATE connection_hooks SET seq = seq + $2 WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id), added)
	b.Queue(`DELETE FROM connection_hints WHERE tenant_id = current_tenant() AND connection_id = $1 AND at < $2`, uuid.UUID(id), t.now.Add(-24*time.Hour))
	b.Queue(`DELETE FROM connection_messages WHERE tenant_id = current_tenant() AND connection_id = $1 AND at < $2`, uuid.UUID(id), t.now.Add(-24*time.Hour))
	if added > 0 {
		b.Queue(`SELECT pg_notify($1, $2)`, HintChannel, id.String())
	}
	return added, unavailable(t.tx.SendBatch(ctx, b).Close())
}

// LastHint is the highest number there is.
func (t *Tx) LastHint(ctx context.Context, id connection.ID) (seq int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM connection_hooks WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id)).Scan(&seq)
	return seq, unavailable(err)
}

// HintsAfter returns an object's hints behind that number, in order.
func (t *Tx) HintsAfter(ctx context.Context, id connection.ID, object record.Object, seq int64, limit int) ([]connector.Hint, error) {
	rows, err := t.tx.Query(ctx, `SELECT seq, object, key FROM connection_hints WHERE tenant_id = current_tenant() AND connection_id = $1 AND seq > $2 AND object = $3 ORDER BY seq LIMIT $4`,
		uuid.UUID(id), seq, string(object), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (h connector.Hint, err error) {
		err = r.Scan(&h.Seq, &h.Object, &h.Key)
		return h, err
	})
	return list, unavailable(err)
}

// WakeHints wakes those who wait for hints of the connection, at the commit.
func (t *Tx) WakeHints(ctx context.Context, id connection.ID) error {
	_, err := t.tx.Exec(ctx, `SELECT pg_notify($1, $2)`, HintChannel, id.String())
	return unavailable(err)
}
