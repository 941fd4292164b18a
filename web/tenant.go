// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesTenant(r chi.Router) {
	r.Get("/settings/tenant", h.page(h.tenant))
	r.Post("/settings/tenant", h.page(h.reviseTenant))
}

// Zones that are suggested; any name of the IANA database is taken.
var zones = []string{
	"UTC", "Europe/London", "Europe/Lisbon", "Europe/Berlin", "Europe/Paris", "Europe/Vienna", "Europe/Zurich", "Europe/Madrid", "Europe/Rome", "Europe/Warsaw", "Europe/Stockholm", "Europe/Helsinki", "Europe/Kyiv",
	"Europe/Istanbul", "Africa/Lagos", "Africa/Nairobi", "Africa/Johannesburg", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka", "Asia/Bangkok", "Asia/Singapore", "Asia/Hong_Kong", "Asia/Shanghai", "Asia/Seoul",
	"Asia/Tokyo", "Australia/Perth", "Australia/Sydney", "Pacific/Auckland", "America/Sao_Paulo", "America/Halifax", "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
	"America/Anchorage", "Pacific/Honolulu", "America/Mexico_City", "America/Bogota", "America/Buenos_Aires",
}

func (h *Handler) tenant(v *visit) error {
	view, err := v.tenantView()
	if err != nil {
		return err
	}
	return v.render(TenantPage(view))
}

func (v *visit) tenantView() (view TenantView, err error) {
	t, err := v.h.Auth.Tenant(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/tenant", auth.EditTenant); err != nil {
		return view, err
	}
	view.Version = strconv.FormatInt(t.Version, 10)
	view.Name = ui.Field{Name: "name", Label: "Name", Value: t.Name, Required: true, Autocomplete: "organization", ReadOnly: !view.MayEdit}
	view.Zone = ui.Field{Name: "timeZone", Label: "Time zone", Value: t.TimeZone, Required: true, Autocomplete: "off", ReadOnly: !view.MayEdit, Attrs: map[string]any{"list": "zones"},
		Hint: "Months of invoices begin and end in it, schedules without a zone of their own go by it, and times are shown in it."}
	view.Zones = zones
	view.Facts = []ui.KeyValue{
		{Key: "Region", Text: t.Region},
		{Key: "State", Body: ui.Fragments{ui.State{Word: string(t.State)}}},
		{Key: "Since", Body: ui.Fragments{ui.Time{At: t.CreatedAt, Date: true}}},
		{Key: "Tenant", Body: ui.Fragments{ui.ID{Value: ident.Format(ident.Tenant, t.ID), Short: true, Label: "tenant id"}}},
	}
	return view, nil
}

func (h *Handler) reviseTenant(v *visit) error {
	name, zone := v.form("name"), v.form("timeZone")
	version, _ := strconv.ParseInt(v.form("version"), 10, 64) // 0 for whatever is there
	_, err := h.Auth.ReviseTenant(v.ctx(), v.who, name, zone, version)
	if err == nil {
		v.flash(ui.OK, "Saved.")
		return v.redirect("/settings/tenant")
	}
	if !refused(err) {
		return err
	}
	view, readErr := v.tenantView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Name.Value, view.Name.Error = name, at["/name"]
	view.Zone.Value, view.Zone.Error = zone, at["/timeZone"]
	for _, item := range []ui.ErrorItem{{Field: "name", Text: at["/name"]}, {Field: "timeZone", Text: at["/timeZone"]}, {Text: rest}} {
		if item.Text != "" {
			view.Problems = append(view.Problems, item)
		}
	}
	return v.renderAs(statusOf(err), TenantPage(view))
}
