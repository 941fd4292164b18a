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

-- name: Budgets :many
SELECT b.id, b.name, b.amount, b.pause, b.created_at, b.created_by, b.version,
       coalesce((SELECT max(n.percent) FROM budget_notices n WHERE n.tenant_id = b.tenant_id AND n.budget_id = b.id AND n.period = $1), 0)::int AS reached
FROM budgets b WHERE b.tenant_id = current_tenant() ORDER BY b.name, b.id;

-- name: AddBudget :execrows
INSERT INTO budgets (tenant_id, id, name, amount, pause, created_at, created_by) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, name) DO NOTHING;

-- name: SaveBudget :execrows
UPDATE budgets b SET name = $2, amount = $3, pause = $4, version = version + 1
WHERE b.tenant_id = current_tenant() AND b.id = $1 AND b.version = $5
  AND NOT EXISTS (SELECT FROM budgets o WHERE o.tenant_id = b.tenant_id AND o.name = $2 AND o.id <> b.id);

-- name: DropBudget :execrows
DELETE FROM budgets WHERE tenant_id = current_tenant() AND id = $1 AND version = $2;

-- name: AddBudgetNotice :execrows
INSERT INTO budget_notices (tenant_id, budget_id, period, percent, at, spent) VALUES (current_tenant(), $1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: TenantsWithBudgets :many
-- Named operator statement: budgets are looked after for all tenants, whoever is signed in.
SELECT DISTINCT tenant_id FROM budgets ORDER BY tenant_id;

-- name: UsageEvents :many
-- The ledger itself, in the order of time, a part at a time.
SELECT e.key, e.meter, e.at, e.service_id, coalesce(s.name, '')::text AS service_name, e.system, e.object, e.data_class, e.quantity, e.realtime, e.complex, e.premium
FROM usage_events e LEFT JOIN services s ON s.tenant_id = e.tenant_id AND s.id = e.service_id
WHERE e.tenant_id = current_tenant() AND e.meter = sqlc.arg(meter) AND e.at >= sqlc.arg(period_start) AND e.at < sqlc.arg(period_end)
  AND (e.at, e.key) > (sqlc.arg(after_at)::timestamptz, sqlc.arg(after_key)::text)
ORDER BY e.at, e.key
LIMIT sqlc.arg(page)::int;

-- name: UsedSince :one
-- Uses of systems are noted each quarter of an hour, so they say whether anything happened.
SELECT (EXISTS (SELECT FROM usage_deltas d WHERE d.tenant_id = current_tenant())
     OR EXISTS (SELECT FROM usage_rollups r WHERE r.tenant_id = current_tenant() AND r.meter = 'integrations' AND r.slot >= sqlc.arg(since)))::boolean;

-- name: AddUsageNotice :execrows
INSERT INTO usage_notices (tenant_id, period, about, percent, at) VALUES (current_tenant(), $1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: UsageNoticed :one
SELECT EXISTS (SELECT FROM usage_notices n WHERE n.tenant_id = current_tenant() AND n.period = $1 AND n.about = $2)::boolean;
