// SPDX-License-Identifier: Apache-2.0

package mapping_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
)

// documents is an object with columns of objects, and of a list.
var documents = connector.ObjectInfo{Name: "documents", Key: []string{"id"}, Fields: []connector.FieldInfo{field("id", connector.TypeText), field("lines", connector.TypeJSON),
	field("tags", connector.TypeArray), field("Price [EUR]", connector.TypeNumber), field("rates.2024", connector.TypeNumber)}}

func parse(t testing.TB, json string) record.Value {
	t.Helper()
	v, err := record.ParseJSON([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHowPathsAreRead(t *testing.T) {
	tests := []struct{ name, path, column, want string }{ // what the path leads to in the value below
		{"an item by a number", "lines.0.sku", "lines", `"A"`},
		{"an item in brackets", "lines[1].sku", "lines", `"B"`},
		{"an item of an item", "lines[0].sizes[1]", "lines", `2`},
		{"brackets side by side", "lines[2][0]", "lines", `"in"`},
		{"an item that is not there", "lines.7.sku", "lines", `null`},
		{"a part of a list", "lines.sku", "lines", `null`},
		{"a name that is a number", "lines.3.2024", "lines", `5`},
		{"a small number that is a name", "lines.3.7", "lines", `6`},
		{"brackets mean an item, not a name", "lines.3[7]", "lines", `null`},
		{"a plain item", "tags[1]", "tags", `"eu"`},
		{"a plain item by its number", "tags.0", "tags", `"new"`},
	}
	native := record.Fields{"id": "1", "lines": parse(t, `[{"sku": "A", "sizes": [1, 2]}, {"sku": "B"}, ["in"], {"2024": 5, "7": 6}]`), "tags": []any{"new", "eu"}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := compile(t, documents, nil, to("id", "id"), to("f", test.path))
			if p.Native("f") != test.path || mapping.Column(test.path) != test.column {
				t.Errorf("it is %q of %q", p.Native("f"), mapping.Column(test.path))
			}
			got, err := p.In(native)
			if err != nil || !record.Equal(got["f"], parse(t, test.want)) {
				t.Errorf("it leads to %v, %v; want %s", got["f"], err, test.want)
			}
			if text, _ := p.InSome(native); !record.Equal(text["f"], parse(t, test.want)) {
				t.Errorf("of what was stored it is %v", text["f"])
			}
		})
	}
	for _, name := range []string{"tags.name", "tags[x]", "tags[1000]", "lines[", "id[0]", "id.0"} {
		if p := compile(t, documents, nil, to("id", "id"), to("f", name)); p.Has("f") {
			t.Errorf("%s was found as %s", name, p.Native("f"))
		}
	}
	for _, name := range []string{"Price [EUR]", "rates.2024"} {
		if p := compile(t, documents, nil, to("id", "id"), to("f", name)); p.Native("f") != name || p.Nests([]string{"f"}) {
			t.Errorf("the column %s was found as %s", name, p.Native("f"))
		}
	}
	for _, twice := range [][2]string{{"lines[0].sku", "lines.0.sku"}, {"lines[0]", "lines.0.sku"}, {"tags[1]", "tags"}} {
		if _, err := mapping.Compile(documents, []mapping.Field{to("a", twice[0]), to("b", twice[1])}, make(map[string]mapping.Kind), nil); err == nil {
			t.Errorf("%v were mapped to two fields", twice)
		}
	}
	open := compile(t, connector.ObjectInfo{Name: "open", Key: []string{"id"}}, nil, to("id", "id"), to("f", "lines[0].sku"), to("g", "Price [EUR]"))
	if out, err := open.Out(record.Fields{"id": "1", "f": "A", "g": "1"}, nil); err != nil || !record.Equal(map[string]any(out), parse(t, `{"id": "1", "lines": [{"sku": "A"}], "Price [EUR]": "1"}`)) {
		t.Errorf("without a schema: %v, %v", out, err)
	}
}

// What is written where there is nothing, and over what is there. The last is a list's hole, or another thing than the path wants.
func TestHowPathsAreWritten(t *testing.T) {
	mapped := []mapping.Field{to("id", "id"), to("second", "lines.1.sku"), to("first", "lines.0.sku"), to("size", "lines[0].sizes[0]"), to("tag", "tags[0]"), to("other", "tags[1]")}
	tests := []struct {
		name, present, entity string // "" is no record that was read
		lines, tags           string // "" is an error
		why                   string
	}{
		{name: "a list is made", entity: `{"first": "A"}`, lines: `[{"sku": "A"}]`, tags: `null`},
		{name: "items in their order, whatever that of the document", entity: `{"second": "B", "first": "A", "size": 3, "tag": "new", "other": "eu"}`, lines: `[{"sku": "A", "sizes": [3]}, {"sku": "B"}]`, tags: `["new", "eu"]`},
		{name: "nothing makes nothing", entity: `{}`, lines: `null`, tags: `null`},
		{name: "a hole", entity: `{"second": "B"}`, why: "second: as lines.1.sku it would be item 1 of a list of 0"},
		{name: "a hole in a list that is there", present: `{"lines": [], "tags": null}`, entity: `{"other": "eu"}`, why: "other: as tags[1] it would be item 1 of a list of 0"},
		{name: "what is not mapped stays", present: `{"lines": [{"sku": "A", "note": "n", "sizes": [1, 2]}, {"sku": "B"}, {"sku": "C"}], "tags": ["new", "eu", "vip"]}`,
			entity: `{"first": "X", "second": "B", "size": 9, "tag": "old", "other": "eu"}`, lines: `[{"sku": "X", "note": "n", "sizes": [9, 2]}, {"sku": "B"}, {"sku": "C"}]`, tags: `["old", "eu", "vip"]`},
		{name: "an item is added behind the last", present: `{"lines": [{"sku": "A"}], "tags": ["new"]}`, entity: `{"first": "A", "second": "B", "tag": "new", "other": "eu"}`,
			lines: `[{"sku": "A"}, {"sku": "B"}]`, tags: `["new", "eu"]`},
		{name: "the last items go when they are empty", present: `{"lines": [], "tags": ["new", "eu"]}`, entity: `{}`, lines: `[]`, tags: `[]`},
		{name: "others stay, empty", present: `{"lines": [], "tags": ["new", "eu", "vip"]}`, entity: `{}`, lines: `[]`, tags: `[null, null, "vip"]`},
		{name: "a text where a list is to be", present: `{"lines": "none", "tags": []}`, entity: `{"first": "A"}`, why: `first: as lines.0.sku it cannot be written: there is "none"`},
		{name: "a text that stays", present: `{"lines": "none", "tags": []}`, entity: `{}`, lines: `"none"`, tags: `[]`},
		{name: "an object whose names are numbers", present: `{"lines": {"0": {"sku": "A"}, "x": 1}, "tags": []}`, entity: `{"first": "B"}`, lines: `{"0": {"sku": "B"}, "x": 1}`, tags: `[]`},
		{name: "a list where an object is to be", present: `{"lines": [["A"]], "tags": []}`, entity: `{"first": "A"}`, why: "there is a list, and no object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := compile(t, documents, nil, mapped...)
			var present record.Fields
			if test.present != "" {
				present = parse(t, test.present).(map[string]any)
			}
			before := string(record.AppendJSON(nil, map[string]any(present)))
			entity := record.Fields(parse(t, test.entity).(map[string]any))
			out, err := p.Onto(present, entity, nil)
			if test.lines == "" {
				var e *mapping.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), test.why) {
					t.Fatalf("%v, %v; want %q", out, err, test.why)
				}
				return
			}
			if err != nil || !record.Equal(out["lines"], parse(t, test.lines)) || !record.Equal(out["tags"], parse(t, test.tags)) {
				t.Errorf("%s, %v", record.AppendJSON(nil, map[string]any(out)), err)
			}
			if after := string(record.AppendJSON(nil, map[string]any(present))); after != before {
				t.Errorf("what was read became %s", after)
			}
		})
	}
}

// What a record is expected to be is what it is, as long as that means what is held; else what is held.
func TestExpect(t *testing.T) {
	p := compile(t, documents, nil, to("id", "id"), to("first", "lines[0].sku"), to("other", "tags[1]"))
	held := record.Fields{"id": "1", "first": "A", "other": "eu"}
	present := record.Fields(parse(t, `{"id": "1", "lines": [{"sku": "A", "note": "n"}], "tags": ["new", "us"]}`).(map[string]any))
	got, err := p.Expect(present, held, []string{"first", "other"})
	if err != nil || !record.Equal(map[string]any(got), parse(t, `{"lines": [{"sku": "A", "note": "n"}], "tags": [null, "eu"]}`)) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = p.Expect(nil, held, []string{"first"}); err != nil || !record.Equal(map[string]any(got), parse(t, `{"lines": [{"sku": "A"}]}`)) {
		t.Errorf("of a record that was not read: %v, %v", got, err)
	}
}

// What goes out comes back, whatever is there already, and going out again changes nothing.
func TestPathsThereAndBack(t *testing.T) {
	values := rapid.SampledFrom([]record.Value{nil, "A", "B", record.Int(1), true})
	item := rapid.Custom(func(t *rapid.T) record.Value {
		m := map[string]any{"note": values.Draw(t, "note")}
		if rapid.Bool().Draw(t, "has") {
			m["sku"] = values.Draw(t, "sku")
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		types := map[string]mapping.Kind{"a": {}, "b": {}, "c": {}}
		p, err := mapping.Compile(documents, []mapping.Field{to("a", "lines[0].sku"), to("b", "lines.1.sku"), to("c", "lines[2].sku")}, types, nil)
		if err != nil {
			t.Fatal(err)
		}
		list := rapid.SliceOfN(item, 0, 4).Draw(t, "lines")
		present := record.Fields{"lines": list}
		entity := record.Fields{"a": values.Draw(t, "a"), "b": values.Draw(t, "b"), "c": values.Draw(t, "c")}
		out, err := p.Onto(present, entity, nil)
		if err != nil {
			return
		}
		back, err := p.In(out)
		if err != nil || !back.Equal(entity) {
			t.Fatalf("%v over %v is %v, and came back as %v, %v", entity, present, out, back, err)
		}
		again, err := p.Onto(out, entity, nil)
		if err != nil || !record.Equal(map[string]any(again), map[string]any(out)) {
			t.Fatalf("%v became %v, %v", out, again, err)
		}
		for i, v := range list { // what is not mapped is as it was
			if lines := out["lines"].([]any); !record.Equal(lines[i].(map[string]any)["note"], v.(map[string]any)["note"]) {
				t.Fatalf("item %d of %v became %v", i, list, lines)
			}
		}
	})
}
