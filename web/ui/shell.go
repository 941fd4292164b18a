// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web/static"
)

// Page is a whole page inside the shell: @ui.Page{...}.With() { ... }.
type Page struct {
	Title   string // in the browser's tab, before "Syncline"
	Crumbs  []Crumb
	Prefs   Prefs
	Tenant  Tenant
	User    User
	Nav     []NavItem
	Live    string // address of the event stream; empty for pages that do not change
	Since   string // the id of the last event that the page may know of: its stream goes on behind it
	Search  string // address that answers ?q= with PaletteResults; empty without search
	Actions []PaletteItem
	Editor  bool // loads the YAML editor
	Wide    bool // without the usual limit of width
	Notice  *Alert
	Flash   []Toast // shown once, after a redirect
}

// Prefs are what the reader chose, from cookies: see PrefsFrom in package web.
type Prefs struct {
	Theme   string // "light", "dark" or "" for the system's
	KeysOff bool   // single-letter shortcuts switched off
	Still   bool   // relative times do not tick: for pictures and tests
}

// Crumb is one step of the path to the page; the last one has no Href.
type Crumb struct {
	Label string
	Href  string
}

// Tenant is whose data the page shows.
type Tenant struct {
	Name   string
	Env    string // "live" or "sandbox"
	Others []TenantLink
}

// TenantLink leads to another tenant or environment.
type TenantLink struct {
	ID      string // posted to /tenant:switch; empty for a plain link
	Name    string
	Env     string
	Href    string
	Current bool
}

// User is who is signed in.
type User struct {
	Name  string
	Email string
	Role  string
}

// NavItem is one entry of the navigation.
type NavItem struct {
	Label   string
	Short   string // for the bar at the bottom of a phone; empty keeps it out of there
	Href    string
	Icon    string
	Jump    string // letter after g
	Count   int64
	Tone    Tone
	What    string // what is counted, for screen readers
	Current bool
}

// NavCounts are the numbers beside the entries.
type NavCounts struct {
	Conflicts   int64 // open
	DeadLetters int64 // waiting
	Holds       int64 // waiting
	Connections int64 // that need a person
}

// Nav is the navigation of the dashboard; current is the path of the entry the page belongs to, "/services".
func Nav(current string, n NavCounts) []NavItem {
	items := []NavItem{
		{Label: "Overview", Short: "Overview", Href: "/", Icon: "layout-dashboard", Jump: "o"},
		{Label: "Services", Short: "Services", Href: "/services", Icon: "refresh-cw", Jump: "s"},
		{Label: "Records", Href: "/records", Icon: "table-2", Jump: "r"},
		{Label: "Conflicts", Short: "Conflicts", Href: "/conflicts", Icon: "split", Jump: "c", Count: n.Conflicts, Tone: Split, What: "open"},
		{Label: "Dead letters", Short: "Dead", Href: "/dead-letters", Icon: "inbox", Jump: "d", Count: n.DeadLetters, Tone: Bad, What: "waiting"},
		{Label: "Held changes", Href: "/holds", Icon: "shield-alert", Jump: "h", Count: n.Holds, Tone: Warn, What: "waiting"},
		{Label: "Connections", Href: "/connections", Icon: "plug", Jump: "n", Count: n.Connections, Tone: Warn, What: "need attention"},
		{Label: "Usage & invoices", Href: "/usage", Icon: "receipt", Jump: "u"},
		{Label: "Finance", Href: "/finance", Icon: "file-text", Jump: "f"},
		{Label: "Operators", Href: "/operator", Icon: "network", Jump: "x"},
		{Label: "Settings", Href: "/settings", Icon: "settings", Jump: "t"},
	}
	for i := range items {
		items[i].Current = items[i].Href == current
	}
	return items
}

// PaletteItem is an act or a found thing in the command palette.
type PaletteItem struct {
	ID      string // unique; made from the position when empty
	Label   string
	Sub     string // at the end of the line: "Service"
	Icon    string
	Href    string
	Opens   string // id of a dialog
	Presses string // selector of a button to press
	Words   string // more words it is found by
	Jump    string // shown as a hint
}

// PaletteGroup is a headed part of the search results.
type PaletteGroup struct {
	Title string
	Items []PaletteItem
}

// PaletteResults are the answer of the search address.
type PaletteResults struct {
	Groups []PaletteGroup
}

// Render writes the results.
func (p PaletteResults) Render(ctx context.Context, w io.Writer) error {
	return paletteResults(p).Render(ctx, w)
}

// Toast is a note after something was done.
type Toast struct {
	Text string
	Tone Tone
}

// Render writes the page without content.
func (p Page) Render(ctx context.Context, w io.Writer) error { return page(p).Render(ctx, w) }

// With takes the content of the page.
func (p Page) With() templ.Component { return page(p) }

func (p Page) title() string {
	if p.Title == "" {
		return "Syncline"
	}
	return p.Title + " · Syncline"
}

func (p Page) bodyAttrs() templ.Attributes {
	a := templ.Attributes{}
	if p.Live != "" {
		a["data-live"] = p.Live
		a["data-live-since"] = p.Since
	}
	if p.Tenant.Env != "" {
		a["data-env"] = p.Tenant.Env
	}
	return a
}

func (p Prefs) attrs(ctx context.Context) templ.Attributes {
	a := templ.Attributes{"data-now": reader(ctx).Now.UTC().Format(time.RFC3339Nano)}
	if p.Theme == "light" || p.Theme == "dark" {
		a["data-theme"] = p.Theme
	}
	if p.KeysOff {
		a["data-keys"] = "off"
	}
	if p.Still {
		a["data-still"] = true
	}
	return a
}

func (p Prefs) is(theme string) string {
	if p.Theme == theme || (theme == "system" && p.Theme == "") {
		return "true"
	}
	return "false"
}

// short are the entries of the bar at the bottom of a phone.
func (p Page) short() []NavItem {
	var out []NavItem
	for _, n := range p.Nav {
		if n.Short != "" && len(out) < 4 {
			out = append(out, n)
		}
	}
	return out
}

// actions are the entries of the palette: places, then what the page offers, then what is always there.
func (p Page) actions() []PaletteGroup {
	var places []PaletteItem
	for _, n := range p.Nav {
		places = append(places, PaletteItem{Label: n.Label, Icon: n.Icon, Href: n.Href, Jump: n.Jump, Words: "go to"})
	}
	always := []PaletteItem{
		{Label: "Light theme", Icon: "sun", Presses: `[data-set-theme="light"]`, Words: "appearance"},
		{Label: "Dark theme", Icon: "moon", Presses: `[data-set-theme="dark"]`, Words: "appearance night"},
		{Label: "Theme of the system", Icon: "monitor", Presses: `[data-set-theme="system"]`, Words: "appearance auto"},
		{Label: "Keyboard shortcuts", Icon: "keyboard", Opens: "keys", Words: "help"},
		{Label: "Documentation", Icon: "book-open", Href: "/docs", Words: "help manual"},
	}
	if p.Live != "" {
		always = append(always, PaletteItem{Label: "Pause or resume live updates", Icon: "activity", Presses: "#live"})
	}
	groups := []PaletteGroup{{Title: "Go to", Items: places}}
	if len(p.Actions) > 0 {
		groups = append(groups, PaletteGroup{Title: "On this page", Items: p.Actions})
	}
	return append(groups, PaletteGroup{Title: "Dashboard", Items: always})
}

func itemID(prefix string, group, item int, given string) string {
	if given != "" {
		return given
	}
	return prefix + strconv.Itoa(group) + "-" + strconv.Itoa(item)
}

// htmxConfig: no styles of its own (the style sheet has them); of refusals only 409, 412 and 422 are swapped in, because
// their bodies are the form again with what is wrong. The others keep the page and become a toast (js/80-toast.js).
// What a reader opened, and the row they are at, stay as they are when a part refreshes itself.
const htmxConfig = `{"includeIndicatorCSS": false, "defaultTimeout": 30000, "noSwap": [204, 304, 400, 401, 403, 404, 410, 413, 415, 428, 429, "5xx"], "morphIgnore": ["data-htmx-powered", "open", "data-current"], "morphSkip": "yaml-editor, yaml-diff, [hx-morph-skip]"}`

// preload are the files every page needs at once.
func preload() []string { return []string{static.URL("fonts/inter.woff2")} }

// Bare is a page without the shell: sign-in and its relatives.
type Bare struct {
	Title string
	Prefs Prefs
}

// With takes the content.
func (b Bare) With() templ.Component { return bare(b) }

// Auth is the sign-in page and its relatives: a form on one side, the picture on the other.
type Auth struct {
	Title string // "Sign in to Syncline"
	Text  string
	Prefs Prefs
	Foot  Fragments // "No account yet? Sign up"
}

// With takes the form.
func (a Auth) With() templ.Component { return auth(a) }

// ErrorPage is the page for a request that could not be served.
type ErrorPage struct {
	Status  int
	Title   string // made from the status when empty
	Text    string
	Code    string
	Request string
	Prefs   Prefs
}

// Render writes the page.
func (e ErrorPage) Render(ctx context.Context, w io.Writer) error { return errorPage(e).Render(ctx, w) }

func (e ErrorPage) title() string {
	switch {
	case e.Title != "":
		return e.Title
	case e.Status == 404:
		return "There is nothing at this address"
	case e.Status == 403:
		return "Your role does not reach here"
	case e.Status == 503:
		return "Syncline is starting or being upgraded"
	}
	return "Something failed on our side"
}

func (e ErrorPage) text() string {
	switch {
	case e.Text != "":
		return e.Text
	case e.Status == 404:
		return "The page may have been moved, or it belongs to another tenant. Your data is not affected."
	case e.Status == 403:
		return "Ask an owner or admin of your tenant to change your role."
	case e.Status == 503:
		return "The page comes back by itself within a minute. Syncs go on from where they stopped."
	}
	return "Nothing was lost: syncs run apart from these pages. Try again; if it stays, send us the request id."
}

// YAMLEditor is the editor of a document: a form field that works without scripts and becomes an editor with
// completion and checks with them. The page needs Editor set.
type YAMLEditor struct {
	ID       string
	Name     string // of the form field
	Label    string
	Value    string
	Lint     string // address that answers a POST of the text with a list of problems
	Complete string // address that answers a POST of {document, line, column} with a list of options
	Problems string // id of the element that lists the problems
	ReadOnly bool
}

// Render writes the editor.
func (y YAMLEditor) Render(ctx context.Context, w io.Writer) error {
	return yamlEditor(y).Render(ctx, w)
}

func (y YAMLEditor) attrs() templ.Attributes {
	a := templ.Attributes{}
	for name, v := range map[string]string{"id": y.ID, "label": y.Label, "lint": y.Lint, "complete": y.Complete, "problems": y.Problems} {
		if v != "" {
			a[name] = v
		}
	}
	if y.ReadOnly {
		a["readonly"] = true
	}
	return a
}

// YAMLDiff shows two texts side by side, or one under the other where it is narrow. The page needs Editor set.
type YAMLDiff struct {
	Before, After           string
	BeforeLabel, AfterLabel string
	Follow                  string // id of a YAMLEditor whose text is the after side
}

// Render writes the difference.
func (y YAMLDiff) Render(ctx context.Context, w io.Writer) error { return yamlDiff(y).Render(ctx, w) }
