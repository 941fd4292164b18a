// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesReconcile(r chi.Router) {
	r.Get("/services/{service}/reconciliations", h.page(h.reconciliations))
	r.Post("/services/{service}/reconciliations", h.page(h.startReconciliation))
	r.Post("/services/{service}/discrepancies/{discrepancy}", h.page(h.decideDiscrepancy))
}

// ReconciliationsView is a service's reconciliations, one of them opened.
type ReconciliationsView struct {
	Service ServiceView
	Path    string
	From    string // of the form, "2024-10-01"
	To      string
	Wrong   string
	Lines   []ReconciliationLine
	Stats   []ui.Stat // of the one that is open
	Title   string    // its span
	Found   []DiscrepancyLine
	Pager   ui.Pager
	MayRun  bool
	May     bool // decide
}

// ReconciliationLine is one in the list.
type ReconciliationLine struct {
	Href      string
	Title     string // its span
	Systems   string
	State     string
	By        string
	Matched   int64
	Unmatched int64
	Different int64
	At        time.Time
	Current   bool
}

// DiscrepancyLine is one finding.
type DiscrepancyLine struct {
	ID       string
	Action   string
	Href     string
	Title    string
	What     string // "missing in stripe", "amount differs by -0.01"
	Sides    string // "quickbooks 99.99, stripe 100"
	State    string
	Decision string
	At       time.Time
}

func spanText(since, until time.Time) string {
	return since.UTC().Format("2 Jan 2006") + " to " + until.UTC().Add(-time.Nanosecond).Format("2 Jan 2006")
}

func (h *Handler) reconciliations(v *visit) error { return h.showReconciliations(v, "") }

func (h *Handler) showReconciliations(v *visit, wrong string) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := ReconciliationsView{Service: v.view(s), Wrong: wrong, May: v.can(auth.ResolveConflicts)}
	view.Path = view.Service.Path + "/reconciliations"
	view.MayRun = view.Service.MayRun
	month := time.Date(v.now.Year(), v.now.Month(), 1, 0, 0, 0, 0, time.UTC)
	view.From, view.To = or(v.form("from"), month.Format(time.DateOnly)), or(v.form("to"), v.now.UTC().Format(time.DateOnly))
	list, err := h.Reconciler.List(v.ctx(), v.who, s.ID, uuid.Nil, 10)
	if err != nil {
		return err
	}
	open := uuid.Nil
	if id, err := ident.Parse(ident.Reconciliation, v.query("id")); err == nil {
		open = id
	} else if len(list) > 0 {
		open = list[0].ID
	}
	for _, r := range list {
		line := ReconciliationLine{Href: view.Path + "?id=" + ident.Format(ident.Reconciliation, r.ID), Title: spanText(r.Since, r.Until), Systems: strings.Join(r.Systems, ", "), State: string(r.State),
			By: r.Actor, Matched: r.Matched, Unmatched: r.Unmatched, Different: r.Discrepancies, At: r.AskedAt, Current: r.ID == open}
		view.Lines = append(view.Lines, line)
	}
	if open != uuid.Nil {
		if err := h.fillReconciliation(v, &view, s, open); err != nil {
			return err
		}
	}
	if err := v.framed(&view.Service, s, "reconciliation", "Reconciliation"); err != nil {
		return err
	}
	return v.render(ReconciliationsPage(view))
}

func (h *Handler) fillReconciliation(v *visit, view *ReconciliationsView, s subject, id uuid.UUID) error {
	r, err := h.Reconciler.Get(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	view.Title = spanText(r.Since, r.Until)
	view.Stats = []ui.Stat{
		{Label: "Matched", Icon: "circle-check", Tone: ui.OK, Value: ui.Number(r.Matched), Note: "in " + strings.Join(r.Systems, ", ")},
		{Label: "Unmatched", Icon: "circle-dashed", Value: ui.Number(r.Unmatched), Note: "one has it, another has not"},
		{Label: "Discrepancies", Icon: "split", Value: ui.Number(r.Discrepancies), Note: "beyond " + string(r.Tolerance)},
	}
	place := v.place()
	q := reconcile.Query{Reconciliation: id, Limit: pageSize + 1}
	if after, err := uuid.Parse(place.after()); err == nil {
		q.After = after
	}
	found, err := h.Reconciler.Discrepancies(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	found, more := cut(found)
	next := ""
	if more {
		next = found[len(found)-1].ID.String()
	}
	view.Pager = place.pager(len(found), next, "finding", "findings")
	for _, d := range found {
		public := ident.Format(ident.Discrepancy, d.ID)
		line := DiscrepancyLine{ID: public, Action: view.Service.Path + "/discrepancies/" + public + "?id=" + ident.Format(ident.Reconciliation, id), Href: recordPath(s.Name, d.Entity),
			Title: headline(keyText(d.Title)), State: string(d.State), At: d.Date, What: d.Field + " differs"}
		if line.Title == "" {
			line.Title = "Record " + shortID(ident.Format(ident.Entity, d.Entity))
		}
		if d.Difference != "" {
			line.What += " by " + string(d.Difference)
		}
		if d.Unmatched {
			var missing []string
			for _, one := range d.MissingIn {
				missing = append(missing, string(one))
			}
			line.What = "missing in " + strings.Join(missing, ", ")
		}
		var sides []string
		for _, side := range d.Sides {
			text := string(side.System)
			if !d.Unmatched {
				text += " " + record.Text(side.Value)
			}
			sides = append(sides, text)
		}
		line.Sides = strings.Join(sides, ", ")
		if d.DecidedBy != "" {
			line.Decision = or(d.Resolution, d.Reason) + ", by " + d.DecidedBy
			if d.AssignedTo != "" {
				line.Decision += ", for " + d.AssignedTo
			}
		}
		view.Found = append(view.Found, line)
	}
	return nil
}

func (h *Handler) startReconciliation(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	from, errFrom := time.Parse(time.DateOnly, v.form("from"))
	to, errTo := time.Parse(time.DateOnly, v.form("to"))
	if errFrom != nil || errTo != nil {
		return h.showReconciliations(v, "Write both days as 2024-10-31.")
	}
	r, err := h.Reconciler.Start(v.ctx(), v.who, s.ID, reconcile.Request{Since: from, Until: to.AddDate(0, 0, 1)})
	if fault.KindOf(err) == fault.Invalid {
		return h.showReconciliations(v, fault.As(err).Message)
	}
	if err != nil {
		return err
	}
	return v.redirect(servicePath(s.Name) + "/reconciliations?id=" + ident.Format(ident.Reconciliation, r.ID))
}

func (h *Handler) decideDiscrepancy(v *visit) error {
	id, err := ident.Parse(ident.Discrepancy, v.param("discrepancy"))
	if err != nil {
		return err
	}
	s, err := v.subject()
	if err != nil {
		return err
	}
	text := strings.TrimSpace(v.form("text"))
	if v.form("act") == "flag" {
		_, err = h.Reconciler.Flag(v.ctx(), v.who, id, text, "")
	} else {
		_, err = h.Reconciler.Resolve(v.ctx(), v.who, id, text, "")
	}
	switch {
	case err == nil:
		v.flash(ui.OK, "Noted. No system was written.")
	case fault.KindOf(err) == fault.Conflict, fault.KindOf(err) == fault.Invalid:
		v.flash(ui.Warn, fault.As(err).Message)
	default:
		return err
	}
	return v.redirect(servicePath(s.Name) + "/reconciliations?id=" + v.query("id"))
}
