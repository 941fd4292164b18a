// SPDX-License-Identifier: Apache-2.0

package web

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/ui"
)

//go:embed templates/connector.yaml
var connectorDocument string

func (h *Handler) routesConnectors(r chi.Router) {
	r.Get("/connectors", h.page(h.connectors))
	r.Get("/connectors/new", h.page(h.newConnector))
	r.Post("/connectors", h.page(h.saveConnector))
	r.Post("/connectors:lint", h.page(h.lintConnector))
	r.Post("/connectors:settings", h.page(h.connectorSettings))
	r.Post("/connectors:try", h.page(h.tryConnector))
	r.Get(connectorFormPath, h.page(h.newConnectorForm))
	r.Post(connectorFormPath, h.page(h.saveConnectorForm))
	r.Post(connectorFormPath+":show", h.page(h.showConnectorForm))
	r.Post(connectorFormPath+":try", h.page(h.tryConnectorForm))
	r.Get("/connectors/{connector}", h.page(h.connector))
	r.Get("/connectors/{connector}/edit", h.page(h.editConnector))
	r.Post("/connectors/{connector}", h.page(h.saveConnector))
	r.Post("/connectors/{connector}:delete", h.page(h.deleteConnector))
}

func connectorPath(typ string) string { return "/connectors/" + url.PathEscape(typ) }

func (h *Handler) connectors(v *visit) error {
	if err := v.who.May(auth.ViewConnections); err != nil {
		return err
	}
	specs, err := h.Connections.Catalog().Specs(v.ctx(), v.who.Tenant)
	if err != nil {
		return err
	}
	view := CatalogView{MayEdit: v.can(auth.EditConnections)}
	for _, spec := range specs {
		line := ConnectorLine{Type: spec.Type, Href: connectorPath(spec.Type), Title: spec.Title, Text: spec.Summary, Class: spec.Class, Own: spec.Own}
		if spec.Own > 0 {
			view.Own = append(view.Own, line)
		} else {
			view.Program = append(view.Program, line)
		}
	}
	if view.Page, err = v.shell("Connectors", "/connections", "Connections", "/connections", "Connectors"); err != nil {
		return err
	}
	return v.render(CatalogPage(view))
}

func (h *Handler) connector(v *visit) error { return v.connectorPage(200, nil) }

func (v *visit) connectorPage(status int, wrong *ui.Alert) error {
	if err := v.who.May(auth.ViewConnections); err != nil {
		return err
	}
	typ := v.param("connector")
	view := ConnectorView{Type: typ, Title: typ, Path: connectorPath(typ), Wrong: wrong, MayEdit: v.can(auth.EditConnections)}
	own, versions, using, err := v.h.Connections.Catalog().Read(v.ctx(), v.who, typ)
	if err != nil && !fault.IsCode(err, "connector.unknown") {
		return err
	}
	view.Own = own.Version
	found, err := v.h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, typ)
	switch {
	case fault.IsCode(err, "connector.outdated"):
		view.Title, view.Wrong = own.Title, &ui.Alert{Tone: ui.Bad, Title: "It cannot be used", Text: fault.As(err).Message, Code: "connector.outdated"}
	case err != nil:
		return err
	default:
		view.describe(found)
	}
	for _, n := range versions {
		view.Versions = append(view.Versions, ConnectorVersionLine{Number: n.Number, Author: n.Author, Note: n.Note, Time: ui.Time{At: n.CreatedAt}, Live: n.Number == own.Version})
	}
	for _, name := range using {
		view.Uses = append(view.Uses, ui.Line{Icon: "plug", Tone: ui.Accent, Title: name, Href: connectionPath(name)})
	}
	if len(using) > 0 {
		view.WhyNot = and(using) + map[bool]string{true: " uses it", false: " use it"}[len(using) == 1]
	}
	if _, there := docs.Connector(view.Type); there && view.Own == 0 {
		view.Guide = "/docs/connectors/" + view.Type
	}
	api := "/v1/connectors/" + url.PathEscape(typ)
	view.Code = []ui.Code{{Title: "Connector", Lang: "shell", Text: v.curl("GET", api, "")}}
	if view.Own > 0 {
		view.Code = append(view.Code, ui.Code{Title: "Manifest", Lang: "shell", Text: v.curl("GET", api+"/manifest", "")})
	}
	if view.Page, err = v.shell(view.Title, "/connections", "Connections", "/connections", "Connectors", "/connectors", view.Title); err != nil {
		return err
	}
	return v.renderAs(status, ConnectorPage(view))
}

// describe fills the page from what the connector says of itself.
func (view *ConnectorView) describe(found connector.Connector) {
	spec := found.Spec()
	view.Type, view.Title, view.Text = spec.Type, spec.Title, spec.Summary
	view.Facts = []ui.KeyValue{
		{Key: "Type", Text: spec.Type, Mono: true}, {Key: "Price class", Text: ui.Words(spec.Class)}, {Key: "Sees changes by", Text: strings.Join(spec.Detections, ", ")},
		{Key: "Sees deletions", Text: spec.Deletes}, {Key: "Promise", Text: spec.Guarantee},
	}
	for _, s := range spec.Settings {
		k := ui.KeyValue{Key: s.Name, Text: s.Title, Hint: strings.ReplaceAll(s.Doc, "`", "")}
		var notes []string
		if s.Required {
			notes = append(notes, "required")
		}
		if s.Secret {
			notes = append(notes, "sealed")
		}
		if s.Default != "" {
			notes = append(notes, "default "+s.Default)
		}
		if len(notes) > 0 {
			k.Text += " (" + strings.Join(notes, ", ") + ")"
		}
		view.Settings = append(view.Settings, k)
	}
	made, ok := found.(interface{ Manifest() *manifest.Manifest })
	if !ok {
		return
	}
	m := made.Manifest()
	for _, name := range slices.Sorted(maps.Keys(m.Objects)) {
		o := m.Objects[name]
		line := ConnectorObject{Name: name, Title: o.Title, Can: "read"}
		for verb, w := range map[string]*manifest.Write{"create": o.Create, "change": o.Update, "delete": o.Delete} {
			if w != nil || verb == "create" && o.Upsert != nil {
				line.Can += ", " + verb
			}
		}
		words := strings.Split(line.Can, ", ")
		slices.SortFunc(words, func(a, b string) int {
			order := []string{"read", "create", "change", "delete"}
			return slices.Index(order, a) - slices.Index(order, b)
		})
		line.Can = strings.Join(words, ", ")
		if o.Delete != nil {
			line.Can += map[string]string{"hard": " for good", "trash": " to the trash", "archive": " by archiving", "deactivate": " by deactivating"}[o.Delete.Means]
		}
		line.Sees = "everything is compared"
		if o.Changes != nil {
			line.Sees = map[string]string{"since": "changes since a time", "keyset": "changes since a time", "feed": "a feed of changes", "queue": "a queue of changes", "full": "everything is compared"}[o.Changes.Style]
		}
		line.Sees += map[string]string{"tombstone": ", deletions by a mark", "archived": ", deletions from a list", "diff": ", deletions by what is missing", "webhook": ", deletions by message", "never": ", deletions are not seen"}[o.Deletes.Mode]
		for _, f := range o.Fields {
			if f.Hidden {
				continue
			}
			k := ui.KeyValue{Key: f.Name, Text: f.Type}
			var notes []string
			if slices.Contains(o.Key, f.Name) {
				notes = append(notes, "key")
			}
			if f.ReadOnly {
				notes = append(notes, "cannot be written")
			}
			if f.CreateOnly {
				notes = append(notes, "only when a record is made")
			}
			if f.Required {
				notes = append(notes, "always filled")
			}
			k.Hint = strings.Join(notes, ", ")
			line.Fields = append(line.Fields, k)
		}
		view.Objects = append(view.Objects, line)
	}
	for _, l := range m.Limits {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Limit", Text: fmt.Sprintf("%v calls in %s", l.Calls, l.Per), Hint: strings.Join(l.Operations, ", ")})
	}
}

func (h *Handler) newConnector(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	return v.connectorEditor(200, ConnectorEditorView{Path: "/connectors", Back: "/connectors", Document: connectorDocument})
}

func (h *Handler) editConnector(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	own, versions, _, err := h.Connections.Catalog().Read(v.ctx(), v.who, v.param("connector"))
	if err != nil {
		return err
	}
	view := ConnectorEditorView{Type: own.Type, Path: connectorPath(own.Type), Back: connectorPath(own.Type), Version: own.Version, Document: own.Source, Live: own.Source}
	for _, n := range versions {
		if strconv.Itoa(n.Number) == v.query("version") {
			view.Document = n.Source
		}
	}
	return v.connectorEditor(200, view)
}

// connectorEditor answers with the page, or with its form alone when a script asked.
func (v *visit) connectorEditor(status int, view ConnectorEditorView) (err error) {
	view.Try = v.connectorTry(view.Document)
	if v.htmx() {
		return v.renderAs(status, ConnectorEditorForm(view))
	}
	crumbs := []string{"Connections", "/connections", "Connectors", "/connectors", "New"}
	if view.Type != "" {
		crumbs = []string{"Connections", "/connections", "Connectors", "/connectors", view.Type, view.Back, "Edit"}
	}
	if view.Page, err = v.shell(view.title(), "/connections", crumbs...); err != nil {
		return err
	}
	view.Page.Editor, view.Page.Live = true, ""
	return v.renderAs(status, ConnectorEditorPage(view))
}

func (h *Handler) saveConnector(v *visit) error {
	text := v.document()
	typ := v.param("connector")
	view := ConnectorEditorView{Type: typ, Path: "/connectors", Back: "/connectors", Document: text, Note: v.form("note")}
	put := catalog.Put{Type: typ, Source: text, Note: view.Note, IfNew: typ == ""}
	if typ != "" {
		own, _, _, err := h.Connections.Catalog().Read(v.ctx(), v.who, typ)
		if err != nil {
			return err
		}
		view.Path, view.Back, view.Version, view.Live = connectorPath(typ), connectorPath(typ), own.Version, own.Source
		version, err := strconv.Atoi(v.form("version"))
		if err != nil {
			return fault.New(fault.Required, "web.version_missing", "The form does not say which version of the connector it is about. Open it again.")
		}
		put.IfMatch = &version
	}
	own, created, err := h.Connections.Catalog().Save(v.ctx(), v.who, put)
	if refused(err) {
		f := fault.As(err)
		for _, field := range f.Fields {
			view.Problems = append(view.Problems, problemIn(field))
		}
		if len(view.Problems) == 0 {
			view.Alert = &ui.Alert{Tone: ui.Bad, Title: "Not saved", Text: f.Message, Code: hasPage(f.Code), Role: "alert"}
		}
		return v.connectorEditor(statusOf(err), view)
	}
	if err != nil {
		return err
	}
	if created {
		v.flash(ui.OK, own.Title+" is there. Connect to it to use it in a service.")
	} else {
		v.flash(ui.OK, fmt.Sprintf("Version %d of %s is in use.", own.Version, own.Title))
	}
	return v.redirect(connectorPath(own.Type))
}

func (h *Handler) deleteConnector(v *visit) error {
	typ := v.param("connector")
	err := h.Connections.Catalog().Delete(v.ctx(), v.who, typ, nil)
	if refused(err) {
		return v.connectorPage(statusOf(err), &ui.Alert{Tone: ui.Bad, Title: "It was not deleted", Text: fault.As(err).Message, Code: hasPage(fault.As(err).Code), Role: "alert"})
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, typ+" was deleted.")
	return v.redirect("/connectors")
}

func (h *Handler) lintConnector(v *visit) error {
	text, err := v.text()
	if err != nil {
		return err
	}
	out := []lintProblem{}
	_, err = h.Connections.Catalog().Check(v.who, text)
	if fault.KindOf(err) != 0 && fault.KindOf(err) != fault.Invalid {
		return err
	}
	if f := fault.As(err); f != nil {
		for _, p := range f.Fields {
			out = append(out, lintProblem{max(p.Line, 1), max(p.Column, 1), p.Message, p.Remedy, "error"})
		}
	}
	return v.json(out)
}

// connectorTry is the form of a trial: the settings that the manifest declares, with what was typed already.
func (v *visit) connectorTry(document string) ConnectorTryView {
	found, err := v.h.Connections.Catalog().Check(v.who, []byte(document))
	if err != nil {
		return ConnectorTryView{Unknown: true}
	}
	f := v.typed(found.Spec())
	var view ConnectorTryView
	for _, s := range f.spec.Settings {
		view.Fields = append(view.Fields, f.field(s))
	}
	return view
}

func (h *Handler) connectorSettings(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	return v.render(ConnectorTry(v.connectorTry(v.document())))
}

func (h *Handler) tryConnector(v *visit) error {
	return v.trial([]byte(v.document()))
}

// trial tries a manifest with the settings that were typed beside it.
func (v *visit) trial(source []byte) error {
	found, err := v.h.Connections.Catalog().Check(v.who, source)
	if refused(err) {
		return v.render(Trial(TrialView{Wrong: &ui.Alert{Tone: ui.Bad, Title: "The manifest has errors", Text: fault.As(err).Message, Role: "alert"}}))
	}
	if err != nil {
		return err
	}
	t, err := v.h.Connections.TryConnector(v.ctx(), v.who, source, v.typed(found.Spec()).given())
	if refused(err) {
		alert := &ui.Alert{Tone: ui.Bad, Title: "Not tried", Text: fault.As(err).Message, Role: "alert"}
		for _, f := range fault.As(err).Fields {
			alert.Text += " " + f.Message
		}
		return v.render(Trial(TrialView{Wrong: alert}))
	}
	if err != nil {
		return err
	}
	return v.render(Trial(trialView(t)))
}

func trialView(t connection.Trial) (view TrialView) {
	problem := ""
	if t.Problem != nil {
		problem = connector.Classify(t.Problem).Message
	}
	step := func(title, good string, done, tried bool) {
		line := ui.Line{Icon: "circle-check", Tone: ui.OK, Title: title, Text: good}
		switch {
		case !tried:
			line.Icon, line.Tone, line.Text = "circle-dashed", ui.Idle, "Not tried."
		case !done:
			line.Icon, line.Tone, line.Text = "circle-x", ui.Bad, problem
		}
		view.Steps = append(view.Steps, line)
	}
	step("Reached", "The system answers.", t.Reached, true)
	step("Credentials", "The system takes them.", t.Authenticated, t.Reached)
	if t.Authenticated && t.Problem != nil {
		step("Answer", "", false, true)
	}
	for _, o := range t.Objects {
		line := TrialObjectView{Name: string(o.Info.Name), Text: ui.Count(int64(len(o.Records)), "record", "records")}
		if o.More {
			line.Text += ", others follow"
		}
		line.Text += fmt.Sprintf("; %d ms", o.Took.Milliseconds())
		if err := errors.Join(o.Problem, o.NoDraft); err != nil {
			title := "It cannot be read"
			if o.Problem == nil {
				title = "What writes would send cannot be said"
			}
			line.Problem = &ui.Alert{Tone: ui.Bad, Title: title, Text: connector.Classify(err).Message, Code: hasPage(connector.Classify(err).Code)}
		}
		for _, f := range o.Info.Fields {
			line.Columns = append(line.Columns, ui.Column{Label: f.Name})
		}
		for _, c := range o.Records {
			var row []string
			for _, f := range o.Info.Fields {
				switch value := c.Fields[f.Name]; {
				case c.Op == record.Delete && slices.Contains(o.Info.Key, f.Name):
					row = append(row, string(c.Key)+" (deleted)")
				case value == nil:
					row = append(row, "")
				default:
					row = append(row, clip(record.Text(value)))
				}
			}
			line.Rows = append(line.Rows, row)
		}
		for _, d := range o.Drafts {
			var text strings.Builder
			fmt.Fprintf(&text, "%s %s\n", d.Method, d.URL)
			for _, name := range slices.Sorted(maps.Keys(d.Header)) {
				fmt.Fprintf(&text, "%s: %s\n", name, d.Header[name])
			}
			if d.Body != "" {
				text.WriteString("\n" + d.Body)
			}
			line.Drafts = append(line.Drafts, ui.Code{Title: "A " + map[string]string{"create": "creation", "update": "change", "delete": "deletion"}[d.Verb] + " would send", Text: strings.TrimRight(text.String(), "\n")})
		}
		view.Objects = append(view.Objects, line)
	}
	return view
}
