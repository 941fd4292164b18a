// SPDX-License-Identifier: Apache-2.0

package web

import (
	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web/ui"
)

// DocsView is a page of the documentation.
type DocsView struct {
	Page   *ui.Page // nil for readers who are not signed in
	Prefs  ui.Prefs
	Crumbs []ui.Crumb
	Title  string
	Mono   bool // the title is a code
	Text   string
	Body   templ.Component // of a guide or an error
	Guides []DocLink
	Errors []DocGroup
}

// DocLink leads to a page of the documentation.
type DocLink struct {
	Title string
	Href  string
	Text  string
}

// DocGroup are the errors of one part of the program.
type DocGroup struct {
	Name  string // "service"
	Links []DocLink
}
