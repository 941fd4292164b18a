// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"sync"
)

// Turns make using a file one after the other for everybody in this process, for places that cannot make a write depend on what the
// file holds. The zero value is ready; a connector has one for all its systems, since two services can use the same file.
type Turns struct {
	mu    sync.Mutex
	files map[string]*turn
}

type turn struct {
	taken chan struct{} // holds one token while somebody has the turn
	users int           // who has it or waits for it
}

// Take waits for the turn of the file that goes by that name in all of the process, and returns what ends it. The error is ctx's.
func (t *Turns) Take(ctx context.Context, file string) (end func(), err error) {
	t.mu.Lock()
	if t.files == nil {
		t.files = map[string]*turn{}
	}
	f := t.files[file]
	if f == nil {
		f = &turn{taken: make(chan struct{}, 1)}
		t.files[file] = f
	}
	f.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if f.users--; f.users == 0 {
			delete(t.files, file)
		}
	}
	select {
	case f.taken <- struct{}{}:
		return func() {
			<-f.taken
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
