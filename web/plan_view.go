// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// PlanView is the tenant's plan and the choice of another.
type PlanView struct {
	SettingsView
	Title     string
	Text      string
	Facts     []ui.KeyValue
	Prices    [][]string
	Lacking   []string
	Scheduled string // title of what waits for the next period; "" for nothing
	From      time.Time
	Plan      ui.Radios
	AddOns    []ui.Check
	When      ui.Radios
	Preview   *PlanPreview
}

// PlanPreview is what the chosen terms would cost.
type PlanPreview struct {
	Title  string
	Facts  []ui.KeyValue
	Lines  []PricingLine
	Total  ui.Money
	Hidden map[string][]string // the choice, for the form that agrees to it
}

// CostView is what the present month costs and where it goes.
type CostView struct {
	Page      ui.Page
	Tabs      ui.Tabs
	Period    string
	Stats     []ui.Stat
	Tiers     [][]string
	Places    [][]string
	Changes   [][]string
	Budgets   []BudgetLine
	MayEdit   bool
	Name      ui.Field
	Amount    ui.Field
	Pause     ui.Check
	Problems  []ui.ErrorItem
	Simulate  ui.Select
	Simulated [][]string
	Exports   []ui.Button
	Code      []ui.Code
	Invoice   string // address of the draft, where lines open into their operations
}

// BudgetLine is one budget with how far it is used.
type BudgetLine struct {
	ID      string
	Name    string
	Bar     ui.Budget
	Version string
}
