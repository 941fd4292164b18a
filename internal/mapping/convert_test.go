// SPDX-License-Identifier: Apache-2.0

package mapping_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestConvert(t *testing.T) {
	num := func(s string) record.Value { return record.Number(s) }
	list := []any{num("1"), "a"}
	tests := []struct {
		in   record.Value
		to   connector.Type
		want record.Value
	}{
		{num("1.5"), connector.TypeText, "1.5"}, {true, connector.TypeText, "true"}, {list, connector.TypeText, `[1,"a"]`},
		{"7", connector.TypeInteger, num("7")}, {" 7 ", connector.TypeInteger, num("7")}, {num("7"), connector.TypeInteger, num("7")}, {true, connector.TypeInteger, num("1")},
		{"1.50", connector.TypeNumber, num("1.5")}, {false, connector.TypeFloat, num("0")},
		{"yes", connector.TypeBoolean, true}, {"F", connector.TypeBoolean, false}, {num("1"), connector.TypeBoolean, true}, {num("0"), connector.TypeBoolean, false},
		{"2026-11-23T10:00:00+02:00", connector.TypeTimestamp, "2026-11-23T08:00:00Z"}, {"2026-11-23 10:00:00.5", connector.TypeTimestamp, "2026-11-23T10:00:00.5Z"},
		{"2026-11-23", connector.TypeTimestamp, "2026-11-23T00:00:00Z"}, {"2026-11-23T10:00:00Z", connector.TypeDateTime, "2026-11-23T10:00:00"},
		{"2026-11-23T10:00:00.120Z", connector.TypeDateTime, "2026-11-23T10:00:00.12"}, {"2026-11-23T23:30:00-02:00", connector.TypeDate, "2026-11-24"},
		{"09:30", connector.TypeTime, "09:30:00"}, {"09:30:01.500", connector.TypeTime, "09:30:01.5"}, {"2026-11-23T09:30:00Z", connector.TypeTime, "09:30:00"},
		{"A1B2C3D4-0000-4000-8000-000000000000", connector.TypeUUID, "a1b2c3d4-0000-4000-8000-000000000000"},
		{list, connector.TypeArray, list}, {`[1,"a"]`, connector.TypeArray, list}, {list, connector.TypeJSON, list}, {"x", connector.TypeJSON, "x"},
		{"AQI=", connector.TypeBytes, "AQI="}, {"x", "", "x"},
	}
	for _, test := range tests {
		if got, err := mapping.Convert(test.in, test.to); err != nil || !record.Equal(got, test.want) {
			t.Errorf("%v to %s is %v, %v; want %v", test.in, test.to, got, err, test.want)
		}
	}
}

// What has no such form is refused, with the value in the message, and not bent into shape.
func TestConvertRefuses(t *testing.T) {
	tests := []struct {
		in record.Value
		to connector.Type
	}{
		{"abc", connector.TypeInteger}, {record.Number("2.5"), connector.TypeInteger}, {"", connector.TypeInteger}, {[]any{}, connector.TypeNumber}, {"1,5", connector.TypeNumber},
		{"maybe", connector.TypeBoolean}, {record.Number("2"), connector.TypeBoolean}, {"23.11.2026", connector.TypeDate}, {"2026-02-30", connector.TypeDate}, {true, connector.TypeTimestamp},
		{"25:00", connector.TypeTime}, {record.Number("1"), connector.TypeTime}, {record.Number("1"), connector.TypeUUID}, {"[1] and more", connector.TypeArray}, {`{"a":1}`, connector.TypeArray}, {true, connector.TypeBytes},
	}
	for _, test := range tests {
		if got, err := mapping.Convert(test.in, test.to); err == nil {
			t.Errorf("%v to %s is %v, want an error", test.in, test.to, got)
		}
	}
}

var allTypes = []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeFloat, connector.TypeBoolean, connector.TypeTimestamp,
	connector.TypeDateTime, connector.TypeDate, connector.TypeTime, connector.TypeBytes, connector.TypeJSON, connector.TypeArray, connector.TypeUUID}

// Nothing has a form of nothing, in any type; and what was converted once is a value of that type, so that converting it
// again leaves it.
func TestConvertTwice(t *testing.T) {
	for _, to := range allTypes {
		if got, err := mapping.Convert(nil, to); got != nil || err != nil {
			t.Errorf("null to %s is %v, %v", to, got, err)
		}
	}
	texts := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,6}(\.[0-9]{1,3})?`), rapid.StringMatching(`20[0-9]{2}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)?)?)?`))
	rapid.Check(t, func(t *rapid.T) {
		to := rapid.SampledFrom(allTypes).Draw(t, "type")
		once, err := mapping.Convert(texts.Draw(t, "text"), to)
		if err != nil {
			return
		}
		if twice, err := mapping.Convert(once, to); err != nil || !record.Equal(once, twice) {
			t.Fatalf("as %s it is %v, and that as %s is %v, %v", to, once, to, twice, err)
		}
	})
}
