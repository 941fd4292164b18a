// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/mongodb"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// database is a table of PostgreSQL.
type database struct{ inMemory }

func newDatabase(gate *Gate, name, id string) *outside {
	o := newOutside(gate, name, record.System(id), products)
	o.memory.SuppressEchoes(true) // triggers leave out what the service wrote itself
	o.place = database{inMemory{o.memory}}
	o.kind = &kind{detection: postgres.New().Spec().Detections[0], able: func(b base) connector.System {
		return struct {
			scanned
			recalling
			watching
		}{scanned{b, scanning{b}, once{b}}, recalling{b}, watching{b}}
	}}
	return o
}

func (database) Spec() connector.Spec { return postgres.New().Spec() }

// documents is a collection of MongoDB.
type documents struct {
	inMemory
	o *outside
}

func newDocuments(gate *Gate, name, id string) *outside {
	o := newOutside(gate, name, record.System(id), products)
	o.recalls = false
	o.place = documents{inMemory{o.memory}, o}
	o.kind = &kind{able: func(b base) connector.System {
		return struct {
			base
			watching
			pacing
		}{b, watching{b}, pacing{b}}
	}}
	return o
}

func (documents) Spec() connector.Spec { return mongodb.New().Spec() }

// streamed is the connector's reader and writer, and the stream's bell.
type streamed struct {
	*sheet.System
	connector.Watcher
}

func (d documents) open(ctx context.Context, l *line, consumer string) (connector.System, error) {
	inner, err := d.inMemory.open(ctx, l, consumer)
	if err != nil {
		return nil, err
	}
	options, err := sheet.ReadOptions(connector.Settings{"key": "sku"})
	if err != nil {
		return nil, err
	}
	s, err := sheet.New(&collection{seam{d.o, l}, inner, d.o}, options, connector.Env{Consumer: consumer}, connector.Pace{Min: time.Second, Max: 20 * time.Second})
	if err != nil {
		return nil, err
	}
	return streamed{s.(*sheet.System), inner.(connector.Watcher)}, nil
}

// collection is what the connector asks of the server. Documents have no fields but those that hold something.
type collection struct {
	seam
	inner connector.System
	of    *outside
}

func (c *collection) Check(ctx context.Context) error { return c.inner.Check(ctx) }
func (c *collection) Close() error                    { return c.inner.Close() }

func (c *collection) Objects(ctx context.Context) ([]record.Object, error) {
	return c.inner.(connector.Discoverer).Objects(ctx)
}

// Keep takes any value.
func (c *collection) Keep(_ connector.FieldInfo, v record.Value) (record.Value, error) { return v, nil }

// table is a table of these documents, with the types of what they hold.
func (c *collection) table(changes []record.Change) *sheet.Table {
	t := &sheet.Table{Key: []string{"sku"}, Open: true, Estimate: int64(len(c.of.user.All()))}
	types := map[string]map[connector.Type]bool{"sku": {}}
	for _, ch := range changes {
		if ch.Op == record.Delete {
			continue
		}
		r := &sheet.Row{Fields: record.Fields{}, Handle: ch.Fields}
		for name, v := range ch.Fields {
			if v == nil {
				continue
			}
			r.Fields[name] = v
			if types[name] == nil {
				types[name] = map[connector.Type]bool{}
			}
			types[name][typeOf(v)] = true
		}
		t.Rows = append(t.Rows, r)
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		t.Fields = append(t.Fields, connector.FieldInfo{Name: name, Type: merged(types[name]), Nullable: name != "sku", Scale: -1})
	}
	return t
}

func typeOf(v record.Value) connector.Type {
	switch v := v.(type) {
	case record.Number:
		if strings.Contains(string(v), ".") {
			return connector.TypeNumber
		}
		return connector.TypeInteger
	case string:
		return connector.TypeText
	}
	return connector.TypeJSON
}

func merged(seen map[connector.Type]bool) connector.Type {
	switch {
	case len(seen) == 2 && seen[connector.TypeInteger] && seen[connector.TypeNumber]:
		return connector.TypeNumber
	case len(seen) == 1:
		return slices.Collect(maps.Keys(seen))[0]
	}
	return connector.TypeJSON
}

func (c *collection) all(ctx context.Context) ([]record.Change, error) {
	page, err := c.inner.(connector.Scanner).Scan(ctx, connector.ScanRequest{Object: c.of.object, Limit: 10_000})
	return page.Records, err
}

func (c *collection) Load(ctx context.Context, _ record.Object) (*sheet.Table, error) {
	if err := c.call(ctx, "find all"); err != nil {
		return nil, err
	}
	changes, err := c.all(ctx)
	return c.table(changes), err
}

func (c *collection) Shape(ctx context.Context, object record.Object) (*sheet.Table, error) {
	t, err := c.Load(ctx, object)
	if err == nil {
		t.Rows = nil
	}
	return t, err
}

// typed gives a table of some documents the fields that all show.
func (c *collection) typed(ctx context.Context, some []record.Change) (*sheet.Table, error) {
	changes, err := c.all(ctx)
	if err != nil {
		return nil, err
	}
	t := c.table(some)
	t.Fields = c.table(changes).Fields
	return t, nil
}

func (c *collection) Rows(ctx context.Context, object record.Object, keys []record.Key) (*sheet.Table, error) {
	if err := c.call(ctx, "find keys"); err != nil {
		return nil, err
	}
	changes, err := c.inner.(connector.KeyReader).ReadKeys(ctx, object, nil, keys)
	if err != nil {
		return nil, err
	}
	return c.typed(ctx, changes)
}

func (c *collection) Where(ctx context.Context, object record.Object, queries []record.Fields) (*sheet.Table, error) {
	if err := c.call(ctx, "find"); err != nil {
		return nil, err
	}
	found, err := c.inner.(connector.Finder).Find(ctx, object, nil, queries)
	if err != nil {
		return nil, err
	}
	var once []record.Change
	seen := map[record.Key]bool{}
	for _, f := range found {
		for _, ch := range f {
			if !seen[ch.Key] {
				seen[ch.Key], once = true, append(once, ch)
			}
		}
	}
	return c.typed(ctx, once)
}

// Apply inserts by one command, and changes and deletes by one more; each is one operation on one document, on the condition that what
// it changes is as it was read, and a part of a command may fail alone.
func (c *collection) Apply(ctx context.Context, object record.Object, _ *sheet.Table, edits []*sheet.Edit) ([]error, error) {
	answers := make([]error, len(edits))
	var commands [2][]connector.Write
	var of [2][]int
	for i, e := range edits {
		w := connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Fields: e.Set}
		which := 1
		switch {
		case e.Row == nil:
			w.Create, which = true, 0
		case e.Row.Handle == nil: // made by this very batch
			answers[i] = sheet.ErrMoved
			continue
		default:
			was := e.Row.Handle.(record.Fields)
			w.Key, w.Expect = e.Row.Key, record.Fields{}
			if e.Delete {
				w.Op, w.Fields, w.Expect = record.Delete, nil, was
			}
			for name := range e.Set {
				w.Expect[name] = was[name]
			}
		}
		commands[which], of[which] = append(commands[which], w), append(of[which], i)
	}
	for which, writes := range commands {
		if len(writes) == 0 {
			continue
		}
		if err := c.call(ctx, "bulk write"); err != nil {
			return nil, err
		}
		receipts, err := c.inner.(connector.Writer).Write(ctx, object, writes)
		if err != nil {
			return nil, err
		}
		for j, r := range receipts {
			switch {
			case r.Outcome == connector.Refused:
				answers[of[which][j]] = r.Err
			case r.Outcome == connector.Moved, r.Outcome == connector.Gone, r.Outcome == connector.Already && which == 0:
				answers[of[which][j]] = sheet.ErrMoved
			}
		}
		if err := c.changed(ctx); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (c *collection) Tells(context.Context, record.Object) (bool, string, error) {
	return true, "The server has change streams.", nil
}

// Now is the stream's place behind all that is there.
func (c *collection) Now(ctx context.Context, object record.Object) (json.RawMessage, error) {
	if err := c.call(ctx, "open the stream"); err != nil {
		return nil, err
	}
	page, err := c.inner.(connector.Reader).Read(ctx, connector.ReadRequest{Object: object, Limit: 10_000})
	return json.RawMessage(page.Cursor), err
}

func (c *collection) Since(ctx context.Context, object record.Object, place json.RawMessage, limit int) (news sheet.News, err error) {
	if err := c.call(ctx, "resume the stream"); err != nil {
		return news, err
	}
	page, err := c.inner.(connector.Reader).Read(ctx, connector.ReadRequest{Object: object, Cursor: record.Cursor(place), Limit: limit})
	if err != nil {
		return news, err
	}
	for i := range page.Changes {
		news.Keys = append(news.Keys, page.Changes[i].Key)
	}
	news.Next, news.More = json.RawMessage(page.Cursor), page.More
	return news, nil
}

func (c *collection) Span(ctx context.Context, object record.Object, after json.RawMessage, limit int) (*sheet.Table, json.RawMessage, error) {
	if err := c.call(ctx, "find in order"); err != nil {
		return nil, nil, err
	}
	var last record.Key
	var place record.Cursor
	if after != nil {
		if err := json.Unmarshal(after, &last); err != nil {
			return nil, nil, err
		}
		place = record.Cursor(last)
	}
	page, err := c.inner.(connector.Scanner).Scan(ctx, connector.ScanRequest{Object: object, Place: place, Limit: limit})
	if err != nil {
		return nil, nil, err
	}
	t, err := c.typed(ctx, page.Records)
	if err != nil || page.Next == nil {
		return t, nil, err
	}
	next, err := json.Marshal(string(page.Next))
	return t, next, err
}

var (
	_ sheet.Told       = (*collection)(nil)
	_ connector.System = (*sheet.System)(nil)
	_ place            = database{}
	_ place            = documents{}
	_ people           = connectortest.User{}
)
