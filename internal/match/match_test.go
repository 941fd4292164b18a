// SPDX-License-Identifier: Apache-2.0

package match_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestKey(t *testing.T) {
	tests := []struct {
		name   string
		fields record.Fields
		by     []string
		want   string
	}{
		{"one field", record.Fields{"sku": "A-1"}, []string{"sku"}, "A-1"},
		{"a number and its text are the same", record.Fields{"id": record.Number("7")}, []string{"id"}, "7"},
		{"several fields, in the order of the document", record.Fields{"sku": "A", "country": "DE"}, []string{"country", "sku"}, `["DE","A"]`},
		{"a number in a list matches its text too", record.Fields{"a": record.Number("7"), "b": "x"}, []string{"a", "b"}, `["7","x"]`},
		{"no match fields match nothing", record.Fields{"sku": "A"}, nil, ""},
		{"a missing value matches nothing", record.Fields{"sku": nil}, []string{"sku"}, ""},
		{"nor does empty text", record.Fields{"sku": ""}, []string{"sku"}, ""},
		{"nor one empty field of several", record.Fields{"sku": "A"}, []string{"sku", "country"}, ""},
		{"zero and false are values", record.Fields{"a": record.Number("0"), "b": false}, []string{"a", "b"}, `["0","false"]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := match.Key(test.fields, test.by); got != test.want {
				t.Errorf("key %q, want %q", got, test.want)
			}
		})
	}
}

// A long key becomes its digest: it fits into an index, and two that differ at the end stay apart.
func TestLongKeys(t *testing.T) {
	long := strings.Repeat("x", 5000)
	a, b := match.Key(record.Fields{"f": long + "a"}, []string{"f"}), match.Key(record.Fields{"f": long + "b"}, []string{"f"})
	if a == b || len(a) > 400 || !strings.HasPrefix(a, "sha256:") {
		t.Errorf("keys %q and %q", a, b)
	}
	if again := match.Key(record.Fields{"f": long + "a"}, []string{"f"}); again != a {
		t.Error("the same values made another key")
	}
}

// Parts that run into each other in another place do not make the same key.
func TestKeysKeepTheirPartsApart(t *testing.T) {
	part := rapid.StringMatching(`[a",\\\[\]]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		a := record.Fields{"x": part.Draw(t, "ax"), "y": part.Draw(t, "ay")}
		b := record.Fields{"x": part.Draw(t, "bx"), "y": part.Draw(t, "by")}
		by := []string{"x", "y"}
		if same := match.Key(a, by) == match.Key(b, by); same != a.Equal(b) {
			t.Fatalf("%v and %v: same key %v", a, b, same)
		}
	})
}

func TestDecide(t *testing.T) {
	deletedAt := time.Unix(1, 0)
	entity := func(deleted bool, systems ...record.System) *record.Entity {
		e := &record.Entity{ID: record.NewEntityID(), Links: map[record.System]*record.Link{}}
		for _, s := range systems {
			e.Links[s] = &record.Link{System: s}
		}
		if deleted {
			e.DeletedAt = &deletedAt
		}
		return e
	}
	const living, deleted = false, true
	tests := []struct {
		name       string
		candidates []*record.Entity
		want       match.Outcome
		index      int // of the entity found; -1 for none
	}{
		{"nothing like it", nil, match.New, -1},
		{"one other system has it", []*record.Entity{entity(living, "crm")}, match.Found, 0},
		{"two things are like it", []*record.Entity{entity(living, "crm"), entity(living, "erp")}, match.Ambiguous, -1},
		{"this system has one already", []*record.Entity{entity(living, "shop", "crm")}, match.Duplicate, 0},
		{"one is taken, another free", []*record.Entity{entity(living, "shop"), entity(living, "crm")}, match.Found, 1},
		{"it was deleted, and a copy still stands", []*record.Entity{entity(deleted, "crm")}, match.Found, 0},
		{"it was deleted everywhere", []*record.Entity{entity(deleted)}, match.New, -1},
		{"it was deleted, its record here about to go", []*record.Entity{entity(deleted, "shop")}, match.New, -1},
		{"a living one goes before a deleted one", []*record.Entity{entity(deleted, "crm"), entity(living, "crm")}, match.Found, 1},
		{"a taken one goes before a deleted one", []*record.Entity{entity(deleted, "crm"), entity(living, "shop")}, match.Duplicate, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, e := match.Decide("shop", test.candidates)
			if got != test.want {
				t.Errorf("outcome %d, want %d", got, test.want)
			}
			if test.index < 0 && e != nil || test.index >= 0 && e != test.candidates[test.index] {
				t.Errorf("the wrong entity was found: %v", e)
			}
		})
	}
}
