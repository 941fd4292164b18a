// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesBackfills(r chi.Router) {
	r.Get("/services/{service}/backfills", h.page(h.backfills))
	r.Post("/services/{service}/backfills", h.page(h.beginBackfill))
	r.Post("/runs/{run}:resume", h.page(h.resumeRun))
}

// backfills asks what to read again, shows the one under way, and lists those before.
func (h *Handler) backfills(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view, err := v.backfillsView(s, v.query, nil)
	if err != nil {
		return err
	}
	return v.render(BackfillsPage(view))
}

func (v *visit) backfillsView(s subject, value func(string) string, wrong map[string]string) (view BackfillsView, err error) {
	at := v.place()
	f := service.RunFilter{Service: s.ID, Kinds: []service.RunKind{service.BulkRun, service.RecordsRun}, Limit: pageSize + 1}
	if cursor := at.after(); cursor != "" {
		if f.Before, err = service.ParseRunID(cursor); err != nil {
			return view, err
		}
	}
	list, err := v.h.Services.Runs(v.ctx(), v.who, f)
	if err != nil {
		return view, err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = list[len(list)-1].ID.Public()
	}
	view = BackfillsView{Service: v.view(s), Path: servicePath(s.Name) + "/backfills", Pager: at.pager(len(list), next, "backfill", "backfills")}
	view.Refresh = view.Path
	if v.r.Method == http.MethodGet {
		view.Refresh = v.r.URL.RequestURI()
	}
	view.May = view.Service.MayRun && s.State == service.Active
	over, _ := spanOf("24h", v.now)
	over.Step = 0
	overviews, err := v.h.Reader.Overviews(v.ctx(), v.who, s.ID, over)
	if err != nil {
		return view, err
	}
	for _, r := range list {
		line := BackfillLine{RunLine: v.runLine(r), What: selectionText(r.Selection), Priority: runPriority(r, s.Service)}
		line.MayResume = view.May && resumable(r, s.Service)
		if line.Open = !r.Over(); line.Open {
			p := v.progress(r, overviews[s.ID])
			line.Progress = &p
			line.MayCancel, line.Stopping = view.Service.MayRun, r.CancelAt != nil
		}
		view.Lines = append(view.Lines, line)
	}
	view.form(s, value, wrong)
	return view, v.framed(&view.Service, s, "backfills", "Backfills")
}

// resumable says whether a new run can go on where this one stood.
func resumable(r service.Run, s service.Service) bool {
	return r.Kind == service.BulkRun && (r.State == service.RunCancelled || r.State == service.RunFailed) && s.State == service.Active && r.Revision == s.Revision
}

// priorities are the classes of priority in words.
var priorities = map[int]string{service.PriorityCritical: "Critical", service.PriorityRealtime: "Realtime", service.PriorityStandard: "Standard", service.PriorityBulk: "Bulk"}

// runPriority says before and behind what a run goes.
func runPriority(r service.Run, s service.Service) string {
	switch r.Kind {
	case service.BulkRun:
		return "Bulk, behind every change"
	case service.RecordsRun:
		return "Ahead of other backfills"
	}
	return priorities[s.Priority]
}

func (view *BackfillsView) form(s subject, value func(string) string, wrong map[string]string) {
	wrongAt := func(names ...string) string {
		for _, n := range names {
			if wrong[n] != "" {
				return wrong[n]
			}
		}
		return ""
	}
	var objects []string
	for _, c := range s.doc.Collections() {
		for _, m := range c.Members {
			if m.Object != "" && !slices.Contains(objects, m.Object) {
				objects = append(objects, m.Object)
			}
		}
	}
	view.By = ui.Radios{Name: "by", Legend: "Which records", Value: or(value("by"), "all"), Options: []ui.Option{
		{Value: "all", Label: "All"}, {Value: "range", Label: "A range of keys"}, {Value: "records", Label: "A list of records"}, {Value: "since", Label: "Those changed since"},
	}}
	view.Source = ui.Select{Name: "source", Label: "System to read", Value: value("source"), Options: choices("Each that takes part as a source", s.doc.SystemIDs())}
	view.Source.Error = wrongAt("sourceSystem", "source")
	view.Object = ui.Select{Name: "object", Label: "Table or object", Value: value("object"), Options: choices("All of them", objects)}
	view.Object.Error = wrong["object"]
	view.From = ui.Field{Name: "from", Label: "First key", Value: value("from"), Optional: true, Mono: true, Autocomplete: "off", Error: wrongAt("from", "range"), Hint: "Both are included, in the order of keys that the system has."}
	view.To = ui.Field{Name: "to", Label: "Last key", Value: value("to"), Optional: true, Mono: true, Autocomplete: "off", Error: wrong["to"]}
	view.Records = ui.Area{Name: "records", Label: "Keys", Value: value("records"), Rows: 4, Mono: true, Error: wrong["records"], Hint: "One a line, or with commas between them; up to 10,000."}
	view.Since = ui.Field{Name: "since", Label: "Changed since", Value: value("since"), Type: "datetime-local", Optional: true, Error: wrongAt("updatedSince", "since"), Hint: "By the system's own word, in your time zone."}
	view.Expression = ui.Field{Name: "expression", Label: "And only where", Value: value("expression"), Optional: true, Mono: true, Autocomplete: "off", Error: wrong["expression"], Hint: "An expression on the fields, such as quantity > 0."}
	chosen := strings.Split(value("targets"), ",")
	for _, id := range s.doc.SystemIDs() {
		view.Targets = append(view.Targets, ui.Check{Name: "target", ID: "target-" + idWord(id), Value: id, Label: id, Checked: slices.Contains(chosen, id)})
	}
}

// selection reads the form: what "by" does not say is left out, whatever stands in its fields.
func (v *visit) selection() (sel service.Selection, wrong map[string]string) {
	wrong = map[string]string{}
	sel = service.Selection{Source: v.form("source"), Object: v.form("object"), Expression: v.form("expression")}
	sel.Targets = append(sel.Targets, v.r.PostForm["target"]...)
	switch v.form("by") {
	case "range":
		sel.From, sel.To = record.Key(v.form("from")), record.Key(v.form("to"))
		if sel.From == "" && sel.To == "" {
			wrong["from"] = "Write the first key, the last one, or both."
		}
	case "records":
		for _, key := range strings.FieldsFunc(v.form("records"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' }) {
			if key = strings.TrimSpace(key); key != "" {
				sel.Records = append(sel.Records, record.Key(key))
			}
		}
		if len(sel.Records) == 0 {
			wrong["records"] = "Write at least one key."
		}
	case "since":
		at, ok := v.timeTyped(v.form("since"))
		if !ok || at.IsZero() {
			wrong["since"] = "Write a time."
		}
		sel.Since = at
	}
	return sel, wrong
}

// beginBackfill makes a plan of a backfill, or begins it.
func (h *Handler) beginBackfill(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	sel, wrong := v.selection()
	if len(wrong) > 0 {
		return v.backfillsAgain(s, wrong, nil)
	}
	if v.form("act") == "plan" {
		p, err := h.Planner.PlanRun(v.ctx(), v.who, s.Name, sel)
		if err != nil {
			return v.backfillsAgain(s, nil, err)
		}
		return v.redirect(servicePlanPath(p.ID))
	}
	r, err := h.Services.ReadAgain(v.ctx(), v.who, s.Name, sel, false, nil)
	if err != nil {
		return v.backfillsAgain(s, nil, err)
	}
	v.flash(ui.OK, "The backfill begins.")
	return v.redirect(runPath(r.ID))
}

// backfillsAgain shows the form with what is wrong in it.
func (v *visit) backfillsAgain(s subject, wrong map[string]string, err error) error {
	status := statuses[fault.Invalid]
	rest := ""
	if err != nil {
		if !refused(err) {
			return err
		}
		status = statusOf(err)
		wrong, rest = fieldErrors(err)
	}
	value := func(name string) string {
		if name == "targets" {
			return strings.Join(v.r.PostForm["target"], ",")
		}
		return v.form(name)
	}
	view, readErr := v.backfillsView(s, value, wrong)
	if readErr != nil {
		return readErr
	}
	view.Wrong = rest
	return v.renderAs(status, BackfillsPage(view))
}

func (h *Handler) resumeRun(v *visit) error {
	id, err := service.ParseRunID(v.param("run"))
	if err != nil {
		return err
	}
	r, err := h.Services.ResumeRun(v.ctx(), v.who, id)
	if refused(err) {
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(runPath(id))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, "It goes on where it stood.")
	return v.redirect(runPath(r.ID))
}

// BackfillsView asks what to read again, and lists what was.
type BackfillsView struct {
	Service    ServiceView
	Path       string
	Refresh    string
	By         ui.Radios
	Source     ui.Select
	Object     ui.Select
	From       ui.Field
	To         ui.Field
	Records    ui.Area
	Since      ui.Field
	Expression ui.Field
	Targets    []ui.Check
	Wrong      string // what is wrong with no field
	Lines      []BackfillLine
	Pager      ui.Pager
	May        bool
}

// BackfillLine is one backfill.
type BackfillLine struct {
	RunLine
	What      string
	Priority  string
	Open      bool
	Stopping  bool
	Progress  *ui.Progress
	MayCancel bool
	MayResume bool
}

// elapsed is how long it took; "" while it is not over.
func (l BackfillLine) elapsed() string {
	if l.Took < time.Millisecond {
		return ""
	}
	return ui.Span(l.Took)
}
