// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/fault"
)

// CouponCode is what operators hand out for customers to redeem. Redeemed, it is a Coupon of the tenant's.
type CouponCode struct {
	Code         string // in capitals; people may write it in any case
	Title        string // what stands on the invoices
	Percent      decimal.Decimal
	Amount       decimal.Decimal // or an amount, in Currency
	Currency     Currency        // of the amount; "" for a percentage
	Months       int             // for how many months' invoices, that of the redemption first; 0 for ever
	Plans        []string        // names of the plans it fits; none for all
	Max          int             // redemptions by all tenants together; 0 for any number
	MaxPerTenant int             // by one tenant; 0 for any number
	From         time.Time
	Until        time.Time // zero: without end
	Redeemed     int
	CreatedAt    time.Time
	CreatedBy    string
	Reason       string
	EndedAt      time.Time // zero: not ended by an operator
}

var codeForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{2,38}[A-Z0-9]$`)

// TidyCode is a code as it is kept, however it was typed.
func TidyCode(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }

// Check says what is wrong with a code that is to be made.
func (c CouponCode) Check(now time.Time) error {
	bad := func(pointer, message string) error {
		return fault.New(fault.Invalid, "plans.coupon_malformed", "The coupon code cannot be used: %s", message).
			At(fault.Field{Pointer: pointer, Code: "plans.coupon_malformed", Message: message})
	}
	switch {
	case !codeForm.MatchString(c.Code):
		return bad("/code", "A code has 4 to 40 letters, digits and hyphens, such as LAUNCH-2027.")
	case strings.TrimSpace(c.Title) == "" || len([]rune(c.Title)) > 100:
		return bad("/title", "A title is needed, of up to 100 characters; it stands on the invoices.")
	case c.Percent.IsPositive() == c.Amount.IsPositive() || c.Percent.IsNegative() || c.Amount.IsNegative():
		return bad("/percent", "It takes off either a percentage or an amount.")
	case c.Percent.GreaterThan(decimal.NewFromInt(100)):
		return bad("/percent", "A percentage is up to 100.")
	case c.Amount.IsPositive() != (c.Currency != ""):
		return bad("/currency", "An amount has a currency, and a percentage has none.")
	case c.Months < 0 || c.Months > 120:
		return bad("/months", "It is for 1 to 120 months, or 0 for ever.")
	case c.Max < 0 || c.MaxPerTenant < 0 || c.Max > 1_000_000 || c.MaxPerTenant > 1000:
		return bad("/maxRedemptions", "A limit is above nothing, or 0 for none.")
	case !c.Until.IsZero() && (!c.Until.After(now) || !c.Until.After(c.From)):
		return bad("/validUntil", "It would have ended before it begins, or already.")
	}
	return nil
}

// Redeemable says whether a tenant on the plan, which redeemed it so many times before, may redeem it now. Redeemed does not count this
// time.
func (c CouponCode) Redeemable(now time.Time, plan Plan, before int) error {
	switch {
	case now.Before(c.From):
		return fault.New(fault.Conflict, "plans.coupon_not_valid", "The coupon %s is valid from %s on.", c.Code, c.From.UTC().Format("2 January 2006, 15:04 MST"))
	case !c.EndedAt.IsZero() || !c.Until.IsZero() && !now.Before(c.Until):
		return fault.New(fault.Conflict, "plans.coupon_not_valid", "The coupon %s is not valid any more.", c.Code)
	case c.MaxPerTenant > 0 && before >= c.MaxPerTenant:
		return fault.New(fault.Conflict, "plans.coupon_redeemed", "This tenant has redeemed the coupon %s already.", c.Code)
	case c.Max > 0 && c.Redeemed >= c.Max:
		return fault.New(fault.Conflict, "plans.coupon_used_up", "The coupon %s has been redeemed as often as it could be.", c.Code)
	case !c.fits(plan):
		return fault.New(fault.Conflict, "plans.coupon_unfit", "The coupon %s does not fit the plan %s; it is for %s. Choose such a plan first.", c.Code, plan.Card.Title, strings.Join(c.Plans, ", "))
	case c.Currency != "" && c.Currency != plan.Card.Currency:
		return fault.New(fault.Conflict, "plans.coupon_unfit", "The coupon %s takes off an amount in %s, and the plan %s is in %s.", c.Code, strings.ToUpper(string(c.Currency)), plan.Card.Title, strings.ToUpper(string(plan.Card.Currency)))
	}
	return nil
}

func (c CouponCode) fits(p Plan) bool { return len(c.Plans) == 0 || slices.Contains(c.Plans, p.Name()) }

// Coupon is the tenant's, from the period on in which it is redeemed. time is how often the tenant redeemed it before.
func (c CouponCode) Coupon(p Period, before int) Coupon {
	out := Coupon{ID: strings.ToLower(c.Code), Title: c.Title, Percent: c.Percent, Amount: c.Amount, From: p.Start(), Code: c.Code, Plans: c.Plans, Reason: "redeemed with the code " + c.Code}
	if before > 0 {
		out.ID = fmt.Sprintf("%s-%d", out.ID, before+1)
	}
	if c.Months > 0 {
		out.To = p.Month.Plus(c.Months).In(p.Zone).Start()
	}
	return out
}
