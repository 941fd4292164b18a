// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web/ui"
)

// ConflictsView is the inbox: the list, and beside it the conflict that is open.
type ConflictsView struct {
	Page   ui.Page
	Filter ui.FilterBar
	Ages   []ui.Facet // "under 1 h", "1 to 24 h", "older"
	Rules  []ui.Facet // by rule or field
	Items  []ui.InboxItem
	Pager  ui.Pager
	Total  int64
	Open   *ConflictView // nil shows the list alone on a phone, a hint beside it elsewhere
}

// ConflictView is one conflict, ready to be decided.
type ConflictView struct {
	ID      string
	Path    string // "/conflicts/con_01JDCV"
	Record  string // "Trail Runner 2, blue, 42"
	Href    string // to the record
	Service string
	Opened  time.Time
	Rule    string // why no rule decided: "price: a person decides (inventory-sync, line 31)"
	Person  string // who took it
	Compare ui.Compare
	Similar *SimilarView // others that the same decision fits
	Next    string       // address of the next one
	Moved   string       // what changed since the page was opened; shown as a warning
	Trail   []ui.Moment  // what happened so far: comments, snoozes
	May     bool
	Why     string
}

// SimilarView are conflicts that the same decision fits.
type SimilarView struct {
	Count   int64
	Text    string // "the same two systems, field phone, the same difference: only the format"
	Preview []SimilarLine
}

// SimilarLine is one of them, in the preview.
type SimilarLine struct {
	Record string
	Field  string
	From   string
	To     string
}

func (c ConflictView) form() ui.Compare {
	f := c.Compare
	f.ID = "conflict-form"
	f.Action = c.Path + ":resolve"
	f.Attrs = templ.Attributes{"hx-post": c.Path + ":resolve", "hx-target": "#conflict", "hx-swap": "outerHTML"}
	f.Decide = ui.Fragments{
		ui.Button{Label: "Apply result", Icon: "check", Kind: ui.Primary, Submit: true, Key: "a", Disabled: !c.May, Why: c.Why},
	}
	if c.Similar != nil && c.Similar.Count > 0 {
		f.Decide = append(f.Decide, ui.Button{Label: "Apply to " + ui.Count(c.Similar.Count, "similar", "similar"), Icon: "layers", Opens: "similar", Disabled: !c.May, Why: c.Why})
	}
	f.More = ui.Fragments{
		ui.Button{Label: "Snooze", Icon: "alarm-clock", Kind: ui.Ghost, Opens: "snooze"},
		ui.Button{Label: "Assign", Icon: "user-plus", Kind: ui.Ghost, Opens: "assign"},
	}
	if c.Next != "" {
		f.More = append(f.More, ui.Button{Label: "Next", IconEnd: "chevron-right", Kind: ui.Ghost, Href: c.Next, Key: "n"})
	}
	return f
}

func (s SimilarView) rows() (rows [][]string) {
	for _, l := range s.Preview {
		rows = append(rows, []string{l.Record, l.Field, l.From, l.To})
	}
	return rows
}
