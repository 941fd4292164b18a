// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var (
	momentLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 MST"}
	plainLayouts  = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}
	timeLayouts   = []string{"15:04:05", "15:04"}
)

// The canonical forms of what has no zone.
const (
	dateTimeForm = "2006-01-02T15:04:05.999999"
	dateForm     = "2006-01-02"
	timeForm     = "15:04:05.999999"
)

func parseAny(layouts []string, s string) (time.Time, error) {
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s cannot be read as a date or time", shorten(s))
}

// fromText reads a text into a value of the type. The error is a sentence without full stop.
func fromText(typ connector.Type, s string) (record.Value, error) {
	switch typ {
	case connector.TypeText:
		return s, nil
	case connector.TypeInteger:
		n, err := record.ParseNumber(strings.TrimSpace(s))
		if err != nil || strings.IndexByte(string(n), '.') >= 0 {
			return nil, fmt.Errorf("%s is not a whole number", shorten(s))
		}
		return n, nil
	case connector.TypeNumber, connector.TypeFloat:
		n, err := record.ParseNumber(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("%s is not a number", shorten(s))
		}
		return n, nil
	case connector.TypeBoolean:
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "t", "yes", "y", "1":
			return true, nil
		case "false", "f", "no", "n", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%s is neither true nor false", shorten(s))
	case connector.TypeTimestamp:
		t, err := parseAny(momentLayouts, strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("%s is not a point in time with its zone, such as 2026-01-31T12:00:00Z", shorten(s))
		}
		return record.Time(t), nil
	case connector.TypeDateTime:
		t, err := parseAny(plainLayouts, strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		return t.Round(time.Microsecond).Format(dateTimeForm), nil
	case connector.TypeDate:
		t, err := parseAny(plainLayouts, strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		return t.Format(dateForm), nil
	case connector.TypeTime:
		t, err := parseAny(timeLayouts, strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		return t.Round(time.Microsecond).Format(timeForm), nil
	case connector.TypeBytes:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return nil, fmt.Errorf("%s is not base64", shorten(s))
		}
		return s, nil
	case connector.TypeUUID:
		id, err := uuid.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("%s is not a UUID", shorten(s))
		}
		return id.String(), nil
	case connector.TypeJSON, connector.TypeArray:
		v, err := record.ParseJSON([]byte(s))
		if err != nil {
			return nil, fmt.Errorf("%s is not JSON", shorten(s))
		}
		if _, list := v.([]any); !list && typ == connector.TypeArray {
			return nil, fmt.Errorf("%s is not a list", shorten(s))
		}
		return v, nil
	}
	return nil, fmt.Errorf("the type %s is not known", typ)
}

// toText is the form of a value in formats that hold nothing but text; fromText gives it back.
func toText(typ connector.Type, v record.Value) string {
	if typ == connector.TypeJSON || typ == connector.TypeArray {
		return string(record.AppendJSON(nil, v))
	}
	return record.Text(v)
}

// fromValue brings a value that a format with types of its own holds to the column's type.
func fromValue(typ connector.Type, v record.Value) (record.Value, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		if typ == connector.TypeJSON {
			return x, nil
		}
		return fromText(typ, x)
	case record.Number:
		switch typ {
		case connector.TypeInteger:
			if strings.IndexByte(string(x), '.') >= 0 {
				return nil, fmt.Errorf("%s is not a whole number", x)
			}
			return x, nil
		case connector.TypeNumber, connector.TypeFloat, connector.TypeJSON:
			return x, nil
		case connector.TypeText:
			return string(x), nil
		case connector.TypeBoolean:
			return fromText(typ, string(x))
		}
	case bool:
		switch typ {
		case connector.TypeBoolean, connector.TypeJSON:
			return x, nil
		case connector.TypeText:
			return strconv.FormatBool(x), nil
		case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
			if x {
				return record.Number("1"), nil
			}
			return record.Number("0"), nil
		}
	case []any:
		switch typ {
		case connector.TypeArray, connector.TypeJSON:
			return x, nil
		case connector.TypeText:
			return record.Text(x), nil
		}
	case map[string]any:
		switch typ {
		case connector.TypeJSON:
			return x, nil
		case connector.TypeText:
			return record.Text(x), nil
		}
	}
	return nil, fmt.Errorf("%s does not fit the type %s", shorten(record.Text(v)), typ)
}

// column is a field of a table, with what its schema demands beyond the type.
type column struct {
	connector.FieldInfo
	unique bool
	// fits, when set, says what the file keeps of a value of the right type, or why it cannot hold it.
	fits func(record.Value) (record.Value, error)
}

// accept says what the file will hold of the value. The error is a sentence without full stop, about the field.
func (c *column) accept(v record.Value) (record.Value, error) {
	if c.ReadOnly {
		return nil, fmt.Errorf("cannot be written: it is %s", c.Native)
	}
	kept, err := fromValue(c.Type, v)
	if err != nil {
		return nil, fmt.Errorf("does not take this value: %w", err)
	}
	if kept != nil && c.fits != nil {
		if kept, err = c.fits(kept); err != nil {
			return nil, err
		}
	}
	s, isText := kept.(string)
	switch {
	case kept == nil && !c.Nullable:
		return nil, fmt.Errorf("must have a value")
	case isText && c.MaxLength > 0 && utf8.RuneCountInString(s) > c.MaxLength:
		return nil, fmt.Errorf("takes at most %d characters", c.MaxLength)
	case isText && len(c.Enum) > 0 && !slices.Contains(c.Enum, s):
		return nil, fmt.Errorf("takes only %s", strings.Join(c.Enum, ", "))
	}
	return kept, nil
}

// infer says what type a column has whose values are these, nulls left out.
func infer(values []record.Value) connector.Type {
	var typ connector.Type
	for _, v := range values {
		var t connector.Type
		switch x := v.(type) {
		case nil:
			continue
		case bool:
			t = connector.TypeBoolean
		case record.Number:
			t = connector.TypeInteger
			if strings.IndexByte(string(x), '.') >= 0 {
				t = connector.TypeNumber
			}
		case string:
			t = connector.TypeText
		case []any:
			t = connector.TypeArray
		default:
			return connector.TypeJSON
		}
		numbers := (typ == connector.TypeInteger || typ == connector.TypeNumber) && (t == connector.TypeInteger || t == connector.TypeNumber)
		switch {
		case typ == "" || typ == t:
			typ = t
		case numbers:
			typ = connector.TypeNumber
		default:
			return connector.TypeJSON
		}
	}
	if typ == "" {
		return connector.TypeText
	}
	return typ
}

// shorten keeps a value that is shown to a person on one line.
func shorten(s string) string {
	const most = 60
	if len(s) > most {
		cut := most - 3
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strconv.Quote(s)
}
