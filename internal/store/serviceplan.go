// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ safety.PlanTx = (*Tx)(nil)

// InsertServicePlan stores a plan that is queued.
func (t *Tx) InsertServicePlan(ctx context.Context, p safety.ServicePlan) error {
	var sid *uuid.UUID
	if p.Service != (service.ID{}) {
		id := uuid.UUID(p.Service)
		sid = &id
	}
	texts := make([]*string, 0, 4)
	for _, v := range []any{p.Document, p.Selection, p.Differences, p.Notices} {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing a plan: %w", err)
		}
		s := string(b)
		texts = append(texts, &s)
	}
	if p.Selection == nil {
		texts[1] = nil
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO service_plans (tenant_id, id, kind, state, service_id, name, base, source, format, document, selection, differences, notices, actor, created_at, expires_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce(nullif($11::jsonb, 'null'), '[]'), coalesce(nullif($12::jsonb, 'null'), '[]'), $13, $14, $15)`,
		p.ID, string(p.Kind), string(p.State), sid, p.Name, p.Base, p.Source, string(p.Format), texts[0], texts[1], texts[2], texts[3], p.Actor, p.CreatedAt, p.ExpiresAt)
	return unavailable(err)
}

const servicePlanColumns = `id, kind, state, service_id, name, base, source, format, document, selection, differences, notices, actor, created_at, started_at, seen_at, finished_at,
  cancel_at, expires_at, outcome, sizes, hash, error_code, error`

func scanServicePlan(row pgx.CollectableRow) (p safety.ServicePlan, err error) {
	var sid *uuid.UUID
	var kind, state, format string
	var document, selection, differences, notices, outcome, sizes []byte
	if err = row.Scan(&p.ID, &kind, &state, &sid, &p.Name, &p.Base, &p.Source, &format, &document, &selection, &differences, &notices, &p.Actor, &p.CreatedAt, &p.StartedAt, &p.SeenAt,
		&p.FinishedAt, &p.CancelAt, &p.ExpiresAt, &outcome, &sizes, &p.Hash, &p.ErrorCode, &p.Error); err != nil {
		return p, err
	}
	p.Kind, p.State, p.Format = safety.PlanKind(kind), safety.PlanState(state), service.Format(format)
	if sid != nil {
		p.Service = service.ID(*sid)
	}
	for _, part := range []struct {
		b  []byte
		to any
	}{{document, &p.Document}, {selection, &p.Selection}, {differences, &p.Differences}, {notices, &p.Notices}, {outcome, &p.Outcome}, {sizes, &p.Sizes}} {
		if part.b == nil {
			continue
		}
		if err := json.Unmarshal(part.b, part.to); err != nil {
			return p, fmt.Errorf("reading a plan: %w", err)
		}
	}
	return p, nil
}

func (t *Tx) servicePlan(ctx context.Context, where string, args ...any) (safety.ServicePlan, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+servicePlanColumns+` FROM service_plans WHERE tenant_id = current_tenant() AND `+where, args...)
	if err != nil {
		return safety.ServicePlan{}, unavailable(err)
	}
	p, err := pgx.CollectOneRow(rows, scanServicePlan)
	return p, notFound(err, "plan.not_found", "There is no such plan, or it is older than a day. Make a new one.")
}

// ServicePlan finds a plan that is not expired.
func (t *Tx) ServicePlan(ctx context.Context, id uuid.UUID) (safety.ServicePlan, error) {
	return t.servicePlan(ctx, `id = $1 AND expires_at > $2`, id, t.now)
}

// ServicePlanOf finds the latest ready plan with that hash.
func (t *Tx) ServicePlanOf(ctx context.Context, hash string) (safety.ServicePlan, error) {
	return t.servicePlan(ctx, `hash = $1 AND state = 'ready' AND expires_at > $2 ORDER BY id DESC LIMIT 1`, hash, t.now)
}

// ServicePlans lists plans newest first, without their outcome.
func (t *Tx) ServicePlans(ctx context.Context, name string, before uuid.UUID, limit int) ([]safety.ServicePlan, error) {
	if before == (uuid.UUID{}) {
		before = uuid.Max
	}
	rows, err := t.tx.Query(ctx, `SELECT id, kind, state, service_id, name, base, '', format, 'null'::jsonb, selection, '[]'::jsonb, '[]'::jsonb, actor, created_at, started_at, seen_at, finished_at,
  cancel_at, expires_at, NULL::jsonb, NULL::jsonb, hash, error_code, error FROM service_plans
WHERE tenant_id = current_tenant() AND ($1 = '' OR name = $1) AND id < $2 AND expires_at > $3 ORDER BY id DESC LIMIT $4`, name, before, t.now, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanServicePlan)
}

// BeginServicePlan moves a plan to running; false when it is over or gone.
func (t *Tx) BeginServicePlan(ctx context.Context, id uuid.UUID) (bool, error) {
	tag, err := t.tx.Exec(ctx, `UPDATE service_plans SET state = 'running', started_at = $2, seen_at = $2, outcome = NULL
WHERE tenant_id = current_tenant() AND id = $1 AND state IN ('queued', 'running') AND expires_at > $2`, id, t.now)
	return tag.RowsAffected() == 1, unavailable(err)
}

// NoteServicePlan writes what is known so far; false when the plan is to stop.
func (t *Tx) NoteServicePlan(ctx context.Context, id uuid.UUID, outcome *engine.Foreseen) (bool, error) {
	b, err := json.Marshal(outcome)
	if err != nil {
		return false, fmt.Errorf("writing a plan: %w", err)
	}
	var wanted bool
	err = t.tx.QueryRow(ctx, `UPDATE service_plans SET seen_at = $2, outcome = $3 WHERE tenant_id = current_tenant() AND id = $1 AND state = 'running' RETURNING cancel_at IS NULL`,
		id, t.now, string(b)).Scan(&wanted)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return wanted, unavailable(err)
}

// EndServicePlan writes how a plan ended.
func (t *Tx) EndServicePlan(ctx context.Context, p safety.ServicePlan) error {
	texts := make([]*string, 0, 3)
	for _, v := range []any{p.Outcome, p.Sizes, p.Selection} {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing a plan: %w", err)
		}
		s := string(b)
		texts = append(texts, &s)
	}
	_, err := t.tx.Exec(ctx, `UPDATE service_plans SET state = $2, finished_at = $3, outcome = $4, sizes = $5, selection = nullif($6::jsonb, 'null'), hash = $7, error_code = $8, error = $9
WHERE tenant_id = current_tenant() AND id = $1 AND state = 'running'`, p.ID, string(p.State), p.FinishedAt, texts[0], texts[1], texts[2], p.Hash, p.ErrorCode, p.Error)
	return unavailable(err)
}

// CancelServicePlan asks to stop a plan; one that is queued stops at once.
func (t *Tx) CancelServicePlan(ctx context.Context, id uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `UPDATE service_plans SET cancel_at = coalesce(cancel_at, $2), finished_at = CASE WHEN state = 'queued' THEN $2 END,
  state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE tenant_id = current_tenant() AND id = $1 AND state IN ('queued', 'running')`, id, t.now)
	return unavailable(err)
}

// ExpireServicePlans removes those that are expired, and what they kept.
func (t *Tx) ExpireServicePlans(ctx context.Context) error {
	b := &pgx.Batch{}
	for _, table := range []string{"service_plan_links", "service_plan_entities"} {
		b.Queue(`DELETE FROM `+table+` k WHERE k.tenant_id = current_tenant() AND NOT EXISTS (
  SELECT FROM service_plans p WHERE p.tenant_id = k.tenant_id AND p.id = k.plan_id AND p.state = 'running' AND p.expires_at > $1)`, t.now)
	}
	b.Queue(`DELETE FROM service_plans WHERE tenant_id = current_tenant() AND expires_at <= $1`, t.now)
	return t.send(ctx, b)
}

// ChangedSince counts the service's entities that changed since a time, up to a number.
func (t *Tx) ChangedSince(ctx context.Context, s service.ID, since time.Time, upTo int64) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM entities WHERE tenant_id = current_tenant() AND service_id = $1 AND changed_at > $2 LIMIT $3) c`,
		uuid.UUID(s), since, upTo).Scan(&n)
	return n, unavailable(err)
}
