// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

const talker = `manifest: 1
type: talker
title: Talker
summary: A vendor that tells of changes.
settings:
  - {name: webhookSecret, title: Webhook secret, secret: true, doc: "What it signs with."}
baseUrl: BASE
check: {path: /things}
objects:
  things:
    native: thing
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
  parts:
    native: part
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
webhook:
  verify:
    - {kind: hmac, header: X-Hook-Signature, encoding: hex, secret: "{settings.webhookSecret}"}
  handshake: {kind: echoHeader, name: X-Hook-Secret, learn: true}
  subscribe:
    perObject: true
    create: {method: POST, path: /hooks, body: {object: "{native}", to: "{callback}", until: "{expires}"}}
    id: id
    lasts: 72h
    renew: {method: PUT, path: "/hooks/{subscription}", body: {until: "{expires}"}}
    delete: {method: DELETE, path: "/hooks/{subscription}"}
  events: events
  type: type
  key: id
  objects: {thing: things, part: parts}
`

// vendor is the other side: it hands its secret over at the address before it answers, and forgets when it is told to.
type vendor struct {
	b       *bench
	mu      sync.Mutex
	calls   []string
	hooks   map[string]string // until when, by id
	made    int
	refuses bool
	secret  string
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in struct{ Object, To, Until string }
	_ = json.NewDecoder(r.Body).Decode(&in) // a look has no body
	id := strings.TrimPrefix(r.URL.Path, "/hooks/")
	switch {
	case r.URL.Path == "/things":
		_, _ = w.Write([]byte(`[]`))
		return
	case v.refuses:
		w.WriteHeader(http.StatusForbidden)
		return
	}
	v.calls = append(v.calls, r.Method+" "+strings.TrimSpace(strings.TrimPrefix(r.URL.Path, "/hooks")+" "+in.Object))
	switch _, there := v.hooks[id]; {
	case r.Method == http.MethodPost:
		said, err := v.b.Receive(r.Context(), v.b.id, "talk", connector.Inbound{Method: http.MethodPost, URL: in.To, Header: http.Header{"X-Hook-Secret": {v.secret}}})
		if err != nil || said.Header["X-Hook-Secret"] != v.secret {
			v.b.t.Errorf("at its handshake the vendor hears %+v, %v", said, err)
		}
		v.made++
		id = fmt.Sprint(v.made)
		v.hooks[id] = in.Until
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":%q}`, id)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(v.hooks, id)
	default:
		v.hooks[id] = in.Until
		_, _ = w.Write([]byte(`{}`))
	}
}

// did are the calls since it was last asked.
func (v *vendor) did() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := strings.Join(v.calls, ", ")
	v.calls = nil
	return out
}

func newVendor(t *testing.T) (*bench, *vendor, connector.Connector) {
	t.Helper()
	b := setUp(t, connection.GuardOptions{AllowLoopback: true})
	v := &vendor{b: b, hooks: map[string]string{}, secret: "from-the-vendor"}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	m, err := manifest.Parse([]byte(strings.ReplaceAll(talker, "BASE", server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := manifest.New(m, manifest.Hooks{}, transport.NewPool())
	if err != nil {
		t.Fatal(err)
	}
	b.restart(connection.GuardOptions{AllowLoopback: true}, c.WithWebhooks())
	if _, err := b.Create(t.Context(), b.who, connection.New{Name: "talk", Connector: "talker"}); err != nil {
		t.Fatal(err)
	}
	return b, v, c
}

// restart makes the operations anew, as another process would, with more connectors and a public address.
func (b *bench) restart(guard connection.GuardOptions, more ...connector.Connector) {
	b.t.Helper()
	g, err := connection.NewGuard(guard)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Manager = connection.NewManager(b.inTx(), connector.NewRegistry(append(more, b.probe)...), b.vault, b.secrets, service.Expand, g).WithInbound("https://sync.example.com/")
}

func (b *bench) carry(consumer string) {
	b.t.Helper()
	system, _, err := b.OpenToListen(b.t.Context(), b.id, "talk", connector.Env{Consumer: consumer, Detection: "auto"})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := system.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) listening() *connection.Listening {
	b.t.Helper()
	l, err := b.Listening(b.t.Context(), b.who, "talk")
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// heard says whether a message that is signed with the secret is taken.
func (b *bench) heard(secret string) error {
	body := []byte(`{"events":[{"type":"thing","id":"7"}]}`)
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write(body)
	v, err := b.Receive(b.t.Context(), b.id, "talk", connector.Inbound{Method: http.MethodPost, URL: "https://sync.example.com/hooks", Header: http.Header{"X-Hook-Signature": {hex.EncodeToString(sum.Sum(nil))}}, Body: body})
	if err == nil && len(v.Hints) != 1 {
		b.t.Errorf("it tells of %v", v.Hints)
	}
	return err
}

func (b *bench) audited() string {
	b.t.Helper()
	var text string
	if err := b.ownerRow(`SELECT coalesce(string_agg(replace(action, 'connection.', ''), ' ' ORDER BY seq), '') FROM audit_log WHERE action LIKE 'connection.%subscri%' AND actor_id = $1`, &text, "subscriptions"); err != nil {
		b.t.Fatal(err)
	}
	return text
}

// A subscription is made for each kind of records when the first service listens, the secret that the vendor hands over meanwhile is kept,
// it is renewed before it ends, made anew where the vendor forgot it, and ended when the last service goes.
func TestASubscriptionIsMadeRenewedAndEnded(t *testing.T) {
	b, v, c := newVendor(t)
	if l := b.listening(); l != nil {
		t.Fatalf("before anybody listens there is %+v", l)
	}
	b.carry("svc_1")
	if did := v.did(); did != "POST part, POST thing" {
		t.Errorf("asked was %q", did)
	}
	l := b.listening()
	if l == nil || l.State() != connection.Active || l.Since == nil || l.EndsAt == nil || l.RenewAt == nil || l.Reason != "" || l.Sealed != nil || !strings.HasPrefix(l.Callback, "https://sync.example.com/hooks/ten_") {
		t.Fatalf("there is %+v", l)
	}
	if left, renew := time.Until(*l.EndsAt), time.Until(*l.RenewAt); left < 71*time.Hour || left > 72*time.Hour || renew < 47*time.Hour || renew > 48*time.Hour {
		t.Errorf("it ends in %s and is renewed in %s", left, renew)
	}
	if until := v.hooks["1"]; until != l.EndsAt.UTC().Format(time.RFC3339) {
		t.Errorf("the vendor heard %s, kept is %s", until, l.EndsAt)
	}
	// What signed the messages came through the address into the database, sealed, and counts in every process.
	b.restart(connection.GuardOptions{}, c)
	if err := b.heard("from-the-vendor"); err != nil {
		t.Errorf("a message signed with the learnt secret gets %v", err)
	}
	if err := b.heard("somebody-else"); !fault.IsCode(err, "webhook.unverified") {
		t.Errorf("a message signed otherwise gets %v", err)
	}
	var plain bool
	if err := b.ownerRow(`SELECT bool_or(position('from-the-vendor'::bytea in sealed) > 0) AND $1 <> '' FROM connection_subscriptions`, &plain, "x"); err != nil || plain {
		t.Errorf("the secret lies open: %v, %v", plain, err)
	}
	// Once it is made, nobody can slip another secret in.
	if _, err := b.Receive(t.Context(), b.id, "talk", connector.Inbound{Method: http.MethodPost, URL: l.Callback, Header: http.Header{"X-Hook-Secret": {"slipped-in"}}}); err != nil {
		t.Fatal(err)
	}
	b.restart(connection.GuardOptions{AllowLoopback: true}, c)

	// Nothing is asked before it is time. Then one is lengthened, and the one that somebody deleted over there is made anew.
	look := func() {
		t.Helper()
		if c, err := b.Test(t.Context(), b.who, "talk"); err != nil || c.State != connection.Healthy {
			t.Fatalf("it is %s: %s, %v", c.State, c.Reason, err)
		}
	}
	look()
	if did := v.did(); did != "" {
		t.Errorf("too soon asked was %q", did)
	}
	v.mu.Lock()
	delete(v.hooks, "2")
	v.mu.Unlock()
	due := func() { b.run(`UPDATE connection_subscriptions SET renew_at = now() - interval '1 second'`) }
	due()
	look()
	if did := v.did(); did != "PUT /1, PUT /2, POST thing" {
		t.Errorf("to renew it asked was %q", did)
	}
	if l = b.listening(); l.State() != connection.Active || time.Until(*l.RenewAt) < 47*time.Hour || len(v.hooks) != 2 {
		t.Errorf("renewed it is %+v, the vendor has %v", l, v.hooks)
	}
	if err := b.heard("from-the-vendor"); err != nil {
		t.Errorf("after the renewal a message gets %v", err)
	}
	if err := b.heard("slipped-in"); !fault.IsCode(err, "webhook.unverified") {
		t.Errorf("with the secret that was slipped in it gets %v", err)
	}
	// The vendor refuses: that is said, what there is stays, and it is asked again after some minutes.
	v.refuses = true
	due()
	look()
	if l = b.listening(); l.State() != connection.Failing || l.Reason == "" || l.Since == nil || l.EndsAt == nil || time.Until(*l.RenewAt) > 10*time.Minute || time.Until(*l.RenewAt) < 9*time.Minute {
		t.Errorf("refused it is %+v", l)
	}
	if err := b.heard("from-the-vendor"); err != nil {
		t.Errorf("while the renewal fails a message gets %v", err)
	}
	v.refuses = false
	due()
	look()
	if l = b.listening(); l.State() != connection.Active || l.Reason != "" {
		t.Errorf("then it is %+v", l)
	}
	v.did()
	// Another service listens, too; the last one that goes ends it.
	b.carry("svc_2")
	if l = b.listening(); !slices.Equal(l.Consumers, []string{"svc_1", "svc_2"}) {
		t.Errorf("%v listen", l.Consumers)
	}
	v.did()
	if err := b.Leave(t.Context(), b.id, "talk", "svc_1"); err != nil || v.did() != "" || b.listening() == nil {
		t.Errorf("the first that goes ended it: %v", err)
	}
	if err := b.Leave(t.Context(), b.id, "talk", "svc_2"); err != nil || v.did() != "DELETE /1, DELETE /3" || len(v.hooks) != 0 || b.listening() != nil {
		t.Errorf("the last that goes leaves %v with the vendor, %v", v.hooks, err)
	}
	if got := b.audited(); got != "subscribed subscription_renewed subscription_renewed subscription_renewed unsubscribed" {
		t.Errorf("audited is %q", got)
	}
}

// A vendor that refuses is not asked by every service that starts, the reason is said, and when it agrees at last it tells.
func TestASubscriptionThatIsRefused(t *testing.T) {
	b, v, _ := newVendor(t)
	v.refuses = true
	b.carry("svc_1")
	b.carry("svc_1")
	l := b.listening()
	if l == nil || l.State() != connection.Failing || !strings.Contains(l.Reason, "rights") && !strings.Contains(l.Reason, "allow") || l.Since != nil || l.EndsAt != nil {
		t.Fatalf("there is %+v", l)
	}
	if got := b.audited(); got != "" {
		t.Errorf("audited is %q", got)
	}
	v.refuses = false
	b.carry("svc_1")
	if did := v.did(); did != "" {
		t.Errorf("some minutes too soon asked was %q", did)
	}
	b.run(`UPDATE connection_subscriptions SET renew_at = now() - interval '1 second'`)
	b.carry("svc_1")
	if l = b.listening(); l.State() != connection.Active || b.audited() != "subscribed" || b.heard("from-the-vendor") != nil {
		t.Errorf("then it is %+v, audited %q", l, b.audited())
	}
}

// A person renews, pauses and resumes a subscription: the vendor is asked at once, a pause outlasts the services and is kept from nobody but
// a person, and each act stands in the audit log under their name.
func TestASubscriptionIsSeenToByHand(t *testing.T) {
	b, v, _ := newVendor(t)
	if _, err := b.RenewSubscription(t.Context(), b.who, "talk"); !fault.IsCode(err, "connection.not_subscribed") {
		t.Errorf("without a subscription it is %v", err)
	}
	b.carry("svc_1")
	v.did()
	l, err := b.RenewSubscription(t.Context(), b.who, "talk")
	if err != nil || l.State() != connection.Active || v.did() != "PUT /1, PUT /2" {
		t.Fatalf("renewed it is %+v, %v", l, err)
	}
	if l, err = b.PauseSubscription(t.Context(), b.who, "talk"); err != nil || l.State() != connection.Paused || l.PausedAt == nil || l.Since != nil || v.did() != "DELETE /1, DELETE /2" || len(v.hooks) != 0 {
		t.Fatalf("paused it is %+v, %v; the vendor has %v", l, err, v.hooks)
	}
	if err := b.heard("from-the-vendor"); !fault.IsCode(err, "webhook.unverified") {
		t.Errorf("while it rests a message gets %v", err)
	}
	if _, err := b.RenewSubscription(t.Context(), b.who, "talk"); !fault.IsCode(err, "connection.subscription_paused") {
		t.Errorf("to renew what rests is %v", err)
	}
	if l, err = b.PauseSubscription(t.Context(), b.who, "talk"); err != nil || l.State() != connection.Paused || v.did() != "" {
		t.Errorf("paused twice it is %+v, %v", l, err)
	}
	b.carry("svc_2") // others that would listen
	if err := b.Leave(t.Context(), b.id, "talk", "svc_1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Leave(t.Context(), b.id, "talk", "svc_2"); err != nil {
		t.Fatal(err)
	}
	b.carry("svc_3")
	if _, err := b.Test(t.Context(), b.who, "talk"); err != nil {
		t.Fatal(err)
	}
	if l = b.listening(); l == nil || l.State() != connection.Paused || !slices.Equal(l.Consumers, []string{"svc_3"}) || v.did() != "" {
		t.Fatalf("after services came and went it is %+v", l)
	}
	if l, err = b.ResumeSubscription(t.Context(), b.who, "talk"); err != nil || l.State() != connection.Active || v.did() != "POST part, POST thing" || b.heard("from-the-vendor") != nil {
		t.Fatalf("resumed it is %+v, %v", l, err)
	}
	// A vendor that refuses: a renewal says so, and a pause does not come about.
	v.mu.Lock()
	v.refuses = true
	v.mu.Unlock()
	if l, err = b.RenewSubscription(t.Context(), b.who, "talk"); err != nil || l.State() != connection.Failing || l.Reason == "" {
		t.Errorf("refused it is %+v, %v", l, err)
	}
	if _, err = b.PauseSubscription(t.Context(), b.who, "talk"); fault.KindOf(err) != fault.Conflict || b.listening().State() != connection.Failing {
		t.Errorf("a pause that is refused is %v, then %s", err, b.listening().State())
	}
	v.mu.Lock()
	v.refuses = false
	v.mu.Unlock()
	// Paused and resumed while nobody listens: the next that does asks.
	if _, err = b.PauseSubscription(t.Context(), b.who, "talk"); err != nil {
		t.Fatal(err)
	}
	if err := b.Leave(t.Context(), b.id, "talk", "svc_3"); err != nil {
		t.Fatal(err)
	}
	v.did()
	if l, err = b.ResumeSubscription(t.Context(), b.who, "talk"); err != nil || l != nil || v.did() != "" {
		t.Errorf("resumed with nobody there it is %+v, %v", l, err)
	}
	b.carry("svc_4")
	if l = b.listening(); l == nil || l.State() != connection.Active || v.did() != "POST part, POST thing" {
		t.Errorf("then it is %+v", l)
	}
	viewer := auth.Principal{Kind: auth.KindMember, Tenant: b.id, Role: auth.Viewer}
	if _, err := b.PauseSubscription(t.Context(), viewer, "talk"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a viewer gets %v", err)
	}
	var did string
	if err := b.ownerRow(`SELECT string_agg(replace(action, 'connection.subscription_', '') || coalesce(' ' || (detail->>'state'), ''), ', ' ORDER BY seq) FROM audit_log WHERE action LIKE 'connection.subscription_%' AND actor_id <> $1`, &did, "subscriptions"); err != nil {
		t.Fatal(err)
	}
	if did != "renewed active, paused paused, resumed active, renewed failing, paused paused, resumed" {
		t.Errorf("audited is %q", did)
	}
}

// Who waits for what the vendor tells hears at once that a person paused it, and so does not wait for the next minute to look; whoever opens the
// connection then has nothing to wait for, even where the document asks to be told.
func TestAPauseIsHeardAtOnce(t *testing.T) {
	b, _, _ := newVendor(t)
	b.carry("svc_1")
	open := func(detection string) (connector.System, bool) {
		system, _, err := b.Open(t.Context(), b.id, "talk", connector.Env{Consumer: "svc_1", Detection: detection})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = system.Close() }) // nothing was written through it
		_, told := system.(connector.Watcher)
		return system, told
	}
	system, told := open("auto")
	if !told {
		t.Fatal("there is nothing to wait for")
	}
	awake, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() {
		ended <- system.(connector.Watcher).Watch(t.Context(), []record.Object{"things"}, func(record.Object) { awake <- struct{}{} })
	}()
	<-awake
	if err := b.heard("from-the-vendor"); err != nil {
		t.Fatal(err)
	}
	b.Heard("") // what the program does when the database says so
	<-awake
	if _, err := b.PauseSubscription(t.Context(), b.who, "talk"); err != nil {
		t.Fatal(err)
	}
	b.Heard("")
	if err := <-ended; connector.Classify(err).Code != "connection.subscription_paused" || connector.Classify(err).Class != connector.Retry {
		t.Errorf("waiting ends with %v", err)
	}
	for _, detection := range []string{"auto", "webhook"} {
		if _, told := open(detection); told {
			t.Errorf("with %s it waits to be told", detection)
		}
	}
	if _, err := b.ResumeSubscription(t.Context(), b.who, "talk"); err != nil {
		t.Fatal(err)
	}
	if _, told := open("auto"); !told {
		t.Error("resumed, there is nothing to wait for")
	}
}
