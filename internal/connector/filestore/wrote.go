// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"maps"
	"slices"
	"sort"

	"github.com/syncline-dev/syncline/internal/record"
)

// handed notes which of the records that were written a page told of: all behind one key, up to another; where a place has none, all of them.
func (s *System) handed(object record.Object, ours map[record.Key]int, from place, to place) {
	if len(ours) == 0 {
		return
	}
	maps.DeleteFunc(ours, func(k record.Key, _ int) bool { return from.Begun && k <= from.After || to.Begun && k > to.After })
	s.written.Told(object, ours, to.cursor())
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
