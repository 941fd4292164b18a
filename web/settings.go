// SPDX-License-Identifier: Apache-2.0

package web

import (
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesSettings(r chi.Router) {
	h.routesMembers(r)
	h.routesKeys(r)
	h.routesSecrets(r)
	h.routesWebhooks(r)
	h.routesPlan(r)
	h.routesTenant(r)
	h.routesAudit(r)
	h.routesAccount(r)
}

// The tabs of the settings, each with what is needed to see it.
var settingsTabs = []struct {
	label, href string
	need        auth.Permission
}{
	{"Members", "/settings", auth.ViewMembers},
	{"API keys", "/settings/keys", auth.ViewKeys},
	{"Secrets", "/settings/secrets", auth.ViewSecrets},
	{"Webhooks", "/settings/webhooks", auth.ViewWebhooks},
	{"Plan", "/settings/plan", auth.ViewInvoices},
	{"Tenant", "/settings/tenant", auth.ViewTenant},
	{"Audit log", "/settings/audit", auth.ViewAudit},
	{"Your account", "/settings/account", ""},
}

// settings begins a tab: edit is what it takes to change what it shows.
func (v *visit) settings(href string, edit auth.Permission, crumbs ...string) (view SettingsView, err error) {
	view.MayEdit = v.can(edit)
	view.Tabs.Label = "Settings"
	title := "Settings"
	for _, t := range settingsTabs {
		if t.need == "" || v.can(t.need) {
			view.Tabs.Items = append(view.Tabs.Items, ui.Tab{Label: t.label, Href: t.href, Current: t.href == href})
		}
		if t.href == href {
			title = t.label
			crumbs = append([]string{"Settings", "/settings", t.label}, crumbs...)
			if len(crumbs)%2 == 0 { // a page below the tab: its label leads there
				crumbs = append([]string{"Settings", "/settings", t.label, t.href}, crumbs[3:]...)
			}
		}
	}
	view.Page, err = v.shell(title, "/settings", crumbs...)
	return view, err
}

// names tells people's and keys' names by their public ids, as far as the reader may see them.
func (v *visit) names() (map[string]string, error) {
	out := map[string]string{}
	if v.can(auth.ViewMembers) {
		members, err := v.h.Auth.Members(v.ctx(), v.who, auth.UserID{}, 0)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			out[m.ID.String()] = m.Name
		}
	}
	if v.can(auth.ViewKeys) {
		keys, err := v.h.Auth.Keys(v.ctx(), v.who, auth.KeyID{}, 0)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			out[k.ID.String()] = "the key " + k.Name
		}
	}
	return out, nil
}

// named is a name by its id; ids of those who are gone stay ids.
func named(names map[string]string, id string) string {
	if n := names[id]; n != "" {
		return n
	}
	return shortID(id)
}
