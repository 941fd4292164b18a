// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Events of every kind, many of them twice, in any order, added by many at once while others move the sums on and some commits fail:
// for any span, also one that begins and ends in the middle of a quarter, the sums say what the events say, to the unit.
func TestSumsAreWhatTheEventsSay(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	ctx := t.Context()
	r := rand.New(rand.NewPCG(7, 11))
	services := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	start := usageNovember.Start()
	// Moments lie around two months, often on the very bounds of quarters.
	moment := func() time.Time {
		at := start.Add(time.Duration(r.Int64N(int64(61*24*time.Hour))) - 15*24*time.Hour).Truncate(time.Microsecond)
		switch r.IntN(4) {
		case 0:
			return at.Truncate(15 * time.Minute)
		case 1:
			return at.Truncate(24 * time.Hour)
		}
		return at
	}
	var events []billing.UsageEvent
	for n := range 1500 {
		at, service := moment(), services[r.IntN(len(services))]
		system := record.System([]string{"crm", "shop", "sap"}[r.IntN(3)])
		switch r.IntN(6) {
		case 0:
			events = append(events, billing.IntegrationUsed(at, service, system, system == "sap"))
		case 1:
			events = append(events, billing.Enriched(fmt.Sprint(n), at, service, "lookup", "people", "contacts", r.Int64N(9)+1))
		case 2:
			events = append(events, billing.RecordsCreated(fmt.Sprint(n), at, service, "people", []string{"contacts", "products"}[r.IntN(2)], r.Int64N(9)+1))
		case 3:
			died := moment()
			events = append(events, billing.RecordsDeleted(fmt.Sprint(n), died, service, "people", "contacts", 1),
				billing.RecordRevived(fmt.Sprint(n), died.Add(time.Duration(r.Int64N(int64(10*24*time.Hour)))).Truncate(time.Microsecond), service, "people", "contacts", record.NewEntityID(), died))
		default:
			e := billing.Operations(uuid.New(), r.IntN(2), at, service, system, "orders", "orders", r.Int64N(50)+1)
			e.Realtime, e.Complex, e.Premium = r.IntN(2) == 0, r.IntN(3) == 0, system == "sap"
			events = append(events, e)
		}
	}
	events = append(events, events[:len(events)/2]...)
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	var batches [][]billing.UsageEvent
	for len(events) > 0 {
		n := min(len(events), 1+r.IntN(40))
		batches, events = append(batches, events[:n]), events[n:]
	}
	work := make(chan []billing.UsageEvent)
	var adders, movers sync.WaitGroup
	died := errors.New("the process died")
	for n := range 4 {
		r := rand.New(rand.NewPCG(3, uint64(n)))
		adders.Go(func() {
			for batch := range work {
				fails := r.IntN(4) == 0
				err := db.InTenant(ctx, id, func(tx *store.Tx) error {
					if err := tx.AddUsage(ctx, batch); err != nil || !fails {
						return err
					}
					return died
				})
				if errors.Is(err, died) {
					err = db.InTenant(ctx, id, func(tx *store.Tx) error { return tx.AddUsage(ctx, batch) })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	for n := range 2 {
		r := rand.New(rand.NewPCG(4, uint64(n)))
		movers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				fails := r.IntN(3) == 0
				err := db.InTenant(ctx, id, func(tx *store.Tx) error {
					if _, err := tx.MoveUsage(ctx, 1+r.IntN(50)); err != nil || !fails {
						return err
					}
					return died
				})
				if err != nil && !errors.Is(err, died) {
					t.Error(err)
				}
				same(t, db, id) // at any moment, in one snapshot
			}
		})
	}
	for _, batch := range batches {
		work <- batch
	}
	close(work)
	adders.Wait()
	close(stop)
	movers.Wait()
	compare := func() {
		t.Helper()
		spans := [][2]time.Time{{start, usageNovember.End()}, {start.Add(-40 * 24 * time.Hour), start.Add(90 * 24 * time.Hour)}}
		for range 40 {
			from := moment()
			spans = append(spans, [2]time.Time{from, from.Add(time.Duration(r.Int64N(int64(20*24*time.Hour))) + time.Microsecond).Truncate(time.Microsecond)},
				[2]time.Time{from, from.Add(time.Duration(r.Int64N(int64(time.Hour))) + time.Microsecond).Truncate(time.Microsecond)})
		}
		err := db.InTenant(ctx, id, func(tx *store.Tx) error {
			for _, s := range spans {
				sums, err := tx.QuantitiesIn(ctx, s[0], s[1])
				if err != nil {
					return err
				}
				ledger, err := tx.LedgerQuantities(ctx, s[0], s[1])
				if err != nil {
					return err
				}
				if !billing.SameQuantities(sums, ledger) {
					t.Errorf("from %s to %s the sums say\n%v\nand the events\n%v", s[0], s[1], sums, ledger)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	compare()
	for {
		var moved int64
		err := db.InTenant(ctx, id, func(tx *store.Tx) (err error) {
			moved, err = tx.MoveUsage(ctx, 1_000)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if moved == 0 {
			break
		}
	}
	compare()
	same(t, db, id)
	if list, err := db.Operator().TenantsToSum(ctx); err != nil || len(list) != 0 {
		t.Errorf("still to be moved: %v, %v", list, err)
	}
}

// same fails when a sum is not what the events say.
func same(t *testing.T, db *store.DB, id tenant.ID) {
	t.Helper()
	err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
		list, err := tx.UsageDifferences(t.Context())
		if len(list) > 0 {
			t.Errorf("the sums differ: %v", list)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Whoever changed the sums by hand is found out, and the events hold.
func TestSumsAreMended(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	id := storetest.Tenant(t, db)
	service := uuid.New()
	addUsage(db, id, t, billing.Operations(uuid.New(), 0, usageNovember.Start(), service, "shop", "stock", "products", 5),
		billing.RecordsDeleted("c", usageNovember.Start().Add(time.Second), service, "stock", "products", 2))
	move := func() int64 {
		var moved int64
		err := db.InTenant(t.Context(), id, func(tx *store.Tx) (err error) {
			moved, err = tx.MoveUsage(t.Context(), 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return moved
	}
	if n := move(); n != 2 {
		t.Errorf("%d were moved, want 2", n)
	}
	admin, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, wrong := range []string{
		`UPDATE usage_rollups SET units = 7 WHERE meter = 'sync_operations'`, `DELETE FROM usage_rollups`,
		`INSERT INTO usage_deltas (tenant_id, meter, slot, service_id, system, object, data_class, realtime, complex, premium, since, units)
		 SELECT tenant_id, meter, slot, service_id, 'nobody', object, data_class, realtime, complex, premium, since, 9 FROM usage_rollups LIMIT 1`,
	} {
		if _, err := admin.Exec(t.Context(), wrong); err != nil {
			t.Fatal(err)
		}
		err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
			list, err := tx.UsageDifferences(t.Context())
			if err != nil || len(list) == 0 {
				t.Errorf("after %s nothing differs (%v)", wrong, err)
			}
			n, err := tx.MendUsage(t.Context())
			if n != int64(len(list)) {
				t.Errorf("%d differed and %d were mended", len(list), n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, db, id)
		move()
		same(t, db, id)
	}
}

// The same key in another month, so in another partition, is still the same event.
func TestKeysAreUniqueOverPartitions(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	e := billing.Operations(uuid.Must(uuid.NewV7()), 0, usageNovember.Start().Add(-time.Second), uuid.New(), "shop", "stock", "products", 3)
	later := e
	later.At = usageNovember.Start()
	addUsage(db, id, t, e)
	addUsage(db, id, t, later, later)
	if n := usageQuantities(db, id, t, usageNovember)[billing.SyncOperations]; n != 0 {
		t.Errorf("a repeated event counts %d in the month after", n)
	}
	if n := usageQuantities(db, id, t, usageNovember.Previous().In(time.UTC))[billing.SyncOperations]; n != 3 {
		t.Errorf("the event counts %d in its month, want 3", n)
	}
}

// An event that was counted is seen in the very next statement: there is nothing that a live counter waits for.
func TestCountersAreLive(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	service := uuid.New()
	for n := range int64(5) {
		addUsage(db, id, t, billing.Operations(uuid.New(), 0, usageNovember.Start().Add(time.Hour), service, "shop", "stock", "products", 1))
		if n%2 == 0 {
			if err := db.InTenant(context.Background(), id, func(tx *store.Tx) error { _, err := tx.MoveUsage(context.Background(), 100); return err }); err != nil {
				t.Fatal(err)
			}
		}
		if got := usageQuantities(db, id, t, usageNovember)[billing.SyncOperations]; got != n+1 {
			t.Errorf("after %d operations the counter says %d", n+1, got)
		}
	}
}
