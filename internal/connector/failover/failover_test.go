// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/fault"
)

// host is a server that says its name to whoever comes, and can go away and come back at the same address.
type host struct {
	name, address string
	mu            sync.Mutex
	listener      net.Listener
	conns         []net.Conn
	served        sync.WaitGroup
}

func newHost(t *testing.T, name string) *host {
	h := &host{name: name, address: "127.0.0.1:0"}
	h.up(t)
	h.address = h.listener.Addr().String()
	t.Cleanup(h.down)
	return h
}

func (h *host) up(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	h.listener = l
	h.served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			_, _ = io.WriteString(c, h.name)
		}
	})
}

// down ends it with all its connections.
func (h *host) down() {
	_ = h.listener.Close()
	h.served.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.conns = nil
}

func (h *host) split() (string, string) {
	host, port, _ := net.SplitHostPort(h.address)
	return host, port
}

func dialer(first, second *host) *Dialer {
	h, p := first.split()
	return New(h, p, second.address, (&net.Dialer{}).DialContext)
}

// reach opens a connection and reads who answers.
func reach(t *testing.T, d *Dialer) (net.Conn, string) {
	t.Helper()
	c, err := d.Dial(t.Context(), "tcp", "ignored:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return c, string(b)
}

// ended waits until the connection is over.
func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil
}

// A host goes away while connections are open: what comes next goes to the second one, and stays there also when the first is back, so
// that nothing is read from one and written to the other. When the second goes, the first is used again.
func TestHostGoesAwayWithConnectionsOpen(t *testing.T) {
	t.Parallel()
	a, b := newHost(t, "a"), newHost(t, "b")
	d := dialer(a, b)
	one, who := reach(t, d)
	if who != "a" || d.Endpoint() != "" {
		t.Fatalf("reached %s at %q", who, d.Endpoint())
	}
	a.down()
	if !ended(one) {
		t.Fatal("a connection to a host that went away goes on")
	}
	two, who := reach(t, d)
	if who != "b" || d.Endpoint() != b.address {
		t.Errorf("reached %s at %q", who, d.Endpoint())
	}
	a.up(t)
	if _, who := reach(t, d); who != "b" {
		t.Errorf("with the first back, reached %s", who)
	}
	b.down()
	if !ended(two) {
		t.Fatal("a connection to a host that went away goes on")
	}
	if _, who := reach(t, d); who != "a" || d.Endpoint() != "" {
		t.Errorf("reached %s at %q", who, d.Endpoint())
	}
}

// A host that only stops answering newcomers still holds its old connections: they are ended when the second host is reached, so that
// at no time both are used.
func TestNeverBoth(t *testing.T) {
	t.Parallel()
	a, b := newHost(t, "a"), newHost(t, "b")
	d := dialer(a, b)
	var old []net.Conn
	for range 3 {
		c, _ := reach(t, d)
		old = append(old, c)
	}
	_ = a.listener.Close() // it lets nobody in any more
	a.served.Wait()
	if _, who := reach(t, d); who != "b" {
		t.Fatalf("reached %s", who)
	}
	for i, c := range old {
		if !ended(c) {
			t.Errorf("the connection %d to the first host is still open", i)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		if d.open[c] != d.at {
			t.Error("a connection to the other host is kept")
		}
	}
}

// What the guard refuses, and who does not wait any longer, are no reason to go elsewhere; with none that answers both reasons are told.
func TestNotElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	refusal := fault.New(fault.Invalid, "guard.refused", "no")
	d := New("a", "1", "b:2", func(context.Context, string, string) (net.Conn, error) {
		asked++
		return nil, refusal
	})
	if _, err := d.Dial(t.Context(), "tcp", ""); !errors.Is(err, refusal) || asked != 1 {
		t.Errorf("refused by the guard: %v after %d", err, asked)
	}
	ctx, stop := context.WithCancel(t.Context())
	asked = 0
	d = New("a", "1", "b", func(context.Context, string, string) (net.Conn, error) {
		asked++
		stop()
		return nil, io.ErrUnexpectedEOF
	})
	if _, err := d.Dial(ctx, "tcp", ""); err == nil || asked != 1 {
		t.Errorf("nobody waits: %v after %d", err, asked)
	}
	var addresses []string
	d = New("a", "1", "b", func(_ context.Context, _, address string) (net.Conn, error) {
		addresses = append(addresses, address)
		return nil, errors.New("down: " + address)
	})
	_, err := d.Dial(t.Context(), "tcp", "")
	if err == nil || len(addresses) != 2 || addresses[0] != "a:1" || addresses[1] != "b:1" || err.Error() != "down: a:1\ndown: b:1" {
		t.Errorf("with none: %v, %v", err, addresses)
	}
	if d.Endpoint() != "" {
		t.Errorf("nobody was reached, and the health shows %q", d.Endpoint())
	}
}
