// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// one is the condition that a row belongs to the service asked for, or to any for the zero id.
const one = `($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1)`

// Overviews counts how services do: one grouped statement per subject, however many services there are.
func (t *Tx) Overviews(ctx context.Context, s service.ID, over engine.Span) (map[service.ID]engine.Overview, error) {
	found := map[service.ID]*engine.Overview{}
	of := func(id uuid.UUID) *engine.Overview {
		key := service.ID(id)
		if found[key] == nil {
			found[key] = &engine.Overview{Service: key}
		}
		return found[key]
	}
	each := func(sql string, scan func(pgx.Rows) error, args ...any) error {
		rows, err := t.tx.Query(ctx, sql, append([]any{uuid.UUID(s)}, args...)...)
		if err != nil {
			return unavailable(err)
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return unavailable(rows.Err())
	}
	var id uuid.UUID
	var n int64
	var at *time.Time
	count := func(into func(*engine.Overview)) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			err := rows.Scan(&id, &n, &at)
			if err == nil {
				into(of(id))
			}
			return err
		}
	}
	// The ledger knows the live entities without counting them one by one.
	err := each(`WITH `+summed+` SELECT service_id, sum(units)::bigint, NULL::timestamptz FROM summed WHERE meter = 'records' AND `+one+` GROUP BY 1`,
		count(func(o *engine.Overview) { o.Records = n }))
	if err != nil {
		return nil, err
	}
	err = each(`SELECT service_id, count(*), min(opened_at) FROM conflicts WHERE tenant_id = current_tenant() AND state = 'open' AND `+one+` GROUP BY 1`,
		count(func(o *engine.Overview) { o.Conflicts, o.OldestOpen = n, *at }))
	if err != nil {
		return nil, err
	}
	err = each(`SELECT service_id, count(*), min(first_at) FROM dead_letters WHERE tenant_id = current_tenant() AND state = 'open' AND `+one+` GROUP BY 1`,
		count(func(o *engine.Overview) { o.DeadLetters = n }))
	if err != nil {
		return nil, err
	}
	err = each(`SELECT service_id, sum(n)::bigint, min(since) FROM (
  SELECT service_id, count(*) AS n, min(since) AS since FROM deliveries WHERE tenant_id = current_tenant() AND `+one+` GROUP BY 1
  UNION ALL SELECT service_id, sum(cardinality(entity_ids)), min(since) FROM attempts WHERE tenant_id = current_tenant() AND `+one+` GROUP BY 1
) owed GROUP BY 1`, count(func(o *engine.Overview) { o.Owed, o.OwedSince = n, *at }))
	if err != nil {
		return nil, err
	}
	err = each(`SELECT service_id, system, phase, read_at, changed_at, failing_since, error_code, error FROM cursors WHERE tenant_id = current_tenant() AND `+one+` ORDER BY system, object`,
		func(rows pgx.Rows) error {
			var system, phase, code, text string
			var read, changed, since *time.Time
			if err := rows.Scan(&id, &system, &phase, &read, &changed, &since, &code, &text); err != nil {
				return err
			}
			o := of(id)
			o.Reading = o.Reading || phase == "snapshot"
			o.ReadAt, o.ChangedAt = later(o.ReadAt, read), later(o.ChangedAt, changed)
			if last := len(o.Failing) - 1; since != nil && (last < 0 || o.Failing[last].System != record.System(system)) {
				o.Failing = append(o.Failing, engine.Trouble{System: record.System(system), Code: code, Message: text, Since: *since})
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = each(`SELECT s.id, r.state, coalesce(r.finished_at, r.started_at, r.created_at), EXISTS (SELECT FROM runs o
  WHERE o.tenant_id = s.tenant_id AND o.service_id = s.id AND o.state IN ('queued', 'running'))
FROM services s, LATERAL (SELECT state, finished_at, started_at, created_at FROM runs r
  WHERE r.tenant_id = s.tenant_id AND r.service_id = s.id ORDER BY id DESC LIMIT 1) r
WHERE s.tenant_id = current_tenant() AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR s.id = $1)`,
		func(rows pgx.Rows) error {
			var state string
			var open bool
			if err := rows.Scan(&id, &state, &at, &open); err != nil {
				return err
			}
			o := of(id)
			o.LastRun, o.LastRunAt, o.RunOpen = service.RunState(state), *at, open
			return nil
		})
	if err != nil {
		return nil, err
	}
	if over.Step > 0 {
		err = each(`SELECT service_id, date_bin($2, minute, $3) AS at, sum(created + updated + deleted)::bigint, sum(rejected)::bigint,
  sum(lag_ms)::bigint, max(lag_max_ms), sum(lag_count)::bigint
FROM counters WHERE tenant_id = current_tenant() AND minute >= $3 AND `+one+` GROUP BY 1, 2 ORDER BY 1, 2`,
			func(rows pgx.Rows) error {
				var b engine.Bucket
				if err := rows.Scan(&id, &b.At, &b.Applied, &b.Rejected, &b.LagMs, &b.LagMax, &b.LagCount); err != nil {
					return err
				}
				of(id).Add(b)
				return nil
			}, over.Step, over.Since)
		if err != nil {
			return nil, err
		}
	}
	out := make(map[service.ID]engine.Overview, len(found))
	for key, o := range found {
		out[key] = *o
	}
	return out, nil
}

func later(a time.Time, b *time.Time) time.Time {
	if b != nil && b.After(a) {
		return *b
	}
	return a
}

// recently is how far Recents looks back: the journal is ordered by its ids, and a service that was quiet for longer must
// not have the whole of it searched.
const recently = time.Hour

// Recents lists the newest entries of the journal.
func (t *Tx) Recents(ctx context.Context, s service.ID, before uuid.UUID, limit int) ([]engine.Recent, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	rows, err := t.tx.Query(ctx, `SELECT j.id, j.at, j.kind, j.op, j.system, j.actor, j.cause, j.before, j.after, j.entity_id, j.service_id, s.name,
  coalesce(e.match_key, ''), e.fields,
  CASE WHEN j.kind = 'delivery' THEN coalesce(extract(epoch FROM j.at - (SELECT max(c.at) FROM journal c WHERE c.tenant_id = j.tenant_id AND c.service_id = j.service_id
    AND c.entity_id = j.entity_id AND c.id < j.id AND c.kind <> 'delivery')) * 1000, 0)::bigint ELSE 0 END,
  coalesce((SELECT max(l.state) FROM links l WHERE l.tenant_id = j.tenant_id AND l.service_id = j.service_id AND l.entity_id = j.entity_id AND l.state <> 'synced'), 'synced')
FROM (SELECT * FROM journal WHERE tenant_id = current_tenant() AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1)
  AND id < $2 AND id > $3 ORDER BY id DESC LIMIT $4) j
JOIN services s ON s.tenant_id = j.tenant_id AND s.id = j.service_id
LEFT JOIN entities e ON e.tenant_id = j.tenant_id AND e.service_id = j.service_id AND e.id = j.entity_id
ORDER BY j.id DESC`, uuid.UUID(s), before, firstID(t.now.Add(-recently)), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r engine.Recent, err error) {
		var kind, op, system, standing string
		var cause *uuid.UUID
		var was, is, fields []byte
		var entity, of uuid.UUID
		var lag int64
		if err = row.Scan(&r.ID, &r.At, &kind, &op, &system, &r.Actor, &cause, &was, &is, &entity, &of, &r.ServiceName, &r.MatchKey, &fields, &lag, &standing); err != nil {
			return r, err
		}
		r.Kind, r.Op, r.System, r.Entity, r.Service = record.JournalKind(kind), record.JournalOp(op), record.System(system), record.EntityID(entity), service.ID(of)
		r.Lag, r.Standing = time.Duration(lag)*time.Millisecond, record.LinkState(standing)
		if cause != nil {
			r.Cause = *cause
		}
		for into, body := range map[*record.Fields][]byte{&r.Before: was, &r.After: is, &r.Fields: fields} {
			if body == nil {
				continue
			}
			if err = into.UnmarshalJSON(body); err != nil {
				return r, err
			}
		}
		return r, nil
	})
}

// firstID is the smallest version 7 uuid of a moment.
func firstID(at time.Time) uuid.UUID {
	var id uuid.UUID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}
