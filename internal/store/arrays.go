// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/syncline-dev/syncline/internal/record"
)

// array is a list as a statement's parameter, kept in the binary form of the wire from the beginning. A page has a dozen lists of
// some thousand elements each: pgx would box every element, look its type up and encode it, which costs more than all else that a page
// needs of this process.
//
// The form: the number of dimensions, whether there are nulls, the type of the elements, then length and lower bound of the dimension; then the
// elements, each behind its length. Numbers are big-endian, 32 bits.
type array struct {
	oid uint32 // of the elements
	n   uint32
	b   []byte
}

const arrayHeader = 20

func newArray(oid uint32, expected, width int) *array {
	return &array{oid: oid, b: make([]byte, arrayHeader, arrayHeader+expected*(4+width))}
}

func textArray(expected, width int) *array { return newArray(pgtype.TextOID, expected, width) }
func idArray(expected int) *array          { return newArray(pgtype.UUIDOID, expected, 16) }
func numberArray(expected int) *array      { return newArray(pgtype.Int8OID, expected, 8) }
func timeArray(expected int) *array        { return newArray(pgtype.TimestamptzOID, expected, 8) }
func placeArray(expected int) *array       { return newArray(pgtype.TIDOID, expected, 6) }

func (a *array) null() {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, 0xffffffff)
}

func (a *array) text(s string) {
	a.n++
	a.b = append(binary.BigEndian.AppendUint32(a.b, uint32(len(s))), s...)
}

func (a *array) id(id [16]byte) {
	a.n++
	a.b = append(binary.BigEndian.AppendUint32(a.b, 16), id[:]...)
}

func (a *array) number(n int64) {
	a.n++
	a.b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(a.b, 8), uint64(n))
}

// epoch is PostgreSQL's, in seconds of Unix.
const epoch = 946684800

func (a *array) time(t time.Time) { a.number((t.Unix()-epoch)*1e6 + int64(t.Nanosecond())/1e3) }

// place adds where a row lies; see placed.
func (a *array) place(at uint64) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(a.b, 6), uint32(at>>16))
	a.b = binary.BigEndian.AppendUint16(a.b, uint16(at))
}

func (a *array) timeOrNull(t *time.Time) {
	if t == nil {
		a.null()
		return
	}
	a.time(*t)
}

// textOrNull adds null for no text.
func (a *array) textOrNull(s string) {
	if s == "" {
		a.null()
		return
	}
	a.text(s)
}

// idOrNull adds null for a zero id.
func (a *array) idOrNull(id [16]byte) {
	if id == [16]byte{} {
		a.null()
		return
	}
	a.id(id)
}

// fields adds them as JSON.
func (a *array) fields(f record.Fields) {
	a.n++
	at := len(a.b)
	a.b = record.AppendJSON(append(a.b, 0, 0, 0, 0), map[string]any(f))
	binary.BigEndian.PutUint32(a.b[at:], uint32(len(a.b)-at-4))
}

// fieldsOrNull adds null for no fields.
func (a *array) fieldsOrNull(f record.Fields) {
	if len(f) == 0 {
		a.null()
		return
	}
	a.fields(f)
}

// json adds a value that always has a JSON form, and null unless it is there.
func (a *array) json(v any, there bool) {
	if !there {
		a.null()
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	a.n++
	a.b = append(binary.BigEndian.AppendUint32(a.b, uint32(len(b))), b...)
}

// Encode implements pgtype.EncodePlan for arrays.
func (arrayCodec) Encode(value any, buf []byte) ([]byte, error) {
	a, _ := value.(*array)
	dimensions := uint32(1)
	if a.n == 0 {
		dimensions = 0
	}
	binary.BigEndian.PutUint32(a.b, dimensions)
	binary.BigEndian.PutUint32(a.b[4:], 0) // whether there are nulls: nobody looks at it
	binary.BigEndian.PutUint32(a.b[8:], a.oid)
	if a.n == 0 { // a list of nothing has no dimension
		return append(buf, a.b[:12]...), nil
	}
	binary.BigEndian.PutUint32(a.b[12:], a.n)
	binary.BigEndian.PutUint32(a.b[16:], 1)
	return append(buf, a.b...), nil
}

// arrayCodec takes arrays as they are, and all else as before.
type arrayCodec struct{ *pgtype.ArrayCodec }

// PlanEncode implements pgtype.Codec.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if a, ok := value.(*array); ok && format == pgtype.BinaryFormatCode && a.oid == c.ElementType.OID {
		return c
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// takeArrays makes a connection take arrays as parameters.
func takeArrays(_ context.Context, c *pgx.Conn) error {
	m := c.TypeMap()
	for _, oid := range []uint32{pgtype.TextArrayOID, pgtype.UUIDArrayOID, pgtype.Int8ArrayOID, pgtype.TimestamptzArrayOID, pgtype.TIDArrayOID} {
		t, _ := m.TypeForOID(oid)
		codec, ok := t.Codec.(*pgtype.ArrayCodec)
		if !ok {
			continue // it was told before
		}
		m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrayCodec{codec}})
	}
	return nil
}

func idsOf[T ~[16]byte](ids []T) *array {
	a := idArray(len(ids))
	for _, id := range ids {
		a.id(id)
	}
	return a
}
