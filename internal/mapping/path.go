// SPDX-License-Identifier: Apache-2.0

package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// mostItems is how many items of a list can be named. A greater number behind a dot is a name, such as a year.
const mostItems = 1000

// step leads from a value into it: to a part of an object by its name, or to an item of a list by its number.
type step struct {
	name string
	item int  // counted from 0; -1 where the name is no number
	list bool // it was written in brackets, and means an item only
}

// parsePath takes a field's name apart: address.city, lines.0.sku or lines[0].sku. Brackets with anything but an item's number in them
// are a part of the name.
func parsePath(name string) (path []step) {
	for _, part := range strings.Split(name, ".") {
		var items []step
		for strings.HasSuffix(part, "]") {
			open := strings.LastIndexByte(part, '[')
			if open <= 0 || itemNumber(part[open+1:len(part)-1]) < 0 {
				break
			}
			inside := part[open+1 : len(part)-1]
			items = append(items, step{name: inside, item: itemNumber(inside), list: true})
			part = part[:open]
		}
		path = append(path, step{name: part, item: itemNumber(part)})
		slices.Reverse(items)
		path = append(path, items...)
	}
	return path
}

// itemNumber is the number of an item that s is, -1 for none.
func itemNumber(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n >= mostItems || strconv.Itoa(n) != s {
		return -1
	}
	return n
}

// of is what the step leads to inside v; nil where there is no such thing.
func (s step) of(v record.Value) record.Value {
	switch c := v.(type) {
	case map[string]any:
		if !s.list {
			return c[s.name]
		}
	case []any:
		if s.item >= 0 && s.item < len(c) {
			return c[s.item]
		}
	}
	return nil
}

// comparePaths orders paths so that an item comes behind those before it in its list.
func comparePaths(a, b []step) int {
	return slices.CompareFunc(a, b, func(x, y step) int {
		if x.item >= 0 && y.item >= 0 {
			return x.item - y.item
		}
		return strings.Compare(x.name, y.name)
	})
}

// placing puts values inside a column's value.
type placing struct {
	shared bool // the column's value is somebody else's: what changes is copied
	loose  bool // items that are missing in a list are no error, but nothing
}

// put returns in with v at the path inside it. Objects and lists on the way are made where there is nothing. Where nothing is to be put
// where nothing is, a list gets no item; an object gets the name without a value only when it is a new one.
func (p placing) put(in record.Value, path []step, v record.Value) (record.Value, error) {
	if len(path) == 0 {
		return v, nil
	}
	s, rest := path[0], path[1:]
	switch c := in.(type) {
	case map[string]any:
		if s.list {
			return p.misfit(in, v, "an object, and no list")
		}
		if _, has := c[s.name]; !has && v == nil && p.shared {
			return in, nil
		}
		inner, err := p.put(c[s.name], rest, v)
		if err != nil {
			return nil, err
		}
		if p.shared {
			c = maps.Clone(c)
		}
		c[s.name] = inner
		return c, nil
	case []any:
		if s.item < 0 {
			return p.misfit(in, v, "a list, and no object")
		}
		return p.item(c, s, rest, v)
	case nil:
		if s.item >= 0 {
			return p.item(nil, s, rest, v)
		}
		inner, err := p.put(nil, rest, v)
		return map[string]any{s.name: inner}, err
	}
	return p.misfit(in, v, fmt.Sprintf("%s, and nothing with parts", shorten(record.Text(in))))
}

// misfit leaves what stands there as it is where nothing is to be put there.
func (p placing) misfit(in, v record.Value, what string) (record.Value, error) {
	if v == nil {
		return in, nil
	}
	return nil, fmt.Errorf("it cannot be written: there is %s, and nothing is written over that. Correct the record, or map another field", what)
}

func (p placing) item(c []any, s step, rest []step, v record.Value) (record.Value, error) {
	switch {
	case s.item >= len(c) && v == nil:
		if c == nil {
			return nil, nil
		}
		return c, nil
	case s.item > len(c) && !p.loose:
		return nil, fmt.Errorf("it would be item %d of a list of %d, with nothing between. Map the items before it too, and see that they have values", s.item, len(c))
	}
	for len(c) <= s.item {
		c = append(c[:len(c):len(c)], nil)
	}
	inner, err := p.put(c[s.item], rest, v)
	if err != nil {
		return nil, err
	}
	if p.shared {
		c = slices.Clone(c)
	}
	c[s.item] = inner
	if inner == nil { // a list has no empty items at its end
		for len(c) > 0 && c[len(c)-1] == nil && s.item == len(c)-1 {
			c = c[:len(c)-1]
			s.item--
		}
	}
	return c, nil
}
