// SPDX-License-Identifier: Apache-2.0

package sftp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

const (
	dialTimeout = 20 * time.Second
	idle        = 2 * time.Minute // a connection that is silent for so long is closed; the next use opens another
	// coarse is longer than the steps of the protocol's times, which are whole seconds: within one, a second change does not show.
	coarse = 2 * time.Second
)

// rename replaces a file in one step. The protocol's own rename does not take a name that is there.
const rename = "posix-rename@openssh.com"

// store keeps files in a folder of a server.
type store struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	address string
	folder  string
	config  *ssh.ClientConfig
	// abandoned is how long a lock stands unchanged before its holder counts as dead.
	abandoned time.Duration

	mu     sync.Mutex
	conn   *ssh.Client
	client *sftp.Client
	seen   map[string]seen
}

// seen is a file whose content was read.
type seen struct {
	size    int64
	changed time.Time
	since   time.Time // our clock when it was met with this size and time
	version string    // "" when it may have changed since it was read without a sign
}

// quiet is a connection that ends when it is silent for too long.
type quiet struct{ net.Conn }

func (q quiet) Read(p []byte) (int, error) {
	_ = q.SetReadDeadline(time.Now().Add(idle)) // where it cannot be set, it is read without
	return q.Conn.Read(p)
}

func (q quiet) Write(p []byte) (int, error) {
	_ = q.SetWriteDeadline(time.Now().Add(idle)) // see above
	return q.Conn.Write(p)
}

// open is the session, made where there is none.
func (s *store) open(ctx context.Context) (*sftp.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := s.dial(ctx, "tcp", s.address)
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // shaking hands knows no context
	c, channels, requests, err := ssh.NewClientConn(quiet{raw}, s.address, s.config)
	if err != nil {
		stop()
		_ = raw.Close() // it failed already
		return nil, s.unreachable(ctx, err)
	}
	conn := ssh.NewClient(c, channels, requests)
	client, err := sftp.NewClient(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_, _, dead := conn.SendRequest("keepalive@openssh.com", true, nil)
		_ = conn.Close() // it is of no use
		if dead != nil { // it broke, and nothing was said about files
			return nil, s.unreachable(ctx, err)
		}
		return nil, &connector.Error{Class: connector.Reconnect, Code: "sftp.no_files", Message: "The server lets the user in, but not to files. Ask its operator for SFTP.", Err: err}
	}
	s.conn, s.client = conn, client
	return client, nil
}

func (s *store) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	var classified *connector.Error
	if errors.As(err, &classified) { // the guard's word, or that of the server's key
		return classified
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return &connector.Error{Class: connector.Reconnect, Code: "sftp.sign_in", Message: "The server does not let the user in. Check user, password and private key.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "sftp.unreachable", Message: fmt.Sprintf("No SFTP server answers at %s. Check host, port and firewall.", s.address), Err: err}
}

// use does something with the session. One that broke is given up, so that the next use opens another.
func (s *store) use(ctx context.Context, do func(c *sftp.Client) error) error {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err = do(c); err == nil {
		return nil
	}
	var status *sftp.StatusError
	var classified *connector.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return filestore.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	case errors.Is(err, filestore.ErrMoved), errors.Is(err, filestore.ErrNotFound), errors.As(err, &status), errors.As(err, &classified), ctx.Err() != nil:
		return err
	}
	s.mu.Lock()
	if s.client == c {
		_ = s.conn.Close() // it broke
		s.client, s.conn = nil, nil
	}
	s.mu.Unlock()
	return &connector.Error{Class: connector.Retry, Code: "sftp.broken", Message: "The connection to the server broke. It will be tried again.", Err: err}
}

func (s *store) at(name string) string { return path.Join(s.folder, name) }

func (s *store) Check(ctx context.Context) error {
	err := s.use(ctx, func(c *sftp.Client) error {
		_, err := c.ReadDirContext(ctx, s.folder)
		return err
	})
	if errors.Is(err, filestore.ErrNotFound) {
		return &connector.Error{Class: connector.Reconnect, Code: "sftp.no_folder", Message: fmt.Sprintf("There is no folder %s on the server. Make it, or correct the setting folder.", s.folder), Err: err}
	}
	return err
}

func (s *store) List(ctx context.Context, prefix string, limit int) (out []filestore.Info, err error) {
	err = s.use(ctx, func(c *sftp.Client) error {
		folders := []string{path.Dir(prefix + "x")} // a prefix ends with a slash, or is the beginning of names in a folder
		for len(folders) > 0 {
			dir := folders[0]
			folders = folders[1:]
			entries, err := c.ReadDirContext(ctx, s.at(dir))
			if errors.Is(err, fs.ErrNotExist) && dir != "." {
				continue
			}
			if err != nil {
				return err
			}
			for _, e := range entries {
				name := path.Join(dir, e.Name())
				switch {
				case e.IsDir() && (!strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(prefix, name+"/")):
					folders = append(folders, name)
				case e.Mode().IsRegular() && strings.HasPrefix(name, prefix):
					if out = append(out, filestore.Info{Name: name, Size: e.Size(), Modified: e.ModTime()}); len(out) == limit {
						return nil
					}
				}
			}
		}
		return nil
	})
	return out, err
}

func (s *store) Stat(ctx context.Context, name string) (info filestore.Info, err error) {
	err = s.use(ctx, func(c *sftp.Client) error {
		fi, err := c.Stat(s.at(name))
		if err != nil {
			return err
		}
		if !fi.Mode().IsRegular() {
			return filestore.ErrNotFound
		}
		info = filestore.Info{Name: name, Size: fi.Size(), Modified: fi.ModTime(), Version: s.met(name, fi).version}
		return nil
	})
	if err == nil && info.Version == "" {
		_, info, err = s.Get(ctx, name, 1<<62)
	}
	return info, err
}

// met is what is known of the file as it is now.
func (s *store) met(name string, fi fs.FileInfo) seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.seen[name]
	if k.size != fi.Size() || !k.changed.Equal(fi.ModTime()) {
		k = seen{size: fi.Size(), changed: fi.ModTime(), since: time.Now()}
		s.seen[name] = k
	}
	return k
}

func (s *store) Get(ctx context.Context, name string, limit int64) (data []byte, info filestore.Info, err error) {
	err = s.use(ctx, func(c *sftp.Client) error {
		data, info, err = s.read(ctx, c, name, limit)
		return err
	})
	return data, info, err
}

func (s *store) read(ctx context.Context, c *sftp.Client, name string, limit int64) ([]byte, filestore.Info, error) {
	f, err := c.Open(s.at(name))
	if err != nil {
		return nil, filestore.Info{}, err
	}
	defer func() { _ = f.Close() }() // it was read
	fi, err := f.Stat()
	if err != nil {
		return nil, filestore.Info{}, err
	}
	if !fi.Mode().IsRegular() {
		return nil, filestore.Info{}, filestore.ErrNotFound
	}
	info := filestore.Info{Name: name, Size: fi.Size(), Modified: fi.ModTime()}
	if fi.Size() > limit {
		return nil, info, nil
	}
	met, began := s.met(name, fi), time.Now()
	data, err := io.ReadAll(f)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, filestore.Info{}, err
	}
	sum := sha256.Sum256(data)
	info.Version, info.Size = hex.EncodeToString(sum[:16]), int64(len(data))
	if began.Sub(met.since) > coarse && int64(len(data)) == fi.Size() {
		met.version = info.Version
		s.mu.Lock()
		if k := s.seen[name]; k.size == met.size && k.changed.Equal(met.changed) {
			s.seen[name] = met
		}
		s.mu.Unlock()
	}
	return data, info, nil
}

// Put uploads a new file beside the old one and renames it: whoever opens the name sees the old content or the new one. A lock
// beside it makes that one after the other for all of ours.
func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	err := s.use(ctx, func(c *sftp.Client) error {
		if _, can := c.HasExtension(rename); !can {
			return &connector.Error{Class: connector.Reject, Code: "sftp.no_rename", Message: "The server cannot replace a file in one step, so files are only read. Use a server that knows " + rename + ", as OpenSSH does."}
		}
		if dir := path.Dir(name); dir != "." {
			if err := c.MkdirAll(s.at(dir)); err != nil {
				return err
			}
		}
		release, err := s.lock(ctx, c, name)
		if err != nil {
			return err
		}
		defer release()
		temporary := s.at(path.Join(path.Dir(name), "."+path.Base(name)+"."+rand.Text()+".tmp"))
		if err := s.replace(ctx, c, name, temporary, data, version); err != nil {
			_ = c.Remove(temporary) // as far as it was made
			return err
		}
		s.mu.Lock()
		delete(s.seen, name)
		s.mu.Unlock()
		return nil
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}

func (s *store) replace(ctx context.Context, c *sftp.Client, name, temporary string, data []byte, version string) error {
	f, err := c.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if _, can := c.HasExtension("fsync@openssh.com"); can && err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, now, err := s.read(ctx, c, name, 1<<62) // as late as can be: what comes after this look is overwritten
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if version != "" {
			return filestore.ErrMoved
		}
	case err != nil:
		return err
	case now.Version != version:
		return filestore.ErrMoved
	default:
		if fi, err := c.Stat(s.at(name)); err == nil {
			_ = c.Chmod(temporary, fi.Mode().Perm()) // a server that does not let us keeps its own
		}
	}
	return c.PosixRename(temporary, s.at(name))
}

// lock makes a file that can be made only once and says in it whose it is. One that stays the same for long is of somebody who died;
// one that others hand on among themselves is not.
func (s *store) lock(ctx context.Context, c *sftp.Client, name string) (release func(), err error) {
	at := s.at(path.Join(path.Dir(name), "."+path.Base(name)+".lock"))
	mine := rand.Text()
	var last holder
	for since := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := c.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err == nil {
			_, err = f.Write([]byte(mine))
			if err = errors.Join(err, f.Close()); err != nil {
				_ = c.Remove(at) // it is ours
				return nil, err
			}
			return s.release(c, at, mine), nil
		}
		now, missing := holderOf(c, at)
		switch {
		case errors.Is(missing, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			if errors.Is(err, fs.ErrNotExist) { // the folder went because it was empty
				if path.Dir(name) == "." {
					return nil, err
				}
				if err := c.MkdirAll(path.Dir(at)); err != nil {
					return nil, err
				}
			}
			last, since = holder{}, time.Now()
			continue
		case missing != nil:
			return nil, err
		case now != last:
			last, since = now, time.Now()
		case time.Since(since) > s.abandoned:
			_ = c.Remove(at)
			last, since = holder{}, time.Now()
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// release gives a lock back, unless it was held for so long that another may have it.
func (s *store) release(c *sftp.Client, at, mine string) func() {
	taken := time.Now()
	return func() {
		if time.Since(taken) > s.abandoned {
			if now, err := holderOf(c, at); err != nil || now.id != mine {
				return
			}
		}
		_ = c.Remove(at)
	}
}

// holder is who has a lock. The id is empty while it is being written, and where the file may not be read.
type holder struct {
	id    string
	since time.Time
}

func holderOf(c *sftp.Client, at string) (holder, error) {
	fi, err := c.Stat(at)
	if err != nil {
		return holder{}, err
	}
	h := holder{since: fi.ModTime()}
	if f, err := c.Open(at); err == nil {
		id, _ := io.ReadAll(io.LimitReader(f, 100)) // what cannot be read is known by its time
		_ = f.Close()                               // it was read
		h.id = string(id)
	}
	return h, nil
}

func (s *store) Remove(ctx context.Context, name string) error {
	err := s.use(ctx, func(c *sftp.Client) error {
		if err := c.Remove(s.at(name)); err != nil {
			return err
		}
		// Folders of ours that are empty now go with it; one that is not empty stays.
		for dir := path.Dir(name); strings.HasPrefix(dir, ".syncline"); dir = path.Dir(dir) {
			if c.RemoveDirectory(s.at(dir)) != nil {
				break
			}
		}
		return nil
	})
	if errors.Is(err, filestore.ErrNotFound) {
		return nil
	}
	return err
}

func (s *store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.client, s.conn = nil, nil
	return err
}
