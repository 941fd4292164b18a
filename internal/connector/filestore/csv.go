// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// CSV: the first row names the fields. An empty cell is null and a quoted empty one ("") is the empty text. What is kept
// when the file is written: the order of rows and columns, delimiter, encoding, byte order mark, ends of lines, and every
// cell that nobody changed.

// cell is one cell as it stands in the file.
type cell struct {
	text   string
	quoted bool
}

func (c cell) value() record.Value {
	if c.text == "" && !c.quoted {
		return nil
	}
	return c.text
}

type csvCodec struct {
	coding

	delimiter byte
	eol       string
	header    []cell
	width     []string // the column of each place
	ended     bool     // the last line has an end
}

func readCSV(b []byte, o Options, object record.Object, defaultDelimiter byte) (layout, error) {
	c := &csvCodec{delimiter: defaultDelimiter, coding: coding{charset: o.Encoding}, eol: "\n", ended: true}
	text, err := c.decode(b)
	if err != nil {
		return layout{}, faulty("files.encoding", "%s is not in the encoding %s. Name its encoding in the connection's setting encoding.", object, c.charset)
	}
	if o.Delimiter != "" {
		c.delimiter = o.Delimiter[0]
	} else if d := detectDelimiter(text); d != 0 {
		c.delimiter = d
	}
	l := layout{codec: c, texts: true}
	p := csvParser{text: text, delimiter: c.delimiter, line: 1}
	for {
		at := p.line
		cells, eol, err := p.row()
		if err != nil {
			return l, faulty("files.malformed", "%s, line %d: %v.", object, at, err)
		}
		if cells == nil {
			break
		}
		if c.header == nil && eol != "" {
			c.eol = eol
		}
		c.ended = eol != ""
		if len(cells) == 1 && cells[0] == (cell{}) {
			continue // an empty line
		}
		if c.header == nil {
			c.header = cells
			seen := map[string]bool{}
			for _, h := range cells {
				name := strings.TrimSpace(h.text)
				if name == "" || seen[name] {
					return l, faulty("files.header", "In %s the first line must name each field once; %s does not.", object, shorten(name))
				}
				seen[name] = true
				c.width = append(c.width, name)
				l.columns = append(l.columns, &column{FieldInfo: connector.FieldInfo{Name: name}})
			}
			continue
		}
		if len(cells) > len(c.width) {
			return l, faulty("files.malformed", "%s, line %d has %d cells, but the first line names %d fields.", object, at, len(cells), len(c.width))
		}
		r := &row{fields: make(record.Fields, len(c.width)), raw: cells, where: fmt.Sprintf("line %d", at)}
		for i, x := range cells {
			r.fields[c.width[i]] = x.value()
		}
		l.rows = append(l.rows, r)
	}
	return l, nil
}

// detectDelimiter is the sign that divides the first lines most evenly.
func detectDelimiter(text string) byte {
	const lines = 20
	best, most := byte(0), 0
	for _, d := range []byte{',', ';', '\t', '|'} {
		p := csvParser{text: text, delimiter: d, line: 1}
		first, score := 0, 0
		for range lines {
			cells, _, err := p.row()
			if cells == nil || err != nil {
				break
			}
			switch n := len(cells); {
			case first == 0:
				first = n
				score = n - 1
			case n == first:
				score += n - 1
			}
		}
		if first > 1 && score > most {
			best, most = d, score
		}
	}
	return best
}

// csvParser takes a text apart.
type csvParser struct {
	text      string
	delimiter byte
	at, line  int
}

// row returns the next row and how its line ended; nil at the end of the text.
func (p *csvParser) row() (cells []cell, eol string, err error) {
	if p.at >= len(p.text) {
		return nil, "", nil
	}
	for {
		c, err := p.cell()
		if err != nil {
			return nil, "", err
		}
		cells = append(cells, c)
		switch rest := p.text[p.at:]; {
		case rest == "":
			return cells, "", nil
		case rest[0] == p.delimiter:
			p.at++
		case strings.HasPrefix(rest, "\r\n"):
			p.at, p.line = p.at+2, p.line+1
			return cells, "\r\n", nil
		default: // cell stops at nothing else
			p.at, p.line = p.at+1, p.line+1
			return cells, rest[:1], nil
		}
	}
}

func (p *csvParser) cell() (cell, error) {
	rest := p.text[p.at:]
	if rest == "" || rest[0] != '"' {
		n := strings.IndexAny(rest, string([]byte{p.delimiter, '\r', '\n'}))
		if n < 0 {
			n = len(rest)
		}
		p.at += n
		return cell{text: rest[:n]}, nil
	}
	var b strings.Builder
	for i := 1; ; {
		n := strings.IndexByte(rest[i:], '"')
		if n < 0 {
			return cell{}, fmt.Errorf("a quoted text does not end")
		}
		part := rest[i : i+n]
		p.line += strings.Count(part, "\n")
		b.WriteString(part)
		i += n + 1
		if i < len(rest) && rest[i] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		if i < len(rest) && rest[i] != p.delimiter && rest[i] != '\r' && rest[i] != '\n' {
			return cell{}, fmt.Errorf("something stands behind the quoted text %s", shorten(b.String()))
		}
		p.at += i
		return cell{text: b.String(), quoted: true}, nil
	}
}

func (c *csvCodec) encode(t *table) ([]byte, error) {
	var b strings.Builder
	if c.header == nil {
		for _, col := range t.columns {
			c.header = append(c.header, cell{text: col.Name})
			c.width = append(c.width, col.Name)
		}
	}
	header, width := c.header, c.width
	for _, col := range t.columns { // the schema may declare more than the file has yet
		if !contains(width, col.Name) {
			header, width = append(header[:len(header):len(header)], cell{text: col.Name}), append(width[:len(width):len(width)], col.Name)
		}
	}
	c.line(&b, header)
	for _, r := range t.rows {
		cells, _ := r.raw.([]cell)
		if r.changed || cells == nil {
			next := make([]cell, len(width))
			for i, name := range width {
				col := t.column(name)
				v := r.fields[name]
				if i < len(cells) { // what nobody changed stays as it is written
					if was := cells[i].value(); was != nil {
						if old, err := fromText(col.Type, was.(string)); err == nil && record.Equal(old, v) { //nolint:forcetypeassert // a cell's value is nil or text
							next[i] = cells[i]
							continue
						}
					}
				}
				if v != nil {
					s := toText(col.Type, v)
					next[i] = cell{text: s, quoted: s == ""}
				}
			}
			cells = next
		}
		c.line(&b, cells)
	}
	text := b.String()
	if !c.ended {
		text = strings.TrimSuffix(text, c.eol)
	}
	return c.recode([]byte(text), charset(c.charset).NewEncoder())
}

func (c *csvCodec) line(b *strings.Builder, cells []cell) {
	for i, x := range cells {
		if i > 0 {
			b.WriteByte(c.delimiter)
		}
		special := strings.ContainsAny(x.text, string([]byte{c.delimiter, '"', '\r', '\n'}))
		edge := x.text != "" && (x.text[0] == ' ' || x.text[len(x.text)-1] == ' ')
		if x.quoted || special || edge {
			b.WriteString(`"` + strings.ReplaceAll(x.text, `"`, `""`) + `"`)
		} else {
			b.WriteString(x.text)
		}
	}
	b.WriteString(c.eol)
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
