// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// UndoView asks what to take back, and shows what that would do.
type UndoView struct {
	Page    ui.Page
	Path    string
	Home    string // of the service
	Zone    string
	Run     ui.Field
	Actor   ui.Field
	Rule    ui.Select
	System  ui.Select
	Since   ui.Field
	Until   ui.Field
	People  []string // to choose from; other names can be typed
	Asked   bool     // something was asked for
	Looked  bool     // and this is what it would do
	Refusal *ui.Alert
	Hidden  map[string]string // what was asked for, for the form that does it

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

// UndoProgressView is how far the systems were told.
type UndoProgressView struct {
	Page     ui.Page
	Name     string
	Home     string
	Live     string // public id of the service
	Part     string
	Records  int64
	Owed     int64
	Done     bool
	Progress ui.Progress
	Notices  []ui.Alert
}
