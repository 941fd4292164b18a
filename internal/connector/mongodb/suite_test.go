// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// server is the package's one server: MongoDB's protocol over SQLite. It has no change streams and no Decimal128.
var server string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mongo")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		f, err := ferretdb.New(&ferretdb.Config{Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"}, Handler: "sqlite", SQLiteURL: "file:" + dir + "/", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		defer func() {
			stop()
			<-ended
		}()
		server = f.MongoDBURI()
		return m.Run()
	}())
}

func settings() connector.Settings {
	return connector.Settings{"address": server, "database": "shop", "key": "id; natural*=sku; ids*=_id"}
}

// users work in the database directly.
type users struct {
	db      *mongo.Database
	streams bool // collections keep what documents were, and their keys are unique
}

// made counts collections, so that no two tests share one.
var made atomic.Int64

func newUsers(t *testing.T) *users { return usersOf(t, server) }

func usersOf(t *testing.T, server string) *users {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Disconnect(context.WithoutCancel(t.Context())) })
	return &users{db: c.Database("shop")}
}

func (u *users) collection(t testing.TB, name string) record.Object {
	name = fmt.Sprintf("%s_%d", name, made.Add(1))
	o := options.CreateCollection()
	if u.streams {
		o.SetChangeStreamPreAndPostImages(bson.M{"enabled": true})
	}
	if err := u.db.CreateCollection(t.Context(), name, o); err != nil {
		t.Fatal(err)
	}
	if key := keyField(record.Object(name)); u.streams {
		if _, err := u.db.Collection(name).Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: key, Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
			t.Fatal(err)
		}
	}
	return record.Object(name)
}

func doc(t testing.TB, f record.Fields) bson.M {
	t.Helper()
	out := bson.M{}
	for k, v := range f {
		x, err := stored("", v)
		if err != nil {
			t.Fatal(err)
		}
		out[k] = x
	}
	return out
}

func keyField(o record.Object) string {
	if strings.HasPrefix(string(o), "natural") {
		return "sku"
	}
	return "id"
}

func (u *users) filter(o record.Object, key record.Key) bson.M {
	if n, err := record.ParseNumber(string(key)); err == nil && keyField(o) == "id" {
		x, _ := stored("", n)
		return bson.M{"id": x}
	}
	return bson.M{keyField(o): string(key)}
}

func (u *users) Insert(t testing.TB, o record.Object, rows ...record.Fields) {
	t.Helper()
	var docs []any
	for _, r := range rows {
		docs = append(docs, doc(t, r))
	}
	if _, err := u.db.Collection(string(o)).InsertMany(t.Context(), docs); err != nil {
		t.Error(err)
	}
}

func (u *users) Update(t testing.TB, o record.Object, key record.Key, set record.Fields) {
	t.Helper()
	if out, err := u.db.Collection(string(o)).UpdateOne(t.Context(), u.filter(o, key), bson.M{"$set": doc(t, set)}); err != nil || out.MatchedCount != 1 {
		t.Errorf("a user's update of %s: %+v, %v", key, out, err)
	}
}

func (u *users) Delete(t testing.TB, o record.Object, keys ...record.Key) {
	t.Helper()
	for _, k := range keys {
		if _, err := u.db.Collection(string(o)).DeleteOne(t.Context(), u.filter(o, k)); err != nil {
			t.Error(err)
		}
	}
}

func (u *users) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("users have no transactions here")
	return nil
}

func TestSuite(t *testing.T) {
	t.Parallel()
	u := newUsers(t)
	good := settings()
	bad := settings()
	bad["address"] = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
	connectortest.Run(t, connectortest.Harness{
		Connector: New(), Settings: good, Detection: "hash", Users: u, Judge: "FerretDB 1.24", Objects: "collections", Not: connectortest.Served(),
		Bad: []connector.Settings{bad},
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			return u.collection(t, string(shape.Name))
		},
		Types: []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean, connector.TypeJSON, connector.TypeArray},
		Unfit: func(typ connector.Type, v record.Value) bool {
			n, isNumber := v.(record.Number) // FerretDB has no Decimal128
			return isNumber && (typ == connector.TypeNumber && len(n) > 20 || typ == connector.TypeFloat)
		},
		Most: 80, // FerretDB looks at all documents for each conditional write
		Can:  connectortest.Can{Deletes: true, Independent: true, Finds: true, Rekeys: true, Schemaless: true},
	})
}

func open(t *testing.T) *opened {
	t.Helper()
	checked, err := New().Spec().Check(settings())
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().Open(t.Context(), checked, connector.Env{Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return &opened{sys}
}

// opened is an open system with what the tests use.
type opened struct{ connector.System }

func (s *opened) write(t *testing.T, o record.Object, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	for i := range writes {
		writes[i].ID = record.NewEntityID()
	}
	r, err := s.System.(connector.Writer).Write(t.Context(), o, writes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Documents with MongoDB's own ids: they are made by it, read as text, and found again.
func TestOwnIDs(t *testing.T) {
	t.Parallel()
	u := newUsers(t)
	o := u.collection(t, "ids")
	s := open(t)
	got := s.write(t, o, connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"name": "Ada"}}, connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"_id": "mine", "name": "Bob"}})
	if got[0].Outcome != connector.Applied || len(got[0].Key) != 24 || got[1].Key != "mine" {
		t.Fatalf("the receipts are %+v", got)
	}
	got = s.write(t, o, connector.Write{Op: record.Upsert, Key: got[0].Key, Fields: record.Fields{"name": "Ada L."}, Expect: record.Fields{"name": "Ada"}}, connector.Write{Op: record.Delete, Key: "mine"},
		connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"_id": "other", "name": "Cy"}})
	if got[0].Outcome != connector.Applied || got[1].Outcome != connector.Applied || got[2].Outcome != connector.Applied {
		t.Fatalf("the receipts are %+v", got)
	}
	n, err := u.db.Collection(string(o)).CountDocuments(t.Context(), bson.M{"name": "Ada L.", "_id": bson.M{"$type": "objectId"}})
	if err != nil || n != 1 {
		t.Errorf("%d documents, %v", n, err)
	}
}

// Types keep what they are: dates stay dates, whole numbers become as the others of their field are, and what is nested is read and
// written as it is.
func TestTypes(t *testing.T) {
	t.Parallel()
	u := newUsers(t)
	o := u.collection(t, "typed")
	at := time.Date(2026, 11, 23, 9, 0, 0, 123e6, time.UTC)
	if _, err := u.db.Collection(string(o)).InsertOne(t.Context(), bson.M{"id": 1, "at": at, "price": 1.5, "nested": bson.M{"a": bson.A{int32(1), "x", bson.M{"b": nil}}}, "raw": bson.Binary{Data: []byte{0, 255}}, "ref": bson.NewObjectID()}); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	infos, err := s.System.(connector.Discoverer).Describe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]connector.Type{"at": connector.TypeTimestamp, "price": connector.TypeNumber, "nested": connector.TypeJSON, "raw": connector.TypeBytes, "ref": connector.TypeText, "id": connector.TypeInteger} {
		if f, ok := infos[0].Field(name); !ok || f.Type != want {
			t.Errorf("%s is %+v, want %s", name, f, want)
		}
	}
	s.write(t, o, connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(2), "at": "2026-11-23T10:00:00.5Z", "price": record.Int(2), "nested": map[string]any{"a": []any{record.Int(1)}}, "raw": "AP8="}})
	var d bson.M
	if err := u.db.Collection(string(o)).FindOne(t.Context(), bson.M{"id": 2}).Decode(&d); err != nil {
		t.Fatal(err)
	}
	if _, ok := d["at"].(bson.DateTime); !ok {
		t.Errorf("the date is kept as %T", d["at"])
	}
	if _, ok := d["price"].(float64); !ok {
		t.Errorf("the price is kept as %T", d["price"])
	}
	if b, ok := d["raw"].(bson.Binary); !ok || len(b.Data) != 2 {
		t.Errorf("bytes are kept as %v", d["raw"])
	}
	changes, err := s.System.(connector.KeyReader).ReadKeys(t.Context(), o, nil, []record.Key{"1"})
	if err != nil || changes[0].Fields["at"] != "2026-11-23T09:00:00.123Z" || !record.Equal(changes[0].Fields["nested"], map[string]any{"a": []any{record.Int(1), "x", map[string]any{"b": nil}}}) {
		t.Errorf("read were %+v, %v", changes, err)
	}
}

// A person who changes a document between our reading and our writing is not overwritten.
func TestConditional(t *testing.T) {
	t.Parallel()
	u := newUsers(t)
	o := u.collection(t, "items")
	u.Insert(t, o, record.Fields{"id": record.Int(1), "name": "Ada", "city": "London"})
	checked, err := New().Spec().Check(settings())
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().source(checked, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	direct := sys
	table, err := direct.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	u.Update(t, o, "1", record.Fields{"name": "by a person"})
	answers, err := direct.Apply(t.Context(), o, table, []*sheet.Edit{{Row: table.Rows[0], Set: record.Fields{"name": "ours"}, Key: "1"}})
	if err != nil || answers[0] == nil {
		t.Errorf("a document that moved was written: %v, %v", answers, err)
	}
	answers, err = direct.Apply(t.Context(), o, table, []*sheet.Edit{{Row: table.Rows[0], Set: record.Fields{"city": "Paris"}, Key: "1"}}) // another field
	if err != nil || answers[0] != nil {
		t.Errorf("another field was not written: %v, %v", answers, err)
	}
	var d bson.M
	if err := u.db.Collection(string(o)).FindOne(t.Context(), bson.M{"id": 1}).Decode(&d); err != nil || d["name"] != "by a person" || d["city"] != "Paris" {
		t.Errorf("the document is %v, %v", d, err)
	}
}

// A document that a person made between our looking and our making it is looked at again; one that has another's value in some other
// field is refused.
func TestMadeMeanwhile(t *testing.T) {
	t.Parallel()
	u := newUsers(t)
	o := u.collection(t, "items")
	for _, field := range []string{"id", "email"} {
		if _, err := u.db.Collection(string(o)).Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: field, Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
			t.Fatal(err)
		}
	}
	checked, err := New().Spec().Check(settings())
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().source(checked, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	table, err := sys.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	u.Insert(t, o, record.Fields{"id": record.Int(1), "name": "by a person", "email": "ada@example.com"})
	answers, err := sys.Apply(t.Context(), o, table, []*sheet.Edit{
		{Set: record.Fields{"id": record.Int(1), "name": "ours", "email": "one@example.com"}, Key: "1"},
		{Set: record.Fields{"id": record.Int(2), "name": "ours", "email": "ada@example.com"}, Key: "2"},
		{Set: record.Fields{"id": record.Int(3), "name": "ours", "email": "three@example.com"}, Key: "3"},
	})
	if err != nil || !errors.Is(answers[0], sheet.ErrMoved) || answers[1] == nil || connector.Classify(answers[1]).Code != "mongodb.not_unique" || answers[2] != nil {
		t.Errorf("the answers are %v, %v", answers, err)
	}
}
