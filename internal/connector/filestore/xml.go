// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// XML: the records are the children of the root, or of the element that the setting recordPath leads to. A record's fields are its
// attributes (@id) and its elements; an element that is not there is null, one that is empty is the empty text. An
// element with elements of its own is a value of type json, read only. What is kept when the file is written: everything around
// the records, and the bytes of every record that nobody changed.

type xmlCodec struct {
	coding

	before, after []byte
	between       string // the space before each record
	element       string // the name of a record's element
}

// rawXML is a record's bytes, with the fields that are attributes and those that are too deep to be written.
type rawXML struct {
	text   []byte
	nested map[string][]byte
}

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
		raw := rawXML{text: b[n.start:n.end], nested: map[string][]byte{}}
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
			raw.nested[f.name] = append(raw.nested[f.name], b[f.start:f.end]...)
		}
		for name, list := range deep {
			var v record.Value = list
			if len(list) == 1 {
				v = list[0]
			}
			r.fields[name] = v
			for _, col := range l.columns {
				if col.Name == name {
					col.Type, col.Native, col.ReadOnly, col.Nullable = connector.TypeJSON, "nested elements", true, true
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
			if nested := raw.nested[col.Name]; nested != nil {
				b.Write(nested)
				continue
			}
			if _, err := c.fits(col.Name); err != nil || !xmlName(col.Name) { // a name has no numbers for signs
				return nil, fmt.Errorf("%s cannot be the name of an element", shorten(col.Name))
			}
			b.WriteString("<" + col.Name + ">")
			text := toText(col.Type, v)
			if s, flat := v.(string); flat && col.ReadOnly {
				text = s
			}
			_ = xml.EscapeText(&b, []byte(text))
			b.WriteString("</" + col.Name + ">")
		}
		b.WriteString(c.between + "</" + c.element + ">")
	}
	b.Write(c.after)
	// A sign that the encoding lacks is written by its number.
	return c.recode(b.Bytes(), encoding.HTMLEscapeUnsupported(charset(c.charset).NewEncoder()))
}
