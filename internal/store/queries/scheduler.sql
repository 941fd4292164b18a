-- Statements of the operator role: the scheduler's tick and the workers see all tenants' services. Their times are the
-- database's clock, the one clock that all processes share.

-- name: DueServices :many
-- What is due by the clock of the process, because schedules go by it too.
SELECT s.tenant_id, s.id FROM services s JOIN tenants t ON t.id = s.tenant_id
WHERE s.state = 'active' AND s.next_run_at <= sqlc.arg(now)::timestamptz AND t.state = 'active'
ORDER BY s.next_run_at LIMIT sqlc.arg(page)::int;

-- name: TryAdmission :one
-- Only one process decides at a time; the lock goes with the transaction.
SELECT pg_try_advisory_xact_lock(hashtext('syncline.admission'));

-- name: DatabaseTime :one
SELECT now()::timestamptz AS now;

-- name: LiveWorkers :many
SELECT id, pools, region, slots, host, version, started_at, seen_at FROM workers
WHERE seen_at > now() - make_interval(secs => sqlc.arg(within)::float8) ORDER BY id;

-- name: AllWorkers :many
SELECT id, pools, region, slots, host, version, started_at, seen_at FROM workers ORDER BY id;

-- name: LiveLeases :many
SELECT l.tenant_id, l.service_id, l.fence, l.pool, l.worker_id, l.since, l.yield, s.priority FROM leases l
JOIN services s ON s.tenant_id = l.tenant_id AND s.id = l.service_id
WHERE l.expires_at > now();

-- name: WaitingServices :many
-- Services that need a worker and have none: of each tenant and pool the most urgent ones, where waiting for a turn's
-- seconds raises the class by one, and half of its maximum delay makes a service as urgent as any (scheduler.Candidate).
WITH open AS (
    SELECT tenant_id, service_id, min(created_at) AS created_at FROM runs WHERE state IN ('queued', 'running') GROUP BY tenant_id, service_id
), wanted AS (
    -- Three ways in, each by its own small index: most services neither are realtime nor have an open run, nor is their
    -- proof asked for.
    SELECT s.tenant_id, s.id, s.pool, s.priority, s.max_delay_ms, coalesce(o.created_at, s.updated_at) AS since
    FROM services s LEFT JOIN open o ON o.tenant_id = s.tenant_id AND o.service_id = s.id
    WHERE s.state = 'active' AND s.realtime
    UNION ALL
    SELECT s.tenant_id, s.id, s.pool, s.priority, s.max_delay_ms, o.created_at AS since
    FROM open o JOIN services s ON s.tenant_id = o.tenant_id AND s.id = o.service_id
    WHERE s.state = 'active' AND NOT s.realtime
    UNION ALL
    SELECT s.tenant_id, s.id, s.pool, s.priority, s.max_delay_ms, p.asked_at AS since
    FROM proofs p JOIN services s ON s.tenant_id = p.tenant_id AND s.id = p.service_id
    WHERE p.asked_at IS NOT NULL AND s.state = 'active' AND NOT s.realtime
      AND NOT EXISTS (SELECT FROM open o WHERE o.tenant_id = p.tenant_id AND o.service_id = p.service_id)
), waiting AS (
    SELECT n.tenant_id, n.id, n.pool, n.priority, n.max_delay_ms, greatest(l.expires_at, l.not_before, n.since) AS since
    FROM wanted n
    JOIN tenants t ON t.id = n.tenant_id AND t.state = 'active'
    LEFT JOIN leases l ON l.tenant_id = n.tenant_id AND l.service_id = n.id
    WHERE (l.expires_at IS NULL OR l.expires_at <= now()) AND (l.not_before IS NULL OR l.not_before <= now())
)
SELECT p.tenant_id, p.id, p.pool, p.priority, p.max_delay_ms, p.since::timestamptz AS since FROM (
    SELECT w.tenant_id, w.id, w.pool, w.priority, w.max_delay_ms, w.since, row_number() OVER (
        PARTITION BY w.tenant_id, w.pool
        ORDER BY CASE WHEN w.max_delay_ms > 0 AND extract(epoch FROM now() - w.since) * 2000 >= w.max_delay_ms THEN 0
            ELSE greatest(w.priority - floor(extract(epoch FROM now() - w.since) / sqlc.arg(turn)::float8), 0) END, w.since) AS place
    FROM waiting w
) p WHERE p.place <= sqlc.arg(each)::int;

-- name: GrantLease :one
-- The service's row is locked so that a pause that is being written is not overtaken; one that is locked waits for the
-- next tick.
WITH picked AS (
    SELECT s.tenant_id, s.id FROM services s
    WHERE s.tenant_id = sqlc.arg(tenant_id)::uuid AND s.id = sqlc.arg(service_id)::uuid AND s.state = 'active'
    FOR NO KEY UPDATE SKIP LOCKED
)
INSERT INTO leases AS l (tenant_id, service_id, worker_id, fence, expires_at, pool, since)
SELECT p.tenant_id, p.id, '00000000-0000-0000-0000-000000000000', 1, now() + make_interval(secs => sqlc.arg(ttl)::float8), sqlc.arg(pool)::text, now()
FROM picked p
ON CONFLICT (tenant_id, service_id) DO UPDATE
SET worker_id = excluded.worker_id, fence = l.fence + 1, expires_at = excluded.expires_at, pool = excluded.pool, since = excluded.since, yield = false
WHERE l.expires_at <= now()
RETURNING l.fence;

-- name: AskLeaseToYield :exec
UPDATE leases SET yield = true
WHERE tenant_id = sqlc.arg(tenant_id) AND service_id = sqlc.arg(service_id) AND fence = sqlc.arg(fence) AND expires_at > now();

-- name: NotifyWake :exec
SELECT pg_notify('syncline_wake', sqlc.arg(payload)::text);

-- name: DropWorkers :execrows
DELETE FROM workers WHERE seen_at < now() - make_interval(secs => sqlc.arg(silent)::float8);

-- name: BeatWorker :exec
INSERT INTO workers (id, pools, region, slots, host, version, started_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now())
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, slots = excluded.slots, pools = excluded.pools;

-- name: RemoveWorker :exec
DELETE FROM workers WHERE id = $1;

-- name: YieldingLeases :many
SELECT tenant_id, service_id, fence FROM leases WHERE worker_id = $1 AND yield AND expires_at > now();

-- Statements of the worker, bound to the tenant.

-- name: TakeLease :execrows
UPDATE leases SET worker_id = sqlc.arg(worker_id), expires_at = now() + make_interval(secs => sqlc.arg(ttl)::float8), since = now()
WHERE tenant_id = current_tenant() AND service_id = sqlc.arg(service_id) AND fence = sqlc.arg(fence)
  AND worker_id = '00000000-0000-0000-0000-000000000000';

-- name: KeepLease :one
UPDATE leases SET expires_at = now() + make_interval(secs => sqlc.arg(ttl)::float8)
WHERE tenant_id = current_tenant() AND service_id = sqlc.arg(service_id) AND fence = sqlc.arg(fence) AND worker_id = sqlc.arg(worker_id)
RETURNING yield;

-- name: ReleaseLease :execrows
-- Nothing of it is left to run out. After a failure the next try waits, twice as long each time.
UPDATE leases SET expires_at = now(),
    failures = CASE WHEN sqlc.arg(failed)::bool THEN failures + 1 ELSE 0 END,
    not_before = CASE WHEN sqlc.arg(failed)::bool THEN now() + make_interval(secs => least(
        sqlc.arg(first_pause)::float8 * power(2, least(failures, 20)), sqlc.arg(last_pause)::float8)) END
WHERE tenant_id = current_tenant() AND service_id = sqlc.arg(service_id) AND fence = sqlc.arg(fence) AND worker_id = sqlc.arg(worker_id);

-- name: HandOverLease :one
-- The successor's lease, unless somebody else is to have the slot.
UPDATE leases SET worker_id = '00000000-0000-0000-0000-000000000000', fence = fence + 1, since = now(), failures = 0, not_before = NULL,
    expires_at = now() + make_interval(secs => sqlc.arg(ttl)::float8)
WHERE tenant_id = current_tenant() AND service_id = sqlc.arg(service_id) AND fence = sqlc.arg(fence) AND worker_id = sqlc.arg(worker_id)
  AND NOT yield
RETURNING fence, pool;
