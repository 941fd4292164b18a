// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

// Rows are changed where they lie, and by their keys where they do not lie there any more: what is written is the same, and who looks whether
// they moved is told so.
func TestPlaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, id, owner, guard := carried(t)
	seat := &engine.Seat{System: "west", Object: "products", Collection: &engine.Collection{Name: "products"}, Reads: true, Writes: true}
	inTx := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := db.InTenant(ctx, id, fn); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	var made engine.Outcome
	for range 3 {
		e := &record.Entity{ID: record.NewEntityID(), Collection: "products", Fields: record.Fields{"n": record.Int(0)}, Origin: "west", Version: 1, CreatedAt: now, ChangedAt: now}
		l := &record.Link{System: "west", Object: "products", Key: record.Key(e.ID.String()), State: record.Synced, SyncedAt: now}
		e.Links = map[record.System]*record.Link{"west": l}
		made.New, made.NewLinks = append(made.New, e), append(made.NewLinks, engine.LinkRow{Entity: e.ID, Link: l})
	}
	save := func(tx *store.Tx, o engine.Outcome) error {
		return tx.SaveIntake(ctx, guard, engine.Intake{Seat: seat, Outcome: o})
	}
	inTx(func(tx *store.Tx) error { return save(tx, made) })
	ids := make([]record.EntityID, len(made.New))
	for i, e := range made.New {
		ids[i] = e.ID
	}
	load := func(tx *store.Tx) []*record.Entity {
		t.Helper()
		list, err := tx.LoadEntities(ctx, guard, ids, true)
		if err != nil || len(list) != len(ids) {
			t.Fatalf("%d entities were loaded, %v", len(list), err)
		}
		return list
	}
	changed := func(list []*record.Entity, n int64) (o engine.Outcome) {
		for _, e := range list {
			e.Fields["n"], e.Links["west"].Behind = record.Int(n), record.Fields{"n": record.Int(n - 1)}
			o.Changed, o.Links = append(o.Changed, e), append(o.Links, engine.LinkRow{Entity: e.ID, Link: e.Links["west"]})
		}
		return o
	}
	holds := func(n int64) {
		t.Helper()
		inTx(func(tx *store.Tx) error {
			for _, e := range load(tx) {
				if !record.Equal(e.Fields["n"], record.Int(n)) || !record.Equal(e.Links["west"].Behind["n"], record.Int(n-1)) {
					t.Errorf("%s holds %v, and its link is behind with %v, after change %d", e.ID, e.Fields, e.Links["west"].Behind, n)
				}
			}
			return nil
		})
	}
	moved := func(list []*record.Entity, want ...record.EntityID) {
		t.Helper()
		inTx(func(tx *store.Tx) error {
			got, err := tx.Moved(ctx, guard, seat, list)
			if err == nil && !slices.Equal(got, want) {
				t.Errorf("moved are %v, want %v", got, want)
			}
			return err
		})
	}

	var list []*record.Entity
	inTx(func(tx *store.Tx) error { list = load(tx); return save(tx, changed(list, 1)) })
	holds(1)
	for _, e := range list {
		if e.Place == 0 || e.Links["west"].Place == 0 {
			t.Errorf("nobody knows where %s lies that was just written", e.ID)
		}
	}
	moved(list) // they are where the commit left them
	inTx(func(tx *store.Tx) error { return save(tx, changed(list, 2)) })
	holds(2)

	// Somebody else writes one entity, and the link of another; the third stays.
	for _, sql := range []string{`UPDATE entities SET version = version + 1 WHERE id = $1`, `UPDATE links SET synced_at = now() WHERE entity_id = $2`} {
		if _, err := owner.Exec(ctx, `WITH ids AS (SELECT $1::uuid, $2::uuid) `+sql, uuid.UUID(ids[0]), uuid.UUID(ids[1])); err != nil {
			t.Fatal(err)
		}
	}
	moved(list, ids[0], ids[1])
	inTx(func(tx *store.Tx) error { return save(tx, changed(list, 3)) })
	holds(3)

	// Another row lies where theirs lay.
	inTx(func(tx *store.Tx) error { list = load(tx); return nil })
	list[0].Place, list[1].Place = list[1].Place, list[0].Place
	a, b := list[0].Links["west"], list[1].Links["west"]
	a.Place, b.Place = b.Place, a.Place
	moved(list, ids[0], ids[1])
	inTx(func(tx *store.Tx) error { return save(tx, changed(list, 4)) })
	holds(4)

	// What is not known is looked up.
	inTx(func(tx *store.Tx) error { list = load(tx); return nil })
	list[1].Place, list[2].Links["west"].Place = 0, 0
	moved(list)
	inTx(func(tx *store.Tx) error { return save(tx, changed(list, 5)) })
	holds(5)
}
