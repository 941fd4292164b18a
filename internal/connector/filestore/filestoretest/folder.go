// SPDX-License-Identifier: Apache-2.0

package filestoretest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// InFolder is the place with the files of a folder on this machine.
func InFolder(p Place, folder string) Place {
	p.Put = func(t testing.TB, name string, data []byte) {
		at := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.List = func(t testing.TB, prefix string) (names []string) {
		err := filepath.WalkDir(filepath.Join(folder, prefix), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !d.IsDir() {
				names = append(names, strings.TrimPrefix(path, folder+"/"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	p.Remove = func(t testing.TB, name string) {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
