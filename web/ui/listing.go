// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// Listing is the frame of a list page: a card with the filter, the table and the pager, which asks for itself again when the live
// stream says that something of it moved. Its rows are the content, as those of a Table.
type Listing struct {
	ID      string // of the card; what is replaced when the filter or the list changes
	Title   string // "" where the page's own title says it
	Text    string
	Count   int64
	Tone    Tone // of the count
	Actions Fragments
	Refresh string // the list's own address; "" for a list that stays as it is
	On      string // what the live stream calls the list: "hold", "run:svc_1"
	Every   string // how often it asks at most; 2s when empty
	Filter  *FilterBar
	Table   Table
}

// Render writes a list without rows; With fills it.
func (l Listing) Render(ctx context.Context, w io.Writer) error { return listing(l).Render(ctx, w) }

// With takes the rows.
func (l Listing) With() templ.Component { return listing(l) }

func (l Listing) card() Card {
	c := Card{ID: l.ID, Title: l.Title, Text: l.Text, Count: l.Count, Tone: l.Tone, Actions: l.Actions, Flush: true}
	if l.Refresh != "" {
		every := l.Every
		if every == "" {
			every = "2s"
		}
		c.Attrs = templ.Attributes{"hx-get": l.Refresh, "hx-select": "#" + l.ID, "hx-trigger": "live:" + l.On + " from:body throttle:" + every, "hx-swap": "outerMorph"}
	}
	return c
}

// filtered says whether there is anything to choose by.
func (l Listing) filtered() bool {
	return l.Filter != nil && (l.Filter.Search != "" || len(l.Filter.Selects)+len(l.Filter.Chips) > 0)
}

// Act is something to do about one thing in a list, with no further question: a form of one button.
type Act struct {
	Action string            // where it is posted
	Hidden map[string]string // what goes along
	Button Button
}

// Render writes the form.
func (a Act) Render(ctx context.Context, w io.Writer) error { return act(a).Render(ctx, w) }

func (a Act) button() Button {
	a.Button.Submit = true
	return a.Button
}

// Acts are the last cell of a row: what can be done about it.
type Acts struct {
	Label string // of the column; "" where only screen readers hear that it is about acts
	Items Fragments
}

// Render writes the cell.
func (a Acts) Render(ctx context.Context, w io.Writer) error { return acts(a).Render(ctx, w) }

// ActsColumn is the heading of such a cell.
func ActsColumn(label string) Column {
	if label == "" {
		return Column{Label: "Acts", Hidden: true, Fit: true}
	}
	return Column{Label: label, Fit: true}
}

// Place is the cell of a system in a service.
type Place struct {
	Label  string // of the column; "System" when empty
	Type   string // the system's connector
	System string
	Sub    string // the service, or the object
}

// Render writes the cell.
func (p Place) Render(ctx context.Context, w io.Writer) error { return place(p).Render(ctx, w) }

func (p Place) label() string {
	if p.Label == "" {
		return "System"
	}
	return p.Label
}

// Outcome is the cell that says where a thing stands and who decided.
type Outcome struct {
	State string // a word of the API
	By    string // who decided; "" for nobody
	Note  string // what they wrote
	Sub   string // a line of its own
}

// Render writes the cell.
func (o Outcome) Render(ctx context.Context, w io.Writer) error { return outcome(o).Render(ctx, w) }

func (o Outcome) by() string {
	switch {
	case o.By == "":
		return o.Note
	case o.Note == "":
		return "by " + o.By
	}
	return o.By + ": " + o.Note
}
