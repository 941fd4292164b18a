// SPDX-License-Identifier: Apache-2.0

package salesforce

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a SOQL query as the simulator understands it.
type query struct {
	fields  []string
	from    string
	where   condition
	order   []sorting
	limit   int
	offset  int
	counted bool // SELECT COUNT()
}

type sorting struct {
	field string
	desc  bool
}

// condition is true or false of a record, whose values it is given by name.
type condition func(get func(string) any) bool

// parseSOQL reads a query. Its errors have the words of the vendor.
func parseSOQL(s string) (*query, error) {
	p := &soqlParser{tokens: lexSOQL(s)}
	if p.err == nil {
		p.query()
	}
	if p.err != nil {
		return nil, fmt.Errorf("%w", p.err)
	}
	return &p.out, nil
}

type soqlToken struct {
	text string
	str  bool // a quoted text
}

func lexSOQL(s string) (out []soqlToken) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\n' || c == '\t':
			i++
		case c == '\'':
			var b strings.Builder
			i++
			for i < len(s) && s[i] != '\'' {
				if s[i] == '\\' && i+1 < len(s) {
					i++
					switch s[i] {
					case 'n':
						b.WriteByte('\n')
					case 'r':
						b.WriteByte('\r')
					case 't':
						b.WriteByte('\t')
					default:
						b.WriteByte(s[i])
					}
					i++
					continue
				}
				b.WriteByte(s[i])
				i++
			}
			if i >= len(s) {
				return append(out, soqlToken{text: "<unterminated>"})
			}
			i++
			out = append(out, soqlToken{text: b.String(), str: true})
		case strings.ContainsRune("(),", rune(c)):
			out = append(out, soqlToken{text: string(c)})
			i++
		case strings.ContainsRune("<>=!", rune(c)):
			n := 1
			if i+1 < len(s) && strings.ContainsRune("=>", rune(s[i+1])) {
				n = 2
			}
			out = append(out, soqlToken{text: s[i : i+n]})
			i += n
		default:
			j := i
			for j < len(s) && !strings.ContainsRune(" \n\t(),<>=!'", rune(s[j])) {
				j++
			}
			out = append(out, soqlToken{text: s[i:j]})
			i = j
		}
	}
	return out
}

type soqlParser struct {
	tokens []soqlToken
	at     int
	out    query
	err    error
}

func (p *soqlParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *soqlParser) peek() soqlToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return soqlToken{}
}

func (p *soqlParser) next() soqlToken {
	t := p.peek()
	p.at++
	return t
}

func (p *soqlParser) word(w string) bool {
	if t := p.peek(); !t.str && strings.EqualFold(t.text, w) {
		p.at++
		return true
	}
	return false
}

func (p *soqlParser) must(w string) {
	if !p.word(w) {
		p.fail("unexpected token: '%s', expected %s", p.peek().text, w)
	}
}

func (p *soqlParser) query() {
	p.must("SELECT")
	for p.err == nil {
		t := p.next()
		if t.text == "" || t.str {
			p.fail("unexpected token in the list of fields")
			return
		}
		if strings.EqualFold(t.text, "count") && p.word("(") {
			p.must(")")
			p.out.counted = true
		} else {
			p.out.fields = append(p.out.fields, t.text)
		}
		if !p.word(",") {
			break
		}
	}
	p.must("FROM")
	p.out.from = p.next().text
	if p.word("WHERE") {
		p.out.where = p.or()
	}
	if p.word("ORDER") {
		p.must("BY")
		for p.err == nil {
			s := sorting{field: p.next().text}
			if p.word("DESC") {
				s.desc = true
			} else {
				p.word("ASC")
			}
			if p.word("NULLS") {
				p.next()
			}
			p.out.order = append(p.out.order, s)
			if !p.word(",") {
				break
			}
		}
	}
	for _, w := range []string{"LIMIT", "OFFSET"} {
		if p.word(w) {
			n, err := strconv.Atoi(p.next().text)
			if err != nil {
				p.fail("%s takes a number", w)
			}
			if w == "LIMIT" {
				p.out.limit = n
			} else {
				p.out.offset = n
			}
		}
	}
	if p.at < len(p.tokens) {
		p.fail("unexpected token: '%s'", p.peek().text)
	}
}

func (p *soqlParser) or() condition {
	list := []condition{p.and()}
	for p.word("OR") {
		list = append(list, p.and())
	}
	return func(get func(string) any) bool {
		return slices.ContainsFunc(list, func(c condition) bool { return c != nil && c(get) })
	}
}

func (p *soqlParser) and() condition {
	list := []condition{p.term()}
	for p.word("AND") {
		list = append(list, p.term())
	}
	return func(get func(string) any) bool {
		for _, c := range list {
			if c == nil || !c(get) {
				return false
			}
		}
		return true
	}
}

func (p *soqlParser) term() condition {
	if p.word("(") {
		c := p.or()
		p.must(")")
		return c
	}
	if p.word("NOT") {
		c := p.term()
		return func(get func(string) any) bool { return c != nil && !c(get) }
	}
	field := p.next().text
	op := strings.ToUpper(p.next().text)
	if op == "NOT" {
		p.must("IN")
		op = "NOT IN"
	}
	if op == "IN" || op == "NOT IN" {
		p.must("(")
		var values []any
		for p.err == nil {
			values = append(values, p.value())
			if !p.word(",") {
				break
			}
		}
		p.must(")")
		return func(get func(string) any) bool {
			in := slices.ContainsFunc(values, func(v any) bool { return compareSOQL(get(field), v) == 0 })
			return in == (op == "IN")
		}
	}
	v := p.value()
	return func(get func(string) any) bool {
		have := get(field)
		if v == nil || have == nil {
			return (op == "=") == (v == nil && have == nil) && (op == "=" || op == "!=")
		}
		c := compareSOQL(have, v)
		switch op {
		case "=":
			return c == 0
		case "!=", "<>":
			return c != 0
		case "<":
			return c < 0
		case "<=":
			return c <= 0
		case ">":
			return c > 0
		case ">=":
			return c >= 0
		}
		return false
	}
}

func (p *soqlParser) value() any {
	t := p.next()
	switch {
	case t.str:
		return t.text
	case strings.EqualFold(t.text, "null"):
		return nil
	case strings.EqualFold(t.text, "true"):
		return true
	case strings.EqualFold(t.text, "false"):
		return false
	}
	if at, err := time.Parse("2006-01-02T15:04:05.999Z07:00", t.text); err == nil {
		return at
	}
	if n, err := strconv.ParseFloat(t.text, 64); err == nil {
		return n
	}
	if _, err := time.Parse(time.DateOnly, t.text); err == nil {
		return t.text
	}
	p.fail("unexpected token: '%s'", t.text)
	return nil
}

// compareSOQL orders two values; texts without regard to case, except ids, which are compared as they are by their callers'
// use of one case.
func compareSOQL(a, b any) int {
	switch x := a.(type) {
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Truncate(time.Millisecond).Compare(y.Truncate(time.Millisecond))
		}
	case bool:
		if y, ok := b.(bool); ok {
			switch {
			case x == y:
				return 0
			case !x:
				return -1
			}
			return 1
		}
	case float64:
		y, ok := b.(float64)
		if s, text := b.(string); !ok && text {
			var err error
			y, err = strconv.ParseFloat(s, 64)
			ok = err == nil
		}
		if ok {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	return strings.Compare(strings.ToLower(fmt.Sprint(a)), strings.ToLower(fmt.Sprint(b)))
}
