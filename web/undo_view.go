// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// UndoView is what taking a run back would do.
type UndoView struct {
	Page     ui.Page
	Path     string // of the run
	Hash     string // of the preview
	Selected int64  // changes that were looked at
	Records  int64
	Kept     int64
	Lines    []UndoLine
	Keeps    []ui.Line
}

// UndoLine is what would happen to one record.
type UndoLine struct {
	Href  string
	Title string
	What  string
	Diff  ui.Diff
}
