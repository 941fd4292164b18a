// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

func contextAfter(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// write gives the batch to the system; ids are filled in.
func (s *suite) write(t *testing.T, sys connector.System, o record.Object, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	for i := range writes {
		writes[i].ID = record.NewEntityID()
	}
	receipts, err := sys.(connector.Writer).Write(t.Context(), o, writes)
	if err != nil {
		t.Fatalf("writing: %v", err)
	}
	if len(receipts) != len(writes) {
		t.Fatalf("%d writes have %d receipts", len(writes), len(receipts))
	}
	for i, r := range receipts {
		if (r.Outcome == connector.Refused) != (r.Err != nil) {
			t.Fatalf("write %d is %s with the error %v", i, r.Outcome, r.Err)
		}
		if r.Outcome == connector.Refused {
			if e := connector.Classify(r.Err); e.Class != connector.Reject || e.Message == "" || e.Code == "" {
				t.Fatalf("write %d is refused with class %s, code %s: %v", i, e.Class, e.Code, e)
			}
		}
	}
	return receipts
}

func outcomes(t *testing.T, got []connector.Receipt, want ...connector.Outcome) {
	t.Helper()
	for i, w := range want {
		if got[i].Outcome != w {
			t.Errorf("write %d is %s (%v), want %s", i, got[i].Outcome, got[i].Err, w)
		}
	}
}

// present checks what the object holds, by reading it anew.
func (s *suite) present(t *testing.T, sys connector.System, o record.Object, want rows) {
	t.Helper()
	keys := make([]record.Key, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	got := rows{}
	for _, c := range changes {
		if c.Op == record.Upsert {
			got[c.Key] = c.Fields
		}
	}
	for k, w := range want {
		switch {
		case w == nil && got[k] != nil:
			t.Errorf("%q is there: %v", k, got[k])
		case w != nil && got[k] == nil:
			t.Errorf("%q is not there", k)
		case w != nil && !holds(got[k], w):
			t.Errorf("%q holds %v, want %v", k, got[k], w)
		}
	}
}

func create(f record.Fields) connector.Write {
	return connector.Write{Op: record.Upsert, Create: true, Fields: f}
}

func update(key record.Key, f, expect record.Fields) connector.Write {
	return connector.Write{Op: record.Upsert, Key: key, Fields: f, Expect: expect}
}

func remove(key record.Key, expect record.Fields) connector.Write {
	return connector.Write{Op: record.Delete, Key: key, Expect: expect}
}

func testWrite(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	got := s.write(t, sys, o, create(item(1, 1)), create(item(2, 1)), create(record.Fields{"id": num(3), "name": "", "note": "empty name"}))
	outcomes(t, got, connector.Applied, connector.Applied, connector.Applied)
	for i, r := range got {
		if r.Key != id(i+1) {
			t.Errorf("create %d has the key %q", i, r.Key)
		}
		if r.Stored != nil && !holds(r.Stored, record.Fields{}) {
			t.Errorf("create %d was stored as %v", i, r.Stored)
		}
	}
	// One batch with creates, updates of different fields, and deletes.
	got = s.write(t, sys, o,
		update("1", record.Fields{"quantity": num(5)}, nil),
		update("2", record.Fields{"name": "two", "note": "it's"}, nil),
		create(item(4, 4)),
		remove("3", nil))
	outcomes(t, got, connector.Applied, connector.Applied, connector.Applied, connector.Applied)
	s.present(t, sys, o, rows{
		"1": {"name": "item 1", "quantity": num(5), "note": nil},
		"2": {"name": "two", "note": "it's", "quantity": num(1)},
		"3": nil,
		"4": item(4, 4),
	})
	if got := s.write(t, sys, o); len(got) != 0 {
		t.Errorf("no writes have the receipts %v", got)
	}
	// Back to null, and a key that the write names beside the fields.
	got = s.write(t, sys, o, update("2", record.Fields{"note": nil}, nil),
		connector.Write{Op: record.Upsert, Create: true, Key: "6", Fields: record.Fields{"id": num(6), "name": "six"}})
	outcomes(t, got, connector.Applied, connector.Applied)
	s.present(t, sys, o, rows{"2": {"name": "two", "note": nil}, "6": {"name": "six"}})

	if s.Can.Composite {
		sys, o := s.object(t, regions)
		key := record.MakeKey("D,E\"'", num(7))
		got := s.write(t, sys, o, create(record.Fields{"country": "D,E\"'", "shelf": num(7), "quantity": num(1)}), create(record.Fields{"country": "", "shelf": num(7)}))
		outcomes(t, got, connector.Applied, connector.Applied)
		if got[0].Key != key {
			t.Errorf("the key is %q, want %q", got[0].Key, key)
		}
		got = s.write(t, sys, o, update(key, record.Fields{"quantity": num(2)}, record.Fields{"quantity": num(1)}), remove(record.MakeKey("", num(7)), nil))
		outcomes(t, got, connector.Applied, connector.Applied)
		s.present(t, sys, o, rows{key: {"quantity": num(2)}, record.MakeKey("", num(7)): nil})
	}
}

// testWriteAgain is invariant 4: sending twice changes nothing.
func testWriteAgain(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	s.stocked(t, o, 1, 3)
	batch := func() []connector.Write {
		return []connector.Write{
			create(item(10, 1)),
			update("1", record.Fields{"quantity": num(2), "note": nil, "name": "one"}, record.Fields{"quantity": num(1), "note": nil, "name": "item 1"}),
			update("2", record.Fields{"quantity": num(2)}, nil),
			remove("3", record.Fields{"name": "item 3"}),
		}
	}
	outcomes(t, s.write(t, sys, o, batch()...), connector.Applied, connector.Applied, connector.Applied, connector.Applied)
	r := newReplica(sys, o, 10)
	r.drain(t)
	r.drain(t)
	r.seen = nil
	for range 2 {
		got := s.write(t, sys, o, batch()...)
		outcomes(t, got, connector.Already, connector.Already, connector.Already, connector.Already)
		for i, want := range []record.Key{"10", "1", "2", "3"} {
			if got[i].Key != want {
				t.Errorf("the receipt of write %d has the key %q", i, got[i].Key)
			}
		}
	}
	s.present(t, sys, o, rows{"10": item(10, 1), "1": {"quantity": num(2), "name": "one"}, "2": {"quantity": num(2)}, "3": nil})
}

func testWriteExpecting(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	s.stocked(t, o, 1, 6)
	got := s.write(t, sys, o,
		update("1", record.Fields{"quantity": num(2)}, record.Fields{"quantity": num(1), "note": nil}), // as expected
		update("2", record.Fields{"quantity": num(2)}, record.Fields{"quantity": num(9)}),              // not so
		update("3", record.Fields{"quantity": num(2)}, record.Fields{"note": "x"}),                     // null is not "x"
		update("4", record.Fields{"quantity": num(1)}, record.Fields{"quantity": num(9)}),              // not so, but as asked for
		remove("5", record.Fields{"quantity": num(9)}),
		remove("6", record.Fields{"quantity": num(1), "note": nil, "name": "item 6"}),
		update("77", record.Fields{"quantity": num(1)}, record.Fields{"quantity": num(9)}),
		remove("78", record.Fields{"quantity": num(9)}),
		create(item(1, 1)),
	)
	outcomes(t, got, connector.Applied, connector.Moved, connector.Moved, connector.Already, connector.Moved, connector.Applied,
		connector.Gone, connector.Already, connector.Moved)
	for i, r := range got {
		if r.Outcome == connector.Moved && r.Stored != nil && r.Stored["quantity"] == nil {
			t.Errorf("write %d moved, and its present fields are %v", i, r.Stored)
		}
	}
	s.present(t, sys, o, rows{"1": item(1, 2), "2": item(2, 1), "3": item(3, 1), "4": item(4, 1), "5": item(5, 1), "6": nil, "77": nil, "78": nil})
}

func testWriteRefused(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	s.stocked(t, o, 1, 4)
	s.Users.Update(t, o, "1", record.Fields{"code": "taken"})
	type bad struct {
		what string
		set  record.Fields
	}
	var bads []bad
	if !s.Can.Schemaless {
		bads = append(bads, bad{"a word in an integer", record.Fields{"quantity": "many"}}, bad{"a field that is not there", record.Fields{"colour": "red"}})
	}
	if s.Can.Unique {
		bads = append(bads, bad{"a unique constraint", record.Fields{"code": "taken"}})
	}
	if s.Can.LimitsLength {
		bads = append(bads, bad{"a text too long", record.Fields{"name": strings.Repeat("x", 21)}})
	}
	if s.Can.NotNull {
		bads = append(bads, bad{"null where it is not allowed", record.Fields{"name": nil}})
	}
	for n, b := range bads {
		good, n := b.set.Clone(), n*100
		for name, v := range item(n+50, 1) {
			if _, given := good[name]; !given {
				good[name] = v
			}
		}
		got := s.write(t, sys, o,
			create(item(n+10, 1)),
			update("2", record.Fields{"quantity": num(n + 2)}, nil),
			update("3", b.set, nil),
			create(good),
			update("4", record.Fields{"quantity": num(n + 4)}, nil),
			create(item(n+11, 1)))
		for i, r := range got {
			want := connector.Applied
			if i == 2 || i == 3 {
				want = connector.Refused
			}
			if r.Outcome != want {
				t.Errorf("%s: write %d is %s (%v), want %s", b.what, i, r.Outcome, r.Err, want)
			}
		}
		s.present(t, sys, o, rows{id(n + 10): item(n+10, 1), "2": {"quantity": num(n + 2)}, "3": item(3, 1), id(n + 50): nil, "4": {"quantity": num(n + 4)}, id(n + 11): item(n+11, 1)})
	}
}

// testWriteUnknown loses answers that a batch gets, one at a time: whatever was done by then, sending the batch again leaves what it
// says, once.
func testWriteUnknown(t *testing.T, s *suite) {
	if s.Not[card.Unknown] != "" {
		return
	}
	const most = 200
	for n := 0; ; n += 1 + n/6 { // the first one by one, then some
		if n >= most {
			t.Fatalf("a batch of three has more than %d answers", most)
		}
		o, l := s.Create(t, items), &lossy{after: -1}
		s.stocked(t, o, 1, 3)
		shaky := *s
		shaky.Env = l.through(s.Env)
		c := consumer()
		sys, err := shaky.tryOpen(t, s.Settings, c, s.Detection)
		if err != nil {
			t.Fatal(err)
		}
		batch := []connector.Write{create(item(10, 1)), update("1", record.Fields{"quantity": num(2)}, record.Fields{"quantity": num(1)}), remove("2", nil)}
		for i := range batch {
			batch[i].ID = record.NewEntityID()
		}
		l.arm(n)
		got, err := sys.(connector.Writer).Write(t.Context(), o, batch)
		lost := l.disarm()
		if err != nil && (!lost || connector.Classify(err).Class != connector.Retry) {
			t.Fatalf("answer %d lost (%v): class %s: %v", n, lost, connector.Classify(err).Class, err)
		}
		for i, r := range got {
			if r.Outcome != connector.Applied && r.Outcome != connector.Already && (r.Outcome != connector.Unsent || connector.Classify(r.Err).Class != connector.Retry) {
				t.Errorf("answer %d lost: write %d is %s (%v)", n, i, r.Outcome, r.Err)
			}
		}
		_ = sys.Close() // its connections broke
		sure, err := s.tryOpen(t, s.Settings, c, s.Detection)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range s.write(t, sure, o, batch...) {
			if r.Outcome != connector.Applied && r.Outcome != connector.Already {
				t.Errorf("answer %d lost: write %d sent again is %s (%v)", n, i, r.Outcome, r.Err)
			}
		}
		outcomes(t, s.write(t, sure, o, batch...), connector.Already, connector.Already, connector.Already)
		r := newReplica(sure, o, 10)
		r.drain(t)
		r.catchUp(t, rows{"1": item(1, 2), "3": item(3, 1), "10": item(10, 1)})
		if len(r.rows) != 3 {
			t.Errorf("answer %d lost: there are %v", n, r.rows)
		}
		if k, ok := sure.(connector.Cleaner); ok {
			if err := k.Clean(t.Context(), []record.Object{o}); err != nil {
				t.Errorf("cleaning up: %v", err)
			}
		}
		if err := sure.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if !lost {
			return // it was done before so many answers came
		}
	}
}

func testWriteMany(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	n := 700
	if s.Most > 0 {
		n = s.Most
	}
	var creates, updates, removes []connector.Write
	want := rows{}
	for i := range n {
		creates = append(creates, create(item(i, 1)))
		switch {
		case i%7 == 3:
			removes = append(removes, remove(id(i), record.Fields{"quantity": num(1)}))
			want[id(i)] = nil
		case i%2 == 0:
			updates = append(updates, update(id(i), record.Fields{"quantity": num(2)}, record.Fields{"quantity": num(1)}))
			want[id(i)] = item(i, 2)
		default:
			want[id(i)] = item(i, 1)
		}
	}
	if s.Can.Unique { // many faulty ones, so that finding them is under test
		for i := range min(20, (n+29)/30) {
			creates[i*30].Fields["code"] = "same"
		}
	}
	refused := 0
	for i, r := range s.write(t, sys, o, creates...) {
		if r.Outcome == connector.Refused && s.Can.Unique && i%30 == 0 {
			refused++
			s.Users.Insert(t, o, item(i, 1))
		} else if r.Outcome != connector.Applied {
			t.Fatalf("create %d is %s (%v)", i, r.Outcome, r.Err)
		}
	}
	if s.Can.Unique && refused != 19 {
		t.Errorf("of 20 with the same code %d were refused, want 19", refused)
	}
	for i, r := range s.write(t, sys, o, append(updates, removes...)...) {
		if r.Outcome != connector.Applied {
			t.Fatalf("update or delete %d is %s (%v)", i, r.Outcome, r.Err)
		}
	}
	s.present(t, sys, o, want)
}

func testKeysMade(t *testing.T, s *suite) {
	if !s.Can.MakesKeys {
		return
	}
	sys, o := s.object(t, serial)
	got := s.write(t, sys, o, create(record.Fields{"name": "a"}), create(record.Fields{"name": "b"}), create(record.Fields{"name": "c"}))
	want := rows{}
	for i, name := range []string{"a", "b", "c"} {
		if got[i].Outcome != connector.Applied || got[i].Key == "" || want[got[i].Key] != nil {
			t.Fatalf("create %d is %s with the key %q (%v)", i, got[i].Outcome, got[i].Key, got[i].Err)
		}
		want[got[i].Key] = record.Fields{"name": name}
	}
	s.present(t, sys, o, want) // each key is that of its own record
	outcomes(t, s.write(t, sys, o, update(got[1].Key, record.Fields{"name": "b2"}, record.Fields{"name": "b"})), connector.Applied)
	s.present(t, sys, o, rows{got[1].Key: {"name": "b2"}})
	// A key that the writer brings.
	brought := s.write(t, sys, o, create(record.Fields{"id": num(5000), "name": "d"}), create(record.Fields{"name": "e"}))
	outcomes(t, brought, connector.Applied, connector.Applied)
	s.present(t, sys, o, rows{"5000": {"name": "d"}, brought[1].Key: {"name": "e"}})
}

// samples are values of each type that are easily damaged on the way.
var samples = map[connector.Type][]record.Value{
	connector.TypeText: {"", "a", " spaced ", "it's", `"quoted"`, `back\slash`, "line\nbreak\ttab", "NULL", "{a,b}", "ünïcödé ☃ 漢字 🎉", "$1", "%s ?",
		strings.Repeat("long ", 5000)},
	connector.TypeInteger:   {num(0), num(-1), record.Number("9223372036854775807"), record.Number("-9223372036854775808")},
	connector.TypeNumber:    {num(0), record.Number("0.1"), record.Number("-0.000001"), record.Number("123456789012345678901234567890.123456789"), record.Number("1000000")},
	connector.TypeFloat:     {num(0), record.Number("0.1"), record.Number("-1.5"), record.Number("0.30000000000000004"), record.Number("123456789.125"), record.Number("1000000000000000000000")},
	connector.TypeBoolean:   {true, false},
	connector.TypeTimestamp: {"2026-11-23T12:34:56.123456Z", "2026-11-23T12:34:56.1Z", "2026-11-23T00:00:00Z", "1969-12-31T23:59:59.999999Z"},
	connector.TypeDateTime:  {"2026-11-23T12:34:56.123456", "2026-03-29T02:30:00", "1900-01-01T00:00:00"},
	connector.TypeDate:      {"2026-11-23", "1900-02-28", "2024-02-29"},
	connector.TypeTime:      {"00:00:00", "23:59:59.999999", "12:30:00.5"},
	connector.TypeBytes:     {"", "AP8Q", record.Bytes([]byte(`\x41'"`))},
	connector.TypeJSON: {map[string]any{"a": num(1), "b": []any{nil, true, "x\"y'z"}, "ü": map[string]any{}}, []any{num(1), "two", nil}, "text", num(12), true,
		record.Number("0.1"), map[string]any{}, []any{}},
	connector.TypeArray: {[]any{}, []any{"a", "b"}, []any{"", "a,b", `q"q`, `b\b`, "{}", "NULL", "it's", "ä"}, []any{"a", nil}},
	connector.TypeUUID:  {"0192f3a4-5b6c-7d8e-9f00-112233445566", "00000000-0000-0000-0000-000000000000"},
}

func testValues(t *testing.T, s *suite) {
	shape := typed(s.Types)
	sys, o := s.object(t, shape)
	r := newReplica(s.open(t, consumer(), o), o, 50) // another consumer, so that nothing is left out as an echo
	r.drain(t)
	wants := rows{}
	n := 0
	for _, typ := range s.Types {
		field := "a_" + string(typ)
		for _, v := range append([]record.Value{nil}, samples[typ]...) {
			if s.Unfit != nil && s.Unfit(typ, v) {
				continue
			}
			n++
			what := fmt.Sprintf("%s %.60s", typ, record.AppendJSON(nil, v))
			want := record.Fields{"id": num(n), field: v}
			s.Users.Insert(t, o, want) // as users write it
			if got := s.readKey(t, sys, o, id(n)); !record.Equal(got.Fields[field], v) {
				t.Errorf("%s, inserted by a user, is read as %#v", what, got.Fields[field])
			}
			wants[id(n)] = want

			n++ // as we write it
			want = record.Fields{"id": num(n), field: v}
			rec := s.write(t, sys, o, create(want), create(record.Fields{"id": num(n + 10_000)}))
			outcomes(t, rec, connector.Applied, connector.Applied)
			if rec[0].Stored != nil && !holds(rec[0].Stored, want) {
				t.Errorf("%s is said to be stored as %#v", what, rec[0].Stored)
			}
			wants[id(n)] = want
			wants[id(n+10_000)] = want.Clone()
			wants[id(n+10_000)]["id"] = num(n + 10_000)
			if got := s.readKey(t, sys, o, id(n)); !record.Equal(got.Fields[field], v) {
				t.Errorf("%s, created, is read as %#v", what, got.Fields[field])
			}
			// An update from nothing to it, expected and repeated.
			set := record.Fields{field: v}
			first := connector.Applied
			if v == nil {
				first = connector.Already
			}
			outcomes(t, s.write(t, sys, o, update(id(n+10_000), set, record.Fields{field: nil})), first)
			outcomes(t, s.write(t, sys, o, update(id(n+10_000), set, record.Fields{field: nil})), connector.Already)
			outcomes(t, s.write(t, sys, o, update(id(n+10_000), record.Fields{field: v, "id": num(n + 10_000)}, set)), connector.Already)
			outcomes(t, s.write(t, sys, o, create(want)), connector.Already)
		}
	}
	r.catchUp(t, wants) // and in a stream
	if s.Can.Rounds {
		sys, o := s.object(t, items)
		f := item(1, 1)
		f["price"] = record.Number("1.239")
		rec := s.write(t, sys, o, create(f), create(item(2, 1)))
		outcomes(t, rec, connector.Applied)
		stored := record.Fields{"price": record.Number("1.24")}
		if !holds(rec[0].Stored, stored) {
			t.Errorf("1.239 in two digits is said to be stored as %v", rec[0].Stored)
		}
		for range 2 { // asked for again, it counts as equal or is written again; it must not move
			rec = s.write(t, sys, o, update("1", record.Fields{"price": record.Number("1.239")}, stored))
			if rec[0].Outcome != connector.Already && rec[0].Outcome != connector.Applied {
				t.Errorf("1.239 again is %s", rec[0].Outcome)
			}
		}
		outcomes(t, s.write(t, sys, o, update("1", record.Fields{"price": num(2)}, stored)), connector.Applied)
	}
}

// testOwnWrites is invariant 5 at its source: an echo is not a change.
func testOwnWrites(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 4)
	r := newReplica(sys, o, 10)
	r.drain(t)
	r.catchUp(t, want)
	r.seen = nil
	s.write(t, sys, o, create(item(10, 1)), update("1", record.Fields{"quantity": num(2)}, nil), remove("2", nil))
	s.Users.Insert(t, o, item(11, 1)) // the mark behind our own
	r.untilTrue(t, "what came after our own writes", func() bool { return r.heard(record.Upsert, "11") })
	if s.Can.Suppresses {
		for _, k := range []record.Key{"10", "1", "2"} {
			if r.heard(record.Upsert, k) || r.heard(record.Delete, k) {
				t.Errorf("our own write of %s was read as a change", k)
			}
		}
	} else if c := r.rows["1"]; !record.Equal(c["quantity"], num(2)) {
		t.Errorf("our own write came back as %v", c)
	}
	// What others change is told, also where we wrote the same record before or after.
	s.Users.Update(t, o, "3", record.Fields{"note": "by a user"})
	s.write(t, sys, o, update("3", record.Fields{"quantity": num(5)}, nil))
	s.write(t, sys, o, update("4", record.Fields{"quantity": num(5)}, nil))
	s.Users.Update(t, o, "4", record.Fields{"note": "by a user"})
	r.untilTrue(t, "the users' notes", func() bool {
		return holds(r.rows["3"], record.Fields{"note": "by a user", "quantity": num(5)}) && holds(r.rows["4"], record.Fields{"note": "by a user", "quantity": num(5)})
	})
	// A new snapshot has our own writes like all others.
	anew := newReplica(sys, o, 10)
	anew.drain(t)
	anew.catchUp(t, rows{"10": item(10, 1), "1": item(1, 2), "3": {"quantity": num(5)}, "4": {"quantity": num(5)}, "11": item(11, 1)})
}
