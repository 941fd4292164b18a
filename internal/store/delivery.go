// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ delivery.Tx = (*Tx)(nil)

const deadLetterSQL = `SELECT d.id, d.service_id, s.name, d.direction, d.system, d.object, d.key, d.entity_id, d.op, d.code, d.message, d.payload, d.tries,
  d.state, d.first_at, d.last_at, d.decided_by, d.reason, d.version, d.field, d.rule, d.edit, d.edited_by
FROM dead_letters d JOIN services s ON s.tenant_id = d.tenant_id AND s.id = d.service_id WHERE d.tenant_id = current_tenant()`

func scanDeadLetter(row pgx.CollectableRow) (d delivery.DeadLetter, err error) {
	var sid uuid.UUID
	var entity *[16]byte
	var system, object, key, op, state string
	var payload, edit []byte
	if err = row.Scan(&d.ID, &sid, &d.ServiceName, &d.Direction, &system, &object, &key, &entity, &op, &d.Code, &d.Message, &payload, &d.Tries,
		&state, &d.FirstAt, &d.LastAt, &d.DecidedBy, &d.Reason, &d.Version, &d.Field, &d.Rule, &edit, &d.EditedBy); err != nil {
		return d, err
	}
	d.Service, d.System, d.Object, d.Key = service.ID(sid), record.System(system), record.Object(object), record.Key(key)
	d.Op, d.State = record.Op(op), delivery.State(state)
	if entity != nil {
		d.Entity = record.EntityID(*entity)
	}
	if payload != nil {
		if err = d.Payload.UnmarshalJSON(payload); err != nil {
			return d, err
		}
	}
	if edit != nil {
		err = d.Edit.UnmarshalJSON(edit)
	}
	return d, err
}

// DeadLetters lists dead letters, the newest first.
func (t *Tx) DeadLetters(ctx context.Context, q delivery.Query) ([]delivery.DeadLetter, error) {
	sql, args := deadLetterSQL, []any{}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Service != (service.ID{}) {
		and("d.service_id = $%d", uuid.UUID(q.Service))
	}
	if q.State != "" {
		and("d.state = $%d", string(q.State))
	}
	if q.System != "" {
		and("d.system = $%d", string(q.System))
	}
	if q.Code != "" {
		and("d.code = $%d", q.Code)
	}
	if q.Direction != "" {
		and("d.direction = $%d", q.Direction)
	}
	if !q.Entity.IsZero() {
		and("d.entity_id = $%d", uuid.UUID(q.Entity))
	}
	if q.Before != uuid.Nil {
		and("d.id < $%d", q.Before)
	}
	args = append(args, q.Limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY d.id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanDeadLetter)
}

// DeadLetterGroups returns open dead letters by cause; of all services for the zero id.
func (t *Tx) DeadLetterGroups(ctx context.Context, s service.ID) ([]delivery.Group, error) {
	rows, err := t.tx.Query(ctx, `SELECT d.service_id, s.name, d.direction, d.system, d.code, count(*), min(d.first_at), max(d.last_at), (array_agg(d.message ORDER BY d.last_at DESC))[1]
FROM dead_letters d JOIN services s ON s.tenant_id = d.tenant_id AND s.id = d.service_id
WHERE d.tenant_id = current_tenant() AND d.state = 'open' AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR d.service_id = $1)
GROUP BY d.service_id, s.name, d.direction, d.system, d.code ORDER BY count(*) DESC, d.code`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g delivery.Group, err error) {
		var sid uuid.UUID
		var system string
		err = row.Scan(&sid, &g.ServiceName, &g.Direction, &system, &g.Code, &g.Count, &g.FirstAt, &g.LastAt, &g.Message)
		g.Service, g.System = service.ID(sid), record.System(system)
		return g, err
	})
}

// LockDeadLetter returns one dead letter, locked.
func (t *Tx) LockDeadLetter(ctx context.Context, id uuid.UUID) (delivery.DeadLetter, error) {
	rows, err := t.tx.Query(ctx, deadLetterSQL+" AND d.id = $1 FOR UPDATE OF d", id)
	if err != nil {
		return delivery.DeadLetter{}, unavailable(err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDeadLetter)
	if err != nil {
		return d, notFound(err, "dead_letter.not_found", "There is no dead letter with that id.")
	}
	return d, nil
}

// SaveDeadLetter writes what a person decided.
func (t *Tx) SaveDeadLetter(ctx context.Context, d delivery.DeadLetter) error {
	_, err := t.tx.Exec(ctx, `UPDATE dead_letters SET state = $2, decided_by = $3, reason = $4, last_at = $5, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1`, d.ID, string(d.State), d.DecidedBy, d.Reason, d.LastAt)
	return unavailable(err)
}

// SaveEdit writes how a person corrected the record.
func (t *Tx) SaveEdit(ctx context.Context, d delivery.DeadLetter) error {
	_, err := t.tx.Exec(ctx, `UPDATE dead_letters SET edit = $2::jsonb, edited_by = $3, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1`, d.ID, fieldsText(d.Edit), d.EditedBy)
	return unavailable(err)
}

// OweAgain makes the delivery that an outward dead letter stands for.
func (t *Tx) OweAgain(ctx context.Context, d delivery.DeadLetter) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT current_tenant(), $1, $2, e.collection, e.id, $4, $4 FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = $3
ON CONFLICT (tenant_id, service_id, system, entity_id) DO UPDATE SET due_at = excluded.due_at`,
		uuid.UUID(d.Service), string(d.System), uuid.UUID(d.Entity), t.now)
	return unavailable(err)
}

// ofSelection are the open dead letters selected; its arguments are those of selected.
const ofSelection = ` FROM dead_letters WHERE tenant_id = current_tenant() AND state = 'open' AND ($1::uuid IS NULL OR service_id = $1)
AND ($2 = '' OR system = $2) AND ($3 = '' OR code = $3) AND ($4 = '' OR direction = $4)`

func selected(s delivery.Selection) []any {
	var in *uuid.UUID
	if s.Service != (service.ID{}) {
		in = (*uuid.UUID)(&s.Service)
	}
	return []any{in, string(s.System), s.Code, s.Direction}
}

// OpenOf lists the open dead letters selected, the oldest first.
func (t *Tx) OpenOf(ctx context.Context, s delivery.Selection, limit int) ([]uuid.UUID, error) {
	rows, err := t.tx.Query(ctx, `SELECT id`+ofSelection+` ORDER BY id LIMIT $5`, append(selected(s), limit)...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// CountOpenOf counts the open dead letters selected.
func (t *Tx) CountOpenOf(ctx context.Context, s delivery.Selection) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*)`+ofSelection, selected(s)...).Scan(&n)
	return n, unavailable(err)
}

// Redriven lists inward dead letters that are to be read again.
func (t *Tx) Redriven(ctx context.Context, s service.ID) ([]engine.Redrive, error) {
	rows, err := t.tx.Query(ctx, `SELECT id, system, object, key, op, payload, edit, edited_by FROM dead_letters
WHERE tenant_id = current_tenant() AND service_id = $1 AND state = 'redriven' AND direction = 'in' ORDER BY id LIMIT 500`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r engine.Redrive, err error) {
		var system, object, key, op string
		var payload, edit []byte
		if err = row.Scan(&r.ID, &system, &object, &key, &op, &payload, &edit, &r.By); err != nil {
			return r, err
		}
		r.System, r.Object, r.Key, r.Op = record.System(system), record.Object(object), record.Key(key), record.Op(op)
		if payload == nil {
			return r, nil
		}
		if err = r.Payload.UnmarshalJSON(payload); err == nil && edit != nil {
			err = r.Edit.UnmarshalJSON(edit)
		}
		return r, err
	})
}

// SettleRedriven closes dead letters that were read again; what failed again is open once more.
func (t *Tx) SettleRedriven(ctx context.Context, ids []uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `UPDATE dead_letters SET state = 'settled', last_at = $1, version = version + 1
WHERE tenant_id = current_tenant() AND state = 'redriven' AND id = ANY($2)`, t.now, ids)
	return unavailable(err)
}
