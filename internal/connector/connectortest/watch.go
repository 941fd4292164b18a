// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"

	"github.com/syncline-dev/syncline/internal/record"
)

// watcher is a running Watch; its fields are guarded by Memory.mu.
type watcher struct {
	objects map[record.Object]bool // watched -> has changes not told yet
	bell    chan struct{}          // holds one token while something is to be told
}

// wake tells who watches the object; m.mu is held.
func (m *Memory) wake(object record.Object) {
	for w := range m.watchers {
		if _, watched := w.objects[object]; watched {
			w.objects[object] = true
			w.ring()
		}
	}
}

func (m *Memory) wakeAll() {
	for w := range m.watchers {
		w.ring()
	}
}

func (w *watcher) ring() {
	select {
	case w.bell <- struct{}{}:
	default: // it will look anyway
	}
}

type wokenKey struct{}

// Woken lets fn be called by who watches with that context, each time the bell has rung and before it is looked at what has
// changed: a simulation decides there who goes on.
func Woken(ctx context.Context, fn func()) context.Context {
	return context.WithValue(ctx, wokenKey{}, fn)
}

func (s *system) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	w := &watcher{objects: make(map[record.Object]bool, len(objects)), bell: make(chan struct{}, 1)}
	for _, o := range objects {
		w.objects[o] = true // listening from now on: the first wake says so
	}
	w.ring()
	s.m.mu.Lock()
	if err := s.allowed(); err != nil {
		s.m.mu.Unlock()
		return err
	}
	s.m.watchers[w] = struct{}{}
	s.m.mu.Unlock()
	defer func() {
		s.m.mu.Lock()
		delete(s.m.watchers, w)
		s.m.mu.Unlock()
	}()
	woken, _ := ctx.Value(wokenKey{}).(func())
	for ctx.Err() == nil { // of two that are there, always the same counts
		select {
		case <-ctx.Done():
			return nil
		case <-w.bell:
		}
		if woken != nil {
			woken()
		}
		if err, _ := s.m.trouble(OnWatch, ""); err != nil {
			return err
		}
		s.m.mu.Lock()
		var changed []record.Object
		for _, o := range objects {
			if w.objects[o] {
				w.objects[o] = false
				changed = append(changed, o)
			}
		}
		s.m.mu.Unlock()
		for _, o := range changed {
			wake(o)
		}
	}
	return nil
}
