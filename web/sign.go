// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesSign(r chi.Router) {
	r.Get("/sign-in", h.anybody(h.signInForm))
	r.Post("/sign-in", h.anybody(h.signIn))
	r.Get("/sign-up", h.anybody(h.signUpForm))
	r.Post("/sign-up", h.anybody(h.signUp))
	r.Post("/sign-out", h.anybody(h.signOut))
	r.Get("/invitations/{token}", h.anybody(h.invitationForm))
	r.Post("/invitations/{token}", h.anybody(h.invitation))
	r.Post("/tenant:switch", h.page(h.switchTenant))
	r.Post("/tenants", h.page(h.foundTenant))
}

func (h *Handler) signInForm(v *visit) error {
	next := ours(v.query("next"))
	if v.in {
		return v.redirect(or(next, "/"))
	}
	return v.render(SignInPage(SignInView{Prefs: PrefsFrom(v.r), Email: h.Demo.Email, Next: next, Ended: next != "", Demo: h.Demo.Email, Open: h.SignUpOpen}))
}

func (h *Handler) signIn(v *visit) error {
	view := SignInView{Prefs: PrefsFrom(v.r), Email: v.form("email"), Next: ours(v.form("next")), Demo: h.Demo.Email, Open: h.SignUpOpen}
	token, s, err := h.Auth.SignIn(v.ctx(), view.Email, v.r.PostFormValue("password"), v.caller())
	switch fault.KindOf(err) {
	case 0:
	case fault.Unauthenticated, fault.Invalid, fault.TooMany, fault.Forbidden:
		view.Error = fault.As(err).Message
		return v.renderAs(statusOf(err), SignInPage(view))
	}
	if err != nil {
		return err
	}
	v.remember(token, s)
	return v.redirect(or(view.Next, "/"))
}

func (h *Handler) signUpForm(v *visit) error {
	if v.in {
		return v.redirect("/")
	}
	if !h.SignUpOpen {
		return fault.New(fault.Forbidden, "auth.sign_up_closed", "Accounts are made by invitation here. Ask somebody who has one to invite you.")
	}
	return v.render(SignUpPage(SignUpView{Prefs: PrefsFrom(v.r)}))
}

func (h *Handler) signUp(v *visit) error {
	view := SignUpView{Prefs: PrefsFrom(v.r), Name: v.form("name"), Email: v.form("email"), Tenant: v.form("tenant")}
	zone := v.form("zone") // the browser's; empty without scripts
	if _, err := service.ParseZone(zone); err != nil {
		zone = ""
	}
	token, s, err := h.Auth.SignUp(v.ctx(), auth.NewAccount{
		Email: view.Email, Name: view.Name, Password: v.r.PostFormValue("password"), TenantName: view.Tenant, TimeZone: zone,
	}, v.caller())
	if refused(err) {
		view.Errors, view.Rest = fieldErrors(err)
		view.Errors["tenant"] = view.Errors["tenantName"]
		return v.renderAs(statusOf(err), SignUpPage(view))
	}
	if err != nil {
		return err
	}
	v.remember(token, s)
	v.flash(ui.OK, "Welcome. This tenant is yours.")
	return v.redirect("/")
}

func (h *Handler) signOut(v *visit) error {
	if v.in {
		if err := h.Auth.SignOut(v.ctx(), v.session, v.caller()); err != nil && fault.KindOf(err) != fault.Unauthenticated {
			return err
		}
	}
	v.forget()
	return v.redirect("/sign-in")
}

func (h *Handler) invitationForm(v *visit) error {
	token := auth.Token(v.param("token"))
	offer, err := h.Auth.Offer(v.ctx(), token)
	if err != nil {
		return err
	}
	return v.render(InvitationPage(v.invitationView(offer)))
}

func (v *visit) invitationView(offer auth.Offer) InvitationView {
	view := InvitationView{
		Prefs: PrefsFrom(v.r), Path: v.r.URL.EscapedPath(), Tenant: offer.TenantName, Email: offer.Email, Role: string(offer.Role), Ends: offer.ExpiresAt, Known: offer.Known,
	}
	if v.in {
		view.As = v.session.Member.Email
	}
	return view
}

func (h *Handler) invitation(v *visit) error {
	token := auth.Token(v.param("token"))
	offer, err := h.Auth.Offer(v.ctx(), token)
	if err != nil {
		return err
	}
	view := v.invitationView(offer)
	view.Name = v.form("name")
	var s auth.Session
	if v.in {
		s, err = h.Auth.AcceptAs(v.ctx(), v.session, token, v.caller())
	} else {
		var session auth.Token
		if session, s, err = h.Auth.Accept(v.ctx(), token, view.Name, v.r.PostFormValue("password"), v.caller()); err == nil {
			v.remember(session, s)
		}
	}
	if refused(err) || fault.KindOf(err) == fault.Unauthenticated || fault.KindOf(err) == fault.Forbidden {
		view.Errors, view.Rest = fieldErrors(err)
		return v.renderAs(statusOf(err), InvitationPage(view))
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, "You are now a member of "+s.Tenant.Name+".")
	return v.redirect("/")
}

func (h *Handler) switchTenant(v *visit) error {
	id, err := tenant.ParseID(v.form("tenant"))
	if err != nil {
		return errNoPage
	}
	s, err := h.Auth.SwitchTenant(v.ctx(), v.session, id, v.caller())
	if err != nil {
		return err
	}
	v.flash(ui.Info, "You are now in "+s.Tenant.Name+".")
	return v.redirect("/")
}

// foundTenant makes a further tenant, owned by the person, and goes there.
func (h *Handler) foundTenant(v *visit) error {
	t, err := h.Auth.CreateTenant(v.ctx(), v.session, v.form("name"), v.session.Tenant.TimeZone, v.caller())
	if err != nil {
		return err
	}
	s, err := h.Auth.SwitchTenant(v.ctx(), v.session, t.ID, v.caller())
	if err != nil {
		return err
	}
	v.flash(ui.OK, s.Tenant.Name+" is there, and yours.")
	return v.redirect("/")
}

// setCookie keeps a choice of the reader's that is no secret, for a year.
func (v *visit) setCookie(name, value string) {
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: url.QueryEscape(value), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, Secure: v.h.secure, SameSite: http.SameSiteLaxMode,
	})
}

func (v *visit) cookie(name string) string {
	c, err := v.r.Cookie(name)
	if errors.Is(err, http.ErrNoCookie) {
		return ""
	}
	value, err := url.QueryUnescape(c.Value)
	if err != nil {
		return ""
	}
	return value
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
