// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// FinanceView is what waits for the people who look after money.
type FinanceView struct {
	Page    ui.Page
	Stats   []ui.Stat
	Drafts  []ReviewLine
	Issued  []InvoiceLine // open ones
	Credits []CreditLine  // that wait for a second person
	MayEdit bool
	Wrong   *ui.Alert
	Refresh string
}

// ReviewLine is a draft that waits for review.
type ReviewLine struct {
	ID       string
	Value    string // id and version, as the form sends them
	Name     string // "October 2026"
	Href     string
	Period   string
	Total    ui.Money
	Flags    []string
	Approved string // by whom; "" for nobody
}

// PreviewView says what a bulk approval would do.
type PreviewView struct {
	Page  ui.Page
	Lines []PreviewLine
	Total ui.Money // of those that can be approved
	Count int64
}

// PreviewLine is one invoice of it.
type PreviewLine struct {
	Value string // "" when it cannot be approved
	Name  string
	Href  string
	Total ui.Money
	Why   string // why it cannot; "" when it can
}

// ReviewView is what can be done about one invoice, and what was.
type ReviewView struct {
	Path        string
	Version     string
	MayEdit     bool
	Closed      bool
	Draft       bool // lines can change
	Approved    bool
	Pending     bool // approved and not issued yet
	ApprovedBy  string
	ApprovedAt  time.Time
	MayApprove  bool
	Why         string // why not
	Adjustments []AdjustmentLine
	Adjust      AdjustForm
	Credits     []CreditLine
	CreditLeft  string // what can still be credited; "" when nothing can
	CanVoid     bool
	CanGiveUp   bool
	CanPay      bool
	Replace     string // the month that a new draft would be for
	Collection  *CollectionView
}

// AdjustForm is the form of an adjustment, with what was typed when it was refused.
type AdjustForm struct {
	Title, Amount, Reason ui.Field
}

// AdjustmentLine is one adjustment.
type AdjustmentLine struct {
	ID     string
	Title  string
	Reason string
	By     string
	At     time.Time
	Amount ui.Money
}

// CreditLine is one credit note.
type CreditLine struct {
	ID      string
	Name    string
	State   string
	Reason  string
	By      string
	Decided string // by whom
	Amount  ui.Money
	Invoice string // of which it takes something back
	Href    string
	MayAct  bool
	Own     bool // the reader wrote it, so somebody else issues it
}

// CollectionView is where collecting the invoice stands.
type CollectionView struct {
	Tone  ui.Tone
	Title string
	Text  string
	URL   string // where the customer pays
	Facts []ui.KeyValue
	Again bool // can be tried again
}
