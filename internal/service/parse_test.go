// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/fault"
)

// problem is what a test expects: the place, the code, and a part of message or remedy.
type problem struct {
	at, code, pointer, says string
}

func checkProblems(t *testing.T, got []fault.Field, want []problem) {
	t.Helper()
	for i, w := range want {
		if i >= len(got) {
			t.Errorf("missing: %+v", w)
			continue
		}
		g := got[i]
		if at := fmt.Sprintf("%d:%d", g.Line, g.Column); at != w.at || g.Code != w.code || g.Pointer != w.pointer || !strings.Contains(g.Message+" "+g.Remedy, w.says) {
			t.Errorf("problem %d is\n %s %s %q %s | %s\nwant\n %s %s %q ...%s...", i, at, g.Code, g.Pointer, g.Message, g.Remedy, w.at, w.code, w.pointer, w.says)
		}
	}
	for _, g := range got[min(len(want), len(got)):] {
		t.Errorf("more: %d:%d %s %q %s | %s", g.Line, g.Column, g.Code, g.Pointer, g.Message, g.Remedy)
	}
}

func problemsOf(err error) []fault.Field {
	if err == nil {
		return nil
	}
	return fault.As(err).Fields
}

func TestParseNamesEveryProblem(t *testing.T) {
	tests := []struct {
		name, source string
		want         []problem
	}{
		{"all at once, in the order of the source", `service: Bad Name
direcion: bi-directional
systems:
  - id: crm
    typ: hubspot
    weight: heavy
  - id: crm 2
    type: zendesk
    objects: Contact
syncConfig:
  batchSize: 0
  conflictResolution: newest
  filterConditions:
    - field: email
      operator: notnull
  gdpr:
    enabled: yes
description: 7
`, []problem{
			{"1:10", "service.value_invalid", "/service", "lower-case letters"},
			{"2:1", "service.field_unknown", "/direcion", "Did you mean direction?"},
			{"4:5", "service.field_missing", "/systems/0", "type is missing"},
			{"5:5", "service.field_unknown", "/systems/0/typ", "Did you mean type?"},
			{"6:13", "service.type_wrong", "/systems/0/weight", "This is text; it must be a whole number."},
			{"7:9", "service.value_invalid", "/systems/1/id", "warehouse-db"},
			{"9:14", "service.type_wrong", "/systems/1/objects", "Write a list: [Contact]."},
			{"11:14", "service.value_invalid", "/syncConfig/batchSize", "from 1 to 10000"},
			{"12:23", "service.value_unknown", "/syncConfig/conflictResolution", "lastWriteWins"},
			{"15:17", "service.value_unknown", "/syncConfig/filterConditions/0/operator", "Did you mean notNull?"},
			{"17:14", "service.type_wrong", "/syncConfig/gdpr/enabled", "Write true."},
			{"18:14", "service.type_wrong", "/description", `Put it in quotes: "7".`},
		}},
		{"the same in JSON, indented with tabs", "{\n\t\"service\": \"Bad Name\",\n\t\"direcion\": \"x\",\n\t\"systems\": [\n\t\t{\"id\": \"a\", \"type\": \"x\", \"weight\": \"1\"},\n\t\t{\"id\": \"b\"}\n\t]\n}", []problem{
			{"2:13", "service.value_invalid", "/service", ""},
			{"3:2", "service.field_unknown", "/direcion", "direction"},
			{"5:38", "service.type_wrong", "/systems/0/weight", "Remove the quotes."},
			{"6:3", "service.field_missing", "/systems/1", "type is missing"},
		}},
		{"duplicate keys and other names of one field", `service: demo
name: demo
service: again
systems: []
`, []problem{
			{"2:1", "service.field_duplicate", "/name", "another name of service, which is given in line 1"},
			{"3:1", "service.field_duplicate", "/service", "given twice; first in line 1"},
			{"4:10", "service.value_invalid", "/systems", "2 to 100"},
		}},
		{"duplicate keys in JSON", `{"service": "demo", "service": "demo", "systems": [{"id":"a","type":"x"},{"id":"b","type":"x"}]}`, []problem{
			{"1:21", "service.field_duplicate", "/service", "Remove one"},
		}},
		{"a block in both of its places", twoSystems + `validation:
  checkDuplicates: true
encryption: AES-256-GCM
syncConfig:
  validation: {validateAmounts: true}
security: {encryption: AES-256}
`, []problem{
			{"5:1", "service.field_duplicate", "/validation", "also given under syncConfig, in line 9"},
			{"7:1", "service.field_duplicate", "/encryption", "also given under security, in line 10"},
		}},
		{"a field that belongs elsewhere", twoSystems + `frequency: realtime
syncConfig:
  businessRules: []
  primary: true
`, []problem{
			{"5:1", "service.field_unknown", "/frequency", "frequency belongs under syncConfig."},
			{"7:3", "service.field_unknown", "/syncConfig/businessRules", "businessRules belongs at the top level."},
			{"8:3", "service.field_unknown", "/syncConfig/primary", "primary belongs under systems."},
		}},
		{"mapping forms mixed", twoSystems + `fieldMapping:
  email: email
  shop:
    mail: email
`, []problem{{"6:3", "service.mapping_mixed", "/fieldMapping", "one form"}}},
		{"values that are not there", twoSystems + `syncConfig:
  frequency:
  validation:
    email: {required: }
    phone: true
`, []problem{
			{"6:13", "service.type_wrong", "/syncConfig/frequency", "There is no value"},
			{"8:22", "service.type_wrong", "/syncConfig/validation/email/required", "true or false"},
			{"9:12", "service.type_wrong", "/syncConfig/validation/phone", "a block of fields"},
		}},
		{"names that need escaping in pointers", twoSystems + `unifiedSchema: {"a/b~c": 1}
`, []problem{{"5:26", "service.type_wrong", "/unifiedSchema/a~1b~0c", ""}}},
		{"columns count characters", `service: demo # é
description: "äöü€😀"
systems: [{id: a, type: "ü", objects: [{name: "日本", mapping: 5}]}, {id: b, type: x}]
`, []problem{{"3:62", "service.type_wrong", "/systems/0/objects/0/mapping", ""}}},
		{"Windows line ends and a byte order mark", "\ufeffservice: demo\r\nsystems:\r\n  - {id: a, type: x}\r\n  - {id: b, tipe: x}\r\n", []problem{
			{"4:5", "service.field_missing", "/systems/1", ""},
			{"4:13", "service.field_unknown", "/systems/1/tipe", "Did you mean type?"},
		}},
		{"aliases show the place of use", `service: demo
systems:
  - &first {id: a, type: x, weight: 1}
  - <<: *first
    id: b
    wight: *first
`, []problem{{"6:5", "service.field_unknown", "/systems/1/wight", "Did you mean weight?"}}},
		{"not a block at all", "- a\n- b\n", []problem{{"1:1", "service.type_wrong", "", "This is a list; it must be a block of fields."}}},
		{"text alone", "hello\n", []problem{{"1:1", "service.type_wrong", "", "This is text"}}},
		{"empty", "", []problem{{"1:1", "service.document_syntax", "", "The document is empty."}}},
		{"only a comment", "# nothing\n", []problem{{"1:1", "service.document_syntax", "", "The document is empty."}}},
		{"two documents", "service: a\n---\nservice: b\n", []problem{{"2:1", "service.document_syntax", "", "A second document begins here."}}},
		{"tab as indentation", "service: a\nsystems:\n\t- id: b\n", []problem{{"3:1", "service.document_syntax", "", "replace the tab"}}},
		{"secret in a flow mapping without quotes", "service: a\nsystems: [{id: a, type: x, connection: {host: ${HOST}}}]\n", []problem{{"2:48", "service.document_syntax", "", `"${NAME}"`}}},
		{"colon in plain text", "service: a\ndescription: this: that\n", []problem{{"2:14", "service.document_syntax", "", "in quotes"}}},
		{"unknown alias", "service: *x\n", []problem{{"1:10", "service.document_syntax", "", "names no anchor"}}},
		{"foreign tag", "service: !ruby/object:Gem x\n", []problem{{"1:10", "service.document_syntax", "", "tag"}}},
		{"not UTF-8", "service: a\ndescription: \xff\n", []problem{{"2:14", "service.document_syntax", "", "UTF-8"}}},
		{"zero byte", "service: a\x00\n", []problem{{"1:11", "service.document_syntax", "", "zero byte"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse([]byte(tt.source), YAML)
			if doc != nil || !fault.IsCode(err, CodeDocumentInvalid) || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("doc %v, error %v", doc, err)
			}
			checkProblems(t, problemsOf(err), tt.want)
			for _, f := range problemsOf(err) {
				if f.Message == "" || (f.Remedy == "" && f.Code != "service.type_wrong" && f.Code != "service.value_invalid") {
					t.Errorf("no message or remedy: %+v", f)
				}
			}
		})
	}
}

func TestParseJSONSyntax(t *testing.T) {
	tests := []struct{ name, source, at, says string }{
		{"missing comma", "{\n  \"service\": \"a\"\n  \"systems\": []\n}", "3:3", "not JSON"},
		{"trailing comma", "{\"service\": \"a\",\n}", "2:1", "not JSON"},
		{"unclosed", "{\"service\": [1, 2", "1:18", "ends before"},
		{"rest behind", "{} {}", "1:4", "more text"},
		{"bad literal", "{\"service\": tru}", "1:", "not JSON"},
		{"single quotes", "{'service': 1}", "1:2", "not JSON"},
		{"empty", "  ", "1:1", "ends before"},
		{"huge number", "{\"service\": 1e99999}", "1:13", "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.source), JSON)
			f := problemsOf(err)
			if len(f) != 1 || !strings.HasPrefix(fmt.Sprintf("%d:%d", f[0].Line, f[0].Column), tt.at) || !strings.Contains(f[0].Message, tt.says) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// One source in both languages is one document.
func TestJSONIsYAML(t *testing.T) {
	for _, name := range missionExamples {
		doc, err := Parse(missionExample(t, name), formatOf(name))
		if err != nil {
			t.Fatal(err)
		}
		canonical, _ := json.Marshal(doc)
		for _, format := range []Format{JSON, YAML} {
			again, err := Parse(canonical, format)
			if err != nil {
				t.Fatalf("%s: %s", format, describe(err))
			}
			if len(Diff(doc, again)) > 0 {
				t.Errorf("%s as %s: %v", name, format, Diff(doc, again))
			}
		}
		root, problem := readYAML(string(canonical)) // also by the reader of YAML itself
		if problem != nil {
			t.Fatal(problem)
		}
		viaJSON, _ := readJSON(string(canonical))
		if !reflect.DeepEqual(root.generic(), viaJSON.generic()) {
			t.Errorf("%s is read differently", name)
		}
	}
}

func TestScalarsOfYAML(t *testing.T) {
	doc := mustParse(t, `service: demo
systems:
  - id: a
    type: postgresql
    connection: {port: 5432, code: 007, big: 12345678901234567890, on: true, text: "x: y", version: 1.10, hex: 0x1F, str: !!str 5}
  - {id: b, type: mysql}
syncConfig:
  filterConditions:
    - {field: zip, operator: in, values: [01234, "5", 5, 1.50, 1e3, yes, ~, true, 2024-01-01, 1_000]}
description: |
  two
  lines
`)
	want := map[string]string{"port": "5432", "code": "007", "big": "12345678901234567890", "on": "true", "text": "x: y", "version": "1.10", "hex": "0x1F", "str": "5"}
	if got := doc.Systems[0].Connection.Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("settings %v", got)
	}
	b, _ := json.Marshal(doc.SyncConfig.FilterConditions[0].Values)
	if string(b) != `["01234","5",5,1.5,"1e3","yes",null,true,"2024-01-01","1_000"]` {
		t.Errorf("values %s", b)
	}
	if doc.Description != "two\nlines\n" {
		t.Errorf("description %q", doc.Description)
	}
}

// Each bomb is refused or read at once; see ECOSYSTEM.md D3 number 20.
func TestParseIsBounded(t *testing.T) {
	bombs := map[string]string{
		"too long":         "description: " + strings.Repeat("x", MaxDocumentBytes),
		"flow lists":       "service: " + strings.Repeat("[", 200_000),
		"flow mappings":    strings.Repeat("{a: ", 60_000),
		"json lists":       strings.Repeat("[", 200_000),
		"json objects":     strings.Repeat(`{"a":`, 50_000),
		"hyphens":          strings.Repeat("- ", 120_000),
		"question marks":   strings.Repeat("? ", 120_000),
		"colons":           strings.Repeat("a: ", 80_000),
		"anchors":          strings.Repeat("&a ", 80_000),
		"tags":             strings.Repeat("!!a ", 60_000),
		"indentation":      indented(700),
		"comments":         strings.Repeat("#\n", 130_000),
		"many keys":        numbered("k%d: 1\n", 20_000),
		"5,000 keys":       numbered("k%d: 1\n", 5_000),
		"many items":       "systems:\n" + strings.Repeat("- a\n", 60_000),
		"one long line":    "systems: [" + strings.Repeat("abc,", 60_000) + "]",
		"wide":             "description: [" + strings.Repeat("abcdefghi, ", 9_000) + "]",
		"long multi line":  "description: a\n" + strings.Repeat(" b\n", 80_000),
		"quotes":           strings.Repeat("'", 200_000),
		"laughs":           "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
		"recursive anchor": "a: &a [*a]\n",
		"block in text":    "description: |\n" + strings.Repeat(" [\n", 80_000),
		"mapping values":   strings.Repeat(": ", 120_000),
		"escapes":          `description: "` + strings.Repeat(`\u00e9`, 40_000) + `"`,
		"long key":         strings.Repeat("k", 200_000) + ": 1",
	}
	for name, source := range bombs {
		for _, format := range []Format{YAML, JSON} {
			began := time.Now()
			if doc, err := Parse([]byte(source), format); err == nil && doc == nil {
				t.Errorf("%s: neither document nor error", name)
			} else if err == nil {
				t.Errorf("%s was accepted", name)
			}
			if took := time.Since(began); took > 20*time.Second { // generous, for shared machines and -race; what grows with the square takes minutes
				t.Errorf("%s as %s took %v", name, format, took)
			} else {
				t.Logf("%s as %s: %v", name, format, took)
			}
		}
	}
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%s:\n", strings.Repeat(" ", i), "a")
	}
	return b.String()
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestProblemsAreLimited(t *testing.T) {
	_, err := Parse([]byte(numbered("k%d: 1\n", 1000)), YAML)
	if n := len(problemsOf(err)); n != maxProblems {
		t.Errorf("%d problems", n)
	}
}

// Places are checked against the source itself: where a key or plain text stands, it can be read there.
func TestPlacesShowTheirText(t *testing.T) {
	sources := []string{string(everything(t)), "a:   \"x\\u00e9\\ty\": z\n", "\"k\\u00e9y\": {b: 'it''s', c: d}\nü: [é, \"ö\", ä]\n",
		"a: {\"x\\\"y\": 1, b: 2, c: [3, 4.5]}\n", "x:   # note\n    y: z\nlong: one\n  two\nafter: here\n", "t: |\n  a\n\n  b\nu: >-\n  c\n  d\nv: w\n"}
	for _, name := range missionExamples {
		sources = append(sources, string(missionExample(t, name)))
	}
	for _, source := range sources {
		for _, read := range []func(string) (*node, *faultField){readYAML, readJSON} {
			root, problem := read(source)
			if problem != nil {
				continue
			}
			checkPlaces(t, source, root)
		}
	}
}

type faultField = fault.Field

func checkPlaces(t *testing.T, source string, n *node) {
	t.Helper()
	lines := newLineStarts(source)
	shown := func(line, col int, text string) bool {
		runes := []rune(lines.line(line))
		if col < 1 || col > len(runes)+1 {
			return false
		}
		rest := string(runes[col-1:])
		first, _, _ := strings.Cut(text, "\n")
		first, _, _ = strings.Cut(first, " ")
		return strings.HasPrefix(rest, first) || strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "'") || strings.HasPrefix(rest, "|") ||
			strings.HasPrefix(rest, ">") || strings.HasPrefix(rest, "!") || strings.HasPrefix(rest, "*")
	}
	switch n.kind {
	case mappingNode:
		for _, p := range n.pairs {
			if !shown(p.line, p.col, p.key) {
				t.Errorf("key %q is not at %d:%d of\n%s", p.key, p.line, p.col, shorten(source))
			}
			checkPlaces(t, source, p.value)
		}
	case listNode:
		for _, item := range n.items {
			checkPlaces(t, source, item)
		}
	case textNode, numberNode, booleanNode:
		if !shown(n.line, n.col, n.text) {
			t.Errorf("%q is not at %d:%d of\n%s", n.text, n.line, n.col, shorten(source))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range missionExamples {
		f.Add(missionExample(f, name))
	}
	f.Add(everything(f))
	for _, s := range []string{"", "{", "[", "a: *a", "a: &a [*a]", "<<: {a: b}", "? [a]\n: b", "a: !!str", "service: ${", "\ufeff{}", "a:\n\t- b", "{\"a\": \"\\ud800\"}",
		"- - - -", "a: |\n", "a: >2\n  b\n", "%TAG ! tag:x\n---\na: 1", "---\n...\n---\n", "&a a: b", "*a : b", "'a': \"b", "a: 0x_1", "a: .nan", "!!map {}", "null: null", "a: b\r\n c: d",
		"service: x\nsystems: [{id: a}, &b {id: b, <<: *b}]"} {
		f.Add([]byte(s))
	}
	known := databasesOnly()
	f.Fuzz(func(t *testing.T, source []byte) {
		for _, format := range []Format{YAML, JSON} {
			doc, err := Parse(source, format)
			if (doc == nil) == (err == nil) {
				t.Fatalf("document %v, error %v", doc, err)
			}
			if err != nil {
				lines := strings.Split(strings.ReplaceAll(string(source), "\r\n", "\n"), "\n")
				for _, p := range problemsOf(err) {
					if p.Code == "" || p.Message == "" {
						t.Fatalf("incomplete problem %+v", p)
					}
					if p.Line < 1 || p.Line > len(lines)+1 || p.Column < 1 {
						t.Fatalf("problem outside of the source: %+v", p)
					}
				}
				continue
			}
			canonical, err := json.Marshal(doc)
			if err != nil || !utf8.Valid(canonical) {
				t.Fatalf("no canonical form: %v", err)
			}
			again, err := Parse(canonical, JSON)
			if err != nil {
				t.Fatalf("the canonical form is refused: %s\n%s", describe(err), canonical)
			}
			if d := Diff(doc, again); len(d) > 0 {
				t.Fatalf("the canonical form is another document: %v", d)
			}
			doc.Validate(known)
			doc.Collections()
			doc.Schedule().Next(time.Unix(1_800_000_000, 0), time.UTC)
		}
		Complete(string(source), 1, 1, Vocabulary{})
		Complete(string(source), 2, 5, Vocabulary{})
	})
}

func BenchmarkParse(b *testing.B) {
	source := everything(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, err := Parse(source, YAML); err != nil {
			b.Fatal(err)
		}
	}
}
