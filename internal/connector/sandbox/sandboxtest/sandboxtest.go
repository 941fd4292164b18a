// SPDX-License-Identifier: Apache-2.0

// Package sandboxtest gives tests an account at a simulated vendor: for the conformance suite, and with a judge that holds every
// request against the vendor's own description.
package sandboxtest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// Account is a simulated account on a virtual clock.
type Account struct {
	*sandbox.Server
	Clock *sandbox.Clock
	Table string
	// Wire are the vendor's names and values of the connector's fields.
	Wire func(f record.Fields) map[string]any
}

// New makes an empty account.
func New(v sandbox.Vendor, clock *sandbox.Clock, table string, wire func(record.Fields) map[string]any) *Account {
	a := &Account{Server: sandbox.NewServer(v, sandbox.NewWorld(clock.Now, 1), false), Clock: clock, Table: table, Wire: wire}
	a.Sleep = func(ctx context.Context, d time.Duration) { _ = clock.Wait(ctx, d) }
	if wire == nil {
		a.Wire = func(f record.Fields) map[string]any {
			out := map[string]any{}
			for k, x := range f {
				out[k] = x
			}
			return out
		}
	}
	return a
}

// Insert makes a record behind the connector's back.
func (a *Account) Insert(t testing.TB, _ int, f record.Fields) record.Key {
	return record.Key(a.Edit(t.Context(), a.Table, "", a.Wire(f)))
}

// Update changes one.
func (a *Account) Update(t testing.TB, key record.Key, set record.Fields) {
	a.Edit(t.Context(), a.Table, string(key), a.Wire(set))
}

// Delete deletes one.
func (a *Account) Delete(t testing.TB, key record.Key) {
	a.Edit(t.Context(), a.Table, string(key), nil)
}

// Freeze stops the times of changes.
func (a *Account) Freeze(on bool) {
	a.Do(context.Background(), func(x *sandbox.Exchange) {
		x.W.Frozen = on
		x.W.Last = time.Time{}
	})
}

// Throttle answers the next n calls with "too many"; 0 takes it back.
func (a *Account) Throttle(n int) {
	a.Heal()
	if n > 0 {
		a.Plant(sandbox.TooMany(n))
	}
}

// Fail answers the next n calls with a server's error.
func (a *Account) Fail(n int) { a.Plant(sandbox.Broken(n)) }

// LoseWrite carries out the next call that writes and loses its answer.
func (a *Account) LoseWrite() {
	a.Plant(sandbox.Fault{Method: http.MethodPost, Path: "/(create|update|sobjects|Contact|contacts|users|update_many)$", Times: 1, Applied: true, Drop: true},
		sandbox.Fault{Method: http.MethodPatch, Times: 1, Applied: true, Drop: true}, sandbox.Fault{Method: http.MethodPut, Times: 1, Applied: true, Drop: true})
}

// Expire ends all access tokens.
func (a *Account) Expire() { a.Plant(sandbox.Fault{Times: 1, Expire: true}) }

// Live counts the records.
func (a *Account) Live() int { return a.Server.Live(a.Table) }

// Elapse lets time pass.
func (a *Account) Elapse(d time.Duration) { a.Clock.Advance(d) }
