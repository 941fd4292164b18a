// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

// present is how a service does at this moment, read for one page.
type present struct {
	*visit
	s        subject
	o        engine.Overview
	st       state // only its span
	statuses map[record.System]engine.SystemStatus
	minutes  []engine.Minute          // of the last hour
	ill      map[string]health        // of connections, by system id
	dead     map[record.System]int64  // dead letters by system
	delay    time.Duration            // how far the service is behind
	behind   record.System            // the system that it is furthest behind in
	work     map[record.System]Work   // made from minutes
	recent   map[record.System][2]int // read and written in the last five minutes
}

// health is a connection's.
type health struct {
	name   string
	state  string
	reason string
}

// askConnections finds the health of each system's connection, as far as the visitor may see it.
func (p *present) askConnections() error {
	if !p.can(auth.ViewConnections) {
		return nil
	}
	for _, id := range p.s.doc.SystemIDs() {
		name := p.s.doc.ConnectionName(id)
		c, err := p.h.Connections.Get(p.ctx(), p.who, name)
		switch {
		case fault.KindOf(err) == fault.NotFound: // the document is a draft, or the service archived
		case err != nil:
			return err
		default:
			p.ill[id] = health{c.Name, string(c.State), c.Reason}
		}
	}
	return nil
}

// window is the time over which rates are taken: long enough to be steady, short enough to be the present.
const window = 5 * time.Minute

func (p *present) sum() {
	if p.work != nil {
		return
	}
	p.work, p.recent = map[record.System]Work{}, map[record.System][2]int{}
	lag, lags := map[record.System]int64{}, map[record.System]int64{}
	for _, m := range p.minutes {
		w := p.work[m.System]
		w.Read += m.Read
		w.Equal += m.Equal
		w.Created += m.Created
		w.Updated += m.Updated
		w.Deleted += m.Deleted
		w.Conflicts += m.Conflicts
		w.Rejected += m.Rejected
		w.Bytes += m.Bytes
		w.LagMax = max(w.LagMax, time.Duration(m.LagMaxMs)*time.Millisecond)
		lag[m.System] += m.LagMs
		lags[m.System] += m.LagCount
		if lags[m.System] > 0 {
			w.Lag = time.Duration(lag[m.System]/lags[m.System]) * time.Millisecond
		}
		p.work[m.System] = w
		if p.now.Sub(m.At) < window {
			r := p.recent[m.System]
			r[0] += int(m.Read - m.Equal)
			r[1] += int(m.Created + m.Updated + m.Deleted)
			p.recent[m.System] = r
		}
	}
}

// notices are what is wrong, or stands still on purpose.
func (p *present) notices(view *ServiceView) (out []ui.Alert) {
	switch p.s.State {
	case service.ActionRequired:
		a := ui.Alert{Tone: ui.Warn, Title: "It stopped and waits for you", Text: p.s.Reason}
		if p.can(auth.RunServices) {
			a.Actions = ui.Fragments{ui.Button{Label: "Resume", Size: "sm", Icon: "play", Attrs: map[string]any{"hx-post": view.Path + ":resume", "hx-target": "#service-head", "hx-swap": "outerMorph"}}}
		}
		out = append(out, a)
	case service.Paused:
		out = append(out, ui.Alert{Tone: ui.Info, Title: "Paused", Text: "Changes wait in the systems and are applied when it is resumed. Nothing is lost.", Since: p.s.UpdatedAt})
	case service.Draft:
		out = append(out, ui.Alert{Tone: ui.Info, Title: "A draft", Text: "Nothing is read or written until its document is applied."})
	case service.Archived:
		out = append(out, ui.Alert{Tone: ui.Info, Title: "Archived", Text: "Its systems are not kept equal any more. Resuming it reads everything again.", Since: p.s.UpdatedAt})
	}
	if p.s.State != service.Active && p.s.State != service.ActionRequired {
		return out
	}
	if p.s.doc.Late(p.delay) {
		out = append(out, ui.Alert{
			Tone: ui.Warn, Title: string(p.behind) + " is later than the document allows", Since: p.now.Add(-p.delay),
			Text: "A change may be owed for " + ui.Span(p.s.doc.MaxDelay()) + ". It is sent as soon as that is possible; nothing is lost.",
		})
	}
	for _, t := range p.o.Failing {
		a := ui.Alert{Tone: ui.Bad, Title: string(t.System) + " does not work", Text: t.Message + " It is tried again by itself; what it is owed waits.", Code: t.Code, Since: t.Since}
		if c, ok := p.ill[string(t.System)]; ok {
			a.Actions = ui.Fragments{ui.Button{Label: "Open connection", Size: "sm", Href: connectionPath(c.name)}}
		}
		out = append(out, a)
	}
	for _, id := range p.s.doc.SystemIDs() {
		c := p.ill[id]
		failing := slices.ContainsFunc(p.o.Failing, func(t engine.Trouble) bool { return string(t.System) == id })
		if !failing && (c.state == string(connection.Expired) || c.state == string(connection.Revoked)) {
			out = append(out, ui.Alert{
				Tone: ui.Bad, Title: "The connection " + c.name + " is " + c.state, Text: c.reason,
				Actions: ui.Fragments{ui.Button{Label: "Open connection", Size: "sm", Href: connectionPath(c.name)}},
			})
		}
	}
	return out
}

func (p *present) stats() []ui.Stat {
	p.sum()
	word := string(p.o.Health(p.s.Service, p.now))
	tone := ui.StateTone(word)
	does := ui.Stat{Label: "Against its schedule", Icon: "calendar", Tone: tone, Value: ui.Words(word), Note: "no change read yet"}
	if !p.o.ChangedAt.IsZero() {
		does.Note = "last change " + ui.Ago(p.o.ChangedAt, p.now, p.zone)
	}
	if p.s.NextRunAt != nil {
		does.Note = "next run " + ui.Ago(*p.s.NextRunAt, p.now, p.zone)
	}
	lag := ui.Stat{Label: "Lag, last hour", Icon: "gauge", Value: "none", Note: "no change was delivered"}
	var ms, of int64
	var slowest time.Duration
	line := make([]float64, 12) // by five minutes
	weights := make([]int64, 12)
	for _, m := range p.minutes {
		ms, of, slowest = ms+m.LagMs, of+m.LagCount, max(slowest, time.Duration(m.LagMaxMs)*time.Millisecond)
		if i := 11 - int(p.now.Sub(m.At)/window); i >= 0 && i < 12 {
			line[i] += float64(m.LagMs)
			weights[i] += m.LagCount
		}
	}
	for i, w := range weights {
		if w > 0 {
			line[i] /= float64(w)
		}
	}
	if of > 0 {
		average := time.Duration(ms/of) * time.Millisecond
		value, unit, _ := strings.Cut(ui.Span(average), " ")
		lag.Value, lag.Unit, lag.Note = value, unit, "average; slowest "+ui.Span(slowest)
		lag.Spark = &ui.Sparkline{Values: line, Label: "Average lag in the last hour, now " + ui.Span(average), Tone: ui.Info}
	}
	applied := ui.Stat{Label: "Applied, 24 h", Icon: "refresh-cw", Value: ui.Number(p.o.Applied), Note: refusedNote(p.o.Rejected)}
	spark := ui.Sparkline{Label: "Changes applied per hour, last 24 hours: " + ui.Number(p.o.Applied) + " in all"}
	for _, b := range p.st.series(p.o) {
		spark.Values = append(spark.Values, float64(b.Applied))
	}
	applied.Spark = &spark
	owed := ui.Stat{Label: "Owed", Icon: "clock", Value: ui.Number(p.o.Owed), Note: "all systems are up to date"}
	if p.o.Owed > 0 {
		owed.Note, owed.Tone = "the oldest for "+ui.Span(p.now.Sub(p.o.OwedSince)), ui.Info
	}
	issues := ui.Stat{Label: "Open issues", Icon: "split", Tone: ui.OK, Value: ui.Number(p.o.Conflicts + p.o.DeadLetters), Note: "no conflict, no dead letter"}
	if p.o.Conflicts+p.o.DeadLetters > 0 {
		issues.Tone = ui.Split
		issues.Note = ui.Count(p.o.Conflicts, "conflict", "conflicts") + ", " + ui.Count(p.o.DeadLetters, "dead letter", "dead letters")
		issues.Href = p.ifMay(auth.ViewRecords, "/conflicts?service="+p.s.Name)
		if p.o.Conflicts == 0 {
			issues.Tone, issues.Href = ui.Bad, p.ifMay(auth.ViewRecords, "/dead-letters?service="+p.s.Name)
		}
	}
	return []ui.Stat{does, lag, applied, owed, p.consistency(), issues}
}

// consistency is the guarantee that the document asks for, and how far the service is behind.
func (p *present) consistency() ui.Stat {
	out := ui.Stat{Label: "Consistency", Icon: "layers", Tone: ui.OK, Value: ui.Words(p.s.doc.ConsistencyLevel()), Note: "nothing is behind"}
	if p.delay > 0 {
		out.Tone, out.Note = ui.Info, string(p.behind)+" is "+ui.Span(p.delay)+" behind"
	}
	if most := p.s.doc.MaxDelay(); most > 0 {
		out.Note += "; " + ui.Span(most) + " allowed"
	}
	if p.s.doc.Late(p.delay) {
		out.Tone, out.Unit = ui.Bad, "late"
	}
	return out
}

// stateOf is the state word of a system: its connection's, unless the engine knows better.
func (p *present) stateOf(id string) string {
	for _, t := range p.o.Failing {
		if string(t.System) == id {
			if s := p.ill[id].state; s == string(connection.Expired) || s == string(connection.Revoked) {
				return s
			}
			return string(connection.Degraded)
		}
	}
	if s := p.ill[id].state; s != "" && s != string(connection.Unchecked) {
		return s
	}
	if p.o.ReadAt.IsZero() {
		return string(connection.Unchecked)
	}
	return string(connection.Healthy)
}

func (p *present) topology() ui.Topology {
	p.sum()
	doc := p.s.doc
	t := ui.Topology{ID: "topology", Hub: ui.Hub{
		Name: p.hubName(), Entities: p.o.Records, Conflicts: p.o.Conflicts,
		Href: p.ifMay(auth.ViewRecords, "/records?service="+p.s.Name), Issues: p.ifMay(auth.ViewRecords, "/conflicts?service="+p.s.Name),
	}}
	ids := doc.SystemIDs()
	receives := map[string]bool{}
	for _, id := range ids {
		for _, to := range doc.SystemsReceiving(id, "") {
			receives[to] = true
		}
	}
	for _, s := range doc.Systems {
		id := record.System(s.ID)
		n := ui.Node{
			ID: s.ID, Type: s.Type, Object: objectNames(doc, s.ID), Href: p.systemHref(s.ID), State: p.stateOf(s.ID),
			Paused: p.s.State != service.Active, Primary: s.Primary, Owed: p.statuses[id].Owed, Dead: p.dead[id],
			Reads: len(doc.SystemsReceiving(s.ID, "")) > 0, Writes: receives[s.ID],
			In: float64(p.recent[id][0]) / window.Seconds(), Out: float64(p.recent[id][1]) / window.Seconds(),
		}
		for _, count := range p.statuses[id].Links {
			n.Records += count
		}
		// A system's lag is how long its changes take to the others; it is counted where they arrive.
		var sum time.Duration
		var of int
		for _, other := range ids {
			if w := p.work[record.System(other)]; other != s.ID && w.Lag > 0 {
				sum, of = sum+w.Lag, of+1
			}
		}
		if of > 0 {
			n.Lag = sum / time.Duration(of)
		}
		t.Systems = append(t.Systems, n)
	}
	return t
}

// systemHref leads to the system's connection; for readers who may not go there, to the table below.
func (p *present) systemHref(id string) string {
	if c, ok := p.ill[id]; ok {
		return connectionPath(c.name)
	}
	return "#service-systems"
}

// hubName is what the records are called.
func (p *present) hubName() string {
	all := slices.DeleteFunc(p.s.doc.Collections(), func(c service.Collection) bool { return !c.Shared() })
	switch {
	case len(all) == 1 && all[0].Model != "":
		return all[0].Model
	case len(all) > 1:
		return fmt.Sprintf("%d collections", len(all))
	}
	return "records"
}

func objectNames(doc *service.Document, system string) string {
	var names []string
	for _, o := range doc.ObjectsOf(system) {
		names = append(names, o.Name)
	}
	return strings.Join(names, ", ")
}

// systems tells of each object of each system.
func (p *present) systems() (out []SystemLine) {
	p.sum()
	for _, s := range p.s.doc.Systems {
		id := record.System(s.ID)
		status := p.statuses[id]
		line := SystemLine{System: SystemRef{s.ID, s.Type}, Object: objectNames(p.s.doc, s.ID), Zone: s.TimeZone, Work: p.work[id], Pending: status.Owed}
		if c, ok := p.ill[s.ID]; ok {
			line.Href = connectionPath(c.name)
		}
		for _, n := range status.Links {
			line.Records += n
		}
		if len(status.Flows) == 0 {
			out = append(out, line)
			continue
		}
		for i, f := range status.Flows {
			l := line
			l.Object, l.Phase, l.Detection, l.Why, l.Done, l.Total = string(f.Object), string(f.Phase), f.Detection, f.Why, f.Done, f.Total
			l.ReadAt, l.ChangedAt = timeOf(f.ReadAt), timeOf(f.ChangedAt)
			l.LookEvery, l.NextLook = f.LookEvery, timeOf(f.NextLookAt)
			if f.FailingSince != nil {
				l.Trouble, l.Code, l.Since = f.Error, f.ErrorCode, *f.FailingSince
			}
			if i > 0 { // figures are kept by system
				l.Work, l.Records, l.Pending = Work{}, 0, 0
			}
			out = append(out, l)
		}
	}
	return out
}

// seriesTones tell systems apart in a chart; a word stands beside each.
var seriesTones = []ui.Tone{ui.Accent, ui.Split, ui.Warn, ui.Info, ui.OK, ui.Bad}

// activity is what each system took, by two minutes of the last hour.
func (p *present) activity() ui.BarChart {
	const bars, each = 30, 2 * time.Minute
	c := ui.BarChart{ID: "service-activity", Title: "Changes applied to each system, last hour", Unit: "changes per 2 min", Height: 120}
	index := map[record.System]int{}
	for i, id := range p.s.doc.SystemIDs() {
		index[record.System(id)] = i
		c.Series = append(c.Series, ui.Series{Name: id, Tone: seriesTones[i%len(seriesTones)]})
	}
	start := p.now.Truncate(each).Add(-(bars - 1) * each)
	for i := range bars {
		at := start.Add(time.Duration(i) * each)
		c.Bars = append(c.Bars, ui.Bar{Label: at.In(p.zone).Format("15:04"), Tick: i%10 == 4, Parts: make([]int64, len(c.Series))})
	}
	for _, m := range p.minutes {
		i, ok := index[m.System]
		bar := int(m.At.Sub(start) / each)
		if ok && bar >= 0 && bar < bars && !m.At.Before(start) {
			c.Bars[bar].Parts[i] += m.Created + m.Updated + m.Deleted
		}
	}
	return c
}

// facts are the settings that matter most, in words.
func (v *visit) facts(s subject) (out []ui.KeyValue) {
	doc := s.doc
	add := func(key, text, hint string) { out = append(out, ui.KeyValue{Key: key, Text: text, Hint: hint}) }
	add("Runs", scheduleWords(doc.Schedule()), "")
	whole := doc.StrategyFor("")
	var exceptions []string
	for _, field := range slices.Sorted(maps.Keys(fieldsWithRule(doc))) {
		exceptions = append(exceptions, field+": "+strategyWords(doc.StrategyFor(field)))
	}
	add("Who wins", strategyWords(whole), strings.Join(exceptions, "; "))
	if m := doc.MatchFields(); len(m) > 0 {
		add("Matched by", strings.Join(m, ", "), "records with the same value are the same thing")
	} else {
		add("Matched by", "key", "records with the same key are the same thing")
	}
	add("Deletes", map[service.DeletePolicy]string{
		service.Propagate: "happen everywhere", service.Archive: "are marked in the others", service.Ignore: "stay where they happen",
	}[doc.DeletePolicy()], "")
	if n := doc.SyncConfig.BatchSize; n > 0 {
		add("Batch", ui.Count(int64(n), "record", "records"), "")
	}
	most := ""
	if d := doc.MaxDelay(); d > 0 {
		most = "whoever is owed a change for more than " + ui.Span(d) + " is told of"
	}
	add("Consistency", doc.ConsistencyLevel(), most)
	add("Pool", s.Pool, "")
	out = append(out, ui.KeyValue{Key: "Revision", Body: ui.Fragments{ui.Text(itoa(s.Revision) + " by " + s.revision.Author + ", "), ui.Time{At: s.revision.CreatedAt}}, Hint: s.revision.Note})
	return out
}

func fieldsWithRule(doc *service.Document) map[string]service.FieldResolution {
	if r := doc.SyncConfig.ConflictResolution; r != nil {
		return r.Fields
	}
	return nil
}

// strategyWords says who wins where two systems changed the same field.
func strategyWords(s service.Strategy) string {
	switch s.Kind {
	case service.LastWriteWins:
		return "the last change wins"
	case service.FirstWriteWins:
		return "the first change wins"
	case service.SourceWins, service.SystemWins:
		return or(s.System, "the source") + " wins"
	case service.TargetWins:
		return "a system other than " + or(s.System, "the source") + " wins"
	case service.Weighted:
		return "the heaviest system wins"
	case service.FieldPriority:
		return "the first of " + strings.Join(s.Priority, ", ") + " with a value"
	case service.Custom:
		return "by expression: " + s.Expression
	case service.Manual:
		return "a person decides"
	case service.Merge:
		return "both are merged"
	case service.Average:
		return "the mean of both"
	}
	return string(s.Kind)
}

// serviceFields asks the systems for their fields and shows how they are joined.
func (h *Handler) serviceFields(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	return v.render(ServiceFields(v.fields(s)))
}

func (v *visit) fields(s subject) FieldsView {
	f := FieldsView{Path: servicePath(s.Name) + "/parts/fields", Systems: s.doc.SystemIDs()}
	opened := map[record.System]engine.Opened{}
	for _, id := range f.Systems {
		list, err := v.objectsOf(s.doc.ConnectionName(id))
		if err != nil {
			f.Problem = v.alertOf(err, id+" could not be asked for its fields")
			return f
		}
		o := engine.Opened{}
		for _, object := range list {
			if len(object.Fields) > 0 {
				o.Objects = append(o.Objects, object)
			}
		}
		opened[record.System(id)] = o
	}
	plan, err := engine.Compile(s.doc, opened)
	if err != nil {
		f.Problem = v.alertOf(err, "The fields do not fit together just now")
		return f
	}
	for _, c := range plan.Collections {
		var names []string
		for _, seat := range c.Seats {
			for _, field := range seat.Map.Fields() {
				if !slices.Contains(names, field) {
					names = append(names, field)
				}
			}
		}
		slices.Sort(names)
		for _, field := range names {
			line := MappingLine{Field: field}
			if len(plan.Collections) > 1 {
				line.Field = c.Name + "." + field
			}
			if _, own := fieldsWithRule(s.doc)[field]; own {
				line.Rule = strategyWords(s.doc.StrategyFor(field))
			}
			for _, id := range f.Systems {
				name := ""
				if seat := c.Seats[record.System(id)]; seat != nil && seat.Map.Has(field) {
					name = seat.Map.Native(field)
				}
				line.Systems = append(line.Systems, name)
			}
			f.Fields = append(f.Fields, line)
		}
	}
	return f
}

// sourceLine tells of a lookup service.
func sourceLine(f *engine.LookupFigures) SourceLine {
	line := SourceLine{Source: SystemRef{string(f.Source), f.Connector}, Left: "no limit", Facts: [][2]string{
		{"Lookups", ui.Number(f.Asked)}, {"Known", ui.Number(f.Known)}, {"Filled", ui.Number(f.Filled)}, {"To ask", ui.Number(f.Waiting)},
	}}
	if n := f.Left(); n >= 0 {
		line.Left = ui.Number(n) + " of " + ui.Number(f.Limit) + " left until " + f.Until.Format("2 January, 15:04 MST")
	}
	if f.FailingSince != nil {
		line.Trouble, line.Code, line.Since = f.Error, hasPage(f.ErrorCode), *f.FailingSince
	}
	return line
}
