// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// WebhooksView are the webhook endpoints.
type WebhooksView struct {
	SettingsView
	Endpoints []EndpointLine
	Form      EndpointForm
}

// EndpointForm is what an endpoint is made of, or changed to.
type EndpointForm struct {
	Name, URL ui.Field
	Types     ui.Area
}

// EndpointLine is one endpoint.
type EndpointLine struct {
	ID, Name, URL, Href string
	State               string
	Types               []string // empty: all but the frequent ones
	DeliveredAt         time.Time
	FailingSince        time.Time
	Version             string
}

// WebhookView is one endpoint with its deliveries.
type WebhookView struct {
	SettingsView
	Endpoint  EndpointLine
	Reason    string // why it is disabled
	Secret    string // shown once, right after it was made
	Facts     []ui.KeyValue
	Form      EndpointForm
	Filter    ui.FilterBar
	Delivered []DeliveryLine
	Pager     ui.Pager
	Refresh   string
	Shown     *DeliveryView // the one that is looked at
	Code      []ui.Code
	Since     ui.Select // for sending again what failed
}

// DeliveryLine is one delivery.
type DeliveryLine struct {
	ID, Type, Event, Href, State string
	Status                       string // "200", "no answer", "" while it was not tried
	Problem                      string
	Attempts                     int
	At, Due                      time.Time // Due only while it is pending
	Current                      bool
}

// DeliveryView is a delivery with what was sent and each attempt.
type DeliveryView struct {
	Line     DeliveryLine
	Body     string
	Attempts []AttemptLine
}

// AttemptLine is one attempt.
type AttemptLine struct {
	Number  string
	At      time.Time
	Took    string
	Status  string
	Good    bool
	Problem string
	Excerpt string
}
