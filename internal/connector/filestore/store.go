// SPDX-License-Identifier: Apache-2.0

// Package filestore makes records of files: it reads and writes tables in CSV, JSON, JSON Lines, XML, XLSX and Parquet
// over any place that keeps files, and tells what changed in them.
//
// A connector of a place (a folder, a bucket) implements Store and hands it to New, which returns the whole
// connector.System. Files are read whole, changed in memory and replaced in one step, on the condition that nobody
// changed them meanwhile; so nobody ever sees half a file, and no edit of another is lost.
package filestore

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Info is a file as its place tells of it.
type Info struct {
	Name     string    // with folders, separated by slashes: "exports/contacts.csv"
	Size     int64     // in bytes
	Version  string    // different after each change of the content, equal only for equal content
	Modified time.Time // zero when the place cannot tell
}

// The errors of a Store beside classified ones.
var (
	ErrNotFound = errors.New("filestore: there is no such file")
	ErrMoved    = errors.New("filestore: the file was changed by somebody else")
	// ErrReadOnly says that the credentials do not allow writing.
	ErrReadOnly = errors.New("filestore: writing is not allowed")
)

// Store is a place that keeps files. It is safe for concurrent use. What is none of the errors above is a classified
// connector.Error, or a passing trouble.
type Store interface {
	// Check says whether the place is there and its files can be listed.
	Check(ctx context.Context) error
	// List returns the files whose name begins with the prefix, at most limit of them, in any order.
	List(ctx context.Context, prefix string, limit int) ([]Info, error)
	// Stat tells of one file, Get reads it. A file larger than the limit is not read; what is returned then is only Info.
	Stat(ctx context.Context, name string) (Info, error)
	Get(ctx context.Context, name string, limit int64) ([]byte, Info, error)
	// Put replaces the file in one step if it has still that version; "" is for a file that does not exist. It returns the
	// new version.
	Put(ctx context.Context, name string, data []byte, version string) (string, error)
	// Remove deletes the file; one that does not exist is no error.
	Remove(ctx context.Context, name string) error
	Close() error
}

// ours begins the names of what the connector keeps for itself beside the files.
const ours = ".syncline/"

// hidden says whether a file is none of the user's tables: ours, temporary, or a schema.
func hidden(name string) bool {
	if strings.HasSuffix(name, schemaSuffix) {
		return true
	}
	for _, part := range strings.Split(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasPrefix(part, "~$") {
			return true
		}
	}
	return false
}
