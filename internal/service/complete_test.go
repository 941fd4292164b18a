// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
)

// at finds the cursor, written as ¦, and returns the source without it.
func at(t *testing.T, source string) (clean string, line, column int) {
	t.Helper()
	before, after, ok := strings.Cut(source, "¦")
	if !ok {
		t.Fatal("no cursor")
	}
	line = strings.Count(before, "\n") + 1
	return before + after, line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}

// applied is the line of the cursor after the completion.
func applied(source string, line int, c Completion) string {
	runes := []rune(strings.Split(source, "\n")[line-1])
	return string(runes[:c.From-1]) + c.Insert + string(runes[c.To-1:])
}

const begun = `service: demo
systems:
  - id: warehouse
    type: postgresql
    connection: {host: db, database: inv, table: stock}
  - id: shop
    type: mysql
    connection: shop-db
    objects: [stock]
`

func TestComplete(t *testing.T) {
	known := Vocabulary{
		Connectors: []connector.Spec{specPostgres(), specMySQL()}, Secrets: []string{"DB_PASSWORD", "TOKEN"}, Connections: []string{"shop-db", "wh"},
		Fields: []string{"sku", "quantity"}, Objects: map[string][]string{"shop": {"stock", "orders"}},
	}
	tests := []struct {
		name, source string
		has, lacks   []string
		line         string // the line after the first of has is accepted
	}{
		{"an empty document", "¦", []string{"service", "systems", "fieldMapping"}, []string{"id", "validation", "every"}, "service: "},
		{"the top level, what is there left out", begun + "¦", []string{"syncConfig", "description"}, []string{"service", "systems", "warehouse"}, "apiVersion: "},
		{"a word begun", begun + "bus¦", []string{"businessRules"}, []string{"syncConfig"}, "businessRules:\n  - "},
		{"a block that may also stand at the top", begun + "valid¦", []string{"validation"}, nil, "validation:\n  "},
		{"in the middle of a word", "dir¦ection: x\n", []string{"direction"}, nil, "direction: : x"},
		{"words of a field", begun + "direction: ¦", []string{"unidirectional", "bi-directional"}, []string{"service"}, "direction: unidirectional"},
		{"a word begun behind the colon", begun + "direction: multi¦", []string{"multi-directional"}, []string{"hierarchical"}, "direction: multi-directional"},
		{"fields of a system", "systems:\n  - id: a\n    ¦", []string{"type", "connection", "objects"}, []string{"id", "service", "syncConfig"}, "    type: "},
		{"the zone of a system", "systems:\n  - id: a\n    timeZone: Europe/¦", []string{"Europe/London", "Europe/Berlin"}, []string{"UTC"}, "    timeZone: Europe/London"},
		{"the first field of an item", "systems:\n  - ¦", []string{"id", "type"}, []string{"service"}, "  - id: "},
		{"an item at the list's own indentation", "systems:\n- id: a\n  ¦", []string{"type"}, []string{"id"}, "  type: "},
		{"connector types", "systems:\n  - id: a\n    type: ¦\n", []string{"postgresql", "mysql"}, nil, "    type: postgresql"},
		{"settings of the connector", "systems:\n  - id: a\n    type: postgresql\n    connection:\n      host: h\n      ¦\n", []string{"port", "database", "sslMode"}, []string{"host", "id"}, "      port: "},
		{"settings of the right system", "systems:\n  - id: a\n    type: postgresql\n  - id: b\n    type: nobody\n    connection:\n      ¦\n", nil, []string{"port"}, ""},
		{"connections by name", "systems:\n  - id: a\n    connection: ¦\n", []string{"shop-db", "wh"}, nil, "    connection: shop-db"},
		{"choices of a setting", "systems:\n  - id: a\n    type: postgresql\n    connection:\n      sslMode: ¦\n", []string{"disable", "verify-full"}, nil, "      sslMode: disable"},
		{"secrets for a secret setting", "systems:\n  - id: a\n    type: postgresql\n    connection:\n      password: ¦\n", []string{"${DB_PASSWORD}", "${TOKEN}"}, nil, "      password: ${DB_PASSWORD}"},
		{"inside a reference", "systems:\n  - id: a\n    type: postgresql\n    connection:\n      host: ${T¦\n", []string{"TOKEN"}, []string{"DB_PASSWORD"}, "      host: ${TOKEN}"},
		{"inside a closed reference", "systems:\n  - connection:\n      host: ${T¦OK}.example\n", []string{"TOKEN"}, nil, "      host: ${TOKEN}.example"},
		{"system ids", begun + "businessRules:\n  - name: a\n    source: ¦\n", []string{"warehouse", "shop"}, nil, "    source: warehouse"},
		{"strategies with the systems", begun + "syncConfig:\n  conflictResolution: ¦\n", []string{"lastWriteWins", "warehouse-wins", "shop-wins"}, nil, "  conflictResolution: lastWriteWins"},
		{"the block form beside the word", begun + "syncConfig:\n  conflictResolution:\n    ¦\n", []string{"strategy", "fields"}, []string{"frequency"}, "    strategy: "},
		{"rules by entity field", begun + "fieldMapping: {price: cost}\nsyncConfig:\n  conflictResolution:\n    fields:\n      ¦\n", []string{"price", "sku"}, nil, "      price: "},
		{"entity fields in a list", begun + "syncConfig:\n  matchFields: [sku, ¦]\n", []string{"quantity"}, []string{"sku"}, "  matchFields: [sku, quantity]"},
		{"system ids in a list", begun + "syncConfig:\n  bidirectional:\n    - systems: [wa¦\n", []string{"warehouse"}, []string{"shop"}, "    - systems: [warehouse"},
		{"items of a list of words", begun + "syncConfig:\n  matchFields:\n    - ¦\n", []string{"sku"}, nil, "    - sku"},
		{"operators", begun + "filterConditions:\n  - field: sku\n    operator: ¦\n", []string{"equals", "notNull"}, []string{"eq"}, "    operator: equals"},
		{"schedules", begun + "syncConfig:\n  frequency: ¦\n", []string{"realtime", "15m", "daily"}, nil, "  frequency: realtime"},
		{"time zones", begun + "syncConfig:\n  frequency:\n    timeZone: Eu¦\n", []string{"Europe/Berlin"}, []string{"UTC"}, "    timeZone: Europe/London"},
		{"true and false", begun + "syncConfig:\n  gdpr:\n    rightToErasure: ¦\n", []string{"true", "false"}, nil, "    rightToErasure: true"},
		{"models", "systems:\n  - objects:\n      - name: a\n        mapping: ¦\n", []string{"contacts", "orders"}, nil, "        mapping: contacts"},
		{"discovered objects", begun + "    # more\n  - id: c\nx: 1\n" + strings.Replace("systems:\n  - id: shop\n    objects:\n      - name: ¦\n", "systems:\n", "", 1), nil, []string{"contacts"}, ""},
		{"objects of a system", "systems:\n  - id: shop\n    objects:\n      - name: ¦\n", []string{"stock", "orders"}, nil, "      - name: stock"},
		{"fields of a mapping per system", begun + "fieldMapping:\n  ¦\n", []string{"warehouse", "sku"}, nil, "  sku: "},
		{"inside a comment", begun + "# dir¦", nil, []string{"direction"}, ""},
		{"inside a block of text", "description: |\n  dir¦\n", nil, []string{"direction"}, ""},
		{"under an unknown field", "nobody:\n  ¦\n", nil, []string{"service"}, ""},
		{"a document that is broken elsewhere", begun + "fieldMapping:\n  price: cost\nx: [1\nbusinessRules:\n  - target: ¦\n", []string{"warehouse"}, nil, "  - target: warehouse"},

		{"JSON: top level", "{\n  ¦\n}", []string{"service", "systems"}, nil, `  "service": `},
		{"JSON: a name begun in quotes", "{\n  \"service\": \"demo\",\n  \"dir¦\"\n}", []string{"direction"}, []string{"service"}, `  "direction"`},
		{"JSON: words", "{\"direction\": ¦}", []string{"unidirectional"}, nil, `{"direction": "unidirectional"}`},
		{"JSON: words in quotes", "{\"direction\": \"multi¦\"}", []string{"multi-directional"}, []string{"hierarchical"}, `{"direction": "multi-directional"}`},
		{"JSON: fields of an item", "{\"systems\": [{\"id\": \"a\", ¦", []string{"type", "connection"}, []string{"id", "service"}, `{"systems": [{"id": "a", "type": `},
		{"JSON: settings", "{\"systems\": [{\"id\": \"a\", \"type\": \"mysql\", \"connection\": {\"¦", []string{"host", "port"}, nil, `{"systems": [{"id": "a", "type": "mysql", "connection": {"host`},
		{"JSON: secrets", "{\"systems\": [{\"type\": \"mysql\", \"connection\": {\"host\": \"${T¦}\"}}]}", []string{"TOKEN"}, []string{"DB_PASSWORD"}, `{"systems": [{"type": "mysql", "connection": {"host": "${TOKEN}"}}]}`},
		{"JSON: items of a list", "{\"syncConfig\": {\"matchFields\": [\"sku\", \"q¦\"]}}", []string{"quantity"}, nil, `{"syncConfig": {"matchFields": ["sku", "quantity"]}}`},
		{"JSON: true and false", "{\"syncConfig\": {\"gdpr\": {\"enabled\": ¦}}}", []string{"true"}, nil, `{"syncConfig": {"gdpr": {"enabled": true}}}`},
		{"JSON: behind a finished system", "{\"systems\": [{\"id\": \"a\"}], ¦}", []string{"direction", "service"}, []string{"id", "systems"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source, line, column := at(t, tt.source)
			got := Complete(source, line, column, known)
			var labels []string
			for _, c := range got {
				labels = append(labels, c.Label)
			}
			for _, want := range tt.has {
				if !slices.Contains(labels, want) {
					t.Errorf("no %s in %v", want, labels)
				}
			}
			for _, not := range tt.lacks {
				if slices.Contains(labels, not) {
					t.Errorf("%s in %v", not, labels)
				}
			}
			if tt.line != "" && len(got) > 0 {
				if accepted := applied(source, line, got[0]); accepted != tt.line {
					t.Errorf("first is %+v\nline %q\nwant %q", got[0], accepted, tt.line)
				}
			}
		})
	}
}

// At every place of every example completion answers at once, and what it offers for a field's name is such a name.
func TestCompleteEverywhere(t *testing.T) {
	for _, source := range [][]byte{everything(t), missionExample(t, "crm-contact-sync.yaml"), missionExample(t, "inventory-sync.json")} {
		lines := strings.Split(string(source), "\n")
		for i, line := range lines {
			for column := 1; column <= len([]rune(line))+2; column += 7 {
				for _, c := range Complete(string(source), i+1, column, Vocabulary{Secrets: []string{"A"}, Connectors: []connector.Spec{specMySQL()}}) {
					if c.From < 1 || c.From > c.To || c.To > len([]rune(line))+1 || c.Label == "" || c.Insert == "" {
						t.Fatalf("%d:%d %q: %+v", i+1, column, line, c)
					}
				}
			}
		}
	}
	for _, odd := range []struct{ line, column int }{{0, 0}, {-1, 5}, {1, 0}, {99, 1}} {
		if got := Complete("service: x\n", odd.line, odd.column, Vocabulary{}); got != nil {
			t.Errorf("%+v: %v", odd, got)
		}
	}
}

// What completion offers for each field of a system leads to documents that the parser accepts.
func TestCompletionsAreAccepted(t *testing.T) {
	base := "service: demo\nsystems: [{id: a, type: x}, {id: b, type: x}]\n"
	for _, place := range []string{"direction: ", "syncConfig:\n  changeDetection: ", "syncConfig:\n  conflictResolution: ", "syncConfig:\n  deletes: ", "syncConfig:\n  frequency: ",
		"encryption: ", "auditLog: ", "syncConfig:\n  consistency: ", "syncConfig:\n  priority: ", "syncConfig:\n  deduplication:\n    mergeStrategy: "} {
		source := base + place
		lines := strings.Split(source, "\n")
		got := Complete(source, len(lines), len([]rune(lines[len(lines)-1]))+1, Vocabulary{})
		if len(got) < 1 {
			t.Errorf("nothing for %q", place)
		}
		for _, c := range got {
			lines[len(lines)-1] = applied(source, len(lines), c)
			if _, err := Parse([]byte(strings.Join(lines, "\n")), YAML); err != nil {
				t.Errorf("%q is refused: %v", c.Insert, err)
			}
		}
	}
}

func TestCompletionJSON(t *testing.T) {
	b, _ := json.Marshal(Complete("dir", 1, 4, Vocabulary{})[0])
	if string(b) != `{"label":"direction","insert":"direction: ","kind":"field","doc":"Which systems' changes reach which others; bi-directional when absent.","from":1,"to":4}` {
		t.Errorf("%s", b)
	}
}
