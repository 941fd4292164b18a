-- name: AdvanceAuditHead :one
-- Takes the row's lock, so that the entries of a tenant are written one after the other; returns the hash of the one before.
INSERT INTO audit_heads (tenant_id, seq, hash) VALUES (current_tenant(), 1, '')
ON CONFLICT (tenant_id) DO UPDATE SET seq = audit_heads.seq + 1
RETURNING seq, hash;

-- name: InsertAuditEntry :exec
WITH head AS (
    UPDATE audit_heads SET hash = sqlc.arg(hash)::bytea WHERE tenant_id = current_tenant()
)
INSERT INTO audit_log (tenant_id, seq, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, prev_hash, hash)
VALUES (current_tenant(), sqlc.arg(seq), sqlc.arg(at), sqlc.arg(actor_kind), sqlc.arg(actor_id), sqlc.arg(actor_name), sqlc.arg(action),
        sqlc.arg(subject), sqlc.arg(detail), sqlc.arg(request_id), sqlc.arg(ip), sqlc.arg(prev_hash), sqlc.arg(hash)::bytea);

-- name: AuditHead :one
-- One statement, so that head and log are of the same moment.
SELECT coalesce(h.seq, 0)::bigint AS seq, coalesce(h.hash, '')::bytea AS hash, l.rows
FROM (SELECT count(*) AS rows FROM audit_log a WHERE a.tenant_id = current_tenant()) l
LEFT JOIN audit_heads h ON h.tenant_id = current_tenant();

-- name: AuditChain :many
SELECT seq, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, prev_hash, hash FROM audit_log
WHERE tenant_id = current_tenant() AND seq > sqlc.arg(after)::bigint AND seq <= sqlc.arg(upto)::bigint
ORDER BY seq LIMIT sqlc.arg(page)::int;

-- name: AuditEntries :many
SELECT seq, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, prev_hash, hash FROM audit_log
WHERE tenant_id = current_tenant()
  AND (sqlc.arg(before)::bigint = 0 OR seq < sqlc.arg(before)::bigint)
  AND (sqlc.arg(actor)::text = '' OR actor_id = sqlc.arg(actor)::text)
  AND (sqlc.arg(action)::text = '' OR action = sqlc.arg(action)::text
       OR (right(sqlc.arg(action)::text, 1) = '.' AND starts_with(action, sqlc.arg(action)::text)))
  AND (sqlc.arg(subject)::text = '' OR subject = sqlc.arg(subject)::text)
  AND (sqlc.narg(since)::timestamptz IS NULL OR at >= sqlc.narg(since)::timestamptz)
  AND (sqlc.narg(until)::timestamptz IS NULL OR at < sqlc.narg(until)::timestamptz)
ORDER BY seq DESC LIMIT sqlc.arg(page)::int;
