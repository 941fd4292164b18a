// SPDX-License-Identifier: Apache-2.0

package web

import "github.com/syncline-dev/syncline/web/ui"

// ConnectorSketchView is the form that describes a REST API of the usual shape.
type ConnectorSketchView struct {
	Page     ui.Page
	System   ui.Fragments
	Objects  []SketchPart
	Count    int
	Full     bool // there is no room for more
	Problems []ui.ErrorItem
	Try      ConnectorTryView
}

// SketchPart is one kind of records.
type SketchPart struct {
	Title              string
	Number             int
	Shape, Read, Write ui.Fragments
}
