// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// store keeps files in a folder. Paths cannot leave the tenant's folder, by links either: every access goes through an
// os.Root.
type store struct {
	dir    string // the tenant's
	folder string // in it

	mu   sync.Mutex
	root *os.Root
	seen map[string]seen
}

// seen is a file whose content is known.
type seen struct {
	size    int64
	changed time.Time
	id      any // the system's own identity of the file
	version string
}

// young is how long after a change a file's time says too little: a second change can have the same time.
const young = 3 * time.Second

func (s *store) open() (*os.Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		return s.root, nil
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil { // the tenant's folder is made when it is first looked for
		return nil, unreachable(err)
	}
	outer, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = outer.Close() }() // only the way in
	if s.root, err = outer.OpenRoot(s.folder); err != nil {
		return nil, unreachable(err)
	}
	return s.root, nil
}

func unreachable(err error) error {
	message := "The folder cannot be opened."
	if errors.Is(err, fs.ErrNotExist) {
		message = "There is no such folder. Make it below the folder that is set aside for you, or name another one."
	}
	return &connector.Error{Class: connector.Reconnect, Code: "files.no_folder", Message: message, Err: err}
}

func (s *store) Check(context.Context) error {
	root, err := s.open()
	if err != nil {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = d.Close() }() // it was read
	if _, err := d.Readdirnames(1); err != nil && !errors.Is(err, io.EOF) {
		return unreachable(err)
	}
	return nil
}

func (s *store) List(ctx context.Context, prefix string, limit int) ([]filestore.Info, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	base := path.Dir(prefix + "x") // a prefix ends with a slash, or is the beginning of names in a folder
	var out []filestore.Info
	err = fs.WalkDir(root.FS(), base, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.IsDir() {
			if name != base && strings.HasPrefix(d.Name(), ".") && !strings.HasPrefix(prefix, name+"/") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		out = append(out, filestore.Info{Name: name, Size: info.Size(), Modified: info.ModTime()})
		if len(out) == limit {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	return out, nil
}

func (s *store) Stat(_ context.Context, name string) (filestore.Info, error) {
	root, err := s.open()
	if err != nil {
		return filestore.Info{}, err
	}
	info, err := s.stat(root, name)
	if err != nil {
		return filestore.Info{}, err
	}
	if info.Version == "" {
		if _, info, err = s.read(root, name, 1<<62); err != nil {
			return filestore.Info{}, err
		}
	}
	return info, nil
}

// stat tells of a file; its version only when it is known without reading it.
func (s *store) stat(root *os.Root, name string) (filestore.Info, error) {
	fi, err := root.Stat(local(name))
	if err != nil {
		return filestore.Info{}, kind(err)
	}
	if !fi.Mode().IsRegular() {
		return filestore.Info{}, filestore.ErrNotFound
	}
	info := filestore.Info{Name: name, Size: fi.Size(), Modified: fi.ModTime()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, known := s.seen[name]; known && k.size == fi.Size() && k.changed.Equal(fi.ModTime()) && k.id == identity(fi) {
		info.Version = k.version
	}
	return info, nil
}

func (s *store) Get(_ context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	root, err := s.open()
	if err != nil {
		return nil, filestore.Info{}, err
	}
	return s.read(root, name, limit)
}

func (s *store) read(root *os.Root, name string, limit int64) ([]byte, filestore.Info, error) {
	f, err := root.Open(local(name))
	if err != nil {
		return nil, filestore.Info{}, kind(err)
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
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, filestore.Info{}, fmt.Errorf("reading %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	info.Version, info.Size = hex.EncodeToString(sum[:16]), int64(len(data))
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := time.Since(fi.ModTime()); age > young && int64(len(data)) == fi.Size() {
		s.seen[name] = seen{fi.Size(), fi.ModTime(), identity(fi), info.Version}
	} else {
		delete(s.seen, name)
	}
	return data, info, nil
}

// local is the name as the operating system writes it.
func local(name string) string { return filepath.FromSlash(name) }

func kind(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return filestore.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	}
	return err
}

// writing are the turns of who replaces or removes files, by path; lock does the same for other processes.
var writing filestore.Turns

// Put writes a new file beside the old one, brings it to the disk, and renames it: whoever opens the name sees the old
// content or the new one.
func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	root, err := s.open()
	if err != nil {
		return "", err
	}
	end, err := writing.Take(ctx, filepath.Join(s.dir, s.folder, local(name)))
	if err != nil {
		return "", err
	}
	defer end()
	release, err := lock(root, name)
	if err != nil {
		return "", kindOfWrite(err)
	}
	defer release()
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(local(dir), 0o750); err != nil {
			return "", kindOfWrite(err)
		}
	}
	mode := fs.FileMode(0o640)
	_, now, err := s.read(root, name, 1<<62)
	switch {
	case errors.Is(err, filestore.ErrNotFound):
		if version != "" {
			return "", filestore.ErrMoved
		}
	case err != nil:
		return "", err
	case now.Version != version:
		return "", filestore.ErrMoved
	default:
		if fi, err := root.Stat(local(name)); err == nil {
			mode = fi.Mode().Perm()
		}
	}
	temporary := path.Join(path.Dir(name), "."+path.Base(name)+"."+rand.Text()+".tmp")
	if err := write(root, temporary, data, mode); err != nil {
		_ = root.Remove(local(temporary)) // as far as it was made
		return "", kindOfWrite(err)
	}
	if err := root.Rename(local(temporary), local(name)); err != nil {
		_ = root.Remove(local(temporary))
		return "", kindOfWrite(err)
	}
	if d, err := root.Open(local(path.Dir(name))); err == nil {
		_ = d.Sync() // not every file system can; the rename is in its journal then
		_ = d.Close()
	}
	s.mu.Lock()
	delete(s.seen, name)
	s.mu.Unlock()
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}

// kindOfWrite says that writing is not allowed where that is the trouble.
func kindOfWrite(err error) error {
	if readOnly(err) {
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	}
	return fmt.Errorf("writing: %w", err)
}

func write(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	f, err := root.OpenFile(local(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (s *store) Remove(ctx context.Context, name string) error {
	root, err := s.open()
	if err != nil {
		return err
	}
	end, err := writing.Take(ctx, filepath.Join(s.dir, s.folder, local(name)))
	if err != nil {
		return err
	}
	defer end()
	release, err := lock(root, name) // or a folder goes that somebody else was about to write to
	if err != nil {
		return kindOfWrite(err)
	}
	defer release()
	if err = root.Remove(local(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kindOfWrite(err)
	}
	// Folders of ours that are empty now go with it; one that is not empty stays.
	for dir := path.Dir(name); strings.HasPrefix(dir, ".syncline"); dir = path.Dir(dir) {
		if root.Remove(local(dir)) != nil {
			break
		}
	}
	return nil //nolint:nilerr // a file that was not there is gone, too
}

func (s *store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	err := s.root.Close()
	s.root = nil
	return err
}
