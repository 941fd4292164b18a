// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/fault"
)

// InvoiceState says where an invoice stands, in Stripe's words.
type InvoiceState string

// The states.
const (
	Draft         InvoiceState = "draft"         // being computed and reviewed; the only state in which lines change
	Open          InvoiceState = "open"          // finalized and sent, not yet paid
	Paid          InvoiceState = "paid"          // paid; final
	Void          InvoiceState = "void"          // issued by mistake and withdrawn; final
	Uncollectible InvoiceState = "uncollectible" // given up, though a late payment is still taken
)

// invoiceMoves are the legal moves, as in Stripe's invoice lifecycle. A draft is never voided: it was never issued.
var invoiceMoves = map[InvoiceState][]InvoiceState{
	Draft:         {Open},
	Open:          {Paid, Void, Uncollectible},
	Uncollectible: {Paid, Void},
	Paid:          nil,
	Void:          nil,
}

// InvoiceStates lists all states in the order of an invoice's life.
var InvoiceStates = []InvoiceState{Draft, Open, Paid, Void, Uncollectible}

// Valid says whether s is a state.
func (s InvoiceState) Valid() bool { _, ok := invoiceMoves[s]; return ok }

// MayBecome says whether an invoice may go from s to next.
func (s InvoiceState) MayBecome(next InvoiceState) bool {
	return slices.Contains(invoiceMoves[s], next)
}

// Invoice is what a tenant owes for one period. While it is a draft it is recomputed from the ledger; afterwards its
// lines never change.
type Invoice struct {
	ID          uuid.UUID
	Period      Period
	State       InvoiceState
	RateCard    string // name of the rate card it was rated by
	CardVersion int
	Currency    Currency
	Total       Money // the sum of the charged lines
	Lines       []Line
	CreatedAt   time.Time
	ComputedAt  time.Time // when the lines last followed from the ledger
	Version     int64     // counts changes, for If-Match

	Number       int64     // given when finalized, without gaps per tenant; 0 before
	Flags        []Flag    // what a reviewer should look at
	ClosedAt     time.Time // when the period was closed; zero while usage is awaited
	ApprovedAt   time.Time // zero: not approved; from then on the lines stay as they are
	ApprovedBy   string    // the public id of who approved it
	ApprovedName string
	FinalizedAt  time.Time
	SettledAt    time.Time // when it was paid, voided or given up
	Settlement   string    // how it was paid, or why it was voided or given up
	Credited     Money     // the sum of its issued credit notes
}

// Approved says whether somebody approved what the invoice shows.
func (i Invoice) Approved() bool { return !i.ApprovedAt.IsZero() }

// Frozen says whether the lines are not computed any more: what was approved is what is issued.
func (i Invoice) Frozen() bool { return i.State != Draft || i.Approved() }

// Due is what is still to be paid.
func (i Invoice) Due() Money {
	if i.State != Open && i.State != Uncollectible {
		return Zero(i.Currency)
	}
	return Money{Amount: i.Total.Amount.Sub(i.Credited.Amount), Currency: i.Currency}
}

// Name is how people call the invoice: its number, or its month while it has none.
func (i Invoice) Name() string {
	if i.Number == 0 {
		return "Draft " + i.Period.Month.String()
	}
	return InvoiceNumber(i.Number)
}

// InvoiceNumber writes an invoice's number: "INV-000042".
func InvoiceNumber(n int64) string { return fmt.Sprintf("INV-%06d", n) }

// CreditNoteNumber writes a credit note's number: "CN-000042".
func CreditNoteNumber(n int64) string { return fmt.Sprintf("CN-%06d", n) }

// Become moves the invoice to another state or says why that is not allowed.
func (i Invoice) Become(next InvoiceState) (Invoice, error) {
	if !i.State.MayBecome(next) {
		return i, fault.New(fault.Conflict, "billing.invoice_state",
			"An invoice that is %s cannot become %s; the states it may go to are listed in the documentation of billing.", i.State, next)
	}
	i.State = next
	return i, nil
}

// Line is one position of an invoice, with the reason for its amount.
type Line struct {
	ID          uuid.UUID // the same at each recomputation: it follows from the invoice's id and the price's
	Position    int       // from 1
	Price       string    // id of the price in the rate card
	Title       string
	Meter       Meter
	Match       Match // which usage it counts, kept so that the line opens into its operations under any later rate card
	Quantity    int64
	Amount      Money  // rounded; zero when Charged is false
	Charged     bool   // false: shown for information only
	Explanation []Step // why the amount is what it is, in order

	// From and To bound the part of the period that the line is about; both are zero when it is about all of it. A period has
	// parts when the plan or its add-ons changed within it.
	From, To time.Time
	Kind     LineKind
	Review   string // what a person should look at before the invoice goes out, as a sentence; "" for nothing
	Of       Month  // the month whose usage it charges: the invoice's own, or for late usage an earlier one
	Reason   string // of an adjustment
	Author   string // of an adjustment: who made it, for people
}

// LineKind says where a line comes from.
type LineKind string

// The kinds. Lines of usage and fees come first, then what is taken off or put on, in this order.
const (
	UsageLine    LineKind = "usage"    // counted from the ledger
	FeeLine      LineKind = "fee"      // by the month, whatever was used
	AddOnLine    LineKind = "addon"    // a feature that was chosen
	MinimumLine  LineKind = "minimum"  // what is missing to the least the plan costs
	CapLine      LineKind = "cap"      // what is above the most the plan costs
	DiscountLine LineKind = "discount" // a coupon
	CreditLine   LineKind = "credit"   // paid from the tenant's credit

	LateLine       LineKind = "late"       // usage of a month that was invoiced before it was known
	AdjustmentLine LineKind = "adjustment" // a person's
)

// LineID is the id of the line for a price on an invoice.
func LineID(invoice uuid.UUID, price string) uuid.UUID { return uuid.NewSHA1(invoice, []byte(price)) }

// Key names the line within its invoice, the same at each recomputation.
func (l Line) Key() string {
	switch {
	case l.Kind == LateLine:
		return "late/" + l.Of.String() + "/" + l.Price
	case !l.From.IsZero():
		return l.Price + "@" + l.From.UTC().Format(time.RFC3339)
	}
	return l.Price
}

// StepName says what a step of an explanation does.
type StepName string

// The steps.
const (
	StepIncluded StepName = "included" // counted, not charged
	StepTier     StepName = "tier"     // units of one tier at its rate
	StepRate     StepName = "rate"     // all units at one rate
	StepPackage  StepName = "package"  // units bought by the package
	StepFee      StepName = "fee"      // a fixed price
	StepPercent  StepName = "percent"  // a share of other lines
	StepMultiply StepName = "multiply" // the price times a factor
	StepMinimum  StepName = "minimum"  // raised to the least it costs
	StepCap      StepName = "cap"      // lowered to the most it costs
	StepProrate  StepName = "prorate"  // less for the part of the month it was not there
	StepTrial    StepName = "trial"    // free while the plan is tried out
	StepDiscount StepName = "discount" // a coupon
	StepCredit   StepName = "credit"   // taken from the credit
	StepReview   StepName = "review"   // not charged; for a person to look at
	StepRound    StepName = "round"    // the exact sum brought to whole cents
	StepBilled   StepName = "billed"   // what earlier invoices charged already is taken off
	StepLimited  StepName = "limited"  // a credit is not larger than the invoice; the rest follows on the next
	StepAdjusted StepName = "adjusted" // a person's amount, with the reason
)

// StepNames lists the steps in the order in which they are applied to a line.
var StepNames = []StepName{StepIncluded, StepTier, StepRate, StepPackage, StepFee, StepPercent, StepMultiply, StepMinimum, StepCap,
	StepProrate, StepTrial, StepDiscount, StepCredit, StepReview, StepRound}

// Step is one step of the way from a quantity to an amount. The amounts of all steps but a last StepRound add up to the
// exact amount of the line; StepRound holds what is then charged. An amount that is a fraction, as a third of a fee is, is
// shown to twelve digits, while the line is computed with the fraction itself.
type Step struct {
	Name     StepName        `json:"name"`
	Text     string          `json:"text"` // the step as a sentence
	Quantity int64           `json:"quantity"`
	Rate     decimal.Decimal `json:"rate,omitzero"`
	Amount   decimal.Decimal `json:"amount"` // exact
}
