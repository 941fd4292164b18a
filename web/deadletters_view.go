// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// DeadLettersView is what waits for a person, grouped by cause.
type DeadLettersView struct {
	Page   ui.Page
	Filter ui.FilterBar
	Groups []DeadGroup
	Pager  ui.Pager
	Total  int64
	MayAct bool
	Why    string
}

// DeadGroup are the dead letters of one cause.
type DeadGroup struct {
	ID      string // unique on the page
	Cause   string // "storefront refused: quantity is out of range"
	Remedy  string // what to do about all of them
	Code    string // "delivery.refused_range", leads to its page
	Service string
	System  SystemRef
	Count   int64
	First   time.Time
	Last    time.Time
	Sample  string // one payload as JSON
	Reply   string // what the vendor answered
	Letters []DeadLetter
	Path    string // acts go to Path + ":redrive", ":discard"
}

// DeadLetter is one of them.
type DeadLetter struct {
	ID       string
	Href     string
	Record   string
	At       time.Time
	Attempts int
}
