// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesConflicts(r chi.Router) {
	r.Get("/conflicts", h.page(h.conflicts))
	r.Get("/conflicts/parts/list", h.page(h.conflictList))
	r.Get(conflictStatsPath, h.page(h.conflictStats))
	h.routesApprovals(r)
	h.routesDuplicates(r)
	r.Get("/conflicts/{conflict}", h.page(h.conflict))
	r.Post("/conflicts/{conflict}:resolve", h.page(h.resolveConflict))
}

func conflictPath(id uuid.UUID) string { return "/conflicts/" + ident.Format(ident.Conflict, id) }

// inboxFilter is what narrows the list of open conflicts; the address of each conflict carries it on.
var inboxFilter = []string{"service", "field", "age", "after"}

func (v *visit) inboxQuery() url.Values {
	q := url.Values{}
	for _, name := range inboxFilter {
		for _, value := range v.r.URL.Query()[name] {
			if value != "" {
				q.Add(name, value)
			}
		}
	}
	return q
}

func (h *Handler) conflicts(v *visit) error {
	if v.query("state") == "resolved" {
		return h.decidedConflicts(v)
	}
	view, _, err := h.inbox(v, uuid.Nil)
	if err != nil {
		return err
	}
	if view.Page, err = v.shell("Conflicts", "/conflicts", "Conflicts"); err != nil {
		return err
	}
	return v.render(ConflictsPage(view))
}

func (h *Handler) conflictList(v *visit) error {
	open, _ := ident.Parse(ident.Conflict, v.query("open")) // anything else is none
	view, _, err := h.inbox(v, open)
	if err != nil {
		return err
	}
	return v.render(ConflictList(view))
}

// inbox reads the list of open conflicts, with the counts by which it can be narrowed.
func (h *Handler) inbox(v *visit, open uuid.UUID) (view ConflictsView, list []engine.Case, err error) {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return view, nil, err
	}
	counts, err := h.Reader.CaseCounts(v.ctx(), v.who)
	if err != nil {
		return view, nil, err
	}
	filter := v.inboxQuery()
	q := engine.CaseQuery{Open: new(true), Field: filter.Get("field"), Limit: pageSize + 1}
	if name := filter.Get("service"); name != "" {
		for _, c := range counts {
			if c.ServiceName == name {
				q.Service = c.Service
			}
		}
		if q.Service == (service.ID{}) {
			s, _, err := h.Services.Get(v.ctx(), v.who, name)
			if err != nil {
				return view, nil, err
			}
			q.Service = s.ID
		}
	}
	switch filter.Get("age") {
	case "hour":
		q.Since = v.now.Add(-time.Hour)
	case "day":
		q.Since = v.now.Add(-24 * time.Hour)
	case "older":
		q.Until = v.now.Add(-24 * time.Hour)
	}
	place := v.place()
	if q.Before, err = ident.Parse(ident.Conflict, place.after()); err != nil {
		q.Before = uuid.Nil
	}
	if list, err = h.Reader.Cases(v.ctx(), v.who, q); err != nil {
		return view, nil, err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.Conflict, list[len(list)-1].ID)
	}
	view.Pager = elsewhere(place.pager(len(list), next, "conflict", "conflicts"), v.r.URL.Path, "/conflicts")
	for _, c := range list {
		view.Items = append(view.Items, ui.InboxItem{
			ID: "row-" + ident.Format(ident.Conflict, c.ID), Title: caseTitle(c), Href: address(conflictPath(c.ID), filter),
			Sub: fieldName(c.Field) + " in " + c.ServiceName, At: c.OpenedAt, Current: c.ID == open,
		})
	}
	facets(&view, counts, filter)
	view.Filtered = filter.Get("service")+filter.Get("field")+filter.Get("age") != ""
	view.Tabs = conflictTabs(view.Total, false)
	if view.Total == 1 && !view.Filtered { // nothing to narrow
		view.Ages, view.Services, view.Fields = nil, nil, nil
	}
	part := url.Values{}
	for k, values := range filter {
		part[k] = values
	}
	if open != uuid.Nil {
		part.Set("open", ident.Format(ident.Conflict, open))
	}
	view.Part = address("/conflicts/parts/list", part)
	return view, list, nil
}

// elsewhere makes the addresses of a pager lead to the page that a part belongs to.
func elsewhere(p ui.Pager, from, to string) ui.Pager {
	move := func(href string) string {
		if rest, ok := strings.CutPrefix(href, from); ok {
			q, _ := url.ParseQuery(strings.TrimPrefix(rest, "?")) // it was made by address
			q.Del("open")
			return address(to, q)
		}
		return href
	}
	p.Prev, p.Next = move(p.Prev), move(p.Next)
	return p
}

func conflictTabs(open int64, decided bool) ui.Tabs {
	return ui.Tabs{Label: "Conflicts", Items: []ui.Tab{
		{Label: "Waiting", Href: "/conflicts", Count: open, Tone: ui.Split, Current: !decided},
		{Label: "Decided", Href: "/conflicts?state=resolved", Current: decided},
		{Label: "Duplicates", Href: duplicatesPath},
		{Label: "Approvals", Href: approvalsPath},
		{Label: "Statistics", Href: conflictStatsPath},
	}}
}

// facets counts the open conflicts by age, service and field.
func facets(view *ConflictsView, counts []engine.CaseCount, filter url.Values) {
	var hour, day int64
	type named struct {
		name  string
		count int64
	}
	var services, fields []named
	add := func(list []named, name string, n int64) []named {
		i := slices.IndexFunc(list, func(o named) bool { return o.name == name })
		if i < 0 {
			return append(list, named{name, n})
		}
		list[i].count += n
		return list
	}
	for _, c := range counts {
		view.Total += c.Count
		hour += c.LastHour
		day += c.LastDay
		services = add(services, c.ServiceName, c.Count)
		if c.Field != record.WholeRecord {
			fields = add(fields, c.Field, c.Count)
		}
	}
	// A facet in force takes itself away.
	facet := func(param, value, label string, n int64) ui.Facet {
		q := url.Values{}
		for _, name := range inboxFilter[:3] {
			if have := filter.Get(name); have != "" && name != param {
				q.Set(name, have)
			}
		}
		f := ui.Facet{Label: label, Count: n, Current: filter.Get(param) == value}
		if !f.Current {
			q.Set(param, value)
		}
		f.Href = address("/conflicts", q)
		return f
	}
	for _, a := range []struct {
		value, label string
		n            int64
	}{{"hour", "under 1 h", hour}, {"day", "under 24 h", day}, {"older", "older", view.Total - day}} {
		if a.n > 0 || filter.Get("age") == a.value {
			view.Ages = append(view.Ages, facet("age", a.value, a.label, a.n))
		}
	}
	if len(services) > 1 || filter.Get("service") != "" {
		for _, s := range services {
			view.Services = append(view.Services, facet("service", s.name, s.name, s.count))
		}
	}
	const most = 8
	for i, f := range fields {
		if i < most || filter.Get("field") == f.name {
			view.Fields = append(view.Fields, facet("field", f.name, f.name, f.count))
		}
	}
}

func caseTitle(c engine.Case) string {
	if c.Title != "" {
		return headline(keyText(c.Title))
	}
	return "Record " + shortID(ident.Format(ident.Entity, c.Entity))
}

func (v *visit) caseOf() (engine.Case, error) {
	id, err := ident.Parse(ident.Conflict, v.param("conflict"))
	if err != nil {
		return engine.Case{}, err
	}
	return v.h.Reader.Case(v.ctx(), v.who, id)
}

func (h *Handler) conflict(v *visit) error {
	c, err := v.caseOf()
	if err != nil {
		return err
	}
	view, list, err := h.inbox(v, c.ID)
	if err != nil {
		return err
	}
	open, err := v.conflictView(c, list)
	if err != nil {
		return err
	}
	if !c.Open {
		view.Tabs = conflictTabs(view.Total, true)
	}
	return v.conflictPage(view, open)
}

func (v *visit) conflictPage(view ConflictsView, open ConflictView) (err error) {
	view.Open = &open
	if view.Page, err = v.shell(open.Record, "/conflicts", "Conflicts", "/conflicts", open.Record); err != nil {
		return err
	}
	return v.render(ConflictsPage(view))
}

// fieldInForm is the name under which the form posts the decision.
func fieldInForm(field string) string {
	if field == record.WholeRecord {
		return "record"
	}
	return field
}

// conflictView shows a conflict; list is what the inbox shows beside it.
func (v *visit) conflictView(c engine.Case, list []engine.Case) (ConflictView, error) {
	s, revision, err := v.h.Services.Get(v.ctx(), v.who, c.Service.Public())
	if err != nil {
		return ConflictView{}, err
	}
	var r roster
	if revision.Document != nil {
		r = rosterOf(revision.Document)
	}
	view := ConflictView{
		ID: ident.Format(ident.Conflict, c.ID), Path: conflictPath(c.ID), Query: strings.TrimPrefix(address("", v.inboxQuery()), ""),
		Record: caseTitle(c), Href: recordPath(s.Name, c.Entity), Service: s.Name, Field: fieldName(c.Field), Opened: c.OpenedAt,
		Rule: c.Reason, May: c.Open && v.can(auth.ResolveConflicts),
	}
	d, err := v.h.Reader.Record(v.ctx(), v.who, s.ID, ident.Format(ident.Entity, c.Entity))
	switch {
	case fault.KindOf(err) == fault.NotFound: // its history stays when it is gone
		d = engine.Detail{Entity: &record.Entity{}}
	case err != nil:
		return view, err
	default:
		view.Record = headline(titleOf(d.Entity))
	}
	view.Compare = compareOf(c, d, r)
	view.Compare.Shown = !view.May
	if !c.Open {
		view.Done = &DecidedView{By: c.DecidedBy, At: timeOf(c.ResolvedAt), Winner: systemName(c.Winner), Result: resultOf(c), Reason: c.Reason}
		view.Rule = ""
	}
	view.Compare.Hidden = map[string]string{"version": strconv.FormatInt(c.Version, 10), "seen": strconv.FormatInt(v.now.UnixMicro(), 10)}
	view.Next = v.nextConflict(c, d, list)
	for _, o := range d.Conflicts {
		if o.ID != c.ID {
			view.Others = append(view.Others, ui.Line{Icon: "split", Tone: ui.Split, Title: fieldName(o.Field), Href: conflictPath(o.ID), Text: "also waits, since " + ui.Exact(o.OpenedAt, v.zone)})
		}
	}
	before, err := v.h.Reader.Cases(v.ctx(), v.who, engine.CaseQuery{Service: s.ID, Entity: c.Entity, Open: new(false), Limit: 20})
	if err != nil {
		return view, err
	}
	for _, b := range before {
		if b.Field == c.Field && b.ID != c.ID && len(view.Trail) < 5 {
			view.Trail = append(view.Trail, decidedMoment(b))
		}
	}
	return view, nil
}

func decidedMoment(c engine.Case) ui.Moment {
	m := ui.Moment{ID: ident.Format(ident.Conflict, c.ID), At: timeOf(c.ResolvedAt), Icon: "split", Tone: ui.Idle, Title: "Decided by a rule", Cause: ui.Fragments{causeLink(c.Reason, conflictPath(c.ID))}}
	if c.DecidedBy != "" {
		m.Title = "Decided by " + c.DecidedBy
	}
	if c.Reason == "" {
		m.Cause = ui.Fragments{causeLink("the decision", conflictPath(c.ID))}
	}
	return m
}

// nextConflict is the address of the one to look at next: another of the same record, else the next of the list.
func (v *visit) nextConflict(c engine.Case, d engine.Detail, list []engine.Case) string {
	for _, o := range d.Conflicts {
		if o.ID != c.ID {
			return address(conflictPath(o.ID), v.inboxQuery())
		}
	}
	at := slices.IndexFunc(list, func(o engine.Case) bool { return o.ID == c.ID })
	for i := range list {
		if o := list[(at+1+i)%len(list)]; o.ID != c.ID {
			return address(conflictPath(o.ID), v.inboxQuery())
		}
	}
	return ""
}

// compareOf lays the sides of a conflict beside each other.
func compareOf(c engine.Case, d engine.Detail, r roster) ui.Compare {
	out := ui.Compare{}
	field := ui.CompareField{Name: fieldInForm(c.Field), Base: shown(c.Base), Picked: ui.Undecided, Suggest: -1}
	whole := c.Field == record.WholeRecord
	if whole {
		field.Base, field.NoEdit = ui.Value{Text: "there"}, true
	}
	for i, s := range c.Sides {
		side := ui.Side{System: string(s.System), Name: systemName(s.System), Type: r.types[string(s.System)], At: s.At}
		if l := d.Links[s.System]; l != nil {
			side.Key = keyText(string(l.Key))
			side.Note = "key " + side.Key
		}
		if s.At.IsZero() {
			side.At, side.Note = s.SeenAt, strings.TrimPrefix(side.Note+"; it keeps no times, this is when we saw it", "; ")
		} else if ahead := s.At.Sub(s.SeenAt); ahead > time.Second {
			side.Note = strings.TrimPrefix(side.Note+"; its clock is "+ui.Span(ahead)+" ahead", "; ")
		}
		if out.Base.At.IsZero() || side.At.Before(out.Base.At) {
			out.Base.At = side.At // they agreed until the first of them changed it
		}
		value := shown(s.Value)
		switch {
		case s.Deleted:
			value = ui.Value{Text: "deleted"}
		case whole:
			value = ui.Value{Text: "kept, with its changes"}
		}
		out.Sides = append(out.Sides, side)
		field.Values = append(field.Values, value)
		if !c.Open && s.System == c.Winner {
			field.Picked = i
		}
	}
	if c.Open {
		field.Suggest, field.Reason = suggestion(c)
	} else {
		if field.Picked == ui.Undecided {
			field.Picked, field.Edit = ui.Edited, record.Text(c.Result)
		}
	}
	out.Fields = []ui.CompareField{field}
	for _, name := range fieldNames(d, r) {
		if name != c.Field && !d.IsHeld(name) {
			v := shown(d.Fields[name])
			out.Agree = append(out.Agree, ui.KeyValue{Key: name, Body: ui.Fragments{v}})
		}
	}
	return out
}

// suggestion is the side that wrote last, where the systems' own times can tell. It is only marked: a person decides.
func suggestion(c engine.Case) (side int, reason string) {
	if len(c.Sides) < 2 {
		return -1, ""
	}
	rule := conflict.Rule{Strategy: conflict.LastWriteWins}
	best := 0
	for i, other := range c.Sides[1:] {
		if c.Sides[best].At.IsZero() || other.At.IsZero() {
			return -1, ""
		}
		outcome := rule.Decide(c.Base, c.Sides[best], other)
		if outcome.Winner == other.System {
			best = i + 1
		}
		reason = "Suggested: " + systemName(c.Sides[best].System) + " wrote last, " + ui.Span(c.Sides[0].At.Sub(other.At)) + " after the other."
	}
	return best, reason
}

// resolveConflict carries a decision out and leads to the next conflict.
func (h *Handler) resolveConflict(v *visit) error {
	c, err := v.caseOf()
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(v.form("version"), 10, 64) // 0 takes it as it is; the form always sends one
	name := fieldInForm(c.Field)
	d := engine.Decision{Reason: v.form("reason"), Version: version}
	pick, typed := v.form("pick."+name), v.r.PostFormValue("value."+name)
	wrong := ""
	switch pick {
	case "":
		wrong = "Pick a side, or type a value."
	case "edit":
		var value record.Value
		if value, wrong = valueLike(typed, c); wrong == "" {
			d.Value = &value
		}
	default:
		d.Side = record.System(pick)
	}
	if wrong == "" {
		_, err = h.Decider.Resolve(v.ctx(), v.who, c.ID, d)
		if err == nil {
			return v.conflictDecided(c, pick, typed)
		}
		if !refused(err) {
			return err
		}
	}
	return v.conflictAgain(c.ID, pick, typed, wrong, err)
}

func (v *visit) conflictDecided(c engine.Case, pick, typed string) error {
	text := "Decided: " + fieldName(c.Field) + " is what " + systemName(record.System(pick)) + " says."
	if pick == "edit" {
		text = fmt.Sprintf("Decided: %s is %q.", fieldName(c.Field), typed)
	}
	v.flash(ui.OK, text+" It is on its way to the systems that hold something else.")
	_, list, err := v.h.inbox(v, c.ID)
	if err != nil {
		return err
	}
	d, err := v.h.Reader.Record(v.ctx(), v.who, c.Service, ident.Format(ident.Entity, c.Entity))
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	if next := v.nextConflict(c, d, list); next != "" {
		return v.redirect(next)
	}
	return v.redirect("/conflicts")
}

// conflictAgain shows the conflict as it is now with what was chosen and what is wrong with it.
func (v *visit) conflictAgain(id uuid.UUID, pick, typed, wrong string, err error) error {
	c, readErr := v.h.Reader.Case(v.ctx(), v.who, id)
	if readErr != nil {
		return readErr
	}
	view, list, readErr := v.h.inbox(v, c.ID)
	if readErr != nil {
		return readErr
	}
	open, readErr := v.conflictView(c, list)
	if readErr != nil {
		return readErr
	}
	open.Reason = v.form("reason")
	status := statusOf(err)
	f := &open.Compare.Fields[0]
	switch {
	case wrong != "":
		status = statuses[fault.Invalid]
		f.Error = wrong
	case fault.KindOf(err) == fault.Stale:
		open.Moved = "Your decision was not carried out. What the systems say now is below; decide again."
		seen, _ := strconv.ParseInt(v.form("seen"), 10, 64)
		for i := range open.Compare.Sides {
			open.Compare.Sides[i].Moved = c.Sides[i].SeenAt.UnixMicro() > seen
		}
		pick = map[bool]string{true: "edit"}[pick == "edit"] // what a side says is not what was picked any more
	case fault.KindOf(err) == fault.Conflict:
		open.Moved = fault.As(err).Message
	default:
		open.Rest = fault.As(err).Message
	}
	if c.Open {
		if pick == "edit" {
			f.Picked, f.Edit = ui.Edited, typed
		}
		for i, s := range open.Compare.Sides {
			if s.System == pick {
				f.Picked = i
			}
		}
	}
	if v.htmx() {
		return v.renderAs(status, Conflict(open))
	}
	view.Open = &open
	if view.Page, err = v.shell(open.Record, "/conflicts", "Conflicts", "/conflicts", open.Record); err != nil {
		return err
	}
	return v.renderAs(status, ConflictsPage(view))
}

// valueLike reads a typed value as the kind of value that the sides hold; wrong says why it cannot be one.
func valueLike(typed string, c engine.Case) (value record.Value, wrong string) {
	like := c.Base
	for _, s := range c.Sides {
		if like == nil {
			like = s.Value
		}
	}
	return valueAs(typed, like)
}

// valueAs reads a typed value as the kind of value that like is; wrong says why it cannot be one.
func valueAs(typed string, like record.Value) (value record.Value, wrong string) {
	switch like.(type) {
	case nil, string:
		return typed, ""
	}
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return nil, ""
	}
	switch like.(type) {
	case record.Number:
		n, err := record.ParseNumber(typed)
		if err != nil {
			return nil, "This field holds numbers. Write one like 12.5, or leave it empty."
		}
		return n, ""
	case bool:
		switch strings.ToLower(typed) {
		case "true", "yes":
			return true, ""
		case "false", "no":
			return false, ""
		}
		return nil, "This field is true or false. Write one of the two."
	}
	value, err := record.ParseJSON([]byte(typed))
	if err != nil {
		return nil, "This field holds JSON, and this is not: " + err.Error() + "."
	}
	return value, ""
}

// decidedConflicts lists what was settled, by rule or by hand, and why.
func (h *Handler) decidedConflicts(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	all, err := v.lineup()
	if err != nil {
		return err
	}
	q := engine.CaseQuery{Open: new(false), Field: v.query("field"), Limit: pageSize + 1}
	view := DecidedConflictsView{Filter: ui.FilterBar{Action: "/conflicts", Target: "#decided", Keep: map[string]string{"state": "resolved"}}}
	if s, ok := all.named(v.query("service")); ok {
		q.Service = s.ID
		view.Filter.Chips = append(view.Filter.Chips, v.chip("service", "Service", s.Name))
	}
	if len(all.all) > 1 {
		view.Filter.Selects = append(view.Filter.Selects, all.choice(v.query("service")))
	}
	view.Filter.Search, view.Filter.SearchLabel, view.Filter.Value = "field", "Name of a field", q.Field
	if q.Field != "" {
		view.Filter.Chips = append(view.Filter.Chips, v.chip("field", "Field", q.Field))
	}
	if len(view.Filter.Chips) > 0 {
		view.Filter.Clear = "/conflicts?state=resolved"
	}
	view.Cleared = len(view.Filter.Chips) == 0
	place := v.place()
	if q.Before, err = ident.Parse(ident.Conflict, place.after()); err != nil {
		q.Before = uuid.Nil
	}
	list, err := h.Reader.Cases(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.Conflict, list[len(list)-1].ID)
	}
	view.Pager = place.pager(len(list), next, "decided conflict", "decided conflicts")
	for _, c := range list {
		view.Lines = append(view.Lines, DecidedLine{
			ID: ident.Format(ident.Conflict, c.ID), Href: conflictPath(c.ID), Record: caseTitle(c), Field: fieldName(c.Field), Service: c.ServiceName,
			DecidedView: DecidedView{By: c.DecidedBy, At: timeOf(c.ResolvedAt), Winner: systemName(c.Winner), Result: resultOf(c), Reason: c.Reason},
		})
	}
	open, _, err := h.Reader.CountOpen(v.ctx(), v.who, service.ID{})
	if err != nil {
		return err
	}
	view.Tabs = conflictTabs(open, true)
	if view.Page, err = v.shell("Decided conflicts", "/conflicts", "Conflicts", "/conflicts", "Decided"); err != nil {
		return err
	}
	return v.render(DecidedConflictsPage(view))
}

// resultOf is the outcome of a settled conflict; one about a whole record has no value.
func resultOf(c engine.Case) ui.Value {
	if c.Field != record.WholeRecord {
		return shown(c.Result)
	}
	for _, s := range c.Sides {
		if s.System == c.Winner && s.Deleted {
			return ui.Value{Text: "deleted"}
		}
	}
	return ui.Value{Text: "kept"}
}
