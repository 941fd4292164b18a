-- name: ConnectionByID :one
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections WHERE tenant_id = current_tenant() AND id = $1;

-- name: ConnectionByName :one
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections WHERE tenant_id = current_tenant() AND name = $1;

-- name: LockConnectionByID :one
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections WHERE tenant_id = current_tenant() AND id = $1 FOR UPDATE;

-- name: LockConnectionByName :one
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections WHERE tenant_id = current_tenant() AND name = $1 FOR UPDATE;

-- name: Connections :many
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections
WHERE tenant_id = current_tenant() AND name > sqlc.arg(after)::text
  AND (cardinality(sqlc.arg(states)::text[]) = 0 OR state = ANY(sqlc.arg(states)::text[]))
  AND (sqlc.arg(connector)::text = '' OR connector = sqlc.arg(connector)::text)
ORDER BY name LIMIT sqlc.arg(page)::int;

-- name: OwnedConnections :many
SELECT tenant_id, id, name, connector, settings, sealed, owner_id, state, reason, checked_at, created_at, updated_at, version
FROM connections WHERE tenant_id = current_tenant() AND owner_id = $1 ORDER BY name FOR UPDATE;

-- name: ConnectionTypes :many
-- What documents can name: connections that were made by themselves. Held until the document is accepted, so that none goes meanwhile.
SELECT name, connector FROM connections
WHERE tenant_id = current_tenant() AND owner_id IS NULL AND name = ANY(sqlc.arg(names)::text[]) ORDER BY name FOR SHARE;

-- name: InsertConnection :exec
INSERT INTO connections (tenant_id, id, name, connector, settings, sealed, owner_id, state, created_at, updated_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: SaveConnection :one
UPDATE connections SET name = $2, connector = $3, settings = $4, sealed = $5, state = $6, reason = $7, checked_at = $8, updated_at = $9, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1 RETURNING version;

-- name: SaveConnectionHealth :one
-- Only of the settings that were checked. It makes no new version: nobody changed anything.
UPDATE connections SET state = $2, reason = $3, checked_at = $4
WHERE tenant_id = current_tenant() AND id = $1 AND version = sqlc.arg(version) RETURNING tenant_id;

-- name: DeleteConnection :exec
DELETE FROM connections WHERE tenant_id = current_tenant() AND id = $1;

-- name: ServicesUsing :many
-- The services whose live document names the connection, by itself or as the system's id, archived ones left out.
SELECT s.name FROM services s
JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
CROSS JOIN LATERAL jsonb_array_elements(r.document -> 'systems') AS system
WHERE s.tenant_id = current_tenant() AND s.state <> 'archived'
  AND (system ->> 'connection' = sqlc.arg(name)::text OR (NOT system ? 'connection' AND system ->> 'id' = sqlc.arg(name)::text))
GROUP BY s.name ORDER BY s.name;
