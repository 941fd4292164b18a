// SPDX-License-Identifier: Apache-2.0

package sftp

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	sftpkit "github.com/pkg/sftp"
)

// before calls f before each write.
type before struct {
	io.WriteCloser
	f func()
}

func (b *before) Write(p []byte) (int, error) {
	b.f()
	return b.WriteCloser.Write(p)
}

// A lock that is another's at each look was not left behind, however long one waits for it; and who was taken for dead does not take
// away the lock of the next.
func TestLockGoesFromHandToHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock := filepath.Join(dir, ".people.csv.lock")
	here, there := net.Pipe()
	server, err := sftpkit.NewServer(there, sftpkit.WithServerWorkingDirectory(dir))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve() }()
	hook := func() {}
	client, err := sftpkit.NewClientPipe(here, &before{here, func() { hook() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	s := &store{folder: ".", abandoned: 1} // whoever stays the same at two looks is dead

	holds := func(who string) {
		t.Helper()
		if err := os.WriteFile(lock, []byte(who), 0o600); err != nil {
			t.Error(err)
		}
	}
	holds("0")
	asked := 0
	hook = func() {
		switch asked++; {
		case asked == 100:
			if err := os.Remove(lock); err != nil {
				t.Errorf("the lock was taken from a living holder: %v", err)
			}
		case asked < 100:
			if _, err := os.Stat(lock); err != nil {
				t.Errorf("the lock was taken from a living holder: %v", err)
			}
			holds(fmt.Sprint(asked))
		}
	}
	release, err := s.lock(t.Context(), client, "people.csv")
	if err != nil {
		t.Fatal(err)
	}
	hook = func() {}
	if asked < 100 {
		t.Errorf("it had the lock after %d requests", asked)
	}
	holds("the next")
	release()
	if got, err := os.ReadFile(lock); err != nil || string(got) != "the next" {
		t.Errorf("the next one's lock is %q, %v", got, err)
	}
	if _, err := s.lock(t.Context(), client, "people.csv"); err != nil { // who never changes is dead
		t.Error(err)
	}

	// A folder that went because it was empty is made again.
	if release, err = s.lock(t.Context(), client, "of/ours/list"); err != nil {
		t.Fatal(err)
	}
	release()
	if left, err := os.ReadDir(filepath.Join(dir, "of", "ours")); err != nil || len(left) != 0 {
		t.Errorf("%v stay, %v", left, err)
	}
}
