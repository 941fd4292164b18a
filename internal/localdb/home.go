// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Where the server's files go when its account cannot reach the directory it was asked to use, as under /root.
const elsewhere = "/var/lib/syncline"

// A home is the directory of one server, locked for as long as we hold it.
type home struct {
	dir     string // ours: password, port, lock, log
	base    string // the server's: data/, run/
	account account
	lock    *os.File
}

// openHome makes and locks the directory and finds the place for the server's own files.
func openHome(dir string, acc account) (*home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the directory of the private server: %w", err)
	}
	mode := fs.FileMode(0o700)
	if acc.other {
		mode = 0o711 // the account must pass through it to reach its own files
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, unusable(err, dir)
	}
	h := &home{dir: dir, account: acc}
	if err := h.acquire(); err != nil {
		return nil, err
	}
	if err := h.place(); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// acquire takes the lock that says who owns the directory. It ends with the process that holds it, so a lock that
// cannot be had means a live owner.
func (h *home) acquire() error {
	f, err := os.OpenFile(h.file("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unusable(err, h.dir)
	}
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	// A child that an owner was just starting when it was killed holds the lock for the blink until it runs its program.
	for deadline := time.Now().Add(500 * time.Millisecond); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		owner := make([]byte, 20)
		n, _ := f.ReadAt(owner, 0)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fault.Wrap(err, fault.Conflict, "localdb.in_use",
				"the database in %s is in use by process %s, probably another `syncline dev` started from this directory; "+
					"stop that one first", h.dir, strings.TrimSpace(string(owner[:n])))
		}
		return unusable(err, h.dir)
	}
	// Only for the message to somebody else, so not worth failing for.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	h.lock = f
	return nil
}

// release unlocks before it closes, because a child being started at this moment may hold a copy of the descriptor.
func (h *home) release() {
	_ = flock(h.lock, unix.LOCK_UN)
	h.lock.Close()
}

func flock(f *os.File, how int) error { return unix.Flock(int(f.Fd()), how) }

// place decides where the server's files are: below dir, or elsewhere when the account cannot get there.
func (h *home) place() error {
	h.base = filepath.Join(h.dir, "server")
	if !h.account.other {
		return h.makeBase()
	}
	if info, err := os.Stat(filepath.Join(h.base, "data")); err == nil {
		// Made by an earlier start. If that was an ordinary user's, the files stay that user's.
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != h.account.uid {
			h.account.name, h.account.uid, h.account.gid = strconv.Itoa(int(st.Uid)), int(st.Uid), int(st.Gid)
		}
		if h.account.reaches(h.base) {
			return h.makeBase()
		}
	} else {
		if err := h.makeBase(); err != nil {
			return err
		}
		if h.account.reaches(h.base) {
			return nil
		}
		if err := os.RemoveAll(h.base); err != nil {
			return unusable(err, h.dir)
		}
	}
	return h.moveAway()
}

// moveAway puts the server's files below /var/lib/syncline. The name is derived from dir, so the next start finds them;
// the note in dir says where they are. Without the note dir was emptied since, and so must they be.
func (h *home) moveAway() error {
	sum := sha256.Sum256([]byte(h.dir))
	h.base = filepath.Join(elsewhere, filepath.Base(h.dir)+"-"+hex.EncodeToString(sum[:6]))
	note := h.file("location")
	if _, err := os.Stat(note); errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(h.base); err != nil {
			return unusable(err, h.base)
		}
	}
	if err := os.MkdirAll(elsewhere, 0o711); err != nil { //nolint:gosec // G301: the account must pass through it
		return fault.Wrap(err, fault.Unavailable, "localdb.dir_unusable",
			"the account %s, which the database server runs as, cannot reach %s, and %s cannot be made; "+
				"choose a directory that other users may pass through", h.account.name, h.dir, elsewhere)
	}
	if err := h.makeBase(); err != nil {
		return err
	}
	if !h.account.reaches(h.base) {
		return fault.New(fault.Unavailable, "localdb.dir_unusable",
			"the account %s, which the database server runs as, can reach neither %s nor %s; "+
				"choose a directory that other users may pass through", h.account.name, h.dir, h.base)
	}
	return h.write("location", h.base+"\n")
}

func (h *home) makeBase() error {
	for _, dir := range []string{h.base, filepath.Join(h.base, "run")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return unusable(err, dir)
		}
		if err := h.account.own(dir); err != nil {
			return unusable(err, dir)
		}
	}
	return nil
}

func (h *home) data() string            { return filepath.Join(h.base, "data") }
func (h *home) file(name string) string { return filepath.Join(h.dir, name) }

// socketDir is where the server's Unix socket goes, or "" when no path short enough is at hand (the limit is 103 bytes
// on macOS, 107 on Linux, with the file's name).
func (h *home) socketDir() string {
	if dir := filepath.Join(h.base, "run"); len(dir) < 80 {
		return dir
	}
	return ""
}

// write keeps a small private fact beside the server, such as its password or port.
func (h *home) write(name, text string) error {
	if err := os.WriteFile(h.file(name), []byte(text), 0o600); err != nil {
		return unusable(err, h.dir)
	}
	return nil
}

// read returns such a fact, or "" when there is none.
func (h *home) read(name string) string {
	b, err := os.ReadFile(h.file(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// give writes a file for the server alone.
func (h *home) give(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return unusable(err, path)
	}
	if err := h.account.own(path); err != nil {
		return unusable(err, path)
	}
	return nil
}

// freshData makes an empty directory for a new server's data. It becomes data/ by keep, once it is filled, so that a
// start cut short leaves nothing half made.
func (h *home) freshData(ctx context.Context) (string, error) {
	fresh := filepath.Join(h.base, "data.new")
	// What an earlier start left working there when it was killed would write on.
	find := func() []int { return processesIn(fresh, filepath.Join(fresh, "postmaster.pid")) }
	if err := endAll(ctx, find, syscall.SIGKILL, 0); err != nil {
		return "", err
	}
	if err := os.RemoveAll(fresh); err != nil {
		return "", unusable(err, fresh)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return "", unusable(err, fresh)
	}
	if err := h.account.own(fresh); err != nil {
		return "", unusable(err, fresh)
	}
	return fresh, nil
}

// fill runs the server's own program that makes a data directory.
func (h *home) fill(ctx context.Context, cmd *exec.Cmd, server string) error {
	cmd.SysProcAttr, cmd.Env, cmd.Dir = h.account.attributes(), serverEnvironment(), "/"
	outliveNot(cmd.SysProcAttr, syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fault.Wrap(errors.Join(context.Cause(ctx), err), fault.Unavailable, "localdb.start_failed",
			"%s could not make its data directory %s; %s said:\n%s", server, h.data(), filepath.Base(cmd.Path),
			indent(strings.TrimSpace(string(out))))
	}
	return nil
}

func (h *home) keep(fresh string) error {
	if err := os.Rename(fresh, h.data()); err != nil {
		return unusable(err, h.base)
	}
	return nil
}

func unusable(err error, dir string) error {
	return fault.Wrap(err, fault.Unavailable, "localdb.dir_unusable",
		"the directory %s cannot be used for a private database server: %v. Make it writable for this user, "+
			"or remove it if it belongs to another one", dir, err)
}
