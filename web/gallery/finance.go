// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func dollars(a string) ui.Money { return ui.Money{Amount: a, Currency: "USD"} }

func financeFrame(p ui.Page, title string) ui.Page {
	p.Nav = ui.Nav("/finance", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title = title
	return p
}

func financePage(p ui.Page) templ.Component {
	p = financeFrame(p, "Finance")
	p.Crumbs = crumbs("Finance")
	return web.FinancePage(web.FinanceView{
		Page: p, MayEdit: true, Refresh: "/finance",
		Stats: []ui.Stat{
			{Label: "To review", Icon: "receipt", Value: "3", Note: "$6,204.10"}, {Label: "Open", Icon: "circle-dot", Value: "1", Note: "$1,702.44 due"}, {Label: "Credit notes to issue", Icon: "users", Value: "2", Note: "each by a second person"},
		},
		Drafts: []web.ReviewLine{
			{ID: "inv_9", Value: "inv_9:4", Name: "October 2026", Href: "/invoices/inv_10", Period: "1 Oct to 31 Oct 2026", Total: dollars("4102.11"), Flags: []string{"$4,102.11 is $2,410.01 above the mean of the 3 invoices before it ($1,692.10)."}},
			{ID: "inv_8", Value: "inv_8:2", Name: "September 2026", Href: "/invoices/inv_10", Period: "1 Sep to 30 Sep 2026", Total: dollars("1688.10")},
			{ID: "inv_7", Value: "inv_7:7", Name: "August 2026", Href: "/invoices/inv_10", Period: "1 Aug to 31 Aug 2026", Total: dollars("413.89"), Approved: "Grace Hopper"},
		},
		Issued: []web.InvoiceLine{{ID: "inv_6", Number: "INV-000012, July 2026", Href: "/invoices/inv_10", Period: "1 Jul to 31 Jul 2026", State: "open", Total: dollars("1702.44"), Payment: "The last payment failed: Your card was declined. Tried again 9 Aug 2026, 09:00 CEST"}},
		Credits: []web.CreditLine{
			{ID: "crn_1", Name: "Draft credit note", State: "draft", Reason: "Outage on the third", By: "Grace Hopper", Amount: dollars("120.00"), Invoice: "INV-000012", Href: "/invoices/inv_10", MayAct: true},
			{ID: "crn_2", Name: "Draft credit note", State: "draft", Reason: "Counted twice by the customer's import", By: "Ada Lindqvist", Amount: dollars("38.50"), Invoice: "INV-000012", Href: "/invoices/inv_10", MayAct: true, Own: true},
		},
	})
}

func financeEmpty(p ui.Page) templ.Component {
	p = financeFrame(p, "Finance, nothing to do")
	p.Crumbs = crumbs("Finance")
	return web.FinancePage(web.FinanceView{
		Page: p, Refresh: "/finance-empty",
		Stats: []ui.Stat{{Label: "To review", Icon: "receipt", Value: "0", Note: "$0.00"}, {Label: "Open", Icon: "circle-dot", Value: "0", Note: "$0.00 due"}, {Label: "Credit notes to issue", Icon: "users", Value: "0", Note: "each by a second person"}},
	})
}

func previewPage(p ui.Page) templ.Component {
	p = financeFrame(p, "Approve and issue")
	p.Crumbs = crumbs("Finance", "/finance", "Approve and issue")
	return web.PreviewPage(web.PreviewView{
		Page: p, Count: 1, Total: dollars("1688.10"),
		Lines: []web.PreviewLine{
			{Value: "inv_8:2", Name: "September 2026", Href: "/invoices/inv_10", Total: dollars("1688.10")},
			{Name: "October 2026", Href: "/invoices/inv_10", Total: dollars("4102.11"), Why: "You adjusted this invoice, so somebody else must approve it: an owner, or a member with the role finance."},
		},
	})
}

func openInvoicePage(p ui.Page) templ.Component {
	p = financeFrame(p, "Invoice INV-000012")
	p.Crumbs = crumbs("Usage & invoices", "/usage", "July 2026")
	return web.InvoicePage(web.InvoiceView{
		Page: p, ID: "inv_10", Number: "July 2026", Path: "/invoices/inv_10", State: "open", Period: "1 to 31 July 2026", Customer: "Harbour Outdoor", Code: snippets(), Total: dollars("1702.44"),
		Lines: []web.InvoiceItem{
			{ID: "line-a", Title: "Sync operations", Quantity: "509,146", Unit: "operations", Amount: dollars("1727.44"), Href: "/invoices/inv_10?line=a#operations", Tiers: []web.TierLine{{Range: "1 to 100,000", Quantity: "100,000 × $0.005", Amount: "$500.00"}, {Range: "100,001 to 1,000,000", Quantity: "409,146 × $0.003", Amount: "$1,227.44"}}},
			{ID: "line-b", Title: "Goodwill credit", Text: "Outage on the third (Grace Hopper)", Unit: "adjustment", Amount: dollars("-25.00")},
		},
		Facts: []ui.KeyValue{{Key: "For", Text: "Harbour Outdoor"}, {Key: "Number", Text: "INV-000012"}},
		Review: &web.ReviewView{
			Path: "/invoices/inv_10", Version: "7", MayEdit: true, Closed: true, Approved: true, ApprovedBy: "Ada Lindqvist", ApprovedAt: ago(48 * time.Hour), CanGiveUp: true, CanPay: true, CreditLeft: "$1,582.44", Replace: "July 2026",
			Adjustments: []web.AdjustmentLine{{ID: "adj_1", Title: "Goodwill credit", Reason: "Outage on the third", By: "Grace Hopper", At: ago(72 * time.Hour), Amount: dollars("-25.00")}},
			Credits: []web.CreditLine{
				{ID: "crn_1", Name: "CN-000003", State: "issued", Reason: "Outage on the fifth", By: "Grace Hopper", Decided: "Ada Lindqvist", Amount: dollars("120.00"), Invoice: "INV-000012", Href: "/invoices/inv_10"},
				{ID: "crn_2", Name: "Draft credit note", State: "draft", Reason: "Counted twice", By: "Grace Hopper", Amount: dollars("38.50"), Invoice: "INV-000012", Href: "/invoices/inv_10", MayAct: true},
			},
			Collection: &web.CollectionView{Tone: ui.Warn, Title: "The last payment failed", Text: "Your card was declined.", URL: "/invoices/inv_10", Facts: []ui.KeyValue{{Key: "Sent", Text: "3 August 2026, 09:00"}, {Key: "Payments tried", Text: "2"}, {Key: "Next payment", Text: "9 August 2026, 09:00"}, {Key: "Paid back", Text: "$10.00"}}},
		},
	})
}
