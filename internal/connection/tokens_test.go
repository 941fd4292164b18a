// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// env is what an open system of the connection is lent.
func (b *bench) env(ref string) connector.Env {
	b.t.Helper()
	system, _, err := b.Open(b.t.Context(), b.id, ref, connector.Env{Consumer: "svc_1"})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := system.Close(); err != nil {
		b.t.Error(err)
	}
	_, env := b.probe.last(b.t)
	return env
}

// Fifty workers, each with the connection opened by itself as other processes do, find that the token has ended: one asks for a new
// one, and all use what it brought, rotated refresh token included.
func TestOneRenewalForAll(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("crm", connector.Settings{"host": "h"})
	var asked atomic.Int64
	get := func(_ context.Context, kept map[string]string) (map[string]string, error) {
		n := asked.Add(1)
		if want := ""; n == 2 && kept["refresh_token"] != "refresh-1" {
			t.Errorf("asked with %q, want %q", kept["refresh_token"], want)
		}
		return map[string]string{"access_token": fmt.Sprintf("token-%d", n), "refresh_token": fmt.Sprintf("refresh-%d", n)}, nil
	}
	stale := ""
	for round := 1; round <= 2; round++ {
		var all sync.WaitGroup
		for range 50 {
			creds := b.env("crm").Credentials
			all.Go(func() {
				got, err := creds.Renew(t.Context(), stale, get)
				if err != nil || got["access_token"] != fmt.Sprintf("token-%d", round) {
					t.Errorf("round %d: got %v, %v", round, got, err)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != int64(round) {
			t.Fatalf("after round %d the system was asked %d times", round, n)
		}
		stale = fmt.Sprintf("token-%d", round)
	}
	// Sealed, and there for whoever comes later.
	var stored string
	if err := b.ownerRow(`SELECT encode(sealed, 'escape') FROM connection_tokens WHERE connection_id = $1`, &stored, c.ID.String()); err != nil || stored == "" || strings.Contains(stored, "token-") {
		t.Errorf("stored is %q, %v", stored, err)
	}
	if kept, err := b.env("crm").Credentials.Load(t.Context()); err != nil || kept["refresh_token"] != "refresh-2" {
		t.Errorf("kept is %v, %v", kept, err)
	}
	// Other credentials: what was bought with the old ones goes.
	if _, err := b.Update(t.Context(), b.who, "crm", connection.Change{Settings: connector.Settings{"host": "h2"}}); err != nil {
		t.Fatal(err)
	}
	if kept, err := b.env("crm").Credentials.Load(t.Context()); err != nil || kept != nil {
		t.Errorf("after new settings kept is %v, %v", kept, err)
	}
}

// Who is cut off between the answer and keeping it leaves a claim that runs out; the next one asks, and a refusal says what happened.
func TestRenewalCutOff(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("crm", connector.Settings{"host": "h"})
	creds := b.env("crm").Credentials
	ctx, cancel := context.WithCancel(t.Context())
	// The caller goes away while the system answers: the answer is kept all the same.
	if _, err := creds.Renew(ctx, "", func(context.Context, map[string]string) (map[string]string, error) {
		cancel()
		return map[string]string{"access_token": "a1", "refresh_token": "r1"}, nil
	}); err != nil {
		t.Errorf("cut off by its caller: %v", err)
	}
	if kept, err := b.env("crm").Credentials.Load(t.Context()); err != nil || kept["refresh_token"] != "r1" {
		t.Errorf("kept is %v, %v", kept, err)
	}
	// A process that died holds a claim which ran out.
	if err := b.ownerRow(`UPDATE connection_tokens SET claim = gen_random_uuid(), claimed_until = now() - interval '1 second' WHERE connection_id = $1 RETURNING 'x'`, new(string), c.ID.String()); err != nil {
		t.Fatal(err)
	}
	_, err := b.env("crm").Credentials.Renew(t.Context(), "a1", func(_ context.Context, kept map[string]string) (map[string]string, error) {
		if kept["refresh_token"] != "r1" {
			t.Errorf("asked with %v", kept)
		}
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.authorization_ended", Message: "Authorize again."}
	})
	if e := connector.Classify(err); e.Class != connector.Reconnect || !strings.Contains(e.Message, "cut off") {
		t.Errorf("the refusal is %v", err)
	}
	// The claim ended with it: the next one need not wait.
	if got, err := b.env("crm").Credentials.Renew(t.Context(), "a1", func(context.Context, map[string]string) (map[string]string, error) {
		return map[string]string{"access_token": "a2"}, nil
	}); err != nil || got["access_token"] != "a2" {
		t.Errorf("the next got %v, %v", got, err)
	}
}

// What a vendor tells is kept once, in order, and wakes whoever waits for it.
func TestHints(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("crm", connector.Settings{"host": "h"})
	if b.env("crm").Hints != nil {
		t.Error("nothing was ever told, and there are hints")
	}
	tell := func(messages []string, keys ...record.Key) (added int) {
		t.Helper()
		var list []connector.Hint
		for _, k := range keys {
			list = append(list, connector.Hint{Object: "contacts", Key: k})
		}
		if err := b.inTx()(t.Context(), b.id, func(tx connection.Tx) (err error) {
			added, err = tx.AddHints(t.Context(), c.ID, list, messages)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return added
	}
	if n := tell([]string{"m1", "m2", "m1"}, "1", "2", "1"); n != 2 {
		t.Errorf("%d were added", n)
	}
	hints := b.env("crm").Hints
	woken := make(chan struct{}, 10)
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		over <- hints.Wait(ctx, []record.Object{"contacts"}, func(record.Object) { woken <- struct{}{} })
	}()
	<-woken // it listens
	if n := tell([]string{"m2", "m3", "", ""}, "2", "3", "4", "4"); n != 3 {
		t.Errorf("then %d were added", n)
	}
	b.Heard(c.ID.String())
	<-woken
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	last, err := hints.Last(t.Context())
	list, err2 := hints.After(t.Context(), "contacts", 2, 10)
	if err != nil || err2 != nil || last != 5 || len(list) != 3 || list[0].Seq != 3 || list[0].Key != "3" || list[2].Key != "4" {
		t.Errorf("the last is %d, then %v, %v %v", last, list, err, err2)
	}
}

// Two processes, each with a pool of its own on one database, and a vendor whose refresh tokens are good once: used a second time, everything
// that came of them ends. Fifty workers find their token ended at the same time, twice; one refreshes each time, and all go on.
func TestOneRenewalOverProcesses(t *testing.T) {
	b := setUp(t, connection.GuardOptions{AllowLoopback: true})
	vendor := &once{grants: map[string]bool{"refresh-0": true}}
	server := httptest.NewServer(vendor)
	defer server.Close()
	process := func(db *store.DB) *connection.Manager {
		m, err := manifest.Parse([]byte(strings.ReplaceAll(onceManifest, "BASE", server.URL)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := manifest.New(m, manifest.Hooks{}, transport.NewPool())
		if err != nil {
			t.Fatal(err)
		}
		g, err := connection.NewGuard(connection.GuardOptions{AllowLoopback: true})
		if err != nil {
			t.Fatal(err)
		}
		return connection.NewManager(store.InTx(db, func(tx *store.Tx) connection.Tx { return tx }), connector.NewRegistry(c), b.vault, b.secrets, service.Expand, g)
	}
	processes := []*connection.Manager{process(b.db), process(storetest.Open(t, b.url, nil))}
	if _, err := processes[0].Create(t.Context(), b.who, connection.New{Name: "strict", Connector: "once", Settings: connector.Settings{"clientId": "app", "clientSecret": "s", "refreshToken": "refresh-0"}}); err != nil {
		t.Fatal(err)
	}
	var systems []connector.System
	for i := range 50 {
		system, _, err := processes[i%2].Open(t.Context(), b.id, "strict", connector.Env{Consumer: fmt.Sprintf("svc_%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = system.Close() }()
		systems = append(systems, system)
	}
	for round := 1; round <= 3; round++ {
		var all sync.WaitGroup
		for _, s := range systems {
			all.Go(func() {
				if err := s.Check(t.Context()); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		vendor.mu.Lock()
		if vendor.asked != round || vendor.stolen {
			t.Errorf("after round %d a token was asked for %d times; used twice: %v", round, vendor.asked, vendor.stolen)
		}
		vendor.good = "" // it ends
		vendor.mu.Unlock()
	}
}

const onceManifest = `manifest: 1
type: once
title: Once
summary: A vendor whose refresh tokens are good once.
settings:
  - {name: clientId, title: Client id, doc: "Of the app."}
  - {name: clientSecret, title: Secret, doc: "Of the app.", secret: true}
  - {name: refreshToken, title: Refresh token, doc: "The first.", secret: true}
baseUrl: BASE
auth:
  - {kind: oauth2, authorizeUrl: BASE/authorize, tokenUrl: BASE/token, clientId: "{settings.clientId}", clientSecret: "{settings.clientSecret}", refreshToken: "{settings.refreshToken}"}
check: {path: /things}
errors: {rules: [{status: [401], class: renew}]}
objects:
  things:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`

// once is that vendor.
type once struct {
	mu     sync.Mutex
	grants map[string]bool // refresh tokens; false was used
	good   string          // the access token
	asked  int
	stolen bool
}

func (v *once) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.URL.Path != "/token" {
		if v.good == "" || r.Header.Get("Authorization") != "Bearer "+v.good {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`[]`))
		return
	}
	given := r.FormValue("refresh_token")
	fresh, known := v.grants[given]
	if !fresh {
		v.stolen = v.stolen || known
		clear(v.grants)
		v.good = ""
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	v.asked++
	v.grants[given], v.grants[fmt.Sprintf("refresh-%d", v.asked)] = false, true
	v.good = fmt.Sprintf("token-%d", v.asked)
	fmt.Fprintf(w, `{"access_token":%q,"refresh_token":"refresh-%d","expires_in":3600}`, v.good, v.asked)
}
