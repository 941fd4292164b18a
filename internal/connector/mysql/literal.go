// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/hex"
	"strings"
)

// text is a string literal. Connections are utf8mb4 and their sql_mode, which we set, keeps the backslash an escape.
func text(s string) string { return string(appendText(nil, s)) }

func appendText(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	start := 0
	for i := 0; i < len(s); i++ {
		var escape byte
		switch s[i] {
		case 0:
			escape = '0'
		case '\n':
			escape = 'n'
		case '\r':
			escape = 'r'
		case 0x1a:
			escape = 'Z'
		case '\'', '"', '\\':
			escape = s[i]
		default:
			continue
		}
		dst = append(append(dst, s[start:i]...), '\\', escape)
		start = i + 1
	}
	return append(append(dst, s[start:]...), '\'')
}

// appendBytes is a binary literal.
func appendBytes(dst, b []byte) []byte {
	dst = append(dst, 'x', '\'')
	dst = hex.AppendEncode(dst, b)
	return append(dst, '\'')
}

// list joins names of columns for a SELECT or INSERT.
func list(columns []*column, each func(c *column) string) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(each(c))
	}
	return b.String()
}

func name(c *column) string { return quote(c.name) }
