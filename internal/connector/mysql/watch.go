// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// watcher is a running Watch; its fields are guarded by feed.mu.
type watcher struct {
	objects map[record.Object]bool // watched -> has something to tell
	bell    chan struct{}          // holds one token while there is something to tell
	broken  error
}

// note says that there are hints of the object.
func (w *watcher) note(object record.Object) {
	if told, watched := w.objects[object]; watched && !told {
		w.objects[object] = true
		w.ring()
	}
}

func (w *watcher) ring() {
	for _, due := range w.objects {
		if due {
			select {
			case w.bell <- struct{}{}:
			default: // it will look anyway
			}
			return
		}
	}
}

// fail says that the run has ended, and that nobody wanted it to.
func (w *watcher) fail(r *run) {
	select {
	case <-r.stopped: // another run has taken over
		return
	default:
	}
	w.broken = r.ended
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

func (s *system) watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	doing := "watching the binary log"
	w := &watcher{objects: make(map[record.Object]bool, len(objects)), bell: make(chan struct{}, 1)}
	f := s.log
	f.mu.Lock()
	f.watchers[w] = struct{}{}
	for _, o := range objects {
		w.objects[o] = false
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
	}()
	for _, o := range objects {
		t, err := s.table(ctx, o)
		if err != nil {
			return err
		}
		way, err := s.choose(ctx, t)
		if err != nil {
			return err
		}
		if way.detection != byLog {
			return &connector.Error{Class: connector.Reject, Code: "mysql.cannot_watch", Message: "Changes of " + t.name + " are seen by " + way.detection + ", which can only be asked for: " + way.why}
		}
		if err := f.listen(ctx, t); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return classify(err, doing)
		}
	}
	f.mu.Lock()
	for _, o := range objects {
		w.objects[o] = true // it is listening: the first wake says so
	}
	w.ring()
	f.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.bell:
		}
		f.mu.Lock()
		closed, broken := f.closed, w.broken
		var due []record.Object
		for _, o := range objects {
			if w.objects[o] {
				w.objects[o] = false
				due = append(due, o)
			}
		}
		f.mu.Unlock()
		if closed {
			return errClosed
		}
		for _, o := range due {
			wake(o)
		}
		if broken != nil {
			return classify(broken, doing)
		}
	}
}

// listen makes sure that the log is read and hints of the table are kept from now on, or from earlier.
func (f *feed) listen(ctx context.Context, t *table) error {
	f.mu.Lock()
	sb := f.subs[t.object]
	kept := sb != nil && f.run != nil && f.run.ended == nil
	f.mu.Unlock()
	if kept {
		return nil
	}
	at, open, err := f.s.present(ctx)
	if err != nil {
		return err
	}
	return f.attach(ctx, t, &logCursor{At: at, From: open}, false)
}
