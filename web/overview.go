// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesOverview(r chi.Router) {
	r.Get("/", h.page(h.overview))
	r.Get("/parts/overview-now", h.page(h.overviewNow))
	r.Get("/parts/overview-services", h.page(h.overviewServices))
	r.Get("/parts/overview-feed", h.page(h.overviewFeed))
	r.Post("/parts/checklist:dismiss", h.page(h.dismissChecklist))
}

// The overview shows so many services, the most urgent first.
const overviewServices = 8

// state is how all services of the tenant do, read once for a page.
type state struct {
	services  []service.Service // by name, without those put away
	overviews map[service.ID]engine.Overview
	over      engine.Span
	buckets   int
}

// spanOf is the time that a range covers: whole hours, or quarters of a day, the present one included.
func spanOf(name string, now time.Time) (over engine.Span, buckets int) {
	if name == "7d" {
		step := 6 * time.Hour
		return engine.Span{Since: now.Truncate(step).Add(-27 * step), Step: step}, 28
	}
	return engine.Span{Since: now.Truncate(time.Hour).Add(-23 * time.Hour), Step: time.Hour}, 24
}

func (v *visit) state(rangeName string) (st state, err error) {
	st.over, st.buckets = spanOf(rangeName, v.now)
	st.services, err = v.h.Services.List(v.ctx(), v.who, service.Filter{States: []service.State{service.Active, service.Paused, service.ActionRequired, service.Draft}})
	if err != nil {
		return st, err
	}
	st.overviews, err = v.h.Reader.Overviews(v.ctx(), v.who, service.ID{}, st.over)
	return st, err
}

// series are the buckets of an overview laid into the whole span, with nothing where nothing was done.
func (st state) series(o engine.Overview) []engine.Bucket {
	out := make([]engine.Bucket, st.buckets)
	for i := range out {
		out[i].At = st.over.Since.Add(time.Duration(i) * st.over.Step)
	}
	for _, b := range o.Buckets {
		if i := int(b.At.Sub(st.over.Since) / st.over.Step); i >= 0 && i < len(out) {
			out[i] = b
		}
	}
	return out
}

func (h *Handler) overview(v *visit) error {
	st, err := v.state(v.query("range"))
	if err != nil {
		return err
	}
	view, err := h.overviewView(v, st)
	if err != nil {
		return err
	}
	if view.Page, err = v.shell("Overview", "/", "Overview"); err != nil {
		return err
	}
	if view.Checklist, err = h.checklist(v, st, view.Figures); err != nil {
		return err
	}
	if view.MayRead {
		if view.Feed, err = h.feed(v, service.ID{}); err != nil {
			return err
		}
	}
	return v.render(OverviewPage(view))
}

func (h *Handler) overviewNow(v *visit) error {
	st, err := v.state(v.query("range"))
	if err != nil {
		return err
	}
	view, err := h.overviewView(v, st)
	if err != nil {
		return err
	}
	return v.render(OverviewNow(view))
}

func (h *Handler) overviewServices(v *visit) error {
	st, err := v.state("24h")
	if err != nil {
		return err
	}
	view := OverviewView{MayCreate: v.can(auth.EditServices), All: int64(len(st.services))}
	if view.Services, err = v.urgent(st); err != nil {
		return err
	}
	return v.render(OverviewServices(view))
}

func (h *Handler) overviewFeed(v *visit) error {
	items, err := h.feed(v, service.ID{})
	if err != nil {
		return err
	}
	return v.render(feedOf("overview-feed", "/parts/overview-feed", "live:journal", items, "Nothing has happened in the last hour."))
}

const checklistCookie = "syncline_steps"

func (h *Handler) dismissChecklist(v *visit) error {
	v.setCookie(checklistCookie, "away")
	return v.render(ui.Text("")) // the card is replaced by nothing
}

func (h *Handler) overviewView(v *visit, st state) (view OverviewView, err error) {
	view = OverviewView{
		Range: "24h", Demo: v.session.Tenant.Demo, All: int64(len(st.services)), MayRead: v.can(auth.ViewRecords), MayCreate: v.can(auth.EditServices),
	}
	if v.query("range") == "7d" {
		view.Range = "7d"
	}
	view.Activity = ui.BarChart{
		ID: "activity", Title: "Changes and errors, " + strings.ToLower(rangeText(view.Range)), Unit: "records",
		Series: []ui.Series{{Name: "applied", Tone: ui.Accent}, {Name: "refused", Tone: ui.Bad}},
	}
	all := engine.Overview{}
	f := &view.Figures
	for _, o := range st.overviews {
		f.Conflicts += o.Conflicts
		f.DeadLetters += o.DeadLetters
		if !o.OldestOpen.IsZero() && (f.OldestOpen.IsZero() || o.OldestOpen.Before(f.OldestOpen)) {
			f.OldestOpen = o.OldestOpen
		}
		for _, b := range o.Buckets {
			all.Add(b)
		}
	}
	all.Buckets = merged(all.Buckets)
	f.Applied, f.Failed, f.Lag, f.LagMax = all.Applied, all.Rejected, all.LagAverage, all.LagMax
	for i, b := range st.series(all) {
		f.AppliedSpark = append(f.AppliedSpark, float64(b.Applied))
		lag := 0.0
		if b.LagCount > 0 {
			lag = float64(b.LagMs) / float64(b.LagCount)
		}
		f.LagSpark = append(f.LagSpark, lag)
		view.Activity.Bars = append(view.Activity.Bars, ui.Bar{Label: v.barLabel(b.At, view.Range), Tick: tick(i, view.Range), Parts: []int64{b.Applied, b.Rejected}})
	}
	if err := h.cost(v, f); err != nil {
		return view, err
	}
	if view.Needs, err = h.needs(v, st, view.Figures); err != nil {
		return view, err
	}
	view.Health, view.Next = st.health(v.now), nil
	if view.Next, err = v.next(st); err != nil {
		return view, err
	}
	view.Services, err = v.urgent(st)
	return view, err
}

// merged sums buckets of the same time.
func merged(list []engine.Bucket) []engine.Bucket {
	slices.SortStableFunc(list, func(a, b engine.Bucket) int { return a.At.Compare(b.At) })
	var out []engine.Bucket
	for _, b := range list {
		if n := len(out); n > 0 && out[n-1].At.Equal(b.At) {
			last := &out[n-1]
			last.Applied += b.Applied
			last.Rejected += b.Rejected
			last.LagMs += b.LagMs
			last.LagCount += b.LagCount
			last.LagMax = max(last.LagMax, b.LagMax)
			continue
		}
		out = append(out, b)
	}
	return out
}

func (v *visit) barLabel(at time.Time, rangeName string) string {
	if rangeName == "7d" {
		return at.In(v.zone).Format("Mon 2, 15:04")
	}
	return at.In(v.zone).Format("15:04")
}

func tick(i int, rangeName string) bool {
	if rangeName == "7d" {
		return i%8 == 3
	}
	return i%6 == 5
}

// cost is the month so far. Whoever may not see amounts sees what was counted.
func (h *Handler) cost(v *visit, f *Figures) error {
	f.HideCost = !v.can(auth.ViewInvoices)
	u, err := h.Invoicer.Usage(v.ctx(), v.who.Tenant, billing.Month{})
	if err != nil {
		return err
	}
	for _, m := range u.Meters {
		if m.Meter == billing.SyncOperations {
			f.Operations = m.Quantity
		}
	}
	if !f.HideCost {
		f.Cost, f.CostNote = moneyOf(u.Total), ui.Count(f.Operations, "operation", "operations")
	}
	return nil
}

// needs lists what waits for a person, the most urgent first.
func (h *Handler) needs(v *visit, st state, f Figures) (lines []ui.Line, err error) {
	for _, s := range st.services {
		if s.State == service.ActionRequired {
			lines = append(lines, ui.Line{Icon: "triangle-alert", Tone: ui.Warn, Title: s.Name + " stopped and needs you", Href: servicePath(s.Name), Text: s.Reason})
		}
	}
	held, err := v.heldNeeds()
	if err != nil {
		return nil, err
	}
	lines = append(lines, held...)
	if v.can(auth.ViewConnections) {
		ill, err := h.Connections.List(v.ctx(), v.who, connection.Filter{States: []connection.State{connection.Expired, connection.Revoked}})
		if err != nil {
			return nil, err
		}
		for _, c := range ill {
			lines = append(lines, ui.Line{Icon: "unplug", Tone: ui.Bad, Title: "Connection " + c.Name + " is " + string(c.State), Href: connectionPath(c.Name), Text: c.Reason})
		}
	}
	for _, s := range st.services {
		for _, t := range st.overviews[s.ID].Failing {
			if s.State != service.Active {
				continue
			}
			lines = append(lines, ui.Line{
				Icon: "server", Tone: ui.Bad, Title: string(t.System) + " in " + s.Name + " does not work", Href: servicePath(s.Name),
				Text: t.Message + " For " + ui.Span(v.now.Sub(t.Since)) + "; it is tried again by itself.",
			})
		}
	}
	if f.Conflicts > 0 {
		title := ui.Count(f.Conflicts, "conflict waits", "conflicts wait") + " for a decision"
		lines = append(lines, ui.Line{Icon: "split", Tone: ui.Split, Title: title, Href: v.ifMay(auth.ViewRecords, "/conflicts"), Text: "The oldest for " + ui.Span(v.now.Sub(f.OldestOpen)) + ". Nothing is overwritten meanwhile."})
	}
	if f.DeadLetters > 0 {
		line := ui.Line{Icon: "inbox", Tone: ui.Bad, Title: ui.Count(f.DeadLetters, "dead letter", "dead letters"), Href: v.ifMay(auth.ViewRecords, "/dead-letters")}
		if v.can(auth.ViewRecords) {
			groups, err := h.DeadLetters.Groups(v.ctx(), v.who, service.ID{})
			if err != nil {
				return nil, err
			}
			slices.SortFunc(groups, func(a, b delivery.Group) int { return cmp.Compare(b.Count, a.Count) })
			if len(groups) > 0 {
				line.Text = fmt.Sprintf("%s: %s", ui.Count(groups[0].Count, "time", "times"), groups[0].Message)
			}
		}
		lines = append(lines, line)
	}
	for _, s := range st.services {
		if s.State == service.Active && s.NextRunAt != nil && st.overviews[s.ID].Health(s, v.now) == engine.Delayed && v.now.After(*s.NextRunAt) {
			lines = append(lines, ui.Line{Icon: "clock", Tone: ui.Warn, Title: s.Name + " is " + ui.Span(v.now.Sub(*s.NextRunAt)) + " behind its schedule", Href: servicePath(s.Name), Text: "No worker has taken its run yet."})
		}
	}
	return lines, nil
}

func (v *visit) ifMay(p auth.Permission, href string) string {
	if v.can(p) {
		return href
	}
	return ""
}

// health counts services by how they do.
func (st state) health(now time.Time) []HealthCount {
	n := map[engine.Health]int64{}
	for _, s := range st.services {
		n[st.overviews[s.ID].Health(s, now)]++
	}
	var out []HealthCount
	for _, word := range engine.Healths {
		out = append(out, HealthCount{Word: string(word), Count: n[word], Href: "/services?health=" + url.QueryEscape(string(word))})
	}
	return out
}

// next are the runs that are due soonest.
func (v *visit) next(st state) (out []NextRun, err error) {
	var due []service.Service
	for _, s := range st.services {
		if s.State == service.Active && s.NextRunAt != nil {
			due = append(due, s)
		}
	}
	slices.SortFunc(due, func(a, b service.Service) int { return a.NextRunAt.Compare(*b.NextRunAt) })
	for _, s := range due[:min(len(due), 4)] {
		o, err := v.outline(s)
		if err != nil {
			return nil, err
		}
		out = append(out, NextRun{Service: s.Name, Href: servicePath(s.Name), At: *s.NextRunAt, What: o.schedule})
	}
	return out, nil
}

// urgent are the lines of the services that need a look first.
func (v *visit) urgent(st state) ([]ServiceLine, error) {
	rank := func(s service.Service) int {
		return slices.Index(engine.Healths, st.overviews[s.ID].Health(s, v.now))
	}
	list := slices.Clone(st.services)
	slices.SortStableFunc(list, func(a, b service.Service) int {
		if a.State == service.Draft || b.State == service.Draft {
			return cmp.Compare(b2i(a.State == service.Draft), b2i(b.State == service.Draft))
		}
		return cmp.Compare(rank(a), rank(b))
	})
	return v.serviceLines(list[:min(len(list), overviewServices)], st)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// serviceLines are lines of lists of services.
func (v *visit) serviceLines(list []service.Service, st state) (lines []ServiceLine, err error) {
	for _, s := range list {
		about, err := v.outline(s)
		if err != nil {
			return nil, err
		}
		o := st.overviews[s.ID]
		line := ServiceLine{
			ID: s.ID.Public(), Name: s.Name, Href: servicePath(s.Name), Direction: about.direction, Systems: about.systems,
			State: string(s.State), Health: string(o.Health(s, v.now)), Lag: -1, LastRun: o.ChangedAt, NextRun: timeOf(s.NextRunAt), Realtime: s.Realtime,
			Conflicts: o.Conflicts, Dead: o.DeadLetters, By: about.author, Records: o.Records,
		}
		for _, b := range st.series(o) {
			line.Spark = append(line.Spark, float64(b.Applied))
			if b.LagCount > 0 {
				line.Lag = time.Duration(b.LagMs/b.LagCount) * time.Millisecond
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// checklist is the newcomer's way to a service of their own; nothing once all is done or it was put away.
func (h *Handler) checklist(v *visit, st state, f Figures) (steps []ui.Line, err error) {
	if v.cookie(checklistCookie) == "away" || !v.can(auth.EditServices) {
		return nil, nil
	}
	connections, err := h.Connections.List(v.ctx(), v.who, connection.Filter{})
	if err != nil {
		return nil, err
	}
	members, err := h.Auth.Members(v.ctx(), v.who, auth.UserID{}, 2)
	if err != nil {
		return nil, err
	}
	own, services := len(connections), len(st.services)
	if v.session.Tenant.Demo {
		demo := h.demoService(st.services)
		if demo != "" {
			services--
			own -= 2
			steps = append(steps,
				ui.Line{Icon: "refresh-cw", Title: "Watch the demo sync", Text: "A warehouse and a storefront, two real databases, kept equal while people edit both.", Href: servicePath(demo), Done: v.cookie(seenCookie) != ""},
				ui.Line{Icon: "terminal", Title: "Change a row yourself", Text: "By psql or the MariaDB client; it arrives on the other side in well under a second.", Href: "/try-it", Done: v.cookie(triedCookie) != ""},
				ui.Line{Icon: "split", Title: "Decide the waiting conflict", Text: "Both sides gave a product another name. You say which holds.", Href: "/conflicts", Done: f.Conflicts == 0},
			)
		}
	}
	steps = append(steps,
		ui.Line{Icon: "plug", Title: "Connect two systems of your own", Text: "PostgreSQL, MariaDB or MySQL. It takes an address and a user.", Href: "/connections", Done: own >= 2},
		ui.Line{Icon: "file-code", Title: "Write your first service", Text: "Start from a template; the document is checked while you type.", Href: "/services/new", Done: services > 0},
		ui.Line{Icon: "user-plus", Title: "Invite somebody", Text: "A second pair of eyes for conflicts and changes.", Href: "/settings", Done: len(members) > 1},
	)
	left := false
	next := true
	for i := range steps {
		switch {
		case steps[i].Done:
			steps[i].Tone = ui.OK
		case next:
			steps[i].Tone, next, left = ui.Accent, false, true
		default:
			left = true
		}
	}
	if !left {
		return nil, nil
	}
	return steps, nil
}

// What a browser has seen of the demo.
const (
	seenCookie  = "syncline_seen"
	triedCookie = "syncline_tried"
)

// demoService is the name of the demo's service, "" when it is gone.
func (h *Handler) demoService(list []service.Service) string {
	for _, s := range list {
		if s.Name == h.Demo.Service {
			return s.Name
		}
	}
	return ""
}
