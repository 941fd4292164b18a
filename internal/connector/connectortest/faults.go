// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Call is a call to the system that a fault can be planted in.
type Call string

// The calls.
const (
	OnCheck    Call = "check"
	OnDescribe Call = "describe"
	OnRead     Call = "read" // also ReadKeys and Find
	OnWrite    Call = "write"
	OnWatch    Call = "watch" // ends a running Watch as well
)

// Fault is trouble for one call.
type Fault struct {
	On      Call
	Object  record.Object   // "": whichever comes first
	Class   connector.Class // what the error says; Retry when empty
	After   time.Duration   // for SlowDown
	Applied bool            // for OnWrite: the batch is written all the same, so that the outcome is unknown to the caller
	Token   string          // for an applied write: the token that the system asks for from then on
	Before  func()          // if set, runs before the call answers, outside the lock: an edit in between, a cancelled context
}

// Pass is the class of a fault that does no harm: the call goes on after Before.
const Pass connector.Class = "pass"

// Plant makes the next calls of that kind fail, one for each fault, in order.
func (m *Memory) Plant(faults ...Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, faults...)
	for _, f := range faults {
		if f.On == OnWatch {
			m.wakeAll()
		}
	}
}

// Planted is how many faults have not happened yet.
func (m *Memory) Planted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.faults)
}

// LimitRate lets at most n calls of Write, Read, ReadKeys and Find together through in each period of the system's clock; more
// are answered with SlowDown and the time to wait. n = 0 lifts the limit.
func (m *Memory) LimitRate(n int, per time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = rate{n: n, per: per}
}

type rate struct {
	n     int
	per   time.Duration
	since time.Time
	used  int
}

// take uses one call up; the duration is how long to wait when none is left.
func (r *rate) take(now time.Time) time.Duration {
	if r.n == 0 {
		return 0
	}
	if now.Sub(r.since) >= r.per {
		r.since, r.used = now, 0
	}
	if r.used >= r.n {
		return r.since.Add(r.per).Sub(now)
	}
	r.used++
	return 0
}

// trouble meets the fault planted for this call, if any. It returns nil when the call may go on, and whether a failing
// write is to be applied all the same.
func (m *Memory) trouble(on Call, object record.Object) (err error, applied bool) { //nolint:revive // the error is what it is about
	f := m.takeFault(on, object)
	if f == nil {
		return nil, false
	}
	if f.Before != nil {
		f.Before()
	}
	if f.Token != "" {
		m.mu.Lock()
		m.renewal = f.Token
		m.mu.Unlock()
	}
	class := f.Class
	switch class {
	case Pass:
		return nil, false
	case "":
		class = connector.Retry
	}
	return &connector.Error{Class: class, Code: "memory.planted", Message: "A planted fault of class " + string(class) + ".", After: f.After}, f.Applied
}

func (m *Memory) takeFault(on Call, object record.Object) *Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.faults {
		f := m.faults[i]
		if f.On == on && (f.Object == "" || object == "" || f.Object == object) {
			m.faults = append(m.faults[:i:i], m.faults[i+1:]...)
			return &f
		}
	}
	if on == OnRead || on == OnWrite {
		if wait := m.limit.take(m.clock()); wait > 0 {
			return &Fault{On: on, Class: connector.SlowDown, After: wait}
		}
	}
	return nil
}
