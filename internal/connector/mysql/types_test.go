// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Each case is a column, what is written into it, and what the database is then found to hold.
func TestTypes(t *testing.T) {
	type one struct {
		give record.Value
		want record.Value // nil means the same; refused means that it is not taken
	}
	const refused = "<refused>"
	tests := []struct {
		column string
		typ    connector.Type
		scale  int
		values []one
	}{
		{"TINYINT(1)", connector.TypeBoolean, 0, []one{{true, nil}, {false, nil}, {n("1"), true}, {"true", true}, {n("7"), refused}}},
		{"TINYINT", connector.TypeInteger, 0, []one{{n("-128"), nil}, {n("127"), nil}, {n("128"), refused}, {n("1.5"), refused}, {"12", n("12")}}},
		{"TINYINT UNSIGNED", connector.TypeInteger, 0, []one{{n("255"), nil}, {n("-1"), refused}}},
		{"SMALLINT", connector.TypeInteger, 0, []one{{n("-32768"), nil}}},
		{"MEDIUMINT UNSIGNED", connector.TypeInteger, 0, []one{{n("16777215"), nil}, {n("16777216"), refused}}},
		{"INT", connector.TypeInteger, 0, []one{{n("-2147483648"), nil}, {true, n("1")}, {"x", refused}}},
		{"BIGINT", connector.TypeInteger, 0, []one{{n("-9223372036854775808"), nil}, {n("9007199254740993"), nil}, {n("9223372036854775808"), refused}}},
		{"BIGINT UNSIGNED", connector.TypeInteger, 0, []one{{n("18446744073709551615"), nil}}},
		{"DECIMAL(12,2)", connector.TypeNumber, 2, []one{{n("1234567890.12"), nil}, {n("1.005"), n("1.01")}, {n("-1.005"), n("-1.01")}, {n("1.5"), nil}, {n("12345678901"), refused}, {n("9999999999.999"), refused}}},
		{"DECIMAL(65,30)", connector.TypeNumber, 30, []one{{n("12345678901234567890123456789012345.123456789012345678901234567891"), nil}, {n("0.000000000000000000000000000001"), nil}}},
		{"DECIMAL(5,5)", connector.TypeNumber, 5, []one{{n("0.12345"), nil}, {n("1"), refused}, {n("-0.00001"), nil}}},
		{"FLOAT", connector.TypeFloat, -1, []one{{n("16777216"), nil}, {n("0.1"), nil}, {n("1.23456789"), n("1.2345679")}}},
		{"DOUBLE", connector.TypeFloat, -1, []one{{n("0.1"), nil}, {n("123456789.12345679"), nil}, {n("0.30000000000000004"), nil}, {n("-0.00000000000000000000000000000001234567890123456"), nil}, {n("1" + zeros(300)), nil}}},
		{"CHAR(5)", connector.TypeText, 0, []one{{"ab", nil}, {"ab   ", "ab"}, {"abcdef", refused}, {"", nil}}},
		{"VARCHAR(10)", connector.TypeText, 0, []one{{"it's \"q\" ", nil}, {"\\ \n\r\t\x00\x1a", nil}, {"ab  ", nil}, {"𝄞😀héé", nil}, {"12345678901", refused}, {n("1.5"), "1.5"}}},
		{"VARCHAR(10) CHARACTER SET latin1", connector.TypeText, 0, []one{{"é€", nil}, {"日本", refused}}},
		{"TEXT", connector.TypeText, 0, []one{{"x" + zeros(60000), nil}, {zeros(70000), refused}}},
		{"ENUM('small','big','it''s')", connector.TypeText, 0, []one{{"small", nil}, {"it's", nil}, {"BIG", "big"}, {"huge", refused}}},
		{"SET('a','b','c')", connector.TypeArray, 0, []one{{[]any{"a", "c"}, nil}, {[]any{"c", "a"}, []any{"a", "c"}}, {[]any{}, nil}, {[]any{"d"}, refused}}},
		{"JSON", connector.TypeJSON, 0, []one{{map[string]any{"a": []any{n("1.5"), nil, "x'y\\"}, "b": true}, map[string]any{"a": []any{n("1.5"), nil, "x'y\\"}, "b": true}}, {"text", nil}, {n("12"), nil}}},
		{"DATE", connector.TypeDate, 0, []one{{"2026-02-28", nil}, {"2026-02-30", refused}, {"0001-01-01", nil}}},
		{"DATETIME", connector.TypeDateTime, 0, []one{{"2026-01-02T03:04:05", nil}, {"2026-01-02T03:04:05.5", "2026-01-02T03:04:06"}, {"2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05"}}},
		{"DATETIME(6)", connector.TypeDateTime, 6, []one{{"2026-01-02T03:04:05.123456", nil}, {"9999-12-31T23:59:59.999999", nil}}},
		{"DATETIME(3)", connector.TypeDateTime, 3, []one{{"2026-01-02T03:04:05.1236", "2026-01-02T03:04:05.124"}}},
		{"TIMESTAMP(6) NULL", connector.TypeTimestamp, 6, []one{{"2026-01-02T03:04:05.123456Z", nil}, {"2026-07-01T00:00:00-05:00", "2026-07-01T05:00:00Z"}, {"1960-01-01T00:00:00Z", refused}}},
		{"TIME", connector.TypeTime, 0, []one{{"23:59:59", nil}, {"00:00:00", nil}, {"-12:30:00", nil}, {"838:59:59", nil}, {"25:61:00", refused}}},
		{"TIME(4)", connector.TypeTime, 4, []one{{"12:34:56.7891", nil}, {"12:34:56.78909", "12:34:56.7891"}}},
		{"YEAR", connector.TypeInteger, 0, []one{{n("2026"), nil}, {n("70"), refused}}},
		{"BINARY(4)", connector.TypeBytes, 0, []one{{record.Bytes([]byte{0, 255, 39, 92}), nil}, {record.Bytes([]byte{1}), record.Bytes([]byte{1, 0, 0, 0})}, {"%", refused}}},
		{"VARBINARY(4)", connector.TypeBytes, 0, []one{{record.Bytes([]byte{1, 0}), nil}, {"", nil}, {record.Bytes([]byte{1, 2, 3, 4, 5}), refused}}},
		{"BLOB", connector.TypeBytes, 0, []one{{record.Bytes([]byte("\x00\xff'\\")), nil}}},
		{"BIT(1)", connector.TypeBoolean, 0, []one{{true, nil}, {false, nil}}},
		{"BIT(12)", connector.TypeInteger, 0, []one{{n("4095"), nil}, {n("4096"), refused}}},
		{"UUID", connector.TypeUUID, 0, []one{{"0192d5a0-7f3c-7c1e-8a4b-0242ac120002", nil}, {"0192D5A0-7F3C-7C1E-8A4B-0242AC120002", "0192d5a0-7f3c-7c1e-8a4b-0242ac120002"}, {"x", refused}}},
		{"INET6", connector.TypeText, 0, []one{{"2001:db8::1", nil}, {"2001:DB8:0:0::1", "2001:db8::1"}, {"nonsense", refused}}},
	}
	for _, tt := range tests {
		t.Run(tt.column, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, "CREATE TABLE things (id INT PRIMARY KEY, v "+tt.column+")")
			s := d.open()
			ctx := context.Background()
			info, err := s.Describe(ctx, "things")
			if err != nil {
				t.Fatal(err)
			}
			f, _ := info[0].Field("v")
			if f.Type != tt.typ || f.Scale != tt.scale {
				t.Errorf("described as %s, scale %d; want %s, %d", f.Type, f.Scale, tt.typ, tt.scale)
			}
			var writes []connector.Write
			for i, v := range append(tt.values, one{nil, nil}) {
				writes = append(writes, connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(int64(i)), "v": v.give}})
			}
			receipts, err := s.Write(ctx, "things", writes)
			if err != nil {
				t.Fatal(err)
			}
			r := d.replica(s, "things", 100)
			r.drain()
			for i, v := range append(tt.values, one{nil, nil}) {
				key := record.Key(record.Int(int64(i)))
				want := v.want
				if want == nil {
					want = v.give
				}
				if want == refused {
					if receipts[i].Outcome != connector.Refused || receipts[i].Err == nil {
						t.Errorf("%v was %s, should be refused", v.give, receipts[i].Outcome)
					}
					if _, there := r.rows[key]; there {
						t.Errorf("%v was refused and stored", v.give)
					}
					continue
				}
				if receipts[i].Outcome != connector.Applied {
					t.Errorf("%v was %s: %v", v.give, receipts[i].Outcome, receipts[i].Err)
					continue
				}
				if got := r.rows[key]["v"]; !record.Equal(got, want) {
					t.Errorf("wrote %#v, read %#v, want %#v", v.give, got, want)
				}
				stored, told := receipts[i].Stored["v"]
				if same := record.Equal(want, v.give); same && told && !record.Equal(stored, want) || !same && !record.Equal(stored, want) {
					t.Errorf("wrote %#v; the receipt says %#v, want %#v", v.give, stored, want)
				}
			}
			// Once more: nothing changes. Then as updates, all at once.
			again, err := s.Write(ctx, "things", writes)
			if err != nil {
				t.Fatal(err)
			}
			var updates []connector.Write
			var values []int
			for i := range writes {
				if receipts[i].Outcome == connector.Applied {
					if again[i].Outcome != connector.Already {
						t.Errorf("%v again was %s: %v", writes[i].Fields["v"], again[i].Outcome, again[i].Err)
					}
				}
			}
			d.exec("UPDATE things SET v = NULL")
			for i := range writes {
				if receipts[i].Outcome == connector.Applied && i < len(tt.values) {
					updates = append(updates, connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Key: receipts[i].Key, Fields: record.Fields{"v": tt.values[i].give}, Expect: record.Fields{"v": nil}})
					values = append(values, i)
				}
			}
			if receipts, err = s.Write(ctx, "things", updates); err != nil {
				t.Fatal(err)
			}
			r.until()
			for i, v := range values {
				want := tt.values[v].want
				if want == nil {
					want = tt.values[v].give
				}
				if receipts[i].Outcome != connector.Applied {
					t.Errorf("update with %v was %s: %v", tt.values[v].give, receipts[i].Outcome, receipts[i].Err)
				} else if got := r.rows[updates[i].Key]["v"]; !record.Equal(got, want) {
					t.Errorf("updated with %#v, read %#v, want %#v", tt.values[v].give, got, want)
				}
			}
		})
	}
}

func zeros(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return string(b)
}

// Dates that are none are read as no value, in a first read and in the log, and do not keep the row from being written; generated columns
// are read and never written.
func TestZeroDatesAndGeneratedColumns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE old (id INT PRIMARY KEY, day DATE NOT NULL, at DATETIME NULL, note TEXT, twice INT AS (id * 2) VIRTUAL, shout VARCHAR(20) AS (UPPER(note)) STORED)")
	d.exec("SET STATEMENT sql_mode = '' FOR INSERT INTO old (id, day, at, note) VALUES (1, '0000-00-00', '0000-00-00 00:00:00', 'a'), (2, '2026-02-00', '2026-02-03 04:05:06', 'b')")
	s := d.open()
	info, err := s.Describe(context.Background(), "old")
	if err != nil {
		t.Fatal(err)
	}
	for name, readOnly := range map[string]bool{"twice": true, "shout": true, "day": false} {
		if f, _ := info[0].Field(name); f.ReadOnly != readOnly {
			t.Errorf("%s: read only is %v", name, f.ReadOnly)
		}
	}
	r := d.replica(s, "old", 100)
	r.drain()
	check := func(note string) {
		t.Helper()
		one, two := r.rows["1"], r.rows["2"]
		if one["day"] != nil || one["at"] != nil || two["day"] != nil || two["at"] != "2026-02-03T04:05:06" || one["note"] != note || !record.Equal(two["twice"], n("4")) {
			t.Errorf("read are %v and %v", one, two)
		}
	}
	check("a")
	receipts, err := s.Write(context.Background(), "old", []connector.Write{
		{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"note": "c"}, Expect: record.Fields{"day": nil, "note": "a"}},
		{ID: record.NewEntityID(), Op: record.Upsert, Key: "2", Fields: record.Fields{"twice": n("5")}},
	})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Refused {
		t.Fatalf("the receipts are %+v, %v", receipts, err)
	}
	r.until()
	check("c") // what the server computes of our own write is news
	d.exec("UPDATE old SET note = 'd' WHERE id = 1")
	r.until()
	check("d")
}
