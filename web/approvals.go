// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

const approvalsPath = "/conflicts/approvals"

func (h *Handler) routesApprovals(r chi.Router) {
	r.Get(approvalsPath, h.page(h.approvals))
	r.Post(approvalsPath+"/{act}:approve", h.page(func(v *visit) error { return h.answerRule(v, true) }))
	r.Post(approvalsPath+"/{act}:reject", h.page(func(v *visit) error { return h.answerRule(v, false) }))
	r.Post(approvalsPath+"/{act}:take", h.page(h.takeAct))
	r.Post(approvalsPath+"/{act}:complete", h.page(h.completeAct))
	r.Post(approvalsPath+"/{act}:release", h.page(h.releaseAct))
}

// ApprovalsView is what business rules left to people, and what they did lately.
type ApprovalsView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Waiting []ApprovalLine
	Wanted  []ApprovalLine // what rules want done, taken up or not
	Lately  []ApprovalLine
	May     bool
}

// ApprovalLine is one time that a record came to meet a rule.
type ApprovalLine struct {
	ID      string
	Path    string
	Record  string
	Href    string
	Rule    string
	What    string // "waits for approval"
	Service string
	System  string
	State   string
	By      string
	Reason  string
	Sample  string // the record's fields as JSON
	Other   string // address of the record that it repeats
	Ref     string // what came of it
	Taken   bool
	At      time.Time
}

// actTexts say what a rule's action means.
var actTexts = map[string]string{
	engine.ActRequireApproval: "nothing of it is sent until somebody approves", engine.ActReview: "somebody should look at it", "notify": "told", "alert": "told",
	engine.ActReconciled: "reconciled for as long as it meets the rule", engine.ActInvoice: "an invoice is wanted", "start_workflow": "a workflow is wanted", "call_webhook": "a call is wanted", "archive": "to be archived",
}

func (h *Handler) approvals(v *visit) error {
	if err := v.who.May(auth.ViewRecords); err != nil {
		return err
	}
	view := ApprovalsView{May: v.can(auth.ResolveConflicts)}
	for state, list := range map[engine.ActState]*[]ApprovalLine{engine.ActOpen: &view.Waiting, engine.ActWanted: &view.Wanted, engine.ActTaken: &view.Wanted, "": &view.Lately} {
		acts, err := h.Reader.Acts(v.ctx(), v.who, engine.ActQuery{State: state, Limit: pageSize})
		if err != nil {
			return err
		}
		for _, c := range acts {
			if state == "" && (c.State == engine.ActOpen || c.State == engine.ActWanted || c.State == engine.ActTaken) {
				continue
			}
			*list = append(*list, approvalLine(c))
		}
	}
	slices.SortFunc(view.Wanted, func(a, b ApprovalLine) int { return b.At.Compare(a.At) })
	open, _, err := h.Reader.CountOpen(v.ctx(), v.who, service.ID{})
	if err != nil {
		return err
	}
	view.Tabs = conflictTabs(open, false)
	for i := range view.Tabs.Items {
		view.Tabs.Items[i].Current = view.Tabs.Items[i].Href == approvalsPath
	}
	if view.Page, err = v.shell("Approvals", "/conflicts", "Conflicts", "/conflicts", "Approvals"); err != nil {
		return err
	}
	return v.render(ApprovalsPage(view))
}

func approvalLine(c engine.ActCase) ApprovalLine {
	l := ApprovalLine{
		ID: ident.Format(ident.RuleAction, c.ID), Record: headline(keyText(c.Title)), Href: recordPath(c.ServiceName, c.Entity), Rule: c.Rule, What: or(actTexts[c.Action], ui.Words(c.Action)),
		Service: c.ServiceName, System: systemName(c.System), State: string(c.State), By: c.DecidedBy, Reason: c.Reason, Sample: pretty(c.Fields), At: c.At,
	}
	l.Path, l.Ref, l.Taken = approvalsPath+"/"+l.ID, c.Reference, c.State == engine.ActTaken
	if l.Taken {
		l.By = c.TakenBy
	}
	if l.Record == "" {
		l.Record = "Record " + shortID(ident.Format(ident.Entity, c.Entity))
	}
	if !c.Other.IsZero() {
		l.Other = recordPath(c.ServiceName, c.Other)
		l.What = "it repeats another record"
	}
	return l
}

func (h *Handler) answerRule(v *visit, yes bool) error {
	id, err := ident.Parse(ident.RuleAction, v.param("act"))
	if err != nil {
		return err
	}
	c, err := h.Decider.Answer(v.ctx(), v.who, id, yes, v.form("reason"))
	switch {
	case err == nil && yes:
		v.flash(ui.OK, "Approved: "+c.Rule+". What waited is on its way.")
	case err == nil:
		v.flash(ui.OK, "Rejected: nothing of the record is sent while it meets "+c.Rule+".")
	case fault.KindOf(err) == fault.Conflict:
		v.flash(ui.Warn, fault.As(err).Message)
	default:
		return err
	}
	return v.redirect(approvalsPath)
}

func (h *Handler) takeAct(v *visit) error {
	return h.handleAct(v, func(id uuid.UUID) (string, error) {
		c, err := h.Decider.Take(v.ctx(), v.who, id)
		return "It is yours: " + c.Rule + ". Say when it is done.", err
	})
}

func (h *Handler) completeAct(v *visit) error {
	return h.handleAct(v, func(id uuid.UUID) (string, error) {
		c, err := h.Decider.Complete(v.ctx(), v.who, id, v.form("reference"), v.form("reason"))
		return "Done: " + c.Rule + ".", err
	})
}

func (h *Handler) releaseAct(v *visit) error {
	return h.handleAct(v, func(id uuid.UUID) (string, error) {
		c, err := h.Decider.Release(v.ctx(), v.who, id, v.form("reason"))
		return "Given back: " + c.Rule + " waits for the next one.", err
	})
}

func (h *Handler) handleAct(v *visit, do func(id uuid.UUID) (string, error)) error {
	id, err := ident.Parse(ident.RuleAction, v.param("act"))
	if err != nil {
		return err
	}
	said, err := do(id)
	switch {
	case err == nil:
		v.flash(ui.OK, said)
	case fault.KindOf(err) == fault.Conflict:
		v.flash(ui.Warn, fault.As(err).Message)
	default:
		return err
	}
	return v.redirect(approvalsPath)
}
