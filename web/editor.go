// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesEditor(r chi.Router) {
	r.Get("/services/new", h.page(h.newService))
	r.Post("/services/new/document", h.page(h.applyNew))
	r.Get("/services/{service}/edit", h.page(h.editService))
	r.Post("/services/{service}/document", h.page(h.applyDocument))
	r.Post("/documents:lint", h.page(h.lintDocument))
	r.Post("/documents:complete", h.page(h.completeDocument))
	r.Post("/documents:changes", h.page(h.documentChanges))
	r.Post("/documents:estimate", h.page(h.documentEstimate))
}

func (h *Handler) newService(v *visit) error {
	if err := v.who.May(auth.EditServices); err != nil {
		return err
	}
	list, err := v.starts()
	if err != nil {
		return err
	}
	view := EditorView{Path: "/services/new", MayDraft: true, Changes: ChangesView{New: true}}
	chosen := list[0]
	for _, s := range list {
		if s.name == v.query("template") {
			chosen = s
		}
		view.Templates = append(view.Templates, TemplateLink{Label: s.label, Text: s.text, Href: "/services/new?template=" + s.name})
	}
	view.Document = chosen.document
	if chosen.name == crmStart && v.can(auth.EditSecrets) {
		view.Notice = &ui.Alert{Tone: ui.Info, Title: "See it work without an account", Text: "Three simulated accounts come with the program. One click makes the secrets that the document refers to, and the service.",
			Actions: ui.Fragments{ui.Button{Label: "Start it in the sandbox", Kind: ui.Primary, Size: "sm", Submit: true, Attrs: templ.Attributes{"form": "start-sandbox"}}}}
	}
	return v.editor(view, http.StatusOK, "Services", "/services", "New")
}

func (h *Handler) editService(v *visit) error {
	if err := v.who.May(auth.EditServices); err != nil {
		return err
	}
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := editorOf(s)
	view.Document = s.revision.Source
	return v.editor(view, http.StatusOK, "Services", "/services", s.Name, view.Path, "Edit")
}

// editorOf is the editor of a service, without the text.
func editorOf(s subject) EditorView {
	return EditorView{
		Name: s.Name, Path: servicePath(s.Name), State: string(s.State), Live: s.revision.Source, Revision: s.Revision,
		ETag: strconv.FormatInt(s.Version, 10), MayDraft: s.State == service.Draft,
	}
}

// editor answers with the page, or with its form alone when a script asked.
func (v *visit) editor(view EditorView, status int, crumbs ...string) (err error) {
	view.Outline = outlineOfText(view.Document)
	view.MayPrice, view.Estimate.Unknown = v.can(auth.ViewUsage), true
	if v.htmx() {
		return v.renderAs(status, EditorForm(view))
	}
	if view.Page, err = v.shell(view.title(), "/services", crumbs...); err != nil {
		return err
	}
	view.Page.Editor, view.Page.Live = true, ""
	return v.renderAs(status, EditorPage(view))
}

// topLevel finds the parts of a document for the outline.
var topLevel = regexp.MustCompile(`^([A-Za-z][\w-]*)\s*:`)

func outlineOfText(text string) (items []OutlineItem) {
	for i, line := range strings.Split(text, "\n") {
		if m := topLevel.FindStringSubmatch(line); m != nil {
			items = append(items, OutlineItem{Label: m[1], Line: i + 1})
		}
	}
	return items
}

// formatOf tells JSON from YAML by the first character.
func formatOf(text string) service.Format {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return service.JSON
	}
	return service.YAML
}

// document is the text that a form holds, with the line ends of a file: browsers send two characters for each.
func (v *visit) document() string {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	return strings.ReplaceAll(v.r.PostFormValue("document"), "\r\n", "\n")
}

func (h *Handler) applyNew(v *visit) error {
	view := EditorView{Path: "/services/new", Document: v.document(), Note: v.form("note"), MayDraft: true, Changes: ChangesView{New: true}}
	return h.apply(v, view, service.Application{IfNew: true}, "Services", "/services", "New")
}

func (h *Handler) applyDocument(v *visit) error {
	text := v.document()
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := editorOf(s)
	view.Document, view.Note = text, v.form("note")
	read, err := strconv.ParseInt(v.form("etag"), 10, 64)
	if err != nil {
		return fault.New(fault.Required, "web.version_missing", "The form does not say which version of the service it is about. Open the document again.")
	}
	return h.apply(v, view, service.Application{Name: s.Name, IfMatch: &read}, "Services", "/services", s.Name, view.Path, "Edit")
}

// apply puts the document into force and leads to the service, or begins a plan of it where that was asked for; refused, it shows the document again with what is wrong.
func (h *Handler) apply(v *visit, view EditorView, a service.Application, crumbs ...string) error {
	if v.form("plan") != "" {
		return v.planText(view, a.Name, crumbs...)
	}
	a.Source, a.Format, a.Note, a.Draft = []byte(view.Document), formatOf(view.Document), view.Note, v.form("draft") != ""
	out, err := h.Services.Apply(v.ctx(), v.who, a)
	if refused(err) {
		view.refuse(err, "Not applied")
		return v.editor(view, statusOf(err), crumbs...)
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, appliedText(out))
	return v.redirect(servicePath(out.Service.Name))
}

// refuse says in the view what is wrong with the document, or what else is in the way.
func (view *EditorView) refuse(err error, title string) {
	f := fault.As(err)
	for _, field := range f.Fields {
		view.Problems = append(view.Problems, problemIn(field))
	}
	switch {
	case fault.IsCode(err, "service.version_stale"):
		// The form now holds the present version: applying again is then done knowingly.
		view.Alert = &ui.Alert{
			Tone: ui.Warn, Title: "Somebody changed the service meanwhile", Role: "alert", Code: f.Code,
			Text:    "Nothing was applied, and your text is as you wrote it. Look at what changed; if you apply again, yours replaces it.",
			Actions: ui.Fragments{ui.Button{Label: "See revision " + itoa(view.Revision), Size: "sm", Href: view.Path + "/revisions/" + itoa(view.Revision), Attrs: map[string]any{"target": "_blank", "rel": "noopener"}}},
		}
	case len(view.Problems) == 0 || fault.KindOf(err) != fault.Invalid:
		view.Problems = nil
		view.Alert = &ui.Alert{Tone: ui.Bad, Title: title, Text: f.Message, Code: f.Code, Role: "alert"}
	}
	view.Changes.Unknown = len(view.Problems) > 0
}

func appliedText(out service.Applied) string {
	name := out.Service.Name
	var text string
	switch {
	case out.Service.State == service.Draft:
		return "The draft of " + name + " is saved. Nothing runs yet."
	case out.Created:
		text = name + " is there."
	case !out.Revised:
		text = "The document says what was in force already."
	default:
		text = fmt.Sprintf("Revision %d of %s is in force.", out.Revision.Number, name)
	}
	if out.Run != nil {
		text += " Its first run begins."
	}
	for _, n := range out.Notices {
		text += " " + n.Message
	}
	return text
}

func problemIn(f fault.Field) DocumentProblem {
	return DocumentProblem{Line: f.Line, Column: f.Column, Text: f.Message, Remedy: f.Remedy, Code: f.Code}
}

// A lintProblem is what the editor's script marks (editor.js).
type lintProblem struct {
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Message  string `json:"message"`
	Remedy   string `json:"remedy"`
	Severity string `json:"severity"`
}

func (h *Handler) lintDocument(v *visit) error {
	text, err := v.text()
	if err != nil {
		return err
	}
	_, found, err := h.Services.Validate(v.ctx(), v.who, text, formatOf(string(text)))
	if err != nil {
		return err
	}
	out := []lintProblem{} // an empty list, not null
	for severity, fields := range map[string][]fault.Field{"error": found.Errors, "info": found.Notices} {
		for _, f := range fields {
			out = append(out, lintProblem{max(f.Line, 1), max(f.Column, 1), f.Message, f.Remedy, severity})
		}
	}
	slices.SortFunc(out, func(a, b lintProblem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return v.json(out)
}

// text is a request's whole body.
func (v *visit) text() ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxForm))
}

// An option is what the editor's script offers.
type option struct {
	Label  string `json:"label"`
	Detail string `json:"detail,omitempty"`
	Info   string `json:"info,omitempty"`
	Apply  string `json:"apply"`
	Type   string `json:"type"`
}

func (h *Handler) completeDocument(v *visit) error {
	text, err := v.text()
	if err != nil {
		return err
	}
	var ask struct {
		Document     string
		Line, Column int
	}
	if err := json.Unmarshal(text, &ask); err != nil {
		return fault.Wrap(err, fault.Malformed, "web.malformed", "This is not what the editor sends.")
	}
	known, err := v.vocabulary(ask.Document)
	if err != nil {
		return err
	}
	out := []option{}
	for _, c := range service.Complete(ask.Document, ask.Line, ask.Column, known) {
		out = append(out, option{Label: c.Label, Detail: completionKinds[c.Kind], Info: c.Doc, Apply: insertion(ask.Document, ask.Line, ask.Column, c), Type: string(c.Kind)})
	}
	return v.json(out)
}

var completionKinds = map[service.CompletionKind]string{
	service.CompleteConnector: "connector", service.CompleteConnection: "connection", service.CompleteSetting: "setting", service.CompleteSecret: "secret",
	service.CompleteSystem: "system", service.CompleteObject: "object", service.CompleteEntityField: "field of the records",
}

// wordCharacter are the characters that the editor's script takes for a word; a choice replaces the word before the cursor.
func wordCharacter(r rune) bool {
	return r == '_' || r == '.' || r == '$' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// insertion is what the script has to put in the place of the word before the cursor, so that the columns from From on read
// as the completion says.
func insertion(text string, line, column int, c service.Completion) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return c.Insert
	}
	runes := []rune(strings.TrimSuffix(lines[line-1], "\r"))
	at := min(max(column-1, 0), len(runes))
	word := at
	for word > 0 && wordCharacter(runes[word-1]) {
		word--
	}
	from := min(max(c.From-1, 0), at)
	if from < word { // what stands before the word stays there
		return strings.TrimPrefix(c.Insert, string(runes[from:word]))
	}
	return string(runes[word:from]) + c.Insert
}

// vocabulary is what the tenant has that a document can name, as far as the visitor may see it.
func (v *visit) vocabulary(text string) (known service.Vocabulary, err error) {
	if known.Connectors, err = v.h.Connections.Catalog().Specs(v.ctx(), v.who.Tenant); err != nil {
		return known, err
	}
	known.Objects = map[string][]string{}
	if v.can(auth.ViewSecrets) {
		secrets, err := v.h.Secrets.List(v.ctx(), v.who, "", 0)
		if err != nil {
			return known, err
		}
		for _, s := range secrets {
			known.Secrets = append(known.Secrets, s.Name)
		}
	}
	if !v.can(auth.ViewConnections) {
		return known, nil
	}
	connections, err := v.h.Connections.List(v.ctx(), v.who, connection.Filter{Limit: 200})
	if err != nil {
		return known, err
	}
	asked := 0
	for _, c := range connections {
		if c.Owner == nil {
			known.Connections = append(known.Connections, c.Name)
		}
		// Only those the text speaks of are asked for their tables, and few: somebody waits for the answer.
		if !strings.Contains(text, c.Name) || c.State == connection.Expired || c.State == connection.Revoked || asked == 4 {
			continue
		}
		asked++
		list, err := v.objectsOf(c.Name)
		if err != nil {
			continue // a system that does not answer has no names to offer
		}
		for _, system := range systemsNamed(text, c.Name) {
			for _, o := range list {
				known.Objects[system] = append(known.Objects[system], string(o.Name))
				if !strings.Contains(text, string(o.Name)) {
					continue
				}
				for _, f := range o.Fields {
					if !slices.Contains(known.Fields, f.Name) {
						known.Fields = append(known.Fields, f.Name)
					}
				}
			}
		}
	}
	return known, nil
}

var idLine = regexp.MustCompile(`^\s*-?\s*id:\s*["']?([\w-]+)`)

// systemsNamed are the ids of the systems that use a connection, in a text that need not be whole: the last id above each
// line that names the connection; and the connection's own name, which is what a system without `connection` uses.
func systemsNamed(text, connection string) (ids []string) {
	ids = []string{connection}
	id := ""
	for line := range strings.SplitSeq(text, "\n") {
		if m := idLine.FindStringSubmatch(line); m != nil {
			id = m[1]
		}
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "connection:"); ok && strings.Trim(name, ` "'`) == connection && id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// documentChanges tells what the text in the editor would change.
func (h *Handler) documentChanges(v *visit) error {
	text := v.document()
	p, err := h.Services.DiffAgainst(v.ctx(), v.who, []byte(text), formatOf(text))
	if err != nil {
		return err
	}
	view := ChangesView{Unknown: len(p.Findings.Errors) > 0, New: p.Service == nil}
	if !view.New {
		view.Lines = changeLines(p.Differences)
	}
	for _, n := range p.Findings.Notices {
		view.Notices = append(view.Notices, problemIn(n))
	}
	return v.render(EditorChanges(view))
}

func changeLines(list []service.Difference) (lines []ChangeLine) {
	for _, d := range list {
		l := ChangeLine{Path: d.Path, Kind: string(d.Kind)}
		if d.Kind != service.Added {
			l.Before = clip(record.Text(d.Before))
		}
		if d.Kind != service.Removed {
			l.After = clip(record.Text(d.After))
		}
		lines = append(lines, l)
	}
	return lines
}

// clip shortens what would fill the page; the difference line by line shows all of it.
func clip(s string) string {
	if r := []rune(s); len(r) > 160 {
		return string(r[:159]) + "…"
	}
	return s
}
