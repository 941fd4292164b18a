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

// A name stands for what was known by it while the system has nothing else by that name.
func TestSameName(t *testing.T) {
	t.Parallel()
	r := &Reference{Parent: &Seat{System: "crm", Object: "accounts"}}
	here, gone, other := record.NewEntityID(), record.NewEntityID(), record.NewEntityID()
	keys := map[record.EntityID]record.Key{here: "1", other: "2"}
	former := map[record.EntityID][]record.Key{gone: {"7"}, other: {"4", "5"}}
	to := func(e record.EntityID) record.Reference { return record.Reference{Entity: e} }
	missing := func(system record.System, key record.Key) record.Reference {
		return record.Reference{System: system, Object: "accounts", Key: key}
	}
	for name, c := range map[string]struct {
		was, is record.Reference
		same    bool
	}{
		"the record is gone, and its key with it":  {to(gone), missing("crm", "7"), true},
		"made again with another key":              {to(other), missing("crm", "5"), true},
		"made again more than once":                {to(other), missing("crm", "4"), true},
		"another key in place of one that is gone": {to(gone), missing("crm", "8"), false},
		"the same key of another object's system":  {to(gone), missing("shop", "7"), false},
		"named before it was known":                {missing("crm", "1"), to(here), true},
		"unlinked since it was read":               {to(here), missing("crm", "1"), true},
		"another record":                           {to(here), to(other), false},
		"another in place of one that is gone":     {to(gone), to(other), false},
		"a key of nobody in place of a record":     {to(here), missing("crm", "7"), false},
		"another key of nobody":                    {missing("crm", "8"), missing("crm", "7"), false},
		"another was meant before it was known":    {missing("crm", "2"), to(here), false},
		"by the key of another system":             {missing("shop", "1"), to(here), false},
		"what was read is gone meanwhile":          {missing("crm", "9"), to(gone), false},
	} {
		if got := r.sameName(c.was, c.is, keys, former); got != c.same {
			t.Errorf("%s: %t", name, got)
		}
	}
}
