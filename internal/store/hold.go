// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ safety.HoldTx = (*Tx)(nil)

// Braking reads the seat's tally and open holds.
func (t *Tx) Braking(ctx context.Context, g engine.Guard, seat *engine.Seat) (engine.Braking, error) {
	out := engine.Braking{Open: make(map[engine.HoldKind]bool), Told: make(map[engine.HoldKind]time.Time)}
	args := []any{uuid.UUID(g.Service), string(seat.System), string(seat.Object)}
	b := &pgx.Batch{}
	b.Queue(`SELECT since, run_id, deletes, changes, created, followed FROM brakes
WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3`, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var run *uuid.UUID
			if err := rows.Scan(&out.Tally.Since, &run, &out.Tally.Deletes, &out.Tally.Changes, &out.Tally.Created, &out.Tally.Followed); err != nil {
				return err
			}
			if run != nil {
				out.Tally.Run = *run
			}
		}
		return rows.Err()
	})
	// Locked, so that what is added to an open hold in this commit is added before anybody decides about it.
	b.Queue(`SELECT kind FROM holds WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND state = 'open' FOR SHARE`, args...).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var kind string
				if err := rows.Scan(&kind); err != nil {
					return err
				}
				out.Open[engine.HoldKind(kind)] = true
			}
			return rows.Err()
		})
	b.Queue(`SELECT kind, max(opened_at) FROM holds WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3
AND state = 'alerted' GROUP BY kind`, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var kind string
			var at time.Time
			if err := rows.Scan(&kind, &at); err != nil {
				return err
			}
			out.Told[engine.HoldKind(kind)] = at
		}
		return rows.Err()
	})
	return out, t.send(ctx, b)
}

// CountLinks counts the seat's links that are not frozen, up to a number: what a share is of, at a cost that does not grow
// with the table.
func (t *Tx) CountLinks(ctx context.Context, s service.ID, seat *engine.Seat, upTo int64) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3
AND state <> 'frozen' LIMIT $4) l`, uuid.UUID(s), string(seat.System), string(seat.Object), upTo).Scan(&n)
	return n, unavailable(err)
}

const holdColumns = `h.id, h.service_id, h.system, h.object, h.collection, h.kind, h.state, h.reason, h.opened_at, h.decided_at, h.decided_by, h.note, h.restore, h.version`

func scanHold(row pgx.CollectableRow, more ...any) (h engine.Hold, err error) {
	var sid uuid.UUID
	var system, object, kind, state string
	err = row.Scan(append([]any{&h.ID, &sid, &system, &object, &h.Collection, &kind, &state, &h.Reason, &h.OpenedAt, &h.DecidedAt, &h.DecidedBy, &h.Note, &h.Restore, &h.Version}, more...)...)
	h.Service, h.System, h.Object, h.Kind, h.State = service.ID(sid), record.System(system), record.Object(object), engine.HoldKind(kind), engine.HoldState(state)
	return h, err
}

// Holds lists the service's holds that are not settled.
func (t *Tx) Holds(ctx context.Context, s service.ID) ([]engine.Hold, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+holdColumns+`, CASE WHEN h.state = 'gathering'
    THEN (SELECT count(*) FROM held_changes c WHERE c.tenant_id = h.tenant_id AND c.hold_id = h.id)
    ELSE (SELECT count(*) FROM (SELECT FROM held_changes c WHERE c.tenant_id = h.tenant_id AND c.hold_id = h.id LIMIT 1) one) END
FROM holds h WHERE h.tenant_id = current_tenant() AND h.service_id = $1 AND h.state IN ('gathering', 'open', 'released', 'rejected') ORDER BY h.id`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (engine.Hold, error) {
		var n int64
		h, err := scanHold(row, &n)
		h.Held = n
		return h, err
	})
}

// HeldChanges returns the next changes of a hold, in the order of their keys.
func (t *Tx) HeldChanges(ctx context.Context, hold uuid.UUID, limit int) ([]record.Change, error) {
	rows, err := t.tx.Query(ctx, `SELECT key, op, absent, fields, record_version, at FROM held_changes
WHERE tenant_id = current_tenant() AND hold_id = $1 ORDER BY key LIMIT $2`, hold, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c record.Change, err error) {
		var key, op string
		var fields []byte
		var at *time.Time
		if err = row.Scan(&key, &op, &c.Absent, &fields, &c.Version, &at); err != nil {
			return c, err
		}
		c.Key, c.Op = record.Key(key), record.Op(op)
		if at != nil {
			c.At = *at
		}
		if fields != nil {
			err = c.Fields.UnmarshalJSON(fields)
		}
		return c, err
	})
}

// HeldOf says of which of the entities a change in the seat's system is held.
func (t *Tx) HeldOf(ctx context.Context, s service.ID, seat *engine.Seat, ids []record.EntityID) (map[record.EntityID]bool, error) {
	rows, err := t.tx.Query(ctx, `SELECT c.entity_id FROM held_changes c JOIN holds h ON h.tenant_id = c.tenant_id AND h.id = c.hold_id AND h.kind <> 'orphans'
WHERE c.tenant_id = current_tenant() AND c.service_id = $1 AND c.system = $2 AND c.object = $3 AND c.entity_id = ANY($4)`, uuid.UUID(s), string(seat.System), string(seat.Object), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.EntityID]bool)
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		out[record.EntityID(id)] = true
		return nil
	})
	return out, unavailable(err)
}

// SaveHold writes a hold's state and reason and, unless nil, the seat's tally.
func (t *Tx) SaveHold(ctx context.Context, g engine.Guard, h engine.Hold, tally *engine.Tally) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE holds SET state = $2, reason = $3, opened_at = $4, decided_at = $5, note = $6, version = version + 1 WHERE tenant_id = current_tenant() AND id = $1`,
		h.ID, string(h.State), h.Reason, h.OpenedAt, h.DecidedAt, h.Note)
	if tally != nil {
		queueTally(b, uuid.UUID(g.Service), h.System, h.Object, *tally)
	}
	return t.send(ctx, b)
}

func queueTally(b *pgx.Batch, sid uuid.UUID, system record.System, object record.Object, t engine.Tally) {
	var run *uuid.UUID
	if t.Run != uuid.Nil {
		run = &t.Run
	}
	b.Queue(`INSERT INTO brakes (tenant_id, service_id, system, object, since, run_id, deletes, changes, created, followed) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, service_id, system, object) DO UPDATE SET since = excluded.since, run_id = excluded.run_id, deletes = excluded.deletes,
  changes = excluded.changes, created = excluded.created, followed = excluded.followed`, sid, string(system), string(object), t.Since, run, t.Deletes, t.Changes, t.Created, t.Followed)
}

// queueUnheld removes what was held of the keys. What waited for it is due.
func queueUnheld(b *pgx.Batch, sid uuid.UUID, now time.Time, seat *engine.Seat, keys []record.Key) {
	if len(keys) == 0 {
		return
	}
	b.Queue(`WITH gone AS (
  DELETE FROM held_changes WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND key = ANY($4) RETURNING entity_id
), due AS (
  SELECT d.entity_id FROM deliveries d JOIN gone g ON g.entity_id = d.entity_id
  WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.system = $2 AND d.waits = 'hold' ORDER BY d.entity_id FOR UPDATE OF d
)
UPDATE deliveries d SET due_at = $5, waits = '' FROM due
WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.system = $2 AND d.entity_id = due.entity_id`,
		sid, string(seat.System), string(seat.Object), texts(keys), now)
}

// queueBraked writes what the brake counts and holds of a page. A record that was held already is held in its newer state.
func queueBraked(b *pgx.Batch, sid uuid.UUID, now time.Time, seat *engine.Seat, br *engine.Braked) {
	if br == nil {
		return
	}
	queueTally(b, sid, seat.System, seat.Object, br.Tally)
	for i := range br.Opened {
		h := &br.Opened[i]
		b.Queue(`INSERT INTO holds (tenant_id, id, service_id, system, object, collection, kind, state, reason, opened_at, decided_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, service_id, system, object, kind) WHERE state IN ('gathering', 'open') DO NOTHING`,
			h.ID, sid, string(h.System), string(h.Object), h.Collection, string(h.Kind), string(h.State), h.Reason, h.OpenedAt, h.DecidedAt)
	}
	if len(br.Held) == 0 {
		return
	}
	var keys, kinds, titles, ops, versions, whys []string
	var entities []*uuid.UUID
	var absent []bool
	var fields, before, after []*string
	var ats []*time.Time
	for i := range br.Held {
		h := &br.Held[i]
		keys, kinds, titles, ops = append(keys, string(h.Key)), append(kinds, string(h.Kind)), append(titles, h.Title), append(ops, string(h.Op))
		versions, whys, absent, fields = append(versions, h.Version), append(whys, h.Why), append(absent, h.Absent), append(fields, fieldsText(h.Fields))
		before, after = append(before, fieldsText(h.Before)), append(after, fieldsText(h.After))
		var entity *uuid.UUID
		if !h.Entity.IsZero() {
			id := uuid.UUID(h.Entity)
			entity = &id
		}
		entities = append(entities, entity)
		var at *time.Time
		if !h.At.IsZero() {
			at = &h.At
		}
		ats = append(ats, at)
	}
	b.Queue(`INSERT INTO held_changes (tenant_id, service_id, system, object, key, hold_id, entity_id, title, op, absent, fields, record_version, at, why, before, after, held_at)
SELECT current_tenant(), $1, $2, $3, u.key, h.id, u.entity_id, u.title, u.op, u.absent, u.fields::jsonb, u.version, u.at, u.why, u.before::jsonb, u.after::jsonb, $4
FROM unnest($5::text[], $6::text[], $7::uuid[], $8::text[], $9::text[], $10::boolean[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::text[], $16::text[])
  AS u(key, kind, entity_id, title, op, absent, fields, version, at, why, before, after)
JOIN holds h ON h.tenant_id = current_tenant() AND h.service_id = $1 AND h.system = $2 AND h.object = $3 AND h.kind = u.kind AND h.state IN ('gathering', 'open')
ON CONFLICT (tenant_id, service_id, system, object, key) DO UPDATE SET hold_id = excluded.hold_id, entity_id = excluded.entity_id, title = excluded.title,
  op = excluded.op, absent = excluded.absent, fields = excluded.fields, record_version = excluded.record_version, at = excluded.at, why = excluded.why, before = excluded.before,
  after = excluded.after, held_at = excluded.held_at`,
		sid, string(seat.System), string(seat.Object), now, keys, kinds, entities, titles, ops, absent, fields, versions, ats, whys, before, after).
		Exec(func(tag pgconn.CommandTag) error {
			if n := int(tag.RowsAffected()); n != len(keys) {
				return fmt.Errorf("%d changes were to be held and %d are", len(keys), n) // the rest would be lost (invariant 2)
			}
			return nil
		})
}

const heldSQL = `SELECT ` + holdColumns + `, s.name, h.total, (SELECT count(*) FROM held_changes c WHERE c.tenant_id = h.tenant_id AND c.hold_id = h.id)
FROM holds h JOIN services s ON s.tenant_id = h.tenant_id AND s.id = h.service_id WHERE h.tenant_id = current_tenant() AND h.state <> 'gathering' AND (h.decided_by <> '' OR h.state NOT IN ('released', 'settled'))`

func scanHeld(row pgx.CollectableRow) (h safety.Hold, err error) {
	var held int64
	h.Hold, err = scanHold(row, &h.ServiceName, &h.Total, &held)
	h.Held, h.Total = held, max(h.Total, held)
	return h, err
}

// HoldList lists holds, the newest first. Those that needed no person are not shown.
func (t *Tx) HoldList(ctx context.Context, q safety.HoldQuery) ([]safety.Hold, error) {
	sql, args := heldSQL, []any{}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Service != (service.ID{}) {
		and("h.service_id = $%d", uuid.UUID(q.Service))
	}
	if q.State != "" {
		and("h.state = $%d", string(q.State))
	}
	if q.Before != uuid.Nil {
		and("h.id < $%d", q.Before)
	}
	args = append(args, q.Limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY h.id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanHeld)
}

// LockHold returns one hold, locked.
func (t *Tx) LockHold(ctx context.Context, id uuid.UUID) (safety.Hold, error) {
	rows, err := t.tx.Query(ctx, heldSQL+" AND h.id = $1 FOR UPDATE OF h", id)
	if err != nil {
		return safety.Hold{}, unavailable(err)
	}
	h, err := pgx.CollectExactlyOneRow(rows, scanHeld)
	if err != nil {
		return h, notFound(err, "hold.not_found", "There is no hold with that id.")
	}
	return h, nil
}

// HeldList lists changes of a hold, in the order of their keys.
func (t *Tx) HeldList(ctx context.Context, hold uuid.UUID, after record.Key, limit int) ([]safety.HeldChange, error) {
	rows, err := t.tx.Query(ctx, `SELECT key, op, absent, entity_id, title, fields, at, why, before, after, held_at FROM held_changes
WHERE tenant_id = current_tenant() AND hold_id = $1 AND key > $2 ORDER BY key LIMIT $3`, hold, string(after), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c safety.HeldChange, err error) {
		var key, op string
		var entity *[16]byte
		var fields, before, was []byte
		if err = row.Scan(&key, &op, &c.Absent, &entity, &c.Title, &fields, &c.At, &c.Why, &before, &was, &c.HeldAt); err != nil {
			return c, err
		}
		c.Key, c.Op = record.Key(key), record.Op(op)
		if entity != nil {
			c.Entity = record.EntityID(*entity)
		}
		for _, v := range []struct {
			from []byte
			to   *record.Fields
		}{{fields, &c.Fields}, {before, &c.Before}, {was, &c.After}} {
			if v.from != nil {
				if err = v.to.UnmarshalJSON(v.from); err != nil {
					return c, err
				}
			}
		}
		return c, nil
	})
}

// DecideHold writes what a person decided. From now on the object's changes are counted anew.
func (t *Tx) DecideHold(ctx context.Context, h safety.Hold) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE holds SET state = $2, decided_at = $3, decided_by = $4, note = $5, restore = $6, total = $7, version = version + 1 WHERE tenant_id = current_tenant() AND id = $1`,
		h.ID, string(h.State), h.DecidedAt, h.DecidedBy, h.Note, h.Restore, h.Held)
	b.Queue(`UPDATE brakes SET since = $4, deletes = 0, changes = 0, created = 0, followed = 0 WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3`,
		uuid.UUID(h.Service), string(h.System), string(h.Object), t.now)
	return t.send(ctx, b)
}
