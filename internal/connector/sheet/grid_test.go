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
	setting func()
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
