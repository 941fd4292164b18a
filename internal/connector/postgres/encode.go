// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// encode gives a canonical value the text that column.cast reads. Null is ok false. What surely cannot be stored is an
// error; what only the server can judge passes.
func (c *column) encode(v record.Value) (s string, ok bool, err error) {
	if v == nil {
		return "", false, nil
	}
	switch c.typ {
	case connector.TypeJSON:
		return string(record.AppendJSON(nil, v)), true, nil
	case connector.TypeArray:
		list, isList := v.([]any)
		if !isList {
			if s, isText := v.(string); isText && strings.HasPrefix(s, "{") { // PostgreSQL's own notation
				return s, true, nil
			}
			return "", false, fmt.Errorf("%s is a list (%s); %s is none", c.name, c.native, short(v))
		}
		return string(appendArray(nil, list, c.elem)), true, nil
	case connector.TypeInteger:
		if n, isNumber := v.(record.Number); !isNumber || strings.Contains(string(n), ".") || !fits(string(n), c.oid) {
			return "", false, fmt.Errorf("%s takes whole numbers (%s); %s is none that fits", c.name, c.native, short(v))
		}
	case connector.TypeNumber, connector.TypeFloat:
		if _, isNumber := v.(record.Number); !isNumber && !notFinite(v) {
			return "", false, fmt.Errorf("%s takes numbers (%s); %s is none", c.name, c.native, short(v))
		}
	case connector.TypeBoolean:
		if _, isBool := v.(bool); !isBool {
			return "", false, fmt.Errorf("%s takes true or false; %s is neither", c.name, short(v))
		}
	case connector.TypeBytes:
		s, isText := v.(string)
		if isText {
			_, err := base64.StdEncoding.DecodeString(s)
			isText = err == nil
		}
		if !isText {
			return "", false, fmt.Errorf("%s takes bytes in base64; %s is none", c.name, short(v))
		}
	case connector.TypeUUID:
		if s, isText := v.(string); !isText || !uuidForm.MatchString(s) {
			return "", false, fmt.Errorf("%s takes uuids; %s is none", c.name, short(v))
		}
	}
	s = record.Text(v)
	if strings.IndexByte(s, 0) >= 0 {
		return "", false, fmt.Errorf("%s has a zero byte in its text, which PostgreSQL cannot store", c.name)
	}
	return s, true, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

func notFinite(v record.Value) bool {
	s, _ := v.(string)
	return s == "NaN" || s == "Infinity" || s == "-Infinity"
}

func fits(n string, oid uint32) bool {
	bits := 64
	switch oid {
	case pgtype.Int2OID:
		bits = 16
	case pgtype.Int4OID:
		bits = 32
	case pgtype.OIDOID:
		_, err := strconv.ParseUint(n, 10, 32)
		return err == nil
	}
	_, err := strconv.ParseInt(n, 10, bits)
	return err == nil
}

func short(v record.Value) string {
	s := strconv.Quote(record.Text(v))
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:56], "") + `..."`
	}
	return s
}

// appendArray writes a list in PostgreSQL's notation, lists in it as further dimensions.
func appendArray(b []byte, list []any, elem uint32) []byte {
	b = append(b, '{')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, "NULL"...)
		case []any:
			if elem != pgtype.JSONOID && elem != pgtype.JSONBOID {
				b = appendArray(b, v, elem)
				continue
			}
			b = appendQuoted(b, string(record.AppendJSON(nil, v)))
		case string:
			switch elem {
			case pgtype.JSONOID, pgtype.JSONBOID:
				v = string(record.AppendJSON(nil, v))
			case pgtype.ByteaOID:
				if raw, err := base64.StdEncoding.DecodeString(v); err == nil {
					v = fmt.Sprintf(`\x%x`, raw)
				}
			}
			b = appendQuoted(b, v)
		default:
			b = appendQuoted(b, record.Text(v))
		}
	}
	return append(b, '}')
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
