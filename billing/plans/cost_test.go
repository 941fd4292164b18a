// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"context"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// Where a price falls for all units, more usage may cost less on its line; a minimum that is passed goes. The costs of the lines add up.
func TestEstimateOfPartsThatFall(t *testing.T) {
	b := setup(t, "UTC")
	b.subscribe(plans.Wish{Plan: "per-record"})
	records := func(n int64) billing.UsageEvent {
		return billing.RecordsCreated("c", *b.clock.Load(), b.service, "contacts", "contacts", n)
	}
	b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error { return tx.AddUsage(b.ctx, []billing.UsageEvent{records(10_000)}) }))
	e, err := b.manager.Estimate(b.ctx, b.who, plans.Assumed{Contacts: 1, Transactions: 20_000})
	b.must(err)
	sum := decimal.Zero
	for _, a := range e.Added {
		sum = sum.Add(a.Cost.Amount)
	}
	if !sum.Equal(e.Cost.Amount) || len(e.Added) < 2 || e.Added[0].Price != "contacts" || !e.Added[0].Cost.Amount.IsNegative() {
		t.Errorf("%s in all, lines %+v", e.Cost, e.Added)
	}
}

func TestCostOfTheMonth(t *testing.T) {
	b := setup(t, "UTC")
	b.exec(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at) VALUES ($1, $2, 'stock', 'active', 1, false, now(), now())`, uuid.UUID(b.who.Tenant), b.service)
	for _, day := range []string{"2026-10-28", "2026-10-29", "2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05", "2026-11-06"} {
		b.used(day+"T08:00:00Z", 10_000)
	}
	b.used("2026-10-30T18:00:00Z", 20_000)
	b.used("2026-10-05T08:00:00Z", 20_000)
	b.setNow("2026-11-06T12:00:00Z")
	c, err := b.manager.Cost(b.ctx, b.who)
	b.must(err)
	if c.Total.Fixed() != "300.00" || c.Before.Fixed() != "100.00" {
		t.Errorf("it costs %s, the month before at this point %s", c.Total, c.Before)
	}
	// 60,000 so far, and 24.5 days to go at the mean of the nine days since anything was counted lately, one of them busy.
	f := c.Forecast
	if f.Days != 9 || !f.Low.Amount.LessThan(f.Likely.Amount) || !f.Likely.Amount.LessThan(f.High.Amount) || f.Operations != 60_000+299_444 {
		t.Errorf("the forecast is %+v", f)
	}
	if len(c.Next) == 0 || c.Next[0].Left != 40_000 || c.Next[0].Rate.Fixed() != "0.005" || c.Next[0].NextRate.Fixed() != "0.003" {
		t.Errorf("the next tier: %+v", c.Next)
	}
	if len(c.Places) != 1 || c.Places[0].Units != 60_000 || c.Places[0].ServiceName != "stock" || c.Places[0].Object != "stock" {
		t.Errorf("places: %+v", c.Places)
	}
	if len(c.Changes) != 1 || c.Changes[0].Before != 20_000 || c.Changes[0].Now != 60_000 {
		t.Errorf("changes: %+v", c.Changes)
	}
}

// A month that went on evenly ends where the forecast said, and a range of nothing lies around it.
func TestForecastOfAnEvenMonth(t *testing.T) {
	b := setup(t, "UTC")
	for d := time.Date(2026, time.October, 4, 8, 0, 0, 0, time.UTC); d.Month() < time.November || d.Day() < 16; d = d.AddDate(0, 0, 1) {
		b.used(d.Format(time.RFC3339), 1_000)
	}
	b.setNow("2026-11-16T00:00:00Z")
	c, err := b.manager.Cost(b.ctx, b.who)
	b.must(err)
	if f := c.Forecast; f.Likely.Fixed() != "150.00" || !f.Low.Equal(f.High) || f.Operations != 30_000 {
		t.Errorf("the forecast is %+v, want $150.00 for 30,000 operations", f)
	}
	// A tenant of yesterday has a wide range and no division by nothing.
	other := setup2(b)
	c, err = b.manager.Cost(b.ctx, other)
	b.must(err)
	if f := c.Forecast; f.Days != 0 || f.Likely.Fixed() != "0.00" || f.High.Fixed() != "0.00" {
		t.Errorf("without usage the forecast is %+v", f)
	}
}

func TestEstimateAndSimulation(t *testing.T) {
	b := setup(t, "UTC")
	b.used("2026-10-10T08:00:00Z", 600_000)
	b.used("2026-11-02T08:00:00Z", 90_000)
	b.setNow("2026-11-20T00:00:00Z")
	// 10,000 more to the end of the first tier, the other 10,000 at the next one's rate, 20,000 surcharges.
	e, err := b.manager.Estimate(b.ctx, b.who, plans.Assumed{Syncs: 20_000, RealtimeSyncs: 20_000})
	b.must(err)
	if e.Before.Total.Fixed() != "450.00" || e.Cost.Fixed() != "120.00" {
		t.Errorf("before %s, it would add %s", e.Before.Total, e.Cost)
	}
	if len(e.Added) != 2 || e.Added[0].More != 20_000 || e.Added[0].Cost.Fixed() != "80.00" || len(e.Added[0].Explanation) != 2 || e.Added[1].Cost.Fixed() != "40.00" {
		t.Errorf("what changes: %+v", e.Added)
	}
	viewer := auth.Principal{Kind: auth.KindMember, Role: auth.Viewer, Tenant: b.who.Tenant}
	if e, err = b.manager.Estimate(b.ctx, viewer, plans.Assumed{Syncs: 20_000}); err != nil || e.Cost.Fixed() != "80.00" || e.Before.Lines != nil || !e.After.Total.Amount.IsZero() {
		t.Errorf("a viewer sees %+v, %v", e, err)
	}
	months, plan, err := b.manager.Simulate(b.ctx, b.who, plans.Wish{Plan: "platform-starter", AddOns: []string{"white-label"}}, 3)
	b.must(err)
	var got []string
	for _, m := range months {
		got = append(got, m.Period.Month.String()+" "+m.Actual.Total.Fixed()+" "+m.Then.Total.Fixed())
	}
	want := "2026-11 450.00 5500.00, 2026-10 2000.00 5800.00, 2026-09 0.00 5500.00"
	if strings.Join(got, ", ") != want || plan.Name() != "platform-starter" {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if _, _, err := b.manager.Simulate(b.ctx, b.who, plans.Wish{Plan: "platform-starter"}, 25); !fault.IsCode(err, "plans.months_malformed") {
		t.Errorf("25 months: %v", err)
	}
	if p, err := b.manager.Present(b.ctx, b.who); err != nil || p.Held.ID != uuid.Nil {
		t.Errorf("a simulation changed the plan: %v", err)
	}
}

func setup2(b *bundle) auth.Principal {
	b.Helper()
	var id uuid.UUID
	b.must(b.admin.QueryRow(b.ctx, `INSERT INTO tenants (id, name, slug, sealed_key, created_at) VALUES (gen_random_uuid(), 'Other', 'other', '', now()) RETURNING id`).Scan(&id))
	other := b.who
	other.Tenant = [16]byte(id)
	return other
}

// Each part of a budget is told once a month, by one of many who look, and at the whole the services are paused once.
func TestBudgets(t *testing.T) {
	b := setup(t, "UTC")
	soft, err := b.manager.AddBudget(b.ctx, b.who, billing.Budget{Name: "Soft", Amount: decimal.NewFromInt(1000)})
	b.must(err)
	_, err = b.manager.AddBudget(b.ctx, b.who, billing.Budget{Name: "Hard", Amount: decimal.NewFromInt(400), Pause: true})
	b.must(err)
	if _, err := b.manager.AddBudget(b.ctx, b.who, billing.Budget{Name: "Hard", Amount: decimal.NewFromInt(1)}); !fault.IsCode(err, "budget.name_taken") {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := b.manager.AddBudget(b.ctx, b.who, billing.Budget{Name: "None", Amount: decimal.Zero}); !fault.IsCode(err, "budget.malformed") {
		t.Errorf("a budget of nothing: %v", err)
	}
	b.serves("stock", `{}`)
	b.serves("crm", `{}`)
	stopped := func() (n int) {
		t.Helper()
		b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM events WHERE type = 'budget.paused' AND data->>'budget' = 'Hard' AND data->>'services' = '2'`).Scan(&n))
		return n
	}
	look := func() int {
		t.Helper()
		told := make([]int, 6)
		var wg sync.WaitGroup
		for i := range told {
			wg.Add(1)
			go func() {
				defer wg.Done()
				n, err := b.manager.WatchBudgets(b.ctx, b.who.Tenant)
				if err != nil {
					t.Error(err)
				}
				told[i] = n
			}()
		}
		wg.Wait()
		sum := 0
		for _, n := range told {
			sum += n
		}
		return sum
	}
	b.setNow("2026-11-10T00:00:00Z")
	for _, step := range []struct {
		used int64
		told int
		why  int
	}{
		{39_999, 0, 0},  // $200.00 rounded, of which half of $400 is exactly reached below
		{1, 1, 0},       // $200: half of the hard one
		{0, 0, 0},       // nothing new
		{20_000, 1, 0},  // $300: three quarters
		{40_000, 2, 1},  // $500: all of the hard one, half of the soft one
		{500_000, 2, 1}, // $2,000: three quarters and all of the soft one
		{1_000, 0, 1},
	} {
		if step.used > 0 {
			b.used("2026-11-09T00:00:00Z", step.used)
		}
		if step.used == 39_999 {
			continue // $199.995 is charged as $200.00: the next step looks
		}
		if got := look(); got != step.told || stopped() != step.why {
			t.Errorf("after %d more: told %d times, paused %d times; want %d and %d", step.used, got, stopped(), step.told, step.why)
		}
	}
	list, err := b.manager.Budgets(b.ctx, b.who)
	b.must(err)
	if len(list) != 2 || list[0].Reached != 100 || list[1].Reached != 100 {
		t.Errorf("budgets: %+v", list)
	}
	var events int
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM events WHERE type = 'budget.reached'`).Scan(&events))
	if events != 6 {
		t.Errorf("%d events, want 6", events)
	}
	// The next month begins anew.
	b.setNow("2026-12-02T00:00:00Z")
	b.used("2026-12-01T00:00:00Z", 50_000)
	if got := look(); got != 1 {
		t.Errorf("in the next month %d were told, want 1", got)
	}

	var active int
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM services WHERE state <> 'paused'`).Scan(&active))
	if active != 0 {
		t.Errorf("%d services are not paused", active)
	}

	if _, err := b.manager.ChangeBudget(b.ctx, b.who, soft.ID, 7, func(*billing.Budget) {}); !fault.IsCode(err, "budget.version_stale") {
		t.Errorf("a version that is not there: %v", err)
	}
	changed, err := b.manager.ChangeBudget(b.ctx, b.who, soft.ID, 1, func(c *billing.Budget) { c.Amount = decimal.NewFromInt(2000) })
	b.must(err)
	if changed.Version != 2 {
		t.Errorf("the version is %d", changed.Version)
	}
	b.must(b.manager.RemoveBudget(b.ctx, b.who, soft.ID, 2))
	if _, err := b.manager.Budget(b.ctx, b.who, soft.ID); !fault.IsCode(err, "budget.not_found") {
		t.Errorf("after removing it: %v", err)
	}
}

// cutOff is a transaction that ends in the nth thing it writes, as when the process dies there.
type cutOff struct {
	plans.Tx
	left *int
}

var errDied = errors.New("the process died")

func (c cutOff) write() error {
	if *c.left--; *c.left < 0 {
		return errDied
	}
	return nil
}

func (c cutOff) AddBudgetNotice(ctx context.Context, id uuid.UUID, m billing.Month, percent int, spent decimal.Decimal) (bool, error) {
	if err := c.write(); err != nil {
		return false, err
	}
	return c.Tx.AddBudgetNotice(ctx, id, m, percent, spent)
}

func (c cutOff) SaveService(ctx context.Context, s service.Service) (int64, error) {
	if err := c.write(); err != nil {
		return 0, err
	}
	return c.Tx.SaveService(ctx, s)
}

func (c cutOff) Emit(ctx context.Context, typ string, id uuid.UUID, data any) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Tx.Emit(ctx, typ, id, data)
}

// Whoever watches dies at each thing that is written in turn, also between the notice that a budget is used up and the pause: nothing
// is left of it, and the next who looks tells and pauses.
func TestBudgetPauseSurvivesEveryCrash(t *testing.T) {
	b := setup(t, "UTC")
	_, err := b.manager.AddBudget(b.ctx, b.who, billing.Budget{Name: "Hard", Amount: decimal.NewFromInt(400), Pause: true})
	b.must(err)
	b.serves("stock", `{}`)
	b.serves("crm", `{}`)
	b.used("2026-11-09T00:00:00Z", 100_000)
	b.setNow("2026-11-10T00:00:00Z")
	here := func() (notices, paused, events int) {
		t.Helper()
		b.must(b.admin.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM budget_notices), (SELECT count(*) FROM services WHERE state = 'paused'), (SELECT count(*) FROM events WHERE type LIKE 'budget.%')`).Scan(&notices, &paused, &events))
		return notices, paused, events
	}
	for n := 0; ; n++ {
		left := n
		dying := plans.NewManager(store.InTx(b.db, func(tx *store.Tx) plans.Tx { return cutOff{tx, &left} }))
		told, err := dying.WatchBudgets(b.ctx, b.who.Tenant)
		notices, paused, events := here()
		if errors.Is(err, errDied) {
			if notices != 0 || paused != 0 || events != 0 {
				t.Fatalf("cut off at write %d: %d notices, %d services paused, %d events; want none or all", n, notices, paused, events)
			}
			continue
		}
		b.must(err)
		if n < 10 || told != 3 || notices != 3 || paused != 2 || events != 4 {
			t.Errorf("after %d crashes: told %d, %d notices, %d services paused, %d events", n, told, notices, paused, events)
		}
		break
	}
}

// Integrations that begin and thresholds that are reached are told once a month, by one of many who look.
func TestUsageIsTold(t *testing.T) {
	b := setup(t, "UTC")
	b.subscribe(plans.Wish{Plan: "platform-starter"})
	b.setNow("2026-11-10T00:00:00Z")
	look := func(since string) int {
		t.Helper()
		at, err := time.Parse(time.RFC3339, since)
		b.must(err)
		told := make([]int, 4)
		var wg sync.WaitGroup
		for i := range told {
			wg.Add(1)
			go func() {
				defer wg.Done()
				n, err := b.manager.WatchUsage(b.ctx, b.who.Tenant, at)
				if err != nil {
					t.Error(err)
				}
				told[i] = n
			}()
		}
		wg.Wait()
		sum := 0
		for _, n := range told {
			sum += n
		}
		return sum
	}
	events := func() (list []string) {
		t.Helper()
		rows, err := b.admin.Query(b.ctx, `SELECT type || ' ' || coalesce(data->>'system', data->>'title' || ' ' || (data->>'percent')) FROM events WHERE type LIKE 'usage.%' ORDER BY id`)
		b.must(err)
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		b.must(err)
		return list
	}
	if got := look("2026-11-01T00:00:00Z"); got != 0 {
		t.Errorf("told %d times of nothing", got)
	}
	for _, step := range []struct {
		used int64
		want string
	}{
		{374_999, "usage.integration_started shop"},
		{1, "usage.threshold_reached Sync operations 75"},
		{124_998, ""},
		{1, ""}, // 499,999
		{1, "usage.threshold_reached Sync operations 100"},
		{100_000, ""},
	} {
		b.used("2026-11-09T00:00:00Z", step.used)
		before := len(events())
		n := look("2026-11-01T00:00:00Z")
		if got := strings.Join(events()[before:], ", "); got != step.want || (n == 1) != (step.want != "") {
			t.Errorf("after %d more: told %d times, %q; want %q", step.used, n, got, step.want)
		}
	}
	// Who used nothing since is passed over.
	b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error {
		for {
			if n, err := tx.MoveUsage(b.ctx, 1000); err != nil || n == 0 {
				return err
			}
		}
	}))
	b.exec(`DELETE FROM usage_notices`)
	if got := look("2026-11-10T00:00:00Z"); got != 0 {
		t.Errorf("looked although nothing was used since: %d", got)
	}
	if got := look("2026-11-01T00:00:00Z"); got == 0 {
		t.Error("what was used before is not found")
	}
	// In the next month the same system goes on; that is no beginning. The one after a month without it is.
	b.setNow("2026-12-02T00:00:00Z")
	b.used("2026-12-01T00:00:00Z", 1)
	if got := look("2026-12-01T00:00:00Z"); got != 0 {
		t.Errorf("an integration that goes on is told as begun: %v", events())
	}
	b.setNow("2027-02-02T00:00:00Z")
	b.used("2027-02-01T00:00:00Z", 1)
	if got := look("2027-02-01T00:00:00Z"); got != 1 {
		t.Errorf("an integration that begins anew is told %d times", got)
	}
}

// What is exported adds up to what is charged, over the border of a part.
func TestExport(t *testing.T) {
	b := setup(t, "UTC")
	var events []billing.UsageEvent
	for i := range 5_003 {
		e := billing.Operations(uuid.New(), 0, time.Date(2026, time.November, 1, 0, 0, i%7, 0, time.UTC), b.service, "=shop", "stock", "products", 2)
		events = append(events, e)
	}
	b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error { return tx.AddUsage(b.ctx, events) }))
	b.setNow("2026-11-20T00:00:00Z")
	write := func(form plans.Form) string {
		t.Helper()
		var out strings.Builder
		b.must(b.manager.Export(b.ctx, b.who, billing.Month{}, form, &out))
		return out.String()
	}
	rows, err := csv.NewReader(strings.NewReader(write(plans.CSV))).ReadAll()
	b.must(err)
	keys := map[string]bool{}
	for _, r := range rows[1:] {
		keys[r[11]] = true
	}
	if len(rows) != 5_004 || len(keys) != 5_003 || rows[1][5] != "'=shop" {
		t.Errorf("%d rows with %d keys, a system is written %q", len(rows), len(keys), rows[1][5])
	}
	if got := strings.Count(write(plans.JSONL), "\n"); got != 5_003 {
		t.Errorf("%d lines, want 5,003", got)
	}
	costs, err := csv.NewReader(strings.NewReader(write(plans.FOCUS))).ReadAll()
	b.must(err)
	sum := decimal.Zero
	for _, r := range costs[1:] {
		sum = sum.Add(decimal.RequireFromString(r[0]))
	}
	// What the specification makes mandatory.
	for _, column := range []string{"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
		"ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName",
		"ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"} {
		if !slices.Contains(costs[0], column) {
			t.Errorf("the column %s is missing", column)
		}
	}
	if sum.StringFixed(2) != "50.03" || costs[0][0] != "BilledCost" {
		t.Errorf("the costs add up to %s, want 50.03", sum)
	}
	if err := b.manager.Export(b.ctx, b.who, billing.Month{Year: 2027, Month: 1}, plans.CSV, new(strings.Builder)); !fault.IsCode(err, "invoicing.period_future") {
		t.Errorf("a month to come: %v", err)
	}
	viewer := auth.Principal{Kind: auth.KindMember, Role: auth.Viewer, Tenant: b.who.Tenant}
	if err := b.manager.Export(b.ctx, viewer, billing.Month{}, plans.FOCUS, new(strings.Builder)); !fault.IsCode(err, "auth.forbidden") {
		t.Errorf("a viewer sees costs: %v", err)
	}
}
