// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"time"

	"github.com/a-h/templ"
)

// Alert is a message that stays in its place on the page.
type Alert struct {
	ID      string
	Tone    Tone // Info when empty
	Title   string
	Text    string
	Code    string // stable code, leads to its page
	Since   time.Time
	Request string // request id
	Actions Fragments
	Role    string // "alert" when it appears after something the reader did; else it is quiet
}

// Render writes the alert; With adds content under the text.
func (a Alert) Render(ctx context.Context, w io.Writer) error { return alert(a).Render(ctx, w) }

// With takes more content.
func (a Alert) With() templ.Component { return alert(a) }

var toneIcons = map[Tone]string{OK: "circle-check", Warn: "triangle-alert", Bad: "circle-alert", Info: "info", Split: "split", Idle: "info", Accent: "info"}

func (a Alert) tone() Tone {
	if a.Tone == "" {
		return Info
	}
	return a.Tone
}

// Empty says that there is nothing yet, and what one can do about it: one sentence, one action, perhaps an example.
type Empty struct {
	Icon    string
	Title   string
	Text    string
	Actions Fragments
	Small   bool
}

// Render writes the block.
func (e Empty) Render(ctx context.Context, w io.Writer) error { return empty(e).Render(ctx, w) }

// Failure says that something could not be shown or done: what failed, since when, what to do, and the request id.
type Failure struct {
	Title   string
	Text    string // what to do
	Since   time.Time
	Code    string // "store.unreachable", leads to docs/errors
	Request string
	Actions Fragments
	Small   bool
}

// Render writes the block.
func (f Failure) Render(ctx context.Context, w io.Writer) error { return failure(f).Render(ctx, w) }

// NoPermission says that the reader's role does not reach here, and whom to ask.
type NoPermission struct {
	What string   // "see invoices"
	Role string   // the reader's role
	Ask  []string // names of those who can change that
}

// Render writes the block.
func (n NoPermission) Render(ctx context.Context, w io.Writer) error {
	return noPermission(n).Render(ctx, w)
}

// Skeleton holds the place of what is still being loaded. It shows itself after 300 ms.
type Skeleton struct {
	Kind string // "rows", "bars" or "text"
	Rows int
	What string // "Loading runs", for screen readers
}

// Render writes the placeholder.
func (s Skeleton) Render(ctx context.Context, w io.Writer) error { return skeleton(s).Render(ctx, w) }

func (s Skeleton) rows() []struct{} {
	if s.Rows <= 0 {
		return make([]struct{}, 4)
	}
	return make([]struct{}, s.Rows)
}

// Dialog is a native modal dialog. Open it with Button.Opens.
type Dialog struct {
	ID    string
	Title string
	Wide  bool
	Foot  Fragments
}

// Render writes an empty dialog; With fills it.
func (d Dialog) Render(ctx context.Context, w io.Writer) error { return dialog(d).Render(ctx, w) }

// With takes the content.
func (d Dialog) With() templ.Component { return dialog(d) }

// Confirm is the dialog before an act that destroys: it lists the consequences and, when TypeName is set, asks for the
// name to be typed. The form posts to Action with the field "confirm".
type Confirm struct {
	ID           string
	Title        string
	Text         string
	Consequences []string
	TypeName     string
	Label        string // of the deciding button: "Delete service"
	Action       string
	Undo         string // "You can undo this for 30 days", if so
	Safe         bool   // nothing is destroyed: the button is an ordinary primary one
	Attrs        templ.Attributes
}

// Render writes the dialog.
func (c Confirm) Render(ctx context.Context, w io.Writer) error { return confirm(c).Render(ctx, w) }

// Progress is work that takes longer than a second. Total zero means that it is not known yet.
type Progress struct {
	ID        string
	Title     string // "First sync"
	State     string // state word of the run, "running"
	Done      int64
	Total     int64
	Unit      string // "records"
	PerSecond float64
	Left      time.Duration // zero while it cannot be estimated; shown once 5% is done
	Phases    []Phase
	Note      string // what a cancel keeps
	Actions   Fragments
	Attrs     templ.Attributes // hx-get, hx-trigger
}

// Phase is one step of the work.
type Phase struct {
	Name  string
	State string // "done", "now" or "next"
}

// Render writes the progress.
func (p Progress) Render(ctx context.Context, w io.Writer) error { return progress(p).Render(ctx, w) }

func (p Progress) left() string {
	if p.Left <= 0 || p.Total <= 0 || p.Done*20 < p.Total {
		return ""
	}
	return Span(p.Left) + " left"
}

func (p Progress) attrs() templ.Attributes {
	a := templ.Attributes{}
	for k, v := range p.Attrs {
		a[k] = v
	}
	if p.ID != "" {
		a["id"] = p.ID
	}
	return a
}

// Budget is a share of something that has an end, with its counts: spend of a budget, quota of a plan.
type Budget struct {
	Label string
	Used  float64
	Limit float64
	Text  string // "$412 of $1,000"
	Note  string
}

// Render writes the bar.
func (b Budget) Render(ctx context.Context, w io.Writer) error { return budget(b).Render(ctx, w) }

func (b Budget) tone() Tone {
	switch {
	case b.Limit > 0 && b.Used >= b.Limit:
		return Bad
	case b.Limit > 0 && b.Used >= 0.75*b.Limit:
		return Warn
	}
	return Accent
}
