// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"context"
	"crypto/md5" //nolint:gosec // a check sum that databases can compute, too; nobody is kept out by it
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/record"
)

// ScanRequest asks for the next records of an object as they are now.
type ScanRequest struct {
	Object record.Object
	Fields []string      // the fields wanted; the key fields are read in any case. Empty: all
	Place  record.Cursor // nil: from the beginning
	Limit  int           // at most so many records; 1 to 10,000
}

// Scanned is a page of a scan.
type Scanned struct {
	Records []record.Change // Upserts, each key once in a scan as long as nothing moves
	Next    record.Cursor   // where the scan goes on; nil at its end
}

// Scanner can read all records of an object apart from its stream: in any order, leaving nothing in the system and moving no
// cursor. It is how equality is proven.
type Scanner interface {
	Scan(ctx context.Context, req ScanRequest) (Scanned, error)
}

// Digest stands for a set of records: equal sets have equal digests, in whatever order they are read.
type Digest struct {
	Count int64
	Sum   uint64 // of the records' digests (RowDigest), modulo 2^64
}

// Add joins the digests of two sets without a common record.
func (d *Digest) Add(o Digest) {
	d.Count += o.Count
	d.Sum += o.Sum
}

// Digester computes digests where the records are, so that equal ones need not be read.
type Digester interface {
	// Digest is that of those records with the keys that exist, over the fields in the order given. exact is false when the
	// system has values in these fields, or keys, whose canonical text it cannot make itself: then nothing was computed, and
	// the records have to be read.
	Digest(ctx context.Context, object record.Object, fields []string, keys []record.Key) (d Digest, exact bool, err error)
	// Count counts the object's records, exactly.
	Count(ctx context.Context, object record.Object) (int64, error)
}

// AppendDigestText adds a part to the text whose check sum is a record's digest: null is "-", a value its length in
// characters, a colon and its canonical text. So no two lists of values have the same text.
func AppendDigestText(dst []byte, v record.Value) []byte {
	if v == nil {
		return append(dst, '-')
	}
	text := record.Text(v)
	dst = strconv.AppendInt(dst, int64(utf8.RuneCountInString(text)), 10)
	dst = append(dst, ':')
	return append(dst, text...)
}

// RowDigest is the digest of a record of which text has the key's parts and then the fields: the first 8 bytes of the
// text's MD5. Databases compute the same in SQL.
func RowDigest(text []byte) uint64 {
	sum := md5.Sum(text) //nolint:gosec // see above
	return binary.BigEndian.Uint64(sum[:])
}
