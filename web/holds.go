// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesHolds(r chi.Router) {
	r.Get("/holds", h.page(h.holds))
	r.Get("/holds/{hold}", h.page(h.hold))
	r.Get("/holds/{hold}/parts/now", h.page(h.holdNow))
	r.Post("/holds/{hold}:release", h.page(h.releaseHold))
	r.Post("/holds/{hold}:reject", h.page(h.rejectHold))
}

var holdStates = []engine.HoldState{engine.HoldOpen, engine.HoldReleased, engine.HoldRejected, engine.HoldSettled, engine.HoldAlerted}

var holdStateNames = map[engine.HoldState]string{engine.HoldOpen: "Waiting", engine.HoldReleased: "Released", engine.HoldRejected: "Rejected", engine.HoldSettled: "Settled", engine.HoldAlerted: "Only told"}

func holdPath(id uuid.UUID) string { return "/holds/" + ident.Format(ident.Hold, id) }

// holdTitle says what is held in words.
func holdTitle(h safety.Hold) string {
	n := h.Held
	if h.State != engine.HoldOpen {
		n = h.Total
	}
	what := map[engine.HoldKind][2]string{
		engine.HoldDeletes: {"deletion", "deletions"}, engine.HoldAbsent: {"missing record", "missing records"},
		engine.HoldOrphans: {"orphan", "orphans"},
		engine.HoldChanges: {"change", "changes"}, engine.HoldValues: {"number that moved far", "numbers that moved far"},
	}[h.Kind]
	if h.State == engine.HoldAlerted {
		return "More " + what[1] + " than the limit in " + string(h.System)
	}
	return ui.Count(n, what[0], what[1]) + " from " + string(h.System)
}

func (h *Handler) holds(v *visit) error {
	all, err := v.lineup()
	if err != nil {
		return err
	}
	q := safety.HoldQuery{State: engine.HoldState(v.query("state")), Limit: pageSize + 1}
	if !slices.Contains(holdStates, q.State) {
		q.State = engine.HoldOpen
	}
	view := HoldsView{Refresh: v.r.URL.RequestURI(), Decided: q.State != engine.HoldOpen}
	for _, s := range holdStates {
		tab := ui.Tab{Label: holdStateNames[s], Href: "/holds?state=" + string(s), Current: s == q.State}
		if s == engine.HoldOpen {
			tab.Href = "/holds"
		}
		view.Tabs.Items = append(view.Tabs.Items, tab)
	}
	view.Tabs.Label = "Held changes"
	if s, ok := all.named(v.query("service")); ok {
		q.Service = s.ID
	}
	place := v.place()
	if q.Before, err = ident.Parse(ident.Hold, place.after()); err != nil {
		q.Before = uuid.Nil
	}
	list, err := h.Holds.List(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.Hold, list[len(list)-1].ID)
	}
	view.Pager = place.pager(len(list), next, "hold", "holds")
	for _, one := range list {
		r, err := all.roster(one.Service)
		if err != nil {
			return err
		}
		view.Holds = append(view.Holds, holdLine(one, r))
	}
	if view.Page, err = v.shell("Held changes", "/holds", "Held changes"); err != nil {
		return err
	}
	return v.render(HoldsPage(view))
}

func holdLine(h safety.Hold, r roster) HoldLine {
	return HoldLine{ID: ident.Format(ident.Hold, h.ID), Href: holdPath(h.ID), Title: holdTitle(h), Reason: h.Reason, System: r.ref(h.System), Service: h.ServiceName,
		State: string(h.State), At: h.OpenedAt, By: h.DecidedBy, Note: h.Note}
}

func (v *visit) heldHold() (safety.Hold, error) {
	id, err := ident.Parse(ident.Hold, v.param("hold"))
	if err != nil {
		return safety.Hold{}, err
	}
	return v.h.Holds.Get(v.ctx(), v.who, id)
}

func (v *visit) holdView() (view HoldView, err error) {
	h, err := v.heldHold()
	if err != nil {
		return view, err
	}
	s, revision, err := v.h.Services.Get(v.ctx(), v.who, h.Service.Public())
	if err != nil {
		return view, err
	}
	var r roster
	if revision.Document != nil {
		r = rosterOf(revision.Document)
	}
	view = HoldView{
		Line: holdLine(h, r), Path: holdPath(h.ID), Live: s.ID.Public(), Kind: string(h.Kind), Held: h.Held,
		May: v.can(auth.EditRecords) && h.State == engine.HoldOpen, MayRead: v.can(auth.ViewRecords), Restore: h.Restore,
		MayRestore: h.Kind != engine.HoldOrphans && revision.Document != nil && takesChanges(revision.Document, string(h.System)),
	}
	view.Part = view.Path + "/parts/now"
	if q := v.r.URL.RawQuery; q != "" {
		view.Part += "?" + q
	}
	view.Facts = []ui.KeyValue{
		{Key: "Service", Body: ui.Fragments{causeLink(s.Name, servicePath(s.Name))}},
		{Key: "System", Text: string(h.System)},
		{Key: "Object", Text: string(h.Object), Mono: true},
		{Key: "Held since", Body: ui.Fragments{ui.Time{At: h.OpenedAt}}},
		{Key: "Hold", Body: ui.Fragments{ui.ID{Value: view.Line.ID, Short: true, Label: "hold id"}}},
	}
	if h.DecidedAt != nil && h.DecidedBy != "" {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Decided", Body: ui.Fragments{ui.Time{At: *h.DecidedAt}}, Hint: "by " + h.DecidedBy})
	}
	if !view.MayRead {
		return view, nil
	}
	place := v.place()
	list, err := v.h.Holds.Changes(v.ctx(), v.who, h.ID, record.Key(place.after()), pageSize+1)
	if err != nil {
		return view, err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = string(list[len(list)-1].Key)
	}
	place.v = &visit{r: v.r.Clone(v.ctx())}
	place.v.r.URL.Path = view.Path
	view.Pager = place.pager(len(list), next, "change", "changes")
	for _, c := range list {
		view.Changes = append(view.Changes, heldLine(c, s))
	}
	return view, nil
}

func heldLine(c safety.HeldChange, s service.Service) HeldLine {
	line := HeldLine{Key: keyText(string(c.Key)), Title: headline(or(titleIn(c.Fields), or(c.Title, keyText(string(c.Key))))), At: c.HeldAt, Why: c.Why, What: "change"}
	if !c.Entity.IsZero() {
		line.Href = recordPath(s.Name, c.Entity)
	}
	switch {
	case c.Absent:
		line.What = "missing"
	case c.Op == record.Delete && c.Why != "":
		line.What = "orphan"
	case c.Op == record.Delete:
		line.What = "deletion"
	case c.Entity.IsZero():
		line.What = "new record"
	}
	line.Diff = ui.Diff{Bare: true, Fields: fieldDiffs(record.Entry{Before: c.Before, After: c.After}, "")}
	return line
}

// takesChanges says whether any other system's changes go to the system.
func takesChanges(doc *service.Document, system string) bool {
	for _, id := range doc.SystemIDs() {
		if id != system && slices.Contains(doc.SystemsReceiving(id, ""), system) {
			return true
		}
	}
	return false
}

func (h *Handler) hold(v *visit) error {
	view, err := v.holdView()
	if err != nil {
		return err
	}
	return v.holdPage(200, view)
}

func (v *visit) holdPage(status int, view HoldView) (err error) {
	if view.Page, err = v.shell("Held changes", "/holds", "Held changes", "/holds", view.Line.Title); err != nil {
		return err
	}
	return v.renderAs(status, HoldPage(view))
}

func (h *Handler) holdNow(v *visit) error {
	view, err := v.holdView()
	if err != nil {
		return err
	}
	return v.render(HoldNow(view))
}

func (h *Handler) releaseHold(v *visit) error {
	one, err := v.heldHold()
	if err != nil {
		return err
	}
	if _, err := h.Holds.Release(v.ctx(), v.who, one.ID, v.form("note"), 0); err != nil {
		return v.holdAgain(one, err)
	}
	v.flash(ui.OK, "Released: the changes go on.")
	return v.redirect(holdPath(one.ID))
}

func (h *Handler) rejectHold(v *visit) error {
	one, err := v.heldHold()
	if err != nil {
		return err
	}
	restore := v.form("restore") != ""
	if _, err := h.Holds.Reject(v.ctx(), v.who, one.ID, v.form("reason"), restore, 0); err != nil {
		return v.holdAgain(one, err)
	}
	text := "Rejected; " + string(one.System) + " keeps what it has, and so do the others."
	switch {
	case one.Kind == engine.HoldOrphans:
		text = "Rejected; the records stay as they are, and what they refer to is deleted where nothing refers to it any more."
	case restore:
		text = "Rejected; " + string(one.System) + " is brought back to what the others hold."
	}
	v.flash(ui.OK, text)
	return v.redirect(holdPath(one.ID))
}

// holdAgain shows the hold with what kept a decision from being carried out.
func (v *visit) holdAgain(h safety.Hold, err error) error {
	if !refused(err) {
		return err
	}
	if fault.KindOf(err) == fault.Conflict {
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(holdPath(h.ID))
	}
	view, readErr := v.holdView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Wrong = or(at["/reason"], rest)
	return v.holdPage(statusOf(err), view)
}

// heldNotices are the banners of a service's page: what waits for somebody to decide.
func (v *visit) heldNotices(s service.ID) (out []ui.Alert, err error) {
	list, err := v.h.Holds.List(v.ctx(), v.who, safety.HoldQuery{Service: s, State: engine.HoldOpen, Limit: 5})
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		out = append(out, ui.Alert{Tone: ui.Warn, Title: "Held: " + holdTitle(h), Text: h.Reason + " Nothing of it is lost and nothing is sent until somebody decides.", Since: h.OpenedAt,
			Actions: ui.Fragments{ui.Button{Label: "Look and decide", Size: "sm", Icon: "shield-alert", Href: holdPath(h.ID)}}})
	}
	return out, nil
}

// heldNeeds are the overview's lines about what waits for somebody to decide.
func (v *visit) heldNeeds() (lines []ui.Line, err error) {
	list, err := v.h.Holds.List(v.ctx(), v.who, safety.HoldQuery{State: engine.HoldOpen, Limit: 10})
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		lines = append(lines, ui.Line{Icon: "shield-alert", Tone: ui.Warn, Title: "Held in " + h.ServiceName + ": " + holdTitle(h), Href: holdPath(h.ID), Text: h.Reason})
	}
	return lines, nil
}
