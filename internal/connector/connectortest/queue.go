// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Queue says how to reach a broker whose queues hand out messages and cannot be asked what they hold (connector.Appender).
type Queue struct {
	Connector connector.Connector
	Settings  connector.Settings
	Bad       []connector.Settings // that do not work; Open or Check must say Reconnect
	Judge     string               // what the connector is judged by, for the table: "RabbitMQ 3.10"
	Env       connector.Env
	// Create makes an empty queue; its records are told apart by the field id.
	Create func(t *testing.T) record.Object
	// Send puts a message of somebody else into the queue: content and headers.
	Send func(t testing.TB, object record.Object, body string, headers map[string]string)
	// Take takes everything out of the queue, waiting until n messages came.
	Take func(t testing.TB, object record.Object, n int) []Taken
	// Depth counts the messages that are in the queue, those included that were handed out to who has gone and were not acknowledged.
	Depth func(t testing.TB, object record.Object) int
	// TooLarge is a size of content that the broker does not take.
	TooLarge int
	// Not are the lines of the suite that do not apply, with the reason, beside those that no queue has.
	Not map[card.Line]string
}

// Taken is a message as another program gets it.
type Taken struct {
	Body    string
	Headers map[string]string
}

// RunQueue holds a connector of queues to its contract.
func RunQueue(t *testing.T, q Queue) {
	points := newScore(t, q.Connector.Spec(), card.Card{Objects: "queues", Read: true, Write: true, Delete: true, Detection: "stream", Judge: q.Judge}, with(map[card.Line]string{
		card.Ties:    "messages come in the order of the queue, and no time is compared",
		card.Webhook: "messages are taken out of the queue, and nothing is sent to us",
	}, q.Not))
	lines := map[string][]card.Line{
		"discover": {card.Schema}, "read": {card.Delete}, "read in pages": {card.Pages}, "write": {card.Delete}, "write twice": {card.Twice}, "write refused": {card.Partial}, "write unknown": {card.Unknown},
	}
	for _, c := range []struct {
		name string
		run  func(*queued, *testing.T)
	}{
		{"spec", func(q *queued, t *testing.T) { testSpec(t, q.s) }},
		{"open", (*queued).open},
		{"discover", (*queued).discover},
		{"first page takes nothing", (*queued).idle},
		{"read", (*queued).read},
		{"read in pages", (*queued).pages},
		{"read again", (*queued).again},
		{"handed out again", (*queued).redelivered},
		{"acknowledge", (*queued).acknowledge},
		{"no key", (*queued).keyless},
		{"write", (*queued).write},
		{"write many", (*queued).many},
		{"write twice", (*queued).twice},
		{"write refused", (*queued).refused},
		{"write unknown", (*queued).unknown},
		{"own writes", (*queued).own},
		{"values", (*queued).values},
		{"watch", (*queued).watch},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			points.count(t, lines[c.name]...)
			s := &suite{Harness: Harness{Connector: q.Connector, Settings: q.Settings, Bad: q.Bad, Env: q.Env, Can: Can{Watches: true}}}
			c.run(&queued{q, s}, t)
		})
	}
}

type queued struct {
	Queue
	s *suite
}

func (q *queued) reader(t *testing.T, limit int) (connector.System, record.Object, *replica) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	r := newReplica(sys, o, limit)
	r.drain(t)
	return sys, o, r
}

func (q *queued) say(t testing.TB, o record.Object, id int, name string) {
	t.Helper()
	q.Send(t, o, fmt.Sprintf(`{"id": %d, "name": %q, "price": 1.50, "tags": ["a", null]}`, id, name), nil)
}

func said(id int, name string) record.Fields {
	return record.Fields{"id": num(id), "name": name, "price": record.Number("1.5"), "tags": []any{"a", nil}}
}

func (q *queued) open(t *testing.T) {
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
	if !as[connector.Appender](sys) || !as[connector.Watcher](sys) || !as[connector.Acknowledger](sys) || as[connector.KeyReader](sys) {
		t.Error("a queue appends, is watched and acknowledged, and is not read by key")
	}
}

func (q *queued) discover(t *testing.T) {
	sys, o, r := q.reader(t, 10)
	q.say(t, o, 1, "Ada")
	r.catchUp(t, rows{"1": said(1, "Ada")})
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), o)
	if err != nil || len(infos) != 1 || !slices.Equal(infos[0].Key, []string{"id"}) || !infos[0].Open {
		t.Fatalf("described as %+v, %v", infos, err)
	}
	for name, want := range map[string]connector.Type{"id": connector.TypeInteger, "name": connector.TypeText, "price": connector.TypeNumber, "tags": connector.TypeArray} {
		if f, there := infos[0].Field(name); !there || f.Type != want {
			t.Errorf("%s is %+v, want %s", name, f, want)
		}
	}
	if _, err := sys.(connector.Discoverer).Describe(t.Context(), "no-such-queue"); err == nil || connector.Classify(err).Class != connector.Reject {
		t.Errorf("a queue that is not there is described with %v", err)
	}
}

// idle: a service that only writes reads one page, and must not empty the queue.
func (q *queued) idle(t *testing.T) {
	o := q.Create(t)
	q.say(t, o, 1, "Ada")
	sys := q.s.open(t, consumer())
	page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Limit: 10})
	if err != nil || len(page.Changes) != 0 || page.Phase != connector.Stream || !page.More || len(page.Cursor) == 0 {
		t.Fatalf("the first page is %+v, %v", page, err)
	}
	if got := q.Take(t, o, 1); len(got) != 1 {
		t.Errorf("another program gets %v", got)
	}
}

func (q *queued) read(t *testing.T) {
	_, o, r := q.reader(t, 10)
	q.say(t, o, 1, "Ada")
	q.say(t, o, 2, "Bob")
	q.say(t, o, 1, "Ada L.")
	want := rows{"1": said(1, "Ada L."), "2": said(2, "Bob")}
	r.catchUp(t, want)
	q.Send(t, o, `{"id": 2}`, map[string]string{"syncline-op": "delete"})
	q.Send(t, o, `{"name": "Cy"}`, map[string]string{"syncline-key": "3"})
	q.Send(t, o, `just text`, map[string]string{"syncline-key": "4"})
	delete(want, "2")
	want["3"], want["4"] = record.Fields{"id": "3", "name": "Cy"}, record.Fields{"id": "4", "value": "just text"}
	r.catchUp(t, want)
	// Only what is asked for.
	_, o, r = q.reader(t, 10)
	r.fields = []string{"name"}
	q.say(t, o, 1, "Ada")
	r.catchUp(t, rows{"1": {"id": num(1), "name": "Ada"}})
	if len(r.rows["1"]) != 2 {
		t.Errorf("asked for the name, got %v", r.rows["1"])
	}
}

func (q *queued) pages(t *testing.T) {
	_, o, r := q.reader(t, 4)
	want := rows{}
	for i := range 30 {
		q.say(t, o, i, "x")
		want[id(i)] = said(i, "x")
	}
	r.catchUp(t, want)
}

// again is a page that was read and not committed.
func (q *queued) again(t *testing.T) {
	_, o, r := q.reader(t, 10)
	q.say(t, o, 1, "Ada")
	r.catchUp(t, rows{"1": said(1, "Ada")})
	older := r.fork(r.sys)
	q.say(t, o, 2, "Bob")
	q.say(t, o, 1, "Ada L.")
	want := rows{"1": said(1, "Ada L."), "2": said(2, "Bob")}
	r.catchUp(t, want)
	older.catchUp(t, want)
}

// redelivered is a worker that was cut off before it acknowledged: nothing is lost, and what was committed is not told again.
func (q *queued) redelivered(t *testing.T) {
	o, c := q.Create(t), consumer()
	first, err := q.s.tryOpen(t, q.Settings, c, "")
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(first, o, 10)
	r.drain(t)
	q.say(t, o, 1, "Ada")
	q.say(t, o, 2, "Bob")
	want := rows{"1": said(1, "Ada"), "2": said(2, "Bob")}
	r.catchUp(t, want) // committed
	lost := r.fork(first)
	q.say(t, o, 3, "Cy")
	lost.untilTrue(t, "a page that is never committed", func() bool { return lost.rows["3"] != nil })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r.sys = q.s.open(t, c)
	r.seen = nil
	q.say(t, o, 4, "Dan")
	want["3"], want["4"] = said(3, "Cy"), said(4, "Dan")
	r.catchUp(t, want)
	if r.heard(record.Upsert, "1") || r.heard(record.Upsert, "2") {
		t.Errorf("what was committed came again: %v", r.seen)
	}
}

// acknowledge: what was acknowledged is gone from the broker, and nothing else.
func (q *queued) acknowledge(t *testing.T) {
	o, c := q.Create(t), consumer()
	var r *replica
	want := rows{}
	for round, ack := range []int{0, 2, 6} {
		sys, err := q.s.tryOpen(t, q.Settings, c, "")
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			r = newReplica(sys, o, 10)
			r.drain(t)
			for i := range 3 {
				q.say(t, o, i, "x")
				want[id(i)] = said(i, "x")
			}
		}
		r.sys = sys
		q.say(t, o, 10+round, "y")
		want[id(10+round)] = said(10+round, "y")
		r.catchUp(t, want)
		if ack > 0 {
			for range 2 { // twice is fine
				if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), o, r.cursor); err != nil {
					t.Fatal(err)
				}
			}
			q.say(t, o, 20+round, "not acknowledged")
			want[id(20+round)] = said(20+round, "not acknowledged")
			r.catchUp(t, want)
		}
		if err := sys.Close(); err != nil {
			t.Fatal(err)
		}
		q.until(t, o, map[int]int{0: 4, 2: 1, 6: 1}[ack])
	}
}

func (q *queued) until(t *testing.T, o record.Object, want int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; q.Depth(t, o) != want; wait = min(2*wait, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the broker keeps %d messages, want %d", q.Depth(t, o), want)
		}
		<-time.After(wait) // brokers count with a delay
	}
}

// keyless: a message that says not which record it is of stops the queue, with words; what came before it goes its way.
func (q *queued) keyless(t *testing.T) {
	sys, o, r := q.reader(t, 10)
	q.say(t, o, 1, "Ada")
	r.catchUp(t, rows{"1": said(1, "Ada")})
	q.say(t, o, 2, "Bob")
	q.Send(t, o, `{"name": "nobody"}`, nil)
	var err error
	deadline := time.Now().Add(patience)
	for err == nil && time.Now().Before(deadline) {
		var page connector.Page
		if page, err = sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: r.cursor, Limit: 10}); err == nil {
			r.cursor = page.Cursor
			for _, c := range page.Changes {
				r.rows[c.Key] = c.Fields
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if e := connector.Classify(err); e.Class != connector.Retry || e.Code != "queue.key_missing" {
		t.Fatalf("a message without a key gave %v", err)
	}
	if diff := difference(r.rows, rows{"1": said(1, "Ada"), "2": said(2, "Bob")}); diff != "" {
		t.Error(diff)
	}
}

func (q *queued) send(t *testing.T, sys connector.System, o record.Object, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	attempt := uuid.New()
	for i := range writes {
		writes[i].Attempt = attempt
	}
	return q.s.write(t, sys, o, writes...)
}

func (q *queued) write(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	whole := record.Fields{"id": num(1), "name": "Ada L.", "note": nil}
	got := q.send(t, sys, o,
		create(record.Fields{"id": num(1), "name": "Ada"}),
		connector.Write{Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "Ada L."}, Expect: record.Fields{"name": "not so"}, Whole: whole},
		create(record.Fields{"id": num(2), "name": "Bob"}),
		remove("2", nil))
	outcomes(t, got, connector.Applied, connector.Applied, connector.Applied, connector.Applied)
	for i, want := range []record.Key{"1", "1", "2", "2"} {
		if got[i].Key != want {
			t.Errorf("write %d has the key %q, want %q", i, got[i].Key, want)
		}
	}
	last := map[string]Taken{}
	for _, m := range q.Take(t, o, 4) {
		last[m.Headers["syncline-key"]] = m
		if m.Headers["syncline-consumer"] == "" || m.Headers["syncline-attempt"] == "" || m.Headers["syncline-entity"] == "" {
			t.Errorf("the headers are %v", m.Headers)
		}
	}
	body := func(key string) record.Value {
		v, err := record.ParseJSON([]byte(last[key].Body))
		if err != nil {
			t.Errorf("the message of %s is %q", key, last[key].Body)
		}
		return v
	}
	if !record.Equal(body("1"), map[string]any(whole)) || last["1"].Headers["syncline-op"] != "upsert" {
		t.Errorf("the last message of 1 is %+v", last["1"])
	}
	if !record.Equal(body("2"), map[string]any{"id": "2"}) || last["2"].Headers["syncline-op"] != "delete" {
		t.Errorf("the last message of 2 is %+v", last["2"])
	}
	// A record that gets another key is deleted under the old one.
	outcomes(t, q.send(t, sys, o, connector.Write{Op: record.Upsert, Key: "1", Fields: record.Fields{"id": num(7)}, Whole: record.Fields{"id": num(7), "name": "Ada"}}), connector.Applied)
	moved := q.Take(t, o, 2)
	if len(moved) != 2 || moved[0].Headers["syncline-op"] != "delete" || moved[0].Headers["syncline-key"] != "1" || moved[1].Headers["syncline-key"] != "7" {
		t.Errorf("another key was told as %+v", moved)
	}
	if got := q.send(t, sys, o); len(got) != 0 {
		t.Errorf("no writes have the receipts %v", got)
	}
}

func (q *queued) many(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	const n = 300
	var writes []connector.Write
	for i := range n {
		writes = append(writes, create(record.Fields{"id": num(i), "name": strings.Repeat("x", 100)}))
	}
	for i, r := range q.send(t, sys, o, writes...) {
		if r.Outcome != connector.Applied {
			t.Fatalf("write %d is %s (%v)", i, r.Outcome, r.Err)
		}
	}
	keys := map[string]bool{}
	for _, m := range q.Take(t, o, n) {
		keys[m.Headers["syncline-key"]] = true
	}
	if len(keys) != n {
		t.Errorf("%d records arrived, want %d", len(keys), n)
	}
}

// twice: who reads the queue holds the same when a batch is sent again, in another attempt.
func (q *queued) twice(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	b := newReplica(q.s.open(t, consumer()), o, 10)
	b.drain(t)
	want := rows{"1": {"id": num(1), "name": "Ada"}, "2": {"id": num(2), "name": "Bob"}}
	for range 2 {
		q.send(t, sys, o, create(want["1"].Clone()), create(want["2"].Clone()), create(record.Fields{"id": num(3), "name": "Cy"}), remove("3", nil))
		b.catchUp(t, want)
	}
	b.seen = nil
	q.send(t, sys, o, create(record.Fields{"id": num(4), "name": "Dan"})) // behind all that was sent
	b.untilTrue(t, "the last", func() bool { return b.rows["4"] != nil })
	delete(b.rows, "4")
	if diff := difference(b.rows, want); diff != "" {
		t.Error(diff)
	}
}

// unknown loses answers that a batch gets, one at a time: sent again, each message arrives at least once.
func (q *queued) unknown(t *testing.T) {
	const most = 100
	for n := 0; ; n += 1 + n/6 { // the first one by one, then some
		if n >= most {
			t.Fatalf("a batch of two has more than %d answers", most)
		}
		o, l := q.Create(t), &lossy{after: -1}
		shaky := *q.s
		shaky.Env = l.through(q.s.Env)
		sys, err := shaky.tryOpen(t, q.Settings, consumer(), "")
		if err != nil {
			t.Fatal(err)
		}
		batch := []connector.Write{create(record.Fields{"id": num(1), "name": "Ada"}), create(record.Fields{"id": num(2), "name": "Bob"})}
		attempt := uuid.New()
		for i := range batch {
			batch[i].ID, batch[i].Attempt = record.NewEntityID(), attempt
		}
		l.arm(n)
		_, err = sys.(connector.Writer).Write(t.Context(), o, batch)
		lost := l.disarm()
		if err != nil && (!lost || connector.Classify(err).Class != connector.Retry) {
			t.Fatalf("answer %d lost (%v): %v", n, lost, err)
		}
		_ = sys.Close() // its connections broke
		if err != nil { // as the engine does where nothing can be asked
			outcomes(t, q.s.write(t, q.s.open(t, consumer()), o, batch...), connector.Applied, connector.Applied)
		}
		seen := map[string]bool{}
		for _, m := range q.Take(t, o, max(2, q.Depth(t, o))) {
			seen[m.Headers["syncline-key"]] = true
		}
		if len(seen) != 2 {
			t.Errorf("answer %d lost: of two records arrived %v", n, seen)
		}
		if !lost {
			return
		}
	}
}

func (q *queued) refused(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	got := q.send(t, sys, o, create(record.Fields{"id": num(1)}), create(record.Fields{"name": "no key"}),
		create(record.Fields{"id": num(2), "name": strings.Repeat("x", q.TooLarge)}), create(record.Fields{"id": num(3)}))
	outcomes(t, got, connector.Applied, connector.Refused, connector.Refused, connector.Applied)
	if n := len(q.Take(t, o, 2)); n != 2 {
		t.Errorf("%d messages arrived, want 2", n)
	}
	_, err := sys.(connector.Writer).Write(t.Context(), "no-such-queue", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": num(1)}}})
	if err == nil { // some brokers tell of each message
		receipts, _ := sys.(connector.Writer).Write(t.Context(), "no-such-queue", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": num(1)}}})
		if len(receipts) != 1 || receipts[0].Outcome != connector.Refused {
			t.Errorf("a write to a queue that is not there has the receipts %+v", receipts)
		}
	} else if c := connector.Classify(err).Class; c != connector.Reject {
		t.Errorf("a write to a queue that is not there gave %v", err)
	}
}

// own: a service that writes to the queue it reads does not hear itself, and others do.
func (q *queued) own(t *testing.T) {
	sys, o, r := q.reader(t, 10)
	q.send(t, sys, o, create(record.Fields{"id": num(1), "name": "ours"}))
	q.say(t, o, 2, "theirs")
	r.catchUp(t, rows{"2": said(2, "theirs")})
	another := q.Create(t)
	q.send(t, sys, another, create(record.Fields{"id": num(1), "name": "ours"}))
	b := newReplica(q.s.open(t, consumer()), another, 10)
	b.drain(t)
	b.catchUp(t, rows{"1": {"id": num(1), "name": "ours"}})
}

func (q *queued) values(t *testing.T) {
	o := q.Create(t)
	sys := q.s.open(t, consumer())
	b := newReplica(q.s.open(t, consumer()), o, 10)
	b.drain(t)
	want := rows{}
	var writes []connector.Write
	n := 0
	for _, typ := range []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean, connector.TypeJSON, connector.TypeArray, connector.TypeTimestamp} {
		for _, v := range append([]record.Value{nil}, samples[typ]...) {
			n++
			f := record.Fields{"id": num(n), "v": v}
			want[id(n)] = f
			writes = append(writes, create(f))
		}
	}
	for i, r := range q.send(t, sys, o, writes...) {
		if r.Outcome != connector.Applied {
			t.Fatalf("write %d is %s (%v)", i, r.Outcome, r.Err)
		}
	}
	b.catchUp(t, want)
}

func (q *queued) watch(t *testing.T) {
	q.s.Users = queueUsers{Queue: q.Queue}
	q.s.Create = func(t *testing.T, _ Shape) record.Object { return q.Queue.Create(t) }
	testWatch(t, q.s)
}

// queueUsers put records into a queue as messages.
type queueUsers struct {
	Users
	Queue
}

func (u queueUsers) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	for _, r := range rows {
		u.Send(t, object, string(record.AppendJSON(nil, map[string]any(r))), nil)
	}
}
