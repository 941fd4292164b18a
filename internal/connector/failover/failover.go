// SPDX-License-Identifier: Apache-2.0

// Package failover reaches a server at the second of two addresses while the first cannot be reached.
package failover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// patience is how long an address may take when there is another one to try.
const patience = 4 * time.Second

// Setting declares the second address.
func Setting() connector.Setting {
	return connector.Setting{Name: "secondHost", Title: "Second host", Kind: connector.Text,
		Doc: "Where to go while the host cannot be reached: name or address, with :port when it is another. It must hold the same data, as a standby that took over does."}
}

// Dialer opens all network connections of one open system: at any time to one of the two addresses, so that nothing is read from one server
// and written to another. It stays with an address until that cannot be reached: a first server that comes back after its standby took over
// can hold old data. (Calls over HTTP, which carry no state, go back by themselves: see secondUrl of a manifest and transport.Options.)
type Dialer struct {
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	addresses [2]string

	mu   sync.Mutex
	at   int // the address that was reached last
	open map[*conn]int
}

// New makes one for a server at host and port whose second address is written as host or host:port.
func New(host, port, second string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Dialer {
	d := &Dialer{dial: dial, open: map[*conn]int{}}
	d.addresses[0] = net.JoinHostPort(host, port)
	if h, p, err := net.SplitHostPort(second); err == nil {
		d.addresses[1] = net.JoinHostPort(h, p)
	} else {
		d.addresses[1] = net.JoinHostPort(second, port)
	}
	return d
}

// Dial opens a connection to the address that counts; which one is asked for is known already.
func (d *Dialer) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	d.mu.Lock()
	at := d.at
	d.mu.Unlock()
	c, err := d.try(ctx, network, at)
	if err == nil || ctx.Err() != nil || fault.As(err) != nil { // what the guard refuses is a mistake in the settings
		return c, err
	}
	c, other := d.try(ctx, network, 1-at)
	if other != nil {
		return nil, errors.Join(err, other)
	}
	return c, nil
}

func (d *Dialer) try(ctx context.Context, network string, at int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := d.dial(ctx, network, d.addresses[at])
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, of: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = at
	if d.at = at; len(d.open) > 1 {
		for old, where := range d.open {
			if where != at {
				_ = old.Conn.Close() // whoever uses it finds out, and comes again
				delete(d.open, old)
			}
		}
	}
	return c, nil
}

// Endpoint is the second address while the first cannot be reached.
func (d *Dialer) Endpoint() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == 0 {
		return ""
	}
	return d.addresses[1]
}

// Trust lets a certificate that is checked be for either host.
func (d *Dialer) Trust(t *tls.Config) {
	if t.InsecureSkipVerify {
		return
	}
	t.InsecureSkipVerify = true // it is checked below, against both names
	t.VerifyConnection = func(s tls.ConnectionState) error {
		o := x509.VerifyOptions{Roots: t.RootCAs, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		var failed error
		for _, address := range d.addresses {
			o.DNSName, _, _ = net.SplitHostPort(address)
			if _, err := s.PeerCertificates[0].Verify(o); err == nil {
				return nil
			} else if failed == nil {
				failed = &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
			}
		}
		return failed
	}
}

// conn is forgotten when it is closed.
type conn struct {
	net.Conn
	of *Dialer
}

// Close closes it.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
