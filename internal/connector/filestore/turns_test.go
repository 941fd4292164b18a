// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// One at a time has a file; others have theirs meanwhile; who stops waiting is out of the way; and nothing is kept.
func TestTurns(t *testing.T) {
	t.Parallel()
	var turns Turns
	end, err := turns.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := turns.Take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("the turn was given to two: %v", err)
	}
	end()
	n := 0 // guarded by the turn: the race detector sees to it
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			end, err := turns.Take(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			n++
			end()
		})
	}
	wait.Wait()
	if n != 50 || len(turns.files) != 0 {
		t.Errorf("%d had their turn, %d files are kept", n, len(turns.files))
	}
}
