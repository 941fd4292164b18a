// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesFinance(r chi.Router) {
	r.Get("/finance", h.page(h.finance))
	r.Post("/finance:preview", h.page(h.previewApproval))
	r.Post("/finance:approve", h.page(h.approveInvoices))
	r.Get("/invoices/{invoice}/document.pdf", h.page(h.invoicePDF))
	r.Post("/invoices/{invoice}:adjust", h.page(h.adjustInvoice))
	r.Post("/invoices/{invoice}:unadjust", h.page(h.unadjustInvoice))
	r.Post("/invoices/{invoice}:approve", h.page(h.invoiceAct("Approved. The lines stay as they are from now on.", func(v *visit, id uuid.UUID, version int64) error {
		_, err := h.Invoicer.Approve(v.ctx(), v.who, id, version)
		return err
	})))
	r.Post("/invoices/{invoice}:withdraw", h.page(h.invoiceAct("The approval is withdrawn; the draft follows the ledger again.", func(v *visit, id uuid.UUID, version int64) error {
		_, err := h.Invoicer.Withdraw(v.ctx(), v.who, id, version)
		return err
	})))
	r.Post("/invoices/{invoice}:finalize", h.page(h.invoiceAct("Issued.", func(v *visit, id uuid.UUID, version int64) error {
		_, err := h.Invoicer.Finalize(v.ctx(), v.who, id, version)
		return err
	})))
	r.Post("/invoices/{invoice}:pay", h.page(h.invoiceAct("The payment is noted.", func(v *visit, id uuid.UUID, version int64) error {
		_, err := h.Invoicer.Pay(v.ctx(), v.who, id, version, v.form("reference"))
		return err
	})))
	r.Post("/invoices/{invoice}:give-up", h.page(h.invoiceAct("Given up.", func(v *visit, id uuid.UUID, version int64) error {
		_, err := h.Invoicer.GiveUp(v.ctx(), v.who, id, version, v.form("reason"))
		return err
	})))
	r.Post("/invoices/{invoice}:void", h.page(h.invoiceAct("The invoice is void.", func(v *visit, id uuid.UUID, version int64) error {
		_, _, err := h.Invoicer.Void(v.ctx(), v.who, id, version, v.form("reason"), v.form("replace") != "")
		return err
	})))
	r.Post("/invoices/{invoice}:credit", h.page(h.invoiceAct("The credit note waits for a second person.", func(v *visit, id uuid.UUID, _ int64) error {
		sum, err := typedAmount(v.form("amount"))
		if err != nil {
			return err
		}
		_, err = h.Invoicer.Credit(v.ctx(), v.who, id, sum, v.form("reason"))
		return err
	})))
	r.Post("/invoices/{invoice}:collect", h.page(h.invoiceAct("The payment provider is asked again.", func(v *visit, id uuid.UUID, _ int64) error {
		if h.Collector == nil {
			return nil
		}
		return h.Collector.Again(v.ctx(), v.who, id)
	})))
	r.Post("/credit-notes/{note}:issue", h.page(h.creditAct("The credit note is issued.", h.Invoicer.IssueCredit)))
	r.Post("/credit-notes/{note}:discard", h.page(h.creditAct("The credit note is discarded.", h.Invoicer.DiscardCredit)))
}

// typedAmount reads an amount as people type it: "25", "-25.00", "1,250.50", "$25".
func typedAmount(s string) (decimal.Decimal, error) {
	clean := strings.NewReplacer(",", "", "$", "", " ", "", "\u2212", "-").Replace(s)
	d, err := decimal.NewFromString(clean)
	if err != nil {
		return d, fault.Wrap(err, fault.Invalid, "billing.amount_invalid", "%q is not an amount.", s).
			At(fault.Field{Pointer: "/amount", Code: "billing.amount_invalid", Message: "Not an amount.", Remedy: "Write it like -25.00."})
	}
	return d, nil
}

// finance is the queue: drafts to review, credit notes to issue, open invoices.
func (h *Handler) finance(v *visit) error {
	return v.financePage(200, nil)
}

func (v *visit) financePage(status int, wrong *ui.Alert) error {
	if err := v.who.May(auth.ViewInvoices); err != nil {
		return err
	}
	view := FinanceView{MayEdit: v.can(auth.EditInvoices), Wrong: wrong, Refresh: "/finance"}
	drafts, _, err := v.h.Invoicer.Find(v.ctx(), v.who.Tenant, invoicing.Filter{Review: true}, invoicing.Page{Limit: 100})
	if err != nil {
		return err
	}
	waiting, due := billing.Money{}, billing.Money{}
	for _, d := range drafts {
		if d, err = v.h.Invoicer.Current(v.ctx(), v.who, d.ID); err != nil {
			return err
		}
		line := ReviewLine{
			ID: ident.Format(ident.Invoice, d.ID), Name: monthName(d.Period.Month), Href: invoicePath(d.ID), Period: v.span(d.Period), Total: moneyOf(d.Total), Approved: d.ApprovedName,
		}
		line.Value = line.ID + ":" + strconv.FormatInt(d.Version, 10)
		for _, f := range d.Flags {
			line.Flags = append(line.Flags, f.Text)
		}
		view.Drafts = append(view.Drafts, line)
		waiting = addMoney(waiting, d.Total)
	}
	open, _, err := v.h.Invoicer.Find(v.ctx(), v.who.Tenant, invoicing.Filter{States: []billing.InvoiceState{billing.Open, billing.Uncollectible}}, invoicing.Page{Limit: 100})
	if err != nil {
		return err
	}
	late, _, err := v.h.Invoicer.Find(v.ctx(), v.who.Tenant, invoicing.Filter{States: []billing.InvoiceState{billing.Paid, billing.Void}}, invoicing.Page{Limit: 100})
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, 0, len(open)+len(late))
	for _, i := range slices.Concat(open, late) {
		ids = append(ids, i.ID)
	}
	collections, err := v.h.Invoicer.Collections(v.ctx(), v.who, ids...)
	if err != nil {
		return err
	}
	for _, i := range late { // settled here, and yet somebody must look
		c := collections[i.ID]
		if stage := v.h.Invoicer.Stage(i, c); stage == invoicing.StageRefused || stage == invoicing.StageDisputed || stage == invoicing.StageRetrying {
			view.Issued = append(view.Issued, InvoiceLine{
				ID: ident.Format(ident.Invoice, i.ID), Number: i.Name() + ", " + monthName(i.Period.Month), Href: invoicePath(i.ID), Period: v.span(i.Period), State: string(i.State), Total: moneyOf(i.Due()), Payment: v.brief(stage, c),
			})
		}
	}
	for _, i := range open {
		c := collections[i.ID]
		view.Issued = append(view.Issued, InvoiceLine{
			ID: ident.Format(ident.Invoice, i.ID), Number: i.Name() + ", " + monthName(i.Period.Month), Href: invoicePath(i.ID), Period: v.span(i.Period), State: string(i.State), Total: moneyOf(i.Due()), Payment: v.brief(v.h.Invoicer.Stage(i, c), c),
		})
		if i.State == billing.Open {
			due = addMoney(due, i.Due())
		}
	}
	notes, err := v.h.Invoicer.CreditNotes(v.ctx(), v.who, nil, nil, 100)
	if err != nil {
		return err
	}
	for _, c := range notes {
		if c.State == billing.CreditDraft {
			of, err := v.h.Invoicer.Invoice(v.ctx(), v.who.Tenant, c.Invoice)
			if err != nil {
				return err
			}
			view.Credits = append(view.Credits, v.creditLine(c, of))
		}
	}
	view.Stats = []ui.Stat{
		{Label: "To review", Icon: "receipt", Value: ui.Number(int64(len(drafts))), Note: moneyText(waiting)},
		{Label: "Open", Icon: "circle-dot", Value: ui.Number(int64(len(open))), Note: moneyText(due) + " due"},
		{Label: "Credit notes to issue", Icon: "users", Value: ui.Number(int64(len(view.Credits))), Note: "each by a second person"},
	}
	if view.Page, err = v.shell("Finance", "/finance", "Finance"); err != nil {
		return err
	}
	return v.renderAs(status, FinancePage(view))
}

func addMoney(sum, m billing.Money) billing.Money {
	if sum.Currency == "" {
		return m
	}
	if sum.Currency != m.Currency { // shown apart on the invoices; a sum of both would mean nothing
		return sum
	}
	return sum.Add(m)
}

func moneyText(m billing.Money) string {
	if m.Currency == "" {
		m = billing.Zero(billing.USD)
	}
	return m.String()
}

func (v *visit) creditLine(c billing.CreditNote, of billing.Invoice) CreditLine {
	return CreditLine{
		ID: ident.Format(ident.CreditNote, c.ID), Name: c.Name(), State: string(c.State), Reason: c.Reason, By: c.ActorName, Decided: c.DecidedName, Amount: moneyOf(c.Amount),
		Invoice: of.Name(), Href: invoicePath(c.Invoice), MayAct: v.can(auth.EditInvoices) && c.State == billing.CreditDraft, Own: c.Person == v.who.ID,
	}
}

// chosen reads the invoices of a form with the versions that were looked at.
func (v *visit) chosen() (map[uuid.UUID]int64, []uuid.UUID, error) {
	v.form("invoice") // bounds and parses the body
	versions, order := map[uuid.UUID]int64{}, []uuid.UUID(nil)
	for _, value := range v.r.PostForm["invoice"] {
		text, seen, _ := strings.Cut(value, ":")
		id, err := ident.Parse(ident.Invoice, text)
		if err != nil {
			return nil, nil, err
		}
		version, err := strconv.ParseInt(seen, 10, 64)
		if err != nil || version < 1 {
			return nil, nil, fault.New(fault.Invalid, "invoicing.version_stale", "Which state of the invoice was looked at is not known. Choose it again.")
		}
		if _, twice := versions[id]; !twice {
			order = append(order, id)
		}
		versions[id] = version
	}
	return versions, order, nil
}

func (h *Handler) previewApproval(v *visit) error {
	if err := v.who.May(auth.EditInvoices); err != nil {
		return err
	}
	versions, order, err := v.chosen()
	if err != nil {
		return err
	}
	if len(order) == 0 {
		return v.financePage(422, &ui.Alert{Tone: ui.Warn, Title: "No invoice is chosen", Text: "Choose those that you looked at, then preview their approval.", Role: "alert"})
	}
	outcomes, err := h.Invoicer.ApproveAll(v.ctx(), v.who, versions, order, true)
	if err != nil {
		return err
	}
	view := PreviewView{}
	total := billing.Money{}
	for n, o := range outcomes {
		if o.Invoice.ID == uuid.Nil {
			continue // it is gone
		}
		line := PreviewLine{Name: monthName(o.Invoice.Period.Month), Href: invoicePath(order[n]), Total: moneyOf(o.Invoice.Total)}
		if f := fault.As(o.Err); f != nil {
			line.Why = f.Message
		} else {
			line.Value = ident.Format(ident.Invoice, order[n]) + ":" + strconv.FormatInt(versions[order[n]], 10)
			total = addMoney(total, o.Invoice.Total)
			view.Count++
		}
		view.Lines = append(view.Lines, line)
	}
	if total.Currency == "" {
		total = billing.Zero(billing.USD)
	}
	view.Total = moneyOf(total)
	if view.Page, err = v.shell("Approve and issue", "/finance", "Finance", "/finance", "Approve and issue"); err != nil {
		return err
	}
	return v.render(PreviewPage(view))
}

func (h *Handler) approveInvoices(v *visit) error {
	if err := v.who.May(auth.EditInvoices); err != nil {
		return err
	}
	versions, order, err := v.chosen()
	if err != nil {
		return err
	}
	outcomes, err := h.Invoicer.ApproveAll(v.ctx(), v.who, versions, order, false)
	if err != nil {
		return err
	}
	var issued int64
	var why []string
	for _, o := range outcomes {
		if f := fault.As(o.Err); f != nil {
			name := "One of them"
			if o.Invoice.ID != uuid.Nil {
				name = monthName(o.Invoice.Period.Month)
			}
			why = append(why, name+": "+f.Message)
			continue
		}
		issued++
	}
	text := ui.Count(issued, "invoice was", "invoices were") + " approved and issued."
	if len(why) > 0 {
		v.flash(ui.Warn, text+" Left out: "+strings.Join(why, " "))
	} else {
		v.flash(ui.OK, text)
	}
	return v.redirect("/finance")
}

// invoiceNamed is the id of the address and the version that the form saw, 0 for any.
func (v *visit) invoiceNamed() (uuid.UUID, int64, error) {
	if err := v.who.May(auth.EditInvoices); err != nil {
		return uuid.Nil, 0, err
	}
	id, err := ident.Parse(ident.Invoice, v.param("invoice"))
	if err != nil {
		return id, 0, err
	}
	version, err := strconv.ParseInt(or(v.form("version"), "0"), 10, 64)
	if err != nil {
		version = 0
	}
	return id, version, nil
}

// invoiceAct is one act on an invoice: done, or said why not, on the invoice's page.
func (h *Handler) invoiceAct(done string, act func(*visit, uuid.UUID, int64) error) func(*visit) error {
	return func(v *visit) error {
		id, version, err := v.invoiceNamed()
		if err != nil {
			return err
		}
		if err := act(v, id, version); err != nil {
			return v.invoiceAgain(id, err)
		}
		v.flash(ui.OK, done)
		return v.redirect(invoicePath(id))
	}
}

// invoiceAgain shows the invoice with what kept an act from being done.
func (v *visit) invoiceAgain(id uuid.UUID, err error) error {
	if !refused(err) && !fault.IsCode(err, "invoicing.second_person") {
		return err
	}
	byField, rest := fieldErrors(err)
	text := rest
	for _, name := range []string{"title", "amount", "reason"} {
		if byField[name] != "" {
			text = strings.TrimSpace(text + " " + byField[name])
		}
	}
	v.flash(ui.Warn, or(text, fault.As(err).Message))
	return v.redirect(invoicePath(id))
}

func (h *Handler) adjustInvoice(v *visit) error {
	id, version, err := v.invoiceNamed()
	if err != nil {
		return err
	}
	sum, err := typedAmount(v.form("amount"))
	if err == nil {
		_, _, err = h.Invoicer.Adjust(v.ctx(), v.who, id, version, v.form("title"), v.form("reason"), sum)
	}
	if err == nil {
		v.flash(ui.OK, "Adjusted. Somebody else approves the invoice now.")
		return v.redirect(invoicePath(id) + "#adjustments")
	}
	if fault.KindOf(err) != fault.Invalid {
		return v.invoiceAgain(id, err)
	}
	i, readErr := v.invoiceOf()
	if readErr != nil {
		return readErr
	}
	// The form stands there again with what was typed.
	return v.invoicePage(statusOf(err), i, func(r *ReviewView) {
		at, rest := fieldErrors(err)
		r.Adjust.Title.Value, r.Adjust.Amount.Value, r.Adjust.Reason.Value = v.form("title"), v.form("amount"), v.form("reason")
		r.Adjust.Title.Error, r.Adjust.Amount.Error, r.Adjust.Reason.Error = at["title"], or(at["amount"], rest), at["reason"]
	})
}

func (h *Handler) unadjustInvoice(v *visit) error {
	id, version, err := v.invoiceNamed()
	if err != nil {
		return err
	}
	adjustment, err := ident.Parse(ident.Adjustment, v.query("adjustment"))
	if err != nil {
		return err
	}
	if _, err := h.Invoicer.RemoveAdjustment(v.ctx(), v.who, id, adjustment, version); err != nil {
		return v.invoiceAgain(id, err)
	}
	v.flash(ui.OK, "The adjustment is removed.")
	return v.redirect(invoicePath(id) + "#adjustments")
}

func (h *Handler) creditAct(done string, act func(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) (billing.CreditNote, error)) func(*visit) error {
	return func(v *visit) error {
		if err := v.who.May(auth.EditInvoices); err != nil {
			return err
		}
		id, err := ident.Parse(ident.CreditNote, v.param("note"))
		if err != nil {
			return err
		}
		note, err := h.Invoicer.CreditNote(v.ctx(), v.who, id)
		if err != nil {
			return err
		}
		if _, err := act(v.ctx(), v.who, id, 0); err != nil {
			return v.invoiceAgain(note.Invoice, err)
		}
		v.flash(ui.OK, done)
		return v.redirect(invoicePath(note.Invoice) + "#credits")
	}
}

func (h *Handler) invoicePDF(v *visit) error {
	i, err := v.invoiceOf()
	if err != nil {
		return err
	}
	f, err := h.Invoicer.PDF(v.ctx(), v.who, i.ID)
	if err != nil {
		return err
	}
	head := v.w.Header()
	head.Set("Content-Type", f.Media)
	head.Set("Content-Disposition", `attachment; filename="`+url.PathEscape(f.Name)+`"`)
	_, _ = v.w.Write(f.Body) // the reader may be gone
	return nil
}

// review says what can be done about an invoice by whoever looks.
func (v *visit) review(i billing.Invoice) (ReviewView, error) {
	r := ReviewView{
		Path: invoicePath(i.ID), Version: strconv.FormatInt(i.Version, 10), MayEdit: v.can(auth.EditInvoices), Closed: !i.ClosedAt.IsZero(), Draft: !i.Frozen(),
		Approved: i.Approved(), Pending: i.Approved() && i.State == billing.Draft, ApprovedBy: i.ApprovedName, ApprovedAt: i.ApprovedAt,
		CanVoid:   (i.State == billing.Open || i.State == billing.Uncollectible) && i.Credited.Amount.IsZero(),
		CanGiveUp: i.State == billing.Open, CanPay: i.State == billing.Open || i.State == billing.Uncollectible, Replace: monthName(i.Period.Month),
		Adjust: AdjustForm{
			Title:  ui.Field{Name: "title", ID: "adjust-title", Label: "What the customer reads", Placeholder: "Goodwill credit", Required: true, Autocomplete: "off"},
			Amount: ui.Field{Name: "amount", ID: "adjust-amount", Label: "Amount", Hint: "Below zero takes off: -25.00", Required: true, Autocomplete: "off"},
			Reason: ui.Field{Name: "reason", ID: "adjust-reason", Label: "Why, for reviewers", Required: true, Autocomplete: "off"},
		},
	}
	if r.Draft && r.Closed && r.MayEdit {
		err := v.h.Invoicer.MayApprove(v.ctx(), v.who, i.ID)
		switch f := fault.As(err); {
		case err == nil:
			r.MayApprove = true
		case f != nil:
			r.Why = f.Message
		default:
			return r, err
		}
	}
	adjustments, err := v.h.Invoicer.Adjustments(v.ctx(), v.who, i.ID)
	if err != nil {
		return r, err
	}
	for _, a := range adjustments {
		r.Adjustments = append(r.Adjustments, AdjustmentLine{
			ID: ident.Format(ident.Adjustment, a.ID), Title: a.Title, Reason: a.Reason, By: a.ActorName, At: a.CreatedAt, Amount: moneyOf(a.Amount),
		})
	}
	notes, err := v.h.Invoicer.CreditNotes(v.ctx(), v.who, &i.ID, nil, 100)
	if err != nil {
		return r, err
	}
	left := i.Total.Amount
	for _, c := range notes {
		r.Credits = append(r.Credits, v.creditLine(c, i))
		if c.State != billing.CreditDiscarded {
			left = left.Sub(c.Amount.Amount)
		}
	}
	if (i.State == billing.Open || i.State == billing.Paid || i.State == billing.Uncollectible) && left.IsPositive() {
		r.CreditLeft = billing.Money{Amount: left, Currency: i.Currency}.String()
	}
	collections, err := v.h.Invoicer.Collections(v.ctx(), v.who, i.ID)
	if err != nil {
		return r, err
	}
	c := collections[i.ID]
	r.Collection = v.collected(v.h.Invoicer.Stage(i, c), c)
	return r, nil
}

// stageWords are the stages of collecting in words, with their tone.
var stageWords = map[invoicing.CollectionStage]struct {
	tone        ui.Tone
	title, text string
}{
	invoicing.StageRefused:       {ui.Bad, "Somebody must look", ""},
	invoicing.StageDisputed:      {ui.Bad, "Disputed by the customer's bank", "Answer it at the payment provider; what comes of it is shown here."},
	invoicing.StageRetrying:      {ui.Warn, "The last try failed", ""},
	invoicing.StageWaiting:       {ui.Info, "On its way", "The invoice is being brought to the payment provider."},
	invoicing.StagePaymentFailed: {ui.Warn, "The last payment failed", ""},
	invoicing.StageSent:          {ui.Info, "Waits for the customer", "The customer can pay at the payment provider's page."},
	invoicing.StageRefunded:      {ui.Info, "Paid back", "Some of what was paid is paid back."},
	invoicing.StagePaid:          {ui.OK, "Settled", "It is paid; nothing more is expected."},
	invoicing.StageClosed:        {ui.Idle, "Settled", "Nothing more is expected."},
}

// collected says in words where collecting stands; nil while it is nobody's to collect.
func (v *visit) collected(stage invoicing.CollectionStage, c *invoicing.Collection) *CollectionView {
	words, known := stageWords[stage]
	if !known {
		return nil
	}
	out := &CollectionView{Tone: words.tone, Title: words.title, Text: words.text}
	out.Again = stage == invoicing.StageRefused || stage == invoicing.StageRetrying || stage == invoicing.StageWaiting
	if c == nil {
		return out
	}
	fact := func(key, text string) {
		if text != "" {
			out.Facts = append(out.Facts, ui.KeyValue{Key: key, Text: text})
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return ui.Exact(t, v.zone)
	}
	switch stage {
	case invoicing.StagePaymentFailed:
		out.Text = c.Failure
	case invoicing.StageRefused, invoicing.StageRetrying:
		out.Text = c.Problem
	case invoicing.StageSent, invoicing.StageWaiting:
		out.URL = c.URL
	}
	if stage == invoicing.StagePaymentFailed || stage == invoicing.StageRetrying {
		out.URL = c.URL
	}
	fact("Sent", at(c.SentAt))
	if c.Tries > 0 {
		fact("Tries that failed", ui.Count(int64(c.Tries), "try", "tries")+", the last "+at(c.FailedAt))
	}
	fact("Tried again", at(c.NextAt))
	if c.Payments > 0 {
		fact("Payments tried", ui.Number(int64(c.Payments)))
	}
	if stage != invoicing.StagePaymentFailed {
		fact("Last payment failed", c.Failure)
	}
	fact("Next payment", at(c.NextPaymentAt))
	if !c.Refunded.Amount.IsZero() {
		fact("Paid back", c.Refunded.String())
	}
	fact("Dispute", strings.ReplaceAll(c.Dispute, "_", " "))
	fact("At the provider", c.External)
	return out
}

// brief is collecting on one line of the queue.
func (v *visit) brief(stage invoicing.CollectionStage, c *invoicing.Collection) string {
	text := stageWords[stage].title
	switch {
	case c == nil:
	case stage == invoicing.StageRetrying:
		text += "; tried again " + ui.Exact(c.NextAt, v.zone)
	case stage == invoicing.StagePaymentFailed && !c.NextPaymentAt.IsZero():
		text += ": " + c.Failure + " Tried again " + ui.Exact(c.NextPaymentAt, v.zone)
	case stage == invoicing.StagePaymentFailed:
		text += ": " + c.Failure
	case stage == invoicing.StageRefused:
		text += ": " + c.Problem
	}
	return text
}
