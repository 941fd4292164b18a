// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

var (
	errSignIn    = errors.New("web: nobody is signed in")
	errNoPage    = fault.New(fault.NotFound, "web.page_unknown", "There is no page at this address. It may have been moved, or it belongs to another tenant.")
	errCrossSite = fault.New(fault.Forbidden, "web.cross_site", "Another site made your browser send this, so it was not done. Open the dashboard itself and do it there.")
)

// statuses is the one place of this package that knows status codes.
var statuses = map[fault.Kind]int{
	fault.Invalid: http.StatusUnprocessableEntity, fault.Malformed: http.StatusBadRequest, fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden: http.StatusForbidden, fault.NotFound: http.StatusNotFound, fault.Conflict: http.StatusConflict,
	fault.Stale: http.StatusPreconditionFailed, fault.Required: http.StatusPreconditionRequired, fault.TooMany: http.StatusTooManyRequests,
	fault.Unavailable: http.StatusServiceUnavailable,
}

func statusOf(err error) int {
	var large *http.MaxBytesError
	switch s, ok := statuses[fault.KindOf(err)]; {
	case ok:
		return s
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

func stack() string { return string(debug.Stack()) }

// fail answers a request that could not be served: a page for the browser's address bar, a note for a script. Pages with a
// form show what is wrong beside its fields instead, see invalid.
func (v *visit) fail(err error) {
	if v.ctx().Err() != nil && errors.Is(err, context.Canceled) {
		return // nobody is there to read it
	}
	if errors.Is(err, errSignIn) || fault.KindOf(err) == fault.Unauthenticated {
		v.askToSignIn()
		return
	}
	status := statusOf(err)
	p := problemOf(err)
	p.Status, p.Request = status, requestID(v.ctx())
	if status >= 500 {
		v.h.Log.ErrorContext(v.ctx(), "a page failed", "method", v.r.Method, "path", v.r.URL.Path, "request", p.Request, "error", err)
	}
	if v.htmx() || strings.Contains(v.r.Header.Get("Accept"), "application/json") {
		// What keeps itself up to date stays as it is and keeps quiet; an act says why it was not done.
		if v.r.Method != http.MethodGet {
			v.toast(ui.Bad, p.Text)
		}
		v.w.Header().Set("HX-Reswap", "none")
		v.w.WriteHeader(status)
		return
	}
	if v.in && !errors.Is(err, errCrossSite) {
		page, shellErr := v.shell(p.title(), "", p.title())
		if shellErr == nil {
			page.Live = ""
			_ = v.renderAs(status, ProblemPage(ProblemView{Page: page, Problem: p, Role: string(v.who.Role), Ask: v.owners(err)})) // it returns nothing else
			return
		}
	}
	_ = v.renderAs(status, ui.ErrorPage{Status: status, Title: p.Title, Text: p.Text, Code: p.Code, Request: p.Request, Prefs: PrefsFrom(v.r)}) // as above
}

// problemOf is what people may know of an error.
func problemOf(err error) Problem {
	if f := fault.As(err); f != nil {
		return Problem{Text: f.Message, Code: f.Code}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return Problem{Text: "This is more than a form may send (1 MB). Nothing was changed.", Code: "web.too_large"}
	}
	return Problem{}
}

// owners names the people who could change the visitor's role, for a page that the role does not reach.
func (v *visit) owners(err error) (names []string) {
	if fault.KindOf(err) != fault.Forbidden {
		return nil
	}
	members, err := v.h.Auth.Members(v.ctx(), v.who, auth.UserID{}, 0)
	if err != nil {
		return nil
	}
	for _, m := range members {
		if m.Role.May(auth.EditMembers) && len(names) < 3 {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// askToSignIn leads to the sign-in page and from there back here. An act that a script asked for is not repeated: the page
// stays as it is, with what was typed, and says why.
func (v *visit) askToSignIn() {
	back := v.r.URL.RequestURI()
	if v.htmx() {
		if v.r.Method != http.MethodGet {
			v.w.WriteHeader(http.StatusUnauthorized)
			return
		}
		back = v.currentPath()
	}
	if v.r.Method != http.MethodGet && !v.htmx() {
		back = v.refererPath()
	}
	to := "/sign-in"
	if back != "/" && back != "" {
		to += "?next=" + url.QueryEscape(back)
	}
	if v.htmx() {
		v.w.Header().Set("HX-Redirect", to)
		v.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

// currentPath is the page that a script's request was made from.
func (v *visit) currentPath() string { return pathOf(v.r.Header.Get("HX-Current-URL")) }

func (v *visit) refererPath() string { return pathOf(v.r.Referer()) }

func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Path == "" {
		return ""
	}
	return ours((&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String())
}

// ours is the address when it is a path of this dashboard, else "": nobody is led elsewhere by a link to us.
func ours(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return ""
	}
	return path
}

// fieldErrors are the texts beside the fields of a form, by the last part of each field's pointer ("/settings/host" is the
// field host); rest is what belongs to no field.
func fieldErrors(err error) (byField map[string]string, rest string) {
	f := fault.As(err)
	if f == nil {
		return nil, ""
	}
	byField = map[string]string{}
	for _, field := range f.Fields {
		name := field.Pointer[strings.LastIndexByte(field.Pointer, '/')+1:]
		text := strings.TrimSpace(field.Message + " " + field.Remedy)
		if name == "" {
			rest = strings.TrimSpace(rest + " " + text)
			continue
		}
		if byField[name] != "" {
			text = byField[name] + " " + text
		}
		byField[name] = text
	}
	if len(f.Fields) == 0 {
		rest = f.Message
	}
	return byField, rest
}

// refused says whether a form should be shown again with what is wrong in it: the fault is about what was sent, or about
// the state of things, and not about us.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Conflict, fault.Stale, fault.TooMany:
		return true
	}
	return false
}

// alertOf shows an error in its place on the page.
func (v *visit) alertOf(err error, title string) *ui.Alert {
	p := problemOf(err)
	text := p.Text
	if text == "" {
		text = "Something failed on our side. Try again; if it stays, send us the request id."
		v.h.Log.ErrorContext(v.ctx(), "a part of a page failed", "path", v.r.URL.Path, "request", requestID(v.ctx()), "error", err)
	}
	return &ui.Alert{Tone: ui.Bad, Title: title, Text: text, Code: p.Code, Request: requestID(v.ctx()), Role: "alert"}
}
