// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ safety.EditTx = (*Tx)(nil)

// FindCopy finds the entity of a system's record.
func (t *Tx) FindCopy(ctx context.Context, s service.ID, system record.System, keyOrID string) (record.EntityID, error) {
	if id, err := ident.Parse(ident.Entity, keyOrID); err == nil {
		return record.EntityID(id), nil
	}
	var id [16]byte
	err := t.tx.QueryRow(ctx, `SELECT entity_id FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND key = $3 ORDER BY object LIMIT 1`,
		uuid.UUID(s), string(system), keyOrID).Scan(&id)
	if err != nil {
		return record.EntityID{}, notFound(err, "record.not_found", "The service holds no record of %s with the key %q.", system, keyOrID)
	}
	return record.EntityID(id), nil
}

const entryColumns = `j.id, j.entity_id, j.at, j.kind, j.op, j.system, j.actor, j.cause, j.before, j.after`

func scanEntry(row pgx.CollectableRow) (e record.Entry, err error) {
	var entity [16]byte
	var kind, op, system string
	var cause *uuid.UUID
	var before, after []byte
	if err = row.Scan(&e.ID, &entity, &e.At, &kind, &op, &system, &e.Actor, &cause, &before, &after); err != nil {
		return e, err
	}
	e.Entity, e.Kind, e.Op, e.System = record.EntityID(entity), record.JournalKind(kind), record.JournalOp(op), record.System(system)
	if cause != nil {
		e.Cause = *cause
	}
	if before != nil {
		if err = e.Before.UnmarshalJSON(before); err != nil {
			return e, err
		}
	}
	if after != nil {
		err = e.After.UnmarshalJSON(after)
	}
	return e, err
}

// Entries lists the changes and decisions that the selection is about, the oldest first.
func (t *Tx) Entries(ctx context.Context, s service.ID, sel safety.Selection, limit int) ([]record.Entry, error) {
	sql, args := `SELECT `+entryColumns+` FROM journal j WHERE j.tenant_id = current_tenant() AND j.service_id = $1 AND j.kind <> 'delivery'`, []any{uuid.UUID(s)}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if sel.Run != (service.RunID{}) {
		and("j.cause = $%d", uuid.UUID(sel.Run))
	}
	if sel.Actor != "" {
		and("j.actor = $%d", sel.Actor)
	}
	if sel.Rule != "" {
		and("j.actor = $%d", engine.ByRule(sel.Rule))
	}
	if sel.System != "" {
		and("j.system = $%d", string(sel.System))
	}
	// Ids are in the order of time, so the index bounds what is read.
	if !sel.Since.IsZero() {
		and("j.at >= $%d", sel.Since)
		and("j.id >= $%d", firstID(sel.Since.Add(-time.Minute)))
	}
	if !sel.Until.IsZero() {
		and("j.at < $%d", sel.Until)
	}
	args = append(args, limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY j.id LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanEntry)
}

// Since lists the changes and decisions of the entities from an entry on, the oldest first.
func (t *Tx) Since(ctx context.Context, s service.ID, ids []record.EntityID, since uuid.UUID) ([]record.Entry, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+entryColumns+` FROM journal j
WHERE j.tenant_id = current_tenant() AND j.service_id = $1 AND j.entity_id = ANY($2) AND j.id >= $3 AND j.kind <> 'delivery' ORDER BY j.id`, uuid.UUID(s), uuids(ids), since)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanEntry)
}

// LockEntities loads entities with their links, in id order, for changing them.
func (t *Tx) LockEntities(ctx context.Context, s service.ID, ids []record.EntityID) ([]*record.Entity, error) {
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e
WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY($2) ORDER BY e.id FOR UPDATE OF e`, uuid.UUID(s), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, fmt.Errorf("loading entities: %w", err)
	}
	return list, t.linksOf(ctx, s, list)
}

// SaveEdited writes entities, links and history, and makes deliveries to the systems of each collection.
func (t *Tx) SaveEdited(ctx context.Context, s service.ID, list []safety.Edited, systems map[string][]string) error {
	b := &pgx.Batch{}
	sid := uuid.UUID(s)
	var entities []*record.Entity
	var links []engine.LinkRow
	var entries []record.Entry
	owed := make(map[string][]record.EntityID)
	for _, e := range list {
		entities, entries = append(entities, e.Entity), append(entries, e.Entry)
		owed[e.Collection] = append(owed[e.Collection], e.ID)
		for _, l := range e.Links {
			links = append(links, engine.LinkRow{Entity: e.ID, Link: l})
		}
	}
	queueChangedEntities(b, sid, entities)
	queueReferences(b, sid, entities, true)
	queueLinks(b, sid, links)
	queueJournal(b, sid, entries)
	queueMoot(b, sid, t.now, deletedOf(entities))
	for collection, ids := range owed {
		for _, system := range systems[collection] {
			queueDeliveries(b, sid, record.System(system), collection, ids, t.now, t.now)
		}
	}
	return t.send(ctx, b)
}
