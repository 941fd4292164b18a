// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
)

// SettingField is one field of a form that is made from a declaration: a line or several of text, a number, a secret or a choice.
type SettingField struct {
	Field
	Options []Option // of a choice; none for the others
	Lines   int      // of a text that has several
	Kept    bool     // a secret value is kept; leaving the field empty keeps it
	Remove  string   // name of the box that removes the kept value
}

// Render writes the field.
func (f SettingField) Render(ctx context.Context, w io.Writer) error {
	return settingField(f).Render(ctx, w)
}
