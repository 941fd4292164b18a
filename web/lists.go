// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"strings"

	"github.com/syncline-dev/syncline/web/ui"
)

// pageSize is how many lines a page of a list has.
const pageSize = 25

// place is where in a list the reader is. Lists are read forwards by a cursor, the last line's id or name; the address keeps
// the cursors of the pages before as well (?after=a&after=b), so that there is a way back without reading backwards.
type place struct {
	v       *visit
	cursors []string
}

// place reads it from the address.
func (v *visit) place() place {
	p := place{v: v}
	for _, c := range v.r.URL.Query()["after"] {
		if c != "" && len(c) <= 200 && len(p.cursors) < 200 {
			p.cursors = append(p.cursors, c)
		}
	}
	return p
}

// after is the cursor of this page; "" for the first.
func (p place) after() string {
	if len(p.cursors) == 0 {
		return ""
	}
	return p.cursors[len(p.cursors)-1]
}

// pager leads on and back. shown is how many lines this page has, next the cursor of the next one or "" at the end; one and
// many are what is listed: "service", "services".
func (p place) pager(shown int, next, one, many string) ui.Pager {
	out := ui.Pager{Shown: ui.Count(int64(shown), one, many)}
	if len(p.cursors) == 0 && next == "" {
		return out
	}
	first := len(p.cursors)*pageSize + 1
	out.Shown = ui.Number(int64(first)) + " to " + ui.Number(int64(first+shown-1))
	if shown == 0 {
		out.Shown = "no more " + many
	}
	if len(p.cursors) > 0 {
		out.Prev = p.address(p.cursors[:len(p.cursors)-1])
	}
	if next != "" {
		out.Next = p.address(append(p.cursors[:len(p.cursors):len(p.cursors)], next))
	}
	return out
}

// address is this list's with other cursors and the same filters.
func (p place) address(cursors []string) string {
	q := p.v.r.URL.Query()
	q.Del("after")
	for _, c := range cursors {
		q.Add("after", c)
	}
	return address(p.v.r.URL.Path, q)
}

func address(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// cut takes the line too many that was read to learn whether there is more, and says so.
func cut[T any](list []T) (shown []T, more bool) {
	if len(list) > pageSize {
		return list[:pageSize], true
	}
	return list, false
}

// A chip is a filter in force that can be taken away; label and value as people read them.
func (v *visit) chip(param, label, value string) ui.Chip {
	q := v.r.URL.Query()
	q.Del(param)
	q.Del("after")
	return ui.Chip{Label: label, Value: value, Remove: address(v.r.URL.Path, q)}
}

// options makes the choices of a filter: the first is for any, the others are words of the API.
func options(any string, words ...string) []ui.Option {
	out := []ui.Option{{Label: any}}
	for _, w := range words {
		out = append(out, ui.Option{Value: w, Label: ui.Words(w)})
	}
	return out
}

// words are a list's items as plain strings.
func words[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// and joins names for a sentence: "a", "a and b", "a, b and c".
func and(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
