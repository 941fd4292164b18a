-- Statements of the operator role: before a tenant is known.

-- name: InsertUser :exec
INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: InsertTenant :exec
INSERT INTO tenants (id, name, slug, region, time_zone, demo, sealed_key, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: InsertMember :exec
INSERT INTO members (tenant_id, user_id, email, name, role, created_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: UserByEmail :one
SELECT id, email, name, password_hash, created_at FROM users WHERE lower(email) = lower(sqlc.arg(email)::text);

-- name: UserByID :one
SELECT id, email, name, password_hash, created_at FROM users WHERE id = $1;

-- name: SwapPassword :execrows
UPDATE users SET password_hash = sqlc.arg(fresh)::text WHERE id = sqlc.arg(id) AND password_hash = sqlc.arg(old)::text;

-- name: Memberships :many
SELECT t.id, t.name, t.slug, t.state, t.region, t.time_zone, t.demo, t.created_at, t.version, m.role, m.created_at AS since
FROM members m JOIN tenants t ON t.id = m.tenant_id
WHERE m.user_id = $1
ORDER BY m.created_at, t.id;

-- name: InsertSession :exec
INSERT INTO sessions (token_hash, user_id, tenant_id, created_at, seen_at, expires_at, user_agent, ip)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: SessionByToken :one
-- A member who was removed has no session in that tenant any more.
SELECT s.token_hash, s.created_at, s.seen_at, s.expires_at, s.user_agent, s.ip,
       m.user_id, m.email, m.name, m.role, m.created_at AS since, m.version AS member_version,
       t.id AS tenant_id, t.name AS tenant_name, t.slug, t.state, t.region, t.time_zone, t.demo, t.created_at AS tenant_created_at, t.version AS tenant_version,
       EXISTS (SELECT FROM operators o WHERE o.user_id = s.user_id) AS operates
FROM sessions s
JOIN members m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
JOIN tenants t ON t.id = s.tenant_id
WHERE s.token_hash = $1;

-- name: SessionsOfUser :many
SELECT s.token_hash, s.created_at, s.seen_at, s.expires_at, s.user_agent, s.ip, s.tenant_id, t.name AS tenant_name
FROM sessions s
JOIN members m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
JOIN tenants t ON t.id = s.tenant_id
WHERE s.user_id = $1
ORDER BY s.seen_at DESC, s.token_hash;

-- name: TouchSession :exec
UPDATE sessions SET seen_at = $2 WHERE token_hash = $1 AND seen_at < $2;

-- name: SwitchSession :execrows
UPDATE sessions SET tenant_id = $2 WHERE token_hash = $1;

-- name: DeleteSession :execrows
DELETE FROM sessions WHERE user_id = $1 AND token_hash = $2;

-- name: DeleteSessionByID :execrows
DELETE FROM sessions WHERE user_id = $1 AND substring(token_hash FROM 1 FOR 16) = sqlc.arg(id)::bytea;

-- name: DeleteOtherSessions :execrows
DELETE FROM sessions WHERE user_id = $1 AND token_hash <> sqlc.arg(keep)::bytea;

-- name: DeleteDeadSessions :execrows
DELETE FROM sessions s
WHERE s.expires_at <= sqlc.arg(now)::timestamptz OR s.seen_at <= sqlc.arg(idle_since)::timestamptz
   OR NOT EXISTS (SELECT FROM members m WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id);

-- name: APIKeyByHash :one
SELECT k.id, k.name, k.last_four, k.scopes, k.created_by, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, k.version,
       k.tenant_id, t.state
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.key_hash = $1;

-- name: TouchAPIKey :exec
UPDATE api_keys SET last_used_at = sqlc.arg(now)::timestamptz
WHERE tenant_id = sqlc.arg(tenant_id) AND id = sqlc.arg(id)
  AND (last_used_at IS NULL OR last_used_at <= sqlc.arg(unless_after)::timestamptz);

-- name: InvitationByToken :one
SELECT i.id, i.email, i.role, i.invited_by, i.created_at, i.expires_at, i.accepted_at, t.name AS tenant_name, t.state
FROM invitations i JOIN tenants t ON t.id = i.tenant_id
WHERE i.tenant_id = $1 AND i.token_hash = $2;

-- name: AcceptInvitation :execrows
UPDATE invitations SET accepted_at = sqlc.arg(now)::timestamptz
WHERE tenant_id = sqlc.arg(tenant_id) AND id = sqlc.arg(id) AND accepted_at IS NULL AND expires_at > sqlc.arg(now)::timestamptz;

-- Statements bound to a tenant.

-- name: Tenant :one
SELECT id, name, slug, state, region, time_zone, demo, created_at, version FROM tenants WHERE id = current_tenant();

-- name: LockTenant :one
-- Changes of the tenant and of its members wait for each other here; rows that refer to the tenant do not wait.
SELECT id, name, slug, state, region, time_zone, demo, created_at, version FROM tenants WHERE id = current_tenant() FOR NO KEY UPDATE;

-- name: UpdateTenant :exec
UPDATE tenants SET name = $1, time_zone = $2, version = $3 WHERE id = current_tenant();

-- name: Members :many
SELECT user_id, email, name, role, created_at, version FROM members
WHERE tenant_id = current_tenant() AND user_id > sqlc.arg(after)::uuid
ORDER BY user_id LIMIT sqlc.arg(page)::int;

-- name: Member :one
SELECT user_id, email, name, role, created_at, version FROM members WHERE tenant_id = current_tenant() AND user_id = $1;

-- name: CountOwners :one
SELECT count(*) FROM members WHERE tenant_id = current_tenant() AND role = 'owner';

-- name: MemberByEmail :one
SELECT user_id, email, name, role, created_at, version FROM members
WHERE tenant_id = current_tenant() AND lower(email) = lower(sqlc.arg(email)::text);

-- name: UpdateMember :exec
UPDATE members SET role = $2, version = $3 WHERE tenant_id = current_tenant() AND user_id = $1;

-- name: DeleteMember :exec
DELETE FROM members WHERE tenant_id = current_tenant() AND user_id = $1;

-- name: InsertInvitation :exec
INSERT INTO invitations (tenant_id, id, email, role, token_hash, invited_by, created_at, expires_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7);

-- name: Invitations :many
SELECT id, email, role, invited_by, created_at, expires_at, accepted_at FROM invitations
WHERE tenant_id = current_tenant() AND id > sqlc.arg(after)::uuid
ORDER BY id LIMIT sqlc.arg(page)::int;

-- name: Invitation :one
SELECT id, email, role, invited_by, created_at, expires_at, accepted_at FROM invitations
WHERE tenant_id = current_tenant() AND id = $1;

-- name: DeleteInvitation :execrows
DELETE FROM invitations WHERE tenant_id = current_tenant() AND id = $1 AND accepted_at IS NULL;

-- name: InsertAPIKey :exec
INSERT INTO api_keys (tenant_id, id, name, key_hash, last_four, scopes, created_by, created_at, expires_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8);

-- name: APIKeys :many
SELECT id, name, last_four, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, version FROM api_keys
WHERE tenant_id = current_tenant() AND id > sqlc.arg(after)::uuid
ORDER BY id LIMIT sqlc.arg(page)::int;

-- name: LockAPIKey :one
SELECT id, name, last_four, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, version FROM api_keys
WHERE tenant_id = current_tenant() AND id = $1 FOR UPDATE;

-- name: APIKey :one
SELECT id, name, last_four, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, version FROM api_keys
WHERE tenant_id = current_tenant() AND id = $1;

-- name: UpdateAPIKey :exec
UPDATE api_keys SET name = $2, revoked_at = $3, version = $4 WHERE tenant_id = current_tenant() AND id = $1;
