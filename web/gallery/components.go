// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web/ui"
)

func stateWords() []string {
	return []string{
		"draft", "active", "paused", "action_required", "archived", "queued", "running", "succeeded", "partial", "failed", "cancelled",
		"synced", "pending", "conflict", "rejected", "frozen", "healthy", "degraded", "expired", "revoked", "open", "paid", "void", "uncollectible",
		"on_time", "on_track", "delayed", "never_run", "a_word_of_the_future",
	}
}

type sampleRun struct {
	id, service, state, trigger string
	changes                     int64
	at                          time.Time
	took                        time.Duration
}

func sampleRuns() []sampleRun {
	return []sampleRun{
		{"run_01JDCV9", "inventory-sync", "running", "change feed", 1204, ago(40 * time.Second), 40 * time.Second},
		{"run_01JDCV8", "financial-sync", "failed", "schedule", 3, ago(78 * time.Minute), 4200 * time.Millisecond},
		{"run_01JDCV7", "crm-contact-sync", "partial", "Tomasz Nowak", 48210, ago(5 * time.Hour), 12 * time.Minute},
	}
}

func snippets() []ui.Code {
	return []ui.Code{
		{Title: "curl", Lang: "shell", Text: "curl https://syncline.example/v1/services/inventory-sync \\\n  -H \"Authorization: Bearer $SYNCLINE_KEY\""},
		{Title: "CLI", Lang: "shell", Text: "syncline service get inventory-sync --json"},
		{Title: "YAML", Lang: "yaml", Text: sampleYAML},
	}
}

const sampleYAML = `service: inventory-sync
direction: bi-directional
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
syncConfig:
  frequency: realtime
  batchSize: 500 # rows in one commit
  conflictResolution: warehouse-wins
fieldMapping:
  sku: sku
  quantity: inventory_quantity
  price: unit_price
`

func sampleHub() ui.Hub {
	return ui.Hub{Name: "products", Entities: 12408, Conflicts: 1, Href: "/records?service=inventory-sync", Issues: "/conflicts?service=inventory-sync"}
}

func sampleNodes() []ui.Node {
	return []ui.Node{
		{ID: "warehouse", Type: "postgresql", Object: "stock_levels", Href: "/connections/warehouse", State: "healthy", Primary: true, Records: 12408, Lag: 380 * time.Millisecond, Reads: true, Writes: true, In: 4.2, Out: 0.7},
		{ID: "storefront", Type: "mariadb", Object: "product", Href: "/connections/storefront", State: "healthy", Records: 12405, Lag: 410 * time.Millisecond, Owed: 3, Reads: true, Writes: true, In: 0.7, Out: 4.2},
		{ID: "marketplace", Type: "ebay", Object: "inventory items", Href: "/connections/marketplace", State: "degraded", Records: 9120, Lag: 42 * time.Second, Owed: 128, Dead: 2, Writes: true, Out: 1.1},
		{ID: "pim", Type: "rest", Object: "articles", Href: "/connections/pim", State: "healthy", Records: 12408, Lag: 5 * time.Second, Reads: true, In: 0.02},
		{ID: "search-index", Type: "webhook", Object: "products", Href: "/connections/search", State: "healthy", Paused: true, Records: 12001, Writes: true, Owed: 407},
		{ID: "analytics-warehouse", Type: "mongodb", Object: "stock_history", Href: "/connections/analytics", State: "expired", Records: 11870, Writes: true, Owed: 538},
	}
}

func sampleHistory() []ui.Moment {
	run := func(id string) templ.Component { return ui.Badge{Text: id, Href: "/runs/" + id} }
	return []ui.Moment{
		{
			At: ago(2 * time.Second), Icon: "pencil", Tone: ui.Info, Title: "Changed in warehouse",
			Cause: ui.Fragments{ui.Text("by app_user, written to storefront 84 ms later"), run("run_01JDCV9")},
			Diff:  &ui.Diff{Caption: "Change", Bare: true, Fields: []ui.FieldDiff{{Field: "quantity", Before: ui.Value{Text: "42"}, After: ui.Value{Text: "40"}}}},
		},
		{
			At: ago(26 * time.Minute), Icon: "split", Tone: ui.Split, Title: "Conflict decided: warehouse",
			Cause: ui.Fragments{ui.Text("by Ada Lindqvist: counted by hand")},
			Diff:  &ui.Diff{Caption: "Change", Bare: true, Fields: []ui.FieldDiff{{Field: "price", Before: ui.Value{Text: "89.00"}, After: ui.Value{Text: "79.00"}}, {Field: "reserved", Before: ui.Value{Null: true}, After: ui.Value{Text: "2"}}}},
		},
		{At: ago(3 * time.Hour), Icon: "redo-2", Tone: ui.Idle, Title: "Echo from storefront", Cause: ui.Fragments{ui.Text("equal to what was written there; nothing changed")}},
		{At: ago(12 * 24 * time.Hour), Icon: "link", Tone: ui.OK, Title: "Linked by sku", Cause: ui.Fragments{ui.Text("warehouse 10482 and storefront 7731"), run("run_01JCQ1A")}},
	}
}
