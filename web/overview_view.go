// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// OverviewView is what the overview shows.
type OverviewView struct {
	Page      ui.Page
	Range     string    // "24h" or "7d"
	Checklist []ui.Line // the first steps; empty once they are done or put away
	Demo      bool      // the demo tenant: it syncs already
	Needs     []ui.Line // what needs a person today, most urgent first
	Health    []HealthCount
	Figures   Figures
	Activity  ui.BarChart
	Services  []ServiceLine
	All       int64 // services there are; more than are shown
	Next      []NextRun
	Feed      []ui.FeedItem
	MayRead   bool // the contents of records
	MayCreate bool // services
}

// HealthCount is how many services are in one state against their schedule.
type HealthCount struct {
	Word  string // "on_time", "on_track", "delayed", "action_required", "paused", "never_run"
	Count int64
	Href  string
}

// Figures are the numbers of the overview.
type Figures struct {
	Applied      int64 // changes applied in the range
	AppliedSpark []float64
	Failed       int64
	Lag          time.Duration // average, from a change at its origin to the receipt of the other system
	LagMax       time.Duration
	LagSpark     []float64 // milliseconds
	Conflicts    int64     // open
	OldestOpen   time.Time
	DeadLetters  int64    // open
	Cost         ui.Money // month to date
	CostNote     string   // "2,104 sync operations"
	Operations   int64    // sync operations, month to date; shown to those who may not see amounts
	HideCost     bool
}

// ServiceLine is one service in a list.
type ServiceLine struct {
	ID        string
	Name      string
	Href      string
	Direction string // "bi-directional"
	Systems   []SystemRef
	State     string        // state word
	Health    string        // against its schedule, state word
	Lag       time.Duration // average of the last hour with changes; negative when there was none
	LastRun   time.Time     // when it last read a change
	NextRun   time.Time     // zero for realtime
	Realtime  bool
	Conflicts int64
	Dead      int64
	By        string    // who changed its document last
	Spark     []float64 // changes per hour, last 24 hours
	Records   int64
}

// SystemRef is a system's place in a service.
type SystemRef struct {
	ID   string
	Type string
}

// NextRun is a run that is due.
type NextRun struct {
	Service string
	Href    string
	At      time.Time
	What    string // "every 15 minutes"
}

func (f Figures) strip() ui.Stats {
	lag := ui.Stat{Label: "Lag, average", Icon: "gauge", Value: "none", Note: "no change was delivered"}
	if f.Lag > 0 {
		value, unit, _ := strings.Cut(ui.Span(f.Lag), " ")
		lag.Value, lag.Unit, lag.Note = value, unit, "slowest "+ui.Span(f.LagMax)
		lag.Spark = &ui.Sparkline{Values: f.LagSpark, Label: "Average lag over the range, now " + ui.Span(f.Lag), Tone: ui.Info}
	}
	month := ui.Stat{Label: "This month", Icon: "receipt", Value: f.Cost.String(), Note: f.CostNote, Href: "/usage"}
	if f.HideCost {
		month.Value, month.Unit, month.Note = ui.Number(f.Operations), "operations", ""
	}
	s := ui.Stats{Items: []ui.Stat{
		{
			Label: "Changes applied", Icon: "refresh-cw", Value: ui.Number(f.Applied), Note: refusedNote(f.Failed),
			Spark: &ui.Sparkline{Values: f.AppliedSpark, Label: "Changes applied over the range, " + ui.Number(f.Applied) + " in all"},
		},
		lag,
		{Label: "Open conflicts", Icon: "split", Tone: ui.Split, Value: ui.Number(f.Conflicts), Note: "wait for a decision", Href: "/conflicts"},
		{Label: "Dead letters", Icon: "inbox", Tone: ui.Bad, Value: ui.Number(f.DeadLetters), Note: "wait for a person", Href: "/dead-letters"},
		month,
	}}
	switch f.Conflicts {
	case 0:
		s.Items[2].Tone, s.Items[2].Note = ui.OK, "all decided"
	case 1:
		s.Items[2].Note = "waits for a decision"
	}
	if f.DeadLetters == 0 {
		s.Items[3].Tone, s.Items[3].Note = ui.OK, "nothing was refused"
	}
	return s
}

func refusedNote(n int64) string {
	if n == 0 {
		return "none refused"
	}
	return ui.Number(n) + " refused"
}

func directionIcon(direction string) string {
	switch direction {
	case "unidirectional":
		return "arrow-right"
	case "multi-directional":
		return "network"
	}
	return "arrow-left-right"
}

func (s ServiceLine) issues() int64 { return s.Conflicts + s.Dead }

func (s ServiceLine) lagText() string {
	if s.Lag < 0 {
		return "none yet"
	}
	return ui.Span(s.Lag)
}

func (s ServiceLine) spark() ui.Sparkline {
	var sum float64
	for _, v := range s.Spark {
		sum += v
	}
	return ui.Sparkline{Values: s.Spark, Label: "Changes in the last 24 hours: " + ui.Number(int64(sum))}
}

func healthTitle(counts []HealthCount) string {
	var n int64
	for _, c := range counts {
		n += c.Count
	}
	return ui.Count(n, "service", "services")
}

func itoa(n int) string { return strconv.Itoa(n) }
