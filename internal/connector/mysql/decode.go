// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/record"
)

// decode turns a value of the text protocol into canonical form.
func (c *column) decode(v driver.Value) (record.Value, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if c.kind == kindBoolean {
			return v != 0, nil
		}
		return record.Int(v), nil
	case uint64:
		return record.Number(strconv.FormatUint(v, 10)), nil
	case float64:
		if c.kind == kindFloat {
			return record.Canonical(float32(v))
		}
		return record.Canonical(v)
	case float32:
		return record.Canonical(v)
	case []byte:
		return c.decodeText(v)
	}
	return nil, fmt.Errorf("column %s: the driver returned a %T", c.name, v)
}

func (c *column) decodeText(b []byte) (record.Value, error) {
	switch c.kind {
	case kindText, kindChar, kindEnum, kindAddress:
		return validText(b), nil
	case kindDecimal, kindInteger, kindYear:
		return record.ParseNumber(string(b))
	case kindDouble, kindFloat:
		return record.ParseNumber(string(b))
	case kindBoolean:
		return string(b) != "0", nil
	case kindDate:
		if isZeroDate(b) {
			return nil, nil
		}
		return string(b), nil
	case kindDateTime:
		if isZeroDate(b) {
			return nil, nil
		}
		return canonicalMoment(b, false), nil
	case kindTimestamp:
		if isZeroDate(b) {
			return nil, nil
		}
		return canonicalMoment(b, true), nil
	case kindTime:
		return trimFraction(string(b)), nil
	case kindJSON:
		if v, err := record.ParseJSON(b); err == nil {
			return v, nil
		}
		return validText(b), nil // only where the check was switched off when the row was written
	case kindBit:
		return c.decodeBits(b), nil
	case kindUUID:
		return strings.ToLower(string(b)), nil
	case kindSet:
		if len(b) == 0 {
			return []any{}, nil
		}
		parts := strings.Split(string(b), ",")
		out := make([]any, len(parts))
		for i, p := range parts {
			out[i] = p
		}
		return out, nil
	}
	return record.Bytes(b), nil
}

func (c *column) decodeBits(b []byte) record.Value {
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	if c.length == 1 {
		return n != 0
	}
	return record.Number(strconv.FormatUint(n, 10))
}

func validText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// isZeroDate says whether a date has no day or no month, as old sql_modes allow; it is read as null.
func isZeroDate(b []byte) bool {
	return len(b) < 10 || b[5] == '0' && b[6] == '0' || b[8] == '0' && b[9] == '0'
}

// canonicalMoment turns "2006-01-02 15:04:05.100000" into the canonical form, in UTC or without a zone.
func canonicalMoment(b []byte, utc bool) string {
	var space [32]byte
	out := append(space[:0], b...)
	if len(out) > 10 {
		out[10] = 'T'
	}
	if len(out) > 19 {
		for out[len(out)-1] == '0' {
			out = out[:len(out)-1]
		}
		if out[len(out)-1] == '.' {
			out = out[:len(out)-1]
		}
	}
	if utc {
		out = append(out, 'Z')
	}
	return string(out)
}

func trimFraction(s string) string {
	if strings.IndexByte(s, '.') < 0 {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
