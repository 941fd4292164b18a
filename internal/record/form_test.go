// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

func TestFormOf(t *testing.T) {
	for _, test := range []struct {
		held, sent record.Value
		want       bool
	}{
		{"ADA", "ada", true}, {"ada@x.example", " Ada@X.example ", true}, {"Ada Lovelace", "Ada  Lovelace\n", true},
		{"Ada", "Grace", false}, {"Ad", "Ada", false}, {"", "Ada", false}, {"Ada", nil, false}, {nil, "Ada", false},
		{"A description that", "A description that is too long", true}, {"A description", "A description that is too long", false},
		{"+493012345678", "+49 (30) 1234-5678", true}, {"03012345678", "+493012345678", false}, {"3.5", "35", false}, {"1234567", "123-4567", false},
		{record.Number("1.23"), record.Number("1.234"), true}, {record.Number("1.24"), record.Number("1.235"), true}, {record.Number("2"), record.Number("1.9"), true},
		{record.Number("1.23"), record.Number("1.25"), false}, {record.Number("1.2345"), record.Number("1.23"), false}, {record.Number("500"), record.Number("812"), false},
		{record.Number("1.2"), record.Number("1.35"), false}, {record.Number("1.2"), record.Number("1.29"), true}, {record.Number("-1.2"), record.Number("-1.29"), true},
		{record.Number("38.7"), record.Number("38.62"), false}, {record.Number("-1.3"), record.Number("-1.21"), false}, {record.Number("0"), record.Number("-0.4"), true}, {"1", record.Number("1"), false}, {true, true, false},
	} {
		if got := record.FormOf(test.held, test.sent); got != test.want {
			t.Errorf("FormOf(%v, %v) = %v", test.held, test.sent, got)
		}
	}
}
