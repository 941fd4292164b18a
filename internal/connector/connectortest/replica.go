// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// patience is how long anything may take that should happen at once; only a hang or a loss meets it.
const patience = 90 * time.Second

// replica is what a reader knows of an object from reading its pages.
type replica struct {
	sys    connector.System
	object record.Object
	limit  int
	fields []string
	cursor record.Cursor
	phase  connector.Phase
	rows   map[record.Key]record.Fields
	// rising, when set, is a field that only ever grows while a record lives: a smaller value is a step back in time.
	rising string
	floor  map[record.Key]record.Number
	seen   []record.Change // since it was last cleared
}

func newReplica(sys connector.System, object record.Object, limit int) *replica {
	return &replica{sys: sys, object: object, limit: limit, phase: connector.Snapshot, rows: map[record.Key]record.Fields{}, floor: map[record.Key]record.Number{}}
}

// fork is a second reader that stands where this one stands.
func (r *replica) fork(sys connector.System) *replica {
	c := newReplica(sys, r.object, r.limit)
	c.cursor, c.phase, c.fields = slices.Clone(r.cursor), r.phase, r.fields
	for k, v := range r.rows {
		c.rows[k] = v
	}
	return c
}

// pull reads one page, checks what is true of every page, and applies it.
func (r *replica) pull(t *testing.T) connector.Page {
	t.Helper()
	page, err := r.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: r.object, Fields: r.fields, Cursor: r.cursor, Limit: r.limit})
	if err != nil {
		t.Fatalf("reading %s: %v", r.object, err)
	}
	if len(page.Changes) > r.limit {
		t.Fatalf("a page has %d changes, more than the limit of %d", len(page.Changes), r.limit)
	}
	if len(page.Cursor) == 0 {
		t.Fatal("a page has no cursor")
	}
	if page.Phase != connector.Snapshot && page.Phase != connector.Stream {
		t.Fatalf("a page is in the phase %q", page.Phase)
	}
	if page.Phase == connector.Snapshot && !page.More {
		t.Fatal("a snapshot that is not complete must have More")
	}
	if page.Phase == connector.Snapshot && r.phase == connector.Stream {
		t.Fatal("a stream fell back to a snapshot by itself")
	}
	inPage := map[record.Key]bool{}
	for _, c := range page.Changes {
		if inPage[c.Key] {
			t.Fatalf("the key %q occurs twice in a page", c.Key)
		}
		inPage[c.Key] = true
		switch c.Op {
		case record.Delete:
			if c.Fields != nil {
				t.Fatalf("the delete of %q has fields: %v", c.Key, c.Fields)
			}
			delete(r.rows, c.Key)
			delete(r.floor, c.Key)
		case record.Upsert:
			if c.Fields == nil {
				t.Fatalf("the upsert of %q has no fields", c.Key)
			}
			if r.rising != "" {
				n, _ := c.Fields[r.rising].(record.Number)
				if before, known := r.floor[c.Key]; known && less(n, before) {
					t.Fatalf("%q went back in time: %s was %s and is %s", c.Key, r.rising, before, n)
				}
				r.floor[c.Key] = n
			}
			r.rows[c.Key] = c.Fields
		default:
			t.Fatalf("a change of %q has the operation %q", c.Key, c.Op)
		}
	}
	r.seen = append(r.seen, page.Changes...)
	r.cursor, r.phase = page.Cursor, page.Phase
	return page
}

func less(a, b record.Number) bool {
	if len(a) != len(b) {
		return len(a) < len(b) // the suite's rising numbers are positive and whole
	}
	return a < b
}

// drain reads until there is no more.
func (r *replica) drain(t *testing.T) {
	t.Helper()
	for pages := 0; ; pages++ {
		if !r.pull(t).More {
			return
		}
		if pages > 100_000 {
			t.Fatal("reading does not come to an end")
		}
	}
}

// until reads on until nothing is lacking any more.
func (r *replica) until(t *testing.T, lacking func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		r.drain(t)
		lack := lacking()
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s of reading:\n  %s", patience, lack)
		}
		pause := time.NewTimer(wait) // the system may hand changes on with a delay
		select {
		case <-pause.C:
		case <-t.Context().Done():
		}
	}
}

// untilTrue reads on until done.
func (r *replica) untilTrue(t *testing.T, what string, done func() bool) {
	t.Helper()
	r.until(t, func() string {
		if done() {
			return ""
		}
		return what + " has not come"
	})
}

// catchUp reads on until the replica holds exactly want, of which only the fields named there are compared.
func (r *replica) catchUp(t *testing.T, want map[record.Key]record.Fields) {
	t.Helper()
	r.until(t, func() string { return difference(r.rows, want) })
}

// difference says how the rows differ from those wanted, "" when they do not.
func difference(got, want map[record.Key]record.Fields) string {
	var lines []string
	for k, w := range want {
		switch g, there := got[k]; {
		case !there:
			lines = append(lines, fmt.Sprintf("%q is missing", k))
		case !holds(g, w):
			lines = append(lines, fmt.Sprintf("%q is %.300s, want %.300s", k, record.AppendJSON(nil, map[string]any(g)), record.AppendJSON(nil, map[string]any(w))))
		}
	}
	for k := range got {
		if _, wanted := want[k]; !wanted {
			lines = append(lines, fmt.Sprintf("%q is there and should not be", k))
		}
	}
	slices.Sort(lines)
	if n := len(lines); n > 12 {
		lines = append(lines[:12], fmt.Sprintf("and %d more", n-12))
	}
	return strings.Join(lines, "\n  ")
}

// heard says whether a change of that key and kind was among those seen.
func (r *replica) heard(op record.Op, key record.Key) bool {
	return slices.ContainsFunc(r.seen, func(c record.Change) bool { return c.Key == key && c.Op == op })
}
