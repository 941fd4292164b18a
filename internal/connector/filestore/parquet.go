// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Parquet: the file has its own types, and lists of them. Other nested columns are kept and never shown. The file is written anew
// with the same schema; the values of columns that nobody changed are copied as they are.

type parquetCodec struct {
	schema *parquet.Schema
	fields []*parquetField
	places map[string]*parquetField
	width  int // leaf columns
}

// parquetField is a top column that records have as a field.
type parquetField struct {
	name                string
	node                parquet.Node // the leaf
	leaf                int          // its index
	optional            bool         // the field may be null
	list, elementOption bool
	typ                 connector.Type
	scale               int
}

// parquetRow is the row's values by leaf.
type parquetRow [][]parquet.Value

func readParquet(b []byte, object record.Object) (layout, error) {
	if len(b) == 0 {
		return layout{}, &connector.Error{Class: connector.Reject, Code: "files.malformed", Message: fmt.Sprintf("%s is empty. A Parquet file brings its own schema: write one without rows first.", object)}
	}
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return layout{}, faulty("files.malformed", "%s cannot be read as Parquet: %v.", object, err)
	}
	c := &parquetCodec{schema: f.Schema(), places: map[string]*parquetField{}, width: len(f.Schema().Columns())}
	l := layout{codec: c}
	for leaf, path := range c.schema.Columns() {
		pf := parquetFieldOf(c.schema, path, leaf)
		if pf == nil || c.places[pf.name] != nil {
			continue
		}
		c.fields = append(c.fields, pf)
		c.places[pf.name] = pf
		col := &column{FieldInfo: connector.FieldInfo{Name: pf.name, Type: pf.typ, Native: pf.node.Type().String(), Nullable: pf.optional, Scale: -1}}
		if pf.typ == connector.TypeNumber {
			col.Scale = pf.scale
		}
		col.fits = pf.fits
		l.columns = append(l.columns, col)
	}
	reader := parquet.NewReader(f)
	defer func() { _ = reader.Close() }() // in memory
	buffer := make([]parquet.Row, 64)
	for n := 0; ; {
		read, err := reader.ReadRows(buffer)
		for _, values := range buffer[:read] {
			n++
			r, problem := c.row(values)
			if problem != nil {
				return l, faulty("files.malformed", "%s, row %d: %v.", object, n, problem)
			}
			r.where = fmt.Sprintf("row %d", n)
			l.rows = append(l.rows, r)
		}
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return l, faulty("files.malformed", "%s cannot be read as Parquet: %v.", object, err)
		}
	}
}

// parquetFieldOf makes a field of a leaf that is a top column, or the element of one that is a list; nil for others.
func parquetFieldOf(schema *parquet.Schema, path []string, leaf int) *parquetField {
	pf := &parquetField{name: path[0], leaf: leaf}
	var top parquet.Node
	for _, f := range schema.Fields() {
		if f.Name() == path[0] {
			top = f
		}
	}
	switch {
	case top == nil || top.Repeated():
		return nil
	case len(path) == 1:
		pf.node, pf.optional = top, top.Optional()
	case len(path) == 3 && len(top.Fields()) == 1 && top.Fields()[0].Repeated() && len(top.Fields()[0].Fields()) == 1 && top.Fields()[0].Fields()[0].Leaf():
		element := top.Fields()[0].Fields()[0]
		if element.Repeated() {
			return nil
		}
		pf.node, pf.optional, pf.list, pf.elementOption = element, top.Optional(), true, element.Optional()
		if parquetType(element, pf) == "" {
			return nil
		}
		pf.typ = connector.TypeArray
		return pf
	default:
		return nil
	}
	if pf.typ = parquetType(pf.node, pf); pf.typ == "" {
		return nil
	}
	return pf
}

// logical is a leaf's logical type, taken apart.
type logical struct {
	utf8, json, uuid, date bool
	time                   *format.TimeType
	timestamp              *format.TimestampType
	decimal                *format.DecimalType
	integer                *format.IntType
}

func logicalOf(t parquet.Type) (l logical) {
	lt := t.LogicalType()
	if lt == nil {
		return l
	}
	switch x := lt.Value.(type) {
	case *format.StringType, *format.EnumType:
		l.utf8 = true
	case *format.JsonType:
		l.json = true
	case *format.UUIDType:
		l.uuid = true
	case *format.DateType:
		l.date = true
	case *format.TimeType:
		l.time = x
	case *format.TimestampType:
		l.timestamp = x
	case *format.DecimalType:
		l.decimal = x
	case *format.IntType:
		l.integer = x
	}
	return l
}

// parquetType is the type of a leaf's values; "" for those that are not read.
func parquetType(n parquet.Node, pf *parquetField) connector.Type {
	switch lt := logicalOf(n.Type()); {
	case lt.utf8:
		return connector.TypeText
	case lt.json:
		return connector.TypeJSON
	case lt.uuid:
		return connector.TypeUUID
	case lt.date:
		return connector.TypeDate
	case lt.time != nil:
		return connector.TypeTime
	case lt.timestamp != nil && lt.timestamp.IsAdjustedToUTC:
		return connector.TypeTimestamp
	case lt.timestamp != nil:
		return connector.TypeDateTime
	case lt.decimal != nil:
		pf.scale = int(lt.decimal.Scale)
		return connector.TypeNumber
	}
	switch n.Type().Kind() {
	case parquet.Boolean:
		return connector.TypeBoolean
	case parquet.Int32, parquet.Int64:
		return connector.TypeInteger
	case parquet.Float, parquet.Double:
		return connector.TypeFloat
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return connector.TypeBytes
	}
	return ""
}

func (c *parquetCodec) row(values parquet.Row) (*row, error) {
	raw := make(parquetRow, c.width)
	for _, v := range values {
		raw[v.Column()] = append(raw[v.Column()], v.Clone())
	}
	r := &row{fields: make(record.Fields, len(c.fields)), raw: raw}
	for _, pf := range c.fields {
		v, err := pf.read(raw[pf.leaf])
		if err != nil {
			return nil, fmt.Errorf("the field %s: %w", pf.name, err)
		}
		r.fields[pf.name] = v
	}
	return r, nil
}

// levels of a list's values, by what is optional.
func (pf *parquetField) levels() (null, empty, nothing, something int) {
	base := 0
	if pf.optional {
		base = 1
	}
	return 0, base, base + 1, base + 1 + btoi(pf.elementOption)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (pf *parquetField) read(values []parquet.Value) (record.Value, error) {
	if !pf.list {
		if len(values) == 0 || values[0].IsNull() {
			return nil, nil
		}
		return pf.one(values[0])
	}
	list := []any{}
	_, empty, _, something := pf.levels()
	for _, v := range values {
		switch level := v.DefinitionLevel(); {
		case pf.optional && level == 0:
			return nil, nil
		case level == empty:
			return list, nil
		case level < something:
			list = append(list, nil)
		default:
			x, err := pf.one(v)
			if err != nil {
				return nil, err
			}
			list = append(list, x)
		}
	}
	return list, nil
}

func (pf *parquetField) one(v parquet.Value) (record.Value, error) {
	t := pf.node.Type()
	lt := logicalOf(t)
	switch {
	case lt.utf8:
		return record.Canonical(string(v.ByteArray()))
	case lt.json:
		return record.ParseJSON(v.ByteArray())
	case lt.uuid:
		id, err := uuid.FromBytes(v.ByteArray())
		return id.String(), err
	case lt.date:
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(v.Int32())).Format(dateForm), nil
	case lt.time != nil:
		n := v.Int64()
		if t.Kind() == parquet.Int32 {
			n = int64(v.Int32())
		}
		return time.Unix(0, 0).UTC().Add(time.Duration(n) * unitOf(lt.time.Unit)).Format(timeForm), nil
	case lt.timestamp != nil:
		unit := int64(unitOf(lt.timestamp.Unit))
		per := int64(time.Second) / unit
		n := v.Int64()
		sec := n / per
		if n%per < 0 {
			sec--
		}
		when := time.Unix(sec, (n-sec*per)*unit).UTC()
		if lt.timestamp.IsAdjustedToUTC {
			return record.Time(when), nil
		}
		return when.Round(time.Microsecond).Format(dateTimeForm), nil
	case lt.decimal != nil:
		return decimalOf(v, t.Kind(), pf.scale)
	}
	unsigned := lt.integer != nil && !lt.integer.IsSigned
	switch t.Kind() {
	case parquet.Boolean:
		return v.Boolean(), nil
	case parquet.Int32:
		if unsigned {
			return record.Canonical(v.Uint32())
		}
		return record.Int(int64(v.Int32())), nil
	case parquet.Int64:
		if unsigned {
			return record.Canonical(v.Uint64())
		}
		return record.Int(v.Int64()), nil
	case parquet.Float:
		return record.Canonical(v.Float())
	case parquet.Double:
		return record.Canonical(v.Double())
	}
	return record.Bytes(v.ByteArray()), nil
}

func unitOf(u format.TimeUnit) time.Duration {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return time.Millisecond
	case *format.MicroSeconds:
		return time.Microsecond
	}
	return time.Nanosecond
}

func decimalOf(v parquet.Value, kind parquet.Kind, scale int) (record.Value, error) {
	n := new(big.Int)
	switch kind {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default: // two's complement, big end first
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	return record.ParseNumber(n.String() + "e-" + strconv.Itoa(scale))
}

// fits says what the column keeps of a value.
func (pf *parquetField) fits(v record.Value) (record.Value, error) {
	values := []any{v}
	if pf.list {
		values, _ = v.([]any) // accept has seen to that
	}
	out := make([]any, len(values))
	for i, x := range values {
		if x == nil {
			if !pf.elementOption {
				return nil, fmt.Errorf("takes no null in its list")
			}
			continue
		}
		if pf.list {
			var err error
			scratch := *pf
			if x, err = fromValue(parquetType(pf.node, &scratch), x); err != nil {
				return nil, fmt.Errorf("does not take this list: %w", err)
			}
		}
		made, err := pf.make(x)
		if err != nil {
			return nil, err
		}
		if out[i], err = pf.one(made); err != nil {
			return nil, err
		}
	}
	if pf.list {
		return out, nil
	}
	return out[0], nil
}

// make turns a canonical value of the right type into the file's. The error is a sentence about the field.
func (pf *parquetField) make(v record.Value) (parquet.Value, error) {
	t := pf.node.Type()
	lt := logicalOf(t)
	text, _ := v.(string)
	bad := func() (parquet.Value, error) {
		return parquet.Value{}, fmt.Errorf("cannot hold %s", shorten(record.Text(v)))
	}
	switch {
	case lt.json:
		return parquet.ByteArrayValue(record.AppendJSON(nil, v)), nil
	case lt.uuid:
		id, err := uuid.Parse(text)
		if err != nil {
			return bad()
		}
		return parquet.FixedLenByteArrayValue(id[:]), nil
	case lt.date:
		when, err := time.Parse(dateForm, text)
		if err != nil {
			return bad()
		}
		return parquet.Int32Value(int32(floorDiv(when.Unix(), 86_400))), nil
	case lt.time != nil:
		when, err := time.Parse(timeForm, text)
		if err != nil {
			return bad()
		}
		n := int64(when.Sub(when.Truncate(24*time.Hour)) / unitOf(lt.time.Unit))
		if t.Kind() == parquet.Int32 {
			return parquet.Int32Value(int32(n)), nil
		}
		return parquet.Int64Value(n), nil
	case lt.timestamp != nil:
		layout := time.RFC3339Nano
		if !lt.timestamp.IsAdjustedToUTC {
			layout = dateTimeForm
		}
		when, err := time.Parse(layout, text)
		if err != nil {
			return bad()
		}
		unit := unitOf(lt.timestamp.Unit)
		return parquet.Int64Value(when.Unix()*int64(time.Second/unit) + int64(when.Nanosecond())/int64(unit)), nil
	case lt.decimal != nil:
		return pf.makeDecimal(v, t)
	}
	n, _ := v.(record.Number)
	switch t.Kind() {
	case parquet.Boolean:
		b, _ := v.(bool)
		return parquet.BooleanValue(b), nil
	case parquet.Int32, parquet.Int64:
		bits := 64
		if t.Kind() == parquet.Int32 {
			bits = 32
		}
		if lt.integer != nil {
			bits = int(lt.integer.BitWidth)
		}
		if lt.integer != nil && !lt.integer.IsSigned {
			u, err := strconv.ParseUint(string(n), 10, bits)
			if err != nil {
				return bad()
			}
			if t.Kind() == parquet.Int32 {
				return parquet.Int32Value(int32(u)), nil
			}
			return parquet.Int64Value(int64(u)), nil
		}
		i, err := strconv.ParseInt(string(n), 10, bits)
		if err != nil {
			return bad()
		}
		if t.Kind() == parquet.Int32 {
			return parquet.Int32Value(int32(i)), nil
		}
		return parquet.Int64Value(i), nil
	case parquet.Float, parquet.Double:
		bits := 64
		if t.Kind() == parquet.Float {
			bits = 32
		}
		f, err := strconv.ParseFloat(string(n), bits)
		if err != nil {
			return bad()
		}
		if bits == 32 {
			return parquet.FloatValue(float32(f)), nil
		}
		return parquet.DoubleValue(f), nil
	}
	b := []byte(text)
	if !lt.utf8 {
		var err error
		if b, err = base64.StdEncoding.DecodeString(text); err != nil {
			return bad()
		}
	}
	if t.Kind() == parquet.FixedLenByteArray {
		if len(b) != t.Length() {
			return parquet.Value{}, fmt.Errorf("takes exactly %d bytes", t.Length())
		}
		return parquet.FixedLenByteArrayValue(b), nil
	}
	return parquet.ByteArrayValue(b), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// makeDecimal rounds half away from zero, as databases do.
func (pf *parquetField) makeDecimal(v record.Value, t parquet.Type) (parquet.Value, error) {
	n, _ := v.(record.Number)
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return parquet.Value{}, fmt.Errorf("cannot hold %s", shorten(record.Text(v)))
	}
	unscaled, _ := new(big.Int).SetString(strings.Replace(r.FloatString(pf.scale), ".", "", 1), 10)
	if unscaled == nil || len(strings.TrimPrefix(unscaled.String(), "-")) > int(logicalOf(t).decimal.Precision) {
		return parquet.Value{}, fmt.Errorf("cannot hold %s: it takes %d digits, %d of them after the point", n, logicalOf(t).decimal.Precision, pf.scale)
	}
	switch t.Kind() {
	case parquet.Int32:
		return parquet.Int32Value(int32(unscaled.Int64())), nil
	case parquet.Int64:
		return parquet.Int64Value(unscaled.Int64()), nil
	}
	size := t.Length()
	if t.Kind() == parquet.ByteArray {
		size = unscaled.BitLen()/8 + 1
	}
	if unscaled.BitLen() >= 8*size {
		return parquet.Value{}, fmt.Errorf("cannot hold %s", n)
	}
	if unscaled.Sign() < 0 {
		unscaled.Add(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	b := unscaled.FillBytes(make([]byte, size))
	if t.Kind() == parquet.ByteArray {
		return parquet.ByteArrayValue(b), nil
	}
	return parquet.FixedLenByteArrayValue(b), nil
}

func (pf *parquetField) values(v record.Value) ([]parquet.Value, error) {
	null, empty, nothing, something := pf.levels()
	switch list, isList := v.([]any); {
	case v == nil && pf.list:
		return []parquet.Value{parquet.NullValue().Level(0, null, pf.leaf)}, nil
	case v == nil:
		return []parquet.Value{parquet.NullValue().Level(0, 0, pf.leaf)}, nil
	case !pf.list:
		x, err := pf.make(v)
		return []parquet.Value{x.Level(0, btoi(pf.optional), pf.leaf)}, err
	case !isList || len(list) == 0:
		return []parquet.Value{parquet.NullValue().Level(0, empty, pf.leaf)}, nil
	default:
		var out []parquet.Value
		for i, e := range list {
			if e == nil {
				out = append(out, parquet.NullValue().Level(min(i, 1), nothing, pf.leaf))
				continue
			}
			x, err := pf.make(e)
			if err != nil {
				return nil, err
			}
			out = append(out, x.Level(min(i, 1), something, pf.leaf))
		}
		return out, nil
	}
}

func (c *parquetCodec) encode(t *table) ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewWriter(&b, c.schema, parquet.Compression(&parquet.Snappy))
	for _, r := range t.rows {
		raw, _ := r.raw.(parquetRow)
		if r.changed || raw == nil {
			next := make(parquetRow, c.width)
			copy(next, raw)
			for _, pf := range c.fields {
				values, err := pf.values(r.fields[pf.name])
				if err != nil {
					return nil, fmt.Errorf("the field %s: %w", pf.name, err)
				}
				next[pf.leaf] = values
			}
			for leaf := range next {
				if next[leaf] == nil { // a nested column of a new record
					next[leaf] = []parquet.Value{parquet.NullValue().Level(0, 0, leaf)}
				}
			}
			raw = next
		}
		var values parquet.Row
		for _, list := range raw {
			values = append(values, list...)
		}
		if _, err := w.WriteRows([]parquet.Row{values}); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
