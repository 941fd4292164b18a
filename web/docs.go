// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesDocs(r chi.Router) {
	r.Get("/docs", h.anybody(h.docsIndex))
	r.Get("/docs/errors", h.anybody(h.docsErrors))
	r.Get("/docs/errors/{code}", h.anybody(h.docsError))
	r.Get("/docs/connectors/{connector}", h.anybody(h.docsConnector))
	r.Get("/docs/{guide}", h.anybody(h.docsGuide))
}

// The documentation is for everybody: a program's log holds the address of an error's page, and whoever reads the log
// need not be signed in.

func (h *Handler) docsIndex(v *visit) error {
	view := DocsView{Title: "Documentation", Text: "How Syncline works, and what each of its messages means."}
	for _, name := range docs.Guides() {
		d := document("", name, docs.Guide)
		view.Guides = append(view.Guides, DocLink{Title: d.title, Href: "/docs/" + name, Text: d.lead})
	}
	for _, name := range docs.Connectors() {
		d := document("connectors", name, docs.Connector)
		view.Guides = append(view.Guides, DocLink{Title: d.title, Href: "/docs/connectors/" + name, Text: d.lead})
	}
	view.Guides = append(view.Guides, DocLink{Title: "Errors", Href: "/docs/errors", Text: ui.Count(int64(len(docs.Errors())), "code", "codes") + ", each with its cause and remedy."})
	return v.docs(view, "Documentation")
}

func (h *Handler) docsErrors(v *visit) error {
	view := DocsView{Title: "Errors", Text: "Every error that people and programs can meet has a code that stays the same. This is what each means, and what to do."}
	for _, code := range docs.Errors() {
		group, _, _ := strings.Cut(code, ".")
		if len(view.Errors) == 0 || view.Errors[len(view.Errors)-1].Name != group {
			view.Errors = append(view.Errors, DocGroup{Name: group})
		}
		g := &view.Errors[len(view.Errors)-1]
		g.Links = append(g.Links, DocLink{Title: code, Href: "/docs/errors/" + code, Text: document("errors", code, docs.Error).lead})
	}
	return v.docs(view, "Documentation", "/docs", "Errors")
}

func (h *Handler) docsError(v *visit) error {
	code := v.param("code")
	if _, found := docs.Error(code); !found {
		return fault.New(fault.NotFound, "web.page_unknown", "There is no page about the code %q.", code)
	}
	d := document("errors", code, docs.Error)
	return v.docs(DocsView{Title: code, Mono: true, Body: d.body}, "Documentation", "/docs", "Errors", "/docs/errors", code)
}

func (h *Handler) docsGuide(v *visit) error {
	name := v.param("guide")
	if _, found := docs.Guide(name); !found {
		return errNoPage
	}
	d := document("", name, docs.Guide)
	return v.docs(DocsView{Title: d.title, Body: d.body}, "Documentation", "/docs", d.title)
}

func (h *Handler) docsConnector(v *visit) error {
	name := v.param("connector")
	if _, found := docs.Connector(name); !found {
		return errNoPage
	}
	d := document("connectors", name, docs.Connector)
	return v.docs(DocsView{Title: d.title, Body: d.body}, "Documentation", "/docs", d.title)
}

// docs shows a page of the documentation, inside the shell for those who are signed in.
func (v *visit) docs(view DocsView, crumbs ...string) error {
	view.Prefs = PrefsFrom(v.r)
	if !v.in {
		for i := 0; i+1 < len(crumbs); i += 2 {
			view.Crumbs = append(view.Crumbs, ui.Crumb{Label: crumbs[i], Href: crumbs[i+1]})
		}
		view.Crumbs = append(view.Crumbs, ui.Crumb{Label: crumbs[len(crumbs)-1]})
		return v.render(DocsPage(view))
	}
	page, err := v.shell(view.Title, "/docs", crumbs...)
	if err != nil {
		return err
	}
	page.Live = ""
	view.Page = &page
	return v.render(DocsPage(view))
}

// A doc is a page of the documentation as HTML.
type doc struct {
	title string
	lead  string // its first paragraph, as plain text
	body  templ.Component
}

var (
	markdown = goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	rendered sync.Map // of name to doc; the documentation is a part of the program and never changes while it runs
)

// document renders a page. The title is left out of the body, because the page's head shows it. Raw HTML in the text is
// not passed on.
func document(dir, name string, read func(string) ([]byte, bool)) doc {
	source, found := read(name)
	if !found {
		return doc{}
	}
	if d, ok := rendered.Load(dir + "/" + name); ok {
		return d.(doc)
	}
	root := markdown.Parser().Parse(text.NewReader(source))
	var d doc
	var remove []ast.Node
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if heading, ok := n.(*ast.Heading); ok && heading.Level == 1 && d.title == "" {
			d.title = plain(n, source)
			remove = append(remove, n)
		}
		if _, ok := n.(*ast.Paragraph); ok && d.lead == "" {
			d.lead = plain(n, source)
		}
	}
	for _, n := range remove {
		root.RemoveChild(root, n)
	}
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if link, ok := n.(*ast.Link); ok && entering {
			link.Destination = []byte(docLink(dir, string(link.Destination)))
		}
		return ast.WalkContinue, nil
	})
	var b bytes.Buffer
	if err := markdown.Renderer().Render(&b, source, root); err != nil {
		panic(fmt.Sprintf("web: rendering %s: %v", name, err)) // a buffer takes everything
	}
	// Wide things scroll by themselves, and the keyboard must reach them.
	html := strings.NewReplacer("<pre>", `<pre tabindex="0" role="group" aria-label="Example">`,
		"<table>", `<div class="prose-wide" tabindex="0" role="group" aria-label="Table"><table>`, "</table>", "</table></div>").Replace(b.String())
	d.body = templ.Raw(html)
	rendered.Store(dir+"/"+name, d)
	return d
}

// docLink turns a link between the files of the documentation, as seen from a folder of it, into one between the pages.
// What lies outside the folder is on no page: such a link leads to the documentation's contents.
func docLink(dir, to string) string {
	file, fragment, _ := strings.Cut(to, "#")
	if fragment != "" {
		fragment = "#" + fragment
	}
	if file == "" || strings.Contains(file, "://") || strings.HasPrefix(file, "/") || strings.HasPrefix(file, "mailto:") {
		return to
	}
	page := path.Join("/docs", dir, strings.TrimSuffix(file, ".md"))
	if page != "/docs" && !strings.HasPrefix(page, "/docs/") || path.Base(page) == "README" || path.Ext(file) != ".md" && path.Ext(file) != "" {
		return "/docs"
	}
	return page + fragment
}

// plain is the text of a node without its marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // as above
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}
