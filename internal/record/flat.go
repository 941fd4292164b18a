// SPDX-License-Identifier: Apache-2.0

package record

import "unicode/utf8"

// parseFlat is the short way of ParseJSON for what most records are: an object of texts without escapes, numbers, booleans and nulls. All
// of its texts share one allocation. It says false for everything else, also for what is no JSON, which then goes the long way.
func parseFlat(b []byte) (m map[string]any, ok bool) {
	if len(b) < 2 || b[0] != '{' {
		return nil, false
	}
	p := flat{s: string(b), i: 1}
	m = make(map[string]any, 8)
	if p.next() == '}' {
		p.i++
		return m, p.ends()
	}
	for {
		name, ok := p.text()
		if !ok || p.next() != ':' {
			return nil, false
		}
		p.i++
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		m[name] = v
		switch p.next() {
		case ',':
			p.i++
		case '}':
			p.i++
			return m, p.ends()
		default:
			return nil, false
		}
	}
}

type flat struct {
	s string
	i int
}

// next is the next byte that is no white space, 0 at the end; it is not taken yet.
func (p *flat) next() byte {
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (p *flat) ends() bool { return p.next() == 0 && p.i == len(p.s) }

func (p *flat) text() (string, bool) {
	if p.next() != '"' {
		return "", false
	}
	p.i++
	start, plain := p.i, true
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[start:p.i]
			p.i++
			return s, plain || utf8.ValidString(s)
		case c == '\\' || c < 0x20:
			return "", false
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return "", false
}

func (p *flat) value() (Value, bool) {
	switch c := p.next(); {
	case c == '"':
		return p.boxed()
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	return nil, false
}

func (p *flat) boxed() (Value, bool) {
	s, ok := p.text()
	return s, ok
}

func (p *flat) word(w string) bool {
	if len(p.s)-p.i < len(w) || p.s[p.i:p.i+len(w)] != w {
		return false
	}
	p.i += len(w)
	return true
}

// number takes what JSON calls one, which is less than what ParseNumber reads.
func (p *flat) number() (Value, bool) {
	start := p.i
	if p.s[p.i] == '-' {
		p.i++
	}
	first := p.i
	if n := p.digits(); n == 0 || n > 1 && p.s[first] == '0' {
		return nil, false
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		if p.digits() == 0 {
			return nil, false
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if p.digits() == 0 {
			return nil, false
		}
	}
	n, err := ParseNumber(p.s[start:p.i])
	return n, err == nil
}

func (p *flat) digits() (n int) {
	for ; p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9'; p.i++ {
		n++
	}
	return n
}
