// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/syncline-dev/syncline/internal/record"
)

// coding is how the signs of a file are written; it is kept when the file is.
type coding struct {
	charset string // one of the setting encoding's choices; "" while it is not known
	mark    bool   // a byte order mark at the beginning
}

var marks = []struct{ bytes, charset string }{{"\xef\xbb\xbf", "utf-8"}, {"\xff\xfe", "utf-16le"}, {"\xfe\xff", "utf-16be"}}

// shown takes what the file itself shows of its encoding: its byte order mark, which goes, or the zeros of UTF-16. A mark of UTF-16 goes
// before what somebody said.
func (c *coding) shown(b []byte) []byte {
	for _, m := range marks {
		if rest, marked := bytes.CutPrefix(b, []byte(m.bytes)); marked {
			c.mark = true
			if c.charset == "" || m.charset != "utf-8" {
				c.charset = m.charset
			}
			return rest
		}
	}
	if c.charset == "" {
		c.charset = wide(b)
	}
	return b
}

// decode makes UTF-8 of a file whose encoding nothing names, and notes how it was encoded.
func (c *coding) decode(b []byte) (string, error) {
	b = c.shown(b)
	switch {
	case c.charset != "":
	case utf8.Valid(b):
		c.charset = "utf-8"
	default:
		c.charset = "windows-1252"
	}
	out, err := c.plain(b)
	return string(out), err
}

// plain makes UTF-8 of what is in the encoding.
func (c *coding) plain(b []byte) ([]byte, error) {
	if c.charset == "utf-8" {
		if !utf8.Valid(b) {
			return nil, errors.New("not UTF-8")
		}
		return b, nil
	}
	return charset(c.charset).NewDecoder().Bytes(b)
}

// recode is the contrary.
func (c *coding) recode(text []byte, to *encoding.Encoder) ([]byte, error) {
	if c.charset != "utf-8" {
		var err error
		if text, err = to.Bytes(text); err != nil {
			return nil, err
		}
	}
	for _, m := range marks {
		if c.mark && m.charset == c.charset {
			return append([]byte(m.bytes), text...), nil
		}
	}
	return text, nil
}

// wide says whether a file without a byte order mark is in UTF-16, and which: every other byte of text in Latin letters is zero there, and
// text in UTF-8 has no zero bytes.
func wide(b []byte) string {
	b = b[:min(len(b), 4096)&^1]
	var zeros [2]int
	for i, c := range b {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case zeros[1] > len(b)/4 && zeros[0] == 0:
		return "utf-16le"
	case zeros[0] > len(b)/4 && zeros[1] == 0:
		return "utf-16be"
	}
	return ""
}

func charset(name string) encoding.Encoding {
	switch name {
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "iso-8859-1":
		return charmap.ISO8859_1
	case "iso-8859-15":
		return charmap.ISO8859_15
	case "windows-1252":
		return charmap.Windows1252
	}
	return encoding.Nop
}

// fits says whether the file's encoding has the text.
func (c *coding) fits(v record.Value) (record.Value, error) {
	if s, isText := v.(string); isText && !strings.HasPrefix(c.charset, "utf-") {
		if _, err := charset(c.charset).NewEncoder().String(s); err != nil {
			return nil, fmt.Errorf("cannot hold %s: the file is in %s", shorten(s), c.charset)
		}
	}
	return v, nil
}

// labels are what XML calls the encodings that are read.
var labels = map[string]string{"utf-8": "utf-8", "utf8": "utf-8", "utf-16": "utf-16", "utf-16le": "utf-16le", "utf-16be": "utf-16be", "iso-8859-1": "iso-8859-1", "latin1": "iso-8859-1",
	"iso-8859-15": "iso-8859-15", "latin-9": "iso-8859-15", "windows-1252": "windows-1252", "cp1252": "windows-1252"}

var xmlDeclaration = regexp.MustCompile(`^<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']`)

// decodeXML makes UTF-8 of XML, which says itself how it is encoded: by its mark, by how it begins, or in its first line (Extensible
// Markup Language 1.0, appendix F).
func (c *coding) decodeXML(b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte("<\x00")):
		c.charset = "utf-16le"
	case bytes.HasPrefix(b, []byte("\x00<")):
		c.charset = "utf-16be"
	}
	b = c.shown(b)
	if c.charset == "" {
		c.charset = "utf-8"
		if m := xmlDeclaration.FindSubmatch(b); m != nil {
			label := strings.ToLower(string(m[1]))
			if c.charset = labels[label]; c.charset == "" || c.charset == "utf-16" {
				return nil, errors.New("it says that its encoding is " + label + ", which is not read or not what it is in; save it in UTF-8")
			}
		}
	}
	out, err := c.plain(b)
	if err != nil {
		return nil, errors.New("it is not in the encoding " + c.charset + ", which XML has unless its first line says another")
	}
	return out, nil
}

// decodeJSON makes UTF-8 of JSON: it is in UTF-8 (RFC 8259, section 8.1), but shells and spreadsheets write UTF-16.
func (c *coding) decodeJSON(b []byte) ([]byte, error) {
	if b = c.shown(b); c.charset == "" {
		c.charset = "utf-8"
		return b, nil // what is wrong is said with its place by who reads it
	}
	out, err := c.plain(b)
	if err != nil {
		return nil, errors.New("it is not in the encoding " + c.charset + "; save it in UTF-8")
	}
	return out, nil
}
