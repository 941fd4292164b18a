// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"maps"
	"slices"
	"sort"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// wrote are the records of an object that were written and not compared since. They count as unknown: who deletes a new record at once,
// or puts back what had stood there, leaves the file as it was when it was compared last.
type wrote struct {
	keys   map[record.Key]int // with the number of the last write
	writes int
	told   map[record.Key]int // those of the last page: who goes on behind its cursor has them
	cursor record.Cursor
}

// note says that records were written.
func (s *System) note(object record.Object, writes []connector.Write, receipts []connector.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wrote[object]
	if w == nil {
		w = &wrote{keys: map[record.Key]int{}}
		s.wrote[object] = w
	}
	w.writes++
	for i := range receipts {
		if receipts[i].Outcome == connector.Applied {
			w.keys[receipts[i].Key] = w.writes
			if k := writes[i].Key; k != "" {
				w.keys[k] = w.writes
			}
		}
	}
}

// ours are those keys. They are asked for before the file is read: what was noted by then stood in it.
func (s *System) ours(object record.Object, cursor record.Cursor) map[record.Key]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wrote[object]
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

// handed notes which of them a page told of: all behind one key, up to another; where a place has none, all of them.
func (s *System) handed(object record.Object, ours map[record.Key]int, from place, to place) {
	if len(ours) == 0 {
		return
	}
	maps.DeleteFunc(ours, func(k record.Key, _ int) bool { return from.Begun && k <= from.After || to.Begun && k > to.After })
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wrote[object]
	w.told, w.cursor = ours, to.cursor()
}

// unknown takes records out of a list, but for their keys: they will differ from whatever there is.
func unknown(list []listed, ours map[record.Key]int) []listed {
	if len(ours) == 0 {
		return list
	}
	list = slices.DeleteFunc(list, func(l listed) bool { _, is := ours[l.key]; return is })
	for k := range ours {
		list = append(list, listed{key: k})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].key < list[j].key })
	return list
}
