// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ engine.ReadTx = (*Tx)(nil)

// likePattern makes text match itself inside a LIKE pattern.
func likePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// Records lists entities of a service, the last changed first.
func (t *Tx) Records(ctx context.Context, s service.ID, q engine.RecordQuery) ([]*record.Entity, error) {
	where := []string{"e.tenant_id = current_tenant()", "e.service_id = $1"}
	args := []any{uuid.UUID(s)}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if !q.Deleted {
		where = append(where, "e.deleted_at IS NULL")
	}
	if q.Collection != "" {
		where = append(where, "e.collection = "+arg(q.Collection))
	}
	if !q.Parent.IsZero() {
		where = append(where, `EXISTS (SELECT FROM entity_references r WHERE r.tenant_id = e.tenant_id AND r.service_id = e.service_id AND r.parent_id = `+arg(uuid.UUID(q.Parent))+` AND r.entity_id = e.id)`)
	}
	if q.Search != "" {
		p := arg("%" + likePattern(q.Search) + "%")
		where = append(where, `(e.match_key ILIKE `+p+` OR e.fields::text ILIKE `+p+` OR EXISTS (SELECT FROM links k
  WHERE k.tenant_id = e.tenant_id AND k.service_id = e.service_id AND k.entity_id = e.id AND k.key ILIKE `+p+`))`)
	}
	if q.State != "" {
		frozen := `EXISTS (SELECT FROM record_freezes f WHERE f.tenant_id = e.tenant_id AND f.service_id = e.service_id AND f.entity_id = e.id)`
		or := ""
		if q.State == record.Frozen {
			or = frozen + " OR "
		}
		where = append(where, `(`+or+`EXISTS (SELECT FROM links k WHERE k.tenant_id = e.tenant_id AND k.service_id = e.service_id AND k.entity_id = e.id AND k.state = `+arg(string(q.State))+`))`)
	}
	if q.Before != nil {
		where = append(where, `(e.changed_at, e.id) < (`+arg(q.Before.ChangedAt)+`, `+arg(uuid.UUID(q.Before.ID))+`)`)
	}
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE `+strings.Join(where, " AND ")+
		` ORDER BY e.changed_at DESC, e.id DESC LIMIT `+arg(q.Limit), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, unavailable(err)
	}
	return list, t.linksOf(ctx, s, list)
}

func (t *Tx) linksOf(ctx context.Context, s service.ID, list []*record.Entity) error {
	byID := make(map[record.EntityID]*record.Entity, len(list))
	ids := make([]record.EntityID, len(list))
	for i, e := range list {
		byID[e.ID], ids[i] = e, e.ID
	}
	rows, err := t.tx.Query(ctx, `SELECT `+linkColumns+` FROM links l
WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.entity_id = ANY($2)`, uuid.UUID(s), uuids(ids))
	if err != nil {
		return unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		id, l, err := scanLink(rows)
		if err != nil {
			return err
		}
		if e := byID[id]; e != nil {
			e.Links[l.System] = l
		}
	}
	return unavailable(rows.Err())
}

// FindRecord finds an entity by its public id, by any system's key, or by its match key.
func (t *Tx) FindRecord(ctx context.Context, s service.ID, idOrKey string) (d engine.Detail, err error) {
	var id [16]byte
	if parsed, parseErr := ident.Parse(ident.Entity, idOrKey); parseErr == nil {
		id = parsed
	} else {
		err = t.tx.QueryRow(ctx, `SELECT entity_id FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND key = $2
UNION ALL SELECT id FROM entities WHERE tenant_id = current_tenant() AND service_id = $1 AND match_key = $2 AND deleted_at IS NULL LIMIT 1`, uuid.UUID(s), idOrKey).Scan(&id)
	}
	if err == nil {
		var rows pgx.Rows
		if rows, err = t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = $2`, uuid.UUID(s), id); err == nil {
			d.Entity, err = pgx.CollectExactlyOneRow(rows, scanEntity)
		}
	}
	if err != nil {
		return d, notFound(err, "record.not_found", "The service holds no record %q, neither by id nor by a system's key.", idOrKey)
	}
	if err := t.linksOf(ctx, s, []*record.Entity{d.Entity}); err != nil {
		return d, err
	}
	if d.Owed, d.Waiting, err = t.owedTo(ctx, s, d.ID); err != nil {
		return d, err
	}
	if d.IsFrozen() {
		if d.Freeze, err = t.freezeOf(ctx, s, d.ID); err != nil {
			return d, err
		}
	}
	if d.Reconciled, err = t.reconciledBy(ctx, s, d.ID); err != nil {
		return d, err
	}
	if d.Holds, err = t.heldOf(ctx, s, d.ID); err != nil {
		return d, err
	}
	for system, w := range d.Waiting {
		if w.Reason == "hold" {
			w.Hold = d.Holds[system]
			d.Waiting[system] = w
		}
	}
	d.Conflicts, err = t.openConflicts(ctx, s, d.ID)
	return d, err
}

// waitTexts say what a delivery waits for where its row does not.
var waitTexts = map[string]string{
	"hold":      "A change of the record in that system is held; a person decides.",
	"quiet":     "People may still be typing: it is sent once the record has rested.",
	"reference": "A record that it refers to is not there yet.",
}

// Outstanding says which systems lack what the lines of the history wrote.
func (t *Tx) Outstanding(ctx context.Context, s service.ID, of record.Span) ([]engine.Outstanding, error) {
	rows, err := t.tx.Query(ctx, `WITH act AS MATERIALIZED (
  SELECT e.id, e.collection, e.held FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id IN (
    SELECT entity_id FROM journal WHERE tenant_id = current_tenant() AND service_id = $1 AND id BETWEEN $2 AND $3 AND $6 IN ('', actor))
), lacking AS (
  SELECT a.id, a.collection, d.system, CASE WHEN d.waits = 'hold' THEN 'hold' WHEN $4 = ANY(a.held) THEN 'frozen' WHEN $5 = ANY(a.held) THEN 'approval' ELSE '' END AS blocked
  FROM act a JOIN deliveries d ON d.tenant_id = current_tenant() AND d.service_id = $1 AND d.entity_id = a.id
  UNION ALL SELECT a.id, a.collection, t.system, '' FROM attempts t, unnest(t.entity_ids) AS u(entity) JOIN act a ON a.id = u.entity WHERE t.tenant_id = current_tenant() AND t.service_id = $1
  UNION ALL SELECT a.id, a.collection, l.system, CASE l.state WHEN 'rejected' THEN 'rejected' WHEN 'conflict' THEN 'in-doubt' ELSE '' END
  FROM act a JOIN links l ON l.tenant_id = current_tenant() AND l.service_id = $1 AND l.entity_id = a.id WHERE l.state IN ('pending', 'rejected', 'conflict')
)
SELECT collection, system, count(DISTINCT id), max(blocked) FROM lacking GROUP BY collection, system ORDER BY 1, 2`, uuid.UUID(s), of.First, of.Last, record.Ice, record.Approval, of.Actor)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o engine.Outstanding, err error) {
		err = row.Scan(&o.Collection, (*string)(&o.System), &o.Records, &o.Blocked)
		return o, err
	})
	return list, unavailable(err)
}

func (t *Tx) owedTo(ctx context.Context, s service.ID, id record.EntityID) (map[record.System]time.Time, map[record.System]engine.Waiting, error) {
	rows, err := t.tx.Query(ctx, `SELECT system, since, waits, waits_why, waits_for, due_at FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = $2
UNION ALL SELECT system, started_at, '', '', NULL, started_at FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_ids @> ARRAY[$2]::uuid[]`, uuid.UUID(s), uuid.UUID(id))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	owed, waiting := make(map[record.System]time.Time), make(map[record.System]engine.Waiting)
	var system, waits, why string
	var since, until time.Time
	var other *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&system, &since, &waits, &why, &other, &until}, func() error {
		owed[record.System(system)] = since
		if waits == "" {
			return nil
		}
		w := engine.Waiting{Reason: waits, Why: cmp.Or(why, waitTexts[waits]), Until: until}
		if other != nil {
			w.For = record.EntityID(*other)
		}
		waiting[record.System(system)] = w
		return nil
	})
	return owed, waiting, unavailable(err)
}

// heldOf are the open holds that changes of the entity wait in, by the system that they came from.
func (t *Tx) heldOf(ctx context.Context, s service.ID, id record.EntityID) (map[record.System]uuid.UUID, error) {
	rows, err := t.tx.Query(ctx, `SELECT c.system, c.hold_id FROM held_changes c JOIN holds h ON h.tenant_id = c.tenant_id AND h.id = c.hold_id
WHERE c.tenant_id = current_tenant() AND c.service_id = $1 AND c.entity_id = $2 AND h.state = 'open'`, uuid.UUID(s), uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.System]uuid.UUID)
	var system string
	var hold uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&system, &hold}, func() error {
		out[record.System(system)] = hold
		return nil
	})
	return out, unavailable(err)
}

func (t *Tx) openConflicts(ctx context.Context, s service.ID, id record.EntityID) ([]*engine.Conflict, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+conflictColumns+` FROM conflicts c
WHERE c.tenant_id = current_tenant() AND c.service_id = $1 AND c.entity_id = $2 AND c.state = 'open' ORDER BY c.id`, uuid.UUID(s), uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanConflict)
}

// History lists the journal of an entity, the newest first.
func (t *Tx) History(ctx context.Context, s service.ID, id record.EntityID, before uuid.UUID, limit int) ([]record.Entry, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	rows, err := t.tx.Query(ctx, `SELECT id, at, kind, op, system, actor, cause, before, after FROM journal
WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4`, uuid.UUID(s), uuid.UUID(id), before, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e record.Entry, err error) {
		var kind, op, system string
		var cause *uuid.UUID
		var was, is []byte
		if err = row.Scan(&e.ID, &e.At, &kind, &op, &system, &e.Actor, &cause, &was, &is); err != nil {
			return e, err
		}
		e.Entity, e.Kind, e.Op, e.System = id, record.JournalKind(kind), record.JournalOp(op), record.System(system)
		if cause != nil {
			e.Cause = *cause
		}
		if was != nil {
			if err = e.Before.UnmarshalJSON(was); err != nil {
				return e, err
			}
		}
		if is != nil {
			err = e.After.UnmarshalJSON(is)
		}
		return e, err
	})
}

// Statuses tells how each system of a service does.
func (t *Tx) Statuses(ctx context.Context, s service.ID) ([]engine.SystemStatus, error) {
	bySystem := make(map[record.System]*engine.SystemStatus)
	var order []record.System
	of := func(system string) *engine.SystemStatus {
		key := record.System(system)
		if bySystem[key] == nil {
			bySystem[key] = &engine.SystemStatus{System: key, Links: make(map[record.LinkState]int64)}
			order = append(order, key)
		}
		return bySystem[key]
	}
	rows, err := t.tx.Query(ctx, `SELECT c.system, c.object, c.phase, c.done, c.total, c.detection, c.detection_why, c.read_at, c.changed_at, c.failing_since, c.error_code, c.error,
  coalesce(CASE WHEN s.state = 'active' THEN c.look_every_ms END, 0), CASE WHEN s.state = 'active' THEN greatest(c.next_look_at, $2) END
FROM cursors c JOIN services s ON s.tenant_id = c.tenant_id AND s.id = c.service_id
WHERE c.tenant_id = current_tenant() AND c.service_id = $1 ORDER BY c.system, c.object`, uuid.UUID(s), t.now)
	if err != nil {
		return nil, unavailable(err)
	}
	for rows.Next() {
		var f engine.Flow
		var system, object, phase string
		var every int64
		if err := rows.Scan(&system, &object, &phase, &f.Done, &f.Total, &f.Detection, &f.Why, &f.ReadAt, &f.ChangedAt, &f.FailingSince, &f.ErrorCode, &f.Error, &every, &f.NextLookAt); err != nil {
			rows.Close()
			return nil, err
		}
		f.LookEvery = time.Duration(every) * time.Millisecond
		if every == 0 {
			f.NextLookAt = nil
		}
		f.System, f.Object, f.Phase = record.System(system), record.Object(object), connector.Phase(phase)
		st := of(system)
		st.Flows = append(st.Flows, f)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	rows, err = t.tx.Query(ctx, `SELECT system, state, count(*) FROM links WHERE tenant_id = current_tenant() AND service_id = $1 GROUP BY system, state`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	for rows.Next() {
		var system, state string
		var n int64
		if err := rows.Scan(&system, &state, &n); err != nil {
			rows.Close()
			return nil, err
		}
		of(system).Links[record.LinkState(state)] = n
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	rows, err = t.tx.Query(ctx, `SELECT system, sum(n), min(since) FROM (
  SELECT system, count(*) AS n, min(since) AS since FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 GROUP BY system
  UNION ALL SELECT system, sum(cardinality(entity_ids)), min(since) FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 GROUP BY system
) owed GROUP BY system`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	for rows.Next() {
		var system string
		var n int64
		var since time.Time
		if err := rows.Scan(&system, &n, &since); err != nil {
			rows.Close()
			return nil, err
		}
		st := of(system)
		st.Owed, st.OwedAge = n, max(0, t.now.Sub(since))
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	out := make([]engine.SystemStatus, 0, len(order))
	for _, system := range order {
		out = append(out, *bySystem[system])
	}
	return out, nil
}

// Minutes returns the work per system and minute in [from, to); of all services for the zero id.
func (t *Tx) Minutes(ctx context.Context, s service.ID, from, to time.Time) ([]engine.Minute, error) {
	rows, err := t.tx.Query(ctx, `SELECT minute, system, sum(read)::bigint, sum(equal)::bigint, sum(created)::bigint, sum(updated)::bigint, sum(deleted)::bigint,
  sum(conflicts)::bigint, sum(rejected)::bigint, sum(lag_ms)::bigint, max(lag_max_ms), sum(lag_count)::bigint, sum(bytes)::bigint
FROM counters WHERE tenant_id = current_tenant() AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1) AND minute >= $2 AND minute < $3
GROUP BY minute, system ORDER BY minute, system`, uuid.UUID(s), from, to)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m engine.Minute, err error) {
		var system string
		err = row.Scan(&m.At, &system, &m.Read, &m.Equal, &m.Created, &m.Updated, &m.Deleted, &m.Conflicts, &m.Rejected, &m.LagMs, &m.LagMaxMs, &m.LagCount, &m.Bytes)
		m.System = record.System(system)
		return m, err
	})
}

const caseSQL = `SELECT ` + conflictColumns + `, c.service_id, s.name, coalesce(e.match_key, '') FROM conflicts c
JOIN services s ON s.tenant_id = c.tenant_id AND s.id = c.service_id
LEFT JOIN entities e ON e.tenant_id = c.tenant_id AND e.service_id = c.service_id AND e.id = c.entity_id
WHERE c.tenant_id = current_tenant()`

// Cases lists conflicts, the newest first.
func (t *Tx) Cases(ctx context.Context, q engine.CaseQuery) ([]engine.Case, error) {
	sql, args := caseSQL, []any{}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Service != (service.ID{}) {
		and("c.service_id = $%d", uuid.UUID(q.Service))
	}
	if !q.Entity.IsZero() {
		and("c.entity_id = $%d", uuid.UUID(q.Entity))
	}
	if q.Open != nil {
		state := "resolved"
		if *q.Open {
			state = "open"
		}
		and("c.state = $%d", state)
	}
	if q.Field != "" {
		and("c.field = $%d", q.Field)
	}
	if !q.Since.IsZero() {
		and("c.opened_at >= $%d", q.Since)
	}
	if !q.Until.IsZero() {
		and("c.opened_at < $%d", q.Until)
	}
	if q.Before != uuid.Nil {
		and("c.id < $%d", q.Before)
	}
	args = append(args, q.Limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY c.id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanCase)
}

// Case returns one conflict.
func (t *Tx) Case(ctx context.Context, id uuid.UUID) (engine.Case, error) {
	rows, err := t.tx.Query(ctx, caseSQL+" AND c.id = $1", id)
	if err != nil {
		return engine.Case{}, unavailable(err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCase)
	if err != nil {
		return c, notFound(err, "conflict.not_found", "There is no conflict with that id.")
	}
	return c, nil
}

func scanCase(row pgx.CollectableRow) (engine.Case, error) {
	var c engine.Case
	var sid uuid.UUID
	var name, title string
	// The conflict's own columns come first; the rest is scanned by a row that skips them.
	conflict, err := scanConflict(extraColumns{row, []any{&sid, &name, &title}})
	c.Conflict, c.Service, c.ServiceName, c.Title = conflict, service.ID(sid), name, title
	return c, err
}

// extraColumns lets a scan function read its own columns of a row that has more behind them.
type extraColumns struct {
	pgx.CollectableRow
	more []any
}

func (r extraColumns) Scan(dest ...any) error {
	return r.CollectableRow.Scan(append(dest, r.more...)...)
}

// CountOpen counts open conflicts and dead letters; of all services for the zero id.
func (t *Tx) CountOpen(ctx context.Context, s service.ID) (conflicts, dead int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT
  (SELECT count(*) FROM conflicts WHERE tenant_id = current_tenant() AND state = 'open' AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1)),
  (SELECT count(*) FROM dead_letters WHERE tenant_id = current_tenant() AND state = 'open' AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1))`,
		uuid.UUID(s)).Scan(&conflicts, &dead)
	return conflicts, dead, unavailable(err)
}

var _ engine.DecideTx = (*Tx)(nil)

// LockEntity loads an entity with its links, and its open conflicts, for changing them.
func (t *Tx) LockEntity(ctx context.Context, s service.ID, id record.EntityID) (*record.Entity, []*engine.Conflict, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e
WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = $2 FOR UPDATE`, uuid.UUID(s), uuid.UUID(id))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanEntity)
	if err != nil {
		return nil, nil, notFound(err, "record.not_found", "The record does not exist any more.")
	}
	if err := t.linksOf(ctx, s, []*record.Entity{e}); err != nil {
		return nil, nil, err
	}
	open, err := t.openConflicts(ctx, s, id)
	return e, open, err
}

// SaveDecided writes what a decision changed.
func (t *Tx) SaveDecided(ctx context.Context, s service.ID, e *record.Entity, conflicts []*engine.Conflict, entry record.Entry, systems []string) error {
	b := &pgx.Batch{}
	sid := uuid.UUID(s)
	queueChangedEntities(b, sid, []*record.Entity{e})
	queueReferences(b, sid, []*record.Entity{e}, true)
	var links []engine.LinkRow
	for _, l := range e.Links {
		links = append(links, engine.LinkRow{Entity: e.ID, Link: l})
	}
	queueLinks(b, sid, links)
	queueJournal(b, sid, []record.Entry{entry})
	if err := queueConflicts(b, sid, conflicts); err != nil {
		return err
	}
	for _, system := range systems {
		queueDeliveries(b, sid, record.System(system), e.Collection, []record.EntityID{e.ID}, t.now, t.now)
	}
	return t.send(ctx, b)
}
