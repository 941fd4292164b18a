// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

var _ duplicate.Tx = (*Tx)(nil)

// mostInBlock bounds how many entities of one block a record is compared with, so that a block that half of all records are in
// costs no more than others.
const mostInBlock = 50

type likeRow struct {
	Field     string  `json:"field"`
	Likeness  float64 `json:"likeness"`
	Threshold float64 `json:"threshold"`
}

func likeText(list []match.FieldLikeness) (string, error) {
	rows := make([]likeRow, len(list))
	for i, f := range list {
		rows[i] = likeRow(f)
	}
	b, err := json.Marshal(rows)
	return string(b), err
}

const addDuplicatesSQL = `INSERT INTO duplicates (tenant_id, id, service_id, collection, a_id, b_id, score, fields, outcome, state, found_at)
SELECT current_tenant(), u.id, $1, u.collection, u.a, u.b, u.score, u.fields::jsonb, u.outcome, 'open', $8
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::float8[], $7::text[], $9::text[]) AS u(id, collection, a, b, score, fields, outcome)
ON CONFLICT (tenant_id, service_id, a_id, b_id) DO UPDATE SET score = excluded.score, fields = excluded.fields, outcome = excluded.outcome,
  state = CASE duplicates.state WHEN 'gone' THEN 'open' ELSE duplicates.state END, version = duplicates.version + 1
WHERE duplicates.state IN ('open', 'gone') AND (duplicates.state, duplicates.score, duplicates.outcome, duplicates.fields) IS DISTINCT FROM ('open', excluded.score, excluded.outcome, excluded.fields)`

func duplicateArgs(sid uuid.UUID, now time.Time, list []engine.Pair) ([]any, error) {
	var ids, as, bs [][16]byte
	var collections, fields, outcomes []string
	var scores []float64
	seen := make(map[[2]record.EntityID]bool)
	for _, p := range slices.Backward(list) { // the last word about a pair counts
		if seen[[2]record.EntityID{p.A, p.B}] {
			continue
		}
		seen[[2]record.EntityID{p.A, p.B}] = true
		text, err := likeText(p.Verdict.Fields)
		if err != nil {
			return nil, err
		}
		ids, as, bs = append(ids, p.ID), append(as, p.A), append(bs, p.B)
		collections, fields, outcomes, scores = append(collections, p.Collection), append(fields, text), append(outcomes, string(p.Verdict.Outcome)), append(scores, p.Verdict.Score)
	}
	return []any{sid, ids, collections, as, bs, scores, fields, now, outcomes}, nil
}

// queueAlike files entities under their blocks, and stores the pairs that a page made.
func queueAlike(b *pgx.Batch, sid uuid.UUID, now time.Time, collection string, blocks map[record.EntityID][]string, pairs []engine.Pair) error {
	queueBlocks(b, sid, collection, blocks)
	if len(pairs) == 0 {
		return nil
	}
	args, err := duplicateArgs(sid, now, pairs)
	if err != nil {
		return err
	}
	b.Queue(addDuplicatesSQL, args...)
	return nil
}

func queueBlocks(b *pgx.Batch, sid uuid.UUID, collection string, blocks map[record.EntityID][]string) {
	if len(blocks) == 0 {
		return
	}
	var all, ids [][16]byte
	var texts []string
	for id, list := range blocks {
		all = append(all, id)
		for _, block := range list {
			ids, texts = append(ids, id), append(texts, block)
		}
	}
	b.Queue(`DELETE FROM duplicate_blocks d USING unnest($2::uuid[]) AS w(id)
WHERE d.tenant_id = current_tenant() AND d.service_id = $1 AND d.entity_id = w.id
  AND (d.block, d.entity_id) NOT IN (SELECT * FROM unnest($3::text[], $4::uuid[]))`, sid, all, texts, ids)
	b.Queue(`INSERT INTO duplicate_blocks (tenant_id, service_id, collection, block, entity_id)
SELECT current_tenant(), $1, $2, u.block, u.id FROM unnest($3::text[], $4::uuid[]) AS u(block, id) ON CONFLICT DO NOTHING`, sid, collection, texts, ids)
}

// Alike finds the living entities that belong to the blocks.
func (t *Tx) Alike(ctx context.Context, s service.ID, collection string, blocks []string) ([]engine.Alike, error) {
	rows, err := t.tx.Query(ctx, `SELECT e.id, coalesce(e.match_key, ''), e.fields, h.blocks FROM (
  SELECT d.entity_id, array_agg(w.block) AS blocks FROM unnest($3::text[]) AS w(block), LATERAL (
    SELECT entity_id FROM duplicate_blocks WHERE tenant_id = current_tenant() AND service_id = $1 AND collection = $2 AND block = w.block ORDER BY entity_id LIMIT $4) d
  GROUP BY d.entity_id) h, LATERAL (
  SELECT * FROM entities WHERE tenant_id = current_tenant() AND service_id = $1 AND id = h.entity_id AND deleted_at IS NULL OFFSET 0) e ORDER BY e.id`,
		uuid.UUID(s), collection, blocks, mostInBlock)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a engine.Alike, err error) {
		var id [16]byte
		var fields []byte
		if err = row.Scan(&id, &a.MatchKey, &fields, &a.Blocks); err == nil {
			a.ID = record.EntityID(id)
			err = a.Fields.UnmarshalJSON(fields)
		}
		return a, err
	})
}

// Compare files the entities under their blocks and returns, of each, the living ones that share one.
func (t *Tx) Compare(ctx context.Context, s service.ID, collection string, blocks map[record.EntityID][]string) (map[record.EntityID][]duplicate.Candidate, error) {
	b := &pgx.Batch{}
	queueBlocks(b, uuid.UUID(s), collection, blocks)
	if err := t.send(ctx, b); err != nil {
		return nil, err
	}
	var texts []string
	for _, list := range blocks {
		texts = append(texts, list...)
	}
	slices.Sort(texts)
	near, err := t.Alike(ctx, s, collection, slices.Compact(texts))
	if err != nil {
		return nil, err
	}
	byBlock := make(map[string][]*engine.Alike)
	for i := range near {
		for _, block := range near[i].Blocks {
			byBlock[block] = append(byBlock[block], &near[i])
		}
	}
	out := make(map[record.EntityID][]duplicate.Candidate, len(blocks))
	for id, list := range blocks {
		seen := map[record.EntityID]bool{id: true}
		for _, block := range list {
			for _, a := range byBlock[block] {
				if !seen[a.ID] {
					seen[a.ID] = true
					out[id] = append(out[id], duplicate.Candidate{ID: a.ID, Fields: a.Fields})
				}
			}
		}
	}
	return out, nil
}

// AddDuplicates stores pairs that were found. A pair that is known keeps its decision.
func (t *Tx) AddDuplicates(ctx context.Context, s service.ID, list []duplicate.Pair) (int64, error) {
	if len(list) == 0 {
		return 0, nil
	}
	pairs := make([]engine.Pair, len(list))
	for i, p := range list {
		pairs[i] = engine.NewPair(p.Collection, p.A, p.B, p.Verdict)
	}
	args, err := duplicateArgs(uuid.UUID(s), t.now, pairs)
	if err != nil {
		return 0, err
	}
	tag, err := t.tx.Exec(ctx, addDuplicatesSQL, args...)
	return tag.RowsAffected(), unavailable(err)
}

const duplicateSQL = `SELECT d.id, d.service_id, s.name, d.collection, d.a_id, d.b_id, d.score, d.fields, d.outcome, d.state, d.found_at, d.decided_at, d.decided_by, d.reason, d.version, d.act, CASE WHEN d.act <> d.id THEN l.merge ELSE d.merge END
FROM duplicates d JOIN services s ON s.tenant_id = d.tenant_id AND s.id = d.service_id
LEFT JOIN duplicates l ON l.tenant_id = d.tenant_id AND l.id = d.act AND d.state = 'merged' WHERE d.tenant_id = current_tenant()`

func scanDuplicate(row pgx.CollectableRow) (p duplicate.Pair, err error) {
	var sid uuid.UUID
	var a, b [16]byte
	var outcome, state string
	var fields, merge []byte
	var act *uuid.UUID
	if err = row.Scan(&p.ID, &sid, &p.ServiceName, &p.Collection, &a, &b, &p.Verdict.Score, &fields, &outcome, &state, &p.FoundAt, &p.DecidedAt, &p.DecidedBy, &p.Reason, &p.Version, &act, &merge); err != nil {
		return p, err
	}
	p.Service, p.A, p.B, p.State, p.Verdict.Outcome = service.ID(sid), record.EntityID(a), record.EntityID(b), duplicate.State(state), match.Likely(outcome)
	if act != nil {
		p.Act = *act
	}
	var rows []likeRow
	if err = json.Unmarshal(fields, &rows); err != nil {
		return p, err
	}
	for _, r := range rows {
		p.Verdict.Fields = append(p.Verdict.Fields, match.FieldLikeness(r))
	}
	if merge != nil {
		p.Merge = &duplicate.Merge{}
		err = json.Unmarshal(merge, p.Merge)
	}
	return p, err
}

// Duplicates lists pairs with their records, the newest first.
func (t *Tx) Duplicates(ctx context.Context, q duplicate.Query) ([]duplicate.Pair, error) {
	sql, args := duplicateSQL, []any{}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Service != (service.ID{}) {
		and("d.service_id = $%d", uuid.UUID(q.Service))
	}
	if q.State != "" {
		and("d.state = $%d", string(q.State))
	}
	if q.Before != uuid.Nil {
		and("d.id < $%d", q.Before)
	}
	args = append(args, q.Limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY d.id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanDuplicate)
	if err != nil {
		return nil, unavailable(err)
	}
	byService := make(map[service.ID][]record.EntityID)
	for _, p := range list {
		byService[p.Service] = append(byService[p.Service], p.A, p.B)
	}
	for s, ids := range byService {
		byID, err := t.entitiesOf(ctx, s, ids, "")
		if err != nil {
			return nil, err
		}
		for i := range list {
			if list[i].Service == s {
				list[i].Records = [2]*record.Entity{byID[list[i].A], byID[list[i].B]}
			}
		}
	}
	return list, nil
}

func (t *Tx) entitiesOf(ctx context.Context, s service.ID, ids []record.EntityID, lock string) (map[record.EntityID]*record.Entity, error) {
	slices.SortFunc(ids, func(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) })
	rows, err := t.tx.Query(ctx, `SELECT `+entityColumns+` FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id = ANY($2) ORDER BY e.id `+lock, uuid.UUID(s), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, unavailable(err)
	}
	byID := make(map[record.EntityID]*record.Entity, len(list))
	for _, e := range list {
		byID[e.ID] = e
	}
	return byID, t.linksOf(ctx, s, list)
}

// LockDuplicate returns a pair, locked, with its records, locked in id order.
func (t *Tx) LockDuplicate(ctx context.Context, id uuid.UUID) (duplicate.Pair, error) {
	rows, err := t.tx.Query(ctx, duplicateSQL+" AND d.id = $1", id)
	if err != nil {
		return duplicate.Pair{}, unavailable(err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanDuplicate)
	if err != nil {
		return p, notFound(err, "duplicate.not_found", "There is no such pair of records.")
	}
	// The records first, as commits do that find pairs.
	byID, err := t.entitiesOf(ctx, p.Service, []record.EntityID{p.A, p.B}, "FOR UPDATE OF e")
	if err != nil {
		return p, err
	}
	if rows, err = t.tx.Query(ctx, duplicateSQL+" AND d.id = $1 FOR UPDATE OF d", id); err != nil {
		return p, unavailable(err)
	}
	if p, err = pgx.CollectExactlyOneRow(rows, scanDuplicate); err != nil {
		return p, notFound(err, "duplicate.not_found", "There is no such pair of records.")
	}
	p.Records = [2]*record.Entity{byID[p.A], byID[p.B]}
	return p, nil
}

// DuplicateGroup returns the group that the pair is in.
func (t *Tx) DuplicateGroup(ctx context.Context, id uuid.UUID, lock bool) (g duplicate.Group, err error) {
	rows, err := t.tx.Query(ctx, duplicateSQL+" AND d.id = $1", id)
	if err != nil {
		return g, unavailable(err)
	}
	if g.Pair, err = pgx.CollectExactlyOneRow(rows, scanDuplicate); err != nil {
		return g, notFound(err, "duplicate.not_found", "There is no such pair of records.")
	}
	ids := []record.EntityID{g.A, g.B}
	switch {
	case g.State == duplicate.Merged && g.Merge != nil:
		ids = g.Merge.Entities()
	case g.State == duplicate.Open, g.State == duplicate.Later:
		if ids, err = t.waitingWith(ctx, g.Service, g.A, g.B); err != nil {
			return g, err
		}
	}
	entities, pairs := "", ""
	if lock {
		// The records first, as commits do that find pairs.
		entities, pairs = "FOR UPDATE OF e", " FOR UPDATE OF d"
	}
	byID, err := t.entitiesOf(ctx, g.Service, ids, entities)
	if err != nil {
		return g, err
	}
	for _, id := range slices.SortedFunc(maps.Keys(byID), func(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) }) {
		g.Records = append(g.Records, byID[id])
	}
	if rows, err = t.tx.Query(ctx, duplicateSQL+" AND d.service_id = $1 AND d.a_id = ANY($2) AND d.b_id = ANY($2) ORDER BY d.id"+pairs, uuid.UUID(g.Service), uuids(ids)); err != nil {
		return g, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanDuplicate)
	if err != nil {
		return g, unavailable(err)
	}
	merged := g.State == duplicate.Merged
	for _, p := range list {
		if p.ID == id {
			g.Pair = p // as it is now that it is locked
		}
	}
	if g.Act == uuid.Nil {
		g.Act = g.ID // merged before acts were kept
	}
	for _, p := range list {
		switch {
		case merged && p.ID != g.ID && (p.State != duplicate.Merged || p.Act != g.Act):
		case p.State != duplicate.Gone:
			g.Pairs = append(g.Pairs, p)
		}
	}
	return g, nil
}

// waitingWith lists the records that are linked with the two by pairs that wait. The two are of it even when their pair was decided
// since it was read, so that it is read again once they are locked.
func (t *Tx) waitingWith(ctx context.Context, s service.ID, a, b record.EntityID) ([]record.EntityID, error) {
	rows, err := t.tx.Query(ctx, `WITH RECURSIVE near (id) AS (
  VALUES ($2::uuid), ($3)
  UNION
  SELECT CASE d.a_id WHEN n.id THEN d.b_id ELSE d.a_id END FROM near n
  JOIN duplicates d ON d.tenant_id = current_tenant() AND d.service_id = $1 AND (d.a_id = n.id OR d.b_id = n.id) AND d.state IN ('open', 'later')
)
SELECT id FROM near LIMIT $4`, uuid.UUID(s), uuid.UUID(a), uuid.UUID(b), duplicate.MostInGroup+1)
	if err != nil {
		return nil, unavailable(err)
	}
	return entityIDs(rows)
}

func entityIDs(rows pgx.Rows) ([]record.EntityID, error) {
	list, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	out := make([]record.EntityID, len(list))
	for i, id := range list {
		out[i] = record.EntityID(id)
	}
	return out, unavailable(err)
}

// HandOver closes the pairs that wait of records that were merged into the survivor, and lets it wait with the others instead.
func (t *Tx) HandOver(ctx context.Context, s service.ID, act uuid.UUID, survivor record.EntityID, losers []record.EntityID) (others []record.EntityID, err error) {
	rows, err := t.tx.Query(ctx, duplicateSQL+` AND d.service_id = $1 AND d.id <> $2 AND d.state IN ('open', 'later') AND (d.a_id = ANY($3) OR d.b_id = ANY($3))
  AND NOT (d.a_id = ANY($4) AND d.b_id = ANY($4)) ORDER BY d.id FOR UPDATE OF d`, uuid.UUID(s), act, uuids(losers), uuids(append([]record.EntityID{survivor}, losers...)))
	if err != nil {
		return nil, unavailable(err)
	}
	closed, err := pgx.CollectRows(rows, scanDuplicate)
	if err != nil || len(closed) == 0 {
		return nil, unavailable(err)
	}
	var ids, added []uuid.UUID
	pairs := make([]engine.Pair, len(closed))
	for i, p := range closed {
		other := p.A
		if slices.Contains(losers, other) {
			other = p.B
		}
		if p.State == duplicate.Later {
			p.Verdict.Outcome = match.Ask // somebody wanted to decide
		}
		pairs[i] = engine.NewPair(p.Collection, survivor, other, p.Verdict)
		others = append(others, other)
		ids, added = append(ids, p.ID), append(added, pairs[i].ID)
	}
	args, err := duplicateArgs(uuid.UUID(s), t.now, pairs)
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE duplicates SET state = 'gone', act = $2, decided_at = $3, reason = 'One of the two was merged into another record.', version = version + 1
WHERE tenant_id = current_tenant() AND id = ANY($1)`, ids, act, t.now)
	b.Queue(addDuplicatesSQL, args...)
	b.Queue(`UPDATE duplicates SET act = $2 WHERE tenant_id = current_tenant() AND id = ANY($1)`, added, act)
	return others, t.send(ctx, b)
}

// TakeBack undoes the HandOver of the act, as far as nobody has decided since.
func (t *Tx) TakeBack(ctx context.Context, s service.ID, act uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `UPDATE duplicates SET state = CASE state WHEN 'gone' THEN 'open' ELSE 'gone' END, act = NULL, decided_at = CASE state WHEN 'gone' THEN NULL ELSE $3::timestamptz END,
  reason = CASE state WHEN 'gone' THEN '' ELSE 'The merge that this came of was undone.' END, version = version + 1
WHERE tenant_id = current_tenant() AND service_id = $1 AND act = $2 AND id <> $2 AND state IN ('gone', 'open', 'later')`, uuid.UUID(s), act, t.now)
	return unavailable(err)
}

// SaveDuplicate writes what was decided about a pair; what a merge did stays where the pair has none.
func (t *Tx) SaveDuplicate(ctx context.Context, p duplicate.Pair) error {
	var merge *string
	var act *uuid.UUID
	if p.Act != uuid.Nil {
		act = &p.Act
	}
	if p.Merge != nil {
		b, err := json.Marshal(p.Merge)
		if err != nil {
			return fmt.Errorf("encoding a merge: %w", err)
		}
		text := string(b)
		merge = &text
	}
	_, err := t.tx.Exec(ctx, `UPDATE duplicates SET state = $2, decided_at = $3, decided_by = $4, reason = $5, merge = coalesce($6::jsonb, merge), act = $7, version = version + 1
WHERE tenant_id = current_tenant() AND id = $1`, p.ID, string(p.State), p.DecidedAt, p.DecidedBy, p.Reason, merge, act)
	return unavailable(err)
}

// OpenDuplicates counts the other pairs of the entity that wait for a decision.
func (t *Tx) OpenDuplicates(ctx context.Context, s service.ID, id record.EntityID, but uuid.UUID) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM duplicates WHERE tenant_id = current_tenant() AND service_id = $1 AND (a_id = $2 OR b_id = $2) AND id <> $3 AND state IN ('open', 'later')`,
		uuid.UUID(s), uuid.UUID(id), but).Scan(&n)
	return n, unavailable(err)
}

// CountDuplicates counts the pairs that wait for a person; of all services for the zero id.
func (t *Tx) CountDuplicates(ctx context.Context, s service.ID) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM duplicates WHERE tenant_id = current_tenant() AND ($1::uuid = '00000000-0000-0000-0000-000000000000' OR service_id = $1)
AND state = 'open' AND outcome = 'ask'`, uuid.UUID(s)).Scan(&n)
	return n, unavailable(err)
}

// Quiesce takes back what is owed to systems of the entities, which are locked, and says whether something of them is being
// sent. Who takes a duty on has its row first; so it is either taken back here, or seen as being sent.
func (t *Tx) Quiesce(ctx context.Context, s service.ID, ids []record.EntityID) (busy bool, err error) {
	if _, err := t.tx.Exec(ctx, `DELETE FROM deliveries WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = ANY($2)`, uuid.UUID(s), uuids(ids)); err != nil {
		return false, unavailable(err)
	}
	err = t.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM attempts WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_ids && $2)`, uuid.UUID(s), uuids(ids)).Scan(&busy)
	return busy, unavailable(err)
}

// SaveMerged writes entities with all their links, which may have moved between them, and history, and owes them to the systems.
func (t *Tx) SaveMerged(ctx context.Context, s service.ID, list []*record.Entity, entries []record.Entry, systems []string) error {
	b := &pgx.Batch{}
	sid := uuid.UUID(s)
	var links []engine.LinkRow
	ids := make([]record.EntityID, len(list))
	blocks := make(map[record.EntityID][]string)
	for i, e := range list {
		ids[i] = e.ID
		if e.DeletedAt != nil {
			blocks[e.ID] = nil
		}
		for _, l := range e.Links {
			links = append(links, engine.LinkRow{Entity: e.ID, Link: l})
		}
	}
	queueChangedEntities(b, sid, list)
	b.Queue(`DELETE FROM links WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = ANY($2)`, sid, uuids(ids))
	queueNewLinks(b, sid, links)
	queueJournal(b, sid, entries)
	queueMoot(b, sid, t.now, deletedOf(list))
	queueBlocks(b, sid, list[0].Collection, blocks)
	for _, system := range systems {
		queueDeliveries(b, sid, record.System(system), list[0].Collection, ids, t.now, t.now)
	}
	return t.send(ctx, b)
}

// Scans lists how far the service's records were compared.
func (t *Tx) Scans(ctx context.Context, s service.ID) ([]duplicate.Scan, error) {
	rows, err := t.tx.Query(ctx, `SELECT collection, rules, after_id, compared, found, started_at, finished_at FROM duplicate_scans
WHERE tenant_id = current_tenant() AND service_id = $1 ORDER BY collection`, uuid.UUID(s))
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c duplicate.Scan, err error) {
		var after [16]byte
		err = row.Scan(&c.Collection, &c.Rules, &after, &c.Compared, &c.Found, &c.StartedAt, &c.FinishedAt)
		c.After = record.EntityID(after)
		return c, err
	})
}

// SaveScan writes how far a collection's records were compared.
func (t *Tx) SaveScan(ctx context.Context, s service.ID, c duplicate.Scan) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO duplicate_scans (tenant_id, service_id, collection, rules, after_id, compared, found, started_at, finished_at)
VALUES (current_tenant(), $1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, service_id, collection) DO UPDATE SET rules = excluded.rules, after_id = excluded.after_id, compared = excluded.compared, found = excluded.found,
  started_at = excluded.started_at, finished_at = excluded.finished_at`, uuid.UUID(s), c.Collection, c.Rules, uuid.UUID(c.After), c.Compared, c.Found, c.StartedAt, c.FinishedAt)
	return unavailable(err)
}

// DropDuplicates forgets what was compared, closes the pairs that wait, and lists the entities that are held back because of
// them.
func (t *Tx) DropDuplicates(ctx context.Context, s service.ID) ([]record.EntityID, error) {
	tag, err := t.tx.Exec(ctx, `DELETE FROM duplicate_scans WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(s))
	if err != nil || tag.RowsAffected() == 0 {
		return nil, unavailable(err)
	}
	if _, err := t.tx.Exec(ctx, `DELETE FROM duplicate_blocks WHERE tenant_id = current_tenant() AND service_id = $1`, uuid.UUID(s)); err != nil {
		return nil, unavailable(err)
	}
	rows, err := t.tx.Query(ctx, `WITH closed AS (
  UPDATE duplicates SET state = 'gone', decided_at = $2, reason = 'The service does not look for duplicates any more.', version = version + 1
  WHERE tenant_id = current_tenant() AND service_id = $1 AND state IN ('open', 'later') RETURNING a_id, b_id
)
SELECT e.id FROM entities e WHERE e.tenant_id = current_tenant() AND e.service_id = $1 AND e.id IN (SELECT a_id FROM closed UNION SELECT b_id FROM closed) AND $3 = ANY(e.held) ORDER BY e.id`,
		uuid.UUID(s), t.now, record.Twin)
	if err != nil {
		return nil, unavailable(err)
	}
	return entityIDs(rows)
}
