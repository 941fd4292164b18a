// SPDX-License-Identifier: Apache-2.0

package web

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

// GrantView is the access that somebody gave a connection in the browser, and how to give it.
type GrantView struct {
	Possible  bool
	Path      string // where it begins
	At        time.Time
	By        string
	Scopes    string
	Asks      []string
	Missing   string // settings that are to be filled in before
	Redirect  string
	Refusal   string
	RefusedAt time.Time
	May       bool
}

// AuthorizeView sends a person to the vendor.
type AuthorizeView struct {
	Page  ui.Page
	Line  ConnectionLine
	Title string // of the connector
	Edit  string // where settings are filled in; "" when they stand in a document
	Grant GrantView
}

func (v *visit) grantView(spec connector.Spec, c connection.Connection) (GrantView, error) {
	_, g, err := v.h.Connections.Grant(v.ctx(), v.who, c.ID.Public())
	if err != nil {
		return GrantView{}, err
	}
	view := GrantView{
		Possible: g.Possible, Path: addressOfConnection(c) + "/authorize", At: timeOf(g.At), By: g.By, Scopes: g.Scopes, Asks: g.Asks, Redirect: v.base() + connection.Returning,
		Refusal: g.Refusal, RefusedAt: timeOf(g.RefusedAt), May: v.can(auth.EditConnections),
	}
	var titles []string
	for _, name := range g.Missing {
		s, _ := spec.Setting(name)
		titles = append(titles, or(s.Title, name))
	}
	view.Missing = and(titles)
	return view, nil
}

// authorizeForm says what happens when a person connects, before they go.
func (h *Handler) authorizeForm(v *visit) error {
	if err := v.who.May(auth.EditConnections); err != nil {
		return err
	}
	c, err := h.Connections.Get(v.ctx(), v.who, v.param("connection"))
	if err != nil {
		return err
	}
	view := AuthorizeView{Title: c.Connector}
	if c.Owner == nil {
		view.Edit = addressOfConnection(c) + "/edit"
	}
	var spec connector.Spec
	if found, err := h.Connections.Catalog().Get(v.ctx(), v.who.Tenant, c.Connector); err == nil {
		spec = found.Spec()
		view.Title = spec.Title
	}
	if view.Line, err = v.connectionLine(c); err != nil {
		return err
	}
	if view.Grant, err = v.grantView(spec, c); err != nil {
		return err
	}
	if !view.Grant.Possible {
		return fault.New(fault.Conflict, "connection.not_authorizable", "%s knows no access that is given in the browser. Fill in its credentials.", view.Title)
	}
	if view.Page, err = v.shell("Connect", "/connections", "Connections", "/connections", c.Name, addressOfConnection(c), "Connect"); err != nil {
		return err
	}
	return v.render(AuthorizePage(view))
}

// authorize sends the person to the vendor. The page's policy lets forms go nowhere but here, and browsers hold a redirect against it,
// so the way out is a page that leads on.
func (h *Handler) authorize(v *visit) error {
	c, address, sandboxed, err := h.Connections.Ask(v.ctx(), v.who, v.session.ID.String(), v.param("connection"), v.base()+connection.Returning)
	if refused(err) {
		v.flash(ui.Bad, fault.As(err).Message)
		return v.redirect(connectionPath(v.param("connection")) + "/authorize")
	}
	if err != nil {
		return err
	}
	if sandboxed { // the vendor's page is the simulator's
		_, query, _ := strings.Cut(address, "?")
		return v.redirect(connectionPath(c.ID.Public()) + "/consent?" + query)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Refresh", "0; url="+address)
	_, _ = io.WriteString(v.w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>One moment</title><p><a href="`+html.EscapeString(address)+`">Go on to the vendor's page</a></p></html>`)
	return nil
}

// authorized takes what a person came back with. The result is on the connection's page.
func (h *Handler) authorized(v *visit) error {
	c, err := h.Connections.Answer(v.ctx(), v.who, v.session.ID.String(), v.r.URL.Query())
	switch {
	case c.Name == "" && refused(err): // nobody knows which connection was meant
		v.flash(ui.Bad, fault.As(err).Message)
		return v.redirect("/connections")
	case fault.As(err) != nil && fault.KindOf(err) != fault.Forbidden && c.Name != "":
		return v.redirect(addressOfConnection(c)) // the page says why
	case err != nil:
		return err
	case c.State == connection.Healthy:
		v.flash(ui.OK, c.Name+" is connected, answers, and allows what sync needs.")
	default:
		v.flash(ui.Warn, c.Name+" was given access, and does not work yet: "+c.Reason)
	}
	return v.redirect(addressOfConnection(c))
}

// consent is the page on which a simulated vendor asks for access.
func (h *Handler) consent(v *visit) error {
	var form url.Values
	if v.r.Method == http.MethodPost {
		v.form("decision") // reads the form
		form = v.r.PostForm
	}
	res, err := h.Connections.Consent(v.ctx(), v.who, v.param("connection"), v.r.URL.RawQuery, form)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for _, name := range []string{"Content-Type", "Content-Security-Policy"} {
		if value := res.Header.Get(name); value != "" {
			v.w.Header().Set(name, value)
		}
	}
	if to := res.Header.Get("Location"); to != "" {
		// The simulator's account is a part of this installation: it sends people nowhere else.
		if !strings.HasPrefix(to, v.base()+connection.Returning+"?") {
			return fault.New(fault.Conflict, "connection.authorization_unknown", "This question does not come from here. Begin again with Connect on the connection's page.")
		}
		return v.redirect(strings.TrimPrefix(to, v.base()))
	}
	v.w.WriteHeader(res.StatusCode)
	_, err = io.Copy(v.w, res.Body)
	return err
}

// grantFacts are the lines of a connection's access.
func grantFacts(g GrantView) (out []ui.KeyValue) {
	if !g.At.IsZero() {
		out = append(out, ui.KeyValue{Key: "Given", Body: ui.Fragments{ui.Time{At: g.At}}}, ui.KeyValue{Key: "By", Text: g.By}, ui.KeyValue{Key: "Allows", Text: g.Scopes, Mono: true})
	}
	out = append(out, ui.KeyValue{Key: "Asks for", Text: strings.Join(g.Asks, " "), Mono: true}, ui.KeyValue{Key: "Redirect address", Text: g.Redirect, Mono: true, Hint: "your app at the vendor must list it"})
	return slices.DeleteFunc(out, func(f ui.KeyValue) bool { return f.Text == "" && f.Body == nil })
}
