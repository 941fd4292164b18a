-- name: LedgerQuantities :many
-- The usage of a span of time, event by event. Operations are a sum, for each integration; integrations are the distinct (service, system) with
-- any event; records are as billing.RecordsLive defines them.
WITH cells AS MATERIALIZED (
    SELECT e.meter, e.service_id, e.system, e.data_class, e.realtime, e.complex, e.premium, sum(e.quantity)::bigint AS units
    FROM usage_events e
    WHERE e.tenant_id = (SELECT current_tenant()) AND e.meter IN ('sync_operations', 'integrations', 'enrichments')
      AND e.at >= sqlc.arg(period_start) AND e.at < sqlc.arg(period_end)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), integrations AS (
    SELECT service_id, system, bool_or(premium) AS premium FROM cells WHERE meter <> 'enrichments' GROUP BY service_id, system
), named AS (
    SELECT c.meter, (c.system || ' of ' || coalesce(s.name, c.service_id::text))::text AS integration, c.data_class, c.realtime, c.complex, c.premium, c.units
    FROM cells c LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = c.service_id WHERE c.meter = 'sync_operations'
    UNION ALL
    SELECT 'integrations', i.system || ' of ' || coalesce(s.name, i.service_id::text), '', false, false, i.premium, 1
    FROM integrations i LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = i.service_id
    UNION ALL
    SELECT 'enrichments', '', c.data_class, false, false, false, c.units FROM cells c WHERE c.meter = 'enrichments'
    UNION ALL
    SELECT 'records', '', r.data_class, false, false, false, sum(r.quantity)::bigint
    FROM usage_events r
    WHERE r.tenant_id = (SELECT current_tenant()) AND r.meter = 'records' AND r.at < sqlc.arg(period_end)
      AND CASE WHEN r.quantity < 0 THEN r.at <= sqlc.arg(period_start)
               ELSE r.since IS NULL OR r.since <= sqlc.arg(period_start) END
    GROUP BY r.data_class
)
SELECT n.meter, n.integration, n.data_class, n.realtime, n.complex, n.premium, sum(n.units)::bigint AS units
FROM named n GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(n.units) <> 0;

-- name: BilledOperations :many
-- The journal entries behind usage events of sync operations, newest first.
SELECT j.id, u.at, u.service_id, u.system, u.object, u.data_class, j.entity_id, j.op,
       ARRAY(SELECT k FROM jsonb_object_keys(CASE jsonb_typeof(coalesce(j.after, j.before)) WHEN 'object' THEN coalesce(j.after, j.before) ELSE '{}' END) AS k ORDER BY k)::text[] AS fields,
       u.realtime, u.complex, u.key
FROM usage_events u
JOIN journal j ON j.tenant_id = u.tenant_id AND j.cause = u.ref AND j.part = u.part AND j.kind = 'delivery' AND j.op IN ('create', 'update', 'delete')
WHERE u.tenant_id = current_tenant() AND u.meter = 'sync_operations'
  AND u.at >= sqlc.arg(period_start) AND u.at < sqlc.arg(period_end)
  AND (sqlc.narg(realtime)::boolean IS NULL OR u.realtime = sqlc.narg(realtime))
  AND (sqlc.narg(complex)::boolean IS NULL OR u.complex = sqlc.narg(complex))
  AND (sqlc.narg(premium)::boolean IS NULL OR u.premium = sqlc.narg(premium))
  AND (sqlc.arg(data_class)::text = '' OR u.data_class = sqlc.arg(data_class))
  AND (sqlc.narg(added_after)::timestamptz IS NULL OR u.added_at > sqlc.narg(added_after))
  AND (sqlc.narg(after_at)::timestamptz IS NULL
       OR (u.at <= sqlc.narg(after_at)
           AND (u.at, u.key, j.id) < (sqlc.narg(after_at)::timestamptz, sqlc.arg(after_key)::text, sqlc.arg(after_id)::uuid)))
ORDER BY u.at DESC, u.key DESC, j.id DESC
LIMIT sqlc.arg(page)::int;
