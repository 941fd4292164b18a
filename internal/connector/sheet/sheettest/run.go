// SPDX-License-Identifier: Apache-2.0

// Package sheettest holds a connector of tables that people keep to the conformance suite, and to what is special about them: rows
// that move and people who write at the same time.
package sheettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// Place is an account with tables, reached behind the connector's back.
type Place struct {
	// New makes an account of its own: the connector, the server that it speaks to, and its clock.
	New       func(t *testing.T) (connector.Connector, *sandbox.Server, *sandbox.Clock)
	Settings  connector.Settings
	Bad       []connector.Settings
	Judge     string
	Writes    func(r *http.Request) bool // whether a call changes cells
	Positions bool                       // rows are known by their position only
	// Suite adapts the harness.
	Suite func(h *connectortest.Harness)
	// Create makes a table with a sheet's columns.
	Create func(x *sandbox.Exchange, title string, columns []string, shape connectortest.Shape)
}

// Run runs the suite and the tests of tables.
func Run(t *testing.T, p Place) {
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		c, server, _ := p.New(t)
		var made atomic.Int64
		h := connectortest.Harness{
			Connector: c, Settings: p.Settings, Bad: p.Bad, Detection: "hash", Env: connector.Env{Sandbox: server}, Judge: p.Judge, Objects: "tables", Users: &people{server},
			Create: func(t *testing.T, shape connectortest.Shape) record.Object {
				title := fmt.Sprintf("%s %d", shape.Name, made.Add(1))
				p.create(t, server, title, shape)
				return record.Object(title)
			},
			Types: []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean},
			Unfit: func(_ connector.Type, v record.Value) bool {
				text := record.Text(v)
				n, isNumber := v.(record.Number)
				return v == "" || isNumber && len(strings.Trim(string(n), "-")) > 15 || text == "" && v != nil
			},
			Can: connectortest.Can{Deletes: true, Independent: true, Finds: true, Rekeys: true, Schemaless: true},
			Not: map[card.Line]string{card.Webhook: "its tables are read and compared; what the vendor would send says not more than that something changed"},
		}
		if p.Suite != nil {
			p.Suite(&h)
		}
		connectortest.Run(t, h)
	})
	c, _, _ := p.New(t)
	shows := map[string]card.Line{"rate limit": card.Limit, "lost answer": card.Unknown, "expired token": card.Expired}
	for name, run := range map[string]func(*testing.T, *table){
		"unknown column":          unknownColumn,
		"moved rows":              movedRows,
		"people at the same time": sameTime,
		"undone at once":          undone,
		"rate limit":              rateLimit,
		"server errors":           serverErrors,
		"lost answer":             lostAnswer,
		"expired token":           expiredToken,
		"double key":              doubleKey,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if line, shown := shows[name]; shown {
				connectortest.Proves(t, c.Spec().Type, line)
			}
			run(t, p.table(t))
		})
	}
	if p.Positions {
		t.Run("sorted in the instant between", func(t *testing.T) {
			t.Parallel()
			sortedBetween(t, p.table(t))
		})
		t.Run("sorted while the quota ends", func(t *testing.T) {
			t.Parallel()
			sortedBusy(t, p.table(t))
		})
	}
}

func (p Place) create(t testing.TB, server *sandbox.Server, title string, shape connectortest.Shape) {
	var columns []string
	for _, f := range shape.Fields {
		columns = append(columns, f.Name)
	}
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		if p.Create != nil {
			p.Create(x, title, columns, shape)
			return
		}
		sandbox.MakeGrid(x.W, title, columns...)
	})
}

// people work in the tables; a row is found by its key column, the first.
type people struct{ server *sandbox.Server }

func wire(f record.Fields) map[string]any {
	out := map[string]any{}
	for k, v := range f {
		out[k] = v
		if n, ok := v.(record.Number); ok {
			out[k] = number(n)
		}
	}
	return out
}

func (u *people) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	u.server.Do(t.Context(), func(x *sandbox.Exchange) {
		for _, r := range rows {
			sandbox.Grid{W: x.W, Title: string(object)}.Add(wire(r))
		}
	})
}

func (u *people) with(t testing.TB, object record.Object, key record.Key, f func(g sandbox.Grid, r *sandbox.Record)) {
	t.Helper()
	u.server.Do(t.Context(), func(x *sandbox.Exchange) {
		g := sandbox.Grid{W: x.W, Title: string(object)}
		r := g.Find(g.Header()[0], string(key))
		if r == nil {
			t.Errorf("a person does not find %s in %s", key, object)
			return
		}
		f(g, r)
	})
}

func (u *people) Update(t testing.TB, object record.Object, key record.Key, set record.Fields) {
	t.Helper()
	u.with(t, object, key, func(g sandbox.Grid, r *sandbox.Record) { g.W.Update(sandbox.GridRows, r.ID, wire(set)) })
}

func (u *people) Delete(t testing.TB, object record.Object, keys ...record.Key) {
	t.Helper()
	for _, k := range keys {
		u.with(t, object, k, func(g sandbox.Grid, r *sandbox.Record) { g.Remove(r) })
	}
}

func (u *people) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("tables have no transactions")
	return nil
}

// table is a small table with people in it, and the connector open on it.
type table struct {
	Place
	server *sandbox.Server
	clock  *sandbox.Clock
	people *people
	sys    connector.System
	object record.Object
	cursor record.Cursor
}

func (p Place) table(t *testing.T) *table {
	t.Helper()
	c, server, clock := p.New(t)
	checked, err := c.Spec().Check(p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), checked, connector.Env{Sandbox: server, Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	b := &table{Place: p, server: server, clock: clock, people: &people{server}, sys: sys, object: "People"}
	p.create(t, server, "People", connectortest.Shape{ObjectInfo: connector.ObjectInfo{Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeText}, {Name: "name", Type: connector.TypeText}, {Name: "city", Type: connector.TypeText}}}})
	for i := range 6 {
		b.people.Insert(t, b.object, record.Fields{"id": fmt.Sprintf("p%d", i), "name": fmt.Sprintf("Name %d", i), "city": "Town"})
	}
	b.read(t)
	return b
}

func (b *table) tryRead(t *testing.T) (changes []record.Change, err error) {
	for more := true; more; {
		page, err := b.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: b.object, Cursor: b.cursor, Limit: 100})
		if err != nil {
			return changes, err
		}
		changes, b.cursor, more = append(changes, page.Changes...), page.Cursor, page.More
	}
	return changes, nil
}

func (b *table) read(t *testing.T) []record.Change {
	t.Helper()
	c, err := b.tryRead(t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *table) tryWrite(t *testing.T, writes ...connector.Write) ([]connector.Receipt, error) {
	for i := range writes {
		writes[i].ID = record.NewEntityID()
	}
	return b.sys.(connector.Writer).Write(t.Context(), b.object, writes)
}

func (b *table) write(t *testing.T, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	r, err := b.tryWrite(t, writes...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func set(key record.Key, name string) connector.Write {
	return connector.Write{Op: record.Upsert, Key: key, Fields: record.Fields{"name": name}}
}

func add(key, name string) connector.Write {
	return connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"id": key, "name": name}}
}

// holds checks the whole table: names by key, in any order.
func (b *table) holds(t *testing.T, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	b.server.Do(t.Context(), func(x *sandbox.Exchange) {
		for _, r := range (sandbox.Grid{W: x.W, Title: "People"}).Rows() {
			id := sandbox.Text(r.Fields["id"])
			if _, twice := got[id]; twice {
				t.Errorf("%s is there twice", id)
			}
			got[id] = sandbox.Text(r.Fields["name"])
		}
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the table holds\n  %v, want\n  %v", got, want)
	}
}

func names() map[string]string {
	out := map[string]string{}
	for i := range 6 {
		out[fmt.Sprintf("p%d", i)] = fmt.Sprintf("Name %d", i)
	}
	return out
}

func unknownColumn(t *testing.T, b *table) {
	got := b.write(t, connector.Write{Op: record.Upsert, Key: "p1", Fields: record.Fields{"colour": "red"}}, set("p2", "new"))
	if got[0].Outcome != connector.Refused || connector.Classify(got[0].Err).Code != "sheet.column_unknown" || got[1].Outcome != connector.Applied {
		t.Errorf("the receipts are %+v", got)
	}
	if _, err := b.sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: b.object, Fields: []string{"colour"}, Limit: 10}); err == nil || connector.Classify(err).Class != connector.Drift {
		t.Errorf("a column that is gone gave %v", err)
	}
}

// movedRows: sorting is no change, and a write goes to the row of its key, wherever that is by then.
func movedRows(t *testing.T, b *table) {
	b.server.Do(t.Context(), func(x *sandbox.Exchange) { sandbox.Grid{W: x.W, Title: "People"}.Reverse() })
	if c := b.read(t); len(c) != 0 {
		t.Errorf("sorted rows were read as %v", c)
	}
	b.write(t, set("p1", "one"), connector.Write{Op: record.Delete, Key: "p3"}, add("p9", "nine"))
	want := names()
	want["p1"], want["p9"] = "one", "nine"
	delete(want, "p3")
	b.holds(t, want)
}

// between runs f before the first call that changes cells is answered.
func (b *table) between(f func()) {
	judge := b.server.Judge
	done := false
	b.server.Judge = func(r *http.Request, body []byte) {
		if judge != nil {
			judge(r, body)
		}
		if !done && b.Writes(r) {
			done = true
			f()
		}
	}
}

// sameTime: what a person changes while we write is not lost: other cells of the row stay, and the same cell is either seen before
// or read afterwards.
func sameTime(t *testing.T, b *table) {
	b.between(func() { b.people.Update(t, b.object, "p1", record.Fields{"city": "Paris"}) })
	got := b.write(t, set("p1", "one"))
	if got[0].Outcome != connector.Applied {
		t.Errorf("the receipt is %+v", got[0])
	}
	b.server.Do(t.Context(), func(x *sandbox.Exchange) {
		r := sandbox.Grid{W: x.W, Title: "People"}.Find("id", "p1")
		if r.Fields["city"] != "Paris" || r.Fields["name"] != "one" {
			t.Errorf("the row is %v", r.Fields)
		}
	})
	// A person changed it before: the write is not made.
	b.people.Update(t, b.object, "p2", record.Fields{"name": "by a person"})
	w := set("p2", "two")
	w.Expect = record.Fields{"name": "Name 2"}
	if got := b.write(t, w); got[0].Outcome != connector.Moved || got[0].Stored["name"] != "by a person" {
		t.Errorf("the receipt is %+v", got[0])
	}
}

// sortedBetween: rows are sorted after they were looked at and before they are written, which no such place can prevent. What was hit
// is mended, and each write ends up in its own row.
func sortedBetween(t *testing.T, b *table) {
	sort := func() {
		b.server.Do(t.Context(), func(x *sandbox.Exchange) { sandbox.Grid{W: x.W, Title: "People"}.Reverse() })
	}
	b.between(sort)
	got := b.write(t, set("p1", "one"), set("p0", "zero"))
	if got[0].Outcome != connector.Applied || got[1].Outcome != connector.Applied {
		t.Errorf("the receipts are %+v", got)
	}
	want := names()
	want["p0"], want["p1"] = "zero", "one"
	b.holds(t, want)
	b.between(sort)
	if got := b.write(t, connector.Write{Op: record.Delete, Key: "p2"}); got[0].Outcome != connector.Applied {
		t.Errorf("the receipt is %+v", got[0])
	}
	delete(want, "p2")
	b.holds(t, want)
}

// sortedBusy: the second look is too many calls. It is waited for, since what was hit would pass for a person's edit.
func sortedBusy(t *testing.T, b *table) {
	judge, stage := b.server.Judge, 0
	b.server.Judge = func(r *http.Request, body []byte) {
		if judge != nil {
			judge(r, body)
		}
		switch {
		case stage == 0 && b.Writes(r):
			stage = 1
			b.server.Do(t.Context(), func(x *sandbox.Exchange) { sandbox.Grid{W: x.W, Title: "People"}.Reverse() })
		case stage == 1:
			stage = 2
			b.server.Plant(sandbox.TooMany(1))
		}
	}
	if got := b.write(t, set("p1", "one")); got[0].Outcome != connector.Applied || stage != 2 {
		t.Errorf("the receipt is %+v, at stage %d", got[0], stage)
	}
	want := names()
	want["p1"] = "one"
	b.holds(t, want)
}

// undone: a person undoes what we wrote before we read the table again, and it is as it was when we read it last. It is heard of all the
// same.
func undone(t *testing.T, b *table) {
	b.write(t, add("p9", "nine"), set("p1", "one"), connector.Write{Op: record.Delete, Key: "p2"})
	b.people.Delete(t, b.object, "p9")
	b.people.Update(t, b.object, "p1", record.Fields{"name": "Name 1"})
	b.people.Insert(t, b.object, record.Fields{"id": "p2", "name": "Name 2", "city": "Town"})
	older := b.cursor
	heard := func() map[record.Key]string {
		out := map[record.Key]string{}
		for _, c := range b.read(t) {
			out[c.Key] = string(c.Op) + " " + record.Text(c.Fields["name"])
		}
		return out
	}
	want := fmt.Sprint(map[record.Key]string{"p9": string(record.Delete) + " ", "p1": string(record.Upsert) + " Name 1", "p2": string(record.Upsert) + " Name 2"})
	if got := fmt.Sprint(heard()); got != want {
		t.Errorf("read were %v, want %s", got, want)
	}
	b.cursor = older // as after a commit that failed
	if got := fmt.Sprint(heard()); got != want {
		t.Errorf("from where it had stood, read were %v, want %s", got, want)
	}
	if got := heard(); len(got) > 0 {
		t.Errorf("read were %v once more", got)
	}
}

func rateLimit(t *testing.T, b *table) {
	b.server.Plant(sandbox.TooMany(3))
	for range 20 {
		_, err := b.tryWrite(t, set("p1", "one"))
		if err == nil {
			break
		}
		e := connector.Classify(err)
		if e.Class != connector.SlowDown || e.After <= 0 {
			t.Fatalf("a rate limit gave %v", err)
		}
		b.clock.Advance(e.After)
	}
	want := names()
	want["p1"] = "one"
	b.holds(t, want)
}

func serverErrors(t *testing.T, b *table) {
	b.server.Plant(sandbox.Broken(2)) // reading asks again by itself
	b.people.Update(t, b.object, "p1", record.Fields{"name": "one"})
	if c := b.read(t); len(c) != 1 || c[0].Key != "p1" {
		t.Errorf("read were %v", c)
	}
}

// lostAnswer: sending again what was carried out changes nothing.
func lostAnswer(t *testing.T, b *table) {
	done := false
	b.between(func() {
		if !done {
			done = true
			b.server.Plant(sandbox.Fault{Times: 1, Applied: true, Drop: true})
		}
	})
	batch := func() []connector.Write { return []connector.Write{set("p1", "one"), add("p9", "nine")} }
	if _, err := b.tryWrite(t, batch()...); err == nil || connector.Classify(err).Class != connector.Retry {
		t.Fatalf("a lost answer gave %v", err)
	}
	b.write(t, batch()...)
	for i, r := range b.write(t, batch()...) {
		if r.Outcome != connector.Already {
			t.Errorf("write %d sent again is %s", i, r.Outcome)
		}
	}
	want := names()
	want["p1"], want["p9"] = "one", "nine"
	b.holds(t, want)
}

func expiredToken(t *testing.T, b *table) {
	b.server.Plant(sandbox.Fault{Times: 1, Expire: true})
	b.write(t, set("p1", "one"))
	want := names()
	want["p1"] = "one"
	b.holds(t, want)
}

// doubleKey: two rows that cannot be told apart stop reading, with words, until somebody mends it.
func doubleKey(t *testing.T, b *table) {
	b.people.Insert(t, b.object, record.Fields{"id": "p1", "name": "another"}, record.Fields{"name": "a note without a key"})
	_, err := b.tryRead(t)
	if e := connector.Classify(err); err == nil || e.Code != "sheet.key_not_unique" || e.Class != connector.Retry {
		t.Fatalf("a double key gave %v", err)
	}
	b.server.Do(t.Context(), func(x *sandbox.Exchange) {
		g := sandbox.Grid{W: x.W, Title: "People"}
		g.Remove(g.Find("name", "another"))
	})
	if c := b.read(t); len(c) != 0 {
		t.Errorf("a row without a key was read as %v", c)
	}
}

func number(n record.Number) any { return json.Number(n) }

// Began is where clocks of tests begin.
var Began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
