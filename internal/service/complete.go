// SPDX-License-Identifier: Apache-2.0

package service

import (
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
)

// Vocabulary is what completion can offer beyond the words of the document's form.
type Vocabulary struct {
	Connectors  []connector.Spec
	Secrets     []string            // names, without ${}
	Connections []string            // names
	Fields      []string            // entity fields and discovered columns, besides those the document names
	Objects     map[string][]string // discovered objects by system id
}

// CompletionKind says what a completion is, for its icon.
type CompletionKind string

// The kinds.
const (
	CompleteField       CompletionKind = "field" // a field of the document
	CompleteValue       CompletionKind = "value"
	CompleteConnector   CompletionKind = "connector"
	CompleteConnection  CompletionKind = "connection"
	CompleteSetting     CompletionKind = "setting"
	CompleteSecret      CompletionKind = "secret"
	CompleteSystem      CompletionKind = "system"
	CompleteObject      CompletionKind = "object"
	CompleteEntityField CompletionKind = "entityField"
)

// Completion is something that could be written at the cursor: Insert replaces the columns From to before To of the line.
type Completion struct {
	Label  string         `json:"label"`
	Insert string         `json:"insert"`
	Kind   CompletionKind `json:"kind"`
	Doc    string         `json:"doc,omitempty"`
	From   int            `json:"from"` // 1-based, in characters
	To     int            `json:"to"`
}

// models are the record shapes of the design, which `mapping` names.
var models = []string{"contacts", "companies", "products", "inventory", "orders", "invoices", "payments", "transactions", "employees", "groups",
	"tasks", "projects", "time-entries", "profiles", "events"}

// zoneExamples are offered for time zones; any IANA name is accepted.
var zoneExamples = []string{"UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Chicago", "America/Los_Angeles", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney"}

// maxCompletions bounds the answer.
const maxCompletions = 200

// Complete lists what could be written at a 1-based line and column (in characters) of a source that need not be complete
// or valid: fields of the block, words, connector types, settings, secrets, system ids and entity fields. YAML and JSON are
// told apart by the first character.
func Complete(source string, line, column int, known Vocabulary) []Completion {
	if len(source) > MaxDocumentBytes || line < 1 || column < 1 {
		return nil
	}
	source = strings.ReplaceAll(source, "\r\n", "\n")
	lines := strings.Split(source, "\n")
	if line > len(lines) {
		return nil
	}
	if runes := []rune(lines[line-1]); column > len(runes)+1 {
		column = len(runes) + 1
	}
	var at cursor
	if strings.HasPrefix(strings.TrimLeft(source, " \t\n"), "{") {
		at = jsonCursor(source, line, column)
	} else {
		at = yamlCursor(lines, line, column)
	}
	c := &completer{at: at, known: known, facts: factsOf(source, lines, line)}
	c.complete()
	return c.ranked()
}

// cursor is the place in the document where something is being written.
type cursor struct {
	path     []string        // the fields around it, "#" for an item of a list
	key      bool            // the name of a field can stand here
	value    bool            // a value can stand here, that of the last field of the path
	partial  string          // what is written already, before the cursor
	from, to int             // the columns it takes, to the end of the word
	secret   bool            // behind an open "${"
	given    map[string]bool // fields that the block has already
	typ      string          // the `type` beside or around the block
	system   string          // the `id` beside or around it
	indent   int             // columns before the block's fields
	json     bool
	quoted   bool // the word has its quotes
}

type completer struct {
	at    cursor
	known Vocabulary
	facts documentFacts
	out   []Completion
}

func (c *completer) add(kind CompletionKind, label, insert, doc string) {
	if n := len(c.at.path); n > 0 && c.at.path[n-1] == "#" && c.at.given[label] {
		return // the list has it
	}
	for _, have := range c.out {
		if have.Label == label {
			return
		}
	}
	c.out = append(c.out, Completion{Label: label, Insert: insert, Kind: kind, Doc: doc, From: c.at.from, To: c.at.to})
}

// ranked keeps what goes with the characters written already: first what begins with them, then what contains them.
func (c *completer) ranked() []Completion {
	partial := foldName(strings.Trim(c.at.partial, `"'`))
	var first, then []Completion
	for _, have := range c.out {
		switch label := foldName(have.Label); {
		case strings.HasPrefix(label, partial):
			first = append(first, have)
		case strings.Contains(label, partial):
			then = append(then, have)
		}
	}
	all := append(first, then...)
	if len(all) > maxCompletions {
		all = all[:maxCompletions]
	}
	return all
}

func (c *completer) complete() {
	if c.at.secret {
		for _, name := range c.known.Secrets {
			c.add(CompleteSecret, name, name+"}", "")
		}
		return
	}
	s := documentShape
	for _, step := range c.at.path {
		s = s.inside(step)
		if s == nil {
			return
		}
	}
	if c.at.value {
		c.values(s)
		if l := s.listForm(); l != nil && c.at.json && s.kind != listShape { // not yet inside the brackets
			return
		}
	}
	if c.at.key {
		if b := s.blockForm(); b != nil {
			c.keys(b)
		}
	}
}

// inside returns the shape of a field or item, nil when there is none.
func (s *shape) inside(step string) *shape {
	if step == "#" {
		if l := s.listForm(); l != nil {
			return l.item
		}
		return nil
	}
	b := s.blockForm()
	if b == nil {
		return nil
	}
	if f := b.field(step); f != nil {
		return f.shape
	}
	return b.rest
}

func (c *completer) keys(b *shape) {
	for _, required := range []bool{true, false} {
		for _, f := range b.fields {
			if f.required != required || c.at.given[f.name] || (f.home != "" && c.at.partial == "") {
				continue
			}
			c.add(CompleteField, f.name, c.keyText(f.name, f.shape), f.doc)
		}
	}
	switch b.restIs {
	case toSetting:
		for _, spec := range c.known.Connectors {
			if !specIs(spec, c.at.typ) {
				continue
			}
			for _, s := range spec.Settings {
				if !c.at.given[s.Name] {
					c.add(CompleteSetting, s.Name, c.keyText(s.Name, aName()), s.Doc)
				}
			}
		}
	case toEntityField:
		for _, field := range c.fields() {
			if !c.at.given[field] {
				c.add(CompleteEntityField, field, c.keyText(field, b.rest), "")
			}
		}
		if b.uniform {
			c.systems(true, b.rest)
		}
	case toSystem:
		c.systems(true, b.rest)
	}
}

// specIs says whether the connector has that type or alias.
func specIs(spec connector.Spec, typ string) bool {
	return spec.Type == typ || isOneOf(typ, spec.Aliases...)
}

func (c *completer) fields() []string {
	return append(append([]string(nil), c.facts.fields...), c.known.Fields...)
}

func (c *completer) systems(asKeys bool, value *shape) {
	for _, id := range c.facts.systems {
		if asKeys && c.at.given[id] {
			continue
		}
		text := c.valueText(id)
		if asKeys {
			text = c.keyText(id, value)
		}
		c.add(CompleteSystem, id, text, "")
	}
}

// keyText is a field's name with what must follow it.
func (c *completer) keyText(name string, s *shape) string {
	if c.at.json {
		if c.at.quoted {
			return name
		}
		return `"` + name + `": `
	}
	inner := strings.Repeat(" ", c.at.indent+2)
	switch {
	case s.kind == listShape && s.item.kind != textShape && s.item.kind != literalShape:
		return name + ":\n" + inner + "- "
	case s.kind == blockShape:
		return name + ":\n" + inner
	}
	return name + ": "
}

func (c *completer) valueText(word string) string {
	if c.at.json && !c.at.quoted && word != "true" && word != "false" {
		return `"` + word + `"`
	}
	return word
}

func (c *completer) values(s *shape) {
	switch s.kind {
	case oneOfShape:
		for _, form := range s.forms {
			if form.shape.kind != blockShape && form.shape.kind != listShape {
				c.values(form.shape)
			}
		}
		return
	case listShape: // in YAML the word may be the first of a list
		return
	}
	for _, w := range s.allWords() {
		c.add(CompleteValue, w, c.valueText(w), "")
	}
	switch s.refers {
	case toSystem:
		c.systems(false, nil)
	case toEntityField:
		for _, field := range c.fields() {
			c.add(CompleteEntityField, field, c.valueText(field), "")
		}
	case toConnector:
		for _, spec := range c.known.Connectors {
			c.add(CompleteConnector, spec.Type, c.valueText(spec.Type), spec.Title+". "+spec.Summary)
		}
	case toConnection:
		for _, name := range c.known.Connections {
			c.add(CompleteConnection, name, c.valueText(name), "")
		}
	case toModel:
		for _, model := range models {
			c.add(CompleteValue, model, c.valueText(model), "")
		}
	case toObject:
		for _, object := range c.known.Objects[c.at.system] {
			c.add(CompleteObject, object, c.valueText(object), "")
		}
	case toSchedule:
		for _, example := range scheduleExamples {
			c.add(CompleteValue, example, c.valueText(example), "")
		}
	case toZone:
		for _, zone := range zoneExamples {
			c.add(CompleteValue, zone, c.valueText(zone), "")
		}
	case toStrategy:
		for _, id := range c.facts.systems {
			c.add(CompleteValue, id+"-wins", c.valueText(id+"-wins"), "")
		}
	}
	if n := len(c.at.path); n > 1 && c.at.path[n-2] == "connection" {
		c.settingValues(c.at.path[n-1])
	}
}

// settingValues offers what a setting can be: its choices, and for secret ones the tenant's secrets.
func (c *completer) settingValues(name string) {
	for _, spec := range c.known.Connectors {
		if !specIs(spec, c.at.typ) {
			continue
		}
		setting, ok := spec.Setting(name)
		if !ok {
			continue
		}
		for _, choice := range setting.Choices {
			c.add(CompleteValue, choice, c.valueText(choice), "")
		}
		if setting.Kind == connector.Boolean {
			c.add(CompleteValue, "true", "true", "")
			c.add(CompleteValue, "false", "false", "")
		}
		if setting.Secret {
			for _, secret := range c.known.Secrets {
				c.add(CompleteSecret, "${"+secret+"}", c.valueText("${"+secret+"}"), "")
			}
		}
	}
}

// documentFacts is what the rest of the source tells.
type documentFacts struct {
	systems []string
	fields  []string
}

// factsOf reads the source as far as it goes: as it is, else without the line that is being written, else (YAML) line by line.
func factsOf(source string, lines []string, line int) documentFacts {
	doc, _ := read([]byte(source), YAML)
	if doc == nil || len(doc.Systems) == 0 {
		rest := append(append([]string(nil), lines[:line-1]...), lines[line:]...)
		doc, _ = read([]byte(strings.Join(rest, "\n")), YAML)
	}
	var facts documentFacts
	if doc != nil && len(doc.Systems) > 0 {
		for _, id := range doc.SystemIDs() {
			if id != "" {
				facts.systems = append(facts.systems, id)
			}
		}
		facts.fields = doc.EntityFields()
		return facts
	}
	for _, e := range yamlOutline(lines) {
		n := len(e.path)
		switch {
		case n == 3 && e.path[0] == "systems" && e.path[2] == "id" && e.value != "":
			facts.systems = append(facts.systems, e.value)
		case n == 2 && (e.path[0] == "fieldMapping" || e.path[0] == "unifiedSchema") && e.value != "":
			facts.fields = append(facts.fields, e.path[1])
		}
	}
	return facts
}
