// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesProof(r chi.Router) {
	r.Get("/services/{service}/proof", h.page(h.proof))
	r.Get("/services/{service}/proof/parts/now", h.page(h.proofNow))
	r.Post("/services/{service}/proof:run", h.page(func(v *visit) error { return h.changeProof(v, true) }))
	r.Post("/services/{service}/proof:cancel", h.page(func(v *visit) error { return h.changeProof(v, false) }))
}

// ProofView is the proof of a service's equality.
type ProofView struct {
	Service  ServiceView
	Part     string
	Badge    ProofBadge
	Stats    []ui.Stat
	Progress *ui.Progress
	Notices  []ui.Alert
	Seats    []ProofSeat
	Filter   ui.FilterBar
	Lines    []ProofLine
	Pager    ui.Pager
	Filtered bool
	MayRun   bool
	Running  bool
}

// ProofBadge is the proof in a word.
type ProofBadge struct {
	Text string // "12,040 of 12,043 equal"
	Tone ui.Tone
	Icon string
	Href string
	AsOf time.Time // zero before the first
}

// ProofSeat is how one object of a system was compared.
type ProofSeat struct {
	System  SystemRef
	Object  string
	How     string
	Why     string
	Records int64
	Equal   int64
	Reasons []ui.Badge
	Failed  string
}

// ProofLine is a record that differs.
type ProofLine struct {
	System SystemRef
	Title  string
	Key    string
	Href   string
	Reason string
	Why    string
	Tone   ui.Tone
	Fields string
	At     time.Time
}

// reasonTexts say what a reason means, for people.
var reasonTexts = map[engine.Reason]string{
	engine.ByDrift: "no system told of it", engine.ByConflict: "somebody decides", engine.ByDeadLetter: "it was refused", engine.ByQuarantine: "it could not be taken in",
	engine.ByHold: "it waits for a yes", engine.ByPending: "it is on its way", engine.ByFreeze: "it is left alone", engine.ByFilter: "filters or rules keep it away",
	engine.ByDirection: "nobody takes the field from here", engine.ByUnknown: "it matches nothing",
}

var reasonTones = map[engine.Reason]ui.Tone{
	engine.ByDrift: ui.Warn, engine.ByConflict: ui.Split, engine.ByDeadLetter: ui.Bad, engine.ByQuarantine: ui.Bad, engine.ByHold: ui.Warn, engine.ByPending: ui.Info,
}

func proofBadge(p engine.Proof, path string) ProofBadge {
	b := ProofBadge{Text: "Not compared yet", Tone: ui.Idle, Icon: "circle-dashed", Href: path + "/proof"}
	r := p.Result
	if r == nil {
		return b
	}
	b.AsOf = r.AsOf
	b.Text = ui.Number(r.Equal) + " of " + ui.Number(r.Total) + " equal"
	switch {
	case !r.Proven():
		b.Tone, b.Icon = ui.Warn, "triangle-alert"
	case r.AllEqual():
		b.Tone, b.Icon = ui.OK, "circle-check"
	default:
		b.Tone, b.Icon = ui.Warn, "split"
	}
	return b
}

func (h *Handler) proof(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view, err := v.proofView(s)
	if err != nil {
		return err
	}
	if err := v.framed(&view.Service, s, "proof", "Proof"); err != nil {
		return err
	}
	return v.render(ProofPage(view))
}

func (h *Handler) proofNow(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	view, err := v.proofView(s)
	if err != nil {
		return err
	}
	return v.render(ProofNow(view))
}

func (h *Handler) changeProof(v *visit, run bool) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	text := "All records are compared now."
	if run {
		_, err = h.Proofs.Ask(v.ctx(), v.who, s.ID)
	} else {
		_, err = h.Proofs.Cancel(v.ctx(), v.who, s.ID)
		text = "The comparison is given up. What it took in stays."
	}
	if err != nil {
		return err
	}
	v.done(text)
	if !v.htmx() {
		return v.redirect(servicePath(s.Name) + "/proof")
	}
	return h.proofNow(v)
}

func (v *visit) proofView(s subject) (view ProofView, err error) {
	p, err := v.h.Proofs.Get(v.ctx(), v.who, s.ID)
	if err != nil {
		return view, err
	}
	view.Service = v.view(s)
	path := view.Service.Path
	view.Part = path + "/proof/parts/now"
	if q := v.r.URL.RawQuery; q != "" {
		view.Part += "?" + q
	}
	view.Badge = proofBadge(p, path)
	view.MayRun, view.Running = view.Service.MayRun && s.State == "active", p.Running()
	var r roster
	if s.doc != nil {
		r = rosterOf(s.doc)
	}
	if p.Running() {
		view.Progress = &ui.Progress{ID: "proof-progress", Title: "Comparing all records", State: "running", Unit: "records", Note: "It goes on where it was after a restart."}
		if p.Progress != nil {
			view.Progress.Done, view.Progress.Total = p.Progress.Done, p.Progress.Estimate
		} else {
			view.Progress.State = "queued"
		}
	}
	if p.Result == nil {
		return view, nil
	}
	view.fill(p.Result, r)
	return view, v.proofLines(&view, s, r, path)
}

func (view *ProofView) fill(result *engine.ProofResult, r roster) {
	read := int64(0)
	for _, one := range result.Seats {
		seat := ProofSeat{System: r.ref(one.System), Object: string(one.Object), Why: one.Why, Records: one.Records, Equal: one.Equal, Failed: one.Failed}
		switch one.How {
		case "digests":
			seat.How = "by digest, " + ui.Count(one.Ranges, "range", "ranges")
			if one.Differing > 0 {
				seat.How += ", " + ui.Number(one.Differing) + " of them read"
			}
		case "records":
			seat.How = "record by record"
		default:
			seat.How = "not compared"
		}
		for _, reason := range engine.Reasons {
			if n := one.Reasons[reason]; n > 0 {
				seat.Reasons = append(seat.Reasons, ui.Badge{Text: ui.Number(n) + " " + string(reason), Tone: cmp.Or(reasonTones[reason], ui.Idle)})
			}
		}
		if one.Failed != "" {
			view.Notices = append(view.Notices, ui.Alert{Tone: ui.Warn, Title: string(one.System) + " could not be read, so nothing is said of it", Text: one.Failed})
		}
		read += one.Read
		view.Seats = append(view.Seats, seat)
	}
	drift := ui.Stat{Label: "Drift found", Icon: "activity", Value: ui.Number(result.Drift), Note: "no system had told of it"}
	if result.Drift > 0 {
		drift.Tone, drift.Note = ui.Warn, ui.Number(result.Healed)+" taken in"
	}
	view.Stats = []ui.Stat{
		{Label: "Equal everywhere", Icon: view.Badge.Icon, Tone: view.Badge.Tone, Value: ui.Number(result.Equal), Note: "of " + ui.Count(result.Total, "record", "records")},
		{Label: "Different", Icon: "split", Value: ui.Number(result.Total - result.Equal), Note: "each with a reason"},
		drift,
		{Label: "Read one by one", Icon: "search", Value: ui.Number(read), Note: "took " + result.CompletedAt.Sub(result.AsOf).Round(time.Second/10).String()},
	}
}

func (v *visit) proofLines(view *ProofView, s subject, r roster, path string) error {
	if !view.Service.MayRead {
		return nil
	}
	place := v.place()
	q := engine.DifferenceQuery{System: record.System(v.query("system")), Reason: engine.Reason(v.query("reason")), Limit: pageSize + 1}
	view.Filtered = q.System != "" || q.Reason != ""
	if after := place.after(); after != "" {
		if id, err := uuid.Parse(after); err == nil {
			q.After = id
		}
	}
	list, err := v.h.Proofs.Differences(v.ctx(), v.who, s.ID, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = list[len(list)-1].ID.String()
	}
	place.v = &visit{r: v.r.Clone(v.ctx())}
	place.v.r.URL.Path = path + "/proof"
	view.Pager = place.pager(len(list), next, "record", "records")
	var systems []record.System
	if s.doc != nil {
		for _, id := range s.doc.SystemIDs() {
			systems = append(systems, record.System(id))
		}
	}
	view.Filter = ui.FilterBar{
		Action: path + "/proof", Target: "#proof-now",
		Selects: []ui.Select{
			{Name: "system", Label: "System", Value: string(q.System), Options: options("Any system", words(systems)...)},
			{Name: "reason", Label: "Reason", Value: string(q.Reason), Options: options("Any reason", words(engine.Reasons)...)},
		},
	}
	for _, d := range list {
		line := ProofLine{System: r.ref(d.System), Key: keyText(string(d.Key)), Title: headline(keyText(or(d.Title, string(d.Key)))), Reason: string(d.Reason), Why: reasonTexts[d.Reason],
			Tone: cmp.Or(reasonTones[d.Reason], ui.Idle), At: d.FoundAt}
		if d.Healed {
			line.Why = "it was taken in"
		}
		if !d.Entity.IsZero() {
			line.Href = recordPath(s.Name, d.Entity)
			if line.Title == "" {
				line.Title = "Record " + shortID(ident.Format(ident.Entity, d.Entity))
			}
		}
		for i, f := range d.Fields {
			if i > 0 {
				line.Fields += ", "
			}
			line.Fields += f
		}
		view.Lines = append(view.Lines, line)
	}
	return nil
}

// proven is the badge on the service's page.
func (v *visit) proven(view *ServiceView, s subject) error {
	if err := v.who.May(auth.ViewServices); err != nil {
		return err
	}
	p, err := v.h.Proofs.Get(v.ctx(), v.who, s.ID)
	view.Proof = proofBadge(p, view.Path)
	return err
}
