// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// longWay is ParseJSON without the short one.
func longWay(b []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, json.Unmarshal([]byte("x"), &v)
	}
	return Canonical(v)
}

// Whatever the short way takes, the long way takes, too, and reads as the same.
func TestFlatIsTheSame(t *testing.T) {
	same := func(t interface{ Fatalf(string, ...any) }, text string) bool {
		short, ok := parseFlat([]byte(text))
		if !ok {
			return false
		}
		long, err := longWay([]byte(text))
		if err != nil || !Equal(short, long) {
			t.Fatalf("%q is %v by the short way and %v, %v by the long one", text, short, long, err)
		}
		return true
	}
	for _, text := range []string{`{}`, ` {}`, `{"a": 1}`, `{"a":"b","c":null,"d":true,"e":false,"f":-0.50e1,"g":0,"ü":"ü"} `, `{"a": 1, "a": 2}`, "{\n\t\"a\" : \"x\" }\r\n", `{"n": 12345678901234567890.10}`} {
		if !same(t, text) && text[0] == '{' {
			t.Errorf("%q goes the long way", text)
		}
	}
	for _, text := range []string{``, `{`, `{"a"}`, `{"a":}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`, `{"a":nul}`, `{"a":"b`, `{"a":1,}`, `{"a":1}x`, `{"a":1}{}`, `{"a":1} 2`,
		`{"a":"\\u0041"}`, `{"a":[1]}`, `{"a":{}}`, `[1]`, `1`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{\"a\":1}\x00", `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1e99999}`} {
		if _, ok := parseFlat([]byte(text)); ok {
			t.Errorf("%q goes the short way", text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.StringMatching(`\{( ?"[a-bü]{0,2}" ?: ?("[^"]{0,3}"|-?[0-9]{1,3}(\.[0-9]{0,2})?([eE][-+]?[0-9]?)?|true|false|null|[a-z]) ?,?){0,3}\}?[ x]?`).Draw(t, "text"))
	})
}
