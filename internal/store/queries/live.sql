-- name: InsertEvent :exec
INSERT INTO events (tenant_id, at, type, service_id, data) VALUES (current_tenant(), $1, $2, $3, $4);

-- name: EventsAfter :many
-- In commit order: only events of transactions below the oldest one still running, so that none is skipped.
SELECT xid::text AS xid, id, at, type, service_id, data FROM events
WHERE tenant_id = current_tenant()
  AND (xid, id) > (sqlc.arg(after_xid)::text::xid8, sqlc.arg(after_id)::bigint)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, id LIMIT sqlc.arg(page)::int;

-- name: EventsHead :one
SELECT (pg_snapshot_xmin(pg_current_snapshot()))::text AS xid;

-- name: DeleteEventsBefore :execrows
-- But those of which a webhook endpoint does not have its delivery yet.
DELETE FROM events e WHERE e.at < $1 AND NOT EXISTS (
  SELECT FROM webhook_endpoints w WHERE w.tenant_id = e.tenant_id AND w.state = 'active' AND (w.seen_xid, w.seen_id) < (e.xid, e.id));
