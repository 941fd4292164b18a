// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesRevisions(r chi.Router) {
	r.Get("/services/{service}/revisions", h.page(h.revisions))
	r.Get("/services/{service}/revisions/{revision}", h.page(h.revision))
	r.Post("/services/{service}/revisions/{revision}:restore", h.page(h.restoreRevision))
}

func (h *Handler) revisions(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	at := v.place()
	before := 0
	if cursor := at.after(); cursor != "" {
		if before, err = strconv.Atoi(cursor); err != nil {
			return errNoPage
		}
	}
	list, err := h.Services.Revisions(v.ctx(), v.who, s.Name, before, pageSize+1)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = itoa(list[len(list)-1].Number)
	}
	view := RevisionsView{Service: v.view(s), Pager: at.pager(len(list), next, "revision", "revisions")}
	for _, r := range list {
		view.Revisions = append(view.Revisions, revisionLine(s, r))
	}
	if err := v.framed(&view.Service, s, "revisions", "Revisions"); err != nil {
		return err
	}
	return v.render(RevisionsPage(view))
}

func revisionLine(s subject, r service.Revision) RevisionLine {
	return RevisionLine{
		Number: r.Number, Href: servicePath(s.Name) + "/revisions/" + itoa(r.Number), Author: r.Author, Note: r.Note, Time: ui.Time{At: r.CreatedAt}, Live: r.Number == s.Revision,
	}
}

func (h *Handler) revision(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(v.param("revision"))
	if err != nil {
		return errNoPage
	}
	r, err := h.Services.Revision(v.ctx(), v.who, s.Name, number)
	if err != nil {
		return err
	}
	view := RevisionView{
		Service: v.view(s), Line: revisionLine(s, r), After: r.Source, ETag: strconv.FormatInt(s.Version, 10), Against: number - 1,
		Snippets: []ui.Code{{Title: "curl", Lang: "shell", Text: v.curl("GET", "/v1/services/"+url.PathEscape(s.Name)+"/revisions/"+itoa(number), "")}},
	}
	path := view.Line.Href
	if v.query("with") == "live" && number != s.Revision {
		view.Against = s.Revision
	}
	if number > 1 {
		view.Compare = append(view.Compare, ui.Segment{Label: "With the one before", Href: path, Current: view.Against == number-1})
	}
	if number != s.Revision {
		view.Compare = append(view.Compare, ui.Segment{Label: "With the one in force", Href: path + "?with=live", Current: view.Against == s.Revision})
	}
	if view.Against > 0 {
		other, err := h.Services.Revision(v.ctx(), v.who, s.Name, view.Against)
		if err != nil {
			return err
		}
		view.Before = other.Source
		view.Changes = changeLines(service.Diff(other.Document, r.Document))
	}
	if err := v.framed(&view.Service, s, "revisions", "Revisions", view.Service.Path+"/revisions", itoa(number)); err != nil {
		return err
	}
	view.Service.Page.Title = "Revision " + itoa(number) + " of " + s.Name
	view.Service.Page.Editor = true
	return v.render(RevisionPage(view))
}

// restoreRevision puts an earlier document into force again.
func (h *Handler) restoreRevision(v *visit) error {
	number, err := strconv.Atoi(v.param("revision"))
	if err != nil {
		return errNoPage
	}
	read, err := strconv.ParseInt(v.form("etag"), 10, 64)
	if err != nil {
		return fault.New(fault.Required, "web.version_missing", "The form does not say which version of the service it is about. Open the document again.")
	}
	out, err := h.Services.Rollback(v.ctx(), v.who, v.param("service"), number, v.form("note"), &read)
	if err != nil {
		return err
	}
	v.flash(ui.OK, appliedText(out))
	http.Redirect(v.w, v.r, servicePath(out.Service.Name), http.StatusSeeOther)
	return nil
}
