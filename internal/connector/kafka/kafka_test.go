// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// read reads everything from the cursor on.
func read(t *testing.T, s *system, object record.Object, cursor record.Cursor) (map[record.Key]record.Change, record.Cursor) {
	t.Helper()
	out := map[record.Key]record.Change{}
	for {
		page, err := s.Read(t.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			out[c.Key] = c
		}
		cursor = page.Cursor
		if !page.More {
			return out, cursor
		}
	}
}

// Other programs write what they like; all of it arrives as something.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "foreign", 2)
	for _, m := range []*kgo.Record{
		{Key: []byte("a"), Value: []byte(`{"name":"no id inside"}`)},
		{Key: []byte("b"), Value: []byte(`[1,2]`)},
		{Key: []byte("c"), Value: []byte("plain")},
		{Key: []byte{0xff, 0x00}, Value: []byte{0xfe, 0x01}},
		{Value: []byte(`{"id":7,"name":"without a key"}`)},
		{Key: []byte("gone"), Value: []byte(`{}`)},
		{Key: []byte("gone")},
	} {
		m.Topic = string(o)
		if err := c.client.ProduceSync(t.Context(), m).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := read(t, open(t, c.settings, "svc_1"), o, nil)
	want := map[record.Key]record.Fields{"a": {"id": "a", "name": "no id inside"}, "b": {"value": []any{record.Number("1"), record.Number("2")}}, "c": {"value": "plain"},
		"/wA=": {"value": "/gE="}, "7": {"id": record.Number("7")}}
	if len(got) != len(want) {
		t.Errorf("read were %v", got)
	}
	for k, w := range want {
		if !holds(got[k].Fields, w) {
			t.Errorf("%q is %v, want %v", k, got[k].Fields, w)
		}
	}
	if err := c.client.ProduceSync(t.Context(), &kgo.Record{Topic: string(o), Value: []byte(`{"name":"whose?"}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, c.settings, "svc_1").Read(t.Context(), connector.ReadRequest{Object: o, Limit: 10}); connector.Classify(err).Code != "kafka.key_missing" {
		t.Errorf("a message without any key gave %v", err)
	}
}

// What was thrown away is said, not passed over.
func TestLostPlace(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "short", 1)
	s := open(t, c.settings, "svc_1")
	u := &users{c, s}
	u.Insert(t, o, record.Fields{"id": record.Number("1")}, record.Fields{"id": record.Number("2")})
	_, cursor := read(t, s, o, nil)
	u.Insert(t, o, record.Fields{"id": record.Number("3")}, record.Fields{"id": record.Number("4")})
	if _, err := c.admin.DeleteRecords(t.Context(), kadm.Offsets{string(o): {0: kadm.Offset{Topic: string(o), At: 3}}}); err != nil {
		t.Fatal(err)
	}
	for name, sys := range map[string]*system{"who followed": s, "who begins": open(t, c.settings, "svc_1")} {
		_, err := sys.Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10})
		if connector.Classify(err).Class != connector.LostPlace {
			t.Errorf("for %s a place before the first message gave %v", name, err)
		}
	}
	if _, err := c.admin.DeleteTopic(t.Context(), string(o)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, c.settings, "svc_1").Read(t.Context(), connector.ReadRequest{Object: o, Limit: 10}); connector.Classify(err).Code != "kafka.no_topic" {
		t.Errorf("a topic that is gone gave %v", err)
	}
}

// A batch that was cut off is found in the topic by what its messages carry.
func TestRecall(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "recalled", 3)
	s := open(t, c.settings, "svc_1")
	attempt, one, two := uuid.Must(uuid.NewV7()), record.NewEntityID(), record.NewEntityID()
	_, err := s.Write(t.Context(), o, []connector.Write{
		{ID: one, Attempt: attempt, Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Number("1")}},
		{ID: two, Attempt: attempt, Op: record.Upsert, Key: "9", Fields: record.Fields{"name": "gone"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, c.settings, "svc_1")
	got, err := again.Recall(t.Context(), o, attempt)
	if err != nil || len(got) != 1 || got[one].Key != "1" {
		t.Errorf("recalled was %v, %v", got, err)
	}
	if got, err := open(t, c.settings, "svc_2").Recall(t.Context(), o, attempt); err != nil || len(got) != 0 {
		t.Errorf("another consumer recalls %v, %v", got, err)
	}
	if got, err := again.Recall(t.Context(), o, uuid.Must(uuid.NewV7())); err != nil || len(got) != 0 {
		t.Errorf("another attempt recalls %v, %v", got, err)
	}
	last := uuid.Must(uuid.NewV7())
	if _, err := s.Write(t.Context(), o, []connector.Write{{ID: one, Attempt: last, Op: record.Delete, Key: "1"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, c.settings, "svc_1").Recall(t.Context(), o, last); err != nil || !got[one].Deleted || got[one].Key != "1" {
		t.Errorf("recalled of a deletion was %v, %v", got, err)
	}
}

// Who opens a topic anew reads its partitions in any order among each other: the last batch is recalled also where another partition,
// which has none of it, is read after its own. A record that got another key is recalled by that.
func TestRecallInAnyPartition(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "spread", 3)
	s := open(t, c.settings, "svc_1")
	write := func(writes ...connector.Write) uuid.UUID {
		t.Helper()
		attempt := uuid.Must(uuid.NewV7())
		for i := range writes {
			writes[i].ID, writes[i].Attempt, writes[i].Op = record.NewEntityID(), attempt, record.Upsert
		}
		receipts, err := s.Write(t.Context(), o, writes)
		for _, r := range receipts {
			if r.Outcome != connector.Applied {
				t.Errorf("the receipt is %+v", r)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return attempt
	}
	for n := range int64(8) {
		var everywhere []connector.Write
		for i := range int64(12) {
			everywhere = append(everywhere, connector.Write{Create: true, Fields: record.Fields{"id": record.Int(100*n + i)}})
		}
		write(everywhere...)
		old, moved := record.MakeKey(record.Int(100*n)), record.MakeKey(record.Int(100*n+50))
		last := []connector.Write{{Key: old, Fields: record.Fields{"id": record.Int(100*n + 50)}}}
		attempt := write(last...)
		got, err := open(t, c.settings, "svc_1").Recall(t.Context(), o, attempt)
		if err != nil || len(got) != 1 || got[last[0].ID].Key != moved {
			t.Errorf("recalled of the change of %s to %s was %v, %v", old, moved, got, err)
		}
	}
}

// A field that no message has a value in yet takes what it is given: a number stays one.
func TestNumberAmongNulls(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "nulls", 1)
	if err := c.client.ProduceSync(t.Context(), &kgo.Record{Topic: string(o), Key: []byte("1"), Value: []byte(`{"id":1,"price":null}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	infos, err := open(t, c.settings, "svc_1").Describe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f, there := infos[0].Field("price"); !there || f.Type != connector.TypeJSON {
		t.Errorf("a field of nulls is described as %+v", f)
	}
}

// asking is a cluster in which somebody acts between the answer to who asks for the bounds of a topic and its use.
type asking struct {
	Log
	after func()
}

func (a *asking) Bounds(ctx context.Context, topic string) (map[int32]Bounds, error) {
	out, err := a.Log.Bounds(ctx, topic)
	if now := a.after; now != nil {
		a.after = nil
		now()
	}
	return out, err
}

// Others read on with the same connection while one waits for its turn: the topic is no other because of that. One that was made anew
// is told from it.
func TestReadOnByOthers(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "shared", 1)
	s := open(t, c.settings, "svc_1")
	u := &users{c, s}
	u.Insert(t, o, record.Fields{"id": record.Int(1)})
	_, cursor := read(t, s, o, nil)
	s.log = &asking{Log: s.log, after: func() {
		u.Insert(t, o, record.Fields{"id": record.Int(2)})
		if _, err := s.ReadKeys(t.Context(), o, nil, []record.Key{"2"}); err != nil {
			t.Error(err)
		}
	}}
	got, cursor := read(t, s, o, cursor)
	if len(got) != 1 || got["2"].Fields == nil {
		t.Errorf("read on was %v", got)
	}
	if _, err := c.admin.DeleteTopic(t.Context(), string(o)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.CreateTopic(t.Context(), 1, 1, nil, string(o)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10}); connector.Classify(err).Class != connector.LostPlace {
		t.Errorf("of a topic that was made anew: %v", err)
	}
}

// between is a cluster in which somebody acts before each of our messages goes out, and after.
type between struct {
	Log
	before, after func()
}

func (b *between) Send(ctx context.Context, id string, messages []Message) error {
	act := func(do *func()) {
		if now := *do; now != nil {
			*do = nil
			now()
		}
	}
	act(&b.before)
	err := b.Log.Send(ctx, id, messages)
	act(&b.after)
	return err
}

// Somebody writes between our look and our message, which comes after theirs and holds nothing of it: theirs is put back, and the write
// is compared with it.
func TestWrittenBetween(t *testing.T) {
	t.Parallel()
	num := func(n int64) record.Value { return record.Int(n) }
	before := record.Fields{"id": num(1), "name": "ash", "n": num(1)}
	for name, c := range map[string]struct {
		theirs  record.Fields // nil for a tombstone
		write   connector.Write
		outcome connector.Outcome
		holds   record.Fields // nil when it is gone
	}{
		"the same field":   {record.Fields{"id": num(1), "name": "oak", "n": num(1)}, connector.Write{Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}, connector.Moved, record.Fields{"name": "oak", "n": num(1)}},
		"another field":    {record.Fields{"id": num(1), "name": "ash", "n": num(5)}, connector.Write{Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}, connector.Applied, record.Fields{"name": "elm", "n": num(5)}},
		"the same value":   {record.Fields{"id": num(1), "name": "elm", "n": num(1)}, connector.Write{Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}, connector.Applied, record.Fields{"name": "elm", "n": num(1)}},
		"a deletion":       {nil, connector.Write{Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}, connector.Gone, nil},
		"deleted by us":    {record.Fields{"id": num(1), "name": "oak", "n": num(1)}, connector.Write{Key: "1", Op: record.Delete, Expect: record.Fields{"name": "ash"}}, connector.Moved, record.Fields{"name": "oak"}},
		"made by us, too":  {record.Fields{"id": num(2), "name": "oak"}, connector.Write{Create: true, Fields: record.Fields{"id": num(2), "name": "elm"}}, connector.Moved, record.Fields{"name": "oak"}},
		"another's record": {record.Fields{"id": num(3), "name": "oak"}, connector.Write{Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}, connector.Applied, record.Fields{"name": "elm"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := start(t)
			o := cluster.topic(t, "between", 3)
			s := open(t, cluster.settings, "svc_1")
			u := &users{cluster, s}
			u.Insert(t, o, before)
			w := c.write
			if w.Op == "" {
				w.Op = record.Upsert
			}
			w.ID, w.Attempt = record.NewEntityID(), uuid.Must(uuid.NewV7())
			theirKey, ourKey := w.Key, w.Key
			if c.theirs != nil {
				theirKey = u.keyOf(o, c.theirs)
			}
			if ourKey == "" {
				ourKey = u.keyOf(o, w.Fields)
			}
			check := func(who string, s *system) {
				t.Helper()
				got, err := s.ReadKeys(t.Context(), o, nil, []record.Key{ourKey})
				if err != nil || (got[0].Op == record.Delete) != (c.holds == nil) || !holds(got[0].Fields, c.holds) {
					t.Errorf("for %s the record is %+v, %v, want %v", who, got, err, c.holds)
				}
			}

			s.log = &between{Log: s.log, before: func() { u.produce(t, o, theirKey, c.theirs) }}
			receipts, err := s.Write(t.Context(), o, []connector.Write{w})
			if err != nil || receipts[0].Outcome != c.outcome || receipts[0].Key != ourKey {
				t.Errorf("the receipts are %+v, %v, want %s", receipts, err, c.outcome)
			}
			check("the writer", s)
			again := open(t, cluster.settings, "svc_1")
			recalled, err := again.Recall(t.Context(), o, w.Attempt)
			if wrote := len(recalled) > 0; recalled[w.ID].Deleted || err != nil || wrote != (c.outcome == connector.Applied) {
				t.Errorf("recalled was %v, %v, and the outcome was %s", recalled, err, c.outcome)
			}
			check("who comes later", again)
		})
	}
}

// A process dies between its message and its second look: who finds out what became of the batch puts theirs back.
func TestWrittenBetweenAndDied(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(*system, record.Object, uuid.UUID) error{
		"recalled": func(s *system, o record.Object, attempt uuid.UUID) error {
			got, err := s.Recall(t.Context(), o, attempt)
			if len(got) > 0 {
				t.Errorf("recalled was %v", got)
			}
			return err
		},
		"read": func(s *system, o record.Object, _ uuid.UUID) error {
			_, err := s.Read(t.Context(), connector.ReadRequest{Object: o, Limit: 10})
			return err
		},
	} {
		c := start(t)
		o := c.topic(t, "died", 3)
		s := open(t, c.settings, "svc_1")
		u := &users{c, s}
		u.Insert(t, o, record.Fields{"id": record.Int(1), "name": "ash"})
		ctx, die := context.WithCancel(t.Context())
		s.log = &between{Log: s.log, before: func() { u.produce(t, o, "1", record.Fields{"id": record.Int(1), "name": "oak"}) }, after: die}
		attempt := uuid.Must(uuid.NewV7())
		if _, err := s.Write(ctx, o, []connector.Write{{ID: record.NewEntityID(), Attempt: attempt, Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "elm"}, Expect: record.Fields{"name": "ash"}}}); err == nil {
			t.Errorf("%s: the process did not die", name)
		}
		again := open(t, c.settings, "svc_1")
		if got, err := again.ReadKeys(t.Context(), o, nil, []record.Key{"1"}); err != nil || got[0].Fields["name"] != "elm" {
			t.Errorf("%s: before, the record is %v, %v", name, got, err)
		}
		if err := look(again, o, attempt); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := open(t, c.settings, "svc_2").ReadKeys(t.Context(), o, nil, []record.Key{"1"}); err != nil || got[0].Fields["name"] != "oak" {
			t.Errorf("%s: the record is %v, %v", name, got, err)
		}
	}
}

// Where messages of the time of a batch are gone, that none of it is found says nothing; what is found was written all the same.
func TestRecallOfWhatMayBeGone(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := c.topic(t, "gone", 1)
	s := open(t, c.settings, "svc_1")
	attempt, one, two := uuid.Must(uuid.NewV7()), record.NewEntityID(), record.NewEntityID()
	write := func(id record.EntityID, key int64) {
		t.Helper()
		if _, err := s.Write(t.Context(), o, []connector.Write{{ID: id, Attempt: attempt, Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(key)}}}); err != nil {
			t.Fatal(err)
		}
	}
	write(one, 1)
	write(two, 2)
	if got, err := open(t, c.settings, "svc_1").Recall(t.Context(), o, attempt); err != nil || len(got) != 2 {
		t.Errorf("recalled was %v, %v", got, err)
	}
	if _, err := c.admin.DeleteRecords(t.Context(), kadm.Offsets{string(o): {0: kadm.Offset{Topic: string(o), At: 1}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, c.settings, "svc_1").Recall(t.Context(), o, attempt); !errors.Is(err, connector.ErrNotRemembered) || len(got) != 1 || got[two].Key != "2" {
		t.Errorf("with the first message gone, recalled was %v, %v", got, err)
	}
	long, err := uuid.Parse("ffffffff-0000-7000-8000-000000000001") // a batch that was begun later than anything there
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, c.settings, "svc_1").Recall(t.Context(), o, long); err != nil || len(got) != 0 {
		t.Errorf("of what was begun after all that is gone, recalled was %v, %v", got, err)
	}
}
