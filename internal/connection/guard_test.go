// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
)

// names is a resolver with a fixed book. A name with several entries gives the next one at each look-up: rebinding.
type names struct {
	book  map[string][]string
	looks map[string]int
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers, ok := n.book[strings.ToLower(strings.TrimSuffix(host, "."))]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if n.looks == nil {
		n.looks = map[string]int{}
	}
	answer := answers[min(n.looks[host], len(answers)-1)]
	n.looks[host]++
	var out []netip.Addr
	for _, a := range strings.Fields(answer) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func code(err error) string {
	var e *connector.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// hostile are places that only this machine or its network can reach, in all the ways to write them that we know of.
var hostile = []string{
	// loopback
	"127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1",
	// this host, this network
	"0.0.0.0", "0.1.2.3", "::", "0.255.255.255",
	// private
	"10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.20.1.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
	// carrier-grade NAT
	"100.64.0.1", "100.100.100.200", "100.127.255.255",
	// link-local, cloud metadata
	"169.254.169.254", "169.254.170.2", "169.254.0.1", "fe80::1", "fe80::a9fe:a9fe", "fe80::1%lo", "fe80::1%1", "::1%lo", "fd00:ec2::254", "fd20:ce::254",
	// unique local, site local
	"fc00::1", "fd00::1", "fdff:ffff::1", "fec0::1",
	// IPv6 forms that hold an IPv4 address
	"::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:0.0.0.0", "::ffff:192.168.1.1",
	"::127.0.0.1", "::7f00:1", "::10.0.0.1", "::a9fe:a9fe",
	"64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::7f00:1",
	"2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "2001::1",
	// multicast, broadcast, reserved
	"224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1", "ff05::2", "ff0e::1",
	// documentation, benchmarking, protocol assignments
	"192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255", "192.0.0.1", "192.0.0.192", "192.88.99.1", "2001:db8::1", "3fff::1",
	// discard-only, dummy
	"100::1", "5f00::1",
	// names
	"localhost", "LOCALHOST", "localhost.", "ip6-localhost", "router.lan", "metadata.google.internal", "db.internal", "127.0.0.1.nip.example",
	"mapped.example", "six.example", "mixed-private.example", "zero.example", "nat64.example",
	// numbers that some resolvers read as addresses
	"2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "10.1", "0", "0177.0.0.1",
}

func hostileNames() *names {
	return &names{book: map[string][]string{
		"localhost": {"127.0.0.1 ::1"}, "ip6-localhost": {"::1"}, "router.lan": {"192.168.1.1"}, "metadata.google.internal": {"169.254.169.254"},
		"db.internal": {"10.4.5.6"}, "127.0.0.1.nip.example": {"127.0.0.1"}, "mapped.example": {"::ffff:127.0.0.1"}, "six.example": {"fd12::3"},
		"mixed-private.example": {"10.0.0.1 fd00::1 127.0.0.1"}, "zero.example": {"0.0.0.0"}, "nat64.example": {"64:ff9b::7f00:1"},
		"2130706433": {"127.0.0.1"}, "0x7f000001": {"127.0.0.1"}, "017700000001": {"127.0.0.1"}, "127.1": {"127.0.0.1"}, "0x7f.1": {"127.0.0.1"},
		"10.1": {"10.0.0.1"}, "0": {"0.0.0.0"}, "0177.0.0.1": {"127.0.0.1"},
	}}
}

// listen accepts on loopback and counts.
func listen(t *testing.T, address string) (port string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, accepted
}

func TestHostileAddressesAreRefused(t *testing.T) {
	if len(hostile) < 60 {
		t.Fatalf("only %d addresses", len(hostile))
	}
	port, accepted := listen(t, "127.0.0.1")
	g, err := NewGuard(GuardOptions{Resolver: hostileNames()})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hostile {
		for _, p := range []string{port, "443", "5432"} {
			conn, err := g.Dial(t.Context(), "tcp", net.JoinHostPort(host, p))
			if err == nil {
				_ = conn.Close()
				t.Fatalf("a connection to %s was opened", host)
			}
			if c := code(err); c != "connection.address_refused" {
				t.Errorf("%s: %s, want connection.address_refused", host, c)
			}
			if connector.Classify(err).Class != connector.Reconnect {
				t.Errorf("%s: class %s; trying again would not help", host, connector.Classify(err).Class)
			}
		}
	}
	for _, network := range []string{"udp", "unix", "ip", "unixgram", "tcp5", ""} {
		if _, err := g.Dial(t.Context(), network, "127.0.0.1:"+port); code(err) != "connection.address_refused" {
			t.Errorf("network %q: %v", network, err)
		}
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
}

// A name that stands for an address that may be reached when it is first looked up, and for another one later. There is no
// gap between looking and connecting: each connection is judged by the address it goes to.
func TestRebindingIsRefused(t *testing.T) {
	port, accepted := listen(t, "127.0.0.1")
	// 127.0.0.2 plays the public address: it is allowed, and something answers there.
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	g, err := NewGuard(GuardOptions{Allow: []string{"127.0.0.2"}, Resolver: &names{book: map[string][]string{"rebind.example": {"127.0.0.2", "127.0.0.1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := g.Dial(t.Context(), "tcp", "rebind.example:"+port)
	if err != nil {
		t.Fatalf("first: %v", err)
	}
	_ = conn.Close()
	if _, err := g.Dial(t.Context(), "tcp", "rebind.example:"+port); code(err) != "connection.address_refused" {
		t.Errorf("second: %v", err)
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
}

func TestAllowedAddresses(t *testing.T) {
	port, accepted := listen(t, "127.0.0.1")
	book := &names{book: map[string][]string{
		"warehouse-db.internal": {"127.0.0.1"}, "other.internal": {"127.0.0.1"}, "both.internal": {"10.9.9.9 127.0.0.1"}, "mapped.internal": {"::ffff:127.0.0.1"},
	}}
	tests := []struct {
		name    string
		options GuardOptions
		host    string
		network string
		open    bool
	}{
		{name: "nothing is allowed by default", host: "127.0.0.1"},
		{name: "loopback for dev", options: GuardOptions{AllowLoopback: true}, host: "127.0.0.1", open: true},
		{name: "loopback by name", options: GuardOptions{AllowLoopback: true}, host: "other.internal", open: true},
		{name: "loopback in its mapped form is loopback", options: GuardOptions{AllowLoopback: true}, host: "mapped.internal", open: true},
		{name: "a range", options: GuardOptions{Allow: []string{"127.0.0.0/24"}}, host: "127.0.0.1", open: true},
		{name: "a range written loosely", options: GuardOptions{Allow: []string{" 127.0.0.77/24 ", ""}}, host: "127.0.0.1", open: true},
		{name: "another range", options: GuardOptions{Allow: []string{"10.0.0.0/8"}}, host: "127.0.0.1"},
		{name: "an address", options: GuardOptions{Allow: []string{"127.0.0.1"}}, host: "127.0.0.1", open: true},
		{name: "another address", options: GuardOptions{Allow: []string{"127.0.0.2"}}, host: "127.0.0.1"},
		{name: "an address in its mapped form", options: GuardOptions{Allow: []string{"::ffff:127.0.0.1"}}, host: "127.0.0.1", open: true},
		{name: "a name", options: GuardOptions{Allow: []string{"Warehouse-DB.internal."}}, host: "warehouse-db.internal", open: true},
		{name: "a name in other letters", options: GuardOptions{Allow: []string{"warehouse-db.internal"}}, host: "WAREHOUSE-db.internal.", open: true},
		{name: "another name for the same address", options: GuardOptions{Allow: []string{"warehouse-db.internal"}}, host: "other.internal"},
		{name: "the second address is allowed", options: GuardOptions{Allow: []string{"127.0.0.1"}}, host: "both.internal", open: true},
		{name: "of its own family", options: GuardOptions{AllowLoopback: true}, host: "127.0.0.1", network: "tcp4", open: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Resolver = book
			g, err := NewGuard(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if tt.network == "" {
				tt.network = "tcp"
			}
			before := accepted.Load()
			conn, err := g.Dial(t.Context(), tt.network, net.JoinHostPort(tt.host, port))
			if err == nil {
				_, _ = io.ReadAll(conn) // until it was counted, or the next case would count it
				_ = conn.Close()
			}
			switch {
			case tt.open && err != nil:
				t.Errorf("refused: %v", err)
			case !tt.open && code(err) != "connection.address_refused":
				t.Errorf("got %v, want connection.address_refused", err)
			case !tt.open && accepted.Load() != before:
				t.Error("a connection arrived")
			}
		})
	}
}

func TestGuardOptionsAreChecked(t *testing.T) {
	for _, entry := range []string{"10.0.0.0/33", "10.0.0.0/8/8", "http://db.internal", "db.internal:5432", "db internal", "fe80::1%eth0", "..", "*"} {
		if _, err := NewGuard(GuardOptions{Allow: []string{entry}}); err == nil {
			t.Errorf("%q was taken", entry)
		} else if !strings.Contains(err.Error(), entry) {
			t.Errorf("%q: the error does not name it: %v", entry, err)
		}
	}
}

func TestUnknownHostsAndMalformedAddresses(t *testing.T) {
	g, err := NewGuard(GuardOptions{Resolver: &names{}})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]struct {
		code  string
		class connector.Class
	}{
		"nowhere.example:5432": {"connection.host_unknown", connector.Reconnect},
		"no-port.example":      {"connection.address_malformed", connector.Reconnect},
		"::1:5432":             {"connection.address_malformed", connector.Reconnect},
	} {
		_, err := g.Dial(t.Context(), "tcp", address)
		if got := connector.Classify(err); got.Code != want.code || got.Class != want.class {
			t.Errorf("%s: %s, class %s, want %s, class %s", address, got.Code, got.Class, want.code, want.class)
		}
	}
	closed, _ := NewGuard(GuardOptions{AllowLoopback: true})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	if got := connector.Classify(func() error { _, err := closed.Dial(t.Context(), "tcp", address); return err }()); got.Code != "connection.unreachable" || got.Class != connector.Retry {
		t.Errorf("a closed port is %s of class %s", got.Code, got.Class)
	}
}
