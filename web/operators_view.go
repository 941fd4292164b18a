// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// OperatorTenantsView is all tenants, for those who run the installation.
type OperatorTenantsView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Search  ui.Field
	Tenants []OperatorTenantLine
	Next    string // address of the next page; "" for none
}

// OperatorTenantLine is one of them.
type OperatorTenantLine struct {
	ID, Name, Href, Sub string
	Plan, PlanNote      string
	Credit, Open        string
}

// OperatorTenantView is one tenant: what it agreed to, and what operators can do about it.
type OperatorTenantView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Path     string
	Title    string
	Problems []ui.ErrorItem
	Facts    []ui.KeyValue
	Plan     ui.Select
	When     ui.Radios
	Reason   ui.Field
	Preview  *PlanPreview
	AddOns   []ui.Check
	Credits  []OperatorGrant
	Coupons  []OperatorGrant
}

// OperatorGrant is a credit or a coupon that can be taken back.
type OperatorGrant struct {
	ID, Title, Sub, Amount, Act string
}

// OperatorPlansView is the price list in all its versions.
type OperatorPlansView struct {
	Page  ui.Page
	Tabs  ui.Tabs
	Plans []OperatorPlanLine
	Log   [][]string
}

// OperatorPlanLine is one version.
type OperatorPlanLine struct {
	Title, Sub, Version, State string
	Tone                       ui.Tone
	From                       ui.Time
	Prices                     string
	Href                       string // to write the next version from it
}

// OperatorPlanView is the form of a new version, with what it would cost.
type OperatorPlanView struct {
	Page           ui.Page
	Tabs           ui.Tabs
	Title          string
	Problems       []ui.ErrorItem
	Document       ui.Area
	From, Reason   ui.Field
	Syncs, Records ui.Field
	Systems        ui.Field
	Facts          []ui.KeyValue
	Lines          []PricingLine // under the new version; none before it was looked at
}

// OperatorCodesView is the coupon codes.
type OperatorCodesView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Problems []ui.ErrorItem
	Codes    []OperatorCodeLine
	Form     []ui.Field
	Open     string // the dialog that is open
}

// OperatorCodeLine is one code.
type OperatorCodeLine struct {
	Code, Title, Off, Redeemed, Valid, State string
	Tone                                     ui.Tone
	MayEnd                                   bool
}

// RevenueView is what the installation earns.
type RevenueView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Stats   []ui.Stat
	Months  ui.Select
	ByMonth [][]string
	ByPlan  [][]string
	CSV     string
	Code    []ui.Code
}
