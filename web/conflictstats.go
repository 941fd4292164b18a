// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

// ConflictStatsView is how often systems disagree, about what, and whether decisions hold.
type ConflictStatsView struct {
	Page       ui.Page
	Tabs       ui.Tabs
	Ranges     ui.Segments
	Services   ui.Select
	Stats      ui.Stats
	Trend      ui.BarChart
	Fields     ui.DataTable
	Pairs      ui.DataTable
	People     ui.DataTable
	Strategies ui.DataTable
	Alerts     ui.DataTable // that the documents asked for
	None       bool
	Days       string // what the span is, kept by the forms

	Try     TryStrategy
	Replay  *ReplayView // nil until something is tried
	TryNote string      // why nothing can be tried
}

// TryStrategy is the form of what-if.
type TryStrategy struct {
	Service, Strategy, Field, Expression string
	Options                              []ui.Option
	Error                                string
}

// ReplayView is what another strategy would have made of past conflicts.
type ReplayView struct {
	Stats   ui.Stats
	Changes []ReplayLine
	Looked  int64
}

// ReplayLine is one conflict with another outcome.
type ReplayLine struct {
	Href, Record, Field, Was, Would, Reason string
}

var conflictRanges = []int{7, 30, 90}

// most is how many lines a table of statistics shows.
const mostLines = 12

func (h *Handler) conflictStats(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	all, err := v.lineup()
	if err != nil {
		return err
	}
	days := 30
	if d, err := strconv.Atoi(v.query("days")); err == nil && slices.Contains(conflictRanges, d) {
		days = d
	}
	var span engine.ConflictSpan
	span.Since = v.now.AddDate(0, 0, -days)
	chosen, one := all.named(v.query("service"))
	if one {
		span.Service = chosen.ID
	}
	st, err := h.Reader.ConflictStatistics(v.ctx(), v.who, span)
	if err != nil {
		return err
	}
	open, _, err := h.Reader.CountOpen(v.ctx(), v.who, service.ID{})
	if err != nil {
		return err
	}
	view := ConflictStatsView{Tabs: conflictTabs(open, false), Days: strconv.Itoa(days), None: st.Opened == 0, Services: all.choice(v.query("service"))}
	for i := range view.Tabs.Items {
		view.Tabs.Items[i].Current = view.Tabs.Items[i].Href == conflictStatsPath
	}
	view.Ranges.Label = "Range"
	for _, d := range conflictRanges {
		q := url.Values{"days": {strconv.Itoa(d)}}
		if one {
			q.Set("service", chosen.Name)
		}
		view.Ranges.Options = append(view.Ranges.Options, ui.Segment{Label: strconv.Itoa(d) + " d", Href: address(conflictStatsPath, q), Current: d == days})
	}
	view.fill(st, days)
	alerts, err := h.Reader.ConflictAlerts(v.ctx(), v.who, engine.AlertQuery{Service: span.Service, Since: span.Since, Limit: mostLines})
	if err != nil {
		return err
	}
	view.Alerts = ui.DataTable{Caption: "Conflict alerts", Head: []string{"When", "Service", "Field", "Conflicts", "Told from"}, Numbers: 3, Scroll: true}
	for _, a := range alerts {
		field := "any"
		if a.Field != nil {
			field = fieldName(*a.Field)
		}
		view.Alerts.Rows = append(view.Alerts.Rows, []string{a.At.UTC().Format("2 Jan 15:04") + " UTC", a.ServiceName, field, ui.Number(a.Conflicts), ui.Number(int64(a.Count)) + " within " + ui.Span(a.Within)})
	}
	if err := v.tryStrategy(&view, chosen, one); err != nil {
		return err
	}
	if view.Page, err = v.shell("Conflict statistics", "/conflicts", "Conflicts", "/conflicts", "Statistics"); err != nil {
		return err
	}
	return v.render(ConflictStatsPage(view))
}

// portion is a part of a whole in words; "" of nothing.
func portion(part, of int64) string {
	if of == 0 {
		return ""
	}
	return strconv.FormatInt((part*100+of/2)/of, 10) + "%"
}

func (view *ConflictStatsView) fill(st engine.ConflictStatistics, days int) {
	decided := st.ByRule + st.ByPerson
	waited := "nobody had to"
	if st.ByPerson > 0 {
		waited = ui.Span(st.Waited) + " to a decision"
	}
	view.Stats = ui.Stats{Items: []ui.Stat{
		{Label: "Conflicts", Icon: "split", Tone: ui.Split, Value: ui.Number(st.Opened), Note: "in " + strconv.Itoa(days) + " days"},
		{Label: "Decided by rules", Icon: "circle-check", Tone: ui.OK, Value: ui.Number(st.ByRule), Note: portion(st.ByRule, st.Opened)},
		{Label: "Decided by people", Icon: "users", Value: ui.Number(st.ByPerson), Note: waited},
		{Label: "Overturned later", Icon: "rotate-ccw", Tone: ui.Warn, Value: ui.Number(st.Overturned), Note: portion(st.Overturned, decided)},
	}}
	view.Trend = ui.BarChart{ID: "conflict-trend", Title: "Conflicts by day", Unit: "conflicts per day", Series: []ui.Series{{Name: "by rules", Tone: ui.OK}, {Name: "by people", Tone: ui.Info}, {Name: "waiting", Tone: ui.Split}}}
	byDay := make(map[time.Time]engine.ConflictDay)
	for _, d := range st.Days {
		byDay[d.Day] = d
	}
	last := st.Until.UTC().Truncate(24 * time.Hour)
	for i := days - 1; i >= 0; i-- {
		day := last.AddDate(0, 0, -i)
		d := byDay[day]
		view.Trend.Bars = append(view.Trend.Bars, ui.Bar{Label: day.Format("2 Jan"), Tick: i%max(1, days/6) == 0, Parts: []int64{d.Ruled, d.ByPerson, d.Waiting}})
	}
	view.Fields = ui.DataTable{Caption: "Fields that systems disagree about", Head: []string{"Field", "Service", "Conflicts", "Waiting"}, Numbers: 2}
	for i, f := range st.Fields {
		if i < mostLines {
			view.Fields.Rows = append(view.Fields.Rows, []string{fieldName(f.Field), f.ServiceName, ui.Number(f.Count), ui.Number(f.Open)})
		}
	}
	view.Pairs = ui.DataTable{Caption: "Systems that disagree", Head: []string{"Systems", "Conflicts", "First won", "Second won"}, Numbers: 1}
	for i, p := range st.Pairs {
		if i < mostLines {
			view.Pairs.Rows = append(view.Pairs.Rows, []string{systemName(p.A) + " and " + systemName(p.B), ui.Number(p.Count), ui.Number(p.WonA), ui.Number(p.WonB)})
		}
	}
	view.People = ui.DataTable{Caption: "Who decides", Head: []string{"Person", "Decided", "Time to a decision", "Overturned"}, Numbers: 1}
	for i, p := range st.People {
		if i < mostLines {
			view.People.Rows = append(view.People.Rows, []string{p.Name, ui.Number(p.Decided), ui.Span(p.Waited), ui.Number(p.Overturned)})
		}
	}
	view.Strategies = ui.DataTable{Caption: "Whether decisions hold", Head: []string{"Strategy", "Decided", "Overturned", "Share"}, Numbers: 1}
	for _, s := range st.Strategies {
		view.Strategies.Rows = append(view.Strategies.Rows, []string{string(s.Strategy), ui.Number(s.Decided), ui.Number(s.Overturned), portion(s.Overturned, s.Decided)})
	}
}

const conflictStatsPath = "/conflicts/statistics"

// tryStrategy replays past conflicts when the form asks for it.
func (v *visit) tryStrategy(view *ConflictStatsView, chosen service.Service, one bool) error {
	if !one {
		view.TryNote = "Choose a service above: strategies are tried on one service's conflicts."
		return nil
	}
	try := TryStrategy{Service: chosen.Name, Strategy: v.query("strategy"), Field: v.query("field"), Expression: v.query("expression")}
	words := []string{"lastWriteWins", "firstWriteWins", "sourceWins", "targetWins", "weighted", "merge", "average", "custom"}
	_, revision, err := v.h.Services.Get(v.ctx(), v.who, chosen.ID.Public())
	if err != nil {
		return err
	}
	if doc := revision.Document; doc != nil {
		for _, id := range doc.SystemIDs() {
			words = append(words, id+"-wins")
		}
	}
	for _, w := range words {
		try.Options = append(try.Options, ui.Option{Value: w, Label: w})
	}
	if try.Strategy != "" {
		since := v.now.AddDate(0, 0, -90)
		r, err := v.h.Reader.ReplayConflicts(v.ctx(), v.who, chosen.ID, service.FieldResolution{Strategy: try.Strategy, Expression: try.Expression}, try.Field, since)
		switch {
		case err == nil:
			view.Replay = replayView(r)
		case refused(err):
			_, try.Error = errorsAt(err)
		default:
			return err
		}
	}
	view.Try = try
	return nil
}

func replayView(r engine.Replay) *ReplayView {
	out := &ReplayView{Looked: r.Conflicts, Stats: ui.Stats{Items: []ui.Stat{
		{Label: "Conflicts tried", Icon: "split", Tone: ui.Split, Value: ui.Number(r.Conflicts), Note: "of the last 90 days"},
		{Label: "The same outcome", Icon: "circle-check", Tone: ui.OK, Value: ui.Number(r.Same), Note: portion(r.Same, r.Conflicts)},
		{Label: "Another outcome", Icon: "rotate-ccw", Tone: ui.Warn, Value: ui.Number(r.Different), Note: portion(r.Different, r.Conflicts)},
		{Label: "Spared to people", Icon: "users", Value: ui.Number(r.Decided), Note: ui.Number(r.Agreed) + " as they decided"},
	}}}
	for _, c := range r.Changes {
		l := ReplayLine{Href: "/conflicts/" + ident.Format(ident.Conflict, c.ID), Record: caseTitle(c.Case), Field: fieldName(c.Field), Was: "waits for a person",
			Would: "would wait for a person", Reason: c.Would.Reason}
		if !c.Open {
			l.Was = record.Text(c.Result)
		}
		if !c.Would.Open {
			l.Would = record.Text(c.Would.Value)
		}
		out.Changes = append(out.Changes, l)
	}
	return out
}
