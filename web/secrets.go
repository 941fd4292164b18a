// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesSecrets(r chi.Router) {
	r.Get("/settings/secrets", h.page(h.secrets))
	r.Post("/settings/secrets", h.page(h.createSecret))
	r.Get("/settings/secrets/{secret}", h.page(h.secret))
	r.Post("/settings/secrets/{secret}", h.page(h.replaceSecret))
	r.Post("/settings/secrets/{secret}:delete", h.page(h.deleteSecret))
}

func secretPath(name string) string { return "/settings/secrets/" + url.PathEscape(name) }

func (h *Handler) secrets(v *visit) error {
	view, err := v.secretsView()
	if err != nil {
		return err
	}
	return v.render(SecretsPage(view))
}

func (v *visit) secretsView() (view SecretsView, err error) {
	list, err := v.h.Secrets.List(v.ctx(), v.who, "", 0)
	if err != nil {
		return view, err
	}
	names, err := v.names()
	if err != nil {
		return view, err
	}
	using, err := v.secretUse()
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/secrets", auth.EditSecrets); err != nil {
		return view, err
	}
	for _, s := range list {
		view.Secrets = append(view.Secrets, secretLine(s, names, using))
	}
	view.Name = ui.Field{Name: "name", ID: "secret-name", Label: "Name", Mono: true, Hint: "Capital letters, digits and underscores, like CRM_TOKEN", Required: true, Autocomplete: "off"}
	view.Value = secretValue()
	return view, nil
}

// secretValue is the field for a value. It is a field of several lines, because keys and certificates have them.
func secretValue() ui.Area {
	return ui.Area{Name: "value", ID: "secret-value", Label: "Value", Hint: "Sealed with your tenant's key and never shown again.", Rows: 3, Mono: true, Required: true, Attrs: noSpelling}
}

var noSpelling = map[string]any{"autocomplete": "off", "spellcheck": "false"}

func secretLine(s vault.Secret, names map[string]string, using map[string][]ui.Line) SecretLine {
	return SecretLine{Name: s.Name, Href: secretPath(s.Name), UsedBy: using[s.Name], ChangedAt: s.UpdatedAt, ChangedBy: named(names, s.SetBy), Version: strconv.FormatInt(s.Version, 10)}
}

// secretUse tells where each secret is named: in the documents of services, and in the settings of connections.
func (v *visit) secretUse() (map[string][]ui.Line, error) {
	out := map[string][]ui.Line{}
	all, err := v.lineup()
	if err != nil {
		return nil, err
	}
	for _, s := range all.all {
		r, err := all.roster(s.ID)
		if err != nil {
			return nil, err
		}
		if r.doc == nil {
			continue
		}
		for _, name := range r.doc.SecretNames() {
			out[name] = append(out[name], ui.Line{Icon: "refresh-cw", Title: s.Name, Href: servicePath(s.Name)})
		}
	}
	if !v.can(auth.ViewConnections) {
		return out, nil
	}
	connections, err := v.h.Connections.List(v.ctx(), v.who, connection.Filter{})
	for _, c := range connections {
		if c.Owner != nil {
			continue // named in its service's document
		}
		var found []string
		for _, value := range c.Settings {
			for rest := value; ; {
				_, after, there := strings.Cut(rest, "${")
				name, tail, closed := strings.Cut(after, "}")
				if !there || !closed {
					break
				}
				found, rest = append(found, name), tail
			}
		}
		slices.Sort(found)
		for _, name := range slices.Compact(found) {
			out[name] = append(out[name], ui.Line{Icon: "plug", Title: c.Name, Href: addressOfConnection(c)})
		}
	}
	return out, err
}

// value is a secret as it was typed: nothing is trimmed from it.
func (v *visit) value() string {
	_ = v.form("name") // bounds the body
	return v.r.PostFormValue("value")
}

func (h *Handler) createSecret(v *visit) error {
	name := v.form("name")
	_, err := h.Secrets.Set(v.ctx(), v.who, name, v.value(), vault.NewOnly)
	if err != nil && !refused(err) {
		return err
	}
	if err == nil {
		v.flash(ui.OK, name+" is sealed. Documents can name it as ${"+name+"}.")
		return v.redirect("/settings/secrets")
	}
	view, readErr := v.secretsView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Name.Value, view.Name.Error, view.Value.Error = name, at["/name"], at["/value"]
	if rest != "" {
		view.Name.Error = rest
	}
	view.Open = "new-secret"
	return v.renderAs(statusOf(err), SecretsPage(view))
}

func (h *Handler) secret(v *visit) error {
	s, err := h.Secrets.Get(v.ctx(), v.who, v.param("secret"))
	if err != nil {
		return err
	}
	return v.secretPage(200, s, "")
}

func (v *visit) secretPage(status int, s vault.Secret, wrong string) error {
	names, err := v.names()
	if err != nil {
		return err
	}
	using, err := v.secretUse()
	if err != nil {
		return err
	}
	view := SecretView{Secret: secretLine(s, names, using), Value: secretValue()}
	view.Value.Label, view.Value.Error = "New value", wrong
	if view.SettingsView, err = v.settings("/settings/secrets", auth.EditSecrets, s.Name); err != nil {
		return err
	}
	return v.renderAs(status, SecretPage(view))
}

func (h *Handler) replaceSecret(v *visit) error {
	s, err := h.Secrets.Get(v.ctx(), v.who, v.param("secret"))
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(v.form("version"), 10, 64)
	if err != nil {
		version = s.Version
	}
	_, err = h.Secrets.Set(v.ctx(), v.who, s.Name, v.value(), version)
	if refused(err) {
		at, rest := errorsAt(err)
		return v.secretPage(statusOf(err), s, or(at["/value"], rest))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, "The value of "+s.Name+" was replaced. It counts from the next time it is used.")
	return v.redirect("/settings/secrets")
}

func (h *Handler) deleteSecret(v *visit) error {
	version, _ := strconv.ParseInt(v.query("version"), 10, 64) // 0 for whatever is there
	name := v.param("secret")
	err := h.Secrets.Delete(v.ctx(), v.who, name, version)
	if fault.KindOf(err) == fault.NotFound {
		return err
	}
	if err != nil {
		return v.backTo(secretPath(name), err)
	}
	v.flash(ui.OK, name+" was deleted.")
	return v.redirect("/settings/secrets")
}
