// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// Format is the language a document is written in.
type Format string

// The formats. JSON is accepted as YAML too, since it is YAML.
const (
	YAML Format = "yaml"
	JSON Format = "json"
)

// Parse reads a document. What it cannot accept is the fault service.document_invalid, which names every faulty place
// by JSON pointer, line and column, in the order of the source. Parse checks all that needs no knowledge of the
// surroundings' state; see Validate for the rest.
//
// Sources over 256 KiB, deeper than 32 levels, or of more than 20,000 values (aliases expanded) are refused before
// decoding.
func Parse(source []byte, format Format) (*Document, error) {
	doc, found := read(source, format)
	if len(found) > 0 {
		return nil, invalid(found)
	}
	return doc, nil
}

// invalid makes the fault of problems.
func invalid(found []fault.Field) *fault.Error {
	first := found[0]
	where := ""
	if first.Line > 0 {
		where = fmt.Sprintf(" Line %d, column %d:", first.Line, first.Column)
	}
	count := "one problem"
	if len(found) > 1 {
		count = strconv.Itoa(len(found)) + " problems"
	}
	return fault.New(fault.Invalid, CodeDocumentInvalid, "The service document has %s.%s %s", count, where, first.Message).At(found...)
}

// read returns what can be read of a document, and all that is wrong with its form. The document is nil when the source
// cannot be read at all.
func read(source []byte, format Format) (*Document, []fault.Field) {
	root, problem := readSource(source, format)
	if problem != nil {
		return nil, []fault.Field{*problem}
	}
	r := &reading{places: make(map[string]place)}
	tree := map[string]any{}
	if root.kind != mappingNode {
		r.wrongType("", root, documentShape)
	} else {
		r.places[""] = place{"", root.line, root.col, 0}
		r.block(root, documentShape, "", "", tree, tree)
	}
	// The tree holds only what the shapes allow, so that it fits the types; see TestShapesFitTheTypes.
	doc := &Document{}
	b, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(b, doc)
	}
	if err != nil {
		r.add(fault.Field{Code: codeSyntax, Message: "The document cannot be read.", Remedy: err.Error()})
	}
	doc.places = r.places
	return doc, r.sorted()
}

// readSource reads either language into nodes.
func readSource(source []byte, format Format) (*node, *fault.Field) {
	if len(source) > MaxDocumentBytes {
		return nil, tooLarge(1, 1, fmt.Sprintf("The document is %d KiB long; at most 256 KiB are possible.", len(source)>>10), "Split the service into several.")
	}
	src := strings.TrimPrefix(string(source), "\ufeff")
	if !utf8.ValidString(src) {
		lines := newLineStarts(src)
		at := strings.IndexFunc(src, func(r rune) bool { return r == utf8.RuneError })
		line, col := lines.at(max(at, 0))
		return nil, syntaxProblem(line, col, "The document is not UTF-8 text.", "Save it with the encoding UTF-8.")
	}
	src = strings.ReplaceAll(src, "\r\n", "\n")
	if i := strings.IndexByte(src, 0); i >= 0 {
		line, col := newLineStarts(src).at(i)
		return nil, syntaxProblem(line, col, "The document contains a zero byte.", "Remove it.")
	}
	if format == JSON {
		return readJSON(src)
	}
	if strings.HasPrefix(strings.TrimLeft(src, " \t\r\n"), "{") {
		if root, problem := readJSON(src); problem == nil || problem.Code == codeTooLarge {
			return root, problem
		}
	}
	return readYAML(src)
}

// reading walks the nodes of a source along the shapes. It builds the canonical tree and notes where each part stands.
type reading struct {
	problems
	places map[string]place
}

func (r *reading) report(code, pointer string, line, col int, remedy, format string, args ...any) {
	r.add(fault.Field{Pointer: pointer, Line: line, Column: col, Code: code, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// block reads a mapping into the canonical object `into`; root is the whole tree, for parts that belong elsewhere.
func (r *reading) block(n *node, s *shape, canon, source string, into, root map[string]any) {
	seen := map[string]pair{} // by the name of the field, or the key itself for other names
	kinds := map[nodeKind]bool{}
	for _, p := range n.pairs {
		at := source + "/" + pointerToken(p.key)
		fd := s.field(p.key)
		if fd != nil && s.rest != nil && !fd.shape.accepts(p.value.kind) && s.rest.accepts(p.value.kind) {
			fd = nil // validation: a field rule for an entity field that is called like a flag
		}
		slot, canonical := p.key, p.key
		if fd != nil {
			slot, canonical = fd.name, fd.name
		}
		if first, twice := seen[slot]; twice {
			if first.key == p.key {
				r.report(codeFieldDuplicate, at, p.line, p.col, "Remove one of them.", "%s is given twice; first in line %d.", p.key, first.line)
			} else {
				r.report(codeFieldDuplicate, at, p.line, p.col, "Remove one of them.", "%s is another name of %s, which is given in line %d.", p.key, first.key, first.line)
			}
			continue
		}
		seen[slot] = p
		if fd == nil && s.rest == nil {
			r.unknown(s, p, at, canon)
			continue
		}
		value := s.rest
		if fd != nil {
			value = fd.shape
		} else {
			if !r.ownName(p, at) {
				continue
			}
			kinds[p.value.kind] = true
		}
		to, where := into, canon+"/"+pointerToken(canonical)
		if fd != nil && fd.home != "" {
			home, ok := r.moved(n, fd, p, at, root)
			if !ok {
				continue
			}
			to, where = home, fd.home
			canonical = fd.home[strings.LastIndexByte(fd.home, '/')+1:]
		}
		v, ok := r.value(p.value, value, where, at)
		if !ok {
			continue
		}
		if moved, there := to[canonical].(map[string]any); there { // parts that were moved here came first
			if own, isBlock := v.(map[string]any); isBlock {
				for name, part := range own {
					moved[name] = part
				}
				continue
			}
		}
		to[canonical] = v
	}
	if s.uniform && kinds[textNode] && kinds[mappingNode] {
		r.report(codeMappingMixed, source, n.line, n.col, "Use one form: `field: alias` throughout, or a block for each system.",
			"The flat form and the form per system cannot be mixed.")
		for key := range into { // neither form can be read
			delete(into, key)
		}
	}
	for _, fd := range s.fields {
		if _, given := seen[fd.name]; fd.required && !given {
			remedy := "Add `" + fd.name + ":`. " + fd.doc
			r.report(codeFieldMissing, source, n.line, n.col, remedy, "%s is missing.", fd.name)
		}
	}
}

// moved returns the object that a field canonically belongs to, unless the same block is also given there.
func (r *reading) moved(n *node, fd *field, p pair, at string, root map[string]any) (map[string]any, bool) {
	parent, last, _ := strings.Cut(strings.TrimPrefix(fd.home, "/"), "/")
	for _, other := range n.pairs {
		if other.key != parent || other.value.kind != mappingNode {
			continue
		}
		for _, inner := range other.value.pairs {
			if inner.key == last {
				r.report(codeFieldDuplicate, at, p.line, p.col, "Keep one of the two.", "%s is also given under %s, in line %d.", p.key, parent, inner.line)
				return nil, false
			}
		}
	}
	home, ok := root[parent].(map[string]any)
	if !ok {
		home = map[string]any{}
		root[parent] = home
	}
	return home, true
}

// ownName checks a name that the customer chooses.
func (r *reading) ownName(p pair, at string) bool {
	if p.key == "" || utf8.RuneCountInString(p.key) > nameLength {
		r.report(codeValueInvalid, at, p.line, p.col, "Use 1 to 200 characters.", "The name is empty or too long.")
		return false
	}
	return true
}

// unknown reports a field that the block does not have.
func (r *reading) unknown(s *shape, p pair, at, canon string) {
	if r.full() {
		return
	}
	remedy := didYouMean(p.key, s.names())
	if remedy == "" {
		if elsewhere := whereIs(p.key); elsewhere != "" && elsewhere != canon {
			remedy = fmt.Sprintf("%s belongs under %s.", p.key, strings.ReplaceAll(strings.TrimPrefix(elsewhere, "/"), "/", "."))
			if elsewhere == "/" {
				remedy = fmt.Sprintf("%s belongs at the top level.", p.key)
			}
		} else {
			remedy = "Fields here are: " + listed(s.ownNames()) + "."
		}
	}
	r.report(codeFieldUnknown, at, p.line, p.col, remedy, "There is no field %q here.", shorten(p.key))
}

// ownNames lists the fields that belong to the block itself.
func (s *shape) ownNames() []string {
	var out []string
	for _, f := range s.fields {
		if f.home == "" {
			out = append(out, f.name)
		}
	}
	return out
}

// whereIs finds the block that a field belongs to: "/" for the top level, "" when there is none.
func whereIs(key string) string {
	if fd := documentShape.field(key); fd != nil && fd.home == "" {
		return "/"
	}
	for _, home := range []string{"syncConfig", "security", "systems"} {
		s := documentShape.field(home).shape
		if l := s.listForm(); l != nil {
			s = l.item
		}
		if b := s.blockForm(); b != nil && b.field(key) != nil {
			return "/" + home
		}
	}
	return ""
}

// value reads a node as a shape into its canonical form; false when it is not one (which is reported).
func (r *reading) value(n *node, s *shape, canon, source string) (any, bool) {
	if _, known := r.places[canon]; !known {
		r.places[canon] = place{source, n.line, n.col, n.shown}
	}
	if s.kind == oneOfShape {
		form, ok := s.form(n.kind)
		if !ok {
			r.wrongType(source, n, s)
			return nil, false
		}
		if form.under != "" {
			canon += "/" + form.under
		}
		if form.many {
			canon += "/0"
		}
		v, ok := r.value(n, form.shape, canon, source)
		if !ok {
			return nil, false
		}
		if form.many {
			v = []any{v}
		}
		if form.under != "" {
			v = map[string]any{form.under: v}
		}
		return v, true
	}
	if !s.accepts(n.kind) {
		r.wrongType(source, n, s)
		return nil, false
	}
	switch s.kind {
	case textShape:
		return r.text(n, s, source)
	case booleanShape:
		return n.text == "true", true
	case switchShape:
		switch n.text {
		case "true", "enabled":
			return true, true
		case "false", "disabled":
			return false, true
		}
		r.badWord(n, source, []string{"enabled", "disabled"})
		return nil, false
	case integerShape, numberShape:
		return r.number(n, s, source)
	case literalShape:
		switch n.kind {
		case nullNode:
			return nil, true
		case booleanNode:
			return n.text == "true", true
		case numberNode:
			return n.num, true
		}
		return r.text(n, s, source)
	case settingShape:
		return r.text(n, s, source) // as written: 007 stays 007
	case listShape:
		out := make([]any, 0, len(n.items))
		for i, item := range n.items {
			at := "/" + strconv.Itoa(len(out))
			if v, ok := r.value(item, s.item, canon+at, source+"/"+strconv.Itoa(i)); ok {
				out = append(out, v)
			} else {
				r.forget(canon + at)
			}
		}
		if len(n.items) < s.least || len(n.items) > s.most {
			r.report(codeValueInvalid, source, n.line, n.col, "", "The list has %s; it must have %s.", counted(len(n.items), "item"), spanOf(s.least, s.most))
		}
		return out, true
	case blockShape:
		out := map[string]any{}
		r.block(n, s, canon, source, out, nil)
		return out, true
	}
	return nil, false
}

// forget drops the places of a part that was not read, so that its successor in the list can have them.
func (r *reading) forget(canon string) {
	for pointer := range r.places {
		if pointer == canon || strings.HasPrefix(pointer, canon+"/") {
			delete(r.places, pointer)
		}
	}
}

func (r *reading) text(n *node, s *shape, source string) (any, bool) {
	length := utf8.RuneCountInString(n.text)
	if w, ok := s.synonyms[n.text]; ok {
		return w, true
	}
	for _, w := range s.words {
		if n.text == w {
			return w, true
		}
	}
	matches := s.pattern != nil && s.pattern.MatchString(n.text)
	switch {
	case len(s.words) > 0 && !(s.orPat && matches):
		words := s.words
		if s.orPat {
			words = append(append([]string(nil), words...), s.patDoc)
		}
		r.badWord(n, source, words)
	case s.pattern != nil && !matches:
		r.report(codeValueInvalid, source, n.line, n.col, "Write "+s.patDoc+".", "%q is not valid here.", shorten(n.text))
	case length < s.least:
		r.report(codeValueInvalid, source, n.line, n.col, "Write a value or remove the field.", "The text is empty.")
	case length > s.most:
		r.report(codeValueInvalid, source, n.line, n.col, fmt.Sprintf("Use at most %d characters.", s.most), "The text is too long.")
	default:
		return n.text, true
	}
	return nil, false
}

func (r *reading) badWord(n *node, source string, words []string) {
	remedy := didYouMean(n.text, words)
	if remedy == "" {
		remedy = "Write one of: " + strings.Join(words, ", ") + "."
	}
	r.report(codeValueUnknown, source, n.line, n.col, remedy, "%q is not one of the words that can stand here.", shorten(n.text))
}

func (r *reading) number(n *node, s *shape, source string) (any, bool) {
	if s.kind == integerShape {
		if _, err := strconv.ParseInt(string(n.num), 10, 64); err != nil {
			r.report(codeTypeWrong, source, n.line, n.col, "Write it without a fraction.", "%s is not a whole number.", shorten(n.text))
			return nil, false
		}
	}
	low, high := s.min != "" && compareNumbers(n.num, s.min) < 0, s.max != "" && compareNumbers(n.num, s.max) > 0
	if low || high {
		remedy := fmt.Sprintf("Write a number from %s to %s.", s.min, s.max)
		if s.max == "" {
			remedy = fmt.Sprintf("Write a number of at least %s.", s.min)
		}
		r.report(codeValueInvalid, source, n.line, n.col, remedy, "%s is out of range.", shorten(n.text))
		return nil, false
	}
	return n.num, true
}

func (r *reading) wrongType(source string, n *node, s *shape) {
	remedy := ""
	switch {
	case n.kind == nullNode:
		r.report(codeTypeWrong, source, n.line, n.col, "Write a value or remove the field.", "There is no value; it must be %s.", s.wanted())
		return
	case n.kind <= numberNode && s.accepts(textNode):
		remedy = fmt.Sprintf("Put it in quotes: %q.", n.text)
	case n.kind == textNode && (s.kind == booleanShape || s.kind == switchShape) && isOneOf(strings.ToLower(n.text), "yes", "on", "y", "true"):
		remedy = "Write true."
	case n.kind == textNode && (s.kind == booleanShape || s.kind == switchShape) && isOneOf(strings.ToLower(n.text), "no", "off", "n", "false"):
		remedy = "Write false."
	case n.kind == textNode && s.accepts(numberNode):
		if _, err := record.ParseNumber(n.text); err == nil {
			remedy = "Remove the quotes."
		}
	case n.kind < listNode && s.accepts(listNode):
		remedy = "Write a list: [" + shorten(n.text) + "]."
	case n.kind == listNode && s.accepts(mappingNode):
		remedy = "Remove the hyphens: write `name: value` on each line."
	}
	r.report(codeTypeWrong, source, n.line, n.col, remedy, "This is %s; it must be %s.", n.kind, s.wanted())
}

func isOneOf(word string, words ...string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func spanOf(least, most int) string {
	if least == 0 {
		return "at most " + strconv.Itoa(most)
	}
	if most == listLength {
		return "at least " + strconv.Itoa(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}
