// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// RecordsView is the search for records.
type RecordsView struct {
	Page     ui.Page
	Filter   ui.FilterBar
	Records  []RecordLine
	Pager    ui.Pager
	Query    string // what was searched for
	Filtered bool   // nothing matches because of the filter, not because there is nothing
}

// RecordLine is one entity in the list.
type RecordLine struct {
	ID      string
	Href    string
	Title   string // "Trail Runner 2, blue, 42"
	Sub     string // "sku SKU-10482"
	Service string
	Systems []SystemRef // where it is
	State   string      // worst state of its links
	Changed time.Time
	By      string // the system that changed it last
}

// RecordView is one entity: what it is now, where it is, what happened to it.
type RecordView struct {
	Page    ui.Page
	ID      string
	Path    string // "/services/inventory-sync/records/rec_01JDCV"
	Part    string // address of the part that refreshes itself, with what the page was asked for
	Live    string // public id of the service, whose news refresh it
	Title   string
	Service string
	Model   string // "products"
	State   string
	Version int64
	Fields  []RecordField
	Links   []RecordLink
	Parents []RecordParent
	Lineage []RecordChildren
	History []ui.Moment
	Field   string // the history is of this field alone; "" for all
	Older   string // address of older history
	Newest  string // address of the beginning, when older history is shown
	Notices []ui.Alert
	MayEdit bool
	Frozen  bool
	Deleted bool
	Code    []ui.Code
}

// RecordField is one field of the entity with where its value came from.
type RecordField struct {
	Name   string
	Value  ui.Value
	System SystemRef // that it came from
	At     time.Time
	Reason string   // why this value won, when there was a choice
	Href   string   // to the history of this field
	Differ []string // systems that hold something else just now: "storefront: 42, on its way"
}

// RecordParent is a record that the entity refers to.
type RecordParent struct {
	Field string
	Title string // "Acme", or how its system names one that is not known yet
	Href  string // "" while it is not known
	State string // "" for one that is there
}

// RecordChildren are records that refer to the entity.
type RecordChildren struct {
	Text string // "1,204 orders"
	By   string // "by account; 3 wait for it"
	Href string // to the list of them
}

// RecordLink is the copy of the entity in one system.
type RecordLink struct {
	System  SystemRef
	Key     string // "" when the system holds no copy yet
	Href    string // to the dead letter, when it was refused
	State   string
	Version string
	Synced  time.Time
	Text    string // "owed since 3 s", "refused: quantity is out of range"
}
