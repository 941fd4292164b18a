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
	Checked  time.Time
	Services []string
	MayTest  bool
}

// ConnectionView is one connection.
type ConnectionView struct {
	Page      ui.Page
	Line      ConnectionLine
	Path      string
	Title     string // of the connector
	Facts     []ui.KeyValue
	Settings  []ui.KeyValue
	Services  []ui.Line
	Owner     string // the service whose document holds the settings; "" for one made by itself
	Code      []ui.Code
	Sandboxed bool // it speaks to a simulator
	Grant     GrantView
	History   HistoryView
	Listening []ui.KeyValue // how it stands with the vendor's telling of changes; none when nobody listens
	Deaf      *ui.Alert     // why the vendor does not tell
	Acts      ui.Fragments  // what can be done about that
	MayEdit   bool
	MayDelete bool
	WhyNot    string // why it cannot be deleted now
	Wrong     *ui.Alert
	ETag      string
}

// ConnectionObjectsView is what a system was found to have.
type ConnectionObjectsView struct {
	Path    string
	Objects []ObjectLine
	More    int // objects that are not listed
	Problem *ui.Alert
}

// ObjectLine is one object of a system: a table.
type ObjectLine struct {
	Name   string
	Key    string
	Fields []ui.KeyValue
	Rows   string // "about 2,400"; "" when unknown
}

// ConnectorsView asks which kind of system to connect.
type ConnectorsView struct {
	Page       ui.Page
	Connectors []ConnectorLine
}

// ConnectorLine is one connector.
type ConnectorLine struct {
	Type  string
	Href  string
	Title string
	Text  string
	Class string // "standard" or "premium"
	Own   int    // the version of one of the tenant's own; 0 for one of the program
}

// ConnectionFormView makes or changes a connection. The fields come from what the connector declares.
type ConnectionFormView struct {
	Page      ui.Page
	New       bool
	Path      string // where the form goes
	Back      string
	Type      string
	Connector string // its title
	Text      string
	Name      ui.Field
	NameFixed string // why the name cannot be changed
	Fields    []ui.SettingField
	Problems  []ui.ErrorItem
	Tried     *ui.Alert // the result of a test
	Version   string
}
