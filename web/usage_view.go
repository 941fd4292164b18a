// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// UsageView is the usage of a month and the invoices.
type UsageView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Period   string // "November 2026"
	Months   ui.Select
	Stats    []ui.Stat
	Daily    ui.BarChart
	Meters   []MeterLine
	Services []UsageLine
	Records  [][]string // service, kind of record, how many
	Invoices []InvoiceLine
	Rule     string // how usage is counted, in one sentence
	Money    bool   // the reader may see amounts
	Zone     string
}

// MeterLine is one meter in the month.
type MeterLine struct {
	ID       string
	Name     string // "Sync operations"
	Text     string // what counts
	Quantity string // "412,064"
	Tier     string // "100,001 to 1,000,000 at $0.003"
	Next     string // "587,936 to the next tier"
	Amount   ui.Money
	Href     string // to the operations; "" when there is nothing to open
}

// UsageLine is the share of one service, with its systems.
type UsageLine struct {
	Service  string
	Href     string
	Quantity int64
	Share    float64 // 0 to 1
	Systems  []SystemUse
}

// SystemUse is what one system of a service took.
type SystemUse struct {
	System     SystemRef
	Operations int64
	Realtime   int64
	Premium    bool
}

// InvoiceLine is one invoice in the list.
type InvoiceLine struct {
	ID     string
	Number string // "November 2026"
	Href   string
	Period string
	State  string
	Total  ui.Money

	Payment string // where collecting it stands; in the queue only
}

// InvoiceView is one invoice. A line opens into its operations.
type InvoiceView struct {
	Page     ui.Page
	ID       string
	Number   string
	Path     string
	State    string
	Period   string
	Customer string
	Lines    []InvoiceItem
	Total    ui.Money
	Facts    []ui.KeyValue
	Notices  []ui.Alert
	Review   *ReviewView     // what can be done about it; nil where nothing can
	Opened   *OperationsView // the line whose operations are shown
	Code     []ui.Code
}

// InvoiceItem is one line.
type InvoiceItem struct {
	ID       string
	Title    string // "Sync operations"
	Text     string // "graduated, November 1 to 23"
	Quantity string
	Unit     string // "operations"
	Tiers    []TierLine
	Amount   ui.Money
	Free     bool   // shown for information, not charged
	Href     string // opens its operations; "" for a line that counts none
	Open     bool
}

// TierLine is one step of the way from a quantity to an amount.
type TierLine struct {
	Range    string // "Tier 1, 1 to 100,000"
	Quantity string // "100,000 × $0.005"; "" for a step without a rate
	Amount   string // "$500.00"
}

// OperationsView are the operations behind a line.
type OperationsView struct {
	Title string
	Total int64
	Lines []OperationLine
	Pager ui.Pager
	Note  string
}

// OperationLine is one counted operation. It names no values: finance sees what was charged, not what is in the records.
type OperationLine struct {
	ID      string
	At      time.Time
	Service string
	Record  string
	Href    string // "" when the reader may not see records
	System  SystemRef
	Kind    string // "create", "update", "delete"
	Flags   string // "realtime"
	Fields  string // names of the fields that were sent
}
