// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"html"
	"io"
	"regexp"
	"strings"

	"github.com/a-h/templ"
)

// Code is a block of text to read and copy.
type Code struct {
	Title string
	Lang  string // "yaml", "json" or "shell" are coloured
	Text  string
}

// Render writes the block.
func (c Code) Render(ctx context.Context, w io.Writer) error { return code(c).Render(ctx, w) }

// AsCode is a button that shows how to get or do what the page shows by program: curl, command line, YAML.
type AsCode struct {
	ID       string // unique on the page
	Title    string // "This service by program"
	Snippets []Code // Title is the name of the way: "curl", "CLI", "YAML"
}

// Render writes the button and its dialog.
func (a AsCode) Render(ctx context.Context, w io.Writer) error { return asCode(a).Render(ctx, w) }

func (a AsCode) panels() Panels {
	p := Panels{ID: a.ID + "-ways", Label: a.Title}
	for _, s := range a.Snippets {
		p.Items = append(p.Items, Panel{Label: s.Title, Body: Fragments{Code{Lang: s.Lang, Text: s.Text}}})
	}
	return p
}

var (
	yamlKey   = regexp.MustCompile(`^(\s*(?:- )*)([A-Za-z_"][\w.\-" ]*)(:)(\s|$)`)
	literal   = regexp.MustCompile(`^(true|false|null|-?\d+(\.\d+)?)$`)
	jsonToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?`)
	shToken   = regexp.MustCompile(`'[^']*'|"[^"]*"|(?:^|\s)--?[\w-]+|^(?:curl|syncline|psql)\b`)
)

// highlighted is the text as HTML with the few marks that help reading. It escapes everything it does not write itself.
func (c Code) highlighted() templ.Component {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(c.Text, "\n"), "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		switch c.Lang {
		case "yaml":
			yamlLine(&b, line)
		case "json":
			tokens(&b, line, jsonToken, func(t string) string {
				switch {
				case strings.HasSuffix(t, ":"):
					return "tok-key"
				case t[0] == '"':
					return "tok-str"
				}
				return "tok-num"
			})
		case "shell":
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				mark(&b, "tok-com", line)
				continue
			}
			tokens(&b, line, shToken, func(t string) string {
				switch strings.TrimSpace(t)[0] {
				case '\'', '"':
					return "tok-str"
				case '-':
					return "tok-flag"
				}
				return "tok-key"
			})
		default:
			b.WriteString(html.EscapeString(line))
		}
	}
	return templ.Raw(b.String())
}

func mark(b *strings.Builder, class, text string) {
	b.WriteString(`<span class="` + class + `">` + html.EscapeString(text) + `</span>`)
}

func tokens(b *strings.Builder, line string, re *regexp.Regexp, class func(string) string) {
	at := 0
	for _, m := range re.FindAllStringIndex(line, -1) {
		b.WriteString(html.EscapeString(line[at:m[0]]))
		mark(b, class(line[m[0]:m[1]]), line[m[0]:m[1]])
		at = m[1]
	}
	b.WriteString(html.EscapeString(line[at:]))
}

func yamlLine(b *strings.Builder, line string) {
	comment := ""
	if i := strings.Index(line, "#"); i == 0 || (i > 0 && line[i-1] == ' ') {
		line, comment = line[:i], line[i:]
	}
	rest := line
	if m := yamlKey.FindStringSubmatch(line); m != nil {
		b.WriteString(html.EscapeString(m[1]))
		mark(b, "tok-key", m[2])
		b.WriteString(":")
		rest = line[len(m[1])+len(m[2])+1:]
	}
	value := strings.TrimSpace(rest)
	switch {
	case value == "" || value == "-":
		b.WriteString(html.EscapeString(rest))
	case literal.MatchString(strings.TrimPrefix(value, "- ")):
		mark(b, "tok-num", rest)
	default:
		mark(b, "tok-str", rest)
	}
	if comment != "" {
		mark(b, "tok-com", comment)
	}
}
