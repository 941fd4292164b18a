// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"maps"
	"net"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
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

// While nobody answers at the first host the second serves, for statements and for the log, and the health says so.
func TestSecondHost(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, `CREATE TABLE thing (id int PRIMARY KEY)`, `INSERT INTO thing VALUES (1)`)
	second := net.JoinHostPort(d.settings["host"], d.settings["port"])
	open := func(port, second string) (*system, error) {
		s := maps.Clone(d.settings)
		s["port"], s["secondHost"] = port, second
		sys, err := New().Open(t.Context(), s, connector.Env{Consumer: "svc_test", Detection: byLog})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = sys.Close() })
		return base(sys), sys.Check(t.Context())
	}
	s, err := open(nobody(t), second)
	if err != nil {
		t.Fatal(err)
	}
	if at := s.Gauges().Endpoint; at != second {
		t.Errorf("the health shows %q", at)
	}
	s, err = open(d.settings["port"], "127.0.0.1:"+nobody(t))
	if err != nil || s.Gauges().Endpoint != "" {
		t.Errorf("with a first that answers: %v", err)
	}
	if _, err := open(nobody(t), "127.0.0.1:"+nobody(t)); connector.Classify(err) == nil || connector.Classify(err).Code != "mysql.unreachable" {
		t.Errorf("with none that answers: %v", err)
	}
}

// The pools have as many connections as the settings say.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, `CREATE TABLE thing (id int PRIMARY KEY)`)
	if d.settings["maxConnections"] != "6" {
		t.Errorf("the default is %q", d.settings["maxConnections"])
	}
	for _, n := range []string{"1", "51", "many"} {
		s := maps.Clone(d.settings)
		s["maxConnections"] = n
		if _, err := New().Spec().Check(s); err == nil {
			t.Errorf("%s is taken", n)
		}
	}
	d.settings["maxConnections"] = "2"
	s := d.open()
	if r, w := s.reads.Stats().MaxOpenConnections, s.writes.Stats().MaxOpenConnections; r != 2 || w != 2 {
		t.Errorf("at most %d read and %d write", r, w)
	}
}
