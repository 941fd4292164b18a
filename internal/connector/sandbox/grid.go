// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Grid is a sheet of cells in a world: a header, and rows that have an order which people change. Rows are records of the table
// "rows" with a field for each column; Sheet and Position say where.
type Grid struct {
	W     *World
	Title string
}

// The fields that place a row.
const (
	GridRows = "rows"
	Sheet    = "_sheet"
	Position = "_position"
)

// Grids are the titles of all sheets.
func Grids(w *World) (titles []string) {
	for k := range w.Kept {
		if title, ok := cutPrefix(k, "header/"); ok {
			titles = append(titles, title)
		}
	}
	slices.Sort(titles)
	return titles
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

// MakeGrid makes a sheet.
func MakeGrid(w *World, title string, columns ...string) Grid {
	b, _ := json.Marshal(columns) // texts
	w.Kept["header/"+title] = string(b)
	return Grid{w, title}
}

// There says whether the sheet is there.
func (g Grid) There() bool { return g.W.Kept["header/"+g.Title] != "" }

// Header are the columns' names.
func (g Grid) Header() (columns []string) {
	_ = json.Unmarshal([]byte(g.W.Kept["header/"+g.Title]), &columns) // as MakeGrid wrote it
	return columns
}

// Rows are the rows in their order.
func (g Grid) Rows() (rows []*Record) {
	for _, r := range g.W.Sorted(GridRows) {
		if r.Live() && r.Fields[Sheet] == g.Title {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b *Record) int { return position(a) - position(b) })
	return rows
}

func position(r *Record) int {
	n, _ := strconv.Atoi(Text(r.Fields[Position]))
	return n
}

// Cells are a row's values in the order of the columns; empty ones at the end are left out, as vendors do.
func (g Grid) Cells(r *Record) (cells []any) {
	for _, c := range g.Header() {
		v := r.Fields[c]
		if v == nil {
			v = ""
		}
		cells = append(cells, v)
	}
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	return cells
}

// Add puts a row behind the last one.
func (g Grid) Add(fields map[string]any) *Record {
	f := maps.Clone(fields)
	f[Sheet], f[Position] = g.Title, 0
	if rows := g.Rows(); len(rows) > 0 {
		f[Position] = position(rows[len(rows)-1]) + 1
	}
	return g.W.Insert(GridRows, "", f)
}

// Find is the row with that value.
func (g Grid) Find(column string, value any) *Record {
	for _, r := range g.Rows() {
		if Text(r.Fields[column]) == Text(value) {
			return r
		}
	}
	return nil
}

// Reverse puts the rows in the opposite order, as a sort does.
func (g Grid) Reverse() {
	rows := g.Rows()
	for i, r := range rows {
		r.Fields[Position] = len(rows) - i
	}
	g.W.Seq++
}

// Remove takes a row out for good.
func (g Grid) Remove(r *Record) {
	delete(g.W.Table(GridRows).Records, r.ID)
	g.W.Seq++
}
