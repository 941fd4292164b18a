// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

const duplicatesPath = "/conflicts/duplicates"

func (h *Handler) routesDuplicates(r chi.Router) {
	r.Get(duplicatesPath, h.page(h.duplicates))
	r.Post(duplicatesPath+":decide", h.page(h.decideDuplicates))
	r.Get(duplicatesPath+"/{duplicate}", h.page(h.duplicate))
	r.Post(duplicatesPath+"/{duplicate}:decide", h.page(h.decideDuplicate))
	r.Get(duplicatesPath+"/{duplicate}/group", h.page(h.duplicateGroup))
	r.Post(duplicatesPath+"/{duplicate}/group:merge", h.page(h.mergeDuplicateGroup))
}

// DuplicatesView is the inbox of pairs that are, or may be, one thing.
type DuplicatesView struct {
	Page  ui.Page
	Tabs  ui.Tabs
	State ui.Facets
	Lines []DuplicateLine
	Pager ui.Pager
	Open  bool // the pairs that wait are listed
	May   bool
}

// DuplicateLine is a pair in the list.
type DuplicateLine struct {
	ID      string
	Href    string
	Title   string
	Other   string
	Group   int // records of the listed pairs that it is linked with, itself included
	Service string
	Alike   string // "91 %"
	Why     string // "name 91 %, phone equal"
	Auto    bool
	State   string
	By      string
	At      time.Time
}

// DuplicateView is a pair, field by field.
type DuplicateView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Path    string
	Line    DuplicateLine
	Sides   [2]DuplicateSide
	Fields  []DuplicateField
	Version int64
	Next    string // address of the next pair that waits
	Waits   bool
	Merged  bool
	May     bool
	Losers  string // what becomes of a second record in one system
	Group   int    // records that may all be one, or were merged in one act; 0 when it is only these two
}

// DuplicateSide is one of the two records.
type DuplicateSide struct {
	ID      string
	Href    string
	Systems string // "crm 1, shop 77"
	Changed time.Time
	There   bool
	Stays   bool // the strategy chooses it, or it stayed
}

// DuplicateField is one field of both.
type DuplicateField struct {
	Name   string
	Values [2]string
	Same   bool
	Alike  string // "91 %"; "" where the field is not compared
	From   int    // whose value the strategy takes
}

func percent(x float64) string { return fmt.Sprintf("%.0f %%", x*100) }

func duplicateLine(p duplicate.Pair) DuplicateLine {
	l := DuplicateLine{ID: p.Public(), Href: duplicatesPath + "/" + p.Public(), Service: p.ServiceName, Alike: percent(p.Verdict.Score), Auto: p.Verdict.Outcome == match.Auto,
		State: string(p.State), By: p.DecidedBy, At: p.FoundAt}
	var why []string
	for _, f := range p.Verdict.Fields {
		if f.Likeness == 1 {
			why = append(why, f.Field+" the same")
		} else {
			why = append(why, f.Field+" "+percent(f.Likeness))
		}
	}
	l.Why = strings.Join(why, ", ")
	titles := [2]string{}
	for i, id := range []record.EntityID{p.A, p.B} {
		titles[i] = "Record " + shortID(ident.Format(ident.Entity, id))
		if e := p.Records[i]; e != nil {
			titles[i] = or(pairTitle(e, p), titles[i])
		}
	}
	l.Title, l.Other = titles[0], titles[1]
	return l
}

// pairTitle is what people call the record: what its compared fields say.
func pairTitle(e *record.Entity, p duplicate.Pair) string {
	var parts []string
	for _, f := range p.Verdict.Fields {
		if v := e.Fields[f.Field]; v != nil && v != "" && len(parts) < 2 {
			parts = append(parts, record.Text(v))
		}
	}
	return headline(strings.Join(parts, ", "))
}

func (h *Handler) duplicates(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	state := duplicate.State(or(v.query("state"), string(duplicate.Open)))
	view := DuplicatesView{May: v.can(auth.ResolveConflicts), Open: state == duplicate.Open || state == duplicate.Later, State: ui.Facets{Label: "By state"}}
	for _, s := range []duplicate.State{duplicate.Open, duplicate.Later, duplicate.Merged, duplicate.Dismissed} {
		label := map[duplicate.State]string{duplicate.Open: "Waiting", duplicate.Later: "Later", duplicate.Merged: "Merged", duplicate.Dismissed: "Two things"}[s]
		view.State.Items = append(view.State.Items, ui.Facet{Label: label, Href: duplicatesPath + "?state=" + string(s), Current: s == state})
	}
	place := v.place()
	q := duplicate.Query{State: state, Limit: pageSize + 1}
	if after, err := uuid.Parse(place.after()); err == nil {
		q.Before = after
	}
	list, err := h.Duplicates.List(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = list[len(list)-1].ID.String()
	}
	view.Pager = place.pager(len(list), next, "pair", "pairs")
	sizes := groupSizes(list)
	for i, p := range list {
		line := duplicateLine(p)
		if view.Open && sizes[i] > 2 {
			line.Group = sizes[i]
		}
		view.Lines = append(view.Lines, line)
	}
	if view.Tabs, err = h.duplicateTabs(v); err != nil {
		return err
	}
	if view.Page, err = v.shell("Duplicates", "/conflicts", "Conflicts", "/conflicts", "Duplicates"); err != nil {
		return err
	}
	return v.render(DuplicatesPage(view))
}

func (h *Handler) duplicateTabs(v *visit) (ui.Tabs, error) {
	open, _, err := h.Reader.CountOpen(v.ctx(), v.who, service.ID{})
	if err != nil {
		return ui.Tabs{}, err
	}
	n, err := h.Duplicates.Count(v.ctx(), v.who, service.ID{})
	if err != nil {
		return ui.Tabs{}, err
	}
	tabs := conflictTabs(open, false)
	for i := range tabs.Items {
		tabs.Items[i].Current = tabs.Items[i].Href == duplicatesPath
		if tabs.Items[i].Current {
			tabs.Items[i].Count, tabs.Items[i].Tone = n, ui.Split
		}
	}
	return tabs, nil
}

func (h *Handler) duplicate(v *visit) error {
	id, err := ident.Parse(ident.Duplicate, v.param("duplicate"))
	if err != nil {
		return err
	}
	p, err := h.Duplicates.Get(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	view := DuplicateView{Line: duplicateLine(p), Path: duplicatesPath + "/" + p.Public(), Version: p.Version, May: v.can(auth.ResolveConflicts),
		Waits: p.State == duplicate.Open || p.State == duplicate.Later, Merged: p.State == duplicate.Merged}
	like := make(map[string]float64)
	for _, f := range p.Verdict.Fields {
		like[f.Field] = f.Likeness
	}
	seen, err := h.Duplicates.Foresee(v.ctx(), v.who, p)
	if err != nil {
		return err
	}
	view.Losers = loserWords[seen.Fate]
	switch g, _, err := h.Duplicates.Group(v.ctx(), v.who, id, duplicate.Wish{}); {
	case err != nil && fault.KindOf(err) != fault.Conflict:
		return err
	case len(g.Records) > 2:
		view.Group = len(g.Records)
	}
	names := make(map[string]bool)
	for i, e := range p.Records {
		if e == nil {
			continue
		}
		view.Sides[i] = duplicateSide(p.ServiceName, e, seen.Survivor)
		for f := range e.Fields {
			names[f] = true
		}
	}
	for _, f := range slices.Sorted(maps.Keys(names)) {
		line := DuplicateField{Name: f, From: -1}
		var values [2]record.Value
		for i, e := range p.Records {
			if e == nil {
				continue
			}
			values[i] = e.Fields[f]
			line.Values[i] = record.Text(values[i])
			if seen.From[f] == e.ID {
				line.From = i
			}
		}
		line.Same = record.Equal(values[0], values[1])
		if x, compared := like[f]; compared {
			line.Alike = percent(x)
		}
		view.Fields = append(view.Fields, line)
	}
	if waiting, err := h.Duplicates.List(v.ctx(), v.who, duplicate.Query{State: duplicate.Open, Limit: 2}); err == nil {
		for _, other := range waiting {
			if other.ID != p.ID {
				view.Next = duplicatesPath + "/" + other.Public()
			}
		}
	}
	if view.Tabs, err = h.duplicateTabs(v); err != nil {
		return err
	}
	if view.Page, err = v.shell(view.Line.Title, "/conflicts", "Conflicts", "/conflicts", "Duplicates", duplicatesPath, view.Line.Title); err != nil {
		return err
	}
	return v.render(DuplicatePage(view))
}

// loserWords say what becomes of a second record in one system.
var loserWords = map[service.LoserFate]string{service.LoserKeep: "left alone in its system, and not read any more", service.LoserArchive: "archived in its system", service.LoserDelete: "deleted in its system"}

func duplicateSide(serviceName string, e *record.Entity, stays record.EntityID) DuplicateSide {
	var systems []string
	for _, s := range slices.Sorted(maps.Keys(e.Links)) {
		systems = append(systems, string(s)+" "+string(e.Links[s].Key))
	}
	return DuplicateSide{ID: ident.Format(ident.Entity, e.ID), Href: recordPath(serviceName, e.ID), Systems: strings.Join(systems, ", "), Changed: e.ChangedAt, There: e.DeletedAt == nil, Stays: e.ID == stays}
}

// groupSizes counts, for each of the pairs, the records that it is linked with by the others of the list.
func groupSizes(list []duplicate.Pair) []int {
	root := make(map[record.EntityID]record.EntityID)
	var find func(record.EntityID) record.EntityID
	find = func(id record.EntityID) record.EntityID {
		if up, known := root[id]; known && up != id {
			root[id] = find(up)
			return root[id]
		}
		root[id] = id
		return id
	}
	for _, p := range list {
		root[find(p.A)] = find(p.B)
	}
	size := make(map[record.EntityID]int)
	for id := range root {
		size[find(id)]++
	}
	out := make([]int, len(list))
	for i, p := range list {
		out[i] = size[find(p.A)]
	}
	return out
}

// duplicateDone tells what a decision did.
var duplicateDone = map[string]string{"merge": "Merged. It can be undone under Merged.", "dismiss": "They are two things; nobody is asked again.", "later": "Put off; it is listed under Later.", "undo": "The merge is undone; later edits stay."}

func (h *Handler) decideDuplicate(v *visit) error {
	id, err := ident.Parse(ident.Duplicate, v.param("duplicate"))
	if err != nil {
		return err
	}
	what, reason := v.form("decision"), v.form("reason")
	switch what {
	case "merge":
		w := duplicate.Wish{Reason: reason}
		if ref := v.form("survivor"); ref != "" {
			survivor, err := ident.Parse(ident.Entity, ref)
			if err != nil {
				return err
			}
			w.Survivor = record.EntityID(survivor)
		}
		_, err = h.Duplicates.Join(v.ctx(), v.who, id, w)
	case "undo":
		_, err = h.Duplicates.Undo(v.ctx(), v.who, id, reason)
	case "later":
		_, err = h.Duplicates.Later(v.ctx(), v.who, id, reason)
	default:
		what = "dismiss"
		_, err = h.Duplicates.Dismiss(v.ctx(), v.who, id, reason)
	}
	switch kind := fault.KindOf(err); {
	case err == nil:
		v.flash(ui.OK, duplicateDone[what])
	case kind == fault.Conflict, kind == fault.Stale, kind == fault.Invalid:
		v.flash(ui.Warn, fault.As(err).Message)
		return v.redirect(duplicatesPath + "/" + ident.Format(ident.Duplicate, id))
	default:
		return err
	}
	if waiting, err := h.Duplicates.List(v.ctx(), v.who, duplicate.Query{State: duplicate.Open, Limit: 1}); err == nil && len(waiting) > 0 && what != "undo" {
		return v.redirect(duplicatesPath + "/" + waiting[0].Public())
	}
	return v.redirect(duplicatesPath)
}

func (h *Handler) decideDuplicates(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Malformed, "request.malformed", "The form cannot be read.")
	}
	var all duplicate.DecidedAll
	for _, ref := range v.r.PostForm["pair"] {
		id, err := ident.Parse(ident.Duplicate, ref)
		if err != nil {
			return err
		}
		p, err := h.Duplicates.Get(v.ctx(), v.who, id)
		if err != nil {
			return err
		}
		one, err := h.Duplicates.DecideAll(v.ctx(), v.who, p.Service, []uuid.UUID{id}, duplicate.Decision(or(v.form("decision"), "later")), "")
		if err != nil {
			return err
		}
		all.Decided, all.Failed = all.Decided+one.Decided, append(all.Failed, one.Failed...)
	}
	if len(all.Failed) > 0 {
		v.flash(ui.Warn, fmt.Sprintf("%d decided, %d not: %s", all.Decided, len(all.Failed), all.Failed[0].Fault.Message))
	} else {
		v.flash(ui.OK, fmt.Sprintf("%d decided.", all.Decided))
	}
	return v.redirect(duplicatesPath)
}
