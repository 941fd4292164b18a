// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	// settle is how long the server may look for changes when it is asked whether there are any.
	settle = 20 * time.Millisecond
	// patience is how long it waits for the next one when it is listened to.
	patience = 10 * time.Second
)

// event is what is asked of a change. What the document holds is read afterwards, so only its keys are.
type event struct {
	Operation string   `bson:"operationType"`
	Document  bson.Raw `bson:"documentKey"`
	Before    bson.Raw `bson:"fullDocumentBeforeChange"`
}

// follow opens the collection's change stream behind a place; nil is now.
func (s *source) follow(ctx context.Context, object record.Object, place json.RawMessage, wait time.Duration) (*mongo.ChangeStream, error) {
	key := s.options.KeyColumn(object)
	o := options.ChangeStream().SetMaxAwaitTime(wait)
	fields := bson.D{{Key: "_id", Value: 1}, {Key: "operationType", Value: 1}, {Key: "documentKey", Value: 1}}
	if key != ownID {
		o.SetFullDocumentBeforeChange(options.WhenAvailable)
		fields = append(fields, bson.E{Key: "fullDocumentBeforeChange._id", Value: 1}, bson.E{Key: "fullDocumentBeforeChange." + key, Value: 1})
	}
	if place != nil {
		var token bson.Raw
		if err := bson.UnmarshalExtJSON(place, true, &token); err != nil {
			return nil, historyLost(object, err)
		}
		o.SetResumeAfter(token)
	}
	return s.db.Collection(string(object)).Watch(ctx, mongo.Pipeline{{{Key: "$project", Value: fields}}}, o)
}

func historyLost(object record.Object, err error) error {
	return &connector.Error{Class: connector.LostPlace, Code: "mongodb.history_lost", Message: fmt.Sprintf("The server no longer keeps the changes of %s since they were last read; the collection is read anew.", object), Err: err}
}

// streamError says what an error of a change stream means.
func streamError(err error, object record.Object) error {
	var server mongo.ServerError
	if errors.As(err, &server) {
		for _, code := range []int{286, 260, 280, 136} { // history lost, token unknown, cannot be resumed, oplog overrun
			if server.HasErrorCode(code) {
				return historyLost(object, err)
			}
		}
	}
	return classify(err)
}

func placeOf(token bson.Raw) (json.RawMessage, error) {
	if token == nil {
		return nil, nil
	}
	b, err := bson.MarshalExtJSON(token, true, false)
	return b, err
}

// Tells tries: only the server knows what it can.
func (s *source) Tells(ctx context.Context, object record.Object) (bool, string, error) {
	if why, err := s.telling(ctx, object); err != nil || why != "" {
		return false, why, err
	}
	stream, err := s.follow(ctx, object, nil, settle)
	var command mongo.CommandError
	switch {
	case errors.As(err, &command) && command.HasErrorCode(13):
		return false, "The user may not read the collection's change stream: it needs the actions find and changeStream, which the role read has.", nil
	case errors.As(err, &command) && command.HasErrorCode(40573):
		return false, "The server stands alone, and only replica sets and sharded clusters have change streams.", nil
	case errors.As(err, &command) && !command.HasErrorLabel("ResumableChangeStreamError") && !command.HasErrorLabel("RetryableError") && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err):
		return false, "The server has no change streams here: " + command.Message + ".", nil
	case err != nil:
		return false, "", classify(err)
	}
	defer func() { _ = stream.Close(ctx) }()
	if stream.ResumeToken() == nil {
		return false, "The server is too old to say where its changes stand; MongoDB 4.2 does.", nil
	}
	return true, "The server has change streams: it tells of each change as it happens, deletes too.", nil
}

// telling says why a change stream would not tell enough of the collection, "" when it does. A deletion is told by _id; who goes by
// another field has to know what stood there, and that nobody else has it.
func (s *source) telling(ctx context.Context, object record.Object) (string, error) {
	key := s.options.KeyColumn(object)
	if key == ownID {
		return "", nil
	}
	specs, err := s.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: string(object)}})
	if err != nil {
		return "", classify(err)
	}
	images := false
	for _, c := range specs {
		if on, err := c.Options.LookupErr("changeStreamPreAndPostImages", "enabled"); err == nil {
			images, _ = on.BooleanOK()
		}
	}
	if !images {
		return fmt.Sprintf("The collection's change stream tells deletions by _id, and the key is %s. Use _id as the key, or let the server keep what documents were: db.runCommand({collMod: %q, changeStreamPreAndPostImages: {enabled: true}}).", key, object), nil
	}
	indexes, err := s.db.Collection(string(object)).Indexes().ListSpecifications(ctx)
	if err != nil {
		return "", classify(err)
	}
	for _, i := range indexes {
		var on bson.D
		if i.Unique == nil || !*i.Unique || bson.Unmarshal(i.KeysDocument, &on) != nil {
			continue
		}
		if len(on) == 1 && on[0].Key == key {
			return "", nil
		}
	}
	return fmt.Sprintf("A change stream is used only where nothing can have a key twice. Make an index: db.getCollection(%q).createIndex({%q: 1}, {unique: true}).", object, key), nil
}

// Now is the stream's present end.
func (s *source) Now(ctx context.Context, object record.Object) (json.RawMessage, error) {
	stream, err := s.follow(ctx, object, nil, settle)
	if err != nil {
		return nil, streamError(err, object)
	}
	defer func() { _ = stream.Close(ctx) }()
	if stream.ResumeToken() == nil {
		return nil, &connector.Error{Class: connector.Retry, Code: "mongodb.unavailable", Message: "The server did not say where its changes stand; it will be tried again."}
	}
	return placeOf(stream.ResumeToken())
}

// Since reads the stream's changes behind a place.
func (s *source) Since(ctx context.Context, object record.Object, place json.RawMessage, limit int) (news sheet.News, err error) {
	stream, err := s.follow(ctx, object, place, settle)
	if err != nil {
		return news, streamError(err, object)
	}
	defer func() { _ = stream.Close(ctx) }()
	key := s.options.KeyColumn(object)
	var ids bson.A
	opening := true // the answer to the opening may be empty although there are changes
	for n := 0; ; {
		if n >= limit {
			news.More = true
			break
		}
		if !stream.TryNext(ctx) {
			if opening && stream.Err() == nil {
				opening = false
				continue
			}
			break
		}
		n++
		var e event
		if err := stream.Decode(&e); err != nil {
			return news, historyLost(object, err)
		}
		switch e.Operation {
		case "insert", "update", "replace", "delete":
		case "drop", "rename", "dropDatabase", "invalidate":
			return news, historyLost(object, fmt.Errorf("the collection met %s", e.Operation))
		default:
			continue // indexes, options
		}
		id := e.Document.Lookup(ownID)
		if key == ownID {
			v, err := valueOf(id)
			if err != nil {
				return news, historyLost(object, err)
			}
			news.Keys = append(news.Keys, record.MakeKey(v))
			continue
		}
		if e.Operation != "delete" {
			ids = append(ids, id)
		}
		if e.Operation == "insert" {
			continue
		}
		if e.Before == nil { // the server kept it no longer, or did not keep it yet
			return news, historyLost(object, errors.New("what a document was is not known any more"))
		}
		if was, err := e.Before.LookupErr(key); err == nil {
			v, err := valueOf(was)
			if err != nil {
				return news, historyLost(object, err)
			}
			if v != nil {
				news.Keys = append(news.Keys, record.MakeKey(v))
			}
		}
	}
	if err := stream.Err(); err != nil {
		return news, streamError(err, object)
	}
	if len(ids) > 0 {
		docs, err := s.find(ctx, object, bson.M{ownID: bson.M{"$in": ids}}, options.Find().SetProjection(bson.M{key: 1}))
		if err != nil {
			return news, err
		}
		for _, d := range docs {
			if v, _ := value(d[key]); v != nil {
				news.Keys = append(news.Keys, record.MakeKey(v))
			}
		}
	}
	news.Next, err = placeOf(stream.ResumeToken())
	return news, err
}

func valueOf(raw bson.RawValue) (record.Value, error) {
	var x any
	if err := raw.Unmarshal(&x); err != nil {
		return nil, err
	}
	v, _ := value(x)
	return v, nil
}

// Listen waits for changes.
func (s *source) Listen(ctx context.Context, object record.Object, heard func()) error {
	stream, err := s.follow(ctx, object, nil, patience)
	if err != nil {
		return streamError(err, object)
	}
	defer func() { _ = stream.Close(context.WithoutCancel(ctx)) }()
	for heard(); stream.Next(ctx); {
		if stream.RemainingBatchLength() == 0 {
			heard()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := stream.Err(); err != nil {
		return streamError(err, object)
	}
	return historyLost(object, errors.New("the change stream ended"))
}

// types of BSON in the order in which values are compared; those that an _id can have.
var bsonOrder = []struct {
	name  string
	types []bson.Type
}{
	{"minKey", []bson.Type{bson.TypeMinKey}},
	{"null", []bson.Type{bson.TypeNull}},
	{"number", []bson.Type{bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128}},
	{"string", []bson.Type{bson.TypeString, bson.TypeSymbol}},
	{"object", []bson.Type{bson.TypeEmbeddedDocument}},
	{"binData", []bson.Type{bson.TypeBinary}},
	{"objectId", []bson.Type{bson.TypeObjectID}},
	{"bool", []bson.Type{bson.TypeBoolean}},
	{"date", []bson.Type{bson.TypeDateTime}},
	{"timestamp", []bson.Type{bson.TypeTimestamp}},
	{"maxKey", []bson.Type{bson.TypeMaxKey}},
}

// Span reads documents in the order of _id. A comparison sees values of one type only, so the types behind it are asked for by name.
func (s *source) Span(ctx context.Context, object record.Object, after json.RawMessage, limit int) (*sheet.Table, json.RawMessage, error) {
	t, err := s.Shape(ctx, object)
	if err != nil {
		return nil, nil, err
	}
	filter := bson.M{}
	if after != nil {
		var last bson.Raw
		if err := bson.UnmarshalExtJSON(after, true, &last); err != nil {
			return nil, nil, historyLost(object, err)
		}
		id := last.Lookup(ownID)
		behind := bson.A{bson.M{ownID: bson.M{"$gt": id}}}
		found := false
		for _, k := range bsonOrder {
			if found {
				behind = append(behind, bson.M{ownID: bson.M{"$type": k.name}})
			}
			for _, typ := range k.types {
				found = found || typ == id.Type
			}
		}
		filter["$or"] = behind
	}
	docs, err := s.find(ctx, object, filter, options.Find().SetSort(bson.M{ownID: 1}).SetLimit(int64(limit)).SetBatchSize(2000))
	if err != nil {
		return nil, nil, err
	}
	s.fill(t, docs)
	if len(docs) < limit {
		return t, nil, nil
	}
	next, err := bson.MarshalExtJSON(bson.M{ownID: docs[len(docs)-1][ownID]}, true, false)
	return t, next, err
}

var _ sheet.Listener = (*source)(nil)
