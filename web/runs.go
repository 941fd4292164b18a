// SPDX-License-Identifier: Apache-2.0

package web

import (
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesRuns(r chi.Router) {
	r.Get("/services/{service}/runs", h.page(h.runs))
	r.Get("/runs/{run}", h.page(h.run))
	r.Get("/runs/{run}/parts/now", h.page(h.runNow))
	r.Post("/runs/{run}:cancel", h.page(h.cancelRun))
}

var runStates = []service.RunState{service.RunQueued, service.RunRunning, service.RunSucceeded, service.RunPartial, service.RunFailed, service.RunCancelled}

func (h *Handler) runs(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	at := v.place()
	f := service.RunFilter{Service: s.ID, Limit: pageSize + 1}
	stateName := v.query("state")
	if stateName != "" {
		f.States = []service.RunState{service.RunState(stateName)}
	}
	if cursor := at.after(); cursor != "" {
		if f.Before, err = service.ParseRunID(cursor); err != nil {
			return err
		}
	}
	list, err := h.Services.Runs(v.ctx(), v.who, f)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = list[len(list)-1].ID.Public()
	}
	view := RunsView{Service: v.view(s), Pager: at.pager(len(list), next, "run", "runs"), Refresh: v.r.URL.RequestURI()}
	for _, r := range list {
		view.Runs = append(view.Runs, v.runLine(r))
	}
	view.Filter = ui.FilterBar{
		Action: view.Service.Path + "/runs", Target: "#runs",
		Selects: []ui.Select{{Name: "state", Label: "State", Value: stateName, Options: options("Any state", words(runStates)...)}},
	}
	if err := v.framed(&view.Service, s, "runs", "Runs"); err != nil {
		return err
	}
	return v.render(RunsPage(view))
}

var runKinds = map[service.RunKind]string{service.FirstRun: "First sync", service.ScheduledRun: "Scheduled run", service.ManualRun: "Run", service.BulkRun: "Backfill", service.RecordsRun: "Backfill of records"}

func (v *visit) runLine(r service.Run) RunLine {
	l := RunLine{ID: r.ID.Public(), Href: runPath(r.ID), State: string(r.State), Kind: runKinds[r.Kind], Trigger: r.Actor, Started: timeOf(r.StartedAt)}
	if r.Actor == "schedule" {
		l.Trigger = "the schedule"
	}
	for _, c := range r.Counts {
		l.Read += c.Read
		l.Created += c.Created
		l.Updated += c.Updated
		l.Deleted += c.Deleted
		l.Equal += c.Equal
		l.Failed += c.Rejected
	}
	if r.StartedAt != nil && r.FinishedAt != nil {
		l.Took = max(r.FinishedAt.Sub(*r.StartedAt), time.Millisecond)
	}
	return l
}

// latestRuns are the ones on the service's own page.
func (v *visit) latestRuns(s subject) (out []RunLine, err error) {
	list, err := v.h.Services.Runs(v.ctx(), v.who, service.RunFilter{Service: s.ID, Limit: 5})
	for _, r := range list {
		out = append(out, v.runLine(r))
	}
	return out, err
}

// openRun is the progress of a run that is queued or under way; nil without one.
func (v *visit) openRun(s subject, o engine.Overview) (*ui.Progress, error) {
	if !o.RunOpen {
		return nil, nil
	}
	list, err := v.h.Services.Runs(v.ctx(), v.who, service.RunFilter{Service: s.ID, States: []service.RunState{service.RunQueued, service.RunRunning}, Limit: 5})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	r := list[len(list)-1] // the oldest: the others wait for it
	p := v.progress(r, o)
	if v.can(auth.RunServices) {
		p.Actions = ui.Fragments{cancelButton(runPath(r.ID), r.CancelAt != nil, "#service-now", "sm")}
	}
	p.Actions = append(ui.Fragments{ui.Button{Label: "Details", Size: "sm", Kind: ui.Ghost, Href: runPath(r.ID)}}, p.Actions...)
	return &p, nil
}

// progress is how far a run has come. A first run knows how many records there are; another one reads changes until there
// are no more, so that only what was read can be told.
func (v *visit) progress(r service.Run, o engine.Overview) ui.Progress {
	p := ui.Progress{ID: "run-progress", Title: runKinds[r.Kind], State: string(r.State), Unit: "records", Note: "A cancel keeps what was written"}
	var read, total, seen int64
	for _, c := range r.Counts {
		seen += c.Read
	}
	read, total = r.Progress()
	if r.Kind != service.FirstRun && !r.Kind.Beside() || total == 0 {
		read, total = seen, 0
	}
	p.Done, p.Total = read, total
	if r.State == service.RunQueued {
		p.Note = "Waits for a worker"
		return p
	}
	if r.StartedAt != nil {
		if took := v.now.Sub(*r.StartedAt).Seconds(); took > 0.2 {
			p.PerSecond = float64(read) / took
		}
	}
	if p.PerSecond > 0 && total > read {
		p.Left = time.Duration(float64(total-read) / p.PerSecond * float64(time.Second)).Round(time.Second)
	}
	reading := total == 0 || read < total
	deliver := "next"
	if o.Owed > 0 || !reading {
		deliver = "now"
	}
	readState := "now"
	if !reading {
		readState = "done"
	}
	p.Phases = []ui.Phase{{Name: "Read and match", State: readState}, {Name: "Deliver", State: deliver}}
	if o.Owed > 0 {
		p.Phases[1].Name = "Deliver, " + ui.Number(o.Owed) + " owed"
	}
	return p
}

func (h *Handler) run(v *visit) error {
	view, err := h.runView(v)
	if err != nil {
		return err
	}
	view.Page, err = v.shell(view.Line.Kind+" of "+view.Line.Service, "/services",
		"Services", "/services", view.Line.Service, view.Home, "Runs", view.Home+"/runs", idTail(view.Line.ID))
	if err != nil {
		return err
	}
	return v.render(RunPage(view))
}

func (h *Handler) runNow(v *visit) error {
	view, err := h.runView(v)
	if err != nil {
		return err
	}
	return v.render(RunNow(view))
}

// cancelRun stops a run. The answer is the part of the page that asked.
func (h *Handler) cancelRun(v *visit) error {
	id, err := service.ParseRunID(v.param("run"))
	if err != nil {
		return err
	}
	r, err := h.Services.CancelRun(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	text := "The run stops at its next commit. What was written stays."
	if r.Over() {
		text = "The run is " + string(r.State) + "."
	}
	v.done(text)
	if !v.htmx() {
		return v.redirect(runPath(id))
	}
	if v.query("on") == "service" {
		s, revision, err := h.Services.Get(v.ctx(), v.who, r.Service.Public())
		if err != nil {
			return err
		}
		about := subject{s, revision, revision.Document}
		view := v.view(about)
		if err := v.atPresent(&view, about); err != nil {
			return err
		}
		return v.render(ServiceNow(view))
	}
	return h.runNow(v)
}

func (h *Handler) runView(v *visit) (view RunView, err error) {
	id, err := service.ParseRunID(v.param("run"))
	if err != nil {
		return view, fault.Wrap(err, fault.NotFound, "run.not_found", "There is no run with this id.")
	}
	r, err := h.Services.Run(v.ctx(), v.who, id)
	if err != nil {
		return view, err
	}
	s, revision, err := h.Services.Get(v.ctx(), v.who, r.Service.Public())
	if err != nil {
		return view, err
	}
	view = RunView{
		Line: v.runLine(r), Path: runPath(id), Service: s.ID.Public(), Home: servicePath(s.Name), MayRun: v.can(auth.RunServices), Open: !r.Over(), MayUndo: r.Over() && v.can(auth.EditRecords), Stopping: r.CancelAt != nil,
		Snippets: []ui.Code{{Title: "curl", Lang: "shell", Text: v.curl("GET", "/v1/runs/"+id.Public(), "") + "\n\n# stop it\n" + v.curl("POST", "/v1/runs/"+id.Public()+":cancel", "")}},
	}
	view.Line.Service = s.Name
	over, _ := spanOf("24h", v.now)
	over.Step = 0
	overviews, err := h.Reader.Overviews(v.ctx(), v.who, s.ID, over)
	if err != nil {
		return view, err
	}
	if view.Open {
		p := v.progress(r, overviews[s.ID])
		view.Progress = &p
	}
	if r.Error != "" || r.ErrorCode != "" {
		view.Notices = append(view.Notices, ui.Alert{Tone: ui.Bad, Title: "The run failed", Text: r.Error, Code: r.ErrorCode, Since: timeOf(r.FinishedAt)})
	}
	if view.Open {
		for _, t := range overviews[s.ID].Failing {
			view.Notices = append(view.Notices, ui.Alert{Tone: ui.Bad, Title: string(t.System) + " does not work", Text: t.Message + " It is tried again by itself.", Code: t.Code, Since: t.Since})
		}
	}
	if r.State == service.RunPartial {
		view.Notices = append(view.Notices, ui.Alert{Tone: ui.Warn, Title: "Something was left over", Text: "All records were read. Those that were refused or in conflict wait for a person; everything else is equal.",
			Actions: ui.Fragments{ui.Button{Label: "Conflicts", Size: "sm", Href: "/conflicts?service=" + url.QueryEscape(s.Name)}, ui.Button{Label: "Dead letters", Size: "sm", Href: "/dead-letters?service=" + url.QueryEscape(s.Name)}}})
	}
	l := view.Line
	view.Stats = []ui.Stat{
		{Label: "Read", Icon: "arrow-up", Value: ui.Number(l.Read), Note: ui.Number(l.Equal) + " were equal already"},
		{Label: "Created", Icon: "plus", Value: ui.Number(l.Created)},
		{Label: "Updated", Icon: "pencil", Value: ui.Number(l.Updated)},
		{Label: "Deleted", Icon: "minus", Value: ui.Number(l.Deleted)},
		{Label: "Refused", Icon: "circle-x", Value: ui.Number(l.Failed), Note: "as dead letters"},
	}
	types := map[record.System]string{}
	if revision.Document != nil {
		for _, sys := range revision.Document.Systems {
			types[record.System(sys.ID)] = sys.Type
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.Counts)) {
		c := r.Counts[id]
		view.Systems = append(view.Systems, RunSystem{System: SystemRef{string(id), types[id]}, Owed: c.Owed, Work: Work{
			Read: c.Read, Equal: c.Equal, Created: c.Created, Updated: c.Updated, Deleted: c.Deleted, Conflicts: c.Conflicts, Rejected: c.Rejected,
		}})
	}
	view.Facts = []ui.KeyValue{
		{Key: "Asked for", Body: ui.Fragments{ui.Time{At: r.CreatedAt}}, Hint: "by " + l.Trigger},
		{Key: "Began", Body: ui.Fragments{ui.Time{At: timeOf(r.StartedAt), Never: "not yet"}}, Hint: waited(r)},
		{Key: "Ended", Body: ui.Fragments{ui.Time{At: timeOf(r.FinishedAt), Never: "not yet"}}},
		{Key: "Revision", Text: itoa(r.Revision)},
		{Key: "Priority", Text: runPriority(r, s)},
	}
	if r.Kind.Beside() {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Reads", Text: selectionText(r.Selection)})
		view.MayResume = view.MayRun && resumable(r, s)
	}
	return view, nil
}

func waited(r service.Run) string {
	if r.StartedAt == nil {
		return ""
	}
	return "waited " + ui.Span(r.StartedAt.Sub(r.CreatedAt))
}
