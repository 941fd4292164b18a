// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// queueReferences brings the rows of the entities' references up to date with their fields.
func queueReferences(b *pgx.Batch, sid uuid.UUID, list []*record.Entity, known bool) {
	if len(list) == 0 {
		return
	}
	var all, entities [][16]byte
	var parents []*uuid.UUID
	var fields, systems, objects, keys []string
	for _, e := range list {
		all = append(all, e.ID)
		for f, v := range e.Fields {
			r, ok := record.ReferenceOf(v)
			if !ok {
				continue
			}
			var parent *uuid.UUID
			if !r.Entity.IsZero() {
				id := uuid.UUID(r.Entity)
				parent = &id
			}
			entities, fields, parents = append(entities, e.ID), append(fields, f), append(parents, parent)
			systems, objects, keys = append(systems, string(r.System)), append(objects, string(r.Object)), append(keys, string(r.Key))
		}
	}
	if known {
		// A reference that is as it was keeps what was decided of it.
		b.Queue(`DELETE FROM entity_references r WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.entity_id = ANY($2) AND NOT EXISTS (
  SELECT FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[]) AS u(entity_id, field, parent_id, system, object, key)
  WHERE u.entity_id = r.entity_id AND u.field = r.field AND u.parent_id IS NOT DISTINCT FROM r.parent_id AND u.system = r.system AND u.object = r.object AND u.key = r.key)`,
			sid, all, entities, fields, parents, systems, objects, keys)
	}
	if len(entities) > 0 {
		b.Queue(`INSERT INTO entity_references (tenant_id, service_id, entity_id, field, parent_id, system, object, key)
SELECT current_tenant(), $1, u.entity_id, u.field, u.parent_id, u.system, u.object, u.key
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[]) AS u(entity_id, field, parent_id, system, object, key)
ON CONFLICT (tenant_id, service_id, entity_id, field) DO NOTHING`,
			sid, entities, fields, parents, systems, objects, keys)
	}
}

// Linked says which entities have these keys in the object.
func (t *Tx) Linked(ctx context.Context, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error) {
	rows, err := t.tx.Query(ctx, `SELECT w.key, l.entity_id FROM unnest($4::text[]) AS w(key), LATERAL (
  SELECT entity_id FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND key = w.key OFFSET 0) l`,
		uuid.UUID(s), string(system), string(object), texts(keys))
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	out := make(map[record.Key]record.EntityID, len(keys))
	for rows.Next() {
		var key string
		var id [16]byte
		if err := rows.Scan(&key, &id); err != nil {
			return nil, err
		}
		out[record.Key(key)] = id
	}
	return out, unavailable(rows.Err())
}

// KeysIn says which keys the entities have in the system.
func (t *Tx) KeysIn(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.Key, error) {
	rows, err := t.tx.Query(ctx, `SELECT w.id, l.key FROM unnest($3::uuid[]) AS w(id), LATERAL (
  SELECT key FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = w.id AND system = $2 OFFSET 0) l`,
		uuid.UUID(s), string(system), uuids(ids))
	return keysOf(rows, err)
}

// keysOf collects rows of an entity and a key.
func keysOf(rows pgx.Rows, err error) (map[record.EntityID]record.Key, error) {
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.EntityID]record.Key)
	var id [16]byte
	var key string
	_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		out[id] = record.Key(key)
		return nil
	})
	return out, unavailable(err)
}

// FormerKeysIn says which keys the entities had in the system of records that are theirs no more.
func (t *Tx) FormerKeysIn(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID][]record.Key, error) {
	// Of older rows there is one key in place of a list.
	rows, err := t.tx.Query(ctx, `SELECT id, jsonb_array_elements_text('[]'::jsonb || (former_keys -> $2)) FROM entities
WHERE tenant_id = current_tenant() AND service_id = $1 AND id = ANY($3) AND former_keys ? $2`, uuid.UUID(s), string(system), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.EntityID][]record.Key)
	var id [16]byte
	var key string
	_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		out[id] = append(out[id], record.Key(key))
		return nil
	})
	return out, unavailable(err)
}

// queueFormerKeys keeps the keys of records that are not the entities' any more, where others may refer to them.
func queueFormerKeys(b *pgx.Batch, sid uuid.UUID, seat *engine.Seat, rows []engine.LinkRow) {
	if len(rows) == 0 || len(seat.Collection.Children) == 0 {
		return
	}
	c := linkColumnsOf(rows)
	b.Queue(`UPDATE entities e SET former_keys = coalesce(e.former_keys, '{}') || u.keys
FROM (SELECT w.entity_id, jsonb_object_agg(w.system, (('[]'::jsonb || coalesce(x.former_keys -> w.system, '[]')) - w.keys) || to_jsonb(w.keys)) AS keys
  FROM (SELECT entity_id, system, array_agg(key) AS keys FROM unnest($2::uuid[], $3::text[], $4::text[]) AS r(entity_id, system, key) GROUP BY 1, 2) w
  JOIN entities x ON x.tenant_id = (SELECT current_tenant()) AND x.service_id = $1 AND x.id = w.entity_id GROUP BY 1) u
WHERE e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = u.entity_id`, sid, c.entities, c.systems, c.keys)
}

// Referring names, for each of the entities that the system has other records of referring to it, one of those.
func (t *Tx) Referring(ctx context.Context, s service.ID, system record.System, ids []record.EntityID) (map[record.EntityID]record.EntityID, error) {
	rows, err := t.tx.Query(ctx, `SELECT w.id, c.entity_id FROM unnest($3::uuid[]) AS w(id), LATERAL (
  SELECT r.entity_id FROM entity_references r
  JOIN links l ON l.tenant_id = r.tenant_id AND l.service_id = r.service_id AND l.entity_id = r.entity_id AND l.system = $2
  WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.parent_id = w.id AND r.entity_id <> w.id ORDER BY r.entity_id LIMIT 1) c`,
		uuid.UUID(s), string(system), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	out := make(map[record.EntityID]record.EntityID)
	for rows.Next() {
		var id, child [16]byte
		if err := rows.Scan(&id, &child); err != nil {
			return nil, err
		}
		out[id] = child
	}
	return out, unavailable(rows.Err())
}

// Following counts the living records that refer to one of the entities, or to one that a change of the hold is about; unless direct is
// set, also those that refer to these, and so on. The entities themselves are not counted.
func (t *Tx) Following(ctx context.Context, s service.ID, ids []record.EntityID, hold uuid.UUID, direct bool) (n int64, err error) {
	const children = `JOIN entity_references r ON r.tenant_id = current_tenant() AND r.service_id = $1 AND r.parent_id = p.id
  JOIN entities c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.id = r.entity_id AND c.deleted_at IS NULL`
	err = t.tx.QueryRow(ctx, `WITH RECURSIVE gone(id) AS MATERIALIZED (
  SELECT unnest($2::uuid[]) UNION SELECT entity_id FROM held_changes WHERE tenant_id = current_tenant() AND hold_id = $3 AND entity_id IS NOT NULL
), follows(id) AS (
  SELECT c.id FROM gone p `+children+`
  UNION SELECT c.id FROM follows p `+children+` WHERE NOT $4
)
SELECT count(*) FROM follows f WHERE NOT EXISTS (SELECT FROM gone g WHERE g.id = f.id)`, uuid.UUID(s), uuids(ids), hold, direct).Scan(&n)
	return n, unavailable(err)
}

// CountLiving counts living entities of the collections, up to a number.
func (t *Tx) CountLiving(ctx context.Context, s service.ID, collections []string, upTo int64) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM entities WHERE tenant_id = current_tenant() AND service_id = $1 AND collection = ANY($2) AND deleted_at IS NULL LIMIT $3) e`,
		uuid.UUID(s), collections, upTo).Scan(&n)
	return n, unavailable(err)
}

// Relatives loads the entities with these ids, and counts the living ones that refer to one, by field.
func (t *Tx) Relatives(ctx context.Context, s service.ID, of record.EntityID, ids []record.EntityID, upTo int) (map[record.EntityID]*record.Entity, []engine.ChildrenOf, error) {
	parents := make(map[record.EntityID]*record.Entity)
	if len(ids) > 0 {
		rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY($2)`, uuid.UUID(s), uuids(ids))
		if err != nil {
			return nil, nil, unavailable(err)
		}
		list, err := pgx.CollectRows(rows, scanEntity)
		if err != nil {
			return nil, nil, unavailable(err)
		}
		if err := t.linksOf(ctx, s, list); err != nil {
			return nil, nil, err
		}
		for _, e := range list {
			parents[e.ID] = e
		}
	}
	rows, err := t.tx.Query(ctx, `SELECT c.collection, r.field, count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM deliveries d
  WHERE d.tenant_id = r.tenant_id AND d.service_id = r.service_id AND d.entity_id = r.entity_id AND d.waits_for = $2))
FROM (SELECT * FROM entity_references WHERE tenant_id = current_tenant() AND service_id = $1 AND parent_id = $2 LIMIT $3) r
JOIN entities c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.id = r.entity_id
WHERE c.deleted_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2`, uuid.UUID(s), uuid.UUID(of), upTo)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	children, err := pgx.CollectRows(rows, pgx.RowToStructByPos[engine.ChildrenOf])
	return parents, children, unavailable(err)
}

// ReleaseWaiting makes deliveries due whose wait for another record is over: it came, or where one is to be
// deleted, it went or refers to another, or the record that waits is gone itself and was never there.
func (t *Tx) ReleaseWaiting(ctx context.Context, g engine.Guard) (int64, error) {
	if err := t.Guard(ctx, g); err != nil {
		return 0, err
	}
	tag, err := t.tx.Exec(ctx, `WITH over AS MATERIALIZED (
  SELECT d.system, d.entity_id FROM deliveries d
  JOIN entities e ON e.tenant_id = d.tenant_id AND e.service_id = d.service_id AND e.id = d.entity_id
  WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.waits = 'reference' AND (e.deleted_at IS NULL
    AND NOT EXISTS (SELECT FROM entity_references r WHERE r.tenant_id = d.tenant_id AND r.service_id = d.service_id AND r.entity_id = d.entity_id AND r.parent_id IS NOT DISTINCT FROM d.waits_for AND r.system <> d.system)
    OR d.waits_for IS NULL AND e.deleted_at IS NOT NULL AND NOT EXISTS (SELECT FROM links l WHERE l.tenant_id = d.tenant_id AND l.service_id = d.service_id AND l.entity_id = d.entity_id AND l.system = d.system AND l.state <> 'frozen')
    OR d.waits_for IS NOT NULL AND (e.deleted_at IS NULL) = (EXISTS (SELECT FROM links l WHERE l.tenant_id = d.tenant_id AND l.service_id = d.service_id AND l.entity_id = d.waits_for AND l.system = d.system)
      AND (e.deleted_at IS NULL OR EXISTS (SELECT FROM entity_references r WHERE r.tenant_id = d.tenant_id AND r.service_id = d.service_id AND r.entity_id = d.waits_for AND r.parent_id = d.entity_id))))
  ORDER BY d.entity_id FOR UPDATE OF d
)
UPDATE deliveries d SET due_at = $2, waits = '', waits_for = NULL, waits_why = '' FROM over
WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.system = over.system AND d.entity_id = over.entity_id`, uuid.UUID(g.Service), t.now)
	return tag.RowsAffected(), unavailable(err)
}

// FoundReferences lists records, as the systems name them, whose reference names a record that is known meanwhile.
func (t *Tx) FoundReferences(ctx context.Context, s service.ID, limit int) ([]engine.RecordIn, error) {
	return t.recordsIn(ctx, `SELECT DISTINCT c.system, c.object, c.key FROM entity_references r
JOIN links l ON l.tenant_id = r.tenant_id AND l.service_id = r.service_id AND l.system = r.system AND l.object = r.object AND l.key = r.key
JOIN links c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.entity_id = r.entity_id AND c.system = r.system
WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.parent_id IS NULL ORDER BY 1, 2, 3 LIMIT $2`, uuid.UUID(s), limit)
}

// orphansSQL are the living records that refer to a deleted one, each as the first of its systems names it.
const orphansSQL = ` FROM entities p
JOIN entity_references r ON r.tenant_id = p.tenant_id AND r.service_id = p.service_id AND r.parent_id = p.id
JOIN entities c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.id = r.entity_id AND c.deleted_at IS NULL,
LATERAL (SELECT k.system, k.object, k.key FROM links k WHERE k.tenant_id = c.tenant_id AND k.service_id = c.service_id AND k.entity_id = c.id ORDER BY k.system LIMIT 1) l
WHERE p.tenant_id = current_tenant() AND p.service_id = $1 AND p.deleted_at IS NOT NULL`

// unaskedSQL are those of them that were not weighed, and of which nothing is held.
const unaskedSQL = orphansSQL + ` AND r.fate = '' AND NOT EXISTS (
  SELECT FROM held_changes h WHERE h.tenant_id = c.tenant_id AND h.service_id = c.service_id AND h.system = l.system AND h.object = l.object AND h.key = l.key)`

// Orphans lists records, as one of the systems names them, that refer to a deleted one and follow it; and those that were not weighed.
func (t *Tx) Orphans(ctx context.Context, s service.ID, limit int) (follow, unasked []engine.RecordIn, err error) {
	const first = ` ORDER BY 1, 2, 3 LIMIT $2`
	if follow, err = t.recordsIn(ctx, `SELECT DISTINCT l.system, l.object, l.key`+orphansSQL+` AND r.fate = 'follows'`+first, uuid.UUID(s), limit); err != nil {
		return nil, nil, err
	}
	unasked, err = t.recordsIn(ctx, `SELECT DISTINCT l.system, l.object, l.key`+unaskedSQL+first, uuid.UUID(s), limit)
	return follow, unasked, err
}

// Unasked lists the seat's orphans that were not weighed.
func (t *Tx) Unasked(ctx context.Context, s service.ID, seat *engine.Seat) ([]record.EntityID, error) {
	rows, err := t.tx.Query(ctx, `SELECT DISTINCT c.id`+unaskedSQL+` AND l.system = $2 AND l.object = $3`, uuid.UUID(s), string(seat.System), string(seat.Object))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	out := make([]record.EntityID, len(list))
	for i, id := range list {
		out[i] = id
	}
	return out, unavailable(err)
}

// SaveFate writes what becomes of the orphans, of all that they refer to and that was not weighed.
func (t *Tx) SaveFate(ctx context.Context, s service.ID, orphans []record.EntityID, fate engine.Fate) error {
	_, err := t.tx.Exec(ctx, `UPDATE entity_references r SET fate = $3 FROM entities p
WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.entity_id = ANY($2) AND r.fate = ''
  AND p.tenant_id = r.tenant_id AND p.service_id = r.service_id AND p.id = r.parent_id AND p.deleted_at IS NOT NULL`, uuid.UUID(s), uuids(orphans), string(fate))
	return unavailable(err)
}

// StayOrphan says that the record stays as it is although what these fields of it refer to is deleted, whatever was decided before.
func (t *Tx) StayOrphan(ctx context.Context, s service.ID, id record.EntityID, fields []string) error {
	_, err := t.tx.Exec(ctx, `UPDATE entity_references r SET fate = 'stays' FROM entities p
WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.entity_id = $2 AND r.field = ANY($3)
  AND p.tenant_id = r.tenant_id AND p.service_id = r.service_id AND p.id = r.parent_id AND p.deleted_at IS NOT NULL`, uuid.UUID(s), uuid.UUID(id), fields)
	return unavailable(err)
}

// FollowDeleted says that what refers to these entities is weighed with their deletion; unless direct is set, also what refers to that, and
// so on.
func (t *Tx) FollowDeleted(ctx context.Context, s service.ID, deleted []record.EntityID, direct bool) error {
	_, err := t.tx.Exec(ctx, `WITH RECURSIVE going(id) AS (
  SELECT unnest($2::uuid[])
  UNION SELECT c.id FROM going g
  JOIN entity_references r ON r.tenant_id = current_tenant() AND r.service_id = $1 AND r.parent_id = g.id AND r.fate <> 'stays'
  JOIN entities c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.id = r.entity_id AND c.deleted_at IS NULL
  WHERE NOT $3
)
UPDATE entity_references r SET fate = 'follows' FROM going g WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.parent_id = g.id AND r.fate = ''`,
		uuid.UUID(s), uuids(deleted), direct)
	return unavailable(err)
}

// TidyOrphans forgets what was decided of references to records that live, or live again, and do not follow another; and, when any hold is
// open, lets go what is held of records that are no orphans any more; of all, when the document has no rule for them.
func (t *Tx) TidyOrphans(ctx context.Context, s service.ID, held, ruled bool) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE entity_references r SET fate = '' FROM entities p WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.fate <> ''
  AND p.tenant_id = r.tenant_id AND p.service_id = r.service_id AND p.id = r.parent_id AND p.deleted_at IS NULL
  AND (r.fate = 'stays' OR NOT EXISTS (SELECT FROM entity_references u
    WHERE u.tenant_id = p.tenant_id AND u.service_id = p.service_id AND u.entity_id = p.id AND u.parent_id <> p.id AND u.fate = 'follows'))`, uuid.UUID(s))
	if held {
		b.Queue(`DELETE FROM held_changes d USING holds h WHERE d.tenant_id = current_tenant() AND d.service_id = $1
  AND h.tenant_id = d.tenant_id AND h.id = d.hold_id AND h.kind = 'orphans' AND h.state = 'open' AND (NOT $2 OR NOT EXISTS (
    SELECT FROM entity_references r
    JOIN entities p ON p.tenant_id = r.tenant_id AND p.service_id = r.service_id AND p.id = r.parent_id AND p.deleted_at IS NOT NULL
    JOIN entities c ON c.tenant_id = r.tenant_id AND c.service_id = r.service_id AND c.id = r.entity_id AND c.deleted_at IS NULL
    WHERE r.tenant_id = d.tenant_id AND r.service_id = d.service_id AND r.entity_id = d.entity_id AND r.fate = ''))`, uuid.UUID(s), ruled)
	}
	return t.send(ctx, b)
}

func (t *Tx) recordsIn(ctx context.Context, sql string, args ...any) ([]engine.RecordIn, error) {
	rows, err := t.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r engine.RecordIn, err error) {
		err = row.Scan((*string)(&r.System), (*string)(&r.Object), (*string)(&r.Key))
		return r, err
	})
	return list, unavailable(err)
}

// Follows says which fields of the orphans refer to a deleted record that they follow.
func (t *Tx) Follows(ctx context.Context, s service.ID, orphans []record.EntityID) (map[record.EntityID][]string, error) {
	rows, err := t.tx.Query(ctx, `SELECT r.entity_id, r.field FROM entity_references r
JOIN entities p ON p.tenant_id = r.tenant_id AND p.service_id = r.service_id AND p.id = r.parent_id AND p.deleted_at IS NOT NULL
WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.entity_id = ANY($2) AND r.fate = 'follows' ORDER BY 1, 2`, uuid.UUID(s), uuids(orphans))
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.EntityID][]string)
	var id [16]byte
	var field string
	_, err = pgx.ForEachRow(rows, []any{&id, &field}, func() error {
		out[id] = append(out[id], field)
		return nil
	})
	return out, unavailable(err)
}

// Quarantined lists records that wait in quarantine because the one that they refer to, and are recognised by, is not known,
// with what they refer to.
func (t *Tx) Quarantined(ctx context.Context, s service.ID, limit int) ([]engine.RecordIn, []record.Reference, error) {
	rows, err := t.tx.Query(ctx, `SELECT system, object, key, payload ->> field FROM dead_letters
WHERE tenant_id = current_tenant() AND service_id = $1 AND state = 'open' AND direction = 'in' AND code = 'reference.missing' ORDER BY last_at DESC LIMIT $2`, uuid.UUID(s), limit)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	defer rows.Close()
	var list []engine.RecordIn
	var names []record.Reference
	for rows.Next() {
		var r engine.RecordIn
		var says *string
		if err := rows.Scan((*string)(&r.System), (*string)(&r.Object), (*string)(&r.Key), &says); err != nil {
			return nil, nil, err
		}
		if says == nil {
			continue
		}
		if ref, ok := record.ReferenceOf(*says); ok {
			list, names = append(list, r), append(names, ref)
		}
	}
	return list, names, unavailable(rows.Err())
}
