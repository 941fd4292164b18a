// SPDX-License-Identifier: Apache-2.0

package quality

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/syncline-dev/syncline/internal/record"
)

// Case is how the letters of a text are written.
type Case string

// The cases.
const (
	Lower    Case = "lowercase"
	Upper    Case = "uppercase"
	Title    Case = "titlecase"    // Each Word Begins Large
	Sentence Case = "sentencecase" // Only the first letter is large
)

// Cleansing says how texts are tidied. The switches apply to Fields, to every text when there are none.
type Cleansing struct {
	Trim, Collapse, EmptyToNull, RemoveInvalid bool
	Cases                                      map[string]Case // by field
	Fields                                     []string
}

// Clean tidies a field's value. Doing it twice changes nothing more. What is not text stays as it is; texts in lists are
// tidied one by one.
func (c *Cleansing) Clean(field string, v record.Value) record.Value {
	switch v := v.(type) {
	case string:
		return c.text(field, v)
	case []any:
		out := v
		for i, item := range v {
			if s, ok := item.(string); ok {
				if t := c.text(field, s); t != item {
					if &out[0] == &v[0] {
						out = slices.Clone(v)
					}
					out[i] = t
				}
			}
		}
		return out
	}
	return v
}

func (c *Cleansing) text(field, s string) record.Value {
	if len(c.Fields) == 0 || slices.Contains(c.Fields, field) {
		if c.RemoveInvalid {
			s = removeInvalid(s)
		}
		if c.Collapse {
			s = collapse(s)
		}
		if c.Trim {
			s = strings.TrimFunc(s, space)
		}
		if c.EmptyToNull && s == "" {
			return nil
		}
	}
	switch c.Cases[field] {
	case Lower:
		return lower(s)
	case Upper:
		return strings.ToUpper(s)
	case Title:
		return titleCase(s)
	case Sentence:
		return sentenceCase(s)
	}
	return s
}

// space is white space as people see it, with the marks that are not seen at all.
func space(r rune) bool { return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' || r == '\u2060' }

// removeInvalid takes out what no text should hold: control characters (line breaks and tabs stay), marks that are not
// seen, halves of characters, and characters that no alphabet has. Letters that were composed of parts become one.
func removeInvalid(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return -1
		case r == utf8.RuneError, unicode.IsControl(r), r == '\u200b', r == '\ufeff', r == '\u2060', r == '\u00ad', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069',
			unicode.Is(unicode.Co, r), unicode.Is(unicode.Noncharacter_Code_Point, r):
			return -1
		}
		return r
	}, s)
	return norm.NFC.String(s)
}

func collapse(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	white := false
	for _, r := range s {
		if space(r) {
			if !white {
				b.WriteByte(' ')
			}
			white = true
			continue
		}
		white = false
		b.WriteRune(r)
	}
	return b.String()
}

// titleCase writes the first letter of each word large and the others small: "jean-luc O'NEIL" is "Jean-Luc O'Neil", and
// "don't" stays "Don't".
func titleCase(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	letters := 0    // of the word so far
	prefix := false // the word so far is one letter and an apostrophe: O'Neil, D'Angelo
	for _, r := range lower(s) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			if letters == 0 || prefix {
				r = unicode.ToTitle(r)
			}
			letters++
			prefix = false
		case r == '\'' || r == '’':
			prefix = letters == 1
		default:
			letters, prefix = 0, false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// lower is its own function so that all cases begin alike.
func lower(s string) string { return strings.ToLower(s) }

func sentenceCase(s string) string {
	s = lower(s)
	for i, r := range s {
		if unicode.IsLetter(r) {
			return s[:i] + string(unicode.ToTitle(r)) + s[i+utf8.RuneLen(r):]
		}
		if unicode.IsDigit(r) {
			return s
		}
	}
	return s
}
