// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var (
	_ engine.ProofTx    = (*Tx)(nil)
	_ engine.ProofAskTx = (*Tx)(nil)
)

// firstProof is how long after a service is first carried its records are compared for the first time.
const firstProof = 15 * time.Second

const proofColumns = `due_at, asked_at, asked_by, cancel_at, pass, started_at, progress, result`

func scanProof(row pgx.Row, s service.ID) (engine.Proof, error) {
	p := engine.Proof{Service: s}
	var pass *uuid.UUID
	var progress, result []byte
	if err := row.Scan(&p.DueAt, &p.AskedAt, &p.AskedBy, &p.CancelAt, &pass, &p.StartedAt, &progress, &result); err != nil {
		return p, err
	}
	if pass != nil {
		p.Pass = *pass
	}
	if progress != nil {
		if err := json.Unmarshal(progress, &p.Progress); err != nil {
			return p, err
		}
	}
	if result != nil {
		return p, json.Unmarshal(result, &p.Result)
	}
	return p, nil
}

// Proof reads where the service's proof stands; a service that has none gets one.
func (t *Tx) Proof(ctx context.Context, s service.ID) (engine.Proof, error) {
	p, found, err := t.FindProof(ctx, s)
	if err != nil || found {
		return p, err
	}
	p.DueAt = t.now.Add(firstProof)
	_, err = t.tx.Exec(ctx, `INSERT INTO proofs (tenant_id, service_id, due_at) VALUES (current_tenant(), $1, $2) ON CONFLICT DO NOTHING`, uuid.UUID(s), p.DueAt)
	return p, unavailable(err)
}

// FindProof reads where the service's proof stands; false when it was never carried nor asked for.
func (t *Tx) FindProof(ctx context.Context, s service.ID) (engine.Proof, bool, error) {
	p, err := scanProof(t.tx.QueryRow(ctx, `SELECT `+proofColumns+` FROM proofs WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(s)), s)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, unavailable(err)
}

// FindProofs reads where the proofs of all services stand.
func (t *Tx) FindProofs(ctx context.Context) (map[service.ID]engine.Proof, error) {
	rows, err := t.tx.Query(ctx, `SELECT service_id FROM proofs WHERE tenant_id = current_tenant()`)
	if err != nil {
		return nil, unavailable(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[service.ID]engine.Proof, len(ids))
	for _, id := range ids {
		p, found, err := t.FindProof(ctx, service.ID(id))
		if err != nil {
			return nil, err
		}
		if found {
			out[service.ID(id)] = p
		}
	}
	return out, nil
}

// AskProof notes that somebody wants the service's records compared now. One under way that was cancelled ends all the same: it
// began before, and says nothing of what happened since.
func (t *Tx) AskProof(ctx context.Context, s service.ID, by string) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO proofs (tenant_id, service_id, due_at, asked_at, asked_by) VALUES (current_tenant(), $1, $2, $2, $3)
ON CONFLICT (tenant_id, service_id) DO UPDATE SET asked_at = excluded.asked_at, asked_by = excluded.asked_by`, uuid.UUID(s), t.now, by)
	return unavailable(err)
}

// CancelProof notes that somebody wants no comparison now; one that did not begin is forgotten.
func (t *Tx) CancelProof(ctx context.Context, s service.ID) error {
	_, err := t.tx.Exec(ctx, `UPDATE proofs SET asked_at = NULL, asked_by = '', cancel_at = CASE WHEN pass IS NOT NULL THEN $2::timestamptz END
WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(s), t.now)
	return unavailable(err)
}

// BeginProof notes that a comparison is under way, unless nobody wants one any more.
func (t *Tx) BeginProof(ctx context.Context, g engine.Guard, p engine.Proof) (begun bool, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return false, err
	}
	progress, err := json.Marshal(p.Progress)
	if err != nil {
		return false, err
	}
	complete := uuid.Nil
	if p.Result != nil {
		complete = p.Result.Pass
	}
	tag, err := t.tx.Exec(ctx, `UPDATE proofs SET pass = $2, started_at = $3, progress = $4, cancel_at = NULL
WHERE tenant_id = current_tenant() AND service_id = $1 AND ($5 OR asked_at IS NOT NULL OR pass IS NOT NULL)`, uuid.UUID(g.Service), p.Pass, p.StartedAt, progress, p.AskedAt == nil)
	if err != nil || tag.RowsAffected() == 0 {
		return false, unavailable(err)
	}
	_, err = t.tx.Exec(ctx, `DELETE FROM proof_differences WHERE tenant_id = current_tenant() AND service_id = $1 AND pass <> $2`, uuid.UUID(g.Service), complete)
	return err == nil, unavailable(err)
}

// SaveProof stores the comparison's place and what it found.
func (t *Tx) SaveProof(ctx context.Context, g engine.Guard, p engine.Proof, found []engine.Difference) (goOn, asked bool, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return false, false, err
	}
	progress, err := json.Marshal(p.Progress)
	if err != nil {
		return false, false, err
	}
	if len(found) > 0 {
		if err := t.saveDifferences(ctx, g.Service, p.Pass, found); err != nil {
			return false, false, err
		}
	}
	var cancelled *time.Time
	err = t.tx.QueryRow(ctx, `UPDATE proofs SET progress = $2 WHERE tenant_id = current_tenant() AND service_id = $1 AND pass = $3
RETURNING cancel_at, coalesce(asked_at > started_at, false)`, uuid.UUID(g.Service), progress, p.Pass).Scan(&cancelled, &asked)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	return cancelled == nil, asked, unavailable(err)
}

func (t *Tx) saveDifferences(ctx context.Context, s service.ID, pass uuid.UUID, found []engine.Difference) error {
	n := len(found)
	ids, entities, healed := make([]uuid.UUID, n), make([]*uuid.UUID, n), make([]bool, n)
	var columns [7][]string // system, object, collection, key, title, reason, fields as JSON
	for i, d := range found {
		ids[i], healed[i] = d.ID, d.Healed
		if !d.Entity.IsZero() {
			id := uuid.UUID(d.Entity)
			entities[i] = &id
		}
		fields, err := json.Marshal(append([]string{}, d.Fields...))
		if err != nil {
			return err
		}
		for c, v := range []string{string(d.System), string(d.Object), d.Collection, string(d.Key), d.Title, string(d.Reason), string(fields)} {
			columns[c] = append(columns[c], v)
		}
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO proof_differences (tenant_id, service_id, pass, id, system, object, collection, key, entity_id, title, reason, fields, healed, found_at)
SELECT current_tenant(), $1, $2, u.id, u.system, u.object, u.collection, u.key, u.entity, u.title, u.reason, ARRAY(SELECT jsonb_array_elements_text(u.fields::jsonb)), u.healed, $13
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::boolean[])
  AS u(id, system, object, collection, key, entity, title, reason, fields, healed)`,
		uuid.UUID(s), pass, ids, columns[0], columns[1], columns[2], columns[3], entities, columns[4], columns[5], columns[6], healed, t.now)
	return unavailable(err)
}

// Healed lists what the comparison took in of the entities, by system: its changes name it as their cause.
func (t *Tx) Healed(ctx context.Context, s service.ID, pass uuid.UUID, ids []record.EntityID) (map[record.System]map[record.EntityID]engine.Healing, error) {
	rows, err := t.tx.Query(ctx, `SELECT j.system, j.entity_id, j.op = 'create', ARRAY(SELECT jsonb_object_keys(j.after) ORDER BY 1) FROM journal j
WHERE j.tenant_id = current_tenant() AND j.service_id = $1 AND j.entity_id = ANY($2) AND j.cause = $3 AND j.kind = 'change' AND j.actor = $4 ORDER BY j.id`,
		uuid.UUID(s), uuids(ids), pass, record.ByProof)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[record.System]map[record.EntityID]engine.Healing)
	for rows.Next() {
		var system record.System
		var id [16]byte
		var h engine.Healing
		if err := rows.Scan((*string)(&system), &id, &h.Made, &h.Fields); err != nil {
			return nil, unavailable(err)
		}
		if h.Made {
			h.Fields = nil
		}
		if out[system] == nil {
			out[system] = make(map[record.EntityID]engine.Healing)
		}
		out[system][record.EntityID(id)] = h
	}
	return out, unavailable(rows.Err())
}

// EndProof ends the comparison.
func (t *Tx) EndProof(ctx context.Context, g engine.Guard, p engine.Proof, due time.Time) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	b := &pgx.Batch{}
	if p.Result != nil {
		result, err := json.Marshal(p.Result)
		if err != nil {
			return err
		}
		b.Queue(`UPDATE proofs SET result = $2 WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(g.Service), result)
		b.Queue(`DELETE FROM proof_differences WHERE tenant_id = current_tenant() AND service_id = $1 AND pass <> $2`, uuid.UUID(g.Service), p.Result.Pass)
	} else {
		b.Queue(`DELETE FROM proof_differences WHERE tenant_id = current_tenant() AND service_id = $1 AND pass = $2`, uuid.UUID(g.Service), p.Pass)
	}
	b.Queue(`UPDATE proofs SET pass = NULL, progress = NULL, cancel_at = NULL, due_at = $2, asked_by = CASE WHEN asked_at > started_at THEN asked_by ELSE '' END,
  asked_at = CASE WHEN asked_at > started_at THEN asked_at END WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(g.Service), due)
	return t.send(ctx, b)
}

// CountEntities counts the entities that a comparison looks at.
func (t *Tx) CountEntities(ctx context.Context, s service.ID) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM entities WHERE tenant_id = current_tenant() AND service_id = $1 AND deleted_at IS NULL`, uuid.UUID(s)).Scan(&n)
	return n, unavailable(err)
}

// CountSeat counts the records of the seat that are known by a link.
func (t *Tx) CountSeat(ctx context.Context, s service.ID, seat *engine.Seat) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND state <> 'frozen'`,
		uuid.UUID(s), string(seat.System), string(seat.Object)).Scan(&n)
	return n, unavailable(err)
}

// NextCompared reads the entities of the collection behind the id with all that explains differences.
func (t *Tx) NextCompared(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) (engine.Compared, error) {
	return t.compared(ctx, s, `SELECT e.id FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id > $2 AND e.collection = $3
  AND (e.deleted_at IS NULL OR EXISTS (SELECT FROM links l WHERE l.tenant_id = e.tenant_id AND l.service_id = e.service_id AND l.entity_id = e.id)) ORDER BY e.id LIMIT $4`,
		nil, nil, uuid.UUID(s), [16]byte(after), collection, limit)
}

// CompareKeys reads the entities of the seat's records with these keys.
func (t *Tx) CompareKeys(ctx context.Context, s service.ID, seat *engine.Seat, keys []record.Key) (engine.Compared, error) {
	return t.compared(ctx, s, `SELECT l.entity_id FROM unnest($4::text[]) AS wanted(key), LATERAL (
  SELECT entity_id FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND system = $2 AND object = $3 AND key = wanted.key OFFSET 0) l`,
		seat, keys, uuid.UUID(s), string(seat.System), string(seat.Object), texts(keys))
}

// compared loads entities by a query for their ids, and what is known of them. With a seat, the keys are asked about; without,
// those of the entities' links.
func (t *Tx) compared(ctx context.Context, s service.ID, which string, seat *engine.Seat, keys []record.Key, args ...any) (out engine.Compared, err error) {
	sid := uuid.UUID(s)
	b := &pgx.Batch{}
	b.Queue(`WITH hit AS MATERIALIZED (`+which+`) SELECT `+entityColumns+` FROM entities e
WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY(ARRAY(SELECT * FROM hit)) ORDER BY e.id`, args...)
	b.Queue(`WITH hit AS MATERIALIZED (`+which+`) SELECT `+linkColumns+` FROM links l
WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.entity_id = ANY(ARRAY(SELECT * FROM hit))`, args...)
	results := t.tx.SendBatch(ctx, b)
	rows, err := results.Query()
	if err == nil {
		out.Entities, err = pgx.CollectRows(rows, scanEntity)
	}
	byID := make(map[record.EntityID]*record.Entity, len(out.Entities))
	ids := make([]record.EntityID, len(out.Entities))
	for i, e := range out.Entities {
		byID[e.ID], ids[i] = e, e.ID
	}
	type place struct{ systems, objects, keys []string }
	var at place
	if err == nil {
		if rows, err = results.Query(); err == nil {
			for rows.Next() {
				id, l, scanErr := scanLink(rows)
				if scanErr != nil {
					err = scanErr
					break
				}
				if e := byID[id]; e != nil {
					e.Links[l.System] = l
					at.systems, at.objects, at.keys = append(at.systems, string(l.System)), append(at.objects, string(l.Object)), append(at.keys, string(l.Key))
				}
			}
			rows.Close()
			if err == nil {
				err = rows.Err()
			}
		}
	}
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return out, unavailable(err)
	}
	if seat != nil {
		at = place{keys: texts(keys)}
		for range keys {
			at.systems, at.objects = append(at.systems, string(seat.System)), append(at.objects, string(seat.Object))
		}
	}
	out.Owed, out.DeadOut = make(map[record.System]map[record.EntityID]bool), make(map[record.System]map[record.EntityID]bool)
	out.DeadIn, out.Held = make(map[record.System]map[record.Key]bool), make(map[record.System]map[record.Key]bool)
	b = &pgx.Batch{}
	byEntity := func(into map[record.System]map[record.EntityID]bool) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			for rows.Next() {
				var system string
				var id [16]byte
				if err := rows.Scan(&system, &id); err != nil {
					return err
				}
				if into[record.System(system)] == nil {
					into[record.System(system)] = make(map[record.EntityID]bool)
				}
				into[record.System(system)][record.EntityID(id)] = true
			}
			return rows.Err()
		}
	}
	byKey := func(into map[record.System]map[record.Key]bool) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			for rows.Next() {
				var system, key string
				if err := rows.Scan(&system, &key); err != nil {
					return err
				}
				if into[record.System(system)] == nil {
					into[record.System(system)] = make(map[record.Key]bool)
				}
				into[record.System(system)][record.Key(key)] = true
			}
			return rows.Err()
		}
	}
	// Deliveries first and attempts after: a duty moves from the former to the latter, so that it is seen in one of them.
	b.Queue(`SELECT system, entity_id FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = ANY($2)`, sid, uuids(ids)).Query(byEntity(out.Owed))
	b.Queue(`SELECT a.system, u.entity FROM attempts a, unnest(a.entity_ids) AS u(entity) WHERE a.tenant_id = current_tenant() AND a.service_id = $1 AND u.entity = ANY($2)`, sid, uuids(ids)).Query(byEntity(out.Owed))
	b.Queue(`SELECT system, entity_id FROM dead_letters WHERE tenant_id = current_tenant() AND service_id = $1 AND direction = 'out' AND state <> 'settled' AND entity_id = ANY($2)`, sid, uuids(ids)).
		Query(byEntity(out.DeadOut))
	b.Queue(`SELECT d.system, d.key FROM dead_letters d JOIN unnest($2::text[], $3::text[], $4::text[]) AS w(system, object, key)
  ON d.system = w.system AND d.object = w.object AND d.key = w.key WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.direction = 'in' AND d.state <> 'settled'`,
		sid, at.systems, at.objects, at.keys).Query(byKey(out.DeadIn))
	b.Queue(`SELECT d.system, d.key FROM held_changes d JOIN unnest($2::text[], $3::text[], $4::text[]) AS w(system, object, key)
  ON d.system = w.system AND d.object = w.object AND d.key = w.key WHERE d.tenant_id = current_tenant() AND d.service_id = $1`,
		sid, at.systems, at.objects, at.keys).Query(byKey(out.Held))
	return out, t.send(ctx, b)
}

// Differences lists what the comparison found, in the order in which it did.
func (t *Tx) Differences(ctx context.Context, s service.ID, pass uuid.UUID, q engine.DifferenceQuery) ([]engine.Difference, error) {
	rows, err := t.tx.Query(ctx, `SELECT id, system, object, collection, key, entity_id, title, reason, fields, healed, found_at FROM proof_differences
WHERE tenant_id = current_tenant() AND service_id = $1 AND pass = $2 AND ($3 = '' OR system = $3) AND ($4 = '' OR reason = $4) AND id > $5 ORDER BY id LIMIT $6`,
		uuid.UUID(s), pass, string(q.System), string(q.Reason), q.After, q.Limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d engine.Difference, err error) {
		var system, object, key, reason string
		var entity *uuid.UUID
		err = row.Scan(&d.ID, &system, &object, &d.Collection, &key, &entity, &d.Title, &reason, &d.Fields, &d.Healed, &d.FoundAt)
		d.System, d.Object, d.Key, d.Reason = record.System(system), record.Object(object), record.Key(key), engine.Reason(reason)
		if entity != nil {
			d.Entity = record.EntityID(*entity)
		}
		return d, err
	})
}
