// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Adjustment is what a person added to a draft, or took off it.
type Adjustment struct {
	ID        uuid.UUID
	Invoice   uuid.UUID
	Title     string // what the customer reads
	Reason    string // why, for reviewers and the audit log
	Amount    Money  // negative takes off
	Actor     string // the public id of who made it
	ActorName string
	Person    string // the member behind it: for an API key, whoever made the key
	CreatedAt time.Time
	RemovedAt time.Time // zero: it counts
}

// NewAdjustment checks what a person wrote.
func NewAdjustment(title, reason string, amount Money) (Adjustment, error) {
	a := Adjustment{Title: oneLine(title), Reason: strings.TrimSpace(reason), Amount: amount}
	var bad []fault.Field
	if n := len([]rune(a.Title)); n < 1 || n > 120 {
		bad = append(bad, fault.Field{Pointer: "/title", Code: "billing.adjustment_invalid", Message: "The title has 1 to 120 characters.", Remedy: "Say what the customer is to read on the invoice, such as \"Goodwill credit\"."})
	}
	if n := len([]rune(a.Reason)); n < 3 || n > 1000 {
		bad = append(bad, fault.Field{Pointer: "/reason", Code: "billing.adjustment_invalid", Message: "The reason has 3 to 1,000 characters.", Remedy: "Say why: whoever approves the invoice reads it."})
	}
	if f, ok := badAmount(amount.Amount); !ok {
		bad = append(bad, f)
	} else if amount.Amount.IsZero() {
		bad = append(bad, fault.Field{Pointer: "/amount", Code: "billing.adjustment_invalid", Message: "An adjustment of nothing changes nothing.", Remedy: "Give an amount, such as \"-25.00\"."})
	}
	if len(bad) > 0 {
		return Adjustment{}, fault.New(fault.Invalid, "billing.adjustment_invalid", "The adjustment cannot be made as written.").At(bad...)
	}
	return a, nil
}

// mostAmount is the largest amount that people may write by hand: a slip of some digits should not become an invoice.
var mostAmount = decimal.New(1, 9)

func badAmount(d decimal.Decimal) (fault.Field, bool) {
	switch {
	case !d.Equal(d.Truncate(centDigits)):
		return fault.Field{Pointer: "/amount", Code: "billing.amount_invalid", Message: "The amount has parts of a cent.", Remedy: "Give at most two decimals."}, false
	case d.Abs().GreaterThan(mostAmount):
		return fault.Field{Pointer: "/amount", Code: "billing.amount_invalid", Message: "The amount is above a billion.", Remedy: "Check the digits."}, false
	}
	return fault.Field{}, true
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Line is the adjustment as a line of its invoice.
func (a Adjustment) Line(of Month) Line {
	return Line{
		Price: "adjustment/" + a.ID.String(), Title: a.Title, Quantity: 1, Amount: a.Amount, Charged: true, Kind: AdjustmentLine, Of: of,
		Reason: a.Reason, Author: a.ActorName,
		Explanation: []Step{{Name: StepAdjusted, Text: fmt.Sprintf("%s by %s: %s", a.Amount, a.ActorName, a.Reason), Quantity: 1, Amount: a.Amount.Amount}},
	}
}

// CreditNoteState says where a credit note stands.
type CreditNoteState string

// The states.
const (
	CreditDraft     CreditNoteState = "draft"     // written, waits for a second person
	CreditIssued    CreditNoteState = "issued"    // counts; final
	CreditDiscarded CreditNoteState = "discarded" // does not; final
)

// CreditNote takes back a part of an invoice that was issued, or all of it.
type CreditNote struct {
	ID          uuid.UUID
	Invoice     uuid.UUID
	Number      int64 // given when issued, without gaps per tenant; 0 before
	State       CreditNoteState
	Amount      Money // above zero
	Reason      string
	Actor       string // who wrote it
	ActorName   string
	Person      string
	CreatedAt   time.Time
	DecidedAt   time.Time // when it was issued or discarded
	DecidedBy   string
	DecidedName string
	Version     int64
}

// Name is how people call the credit note.
func (c CreditNote) Name() string {
	if c.Number == 0 {
		return "Draft credit note"
	}
	return CreditNoteNumber(c.Number)
}

// Credit writes a credit note for the invoice, or says why there can be none. already is what its other credit notes,
// drafts included, take back.
func (i Invoice) Credit(amount Money, already decimal.Decimal, reason string) (CreditNote, error) {
	if i.State != Open && i.State != Paid && i.State != Uncollectible {
		return CreditNote{}, fault.New(fault.Conflict, "billing.invoice_state", "Only an invoice that was issued can be credited, and this one is %s. A draft is adjusted instead.", i.State)
	}
	reason = strings.TrimSpace(reason)
	var bad []fault.Field
	if n := len([]rune(reason)); n < 3 || n > 1000 {
		bad = append(bad, fault.Field{Pointer: "/reason", Code: "billing.credit_invalid", Message: "The reason has 3 to 1,000 characters.", Remedy: "Say why: the customer reads it on the credit note."})
	}
	left := i.Total.Amount.Sub(already)
	if f, ok := badAmount(amount.Amount); !ok {
		bad = append(bad, f)
	} else if !amount.Amount.IsPositive() || amount.Amount.GreaterThan(left) {
		bad = append(bad, fault.Field{Pointer: "/amount", Code: "billing.credit_invalid",
			Message: fmt.Sprintf("Of %s, %s can still be credited.", i.Total, Money{left, i.Currency}), Remedy: "Give an amount above zero and not above that."})
	}
	if len(bad) > 0 {
		return CreditNote{}, fault.New(fault.Invalid, "billing.credit_invalid", "The credit note cannot be written like this.").At(bad...)
	}
	return CreditNote{Invoice: i.ID, State: CreditDraft, Amount: amount, Reason: reason, Version: 1}, nil
}

// Decide issues or discards a draft.
func (c CreditNote) Decide(next CreditNoteState) (CreditNote, error) {
	if c.State != CreditDraft {
		return c, fault.New(fault.Conflict, "billing.credit_state", "The credit note was %s already.", c.State)
	}
	c.State = next
	c.Version++
	return c, nil
}

// FlagCode says what is odd about a draft.
type FlagCode string

// The flags.
const (
	FlagJump         FlagCode = "jump"         // far from the invoices before it
	FlagUnsubscribed FlagCode = "unsubscribed" // usage, and no subscription that it is charged by
	FlagReview       FlagCode = "review"       // the plan says that a person looks: more records than it has, for example
	FlagLate         FlagCode = "late"         // charges usage of an earlier month
)

// Flag is a reason for a reviewer to look.
type Flag struct {
	Code FlagCode `json:"code"`
	Text string   `json:"text"`
}

// A total jumps when it is at least this many times the mean of the invoices before it, or that part of it, and the
// difference is worth looking at.
const jumpFactor = 2

var jumpFloor = decimal.New(50, 0)

// Jump compares a total with those of up to three periods before it. Without any there is nothing to compare with.
func Jump(total Money, before []Money) (Flag, bool) {
	if len(before) == 0 {
		return Flag{}, false
	}
	sum := decimal.Zero
	for _, m := range before {
		sum = sum.Add(m.Amount)
	}
	mean := RoundLine(Money{sum.Div(decimal.NewFromInt(int64(len(before)))), total.Currency})
	off := total.Amount.Sub(mean.Amount)
	factor := decimal.NewFromInt(jumpFactor)
	up := total.Amount.GreaterThanOrEqual(mean.Amount.Mul(factor))
	down := total.Amount.Mul(factor).LessThanOrEqual(mean.Amount)
	if off.Abs().LessThan(jumpFloor) || !up && !down {
		return Flag{}, false
	}
	direction := "above"
	if off.IsNegative() {
		direction = "below"
	}
	span := "the invoice before it"
	if len(before) > 1 {
		span = fmt.Sprintf("the mean of the %d invoices before it", len(before))
	}
	return Flag{FlagJump, fmt.Sprintf("%s is %s %s %s (%s).", total, Money{off.Abs(), total.Currency}, direction, span, mean)}, true
}

// ByPrice puts the lines of a price together that are about parts of one month, and leaves out what was paid from credit: that
// is a matter of the invoice, not of the usage.
func ByPrice(lines []Line) []Line {
	var out []Line
	at := map[string]int{}
	for _, l := range lines {
		if l.Kind == CreditLine {
			continue
		}
		n, there := at[l.Price]
		if !there {
			at[l.Price] = len(out)
			l.From, l.To = time.Time{}, time.Time{}
			out = append(out, l)
			continue
		}
		sum := &out[n]
		sum.Quantity += l.Quantity
		sum.Amount = sum.Amount.Add(l.Amount)
		sum.Charged = sum.Charged || l.Charged
		sum.Explanation = append(append([]Step(nil), sum.Explanation...), l.Explanation...)
	}
	return out
}

// Late is the line for usage of a month that was invoiced before all of it was known: what the month comes to now, less
// what was charged for it. ok is false when nothing is to be charged or given back.
func Late(now Line, of Month, billedUnits int64, billed Money) (l Line, ok bool) {
	if !now.Charged {
		return Line{}, false
	}
	l = now
	l.Kind, l.Of = LateLine, of
	l.Title = now.Title + ", late usage of " + of.String()
	l.Quantity = now.Quantity - billedUnits
	l.Amount = Money{now.Amount.Amount.Sub(billed.Amount), billed.Currency}
	if l.Amount.Amount.IsZero() {
		return Line{}, false
	}
	l.Explanation = append(append([]Step(nil), now.Explanation...), Step{
		Name:     StepBilled,
		Text:     fmt.Sprintf("%s comes to %s by now; %s for %s were invoiced before", of, now.Amount, billed, Count(billedUnits)+" "+now.Meter.Unit(billedUnits)),
		Quantity: -billedUnits,
		Amount:   billed.Amount.Neg(),
	})
	return l, true
}

// Limit makes a line that gives money back no larger than what it is taken off from; the rest shows up again on the next
// invoice, because it was not billed then either. ok is false when nothing is left.
func (l Line) Limit(available Money) (Line, bool) {
	if !l.Amount.Amount.IsNegative() || l.Amount.Amount.Neg().LessThanOrEqual(available.Amount) {
		return l, true
	}
	if !available.Amount.IsPositive() {
		return Line{}, false
	}
	rest := l.Amount.Amount.Add(available.Amount)
	l.Explanation = append(append([]Step(nil), l.Explanation...), Step{
		Name: StepLimited, Text: fmt.Sprintf("An invoice is never below zero: %s of it follow on the next one", Money{rest.Neg(), l.Amount.Currency}), Amount: rest.Neg(),
	})
	l.Amount = Money{available.Amount.Neg(), l.Amount.Currency}
	return l, true
}

// Plus adds calendar months.
func (m Month) Plus(n int) Month { return m.plus(n) }

// Before says whether m is an earlier month.
func (m Month) Before(n Month) bool { return m.String() < n.String() }
