// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// CatalogView lists the connectors that the tenant can use.
type CatalogView struct {
	Page    ui.Page
	Own     []ConnectorLine
	Program []ConnectorLine
	MayEdit bool
}

// ConnectorView is one connector, as its declaration describes it.
type ConnectorView struct {
	Page     ui.Page
	Type     string
	Title    string
	Text     string
	Path     string
	Own      int // its version, 0 for one of the program
	Facts    []ui.KeyValue
	Settings []ui.KeyValue
	Objects  []ConnectorObject
	Versions []ConnectorVersionLine
	Uses     []ui.Line
	Wrong    *ui.Alert
	Guide    string // the page of the documentation, "" for none
	Code     []ui.Code
	MayEdit  bool
	WhyNot   string // why it cannot be deleted now
}

// ConnectorObject is a set of records that a manifest describes.
type ConnectorObject struct {
	Name   string
	Title  string
	Can    string // "read, create, change, delete"
	Sees   string // how changes and deletions are seen
	Fields []ui.KeyValue
}

// ConnectorVersionLine is one manifest that was accepted.
type ConnectorVersionLine struct {
	Number int
	Author string
	Note   string
	Time   ui.Time
	Live   bool
}

// ConnectorEditorView is the page on which a manifest is written, tried and saved.
type ConnectorEditorView struct {
	Page     ui.Page
	Type     string // "" for a new one
	Path     string // where the form goes
	Back     string
	Version  int
	Document string
	Live     string // the manifest in use; "" for a new one
	Note     string
	Problems []DocumentProblem
	Alert    *ui.Alert
	Try      ConnectorTryView
}

// ConnectorTryView is the form of a trial: the settings that the manifest declares.
type ConnectorTryView struct {
	Unknown bool // the manifest has errors, so its settings are not known
	Fields  []ui.SettingField
}

// TrialView is what a trial found.
type TrialView struct {
	Wrong   *ui.Alert
	Steps   []ui.Line
	Objects []TrialObjectView
}

// TrialObjectView is what was read of one object, and what writes would send.
type TrialObjectView struct {
	Name    string
	Text    string // "5 records, others follow; 42 ms"
	Columns []ui.Column
	Rows    [][]string
	Problem *ui.Alert
	Drafts  []ui.Code
}

func (v ConnectorEditorView) title() string {
	if v.Type == "" {
		return "New connector"
	}
	return "Edit " + v.Type
}
