-- name: ClaimIdempotencyKey :execrows
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, created_at) VALUES (current_tenant(), $1, $2, $3)
ON CONFLICT (tenant_id, key) DO NOTHING;

-- name: IdempotencyKey :one
SELECT fingerprint, status, header, body, created_at FROM idempotency_keys WHERE tenant_id = current_tenant() AND key = $1;

-- name: TakeIdempotencyKeyOver :execrows
UPDATE idempotency_keys SET fingerprint = sqlc.arg(fingerprint), status = NULL, header = NULL, body = NULL, created_at = sqlc.arg(now)::timestamptz
WHERE tenant_id = current_tenant() AND key = sqlc.arg(key) AND created_at = sqlc.arg(seen)::timestamptz
  AND status IS NOT DISTINCT FROM sqlc.narg(seen_status)::int;

-- name: FinishIdempotencyKey :execrows
UPDATE idempotency_keys SET status = sqlc.arg(status)::int, header = sqlc.arg(header), body = sqlc.arg(body)
WHERE tenant_id = current_tenant() AND key = sqlc.arg(key) AND created_at = sqlc.arg(claimed_at)::timestamptz AND (status IS NULL OR status = 0);

-- name: MarkIdempotencyKey :execrows
-- The work is committed with this; 0 is idempotency.Unanswered.
UPDATE idempotency_keys SET status = 0
WHERE tenant_id = current_tenant() AND key = sqlc.arg(key) AND created_at = sqlc.arg(claimed_at)::timestamptz AND (status IS NULL OR status = 0);

-- name: ReleaseIdempotencyKey :exec
DELETE FROM idempotency_keys
WHERE tenant_id = current_tenant() AND key = sqlc.arg(key) AND created_at = sqlc.arg(claimed_at)::timestamptz AND (status IS NULL OR status = 0);

-- name: DeleteIdempotencyKeysBefore :execrows
DELETE FROM idempotency_keys WHERE created_at < $1;
