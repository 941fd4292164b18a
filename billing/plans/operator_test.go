// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
)

func dollars(n int64) billing.Money {
	return billing.Money{Amount: decimal.NewFromInt(n), Currency: billing.USD}
}

// A coupon is for whole months, divides none, outlives a change of plan, and ends when it was said or when an operator ends it.
func TestCoupons(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	operator := auth.Operator(b.who.Tenant, "olga")
	b.setNow("2026-11-10T10:00:00Z")
	b.used("2026-11-02T08:00:00Z", 100_000)
	launch := billing.Coupon{ID: "launch", Title: "Launch offer", Percent: decimal.NewFromInt(20)}
	_, err := b.manager.GrantCoupon(b.ctx, operator, launch, 2, "signed in the launch week")
	b.must(err)
	if got := b.invoice("2026-11"); got != "per-sync 400.00: sync-operations 500.00 coupon-launch -100.00" {
		t.Errorf("in the middle of a month: %s", got)
	}
	if _, err := b.manager.GrantCoupon(b.ctx, operator, launch, 2, "once more"); !fault.IsCode(err, "plans.coupon_taken") {
		t.Errorf("twice: %v", err)
	}
	b.subscribe(plans.Wish{Plan: "platform-starter", Later: true})
	_, err = b.manager.GrantCoupon(b.ctx, operator, billing.Coupon{ID: "loyal", Title: "Loyalty", Amount: decimal.NewFromInt(30)}, 0, "ten years")
	b.must(err)
	if c, err := b.manager.Cost(b.ctx, b.who); err != nil || c.Total.Fixed() != "370.00" {
		t.Errorf("the month to date: %s, %v", c.Total, err)
	}
	for month, want := range map[string]string{
		"2026-12": "platform-starter 370.00: base 500.00 coupon-launch -100.00 coupon-loyal -30.00", // the change that waited has both
		"2027-01": "platform-starter 470.00: base 500.00 coupon-loyal -30.00",
	} {
		b.setNow(month + "-15T10:00:00Z")
		if got := b.invoice(month); got != want {
			t.Errorf("%s: %s", month, got)
		}
	}
	b.setNow("2027-01-20T10:00:00Z")
	_, err = b.manager.EndCoupon(b.ctx, operator, "loyal", "agreed with the customer")
	b.must(err)
	if got := b.invoice("2027-01"); got != "platform-starter 500.00: base 500.00" {
		t.Errorf("after its end: %s", got)
	}
	if got := b.invoice("2026-12"); !strings.Contains(got, "coupon-loyal -30.00") {
		t.Errorf("a month before its end: %s", got)
	}
	if _, err := b.manager.EndCoupon(b.ctx, operator, "loyal", "once more"); !fault.IsCode(err, "plans.coupon_not_found") {
		t.Errorf("ended twice: %v", err)
	}
	for _, c := range []billing.Coupon{{ID: "none", Title: "None"}, {ID: "both", Title: "Both", Percent: decimal.NewFromInt(1), Amount: decimal.NewFromInt(1)}, {ID: "much", Title: "Much", Percent: decimal.NewFromInt(101)}, {ID: "untitled", Percent: decimal.NewFromInt(1)}} {
		if _, err := b.manager.GrantCoupon(b.ctx, operator, c, 1, "because"); !fault.IsCode(err, "plans.coupon_malformed") {
			t.Errorf("%s: %v", c.ID, err)
		}
	}
}

func TestTrials(t *testing.T) {
	b := setup(t, "UTC")
	operator := auth.Operator(b.who.Tenant, "olga")
	b.setNow("2026-11-10T00:00:00Z")
	b.used("2026-11-12T08:00:00Z", 100_000)
	b.used("2026-11-25T08:00:00Z", 10_000)
	_, err := b.manager.GrantTrial(b.ctx, operator, time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC), "trying it out")
	b.must(err)
	p, err := b.manager.Present(b.ctx, b.who)
	b.must(err)
	if !p.Trial {
		t.Error("there is no trial")
	}
	b.setNow("2026-11-30T00:00:00Z")
	// What was free still counts for the place in the tiers.
	if got := b.invoice("2026-11"); got != "per-sync 30.00: sync-operations@3 30.00" {
		t.Errorf("a trial in the middle: %s", got)
	}
	if _, err := b.manager.GrantTrial(b.ctx, operator, time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC), "too late"); !fault.IsCode(err, "plans.trial_malformed") {
		t.Errorf("a trial in the past: %v", err)
	}
}

// Credit pays invoices in the order of their months, what expires first first, each with its step; what a void invoice used comes back.
func TestCredits(t *testing.T) {
	b := setup(t, "UTC")
	operator := auth.Operator(b.who.Tenant, "olga")
	grant := func(n int64, expires time.Time, reason string) billing.Credit {
		t.Helper()
		c, err := b.manager.GrantCredit(b.ctx, operator, billing.Credit{Amount: dollars(n), ExpiresAt: expires}, reason)
		b.must(err)
		return c
	}
	left := func() (text string) {
		t.Helper()
		list, err := b.manager.Credits(b.ctx, b.who)
		b.must(err)
		for _, c := range list {
			text += c.Reason + " " + c.Left().Fixed() + " "
		}
		return strings.TrimSpace(text)
	}
	forever := grant(100, time.Time{}, "goodwill")
	grant(30, time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC), "outage") // for November, not for December
	b.used("2026-11-02T08:00:00Z", 10_000)                                       // 50 dollars
	b.setNow("2026-12-05T00:00:00Z")
	b.used("2026-12-02T08:00:00Z", 30_000) // 150 dollars
	if got := b.invoice("2026-11"); got != "per-sync 0.00: sync-operations 50.00 credit -50.00" {
		t.Errorf("November: %s", got)
	}
	if got := b.invoice("2026-12"); got != "per-sync 70.00: sync-operations 150.00 credit -80.00" {
		t.Errorf("December takes what November left: %s", got)
	}
	if got := left(); got != "outage 0.00 goodwill 0.00" {
		t.Errorf("left is %s", got)
	}
	// More usage of the earlier month takes it first, whoever was computed last.
	b.used("2026-11-03T08:00:00Z", 10_000)
	if got := b.invoice("2026-11"); got != "per-sync 0.00: sync-operations 100.00 credit -100.00" {
		t.Errorf("November with more usage: %s", got)
	}
	if got := b.invoice("2026-12"); got != "per-sync 120.00: sync-operations 150.00 credit -30.00" {
		t.Errorf("December then: %s", got)
	}
	m, err := billing.ParseMonth("2026-11")
	b.must(err)
	draft, err := b.invoicer.Draft(b.ctx, b.who.Tenant, m)
	b.must(err)
	var steps []string
	for _, s := range draft.Lines[len(draft.Lines)-1].Explanation {
		steps = append(steps, s.Text)
	}
	want := "$30.00 of the credit of $30.00, “outage”, which expires on 1 December 2026; $0.00 of it stay|$70.00 of the credit of $100.00, “goodwill”; $30.00 of it stay"
	if got := strings.Join(steps, "|"); got != want {
		t.Errorf("the steps are\n%s\nwant\n%s", got, want)
	}

	// November is issued, and paid by it; voided, what it used comes back.
	b.exec(`UPDATE invoices SET closed_at = now() WHERE id = $1`, draft.ID)
	_, err = b.invoicer.Approve(b.ctx, b.who, draft.ID, 0)
	b.must(err)
	issued, err := b.invoicer.Finalize(b.ctx, b.who, draft.ID, 0)
	b.must(err)
	if issued.State != billing.Paid {
		t.Errorf("it is %s", issued.State)
	}
	b.exec(`UPDATE invoices SET state = 'void' WHERE id = $1`, draft.ID)
	if got := b.invoice("2026-12"); !strings.HasPrefix(got, "per-sync 50.00: sync-operations 150.00") {
		t.Errorf("after voiding November: %s", got)
	}

	b.must(b.manager.WithdrawCredit(b.ctx, operator, forever.ID, "granted by mistake"))
	if got := b.invoice("2026-12"); strings.Contains(got, "credit") {
		t.Errorf("after withdrawing it: %s", got)
	}
	if err := b.manager.WithdrawCredit(b.ctx, operator, forever.ID, "once more"); !fault.IsCode(err, "plans.credit_not_found") {
		t.Errorf("withdrawn twice: %v", err)
	}
	for code, c := range map[string]billing.Credit{"billing.amount_invalid": {Amount: dollars(0)}, "billing.credit_expired": {Amount: dollars(1), ExpiresAt: *b.clock.Load()}} {
		if _, err := b.manager.GrantCredit(b.ctx, operator, c, "because"); !fault.IsCode(err, code) {
			t.Errorf("%+v: %v, want %s", c, err, code)
		}
	}
}

// Only operators give, and each says why; the tenant's audit log keeps both. Operators see no records.
func TestOnlyOperatorsGive(t *testing.T) {
	b := setup(t, "UTC")
	owner := auth.Principal{Kind: auth.KindMember, Role: auth.Owner, Tenant: b.who.Tenant}
	key := auth.Principal{Kind: auth.KindKey, Scopes: auth.Scopes, Tenant: b.who.Tenant}
	operator := auth.Operator(b.who.Tenant, "olga")
	coupon := billing.Coupon{ID: "launch", Title: "Launch", Percent: decimal.NewFromInt(10)}
	acts := map[string]func(who auth.Principal, reason string) error{
		"plan": func(who auth.Principal, reason string) error {
			p := billing.DefaultPlan()
			p.Card.Name = "own"
			_, err := b.manager.Publish(b.ctx, who, p, reason)
			return err
		},
		"coupon": func(who auth.Principal, reason string) error {
			_, err := b.manager.GrantCoupon(b.ctx, who, coupon, 1, reason)
			return err
		},
		"end": func(who auth.Principal, reason string) error {
			_, err := b.manager.EndCoupon(b.ctx, who, "launch", reason)
			return err
		},
		"trial": func(who auth.Principal, reason string) error {
			_, err := b.manager.GrantTrial(b.ctx, who, b.clock.Load().AddDate(0, 1, 0), reason)
			return err
		},
		"credit": func(who auth.Principal, reason string) error {
			_, err := b.manager.GrantCredit(b.ctx, who, billing.Credit{Amount: dollars(5)}, reason)
			return err
		},
		"withdraw": func(who auth.Principal, reason string) error {
			return b.manager.WithdrawCredit(b.ctx, who, uuid.New(), reason)
		},
	}
	for name, act := range acts {
		for _, who := range []auth.Principal{owner, key} {
			if err := act(who, "because I can"); !fault.IsCode(err, "auth.forbidden") {
				t.Errorf("%s by a %s: %v", name, who.Kind, err)
			}
		}
		if err := act(operator, " "); !fault.IsCode(err, "plans.reason_missing") {
			t.Errorf("%s without a reason: %v", name, err)
		}
	}
	b.must(acts["credit"](operator, "the outage of the third"))
	var n int
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM audit_log WHERE action = 'credit.granted' AND actor_kind = 'operator' AND actor_name = 'olga' AND detail::text LIKE '%the outage of the third%'`).Scan(&n))
	if n != 1 {
		t.Errorf("%d audit entries", n)
	}
	for _, p := range auth.Permissions() {
		if operator.Can(p) != (p == auth.ViewInvoices || p == auth.ViewUsage || p == auth.Operate) {
			t.Errorf("an operator and %s: %v", p, operator.Can(p))
		}
	}
}
