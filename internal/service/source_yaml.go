// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// readYAML reads one YAML document into nodes, anchors, aliases and merge keys resolved.
func readYAML(source string) (root *node, problem *fault.Field) {
	// The parser is third-party code that reads what anybody sends us; a panic in it is a document it cannot read.
	defer func() {
		if p := recover(); p != nil {
			root, problem = nil, syntaxProblem(1, 1, "The YAML cannot be read.", "Simplify it, or send the document as JSON.")
		}
	}()
	tokens := lexer.Tokenize(source)
	if problem := checkTokens(tokens); problem != nil {
		return nil, problem
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	lines := newLineStarts(source)
	if err != nil {
		return nil, yamlProblem(err, lines)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			tk := doc.Start
			if tk == nil {
				tk = doc.Body.GetToken()
			}
			return nil, syntaxProblem(tk.Position.Line, max(tk.Position.Column, 1), "A second document begins here.", "One request or file holds one service; put the others into files of their own.")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, syntaxProblem(1, 1, "The document is empty.", "Begin with `service: my-service` and a list of `systems`.")
	}
	r := &yamlReader{lines: lines, anchors: map[string]*node{}}
	return r.value(body, 0)
}

// maxYAMLFields bounds what the parser spends: its time grows with the square of the fields in one mapping.
const maxYAMLFields = 5_000

// checkTokens refuses sources that would cost much to parse, before the parser, which recurses, sees them.
func checkTokens(tokens token.Tokens) *fault.Field {
	var flow, stacked, anchors, aliases, tags, fields, stackLine int
	if len(tokens) > 5*maxNodes {
		return tooLarge(1, 1, "The document has more than 20,000 values.", "Split the service into several.")
	}
	for _, tk := range tokens {
		line, col := tk.Position.Line, max(tk.Position.Column, 1)
		if tk.Type == token.MappingValueType {
			if fields++; fields > maxYAMLFields {
				return tooLarge(line, col, "The document has more than 5,000 fields.", "Split the service into several, or send it as JSON.")
			}
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if line != stackLine {
				stackLine, stacked = line, 0
			}
			if flow == 0 {
				stacked++
			}
		case token.AnchorType:
			anchors++
		case token.AliasType:
			aliases++
		case token.TagType:
			tags++
		}
		if flow > maxDepth || stacked > maxDepth {
			return tooLarge(line, col, "The document is nested too deeply.", "At most 32 levels are possible; no service needs as many.")
		}
		if anchors > maxAliases || aliases > maxAliases || tags > maxAliases {
			return tooLarge(line, col, "The document has more than 100 anchors, aliases or tags.", "Write the repeated parts out.")
		}
	}
	return nil
}

// yamlProblem turns the parser's error into ours, with a remedy for the mistakes people make.
func yamlProblem(err error, lines lineStarts) *fault.Field {
	line, col, message := 1, 1, err.Error()
	var e yaml.Error
	if errors.As(err, &e) {
		message = e.GetMessage()
		if tk := e.GetToken(); tk != nil && tk.Position != nil {
			line, col = lines.within(tk.Position.Line, tk.Position.Column)
		}
	}
	remedy := "Check the indentation, quotes and colons here and on the line before."
	text := lines.line(line)
	switch {
	case strings.Contains(text, "${") && strings.ContainsAny(strings.ReplaceAll(text, "${", ""), "{["):
		remedy = "Inside { } and [ ] put secrets in quotes: \"${NAME}\"."
	case strings.HasPrefix(strings.TrimLeft(text, " "), "\t"):
		remedy = "YAML is indented with spaces; replace the tab."
	case strings.Contains(message, "mapping value is not allowed"):
		remedy = "Put text that contains \": \" in quotes."
	case strings.Contains(message, "reserved character"):
		remedy = "Put the text in quotes."
	}
	return syntaxProblem(line, col, "This is not YAML: "+strings.TrimSuffix(shorten(strings.ReplaceAll(message, "\t", "tab")), ".")+".", remedy)
}

type yamlReader struct {
	lines   lineStarts
	anchors map[string]*node
	nodes   int
	shown   int // the line whose characters are in runes
	runes   []rune
}

func (r *yamlReader) value(in ast.Node, depth int) (*node, *fault.Field) {
	tk := in.GetToken()
	n := &node{size: 1}
	n.line, n.col = r.place(tk)
	if r.nodes++; r.nodes > maxNodes {
		return nil, tooLarge(n.line, n.col, "The document has more than 20,000 values.", "Split the service into several.")
	}
	if depth > maxDepth {
		return nil, tooLarge(n.line, n.col, "The document is nested too deeply.", "At most 32 levels are possible; no service needs as many.")
	}
	switch in := in.(type) {
	case *ast.NullNode:
		n.kind, n.text = nullNode, tk.Value
	case *ast.BoolNode:
		n.kind, n.text = booleanNode, "false"
		if in.Value {
			n.text = "true"
		}
	case *ast.IntegerNode, *ast.FloatNode:
		r.number(n, in, tk)
	case *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = textNode, tk.Value
	case *ast.StringNode:
		n.kind, n.text = textNode, in.Value
		for lead := range 2 { // as it is, or behind a quote
			from := n.col - 1 + lead
			if want := []rune(n.text); r.shown == n.line && from+len(want) <= len(r.runes) && slices.Equal(r.runes[from:from+len(want)], want) {
				n.shown = lead + 1
				break
			}
		}
	case *ast.LiteralNode:
		n.kind = textNode
		if in.Value != nil {
			n.text = in.Value.Value
		}
	case *ast.TagNode:
		return r.tagged(in, depth)
	case *ast.AnchorNode:
		if in.Name == nil || in.Value == nil {
			return nil, syntaxProblem(n.line, n.col, "The anchor has no name or no value.", "Write `&name` before a value.")
		}
		value, problem := r.value(in.Value, depth)
		if problem == nil {
			r.anchors[in.Name.GetToken().Value] = value
		}
		return value, problem
	case *ast.AliasNode:
		return r.alias(in, n)
	case *ast.SequenceNode:
		n.kind = listNode
		for _, entry := range in.Values {
			item, problem := r.value(entry, depth+1)
			if problem != nil {
				return nil, problem
			}
			n.items = append(n.items, item)
			n.size += item.size
		}
	case *ast.MappingNode:
		return r.mapping(n, in.Values, in.IsFlowStyle, depth)
	case *ast.MappingValueNode:
		return r.mapping(n, []*ast.MappingValueNode{in}, false, depth)
	default:
		return nil, syntaxProblem(n.line, n.col, "This kind of YAML is not understood here.", "Use plain mappings, lists and values.")
	}
	return n, nil
}

// number keeps the written digits. What YAML writers disagree about (012, 1_000) stays text, so that a postal code keeps
// its zero and a number is never another one than it looks.
func (r *yamlReader) number(n *node, in ast.Node, tk *token.Token) {
	n.text = tk.Value
	if num, err := record.ParseNumber(tk.Value); err == nil && (tk.Type == token.IntegerType || tk.Type == token.FloatType) {
		n.kind, n.num = numberNode, num
		return
	}
	if i, ok := in.(*ast.IntegerNode); ok && len(tk.Value) > 2 && strings.ContainsAny(tk.Value[:3], "xob") {
		if num, err := record.ParseNumber(fmt.Sprint(i.Value)); err == nil {
			n.kind, n.num = numberNode, num
			return
		}
	}
	n.kind = textNode
}

func (r *yamlReader) tagged(in *ast.TagNode, depth int) (*node, *fault.Field) {
	line, col := r.place(in.GetToken())
	switch tag := in.GetToken().Value; tag {
	case "!!str":
		if in.Value == nil {
			return &node{kind: textNode, line: line, col: col, size: 1}, nil
		}
		n, problem := r.value(in.Value, depth)
		if problem == nil && n.kind < listNode {
			c := *n
			c.kind, n = textNode, &c
		}
		return n, problem
	case "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq":
		if in.Value != nil {
			return r.value(in.Value, depth)
		}
	}
	return nil, syntaxProblem(line, col, fmt.Sprintf("The tag %s is not understood here.", shorten(in.GetToken().Value)), "Remove it.")
}

func (r *yamlReader) alias(in *ast.AliasNode, at *node) (*node, *fault.Field) {
	name := ""
	if in.Value != nil {
		name = in.Value.GetToken().Value
	}
	target, ok := r.anchors[name]
	if !ok {
		return nil, syntaxProblem(at.line, at.col, fmt.Sprintf("The alias *%s names no anchor before it.", shorten(name)), fmt.Sprintf("Write &%s before the value that is meant.", shorten(name)))
	}
	if r.nodes += target.size; r.nodes > maxNodes {
		return nil, tooLarge(at.line, at.col, "With its aliases written out the document has more than 20,000 values.", "Use fewer aliases.")
	}
	// Problems in the repeated part are shown where it is used; its inner values keep the place where they are written.
	c := *target
	c.line, c.col, c.shown = at.line, at.col, 0
	return &c, nil
}

func (r *yamlReader) mapping(n *node, values []*ast.MappingValueNode, flow bool, depth int) (*node, *fault.Field) {
	n.kind = mappingNode
	if depth+1 > maxDepth {
		return nil, tooLarge(n.line, n.col, "The document is nested too deeply.", "At most 32 levels are possible; no service needs as many.")
	}
	given := map[string]bool{}
	var merged []pair
	for i, entry := range values {
		key := keyToken(entry.Key)
		line, col := r.place(key)
		if i == 0 && !flow { // a block has no bracket of its own: it begins with its first key
			n.line, n.col = line, col
		}
		if entry.Value == nil {
			return nil, syntaxProblem(line, col, "The field has no value.", "Write a value behind the colon.")
		}
		value, problem := r.value(entry.Value, depth+1)
		if problem != nil {
			return nil, problem
		}
		n.size += value.size
		if entry.Key.IsMergeKey() {
			more, problem := mergedPairs(value, line, col)
			if problem != nil {
				return nil, problem
			}
			merged = append(merged, more...)
			continue
		}
		if key == nil {
			return nil, syntaxProblem(line, col, "The name of a field must be plain text.", "Write `name: value`.")
		}
		given[key.Value] = true
		n.pairs = append(n.pairs, pair{key.Value, line, col, value})
	}
	for _, p := range merged { // what is written here wins over what is merged in, the earlier merge over the later
		if !given[p.key] {
			given[p.key] = true
			n.pairs = append(n.pairs, p)
		}
	}
	return n, nil
}

func mergedPairs(value *node, line, col int) ([]pair, *fault.Field) {
	switch value.kind {
	case mappingNode:
		return value.pairs, nil
	case listNode:
		var out []pair
		for _, item := range value.items {
			if item.kind != mappingNode {
				return nil, syntaxProblem(line, col, "Only mappings can be merged with <<.", "Write `<<: *anchor` of a mapping.")
			}
			out = append(out, item.pairs...)
		}
		return out, nil
	}
	return nil, syntaxProblem(line, col, "Only mappings can be merged with <<.", "Write `<<: *anchor` of a mapping.")
}

// keyToken returns the token of a plain key, nil for a key that is a mapping, a list or an alias.
func keyToken(key ast.MapKeyNode) *token.Token {
	switch key := key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode, *ast.MergeKeyNode:
		return key.GetToken()
	case *ast.MappingKeyNode:
		if inner, ok := key.Value.(ast.ScalarNode); ok {
			return inner.GetToken()
		}
	}
	return nil
}

// place returns where a token stands. The lexer's columns drift in rare cases (tabs, escapes in quotes before on the same
// line); where the line does not show the token at its column, the line is searched for it.
func (r *yamlReader) place(tk *token.Token) (line, col int) {
	if tk == nil || tk.Position == nil {
		return 1, 1
	}
	line = min(max(tk.Position.Line, 1), len(r.lines.starts))
	if r.shown != line {
		r.shown, r.runes = line, []rune(r.lines.line(line))
	}
	col = min(max(tk.Position.Column, 1), len(r.runes)+1)
	mark := ""
	switch tk.Type {
	case token.SingleQuoteType:
		mark = "'"
	case token.DoubleQuoteType:
		mark = "\""
	case token.StringType, token.IntegerType, token.FloatType:
		mark, _, _ = strings.Cut(tk.Value, "\n")
		mark, _, _ = strings.Cut(mark, " ")
	}
	if mark == "" {
		return line, col
	}
	want := []rune(mark)
	for away := 0; away <= 32; away++ { // nearest first
		for _, at := range [2]int{col - 1 - away, col - 1 + away} {
			if at >= 0 && at+len(want) <= len(r.runes) && slices.Equal(r.runes[at:at+len(want)], want) {
				return line, at + 1
			}
		}
	}
	return line, col
}
