// SPDX-License-Identifier: Apache-2.0

package ui

import "github.com/a-h/templ"

// Public is the frame of pages that everybody may read: the documentation.
type Public struct {
	Title  string
	Prefs  Prefs
	Crumbs []Crumb
}

// With takes the content.
func (p Public) With() templ.Component { return public(p) }
