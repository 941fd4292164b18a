// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesSearch(r chi.Router) { r.Get("/search", h.page(h.search)) }

// How much the palette finds: it is for jumping, the lists are for looking through.
const (
	foundPerGroup    = 5
	searchedServices = 10
)

// search answers the command palette: services, connections and records that contain what was typed.
func (h *Handler) search(v *visit) error {
	q := strings.TrimSpace(v.query("q"))
	var found ui.PaletteResults
	if q == "" {
		return v.render(found)
	}
	list, err := h.Services.List(v.ctx(), v.who, service.Filter{Containing: q, Limit: foundPerGroup})
	if err != nil {
		return err
	}
	group := ui.PaletteGroup{Title: "Services"}
	for _, s := range list {
		group.Items = append(group.Items, ui.PaletteItem{Label: s.Name, Sub: ui.Words(string(s.State)), Icon: "refresh-cw", Href: servicePath(s.Name)})
	}
	found.Groups = grouped(found.Groups, group)
	if v.can(auth.ViewConnections) {
		all, err := h.Connections.List(v.ctx(), v.who, connection.Filter{})
		if err != nil {
			return err
		}
		group = ui.PaletteGroup{Title: "Connections"}
		for _, c := range all {
			if strings.Contains(strings.ToLower(c.Name), strings.ToLower(q)) && len(group.Items) < foundPerGroup {
				group.Items = append(group.Items, ui.PaletteItem{Label: c.Name, Sub: c.Connector, Icon: "plug", Href: connectionPath(c.Name)})
			}
		}
		found.Groups = grouped(found.Groups, group)
	}
	if len([]rune(q)) >= 3 && v.can(auth.ViewRecords) {
		group, err := h.searchRecords(v, q)
		if err != nil {
			return err
		}
		found.Groups = grouped(found.Groups, group)
	}
	return v.render(found)
}

func (h *Handler) searchRecords(v *visit, q string) (group ui.PaletteGroup, err error) {
	group.Title = "Records"
	all, err := h.Services.List(v.ctx(), v.who, service.Filter{Limit: searchedServices})
	if err != nil {
		return group, err
	}
	for _, s := range all {
		records, err := h.Reader.Records(v.ctx(), v.who, s.ID, engine.RecordQuery{Search: q, Limit: foundPerGroup})
		if err != nil {
			return group, err
		}
		for _, e := range records {
			if len(group.Items) == foundPerGroup {
				return group, nil
			}
			group.Items = append(group.Items, ui.PaletteItem{Label: titleOf(e), Sub: s.Name, Icon: "table-2", Href: recordPath(s.Name, e.ID)})
		}
	}
	return group, nil
}

// Addresses of things, used by all pages.

func servicePath(name string) string { return "/services/" + url.PathEscape(name) }

func connectionPath(name string) string { return "/connections/" + url.PathEscape(name) }

func recordPath(serviceName string, id record.EntityID) string {
	return servicePath(serviceName) + "/records/" + ident.Format(ident.Entity, id)
}

func runPath(id service.RunID) string { return "/runs/" + id.Public() }

// grouped adds a group that has something.
func grouped(groups []ui.PaletteGroup, group ui.PaletteGroup) []ui.PaletteGroup {
	if len(group.Items) == 0 {
		return groups
	}
	return append(groups, group)
}
