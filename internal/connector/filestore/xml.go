// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// XML: the records are the children of the root, or of the element that the setting recordPath leads to. A record's fields are its
// attributes (@id) and its elements; an element that is not there is null, one that is empty is the empty text. An
// element with attributes or elements of its own, or one that comes again, is a value of type json: elements are members, those that come
// again lists, attributes have an @ before their name, and text between is #text. What is kept when the file is written: everything around
// the records, the bytes of every record that nobody changed, and those of nested elements that nobody changed.

type xmlCodec struct {
	coding

	before, after []byte
	between       string // the space before each record
	element       string // the name of a record's element
}

// rawXML is a record's bytes, with those of its nested elements.
type rawXML struct {
	text   []byte
	nested map[string]*rawNested
}

// rawNested is what a nested field was read from.
type rawNested struct {
	text  []byte
	value record.Value
}

// nestedElements is what a column is called whose values are elements in elements.
const nestedElements = "nested elements"

// node is an element on the way in.
type xmlNode struct {
	name       string
	attributes []xml.Attr
	children   []xmlNode
	text       strings.Builder
	start, end int64 // in the file
	inner      [2]int64
}

func (n *xmlNode) value() record.Value {
	if len(n.children) == 0 && len(n.attributes) == 0 {
		return n.text.String()
	}
	m := map[string]any{}
	add := func(name string, v any) {
		switch was := m[name].(type) {
		case nil:
			m[name] = v
		case []any:
			m[name] = append(was, v)
		default:
			m[name] = []any{was, v}
		}
	}
	for _, a := range n.attributes {
		add("@"+a.Name.Local, a.Value)
	}
	for i := range n.children {
		add(n.children[i].name, n.children[i].value())
	}
	if s := strings.TrimSpace(n.text.String()); s != "" {
		add("#text", s)
	}
	return m
}

func readXML(b []byte, o Options, object record.Object) (layout, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return layout{texts: true, codec: &xmlCodec{coding: coding{charset: "utf-8"}, before: []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<records>"), after: []byte("\n</records>\n"), between: "\n  ", element: "record"}}, nil
	}
	var code coding
	b, err := code.decodeXML(b)
	if err != nil {
		return layout{}, faulty("files.encoding", "%s: %v.", object, err)
	}
	root, err := parseXML(b)
	if err != nil {
		return layout{}, faulty("files.malformed", "%s: %v.", object, err)
	}
	list := root
	if o.RecordPath != "" {
		for _, step := range strings.Split(o.RecordPath, ".") {
			var next *xmlNode
			for i := range list.children {
				if list.children[i].name == step {
					next = &list.children[i]
					break
				}
			}
			if next == nil {
				return layout{}, faulty("files.malformed", "%s: there is no element %s, which the connection's setting recordPath names.", object, step)
			}
			list = next
		}
	}
	c := &xmlCodec{coding: code, element: "record", between: "\n  ", before: b[:list.inner[0]], after: b[list.inner[1]:]}
	if list.inner[0] == list.end { // <records/>
		open := bytes.TrimRight(bytes.TrimSuffix(bytes.TrimRight(b[list.start:list.end], " "), []byte("/>")), " ")
		c.before = append(append(append([]byte(nil), b[:list.start]...), open...), '>')
		c.after = append([]byte("\n</"+list.name+">"), b[list.end:]...)
	} else if len(list.children) == 0 {
		c.after = append([]byte("\n"), c.after...)
	}
	l := layout{codec: c, texts: true}
	for i := range list.children {
		n := &list.children[i]
		if i == 0 {
			c.element = n.name
			c.between = string(b[list.inner[0]:n.start])
		}
		if n.name != c.element {
			return l, faulty("files.malformed", "%s: the element %s stands among the records, which are called %s. Name the element that holds the records in the connection's setting recordPath.", object, n.name, c.element)
		}
		raw := rawXML{text: b[n.start:n.end], nested: map[string]*rawNested{}}
		r := &row{fields: record.Fields{}, where: fmt.Sprintf("record %d", i+1)}
		for _, a := range n.attributes {
			l.column("@" + a.Name.Local)
			r.fields["@"+a.Name.Local] = a.Value
		}
		deep := map[string][]any{}
		count := map[string]int{}
		for j := range n.children {
			count[n.children[j].name]++
		}
		for j := range n.children {
			f := &n.children[j]
			l.column(f.name)
			v := f.value()
			if _, flat := v.(string); flat && count[f.name] == 1 {
				r.fields[f.name] = v
				continue
			}
			deep[f.name] = append(deep[f.name], v)
			if raw.nested[f.name] == nil {
				raw.nested[f.name] = &rawNested{}
			}
			raw.nested[f.name].text = append(raw.nested[f.name].text, b[f.start:f.end]...)
		}
		for name, list := range deep {
			var v record.Value = list
			if len(list) == 1 {
				v = list[0]
			}
			r.fields[name], raw.nested[name].value = v, v
			for _, col := range l.columns {
				if col.Name == name {
					col.Type, col.Native, col.Nullable = connector.TypeJSON, nestedElements, true
				}
			}
		}
		r.raw = raw
		l.rows = append(l.rows, r)
	}
	if len(list.children) > 0 {
		last := list.children[len(list.children)-1].end
		c.after = append(append([]byte(nil), b[last:list.inner[1]]...), c.after...)
	}
	return l, nil
}

func parseXML(b []byte) (*xmlNode, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now, whatever its first line says
	var stack []*xmlNode
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it has no root element")
			}
			return nil, err
		}
		switch x := token.(type) {
		case xml.StartElement:
			n := &xmlNode{name: x.Name.Local, attributes: append([]xml.Attr(nil), x.Attr...), start: at}
			n.inner[0] = d.InputOffset()
			stack = append(stack, n)
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(x)
			}
		case xml.EndElement:
			n := stack[len(stack)-1]
			n.inner[1], n.end = at, d.InputOffset()
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return n, nil
			}
			up := stack[len(stack)-1]
			up.children = append(up.children, xmlNode{name: n.name, attributes: n.attributes, children: n.children, start: n.start, end: n.end, inner: n.inner})
			up.children[len(up.children)-1].text.WriteString(n.text.String())
		}
	}
}

// xmlText is what XML can hold: no control characters but tab and line feed.
func xmlText(v record.Value) (record.Value, error) {
	s, isText := v.(string)
	if !isText {
		return v, nil
	}
	for _, r := range s {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff || r == utf8.RuneError {
			return nil, fmt.Errorf("cannot hold %s: XML has no such character", shorten(s))
		}
	}
	return s, nil
}

// xmlName says whether the name can be that of an element.
func xmlName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7f
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '-' || r == '.')) {
			return false
		}
	}
	return s != ""
}

func (c *xmlCodec) encode(t *table) ([]byte, error) {
	var b bytes.Buffer
	b.Write(c.before)
	for _, r := range t.rows {
		b.WriteString(c.between)
		raw, _ := r.raw.(rawXML)
		if !r.changed && raw.text != nil {
			b.Write(raw.text)
			continue
		}
		b.WriteString("<" + c.element)
		for _, col := range t.columns {
			name, attribute := strings.CutPrefix(col.Name, "@")
			if v := r.fields[col.Name]; attribute && v != nil {
				b.WriteString(" " + name + `="`)
				_ = xml.EscapeText(&b, []byte(toText(col.Type, v))) // a buffer does not fail
				b.WriteByte('"')
			}
		}
		b.WriteString(">")
		for _, col := range t.columns {
			v := r.fields[col.Name]
			if v == nil || strings.HasPrefix(col.Name, "@") {
				continue
			}
			b.WriteString(c.between + "  ")
			if nested := raw.nested[col.Name]; nested != nil && record.Equal(nested.value, v) {
				b.Write(nested.text)
				continue
			}
			if _, err := c.fits(col.Name); err != nil || !xmlName(col.Name) { // a name has no numbers for signs
				return nil, fmt.Errorf("%s cannot be the name of an element", shorten(col.Name))
			}
			if col.Native == nestedElements {
				if err := c.nested(&b, col.Name, v, c.between+"  "); err != nil {
					return nil, err
				}
				continue
			}
			b.WriteString("<" + col.Name + ">")
			_ = xml.EscapeText(&b, []byte(toText(col.Type, v)))
			b.WriteString("</" + col.Name + ">")
		}
		b.WriteString(c.between + "</" + c.element + ">")
	}
	b.Write(c.after)
	// A sign that the encoding lacks is written by its number.
	return c.recode(b.Bytes(), encoding.HTMLEscapeUnsupported(charset(c.charset).NewEncoder()))
}

// nested writes a value as elements of that name, each on a line that begins with this space. It is in the form of xmlNested.
func (c *xmlCodec) nested(b *bytes.Buffer, name string, v record.Value, space string) error {
	if _, err := c.fits(name); err != nil || !xmlName(name) { // a name has no numbers for signs
		return fmt.Errorf("%s cannot be the name of an element", shorten(name))
	}
	if list, ok := v.([]any); ok {
		for i, e := range list {
			if i > 0 {
				b.WriteString(space)
			}
			if err := c.nested(b, name, e, space); err != nil {
				return err
			}
		}
		return nil
	}
	b.WriteString("<" + name)
	m, _ := v.(map[string]any)
	members := slices.Sorted(maps.Keys(m))
	for _, k := range members {
		if attribute, is := strings.CutPrefix(k, "@"); is {
			b.WriteString(" " + attribute + `="`)
			_ = xml.EscapeText(b, []byte(record.Text(m[k]))) // a buffer does not fail
			b.WriteByte('"')
		}
	}
	b.WriteString(">")
	text, deep := v, false
	if m != nil {
		text = m["#text"]
	}
	_ = xml.EscapeText(b, []byte(record.Text(text)))
	for _, k := range members {
		if k == "#text" || strings.HasPrefix(k, "@") {
			continue
		}
		deep = true
		b.WriteString(space + "  ")
		if err := c.nested(b, k, m[k], space+"  "); err != nil {
			return err
		}
	}
	if deep {
		b.WriteString(space)
	}
	b.WriteString("</" + name + ">")
	return nil
}

// xmlNested is a value as elements hold it: all else than elements is text, what is null is not there, a list of one is that one, and a list of
// none is null.
func xmlNested(v record.Value) (record.Value, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		var out []any
		for _, e := range v {
			x, err := xmlNested(e)
			if err != nil {
				return nil, err
			}
			if _, list := x.([]any); list {
				return nil, errors.New("cannot hold a list in a list: XML has no such thing")
			}
			if x == nil {
				x = "" // an element without content
			}
			out = append(out, x)
		}
		switch len(out) {
		case 0:
			return nil, nil
		case 1:
			return out[0], nil
		}
		return out, nil
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			name, attribute := strings.CutPrefix(k, "@")
			if k != "#text" && !xmlName(name) {
				return nil, fmt.Errorf("cannot hold the member %s: it is no name in XML", shorten(k))
			}
			x, err := xmlNested(e)
			if err != nil {
				return nil, err
			}
			if _, flat := x.(string); x != nil && !flat && (attribute || k == "#text") {
				return nil, fmt.Errorf("cannot hold the member %s: it takes a text", shorten(k))
			}
			if s, flat := x.(string); flat && k == "#text" {
				if s = strings.TrimSpace(s); s == "" {
					continue
				}
				x = s
			}
			if x != nil {
				out[k] = x
			}
		}
		if s, flat := out["#text"].(string); flat && len(out) == 1 {
			return s, nil
		}
		if len(out) == 0 {
			return "", nil
		}
		return out, nil
	}
	return xmlText(record.Text(v))
}
