// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/syncline-dev/syncline/internal/record"
)

// DifferenceKind is what happened to a part of a document.
type DifferenceKind string

// The kinds.
const (
	Added   DifferenceKind = "added"
	Removed DifferenceKind = "removed"
	Changed DifferenceKind = "changed"
)

// Difference is one part in which two documents differ.
type Difference struct {
	// Path names the part in the canonical form: "systems[shop].connection.host", "fieldMapping.email". Items of lists are
	// named by their id or name; a list whose common items are in another order differs in its own path.
	Path   string         `json:"path"`
	Kind   DifferenceKind `json:"kind"`
	Before record.Value   `json:"before,omitempty"` // absent for Added
	After  record.Value   `json:"after,omitempty"`  // absent for Removed
}

// Diff lists how b differs from a, by path; empty when their canonical forms are equal. A nil document is empty.
func Diff(a, b *Document) []Difference {
	d := &differ{}
	d.compare("", a.tree(), b.tree())
	slices.SortStableFunc(d.out, func(x, y Difference) int { return bytes.Compare([]byte(x.Path), []byte(y.Path)) })
	return d.out
}

// tree returns the canonical form as values.
func (d *Document) tree() record.Value {
	if d == nil {
		return map[string]any{}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return map[string]any{}
	}
	v, err := record.ParseJSON(b)
	if err != nil {
		return map[string]any{}
	}
	return v
}

type differ struct{ out []Difference }

func (d *differ) note(path string, kind DifferenceKind, before, after record.Value) {
	d.out = append(d.out, Difference{path, kind, before, after})
}

func (d *differ) compare(path string, a, b record.Value) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			d.blocks(path, x, y)
			return
		}
	case []any:
		if y, ok := b.([]any); ok && d.lists(path, x, y) {
			return
		}
	}
	if !record.Equal(a, b) {
		d.note(path, Changed, a, b)
	}
}

func (d *differ) blocks(path string, a, b map[string]any) {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	for _, name := range sortedKeys(all) {
		here := name
		if path != "" {
			here = path + "." + name
		}
		before, had := a[name]
		after, has := b[name]
		switch {
		case !had:
			d.note(here, Added, nil, after)
		case !has:
			d.note(here, Removed, before, nil)
		default:
			d.compare(here, before, after)
		}
	}
}

// lists compares lists whose items have names; false when they have none, or not each its own.
func (d *differ) lists(path string, a, b []any) bool {
	before, orderA, ok := itemsByName(a)
	if !ok {
		return false
	}
	after, orderB, ok := itemsByName(b)
	if !ok || len(a)+len(b) == 0 {
		return false
	}
	var common [2][]string
	for _, name := range orderA {
		here := path + "[" + name + "]"
		if item, has := after[name]; has {
			common[0] = append(common[0], name)
			d.compare(here, before[name], item)
		} else {
			d.note(here, Removed, before[name], nil)
		}
	}
	for _, name := range orderB {
		if _, had := before[name]; had {
			common[1] = append(common[1], name)
		} else {
			d.note(path+"["+name+"]", Added, nil, after[name])
		}
	}
	if !slices.Equal(common[0], common[1]) {
		d.note(path, Changed, anyTexts(common[0]), anyTexts(common[1]))
	}
	return true
}

// itemsByName indexes the items of a list by their id, name or type.
func itemsByName(list []any) (items map[string]any, order []string, ok bool) {
	items = make(map[string]any, len(list))
	for _, item := range list {
		fields, isBlock := item.(map[string]any)
		if !isBlock {
			return nil, nil, false
		}
		name := ""
		for _, key := range []string{"id", "name", "type"} {
			if text, is := fields[key].(string); is && text != "" {
				name = text
				break
			}
		}
		if _, twice := items[name]; name == "" || twice {
			return nil, nil, false
		}
		items[name] = item
		order = append(order, name)
	}
	return items, order, true
}

func anyTexts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
