// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesRecords(r chi.Router) {
	r.Get("/records", h.page(h.records))
	r.Get("/records/{record}", h.page(h.recordAnywhere))
	r.Get("/services/{name}/records/{record}", h.page(h.record))
	r.Get("/services/{name}/records/{record}/parts/now", h.page(h.recordNow))
	r.Post("/services/{name}/records/{record}:freeze", h.page(h.freezeRecord))
	r.Post("/services/{name}/records/{record}:thaw", h.page(h.thawRecord))
}

// mostServices bounds how many services a list without a chosen one looks into.
const mostServices = 20

var linkStates = []record.LinkState{record.Synced, record.Pending, record.InDoubt, record.Rejected, record.Frozen}

// records searches one service, or all of them. Each service is read on its own, from the same place in time, and the pages
// are merged.
func (h *Handler) records(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	all, err := v.lineup()
	if err != nil {
		return err
	}
	place := v.place()
	q := engine.RecordQuery{Search: v.query("q"), State: record.LinkState(v.query("state")), Deleted: v.query("deleted") == "1", Before: recordMark(place.after()), Limit: pageSize + 1}
	if !slices.Contains(linkStates, q.State) {
		q.State = ""
	}
	chosen, one := all.named(v.query("service"))
	among := all.all
	if one {
		among = []service.Service{chosen}
		q.Collection = v.query("collection")
		if parent, err := ident.Parse(ident.Entity, v.query("parent")); err == nil {
			q.Parent = record.EntityID(parent)
		}
	}
	view := RecordsView{Query: q.Search, Filtered: q.Search != "" || !q.Parent.IsZero() || q.State != "" || q.Deleted || q.Collection != ""}
	type found struct {
		*record.Entity
		in service.Service
	}
	var list []found
	for i, s := range among {
		if i == mostServices {
			break
		}
		entities, err := h.Reader.Records(v.ctx(), v.who, s.ID, q)
		if err != nil {
			return err
		}
		for _, e := range entities {
			list = append(list, found{e, s})
		}
	}
	slices.SortFunc(list, func(a, b found) int {
		return cmp.Or(b.ChangedAt.Compare(a.ChangedAt), cmp.Compare(b.ID.String(), a.ID.String()))
	})
	shown, more := cut(list)
	for _, e := range shown {
		r, err := all.roster(e.in.ID)
		if err != nil {
			return err
		}
		view.Records = append(view.Records, recordLine(e.Entity, e.in.Name, r))
	}
	next := ""
	if more {
		next = markText(shown[len(shown)-1].Entity)
	}
	view.Pager = place.pager(len(shown), next, "record", "records")
	if len(among) > mostServices {
		view.Pager.Shown += ", of the first " + strconv.Itoa(mostServices) + " services"
	}
	if view.Filter, err = v.recordFilter(all, chosen, one, q); err != nil {
		return err
	}
	if view.Page, err = v.shell("Records", "/records", "Records"); err != nil {
		return err
	}
	return v.render(RecordsPage(view))
}

func (v *visit) recordFilter(all *lineup, chosen service.Service, one bool, q engine.RecordQuery) (ui.FilterBar, error) {
	bar := ui.FilterBar{Action: "/records", Target: "#records", Search: "q", SearchLabel: "Key in any system, or text", Value: q.Search}
	if len(all.all) > 1 {
		bar.Selects = append(bar.Selects, all.choice(v.query("service")))
	} else if len(all.all) == 1 {
		chosen, one = all.all[0], true
	}
	if one {
		r, err := all.roster(chosen.ID)
		if err != nil {
			return bar, err
		}
		if names := collectionsOf(r); len(names) > 1 {
			bar.Selects = append(bar.Selects, ui.Select{Name: "collection", Label: "Collection", Value: q.Collection, Options: options("Any collection", names...)})
		}
	}
	bar.Selects = append(bar.Selects,
		ui.Select{Name: "state", Label: "State", Value: string(q.State), Options: options("Any state", words(linkStates)...)},
		ui.Select{Name: "deleted", Label: "Deleted records", Value: v.query("deleted"), Options: []ui.Option{{Label: "Living"}, {Value: "1", Label: "Deleted too"}}})
	if q.Search != "" {
		bar.Chips = append(bar.Chips, v.chip("q", "Text", q.Search))
	}
	if one && len(all.all) > 1 {
		bar.Chips = append(bar.Chips, v.chip("service", "Service", chosen.Name))
	}
	if q.Collection != "" {
		bar.Chips = append(bar.Chips, v.chip("collection", "Collection", q.Collection))
	}
	if !q.Parent.IsZero() {
		d, err := v.h.Reader.Record(v.ctx(), v.who, chosen.ID, v.query("parent"))
		if err != nil {
			return bar, err
		}
		bar.Chips = append(bar.Chips, v.chip("parent", "Refer to", headline(titleOf(d.Entity))))
	}
	if q.State != "" {
		bar.Chips = append(bar.Chips, v.chip("state", "State", ui.Words(string(q.State))))
	}
	if q.Deleted {
		bar.Chips = append(bar.Chips, v.chip("deleted", "Deleted", "too"))
	}
	if len(bar.Chips) > 0 {
		bar.Clear = "/records"
	}
	return bar, nil
}

func collectionsOf(r roster) (names []string) {
	if r.doc == nil {
		return nil
	}
	for _, c := range r.doc.Collections() {
		if c.Shared() {
			names = append(names, c.Name)
		}
	}
	return names
}

func recordLine(e *record.Entity, in string, r roster) RecordLine {
	line := RecordLine{
		ID: ident.Format(ident.Entity, e.ID), Href: recordPath(in, e.ID), Title: headline(titleOf(e)), Service: in, Systems: r.holding(e),
		State: recordState(e), Changed: e.ChangedAt, By: systemName(lastBy(e)),
	}
	if key := headline(keyText(e.MatchKey)); key != line.Title {
		line.Sub = key
	}
	return line
}

// recordState is the state of the record as a whole: the worst of its copies.
func recordState(e *record.Entity) string {
	if e.DeletedAt != nil {
		return "deleted"
	}
	if e.IsFrozen() {
		return string(record.Frozen)
	}
	worst := string(record.Synced)
	for _, s := range []record.LinkState{record.Frozen, record.Pending, record.InDoubt, record.Rejected} {
		for _, l := range e.Links {
			if l.State == s {
				worst = string(s)
			}
		}
	}
	return worst
}

// lastBy is the system that gave the record its newest value.
func lastBy(e *record.Entity) record.System {
	last := record.Stamp{System: e.Origin, At: e.CreatedAt}
	for _, name := range slices.Sorted(maps.Keys(e.Stamps)) {
		if s := e.Stamps[name]; s.At.After(last.At) {
			last = s
		}
	}
	return last.System
}

// markText is the place in the list behind the entity, as it stands in the address.
func markText(e *record.Entity) string {
	return strconv.FormatInt(e.ChangedAt.UnixMicro(), 36) + "." + ident.Format(ident.Entity, e.ID)
}

// recordMark reads what markText wrote; anything else is the beginning.
func recordMark(text string) *engine.RecordMark {
	at, id, _ := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 36, 64)
	if err != nil {
		return nil
	}
	entity, err := ident.Parse(ident.Entity, id)
	if err != nil {
		return nil
	}
	return &engine.RecordMark{ChangedAt: time.UnixMicro(micros).UTC(), ID: record.EntityID(entity)}
}

// recordAnywhere leads to the record whose id, or key in some system, stands in the address.
func (h *Handler) recordAnywhere(v *visit) error {
	all, err := v.lineup()
	if err != nil {
		return err
	}
	for _, s := range all.all {
		d, err := h.Reader.Record(v.ctx(), v.who, s.ID, v.param("record"))
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		return v.redirect(recordPath(s.Name, d.ID))
	}
	return fault.New(fault.NotFound, "record.not_found", "No service holds a record %q, neither by id nor by a system's key.", v.param("record"))
}

func (h *Handler) record(v *visit) error {
	view, err := h.recordView(v)
	if err != nil {
		return err
	}
	if view.Page, err = v.shell(view.Title, "/records", "Records", "/records?service="+url.QueryEscape(view.Service), view.Title); err != nil {
		return err
	}
	return v.render(RecordPage(view))
}

func (h *Handler) recordNow(v *visit) error {
	view, err := h.recordView(v)
	if err != nil {
		return err
	}
	return v.render(RecordNow(view))
}

func (h *Handler) recordView(v *visit) (view RecordView, err error) {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return view, err
	}
	s, revision, err := h.Services.Get(v.ctx(), v.who, v.param("name"))
	if err != nil {
		return view, err
	}
	var r roster
	if revision.Document != nil {
		r = rosterOf(revision.Document)
	}
	d, err := h.Reader.Record(v.ctx(), v.who, s.ID, v.param("record"))
	if err != nil {
		return view, err
	}
	path := recordPath(s.Name, d.ID)
	view = RecordView{
		ID: ident.Format(ident.Entity, d.ID), Path: path, Live: s.ID.Public(), Title: headline(titleOf(d.Entity)), Service: s.Name, Model: d.Collection,
		State: recordState(d.Entity), Version: d.Version, Field: v.query("field"),
	}
	view.Part = address(path+"/parts/now", v.r.URL.Query())
	decided, err := h.Reader.Cases(v.ctx(), v.who, engine.CaseQuery{Service: s.ID, Entity: d.ID, Open: new(false), Limit: 100})
	if err != nil {
		return view, err
	}
	refused, err := h.DeadLetters.List(v.ctx(), v.who, delivery.Query{Service: s.ID, Entity: d.ID, State: delivery.Open, Limit: 20})
	if err != nil {
		return view, err
	}
	relatives, err := h.Reader.Relatives(v.ctx(), v.who, s.ID, d.Entity)
	if err != nil {
		return view, err
	}
	view.Parents, view.Lineage = recordParents(relatives, s.Name), recordChildren(relatives, s.Name, view.ID)
	view.Fields = recordFieldsOf(d, r, decided, path)
	for i := range view.Fields {
		if p := slices.IndexFunc(view.Parents, func(p RecordParent) bool { return p.Field == view.Fields[i].Name }); p >= 0 {
			view.Fields[i].Value = shown(view.Parents[p].Title)
		}
	}
	view.Links = recordLinksOf(d, s.Name, r, refused, v.now)
	view.MayEdit, view.Frozen, view.Deleted = v.can(auth.EditRecords), d.IsFrozen(), d.DeletedAt != nil
	view.Notices = recordNotices(d, refused, view.MayEdit)
	api := "/v1/services/" + url.PathEscape(s.Name) + "/records/" + view.ID
	view.Code = []ui.Code{{Title: "Record", Lang: "shell", Text: v.curl("GET", api, "")}, {Title: "History", Lang: "shell", Text: v.curl("GET", api+"/history", "")}, {Title: "Status", Lang: "shell", Text: v.curl("GET", api+"/status", "")}}
	return view, v.recordHistory(&view, s, d, r)
}

func recordParents(r engine.Relatives, in string) (out []RecordParent) {
	for _, p := range r.Parents {
		one := RecordParent{Field: p.Field}
		switch {
		case p.Record != nil:
			one.Title, one.Href = headline(titleOf(p.Record)), recordPath(in, p.Record.ID)
			if p.Record.DeletedAt != nil {
				one.State = "deleted"
			}
		case p.Entity.IsZero():
			one.Title, one.State = fmt.Sprintf("%s %s of %s", p.Object, keyText(string(p.Key)), p.System), "unknown"
		default:
			one.Title, one.State = "A record that is kept no more", "deleted"
		}
		out = append(out, one)
	}
	return out
}

func recordChildren(r engine.Relatives, in, id string) (out []RecordChildren) {
	for _, c := range r.Children {
		one := RecordChildren{Text: ui.Number(c.Count) + " " + c.Collection, By: "by " + c.Field,
			Href: address("/records", url.Values{"service": {in}, "collection": {c.Collection}, "parent": {id}})}
		if !r.Counted {
			one.Text = "At least " + one.Text
		}
		if c.Waiting > 0 {
			one.By += "; " + ui.Number(c.Waiting) + " wait for this one"
		}
		out = append(out, one)
	}
	return out
}

func recordFieldsOf(d engine.Detail, r roster, decided []engine.Case, path string) (out []RecordField) {
	for _, name := range fieldNames(d, r) {
		v, there := d.Fields[name]
		f := RecordField{Name: name, Value: shown(v), Href: path + "?field=" + url.QueryEscape(name) + "#history"}
		f.Value.Absent = !there
		if there {
			stamp := d.StampOf(name)
			f.System, f.At = r.ref(stamp.System), stamp.At
		}
		switch i := slices.IndexFunc(decided, func(c engine.Case) bool { return c.Field == name }); {
		case d.IsFrozen():
			f.Reason = ""
		case d.IsHeld(name):
			f.Reason = "waits for a decision and is sent nowhere until then"
		case i >= 0 && record.Equal(decided[i].Result, v): // the newest decision is first
			f.Reason = decided[i].Reason
		}
		for _, system := range systemsOf(d.Entity) {
			l := d.Links[system]
			if held, behind := l.Behind[name]; behind {
				f.Differ = append(f.Differ, string(system)+" still holds "+quoted(held)+", "+behindText(stateOf(d.Entity, l)))
			} else if own, ok := l.OwnForm[name]; ok {
				f.Differ = append(f.Differ, string(system)+" writes it as "+quoted(own))
			}
		}
		out = append(out, f)
	}
	return out
}

// fieldNames lists the fields of the mapping, and then what else the entity holds. Fields without a value are among them: that
// they are empty is worth knowing.
func fieldNames(d engine.Detail, r roster) []string {
	names := slices.Sorted(maps.Keys(d.Fields))
	if r.doc == nil {
		return names
	}
	mapped := r.doc.EntityFields()
	return append(mapped, slices.DeleteFunc(names, func(n string) bool { return slices.Contains(mapped, n) })...)
}

func quoted(v record.Value) string {
	if v == nil {
		return "nothing"
	}
	return record.Text(v)
}

func behindText(s record.LinkState) string {
	switch s {
	case record.Rejected:
		return "the new value was refused"
	case record.InDoubt:
		return "waits for a decision"
	case record.Frozen:
		return "left alone"
	}
	return "the new value is on its way"
}

// waitingText says why a system does not have the record as it is.
func waitingText(w engine.Waiting, now time.Time) string {
	text := map[string]string{"hold": "Held: ", "quiet": "Quiet period: ", "reference": "Waits for another record: ", "approval": "Waits for approval: "}[w.Reason] + w.Why
	if w.Reason == "quiet" && w.Until.After(now) {
		text += " That is in " + ui.Span(w.Until.Sub(now)) + " at the latest."
	}
	return text
}

func recordLinksOf(d engine.Detail, in string, r roster, refused []delivery.DeadLetter, now time.Time) (out []RecordLink) {
	systems := slices.Clone(r.ids)
	for _, id := range systemsOf(d.Entity) {
		if !slices.Contains(systems, string(id)) {
			systems = append(systems, string(id))
		}
	}
	for _, name := range systems {
		id := record.System(name)
		since, owed := d.Owed[id]
		link := RecordLink{System: r.ref(id)}
		if l := d.Links[id]; l != nil {
			link.Key, link.State, link.Version, link.Synced = keyText(string(l.Key)), string(stateOf(d.Entity, l)), l.Version, d.SyncedAt(l)
		} else if d.DeletedAt != nil || !owed {
			continue // it never had a copy, or has none any more
		} else {
			link.State, link.Text = string(record.Pending), "to be created"
		}
		if owed && !d.IsFrozen() {
			link.Text = strings.TrimPrefix(link.Text+", a change is owed for "+ui.Span(now.Sub(since)), ", ")
		}
		if w, waits := d.WaitsFor(id); waits && w.Reason != "frozen" { // of that the notice speaks, for all systems
			link.Text = waitingText(w, now)
			switch {
			case w.Hold != uuid.Nil:
				link.Href = holdPath(w.Hold)
			case !w.For.IsZero():
				link.Href = recordPath(in, w.For)
			case w.Reason == "approval":
				link.Href = approvalsPath
			}
		}
		if i := slices.IndexFunc(refused, func(l delivery.DeadLetter) bool { return l.System == id }); i >= 0 {
			link.Text, link.Href = refused[i].Message, deadLetterPath(refused[i].ID)
		}
		out = append(out, link)
	}
	return out
}

// stateOf is the state of the copy as people are told of it: of a frozen record each copy is frozen.
func stateOf(e *record.Entity, l *record.Link) record.LinkState {
	if e.IsFrozen() {
		return record.Frozen
	}
	return l.State
}

func recordNotices(d engine.Detail, refused []delivery.DeadLetter, mayEdit bool) (out []ui.Alert) {
	if d.DeletedAt != nil {
		out = append(out, ui.Alert{Tone: ui.Idle, Title: "This record was deleted", Text: "Its history stays.", Since: *d.DeletedAt})
	}
	if f := d.Freeze; f != nil {
		text := "Changes in the systems are taken in, and nothing is written to any of them until it is thawed."
		if f.Reason != "" {
			text = "“" + f.Reason + "” " + text
		}
		a := ui.Alert{Tone: ui.Info, Title: "Frozen by " + f.By, Text: text, Since: f.At}
		if mayEdit {
			a.Actions = ui.Fragments{ui.Button{Label: "Thaw", Size: "sm", Opens: "thaw"}}
		}
		out = append(out, a)
	}
	if m := d.Reconciled; m != nil {
		out = append(out, ui.Alert{Tone: ui.OK, Title: "Reconciled by " + strings.Join(m.Rules, ", "), Text: "It stays so for as long as it meets the rule.", Since: m.Since})
	}
	if slices.Contains(d.Entity.Held, record.Approval) {
		out = append(out, ui.Alert{Tone: ui.Warn, Title: "It waits for approval", Text: "A business rule left the record to people. Nothing of it is sent until somebody approves.", Actions: ui.Fragments{ui.Button{Label: "Approvals", Size: "sm", Href: approvalsPath}}})
	}
	for _, system := range slices.Sorted(maps.Keys(d.Holds)) {
		out = append(out, ui.Alert{Tone: ui.Warn, Title: "A change in " + string(system) + " is held", Text: "The other systems do not know of it until somebody decides.", Actions: ui.Fragments{ui.Button{Label: "Look and decide", Size: "sm", Href: holdPath(d.Holds[system])}}})
	}
	for _, c := range d.Conflicts {
		a := ui.Alert{Tone: ui.Split, Title: fieldName(c.Field) + " waits for a decision", Since: c.OpenedAt, Actions: ui.Fragments{ui.Button{Label: "Decide", Size: "sm", Href: conflictPath(c.ID)}}}
		for _, s := range c.Sides {
			a.Text += systemName(s.System) + " says " + sideText(s.Deleted, s.Value) + ". "
		}
		out = append(out, a)
	}
	for _, l := range refused {
		title := string(l.System) + " refused a change"
		if l.Direction == "in" {
			title = "A change in " + string(l.System) + " could not be taken in"
		}
		out = append(out, ui.Alert{Tone: ui.Bad, Title: title, Text: l.Message, Since: l.FirstAt, Code: hasPage(l.Code), Actions: ui.Fragments{ui.Button{Label: "Dead letter", Size: "sm", Href: deadLetterPath(l.ID)}}})
	}
	return out
}

func sideText(deleted bool, v record.Value) string {
	switch {
	case deleted:
		return "that it was deleted"
	case v == nil:
		return "nothing"
	}
	return record.Text(v)
}

// fieldName is a field as people read it; a conflict may be about the record as a whole.
func fieldName(field string) string {
	if field == record.WholeRecord {
		return "the record itself"
	}
	return field
}

// How much of a journal is read to find the history of one field.
const (
	historyRead  = 100
	historyPages = 10
)

func (v *visit) recordHistory(view *RecordView, s service.Service, d engine.Detail, r roster) error {
	before, _ := ident.Parse(ident.Journal, v.query("before")) // anything else is the beginning
	if before != uuid.Nil {
		q := v.r.URL.Query()
		q.Del("before")
		view.Newest = address(view.Path, q) + "#history"
	}
	for range historyPages {
		list, err := v.h.Reader.History(v.ctx(), v.who, s.ID, d.ID, before, historyRead)
		if err != nil {
			return err
		}
		for i, e := range list {
			before = e.ID
			if view.Field != "" && !touches(e, view.Field) {
				continue
			}
			view.History = append(view.History, moment(e, r, view.Field))
			if len(view.History) == pageSize && (i+1 < len(list) || len(list) == historyRead) {
				view.Older = v.olderHistory(view.Path, before)
				return nil
			}
		}
		if len(list) < historyRead {
			return nil
		}
	}
	view.Older = v.olderHistory(view.Path, before)
	return nil
}

func (v *visit) olderHistory(path string, before uuid.UUID) string {
	q := v.r.URL.Query()
	q.Set("before", ident.Format(ident.Journal, before))
	return address(path, q) + "#history"
}

func touches(e record.Entry, field string) bool {
	_, before := e.Before[field]
	_, after := e.After[field]
	return before || after
}

// moment shows an entry of the journal; field narrows it to one field.
func moment(e record.Entry, r roster, field string) ui.Moment {
	m := ui.Moment{ID: ident.Format(ident.Journal, e.ID), At: e.At}
	system := systemName(e.System)
	switch e.Kind {
	case record.Delivered:
		m.Icon, m.Tone = "arrow-right", ui.OK
		m.Title = map[record.JournalOp]string{record.Created: "Created in ", record.Deleted: "Deleted in "}[e.Op]
		if m.Title == "" {
			m.Title = "Written to "
		}
		m.Title += system
		m.Cause = ui.Fragments{ui.Text("sent and taken")}
		if e.Cause != uuid.Nil {
			m.Cause = ui.Fragments{ui.Text("by attempt"), ui.ID{Value: ident.Format(ident.Attempt, e.Cause), Short: true, Label: "attempt id"}}
		}
	case record.Decided:
		if e.Op == record.Froze || e.Op == record.Thawed {
			m.Icon, m.Tone, m.Title = "snowflake", ui.Info, "Frozen by "+e.Actor
			if e.Op == record.Thawed {
				m.Icon, m.Title = "refresh-cw", "Thawed by "+e.Actor
			}
			return m
		}
		if e.Op == record.Reconciled || e.Op == record.Unreconciled {
			m.Icon, m.Tone, m.Title = "circle-check", ui.OK, "Reconciled by "+e.Actor
			if e.Op == record.Unreconciled {
				m.Icon, m.Tone, m.Title = "circle-alert", ui.Warn, "No longer reconciled: it ceased to meet "+e.Actor
			}
			return m
		}
		m.Icon, m.Tone, m.Title = "split", ui.Split, "Decided"
		if e.Actor != "" {
			m.Title = "Decided by " + e.Actor
		}
		if e.Cause != uuid.Nil {
			m.Cause = ui.Fragments{causeLink("the conflict", conflictPath(e.Cause))}
		}
	default:
		m.Icon, m.Tone = "pencil", ui.Info
		switch e.Op {
		case record.Created:
			m.Icon, m.Title = "plus", "Appeared in "+system
		case record.Deleted:
			m.Icon, m.Tone, m.Title = "trash-2", ui.Idle, "Deleted in "+system
		case record.Linked:
			m.Icon, m.Tone, m.Title = "link", ui.Idle, "Recognised in "+system
		case record.Unlinked:
			m.Icon, m.Tone, m.Title = "unplug", ui.Idle, "No longer linked to "+system
		default:
			m.Title = "Changed in " + system
		}
		m.Cause = ui.Fragments{ui.Text("read from the changes of " + system)}
		if e.Actor == record.ByProof {
			m.Cause = ui.Fragments{ui.Text("no system told of it: found by the proof of equality")}
		} else if e.Cause != uuid.Nil {
			m.Cause = ui.Fragments{causeLink(shortID(ident.Format(ident.Run, e.Cause)), runPath(service.RunID(e.Cause)))}
		}
	}
	if fields := fieldDiffs(e, field); len(fields) > 0 {
		m.Diff = &ui.Diff{Caption: m.Title, Fields: fields, Bare: true}
	}
	return m
}

// shortID is an id cut in the middle for a sentence.
func shortID(id string) string {
	if len(id) <= 16 {
		return id
	}
	return id[:9] + "…" + id[len(id)-4:]
}

func fieldDiffs(e record.Entry, only string) (out []ui.FieldDiff) {
	names := map[string]bool{}
	for n := range e.Before {
		names[n] = true
	}
	for n := range e.After {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if only != "" && n != only {
			continue
		}
		b, before := e.Before[n]
		a, after := e.After[n]
		out = append(out, ui.FieldDiff{Field: n, Before: shown(b), After: shown(a), NoBefore: !before, NoAfter: !after})
	}
	return out
}
