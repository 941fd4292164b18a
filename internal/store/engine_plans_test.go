// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

// The plans of a page of few records are kept once the tables are large and looked at; those of any other page are made for it.
func TestPlansOfFewRecordsAreKept(t *testing.T) {
	ctx := context.Background()
	db, id, owner, guard := carried(t)
	for _, sql := range []string{
		`ALTER TABLE links SET (autovacuum_enabled = false)`, // it would look at the table at any time
		`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT $1, $2, gen_random_uuid(), 'products', 'SKU-' || i, '{}', 'west', now(), now() FROM generate_series(1, 20000) i`,
		`INSERT INTO links (tenant_id, service_id, entity_id, system, object, key, synced_at)
SELECT tenant_id, service_id, id, 'west', 'public.products', match_key, now() FROM entities WHERE tenant_id = $1 AND service_id = $2`,
	} {
		args := []any{uuid.UUID(id), uuid.UUID(guard.Service)}
		if sql[0] == 'A' {
			args = nil
		}
		if _, err := owner.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	west := &engine.Seat{System: "west", Object: "public.products", Collection: &engine.Collection{Name: "products", MatchFields: []string{"sku"}}}
	// load reads a page of so many records, and says how many plans its connection took that were kept; a
	// statement without parameters has no other.
	load := func(n int) (kept int) {
		t.Helper()
		keys, matches := make([]record.Key, n), make([]string, n)
		for i := range keys {
			matches[i] = fmt.Sprintf("SKU-%d", 1+i*7)
			keys[i] = record.Key(matches[i])
		}
		before := 0
		const count = `SELECT coalesce(sum(generic_plans), 0)::int FROM pg_prepared_statements WHERE parameter_types <> '{}'`
		if err := db.Pool().QueryRow(ctx, count).Scan(&before); err != nil {
			t.Fatal(err)
		}
		err := db.InTenant(ctx, id, func(tx *store.Tx) error {
			loaded, err := tx.Load(ctx, guard, west, keys, matches)
			if err == nil && len(loaded.Entities) != n {
				t.Errorf("%d of %d records were found", len(loaded.Entities), n)
			}
			for _, e := range loaded.Entities {
				if e.Links["west"] == nil {
					t.Errorf("%s has no link", e.MatchKey)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		after := 0
		if err := db.Pool().QueryRow(ctx, count).Scan(&after); err != nil {
			t.Fatal(err)
		}
		return after - before
	}
	if kept := load(1); kept != 0 {
		t.Errorf("%d plans are kept before the table was looked at", kept)
	}
	if _, err := owner.Exec(ctx, `ANALYZE links, entities`); err != nil {
		t.Fatal(err)
	}
	if kept := load(1); kept < 3 { // the guard, the entities, their links
		t.Errorf("%d plans are kept for a page of one record", kept)
	}
	if kept := load(200); kept != 0 {
		t.Errorf("%d plans are kept for a page of 200 records", kept)
	}
}
