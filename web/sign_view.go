// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// SignInView is the sign-in page, first try or after a refusal.
type SignInView struct {
	Prefs ui.Prefs
	Email string
	Next  string // where to go afterwards; a path of ours
	Error string // why it was refused; the same for an unknown address and a wrong password
	Demo  bool   // shows the login of the demo tenant
	Open  bool   // people may sign up
}

// SignUpView is the sign-up page.
type SignUpView struct {
	Prefs  ui.Prefs
	Name   string
	Email  string
	Tenant string
	Errors map[string]string // by field: "name", "email", "tenant", "password"
}

func (v SignUpView) summary() (items []ui.ErrorItem) {
	for _, f := range []string{"name", "tenant", "email", "password"} {
		if e := v.Errors[f]; e != "" {
			items = append(items, ui.ErrorItem{Field: f, Text: e})
		}
	}
	return items
}
