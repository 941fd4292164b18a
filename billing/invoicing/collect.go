// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Customer is a tenant as the payment provider knows it.
type Customer struct {
	Tenant tenant.ID
	ID     string // at the provider; "" while it is not known there
	Name   string
	Email  string // of the first owner
}

// Remote is an invoice as it stands at the payment provider.
type Remote struct {
	ID       string
	State    billing.InvoiceState // Draft: not issued there yet
	Total    billing.Money
	URL      string // where the customer pays
	Failure  string // why the last attempt to pay failed
	Refunded billing.Money
	Dispute  string // the provider's word for how a dispute stands; "" for none
	Outside  bool   // noted there as paid in another way

	Payments    int       // how often it was tried to collect there
	NextPayment time.Time // when that is tried again; zero: it is not
}

// Message is something the payment provider told, after its signature was checked. Only what it is about is used, never what it
// says: the invoice is read again.
type Message struct {
	ID      string
	Type    string
	Tenant  tenant.ID // zero: not about anything of ours
	Invoice uuid.UUID
}

// Gateway is whoever collects the money. Each method may be repeated after a failure of which nobody knows what it left behind, and
// then has no second effect.
type Gateway interface {
	// MakeCustomer makes the tenant known and returns its id there.
	MakeCustomer(ctx context.Context, c Customer) (string, error)

	// Draft makes an empty draft for the invoice, or finds the one made before, and returns its id.
	Draft(ctx context.Context, c Customer, i billing.Invoice) (string, error)

	// Fill adds the charged lines that the draft lacks and returns what it comes to there.
	Fill(ctx context.Context, c Customer, id string, i billing.Invoice) (billing.Money, error)

	// Issue finalizes a draft, so that the customer can pay. One that is issued already stays as it is.
	Issue(ctx context.Context, id string, i billing.Invoice) error

	// Look reads the invoice.
	Look(ctx context.Context, id string) (Remote, error)

	// Void, GiveUp and PaidOutside say what became of an invoice here.
	Void(ctx context.Context, id string) error
	GiveUp(ctx context.Context, id string) error
	PaidOutside(ctx context.Context, id string) error

	// Credit brings a credit note there; what was paid through the provider is paid back. It returns its id there.
	Credit(ctx context.Context, id string, c billing.CreditNote) (string, error)

	// Hear checks the signature of a message, on the bytes as they came, and says what it is about.
	Hear(ctx context.Context, payload []byte, signature string) (Message, error)
}

// CollectionState says where collecting an invoice stands.
type CollectionState string

// The states.
const (
	CollectionWaiting CollectionState = "waiting" // not at the provider yet; tried again
	CollectionSent    CollectionState = "sent"    // the customer can pay
	CollectionRefused CollectionState = "refused" // a person must look
	CollectionSettled CollectionState = "settled" // nothing more is expected
)

// Collection is what the payment provider has of an invoice.
type Collection struct {
	Invoice   uuid.UUID
	External  string
	State     CollectionState
	URL       string
	Problem   string // for people: why our last try failed, or why a person must look
	Refunded  billing.Money
	Dispute   string
	UpdatedAt time.Time
	SentAt    time.Time // when the customer could pay at first

	Tries    int       // of ours that failed one after the other
	FailedAt time.Time // the last of them
	NextAt   time.Time // when we try again; zero: nothing is to be tried

	Payments      int       // how often the provider tried to collect
	Failure       string    // why the customer's last payment failed, in the provider's words
	NextPaymentAt time.Time // when the provider tries again
}

// CollectionStage is where an invoice is on its way to being paid, in a word.
type CollectionStage string

// The stages, the most pressing first.
const (
	StageRefused       CollectionStage = "refused"        // a person must look
	StageDisputed      CollectionStage = "disputed"       // by the customer's bank
	StageRetrying      CollectionStage = "retrying"       // our last try failed, and there is a next one
	StageWaiting       CollectionStage = "waiting"        // it is being brought to the provider
	StagePaymentFailed CollectionStage = "payment_failed" // the customer's payment failed
	StageSent          CollectionStage = "sent"           // the customer can pay
	StageRefunded      CollectionStage = "refunded"       // some of what was paid is paid back
	StagePaid          CollectionStage = "paid"
	StageClosed        CollectionStage = "closed" // void or given up; nothing more is expected
)

// StageOf says where an invoice is on its way; "" while it is nobody's to collect. c is nil while the provider has nothing of it.
func StageOf(i billing.Invoice, c *Collection) CollectionStage {
	switch {
	case i.State == billing.Draft || c == nil && i.State != billing.Open:
		return ""
	case c == nil:
		return StageWaiting
	case c.State == CollectionRefused:
		return StageRefused
	case c.Dispute != "" && c.Dispute != "won" && c.Dispute != "warning_closed":
		return StageDisputed
	case c.Tries > 0:
		return StageRetrying
	case c.State == CollectionWaiting:
		return StageWaiting
	case !c.Refunded.Amount.IsZero():
		return StageRefunded
	case i.State == billing.Paid:
		return StagePaid
	case i.State != billing.Open:
		return StageClosed
	case c.Failure != "":
		return StagePaymentFailed
	}
	return StageSent
}

// collectTries is how often a job tries before it is given up and the next look at open invoices takes the invoice up again.
const collectTries = 16

// NextTry is when collecting is tried again after a try that failed; the job queue and what people are told agree in it. It is soon at
// first and a few hours at the end.
func NextTry(attempt int, now time.Time) time.Time {
	if attempt >= collectTries {
		return now.Add(sweepAfter)
	}
	return now.Add(min(time.Duration(attempt*attempt*attempt*attempt)*time.Second, 6*time.Hour))
}

// CollectTx is what collecting needs of a transaction beside what invoicing does.
type CollectTx interface {
	Tx
	SaveCollection(ctx context.Context, c Collection) error
	Customer(ctx context.Context) (Customer, error)
	SaveCustomer(ctx context.Context, id string) error
	CreditsToSend(ctx context.Context, invoice uuid.UUID) ([]billing.CreditNote, error)
	SaveCreditSent(ctx context.Context, note uuid.UUID, external string) error

	// HearCollection notes a message; false when it was noted before.
	HearCollection(ctx context.Context, id, typ string) (bool, error)
}

// CollectOperatorTx is what looking after all open invoices needs of a transaction across tenants.
type CollectOperatorTx interface {
	Now() time.Time
	InvoicesToCollect(ctx context.Context, before time.Time, after CollectArgs, limit int) ([]CollectArgs, error)
	Enqueue(ctx context.Context, args interface{ Kind() string }) error
	DropCollectionEvents(ctx context.Context, before time.Time) (int64, error)
}

// Collector brings invoices to the payment provider and what became of them back.
//
// It works by comparing: what is here and what is there, and then does whatever is missing. So it makes no difference where it
// was cut off before, how often it is called, or in which order messages come.
type Collector struct {
	inTx     func(context.Context, tenant.ID, func(CollectTx) error) error
	across   func(context.Context, func(CollectOperatorTx) error) error
	invoicer *Invoicer
	gateway  Gateway
	log      *slog.Logger
}

// NewCollector makes a collector.
func NewCollector(inTx func(context.Context, tenant.ID, func(CollectTx) error) error, across func(context.Context, func(CollectOperatorTx) error) error,
	invoicer *Invoicer, gateway Gateway, log *slog.Logger) *Collector {
	return &Collector{inTx: inTx, across: across, invoicer: invoicer, gateway: gateway, log: log}
}

// work is one invoice in the collector's hands.
type work struct {
	id         tenant.ID
	invoice    billing.Invoice
	collection Collection
	customer   Customer
	credits    []billing.CreditNote
	attempt    int // of the job
}

// Collect compares an invoice here and at the provider, and makes them agree. An error means: try again.
func (c *Collector) Collect(ctx context.Context, a CollectArgs) error {
	w, err := c.load(ctx, a)
	if err != nil {
		return err
	}
	if w.invoice.State == billing.Draft || w.collection.External == "" && w.invoice.State != billing.Open {
		return nil // nothing there, and nothing to be brought there
	}
	problem := c.bring(ctx, w)
	var refused refusal
	switch {
	case problem == nil:
	case errors.As(problem, &refused):
		w.refuse(refused.text)
		return c.note(ctx, w)
	case fault.KindOf(problem) == fault.Conflict:
		w.refuse(fault.As(problem).Message)
		return c.note(ctx, w)
	default:
		return errors.Join(problem, c.failed(ctx, w, problem))
	}
	if problem = c.takeBack(ctx, w); problem != nil {
		return errors.Join(problem, c.failed(ctx, w, problem))
	}
	return nil
}

// refuse leaves it to a person.
func (w *work) refuse(why string) {
	w.collection.State, w.collection.Problem = CollectionRefused, why
	w.collection.Tries, w.collection.FailedAt, w.collection.NextAt = 0, time.Time{}, time.Time{}
}

// failed notes a try that failed, why, and when the next one is.
func (c *Collector) failed(ctx context.Context, w *work, problem error) error {
	w.collection.Problem = "The payment provider does not answer at the moment; it is tried again."
	if f := fault.As(problem); f != nil {
		w.collection.Problem = f.Message
	}
	w.collection.Tries++
	return c.inTx(ctx, w.id, func(tx CollectTx) error {
		w.collection.UpdatedAt, w.collection.FailedAt = tx.Now(), tx.Now()
		w.collection.NextAt = NextTry(max(1, w.attempt), tx.Now())
		return tx.SaveCollection(ctx, w.collection)
	})
}

// refusal is a trouble that trying again does not mend.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

func (c *Collector) load(ctx context.Context, a CollectArgs) (*work, error) {
	w := &work{id: tenant.ID(a.TenantID), attempt: a.Attempt}
	err := c.inTx(ctx, w.id, func(tx CollectTx) (err error) {
		if w.invoice, err = tx.Invoice(ctx, a.InvoiceID); err != nil {
			return err
		}
		known, err := tx.Collection(ctx, a.InvoiceID)
		if err != nil {
			return err
		}
		w.collection = Collection{Invoice: a.InvoiceID, State: CollectionWaiting, Refunded: billing.Zero(w.invoice.Currency)}
		if known != nil {
			w.collection = *known
		}
		if w.customer, err = tx.Customer(ctx); err != nil {
			return err
		}
		w.credits, err = tx.CreditsToSend(ctx, a.InvoiceID)
		return err
	})
	return w, err
}

func (c *Collector) note(ctx context.Context, w *work) error {
	return c.inTx(ctx, w.id, func(tx CollectTx) error {
		w.collection.UpdatedAt = tx.Now()
		return tx.SaveCollection(ctx, w.collection)
	})
}

// bring makes the provider agree with what is here. Ids are stored as soon as they are known.
func (c *Collector) bring(ctx context.Context, w *work) error {
	if w.customer.ID == "" {
		id, err := c.gateway.MakeCustomer(ctx, w.customer)
		if err != nil {
			return fmt.Errorf("making the customer known: %w", err)
		}
		w.customer.ID = id
		if err := c.inTx(ctx, w.id, func(tx CollectTx) error { return tx.SaveCustomer(ctx, id) }); err != nil {
			return err
		}
	}
	if w.collection.External == "" {
		id, err := c.gateway.Draft(ctx, w.customer, w.invoice)
		if err != nil {
			return fmt.Errorf("making the draft: %w", err)
		}
		w.collection.External = id
		if err := c.note(ctx, w); err != nil {
			return err
		}
	}
	there, err := c.gateway.Look(ctx, w.collection.External)
	if err != nil {
		return fmt.Errorf("looking at the invoice: %w", err)
	}
	if there.State == billing.Draft {
		if err := c.issue(ctx, w); err != nil {
			return err
		}
		if there, err = c.gateway.Look(ctx, w.collection.External); err != nil {
			return fmt.Errorf("looking at the invoice: %w", err)
		}
	}
	if err := c.follow(ctx, w, there); err != nil {
		return err
	}
	for _, note := range w.credits {
		id, err := c.gateway.Credit(ctx, w.collection.External, note)
		if err != nil {
			return fmt.Errorf("bringing the credit note: %w", err)
		}
		if err := c.inTx(ctx, w.id, func(tx CollectTx) error { return tx.SaveCreditSent(ctx, note.ID, id) }); err != nil {
			return err
		}
	}
	return nil
}

// issue fills the draft at the provider and issues it, if, and only if, it comes to the same there.
func (c *Collector) issue(ctx context.Context, w *work) error {
	total, err := c.gateway.Fill(ctx, w.customer, w.collection.External, w.invoice)
	if err != nil {
		return fmt.Errorf("adding lines: %w", err)
	}
	if !total.Equal(w.invoice.Total) {
		return refusal{fmt.Sprintf("The invoice comes to %s here and to %s at the payment provider, so it was not issued there. Look for items that somebody added by hand.", w.invoice.Total, total)}
	}
	if err := c.gateway.Issue(ctx, w.collection.External, w.invoice); err != nil {
		return fmt.Errorf("issuing: %w", err)
	}
	return nil
}

// follow tells the provider what people decided here.
func (c *Collector) follow(ctx context.Context, w *work, there Remote) error {
	if there.State != billing.Open && there.State != billing.Uncollectible {
		return nil
	}
	var err error
	switch {
	case w.invoice.State == billing.Void:
		err = c.gateway.Void(ctx, w.collection.External)
	case w.invoice.State == billing.Uncollectible && there.State == billing.Open:
		err = c.gateway.GiveUp(ctx, w.collection.External)
	case w.invoice.State == billing.Paid && len(w.credits) == 0 && !w.invoice.Credited.Equal(w.invoice.Total):
		err = c.gateway.PaidOutside(ctx, w.collection.External)
	}
	if err != nil {
		return fmt.Errorf("telling the provider that the invoice is %s: %w", w.invoice.State, err)
	}
	return nil
}

// takeBack reads what became of the invoice at the provider, and lets the invoice here follow where that is a legal move.
func (c *Collector) takeBack(ctx context.Context, w *work) error {
	there, err := c.gateway.Look(ctx, w.collection.External)
	if err != nil {
		return fmt.Errorf("looking at the invoice: %w", err)
	}
	who := auth.System(w.id, "collection")
	return c.inTx(ctx, w.id, func(tx CollectTx) error {
		if _, err := tx.LockAccount(ctx); err != nil {
			return err
		}
		v, err := tx.LockInvoiceByID(ctx, w.invoice.ID)
		if err != nil {
			return err
		}
		was := w.collection
		now := was
		now.URL, now.Problem, now.Dispute, now.State, now.UpdatedAt = there.URL, "", there.Dispute, CollectionSent, tx.Now()
		now.Refunded, now.Failure, now.Payments, now.NextPaymentAt = there.Refunded, there.Failure, there.Payments, there.NextPayment
		now.Tries, now.FailedAt, now.NextAt = 0, time.Time{}, time.Time{}
		if now.SentAt.IsZero() {
			now.SentAt = tx.Now()
		}
		var acts []string
		detail := map[string]any{"number": v.Name()}
		switch {
		case there.State == v.State:
		case v.State.MayBecome(there.State):
			if v, err = v.Become(there.State); err != nil {
				return err
			}
			v.SettledAt, v.Settlement = tx.Now(), "At the payment provider"
			if v.State == billing.Paid {
				v.Settlement = "Through the payment provider"
			}
			v.Version++
			acts = append(acts, map[billing.InvoiceState]string{billing.Paid: "paid", billing.Void: "voided", billing.Uncollectible: "uncollectible"}[v.State])
		case there.State == billing.Paid && v.State == billing.Void:
			now.State, now.Problem = CollectionRefused, "The customer paid before the invoice was voided. Pay it back at the payment provider."
		}
		if there.Failure != "" && (there.Failure != was.Failure || there.Payments > was.Payments) && v.State == billing.Open {
			acts = append(acts, "payment_failed")
			detail["failure"] = there.Failure
		}
		if there.Refunded.Amount.GreaterThan(was.Refunded.Amount) {
			acts = append(acts, "refunded")
			detail["refunded"] = there.Refunded.Fixed()
		}
		if there.Dispute != was.Dispute {
			acts = append(acts, "disputed")
			detail["dispute"] = there.Dispute
		}
		if now.State != CollectionRefused && (v.State == billing.Paid || v.State == billing.Void) {
			now.State = CollectionSettled
		}
		if err := tx.SaveCollection(ctx, now); err != nil {
			return err
		}
		if err := tx.SaveInvoiceHead(ctx, v); err != nil {
			return err
		}
		for _, act := range acts {
			if err := c.invoicer.tell(ctx, tx, who, v, act, detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// Hear takes a message of the payment provider: it is checked, noted once, and the invoice that it is about is looked at by a job.
func (c *Collector) Hear(ctx context.Context, payload []byte, signature string) error {
	m, err := c.gateway.Hear(ctx, payload, signature)
	if err != nil || m.Tenant.IsZero() {
		return err
	}
	return c.inTx(ctx, m.Tenant, func(tx CollectTx) error {
		if _, err := tx.Invoice(ctx, m.Invoice); err != nil {
			if fault.KindOf(err) == fault.NotFound {
				return nil // of another installation with the same provider
			}
			return err
		}
		first, err := tx.HearCollection(ctx, m.ID, m.Type)
		if err != nil || !first {
			return err
		}
		return tx.Enqueue(ctx, CollectArgs{TenantID: uuid.UUID(m.Tenant), InvoiceID: m.Invoice})
	})
}

const (
	sweepEvery   = time.Hour
	sweepAfter   = 6 * time.Hour
	sweepPage    = 500
	keepMessages = 90 * 24 * time.Hour
)

// Run looks after open invoices of which nothing was heard for hours, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for {
		if _, err := c.Sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "open invoices could not be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// Sweep enqueues a look at each open invoice that nobody looked at for hours: those finalized before a provider was set up, those
// whose job was given up, those whose messages were lost. It says how many.
func (c *Collector) Sweep(ctx context.Context) (n int, err error) {
	var after CollectArgs
	for {
		var page []CollectArgs
		err := c.across(ctx, func(tx CollectOperatorTx) (err error) {
			if after == (CollectArgs{}) {
				if _, err := tx.DropCollectionEvents(ctx, tx.Now().Add(-keepMessages)); err != nil {
					return err
				}
			}
			if page, err = tx.InvoicesToCollect(ctx, tx.Now().Add(-sweepAfter), after, sweepPage); err != nil {
				return err
			}
			for _, a := range page {
				if err := tx.Enqueue(ctx, a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, err
		}
		n += len(page)
		if len(page) < sweepPage {
			return n, nil
		}
		after = page[len(page)-1]
	}
}

// Again has an invoice looked at now, for people who mended something.
func (c *Collector) Again(ctx context.Context, who auth.Principal, invoice uuid.UUID) error {
	if err := who.May(auth.EditInvoices); err != nil {
		return err
	}
	return c.inTx(ctx, who.Tenant, func(tx CollectTx) error {
		if _, err := tx.Invoice(ctx, invoice); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, CollectArgs{TenantID: uuid.UUID(who.Tenant), InvoiceID: invoice}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("invoice.collected_again", ident.Format(ident.Invoice, invoice), nil))
	})
}

// Collections says where collecting invoices stands; those that the payment provider has nothing of are not among them.
func (i *Invoicer) Collections(ctx context.Context, who auth.Principal, invoices ...uuid.UUID) (map[uuid.UUID]*Collection, error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	out := map[uuid.UUID]*Collection{}
	err := i.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err := tx.Collections(ctx, invoices)
		for n := range list {
			out[list[n].Invoice] = &list[n]
		}
		return err
	})
	return out, err
}

// Stage says where an invoice is on its way to being paid; "" while it is nobody's to collect.
func (i *Invoicer) Stage(v billing.Invoice, c *Collection) CollectionStage {
	if c == nil && !i.collects {
		return ""
	}
	return StageOf(v, c)
}
