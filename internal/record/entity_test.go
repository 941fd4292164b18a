// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/record"
)

// The shadow is what the system last held, whichever way we learnt of it.
func TestShadow(t *testing.T) {
	e := &record.Entity{Fields: record.Fields{"name": "Oak Desk", "price": record.Number("9.99"), "note": "  new  "}}
	l := &record.Link{Behind: record.Fields{"price": record.Number("8")}, OwnForm: record.Fields{"note": "new"}}
	for field, want := range map[string]record.Value{"name": "Oak Desk", "price": record.Number("8"), "note": "new", "other": nil} {
		if got := l.Shadow(e, field); !record.Equal(got, want) {
			t.Errorf("the shadow of %s is %v, want %v", field, got, want)
		}
	}
}

// Of several moves of the entity the system still holds what it held before the first.
func TestSetBehind(t *testing.T) {
	l := &record.Link{}
	l.SetBehind("price", record.Number("1"))
	l.SetBehind("price", record.Number("2"))
	if got := l.Behind["price"]; !record.Equal(got, record.Number("1")) {
		t.Errorf("behind is %v, want the first value", got)
	}
}

// Whatever was noted before, what the system is said to hold is its shadow, in at most one place.
func TestHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SampledFrom([]record.Value{nil, "a", "b", record.Number("1")})
		present, v := some.Draw(t, "present"), some.Draw(t, "held")
		e := &record.Entity{Fields: record.Fields{"f": present}}
		l := &record.Link{}
		if rapid.Bool().Draw(t, "was behind") {
			l.Behind = record.Fields{"f": some.Draw(t, "behind")}
		}
		if rapid.Bool().Draw(t, "had its own form") {
			l.OwnForm = record.Fields{"f": some.Draw(t, "own form")}
		}
		accepted := rapid.Bool().Draw(t, "accepted")
		l.Holds("f", v, present, accepted)
		if !record.Equal(l.Shadow(e, "f"), v) {
			t.Fatalf("the shadow is %v, want %v", l.Shadow(e, "f"), v)
		}
		_, behind := l.Behind["f"]
		_, own := l.OwnForm["f"]
		if same := record.Equal(v, present); behind != (!same && !accepted) || own != (!same && accepted) {
			t.Fatalf("equal %v, accepted %v: behind %v, own form %v", same, accepted, behind, own)
		}
	})
}

func TestStamps(t *testing.T) {
	made, changed := time.Unix(1, 0), time.Unix(2, 0)
	e := &record.Entity{Origin: "crm", CreatedAt: made, Stamps: map[string]record.Stamp{"name": {System: "shop", At: changed}}}
	if got := e.StampOf("name"); got.System != "shop" || !got.At.Equal(changed) {
		t.Errorf("a changed field's stamp is %v", got)
	}
	if got := e.StampOf("price"); got.System != "crm" || !got.At.Equal(made) {
		t.Errorf("another field's stamp is %v, want origin and making", got)
	}
	e.Held = []string{"name"}
	if !e.IsHeld("name") || e.IsHeld("price") {
		t.Error("one field is held, and only that")
	}
	e.Held = []string{record.WholeRecord}
	if !e.IsHeld("price") {
		t.Error("a held record holds all its fields")
	}
}

// Ids made later sort later; lists and locks go by that.
func TestEntityIDsAreInOrder(t *testing.T) {
	before := record.NewEntityID()
	for range 1000 {
		next := record.NewEntityID()
		if string(before[:]) >= string(next[:]) {
			t.Fatalf("%s was made before %s", before, next)
		}
		before = next
	}
}
