// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

// LiveChannel is the PostgreSQL channel that says "this tenant has new events"; the payload is the tenant's bare id.
const LiveChannel = "syncline_live"

// Event is what EventsAfter returns.
type Event = live.Event

// Emit writes an event that is seen when, and only if, the transaction commits. service may be zero.
func (t *Tx) Emit(ctx context.Context, typ string, service uuid.UUID, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encoding event %s: %w", typ, err)
	}
	var id *uuid.UUID
	if service != uuid.Nil {
		id = &service
	}
	t.live = true
	return t.q.InsertEvent(ctx, db.InsertEventParams{At: t.now, Type: typ, ServiceID: id, Data: body})
}

// EmitAll writes events of one type, in their order.
func (t *Tx) EmitAll(ctx context.Context, typ string, service uuid.UUID, data []any) error {
	bodies := make([]string, len(data))
	for i, d := range data {
		body, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encoding event %s: %w", typ, err)
		}
		bodies[i] = string(body)
	}
	var id *uuid.UUID
	if service != uuid.Nil {
		id = &service
	}
	t.live = true
	_, err := t.tx.Exec(ctx, `INSERT INTO events (tenant_id, at, type, service_id, data)
SELECT current_tenant(), $1, $2, $3, u.body::jsonb FROM unnest($4::text[]) WITH ORDINALITY AS u (body, n) ORDER BY u.n`, t.now, typ, id, bodies)
	return unavailable(err)
}

// EventsAfter returns up to limit events after the one with that id, in commit order. An empty id means from now on: it
// returns no event but the id to go on from.
func (t *Tx) EventsAfter(ctx context.Context, last string, limit int) (events []Event, next string, err error) {
	xid, id, ok := splitEventID(last)
	if !ok {
		head, err := t.q.EventsHead(ctx)
		return nil, head + "-0", err
	}
	rows, err := t.q.EventsAfter(ctx, db.EventsAfterParams{AfterXid: xid, AfterID: id, Page: int32(min(limit, 1000))})
	if err != nil {
		return nil, last, unavailable(err)
	}
	next = last
	for _, r := range rows {
		next = r.Xid + "-" + strconv.FormatInt(r.ID, 10)
		e := Event{ID: next, At: r.At, Type: r.Type, Data: r.Data}
		if r.ServiceID != nil {
			e.Service = *r.ServiceID
		}
		events = append(events, e)
	}
	return events, next, nil
}

func splitEventID(s string) (xid string, id int64, ok bool) {
	xid, rest, found := strings.Cut(s, "-")
	if !found {
		return "", 0, false
	}
	if _, err := strconv.ParseUint(xid, 10, 64); err != nil {
		return "", 0, false
	}
	id, err := strconv.ParseInt(rest, 10, 64)
	return xid, id, err == nil
}

// DropEvents removes events older than before, of all tenants: they are kept for an hour. Named operator statement.
func (o *Operator) DropEvents(ctx context.Context, before time.Time) (int64, error) {
	return db.New(o.d.operator).DeleteEventsBefore(ctx, before)
}
