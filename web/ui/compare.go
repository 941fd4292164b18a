// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// Compare is the form in which a person decides a conflict: what the systems last agreed on, what each says now, and
// what it will be. It posts "pick.<field>" (a side's System, "base" or "edit") and "value.<field>" for each field, and
// the Hidden values.
type Compare struct {
	ID     string
	Action string
	Attrs  templ.Attributes // hx-post and where the answer goes
	Hidden map[string]string
	Base   BaseSide
	Sides  []Side
	Fields []CompareField
	Agree  []KeyValue // fields in which all agree, folded away
	Also   Fragments  // more of the form, above the buttons
	Decide Fragments  // the buttons; the first is the deciding one
	More   Fragments  // further acts, at the end of the row
	Shown  bool       // to be looked at only: nothing can be picked
}

// BaseSide says when the systems last agreed.
type BaseSide struct {
	At time.Time
}

// Side is one system in the conflict.
type Side struct {
	System string // "warehouse"; what is posted
	Name   string // shown instead of System when set: "a person"
	Type   string // its connector
	Key    string // the record's key there
	At     time.Time
	By     string // who or what changed it there, when the system says so
	Note   string // "its clock is 4 s ahead"
	Moved  bool   // it changed again since the page was opened
}

// CompareField is one field in conflict. Values are in the order of the sides.
type CompareField struct {
	Name    string
	Base    Value
	Values  []Value
	Picked  int    // index of the side that is picked; Edited when none
	Edit    string // the result that was typed
	Suggest int    // index of the suggested side, -1 for none
	Reason  string // why it is suggested
	Error   string
	Locked  string // why the field cannot be decided here; then it is shown only
	NoEdit  bool   // a side is picked; no other value can be typed
}

// Edited is the Picked of a field whose result was typed, Undecided that of one without any choice yet.
const (
	Edited    = -1
	Undecided = -2
)

// Render writes the form.
func (c Compare) Render(ctx context.Context, w io.Writer) error { return compare(c).Render(ctx, w) }

func (f CompareField) result() string {
	if f.Picked >= 0 && f.Picked < len(f.Values) {
		return f.Values[f.Picked].Text
	}
	if f.Picked == Edited {
		return f.Edit
	}
	return ""
}

func (s Side) name() string { return orName(s.Name, s.System) }

func (f CompareField) id(part string) string { return "f-" + f.Name + "-" + part }

func sideKey(i int) string { return strconv.Itoa(i + 1) }

// Inbox is the list beside the form.
type Inbox struct {
	Items []InboxItem
}

// InboxItem is one waiting conflict.
type InboxItem struct {
	ID      string
	Title   string // the record: "Trail Runner 2, blue, 42"
	Href    string
	Sub     string // "quantity, price in inventory-sync"
	At      time.Time
	Person  string // who took it
	State   string // "open", "snoozed"
	Current bool
}

// Render writes the list.
func (i Inbox) Render(ctx context.Context, w io.Writer) error { return inbox(i).Render(ctx, w) }

// Facets are counted links that narrow a list.
type Facets struct {
	Label string
	Items []Facet
}

// Facet is one of them.
type Facet struct {
	Label   string
	Count   int64
	Href    string
	Current bool
}

// Render writes the links.
func (f Facets) Render(ctx context.Context, w io.Writer) error { return facets(f).Render(ctx, w) }
