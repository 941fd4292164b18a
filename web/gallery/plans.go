// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func servicePlansPage(p ui.Page) templ.Component {
	v := web.ServicePlansView{Service: serviceView(p), Refresh: "/services/inventory-sync/plans", Pager: ui.Pager{Shown: "3 plans"}, Plans: []web.ServicePlanLine{
		{ID: "pln_3", Href: "/plans/pln_3", Title: "Backfill", Sub: "products in storefront, changed since 1 November 2026 00:00 UTC", State: "running", By: "Ada Lindqvist", At: ago(20 * time.Second), Expires: now.Add(24 * time.Hour)},
		{ID: "pln_2", Href: "/plans/pln_2", Title: "New document", Sub: "against revision 11", State: "ready", By: "Ada Lindqvist", At: ago(2 * time.Hour), Expires: now.Add(22 * time.Hour)},
		{ID: "pln_1", Href: "/plans/pln_1", Title: "First sync", State: "failed", Error: "The storefront does not answer.", By: "Grace Hopper", At: ago(5 * time.Hour), Expires: now.Add(19 * time.Hour)},
	}}
	v.Service.Tab = "plans"
	return web.ServicePlansPage(v)
}

func servicePlansNone(p ui.Page) templ.Component {
	return web.ServicePlansPage(web.ServicePlansView{Service: serviceView(p), Refresh: "/services/inventory-sync/plans", Pager: ui.Pager{Shown: "0 plans"}})
}

func planFrame(p ui.Page) ui.Page {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title, p.Crumbs = "Plan of inventory-sync", crumbs("Services", "/services", "inventory-sync", "/services/inventory-sync", "Plans", "/services/inventory-sync/plans", "Plan")
	return p
}

func servicePlanPage(p ui.Page) templ.Component {
	seat := func(system, typ, object string, s engine.ForeseenSeat, cost string) web.PlanSeat {
		s.Read = true
		return web.PlanSeat{ForeseenSeat: s, System: web.SystemRef{ID: system, Type: typ}, Object: object, Read: true, Detection: "binlog", Cost: dollars(cost)}
	}
	return web.ServicePlanPage(web.ServicePlanView{
		Page: planFrame(p), Path: "/plans/pln_2", Part: "/plans/pln_2/parts/now", ID: "pln_2", Name: "inventory-sync", Home: "/services/inventory-sync", Title: "New document of inventory-sync", State: "ready", Hash: "5f2c9e",
		MayRead: true, MayPlan: true, MayApply: true, Later: true, Snippets: snippets(),
		Stats: []ui.Stat{
			{Label: "Created", Icon: "plus", Value: "2,160", Note: "240 records are there already"}, {Label: "Updated", Icon: "pencil", Value: "38", Note: "0 known and unchanged"}, {Label: "Deleted", Icon: "minus", Value: "1", Tone: ui.Bad},
			{Label: "Conflicts", Icon: "split", Value: "2", Tone: ui.Split, Note: "1 for a person"}, {Label: "Duplicates", Icon: "layers", Value: "1", Tone: ui.Warn, Note: "0 could be several"}, {Label: "Set aside", Icon: "shield-alert", Value: "3", Tone: ui.Warn, Note: "2 in quarantine, 1 held"},
		},
		Warnings: []ui.Alert{{Tone: ui.Warn, Text: "The warehouse is a table of 2,400 rows without an index on updated_at; it is seen by its log instead."}},
		Seats: []web.PlanSeat{
			seat("warehouse", "postgresql", "stock_levels", engine.ForeseenSeat{Records: 2400, Updates: 38, Deletes: 1, Invalid: 2, Held: 1}, "0.20"),
			seat("storefront", "mysql", "products", engine.ForeseenSeat{Records: 240, Creates: 2160, Matched: 240, Conflicts: 2, Open: 1, Duplicates: 1, Waiting: 4}, "10.80"),
		},
		Cost: &web.CostPart{Title: "More this month", Total: ui.Money{Amount: "111.00", Currency: "USD", Estimate: true}, Lines: []web.CostLine{
			{Title: "Sync operations", More: "+2,199 operations", Amount: dollars("11.00"), Steps: []string{"Tier 1, 1 to 100,000: 2,199 operations at $0.005 each = $10.995", "$10.995 rounded to whole cents, half to even = $11.00"}},
			{Title: "Integrations", More: "+1 integration", Amount: dollars("100.00"), Steps: []string{"Above the included: 1 integration at $100.00 each = $100.00"}},
		}},
		Samples: []web.PlanSamples{
			{Title: "Deleted", Text: "These records would go.", Tone: ui.Bad, Lines: []web.PlanSample{{System: web.SystemRef{ID: "warehouse", Type: "postgresql"}, Object: "stock_levels", Key: "SKU-10482", Title: "Trail Runner 2, blue, 42"}}},
			{Title: "Updated", Text: "Values that would be written over.", Tone: ui.Info, Lines: []web.PlanSample{{System: web.SystemRef{ID: "storefront", Type: "mysql"}, Object: "products", Key: "SKU-10483", Title: "Trail Gaiters", Diff: ui.Diff{Bare: true, Fields: []ui.FieldDiff{{Field: "quantity", Before: ui.Value{Text: "2"}, After: ui.Value{Text: "100"}}}}}}},
			{Title: "Quarantine", Text: "These cannot be taken in, or not put into the other system's form.", Tone: ui.Warn, Lines: []web.PlanSample{{System: web.SystemRef{ID: "warehouse", Type: "postgresql"}, Object: "stock_levels", Title: "SKU-9", Why: "quantity is -1, which is less than 0."}}},
		},
		Facts: []ui.KeyValue{{Key: "About", Text: "a document in place of revision 11"}, {Key: "Asked for", Body: ui.Fragments{ui.Time{At: ago(2 * time.Hour)}}, Hint: "by Ada Lindqvist"}, {Key: "Holds until", Body: ui.Fragments{ui.Time{At: now.Add(22 * time.Hour)}}}},
	})
}

func servicePlanOpen(p ui.Page) templ.Component {
	return web.ServicePlanPage(web.ServicePlanView{
		Page: planFrame(p), Path: "/plans/pln_3", Part: "/plans/pln_3/parts/now", ID: "pln_3", Name: "inventory-sync", Home: "/services/inventory-sync", Title: "Backfill of inventory-sync", State: "running", Open: true, Bulk: true, MayRead: true, MayPlan: true, MayCancel: true,
		Progress: &ui.Progress{ID: "plan-progress", Title: "Finding out what would happen", State: "running", Unit: "records", Note: "Nothing is written anywhere", Done: 1200, Total: 2400, Phases: []ui.Phase{{Name: "Open the systems", State: "done"}, {Name: "Read and match storefront", State: "now"}, {Name: "Compare", State: "next"}}},
		Facts:    []ui.KeyValue{{Key: "About", Text: "products in storefront"}},
	})
}

func servicePlanMoved(p ui.Page) templ.Component {
	return web.ServicePlanPage(web.ServicePlanView{
		Page: planFrame(p), Path: "/plans/pln_2", ID: "pln_2", Name: "inventory-sync", Home: "/services/inventory-sync", Title: "New document of inventory-sync", State: "ready", MayPlan: true, Moved: true,
		Refusal: &ui.Alert{Tone: ui.Warn, Title: "The world moved on since this plan was made", Text: "The warehouse has 412 changes since, more than the 24 that this plan tolerates.", Code: "plan.moved", Role: "alert", Actions: ui.Fragments{ui.Act{Action: "/plans/pln_2:again", Button: ui.Button{Label: "Make a new plan", Icon: "refresh-cw", Size: "sm", Kind: ui.Primary}}}},
		Facts:   []ui.KeyValue{{Key: "About", Text: "a document in place of revision 11"}},
	})
}

func backfillsPage(p ui.Page) templ.Component {
	v := web.BackfillsView{
		Service: serviceView(p), Path: "/services/inventory-sync/backfills", Refresh: "/services/inventory-sync/backfills", May: true, Pager: ui.Pager{Shown: "3 backfills"}, Wrong: "Choose records by one way only: keys, dates or an expression.",
		Source: ui.Select{Name: "source", Label: "From", Options: []ui.Option{{Label: "All systems"}, {Value: "storefront", Label: "storefront"}}}, Object: ui.Select{Name: "object", Label: "Object", Options: []ui.Option{{Label: "All objects"}}},
		By:   ui.Radios{Name: "by", Legend: "Which records", Value: "range", Options: []ui.Option{{Value: "all", Label: "All"}, {Value: "range", Label: "A range of keys"}, {Value: "records", Label: "Single records"}}},
		From: ui.Field{Name: "from", Label: "From key", Optional: true}, To: ui.Field{Name: "to", Label: "To key", Optional: true}, Records: ui.Area{Name: "records", Label: "Keys", Rows: 3}, Since: ui.Field{Name: "since", Label: "Changed since", Type: "datetime-local", Optional: true},
		Expression: ui.Field{Name: "expression", Label: "Where", Optional: true, Mono: true}, Targets: []ui.Check{{Name: "target", ID: "target-1", Value: "storefront", Label: "storefront"}, {Name: "target", ID: "target-2", Value: "marketplace", Label: "marketplace"}},
		Lines: []web.BackfillLine{
			{RunLine: web.RunLine{ID: "run_3", Href: "/runs/run_3", State: "running", Trigger: "Ada Lindqvist", Read: 1200, Started: ago(40 * time.Second)}, What: "all records", Priority: "behind what happens", Open: true, MayCancel: true,
				Progress: &ui.Progress{ID: "progress-run_3", Title: "all records", State: "running", Unit: "records", Done: 1200, Total: 2400}},
			{RunLine: web.RunLine{ID: "run_2", Href: "/runs/run_2", State: "cancelled", Trigger: "Ada Lindqvist", Read: 800, Updated: 12, Started: ago(2 * time.Hour), Took: 18 * time.Second}, What: "records of products in storefront, from SKU-1 to SKU-8", Priority: "before what happens", MayResume: true},
			{RunLine: web.RunLine{ID: "run_1", Href: "/runs/run_1", State: "succeeded", Trigger: "Grace Hopper", Read: 2400, Updated: 38, Created: 2, Equal: 2360, Started: ago(26 * time.Hour), Took: 61 * time.Second}, What: "all records", Priority: "behind what happens"},
		},
	}
	v.Service.Tab = "backfills"
	return web.BackfillsPage(v)
}

func backfillsNone(p ui.Page) templ.Component {
	v := web.BackfillsView{Service: serviceView(p), Path: "/services/inventory-sync/backfills", Refresh: "/services/inventory-sync/backfills", Pager: ui.Pager{Shown: "0 backfills"}}
	v.Service.Tab = "backfills"
	return web.BackfillsPage(v)
}

func duplicatesFrame(p ui.Page, title string) (ui.Page, ui.Tabs) {
	p.Nav = ui.Nav("/conflicts", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title, p.Crumbs = title, crumbs("Conflicts", "/conflicts", title)
	return p, ui.Tabs{Label: "Conflicts", Items: []ui.Tab{{Label: "Waiting", Href: "/conflicts", Count: 38, Tone: ui.Split}, {Label: "Decided", Href: "/conflicts?state=resolved"}, {Label: "Duplicates", Href: "/conflicts/duplicates", Current: true}, {Label: "Approvals", Href: "/conflicts/approvals"}, {Label: "Statistics", Href: "/conflicts/statistics"}}}
}

func duplicatesPage(p ui.Page) templ.Component {
	v := web.DuplicatesView{May: true, Open: true, Pager: ui.Pager{Shown: "3 pairs"},
		State: ui.Facets{Label: "State", Items: []ui.Facet{{Label: "Waiting", Count: 3, Href: "/conflicts/duplicates", Current: true}, {Label: "Merged", Count: 12, Href: "/conflicts/duplicates?state=merged"}, {Label: "Dismissed", Count: 1, Href: "/conflicts/duplicates?state=dismissed"}}},
		Lines: []web.DuplicateLine{
			{ID: "dup_1", Href: "/conflicts/duplicates/dup_1", Title: "Anna Lindqvist", Other: "A. Lindqvist", Service: "customers", Alike: "91 %", Why: "name 84 %, e-mail equal", State: "open", At: ago(2 * time.Minute)},
			{ID: "dup_2", Href: "/conflicts/duplicates/dup_2", Title: "Northwind Traders of the Lower Hudson Valley", Other: "Northwind Traders", Service: "customers", Alike: "97 %", Why: "name 92 %, phone equal, city equal", Auto: true, State: "open", At: ago(time.Minute)},
			{ID: "dup_3", Href: "/conflicts/duplicates/dup_3", Title: "Grace Hopper", Other: "Grace M. Hopper", Service: "customers", Alike: "88 %", Why: "name 88 %", State: "later", By: "Ada Lindqvist", At: ago(26 * time.Hour)},
		}}
	v.Page, v.Tabs = duplicatesFrame(p, "Duplicates")
	return web.DuplicatesPage(v)
}

func duplicatesNone(p ui.Page) templ.Component {
	v := web.DuplicatesView{Open: true, Pager: ui.Pager{Shown: "0 pairs"}, State: ui.Facets{Label: "State", Items: []ui.Facet{{Label: "Waiting", Href: "/conflicts/duplicates", Current: true}}}}
	v.Page, v.Tabs = duplicatesFrame(p, "Duplicates")
	return web.DuplicatesPage(v)
}

func duplicateView(p ui.Page) web.DuplicateView {
	v := web.DuplicateView{Path: "/conflicts/duplicates/dup_1", May: true, Waits: true, Next: "/conflicts/duplicates/dup_2", Losers: "deleted there",
		Line:  web.DuplicateLine{ID: "dup_1", Title: "Anna Lindqvist", Other: "A. Lindqvist", Service: "customers", Alike: "91 %", Why: "name 84 %, e-mail equal", State: "open"},
		Sides: [2]web.DuplicateSide{{ID: "ent_1", Href: "/records/ent_1", Systems: "crm 1, shop 77", There: true, Stays: true}, {ID: "ent_2", Href: "/records/ent_2", Systems: "crm 4", There: true}},
		Fields: []web.DuplicateField{
			{Name: "name", Values: [2]string{"Anna Lindqvist", "A. Lindqvist"}, Alike: "84 %"}, {Name: "email", Values: [2]string{"anna@example.com", "anna@example.com"}, Same: true, Alike: "100 %"}, {Name: "phone", Values: [2]string{"", "+46 8 123 456"}, From: 1},
		}}
	v.Page, v.Tabs = duplicatesFrame(p, "Anna Lindqvist")
	return v
}

func duplicatePage(p ui.Page) templ.Component { return web.DuplicatePage(duplicateView(p)) }

func duplicateMerged(p ui.Page) templ.Component {
	v := duplicateView(p)
	v.Waits, v.Merged, v.Line.State, v.Line.By, v.Sides[1].There = false, true, "merged", "Ada Lindqvist", false
	return web.DuplicatePage(v)
}
