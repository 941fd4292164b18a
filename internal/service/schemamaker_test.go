// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"strings"
)

// makeSchema makes the JSON Schema from the shapes.
func makeSchema() []byte {
	m := &schemaMaker{defs: map[string]any{}}
	root := m.block(documentShape)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "Syncline service document"
	root["$defs"] = m.defs
	b, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		panic(err) // shapes are our own
	}
	return append(b, '\n')
}

type schemaMaker struct{ defs map[string]any }

func (m *schemaMaker) shape(s *shape) map[string]any {
	switch s.kind {
	case textShape:
		return textSchema(s)
	case booleanShape:
		return map[string]any{"type": "boolean"}
	case switchShape:
		return map[string]any{"enum": []any{true, false, "enabled", "disabled"}}
	case integerShape, numberShape:
		out := map[string]any{"type": "number"}
		if s.kind == integerShape {
			out["type"] = "integer"
		}
		if s.min != "" {
			out["minimum"] = s.min
		}
		if s.max != "" {
			out["maximum"] = s.max
		}
		return out
	case literalShape:
		return map[string]any{"type": []string{"string", "number", "boolean", "null"}, "maxLength": s.most}
	case settingShape:
		return map[string]any{"type": []string{"string", "number", "boolean"}, "maxLength": s.most}
	case listShape:
		out := map[string]any{"type": "array", "items": m.shape(s.item), "maxItems": s.most}
		if s.least > 0 {
			out["minItems"] = s.least
		}
		return out
	case blockShape:
		if s.name == "" {
			return m.block(s)
		}
		if _, made := m.defs[s.name]; !made {
			m.defs[s.name] = nil // a block may contain itself
			m.defs[s.name] = m.block(s)
		}
		return map[string]any{"$ref": "#/$defs/" + s.name}
	}
	var forms []any
	for _, form := range s.forms {
		forms = append(forms, m.shape(form.shape))
	}
	return map[string]any{"anyOf": forms}
}

func textSchema(s *shape) map[string]any {
	var words []any
	for _, w := range s.words {
		words = append(words, w)
	}
	for _, w := range sortedKeys(s.synonyms) {
		words = append(words, w)
	}
	switch {
	case len(words) > 0 && s.orPat:
		return map[string]any{"anyOf": []any{map[string]any{"enum": words}, map[string]any{"type": "string", "pattern": s.pattern.String(), "maxLength": s.most}}}
	case len(words) > 0:
		return map[string]any{"enum": words}
	}
	out := map[string]any{"type": "string", "maxLength": s.most}
	if s.least > 0 {
		out["minLength"] = s.least
	}
	if s.pattern != nil {
		out["pattern"] = s.pattern.String()
	}
	return out
}

func (m *schemaMaker) block(s *shape) map[string]any {
	out := map[string]any{"type": "object", "additionalProperties": false}
	var all []any // what must hold besides
	properties := map[string]any{}
	for _, f := range s.fields {
		value := m.shape(f.shape)
		if s.rest != nil { // a name of the customer's that is called like a flag
			value = map[string]any{"anyOf": []any{value, m.shape(s.rest)}}
		}
		described := map[string]any{"description": f.doc}
		for k, v := range value {
			described[k] = v
		}
		names := append([]string{f.name}, f.aliases...)
		var given []any
		for _, name := range names {
			properties[name] = described
			given = append(given, map[string]any{"required": []string{name}})
		}
		switch {
		case f.required && len(names) == 1:
			all = append(all, given[0])
		case f.required:
			all = append(all, map[string]any{"oneOf": given})
		case len(names) > 1:
			for i := range names {
				for j := range i {
					all = append(all, map[string]any{"not": map[string]any{"required": []string{names[j], names[i]}}})
				}
			}
		}
		if f.home != "" {
			parent, last, _ := strings.Cut(strings.TrimPrefix(f.home, "/"), "/")
			all = append(all, map[string]any{"not": map[string]any{"required": []string{f.name, parent},
				"properties": map[string]any{parent: map[string]any{"type": "object", "required": []string{last}}}}})
		}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if s.rest != nil {
		out["additionalProperties"] = m.shape(s.rest)
		out["propertyNames"] = map[string]any{"minLength": 1, "maxLength": nameLength}
		if s.uniform {
			var forms []any
			for _, form := range s.rest.forms {
				forms = append(forms, map[string]any{"additionalProperties": m.shape(form.shape)})
			}
			delete(out, "additionalProperties")
			all = append(all, map[string]any{"anyOf": forms})
		}
	}
	if len(all) > 0 {
		out["allOf"] = all
	}
	return out
}
