// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// While the first address cannot be reached calls go to the second, which the health shows; after a minute the first is tried again.
func TestSecondAddress(t *testing.T) {
	t.Parallel()
	var first, second atomic.Int64
	serve := func(n *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			_, _ = w.Write([]byte(`{}`))
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close() // nobody listens there yet
	two := httptest.NewServer(serve(&second))
	defer two.Close()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	o := dialled(t, thingsWith("http://"+address, "settings: [{name: second}]\nsecondUrl: \"{settings.second}\"\n"), &transport.Pool{Now: func() time.Time { return now }}, connector.Settings{"second": two.URL}, connector.Env{})
	sys, err := o.c.Open(t.Context(), o.settings, o.env)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	for range 2 {
		if err := sys.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if g := sys.(connector.Gauged).Gauges(); second.Load() != 2 || g.Endpoint != two.URL {
		t.Errorf("the second had %d calls, the gauges say %+v", second.Load(), g)
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	one := httptest.NewUnstartedServer(serve(&first))
	_ = one.Listener.Close()
	one.Listener = listener
	one.Start()
	defer one.Close()
	if err := sys.Check(t.Context()); err != nil || first.Load() != 0 {
		t.Errorf("the first is tried too soon: %v", err)
	}
	now = now.Add(time.Minute)
	if err := sys.Check(t.Context()); err != nil || first.Load() != 1 {
		t.Errorf("the first is not tried again: %v", err)
	}
	if g := sys.(connector.Gauged).Gauges(); g.Endpoint != "" {
		t.Errorf("the gauges say %+v", g)
	}
	two.Close()
	one.Close()
	if err := sys.Check(t.Context()); connector.Classify(err).Code != "http.unreachable" {
		t.Errorf("with neither there: %v", err)
	}
}

// Two tenants at one address without a secret are two accounts: the calls of one leave the other's budget alone.
func TestTenantsWithoutSecretsShareNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	defer server.Close()
	pool := &transport.Pool{Now: func() time.Time { return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) }}
	source := thingsWith(server.URL, "limits: [{calls: 1, per: 1h}]\n")
	for _, space := range []bool{false, true} {
		for _, tenant := range []string{"a", "b"} {
			var o *opened
			if o = dialled(t, source, pool, nil, connector.Env{Tenant: tenant}); space {
				own, err := manifest.NewOwn([]byte(source), tenant, pool)
				if err != nil {
					t.Fatal(err)
				}
				o.c = own
			}
			if err := o.check(); err != nil {
				t.Errorf("%s: %v", tenant, err)
			}
			if err := o.check(); connector.Classify(err).Code != "http.budget" {
				t.Errorf("%s: the second call gives %v", tenant, err)
			}
		}
	}
}

// A call takes of the budget what its manifest says that it costs.
func TestCostOfCalls(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	defer server.Close()
	pool := &transport.Pool{Now: func() time.Time { return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) }}
	o := dialled(t, `manifest: 1
type: things
title: Things
summary: Things.
baseUrl: `+server.URL+`
check: {path: /, cost: 4}
limits: [{calls: 10, per: 1h}]
objects:
  things: {key: [id], fields: [{name: id}], list: {request: {path: /things}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/things/{key}"}}}
`, pool, nil, connector.Env{})
	for i := range 3 {
		if err := o.check(); (err != nil) != (i == 2) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
