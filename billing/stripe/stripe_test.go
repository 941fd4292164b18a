// SPDX-License-Identifier: Apache-2.0

package stripe_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/stripe"
	"github.com/syncline-dev/syncline/billing/stripe/stripetest"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// world is a database, a Stripe, and the collector between them.
type world struct {
	testing.TB
	ctx       context.Context
	db        *store.DB
	admin     *pgxpool.Pool
	stripe    *stripetest.Server
	gateway   *stripe.Gateway
	invoicer  *invoicing.Invoicer
	collector *invoicing.Collector
	tenant    tenant.ID
	clock     *atomic.Pointer[time.Time]
}

func setup(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, ctx: context.Background(), clock: new(atomic.Pointer[time.Time])}
	w.setNow("2026-11-03T12:00:00Z")
	url := storetest.URL(t)
	w.db = storetest.Open(t, url, func() time.Time { return *w.clock.Load() })
	var err error
	if w.admin, err = pgxpool.New(w.ctx, url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.admin.Close)
	w.stripe = stripetest.New(t)
	w.gateway = stripe.New(stripe.Options{Key: "sk_test_1", WebhookSecret: stripetest.WebhookSecret, URL: w.stripe.URL, Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	w.invoicer = invoicing.NewInvoicer(store.InTx(w.db, func(tx *store.Tx) invoicing.Tx { return tx })).Collected()
	w.collector = w.newCollector(w.gateway)
	w.tenant = w.newTenant()
	return w
}

func (w *world) newCollector(g invoicing.Gateway) *invoicing.Collector {
	return invoicing.NewCollector(store.InTx(w.db, func(tx *store.Tx) invoicing.CollectTx { return tx }),
		store.InOperatorTx(w.db, func(tx *store.OperatorTx) invoicing.CollectOperatorTx { return tx }), w.invoicer, g, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

func (w *world) setNow(s string) {
	t, err := time.Parse(time.RFC3339, s)
	w.must(err)
	w.clock.Store(&t)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	_, err := w.admin.Exec(w.ctx, sql, args...)
	w.must(err)
}

func (w *world) newTenant() tenant.ID {
	w.Helper()
	id := storetest.Tenant(w, w.db)
	w.exec(`UPDATE tenants SET created_at = '2026-10-01T00:00:00Z' WHERE id = $1`, uuid.UUID(id))
	return id
}

func (w *world) person(id tenant.ID, name string) auth.Principal {
	return auth.Principal{Kind: auth.KindMember, ID: ident.Format(ident.User, uuid.NewSHA1(uuid.Nil, []byte(name))), Name: name, Tenant: id, Role: auth.Finance}
}

func (w *world) use(id tenant.ID, n int64, realtime bool) {
	w.Helper()
	e := billing.Operations(uuid.Must(uuid.NewV7()), 0, time.Date(2026, 10, 5, 10, 0, 0, 0, time.UTC), uuid.Nil, "shop", "stock", "products", n)
	e.Realtime = realtime
	w.must(w.db.InTenant(w.ctx, id, func(tx *store.Tx) error { return tx.AddUsage(w.ctx, []billing.UsageEvent{e}) }))
}

// issued closes October of the tenant and issues its invoice.
func (w *world) issued(id tenant.ID) billing.Invoice {
	w.Helper()
	_, err := w.invoicer.Close(w.ctx, id)
	w.must(err)
	list, _, err := w.invoicer.Find(w.ctx, id, invoicing.Filter{Review: true}, invoicing.Page{})
	w.must(err)
	if len(list) != 1 {
		w.Fatalf("%d invoices to review", len(list))
	}
	grace := w.person(id, "Grace")
	_, err = w.invoicer.Approve(w.ctx, grace, list[0].ID, 0)
	w.must(err)
	v, err := w.invoicer.Finalize(w.ctx, grace, list[0].ID, 0)
	w.must(err)
	return v
}

func args(id tenant.ID, v billing.Invoice) invoicing.CollectArgs {
	return invoicing.CollectArgs{TenantID: uuid.UUID(id), InvoiceID: v.ID}
}

func (w *world) collect(v billing.Invoice) {
	w.Helper()
	w.must(w.collector.Collect(w.ctx, args(w.tenant, v)))
}

func (w *world) now(v billing.Invoice) (billing.Invoice, invoicing.Collection) {
	w.Helper()
	found, err := w.invoicer.Invoice(w.ctx, w.tenant, v.ID)
	w.must(err)
	all, err := w.invoicer.Collections(w.ctx, w.person(w.tenant, "Grace"), v.ID)
	w.must(err)
	c := all[v.ID]
	if c == nil {
		c = &invoicing.Collection{}
	}
	return found, *c
}

// jobs takes the jobs that wait and carries them out, as the worker does.
func (w *world) jobs() (n int) {
	w.Helper()
	rows, err := w.admin.Query(w.ctx, `DELETE FROM river.river_job WHERE kind = 'collect' RETURNING args->>'tenant', args->>'invoice'`)
	w.must(err)
	var all []invoicing.CollectArgs
	for rows.Next() {
		var t, i string
		w.must(rows.Scan(&t, &i))
		all = append(all, invoicing.CollectArgs{TenantID: uuid.MustParse(t), InvoiceID: uuid.MustParse(i)})
	}
	w.must(rows.Err())
	for _, a := range all {
		w.must(w.collector.Collect(w.ctx, a))
	}
	return len(all)
}

func (w *world) events() string {
	w.Helper()
	rows, err := w.admin.Query(w.ctx, `SELECT type FROM events WHERE tenant_id = $1 ORDER BY id`, uuid.UUID(w.tenant))
	w.must(err)
	var all []string
	for rows.Next() {
		var s string
		w.must(rows.Scan(&s))
		all = append(all, strings.TrimPrefix(s, "invoice."))
	}
	return strings.Join(all, " ")
}

func TestIssuedAndPaid(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, true)
	v := w.issued(w.tenant)
	if n := w.jobs(); n != 1 {
		t.Fatalf("%d jobs", n)
	}
	there := w.stripe.Invoices()
	if len(there) != 1 || there[0].State != "open" || there[0].Total != 70_000 || there[0].Items != 2 || there[0].Meta != v.ID.String() {
		t.Fatalf("at Stripe: %+v", there)
	}
	if _, c := w.now(v); c.State != invoicing.CollectionSent || c.URL != "https://invoice.stripe.example/"+there[0].ID {
		t.Errorf("collecting: %+v", c)
	}
	w.stripe.Fail(there[0].ID, "Your card was declined.")
	w.hear(1)
	w.jobs()
	if now, c := w.now(v); now.State != billing.Open || c.Failure != "Your card was declined." || c.Payments != 1 || c.NextPaymentAt.IsZero() || c.Problem != "" || invoicing.StageOf(now, &c) != invoicing.StagePaymentFailed {
		t.Errorf("after a failed payment: %s, %+v", now.State, c)
	}
	w.stripe.Pay(there[0].ID)
	w.hear(1)
	w.jobs()
	if now, c := w.now(v); now.State != billing.Paid || now.Settlement != "Through the payment provider" || c.State != invoicing.CollectionSettled || c.Problem != "" || c.Failure != "" || !c.NextPaymentAt.IsZero() || invoicing.StageOf(now, &c) != invoicing.StagePaid {
		t.Errorf("paid: %+v, %+v", now.Settlement, c)
	}
	w.stripe.Refund(there[0].ID, 1_000)
	w.stripe.Dispute(there[0].ID, "needs_response")
	w.hear(1)
	w.jobs()
	w.stripe.Dispute(there[0].ID, "lost")
	w.hear(1)
	w.jobs()
	if now, c := w.now(v); now.State != billing.Paid || c.Refunded.Fixed() != "10.00" || c.Dispute != "lost" || invoicing.StageOf(now, &c) != invoicing.StageDisputed {
		t.Errorf("refunded and disputed: %s, %+v", now.State, c)
	}
	if got := w.events(); got != "closed approved finalized payment_failed paid refunded disputed disputed" {
		t.Errorf("told: %s", got)
	}
}

// People are told of each try that failed, why, and when the next one is: the time at which the job queue tries.
func TestTriesAreTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, true)
	v := w.issued(w.tenant)
	w.stripe.SetFault(func(string, string) stripetest.Fault { return stripetest.Broken })
	for attempt := 1; attempt <= 3; attempt++ {
		a := args(w.tenant, v)
		a.Attempt = attempt
		if err := w.collector.Collect(w.ctx, a); err == nil {
			t.Fatal("nothing failed")
		}
		now, c := w.now(v)
		if c.Tries != attempt || c.FailedAt.IsZero() || !c.NextAt.Equal(invoicing.NextTry(attempt, c.FailedAt)) || !c.NextAt.After(c.FailedAt) || c.Problem == "" || !c.SentAt.IsZero() || invoicing.StageOf(now, &c) != invoicing.StageRetrying {
			t.Errorf("after try %d: %+v", attempt, c)
		}
	}
	w.stripe.SetFault(nil)
	w.collect(v)
	now, c := w.now(v)
	if c.Tries != 0 || !c.NextAt.IsZero() || c.Problem != "" || c.SentAt.IsZero() || c.URL == "" || invoicing.StageOf(now, &c) != invoicing.StageSent {
		t.Errorf("after one that worked: %+v", c)
	}
	// Stripe is away while the customer is waited for: that is no failed payment.
	w.stripe.SetFault(func(string, string) stripetest.Fault { return stripetest.LostBefore })
	if err := w.collector.Collect(w.ctx, args(w.tenant, v)); err == nil {
		t.Fatal("nothing failed")
	}
	if now, c := w.now(v); c.State != invoicing.CollectionSent || c.Failure != "" || c.Tries != 1 || invoicing.StageOf(now, &c) != invoicing.StageRetrying {
		t.Errorf("with Stripe away: %+v", c)
	}
	if last := invoicing.NextTry(16, c.FailedAt).Sub(c.FailedAt); last != 6*time.Hour {
		t.Errorf("after the job's last try the next is %s away", last)
	}
}

// hear sends all messages so far, in any order, some of them several times; those heard before come again, too.
func (w *world) hear(seed uint64) {
	w.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	messages := w.stripe.Messages()
	messages = append(messages, messages[r.IntN(len(messages))])
	r.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	for _, m := range messages {
		w.must(w.collector.Hear(w.ctx, m.Payload, m.Signature))
	}
}

// Whatever the order of the messages, and however often they come, the end is the same, and each thing is told once.
func TestMessagesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		w := setup(t)
		w.use(w.tenant, 100_000, false)
		v := w.issued(w.tenant)
		w.jobs()
		id := w.stripe.Invoices()[0].ID
		w.stripe.Fail(id, "declined")
		w.stripe.Pay(id)
		w.stripe.Refund(id, 2_500)
		w.stripe.Refund(id, 2_500)
		w.hear(seed)
		w.hear(seed + 100)
		jobs := w.jobs()
		if messages := len(w.stripe.Messages()); jobs != messages {
			t.Errorf("%d messages made %d jobs", messages, jobs)
		}
		now, c := w.now(v)
		if now.State != billing.Paid || c.Refunded.Fixed() != "50.00" {
			t.Errorf("seed %d: %s, refunded %s", seed, now.State, c.Refunded)
		}
		if got := w.events(); got != "closed approved finalized paid refunded" {
			t.Errorf("seed %d: told %s", seed, got)
		}
	}
}

func TestMessagesAreChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, false)
	v := w.issued(w.tenant)
	w.jobs()
	id := w.stripe.Invoices()[0].ID
	w.stripe.Pay(id)
	m := w.stripe.Messages()[0]
	for name, bad := range map[string]stripetest.Message{
		"no signature":        {Payload: m.Payload},
		"another secret":      {Payload: m.Payload, Signature: stripetest.Sign(m.Payload, time.Now(), "whsec_other")},
		"another payload":     {Payload: append([]byte(" "), m.Payload...), Signature: m.Signature},
		"older than 5 min":    {Payload: m.Payload, Signature: stripetest.Sign(m.Payload, time.Now().Add(-6*time.Minute), stripetest.WebhookSecret)},
		"not even a document": {Payload: []byte("{"), Signature: stripetest.Sign([]byte("{"), time.Now(), stripetest.WebhookSecret)},
	} {
		if err := w.collector.Hear(w.ctx, bad.Payload, bad.Signature); !fault.IsCode(err, "stripe.webhook_signature") {
			t.Errorf("%s: %v", name, err)
		}
	}
	unset := w.newCollector(stripe.New(stripe.Options{Key: "sk", URL: w.stripe.URL}))
	if err := unset.Hear(w.ctx, m.Payload, m.Signature); !fault.IsCode(err, "stripe.webhook_secret_missing") {
		t.Errorf("without a secret: %v", err)
	}
	// A message that says something is not believed: the invoice is looked at, and is what it is.
	other := w.newTenant()
	claim := strings.ReplaceAll(string(m.Payload), w.tenant.String(), other.String())
	w.must(w.collector.Hear(w.ctx, []byte(claim), stripetest.Sign([]byte(claim), time.Now(), stripetest.WebhookSecret)))
	if n := w.jobs(); n != 0 {
		t.Errorf("a message about an invoice that its tenant does not have made %d jobs", n)
	}
	if now, _ := w.now(v); now.State != billing.Open {
		t.Errorf("the invoice is %s", now.State)
	}
}

func TestNothingIsIssuedThatComesToSomethingElse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, false)
	v := w.issued(w.tenant)
	// The first try ends after the draft; somebody then adds an item by hand.
	w.stripe.SetFault(func(method, path string) stripetest.Fault {
		if strings.HasSuffix(path, "/invoiceitems") {
			return stripetest.Broken
		}
		return stripetest.None
	})
	if err := w.collector.Collect(w.ctx, args(w.tenant, v)); !fault.IsCode(err, "stripe.unavailable") {
		t.Fatalf("with a Stripe that is broken: %v", err)
	}
	if _, c := w.now(v); c.State != invoicing.CollectionWaiting || c.Problem == "" {
		t.Errorf("collecting: %+v", c)
	}
	w.stripe.SetFault(nil)
	w.stripe.AddStrayItem(w.stripe.Invoices()[0].ID, 1)
	w.collect(v)
	there := w.stripe.Invoices()
	if len(there) != 1 || there[0].State != "draft" {
		t.Errorf("at Stripe: %+v", there)
	}
	now, c := w.now(v)
	if now.State != billing.Open || c.State != invoicing.CollectionRefused || !strings.Contains(c.Problem, "$500.00 here and to $500.01 at the payment provider") {
		t.Errorf("collecting: %s, %+v", now.State, c)
	}
}

func TestPeoplesDecisionsAreFollowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		do    func(w *world, v billing.Invoice)
		state string
		ours  billing.InvoiceState
	}{
		{"voided here", func(w *world, v billing.Invoice) {
			_, _, err := w.invoicer.Void(w.ctx, w.person(w.tenant, "Ada"), v.ID, 0, "a mistake", false)
			w.must(err)
		}, "void", billing.Void},
		{"given up here", func(w *world, v billing.Invoice) {
			_, err := w.invoicer.GiveUp(w.ctx, w.person(w.tenant, "Ada"), v.ID, 0, "insolvent")
			w.must(err)
		}, "uncollectible", billing.Uncollectible},
		{"paid by bank transfer", func(w *world, v billing.Invoice) {
			_, err := w.invoicer.Pay(w.ctx, w.person(w.tenant, "Ada"), v.ID, 0, "transfer 4711")
			w.must(err)
		}, "paid", billing.Paid},
		{"credited in part", func(w *world, v billing.Invoice) { w.credit(v, "100") }, "open", billing.Open},
		{"credited in full", func(w *world, v billing.Invoice) { w.credit(v, "100"); w.credit(v, "400") }, "paid", billing.Paid},
		{"paid there, credited here", func(w *world, v billing.Invoice) {
			w.stripe.Pay(w.stripe.Invoices()[0].ID)
			w.collect(v)
			w.credit(v, "100")
		}, "paid", billing.Paid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := setup(t)
			w.use(w.tenant, 100_000, false)
			v := w.issued(w.tenant)
			w.jobs()
			tt.do(w, v)
			// Every answer is lost once, whatever was done.
			lost := map[string]bool{}
			w.stripe.SetFault(func(method, path string) stripetest.Fault {
				if key := method + path; method == http.MethodPost && !lost[key] {
					lost[key] = true
					return stripetest.LostAfter
				}
				return stripetest.None
			})
			for w.collector.Collect(w.ctx, args(w.tenant, v)) != nil {
			}
			w.stripe.ForgetKeys()
			w.collect(v)
			there := w.stripe.Invoices()
			now, c := w.now(v)
			if len(there) != 1 || there[0].State != tt.state || now.State != tt.ours {
				t.Errorf("%s here, at Stripe %+v", now.State, there)
			}
			sum, _ := w.stripe.Credits()
			if sum != now.Credited.Amount.Shift(2).IntPart() {
				t.Errorf("credited %s here and %d cents at Stripe", now.Credited, sum)
			}
			if tt.name == "paid there, credited here" && c.Refunded.Fixed() != "100.00" {
				t.Errorf("refunded: %s", c.Refunded)
			}
			if there[0].State == "open" && there[0].Remaining != now.Due().Amount.Shift(2).IntPart() {
				t.Errorf("%s are due here and %d cents at Stripe", now.Due(), there[0].Remaining)
			}
		})
	}
}

func (w *world) credit(v billing.Invoice, amount string) {
	w.Helper()
	note, err := w.invoicer.Credit(w.ctx, w.person(w.tenant, "Ada"), v.ID, decimal.RequireFromString(amount), "an outage")
	w.must(err)
	_, err = w.invoicer.IssueCredit(w.ctx, w.person(w.tenant, "Grace"), note.ID, 0)
	w.must(err)
}

// Paid there before it was voided here: nobody is told that all is well.
func TestPaidAndVoidedAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, false)
	v := w.issued(w.tenant)
	w.jobs()
	w.stripe.Pay(w.stripe.Invoices()[0].ID)
	_, _, err := w.invoicer.Void(w.ctx, w.person(w.tenant, "Ada"), v.ID, 0, "a mistake", false)
	w.must(err)
	w.jobs()
	if now, c := w.now(v); now.State != billing.Void || c.State != invoicing.CollectionRefused || !strings.Contains(c.Problem, "Pay it back") {
		t.Errorf("%s, %+v", now.State, c)
	}
}

// More lines than Stripe takes are grouped, and come to the same.
func TestManyLinesAreGrouped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, false)
	_, err := w.invoicer.Close(w.ctx, w.tenant)
	w.must(err)
	list, _, err := w.invoicer.Find(w.ctx, w.tenant, invoicing.Filter{Review: true}, invoicing.Page{})
	w.must(err)
	id := list[0].ID
	for n := range 300 {
		w.exec(`INSERT INTO invoice_adjustments (tenant_id, id, invoice_id, title, reason, amount, actor, actor_name, person, created_at) VALUES ($1, $2, $3, 'Part', 'a test', $4, 'a', 'a', 'a', now())`,
			uuid.UUID(w.tenant), uuid.Must(uuid.NewV7()), id, decimal.New(int64(n+1), -2))
	}
	grace := w.person(w.tenant, "Grace")
	_, err = w.invoicer.Approve(w.ctx, grace, id, 0)
	w.must(err)
	v, err := w.invoicer.Finalize(w.ctx, grace, id, 0)
	w.must(err)
	calls := 0
	w.stripe.SetFault(func(method, path string) stripetest.Fault {
		if calls++; calls == 150 {
			return stripetest.LostAfter
		}
		return stripetest.None
	})
	if err := w.collector.Collect(w.ctx, args(w.tenant, v)); err == nil {
		t.Error("nothing was lost")
	}
	w.stripe.ForgetKeys()
	w.collect(v)
	there := w.stripe.Invoices()
	if len(there) != 1 || there[0].Items != stripe.MaxItems || there[0].State != "open" || there[0].Total != v.Total.Amount.Shift(2).IntPart() {
		t.Errorf("at Stripe: %d invoices, %d items, %s, %d cents; here %s", len(there), there[0].Items, there[0].State, there[0].Total, v.Total)
	}
}

func TestInvoicesThatNobodyBroughtAreFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.tenant, 100_000, false)
	v := w.issued(w.tenant)
	w.exec(`DELETE FROM river.river_job`) // as if there had been no provider then
	if n, err := w.collector.Sweep(w.ctx); n != 0 || err != nil {
		t.Errorf("just issued, and %d are looked for (%v)", n, err)
	}
	w.setNow("2026-11-03T20:00:00Z")
	n, err := w.collector.Sweep(w.ctx)
	if n != 1 || err != nil || w.jobs() != 1 {
		t.Errorf("%d are looked for (%v)", n, err)
	}
	if _, c := w.now(v); c.State != invoicing.CollectionSent {
		t.Errorf("collecting: %+v", c)
	}
	// Its message was lost: the payment is seen hours later.
	w.stripe.Pay(w.stripe.Invoices()[0].ID)
	w.setNow("2026-11-04T20:00:00Z")
	if n, err := w.collector.Sweep(w.ctx); n != 1 || err != nil || w.jobs() != 1 {
		t.Errorf("%d are looked for (%v)", n, err)
	}
	if now, _ := w.now(v); now.State != billing.Paid {
		t.Errorf("the invoice is %s", now.State)
	}
}

var errCrash = errors.New("the process is gone")

// A month closes for many tenants, and is issued and brought to Stripe, with processes that die everywhere on the way and a
// Stripe that loses answers. In the end nothing is there twice, nothing is missing, and the totals are equal.
func TestMonthEndWithCrashes(t *testing.T) {
	t.Parallel()
	tenants := 1_000
	if testing.Short() {
		tenants = 100
	}
	w := setup(t)
	r := rand.New(rand.NewPCG(7, 7))
	w.exec(`INSERT INTO tenants (id, name, slug, sealed_key, created_at) SELECT gen_random_uuid(), 'T' || n, 'many-' || n, 'x', '2026-10-01T00:00:00Z' FROM generate_series(2, $1) n`, tenants)
	// 5 attempts each, with amounts that differ; every fifth tenant has used nothing.
	w.exec(`INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, quantity, realtime)
		SELECT t.id, 'op:' || n || ':0', 'sync_operations', '2026-10-05T10:00:00Z'::timestamptz + n * interval '1 hour', '00000000-0000-0000-0000-000000000000', 'shop', 1000 + (hashtext(t.id::text || n) & 65535), n % 2 = 0
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS row FROM tenants) t, generate_series(1, 5) n WHERE t.row % 5 <> 0`)

	// Each commit may be the last of its process: before it or after it.
	var commits atomic.Int64
	crashing := func(ctx context.Context, id tenant.ID, fn func(invoicing.Tx) error) error {
		n := commits.Add(1)
		if n%157 == 0 {
			_ = w.db.InTenant(ctx, id, func(tx *store.Tx) error { return errors.Join(fn(tx), errCrash) })
			return errCrash
		}
		err := w.db.InTenant(ctx, id, func(tx *store.Tx) error { return fn(tx) })
		if err == nil && n%211 == 0 {
			return errCrash
		}
		return err
	}
	crashed := invoicing.NewInvoicer(crashing).Collected()
	closer := invoicing.NewCloser(store.InOperatorTx(w.db, func(tx *store.OperatorTx) invoicing.OperatorTx { return tx }), crashed, slog.New(slog.NewTextHandler(io.Discard, nil)))
	// Two processes, started again until nothing is left.
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 20 {
				if _, err := closer.Tick(w.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	rows, err := w.admin.Query(w.ctx, `SELECT tenant_id, id FROM invoices WHERE state = 'draft' AND closed_at IS NOT NULL`)
	w.must(err)
	var todo []invoicing.CollectArgs
	for rows.Next() {
		var a invoicing.CollectArgs
		w.must(rows.Scan(&a.TenantID, &a.InvoiceID))
		todo = append(todo, a)
	}
	w.must(rows.Err())
	if want := tenants - tenants/5; len(todo) != want {
		t.Fatalf("%d months were closed, want %d", len(todo), want)
	}
	// Approving and issuing, tried again until it is done.
	review := make(chan invoicing.CollectArgs, len(todo))
	for _, a := range todo {
		review <- a
	}
	close(review)
	for range 4 {
		all.Go(func() {
			for a := range review {
				grace := w.person(tenant.ID(a.TenantID), "Grace")
				for n := 0; ; n++ {
					_, err := crashed.Approve(w.ctx, grace, a.InvoiceID, 0)
					if err == nil || fault.IsCode(err, "invoicing.approved") {
						_, err = crashed.Finalize(w.ctx, grace, a.InvoiceID, 0)
					}
					if err == nil || fault.IsCode(err, "billing.invoice_state") {
						break
					}
					if n > 10 {
						t.Error(err)
						break
					}
				}
			}
		})
	}
	all.Wait()
	var jobs int
	w.must(w.admin.QueryRow(w.ctx, `SELECT count(DISTINCT args->>'invoice') FROM river.river_job WHERE kind = 'collect'`).Scan(&jobs))
	if jobs != len(todo) {
		t.Errorf("%d invoices are to be collected, want %d", jobs, len(todo))
	}
	// Stripe loses every seventh answer or so, after it did what was asked.
	w.stripe.SetFault(func(string, string) stripetest.Fault {
		switch r.IntN(28) {
		case 0, 1, 2, 3:
			return stripetest.LostAfter
		case 4:
			return stripetest.LostBefore
		case 5:
			return stripetest.Busy
		}
		return stripetest.None
	})
	dying := invoicing.NewCollector(func(ctx context.Context, id tenant.ID, fn func(invoicing.CollectTx) error) error {
		if commits.Add(1)%97 == 0 {
			return errCrash
		}
		return w.db.InTenant(ctx, id, func(tx *store.Tx) error { return fn(tx) })
	}, nil, w.invoicer, w.gateway, slog.New(slog.NewTextHandler(io.Discard, nil)))
	queue := make(chan invoicing.CollectArgs, len(todo))
	for _, a := range todo {
		queue <- a
	}
	close(queue)
	for range 4 {
		all.Go(func() {
			for a := range queue {
				tries := 0
				for dying.Collect(w.ctx, a) != nil {
					if tries++; tries == 3 {
						w.stripe.ForgetKeys() // a day has passed
					}
					if tries > 200 {
						t.Errorf("%s could not be collected", a.InvoiceID)
						break
					}
				}
			}
		})
	}
	all.Wait()
	w.stripe.SetFault(nil)

	ours := map[string]int64{}
	rows, err = w.admin.Query(w.ctx, `SELECT id::text, (total * 100)::bigint FROM invoices WHERE state = 'open'`)
	w.must(err)
	for rows.Next() {
		var id string
		var cents int64
		w.must(rows.Scan(&id, &cents))
		ours[id] = cents
	}
	w.must(rows.Err())
	if len(ours) != len(todo) {
		t.Errorf("%d invoices are open, want %d", len(ours), len(todo))
	}
	var here, there int64
	seen, lines := map[string]bool{}, map[string]bool{}
	for _, v := range w.stripe.Invoices() {
		if v.State != "open" || ours[v.Meta] != v.Total || seen[v.Meta] {
			t.Fatalf("at Stripe: %+v; here %d cents, seen before: %v", v, ours[v.Meta], seen[v.Meta])
		}
		seen[v.Meta] = true
		here, there = here+ours[v.Meta], there+v.Total
		for _, l := range v.Lines {
			if lines[l] {
				t.Fatalf("the line %s is there twice", l)
			}
			lines[l] = true
		}
	}
	var want int64
	w.must(w.admin.QueryRow(w.ctx, `SELECT count(*) FROM invoice_lines WHERE charged AND amount <> 0`).Scan(&want))
	if len(seen) != len(ours) || int64(len(lines)) != want {
		t.Errorf("Stripe has %d invoices with %d lines; here are %d with %d", len(seen), len(lines), len(ours), want)
	}
	if n := w.stripe.Customers(); n != len(todo) {
		t.Errorf("Stripe has %d customers for %d tenants", n, len(todo))
	}
	// What Stripe collects is what the ledger comes to.
	var ledger decimal.Decimal
	w.must(w.admin.QueryRow(w.ctx, `SELECT sum(round(least(ops, 100000) * 0.005 + greatest(ops - 100000, 0) * 0.003, 2) + round(realtime * 0.002, 2))
		FROM (SELECT sum(quantity) AS ops, coalesce(sum(quantity) FILTER (WHERE realtime), 0) AS realtime FROM usage_events GROUP BY tenant_id) t`).Scan(&ledger))
	if diff := ledger.Shift(2).Sub(decimal.NewFromInt(there)).Abs(); diff.GreaterThan(decimal.NewFromInt(int64(len(ours)))) {
		t.Errorf("Stripe has %d cents, here are %d, and the ledger comes to %s", there, here, ledger)
	}
	t.Logf("%d invoices, %d lines, %d cents here and there, %d requests at Stripe, %d customers", len(seen), len(lines), there, w.stripe.Requests(), w.stripe.Customers())
}
