// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ engine.AsideTx = (*Tx)(nil)

// LoadAside finds the entities that the keys may belong to: as the plan has them, else as the service has them, unlocked.
func (t *Tx) LoadAside(ctx context.Context, plan uuid.UUID, s service.ID, seat *engine.Seat, keys []record.Key, matchKeys []string) (out engine.Loaded, err error) {
	b := &pgx.Batch{}
	b.Queue(`WITH hit AS MATERIALIZED (
SELECT l.id FROM unnest($4::text[]) AS wanted(key), LATERAL (
  SELECT entity_id AS id FROM service_plan_links
  WHERE tenant_id = current_tenant() AND plan_id = $1 AND system = $2 AND object = $3 AND key = wanted.key OFFSET 0
) l
UNION
SELECT e.id FROM unnest($6::text[]) AS wanted(key), LATERAL (
  SELECT id FROM service_plan_entities
  WHERE tenant_id = current_tenant() AND plan_id = $1 AND collection = $5 AND match_key = wanted.key AND wanted.key <> '' OFFSET 0
) e)
SELECT e.body FROM hit JOIN service_plan_entities e ON e.tenant_id = current_tenant() AND e.plan_id = $1 AND e.id = hit.id`,
		plan, string(seat.System), string(seat.Object), texts(keys), seat.Collection.Name, matchKeys)
	if s != (service.ID{}) {
		args := []any{uuid.UUID(s), string(seat.System), string(seat.Object), texts(keys), seat.Collection.Name, matchKeys}
		b.Queue(`WITH hit AS MATERIALIZED (`+hitSQL+`)
SELECT `+entityColumns+` FROM entities e
WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY(ARRAY(SELECT id FROM hit WHERE id IS NOT NULL UNION `+matchSQL+`)) ORDER BY e.id`, args...)
	}
	results := t.tx.SendBatch(ctx, b)
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return out, unavailable(err)
	}
	kept, err := pgx.CollectRows(rows, scanAside)
	if err != nil {
		_ = results.Close()
		return out, err
	}
	var real []*record.Entity
	if s != (service.ID{}) {
		if rows, err = results.Query(); err == nil {
			real, err = pgx.CollectRows(rows, scanEntity)
		}
		if err != nil {
			_ = results.Close()
			return out, unavailable(err)
		}
	}
	if err := results.Close(); err != nil {
		return out, unavailable(err)
	}
	if len(real) > 0 {
		have := make(map[record.EntityID]bool, len(kept))
		for _, e := range kept {
			have[e.ID] = true
		}
		real = slices.DeleteFunc(real, func(e *record.Entity) bool { return have[e.ID] })
		// The plan may have an entity of the service under other keys by now.
		others, err := t.asideOf(ctx, plan, real)
		if err != nil {
			return out, err
		}
		for _, e := range others {
			have[e.ID] = true
		}
		kept = append(kept, others...)
		real = slices.DeleteFunc(real, func(e *record.Entity) bool { return have[e.ID] })
		if err := t.linksOf(ctx, s, real); err != nil {
			return out, err
		}
	}
	out.Entities = append(kept, real...)
	slices.SortFunc(out.Entities, func(a, b *record.Entity) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out, nil
}

func (t *Tx) asideOf(ctx context.Context, plan uuid.UUID, list []*record.Entity) ([]*record.Entity, error) {
	ids := make([]record.EntityID, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	rows, err := t.tx.Query(ctx, `SELECT body FROM service_plan_entities WHERE tenant_id = current_tenant() AND plan_id = $1 AND id = ANY($2)`, plan, uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanAside)
}

func scanAside(row pgx.CollectableRow) (*record.Entity, error) {
	var body []byte
	if err := row.Scan(&body); err != nil {
		return nil, err
	}
	e := &record.Entity{}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("reading what a plan kept: %w", err)
	}
	if e.Links == nil {
		e.Links = make(map[record.System]*record.Link, 2)
	}
	return e, nil
}

// KeepAside writes entities with their links, and drops links that went.
func (t *Tx) KeepAside(ctx context.Context, plan uuid.UUID, list []*record.Entity, unlinked []engine.LinkRow) error {
	b := &pgx.Batch{}
	var ids, owners [][16]byte
	var collections, bodies, systems, objects, keys []string
	var matches []*string
	for _, e := range list {
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("writing what a plan keeps: %w", err)
		}
		var match *string
		if e.MatchKey != "" {
			match = &e.MatchKey
		}
		ids, collections, matches, bodies = append(ids, e.ID), append(collections, e.Collection), append(matches, match), append(bodies, string(body))
		for _, l := range e.Links {
			systems, objects, keys, owners = append(systems, string(l.System)), append(objects, string(l.Object)), append(keys, string(l.Key)), append(owners, e.ID)
		}
	}
	if len(unlinked) > 0 {
		var s, o, k []string
		for _, l := range unlinked {
			s, o, k = append(s, string(l.System)), append(o, string(l.Object)), append(k, string(l.Key))
		}
		b.Queue(`DELETE FROM service_plan_links l USING unnest($2::text[], $3::text[], $4::text[]) AS u(system, object, key)
WHERE l.tenant_id = current_tenant() AND l.plan_id = $1 AND l.system = u.system AND l.object = u.object AND l.key = u.key`, plan, s, o, k)
	}
	if len(ids) > 0 {
		b.Queue(`INSERT INTO service_plan_entities (tenant_id, plan_id, id, collection, match_key, body)
SELECT current_tenant(), $1, * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (tenant_id, plan_id, id) DO UPDATE SET match_key = excluded.match_key, body = excluded.body`, plan, ids, collections, matches, bodies)
	}
	if len(keys) > 0 {
		b.Queue(`INSERT INTO service_plan_links (tenant_id, plan_id, system, object, key, entity_id)
SELECT current_tenant(), $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[])
ON CONFLICT (tenant_id, plan_id, system, object, key) DO UPDATE SET entity_id = excluded.entity_id
WHERE service_plan_links.entity_id <> excluded.entity_id`, plan, systems, objects, keys, owners)
	}
	if b.Len() == 0 {
		return nil
	}
	return t.send(ctx, b)
}

// Aside lists what was kept of a collection, in id order.
func (t *Tx) Aside(ctx context.Context, plan uuid.UUID, collection string, after record.EntityID, limit int) ([]*record.Entity, error) {
	rows, err := t.tx.Query(ctx, `SELECT body FROM service_plan_entities
WHERE tenant_id = current_tenant() AND plan_id = $1 AND id > $2 AND collection = $3 ORDER BY id LIMIT $4`, plan, [16]byte(after), collection, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanAside)
}

// Joining lists entities of the service that live, have no record in the seat's system and were not kept aside, in id order.
func (t *Tx) Joining(ctx context.Context, plan uuid.UUID, s service.ID, seat *engine.Seat, after record.EntityID, limit int) ([]*record.Entity, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e
WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.collection = $2 AND e.id > $3 AND e.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM links l WHERE l.tenant_id = e.tenant_id AND l.service_id = e.service_id AND l.entity_id = e.id AND l.system = $4)
  AND NOT EXISTS (SELECT FROM service_plan_entities p WHERE p.tenant_id = e.tenant_id AND p.plan_id = $5 AND p.id = e.id)
ORDER BY e.id LIMIT $6`, uuid.UUID(s), seat.Collection.Name, [16]byte(after), string(seat.System), plan, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, fmt.Errorf("loading entities: %w", err)
	}
	return list, t.linksOf(ctx, s, list)
}

// LinkedAside says which entities have these keys in the object: as the plan has them so far, else as the service has them.
func (t *Tx) LinkedAside(ctx context.Context, plan uuid.UUID, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error) {
	known, err := t.Linked(ctx, s, system, object, keys)
	if err != nil {
		return nil, err
	}
	rows, err := t.tx.Query(ctx, `SELECT w.key, l.entity_id FROM unnest($4::text[]) AS w(key), LATERAL (
  SELECT entity_id FROM service_plan_links WHERE tenant_id = current_tenant() AND plan_id = $1 AND system = $2 AND object = $3 AND key = w.key OFFSET 0) l`,
		plan, string(system), string(object), texts(keys))
	if err != nil {
		return nil, unavailable(err)
	}
	var key string
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&key, &id}, func() error {
		known[record.Key(key)] = id
		return nil
	})
	return known, unavailable(err)
}

// AsideByID loads entities: as the plan has them so far, else as the service has them.
func (t *Tx) AsideByID(ctx context.Context, plan uuid.UUID, s service.ID, ids []record.EntityID) ([]*record.Entity, error) {
	rows, err := t.tx.Query(ctx, `SELECT body FROM service_plan_entities WHERE tenant_id = current_tenant() AND plan_id = $1 AND id = ANY($2)`, plan, uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanAside)
	if err != nil || s == (service.ID{}) {
		return list, err
	}
	have := make(map[record.EntityID]bool, len(list))
	for _, e := range list {
		have[e.ID] = true
	}
	rest := slices.DeleteFunc(slices.Clone(ids), func(id record.EntityID) bool { return have[id] })
	if len(rest) == 0 {
		return list, nil
	}
	if rows, err = t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY($2)`, uuid.UUID(s), uuids(rest)); err != nil {
		return nil, unavailable(err)
	}
	known, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, unavailable(err)
	}
	return append(list, known...), t.linksOf(ctx, s, known)
}

// DropAside forgets what was kept.
func (t *Tx) DropAside(ctx context.Context, plan uuid.UUID) error {
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM service_plan_links WHERE tenant_id = current_tenant() AND plan_id = $1`, plan)
	b.Queue(`DELETE FROM service_plan_entities WHERE tenant_id = current_tenant() AND plan_id = $1`, plan)
	return t.send(ctx, b)
}
