// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// member is a person with a role; their ids follow from their names.
func (b *bundle) member(name string, role auth.Role) auth.Principal {
	return auth.Principal{Kind: auth.KindMember, ID: ident.Format(ident.User, uuid.NewSHA1(uuid.Nil, []byte(name))), Name: name, Tenant: b.tenant, Role: role}
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) refuse(code string, err error) {
	b.Helper()
	if !fault.IsCode(err, code) {
		b.Errorf("the answer is %v, want %s", err, code)
	}
}

func (b *bundle) closer(i *invoicing.Invoicer) *invoicing.Closer {
	return invoicing.NewCloser(store.InOperatorTx(b.db, func(tx *store.OperatorTx) invoicing.OperatorTx { return tx }), i, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

// since moves the tenant's beginning, so that months before the test's clock can be closed.
func (b *bundle) since(when string) {
	b.Helper()
	b.exec(`UPDATE tenants SET created_at = $2 WHERE id = $1`, uuid.UUID(b.tenant), at(when))
}

// closed has October with the usage given closed and returns its draft.
func (b *bundle) closed(events ...billing.UsageEvent) billing.Invoice {
	b.Helper()
	b.since("2026-10-01T00:00:00Z")
	b.add(events...)
	n, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	if n != 1 {
		b.Fatalf("%d months were closed, want October", n)
	}
	list, _, err := b.invoicer.Find(b.ctx, b.tenant, invoicing.Filter{Review: true}, invoicing.Page{})
	b.must(err)
	if len(list) != 1 || list[0].Period.Month != november.Previous() {
		b.Fatalf("to be reviewed are %v", list)
	}
	v, err := b.invoicer.Invoice(b.ctx, b.tenant, list[0].ID)
	b.must(err)
	return v
}

func (b *bundle) issue(id uuid.UUID) billing.Invoice {
	b.Helper()
	grace := b.member("Grace", auth.Finance)
	v, err := b.invoicer.Approve(b.ctx, grace, id, 0)
	b.must(err)
	v, err = b.invoicer.Finalize(b.ctx, grace, id, v.Version)
	b.must(err)
	return v
}

// acts are the audit log's actions, in order.
func (b *bundle) acts() string {
	b.Helper()
	rows, err := b.admin.Query(b.ctx, `SELECT action || ' by ' || actor_name FROM audit_log WHERE tenant_id = $1 ORDER BY seq`, uuid.UUID(b.tenant))
	b.must(err)
	defer rows.Close()
	var acts []string
	for rows.Next() {
		var s string
		b.must(rows.Scan(&s))
		acts = append(acts, s)
	}
	return strings.Join(acts, "\n")
}

func TestMonthsCloseAfterTheGraceWindowInTheTenantsZone(t *testing.T) {
	b := setup(t, "America/New_York")
	b.since("2026-09-15T00:00:00Z")
	closer := b.closer(b.invoicer.WithGrace(6 * time.Hour))
	b.add(b.operations("2026-10-05T10:00:00Z", "shop", 100_000))
	tick := func(when string, want int) {
		t.Helper()
		b.setNow(when)
		n, err := closer.Tick(b.ctx)
		if err != nil || n != want {
			t.Errorf("at %s %d months were closed, %v; want %d", when, n, err, want)
		}
	}
	// October ends there at 04:00 UTC on the first. September, without any usage, is closed with it and has no invoice.
	tick("2026-10-01T09:59:59Z", 0)
	tick("2026-11-01T09:59:59Z", 1)
	tick("2026-11-01T10:00:00Z", 1)
	tick("2026-11-01T10:00:01Z", 0)
	list, _, err := b.invoicer.Invoices(b.ctx, b.tenant, invoicing.Page{})
	b.must(err)
	if len(list) != 1 || list[0].Period.Month != november.Previous() || list[0].ClosedAt.IsZero() || list[0].Total.Fixed() != "500.00" || list[0].State != billing.Draft {
		t.Errorf("the invoices are %+v", list)
	}
	// A process that was away for months catches up.
	b.add(b.operations("2026-12-05T10:00:00Z", "shop", 1), b.operations("2027-01-05T10:00:00Z", "shop", 100_000))
	tick("2027-02-03T00:00:00Z", 3)
	list, _, err = b.invoicer.Invoices(b.ctx, b.tenant, invoicing.Page{})
	if err != nil || len(list) != 3 {
		t.Errorf("there are %d invoices, want those of October, December and January (%v)", len(list), err)
	}
	if got := b.acts(); got != "invoice.closed by Syncline\ninvoice.closed by Syncline\ninvoice.closed by Syncline" {
		t.Errorf("the audit log has\n%s", got)
	}
}

// Any number of processes closing at once make one invoice per tenant and month.
func TestClosingAtOnce(t *testing.T) {
	b := setup(t, "UTC")
	tenants := []tenant.ID{b.tenant}
	for range 9 {
		tenants = append(tenants, b.newTenant("UTC"))
	}
	for _, id := range tenants {
		b.tenant = id
		b.since("2026-10-01T00:00:00Z")
		b.add(b.operations("2026-10-05T10:00:00Z", "shop", 7))
	}
	var wg sync.WaitGroup
	sum := make([]int, 4)
	for n := range sum {
		wg.Go(func() {
			closed, err := b.closer(b.invoicer).Tick(b.ctx)
			if err != nil {
				t.Error(err)
			}
			sum[n] = closed
		})
	}
	wg.Wait()
	if all := sum[0] + sum[1] + sum[2] + sum[3]; all != len(tenants) {
		t.Errorf("%v: %d months were closed for %d tenants", sum, all, len(tenants))
	}
	var invoices, closed int
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(*), count(closed_at) FROM invoices`).Scan(&invoices, &closed))
	if invoices != len(tenants) || closed != len(tenants) {
		t.Errorf("%d invoices, %d closed", invoices, closed)
	}
}

func TestReview(t *testing.T) {
	b := setup(t, "UTC")
	ada, grace, viewer := b.member("Ada", auth.Owner), b.member("Grace", auth.Finance), b.member("Vi", auth.Viewer)
	v := b.closed(b.operations("2026-10-05T10:00:00Z", "shop", 100_000))

	_, _, err := b.invoicer.Adjust(b.ctx, viewer, v.ID, 0, "Gift", "just because", dec("-1"))
	b.refuse("auth.forbidden", err)
	for _, bad := range []struct{ title, reason, amount, code string }{
		{"", "a reason", "-1", "billing.adjustment_invalid"}, {"Gift", "", "-1", "billing.adjustment_invalid"}, {"Gift", "a reason", "0", "billing.adjustment_invalid"},
		{"Gift", "a reason", "0.001", "billing.adjustment_invalid"}, {"Gift", "a reason", "1000000000.01", "billing.adjustment_invalid"}, {"Gift", "a reason", "-500.01", "invoicing.total_negative"},
	} {
		_, _, err := b.invoicer.Adjust(b.ctx, ada, v.ID, 0, bad.title, bad.reason, dec(bad.amount))
		b.refuse(bad.code, err)
	}
	_, _, err = b.invoicer.Adjust(b.ctx, ada, v.ID, v.Version+7, "Goodwill credit", "Outage on the third", dec("-25"))
	b.refuse("invoicing.version_stale", err)
	v, first, err := b.invoicer.Adjust(b.ctx, ada, v.ID, v.Version, " Goodwill  credit ", "Outage on the third", dec("-25"))
	b.must(err)
	last := v.Lines[len(v.Lines)-1]
	if v.Total.Fixed() != "475.00" || last.Title != "Goodwill credit" || last.Kind != billing.AdjustmentLine || last.Amount.Fixed() != "-25.00" || last.Author != "Ada" || last.Reason != "Outage on the third" {
		t.Errorf("adjusted: %s with %+v", v.Total, last)
	}
	// The adjustment stays when usage comes in and the draft is computed again.
	b.add(b.operations("2026-10-06T10:00:00Z", "shop", 1_000))
	stale := v.Version
	_, err = b.invoicer.Approve(b.ctx, grace, v.ID, stale)
	b.refuse("invoicing.version_stale", err)
	v, err = b.invoicer.Current(b.ctx, grace, v.ID)
	b.must(err)
	if v.Total.Fixed() != "478.00" || v.Version <= stale {
		t.Errorf("after usage: %s, version %d", v.Total, v.Version)
	}
	// Nobody approves what they had a hand in: not by hand, not with a key of theirs, not after taking it back.
	_, err = b.invoicer.Approve(b.ctx, ada, v.ID, v.Version)
	b.refuse("invoicing.second_person", err)
	key := uuid.Must(uuid.NewV7())
	b.exec(`INSERT INTO api_keys (tenant_id, id, name, key_hash, last_four, scopes, created_by, created_at) VALUES ($1, $2, 'k', 'h', 'abcd', '{finance}', $3, now())`, uuid.UUID(b.tenant), key, ada.ID)
	byKey := auth.Principal{Kind: auth.KindKey, ID: ident.Format(ident.Key, key), Name: "k", Tenant: b.tenant, Scopes: []auth.Scope{auth.ScopeFinance}}
	_, err = b.invoicer.Approve(b.ctx, byKey, v.ID, v.Version)
	b.refuse("invoicing.second_person", err)
	v, _, err = b.invoicer.Adjust(b.ctx, grace, v.ID, 0, "Rounding", "to please the eye", dec("2"))
	b.must(err)
	_, err = b.invoicer.Approve(b.ctx, grace, v.ID, v.Version)
	b.refuse("invoicing.second_person", err)
	v, err = b.invoicer.RemoveAdjustment(b.ctx, ada, v.ID, first.ID, v.Version)
	b.must(err)
	if v.Total.Fixed() != "505.00" {
		t.Errorf("without the goodwill credit: %s", v.Total)
	}
	_, err = b.invoicer.RemoveAdjustment(b.ctx, ada, v.ID, first.ID, 0)
	b.refuse("invoicing.adjustment_not_found", err)
	_, err = b.invoicer.Approve(b.ctx, ada, v.ID, v.Version)
	b.refuse("invoicing.second_person", err)
	hopper := b.member("Hopper", auth.Finance)
	_, err = b.invoicer.Finalize(b.ctx, hopper, v.ID, v.Version)
	b.refuse("invoicing.not_approved", err)
	v, err = b.invoicer.Approve(b.ctx, hopper, v.ID, v.Version)
	b.must(err)
	// From here on the lines stay.
	b.add(b.operations("2026-10-07T10:00:00Z", "shop", 50_000))
	if again := b.draft(november.Previous()); again.Total.Fixed() != "505.00" || again.Version != v.Version {
		t.Errorf("usage changed an approved draft to %s", again.Total)
	}
	_, _, err = b.invoicer.Adjust(b.ctx, hopper, v.ID, 0, "More", "to try it", dec("1"))
	b.refuse("invoicing.approved", err)
	// Withdrawn, the draft takes the usage in.
	v, err = b.invoicer.Withdraw(b.ctx, ada, v.ID, v.Version)
	b.must(err)
	if v.Total.Fixed() != "655.00" || v.Approved() {
		t.Errorf("withdrawn: %s, approved %v", v.Total, v.Approved())
	}
	v, err = b.invoicer.Approve(b.ctx, hopper, v.ID, v.Version)
	b.must(err)
	v, err = b.invoicer.Collected().Finalize(b.ctx, ada, v.ID, v.Version)
	b.must(err)
	if v.State != billing.Open || v.Name() != "INV-000001" || v.Due().Fixed() != "655.00" || v.ApprovedName != "Hopper" {
		t.Errorf("finalized: %+v", v)
	}
	_, err = b.invoicer.Finalize(b.ctx, ada, v.ID, 0)
	b.refuse("billing.invoice_state", err)
	// The present month is not closed, so nobody approves it.
	present := b.draft(billing.Month{})
	_, err = b.invoicer.Approve(b.ctx, hopper, present.ID, 0)
	b.refuse("invoicing.period_open", err)

	want := `invoice.closed by Syncline
invoice.adjusted by Ada
invoice.adjusted by Grace
invoice.adjustment_removed by Ada
invoice.approved by Hopper
invoice.approval_withdrawn by Ada
invoice.approved by Hopper
invoice.finalized by Ada`
	if got := b.acts(); got != want {
		t.Errorf("the audit log has\n%s\nwant\n%s", got, want)
	}
	var jobs int
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM river.river_job WHERE kind = 'collect'`).Scan(&jobs))
	if jobs != 1 {
		t.Errorf("%d jobs to collect, want 1", jobs)
	}
}

func TestPaidVoidAndGivenUp(t *testing.T) {
	b := setup(t, "UTC")
	ada := b.member("Ada", auth.Finance)
	v := b.closed(b.operations("2026-10-05T10:00:00Z", "shop", 100_000))
	_, _, err := b.invoicer.Void(b.ctx, ada, v.ID, 0, "a mistake", false)
	b.refuse("billing.invoice_state", err)
	v = b.issue(v.ID)
	_, _, err = b.invoicer.Void(b.ctx, ada, v.ID, 0, " ", false)
	b.refuse("invoicing.reason_missing", err)
	void, next, err := b.invoicer.Void(b.ctx, ada, v.ID, v.Version, "Wrong customer", true)
	b.must(err)
	if void.State != billing.Void || void.Number != 1 || void.Settlement != "Wrong customer" || next == nil || next.State != billing.Draft || next.ClosedAt.IsZero() || next.Total.Fixed() != "500.00" {
		t.Errorf("voided %+v, replaced by %+v", void, next)
	}
	second := b.issue(next.ID)
	if second.Number != 2 {
		t.Errorf("the replacement is %s", second.Name())
	}
	given, err := b.invoicer.GiveUp(b.ctx, ada, second.ID, second.Version, "Insolvent")
	b.must(err)
	if given.State != billing.Uncollectible || given.Due().Fixed() != "500.00" {
		t.Errorf("given up: %+v", given)
	}
	paid, err := b.invoicer.Pay(b.ctx, ada, second.ID, given.Version, "Bank transfer 4711")
	b.must(err)
	if paid.State != billing.Paid || paid.Settlement != "Bank transfer 4711" || !paid.Due().Amount.IsZero() {
		t.Errorf("paid: %+v", paid)
	}
	_, _, err = b.invoicer.Void(b.ctx, ada, second.ID, 0, "too late", false)
	b.refuse("billing.invoice_state", err)
	// An invoice over nothing has a number and nobody is asked for money.
	b.setNow("2027-01-05T00:00:00Z")
	b.add(b.operations("2026-12-05T10:00:00Z", "shop", 100_000))
	_, err = b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	zero := b.draft(november.Next())
	_, _, err = b.invoicer.Adjust(b.ctx, ada, zero.ID, 0, "Gift", "all of it", dec("-500"))
	b.must(err)
	if zero = b.issue(zero.ID); zero.State != billing.Paid || zero.Number != 3 {
		t.Errorf("an invoice over nothing is %s, %s", zero.State, zero.Name())
	}
}

func TestCreditNotes(t *testing.T) {
	b := setup(t, "UTC")
	ada, grace := b.member("Ada", auth.Finance), b.member("Grace", auth.Finance)
	v := b.closed(b.operations("2026-10-05T10:00:00Z", "shop", 100_000))
	_, err := b.invoicer.Credit(b.ctx, ada, v.ID, dec("5"), "Outage")
	b.refuse("billing.invoice_state", err)
	v = b.issue(v.ID)
	for _, bad := range []string{"0", "-1", "500.01", "0.001"} {
		_, err := b.invoicer.Credit(b.ctx, ada, v.ID, dec(bad), "Outage")
		b.refuse("billing.credit_invalid", err)
	}
	note, err := b.invoicer.Credit(b.ctx, ada, v.ID, dec("100"), "Outage")
	b.must(err)
	_, err = b.invoicer.Credit(b.ctx, grace, v.ID, dec("400.01"), "together too much")
	b.refuse("billing.credit_invalid", err)
	_, err = b.invoicer.IssueCredit(b.ctx, ada, note.ID, note.Version)
	b.refuse("invoicing.second_person", err)
	_, err = b.invoicer.IssueCredit(b.ctx, grace, note.ID, note.Version+1)
	b.refuse("invoicing.version_stale", err)
	note, err = b.invoicer.IssueCredit(b.ctx, grace, note.ID, note.Version)
	b.must(err)
	v, err = b.invoicer.Invoice(b.ctx, b.tenant, v.ID)
	b.must(err)
	if note.Name() != "CN-000001" || v.Credited.Fixed() != "100.00" || v.Due().Fixed() != "400.00" || v.Total.Fixed() != "500.00" || v.State != billing.Open {
		t.Errorf("credited: %s, %s of %s due, %s", note.Name(), v.Due(), v.Total, v.State)
	}
	_, err = b.invoicer.IssueCredit(b.ctx, grace, note.ID, 0)
	b.refuse("billing.credit_state", err)
	_, _, err = b.invoicer.Void(b.ctx, ada, v.ID, 0, "after a credit", false)
	b.refuse("invoicing.credited", err)
	dropped, err := b.invoicer.Credit(b.ctx, grace, v.ID, dec("400"), "a mistake")
	b.must(err)
	_, err = b.invoicer.DiscardCredit(b.ctx, grace, dropped.ID, 0)
	b.must(err)
	rest, err := b.invoicer.Credit(b.ctx, grace, v.ID, dec("400"), "the rest")
	b.must(err)
	rest, err = b.invoicer.IssueCredit(b.ctx, ada, rest.ID, 0)
	b.must(err)
	v, err = b.invoicer.Invoice(b.ctx, b.tenant, v.ID)
	b.must(err)
	if rest.Number != 2 || v.State != billing.Paid || !v.Due().Amount.IsZero() {
		t.Errorf("credited in full: %s, the invoice is %s", rest.Name(), v.State)
	}
	list, err := b.invoicer.CreditNotes(b.ctx, ada, &v.ID, nil, 10)
	if err != nil || len(list) != 3 {
		t.Errorf("%d credit notes, %v", len(list), err)
	}
}

// Numbers are given in the commit that issues, so that many at once, some of which fail, leave no gap and no double.
func TestNumbersHaveNoGaps(t *testing.T) {
	b := setup(t, "UTC")
	b.since("2025-01-01T00:00:00Z")
	grace := b.member("Grace", auth.Finance)
	for m := (billing.Month{Year: 2025, Month: time.January}); m.Before(november); m = m.Next() {
		b.add(b.operations(m.String()+"-05T10:00:00Z", "shop", 1_000))
	}
	_, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	list, _, err := b.invoicer.Find(b.ctx, b.tenant, invoicing.Filter{Review: true}, invoicing.Page{Limit: 100})
	b.must(err)
	if len(list) != 22 {
		t.Fatalf("%d invoices to review", len(list))
	}
	for _, v := range list {
		_, err := b.invoicer.Approve(b.ctx, grace, v.ID, 0)
		b.must(err)
	}
	var wg sync.WaitGroup
	for n, v := range list {
		wg.Go(func() {
			if n%3 == 0 { // a commit that fails after it took a number
				broken := errors.New("the process died")
				failing := invoicing.NewInvoicer(func(ctx context.Context, id tenant.ID, fn func(invoicing.Tx) error) error {
					return b.db.InTenant(ctx, id, func(tx *store.Tx) error { return errors.Join(fn(tx), broken) })
				})
				if _, err := failing.Finalize(b.ctx, grace, v.ID, 0); !errors.Is(err, broken) {
					t.Error(err)
				}
			}
			if _, err := b.invoicer.Finalize(b.ctx, grace, v.ID, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var count, distinct, low, high int64
	b.must(b.admin.QueryRow(b.ctx, `SELECT count(number), count(DISTINCT number), min(number), max(number) FROM invoices`).Scan(&count, &distinct, &low, &high))
	if count != 22 || distinct != 22 || low != 1 || high != 22 {
		t.Errorf("%d numbers, %d different, from %d to %d", count, distinct, low, high)
	}
}

// Whatever comes in whenever, and is closed, approved, voided, replaced and withdrawn in between: in the end the lines for a
// month add up to what the month comes to, to the cent.
func TestLateUsageIsChargedOnce(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			b := setup(t, "Europe/Vienna")
			b.setNow("2026-07-03T12:00:00Z")
			b.since("2026-07-01T00:00:00Z")
			r := rand.New(rand.NewPCG(seed, 5))
			grace, ada := b.member("Grace", auth.Finance), b.member("Ada", auth.Finance)
			all := map[billing.Month][]billing.UsageEvent{}
			months := []billing.Month{{Year: 2026, Month: time.July}, {Year: 2026, Month: time.August}, {Year: 2026, Month: time.September}}
			zone, err := billing.Zone("Europe/Vienna")
			b.must(err)
			// late adds usage of some month that began, whichever.
			late := func(until int) {
				for range r.IntN(3) + 1 {
					m := months[r.IntN(until+1)]
					p := m.In(zone)
					e := b.operations(p.Start().Add(time.Duration(r.Int64N(int64(p.End().Sub(p.Start()))))).Truncate(time.Microsecond).Format(time.RFC3339Nano), "shop", r.Int64N(90_000)+1)
					e.Realtime, e.Complex = r.IntN(2) == 0, r.IntN(3) == 0
					b.add(e)
					b.add(e) // twice is once
					all[m] = append(all[m], e)
				}
			}
			review := func(m billing.Month) {
				v := b.draft(m)
				if v.ClosedAt.IsZero() || v.Frozen() {
					return
				}
				v, err := b.invoicer.Approve(b.ctx, grace, v.ID, v.Version)
				b.must(err)
				late(len(months) - 1)
				if r.IntN(4) == 0 {
					_, err = b.invoicer.Withdraw(b.ctx, grace, v.ID, v.Version)
					b.must(err)
					v, err = b.invoicer.Approve(b.ctx, grace, v.ID, 0)
					b.must(err)
				}
				v, err = b.invoicer.Finalize(b.ctx, grace, v.ID, v.Version)
				b.must(err)
				if r.IntN(3) == 0 && v.State == billing.Open {
					_, _, err = b.invoicer.Void(b.ctx, ada, v.ID, v.Version, "a mistake", r.IntN(3) > 0)
					b.must(err)
				}
			}
			for n, m := range months {
				late(n)
				next := m.In(zone).End().Add(26 * time.Hour).UTC().Format(time.RFC3339)
				b.setNow(next)
				_, err := b.invoicer.Close(b.ctx, b.tenant)
				b.must(err)
				late(min(n+1, len(months)-1))
				if r.IntN(4) > 0 {
					review(m)
				}
				late(min(n+1, len(months)-1))
			}
			for _, m := range months { // what was left, oldest first
				review(m)
			}
			b.draft(billing.Month{}) // October takes up what came in last
			for _, m := range months {
				usage := []billing.Quantity{}
				for _, e := range all[m] {
					usage = append(usage, billing.Quantity{Meter: e.Meter, DataClass: e.DataClass, Realtime: e.Realtime, Complex: e.Complex, Units: e.Quantity})
				}
				want, err := rating.Rate(billing.DefaultCard(), usage)
				b.must(err)
				var has int
				b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM invoices WHERE state <> 'void' AND period = $1`, m.String()).Scan(&has))
				if has == 0 {
					continue // voided and not replaced: the month is not charged
				}
				var got decimal.Decimal
				b.must(b.admin.QueryRow(b.ctx, `SELECT coalesce(sum(l.amount), 0) FROM invoice_lines l JOIN invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
					WHERE i.state <> 'void' AND l.period = $1`, m.String()).Scan(&got))
				if !got.Equal(want.Total.Amount) {
					t.Errorf("%s is charged %s, and comes to %s", m, got, want.Total)
				}
			}
			var wrong int
			b.must(b.admin.QueryRow(b.ctx, `SELECT count(*) FROM invoices i WHERE total <> (SELECT coalesce(sum(amount), 0) FROM invoice_lines l WHERE l.tenant_id = i.tenant_id AND l.invoice_id = i.id)`).Scan(&wrong))
			if wrong != 0 {
				t.Errorf("%d totals differ from the sum of their lines", wrong)
			}
		})
	}
}

func TestLateUsageIsExplained(t *testing.T) {
	b := setup(t, "UTC")
	v := b.issue(b.closed(b.operations("2026-10-05T10:00:00Z", "shop", 99_000)).ID)
	b.add(b.operations("2026-10-06T10:00:00Z", "shop", 2_000), b.operations("2026-11-06T10:00:00Z", "shop", 10))
	next := b.draft(november)
	want := `2026-11 draft per-sync $8.05 v1
1 Sync operations: 10 for $0.05
  Tier 1, 1 to 100,000: 10 operations at $0.005 each = $0.05
2 Realtime surcharge: 0 for $0.00
  All: 0 operations at $0.002 each = $0.00
3 Complex transformation surcharge: 0 for $0.00
  All: 0 operations at $0.001 each = $0.00
4 Records under management: 0 for $0.00
  0 records in all, included in the plan at no charge
5 Integrations: 1 for $0.00
  standard: 1 integration
  1 integration in all, included in the plan at no charge
6 Sync operations, late usage of 2026-10: 2000 for $8.00
  Tier 1, 1 to 100,000: 100,000 operations at $0.005 each = $500.00
  Tier 2, 100,001 to 1,000,000: 1,000 operations at $0.003 each = $3.00
  2026-10 comes to $503.00 by now; $495.00 for 99,000 operations were invoiced before
`
	if got := shown(next); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := flagged(next); got != "unsubscribed late" {
		t.Errorf("the flags are %s", got)
	}
	if again, err := b.invoicer.Invoice(b.ctx, b.tenant, v.ID); err != nil || again.Total.Fixed() != "495.00" {
		t.Errorf("the issued invoice is %s now (%v)", again.Total, err)
	}
	list, _, err := b.invoicer.LineOperations(b.ctx, b.tenant, next.ID, next.Lines[5].ID, invoicing.Page{})
	if err != nil || len(list) != 0 { // nothing but events was laid out
		t.Errorf("opening the line: %v, %v", list, err)
	}
}

// A line of late usage opens into what became known late, not into what the month had been charged for already.
func TestLateLinesOpenIntoWhatWasLate(t *testing.T) {
	b := setup(t, "UTC")
	b.since("2026-10-01T00:00:00Z")
	b.setNow("2026-11-02T12:00:00Z")
	b.deliver("2026-10-05T10:00:00Z", "shop", billing.UsageEvent{Object: "stock", DataClass: "products", Quantity: 3})
	_, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	first := b.issue(b.draft(november.Previous()).ID)
	open := func(v billing.Invoice, line int) int {
		t.Helper()
		list, _, err := b.invoicer.LineOperations(b.ctx, b.tenant, v.ID, v.Lines[line].ID, invoicing.Page{})
		b.must(err)
		return len(list)
	}
	if n := open(first, 0); n != 3 {
		t.Errorf("the month opens into %d operations, want 3", n)
	}
	b.setNow("2026-11-03T12:00:00Z")
	b.deliver("2026-10-06T10:00:00Z", "shop", billing.UsageEvent{Object: "stock", DataClass: "products", Quantity: 5})
	b.deliver("2026-11-03T10:00:00Z", "shop", billing.UsageEvent{Object: "stock", DataClass: "products", Quantity: 7})
	next := b.draft(november)
	late := slices.IndexFunc(next.Lines, func(l billing.Line) bool { return l.Kind == billing.LateLine && l.Price == "sync-operations" })
	if late < 0 {
		t.Fatalf("no late line in\n%s", shown(next))
	}
	if n := open(next, late); n != 5 {
		t.Errorf("the late line opens into %d operations, want 5", n)
	}
	if n := open(next, 0); n != 7 {
		t.Errorf("the month's own line opens into %d operations, want 7", n)
	}
}

func flagged(v billing.Invoice) string {
	var codes []string
	for _, f := range v.Flags {
		codes = append(codes, string(f.Code))
	}
	return strings.Join(codes, " ")
}

func TestJumpsAreFlagged(t *testing.T) {
	b := setup(t, "UTC")
	b.since("2026-06-01T00:00:00Z")
	b.add(b.operations("2026-06-05T10:00:00Z", "shop", 2_000_000)) // $4,200, four months before: not looked at any more
	for _, day := range []string{"2026-07-05", "2026-08-05", "2026-09-05"} {
		b.add(b.operations(day+"T10:00:00Z", "shop", 20_000)) // $100
	}
	v := b.operations("2026-10-05T10:00:00Z", "shop", 50_000) // $250
	b.add(v)
	_, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	flags := b.draft(november.Previous()).Flags
	if len(flags) != 2 || flags[1].Code != billing.FlagUnsubscribed || flags[0].Text != "$250.00 is $150.00 above the mean of the 3 invoices before it ($100.00)." {
		t.Errorf("October is flagged %v", flags)
	}
	if got := flagged(b.draft(november.Plus(-2))); got != "jump unsubscribed" {
		t.Errorf("September is flagged %s", got)
	}
}

func TestBulkApproval(t *testing.T) {
	b := setup(t, "UTC")
	b.since("2026-08-01T00:00:00Z")
	ada, grace := b.member("Ada", auth.Finance), b.member("Grace", auth.Finance)
	for _, day := range []string{"2026-08-05", "2026-09-05", "2026-10-05"} {
		b.add(b.operations(day+"T10:00:00Z", "shop", 20_000))
	}
	_, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	list, _, err := b.invoicer.Find(b.ctx, b.tenant, invoicing.Filter{Review: true}, invoicing.Page{})
	b.must(err)
	_, _, err = b.invoicer.Adjust(b.ctx, ada, list[0].ID, 0, "Gift", "for trying", dec("-5"))
	b.must(err)
	versions, order := map[uuid.UUID]int64{}, []uuid.UUID{}
	for _, v := range list {
		fresh, err := b.invoicer.Current(b.ctx, ada, v.ID)
		b.must(err)
		versions[v.ID], order = fresh.Version, append(order, v.ID)
	}
	order = append(order, uuid.New())
	codes := func(o []invoicing.Outcome, err error) string {
		t.Helper()
		b.must(err)
		var s []string
		for _, one := range o {
			if f := fault.As(one.Err); f != nil {
				s = append(s, f.Code)
			} else {
				s = append(s, string(one.Invoice.State))
			}
		}
		return strings.Join(s, " ")
	}
	if got := codes(b.invoicer.ApproveAll(b.ctx, ada, versions, order, true)); got != "invoicing.second_person draft draft invoicing.invoice_not_found" {
		t.Errorf("the preview says %s", got)
	}
	if got := codes(b.invoicer.ApproveAll(b.ctx, ada, versions, order, false)); got != "invoicing.second_person open open invoicing.invoice_not_found" {
		t.Errorf("Ada's approval: %s", got)
	}
	if got := codes(b.invoicer.ApproveAll(b.ctx, grace, versions, order, false)); got != "open invoicing.version_stale invoicing.version_stale invoicing.invoice_not_found" {
		t.Errorf("Grace's approval: %s", got)
	}
	_, err = b.invoicer.ApproveAll(b.ctx, b.member("Vi", auth.Viewer), versions, order, true)
	b.refuse("auth.forbidden", err)
}
