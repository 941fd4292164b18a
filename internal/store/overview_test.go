// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// TestOverviewsCount lays rows for two tenants and compares every figure.
func TestOverviewsCount(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)
	url := storetest.URL(t)
	db := storetest.Open(t, url, func() time.Time { return now })
	owner, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := owner.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
	furnish := func(id tenant.ID) service.ID {
		s := service.NewID()
		tid, sid := uuid.UUID(id), uuid.UUID(s)
		exec(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, pool, priority, created_at, updated_at) VALUES ($1, $2, 'stock', 'active', 1, true, 'default', 1, $3, $3)`, tid, sid, now)
		entity := uuid.Must(uuid.NewV7())
		exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at) VALUES ($1, $2, $3, 'products', 'SKU-1', '{"name": "Ridge Vest"}', 'shop', $4, $4)`, tid, sid, entity, now)
		exec(`INSERT INTO links (tenant_id, service_id, entity_id, system, object, key, state, synced_at) VALUES ($1, $2, $3, 'shop', 'products', '1', 'pending', $4), ($1, $2, $3, 'depot', 'products', '1', 'synced', $4)`, tid, sid, entity, now)
		for i, q := range []int64{5, 3, -2} {
			exec(`INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, quantity) VALUES ($1, $2, 'records', $3, $4, '', $5)`, tid, string(rune('a'+i)), now, sid, q)
		}
		for i, state := range []string{"open", "open", "resolved"} {
			exec(`INSERT INTO conflicts (tenant_id, id, service_id, entity_id, collection, field, sides, state, strategy, opened_at) VALUES ($1, $2, $3, $4, 'products', $5, '[]', $6, 'manual', $7)`,
				tid, uuid.Must(uuid.NewV7()), sid, entity, string(rune('a'+i)), state, now.Add(-time.Duration(i+1)*time.Hour))
		}
		exec(`INSERT INTO dead_letters (tenant_id, id, service_id, direction, system, object, key, op, code, message, state, first_at, last_at) VALUES ($1, $2, $3, 'in', 'shop', 'products', '9', 'upsert', 'c', 'm', 'open', $4, $4)`, tid, uuid.Must(uuid.NewV7()), sid, now)
		exec(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at) VALUES ($1, $2, 'shop', 'products', $3, $4, $4)`, tid, sid, entity, now.Add(-time.Minute))
		exec(`INSERT INTO attempts (tenant_id, service_id, id, system, collection, entity_ids, started_at, since) VALUES ($1, $2, $3, 'depot', 'products', ARRAY[$3, $4]::uuid[], $5, $5)`, tid, sid, uuid.Must(uuid.NewV7()), entity, now.Add(-time.Second))
		exec(`INSERT INTO cursors (tenant_id, service_id, system, object, phase, read_at, changed_at) VALUES ($1, $2, 'depot', 'products', 'stream', $3, $4)`, tid, sid, now, now.Add(-time.Minute))
		exec(`INSERT INTO cursors (tenant_id, service_id, system, object, phase, failing_since, error_code, error) VALUES ($1, $2, 'shop', 'products', 'snapshot', $3, 'connection.timeout', 'no answer')`, tid, sid, now.Add(-time.Hour))
		exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at, started_at, finished_at) VALUES ($1, $2, $3, 'first', 'partial', 'Ada', 1, $4, $4, $4)`, tid, uuid.Must(uuid.NewV7()), sid, now.Add(-2*time.Hour))
		exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, $2, $3, 'manual', 'queued', 'Ada', 1, $4)`, tid, uuid.Must(uuid.NewV7()), sid, now)
		for minutes, n := range map[int]int64{5: 3, 10: 4, 70: 10, 4000: 99} { // the last is before the span
			exec(`INSERT INTO counters (tenant_id, service_id, system, minute, created, updated, deleted, rejected, lag_ms, lag_max_ms, lag_count) VALUES ($1, $2, 'shop', $3, $4, 1, 0, 1, 200, 150, 2)`, tid, sid, now.Add(-time.Duration(minutes)*time.Minute), n)
		}
		exec(`INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system, after) VALUES ($1, $2, $3, $4, $5, 'change', 'update', 'shop', '{"name": "Ridge Vest"}')`, tid, at(now.Add(-time.Second)), sid, entity, now.Add(-time.Second))
		exec(`INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system, after) VALUES ($1, $2, $3, $4, $5, 'delivery', 'update', 'depot', '{"name": "Ridge Vest"}')`, tid, at(now), sid, entity, now)
		exec(`INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system) VALUES ($1, $2, $3, $4, $5, 'change', 'create', 'shop')`, tid, at(now.Add(-3*time.Hour)), sid, entity, now.Add(-3*time.Hour))
		return s
	}
	mine, other := storetest.Tenant(t, db), storetest.Tenant(t, db)
	s := furnish(mine)
	furnish(other)
	reader := engine.NewReader(store.InTx(db, func(tx *store.Tx) engine.ReadTx { return tx }))
	who := auth.System(mine, "test")

	over := engine.Span{Since: now.Truncate(time.Hour).Add(-3 * time.Hour), Step: time.Hour}
	for _, ask := range []service.ID{{}, s} {
		all, err := reader.Overviews(ctx, who, ask, over)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 {
			t.Fatalf("%d services", len(all))
		}
		o := all[s]
		if o.Records != 6 || o.Conflicts != 2 || o.DeadLetters != 1 || o.Owed != 3 || !o.Reading || !o.RunOpen || o.LastRun != service.RunQueued {
			t.Errorf("figures %+v", o)
		}
		if !o.OldestOpen.Equal(now.Add(-2*time.Hour)) || !o.OwedSince.Equal(now.Add(-time.Minute)) || !o.ChangedAt.Equal(now.Add(-time.Minute)) || !o.ReadAt.Equal(now) {
			t.Errorf("times %+v", o)
		}
		if len(o.Failing) != 1 || o.Failing[0] != (engine.Trouble{System: "shop", Code: "connection.timeout", Message: "no answer", Since: o.Failing[0].Since}) {
			t.Errorf("failing %+v", o.Failing)
		}
		// 12:25 and 12:20 in one hour, 11:20 in the one before.
		if len(o.Buckets) != 2 || o.Buckets[0].Applied != 11 || o.Buckets[1].Applied != 9 || o.Applied != 20 || o.Rejected != 3 || o.LagAverage != 100*time.Millisecond || o.LagMax != 150*time.Millisecond {
			t.Errorf("work %+v", o.Buckets)
		}
	}

	list, err := reader.Recents(ctx, who, s, uuid.Nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 { // what is older than an hour is a record's own history
		t.Fatalf("%d entries", len(list))
	}
	d := list[0]
	if d.Kind != record.Delivered || d.Lag != time.Second || d.Standing != record.Pending || d.ServiceName != "stock" || d.MatchKey != "SKU-1" || d.Fields["name"] != "Ridge Vest" || list[1].Lag != 0 {
		t.Errorf("entries %+v", list)
	}
	if list, err = reader.Recents(ctx, who, service.ID{}, list[0].ID, 10); err != nil || len(list) != 1 {
		t.Errorf("behind the first: %d entries, %v", len(list), err)
	}
}

// at is an id of that moment.
func at(t time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}
