// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Each function queues one statement for all its rows, or nothing for none. JSON travels as text, which is what jsonb
// parses anyway.

func queueNewEntities(b *pgx.Batch, sid uuid.UUID, list []*record.Entity) {
	if len(list) == 0 {
		return
	}
	e := columnsOf(list)
	b.Queue(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, stamps, held, origin, version, created_at, changed_at, deleted_at)
SELECT (SELECT current_tenant()), $1, u.id, u.collection, u.match_key, u.fields::jsonb, u.stamps::jsonb,
  CASE WHEN u.held IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(u.held::jsonb)) END, u.origin, u.version, u.created_at, u.changed_at, u.deleted_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
  AS u(id, collection, match_key, fields, stamps, held, origin, version, created_at, changed_at, deleted_at)`,
		sid, e.ids, e.collections, e.matchKeys, e.fields, e.stamps, e.held, e.origins, e.versions, e.created, e.changed, e.deleted)
}

// What an UPDATE sets, from rows called u.
const (
	changedEntity = `match_key = u.match_key, fields = u.fields::jsonb, stamps = u.stamps::jsonb,
  held = CASE WHEN u.held IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(u.held::jsonb)) END,
  version = u.version, changed_at = u.changed_at, deleted_at = u.deleted_at`
	changedLink = `state = u.state, behind = u.behind::jsonb, own_form = u.own_form::jsonb, version = u.version, synced_at = u.synced_at`
)

func queueChangedEntities(b *pgx.Batch, sid uuid.UUID, list []*record.Entity) {
	if len(list) == 0 {
		return
	}
	e := columnsOf(list)
	b.Queue(`UPDATE entities e SET `+changedEntity+`
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[], $9::timestamptz[])
  AS u(id, match_key, fields, stamps, held, version, changed_at, deleted_at)
WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = u.id`,
		sid, e.ids, e.matchKeys, e.fields, e.stamps, e.held, e.versions, e.changed, e.deleted)
}

// queueMoot settles refusals of records that are deleted and of which nothing is in the system that refused: nothing more is sent
// that would settle them. It comes after what changes entities, links and dead letters.
// becauseEqual is why a refusal is settled that nobody decided about.
const becauseEqual = "The system holds the record as it is now."

// queueFound settles refusals to make records which are found in their system as they should be.
func queueFound(b *pgx.Batch, sid uuid.UUID, now time.Time, links []engine.LinkRow) {
	bySystem := make(map[record.System][]record.EntityID)
	for _, l := range links {
		if l.State == record.Synced && len(l.Behind) == 0 {
			bySystem[l.System] = append(bySystem[l.System], l.Entity)
		}
	}
	for system, ids := range bySystem {
		b.Queue(`UPDATE dead_letters SET state = 'settled', reason = '`+becauseEqual+`', last_at = $1, version = version + 1
WHERE tenant_id = current_tenant() AND service_id = $2 AND direction = 'out' AND state = 'open' AND op = 'upsert' AND system = $3 AND entity_id = ANY($4)`,
			now, sid, string(system), uuids(ids))
	}
}

func queueMoot(b *pgx.Batch, sid uuid.UUID, now time.Time, ids []record.EntityID) {
	if len(ids) == 0 {
		return
	}
	b.Queue(`UPDATE dead_letters d SET state = 'settled', reason = 'The record was deleted.', last_at = $1, version = d.version + 1 FROM entities e
WHERE d.tenant_id = current_tenant() AND d.service_id = $2 AND d.direction = 'out' AND d.state = 'open' AND d.entity_id = ANY($3)
  AND e.tenant_id = d.tenant_id AND e.service_id = d.service_id AND e.id = d.entity_id AND e.deleted_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM links l WHERE l.tenant_id = d.tenant_id AND l.service_id = d.service_id AND l.entity_id = d.entity_id AND l.system = d.system AND l.state <> 'frozen')`,
		now, sid, uuids(ids))
}

// deletedOf are the ids of those that are deleted.
func deletedOf(list []*record.Entity) (ids []record.EntityID) {
	for _, e := range list {
		if e.DeletedAt != nil {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

type entityColumnsRow struct {
	ids, collections, matchKeys, fields, stamps, held, origins, versions, created, changed, deleted *array
}

func columnsOf(list []*record.Entity) entityColumnsRow {
	n := len(list)
	c := entityColumnsRow{ids: idArray(n), collections: textArray(n, 16), matchKeys: textArray(n, 32), fields: textArray(n, 256), stamps: textArray(n, 64), held: textArray(n, 0),
		origins: textArray(n, 16), versions: numberArray(n), created: timeArray(n), changed: timeArray(n), deleted: timeArray(n)}
	for _, e := range list {
		c.ids.id(e.ID)
		c.collections.text(e.Collection)
		c.origins.text(string(e.Origin))
		c.matchKeys.textOrNull(e.MatchKey)
		c.fields.fields(e.Fields)
		c.stamps.json(e.Stamps, len(e.Stamps) > 0)
		c.held.json(e.Held, len(e.Held) > 0)
		c.versions.number(e.Version)
		c.created.time(e.CreatedAt)
		c.changed.time(e.ChangedAt)
		c.deleted.timeOrNull(e.DeletedAt)
	}
	return c
}

// must is for values that always have a JSON form.
func must(b []byte, err error) *string {
	if err != nil {
		panic(err)
	}
	s := string(b)
	return &s
}

func fieldsText(f record.Fields) *string {
	if len(f) == 0 {
		return nil
	}
	s := string(record.AppendJSON(nil, map[string]any(f)))
	return &s
}

type linkColumnsRow struct {
	entities, systems, objects, keys, states, vers, behind, own, synced *array
}

func linkColumnsOf(rows []engine.LinkRow) linkColumnsRow {
	n := len(rows)
	c := linkColumnsRow{entities: idArray(n), systems: textArray(n, 16), objects: textArray(n, 24), keys: textArray(n, 32), states: textArray(n, 8), vers: textArray(n, 16),
		behind: textArray(n, 32), own: textArray(n, 16), synced: timeArray(n)}
	for _, r := range rows {
		c.entities.id(r.Entity)
		c.systems.text(string(r.System))
		c.objects.text(string(r.Object))
		c.keys.text(string(r.Key))
		c.states.text(string(r.State))
		c.vers.text(r.Version)
		c.behind.fieldsOrNull(r.Behind)
		c.own.fieldsOrNull(r.OwnForm)
		c.synced.time(r.SyncedAt)
	}
	return c
}

func queueNewLinks(b *pgx.Batch, sid uuid.UUID, rows []engine.LinkRow) {
	if len(rows) == 0 {
		return
	}
	c := linkColumnsOf(rows)
	b.Queue(`INSERT INTO links (tenant_id, service_id, entity_id, system, object, key, state, behind, own_form, version, synced_at)
SELECT (SELECT current_tenant()), $1, u.entity_id, u.system, u.object, u.key, u.state, u.behind::jsonb, u.own_form::jsonb, u.version, u.synced_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
  AS u(entity_id, system, object, key, state, behind, own_form, version, synced_at)`,
		sid, c.entities, c.systems, c.objects, c.keys, c.states, c.behind, c.own, c.vers, c.synced)
}

func queueLinks(b *pgx.Batch, sid uuid.UUID, rows []engine.LinkRow) {
	if len(rows) == 0 {
		return
	}
	c := linkColumnsOf(rows)
	b.Queue(`UPDATE links l SET `+changedLink+`
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
  AS u(entity_id, system, state, behind, own_form, version, synced_at)
WHERE l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = u.entity_id AND l.system = u.system`,
		sid, c.entities, c.systems, c.states, c.behind, c.own, c.vers, c.synced)
}

func queueUnlink(b *pgx.Batch, sid uuid.UUID, rows []engine.LinkRow) {
	if len(rows) == 0 {
		return
	}
	c := linkColumnsOf(rows)
	b.Queue(`DELETE FROM links l USING unnest($2::uuid[], $3::text[]) AS u(entity_id, system)
WHERE l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = u.entity_id AND l.system = u.system`, sid, c.entities, c.systems)
}

func queueJournal(b *pgx.Batch, sid uuid.UUID, list []record.Entry) {
	if len(list) == 0 {
		return
	}
	n := len(list)
	ids, entities, causes := idArray(n), idArray(n), idArray(n)
	kinds, ops, systems, actors := textArray(n, 8), textArray(n, 8), textArray(n, 16), textArray(n, 0)
	before, after := textArray(n, 64), textArray(n, 128)
	for i := range list {
		e := &list[i]
		ids.id(e.ID)
		entities.id(e.Entity)
		kinds.text(string(e.Kind))
		ops.text(string(e.Op))
		systems.text(string(e.System))
		actors.text(e.Actor)
		causes.idOrNull(e.Cause)
		before.fieldsOrNull(e.Before)
		after.fieldsOrNull(e.After)
	}
	b.Queue(`INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system, actor, cause, before, after)
SELECT (SELECT current_tenant()), u.id, $1, u.entity_id, $2, u.kind, u.op, u.system, u.actor, u.cause, u.before::jsonb, u.after::jsonb
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[], $10::text[], $11::text[])
  AS u(id, entity_id, kind, op, system, actor, cause, before, after)`,
		sid, list[0].At, ids, entities, kinds, ops, systems, actors, causes, before, after)
}

// jsonValue is a canonical value as a jsonb parameter; SQL null for a missing one.
func jsonValue(v record.Value) *string {
	if v == nil {
		return nil
	}
	s := string(record.AppendJSON(nil, v))
	return &s
}

type sideJSON struct {
	System  record.System   `json:"system"`
	Value   json.RawMessage `json:"value"`
	At      *time.Time      `json:"at,omitempty"`
	SeenAt  time.Time       `json:"seenAt"`
	Deleted bool            `json:"deleted,omitempty"`
}

func sidesText(sides []conflict.Side) (string, error) {
	list := make([]sideJSON, len(sides))
	for i, s := range sides {
		list[i] = sideJSON{System: s.System, Value: record.AppendJSON(nil, s.Value), SeenAt: s.SeenAt, Deleted: s.Deleted}
		if !s.At.IsZero() {
			list[i].At = &s.At
		}
	}
	b, err := json.Marshal(list)
	return string(b), err
}

func parseSides(b []byte) ([]conflict.Side, error) {
	var list []sideJSON
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	sides := make([]conflict.Side, len(list))
	for i, s := range list {
		v, err := record.ParseJSON(s.Value)
		if err != nil {
			return nil, err
		}
		sides[i] = conflict.Side{System: s.System, Value: v, SeenAt: s.SeenAt, Deleted: s.Deleted}
		if s.At != nil {
			sides[i].At = *s.At
		}
	}
	return sides, nil
}

func queueConflicts(b *pgx.Batch, sid uuid.UUID, list []*engine.Conflict) error {
	for _, c := range list {
		sides, err := sidesText(c.Sides)
		if err != nil {
			return fmt.Errorf("encoding a conflict: %w", err)
		}
		state := "resolved"
		if c.Open {
			state = "open"
		}
		if c.IsNew() {
			b.Queue(`INSERT INTO conflicts (tenant_id, id, service_id, entity_id, collection, field, base, sides, state, strategy, winner, result, reason, decided_by, opened_at, resolved_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
				c.ID, sid, uuid.UUID(c.Entity), c.Collection, c.Field, jsonValue(c.Base), sides, state, string(c.Strategy), string(c.Winner), jsonValue(c.Result), c.Reason, c.DecidedBy, c.OpenedAt, c.ResolvedAt)
			continue
		}
		b.Queue(`UPDATE conflicts SET sides = $2, state = $3, winner = $4, result = $5, reason = $6, decided_by = $7, resolved_at = $8, version = version + 1
WHERE tenant_id = (SELECT current_tenant()) AND id = $1`, c.ID, sides, state, string(c.Winner), jsonValue(c.Result), c.Reason, c.DecidedBy, c.ResolvedAt)
	}
	return nil
}

func scanConflict(row pgx.CollectableRow) (*engine.Conflict, error) {
	c := &engine.Conflict{}
	var entity [16]byte
	var state, strategy, winner string
	var base, sides, result []byte
	if err := row.Scan(&c.ID, &entity, &c.Collection, &c.Field, &base, &sides, &state, &strategy, &winner, &result, &c.Reason, &c.DecidedBy, &c.OpenedAt, &c.ResolvedAt, &c.Version); err != nil {
		return nil, err
	}
	c.Entity, c.Open, c.Strategy, c.Winner = record.EntityID(entity), state == "open", conflict.Strategy(strategy), record.System(winner)
	var err error
	if c.Sides, err = parseSides(sides); err != nil {
		return nil, err
	}
	if base != nil {
		if c.Base, err = record.ParseJSON(base); err != nil {
			return nil, err
		}
	}
	if result != nil {
		c.Result, err = record.ParseJSON(result)
	}
	return c, err
}

// queueDead writes dead letters. One that was redriven and failed again is the same letter, open once more.
func queueDead(b *pgx.Batch, sid uuid.UUID, now time.Time, list []engine.DeadLetter) {
	if len(list) == 0 {
		return
	}
	var entities []uuid.UUID
	var systems, objects, keys []string
	for i := range list {
		if d := &list[i]; d.Inward {
			systems, objects, keys = append(systems, string(d.System)), append(objects, string(d.Object)), append(keys, string(d.Key))
		} else {
			entities = append(entities, uuid.UUID(d.Entity))
		}
	}
	if len(entities) > 0 { // all of one system: an attempt's
		b.Queue(`UPDATE dead_letters d SET state = 'open', decided_by = '', reason = ''
WHERE d.tenant_id = (SELECT current_tenant()) AND d.service_id = $1 AND d.system = $2 AND d.direction = 'out' AND d.state = 'redriven' AND d.entity_id = ANY($3)
  AND NOT EXISTS (SELECT FROM dead_letters o WHERE o.tenant_id = d.tenant_id AND o.service_id = d.service_id AND o.system = d.system AND o.direction = 'out'
    AND o.entity_id = d.entity_id AND (o.state = 'open' OR o.state = 'redriven' AND o.id > d.id))`,
			sid, string(list[0].System), entities)
	}
	if len(keys) > 0 {
		b.Queue(`UPDATE dead_letters d SET state = 'open', decided_by = '', reason = ''
FROM unnest($2::text[], $3::text[], $4::text[]) AS n (system, object, key)
WHERE d.tenant_id = (SELECT current_tenant()) AND d.service_id = $1 AND d.direction = 'in' AND d.state = 'redriven'
  AND d.system = n.system AND d.object = n.object AND d.key = n.key
  AND NOT EXISTS (SELECT FROM dead_letters o WHERE o.tenant_id = d.tenant_id AND o.service_id = d.service_id AND o.system = d.system AND o.object = d.object
    AND o.direction = 'in' AND o.key = d.key AND (o.state = 'open' OR o.state = 'redriven' AND o.id > d.id))`,
			sid, systems, objects, keys)
	}
	for i := range list {
		d := &list[i]
		var entity *uuid.UUID
		if !d.Entity.IsZero() {
			id := uuid.UUID(d.Entity)
			entity = &id
		}
		direction, target := "out", "(tenant_id, service_id, system, entity_id) WHERE state = 'open' AND direction = 'out'"
		if d.Inward {
			direction, target = "in", "(tenant_id, service_id, system, object, key) WHERE state = 'open' AND direction = 'in'"
		}
		b.Queue(`INSERT INTO dead_letters (tenant_id, id, service_id, direction, system, object, key, entity_id, op, code, message, payload, field, rule, state, first_at, last_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14, 'open', $12, $12)
ON CONFLICT `+target+` DO UPDATE SET op = excluded.op, code = excluded.code, message = excluded.message, payload = excluded.payload,
  field = excluded.field, rule = excluded.rule, edit = CASE WHEN dead_letters.payload = excluded.payload THEN dead_letters.edit END,
  tries = dead_letters.tries + 1, last_at = excluded.last_at, version = dead_letters.version + 1`,
			d.ID, sid, direction, string(d.System), string(d.Object), string(d.Key), entity, string(d.Op), d.Code, d.Message, fieldsText(d.Payload), now, d.Field, d.Rule)
	}
}

func queueAttempt(b *pgx.Batch, sid uuid.UUID, now time.Time, a engine.Attempt) {
	b.Queue(`INSERT INTO attempts (tenant_id, service_id, id, system, collection, entity_ids, started_at, since) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7)`,
		sid, a.ID, string(a.System), a.Collection, uuids(a.Entities), now, a.OwedSince(now))
}

func queueDeliveries(b *pgx.Batch, sid uuid.UUID, system record.System, collection string, ids []record.EntityID, since, due time.Time) {
	if len(ids) == 0 {
		return
	}
	// In id order, as Claim takes them, so that the two cannot wait for each other.
	b.Queue(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT (SELECT current_tenant()), $1, $2, $6, id, $4, $5 FROM unnest($3::uuid[]) AS id ORDER BY id
ON CONFLICT (tenant_id, service_id, system, entity_id) DO UPDATE SET due_at = excluded.due_at, tries = deliveries.tries + 1, waits = '', waits_for = NULL, waits_why = ''`,
		sid, string(system), uuids(ids), since, due, collection)
}

// queueOwedStill gives duties back that were taken on and not carried out: they are owed since they first were, or a system that fails for
// long would seem to be owed little.
func queueOwedStill(b *pgx.Batch, sid uuid.UUID, system record.System, a engine.Attempt, ids []record.EntityID, now, due time.Time) {
	if len(ids) == 0 {
		return
	}
	since := make([]time.Time, len(ids))
	for i, id := range ids {
		since[i] = now
		if at := a.OwedAt[id]; (a.Backlog || a.Lost) && !at.IsZero() && at.Before(now) { // else it is the origin's time, which may be years ago
			since[i] = at
		}
	}
	b.Queue(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT (SELECT current_tenant()), $1, $2, $6, w.id, w.since, $5 FROM unnest($3::uuid[], $4::timestamptz[]) AS w(id, since) ORDER BY w.id
ON CONFLICT (tenant_id, service_id, system, entity_id) DO UPDATE SET since = least(deliveries.since, excluded.since), due_at = excluded.due_at,
  tries = deliveries.tries + 1, waits = '', waits_for = NULL, waits_why = ''`,
		sid, string(system), uuids(ids), since, due, a.Collection)
}

// queueParked writes deliveries that wait for more than their turn. A record that is changed all the time rests twenty times the
// quiet period at the longest.
func queueParked(b *pgx.Batch, sid uuid.UUID, system record.System, collection string, list []engine.Parked, now time.Time) {
	if len(list) == 0 {
		return
	}
	var ids []record.EntityID
	var waits, whys []string
	var fors []*uuid.UUID
	var untils, sinces []time.Time
	for _, p := range list {
		if p.Since.IsZero() {
			p.Since = now
		}
		sinces = append(sinces, p.Since)
		var entity *uuid.UUID
		if !p.For.IsZero() {
			id := uuid.UUID(p.For)
			entity = &id
		}
		ids, waits, whys, fors, untils = append(ids, p.Entity), append(waits, string(p.Waits)), append(whys, p.Why), append(fors, entity), append(untils, p.Until)
	}
	b.Queue(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at, waits, waits_for, waits_why)
SELECT (SELECT current_tenant()), $1, $2, $3, u.id, u.since, u.until, u.waits, u.waits_for, u.why FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::uuid[], $8::text[], $9::timestamptz[]) AS u(id, until, waits, waits_for, why, since) ORDER BY u.id
ON CONFLICT (tenant_id, service_id, system, entity_id) DO UPDATE SET due_at = CASE WHEN excluded.waits = 'quiet' THEN least(excluded.due_at, deliveries.since + 20 * (excluded.due_at - excluded.since)) ELSE excluded.due_at END, waits = excluded.waits, waits_for = excluded.waits_for, waits_why = excluded.waits_why`,
		sid, string(system), collection, uuids(ids), untils, waits, fors, whys, sinces)
}

type counterRow struct {
	read, equal, created, updated, deleted, conflicts, rejected, lagMs, lagMaxMs, lagCount, bytes int64
}

func queueCounters(b *pgx.Batch, sid uuid.UUID, now time.Time, system record.System, c counterRow) {
	if c == (counterRow{}) {
		return
	}
	b.Queue(`INSERT INTO counters AS c (tenant_id, service_id, system, minute, read, equal, created, updated, deleted, conflicts, rejected, lag_ms, lag_max_ms, lag_count, bytes)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (tenant_id, service_id, system, minute) DO UPDATE SET read = c.read + excluded.read, equal = c.equal + excluded.equal,
  created = c.created + excluded.created, updated = c.updated + excluded.updated, deleted = c.deleted + excluded.deleted,
  conflicts = c.conflicts + excluded.conflicts, rejected = c.rejected + excluded.rejected, lag_ms = c.lag_ms + excluded.lag_ms,
  lag_max_ms = greatest(c.lag_max_ms, excluded.lag_max_ms), lag_count = c.lag_count + excluded.lag_count, bytes = c.bytes + excluded.bytes`,
		sid, string(system), now.Truncate(time.Minute), c.read, c.equal, c.created, c.updated, c.deleted, c.conflicts, c.rejected, c.lagMs, c.lagMaxMs, c.lagCount, c.bytes)
}

// queueRun adds to the run's figures in the database itself, because several commits of a run may be under way at once.
func queueRun(b *pgx.Batch, run service.RunID, counts map[record.System]service.Counts) {
	if run == (service.RunID{}) {
		return
	}
	delta := must(json.Marshal(counts))
	b.Queue(`UPDATE runs SET counts = add_counts(counts, $2::jsonb) WHERE tenant_id = (SELECT current_tenant()) AND id = $1`, uuid.UUID(run), *delta)
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func uuids(ids []record.EntityID) *array { return idsOf(ids) }
