// SPDX-License-Identifier: Apache-2.0

//go:build unix

package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// lock keeps other processes of ours from replacing files of the folder at the same time. It is on the folder itself, so it leaves
// nothing behind.
func lock(root *os.Root, _ string) (release func(), err error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOSYS) {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which gives the lock back
}

// identity is the file's place in its file system.
func identity(fi fs.FileInfo) any {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return nil
}

func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
