// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// SignInView is the sign-in page, first try or after a refusal.
type SignInView struct {
	Prefs ui.Prefs
	Email string
	Next  string // where to go afterwards; a path of ours
	Ended bool   // the reader was at a page and has to sign in first
	Error string // why it was refused; the same for an unknown address and a wrong password
	Demo  string // the demo tenant's login; empty where there is none
	Open  bool   // people may sign up
}

// SignUpView is the sign-up page.
type SignUpView struct {
	Prefs  ui.Prefs
	Name   string
	Email  string
	Tenant string
	Errors map[string]string // by field: "name", "email", "tenantName", "password"
	Rest   string            // what is wrong beside the fields
}

func (v SignUpView) summary() []ui.ErrorItem {
	return summary(v.Errors, v.Rest, "name", "tenant", "email", "password")
}

// InvitationView asks somebody into a tenant.
type InvitationView struct {
	Prefs  ui.Prefs
	Path   string
	Tenant string
	Email  string
	Role   string
	Ends   time.Time
	Known  bool   // there is a person with that address: the password proves that it is them
	As     string // who is signed in, by address; empty for nobody
	Name   string
	Errors map[string]string // by field: "name", "password"
	Rest   string
}

func (v InvitationView) summary() []ui.ErrorItem {
	return summary(v.Errors, v.Rest, "name", "password")
}

// summary is the list above a refused form: the fields in their order, then the rest.
func summary(byField map[string]string, rest string, fields ...string) (items []ui.ErrorItem) {
	for _, f := range fields {
		if e := byField[f]; e != "" {
			items = append(items, ui.ErrorItem{Field: f, Text: e})
		}
	}
	if rest != "" {
		items = append(items, ui.ErrorItem{Text: rest})
	}
	return items
}
