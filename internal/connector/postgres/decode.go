// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/record"
)

// decoder turns the text form of values into canonical ones.
type decoder func(text string) record.Value

// decoderFor is chosen by the type under domains. Our session settings fix the text forms.
func decoderFor(oid, elem uint32, array bool) decoder {
	if array {
		of := decoderFor(elem, 0, false)
		delimiter := byte(',')
		if elem == pgtype.BoxOID {
			delimiter = ';'
		}
		return func(s string) record.Value { return decodeArray(s, delimiter, of) }
	}
	switch oid {
	case pgtype.BoolOID:
		return func(s string) record.Value { return s == "t" }
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID:
		return decodeNumber
	case pgtype.TimestamptzOID:
		return decodeTimestamptz
	case pgtype.TimestampOID:
		return decodeTimestamp
	case pgtype.ByteaOID:
		return decodeBytea
	case pgtype.JSONOID, pgtype.JSONBOID:
		return decodeJSON
	case pgtype.BPCharOID:
		return func(s string) record.Value { return strings.TrimRight(s, " ") } // the padding is no part of the value
	}
	return decodeText
}

func decodeText(s string) record.Value {
	if !utf8.ValidString(s) { // possible in databases with the encoding SQL_ASCII only
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

// decodeNumber keeps NaN and the infinities as texts: no exact number, yet not lost.
func decodeNumber(s string) record.Value {
	n, err := record.ParseNumber(s)
	if err != nil {
		return s
	}
	return n
}

// decodeTimestamptz turns "2026-11-23 12:34:56.5+00" into RFC 3339. What RFC 3339 cannot say (infinity, years before
// Christ or after 9999) stays as PostgreSQL writes it.
func decodeTimestamptz(s string) record.Value {
	if len(s) < len("2026-11-23 12:34:56+00") || s[4] != '-' || s[10] != ' ' || !strings.HasSuffix(s, "+00") {
		return s
	}
	return s[:10] + "T" + s[11:len(s)-3] + "Z"
}

func decodeTimestamp(s string) record.Value {
	if len(s) < len("2026-11-23 12:34:56") || s[4] != '-' || s[10] != ' ' || s[len(s)-1] == 'C' {
		return s
	}
	return s[:10] + "T" + s[11:]
}

func decodeBytea(s string) record.Value {
	b, err := hex.DecodeString(strings.TrimPrefix(s, `\x`))
	if err != nil {
		return s
	}
	return record.Bytes(b)
}

func decodeJSON(s string) record.Value {
	v, err := record.ParseJSON([]byte(s))
	if err != nil { // numbers beyond all bounds
		return s
	}
	return v
}

// decodeArray reads '{1,"a b",NULL,{...}}', with or without bounds before it.
func decodeArray(s string, delimiter byte, of decoder) record.Value {
	if strings.HasPrefix(s, "[") {
		if i := strings.Index(s, "={"); i >= 0 {
			s = s[i+1:]
		}
	}
	p := arrayParser{s: s, delimiter: delimiter, of: of}
	v, ok := p.list()
	if !ok || p.i != len(s) {
		return s
	}
	return v
}

type arrayParser struct {
	s         string
	i         int
	delimiter byte
	of        decoder
}

func (p *arrayParser) list() ([]any, bool) {
	if p.i >= len(p.s) || p.s[p.i] != '{' {
		return nil, false
	}
	p.i++
	list := []any{}
	if p.i < len(p.s) && p.s[p.i] == '}' {
		p.i++
		return list, true
	}
	for {
		v, ok := p.element()
		if !ok || p.i >= len(p.s) {
			return nil, false
		}
		list = append(list, v)
		p.i++
		switch p.s[p.i-1] {
		case p.delimiter:
		case '}':
			return list, true
		default:
			return nil, false
		}
	}
}

func (p *arrayParser) element() (record.Value, bool) {
	if p.i >= len(p.s) {
		return nil, false
	}
	switch p.s[p.i] {
	case '{':
		return p.list()
	case '"':
		p.i++
		var b strings.Builder
		for ; p.i < len(p.s); p.i++ {
			switch c := p.s[p.i]; c {
			case '\\':
				p.i++
				if p.i < len(p.s) {
					b.WriteByte(p.s[p.i])
				}
			case '"':
				p.i++
				return p.of(b.String()), true
			default:
				b.WriteByte(c)
			}
		}
		return nil, false
	}
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != p.delimiter && p.s[p.i] != '}' {
		p.i++
	}
	if word := p.s[start:p.i]; word != "NULL" {
		return p.of(word), true
	}
	return nil, true
}

// rowReader turns rows of these columns into fields and keys.
type rowReader struct {
	t        *table
	columns  []int // positions in t.columns
	decoders []decoder
	keyAt    []int // where the key's columns are in columns
	buffer   []byte
}

func (t *table) reader(columns []int) *rowReader {
	r := &rowReader{t: t, columns: columns, decoders: make([]decoder, len(columns))}
	for i, c := range columns {
		r.decoders[i] = t.columns[c].decoder()
	}
	for _, k := range t.key {
		for i, c := range columns {
			if c == k {
				r.keyAt = append(r.keyAt, i)
			}
		}
	}
	return r
}

func (c *column) decoder() decoder { return decoderFor(c.oid, c.elem, c.typ == "array") }

// list is the columns for a SELECT, each with the table's alias.
func (r *rowReader) list(alias string) string {
	var b strings.Builder
	for i, c := range r.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(alias)
		b.WriteByte('.')
		b.WriteString(quote(r.t.columns[c].name))
	}
	return b.String()
}

// fields decodes the values of a row. All texts share one allocation.
func (r *rowReader) fields(values [][]byte) record.Fields {
	r.buffer = r.buffer[:0]
	for _, v := range values {
		r.buffer = append(r.buffer, v...)
	}
	all := string(r.buffer)
	f := make(record.Fields, len(values))
	at := 0
	for i, v := range values {
		name := r.t.columns[r.columns[i]].name
		if v == nil {
			f[name] = nil
			continue
		}
		f[name] = r.decoders[i](all[at : at+len(v)])
		at += len(v)
	}
	return f
}

// key is the record's key in a row of its fields.
func (r *rowReader) key(f record.Fields) record.Key {
	if len(r.t.key) == 1 {
		return record.Key(record.Text(f[r.t.columns[r.t.key[0]].name]))
	}
	parts := make([]record.Value, len(r.t.key))
	for i, k := range r.t.key {
		parts[i] = f[r.t.columns[k].name]
	}
	return record.MakeKey(parts...)
}
