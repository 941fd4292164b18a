// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// Where a row lies is known from reading it, and from writing it. While nobody else can change it, because its entity is locked, it is
// still there, and to look it up in an index again would cost more than to change it: half of what a change cost our database were
// such looks. Wherever a row is not found at its place any more, somebody wrote it since, and it is looked up by its key.

// place is where a row lies, as Entity.Place and Link.Place have it: block and number in it. It is never 0.
func place(t pgtype.TID) uint64 { return uint64(t.BlockNumber)<<16 | uint64(t.OffsetNumber) }

// placed are changed rows on their way into the database, by their places or else by their keys.
type placed struct {
	sid      uuid.UUID
	entities map[[16]byte]*record.Entity // to be found at their places
	links    map[linkKey]engine.LinkRow
}

type linkKey struct {
	entity [16]byte
	system record.System
}

// queueEntities queues the change of entities that the transaction has locked.
func (p *placed) queueEntities(b *pgx.Batch, list []*record.Entity) {
	var at, other []*record.Entity
	for _, e := range list {
		if e.Place == 0 {
			other = append(other, e)
		} else {
			at = append(at, e)
		}
	}
	queueChangedEntities(b, p.sid, other)
	if len(at) == 0 {
		return
	}
	c, places := columnsOf(at), placeArray(len(at))
	p.entities = make(map[[16]byte]*record.Entity, len(at))
	for _, e := range at {
		places.place(e.Place)
		p.entities[e.ID] = e
		e.Place = 0
	}
	b.Queue(`UPDATE entities e SET `+changedEntity+`
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[], $9::timestamptz[], $10::tid[])
  AS u(id, match_key, fields, stamps, held, version, changed_at, deleted_at, at)
WHERE e.ctid = u.at AND e.tenant_id = (SELECT current_tenant()) AND e.service_id = $1 AND e.id = u.id RETURNING e.id, e.ctid`,
		p.sid, c.ids, c.matchKeys, c.fields, c.stamps, c.held, c.versions, c.changed, c.deleted, places).Query(func(rows pgx.Rows) error {
		var id [16]byte
		var at pgtype.TID
		_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			if e := p.entities[id]; e != nil {
				e.Place = place(at)
				delete(p.entities, id)
			}
			return nil
		})
		return err
	})
}

// queueLinks queues the change of links whose entities the transaction has locked.
func (p *placed) queueLinks(b *pgx.Batch, list []engine.LinkRow) {
	var at, other []engine.LinkRow
	for _, l := range list {
		if l.Place == 0 {
			other = append(other, l)
		} else {
			at = append(at, l)
		}
	}
	queueLinks(b, p.sid, other)
	if len(at) == 0 {
		return
	}
	c, places := linkColumnsOf(at), placeArray(len(at))
	p.links = make(map[linkKey]engine.LinkRow, len(at))
	for _, l := range at {
		places.place(l.Place)
		p.links[linkKey{l.Entity, l.System}] = l
		l.Place = 0
	}
	b.Queue(`UPDATE links l SET `+changedLink+`
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::tid[])
  AS u(entity_id, system, state, behind, own_form, version, synced_at, at)
WHERE l.ctid = u.at AND l.tenant_id = (SELECT current_tenant()) AND l.service_id = $1 AND l.entity_id = u.entity_id AND l.system = u.system RETURNING l.entity_id, l.system, l.ctid`,
		p.sid, c.entities, c.systems, c.states, c.behind, c.own, c.vers, c.synced, places).Query(func(rows pgx.Rows) error {
		var k linkKey
		var at pgtype.TID
		_, err := pgx.ForEachRow(rows, []any{&k.entity, (*string)(&k.system), &at}, func() error {
			if l, there := p.links[k]; there {
				l.Place = place(at)
				delete(p.links, k)
			}
			return nil
		})
		return err
	})
}

// rest changes by their keys what the batch that was sent did not find at its place.
func (p *placed) rest(ctx context.Context, t *Tx) error {
	b := &pgx.Batch{}
	var entities []*record.Entity
	for _, e := range p.entities {
		entities = append(entities, e)
	}
	queueChangedEntities(b, p.sid, entities)
	var links []engine.LinkRow
	for _, l := range p.links {
		links = append(links, l)
	}
	queueLinks(b, p.sid, links)
	return t.send(ctx, b)
}
