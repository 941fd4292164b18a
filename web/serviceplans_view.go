// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/web/ui"
)

// ServicePlansView lists the plans of a service.
type ServicePlansView struct {
	Service ServiceView
	Refresh string
	Plans   []ServicePlanLine
	Pager   ui.Pager
}

// ServicePlanLine is one plan in the list.
type ServicePlanLine struct {
	ID      string
	Href    string
	Title   string
	Sub     string
	State   string
	Error   string
	By      string
	At      time.Time
	Expires time.Time
}

// ServicePlanView is what a document or a bulk run would do.
type ServicePlanView struct {
	Page      ui.Page
	Path      string
	Part      string
	ID        string
	Name      string // of the service
	Home      string // its address; "" while there is none
	Title     string
	State     string
	Open      bool // it is being made
	Stopping  bool
	Bulk      bool // of a backfill
	Later     bool // applying reads nothing anew
	Moved     bool // it was refused because the world moved on: it is looked at only
	Progress  *ui.Progress
	Failed    *ui.Alert
	Refusal   *ui.Alert // why it was not carried out
	Stats     []ui.Stat
	Seats     []PlanSeat
	Samples   []PlanSamples
	Warnings  []ui.Alert
	Changes   []ChangeLine
	Notices   []DocumentProblem
	Cost      *CostPart // nil for those who may not see it, and until it is ready
	Facts     []ui.KeyValue
	Snippets  []ui.Code
	Hash      string
	MayRead   bool
	MayPlan   bool
	MayCancel bool
	MayApply  bool
}

// PlanSeat are the figures of one object of one system.
type PlanSeat struct {
	engine.ForeseenSeat
	System    SystemRef
	Object    string
	Read      bool
	Detection string
	Why       string
	Cost      ui.Money // of its writes
}

// PlanSamples are examples of one kind.
type PlanSamples struct {
	Title string
	Text  string
	Tone  ui.Tone
	Lines []PlanSample
}

// PlanSample is one record and what would become of it.
type PlanSample struct {
	System SystemRef
	Object string
	Key    string
	Title  string
	Why    string
	Diff   ui.Diff
}

// applies says what the deciding button does.
func (view ServicePlanView) applies() string {
	if view.Bulk {
		return "Carry out this plan"
	}
	return "Apply this plan"
}

func (view ServicePlanView) text() string {
	switch {
	case view.Open:
		return "It is being found out. Nothing is written to any system, and no record of the service changes."
	case view.Later:
		return "Applying it reads nothing anew: it counts for each record from its next change on. The figures are what reading all records again would do."
	}
	return "Nothing has been done yet. Carried out is exactly this, or nothing."
}

// quarantined is how many records cannot be carried.
func (s PlanSeat) quarantined() int64 { return s.Invalid + s.Unsendable }
