// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// grid is a table in memory in which somebody acts while cells are written.
type grid struct {
	header  []string
	rows    [][]any
	moving  func() // before cells are written
	setting func() // after
	full    bool   // no row can be added
}

func (*grid) Check(context.Context) error                      { return nil }
func (*grid) Objects(context.Context) ([]record.Object, error) { return []record.Object{"Stock"}, nil }
func (*grid) Wait(ctx context.Context, _ time.Duration) error  { return ctx.Err() }
func (*grid) Close() error                                     { return nil }
func (g *grid) All(context.Context, record.Object) ([]string, [][]any, error) {
	rows := make([][]any, len(g.rows))
	for i := range g.rows {
		rows[i] = slices.Clone(g.rows[i])
	}
	return g.header, rows, nil
}

func (g *grid) Some(_ context.Context, _ record.Object, rows []int) (out [][]any, _ error) {
	for _, at := range rows {
		switch {
		case at < 0:
			var header []any
			for _, name := range g.header {
				header = append(header, name)
			}
			out = append(out, header)
		case at < len(g.rows):
			out = append(out, slices.Clone(g.rows[at]))
		default:
			out = append(out, nil)
		}
	}
	return out, nil
}

func (g *grid) Set(_ context.Context, _ record.Object, cells []Cell) error {
	if act := g.moving; act != nil {
		g.moving = nil
		act()
	}
	for _, c := range cells {
		g.rows[c.Row][c.Column] = c.Value
	}
	if act := g.setting; act != nil {
		g.setting = nil
		act()
	}
	return nil
}

func (g *grid) Append(_ context.Context, _ record.Object, rows [][]any) error {
	if g.full {
		return &connector.Error{Class: connector.Retry, Code: "sheet.busy", Message: "Not now."}
	}
	g.rows = append(g.rows, rows...)
	return nil
}

func (g *grid) Remove(_ context.Context, _ record.Object, rows []int) error {
	for _, at := range rows {
		g.rows = slices.Delete(g.rows, at, at+1)
	}
	return nil
}

// Somebody types into a row between our writing and our second look: what was written is there, and is not told of as somebody's edit.
func TestTypedBeforeTheSecondLook(t *testing.T) {
	t.Parallel()
	g := &grid{header: []string{"id", "name", "n"}, rows: [][]any{{"a", "ash", "1"}, {"b", "box", "1"}}}
	g.setting = func() { g.rows[0][2] = "7" }
	s := over(t, g)
	receipts, err := s.(connector.Writer).Write(t.Context(), "Stock", []connector.Write{{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Key: "a",
		Fields: record.Fields{"name": "yew", "n": "2"}, Expect: record.Fields{"name": "ash", "n": "1"}}})
	if err != nil || receipts[0].Outcome != connector.Applied {
		t.Errorf("the receipts are %+v, %v", receipts, err)
	}
	changes, err := s.(connector.KeyReader).ReadKeys(t.Context(), "Stock", nil, []record.Key{"a"})
	if err != nil || changes[0].Fields["name"] != "yew" || changes[0].Fields["n"] != "7" {
		t.Errorf("the row is %+v, %v", changes, err)
	}
}

func over(t *testing.T, g *grid) connector.System {
	t.Helper()
	options, err := ReadOptions(connector.Settings{"key": "id"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Positional(g, options), options, connector.Env{Consumer: "svc_1"}, Every())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Cells are written, then rows are removed. Who puts a line in between the two and types into the row that would be hit keeps what was
// typed, and the row that was meant is the one that is removed.
func TestRowsMoveBeforeRemoval(t *testing.T) {
	t.Parallel()
	g := &grid{header: []string{"id", "name"}, rows: [][]any{{"a", "ash"}, {"b", "box"}, {"c", "elm"}}}
	g.setting = func() {
		g.rows = slices.Insert(g.rows, 0, []any{nil, "a note"})
		g.rows[2][1] = "oak" // of b, which stands where c stood
	}
	s := over(t, g)
	writes := []connector.Write{
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Key: "a", Fields: record.Fields{"name": "yew"}, Expect: record.Fields{"name": "ash"}},
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Delete, Key: "c", Expect: record.Fields{"name": "elm"}},
	}
	receipts, err := s.(connector.Writer).Write(t.Context(), "Stock", writes)
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied {
		t.Errorf("the receipts are %+v, %v", receipts, err)
	}
	changes, err := s.(connector.KeyReader).ReadKeys(t.Context(), "Stock", nil, []record.Key{"a", "b", "c"})
	if err != nil || len(changes) != 3 || changes[0].Fields["name"] != "yew" || changes[1].Fields["name"] != "oak" || changes[2].Op != record.Delete {
		t.Errorf("the rows are %+v, %v", changes, err)
	}
}

// Rows change places in the instant before they are written, and the batch means both: each has in the end what was meant for it, and what
// nobody meant to write is as it was.
func TestRowsOfABatchChangePlaces(t *testing.T) {
	t.Parallel()
	set := func(key record.Key, fields, expect record.Fields) connector.Write {
		return connector.Write{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Key: key, Fields: fields, Expect: expect}
	}
	for name, writes := range map[string][]connector.Write{
		"other columns": {set("a", record.Fields{"name": "yew"}, record.Fields{"name": "ash"}), set("b", record.Fields{"n": "2"}, record.Fields{"n": "1"})},
		"the same value for both": {set("a", record.Fields{"name": "yew"}, record.Fields{"name": "ash"}),
			set("b", record.Fields{"name": "yew", "n": "2"}, record.Fields{"name": "box", "n": "1"})},
		"the same value and another": {set("a", record.Fields{"name": "yew", "n": "3"}, record.Fields{"name": "ash", "n": "1"}),
			set("b", record.Fields{"name": "yew", "n": "2"}, record.Fields{"name": "box", "n": "1"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &grid{header: []string{"id", "name", "n"}, rows: [][]any{{"a", "ash", "1"}, {"b", "box", "1"}}}
			g.moving = func() { slices.Reverse(g.rows) }
			want := map[any][]any{"a": {"a", "ash", "1"}, "b": {"b", "box", "1"}}
			for _, w := range writes {
				for field, v := range w.Fields {
					want[string(w.Key)][slices.Index(g.header, field)] = v
				}
			}
			receipts, err := over(t, g).(connector.Writer).Write(t.Context(), "Stock", writes)
			if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied {
				t.Errorf("the receipts are %+v, %v", receipts, err)
			}
			for _, r := range g.rows {
				if !slices.Equal(r, want[r[0]]) {
					t.Errorf("%v is %v, not %v", r[0], r, want[r[0]])
				}
			}
		})
	}
}

// Cells hit another row, and what was to be written after them fails: the row gets back what it held, also when rows move again while that is
// written.
func TestHitRowsAreMendedThoughTheRestFails(t *testing.T) {
	t.Parallel()
	g := &grid{header: []string{"id", "name"}, rows: [][]any{{"a", "ash"}, {"b", "box"}}, full: true}
	g.moving = func() {
		slices.Reverse(g.rows)
		g.moving = func() { slices.Reverse(g.rows) }
	}
	_, err := over(t, g).(connector.Writer).Write(t.Context(), "Stock", []connector.Write{
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Key: "a", Fields: record.Fields{"name": "yew"}, Expect: record.Fields{"name": "ash"}},
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Create: true, Fields: record.Fields{"id": "c", "name": "elm"}},
	})
	if connector.Classify(err).Code != "sheet.busy" {
		t.Errorf("the writes end with %v", err)
	}
	if !slices.Equal(g.rows[0], []any{"a", "ash"}) || !slices.Equal(g.rows[1], []any{"b", "box"}) {
		t.Errorf("the rows are %v", g.rows)
	}
}

// A row that somebody takes out is not put back, where the removal of another was not even tried.
func TestRowsThatOthersRemoveStayOut(t *testing.T) {
	t.Parallel()
	g := &grid{header: []string{"id", "name"}, rows: [][]any{{"a", "ash"}, {"b", "box"}, {"c", "elm"}}}
	g.setting = func() { g.rows = slices.Delete(g.rows, 1, 2) } // c moves up
	receipts, err := over(t, g).(connector.Writer).Write(t.Context(), "Stock", []connector.Write{
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Upsert, Key: "a", Fields: record.Fields{"name": "yew"}, Expect: record.Fields{"name": "ash"}},
		{ID: record.NewEntityID(), Attempt: uuid.Must(uuid.NewV7()), Op: record.Delete, Key: "c", Expect: record.Fields{"name": "elm"}},
	})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied {
		t.Errorf("the receipts are %+v, %v", receipts, err)
	}
	if len(g.rows) != 1 || g.rows[0][0] != "a" {
		t.Errorf("the rows are %v", g.rows)
	}
}
