// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	logpkg "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"
	"golang.org/x/text/encoding/charmap"

	"github.com/syncline-dev/syncline/internal/record"
)

// Rows of the log are read for their keys alone: everything else is stepped over, and the rows are read again from the
// table. Source of the formats: MySQL Source Code Documentation, "Rows Event"; MariaDB Knowledge Base, "Rows_event_v1".

// logKey is a key as the log has it.
type logKey struct {
	key   record.Key
	other record.Key // a second reading of the same bytes, when they leave it open (UUIDs); else ""
	raw   [][]byte   // parts in a character set that only the server can convert; then key is ""
}

func (k logKey) equal(l logKey) bool {
	if k.key != l.key || len(k.raw) != len(l.raw) {
		return false
	}
	for i := range k.raw {
		if string(k.raw[i]) != string(l.raw[i]) {
			return false
		}
	}
	return true
}

var errShape = errors.New("the row does not have the columns that are known of the table")

// errUnreadable is a key column of a type that cannot be read from the log.
type errUnreadable struct{ column string }

func (e errUnreadable) Error() string {
	return "the column " + e.column + " cannot be read from the log"
}

// keyPositions says where the key columns stand in rows of this table map.
func (t *table) keyPositions(m *replication.TableMapEvent, s *shape) ([]int, error) {
	if len(m.ColumnName) == int(m.ColumnCount) && len(m.ColumnName) > 0 { // binlog_row_metadata=FULL: the log names them
		positions := make([]int, len(t.key))
		for i, k := range t.key {
			positions[i] = -1
			for j, n := range m.ColumnName {
				if string(n) == k.name {
					positions[i] = j
				}
			}
			if positions[i] < 0 {
				return nil, errShape
			}
		}
		return positions, nil
	}
	if s == nil || s.Columns != int(m.ColumnCount) || len(s.Key) != len(t.key) {
		return nil, errShape
	}
	return s.Key, nil
}

// shape is how rows of the table stand in the log from now on.
func (t *table) shape() *shape {
	s := &shape{Columns: len(t.columns)}
	for _, k := range t.key {
		s.Key = append(s.Key, k.position)
	}
	return s
}

// logKeys calls each with the keys of the rows of an event: one per inserted or deleted row; per updated row the key
// before and, when it changed, the key after.
func (t *table) logKeys(eventType replication.EventType, e *replication.RowsEvent, data []byte, positions []int, each func(logKey)) (err error) {
	defer func() {
		if r := recover(); r != nil { // an index out of range: a format that is not what it is taken for
			err = errShape
		}
	}()
	switch eventType {
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		if data, err = logpkg.DecompressMariadbData(data); err != nil {
			return err
		}
	}
	d := &imageDecoder{t: t, m: e.Table, positions: positions, columns: int(e.ColumnCount), partial: eventType == replication.PARTIAL_UPDATE_ROWS_EVENT}
	for len(data) > 0 {
		var before, after image
		if before, data, err = d.image(data, e.ColumnBitmap1, false); err != nil {
			return err
		}
		if len(e.ColumnBitmap2) == 0 {
			k, err := d.key(before, image{})
			if err != nil {
				return err
			}
			each(k)
			continue
		}
		if after, data, err = d.image(data, e.ColumnBitmap2, true); err != nil {
			return err
		}
		was, err := d.key(before, after)
		if err != nil {
			return err
		}
		is, err := d.key(after, before)
		if err != nil {
			return err
		}
		each(was)
		if !was.equal(is) {
			each(is)
		}
	}
	return nil
}

// image holds the bytes of the key columns of one row image; nil where the image does not have the column.
type image [][]byte

type imageDecoder struct {
	t         *table
	m         *replication.TableMapEvent
	positions []int
	columns   int
	partial   bool // JSON columns may hold a difference; its length stands in front all the same
}

func bit(bitmap []byte, i int) bool { return bitmap[i>>3]&(1<<(uint(i)&7)) != 0 }

func (d *imageDecoder) image(data, present []byte, after bool) (image, []byte, error) {
	if d.partial && after {
		options, _, n := logpkg.LengthEncodedInt(data)
		data = data[n:]
		if options&uint64(replication.EnumBinlogRowValueOptionsPartialJsonUpdates) != 0 {
			data = data[(int(d.m.JsonColumnCount())+7)/8:]
		}
	}
	count := 0
	for i := range d.columns {
		if bit(present, i) {
			count++
		}
	}
	nulls := data[:(count+7)/8]
	data = data[len(nulls):]
	out := make(image, len(d.positions))
	for i, n := 0, 0; i < d.columns; i++ {
		if !bit(present, i) {
			continue
		}
		null := bit(nulls, n)
		n++
		if null {
			continue
		}
		size, err := columnSize(data, d.m.ColumnType[i], d.m.ColumnMeta[i])
		if err != nil {
			return nil, nil, err
		}
		for k, p := range d.positions {
			if p == i {
				out[k] = data[:size]
			}
		}
		data = data[size:]
	}
	return out, data, nil
}

// key makes the key of an image; what it lacks is taken from the other image of the row (binlog_row_image=MINIMAL).
func (d *imageDecoder) key(one, other image) (logKey, error) {
	values, others := make([]record.Value, len(d.positions)), make([]record.Value, len(d.positions))
	var raw [][]byte
	open := false
	for i, p := range d.positions {
		b := one[i]
		if b == nil && other != nil {
			b = other[i]
		}
		if b == nil {
			return logKey{}, errShape
		}
		v, second, bytes, err := d.t.key[i].fromLog(b, d.m.ColumnType[p], d.m.ColumnMeta[p])
		if err != nil {
			return logKey{}, err
		}
		if bytes != nil && raw == nil {
			raw = make([][]byte, len(d.positions))
		}
		if bytes != nil {
			raw[i] = append([]byte{}, bytes...)
			v, second = "", ""
		}
		values[i], others[i] = v, v
		if second != nil && bytes == nil {
			others[i], open = second, true
		}
	}
	k := logKey{key: record.MakeKey(values...), raw: raw}
	if open {
		k.other = record.MakeKey(others...)
	}
	return k, nil
}

// realType undoes how CHAR, ENUM and SET share one type; length is the most bytes the column holds, or for ENUM and SET
// the bytes of its number.
func realType(typ byte, meta uint16) (real byte, length int) {
	if typ != logpkg.MYSQL_TYPE_STRING || meta < 256 {
		return typ, int(meta)
	}
	high, low := byte(meta>>8), byte(meta)
	if high&0x30 != 0x30 { // two bits of the length of long CHARs are kept in the type
		return high | 0x30, int(uint16(low) | uint16((high&0x30)^0x30)<<4)
	}
	return high, int(low)
}

var decimalBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4} // of a group of so many digits

// Types that the library does not name.
const (
	typeBlobCompressed    = 140 // MariaDB
	typeVarcharCompressed = 141 // MariaDB
)

// columnSize is how many bytes the value at the beginning of data has.
func columnSize(data []byte, typ byte, meta uint16) (int, error) {
	real, length := realType(typ, meta)
	switch real {
	case logpkg.MYSQL_TYPE_NULL:
		return 0, nil
	case logpkg.MYSQL_TYPE_TINY, logpkg.MYSQL_TYPE_YEAR:
		return 1, nil
	case logpkg.MYSQL_TYPE_SHORT:
		return 2, nil
	case logpkg.MYSQL_TYPE_INT24, logpkg.MYSQL_TYPE_DATE, logpkg.MYSQL_TYPE_NEWDATE, logpkg.MYSQL_TYPE_TIME:
		return 3, nil
	case logpkg.MYSQL_TYPE_LONG, logpkg.MYSQL_TYPE_FLOAT, logpkg.MYSQL_TYPE_TIMESTAMP:
		return 4, nil
	case logpkg.MYSQL_TYPE_LONGLONG, logpkg.MYSQL_TYPE_DOUBLE, logpkg.MYSQL_TYPE_DATETIME:
		return 8, nil
	case logpkg.MYSQL_TYPE_TIMESTAMP2:
		return 4 + int(meta+1)/2, nil
	case logpkg.MYSQL_TYPE_DATETIME2:
		return 5 + int(meta+1)/2, nil
	case logpkg.MYSQL_TYPE_TIME2:
		return 3 + int(meta+1)/2, nil
	case logpkg.MYSQL_TYPE_NEWDECIMAL:
		whole, fraction := int(meta>>8)-int(meta&0xff), int(meta&0xff)
		return whole/9*4 + decimalBytes[whole%9] + fraction/9*4 + decimalBytes[fraction%9], nil
	case logpkg.MYSQL_TYPE_BIT:
		return (int(meta>>8)*8 + int(meta&0xff) + 7) / 8, nil
	case logpkg.MYSQL_TYPE_ENUM, logpkg.MYSQL_TYPE_SET:
		return length & 0xff, nil
	case logpkg.MYSQL_TYPE_VARCHAR, logpkg.MYSQL_TYPE_VAR_STRING, logpkg.MYSQL_TYPE_STRING, typeVarcharCompressed:
		if length < 256 {
			return 1 + int(data[0]), nil
		}
		return 2 + int(binary.LittleEndian.Uint16(data)), nil
	case logpkg.MYSQL_TYPE_TINY_BLOB, logpkg.MYSQL_TYPE_MEDIUM_BLOB, logpkg.MYSQL_TYPE_LONG_BLOB, logpkg.MYSQL_TYPE_BLOB,
		logpkg.MYSQL_TYPE_JSON, logpkg.MYSQL_TYPE_GEOMETRY, logpkg.MYSQL_TYPE_VECTOR, typeBlobCompressed:
		if meta < 1 || meta > 4 {
			return 0, errShape
		}
		return int(meta) + int(logpkg.FixedLengthInt(data[:meta])), nil
	}
	return 0, fmt.Errorf("the log holds a column of the unknown type %d", real)
}

// fromLog turns the bytes of a key column into the canonical value that a SELECT would give. second is another reading
// where the bytes leave it open; raw are bytes of a text that only the server can convert.
func (c *column) fromLog(b []byte, typ byte, meta uint16) (v, second record.Value, raw []byte, err error) {
	real, length := realType(typ, meta)
	switch real {
	case logpkg.MYSQL_TYPE_TINY, logpkg.MYSQL_TYPE_SHORT, logpkg.MYSQL_TYPE_INT24, logpkg.MYSQL_TYPE_LONG, logpkg.MYSQL_TYPE_LONGLONG:
		n := logpkg.FixedLengthInt(b)
		if c.kind == kindBoolean {
			return n != 0, nil, nil, nil
		}
		if c.unsigned {
			v, err := record.Canonical(n)
			return v, nil, nil, err
		}
		shift := 64 - 8*len(b)
		return record.Int(int64(n<<shift) >> shift), nil, nil, nil
	case logpkg.MYSQL_TYPE_YEAR:
		if b[0] == 0 {
			return record.Int(0), nil, nil, nil
		}
		return record.Int(int64(b[0]) + 1900), nil, nil, nil
	case logpkg.MYSQL_TYPE_BIT:
		return c.decodeBits(b), nil, nil, nil
	case logpkg.MYSQL_TYPE_NEWDECIMAL:
		v, err := logDecimal(b, int(meta>>8), int(meta&0xff))
		return v, nil, nil, err
	case logpkg.MYSQL_TYPE_ENUM:
		if n := int(logpkg.FixedLengthInt(b)); n > 0 && n <= len(c.labels) {
			return c.labels[n-1], nil, nil, nil
		}
		return "", nil, nil, nil
	case logpkg.MYSQL_TYPE_DATE, logpkg.MYSQL_TYPE_NEWDATE:
		n := int(logpkg.FixedLengthInt(b))
		return fmt.Sprintf("%04d-%02d-%02d", n>>9, n>>5&15, n&31), nil, nil, nil
	case logpkg.MYSQL_TYPE_TIMESTAMP, logpkg.MYSQL_TYPE_TIMESTAMP2:
		seconds := int64(binary.BigEndian.Uint32(b))
		if real == logpkg.MYSQL_TYPE_TIMESTAMP {
			seconds, meta = int64(binary.LittleEndian.Uint32(b)), 0
		}
		return record.Time(time.Unix(seconds, logFraction(b[4:], meta)*1000)), nil, nil, nil
	case logpkg.MYSQL_TYPE_DATETIME2:
		n := int64(logpkg.BFixedLengthInt(b[:5])) - 0x8000000000
		day, clock := n>>17, n&(1<<17-1)
		s := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06d", day>>5/13, day>>5%13, day&31, clock>>12, clock>>6&63, clock&63, logFraction(b[5:], meta))
		return trimFraction(s), nil, nil, nil
	case logpkg.MYSQL_TYPE_TIME2:
		n := int64(logpkg.BFixedLengthInt(b[:3])) - 0x800000
		if n >= 0 {
			return trimFraction(fmt.Sprintf("%02d:%02d:%02d.%06d", n>>12&1023, n>>6&63, n&63, logFraction(b[3:], meta))), nil, nil, nil
		}
	case logpkg.MYSQL_TYPE_VARCHAR, logpkg.MYSQL_TYPE_VAR_STRING, logpkg.MYSQL_TYPE_STRING:
		if length < 256 {
			b = b[1:]
		} else {
			b = b[2:]
		}
		return c.textFromLog(b)
	}
	return nil, nil, nil, errUnreadable{c.name}
}

func (c *column) textFromLog(b []byte) (v, second record.Value, raw []byte, err error) {
	switch c.kind {
	case kindFixedBytes: // the log leaves out zero bytes at the end
		full := make([]byte, max(c.length, len(b)))
		copy(full, b)
		return record.Bytes(full), nil, nil, nil
	case kindBytes:
		return record.Bytes(b), nil, nil, nil
	case kindUUID:
		full := make([]byte, 16)
		copy(full, b)
		plain, swapped := uuid.UUID(full), uuid.UUID{}
		// Most versions of MariaDB store the parts of a UUID in reverse order so that they sort by time.
		copy(swapped[0:4], full[12:16])
		copy(swapped[4:6], full[10:12])
		copy(swapped[6:8], full[8:10])
		copy(swapped[8:10], full[6:8])
		copy(swapped[10:16], full[0:6])
		return plain.String(), swapped.String(), nil, nil
	case kindAddress:
		if a, ok := netip.AddrFromSlice(b); ok {
			return a.String(), nil, nil, nil
		}
		return nil, nil, nil, errUnreadable{c.name}
	}
	if c.kind == kindChar {
		b = []byte(strings.TrimRight(string(b), " "))
	}
	switch {
	case strings.HasPrefix(c.charset, "utf8"), c.charset == "ascii":
		if utf8.Valid(b) {
			return string(b), nil, nil, nil
		}
	case c.charset == "latin1":
		return latin1(b), nil, nil, nil
	}
	return nil, nil, b, nil
}

// latin1 is MySQL's: Windows-1252, its five holes filled with the control characters of those numbers.
func latin1(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		r := charmap.Windows1252.DecodeByte(x)
		if r == utf8.RuneError {
			r = rune(x)
		}
		s.WriteRune(r)
	}
	return s.String()
}

// logFraction is the fraction of a second in microseconds.
func logFraction(b []byte, digits uint16) int64 {
	switch digits {
	case 1, 2:
		return int64(b[0]) * 10000
	case 3, 4:
		return int64(binary.BigEndian.Uint16(b)) * 100
	case 5, 6:
		return int64(logpkg.BFixedLengthInt(b[:3]))
	}
	return 0
}

// logDecimal reads a packed decimal: groups of nine digits in four bytes, a shorter group at each end; the first bit is
// the sign turned around, and negative numbers have all bits turned.
func logDecimal(data []byte, precision, scale int) (record.Value, error) {
	b := append([]byte{}, data...)
	negative := b[0]&0x80 == 0
	b[0] ^= 0x80
	if negative {
		for i := range b {
			b[i] ^= 0xff
		}
	}
	var s strings.Builder
	if negative {
		s.WriteByte('-')
	}
	group := func(digits int) {
		if digits == 0 {
			return
		}
		n := decimalBytes[digits]
		fmt.Fprintf(&s, "%0*d", digits, logpkg.BFixedLengthInt(b[:n]))
		b = b[n:]
	}
	s.WriteByte('0')
	whole := precision - scale
	group(whole % 9)
	for range whole / 9 {
		group(9)
	}
	s.WriteByte('.')
	for range scale / 9 {
		group(9)
	}
	group(scale % 9)
	return record.ParseNumber(s.String() + "0")
}

// substitute makes the key whose raw parts are given as texts.
func (t *table) substitute(k logKey, part func(i int) string) string {
	texts := t.texts(k.key)
	values := make([]record.Value, len(texts))
	for i, c := range t.key {
		if k.raw[i] != nil {
			values[i] = part(i)
		} else {
			values[i] = c.fromText(texts[i])
		}
	}
	return string(record.MakeKey(values...))
}
