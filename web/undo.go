// SPDX-License-Identifier: Apache-2.0

package web

import (
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesUndo(r chi.Router) {
	r.Get("/runs/{run}/undo", h.page(h.undoPreview))
	r.Post("/runs/{run}:undo", h.page(h.undoRun))
}

// undoShown is how many records a preview lists; its figures are of all.
const undoShown = 100

func (v *visit) runToUndo() (service.Run, error) {
	id, err := service.ParseRunID(v.param("run"))
	if err != nil {
		return service.Run{}, err
	}
	return v.h.Services.Run(v.ctx(), v.who, id)
}

// undoPreview shows what taking a run back would do.
func (h *Handler) undoPreview(v *visit) error {
	if err := v.who.May(auth.EditRecords); err != nil {
		return err
	}
	r, err := v.runToUndo()
	if err != nil {
		return err
	}
	u, err := h.Editor.Undo(v.ctx(), v.who, r.Service.Public(), safety.Selection{Run: r.ID}, true, "")
	if err != nil {
		return err
	}
	s, _, err := h.Services.Get(v.ctx(), v.who, r.Service.Public())
	if err != nil {
		return err
	}
	view := UndoView{Path: "/runs/" + r.ID.Public(), Hash: u.Hash, Selected: int64(u.Selected), Records: int64(len(u.Reversals)), Kept: int64(len(u.Kept))}
	for _, one := range u.Reversals[:min(len(u.Reversals), undoShown)] {
		line := UndoLine{Href: recordPath(s.Name, one.Entity), Title: headline(or(titleIn(one.Before), or(titleIn(one.After), one.Title)))}
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
		view.Keeps = append(view.Keeps, ui.Line{Icon: "lock", Title: or(k.Field, "The record") + " of " + or(k.Title, "a record"), Href: recordPath(s.Name, k.Entity), Text: k.Why})
	}
	home := servicePath(s.Name)
	if view.Page, err = v.shell("Undo a run of "+s.Name, "/services", "Services", "/services", s.Name, home, "Runs", home+"/runs", idTail(r.ID.Public()), view.Path, "Undo"); err != nil {
		return err
	}
	return v.render(UndoPage(view))
}

// undoRun takes a run back, as the preview showed it.
func (h *Handler) undoRun(v *visit) error {
	r, err := v.runToUndo()
	if err != nil {
		return err
	}
	path := "/runs/" + r.ID.Public()
	u, err := h.Editor.Undo(v.ctx(), v.who, r.Service.Public(), safety.Selection{Run: r.ID}, false, v.form("hash"))
	if fault.KindOf(err) == fault.Stale {
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(path + "/undo")
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, ui.Count(int64(len(u.Reversals)), "record is", "records are")+" being brought back.")
	return v.redirect(path)
}
