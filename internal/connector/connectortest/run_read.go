// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

type rows = map[record.Key]record.Fields

func num(i int) record.Number { return record.Int(int64(i)) }

func id(i int) record.Key { return record.Key(strconv.Itoa(i)) }

// item is one row of the shape items.
func item(i, quantity int) record.Fields {
	return record.Fields{"id": num(i), "name": fmt.Sprintf("item %d", i), "quantity": num(quantity)}
}

// stocked inserts items 1 to n and returns them.
func (s *suite) stocked(t *testing.T, o record.Object, from, to int) rows {
	t.Helper()
	want := rows{}
	var list []record.Fields
	for i := from; i <= to; i++ {
		want[id(i)] = item(i, 1)
		list = append(list, want[id(i)])
	}
	if len(list) > 0 {
		s.Users.Insert(t, o, list...)
	}
	return want
}

func testSnapshot(t *testing.T, s *suite) {
	const limit = 4
	for _, n := range []int{0, 1, limit - 1, limit, limit + 1, 3*limit + 1} {
		sys, o := s.object(t, items)
		want := s.stocked(t, o, 1, n)
		r := newReplica(sys, o, limit)
		for r.phase == connector.Snapshot {
			page := r.pull(t)
			if page.Phase == connector.Snapshot && page.Total != 0 && page.Total < 0 {
				t.Errorf("the estimated total is %d", page.Total)
			}
		}
		if len(r.seen) != n {
			t.Errorf("the snapshot of %d records has %d changes", n, len(r.seen))
		}
		for k, w := range want {
			if !holds(r.rows[k], w) {
				t.Errorf("in the snapshot %s is %v, want %v", k, r.rows[k], w)
			}
		}
		r.catchUp(t, want) // the stream goes on from it, and takes nothing away
	}
	shapes := map[string]Shape{"natural": natural}
	if s.Can.Composite {
		shapes["composite"] = regions
	}
	for name, shape := range shapes {
		sys, o := s.object(t, shape)
		want := rows{}
		for i, text := range []string{"W-1", "w-1", "ä ö", "a,b", `"quoted"`, "x\\y", "it's", "(1)", "{1}", "zz", "Zz", "漢字"} {
			f := record.Fields{"sku": text, "quantity": num(i)}
			key := record.MakeKey(text)
			if name == "composite" {
				f = record.Fields{"country": text, "shelf": num(i % 3), "quantity": num(i)}
				key = record.MakeKey(text, num(i%3))
			}
			want[key] = f
			s.Users.Insert(t, o, f)
		}
		r := newReplica(sys, o, 5)
		r.drain(t)
		r.catchUp(t, want)
	}
}

// Records are listed as they are, page by page, also those of a range of keys, and no reader's place is moved by it.
func testList(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 10)
	list := func(from, to record.Key) rows {
		got := rows{}
		req := connector.ListRequest{Object: o, Limit: 4, From: from, To: to}
		for {
			page, err := connector.List(t.Context(), sys, req)
			if err != nil {
				t.Fatalf("listing: %v", err)
			}
			for _, c := range page.Changes {
				if _, twice := got[c.Key]; twice || c.Op != record.Upsert {
					t.Errorf("%s is listed twice, or as %s", c.Key, c.Op)
				}
				got[c.Key] = c.Fields
			}
			if !page.More {
				return got
			}
			req.Cursor = page.Cursor
		}
	}
	for _, c := range []struct {
		from, to record.Key
		n        int
	}{{"", "", 10}, {id(3), id(6), 4}, {id(9), "", 2}, {"", id(1), 1}} {
		got := list(c.from, c.to)
		if len(got) != c.n {
			t.Errorf("from %q to %q there are %d records, want %d", c.from, c.to, len(got), c.n)
		}
		for k, f := range got {
			if !holds(f, want[k]) {
				t.Errorf("%s is listed as %v, want %v", k, f, want[k])
			}
		}
	}
	if _, err := connector.List(t.Context(), sys, connector.ListRequest{Object: o, Limit: 4, Since: time.Now().Add(-time.Hour)}); err != nil {
		if e := connector.Classify(err); e.Code != connector.ListSince || e.Class != connector.Reject {
			t.Errorf("listing by time: %v", err)
		}
	}
	r := newReplica(sys, o, 4)
	r.drain(t)
	r.catchUp(t, want)
}

func testSnapshotResumes(t *testing.T, s *suite) {
	o := s.Create(t, items)
	c := consumer()
	want := s.stocked(t, o, 1, 23)
	s.open(t, c, o) // cleans up
	var r *replica
	for pages := 0; ; pages++ {
		sys, err := s.tryOpen(t, s.Settings, c, s.Detection)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			r = newReplica(sys, o, 5)
		}
		r.sys = sys
		r.pull(t)
		sys.Close()
		if r.phase == connector.Stream {
			break
		}
		if pages > 20 {
			t.Fatal("a snapshot that is resumed at each page does not come to an end")
		}
	}
	r.sys = s.open(t, c)
	r.catchUp(t, want)
	// A page that was read but not stored is read again from the same cursor.
	again := newReplica(r.sys, o, 5)
	again.pull(t)
	cursor := slices.Clone(again.cursor)
	again.pull(t)
	again.cursor, again.phase = cursor, connector.Snapshot
	again.drain(t)
	again.catchUp(t, want)
}

// testHandOver edits while the snapshot is read.
func testHandOver(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	const n = 60
	want := s.stocked(t, o, 1, n)
	r := newReplica(sys, o, 7)
	r.rising = "quantity"
	r.pull(t) // from here on nothing may be lost

	var wait sync.WaitGroup
	wait.Add(2)
	var mu sync.Mutex
	keep := func(k record.Key, f record.Fields) {
		mu.Lock()
		defer mu.Unlock()
		if f == nil {
			delete(want, k)
		} else {
			want[k] = f
		}
	}
	go func() { // updates all over the table, several to each row
		defer wait.Done()
		for round := 2; round <= 4; round++ {
			for i := 1; i <= n; i += 3 {
				s.Users.Update(t, o, id(i), record.Fields{"quantity": num(round)})
				keep(id(i), item(i, round))
			}
		}
	}()
	go func() { // new rows before and behind, and rows that vanish
		defer wait.Done()
		for i := 1; i <= 20; i++ {
			s.Users.Insert(t, o, item(-i, 1), item(n+i, 1))
			keep(id(-i), item(-i, 1))
			keep(id(n+i), item(n+i, 1))
			if s.Can.Deletes && i%3 != 1 {
				s.Users.Delete(t, o, id(i))
				keep(id(i), nil)
			}
		}
	}()
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		r.pull(t)
	}
	r.catchUp(t, want)
}

func testFields(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	s.stocked(t, o, 1, 2)
	r := newReplica(sys, o, 10)
	r.fields = []string{"name"}
	only := func(f record.Fields) bool { return len(f) == 2 && f["id"] != nil && f["name"] != nil }
	r.drain(t)
	for k, f := range r.rows {
		if !only(f) {
			t.Errorf("asked for name, the snapshot gave %s %v", k, f)
		}
	}
	s.Users.Update(t, o, "1", record.Fields{"name": "renamed"})
	r.untilTrue(t, "the new name", func() bool { return record.Equal(r.rows["1"]["name"], "renamed") })
	if !only(r.rows["1"]) {
		t.Errorf("asked for name, the stream gave %v", r.rows["1"])
	}
	all := newReplica(sys, o, 10)
	all.drain(t)
	for _, f := range items.Fields {
		_, given := item(1, 1)[f.Name]
		if _, there := all.rows["1"][f.Name]; !there && (given || !s.Can.Schemaless) {
			t.Errorf("asked for all fields, %s is missing in %v", f.Name, all.rows["1"])
		}
	}
}

func testStream(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 3)
	r := newReplica(sys, o, 10)
	r.drain(t)
	r.catchUp(t, want)
	r.rising = "quantity"

	// An insert, an update, nulls, and several changes of one record between two reads.
	s.Users.Insert(t, o, item(4, 1))
	want["4"] = item(4, 1)
	s.Users.Update(t, o, "1", record.Fields{"quantity": num(2), "note": "x"})
	s.Users.Update(t, o, "1", record.Fields{"quantity": num(3), "note": nil})
	want["1"] = record.Fields{"id": num(1), "name": "item 1", "quantity": num(3), "note": nil}
	r.catchUp(t, want)

	if s.Can.Deletes {
		s.Users.Delete(t, o, "2")
		delete(want, "2")
		r.catchUp(t, want)
		if !r.heard(record.Delete, "2") {
			t.Error("the delete was not told")
		}
		// Gone and back again, as another one, between two reads.
		r.rising = ""
		s.Users.Delete(t, o, "3")
		s.Users.Insert(t, o, record.Fields{"id": num(3), "name": "another"})
		want["3"] = record.Fields{"id": num(3), "name": "another", "quantity": nil}
		// There and gone again.
		s.Users.Insert(t, o, item(9, 1))
		s.Users.Delete(t, o, "9")
		r.catchUp(t, want)
	}
	if s.Can.Deletes && s.Can.Rekeys {
		s.Users.Update(t, o, "4", record.Fields{"id": num(44)})
		delete(want, "4")
		want["44"] = record.Fields{"id": num(44), "name": "item 4"}
		r.catchUp(t, want)
		if !r.heard(record.Delete, "4") || !r.heard(record.Upsert, "44") {
			t.Errorf("another key must be a delete and an upsert, seen were %v", r.seen)
		}
	}
}

// testStreamPages has many changes of one moment, more than fit in a page.
func testStreamPages(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	r := newReplica(sys, o, 4)
	r.drain(t)
	want := s.stocked(t, o, 1, 30) // one commit
	r.catchUp(t, want)
	for i := 1; i <= 30; i++ {
		s.Users.Update(t, o, id(i), record.Fields{"quantity": num(2)})
		want[id(i)] = item(i, 2)
	}
	r.catchUp(t, want)
}

func testKeys(t *testing.T, s *suite) {
	type edit struct {
		name  string
		shape Shape
		key   func(i int) (record.Key, record.Fields)
	}
	odd := []string{"plain", "UPPER", "with space", "a'b", `a"b`, `a\b`, "a,b", "{a}", "(a)", "[1,2]", "null", "ä", "漢字", "🎉", "a\tb"}
	edits := []edit{{"natural", natural, func(i int) (record.Key, record.Fields) {
		return record.MakeKey(odd[i]), record.Fields{"sku": odd[i]}
	}}}
	if s.Can.Composite {
		edits = append(edits, edit{"composite", regions, func(i int) (record.Key, record.Fields) {
			return record.MakeKey(odd[i], num(i/2)), record.Fields{"country": odd[i], "shelf": num(i / 2)}
		}})
	}
	for _, e := range edits {
		sys, o := s.object(t, e.shape)
		r := newReplica(sys, o, 6)
		r.drain(t)
		want := rows{}
		for i := range odd {
			k, f := e.key(i)
			s.Users.Insert(t, o, f)
			want[k] = f.Clone()
		}
		r.catchUp(t, want)
		for i := range odd {
			k, _ := e.key(i)
			if i%3 == 0 && s.Can.Deletes {
				s.Users.Delete(t, o, k)
				delete(want, k)
				continue
			}
			s.Users.Update(t, o, k, record.Fields{"quantity": num(i)})
			want[k]["quantity"] = num(i)
		}
		r.catchUp(t, want)
		for i := range odd { // and by key
			k, _ := e.key(i)
			_, alive := want[k]
			if got := s.readKey(t, sys, o, k); (got.Op == record.Upsert) != alive {
				t.Errorf("%s: %q read by key is %s", e.name, k, got.Op)
			}
		}
	}
}

func testTransactions(t *testing.T, s *suite) {
	if !s.Can.Transactions {
		return
	}
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 12)

	// A first reading makes what the detection needs; that may have to wait for those who are writing.
	newReplica(sys, o, 5).drain(t)
	before := s.Users.Begin(t) // has written when the snapshot begins, and commits after it
	before.Insert(t, o, item(100, 1))
	before.Update(t, o, "1", record.Fields{"quantity": num(7)})
	r := newReplica(sys, o, 5)
	r.rising = "quantity"
	r.drain(t)

	during := s.Users.Begin(t)
	during.Insert(t, o, item(200, 1))
	during.Update(t, o, "2", record.Fields{"quantity": num(8)})
	undone := s.Users.Begin(t)
	undone.Insert(t, o, item(300, 1))
	undone.Rollback(t)

	for i := 400; i < 412; i++ { // others go on
		s.Users.Insert(t, o, item(i, 1))
		want[id(i)] = item(i, 1)
	}
	s.Users.Update(t, o, "3", record.Fields{"quantity": num(9)})
	want["3"] = item(3, 9)
	if s.Can.Independent {
		r.catchUp(t, want)
	} else {
		r.drain(t)
	}
	r.drain(t) // moves on as far as it may while the two are open

	before.Commit(t)
	want["100"], want["1"] = item(100, 1), item(1, 7)
	if s.Can.Independent {
		r.catchUp(t, want)
	} else {
		r.drain(t)
	}
	during.Commit(t)
	want["200"], want["2"] = item(200, 1), item(2, 8)
	r.catchUp(t, want)
}

func testOlderCursor(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 5)
	r := newReplica(sys, o, 3)
	r.drain(t)
	r.catchUp(t, want)
	older := r.fork(sys)
	for i := 1; i <= 5; i++ {
		s.Users.Update(t, o, id(i), record.Fields{"quantity": num(5)})
		want[id(i)] = item(i, 5)
	}
	s.Users.Insert(t, o, item(6, 1))
	want["6"] = item(6, 1)
	if s.Can.Deletes {
		s.Users.Delete(t, o, "2")
		delete(want, "2")
	}
	r.catchUp(t, want)
	older.catchUp(t, want) // as after a crash before the cursor was stored
}

func testAcknowledge(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	ack, ok := sys.(connector.Acknowledger)
	if !ok {
		return
	}
	want := s.stocked(t, o, 1, 9)
	r := newReplica(sys, o, 4)
	for i := 10; i < 40; i++ {
		page := r.pull(t)
		if err := ack.Acknowledge(t.Context(), o, page.Cursor); err != nil {
			t.Fatalf("acknowledging: %v", err)
		}
		s.Users.Insert(t, o, item(i, 1))
		want[id(i)] = item(i, 1)
	}
	r.catchUp(t, want)
	if err := ack.Acknowledge(t.Context(), o, r.cursor); err != nil {
		t.Fatalf("acknowledging: %v", err)
	}
	s.Users.Update(t, o, "1", record.Fields{"quantity": num(3)})
	want["1"] = item(1, 3)
	r.catchUp(t, want)
}

func testTwoConsumers(t *testing.T, s *suite) {
	o := s.Create(t, items)
	one, two := s.open(t, consumer(), o), s.open(t, consumer(), o)
	want := s.stocked(t, o, 1, 3)
	a, b := newReplica(one, o, 10), newReplica(two, o, 10)
	a.drain(t)
	b.drain(t)
	s.Users.Insert(t, o, item(4, 1))
	want["4"] = item(4, 1)
	a.catchUp(t, want)
	if ack, ok := one.(connector.Acknowledger); ok {
		if err := ack.Acknowledge(t.Context(), o, a.cursor); err != nil {
			t.Fatal(err)
		}
	}
	b.catchUp(t, want)
	// What one of them writes is news to the other.
	s.write(t, one, o, connector.Write{Op: record.Upsert, Key: "4", Fields: record.Fields{"quantity": num(8)}})
	want["4"] = item(4, 8)
	b.catchUp(t, want)
	// One leaves, the other stays.
	if c, ok := one.(connector.Cleaner); ok {
		if err := c.Clean(t.Context(), []record.Object{o}); err != nil {
			t.Fatal(err)
		}
	}
	s.Users.Insert(t, o, item(5, 1))
	want["5"] = item(5, 1)
	b.catchUp(t, want)
}

func testLostPlace(t *testing.T, s *suite) {
	if s.LosePlace == nil {
		return
	}
	o, c := s.Create(t, items), consumer()
	sys := s.open(t, c, o)
	want := s.stocked(t, o, 1, 3)
	r := newReplica(sys, o, 10)
	r.drain(t)
	s.LosePlace(t, o, c)
	_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: r.cursor, Limit: 10})
	if err == nil || connector.Classify(err).Class != connector.LostPlace {
		t.Fatalf("reading from a lost place gave %v", err)
	}
	anew := newReplica(sys, o, 10)
	s.Users.Insert(t, o, item(4, 1))
	want["4"] = item(4, 1)
	anew.catchUp(t, want)
	s.Users.Update(t, o, "4", record.Fields{"quantity": num(2)})
	want["4"] = item(4, 2)
	anew.catchUp(t, want)
}

// readKey reads one record in its present state.
func (s *suite) readKey(t *testing.T, sys connector.System, o record.Object, key record.Key) record.Change {
	t.Helper()
	changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, nil, []record.Key{key})
	if err != nil {
		t.Fatalf("reading %q by key: %v", key, err)
	}
	if len(changes) != 1 || changes[0].Key != key {
		t.Fatalf("reading %q by key gave %v", key, changes)
	}
	return changes[0]
}

func testReadKeys(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	want := s.stocked(t, o, 1, 5)
	changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, []string{"quantity"}, []record.Key{"3", "99", "1"})
	if err != nil || len(changes) != 3 {
		t.Fatalf("reading by keys gave %v, %v", changes, err)
	}
	for _, c := range changes {
		if c.Key == "99" {
			if c.Op != record.Delete || c.Fields != nil {
				t.Errorf("a record that is not there is %+v", c)
			}
			continue
		}
		if c.Op != record.Upsert || !record.Equal(c.Fields["quantity"], want[c.Key]["quantity"]) || c.Fields["name"] != nil {
			t.Errorf("%s read by key is %+v", c.Key, c)
		}
	}
	if changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, nil, nil); err != nil || len(changes) != 0 {
		t.Errorf("reading no keys gave %v, %v", changes, err)
	}
	// A key that no record can have is one that does not exist.
	if changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), o, nil, []record.Key{"not a number", "1"}); err != nil || len(changes) != 2 {
		t.Errorf("reading an impossible key gave %v, %v", changes, err)
	}
}

func testFind(t *testing.T, s *suite) {
	if !s.Can.Finds {
		return
	}
	sys, o := s.object(t, items)
	s.Users.Insert(t, o, item(1, 5), item(2, 5), item(3, 5), item(4, 6))
	s.Users.Update(t, o, "4", record.Fields{"note": "it's \"this\""})
	found, err := sys.(connector.Finder).Find(t.Context(), o, nil, []record.Fields{
		{"quantity": num(5)},
		{"name": "item 4", "quantity": num(6)},
		{"note": "it's \"this\""},
		{"name": "item 4", "quantity": num(5)},
		{"name": "item 1", "note": nil},
	})
	if err != nil || len(found) != 5 {
		t.Fatalf("find: %v, %v", found, err)
	}
	for i, want := range []int{2, 1, 1, 0, 1} {
		if len(found[i]) != want {
			t.Errorf("query %d found %v, want %d", i, found[i], want)
		}
	}
	if len(found[1]) == 1 && (found[1][0].Key != "4" || found[1][0].Op != record.Upsert || !holds(found[1][0].Fields, item(4, 6))) {
		t.Errorf("found %+v", found[1][0])
	}
}
