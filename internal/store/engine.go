// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ engine.Tx = (*Tx)(nil)

// The engine's statements are set-based and travel in one pgx batch per step, so they are written here rather than
// generated: a page of any size costs the same number of round trips.

// byKeySQL makes the transaction's plans go key by key. All that the engine asks for are lists of keys; the planner, which
// counts each as a visit to a disk and believes that a service it has no statistics of is small, would rather read all of a
// service and pick. Lists are joined by LATERAL with OFFSET 0 for the same reason: of "= ANY (list)" it makes a filter.
const byKeySQL = `SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true),
  set_config('enable_seqscan', 'off', true), set_config('enable_material', 'off', true)`

// fewKeysSQL does the same for a page of few records, most of whose time would be the making of plans: the connection's are kept, once
// the tables are large and have statistics, which tell their indexes apart. One made before would be kept while they grow.
const fewKeysSQL = byKeySQL + `, set_config('plan_cache_mode',
  CASE WHEN (SELECT relpages >= 100 FROM pg_class WHERE oid = 'links'::regclass) THEN 'force_generic_plan' ELSE 'force_custom_plan' END, true)`

// fewKeys is the most records of a page whose plans are kept.
const fewKeys = 50

// byKey is the statement that makes the plans of a transaction about so many records go key by key.
func byKey(records int) string {
	if 0 < records && records <= fewKeys {
		return fewKeysSQL
	}
	return byKeySQL
}

// The entities and links of a list of ids, one look into the primary key each. The list is sorted, so that entities are
// locked in the order of their ids. Parameters: 1 the service, 2 the ids.
const (
	entitiesByID = `SELECT ` + entityColumns + ` FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT e.*, e.xmin, e.ctid FROM entities e WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = w.id OFFSET 0) e`
	entitiesLocked = `SELECT ` + entityColumns + ` FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT e.*, e.xmin, e.ctid FROM entities e WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = w.id FOR UPDATE) e`
	linksByID = `SELECT ` + linkColumns + ` FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT l.*, l.xmin, l.ctid FROM links l WHERE l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = w.id OFFSET 0) l`
)

// guardSeenSQL is the guard where nothing is written.
const guardSeenSQL = `
SELECT l.fence, s.revision, s.state FROM leases l
JOIN services s ON s.tenant_id = l.tenant_id AND s.id = l.service_id
WHERE l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1`

const guardSQL = guardSeenSQL + ` FOR SHARE OF l`

func guard(row pgx.Row, g engine.Guard) error {
	var fence int64
	var revision int
	var state string
	if err := row.Scan(&fence, &revision, &state); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return engine.ErrFenced
		}
		return err
	}
	switch {
	case fence != g.Fence:
		return engine.ErrFenced
	case state != "active":
		return engine.ErrPaused
	case revision != g.Revision:
		return engine.ErrRevised
	}
	return nil
}

// Guard locks the lease and says whether the flow may still write.
func (t *Tx) Guard(ctx context.Context, g engine.Guard) error {
	return guard(t.tx.QueryRow(ctx, guardSQL, uuid.UUID(g.Service)), g)
}

// frozenSQL looks at the ids only where anything of the service is frozen. Parameters: 1 the service, 2 the ids.
const frozenSQL = `SELECT EXISTS (SELECT FROM record_freezes WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1)
  AND EXISTS (SELECT FROM record_freezes WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND entity_id = ANY($2))`

// Frozen passes the guard and says whether any of the entities is frozen. It locks nothing: the lock would be over before the write that
// is asked for, and its commit would wait for the disk.
func (t *Tx) Frozen(ctx context.Context, g engine.Guard, ids []record.EntityID) (frozen bool, err error) {
	b := &pgx.Batch{}
	b.Queue(byKey(len(ids)))
	b.Queue(guardSeenSQL, uuid.UUID(g.Service))
	b.Queue(frozenSQL, uuid.UUID(g.Service), uuids(ids))
	results := t.tx.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = unavailable(closeErr)
		}
	}()
	if _, err := results.Exec(); err != nil {
		return false, unavailable(err)
	}
	if err := guard(results.QueryRow(), g); err != nil {
		return false, err
	}
	return frozen, unavailable(results.QueryRow().Scan(&frozen))
}

const entityColumns = `e.id, e.collection, e.match_key, e.fields, e.stamps, e.held, e.origin, e.version, e.created_at, e.changed_at, e.deleted_at, e.xmin, e.ctid`

// hitSQL finds the entities that a page's records may belong to: by link, and where there is none by the match key. A deleted
// one counts while some system holds a copy. Each key is looked up in the full index: with a list of keys, and no statistics
// yet, the planner takes the index of the whole service and filters.
const hitSQL = `
SELECT w.match, l.id FROM unnest($4::text[], $6::text[]) AS w(key, match) LEFT JOIN LATERAL (
  SELECT entity_id AS id FROM links
  WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND system = $2 AND object = $3 AND key = w.key OFFSET 0
) l ON true`

const matchSQL = `
SELECT e.id FROM hit, LATERAL (
  SELECT m.id FROM entities m
  WHERE m.tenant_id = (SELECT current_tenant()) AND m.service_id = $1 AND m.collection = $5 AND m.match_key = hit.match
    AND (m.deleted_at IS NULL OR EXISTS (SELECT FROM links k WHERE k.tenant_id = m.tenant_id AND k.service_id = m.service_id AND k.entity_id = m.id))
  OFFSET 0
) e WHERE hit.id IS NULL AND hit.match <> ''`

const linkColumns = `l.entity_id, l.system, l.object, l.key, l.state, l.behind, l.own_form, l.version, l.synced_at, l.xmin, l.ctid`

const conflictColumns = `c.id, c.entity_id, c.collection, c.field, c.base, c.sides, c.state, c.strategy, c.winner, c.result, c.reason, c.decided_by, c.opened_at, c.resolved_at, c.version`

// Load passes the guard and loads and locks the entities that the keys may belong to. The links are read by a statement of
// its own after the locks are held, so that it sees what a settling commit wrote that held them before.
func (t *Tx) Load(ctx context.Context, g engine.Guard, seat *engine.Seat, keys []record.Key, matchKeys []string) (out engine.Loaded, err error) {
	b := &pgx.Batch{}
	b.Queue(byKey(len(keys)))
	b.Queue(guardSQL, uuid.UUID(g.Service))
	if len(keys) > 0 {
		b.Queue(`WITH hit AS MATERIALIZED (`+hitSQL+`), w AS MATERIALIZED (SELECT id FROM hit WHERE id IS NOT NULL UNION `+matchSQL+` ORDER BY id)
SELECT `+entityColumns+` FROM w, LATERAL (
  SELECT e.*, e.xmin, e.ctid FROM entities e WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = w.id FOR UPDATE) e`,
			uuid.UUID(g.Service), string(seat.System), string(seat.Object), texts(keys), seat.Collection.Name, matchKeys)
	}
	if out.Entities, err = t.guarded(ctx, b, g); err != nil || len(out.Entities) == 0 {
		return out, err
	}
	ids := make([][16]byte, len(out.Entities))
	byID := make(map[record.EntityID]*record.Entity, len(out.Entities))
	for i, e := range out.Entities {
		ids[i], byID[e.ID] = e.ID, e
	}
	b = &pgx.Batch{}
	b.Queue(linksByID, uuid.UUID(g.Service), idsOf(ids))
	b.Queue(`SELECT `+conflictColumns+` FROM conflicts c
WHERE c.tenant_id = (SELECT current_tenant()) AND c.service_id = $1 AND c.state = 'open' AND c.entity_id = ANY($2)`, uuid.UUID(g.Service), idsOf(ids))
	results := t.tx.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = unavailable(closeErr)
		}
	}()
	if err := linksInto(results, byID); err != nil {
		return out, err
	}
	rows, err := results.Query()
	if err != nil {
		return out, unavailable(err)
	}
	out.Conflicts, err = pgx.CollectRows(rows, scanConflict)
	return out, err
}

// guarded sends a batch that begins with byKey and guardSQL, and reads the entities that a third statement selects.
func (t *Tx) guarded(ctx context.Context, b *pgx.Batch, g engine.Guard) (list []*record.Entity, err error) {
	results := t.tx.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = unavailable(closeErr)
		}
	}()
	if _, err := results.Exec(); err != nil {
		return nil, unavailable(err)
	}
	if err := guard(results.QueryRow(), g); err != nil || b.Len() == 2 {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, unavailable(err)
	}
	if list, err = pgx.CollectRows(rows, scanEntity); err != nil {
		return nil, fmt.Errorf("loading entities: %w", err)
	}
	return list, nil
}

// linksInto reads links into their entities.
func linksInto(results pgx.BatchResults, byID map[record.EntityID]*record.Entity) error {
	rows, err := results.Query()
	if err != nil {
		return unavailable(err)
	}
	for rows.Next() {
		id, l, err := scanLink(rows)
		if err != nil {
			rows.Close()
			return fmt.Errorf("loading links: %w", err)
		}
		if e := byID[id]; e != nil {
			e.Links[l.System] = l
		}
	}
	return unavailable(rows.Err())
}

// LoadEntities passes the guard and loads the entities with their links.
func (t *Tx) LoadEntities(ctx context.Context, g engine.Guard, ids []record.EntityID, lock bool) (list []*record.Entity, err error) {
	sql := entitiesByID
	if lock {
		sql = entitiesLocked
	}
	ids = slices.SortedFunc(slices.Values(ids), func(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) })
	b := &pgx.Batch{}
	b.Queue(byKey(len(ids)))
	b.Queue(guardSQL, uuid.UUID(g.Service))
	b.Queue(sql, uuid.UUID(g.Service), uuids(ids))
	b.Queue(linksByID, uuid.UUID(g.Service), uuids(ids))
	results := t.tx.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = unavailable(closeErr)
		}
	}()
	if _, err := results.Exec(); err != nil {
		return nil, unavailable(err)
	}
	if err := guard(results.QueryRow(), g); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, unavailable(err)
	}
	if list, err = pgx.CollectRows(rows, scanEntity); err != nil {
		return nil, fmt.Errorf("loading entities: %w", err)
	}
	byID := make(map[record.EntityID]*record.Entity, len(list))
	for _, e := range list {
		byID[e.ID] = e
	}
	return list, linksInto(results, byID)
}

func scanEntity(row pgx.CollectableRow) (*record.Entity, error) {
	e := &record.Entity{Links: make(map[record.System]*record.Link, 2)}
	var id [16]byte
	var match *string
	var fields, stamps []byte
	var origin string
	var written uint32
	var at pgtype.TID
	if err := row.Scan(&id, &e.Collection, &match, &fields, &stamps, &e.Held, &origin, &e.Version, &e.CreatedAt, &e.ChangedAt, &e.DeletedAt, &written, &at); err != nil {
		return nil, err
	}
	e.ID, e.Origin, e.Row, e.Place = record.EntityID(id), record.System(origin), uint64(written), place(at)
	if match != nil {
		e.MatchKey = *match
	}
	if err := e.Fields.UnmarshalJSON(fields); err != nil {
		return nil, err
	}
	if stamps != nil {
		if err := json.Unmarshal(stamps, &e.Stamps); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func scanLink(row pgx.Row) (record.EntityID, *record.Link, error) {
	l := &record.Link{}
	var id [16]byte
	var system, object, key, state string
	var behind, own []byte
	var written uint32
	var at pgtype.TID
	if err := row.Scan(&id, &system, &object, &key, &state, &behind, &own, &l.Version, &l.SyncedAt, &written, &at); err != nil {
		return record.EntityID{}, nil, err
	}
	l.System, l.Object, l.Key, l.State = record.System(system), record.Object(object), record.Key(key), record.LinkState(state)
	l.Row, l.Place = uint64(written), place(at)
	if behind != nil {
		if err := l.Behind.UnmarshalJSON(behind); err != nil {
			return record.EntityID{}, nil, err
		}
	}
	if own != nil {
		if err := l.OwnForm.UnmarshalJSON(own); err != nil {
			return record.EntityID{}, nil, err
		}
	}
	return record.EntityID(id), l, nil
}

// Moved locks the entities and compares who wrote their rows. The links are read by a statement of its own after the locks
// are held, as in Load. A row that is not at its place any more was written since.
func (t *Tx) Moved(ctx context.Context, g engine.Guard, seat *engine.Seat, entities []*record.Entity) (moved []record.EntityID, err error) {
	sid := uuid.UUID(g.Service)
	byID := make(map[[16]byte]*record.Entity, len(entities))
	sorted := slices.SortedFunc(slices.Values(entities), func(a, b *record.Entity) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	ids, places := idArray(len(entities)), placeArray(len(entities))
	linked, linksAt, other := idArray(len(entities)), placeArray(len(entities)), idArray(0)
	located := true // every entity, or else all are locked by their ids: locks are taken in one order
	for _, e := range sorted {
		byID[e.ID] = e
		ids.id(e.ID)
		places.place(e.Place)
		located = located && e.Place != 0
		if l := e.Links[seat.System]; l != nil && l.Place != 0 {
			linked.id(e.ID)
			linksAt.place(l.Place)
		} else {
			other.id(e.ID)
		}
	}
	b := &pgx.Batch{}
	b.Queue(byKey(len(entities)))
	b.Queue(guardSQL, sid)
	if located {
		b.Queue(`SELECT e.id, e.xmin FROM unnest($2::uuid[], $3::tid[]) AS w(id, at), LATERAL (
  SELECT e.id, e.xmin FROM entities e WHERE e.ctid = w.at AND e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = w.id FOR UPDATE) e`, sid, ids, places)
	} else {
		b.Queue(`SELECT e.id, e.xmin FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT e.id, e.xmin FROM entities e WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = w.id FOR UPDATE) e`, sid, ids)
	}
	b.Queue(`SELECT l.entity_id, l.xmin FROM unnest($2::uuid[], $3::tid[]) AS w(id, at), LATERAL (
  SELECT l.entity_id, l.xmin FROM links l WHERE l.ctid = w.at AND l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = w.id AND l.system = $4 OFFSET 0) l`,
		sid, linked, linksAt, string(seat.System))
	b.Queue(`SELECT l.entity_id, l.xmin FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT l.entity_id, l.xmin FROM links l WHERE l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = w.id AND l.system = $3 OFFSET 0) l`,
		sid, other, string(seat.System))
	results := t.tx.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = unavailable(closeErr)
		}
	}()
	if _, err := results.Exec(); err != nil {
		return nil, unavailable(err)
	}
	if err := guard(results.QueryRow(), g); err != nil {
		return nil, err
	}
	same, links := make(map[[16]byte]bool, len(entities)), make(map[[16]byte]uint32, len(entities))
	ofLink := func(id [16]byte, written uint32) { links[id] = written }
	for _, row := range []func(id [16]byte, written uint32){
		func(id [16]byte, written uint32) { same[id] = uint64(written) == byID[id].Row },
		ofLink, ofLink,
	} {
		rows, err := results.Query()
		if err != nil {
			return nil, unavailable(err)
		}
		for rows.Next() {
			var id [16]byte
			var written uint32
			if err := rows.Scan(&id, &written); err != nil {
				rows.Close()
				return nil, err
			}
			row(id, written)
		}
		if err := rows.Err(); err != nil {
			return nil, unavailable(err)
		}
	}
	for _, e := range entities {
		written, has := links[e.ID]
		l := e.Links[seat.System]
		if !same[e.ID] || has != (l != nil) || has && uint64(written) != l.Row {
			moved = append(moved, e.ID)
		}
	}
	slices.SortFunc(moved, func(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) })
	return moved, nil
}

// Empty says whether the service has no entity.
func (t *Tx) Empty(ctx context.Context, s service.ID) (empty bool, err error) {
	err = t.tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM entities WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1)`, uuid.UUID(s)).Scan(&empty)
	return empty, unavailable(err)
}

// written notes the commit in the rows that it wrote.
func written(xid uint64, o engine.Outcome) {
	row := xid & math.MaxUint32 // as in a row's xmin
	for _, list := range [][]*record.Entity{o.New, o.Changed} {
		for _, e := range list {
			e.Row = row
		}
	}
	for _, l := range o.Links {
		l.Row = row
	}
	for _, l := range o.NewLinks {
		l.Row, l.Place = row, 0 // one that got another key has a row of its own
	}
}

// SaveIntake writes what a page means, the cursor last.
func (t *Tx) SaveIntake(ctx context.Context, g engine.Guard, in engine.Intake) error {
	b := &pgx.Batch{}
	var xid uint64
	b.Queue(`SELECT pg_current_xact_id()::text::bigint`).QueryRow(func(row pgx.Row) error { return row.Scan(&xid) })
	o := in.Outcome
	sid := uuid.UUID(g.Service)
	changed := placed{sid: sid}
	queueNewEntities(b, sid, o.New)
	changed.queueEntities(b, o.Changed)
	if in.Seat.Collection.Refers() {
		queueReferences(b, sid, o.New, false)
		queueReferences(b, sid, o.Changed, true)
	}
	queueUnlink(b, sid, o.Unlinked)
	queueFormerKeys(b, sid, in.Seat, o.Unlinked)
	queueNewLinks(b, sid, o.NewLinks)
	changed.queueLinks(b, o.Links)
	queueJournal(b, sid, o.Journal)
	if err := queueConflicts(b, sid, o.Conflicts); err != nil {
		return err
	}
	queueDead(b, sid, t.now, o.Dead)
	queueMoot(b, sid, t.now, deletedOf(o.Changed))
	if err := queueActs(b, sid, t.now, o); err != nil {
		return err
	}
	if err := queueAlike(b, sid, t.now, in.Seat.Collection.Name, o.Blocks, o.Pairs); err != nil {
		return err
	}
	queueUnheld(b, sid, t.now, in.Seat, in.Unheld)
	queueBraked(b, sid, t.now, in.Seat, in.Braked)
	if in.Found {
		queueFound(b, sid, t.now, o.NewLinks)
	}
	if in.Settle && len(o.Settled) > 0 {
		b.Queue(`UPDATE dead_letters SET state = 'settled', reason = 'The record was read again and taken in.', last_at = $1, version = version + 1
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $2 AND direction = 'in' AND state = 'open' AND system = $3 AND object = $4 AND key = ANY($5)`,
			t.now, sid, string(in.Seat.System), string(in.Seat.Object), texts(o.Settled))
	}
	for i := range in.Attempts {
		queueAttempt(b, sid, t.now, in.Attempts[i])
	}
	queueInquiries(b, sid, t.now, in.Inquire)
	for system, ids := range in.Owed {
		queueDeliveries(b, sid, system, in.Seat.Collection.Name, ids, t.now, t.now)
	}
	for system, list := range in.Parked {
		queueParked(b, sid, system, in.Seat.Collection.Name, list, t.now)
	}
	if in.Complete {
		b.Queue(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT (SELECT current_tenant()), $1, $2, e.collection, e.id, $4, $4 FROM entities e
WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.collection = $3 AND e.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM links l WHERE l.tenant_id = e.tenant_id AND l.service_id = e.service_id AND l.entity_id = e.id AND l.system = $2)
ORDER BY e.id ON CONFLICT DO NOTHING`, sid, string(in.Seat.System), in.Seat.Collection.Name, t.now)
	}
	if m := in.Move; m != nil {
		changedAt := (*time.Time)(nil)
		if m.Changed {
			changedAt = &t.now
		}
		b.Queue(`INSERT INTO cursors (tenant_id, service_id, system, object, cursor, phase, done, total, read_at, changed_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, service_id, system, object) DO UPDATE SET cursor = excluded.cursor, phase = excluded.phase, done = excluded.done,
  total = excluded.total, read_at = excluded.read_at, changed_at = coalesce(excluded.changed_at, cursors.changed_at),
  failing_since = NULL, error_code = '', error = ''`,
			sid, string(m.System), string(m.Object), []byte(m.Cursor), string(m.Phase), m.Done, m.Total, t.now, changedAt)
	}
	c := o.Counts
	queueCounters(b, sid, t.now, in.Seat.System, counterRow{read: c.Read, equal: c.Equal, conflicts: c.Conflicts, rejected: c.Rejected, bytes: in.Bytes})
	counts := map[record.System]service.Counts{in.Seat.System: {Read: c.Read, Equal: c.Equal, Conflicts: c.Conflicts, Rejected: c.Rejected}}
	if m := in.Move; m != nil {
		own := counts[in.Seat.System]
		own.Done, own.Total = m.Done, m.Total
		counts[in.Seat.System] = own
	}
	if s := in.Beside; s != nil {
		own := counts[in.Seat.System]
		own.Done, own.Total = s.Done, s.Total
		counts[in.Seat.System] = own
		b.Queue(`UPDATE run_selections SET place = $2 WHERE tenant_id = (SELECT current_tenant()) AND run_id = $1`, uuid.UUID(s.Run), string(s.Place))
	}
	queueRun(b, in.Run, counts)
	if err := t.send(ctx, b); err != nil {
		return err
	}
	if err := changed.rest(ctx, t); err != nil {
		return err
	}
	written(xid, o)
	return t.AddUsage(ctx, in.Usage)
}

// SaveSettling writes what receipts mean and removes the attempt, in one go with the usage they make (invariant 6).
func (t *Tx) SaveSettling(ctx context.Context, g engine.Guard, s engine.Settling) error {
	b := &pgx.Batch{}
	sid := uuid.UUID(g.Service)
	st := s.Settlement
	system := s.Seat.System
	queueUnlink(b, sid, st.Unlinked)
	queueFormerKeys(b, sid, s.Seat, st.Unlinked)
	queueNewLinks(b, sid, st.NewLinks)
	changed := placed{sid: sid}
	changed.queueLinks(b, st.Links)
	queueJournal(b, sid, st.Journal)
	queueDead(b, sid, t.now, st.Dead)
	b.Queue(`DELETE FROM attempts WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND id = $2`, sid, s.Attempt.ID)
	if len(st.Done) > 0 {
		b.Queue(`UPDATE dead_letters SET state = 'settled', reason = '`+becauseEqual+`', last_at = $1, version = version + 1
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $2 AND direction = 'out' AND state IN ('open', 'redriven') AND system = $3 AND entity_id = ANY($4)`,
			t.now, sid, string(system), uuids(st.Done))
	}
	if len(st.Dead) > 0 {
		// Where there was an open one beside the redriven, that one goes on.
		failed := make([]record.EntityID, len(st.Dead))
		for i := range st.Dead {
			failed[i] = st.Dead[i].Entity
		}
		b.Queue(`UPDATE dead_letters SET state = 'settled', last_at = $1, version = version + 1
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $2 AND direction = 'out' AND state = 'redriven' AND system = $3 AND entity_id = ANY($4)`,
			t.now, sid, string(system), uuids(failed))
		queueMoot(b, sid, t.now, failed)
	}
	if s.Next != nil {
		queueAttempt(b, sid, t.now, *s.Next)
	}
	if len(st.Loosed) > 0 {
		b.Queue(`WITH loose AS MATERIALIZED (
  SELECT entity_id FROM deliveries WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND system = $2 AND entity_id = ANY($3) AND waits = 'reference' ORDER BY entity_id FOR UPDATE
)
UPDATE deliveries d SET due_at = $4, waits = '', waits_for = NULL, waits_why = '' FROM loose
WHERE d.tenant_id = (SELECT current_tenant()) AND d.service_id = $1 AND d.system = $2 AND d.entity_id = loose.entity_id`, sid, string(system), uuids(st.Loosed), t.now)
	}
	queueOwedStill(b, sid, system, s.Attempt, st.Waiting, t.now, s.RetryAt)
	queueParked(b, sid, system, s.Attempt.Collection, st.Parked, t.now)
	queueCounters(b, sid, t.now, system, counterRow{created: st.Created, updated: st.Updated, deleted: st.Deleted, rejected: st.Rejected,
		lagMs: st.LagSum.Milliseconds(), lagMaxMs: st.LagMax.Milliseconds(), lagCount: st.Lags})
	queueRun(b, s.Run, map[record.System]service.Counts{system: {Created: st.Created, Updated: st.Updated, Deleted: st.Deleted, Rejected: st.Rejected}})
	if err := t.send(ctx, b); err != nil {
		return err
	}
	if err := changed.rest(ctx, t); err != nil {
		return err
	}
	return t.AddUsage(ctx, s.Usage)
}

func (t *Tx) send(ctx context.Context, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	err := t.tx.SendBatch(ctx, b).Close()
	if violates(err, "links_key") {
		return fmt.Errorf("%w: %w", engine.ErrLinkTaken, err)
	}
	return unavailable(err)
}

// Recover marks the attempts that a lost process left behind, and says which seats have such.
func (t *Tx) Recover(ctx context.Context, g engine.Guard) ([]engine.SeatID, error) {
	if err := t.Guard(ctx, g); err != nil {
		return nil, err
	}
	rows, err := t.tx.Query(ctx, `WITH lost AS (
  UPDATE attempts SET lost = true WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 RETURNING system, collection
) SELECT DISTINCT system, collection FROM lost`, uuid.UUID(g.Service))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (id engine.SeatID, err error) {
		var system string
		err = row.Scan(&system, &id.Collection)
		id.System = record.System(system)
		return id, err
	})
}

// Doubt returns the oldest attempt of the seat that was cut short.
func (t *Tx) Doubt(ctx context.Context, g engine.Guard, seat *engine.Seat) (engine.Attempt, bool, error) {
	a := engine.Attempt{System: seat.System, Collection: seat.Collection.Name, Lost: true, OwedAt: make(map[record.EntityID]time.Time)}
	var ids [][16]byte
	var since time.Time
	err := t.tx.QueryRow(ctx, `SELECT id, entity_ids, started_at, since FROM attempts
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND system = $2 AND collection = $3 AND lost ORDER BY started_at, id LIMIT 1`,
		uuid.UUID(g.Service), string(seat.System), seat.Collection.Name).Scan(&a.ID, &ids, &a.StartedAt, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, false, nil
	}
	for _, id := range ids {
		a.Entities = append(a.Entities, record.EntityID(id))
		a.OwedAt[record.EntityID(id)] = since
	}
	return a, true, unavailable(err)
}

// Past returns how the entities changed since the time, the oldest change first.
func (t *Tx) Past(ctx context.Context, s service.ID, ids []record.EntityID, since time.Time) (map[record.EntityID][]record.Entry, error) {
	rows, err := t.tx.Query(ctx, `SELECT entity_id, at, actor, before, after FROM journal
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND entity_id = ANY($2) AND kind <> 'delivery' AND at >= $3 ORDER BY id`,
		uuid.UUID(s), uuids(ids), since)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	out := make(map[record.EntityID][]record.Entry)
	for rows.Next() {
		var id [16]byte
		var before, after []byte
		var e record.Entry
		if err := rows.Scan(&id, &e.At, &e.Actor, &before, &after); err != nil {
			return nil, err
		}
		e.Entity = record.EntityID(id)
		if before != nil {
			if err := e.Before.UnmarshalJSON(before); err != nil {
				return nil, err
			}
		}
		if after != nil {
			if err := e.After.UnmarshalJSON(after); err != nil {
				return nil, err
			}
		}
		out[e.Entity] = append(out[e.Entity], e)
	}
	return out, unavailable(rows.Err())
}

// Claim takes due deliveries of the seat and makes them an attempt.
func (t *Tx) Claim(ctx context.Context, g engine.Guard, seat *engine.Seat, id uuid.UUID, limit int) (engine.Attempt, error) {
	a := engine.Attempt{ID: id, System: seat.System, Collection: seat.Collection.Name, Backlog: true, OwedAt: make(map[record.EntityID]time.Time)}
	if err := t.Guard(ctx, g); err != nil {
		return a, err
	}
	rows, err := t.tx.Query(ctx, `WITH due AS MATERIALIZED (
  SELECT entity_id FROM deliveries WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND system = $2 AND collection = $3 AND due_at <= $4
  ORDER BY entity_id LIMIT $5 FOR UPDATE
)
DELETE FROM deliveries d WHERE d.tenant_id = (SELECT current_tenant()) AND d.service_id = $1 AND d.system = $2 AND d.entity_id = ANY(ARRAY(SELECT entity_id FROM due))
RETURNING d.entity_id, d.since`, uuid.UUID(g.Service), string(seat.System), seat.Collection.Name, t.now, limit)
	if err != nil {
		return a, unavailable(err)
	}
	for rows.Next() {
		var eid [16]byte
		var since time.Time
		if err := rows.Scan(&eid, &since); err != nil {
			rows.Close()
			return a, err
		}
		a.Entities = append(a.Entities, record.EntityID(eid))
		a.OwedAt[record.EntityID(eid)] = since
	}
	if err := rows.Err(); err != nil || len(a.Entities) == 0 {
		return a, unavailable(err)
	}
	b := &pgx.Batch{}
	queueAttempt(b, uuid.UUID(g.Service), t.now, a)
	return a, t.send(ctx, b)
}

// Postpone gives an attempt's duties back as deliveries, or marks the attempt when what it did is unknown.
func (t *Tx) Postpone(ctx context.Context, g engine.Guard, a engine.Attempt, due time.Time, unknown bool) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	b := &pgx.Batch{}
	sid := uuid.UUID(g.Service)
	if unknown {
		b.Queue(`UPDATE attempts SET lost = true WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND id = $2`, sid, a.ID)
		return t.send(ctx, b)
	}
	b.Queue(`DELETE FROM attempts WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND id = $2`, sid, a.ID)
	queueOwedStill(b, sid, a.System, a, a.Entities, t.now, due)
	return t.send(ctx, b)
}

// Owing counts the duties per system.
func (t *Tx) Owing(ctx context.Context, s service.ID) (map[engine.SeatID]engine.Owing, error) {
	rows, err := t.tx.Query(ctx, `SELECT system, collection, count(*), min(due_at) FROM deliveries
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 GROUP BY system, collection`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[engine.SeatID]engine.Owing)
	for rows.Next() {
		var system, collection string
		var o engine.Owing
		if err := rows.Scan(&system, &collection, &o.Count, &o.DueAt); err != nil {
			rows.Close()
			return nil, err
		}
		out[engine.SeatID{System: record.System(system), Collection: collection}] = o
	}
	return out, unavailable(rows.Err())
}

// Positions reads the cursors of the service.
func (t *Tx) Positions(ctx context.Context, s service.ID) ([]engine.Position, error) {
	rows, err := t.tx.Query(ctx, `SELECT system, object, cursor, phase, done, total, detection, detection_why FROM cursors
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p engine.Position, err error) {
		var system, object, phase string
		var cursor []byte
		err = row.Scan(&system, &object, &cursor, &phase, &p.Done, &p.Total, &p.Detection, &p.Why)
		p.System, p.Object, p.Cursor, p.Phase = record.System(system), record.Object(object), cursor, connector.Phase(phase)
		return p, err
	})
}

// SavePosition writes the detection in use; for a new object it makes the cursor's row.
func (t *Tx) SavePosition(ctx context.Context, g engine.Guard, p engine.Position) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO cursors (tenant_id, service_id, system, object, detection, detection_why)
VALUES (current_tenant(), $1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, service_id, system, object) DO UPDATE SET detection = excluded.detection, detection_why = excluded.detection_why`,
		uuid.UUID(g.Service), string(p.System), string(p.Object), p.Detection, p.Why)
	return unavailable(err)
}

// NoteTrouble writes that a system fails.
func (t *Tx) NoteTrouble(ctx context.Context, s service.ID, system record.System, object record.Object, code, message string) error {
	_, err := t.tx.Exec(ctx, `WITH noted AS (
  UPDATE cursors SET error_code = $1, error = $2, failing_since = coalesce(failing_since, $3)
  WHERE tenant_id = (SELECT current_tenant()) AND service_id = $4 AND system = $5 RETURNING 1
)
INSERT INTO cursors (tenant_id, service_id, system, object, error_code, error, failing_since)
SELECT (SELECT current_tenant()), $4, $5, $6, $1, $2, $3 WHERE NOT EXISTS (SELECT FROM noted)`,
		code, message, t.now, uuid.UUID(s), string(system), string(object))
	return unavailable(err)
}

// LinkKeys lists keys of the seat's links that were last in step before the time.
func (t *Tx) LinkKeys(ctx context.Context, s service.ID, seat *engine.Seat, before time.Time, after record.Key, limit int) ([]record.Key, error) {
	rows, err := t.tx.Query(ctx, `SELECT key FROM links WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND system = $2 AND object = $3
AND key > $4 AND synced_at < $5 AND state <> 'frozen' ORDER BY key LIMIT $6`, uuid.UUID(s), string(seat.System), string(seat.Object), string(after), before, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k record.Key, err error) {
		err = row.Scan((*string)(&k))
		return k, err
	})
}

// NoteRead says that the object was read to its end.
func (t *Tx) NoteRead(ctx context.Context, s service.ID, system record.System, object record.Object) error {
	_, err := t.tx.Exec(ctx, `UPDATE cursors SET read_at = $1, failing_since = NULL, error_code = '', error = ''
WHERE tenant_id = (SELECT current_tenant()) AND service_id = $2 AND system = $3 AND object = $4`, t.now, uuid.UUID(s), string(system), string(object))
	return unavailable(err)
}

// NoteLook says for how long reading the object waits until it looks again by itself.
func (t *Tx) NoteLook(ctx context.Context, s service.ID, system record.System, object record.Object, wait time.Duration) error {
	_, err := t.tx.Exec(ctx, `UPDATE cursors SET look_every_ms = $1, next_look_at = $2 WHERE tenant_id = (SELECT current_tenant()) AND service_id = $3 AND system = $4 AND object = $5`,
		wait.Milliseconds(), t.now.Add(wait), uuid.UUID(s), string(system), string(object))
	return unavailable(err)
}

// HasDeadLetters says whether there are open inward dead letters, and open outward ones.
func (t *Tx) HasDeadLetters(ctx context.Context, s service.ID) (in, out bool, err error) {
	err = t.tx.QueryRow(ctx, `SELECT
  EXISTS (SELECT FROM dead_letters WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND state = 'open' AND direction = 'in'),
  EXISTS (SELECT FROM dead_letters WHERE tenant_id = (SELECT current_tenant()) AND service_id = $1 AND state = 'open' AND direction = 'out')`, uuid.UUID(s)).Scan(&in, &out)
	return in, out, unavailable(err)
}
