// SPDX-License-Identifier: Apache-2.0

// Package audit holds the words of the audit log: what people and keys did, as a hash chain that can be checked. What
// happened to the data is the journal's matter.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Entry is one act.
type Entry struct {
	Seq       int64 // 1, 2, 3 ... per tenant, without gaps
	At        time.Time
	ActorKind string // "member", "key", "system", "operator"
	ActorID   string
	ActorName string
	Action    string          // "service.revised"
	Subject   string          // the public id of what was acted on
	Detail    json.RawMessage // an object; before and after where something changed; never a secret
	RequestID string
	IP        string
	Prev      []byte // the hash of the entry before, empty for the first
	Hash      []byte
}

// Sum computes the entry's hash from its content and Prev. Every text is preceded by its length, so that no two entries
// have the same input.
func (e Entry) Sum() []byte {
	h := sha256.New()
	put := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	put(e.Prev)
	put(fmt.Appendf(nil, "%d", e.Seq))
	put([]byte(e.At.UTC().Format(time.RFC3339Nano)))
	for _, s := range []string{e.ActorKind, e.ActorID, e.ActorName, e.Action, e.Subject, e.RequestID, e.IP} {
		put([]byte(s))
	}
	put(e.Detail)
	return h.Sum(nil)
}

// Verify checks a stretch of the chain in order; prev is the hash before the first entry. It returns the position of the
// first entry that was changed, dropped, added or moved, or -1.
func Verify(prev []byte, entries []Entry) int {
	for i, e := range entries {
		if string(e.Prev) != string(prev) || string(e.Hash) != string(e.Sum()) || (i > 0 && e.Seq != entries[i-1].Seq+1) {
			return i
		}
		prev = e.Hash
	}
	return -1
}
