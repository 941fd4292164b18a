// SPDX-License-Identifier: Apache-2.0

package mapping

import (
	"fmt"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Convert brings a canonical value to the canonical form of another type. It fails rather than lose anything but the form:
// "abc" is no number, 2.5 is no integer. Rounding to a column's scale or length is the system's matter. Times without a zone are
// taken as UTC.
func Convert(v record.Value, to connector.Type) (record.Value, error) { return convert(v, to, zones{}) }

func convert(v record.Value, to connector.Type, z zones) (record.Value, error) {
	if v == nil {
		return nil, nil
	}
	switch to {
	case connector.TypeText:
		return text(v), nil
	case connector.TypeInteger:
		n, err := number(v)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(n), ".") {
			return nil, fmt.Errorf("%s is not a whole number", n)
		}
		return n, nil
	case connector.TypeNumber, connector.TypeFloat:
		return number(v)
	case connector.TypeBoolean:
		return boolean(v)
	case connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate:
		return moment(v, to, z)
	case connector.TypeTime:
		s, ok := v.(string)
		if !ok {
			return nil, wrong(v, "a time of day")
		}
		for _, layout := range []string{"15:04:05.999999", "15:04"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.Format("15:04:05.999999"), nil
			}
		}
		return moment(v, to, z)
	case connector.TypeUUID:
		s, ok := v.(string)
		if !ok {
			return nil, wrong(v, "a uuid")
		}
		return strings.ToLower(s), nil
	case connector.TypeArray:
		switch l := v.(type) {
		case []any:
			return l, nil
		case string:
			if p, err := record.ParseJSON([]byte(l)); err == nil {
				if l, ok := p.([]any); ok {
					return l, nil
				}
			}
		}
		return nil, wrong(v, "a list")
	case connector.TypeJSON:
		// Text of an object or list is one, in a system that has no better column for it.
		if s, ok := v.(string); ok && (strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[")) {
			if p, err := record.ParseJSON([]byte(s)); err == nil {
				return p, nil
			}
		}
		return v, nil
	case connector.TypeBytes:
		if s, ok := v.(string); ok {
			return s, nil
		}
		return nil, wrong(v, "bytes")
	}
	return v, nil
}

func wrong(v record.Value, what string) error {
	return fmt.Errorf("%s is not %s", shorten(record.Text(v)), what)
}

func shorten(s string) string {
	if len(s) > 60 {
		s = s[:57] + "..."
	}
	return fmt.Sprintf("%q", s)
}

func text(v record.Value) string { return record.Text(v) }

func number(v record.Value) (record.Number, error) {
	switch v := v.(type) {
	case record.Number:
		return v, nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case string:
		if n, err := record.ParseNumber(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return "", wrong(v, "a number")
}

func boolean(v record.Value) (record.Value, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case record.Number:
		switch v {
		case "0":
			return false, nil
		case "1":
			return true, nil
		}
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "t", "yes", "y", "on", "1":
			return true, nil
		case "false", "f", "no", "n", "off", "0":
			return false, nil
		}
	}
	return nil, wrong(v, "true or false")
}
