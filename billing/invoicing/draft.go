// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Draft brings the draft invoice of the month up to date with the ledger and returns it. The zero month is the present
// one. There is one invoice per period that is not void; if it has left the draft state it is returned as it stands.
// The version changes only when something that the invoice shows did.
func (i *Invoicer) Draft(ctx context.Context, id tenant.ID, month billing.Month) (billing.Invoice, error) {
	var invoice billing.Invoice
	err := i.inTx(ctx, id, func(tx Tx) error {
		p, err := period(ctx, tx, month)
		if err != nil {
			return err
		}
		invoice, err = i.draft(ctx, tx, p)
		return err
	})
	return invoice, err
}

func (i *Invoicer) draft(ctx context.Context, tx Tx, p billing.Period) (billing.Invoice, error) {
	agreements, card, err := terms(ctx, tx, p)
	if err != nil {
		return billing.Invoice{}, err
	}
	next := billing.Invoice{
		ID:          uuid.Must(uuid.NewV7()),
		Period:      p,
		State:       billing.Draft,
		RateCard:    card.Name,
		CardVersion: card.Version,
		Currency:    card.Currency,
		Total:       billing.Zero(card.Currency),
		CreatedAt:   tx.Now(),
		Version:     1,
	}
	held, err := tx.LockInvoice(ctx, next)
	if err != nil {
		return billing.Invoice{}, err
	}
	if held.Lines, err = tx.InvoiceLines(ctx, held.ID); err != nil {
		return billing.Invoice{}, err
	}
	if held.Frozen() {
		return held, nil
	}
	rated, err := rateTerms(ctx, tx, p, agreements)
	if err != nil {
		return billing.Invoice{}, err
	}
	next = keepHead(held, next)
	next.ComputedAt, next.Lines = tx.Now(), rated.Lines
	for n := range next.Lines {
		next.Lines[n].Kind, next.Lines[n].Of = cmp.Or(next.Lines[n].Kind, billing.UsageLine), p.Month
	}
	if err := addLate(ctx, tx, &next); err != nil {
		return billing.Invoice{}, err
	}
	adjustments, err := tx.Adjustments(ctx, held.ID)
	if err != nil {
		return billing.Invoice{}, err
	}
	for _, a := range adjustments {
		if a.RemovedAt.IsZero() {
			next.Lines = append(next.Lines, a.Line(p.Month))
		}
	}
	number(&next)
	if next.Flags, err = flags(ctx, tx, next, agreements); err != nil { // before credit: what was used is to be compared, not how it is paid
		return billing.Invoice{}, err
	}
	uses, err := payFromCredit(ctx, tx, &next)
	if err != nil {
		return billing.Invoice{}, err
	}
	// A draft that was made just now has no lines yet and keeps its first version.
	if len(held.Lines) > 0 && !sameContent(held, next) {
		next.Version++
	}
	if err := tx.SaveDraft(ctx, next); err != nil {
		return billing.Invoice{}, err
	}
	return next, tx.SetCreditUses(ctx, next.ID, uses)
}

// number gives the lines their places and ids, and adds them up.
func number(v *billing.Invoice) {
	v.Total = billing.Zero(v.Currency)
	for n := range v.Lines {
		l := &v.Lines[n]
		l.Position, l.ID = n+1, billing.LineID(v.ID, l.Key())
		v.Total = v.Total.Add(l.Amount)
	}
}

// payFromCredit adds a line of what the tenant's credit pays of the draft.
func payFromCredit(ctx context.Context, tx Tx, draft *billing.Invoice) ([]billing.CreditUse, error) {
	credits, err := tx.CreditsBeside(ctx, draft.ID, draft.Period.Month)
	if err != nil {
		return nil, err
	}
	uses := billing.SpendCredits(credits, draft.Period, draft.Total)
	if line, ok := billing.CreditsLine(uses, draft.Period.Month, draft.Period.Zone); ok {
		draft.Lines = append(draft.Lines, line)
		number(draft)
	}
	return uses, nil
}

// keepHead puts what is not computed over from the invoice as it was.
func keepHead(held, next billing.Invoice) billing.Invoice {
	kept := held
	kept.Period, kept.RateCard, kept.CardVersion, kept.Currency = next.Period, next.RateCard, next.CardVersion, next.Currency
	return kept
}

// lateMonths is for how many months before its own a draft takes up late usage.
const lateMonths = 3

// addLate adds a line for each price of an earlier month whose usage comes to something else now than what was charged for it.
// What is charged more comes first, so that what is given back has something to be taken off from.
func addLate(ctx context.Context, tx Tx, draft *billing.Invoice) error {
	frozen, err := tx.FrozenPeriods(ctx, draft.Period.Month.Plus(-lateMonths), draft.Period.Month)
	if err != nil {
		return err
	}
	var more, less []billing.Line
	for _, f := range frozen {
		agreements, card, err := terms(ctx, tx, f)
		if err != nil {
			return err
		}
		if card.Currency != draft.Currency {
			continue // what was owed in another currency stays with a person
		}
		now, err := rateTerms(ctx, tx, f, agreements)
		if err != nil {
			return err
		}
		billed, err := tx.BilledFor(ctx, f.Month)
		if err != nil {
			return err
		}
		for _, l := range billing.ByPrice(now.Lines) {
			was := billed[l.Price]
			if was.Amount.Currency == "" {
				was.Amount = billing.Zero(card.Currency)
			}
			late, ok := billing.Late(l, f.Month, was.Units, was.Amount)
			switch {
			case ok && late.Amount.Amount.IsNegative():
				less = append(less, late)
			case ok:
				more = append(more, late)
			}
		}
	}
	draft.Lines = append(draft.Lines, more...)
	left := billing.Zero(draft.Currency)
	for _, l := range draft.Lines {
		left = left.Add(l.Amount)
	}
	for _, l := range less {
		if l, ok := l.Limit(left); ok {
			draft.Lines, left = append(draft.Lines, l), left.Add(l.Amount)
		}
	}
	return nil
}

// flags are what a reviewer should look at. A month that still runs is not compared: it is naturally below the others.
func flags(ctx context.Context, tx Tx, draft billing.Invoice, agreements []billing.Agreement) ([]billing.Flag, error) {
	var flags []billing.Flag
	if !tx.Now().Before(draft.Period.End()) {
		before, err := tx.TotalsBefore(ctx, draft.Period.Month, 3)
		if err != nil {
			return nil, err
		}
		if f, ok := billing.Jump(draft.Total, before); ok {
			flags = append(flags, f)
		}
	}
	for _, a := range agreements {
		if a.ID == uuid.Nil && !draft.Total.Amount.IsZero() {
			flags = append(flags, billing.Flag{Code: billing.FlagUnsubscribed, Text: fmt.Sprintf("No plan was agreed to from %s on; what was used is charged by the plan that everybody starts on, %s.",
				a.Start.In(draft.Period.Zone).Format("2 January 2006"), a.Plan.Card.Title)})
		}
	}
	late := billing.Zero(draft.Currency)
	found := false
	for _, l := range draft.Lines {
		if l.Review != "" && l.Kind != billing.LateLine {
			flags = append(flags, billing.Flag{Code: billing.FlagReview, Text: l.Review})
		}
		if l.Kind == billing.LateLine {
			late, found = late.Add(l.Amount), true
		}
	}
	if found {
		flags = append(flags, billing.Flag{Code: billing.FlagLate, Text: "It charges usage of earlier months that became known after they were approved: " + late.String() + " in all."})
	}
	return flags, nil
}

// sameContent says whether both invoices show the same, whenever they were computed.
func sameContent(a, b billing.Invoice) bool {
	return a.Period.Start().Equal(b.Period.Start()) && a.Period.End().Equal(b.Period.End()) &&
		a.RateCard == b.RateCard && a.CardVersion == b.CardVersion && a.Total.Equal(b.Total) &&
		slices.EqualFunc(a.Lines, b.Lines, sameLine) && slices.Equal(a.Flags, b.Flags)
}

func sameLine(a, b billing.Line) bool {
	return a.ID == b.ID && a.Position == b.Position && a.Title == b.Title && a.Quantity == b.Quantity &&
		a.Amount.Equal(b.Amount) && a.Charged == b.Charged && a.Kind == b.Kind && a.Of == b.Of && a.Reason == b.Reason &&
		slices.EqualFunc(a.Explanation, b.Explanation, func(s, t billing.Step) bool { return s.Text == t.Text })
}
