// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Book is what one month, plan and currency come to, over all tenants. Amounts of different currencies are never added up.
//
// Invoiced is always Collected + Outstanding + GivenUp + Credited.
type Book struct {
	Month       billing.Month
	Plan        string // "" in a sum over all plans
	Currency    billing.Currency
	Agreements  int64           // that hold at the month's end, or now; trials and tenants that agreed to nothing are not counted
	Recurring   decimal.Decimal // what these come to in a whole month without any usage, before coupons
	Invoices    int64           // issued and not void
	Invoiced    decimal.Decimal
	Collected   decimal.Decimal // paid, less what was credited
	Outstanding decimal.Decimal // issued, and neither paid nor given up
	GivenUp     decimal.Decimal // uncollectible
	Credited    decimal.Decimal // by credit notes
	Refunded    decimal.Decimal // paid back by the payment provider, because of a credit note or of a dispute
	FromCredit  decimal.Decimal // paid by credit that tenants had, and so not invoiced
	Drafts      decimal.Decimal // of the month, not issued yet
}

func (b *Book) add(o Book) {
	b.Agreements, b.Invoices = b.Agreements+o.Agreements, b.Invoices+o.Invoices
	for _, p := range []struct {
		to *decimal.Decimal
		of decimal.Decimal
	}{{&b.Recurring, o.Recurring}, {&b.Invoiced, o.Invoiced}, {&b.Collected, o.Collected}, {&b.Outstanding, o.Outstanding}, {&b.GivenUp, o.GivenUp}, {&b.Credited, o.Credited},
		{&b.Refunded, o.Refunded}, {&b.FromCredit, o.FromCredit}, {&b.Drafts, o.Drafts}} {
		*p.to = p.to.Add(p.of)
	}
}

// Revenue is the installation's, from its books.
type Revenue struct {
	ByPlan  []Book // by month, currency and plan, the latest month first
	ByMonth []Book // the sums of each month and currency
}

// Revenue sums up all tenants' agreements and invoices of so many months, the present one included. It names no tenant.
func (m *Manager) Revenue(ctx context.Context, operator auth.Principal, months int) (out Revenue, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return out, err
	}
	if months < 1 || months > 120 {
		return out, fault.New(fault.Invalid, "plans.months_malformed", "The months are 1 to 120, not %d.", months)
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		out.ByPlan, err = tx.Books(ctx, billing.PeriodOf(tx.Now(), time.UTC).Plus(1-months))
		return err
	})
	for _, b := range out.ByPlan {
		if n := len(out.ByMonth); n == 0 || out.ByMonth[n-1].Month != b.Month || out.ByMonth[n-1].Currency != b.Currency {
			out.ByMonth = append(out.ByMonth, Book{Month: b.Month, Currency: b.Currency})
		}
		out.ByMonth[len(out.ByMonth)-1].add(b)
	}
	return out, err
}

// CSV writes a row for each month, plan and currency.
func (r Revenue) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	err := c.Write([]string{"month", "plan", "currency", "agreements", "recurring", "invoices", "invoiced", "collected", "outstanding", "given_up", "credited", "refunded", "from_credit", "drafts"})
	for _, b := range r.ByPlan {
		if err != nil {
			return err
		}
		row := []string{b.Month.String(), b.Plan, string(b.Currency), strconv.FormatInt(b.Agreements, 10), b.Recurring.StringFixed(2), strconv.FormatInt(b.Invoices, 10)}
		for _, d := range []decimal.Decimal{b.Invoiced, b.Collected, b.Outstanding, b.GivenUp, b.Credited, b.Refunded, b.FromCredit, b.Drafts} {
			row = append(row, d.StringFixed(2))
		}
		err = c.Write(row)
	}
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	return err
}
