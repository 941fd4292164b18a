// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// A code is redeemed within its limits, holds for its months, is named on the invoice, and ends with a change to a plan it does not fit.
func TestRedeem(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	operator := auth.Operator(tenant.ID{}, "olga")
	code := func(c billing.CouponCode) {
		t.Helper()
		c.Title, c.Months, c.MaxPerTenant = "Launch offer", 2, max(c.MaxPerTenant, 1)
		if c.Amount.IsZero() {
			c.Percent = decimal.NewFromInt(20)
		}
		_, err := b.manager.AddCode(b.ctx, operator, c, "the launch")
		b.must(err)
	}
	refuse := func(want, text string) {
		t.Helper()
		if _, err := b.manager.Redeem(b.ctx, b.who, text); !fault.IsCode(err, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	b.setNow("2026-11-10T10:00:00Z")
	b.used("2026-11-02T08:00:00Z", 100_000)
	code(billing.CouponCode{Code: "launch-2026", Plans: []string{"per-sync"}, Max: 5})
	code(billing.CouponCode{Code: "LATER", From: time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)})
	code(billing.CouponCode{Code: "SHORT", Until: time.Date(2026, time.November, 11, 0, 0, 0, 0, time.UTC)})
	code(billing.CouponCode{Code: "STARTER", Plans: []string{"platform-starter"}})
	code(billing.CouponCode{Code: "EUROS", Amount: decimal.NewFromInt(5), Currency: "eur"})
	code(billing.CouponCode{Code: "OVER"})
	_, err := b.manager.EndCode(b.ctx, operator, "over", "a slip")
	b.must(err)
	p, err := b.manager.Redeem(b.ctx, b.who, " Launch-2026 ")
	b.must(err)
	if len(p.Held.Coupons) != 1 || p.Held.Coupons[0].Code != "LAUNCH-2026" {
		t.Errorf("redeemed: %+v", p.Held.Coupons)
	}
	refuse("plans.coupon_redeemed", "LAUNCH-2026")
	refuse("plans.coupon_unknown", "NOTHING")
	refuse("plans.coupon_not_valid", "LATER")
	refuse("plans.coupon_not_valid", "OVER")
	refuse("plans.coupon_unfit", "STARTER")
	refuse("plans.coupon_unfit", "EUROS")
	if got := b.invoice("2026-11"); got != "per-sync 400.00: sync-operations 500.00 coupon-launch-2026 -100.00" {
		t.Errorf("the invoice: %s", got)
	}
	draft, err := b.invoicer.Draft(b.ctx, b.who.Tenant, billing.Month{})
	b.must(err)
	if step := draft.Lines[len(draft.Lines)-1].Explanation[0].Text; !strings.HasPrefix(step, "Code LAUNCH-2026: 20% of ") {
		t.Errorf("the step: %s", step)
	}
	b.setNow("2026-11-12T10:00:00Z")
	refuse("plans.coupon_not_valid", "SHORT")
	if p = b.subscribe(plans.Wish{Plan: "platform-starter"}); len(p.Held.Coupons) != 0 {
		t.Errorf("on another plan it holds still: %+v", p.Held.Coupons)
	}
	codes, err := b.manager.Codes(b.ctx, operator)
	b.must(err)
	for _, c := range codes {
		if want := map[string]int{"LAUNCH-2026": 1}[c.Code]; c.Redeemed != want {
			t.Errorf("%s was redeemed %d times, want %d", c.Code, c.Redeemed, want)
		}
	}
	if _, err := b.manager.AddCode(b.ctx, auth.Principal{Kind: auth.KindMember, Tenant: b.who.Tenant, Role: auth.Owner}, billing.CouponCode{Code: "MINE"}, "for me"); !fault.IsCode(err, "auth.forbidden") {
		t.Errorf("a member made a code: %v", err)
	}
}

// Of many who redeem the last ones at the same moment, as many get one as there are.
func TestRedeemRace(t *testing.T) {
	b := setup(t, "UTC")
	operator := auth.Operator(tenant.ID{}, "olga")
	_, err := b.manager.AddCode(b.ctx, operator, billing.CouponCode{Code: "LAST-3", Title: "The last ones", Percent: decimal.NewFromInt(10), Months: 1, Max: 3, MaxPerTenant: 1}, "a few")
	b.must(err)
	const tenants = 6
	var wg sync.WaitGroup
	errs := make([]error, 2*tenants)
	for i := range tenants {
		who := auth.System(storetest.Tenant(t, b.db), "test")
		for j := range 2 { // each tries twice at once
			wg.Go(func() { _, errs[2*i+j] = b.manager.Redeem(b.ctx, who, "last-3") })
		}
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !fault.IsCode(err, "plans.coupon_used_up") && !fault.IsCode(err, "plans.coupon_redeemed"):
			t.Error(err)
		}
	}
	var redeemed, rows int
	b.must(b.admin.QueryRow(b.ctx, `SELECT redeemed, (SELECT count(*) FROM coupon_redemptions) FROM coupon_codes`).Scan(&redeemed, &rows))
	if won != 3 || redeemed != 3 || rows != 3 {
		t.Errorf("%d won, %d are counted, %d are written; want 3", won, redeemed, rows)
	}
}

// The books of several tenants: nothing of different currencies is added up, and what was invoiced is where it went.
func TestRevenue(t *testing.T) {
	b := setup(t, "UTC")
	operator := auth.Operator(tenant.ID{}, "olga")
	b.setNow("2026-11-10T00:00:00Z")
	b.subscribe(plans.Wish{Plan: "platform-starter", AddOns: []string{"real-time-sync", "advanced-conflict-resolution"}}) // 500 + 250 + 500
	other, trial := auth.System(storetest.Tenant(t, b.db), "test"), auth.System(storetest.Tenant(t, b.db), "test")
	_, err := b.manager.Subscribe(b.ctx, other, plans.Wish{Plan: "platform-starter"})
	b.must(err)
	_, err = b.manager.Subscribe(b.ctx, trial, plans.Wish{Plan: "platform-professional"})
	b.must(err)
	_, err = b.manager.GrantTrial(b.ctx, auth.Operator(trial.Tenant, "olga"), time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC), "trying")
	b.must(err)
	invoice := func(who auth.Principal, month, state, currency, total, credited, refunded string) {
		t.Helper()
		id := uuid.Must(uuid.NewV7())
		b.exec(`INSERT INTO invoices (tenant_id, id, state, period, period_start, period_end, time_zone, plan, plan_version, currency, total, credited, computed_at, created_at)
VALUES ($1, $2, $3, $4, now(), now(), 'UTC', 'platform-starter', 1, $5, $6::numeric, $7::numeric, now(), now())`, uuid.UUID(who.Tenant), id, state, month, currency, total, credited)
		b.exec(`INSERT INTO collections (tenant_id, invoice_id, state, refunded, updated_at) VALUES ($1, $2, 'settled', $3::numeric, now())`, uuid.UUID(who.Tenant), id, refunded)
	}
	invoice(b.who, "2026-10", "paid", "usd", "500.00", "20.00", "20.00")
	invoice(other, "2026-10", "open", "usd", "300.00", "0", "0")
	invoice(trial, "2026-10", "uncollectible", "eur", "70.00", "0", "0")
	invoice(b.who, "2026-11", "draft", "usd", "41.00", "0", "0")
	b.exec(`INSERT INTO invoices (tenant_id, id, state, period, period_start, period_end, time_zone, plan, plan_version, currency, total, computed_at, created_at)
VALUES ($1, gen_random_uuid(), 'void', '2026-10', now(), now(), 'UTC', 'platform-starter', 1, 'usd', 9000, now(), now())`, uuid.UUID(b.who.Tenant))
	r, err := b.manager.Revenue(b.ctx, operator, 2)
	b.must(err)
	var out bytes.Buffer
	b.must(r.CSV(&out))
	want := `month,plan,currency,agreements,recurring,invoices,invoiced,collected,outstanding,given_up,credited,refunded,from_credit,drafts
2026-11,platform-starter,usd,2,1750.00,0,0.00,0.00,0.00,0.00,0.00,0.00,0.00,41.00
2026-10,platform-starter,eur,0,0.00,1,70.00,0.00,0.00,70.00,0.00,0.00,0.00,0.00
2026-10,platform-starter,usd,0,0.00,2,800.00,480.00,300.00,0.00,20.00,20.00,0.00,0.00
`
	if out.String() != want {
		t.Errorf("the books:\n%s", out.String())
	}
	b.setNow("2026-11-25T00:00:00Z") // the trial is over
	if r, err = b.manager.Revenue(b.ctx, operator, 1); err != nil || len(r.ByMonth) != 1 || r.ByMonth[0].Recurring.String() != "3750" || r.ByMonth[0].Agreements != 3 {
		t.Errorf("after the trial: %+v, %v", r.ByMonth, err)
	}
	for _, book := range append(r.ByPlan, r.ByMonth...) {
		if sum := decimal.Sum(book.Collected, book.Outstanding, book.GivenUp, book.Credited); !sum.Equal(book.Invoiced) {
			t.Errorf("%s invoiced and %s of it known", book.Invoiced, sum)
		}
	}
	if _, err := b.manager.Revenue(b.ctx, operator, 121); !fault.IsCode(err, "plans.months_malformed") {
		t.Errorf("121 months: %v", err)
	}
}
