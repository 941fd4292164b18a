-- name: BillingZone :one
SELECT time_zone FROM tenants WHERE id = current_tenant();

-- name: MakeInvoice :exec
-- Does nothing when the period has an invoice that is not void. Waits for whoever is making one right now.
INSERT INTO invoices (tenant_id, id, state, period, period_start, period_end, time_zone, plan, plan_version, currency, total, computed_at, created_at)
VALUES (current_tenant(), $1, 'draft', $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)
ON CONFLICT (tenant_id, period) WHERE state <> 'void' DO NOTHING;

-- name: LockInvoice :one
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version,
       number, flags, closed_at, approved_at, approved_by, approved_name, finalized_at, settled_at, settlement, credited
FROM invoices WHERE tenant_id = current_tenant() AND period = $1 AND state <> 'void' FOR UPDATE;

-- name: Invoice :one
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version,
       number, flags, closed_at, approved_at, approved_by, approved_name, finalized_at, settled_at, settlement, credited
FROM invoices WHERE tenant_id = current_tenant() AND id = $1;

-- name: Invoices :many
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version,
       number, flags, closed_at, approved_at, approved_by, approved_name, finalized_at, settled_at, settlement, credited
FROM invoices
WHERE tenant_id = current_tenant()
  AND (cardinality(sqlc.arg(states)::text[]) = 0 OR state = ANY (sqlc.arg(states)::text[]))
  AND (NOT sqlc.arg(review)::boolean OR (state = 'draft' AND closed_at IS NOT NULL))
  AND (sqlc.narg(after_period)::text IS NULL OR (period, id) < (sqlc.narg(after_period)::text, sqlc.arg(after_id)::uuid))
ORDER BY period DESC, id DESC
LIMIT sqlc.arg(page)::int;

-- name: SaveDraft :execrows
UPDATE invoices
SET period_start = $2, period_end = $3, time_zone = $4, plan = $5, plan_version = $6, currency = $7, total = $8, computed_at = $9, version = $10, flags = $11
WHERE tenant_id = current_tenant() AND id = $1 AND state = 'draft' AND approved_at IS NULL;

-- name: DropInvoiceLines :exec
DELETE FROM invoice_lines WHERE tenant_id = current_tenant() AND invoice_id = $1;

-- name: AddInvoiceLines :exec
INSERT INTO invoice_lines (tenant_id, invoice_id, number, price, meter, description, quantity, amount, charged, explanation, selector, kind, period, reason, author, part_from, part_to, review)
SELECT current_tenant(), sqlc.arg(invoice_id), l.number, l.price, l.meter, l.description, l.quantity, l.amount, l.charged, l.explanation::jsonb, l.selector::jsonb,
       l.kind, l.period, l.reason, l.author, nullif(l.part_from, '0001-01-01 00:00:00+00'), nullif(l.part_to, '0001-01-01 00:00:00+00'), l.review
FROM (
    SELECT unnest(sqlc.arg(numbers)::int[]) AS number, unnest(sqlc.arg(prices)::text[]) AS price, unnest(sqlc.arg(meters)::text[]) AS meter,
           unnest(sqlc.arg(descriptions)::text[]) AS description, unnest(sqlc.arg(quantities)::bigint[]) AS quantity,
           unnest(sqlc.arg(amounts)::numeric[]) AS amount, unnest(sqlc.arg(charged)::boolean[]) AS charged,
           unnest(sqlc.arg(explanations)::text[]) AS explanation, unnest(sqlc.arg(selectors)::text[]) AS selector,
           unnest(sqlc.arg(kinds)::text[]) AS kind, unnest(sqlc.arg(periods)::text[]) AS period,
           unnest(sqlc.arg(reasons)::text[]) AS reason, unnest(sqlc.arg(authors)::text[]) AS author,
           unnest(sqlc.arg(part_froms)::timestamptz[]) AS part_from, unnest(sqlc.arg(part_tos)::timestamptz[]) AS part_to, unnest(sqlc.arg(reviews)::text[]) AS review
) l;

-- name: InvoiceLines :many
SELECT l.number, l.price, l.meter, l.description, l.quantity, l.amount, i.currency, l.charged, l.explanation, l.selector,
       l.kind, coalesce(nullif(l.period, ''), i.period)::text AS period, l.reason, l.author, l.part_from, l.part_to, l.review
FROM invoice_lines l JOIN invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
WHERE l.tenant_id = current_tenant() AND l.invoice_id = $1 ORDER BY l.number;

-- name: LockInvoiceByID :one
SELECT id, state, period, time_zone, plan, plan_version, currency, total, computed_at, created_at, version,
       number, flags, closed_at, approved_at, approved_by, approved_name, finalized_at, settled_at, settlement, credited
FROM invoices WHERE tenant_id = current_tenant() AND id = $1 FOR UPDATE;

-- name: SaveInvoiceHead :execrows
-- Everything but what is computed.
UPDATE invoices
SET state = $2, number = $3, closed_at = $4, approved_at = $5, approved_by = $6, approved_name = $7, finalized_at = $8, settled_at = $9,
    settlement = $10, credited = $11, version = $12
WHERE tenant_id = current_tenant() AND id = $1;

-- name: DropDraft :exec
DELETE FROM invoices WHERE tenant_id = current_tenant() AND id = $1 AND state = 'draft' AND approved_at IS NULL;

-- name: MakeBillingAccount :exec
INSERT INTO billing_accounts (tenant_id) VALUES (current_tenant()) ON CONFLICT (tenant_id) DO NOTHING;

-- name: LockBillingAccount :one
SELECT b.closed_through, t.created_at FROM billing_accounts b JOIN tenants t ON t.id = b.tenant_id
WHERE b.tenant_id = current_tenant() FOR UPDATE OF b;

-- name: SetClosedThrough :exec
UPDATE billing_accounts SET closed_through = $1 WHERE tenant_id = current_tenant();

-- name: NextInvoiceNumber :one
-- Two commits never have the same number, and one that is rolled back leaves no gap: the row is locked until the commit.
UPDATE billing_accounts SET invoices = invoices + 1 WHERE tenant_id = current_tenant() RETURNING invoices;

-- name: NextCreditNoteNumber :one
UPDATE billing_accounts SET credit_notes = credit_notes + 1 WHERE tenant_id = current_tenant() RETURNING credit_notes;

-- name: FrozenPeriods :many
-- The months before this one whose invoice is not computed any more, and none that another draft is nearer to.
SELECT period, time_zone FROM invoices f
WHERE f.tenant_id = current_tenant() AND f.state <> 'void' AND (f.state <> 'draft' OR f.approved_at IS NOT NULL)
  AND f.period < sqlc.arg(before) AND f.period >= sqlc.arg(since)
  AND NOT EXISTS (
      SELECT FROM invoices d
      WHERE d.tenant_id = current_tenant() AND d.state = 'draft' AND d.approved_at IS NULL AND d.period > f.period AND d.period < sqlc.arg(before))
ORDER BY f.period;

-- name: BilledFor :many
-- What invoices that are not computed any more charged for the usage of a month, by price.
SELECT l.price, i.currency, sum(l.quantity)::bigint AS quantity, sum(l.amount)::numeric AS amount
FROM invoice_lines l JOIN invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
WHERE l.tenant_id = current_tenant() AND l.kind NOT IN ('credit', 'adjustment') AND coalesce(nullif(l.period, ''), i.period) = sqlc.arg(month)::text
  AND i.state <> 'void' AND (i.state <> 'draft' OR i.approved_at IS NOT NULL)
GROUP BY l.price, i.currency;

-- name: BilledUntil :one
-- When the last invoice before this one was computed that charged for usage of the month and still holds.
SELECT max(i.computed_at)::timestamptz AS computed_at, count(*) AS invoices FROM invoices i
WHERE i.tenant_id = current_tenant() AND i.id <> sqlc.arg(invoice) AND i.period < sqlc.arg(before)
  AND i.state <> 'void' AND (i.state <> 'draft' OR i.approved_at IS NOT NULL)
  AND EXISTS (
      SELECT FROM invoice_lines l WHERE l.tenant_id = i.tenant_id AND l.invoice_id = i.id AND l.kind NOT IN ('credit', 'adjustment')
        AND coalesce(nullif(l.period, ''), i.period) = sqlc.arg(month)::text)
HAVING count(*) > 0;

-- name: TotalsBefore :many
SELECT total, currency FROM invoices
WHERE tenant_id = current_tenant() AND state <> 'void' AND period < sqlc.arg(before) AND (state <> 'draft' OR closed_at IS NOT NULL)
ORDER BY period DESC LIMIT sqlc.arg(page)::int;

-- name: AddAdjustment :exec
INSERT INTO invoice_adjustments (tenant_id, id, invoice_id, title, reason, amount, actor, actor_name, person, created_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: RemoveAdjustment :execrows
UPDATE invoice_adjustments SET removed_at = $3, removed_by = $4
WHERE tenant_id = current_tenant() AND invoice_id = $1 AND id = $2 AND removed_at IS NULL;

-- name: Adjustments :many
SELECT a.id, a.invoice_id, a.title, a.reason, a.amount, i.currency, a.actor, a.actor_name, a.person, a.created_at, a.removed_at
FROM invoice_adjustments a JOIN invoices i ON i.tenant_id = a.tenant_id AND i.id = a.invoice_id
WHERE a.tenant_id = current_tenant() AND a.invoice_id = $1 ORDER BY a.id;

-- name: PersonBehindKey :one
SELECT created_by FROM api_keys WHERE tenant_id = current_tenant() AND id = $1;

-- name: AddCreditNote :exec
INSERT INTO credit_notes (tenant_id, id, invoice_id, state, amount, currency, reason, actor, actor_name, person, created_at)
VALUES (current_tenant(), $1, $2, 'draft', $3, $4, $5, $6, $7, $8, $9);

-- name: SaveCreditNote :exec
UPDATE credit_notes SET state = $2, number = $3, decided_at = $4, decided_by = $5, decided_name = $6, version = $7
WHERE tenant_id = current_tenant() AND id = $1;

-- name: CreditNote :one
SELECT id, invoice_id, number, state, amount, currency, reason, actor, actor_name, person, created_at, decided_at, decided_by, decided_name, version
FROM credit_notes WHERE tenant_id = current_tenant() AND id = $1;

-- name: CreditNotes :many
SELECT id, invoice_id, number, state, amount, currency, reason, actor, actor_name, person, created_at, decided_at, decided_by, decided_name, version
FROM credit_notes
WHERE tenant_id = current_tenant() AND (sqlc.narg(invoice)::uuid IS NULL OR invoice_id = sqlc.narg(invoice))
  AND (sqlc.narg(after)::uuid IS NULL OR id < sqlc.narg(after))
ORDER BY id DESC LIMIT sqlc.arg(page)::int;

-- name: TenantsToClose :many
-- Tenants that may have a month to close, in the order of their ids. In no zone of the world does a month end earlier than
-- 14 hours before it does in UTC; the tenant's own zone decides when it is its turn.
SELECT t.id FROM tenants t LEFT JOIN billing_accounts b ON b.tenant_id = t.id
WHERE t.id > sqlc.arg(after)
  AND coalesce(nullif(b.closed_through, ''), to_char(t.created_at - interval '1 month 1 day', 'YYYY-MM')) < sqlc.arg(due)::text
ORDER BY t.id LIMIT sqlc.arg(page)::int;

-- name: TenantName :one
SELECT name FROM tenants WHERE id = current_tenant();

-- name: CollectionsOf :many
SELECT c.invoice_id, c.external_id, c.state, c.url, c.problem, c.refunded, i.currency, c.dispute, c.updated_at, c.tries, c.failed_at, c.next_at, c.sent_at,
       c.payments, c.failure, c.next_payment_at
FROM collections c JOIN invoices i ON i.tenant_id = c.tenant_id AND i.id = c.invoice_id
WHERE c.tenant_id = current_tenant() AND c.invoice_id = ANY (sqlc.arg(invoices)::uuid[]);

-- name: SaveCollection :exec
INSERT INTO collections (tenant_id, invoice_id, external_id, state, url, problem, refunded, dispute, updated_at, tries, failed_at, next_at, sent_at, payments, failure, next_payment_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (tenant_id, invoice_id) DO UPDATE
SET external_id = excluded.external_id, state = excluded.state, url = excluded.url, problem = excluded.problem, refunded = excluded.refunded,
    dispute = excluded.dispute, updated_at = excluded.updated_at, tries = excluded.tries, failed_at = excluded.failed_at, next_at = excluded.next_at,
    sent_at = excluded.sent_at, payments = excluded.payments, failure = excluded.failure, next_payment_at = excluded.next_payment_at;

-- name: Customer :one
SELECT coalesce(b.customer, '')::text AS customer, t.name,
       coalesce((SELECT m.email FROM members m WHERE m.tenant_id = t.id AND m.role = 'owner' ORDER BY m.created_at, m.user_id LIMIT 1), '')::text AS email
FROM tenants t LEFT JOIN billing_accounts b ON b.tenant_id = t.id WHERE t.id = current_tenant();

-- name: SaveCustomer :exec
INSERT INTO billing_accounts (tenant_id, customer) VALUES (current_tenant(), $1)
ON CONFLICT (tenant_id) DO UPDATE SET customer = excluded.customer;

-- name: CreditsToSend :many
SELECT id, invoice_id, number, state, amount, currency, reason, actor, actor_name, person, created_at, decided_at, decided_by, decided_name, version
FROM credit_notes WHERE tenant_id = current_tenant() AND invoice_id = $1 AND state = 'issued' AND external_id = '' ORDER BY number;

-- name: SaveCreditSent :exec
UPDATE credit_notes SET external_id = $2 WHERE tenant_id = current_tenant() AND id = $1;

-- name: HearCollection :execrows
INSERT INTO collection_events (tenant_id, id, type, heard_at) VALUES (current_tenant(), $1, $2, $3) ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: InvoicesToCollect :many
-- Open invoices that the payment provider was not asked about for a while: those that never came there, and those whose
-- messages may have been lost.
SELECT i.tenant_id, i.id FROM invoices i LEFT JOIN collections c ON c.tenant_id = i.tenant_id AND c.invoice_id = i.id
WHERE i.state = 'open' AND i.finalized_at < sqlc.arg(before)::timestamptz AND (c.updated_at IS NULL OR c.updated_at < sqlc.arg(before)::timestamptz)
  AND (i.tenant_id, i.id) > (sqlc.arg(after_tenant)::uuid, sqlc.arg(after_id)::uuid)
ORDER BY i.tenant_id, i.id LIMIT sqlc.arg(page)::int;

-- name: DropCollectionEvents :execrows
DELETE FROM collection_events WHERE heard_at < $1;

-- name: Revenue :many
-- What all tenants' invoices come to, by month, currency and state.
SELECT period, currency, state, count(*)::bigint AS invoices, count(DISTINCT tenant_id)::bigint AS tenants, sum(total)::numeric AS total, sum(credited)::numeric AS credited
FROM invoices WHERE period >= sqlc.arg(since)::text GROUP BY period, currency, state ORDER BY period DESC, currency, state;
