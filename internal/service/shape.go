// SPDX-License-Identifier: Apache-2.0

package service

import (
	"regexp"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// shape says what a value of the document may be. The one tree of shapes (documentShape) is what the parser walks, what
// the published JSON Schema and the reference table are made from, and what the editor completes from, so that they
// cannot disagree.
type shape struct {
	kind shapeKind
	name string // of a block that stands in the JSON Schema's $defs; "" for the small ones

	// text
	words    []string          // the only words, in the order they are shown
	synonyms map[string]string // other spellings that are read as one of words
	pattern  *regexp.Regexp    // must match
	patDoc   string            // the pattern in words: "a lower-case name such as warehouse-db"
	orPat    bool              // words or pattern, not both
	refers   reference         // what the text names
	least    int               // characters at least; of a list: items
	most     int               // characters at most; of a list: items

	// number, integer
	min, max record.Number // "" is unlimited

	// list
	item *shape

	// block: the fields in the order they are shown; rest is the shape of any other name, nil for none
	fields  []*field
	rest    *shape
	restDoc string // what the other names are: "an entity field"
	restIs  reference
	uniform bool // the values under other names all have the same form

	// oneOf: several forms, told apart by the kind of the node
	forms []form
}

// reference says what kind of thing a name stands for; completion offers those there are.
type reference int

const (
	toNothing reference = iota
	toSystem
	toEntityField
	toConnector
	toConnection
	toSetting
	toModel
	toObject
	toSchedule
	toZone
	toStrategy
)

type shapeKind int

const (
	textShape shapeKind = iota
	booleanShape
	switchShape // true, false, or the words enabled and disabled
	integerShape
	numberShape
	literalShape // any scalar, null included
	settingShape // text, number or boolean, kept as the text that was written
	listShape
	blockShape
	oneOfShape
)

// form is one way of writing a value. In the canonical form it stands under the name `under` of a block, if that is set;
// `many` makes a list of one from a single item.
type form struct {
	under string
	many  bool
	shape *shape
}

// field is a named part of a block.
type field struct {
	name     string
	aliases  []string // other names for it
	doc      string
	shape    *shape
	required bool
	home     string // where it canonically stands instead, as "/syncConfig/validation"; "" where it is
}

const (
	nameLength = 200   // characters of a name
	textLength = 4_000 // characters of a description or expression
	listLength = 1_000
)

func aText() *shape            { return &shape{kind: textShape, least: 1, most: textLength} }
func aName() *shape            { return &shape{kind: textShape, least: 1, most: nameLength} }
func aBoolean() *shape         { return &shape{kind: booleanShape} }
func aLiteral() *shape         { return &shape{kind: literalShape, most: textLength} }
func aList(item *shape) *shape { return &shape{kind: listShape, item: item, most: listLength} }

func aWord(words ...string) *shape { return &shape{kind: textShape, words: words, most: nameLength} }

func (s *shape) or(spelling, word string) *shape {
	if s.synonyms == nil {
		s.synonyms = map[string]string{}
	}
	s.synonyms[spelling] = word
	return s
}

func aMatch(pattern, doc string) *shape {
	return &shape{kind: textShape, pattern: regexp.MustCompile(pattern), patDoc: doc, most: nameLength}
}

func (s *shape) orMatching(pattern, doc string) *shape {
	s.pattern, s.patDoc, s.orPat = regexp.MustCompile(pattern), doc, true
	return s
}

func anInteger(min, max int64) *shape {
	return &shape{kind: integerShape, min: record.Int(min), max: record.Int(max)}
}

func aNumber(min, max record.Number) *shape { return &shape{kind: numberShape, min: min, max: max} }

func (s *shape) atLeast(n int) *shape { s.least = n; return s }
func (s *shape) atMost(n int) *shape  { s.most = n; return s }

func aBlock(name string, fields ...*field) *shape {
	return &shape{kind: blockShape, name: name, fields: fields}
}

func (s *shape) naming(r reference) *shape { s.refers = r; return s }

// aMap is a block whose names the customer chooses.
func aMap(value *shape, doc string) *shape {
	s := &shape{kind: blockShape, rest: value, restDoc: doc}
	switch doc {
	case entityFieldDoc:
		s.restIs = toEntityField
	case systemIDDoc:
		s.restIs = toSystem
	case settingDoc:
		s.restIs = toSetting
	}
	return s
}

// What the names of a block are that the customer chooses.
const (
	entityFieldDoc = "an entity field"
	systemIDDoc    = "a system id"
	settingDoc     = "a setting of the connector"
)

func oneOf(forms ...form) *shape { return &shape{kind: oneOfShape, forms: forms} }

// short lets a single value stand for a block that has it under a name.
func shorthand(under string, value, full *shape) *shape {
	return oneOf(form{under: under, shape: value}, form{shape: full})
}

func part(name string, s *shape, doc string) *field { return &field{name: name, shape: s, doc: doc} }

func (f *field) req() *field                 { f.required = true; return f }
func (f *field) alias(name ...string) *field { f.aliases = name; return f }
func (f *field) at(home string) *field       { f.home = home; return f }

// field returns the field of that name or alias.
func (s *shape) field(name string) *field {
	for _, f := range s.fields {
		if f.name == name {
			return f
		}
		for _, a := range f.aliases {
			if a == name {
				return f
			}
		}
	}
	return nil
}

// names lists the names of a block's fields, without those that belong elsewhere.
func (s *shape) names() []string {
	var out []string
	for _, f := range s.fields {
		out = append(out, f.name)
	}
	return out
}

// accepts says whether a node of that kind can be this shape at all.
func (s *shape) accepts(k nodeKind) bool {
	switch s.kind {
	case textShape:
		return k == textNode
	case booleanShape:
		return k == booleanNode
	case switchShape:
		return k == booleanNode || k == textNode
	case integerShape, numberShape:
		return k == numberNode
	case literalShape:
		return k != listNode && k != mappingNode
	case settingShape:
		return k == textNode || k == numberNode || k == booleanNode
	case listShape:
		return k == listNode
	case blockShape:
		return k == mappingNode
	}
	for _, form := range s.forms {
		if form.shape.accepts(k) {
			return true
		}
	}
	return false
}

// form returns the form that a node of that kind takes.
func (s *shape) form(k nodeKind) (form, bool) {
	for _, form := range s.forms {
		if form.shape.accepts(k) {
			return form, true
		}
	}
	return form{}, false
}

// wanted says in words what the shape is: "text", "a list".
func (s *shape) wanted() string {
	switch s.kind {
	case textShape:
		if len(s.words) > 0 && !s.orPat {
			return "one of " + listed(s.words)
		}
		return "text"
	case booleanShape:
		return "true or false"
	case switchShape:
		return "true, false, enabled or disabled"
	case integerShape:
		return "a whole number"
	case numberShape:
		return "a number"
	case literalShape, settingShape:
		return "a single value"
	case listShape:
		return "a list"
	case blockShape:
		return "a block of fields"
	}
	var all []string
	for _, form := range s.forms {
		all = append(all, form.shape.wanted())
	}
	return strings.Join(all, " or ")
}

// allWords lists the words of a text shape, or of the text form among several.
func (s *shape) allWords() []string {
	switch s.kind {
	case textShape:
		return s.words
	case booleanShape:
		return []string{"true", "false"}
	case switchShape:
		return []string{"enabled", "disabled"}
	case oneOfShape:
		var out []string
		for _, form := range s.forms {
			if form.shape.kind != blockShape && form.shape.kind != listShape {
				out = append(out, form.shape.allWords()...)
			}
		}
		return out
	}
	return nil
}

// blockForm returns the block among a shape's forms, nil when it has none.
func (s *shape) blockForm() *shape {
	if s == nil || s.kind == blockShape {
		return s
	}
	for _, form := range s.forms {
		if b := form.shape.blockForm(); b != nil {
			return b
		}
	}
	return nil
}

// listForm returns the list among a shape's forms, nil when it has none.
func (s *shape) listForm() *shape {
	if s == nil || s.kind == listShape {
		return s
	}
	for _, form := range s.forms {
		if form.shape.kind == listShape {
			return form.shape
		}
	}
	return nil
}
