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
	Refresh   string // the list's own address
	Filtered  bool   // nothing matches because of the filter, not because there is nothing
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
	Schedule  string // "as changes happen"
	Direction string
	Revision  int
	By        string // who changed its document last
	Tab       string // "overview", "runs", "revisions"
	Counts    ServiceCounts
	Stats     []ui.Stat
	Proof     ProofBadge
	Topology  ui.Topology
	Progress  *ui.Progress // of a run that takes long; nil when there is none
	Notices   []ui.Alert   // what is wrong, most urgent first
	Feed      []ui.FeedItem
	Runs      []RunLine
	Systems   []SystemLine
	Sources   []SourceLine
	Activity  ui.BarChart // what each system took in the last hour
	Facts     []ui.KeyValue
	Fields    FieldsView
	Snippets  []ui.Code // the same by curl, CLI and YAML
	MayEdit   bool      // the document
	MayRun    bool      // run, pause, resume
	MayRead   bool      // the contents of records
	MayUndo   bool      // take changes back
}

// ServiceCounts are the numbers at the tabs.
type ServiceCounts struct {
	Conflicts   int64
	DeadLetters int64
	Revisions   int64
}

// SourceLine is a lookup service in its present period.
type SourceLine struct {
	Source  SystemRef
	Left    string      // what its limit still allows
	Facts   [][2]string // figures with their names
	Trouble string
	Code    string
	Since   time.Time
}

// SystemLine is one object of a system of the service: how its changes are seen, where reading stands, what it took lately.
type SystemLine struct {
	System    SystemRef
	Href      string // to its connection
	Object    string
	Zone      string // of its times without one, as the document says; "" where it says none
	Phase     string // "snapshot", "stream" or "" before the first read
	Detection string // "trigger"
	Why       string // why this one
	Done      int64  // records of the first read
	Total     int64
	ReadAt    time.Time
	LookEvery time.Duration // how long reading waits at present before it looks again; 0 where it does not look by itself
	NextLook  time.Time
	ChangedAt time.Time
	Trouble   string // why it does not work at the moment
	Code      string
	Since     time.Time
	Records   int64
	Pending   int64
	Work      Work // of the last hour
}

// pace says how often the object is looked at.
func (s SystemLine) pace() string {
	return "every " + s.LookEvery.Round(100*time.Millisecond).String() + " at present"
}

// Work are a system's figures over some time.
type Work struct {
	Read, Equal, Created, Updated, Deleted, Conflicts, Rejected int64
	Lag, LagMax                                                 time.Duration
	Bytes                                                       int64
}

// FieldsView are the fields of the entity and what they are called in each system.
type FieldsView struct {
	Path    string
	Waiting bool // the systems are being asked; the page fetches the part when it is there
	Systems []string
	Fields  []MappingLine
	Problem *ui.Alert
}

// MappingLine is one field of the entity and what it is called in each system, in the order of Systems.
type MappingLine struct {
	Field   string
	Rule    string // who wins, when it is not the rule of the service
	Systems []string
}

// RunLine is one run in a list.
type RunLine struct {
	ID      string
	Href    string
	Service string // empty on the service's own page
	State   string
	Kind    string // "First sync", "Scheduled", "Asked for"
	Trigger string // "schedule", a person's name
	Read    int64
	Created int64
	Updated int64
	Deleted int64
	Equal   int64
	Failed  int64
	Started time.Time
	Took    time.Duration // zero while it is not over
}

// RunsView is the list of a service's runs.
type RunsView struct {
	Service ServiceView
	Filter  ui.FilterBar
	Runs    []RunLine
	Pager   ui.Pager
	Refresh string
}

// RunView is one run.
type RunView struct {
	Page      ui.Page
	Line      RunLine
	Path      string
	Service   string // its service's id, for the live stream
	Home      string // its service's address
	Progress  *ui.Progress
	Notices   []ui.Alert
	Stats     []ui.Stat
	Systems   []RunSystem
	Facts     []ui.KeyValue
	Snippets  []ui.Code
	MayRun    bool
	MayResume bool // a backfill that can be gone on with
	MayUndo   bool // it is over, and its changes may be taken back
	Open      bool // queued or under way
	Stopping  bool
}

// RunSystem are a run's figures in one system.
type RunSystem struct {
	System SystemRef
	Work
	Owed int64
}

func (v ServiceView) tabs() ui.Tabs {
	t := ui.Tabs{Label: "Service", Items: []ui.Tab{
		{Label: "Overview", Href: v.Path, Current: v.Tab == "" || v.Tab == "overview"},
		{Label: "Runs", Href: v.Path + "/runs", Current: v.Tab == "runs"},
		{Label: "Backfills", Href: v.Path + "/backfills", Current: v.Tab == "backfills"},
	}}
	if v.MayRead {
		t.Items = append(t.Items,
			ui.Tab{Label: "Records", Href: "/records?service=" + v.Name},
			ui.Tab{Label: "Conflicts", Href: "/conflicts?service=" + v.Name, Count: v.Counts.Conflicts, Tone: ui.Split},
			ui.Tab{Label: "Dead letters", Href: "/dead-letters?service=" + v.Name, Count: v.Counts.DeadLetters, Tone: ui.Bad},
		)
	}
	if v.MayRead {
		t.Items = append(t.Items, ui.Tab{Label: "Reconciliation", Href: v.Path + "/reconciliations", Current: v.Tab == "reconciliation"})
	}
	t.Items = append(t.Items, ui.Tab{Label: "Proof", Href: v.Path + "/proof", Current: v.Tab == "proof"})
	t.Items = append(t.Items, ui.Tab{Label: "Revisions", Href: v.Path + "/revisions", Current: v.Tab == "revisions", Count: v.Counts.Revisions})
	return t
}

func (r RunLine) changes() int64 { return r.Created + r.Updated + r.Deleted }

func (r RunLine) detail() string {
	return "+" + ui.Number(r.Created) + "  ~" + ui.Number(r.Updated) + "  −" + ui.Number(r.Deleted)
}

func (r RunLine) took() string {
	if r.Took == 0 {
		return "not over"
	}
	return ui.Span(r.Took)
}

func (w Work) lag() string {
	if w.Lag == 0 {
		return "none"
	}
	return ui.Span(w.Lag)
}

// phase says in words where reading stands.
func (s SystemLine) phase() string {
	switch s.Phase {
	case "snapshot":
		if s.Total > 0 {
			return "First read, " + ui.Number(s.Done) + " of about " + ui.Number(s.Total)
		}
		return "First read"
	case "stream":
		return "Following changes"
	}
	return "Not read yet"
}
