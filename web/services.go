// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesServices(r chi.Router) {
	r.Get("/services", h.page(h.services))
	r.Get("/services/{service}", h.page(h.service))
	r.Get("/services/{service}/parts/head", h.page(h.serviceHead))
	r.Get("/services/{service}/parts/now", h.page(h.serviceNow))
	r.Get("/services/{service}/parts/feed", h.page(h.serviceFeed))
	r.Get("/services/{service}/parts/runs", h.page(h.serviceRuns))
	r.Get("/services/{service}/parts/systems", h.page(h.serviceSystems))
	r.Get("/services/{service}/parts/fields", h.page(h.serviceFields))
	r.Get("/services/{service}/export", h.page(h.exportService))
	r.Post("/services/{service}:run", h.page(h.runService))
	r.Post("/services/{service}:pause", h.page(h.pauseService))
	r.Post("/services/{service}:resume", h.page(h.resumeService))
	r.Post("/services/{service}:archive", h.page(h.archiveService))
}

func (h *Handler) services(v *visit) error {
	at := v.place()
	f := service.Filter{Containing: strings.TrimSpace(v.query("q")), After: at.after(), Limit: pageSize + 1}
	stateName, health := v.query("state"), v.query("health")
	if stateName != "" {
		f.States = []service.State{service.State(stateName)}
	} else {
		f.States = []service.State{service.Draft, service.Active, service.Paused, service.ActionRequired}
	}
	if health != "" {
		f.After, f.Limit = "", 0 // how a service does is not in its row: all are looked at
	}
	list, err := h.Services.List(v.ctx(), v.who, f)
	if err != nil {
		return err
	}
	st := state{services: list}
	st.over, st.buckets = spanOf("24h", v.now)
	if st.overviews, err = h.Reader.Overviews(v.ctx(), v.who, service.ID{}, st.over); err != nil {
		return err
	}
	if health != "" {
		list = slices.DeleteFunc(list, func(s service.Service) bool {
			return string(st.overviews[s.ID].Health(s, v.now)) != health || s.Name <= at.after()
		})
	}
	list, more := cut(list)
	next := ""
	if more {
		next = list[len(list)-1].Name
	}
	view := ServicesView{
		MayCreate: v.can(auth.EditServices), Filtered: f.Containing != "" || stateName != "" || health != "",
		Pager: at.pager(len(list), next, "service", "services"), Refresh: v.r.URL.RequestURI(),
	}
	if view.Services, err = v.serviceLines(list, st); err != nil {
		return err
	}
	view.Filter = ui.FilterBar{
		Action: "/services", Target: "#services", Search: "q", SearchLabel: "Search services", Value: f.Containing,
		Selects: []ui.Select{
			{Name: "state", Label: "State", Value: stateName, Options: options("Any state but archived", words(service.States)...)},
			{Name: "health", Label: "Against its schedule", Value: health, Options: options("However it does", words(engine.Healths)...)},
		},
	}
	if health != "" {
		view.Filter.Chips = append(view.Filter.Chips, v.chip("health", "Does", ui.Words(health)))
	}
	if view.Filtered {
		view.Filter.Clear = "/services"
	}
	if view.Page, err = v.shell("Services", "/services", "Services"); err != nil {
		return err
	}
	return v.render(ServicesPage(view))
}

// subject is the service that a page is about, with all that its parts share.
type subject struct {
	service.Service
	revision service.Revision
	doc      *service.Document
}

func (v *visit) subject() (subject, error) {
	s, r, err := v.h.Services.Get(v.ctx(), v.who, v.param("service"))
	return subject{s, r, r.Document}, err
}

// view begins the view of a service.
func (v *visit) view(s subject) ServiceView {
	return ServiceView{
		ID: s.ID.Public(), Name: s.Name, Path: servicePath(s.Name), State: string(s.State), Text: s.doc.Description,
		Schedule: scheduleWords(s.doc.Schedule()), Direction: string(s.doc.EffectiveDirection()), Revision: s.Revision, By: s.revision.Author,
		MayEdit: v.can(auth.EditServices), MayRun: v.can(auth.RunServices), MayRead: v.can(auth.ViewRecords), MayUndo: v.can(auth.EditRecords) && s.State != service.Draft, Snippets: v.serviceSnippets(s.Name),
	}
}

// framed adds the shell and what the tabs count.
func (v *visit) framed(view *ServiceView, s subject, tab string, crumbs ...string) (err error) {
	view.Tab = tab
	if view.Counts.Conflicts, view.Counts.DeadLetters, err = v.h.Reader.CountOpen(v.ctx(), v.who, s.ID); err != nil {
		return err
	}
	view.Counts.Revisions = int64(s.Revision)
	title := s.Name
	if len(crumbs) > 0 {
		title = crumbs[len(crumbs)-1] + ", " + s.Name
	}
	way := []string{"Services", "/services", s.Name}
	if len(crumbs) > 0 {
		way = append(append(way, view.Path), crumbs...)
	}
	view.Page, err = v.shell(title, "/services", way...)
	if view.MayRun && s.State == service.Active {
		view.Page.Actions = append(view.Page.Actions, ui.PaletteItem{Label: "Run " + s.Name + " now", Icon: "play", Presses: `[data-key="r"]`})
	}
	if view.MayEdit {
		view.Page.Actions = append(view.Page.Actions, ui.PaletteItem{Label: "Edit the document of " + s.Name, Icon: "file-code", Href: view.Path + "/edit"})
	}
	return err
}

func (h *Handler) service(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := v.view(s)
	if err := v.atPresent(&view, s); err != nil {
		return err
	}
	if view.MayRead {
		if view.Feed, err = h.feed(v, s.ID); err != nil {
			return err
		}
	}
	if view.Runs, err = v.latestRuns(s); err != nil {
		return err
	}
	view.Facts = v.facts(s)
	view.Fields = FieldsView{Path: view.Path + "/parts/fields", Waiting: true}
	if s.Name == h.Demo.Service {
		v.setCookie(seenCookie, "1")
	}
	if err := v.framed(&view, s, "overview"); err != nil {
		return err
	}
	return v.render(ServicePage(view))
}

// part serves one part of the page, made from the same view.
func (h *Handler) part(v *visit, fill func(*ServiceView, subject) error, make func(ServiceView) templ.Component) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := v.view(s)
	if err := fill(&view, s); err != nil {
		return err
	}
	return v.render(make(view))
}

func (h *Handler) serviceHead(v *visit) error {
	return h.part(v, func(*ServiceView, subject) error { return nil }, ServiceHead)
}

func (h *Handler) serviceNow(v *visit) error { return h.part(v, v.atPresent, ServiceNow) }

func (h *Handler) serviceSystems(v *visit) error { return h.part(v, v.atPresent, ServiceSystems) }

func (h *Handler) serviceFeed(v *visit) error {
	return h.part(v, func(view *ServiceView, s subject) (err error) {
		view.Feed, err = h.feed(v, s.ID)
		return err
	}, serviceFeed)
}

func (h *Handler) serviceRuns(v *visit) error {
	return h.part(v, func(view *ServiceView, s subject) (err error) {
		view.Runs, err = v.latestRuns(s)
		return err
	}, ServiceRuns)
}

// exportService gives the document as it was written.
func (h *Handler) exportService(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	name, kind := s.Name+".yaml", "application/yaml"
	if s.revision.Format == service.JSON {
		name, kind = s.Name+".json", "application/json"
	}
	v.w.Header().Set("Content-Type", kind+"; charset=utf-8")
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	_, _ = v.w.Write([]byte(s.revision.Source)) // the reader may be gone
	return nil
}

// acted answers an act on a service: the page's head as it is now.
func (v *visit) acted(name, text string) error {
	v.done(text)
	if !v.htmx() {
		return v.redirect(servicePath(name))
	}
	return v.h.serviceHead(v)
}

func (h *Handler) runService(v *visit) error {
	_, queued, err := h.Services.RunNow(v.ctx(), v.who, v.param("service"))
	if err != nil {
		return err
	}
	text := "Run asked for. Its progress shows on this page."
	if !queued {
		text = "A run was waiting already; it begins now."
	}
	return v.acted(v.param("service"), text)
}

func (h *Handler) pauseService(v *visit) error {
	s, err := h.Services.Pause(v.ctx(), v.who, v.param("service"), nil)
	if err != nil {
		return err
	}
	return v.acted(s.Name, s.Name+" is paused. Changes wait in the systems.")
}

func (h *Handler) resumeService(v *visit) error {
	s, err := h.Services.Resume(v.ctx(), v.who, v.param("service"), nil)
	if err != nil {
		return err
	}
	return v.acted(s.Name, s.Name+" works again.")
}

func (h *Handler) archiveService(v *visit) error {
	name := v.param("service")
	if v.form("confirm") != name {
		return fault.New(fault.Invalid, "web.not_confirmed", "The name that was typed is not the service's, so nothing was archived.")
	}
	if _, err := h.Services.Archive(v.ctx(), v.who, name, nil); err != nil {
		return err
	}
	v.flash(ui.OK, name+" is archived.")
	http.Redirect(v.w, v.r, "/services", http.StatusSeeOther)
	return nil
}

// atPresent reads how the service does at this moment.
func (v *visit) atPresent(view *ServiceView, s subject) error {
	over, buckets := spanOf("24h", v.now)
	all, err := v.h.Reader.Overviews(v.ctx(), v.who, s.ID, over)
	if err != nil {
		return err
	}
	statuses, err := v.h.Reader.Statuses(v.ctx(), v.who, s.ID)
	if err != nil {
		return err
	}
	minutes, err := v.h.Reader.Minutes(v.ctx(), v.who, s.ID, v.now.Add(-time.Hour).Truncate(time.Minute), v.now.Add(time.Minute))
	if err != nil {
		return err
	}
	p := present{
		visit: v, s: s, o: all[s.ID], minutes: minutes, statuses: map[record.System]engine.SystemStatus{},
		st: state{over: over, buckets: buckets}, ill: map[string]health{}, dead: map[record.System]int64{},
	}
	for _, status := range statuses {
		p.statuses[status.System] = status
	}
	if p.delay, p.behind, err = v.h.Reader.Delay(v.ctx(), v.who, s.ID); err != nil {
		return err
	}
	if err := p.askConnections(); err != nil {
		return err
	}
	if v.can(auth.ViewRecords) && p.o.DeadLetters > 0 {
		groups, err := v.h.DeadLetters.Groups(v.ctx(), v.who, s.ID)
		if err != nil {
			return err
		}
		for _, g := range groups {
			p.dead[g.System] += g.Count
		}
	}
	if view.Progress, err = v.openRun(s, p.o); err != nil {
		return err
	}
	if err := v.proven(view, s); err != nil {
		return err
	}
	held, err := v.heldNotices(s.ID)
	if err != nil {
		return err
	}
	schema, err := v.schemaNotices(s.Service)
	if err != nil {
		return err
	}
	view.Notices = append(append(held, schema...), p.notices(view)...)
	view.Stats = p.stats()
	view.Topology = p.topology()
	view.Systems = p.systems()
	lookups, err := v.h.Reader.Lookups(v.ctx(), v.who, s.ID)
	if err != nil {
		return err
	}
	for i := range lookups {
		view.Sources = append(view.Sources, sourceLine(&lookups[i]))
	}
	view.Activity = p.activity()
	return nil
}
