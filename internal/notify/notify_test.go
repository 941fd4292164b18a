// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/internal/webhook"
)

// A bundle is a database of its own with a clock that the test sets.
type bundle struct {
	*testing.T
	ctx     context.Context
	db      *store.DB
	vault   *vault.Vault
	manager *notify.Manager
	sender  *notify.Sender
	clock   atomic.Pointer[time.Time]
}

func setup(t *testing.T, guard connection.GuardOptions) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{T: t, ctx: t.Context(), vault: storetest.Vault(t)}
	now := time.Now().UTC().Truncate(time.Second) // the verifier of the reference library looks at the real clock
	b.clock.Store(&now)
	b.db = storetest.Open(t, storetest.URL(t), b.now)
	b.manager = notify.NewManager(store.InTx(b.db, func(tx *store.Tx) notify.Tx { return tx }), b.vault, true)
	b.sender = b.newSender(guard, 200*time.Millisecond)
	return b
}

func (b *bundle) newSender(o connection.GuardOptions, timeout time.Duration) *notify.Sender {
	guard, err := connection.NewGuard(o)
	b.must(err)
	return notify.NewSender(store.InTx(b.db, func(tx *store.Tx) notify.SendTx { return tx }), b.db.Operator(), b.vault, webhook.New(guard.Dial, timeout).Post, slog.New(slog.NewTextHandler(b.Output(), nil)))
}

var loopback = connection.GuardOptions{AllowLoopback: true}

func (b *bundle) now() time.Time { return *b.clock.Load() }

func (b *bundle) after(d time.Duration) {
	now := b.now().Add(d)
	b.clock.Store(&now)
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) tenant() auth.Principal { return auth.System(storetest.Tenant(b.T, b.db), "owner") }

func (b *bundle) emit(who auth.Principal, typ string, data any) {
	b.Helper()
	b.must(b.db.InTenant(b.ctx, who.Tenant, func(tx *store.Tx) error { return tx.Emit(b.ctx, typ, uuid.Nil, data) }))
}

// endpoint makes one for the receiver.
func (b *bundle) endpoint(who auth.Principal, r *receiver, types ...string) notify.Endpoint {
	b.Helper()
	e, secret, err := b.manager.Create(b.ctx, who, "Back end", r.URL+"/hook", types)
	b.must(err)
	r.secret.Store(&secret)
	return e
}

// patience bounds every wait. Events wait for transactions of all that use the server at the same time, of other packages too, which
// last for as long as the machine is slow.
const patience = 2 * time.Minute

// until sends until the condition holds: an event is seen once every transaction before it is over, those of other tests, too.
func (b *bundle) until(what string, condition func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		b.must(b.sender.Drain(b.ctx))
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (b *bundle) deliveries(who auth.Principal, q notify.DeliveryQuery) []notify.Delivery {
	b.Helper()
	q.Limit = 100
	list, err := b.manager.Deliveries(b.ctx, who, q)
	b.must(err)
	return list
}

func (b *bundle) delivery(who auth.Principal, id uuid.UUID) notify.Delivery {
	b.Helper()
	d, err := b.manager.Delivery(b.ctx, who, id)
	b.must(err)
	return d
}

// A receiver is a server that verifies what it is sent, as a customer's would.
type receiver struct {
	*httptest.Server
	secret atomic.Pointer[notify.Secret]
	answer atomic.Pointer[http.HandlerFunc]
	mu     sync.Mutex
	heard  []message
	wrong  []error
}

type message struct {
	id, typ string
	data    map[string]any
}

func (b *bundle) receiver() *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var e notify.Envelope
		if err == nil {
			err = r.verify(body, req)
		}
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		if err == nil && (e.SpecVersion != "1.0" || e.ID != req.Header.Get("webhook-id") || req.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || len(body) > 20_000) {
			err = fmt.Errorf("no event: %v %s", req.Header, body)
		}
		m := message{id: e.ID, typ: e.Type}
		if err == nil {
			err = json.Unmarshal(e.Data, &m.data)
		}
		r.mu.Lock()
		if err != nil {
			r.wrong = append(r.wrong, err)
		} else {
			r.heard = append(r.heard, m)
		}
		r.mu.Unlock()
		if answer := r.answer.Load(); answer != nil {
			(*answer)(w, req)
			return
		}
		_, _ = io.WriteString(w, "thanks")
	}))
	b.Cleanup(func() {
		r.Close()
		for _, err := range r.wrong {
			b.Error(err)
		}
	})
	return r
}

func (r *receiver) verify(body []byte, req *http.Request) error {
	secret := r.secret.Load()
	if secret == nil {
		return nil
	}
	w, err := standard.NewWebhook(secret.Reveal())
	if err != nil {
		return err
	}
	return w.VerifyIgnoringTimestamp(body, req.Header)
}

func (r *receiver) says(h http.HandlerFunc) { r.answer.Store(&h) }

func (r *receiver) fails(status int) {
	r.says(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not <now>\x00\n", status) })
}

func (r *receiver) works() { r.answer.Store(nil) }

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heard)
}

func (r *receiver) types() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.heard {
		list = append(list, m.typ)
	}
	slices.Sort(list)
	return list
}

func TestEventsAreSent(t *testing.T) {
	b := setup(t, loopback)
	who, other := b.tenant(), b.tenant()
	all, some, others := b.receiver(), b.receiver(), b.receiver()
	b.emit(who, "invoice.paid", map[string]any{"invoice": "before it was asked for"})
	b.endpoint(who, all)
	b.endpoint(who, some, "invoice.*", "run.progress")
	b.endpoint(other, others)
	conflict := uuid.Must(uuid.NewV7())
	disputed := uuid.Must(uuid.NewV7())
	b.emit(who, "conflict", map[string]any{"conflict": conflict, "record": disputed.String(), "field": "price"})
	b.emit(who, "invoice.finalized", map[string]any{"invoice": "bil_1", "total": "12.00"})
	b.emit(who, "run.progress", map[string]any{"done": 1})
	b.emit(who, "activity", map[string]any{"system": "shop"})
	undone := errors.New("rolled back")
	if err := b.db.InTenant(b.ctx, who.Tenant, func(tx *store.Tx) error {
		b.must(tx.Emit(b.ctx, "invoice.voided", uuid.Nil, map[string]any{}))
		return undone
	}); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	b.until("all is sent", func() bool { return all.count() >= 2 && some.count() >= 2 })
	b.must(b.sender.Drain(b.ctx))
	if got := fmt.Sprint(all.types()); got != "[dev.syncline.conflict.v1 dev.syncline.invoice.finalized.v1]" {
		t.Errorf("who asks for nothing in particular heard %s", got)
	}
	if got := fmt.Sprint(some.types()); got != "[dev.syncline.invoice.finalized.v1 dev.syncline.run.progress.v1]" {
		t.Errorf("who asks for some heard %s", got)
	}
	if others.count() != 0 {
		t.Errorf("another tenant heard %v", others.heard)
	}
	for _, m := range all.heard {
		if m.typ == "dev.syncline.conflict.v1" && (m.data["conflict"] != ident.Format(ident.Conflict, conflict) || m.data["record"] != ident.Format(ident.Entity, disputed)) {
			t.Errorf("ids have their prefix: %v", m.data)
		}
	}
	sent := b.deliveries(who, notify.DeliveryQuery{Type: "conflict"})
	if len(sent) != 1 || sent[0].State != notify.Delivered || sent[0].Status != 200 || sent[0].Attempts != 1 {
		t.Fatalf("the delivery: %+v", sent)
	}
	if d := b.delivery(who, sent[0].ID); len(d.Tried) != 1 || d.Tried[0].Excerpt != "thanks" || !strings.Contains(d.Body, `"specversion":"1.0"`) {
		t.Errorf("its attempts: %+v", d)
	}
	if _, err := b.manager.Delivery(b.ctx, other, sent[0].ID); !fault.IsCode(err, "webhook.delivery_not_found") {
		t.Errorf("another tenant reads it: %v", err)
	}
	if list := b.deliveries(other, notify.DeliveryQuery{}); len(list) != 0 {
		t.Errorf("another tenant lists %v", list)
	}
}

// A receiver that fails is tried over three days, later each time; then a person has it sent again.
func TestRetries(t *testing.T) {
	b := setup(t, loopback)
	who, r := b.tenant(), b.receiver()
	e := b.endpoint(who, r, "invoice.paid")
	r.fails(500)
	b.emit(who, "invoice.paid", map[string]any{})
	b.until("the first try", func() bool { return r.count() == 1 })
	id := b.deliveries(who, notify.DeliveryQuery{})[0].ID
	least := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
	var all time.Duration
	for i, pause := range least {
		d := b.delivery(who, id)
		wait := d.DueAt.Sub(b.now())
		if d.State != notify.Pending || wait < pause || wait > pause*12/10 {
			t.Fatalf("after %d tries: %s, due in %s, want %s and up to a fifth more", i+1, d.State, wait, pause)
		}
		all += wait
		b.after(wait - time.Second)
		b.must(b.sender.Drain(b.ctx))
		if r.count() != i+1 {
			t.Fatalf("it was tried a second too early, the %d. time", i+2)
		}
		b.after(time.Second)
		b.must(b.sender.Drain(b.ctx))
	}
	d := b.delivery(who, id)
	if d.State != notify.Failed || d.Attempts != notify.Tries() || d.Status != 500 || !strings.Contains(d.Problem, "500") || d.Tried[0].Excerpt != "not <now>" {
		t.Fatalf("in the end: %+v", d)
	}
	if all < 3*24*time.Hour || all > 4*24*time.Hour {
		t.Errorf("it was tried for %s", all)
	}
	b.after(time.Hour)
	r.works()
	n, err := b.manager.ResendFailed(b.ctx, who, e.ID, d.At.Add(time.Second))
	b.must(err)
	if n != 0 {
		t.Errorf("%d events since a later time", n)
	}
	n, err = b.manager.ResendFailed(b.ctx, who, e.ID, d.At)
	b.must(err)
	b.must(b.sender.Drain(b.ctx))
	if d := b.delivery(who, id); n != 1 || d.State != notify.Delivered || d.Attempts != notify.Tries()+1 {
		t.Errorf("sent again, %d: %+v", n, d)
	}
	if d, err := b.manager.Resend(b.ctx, who, id); err != nil || d.State != notify.Pending {
		t.Errorf("one that got through can be sent again, too: %+v, %v", d, err)
	}
	b.must(b.sender.Drain(b.ctx))
	if last := r.heard[len(r.heard)-1]; last.id != r.heard[0].id || r.count() != notify.Tries()+2 {
		t.Errorf("its id is the same each time: %s, then %s", r.heard[0].id, last.id)
	}
	// A receiver may ask for a longer pause.
	r.says(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err = b.manager.Resend(b.ctx, who, id)
	b.must(err)
	b.must(b.sender.Drain(b.ctx))
	if wait := b.delivery(who, id).DueAt.Sub(b.now()); wait != time.Hour {
		t.Errorf("it asked for an hour and gets %s", wait)
	}
}

// A receiver that does not answer in time fails, and nobody waits for it but itself.
func TestSlowReceiver(t *testing.T) {
	b := setup(t, loopback)
	who, slow, quick := b.tenant(), b.receiver(), b.receiver()
	release := make(chan struct{})
	slow.says(func(http.ResponseWriter, *http.Request) { <-release })
	b.Cleanup(func() { close(release) })
	b.endpoint(who, slow, "conflict")
	b.endpoint(who, quick, "conflict")
	for range 3 {
		b.emit(who, "conflict", map[string]any{})
	}
	b.until("the quick one has all", func() bool { return quick.count() == 3 })
	failed := func() (n int) {
		for _, d := range b.deliveries(who, notify.DeliveryQuery{State: notify.Pending}) {
			if d.Problem == "No answer within 200ms." && d.Status == 0 {
				n++
			}
		}
		return n
	}
	b.until("the slow one fails", func() bool { return failed() == 3 })
}

// Whatever dies between the commit of a fact and the answer of a receiver, the event is sent.
func TestCrashes(t *testing.T) {
	b := setup(t, loopback)
	who, r := b.tenant(), b.receiver()
	e := b.endpoint(who, r, "conflict")
	inSendTx := store.InTx(b.db, func(tx *store.Tx) notify.SendTx { return tx })

	// Nobody sends for two hours: events older than one are dropped, but not those that an endpoint is owed.
	b.emit(who, "conflict", map[string]any{"n": 1})
	b.emit(who, "activity", map[string]any{})
	b.after(2 * time.Hour)
	_, err := b.db.Operator().DropEvents(b.ctx, b.now().Add(-time.Hour))
	b.must(err)
	b.until("it is sent two hours later", func() bool { return r.count() == 1 })
	dropped, err := b.db.Operator().DropEvents(b.ctx, b.now().Add(-time.Hour))
	b.must(err)
	if dropped != 2 {
		t.Errorf("%d events were dropped when all had them, want 2", dropped)
	}

	// The sender dies while it writes what is owed: nothing of it counts, and another does it again.
	b.emit(who, "conflict", map[string]any{"n": 2})
	died := errors.New("died")
	err = inSendTx(b.ctx, who.Tenant, func(tx notify.SendTx) error {
		b.must(tx.AddWebhookDeliveries(b.ctx, []notify.Delivery{{ID: uuid.Must(uuid.NewV7()), Endpoint: e.ID, Event: "half", Type: "conflict", Body: "{}", At: b.now(), DueAt: b.now()}}))
		return died
	})
	if !errors.Is(err, died) {
		t.Fatal(err)
	}
	b.until("the second is sent", func() bool { return r.count() == 2 })

	// The sender dies after it took a delivery up, whether it was sent or not: it is sent again when the claim is over.
	b.emit(who, "conflict", map[string]any{"n": 3})
	dead := b.newSender(loopback, time.Second)
	gone, cancel := context.WithCancel(b.ctx)
	r.says(func(http.ResponseWriter, *http.Request) { cancel() })
	for r.count() < 3 {
		_ = dead.Drain(gone)
	}
	r.works()
	b.must(b.sender.Drain(b.ctx))
	if r.count() != 3 {
		t.Error("it was sent twice while the claim held")
	}
	b.after(5 * time.Minute)
	b.until("the third is sent again", func() bool { return r.count() == 4 })
	if last := r.heard[3]; last.id != r.heard[2].id {
		t.Errorf("the message sent again is %s, was %s", last.id, r.heard[2].id)
	}
	if list := b.deliveries(who, notify.DeliveryQuery{State: notify.Delivered}); len(list) != 3 {
		t.Errorf("%d deliveries, want 3", len(list))
	}
}

// Senders on several machines share the work: each message is sent once when nobody dies.
func TestManySenders(t *testing.T) {
	b := setup(t, loopback)
	who, r := b.tenant(), b.receiver()
	e := b.endpoint(who, r, "conflict")
	second := b.receiver()
	b.endpoint(who, second, "conflict")
	const n = 60
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s := b.newSender(loopback, 10*time.Second)
			for deadline := time.Now().Add(patience); (r.count() < n || second.count() < n) && time.Now().Before(deadline); {
				if err := s.Drain(b.ctx); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		b.emit(who, "conflict", map[string]any{"n": i})
	}
	all.Wait()
	seen := map[string]int{}
	for _, m := range r.heard {
		seen[m.id]++
	}
	if len(seen) != n || r.count() != n || second.count() != n {
		t.Errorf("%d messages of %d events, and %d", r.count(), len(seen), second.count())
	}
	if got, err := b.manager.Get(b.ctx, who, e.ID); err != nil || got.DeliveredAt.IsZero() || !got.FailingSince.IsZero() {
		t.Errorf("the endpoint: %+v, %v", got, err)
	}
}

func TestAddressesAreGuarded(t *testing.T) {
	b := setup(t, connection.GuardOptions{})
	who, r := b.tenant(), b.receiver()
	b.endpoint(who, r, "conflict")
	_, _, err := b.manager.Create(b.ctx, who, "Metadata", "http://169.254.169.254/latest", []string{"conflict"})
	b.must(err)
	b.emit(who, "conflict", map[string]any{})
	refused := func() (n int) {
		for _, d := range b.deliveries(who, notify.DeliveryQuery{}) {
			if strings.Contains(d.Problem, "is not a public address") {
				n++
			}
		}
		return n
	}
	b.until("both are refused", func() bool { return refused() == 2 })
	if r.count() != 0 {
		t.Error("something was sent into the own network")
	}
	production := notify.NewManager(store.InTx(b.db, func(tx *store.Tx) notify.Tx { return tx }), b.vault, false)
	for _, url := range []string{"http://example.com/", "ftp://example.com", "https://", "https://name:word@example.com/", "https://example.com/#there", "//example.com", "javascript:alert(1)", "https://" + strings.Repeat("a", 2000)} {
		if _, _, err := production.Create(b.ctx, who, "Back end", url, nil); !fault.IsCode(err, "webhook.invalid") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, _, err := production.Create(b.ctx, who, "Back end", "https://example.com/", []string{"order.placed"}); !fault.IsCode(err, "webhook.invalid") {
		t.Errorf("a type that there is not: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	b := setup(t, loopback)
	who, r, elsewhere := b.tenant(), b.receiver(), b.receiver()
	b.endpoint(who, r, "conflict")
	r.says(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	b.emit(who, "conflict", map[string]any{})
	b.until("it fails", func() bool {
		list := b.deliveries(who, notify.DeliveryQuery{})
		return len(list) == 1 && list[0].Status == http.StatusTemporaryRedirect && strings.Contains(list[0].Problem, "Redirects are not followed")
	})
	if elsewhere.count() != 0 {
		t.Error("it was followed")
	}
}

// An endpoint through which nothing got for five days, or that says it is gone, is disabled, and the others are told.
func TestDisabling(t *testing.T) {
	b := setup(t, loopback)
	who, r, watching := b.tenant(), b.receiver(), b.receiver()
	e := b.endpoint(who, r, "conflict")
	b.endpoint(who, watching, "webhook.disabled")
	r.fails(503)
	for range 7 {
		b.emit(who, "conflict", map[string]any{})
		n := r.count()
		b.until("another try", func() bool { return r.count() > n })
		if got, err := b.manager.Get(b.ctx, who, e.ID); err != nil || got.State == notify.Disabled {
			break
		}
		b.after(24 * time.Hour)
	}
	b.until("it is told", func() bool { return watching.count() == 1 })
	got, err := b.manager.Get(b.ctx, who, e.ID)
	b.must(err)
	if got.State != notify.Disabled || !strings.HasPrefix(got.Reason, "Nothing got through since ") || watching.heard[0].data["reason"] != got.Reason {
		t.Fatalf("it is %s: %s; told was %v", got.State, got.Reason, watching.heard[0].data)
	}
	if list := b.deliveries(who, notify.DeliveryQuery{Endpoint: e.ID, State: notify.Pending}); len(list) != 0 {
		t.Errorf("%d are still pending", len(list))
	}
	if _, err := b.manager.Test(b.ctx, who, e.ID); !fault.IsCode(err, "webhook.not_active") {
		t.Errorf("a test of it: %v", err)
	}
	before := r.count()
	b.emit(who, "conflict", map[string]any{"while": "disabled"})
	r.works()
	active := notify.Active
	_, err = b.manager.Change(b.ctx, who, e.ID, got.Version, notify.Change{State: &active})
	b.must(err)
	b.emit(who, "conflict", map[string]any{"while": "active"})
	b.until("it is sent what happens from now on", func() bool { return r.count() > before })
	if last := r.heard[len(r.heard)-1].data["while"]; r.count() != before+1 || last != "active" {
		t.Errorf("%d were sent, the last %v", r.count()-before, last)
	}
	r.fails(http.StatusGone)
	_, err = b.manager.Test(b.ctx, who, e.ID)
	b.must(err)
	b.must(b.sender.Drain(b.ctx))
	if got, err := b.manager.Get(b.ctx, who, e.ID); err != nil || got.State != notify.Disabled || !strings.Contains(got.Reason, "410") {
		t.Errorf("after 410 it is %s: %s (%v)", got.State, got.Reason, err)
	}
}

// Secrets are exchanged with an overlap, the tenant's key is renewed, and receivers verify all the while.
func TestRotation(t *testing.T) {
	b := setup(t, loopback)
	who, r := b.tenant(), b.receiver()
	e := b.endpoint(who, r, "conflict")
	send := func() {
		t.Helper()
		n := r.count()
		b.emit(who, "conflict", map[string]any{})
		b.until("it is sent", func() bool { return r.count() > n || len(r.wrong) > 0 })
	}
	send()
	_, fresh, err := b.manager.Rotate(b.ctx, who, e.ID, time.Hour)
	b.must(err)
	send() // with the old one
	r.secret.Store(&fresh)
	send()
	secrets := vault.NewSecrets(b.vault, b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) vault.Tx { return tx }))
	b.must(secrets.RotateTenant(b.ctx, who))
	send()
	b.after(2 * time.Hour)
	send()
	_, last, err := b.manager.Rotate(b.ctx, who, e.ID, 0)
	b.must(err)
	r.secret.Store(&last)
	send()
	if _, _, err := b.manager.Rotate(b.ctx, who, e.ID, 8*24*time.Hour); !fault.IsCode(err, "webhook.invalid") {
		t.Errorf("an overlap of eight days: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	b := setup(t, loopback)
	who, other := b.tenant(), b.tenant()
	viewer := auth.Principal{Kind: auth.KindMember, Role: auth.Editor, Tenant: who.Tenant}
	e, _, err := b.manager.Create(b.ctx, who, "Back end", "https://example.com/a", nil)
	b.must(err)
	name, url := "Ledger", "nowhere"
	if _, err := b.manager.Change(b.ctx, who, e.ID, 7, notify.Change{Name: &name}); !fault.IsCode(err, "webhook.version_stale") {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := b.manager.Change(b.ctx, who, e.ID, 1, notify.Change{URL: &url}); !fault.IsCode(err, "webhook.invalid") {
		t.Errorf("an address that is none: %v", err)
	}
	changed, err := b.manager.Change(b.ctx, who, e.ID, 1, notify.Change{Name: &name})
	if err != nil || changed.Name != name || changed.Version != 2 {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	for what, err := range map[string]error{
		"get": func() error { _, err := b.manager.Get(b.ctx, other, e.ID); return err }(),
		"change": func() error {
			_, err := b.manager.Change(b.ctx, other, e.ID, 0, notify.Change{Name: &name})
			return err
		}(),
		"rotate": func() error { _, _, err := b.manager.Rotate(b.ctx, other, e.ID, 0); return err }(),
		"test":   func() error { _, err := b.manager.Test(b.ctx, other, e.ID); return err }(),
		"remove": b.manager.Remove(b.ctx, other, e.ID, 0),
		"list": func() error {
			_, err := b.manager.Deliveries(b.ctx, other, notify.DeliveryQuery{Endpoint: e.ID, Limit: 1})
			return err
		}(),
	} {
		if !fault.IsCode(err, "webhook.not_found") {
			t.Errorf("%s by another tenant: %v", what, err)
		}
	}
	if _, err := b.manager.List(b.ctx, viewer); !fault.IsCode(err, "auth.forbidden") {
		t.Errorf("an editor lists them: %v", err)
	}
	for i := len(must(b.manager.List(b.ctx, who))); i < notify.MaxEndpoints; i++ {
		_, _, err := b.manager.Create(b.ctx, who, "Back end", "https://example.com/a", nil)
		b.must(err)
	}
	if _, _, err := b.manager.Create(b.ctx, who, "One more", "https://example.com/a", nil); !fault.IsCode(err, "webhook.too_many") {
		t.Errorf("one more: %v", err)
	}
	b.must(b.manager.Remove(b.ctx, who, e.ID, 2))
	if _, err := b.manager.Get(b.ctx, who, e.ID); !fault.IsCode(err, "webhook.not_found") {
		t.Errorf("after removing it: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
