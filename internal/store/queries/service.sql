-- name: ServiceByID :one
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services WHERE tenant_id = current_tenant() AND id = $1;

-- name: ServiceByName :one
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services WHERE tenant_id = current_tenant() AND name = $1;

-- name: LockServiceByID :one
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services WHERE tenant_id = current_tenant() AND id = $1 FOR NO KEY UPDATE;

-- name: LockServiceByName :one
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services WHERE tenant_id = current_tenant() AND name = $1 FOR NO KEY UPDATE;

-- name: Services :many
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services
WHERE tenant_id = current_tenant() AND name > sqlc.arg(after)::text
  AND (cardinality(sqlc.arg(states)::text[]) = 0 OR state = ANY(sqlc.arg(states)::text[]))
  AND strpos(name, sqlc.arg(containing)::text) > 0
ORDER BY name LIMIT sqlc.arg(page)::int;

-- name: InsertService :exec
INSERT INTO services (tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, max_delay_ms)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: SaveService :one
UPDATE services SET state = $2, reason = $3, revision = $4, realtime = $5, pool = $6, priority = $7, next_run_at = $8, updated_at = $9, max_delay_ms = $10, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1 RETURNING version;

-- name: SetNextRun :exec
-- No new version: the schedule going on is not a change that anybody made.
UPDATE services SET next_run_at = $2 WHERE tenant_id = current_tenant() AND id = $1;

-- name: InsertRevision :exec
INSERT INTO revisions (tenant_id, service_id, number, document, source, format, author, note, created_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8);

-- name: Revision :one
SELECT tenant_id, service_id, number, document, source, format, author, note, created_at
FROM revisions WHERE tenant_id = current_tenant() AND service_id = $1 AND number = $2;

-- name: Revisions :many
SELECT tenant_id, service_id, number, document, source, format, author, note, created_at
FROM revisions WHERE tenant_id = current_tenant() AND service_id = $1 AND number < sqlc.arg(before)::int
ORDER BY number DESC LIMIT sqlc.arg(page)::int;

-- name: LiveDocument :one
SELECT r.document FROM services s
JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
WHERE s.tenant_id = current_tenant() AND s.id = $1;

-- name: TenantZone :one
SELECT time_zone FROM tenants WHERE id = current_tenant();

-- name: SecretNamesAmong :many
SELECT name FROM secrets WHERE tenant_id = current_tenant() AND name = ANY(sqlc.arg(names)::text[]);

-- name: InsertRun :exec
INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7);

-- name: RunByID :one
SELECT tenant_id, id, service_id, kind, state, actor, revision, created_at, started_at, finished_at, cancel_at, counts, error_code, error, version
FROM runs WHERE tenant_id = current_tenant() AND id = $1;

-- name: LockRun :one
SELECT tenant_id, id, service_id, kind, state, actor, revision, created_at, started_at, finished_at, cancel_at, counts, error_code, error, version
FROM runs WHERE tenant_id = current_tenant() AND id = $1 FOR NO KEY UPDATE;

-- name: OpenRuns :many
SELECT tenant_id, id, service_id, kind, state, actor, revision, created_at, started_at, finished_at, cancel_at, counts, error_code, error, version
FROM runs WHERE tenant_id = current_tenant() AND service_id = $1 AND state IN ('queued', 'running')
ORDER BY id;

-- name: Runs :many
-- Newest first. A service of all zeros chooses those of all services.
SELECT tenant_id, id, service_id, kind, state, actor, revision, created_at, started_at, finished_at, cancel_at, counts, error_code, error, version
FROM runs WHERE tenant_id = current_tenant() AND id < sqlc.arg(before)::uuid
  AND (sqlc.arg(service_id)::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = sqlc.arg(service_id)::uuid)
  AND (cardinality(sqlc.arg(states)::text[]) = 0 OR state = ANY(sqlc.arg(states)::text[]))
  AND (cardinality(sqlc.arg(kinds)::text[]) = 0 OR kind = ANY(sqlc.arg(kinds)::text[]))
ORDER BY id DESC LIMIT sqlc.arg(page)::int;

-- name: SaveRun :one
-- Its counts are written by the commits that they count.
UPDATE runs SET state = $2, revision = $3, started_at = $4, finished_at = $5, cancel_at = $6, error_code = $7, error = $8, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1 RETURNING version;

-- name: AskToStop :exec
-- The worker that carries the service stops at its next commit, and the service waits for a worker again.
UPDATE leases SET yield = true
WHERE tenant_id = current_tenant() AND service_id = $1 AND expires_at > now() AND worker_id <> '00000000-0000-0000-0000-000000000000';

-- name: LetTryAgain :exec
-- Somebody acted: the next try need not wait out the pause after a failure.
UPDATE leases SET not_before = NULL, failures = 0 WHERE tenant_id = current_tenant() AND service_id = $1 AND failures > 0;

-- name: Stopping :one
-- Whether a worker that was asked to stop may still be at it.
SELECT EXISTS (SELECT FROM leases WHERE tenant_id = current_tenant() AND service_id = $1 AND expires_at > now() AND yield);

-- name: LockDue :many
SELECT tenant_id, id, name, state, reason, revision, realtime, pool, priority, next_run_at, created_at, updated_at, version, max_delay_ms
FROM services
WHERE tenant_id = current_tenant() AND id = ANY(sqlc.arg(ids)::uuid[]) AND state = 'active' AND next_run_at <= sqlc.arg(now)::timestamptz
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;
