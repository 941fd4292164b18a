// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// ConnectionsView lists the tenant's connections.
type ConnectionsView struct {
	Page        ui.Page
	Connections []ConnectionLine
	MayEdit     bool
	Why         string
}

// ConnectionLine is one connection.
type ConnectionLine struct {
	ID       string
	Name     string
	Href     string
	Type     string
	Address  string // "warehouse-db.internal:5432/inventory"
	State    string
	Text     string // the last error, or what to do
	Latency  time.Duration
	Checked  time.Time
	Expires  time.Time // zero when the authorization does not expire
	Services []string
}
