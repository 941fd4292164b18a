// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
)

// credits reads them with the uses that a condition on their invoices, called i, lets count.
func (t *Tx) credits(ctx context.Context, counts string, args ...any) ([]billing.Credit, error) {
	rows, err := t.tx.Query(ctx, `SELECT c.id, c.amount, c.currency, c.reason, c.granted_at, c.granted_by, c.expires_at, c.withdrawn_at, coalesce((
  SELECT sum(u.amount) FROM credit_uses u JOIN invoices i ON i.tenant_id = u.tenant_id AND i.id = u.invoice_id
  WHERE u.tenant_id = c.tenant_id AND u.credit_id = c.id AND i.state <> 'void' AND (`+counts+`)), 0)
FROM credits c WHERE c.tenant_id = current_tenant() ORDER BY c.id DESC`, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c billing.Credit, err error) {
		var amount, used decimal.Decimal
		var currency string
		var expires, withdrawn *time.Time
		err = row.Scan(&c.ID, &amount, &currency, &c.Reason, &c.GrantedAt, &c.GrantedBy, &expires, &withdrawn, &used)
		c.Amount, c.Used, c.ExpiresAt, c.WithdrawnAt = money(amount, currency), money(used, currency), orZero(expires), orZero(withdrawn)
		return c, err
	})
	return list, unavailable(err)
}

// Credits are all that were granted, the latest first, with what all invoices use of them.
func (t *Tx) Credits(ctx context.Context) ([]billing.Credit, error) { return t.credits(ctx, "true") }

// CreditsBeside are the credits with what other invoices use of them.
func (t *Tx) CreditsBeside(ctx context.Context, invoice uuid.UUID, m billing.Month) ([]billing.Credit, error) {
	return t.credits(ctx, "i.id <> $1 AND (i.state <> 'draft' OR i.approved_at IS NOT NULL OR i.period < $2)", invoice, m.String())
}

// AddCredit writes a grant.
func (t *Tx) AddCredit(ctx context.Context, c billing.Credit) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO credits (tenant_id, id, amount, currency, reason, granted_at, granted_by, expires_at) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7)`,
		c.ID, c.Amount.Amount, string(c.Amount.Currency), c.Reason, c.GrantedAt, c.GrantedBy, nullTime(c.ExpiresAt))
	return unavailable(err)
}

// WithdrawCredit says whether there was one to withdraw.
func (t *Tx) WithdrawCredit(ctx context.Context, id uuid.UUID, why string) (bool, error) {
	tag, err := t.tx.Exec(ctx, `UPDATE credits SET withdrawn_at = $2, withdrawn_why = $3 WHERE tenant_id = current_tenant() AND id = $1 AND withdrawn_at IS NULL`, id, t.now, why)
	return tag.RowsAffected() > 0, unavailable(err)
}

// SetCreditUses replaces what an invoice uses.
func (t *Tx) SetCreditUses(ctx context.Context, invoice uuid.UUID, uses []billing.CreditUse) error {
	ids, amounts := make([]uuid.UUID, len(uses)), make([]string, len(uses))
	for i, u := range uses {
		ids[i], amounts[i] = u.Credit.ID, u.Amount.Amount.String()
	}
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM credit_uses WHERE tenant_id = current_tenant() AND invoice_id = $1`, invoice)
	if len(uses) > 0 {
		b.Queue(`INSERT INTO credit_uses (tenant_id, credit_id, invoice_id, amount) SELECT current_tenant(), u.id, $1, u.amount::numeric FROM unnest($2::uuid[], $3::text[]) AS u (id, amount)`, invoice, ids, amounts)
	}
	return t.send(ctx, b)
}
