// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the generated files")

const reference = "../../../docs/manifest-reference.md"

// The published schema and the reference say what the types say.
func TestGeneratedFiles(t *testing.T) {
	schema, page := makeSchema(), makeReference()
	if *update {
		for name, text := range map[string][]byte{"schema.json": schema, reference: page} {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if !bytes.Equal(schema, Schema()) {
		t.Error("schema.json is not what the types say; run go generate ./internal/connector/manifest")
	}
	if there, err := os.ReadFile(reference); err != nil || !bytes.Equal(there, page) {
		t.Errorf("docs/manifest-reference.md is not what the types say (%v); run go generate ./internal/connector/manifest", err)
	}
}

// The manifests of the program are what the schema takes, and what Parse refuses by its shape it refuses, too.
func TestSchemaTakesManifests(t *testing.T) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	read := func(source []byte) any {
		asJSON, err := yaml.YAMLToJSON(source)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	files, err := filepath.Glob("../*/manifest.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(read(source)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, wrong := range []string{"manifest: 1", "manifest: 1\ntype: a\ntitle: A\nsummary: A.\nbaseUrl: x\nobjects: {a: {key: [id], deletes: {mode: sometimes}}}", "manifest: 1\ntype: a\ntitle: A\nsummary: A.\nbaseUrl: x\nobjects: {}\ncolour: red"} {
		if err := compiled.Validate(read([]byte(wrong))); err == nil {
			t.Errorf("the schema takes %q", wrong)
		}
	}
}

// makeSchema makes the JSON Schema from the types and their tags.
func makeSchema() []byte {
	defs := map[string]any{}
	root := schemaOf(reflect.TypeFor[Manifest](), defs)
	top := defs["Manifest"].(map[string]any)
	delete(defs, "Manifest")
	_ = root
	top["$schema"], top["$id"], top["title"], top["$defs"] = "https://json-schema.org/draft/2020-12/schema", SchemaID, "Syncline connector manifest", defs
	b, err := json.MarshalIndent(top, "", " ")
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

func schemaOf(t reflect.Type, defs map[string]any) any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), defs)
	case reflect.String:
		return map[string]any{"type": []string{"string", "number", "boolean"}} // what looks like a number is a text, too
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), defs)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), defs)}
	case reflect.Struct:
		if _, made := defs[t.Name()]; !made {
			defs[t.Name()] = nil
			properties, required := map[string]any{}, []string{}
			for i := range t.NumField() {
				f := t.Field(i)
				name := f.Tag.Get("yaml")
				p := schemaOf(f.Type, defs)
				if m, ok := p.(map[string]any); ok {
					if words := f.Tag.Get("enum"); words != "" {
						m = map[string]any{"enum": strings.Split(words, ",")}
					}
					m["description"] = f.Tag.Get("doc")
					p = m
				}
				properties[name] = p
				if f.Tag.Get("must") != "" {
					required = append(required, name)
				}
			}
			d := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
			if len(required) > 0 {
				d["required"] = required
			}
			defs[t.Name()] = d
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	return map[string]any{}
}

// makeReference writes a table for each type.
func makeReference() []byte {
	var b strings.Builder
	b.WriteString(`# Manifest reference

Every name that a connector's manifest can have. [Your own connector](connectors/custom.md) shows how to write one; editors take the JSON Schema
from ` + "`/v1/schemas/connector.json`" + `. This page is made from the program.

Texts may have placeholders: ` + "`{settings.name}`" + `, ` + "`{key}`, `{keys}`, `{fields}`, `{record}`, `{since}`, `{token}`, `{limit}`, `{offset}`, `{page}`, `{after}`, `{value}`, `{version}`, `{native}`" + `
where they mean something, with filters behind a bar: ` + "`{key|url}`" + `. ` + "`{{`" + ` is a brace.
`)
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		title := t.Name()
		fmt.Fprintf(&b, "\n## %s\n\n| Name | Value | Meaning |\n|---|---|---|\n", title)
		for i := range t.NumField() {
			f := t.Field(i)
			must := ""
			if f.Tag.Get("must") != "" {
				must = " **Required.**"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s%s |\n", f.Tag.Get("yaml"), valueOf(f), strings.ReplaceAll(f.Tag.Get("doc"), "|", "\\|"), must)
		}
		for i := range t.NumField() {
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Manifest]())
	return []byte(b.String())
}

func valueOf(f reflect.StructField) string {
	if words := f.Tag.Get("enum"); words != "" {
		return "`" + strings.ReplaceAll(words, ",", "`, `") + "`"
	}
	var name func(t reflect.Type) string
	name = func(t reflect.Type) string {
		switch t.Kind() {
		case reflect.Pointer:
			return name(t.Elem())
		case reflect.Slice:
			return "list of " + name(t.Elem())
		case reflect.Map:
			return "map to " + name(t.Elem())
		case reflect.Struct:
			return "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
		case reflect.String:
			return "text"
		case reflect.Bool:
			return "true or false"
		case reflect.Interface:
			return "anything"
		}
		return "number"
	}
	return name(f.Type)
}
