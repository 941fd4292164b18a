// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// readJSON reads JSON into nodes. The YAML reader could read it too, but its columns are wrong behind tabs, which JSON
// allows as indentation.
func readJSON(source string) (*node, *fault.Field) {
	r := &jsonReader{lines: newLineStarts(source), source: source, dec: json.NewDecoder(strings.NewReader(source))}
	r.dec.UseNumber()
	root, problem := r.value(0)
	if problem != nil {
		return nil, problem
	}
	if rest := strings.TrimLeft(source[r.dec.InputOffset():], " \t\r\n"); rest != "" {
		line, col := r.lines.at(len(source) - len(rest))
		return nil, syntaxProblem(line, col, "There is more text after the end of the document.", "Remove it; one request holds one document.")
	}
	return root, nil
}

type jsonReader struct {
	dec    *json.Decoder
	source string
	lines  lineStarts
	nodes  int
}

// next returns the next token and where it begins.
func (r *jsonReader) next() (tok json.Token, line, col int, problem *fault.Field) {
	begin := int(r.dec.InputOffset())
	for begin < len(r.source) && strings.IndexByte(" \t\r\n,:", r.source[begin]) >= 0 {
		begin++
	}
	line, col = r.lines.at(begin)
	tok, err := r.dec.Token()
	if err == nil {
		return tok, line, col, nil
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		line, col = r.lines.at(len(strings.TrimRight(r.source, " \t\r\n")))
		return nil, 0, 0, syntaxProblem(line, col, "The document ends before it is complete.", "Close every { and [ that was opened.")
	case errors.As(err, &syntax):
		if at := int(syntax.Offset) - 1; at > begin {
			line, col = r.lines.at(at)
		}
	}
	return nil, 0, 0, syntaxProblem(line, col, "This is not JSON: "+strings.TrimPrefix(err.Error(), "json: ")+".",
		"Check quotes and commas just before this place.")
}

func (r *jsonReader) value(depth int) (*node, *fault.Field) {
	tok, line, col, problem := r.next()
	if problem != nil {
		return nil, problem
	}
	if r.nodes++; r.nodes > maxNodes {
		return nil, tooLarge(line, col, "The document has more than 20,000 values.", "Split the service into several.")
	}
	n := &node{line: line, col: col, size: 1}
	switch tok := tok.(type) {
	case nil:
		n.kind, n.text = nullNode, "null"
	case bool:
		n.kind, n.text = booleanNode, "false"
		if tok {
			n.text = "true"
		}
	case string:
		n.kind, n.text = textNode, tok
		if begin := int(r.dec.InputOffset()) - len(tok) - 1; begin > 0 && r.source[begin:begin+len(tok)] == tok && r.source[begin-1] == '"' {
			n.shown = 2
		}
	case json.Number:
		num, err := record.ParseNumber(string(tok))
		if err != nil {
			return nil, tooLarge(line, col, "The number "+shorten(string(tok))+" is too large.", "Numbers have at most 1,000 digits.")
		}
		n.kind, n.text, n.num = numberNode, string(tok), num
	case json.Delim:
		if depth >= maxDepth {
			return nil, tooLarge(line, col, "The document is nested too deeply.", "At most 32 levels are possible; no service needs as many.")
		}
		if tok == '[' {
			n.kind = listNode
			for r.dec.More() {
				item, problem := r.value(depth + 1)
				if problem != nil {
					return nil, problem
				}
				n.items = append(n.items, item)
				n.size += item.size
			}
		} else {
			n.kind = mappingNode
			for r.dec.More() {
				key, keyLine, keyCol, problem := r.next()
				if problem != nil {
					return nil, problem
				}
				name, _ := key.(string)
				value, problem := r.value(depth + 1)
				if problem != nil {
					return nil, problem
				}
				n.pairs = append(n.pairs, pair{name, keyLine, keyCol, value})
				n.size += value.size
			}
		}
		if _, _, _, problem := r.next(); problem != nil { // the closing bracket
			return nil, problem
		}
	}
	return n, nil
}
