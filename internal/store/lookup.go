// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// queueInquiries makes lookups due, unless the same question was answered.
func queueInquiries(b *pgx.Batch, sid uuid.UUID, now time.Time, list []engine.Inquiry) {
	for _, q := range list {
		b.Queue(`INSERT INTO lookups (tenant_id, service_id, source, entity_id, collection, due_at)
SELECT current_tenant(), $1, $2, u.id, $3, $6 FROM unnest($4::uuid[], $5::text[]) AS u(id, question) ORDER BY u.id
ON CONFLICT (tenant_id, service_id, source, entity_id) DO UPDATE SET due_at = excluded.due_at
WHERE (lookups.due_at IS NULL OR lookups.due_at > excluded.due_at) AND lookups.question NOT IN (
  SELECT u.question FROM unnest($4::uuid[], $5::text[]) AS u(id, question) WHERE u.id = lookups.entity_id AND u.question <> '')`,
			sid, string(q.Source), q.Collection, uuids(q.Entities), q.Questions, now)
	}
}

// Inquire makes lookups due.
func (t *Tx) Inquire(ctx context.Context, s service.ID, list []engine.Inquiry) error {
	b := &pgx.Batch{}
	queueInquiries(b, uuid.UUID(s), t.now, list)
	return t.send(ctx, b)
}

// PendingLookups lists what the source is to be asked about the collection.
func (t *Tx) PendingLookups(ctx context.Context, s service.ID, l *engine.Lookup, before []record.System, limit int) (p engine.Pending, err error) {
	err = t.tx.QueryRow(ctx, `SELECT coalesce((SELECT asked FROM lookup_counts WHERE tenant_id = current_tenant() AND service_id = $1 AND source = $2 AND since = $4), 0),
  (SELECT min(due_at) FROM lookups WHERE tenant_id = current_tenant() AND service_id = $1 AND source = $2 AND collection = $3 AND due_at > $5)`,
		uuid.UUID(s), string(l.Name), l.Seat.Collection.Name, l.Period(t.now), t.now).Scan(&p.Asked, &p.Next)
	if err != nil {
		return p, unavailable(err)
	}
	rows, err := t.tx.Query(ctx, `SELECT l.entity_id, l.question, l.outcome, l.asked_at FROM lookups l
WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.source = $2 AND l.collection = $3 AND l.due_at <= $4
  AND NOT EXISTS (SELECT FROM lookups b WHERE b.tenant_id = l.tenant_id AND b.service_id = l.service_id AND b.entity_id = l.entity_id
    AND b.source = ANY($5) AND b.due_at <= $4)
ORDER BY l.due_at, l.entity_id LIMIT $6`, uuid.UUID(s), string(l.Name), l.Seat.Collection.Name, t.now, texts(before), limit)
	if err != nil {
		return p, unavailable(err)
	}
	p.List, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (q engine.Inquired, err error) {
		var id [16]byte
		err = row.Scan(&id, &q.Question, (*string)(&q.Outcome), &q.AskedAt)
		q.Entity = record.EntityID(id)
		return q, err
	})
	return p, unavailable(err)
}

// LockLookups says which of the records the source is still to be asked about.
func (t *Tx) LockLookups(ctx context.Context, g engine.Guard, l *engine.Lookup, ids []record.EntityID) (map[record.EntityID]bool, error) {
	rows, err := t.tx.Query(ctx, `SELECT entity_id FROM lookups
WHERE tenant_id = current_tenant() AND service_id = $1 AND source = $2 AND entity_id = ANY($3) AND due_at <= $4 ORDER BY entity_id FOR UPDATE`,
		uuid.UUID(g.Service), string(l.Name), uuids(ids), t.now)
	if err != nil {
		return nil, unavailable(err)
	}
	due := make(map[record.EntityID]bool, len(ids))
	for rows.Next() {
		var id [16]byte
		if err := rows.Scan(&id); err != nil {
			rows.Close()
			return nil, err
		}
		due[record.EntityID(id)] = true
	}
	return due, unavailable(rows.Err())
}

const countLookups = `INSERT INTO lookup_counts AS c (tenant_id, service_id, source, since, asked, known, filled, failing_since, error_code, error)
VALUES (current_tenant(), $1, $2, $3, greatest($4, 0), $5, $6, CASE WHEN $7 <> '' THEN $9::timestamptz END, $7, $8)
ON CONFLICT (tenant_id, service_id, source, since) DO UPDATE SET asked = greatest(c.asked + $4, 0), known = c.known + excluded.known, filled = c.filled + excluded.filled,
  failing_since = CASE WHEN $7 <> '' THEN coalesce(c.failing_since, excluded.failing_since) END, error_code = excluded.error_code, error = excluded.error`

// SaveLookups writes what came of lookups, and adds to the period's count.
func (t *Tx) SaveLookups(ctx context.Context, g engine.Guard, source *engine.Source, list []engine.LookupRow, count engine.LookupCount) error {
	b := &pgx.Batch{}
	if n := len(list); n > 0 {
		ids, questions, outcomes, asked, dues := make([][16]byte, n), make([]string, n), make([]string, n), make([]bool, n), make([]*time.Time, n)
		for i, r := range list {
			ids[i], questions[i], outcomes[i], asked[i], dues[i] = r.Entity, r.Question, string(r.Outcome), r.Asked, r.Due
		}
		b.Queue(`UPDATE lookups l SET question = u.question, outcome = u.outcome, due_at = u.due, asked_at = CASE WHEN u.asked THEN $8 ELSE l.asked_at END
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::timestamptz[]) AS u(id, question, outcome, asked, due)
WHERE l.tenant_id = current_tenant() AND l.service_id = $1 AND l.source = $2 AND l.entity_id = u.id`,
			uuid.UUID(g.Service), string(source.Name), ids, questions, outcomes, asked, dues, t.now)
	}
	if count != (engine.LookupCount{}) || len(list) > 0 {
		b.Queue(countLookups, uuid.UUID(g.Service), string(source.Name), source.Period(t.now), count.Asked, count.Known, count.Filled, "", "", t.now)
	}
	return t.send(ctx, b)
}

// NoteSource writes that asking the source fails, or gives back what was counted.
func (t *Tx) NoteSource(ctx context.Context, g engine.Guard, source *engine.Source, count engine.LookupCount, code, message string) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	_, err := t.tx.Exec(ctx, countLookups, uuid.UUID(g.Service), string(source.Name), source.Period(t.now), count.Asked, count.Known, count.Filled, code, message, t.now)
	return unavailable(err)
}

// Lookups says how a service's lookup services do in the period that began then.
func (t *Tx) Lookups(ctx context.Context, s service.ID, source record.System, period time.Time) (f engine.LookupFigures, err error) {
	err = t.tx.QueryRow(ctx, `SELECT asked, known, filled, failing_since, error_code, error FROM lookup_counts
WHERE tenant_id = current_tenant() AND service_id = $1 AND source = $2 AND since = $3`, uuid.UUID(s), string(source), period).
		Scan(&f.Asked, &f.Known, &f.Filled, &f.FailingSince, &f.ErrorCode, &f.Error)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return f, unavailable(err)
	}
	err = t.tx.QueryRow(ctx, `SELECT count(*) FROM lookups WHERE tenant_id = current_tenant() AND service_id = $1 AND source = $2 AND due_at <= $3`,
		uuid.UUID(s), string(source), t.now).Scan(&f.Waiting)
	return f, unavailable(err)
}
