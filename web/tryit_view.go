// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// TryItView shows how to change a row of the demo and see it arrive.
type TryItView struct {
	Page    ui.Page
	Service string
	Href    string
	ID      string // of the service, for the live stream
	Steps   []TryStep
	Record  TryRecord
	Feed    []ui.FeedItem
	Problem *ui.Alert // the demo is not up yet, or gone
}

// TryStep is one change to make.
type TryStep struct {
	Title   string
	Text    string
	System  SystemRef
	Snippet ui.Code
}

// TryRecord is the record that the steps change, as it is now.
type TryRecord struct {
	Title  string
	Href   string
	Part   string // address of this part alone
	Fields []ui.KeyValue
}
