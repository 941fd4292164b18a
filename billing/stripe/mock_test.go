// SPDX-License-Identifier: Apache-2.0

package stripe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/stripe"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// stripe-mock holds each request against the description that Stripe publishes of its API, of today's version; our own fake knows how
// an invoice lives, and what goes wrong. What Syncline sends must be right for both. Reading an invoice asks for its charge and payment
// intent, which are parts of it in version 2023-10-16 alone: that today's description may not know them is not held against it.
func TestRequestsAreAsStripeDescribesThem(t *testing.T) {
	described, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := server.NewStubServer(fixtures, described, false, false)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	mock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+strings.TrimSuffix(r.URL.Path, "/"))
		mu.Unlock()
		stub.HandleRequest(w, r)
	}))
	t.Cleanup(mock.Close)
	g := stripe.New(stripe.Options{Key: "sk_test_123", URL: mock.URL, Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	ctx := context.Background()
	usd := func(n int64) billing.Money {
		return billing.Money{Amount: decimal.NewFromInt(n), Currency: billing.USD}
	}
	customer := invoicing.Customer{Tenant: tenant.ID(uuid.New()), Name: "Example Ltd", Email: "finance@example.com"}
	if customer.ID, err = g.MakeCustomer(ctx, customer); err != nil || customer.ID == "" {
		t.Fatalf("a customer: %q, %v", customer.ID, err)
	}
	invoice := billing.Invoice{
		ID: uuid.New(), Number: 7, Currency: billing.USD, Total: usd(370), Period: billing.Month{Year: 2026, Month: time.November}.In(time.UTC),
		Lines: []billing.Line{
			{ID: uuid.New(), Price: "base", Title: "Platform Starter", Quantity: 1, Amount: usd(500), Charged: true},
			{ID: uuid.New(), Price: "credit", Title: "Credit", Amount: usd(-130), Charged: true, Kind: billing.CreditLine},
		},
	}
	id, err := g.Draft(ctx, customer, invoice)
	if err != nil || id == "" {
		t.Fatalf("a draft: %q, %v", id, err)
	}
	if _, err := g.Fill(ctx, customer, id, invoice); err != nil {
		t.Errorf("its items: %v", err)
	}
	for name, act := range map[string]func() error{
		"finalizing": func() error { return g.Issue(ctx, id, invoice) }, "voiding": func() error { return g.Void(ctx, id) },
		"giving up": func() error { return g.GiveUp(ctx, id) }, "paying outside": func() error { return g.PaidOutside(ctx, id) },
	} {
		if err := act(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := g.Look(ctx, id); err != nil && !strings.Contains(err.Error(), "charge") {
		t.Errorf("reading: %v", err)
	}
	seen := strings.Join(asked, "\n")
	for _, want := range []string{"GET /v1/customers/search", "POST /v1/customers", "POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoices/" + id + "/finalize", "POST /v1/invoices/" + id + "/void", "POST /v1/invoices/" + id + "/mark_uncollectible", "POST /v1/invoices/" + id + "/pay"} {
		if !strings.Contains(seen+"\n", want+"\n") {
			t.Errorf("%s was not asked; asked was\n%s", want, seen)
		}
	}

	// It does refuse what Stripe does not know, or this test would prove nothing.
	res, err := http.DefaultClient.Do(mustRequest(t, mock.URL+"/v1/invoiceitems", "customer="+customer.ID+"&colour=red"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a parameter that there is not is answered %d", res.StatusCode)
	}
}

func mustRequest(t *testing.T, url, form string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_123")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
