// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ reconcile.Tx = (*Tx)(nil)

// EntitiesAfter lists a collection's entities that live, with their links.
func (t *Tx) EntitiesAfter(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) ([]*record.Entity, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id > $2 AND e.collection = $3
AND e.deleted_at IS NULL ORDER BY e.id LIMIT $4`, uuid.UUID(s), [16]byte(after), collection, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, unavailable(err)
	}
	byID := make(map[record.EntityID]*record.Entity, len(list))
	ids := make([]record.EntityID, len(list))
	for i, e := range list {
		byID[e.ID], ids[i] = e, e.ID
	}
	rows, err = t.tx.Query(ctx, `SELECT `+linkColumns+` FROM links l WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.entity_id = ANY($2)`, uuid.UUID(s), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		id, l, err := scanLink(rows)
		if err != nil {
			return nil, err
		}
		if e := byID[id]; e != nil {
			e.Links[l.System] = l
		}
	}
	return list, unavailable(rows.Err())
}

// AddReconciliation stores one that begins.
func (t *Tx) AddReconciliation(ctx context.Context, r reconcile.Reconciliation) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO reconciliations (tenant_id, id, service_id, state, scheduled, since, until, systems, tolerance, actor, asked_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, r.ID, uuid.UUID(r.Service), string(r.State), r.Scheduled, r.Since, r.Until, r.Systems, string(r.Tolerance), r.Actor, r.AskedAt)
	return unavailable(err)
}

// side is how a side of a discrepancy is stored.
type side struct {
	System string        `json:"system"`
	Key    string        `json:"key"`
	Value  record.Fields `json:"value,omitempty"` // one, under ""
}

// EndReconciliation stores what came out.
func (t *Tx) EndReconciliation(ctx context.Context, r reconcile.Reconciliation, found []reconcile.Finding) error {
	_, err := t.tx.Exec(ctx, `UPDATE reconciliations SET state = $2, finished_at = $3, matched = $4, unmatched = $5, discrepancies = $6, error = $7 WHERE tenant_id = current_tenant() AND id = $1`,
		r.ID, string(r.State), r.FinishedAt, r.Matched, r.Unmatched, r.Discrepancies, r.Error)
	if err != nil || len(found) == 0 {
		return unavailable(err)
	}
	n := len(found)
	ids, entities, others, at := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]*uuid.UUID, n), make([]any, n)
	var columns [8][]string // kind, collection, title, field, sides, missing, difference, amount
	for i, f := range found {
		ids[i], entities[i], at[i] = uuid.Must(uuid.NewV7()), uuid.UUID(f.Entity), f.Date
		if !f.Other.IsZero() {
			other := uuid.UUID(f.Other)
			others[i] = &other
		}
		kind := "difference"
		if f.Unmatched {
			kind = "unmatched"
		}
		sides := make([]side, len(f.Sides))
		for j, one := range f.Sides {
			sides[j] = side{System: string(one.System), Key: string(one.Key)}
			if !f.Unmatched {
				sides[j].Value = record.Fields{"": one.Value}
			}
		}
		sidesText, err := json.Marshal(sides)
		if err != nil {
			return err
		}
		missing, err := json.Marshal(append([]record.System{}, f.MissingIn...))
		if err != nil {
			return err
		}
		for c, v := range []string{kind, f.Collection, f.Title, f.Field, string(sidesText), string(missing), string(f.Difference), string(f.Amount)} {
			columns[c] = append(columns[c], v)
		}
	}
	_, err = t.tx.Exec(ctx, `INSERT INTO discrepancies (tenant_id, id, reconciliation_id, service_id, kind, entity_id, other_id, collection, title, field, sides, missing_in, difference, amount, at, state)
SELECT current_tenant(), u.id, $1, $2, u.kind, u.entity, u.other, u.collection, u.title, u.field, u.sides::jsonb, ARRAY(SELECT jsonb_array_elements_text(u.missing::jsonb)), u.difference, u.amount, u.at, 'open'
FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
  AS u(id, entity, other, at, kind, collection, title, field, sides, missing, difference, amount)`,
		r.ID, uuid.UUID(r.Service), ids, entities, others, at, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6], columns[7])
	return unavailable(err)
}

const reconciliationColumns = `id, service_id, state, scheduled, since, until, systems, tolerance, actor, asked_at, finished_at, matched, unmatched, discrepancies, error`

func scanReconciliation(row pgx.CollectableRow) (r reconcile.Reconciliation, err error) {
	var sid uuid.UUID
	var state, tolerance string
	err = row.Scan(&r.ID, &sid, &state, &r.Scheduled, &r.Since, &r.Until, &r.Systems, &tolerance, &r.Actor, &r.AskedAt, &r.FinishedAt, &r.Matched, &r.Unmatched, &r.Discrepancies, &r.Error)
	r.Service, r.State, r.Tolerance = service.ID(sid), reconcile.State(state), record.Number(tolerance)
	return r, err
}

func (t *Tx) reconciliations(ctx context.Context, where string, args ...any) ([]reconcile.Reconciliation, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+reconciliationColumns+` FROM reconciliations WHERE tenant_id = current_tenant() AND `+where, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanReconciliation)
	return list, unavailable(err)
}

// Reconciliation returns one, or the fault reconciliation.not_found.
func (t *Tx) Reconciliation(ctx context.Context, id uuid.UUID) (reconcile.Reconciliation, error) {
	list, err := t.reconciliations(ctx, `id = $1`, id)
	if err == nil && len(list) == 0 {
		return reconcile.Reconciliation{}, fault.New(fault.NotFound, "reconciliation.not_found", "There is no reconciliation with this id.")
	}
	if err != nil {
		return reconcile.Reconciliation{}, err
	}
	return list[0], nil
}

// Reconciliations lists those of a service, the newest first.
func (t *Tx) Reconciliations(ctx context.Context, s service.ID, before uuid.UUID, limit int) ([]reconcile.Reconciliation, error) {
	return t.reconciliations(ctx, `service_id = $1 AND ($2 = '00000000-0000-0000-0000-000000000000'::uuid OR id < $2) ORDER BY id DESC LIMIT $3`, uuid.UUID(s), before, limit)
}

// QueuedReconciliations lists those that wait for a worker; they are locked until the transaction ends.
func (t *Tx) QueuedReconciliations(ctx context.Context, s service.ID) ([]reconcile.Reconciliation, error) {
	return t.reconciliations(ctx, `service_id = $1 AND state = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED`, uuid.UUID(s))
}

// LastScheduled is the latest that the schedule brought about.
func (t *Tx) LastScheduled(ctx context.Context, s service.ID) (reconcile.Reconciliation, bool, error) {
	list, err := t.reconciliations(ctx, `service_id = $1 AND scheduled ORDER BY id DESC LIMIT 1`, uuid.UUID(s))
	if err != nil || len(list) == 0 {
		return reconcile.Reconciliation{}, false, err
	}
	return list[0], true, nil
}

const discrepancyColumns = `id, reconciliation_id, service_id, kind, entity_id, other_id, collection, title, field, sides, missing_in, difference, amount, at, state, resolution, adjustment, reason,
  assigned_to, decided_by, decided_at, version`

func scanDiscrepancy(row pgx.CollectableRow) (d reconcile.Discrepancy, err error) {
	var sid, entity uuid.UUID
	var other *uuid.UUID
	var kind, difference, amount, state, adjustment string
	var missing []string
	var sides []byte
	err = row.Scan(&d.ID, &d.Reconciliation, &sid, &kind, &entity, &other, &d.Collection, &d.Title, &d.Field, &sides, &missing, &difference, &amount, &d.Date, &state, &d.Resolution, &adjustment,
		&d.Reason, &d.AssignedTo, &d.DecidedBy, &d.DecidedAt, &d.Version)
	if err != nil {
		return d, err
	}
	d.Service, d.Unmatched, d.Entity, d.State = service.ID(sid), kind == "unmatched", record.EntityID(entity), reconcile.State(state)
	d.Difference, d.Amount, d.Adjustment = record.Number(difference), record.Number(amount), record.Number(adjustment)
	if other != nil {
		d.Other = record.EntityID(*other)
	}
	for _, s := range missing {
		d.MissingIn = append(d.MissingIn, record.System(s))
	}
	var list []side
	if err := json.Unmarshal(sides, &list); err != nil {
		return d, err
	}
	for _, s := range list {
		d.Sides = append(d.Sides, reconcile.Side{System: record.System(s.System), Key: record.Key(s.Key), Value: s.Value[""]})
	}
	return d, nil
}

// Discrepancies lists findings in the order of their ids.
func (t *Tx) Discrepancies(ctx context.Context, q reconcile.Query) ([]reconcile.Discrepancy, error) {
	kind := ""
	if q.Unmatched != nil {
		kind = "difference"
		if *q.Unmatched {
			kind = "unmatched"
		}
	}
	none := uuid.Nil
	rows, err := t.tx.Query(ctx, `SELECT `+discrepancyColumns+` FROM discrepancies WHERE tenant_id = current_tenant() AND ($1::uuid = $7::uuid OR service_id = $1) AND ($2::uuid = $7 OR reconciliation_id = $2)
AND ($3 = '' OR state = $3) AND ($4 = '' OR kind = $4) AND id > $5 ORDER BY id LIMIT $6`, uuid.UUID(q.Service), q.Reconciliation, string(q.State), kind, q.After, q.Limit, none)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanDiscrepancy)
	return list, unavailable(err)
}

// LockDiscrepancy returns one, locked, or the fault discrepancy.not_found.
func (t *Tx) LockDiscrepancy(ctx context.Context, id uuid.UUID) (reconcile.Discrepancy, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+discrepancyColumns+` FROM discrepancies WHERE tenant_id = current_tenant() AND id = $1 FOR UPDATE`, id)
	if err != nil {
		return reconcile.Discrepancy{}, unavailable(err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDiscrepancy)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, fault.New(fault.NotFound, "discrepancy.not_found", "There is no discrepancy with this id.")
	}
	return d, unavailable(err)
}

// DecideDiscrepancy writes what a person did about it.
func (t *Tx) DecideDiscrepancy(ctx context.Context, d reconcile.Discrepancy) error {
	_, err := t.tx.Exec(ctx, `UPDATE discrepancies SET state = $2, resolution = $3, adjustment = $4, reason = $5, assigned_to = $6, decided_by = $7, decided_at = $8, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1`, d.ID, string(d.State), d.Resolution, string(d.Adjustment), d.Reason, d.AssignedTo, d.DecidedBy, d.DecidedAt)
	return unavailable(err)
}
