// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/fault"
)

const good = `manifest: 1
type: widgets
title: Widgets
summary: The widget shop.
settings:
  - name: token
    secret: true
    required: true
baseUrl: https://widgets.example/api
auth:
  - kind: bearer
    token: "{settings.token}"
objects:
  widgets:
    key: [id]
    version: changed
    fields:
      - {name: id, type: integer, readOnly: true}
      - {name: name, maxLength: 20}
      - {name: changed, type: timestamp, readOnly: true}
    list:
      request: {path: /widgets, query: {limit: "{limit}", page: "{page}"}}
      records: widgets
      paging: {style: page, size: 50, firstPage: 1}
    deletes: {mode: never}
    get:
      request: {path: "/widgets/{key}"}
`

func TestParse(t *testing.T) {
	m, err := manifest.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if m.Class != "standard" || m.Objects["widgets"].Fields[1].Path != "name" || m.Settings[0].Kind != "text" {
		t.Errorf("what is usual is not filled in: %+v", m)
	}
}

// Each mistake is told with its place and a remedy.
func TestProblems(t *testing.T) {
	tests := []struct {
		name, old, new string
		line           int
		code, says     string
		remedy         string
	}{
		{"a misspelt name", "    key: [id]", "    keys: [id]", 15, "manifest.unknown_name", "no keys", "Did you mean key?"},
		{"an unknown word", "style: page", "style: pages", 24, "manifest.unknown_word", "pages", "nextUrl"},
		{"a missing part", "title: Widgets\n", "", 1, "manifest.missing", "no title", "people know"},
		{"a list that is none", "key: [id]", "key: id", 15, "manifest.wrong_kind", "must be a list", "dash"},
		{"a number that is none", "size: 50", "size: many", 24, "manifest.wrong_kind", "must be a number", "digits"},
		{"a placeholder that is not known", "{limit}", "{limits}", 22, "manifest.placeholder", "{limits}", "There are:"},
		{"a setting that is not declared", "{settings.token}", "{settings.tokens}", 12, "manifest.missing", "names no setting", "Declare it"},
		{"a key that is not declared", "key: [id]", "key: [number]", 15, "manifest.missing", "number", "Declare it"},
		{"a placeholder without an end", `"/widgets/{key}"`, `"/widgets/{key"`, 27, "manifest.placeholder", "does not end", "{{"},
		{"not YAML", "summary: The", "summary: a: The", 4, "manifest.syntax", "not YAML", "quotes"},
		{"a type that is no name", "type: widgets", "type: My Widgets", 2, "manifest.bad_value", "My Widgets", "lower case"},
		{"no way to read", "    get:\n      request: {path: \"/widgets/{key}\"}\n", "", 15, "manifest.missing", "cannot be read by key", "Give get"},
		{"a limit without a time", "auth:", "limits: [{calls: 5}]\nauth:", 10, "manifest.missing", "has no time", "per"},
		{"a limit of nothing", "auth:", "limits: [{operations: [list]}]\nauth:", 10, "manifest.bad_value", "lets nothing through", "atOnce"},
		{"a pattern of a time without a group", "auth:", "errors: {rules: [{class: slow_down, afterMatch: 'in [0-9]+ s'}]}\nauth:", 10, "manifest.bad_value", "no group", "parentheses"},
		{"a time to wait without waiting", "auth:", "errors: {rules: [{class: retry, afterFrom: wait}]}\nauth:", 10, "manifest.bad_value", "slow down", "class: slow_down"},
		{"a quota in a body that is nowhere", "auth:", "quota: [{body: true, remaining: left}]\nauth:", 10, "manifest.missing", "what is left", "of"},
		{"a form of times that means nothing", "{name: changed, type: timestamp", "{name: changed, type: timestamp, format: yyyy-nn", 20, "manifest.bad_value", "means nothing", "yyyy-MM-dd"},
		{"a zone that there is not", "{name: changed, type: timestamp", "{name: changed, type: timestamp, zone: Mars/Olympus", 20, "manifest.bad_value", "Mars/Olympus", "Europe/Berlin"},
		{"a codec for times on a text", "{name: name,", "{name: name, codec: msDate,", 19, "manifest.bad_value", "for times", "timestamp"},
		{"a parent and values", "    list:", "    parent: {object: widgets, values: [a]}\n    list:", 21, "manifest.missing", "listed for", "object, or values"},
		{"a parent that leads back", "    list:", "    parent: {object: widgets}\n    list:", 21, "manifest.bad_value", "no end", "lead back"},
		{"a queue that is never emptied", "    deletes:", "    changes: {style: queue, request: {path: /q}, paging: {style: none}}\n    deletes:", 25, "manifest.missing", "taken away", "ack"},
		{"a feed's word on a query", "    deletes:", "    changes: {style: since, whole: true, request: {path: /q}, paging: {style: none}}\n    deletes:", 25, "manifest.bad_value", "no feed", "whole"},
		{"a lag of a feed", "    deletes:", "    changes: {style: feed, lag: 1m, request: {path: /q}, paging: {style: none}}\n    deletes:", 25, "manifest.bad_value", "stay behind", "lag"},
		{"fields in parts that are no number", "    list:", "    askFor: {}\n    list:", 21, "manifest.missing", "how much", "url"},
		{"a template that nothing is like", "    list:", "    template: true\n    list:", 21, "manifest.bad_value", "Nothing is like", "discover.like"},
		{"a description without names", "    list:", "    describe: {request: {path: /d}}\n    list:", 21, "manifest.missing", "names of fields", "sample"},
		{"a setting learnt that is none", "auth:", "learn: [{request: {path: /me}, settings: {site: id}}]\nauth:", 10, "manifest.missing", "site", "settings"},
		{"an upsert by nothing", "    deletes:", "    upsert: {request: {method: PUT, path: /w}}\n    deletes:", 25, "manifest.missing", "known", "by"},
		{"a pattern of a key without a group", "    deletes:", "    create: {request: {method: POST, path: /w}, key: 'header:Location', keyMatch: '[0-9]+'}\n    deletes:", 25, "manifest.bad_value", "no group", "parentheses"},
		{"a job without an id", "    deletes:", "    create: {request: {method: POST, path: /w}, batch: {size: 5, request: {path: /j}, job: {poll: {path: /j}, state: s, done: [d]}}}\n    deletes:", 25, "manifest.missing", "job's id", "take"},
		{"parts of results that belong to nobody", "    deletes:", "    create: {request: {method: POST, path: /w}, batch: {size: 5, request: {path: /j}, job: {id: id, poll: {path: /j}, state: s, done: [d], parts: [{request: {path: /r}}]}}}\n    deletes:", 25, "manifest.missing", "belongs to which", "fields"},
		{"a lock of nothing", "    deletes:", "    update: {request: {method: PUT, path: /w}, lock: {value: x}}\n    deletes:", 25, "manifest.missing", "neither a header", "or from"},
		{"steps of a batch", "    deletes:", "    delete: {before: [{request: {path: /a}}], request: {path: /w}, batch: {size: 5, request: {path: /j}}}\n    deletes:", 25, "manifest.bad_value", "single records", "batch"},
		{"a default for a secret", "secret: true", "secret: true\n    default: x", 6, "manifest.bad_value", "default", "Leave"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := manifest.Parse([]byte(strings.Replace(good, test.old, test.new, 1)))
			f := fault.As(err)
			if f == nil || f.Code != "manifest.invalid" || len(f.Fields) == 0 {
				t.Fatalf("got %v", err)
			}
			p := f.Fields[0]
			if p.Code != test.code || !strings.Contains(p.Message, test.says) || !strings.Contains(p.Remedy, test.remedy) || p.Line != test.line || p.Column < 1 {
				t.Errorf("line %d, column %d: %s: %s %s", p.Line, p.Column, p.Code, p.Message, p.Remedy)
			}
		})
	}
}

// All problems come at once, in the order of their places.
func TestAllProblems(t *testing.T) {
	bad := strings.NewReplacer("title:", "titel:", "style: page", "style: pages", "kind: bearer", "kind: barer").Replace(good)
	_, err := manifest.Parse([]byte(bad))
	f := fault.As(err)
	if f == nil || len(f.Fields) != 4 {
		t.Fatalf("got %v", f)
	}
	for i := 1; i < len(f.Fields); i++ {
		if f.Fields[i].Line < f.Fields[i-1].Line {
			t.Errorf("line %d comes after line %d", f.Fields[i].Line, f.Fields[i-1].Line)
		}
	}
}

// Whatever is sent, it is a manifest or a fault, in bounded time.
func TestHostileManifests(t *testing.T) {
	for name, source := range map[string]string{
		"deep":    strings.Repeat("[", 10_000),
		"wide":    "a: " + strings.Repeat("{b: ", 5_000),
		"anchors": "a: &a [1]\n" + strings.Repeat("b: *a\n", 1_000),
		"long":    strings.Repeat("x", 300<<10),
		"empty":   "", "null": "~", "text": "hello", "list": "- 1", "two": "a: 1\n---\nb: 2\n",
		"tag":       "!!binary \"x\"",
		"laughs":    "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nobjects: *c\n",
		"zero byte": "manifest: \x00",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := manifest.Parse([]byte(source)); fault.As(err) == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	lines := strings.Split(good, "\n")
	rapid.Check(t, func(t *rapid.T) {
		mixed := make([]string, len(lines))
		copy(mixed, lines)
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			i := rapid.IntRange(0, len(mixed)-1).Draw(t, "line")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				mixed[i] = ""
			case 1:
				mixed[i] = "  " + mixed[i]
			case 2:
				mixed[i] = lines[rapid.IntRange(0, len(lines)-1).Draw(t, "other")]
			default:
				mixed[i] = rapid.StringMatching(`[ \-a-z:{}\[\]"'#&*!|>0-9]{0,30}`).Draw(t, "text")
			}
		}
		if _, err := manifest.Parse([]byte(strings.Join(mixed, "\n"))); err != nil && fault.As(err) == nil {
			t.Fatalf("not a fault: %v", err)
		}
	})
}

func ExampleParse() {
	_, err := manifest.Parse([]byte("manifest: 1\ntype: x y\ntitle: X\nsummary: X.\nbaseUrl: https://x.example\nobjects: {}\n"))
	for _, p := range fault.As(err).Fields {
		fmt.Printf("%d:%d %s %s\n", p.Line, p.Column, p.Message, p.Remedy)
	}
	// Output:
	// 2:7 "x y" cannot be a type. Use lower case letters, digits and dashes, beginning with a letter.
	// 6:10 There are no objects. Describe at least one object.
}
