// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
)

// CollectArgs is the job that brings an invoice to whoever collects the money, and brings back what became of it.
type CollectArgs struct {
	TenantID  uuid.UUID `json:"tenant"`
	InvoiceID uuid.UUID `json:"invoice"`
	Attempt   int       `json:"-"` // of the job, from 1
}

// Kind names the job.
func (CollectArgs) Kind() string { return "collect" }

// Pool is where it runs.
func (CollectArgs) Pool() string { return service.ChoresPool }

// change runs fn on a locked invoice with lines, in the order in which everything that numbers or freezes goes. version is
// the one that the caller has seen, 0 for any.
func (i *Invoicer) change(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, fn func(Tx, billing.Invoice) (billing.Invoice, error)) (billing.Invoice, error) {
	if err := who.May(auth.EditInvoices); err != nil {
		return billing.Invoice{}, err
	}
	var out billing.Invoice
	err := i.inTx(ctx, who.Tenant, func(tx Tx) error {
		if _, err := tx.LockAccount(ctx); err != nil {
			return err
		}
		held, err := tx.LockInvoiceByID(ctx, id)
		if err != nil {
			return err
		}
		if held.Lines, err = tx.InvoiceLines(ctx, id); err != nil {
			return err
		}
		if !held.Frozen() {
			// What is decided about is the invoice as the ledger has it now; who looked at another one is told so.
			if held, err = i.draft(ctx, tx, held.Period); err != nil {
				return err
			}
		}
		if version != 0 && version != held.Version {
			return fault.New(fault.Stale, "invoicing.version_stale", "The invoice changed since you looked (it is at version %d, and you saw %d). Read it again.", held.Version, version)
		}
		out, err = fn(tx, held)
		return err
	})
	return out, err
}

// save saves the head with an event and an audit entry. The lines stay as they are.
func (i *Invoicer) save(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice, act string, detail map[string]any) error {
	if err := tx.SaveInvoiceHead(ctx, v); err != nil {
		return err
	}
	return i.tell(ctx, tx, who, v, act, detail)
}

// tell emits the event and writes the audit entry of what was done to an invoice.
func (i *Invoicer) tell(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice, act string, detail map[string]any) error {
	id := ident.Format(ident.Invoice, v.ID)
	data := map[string]any{
		"invoice": id, "period": v.Period.Month.String(), "state": string(v.State), "total": v.Total.Fixed(), "currency": string(v.Currency),
	}
	if v.Number > 0 {
		data["number"] = billing.InvoiceNumber(v.Number)
	}
	if err := tx.Emit(ctx, "invoice."+act, uuid.Nil, data); err != nil {
		return err
	}
	return tx.Audit(ctx, who.Did("invoice."+act, id, detail))
}

// person is the member behind the principal: for an API key, whoever made the key, so that nobody approves with a key what
// they adjusted by hand.
func person(ctx context.Context, tx Tx, who auth.Principal) (string, error) {
	id := who.ID
	for range 20 {
		key, err := ident.Parse(ident.Key, id)
		if err != nil {
			return id, nil
		}
		if id, err = tx.KeyMaker(ctx, key); err != nil {
			return "", err
		}
	}
	return id, nil
}

func notDraft(v billing.Invoice) error {
	if v.State != billing.Draft {
		return fault.New(fault.Conflict, "billing.invoice_state", "The invoice is %s, and only a draft can be changed. Credit it, or void it and issue another.", v.State)
	}
	if v.Approved() {
		return fault.New(fault.Conflict, "invoicing.approved", "%s approved this invoice. Withdraw the approval first.", v.ApprovedName)
	}
	return nil
}

// Adjust adds an amount to a draft, or takes it off, with a title for the customer and a reason for reviewers.
func (i *Invoicer) Adjust(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, title, reason string, amount decimal.Decimal) (billing.Invoice, billing.Adjustment, error) {
	var made billing.Adjustment
	v, err := i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		if err := notDraft(v); err != nil {
			return v, err
		}
		a, err := billing.NewAdjustment(title, reason, billing.Money{Amount: amount, Currency: v.Currency})
		if err != nil {
			return v, err
		}
		if v.Total.Add(a.Amount).Amount.IsNegative() {
			return v, fault.New(fault.Invalid, "invoicing.total_negative", "The invoice comes to %s; taking %s off would bring it below zero. Take off less.", v.Total, billing.Money{Amount: amount.Neg(), Currency: v.Currency}).
				At(fault.Field{Pointer: "/amount", Code: "invoicing.total_negative", Message: "The total would be below zero.", Remedy: "Take off at most " + v.Total.String() + "."})
		}
		a.ID, a.Invoice, a.Actor, a.ActorName, a.CreatedAt = uuid.Must(uuid.NewV7()), id, who.ID, who.Name, tx.Now()
		if a.Person, err = person(ctx, tx, who); err != nil {
			return v, err
		}
		if err := tx.AddAdjustment(ctx, a); err != nil {
			return v, err
		}
		made = a
		return i.recomputed(ctx, tx, who, v, "adjusted", map[string]any{"adjustment": ident.Format(ident.Adjustment, a.ID), "title": a.Title, "reason": a.Reason, "amount": a.Amount.Fixed()})
	})
	return v, made, err
}

// RemoveAdjustment takes an adjustment back.
func (i *Invoicer) RemoveAdjustment(ctx context.Context, who auth.Principal, id, adjustment uuid.UUID, version int64) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		if err := notDraft(v); err != nil {
			return v, err
		}
		by, err := person(ctx, tx, who)
		if err != nil {
			return v, err
		}
		removed, err := tx.RemoveAdjustment(ctx, id, adjustment, by)
		if err != nil {
			return v, err
		}
		if !removed {
			return v, fault.New(fault.NotFound, "invoicing.adjustment_not_found", "The invoice has no such adjustment; it may have been removed before.")
		}
		next, err := i.recomputed(ctx, tx, who, v, "adjustment_removed", map[string]any{"adjustment": ident.Format(ident.Adjustment, adjustment)})
		if err == nil && next.Total.Amount.IsNegative() {
			return v, fault.New(fault.Conflict, "invoicing.total_negative", "Without this adjustment the invoice would be below zero. Remove what takes money off first.")
		}
		return next, err
	})
}

func (i *Invoicer) recomputed(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice, act string, detail map[string]any) (billing.Invoice, error) {
	next, err := i.draft(ctx, tx, v.Period)
	if err != nil {
		return v, err
	}
	return next, i.tell(ctx, tx, who, next, act, detail)
}

// Adjustments are those of an invoice that count, in the order of their making.
func (i *Invoicer) Adjustments(ctx context.Context, who auth.Principal, id uuid.UUID) (list []billing.Adjustment, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	err = i.inTx(ctx, who.Tenant, func(tx Tx) error {
		all, err := tx.Adjustments(ctx, id)
		for _, a := range all {
			if a.RemovedAt.IsZero() {
				list = append(list, a)
			}
		}
		return err
	})
	return list, err
}

// MayApprove says why the principal may not approve the invoice, nil when they may.
func (i *Invoicer) MayApprove(ctx context.Context, who auth.Principal, id uuid.UUID) error {
	if err := who.May(auth.EditInvoices); err != nil {
		return err
	}
	return i.inTx(ctx, who.Tenant, func(tx Tx) error {
		v, err := tx.Invoice(ctx, id)
		if err != nil {
			return err
		}
		return approvable(ctx, tx, who, v)
	})
}

func approvable(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice) error {
	if err := notDraft(v); err != nil {
		return err
	}
	if v.ClosedAt.IsZero() {
		return fault.New(fault.Conflict, "invoicing.period_open", "%s is not closed yet: usage may still come in. It is closed some time after the month has ended.", v.Period.Month)
	}
	if v.Total.Amount.IsNegative() {
		return fault.New(fault.Conflict, "invoicing.total_negative", "The invoice is below zero. Remove or lower what takes money off.")
	}
	me, err := person(ctx, tx, who)
	if err != nil {
		return err
	}
	all, err := tx.Adjustments(ctx, v.ID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Person == me {
			return fault.New(fault.Forbidden, "invoicing.second_person", "You adjusted this invoice, so somebody else must approve it: an owner, or a member with the role finance.")
		}
	}
	return nil
}

// Approve says that what the invoice shows is right; from here on its lines stay. Whoever had a hand in an adjustment cannot
// approve it. version is the one looked at: if usage came in meanwhile, there is something new to look at.
func (i *Invoicer) Approve(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		if err := approvable(ctx, tx, who, v); err != nil {
			return v, err
		}
		v.ApprovedAt, v.ApprovedBy, v.ApprovedName = tx.Now(), who.ID, who.Name
		v.Version++
		return v, i.save(ctx, tx, who, v, "approved", map[string]any{"total": v.Total.Fixed()})
	})
}

// Withdraw takes an approval back: the draft is computed again and can be adjusted.
func (i *Invoicer) Withdraw(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		if err := approved(v); err != nil {
			return v, err
		}
		v.ApprovedAt, v.ApprovedBy, v.ApprovedName = time.Time{}, "", ""
		v.Version++
		if err := tx.SaveInvoiceHead(ctx, v); err != nil {
			return v, err
		}
		return i.recomputed(ctx, tx, who, v, "approval_withdrawn", nil)
	})
}

func approved(v billing.Invoice) error {
	if v.State != billing.Draft {
		return fault.New(fault.Conflict, "billing.invoice_state", "The invoice is %s; it was finalized already.", v.State)
	}
	if !v.Approved() {
		return fault.New(fault.Conflict, "invoicing.not_approved", "Nobody approved this invoice yet. It is finalized once somebody has.")
	}
	return nil
}

// Finalize issues an approved draft: it gets the tenant's next number and is open, or paid at once when there is nothing to
// pay. Who collects hears of it by a job of the same commit.
func (i *Invoicer) Finalize(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (_ billing.Invoice, err error) {
		if err := approved(v); err != nil {
			return v, err
		}
		if v, err = v.Become(billing.Open); err != nil {
			return v, err
		}
		if v.Number, err = tx.NextInvoiceNumber(ctx); err != nil {
			return v, err
		}
		v.FinalizedAt = tx.Now()
		v.Version++
		if v.Total.Amount.IsZero() {
			if v, err = v.Become(billing.Paid); err != nil {
				return v, err
			}
			v.SettledAt, v.Settlement = tx.Now(), "Nothing to pay"
		} else if err := i.collect(ctx, tx, who, v); err != nil {
			return v, err
		}
		return v, i.save(ctx, tx, who, v, "finalized", map[string]any{"number": v.Name(), "total": v.Total.Fixed()})
	})
}

func (i *Invoicer) collect(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice) error {
	if !i.collects {
		return nil
	}
	return tx.Enqueue(ctx, CollectArgs{TenantID: uuid.UUID(who.Tenant), InvoiceID: v.ID})
}

func because(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if n := len([]rune(reason)); n < 3 || n > 1000 {
		return "", fault.New(fault.Invalid, "invoicing.reason_missing", "Say why, in 3 to 1,000 characters: it stands on the invoice and in the audit log.").
			At(fault.Field{Pointer: "/reason", Code: "invoicing.reason_missing", Message: "A reason is needed.", Remedy: "3 to 1,000 characters."})
	}
	return reason, nil
}

// settle moves an issued invoice to where nothing more is expected of it.
func (i *Invoicer) settle(ctx context.Context, tx Tx, who auth.Principal, v billing.Invoice, to billing.InvoiceState, act, why string) (billing.Invoice, error) {
	v, err := v.Become(to)
	if err != nil {
		return v, err
	}
	v.SettledAt, v.Settlement = tx.Now(), why
	v.Version++
	if err := i.collect(ctx, tx, who, v); err != nil {
		return v, err
	}
	return v, i.save(ctx, tx, who, v, act, map[string]any{"number": v.Name(), "reason": why})
}

// Void withdraws an invoice that was issued by mistake. Its number stays taken. With replace a new draft of the month is made,
// ready to be reviewed; otherwise the month has no invoice.
func (i *Invoicer) Void(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, reason string, replace bool) (void billing.Invoice, next *billing.Invoice, err error) {
	void, err = i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		why, err := because(reason)
		if err != nil {
			return v, err
		}
		if v.Credited.Amount.IsPositive() {
			return v, fault.New(fault.Conflict, "invoicing.credited", "%s was credited already, so it cannot be voided as if it had never been. Credit the rest.", v.Name())
		}
		if v, err = i.settle(ctx, tx, who, v, billing.Void, "voided", why); err != nil || !replace {
			return v, err
		}
		draft, err := i.draft(ctx, tx, v.Period)
		if err != nil {
			return v, err
		}
		if saysNothing(draft) {
			return v, tx.DropDraft(ctx, draft.ID)
		}
		draft.ClosedAt = tx.Now()
		next = &draft
		return v, i.save(ctx, tx, who, draft, "closed", map[string]any{"replaces": v.Name(), "total": draft.Total.Fixed()})
	})
	if err != nil {
		return void, nil, err
	}
	return void, next, nil
}

// GiveUp says that an open invoice will not be paid. A late payment is still taken.
func (i *Invoicer) GiveUp(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, reason string) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		why, err := because(reason)
		if err != nil {
			return v, err
		}
		return i.settle(ctx, tx, who, v, billing.Uncollectible, "uncollectible", why)
	})
}

// Pay says that the invoice was paid in another way than through whoever collects: by bank transfer, say. reference tells how.
func (i *Invoicer) Pay(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, reference string) (billing.Invoice, error) {
	return i.change(ctx, who, id, version, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		why, err := because(reference)
		if err != nil {
			return v, err
		}
		return i.settle(ctx, tx, who, v, billing.Paid, "paid", why)
	})
}

// Credit writes a credit note for an issued invoice. It counts once somebody else issues it.
func (i *Invoicer) Credit(ctx context.Context, who auth.Principal, id uuid.UUID, amount decimal.Decimal, reason string) (billing.CreditNote, error) {
	var note billing.CreditNote
	_, err := i.change(ctx, who, id, 0, func(tx Tx, v billing.Invoice) (billing.Invoice, error) {
		notes, err := tx.CreditNotes(ctx, &id, nil, 1000)
		if err != nil {
			return v, err
		}
		already := decimal.Zero
		for _, c := range notes {
			if c.State != billing.CreditDiscarded {
				already = already.Add(c.Amount.Amount)
			}
		}
		if note, err = v.Credit(billing.Money{Amount: amount, Currency: v.Currency}, already, reason); err != nil {
			return v, err
		}
		note.ID, note.Actor, note.ActorName, note.CreatedAt = uuid.Must(uuid.NewV7()), who.ID, who.Name, tx.Now()
		if note.Person, err = person(ctx, tx, who); err != nil {
			return v, err
		}
		if err := tx.AddCreditNote(ctx, note); err != nil {
			return v, err
		}
		return v, i.tell(ctx, tx, who, v, "credit_drafted", map[string]any{"creditNote": ident.Format(ident.CreditNote, note.ID), "amount": note.Amount.Fixed(), "reason": note.Reason})
	})
	return note, err
}

// IssueCredit makes a credit note count. Whoever wrote it cannot issue it. An open invoice that is credited in full is paid.
func (i *Invoicer) IssueCredit(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.CreditNote, error) {
	return i.decide(ctx, who, id, version, billing.CreditIssued)
}

// DiscardCredit gives a credit note up that was not issued.
func (i *Invoicer) DiscardCredit(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.CreditNote, error) {
	return i.decide(ctx, who, id, version, billing.CreditDiscarded)
}

func (i *Invoicer) decide(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, to billing.CreditNoteState) (billing.CreditNote, error) {
	if err := who.May(auth.EditInvoices); err != nil {
		return billing.CreditNote{}, err
	}
	var out billing.CreditNote
	err := i.inTx(ctx, who.Tenant, func(tx Tx) error {
		if _, err := tx.LockAccount(ctx); err != nil {
			return err
		}
		note, err := tx.CreditNote(ctx, id)
		if err != nil {
			return err
		}
		if version != 0 && version != note.Version {
			return fault.New(fault.Stale, "invoicing.version_stale", "The credit note changed since you looked (it is at version %d, and you saw %d). Read it again.", note.Version, version)
		}
		v, err := tx.LockInvoiceByID(ctx, note.Invoice)
		if err != nil {
			return err
		}
		if out, err = note.Decide(to); err != nil {
			return err
		}
		out.DecidedAt, out.DecidedBy, out.DecidedName = tx.Now(), who.ID, who.Name
		if to == billing.CreditDiscarded {
			if err := tx.SaveCreditNote(ctx, out); err != nil {
				return err
			}
			return i.tell(ctx, tx, who, v, "credit_discarded", map[string]any{"creditNote": ident.Format(ident.CreditNote, id)})
		}
		me, err := person(ctx, tx, who)
		if err != nil {
			return err
		}
		if me == note.Person {
			return fault.New(fault.Forbidden, "invoicing.second_person", "You wrote this credit note, so somebody else must issue it: an owner, or a member with the role finance.")
		}
		if v.State == billing.Void || v.State == billing.Draft {
			return fault.New(fault.Conflict, "billing.invoice_state", "The invoice is %s by now, and there is nothing to credit.", v.State)
		}
		if out.Number, err = tx.NextCreditNoteNumber(ctx); err != nil {
			return err
		}
		if err := tx.SaveCreditNote(ctx, out); err != nil {
			return err
		}
		v.Credited = v.Credited.Add(out.Amount)
		v.Version++
		if v.State != billing.Paid && v.Credited.Equal(v.Total) {
			if v, err = v.Become(billing.Paid); err != nil {
				return err
			}
			v.SettledAt, v.Settlement = tx.Now(), "Credited in full"
		}
		if err := i.collect(ctx, tx, who, v); err != nil {
			return err
		}
		return i.save(ctx, tx, who, v, "credited", map[string]any{"creditNote": out.Name(), "amount": out.Amount.Fixed(), "reason": out.Reason})
	})
	return out, err
}

// CreditNote returns one.
func (i *Invoicer) CreditNote(ctx context.Context, who auth.Principal, id uuid.UUID) (note billing.CreditNote, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return billing.CreditNote{}, err
	}
	err = i.inTx(ctx, who.Tenant, func(tx Tx) error {
		note, err = tx.CreditNote(ctx, id)
		return err
	})
	return note, err
}

// CreditNotes lists credit notes, of one invoice or of all, newest first, behind after.
func (i *Invoicer) CreditNotes(ctx context.Context, who auth.Principal, invoice, after *uuid.UUID, limit int) (list []billing.CreditNote, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	err = i.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.CreditNotes(ctx, invoice, after, limit)
		return err
	})
	return list, err
}

// Outcome is what became of one invoice of a bulk approval, or would become of it.
type Outcome struct {
	Invoice billing.Invoice
	Err     error // why not; nil: approved and finalized
}

// ApproveAll approves and finalizes invoices one by one, each with the version that was looked at. With preview nothing is
// changed, and the outcomes say what would come of it.
func (i *Invoicer) ApproveAll(ctx context.Context, who auth.Principal, versions map[uuid.UUID]int64, order []uuid.UUID, preview bool) ([]Outcome, error) {
	if err := who.May(auth.EditInvoices); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(order))
	for n, id := range order {
		v, err := i.Current(ctx, who, id)
		o := Outcome{Invoice: v, Err: err}
		switch {
		case err != nil:
		case preview:
			if o.Err = i.MayApprove(ctx, who, id); o.Err == nil && versions[id] != 0 && versions[id] != v.Version {
				o.Err = fault.New(fault.Stale, "invoicing.version_stale", "The invoice changed since you looked. Read it again.")
			}
		default:
			if v, o.Err = i.Approve(ctx, who, id, versions[id]); o.Err == nil {
				v, o.Err = i.Finalize(ctx, who, id, v.Version)
			}
			if o.Err == nil {
				o.Invoice = v
			}
		}
		if fault.As(o.Err) == nil && o.Err != nil {
			return nil, o.Err
		}
		outcomes[n] = o
	}
	return outcomes, nil
}

// Current is the invoice with its lines, a draft computed from the ledger at this moment.
func (i *Invoicer) Current(ctx context.Context, who auth.Principal, id uuid.UUID) (billing.Invoice, error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return billing.Invoice{}, err
	}
	v, err := i.Invoice(ctx, who.Tenant, id)
	if err != nil || v.Frozen() {
		return v, err
	}
	fresh, err := i.Draft(ctx, who.Tenant, v.Period.Month)
	if err != nil || fresh.ID != id {
		return v, err
	}
	return fresh, nil
}
