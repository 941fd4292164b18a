// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package files

import (
	"errors"
	"io/fs"
	"os"
)

// lock does nothing here: there is no lock on a folder. Let one process alone work on it.
func lock(*os.Root, string) (release func(), err error) { return func() {}, nil }

func identity(fs.FileInfo) any { return nil }

func readOnly(err error) bool { return errors.Is(err, fs.ErrPermission) }
