// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

func webhookFrame(p ui.Page) web.SettingsView {
	p.Nav = ui.Nav("/settings", ui.NavCounts{Conflicts: 38, DeadLetters: 4, Connections: 1})
	p.Crumbs = crumbs("Settings", "/settings", "Webhooks")
	return web.SettingsView{Page: p, MayEdit: true, Tabs: ui.Tabs{Label: "Settings", Items: []ui.Tab{{Label: "Members", Href: "/settings"}, {Label: "Webhooks", Href: "/settings/webhooks", Current: true}}}}
}

func endpointFields(prefix string) web.EndpointForm {
	return web.EndpointForm{
		Name: ui.Field{Name: "name", ID: prefix + "-name", Label: "Name", Value: "Billing back end"}, URL: ui.Field{Name: "url", ID: prefix + "-url", Label: "Address", Type: "url", Mono: true, Value: "https://billing.harbour-outdoor.example/hooks"},
		Types: ui.Area{Name: "types", ID: prefix + "-types", Label: "Events", Value: "invoice.*\nbudget.*", Rows: 4, Mono: true, Optional: true, Hint: "One to a line; invoice.* stands for all that begin so."},
	}
}

var sampleEndpoint = web.EndpointLine{ID: "whk_1", Name: "Billing back end", URL: "https://billing.harbour-outdoor.example/hooks", Href: "/settings/webhooks/whk_1", State: "active", Types: []string{"invoice.*", "budget.*"}, DeliveredAt: ago(3 * time.Minute)}

func webhooksPage(p ui.Page) templ.Component {
	return web.WebhooksPage(web.WebhooksView{
		SettingsView: webhookFrame(p), Form: endpointFields("new"),
		Endpoints: []web.EndpointLine{
			sampleEndpoint,
			{ID: "whk_2", Name: "On-call bot", URL: "https://bot.harbour-outdoor.example/syncline", Href: "/settings/webhooks/whk_1", State: "disabled", Types: []string{"conflict", "system.failing", "dead_letter", "hold", "run.finished"}, DeliveredAt: ago(9 * 24 * time.Hour), FailingSince: ago(6 * 24 * time.Hour)},
		},
	})
}

func webhookPage(p ui.Page) templ.Component {
	failed := web.DeliveryLine{ID: "whd_2", Type: "invoice.finalized", Event: "7409-3", Href: "/settings/webhooks/whk_1", State: "pending", Status: "503", Problem: "It answered 503 Service Unavailable.", Attempts: 3, At: ago(40 * time.Minute), Due: now.Add(4 * time.Minute), Current: true}
	return web.WebhookPage(web.WebhookView{
		SettingsView: webhookFrame(p), Endpoint: sampleEndpoint, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Form: endpointFields("webhook"), Refresh: "/settings/webhooks/whk_1", Code: snippets(),
		Facts:     []ui.KeyValue{{Key: "Address", Text: "https://billing.harbour-outdoor.example/hooks"}, {Key: "Events", Text: "invoice.*, budget.*"}, {Key: "Last got through", Body: ui.Fragments{ui.Time{At: ago(3 * time.Minute)}}}},
		Filter:    ui.FilterBar{Action: "/settings/webhooks/whk_1", Target: "#deliveries", Selects: []ui.Select{{Name: "state", Label: "State", Options: []ui.Option{{Label: "Any state"}, {Value: "failed", Label: "Failed"}}}}},
		Since:     ui.Select{Name: "since", Label: "Events of", Options: []ui.Option{{Value: "24", Label: "the last day"}}},
		Delivered: []web.DeliveryLine{{ID: "whd_3", Type: "invoice.paid", Event: "7410-12", Href: "/settings/webhooks/whk_1", State: "delivered", Status: "200", Attempts: 1, At: ago(3 * time.Minute)}, failed, {ID: "whd_1", Type: "budget.reached", Event: "7300-1", Href: "/settings/webhooks/whk_1", State: "failed", Status: "no answer", Problem: "No answer within 15s.", Attempts: 10, At: ago(5 * 24 * time.Hour)}},
		Pager:     ui.Pager{Shown: "3 deliveries"},
		Shown: &web.DeliveryView{
			Line: failed, Body: "{\n  \"specversion\": \"1.0\",\n  \"type\": \"dev.syncline.invoice.finalized.v1\",\n  \"data\": {\"invoice\": \"bil_1\", \"total\": \"1702.44\"}\n}",
			Attempts: []web.AttemptLine{{Number: "3", At: ago(5 * time.Minute), Took: "142 ms", Status: "503", Problem: "It answered 503 Service Unavailable.", Excerpt: "upstream is restarting"}, {Number: "2", At: ago(35 * time.Minute), Took: "15000 ms", Status: "no answer", Problem: "No answer within 15s."}},
		},
	})
}
