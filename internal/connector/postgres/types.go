// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/connector"
)

// column is one column of a table.
type column struct {
	name       string
	native     string // as declared: "numeric(12,2)"
	base       string // the type under domains, without length: what values are cast to when they are written
	full       string // the same with its length and scale, where casting to it rounds as storing does
	oid        uint32 // of the type under domains
	elem       uint32 // of the elements of an array
	typ        connector.Type
	nullable   bool
	always     string // "identity" or "generated" where the server does not take a value as a matter of course
	def        string // the default's expression
	identity   bool
	maxLength  int
	scale      int
	enum       []string
	collatable bool
	equality   bool // the type has an equals operator
}

// canonical types by oid; everything else is text, in PostgreSQL's own notation.
var canonical = map[uint32]connector.Type{
	pgtype.BoolOID: connector.TypeBoolean,
	pgtype.Int2OID: connector.TypeInteger, pgtype.Int4OID: connector.TypeInteger, pgtype.Int8OID: connector.TypeInteger, pgtype.OIDOID: connector.TypeInteger,
	pgtype.NumericOID: connector.TypeNumber,
	pgtype.Float4OID:  connector.TypeFloat, pgtype.Float8OID: connector.TypeFloat,
	pgtype.TimestamptzOID: connector.TypeTimestamp, pgtype.TimestampOID: connector.TypeDateTime, pgtype.DateOID: connector.TypeDate, pgtype.TimeOID: connector.TypeTime,
	pgtype.ByteaOID: connector.TypeBytes,
	pgtype.JSONOID:  connector.TypeJSON, pgtype.JSONBOID: connector.TypeJSON,
	pgtype.UUIDOID: connector.TypeUUID,
}

// readColumn takes a row of findColumns.
func readColumn(v [][]byte) column {
	mod, _ := strconv.Atoi(string(v[2]))
	oid, _ := strconv.ParseUint(string(v[5]), 10, 32)
	elem, _ := strconv.ParseUint(string(v[8]), 10, 32)
	c := column{
		name: string(v[0]), native: string(v[1]), base: string(v[3]), full: string(v[4]), oid: uint32(oid), elem: uint32(elem),
		nullable: string(v[10]) != "t", def: string(v[13]), identity: len(v[11]) > 0 && v[11][0] != 0,
		collatable: string(v[14]) == "t", equality: string(v[15]) == "t",
	}
	if string(v[11]) == "a" {
		c.always = "identity"
	}
	if len(v[12]) > 0 && v[12][0] != 0 {
		c.always = "generated"
	}
	if v[16] != nil {
		c.enum = strings.Split(string(v[16]), "\n")
	}
	var known bool
	if c.typ, known = canonical[c.oid]; !known {
		c.typ = connector.TypeText
		if string(v[7]) == "A" && c.elem != 0 {
			c.typ = connector.TypeArray
		}
	}
	switch c.oid {
	case pgtype.VarcharOID, pgtype.BPCharOID:
		if mod > 4 {
			c.maxLength = mod - 4
		}
		c.full = c.base // a cast to a length would cut off instead of refusing
	case pgtype.BitOID, pgtype.VarbitOID:
		c.full = c.base
	case pgtype.NumericOID:
		c.scale = -1
		if mod >= 4 {
			c.scale = int(int16(uint16((mod-4)&0x7ff)<<5)) >> 5
		}
	case pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.TimeOID:
		c.scale = 6
		if mod >= 0 {
			c.scale = mod
		}
	}
	if c.typ == connector.TypeArray {
		c.full = c.base
	}
	return c
}

func (c *column) info() connector.FieldInfo {
	return connector.FieldInfo{
		Name: c.name, Type: c.typ, Native: c.native, Nullable: c.nullable,
		ReadOnly:  c.always == "generated",
		Generated: c.def != "" || c.identity,
		MaxLength: c.maxLength, Scale: c.scale, Enum: c.enum,
	}
}

// cast makes a SQL expression of a text (in canonical form, see encode) the column's type, as storing it would.
func (c *column) cast(expr string) string {
	if c.typ == connector.TypeBytes {
		return "decode(" + expr + ", 'base64')"
	}
	return expr + "::" + c.base
}

// castFull is cast with the column's rounding.
func (c *column) castFull(expr string) string {
	if c.typ == connector.TypeBytes {
		return c.cast(expr)
	}
	return expr + "::" + c.full
}

// comparable makes an expression of the column's type one that can be compared for sameness: text byte by byte, types
// without an equals operator by their text.
func (c *column) comparable(expr string) string {
	switch {
	case c.typ == connector.TypeJSON: // JSON's own null reads as null
		return "nullif(" + expr + "::jsonb, 'null')"
	case !c.equality, c.collatable && !isText(c.oid): // citext and its like
		return "(" + expr + "::text COLLATE \"C\")"
	case c.collatable:
		return "(" + expr + " COLLATE \"C\")"
	}
	return c.under(expr)
}

// under makes an expression of a domain over an enumeration or a range one of that type: only types have those operators. An index on the
// column serves it all the same.
func (c *column) under(expr string) string {
	if c.typ == connector.TypeText && !c.collatable && c.native != c.base && c.native != c.full {
		return expr + "::" + c.base
	}
	return expr
}

func isText(oid uint32) bool {
	return oid == pgtype.TextOID || oid == pgtype.VarcharOID || oid == pgtype.BPCharOID || oid == pgtype.NameOID
}

// looksDifferent says in SQL whether the stored value reads differently from the text that was asked for: a type that
// has several notations for one value may change it.
func (c *column) looksDifferent(stored, asked string) string {
	if c.typ == connector.TypeText && !isText(c.oid) {
		return stored + "::text IS DISTINCT FROM " + asked + " COLLATE \"C\""
	}
	return c.comparable(stored) + " IS DISTINCT FROM " + c.comparable(c.cast(asked))
}
