// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// A file's schema stands beside it in contacts.csv.schema.json. It is read in our words and in those of Table Schema:
//
//	{"fields": [{"name": "id", "type": "integer"}, {"name": "email", "type": "string", "constraints": {"required": true}}],
//	 "primaryKey": "id"}
const schemaSuffix = ".schema.json"

// schemaName is the file that declares the fields of the object.
func schemaName(object record.Object) string {
	name, _ := sheetOf(object)
	return name + schemaSuffix
}

type schema struct {
	Key    []string
	fields []declared
}

// declared is one field of a schema.
type declared struct {
	Name      string
	typ       connector.Type
	native    string
	nullable  bool
	unique    bool
	maxLength int
	enum      []string
}

func (s *schema) declared() []declared {
	if s == nil {
		return nil
	}
	return s.fields
}

// words are the names of types in schemas.
var words = map[string]connector.Type{
	"string": connector.TypeText, "object": connector.TypeJSON, "any": connector.TypeJSON, "geojson": connector.TypeJSON,
	"year": connector.TypeInteger, "decimal": connector.TypeNumber, "list": connector.TypeArray,
	"text": connector.TypeText, "integer": connector.TypeInteger, "number": connector.TypeNumber, "float": connector.TypeFloat,
	"boolean": connector.TypeBoolean, "timestamp": connector.TypeTimestamp, "datetime": connector.TypeDateTime, "date": connector.TypeDate,
	"time": connector.TypeTime, "bytes": connector.TypeBytes, "json": connector.TypeJSON, "array": connector.TypeArray, "uuid": connector.TypeUUID,
}

// parseSchema reads a schema. The error is a sentence without full stop.
func parseSchema(b []byte) (*schema, error) {
	var in struct {
		Fields []struct {
			Name        string   `json:"name"`
			Type        string   `json:"type"`
			Format      string   `json:"format"`
			Nullable    *bool    `json:"nullable"`
			MaxLength   int      `json:"maxLength"`
			Unique      bool     `json:"unique"`
			Enum        []string `json:"enum"`
			Constraints struct {
				Required  bool     `json:"required"`
				Unique    bool     `json:"unique"`
				MaxLength int      `json:"maxLength"`
				Enum      []string `json:"enum"`
			} `json:"constraints"`
		} `json:"fields"`
		Key        keyList `json:"key"`
		PrimaryKey keyList `json:"primaryKey"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("it is not valid: %w", err)
	}
	s := &schema{Key: in.Key}
	if len(s.Key) == 0 {
		s.Key = in.PrimaryKey
	}
	isKey := map[string]bool{}
	for _, k := range s.Key {
		isKey[k] = true
	}
	for _, f := range in.Fields {
		if f.Type == "" {
			f.Type = "string"
		}
		typ, known := words[strings.ToLower(f.Type)]
		switch {
		case f.Name == "":
			return nil, fmt.Errorf("a field has no name")
		case !known:
			return nil, fmt.Errorf("the field %s has the type %s, which is not known", f.Name, shorten(f.Type))
		case typ == connector.TypeText && f.Format == "uuid":
			typ = connector.TypeUUID
		case typ == connector.TypeText && f.Format == "binary":
			typ = connector.TypeBytes
		}
		d := declared{Name: f.Name, typ: typ, native: f.Type, nullable: !f.Constraints.Required && !isKey[f.Name], unique: f.Unique || f.Constraints.Unique,
			maxLength: max(f.MaxLength, f.Constraints.MaxLength), enum: append(f.Enum, f.Constraints.Enum...)}
		if f.Nullable != nil {
			d.nullable = *f.Nullable
		}
		s.fields = append(s.fields, d)
	}
	return s, nil
}

// keyList is one name or a list.
type keyList []string

func (k *keyList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*k = keyList{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf("a key is a field's name or a list of names")
	}
	*k = many
	return nil
}

// sheetOf takes an object's name apart: the file, and the sheet of a workbook.
func sheetOf(object record.Object) (file, sheet string) {
	file, sheet, _ = strings.Cut(string(object), "#")
	return file, sheet
}
