// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesConnections(r chi.Router) {
	r.Get("/connections", h.page(h.connections))
	r.Post("/connections", h.page(h.createConnection))
	r.Post("/connections:try", h.page(h.tryConnection))
	r.Get("/connections/new", h.page(h.newConnection))
	r.Get(connection.Returning, h.page(h.authorized))
	r.Get("/connections/{connection}", h.page(h.connection))
	r.Get("/connections/{connection}/authorize", h.page(h.authorizeForm))
	r.Post("/connections/{connection}/authorize", h.page(h.authorize))
	r.Get("/connections/{connection}/consent", h.page(h.consent))
	r.Post("/connections/{connection}/consent", h.page(h.consent))
	r.Get("/connections/{connection}/parts/objects", h.page(h.connectionObjects))
	r.Get("/connections/{connection}/edit", h.page(h.editConnection))
	r.Post("/connections/{connection}/edit", h.page(h.saveConnection))
	r.Post("/connections/{connection}:test", h.page(h.testConnection))
	r.Post("/connections/{connection}:delete", h.page(h.deleteConnection))
	r.Post("/connections/{connection}:reset", h.page(h.resetConnection))
	r.Post("/connections/{connection}/subscription:renew", h.page(h.onSubscription((*connection.Manager).RenewSubscription)))
	r.Post("/connections/{connection}/subscription:pause", h.page(h.onSubscription((*connection.Manager).PauseSubscription)))
	r.Post("/connections/{connection}/subscription:resume", h.page(h.onSubscription((*connection.Manager).ResumeSubscription)))
}

// addressOfConnection is the address of a connection's page: by its name, unless that name means something else there.
func addressOfConnection(c connection.Connection) string {
	if c.Name == "new" || c.Name == "authorized" {
		return connectionPath(c.ID.Public())
	}
	return connectionPath(c.Name)
}

func (h *Handler) connections(v *visit) error {
	list, err := h.Connections.List(v.ctx(), v.who, connection.Filter{})
	if err != nil {
		return err
	}
	view := ConnectionsView{MayEdit: v.can(auth.EditConnections)}
	for _, c := range list {
		line, err := v.connectionLine(c)
		if err != nil {
			return err
		}
		view.Connections = append(view.Connections, line)
	}
	if view.Page, err = v.shell("Connections", "/connections", "Connections"); err != nil {
		return err
	}
	return v.render(ConnectionsPage(view))
}

func (v *visit) connectionLine(c connection.Connection) (line ConnectionLine, err error) {
	line = ConnectionLine{
		ID: c.ID.Public(), Name: c.Name, Href: addressOfConnection(c), Type: c.Connector, Address: addressOf(c.Settings), State: string(c.State), Text: c.Reason, Checked: timeOf(c.CheckedAt),
		MayTest: v.can(auth.EditConnections),
	}
	line.Services, err = v.h.Connections.UsedBy(v.ctx(), v.who, c.ID.Public())
	return line, err
}

// addressOf is where a system is, in one line, from the settings that most systems have.
func addressOf(s connector.Settings) string {
	host := s["host"]
	if host == "" {
		return or(s["url"], s["account"])
	}
	if s["port"] != "" {
		host += ":" + s["port"]
	}
	if s["database"] != "" {
		host += "/" + s["database"]
	}
	return host
}

func (h *Handler) connection(v *visit) error {
	c, err := h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	return v.connectionPage(200, c, nil)
}

func (v *visit) connectionPage(status int, c connection.Connection, wrong *ui.Alert) error {
	view, err := v.connectionView(c)
	if err != nil {
		return err
	}
	view.Wrong = wrong
	if view.Page, err = v.shell(c.Name, "/connections", "Connections", "/connections", c.Name); err != nil {
		return err
	}
	return v.renderAs(status, ConnectionPage(view))
}

func (v *visit) connectionView(c connection.Connection) (view ConnectionView, err error) {
	view = ConnectionView{Path: addressOfConnection(c), Title: c.Connector, ETag: strconv.FormatInt(c.Version, 10)}
	if view.Line, err = v.connectionLine(c); err != nil {
		return view, err
	}
	var spec connector.Spec
	if found, err := v.h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, c.Connector); err == nil {
		spec = found.Spec()
		view.Title = spec.Title
	}
	if c.Owner != nil {
		view.Owner, _, _ = strings.Cut(c.Name, "/")
	}
	if view.Sandboxed, err = v.h.Connections.Sandboxed(v.ctx(), v.who, c.ID.Public()); err != nil {
		return view, err
	}
	if view.History, err = v.historyView(c, v.can(auth.EditConnections)); err != nil {
		return view, err
	}
	if view.Listening, view.Deaf, view.Acts, err = v.listeningView(c); err != nil {
		return view, err
	}
	view.MayEdit = v.can(auth.EditConnections) && c.Owner == nil
	view.MayDelete = view.MayEdit
	if len(view.Line.Services) > 0 {
		view.WhyNot = and(view.Line.Services) + map[bool]string{true: " uses it", false: " use it"}[len(view.Line.Services) == 1]
	}
	view.Settings = settingsShown(spec, c, view.Sandboxed)
	if view.Grant, err = v.grantView(spec, c); err != nil {
		return view, err
	}
	view.Facts = []ui.KeyValue{
		{Key: "Connector", Text: view.Title},
		{Key: "Price class", Text: ui.Words(spec.Class)},
		{Key: "Sees changes by", Text: strings.Join(spec.Detections, ", ")},
		{Key: "Sees deletions", Text: spec.Deletes},
		{Key: "Promise", Text: spec.Guarantee},
		{Key: "Made", Body: ui.Fragments{ui.Time{At: c.CreatedAt, Date: true}}},
		{Key: "Changed", Body: ui.Fragments{ui.Time{At: c.UpdatedAt}}},
		{Key: "Connection", Body: ui.Fragments{ui.ID{Value: c.ID.Public(), Short: true, Label: "connection id"}}},
	}
	view.Facts = slices.DeleteFunc(view.Facts, func(f ui.KeyValue) bool { return f.Text == "" && f.Body == nil })
	for _, name := range view.Line.Services {
		view.Services = append(view.Services, ui.Line{Icon: "refresh-cw", Tone: ui.Accent, Title: name, Href: servicePath(name)})
	}
	api := "/v1/connections/" + url.PathEscape(c.Name)
	view.Code = []ui.Code{{Title: "Connection", Lang: "shell", Text: v.curl("GET", api, "")}, {Title: "Test", Lang: "shell", Text: v.curl("POST", api+":test", "")}, {Title: "Health", Lang: "shell", Text: v.curl("GET", api+"/health", "")},
		{Title: "Objects", Lang: "shell", Text: v.curl("GET", api+"/objects", "")}}
	return view, nil
}

// listeningView says whether the vendor tells of changes, since when and until when, and what can be done about it.
func (v *visit) listeningView(c connection.Connection) (facts []ui.KeyValue, deaf *ui.Alert, acts ui.Fragments, err error) {
	l, err := v.h.Connections.Listening(v.ctx(), v.who, c.ID.Public())
	if err != nil || l == nil {
		return nil, nil, nil, err
	}
	if v.can(auth.EditConnections) {
		verbs := []struct{ verb, label, icon string }{{"renew", "Renew", "refresh-cw"}, {"pause", "Pause", "pause"}}
		if l.State() == connection.Paused {
			verbs = verbs[:1]
			verbs[0].verb, verbs[0].label, verbs[0].icon = "resume", "Resume", "play"
		}
		for _, a := range verbs {
			acts = append(acts, ui.Act{Action: addressOfConnection(c) + "/subscription:" + a.verb, Button: ui.Button{Label: a.label, Icon: a.icon, Size: "sm"}})
		}
	}
	words := map[connection.Telling]string{connection.Asking: "it is being asked", connection.Active: "it tells", connection.Failing: "asking it failed", connection.Paused: "it rests until you resume it"}
	facts = []ui.KeyValue{{Key: "The vendor", Text: words[l.State()]}}
	for _, f := range []struct {
		key string
		at  *time.Time
	}{{"Since", l.Since}, {"Until", l.EndsAt}, {"Asked again", l.RenewAt}, {"Paused", l.PausedAt}} {
		if f.at != nil {
			facts = append(facts, ui.KeyValue{Key: f.key, Body: ui.Fragments{ui.Time{At: *f.at}}})
		}
	}
	if l.Reason != "" {
		deaf = &ui.Alert{Tone: ui.Warn, Title: "Changes are found by looking meanwhile", Text: l.Reason}
	}
	return facts, deaf, acts, nil
}

// onSubscription does something to the vendor's telling of changes.
func (h *Handler) onSubscription(do func(*connection.Manager, context.Context, auth.Principal, string) (*connection.Listening, error)) func(*visit) error {
	return func(v *visit) error {
		l, err := do(h.Connections, v.ctx(), v.who, v.param("connection"))
		switch {
		case refused(err):
			v.flash(ui.Bad, fault.As(err).Message)
		case err != nil:
			return err
		case l == nil:
			v.flash(ui.OK, "The vendor is asked when a service listens.")
		case l.State() == connection.Paused:
			v.flash(ui.OK, "The vendor tells no more. Changes are found by looking until you resume it.")
		case l.State() == connection.Failing:
			v.flash(ui.Bad, l.Reason)
		default:
			v.flash(ui.OK, "The vendor tells of changes.")
		}
		return v.redirect(connectionPath(v.param("connection")))
	}
}

// settingsShown lists the settings in the connector's order. Of secret ones only that there is a value. A connection may be in the
// sandbox by its credentials alone.
func settingsShown(spec connector.Spec, c connection.Connection, sandboxed bool) (out []ui.KeyValue) {
	for _, s := range spec.Settings {
		switch value, given := c.Settings[s.Name]; {
		case slices.Contains(c.Secrets, s.Name):
			out = append(out, ui.KeyValue{Key: s.Title, Text: "sealed", Hint: "kept with your tenant's key; never shown"})
		case given:
			out = append(out, ui.KeyValue{Key: s.Title, Text: value, Mono: true})
		case sandboxed && s.Name == "environment":
			out = append(out, ui.KeyValue{Key: s.Title, Text: "sandbox", Mono: true, Hint: "its credentials are the sandbox's: a simulator answers"})
		case s.Default != "":
			out = append(out, ui.KeyValue{Key: s.Title, Text: s.Default, Mono: true, Hint: "the default"})
		}
	}
	return out
}

// testConnection tries the connection. The answer is the row of the list, or the whole page when no script asked.
func (h *Handler) testConnection(v *visit) error {
	c, err := h.Connections.Test(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	if !v.htmx() {
		if c.State == connection.Healthy {
			v.flash(ui.OK, c.Name+" answers and allows what sync needs.")
		} else {
			v.flash(ui.Bad, c.Name+": "+c.Reason)
		}
		return v.redirect(addressOfConnection(c))
	}
	if c.State == connection.Healthy {
		v.toast(ui.OK, c.Name+" answers and allows what sync needs.")
	} else {
		v.toast(ui.Bad, c.Name+": "+c.Reason)
	}
	if v.query("row") == "" {
		view, err := v.connectionView(c)
		if err != nil {
			return err
		}
		return v.render(ConnectionHealth(view))
	}
	line, err := v.connectionLine(c)
	if err != nil {
		return err
	}
	return v.render(ConnectionRow(line))
}

const mostObjects = 200

// connectionObjects asks the system what it has. That may take a while, so the page asks for it by itself.
func (h *Handler) connectionObjects(v *visit) error {
	view := ConnectionObjectsView{Path: connectionPath(v.param("connection")) + "/parts/objects"}
	list, err := h.Connections.Objects(v.ctx(), v.who, v.param("connection"))
	switch {
	case fault.KindOf(err) == fault.Forbidden, fault.KindOf(err) == fault.NotFound:
		return err
	case fault.As(err) != nil:
		view.Problem = &ui.Alert{Tone: ui.Warn, Title: "What it has could not be found out", Text: fault.As(err).Message, Code: hasPage(fault.As(err).Code)}
	case err != nil:
		view.Problem = v.alertOf(err, "What it has could not be found out")
	}
	for i, o := range list {
		if i == mostObjects {
			view.More = len(list) - mostObjects
			break
		}
		line := ObjectLine{Name: string(o.Name), Key: strings.Join(o.Key, ", ")}
		if o.Rows >= 0 {
			line.Rows = "about " + ui.Number(o.Rows)
		}
		for _, f := range o.Fields {
			k := ui.KeyValue{Key: f.Name, Text: or(f.Native, string(f.Type))}
			switch {
			case f.ReadOnly:
				k.Hint = "cannot be written"
			case !f.Nullable && !f.Generated:
				k.Hint = "always filled"
			}
			line.Fields = append(line.Fields, k)
		}
		view.Objects = append(view.Objects, line)
	}
	return v.render(ConnectionObjects(view))
}

// newConnection asks for the kind of system first, then for its settings.
func (h *Handler) newConnection(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	if typ := v.query("connector"); typ != "" {
		found, err := h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, typ)
		if err != nil {
			return err
		}
		return v.connectionForm(200, v.blankForm(found.Spec()))
	}
	var view ConnectorsView
	specs, err := h.Connections.Catalog().Specs(v.ctx(), v.who.Tenant)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		view.Connectors = append(view.Connectors, ConnectorLine{Type: spec.Type, Href: "/connections/new?connector=" + url.QueryEscape(spec.Type), Title: spec.Title, Text: spec.Summary, Class: spec.Class, Own: spec.Own})
	}
	if view.Page, err = v.shell("New connection", "/connections", "Connections", "/connections", "New"); err != nil {
		return err
	}
	return v.render(ConnectorsPage(view))
}

// A filledForm is a connection's form with what was typed into it.
type filledForm struct {
	spec    connector.Spec
	present *connection.Connection // nil for a new one
	name    string
	values  connector.Settings
	at      map[string]string
	rest    string
	tried   *ui.Alert
	fixed   string
	version string
}

func (v *visit) blankForm(spec connector.Spec) filledForm {
	return filledForm{spec: spec, values: connector.Settings{}, name: v.query("name")}
}

// settingName is the name of a setting's field in the form.
func settingName(name string) string { return "settings." + name }

// typed reads the form as it was sent.
func (v *visit) typed(spec connector.Spec) filledForm {
	f := filledForm{spec: spec, name: v.form("name"), values: connector.Settings{}, version: v.form("version")}
	for _, s := range spec.Settings {
		value := v.r.PostFormValue(settingName(s.Name))
		if !s.Secret {
			value = strings.TrimSpace(value)
		}
		f.values[s.Name] = value
	}
	return f
}

// given are the settings that were filled in.
func (f filledForm) given() connector.Settings {
	out := connector.Settings{}
	for name, value := range f.values {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func (f filledForm) with(err error) filledForm {
	f.at, f.rest = errorsAt(err)
	if fault.IsCode(err, "connection.name_taken") {
		f.at["/name"], f.rest = f.rest, ""
	}
	return f
}

func (v *visit) connectionForm(status int, f filledForm) (err error) {
	view := ConnectionFormView{
		New: f.present == nil, Path: "/connections", Back: "/connections/new", Type: f.spec.Type, Connector: f.spec.Title, Text: f.spec.Summary, Tried: f.tried,
		NameFixed: f.fixed, Version: f.version,
		Name: ui.Field{Name: "name", Label: "Name", Value: f.name, Required: true, Autocomplete: "off", Placeholder: "warehouse-db", Hint: "Documents refer to the connection by it.", Error: f.at["/name"]},
	}
	for _, s := range f.spec.Settings {
		view.Fields = append(view.Fields, f.field(s))
	}
	view.Problems = f.problems()
	crumbs := []string{"Connections", "/connections", "New", "/connections/new", f.spec.Title}
	if f.present != nil {
		view.Path, view.Back = addressOfConnection(*f.present)+"/edit", addressOfConnection(*f.present)
		crumbs = []string{"Connections", "/connections", f.present.Name, addressOfConnection(*f.present), "Edit"}
	}
	if view.Page, err = v.shell("Connection", "/connections", crumbs...); err != nil {
		return err
	}
	return v.renderAs(status, ConnectionFormPage(view))
}

// field is the form field of a setting.
func (f filledForm) field(s connector.Setting) ui.SettingField {
	field := ui.SettingField{Field: ui.Field{
		Name: settingName(s.Name), ID: settingName(s.Name), Label: s.Title, Value: f.values[s.Name], Hint: strings.ReplaceAll(s.Doc, "`", ""), Required: s.Required && s.Default == "", Optional: !s.Required,
		Placeholder: s.Default, Autocomplete: "off", Error: f.at["/settings/"+s.Name],
	}}
	switch {
	case s.Kind == connector.Choice:
		for _, c := range s.Choices {
			o := ui.Option{Value: c, Label: c}
			if c == s.Default {
				o = ui.Option{Label: c + " (the default)"}
				if field.Value == c {
					field.Value = ""
				}
			}
			field.Options = append(field.Options, o)
		}
	case s.Kind == connector.Boolean:
		field.Options = []ui.Option{{Label: or(s.Default, "not set") + " (the default)"}, {Value: "true", Label: "true"}, {Value: "false", Label: "false"}}
	case s.Lines > 1:
		field.Lines = s.Lines
	case s.Kind == connector.Integer:
		field.Attrs = templ.Attributes{"inputmode": "numeric"}
	case s.Secret:
		// What is only a reference is no secret, and is shown.
		if !strings.HasPrefix(field.Value, "${") {
			field.Type = "password"
		}
		field.Autocomplete = "new-password"
		field.Hint += " Sealed at once and never shown; or name a secret of the settings page, like ${WAREHOUSE_PASSWORD}."
		if f.present != nil && slices.Contains(f.present.Secrets, s.Name) {
			field.Kept, field.Remove = true, "remove."+s.Name
			field.Hint = "A value is kept. Leave this empty to keep it."
			field.Required = false
		}
	}
	return field
}

func (f filledForm) problems() (items []ui.ErrorItem) {
	if text := f.at["/name"]; text != "" {
		items = append(items, ui.ErrorItem{Field: "name", Text: text})
	}
	known := map[string]bool{"/name": true}
	for _, s := range f.spec.Settings {
		known["/settings/"+s.Name] = true
		if text := f.at["/settings/"+s.Name]; text != "" {
			items = append(items, ui.ErrorItem{Field: settingName(s.Name), Text: s.Title + ": " + text})
		}
	}
	for pointer, text := range f.at {
		if !known[pointer] {
			items = append(items, ui.ErrorItem{Text: text})
		}
	}
	if f.rest != "" {
		items = append(items, ui.ErrorItem{Text: f.rest})
	}
	return items
}

func (h *Handler) createConnection(v *visit) error {
	found, err := h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, v.form("connector"))
	if err != nil {
		return err
	}
	f := v.typed(found.Spec())
	c, err := h.Connections.Create(v.ctx(), v.who, connection.New{Name: f.name, Connector: f.spec.Type, Settings: f.given()})
	if refused(err) {
		return v.connectionForm(statusOf(err), f.with(err))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, c.Name+" is there. It has not been tried yet.")
	return v.redirect(addressOfConnection(c))
}

// tryConnection tries what was typed; nothing is kept, and the form stays as it is.
func (h *Handler) tryConnection(v *visit) error {
	found, err := h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, v.form("connector"))
	if err != nil {
		return err
	}
	f := v.typed(found.Spec())
	err = h.Connections.TestSettings(v.ctx(), v.who, connection.New{Name: f.name, Connector: f.spec.Type, Settings: f.given()})
	if fault.KindOf(err) == fault.Forbidden {
		return err
	}
	status := 200
	switch classified := (*connector.Error)(nil); {
	case err == nil:
		f.tried = &ui.Alert{Tone: ui.OK, Title: "It answers", Text: "The settings are right, and the account may do what sync needs.", Role: "alert"}
	case fault.KindOf(err) == fault.Invalid:
		f, status = f.with(err), statusOf(err)
	case errors.As(err, &classified):
		f.tried, status = &ui.Alert{Tone: ui.Bad, Title: "It does not work yet", Text: classified.Message, Code: hasPage(classified.Code), Role: "alert"}, 422
	default:
		f.tried, status = v.alertOf(err, "It could not be tried"), 422
	}
	return v.connectionForm(status, f)
}

func (v *visit) editable() (connection.Connection, connector.Spec, error) {
	c, err := v.h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return c, connector.Spec{}, err
	}
	if err := v.who.May(auth.EditConnections); err != nil {
		return c, connector.Spec{}, err
	}
	found, err := v.h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, c.Connector)
	if err != nil {
		return c, connector.Spec{}, err
	}
	return c, found.Spec(), nil
}

func (h *Handler) editConnection(v *visit) error {
	c, spec, err := v.editable()
	if err != nil {
		return err
	}
	f := filledForm{spec: spec, present: &c, name: c.Name, values: c.Settings, version: strconv.FormatInt(c.Version, 10)}
	if f.fixed, err = v.nameFixed(c); err != nil {
		return err
	}
	return v.connectionForm(200, f)
}

func (v *visit) nameFixed(c connection.Connection) (string, error) {
	using, err := v.h.Connections.UsedBy(v.ctx(), v.who, c.ID.Public())
	if len(using) == 0 {
		return "", err
	}
	return "It cannot be renamed while services use it: " + and(using) + ".", err
}

func (h *Handler) saveConnection(v *visit) error {
	c, spec, err := v.editable()
	if err != nil {
		return err
	}
	f := v.typed(spec)
	f.present = &c
	if f.fixed, err = v.nameFixed(c); err != nil {
		return err
	}
	change := connection.Change{Settings: f.given()}
	if f.fixed == "" {
		change.Name = &f.name
	} else {
		f.name = c.Name
	}
	for _, name := range c.Secrets {
		if v.form("remove."+name) != "" && f.values[name] == "" {
			change.Settings[name] = "" // removes it
		}
	}
	if version, err := strconv.ParseInt(f.version, 10, 64); err == nil {
		change.IfMatch = &version
	}
	changed, err := h.Connections.Update(v.ctx(), v.who, c.ID.Public(), change)
	if refused(err) {
		return v.connectionForm(statusOf(err), f.with(err))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, "Saved. Try the connection with its new settings.")
	return v.redirect(addressOfConnection(changed))
}

func (h *Handler) deleteConnection(v *visit) error {
	c, err := h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	var ifMatch *int64
	if version, err := strconv.ParseInt(v.query("version"), 10, 64); err == nil {
		ifMatch = &version
	}
	err = h.Connections.Delete(v.ctx(), v.who, c.ID.Public(), ifMatch)
	if refused(err) {
		return v.connectionPage(statusOf(err), c, &ui.Alert{Tone: ui.Bad, Title: "It was not deleted", Text: fault.As(err).Message, Code: hasPage(fault.As(err).Code), Role: "alert"})
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, c.Name+" was deleted.")
	return v.redirect("/connections")
}
