// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

var (
	_ notify.SendTx   = (*Tx)(nil)
	_ notify.Operator = (*Operator)(nil)
)

const endpointColumns = `e.id, e.name, e.url, e.types, e.state, e.reason, e.secret, e.old_secret, e.old_until, e.failing_since, e.delivered_at, e.created_at, e.created_by, e.version`

func scanEndpoint(row pgx.CollectableRow, more ...any) (e notify.Endpoint, err error) {
	var state string
	var oldUntil, failing, delivered *time.Time
	err = row.Scan(append([]any{&e.ID, &e.Name, &e.URL, &e.Types, &state, &e.Reason, &e.Sealed, &e.OldSealed, &oldUntil, &failing, &delivered, &e.CreatedAt, &e.CreatedBy, &e.Version}, more...)...)
	e.State, e.OldUntil, e.FailingSince, e.DeliveredAt = notify.EndpointState(state), orZero(oldUntil), orZero(failing), orZero(delivered)
	return e, err
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (t *Tx) endpoints(ctx context.Context, rest string, args ...any) ([]notify.Endpoint, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+endpointColumns+` FROM webhook_endpoints e WHERE e.tenant_id = current_tenant() `+rest, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (notify.Endpoint, error) { return scanEndpoint(row) })
	return list, unavailable(err)
}

// WebhookEndpoints lists the tenant's endpoints in the order of their making.
func (t *Tx) WebhookEndpoints(ctx context.Context) ([]notify.Endpoint, error) {
	return t.endpoints(ctx, `ORDER BY e.id`)
}

// WebhookEndpoint returns one, or the fault webhook.not_found.
func (t *Tx) WebhookEndpoint(ctx context.Context, id uuid.UUID) (notify.Endpoint, error) {
	return oneEndpoint(t.endpoints(ctx, `AND e.id = $1`, id))
}

// LockWebhookEndpoint returns one for changing it.
func (t *Tx) LockWebhookEndpoint(ctx context.Context, id uuid.UUID) (notify.Endpoint, error) {
	return oneEndpoint(t.endpoints(ctx, `AND e.id = $1 FOR UPDATE`, id))
}

func oneEndpoint(list []notify.Endpoint, err error) (notify.Endpoint, error) {
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "webhook.not_found", "There is no such webhook endpoint; it may have been removed.")
	}
	if err != nil {
		return notify.Endpoint{}, err
	}
	return list[0], nil
}

// AddWebhookEndpoint adds an endpoint that is told of what is emitted from now on.
func (t *Tx) AddWebhookEndpoint(ctx context.Context, e notify.Endpoint) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO webhook_endpoints (tenant_id, id, name, url, types, state, secret, since, seen_xid, created_at, created_by, version)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, pg_current_snapshot(), pg_snapshot_xmin(pg_current_snapshot()), $7, $8, $9)`,
		e.ID, e.Name, e.URL, e.Types, string(e.State), e.Sealed, e.CreatedAt, e.CreatedBy, e.Version)
	return unavailable(err)
}

// SaveWebhookEndpoint writes what people change about an endpoint; with fromNow it leaves out what was emitted meanwhile.
func (t *Tx) SaveWebhookEndpoint(ctx context.Context, e notify.Endpoint, fromNow bool) error {
	_, err := t.tx.Exec(ctx, `UPDATE webhook_endpoints SET name = $2, url = $3, types = $4, state = $5, reason = $6, secret = $7, old_secret = $8, old_until = $9, failing_since = $10, version = $11,
  since = CASE WHEN $12 THEN pg_current_snapshot() ELSE since END,
  seen_xid = CASE WHEN $12 THEN pg_snapshot_xmin(pg_current_snapshot()) ELSE seen_xid END, seen_id = CASE WHEN $12 THEN 0 ELSE seen_id END
WHERE tenant_id = current_tenant() AND id = $1`,
		e.ID, e.Name, e.URL, e.Types, string(e.State), e.Reason, e.Sealed, e.OldSealed, nullTime(e.OldUntil), nullTime(e.FailingSince), e.Version, fromNow)
	return unavailable(err)
}

// DropWebhookEndpoint removes an endpoint with its deliveries.
func (t *Tx) DropWebhookEndpoint(ctx context.Context, id uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM webhook_endpoints WHERE tenant_id = current_tenant() AND id = $1`, id)
	return unavailable(err)
}

func (t *Tx) resealWebhooks(ctx context.Context, fn func(name string, sealed []byte) ([]byte, bool, error)) error {
	list, err := t.endpoints(ctx, `ORDER BY e.id FOR UPDATE`)
	if err != nil {
		return err
	}
	for _, e := range list {
		changed := false
		for _, sealed := range []*[]byte{&e.Sealed, &e.OldSealed} {
			if *sealed == nil {
				continue
			}
			again, again1, err := fn(vault.WebhookName(e.ID), *sealed)
			if err != nil {
				return err
			}
			if again1 {
				*sealed, changed = again, true
			}
		}
		if changed {
			if _, err := t.tx.Exec(ctx, `UPDATE webhook_endpoints SET secret = $2, old_secret = $3 WHERE tenant_id = current_tenant() AND id = $1`, e.ID, e.Sealed, e.OldSealed); err != nil {
				return unavailable(err)
			}
		}
	}
	return nil
}

const deliveryColumns = `d.id, d.endpoint_id, d.event_id, d.type, d.at, d.body, d.state, d.attempts, d.due_at, d.created_at, d.settled_at, d.status, d.problem`

func scanDelivery(row pgx.CollectableRow, more ...any) (d notify.Delivery, err error) {
	var state string
	var settled *time.Time
	err = row.Scan(append([]any{&d.ID, &d.Endpoint, &d.Event, &d.Type, &d.At, &d.Body, &state, &d.Attempts, &d.DueAt, &d.CreatedAt, &settled, &d.Status, &d.Problem}, more...)...)
	d.State, d.SettledAt = notify.DeliveryState(state), orZero(settled)
	return d, err
}

func (t *Tx) deliveries(ctx context.Context, rest string, args ...any) ([]notify.Delivery, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+deliveryColumns+`, e.name FROM webhook_deliveries d
JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id WHERE d.tenant_id = current_tenant() `+rest, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (notify.Delivery, error) {
		var name string
		d, err := scanDelivery(row, &name)
		d.EndpointName = name
		return d, err
	})
	return list, unavailable(err)
}

// WebhookDeliveries lists deliveries, the newest first.
func (t *Tx) WebhookDeliveries(ctx context.Context, q notify.DeliveryQuery) ([]notify.Delivery, error) {
	return t.deliveries(ctx, `AND ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR d.endpoint_id = $1) AND ($2 = '' OR d.state = $2)
  AND ($3 = '' OR d.type = $3 OR right($3, 1) = '*' AND starts_with(d.type, left($3, -1)))
  AND ($4 = '00000000-0000-0000-0000-000000000000'::uuid OR d.id < $4) ORDER BY d.id DESC LIMIT $5`, q.Endpoint, string(q.State), q.Type, q.Before, q.Limit)
}

// WebhookDelivery returns one with its attempts, the latest first, or the fault webhook.delivery_not_found.
func (t *Tx) WebhookDelivery(ctx context.Context, id uuid.UUID) (notify.Delivery, error) {
	list, err := t.deliveries(ctx, `AND d.id = $1`, id)
	if err != nil {
		return notify.Delivery{}, err
	}
	if len(list) == 0 {
		return notify.Delivery{}, fault.New(fault.NotFound, "webhook.delivery_not_found", "There is no such webhook delivery; they are kept for 30 days.")
	}
	d := list[0]
	rows, err := t.tx.Query(ctx, `SELECT number, at, took_ms, status, problem, excerpt FROM webhook_attempts WHERE tenant_id = current_tenant() AND delivery_id = $1 ORDER BY number DESC LIMIT 100`, id)
	if err != nil {
		return d, unavailable(err)
	}
	d.Tried, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a notify.Attempt, err error) {
		var ms int64
		err = row.Scan(&a.Number, &a.At, &ms, &a.Status, &a.Problem, &a.Excerpt)
		a.Took = time.Duration(ms) * time.Millisecond
		return a, err
	})
	return d, unavailable(err)
}

// AddWebhookDeliveries writes what is owed. An event that an endpoint is owed already is not owed twice, and one that could be
// seen when the endpoint became active is not owed at all.
func (t *Tx) AddWebhookDeliveries(ctx context.Context, list []notify.Delivery) error {
	if len(list) == 0 {
		return nil
	}
	n := len(list)
	ids, endpoints, events, types, bodies := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]string, n)
	ats, dues := make([]time.Time, n), make([]time.Time, n)
	for i, d := range list {
		ids[i], endpoints[i], events[i], types[i], bodies[i], ats[i], dues[i] = d.ID, d.Endpoint, d.Event, d.Type, d.Body, d.At, d.DueAt
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, event_id, type, at, body, state, due_at, created_at)
SELECT e.tenant_id, d.id, e.id, d.event, d.type, d.at, d.body, 'pending', d.due, $8 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[])
  AS d (id, endpoint, event, type, at, body, due) JOIN webhook_endpoints e ON e.tenant_id = current_tenant() AND e.id = d.endpoint
WHERE CASE WHEN d.event ~ '^[0-9]+-' THEN NOT pg_visible_in_snapshot(split_part(d.event, '-', 1)::xid8, e.since) ELSE true END
ON CONFLICT (tenant_id, endpoint_id, event_id) DO NOTHING`, ids, endpoints, events, types, ats, bodies, dues, t.now)
	return unavailable(err)
}

const resend = `UPDATE webhook_deliveries SET state = 'pending', tries = 0, due_at = $1, settled_at = NULL WHERE tenant_id = current_tenant() `

// ResendWebhook makes a delivery due now.
func (t *Tx) ResendWebhook(ctx context.Context, id uuid.UUID) error {
	_, err := t.tx.Exec(ctx, resend+`AND id = $2`, t.now, id)
	return unavailable(err)
}

// ResendWebhooks makes those of an endpoint due that failed for events since a time.
func (t *Tx) ResendWebhooks(ctx context.Context, endpoint uuid.UUID, since time.Time) (int64, error) {
	tag, err := t.tx.Exec(ctx, resend+`AND endpoint_id = $2 AND state = 'failed' AND at >= $3`, t.now, endpoint, since)
	return tag.RowsAffected(), unavailable(err)
}

// FailWebhooks gives up what is pending of an endpoint.
func (t *Tx) FailWebhooks(ctx context.Context, endpoint uuid.UUID, problem string) (int64, error) {
	tag, err := t.tx.Exec(ctx, `UPDATE webhook_deliveries SET state = 'failed', settled_at = $2, problem = $3 WHERE tenant_id = current_tenant() AND endpoint_id = $1 AND state = 'pending'`, endpoint, t.now, problem)
	return tag.RowsAffected(), unavailable(err)
}

// FollowWebhooks locks the active endpoints that no other process is at.
func (t *Tx) FollowWebhooks(ctx context.Context) ([]notify.Followed, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+endpointColumns+`, e.seen_xid::text || '-' || e.seen_id FROM webhook_endpoints e
WHERE e.tenant_id = current_tenant() AND e.state = 'active' ORDER BY e.id FOR UPDATE SKIP LOCKED`)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (notify.Followed, error) {
		var last string
		e, err := scanEndpoint(row, &last)
		return notify.Followed{Endpoint: e, Last: last}, err
	})
	return list, unavailable(err)
}

// MoveWebhooks writes the endpoints' places in the events.
func (t *Tx) MoveWebhooks(ctx context.Context, places map[uuid.UUID]string) error {
	var ids []uuid.UUID
	var xids []string
	var numbers []int64
	for id, place := range places {
		xid, n, ok := splitEventID(place)
		if !ok {
			return fmt.Errorf("%q is no place in the events", place)
		}
		ids, xids, numbers = append(ids, id), append(xids, xid), append(numbers, n)
	}
	_, err := t.tx.Exec(ctx, `UPDATE webhook_endpoints e SET seen_xid = p.xid::xid8, seen_id = p.id FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS p (endpoint, xid, id)
WHERE e.tenant_id = current_tenant() AND e.id = p.endpoint`, ids, xids, numbers)
	return unavailable(err)
}

// ClaimWebhooks takes up what is due, an equal share of each endpoint, so that none waits for another that is slow.
func (t *Tx) ClaimWebhooks(ctx context.Context, lease time.Duration, each int, but []uuid.UUID) ([]notify.Claimed, error) {
	rows, err := t.tx.Query(ctx, `WITH due AS (
  SELECT d.id FROM webhook_endpoints e CROSS JOIN LATERAL (
    SELECT d.id FROM webhook_deliveries d WHERE d.tenant_id = current_tenant() AND d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= $1
    ORDER BY d.due_at, d.id LIMIT $3 FOR UPDATE SKIP LOCKED) d
  WHERE e.tenant_id = current_tenant() AND e.state = 'active' AND e.id <> ALL($4))
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, tries = d.tries + 1, due_at = $2
FROM due, webhook_endpoints e, tenants t
WHERE d.tenant_id = current_tenant() AND d.id = due.id AND e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND t.id = d.tenant_id
RETURNING `+deliveryColumns+`, e.name, e.url, d.tries, e.secret, e.old_secret, e.old_until, t.sealed_key`, t.now, t.now.Add(lease), each, but)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c notify.Claimed, err error) {
		var name string
		var oldUntil *time.Time
		c.Delivery, err = scanDelivery(row, &name, &c.URL, &c.Tries, &c.Sealed, &c.OldSealed, &oldUntil, &c.Key)
		c.EndpointName, c.OldUntil = name, orZero(oldUntil)
		return c, err
	})
	return list, unavailable(err)
}

// SettleWebhooks writes the outcomes of an endpoint's deliveries, their attempts, and how the endpoint stands.
func (t *Tx) SettleWebhooks(ctx context.Context, endpoint uuid.UUID, list []notify.Outcome) (failingSince time.Time, err error) {
	n := len(list)
	ids, problems, excerpts, states := make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]string, n)
	attempts, statuses, took, sent, dues := make([]int32, n), make([]int32, n), make([]int32, n), make([]time.Time, n), make([]time.Time, n)
	through := false
	for i, o := range list {
		ids[i], attempts[i], statuses[i], problems[i], excerpts[i], took[i], sent[i] = o.ID, int32(o.Attempts), int32(o.Status), o.Problem, o.Excerpt, int32(o.Took.Milliseconds()), o.SentAt
		states[i], dues[i] = string(notify.Pending), o.Next
		switch {
		case o.Problem == "":
			states[i], dues[i], through = string(notify.Delivered), t.now, true
		case o.Next.IsZero():
			states[i], dues[i] = string(notify.Failed), t.now
		}
	}
	b := &pgx.Batch{}
	// Only what still is at the attempt that was made: it may have been taken up again by another, or given up with its endpoint.
	b.Queue(`UPDATE webhook_deliveries d SET state = o.state, due_at = o.due, status = o.status, problem = o.problem, settled_at = CASE WHEN o.state = 'pending' THEN NULL ELSE $7::timestamptz END
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::int[], $6::text[]) AS o (id, attempt, state, due, status, problem)
WHERE d.tenant_id = current_tenant() AND d.id = o.id AND d.attempts = o.attempt AND d.state = 'pending'`, ids, attempts, states, dues, statuses, problems, t.now)
	b.Queue(`INSERT INTO webhook_attempts (tenant_id, delivery_id, number, at, took_ms, status, problem, excerpt)
SELECT current_tenant(), o.* FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::int[], $5::int[], $6::text[], $7::text[]) AS o (id, number, at, took, status, problem, excerpt)
WHERE EXISTS (SELECT FROM webhook_deliveries d WHERE d.tenant_id = current_tenant() AND d.id = o.id) ON CONFLICT DO NOTHING`, ids, attempts, sent, took, statuses, problems, excerpts)
	b.Queue(`UPDATE webhook_endpoints SET failing_since = CASE WHEN $2 THEN NULL ELSE coalesce(failing_since, $3::timestamptz) END, delivered_at = CASE WHEN $2 THEN $3 ELSE delivered_at END
WHERE tenant_id = current_tenant() AND id = $1 RETURNING failing_since`, endpoint, through, t.now).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var since *time.Time
			if err := rows.Scan(&since); err != nil {
				return err
			}
			failingSince = orZero(since)
		}
		return rows.Err()
	})
	return failingSince, t.send(ctx, b)
}

// TenantsToNotify looks across tenants for events that an active endpoint does not have yet, and deliveries that are due.
func (o *Operator) TenantsToNotify(ctx context.Context) ([]tenant.ID, error) {
	rows, err := o.d.operator.Query(ctx, `SELECT w.tenant_id FROM webhook_endpoints w WHERE w.state = 'active' AND EXISTS (
  SELECT FROM events e WHERE e.tenant_id = w.tenant_id AND (e.xid, e.id) > (w.seen_xid, w.seen_id) AND e.xid < pg_snapshot_xmin(pg_current_snapshot()))
UNION SELECT d.tenant_id FROM webhook_deliveries d JOIN webhook_endpoints w ON w.tenant_id = d.tenant_id AND w.id = d.endpoint_id
WHERE d.state = 'pending' AND d.due_at <= $1 AND w.state = 'active'`, o.d.now().UTC().Truncate(time.Microsecond))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tenant.ID, error) {
		var id uuid.UUID
		err := row.Scan(&id)
		return tenant.ID(id), err
	})
	return list, unavailable(err)
}

// DropWebhookDeliveries removes deliveries that were settled, of all tenants, made before a time.
func (o *Operator) DropWebhookDeliveries(ctx context.Context, before time.Time) (int64, error) {
	tag, err := o.d.operator.Exec(ctx, `DELETE FROM webhook_deliveries WHERE created_at < $1 AND state <> 'pending'`, before)
	return tag.RowsAffected(), unavailable(err)
}
