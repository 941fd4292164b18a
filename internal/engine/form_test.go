// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

// A system's own form of a value is shorter, filled up, or written otherwise; more than the value is another value.
func TestSameForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		own, v any
		same   bool
	}{
		{"Oak", "oak", true},
		{"+1 415 555-0100", "+14155550100", true},
		{"a long na", "a long name", true},
		{"3.14", "3.14159", true},
		{"12.500", "12.5", true},
		{"2026-11-23T00:00:00Z", "2026-11-23", true},
		{"a-oak-29", "a-oak", false},
		{"elm", "oak", false},
		{"", "oak", false},
		{"oak", "", false},
		{record.Number("3.14"), record.Number("3.14159"), true},
		{record.Number("409"), record.Number("408.6"), true},
		{record.Number("40"), record.Number("408"), false},
	} {
		if got := sameForm(c.own, c.v); got != c.same {
			t.Errorf("%v for %v: %t", c.own, c.v, got)
		}
	}
}
