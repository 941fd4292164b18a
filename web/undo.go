// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesUndo(r chi.Router) {
	r.Get("/runs/{run}/undo", h.page(h.undoOfRun))
	r.Get("/services/{service}/undo", h.page(h.undoPreview))
	r.Post("/services/{service}/undo", h.page(h.undo))
	r.Get("/services/{service}/undo/progress", h.page(h.undoProgress))
	r.Get("/services/{service}/undo/progress/parts/now", h.page(h.undoProgressNow))
}

// undoShown is how many records a preview lists; its figures are of all.
const undoShown = 100

// undoOfRun leads to the preview of taking a run back.
func (h *Handler) undoOfRun(v *visit) error {
	id, err := service.ParseRunID(v.param("run"))
	if err != nil {
		return err
	}
	r, err := h.Services.Run(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	s, _, err := h.Services.Get(v.ctx(), v.who, r.Service.Public())
	if err != nil {
		return err
	}
	return v.redirect(servicePath(s.Name) + "/undo?run=" + id.Public())
}

// dateTime is how a browser writes a time without a zone; it means the tenant's.
const dateTime = "2006-01-02T15:04"

// timeTyped reads such a time; the zero time for nothing, false for what cannot be read.
func (v *visit) timeTyped(text string) (time.Time, bool) {
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, true
	}
	for _, layout := range []string{dateTime, dateTime + ":05"} {
		if at, err := time.ParseInLocation(layout, text, v.zone); err == nil {
			return at.UTC(), true
		}
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err == nil
}

// undoFields are the names of the form's fields, which stand in the address as well.
var undoFields = []string{"run", "actor", "rule", "system", "since", "until"}

// undoAsked reads what is to be taken back, from values by those names.
func (v *visit) undoAsked(value func(string) string) (sel safety.Selection, wrong map[string]string) {
	wrong = map[string]string{}
	sel = safety.Selection{Actor: strings.TrimSpace(value("actor")), Rule: value("rule"), System: record.System(value("system"))}
	if text := strings.TrimSpace(value("run")); text != "" {
		id, err := service.ParseRunID(text)
		if err != nil {
			wrong["run"] = "This is not the id of a run; it begins with run_."
		}
		sel.Run = id
	}
	for name, to := range map[string]*time.Time{"since": &sel.Since, "until": &sel.Until} {
		at, ok := v.timeTyped(value(name))
		if !ok {
			wrong[name] = "This is not a time."
		}
		*to = at
	}
	return sel, wrong
}

// undoPreview asks what to take back, and shows what that would do.
func (h *Handler) undoPreview(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	if err := v.who.May(auth.EditRecords); err != nil {
		return err
	}
	sel, wrong := v.undoAsked(v.query)
	view, err := v.undoForm(s, v.query, wrong)
	if err != nil {
		return err
	}
	status := 200
	if view.Asked = v.r.URL.RawQuery != ""; view.Asked && len(wrong) == 0 {
		u, err := h.Editor.Undo(v.ctx(), v.who, s.Name, sel, true, "")
		switch {
		case refused(err):
			view.Refusal = v.alertOf(err, "This cannot be taken back at once")
			status = statusOf(err)
		case err != nil:
			return err
		default:
			view.Looked = true
			view.preview(s.Name, u)
		}
	}
	return v.undoPage(status, s, view)
}

func (v *visit) undoPage(status int, s subject, view UndoView) (err error) {
	home := servicePath(s.Name)
	if view.Page, err = v.shell("Undo changes of "+s.Name, "/services", "Services", "/services", s.Name, home, "Undo"); err != nil {
		return err
	}
	return v.renderAs(status, UndoPage(view))
}

func (v *visit) undoForm(s subject, value func(string) string, wrong map[string]string) (view UndoView, err error) {
	view = UndoView{Path: servicePath(s.Name) + "/undo", Home: servicePath(s.Name), Zone: v.zone.String(), Hidden: map[string]string{}}
	for _, name := range undoFields {
		if text := value(name); text != "" {
			view.Hidden[name] = text
		}
	}
	zone := "In the time zone " + view.Zone + "."
	view.Run = ui.Field{Name: "run", Label: "A run", Value: value("run"), Error: wrong["run"], Optional: true, Mono: true, Placeholder: "run_…", Autocomplete: "off", Hint: "All that came in while it was open."}
	view.Actor = ui.Field{Name: "actor", Label: "A person or key", Value: value("actor"), Optional: true, Autocomplete: "off", Hint: "By name: what they decided, edited or took back here.", Attrs: map[string]any{"list": "undo-people"}}
	view.Since = ui.Field{Name: "since", Label: "Not before", Value: value("since"), Type: "datetime-local", Error: wrong["since"], Optional: true, Hint: zone}
	view.Until = ui.Field{Name: "until", Label: "Before", Value: value("until"), Type: "datetime-local", Error: wrong["until"], Optional: true, Hint: zone}
	var rules []string
	for i := range s.doc.BusinessRules {
		if s.doc.BusinessRules[i].Name != "" {
			rules = append(rules, s.doc.BusinessRules[i].Name)
		}
	}
	if rule := value("rule"); rule != "" && !slices.Contains(rules, rule) {
		rules = append(rules, rule) // of an earlier revision
	}
	view.Rule = ui.Select{Name: "rule", Label: "A business rule", Value: value("rule"), Options: choices("Any", rules), Hint: "What it wrote."}
	view.System = ui.Select{Name: "system", Label: "Only from", Value: value("system"), Options: choices("Any system", s.doc.SystemIDs())}
	members, err := v.h.Auth.Members(v.ctx(), v.who, auth.UserID{}, 100)
	for _, m := range members {
		view.People = append(view.People, m.Name)
	}
	if fault.KindOf(err) == fault.Forbidden {
		err = nil // names can be typed all the same
	}
	return view, err
}

// choices are options that are called as they are; the first is for any.
func choices(any string, names []string) []ui.Option {
	out := []ui.Option{{Label: any}}
	for _, n := range names {
		out = append(out, ui.Option{Value: n, Label: n})
	}
	return out
}

// preview fills in what would be done.
func (view *UndoView) preview(service string, u safety.Undo) {
	view.Hash, view.Selected, view.Records, view.Kept = u.Hash, int64(u.Selected), int64(len(u.Reversals)), int64(len(u.Kept))
	for _, one := range u.Reversals[:min(len(u.Reversals), undoShown)] {
		line := UndoLine{Href: recordPath(service, one.Entity), Title: headline(or(titleIn(one.Before), or(titleIn(one.After), keyText(one.Title))))}
		entry := record.Entry{Before: one.Before, After: one.After}
		switch one.Op {
		case record.Deleted:
			line.What = "It goes where it was copied to, and stays where it was made."
		case record.Created:
			line.What = "It lives again, in every system."
		default:
			line.What = "Set back."
			line.Diff = ui.Diff{Bare: true, Fields: fieldDiffs(entry, "")}
		}
		view.Lines = append(view.Lines, line)
	}
	for _, k := range u.Kept[:min(len(u.Kept), undoShown)] {
		view.Keeps = append(view.Keeps, ui.Line{Icon: "lock", Title: or(k.Field, "The record") + " of " + or(keyText(k.Title), "a record"), Href: recordPath(service, k.Entity), Text: k.Why})
	}
}

// undo takes changes back, as the preview showed it.
func (h *Handler) undo(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	sel, wrong := v.undoAsked(v.form)
	if len(wrong) > 0 {
		return fault.New(fault.Malformed, "web.malformed", "This is not what the form sends.")
	}
	u, err := h.Editor.Undo(v.ctx(), v.who, s.Name, sel, false, v.form("hash"))
	if refused(err) {
		v.flash(ui.Warn, fault.As(err).Message)
		q := url.Values{}
		for _, name := range undoFields {
			if text := v.form(name); text != "" {
				q.Set(name, text)
			}
		}
		return v.redirect(address(servicePath(s.Name)+"/undo", q))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, ui.Count(int64(len(u.Reversals)), "record is", "records are")+" being brought back.")
	return v.redirect(servicePath(s.Name) + "/undo/progress?records=" + strconv.Itoa(len(u.Reversals)))
}

func (h *Handler) undoProgress(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view, err := v.undoProgressView(s)
	if err != nil {
		return err
	}
	home := servicePath(s.Name)
	if view.Page, err = v.shell("Changes are taken back", "/services", "Services", "/services", s.Name, home, "Undo", home+"/undo", "Progress"); err != nil {
		return err
	}
	return v.render(UndoProgressPage(view))
}

func (h *Handler) undoProgressNow(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view, err := v.undoProgressView(s)
	if err != nil {
		return err
	}
	return v.render(UndoProgressNow(view))
}

// undoProgressView tells how much the systems are still owed. The undo itself is one commit and is done by now.
func (v *visit) undoProgressView(s subject) (view UndoProgressView, err error) {
	over, _ := spanOf("24h", v.now)
	over.Step = 0
	all, err := v.h.Reader.Overviews(v.ctx(), v.who, s.ID, over)
	if err != nil {
		return view, err
	}
	records, _ := strconv.ParseInt(v.query("records"), 10, 64) // 0 when somebody wrote something else into the address
	o := all[s.ID]
	view = UndoProgressView{Name: s.Name, Home: servicePath(s.Name), Live: s.ID.Public(), Part: servicePath(s.Name) + "/undo/progress/parts/now?" + v.r.URL.RawQuery, Records: records, Owed: o.Owed}
	view.Progress = ui.Progress{ID: "undo-progress", Title: "Telling the systems", State: "running", Unit: "deliveries", Total: max(o.Owed, records), Note: "The records have their former values here already"}
	view.Progress.Done = view.Progress.Total - o.Owed
	if view.Done = o.Owed == 0; view.Done {
		view.Progress.State = "succeeded"
	}
	for _, t := range o.Failing {
		view.Notices = append(view.Notices, ui.Alert{Tone: ui.Bad, Title: string(t.System) + " does not work", Text: t.Message + " It is tried again by itself.", Code: t.Code, Since: t.Since})
	}
	return view, nil
}
