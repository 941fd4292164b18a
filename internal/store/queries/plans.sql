-- name: Subscriptions :many
-- All that were not taken back, in the order in which they hold.
SELECT id, plan, add_ons, coupons, from_at, trial_until, created_at, created_by, note
FROM subscriptions WHERE tenant_id = current_tenant() AND withdrawn_at IS NULL ORDER BY from_at, created_at, id;

-- name: AddSubscription :exec
INSERT INTO subscriptions (tenant_id, id, plan_name, plan_version, plan, add_ons, coupons, from_at, trial_until, created_at, created_by, note)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: WithdrawSubscription :execrows
UPDATE subscriptions SET withdrawn_at = sqlc.arg(at)::timestamptz
WHERE tenant_id = current_tenant() AND id = $1 AND withdrawn_at IS NULL AND from_at > sqlc.arg(at)::timestamptz;

-- name: LockSubscriptions :exec
-- Changes of one tenant's subscription go one after the other. Nothing that meters waits for it.
SELECT pg_advisory_xact_lock(hashtextextended('subscriptions ' || current_tenant()::text, 0));

-- name: CustomPlans :many
-- All versions, by name, the latest first.
SELECT plan, from_at FROM custom_plans WHERE tenant_id = current_tenant() ORDER BY name, version DESC;

-- name: AddCustomPlan :exec
INSERT INTO custom_plans (tenant_id, name, version, plan, from_at, created_at, created_by) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6);

-- name: IntegrationsBeside :one
SELECT coalesce(sum(jsonb_array_length(r.document->'systems')), 0)::bigint
FROM services s JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
WHERE s.tenant_id = current_tenant() AND s.state IN ('active', 'paused', 'action_required') AND s.id <> $1;

-- name: LiveDocuments :many
-- The documents in force, for what they need of a plan.
SELECT s.name, r.document
FROM services s JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
WHERE s.tenant_id = current_tenant() AND s.state IN ('active', 'paused', 'action_required')
ORDER BY s.name;
