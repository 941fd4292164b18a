// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"maps"
	"slices"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// A scan shows every record once, page by page, and leaves the stream where it was.
func testScan(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	scanner, ok := sys.(connector.Scanner)
	if !ok {
		return
	}
	want := s.stocked(t, o, 1, 23)
	r := newReplica(sys, o, 10)
	r.drain(t)
	got, pages := rows{}, 0
	for place, more := record.Cursor(nil), true; more; pages++ {
		page, err := scanner.Scan(t.Context(), connector.ScanRequest{Object: o, Fields: slices.Sorted(maps.Keys(want["1"])), Place: place, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Records) > 5 || pages > 60 {
			t.Fatalf("page %d has %d records", pages, len(page.Records))
		}
		for _, c := range page.Records {
			if _, twice := got[c.Key]; twice || c.Op != record.Upsert {
				t.Errorf("the scan shows %s as %s, seen before: %v", c.Key, c.Op, twice)
			}
			got[c.Key] = c.Fields
		}
		place, more = page.Next, page.Next != nil
	}
	if len(got) != len(want) {
		t.Errorf("the scan shows %d records of %d", len(got), len(want))
	}
	for k, f := range want {
		for name, v := range f {
			if !record.Equal(got[k][name], v) {
				t.Errorf("%s.%s is %v, want %v", k, name, got[k][name], v)
			}
		}
	}
	r.catchUp(t, want)
}

// A digest that the system makes is the one that is made of what is read from it, and another one once a value is another.
func testDigest(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	digester, ok := sys.(connector.Digester)
	if !ok {
		return
	}
	want := s.stocked(t, o, 1, 12)
	s.Users.Update(t, o, "3", record.Fields{"name": "ä漢字 it's \\ \"x\" :-"})
	keys := append(slices.Sorted(maps.Keys(want)), "99")
	fields := []string{"name", "quantity"}
	read := func(keys []record.Key, fields []string) (d connector.Digest) {
		changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, fields, keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Op != record.Upsert {
				continue
			}
			text := connector.AppendDigestText(nil, string(c.Key))
			for _, f := range fields {
				text = connector.AppendDigestText(text, c.Fields[f])
			}
			d.Add(connector.Digest{Count: 1, Sum: connector.RowDigest(text)})
		}
		return d
	}
	digest := func(keys []record.Key, fields []string) connector.Digest {
		d, exact, err := digester.Digest(t.Context(), o, fields, keys)
		if err != nil || !exact {
			t.Fatalf("digest of %v: exact %v, %v", fields, exact, err)
		}
		return d
	}
	before := digest(keys, fields)
	if own := read(keys, fields); before != own || before.Count != 12 {
		t.Errorf("the system's digest is %v, that of its records %v", before, own)
	}
	if n, err := digester.Count(t.Context(), o); n != 12 || err != nil {
		t.Errorf("%d records counted, %v", n, err)
	}
	// Two records that swap their values are not the same two records.
	a, b := want["5"]["name"], want["6"]["name"]
	s.Users.Update(t, o, "5", record.Fields{"name": b})
	s.Users.Update(t, o, "6", record.Fields{"name": a})
	after := digest(keys, fields)
	if after == before {
		t.Error("the digest is the same although two names were swapped")
	}
	if own := read(keys, fields); after != own {
		t.Errorf("then the system's digest is %v, that of its records %v", after, own)
	}
	if d, exact, err := digester.Digest(t.Context(), o, fields, []record.Key{"not a number"}); err != nil || exact && d.Count != 0 {
		t.Errorf("of a key that no record can have: %v, %v, %v", d, exact, err)
	}
	testDigestTypes(t, s)
}

// Of every type the system either makes the same digest as we do, or says that it cannot.
func testDigestTypes(t *testing.T, s *suite) {
	sys, o := s.object(t, typed(s.Types))
	n := 0
	for _, typ := range s.Types {
		field := "a_" + string(typ)
		for _, v := range append([]record.Value{nil}, samples[typ]...) {
			if s.Unfit != nil && s.Unfit(typ, v) {
				continue
			}
			n++
			s.Users.Insert(t, o, record.Fields{"id": num(n), field: v})
			d, exact, err := sys.(connector.Digester).Digest(t.Context(), o, []string{field}, []record.Key{id(n)})
			text := connector.AppendDigestText(connector.AppendDigestText(nil, string(id(n))), v)
			if err != nil || exact && d != (connector.Digest{Count: 1, Sum: connector.RowDigest(text)}) {
				t.Errorf("the digest of the %s %.60s is %v (exact %v, %v), want that of %q", typ, record.AppendJSON(nil, v), d, exact, err, text)
			}
		}
	}
}
