// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// bundle is a database of its own with a tenant, and a clock that the test sets.
type bundle struct {
	*testing.T
	ctx      context.Context
	db       *store.DB
	admin    *pgxpool.Pool
	manager  *plans.Manager
	invoicer *invoicing.Invoicer
	who      auth.Principal
	service  uuid.UUID
	clock    atomic.Pointer[time.Time]
}

func setup(t *testing.T, zone string) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{T: t, ctx: context.Background(), service: uuid.Must(uuid.NewV7())}
	b.setNow("2026-11-01T00:00:00Z")
	url := storetest.URL(t)
	b.db = storetest.Open(t, url, func() time.Time { return *b.clock.Load() })
	var err error
	b.admin, err = pgxpool.New(b.ctx, url)
	b.must(err)
	t.Cleanup(b.admin.Close)
	b.manager = plans.NewManager(store.InTx(b.db, func(tx *store.Tx) plans.Tx { return tx }), store.InOperated(b.db, func(tx *store.OperatorTx) plans.OperatorTx { return tx }))
	b.invoicer = invoicing.NewInvoicer(store.InTx(b.db, func(tx *store.Tx) invoicing.Tx { return tx }))
	id := storetest.Tenant(t, b.db)
	b.who = auth.System(id, "finance")
	b.exec(`UPDATE tenants SET time_zone = $2 WHERE id = $1`, uuid.UUID(id), zone)
	return b
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.admin.Exec(b.ctx, sql, args...)
	b.must(err)
}

func (b *bundle) setNow(s string) {
	t, err := time.Parse(time.RFC3339, s)
	b.must(err)
	b.clock.Store(&t)
}

func (b *bundle) used(when string, n int64) {
	b.Helper()
	t, err := time.Parse(time.RFC3339, when)
	b.must(err)
	b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error {
		return tx.AddUsage(b.ctx, []billing.UsageEvent{
			billing.Operations(uuid.Must(uuid.NewV7()), 0, t, b.service, "shop", "stock", "products", n),
			billing.IntegrationUsed(t, b.service, record.System("shop"), false),
		})
	}))
}

func (b *bundle) serves(name, document string) {
	b.Helper()
	id := uuid.Must(uuid.NewV7())
	b.exec(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at) VALUES ($1, $2, $3, 'active', 1, false, now(), now())`, uuid.UUID(b.who.Tenant), id, name)
	b.exec(`INSERT INTO revisions (tenant_id, service_id, number, document, source, format, author, created_at) VALUES ($1, $2, 1, $3, '', 'json', 'x', now())`, uuid.UUID(b.who.Tenant), id, document)
}

func (b *bundle) subscribe(w plans.Wish) plans.Present {
	b.Helper()
	p, err := b.manager.Subscribe(b.ctx, b.who, w)
	b.must(err)
	return p
}

func (b *bundle) refused(code string, w plans.Wish) string {
	b.Helper()
	_, err := b.manager.Subscribe(b.ctx, b.who, w)
	if !fault.IsCode(err, code) {
		b.Errorf("%+v: %v, want %s", w, err, code)
		return ""
	}
	return err.Error()
}

func (b *bundle) invoice(month string) string {
	b.Helper()
	m, err := billing.ParseMonth(month)
	b.must(err)
	i, err := b.invoicer.Draft(b.ctx, b.who.Tenant, m)
	b.must(err)
	text := i.RateCard + " " + i.Total.Fixed() + ":"
	for _, l := range i.Lines {
		if !l.Amount.Amount.IsZero() {
			text += " " + l.Price + " " + l.Amount.Fixed()
		}
	}
	return text
}

// A tenant goes through the plans, and the draft invoice follows: from nothing agreed over an upgrade in the middle of a month
// in which clocks change to a downgrade with the next period.
func TestSubscriptionsAndTheirInvoices(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	b.setNow("2026-10-02T10:00:00Z")
	b.used("2026-10-02T09:00:00Z", 100_000)
	if got := b.invoice("2026-10"); got != "per-sync 500.00: sync-operations 500.00" {
		t.Errorf("nothing agreed: %s", got)
	}

	// The exact middle of a month of 745 hours: 372.5 hours after midnight of the first.
	b.setNow("2026-10-16T10:30:00Z")
	if p := b.subscribe(plans.Wish{Plan: "platform-starter"}); p.Held.Plan.Name() != "platform-starter" || p.Scheduled != nil {
		t.Errorf("after the change: %+v", p.Held.Plan.Name())
	}
	b.used("2026-10-20T09:00:00Z", 300_000)
	// Half of $500; the quota is 250,000; 50,000 above it at $0.003.
	if got := b.invoice("2026-10"); got != "platform-starter 900.00: sync-operations 500.00 base@2 250.00 sync-operations@2 150.00" {
		t.Errorf("in the month of the upgrade: %s", got)
	}

	// A larger plan from the next month on; it changes nothing yet, and can be taken back and asked for again.
	p := b.subscribe(plans.Wish{Plan: "platform-professional", AddOns: []string{"white-label"}, Later: true})
	if p.Held.Plan.Name() != "platform-starter" || p.Scheduled == nil || p.Scheduled.From.Format(time.RFC3339) != "2026-10-31T23:00:00Z" {
		t.Errorf("a change for later: %+v", p.Scheduled)
	}
	if got := b.invoice("2026-10"); !strings.HasPrefix(got, "platform-starter 900.00") {
		t.Errorf("a change for later changes the month: %s", got)
	}
	b.refused("plans.unchanged", plans.Wish{Plan: "platform-professional", AddOns: []string{"white-label"}, Later: true})
	if p, err := b.manager.Withdraw(b.ctx, b.who); err != nil || p.Scheduled != nil {
		t.Errorf("taken back: %v, %+v", err, p.Scheduled)
	}
	if _, err := b.manager.Withdraw(b.ctx, b.who); !fault.IsCode(err, "plans.nothing_scheduled") {
		t.Errorf("taken back twice: %v", err)
	}
	b.subscribe(plans.Wish{Plan: "per-record", Later: true})
	b.subscribe(plans.Wish{Plan: "platform-professional", AddOns: []string{"white-label"}, Later: true}) // overtakes the one before

	b.setNow("2026-11-05T00:00:00Z")
	if got := b.invoice("2026-11"); got != "platform-professional 7000.00: base 2000.00 white-label 5000.00" {
		t.Errorf("the next month: %s", got)
	}
	if got := b.invoice("2026-10"); !strings.HasPrefix(got, "platform-starter 900.00") {
		t.Errorf("the month before: %s", got)
	}
	// Usage that arrives late is rated by what held when it happened.
	b.used("2026-10-30T09:00:00Z", 10_000)
	if got := b.invoice("2026-10"); !strings.HasPrefix(got, "platform-starter 930.00") {
		t.Errorf("late usage: %s", got)
	}
}

// Up to the last record of a plan nobody need look; one above it costs nothing by rule, and a person looks.
func TestRecordsAboveThePlanAreFlagged(t *testing.T) {
	b := setup(t, "UTC")
	b.subscribe(plans.Wish{Plan: "platform-starter"})
	b.setNow("2026-11-10T10:00:00Z")
	flags := func(more int64) (texts []string) {
		t.Helper()
		e := billing.RecordsCreated(uuid.NewString(), time.Date(2026, time.November, 3, 0, 0, 0, 0, time.UTC), b.service, "stock", "products", more)
		b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error { return tx.AddUsage(b.ctx, []billing.UsageEvent{e}) }))
		v, err := b.invoicer.Draft(b.ctx, b.who.Tenant, billing.Month{})
		b.must(err)
		if v.Total.Fixed() != "500.00" {
			t.Errorf("it comes to %s", v.Total)
		}
		for _, f := range v.Flags {
			texts = append(texts, string(f.Code)+": "+f.Text)
		}
		return texts
	}
	if got := flags(50_000); len(got) != 0 {
		t.Errorf("within the plan: %q", got)
	}
	if got := flags(1); len(got) != 1 || !strings.HasPrefix(got[0], "review: ") || !strings.Contains(got[0], "1 record") {
		t.Errorf("one above the plan: %q", got)
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	b := setup(t, "UTC")
	b.used("2026-11-03T09:00:00Z", 100_000)
	b.setNow("2026-11-16T00:00:00Z")
	for range 2 {
		p, err := b.manager.Preview(b.ctx, b.who, plans.Wish{Plan: "platform-starter", AddOns: []string{"white-label"}})
		b.must(err)
		if p.Now.Total.Fixed() != "500.00" || p.Month.Total.Fixed() != "3250.00" || p.Full.Total.Fixed() != "5500.00" {
			t.Errorf("now %s, with the change %s, a whole month %s", p.Now.Total, p.Month.Total, p.Full.Total)
		}
	}
	if p, err := b.manager.Present(b.ctx, b.who); err != nil || p.Held.ID != uuid.Nil {
		t.Errorf("after looking the plan is %s, %v", p.Held.Plan.Name(), err)
	}
}

// A plan that does not allow what services do is not chosen by accident, and names what is missing.
func TestPlansThatDoNotFit(t *testing.T) {
	b := setup(t, "UTC")
	b.serves("stock", `{"service": "stock", "systems": [{"id": "a"}, {"id": "b"}], "syncConfig": {"frequency": {"when": "realtime"}, "conflictResolution": {"strategy": "weighted"}}}`)
	text := b.refused("plans.in_use", plans.Wish{Plan: "platform-starter"})
	if !strings.Contains(text, "stock runs in real time (real-time-sync)") || !strings.Contains(text, "advanced-conflict-resolution") {
		t.Errorf("the message is %q", text)
	}
	b.refused("plans.in_use", plans.Wish{Plan: "platform-starter", AddOns: []string{"real-time-sync"}})
	b.refused("plans.in_use", plans.Wish{Plan: "per-integration-bidirectional"})
	b.subscribe(plans.Wish{Plan: "per-integration-bidirectional", AddOns: []string{"real-time-sync"}})
	b.refused("plans.plan_unknown", plans.Wish{Plan: "gold"})
	b.refused("plans.addon_unknown", plans.Wish{Plan: "per-sync", AddOns: []string{"teleportation"}})
	b.refused("plans.unchanged", plans.Wish{Plan: "per-integration-bidirectional", AddOns: []string{"real-time-sync", "advanced-conflict-resolution"}}) // has it in itself
}

// A custom plan is for one tenant, has versions, begins when it says, and a version that was agreed to stays as it was.
func TestCustomPlans(t *testing.T) {
	b := setup(t, "UTC")
	operator := auth.Operator(b.who.Tenant, "olga")
	special := billing.Plan{Text: "As agreed.", Card: billing.RateCard{Name: "example-ltd", Title: "Example Ltd", Currency: billing.USD, Minimum: decimal.NewFromInt(50), Prices: []billing.Price{
		{ID: "sync-operations", Title: "Sync operations", Meter: billing.SyncOperations, Scheme: billing.Package, Size: 10_000, Rate: decimal.NewFromInt(7)},
	}}, Allows: billing.Entitlements{AllFeatures: true, Integrations: 3}}
	first, err := b.manager.Publish(b.ctx, operator, special, "as agreed")
	b.must(err)
	b.subscribe(plans.Wish{Plan: "example-ltd"})
	special.Card.Prices[0].Rate = decimal.NewFromInt(9)
	special.From = time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
	second, err := b.manager.Publish(b.ctx, operator, special, "as agreed")
	b.must(err)
	if first.Card.Version != 1 || second.Card.Version != 2 {
		t.Errorf("the versions are %d and %d", first.Card.Version, second.Card.Version)
	}
	b.refused("plans.unchanged", plans.Wish{Plan: "example-ltd"}) // the second is for December
	b.used("2026-11-10T00:00:00Z", 95_000)
	b.setNow("2026-12-02T00:00:00Z")
	b.used("2026-12-01T12:00:00Z", 95_000)
	if got := b.invoice("2026-11"); got != "example-ltd 70.00: sync-operations 70.00" {
		t.Errorf("the first version: %s", got)
	}
	if got := b.invoice("2026-12"); got != "example-ltd 70.00: sync-operations 70.00" {
		t.Errorf("the new version came in by itself: %s", got)
	}
	b.subscribe(plans.Wish{Plan: "example-ltd", Later: true})
	b.setNow("2027-01-02T00:00:00Z")
	b.used("2027-01-01T12:00:00Z", 95_000)
	if got := b.invoice("2027-01"); got != "example-ltd 90.00: sync-operations 90.00" {
		t.Errorf("the second version: %s", got)
	}
	b.serves("wide", `{"service": "wide", "systems": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}]}`)
	b.subscribe(plans.Wish{Plan: "per-sync"})
	b.refused("plans.in_use", plans.Wish{Plan: "example-ltd"})

	if _, err := b.manager.Publish(b.ctx, operator, billing.DefaultPlan(), "as agreed"); !fault.IsCode(err, "plans.name_taken") {
		t.Errorf("a custom plan takes a name of the price list: %v", err)
	}
	special.Card.Prices[0].Size = 0
	if _, err := b.manager.Publish(b.ctx, operator, special, "as agreed"); !fault.IsCode(err, "plans.plan_malformed") {
		t.Errorf("a faulty plan is published: %v", err)
	}
}
