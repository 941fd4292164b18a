// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesKeys(r chi.Router) {
	r.Get("/settings/keys", h.page(h.keys))
	r.Post("/settings/keys", h.page(h.createKey))
	r.Post("/settings/keys/{key}:revoke", h.page(h.revokeKey))
}

var scopeTexts = map[auth.Scope]string{
	auth.ScopeRead: "as a viewer", auth.ScopeWrite: "as an editor", auth.ScopeConnections: "connections and secrets, for deploying", auth.ScopeFinance: "usage and invoices, no records", auth.ScopeAdmin: "as an admin: members and keys included",
	auth.ScopeOperator: "runs the installation: all tenants' plans, coupons, credit, revenue",
}

// lifetimes are how long a key may live; the empty one is for ever.
var lifetimes = []struct {
	value, label string
	days         int
}{{"30", "In 30 days", 30}, {"90", "In 90 days", 90}, {"365", "In a year", 365}, {"never", "Never", 0}}

func (h *Handler) keys(v *visit) error {
	view, err := v.keysView(nil)
	if err != nil {
		return err
	}
	return v.render(KeysPage(view))
}

func (v *visit) keysView(scopes []string) (view KeysView, err error) {
	keys, err := v.h.Auth.Keys(v.ctx(), v.who, auth.KeyID{}, 0)
	if err != nil {
		return view, err
	}
	names, err := v.names()
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/keys", auth.EditKeys); err != nil {
		return view, err
	}
	for _, k := range slices.Backward(keys) {
		line := KeyLine{
			ID: k.ID.String(), Name: k.Name, Last4: k.LastFour, Prefix: auth.LivePrefix, Scopes: words(k.Scopes), State: "active", CreatedBy: named(names, k.CreatedBy),
			CreatedAt: k.CreatedAt, UsedAt: k.LastUsedAt, ExpiresAt: k.ExpiresAt, Version: strconv.FormatInt(k.Version, 10),
		}
		switch {
		case !k.RevokedAt.IsZero():
			line.State = "revoked"
		case !k.ExpiresAt.IsZero() && !v.now.Before(k.ExpiresAt):
			line.State = "expired"
		}
		line.MayRevoke = view.MayEdit && line.State == "active"
		view.Keys = append(view.Keys, line)
	}
	slices.SortStableFunc(view.Keys, func(a, b KeyLine) int { return b2n(a.State != "active") - b2n(b.State != "active") })
	view.Name = ui.Field{Name: "name", ID: "key-name", Label: "Name", Hint: "Where it is used: ci, warehouse import", Required: true, Autocomplete: "off"}
	given := auth.Scopes
	if v.who.Operates {
		given = auth.AllScopes
	}
	for _, s := range given {
		view.Scopes = append(view.Scopes, ui.Check{Name: "scope", ID: "scope-" + string(s), Value: string(s), Label: ui.Words(string(s)), Hint: ui.Words(scopeTexts[s]), Checked: slices.Contains(scopes, string(s))})
	}
	view.Expires = ui.Select{Name: "expires", Label: "Expires", Value: "90"}
	for _, l := range lifetimes {
		view.Expires.Options = append(view.Expires.Options, ui.Option{Value: l.value, Label: l.label})
	}
	return view, nil
}

func b2n(b bool) int {
	if b {
		return 1
	}
	return 0
}

// createKey makes a key and shows it, this once.
func (h *Handler) createKey(v *visit) error {
	name := v.form("name")
	scopes := v.r.PostForm["scope"]
	var expires time.Time
	for _, l := range lifetimes {
		if l.value == v.form("expires") && l.days > 0 {
			expires = v.now.AddDate(0, 0, l.days)
		}
	}
	var asked []auth.Scope
	for _, s := range scopes {
		asked = append(asked, auth.Scope(s))
	}
	key, made, err := h.Auth.CreateKey(v.ctx(), v.who, name, asked, expires)
	if err != nil && !refused(err) {
		return err
	}
	if err == nil {
		scopes = nil
	}
	view, readErr := v.keysView(scopes)
	if readErr != nil {
		return readErr
	}
	if err != nil {
		at, rest := errorsAt(err)
		view.Name.Value, view.Name.Error, view.ScopeAt = name, at["/name"], at["/scopes"]
		view.Expires.Value, view.Expires.Error = v.form("expires"), at["/expiresAt"]
		if rest != "" {
			view.Name.Error = rest
		}
		view.Open = "new-key"
		return v.renderAs(statusOf(err), KeysPage(view))
	}
	view.NewKey, view.NewName = key.Reveal(), made.Name
	return v.render(KeysPage(view))
}

func (h *Handler) revokeKey(v *visit) error {
	id, err := auth.ParseKeyID(v.param("key"))
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(v.query("version"), 10, 64) // 0 for whatever is there
	k, err := h.Auth.RevokeKey(v.ctx(), v.who, id, version)
	if err != nil {
		return v.backTo("/settings/keys", err)
	}
	v.flash(ui.OK, k.Name+" was revoked: programs that use it are refused from now on.")
	return v.redirect("/settings/keys")
}
