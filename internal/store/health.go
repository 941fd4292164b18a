// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Vitals is what is known of how a connection does.
func (t *Tx) Vitals(ctx context.Context, id connection.ID) (v connection.Vitals, err error) {
	var took int64
	err = t.tx.QueryRow(ctx, `SELECT next_check_at, failures, took_ms, ends_at, ends_what, noticed, quota_left, quota_of, quota_resets_at, quota_at, endpoint
FROM connection_health WHERE tenant_id = current_tenant() AND connection_id = $1`, uuid.UUID(id)).
		Scan(&v.NextCheckAt, &v.Failures, &took, &v.EndsAt, &v.Ends, &v.Noticed, &v.QuotaLeft, &v.QuotaOf, &v.QuotaResetsAt, &v.QuotaAt, &v.Endpoint)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, nil
	}
	v.Took = time.Duration(took) * time.Millisecond
	return v, unavailable(err)
}

// SaveVitals keeps it.
func (t *Tx) SaveVitals(ctx context.Context, id connection.ID, v connection.Vitals) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO connection_health (tenant_id, connection_id, next_check_at, failures, took_ms, ends_at, ends_what, noticed, quota_left, quota_of, quota_resets_at, quota_at, endpoint)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET next_check_at = excluded.next_check_at, failures = excluded.failures, took_ms = excluded.took_ms, ends_at = excluded.ends_at, ends_what = excluded.ends_what,
    noticed = excluded.noticed, quota_left = excluded.quota_left, quota_of = excluded.quota_of, quota_resets_at = excluded.quota_resets_at, quota_at = excluded.quota_at, endpoint = excluded.endpoint`,
		uuid.UUID(id), v.NextCheckAt, v.Failures, v.Took.Milliseconds(), v.EndsAt, clean(v.Ends), v.Noticed, v.QuotaLeft, v.QuotaOf, v.QuotaResetsAt, v.QuotaAt, clean(v.Endpoint))
	return unavailable(err)
}

// NoteSpell writes into the history that the connection was found in its state. gap is how long nobody may have looked for it to count
// as the same spell.
func (t *Tx) NoteSpell(ctx context.Context, c connection.Connection, gap time.Duration) error {
	b := &pgx.Batch{}
	b.Queue(`WITH last AS (
    SELECT since, seen_at, state, reason FROM connection_spells WHERE tenant_id = current_tenant() AND connection_id = $1 ORDER BY since DESC LIMIT 1
), same AS (
    UPDATE connection_spells s SET seen_at = $2, checks = checks + 1 FROM last
    WHERE s.tenant_id = current_tenant() AND s.connection_id = $1 AND s.since = last.since AND last.state = $3 AND last.reason = $4 AND last.seen_at > $5 RETURNING s.since
)
INSERT INTO connection_spells (tenant_id, connection_id, since, seen_at, state, reason) SELECT current_tenant(), $1, $2, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM same)
ON CONFLICT (tenant_id, connection_id, since) DO UPDATE SET state = excluded.state, reason = excluded.reason`,
		uuid.UUID(c.ID), t.now, string(c.State), clean(c.Reason), t.now.Add(-gap))
	b.Queue(`DELETE FROM connection_spells WHERE tenant_id = current_tenant() AND connection_id = $1 AND (seen_at < $2 OR since < (
    SELECT since FROM connection_spells WHERE tenant_id = current_tenant() AND connection_id = $1 ORDER BY since DESC OFFSET 499 LIMIT 1))`,
		uuid.UUID(c.ID), t.now.AddDate(0, 0, -90))
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// Spells are those that were seen after a time, the newest first.
func (t *Tx) Spells(ctx context.Context, id connection.ID, after time.Time, limit int) ([]connection.Spell, error) {
	rows, err := t.tx.Query(ctx, `SELECT since, seen_at, state, reason, checks FROM connection_spells
WHERE tenant_id = current_tenant() AND connection_id = $1 AND seen_at > $2 ORDER BY since DESC LIMIT $3`, uuid.UUID(id), after, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s connection.Spell, err error) {
		err = r.Scan(&s.Since, &s.SeenAt, &s.State, &s.Reason, &s.Checks)
		return s, err
	})
	return list, unavailable(err)
}

// RetryServicesUsing ends the pause after a failure of the services that use connections of these names: what they wait for is there again.
func (t *Tx) RetryServicesUsing(ctx context.Context, names ...string) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE leases SET not_before = NULL, failures = 0 WHERE tenant_id = current_tenant() AND failures > 0 AND service_id IN (`+usersOf+`)`, names)
	b.Queue(`SELECT pg_notify($2, id::text) FROM (`+usersOf+`) AS users`, names, WakeChannel)
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// ResetChannel is the PostgreSQL channel that says "forget what you know of an account"; the payload is the account.
const ResetChannel = "syncline_reset"

// TellReset tells all processes to forget what they know of these accounts, at the commit.
func (t *Tx) TellReset(ctx context.Context, account string) error {
	_, err := t.tx.Exec(ctx, `SELECT pg_notify($1, $2)`, ResetChannel, account)
	return unavailable(err)
}

// DueConnections are connections whose health is to be looked at; for two minutes no other process gets them. Named operator statement:
// connections are watched for all tenants.
func (o *Operator) DueConnections(ctx context.Context, limit int) ([]connection.Due, error) {
	rows, err := o.d.operator.Query(ctx, `UPDATE connection_health h SET next_check_at = now() + interval '2 minutes'
FROM (SELECT tenant_id, connection_id FROM connection_health WHERE next_check_at <= now() ORDER BY next_check_at LIMIT $1 FOR UPDATE SKIP LOCKED) d
WHERE h.tenant_id = d.tenant_id AND h.connection_id = d.connection_id RETURNING h.tenant_id, h.connection_id`, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d connection.Due, err error) {
		var t, c uuid.UUID
		err = r.Scan(&t, &c)
		return connection.Due{Tenant: tenant.ID(t), Connection: connection.ID(c)}, err
	})
	return list, unavailable(err)
}
