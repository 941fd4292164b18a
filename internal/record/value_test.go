// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/record"
)

// text is any text without the zero byte, which no canonical form in the database holds.
func text() *rapid.Generator[string] {
	return rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, 0) })
}

// decimals are numbers as people and systems write them.
func decimals() *rapid.Generator[string] {
	return rapid.StringMatching(`[-+]?([0-9]{1,20}(\.[0-9]{0,12})?|\.[0-9]{1,12})([eE][-+]?[0-9]{1,2})?`)
}

// values are canonical values of all kinds, nested up to a depth.
func values(depth int) *rapid.Generator[record.Value] {
	return rapid.Custom(func(t *rapid.T) record.Value {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			n, err := record.ParseNumber(decimals().Draw(t, "number"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		case 3:
			return text().Draw(t, "text")
		case 4:
			return rapid.SliceOfN(values(depth-1), 0, 4).Draw(t, "list")
		default:
			return rapid.MapOfN(text(), values(depth-1), 0, 4).Draw(t, "object")
		}
	})
}

func TestParseNumber(t *testing.T) {
	tests := []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"+0.00", "0"}, {"00012", "12"}, {"1.50", "1.5"}, {"1.0", "1"}, {".5", "0.5"}, {"5.", "5"},
		{"-1.10", "-1.1"}, {"1e3", "1000"}, {"1E-3", "0.001"}, {"12.5e1", "125"}, {"-1.5e+2", "-150"}, {"0e999", "0"},
		{"123456789012345678901234567890.10", "123456789012345678901234567890.1"},
	}
	for _, test := range tests {
		if got, err := record.ParseNumber(test.in); err != nil || string(got) != test.want {
			t.Errorf("ParseNumber(%q) = %q, %v; want %q", test.in, got, err, test.want)
		}
	}
	for _, in := range []string{"", "-", ".", "1.2.3", "1,5", "0x10", "NaN", "Infinity", "1e", "1e1.5", "1e1001", "1e-1001", " 1", "1 ", "١"} {
		if got, err := record.ParseNumber(in); err == nil {
			t.Errorf("ParseNumber(%q) = %q, want an error", in, got)
		}
	}
}

// A number keeps its value, and equal values have one text.
func TestNumbersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := decimals().Draw(t, "in")
		n, err := record.ParseNumber(in)
		if err != nil {
			t.Fatal(err)
		}
		want, ok := new(big.Rat).SetString(in)
		if !ok {
			t.Skip("not a rational's text")
		}
		got, ok := new(big.Rat).SetString(string(n))
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%q became %q", in, n)
		}
		if again, err := record.ParseNumber(string(n)); err != nil || again != n {
			t.Fatalf("%q is not its own shortest form: %q, %v", n, again, err)
		}
		if strings.ContainsAny(string(n), "eE+") || n == "-0" || strings.Contains(string(n), ".") && strings.HasSuffix(string(n), "0") {
			t.Fatalf("%q is not the shortest plain notation of %q", n, in)
		}
		zeros := in
		if !strings.ContainsAny(in, ".eE") {
			zeros += ".000"
		}
		if other, err := record.ParseNumber(zeros); err != nil || other != n {
			t.Fatalf("%q and %q are %q and %q", in, zeros, n, other)
		}
	})
}

func TestCanonical(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 30, 0, 1500, time.FixedZone("", 3600))
	tests := []struct {
		in   any
		want record.Value
	}{
		{int64(-7), record.Number("-7")}, {int8(7), record.Number("7")}, {uint64(math.MaxUint64), record.Number("18446744073709551615")},
		{1.5, record.Number("1.5")}, {float32(0.1), record.Number("0.1")}, {0.1, record.Number("0.1")}, {1e21, record.Number("1000000000000000000000")},
		{json.Number("1.10"), record.Number("1.1")}, {"x", "x"}, {true, true}, {nil, nil},
		{at, "2026-11-23T09:30:00.000002Z"}, {[]byte{0xff, 0}, "/wA="},
		{[]any{1, "a"}, []any{record.Number("1"), "a"}}, {map[string]any{"a": 2.50}, map[string]any{"a": record.Number("2.5")}},
	}
	for _, test := range tests {
		if got, err := record.Canonical(test.in); err != nil || !record.Equal(got, test.want) {
			t.Errorf("Canonical(%#v) = %#v, %v; want %#v", test.in, got, err, test.want)
		}
	}
	for _, in := range []any{math.NaN(), math.Inf(1), "\xff", struct{}{}, []any{math.NaN()}, map[string]any{"a": "\xff"}} {
		if got, err := record.Canonical(in); err == nil {
			t.Errorf("Canonical(%#v) = %#v, want an error", in, got)
		}
	}
}

func TestParseJSON(t *testing.T) {
	got, err := record.ParseJSON([]byte(` {"a": [1.50, null, true], "b": "x"} `))
	want := map[string]any{"a": []any{record.Number("1.5"), nil, true}, "b": "x"}
	if err != nil || !record.Equal(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
	for _, in := range []string{"", "{", "1 2", "[1] x", `{"a":1}{"b":2}`, "nul", "1e5000"} {
		if got, err := record.ParseJSON([]byte(in)); err == nil {
			t.Errorf("ParseJSON(%q) = %#v, want an error: what stands behind a value must not be lost", in, got)
		}
	}
}

// What is written to the database comes back equal, and equal values are written alike, so that bytes can be compared.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		b := record.AppendJSON(nil, v)
		if !json.Valid(b) {
			t.Fatalf("%#v was written as %s", v, b)
		}
		back, err := record.ParseJSON(b)
		if err != nil || !record.Equal(v, back) {
			t.Fatalf("%#v was written as %s and read as %#v, %v", v, b, back, err)
		}
		if again := record.AppendJSON(nil, back); string(again) != string(b) {
			t.Fatalf("equal values were written as %s and %s", b, again)
		}
	})
}

// Equal is equality: of a value with itself and with a copy, both ways round, and of nothing else.
func TestEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(2).Draw(t, "a"), values(2).Draw(t, "b")
		if !record.Equal(a, a) || !record.Equal(b, b) {
			t.Fatal("a value is not equal to itself")
		}
		same := string(record.AppendJSON(nil, a)) == string(record.AppendJSON(nil, b))
		if record.Equal(a, b) != same || record.Equal(b, a) != same {
			t.Fatalf("%#v and %#v: Equal says %v and %v, their texts %v", a, b, record.Equal(a, b), record.Equal(b, a), same)
		}
	})
	for _, pair := range [][2]record.Value{{nil, ""}, {nil, false}, {record.Number("1"), "1"}, {record.Number("1"), true}, {[]any{}, nil},
		{[]any{}, map[string]any{}}, {map[string]any{"a": nil}, map[string]any{"b": nil}}, {[]any{"a", "b"}, []any{"b", "a"}}} {
		if record.Equal(pair[0], pair[1]) {
			t.Errorf("%#v and %#v are equal", pair[0], pair[1])
		}
	}
}

func TestFieldsJSON(t *testing.T) {
	f := record.Fields{"b": record.Number("1.5"), "a": nil}
	b, err := json.Marshal(f)
	if err != nil || string(b) != `{"a":null,"b":1.5}` {
		t.Errorf("%s, %v", b, err)
	}
	var back record.Fields
	if err := json.Unmarshal(b, &back); err != nil || !back.Equal(f) {
		t.Errorf("%#v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`[1]`), &back); err == nil {
		t.Error("a list was taken for fields")
	}
	clone := f.Clone()
	clone["a"] = "changed"
	if f["a"] != nil {
		t.Error("a clone shares its map with the original")
	}
}

// A key of several columns gives its parts back, whatever they hold, and different parts make different keys.
func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(text(), 1, 4).Draw(t, "parts")
		asValues := make([]record.Value, len(parts))
		for i, p := range parts {
			asValues[i] = p
		}
		key := record.MakeKey(asValues...)
		got, err := key.Parts(len(parts))
		if err != nil || strings.Join(got, "\x00") != strings.Join(parts, "\x00") {
			t.Fatalf("%q became the key %q, and that %q, %v", parts, key, got, err)
		}
	})
	if got := record.MakeKey("DE", record.Number("7")); got != `["DE",7]` {
		t.Errorf("a key of two columns is %s", got)
	}
	for _, k := range []record.Key{"x", `["a"]`, `["a","b","c"]`, `{"a":1}`, `["a","b"] x`} {
		if parts, err := k.Parts(2); err == nil {
			t.Errorf("%q has the parts %q, want an error", k, parts)
		}
	}
}
