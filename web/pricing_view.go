// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// PricingView is the calculator: a form, and what a month would cost.
type PricingView struct {
	Page   *ui.Page // nil for readers who are not signed in
	Prefs  ui.Prefs
	Crumbs []ui.Crumb
	Model  string
	Models ui.Tabs
	Plans  ui.Radios // of the model; without options where it has one
	AddOns []ui.Check
	Fields []PricingGroup
	Errors []ui.ErrorItem

	Answer bool // the rest is set
	Plan   string
	Total  ui.Money
	Lines  []PricingLine
	Notes  []string
	Prices [][]string // what is charged, and how
	Code   []ui.Code
}

// PricingGroup are fields that belong together.
type PricingGroup struct {
	Title  string
	Fields []ui.Field
}

// PricingLine is one line of the answer with the steps to its amount.
type PricingLine struct {
	ID     string
	Title  string
	Amount ui.Money
	Free   bool
	Steps  []string
	Review string
}
