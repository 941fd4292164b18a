// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// PageHeader is the head of a page: what it is, its state, and what one can do with it.
type PageHeader struct {
	Title   string
	Mono    bool // the title is an identifier
	State   string
	StateID string
	Text    string    // one sentence
	Meta    []Meta    // small facts in a row
	Marks   Fragments // beside the title: tiles, badges
	Actions Fragments
}

// Meta is one small fact of a page header.
type Meta struct {
	Icon string
	Text string
	Body Fragments // instead of Text
}

// Render writes the head.
func (p PageHeader) Render(ctx context.Context, w io.Writer) error {
	return pageHeader(p).Render(ctx, w)
}

// Tabs are the pages of one thing, as links.
type Tabs struct {
	Label string // "Service"
	Items []Tab
}

// Tab is one page.
type Tab struct {
	Label   string
	Href    string
	Count   int64
	Tone    Tone // of the count
	Current bool
}

// Render writes the tabs.
func (t Tabs) Render(ctx context.Context, w io.Writer) error { return tabs(t).Render(ctx, w) }

// Panels are tabs that switch in place. The first panel shows first.
type Panels struct {
	ID    string // unique on the page
	Label string
	Items []Panel
}

// Panel is one of them.
type Panel struct {
	Label string
	Body  Fragments
}

// Render writes the tabs and their panels.
func (p Panels) Render(ctx context.Context, w io.Writer) error { return panels(p).Render(ctx, w) }

// Card is a framed part of a page with its own title.
type Card struct {
	ID      string
	Title   string
	Text    string // a line under the title
	Count   int64
	Tone    Tone // of the count
	Actions Fragments
	Flush   bool // the content reaches the frame: tables, lists
	Foot    Fragments
	Class   string
	Attrs   templ.Attributes // hx-get, hx-trigger: what refreshes the card
}

// Render writes an empty card; With fills it.
func (c Card) Render(ctx context.Context, w io.Writer) error { return card(c).Render(ctx, w) }

// With takes the content: @ui.Card{...}.With() { ... }.
func (c Card) With() templ.Component { return card(c) }

// attrs of the section: the given ones, and the id.
func (c Card) attrs() templ.Attributes {
	a := templ.Attributes{}
	for k, v := range c.Attrs {
		a[k] = v
	}
	if c.ID != "" {
		a["id"] = c.ID
	}
	return a
}

// More hides what few need behind a line to click.
type More struct {
	Label string
	Open  bool
}

// Render writes an empty one; With fills it.
func (m More) Render(ctx context.Context, w io.Writer) error { return more(m).Render(ctx, w) }

// With takes the hidden content.
func (m More) With() templ.Component { return more(m) }
