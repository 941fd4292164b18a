-- name: TenantKey :one
SELECT sealed_key FROM tenants WHERE id = current_tenant();

-- name: TenantKeyToSeal :one
SELECT sealed_key FROM tenants WHERE id = current_tenant() FOR SHARE;

-- name: TenantKeyToRotate :one
SELECT sealed_key FROM tenants WHERE id = current_tenant() FOR NO KEY UPDATE;

-- name: SetTenantKey :exec
UPDATE tenants SET sealed_key = $1 WHERE id = current_tenant();

-- name: SaveSecret :one
INSERT INTO secrets (tenant_id, name, sealed, created_by, created_at, updated_at)
VALUES (current_tenant(), sqlc.arg(name), sqlc.arg(sealed), sqlc.arg(by), sqlc.arg(now), sqlc.arg(now))
ON CONFLICT (tenant_id, name) DO UPDATE
SET sealed = excluded.sealed, created_by = excluded.created_by, updated_at = excluded.updated_at, version = secrets.version + 1
RETURNING name, created_by, created_at, updated_at, version;

-- name: Secrets :many
SELECT name, created_by, created_at, updated_at, version FROM secrets
WHERE tenant_id = current_tenant() AND name > sqlc.arg(after)::text
ORDER BY name LIMIT sqlc.arg(page)::int;

-- name: Secret :one
SELECT name, created_by, created_at, updated_at, version FROM secrets WHERE tenant_id = current_tenant() AND name = $1;

-- name: LockSecret :one
SELECT name, created_by, created_at, updated_at, version FROM secrets WHERE tenant_id = current_tenant() AND name = $1 FOR UPDATE;

-- name: DeleteSecret :exec
DELETE FROM secrets WHERE tenant_id = current_tenant() AND name = $1;

-- name: SealedSecrets :many
-- The key and what it opens are of the same moment.
SELECT s.name, s.sealed, t.sealed_key FROM secrets s JOIN tenants t ON t.id = s.tenant_id
WHERE s.tenant_id = current_tenant() AND s.name = ANY(sqlc.arg(names)::text[]);

-- name: SecretsToReseal :many
SELECT name, sealed FROM secrets WHERE tenant_id = current_tenant() ORDER BY name FOR UPDATE;

-- name: ResealSecret :exec
UPDATE secrets SET sealed = $2 WHERE tenant_id = current_tenant() AND name = $1;

-- name: ConnectionsToReseal :many
SELECT id, sealed FROM connections WHERE tenant_id = current_tenant() AND sealed IS NOT NULL ORDER BY id FOR UPDATE;

-- name: ResealConnection :exec
UPDATE connections SET sealed = $2 WHERE tenant_id = current_tenant() AND id = $1;

-- Statements of the operator role: a new master key concerns all tenants.

-- name: TenantKeysNotWrappedBy :many
SELECT id, sealed_key FROM tenants
WHERE id > sqlc.arg(after)::uuid AND substring(sealed_key FROM 1 FOR 9) <> sqlc.arg(prefix)::bytea
ORDER BY id LIMIT sqlc.arg(page)::int;

-- name: CountTenantKeysNotWrappedBy :one
SELECT count(*) FROM tenants WHERE substring(sealed_key FROM 1 FOR 9) <> sqlc.arg(prefix)::bytea;

-- name: SwapTenantKey :execrows
UPDATE tenants SET sealed_key = sqlc.arg(fresh)::bytea WHERE id = sqlc.arg(id) AND sealed_key = sqlc.arg(old)::bytea;
