// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// HoldsView lists what the brake holds.
type HoldsView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Refresh string // the list's own address
	Holds   []HoldLine
	Pager   ui.Pager
	Decided bool // none of these waits for a person
}

// HoldLine is one hold in a list.
type HoldLine struct {
	ID      string
	Href    string
	Title   string // "1,200 deletions from warehouse"
	Reason  string
	System  SystemRef
	Service string
	State   string
	At      time.Time
	By      string // who decided
	Note    string
}

// HoldView is one hold with what it is about.
type HoldView struct {
	Page       ui.Page
	Line       HoldLine
	Path       string
	Part       string
	Live       string // public id of the service
	Kind       string
	Held       int64
	Facts      []ui.KeyValue
	Changes    []HeldLine
	Pager      ui.Pager
	May        bool // decide
	MayRead    bool // contents of records
	MayRestore bool // the system takes changes, so that it can be brought back
	Restore    bool
	Wrong      string // beside the reason
}

// HeldLine is one change that is held.
type HeldLine struct {
	Key   string
	Title string
	Href  string // of the record; "" for a new one
	What  string // "deletion", "missing", "change", "new record", "orphan"
	Why   string
	At    time.Time
	Diff  ui.Diff
}
