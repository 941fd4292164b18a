// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// What belongs to the installation and to no tenant: its operators and the log of what they did.

// IsOperator says whether the person runs the installation. People are not a tenant's.
func (o *Operator) IsOperator(ctx context.Context, id auth.UserID) (is bool, err error) {
	err = o.d.operator.QueryRow(ctx, `SELECT EXISTS (SELECT FROM operators WHERE user_id = $1)`, uuid.UUID(id)).Scan(&is)
	return is, unavailable(err)
}

// Operators are the people who run the installation.
func (o *Operator) Operators(ctx context.Context) ([]auth.InstallationOperator, error) {
	rows, err := o.d.operator.Query(ctx, `SELECT u.id, u.email, u.name, u.created_at, o.granted_at, o.granted_by FROM operators o JOIN users u ON u.id = o.user_id ORDER BY o.granted_at, u.id`)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v auth.InstallationOperator, err error) {
		err = row.Scan((*uuid.UUID)(&v.ID), &v.Email, &v.Name, &v.CreatedAt, &v.Since, &v.By)
		return v, err
	})
	return list, unavailable(err)
}

// SetOperator makes a person an operator, or takes that back.
func (o *Operator) SetOperator(ctx context.Context, id auth.UserID, operates bool, by string, e audit.Entry) (changed bool, err error) {
	err = o.inTx(ctx, func(tx *OperatorTx) error {
		statement, args := `DELETE FROM operators WHERE user_id = $1`, []any{uuid.UUID(id)}
		if operates {
			statement, args = `INSERT INTO operators (user_id, granted_at, granted_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, append(args, tx.now, clean(by))
		}
		tag, err := tx.tx.Exec(ctx, statement, args...)
		if err != nil || tag.RowsAffected() == 0 {
			return unavailable(err)
		}
		changed = true
		return tx.Note(ctx, e)
	})
	return changed && err == nil, err
}

// Note adds an entry to the installation's log. The lock puts the entries in order, and is held until the commit.
func (t *OperatorTx) Note(ctx context.Context, e audit.Entry) error {
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('syncline.installation_log'))`); err != nil {
		return unavailable(err)
	}
	e.Prev = []byte{}
	err := t.tx.QueryRow(ctx, `SELECT seq, hash FROM installation_log ORDER BY seq DESC LIMIT 1`).Scan(&e.Seq, &e.Prev)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return unavailable(err)
	}
	e.Seq, e.At = e.Seq+1, t.now
	for _, s := range []*string{&e.ActorKind, &e.ActorID, &e.ActorName, &e.Action, &e.Subject, &e.RequestID, &e.IP} {
		*s = clean(*s)
	}
	if len(e.Detail) == 0 {
		e.Detail = json.RawMessage("{}")
	}
	e.Hash = e.Sum()
	_, err = t.tx.Exec(ctx, `INSERT INTO installation_log (seq, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, prev_hash, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, e.Seq, e.At, e.ActorKind, e.ActorID, e.ActorName, e.Action, e.Subject, e.Detail, e.RequestID, e.IP, e.Prev, e.Hash)
	return unavailable(err)
}

// Notes are entries of the installation's log before one, newest first; before 0 is from the end.
func (t *OperatorTx) Notes(ctx context.Context, before int64, limit int) ([]audit.Entry, error) {
	rows, err := t.tx.Query(ctx, `SELECT seq, at, actor_kind, actor_id, actor_name, action, subject, detail, request_id, ip, prev_hash, hash
FROM installation_log WHERE $1 = 0 OR seq < $1 ORDER BY seq DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e audit.Entry, err error) {
		err = row.Scan(&e.Seq, &e.At, &e.ActorKind, &e.ActorID, &e.ActorName, &e.Action, &e.Subject, &e.Detail, &e.RequestID, &e.IP, &e.Prev, &e.Hash)
		return e, err
	})
	return list, unavailable(err)
}

// InOperated makes the function with which operators' acts on the installation run: as the operator role, marking the idempotency
// key of the request by the same commit.
func InOperated[T any](d *DB, as func(*OperatorTx) T) func(context.Context, func(T) error) error {
	return func(ctx context.Context, fn func(T) error) error {
		return d.Operator().inTx(ctx, func(tx *OperatorTx) error {
			if err := fn(as(tx)); err != nil {
				return err
			}
			c, ok := idempotency.From(ctx)
			if !ok {
				return nil
			}
			own, err := tx.bind(ctx, tenant.ID(c.Tenant))
			if err != nil {
				return err
			}
			return own.markKey(ctx)
		})
	}
}

var _ plans.OperatorTx = (*OperatorTx)(nil)

// LockPriceList lets changes of the price list go one after the other.
func (t *OperatorTx) LockPriceList(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('syncline.plan_versions'))`)
	return unavailable(err)
}

// PublishedPlans are all versions that operators published. They are nobody's.
func (t *OperatorTx) PublishedPlans(ctx context.Context) ([]billing.Plan, error) {
	return publishedPlans(ctx, t.tx)
}

// PublishedPlans are all versions of the price list beside those of the program.
func (t *Tx) PublishedPlans(ctx context.Context) ([]billing.Plan, error) {
	return publishedPlans(ctx, t.tx)
}

func publishedPlans(ctx context.Context, tx pgx.Tx) ([]billing.Plan, error) {
	rows, err := tx.Query(ctx, `SELECT plan, from_at FROM plan_versions ORDER BY name, version`)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p billing.Plan, err error) {
		var document json.RawMessage
		var from time.Time
		if err := row.Scan(&document, &from); err != nil {
			return p, err
		}
		if err := json.Unmarshal(document, &p); err != nil {
			return p, fmt.Errorf("reading a published plan: %w", err)
		}
		p.From = from.UTC()
		return p, nil
	})
	return list, unavailable(err)
}

// AddPublishedPlan writes a version of a plan for everybody.
func (t *OperatorTx) AddPublishedPlan(ctx context.Context, p billing.Plan, by string) error {
	document, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = t.tx.Exec(ctx, `INSERT INTO plan_versions (name, version, plan, from_at, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6)`,
		p.Name(), p.Card.Version, document, p.From, t.now, clean(by))
	return unavailable(err)
}

// Customers are tenants with what each agreed to and owes. It sees all tenants, because it is for those who run the installation.
func (t *OperatorTx) Customers(ctx context.Context, q plans.CustomerQuery) ([]plans.Customer, error) {
	rows, err := t.tx.Query(ctx, `SELECT t.id, t.name, t.slug, t.state, t.region, t.time_zone, t.demo, t.created_at, t.version,
  coalesce(s.plan_name, ''), coalesce(s.title, ''), coalesce(s.plan_version, 0), s.from_at, s.trial_until, coalesce(n.title, ''), n.from_at, coalesce(c.parts, '{}'), coalesce(o.parts, '{}')
FROM tenants t
LEFT JOIN LATERAL (
  SELECT plan_name, plan->'card'->>'title' AS title, plan_version, from_at, trial_until FROM subscriptions
  WHERE tenant_id = t.id AND withdrawn_at IS NULL AND from_at <= $1 ORDER BY from_at DESC, created_at DESC, id DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (
  SELECT plan->'card'->>'title' AS title, from_at FROM subscriptions
  WHERE tenant_id = t.id AND withdrawn_at IS NULL AND from_at > $1 ORDER BY from_at DESC, created_at DESC, id DESC LIMIT 1) n ON true
LEFT JOIN LATERAL (
  SELECT jsonb_object_agg(currency, rest::text) AS parts FROM (
    SELECT c.currency, sum(c.amount - coalesce((
      SELECT sum(u.amount) FROM credit_uses u JOIN invoices i ON i.tenant_id = u.tenant_id AND i.id = u.invoice_id
      WHERE u.tenant_id = c.tenant_id AND u.credit_id = c.id AND i.state <> 'void'), 0)) AS rest
    FROM credits c WHERE c.tenant_id = t.id AND c.withdrawn_at IS NULL GROUP BY c.currency) by_currency WHERE rest > 0) c ON true
LEFT JOIN LATERAL (
  SELECT jsonb_object_agg(currency, rest::text) AS parts FROM (
    SELECT currency, sum(total - credited) AS rest FROM invoices WHERE tenant_id = t.id AND state = 'open' GROUP BY currency) by_currency WHERE rest > 0) o ON true
WHERE ($2::uuid = '00000000-0000-0000-0000-000000000000' OR t.id = $2)
  AND (t.created_at, t.id) > (SELECT coalesce(max(created_at), '-infinity'), $3::uuid FROM tenants WHERE id = $3)
  AND ($4 = '' OR strpos(lower(t.name), lower($4)) > 0 OR strpos(t.slug, lower($4)) > 0)
ORDER BY t.created_at, t.id LIMIT $5`, t.now, uuid.UUID(q.ID), uuid.UUID(q.After), clean(q.Search), page(q.Limit))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c plans.Customer, err error) {
		var from, trial, next *time.Time
		var credit, open map[string]string
		var state string
		err = row.Scan((*uuid.UUID)(&c.ID), &c.Name, &c.Slug, &state, &c.Region, &c.TimeZone, &c.Demo, &c.CreatedAt, &c.Version,
			&c.Plan, &c.PlanTitle, &c.PlanVersion, &from, &trial, &c.Next, &next, &credit, &open)
		if err != nil {
			return c, err
		}
		c.State, c.From, c.TrialUntil, c.NextFrom = tenant.State(state), orZero(from), orZero(trial), orZero(next)
		if c.Credit, err = moneys(credit); err != nil {
			return c, err
		}
		c.Open, err = moneys(open)
		return c, err
	})
	return list, unavailable(err)
}

// moneys are amounts by currency, in the order of the currencies' names.
func moneys(parts map[string]string) (out []billing.Money, err error) {
	for _, currency := range slices.Sorted(maps.Keys(parts)) {
		d, err := decimal.NewFromString(parts[currency])
		if err != nil {
			return nil, err
		}
		out = append(out, money(d, currency))
	}
	return out, nil
}
