// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesDeadLetters(r chi.Router) {
	r.Get("/dead-letters", h.page(h.deadLetters))
	r.Get("/dead-letters/{letter}", h.page(h.deadLetter))
	r.Get("/dead-letters/{letter}/parts/now", h.page(h.deadLetterNow))
	r.Post("/dead-letters:redrive", h.page(h.redriveAll))
	r.Post("/dead-letters:discard", h.page(h.discardAll))
	r.Post("/dead-letters/{letter}:check", h.page(h.checkLetter))
	r.Post("/dead-letters/{letter}:redrive", h.page(h.redrive))
	r.Post("/dead-letters/{letter}:edit", h.page(h.editDeadLetter))
	r.Post("/dead-letters/{letter}:redriveAlike", h.page(h.redriveAlike))
	r.Post("/dead-letters/{letter}:discard", h.page(h.discard))
	r.Post("/dead-letters/{letter}:discardAlike", h.page(h.discardAlike))
}

// alikeLimit bounds how many dead letters one act takes, so that it stays one short commit.
const alikeLimit = 1000

var deadStates = []delivery.State{delivery.Open, delivery.Redriven, delivery.Discarded, delivery.Settled}

var deadStateNames = map[delivery.State]string{delivery.Open: "Waiting", delivery.Redriven: "Tried again", delivery.Discarded: "Given up", delivery.Settled: "Went through"}

func deadLetterPath(id uuid.UUID) string {
	return "/dead-letters/" + ident.Format(ident.DeadLetter, id)
}

func deadTabs(current delivery.State, waiting int64) ui.Tabs {
	t := ui.Tabs{Label: "Dead letters"}
	for _, s := range deadStates {
		tab := ui.Tab{Label: deadStateNames[s], Href: "/dead-letters?state=" + string(s), Current: s == current}
		if s == delivery.Open {
			tab.Href, tab.Count, tab.Tone = "/dead-letters", waiting, ui.Bad
		}
		t.Items = append(t.Items, tab)
	}
	return t
}

func (h *Handler) deadLetters(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	all, err := v.lineup()
	if err != nil {
		return err
	}
	q := delivery.Query{State: delivery.State(v.query("state")), System: record.System(v.query("system")), Code: v.query("code"), Direction: v.query("direction"), Limit: pageSize + 1}
	if !slices.Contains(deadStates, q.State) {
		q.State = delivery.Open
	}
	bar := ui.FilterBar{Action: "/dead-letters", Target: "#dead-letters", Clear: "/dead-letters"}
	if q.State != delivery.Open {
		bar.Keep = map[string]string{"state": string(q.State)}
		bar.Clear += "?state=" + string(q.State)
	}
	if s, ok := all.named(v.query("service")); ok {
		q.Service = s.ID
		bar.Chips = append(bar.Chips, v.chip("service", "Service", s.Name))
	}
	if len(all.all) > 1 {
		bar.Selects = append(bar.Selects, all.choice(v.query("service")))
	}
	for _, f := range []struct{ param, label, value string }{{"system", "System", string(q.System)}, {"code", "Code", q.Code}, {"direction", "Direction", q.Direction}} {
		if f.value != "" {
			bar.Chips = append(bar.Chips, v.chip(f.param, f.label, f.value))
			if bar.Keep == nil {
				bar.Keep = map[string]string{}
			}
			bar.Keep[f.param] = f.value
		}
	}
	groups, err := h.DeadLetters.Groups(v.ctx(), v.who, q.Service)
	if err != nil {
		return err
	}
	var waiting int64
	for _, g := range groups {
		waiting += g.Count
	}
	tabs := deadTabs(q.State, waiting)
	if q.State == delivery.Open && q.Code == "" {
		return v.deadGroups(all, q, groups, DeadLettersView{Tabs: tabs, Filter: bar, Total: waiting})
	}
	return v.deadList(all, q, DeadLetterListView{Tabs: tabs, Filter: bar})
}

// How many letters a group shows; the rest is behind its link. mostGroups bounds the page.
const (
	lettersShown = 5
	mostGroups   = 30
)

func (v *visit) deadGroups(all *lineup, q delivery.Query, groups []delivery.Group, view DeadLettersView) (err error) {
	view.MayAct = v.can(auth.RedriveDeadLetters)
	view.Filtered = len(view.Filter.Chips) > 0
	view.Refresh = v.r.URL.RequestURI()
	for i, g := range groups {
		if i == mostGroups {
			break
		}
		if q.System != "" && q.System != g.System || q.Direction != "" && q.Direction != g.Direction {
			continue
		}
		list, err := v.h.DeadLetters.List(v.ctx(), v.who, delivery.Query{Service: g.Service, State: delivery.Open, System: g.System, Code: g.Code, Direction: g.Direction, Limit: lettersShown})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue // settled since the groups were counted
		}
		r, err := all.roster(g.Service)
		if err != nil {
			return err
		}
		out := DeadGroup{
			ID:    "group-" + ident.Format(ident.Service, g.Service) + "-" + g.Direction + "-" + idWord(string(g.System)) + "-" + idWord(g.Code),
			Cause: g.Message, Remedy: remedyOf(g.Code), Code: hasPage(g.Code), Service: g.ServiceName, System: r.ref(g.System), Inward: g.Direction == "in",
			Count: g.Count, First: g.FirstAt, Last: g.LastAt, Sample: pretty(list[0].Payload), Path: deadLetterPath(list[0].ID),
			All: address("/dead-letters", url.Values{"service": {g.ServiceName}, "system": {string(g.System)}, "code": {g.Code}, "direction": {g.Direction}}),
		}
		for _, d := range list {
			out.Letters = append(out.Letters, deadLine(d, r))
		}
		view.Groups = append(view.Groups, out)
	}
	if view.Page, err = v.shell("Dead letters", "/dead-letters", "Dead letters"); err != nil {
		return err
	}
	return v.render(DeadLettersPage(view))
}

// idWord makes text fit to be part of an element's id.
func idWord(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c == '"' || c == '\'' || c == '#' || c == '.' || c == ':' {
			b[i] = '-'
		}
	}
	return string(b)
}

func (v *visit) deadList(all *lineup, q delivery.Query, view DeadLetterListView) (err error) {
	place := v.place()
	if q.Before, err = ident.Parse(ident.DeadLetter, place.after()); err != nil {
		q.Before = uuid.Nil
	}
	list, err := v.h.DeadLetters.List(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.DeadLetter, list[len(list)-1].ID)
	}
	view.Pager = place.pager(len(list), next, "dead letter", "dead letters")
	view.Refresh = v.r.URL.RequestURI()
	view.Decided = q.State != delivery.Open
	view.Text = map[delivery.State]string{
		delivery.Open:      "All of one cause.",
		delivery.Redriven:  "They are being tried again: they settle when that goes through, and wait again when it does not.",
		delivery.Discarded: "Somebody said that these changes need not be. The systems stay different, on purpose.",
		delivery.Settled:   "They went through later, by trying again or because the record changed.",
	}[q.State]
	for _, d := range list {
		r, err := all.roster(d.Service)
		if err != nil {
			return err
		}
		view.Letters = append(view.Letters, deadLine(d, r))
	}
	sel := delivery.Selection{Service: q.Service, System: q.System, Code: q.Code, Direction: q.Direction}
	if q.State == delivery.Open && sel.Check() == nil && v.can(auth.RedriveDeadLetters) {
		if view.Selected, err = v.h.DeadLetters.Count(v.ctx(), v.who, sel); err != nil {
			return err
		}
		view.Selection = url.Values{"service": {v.query("service")}, "system": {string(q.System)}, "code": {q.Code}, "direction": {q.Direction}}
	}
	if view.Page, err = v.shell("Dead letters", "/dead-letters", "Dead letters", "/dead-letters", deadStateNames[q.State]); err != nil {
		return err
	}
	return v.render(DeadLetterListPage(view))
}

func deadLine(d delivery.DeadLetter, r roster) DeadLetter {
	line := DeadLetter{
		ID: ident.Format(ident.DeadLetter, d.ID), Href: deadLetterPath(d.ID), Record: headline(titleIn(d.Payload)), Key: keyText(string(d.Key)), System: r.ref(d.System), Service: d.ServiceName,
		Message: d.Message, State: string(d.State), At: d.LastAt, Attempts: d.Tries, By: d.DecidedBy, Reason: d.Reason,
	}
	if line.Record == "" {
		line.Record = line.Key
	}
	if line.Record == "" {
		line.Record = "Record " + shortID(line.ID)
	}
	return line
}

// pretty writes fields as indented JSON.
func pretty(f record.Fields) string {
	if len(f) == 0 {
		return ""
	}
	var b bytes.Buffer
	if err := json.Indent(&b, record.AppendJSON(nil, map[string]any(f)), "", "  "); err != nil {
		return "" // it was made a line above
	}
	return b.String()
}

func (v *visit) letter() (delivery.DeadLetter, error) {
	id, err := ident.Parse(ident.DeadLetter, v.param("letter"))
	if err != nil {
		return delivery.DeadLetter{}, err
	}
	return v.h.DeadLetters.Get(v.ctx(), v.who, id)
}

func (h *Handler) deadLetter(v *visit) error {
	view, err := v.deadLetterView()
	if err != nil {
		return err
	}
	return v.deadLetterPage(200, view)
}

func (v *visit) deadLetterPage(status int, view DeadLetterView) (err error) {
	if view.Page, err = v.shell("Dead letter", "/dead-letters", "Dead letters", "/dead-letters", view.Letter.Record); err != nil {
		return err
	}
	return v.renderAs(status, DeadLetterPage(view))
}

func (h *Handler) deadLetterNow(v *visit) error {
	view, err := v.deadLetterView()
	if err != nil {
		return err
	}
	return v.render(DeadLetterNow(view))
}

func (v *visit) deadLetterView() (view DeadLetterView, err error) {
	d, err := v.letter()
	if err != nil {
		return view, err
	}
	s, revision, err := v.h.Services.Get(v.ctx(), v.who, d.Service.Public())
	if err != nil {
		return view, err
	}
	var r roster
	if revision.Document != nil {
		r = rosterOf(revision.Document)
	}
	view = DeadLetterView{
		Letter: deadLine(d, r), Path: deadLetterPath(d.ID), Live: s.ID.Public(), Inward: d.Direction == "in", Remedy: remedyOf(d.Code), Code: hasPage(d.Code),
		Sent: pretty(d.Payload), May: v.can(auth.RedriveDeadLetters),
	}
	view.Part = view.Path + "/parts/now"
	view.Title = string(d.System) + " did not take this change"
	if view.Inward {
		view.Title = "This change in " + string(d.System) + " could not be taken in"
	}
	view.Facts = []ui.KeyValue{
		{Key: "Service", Body: ui.Fragments{causeLink(s.Name, servicePath(s.Name))}},
		{Key: "System", Text: string(d.System)},
		{Key: "Object", Text: string(d.Object), Mono: true},
		{Key: "Key there", Text: view.Letter.Key, Mono: true},
		{Key: "What", Text: map[record.Op]string{record.Delete: "a deletion"}[d.Op]},
		{Key: "Tries", Text: ui.Count(int64(d.Tries), "try", "tries")},
		{Key: "First", Body: ui.Fragments{ui.Time{At: d.FirstAt}}},
		{Key: "Last", Body: ui.Fragments{ui.Time{At: d.LastAt}}},
		{Key: "Letter", Body: ui.Fragments{ui.ID{Value: view.Letter.ID, Short: true, Label: "dead letter id"}}},
	}
	if d.Op != record.Delete {
		view.Facts[4].Text = "a record created or changed"
	}
	view.Facts = slices.DeleteFunc(view.Facts, func(f ui.KeyValue) bool { return f.Text == "" && f.Body == nil })
	if !d.Entity.IsZero() {
		view.Record = recordPath(s.Name, d.Entity)
	}
	if d.Rule != "" {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Rule", Text: d.Field + ": " + d.Rule, Mono: true})
	}
	if d.State != delivery.Open {
		return view, nil
	}
	if view.May && view.Inward && d.Op == record.Upsert {
		view.Edit, view.Edited, view.Version = editFields(d, revision.Document), d.EditedBy, strconv.FormatInt(d.Version, 10)
	}
	groups, err := v.h.DeadLetters.Groups(v.ctx(), v.who, d.Service)
	for _, g := range groups {
		if g.System == d.System && g.Code == d.Code && g.Direction == d.Direction {
			view.Alike = g.Count
		}
	}
	return view, err
}

// mostEdited bounds the form of a record in quarantine.
const mostEdited = 60

// editFields is the record's form, what is wrong first.
func editFields(d delivery.DeadLetter, doc *service.Document) []EditField {
	broken := d.Field // in the entity's terms, where a rule is broken
	if doc != nil && d.Rule != "" {
		for _, m := range doc.FieldMapOf(string(d.System), string(d.Object)) {
			if _, there := d.Payload[m.Alias]; there && m.Field == d.Field {
				broken = m.Alias
			}
		}
	}
	var list []EditField
	for _, name := range slices.Sorted(maps.Keys(d.Payload)) {
		if len(list) == mostEdited {
			break
		}
		was := d.Payload[name]
		f := EditField{Name: name, Value: record.Text(was)}
		switch was.(type) {
		case []any, map[string]any:
			f.JSON = true
		}
		if v, changed := d.Edit[name]; changed {
			f.Value, f.Was, f.Changed = record.Text(v), record.Text(was), true
		}
		if name == broken {
			f.Broken = d.Rule
			list = slices.Insert(list, 0, f)
			continue
		}
		list = append(list, f)
	}
	return list
}

// editDeadLetter keeps a correction, and has the record tried again when that is asked for.
func (h *Handler) editDeadLetter(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(v.form("version"), 10, 64) // 0 takes it as it is; the form always sends one
	fields, wrong := v.corrections(d)
	if len(wrong) == 0 && len(fields) > 0 {
		if d, err = h.DeadLetters.Edit(v.ctx(), v.who, d.ID, fields, version); err != nil {
			return v.editAgain(d, wrong, err)
		}
	}
	if len(wrong) > 0 {
		return v.editAgain(d, wrong, nil)
	}
	if v.form("then") != "redrive" {
		v.flash(ui.OK, "The correction is kept. It counts when the record is tried again.")
		return v.redirect(deadLetterPath(d.ID))
	}
	if _, err := h.DeadLetters.Redrive(v.ctx(), v.who, d.ID); err != nil {
		return v.deadLetterAgain(d, err)
	}
	v.flash(ui.OK, "It is being tried again as you corrected it.")
	return v.redirect(deadLetterPath(d.ID))
}

// corrections are the fields of the form that were typed otherwise than they were shown, and what cannot be read of them.
func (v *visit) corrections(d delivery.DeadLetter) (fields record.Fields, wrong map[string]string) {
	v.form("version") // reads the form
	fields, wrong = record.Fields{}, make(map[string]string)
	for name, was := range d.Payload {
		typed, there := v.r.PostForm["f."+name]
		if !there {
			continue
		}
		shown := was
		if e, changed := d.Edit[name]; changed {
			shown = e
		}
		if typed[0] == record.Text(shown) {
			continue // as it was shown
		}
		value, bad := valueAs(typed[0], was)
		if bad != "" {
			wrong[name] = bad
			continue
		}
		fields[name] = value
	}
	return fields, wrong
}

// editAgain shows the form with what was typed and what is wrong with it.
func (v *visit) editAgain(d delivery.DeadLetter, wrong map[string]string, err error) error {
	if err != nil && !refused(err) {
		return err
	}
	view, readErr := v.deadLetterView()
	if readErr != nil {
		return readErr
	}
	for i := range view.Edit {
		f := &view.Edit[i]
		f.Error = wrong[f.Name]
		if typed, there := v.r.PostForm["f."+f.Name]; there {
			f.Value = typed[0]
		}
	}
	status := statuses[fault.Invalid]
	if err != nil {
		view.EditBad, status = fault.As(err).Message, statusOf(err)
	}
	return v.deadLetterPage(status, view)
}

func (h *Handler) redrive(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	if _, err := h.DeadLetters.Redrive(v.ctx(), v.who, d.ID); err != nil {
		return v.deadLetterAgain(d, err)
	}
	v.flash(ui.OK, "It is being tried again.")
	return v.redirect(deadLetterPath(d.ID))
}

func (h *Handler) redriveAlike(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	n, err := h.DeadLetters.RedriveLike(v.ctx(), v.who, d.ID, alikeLimit)
	if err != nil {
		return v.deadLetterAgain(d, err)
	}
	v.flash(ui.OK, ui.Count(int64(n), "dead letter is", "dead letters are")+" being tried again."+v.leftOver(n))
	return v.redirect("/dead-letters")
}

// leftOver says so when there were more than one act takes.
func (v *visit) leftOver(n int) string {
	if n < alikeLimit {
		return ""
	}
	return " There may be more: repeat it."
}

// letterSelection is what the list that an act was sent from shows.
func (v *visit) letterSelection() (sel delivery.Selection, err error) {
	sel = delivery.Selection{System: record.System(v.query("system")), Code: v.query("code"), Direction: v.query("direction")}
	if name := v.query("service"); name != "" {
		s, _, err := v.h.Services.Get(v.ctx(), v.who, name)
		if err != nil {
			return sel, err
		}
		sel.Service = s.ID
	}
	return sel, nil
}

func (h *Handler) redriveAll(v *visit) error {
	sel, err := v.letterSelection()
	if err != nil {
		return err
	}
	n, err := h.DeadLetters.RedriveAll(v.ctx(), v.who, sel, alikeLimit)
	if err != nil {
		return err
	}
	v.flash(ui.OK, ui.Count(int64(n), "dead letter is", "dead letters are")+" being tried again."+v.leftOver(n))
	return v.redirect("/dead-letters")
}

func (h *Handler) discardAll(v *visit) error {
	sel, err := v.letterSelection()
	if err != nil {
		return err
	}
	n, err := h.DeadLetters.DiscardAll(v.ctx(), v.who, sel, v.form("reason"), alikeLimit)
	if err != nil {
		return err
	}
	v.flash(ui.OK, ui.Count(int64(n), "dead letter", "dead letters")+" given up; the systems keep what they have."+v.leftOver(n))
	return v.redirect("/dead-letters")
}

// checkLetter says of the corrections as they are typed what is still wrong with them. Nothing is kept.
func (h *Handler) checkLetter(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	fields, wrong := v.corrections(d)
	list, err := h.Reader.Flaws(v.ctx(), v.who, d.Service, d.System, d.Object, d.Corrected(fields))
	if err != nil {
		return err
	}
	view := LetterCheck{Asked: true}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		view.Flaws = append(view.Flaws, name+": "+wrong[name])
	}
	for _, f := range list {
		if wrong[f.Field] == "" {
			view.Flaws = append(view.Flaws, f.Field+" breaks the rule "+f.Rule+": "+f.Reason+".")
		}
	}
	return v.render(LetterChecked(view))
}

func (h *Handler) discard(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	if _, err := h.DeadLetters.Discard(v.ctx(), v.who, d.ID, v.form("reason")); err != nil {
		return v.deadLetterAgain(d, err)
	}
	v.flash(ui.OK, "Given up; "+string(d.System)+" keeps what it has.")
	return v.redirect(deadLetterPath(d.ID))
}

func (h *Handler) discardAlike(v *visit) error {
	d, err := v.letter()
	if err != nil {
		return err
	}
	n, err := h.DeadLetters.DiscardLike(v.ctx(), v.who, d.ID, v.form("reason"), alikeLimit)
	if err != nil {
		return v.deadLetterAgain(d, err)
	}
	v.flash(ui.OK, fmt.Sprintf("%s given up; %s keeps what it has.%s", ui.Count(int64(n), "dead letter", "dead letters"), d.System, v.leftOver(n)))
	return v.redirect("/dead-letters")
}

// deadLetterAgain shows the letter with what kept an act from being done.
func (v *visit) deadLetterAgain(d delivery.DeadLetter, err error) error {
	if !refused(err) {
		return err
	}
	if fault.KindOf(err) == fault.Conflict { // it moved on; the page says where it stands now
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(deadLetterPath(d.ID))
	}
	view, readErr := v.deadLetterView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Wrong = or(at["/reason"], rest)
	return v.deadLetterPage(statusOf(err), view)
}
