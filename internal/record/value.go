// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Value is a field's content in canonical form, the only form in which values of different systems are compared:
//
//	nil                null
//	bool
//	Number             any number, exact, as its shortest decimal text ("1.50" and "1.5" are one value)
//	string             text; also time (RFC 3339, UTC, trailing zeros of the fraction cut), date (2006-01-02),
//	                   time of day (15:04:05.999999), bytes (base64)
//	[]any              list of values
//	map[string]any     object of values
//
// Connectors turn their system's types into this form when reading, and back by the field's Type when writing.
type Value = any

// Number is an exact decimal in its shortest plain notation: no exponent, no leading plus, no trailing zeros of a
// fraction, "-0" is "0". Make one with ParseNumber or Int.
type Number string

// Int is the Number of i.
func Int(i int64) Number { return Number(strconv.FormatInt(i, 10)) }

// maxExponent bounds what ParseNumber expands, so that "1e999999999" cannot fill the memory.
const maxExponent = 1000

// ParseNumber reads decimal text, with or without fraction and exponent, into the shortest plain notation. It fails on
// anything else, "NaN" and "Infinity" included.
func ParseNumber(s string) (Number, error) {
	if n, ok := plainInt(s); ok {
		return n, nil
	}
	return parseNumber(s)
}

// plainInt is the short way for the most frequent case: digits that are already canonical.
func plainInt(s string) (Number, bool) {
	digits := s
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
		if digits == "0" {
			return "", false
		}
	}
	if digits == "" || (digits[0] == '0' && len(digits) > 1) {
		return "", false
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return "", false
		}
	}
	return Number(s), true
}

func parseNumber(s string) (Number, error) {
	bad := func() (Number, error) { return "", fmt.Errorf("%q is not a decimal number", s) }
	rest := s
	neg := false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg = rest[0] == '-'
		rest = rest[1:]
	}
	exp := 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.Atoi(rest[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return bad()
		}
		exp, rest = e, rest[:i]
	}
	whole, frac, _ := strings.Cut(rest, ".")
	if whole == "" && frac == "" {
		return bad()
	}
	for _, part := range []string{whole, frac} {
		for i := 0; i < len(part); i++ {
			if part[i] < '0' || part[i] > '9' {
				return bad()
			}
		}
	}
	digits := whole + frac
	point := len(whole) + exp
	if point < 0 {
		digits = strings.Repeat("0", -point) + digits
		point = 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole = strings.TrimLeft(digits[:point], "0")
	frac = strings.TrimRight(digits[point:], "0")
	if whole == "" {
		whole = "0"
	}
	out := whole
	if frac != "" {
		out += "." + frac
	}
	if neg && out != "0" {
		out = "-" + out
	}
	return Number(out), nil
}

// MarshalJSON writes the number as a JSON number, digit for digit.
func (n Number) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("0"), nil
	}
	return []byte(n), nil
}

// UnmarshalJSON reads a JSON number, exactly.
func (n *Number) UnmarshalJSON(b []byte) (err error) {
	*n, err = ParseNumber(string(b))
	return err
}

// Time is the canonical form of a point in time, to the microsecond.
func Time(t time.Time) string {
	return t.UTC().Round(time.Microsecond).Format("2006-01-02T15:04:05.999999Z07:00")
}

// Bytes is the canonical form of binary content.
func Bytes(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// Canonical brings a Go value into canonical form. It fails on what has none: NaN, infinity, text that is not UTF-8,
// and types that are not data.
func Canonical(v any) (Value, error) {
	switch v := v.(type) {
	case nil, bool, Number:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("text is not valid UTF-8")
		}
		return v, nil
	case json.Number:
		return ParseNumber(string(v))
	case int:
		return Int(int64(v)), nil
	case int8:
		return Int(int64(v)), nil
	case int16:
		return Int(int64(v)), nil
	case int32:
		return Int(int64(v)), nil
	case int64:
		return Int(v), nil
	case uint8:
		return Int(int64(v)), nil
	case uint16:
		return Int(int64(v)), nil
	case uint32:
		return Int(int64(v)), nil
	case uint64:
		return Number(strconv.FormatUint(v, 10)), nil
	case float32:
		return canonicalFloat(float64(v), 32)
	case float64:
		return canonicalFloat(v, 64)
	case time.Time:
		return Time(v), nil
	case []byte:
		return Bytes(v), nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			c, err := Canonical(v[i])
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			c, err := Canonical(v[k])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = c
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %T has no canonical form", v)
}

func canonicalFloat(f float64, bits int) (Value, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v is not a number that systems can exchange", f)
	}
	return ParseNumber(strconv.FormatFloat(f, 'g', -1, bits))
}

// Equal says whether two canonical values are the same.
func Equal(a, b Value) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case Number:
		b, ok := b.(Number)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, av := range a {
			bv, there := b[k]
			if !there || !Equal(av, bv) {
				return false
			}
		}
		return true
	}
	return false
}

// Text shows a value to a person on one line.
func Text(v Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return string(AppendJSON(nil, v))
}

// AppendJSON appends the value as JSON with sorted keys: equal values give equal bytes.
func AppendJSON(dst []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case Number:
		if v == "" {
			return append(dst, '0')
		}
		return append(dst, v...)
	case string:
		return appendString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	}
	panic(fmt.Sprintf("record: %T is not a canonical value", v))
}

func appendObject(dst []byte, m map[string]any) []byte {
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, k)
		dst = append(dst, ':')
		dst = AppendJSON(dst, m[k])
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString quotes s; the zero byte is written as the replacement character, because PostgreSQL's jsonb holds none.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case 0:
			dst = append(dst, "\\ufffd"...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// ParseJSON reads JSON into canonical form: one value, with nothing behind it.
func ParseJSON(b []byte) (Value, error) {
	if m, ok := parseFlat(b); ok {
		return m, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something stands behind the JSON value")
	}
	return Canonical(v)
}
