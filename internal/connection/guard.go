// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/syncline-dev/syncline/internal/connector"
)

// How long opening one network connection may take.
const dialTimeout = 10 * time.Second

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// GuardOptions say what the guard lets through beside public addresses.
type GuardOptions struct {
	// Allow lists what the operator trusts customers to reach inside the own network: ranges ("10.20.0.0/16"), addresses
	// ("10.0.0.5", "fd00::7") and host names ("warehouse-db.internal"), whatever these resolve to.
	Allow []string
	// AllowLoopback lets 127.0.0.0/8 and ::1 through, for `syncline dev`.
	AllowLoopback bool
	// Resolver is asked for host names; nil means the machine's own.
	Resolver Resolver
}

// Guard opens network connections to addresses that customers name, and to no place that only this machine or its
// network can reach: loopback, private ranges, link-local (cloud metadata), carrier-grade NAT, special registries, and
// IPv6 forms that hide an IPv4 address. The address is checked at the moment of connecting, so a name that resolves
// differently the second time, or a redirect, does not get round it. Any port is allowed.
type Guard struct {
	hosts    []string
	resolver Resolver
	guarded  net.Dialer
	trusted  net.Dialer
}

// NewGuard makes a guard. An entry of Allow that cannot be read is an error.
func NewGuard(o GuardOptions) (*Guard, error) {
	g := &Guard{resolver: o.Resolver, trusted: net.Dialer{Timeout: dialTimeout}}
	if g.resolver == nil {
		g.resolver = net.DefaultResolver
	}
	var v4, v6 []netip.Prefix
	add := func(p netip.Prefix) {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	for _, entry := range o.Allow {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if p, err := netip.ParsePrefix(entry); err == nil {
			add(p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(entry); err == nil && a.Zone() == "" {
			a = a.Unmap()
			add(netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if !isHostName(entry) {
			return nil, fmt.Errorf("%q is neither a range such as 10.0.0.0/8, nor an address, nor a host name", entry)
		}
		g.hosts = append(g.hosts, plainHost(entry))
	}
	if o.AllowLoopback {
		add(netip.MustParsePrefix("127.0.0.0/8"))
		add(netip.MustParsePrefix("::1/128"))
	}
	guardian := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	g.guarded = net.Dialer{Timeout: dialTimeout, Control: guardian.Safe}
	return g, nil
}

func isHostName(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return false
		}
	}
	return strings.Trim(s, ".") != ""
}

// plainHost is the form in which host names are compared.
func plainHost(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// Dial connects to "host:port" over tcp, tcp4 or tcp6. A refused address is the connector error
// connection.address_refused of class Reconnect: trying again does not help, a person must change the address.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, refused(address, fmt.Errorf("network %q", network))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.address_malformed",
			Message: fmt.Sprintf("%q is not an address of the form host:port.", address), Err: err}
	}
	dialer := &g.guarded
	if slices.Contains(g.hosts, plainHost(host)) {
		dialer = &g.trusted
	}
	addrs, err := g.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addrs {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		failed = worse(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if prohibited(failed) {
		return nil, refused(address, failed)
	}
	return nil, &connector.Error{Class: connector.Retry, Code: "connection.unreachable",
		Message: fmt.Sprintf("No connection to %s could be opened. Check that the system runs and that its firewall lets this installation in.", address), Err: failed}
}

func (g *Guard) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	family := "ip" + strings.TrimPrefix(network, "tcp")
	addrs, err := g.resolver.LookupNetIP(ctx, family, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		class := connector.Retry
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			class = connector.Reconnect
		}
		return nil, &connector.Error{Class: class, Code: "connection.host_unknown",
			Message: fmt.Sprintf("The host name %q does not resolve to an address. Check its spelling, and that this installation may look it up.", host), Err: err}
	}
	for i := range addrs {
		// Some resolvers answer with ::ffff:10.0.0.1 for an IPv4 address. It is that address, to be judged as such.
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// worse keeps the error to tell of when several addresses failed: an address that may not be reached is not the news
// when another one could have been.
func worse(a, b error) error {
	if a == nil || prohibited(a) && !prohibited(b) {
		return b
	}
	return a
}

func prohibited(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrInvalidHostPort)
}

func refused(address string, err error) error {
	return &connector.Error{Class: connector.Reconnect, Code: "connection.address_refused",
		Message: fmt.Sprintf("%s is not a public address, and this installation does not reach into its own network. Use a public address, or ask the operator to allow this one.", address), Err: err}
}
