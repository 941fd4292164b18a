// SPDX-License-Identifier: Apache-2.0

package web

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/web/ui"
)

//go:embed templates/crm-contact-sync.yaml
var crmDocument string

// crmStart is the template whose systems have simulators.
const crmStart = "crm"

// crmSecrets are what the template's document refers to, as the sandbox wants them.
var crmSecrets = []struct{ name, value string }{
	{"SALESFORCE_INSTANCE_URL", "https://sandbox.my.salesforce.com"}, {"SALESFORCE_TOKEN", "sandbox_salesforce"}, {"HUBSPOT_API_KEY", "sandbox_hubspot"},
	{"ZENDESK_SUBDOMAIN", "sandbox"}, {"ZENDESK_TOKEN", "sandbox_zendesk"},
}

func (h *Handler) routesSandbox(r chi.Router) {
	r.Get("/connections/{connection}/sandbox", h.page(h.sandbox))
	r.Post("/connections/{connection}/sandbox", h.page(h.editSandbox))
	r.Post("/connections/{connection}/sandbox:reset", h.page(h.resetSandbox))
	r.Post("/connections/{connection}/sandbox/faults", h.page(h.plantInSandbox))
	r.Post("/services:sandbox", h.page(h.startSandbox))
}

// SandboxView is a simulated account: what it holds, and forms to change it as somebody at the vendor would.
type SandboxView struct {
	Page    ui.Page
	Path    string
	Title   string // of the connector
	Service string // that uses it
	Tables  []SandboxTableView
	Faults  []string // what its next calls meet, in words
	Planted SandboxForm
	MayEdit bool
}

// SandboxForm is the form of a new fault, and why it was not taken.
type SandboxForm struct {
	Kind, Share, Times, Seconds string
	Error                       string
}

// sandboxTroubles are the kinds of trouble in words.
var sandboxTroubles = map[connection.SandboxTrouble]string{
	connection.SandboxRateLimit: "Too many requests (429)", connection.SandboxUnavailable: "Server error (502)", connection.SandboxSlow: "Slow answer",
	connection.SandboxLostAnswer: "Carried out, answer lost", connection.SandboxTokensEnd: "Access tokens end", connection.SandboxHooksLost: "Webhook message lost",
	connection.SandboxHooksDoubled: "Webhook message sent twice",
}

// inWords is a fault as one sentence.
func inWords(f connection.SandboxFault) string {
	out := sandboxTroubles[f.Kind]
	switch f.Kind {
	case connection.SandboxRateLimit:
		out += fmt.Sprintf(", try again after %d s", f.Seconds)
	case connection.SandboxSlow:
		out += fmt.Sprintf(", %d s", f.Seconds)
	}
	if f.Share > 0 {
		out += fmt.Sprintf(", %d%% of calls", f.Share)
	} else {
		out += ", each call"
	}
	if f.Times > 0 {
		out += fmt.Sprintf(", %d left", f.Times)
	} else {
		out += ", until healed"
	}
	return out
}

func sandboxTroubleOptions() []ui.Option {
	var out []ui.Option
	for _, k := range connection.SandboxTroubles {
		out = append(out, ui.Option{Value: string(k), Label: sandboxTroubles[k]})
	}
	return out
}

// SandboxTableView is a set of records there.
type SandboxTableView struct {
	connection.SandboxTable
	ID string
}

func sandboxPath(c connection.Connection) string { return addressOfConnection(c) + "/sandbox" }

func (h *Handler) sandbox(v *visit) error { return h.showSandbox(v, SandboxForm{Times: "5"}) }

func (h *Handler) showSandbox(v *visit, form SandboxForm) error {
	c, account, err := h.Connections.LookIntoSandbox(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	view := SandboxView{Path: sandboxPath(c), Title: c.Connector, Planted: form, MayEdit: v.can(auth.EditConnections)}
	for _, f := range account.Faults {
		view.Faults = append(view.Faults, inWords(f))
	}
	if found, err := h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, c.Connector); err == nil {
		view.Title = found.Spec().Title
	}
	if used, err := h.Connections.UsedBy(v.ctx(), v.who, c.ID.Public()); err == nil && len(used) > 0 {
		view.Service = used[0]
	}
	for _, t := range account.Tables {
		view.Tables = append(view.Tables, SandboxTableView{SandboxTable: t, ID: "table-" + t.Name})
	}
	if view.Page, err = v.shell("Sandbox", "/connections", "Connections", "/connections", c.Name, addressOfConnection(c), "Sandbox"); err != nil {
		return err
	}
	return v.render(SandboxPage(view))
}

// editSandbox changes a record: all its shown fields as they are in the form, or none to delete it.
func (h *Handler) editSandbox(v *visit) error {
	c, err := h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	e := connection.SandboxEdit{Table: v.form("table"), Key: v.form("key")}
	what := "The record is deleted."
	if v.form("delete") == "" {
		e.Fields = map[string]string{}
		for name, values := range v.r.PostForm {
			if field, ok := strings.CutPrefix(name, "field."); ok {
				e.Fields[field] = strings.TrimSpace(values[0])
			}
		}
		if what = "The record is changed."; e.Key == "" {
			what = "The record is made."
		}
	}
	switch err := h.Connections.EditSandbox(v.ctx(), v.who, c.ID.Public(), e); {
	case fault.As(err) != nil && fault.KindOf(err) != fault.Forbidden:
		v.flash(ui.Bad, fault.As(err).Message)
	case err != nil:
		return err
	default:
		v.flash(ui.OK, what+" The service sees it at its next look.")
	}
	return v.redirect(sandboxPath(c))
}

// plantInSandbox adds a fault to those that wait, or heals the account.
func (h *Handler) plantInSandbox(v *visit) error {
	c, account, err := h.Connections.LookIntoSandbox(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	if v.form("heal") != "" {
		if err := h.Connections.PlantSandboxFaults(v.ctx(), v.who, c.ID.Public(), nil); err != nil {
			return err
		}
		v.flash(ui.OK, "The vendor answers as usual again.")
		return v.redirect(sandboxPath(c))
	}
	form := SandboxForm{Kind: v.form("kind"), Share: v.form("share"), Times: v.form("times"), Seconds: v.form("seconds")}
	next := connection.SandboxFault{Kind: connection.SandboxTrouble(form.Kind)}
	for name, into := range map[string]*int{"share": &next.Share, "times": &next.Times, "seconds": &next.Seconds} {
		if text := strings.TrimSpace(v.form(name)); text != "" {
			if *into, err = strconv.Atoi(text); err != nil {
				form.Error = "Give whole numbers."
				return h.showSandbox(v, form)
			}
		}
	}
	err = h.Connections.PlantSandboxFaults(v.ctx(), v.who, c.ID.Public(), append(account.Faults, next))
	if f := fault.As(err); f != nil && f.Kind == fault.Invalid {
		form.Error = f.Message
		return h.showSandbox(v, form)
	} else if err != nil {
		return err
	}
	v.flash(ui.OK, "The next calls meet it: "+inWords(next)+".")
	return v.redirect(sandboxPath(c))
}

func (h *Handler) resetSandbox(v *visit) error {
	c, err := h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	if err := h.Connections.ResetSandbox(v.ctx(), v.who, c.ID.Public()); err != nil {
		return err
	}
	v.flash(ui.OK, "The account is as new.")
	return v.redirect(sandboxPath(c))
}

// startSandbox is the template with one click: the secrets that its document refers to, as far as there are none of these names,
// and the service.
func (h *Handler) startSandbox(v *visit) error {
	for _, p := range []auth.Permission{auth.EditServices, auth.EditSecrets} {
		if err := v.who.May(p); err != nil {
			return err
		}
	}
	for _, s := range crmSecrets {
		if _, err := h.Secrets.Set(v.ctx(), v.who, s.name, s.value, vault.NewOnly); err != nil && fault.KindOf(err) != fault.Conflict && fault.KindOf(err) != fault.Stale {
			return err
		}
	}
	done, err := h.Services.Apply(v.ctx(), v.who, service.Application{Source: []byte(crmDocument), Format: service.YAML, Note: "From the template, in the sandbox", IfNew: true})
	if f := fault.As(err); f != nil && (f.Kind == fault.Conflict || f.Kind == fault.Stale) {
		v.flash(ui.Warn, f.Message)
		return v.redirect("/services")
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, "Three accounts are being brought together. Open a connection's sandbox to edit its records.")
	return v.redirect(servicePath(done.Service.Name))
}
