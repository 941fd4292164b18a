// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/syncline-dev/syncline/internal/record"
)

var mutations = flag.Int("mutations", 0, "try one in so many changes in TestSchemaAgreesWithParse")

// referenceFile is the page whose tables are made from the shapes.
var referenceFile = filepath.Join("..", "..", "docs", "service-document.md")

func TestGeneratedFiles(t *testing.T) {
	schema := makeSchema()
	page, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	wanted := withReference(t, string(page))
	if *update {
		if err := os.WriteFile("schema.json", schema, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(referenceFile, []byte(wanted), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(schema, Schema()) {
		t.Error("schema.json is not what the shapes say; run go generate ./internal/service")
	}
	if wanted != string(page) {
		t.Error("the tables of docs/service-document.md are not what the shapes say; run go generate ./internal/service")
	}
}

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(makeSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID) // also checks it against the schema of schemas
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func asJSON(t testing.TB, v any) any {
	t.Helper()
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(record.AppendJSON(nil, v)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tree(t testing.TB, source []byte) any {
	t.Helper()
	root, problem := readSource(source, YAML)
	if problem != nil {
		t.Fatalf("%+v", problem)
	}
	return root.generic()
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	s := compiledSchema(t)
	sources := map[string][]byte{"everything": everything(t), "two systems": []byte(twoSystems)}
	for _, name := range missionExamples {
		sources[name] = missionExample(t, name)
	}
	for name, source := range sources {
		if err := s.Validate(asJSON(t, tree(t, source))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		doc, err := Parse(source, YAML)
		if err != nil {
			t.Fatal(describe(err))
		}
		canonical, _ := json.Marshal(doc)
		if err := s.Validate(asJSON(t, tree(t, canonical))); err != nil {
			t.Errorf("canonical form of %s: %v", name, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	for _, source := range []string{
		"{}", "[]", "service: d\n", "service: d\nsystems: []\n", "service: d\nsystems: [{id: a, type: x}]\n", "service: D\nsystems: [{id: a, type: x}, {id: b, type: x}]\n",
		"service: d\nname: d\nsystems: [{id: a, type: x}, {id: b, type: x}]\n", twoSystems + "nope: 1\n", twoSystems + "direction: sideways\n",
		twoSystems + "validation: {}\nsyncConfig: {validation: {}}\n", twoSystems + "encryption: AES-256\nsecurity: {encryption: AES-256}\n",
		twoSystems + "fieldMapping: {a: b, c: {d: e}}\n", twoSystems + "syncConfig: {batchSize: 1.5}\n", twoSystems + "syncConfig: {batchSize: 0}\n",
		twoSystems + "syncConfig: {conflictResolution: newest}\n", twoSystems + "syncConfig: {frequency: 5}\n", twoSystems + "syncConfig: {frequency: {every: 5m, cron: x}}\n",
		twoSystems + "filterConditions: [{field: a, operator: near}]\n", twoSystems + "validation: {phone: true}\n", twoSystems + "validation: {checkDuplicates: 1}\n",
		twoSystems + "deduplication: {fuzzyMatch: {name: {threshold: 2}}}\n", twoSystems + "businessRules: [{rule: a = b}]\n", twoSystems + "workflows: [{name: a, trigger: b, steps: []}]\n",
	} {
		if err := s.Validate(asJSON(t, tree(t, []byte(source)))); err == nil {
			t.Errorf("the schema accepts\n%s", source)
		}
		if _, err := Parse([]byte(source), YAML); err == nil {
			t.Errorf("Parse accepts\n%s", source)
		}
	}
}

// Schema and parser agree on documents that are wrong in one place: every value of every example replaced, removed or
// renamed in turn.
func TestSchemaAgreesWithParse(t *testing.T) {
	s := compiledSchema(t)
	sources := [][]byte{everything(t)}
	for _, name := range missionExamples {
		sources = append(sources, missionExample(t, name))
	}
	step := 11 // a prime, so that every kind of change meets every kind of value; -mutations=1 tries all 22,000
	if *mutations > 0 {
		step = *mutations
	}
	turn, cases, refused := 0, 0, 0
	for _, source := range sources {
		root := tree(t, source)
		mutate(root, func(what string) {
			if turn++; turn%step != 0 {
				return
			}
			cases++
			text := record.AppendJSON(nil, root)
			_, err := Parse(text, JSON)
			if err != nil {
				refused++
			}
			if valid := s.Validate(asJSON(t, root)); (err == nil) != (valid == nil) {
				t.Errorf("%s:\nParse %v\nschema %v", what, err, valid)
			}
		})
		if t.Failed() {
			break
		}
	}
	if cases < 20_000/step || refused < cases/2 || cases-refused < cases/10 {
		t.Errorf("only %d cases, %d of them refused", cases, refused)
	}
	t.Logf("%d cases, %d of them refused", cases, refused)
}

// mutate changes one place of the tree at a time, calls try, and puts it back.
func mutate(v any, try func(what string)) {
	others := []any{nil, true, record.Number("0"), record.Number("1.5"), record.Number("-3"), record.Number("99999999999"), "", "enabled", "x", "A b", "a-wins", "realtime", "eq",
		strings.Repeat("é", 201), strings.Repeat("é", 4001), []any{}, []any{"a"}, []any{"a", "b"}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"a": map[string]any{"b": "c"}}, map[string]any{"name": "a"}}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			value := v[key]
			delete(v, key)
			try("without " + key)
			for _, other := range []string{key + "x", "", strings.ToUpper(key), "validation", "name", "when", "cron", "checkDuplicates", "encryption", "default", "pattern"} {
				if _, there := v[other]; there || other == key {
					continue
				}
				v[other] = value
				try(key + " as " + other)
				delete(v, other)
			}
			v[key] = value
			for i, other := range others {
				v[key] = other
				try(fmt.Sprintf("%s = case %d", key, i))
			}
			v[key] = value
			mutate(value, func(what string) { try(key + "." + what) })
		}
	case []any:
		for i, value := range v {
			for j, other := range others {
				v[i] = other
				try(fmt.Sprintf("[%d] = case %d", i, j))
			}
			v[i] = value
			mutate(value, func(what string) { try(fmt.Sprintf("[%d].%s", i, what)) })
		}
	}
}

// withReference replaces the tables of the page, between its two marks.
func withReference(t *testing.T, page string) string {
	t.Helper()
	const begin, end = "<!-- fields: made from the shapes, do not edit -->\n", "<!-- fields end -->\n"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the page has lost the marks around its tables")
	}
	var b strings.Builder
	b.WriteString(head + begin + "\n")
	writeReference(&b, "The document", documentShape, map[*shape]bool{})
	b.WriteString(end + tail)
	return b.String()
}

// writeReference writes the table of a block, then those of the blocks in it.
func writeReference(b *strings.Builder, title string, s *shape, done map[*shape]bool) {
	if done[s] {
		return
	}
	done[s] = true
	fmt.Fprintf(b, "### %s\n\n| Field | Value | Meaning |\n|---|---|---|\n", title)
	type inner struct {
		title string
		shape *shape
	}
	var blocks []inner
	note := func(name string, sh *shape) {
		for _, bl := range blocksIn(sh) {
			if len(bl.fields) > 0 {
				at := title + "." + name
				if title == "The document" {
					at = name
				}
				blocks = append(blocks, inner{at, bl})
			}
		}
	}
	for _, f := range s.fields {
		if f.home != "" {
			continue
		}
		name := "`" + f.name + "`"
		for _, a := range f.aliases {
			name += " or `" + a + "`"
		}
		if f.required {
			name += " (required)"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, valueInWords(f.shape), f.doc)
		note(f.name, f.shape)
	}
	if s.rest != nil {
		fmt.Fprintf(b, "| *%s* | %s | |\n", s.restDoc, valueInWords(s.rest))
		note("*", s.rest)
	}
	b.WriteString("\n")
	for _, bl := range blocks {
		writeReference(b, strings.ReplaceAll(bl.title, "*", "*field*"), bl.shape, done)
	}
}

// blocksIn lists the blocks that a value can hold directly.
func blocksIn(s *shape) []*shape {
	switch s.kind {
	case blockShape:
		if len(s.fields) == 0 && s.rest != nil {
			return blocksIn(s.rest)
		}
		return []*shape{s}
	case listShape:
		return blocksIn(s.item)
	case oneOfShape:
		var out []*shape
		for _, f := range s.forms {
			out = append(out, blocksIn(f.shape)...)
		}
		return out
	}
	return nil
}

func valueInWords(s *shape) string {
	switch s.kind {
	case textShape:
		if len(s.words) > 0 {
			words := "`" + strings.Join(s.words, "`, `") + "`"
			if s.orPat {
				words += ", or " + s.patDoc
			}
			return words
		}
		if s.pattern != nil {
			return s.patDoc
		}
		return "text"
	case listShape:
		switch item := valueInWords(s.item); item {
		case "block", "a single value":
			return "list of " + strings.TrimPrefix(item, "a single ") + "s"
		default:
			return "list of " + item
		}
	case blockShape:
		if len(s.fields) == 0 && s.rest != nil {
			return valueInWords(s.rest) + ", by " + strings.TrimPrefix(strings.TrimPrefix(s.restDoc, "an "), "a ")
		}
		return "block"
	case integerShape, numberShape:
		words := s.wanted()
		if s.min != "" && s.max != "" {
			words += fmt.Sprintf(" from %s to %s", s.min, s.max)
		} else if s.min != "" {
			words += fmt.Sprintf(" of at least %s", s.min)
		}
		return words
	case oneOfShape:
		var all []string
		for _, f := range s.forms {
			all = append(all, valueInWords(f.shape))
		}
		return strings.Join(all, " or ")
	}
	return s.wanted()
}
