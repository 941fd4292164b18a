-- name: BillingZone :one
SELECT time_zone FROM tenants WHERE id = current_tenant();

-- name: MakeInvoice :exec
-- Does nothing when the period has an invoice that is not void. Waits for whoever is making one right now.
INSERT INTO invoices (tenant_id, id, state, period, period_start, period_end, time_zone, plan, plan_version, currency, total, computed_at, created_at)
VALUES (current_tenant(), $1, 'draft', $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)
ON CONFLICT (tenant_id, period) WHERE state <> 'void' DO NOTHING;

-- name: LockInvoice :one
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version
FROM invoices WHERE tenant_id = current_tenant() AND period = $1 AND state <> 'void' FOR UPDATE;

-- name: Invoice :one
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version
FROM invoices WHERE tenant_id = current_tenant() AND id = $1;

-- name: Invoices :many
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version
FROM invoices
WHERE tenant_id = current_tenant()
  AND (sqlc.narg(after_period)::text IS NULL OR (period, id) < (sqlc.narg(after_period)::text, sqlc.arg(after_id)::uuid))
ORDER BY period DESC, id DESC
LIMIT sqlc.arg(page)::int;

-- name: SaveDraft :execrows
UPDATE invoices
SET period_start = $2, period_end = $3, time_zone = $4, plan = $5, plan_version = $6, currency = $7, total = $8, computed_at = $9, version = $10
WHERE tenant_id = current_tenant() AND id = $1 AND state = 'draft';

-- name: DropInvoiceLines :exec
DELETE FROM invoice_lines WHERE tenant_id = current_tenant() AND invoice_id = $1;

-- name: AddInvoiceLines :exec
INSERT INTO invoice_lines (tenant_id, invoice_id, number, price, meter, description, quantity, amount, charged, explanation, selector)
SELECT current_tenant(), sqlc.arg(invoice_id), l.number, l.price, l.meter, l.description, l.quantity, l.amount, l.charged, l.explanation::jsonb, l.selector::jsonb
FROM (
    SELECT unnest(sqlc.arg(numbers)::int[]) AS number, unnest(sqlc.arg(prices)::text[]) AS price, unnest(sqlc.arg(meters)::text[]) AS meter,
           unnest(sqlc.arg(descriptions)::text[]) AS description, unnest(sqlc.arg(quantities)::bigint[]) AS quantity,
           unnest(sqlc.arg(amounts)::numeric[]) AS amount, unnest(sqlc.arg(charged)::boolean[]) AS charged,
           unnest(sqlc.arg(explanations)::text[]) AS explanation, unnest(sqlc.arg(selectors)::text[]) AS selector
) l;

-- name: InvoiceLines :many
SELECT l.number, l.price, l.meter, l.description, l.quantity, l.amount, i.currency, l.charged, l.explanation, l.selector
FROM invoice_lines l JOIN invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
WHERE l.tenant_id = current_tenant() AND l.invoice_id = $1 ORDER BY l.number;
