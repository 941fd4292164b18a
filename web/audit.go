// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesAudit(r chi.Router) {
	r.Get("/settings/audit", h.page(func(v *visit) error { return h.audit(v, nil) }))
	r.Post("/settings/audit:check", h.page(h.checkAudit))
}

// auditActs are the groups of acts that the log can be narrowed to.
var auditActs = []string{"conflict", "connection", "dead_letter", "hold", "invitation", "key", "member", "run", "secret", "service", "session", "tenant"}

func (h *Handler) audit(v *visit, report *ui.Alert) (err error) {
	f := audit.Filter{Subject: v.query("subject"), Actor: v.query("actor"), Limit: pageSize + 1}
	view := AuditView{Report: report, Filter: ui.FilterBar{Action: "/settings/audit", Target: "#audit", Search: "subject", SearchLabel: "Id or name of what was acted on", Value: f.Subject, Clear: "/settings/audit"}}
	acts := options("Any act", auditActs...)
	view.Filter.Selects = append(view.Filter.Selects, ui.Select{Name: "act", Label: "Act", Value: v.query("act"), Options: acts})
	if act := v.query("act"); act != "" {
		f.Action = act + "."
		view.Filter.Chips = append(view.Filter.Chips, v.chip("act", "Act", ui.Words(act)))
	}
	if f.Subject != "" {
		view.Filter.Chips = append(view.Filter.Chips, v.chip("subject", "Subject", f.Subject))
	}
	if f.Actor != "" {
		view.Filter.Chips = append(view.Filter.Chips, v.chip("actor", "Who", f.Actor))
		view.Filter.Keep = map[string]string{"actor": f.Actor}
	}
	place := v.place()
	f.Before, _ = strconv.ParseInt(place.after(), 10, 64) // anything else is the beginning
	list, err := h.Auth.AuditTrail(v.ctx(), v.who, f)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = strconv.FormatInt(list[len(list)-1].Seq, 10)
	}
	view.Pager = place.pager(len(list), next, "entry", "entries")
	for _, e := range list {
		view.Entries = append(view.Entries, auditLine(e))
	}
	if view.SettingsView, err = v.settings("/settings/audit", auth.ViewAudit); err != nil {
		return err
	}
	return v.render(AuditPage(view))
}

func auditLine(e audit.Entry) AuditLine {
	line := AuditLine{
		ID: "entry-" + strconv.FormatInt(e.Seq, 10), Seq: e.Seq, At: e.At, Who: or(e.ActorName, e.ActorID), Kind: e.ActorKind, Action: e.Action, Subject: e.Subject, Href: subjectPath(e.Subject), From: e.IP, Request: e.RequestID,
	}
	var b bytes.Buffer
	if len(e.Detail) > len("null") && json.Indent(&b, e.Detail, "", "  ") == nil {
		line.Detail = b.String()
	}
	return line
}

// subjectPath is the page of what was acted on, for kinds of things that are found by their id.
func subjectPath(subject string) string {
	switch prefix, _, _ := strings.Cut(subject, "_"); prefix {
	case ident.Conflict:
		return "/conflicts/" + subject
	case ident.DeadLetter:
		return "/dead-letters/" + subject
	case ident.Hold:
		return "/holds/" + subject
	case ident.Connection:
		return connectionPath(subject)
	case ident.Run:
		return "/runs/" + subject
	case ident.Service:
		return servicePath(subject)
	}
	return ""
}

// checkAudit reads the whole log and says whether anything in it was changed.
func (h *Handler) checkAudit(v *visit) error {
	began := time.Now()
	r, err := h.Auth.VerifyAudit(v.ctx(), v.who)
	if err != nil {
		return err
	}
	report := &ui.Alert{Tone: ui.OK, Role: "alert", Title: "The log is whole", Text: ui.Count(r.Entries, "entry", "entries") + " read in " + ui.Span(time.Since(began)) + "; none was changed, dropped, added or moved. The last one is number " +
		ui.Number(r.Head.Seq) + " with the hash " + hex.EncodeToString(r.Head.Hash) + ". Note it down elsewhere to prove that later."}
	if !r.Whole() {
		report = &ui.Alert{Tone: ui.Bad, Role: "alert", Title: "The log was tampered with", Text: "The entry number " + ui.Number(r.BrokenAt) + " is not what was written, or entries before it are missing. Everything before it is whole. Keep a copy of the database, and ask whoever can reach it."}
	}
	return h.audit(v, report)
}
