// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// EditorView is the page on which a service's document is written and applied.
type EditorView struct {
	Page     ui.Page
	Name     string // of the service; "" for a new one
	Path     string // "/services/inventory-sync"
	Document string // the text as it stands, perhaps a draft
	Live     string // the document in force; empty for a new service
	Revision int    // of the document in force
	ETag     string // sent back with the form, so that nobody's change is overwritten
	Saved    string // "Draft saved 2 min ago"; empty
	Problems []ui.ErrorItem
	Plan     *PlanView // after a dry run
	Outline  []OutlineItem
	MayApply bool
	Why      string
}

// PlanView is what applying the document would do.
type PlanView struct {
	Creates   int64
	Updates   int64
	Deletes   int64
	Conflicts int64
	Equal     int64
	Cost      ui.Money // of the first run, an estimate
	Changes   []string // what changes in behaviour: "price: a person decides, was warehouse wins"
	Warnings  []string
	Brake     string // set when the change-volume brake holds the plan
}

// OutlineItem is one part of the document to jump to.
type OutlineItem struct {
	Label string
	Line  int
}

func (v EditorView) title() string {
	if v.Name == "" {
		return "New service"
	}
	return "Edit " + v.Name
}

func (v EditorView) liveLabel() string { return "In force, revision " + itoa(v.Revision) }
