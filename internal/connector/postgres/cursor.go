// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// place is what a cursor says. Which parts are used depends on the detection.
type place struct {
	By       string   `json:"by"`  // the detection
	Relation uint32   `json:"rel"` // the table's oid: another table of the same name is another place
	Snapshot bool     `json:"snapshot,omitempty"`
	After    []string `json:"after,omitempty"` // snapshot and sweeps: the last key, as texts
	Total    int64    `json:"total,omitempty"` // snapshot: the estimate made at its beginning

	Made   string `json:"made,omitempty"`   // database-trigger: which making of the log the position belongs to
	Seen   string `json:"seen,omitempty"`   // database-trigger: the transactions whose changes were all read, as a pg_snapshot
	Window string `json:"window,omitempty"` // those being read, in order of (Xid, Seq), when not all fitted in a page
	Xid    uint64 `json:"xid,omitempty"`    // where in the window
	Seq    int64  `json:"seq,omitempty"`

	LSN   uint64 `json:"lsn,omitempty"`   // cdc: all commits before were read
	Entry int    `json:"entry,omitempty"` // cdc: how many changes of the commit at LSN were read
	Until uint64 `json:"until,omitempty"` // cdc: before it, transactions of Seen were visible to the snapshot already

	Time  string   `json:"time,omitempty"`  // timestamp: where the next pass begins; in a pass where the one after it will
	Open  []openTx `json:"open,omitempty"`  // timestamp: transactions that may still bring older times
	Began string   `json:"began,omitempty"` // timestamp: when the pass under way began, by the server's clock
	At    string   `json:"at,omitempty"`    // timestamp: the time of the last row of the pass; its key is After

	Tags []int64 `json:"tags,omitempty"` // hash: the pages last read, for Acknowledge
	Bare bool    `json:"bare,omitempty"` // hash: no list is kept beside the table
}

func (p place) cursor() record.Cursor {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

// lostPlace asks for a new snapshot, and says why.
func lostPlace(code, format string, args ...any) error {
	return &connector.Error{Class: connector.LostPlace, Code: "postgresql." + code, Message: fmt.Sprintf(format, args...)}
}

// placeOf reads a cursor; it must be one of this table.
func placeOf(c record.Cursor, t *table) (place, error) {
	var p place
	if err := json.Unmarshal(c, &p); err != nil {
		return p, lostPlace("cursor_unreadable", "The stored position is not one of this connector; the table %s is read anew.", t.sql())
	}
	if p.Relation != t.oid {
		return p, lostPlace("table_replaced", "The table %s was made anew since it was last read; it is read from its beginning.", t.sql())
	}
	return p, nil
}

// txSnapshot is a pg_snapshot: the transactions that were visible at a moment.
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT-PARTS
type txSnapshot struct {
	xmin, xmax uint64   // all below xmin had ended; none from xmax on had begun
	running    []uint64 // those between that had not ended, in order
}

func parseSnapshot(s string) (txSnapshot, error) {
	bad := fmt.Errorf("%q is not a pg_snapshot", s)
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return txSnapshot{}, bad
	}
	var snap txSnapshot
	var err error
	if snap.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return snap, bad
	}
	if snap.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return snap, bad
	}
	if parts[2] == "" {
		return snap, nil
	}
	for _, x := range strings.Split(parts[2], ",") {
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return snap, bad
		}
		snap.running = append(snap.running, n)
	}
	return snap, nil
}

// sees says whether a committed transaction's changes are visible in the snapshot.
func (s txSnapshot) sees(xid uint64) bool {
	if xid < s.xmin {
		return true
	}
	if xid >= s.xmax {
		return false
	}
	for _, r := range s.running {
		if r == xid {
			return false
		}
	}
	return true
}
