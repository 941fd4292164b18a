// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// JSON: a list of objects, alone or as a member of an object ({"contacts": [...]}), found by the setting recordPath or, when
// there is but one list of objects, by itself. JSON Lines: an object a line. What is kept when the file is written: the
// order of records, everything around the list, and the bytes of every record that nobody changed.

// rawJSON is a record as it stands in the file: its bytes, and its members in order.
type rawJSON struct {
	text    json.RawMessage
	members []string
}

type jsonCodec struct {
	coding

	before, after []byte // what stands around the records
	indent        string // before each record; "" for all on one line
	lines         bool   // JSON Lines
	eol           string
}

func readJSON(b []byte, o Options, object record.Object) (layout, error) {
	c := &jsonCodec{eol: "\n"}
	b, err := c.decodeJSON(b)
	if err != nil {
		return layout{}, faulty("files.encoding", "%s: %v.", object, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		c.before, c.after, c.indent = []byte("["), []byte("\n]\n"), "\n  "
		return layout{codec: c}, nil
	}
	start, end, err := findList(b, o.RecordPath)
	if err != nil {
		return layout{}, faulty("files.malformed", "%s: %v.", object, err)
	}
	c.before, c.after = b[:start+1], b[end-1:]
	var raws []json.RawMessage
	if err := json.Unmarshal(b[start:end], &raws); err != nil {
		return layout{}, faulty("files.malformed", "%s: %v.", object, err)
	}
	if len(raws) == 0 {
		c.indent, c.after = "\n  ", append([]byte("\n"), b[end-1:]...)
	} else {
		inner := b[start+1 : end-1]
		space := inner[:len(inner)-len(bytes.TrimLeft(inner, " \t\r\n"))]
		c.indent = string(space)
		c.after = append(append([]byte(nil), inner[len(bytes.TrimRight(inner, " \t\r\n")):]...), c.after...)
	}
	l := layout{codec: c}
	for i, raw := range raws {
		if err := l.addJSON(raw, fmt.Sprintf("record %d", i+1)); err != nil {
			return l, faulty("files.malformed", "%s, record %d: %v.", object, i+1, err)
		}
	}
	return l, nil
}

func readJSONLines(b []byte, object record.Object) (layout, error) {
	c := &jsonCodec{lines: true, eol: "\n"}
	b, err := c.decodeJSON(b)
	if err != nil {
		return layout{}, faulty("files.encoding", "%s: %v.", object, err)
	}
	l := layout{codec: c}
	if bytes.Contains(b, []byte("\r\n")) {
		c.eol = "\r\n"
	}
	for i, line := range bytes.Split(b, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := l.addJSON(line, fmt.Sprintf("line %d", i+1)); err != nil {
			return l, faulty("files.malformed", "%s, line %d: %v.", object, i+1, err)
		}
	}
	return l, nil
}

// addJSON adds a record.
func (l *layout) addJSON(raw []byte, where string) error {
	v, err := record.ParseJSON(raw)
	if err != nil {
		return err
	}
	m, isObject := v.(map[string]any)
	if !isObject {
		return fmt.Errorf("a record must be an object, not %s", shorten(record.Text(v)))
	}
	r := &row{fields: m, where: where}
	members, err := memberNames(raw)
	if err != nil {
		return err
	}
	r.raw = rawJSON{raw, members}
	for _, name := range members {
		l.column(name)
	}
	l.rows = append(l.rows, r)
	return nil
}

// column makes the column known; there are few, so a list is searched.
func (l *layout) column(name string) {
	for _, c := range l.columns {
		if c.Name == name {
			return
		}
	}
	l.columns = append(l.columns, &column{FieldInfo: connector.FieldInfo{Name: name}})
}

func memberNames(raw []byte) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var names []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if contains(names, name) {
			return nil, fmt.Errorf("the member %s occurs twice", name)
		}
		names = append(names, name)
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// findList finds the list of records: the bytes from its [ to behind its ].
func findList(b []byte, path string) (start, end int, err error) {
	if !json.Valid(b) {
		var skip any
		err := json.Unmarshal(b, &skip)
		return 0, 0, err
	}
	var steps []string
	if path != "" {
		steps = strings.Split(path, ".")
	}
	offset := 0
	for {
		for offset < len(b) && strings.IndexByte(" \t\r\n", b[offset]) >= 0 {
			offset++
		}
		value, err := valueAt(b[offset:])
		if err != nil {
			return 0, 0, err
		}
		switch {
		case value[0] == '[' && len(steps) == 0:
			return offset, offset + len(value), nil
		case value[0] != '{':
			return 0, 0, errors.New("it holds no list of records; name the list in the connection's setting recordPath")
		}
		members, err := membersAt(value)
		if err != nil {
			return 0, 0, err
		}
		if len(steps) > 0 {
			m, there := members[steps[0]]
			if !there {
				return 0, 0, fmt.Errorf("it has no member %s, which the connection's setting recordPath names", steps[0])
			}
			offset, steps = offset+m[0], steps[1:]
			continue
		}
		found := -1
		for _, m := range members {
			if value[m[0]] == '[' {
				if found >= 0 {
					return 0, 0, errors.New("it holds several lists; name the one with the records in the connection's setting recordPath")
				}
				found = m[0]
			}
		}
		if found < 0 {
			return 0, 0, errors.New("it holds no list of records; name the list in the connection's setting recordPath")
		}
		offset += found
	}
}

func valueAt(b []byte) ([]byte, error) {
	var raw json.RawMessage
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&raw); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return raw, nil
}

// membersAt gives the place of each member's value in the object.
func membersAt(object []byte) (map[string][2]int, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	out := map[string][2]int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		out[name] = [2]int{end - len(raw), end}
	}
	return out, nil
}

func (c *jsonCodec) encode(t *table) ([]byte, error) {
	var b bytes.Buffer
	b.Write(c.before)
	for i, r := range t.rows {
		switch {
		case c.lines:
		case i > 0:
			b.WriteByte(',')
			fallthrough
		default:
			b.WriteString(c.indent)
		}
		raw, _ := r.raw.(rawJSON)
		if !r.changed && raw.text != nil {
			b.Write(raw.text)
		} else {
			writeMembers(&b, t, r, raw.members)
		}
		if c.lines {
			b.WriteString(c.eol)
		}
	}
	b.Write(c.after)
	return c.recode(b.Bytes(), charset(c.charset).NewEncoder())
}

// writeMembers writes the record with its members in the order they had, then those it did not have.
func writeMembers(b *bytes.Buffer, t *table, r *row, members []string) {
	names := append([]string(nil), members...)
	for _, c := range t.columns {
		if !contains(names, c.Name) && (members == nil || r.fields[c.Name] != nil) {
			names = append(names, c.Name)
		}
	}
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(record.AppendJSON(nil, name))
		b.WriteString(": ")
		b.Write(record.AppendJSON(nil, r.fields[name]))
	}
	b.WriteByte('}')
}
