// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// contacts are records with texts worth tidying, and objects and lists worth merging.
var contacts = connector.ObjectInfo{
	Name: "contacts",
	Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeText},
		{Name: "name", Type: connector.TypeText, Nullable: true},
		{Name: "email", Type: connector.TypeText, Nullable: true},
		{Name: "phone", Type: connector.TypeText, Nullable: true},
		{Name: "score", Type: connector.TypeNumber, Nullable: true, Scale: -1},
		{Name: "tags", Type: connector.TypeArray, Nullable: true},
		{Name: "address", Type: connector.TypeJSON, Nullable: true},
	},
	Key: []string{"id"},
}

func people(t *testing.T, direction, rest string) *world {
	t.Helper()
	doc := "service: people\ndirection: " + direction + "\nsystems:\n  - {id: crm, type: memory, objects: [contacts]}\n  - {id: shop, type: memory, objects: [contacts]}\n" + rest
	return newWorld(t, doc, map[record.System]connector.ObjectInfo{"crm": contacts, "shop": contacts})
}

const tidy = `syncConfig:
  conflictResolution: manual
  cleansing: {trimWhitespace: true, emptyToNull: true, normalizeCase: {email: lowercase, name: titlecase}}
  validation:
    email: {format: email}
    phone: {format: E.164, normalize: true, region: DE}
    score: {min: 0, precision: 2}
`

// What came in untidied is tidy in all systems in the end, its own included, and nobody writes for ever.
func TestCleansing(t *testing.T) {
	w := people(t, "bi-directional", tidy)
	w.put("crm", "1", record.Fields{"id": "1", "name": " ada  LOVELACE ", "email": "Ada@Example.com", "phone": "0731/123 45-67"})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "name", "Ada  Lovelace")
		w.holds(s, "1", "email", "ada@example.com")
		w.holds(s, "1", "phone", "+497311234567")
	}
	w.quiet()
	// An untidy edit is a change; its tidied form is written back once.
	w.put("shop", "1", record.Fields{"name": "ADA KING"})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "name", "Ada King")
	}
	w.quiet()
	// Untidiness that means nothing else stays as it is and moves nothing.
	writes := w.writes()
	w.put("crm", "1", record.Fields{"name": " Ada King"})
	w.settle()
	w.holds("crm", "1", "name", " Ada King")
	if w.writes() != writes {
		t.Error("white space was written back")
	}
	// A second edit before the first's tidied form arrived is no conflict of the system with itself.
	w.put("crm", "1", record.Fields{"name": "ADA B"})
	w.pull("crm")
	w.put("crm", "1", record.Fields{"name": "ADA BYRON"})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "name", "Ada Byron")
	}
	w.quiet()
}

// A source that takes no changes keeps its own form, and is not written to.
func TestCleansingTowardsOneSide(t *testing.T) {
	w := people(t, "unidirectional", tidy)
	w.put("crm", "1", record.Fields{"id": "1", "email": "Ada@Example.com", "name": ""})
	w.settle()
	w.holds("crm", "1", "email", "Ada@Example.com")
	w.holds("shop", "1", "email", "ada@example.com")
	w.holds("shop", "1", "name", nil)
	w.pull("crm")
	if l := w.one().Links["crm"]; len(l.Behind) > 0 || !record.Equal(l.OwnForm["email"], "Ada@Example.com") {
		t.Errorf("the source's link is %+v", l)
	}
}

// A system that brings everything into a form of its own is written to once, and then left alone.
func TestCleansingAgainstASystemThatInsists(t *testing.T) {
	w := people(t, "bi-directional", tidy)
	w.put("crm", "1", record.Fields{"id": "1", "email": "ada@example.com"})
	w.settle()
	for range 3 { // each time it was written, it writes its own form
		w.put("crm", "1", record.Fields{"email": "ADA@EXAMPLE.COM"})
		w.settle()
	}
	w.holds("crm", "1", "email", "ADA@EXAMPLE.COM")
	w.holds("shop", "1", "email", "ada@example.com")
	w.quiet()
}

// Records are the same when they are tidied to the same.
func TestCleansingBeforeMatching(t *testing.T) {
	w := people(t, "bi-directional", strings.Replace(tidy, "conflictResolution: manual", "matchFields: [email]", 1))
	w.put("crm", "1", record.Fields{"id": "1", "email": "Ada@Example.com "})
	w.put("shop", "9", record.Fields{"id": "9", "email": "ada@example.COM"})
	w.pull("crm")
	w.pull("shop")
	if e := w.one(); e.MatchKey != "ada@example.com" || len(e.Links) != 2 {
		t.Errorf("the entity is %+v", e)
	}
}

func TestValidation(t *testing.T) {
	w := people(t, "bi-directional", tidy)
	w.put("crm", "1", record.Fields{"id": "1", "email": "nobody", "score": record.Number("1")})
	w.put("crm", "2", record.Fields{"id": "2", "email": "ada@example.com", "score": record.Number("1.005")})
	w.put("crm", "3", record.Fields{"id": "3", "email": "bob@example.com", "score": record.Number("1.25")})
	w.settle()
	if d := w.deadIn["crm"]["1"]; d.Code != "record.invalid" || d.Field != "email" || d.Rule != "format" || !strings.Contains(d.Message, "email") {
		t.Errorf("the dead letter is %+v", d)
	}
	if d := w.deadIn["crm"]["2"]; d.Field != "score" || d.Rule != "precision" {
		t.Errorf("the dead letter is %+v", d)
	}
	w.holds("shop", "3", "email", "bob@example.com")
	if w.user("shop").Get("1") != nil || w.user("shop").Get("2") != nil {
		t.Error("what is not valid got through")
	}
	// Corrected in its system, the change goes through and the dead letter is settled.
	w.put("crm", "1", record.Fields{"email": "one@example.com"})
	w.settle()
	w.holds("shop", "1", "email", "one@example.com")
	if len(w.deadIn["crm"]) != 1 {
		t.Errorf("dead letters: %v", w.deadIn["crm"])
	}
	// An edit that is not valid waits; the entity and the other system keep what was.
	w.put("shop", "3", record.Fields{"email": "broken@"})
	w.settle()
	w.holds("crm", "3", "email", "bob@example.com")
	if len(w.deadIn["shop"]) != 1 {
		t.Errorf("dead letters: %v", w.deadIn["shop"])
	}
}

// A person corrects a record in quarantine: it goes to the others, and to its own system.
func TestCorrectedInQuarantine(t *testing.T) {
	w := people(t, "bi-directional", tidy)
	correct := func(s record.System, key record.Key, edit record.Fields, by string) {
		t.Helper()
		seat := w.seats[s]
		d, waits := w.deadIn[s][key]
		if !waits {
			t.Fatalf("%s is no dead letter\n%s", key, w.describe())
		}
		delete(w.deadIn[s], key)
		changes, err := seat.Open.(connector.KeyReader).ReadKeys(t.Context(), seat.Object, seat.Map.Natives(), []record.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		w.corrections = map[record.Key]engine.Redrive{key: {Key: key, Payload: d.Payload, Edit: edit, By: by}}
		w.intake(seat, changes)
		w.corrections = nil
	}
	w.put("crm", "1", record.Fields{"id": "1", "email": "nobody", "name": "ada"})
	w.settle()
	correct("crm", "1", record.Fields{"email": " Ada@Example.com"}, "Grace")
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "email", "ada@example.com")
		w.holds(s, "1", "name", "Ada")
	}
	told := false
	for _, j := range w.journal {
		told = told || j.Kind == record.Decided && j.Actor == "Grace" && record.Equal(j.After["email"], "ada@example.com")
	}
	if !told {
		t.Errorf("nothing says that Grace corrected it: %+v", w.journal)
	}
	w.quiet()

	// Of a record that is known, too, and against a change that the other side made meanwhile.
	w.put("crm", "1", record.Fields{"email": "ada@"})
	w.pull("crm")
	w.put("shop", "1", record.Fields{"name": "Ada King"})
	w.pull("shop")
	correct("crm", "1", record.Fields{"email": "king@example.com"}, "Grace")
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "email", "king@example.com")
		w.holds(s, "1", "name", "Ada King")
	}

	// What the system changed since the person looked is not written over by the correction.
	w.put("crm", "1", record.Fields{"email": "wrong@"})
	w.pull("crm")
	letter := w.deadIn["crm"]["1"]
	w.put("crm", "1", record.Fields{"email": "newest@example.com"})
	w.deadIn["crm"]["1"] = letter
	correct("crm", "1", record.Fields{"email": "late@example.com"}, "Grace")
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "1", "email", "newest@example.com")
	}

	// A correction that is not valid either is a dead letter again.
	w.put("crm", "1", record.Fields{"email": "wrong@"})
	w.pull("crm")
	correct("crm", "1", record.Fields{"email": "still wrong"}, "Grace")
	if d := w.deadIn["crm"]["1"]; d.Field != "email" || !strings.Contains(d.Message, "still wrong") {
		t.Errorf("the dead letter is %+v", d)
	}
}

const buffered = `syncConfig: {conflictResolution: lastWriteWins}
businessRules:
  - {name: reserve-buffer, rule: "price = quantity * 2 - (quantity * 0.05)"}
  - {name: off, rule: "name = 'x'", enabled: false}
`

// A computed field is what its rule says, whoever edits what, and in every system.
func TestComputedField(t *testing.T) {
	w := twin(t, document("bi-directional", buffered, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"sku": "A", "name": "Desk", "quantity": record.Int(100), "price": record.Int(1)})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "price", record.Int(195))
	}
	w.put("shop", "A", quantity(10))
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "price", record.Number("19.5"))
	}
	// Whoever edits it by hand is corrected; that is no conflict.
	w.put("shop", "A", record.Fields{"price": record.Int(5)})
	w.put("crm", "A", record.Fields{"price": record.Int(6)})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "price", record.Number("19.5"))
	}
	w.quiet()
	// What cannot be computed has no value.
	w.put("crm", "A", record.Fields{"quantity": nil})
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "price", nil)
	}
	rule := false
	for _, j := range w.journal {
		rule = rule || j.Kind == record.Decided && j.Actor == "rule reserve-buffer" && record.Equal(j.After["price"], record.Int(195))
	}
	if !rule {
		t.Errorf("the history does not name the rule: %+v", w.journal)
	}
}

// A conflict of the fields that it is computed from settles first; the computed field follows the outcome.
func TestComputedAfterAConflict(t *testing.T) {
	w := twin(t, document("bi-directional", buffered, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"sku": "A", "quantity": record.Int(100)})
	w.settle()
	w.put("crm", "A", quantity(10))
	w.put("shop", "A", quantity(20))
	w.settle()
	for _, s := range w.systems() {
		w.holds(s, "A", "quantity", record.Int(20))
		w.holds(s, "A", "price", record.Int(39))
	}
}

func TestMergingStrategies(t *testing.T) {
	object := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	tests := []struct {
		name, resolution string
		field            string
		base, crm, shop  record.Value
		want             record.Value
		open             bool
	}{
		{"deep objects", "merge", "address", object("home", object("city", "Ulm", "zip", "1")), object("home", object("city", "Bonn", "zip", "1")), object("home", object("city", "Ulm", "zip", "2")),
			object("home", object("city", "Bonn", "zip", "2")), false},
		{"lists", "merge", "tags", []any{"a"}, []any{"a", "b"}, []any{"a", "c"}, []any{"a", "b", "c"}, false},
		{"lists appended", "{strategy: merge, arrays: append}", "tags", []any{"a"}, []any{"a", "b"}, []any{"a", "b"}, []any{"a", "b"}, false},
		{"lists replaced", "{strategy: merge, arrays: replace}", "tags", []any{"a"}, []any{"b"}, []any{"c"}, []any{"c"}, false},
		{"lists by key", "{strategy: merge, arrays: keyed, arrayKey: sku}", "address", []any{object("sku", "A", "n", "1", "p", "1")}, []any{object("sku", "A", "n", "2", "p", "1")}, []any{object("sku", "A", "n", "1", "p", "2")},
			[]any{object("sku", "A", "n", "2", "p", "2")}, false},
		{"the mean of one field", "{strategy: lastWriteWins, fields: {score: average}}", "score", record.Number("1"), record.Number("2"), record.Number("5"), record.Number("4"), false},
		{"an expression", "{strategy: custom, expression: \"max(crm, shop)\"}", "score", record.Number("1"), record.Number("7"), record.Number("5"), record.Number("7"), false},
		{"an expression that looks at other fields", "{strategy: custom, expression: \"name == 'Desk' ? base : last\"}", "score", record.Number("1"), record.Number("7"), record.Number("5"), record.Number("1"), false},
		{"an expression that fails", "{strategy: custom, expression: \"first / 0\"}", "score", record.Number("1"), record.Number("7"), record.Number("5"), nil, true},
		// Each claim is valid and the outcome is not: it is not taken, and both keep theirs.
		{"an outcome that is not valid", "{strategy: custom, expression: \"first + last\"}", "score", record.Number("1"), record.Number("60"), record.Number("50"), nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := people(t, "bi-directional", "syncConfig:\n  conflictResolution: "+test.resolution+"\n  validation: {score: {max: 100}}\n")
			w.put("crm", "1", record.Fields{"id": "1", "name": "Desk", test.field: test.base})
			w.settle()
			w.put("crm", "1", record.Fields{test.field: test.crm})
			w.put("shop", "1", record.Fields{test.field: test.shop})
			w.settle()
			if test.open {
				if c := w.open(); !strings.Contains(c.Reason, "somebody decides") && c.Reason != "" {
					t.Errorf("the reason is %q", c.Reason)
				}
				w.holds("crm", "1", test.field, test.crm)
				w.holds("shop", "1", test.field, test.shop)
				return
			}
			for _, s := range w.systems() {
				w.holds(s, "1", test.field, test.want)
			}
		})
	}
}
