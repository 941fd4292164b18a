// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

const connectorFormPath = "/connectors/form"

// mostSketched is how many kinds of records a form has; with more, the manifest is the better place.
const mostSketched = 8

// sketched is the form as it was filled in. Nothing of it is kept: what is saved is the manifest that it makes.
func (v *visit) sketched() manifest.Sketch {
	s := manifest.Sketch{Title: v.form("title"), Type: v.form("type"), BaseURL: v.form("baseUrl"), Auth: v.form("auth"), AuthName: v.form("authName"), TokenURL: v.form("tokenUrl")}
	n, err := strconv.Atoi(v.form("objects"))
	if err != nil {
		n = 1
	}
	if v.form("more") != "" {
		n++
	}
	for i := range min(max(n, 1), mostSketched) {
		of := func(name string) string { return v.form(fmt.Sprintf("o%d.%s", i, name)) }
		s.Objects = append(s.Objects, manifest.SketchObject{
			Name: of("name"), Key: of("key"), Example: of("example"), Fields: strings.ReplaceAll(of("fields"), "\r\n", "\n"), ReadOnly: of("readOnly"), List: of("list"), Records: of("records"), Paging: of("paging"),
			Limit: of("limit"), Place: of("place"), Next: of("next"), Version: of("version"), Since: of("since"), Get: of("get"), Record: of("record"), Create: of("create"), Update: of("update"),
			Replaces: of("replaces") == "PUT", Delete: of("delete"), Wrap: of("wrap"), Answers: of("answers") != "no",
		})
	}
	return s
}

func (h *Handler) newConnectorForm(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	s := manifest.Sketch{Auth: "bearer", Objects: []manifest.SketchObject{{Key: "id", Paging: "none", Answers: true}}}
	return v.connectorForm(200, s, nil)
}

// showConnectorForm is the form again, after a choice that asks for other fields, or with room for more records.
func (h *Handler) showConnectorForm(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	s := v.sketched()
	if v.form("more") != "" {
		s.Objects[len(s.Objects)-1] = manifest.SketchObject{Key: "id", Paging: "none", Answers: true}
	}
	return v.connectorForm(200, s, nil)
}

func (v *visit) connectorForm(status int, s manifest.Sketch, problems []fault.Field) (err error) {
	view := connectorFormView(s, problems)
	source, _ := s.Source()
	view.Try = v.connectorTry(source) // the trial asks for what the manifest asks for
	if v.htmx() {
		return v.renderAs(status, ConnectorSketchForm(view))
	}
	if view.Page, err = v.shell("Describe a REST API", "/connections", "Connections", "/connections", "Connectors", "/connectors", "By form"); err != nil {
		return err
	}
	view.Page.Live = ""
	return v.renderAs(status, ConnectorSketchPage(view))
}

// manifestOf is the manifest that the form makes, or what is wrong with the form.
func (v *visit) manifestOf(s manifest.Sketch) (string, []fault.Field) {
	source, problems := s.Source()
	if len(problems) > 0 {
		return "", problems
	}
	if _, err := v.h.Connections.Catalog().Check(v.who, []byte(source)); err != nil {
		if f := fault.As(err); f != nil && len(f.Fields) > 0 {
			return "", f.Fields
		}
		return "", []fault.Field{{Pointer: "/title", Code: "manifest.invalid", Message: "It cannot be used: " + err.Error()}}
	}
	return source, nil
}

func (h *Handler) saveConnectorForm(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	s := v.sketched()
	source, problems := v.manifestOf(s)
	if len(problems) > 0 {
		return v.connectorForm(422, s, problems)
	}
	if v.form("as") == "manifest" { // goes on in the editor
		view := ConnectorEditorView{Path: "/connectors", Back: "/connectors", Document: source}
		return v.connectorEditor(200, view)
	}
	own, _, err := h.Connections.Catalog().Save(v.ctx(), v.who, catalog.Put{Source: source, Note: "Made by the form", IfNew: true})
	if refused(err) {
		fields := fault.As(err).Fields
		if len(fields) == 0 {
			fields = []fault.Field{{Pointer: "/type", Code: fault.As(err).Code, Message: fault.As(err).Message}}
		}
		return v.connectorForm(statusOf(err), s, fields)
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, own.Title+" is there. Connect to it to use it in a service.")
	return v.redirect(connectorPath(own.Type))
}

func (h *Handler) tryConnectorForm(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	s := v.sketched()
	source, problems := v.manifestOf(s)
	if len(problems) > 0 {
		text := problems[0].Message
		for _, p := range problems[1:] {
			text += " " + p.Message
		}
		return v.render(Trial(TrialView{Wrong: &ui.Alert{Tone: ui.Bad, Title: "The form is not complete", Text: text, Role: "alert"}}))
	}
	return v.trial([]byte(source))
}

// connectorFormView makes the form's fields.
func connectorFormView(s manifest.Sketch, problems []fault.Field) ConnectorSketchView {
	at := map[string]string{}
	view := ConnectorSketchView{Count: len(s.Objects), Full: len(s.Objects) >= mostSketched}
	id := func(pointer string) string {
		name := strings.TrimPrefix(pointer, "/")
		if rest, ok := strings.CutPrefix(name, "objects/"); ok {
			name = "o" + strings.Replace(rest, "/", ".", 1)
		}
		return name
	}
	for _, p := range problems {
		name := id(p.Pointer)
		if at[name] == "" {
			at[name] = strings.TrimSpace(p.Message + " " + p.Remedy)
		}
		view.Problems = append(view.Problems, ui.ErrorItem{Field: name, Text: strings.TrimSpace(p.Message + " " + p.Remedy)})
	}
	text := func(name, label, value, hint string, required bool) ui.Field {
		return ui.Field{Name: name, ID: name, Label: label, Value: value, Hint: hint, Required: required, Optional: !required, Error: at[name], Autocomplete: "off"}
	}
	again := templ.Attributes{"hx-post": connectorFormPath + ":show", "hx-target": "#sketch-form", "hx-swap": "outerMorph", "hx-trigger": "change", "hx-include": "#sketch-form"}
	view.System = ui.Fragments{
		text("title", "Name", s.Title, "The system as people know it: Our shop.", true),
		text("type", "Word in documents", s.Type, "What services write as a system's type. Made of the name when you leave it empty.", false),
		text("baseUrl", "Address", s.BaseURL, "Where all paths begin: https://shop.example.com/api. A connection can have another one.", true),
		ui.Select{Name: "auth", ID: "auth", Label: "How it is asked who calls", Value: s.Auth, Attrs: again, Options: []ui.Option{
			{Value: "bearer", Label: "A token, as Authorization: Bearer"}, {Value: "header", Label: "A key in a header"}, {Value: "query", Label: "A key in the address"},
			{Value: "basic", Label: "User and password"}, {Value: "clientCredentials", Label: "OAuth 2 with client id and secret"}, {Value: "none", Label: "Not at all"}}},
	}
	switch s.Auth {
	case "header":
		view.System = append(view.System, text("authName", "Header", s.AuthName, "Its name: X-Api-Key.", true))
	case "query":
		view.System = append(view.System, text("authName", "Parameter", s.AuthName, "Its name: api_key.", true))
	case "clientCredentials":
		view.System = append(view.System, text("tokenUrl", "Token address", s.TokenURL, "The URL that gives tokens.", true))
	}
	for i, o := range s.Objects {
		n := func(name string) string { return fmt.Sprintf("o%d.%s", i, name) }
		part := SketchPart{Title: "Records", Number: i + 1}
		if o.Name != "" {
			part.Title = o.Name
		}
		part.Shape = ui.Fragments{
			text(n("name"), "What they are", o.Name, "The object's name in documents: articles.", true),
			ui.Area{Name: n("example"), ID: n("example"), Label: "An example", Value: o.Example, Hint: "Paste what the system answers, in JSON: one record, or a list of them. Fields and their types are learnt from it, and it is not kept.", Rows: 6, Mono: true, Optional: true, Attrs: templ.Attributes{"spellcheck": "false"}},
			ui.Area{Name: n("fields"), ID: n("fields"), Label: "Fields", Value: o.Fields, Hint: "A name and a type a line, where the example does not tell: price number. Types: " + strings.Join(manifest.SketchTypes, ", ") + ".", Error: at[n("fields")], Rows: 3, Mono: true, Optional: true, Attrs: templ.Attributes{"spellcheck": "false"}},
			text(n("key"), "Key", o.Key, "The field that identifies a record.", true),
			text(n("readOnly"), "Cannot be written", o.ReadOnly, "Fields that the system fills in itself, between commas. Key and time of change are among them.", false),
		}
		part.Read = ui.Fragments{
			text(n("list"), "Path of the list", o.List, "/articles", true),
			text(n("records"), "Where the answer has the list", o.Records, "articles, or data.items; empty when the answer is the list.", false),
			ui.Select{Name: n("paging"), ID: n("paging"), Label: "How the list goes on", Value: o.Paging, Attrs: again, Options: []ui.Option{{Value: "none", Label: "One answer has all"}, {Value: "offset", Label: "By an offset"},
				{Value: "page", Label: "By a page's number"}, {Value: "cursor", Label: "By a token in the answer"}, {Value: "nextUrl", Label: "By an address in the answer"}, {Value: "link", Label: "By the header Link"}}},
		}
		if o.Paging != "none" && o.Paging != "" {
			part.Read = append(part.Read, text(n("limit"), "Parameter: size of a page", o.Limit, "limit", false))
		}
		switch o.Paging {
		case "offset":
			part.Read = append(part.Read, text(n("place"), "Parameter: offset", o.Place, "offset", true))
		case "page":
			part.Read = append(part.Read, text(n("place"), "Parameter: page", o.Place, "page", true))
		case "cursor":
			part.Read = append(part.Read, text(n("place"), "Parameter: token", o.Place, "cursor", true), text(n("next"), "Where the answer has the next token", o.Next, "next_cursor", true))
		case "nextUrl":
			part.Read = append(part.Read, text(n("next"), "Where the answer has the next address", o.Next, "links.next", true))
		}
		part.Read = append(part.Read,
			text(n("since"), "Parameter: changed since", o.Since, "updated_since. Without one everything is read and compared, which also finds deletions.", false),
			text(n("version"), "Field with the time of change", o.Version, "updated_at", false),
			text(n("get"), "Path of one record", o.Get, "/articles/{id}", true),
			text(n("record"), "Where the answer has the record", o.Record, "article, or data; empty when the answer is the record.", false))
		method := "PATCH"
		if o.Replaces {
			method = "PUT"
		}
		answers := "yes"
		if !o.Answers {
			answers = "no"
		}
		part.Write = ui.Fragments{
			text(n("create"), "Create: POST to", o.Create, "/articles; empty when records cannot be made.", false),
			text(n("update"), "Change: path", o.Update, "/articles/{id}; empty when they cannot be changed.", false),
			ui.Select{Name: n("replaces"), ID: n("replaces"), Label: "Change: method", Value: method, Options: []ui.Option{{Value: "PATCH", Label: "PATCH, with the fields that change"}, {Value: "PUT", Label: "PUT, with the whole record"}}},
			text(n("delete"), "Delete: path", o.Delete, "/articles/{id}; empty when they cannot be deleted.", false),
			text(n("wrap"), "Sent under the name", o.Wrap, `article, for {"article": {...}}; empty for the record itself.`, false),
			ui.Select{Name: n("answers"), ID: n("answers"), Label: "A write is answered with the record", Value: answers, Options: []ui.Option{{Value: "yes", Label: "Yes"}, {Value: "no", Label: "No, or not all of it"}}},
		}
		view.Objects = append(view.Objects, part)
	}
	return view
}
