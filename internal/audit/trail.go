// SPDX-License-Identifier: Apache-2.0

package audit

import "time"

// Filter chooses entries of a tenant's log. Zero fields choose all.
type Filter struct {
	Actor   string // the actor's public id
	Action  string // "service.revised", or "service." for all that begin with it
	Subject string // the public id of what was acted on
	Since   time.Time
	Until   time.Time // exclusive
	Before  int64     // entries older than the one with this Seq; 0 begins with the newest
	Limit   int       // at most this many, newest first; 0 means 25, never more than 1000
}

// Head is the end of a tenant's log. Who notes it down elsewhere can prove later that nothing before it was rewritten.
type Head struct {
	Seq  int64 // 0 for an empty log
	Hash []byte
}

// Report is what checking a stored log found.
type Report struct {
	Head     Head
	Entries  int64 // how many were read and found whole
	BrokenAt int64 // the Seq of the first place that was changed, dropped, added or moved; 0 when all is whole
}

// Whole says whether nothing was changed.
func (r Report) Whole() bool { return r.BrokenAt == 0 }
