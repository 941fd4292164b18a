// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/syncline-dev/syncline/internal/connector"
)

// lossy loses one answer of a system: what was asked is done, and the connection breaks before anything of the answer arrives. An answer
// is the first that comes after something was sent, on any connection.
type lossy struct {
	mu    sync.Mutex
	after int // how many answers come through first; negative: all
	lost  bool
}

// arm loses the answer behind the next n.
func (l *lossy) arm(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after, l.lost = n, false
}

// disarm lets all answers through again, and says whether one was lost.
func (l *lossy) disarm() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = -1
	return l.lost
}

// answer says whether this one is lost.
func (l *lossy) answer() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.after < 0 {
		return false
	}
	l.after--
	l.lost = l.lost || l.after < 0
	return l.after < 0
}

// through is the environment in which answers are lost.
func (l *lossy) through(env connector.Env) connector.Env {
	dial := env.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &lossyConn{Conn: c, of: l}, nil
	}
	if env.Sandbox != nil {
		env.Sandbox = lossyTrip{env.Sandbox, l}
	}
	return env
}

type lossyTrip struct {
	http.RoundTripper
	of *lossy
}

func (t lossyTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err == nil && t.of.answer() {
		_ = answer.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return answer, err
}

type lossyConn struct {
	net.Conn
	of *lossy

	mu    sync.Mutex
	asked bool
}

func (c *lossyConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	answer := c.asked && n > 0
	if answer {
		c.asked = false
	}
	c.mu.Unlock()
	if answer && c.of.answer() {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
