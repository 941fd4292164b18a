// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Streamed says how to reach a stream: something that tells of records as they change, goes on behind a place, and keeps nothing for us.
type Streamed struct {
	Connector connector.Connector
	Settings  connector.Settings
	Bad       []connector.Settings // that do not work; Open or Check must say Reconnect
	Judge     string
	Env       connector.Env
	Appends   bool // it can be written to
	// Create makes a stream; its records are told apart by the field id.
	Create func(t *testing.T) record.Object
	// Say tells of a record, Drop of a deleted one.
	Say  func(t testing.TB, object record.Object, fields record.Fields)
	Drop func(t testing.TB, object record.Object, id int)
	// Raw says something that is no record with a key.
	Raw func(t testing.TB, object record.Object)
	// Cut ends all connections that tell of the object, without a word. Others stay: who is cut off again and again before anything
	// comes gives up, and other parts of the suite run at the same time.
	Cut func(object record.Object)
	// Not are the lines of the suite that do not apply, with the reason, beside those that no stream has.
	Not map[card.Line]string
}

// RunStreamed holds a connector of streams to its contract.
func RunStreamed(t *testing.T, q Streamed) {
	points := newScore(t, q.Connector.Spec(), card.Card{Objects: "streams", Read: true, Write: q.Appends, Delete: true, Detection: "stream", Judge: q.Judge}, with(map[card.Line]string{
		card.Ties:    "what is told comes in the stream's order, and no time is compared",
		card.Webhook: "we open the connection, and nothing is sent to an address of ours",
	}, q.Not))
	lines := map[string][]card.Line{"discover": {card.Schema}, "read": {card.Delete}, "read in pages": {card.Pages}, "equal twice": {card.Twice}}
	for _, c := range []struct {
		name string
		run  func(*streamed, *testing.T)
	}{
		{"spec", func(q *streamed, t *testing.T) { testSpec(t, q.s) }},
		{"open", (*streamed).open},
		{"discover", (*streamed).discover},
		{"read", (*streamed).read},
		{"read in pages", (*streamed).pages},
		{"read again", (*streamed).again},
		{"cut off", (*streamed).cut},
		{"another process", (*streamed).resumed},
		{"older cursor", (*streamed).older},
		{"equal twice", (*streamed).equal},
		{"acknowledge", (*streamed).acknowledge},
		{"no key", (*streamed).keyless},
		{"watch", (*streamed).watch},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			points.count(t, lines[c.name]...)
			s := &suite{Harness: Harness{Connector: q.Connector, Settings: q.Settings, Bad: q.Bad, Env: q.Env, Can: Can{Watches: true}}}
			c.run(&streamed{q, s}, t)
		})
	}
}

type streamed struct {
	Streamed
	s *suite
}

func (q *streamed) reader(t *testing.T, limit int) (connector.System, record.Object, *replica) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	r := newReplica(sys, o, limit)
	r.drain(t)
	return sys, o, r
}

func (q *streamed) say(t testing.TB, o record.Object, id int, name string) record.Fields {
	f := record.Fields{"id": num(id), "name": name, "price": record.Number("1.5"), "tags": []any{"a", nil}}
	q.Say(t, o, f)
	return f
}

func (q *streamed) open(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	if err := sys.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	for i, bad := range q.Bad {
		sys, err := q.s.tryOpen(t, bad, consumer(), "")
		if err == nil {
			err = sys.Check(t.Context())
			_ = sys.Close()
		}
		if err == nil {
			t.Errorf("bad settings %d are accepted", i)
			continue
		}
		e := connector.Classify(err)
		if e.Class != connector.Reconnect || e.Message == "" {
			t.Errorf("bad settings %d gave class %s: %v", i, e.Class, e)
		}
		for _, d := range q.Connector.Spec().Settings {
			if v := bad[d.Name]; d.Secret && v != "" && strings.Contains(e.Error(), v) {
				t.Errorf("the error shows the secret %s: %v", d.Name, e)
			}
		}
	}
	if sys, err := q.s.tryOpen(t, q.Settings, consumer(), "divination"); err == nil {
		_ = sys.Close()
		t.Error("an unknown detection is accepted")
	} else if c := connector.Classify(err).Class; c != connector.Reject {
		t.Errorf("an unknown detection gave class %s", c)
	}
	if !as[connector.Watcher](sys) || !as[connector.Acknowledger](sys) || as[connector.KeyReader](sys) || as[connector.Appender](sys) != q.Appends || as[connector.Writer](sys) != q.Appends {
		t.Error("a stream is watched and acknowledged, is not read by key, and is written to only where it says so")
	}
	if d, why, err := sys.(connector.Chooser).Detection(t.Context(), o); d != "stream" || why == "" || err != nil {
		t.Errorf("the detection is %s because %q, %v", d, why, err)
	}
}

func (q *streamed) discover(t *testing.T) {
	sys, o, r := q.reader(t, 10)
	r.catchUp(t, rows{"1": q.say(t, o, 1, "Ada")})
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), o)
	if err != nil || len(infos) != 1 || !slices.Equal(infos[0].Key, []string{"id"}) || !infos[0].Open {
		t.Fatalf("described as %+v, %v", infos, err)
	}
	for name, want := range map[string]connector.Type{"id": connector.TypeInteger, "name": connector.TypeText, "price": connector.TypeNumber, "tags": connector.TypeArray} {
		if f, there := infos[0].Field(name); !there || f.Type != want {
			t.Errorf("%s is %+v, want %s", name, f, want)
		}
	}
}

func (q *streamed) read(t *testing.T) {
	_, o, r := q.reader(t, 10)
	want := rows{"1": q.say(t, o, 1, "Ada"), "2": q.say(t, o, 2, "Bob")}
	r.catchUp(t, want)
	want["1"] = q.say(t, o, 1, "Ada L.")
	q.Drop(t, o, 2)
	delete(want, "2")
	r.catchUp(t, want)
	_, o, r = q.reader(t, 10)
	r.fields = []string{"name"}
	q.say(t, o, 1, "Ada")
	r.catchUp(t, rows{"1": {"id": num(1), "name": "Ada"}})
	if len(r.rows["1"]) != 2 {
		t.Errorf("asked for the name, got %v", r.rows["1"])
	}
}

func (q *streamed) pages(t *testing.T) {
	_, o, r := q.reader(t, 4)
	want := rows{}
	for i := range 300 {
		want[id(i)] = q.say(t, o, i, "x")
	}
	r.catchUp(t, want)
}

// again is a page that was read and not committed.
func (q *streamed) again(t *testing.T) {
	_, o, r := q.reader(t, 10)
	want := rows{"1": q.say(t, o, 1, "Ada")}
	r.catchUp(t, want)
	older := r.fork(r.sys)
	want["2"] = q.say(t, o, 2, "Bob")
	want["1"] = q.say(t, o, 1, "Ada L.")
	r.catchUp(t, want)
	older.catchUp(t, want)
}

// cut is a connection that is lost: what was said meanwhile comes afterwards.
func (q *streamed) cut(t *testing.T) {
	_, o, r := q.reader(t, 10)
	want := rows{}
	for i := range 20 {
		want[id(i)] = q.say(t, o, i, "x")
		if i%5 == 0 {
			r.catchUp(t, want)
			q.Cut(o)
		}
	}
	q.patient(t, r, want)
}

// patient reads on, also when what was cut off is told as an error.
func (q *streamed) patient(t *testing.T, r *replica, want rows) {
	t.Helper()
	for range 100 {
		page, err := r.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: r.object, Cursor: r.cursor, Limit: r.limit})
		if err != nil {
			if c := connector.Classify(err).Class; c != connector.Retry {
				t.Fatalf("a lost connection gave class %s: %v", c, err)
			}
			continue
		}
		_ = page
		break
	}
	r.catchUp(t, want)
}

// resumed is a process that ends; another goes on where the cursor stands, and hears nothing again that was committed.
func (q *streamed) resumed(t *testing.T) {
	o, c := q.Create(t), consumer()
	first, err := q.s.tryOpen(t, q.Settings, c, "")
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(first, o, 10)
	r.drain(t)
	want := rows{"1": q.say(t, o, 1, "Ada"), "2": q.say(t, o, 2, "Bob")}
	r.catchUp(t, want)
	lost := r.fork(first)
	want["3"] = q.say(t, o, 3, "Cy")
	lost.untilTrue(t, "a page that is never committed", func() bool { return lost.rows["3"] != nil })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	want["4"] = q.say(t, o, 4, "Dan") // while nobody listens
	q.Drop(t, o, 2)
	delete(want, "2")
	r.sys = q.s.open(t, c)
	r.seen = nil
	want["5"] = q.say(t, o, 5, "Eve")
	r.catchUp(t, want)
	if r.heard(record.Upsert, "1") {
		t.Errorf("what was committed came again: %v", r.seen)
	}
}

// older is a cursor from before where another connection began: what lies between is not passed over.
func (q *streamed) older(t *testing.T) {
	_, o, r := q.reader(t, 10)
	want := rows{"1": q.say(t, o, 1, "Ada")}
	r.catchUp(t, want)
	old := r.fork(r.sys)
	want["2"] = q.say(t, o, 2, "Bob")
	r.catchUp(t, want)
	again := q.s.open(t, consumer())
	r.sys, old.sys = again, again
	want["3"] = q.say(t, o, 3, "Cy")
	r.catchUp(t, want)
	old.catchUp(t, want)
}

// equal is the same thing said twice, with something else between.
func (q *streamed) equal(t *testing.T) {
	_, o, r := q.reader(t, 10)
	for range 3 {
		for _, name := range []string{"on", "off"} {
			r.catchUp(t, rows{"1": q.say(t, o, 1, name)})
		}
		q.Cut(o)
		q.patient(t, r, rows{"1": {"name": "off"}})
	}
}

// acknowledge frees what is kept, and loses nothing behind it.
func (q *streamed) acknowledge(t *testing.T) {
	sys, o, r := q.reader(t, 10)
	want := rows{}
	for i := range 2500 { // more than is held at once
		want[id(i%50)] = q.say(t, o, i%50, fmt.Sprint(i))
		if i%500 == 499 {
			r.catchUp(t, want)
			if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), o, r.cursor); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.catchUp(t, want)
}

func (q *streamed) keyless(t *testing.T) {
	_, o, r := q.reader(t, 10)
	q.say(t, o, 1, "Ada")
	r.untilTrue(t, "what came before", func() bool { return r.rows["1"] != nil })
	q.Raw(t, o)
	for {
		page, err := r.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: r.cursor, Limit: 10})
		if err != nil {
			if e := connector.Classify(err); e.Code != "queue.key_missing" {
				t.Errorf("what says nothing of its record gave %v", err)
			}
			return
		}
		r.cursor = page.Cursor
	}
}

func (q *streamed) watch(t *testing.T) {
	q.s.Users = streamUsers{Streamed: q.Streamed}
	q.s.Create = func(t *testing.T, _ Shape) record.Object { return q.Streamed.Create(t) }
	testWatch(t, q.s)
}

// streamUsers tell of records.
type streamUsers struct {
	Users
	Streamed
}

func (u streamUsers) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	for _, r := range rows {
		u.Say(t, object, r)
	}
}
