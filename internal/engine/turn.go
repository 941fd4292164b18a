// SPDX-License-Identifier: Apache-2.0

package engine

import "context"

// A flow's goroutines wait only for channels and timers, and each says when it was woken (woke). So a simulation can let
// them go on one at a time, in an order that its seed decides, and the same seed gives the same run (package
// simulation). In production nothing listens.

type wokeKey struct{}

// numbered gives a goroutine of a flow its name for Engine.Woke.
func (f *flow) numbered(ctx context.Context, name string) context.Context {
	if f.engine.Woke == nil {
		return ctx
	}
	who := f.guard.Service.String() + " " + name
	return context.WithValue(ctx, wokeKey{}, func() { f.engine.Woke(who) })
}

// woke is called by a goroutine after everything that it may have waited for, before it looks at anything that others
// change.
func woke(ctx context.Context) {
	if f, ok := ctx.Value(wokeKey{}).(func()); ok {
		f()
	}
}

// lock is a mutex whose waiters wait for a channel, first come, first served.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// take waits for the lock.
func (l lock) take(ctx context.Context) {
	select {
	case l <- struct{}{}:
	default:
		l <- struct{}{}
		woke(ctx)
	}
}

func (l lock) release() { <-l }
