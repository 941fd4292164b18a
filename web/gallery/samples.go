// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"math"
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// samplePage is the shell as most samples have it.
func samplePage(title, path string) ui.Page {
	return ui.Page{
		Title:  title,
		Crumbs: []ui.Crumb{{Label: title}},
		Tenant: ui.Tenant{Name: "Harbour Outdoor", Env: "live", Others: []ui.TenantLink{
			{Name: "Harbour Outdoor", Env: "live", Href: "/?tenant=harbour", Current: true},
			{Name: "Harbour Outdoor", Env: "sandbox", Href: "/?tenant=harbour&env=sandbox"},
		}},
		User:   ui.User{Name: "Ada Lindqvist", Email: "ada@harbour-outdoor.example", Role: "admin"},
		Nav:    ui.Nav(path, ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1}),
		Live:   "/live",
		Search: "/search",
	}
}

// wave is a plausible day: n values around base with a rhythm, the same every time.
func wave(n int, base, swing float64, phase float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		x := float64(i) / float64(n) * 2 * math.Pi
		noise := math.Sin(float64(i)*12.9898+phase) * 0.18
		out[i] = math.Max(0, base+swing*(math.Sin(x-1.9+phase*0.3)+noise))
	}
	return out
}

func activity() ui.BarChart {
	c := ui.BarChart{
		ID: "activity", Title: "Changes and errors, last 24 hours", Unit: "per hour",
		Series: []ui.Series{{Name: "applied", Tone: ui.Accent}, {Name: "conflicts", Tone: ui.Split}, {Name: "refused", Tone: ui.Bad}},
	}
	for i, v := range wave(24, 540, 420, 0) {
		at := now.Truncate(time.Hour).Add(time.Duration(i-23) * time.Hour)
		parts := []int64{int64(v), int64(i*7%5) * 2, 0}
		if i == 17 {
			parts[2] = 64
		}
		c.Bars = append(c.Bars, ui.Bar{Label: at.Format("15:04"), Tick: i%6 == 5, Parts: parts})
	}
	return c
}

func services() []web.ServiceLine {
	return []web.ServiceLine{
		{
			ID: "svc_01JDCQ", Name: "inventory-sync", Href: "/services/inventory-sync", Direction: "multi-directional", State: "active", Health: "on_time",
			Systems: []web.SystemRef{{ID: "warehouse", Type: "postgresql"}, {ID: "storefront", Type: "mariadb"}, {ID: "marketplace", Type: "ebay"}},
			Lag:     380 * time.Millisecond, LastRun: ago(2 * time.Second), Realtime: true, Conflicts: 1, By: "Ada Lindqvist",
			Spark: wave(24, 240, 190, 0.2), Records: 12408,
		},
		{
			ID: "svc_01JDCR", Name: "crm-contact-sync", Href: "/services/crm-contact-sync", Direction: "bi-directional", State: "active", Health: "on_time",
			Systems: []web.SystemRef{{ID: "salesforce", Type: "salesforce"}, {ID: "hubspot", Type: "hubspot"}, {ID: "zendesk", Type: "zendesk"}},
			Lag:     4200 * time.Millisecond, LastRun: ago(41 * time.Second), Realtime: true, Conflicts: 37, By: "Tomasz Nowak",
			Spark: wave(24, 120, 100, 1.3), Records: 48210,
		},
		{
			ID: "svc_01JDCS", Name: "financial-sync", Href: "/services/financial-sync", Direction: "unidirectional", State: "active", Health: "delayed",
			Systems: []web.SystemRef{{ID: "stripe", Type: "stripe"}, {ID: "books", Type: "quickbooks"}},
			Lag:     26 * time.Minute, LastRun: ago(78 * time.Minute), NextRun: now.Add(12 * time.Minute), Dead: 3, By: "Grace Okafor",
			Spark: wave(24, 40, 30, 2.1), Records: 9120,
		},
		{
			ID: "svc_01JDCT", Name: "hr-data-sync", Href: "/services/hr-data-sync", Direction: "hierarchical", State: "active", Health: "action_required",
			Systems: []web.SystemRef{{ID: "bamboohr", Type: "bamboohr"}, {ID: "okta", Type: "okta"}, {ID: "google", Type: "google-workspace"}, {ID: "adp", Type: "adp"}},
			Lag:     3 * time.Minute, LastRun: ago(6 * time.Hour), NextRun: now.Add(3 * time.Hour), Dead: 1, By: "Ada Lindqvist",
			Spark: wave(24, 6, 5, 0.7), Records: 412,
		},
		{
			ID: "svc_01JDCU", Name: "project-sync", Href: "/services/project-sync", Direction: "bi-directional", State: "paused", Health: "paused",
			Systems: []web.SystemRef{{ID: "jira", Type: "jira"}, {ID: "asana", Type: "asana"}},
			Lag:     52 * time.Second, LastRun: ago(3 * 24 * time.Hour), By: "Tomasz Nowak", Spark: make([]float64, 24), Records: 3011,
		},
		{
			ID: "svc_01JDCV", Name: "cdp-sync", Href: "/services/cdp-sync", Direction: "multi-directional", State: "draft", Health: "never_run",
			Systems: []web.SystemRef{{ID: "segment", Type: "segment"}, {ID: "klaviyo", Type: "klaviyo"}}, By: "Grace Okafor", Spark: make([]float64, 24),
		},
	}
}

func feedItems() []ui.FeedItem {
	code := func(s string) templ.Component { return ui.Text(s) }
	return []ui.FeedItem{
		{ID: "f1", At: ago(2 * time.Second), Icon: "check", Tone: ui.OK, Text: ui.Fragments{code("SKU-10482 quantity 42 → 40")}, End: "storefront, 84 ms", Fresh: true},
		{ID: "f2", At: ago(2 * time.Second), Icon: "arrow-right", Tone: ui.Info, Text: ui.Fragments{code("SKU-10482 changed in warehouse")}, End: "warehouse"},
		{ID: "f3", At: ago(5 * time.Second), Icon: "check", Tone: ui.OK, Text: ui.Fragments{code("SKU-20931 price 89.00 → 79.00")}, End: "warehouse, 112 ms"},
		{ID: "f4", At: ago(9 * time.Second), Icon: "split", Tone: ui.Split, Text: ui.Fragments{code("SKU-31007 price changed on both sides, waits for a decision")}, End: "manual"},
		{ID: "f5", At: ago(14 * time.Second), Icon: "check", Tone: ui.OK, Text: ui.Fragments{code("SKU-10477 created")}, End: "storefront, 97 ms"},
		{ID: "f6", At: ago(31 * time.Second), Icon: "circle-x", Tone: ui.Bad, Text: ui.Fragments{code("SKU-88120 refused: quantity is out of range")}, End: "storefront"},
		{ID: "f7", At: ago(48 * time.Second), Icon: "check", Tone: ui.OK, Text: ui.Fragments{code("SKU-10461 reserved 3 → 5")}, End: "storefront, 79 ms"},
		{ID: "f8", At: ago(63 * time.Second), Icon: "redo-2", Tone: ui.Idle, Text: ui.Fragments{code("SKU-10461 came back from storefront, equal: an echo")}, End: "storefront"},
	}
}

func figures() web.Figures {
	return web.Figures{
		Applied: 12984, AppliedSpark: wave(24, 540, 420, 0), Failed: 4,
		Lag: 380 * time.Millisecond, LagMax: 2100 * time.Millisecond, LagSpark: wave(24, 0.4, 0.08, 1),
		Conflicts: 38, OldestOpen: ago(26 * time.Hour), DeadLetters: 4,
		Cost: ui.Money{Amount: "412.36", Currency: "USD"}, CostNote: "204,120 operations",
	}
}

func overview(p ui.Page) templ.Component {
	return web.OverviewPage(web.OverviewView{
		Page: p, Range: "24h", Figures: figures(), Activity: activity(), Services: services(), All: 6, MayRead: true, MayCreate: true, Feed: feedItems(),
		Needs: []ui.Line{
			{Icon: "unplug", Tone: ui.Bad, Title: "Connection okta has expired", Href: "/connections/okta", Text: "hr-data-sync waits since 08:02. Reconnect to go on; no link is lost."},
			{Icon: "split", Tone: ui.Split, Title: "38 conflicts wait for a decision", Href: "/conflicts", Text: "37 of them alike: phone in crm-contact-sync. Oldest 26 h."},
			{Icon: "inbox", Tone: ui.Bad, Title: "4 dead letters", Href: "/dead-letters", Text: "3 times the same cause: account 4010 is closed in books."},
			{Icon: "clock", Tone: ui.Warn, Title: "financial-sync is 18 min behind its schedule", Href: "/services/financial-sync", Text: "The vendor answers slowly: 429 since 13:20, next try in 2 min."},
		},
		Health: []web.HealthCount{
			{Word: "on_time", Count: 2, Href: "/services?health=on_time"}, {Word: "delayed", Count: 1, Href: "/services?health=delayed"},
			{Word: "action_required", Count: 1, Href: "/services?health=action_required"}, {Word: "paused", Count: 1, Href: "/services?health=paused"},
			{Word: "never_run", Count: 1, Href: "/services?health=never_run"}, {Word: "on_track", Count: 0, Href: "/services?health=on_track"},
		},
		Next: []web.NextRun{
			{Service: "financial-sync", Href: "/services/financial-sync", At: now.Add(12 * time.Minute), What: "every hour at :15"},
			{Service: "hr-data-sync", Href: "/services/hr-data-sync", At: now.Add(3 * time.Hour), What: "weekdays at 18:00, Europe/Stockholm"},
		},
	})
}

func overviewEmpty(p ui.Page) templ.Component {
	p.Nav = ui.Nav("/", ui.NavCounts{})
	return web.OverviewPage(web.OverviewView{
		Page: p, Range: "24h",
		Figures:  web.Figures{Cost: ui.Money{Amount: "0", Currency: "USD"}},
		Activity: ui.BarChart{ID: "activity", Title: "Changes and errors, last 24 hours", Unit: "per hour", Series: activity().Series, Bars: emptyBars()},
		Checklist: []ui.Line{
			{Icon: "circle", Title: "See the demo sync", Text: "A warehouse and a storefront, kept equal while you watch.", Href: "/services/inventory-sync", Done: true, Tone: ui.OK},
			{Icon: "plug", Title: "Connect your first system", Text: "PostgreSQL, MariaDB or MySQL. It takes an address and a user.", Href: "/connections/new", Tone: ui.Accent},
			{Icon: "plug", Title: "Connect the second", Text: "Two make a service.", Href: "/connections/new", Tone: ui.Idle},
			{Icon: "refresh-cw", Title: "Create a service", Text: "Nothing is written before you have seen the plan.", Href: "/services/new", Tone: ui.Idle},
		},
	})
}

func emptyBars() (bars []ui.Bar) {
	for i := range 24 {
		at := now.Truncate(time.Hour).Add(time.Duration(i-23) * time.Hour)
		bars = append(bars, ui.Bar{Label: at.Format("15:04"), Tick: i%6 == 5, Parts: []int64{0, 0, 0}})
	}
	return bars
}
