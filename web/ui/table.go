// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"strconv"

	"github.com/a-h/templ"
)

// Table is a list of things. Its rows are the content: @ui.Table{...}.With() { @ui.Row{...}.With() { @ui.Cell{...}.With() { } } }.
// Where it is narrow each row becomes a block and each cell carries its column's name.
type Table struct {
	ID      string
	Caption string // what the table lists, for screen readers
	Columns []Column
	Select  string    // name of the checkboxes; empty for a table without selection
	Bulk    Fragments // acts on selected rows; buttons that submit, see Action
	Action  string    // where the form with selected rows goes; each Bulk button can have its own formaction
	Total   int64     // how many match the filter, for "select all 1,204 matching"
	Empty   Fragments // instead of rows
	Pager   *Pager
	Wide    bool // a table of data: scrolls sideways instead of becoming blocks
	Rows    int  // how many rows there are; 0 shows Empty when that is set
}

// Render writes the table without rows.
func (t Table) Render(ctx context.Context, w io.Writer) error { return table(t).Render(ctx, w) }

// With takes the rows.
func (t Table) With() templ.Component { return table(t) }

// Column is one heading.
type Column struct {
	Label  string
	Hidden bool // the label is for screen readers only
	End    bool // numbers
	Fit    bool // no wider than its content
	Sort   *Sort
}

// Sort makes a heading a link that orders the list by it.
type Sort struct {
	Href string
	Dir  string // "", "ascending" or "descending": the present order
}

// Row is one thing. Href is where the whole row leads.
type Row struct {
	ID       string
	Select   string // the checkbox's name, as Table.Select; empty without selection
	Value    string // the checkbox's value
	Label    string // what the checkbox selects, for screen readers: "Run run_x: failed"
	Selected bool
	Attrs    templ.Attributes
}

// Render writes a row without cells.
func (r Row) Render(ctx context.Context, w io.Writer) error { return row(r).Render(ctx, w) }

// With takes the cells.
func (r Row) With() templ.Component { return row(r) }

// Cell is one cell. Label repeats the column for narrow places.
type Cell struct {
	Label   string
	Primary bool // the cell that names the row
	End     bool
	Fit     bool
	Mono    bool
	Text    string // short for content that is only text
}

// Render writes the cell with its text.
func (c Cell) Render(ctx context.Context, w io.Writer) error { return cell(c).Render(ctx, w) }

// With takes the content.
func (c Cell) With() templ.Component { return cell(c) }

// RowLink is the link of a row: the whole row leads there.
type RowLink struct {
	Href string
	Text string
	Sub  string // a second line
	Mono bool
	Mark Fragments // in front: a tile
}

// Render writes the link.
func (l RowLink) Render(ctx context.Context, w io.Writer) error { return rowLink(l).Render(ctx, w) }

// Pager leads through a list by cursors.
type Pager struct {
	Shown string // "1 to 25 of 1,204", or "25 services" when there is one page
	Prev  string // addresses; empty when there is none
	Next  string
}

// Render writes the pager.
func (p Pager) Render(ctx context.Context, w io.Writer) error { return pager(p).Render(ctx, w) }

// DataTable is a plain table of text: the twin of a chart, small data.
type DataTable struct {
	Caption string
	Head    []string
	Rows    [][]string
	Numbers int // from this column on, values are numbers; 0 for none
	Scroll  bool
}

// Render writes the table.
func (d DataTable) Render(ctx context.Context, w io.Writer) error { return dataTable(d).Render(ctx, w) }

func (d DataTable) end(i int) bool { return d.Numbers > 0 && i >= d.Numbers }

// FilterBar narrows a list. It is a form that is sent by GET, so that the filter stands in the address, works without
// scripts and can be shared.
type FilterBar struct {
	Action      string // address of the list
	Target      string // CSS selector of what htmx replaces; empty loads the page
	Search      string // name of the search field; empty without one
	SearchLabel string
	Value       string
	Selects     []Select
	Keep        map[string]string // other parameters of the address that stay
	Chips       []Chip            // filters in force, each with the address without it
	Clear       string            // address without any filter
	Result      string            // "37 conflicts"
	Actions     Fragments
}

// Chip is a filter in force.
type Chip struct {
	Label  string // "State"
	Value  string // "failed"
	Remove string // address without it
}

// Render writes the bar.
func (f FilterBar) Render(ctx context.Context, w io.Writer) error { return filterBar(f).Render(ctx, w) }

func (f FilterBar) attrs() templ.Attributes {
	if f.Target == "" {
		return nil
	}
	return templ.Attributes{
		"hx-get": f.Action, "hx-target": f.Target, "hx-select": f.Target, "hx-swap": "outerMorph", "hx-push-url": "true",
		"hx-trigger": "submit, input delay:300ms", "hx-sync": "this:replace",
	}
}

func total(n int64) string { return strconv.FormatInt(n, 10) }
