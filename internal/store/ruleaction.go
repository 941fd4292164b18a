// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

type actColumns struct {
	ids, entities                                        [][16]byte
	collections, titles, rules, actions, systems, states []string
	fields, options, targets                             []*string
	at                                                   []time.Time
	lapsed                                               []*time.Time
}

func (c *actColumns) add(a *engine.Act) error {
	options, err := json.Marshal(a.Options)
	if err != nil {
		return fmt.Errorf("encoding the options of a rule: %w", err)
	}
	c.ids, c.entities = append(c.ids, a.ID), append(c.entities, a.Entity)
	c.collections, c.titles, c.rules = append(c.collections, a.Collection), append(c.titles, a.Title), append(c.rules, a.Rule)
	c.actions, c.systems, c.states = append(c.actions, a.Action), append(c.systems, string(a.System)), append(c.states, string(a.State))
	targets, err := json.Marshal(a.Targets)
	if err != nil {
		return fmt.Errorf("encoding the targets of a rule: %w", err)
	}
	text, names := string(options), string(targets)
	c.targets, c.lapsed = append(c.targets, &names), append(c.lapsed, a.LapsedAt)
	c.fields, c.options, c.at = append(c.fields, fieldsText(a.Fields)), append(c.options, &text), append(c.at, a.At)
	return nil
}

// queueActs writes what business rules did with a page: what they note, what no longer waits, and what repeats another
// record within a window. A record that repeats is compared with those remembered, this page's included.
func queueActs(b *pgx.Batch, sid uuid.UUID, now time.Time, o engine.Outcome) error {
	if len(o.Lapsed) > 0 {
		var ids [][16]byte
		for _, l := range o.Lapsed {
			ids = append(ids, l.ID)
		}
		// What a person or a program did stays done; what waits, and a mark, is over. Engine.ActState.EndsWhenLapsed says the same.
		b.Queue(`UPDATE rule_actions a SET lapsed_at = $3, version = a.version + 1,
  decided_at = CASE WHEN a.state IN ('open', 'wanted') OR a.state = 'done' AND a.action = $4 THEN $3 ELSE a.decided_at END,
  state = CASE WHEN a.state IN ('open', 'wanted') OR a.state = 'done' AND a.action = $4 THEN 'lapsed' ELSE a.state END
FROM unnest($2::uuid[]) AS u (id) WHERE a.tenant_id = current_tenant() AND a.service_id = $1 AND a.id = u.id AND a.lapsed_at IS NULL`, sid, ids, now, engine.ActReconciled)
	}
	if len(o.Acts) > 0 {
		var c actColumns
		for i := range o.Acts {
			if err := c.add(&o.Acts[i]); err != nil {
				return err
			}
		}
		b.Queue(`INSERT INTO rule_actions (tenant_id, id, service_id, entity_id, collection, title, rule, action, system, state, fields, options, at, targets, lapsed_at, decided_at)
SELECT current_tenant(), u.id, $1, u.entity_id, u.collection, u.title, u.rule, u.action, u.system, u.state, u.fields::jsonb, u.options::jsonb, u.at, u.targets::jsonb, u.lapsed_at,
  CASE WHEN u.state = 'lapsed' THEN u.lapsed_at END
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[])
  AS u (id, entity_id, collection, title, rule, action, system, state, fields, options, at, targets, lapsed_at)`,
			sid, c.ids, c.entities, c.collections, c.titles, c.rules, c.actions, c.systems, c.states, c.fields, c.options, c.at, c.targets, c.lapsed)
	}
	if len(o.Seen) == 0 {
		return nil
	}
	queueSaid(b, sid, o.Seen)
	var c actColumns
	var keys []string
	var seen []time.Time
	var windows []int64
	for i := range o.Seen {
		s := &o.Seen[i]
		if s.Act.ID == uuid.Nil {
			continue // only remembered
		}
		if err := c.add(&s.Act); err != nil {
			return err
		}
		keys, seen, windows = append(keys, s.Key), append(seen, s.At), append(windows, int64(s.Window/time.Second))
	}
	if len(c.ids) == 0 {
		return nil
	}
	b.Queue(`INSERT INTO rule_actions (tenant_id, id, service_id, entity_id, collection, title, rule, action, system, state, fields, options, other_id, at)
SELECT current_tenant(), u.id, $1, u.entity_id, u.collection, u.title, u.rule, u.action, u.system, u.state, u.fields::jsonb, u.options::jsonb, o.entity_id, u.at
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::bigint[])
  AS u (id, entity_id, collection, title, rule, action, system, state, fields, options, at, key, seen, span),
LATERAL (SELECT s.entity_id FROM rule_seen s WHERE s.tenant_id = current_tenant() AND s.service_id = $1 AND s.rule = u.rule AND s.key = u.key AND s.entity_id <> u.entity_id
  AND s.at BETWEEN u.seen - make_interval(secs => u.span) AND u.seen + make_interval(secs => u.span)
  AND (s.at, s.entity_id) < (u.seen, u.entity_id) ORDER BY s.at DESC LIMIT 1) o
ON CONFLICT DO NOTHING`, sid, c.ids, c.entities, c.collections, c.titles, c.rules, c.actions, c.systems, c.states, c.fields, c.options, c.at, keys, seen, windows)
	return nil
}

// Acting lists what rules did with the entities that meet them still. The entities are locked, so that none is missed.
func (t *Tx) Acting(ctx context.Context, s service.ID, ids []record.EntityID) ([]engine.Acting, error) {
	rows, err := t.tx.Query(ctx, `SELECT a.id, a.entity_id, a.rule, a.action FROM unnest($2::uuid[]) AS w(id), LATERAL (
  SELECT * FROM rule_actions a WHERE a.tenant_id = current_tenant() AND a.service_id = $1 AND a.entity_id = w.id AND a.lapsed_at IS NULL AND a.other_id IS NULL OFFSET 0) a
ORDER BY a.entity_id, a.rule`, uuid.UUID(s), uuids(ids))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanActing)
	return list, unavailable(err)
}

func scanActing(row pgx.CollectableRow) (a engine.Acting, err error) {
	var entity [16]byte
	err = row.Scan(&a.ID, &entity, &a.Rule, &a.Action)
	a.Entity = record.EntityID(entity)
	return a, err
}

// Overtaken lists what rules did that still stands though the document has the rule no more, or lets it do something else.
func (t *Tx) Overtaken(ctx context.Context, s service.ID, rules, actions []string, limit int) ([]engine.Acting, error) {
	rows, err := t.tx.Query(ctx, `SELECT a.id, a.entity_id, a.rule, a.action FROM rule_actions a
WHERE a.tenant_id = current_tenant() AND a.service_id = $1 AND a.lapsed_at IS NULL AND a.other_id IS NULL AND a.action <> $2
  AND NOT EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS r (rule, action) WHERE r.rule = a.rule AND r.action = a.action)
LIMIT $5`, uuid.UUID(s), engine.ActRequireApproval, rules, actions, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, scanActing)
	return list, unavailable(err)
}

// SaveActs writes what business rules do apart from a page.
func (t *Tx) SaveActs(ctx context.Context, s service.ID, o engine.Outcome) error {
	b := &pgx.Batch{}
	queueJournal(b, uuid.UUID(s), o.Journal)
	if err := queueActs(b, uuid.UUID(s), t.now, o); err != nil {
		return err
	}
	return t.send(ctx, b)
}

// queueSaid remembers what records said when, for the checks that compare them.
func queueSaid(b *pgx.Batch, sid uuid.UUID, list []engine.Seen) {
	var rules, keys []string
	var entities [][16]byte
	var at []time.Time
	for i := range list {
		s := &list[i]
		rules, keys, entities, at = append(rules, s.Act.Rule), append(keys, s.Key), append(entities, s.Act.Entity), append(at, s.At)
	}
	b.Queue(`INSERT INTO rule_seen (tenant_id, service_id, rule, key, entity_id, at)
SELECT current_tenant(), $1, u.rule, u.key, u.entity_id, max(u.at) FROM unnest($2::text[], $3::text[], $4::uuid[], $5::timestamptz[]) AS u (rule, key, entity_id, at)
GROUP BY u.rule, u.key, u.entity_id
ON CONFLICT (tenant_id, service_id, rule, key, entity_id) DO UPDATE SET at = excluded.at`, sid, rules, keys, entities, at)
}

// Repeated finds the living records that said what the keys say.
func (t *Tx) Repeated(ctx context.Context, s service.ID, keys []engine.RepeatKey) ([]engine.Repeated, error) {
	var rules, texts []string
	for _, k := range keys {
		rules, texts = append(rules, k.Rule), append(texts, k.Key)
	}
	rows, err := t.tx.Query(ctx, `SELECT w.rule, w.key, s.entity_id, coalesce(s.match_key, ''), s.at FROM unnest($2::text[], $3::text[]) AS w(rule, key), LATERAL (
  SELECT r.entity_id, e.match_key, r.at FROM rule_seen r
  JOIN entities e ON e.tenant_id = r.tenant_id AND e.service_id = r.service_id AND e.id = r.entity_id
  WHERE r.tenant_id = current_tenant() AND r.service_id = $1 AND r.rule = w.rule AND r.key = w.key AND e.deleted_at IS NULL ORDER BY r.at DESC LIMIT 20) s`, uuid.UUID(s), rules, texts)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r engine.Repeated, err error) {
		var entity [16]byte
		err = row.Scan(&r.Rule, &r.Key, &entity, &r.Title, &r.At)
		r.Entity = record.EntityID(entity)
		return r, err
	})
}

const actSQL = `SELECT a.id, a.service_id, s.name, a.entity_id, a.collection, a.title, a.rule, a.action, a.system, a.state, a.fields, a.options, a.other_id, a.at, a.decided_at, a.decided_by, a.reason, a.version,
  a.targets, a.taken_at, a.taken_by, a.taker, a.reference, a.lapsed_at
FROM rule_actions a JOIN services s ON s.tenant_id = a.tenant_id AND s.id = a.service_id WHERE a.tenant_id = current_tenant()`

func scanAct(row pgx.CollectableRow) (c engine.ActCase, err error) {
	var sid uuid.UUID
	var entity [16]byte
	var other *[16]byte
	var system, state string
	var fields, options, targets []byte
	if err = row.Scan(&c.ID, &sid, &c.ServiceName, &entity, &c.Collection, &c.Title, &c.Rule, &c.Action, &system, &state, &fields, &options, &other, &c.At, &c.DecidedAt,
		&c.DecidedBy, &c.Reason, &c.Version, &targets, &c.TakenAt, &c.TakenBy, &c.Taker, &c.Reference, &c.LapsedAt); err != nil {
		return c, err
	}
	c.Service, c.Entity, c.System, c.State = service.ID(sid), record.EntityID(entity), record.System(system), engine.ActState(state)
	if other != nil {
		c.Other = record.EntityID(*other)
	}
	if targets != nil {
		if err = json.Unmarshal(targets, &c.Targets); err != nil {
			return c, err
		}
	}
	if fields != nil {
		if err = c.Fields.UnmarshalJSON(fields); err != nil {
			return c, err
		}
	}
	if options != nil {
		var f record.Fields
		if err = f.UnmarshalJSON(options); err != nil {
			return c, err
		}
		c.Options = f
	}
	return c, nil
}

// Acts lists what business rules did, the newest first.
func (t *Tx) Acts(ctx context.Context, q engine.ActQuery) ([]engine.ActCase, error) {
	sql, args := actSQL, []any{}
	and := func(condition string, v any) {
		args = append(args, v)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Service != (service.ID{}) {
		and("a.service_id = $%d", uuid.UUID(q.Service))
	}
	if q.State != "" {
		and("a.state = $%d", string(q.State))
	}
	if q.Action != "" {
		and("a.action = $%d", q.Action)
	}
	if !q.Entity.IsZero() {
		and("a.entity_id = $%d", uuid.UUID(q.Entity))
	}
	if q.Before != uuid.Nil {
		and("a.id < $%d", q.Before)
	}
	args = append(args, q.Limit)
	rows, err := t.tx.Query(ctx, sql+fmt.Sprintf(" ORDER BY a.id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return pgx.CollectRows(rows, scanAct)
}

// LockAct returns one action of a rule, locked; before it its record, where that is there: so do pages that change what rules do.
func (t *Tx) LockAct(ctx context.Context, id uuid.UUID) (engine.ActCase, error) {
	if _, err := t.tx.Exec(ctx, `SELECT FROM entities e JOIN rule_actions a ON a.tenant_id = e.tenant_id AND a.service_id = e.service_id AND a.entity_id = e.id
WHERE e.tenant_id = current_tenant() AND a.id = $1 FOR UPDATE OF e`, id); err != nil {
		return engine.ActCase{}, unavailable(err)
	}
	rows, err := t.tx.Query(ctx, actSQL+" AND a.id = $1 FOR UPDATE OF a", id)
	if err != nil {
		return engine.ActCase{}, unavailable(err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanAct)
	if err != nil {
		return c, notFound(err, "rule_action.not_found", "There is no action of a rule with that id.")
	}
	return c, nil
}

// SaveAct writes what a person decided. waiting says how many other approvals the record still waits for.
func (t *Tx) SaveAct(ctx context.Context, c engine.ActCase) (waiting int64, err error) {
	err = t.tx.QueryRow(ctx, `WITH saved AS (
  UPDATE rule_actions SET state = $2, decided_at = $3, decided_by = $4, reason = $5, taken_at = $9, taken_by = $10, reference = $11, taker = $12, version = version + 1
  WHERE tenant_id = current_tenant() AND id = $1 RETURNING id
)
SELECT count(*) FROM rule_actions a WHERE a.tenant_id = current_tenant() AND a.service_id = $6 AND a.entity_id = $7 AND a.action = $8
  AND a.state IN ('open', 'rejected') AND a.lapsed_at IS NULL AND a.id NOT IN (SELECT id FROM saved)`,
		c.ID, string(c.State), c.DecidedAt, c.DecidedBy, c.Reason, uuid.UUID(c.Service), uuid.UUID(c.Entity), engine.ActRequireApproval,
		c.TakenAt, c.TakenBy, c.Reference, c.Taker).Scan(&waiting)
	return waiting, unavailable(err)
}

// reconciledBy says which rules mark the entity as reconciled; nil when none does.
func (t *Tx) reconciledBy(ctx context.Context, s service.ID, id record.EntityID) (*engine.Reconciled, error) {
	var since *time.Time
	var rules []string
	err := t.tx.QueryRow(ctx, `SELECT min(at), array_agg(rule ORDER BY at, rule) FROM rule_actions
WHERE tenant_id = current_tenant() AND service_id = $1 AND entity_id = $2 AND action = $3 AND lapsed_at IS NULL AND other_id IS NULL`,
		uuid.UUID(s), uuid.UUID(id), engine.ActReconciled).Scan(&since, &rules)
	if err != nil || since == nil {
		return nil, unavailable(err)
	}
	return &engine.Reconciled{Since: *since, Rules: rules}, nil
}
