// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

const ownID = "_id"

// source is a database; its collections are the objects.
type source struct {
	client  *mongo.Client
	db      *mongo.Database
	options sheet.Options
	shapes  sheet.Shapes
}

func (s *source) Check(ctx context.Context) error {
	_, err := s.db.ListCollectionNames(ctx, bson.D{})
	return classify(err)
}

func (s *source) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return err
	}
	return nil
}

func (s *source) Objects(ctx context.Context) (out []record.Object, err error) {
	names, err := s.db.ListCollectionNames(ctx, bson.D{})
	for _, n := range names {
		if !strings.HasPrefix(n, "system.") {
			out = append(out, record.Object(n))
		}
	}
	return out, classify(err)
}

// handle is a document as it was read: what a write is conditional on.
type handle bson.M

func (s *source) Load(ctx context.Context, object record.Object) (*sheet.Table, error) {
	docs, err := s.find(ctx, object, bson.D{}, options.Find().SetBatchSize(2000))
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		if err := s.exists(ctx, object); err != nil {
			return nil, err
		}
	}
	t := s.table(object)
	s.fill(t, docs)
	return t, nil
}

func merge(seen map[connector.Type]bool) connector.Type {
	switch {
	case len(seen) == 2 && seen[connector.TypeInteger] && seen[connector.TypeNumber]:
		return connector.TypeNumber
	case len(seen) == 1:
		for t := range seen {
			return t
		}
	}
	return connector.TypeJSON
}

// Keep: a document takes any value; dates keep milliseconds.
func (s *source) Keep(f connector.FieldInfo, v record.Value) (record.Value, error) {
	if f.Type == connector.TypeTimestamp {
		if text, ok := v.(string); ok {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				return record.Time(at.Truncate(time.Millisecond)), nil
			}
		}
	}
	if _, err := stored(f.Type, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Apply makes new documents by one command, and changes and deletes others by one more: each operation is on one document, on the
// condition that what it changes is as it was read. When not all of them met their condition, the documents are read again to
// tell which.
func (s *source) Apply(ctx context.Context, object record.Object, t *sheet.Table, edits []*sheet.Edit) ([]error, error) {
	answers := make([]error, len(edits))
	types := map[string]connector.Type{}
	for _, f := range t.Fields {
		types[f.Name] = f.Type
	}
	var inserts, changes []mongo.WriteModel
	var inserted, changed []int
	ids := bson.A{}
	for i, e := range edits {
		doc := bson.M{}
		for name, v := range e.Set {
			x, err := stored(types[name], v)
			if err != nil {
				answers[i] = &connector.Error{Class: connector.Reject, Code: "sheet.value_refused", Message: fmt.Sprintf("The field %s %v.", name, err)}
				break
			}
			doc[name] = x
		}
		switch {
		case answers[i] != nil:
		case e.Row == nil:
			if doc[ownID] == nil {
				doc[ownID] = bson.NewObjectID()
			}
			if t.Made {
				id, _ := value(doc[ownID])
				e.Key = record.MakeKey(id)
			}
			inserts, inserted = append(inserts, mongo.NewInsertOneModel().SetDocument(doc)), append(inserted, i)
		case e.Row.Handle == nil: // made by this very batch
			answers[i] = sheet.ErrMoved
		default:
			was := e.Row.Handle.(handle)
			ids = append(ids, was[ownID])
			changed = append(changed, i)
			if e.Delete {
				changes = append(changes, mongo.NewDeleteOneModel().SetFilter(bson.M(was)))
				continue
			}
			filter := bson.M{ownID: was[ownID]}
			for name := range doc {
				filter[name] = was[name] // null is also what is not there
			}
			changes = append(changes, mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(bson.M{"$set": doc}))
		}
	}
	c := s.db.Collection(string(object))
	if len(inserts) > 0 {
		if _, err := s.bulk(ctx, c, inserts, inserted, answers); err != nil {
			return nil, err
		}
		if err := s.overtaken(ctx, object, t, edits, inserted, answers); err != nil {
			return nil, err
		}
	}
	if len(changes) == 0 {
		return answers, nil
	}
	out, err := s.bulk(ctx, c, changes, changed, answers)
	if err != nil || out == len(changes) {
		return answers, err
	}
	return answers, s.tell(ctx, c, edits, changed, ids, answers)
}

// overtaken tells a document that somebody made meanwhile, which is looked at again, from one that has another's value in some other field
// whose index is unique.
func (s *source) overtaken(ctx context.Context, object record.Object, t *sheet.Table, edits []*sheet.Edit, inserted []int, answers []error) error {
	var doubles []int
	var keys []record.Key
	for _, i := range inserted {
		if e := (*connector.Error)(nil); errors.As(answers[i], &e) && e.Code == "mongodb.not_unique" {
			doubles, keys = append(doubles, i), append(keys, edits[i].Key)
		}
	}
	if len(doubles) == 0 {
		return nil
	}
	there, err := s.Rows(ctx, object, keys)
	if err != nil {
		return err
	}
	for _, r := range there.Rows {
		key := record.MakeKey(r.Fields[t.Key[0]])
		for _, i := range doubles {
			if edits[i].Key == key {
				answers[i] = sheet.ErrMoved
			}
		}
	}
	return nil
}

// bulk carries out operations that do not depend on each other, notes which are refused, and counts those that met their condition.
func (s *source) bulk(ctx context.Context, c *mongo.Collection, models []mongo.WriteModel, of []int, answers []error) (int, error) {
	out, err := c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	met := 0
	if out != nil {
		met = int(out.InsertedCount + out.MatchedCount + out.DeletedCount)
	}
	var refused mongo.BulkWriteException
	if !errors.As(err, &refused) || len(refused.WriteErrors) == 0 {
		return met, classify(err)
	}
	for _, w := range refused.WriteErrors {
		says := classify(mongo.WriteException{WriteErrors: mongo.WriteErrors{w.WriteError}})
		if e := connector.Classify(says); e.Class != connector.Reject {
			return met, says
		}
		answers[of[w.Index]] = says
	}
	return met, nil
}

// tell finds out which of the changes were made.
func (s *source) tell(ctx context.Context, c *mongo.Collection, edits []*sheet.Edit, changed []int, ids bson.A, answers []error) error {
	cursor, err := c.Find(ctx, bson.M{ownID: bson.M{"$in": ids}})
	if err != nil {
		return classify(err)
	}
	var docs []bson.M
	if err := cursor.All(ctx, &docs); err != nil {
		return classify(err)
	}
	now := map[any]bson.M{}
	for _, d := range docs {
		id, _ := value(d[ownID])
		now[record.Text(id)] = d
	}
	for _, i := range changed {
		e := edits[i]
		id, _ := value(e.Row.Handle.(handle)[ownID])
		d := now[record.Text(id)]
		made := d != nil && !e.Delete || d == nil && e.Delete
		for name, v := range e.Set {
			is, _ := value(d[name])
			made = made && record.Equal(is, v)
		}
		if answers[i] == nil && !made {
			answers[i] = sheet.ErrMoved
		}
	}
	return nil
}

// classify says what an error means.
func classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var known *connector.Error
	if errors.As(err, &known) { // the guard's word
		return known
	}
	var server mongo.ServerError
	is := func(codes ...int) bool {
		return errors.As(err, &server) && slices.ContainsFunc(codes, server.HasErrorCode)
	}
	switch {
	case is(18) || strings.Contains(err.Error(), "auth error") || strings.Contains(err.Error(), "AuthenticationFailed"):
		return &connector.Error{Class: connector.Reconnect, Code: "mongodb.credentials", Message: "The server does not accept user and password. Check them, and the authentication database.", Err: err}
	case is(13, 8000):
		return &connector.Error{Class: connector.Reconnect, Code: "mongodb.forbidden", Message: "The user may not do this in the database. It needs readWrite.", Err: err}
	case mongo.IsDuplicateKeyError(err):
		return &connector.Error{Class: connector.Reject, Code: "mongodb.not_unique", Message: "Another document has this value in a field whose index is unique.", Err: err}
	case is(121, 2, 14, 10334, 66):
		return &connector.Error{Class: connector.Reject, Code: "mongodb.refused", Message: "MongoDB refuses the document: " + message(err), Err: err}
	case mongo.IsTimeout(err) && strings.Contains(err.Error(), "server selection"):
		return &connector.Error{Class: connector.Reconnect, Code: "mongodb.unreachable", Message: "No server answers at the address. Check address, encryption and firewall.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "mongodb.unavailable", Message: "MongoDB did not answer as expected; it will be tried again.", Err: err}
}

func message(err error) string {
	var w mongo.WriteException
	if errors.As(err, &w) && len(w.WriteErrors) > 0 {
		return w.WriteErrors[0].Message
	}
	return "it does not pass the collection's rules."
}
