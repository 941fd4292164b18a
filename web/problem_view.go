// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// ProblemView is the page shown instead of one that could not be served, inside the shell.
type ProblemView struct {
	Page    ui.Page
	Problem Problem
	Role    string   // the reader's
	Ask     []string // who can change it
}

// Problem is what people may know of an error.
type Problem struct {
	Status  int
	Title   string // made from the status when empty
	Text    string
	Code    string
	Request string
}

func (p Problem) title() string {
	switch {
	case p.Title != "":
		return p.Title
	case p.Status == 404:
		return "Not found"
	case p.Status == 403:
		return "Not allowed"
	case p.Status == 503:
		return "Not available just now"
	case p.Status >= 500:
		return "Something failed on our side"
	}
	return "That was not done"
}

func (p Problem) text() string {
	if p.Text != "" {
		return p.Text
	}
	return "Nothing was lost: services run apart from these pages. Try again; if it stays, send us the request id."
}
