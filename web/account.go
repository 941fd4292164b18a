// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesAccount(r chi.Router) {
	r.Get("/settings/account", h.page(h.account))
	r.Post("/settings/account/password", h.page(h.changePassword))
	r.Post("/settings/account/sessions:endOthers", h.page(h.endOtherSessions))
	r.Post("/settings/account/sessions/{session}:end", h.page(h.endSession))
}

func (h *Handler) account(v *visit) error {
	view, err := v.accountView()
	if err != nil {
		return err
	}
	return v.render(AccountPage(view))
}

func (v *visit) accountView() (view AccountView, err error) {
	list, err := v.h.Auth.Sessions(v.ctx(), v.session)
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/account", ""); err != nil {
		return view, err
	}
	view.Email = v.session.Member.Email
	for _, s := range list {
		view.Sessions = append(view.Sessions, SessionLine{ID: s.ID.String(), Browser: browser(s.UserAgent), Agent: s.UserAgent, IP: s.IP, Since: s.CreatedAt, Seen: s.SeenAt, Ends: s.ExpiresAt, Here: s.ID == v.session.ID})
	}
	view.Password = ui.Field{Name: "password", Label: "Present password", Type: "password", Autocomplete: "current-password", Required: true}
	view.Fresh = ui.Field{Name: "newPassword", Label: "New password", Type: "password", Autocomplete: "new-password", Required: true, Hint: "10 characters or more; a sentence is fine. It ends all other sessions."}
	return view, nil
}

// browser names a browser and its system in the words of their makers, as far as what it says of itself tells.
func browser(agent string) string {
	name, system := "", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if name == "" && strings.Contains(agent, b[0]) {
			name = b[1]
		}
	}
	for _, s := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if system == "" && strings.Contains(agent, s[0]) {
			system = s[1]
		}
	}
	switch {
	case name != "" && system != "":
		return name + " on " + system
	case name+system != "":
		return name + system
	}
	return "A program"
}

func (h *Handler) changePassword(v *visit) error {
	_ = v.form("password") // bounds the body
	err := h.Auth.ChangePassword(v.ctx(), v.session, v.r.PostFormValue("password"), v.r.PostFormValue("newPassword"), v.caller())
	if err == nil {
		v.flash(ui.OK, "Your password was changed, and all your other sessions have ended.")
		return v.redirect("/settings/account")
	}
	if !refused(err) {
		return err
	}
	view, readErr := v.accountView()
	if readErr != nil {
		return readErr
	}
	at, rest := errorsAt(err)
	view.Password.Error, view.Fresh.Error = at["/password"], at["/newPassword"]
	if rest != "" {
		view.Password.Error = rest
	}
	for _, item := range []ui.ErrorItem{{Field: "password", Text: view.Password.Error}, {Field: "newPassword", Text: view.Fresh.Error}} {
		if item.Text != "" {
			view.Problems = append(view.Problems, item)
		}
	}
	return v.renderAs(statusOf(err), AccountPage(view))
}

func (h *Handler) endSession(v *visit) error {
	id, err := auth.ParseSessionID(v.param("session"))
	if err != nil {
		return err
	}
	if err := h.Auth.EndSession(v.ctx(), v.session, id, v.caller()); err != nil {
		return err
	}
	if id == v.session.ID {
		v.forget()
		return v.redirect("/sign-in")
	}
	v.flash(ui.OK, "That session has ended.")
	return v.redirect("/settings/account")
}

func (h *Handler) endOtherSessions(v *visit) error {
	n, err := h.Auth.EndOtherSessions(v.ctx(), v.session, v.caller())
	if err != nil {
		return err
	}
	v.flash(ui.OK, ui.Count(n, "other session has", "other sessions have")+" ended.")
	return v.redirect("/settings/account")
}
