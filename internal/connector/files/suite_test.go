// SPDX-License-Identifier: Apache-2.0

package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/files"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
)

func place(t *testing.T) filestoretest.Place {
	dir := t.TempDir()
	folder := filepath.Join(dir, "tenant-1", "exchange")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	return filestoretest.Place{
		Connector: files.New(dir), Env: connector.Env{Tenant: "tenant-1"}, Judge: "a folder",
		Settings: connector.Settings{"folder": "exchange", "settleSeconds": "0"},
		Bad:      []connector.Settings{{"folder": "nowhere"}, {"folder": "../other"}, {"folder": "/../../etc"}},
		Put: func(t testing.TB, name string, data []byte) {
			path := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		List: func(t testing.TB, prefix string) (names []string) {
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
		},
		Remove: func(t testing.TB, name string) {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "json", "xlsx", "parquet"} { // the others are tried on other stores
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			filestoretest.Run(t, place(t), format)
		})
	}
}
