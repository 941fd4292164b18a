// SPDX-License-Identifier: Apache-2.0

// Package stripetest is a Stripe to test with: customers, invoices, items, payments, refunds, disputes, credit notes and signed
// messages, with the rules that matter to us and with faults.
//
// It refuses what Stripe refuses: more than 250 items, changes of an invoice that is issued, moves that an invoice's life does not
// have, an idempotency key used for something else. Faults cut an answer off before or after the request took effect.
package stripetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// WebhookSecret signs the messages.
const WebhookSecret = "whsec_stripetest"

// Fault is what goes wrong with a request.
type Fault int

// The faults.
const (
	None       Fault = iota
	LostBefore       // the connection breaks before anything happened
	LostAfter        // it happened, and the connection breaks before the answer
	Broken           // 500, and nothing happened
	Busy             // 429, and nothing happened
)

// Server is the Stripe.
type Server struct {
	URL string

	mu        sync.Mutex
	fault     func(method, path string) Fault
	next      int
	keys      map[string]kept
	customers map[string]object
	invoices  map[string]*invoice
	items     []object
	credits   []object
	charges   map[string]object
	disputes  []object
	events    []object
	requests  int
}

type object = map[string]any

type kept struct {
	fingerprint string
	status      int
	body        []byte
}

type invoice struct {
	object
	items []object
}

// New starts one; it ends with the test.
func New(t testing.TB) *Server {
	s := &Server{keys: map[string]kept{}, customers: map[string]object{}, invoices: map[string]*invoice{}, charges: map[string]object{}}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// SetFault says what goes wrong from now on; nil for nothing.
func (s *Server) SetFault(f func(method, path string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// ForgetKeys forgets all idempotency keys, as Stripe does after a day.
func (s *Server) ForgetKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = map[string]kept{}
}

// Requests is how many came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Invoice is what is shown of an invoice to tests.
type Invoice struct {
	ID, State, Number, Customer, Meta string
	Total, Remaining                  int64
	Items                             int
	Lines                             []string // metadata of the items, in order
}

// Invoices are all invoices, deleted ones not.
func (s *Server) Invoices() []Invoice {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Invoice
	for _, i := range s.invoices {
		meta, _ := i.object["metadata"].(map[string]string)
		v := Invoice{ID: i.text("id"), State: i.text("status"), Customer: i.text("customer"), Meta: meta["syncline_invoice"], Total: i.total(), Remaining: i.remaining(), Items: len(i.items)}
		for _, item := range i.items {
			v.Lines = append(v.Lines, item["metadata"].(map[string]string)["syncline_line"])
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Invoice) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Customers is how many customers there are.
func (s *Server) Customers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.customers)
}

// Credits is the sum of all credit notes, and how many there are.
func (s *Server) Credits() (sum int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.credits {
		sum += c["amount"].(int64)
	}
	return sum, len(s.credits)
}

func (i *invoice) text(name string) string { v, _ := i.object[name].(string); return v }

func (i *invoice) total() (sum int64) {
	for _, item := range i.items {
		sum += item["amount"].(int64)
	}
	return sum
}

func (i *invoice) remaining() int64 {
	if s := i.text("status"); s != "open" && s != "uncollectible" {
		return 0
	}
	return i.total() - i.object["pre_payment_credit_notes_amount"].(int64)
}

// AddStrayItem adds an item to a draft that nobody here knows of, as a person at Stripe's dashboard can.
func (s *Server) AddStrayItem(id string, amount int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.invoices[id]
	item := object{"id": s.id("ii"), "object": "invoiceitem", "invoice": id, "amount": amount, "metadata": map[string]string{}}
	i.items = append(i.items, item)
	s.items = append(s.items, item)
}

// Pay has the customer pay an open invoice.
func (s *Server) Pay(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.invoices[id]
	charge := object{"id": s.id("ch"), "object": "charge", "amount": i.remaining(), "amount_refunded": int64(0), "disputed": false, "invoice": id, "status": "succeeded"}
	s.charges[charge["id"].(string)] = charge
	i.object["charge"], i.object["status"], i.object["payment_intent"], i.object["next_payment_attempt"] = charge["id"], "paid", nil, nil
	s.event("invoice.paid", s.shown(i, nil))
	s.event("charge.succeeded", charge)
}

// Fail has an attempt to pay fail.
func (s *Server) Fail(id, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.invoices[id]
	tried, _ := i.object["attempt_count"].(int)
	i.object["attempt_count"], i.object["next_payment_attempt"] = tried+1, time.Now().AddDate(0, 0, 3).Unix()
	i.object["payment_intent"] = object{"id": s.id("pi"), "object": "payment_intent", "last_payment_error": object{"code": "card_declined", "message": message, "type": "card_error"}}
	s.event("invoice.payment_failed", s.shown(i, nil))
}

// Refund pays a part of a paid invoice back.
func (s *Server) Refund(id string, amount int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refund(s.invoices[id], amount)
}

func (s *Server) refund(i *invoice, amount int64) {
	charge := s.charges[i.text("charge")]
	charge["amount_refunded"] = charge["amount_refunded"].(int64) + amount
	s.event("charge.refunded", charge)
}

// Dispute has the customer's bank dispute the payment; a later status replaces it.
func (s *Server) Dispute(id, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	charge := s.charges[s.invoices[id].text("charge")]
	typ := "charge.dispute.updated"
	if len(s.disputes) == 0 {
		s.disputes = append(s.disputes, object{"id": s.id("dp"), "object": "dispute", "charge": charge["id"], "amount": charge["amount"]})
		typ = "charge.dispute.created"
	}
	charge["disputed"] = true
	s.disputes[0]["status"] = status
	s.event(typ, s.disputes[0])
}

// Message is a webhook as it is sent.
type Message struct {
	Type      string
	Payload   []byte
	Signature string
}

// Messages are all messages so far, in the order in which things happened.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Message, len(s.events))
	for n, e := range s.events {
		payload, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		out[n] = Message{Type: e["type"].(string), Payload: payload, Signature: Sign(payload, time.Now(), WebhookSecret)}
	}
	return out
}

// Sign signs a message as Stripe does.
func Sign(payload []byte, at time.Time, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), payload)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// event keeps what is told; the object is copied as it is at this moment.
func (s *Server) event(typ string, about object) {
	raw, err := json.Marshal(about)
	if err != nil {
		panic(err)
	}
	s.events = append(s.events, object{
		"id": s.id("evt"), "object": "event", "type": typ, "api_version": "2023-10-16", "created": time.Now().Unix(), "data": object{"object": json.RawMessage(raw)},
	})
}

func (s *Server) id(prefix string) string {
	s.next++
	return fmt.Sprintf("%s_%06d", prefix, s.next)
}

// refusal is an answer that says no.
type refusal struct {
	status  int
	kind    string
	message string
}

func no(format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request_error", fmt.Sprintf(format, args...)}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	fault := None
	if s.fault != nil {
		fault = s.fault(r.Method, r.URL.Path)
	}
	if fault == LostBefore {
		cut(w)
		return
	}
	if fault == Broken || fault == Busy {
		status := map[Fault]int{Broken: http.StatusInternalServerError, Busy: http.StatusTooManyRequests}[fault]
		answer(w, status, []byte(`{"error": {"type": "api_error", "message": "Not now."}}`))
		return
	}
	key := r.Header.Get("Idempotency-Key")
	status := http.StatusOK
	var out []byte
	fingerprint := r.Method + " " + r.URL.Path + " " + string(body)
	if was, there := s.keys[key]; key != "" && there {
		if was.fingerprint != fingerprint {
			status, out = http.StatusBadRequest, []byte(`{"error": {"type": "idempotency_error", "message": "The key was used for another request."}}`)
		} else {
			status, out = was.status, was.body
		}
	} else {
		shown, refused := s.answer(r, form)
		if r.Header.Get("Authorization") == "" || r.Header.Get("Stripe-Version") != "2023-10-16" {
			refused = &refusal{http.StatusUnauthorized, "invalid_request_error", "No key, or another version."}
		}
		if refused != nil {
			status, shown = refused.status, object{"error": object{"type": refused.kind, "message": refused.message}}
		}
		if out, err = json.Marshal(shown); err != nil {
			panic(err)
		}
		if key != "" && r.Method == http.MethodPost {
			s.keys[key] = kept{fingerprint, status, out}
		}
	}
	if fault == LostAfter {
		cut(w)
		return
	}
	answer(w, status, out)
}

func cut(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = c.Close() // the fault
	}
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

func (s *Server) answer(r *http.Request, form url.Values) (object, *refusal) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v1/customers":
		c := object{"id": s.id("cus"), "object": "customer", "name": form.Get("name"), "email": form.Get("email"), "metadata": meta(form)}
		s.customers[c["id"].(string)] = c
		return c, nil
	case r.Method == http.MethodGet && r.URL.Path == "/v1/customers/search":
		found := []object{}
		for _, c := range s.customers {
			for k, v := range c["metadata"].(map[string]string) {
				if query.Get("query") == fmt.Sprintf("metadata['%s']:'%s'", k, v) {
					found = append(found, c)
				}
			}
		}
		return object{"object": "search_result", "data": found, "has_more": false, "url": "/v1/customers/search"}, nil
	case r.Method == http.MethodPost && r.URL.Path == "/v1/invoices":
		return s.makeInvoice(form)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/invoices":
		var all []object
		for _, i := range s.invoices {
			if i.text("customer") == query.Get("customer") {
				all = append(all, s.shown(i, nil))
			}
		}
		return listed(all, query), nil
	case parts[0] == "invoices" && len(parts) >= 2:
		i := s.invoices[parts[1]]
		if i == nil {
			return nil, &refusal{http.StatusNotFound, "invalid_request_error", "No such invoice."}
		}
		if r.Method == http.MethodPost {
			if refused := s.move(i, parts[len(parts)-1], form); refused != nil {
				return nil, refused
			}
		}
		return s.shown(i, query["expand[0]"], query["expand[1]"]), nil
	case r.Method == http.MethodPost && r.URL.Path == "/v1/invoiceitems":
		return s.addItem(form)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/invoiceitems":
		return listed(s.of(s.items, "invoice", query.Get("invoice")), query), nil
	case r.Method == http.MethodPost && r.URL.Path == "/v1/credit_notes":
		return s.credit(form)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/credit_notes":
		return listed(s.of(s.credits, "invoice", query.Get("invoice")), query), nil
	case r.Method == http.MethodGet && r.URL.Path == "/v1/disputes":
		return listed(s.of(s.disputes, "charge", query.Get("charge")), query), nil
	case parts[0] == "charges" && len(parts) == 2 && s.charges[parts[1]] != nil:
		return s.charges[parts[1]], nil
	}
	return nil, &refusal{http.StatusNotFound, "invalid_request_error", "Unrecognized request URL (" + r.Method + ": " + r.URL.Path + ")."}
}

func (s *Server) of(list []object, field, value string) (found []object) {
	for _, o := range list {
		if o[field] == value {
			found = append(found, o)
		}
	}
	return found
}

// listed is a page of a list, the newest first.
func listed(all []object, query url.Values) object {
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(b["id"].(string), a["id"].(string)) })
	if after := query.Get("starting_after"); after != "" {
		all = all[slices.IndexFunc(all, func(o object) bool { return o["id"] == after })+1:]
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit > 100 {
		limit = 10
	}
	more := len(all) > limit
	if more {
		all = all[:limit]
	}
	if all == nil {
		all = []object{}
	}
	return object{"object": "list", "data": all, "has_more": more, "url": "/v1/list"}
}

func meta(form url.Values) map[string]string {
	m := map[string]string{}
	for name := range form {
		if rest, ok := strings.CutPrefix(name, "metadata["); ok {
			m[strings.TrimSuffix(rest, "]")] = form.Get(name)
		}
	}
	return m
}

func (s *Server) makeInvoice(form url.Values) (object, *refusal) {
	if s.customers[form.Get("customer")] == nil {
		return nil, no("No such customer: '%s'", form.Get("customer"))
	}
	if form.Get("auto_advance") != "false" {
		return nil, no("stripetest: a draft that finalizes itself is a mistake")
	}
	i := &invoice{object: object{
		"id": s.id("in"), "object": "invoice", "status": "draft", "customer": form.Get("customer"), "currency": form.Get("currency"), "metadata": meta(form),
		"pre_payment_credit_notes_amount": int64(0), "paid_out_of_band": false,
	}}
	s.invoices[i.text("id")] = i
	s.event("invoice.created", s.shown(i, nil))
	return s.shown(i, nil), nil
}

// shown is the invoice as answered; charge and payment intent are objects only where they are asked for.
func (s *Server) shown(i *invoice, expand ...[]string) object {
	out := object{}
	for name, v := range i.object {
		out[name] = v
	}
	out["total"], out["amount_due"], out["amount_remaining"] = i.total(), i.total(), i.remaining()
	if i.text("status") != "draft" {
		out["hosted_invoice_url"] = "https://invoice.stripe.example/" + i.text("id")
	}
	asked := slices.Concat(expand...)
	if charge := i.text("charge"); charge != "" && slices.Contains(asked, "charge") {
		out["charge"] = s.charges[charge]
	}
	if pi, ok := i.object["payment_intent"].(object); ok && !slices.Contains(asked, "payment_intent") {
		out["payment_intent"] = pi["id"]
	}
	return out
}

func (s *Server) addItem(form url.Values) (object, *refusal) {
	i := s.invoices[form.Get("invoice")]
	if i == nil {
		return nil, no("No such invoice: '%s'", form.Get("invoice"))
	}
	if i.text("status") != "draft" {
		return nil, no("Invoice is already finalized.")
	}
	if len(i.items) >= 250 {
		return nil, no("An invoice has at most 250 items.")
	}
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil || form.Get("currency") != i.text("currency") || form.Get("customer") != i.text("customer") {
		return nil, no("The item does not fit the invoice.")
	}
	item := object{"id": s.id("ii"), "object": "invoiceitem", "invoice": i.text("id"), "customer": form.Get("customer"), "amount": amount, "currency": form.Get("currency"),
		"description": form.Get("description"), "metadata": meta(form)}
	i.items = append(i.items, item)
	s.items = append(s.items, item)
	return item, nil
}

func (s *Server) move(i *invoice, act string, form url.Values) *refusal {
	state := i.text("status")
	legal := map[string]map[string]string{
		"finalize": {"draft": "open"}, "void": {"open": "void", "uncollectible": "void"}, "mark_uncollectible": {"open": "uncollectible"},
		"pay": {"open": "paid", "uncollectible": "paid"},
	}
	next := legal[act][state]
	if next == "" {
		return no("You cannot %s an invoice that is %s.", act, state)
	}
	if act == "pay" {
		if form.Get("paid_out_of_band") != "true" {
			return no("stripetest: customers pay with Pay")
		}
		i.object["paid_out_of_band"] = true
	}
	if act == "finalize" && i.total() == 0 {
		next = "paid"
	}
	i.object["status"] = next
	s.event("invoice."+map[string]string{"open": "finalized", "void": "voided", "uncollectible": "marked_uncollectible", "paid": "paid"}[next], s.shown(i, nil))
	return nil
}

func (s *Server) credit(form url.Values) (object, *refusal) {
	i := s.invoices[form.Get("invoice")]
	if i == nil {
		return nil, no("No such invoice: '%s'", form.Get("invoice"))
	}
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil || amount <= 0 {
		return nil, no("Invalid amount.")
	}
	switch i.text("status") {
	case "open":
		if amount > i.remaining() {
			return nil, no("The credit is above what remains to be paid.")
		}
		i.object["pre_payment_credit_notes_amount"] = i.object["pre_payment_credit_notes_amount"].(int64) + amount
		if i.remaining() == 0 {
			i.object["status"] = "paid"
			s.event("invoice.paid", s.shown(i, nil))
		}
	case "paid":
		if form.Get("refund_amount") != form.Get("amount") && form.Get("out_of_band_amount") != form.Get("amount") {
			return nil, no("The sum of refund, credit and out of band amount must be the credit note's.")
		}
		if form.Get("refund_amount") != "" {
			s.refund(i, amount)
		}
	default:
		return nil, no("You cannot credit an invoice that is %s.", i.text("status"))
	}
	c := object{"id": s.id("cn"), "object": "credit_note", "invoice": i.text("id"), "amount": amount, "metadata": meta(form)}
	s.credits = append(s.credits, c)
	s.event("credit_note.created", c)
	return c, nil
}
