// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var usageNovember = billing.Month{Year: 2026, Month: time.November}.In(time.UTC)

func addUsage(db *store.DB, id tenant.ID, t interface{ Fatal(...any) }, events ...billing.UsageEvent) {
	err := db.InTenant(context.Background(), id, func(tx *store.Tx) error { return tx.AddUsage(context.Background(), events) })
	if err != nil {
		t.Fatal(err)
	}
}

func usageQuantities(db *store.DB, id tenant.ID, t interface{ Fatal(...any) }, p billing.Period) map[billing.Meter]int64 {
	sums := map[billing.Meter]int64{}
	err := db.InTenant(context.Background(), id, func(tx *store.Tx) error {
		cells, err := tx.Quantities(context.Background(), p)
		for _, c := range cells {
			sums[c.Meter] += c.Units
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// Invariant 6: whatever is repeated, in one call or later, counts once, and the first event stays as it was.
func TestUsageCountsOnce(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	attempt, service := uuid.New(), uuid.New()
	when := usageNovember.Start().Add(time.Hour)
	first := billing.Operations(attempt, 0, when, service, "shop", "stock", "products", 10)
	second := billing.Operations(attempt, 1, when, service, "shop", "orders", "orders", 3)
	changed := first
	changed.Quantity, changed.At = 99, when.Add(time.Hour)

	addUsage(db, id, t) // nothing is not a mistake
	addUsage(db, id, t, first, first, second, first)
	addUsage(db, id, t, second, changed)
	if got := usageQuantities(db, id, t, usageNovember)[billing.SyncOperations]; got != 13 {
		t.Errorf("%d operations, want 13", got)
	}
}

// Transactions that add the same keys at once wait for each other and do not deadlock.
func TestUsageAddedAtOnce(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	service := uuid.New()
	var forward, backward []billing.UsageEvent
	for n := range 200 {
		forward = append(forward, billing.IntegrationUsed(usageNovember.Start(), service, record.System(fmt.Sprint("system ", n)), n%2 == 0))
	}
	for n := range forward {
		backward = append(backward, forward[len(forward)-1-n])
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			events := [][]billing.UsageEvent{forward, backward}[n%2]
			if err := db.InTenant(t.Context(), id, func(tx *store.Tx) error { return tx.AddUsage(t.Context(), events) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := usageQuantities(db, id, t, usageNovember)[billing.Integrations]; got != 200 {
		t.Errorf("%d integrations, want 200", got)
	}
}

func TestIntegrationsAreDistinctSystemsWithAnyEvent(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	one, two := uuid.New(), uuid.New()
	day := func(n int) time.Time { return usageNovember.Start().AddDate(0, 0, n) }
	addUsage(db, id, t,
		billing.IntegrationUsed(day(1), one, "crm", false),
		billing.IntegrationUsed(day(2), one, "crm", false), // again
		billing.IntegrationUsed(day(2), two, "crm", false), // the same system in another service
		billing.IntegrationUsed(day(3), one, "sap", true),
		billing.Operations(uuid.New(), 0, day(4), one, "sap", "orders", "orders", 5),  // says nothing of the class
		billing.Operations(uuid.New(), 0, day(4), one, "shop", "orders", "orders", 5), // seen by its operations alone
		billing.RecordsCreated("c", day(4), one, "orders", "orders", 5),               // belongs to no system
		billing.IntegrationUsed(day(-1), one, "october", false),
		billing.IntegrationUsed(day(30), one, "december", false),
	)
	err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
		cells, err := tx.Quantities(t.Context(), usageNovember)
		if err != nil {
			return err
		}
		got := map[bool]int64{}
		for _, c := range cells {
			if c.Meter == billing.Integrations {
				got[c.Premium] += c.Units
			}
		}
		if got[false] != 3 || got[true] != 1 {
			t.Errorf("%d standard and %d premium integrations, want 3 and 1", got[false], got[true])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The ledger's SQL counts records as billing.RecordsLive defines it, for any lives and any period, by service and class too.
func TestRecordsAgreeWithTheirDefinition(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	rapid.Check(t, func(r *rapid.T) {
		id := storetest.Tenant(t, db)
		services := []uuid.UUID{uuid.New(), uuid.New()}
		var events []billing.UsageEvent
		for n := range rapid.IntRange(0, 12).Draw(r, "entities") {
			service := rapid.SampledFrom(services).Draw(r, "service")
			class := rapid.SampledFrom([]string{"products", "contacts"}).Draw(r, "class")
			entity, object := record.NewEntityID(), record.Object(class)
			var died time.Time
			// On a grid of days, so that moments fall on the bounds of periods.
			when := usageNovember.Start().AddDate(0, 0, rapid.IntRange(-3, 31).Draw(r, "born"))
			for step := range rapid.IntRange(1, 6).Draw(r, "steps") {
				commit := fmt.Sprint(n, ".", step)
				switch {
				case step == 0:
					events = append(events, billing.RecordsCreated(commit, when, service, object, class, 1))
				case step%2 == 1:
					events, died = append(events, billing.RecordsDeleted(commit, when, service, object, class, 1)), when
				default:
					events = append(events, billing.RecordRevived(commit, when, service, object, class, entity, died))
				}
				when = when.AddDate(0, 0, rapid.IntRange(1, 12).Draw(r, "days"))
			}
		}
		addUsage(db, id, r, events...)
		for _, m := range []billing.Month{usageNovember.Previous(), usageNovember.Month, usageNovember.Next()} {
			p := m.In(time.UTC)
			if got, want := usageQuantities(db, id, r, p)[billing.Records], billing.RecordsLive(p, events); got != want {
				r.Fatalf("%s: the ledger says %d records, the definition %d", p, got, want)
			}
			err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
				cells, err := tx.UsageCells(t.Context(), p, p.Days())
				if err != nil {
					return err
				}
				type place struct {
					service uuid.UUID
					class   string
				}
				got := map[place]int64{}
				for _, c := range cells {
					got[place{c.Service, c.DataClass}] += c.Units
				}
				for _, service := range services {
					for _, class := range []string{"products", "contacts"} {
						var of []billing.UsageEvent
						for _, e := range events {
							if e.Service == service && e.DataClass == class {
								of = append(of, e)
							}
						}
						if want := billing.RecordsLive(p, of); got[place{service, class}] != want {
							r.Fatalf("%s: %d %s of one service, want %d", p, got[place{service, class}], class, want)
						}
					}
				}
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
		}
	})
}

// The ledger refuses what cannot be a fact, and nobody rewrites it.
func TestTheLedgerIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	good := billing.Operations(uuid.New(), 0, usageNovember.Start(), uuid.New(), "shop", "stock", "products", 1)
	for _, quantity := range []int64{0, -1} {
		bad := good
		bad.Quantity = quantity
		err := db.InTenant(t.Context(), id, func(tx *store.Tx) error { return tx.AddUsage(t.Context(), []billing.UsageEvent{bad}) })
		if sqlState(err) != "23514" {
			t.Errorf("%d operations were taken: %v", quantity, err)
		}
	}
	addUsage(db, id, t, good)
	for _, statement := range []string{"UPDATE usage_events SET quantity = 0", "DELETE FROM usage_events", "TRUNCATE usage_events"} {
		if _, err := db.Pool().Exec(t.Context(), statement); sqlState(err) != "42501" {
			t.Errorf("%s: %v, want permission denied", statement, err)
		}
	}
}

// sqlState is the SQLSTATE of an error, "" for others.
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// Lookups are a meter of their own, and whoever was asked is no integration.
func TestEnrichmentsInTheLedger(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	service, when := uuid.New(), usageNovember.Start().Add(time.Hour)
	addUsage(db, id, t,
		billing.Enriched("c1", when, service, "lookup", "people", "contacts", 3),
		billing.Enriched("c1", when, service, "lookup", "people", "contacts", 3), // the same commit again
		billing.Enriched("c2", when, service, "lookup", "people", "contacts", 4),
		billing.Operations(uuid.New(), 0, when, service, "crm", "people", "contacts", 5))
	got := usageQuantities(db, id, t, usageNovember)
	if got[billing.Enrichments] != 7 || got[billing.SyncOperations] != 5 || got[billing.Integrations] != 1 {
		t.Errorf("the ledger says %v", got)
	}
}
