// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// Kind is the weight of a button. A view has at most one Primary.
type Kind string

// The kinds.
const (
	Secondary Kind = ""            // the usual one
	Primary   Kind = "primary"     // the one act the page is for
	Ghost     Kind = "ghost"       // beside others, without a border
	Danger    Kind = "danger"      // leads to something that destroys
	Destroy   Kind = "danger-fill" // destroys; only inside a dialog that says what
)

// Button is a button, or a link that looks like one when Href is set.
type Button struct {
	Label    string
	Icon     string
	IconEnd  string
	Kind     Kind
	Size     string // "", "sm" or "lg"
	IconOnly bool   // Label becomes the accessible name and the hover text
	Block    bool   // as wide as its place

	Href   string
	Submit bool   // submits the form it stands in
	Form   string // or the form with this id
	Name   string // with Value: which button submitted
	Value  string

	Opens string // id of the dialog it opens
	Menu  string // id of the popover it opens
	Key   string // single letter that presses it, shown as a hint

	Disabled bool
	Why      string // why it is disabled; read out and shown on hover

	Attrs templ.Attributes // hx-post and the like
}

// Render writes the button.
func (b Button) Render(ctx context.Context, w io.Writer) error { return button(b).Render(ctx, w) }

func (b Button) class() string {
	c := "btn"
	if b.Kind != "" {
		c += " btn-" + string(b.Kind)
	}
	if b.Size != "" {
		c += " btn-" + b.Size
	}
	if b.IconOnly {
		c += " btn-icon"
	}
	if b.Block {
		c += " btn-block"
	}
	return c
}

// attrs are the attributes that come from other fields than the visible ones.
func (b Button) attrs() templ.Attributes {
	a := templ.Attributes{}
	set := func(name, value string) {
		if value != "" {
			a[name] = value
		}
	}
	if b.IconOnly {
		set("aria-label", b.Label)
		set("title", b.Label)
	}
	set("form", b.Form)
	set("name", b.Name)
	set("value", b.Value)
	set("data-key", b.Key)
	set("aria-keyshortcuts", b.Key)
	if b.Opens != "" {
		a["commandfor"], a["command"], a["aria-haspopup"] = b.Opens, "show-modal", "dialog"
	}
	if b.Menu != "" {
		a["popovertarget"] = b.Menu
	}
	if b.Disabled {
		a["disabled"] = true
		set("title", b.Why)
	}
	if b.Kind == Primary && b.Submit {
		a["data-primary"] = true
	}
	for k, v := range b.Attrs {
		a[k] = v
	}
	return a
}

// Menu is a button with a list of acts under it.
type Menu struct {
	ID       string // unique on the page
	Label    string
	Icon     string // "ellipsis" with IconOnly is the usual "more"
	IconOnly bool
	Kind     Kind
	Size     string
	Start    bool   // line up with the start of the button instead of its end
	Title    string // above the items
	Items    []MenuItem
}

// MenuItem is one act: a link, a dialog to open, or a button with attributes of its own.
type MenuItem struct {
	Label   string
	Sub     string // a second line
	Icon    string
	Href    string
	Opens   string
	Danger  bool
	Current bool
	Divider bool // a line above
	Attrs   templ.Attributes
}

// Render writes the button and its menu.
func (m Menu) Render(ctx context.Context, w io.Writer) error { return menu(m).Render(ctx, w) }

// Segments is a choice between few views of the same thing, as links: 24 h, 7 d.
type Segments struct {
	Label   string
	Options []Segment
}

// Segment is one choice.
type Segment struct {
	Label   string
	Href    string
	Current bool
}

// Render writes the choice.
func (s Segments) Render(ctx context.Context, w io.Writer) error { return segments(s).Render(ctx, w) }
