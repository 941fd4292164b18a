// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// nobody is the port of an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// While nobody answers at the first host the second serves, for statements and for streams, and the health says so.
func TestSecondHost(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	mustExec(t, openDB(t, raw), `CREATE TABLE thing (id int PRIMARY KEY)`, `INSERT INTO thing VALUES (1)`)
	reachable := settings(t, raw)
	s, err := postgres.New().Spec().Check(with(with(reachable, "port", nobody(t)), "secondHost", net.JoinHostPort(reachable["host"], reachable["port"])))
	if err != nil {
		t.Fatal(err)
	}
	s["table"] = "thing"
	sys, err := postgres.New().Open(t.Context(), s, env)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	gauges := sys.(connector.Gauged).Gauges
	if g := gauges(); g.Endpoint != "" {
		t.Errorf("before anything was asked it is %+v", g)
	}
	if err := sys.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := gauges(); g.Endpoint != s["secondHost"] {
		t.Errorf("the health shows %q", g.Endpoint)
	}
	ctx, stop := context.WithCancel(t.Context())
	woken, ended := make(chan record.Object, 10), make(chan error, 1)
	go func() {
		ended <- sys.(connector.Watcher).Watch(ctx, []record.Object{"thing"}, func(o record.Object) { woken <- o })
	}()
	await(t, woken)
	stop()
	<-ended
	// With one that answers the second is left alone; one that nobody answers at helps nobody.
	both, err := postgres.New().Open(t.Context(), with(reachable, "secondHost", "127.0.0.1:"+nobody(t)), env)
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	if err := both.Check(t.Context()); err != nil || both.(connector.Gauged).Gauges().Endpoint != "" {
		t.Errorf("with a first that answers: %v", err)
	}
	none, err := postgres.New().Open(t.Context(), with(with(reachable, "port", nobody(t)), "secondHost", "127.0.0.1:"+nobody(t)), env)
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if e := connector.Classify(none.Check(t.Context())); e == nil || e.Code != "postgresql.unreachable" || e.Class != connector.Retry {
		t.Errorf("with none that answers: %v", e)
	}
}

// No more connections are made than the settings allow, whoever needs them.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	spec := postgres.New().Spec()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE thing (id int PRIMARY KEY)`)
	for _, n := range []string{"1", "51", "many"} {
		if _, err := spec.Check(with(settings(t, raw), "maxConnections", n)); err == nil {
			t.Errorf("%s is taken", n)
		}
	}
	s, err := spec.Check(with(settings(t, raw), "maxConnections", "2"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := spec.Check(settings(t, raw)); err != nil || d["maxConnections"] != "3" {
		t.Errorf("the default is %q, %v", d["maxConnections"], err)
	}
	var mu sync.Mutex
	dialled := 0
	e := env
	e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		dialled++
		mu.Unlock()
		return env.Dial(ctx, network, address)
	}
	sys, err := postgres.New().Open(t.Context(), s, e)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := sys.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if dialled < 1 || dialled > 2 {
		t.Errorf("%d connections were made", dialled)
	}
}
