// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func crumbs(items ...string) []ui.Crumb {
	var out []ui.Crumb
	for i := 0; i+1 < len(items); i += 2 {
		out = append(out, ui.Crumb{Label: items[i], Href: items[i+1]})
	}
	return append(out, ui.Crumb{Label: items[len(items)-1]})
}

func servicesPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	return web.ServicesPage(web.ServicesView{Page: p, Services: services(), MayCreate: true, Filter: servicesFilter("6 services"), Pager: ui.Pager{Shown: "6 services"}})
}

func servicesFilter(result string) ui.FilterBar {
	return ui.FilterBar{
		Action: "/services", Target: "#services", Search: "q", SearchLabel: "Search services", Result: result,
		Selects: []ui.Select{
			{Name: "state", Label: "State", Options: []ui.Option{{Value: "", Label: "Any state"}, {Value: "active", Label: "Active"}, {Value: "paused", Label: "Paused"}}},
			{Name: "connector", Label: "Connector", Options: []ui.Option{{Value: "", Label: "Any connector"}, {Value: "postgresql", Label: "PostgreSQL"}}},
		},
	}
}

func servicesEmpty(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/services", ui.NavCounts{})
	return web.ServicesPage(web.ServicesView{Page: p, MayCreate: false, Filter: servicesFilter("none"), Pager: ui.Pager{Shown: "0 services"}})
}

func serviceView(p ui.Page) web.ServiceView {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title = "inventory-sync"
	p.Crumbs = crumbs("Services", "/services", "inventory-sync")
	p.Actions = []ui.PaletteItem{{Label: "Run inventory-sync now", Icon: "play", Presses: `[data-key="r"]`}, {Label: "Edit document", Icon: "file-code", Href: "/services/inventory-sync/edit"}}
	return web.ServiceView{
		Proof: web.ProofBadge{Text: "100,417 of 100,421 equal", Tone: ui.Warn, Icon: "split", Href: "/services/inventory-sync/proof", AsOf: ago(4 * time.Minute)},
		Page:  p, ID: "svc_01JDCQ8W3Z7M4T2N6K", Name: "inventory-sync", Path: "/services/inventory-sync", State: "active", Direction: "multi-directional",
		Text: "Keeps stock and prices equal in the warehouse, the shop and the marketplace.", Schedule: "realtime, swept every 15 min", Revision: 12, By: "Ada Lindqvist",
		Counts: web.ServiceCounts{Conflicts: 1, DeadLetters: 2, Revisions: 12}, MayEdit: true, MayRun: true, MayRead: true, Snippets: snippets(),
		Stats: []ui.Stat{
			{Label: "On schedule", Icon: "circle-check", Tone: ui.OK, Value: "On time", Note: "last change 2 s ago"},
			{Label: "Lag, median", Icon: "gauge", Value: "380", Unit: "ms", Note: "95 of 100 within 900 ms", Spark: &ui.Sparkline{Values: wave(24, 0.4, 0.1, 1), Label: "Median lag, last hour, steady", Tone: ui.Info}},
			{Label: "Applied today", Icon: "refresh-cw", Value: "6,204", Note: "4.9/s now", Spark: &ui.Sparkline{Values: wave(24, 240, 190, 0.2), Label: "Changes per hour today"}},
			{Label: "Owed", Icon: "clock", Value: "131", Note: "128 to marketplace", Href: "/deliveries?service=inventory-sync"},
			{Label: "Cost this month", Icon: "receipt", Value: "$148.20", Note: "estimate $201 at this pace", Href: "/usage?service=inventory-sync"},
		},
		Topology: ui.Topology{ID: "topology", Hub: sampleHub(), Systems: sampleNodes()[:3]},
		Feed:     feedItems(),
		Runs: []web.RunLine{
			{ID: "run_06f3k8t2v0h7x1m9q4r5s6t7v9", Href: "/runs/run_01JDCV9", Kind: "Run", State: "running", Trigger: "Ada Lindqvist", Created: 12, Updated: 1190, Deleted: 2, Equal: 3051, Started: ago(40 * time.Second), Took: 40 * time.Second},
			{ID: "run_01JDCV5", Href: "/runs/run_01JDCV5", State: "succeeded", Kind: "Scheduled run", Trigger: "the schedule", Updated: 3, Equal: 12405, Started: ago(13 * time.Minute), Took: 3100 * time.Millisecond},
			{ID: "run_01JDCV1", Href: "/runs/run_01JDCV1", Kind: "Run", State: "partial", Trigger: "Ada Lindqvist", Updated: 410, Failed: 2, Started: ago(2 * time.Hour), Took: 18 * time.Second},
			{ID: "run_01JDCUX", Href: "/runs/run_01JDCUX", State: "succeeded", Kind: "First sync", Trigger: "Ada Lindqvist", Created: 12402, Equal: 0, Started: ago(3 * time.Hour), Took: 2900 * time.Millisecond},
		},
		Facts: []ui.KeyValue{
			{Key: "Detected by", Text: "trigger log, binlog, webhook", Hint: "as each system allows"},
			{Key: "Who wins", Text: "warehouse", Hint: "price: a person decides"},
			{Key: "Deletes", Text: "propagate", Hint: "above 50% they wait for a confirmation"},
			{Key: "Batch", Text: "500 records"},
			{Key: "Pool", Text: "eu-north, shared"},
			{Key: "Revision", Text: "12, by Ada Lindqvist", Hint: "3 d ago"},
		},
		Fields: web.FieldsView{Path: "/services/inventory-sync/parts/fields", Systems: []string{"warehouse", "storefront", "marketplace"}, Fields: []web.MappingLine{
			{Field: "sku", Systems: []string{"sku", "sku", "SKU"}},
			{Field: "quantity", Rule: "warehouse wins", Systems: []string{"quantity", "inventory_quantity", "availability.quantity"}},
			{Field: "price", Rule: "a person decides", Systems: []string{"unit_price", "price", "price.value"}},
			{Field: "location", Systems: []string{"warehouse_location", "", ""}},
			{Field: "reserved", Systems: []string{"reserved", "reserved_quantity", ""}},
		}},
		Systems: systemLines(), Activity: serviceActivity(),
	}
}

func servicePage(p ui.Page) templ.Component { return web.ServicePage(serviceView(p)) }

func serviceFirstSync(p ui.Page) templ.Component {
	v := serviceView(p)
	v.Progress = &ui.Progress{
		ID: "first-sync", Title: "First sync", State: "running", Done: 64210, Total: 100000, Unit: "records", PerSecond: 3120, Left: 11500 * time.Millisecond,
		Phases: []ui.Phase{{Name: "Read", State: "done"}, {Name: "Match", State: "done"}, {Name: "Write", State: "now"}, {Name: "Verify", State: "next"}},
		Note:   "Cancel keeps what is written", Actions: ui.Fragments{ui.Button{Label: "Cancel", Size: "sm"}},
	}
	return web.ServicePage(v)
}

func runPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Crumbs = crumbs("Services", "/services", "inventory-sync", "/services/inventory-sync", "Runs", "/services/inventory-sync/runs", "01JDCV9")
	v := web.RunView{
		Page: p, Path: "/runs/run_01JDCV9", Service: "svc_01JDCQ", Home: "/services/inventory-sync", MayRun: true, Open: true,
		Line: web.RunLine{ID: "run_01JDCV9", Service: "inventory-sync", Kind: "First sync", State: "running", Trigger: "Ada Lindqvist", Started: ago(20 * time.Second)},
		Progress: &ui.Progress{
			ID: "run-progress", Title: "First sync", State: "running", Done: 64210, Total: 100000, Unit: "records", PerSecond: 3120, Left: 11500 * time.Millisecond,
			Phases: []ui.Phase{{Name: "Read and match", State: "now"}, {Name: "Deliver, 1,204 owed", State: "now"}}, Note: "A cancel keeps what was written",
		},
		Stats:    []ui.Stat{{Label: "Read", Value: "64,210"}, {Label: "Applied", Value: "63,006"}, {Label: "Conflicts", Value: "1"}},
		Facts:    []ui.KeyValue{{Key: "Revision", Text: "4"}},
		Snippets: snippets(),
	}
	for _, s := range systemLines() {
		v.Systems = append(v.Systems, web.RunSystem{System: s.System, Work: s.Work})
	}
	return web.RunPage(v)
}

func servicePaused(p ui.Page) templ.Component {
	v := serviceView(p)
	v.State, v.MayEdit, v.MayRun = "paused", false, false
	v.Notices = []ui.Alert{
		{Tone: ui.Warn, Title: "Paused by Tomasz Nowak", Text: "Changes wait in the systems and are applied when it goes on. Reason given: stocktaking.", Since: ago(3 * time.Hour)},
		{Tone: ui.Bad, Title: "marketplace refuses writes", Text: "The token ended. Reconnect; nothing is lost.", Since: ago(40 * time.Minute), Code: "connection.expired", Actions: ui.Fragments{ui.Button{Label: "Reconnect", Size: "sm"}}},
	}
	nodes := sampleNodes()[:3]
	for i := range nodes {
		nodes[i].Paused = true
	}
	nodes[2].State = "expired"
	v.Topology.Systems = nodes
	v.Feed, v.Runs = nil, nil
	return web.ServicePage(v)
}

func editorPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title, p.Editor, p.Live = "Edit inventory-sync", true, ""
	p.Crumbs = crumbs("Services", "/services", "inventory-sync", "/services/inventory-sync", "Edit")
	return web.EditorPage(web.EditorView{
		Page: p, Name: "inventory-sync", Path: "/services/inventory-sync", Revision: 12, ETag: "12",
		Live: sampleYAML, Document: draftYAML,
		Changes: web.ChangesView{
			Lines: []web.ChangeLine{
				{Path: "systems[marketplace]", Kind: "added", After: `{"connection": "marketplace", "id": "marketplace", "objects": [{"name": "inventory_items"}], "type": "ebay"}`},
				{Path: "syncConfig.conflictResolution.fields.price.strategy", Kind: "changed", Before: "warehouse-wins", After: "manual"},
				{Path: "syncConfig.batchSize", Kind: "removed", Before: "200"},
			},
			Notices: []web.DocumentProblem{{Text: "marketplace is written only.", Remedy: "Nothing needs to be done."}},
		},
		Problems: []web.DocumentProblem{{Line: 2, Column: 12, Text: `"bothways" is not a direction.`, Remedy: "Write bi-directional, unidirectional or multi-directional.", Code: "service.value_unknown"}},
		Outline:  []web.OutlineItem{{Label: "service", Line: 1}, {Label: "systems", Line: 3}, {Label: "syncConfig", Line: 20}, {Label: "fieldMapping", Line: 26}},
	})
}

const draftYAML = `service: inventory-sync
direction: bothways
systems:
  - id: warehouse
    type: postgresql
    connection: warehouse
    objects: [stock_levels]
    primary: true
  - id: storefront
    type: mariadb
    connection:
      dsn: ${STOREFRONT_DSN}
    objects:
      - name: product
        mapping: products
  - id: marketplace
    type: ebay
    connection: marketplace
    objects: [inventory_items]
syncConfig:
  frequency: realtime
  batchSize: 500 # rows in one commit
  conflictResolution: warehouse-wins
  fields:
    price: manual
fieldMapping:
  sku: sku
  quantity: inventory_quantity
  price: unit_price
`

func conflictView() web.ConflictView {
	return web.ConflictView{
		ID: "con_01JDCV", Path: "/conflicts/con_01JDCV", Record: "Trail Runner 2, blue, 42", Href: "/records/ent_01JDCV", Service: "inventory-sync", Opened: ago(26 * time.Minute),
		Field: "price", Rule: "The field's strategy is manual: somebody decides.", May: true, Next: "/conflicts/con_01JDCW",
		Compare: ui.Compare{
			Base: ui.BaseSide{At: ago(3 * time.Hour)},
			Sides: []ui.Side{
				{System: "warehouse", Type: "postgresql", Key: "10482", At: ago(28 * time.Minute), By: "app_user"},
				{System: "storefront", Type: "mariadb", Key: "7731", At: ago(26 * time.Minute), By: "price-import", Note: "its clock is 4 s ahead"},
			},
			Fields: []ui.CompareField{
				{Name: "price", Base: ui.Value{Text: "89.00"}, Values: []ui.Value{{Text: "79.00"}, {Text: "84.50"}}, Picked: 0, Suggest: 0, Reason: "Suggested: warehouse is primary, and 9 of the last 10 prices were decided for it."},
				{Name: "quantity", Base: ui.Value{Text: "42"}, Values: []ui.Value{{Text: "40"}, {Text: "41"}}, Picked: ui.Edited, Edit: "39", Suggest: -1},
				{Name: "location", Base: ui.Value{Text: "Aisle 4, shelf B"}, Values: []ui.Value{{Text: "Aisle 7, shelf A"}, {Null: true}}, Picked: ui.Undecided, Suggest: 0, Reason: "Suggested: storefront does not usually fill this field."},
			},
			Agree: []ui.KeyValue{{Key: "sku", Text: "SKU-10482", Mono: true}, {Key: "name", Text: "Trail Runner 2"}, {Key: "colour", Text: "blue"}, {Key: "size", Text: "42"}},
		},
		Trail: []ui.Moment{
			{At: ago(12 * time.Minute), Icon: "message-square", Tone: ui.Idle, Title: "Tomasz Nowak", Cause: ui.Fragments{ui.Text("The autumn price list is final since Friday; 79.00 should be right.")}},
			{At: ago(26 * time.Minute), Icon: "split", Tone: ui.Split, Title: "Opened", Cause: ui.Fragments{ui.Text("storefront changed price 2 min after warehouse")}},
		},
	}
}

func conflictsView(p ui.Page) web.ConflictsView {
	p.Nav = ui.Nav("/conflicts", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title = "Conflicts"
	p.Crumbs = crumbs("Conflicts")
	items := []ui.InboxItem{
		{ID: "con1", Title: "Trail Runner 2, blue, 42", Href: "/conflicts/con_01JDCV", Sub: "price, quantity, location in inventory-sync", At: ago(26 * time.Minute), Current: true, State: "open"},
		{ID: "con2", Title: "Ingrid Solberg", Href: "/conflicts/2", Sub: "phone in crm-contact-sync", At: ago(50 * time.Minute), State: "open", Person: "Tomasz Nowak"},
		{ID: "con3", Title: "Marcus Adeyemi", Href: "/conflicts/3", Sub: "phone in crm-contact-sync", At: ago(2 * time.Hour), State: "open"},
		{ID: "con4", Title: "Priya Raman", Href: "/conflicts/4", Sub: "phone, company in crm-contact-sync", At: ago(3 * time.Hour), State: "open"},
		{ID: "con5", Title: "Lars Björklund", Href: "/conflicts/5", Sub: "phone in crm-contact-sync", At: ago(5 * time.Hour), State: "snoozed"},
		{ID: "con6", Title: "Wen Li", Href: "/conflicts/6", Sub: "email in crm-contact-sync", At: ago(8 * time.Hour), State: "open"},
		{ID: "con7", Title: "Ana Sousa", Href: "/conflicts/7", Sub: "phone in crm-contact-sync", At: ago(21 * time.Hour), State: "open"},
		{ID: "con8", Title: "Daniel Weiss", Href: "/conflicts/8", Sub: "phone in crm-contact-sync", At: ago(26 * time.Hour), State: "open"},
	}
	open := conflictView()
	return web.ConflictsView{
		Page: p, Items: items, Total: 38, Open: &open, Pager: ui.Pager{Shown: "1 to 8 of 38", Next: "/conflicts?cursor=x"},
		Part: "/conflicts/parts/list", Tabs: ui.Tabs{Label: "Conflicts", Items: []ui.Tab{{Label: "Waiting", Href: "/conflicts", Count: 38, Tone: ui.Split, Current: true}, {Label: "Decided", Href: "/conflicts?state=resolved"}}},
		Ages:   []ui.Facet{{Label: "under 1 h", Count: 2, Href: "/conflicts?age=hour"}, {Label: "under 24 h", Count: 35, Href: "/conflicts?age=day"}, {Label: "older", Count: 3, Href: "/conflicts?age=older"}},
		Fields: []ui.Facet{{Label: "phone", Count: 36, Href: "/conflicts?field=phone"}, {Label: "price", Count: 1, Href: "/conflicts?field=price"}, {Label: "email", Count: 1, Href: "/conflicts?field=email"}},
	}
}

func conflictsPage(p ui.Page) templ.Component { return web.ConflictsPage(conflictsView(p)) }

func conflictsMoved(p ui.Page) templ.Component {
	v := conflictsView(p)
	v.Open.Moved = "storefront changed price again, to 82.00, 5 s ago. The newer value is shown; your choice for the other fields is kept."
	v.Open.Compare.Sides[1].Moved = true
	v.Open.Compare.Fields[1].Error = "39 is below the 40 that are reserved."
	v.Open.Compare.Fields[2].Locked = "Decided already by the rule of the field: warehouse."
	v.Open.Compare.Fields[2].Picked = 0
	v.Open.Reason = "The autumn list is final."
	return web.ConflictsPage(v)
}

func conflictsEmpty(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/conflicts", ui.NavCounts{})
	return web.ConflictsPage(web.ConflictsView{Page: p})
}

func recordsPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/records", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	two := []web.SystemRef{{ID: "warehouse", Type: "postgresql"}, {ID: "storefront", Type: "mariadb"}}
	three := append(two[:2:2], web.SystemRef{ID: "marketplace", Type: "ebay"})
	return web.RecordsPage(web.RecordsView{
		Page: p, Query: "trail",
		Filter: ui.FilterBar{
			Action: "/records", Target: "#records", Search: "q", SearchLabel: "Id, e-mail, phone or text", Value: "trail", Result: "4 records",
			Selects: []ui.Select{{Name: "service", Label: "Service", Options: []ui.Option{{Value: "", Label: "Any service"}}}, {Name: "state", Label: "State", Options: []ui.Option{{Value: "", Label: "Any state"}}}},
			Chips:   []ui.Chip{{Label: "Text", Value: "trail", Remove: "/records"}}, Clear: "/records",
		},
		Records: []web.RecordLine{
			{ID: "ent_01JDCV", Href: "/records/ent_01JDCV", Title: "Trail Runner 2, blue, 42", Sub: "SKU-10482", Service: "inventory-sync", Systems: three, State: "conflict", Changed: ago(26 * time.Minute), By: "storefront"},
			{ID: "ent_01JDCW", Href: "/records/ent_01JDCW", Title: "Trail Runner 2, blue, 43", Sub: "SKU-10483", Service: "inventory-sync", Systems: three, State: "synced", Changed: ago(2 * time.Hour), By: "warehouse"},
			{ID: "ent_01JDCX", Href: "/records/ent_01JDCX", Title: "Trail Vest, M", Sub: "SKU-20931", Service: "inventory-sync", Systems: two, State: "pending", Changed: ago(5 * time.Second), By: "warehouse"},
			{ID: "ent_01JDCY", Href: "/records/ent_01JDCY", Title: "Trail Gaiters", Sub: "SKU-88120", Service: "inventory-sync", Systems: two, State: "rejected", Changed: ago(31 * time.Second), By: "warehouse"},
		},
		Pager: ui.Pager{Shown: "4 records"},
	})
}

func recordPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/records", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title = "Trail Runner 2, blue, 42"
	p.Crumbs = crumbs("Records", "/records", "Trail Runner 2, blue, 42")
	warehouse, storefront := web.SystemRef{ID: "warehouse", Type: "postgresql"}, web.SystemRef{ID: "storefront", Type: "mariadb"}
	marketplace := web.SystemRef{ID: "marketplace", Type: "ebay"}
	return web.RecordPage(web.RecordView{
		Page: p, ID: "ent_01JDCV4M8T2N6K", Path: "/records/ent_01JDCV", Title: "Trail Runner 2, blue, 42", Service: "inventory-sync", Model: "products", State: "conflict", Part: "/parts/record", Live: "svc_01JDCQ", Code: snippets(),
		Notices: []ui.Alert{{Tone: ui.Split, Title: "price waits for a decision", Text: "warehouse says 79.00, storefront says 84.50.", Actions: ui.Fragments{ui.Button{Label: "Decide", Size: "sm", Href: "/conflicts/con_01JDCV"}}}},
		Fields: []web.RecordField{
			{Name: "sku", Value: ui.Value{Text: "SKU-10482"}, System: warehouse, At: ago(12 * 24 * time.Hour), Href: "?field=sku#history"},
			{Name: "quantity", Value: ui.Value{Text: "40"}, System: warehouse, At: ago(2 * time.Second), Href: "?field=quantity#history", Reason: "warehouse wins", Differ: []string{"marketplace: 42, on its way"}},
			{Name: "price", Value: ui.Value{Text: "89.00"}, System: warehouse, At: ago(3 * time.Hour), Href: "?field=price#history", Reason: "held until someone decides"},
			{Name: "location", Value: ui.Value{Text: "Aisle 4, shelf B"}, System: warehouse, At: ago(9 * 24 * time.Hour), Href: "?field=location#history"},
			{Name: "reserved", Value: ui.Value{Null: true}, System: storefront, At: ago(4 * time.Hour), Href: "?field=reserved#history"},
			{Name: "supplierCost", Value: ui.Value{Masked: true}, System: warehouse, At: ago(40 * 24 * time.Hour), Href: "?field=supplierCost#history"},
		},
		Links: []web.RecordLink{
			{System: warehouse, Key: "10482", State: "synced", Synced: ago(2 * time.Second)},
			{System: storefront, Key: "7731", State: "conflict", Synced: ago(3 * time.Hour), Text: "price differs"},
			{System: marketplace, Key: "v1|110482|0", State: "pending", Synced: ago(41 * time.Minute), Text: "2 changes owed"},
		},
		History: sampleHistory(), Older: "?before=x",
	})
}

func deadLettersPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/dead-letters", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	return web.DeadLettersPage(web.DeadLettersView{
		Page: p, Total: 4, MayAct: true, Refresh: "/dead-letters",
		Filter: ui.FilterBar{Action: "/dead-letters", Search: "q", SearchLabel: "Search record or reason", Selects: []ui.Select{{Name: "service", Label: "Service", Options: []ui.Option{{Value: "", Label: "Any service"}}}}},
		Groups: []web.DeadGroup{
			{
				ID: "g1", Cause: "Account 4010 is closed", Remedy: "Open account 4010 in books, or map revenue to another account. Then redrive all three.", Code: "delivery.refused", Service: "financial-sync",
				System: web.SystemRef{ID: "books", Type: "quickbooks"}, Count: 3, First: ago(26 * time.Hour), Last: ago(78 * time.Minute), Path: "/dead-letters/g1",
				Sample:  "{\n  \"TxnDate\": \"2026-11-22\",\n  \"Amount\": 129.00,\n  \"AccountRef\": {\"value\": \"4010\"}\n}",
				Letters: []web.DeadLetter{{ID: "dl_01JDCA", Href: "/records/ent_1", Record: "Payment pi_3Q2a", At: ago(78 * time.Minute), Attempts: 1}, {ID: "dl_01JDCB", Href: "/records/ent_2", Record: "Payment pi_3Q1z", At: ago(20 * time.Hour), Attempts: 2}, {ID: "dl_01JDCC", Href: "/records/ent_3", Record: "Payment pi_3Q0k", At: ago(26 * time.Hour), Attempts: 2}},
			},
			{
				ID: "g2", Cause: "quantity is out of range", Remedy: "storefront takes 0 to 65,535. Correct the record in warehouse, or widen the column.", Code: "delivery.refused", Service: "inventory-sync",
				System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Count: 1, First: ago(31 * time.Second), Last: ago(31 * time.Second), Path: "/dead-letters/g2",
				Sample:  "{\n  \"sku\": \"SKU-88120\",\n  \"inventory_quantity\": 99999\n}",
				Letters: []web.DeadLetter{{ID: "dl_01JDCD", Href: "/records/ent_01JDCY", Record: "Trail Gaiters", At: ago(31 * time.Second), Attempts: 1}},
			},
		},
	})
}

func connectionsPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/connections", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	return web.ConnectionsPage(web.ConnectionsView{Page: p, MayEdit: true, Connections: []web.ConnectionLine{
		{ID: "con_w", Name: "warehouse", Href: "/connections/warehouse", Type: "postgresql", Address: "warehouse-db.internal:5432/inventory", State: "healthy", Checked: ago(12 * time.Second), Services: []string{"inventory-sync"}},
		{ID: "con_s", Name: "storefront", Href: "/connections/storefront", Type: "mariadb", Address: "shop-db.internal:3306/shop", State: "healthy", Checked: ago(12 * time.Second), Services: []string{"inventory-sync", "cdp-sync"}},
		{ID: "con_o", Name: "okta", Href: "/connections/okta", Type: "okta", Address: "harbour.okta.example", State: "expired", Text: "The refresh token was used twice. Reconnect; links stay.", Checked: ago(6 * time.Hour), Services: []string{"hr-data-sync"}},
		{ID: "con_h", Name: "hubspot", Href: "/connections/hubspot", Type: "hubspot", Address: "portal 8841207", State: "degraded", Text: "429 since 13:20; next try in 2 min", Checked: ago(40 * time.Second), Services: []string{"crm-contact-sync"}},
	}})
}

func usagePage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/usage", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	daily := ui.BarChart{ID: "daily", Title: "Sync operations by day, November 2026", Unit: "operations per day", Series: []ui.Series{{Name: "operations", Tone: ui.Accent}}}
	for i, v := range wave(23, 18000, 5200, 0.4) {
		daily.Bars = append(daily.Bars, ui.Bar{Label: time.Date(2026, 11, i+1, 0, 0, 0, 0, time.UTC).Format("2 Jan"), Tick: i%7 == 1, Parts: []int64{int64(v)}})
	}
	return web.UsagePage(web.UsageView{
		Page: p, Period: "November 2026", Rule: "Counted from settled facts, each once. Every amount opens into its operations.",
		Months: ui.Select{Name: "period", Label: "Month", Value: "2026-11", Options: []ui.Option{{Value: "2026-11", Label: "November 2026"}, {Value: "2026-10", Label: "October 2026"}}}, Money: true, Zone: "Europe/Oslo",
		Stats: []ui.Stat{
			{Label: "Month to date", Icon: "receipt", Value: "$1,436.19", Note: "estimate until the period closes"},
			{Label: "Sync operations", Icon: "refresh-cw", Value: "412,064", Note: "17,916 a day"},
			{Label: "Records", Icon: "table-2", Value: "73,161", Note: "under management"},
			{Label: "Integrations", Icon: "plug", Value: "9", Note: "systems in use"},
		},
		Daily: daily,
		Meters: []web.MeterLine{
			{Name: "Sync operations", Text: "one change applied to one system", Quantity: "412,064", Tier: "100,001 to 1,000,000 at $0.003", Next: "587,936 to the next tier", Amount: ui.Money{Amount: "1436.19", Currency: "USD"}, Href: "/usage/operations"},
			{Name: "Records", Text: "distinct entities live in the period", Quantity: "73,161", Tier: "not billed in this plan", Amount: ui.Money{Amount: "0", Currency: "USD"}, Href: "/usage/records"},
			{Name: "Integrations", Text: "systems connected and enabled", Quantity: "9", Tier: "not billed in this plan", Amount: ui.Money{Amount: "0", Currency: "USD"}, Href: "/usage/integrations"},
		},
		Services: []web.UsageLine{
			{Service: "inventory-sync", Href: "/usage?service=inventory-sync", Quantity: 268104, Share: 0.65, Systems: []web.SystemUse{{System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Operations: 1204}}},
			{Service: "crm-contact-sync", Href: "/usage?service=crm-contact-sync", Quantity: 121950, Share: 0.296, Systems: []web.SystemUse{{System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Operations: 1204}}},
			{Service: "financial-sync", Href: "/usage?service=financial-sync", Quantity: 22010, Share: 0.054, Systems: []web.SystemUse{{System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Operations: 1204}}},
		},
		Invoices: []web.InvoiceLine{
			{ID: "inv_11", Number: "2026-11", Href: "/invoices/inv_11", Period: "November 2026", State: "draft", Total: ui.Money{Amount: "1436.19", Currency: "USD", Estimate: true}},
			{ID: "inv_10", Number: "2026-10", Href: "/invoices/inv_10", Period: "October 2026", State: "open", Total: ui.Money{Amount: "1702.44", Currency: "USD"}},
			{ID: "inv_09", Number: "2026-09", Href: "/invoices/inv_09", Period: "September 2026", State: "paid", Total: ui.Money{Amount: "1688.10", Currency: "USD"}},
		},
	})
}

func invoicePage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/usage", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title = "Invoice 2026-11"
	p.Crumbs = crumbs("Usage & invoices", "/usage", "2026-11")
	usd := func(a string) ui.Money { return ui.Money{Amount: a, Currency: "USD"} }
	storefront, warehouse := web.SystemRef{ID: "storefront", Type: "mariadb"}, web.SystemRef{ID: "warehouse", Type: "postgresql"}
	return web.InvoicePage(web.InvoiceView{
		Page: p, ID: "inv_01JDA7Q8W3Z7M4", Number: "2026-11", Path: "/invoices/inv_11", State: "draft", Period: "1 to 30 November 2026", Customer: "Harbour Outdoor", Code: snippets(),
		Notices: []ui.Alert{{Tone: ui.Info, Title: "A draft until the period closes on 30 November", Text: "Lines grow with usage. Finance reviews the draft before it is finalized; afterwards it is never edited."}},
		Lines: []web.InvoiceItem{
			{
				ID: "line-sync", Title: "Sync operations", Text: "graduated, 1 to 23 November", Quantity: "412,064", Unit: "operations", Amount: usd("1436.19"), Href: "/invoices/inv_11?line=sync#operations", Open: true,
				Tiers: []web.TierLine{{Range: "1 to 100,000", Quantity: "100,000 × $0.005", Amount: "$500.00"}, {Range: "100,001 to 1,000,000", Quantity: "312,064 × $0.003", Amount: "$936.19"}},
			},
			{ID: "line-realtime", Title: "Realtime", Text: "included in this plan", Quantity: "390,054", Unit: "operations", Amount: usd("0")},
		},
		Total: usd("1436.19"),
		Facts: []ui.KeyValue{
			{Key: "Customer", Text: "Harbour Outdoor"}, {Key: "Period", Text: "1 to 30 November 2026", Hint: "Europe/Stockholm"}, {Key: "Closes", Body: ui.Fragments{ui.Time{At: now.Add(7*24*time.Hour + 9*time.Hour)}}},
			{Key: "Price list", Text: "per sync, graduated, 2026"}, {Key: "Rounding", Text: "half even, once per line"}, {Key: "Credit", Text: "$20.00", Hint: "late delivery on 3 November"},
		},
		Opened: &web.OperationsView{
			Title: "Operations of Sync operations", Total: 412064, Note: "Each is one change that a system took, counted once.", Pager: ui.Pager{Shown: "1 to 4 of 412,064", Next: "?cursor=x"},
			Lines: []web.OperationLine{
				{ID: "op_01JDCVA", At: ago(2 * time.Second), Service: "inventory-sync", Record: "Trail Runner 2, blue, 42", Href: "/records/ent_01JDCV", System: storefront, Kind: "update", Flags: "realtime", Fields: "quantity"},
				{ID: "op_01JDCV9", At: ago(5 * time.Second), Service: "inventory-sync", Record: "Trail Vest, M", Href: "/records/ent_01JDCX", System: warehouse, Kind: "update", Flags: "realtime", Fields: "quantity"},
				{ID: "op_01JDCV8", At: ago(14 * time.Second), Service: "inventory-sync", Record: "SKU-10477", Href: "/records/ent_3", System: storefront, Kind: "create", Flags: "realtime", Fields: "quantity"},
				{ID: "op_01JDCV7", At: ago(48 * time.Second), Service: "inventory-sync", Record: "SKU-10461", Href: "/records/ent_4", System: storefront, Kind: "update", Flags: "realtime", Fields: "quantity"},
			},
		},
	})
}

func signIn(p ui.Page) templ.Component {
	return web.SignInPage(web.SignInView{Prefs: p.Prefs, Open: true, Demo: "demo@syncline.test"})
}

func signInRefused(p ui.Page) templ.Component {
	return web.SignInPage(web.SignInView{Prefs: p.Prefs, Open: true, Email: "ada@harbour-outdoor.example", Error: "E-mail and password do not fit together. After 5 tries we wait a minute."})
}

func signUp(p ui.Page) templ.Component {
	return web.SignUpPage(web.SignUpView{Prefs: p.Prefs, Name: "Ada Lindqvist", Email: "ada@harbour-outdoor.example", Errors: map[string]string{"password": "10 characters at least; this has 8.", "tenant": "Give your company or team a name."}})
}

func settings(tab string) func(ui.Page) templ.Component {
	return func(p ui.Page) templ.Component {
		p.Nav = ui.Nav("/settings", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
		p.Crumbs = crumbs("Settings")
		frame := web.SettingsView{Page: p, MayEdit: true, Tabs: ui.Tabs{Label: "Settings", Items: []ui.Tab{
			{Label: "Members", Href: "/settings", Current: tab == "members"}, {Label: "API keys", Href: "/settings/keys", Current: tab == "keys"}, {Label: "Secrets", Href: "/settings/secrets", Current: tab == "secrets"},
		}}}
		switch tab {
		case "keys":
			return web.KeysPage(web.KeysView{
				SettingsView: frame, NewKey: "sl_live_4fT9kQm2Zx7Lr8Vb3Nw6Yp1Hc5Js0D8aQ2eR4t", NewName: "warehouse import", Name: ui.Field{Name: "name", ID: "key-name", Label: "Name"},
				Scopes:  []ui.Check{{Name: "scope", ID: "scope-read", Label: "Read", Value: "read", Hint: "As a viewer"}},
				Expires: ui.Select{Name: "expires", Label: "Expires", Options: []ui.Option{{Value: "90", Label: "In 90 days"}}},
				Keys: []web.KeyLine{
					{ID: "k1", Name: "warehouse import", Prefix: "sl_live_", Last4: "7Qx2", Scopes: []string{"write"}, State: "active", CreatedBy: "Ada Lindqvist", CreatedAt: ago(40 * 24 * time.Hour), UsedAt: ago(3 * time.Minute), ExpiresAt: now.Add(50 * 24 * time.Hour), MayRevoke: true},
					{ID: "k2", Name: "ci", Prefix: "sl_live_", Last4: "mP0a", Scopes: []string{"read", "connections"}, State: "revoked", CreatedBy: "Tomasz Nowak", CreatedAt: ago(4 * 24 * time.Hour)},
				},
			})
		case "secrets":
			return web.SecretsPage(web.SecretsView{
				SettingsView: frame, Name: ui.Field{Name: "name", ID: "secret-name", Label: "Name"}, Value: ui.Area{Name: "value", ID: "secret-value", Label: "Value"},
				Secrets: []web.SecretLine{
					{Name: "STOREFRONT_DSN", Href: "/settings/secrets/STOREFRONT_DSN", UsedBy: []ui.Line{{Title: "inventory-sync"}}, ChangedAt: ago(12 * 24 * time.Hour), ChangedBy: "Ada Lindqvist"},
					{Name: "HUBSPOT_API_KEY", Href: "/settings/secrets/HUBSPOT_API_KEY", UsedBy: []ui.Line{{Title: "crm-contact-sync"}, {Title: "cdp-sync"}}, ChangedAt: ago(90 * 24 * time.Hour), ChangedBy: "Tomasz Nowak"},
				},
			})
		}
		return web.MembersPage(web.MembersView{
			SettingsView: frame, Email: ui.Field{Name: "email", Label: "E-mail", Type: "email"}, Role: ui.Select{Name: "role", Label: "Role", Options: []ui.Option{{Value: "editor", Label: "Editor"}}},
			Members: []web.MemberLine{
				{ID: "m1", Name: "Ada Lindqvist", Email: "ada@harbour-outdoor.example", Role: "admin", Since: ago(400 * 24 * time.Hour), You: true, May: true},
				{ID: "m2", Name: "Grace Okafor", Email: "grace@harbour-outdoor.example", Role: "finance", Since: ago(90 * 24 * time.Hour), May: true},
			},
			Invitations: []web.InvitationLine{{ID: "i1", Email: "tomasz@harbour-outdoor.example", Role: "editor", State: "invited", Made: ago(time.Hour), Ends: now.Add(7 * 24 * time.Hour), By: "Ada Lindqvist", MayUndo: true}},
			Roles: []web.RoleLine{
				{Permission: "See services, records, conflicts", Allowed: [5]bool{true, true, true, true, true}}, {Permission: "Decide conflicts, redrive", Allowed: [5]bool{true, true, true, false, false}},
				{Permission: "Edit services and connections", Allowed: [5]bool{true, true, true, false, false}}, {Permission: "See usage and invoices", Allowed: [5]bool{true, true, false, true, false}},
			},
		})
	}
}

func errorPage(e ui.ErrorPage) func(ui.Page) templ.Component {
	return func(p ui.Page) templ.Component {
		e.Prefs = p.Prefs
		return e
	}
}

func systemLines() []web.SystemLine {
	return []web.SystemLine{
		{
			System: web.SystemRef{ID: "warehouse", Type: "postgresql"}, Href: "/connections/warehouse", Object: "stock_levels", Phase: "stream", Detection: "database-trigger",
			Why: "The user may not start a logical replication, so triggers note each change.", ChangedAt: ago(2 * time.Second), Records: 12408,
			Work: web.Work{Read: 1204, Equal: 611, Created: 2, Updated: 590, Deleted: 1, Lag: 380 * time.Millisecond, LagMax: 900 * time.Millisecond},
		},
		{
			System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Href: "/connections/storefront", Object: "products", Zone: "Europe/Berlin", Phase: "snapshot", Done: 8200, Total: 12408, Detection: "cdc",
			Why: "The server writes a binary log with full rows.", ChangedAt: ago(5 * time.Second), Records: 12405, Pending: 3,
			Work: web.Work{Read: 1190, Equal: 592, Created: 4, Updated: 607, Conflicts: 1, Lag: 410 * time.Millisecond},
		},
		{
			System: web.SystemRef{ID: "marketplace", Type: "ebay"}, Object: "inventory_items", Trouble: "The token ended.", Code: "connection.timeout", Since: ago(40 * time.Minute),
			Work: web.Work{Rejected: 9},
		},
	}
}

func serviceActivity() ui.BarChart {
	c := ui.BarChart{ID: "service-activity", Title: "Changes applied to each system, last hour", Unit: "changes per 2 min", Height: 120, Series: []ui.Series{{Name: "warehouse", Tone: ui.Accent}, {Name: "storefront", Tone: ui.Split}}}
	for i := range 30 {
		c.Bars = append(c.Bars, ui.Bar{Label: now.Add(time.Duration(i-29) * 2 * time.Minute).Format("15:04"), Tick: i%10 == 4, Parts: []int64{int64(20 + i%7*3), int64(18 + i%5*4)}})
	}
	return c
}

func holdsPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/holds", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1, Holds: 2})
	return web.HoldsPage(web.HoldsView{Page: p, Refresh: "/holds", Pager: ui.Pager{Shown: "2 holds"},
		Tabs: ui.Tabs{Label: "Held changes", Items: []ui.Tab{{Label: "Waiting", Href: "/holds", Current: true}, {Label: "Released", Href: "/holds?state=released"}, {Label: "Rejected", Href: "/holds?state=rejected"}, {Label: "Settled", Href: "/holds?state=settled"}, {Label: "Only told", Href: "/holds?state=alerted"}}},
		Holds: []web.HoldLine{
			{ID: "hld_01JDCA", Href: "/holds/hld_01JDCA", Title: "1,204 missing records from warehouse", Reason: "public.stock_levels in warehouse turned empty: none of its 1204 records was there when it was read.", System: web.SystemRef{ID: "warehouse", Type: "postgresql"}, Service: "inventory-sync", State: "open", At: ago(12 * time.Minute)},
			{ID: "hld_01JDCB", Href: "/holds/hld_01JDCB", Title: "2 numbers that moved far from storefront", Reason: "A number in products in storefront moved further than allowed.", System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Service: "inventory-sync", State: "open", At: ago(3 * time.Hour)},
		}})
}

func holdsEmpty(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/holds", ui.NavCounts{})
	return web.HoldsPage(web.HoldsView{Page: p, Refresh: "/holds", Tabs: ui.Tabs{Label: "Held changes", Items: []ui.Tab{{Label: "Waiting", Href: "/holds", Current: true}}}, Pager: ui.Pager{Shown: "0 holds"}})
}

func holdPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/holds", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1, Holds: 2})
	p.Title, p.Crumbs = "2 numbers that moved far from storefront", crumbs("Held changes", "/holds", "2 numbers that moved far from storefront")
	change := func(key, title, why, from, to string) web.HeldLine {
		return web.HeldLine{Key: key, Title: title, Href: "/records/" + key, What: "change", Why: why, At: ago(3 * time.Hour), Diff: ui.Diff{Bare: true, Fields: []ui.FieldDiff{{Field: "quantity", Before: ui.Value{Text: from}, After: ui.Value{Text: to}}}}}
	}
	return web.HoldPage(web.HoldView{
		Page: p, Path: "/holds/hld_01JDCB", Part: "/holds/hld_01JDCB/parts/now", Live: "svc_01JDCQ", Kind: "values", Held: 2, May: true, MayRead: true, MayRestore: true,
		Line:  web.HoldLine{ID: "hld_01JDCB", Title: "2 numbers that moved far from storefront", Reason: "A number in products in storefront moved further than allowed.", System: web.SystemRef{ID: "storefront", Type: "mariadb"}, Service: "inventory-sync", State: "open", At: ago(3 * time.Hour)},
		Facts: []ui.KeyValue{{Key: "Service", Text: "inventory-sync"}, {Key: "System", Text: "storefront"}, {Key: "Object", Text: "products", Mono: true}},
		Changes: []web.HeldLine{
			change("SKU-1", "Trail Gaiters", "quantity fell from 100 to 2, by 98%; 50% is allowed", "100", "2"),
			change("SKU-2", "Rain Shell, blue", "quantity fell from 40 to 0, by 100%; 50% is allowed", "40", "0"),
		},
		Pager: ui.Pager{Shown: "2 changes"},
	})
}

func proofView(p ui.Page) web.ProofView {
	v := web.ProofView{Service: serviceView(p), Part: "/services/inventory-sync/proof/parts/now", MayRun: true,
		Badge: web.ProofBadge{Text: "100,417 of 100,421 equal", Tone: ui.Warn, Icon: "split", Href: "/services/inventory-sync/proof", AsOf: ago(4 * time.Minute)}}
	v.Service.Tab = "proof"
	return v
}

func proofPage(p ui.Page) templ.Component {
	v := proofView(p)
	v.Stats = []ui.Stat{
		{Label: "Equal everywhere", Icon: "split", Tone: ui.Warn, Value: "100,417", Note: "of 100,421 records"}, {Label: "Different", Icon: "split", Value: "4", Note: "each with a reason"},
		{Label: "Drift found", Icon: "activity", Tone: ui.Warn, Value: "1", Note: "1 taken in"}, {Label: "Read one by one", Icon: "search", Value: "2,000", Note: "took 12.4s"},
	}
	warehouse, shop := web.SystemRef{ID: "warehouse", Type: "postgresql"}, web.SystemRef{ID: "storefront", Type: "mariadb"}
	v.Seats = []web.ProofSeat{
		{System: warehouse, Object: "public.stock_levels", How: "by digest, 101 ranges, 1 of them read", Records: 100421, Equal: 100420, Reasons: []ui.Badge{{Text: "1 drift", Tone: ui.Warn}}},
		{System: shop, Object: "products", How: "by digest, 101 ranges, 1 of them read", Records: 100419, Equal: 100418, Reasons: []ui.Badge{{Text: "2 conflict", Tone: ui.Split}, {Text: "1 dead-letter", Tone: ui.Bad}}},
		{System: web.SystemRef{ID: "marketplace", Type: "ebay"}, Object: "inventory_items", How: "record by record", Why: "The system does not compute digests, so its records are read.", Failed: "The token ended."},
	}
	v.Notices = []ui.Alert{{Tone: ui.Warn, Title: "marketplace could not be read, so nothing is said of it", Text: "The token ended."}}
	v.Filter = ui.FilterBar{Action: "/services/inventory-sync/proof", Target: "#proof-now", Selects: []ui.Select{
		{Name: "system", Label: "System", Options: []ui.Option{{Label: "Any system"}, {Value: "warehouse", Label: "Warehouse"}}}, {Name: "reason", Label: "Reason", Options: []ui.Option{{Label: "Any reason"}, {Value: "drift", Label: "Drift"}}},
	}}
	v.Lines = []web.ProofLine{
		{System: warehouse, Title: "Trail Gaiters", Key: "SKU-1", Href: "/records/ent_1", Reason: "drift", Why: "it was taken in", Tone: ui.Warn, Fields: "quantity", At: ago(3 * time.Minute)},
		{System: shop, Title: "Rain Shell, blue", Key: "SKU-2", Href: "/records/ent_2", Reason: "conflict", Why: "somebody decides", Tone: ui.Split, Fields: "price, name", At: ago(4 * time.Minute)},
		{System: shop, Title: "SKU-9", Reason: "quarantined", Why: "it could not be taken in", Tone: ui.Bad, At: ago(4 * time.Minute)},
	}
	v.Pager = ui.Pager{Shown: "3 records"}
	return web.ProofPage(v)
}

func proofFirst(p ui.Page) templ.Component {
	v := proofView(p)
	v.Badge = web.ProofBadge{Text: "Not compared yet", Tone: ui.Idle, Icon: "circle-dashed"}
	v.Running = true
	v.Progress = &ui.Progress{ID: "proof-progress", Title: "Comparing all records", State: "running", Done: 61000, Total: 100421, Unit: "records", Note: "It goes on where it was after a restart."}
	return web.ProofPage(v)
}

func reconcilePage(p ui.Page) templ.Component {
	v := web.ReconciliationsView{Service: serviceView(p), Path: "/services/inventory-sync/reconciliations", From: "2024-10-01", To: "2024-10-31", MayRun: true, May: true, Title: "1 Oct 2024 to 31 Oct 2024",
		Stats: []ui.Stat{{Label: "Matched", Icon: "circle-check", Tone: ui.OK, Value: "412", Note: "in quickbooks, stripe"}, {Label: "Unmatched", Icon: "circle-dashed", Value: "1", Note: "one has it, another has not"}, {Label: "Discrepancies", Icon: "split", Value: "2", Note: "beyond 0.01"}},
		Lines: []web.ReconciliationLine{{Href: "/services/inventory-sync/reconciliations?id=1", Title: "1 Oct 2024 to 31 Oct 2024", Systems: "quickbooks, stripe", State: "succeeded", By: "Ada Lindqvist", Matched: 412, Unmatched: 1, Different: 2, At: ago(time.Minute), Current: true}},
		Found: []web.DiscrepancyLine{
			{ID: "dsc_1", Action: "/services/inventory-sync/discrepancies/dsc_1", Href: "/records/ent_1", Title: "INV-2024-001", What: "amount differs by -0.02", Sides: "quickbooks 99.98, stripe 100", State: "open", At: ago(700 * time.Hour)},
			{ID: "dsc_2", Action: "/services/inventory-sync/discrepancies/dsc_2", Href: "/records/ent_2", Title: "INV-2024-002", What: "amount differs by 12", Sides: "quickbooks 112, stripe 100", State: "flagged", Decision: "amount-mismatch, by Ada Lindqvist, for accounting-team", At: ago(600 * time.Hour)},
			{ID: "dsc_3", Action: "/services/inventory-sync/discrepancies/dsc_3", Href: "/records/ent_3", Title: "INV-2024-003", What: "missing in stripe", Sides: "quickbooks", State: "resolved", Decision: "paid in cash, by Ada Lindqvist", At: ago(500 * time.Hour)},
		},
		Pager: ui.Pager{Shown: "3 findings"},
	}
	v.Service.Tab = "reconciliation"
	return web.ReconciliationsPage(v)
}

func undoPage(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/services", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Title, p.Crumbs = "Undo a run of inventory-sync", crumbs("Services", "/services", "inventory-sync", "/services/inventory-sync", "Undo")
	return web.UndoPage(web.UndoView{
		Page: p, Path: "/services/inventory-sync/undo", Home: "/services/inventory-sync", Asked: true, Looked: true, Hash: "5f2c", Selected: 412, Records: 3, Kept: 1,
		Hidden: map[string]string{"run": "run_01JDCV5"}, People: []string{"Ada Lindqvist"},
		Run:    ui.Field{Name: "run", Label: "A run", Value: "run_01JDCV5", Optional: true, Mono: true, Hint: "All that came in while it was open."},
		Actor:  ui.Field{Name: "actor", Label: "A person or key", Optional: true, Hint: "By name: what they decided, edited or took back here.", Attrs: map[string]any{"list": "undo-people"}},
		Since:  ui.Field{Name: "since", Label: "Not before", Type: "datetime-local", Optional: true, Hint: "Europe/Berlin"},
		Until:  ui.Field{Name: "until", Label: "Before", Type: "datetime-local", Optional: true, Hint: "Europe/Berlin"},
		Rule:   ui.Select{Name: "rule", Label: "A business rule", Hint: "What it wrote.", Options: []ui.Option{{Label: "Any"}, {Value: "label", Label: "label"}}},
		System: ui.Select{Name: "system", Label: "Only from", Options: []ui.Option{{Label: "Any system"}, {Value: "erp", Label: "erp"}}},
		Lines: []web.UndoLine{
			{Href: "/records/ent_1", Title: "Trail Gaiters", What: "Set back.", Diff: ui.Diff{Bare: true, Fields: []ui.FieldDiff{{Field: "quantity", Before: ui.Value{Text: "2"}, After: ui.Value{Text: "100"}}}}},
			{Href: "/records/ent_2", Title: "Rain Shell, blue", What: "It lives again, in every system."},
			{Href: "/records/ent_3", Title: "Test product", What: "It goes where it was copied to, and stays where it was made."},
		},
		Keeps: []ui.Line{{Icon: "lock", Title: "name of Trail Gaiters", Href: "/records/ent_1", Text: "It was changed again since."}},
	})
}
