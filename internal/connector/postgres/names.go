// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// quote writes an identifier for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal writes a text for SQL.
func literal(s string) string {
	if strings.Contains(s, `\`) {
		return `E'` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `''`) + `'`
	}
	return `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
}

// qualified names a table in a schema.
type qualified struct{ schema, name string }

func (q qualified) sql() string { return quote(q.schema) + "." + quote(q.name) }

// candidates are the tables that an object's name can mean, likeliest first: a table in the schema of the settings, or
// schema.table. Parts may be quoted as in SQL.
func candidates(object record.Object, schema string) []qualified {
	o := string(object)
	if parts, ok := quotedParts(o); ok {
		switch len(parts) {
		case 1:
			return []qualified{{schema, parts[0]}}
		case 2:
			return []qualified{{parts[0], parts[1]}}
		}
	}
	all := []qualified{{schema, o}}
	for i, c := range o {
		if c == '.' {
			all = append(all, qualified{o[:i], o[i+1:]})
		}
	}
	return all
}

// quotedParts splits a name that begins with a quotation mark; ok is false when it does not, or is not well formed.
func quotedParts(s string) (parts []string, ok bool) {
	if !strings.Contains(s, `"`) {
		return nil, false
	}
	for s != "" {
		var part strings.Builder
		if s[0] != '"' {
			plain, _, _ := strings.Cut(s, ".")
			if plain == "" || strings.Contains(plain, `"`) {
				return nil, false
			}
			part.WriteString(plain)
			s = s[len(plain):]
		} else {
			s = s[1:]
			for {
				i := strings.IndexByte(s, '"')
				if i < 0 {
					return nil, false
				}
				part.WriteString(s[:i])
				s = s[i+1:]
				if !strings.HasPrefix(s, `"`) {
					break
				}
				part.WriteByte('"')
				s = s[1:]
			}
		}
		parts = append(parts, part.String())
		if s == "" {
			return parts, true
		}
		if s[0] != '.' {
			return nil, false
		}
		s = s[1:]
	}
	return nil, false
}

// objectName is what an object is called: the bare table name in the schema of the settings, else schema.table; quoted
// where it could be taken for something else.
func objectName(q qualified, schema string) record.Object {
	plain := func(s string) bool { return !strings.ContainsAny(s, `."`) }
	part := func(s string) string {
		if plain(s) {
			return s
		}
		return quote(s)
	}
	if q.schema == schema {
		return record.Object(part(q.name))
	}
	return record.Object(part(q.schema) + "." + part(q.name))
}
