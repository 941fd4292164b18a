// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func costPage(p ui.Page) templ.Component {
	p.Crumbs = crumbs("Usage & invoices", "/usage", "Cost")
	return web.CostPage(web.CostView{
		Page: p, Period: "November 2026", MayEdit: true, Invoice: "/invoices/inv_11",
		Tabs: ui.Tabs{Label: "Usage", Items: []ui.Tab{{Label: "Usage and invoices", Href: "/usage"}, {Label: "Cost and budgets", Href: "/usage/cost", Current: true}}},
		Stats: []ui.Stat{
			{Label: "Month to date", Icon: "receipt", Value: "$1,436.19", Note: "a draft until the month is closed"},
			{Label: "Forecast", Icon: "refresh-cw", Value: "$1,842.00", Note: "$1,705.10 to $1,979.40, from 22 full days"},
			{Label: "Month before, at this point", Icon: "receipt", Value: "$1,102.40", Note: "30% more now"},
		},
		Tiers: [][]string{{"Sync operations", "412,064", "$0.003", "587,936 more until $0.001"}, {"Realtime surcharge", "380,020", "$0.002", "the last one"}},
		Changes: [][]string{
			{"inventory-sync", "storefront, products", "180,204", "301,877", "+121,673"},
			{"customers", "crm, Contact", "90,400", "71,020", "-19,380"},
		},
		Places: [][]string{{"inventory-sync", "storefront, products", "301,877", "301,877", "0"}, {"customers", "crm, Contact", "71,020", "40,000", "12"}},
		Budgets: []web.BudgetLine{
			{ID: "bud_1", Name: "Everything", Bar: ui.Budget{Label: "Everything", Used: 1436.19, Limit: 2000, Text: "$1,436.19 of $2,000.00", Note: "50 percent was told"}},
			{ID: "bud_2", Name: "Hard limit", Bar: ui.Budget{Label: "Hard limit", Used: 1436.19, Limit: 1400, Text: "$1,436.19 of $1,400.00", Note: "100 percent was told; services are paused at the whole amount"}},
		},
		Name:      ui.Field{Name: "name", Label: "Name", Required: true, Autocomplete: "off"},
		Amount:    ui.Field{Name: "amount", Label: "A month", Required: true, After: "USD", Autocomplete: "off"},
		Pause:     ui.Check{Name: "pause", Label: "Pause services at the whole amount", Hint: "What they owe waits until somebody resumes them."},
		Simulate:  ui.Select{Name: "plan", Label: "Plan", Value: "b", Options: []ui.Option{{Value: "a", Label: "Per sync"}, {Value: "b", Label: "Platform Professional"}}},
		Simulated: [][]string{{"November 2026", "$1,436.19", "$2,000.00", "$563.81"}, {"October 2026", "$1,540.02", "$2,000.00", "$459.98"}},
		Exports:   []ui.Button{{Label: "CSV", Icon: "download", Size: "sm", Href: "#"}, {Label: "JSONL", Icon: "download", Size: "sm", Href: "#"}, {Label: "FOCUS", Icon: "download", Size: "sm", Href: "#"}},
		Code:      []ui.Code{{Title: "curl", Lang: "shell", Text: "curl -H \"Authorization: Bearer $SYNCLINE_API_KEY\" 'https://sync.example.com/v1/usage/cost'"}},
	})
}

func planPage(p ui.Page) templ.Component {
	p.Crumbs = crumbs("Settings", "/settings", "Plan")
	begins := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	return web.PlanPage(web.PlanView{
		SettingsView: web.SettingsView{Page: p, MayEdit: true, Tabs: ui.Tabs{Label: "Settings", Items: []ui.Tab{{Label: "Members", Href: "/settings"}, {Label: "Plan", Href: "/settings/plan", Current: true}}}},
		Title:        "Platform Starter", Text: "A first few systems.", Scheduled: "Platform Professional", From: begins,
		Prices:  [][]string{{"Platform Starter", "$500.00 a month"}, {"Integrations", "$100.00 each a month, above 3"}, {"Sync operations", "$0.003 each, above 500,000"}},
		Lacking: []string{"inventory-sync runs in real time: Real-time sync"},
		Facts:   []ui.KeyValue{{Key: "Since", Text: "2 October 2026"}, {Key: "Version", Text: "platform-starter, version 1"}, {Key: "Connected systems", Text: "any number"}, {Key: "Records", Text: "50,000"}, {Key: "Workers", Text: "shared"}},
		Plan:    ui.Radios{Name: "plan", Legend: "Plan", Value: "b", Options: []ui.Option{{Value: "a", Label: "Platform Starter", Hint: "A first few systems."}, {Value: "b", Label: "Platform Professional", Hint: "A company's systems."}}},
		AddOns:  []ui.Check{{Name: "addOn", ID: "addon-1", Value: "1", Label: "Real-time sync", Hint: "50% of the base price", Checked: true}, {Name: "addOn", ID: "addon-2", Value: "2", Label: "White-label", Hint: "$5,000.00 a month"}},
		When:    ui.Radios{Name: "when", Legend: "From", Value: "now", Options: []ui.Option{{Value: "now", Label: "Now", Hint: "The month is divided: each part by its own plan."}, {Value: "next-period", Label: "The next period", Hint: "On 1 December 2026."}}},
		Preview: &web.PlanPreview{
			Title: "Platform Professional", Total: ui.Money{Amount: "1250", Currency: "USD"}, Hidden: map[string][]string{"plan": {"b"}},
			Facts: []ui.KeyValue{{Key: "Begins", Text: "now"}, {Key: "This month, without it", Text: "$500.00"}, {Key: "A whole month", Text: "$2,000.00", Hint: "with the usage so far"}},
			Lines: []web.PricingLine{
				{ID: "line-base", Title: "Platform Starter, Platform Starter", Amount: ui.Money{Amount: "250", Currency: "USD"}, Steps: []string{"$500.00 a month", "Only for 15 days of 30 days = $250.00"}},
				{ID: "line-base-2", Title: "Platform Professional, Platform Professional", Amount: ui.Money{Amount: "1000", Currency: "USD"}, Steps: []string{"$2,000.00 a month", "Only for 15 days of 30 days = $1,000.00"}},
			},
		},
	})
}
