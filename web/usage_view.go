// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// UsageView is the usage of the present period and the invoices.
type UsageView struct {
	Page     ui.Page
	Period   string // "November 2026"
	Periods  []ui.Segment
	Stats    []ui.Stat
	Budget   *ui.Budget
	Daily    ui.BarChart
	Meters   []MeterLine
	Services []UsageLine
	Invoices []InvoiceLine
	Rule     string // how usage is counted, in one sentence
}

// MeterLine is one meter in the period.
type MeterLine struct {
	Name     string // "Sync operations"
	Text     string // what counts
	Quantity string // "412,064"
	Tier     string // "100,001 to 1,000,000 at $0.003"
	Next     string // "587,936 to the next tier"
	Amount   ui.Money
	Href     string // to the operations
}

// UsageLine is the share of one service.
type UsageLine struct {
	Service  string
	Href     string
	Quantity int64
	Share    float64 // 0 to 1
	Amount   ui.Money
}

// InvoiceLine is one invoice in the list.
type InvoiceLine struct {
	ID     string
	Number string // "2026-11, draft"
	Href   string
	Period string
	State  string
	Total  ui.Money
	DueAt  time.Time
}

// InvoiceView is one invoice. A line opens into its operations.
type InvoiceView struct {
	Page      ui.Page
	ID        string
	Number    string
	Path      string
	State     string
	Period    string
	Customer  string
	Zone      string // in which the period begins and ends
	Closes    time.Time
	Lines     []InvoiceItem
	Subtotal  ui.Money
	Credits   ui.Money // zero amount when there are none
	Total     ui.Money
	Facts     []ui.KeyValue
	Notices   []ui.Alert
	Opened    *OperationsView // the line whose operations are shown
	Rounding  string          // the named rounding rule
	MayReview bool
	Code      []ui.Code
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
	Href     string // opens its operations
	Open     bool
}

// TierLine is one step of a line's price.
type TierLine struct {
	Range    string // "1 to 100,000"
	Quantity string
	Rate     string // "$0.005"
	Amount   string // "$500.00"
}

// OperationsView are the operations behind a line.
type OperationsView struct {
	Title string
	Total int64
	Lines []OperationLine
	Pager ui.Pager
	Sum   string // "412,064 operations counted once each; the ledger and the line agree"
	Match bool   // whether they do
}

// OperationLine is one counted operation.
type OperationLine struct {
	ID      string
	At      time.Time
	Service string
	Record  string
	Href    string
	System  SystemRef
	Kind    string // "create", "update", "delete"
	Flags   string // "realtime"
	Amount  string // "$0.003"
}
