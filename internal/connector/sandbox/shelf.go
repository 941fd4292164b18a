// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Shelf keeps files in a world: records of the table "files" with name and content. Content that is no text is kept in base64.
type Shelf struct{ W *World }

// ShelfFiles is the table.
const ShelfFiles = "files"

const binaryMark = "base64:"

// Find is the file of that name, nil when there is none.
func (s Shelf) Find(name string) *Record {
	for _, r := range s.W.Table(ShelfFiles).Records {
		if r.Live() && r.Fields["name"] == name {
			return r
		}
	}
	return nil
}

// Files are those whose names begin with the prefix, in the order of their making.
func (s Shelf) Files(prefix string) (out []*Record) {
	for _, r := range s.W.Sorted(ShelfFiles) {
		if r.Live() && strings.HasPrefix(Text(r.Fields["name"]), prefix) {
			out = append(out, r)
		}
	}
	return out
}

// Data is a file's content.
func (s Shelf) Data(r *Record) []byte {
	text := Text(r.Fields["content"])
	if coded, ok := strings.CutPrefix(text, binaryMark); ok {
		if b, err := base64.StdEncoding.DecodeString(coded); err == nil {
			return b
		}
	}
	return []byte(text)
}

// Put makes or replaces a file.
func (s Shelf) Put(name string, data []byte) *Record {
	content := string(data)
	if !utf8.Valid(data) || strings.HasPrefix(content, binaryMark) {
		content = binaryMark + base64.StdEncoding.EncodeToString(data)
	}
	if r := s.Find(name); r != nil {
		return s.W.Update(ShelfFiles, r.ID, map[string]any{"content": content})
	}
	return s.W.Insert(ShelfFiles, "", map[string]any{"name": name, "content": content})
}

// Remove takes a file away for good.
func (s Shelf) Remove(name string) bool {
	r := s.Find(name)
	if r == nil {
		return false
	}
	delete(s.W.Table(ShelfFiles).Records, r.ID)
	s.W.Seq++
	return true
}
