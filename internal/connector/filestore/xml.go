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
// again lists, attributes have an @ before their name, and text between is #text. Names are without prefixes, and what binds a prefix to a
// namespace is no field. What is kept when the file is written: everything around the records, the bytes of every record that nobody changed,
// those of nested elements that nobody changed, and the prefixes and bindings of what was changed; a new record has those of the others.

type xmlCodec struct {
	coding

	before, after []byte
	between       string            // the space before each record
	element       string            // the name of a record's element, as it is written
	like          *xmlForm          // how records are written that have no form of their own; nil where there are no prefixes
	bound         map[string]bool   // prefixes that are bound around the records
	spaces        map[string]string // what each prefix is bound to, as first seen in a record
}

// rawXML is a record's bytes, with those of its nested elements.
type rawXML struct {
	text   []byte
	nested map[string]*rawNested
	form   *xmlForm // nil where nothing has a prefix or binds one
}

// xmlForm is what fields do not say of an element: its name with the prefix, the same of its attributes and elements, and what it binds.
type xmlForm struct {
	name       string
	bound      []xml.Attr
	attributes map[string]string     // by name without prefix
	children   map[string][]*xmlForm // by name without prefix, in order
}

func (f *xmlForm) child(name string, i int) *xmlForm {
	if f == nil || len(f.children[name]) == 0 {
		return nil
	}
	return f.children[name][min(i, len(f.children[name])-1)]
}

// join adds what other has and f has not.
func (f *xmlForm) join(other *xmlForm) {
	for name, raw := range other.attributes {
		if f.attributes[name] == "" {
			f.attributes[name] = raw
		}
	}
	for name, list := range other.children {
		if mine := f.children[name]; mine == nil {
			f.children[name] = list[:1:1]
		} else {
			mine[0].join(list[0])
		}
	}
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
	name       string // without prefix
	raw        string // with it
	attributes []xml.Attr
	bound      []xml.Attr // what binds prefixes, xmlns and xmlns:x
	children   []xmlNode
	text       strings.Builder
	start, end int64 // in the file
	inner      [2]int64
}

// called is an attribute's name without its prefix, but where another one has that name.
func (n *xmlNode) called(a xml.Attr) string {
	for _, b := range n.attributes {
		if a.Name.Space != "" && b.Name.Local == a.Name.Local && b.Name.Space != a.Name.Space {
			return prefixed(a.Name)
		}
	}
	return a.Name.Local
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
		add("@"+n.called(a), a.Value)
	}
	for i := range n.children {
		add(n.children[i].name, n.children[i].value())
	}
	if s := strings.TrimSpace(n.text.String()); s != "" {
		add("#text", s)
	}
	return m
}

// form is nil where nothing has a prefix or binds one.
func (n *xmlNode) form() *xmlForm {
	f, plain := n.fullForm()
	if plain {
		return nil
	}
	return f
}

func (n *xmlNode) fullForm() (f *xmlForm, plain bool) {
	f = &xmlForm{name: n.raw, bound: n.bound, attributes: map[string]string{}, children: map[string][]*xmlForm{}}
	plain = n.raw == n.name && len(n.bound) == 0
	for _, a := range n.attributes {
		f.attributes[n.called(a)] = prefixed(a.Name)
		plain = plain && a.Name.Space == ""
	}
	for i := range n.children {
		c, same := n.children[i].fullForm()
		f.children[n.children[i].name] = append(f.children[n.children[i].name], c)
		plain = plain && same
	}
	return f, plain
}

func prefixed(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// binds says whether an attribute binds a prefix, and which; "" for what has none.
func binds(n xml.Name) (prefix string, yes bool) {
	if n.Space == "xmlns" {
		return n.Local, true
	}
	return "", n.Space == "" && n.Local == "xmlns"
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
	list, bound := root, map[string]bool{}
	bind := func(n *xmlNode) {
		for _, a := range n.bound {
			if prefix, _ := binds(a.Name); prefix != "" {
				bound[prefix] = true
			}
		}
	}
	bind(root)
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
			bind(list)
		}
	}
	c := &xmlCodec{coding: code, bound: bound, spaces: map[string]string{}, element: "record", between: "\n  ", before: b[:list.inner[0]], after: b[list.inner[1]:]}
	if list.inner[0] == list.end { // <records/>
		open := bytes.TrimRight(bytes.TrimSuffix(bytes.TrimRight(b[list.start:list.end], " "), []byte("/>")), " ")
		c.before = append(append(append([]byte(nil), b[:list.start]...), open...), '>')
		c.after = append([]byte("\n</"+list.raw+">"), b[list.end:]...)
	} else if len(list.children) == 0 {
		c.after = append([]byte("\n"), c.after...)
	}
	l := layout{codec: c, texts: true}
	for i := range list.children {
		n := &list.children[i]
		if i == 0 {
			c.element = n.raw
			c.between = string(b[list.inner[0]:n.start])
		}
		if first := list.children[0].name; n.name != first {
			return l, faulty("files.malformed", "%s: the element %s stands among the records, which are called %s. Name the element that holds the records in the connection's setting recordPath.", object, n.name, first)
		}
		raw := rawXML{text: b[n.start:n.end], nested: map[string]*rawNested{}, form: n.form()}
		c.learn(raw.form)
		r := &row{fields: record.Fields{}, where: fmt.Sprintf("record %d", i+1)}
		for _, a := range n.attributes {
			l.column("@" + n.called(a))
			r.fields["@"+n.called(a)] = a.Value
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
		token, err := d.RawToken() // with prefixes as they are written
		if err != nil {
			if errors.Is(err, io.EOF) {
				if err = errors.New("it has no root element"); len(stack) > 0 {
					err = fmt.Errorf("it ends inside the element %s", stack[len(stack)-1].raw)
				}
			}
			return nil, err
		}
		switch x := token.(type) {
		case xml.StartElement:
			n := &xmlNode{name: x.Name.Local, raw: prefixed(x.Name), start: at}
			for _, a := range x.Attr {
				if _, is := binds(a.Name); is {
					n.bound = append(n.bound, a)
				} else {
					n.attributes = append(n.attributes, a)
				}
			}
			n.inner[0] = d.InputOffset()
			stack = append(stack, n)
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(x)
			}
		case xml.EndElement:
			if len(stack) == 0 || stack[len(stack)-1].raw != prefixed(x.Name) {
				return nil, fmt.Errorf("the element %s ends where it has not begun", prefixed(x.Name))
			}
			n := stack[len(stack)-1]
			n.inner[1], n.end = at, d.InputOffset()
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return n, nil
			}
			up := stack[len(stack)-1]
			up.children = append(up.children, xmlNode{name: n.name, raw: n.raw, bound: n.bound, attributes: n.attributes, children: n.children, start: n.start, end: n.end, inner: n.inner})
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
		if err := c.record(&b, t, r, raw); err != nil {
			return nil, err
		}
	}
	b.Write(c.after)
	// A sign that the encoding lacks is written by its number.
	return c.recode(b.Bytes(), encoding.HTMLEscapeUnsupported(charset(c.charset).NewEncoder()))
}

// learn keeps how a record is written, for those that are new.
func (c *xmlCodec) learn(f *xmlForm) {
	if f == nil {
		return
	}
	f.bindings(c.spaces)
	if c.like == nil {
		c.like = &xmlForm{name: f.name, bound: f.bound, attributes: map[string]string{}, children: map[string][]*xmlForm{}}
	}
	c.like.join(f)
}

func (f *xmlForm) bindings(into map[string]string) {
	for _, a := range f.bound {
		if prefix, _ := binds(a.Name); prefix != "" && into[prefix] == "" {
			into[prefix] = a.Value
		}
	}
	for _, list := range f.children {
		for _, child := range list {
			child.bindings(into)
		}
	}
}

// record writes a record anew.
func (c *xmlCodec) record(b *bytes.Buffer, t *table, r *row, raw rawXML) error {
	own, name := raw.form, c.element
	if raw.text == nil {
		own = c.like
	}
	var head, body bytes.Buffer
	w := &xmlWriter{c: c, open: maps.Clone(c.bound), lacks: map[string]bool{}}
	if w.open == nil {
		w.open = map[string]bool{}
	}
	if own != nil {
		name = own.name
		w.bind(&head, own)
	}
	w.uses(name)
	for _, col := range t.columns {
		attribute, is := strings.CutPrefix(col.Name, "@")
		if v := r.fields[col.Name]; is && v != nil {
			if own != nil && own.attributes[attribute] != "" {
				attribute = own.attributes[attribute]
			} else if c.like != nil && c.like.attributes[attribute] != "" {
				attribute = c.like.attributes[attribute]
			}
			w.attribute(&head, attribute, toText(col.Type, v))
		}
	}
	for _, col := range t.columns {
		v := r.fields[col.Name]
		if v == nil || strings.HasPrefix(col.Name, "@") {
			continue
		}
		body.WriteString(c.between + "  ")
		if nested := raw.nested[col.Name]; nested != nil && record.Equal(nested.value, v) {
			body.Write(nested.text)
			continue
		}
		if col.Native != nestedElements {
			v = toText(col.Type, v)
		}
		from := own
		if own.child(col.Name, 0) == nil {
			from = c.like
		}
		if err := w.element(&body, from, col.Name, v, c.between+"  "); err != nil {
			return err
		}
	}
	b.WriteString("<" + name)
	b.Write(head.Bytes())
	for _, prefix := range slices.Sorted(maps.Keys(w.lacks)) { // it was bound in other records only
		w.attribute(b, "xmlns:"+prefix, c.spaces[prefix])
	}
	b.WriteString(">")
	b.Write(body.Bytes())
	b.WriteString(c.between + "</" + name + ">")
	return nil
}

// xmlWriter writes the elements of one record.
type xmlWriter struct {
	c     *xmlCodec
	open  map[string]bool // prefixes that are bound where it stands
	lacks map[string]bool // prefixes in use that are not
}

func (w *xmlWriter) attribute(b *bytes.Buffer, name, value string) {
	if prefix, rest, has := strings.Cut(name, ":"); has && prefix != "xmlns" {
		w.uses(prefix + ":" + rest)
	}
	b.WriteString(" " + name + `="`)
	_ = xml.EscapeText(b, []byte(value)) // a buffer does not fail
	b.WriteByte('"')
}

func (w *xmlWriter) uses(name string) {
	if prefix, _, has := strings.Cut(name, ":"); has && prefix != "xml" && !w.open[prefix] && w.c.spaces[prefix] != "" {
		w.lacks[prefix] = true
	}
}

// bind writes what an element binds.
func (w *xmlWriter) bind(b *bytes.Buffer, f *xmlForm) {
	for _, a := range f.bound {
		if prefix, _ := binds(a.Name); prefix != "" {
			w.open[prefix] = true
		}
		w.attribute(b, prefixed(a.Name), a.Value)
	}
}

// element writes a value as elements of that name in an element of the form, each on a line that begins with this space. It is in the form of
// xmlNested.
func (w *xmlWriter) element(b *bytes.Buffer, in *xmlForm, name string, v record.Value, space string) error {
	if _, err := w.c.fits(name); err != nil || !xmlName(name) { // a name has no numbers for signs
		return fmt.Errorf("%s cannot be the name of an element", shorten(name))
	}
	list, several := v.([]any)
	if !several {
		list = []any{v}
	}
	for i, e := range list {
		if i > 0 {
			b.WriteString(space)
		}
		if err := w.one(b, in.child(name, i), name, e, space); err != nil {
			return err
		}
	}
	return nil
}

func (w *xmlWriter) one(b *bytes.Buffer, f *xmlForm, name string, v record.Value, space string) error {
	if outside := w.open; f != nil && len(f.bound) > 0 {
		w.open = maps.Clone(outside)
		defer func() { w.open = outside }()
	}
	if f != nil {
		name = f.name
	}
	b.WriteString("<" + name)
	if f != nil {
		w.bind(b, f)
	}
	w.uses(name)
	m, _ := v.(map[string]any)
	members := slices.Sorted(maps.Keys(m))
	for _, k := range members {
		if attribute, is := strings.CutPrefix(k, "@"); is {
			if f != nil && f.attributes[attribute] != "" {
				attribute = f.attributes[attribute]
			}
			w.attribute(b, attribute, record.Text(m[k]))
		}
	}
	b.WriteString(">")
	text, deep := v, false
	if m != nil {
		text = m["#text"]
	}
	_ = xml.EscapeText(b, []byte(record.Text(text))) // a buffer does not fail
	for _, k := range members {
		if k == "#text" || strings.HasPrefix(k, "@") {
			continue
		}
		deep = true
		b.WriteString(space + "  ")
		if err := w.element(b, f, k, m[k], space+"  "); err != nil {
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
			if prefix, rest, has := strings.Cut(name, ":"); k != "#text" && !xmlName(name) && !(attribute && has && xmlName(prefix) && xmlName(rest)) {
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
