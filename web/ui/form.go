// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// Field is a labelled input of one line. The error stands beside the field and is read out with it.
type Field struct {
	Name         string
	ID           string // Name when empty
	Label        string
	Value        string
	Type         string // "text" when empty; "email", "password", "number", "search", "url"
	Hint         string
	Error        string
	Placeholder  string
	Autocomplete string
	Required     bool
	Optional     bool // says so beside the label
	Disabled     bool
	ReadOnly     bool
	Mono         bool
	Large        bool
	Before       string // fixed text in front: "https://"
	After        string // or behind: "per month"
	Attrs        templ.Attributes
}

// Render writes the field.
func (f Field) Render(ctx context.Context, w io.Writer) error { return field(f).Render(ctx, w) }

func (f Field) id() string { return orName(f.ID, f.Name) }

func (f Field) attrs() templ.Attributes {
	a := describe(f.id(), f.Hint, f.Error)
	set := func(name, value string) {
		if value != "" {
			a[name] = value
		}
	}
	set("placeholder", f.Placeholder)
	set("autocomplete", f.Autocomplete)
	flag := func(name string, on bool) {
		if on {
			a[name] = true
		}
	}
	flag("required", f.Required)
	flag("disabled", f.Disabled)
	flag("readonly", f.ReadOnly)
	for k, v := range f.Attrs {
		a[k] = v
	}
	return a
}

func (f Field) kind() string {
	if f.Type == "" {
		return "text"
	}
	return f.Type
}

func (f Field) class() string {
	c := "input"
	if f.Mono {
		c += " mono"
	}
	if f.Large {
		c += " input-lg"
	}
	return c
}

// describe ties hint and error to their field.
func describe(id, hint, err string) templ.Attributes {
	a := templ.Attributes{}
	by := ""
	if hint != "" {
		by = id + "-hint"
	}
	if err != "" {
		if by != "" {
			by += " "
		}
		by += id + "-error"
		a["aria-invalid"] = "true"
	}
	if by != "" {
		a["aria-describedby"] = by
	}
	return a
}

func orName(id, name string) string {
	if id != "" {
		return id
	}
	return name
}

// Area is a labelled input of several lines.
type Area struct {
	Name, ID, Label, Value, Hint, Error, Placeholder string
	Rows                                             int
	Required, Optional, Mono, ReadOnly               bool
	Attrs                                            templ.Attributes
}

// Render writes the field.
func (f Area) Render(ctx context.Context, w io.Writer) error { return area(f).Render(ctx, w) }

func (f Area) id() string { return orName(f.ID, f.Name) }

// Select is a labelled choice from a list.
type Select struct {
	Name, ID, Label, Value, Hint, Error string
	Options                             []Option
	Required, Disabled                  bool
	Attrs                               templ.Attributes
}

// Option is one choice.
type Option struct {
	Value string
	Label string
	Hint  string // for radio buttons
}

// Render writes the field.
func (f Select) Render(ctx context.Context, w io.Writer) error { return selectField(f).Render(ctx, w) }

func (f Select) id() string { return orName(f.ID, f.Name) }

// Radios is a choice of which all options are seen at once.
type Radios struct {
	Name, Legend, Value, Error string
	Options                    []Option
}

// Render writes the choice.
func (f Radios) Render(ctx context.Context, w io.Writer) error { return radios(f).Render(ctx, w) }

// Check is a yes or no; Switch is the same for something that takes effect at once.
type Check struct {
	Name, ID, Label, Value, Hint string
	Checked, Disabled, Switch    bool
	Attrs                        templ.Attributes
}

// Render writes the box.
func (f Check) Render(ctx context.Context, w io.Writer) error { return check(f).Render(ctx, w) }

func (f Check) id() string { return orName(f.ID, f.Name) }

func (f Check) value() string {
	if f.Value == "" {
		return "1"
	}
	return f.Value
}

// ErrorSummary stands above a form that was refused and leads to each faulty field.
type ErrorSummary struct {
	Title string
	Items []ErrorItem
}

// ErrorItem is one fault; Field is the id of the field it belongs to, or empty.
type ErrorItem struct {
	Field string
	Text  string
}

// Render writes the summary; nothing when there are no items.
func (e ErrorSummary) Render(ctx context.Context, w io.Writer) error {
	return errorSummary(e).Render(ctx, w)
}
