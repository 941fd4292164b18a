// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

func streamSettings(s *replicaSet) connector.Settings {
	out := settings()
	out["address"] = s.uri()
	return out
}

func TestStreamSuite(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	u := usersOf(t, s.uri())
	u.streams = true
	connectortest.Run(t, connectortest.Harness{
		Connector: New(), Settings: streamSettings(s), Detection: "stream", Users: u, Judge: "change streams: a server of the wire protocol in memory", Objects: "collections",
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			return u.collection(t, string(shape.Name))
		},
		Types:     []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean, connector.TypeJSON, connector.TypeArray},
		Unfit:     func(typ connector.Type, v record.Value) bool { n, ok := v.(record.Number); return ok && len(n) > 34 },
		Can:       connectortest.Can{Deletes: true, Independent: true, Finds: true, Rekeys: true, Schemaless: true, Watches: true},
		LosePlace: func(_ *testing.T, o record.Object, _ string) { s.trim(string(o)) },
	})
}

func openAt(t *testing.T, settings connector.Settings, detection string) *opened {
	t.Helper()
	checked, err := New().Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().Open(t.Context(), checked, connector.Env{Consumer: "svc_1", Detection: detection})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return &opened{sys}
}

func (s *opened) read(t *testing.T, o record.Object, cursor record.Cursor) (changes []record.Change, next record.Cursor) {
	t.Helper()
	for range 1000 {
		page, err := s.System.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if changes, cursor = append(changes, page.Changes...), page.Cursor; !page.More {
			return changes, cursor
		}
	}
	t.Fatal("reading does not come to an end")
	return nil, nil
}

// What sees the changes is chosen by itself, per collection, and says why and what would have to be done.
func TestDetection(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	plain, full := usersOf(t, s.uri()), usersOf(t, s.uri())
	full.streams = true
	set, alone := openAt(t, streamSettings(s), "auto"), openAt(t, settings(), "auto")
	notUnique := plain.collection(t, "items")
	if err := plain.db.RunCommand(t.Context(), bson.D{{Key: "collMod", Value: string(notUnique)}, {Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: true}}}}).Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		sys    *opened
		object record.Object
		want   string
		why    string
	}{
		{"_id is the key", set, plain.collection(t, "ids"), "stream", "tells of each change as it happens"},
		{"another key, documents are kept as they were", set, full.collection(t, "items"), "stream", "deletes too"},
		{"another key, they are not", set, plain.collection(t, "items"), "hash", "changeStreamPreAndPostImages: {enabled: true}"},
		{"the key is not unique", set, notUnique, "hash", "createIndex"},
		{"a server without change streams", alone, newUsers(t).collection(t, "ids"), "hash", "The server has no change streams here"},
	} {
		got, why, err := c.sys.System.(connector.Chooser).Detection(t.Context(), c.object)
		if err != nil || got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s because %q, %v", c.name, got, why, err)
		}
	}
	asked := openAt(t, settings(), "stream")
	if _, _, err := asked.System.(connector.Chooser).Detection(t.Context(), newUsers(t).collection(t, "ids")); err == nil || connector.Classify(err).Code != "sheet.no_stream" {
		t.Errorf("streaming where there is no stream gave %v", err)
	}
	for code, why := range map[int32]string{13: "needs the actions find and changeStream", 40573: "replica sets"} {
		s := newReplicaSet(t)
		o := usersOf(t, s.uri()).collection(t, "ids")
		s.saying("aggregate", bson.D{{Key: "code", Value: code}, {Key: "errmsg", Value: "no"}})
		got, said, err := openAt(t, streamSettings(s), "auto").System.(connector.Chooser).Detection(t.Context(), o)
		if err != nil || got != "hash" || !strings.Contains(said, why) {
			t.Errorf("the error %d: %s because %q, %v", code, got, said, err)
		}
	}
}

// A snapshot goes through all types that an _id can have, page by page, and hands over to the stream; who reads on later gets what
// was changed since, once, and deletions by what stood in the document.
func TestSnapshotAndStream(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	u := usersOf(t, s.uri())
	o := u.collection(t, "ids")
	var docs []any
	for i := range 9 {
		docs = append(docs, bson.M{"_id": i, "n": i}, bson.M{"_id": string(rune('a' + i)), "n": i}, bson.M{"_id": bson.NewObjectID(), "n": i}, bson.M{"_id": float64(i) + .5, "n": i})
	}
	docs = append(docs, bson.M{"_id": bson.D{{Key: "z", Value: 1}, {Key: "a", Value: "x"}}}, bson.M{"_id": true})
	c := u.db.Collection(string(o))
	if _, err := c.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	sys := openAt(t, streamSettings(s), "auto")
	changes, cursor := sys.read(t, o, nil)
	seen := map[record.Key]bool{}
	for _, c := range changes {
		if seen[c.Key] {
			t.Errorf("%s was read twice", c.Key)
		}
		seen[c.Key] = true
	}
	if len(seen) != len(docs) {
		t.Errorf("%d of %d documents were read", len(seen), len(docs))
	}
	if _, err := c.UpdateOne(t.Context(), bson.M{"_id": bson.D{{Key: "z", Value: 1}, {Key: "a", Value: "x"}}}, bson.M{"$set": bson.M{"n": 5}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteOne(t.Context(), bson.M{"_id": "c"}); err != nil {
		t.Fatal(err)
	}
	changes, later := sys.read(t, o, cursor)
	if len(changes) != 2 || changes[0].Op != record.Upsert || !record.Equal(changes[0].Fields["n"], record.Int(5)) || changes[1].Op != record.Delete || changes[1].Key != "c" {
		t.Errorf("the changes are %+v", changes)
	}
	s.cut() // another connection goes on where the cursor stands
	if changes, _ = openAt(t, streamSettings(s), "auto").read(t, o, later); len(changes) != 0 {
		t.Errorf("told twice: %+v", changes)
	}
}

// A collection that was dropped, and one whose documents are not kept as they were any more, are read anew; nothing is taken for
// deleted.
func TestInvalidated(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	u := usersOf(t, s.uri())
	u.streams = true
	for name, spoil := range map[string]func(o record.Object){
		"dropped": func(o record.Object) {
			if err := u.db.Collection(string(o)).Drop(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"not kept": func(o record.Object) {
			if err := u.db.RunCommand(t.Context(), bson.D{{Key: "collMod", Value: string(o)}, {Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: false}}}}).Err(); err != nil {
				t.Error(err)
			}
			u.Delete(t, o, "1")
		},
	} {
		o := u.collection(t, "items")
		u.Insert(t, o, record.Fields{"id": record.Int(1), "name": "Ada"})
		sys := openAt(t, streamSettings(s), "stream")
		_, cursor := sys.read(t, o, nil)
		spoil(o)
		_, err := sys.System.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10})
		if e := connector.Classify(err); err == nil || e.Class != connector.LostPlace || e.Code != "mongodb.history_lost" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who was compared so far goes over to the stream without being read anew: what changed in between is found by one more comparison.
func TestFromComparisonToStream(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	u := usersOf(t, s.uri())
	o := u.collection(t, "ids")
	c := u.db.Collection(string(o))
	put := func(id string, n int) {
		if _, err := c.InsertOne(t.Context(), bson.M{"_id": id, "n": n}); err != nil {
			t.Fatal(err)
		}
	}
	put("a", 1)
	put("b", 1)
	_, cursor := openAt(t, streamSettings(s), "hash").read(t, o, nil)
	put("c", 1)
	if _, err := c.DeleteOne(t.Context(), bson.M{"_id": "a"}); err != nil {
		t.Fatal(err)
	}
	sys := openAt(t, streamSettings(s), "auto")
	changes, cursor := sys.read(t, o, cursor)
	if len(changes) != 2 || changes[0].Key != "c" || changes[1].Op != record.Delete || changes[1].Key != "a" {
		t.Errorf("found by comparing were %+v", changes)
	}
	put("d", 1)
	if changes, _ = sys.read(t, o, cursor); len(changes) != 1 || changes[0].Key != "d" {
		t.Errorf("told were %+v", changes)
	}
	// And back, when the server cannot any more: the place means nothing there.
	_, err := openAt(t, streamSettings(s), "hash").System.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10})
	if err == nil || connector.Classify(err).Class != connector.LostPlace {
		t.Errorf("a place of the stream gave %v when comparing", err)
	}
}

// Listening ends with an error when the history is lost, and with nil when it was asked to.
func TestListening(t *testing.T) {
	t.Parallel()
	s := newReplicaSet(t)
	u := usersOf(t, s.uri())
	o := u.collection(t, "ids")
	sys := openAt(t, streamSettings(s), "auto")
	ctx, stop := context.WithCancel(t.Context())
	heard, ended := make(chan record.Object, 10), make(chan error, 1)
	go func() {
		ended <- sys.System.(connector.Watcher).Watch(ctx, []record.Object{o}, func(o record.Object) { heard <- o })
	}()
	<-heard
	if _, err := u.db.Collection(string(o)).InsertOne(t.Context(), bson.M{"_id": "a"}); err != nil {
		t.Fatal(err)
	}
	<-heard
	if err := u.db.Collection(string(o)).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the end of the collection was not told")
	}
	stop()
}
