// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/ui"
)

// DuplicateGroupView is all records that may be one, side by side, and what a merge makes of them.
type DuplicateGroupView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Path     string
	Title    string
	Sides    []DuplicateSide
	Chosen   []bool // of the sides: it is merged
	Fields   []DuplicateGroupField
	Strategy string
	Survivor string
	Stamp    string
	Losers   string // what becomes of a second record in one system
	Problem  string // why it cannot be merged as wished
	Apart    []string
	Waits    bool
	May      bool
}

// DuplicateGroupField is one field of all.
type DuplicateGroupField struct {
	Name   string
	Values []string
	From   int // whose value a merge takes
	Merged string
}

// groupWish reads which records are one, who stays and by which strategy, from the address or a form.
func groupWish(get func(string) string, all []string) (w duplicate.Wish, err error) {
	w.Strategy, w.Stamp, w.Reason = match.Strategy(get("strategy")), get("stamp"), get("reason")
	for _, ref := range all {
		id, err := ident.Parse(ident.Entity, ref)
		if err != nil {
			return w, err
		}
		w.Records = append(w.Records, record.EntityID(id))
	}
	if ref := get("survivor"); ref != "" {
		id, err := ident.Parse(ident.Entity, ref)
		if err != nil {
			return w, err
		}
		w.Survivor = record.EntityID(id)
	}
	return w, nil
}

func (h *Handler) duplicateGroup(v *visit) error {
	id, err := ident.Parse(ident.Duplicate, v.param("duplicate"))
	if err != nil {
		return err
	}
	w, err := groupWish(v.query, v.r.URL.Query()["record"])
	if err != nil {
		return err
	}
	g, seen, err := h.Duplicates.Group(v.ctx(), v.who, id, w)
	view := DuplicateGroupView{Path: duplicatesPath + "/" + ident.Format(ident.Duplicate, id) + "/group", Strategy: string(w.Strategy), May: v.can(auth.ResolveConflicts)}
	if fault.KindOf(err) == fault.Invalid { // the wish cannot be: the group is shown all the same
		view.Problem = fault.As(err).Message
		w = duplicate.Wish{}
		g, seen, err = h.Duplicates.Group(v.ctx(), v.who, id, w)
	}
	if err != nil {
		return err
	}
	view.Stamp, view.Waits = g.Stamp(), seen != nil
	if !w.Survivor.IsZero() {
		view.Survivor = ident.Format(ident.Entity, w.Survivor)
	}
	stays := record.EntityID{}
	switch {
	case seen != nil:
		stays, view.Losers = seen.Survivor, loserWords[seen.Fate]
	case g.Merge != nil:
		stays = g.Merge.Survivor
	}
	names := make(map[string]bool)
	for _, e := range g.Records {
		view.Sides = append(view.Sides, duplicateSide(g.ServiceName, e, stays))
		view.Chosen = append(view.Chosen, e.DeletedAt == nil && (len(w.Records) == 0 || slices.Contains(w.Records, e.ID)))
		for f := range e.Fields {
			names[f] = true
		}
	}
	for _, f := range slices.Sorted(maps.Keys(names)) {
		line := DuplicateGroupField{Name: f, From: -1}
		for i, e := range g.Records {
			line.Values = append(line.Values, record.Text(e.Fields[f]))
			if seen != nil && seen.From[f] == e.ID {
				line.From = i
			}
		}
		if seen != nil {
			line.Merged = record.Text(seen.Fields[f])
		}
		view.Fields = append(view.Fields, line)
	}
	at := func(id record.EntityID) int {
		return slices.IndexFunc(g.Records, func(e *record.Entity) bool { return e.ID == id })
	}
	for _, p := range g.Pairs {
		if p.State == duplicate.Dismissed && at(p.A) >= 0 && at(p.B) >= 0 {
			view.Apart = append(view.Apart, fmt.Sprintf("%d and %d, by %s", at(p.A)+1, at(p.B)+1, p.DecidedBy))
		}
	}
	view.Title = fmt.Sprintf("%d records of one thing?", len(g.Records))
	if !view.Waits {
		view.Title = fmt.Sprintf("%d records, %s", len(g.Records), strings.ToLower(ui.Words(string(g.State))))
	}
	if view.Tabs, err = h.duplicateTabs(v); err != nil {
		return err
	}
	if view.Page, err = v.shell(view.Title, "/conflicts", "Conflicts", "/conflicts", "Duplicates", duplicatesPath, view.Title); err != nil {
		return err
	}
	return v.render(DuplicateGroupPage(view))
}

func (h *Handler) mergeDuplicateGroup(v *visit) error {
	id, err := ident.Parse(ident.Duplicate, v.param("duplicate"))
	if err != nil {
		return err
	}
	if err := v.r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Malformed, "request.malformed", "The form cannot be read.")
	}
	w, err := groupWish(v.form, v.r.PostForm["record"])
	if err != nil {
		return err
	}
	g, err := h.Duplicates.JoinGroup(v.ctx(), v.who, id, w)
	switch kind := fault.KindOf(err); {
	case err == nil:
		v.flash(ui.OK, fmt.Sprintf("%d records are one. It can be undone under Merged, in one act.", len(g.Records)))
		return v.redirect(duplicatesPath)
	case kind == fault.Conflict, kind == fault.Stale, kind == fault.Invalid:
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(duplicatesPath + "/" + ident.Format(ident.Duplicate, id) + "/group")
	}
	return err
}
