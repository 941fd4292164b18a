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
	Needs     []ui.Line // what needs a person today, most urgent first
	Health    []HealthCount
	Figures   Figures
	Activity  ui.BarChart
	Services  []ServiceLine
	Next      []NextRun
	Feed      []ui.FeedItem
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
	AppliedDelta string // "+12% against the day before"
	Failed       int64
	LagP50       time.Duration
	LagP95       time.Duration
	LagSpark     []float64
	Conflicts    int64 // open
	OldestOpen   time.Time
	DeadLetters  int64
	Cost         ui.Money // month to date
	CostLimit    string   // "of $1,000 budget"; empty without a budget
	CostUsed     float64  // for the bar
	CostBudget   float64
}

// ServiceLine is one service in a list.
type ServiceLine struct {
	ID        string
	Name      string
	Href      string
	Direction string // "bi-directional"
	Systems   []SystemRef
	State     string // state word
	Health    string // against its schedule, state word
	LagP50    time.Duration
	LagP95    time.Duration
	LastRun   time.Time
	NextRun   time.Time // zero for realtime
	Realtime  bool
	Conflicts int64
	Dead      int64
	Owner     string
	Tags      []string
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
	lagValue, lagUnit, _ := strings.Cut(ui.Span(f.LagP50), " ")
	s := ui.Stats{Items: []ui.Stat{
		{
			Label: "Changes applied", Icon: "refresh-cw", Value: ui.Number(f.Applied), Note: f.AppliedDelta,
			Spark: &ui.Sparkline{Values: f.AppliedSpark, Label: "Changes applied over the range, " + ui.Number(f.Applied) + " in all"},
		},
		{
			Label: "Lag, median", Icon: "gauge", Value: lagValue, Unit: lagUnit, Note: "95 of 100 within " + ui.Span(f.LagP95),
			Spark: &ui.Sparkline{Values: f.LagSpark, Label: "Median lag over the range, now " + ui.Span(f.LagP50), Tone: ui.Info},
		},
		{Label: "Open conflicts", Icon: "split", Tone: ui.Split, Value: ui.Number(f.Conflicts), Href: "/conflicts"},
		{Label: "Dead letters", Icon: "inbox", Tone: ui.Bad, Value: ui.Number(f.DeadLetters), Note: ui.Count(f.Failed, "delivery refused", "deliveries refused") + " in this range", Href: "/dead-letters"},
		{Label: "This month", Icon: "receipt", Value: f.Cost.String(), Note: f.CostLimit, Href: "/usage"},
	}}
	if f.Conflicts == 0 {
		s.Items[2].Tone, s.Items[2].Note = ui.OK, "all decided"
	} else if !f.OldestOpen.IsZero() {
		s.Items[2].Note = "waiting for a decision"
	}
	if f.CostBudget > 0 {
		s.Items[4].Bar = &ui.Budget{Label: "Budget", Used: f.CostUsed, Limit: f.CostBudget, Text: f.Cost.String() + " " + f.CostLimit}
	}
	return s
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
	if s.LastRun.IsZero() {
		return "none yet"
	}
	return ui.Span(s.LagP50)
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
