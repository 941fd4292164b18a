// SPDX-License-Identifier: Apache-2.0

package service

import (
	"regexp"
	"strconv"
	"strings"
)

// outlineEntry is one line of a YAML source: a field with its value, or an item of a list.
type outlineEntry struct {
	line  int // 0-based
	path  []string
	items []int  // which item of each list on the path
	value string // a single value on the same line, without quotes and comments
}

var outlineKey = regexp.MustCompile(`^("[^"]*"|'[^']*'|[^\s#:\[\]{},"'][^:]*?)\s*:(\s|$)`)

// level is an open field or item while going down the lines.
type level struct {
	indent int
	name   string // "#" for an item
	item   int
	count  int // items seen in the list below
}

// outliner follows the indentation of a YAML source, also of one that is not valid yet.
type outliner struct {
	open   []level
	scalar int // lines indented more than this belong to a block of text; -1: none
}

// close leaves the levels that a line with this indentation ends. A list may stand at its field's own indentation.
func (o *outliner) close(indent int, item bool) {
	for n := len(o.open); n > 0; n-- {
		last := o.open[n-1]
		if last.indent < indent || (item && last.name != "#" && last.indent == indent) {
			return
		}
		o.open = o.open[:n-1]
	}
}

// line follows one line and returns the entries on it; rest is the text behind the last hyphen, at column `at`.
func (o *outliner) line(number int, text string) (entries []outlineEntry, at int, rest string) {
	at = len(text) - len(strings.TrimLeft(text, " "))
	rest = text[at:]
	if o.scalar >= 0 {
		if rest == "" || at > o.scalar {
			return nil, at, ""
		}
		o.scalar = -1
	}
	for rest == "-" || strings.HasPrefix(rest, "- ") {
		o.close(at, true)
		item := 0
		if n := len(o.open); n > 0 {
			item = o.open[n-1].count
			o.open[n-1].count++
		}
		o.open = append(o.open, level{indent: at, name: "#", item: item})
		inner := strings.TrimLeft(rest[1:], " ")
		at += len(rest) - len(inner)
		if rest == "-" {
			at++
		}
		rest = inner
	}
	if rest == "" || rest[0] == '#' {
		return nil, at, rest
	}
	m := outlineKey.FindStringSubmatchIndex(rest)
	if m == nil {
		return nil, at, rest
	}
	o.close(at, false)
	o.open = append(o.open, level{indent: at, name: strings.Trim(rest[m[2]:m[3]], `"'`)})
	e := outlineEntry{line: number, value: plainValue(rest[m[1]:])}
	for _, l := range o.open {
		e.path = append(e.path, l.name)
		e.items = append(e.items, l.item)
	}
	if after := strings.TrimSpace(rest[m[1]:]); strings.HasPrefix(after, "|") || strings.HasPrefix(after, ">") {
		o.scalar = at
	}
	return []outlineEntry{e}, at, rest
}

// plainValue is a scalar behind a colon, "" for anything else.
func plainValue(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if s == "" || strings.ContainsAny(s[:1], "[{|>&*#") {
		return ""
	}
	return strings.Trim(s, `"'`)
}

func yamlOutline(lines []string) []outlineEntry {
	o := &outliner{scalar: -1}
	var out []outlineEntry
	for i, text := range lines {
		entries, _, _ := o.line(i, text)
		out = append(out, entries...)
	}
	return out
}

// yamlCursor finds the place of the cursor by the indentation around it.
func yamlCursor(lines []string, line, column int) cursor {
	o := &outliner{scalar: -1}
	for i, text := range lines[:line-1] {
		o.line(i, text)
	}
	runes := []rune(lines[line-1])
	before, after := string(runes[:column-1]), string(runes[column-1:])
	at := cursor{to: column + wordEnd(after)}
	if i := strings.LastIndex(before, "${"); i >= 0 && !strings.Contains(before[i:], "}") {
		at.secret, at.partial = true, before[i+2:]
		at.from = column - len([]rune(at.partial))
		if strings.HasPrefix(string(runes[at.to-1:]), "}") {
			at.to++
		}
		return at
	}
	if strings.Contains(before, " #") || strings.HasPrefix(strings.TrimLeft(before, " "), "#") {
		return at
	}
	entries, indent, rest := o.line(line-1, before)
	if o.scalar >= 0 && rest == "" && len(entries) == 0 && strings.TrimSpace(before) != "" {
		return at // inside a block of text
	}
	at.indent = indent
	var listed []string   // items that the list in brackets has already
	if len(entries) > 0 { // behind a colon
		at.value = true
		value := strings.TrimLeft(rest[outlineKey.FindStringIndex(rest)[1]:], " ")
		if strings.HasPrefix(value, "[") { // the items of a list in brackets
			at.path = append(at.path, "#")
			last := max(1, strings.LastIndexByte(value, ',')+1)
			for _, item := range strings.Split(value[1:last], ",") {
				listed = append(listed, strings.Trim(item, " \"'"))
			}
			value = strings.TrimLeft(value[last:], " ")
		}
		at.partial = value
		for i := len(o.open) - 1; i >= 0; i-- {
			at.path = append([]string{o.open[i].name}, at.path...)
		}
	} else {
		if rest == "" && strings.TrimSpace(before) == "" {
			indent = column - 1
			at.indent = indent
		}
		o.close(indent, false)
		for _, l := range o.open {
			at.path = append(at.path, l.name)
		}
		at.key, at.partial = true, rest
		at.value = strings.HasPrefix(strings.TrimLeft(before, " "), "-")
	}
	at.from = column - len([]rune(at.partial))
	at.surroundings(lines, line-1, o.open)
	for _, item := range listed {
		at.given[item] = true
	}
	return at
}

// surroundings notes which fields the block has already, and the type and id of the system around it.
func (at *cursor) surroundings(lines []string, own int, open []level) {
	at.given = map[string]bool{}
	block := open
	if !at.key && len(block) > 0 {
		block = block[:len(block)-1]
	}
	for _, e := range yamlOutline(lines) {
		n := len(e.path)
		if n == len(block)+1 && e.line != own && e.inside(block) {
			at.given[e.path[n-1]] = true
		}
		if n == 3 && len(open) >= 2 && e.inside(open[:2]) && e.path[0] == "systems" {
			switch e.path[2] {
			case "type":
				at.typ = e.value
			case "id":
				at.system = e.value
			}
		}
	}
}

func (e outlineEntry) inside(open []level) bool {
	if len(e.path) < len(open) {
		return false
	}
	for i, l := range open {
		if e.path[i] != l.name || e.items[i] != l.item {
			return false
		}
	}
	return true
}

// wordEnd counts the characters that still belong to the word at the cursor.
func wordEnd(after string) int {
	n := 0
	for _, r := range after {
		if strings.ContainsRune(" \t\n,:]}\"'#", r) {
			break
		}
		n++
	}
	return n
}

// container is an open { or [ while going through JSON.
type container struct {
	list   bool
	key    string // the field whose value comes next
	item   int
	values map[string]string // single values by field
	keys   map[string]bool   // fields, or items of a list
}

// jsonCursor finds the place of the cursor by the brackets before it.
func jsonCursor(source string, line, column int) cursor {
	end := offsetOf(source, line, column)
	at := cursor{json: true, to: column + wordEnd(source[end:]), given: map[string]bool{}}
	var open []*container
	expectKey := false
	word, begin, inText := "", -1, false
	set := func(value string) {
		if len(open) == 0 {
			return
		}
		top := open[len(open)-1]
		switch {
		case top.list:
			top.keys[value] = true
		case expectKey:
			top.key, top.keys[value] = value, true
		default:
			top.values[top.key] = value
		}
	}
	for i := 0; i < end; i++ {
		ch := source[i]
		if inText {
			switch ch {
			case '\\':
				i++
			case '"':
				inText = false
				text, err := strconv.Unquote(source[begin : i+1])
				if err != nil {
					text = source[begin+1 : i]
				}
				set(text)
				begin = -1
			}
			continue
		}
		switch ch {
		case '"':
			inText, begin = true, i
		case '{', '[':
			open = append(open, &container{list: ch == '[', values: map[string]string{}, keys: map[string]bool{}})
			expectKey, begin = ch == '{', -1
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
			expectKey, begin = false, -1
		case ':':
			expectKey, begin = false, -1
		case ',':
			begin = -1
			if len(open) > 0 {
				top := open[len(open)-1]
				expectKey = !top.list
				top.item++
			}
		case ' ', '\t', '\n':
			begin = -1
		default:
			if begin < 0 {
				begin = i
			}
		}
	}
	if begin >= 0 {
		word = source[begin:end]
	}
	at.quoted = inText
	at.partial = strings.TrimPrefix(word, `"`)
	if inText {
		if i := strings.LastIndex(at.partial, "${"); i >= 0 && !strings.Contains(at.partial[i:], "}") {
			at.secret, at.partial = true, at.partial[i+2:]
			if strings.HasPrefix(source[min(end+at.to-column, len(source)):], "}") {
				at.to++
			}
		}
	}
	at.from = column - len([]rune(at.partial))
	for i, c := range open {
		if c.list {
			at.path = append(at.path, "#")
		} else if i < len(open)-1 || !expectKey {
			at.path = append(at.path, c.key)
		}
		if c.values["type"] != "" {
			at.typ = c.values["type"]
		}
		if c.values["id"] != "" {
			at.system = c.values["id"]
		}
	}
	if len(open) > 0 {
		at.key, at.value = expectKey, !expectKey
		at.given = open[len(open)-1].keys
		if inText {
			delete(at.given, at.partial)
		}
	}
	return at
}

// offsetOf returns the byte offset of a 1-based line and column.
func offsetOf(source string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(source[offset:], '\n')
		if i < 0 {
			return len(source)
		}
		offset += i + 1
	}
	for ; column > 1 && offset < len(source) && source[offset] != '\n'; column-- {
		offset++
		for offset < len(source) && source[offset]&0xC0 == 0x80 {
			offset++
		}
	}
	return offset
}
