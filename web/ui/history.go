// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"time"

	"github.com/a-h/templ"
)

// Diff shows fields before and after.
type Diff struct {
	Caption string // for screen readers: "Changes of revision 13"
	Fields  []FieldDiff
	Bare    bool // without the heading row
}

// FieldDiff is one field.
type FieldDiff struct {
	Field    string
	Before   Value
	After    Value
	NoBefore bool // only After is told: a record that was created, a value that was sent
	NoAfter  bool // only Before is: a record that was deleted
}

// span is how many columns a side takes.
func (f FieldDiff) span() string {
	if f.NoBefore || f.NoAfter {
		return "2"
	}
	return "1"
}

// Render writes the table.
func (d Diff) Render(ctx context.Context, w io.Writer) error { return diff(d).Render(ctx, w) }

// Timeline is what happened to one thing, newest first.
type Timeline struct {
	Items []Moment
}

// Moment is one thing that happened.
type Moment struct {
	ID    string
	At    time.Time
	Icon  string
	Tone  Tone
	Title string    // "Quantity changed in warehouse"
	Cause Fragments // who or what caused it, links to the run
	Diff  *Diff
	Body  Fragments
}

// Render writes the list.
func (t Timeline) Render(ctx context.Context, w io.Writer) error { return timeline(t).Render(ctx, w) }

// Feed is the live list of what the engine has just done, newest first.
type Feed struct {
	ID    string
	Items []FeedItem
	Empty string // when there is nothing
	Attrs templ.Attributes
}

// FeedItem is one line.
type FeedItem struct {
	ID    string // unique on the page, so that a refresh recognises the line
	At    time.Time
	Icon  string
	Tone  Tone
	Text  Fragments
	Plain string // instead of Text
	End   string // "storefront, 84 ms"
	Fresh bool   // marked for a moment
}

// Render writes the list.
func (f Feed) Render(ctx context.Context, w io.Writer) error { return feed(f).Render(ctx, w) }

func (f Feed) attrs() templ.Attributes {
	a := templ.Attributes{}
	for k, v := range f.Attrs {
		a[k] = v
	}
	if f.ID != "" {
		a["id"] = f.ID
	}
	return a
}

// Lines is a list of linked lines: what needs attention, next runs, a checklist.
type Lines struct {
	Items     []Line
	Checklist bool
}

// Line is one of them.
type Line struct {
	Icon  string
	Tone  Tone
	Title string
	Href  string // without it the line is not a link
	Text  string
	End   Fragments
	Done  bool // in a checklist
}

// Render writes the list.
func (l Lines) Render(ctx context.Context, w io.Writer) error { return lines(l).Render(ctx, w) }
