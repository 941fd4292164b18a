// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// EditorView is the page on which a service's document is written and applied.
type EditorView struct {
	Page      ui.Page
	Name      string // of the service; "" for a new one
	Path      string // "/services/inventory-sync", or "/services/new"
	State     string // of the service; "" for a new one
	Document  string // the text as it stands
	Live      string // the document in force; empty for a new service
	Revision  int    // of the document in force
	ETag      string // sent back with the form, so that nobody's change is overwritten
	Note      string // for the history
	Problems  []DocumentProblem
	Alert     *ui.Alert // why it was not applied, when it is not the document's fault
	Changes   ChangesView
	Outline   []OutlineItem
	Templates []TemplateLink
	Notice    *ui.Alert // what can be done with the template; its button is of the form start-sandbox
	MayDraft  bool      // it can be saved without being put into force
	MayPrice  bool      // the reader may see what it would cost
	Estimate  EstimateView
}

// DocumentProblem is one faulty place of a document.
type DocumentProblem struct {
	Line   int // 0 for the whole
	Column int
	Text   string
	Remedy string
	Code   string
}

// ChangesView is what applying the document would change.
type ChangesView struct {
	Unknown bool // the document has errors, so it cannot be told yet
	New     bool // there is no service of that name
	Lines   []ChangeLine
	Notices []DocumentProblem
}

// ChangeLine is one part in which the document differs from the one in force.
type ChangeLine struct {
	Path   string // "syncConfig.frequency"
	Kind   string // "added", "removed" or "changed"
	Before string
	After  string
}

// TemplateLink is a document to start from.
type TemplateLink struct {
	Label string
	Text  string
	Href  string
}

// OutlineItem is one part of the document to jump to.
type OutlineItem struct {
	Label string
	Line  int
}

// RevisionsView is the history of a service's document.
type RevisionsView struct {
	Service   ServiceView
	Revisions []RevisionLine
	Pager     ui.Pager
}

// RevisionLine is one revision.
type RevisionLine struct {
	Number int
	Href   string
	Author string
	Note   string
	Time   ui.Time
	Live   bool
}

// RevisionView is one revision beside another.
type RevisionView struct {
	Service  ServiceView
	Line     RevisionLine
	Against  int // the revision it is compared with; 0 for none
	Before   string
	After    string
	Changes  []ChangeLine
	Compare  []ui.Segment // with the one before, with the live one
	Snippets []ui.Code
	ETag     string
}

func (view EditorView) title() string {
	if view.Name == "" {
		return "New service"
	}
	return "Edit " + view.Name
}

func (view EditorView) liveLabel() string { return "In force, revision " + itoa(view.Revision) }

func (view EditorView) back() string {
	if view.Name == "" {
		return "/services"
	}
	return view.Path
}

func (view EditorView) text() string {
	switch {
	case view.Name == "":
		return "One document says which systems, when, and under which rules. It is checked while you type."
	case view.State == "draft":
		return "A draft: nothing is read or written until it is applied."
	}
	return "The document is checked while you type. Nothing happens before you apply it."
}

// sign is the mark of a kind of change.
func (c ChangeLine) sign() (sign string, tone ui.Tone) {
	switch c.Kind {
	case "added":
		return "+", ui.OK
	case "removed":
		return "−", ui.Bad
	}
	return "~", ui.Info
}
