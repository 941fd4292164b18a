// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// sample is how many of the oldest documents, and of the newest, show what fields there are.
const sample = 500

func (s *source) find(ctx context.Context, object record.Object, filter any, o *options.FindOptionsBuilder) ([]bson.M, error) {
	cursor, err := s.db.Collection(string(object)).Find(ctx, filter, o)
	if err != nil {
		return nil, classify(err)
	}
	var docs []bson.M
	return docs, classify(cursor.All(ctx, &docs))
}

// Shape looks at some documents.
func (s *source) Shape(ctx context.Context, object record.Object) (*sheet.Table, error) {
	return s.shapes.Get(object, func() (*sheet.Table, bool, error) {
		t, n, err := s.look(ctx, object)
		return t, n >= sample, err
	})
}

// look returns the table as some of its documents show it, and how many they are.
func (s *source) look(ctx context.Context, object record.Object) (*sheet.Table, int, error) {
	c := s.db.Collection(string(object))
	n, err := c.EstimatedDocumentCount(ctx)
	if err != nil {
		return nil, 0, classify(err)
	}
	docs, err := s.find(ctx, object, bson.D{}, options.Find().SetLimit(sample))
	if err != nil {
		return nil, 0, err
	}
	if len(docs) == 0 {
		if err := s.exists(ctx, object); err != nil {
			return nil, 0, err
		}
	}
	if len(docs) == sample {
		newest, err := s.find(ctx, object, bson.D{}, options.Find().SetSort(bson.M{ownID: -1}).SetLimit(sample))
		if err != nil {
			return nil, 0, err
		}
		docs = append(docs, newest...)
	}
	t := s.table(object)
	s.fill(t, docs)
	t.Estimate = n
	return t, len(docs), nil
}

// exists tells a collection that is empty from one that is not there.
func (s *source) exists(ctx context.Context, object record.Object) error {
	names, err := s.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: string(object)}})
	if err != nil {
		return classify(err)
	}
	if !slices.Contains(names, string(object)) {
		return &connector.Error{Class: connector.Reject, Code: "mongodb.no_collection", Message: fmt.Sprintf("There is no collection %s in the database. Make it, or correct the name in the document.", object)}
	}
	return nil
}

// table is a collection's table without rows.
func (s *source) table(object record.Object) *sheet.Table {
	key := s.options.KeyColumn(object)
	return &sheet.Table{Key: []string{key}, Open: true, Made: key == ownID}
}

// fill adds documents to a table, and what their fields are.
func (s *source) fill(t *sheet.Table, docs []bson.M) {
	key := t.Key[0]
	types := map[string]map[connector.Type]bool{key: {}}
	for _, f := range t.Fields {
		types[f.Name] = map[connector.Type]bool{}
		switch f.Type {
		case connector.TypeJSON: // seen, or mixed
			types[f.Name][connector.TypeJSON] = true
		default:
			types[f.Name][f.Type] = true
		}
	}
	for _, d := range docs {
		r := &sheet.Row{Fields: make(record.Fields, len(d)), Handle: handle(d)}
		for name, raw := range d {
			v, typ := value(raw)
			r.Fields[name] = v
			if types[name] == nil {
				types[name] = map[connector.Type]bool{}
			}
			if v != nil {
				types[name][typ] = true
			}
		}
		if t.Made {
			r.Key = record.MakeKey(r.Fields[ownID])
		}
		t.Rows = append(t.Rows, r)
	}
	t.Fields = t.Fields[:0]
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if name == ownID && key != ownID {
			continue // MongoDB's own matter
		}
		f := connector.FieldInfo{Name: name, Type: merge(types[name]), Nullable: name != key, Generated: name == ownID, Scale: -1}
		f.Native = string(f.Type) + ", by example"
		t.Fields = append(t.Fields, f)
	}
}

// Rows reads the documents of keys. A key is a text, and says not of which type it is there: all that it can be are asked for.
func (s *source) Rows(ctx context.Context, object record.Object, keys []record.Key) (*sheet.Table, error) {
	t, err := s.Shape(ctx, object)
	if err != nil {
		return nil, err
	}
	key := t.Key[0]
	var in bson.A
	var nested []record.Fields
	for _, k := range keys {
		if v, err := record.ParseJSON([]byte(k)); err == nil {
			switch v.(type) {
			case map[string]any, []any:
				nested = append(nested, record.Fields{key: v})
			}
		}
		in = append(in, forms(string(k))...)
	}
	for chunk := range slices.Chunk(in, 5000) {
		docs, err := s.find(ctx, object, bson.M{key: bson.M{"$in": chunk}}, options.Find().SetBatchSize(2000))
		if err != nil {
			return nil, err
		}
		s.fill(t, docs)
	}
	if len(nested) > 0 {
		more, err := s.Where(ctx, object, nested)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, more.Rows...)
	}
	t.Rows = once(t.Rows)
	return t, nil
}

// once leaves each document once.
func once(rows []*sheet.Row) []*sheet.Row {
	seen := map[string]bool{}
	return slices.DeleteFunc(rows, func(r *sheet.Row) bool {
		_, b, err := bson.MarshalValue(r.Handle.(handle)[ownID])
		twice := err == nil && seen[string(b)]
		seen[string(b)] = true
		return twice
	})
}

// forms are what a text can stand for in a document.
func forms(text string) bson.A {
	out := bson.A{text}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		out = append(out, n)
	} else if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		out = append(out, f)
		if d, err := bson.ParseDecimal128(text); err == nil && len(text) > 17 {
			out = append(out, d)
		}
	}
	if id, err := bson.ObjectIDFromHex(text); err == nil {
		out = append(out, id)
	}
	if u, err := uuid.Parse(text); err == nil && len(text) == 36 {
		out = append(out, bson.Binary{Subtype: bson.TypeBinaryUUID, Data: u[:]})
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		out = append(out, bson.NewDateTimeFromTime(at))
	}
	if text == "true" || text == "false" {
		out = append(out, text == "true")
	}
	return out
}

// condition is a filter that leaves no document out that has the value.
func condition(v record.Value) any {
	switch x := v.(type) {
	case nil:
		return nil
	case bool:
		return x
	case record.Number:
		if n, err := strconv.ParseInt(string(x), 10, 64); err == nil && n > -1<<53 && n < 1<<53 {
			return n
		}
		f, _ := strconv.ParseFloat(string(x), 64)
		return bson.M{"$gte": math.Nextafter(f, math.Inf(-1)), "$lte": math.Nextafter(f, math.Inf(1))}
	case string:
		in := bson.A{x}
		for _, form := range forms(x)[1:] {
			switch form.(type) {
			case int64, float64, bson.Decimal128, bool: // those are other values
			default:
				in = append(in, form)
			}
		}
		if b, err := base64.StdEncoding.DecodeString(x); err == nil && len(b) > 0 {
			in = append(in, bson.Binary{Data: b})
		}
		if len(in) == 1 {
			return x
		}
		return bson.M{"$in": in}
	case []any:
		return bson.M{"$type": "array"}
	}
	return bson.M{"$type": "object"}
}

// Where asks for all queries at once, and one by one where a value is so frequent that this would read too much.
func (s *source) Where(ctx context.Context, object record.Object, queries []record.Fields) (*sheet.Table, error) {
	const together, most = 100, 1000
	t, err := s.Shape(ctx, object)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(queries, together) {
		var any bson.A
		for _, q := range chunk {
			filter := bson.M{}
			for name, v := range q {
				filter[name] = condition(v)
			}
			any = append(any, filter)
		}
		docs, err := s.find(ctx, object, bson.M{"$or": any}, options.Find().SetLimit(most).SetBatchSize(most))
		if err != nil {
			return nil, err
		}
		if len(docs) == most {
			for i, q := range chunk {
				if docs, err = s.two(ctx, object, any[i], q); err != nil {
					return nil, err
				}
				s.fill(t, docs)
			}
			continue
		}
		s.fill(t, docs)
	}
	t.Rows = once(t.Rows)
	return t, nil
}

// two reads on until two documents are found.
func (s *source) two(ctx context.Context, object record.Object, filter any, query record.Fields) (found []bson.M, err error) {
	cursor, err := s.db.Collection(string(object)).Find(ctx, filter, options.Find().SetBatchSize(100))
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = cursor.Close(ctx) }()
	for len(found) < 2 && cursor.Next(ctx) {
		var d bson.M
		if err := cursor.Decode(&d); err != nil {
			return nil, classify(err)
		}
		same := true
		for name, want := range query {
			v, _ := value(d[name])
			same = same && record.Equal(v, want)
		}
		if same {
			found = append(found, d)
		}
	}
	return found, classify(cursor.Err())
}
