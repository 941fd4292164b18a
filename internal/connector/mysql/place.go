// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// place is a position in the binary log: a boundary between transactions, and how many rows of the object in the
// transaction that begins there have been dealt with.
type place struct {
	File string `json:"f"`
	Pos  uint64 `json:"p"`
	Skip int    `json:"s,omitempty"`
}

// number is the running number in the file's name ("binlog.000042").
func (p place) number() uint64 {
	i := strings.LastIndexByte(p.File, '.')
	n, _ := strconv.ParseUint(p.File[i+1:], 10, 64)
	return n
}

// compare orders places of one server.
func (p place) compare(q place) int {
	for _, d := range []int64{int64(p.number()) - int64(q.number()), int64(p.Pos) - int64(q.Pos), int64(p.Skip) - int64(q.Skip)} {
		if d != 0 {
			return int(d / abs(d))
		}
	}
	return 0
}

func abs(d int64) int64 { return max(d, -d) }

func (p place) before(q place) bool { return p.compare(q) < 0 }

func (p place) String() string { return fmt.Sprintf("%s:%d+%d", p.File, p.Pos, p.Skip) }

// boundary is the place without the rows dealt with.
func (p place) boundary() place { return place{File: p.File, Pos: p.Pos} }

// cursor is what the opaque cursor says.
type cursor struct {
	Detection string   `json:"d"`
	Streaming bool     `json:"c,omitempty"` // the snapshot is complete
	Key       []string `json:"k"`           // the key columns, by which the cursor makes sense
	After     []string `json:"a,omitempty"` // the last key of a snapshot or sweep; of timestamp: with the moment in front
	Total     int64    `json:"n,omitempty"` // rows at the beginning of the snapshot, estimated

	Log   *logCursor `json:"l,omitempty"`
	Since string     `json:"t,omitempty"` // timestamp: from this moment on changes are to be read; "" is all
	Until string     `json:"u,omitempty"` // timestamp: the moment to go back to when all pages are read
	Gone  int64      `json:"g,omitempty"` // hash: the sweep whose vanished keys are being told
	Sweep int64      `json:"w,omitempty"` // hash: the number of the sweep
}

// logCursor is a place in the log with what is needed to read from there.
type logCursor struct {
	At    place  `json:"at"`
	From  *place `json:"fr,omitempty"` // where reading must begin, when transactions prepared before At are still open (XA)
	Birth uint32 `json:"b,omitempty"`  // when the server began the file, in seconds; with Server it tells one log from another's file of the same name
	Owner uint32 `json:"o,omitempty"`  // the server's id
	GTID  string `json:"g,omitempty"`  // the last global transaction id before At, for people
	Shape *shape `json:"sh,omitempty"` // where the key stands in rows of the log at At
}

// shape is how the rows of a table stand in the log. The log of a server with the usual settings does not name columns.
type shape struct {
	Columns int   `json:"n"`
	Key     []int `json:"k"` // positions of the key columns
}

func (c cursor) encode() record.Cursor {
	b, _ := json.Marshal(c)
	return b
}

// decodeCursor reads a cursor for the table and the detection in use.
func decodeCursor(raw record.Cursor, t *table, detection string) (cursor, error) {
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil || c.Detection == "" {
		return c, lost("mysql.cursor", "The position of %s does not come from this connector; the table is read anew.", t.name)
	}
	if c.Detection != detection {
		return c, lost("mysql.detection_changed", "Changes of %s are now seen by %s instead of %s; the table is read anew.", t.name, detection, c.Detection)
	}
	if !slices.Equal(c.Key, t.keyNames()) {
		return c, lost("mysql.key_changed", "The key of %s is now (%s) instead of (%s); the table is read anew.", t.name, strings.Join(t.keyNames(), ", "), strings.Join(c.Key, ", "))
	}
	if detection == byLog && c.Log == nil {
		return c, lost("mysql.cursor", "The position of %s does not come from this connector; the table is read anew.", t.name)
	}
	return c, nil
}

// checkLimit refuses pages that the contract does not know.
func checkLimit(n int) error {
	if n < 1 || n > 10_000 {
		return &connector.Error{Class: connector.Reject, Code: "mysql.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", n)}
	}
	return nil
}
