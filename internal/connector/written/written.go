// SPDX-License-Identifier: Apache-2.0

// Package written remembers which records a connector wrote and has not compared since, for systems that are read whole and compared with what
// they were. These records count as unknown: who deletes a new one at once, or puts back what had stood there, leaves the system as it was when
// it was compared last.
package written

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Records are those of all objects of a system. The zero value is ready; any number of goroutines may use it.
type Records struct {
	mu sync.Mutex
	of map[record.Object]*written
}

type written struct {
	keys   map[record.Key]int // with the number of the last write
	writes int
	told   map[record.Key]int // those of the last page: who goes on behind its cursor has them
	cursor record.Cursor
}

// Note says that records were written.
func (r *Records) Note(object record.Object, keys []record.Key) {
	if len(keys) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.of[object]
	if w == nil {
		w = &written{keys: make(map[record.Key]int, len(keys))}
		if r.of == nil {
			r.of = make(map[record.Object]*written)
		}
		r.of[object] = w
	}
	w.writes++
	for _, k := range keys {
		w.keys[k] = w.writes
	}
}

// NoteApplied says that those of the writes were written that the receipts call so: by the key that was meant, and the one that the system gave.
func (r *Records) NoteApplied(object record.Object, writes []connector.Write, receipts []connector.Receipt) {
	var keys []record.Key
	for i := range receipts {
		if receipts[i].Outcome == connector.Applied {
			keys = append(keys, receipts[i].Key)
			if k := writes[i].Key; k != "" {
				keys = append(keys, k)
			}
		}
	}
	r.Note(object, keys)
}

// Since are the records that were written and that whoever goes on at the cursor was not told of, each with the number of its last write. They
// are asked for before the system is read: what was noted by then stood in it.
func (r *Records) Since(object record.Object, cursor record.Cursor) map[record.Key]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.of[object]
	if w == nil {
		return nil
	}
	if bytes.Equal(w.cursor, cursor) {
		for k, n := range w.told {
			if w.keys[k] == n {
				delete(w.keys, k)
			}
		}
		w.told = nil
	}
	return maps.Clone(w.keys)
}

// Told says that these, of Since, are known to whoever goes on at the cursor.
func (r *Records) Told(object record.Object, told map[record.Key]int, cursor record.Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.of[object]; w != nil {
		w.told, w.cursor = told, slices.Clone(cursor)
	}
}
