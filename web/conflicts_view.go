// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web/ui"
)

// ConflictsView is the inbox: the list, and beside it the conflict that is open.
type ConflictsView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Part     string // address of the list, which refreshes itself
	Ages     []ui.Facet
	Services []ui.Facet // empty when there is one service
	Fields   []ui.Facet
	Items    []ui.InboxItem
	Pager    ui.Pager
	Total    int64         // open, whatever the filter
	Filtered bool          // a filter is in force
	Open     *ConflictView // nil shows the list alone on a phone, a hint beside it elsewhere
}

// ConflictView is one conflict, ready to be decided, or as it was decided.
type ConflictView struct {
	ID      string
	Path    string // "/conflicts/cfl_01JDCV"
	Query   string // the filter of the list it was opened from, "?field=price", or ""
	Record  string // "Trail Runner 2, blue, 42"
	Href    string // to the record
	Service string
	Field   string
	Opened  time.Time
	Rule    string // why no rule decided: "The field's strategy is manual: somebody decides."
	Compare ui.Compare
	Reason  string    // what was typed as the reason
	Rest    string    // what is wrong with the form as a whole
	Next    string    // address of the next one
	Moved   string    // what changed since the page was opened; shown as a warning
	Others  []ui.Line // other open conflicts of the same record
	Trail   []ui.Moment
	Done    *DecidedView // how it was decided; nil while it is open
	May     bool
}

// DecidedView is how a conflict was settled.
type DecidedView struct {
	By     string // a person's name; "" when a rule decided
	At     time.Time
	Winner string
	Result ui.Value
	Reason string
}

// DecidedConflictsView lists conflicts that were settled, with the reason for each.
type DecidedConflictsView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Filter  ui.FilterBar
	Lines   []DecidedLine
	Pager   ui.Pager
	Cleared bool // no filter is in force
}

// DecidedLine is one of them.
type DecidedLine struct {
	ID      string
	Href    string
	Record  string
	Field   string
	Service string
	DecidedView
}

// by says who or what decided.
func (d DecidedView) by() string {
	if d.By != "" {
		return d.By
	}
	return "a rule"
}

func (c ConflictView) form() ui.Compare {
	f := c.Compare
	f.ID = "conflict-form"
	if !c.May {
		return f
	}
	f.Action = c.Path + ":resolve" + c.Query
	f.Attrs = templ.Attributes{"hx-post": f.Action, "hx-target": "#conflict", "hx-swap": "outerHTML", "hx-disabled-elt": "find button[data-primary]"}
	f.Also = ui.Fragments{ui.Field{Name: "reason", Label: "Reason", Value: c.Reason, Optional: true, Autocomplete: "off", Hint: "Kept with the decision, in the record's history and the audit log."}}
	f.Decide = ui.Fragments{ui.Button{Label: "Apply", Icon: "check", Kind: ui.Primary, Submit: true, Key: "a"}}
	if c.Next != "" {
		f.More = append(f.More, ui.Button{Label: "Next", IconEnd: "chevron-right", Kind: ui.Ghost, Href: c.Next, Key: "n"})
	}
	return f
}
