// SPDX-License-Identifier: Apache-2.0

package web

import (
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesSchema(r chi.Router) {
	r.Post("/services/{service}/schema-changes/{change}:accept", h.page(h.acceptSchema))
	r.Post("/services/{service}/schema-changes/{change}:dismiss", h.page(h.dismissSchema))
}

// schemaNotices are the banners of a service's page about fields that are not what they were.
func (v *visit) schemaNotices(s service.Service) (out []ui.Alert, err error) {
	list, err := v.h.Reader.ShapeChanges(v.ctx(), v.who, engine.ShapeQuery{Service: s.ID, State: engine.ShapeOpen, Limit: 10})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		title, text := schemaText(c)
		a := ui.Alert{Tone: ui.Warn, Title: title, Text: text, Since: c.FoundAt}
		if v.can(auth.EditServices) {
			path := servicePath(s.Name) + "/schema-changes/" + ident.Format(ident.SchemaChange, c.ID)
			if c.Kind != engine.FieldAdded || c.Name != "" {
				a.Actions = append(a.Actions, ui.Act{Action: path + ":accept", Button: ui.Button{Label: "Accept", Size: "sm", Kind: ui.Primary}})
			}
			a.Actions = append(a.Actions, ui.Act{Action: path + ":dismiss", Button: ui.Button{Label: "Dismiss", Size: "sm"}})
		}
		out = append(out, a)
	}
	return out, nil
}

// schemaText says what became of a field, and what that means meanwhile.
func schemaText(c engine.ShapeChange) (title, text string) {
	where := string(c.Object) + " of " + string(c.System)
	switch {
	case c.Kind == engine.FieldAdded && c.Name == "":
		return "New field: " + c.Field + " in " + where, "The mapping does not name it, so it is not synced. Add it to the mapping to accept it."
	case c.Kind == engine.FieldAdded:
		return "New field: " + c.Field + " in " + where, "It is not synced yet. Accept it, and the records are read again for it."
	case c.Kind == engine.FieldRemoved:
		return "Field in quarantine: " + c.Field + " is gone from " + where, "Records sync on without it; the other systems keep its values. Accept that it is gone for good, or bring it back."
	}
	return "Field in quarantine: " + c.Field + " of " + where + " was " + c.Was.Native + " and is " + c.Is.Native,
		"Records sync on without it, and all systems keep its values. Accept it as it is now, and the records are read again for it."
}

func (h *Handler) acceptSchema(v *visit) error {
	return v.decideSchema(true, "Accepted: the records are read again for the field.")
}

func (h *Handler) dismissSchema(v *visit) error {
	return v.decideSchema(false, "Dismissed: the field is left alone.")
}

func (v *visit) decideSchema(accept bool, text string) error {
	id, err := ident.Parse(ident.SchemaChange, v.param("change"))
	if err != nil {
		return err
	}
	c, err := v.h.Decider.DecideShape(v.ctx(), v.who, id, accept)
	if err != nil {
		return err
	}
	v.flash(ui.OK, text)
	return v.redirect(servicePath(c.ServiceName))
}
