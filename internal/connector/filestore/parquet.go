// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Parquet: the file has its own types, groups, lists and maps of them, in any depth. A group is a value of type json whose members are its
// columns, a list an array, a map an object by its keys, or where these are no texts a list of objects with key and value. What has a type that
// is not read is kept and never shown. The file is written anew with the same schema; the values of columns that nobody changed are copied as
// they are. How nested values lie in columns, by levels of definition and repetition: github.com/apache/parquet-format, README, Nested Encoding.

type parquetCodec struct {
	schema *parquet.Schema
	fields []*parquetField
	places map[string]*parquetField
	width  int // leaf columns
}

// parquetField is a column of records, or a part of one.
type parquetField struct {
	name               string
	node               parquet.Node
	shape              parquetShape
	leaf, leaves       int // the first leaf below, and how many there are
	optional, repeated bool
	bare               bool            // of a list: its items are the repeated column itself
	kind               connector.Type  // of a leaf: the type of one value
	parts              []*parquetField // of a group its members, of a list its items, of a map key and value
	typ                connector.Type
	scale              int
}

// parquetShape is what a column holds.
type parquetShape int

const (
	parquetLeaf  parquetShape = iota
	parquetGroup              // columns by name
	parquetList               // a repeated column in a group
	parquetMap                // a repeated group of key and value in a group
)

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
	leaf := 0
	for _, node := range c.schema.Fields() {
		pf := parquetFieldOf(node, leaf)
		leaf += pf.leaves
		if pf.typ == "" || c.places[pf.name] != nil {
			continue
		}
		c.fields = append(c.fields, pf)
		c.places[pf.name] = pf
		col := &column{FieldInfo: connector.FieldInfo{Name: pf.name, Type: pf.typ, Native: pf.native(), Nullable: pf.optional, Scale: -1}}
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

// parquetFieldOf makes a field of a column whose first leaf has that number. Its type is "" when a part of it has a type that is not read.
func parquetFieldOf(node parquet.Field, leaf int) *parquetField {
	pf := &parquetField{name: node.Name(), node: node, leaf: leaf, optional: node.Optional(), repeated: node.Repeated()}
	if node.Leaf() {
		pf.leaves, pf.kind = 1, parquetType(node, pf)
		pf.typ = pf.kind
	} else {
		pf.group(node)
	}
	if pf.repeated && pf.typ != "" {
		pf.typ = connector.TypeArray
	}
	return pf
}

func (pf *parquetField) group(node parquet.Field) {
	readable := len(node.Fields()) > 0
	for _, f := range node.Fields() {
		part := parquetFieldOf(f, pf.leaf+pf.leaves)
		pf.leaves += part.leaves
		readable = readable && part.typ != ""
		pf.parts = append(pf.parts, part)
	}
	pf.shape, pf.typ = parquetGroup, connector.TypeJSON
	if len(pf.parts) == 1 && pf.parts[0].repeated {
		inner := pf.parts[0]
		isList, isMap := annotated(node)
		switch {
		case (isMap || inner.name == "key_value") && inner.shape == parquetGroup && len(inner.parts) == 2 && inner.parts[0].shape == parquetLeaf && !inner.parts[0].optional && !inner.parts[0].repeated:
			pf.shape = parquetMap
			if inner.parts[0].typ != connector.TypeText {
				pf.typ = connector.TypeArray
			}
		case isList || len(inner.parts) == 1:
			pf.shape, pf.typ = parquetList, connector.TypeArray
			// A repeated group of one column stands for that column, but under names by which older programs called groups that are items.
			pf.bare = len(inner.parts) != 1 || inner.name == "array" || inner.name == pf.name+"_tuple"
		}
	}
	if !readable {
		pf.typ = ""
	}
}

func annotated(node parquet.Node) (isList, isMap bool) {
	lt := node.Type().LogicalType()
	if lt == nil {
		return false, false
	}
	_, isList = lt.Value.(*format.ListType)
	_, isMap = lt.Value.(*format.MapType)
	return isList, isMap
}

// native is the type's name in the file.
func (pf *parquetField) native() string {
	switch pf.shape {
	case parquetLeaf:
		return pf.node.Type().String()
	case parquetList:
		if item := pf.item(); item.shape == parquetLeaf {
			return item.native()
		}
		return "list"
	case parquetMap:
		return "map"
	}
	return "struct"
}

// item is what a list is of.
func (pf *parquetField) item() *parquetField {
	if pf.bare {
		return pf.parts[0]
	}
	return pf.parts[0].parts[0]
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
		v, err := pf.read(raw)
		if err != nil {
			return nil, fmt.Errorf("the field %s: %w", pf.name, err)
		}
		r.fields[pf.name] = v
	}
	return r, nil
}

// read puts the field of a row together.
func (pf *parquetField) read(raw parquetRow) (record.Value, error) {
	return pf.assemble(raw[pf.leaf:pf.leaf+pf.leaves], 0, 0)
}

// assemble reads one place of the column. columns are its leaves' values there; definition and repetition are the levels around it.
func (pf *parquetField) assemble(columns parquetRow, definition, repetition int) (record.Value, error) {
	switch {
	case pf.repeated:
		return pf.several(columns, definition, repetition, func(one parquetRow) (record.Value, error) {
			return pf.present(one, definition+1, repetition+1)
		})
	case pf.optional && !defined(columns, definition):
		return nil, nil
	case pf.optional:
		definition++
	}
	return pf.present(columns, definition, repetition)
}

// defined says whether there is more than this level there.
func defined(columns parquetRow, definition int) bool {
	return len(columns[0]) > 0 && columns[0][0].DefinitionLevel() > definition
}

// present reads what is there, one of a repeated column.
func (pf *parquetField) present(columns parquetRow, definition, repetition int) (record.Value, error) {
	part := func(inner *parquetField, i int, from parquetRow, definition, repetition int) (record.Value, error) {
		at := inner.parts[i].leaf - inner.leaf
		v, err := inner.parts[i].assemble(from[at:at+inner.parts[i].leaves], definition, repetition)
		if err != nil {
			err = fmt.Errorf("in %s: %w", inner.parts[i].name, err)
		}
		return v, err
	}
	switch pf.shape {
	case parquetGroup:
		m := make(map[string]any, len(pf.parts))
		for i := range pf.parts {
			v, err := part(pf, i, columns, definition, repetition)
			if err != nil {
				return nil, err
			}
			m[pf.parts[i].name] = v
		}
		return m, nil
	case parquetList:
		return pf.several(columns, definition, repetition, func(one parquetRow) (record.Value, error) {
			if pf.bare {
				return pf.parts[0].present(one, definition+1, repetition+1)
			}
			return part(pf.parts[0], 0, one, definition+1, repetition+1)
		})
	case parquetMap:
		m := map[string]any{}
		list, err := pf.several(columns, definition, repetition, func(one parquetRow) (record.Value, error) {
			key, err := part(pf.parts[0], 0, one, definition+1, repetition+1)
			if err != nil {
				return nil, err
			}
			value, err := part(pf.parts[0], 1, one, definition+1, repetition+1)
			m[record.Text(key)] = value
			return map[string]any{pf.parts[0].parts[0].name: key, pf.parts[0].parts[1].name: value}, err
		})
		if pf.typ == connector.TypeArray || err != nil {
			return list, err
		}
		return m, nil
	}
	if len(columns[0]) == 0 || columns[0][0].IsNull() {
		return nil, nil
	}
	return pf.one(columns[0][0])
}

// several reads the items of what is repeated.
func (pf *parquetField) several(columns parquetRow, definition, repetition int, read func(parquetRow) (record.Value, error)) (record.Value, error) {
	list := []any{}
	if !defined(columns, definition) {
		return list, nil
	}
	rest := slices.Clone(columns)
	for len(rest[0]) > 0 {
		one := make(parquetRow, len(rest))
		for i, values := range rest {
			if len(values) == 0 {
				return nil, errors.New("its columns hold different numbers of items")
			}
			n := 1
			for n < len(values) && values[n].RepetitionLevel() > repetition+1 {
				n++
			}
			one[i], rest[i] = values[:n], values[n:]
		}
		v, err := read(one)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
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
	raw := make(parquetRow, pf.leaf+pf.leaves)
	if err := pf.shred(raw, v, 0, 0, 0); err != nil {
		return nil, err
	}
	return pf.read(raw)
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

// shred adds a value to the leaves of a row. repeat is the level at which it begins, definition and repetition are the levels around it. The error
// is a sentence about the field.
func (pf *parquetField) shred(raw parquetRow, v record.Value, repeat, definition, repetition int) error {
	switch {
	case pf.repeated:
		return pf.spread(raw, v, repeat, definition, repetition, func(e any, repeat int) error {
			return pf.put(raw, e, repeat, definition+1, repetition+1)
		})
	case pf.optional && v == nil:
		pf.nothing(raw, repeat, definition)
		return nil
	case pf.optional:
		definition++
	}
	return pf.put(raw, v, repeat, definition, repetition)
}

func (pf *parquetField) nothing(raw parquetRow, repeat, definition int) {
	for leaf := pf.leaf; leaf < pf.leaf+pf.leaves; leaf++ {
		raw[leaf] = append(raw[leaf], parquet.NullValue().Level(repeat, definition, leaf))
	}
}

func (pf *parquetField) put(raw parquetRow, v record.Value, repeat, definition, repetition int) error {
	switch pf.shape {
	case parquetGroup:
		m, isObject := v.(map[string]any)
		if !isObject && v != nil {
			return fmt.Errorf("cannot hold %s: %s is an object", shorten(record.Text(v)), pf.name)
		}
		for name := range m {
			if !slices.ContainsFunc(pf.parts, func(p *parquetField) bool { return p.name == name }) {
				return fmt.Errorf("cannot hold the member %s: the file's schema has no such column in %s", shorten(name), pf.name)
			}
		}
		for _, p := range pf.parts {
			if err := p.shred(raw, m[p.name], repeat, definition, repetition); err != nil {
				return err
			}
		}
		return nil
	case parquetList:
		return pf.spread(raw, v, repeat, definition, repetition, func(e any, repeat int) error {
			if pf.bare {
				return pf.parts[0].put(raw, e, repeat, definition+1, repetition+1)
			}
			return pf.item().shred(raw, e, repeat, definition+1, repetition+1)
		})
	case parquetMap:
		if m, isObject := v.(map[string]any); isObject && pf.typ == connector.TypeJSON {
			list := make([]any, 0, len(m))
			for _, k := range slices.Sorted(maps.Keys(m)) {
				list = append(list, map[string]any{pf.parts[0].parts[0].name: k, pf.parts[0].parts[1].name: m[k]})
			}
			v = list
		}
		return pf.spread(raw, v, repeat, definition, repetition, func(e any, repeat int) error {
			return pf.parts[0].put(raw, e, repeat, definition+1, repetition+1)
		})
	}
	if v == nil {
		return fmt.Errorf("takes no null in %s", pf.name)
	}
	x, err := fromValue(pf.kind, v)
	if err != nil {
		return fmt.Errorf("does not take this in %s: %w", pf.name, err)
	}
	made, err := pf.make(x)
	if err != nil {
		return err
	}
	raw[pf.leaf] = append(raw[pf.leaf], made.Level(repeat, definition, pf.leaf))
	return nil
}

// spread puts the items of a list. None is an empty one.
func (pf *parquetField) spread(raw parquetRow, v record.Value, repeat, definition, repetition int, put func(e any, repeat int) error) error {
	list, isList := v.([]any)
	if !isList && v != nil {
		return fmt.Errorf("cannot hold %s: %s is a list", shorten(record.Text(v)), pf.name)
	}
	if len(list) == 0 {
		pf.nothing(raw, repeat, definition)
	}
	for i, e := range list {
		if i > 0 {
			repeat = repetition + 1
		}
		if err := put(e, repeat); err != nil {
			return err
		}
	}
	return nil
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
				if raw != nil {
					if was, err := pf.read(raw); err == nil && record.Equal(was, r.fields[pf.name]) {
						continue
					}
				}
				for leaf := pf.leaf; leaf < pf.leaf+pf.leaves; leaf++ {
					next[leaf] = nil
				}
				if err := pf.shred(next, r.fields[pf.name], 0, 0, 0); err != nil {
					return nil, fmt.Errorf("the field %s %w", pf.name, err)
				}
			}
			for leaf := range next {
				if next[leaf] == nil { // a new record, and a column that is not shown
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
