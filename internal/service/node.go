// SPDX-License-Identifier: Apache-2.0

package service

import (
	"math/big"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// The limits of a document, checked before it is decoded, so that no source can cost more than a moment.
const (
	MaxDocumentBytes = 256 << 10
	maxDepth         = 32     // mappings and lists inside each other
	maxNodes         = 20_000 // values in all, aliases expanded
	maxAliases       = 100    // YAML anchors, aliases and tags, of each
	maxProblems      = 100    // reported at once
)

// nodeKind is what a value in the source is, before anybody asks what it should be.
type nodeKind int

const (
	nullNode nodeKind = iota
	booleanNode
	numberNode
	textNode
	listNode
	mappingNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a block of fields"}[k]
}

// node is one value of the source, read from YAML or JSON; from here on the two are the same.
type node struct {
	kind  nodeKind
	text  string        // the content of text; the digits of a number and the word of a boolean as they were written
	num   record.Number // of a number
	line  int           // 1-based, where the value begins
	col   int           // 1-based, in characters
	shown int           // 1 + the characters between line, col and the text (a quote); 0 when it does not stand there as it is
	items []*node
	pairs []pair
	size  int // how many nodes this is, itself and aliases included
}

// pair is one entry of a mapping.
type pair struct {
	key       string
	line, col int // of the key
	value     *node
}

// problems collects what is wrong with a source.
type problems struct {
	fields []fault.Field
}

func (p *problems) add(f fault.Field) {
	if !p.full() {
		p.fields = append(p.fields, f)
	}
}

func (p *problems) full() bool { return len(p.fields) >= maxProblems }

// sorted returns the problems in the order of the source, each once.
func (p *problems) sorted() []fault.Field { return inSourceOrder(p.fields) }

func inSourceOrder(fields []fault.Field) []fault.Field {
	out := append([]fault.Field(nil), fields...)
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].Line != out[j].Line {
			return out[i].Line < out[j].Line
		}
		return out[i].Column < out[j].Column
	})
	kept := out[:0]
	for i, f := range out {
		if i == 0 || f != out[i-1] {
			kept = append(kept, f)
		}
	}
	return kept
}

// lineStarts finds lines and columns for byte offsets.
type lineStarts struct {
	source string
	starts []int
}

func newLineStarts(source string) lineStarts {
	starts := []int{0}
	for i := 0; i < len(source); i++ {
		if source[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return lineStarts{source, starts}
}

// at returns the 1-based line and the 1-based column in characters of a byte offset.
func (l lineStarts) at(offset int) (line, col int) {
	if offset > len(l.source) {
		offset = len(l.source)
	}
	line = sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > offset })
	return line, utf8.RuneCountInString(l.source[l.starts[line-1]:offset]) + 1
}

// within brings a place into the source; the YAML lexer's can be outside, for text that ends the document.
func (l lineStarts) within(line, col int) (int, int) {
	line = min(max(line, 1), len(l.starts))
	return line, min(max(col, 1), utf8.RuneCountInString(l.line(line))+1)
}

// line returns the text of a 1-based line without its end.
func (l lineStarts) line(n int) string {
	if n < 1 || n > len(l.starts) {
		return ""
	}
	text := l.source[l.starts[n-1]:]
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	return text
}

// syntaxProblem is a source that cannot be read at all.
func syntaxProblem(line, col int, message, remedy string) *fault.Field {
	return &fault.Field{Line: line, Column: col, Code: codeSyntax, Message: message, Remedy: remedy}
}

func tooLarge(line, col int, message, remedy string) *fault.Field {
	return &fault.Field{Line: line, Column: col, Code: codeTooLarge, Message: message, Remedy: remedy}
}

// generic turns a node into plain values: nil, bool, record.Number, string, []any, map[string]any.
func (n *node) generic() any {
	switch n.kind {
	case booleanNode:
		return n.text == "true"
	case numberNode:
		return n.num
	case textNode:
		return n.text
	case listNode:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.generic()
		}
		return out
	case mappingNode:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key] = p.value.generic()
		}
		return out
	}
	return nil
}

// compareNumbers compares exactly; both must be numbers.
func compareNumbers(a, b record.Number) int {
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	if !okX || !okY {
		return 0
	}
	return x.Cmp(y)
}

// pointerToken escapes a name for a JSON pointer (RFC 6901).
func pointerToken(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
