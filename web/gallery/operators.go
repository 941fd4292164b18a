// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func operatorFrame(p ui.Page, title string) ui.Page {
	p.Nav = ui.Nav("/operator", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title, p.Crumbs = title, crumbs("Operators", "/operator", title)
	return p
}

func operatorTabs(current string) ui.Tabs {
	t := ui.Tabs{Label: "Operators"}
	for _, i := range []ui.Tab{{Label: "Tenants", Href: "/operator"}, {Label: "Plans", Href: "/operator/plans"}, {Label: "Coupon codes", Href: "/operator/coupons"}, {Label: "Revenue", Href: "/operator/revenue"}} {
		i.Current = i.Label == current
		t.Items = append(t.Items, i)
	}
	return t
}

func operatorTenantsPage(p ui.Page) templ.Component {
	return web.OperatorTenantsPage(web.OperatorTenantsView{
		Page: operatorFrame(p, "Tenants"), Tabs: operatorTabs("Tenants"), Search: ui.Field{Name: "search", Label: "Name", Type: "search", Autocomplete: "off"}, Next: "/operator?cursor=c",
		Tenants: []web.OperatorTenantLine{
			{ID: "ten_1", Name: "Harbour Outdoor", Href: "/operator/tenants/ten_1", Sub: "since 2 October 2026", Plan: "Platform Professional", PlanNote: "with Real-time sync, White-label", Credit: "$250.00", Open: "$1,702.44"},
			{ID: "ten_2", Name: "Northwind Traders of the Lower Hudson Valley", Href: "/operator/tenants/ten_2", Sub: "since 9 October 2026, suspended", Plan: "Per sync", PlanNote: "nothing was agreed", Credit: "$0.00", Open: "$0.00"},
			{ID: "ten_3", Name: "Example Ltd", Href: "/operator/tenants/ten_3", Sub: "since 11 November 2026", Plan: "Example Ltd", PlanNote: "from 1 December 2026 on: Platform Enterprise", Credit: "$0.00", Open: "$12,340.00"},
		},
	})
}

func operatorTenantsNone(p ui.Page) templ.Component {
	return web.OperatorTenantsPage(web.OperatorTenantsView{Page: operatorFrame(p, "Tenants"), Tabs: operatorTabs("Tenants"), Search: ui.Field{Name: "search", Label: "Name", Type: "search", Value: "harbor", Autocomplete: "off"}})
}

func operatorTenantPage(p ui.Page) templ.Component {
	return web.OperatorTenantPage(web.OperatorTenantView{
		Page: operatorFrame(p, "Harbour Outdoor"), Tabs: operatorTabs("Tenants"), Path: "/operator/tenants/ten_1", Title: "Harbour Outdoor", Reason: ui.Field{Name: "reason", Label: "Reason"},
		Problems: []ui.ErrorItem{{Field: "plan-reason", Text: "Say why, in 3 to 1,000 characters: the audit log of the tenant keeps it."}},
		Facts:    []ui.KeyValue{{Key: "Plan", Text: "Platform Starter, version 1"}, {Key: "Since", Text: "2 October 2026"}, {Key: "Features", Text: "Real-time sync"}, {Key: "To be paid", Text: "$1,702.44"}, {Key: "Tenant", Body: ui.Fragments{ui.ID{Value: "ten_01JDCQ8W3Z7M4T2N6K", Short: true, Label: "tenant id"}}}},
		Plan:     ui.Select{Name: "plan", Label: "Plan", Value: "b", Options: []ui.Option{{Value: "a", Label: "Platform Starter"}, {Value: "b", Label: "Platform Professional"}}},
		When:     ui.Radios{Name: "when", Legend: "From", Value: "now", Options: []ui.Option{{Value: "now", Label: "Now"}, {Value: "next-period", Label: "The next period"}}},
		AddOns:   []ui.Check{{Name: "addOn", ID: "addon-1", Value: "1", Label: "Real-time sync", Hint: "50% of the base price", Checked: true}, {Name: "addOn", ID: "addon-2", Value: "2", Label: "White-label", Hint: "$5,000.00 a month"}},
		Preview: &web.PlanPreview{
			Title: "Platform Professional", Total: dollars("1250"), Hidden: map[string][]string{"plan": {"b"}},
			Facts: []ui.KeyValue{{Key: "Begins", Text: "now"}, {Key: "This month, without it", Text: "$500.00"}, {Key: "A whole month", Text: "$2,000.00", Hint: "with the usage so far"}},
			Lines: []web.PricingLine{
				{ID: "line-base", Title: "Platform Starter", Amount: dollars("250"), Steps: []string{"$500.00 a month", "Only for 15 days of 30 days = $250.00"}},
				{ID: "line-base-2", Title: "Platform Professional", Amount: dollars("1000"), Steps: []string{"$2,000.00 a month", "Only for 15 days of 30 days = $1,000.00"}},
			},
		},
		Credits: []web.OperatorGrant{{ID: "crd_1", Title: "$250.00 left of $300.00", Sub: "The outage of 3 November, by Olga Berg, expires 31 January 2027", Amount: "$250.00", Act: ":withdraw"}, {ID: "crd_2", Title: "Used up", Sub: "A slip in October, by Olga Berg", Amount: "$0.00"}},
		Coupons: []web.OperatorGrant{{ID: "launch", Title: "Launch offer", Sub: "by the code LAUNCH-2027, two more months", Amount: "20%", Act: ":end-coupon"}},
	})
}

func operatorPlansPage(p ui.Page) templ.Component {
	from := func(year int) ui.Time { return ui.Time{At: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), Date: true} }
	starter := "Platform Starter: $500.00 a month; Integrations: $100.00 each a month, above 3; Sync operations: $0.003 each, above 500,000"
	return web.OperatorPlansPage(web.OperatorPlansView{
		Page: operatorFrame(p, "Plans"), Tabs: operatorTabs("Plans"),
		Plans: []web.OperatorPlanLine{
			{Title: "Platform Starter", Sub: "platform-starter", Version: "3", State: "to come", Tone: ui.Info, From: from(2027), Prices: starter, Href: "/operator/plans/new?of=platform-starter"},
			{Title: "Platform Starter", Sub: "platform-starter", Version: "2", State: "offered", Tone: ui.OK, From: from(2026), Prices: starter},
			{Title: "Platform Starter", Sub: "platform-starter", Version: "1", State: "past", From: from(2024), Prices: starter},
			{Title: "Per sync", Sub: "per-sync", Version: "1", State: "offered", Tone: ui.OK, From: from(2024), Prices: "Sync operations: $0.005 to $0.0005 each; Realtime surcharge: $0.002 each", Href: "/operator/plans/new?of=per-sync"},
		},
		Log: [][]string{{"22 November 2026, 09:14", "Olga Berg", "plan.published", "platform-starter 3", "The price list of 2027"}, {"21 November 2026, 16:40", "root", "operator.granted", "olga@example.com", ""}},
	})
}

func operatorPlanPage(p ui.Page) templ.Component {
	return web.OperatorPlanPage(web.OperatorPlanView{
		Page: operatorFrame(p, "A version of platform-team"), Tabs: operatorTabs("Plans"), Title: "A version of platform-team",
		Problems: []ui.ErrorItem{{Field: "reason", Text: "Say why, in 3 to 1,000 characters."}},
		Document: ui.Area{Name: "document", Label: "Plan, in JSON", Rows: 24, Mono: true, Value: "{\n  \"model\": \"platform\",\n  \"tier\": \"team\",\n  \"text\": \"For a team.\"\n}"},
		From:     ui.Field{Name: "from", Label: "From", Type: "date", Optional: true, Hint: "Now, when nothing is written"},
		Reason:   ui.Field{Name: "reason", Label: "Reason", Hint: "Kept in the installation's log; needed to publish", Autocomplete: "off", Error: "Say why, in 3 to 1,000 characters."},
		Syncs:    ui.Field{Name: "syncs", Label: "Syncs", Value: "1,000,000"}, Records: ui.Field{Name: "contacts", Label: "Contacts", Value: "10,000"}, Systems: ui.Field{Name: "systems", Label: "Systems", Value: "3"},
		Facts: []ui.KeyValue{{Key: "A month", Text: "$900.00"}, {Key: "Under the present version", Text: "$800.00"}},
		Lines: []web.PricingLine{{ID: "line-base", Title: "Platform Team", Amount: dollars("900"), Steps: []string{"$900.00 a month"}}, {ID: "line-ops", Title: "Sync operations", Amount: dollars("0"), Steps: []string{"All: 1,000,000 operations of 1,000,000 included"}}},
	})
}

func operatorCodesPage(p ui.Page) templ.Component {
	form := []ui.Field{
		{Name: "code", Label: "Code", Hint: "4 to 40 letters, digits and hyphens", Required: true}, {Name: "title", Label: "Title", Hint: "Stands on the invoices", Required: true},
		{Name: "percent", Label: "Percent off", Optional: true, After: "%", Error: "A code takes off either a percentage or an amount."}, {Name: "validUntil", Label: "Until", Type: "date", Optional: true}, {Name: "reason", Label: "Reason", Required: true},
	}
	return web.OperatorCodesPage(web.OperatorCodesView{
		Page: operatorFrame(p, "Coupon codes"), Tabs: operatorTabs("Coupon codes"), Form: form, Problems: []ui.ErrorItem{{Field: "percent", Text: "A code takes off either a percentage or an amount."}},
		Codes: []web.OperatorCodeLine{
			{Code: "LAUNCH-2027", Title: "Launch offer", Off: "20% for 3 months", Redeemed: "14 of 100", Valid: "1 January to 30 June 2027", State: "valid", Tone: ui.OK, MayEnd: true},
			{Code: "THANKS-FOR-ANSWERING-OUR-QUESTIONS", Title: "For those who took part in the survey of autumn", Off: "$50.00 once", Redeemed: "2", Valid: "from 1 October 2026", State: "ended"},
		},
	})
}

func operatorCodesNone(p ui.Page) templ.Component {
	return web.OperatorCodesPage(web.OperatorCodesView{Page: operatorFrame(p, "Coupon codes"), Tabs: operatorTabs("Coupon codes"), Form: []ui.Field{{Name: "code", Label: "Code", Required: true}}})
}

func revenuePage(p ui.Page) templ.Component {
	return web.RevenuePage(web.RevenueView{
		Page: operatorFrame(p, "Revenue"), Tabs: operatorTabs("Revenue"), CSV: "/operator/revenue.csv?months=12", Code: snippets(),
		Months: ui.Select{Name: "months", Label: "Months", Value: "12", Options: []ui.Option{{Value: "3", Label: "3"}, {Value: "12", Label: "12"}}},
		Stats: []ui.Stat{
			{Label: "Recurring, now", Icon: "refresh-cw", Value: "$14,900.00", Note: "12 agreements"}, {Label: "Invoiced this month", Icon: "receipt", Value: "$0.00", Note: "drafts of $9,204.10"},
			{Label: "Outstanding", Icon: "clock", Value: "$1,702.44", Note: "of all months shown"},
		},
		ByMonth: [][]string{
			{"November 2026", "12", "$14,900.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$250.00", "$9,204.10"},
			{"October 2026", "11", "$12,900.00", "$13,310.40", "$11,487.96", "$1,702.44", "$0.00", "$120.00", "$10.00", "$0.00", "$0.00"},
		},
		ByPlan: [][]string{
			{"November 2026", "platform-professional", "5", "$10,000.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$250.00", "$6,100.00"},
			{"November 2026", "per-sync", "7", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$0.00", "$3,104.10"},
		},
	})
}

func revenueNone(p ui.Page) templ.Component {
	return web.RevenuePage(web.RevenueView{
		Page: operatorFrame(p, "Revenue"), Tabs: operatorTabs("Revenue"), CSV: "/operator/revenue.csv?months=12", Months: ui.Select{Name: "months", Label: "Months", Value: "12", Options: []ui.Option{{Value: "12", Label: "12"}}},
		Stats: []ui.Stat{{Label: "Recurring, now", Icon: "refresh-cw", Value: "$0.00", Note: "no agreement"}},
	})
}
