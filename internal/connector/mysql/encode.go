// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// encoded is a value on its way into a column.
type encoded struct {
	literal string       // as SQL
	kept    record.Value // what the column will hold, in canonical form
	sure    bool         // kept is exactly that; else the value is read back
}

// encode turns a canonical value into a literal and foresees what the column keeps of it: numbers are rounded half
// away from zero and times to the column's fraction here, because MySQL and MariaDB do it differently.
// An error is a sentence for a person that ends without a full stop.
func (c *column) encode(v record.Value) (encoded, error) {
	if v == nil {
		if !c.info.Nullable && !c.increments {
			return encoded{}, fmt.Errorf("it must have a value")
		}
		return encoded{"NULL", nil, true}, nil
	}
	switch c.kind {
	case kindInteger, kindYear, kindBoolean, kindBit:
		return c.encodeInteger(v)
	case kindDecimal:
		return c.encodeDecimal(v)
	case kindFloat, kindDouble:
		return c.encodeFloat(v)
	case kindText, kindChar:
		return c.encodeText(plain(v))
	case kindEnum:
		for _, fold := range []bool{false, true} {
			for _, l := range c.labels {
				if s := plain(v); l == s || fold && strings.EqualFold(l, s) {
					return encoded{text(l), l, true}, nil
				}
			}
		}
		return encoded{}, fmt.Errorf("it takes only %s, not %q", strings.Join(c.labels, ", "), plain(v))
	case kindSet:
		return c.encodeSet(v)
	case kindJSON:
		b := record.AppendJSON(nil, v)
		// MariaDB keeps the text as it is; MySQL keeps numbers in forms of its own.
		return encoded{string(appendText(nil, string(b))), v, c.native != "json"}, nil
	case kindDate, kindDateTime, kindTimestamp:
		return c.encodeMoment(v)
	case kindTime:
		return c.encodeTime(v)
	case kindBytes, kindFixedBytes:
		return c.encodeBytes(v)
	case kindUUID:
		id, err := uuid.Parse(plain(v))
		if err != nil {
			return encoded{}, fmt.Errorf("%q is not a UUID", plain(v))
		}
		return encoded{text(id.String()), id.String(), true}, nil
	case kindAddress:
		a, err := netip.ParseAddr(plain(v))
		if err != nil || c.native == "inet4" && !a.Is4() {
			return encoded{}, fmt.Errorf("%s is not an address", shorten(plain(v)))
		}
		return encoded{text(plain(v)), a.String(), false}, nil
	}
	return encoded{}, fmt.Errorf("columns of the type %s cannot be written", c.info.Native)
}

// plain is the value as text.
func plain(v record.Value) string {
	if s, ok := v.(string); ok {
		return s
	}
	return record.Text(v)
}

// numeric is the value as a number: numbers, truth as 1 and 0, and texts that are numbers.
func numeric(v record.Value) (record.Number, error) {
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
	return "", fmt.Errorf("%s is not a number", shorten(plain(v)))
}

// shorten keeps a value that is shown to a person on one line.
func shorten(s string) string {
	if len(s) > 60 {
		cut := 57
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strconv.Quote(s)
}

func (c *column) encodeInteger(v record.Value) (encoded, error) {
	asBoolean := c.kind == kindBoolean || c.kind == kindBit && c.length == 1
	if asBoolean {
		if s, ok := v.(string); ok {
			switch strings.ToLower(s) {
			case "true":
				v = true
			case "false":
				v = false
			}
		}
	}
	n, err := numeric(v)
	if err != nil {
		return encoded{}, err
	}
	if strings.IndexByte(string(n), '.') >= 0 {
		return encoded{}, fmt.Errorf("%s is not a whole number", n)
	}
	if asBoolean {
		if n != "0" && n != "1" {
			return encoded{}, fmt.Errorf("%s is neither true nor false", n)
		}
		return encoded{string(n), n == "1", true}, nil
	}
	low, high := c.bounds()
	if whole, ok := new(big.Int).SetString(string(n), 10); !ok || whole.Cmp(low) < 0 || whole.Cmp(high) > 0 {
		return encoded{}, fmt.Errorf("%s is out of range; it takes %s to %s", n, low, high)
	} else if c.kind == kindYear && whole.Sign() > 0 && whole.Int64() < 1901 { // 1 to 99 would become years of our time
		return encoded{}, fmt.Errorf("%s is out of range; it takes 1901 to 2155", n)
	}
	return encoded{string(n), n, true}, nil
}

// bounds are the least and the greatest whole number that the column takes.
func (c *column) bounds() (low, high *big.Int) {
	bits := map[string]uint{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}[c.native]
	switch {
	case c.kind == kindYear:
		return big.NewInt(0), big.NewInt(2155)
	case c.kind == kindBit:
		bits = uint(c.length)
		fallthrough
	case c.unsigned:
		high = new(big.Int).Lsh(big.NewInt(1), bits)
		return big.NewInt(0), high.Sub(high, big.NewInt(1))
	}
	high = new(big.Int).Lsh(big.NewInt(1), bits-1)
	return new(big.Int).Neg(high), new(big.Int).Sub(high, big.NewInt(1))
}

func (c *column) encodeDecimal(v record.Value) (encoded, error) {
	n, err := numeric(v)
	if err != nil {
		return encoded{}, err
	}
	n = round(n, c.scale)
	digits, _, _ := strings.Cut(strings.TrimPrefix(string(n), "-"), ".")
	if digits == "0" {
		digits = ""
	}
	if c.unsigned && n[0] == '-' {
		return encoded{}, fmt.Errorf("%s is out of range; it takes no negative numbers", n)
	}
	if len(digits) > c.precision-c.scale {
		return encoded{}, fmt.Errorf("%s is out of range; it takes %d digits before the point", n, c.precision-c.scale)
	}
	return encoded{string(n), n, true}, nil
}

// round cuts a number to so many digits after the point, half away from zero.
func round(n record.Number, scale int) record.Number {
	_, fraction, _ := strings.Cut(string(n), ".")
	if len(fraction) <= scale {
		return n
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return n
	}
	out, err := record.ParseNumber(r.FloatString(scale))
	if err != nil {
		return n
	}
	return out
}

func (c *column) encodeFloat(v record.Value) (encoded, error) {
	n, err := numeric(v)
	if err != nil {
		return encoded{}, err
	}
	bits := 64
	if c.kind == kindFloat {
		bits = 32
	}
	f, err := strconv.ParseFloat(string(n), bits)
	if err != nil {
		return encoded{}, fmt.Errorf("%s is out of range", shorten(string(n)))
	}
	if f < 0 && c.unsigned {
		return encoded{}, fmt.Errorf("%s is out of range; it takes no negative numbers", n)
	}
	if f == 0 {
		f = math.Abs(f)
	}
	kept, err := record.ParseNumber(strconv.FormatFloat(f, 'g', -1, bits))
	if err != nil {
		return encoded{}, fmt.Errorf("%s is out of range", shorten(string(n)))
	}
	// FLOAT(10,2) and the like round further.
	declared := strings.ToLower(c.info.Native)
	return encoded{strconv.FormatFloat(f, 'e', -1, 64), kept, !strings.Contains(declared, "(")}, nil
}

func (c *column) encodeText(s string) (encoded, error) {
	if !utf8.ValidString(s) {
		return encoded{}, fmt.Errorf("the text is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(s); c.length > 0 && n > c.length {
		return encoded{}, fmt.Errorf("the text has %d characters; it takes %d", n, c.length)
	}
	unicode := strings.HasPrefix(c.charset, "utf8")
	if c.length == 0 && unicode && c.octets > 0 && len(s) > c.octets {
		return encoded{}, fmt.Errorf("the text has %d bytes; it takes %d", len(s), c.octets)
	}
	kept := s
	if c.kind == kindChar {
		kept = strings.TrimRight(s, " ")
	}
	return encoded{text(s), kept, unicode}, nil
}

func (c *column) encodeSet(v record.Value) (encoded, error) {
	var asked []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			asked = append(asked, plain(e))
		}
	case string:
		if v != "" {
			asked = strings.Split(v, ",")
		}
	default:
		return encoded{}, fmt.Errorf("it takes a list of texts")
	}
	for _, a := range asked {
		if !slices.ContainsFunc(c.labels, func(l string) bool { return strings.EqualFold(l, a) }) {
			return encoded{}, fmt.Errorf("it takes only %s, not %q", strings.Join(c.labels, ", "), a)
		}
	}
	var kept []string
	values := []any{}
	for _, l := range c.labels {
		if slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(l, a) }) {
			kept, values = append(kept, l), append(values, l)
		}
	}
	return encoded{text(strings.Join(kept, ",")), values, true}, nil
}

// moments are the forms in which a day or a moment may be given.
var moments = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999Z07:00"}

func (c *column) encodeMoment(v record.Value) (encoded, error) {
	s, ok := v.(string)
	if !ok {
		return encoded{}, fmt.Errorf("%s is not a %s", shorten(plain(v)), c.info.Type)
	}
	t, err := parseMoment(s)
	if err != nil {
		return encoded{}, fmt.Errorf("%s is not a %s", shorten(s), c.info.Type)
	}
	t = t.UTC()
	if c.kind == kindDate {
		if t.Year() < 1 || t.Year() > 9999 {
			return encoded{}, fmt.Errorf("%s is out of range", shorten(s))
		}
		day := t.Format("2006-01-02")
		return encoded{text(day), day, true}, nil
	}
	t = t.Round(fraction(c.scale))
	if t.Year() < 1 || t.Year() > 9999 {
		return encoded{}, fmt.Errorf("%s is out of range", shorten(s))
	}
	kept := t.Format("2006-01-02T15:04:05.999999")
	if c.kind == kindTimestamp {
		kept += "Z"
	}
	return encoded{text(t.Format("2006-01-02 15:04:05.000000")), kept, true}, nil
}

func parseMoment(s string) (time.Time, error) {
	for _, layout := range moments {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", s)
}

// fraction is the unit of so many digits of a second.
func fraction(digits int) time.Duration {
	unit := time.Second
	for ; digits > 0; digits-- {
		unit /= 10
	}
	return unit
}

// encodeTime takes a time of day, or a span of up to 838 hours as MySQL's TIME holds them.
func (c *column) encodeTime(v record.Value) (encoded, error) {
	s := plain(v)
	bad := fmt.Errorf("%s is not a time of day", shorten(s))
	rest := strings.TrimPrefix(s, "-")
	parts := strings.Split(rest, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return encoded{}, bad
	}
	if len(parts) == 2 {
		parts = append(parts, "0")
	}
	hours, err1 := strconv.Atoi(parts[0])
	minutes, err2 := strconv.Atoi(parts[1])
	seconds, err3 := strconv.ParseFloat(parts[2], 64)
	if err1 != nil || err2 != nil || err3 != nil || hours < 0 || minutes < 0 || minutes > 59 || !(seconds >= 0 && seconds < 60) {
		return encoded{}, bad
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(math.Round(seconds*1e6))*time.Microsecond
	d = d.Round(fraction(c.scale))
	if d > 838*time.Hour+59*time.Minute+59*time.Second {
		return encoded{}, fmt.Errorf("%s is out of range", shorten(s))
	}
	kept := trimFraction(fmt.Sprintf("%02d:%02d:%02d.%06d", d/time.Hour, d/time.Minute%60, d/time.Second%60, d%time.Second/time.Microsecond))
	if rest != s && d != 0 {
		kept = "-" + kept
	}
	return encoded{text(kept), kept, true}, nil
}

func (c *column) encodeBytes(v record.Value) (encoded, error) {
	s, ok := v.(string)
	if !ok {
		return encoded{}, fmt.Errorf("it takes bytes, as base64")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return encoded{}, fmt.Errorf("%s is not base64", shorten(s))
	}
	if c.length > 0 && len(b) > c.length {
		return encoded{}, fmt.Errorf("there are %d bytes; it takes %d", len(b), c.length)
	}
	literal := string(appendBytes(nil, b))
	if c.kind == kindFixedBytes && len(b) < c.length {
		b = append(b, make([]byte, c.length-len(b))...)
	}
	return encoded{literal, record.Bytes(b), true}, nil
}

// keyLiteral turns the text of a key part into a literal to look rows up by, and the canonical value.
func (c *column) keyLiteral(part string) (string, record.Value, error) {
	e, err := c.encode(c.fromText(part))
	if err != nil {
		return "", nil, fmt.Errorf("key column %s: %w", c.name, err)
	}
	return c.lookup(e.literal), e.kept, nil
}

// foreign says whether the column's texts are in another character set than our literals.
func (c *column) foreign() bool {
	return (c.kind == kindText || c.kind == kindChar || c.kind == kindEnum) && c.charset != "utf8mb4"
}

// lookup is the literal as it is compared with the column. Where character sets differ the servers err: MariaDB finds no
// rows by lists of composite keys, and both refuse lists with a text that the column cannot hold. So the literal is
// converted; what cannot be becomes question marks, see fits.
func (c *column) lookup(literal string) string {
	if c.foreign() {
		return "CONVERT(" + literal + " USING " + c.charset + ") COLLATE " + c.collation
	}
	return literal
}

// fits is the condition that a literal survives lookup; "" when it does in any case.
func (c *column) fits(literal string) string {
	if c.foreign() {
		return "CONVERT(CONVERT(" + literal + " USING " + c.charset + ") USING utf8mb4) = " + literal
	}
	return ""
}

// orderLiteral is keyLiteral for comparisons with column.ordered.
func (c *column) orderLiteral(part string) (string, error) {
	if c.kind == kindEnum {
		return strconv.Itoa(slices.Index(c.labels, part) + 1), nil
	}
	literal, _, err := c.keyLiteral(part)
	return literal, err
}

// fromText undoes record.Text by the column's type.
func (c *column) fromText(s string) record.Value {
	switch c.info.Type {
	case connector.TypeBoolean:
		return s == "true" || s == "1"
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
		if n, err := record.ParseNumber(s); err == nil {
			return n
		}
	}
	return s
}
