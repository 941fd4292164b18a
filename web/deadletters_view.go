// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// DeadLettersView is what waits for a person, grouped by cause.
type DeadLettersView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	Filter   ui.FilterBar
	Refresh  string // the list's own address
	Groups   []DeadGroup
	Total    int64
	Filtered bool
	MayAct   bool
}

// DeadGroup are the open dead letters of one cause.
type DeadGroup struct {
	ID      string // unique on the page
	Cause   string // "storefront refused: quantity is out of range"
	Remedy  string // what to do about all of them; "" when nothing is known
	Code    string // "delivery.refused_range"; leads to its page
	Service string
	System  SystemRef
	Inward  bool // could not be taken in from the system; else was not taken by it
	Count   int64
	First   time.Time
	Last    time.Time
	Sample  string // one payload as JSON
	Letters []DeadLetter
	All     string // address of the whole list
	Path    string // of one of them; acts go to Path + ":redriveAlike", ":discardAlike"
}

// DeadLetter is one of them in a list.
type DeadLetter struct {
	ID       string
	Href     string
	Record   string
	Key      string
	System   SystemRef
	Service  string
	Message  string
	State    string
	At       time.Time
	Attempts int
	By       string // who decided
	Reason   string
}

// DeadLetterListView is a flat list: of one cause, or of those that do not wait any more.
type DeadLetterListView struct {
	Page    ui.Page
	Tabs    ui.Tabs
	Filter  ui.FilterBar
	Text    string
	Refresh string
	Letters []DeadLetter
	Pager   ui.Pager
	Decided bool // they do not wait any more: who decided, and why

	Selected  int64      // how many an act on all that the filter shows would take; 0 where none is offered
	Selection url.Values // what it is sent with
}

// LetterCheck is what is wrong with corrections as they are typed.
type LetterCheck struct {
	Asked bool // false before anything is typed
	Flaws []string
}

// DeadLetterView is one dead letter.
type DeadLetterView struct {
	Page   ui.Page
	Letter DeadLetter
	Path   string
	Part   string
	Live   string // public id of the service
	Inward bool
	Title  string // "storefront refused a change"
	Remedy string
	Code   string
	Sent   string // payload as JSON
	Facts  []ui.KeyValue
	Record string // address of the record; "" when it did not get in
	Alike  int64  // open ones with the same cause, this one included
	May    bool
	Wrong  string // beside the reason

	Edit    []EditField // what can be corrected; empty where nothing can
	Edited  string      // who corrected it, "" for nobody
	Version string
	EditBad string // why a correction was not kept, where no field says so
}

// EditField is a field of a record in quarantine.
type EditField struct {
	Name    string
	Value   string // as it is corrected, else as the system holds it
	Was     string // what the system holds, where it is corrected
	Changed bool
	Broken  string // the rule it breaks
	JSON    bool   // a list or an object
	Error   string
}
