// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// ServicesView is the list of services.
type ServicesView struct {
	Page      ui.Page
	Filter    ui.FilterBar
	Services  []ServiceLine
	Pager     ui.Pager
	Filtered  bool // nothing matches because of the filter, not because there is nothing
	MayCreate bool
}

// ServiceView is the page of one service.
type ServiceView struct {
	Page      ui.Page
	ID        string // "svc_01JDCQ": what the live stream names
	Name      string
	Path      string // "/services/inventory-sync"
	State     string
	Text      string // what the service does, in one sentence, when its document says so
	Schedule  string // "realtime, swept every 15 minutes"
	Direction string
	Revision  int
	Owner     string
	Tab       string // "overview", "runs", "revisions"
	Counts    ServiceCounts
	Stats     []ui.Stat
	Topology  ui.Topology
	Progress  *ui.Progress // of a run that takes long; nil when there is none
	Notices   []ui.Alert   // what is wrong, most urgent first
	Feed      []ui.FeedItem
	Runs      []RunLine
	Facts     []ui.KeyValue
	Mapping   []MappingLine
	Snippets  []ui.Code // the same by curl, CLI and YAML
	MayEdit   bool
	Why       string // why not, when MayEdit is false: "Your role is viewer"
}

// ServiceCounts are the numbers at the tabs.
type ServiceCounts struct {
	Conflicts   int64
	DeadLetters int64
	Revisions   int64
}

// RunLine is one run in a list.
type RunLine struct {
	ID      string
	Href    string
	Service string // empty on the service's own page
	State   string
	Trigger string // "change feed", "schedule", a person's name
	Created int64
	Updated int64
	Deleted int64
	Skipped int64
	Failed  int64
	Started time.Time
	Took    time.Duration
}

// MappingLine is one field of the entity and what it is called in each system, in the order of Systems.
type MappingLine struct {
	Field   string
	Rule    string // who wins, when it is not the rule of the service
	Systems []string
}

func (v ServiceView) tabs() ui.Tabs {
	return ui.Tabs{Label: "Service", Items: []ui.Tab{
		{Label: "Overview", Href: v.Path, Current: v.Tab == "" || v.Tab == "overview"},
		{Label: "Runs", Href: v.Path + "/runs", Current: v.Tab == "runs"},
		{Label: "Records", Href: "/records?service=" + v.Name},
		{Label: "Conflicts", Href: "/conflicts?service=" + v.Name, Count: v.Counts.Conflicts, Tone: ui.Split},
		{Label: "Dead letters", Href: "/dead-letters?service=" + v.Name, Count: v.Counts.DeadLetters, Tone: ui.Bad},
		{Label: "Revisions", Href: v.Path + "/revisions", Current: v.Tab == "revisions", Count: v.Counts.Revisions},
	}}
}

func (v ServiceView) systemNames() []string {
	var names []string
	for _, n := range v.Topology.Systems {
		names = append(names, n.ID)
	}
	return names
}

func (r RunLine) changes() int64 { return r.Created + r.Updated + r.Deleted }

func (r RunLine) detail() string {
	return "+" + ui.Number(r.Created) + "  ~" + ui.Number(r.Updated) + "  −" + ui.Number(r.Deleted)
}
