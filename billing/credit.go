// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Credit is money that a tenant has with us: it pays invoices before anybody is asked for payment.
type Credit struct {
	ID          uuid.UUID
	Amount      Money // as granted
	Used        Money // by invoices that are not void
	Reason      string
	GrantedAt   time.Time
	GrantedBy   string
	ExpiresAt   time.Time // it pays invoices of months that end until then; zero: of any
	WithdrawnAt time.Time // zero: it counts
}

// Left is what it has not paid yet; nothing once it was withdrawn.
func (c Credit) Left() Money {
	if !c.WithdrawnAt.IsZero() {
		return Zero(c.Amount.Currency)
	}
	return Money{Amount: c.Amount.Amount.Sub(c.Used.Amount), Currency: c.Amount.Currency}
}

// Check says what is wrong with a credit that is to be granted.
func (c Credit) Check(now time.Time) error {
	if f, ok := badAmount(c.Amount.Amount); !ok {
		return fault.New(fault.Invalid, "billing.amount_invalid", "The credit cannot be granted as written: %s", f.Message).At(f)
	}
	switch {
	case !c.Amount.Amount.IsPositive():
		return fault.New(fault.Invalid, "billing.amount_invalid", "A credit is above zero.").At(fault.Field{Pointer: "/amount", Code: "billing.amount_invalid", Message: "A credit is above zero."})
	case !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now):
		return fault.New(fault.Invalid, "billing.credit_expired", "The credit would have expired already.").At(fault.Field{Pointer: "/expiresAt", Code: "billing.credit_expired", Message: "This is in the past."})
	}
	return nil
}

// pays says whether the credit may pay for the period: granted before its end, and not expired before it.
func (c Credit) pays(p Period, currency Currency) bool {
	return c.Amount.Currency == currency && c.GrantedAt.Before(p.End()) && (c.ExpiresAt.IsZero() || !c.ExpiresAt.Before(p.End())) && c.Left().Amount.IsPositive()
}

// CreditUse is what a credit pays of an invoice.
type CreditUse struct {
	Credit Credit // as it was before
	Amount Money
}

// Left is what stays of the credit.
func (u CreditUse) Left() Money {
	return Money{Amount: u.Credit.Left().Amount.Sub(u.Amount.Amount), Currency: u.Amount.Currency}
}

// SpendCredits pays as much of an amount as credits can: those that expire first, then those granted first.
func SpendCredits(list []Credit, p Period, due Money) (uses []CreditUse) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b Credit) int {
		switch {
		case a.ExpiresAt.IsZero() != b.ExpiresAt.IsZero():
			return boolOrder(a.ExpiresAt.IsZero(), b.ExpiresAt.IsZero())
		default:
			return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), a.GrantedAt.Compare(b.GrantedAt), slices.Compare(a.ID[:], b.ID[:]))
		}
	})
	left := due.Amount
	for _, c := range list {
		if !left.IsPositive() {
			return uses
		}
		if !c.pays(p, due.Currency) {
			continue
		}
		take := decimal.Min(left, c.Left().Amount)
		uses = append(uses, CreditUse{Credit: c, Amount: Money{Amount: take, Currency: due.Currency}})
		left = left.Sub(take)
	}
	return uses
}

func boolOrder(a, b bool) int {
	if a == b {
		return 0
	}
	if a {
		return 1
	}
	return -1
}

// CreditsLine is what credits pay of an invoice as its last line, with a step for each.
func CreditsLine(uses []CreditUse, of Month, zone *time.Location) (Line, bool) {
	if len(uses) == 0 {
		return Line{}, false
	}
	line := Line{Price: "credit", Title: "Credit", Meter: Amounts, Amount: Zero(uses[0].Amount.Currency), Charged: true, Kind: CreditLine, Of: of}
	for _, u := range uses {
		text := u.Amount.String() + " of the credit of " + u.Credit.Amount.String() + ", \u201c" + u.Credit.Reason + "\u201d"
		if !u.Credit.ExpiresAt.IsZero() {
			text += ", which expires on " + u.Credit.ExpiresAt.In(zone).Format("2 January 2006")
		}
		text += "; " + u.Left().String() + " of it stay"
		line.Amount.Amount = line.Amount.Amount.Sub(u.Amount.Amount)
		line.Explanation = append(line.Explanation, Step{Name: StepCredit, Text: text, Amount: u.Amount.Amount.Neg()})
	}
	return line, true
}
