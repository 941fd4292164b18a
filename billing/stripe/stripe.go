// SPDX-License-Identifier: Apache-2.0

// Package stripe is the payment gateway, spoken in Stripe, API version 2023-10-16.
//
// The ledger here is the truth, Stripe only collects: an invoice is a draft there that gets one item per charged line, and is
// finalized after Stripe's total was compared. Every creation carries an idempotency key made from our own id. Stripe forgets keys
// after a day, so what may have been made before is also looked for, by the id in its metadata.
package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	stripe "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// MaxItems is how many items Stripe takes on an invoice.
const MaxItems = 250

// The names of our ids in Stripe's metadata.
const (
	metaTenant  = "syncline_tenant"
	metaInvoice = "syncline_invoice"
	metaLine    = "syncline_line"
	metaCredit  = "syncline_credit_note"
)

// Options say how to reach Stripe.
type Options struct {
	Key           string        // the secret key, "sk_..."
	WebhookSecret string        // "whsec_..."; without it messages are refused
	URL           string        // another address than Stripe's own, for tests and proxies
	Timeout       time.Duration // of one request; 0: 30 s
	DaysUntilDue  int64         // 0: 30
	Transport     http.RoundTripper
}

// Gateway speaks to Stripe.
type Gateway struct {
	api     *client.API
	options Options
}

var _ invoicing.Gateway = (*Gateway)(nil)

// New makes a gateway. It calls nobody.
func New(o Options) *Gateway {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.DaysUntilDue == 0 {
		o.DaysUntilDue = 30
	}
	config := &stripe.BackendConfig{
		HTTPClient:        &http.Client{Timeout: o.Timeout, Transport: o.Transport},
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		MaxNetworkRetries: stripe.Int64(0), // the job is tried again, with pauses that survive this process
		EnableTelemetry:   stripe.Bool(false),
	}
	if o.URL != "" {
		config.URL = stripe.String(o.URL)
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, config)
	return &Gateway{api: client.New(o.Key, &stripe.Backends{API: backend, Connect: backend, Uploads: backend}), options: o}
}

// params are those of a creation: once per key.
func params(ctx context.Context, key string) stripe.Params {
	p := stripe.Params{Context: ctx}
	if key != "" {
		p.IdempotencyKey = stripe.String("syncline/" + key)
	}
	return p
}

// MakeCustomer finds the tenant among the customers, or makes it one.
func (g *Gateway) MakeCustomer(ctx context.Context, c invoicing.Customer) (string, error) {
	// What a try made whose answer was lost, after Stripe has forgotten its key. The search may be a minute behind; until then the key counts.
	search := g.api.Customers.Search(&stripe.CustomerSearchParams{SearchParams: stripe.SearchParams{Context: ctx, Query: fmt.Sprintf("metadata['%s']:'%s'", metaTenant, c.Tenant)}})
	for search.Next() {
		if found := search.Customer(); found.Metadata[metaTenant] == c.Tenant.String() && !found.Deleted {
			return found.ID, nil
		}
	}
	if err := search.Err(); err != nil && !unsearchable(err) {
		return "", trouble(err)
	}
	p := &stripe.CustomerParams{Params: params(ctx, "customer/"+c.Tenant.String()), Name: stripe.String(c.Name)}
	if c.Email != "" {
		p.Email = stripe.String(c.Email)
	}
	p.AddMetadata(metaTenant, c.Tenant.String())
	made, err := g.api.Customers.New(p)
	if err != nil {
		return "", trouble(err)
	}
	return made.ID, nil
}

// Draft finds or makes the draft of an invoice.
func (g *Gateway) Draft(ctx context.Context, c invoicing.Customer, i billing.Invoice) (string, error) {
	list := g.api.Invoices.List(&stripe.InvoiceListParams{Customer: stripe.String(c.ID), ListParams: stripe.ListParams{Context: ctx, Limit: stripe.Int64(100)}})
	for list.Next() {
		if found := list.Invoice(); found.Metadata[metaInvoice] == i.ID.String() && found.Status != stripe.InvoiceStatusVoid {
			return found.ID, nil
		}
	}
	if err := list.Err(); err != nil {
		return "", trouble(err)
	}
	p := &stripe.InvoiceParams{
		Params: params(ctx, "invoice/"+i.ID.String()), Customer: stripe.String(c.ID), Currency: stripe.String(string(i.Currency)),
		CollectionMethod: stripe.String(string(stripe.InvoiceCollectionMethodSendInvoice)), DaysUntilDue: stripe.Int64(g.options.DaysUntilDue),
		// Stripe finalizes drafts by itself after an hour unless told not to, and takes up items that wait for any invoice.
		AutoAdvance: stripe.Bool(false), PendingInvoiceItemsBehavior: stripe.String("exclude"),
		Description:  stripe.String(fmt.Sprintf("%s, %s", i.Name(), i.Period.Month)),
		CustomFields: []*stripe.InvoiceCustomFieldParams{{Name: stripe.String("Invoice"), Value: stripe.String(i.Name())}},
	}
	p.AddMetadata(metaTenant, c.Tenant.String())
	p.AddMetadata(metaInvoice, i.ID.String())
	made, err := g.api.Invoices.New(p)
	if err != nil {
		return "", trouble(err)
	}
	return made.ID, nil
}

// item is what one item of Stripe's invoice stands for: a line, or several that would be too many.
type item struct {
	key    string
	text   string
	amount decimal.Decimal
}

// items are the charged lines, grouped where there are more than Stripe takes: the smallest become one.
func items(lines []billing.Line) []item {
	var all []item
	for _, l := range lines {
		if l.Charged && !l.Amount.Amount.IsZero() {
			text := l.Title
			if l.Kind != billing.AdjustmentLine && l.Quantity != 0 {
				text += fmt.Sprintf(" (%s)", billing.Count(l.Quantity))
			}
			all = append(all, item{key: l.ID.String(), text: text, amount: l.Amount.Amount})
		}
	}
	if len(all) <= MaxItems {
		return all
	}
	// Which ones are grouped follows from the lines alone, so a repetition groups the same ones.
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b item) int { return b.amount.Abs().Cmp(a.amount.Abs()) })
	grouped := map[string]bool{}
	rest := item{}
	sum := sha256.New()
	for _, small := range order[MaxItems-1:] {
		grouped[small.key] = true
		rest.amount = rest.amount.Add(small.amount)
	}
	kept := make([]item, 0, MaxItems)
	for _, one := range all {
		if grouped[one.key] {
			sum.Write([]byte(one.key))
		} else {
			kept = append(kept, one)
		}
	}
	rest.key, rest.text = "group-"+hex.EncodeToString(sum.Sum(nil)[:16]), fmt.Sprintf("%d further positions", len(grouped))
	if !rest.amount.IsZero() {
		kept = append(kept, rest)
	}
	return kept
}

// cents is the amount in the smallest unit. Lines are rounded to it already.
func cents(d decimal.Decimal) int64 { return d.Shift(2).IntPart() }

func money(cents int64, c stripe.Currency) billing.Money {
	return billing.Money{Amount: decimal.New(cents, -2), Currency: billing.Currency(c)}
}

// Fill adds the items that the draft lacks.
func (g *Gateway) Fill(ctx context.Context, c invoicing.Customer, id string, i billing.Invoice) (billing.Money, error) {
	there := map[string]bool{}
	list := g.api.InvoiceItems.List(&stripe.InvoiceItemListParams{Invoice: stripe.String(id), ListParams: stripe.ListParams{Context: ctx, Limit: stripe.Int64(100)}})
	for list.Next() {
		there[list.InvoiceItem().Metadata[metaLine]] = true
	}
	if err := list.Err(); err != nil {
		return billing.Money{}, trouble(err)
	}
	for _, one := range items(i.Lines) {
		if there[one.key] {
			continue
		}
		p := &stripe.InvoiceItemParams{
			Params: params(ctx, "line/"+one.key), Customer: stripe.String(c.ID), Invoice: stripe.String(id), Currency: stripe.String(string(i.Currency)),
			Amount: stripe.Int64(cents(one.amount)), Description: stripe.String(one.text),
		}
		p.AddMetadata(metaLine, one.key)
		if _, err := g.api.InvoiceItems.New(p); err != nil {
			return billing.Money{}, trouble(err)
		}
	}
	found, err := g.api.Invoices.Get(id, &stripe.InvoiceParams{Params: params(ctx, "")})
	if err != nil {
		return billing.Money{}, trouble(err)
	}
	return money(found.Total, found.Currency), nil
}

// Issue finalizes the draft. That it is finalized already is no error: an answer was lost.
func (g *Gateway) Issue(ctx context.Context, id string, i billing.Invoice) error {
	_, err := g.api.Invoices.FinalizeInvoice(id, &stripe.InvoiceFinalizeInvoiceParams{Params: params(ctx, "finalize/"+i.ID.String()), AutoAdvance: stripe.Bool(true)})
	if err == nil {
		return nil
	}
	if there, look := g.Look(ctx, id); look == nil && there.State != billing.Draft {
		return nil
	}
	return trouble(err)
}

// Look reads the invoice with its charge and its disputes.
func (g *Gateway) Look(ctx context.Context, id string) (invoicing.Remote, error) {
	p := &stripe.InvoiceParams{Params: params(ctx, "")}
	p.AddExpand("charge")
	p.AddExpand("payment_intent")
	found, err := g.api.Invoices.Get(id, p)
	if err != nil {
		return invoicing.Remote{}, trouble(err)
	}
	r := invoicing.Remote{
		ID: found.ID, State: billing.InvoiceState(found.Status), Total: money(found.Total, found.Currency), URL: found.HostedInvoiceURL,
		Refunded: money(0, found.Currency), Outside: found.PaidOutOfBand,
		Payments: int(found.AttemptCount),
	}
	if found.NextPaymentAttempt > 0 {
		r.NextPayment = time.Unix(found.NextPaymentAttempt, 0).UTC()
	}
	if !r.State.Valid() {
		return r, fmt.Errorf("stripe: the invoice %s is %q, which is unknown here", id, found.Status)
	}
	if pi := found.PaymentIntent; pi != nil && pi.LastPaymentError != nil && found.Status == stripe.InvoiceStatusOpen {
		r.Failure = pi.LastPaymentError.Msg
		if r.Failure == "" {
			r.Failure = string(pi.LastPaymentError.Code)
		}
	}
	if found.Charge == nil {
		return r, nil
	}
	r.Refunded = money(found.Charge.AmountRefunded, found.Currency)
	if found.Charge.Disputed {
		list := g.api.Disputes.List(&stripe.DisputeListParams{Charge: stripe.String(found.Charge.ID), ListParams: stripe.ListParams{Context: ctx, Limit: stripe.Int64(10)}})
		for list.Next() { // the newest first
			if r.Dispute == "" {
				r.Dispute = string(list.Dispute().Status)
			}
		}
		if err := list.Err(); err != nil {
			return r, trouble(err)
		}
	}
	return r, nil
}

// Void voids the invoice there.
func (g *Gateway) Void(ctx context.Context, id string) error {
	_, err := g.api.Invoices.VoidInvoice(id, &stripe.InvoiceVoidInvoiceParams{Params: params(ctx, "void/"+id)})
	return trouble(err)
}

// GiveUp marks it as uncollectible there.
func (g *Gateway) GiveUp(ctx context.Context, id string) error {
	_, err := g.api.Invoices.MarkUncollectible(id, &stripe.InvoiceMarkUncollectibleParams{Params: params(ctx, "uncollectible/"+id)})
	return trouble(err)
}

// PaidOutside notes there that the money came in another way.
func (g *Gateway) PaidOutside(ctx context.Context, id string) error {
	_, err := g.api.Invoices.Pay(id, &stripe.InvoicePayParams{Params: params(ctx, "paid/"+id), PaidOutOfBand: stripe.Bool(true)})
	return trouble(err)
}

// Credit makes the credit note there. What was paid through Stripe is paid back to where it came from.
func (g *Gateway) Credit(ctx context.Context, id string, c billing.CreditNote) (string, error) {
	list := g.api.CreditNotes.List(&stripe.CreditNoteListParams{Invoice: stripe.String(id), ListParams: stripe.ListParams{Context: ctx, Limit: stripe.Int64(100)}})
	for list.Next() {
		if found := list.CreditNote(); found.Metadata[metaCredit] == c.ID.String() {
			return found.ID, nil
		}
	}
	if err := list.Err(); err != nil {
		return "", trouble(err)
	}
	there, err := g.Look(ctx, id)
	if err != nil {
		return "", err
	}
	sum := cents(c.Amount.Amount)
	p := &stripe.CreditNoteParams{Params: params(ctx, "credit/"+c.ID.String()), Invoice: stripe.String(id), Amount: stripe.Int64(sum), Memo: stripe.String(c.Name() + ": " + c.Reason)}
	switch {
	case there.State != billing.Paid:
	case there.Outside:
		p.OutOfBandAmount = stripe.Int64(sum)
	default:
		p.RefundAmount = stripe.Int64(sum)
	}
	p.AddMetadata(metaCredit, c.ID.String())
	made, err := g.api.CreditNotes.New(p)
	if err != nil {
		return "", trouble(err)
	}
	return made.ID, nil
}

// tolerance is how old a signature may be.
const tolerance = 5 * time.Minute

// Hear checks a message's signature on the bytes as they came, and finds out which invoice it is about.
func (g *Gateway) Hear(ctx context.Context, payload []byte, signature string) (invoicing.Message, error) {
	if g.options.WebhookSecret == "" {
		return invoicing.Message{}, fault.New(fault.Forbidden, "stripe.webhook_secret_missing", "Messages of Stripe are not taken, because the secret that they are signed with is not set: SYNCLINE_STRIPE_WEBHOOK_SECRET.")
	}
	event, err := webhook.ConstructEventWithOptions(payload, signature, g.options.WebhookSecret, webhook.ConstructEventOptions{Tolerance: tolerance, IgnoreAPIVersionMismatch: true})
	if err != nil {
		return invoicing.Message{}, fault.Wrap(err, fault.Forbidden, "stripe.webhook_signature", "The message is not signed as Stripe signs, or is older than five minutes.")
	}
	m := invoicing.Message{ID: event.ID, Type: string(event.Type)}
	if event.Data == nil {
		return m, nil
	}
	var about struct {
		ID       string            `json:"id"`
		Object   string            `json:"object"`
		Metadata map[string]string `json:"metadata"`
		Invoice  json.RawMessage   `json:"invoice"` // of a charge or credit note: an id, or the invoice itself
		Charge   json.RawMessage   `json:"charge"`  // of a dispute or refund
	}
	if err := json.Unmarshal(event.Data.Raw, &about); err != nil {
		return m, fault.Wrap(err, fault.Malformed, "stripe.webhook_signature", "The message cannot be read.")
	}
	meta := about.Metadata
	if about.Object != "invoice" {
		invoice := idOf(about.Invoice)
		if charge := idOf(about.Charge); invoice == "" && charge != "" {
			found, err := g.api.Charges.Get(charge, &stripe.ChargeParams{Params: params(ctx, "")})
			if err != nil {
				return m, trouble(err)
			}
			if found.Invoice != nil {
				invoice = found.Invoice.ID
			}
		}
		if invoice == "" {
			return m, nil
		}
		found, err := g.api.Invoices.Get(invoice, &stripe.InvoiceParams{Params: params(ctx, "")})
		if err != nil {
			return m, trouble(err)
		}
		meta = found.Metadata
	}
	t, tenantErr := uuid.Parse(meta[metaTenant])
	i, invoiceErr := uuid.Parse(meta[metaInvoice])
	if tenantErr == nil && invoiceErr == nil {
		m.Tenant, m.Invoice = tenant.ID(t), i
	}
	return m, nil
}

// idOf reads what Stripe writes as an id, or as the whole object when it was expanded.
func idOf(raw json.RawMessage) string {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id
	}
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return object.ID
	}
	return ""
}

// unsearchable says that Stripe has no search for this account: in some countries there is none.
func unsearchable(err error) bool {
	var s *stripe.Error
	return errors.As(err, &s) && s.HTTPStatusCode == http.StatusBadRequest
}

// trouble makes Stripe's errors ours: what can be tried again, and what a person must look at.
func trouble(err error) error {
	var s *stripe.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &s):
		return fault.Wrap(err, fault.Unavailable, "stripe.unavailable", "Stripe does not answer at the moment; it is tried again.")
	case s.HTTPStatusCode == http.StatusUnauthorized || s.HTTPStatusCode == http.StatusForbidden:
		return fault.Wrap(err, fault.Unavailable, "stripe.key_refused", "Stripe refuses the key of this installation. Set SYNCLINE_STRIPE_KEY_FILE to one that is valid.")
	case s.HTTPStatusCode >= 500 || s.HTTPStatusCode == http.StatusTooManyRequests || s.HTTPStatusCode == http.StatusConflict:
		return fault.Wrap(err, fault.Unavailable, "stripe.unavailable", "Stripe does not answer at the moment; it is tried again.")
	}
	return fault.Wrap(err, fault.Conflict, "stripe.refused", "Stripe refused: %s", strings.TrimSpace(s.Msg))
}
