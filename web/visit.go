// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

// visit is one request to a page: who asks, and the ways to answer. A page is a method of Handler that takes a visit and
// returns what went wrong; what it returns becomes the designed answer, see fail.
type visit struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	in      bool // somebody is signed in; session and who are set
	session auth.Session
	who     auth.Principal
	now     time.Time
	zone    *time.Location // the tenant's
	since   string         // of a whole page: the last event before anything of it was read
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// page serves a page for people who are signed in. Others are sent to the sign-in page and come back afterwards.
func (h *Handler) page(serve func(*visit) error) http.HandlerFunc {
	return h.anybody(func(v *visit) error {
		if !v.in {
			return errSignIn
		}
		if !v.htmx() {
			var err error
			if _, v.since, err = h.Events(v.ctx(), v.who.Tenant, "", 0); err != nil {
				return err
			}
		}
		return serve(v)
	})
}

// anybody serves a page for everybody; v.in says whether somebody is signed in.
func (h *Handler) anybody(serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{h: h, w: w, r: r, now: time.Now(), zone: time.UTC}
		err := v.greet()
		if err == nil {
			err = serve(v)
		}
		if err != nil {
			v.fail(err)
		}
	}
}

// greet finds out who it is.
func (v *visit) greet() error {
	token := v.h.token(v.r)
	if token == "" {
		return nil
	}
	s, err := v.h.Auth.BySession(v.ctx(), token)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return nil // as if there were no cookie; pages that need somebody ask for a sign-in
	case err != nil:
		return err
	}
	v.enter(s)
	return nil
}

func (v *visit) enter(s auth.Session) {
	v.in, v.session, v.who = true, s, s.Principal(v.caller())
	if zone, err := service.ParseZone(s.Tenant.TimeZone); err == nil {
		v.zone = zone
	}
}

// caller is where the request came from.
func (v *visit) caller() auth.Caller {
	ip, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		ip = v.r.RemoteAddr
	}
	return auth.Caller{IP: ip, UserAgent: v.r.UserAgent(), RequestID: requestID(v.ctx())}
}

// can says whether the person has a permission. Pages ask in order to leave out what would only be refused; the operations
// ask again themselves.
func (v *visit) can(p auth.Permission) bool { return v.in && v.who.Can(p) }

// htmx says whether the request was made by the page itself and not by the browser's address bar.
func (v *visit) htmx() bool { return v.r.Header.Get("HX-Request") == "true" }

// param is a part of the address: "/services/{name}".
func (v *visit) param(name string) string {
	p := chi.URLParam(v.r, name)
	if u, err := url.PathUnescape(p); err == nil {
		return u
	}
	return p
}

func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }

// maxForm bounds what a form may send; the largest is a service document of 256 KiB, whose characters may take three bytes
// each on the way.
const maxForm = 1 << 20

// form is a field of the form that was sent, without blanks around it.
func (v *visit) form(name string) string {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	return strings.TrimSpace(v.r.PostFormValue(name))
}

// shell is the frame of a page: nav is the path of the navigation's entry it belongs to, crumbs the way to it from there as
// pairs of label and address, ending with the page's own label.
func (v *visit) shell(title, nav string, crumbs ...string) (ui.Page, error) {
	p := ui.Page{
		Title: title, Prefs: PrefsFrom(v.r), Live: "/live", Since: v.since, Search: "/search", Flash: v.flashed(),
		Tenant: ui.Tenant{Name: v.session.Tenant.Name, Env: env(v.session.Tenant.Demo)},
		User:   ui.User{Name: v.session.Member.Name, Email: v.session.Member.Email, Role: string(v.session.Member.Role)},
	}
	for i := 0; i+1 < len(crumbs); i += 2 {
		p.Crumbs = append(p.Crumbs, ui.Crumb{Label: crumbs[i], Href: crumbs[i+1]})
	}
	if len(crumbs)%2 == 1 {
		p.Crumbs = append(p.Crumbs, ui.Crumb{Label: crumbs[len(crumbs)-1]})
	}
	counts, err := v.counts()
	if err != nil {
		return p, err
	}
	for _, item := range ui.Nav(nav, counts) {
		if need, asked := navNeeds[item.Href]; !asked || v.can(need) {
			p.Nav = append(p.Nav, item)
		}
	}
	others, err := v.h.Auth.Tenants(v.ctx(), v.session)
	if err != nil {
		return p, err
	}
	for _, m := range others {
		p.Tenant.Others = append(p.Tenant.Others, ui.TenantLink{
			ID: m.Tenant.ID.String(), Name: m.Tenant.Name, Env: env(m.Tenant.Demo), Current: m.Tenant.ID == v.session.Tenant.ID,
		})
	}
	return p, nil
}

// navNeeds are the entries that not every role reaches.
var navNeeds = map[string]auth.Permission{
	"/records": auth.ViewRecords, "/conflicts": auth.ViewRecords, "/dead-letters": auth.ViewRecords, "/connections": auth.ViewConnections,
	"/finance": auth.ViewInvoices, "/operator": auth.Operate,
}

func env(demo bool) string {
	if demo {
		return "demo"
	}
	return "live"
}

// counts are the numbers beside the navigation's entries.
func (v *visit) counts() (n ui.NavCounts, err error) {
	if n.Conflicts, n.DeadLetters, err = v.h.Reader.CountOpen(v.ctx(), v.who, service.ID{}); err != nil {
		return n, err
	}
	held, err := v.h.Holds.List(v.ctx(), v.who, safety.HoldQuery{State: engine.HoldOpen, Limit: 99})
	if err != nil {
		return n, err
	}
	n.Holds = int64(len(held))
	if v.can(auth.ViewConnections) {
		ill, err := v.h.Connections.List(v.ctx(), v.who, connection.Filter{States: []connection.State{connection.Degraded, connection.Expired, connection.Revoked}})
		if err != nil {
			return n, err
		}
		n.Connections = int64(len(ill))
	}
	return n, nil
}

// render answers with a page or a part of one.
func (v *visit) render(c templ.Component) error { return v.renderAs(http.StatusOK, c) }

// renderAs is render with a status: 422 for a form that was refused, with the form again as its body.
func (v *visit) renderAs(status int, c templ.Component) error {
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if err := c.Render(ui.WithReader(v.ctx(), ui.Reader{Now: v.now, Zone: v.zone}), v.w); err != nil && v.ctx().Err() == nil {
		// The head is out already, so the answer just ends here.
		v.h.Log.WarnContext(v.ctx(), "rendering a page", "path", v.r.URL.Path, "request", requestID(v.ctx()), "error", err)
	}
	return nil
}

// json answers a script of the page.
func (v *visit) json(value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, _ = v.w.Write(body) // the reader may be gone
	return nil
}

// redirect leads to another page of ours after something was done.
func (v *visit) redirect(to string) error {
	if v.htmx() {
		v.w.Header().Set("HX-Redirect", to)
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// done notes what was done: beside the present page when a script asked, on the next page otherwise.
func (v *visit) done(text string) { v.note(ui.OK, text) }

func (v *visit) note(tone ui.Tone, text string) {
	if v.htmx() {
		v.toast(tone, text)
		return
	}
	v.flash(tone, text)
}

// toast sends a note along with the answer to a script.
func (v *visit) toast(tone ui.Tone, text string) {
	body, err := json.Marshal(map[string]any{"toast": map[string]string{"text": text, "tone": string(tone)}})
	if err == nil { // plain text always encodes
		v.w.Header().Set("HX-Trigger", asciiJSON(body))
	}
}

// asciiJSON writes the characters that a header cannot carry as escapes.
func asciiJSON(body []byte) string {
	var b strings.Builder
	for _, c := range string(body) {
		switch {
		case c < 0x80:
			b.WriteRune(c)
		case c < 0x10000:
			b.WriteString(`\u` + hex4(c))
		default:
			c -= 0x10000
			b.WriteString(`\u` + hex4(0xd800+c>>10) + `\u` + hex4(0xdc00+c&0x3ff))
		}
	}
	return b.String()
}

func hex4(c rune) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>12&15], digits[c>>8&15], digits[c>>4&15], digits[c&15]})
}

const flashCookie = "syncline_flash"

// flash keeps a note for the next page.
func (v *visit) flash(tone ui.Tone, text string) {
	body, err := json.Marshal(ui.Toast{Text: text, Tone: tone})
	if err != nil {
		return
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString(body), Path: "/", MaxAge: 60, HttpOnly: true, Secure: v.h.secure, SameSite: http.SameSiteLaxMode,
	})
}

// flashed takes the note that was kept. It is for the next page that a person sees: a part that a script asks for at the same
// moment leaves it alone.
func (v *visit) flashed() []ui.Toast {
	c, err := v.r.Cookie(flashCookie)
	if err != nil || v.htmx() {
		return nil
	}
	http.SetCookie(v.w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: v.h.secure, SameSite: http.SameSiteLaxMode})
	var t ui.Toast
	body, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(body, &t) != nil || t.Text == "" {
		return nil
	}
	return []ui.Toast{t}
}

type requestKey struct{}

// identify gives the request an id; people quote it, and the log has it.
func (h *Handler) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := ident.Format(ident.Request, uuid.Must(uuid.NewV7()))
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// recover turns a mistake of ours into the page for it.
func (h *Handler) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				h.Log.ErrorContext(r.Context(), "a page panicked", "path", r.URL.Path, "request", requestID(r.Context()), "panic", p, "stack", stack())
				v := &visit{h: h, w: w, r: r, now: time.Now(), zone: time.UTC}
				v.fail(errors.New("panicked"))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what another site makes a browser send here (cross-site request forgery). The browser says where a
// request comes from, so forms need no token.
func (h *Handler) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(h.anybody(func(*visit) error { return errCrossSite }))
	return guard.Handler(next)
}
