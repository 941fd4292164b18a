// SPDX-License-Identifier: Apache-2.0

package mysql

import "strings"

// Statements in the log are looked at word by word and not parsed: servers have statements that no parser of another
// program knows (MariaDB's above all), and the little that matters here shows in the words.

// effect is what a statement in the log means for a table.
type effect uint8

const (
	effectNone     effect = iota
	effectAltered         // its columns may be others
	effectReplaced        // rows may have come or gone without a trace in the log
	effectUnlogged        // rows were changed by a statement that was logged as such, without the rows
)

// tokens are the words, names and texts of a statement, without comments. Comments that servers execute
// (/*!40005 TEMPORARY */, /*M! ... */) are read as what they hold. Names lose their quotes; texts keep a leading
// quote, so that no text is taken for a word.
func tokens(q string) []string {
	var out []string
	for i := 0; i < len(q); {
		switch b := q[i]; {
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
			i++
		case b == '#' || strings.HasPrefix(q[i:], "-- ") || strings.HasPrefix(q[i:], "--\n") || strings.HasPrefix(q[i:], "--\t"):
			if n := strings.IndexByte(q[i:], '\n'); n >= 0 {
				i += n + 1
			} else {
				i = len(q)
			}
		case strings.HasPrefix(q[i:], "/*!") || strings.HasPrefix(q[i:], "/*M!"):
			i += strings.IndexByte(q[i:], '!') + 1
			for i < len(q) && q[i] >= '0' && q[i] <= '9' {
				i++
			}
		case strings.HasPrefix(q[i:], "/*"):
			if n := strings.Index(q[i+2:], "*/"); n >= 0 {
				i += n + 4
			} else {
				i = len(q)
			}
		case strings.HasPrefix(q[i:], "*/"):
			i += 2
		case b == '`' || b == '"' || b == '\'':
			content, n := quoted(q[i:])
			if b == '\'' {
				content = "'" + content
			}
			out = append(out, content)
			i += n
		case isWordByte(b):
			start := i
			for i < len(q) && isWordByte(q[i]) {
				i++
			}
			out = append(out, q[start:i])
		default:
			out = append(out, string(b))
			i++
		}
	}
	return out
}

func isWordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '$' || b == '@' || b >= 0x80
}

// quoted reads what stands in quotes at the beginning of q, and how long it is with them.
func quoted(q string) (content string, n int) {
	var s strings.Builder
	for i := 1; i < len(q); i++ {
		switch {
		case q[i] == q[0] && i+1 < len(q) && q[i+1] == q[0]:
			s.WriteByte(q[0])
			i++
		case q[i] == q[0]:
			return s.String(), i + 1
		case q[i] == '\\' && q[0] != '`' && i+1 < len(q):
			i++
			s.WriteByte(q[i])
		default:
			s.WriteByte(q[i])
		}
	}
	return s.String(), len(q)
}

// verb is the statement's first word, in capitals; "WITH" and the like are given as they are.
func verb(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return strings.ToUpper(words[0])
}

func has(words []string, wanted ...string) bool {
	for _, w := range words {
		for _, x := range wanted {
			if strings.EqualFold(w, x) {
				return true
			}
		}
	}
	return false
}

// follows says whether one word comes right after another.
func follows(words []string, first []string, second string) bool {
	for i := 1; i < len(words); i++ {
		if strings.EqualFold(words[i], second) && has(words[i-1:i], first...) {
			return true
		}
	}
	return false
}

// effectOn says what a statement that is not the frame of a transaction means for the table; current is the database it
// ran in. It errs on the side of reading again: a name that merely occurs counts.
func effectOn(words []string, current, schema, table string, foldNames bool) effect {
	first := verb(words)
	if first == "DROP" && len(words) > 1 && has(words[1:2], "DATABASE", "SCHEMA") {
		if has(words, schema) {
			return effectReplaced
		}
		return effectNone
	}
	if first == "CREATE" { // what a table is made from is not changed
		for i, w := range words {
			if has([]string{w}, "LIKE", "SELECT", "AS", "(") {
				words = words[:i]
				break
			}
		}
	}
	if !mentions(words, current, schema, table, foldNames) {
		return effectNone
	}
	switch first {
	case "CREATE", "DROP":
		if len(words) > 1 && has(words[1:min(len(words), 4)], "TEMPORARY") {
			return effectNone
		}
		switch {
		case has(words[1:min(len(words), 5)], "TABLE", "TABLES"):
			return effectReplaced
		case has(words[1:min(len(words), 10)], "INDEX", "TRIGGER"):
			return effectAltered
		}
		return effectNone
	case "TRUNCATE", "RENAME":
		return effectReplaced
	case "ALTER":
		if !has(words[1:min(len(words), 4)], "TABLE") {
			return effectNone
		}
		if follows(words, []string{"TRUNCATE", "DROP", "EXCHANGE", "CONVERT"}, "PARTITION") || has(words, "RENAME") && renamesTable(words) ||
			follows(words, []string{"IMPORT", "DISCARD"}, "TABLESPACE") || follows(words, []string{"CONVERT"}, "TABLE") {
			return effectReplaced
		}
		return effectAltered
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH":
		return effectUnlogged
	}
	return effectNone
}

// mentions says whether the table's name occurs, alone in its own database or with its database in front.
func mentions(words []string, current, schema, table string, foldNames bool) bool {
	same := func(a, b string) bool { return a == b || foldNames && strings.EqualFold(a, b) }
	for i, w := range words {
		if !same(w, table) {
			continue
		}
		in := current
		if i >= 2 && words[i-1] == "." {
			in = words[i-2]
		}
		if same(in, schema) {
			return true
		}
	}
	return false
}

// renamesTable tells ALTER TABLE ... RENAME [TO] from RENAME COLUMN, INDEX, KEY.
func renamesTable(words []string) bool {
	for i, w := range words {
		if strings.EqualFold(w, "RENAME") && !has(words[i+1:min(len(words), i+2)], "COLUMN", "INDEX", "KEY") {
			return true
		}
	}
	return false
}
