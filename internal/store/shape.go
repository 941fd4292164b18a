// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

const shapeChangeSQL = `SELECT c.id, c.service_id, s.name, c.system, c.object, c.field, c.name, c.kind, c.was, c.is_now, c.state, c.settled, c.quarantined, c.found_at, c.decided_at, c.decided_by, c.version
FROM schema_changes c JOIN services s ON s.tenant_id = c.tenant_id AND s.id = c.service_id WHERE c.tenant_id = current_tenant()`

func scanShapeChange(row pgx.CollectableRow) (c engine.ShapeChange, err error) {
	var sid uuid.UUID
	var system, object, kind, state string
	var was, is []byte
	if err = row.Scan(&c.ID, &sid, &c.ServiceName, &system, &object, &c.Field, &c.Name, &kind, &was, &is, &state, &c.Settled, &c.Quarantined, &c.FoundAt, &c.DecidedAt,
		&c.DecidedBy, &c.Version); err != nil {
		return c, err
	}
	c.Service, c.System, c.Object = service.ID(sid), record.System(system), record.Object(object)
	c.Kind, c.State = engine.ShapeKind(kind), engine.ShapeState(state)
	return c, errors.Join(json.Unmarshal(was, &c.Was), json.Unmarshal(is, &c.Is))
}

// Shapes reads the shapes that the service goes by, and the schema changes that are not settled.
func (t *Tx) Shapes(ctx context.Context, s service.ID) (shapes []engine.Shape, live []engine.ShapeChange, err error) {
	rows, err := t.tx.Query(ctx, `SELECT system, object, fields FROM object_shapes WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(s))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	shapes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s engine.Shape, err error) {
		var system, object string
		var fields []byte
		if err := row.Scan(&system, &object, &fields); err != nil {
			return s, err
		}
		s.System, s.Object = record.System(system), record.Object(object)
		return s, json.Unmarshal(fields, &s.Fields)
	})
	if err != nil {
		return nil, nil, unavailable(err)
	}
	rows, err = t.tx.Query(ctx, shapeChangeSQL+` AND c.service_id = $1 AND NOT c.settled ORDER BY c.id`, uuid.UUID(s))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	live, err = pgx.CollectRows(rows, scanShapeChange)
	return shapes, live, unavailable(err)
}

// SaveShapes passes the guard and writes what became of a service's schema.
func (t *Tx) SaveShapes(ctx context.Context, g engine.Guard, r engine.Reshaping) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	sid := uuid.UUID(g.Service)
	for _, s := range r.Shapes {
		fields, err := json.Marshal(s.Fields)
		if err != nil {
			return fmt.Errorf("writing a shape: %w", err)
		}
		if _, err := t.tx.Exec(ctx, `INSERT INTO object_shapes (tenant_id, service_id, system, object, fields) VALUES (current_tenant(), $1, $2, $3, $4)
ON CONFLICT (tenant_id, service_id, system, object) DO UPDATE SET fields = excluded.fields`, sid, string(s.System), string(s.Object), string(fields)); err != nil {
			return unavailable(err)
		}
	}
	for _, c := range r.Changes {
		c.Service = g.Service
		if err := t.SaveShapeChange(ctx, c); err != nil {
			return err
		}
	}
	for _, e := range r.Empty {
		if _, err := t.tx.Exec(ctx, `UPDATE links l SET behind = coalesce(l.behind, '{}') || jsonb_build_object($4::text, NULL), own_form = l.own_form - $4::text
FROM entities e WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.system = $2 AND l.object = $3
  AND e.tenant_id = l.tenant_id AND e.service_id = l.service_id AND e.id = l.entity_id AND e.fields -> $4::text <> 'null'`,
			sid, string(e.System), string(e.Object), e.Field); err != nil {
			return unavailable(err)
		}
	}
	for _, e := range r.Texts {
		if _, err := t.tx.Exec(ctx, `UPDATE links SET behind = behind || jsonb_build_object($4::text, behind ->> $4::text)
WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND jsonb_typeof(behind -> $4::text) IN ('number', 'boolean')`,
			sid, string(e.System), string(e.Object), e.Field); err != nil {
			return unavailable(err)
		}
	}
	for _, run := range r.Runs {
		if err := t.InsertRun(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// SaveShapeChange writes a schema change.
func (t *Tx) SaveShapeChange(ctx context.Context, c engine.ShapeChange) error {
	was, err := json.Marshal(c.Was)
	if err != nil {
		return fmt.Errorf("writing a schema change: %w", err)
	}
	is, err := json.Marshal(c.Is)
	if err != nil {
		return fmt.Errorf("writing a schema change: %w", err)
	}
	_, err = t.tx.Exec(ctx, `INSERT INTO schema_changes (tenant_id, id, service_id, system, object, field, name, kind, was, is_now, state, settled, quarantined, found_at, decided_at, decided_by, version)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, kind = excluded.kind, was = excluded.was, is_now = excluded.is_now, state = excluded.state, settled = excluded.settled,
  quarantined = excluded.quarantined, decided_at = excluded.decided_at, decided_by = excluded.decided_by, version = excluded.version`,
		c.ID, uuid.UUID(c.Service), string(c.System), string(c.Object), c.Field, c.Name, string(c.Kind), string(was), string(is), string(c.State), c.Settled, c.Quarantined,
		c.FoundAt, c.DecidedAt, clean(c.DecidedBy), c.Version)
	return unavailable(err)
}

// ShapeChanges lists a service's schema changes, the newest first.
func (t *Tx) ShapeChanges(ctx context.Context, q engine.ShapeQuery) ([]engine.ShapeChange, error) {
	rows, err := t.tx.Query(ctx, shapeChangeSQL+` AND c.service_id = $1 AND ($2 = '' OR c.state = $2) AND ($3::uuid = '00000000-0000-0000-0000-000000000000' OR c.id < $3)
ORDER BY c.id DESC LIMIT $4`, uuid.UUID(q.Service), string(q.State), q.Before, q.Limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanShapeChange)
	return list, unavailable(err)
}

// LockShapeChange reads a schema change for deciding about it.
func (t *Tx) LockShapeChange(ctx context.Context, id uuid.UUID) (engine.ShapeChange, error) {
	rows, err := t.tx.Query(ctx, shapeChangeSQL+` AND c.id = $1 FOR UPDATE OF c`, id)
	if err != nil {
		return engine.ShapeChange{}, unavailable(err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanShapeChange)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fault.New(fault.NotFound, "schema_change.not_found", "There is no such schema change.")
	}
	return c, unavailable(err)
}
