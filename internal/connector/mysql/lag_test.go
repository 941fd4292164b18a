// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

// slowLog is a connection whose answers can be held up once the binary log is asked for on it.
type slowLog struct {
	net.Conn
	log  atomic.Bool
	held *sync.RWMutex
}

const dump = 0x12 // the command that asks for the log

func (c *slowLog) Write(b []byte) (int, error) {
	if len(b) > 4 && b[4] == dump {
		c.log.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *slowLog) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.log.Load() {
		c.held.RLock()
		defer c.held.RUnlock()
	}
	return n, err
}

// When the log comes late, as on a busy machine, a reader does not wait for all of it: the page is empty and says that there is more.
// Nothing is lost by it.
func TestLogThatComesLate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, orders, fill(3))
	var held sync.RWMutex
	s := d.open(func(e *connector.Env) {
		e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return &slowLog{Conn: c, held: &held}, err
		}
	})
	s.log.lag = 10 * time.Millisecond
	r := d.replica(s, "orders", 100)
	r.drain()
	held.Lock()
	d.exec("UPDATE orders SET note = 'late' WHERE id <= 2")
	for range 3 {
		if p := r.page(); len(p.Changes) != 0 || !p.More || p.Phase != connector.Stream {
			held.Unlock()
			t.Fatalf("with the log held up: %d changes, more %v", len(p.Changes), p.More)
		}
	}
	held.Unlock()
	if p := r.some(); len(p.Changes) != 2 || p.Changes[0].Fields["note"] != "late" {
		t.Fatalf("the log is there, and the page is %v", p.Changes)
	}
	r.until()
}
