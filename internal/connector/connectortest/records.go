// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Records says how to reach a system whose objects have a shape of their own and whose keys it makes: most of what is spoken
// to over HTTP. What it cannot do is stated, never found out by trying.
type Records struct {
	Settings  connector.Settings
	Bad       []connector.Settings // that do not work; Open or Check must say Reconnect
	Detection string
	Object    record.Object
	// Open makes a new, empty account: a connector that shares nothing with those before, its environment, and those who work
	// in it.
	Open func(t *testing.T) (connector.Connector, connector.Env, Account)
	// New are the fields of record n, all different, complete enough to make one.
	New func(n int) record.Fields
	// Field is a text that can be changed, Other another one; Identity is the field by which a record is recognised.
	Field, Other, Identity string
	// Refused are fields that the system does not take, each alone.
	Refused map[string]record.Fields
	Deletes bool // deletions are seen
	Takes   bool // the system lets somebody make a second record with the same identity
	Expires bool // access tokens end and are renewed
	// Not are the lines of the suite that do not apply, with the reason.
	Not map[card.Line]string
	// Judge says what it runs against, for the table of connectors: "its simulator".
	Judge string
}

// Account is the system behind the connector's back. Fields are as the connector names them.
type Account interface {
	Insert(t testing.TB, n int, fields record.Fields) record.Key
	Update(t testing.TB, key record.Key, set record.Fields)
	Delete(t testing.TB, key record.Key)
	// Freeze makes all changes have the same time until it is called with false.
	Freeze(on bool)
	// Throttle answers the next n calls with "too many".
	Throttle(n int)
	// Fail answers the next n calls with a server's error, before anything was done.
	Fail(n int)
	// LoseWrite carries the next write out and loses its answer.
	LoseWrite()
	// Expire ends all access tokens.
	Expire()
	// Live counts the records that are there.
	Live() int
	// Elapse lets the system's time pass: caches, search indexes, lists that are looked at seldom.
	Elapse(d time.Duration)
}

// RunRecords holds the connector to its contract.
func RunRecords(t *testing.T, h Records) {
	c, _, _ := h.Open(t)
	points := newScore(t, c.Spec(), card.Card{Objects: string(h.Object), Read: true, Write: true, Delete: h.Deletes, Detection: h.Detection, Judge: h.Judge}, h.Not)
	lines := map[string][]card.Line{
		"discover": {card.Schema}, "snapshot pages": {card.Pages}, "snapshot resumes": {card.Pages}, "stream": {card.Delete}, "one moment": {card.Ties, card.Pages}, "write": {card.Delete},
		"write twice": {card.Twice}, "write refused": {card.Partial}, "rate limit": {card.Limit}, "expired token": {card.Expired}, "unknown outcome": {card.Unknown},
	}
	if !h.Expires {
		delete(lines, "expired token")
	}
	for _, c := range []struct {
		name string
		run  func(*records, *testing.T)
	}{
		{"spec", func(r *records, t *testing.T) {
			testSpec(t, &suite{Harness: Harness{Connector: r.c, Detection: r.Detection}})
		}},
		{"bad settings", (*records).bad},
		{"discover", (*records).discover},
		{"snapshot pages", (*records).snapshot},
		{"snapshot resumes", (*records).resumes},
		{"stream", (*records).stream},
		{"one moment", (*records).moment},
		{"older cursor", (*records).older},
		{"fields asked for", (*records).fields},
		{"read keys and find", (*records).keys},
		{"write", (*records).write},
		{"write twice", (*records).twice},
		{"write expecting", (*records).expecting},
		{"write refused", (*records).refused},
		{"write many", (*records).many},
		{"own writes", (*records).own},
		{"rate limit", (*records).throttled},
		{"server errors", (*records).failing},
		{"expired token", (*records).expired},
		{"unknown outcome", (*records).lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			points.count(t, lines[c.name]...)
			t.Parallel()
			r := &records{Records: h, w: &suite{}}
			r.anew(t)
			c.run(r, t)
		})
	}
}

type records struct {
	Records
	c       connector.Connector
	env     connector.Env
	account Account
	sys     connector.System
	w       *suite
}

func (r *records) anew(t *testing.T) {
	t.Helper()
	r.c, r.env, r.account = r.Open(t)
	r.sys = r.open(t, r.Settings)
}

func (r *records) open(t *testing.T, settings connector.Settings) connector.System {
	t.Helper()
	checked, err := r.c.Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	env := r.env
	env.Consumer, env.Detection = consumer(), r.Detection
	sys, err := r.c.Open(t.Context(), checked, env)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() {
		if err := sys.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return sys
}

func (r *records) bad(t *testing.T) {
	if err := r.sys.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	for i, bad := range r.Bad {
		checked, err := r.c.Spec().Check(bad)
		if err != nil {
			t.Fatal(err)
		}
		env := r.env
		env.Consumer = consumer()
		sys, err := r.c.Open(t.Context(), checked, env)
		if err == nil {
			err = sys.Check(t.Context())
			_ = sys.Close()
		}
		if err == nil {
			t.Errorf("bad settings %d are accepted", i)
		} else if e := connector.Classify(err); e.Class != connector.Reconnect || e.Message == "" {
			t.Errorf("bad settings %d gave class %s: %v", i, e.Class, e)
		}
	}
}

func (r *records) discover(t *testing.T) {
	d := r.sys.(connector.Discoverer)
	names, err := d.Objects(t.Context())
	if err != nil || !slices.Contains(names, r.Object) {
		t.Fatalf("objects are %v, %v", names, err)
	}
	infos, err := d.Describe(t.Context(), r.Object)
	if err != nil || len(infos) != 1 || len(infos[0].Key) == 0 {
		t.Fatalf("described as %+v, %v", infos, err)
	}
	for _, name := range []string{r.Field, r.Other, r.Identity} {
		if f, ok := infos[0].Field(name); !ok || f.ReadOnly {
			t.Errorf("the field %s is %+v, there: %v", name, f, ok)
		}
	}
	for _, k := range infos[0].Key {
		if _, ok := infos[0].Field(k); !ok {
			t.Errorf("the key field %s is not among the fields", k)
		}
	}
	if _, err := d.Describe(t.Context(), "no_such_object"); err == nil || connector.Classify(err).Class != connector.Reject {
		t.Errorf("an object that is not there: %v", err)
	}
}

func (r *records) stock(t *testing.T, from, to int) (rows, map[int]record.Key) {
	t.Helper()
	want, keys := rows{}, map[int]record.Key{}
	for n := from; n <= to; n++ {
		f := r.New(n)
		keys[n] = r.account.Insert(t, n, f)
		want[keys[n]] = f.Clone()
	}
	return want, keys
}

// settle lets the system's time pass while the replica catches up.
func (r *records) settle(t *testing.T, rep *replica, want rows) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		rep.drain(t)
		lack := difference(rep.rows, want)
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("reading on does not bring it:\n  %s", lack)
		}
		r.account.Elapse(5 * time.Second)
	}
}

func (r *records) snapshot(t *testing.T) {
	const limit = 4
	for _, n := range []int{0, 1, limit - 1, limit, limit + 1, 3*limit + 1} {
		r.anew(t)
		want, _ := r.stock(t, 1, n)
		rep := newReplica(r.sys, r.Object, limit)
		for rep.phase == connector.Snapshot {
			rep.pull(t)
		}
		r.settle(t, rep, want)
	}
}

func (r *records) resumes(t *testing.T) {
	want, _ := r.stock(t, 1, 23)
	rep := newReplica(r.sys, r.Object, 5)
	for pages := 0; rep.phase == connector.Snapshot; pages++ {
		rep.sys = r.open(t, r.Settings)
		rep.pull(t)
		if pages == 1 { // edits on both sides of where it stands
			extra, _ := r.stock(t, 100, 103)
			for k, f := range extra {
				want[k] = f
			}
		}
		if pages > 30 {
			t.Fatal("a snapshot that is resumed at each page does not come to an end")
		}
	}
	r.settle(t, rep, want)
}

func (r *records) stream(t *testing.T) {
	want, keys := r.stock(t, 1, 4)
	rep := newReplica(r.sys, r.Object, 10)
	rep.drain(t)
	r.settle(t, rep, want)
	f := r.New(5)
	k := r.account.Insert(t, 5, f)
	want[k] = f.Clone()
	for i := range 3 {
		r.account.Update(t, keys[1], record.Fields{r.Field: fmt.Sprintf("changed %d", i)})
		want[keys[1]][r.Field] = fmt.Sprintf("changed %d", i)
	}
	r.account.Update(t, keys[2], record.Fields{r.Other: nil})
	want[keys[2]][r.Other] = nil
	r.settle(t, rep, want)
	if r.Deletes {
		r.account.Delete(t, keys[3])
		delete(want, keys[3])
		r.settle(t, rep, want)
		if !rep.heard(record.Delete, keys[3]) {
			t.Error("the deletion was not told")
		}
		// There and gone again between two looks.
		r.account.Delete(t, r.account.Insert(t, 6, r.New(6)))
		r.settle(t, rep, want)
	}
}

// moment has many changes of one time, more than fit in a page, before and behind those already read.
func (r *records) moment(t *testing.T) {
	rep := newReplica(r.sys, r.Object, 4)
	r.account.Freeze(true)
	want, keys := r.stock(t, 1, 9)
	rep.drain(t)
	r.settle(t, rep, want)
	more, _ := r.stock(t, 10, 30) // the same moment, after it was read
	for k, f := range more {
		want[k] = f
	}
	r.settle(t, rep, want)
	r.account.Freeze(false)
	for n := 1; n <= 9; n++ {
		r.account.Update(t, keys[n], record.Fields{r.Field: "later"})
		want[keys[n]][r.Field] = "later"
	}
	r.settle(t, rep, want)
}

func (r *records) older(t *testing.T) {
	want, keys := r.stock(t, 1, 5)
	rep := newReplica(r.sys, r.Object, 3)
	rep.drain(t)
	r.settle(t, rep, want)
	older := rep.fork(r.sys)
	for n := 1; n <= 5; n++ {
		r.account.Update(t, keys[n], record.Fields{r.Field: "new"})
		want[keys[n]][r.Field] = "new"
	}
	if r.Deletes {
		r.account.Delete(t, keys[2])
		delete(want, keys[2])
	}
	r.settle(t, rep, want)
	r.settle(t, older, want) // as after a crash before the cursor was stored
}

func (r *records) fields(t *testing.T) {
	_, keys := r.stock(t, 1, 2)
	info, err := r.sys.(connector.Discoverer).Describe(t.Context(), r.Object)
	if err != nil {
		t.Fatal(err)
	}
	rep := newReplica(r.sys, r.Object, 10)
	rep.fields = []string{r.Field}
	rep.drain(t)
	for k, f := range rep.rows {
		if len(f) != len(info[0].Key)+1 || f[r.Field] == nil {
			t.Errorf("asked for %s, %s is %v", r.Field, k, f)
		}
	}
	all := newReplica(r.sys, r.Object, 10)
	all.drain(t)
	for _, f := range info[0].Fields {
		if _, there := all.rows[keys[1]][f.Name]; !there {
			t.Errorf("asked for all fields, %s is missing", f.Name)
		}
	}
}

func (r *records) keys(t *testing.T) {
	want, keys := r.stock(t, 1, 4)
	r.account.Delete(t, keys[4])
	changes, err := r.sys.(connector.KeyReader).ReadKeys(t.Context(), r.Object, []string{r.Field}, []record.Key{keys[2], "no such key", keys[4], keys[1]})
	if err != nil || len(changes) != 4 {
		t.Fatalf("reading by keys: %v, %v", changes, err)
	}
	for _, c := range changes {
		alive := c.Key == keys[1] || c.Key == keys[2]
		if (c.Op == record.Upsert) != alive || alive && !record.Equal(c.Fields[r.Field], want[c.Key][r.Field]) {
			t.Errorf("%s read by key is %+v", c.Key, c)
		}
	}
	r.account.Elapse(time.Minute)
	found, err := r.sys.(connector.Finder).Find(t.Context(), r.Object, nil, []record.Fields{{r.Identity: want[keys[1]][r.Identity]}, {r.Identity: r.New(99)[r.Identity]}, {r.Identity: want[keys[2]][r.Identity], r.Field: "something else"}})
	if err != nil || len(found) != 3 || len(found[0]) != 1 || len(found[1]) != 0 || len(found[2]) != 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	if found[0][0].Key != keys[1] || !holds(found[0][0].Fields, want[keys[1]]) {
		t.Errorf("found %+v, want %v", found[0][0], want[keys[1]])
	}
}

func (r *records) write(t *testing.T) {
	got := r.w.write(t, r.sys, r.Object, create(r.New(1)), create(r.New(2)), create(r.New(3)))
	outcomes(t, got, connector.Applied, connector.Applied, connector.Applied)
	want := rows{}
	for i, rec := range got {
		if rec.Key == "" || want[rec.Key] != nil {
			t.Fatalf("creation %d has the key %q", i, rec.Key)
		}
		want[rec.Key] = r.New(i + 1)
	}
	r.w.present(t, r.sys, r.Object, want)
	mixed := r.w.write(t, r.sys, r.Object, update(got[0].Key, record.Fields{r.Field: "changed"}, nil), create(r.New(4)), remove(got[1].Key, nil), update(got[2].Key, record.Fields{r.Other: nil}, nil))
	outcomes(t, mixed, connector.Applied, connector.Applied, connector.Applied, connector.Applied)
	want[got[0].Key][r.Field] = "changed"
	want[got[1].Key] = nil
	want[got[2].Key][r.Other] = nil
	want[mixed[1].Key] = r.New(4)
	r.w.present(t, r.sys, r.Object, want)
	one := r.w.write(t, r.sys, r.Object, create(r.New(5))) // alone, as not in a batch
	outcomes(t, one, connector.Applied)
	outcomes(t, r.w.write(t, r.sys, r.Object, update(one[0].Key, record.Fields{r.Field: "alone"}, nil)), connector.Applied)
	r.w.present(t, r.sys, r.Object, rows{one[0].Key: {r.Field: "alone", r.Other: r.New(5)[r.Other]}}) // what was not sent stays
	outcomes(t, r.w.write(t, r.sys, r.Object, update(one[0].Key, record.Fields{r.Identity: r.New(50)[r.Identity]}, nil)), connector.Applied)
	r.w.present(t, r.sys, r.Object, rows{one[0].Key: {r.Identity: r.New(50)[r.Identity]}})
	outcomes(t, r.w.write(t, r.sys, r.Object, remove(one[0].Key, nil)), connector.Applied)
	r.w.present(t, r.sys, r.Object, rows{one[0].Key: nil})
	if got := r.w.write(t, r.sys, r.Object); len(got) != 0 {
		t.Errorf("no writes have the receipts %v", got)
	}
}

// twice is invariant 4: sending twice changes nothing.
func (r *records) twice(t *testing.T) {
	_, keys := r.stock(t, 1, 3)
	batch := func() []connector.Write {
		return []connector.Write{create(r.New(10)), update(keys[1], record.Fields{r.Field: "x"}, record.Fields{r.Field: r.New(1)[r.Field]}), remove(keys[3], nil)}
	}
	outcomes(t, r.w.write(t, r.sys, r.Object, batch()...), connector.Applied, connector.Applied, connector.Applied)
	n := r.account.Live()
	for range 2 {
		r.account.Elapse(10 * time.Second)
		outcomes(t, r.w.write(t, r.sys, r.Object, batch()...), connector.Already, connector.Already, connector.Already)
	}
	if r.account.Live() != n {
		t.Errorf("after repeating there are %d records, before %d", r.account.Live(), n)
	}
}

func (r *records) expecting(t *testing.T) {
	_, keys := r.stock(t, 1, 5)
	is := func(n int) record.Fields { return record.Fields{r.Field: r.New(n)[r.Field]} }
	other := record.Fields{r.Field: "not so"}
	taken := r.New(9)
	taken[r.Identity] = r.New(5)[r.Identity]
	got := r.w.write(t, r.sys, r.Object,
		update(keys[1], record.Fields{r.Field: "new"}, is(1)),
		update(keys[2], record.Fields{r.Field: "new"}, other),
		update(keys[3], is(3), other),
		remove(keys[4], other),
		create(taken))
	outcomes(t, got, connector.Applied, connector.Moved, connector.Already, connector.Moved, connector.Moved)
	if got[4].Key != keys[5] {
		t.Errorf("a creation of what is there leads to %q, want %q", got[4].Key, keys[5])
	}
	r.account.Delete(t, keys[2])
	outcomes(t, r.w.write(t, r.sys, r.Object, update(keys[2], record.Fields{r.Field: "new"}, is(2)), remove(keys[2], is(2))), connector.Gone, connector.Already)
}

func (r *records) refused(t *testing.T) {
	n := 0
	for what, bad := range r.Refused {
		n += 20
		_, keys := r.stock(t, n, n+1)
		broken := r.New(n + 2)
		for k, v := range bad {
			broken[k] = v
		}
		got := r.w.write(t, r.sys, r.Object, create(r.New(n+3)), update(keys[n], bad, nil), create(broken), update(keys[n+1], record.Fields{r.Field: "good"}, nil), create(r.New(n+4)))
		for i, rec := range got {
			want := connector.Applied
			if i == 1 || i == 2 {
				want = connector.Refused
			}
			if rec.Outcome != want {
				t.Errorf("%s: write %d is %s (%v), want %s", what, i, rec.Outcome, rec.Err, want)
			}
		}
		r.w.present(t, r.sys, r.Object, rows{got[0].Key: r.New(n + 3), got[4].Key: r.New(n + 4), keys[n]: r.New(n), keys[n+1]: {r.Field: "good"}})
	}
}

func (r *records) many(t *testing.T) {
	const n = 230
	var creates, updates, removes []connector.Write
	for i := range n {
		creates = append(creates, create(r.New(i)))
	}
	want := rows{}
	for i, rec := range r.w.write(t, r.sys, r.Object, creates...) {
		if rec.Outcome != connector.Applied {
			t.Fatalf("create %d is %s (%v)", i, rec.Outcome, rec.Err)
		}
		want[rec.Key] = r.New(i)
		if i%3 == 0 {
			removes = append(removes, remove(rec.Key, nil))
			want[rec.Key] = nil
		} else {
			updates = append(updates, update(rec.Key, record.Fields{r.Field: "many"}, record.Fields{r.Field: r.New(i)[r.Field]}))
			want[rec.Key][r.Field] = "many"
		}
	}
	if len(want) != n {
		t.Fatalf("%d records have %d keys", n, len(want))
	}
	for i, rec := range r.w.write(t, r.sys, r.Object, append(updates, removes...)...) {
		if rec.Outcome != connector.Applied {
			t.Fatalf("update or delete %d is %s (%v)", i, rec.Outcome, rec.Err)
		}
	}
	r.w.present(t, r.sys, r.Object, want)
}

// own is what an echo looks like: the values that were said to be stored.
func (r *records) own(t *testing.T) {
	rep := newReplica(r.sys, r.Object, 10)
	rep.drain(t)
	f := r.New(1)
	got := r.w.write(t, r.sys, r.Object, create(f))
	outcomes(t, got, connector.Applied)
	expect := f.Clone()
	for k, v := range got[0].Stored {
		expect[k] = v
	}
	r.settle(t, rep, rows{got[0].Key: expect})
	up := r.w.write(t, r.sys, r.Object, update(got[0].Key, record.Fields{r.Field: "mine"}, nil))
	outcomes(t, up, connector.Applied)
	expect[r.Field] = "mine"
	for k, v := range up[0].Stored {
		expect[k] = v
	}
	r.settle(t, rep, rows{got[0].Key: expect})
}

func (r *records) throttled(t *testing.T) {
	want, keys := r.stock(t, 1, 6)
	rep := newReplica(r.sys, r.Object, 4)
	try := func(what string, f func() error) {
		t.Helper()
		for range 50 {
			err := f()
			if err == nil {
				return
			}
			e := connector.Classify(err)
			if e.Class != connector.SlowDown || e.After <= 0 {
				t.Fatalf("%s: %v (class %s, after %s)", what, err, e.Class, e.After)
			}
			r.account.Elapse(e.After)
		}
		t.Fatalf("%s does not get through", what)
	}
	r.account.Throttle(6)
	try("reading", func() error {
		_, err := r.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: r.Object, Limit: 4})
		return err
	})
	r.account.Throttle(6)
	try("writing", func() error {
		_, err := r.sys.(connector.Writer).Write(t.Context(), r.Object, []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: keys[1], Fields: record.Fields{r.Field: "slow"}}, {ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: r.New(40)}})
		return err
	})
	r.account.Throttle(0)
	want[keys[1]][r.Field] = "slow"
	r.w.present(t, r.sys, r.Object, want)
	if r.account.Live() != 7 {
		t.Errorf("there are %d records, want 7", r.account.Live())
	}
	rep.drain(t)
}

func (r *records) failing(t *testing.T) {
	want, keys := r.stock(t, 1, 3)
	r.account.Fail(2) // reading asks again by itself
	rep := newReplica(r.sys, r.Object, 10)
	rep.drain(t)
	r.settle(t, rep, want)
	r.account.Fail(40)
	failed := 0
	for range 40 {
		_, err := r.sys.(connector.Writer).Write(t.Context(), r.Object, []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: keys[1], Fields: record.Fields{r.Field: "after all"}}})
		if err == nil {
			break
		}
		failed++
		switch e := connector.Classify(err); e.Class {
		case connector.Retry:
			r.account.Elapse(time.Second)
		case connector.SlowDown: // the breaker
			r.account.Elapse(e.After)
		default:
			t.Fatalf("a server's error gave class %s: %v", e.Class, err)
		}
	}
	if failed == 0 || failed == 40 {
		t.Errorf("it failed %d times", failed)
	}
	want[keys[1]][r.Field] = "after all"
	r.settle(t, rep, want)
}

func (r *records) expired(t *testing.T) {
	if !r.Expires {
		return
	}
	want, keys := r.stock(t, 1, 3)
	rep := newReplica(r.sys, r.Object, 2)
	rep.pull(t)
	r.account.Expire()
	rep.drain(t)
	r.settle(t, rep, want)
	r.account.Expire()
	outcomes(t, r.w.write(t, r.sys, r.Object, update(keys[1], record.Fields{r.Field: "renewed"}, nil)), connector.Applied)
	want[keys[1]][r.Field] = "renewed"
	r.settle(t, rep, want)
}

// lost is a write whose answer never came: what it did is found by key or by what identifies the record, and sending it again
// changes nothing.
func (r *records) lost(t *testing.T) {
	_, keys := r.stock(t, 1, 2)
	batches := [][]connector.Write{
		{create(r.New(10))},
		{create(r.New(11)), create(r.New(12))},
		{update(keys[1], record.Fields{r.Field: "lost"}, nil)},
	}
	for i, batch := range batches {
		for j := range batch {
			batch[j].ID = record.NewEntityID()
		}
		r.account.LoseWrite()
		got, err := r.sys.(connector.Writer).Write(t.Context(), r.Object, batch)
		known := err == nil && len(batch) > 1 // of a batch in several calls those that were answered are known
		for _, rec := range got {
			known = known && (rec.Outcome == connector.Applied || rec.Outcome == connector.Unsent && connector.Classify(rec.Err).Class == connector.Retry)
		}
		if !known && (err == nil || connector.Classify(err).Class != connector.Retry) {
			t.Fatalf("batch %d: a lost answer gave %v, %v", i, got, err)
		}
		r.account.Elapse(30 * time.Second)
		if batch[0].Create {
			found, err := r.sys.(connector.Finder).Find(t.Context(), r.Object, nil, []record.Fields{{r.Identity: batch[0].Fields[r.Identity]}})
			if err != nil || len(found[0]) != 1 {
				t.Fatalf("batch %d: found %v, %v", i, found, err)
			}
		}
		for j := range batch {
			if batch[j].Create {
				batch[j].Key = ""
			}
		}
		for j, rec := range r.w.write(t, r.sys, r.Object, batch...) {
			if rec.Outcome != connector.Already && !(rec.Outcome == connector.Applied && len(batch) > 1) {
				t.Errorf("batch %d, write %d sent again is %s (%v)", i, j, rec.Outcome, rec.Err)
			}
		}
	}
	if r.account.Live() != 5 {
		t.Errorf("there are %d records, want 5", r.account.Live())
	}
}
